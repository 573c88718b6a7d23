#include "datasets/files/dataset_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "worldmodel/base/crc32c.h"

// ---- episodes ----

// Of a file whose run was stopped the lengths end in zeros.
UsStatus us_dataset_check_episodes(const char* path, const UsDatasetColumns* c, int64_t asked,
                                   int64_t room_rows, UsDatasetInfo* info) {
  int64_t episodes = asked, rows = 0;
  while (!info->finished && episodes > 0 && c->ep_len[episodes - 1] == 0) episodes--;
  if (episodes == 0) {
    return us_fail(US_FORMAT, "%s: expected at least one finished episode, found none", path);
  }
  for (int64_t e = 0; e < episodes; e++) {
    // An episode begins where the one before ends, and ends within the file.
    long long length = c->ep_len[e], offset = (long long)c->ep_offset[e];
    if (length < 1) {
      return us_fail(US_FORMAT, "%s: ep_len, episode %lld: expected at least 1 row, found %lld",
                     path, (long long)e, length);
    }
    if (offset != rows) {
      const char* why = offset < 0 || offset >= room_rows ? ": out of range"
                        : offset < rows                   ? ": it overlaps an episode before"
                                                          : ": rows before it belong to no episode";
      return us_fail(US_FORMAT, "%s: ep_offset, episode %lld: expected %lld, found %lld%s", path,
                     (long long)e, (long long)rows, offset, why);
    }
    if (length > room_rows - offset) {
      return us_fail(US_FORMAT,
                     "%s: ep_len, episode %lld: expected its rows to end within the file's %lld, "
                     "found them to end at %lld",
                     path, (long long)e, (long long)room_rows, offset + length);
    }
    rows += length;
  }
  if (info->finished && rows != room_rows) {
    return us_fail(US_FORMAT, "%s: ep_len: expected the file's %lld rows in total, found %lld",
                   path, (long long)room_rows, (long long)rows);
  }
  info->episodes = episodes;
  info->rows = rows;
  return US_OK;
}

// ---- variation ----

UsStatus us_dataset_check_variation(const char* path, const UsDatasetInfo* info) {
  // Names are separated by commas.
  int names = info->variation_names[0] != 0;
  for (const char* at = info->variation_names; *at; at++) names += *at == ',';
  if (names == info->variation) return US_OK;
  return us_fail(US_FORMAT,
                 "%s: variation: expected %d numbers a row as attribute variation_names has, found "
                 "%d",
                 path, names, info->variation);
}

// ---- bounds ----

UsStatus us_dataset_read_bounds(const char* path, hid_t file, int width, int unit,
                                UsDatasetColumns* c) {
  int recorded = H5Aexists(file, "action_low") > 0 || H5Aexists(file, "action_high") > 0;
  if (width == 0 || (!recorded && !unit)) return US_OK;  // film has none to bound
  // Without a word of the file the bounds are ours.
  c->low = calloc((size_t)width, sizeof(float));
  c->high = calloc((size_t)width, sizeof(float));
  if (!c->low || !c->high) return us_fail(US_MEMORY, "%s: out of memory", path);
  for (int i = 0; i < width; i++) {
    c->low[i] = -1;
    c->high[i] = 1;
  }
  if (!recorded) return US_OK;
  for (int i = 0; i < 2; i++) {
    const char* name = i ? "action_high" : "action_low";
    if (us_attribute_read(file, name, H5T_NATIVE_FLOAT, width, i ? c->high : c->low)) continue;
    return us_fail(US_FORMAT, "%s: attribute %s: expected %d numbers, one per action, found others",
                   path, name, width);
  }
  for (int i = 0; i < width; i++) {
    if (c->low[i] < c->high[i]) continue;  // infinite bounds are bounds
    return us_fail(US_FORMAT,
                   "%s: attributes action_low, action_high: expected low < high for number %d, "
                   "found %g and %g",
                   path, i, (double)c->low[i], (double)c->high[i]);
  }
  return US_OK;
}

// ---- rows ----

// A number of a column that is not what it should be.
static UsStatus wrong(const char* path, const char* column, int64_t row, int64_t episode,
                      const char* expected, double found) {
  return us_fail(US_FORMAT, "%s: %s, row %lld (episode %lld): expected %s, found %g", path, column,
                 (long long)row, (long long)episode, expected, found);
}

// Finite and within the bounds, but for the row behind which nothing is played.
static UsStatus check_action(const char* path, const UsDatasetColumns* c, int width, int64_t row,
                             int64_t episode, int last) {
  for (int i = 0; i < width; i++) {
    double x = (double)c->action[(row - c->first) * width + i];
    if (last && isnan(x)) continue;
    if (!isfinite(x)) {
      return wrong(path, "action", row, episode, "a finite number inside an episode", x);
    }
    if (!c->low) continue;
    double low = (double)c->low[i], high = (double)c->high[i], slack = 1e-6 * fmax(1, high - low);
    if (x < low - slack || x > high + slack) {
      char expected[96];
      snprintf(expected, sizeof(expected), "a number in [%g, %g]", low, high);
      return wrong(path, "action", row, episode, expected, x);
    }
  }
  return US_OK;
}

