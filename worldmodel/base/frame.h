#ifndef UNDERSTUDY_FRAME_H_
#define UNDERSTUDY_FRAME_H_

// A frame: uint8 (height, width, 3), rows from top to bottom.

#include <stddef.h>
#include <stdint.h>

// Its bytes.
static inline size_t us_frame_bytes(int height, int width) {
  return (size_t)height * (size_t)width * 3;
}

// The share of pixels that differ visibly between two frames of n pixels (n, 3): by 8 or more in
// one of their colours.
static inline double us_frame_change(size_t n, const uint8_t* a, const uint8_t* b) {
  enum { VISIBLE = 8 };
  size_t changed = 0;
  for (size_t i = 0; i < n; i++, a += 3, b += 3) {
    int most = 0;
    for (int c = 0; c < 3; c++) {
      int off = a[c] > b[c] ? a[c] - b[c] : b[c] - a[c];
      most = off > most ? off : most;
    }
    changed += most >= VISIBLE;
  }
  return n ? (double)changed / (double)n : 0;
}

// Less of a picture than this is hardly learned from.
#define US_FRAME_FEW 0.003

#endif  // UNDERSTUDY_FRAME_H_
