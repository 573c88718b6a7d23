#ifndef UNDERSTUDY_TOY_DATASET_H_
#define UNDERSTUDY_TOY_DATASET_H_

// A small dataset whose every number says where it stands, for the tests of this folder.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/dataset.h"

enum {
  TOY_VARIATION = 2,
  TOY_ACTION = 2,
  TOY_PROPRIO = 3,
  TOY_STATE = 4,
  TOY_SIDE = 4,
  TOY_ROWS = 12
};

static inline float toy_action(int64_t e, int t, int i) {
  return (float)(((e * 131 + t * 17 + i * 7) % 199) / 100.0 - 0.99);
}

static inline float toy_proprio(int64_t e, int t, int i) {
  return (float)(e + 0.01 * t + i);
}

static inline double toy_state(int64_t e, int t, int i) {
  return 100.0 * (double)e + t + 0.1 * i;
}

static inline double toy_time(int64_t e, int t) {
  return 0.5 * (double)e + 0.05 * t;
}

// Of files whose info says that TOY_VARIATION factors vary.
static inline float toy_variation(int64_t e, int i) {
  return (float)((double)((e * 7 + i * 3) % 19) / 10.0 - 0.9);
}

static inline uint8_t toy_pixel(int64_t e, int t, int i) {
  return (uint8_t)(e * 37 + t * 11 + i * 5);
}

static inline UsDatasetInfo toy_info(void) {
  UsDatasetInfo info = {.task = "toy",
                        .version = "1.2.3",
                        .policy = "random",
                        .camera = "top",
                        .seed = UINT64_C(0x123456789abcdef0),
                        .height = TOY_SIDE,
                        .width = TOY_SIDE,
                        .action = TOY_ACTION,
                        .proprio = TOY_PROPRIO,
                        .state = TOY_STATE,
                        .dt = 0.05};
  return info;
}

// Appends episode e of `rows` rows.
static inline UsStatus toy_append(UsDatasetWriter* w, int64_t e, int rows) {
  enum { kFrame = TOY_SIDE * TOY_SIDE * 3, kMax = 512 };
  static uint8_t pixels[kMax * kFrame], zero[kMax], last[kMax];
  static float actions[kMax * TOY_ACTION], proprio[kMax * TOY_PROPRIO], rewards[kMax];
  static float variation[kMax * TOY_VARIATION];
  static double states[kMax * TOY_STATE], times[kMax];
  US_ASSERT(rows <= kMax);
  memset(last, 0, sizeof(last));
  last[rows - 1] = 1;
  for (int t = 0; t < rows; t++) {
    for (int i = 0; i < kFrame; i++) pixels[t * kFrame + i] = toy_pixel(e, t, i);
    for (int i = 0; i < TOY_ACTION; i++) {
      actions[t * TOY_ACTION + i] = t == rows - 1 ? NAN : toy_action(e, t, i);
    }
    for (int i = 0; i < TOY_PROPRIO; i++) proprio[t * TOY_PROPRIO + i] = toy_proprio(e, t, i);
    for (int i = 0; i < TOY_STATE; i++) states[t * TOY_STATE + i] = toy_state(e, t, i);
    for (int i = 0; i < TOY_VARIATION; i++) {
      variation[t * TOY_VARIATION + i] = toy_variation(e, i);
    }
    times[t] = toy_time(e, t);
    rewards[t] = 0;
  }
  UsEpisode episode = {.rows = rows,
                       .pixels = pixels,
                       .actions = actions,
                       .proprio = proprio,
                       .states = states,
                       .rewards = rewards,
                       .terminated = zero,
                       .truncated = last,
                       .times = times,
                       .variation = variation};
  return us_dataset_append(w, &episode);
}

// Rows of episode e in toy_write: they differ when `uneven` is set.
static inline int toy_rows(int64_t e, int uneven) {
  return uneven ? TOY_ROWS - (int)(e * 5 % 7) : TOY_ROWS;
}

// Writes `done` of `episodes` episodes and finishes the file.
static inline void toy_write(const char* path, int64_t episodes, int64_t done, int uneven) {
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  US_ASSERT(us_dataset_create(path, &info, episodes, TOY_ROWS, 1, &w) == US_OK);
  for (int64_t e = 0; e < done; e++) US_ASSERT(toy_append(w, e, toy_rows(e, uneven)) == US_OK);
  US_ASSERT(us_dataset_finish(w) == US_OK);
}

// A new folder under /tmp, removed with all in it by toy_folder_remove.
static inline const char* toy_folder(void) {
  static char folder[64];
  if (!folder[0]) {
    snprintf(folder, sizeof(folder), "/tmp/us_datasets_XXXXXX");
    US_ASSERT(mkdtemp(folder));
  }
  return folder;
}

static inline void toy_folder_remove(void) {
  char command[128];
  snprintf(command, sizeof(command), "rm -rf %s", toy_folder());
  if (system(command) != 0) fprintf(stderr, "%s stays behind\n", toy_folder());
}

// The path of a file in toy_folder; up to 8 are valid at a time.
static inline const char* toy_path(const char* name) {
  static char path[8][256];
  static int next;
  next = (next + 1) % 8;
  snprintf(path[next], sizeof(path[next]), "%s/%s", toy_folder(), name);
  return path[next];
}

#endif  // UNDERSTUDY_TOY_DATASET_H_
