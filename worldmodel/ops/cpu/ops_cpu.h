#ifndef UNDERSTUDY_OPS_CPU_H_
#define UNDERSTUDY_OPS_CPU_H_

// What the files of the CPU implementation of ops.h share: compiling a function for several
// processors, and functions of one number that the compiler can put into vector registers.
//
// Sums over a row run in US_LANES partial sums that are added in one fixed order, so their bits are
// the same on every processor.
//
// Threads: everything here works on its arguments alone.

#include <stdint.h>

#include "worldmodel/ops/ops_table.h"

// Before a function: compiles it for AVX-512, AVX2 and the base instruction set; the loader takes
// the best. Off under sanitizers, whose start-up the loader's choice would precede, and with clang,
// whose clones of version 14 no other file can call.
#if defined(__x86_64__) && !defined(US_SANITIZED) && !defined(__clang__)
#define US_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define US_CLONES
#endif
#define US_INLINE static inline __attribute__((always_inline))

// The functions of the table, us_cpu_<name>.
#define X(result, name, parameters, arguments) result us_cpu_##name parameters;
US_OPS(X)
#undef X

enum { US_LANES = 16 };

// The sum of s (US_LANES), in a fixed order.
US_INLINE float us_lanes_sum(const float* s) {
  float a[4];
  for (int j = 0; j < 4; ++j) a[j] = (s[j] + s[j + 4]) + (s[j + 8] + s[j + 12]);
  return (a[0] + a[1]) + (a[2] + a[3]);
}

// Sum over n elements of x y, in lanes. x (n), y (n).
US_INLINE float us_dot(int n, const float* x, const float* y) {
  float s[US_LANES] = {0};
  int i = 0;
  for (; i + US_LANES <= n; i += US_LANES) {
    for (int j = 0; j < US_LANES; ++j) s[j] += x[i + j] * y[i + j];
  }
  for (int j = 0; i + j < n; ++j) s[j] += x[i + j] * y[i + j];
  return us_lanes_sum(s);
}

// exp(x) to 2 units in the last place for x <= 0; values under exp(-87) come out as that.
// exp(x) = 2^n exp(r) with |r| <= ln 2 / 2, n by adding and taking off 1.5 * 2^23, and the Taylor
// polynomial of degree 7 for exp(r).
US_INLINE float us_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  union {
    float f;
    int32_t i;
  } n, r;
  n.f = x * 1.44269504f + 12582912.0f;
  float k = n.f - 12582912.0f;
  x = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.98412698e-4f;
  p = p * x + 1.38888889e-3f;
  p = p * x + 8.33333333e-3f;
  p = p * x + 4.16666667e-2f;
  p = p * x + 1.66666667e-1f;
  p = p * x + 0.5f;
  p = p * (x * x) + x + 1.0f;
  r.f = p;
  r.i += (int32_t)((uint32_t)n.i << 23);
  return r.f;
}

// c (m, n), rows ldc apart, = alpha op(a) op(b) + beta c: the one matrix product of the many-token
// attention. op transposes when its flag is set; lda and ldb are the distances of stored rows.
void us_blas_multiply(int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                      const float* a, int lda, const float* b, int ldb, float beta, float* c,
                      int ldc);

#endif  // UNDERSTUDY_OPS_CPU_H_
