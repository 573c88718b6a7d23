#ifndef UNDERSTUDY_EXCHANGE_H_
#define UNDERSTUDY_EXCHANGE_H_

// Datasets from and for other programs.
//
// Threads: as for datasets, calls come from one thread at a time.

#include "datasets/verify.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/settings.h"

US_C_BEGIN

// What an import can be told, as worldmodel/base/settings.h describes a list, the same of another
// program's file (us_dataset_import) and of film (us_video_import, datasets/video.h); what has no
// meaning for one of them is US_USAGE there. `task` has to be given unless there are no actions; a
// NULL column is the one of our name; dt and fps 0: by the file's times or attribute; bound 0: by
// the file's recorded bounds, or 1. Frames that are not bytes need `range`.
#define US_IMPORT_SETTINGS(X)                                                                     \
  X(TEXT, task, 0, 0, 0, RESULT, "NAME",                                                          \
    "import: what the trajectories are of; default, without actions: film")                       \
  X(REAL, dt, 0, 0, 1e3, RESULT, "S",                                                             \
    "import: seconds between rows, where the file is silent; of film equal steps")                \
  X(REAL, fps, 0, 0, 1e3, RESULT, "N", "import: the same, as so many rows a second")              \
  X(INT, size, 0, 0, 1 << 10, RESULT, "PX",                                                       \
    "import: side of the frames; default: of film 64, of HDF5 files as they are")                 \
  X(TEXT, fit, 0, 0, 0, RESULT, "HOW",                                                            \
    "import: what is no square is cut to its middle (crop), kept with black around (letterbox) "  \
    "or squeezed (stretch); default: crop, of a --crop stretch")                                  \
  X(TEXT, crop, 0, 0, 0, RESULT, "W:H:X:Y",                                                       \
    "import: the part of the pictures that is taken; default: all")                               \
  X(INT, steps, 0, 0, 1 << 20, RESULT, "N",                                                       \
    "import: rows after which an episode is cut, of film and of files that do not say where one " \
    "ends; 0: 500")                                                                               \
  X(REAL, bound, 0, 0, 1e9, RESULT, "X",                                                          \
    "import, convert: the other program's actions lie in [-X, X]")                                \
  X(TEXT, range, 0, 0, 0, RESULT, "LOW:HIGH",                                                     \
    "HDF5: the numbers of black and white, of frames that are not bytes, such as 0:1")            \
  X(TEXT, layout, 0, 0, 0, RESULT, "HOW",                                                         \
    "HDF5: hwc or chw, where the colours of frames may be the last or the second axis")           \
  X(TEXT, action, 0, 0, 0, RESULT, "NAME", "HDF5: the column of actions")                         \
  X(TEXT, pixels, 0, 0, 0, RESULT, "NAME", "HDF5: the column of frames")                          \
  X(TEXT, proprio, 0, 0, 0, RESULT, "NAME", "HDF5: the column of proprioception")                 \
  X(TEXT, state, 0, 0, 0, RESULT, "NAME", "HDF5: the column of simulator states")                 \
  X(FLAG, repair, 0, 0, 1, RESULT, NULL,                                                          \
    "HDF5: undo the rotated actions of stable-worldmodel 0.1.1")                                  \
  X(FLAG, keep_damaged, 0, 0, 1, RESULT, NULL,                                                    \
    "film: keep what can be read of damaged files; default: refuse them")                         \
  X(FLAG, overwrite, 0, 0, 1, FREE, NULL, "replace an existing file")

typedef struct UsImport {
  US_IMPORT_SETTINGS(US_SETTING_FIELD)
} UsImport;

extern US_API const UsSetting us_import_settings[];

// The seconds between rows that --dt or --fps tell, 0: neither does; US_USAGE where both do.
UsStatus us_import_step(const UsImport* c, double* seconds);

// What an import had to make up or to leave out.
typedef struct UsImportNotes {
  char made[US_LEFT_CHARS];  // what stands in for columns that are not there; "": nothing
  char frames[256];          // what became of the frames, in words; "": they are as they were
  int64_t rewards;           // behind an episode's first row that were not finite: 0 in their place
  int64_t actions;           // of last rows, where no action follows: left out
} UsImportNotes;

// Writes the trajectories of another program's file into one of ours. A setting out of range is
// US_USAGE, as is one that is missing because the file does not say what it says. Without a column
// for the state, proprio stands in for it, or a single 0: such data can train a model that sees
// frames, but no simulator can start from it. Without ep_len episodes end as episode_idx, step_idx,
// or terminated and truncated say, or after `steps` rows. On failure `out` is not left behind.
// *verdict is what was read; verdict->left and *notes say all that is not in `out` as it was in the
// file.
US_API UsStatus us_dataset_import(const char* path, const char* out, const UsImport* config,
                                  UsVerdict* verdict, UsImportNotes* notes);

// Writes a file as stable-worldmodel's loaders expect it where ours differs: only finished
// episodes, flags as h5py's bool, state as float32, actions in the env's own bounds [-bound,
// bound]; 0: 1. Everything that verify checks is checked on the way; on failure `out` is as it was.
// An existing file is replaced only when `overwrite` is set. left: the columns that are not taken
// over.
US_API UsStatus us_dataset_convert(const char* path, const char* out, double bound, int overwrite,
                                   char left[US_LEFT_CHARS]);

US_C_END

#endif  // UNDERSTUDY_EXCHANGE_H_
