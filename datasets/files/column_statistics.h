#ifndef UNDERSTUDY_COLUMN_STATISTICS_H_
#define UNDERSTUDY_COLUMN_STATISTICS_H_

// Running statistics of the numbers of action, proprio and state (us_statistics_columns), as a
// writer keeps them for the file's attributes. Not for users of dataset.h.

#include <hdf5.h>

#include "datasets/dataset.h"

// Of one number of a column (Welford).
typedef struct UsMoments {
  double count, mean, square, low, high;
} UsMoments;

typedef struct UsColumnStatistics {
  UsMoments* moments[3];  // (numbers of a row) of us_statistics_columns
} UsColumnStatistics;

// Takes the memory for columns of info's sizes; 0 when there is none. Free it in every case.
int us_column_statistics_make(UsColumnStatistics* s, const UsDatasetInfo* info);
void us_column_statistics_free(UsColumnStatistics* s);

// Adds rows of actions (rows, A), proprio (rows, P), states (rows, S); numbers that are not finite
// are left out.
void us_column_statistics_add(UsColumnStatistics* s, const UsDatasetInfo* info, int64_t rows,
                              const float* actions, const float* proprio, const double* states);

// Writes the attributes; returns 0, or -1 when HDF5 failed.
int us_column_statistics_write(const UsColumnStatistics* s, const UsDatasetInfo* info, hid_t file);

#endif  // UNDERSTUDY_COLUMN_STATISTICS_H_
