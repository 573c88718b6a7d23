#ifndef UNDERSTUDY_FOREIGN_EPISODES_H_
#define UNDERSTUDY_FOREIGN_EPISODES_H_

// Where episodes end in a file that has no column ep_len: where the episode's number changes, or
// steps begin anew, or behind rows that are terminated or truncated, or, where nothing says so,
// after so many rows.
//
// Threads: as for datasets.

#include "datasets/files/dataset_reader.h"

// Sets ep_len and ep_offset of d (and their number) from the other columns, and d->episodes_by to
// what they were found by. steps: rows of an episode where nothing else says where one ends.
UsStatus us_foreign_episodes(UsDataset* d, int64_t rows, int steps);

#endif  // UNDERSTUDY_FOREIGN_EPISODES_H_
