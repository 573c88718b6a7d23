#ifndef UNDERSTUDY_COLLECT_H_
#define UNDERSTUDY_COLLECT_H_

// Collecting as one call: plays a behaviour policy of a task in the simulator and records every env
// step with its frame in a dataset (datasets/dataset.h), which keeps a robot of one's own
// (datasets/robots.h).
//
// The same seed gives the same file for any number of threads. What is finished stays readable
// whatever ends the call, and `resume` goes on behind it.
//
// Threads: as for datasets, calls come from one thread at a time; inside, a pool works. Progress,
// a line for people and the wish to stop go through the thread's hooks
// (worldmodel/base/progress.h).

#include <stdint.h>

#include "datasets/dataset_info.h"
#include "env/env.h"
#include "env/gl.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/settings.h"
#include "worldmodel/device.h"

US_C_BEGIN

// What becomes of an episode whose simulation diverges.
#define US_DIVERGED(X)                                                  \
  X(redraw, "drawn anew, from a seed that (seed, episode, draw) names") \
  X(keep, "recorded up to the last good row, which is terminated")      \
  X(stop, "the run ends")
typedef enum UsDiverged {
#define X(name, text) US_DIVERGED_##name,
  US_DIVERGED(X)
#undef X
      US_DIVERGED_COUNT
} UsDiverged;

// Everything that collecting can be told, as worldmodel/base/settings.h describes a list. task, out
// and episodes have to be given, and not both of resume and overwrite; with resume the file says
// the task. encode
// is a folder, "default", "blur", "pca" or "state" as of us_dataset_encoder (encoder_jobs.h);
// device and fast are of it.
#define US_COLLECT_SETTINGS(X)                                                               \
  X(TEXT, task, NULL, 0, 0, RESULT, "NAME", "what to record; also mjcf:FILE, exec:COMMAND")  \
  X(INT, episodes, 0, 1, 1 << 24, FREE, "N", "how many episodes")                            \
  X(TEXT, out, NULL, 0, 0, FREE, "FILE", "the HDF5 file to write")                           \
  X(INT, steps, 200, 1, 1000000, RESULT, "N", "env steps an episode")                        \
  X(SEED, seed, 0, 0, 0, RESULT, "S", "names all random numbers")                            \
  X(TEXT, policy, NULL, 0, 0, RESULT, "NAME", "a policy of the task; default: its first")    \
  X(INT, size, -1, 0, 2048, RESULT, "PX",                                                    \
    "pixels of a frame's side, 0: no frames; default: the task's")                           \
  X(INT, threads, 0, 0, 4096, FREE, "N", "threads; default: one per processor")              \
  X(TEXT, gl, NULL, 0, 0, RESULT, "WHAT", US_GL_HELP)                                        \
  X(TEXT, vary, NULL, 0, 0, RESULT, "LIST", "factors of variation to draw; help lists them") \
  X(TEXT, vary_range, NULL, 0, 0, RESULT, "R", "train, test or all; default: train")         \
  X(TEXT, diverged, NULL, 0, 0, RESULT, "HOW",                                               \
    "an episode that diverges: redraw, keep or stop; default: redraw")                       \
  X(TEXT, encode, NULL, 0, 0, FREE, "E",                                                     \
    "compute the features of this encoder too, which training then finds")                   \
  US_DEVICE_SETTINGS(X)                                                                      \
  X(FLAG, resume, 0, 0, 1, FREE, NULL, "go on with a stopped run's file")                    \
  X(FLAG, overwrite, 0, 0, 1, FREE, NULL, "replace an existing file")

struct UsTask;

// Start from us_collect_defaults().
typedef struct UsCollectConfig {
  US_COLLECT_SETTINGS(US_SETTING_FIELD)
  const struct UsTask* const* tasks;  // NULL-terminated; `task` is the name of one of them
} UsCollectConfig;

extern US_API const UsSetting us_collect_settings[];

typedef struct UsCollectResult {
  int64_t episodes, rows;  // in the file
  int64_t before;          // rows that were there before
  int64_t redrawn;         // episodes that diverged and were drawn anew
  int64_t cut;             // episodes that diverged and are kept up to there
  int complete;            // 1: all episodes had been there, and nothing was done
  int height, width;       // of frames; 0: none were drawn
  // Share of pixels that change within a second, or an episode where that is shorter: a mean over
  // the new episodes; NaN where there are no frames or episodes of one row.
  double changing;
  double seconds;       // that the new rows took
  long long warnings;   // of MuJoCo
  char warned[256];     // their kinds, each with its count
  char features[1024];  // the file of the features; "" without `encode`
} UsCollectResult;

// The seed of an episode of a file whose seed is `seed`, when it is drawn for the draw-th time.
US_API uint64_t us_collect_seed(uint64_t seed, int64_t episode, int draw);

// What a new file says of a simulator and who draws its frames (frames 0: nobody; gl as
// us_gl_renderer takes it): all but seed, policy, diverged and what varies. A robot that cannot be
// kept is a line for people, which names `out`. It points into the env's task.
US_API UsStatus us_collect_describe(const UsEnv* sim, const char* gl, int frames, const char* out,
                                    UsDatasetInfo* info);

// The defaults of the program.
US_API UsCollectConfig us_collect_defaults(void);

// US_USAGE for a setting that is missing, unknown or out of range; US_IO when `out` is being
// written by another run, or exists without resume or overwrite. Opens no simulator.
US_API UsStatus us_collect_check(const UsCollectConfig* config);

// Collects. Fails as us_collect_check does; when the caller wants to stop US_INTERRUPTED. The
// message says how many episodes the file has then, as does *result.
US_API UsStatus us_collect(const UsCollectConfig* config, UsCollectResult* result);

US_C_END

#endif  // UNDERSTUDY_COLLECT_H_
