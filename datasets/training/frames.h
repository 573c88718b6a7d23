#ifndef UNDERSTUDY_FRAMES_H_
#define UNDERSTUDY_FRAMES_H_

// A random sample of a dataset's frames with their states, in memory: what training and probing an
// encoder read.

#include "datasets/dataset.h"

typedef struct UsFrames {
  UsDatasetInfo info;
  int count;
  uint8_t* pixels;  // (count, height, width, 3)
  double* states;   // (count, state)
} UsFrames;

// Reads `count` rows (all of them, if there are fewer), spread over the dataset and drawn from the
// seed, in the order of rows. Free with us_frames_free.
UsStatus us_frames_read(const char* path, int count, uint64_t seed, UsFrames* out);

void us_frames_free(UsFrames* f);

#endif  // UNDERSTUDY_FRAMES_H_
