#ifndef UNDERSTUDY_DATASET_CHECK_H_
#define UNDERSTUDY_DATASET_CHECK_H_

// What a dataset's small columns have to say to be believed. Not for users of dataset.h.

#include "datasets/hdf5/columns.h"
#include "worldmodel/base/status.h"

// Checks lengths and offsets of the `asked` episodes of a file of room_rows rows, and sets
// info->episodes and info->rows to the episodes that are there. `path` is for messages.
UsStatus us_dataset_check_episodes(const char* path, const UsDatasetColumns* c, int64_t asked,
                                   int64_t room_rows, UsDatasetInfo* info);

// Checks that what varies has as many names as numbers.
UsStatus us_dataset_check_variation(const char* path, const UsDatasetInfo* info);

// Reads the recorded bounds of `width` numbers into c->low and c->high. Without any in the file
// they are -1 and 1 when `unit` is set, else NULL.
UsStatus us_dataset_read_bounds(const char* path, hid_t file, int width, int unit,
                                UsDatasetColumns* c);

// Checks every row of `count` episodes from episode `first` on, which must lie in the window:
// counters, rising times, finite numbers, actions within the bounds, flags 0 or 1, one variation in
// [-1, 1] an episode.
UsStatus us_dataset_check_rows(const char* path, const UsDatasetColumns* c,
                               const UsDatasetInfo* info, int64_t first, int64_t count);

// Compares frames that were read from row `first` of the file on with `column`, their checksums:
// pixels (rows, H, W, 3). c has lengths and offsets. A negative column: the file has none.
UsStatus us_dataset_check_frames(const char* path, const UsDatasetColumns* c,
                                 const UsDatasetInfo* info, hid_t column, int64_t first,
                                 int64_t rows, const uint8_t* pixels);

#endif  // UNDERSTUDY_DATASET_CHECK_H_
