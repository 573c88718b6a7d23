#ifndef UNDERSTUDY_DATASET_WRITER_H_
#define UNDERSTUDY_DATASET_WRITER_H_

// Making a writer of dataset.h for more than collecting needs. Not for users of dataset.h.

#include "datasets/dataset.h"

// As us_dataset_create, for `episodes` episodes of `rows` rows together and at most `longest` each.
// exchange: 0, or the bounds of the actions of a file that stable-worldmodel's loaders are to read:
// flags are h5py's bool, states float32, and what only ours say is left out. Nullable: sources,
// which us_dataset_sources gives back.
UsStatus us_writer_create(const char* path, const UsDatasetInfo* info, int64_t episodes,
                          int64_t rows, int longest, double exchange, int overwrite,
                          const char* sources, UsDatasetWriter** out);

#endif  // UNDERSTUDY_DATASET_WRITER_H_
