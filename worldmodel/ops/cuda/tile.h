#ifndef UNDERSTUDY_CUDA_TILE_H_
#define UNDERSTUDY_CUDA_TILE_H_

// What kernels share that work on rows of floats four at a time, and in blocks that cover rows.

#include "worldmodel/ops/cuda/ops_cuda.h"

// a b + c, rounded alike wherever it stands: once by nvcc, twice on the host, whose compiler fuses
// nothing and would call a function for fmaf.
__device__ static inline float us_fma(float a, float b, float c) {
#ifdef US_CUDA_HOST
  return a * b + c;
#else
  return fmaf(a, b, c);
#endif
}

// 1: x, if it is there at all, and rows of it that are `stride` floats apart, begin at multiples of
// 16 bytes.
static inline int us_has_quads(const void* x, size_t stride) {
  return stride % 4 == 0 && (uintptr_t)x % 16 == 0;
}

// The first n numbers at p, four at most, with zeros behind them; aligned means that all are there.
__device__ static inline float4 us_quad(const float* p, int n, int aligned) {
  float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (n > 0 && aligned) return *(const float4*)p;
  if (n > 0) v.x = p[0];
  if (n > 1) v.y = p[1];
  if (n > 2) v.z = p[2];
  if (n > 3) v.w = p[3];
  return v;
}

// Blocks of 256 threads that cover rows x width: x of a block lies along the width, y along rows.
// A thread has row us_row() and columns from us_column() on, us_columns() apart.
typedef struct UsRowShape {
  dim3 grid, block;
} UsRowShape;

static inline UsRowShape us_row_shape(size_t rows, size_t width) {
  unsigned x = 1;
  while (x < 256 && x < width) x *= 2;
  size_t across = (width + x - 1) / x;
  UsRowShape s;
  s.block = dim3(x, 256 / x);
  s.grid = dim3(us_blocks(rows, (int)(256 / x)), (unsigned)(across < 4096 ? across : 4096));
  return s;
}
__device__ static inline size_t us_row() {
  return (size_t)blockIdx.x * blockDim.y + threadIdx.y;
}
__device__ static inline int us_column() {
  return (int)(blockIdx.y * blockDim.x + threadIdx.x);
}
__device__ static inline int us_columns() {
  return (int)(gridDim.y * blockDim.x);
}

#endif  // UNDERSTUDY_CUDA_TILE_H_
