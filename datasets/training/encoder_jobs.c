// The encoder that goes with a dataset: opened, or made from its rows.

#include "datasets/training/encoder_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/encoder_jobs.h"
#include "env/sim.h"
#include "worldmodel/base/progress.h"

enum { kFrames = 2048 };  // most frames that a kind is made from

UsStatus us_known_sim(const char* task, const struct UsTask* const* tasks, UsEnv** out) {
  char name[256];
  *out = NULL;
  // A task of this name is opened alone, so that no other can be meant.
  for (; tasks && *tasks; tasks++) {
    if (strcmp((*tasks)->name, task)) continue;
    snprintf(name, sizeof(name), "sim:%s", task);
    const struct UsTask* const one[] = {*tasks, NULL};
    return us_env_open(name, one, NULL, out);
  }
  return US_OK;
}

int us_known_positions(const char* task, const struct UsTask* const* tasks) {
  UsEnv* e;
  if (us_known_sim(task, tasks, &e) != US_OK || !e) return 0;
  int positions = us_sim_positions(e);
  us_env_close(e);
  return positions;
}

UsStatus us_encoder_fits(const UsEncoderInfo* e, const char* path, const UsDatasetInfo* info) {
  if (e->state > 0 && e->state != info->state) {
    return us_fail(US_FORMAT, "%s: expected states of %d numbers for the encoder, found %d", path,
                   e->state, info->state);
  }
  if (e->height > 0 && (e->height != info->height || e->width != info->width)) {
    return us_fail(US_FORMAT, "%s: expected frames of %d x %d for the encoder, found %d x %d", path,
                   e->width, e->height, info->width, info->height);
  }
  return US_OK;
}

// pixels (n, height, width, 3) of rows spread evenly over the dataset.
static UsStatus read_frames(UsDataset* data, int n, uint8_t* pixels) {
  const UsDatasetInfo* info = us_dataset_info(data);
  size_t image = (size_t)info->height * (size_t)info->width * 3;
  // One by one: they lie far apart in the file.
  UsProgress bar = us_progress_start("read", "frames", n, 0);
  for (int i = 0; i < n; i++) {
    UsStatus status = us_dataset_pixels(data, info->rows * i / n, 1, pixels + (size_t)i * image);
    if (status != US_OK) us_progress_end(&bar);
    US_TRY(status);
    US_TRY(us_progress_step(&bar, i, us_dataset_path(data)));
  }
  us_progress_end(&bar);
  return US_OK;
}

UsStatus us_dataset_encoder(const char* name, UsDataset* data, const struct UsTask* const* tasks,
                            UsPool* pool, UsDevice* device, UsEncoder** out) {
  const UsDatasetInfo* info = us_dataset_info(data);
  *out = NULL;
  // A folder, or the default.
  int reads = us_encoder_reads(name);
  if (!reads) return us_encoder_open(name, device, out);
  // What the kinds are told of the data.
  UsEncoderData rows = {.path = us_dataset_path(data),
                        .task = info->task,
                        .n = info->rows,
                        .height = info->height,
                        .width = info->width,
                        .state = info->state,
                        .states = us_dataset_states(data),
                        .dim = US_MADE_DIM};
  // States are in memory, all of them.
  if (reads == 's') {
    rows.positions = us_known_positions(info->task, tasks);
    return us_encoder_make(name, &rows, pool, device, out);
  }
  // Of frames so many as fit.
  rows.n = info->rows < kFrames ? info->rows : kFrames;
  uint8_t* pixels = malloc((size_t)rows.n * (size_t)info->height * (size_t)info->width * 3 + 1);
  if (!pixels) return us_fail(US_MEMORY, "%s: out of memory for frames", rows.path);
  rows.pixels = pixels;
  UsStatus status = read_frames(data, (int)rows.n, pixels);
  if (status == US_OK) status = us_encoder_make(name, &rows, pool, device, out);
  free(pixels);
  return status;
}
