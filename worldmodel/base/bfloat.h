#ifndef UNDERSTUDY_BFLOAT_H_
#define UNDERSTUDY_BFLOAT_H_

// bfloat16: the upper half of a float, which has the range of floats and 8 bits of precision, 2 to
// 3 digits. Arrays of it are uint16_t.
//
// Threads: every call works on its arguments alone.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// The nearest bfloat16, of two the even one. What lies beyond the largest is infinite; NaN stays
// NaN, of the same sign.
static inline uint16_t us_bfloat(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  // The lower half of a NaN may be all that tells it from infinity.
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
  return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// The float that it is, exactly.
static inline float us_bfloat_wide(uint16_t b) {
  uint32_t bits = (uint32_t)b << 16;
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

// n of them.
static inline void us_bfloats_wide(size_t n, const uint16_t* from, float* to) {
  for (size_t i = 0; i < n; i++) to[i] = us_bfloat_wide(from[i]);
}

#endif  // UNDERSTUDY_BFLOAT_H_
