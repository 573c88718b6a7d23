#ifndef UNDERSTUDY_DATASET_CHECK_H_
#define UNDERSTUDY_DATASET_CHECK_H_

// What a dataset's small columns have to say to be believed. Not for users of dataset.h.

#include "datasets/dataset.h"

// The columns of a file as they were read, before anyone trusts them.
typedef struct UsDatasetColumns {
  int32_t* lengths;      // (E)
  int64_t* offsets;      // (E)
  float* actions;        // (N, A)
  float* proprio;        // (N, P)
  double* states;        // (N, S)
  double* times;         // (N)
  int32_t* episode_idx;  // (N)
  int32_t* step_idx;     // (N)
} UsDatasetColumns;

// Checks lengths and offsets of the `asked` episodes of a file of room_rows rows, and sets
// info->episodes and info->rows to the episodes that are there. `path` is for messages.
UsStatus us_dataset_check_episodes(const char* path, const UsDatasetColumns* c, int64_t asked,
                                   int64_t room_rows, UsDatasetInfo* info);

// Checks every row: counters, rising times, finite numbers, actions in [-1, 1].
UsStatus us_dataset_check_rows(const char* path, const UsDatasetColumns* c,
                               const UsDatasetInfo* info);

#endif  // UNDERSTUDY_DATASET_CHECK_H_
