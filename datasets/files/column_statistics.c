#include "datasets/files/column_statistics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "datasets/hdf5/columns.h"

// Before the first number the range is empty: its ends are beyond all numbers.
int us_column_statistics_make(UsColumnStatistics* s, const UsDatasetInfo* info) {
  int good = 1;
  for (int c = 0; c < 3; c++) {
    size_t width = us_column_width(us_statistics_columns[c], info);
    s->moments[c] = calloc(width + 1, sizeof(UsMoments));
    for (size_t i = 0; s->moments[c] && i < width; i++) {
      s->moments[c][i] = (UsMoments){0, 0, 0, INFINITY, -INFINITY};
    }
    good &= s->moments[c] != NULL;
  }
  return good;
}

void us_column_statistics_free(UsColumnStatistics* s) {
  for (int c = 0; c < 3; c++) free(s->moments[c]);
}

// Mean and squares about it in one pass (Welford).
static void add(UsMoments* m, double x) {
  if (!isfinite(x)) return;
  m->count += 1;
  double delta = x - m->mean;
  m->mean += delta / m->count;
  m->square += delta * (x - m->mean);
  m->low = fmin(m->low, x);
  m->high = fmax(m->high, x);
}

void us_column_statistics_add(UsColumnStatistics* s, const UsDatasetInfo* info, int64_t rows,
                              const float* actions, const float* proprio, const double* states) {
  const int widths[] = {info->action, info->proprio, info->state};
  for (int64_t t = 0; t < rows; t++) {
    for (int i = 0; i < widths[0]; i++) add(&s->moments[0][i], (double)actions[t * widths[0] + i]);
    for (int i = 0; i < widths[1]; i++) add(&s->moments[1][i], (double)proprio[t * widths[1] + i]);
    for (int i = 0; i < widths[2]; i++) add(&s->moments[2][i], states[t * widths[2] + i]);
  }
}

// Attributes <column>_mean, _std, _min and _max; NaN where no number was finite.
int us_column_statistics_write(const UsColumnStatistics* s, const UsDatasetInfo* info, hid_t file) {
  int bad = 0;
  for (int c = 0; c < 3; c++) {
    UsColumnId id = us_statistics_columns[c];
    int width = (int)us_column_width(id, info);
    if (width == 0) continue;
    double* value = malloc((size_t)width * sizeof(double));
    if (!value) return -1;
    for (int k = 0; k < US_STATISTICS; k++) {
      for (int i = 0; i < width; i++) {
        const UsMoments* m = &s->moments[c][i];
        const double of[US_STATISTICS] = {m->mean, sqrt(m->square / m->count), m->low, m->high};
        value[i] = m->count > 0 ? of[k] : NAN;
      }
      char name[64];
      snprintf(name, sizeof(name), "%s_%s", us_columns[id].name, us_statistics_names[k]);
      bad |= us_attribute_write(file, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, width, value);
    }
    free(value);
  }
  return bad;
}
