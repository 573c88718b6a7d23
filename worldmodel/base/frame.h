#ifndef UNDERSTUDY_FRAME_H_
#define UNDERSTUDY_FRAME_H_

// A frame: uint8 (height, width, 3), rows from top to bottom.

#include <stddef.h>

// Its bytes.
static inline size_t us_frame_bytes(int height, int width) {
  return (size_t)height * (size_t)width * 3;
}

#endif  // UNDERSTUDY_FRAME_H_