// Steps count from 0 in every episode, whose rows share one number that differs from its
// neighbour's.
static UsStatus check_counters(const char* path, const UsDatasetColumns* c, int64_t row, int64_t e,
                               int t) {
  int64_t first = c->ep_offset[e] - c->first, at = row - c->first;
  if (c->step_idx && t == 0 && c->step_idx[at] == 1) {
    return us_fail(
        US_FORMAT,
        "%s: step_idx, row %lld (episode %lld): expected 0, found 1: the rotated actions "
        "of stable-worldmodel 0.1.1, whose collector drops the reset row and puts the "
        "first action into the last row",
        path, (long long)row, (long long)e);
  }
  if (c->step_idx && c->step_idx[at] != t) {
    return us_fail(US_FORMAT, "%s: step_idx, row %lld (episode %lld): expected %d, found %d", path,
                   (long long)row, (long long)e, t, c->step_idx[at]);
  }
  if (!c->episode_idx) return US_OK;
  if (c->episode_idx[at] != c->episode_idx[first]) {
    return us_fail(US_FORMAT, "%s: episode_idx, row %lld (episode %lld): expected %d, found %d",
                   path, (long long)row, (long long)e, c->episode_idx[first], c->episode_idx[at]);
  }
  if (t == 0 && at > 0 && c->episode_idx[at] == c->episode_idx[at - 1]) {
    return us_fail(US_FORMAT,
                   "%s: episode_idx, row %lld (episode %lld): expected another number than the "
                   "episode before has, found %d",
                   path, (long long)row, (long long)e, c->episode_idx[at]);
  }
  return US_OK;
}

// Everything about one row.
static UsStatus check_row(const char* path, const UsDatasetColumns* c, const UsDatasetInfo* info,
                          int64_t row, int64_t e, int t) {
  int64_t at = row - c->first;
  US_TRY(check_counters(path, c, row, e, t));
  US_TRY(check_action(path, c, info->action, row, e, t == c->ep_len[e] - 1));
  // Flags are 0 or 1, rewards numbers.
  if (c->terminated && c->terminated[at] > 1) {
    return wrong(path, "terminated", row, e, "0 or 1", c->terminated[at]);
  }
  if (c->truncated && c->truncated[at] > 1) {
    return wrong(path, "truncated", row, e, "0 or 1", c->truncated[at]);
  }
  if (c->reward && !isfinite(c->reward[at])) {
    return wrong(path, "reward", row, e, "a finite number", (double)c->reward[at]);
  }
  for (int i = 0; c->proprio && i < info->proprio; i++) {
    double x = (double)c->proprio[at * info->proprio + i];
    if (!isfinite(x)) return wrong(path, "proprio", row, e, "a finite number", x);
  }
  for (int i = 0; c->state && i < info->state; i++) {
    double x = c->state[at * info->state + i];
    if (!isfinite(x)) return wrong(path, "state", row, e, "a finite number", x);
  }
  // Every row of an episode repeats the same numbers in [-1, 1].
  for (int i = 0; c->variation && i < info->variation; i++) {
    float x = c->variation[at * info->variation + i];
    float first = c->variation[(c->ep_offset[e] - c->first) * info->variation + i];
    const char* expected = !(fabsf(x) <= 1) ? "a number in [-1, 1]"
                           : x != first     ? "the numbers of the episode's first row"
                                            : NULL;
    if (expected) return wrong(path, "variation", row, e, expected, (double)x);
  }
  // Time rises.
  if (!c->time) return US_OK;
  double time = c->time[at];
  if (!isfinite(time) || (t > 0 && time <= c->time[at - 1])) {
    return wrong(path, "time", row, e, "seconds that rise within an episode", time);
  }
  return US_OK;
}

UsStatus us_dataset_check_rows(const char* path, const UsDatasetColumns* c,
                               const UsDatasetInfo* info, int64_t first, int64_t count) {
  for (int64_t e = first; e < first + count; e++) {
    for (int t = 0; t < c->ep_len[e]; t++) {
      US_TRY(check_row(path, c, info, c->ep_offset[e] + t, e, t));
    }
  }
  return US_OK;
}

// ---- frames ----

UsStatus us_dataset_check_frames(const char* path, const UsDatasetColumns* c,
                                 const UsDatasetInfo* info, hid_t column, int64_t first,
                                 int64_t rows, const uint8_t* pixels) {
  enum { kRows = 256 };
  uint32_t want[kRows];
  size_t frame = us_column_width(US_COLUMN_PIXELS, info);
  for (int64_t row = first, end = first + rows; column >= 0 && row < end; row++) {
    int64_t i = (row - first) % kRows, n = end - row < kRows ? end - row : kRows;
    // Checksums are read for many rows at once.
    if (i == 0 && us_column_move(column, US_COLUMN_PIXELS_CRC, row, n, want, 0) != 0) {
      return us_fail(US_IO, "%s: pixels_crc, rows %lld to %lld: cannot be read: %s", path,
                     (long long)row, (long long)(row + n - 1), us_hdf5_reason());
    }
    uint32_t found = us_crc32c(0, pixels + (size_t)(row - first) * frame, frame);
    if (found == want[i]) continue;
    // Only the message needs the episode.
    int64_t e = 0;
    while (e + 1 < info->episodes && c->ep_offset[e + 1] <= row) e++;
    return us_fail(US_FORMAT,
                   "%s: pixels, row %lld (episode %lld): expected a frame of checksum %08x, found "
                   "%08x: its bytes were changed after they were written",
                   path, (long long)row, (long long)e, want[i], found);
  }
  return US_OK;
}
