#ifndef UNDERSTUDY_EXCHANGE_H_
#define UNDERSTUDY_EXCHANGE_H_

// Datasets from and for other programs.
//
// Threads: as for datasets, calls come from one thread at a time.

#include "datasets/verify.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/settings.h"

US_C_BEGIN

// What an import can be told, as worldmodel/base/settings.h describes a list. `task` has to be
// given; a NULL column is the one of our name; dt 0: by the file's times or attribute; bound 0: by
// the file's recorded bounds, or 1. What is said of film is for us_video_import (datasets/video.h).
#define US_IMPORT_SETTINGS(X)                                                                   \
  X(TEXT, task, 0, 0, 0, RESULT, "NAME", "import: what the trajectories are of")                \
  X(REAL, dt, 0, 0, 1e3, RESULT, "S",                                                           \
    "import: seconds between rows, where the file is silent; of film equal steps")              \
  X(REAL, bound, 0, 0, 1e9, RESULT, "X",                                                        \
    "import, convert: the other program's actions lie in [-X, X]")                              \
  X(TEXT, pixels, 0, 0, 0, RESULT, "NAME", "import: the column of frames")                      \
  X(TEXT, proprio, 0, 0, 0, RESULT, "NAME", "import: the column of proprioception")             \
  X(TEXT, state, 0, 0, 0, RESULT, "NAME", "import: the column of simulator states")             \
  X(FLAG, repair, 0, 0, 1, RESULT, NULL,                                                        \
    "import: undo the rotated actions of stable-worldmodel 0.1.1")                              \
  X(REAL, fps, 0, 0, 1e3, RESULT, "N", "film: equal steps, so many a second")                   \
  X(INT, size, 0, 0, 1 << 10, RESULT, "PX", "film: side of the frames; 0: 64")                  \
  X(TEXT, crop, 0, 0, 0, RESULT, "W:H:X:Y",                                                     \
    "film: the part of the pictures; default: the largest square in their middle")              \
  X(INT, steps, 0, 0, 1 << 20, RESULT, "N", "film: rows after which an episode is cut; 0: 500") \
  X(FLAG, keep_damaged, 0, 0, 1, RESULT, NULL,                                                  \
    "film: keep what can be read of damaged files; default: refuse them")                       \
  X(FLAG, overwrite, 0, 0, 1, FREE, NULL, "import, convert: replace an existing file")

typedef struct UsImport {
  US_IMPORT_SETTINGS(US_SETTING_FIELD)
} UsImport;

extern US_API const UsSetting us_import_settings[];

// What an import had to make up or to leave out.
typedef struct UsImportNotes {
  char made[US_LEFT_CHARS];  // what stands in for columns that are not there; "": nothing
  int64_t rewards;           // behind an episode's first row that were not finite: 0 in their place
  int64_t actions;           // of last rows, where no action follows: left out
} UsImportNotes;

// Writes the trajectories of another program's file into one of ours. A setting out of range is
// US_USAGE. Without a column for the
// state, proprio stands in for it, or a single 0: such data can train a model that sees frames, but
// no simulator can start from it. On failure `out` is not left behind. *verdict is what was read;
// verdict->left and *notes say all that is not in `out` as it was in the file.
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
