#include "datasets/dataset_check.h"

#include <math.h>

static UsStatus check_length(const char* path, const UsDatasetColumns* c, int64_t e, int64_t next,
                             int64_t room_rows) {
  long long episode = (long long)e, length = c->lengths[e], offset = (long long)c->offsets[e];
  if (length < 1) {
    return us_fail(US_FORMAT, "%s: ep_len, episode %lld: expected at least 1 row, found %lld", path,
                   episode, length);
  }
  if (offset != next) {
    return us_fail(US_FORMAT, "%s: ep_offset, episode %lld: expected %lld, found %lld", path,
                   episode, (long long)next, offset);
  }
  if (offset + length > room_rows) {
    return us_fail(US_FORMAT,
                   "%s: ep_len, episode %lld: expected its rows to end within the file's %lld, "
                   "found them to end at %lld",
                   path, episode, (long long)room_rows, offset + length);
  }
  return US_OK;
}

UsStatus us_dataset_check_episodes(const char* path, const UsDatasetColumns* c, int64_t asked,
                                   int64_t room_rows, UsDatasetInfo* info) {
  int64_t episodes = asked, rows = 0;
  while (!info->finished && episodes > 0 && c->lengths[episodes - 1] == 0) episodes--;
  if (episodes == 0) {
    return us_fail(US_FORMAT, "%s: expected at least one finished episode, found none", path);
  }
  for (int64_t e = 0; e < episodes; e++) {
    US_TRY(check_length(path, c, e, rows, room_rows));
    rows += c->lengths[e];
  }
  if (info->finished && rows != room_rows) {
    return us_fail(US_FORMAT, "%s: ep_len: expected the file's %lld rows in total, found %lld",
                   path, (long long)room_rows, (long long)rows);
  }
  info->episodes = episodes;
  info->rows = rows;
  return US_OK;
}

// A number of a column that is not what it should be.
static UsStatus wrong(const char* path, const char* column, int64_t row, int64_t episode,
                      const char* expected, double found) {
  return us_fail(US_FORMAT, "%s: %s, row %lld (episode %lld): expected %s, found %g", path, column,
                 (long long)row, (long long)episode, expected, found);
}

static UsStatus check_action(const char* path, const float* action, int width, int64_t row,
                             int64_t episode, int last) {
  for (int i = 0; i < width; i++) {
    double x = (double)action[i];
    if (last && isnan(x)) continue;
    if (!isfinite(x)) {
      return wrong(path, "action", row, episode, "a finite number inside an episode", x);
    }
    if (fabs(x) > 1 + 1e-6) return wrong(path, "action", row, episode, "a number in [-1, 1]", x);
  }
  return US_OK;
}

static UsStatus check_counters(const char* path, const UsDatasetColumns* c, int64_t row, int64_t e,
                               int t) {
  int64_t first = c->offsets[e];
  if (t == 0 && c->step_idx[row] == 1) {
    return us_fail(US_FORMAT,
                   "%s: step_idx, row %lld (episode %lld): expected 0, found 1: collectors that "
                   "drop the reset row write such files, and shift the actions with it",
                   path, (long long)row, (long long)e);
  }
  if (c->step_idx[row] != t) {
    return us_fail(US_FORMAT, "%s: step_idx, row %lld (episode %lld): expected %d, found %d", path,
                   (long long)row, (long long)e, t, c->step_idx[row]);
  }
  if (c->episode_idx[row] != c->episode_idx[first]) {
    return us_fail(US_FORMAT, "%s: episode_idx, row %lld (episode %lld): expected %d, found %d",
                   path, (long long)row, (long long)e, c->episode_idx[first], c->episode_idx[row]);
  }
  return US_OK;
}

static UsStatus check_row(const char* path, const UsDatasetColumns* c, const UsDatasetInfo* info,
                          int64_t row, int64_t e, int t) {
  US_TRY(check_counters(path, c, row, e, t));
  US_TRY(check_action(path, c->actions + row * info->action, info->action, row, e,
                      t == c->lengths[e] - 1));
  for (int i = 0; i < info->proprio; i++) {
    double x = (double)c->proprio[row * info->proprio + i];
    if (!isfinite(x)) return wrong(path, "proprio", row, e, "a finite number", x);
  }
  for (int i = 0; i < info->state; i++) {
    double x = c->states[row * info->state + i];
    if (!isfinite(x)) return wrong(path, "state", row, e, "a finite number", x);
  }
  double time = c->times[row];
  if (!isfinite(time) || (t > 0 && time <= c->times[row - 1])) {
    return wrong(path, "time", row, e, "seconds that rise within an episode", time);
  }
  return US_OK;
}

UsStatus us_dataset_check_rows(const char* path, const UsDatasetColumns* c,
                               const UsDatasetInfo* info) {
  for (int64_t e = 0; e < info->episodes; e++) {
    for (int t = 0; t < c->lengths[e]; t++) {
      US_TRY(check_row(path, c, info, c->offsets[e] + t, e, t));
    }
  }
  return US_OK;
}
