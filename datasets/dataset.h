#ifndef UNDERSTUDY_DATASET_H_
#define UNDERSTUDY_DATASET_H_

// Trajectory datasets: one HDF5 file, flat rows over all episodes (a row is an env step with the
// frame before its action), in the layout that the field's loaders read.
//
//   pixels   uint8   (N, H, W, 3)   frame before the action of the row
//   action   float32 (N, A)         NaN at an episode's last row, where no action follows; a file
//                                   without the column (A is 0) is film: it can be pretrained on
//   proprio  float32 (N, P)
//   state    float64 (N, S)         qpos, qvel, act
//   reward   float32 (N), terminated, truncated uint8 (N)
//   episode_idx int32 (N), step_idx int32 (N), time float64 (N) s
//   ep_len   int32 (E), ep_offset int64 (E)
//   pixels_crc  uint32  (N)         CRC-32C of the row's frame; files of before have none
//   variation float32 (N, V)        numbers of the episode's factors of variation (env/vary.h), the
//                                   same in all its rows; only where something varies
//   attributes of the root: task, seed, version, policy, camera (and camera_pose, of a task that
//   brings a model: frames of the same task are drawn from there), renderer (OpenGL's names of what
//   drew the frames, where it is known), env_dt, finished, action_low and
//   action_high (A; film has neither), {action, proprio, state}_{mean, std, min, max}, and where
//   something varies variation_names (V names, separated by commas) and variation_range; of files
//   made of others sources (us_dataset_sources); of collect's files also diverged: redraw, keep or
//   stop. With keep an episode that diverged ends before the asked rows, its last row terminated
//   and not truncated. Of a robot of one's own what datasets/robots.h says
//
// A writer allocates fixed contiguous columns for the asked number of episodes and writes an
// episode's length last. A killed run therefore leaves a file whose finished episodes can be read:
// `finished` is 0 and the lengths end in zeros. So does the file of a run that goes on, which may
// be read meanwhile. A writer holds the lock of its file (worldmodel/base/lock.h) until it is
// finished.
//
// Threads: calls on all datasets of a program come from one thread at a time; the small columns lie
// in memory and may be read from anywhere.

#include <stdint.h>

#include "datasets/dataset_info.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/file.h"

US_C_BEGIN

// ---- reading ----

typedef struct UsDataset UsDataset;

// Opens a file and checks everything but the frames: columns, types, lengths, offsets,
// counters, rising times, finite numbers, actions in [-1, 1]. Of a file whose writer was killed the
// finished episodes are seen. On failure *out is NULL and the message names the row or episode.
US_API UsStatus us_dataset_open(const char* path, UsDataset** out);

// The same for a file that is only to be looked at: its column of actions, if it has one, is not
// opened, so A is 0, us_dataset_actions NULL, and the hash (below) that of a file without.
US_API UsStatus us_dataset_open_film(const char* path, UsDataset** out);

// NULL is fine.
US_API void us_dataset_close(UsDataset* d);

US_API const UsDatasetInfo* us_dataset_info(const UsDataset* d);
US_API const char* us_dataset_path(const UsDataset* d);

// Episodes that the file has room for: more than info's while it is being written.
US_API int64_t us_dataset_room(const UsDataset* d);

// The small columns, in memory: episode lengths and offsets (E), actions (N, A) and proprio (N, P),
// NULL when A or P is 0, states (N, S), times (N), variation (N, V), NULL when V is 0.
US_API const int32_t* us_dataset_lengths(const UsDataset* d);
US_API const int64_t* us_dataset_offsets(const UsDataset* d);
US_API const float* us_dataset_actions(const UsDataset* d);
US_API const float* us_dataset_proprio(const UsDataset* d);
US_API const double* us_dataset_states(const UsDataset* d);
US_API const double* us_dataset_times(const UsDataset* d);
US_API const float* us_dataset_variation(const UsDataset* d);

