#ifndef UNDERSTUDY_DATASET_RESUME_H_
#define UNDERSTUDY_DATASET_RESUME_H_

// What us_dataset_resume asks of the file that it goes on with. Not for users of dataset.h.

#include "datasets/dataset.h"

// Only a run of the same settings, episodes of `rows` rows, ends in the same file: others are
// refused.
UsStatus us_resume_check(const UsDataset* d, const UsDatasetInfo* want, int rows);

// Frames of two renderers do not mix: another one than the file's is refused while episodes of
// `asked` are still to be drawn. Frames of two versions of it may differ a little: which is which,
// from episode `episodes` on, is said by us_log and noted in info->renderer, in the room that the
// attribute has. A file that does not say what drew it stays as it is. path: for the line.
UsStatus us_resume_renderer(const char* path, const UsDatasetInfo* found, int64_t episodes,
                            int64_t asked, UsDatasetInfo* info);

#endif  // UNDERSTUDY_DATASET_RESUME_H_
