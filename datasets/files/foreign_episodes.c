#include "datasets/files/foreign_episodes.h"

#include <stdio.h>
#include <stdlib.h>

// Reads whole columns that say where episodes end: numbers (rows), 1 or 2 columns of flags.
static UsStatus read_column(const UsDataset* d, UsColumnId id, int64_t rows, void** out) {
  *out = malloc((size_t)rows * us_number(us_columns[id].type).bytes + 1);
  if (!*out) return us_fail(US_MEMORY, "%s: out of memory for its rows", d->path);
  if (us_column_move(d->column[id], id, 0, rows, *out, 0) == 0) return US_OK;
  return us_fail(US_FORMAT, "%s: %s: expected readable numbers, found: %s", d->path, d->name[id],
                 us_hdf5_reason());
}

// Marks the first rows of episodes, first (rows), by the column that says it best.
static UsStatus mark(UsDataset* d, int64_t rows, int steps, uint8_t* first) {
  const UsColumnId numbers =
      d->column[US_COLUMN_EPISODE_IDX] >= 0 ? US_COLUMN_EPISODE_IDX : US_COLUMN_STEP_IDX;
  const UsColumnId flags[] = {US_COLUMN_TERMINATED, US_COLUMN_TRUNCATED};
  void* data = NULL;
  UsStatus status = US_OK;
  if (d->column[numbers] >= 0) {
    snprintf(d->episodes_by, sizeof(d->episodes_by), "by %s", d->name[numbers]);
    status = read_column(d, numbers, rows, &data);
    const int32_t* x = data;
    int steps_rise = numbers == US_COLUMN_STEP_IDX;
    for (int64_t i = 1; status == US_OK && i < rows; i++) {
      first[i] = steps_rise ? x[i] <= x[i - 1] : x[i] != x[i - 1];
    }
    free(data);
    return status;
  }
  for (int k = 0; k < 2 && status == US_OK; k++) {
    if (d->column[flags[k]] < 0) continue;
    snprintf(d->episodes_by, sizeof(d->episodes_by), "by terminated, truncated");
    status = read_column(d, flags[k], rows, &data);
    const uint8_t* x = data;
    for (int64_t i = 1; status == US_OK && i < rows; i++) first[i] |= x[i - 1] != 0;
    free(data);
  }
  if (d->episodes_by[0] || status != US_OK) return status;
  snprintf(d->episodes_by, sizeof(d->episodes_by), "of %d rows", steps);
  for (int64_t i = 1; i < rows; i++) first[i] = i % steps == 0;
  return US_OK;
}

UsStatus us_foreign_episodes(UsDataset* d, int64_t rows, int steps) {
  if (rows == 0) return us_fail(US_FORMAT, "%s: expected rows, found none", d->path);
  uint8_t* first = calloc((size_t)rows, 1);
  if (!first) return us_fail(US_MEMORY, "%s: out of memory for its rows", d->path);
  UsStatus status = mark(d, rows, steps, first);
  first[0] = 1;
  size_t count = 0;
  for (int64_t i = 0; i < rows; i++) count += first[i];
  d->c.ep_len = calloc(count, sizeof(*d->c.ep_len));
  d->c.ep_offset = calloc(count, sizeof(*d->c.ep_offset));
  if (status == US_OK && (!d->c.ep_len || !d->c.ep_offset)) {
    status = us_fail(US_MEMORY, "%s: out of memory for its episodes", d->path);
  }
  for (int64_t i = 0, e = -1; status == US_OK && i < rows; i++) {
    if (first[i]) d->c.ep_offset[++e] = i;
    d->c.ep_len[e]++;
  }
  free(first);
  d->extent[US_COLUMN_EP_LEN] = d->extent[US_COLUMN_EP_OFFSET] = count;
  return status;
}