// What became of the actions: rewards, terminated and truncated (N), in memory.
US_API const float* us_dataset_rewards(const UsDataset* d);
US_API const uint8_t* us_dataset_terminated(const UsDataset* d);
US_API const uint8_t* us_dataset_truncated(const UsDataset* d);

// Reads `rows` frames from `first` on: pixels (rows, H, W, 3). A frame that differs from its
// checksum is US_FORMAT with its episode and row.
US_API UsStatus us_dataset_pixels(UsDataset* d, int64_t first, int64_t rows, uint8_t* pixels);

// SHA-256 over the sizes and all columns that training reads (pixels, action, proprio, state, time,
// ep_len), and names and numbers of what varies; the first call reads the whole file.
US_API UsStatus us_dataset_hash(UsDataset* d, char hex[US_HASH_CHARS]);

// SHA-256 over the episodes' lengths and the checksums of all frames, of a file without frames over
// its states: trajectories and the film of them have the same. Found on the way of us_dataset_hash.
US_API UsStatus us_dataset_frames_hash(UsDataset* d, char hex[US_HASH_CHARS]);

// Marks of all episodes, 16 hexadecimal digits each in one text of d's: of SHA-256 over the
// checksums of an episode's frames, without frames over its states. The same film has the same mark
// in every file. Found on the way of us_dataset_hash. On failure *marks is NULL.
US_API UsStatus us_dataset_marks(UsDataset* d, const char** marks);

// What a file that merge, split or drop (edit.h) made was made of, "" of others: a line of each
// file that a run wrote, "content frames seed policy", its two hashes by 16 digits, and - for a
// seed where no simulator collected it. The text is d's.
US_API const char* us_dataset_sources(const UsDataset* d);

// ---- writing ----

typedef struct UsDatasetWriter UsDatasetWriter;

// One episode of T rows, as it is appended.
typedef struct UsEpisode {
  int rows;                   // T
  const uint8_t* pixels;      // (T, H, W, 3). Nullable when height is 0
  const float* actions;       // (T, A). Nullable when A is 0
  const float* proprio;       // (T, P). Nullable when P is 0
  const double* states;       // (T, S)
  const float* rewards;       // (T)
  const uint8_t* terminated;  // (T)
  const uint8_t* truncated;   // (T)
  const double* times;        // (T)
  const float* variation;     // (T, V). Nullable when V is 0
} UsEpisode;

// Creates `path` for `episodes` episodes of at most `rows` rows each, from info's texts, seed,
// sizes and dt. An existing file is replaced only when `overwrite` is set, and once the first
// episode is whole; until then the file is called <path>.tmp. A file that another run is writing is
// refused. On failure *out is NULL.
US_API UsStatus us_dataset_create(const char* path, const UsDatasetInfo* info, int64_t episodes,
                                  int rows, int overwrite, UsDatasetWriter** out);

// Goes on with a file that a killed or interrupted run of the same info left, or makes a finished
// one longer: *done episodes, of exactly `rows` rows each but for those that diverged and were
// kept, or of at most as many where somebody drove (policy "teleop"), are there. Another task,
// seed, version, variation, size, answer to divergence or renderer is refused; another version of
// the renderer is said by us_log and noted in the file. *out is NULL on failure, and when all
// episodes are there already.
US_API UsStatus us_dataset_resume(const char* path, const UsDatasetInfo* info, int64_t episodes,
                                  int rows, int64_t* done, UsDatasetWriter** out);

// Rows in the file so far.
US_API int64_t us_dataset_written(const UsDatasetWriter* w);

// Appends an episode; after the call it outlives a killed process.
US_API UsStatus us_dataset_append(UsDatasetWriter* w, const UsEpisode* episode);

// Writes the statistics and closes; with fewer rows than asked for, the file is packed to those it
// has, and with none it is removed. Frees w in every case. NULL is fine.
US_API UsStatus us_dataset_finish(UsDatasetWriter* w);

US_C_END

#endif  // UNDERSTUDY_DATASET_H_
