#include "datasets/training/frames.h"

#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"

static UsStatus read_rows(UsDataset* d, uint64_t seed, UsFrames* out) {
  size_t bytes = (size_t)out->info.height * (size_t)out->info.width * 3;
  size_t state = (size_t)out->info.state;
  int64_t rows = out->info.rows;
  UsRng r = us_rng(seed, US_RNG_BATCH, 0, 0xf7a3e5, 0);
  // Memory first: a machine without it is told before anything is read.
  US_TRY(us_machine_need_memory(us_dataset_path(d),
                                (double)out->count * (double)(bytes + state * sizeof(double))));
  out->pixels = malloc((size_t)out->count * bytes);
  out->states = malloc((size_t)out->count * (state ? state : 1) * sizeof(double));
  if (!out->pixels || !out->states) {
    return us_fail(US_MEMORY, "%s: out of memory for %d frames", us_dataset_path(d), out->count);
  }
  UsProgress bar = us_progress_start("read", "frames", out->count, 0);
  for (int64_t i = 0; i < out->count; i++) {
    US_TRY(us_progress_step(&bar, (double)i, us_dataset_path(d)));
    // One row of every equal part of the file.
    int64_t low = i * rows / out->count, high = (i + 1) * rows / out->count;
    int64_t row = low + us_rng_below(&r, (uint32_t)(high - low));
    US_TRY(us_dataset_pixels(d, row, 1, out->pixels + (size_t)i * bytes));
    memcpy(out->states + (size_t)i * state, us_dataset_states(d) + (size_t)row * state,
           state * sizeof(double));
  }
  us_progress_end(&bar);
  return US_OK;
}

UsStatus us_frames_read(const char* path, int count, uint64_t seed, UsFrames* out) {
  *out = (UsFrames){0};
  UsDataset* d;
  US_TRY(us_dataset_open(path, &d));
  // A file with fewer rows gives all of them.
  out->info = *us_dataset_info(d);
  out->count = count < out->info.rows ? count : (int)out->info.rows;
  UsStatus status = US_OK;
  if (!out->info.height || out->count < 1) {
    status = us_fail(US_FORMAT, "%s: expected frames, found none", path);
  }
  if (status == US_OK) status = read_rows(d, seed, out);
  us_dataset_close(d);
  if (status != US_OK) us_frames_free(out);
  return status;
}

void us_frames_free(UsFrames* f) {
  free(f->pixels);
  free(f->states);
  *f = (UsFrames){0};
}
