#ifndef UNDERSTUDY_EDIT_H_
#define UNDERSTUDY_EDIT_H_

// Datasets made of the episodes of others: several as one, one in two parts, one without some.
//
// Episodes are taken as they are, number for number, in the order of their files; every frame is
// compared with its checksum on the way. What was there under the name of an output is lost only
// with `overwrite`, and once all outputs are whole; on failure they are as they were. The new file
// remembers its sources (us_dataset_sources), so that evaluations go on refusing what a model was
// trained on; no run can go on with it (us_dataset_resume).
//
// Threads: as for datasets, calls come from one thread at a time.

#include <stdint.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

typedef struct UsEdited {
  int64_t episodes, rows;  // in the new file
  int64_t repeated;        // episodes whose frames another one before them has too
} UsEdited;

// Writes the episodes of all files, a list that ends with NULL, into `out`. Files of another task,
// size of frames, numbers of an action, proprio or state, time step, camera, variation or kind of
// renderer than the first are US_FORMAT; the message names both. Where policies differ the new file
// says "several", where seeds do 0.
US_API UsStatus us_dataset_merge(const char* const* paths, const char* out, int overwrite,
                                 UsEdited* made);

// Draws by `seed` which share (0 to 1, so that neither part is empty) of the episodes goes to
// `out`; the others go to `rest`. made (2): of out and of rest.
US_API UsStatus us_dataset_split(const char* path, double share, uint64_t seed, const char* out,
                                 const char* rest, int overwrite, UsEdited made[2]);

// Writes all but some episodes into `out`. episodes: numbers from 0 on and ranges, "3,7-9".
US_API UsStatus us_dataset_drop(const char* path, const char* episodes, const char* out,
                                int overwrite, UsEdited* made);

US_C_END

#endif  // UNDERSTUDY_EDIT_H_
