#ifndef UNDERSTUDY_OUTPUT_H_
#define UNDERSTUDY_OUTPUT_H_

// A dataset that is made of others: it has its name once it is whole, and until then nothing that
// was there is lost. Not for users of dataset.h.
//
// Begin, write a file called `part`, then close, place and end; end alone undoes all.

#include "datasets/dataset.h"
#include "worldmodel/base/lock.h"

typedef struct UsOutput {
  const char* path;
  char* part;  // what the file is called until it is placed
  int made;    // 1: part is there
  UsLock* lock;
} UsOutput;

// Takes the lock of `path`. Refused are the name of an input (a list that ends with NULL), and
// unless `overwrite` is set that of any file. In every case the output has to be ended.
UsStatus us_output_begin(const char* path, const char* const* inputs, int overwrite, UsOutput* out);

// Finishes the writer of the part, which may be NULL, whatever became of it, and gives the first
// failure, with its message.
UsStatus us_output_close(UsOutput* out, UsDatasetWriter* w, UsStatus status);

// Gives a part that is whole its name.
UsStatus us_output_place(UsOutput* out);

// Removes a part that has not been placed and lets go of the lock. An empty output is fine.
void us_output_end(UsOutput* out);

#endif  // UNDERSTUDY_OUTPUT_H_
