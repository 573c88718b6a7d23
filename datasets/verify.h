#ifndef UNDERSTUDY_VERIFY_H_
#define UNDERSTUDY_VERIFY_H_

// Whether a file of trajectories, ours or another program's, holds what it should.
//
// Threads: as for datasets, calls come from one thread at a time.

#include "datasets/dataset.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

enum { US_LEFT_CHARS = 400 };

// What a whole file was found to be.
typedef struct UsVerdict {
  UsDatasetInfo info;
  char writer[96];
  int ours;                  // 1: training reads it as it is
  char hash[US_HASH_CHARS];  // us_dataset_hash of our files, else that of all that was read
  char left[US_LEFT_CHARS];  // columns that were not read or taken over; "": none
} UsVerdict;

// Reads and checks every column of a file. height, width: frames must have this size; 0: any.
US_API UsStatus us_dataset_verify(const char* path, int height, int width, UsVerdict* out);

US_C_END

#endif  // UNDERSTUDY_VERIFY_H_
