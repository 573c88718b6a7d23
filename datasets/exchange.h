#ifndef UNDERSTUDY_EXCHANGE_H_
#define UNDERSTUDY_EXCHANGE_H_

// Datasets from and for other programs.
//
// Threads: as for datasets, calls come from one thread at a time.

#include "datasets/verify.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

typedef struct UsImport {
  UsSurveyConfig names;  // the file's own names, and repair
  const char* task;      // of the trajectories
  double dt;             // s an env step; 0: by the file's times or attribute
  double bound;          // actions lie in [-bound, bound] and are divided by it; 0: by the file's
                         // recorded bounds, or 1
  int overwrite;         // 1: an existing file is replaced
} UsImport;

// What an import had to make up or to leave out.
typedef struct UsImportNotes {
  char made[US_LEFT_CHARS];  // what stands in for columns that are not there; "": nothing
  int64_t rewards;           // behind an episode's first row that were not finite: 0 in their place
  int64_t actions;           // of last rows, where no action follows: left out
} UsImportNotes;

// Writes the trajectories of another program's file into one of ours. Without a column for the
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
