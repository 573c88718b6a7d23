#ifndef UNDERSTUDY_TESTS_GREY_DATA_H_
#define UNDERSTUDY_TESTS_GREY_DATA_H_

// A dataset written here, whose frames are grey and never change: what a camera that looks away
// records. Needs no rendering.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/dataset.h"

typedef struct Grey {
  const char* task;
  int episodes, rows, height, width, action, state;
} Grey;

static inline void grey_write(const char* path, Grey g) {
  UsDatasetInfo info = {.version = "1",
                        .policy = "none",
                        .height = g.height,
                        .width = g.width,
                        .action = g.action,
                        .proprio = 1,
                        .state = g.state,
                        .dt = 0.1};
  strcpy(info.task, g.task);
  size_t rows = (size_t)g.rows, frames = rows * (size_t)g.height * (size_t)g.width * 3;
  uint8_t *pixels = malloc(frames), *none = calloc(rows, 1), *last = calloc(rows, 1);
  float* zero = calloc(rows, sizeof(float));
  float* actions = calloc(rows * (size_t)g.action, sizeof(float));
  double* states = calloc(rows * (size_t)g.state, sizeof(double));
  double* times = calloc(rows, sizeof(double));
  memset(pixels, 128, frames);
  last[rows - 1] = 1;
  for (size_t t = 0; t < rows; t++) {
    times[t] = 0.1 * (double)t;
    for (size_t i = 0; i < (size_t)g.action; i++) {
      actions[t * (size_t)g.action + i] = t + 1 < rows ? 0.5f : NAN;
    }
  }
  UsDatasetWriter* w;
  US_ASSERT(us_dataset_create(path, &info, g.episodes, g.rows, 1, &w) == US_OK);
  for (int e = 0; e < g.episodes; e++) {
    for (size_t i = 0; i < rows * (size_t)g.state; i++) {
      states[i] = sin((double)i * 7.3 + e) * (1 + (double)(i % (size_t)g.state));
    }
    const UsEpisode episode = {.rows = g.rows,
                               .pixels = pixels,
                               .actions = actions,
                               .proprio = zero,
                               .states = states,
                               .rewards = zero,
                               .terminated = none,
                               .truncated = last,
                               .times = times};
    US_ASSERT(us_dataset_append(w, &episode) == US_OK);
  }
  US_ASSERT(us_dataset_finish(w) == US_OK);
  void* own[] = {pixels, none, last, zero, actions, states, times};
  for (int i = 0; i < 7; i++) free(own[i]);
}

#endif  // UNDERSTUDY_TESTS_GREY_DATA_H_
