#ifndef UNDERSTUDY_TOY_FRAMES_H_
#define UNDERSTUDY_TOY_FRAMES_H_

// Frames of a bright square at a random place on a grey ground, for tests of encoders.

#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/rng.h"

// frames (n, side, side, 3), malloc'd; place (n, 2) gets the square's corner, px. Nullable: place.
static inline uint8_t* toy_frames(int n, int side, int square, uint64_t seed, int* place) {
  size_t bytes = (size_t)(side * side * 3);
  uint8_t* frames = malloc((size_t)n * bytes);
  for (int i = 0; i < n; i++) {
    UsRng r = us_rng(seed, US_RNG_TEST, (uint64_t)i, 0, 0);
    int x = (int)us_rng_below(&r, (uint32_t)(side - square + 1));
    int y = (int)us_rng_below(&r, (uint32_t)(side - square + 1));
    uint8_t* f = frames + (size_t)i * bytes;
    memset(f, 90, bytes);
    for (int j = 0; j < square; j++) memset(f + ((y + j) * side + x) * 3, 230, (size_t)square * 3);
    if (place) place[2 * i] = x, place[2 * i + 1] = y;
  }
  return frames;
}

#endif  // UNDERSTUDY_TOY_FRAMES_H_
