// Kernels of test_launch.cc: the helpers, shapes of launches, and races and hangs planted on
// purpose, each with its sound twin. `planted` is a template's argument, as wrong code would be.

#include "tests/worldmodel/ops/cuda/launch_kernels.h"

// ---- the helpers; this part is compiled a second time by launch_device_kernels.cu ----

// out (helper, block, thread) of x (block, thread).
template <class T>
static __global__ void helpers(const T* x, T* out) {
  int t = thread_rank(), n = block_threads();
  size_t at = (size_t)blockIdx.x * n + t, row = (size_t)gridDim.x * n;
  T v = x[at], got[US_HELPERS];
  int k = 0;
  got[k++] = warp_sum(v);
  got[k++] = warp_max(v);
  got[k++] = warp_broadcast(v, 5);
  got[k++] = warp_xor(v, 9);
  got[k++] = warp_up(v, 3);
  got[k++] = warp_shuffle(v, (lane_rank() * 7 + 3) % 32);
  got[k++] = block_sum(v);
  got[k++] = block_max(v);
  got[k++] = block_broadcast(v, n - 2);
  int total = 0, mine = (int)v;
  got[k++] = (T)block_scan(mine);
  got[k++] = (T)block_scan_before(mine, &total);
  got[k++] = (T)total;
  for (k = 0; k < US_HELPERS; ++k) out[k * row + at] = got[k];
}

template <class T>
static const char* run_helpers(UsStream s, dim3 block, int blocks, const T* x, T* out) {
  LAUNCH(helpers<T>, (unsigned)blocks, block, 0, s, x, out);
  return us_cu_error();
}
const char* HELPERS(float)(UsStream s, dim3 block, int blocks, const float* x, float* out) {
  return run_helpers(s, block, blocks, x, out);
}
const char* HELPERS(double)(UsStream s, dim3 block, int blocks, const double* x, double* out) {
  return run_helpers(s, block, blocks, x, out);
}
const char* HELPERS(int)(UsStream s, dim3 block, int blocks, const int* x, int* out) {
  return run_helpers(s, block, blocks, x, out);
}

#ifndef US_HELPERS_AS_ON_DEVICE

// ---- launches ----

// Where each thread is: out (grid, block, 12).
static __global__ void places(int* out) {
  int block = (int)(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z));
  int* o = out + 12 * ((size_t)block * block_threads() + thread_rank());
  o[0] = (int)threadIdx.x, o[1] = (int)threadIdx.y, o[2] = (int)threadIdx.z;
  o[3] = (int)blockIdx.x, o[4] = (int)blockIdx.y, o[5] = (int)blockIdx.z;
  o[6] = (int)blockDim.x, o[7] = (int)blockDim.y, o[8] = (int)blockDim.z;
  o[9] = (int)gridDim.x, o[10] = (int)gridDim.y, o[11] = (int)gridDim.z;
}
void launch_places(UsStream s, dim3 grid, dim3 block, int* out) {
  LAUNCH(places, grid, block, 0, s, out);
}

static __global__ void scale(int n, float a, const float* x, float* y) {
  int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = a * x[i];
}
void launch_scale(UsStream s, int n, float a, const float* x, float* y) {
  LAUNCH(scale, us_blocks((size_t)n, 64), 64, 0, s, n, a, x, y);
}

static __global__ void nothing() {}
void launch_nothing(UsStream s, dim3 grid, dim3 block, size_t shared) {
  LAUNCH(nothing, grid, block, shared, s);
}

// c (m, n) = a (m, k) b (k, n), all multiples of 64, 16 for k.
static __global__ void product(int n, int k, const float* a, const float* b, float* c) {
  US_SHARED_ARRAY(float, ta, [16][64]);
  US_SHARED_ARRAY(float, tb, [16][64]);
  int t = (int)threadIdx.x, x = t % 16, y = t / 16;
  int row = (int)blockIdx.y * 64, column = (int)blockIdx.x * 64;
  float sum[4][4] = {};
  for (int from = 0; from < k; from += 16) {
    for (int i = t; i < 16 * 64; i += 256) {
      ta[i % 16][i / 16] = a[(row + i / 16) * k + from + i % 16];
      tb[i / 64][i % 64] = b[(from + i / 64) * n + column + i % 64];
    }
    __syncthreads();
    for (int q = 0; q < 16; ++q) {
      for (int i = 0; i < 16; ++i) sum[i / 4][i % 4] += ta[q][y * 4 + i / 4] * tb[q][x * 4 + i % 4];
    }
    __syncthreads();
  }
  for (int i = 0; i < 16; ++i) {
    c[(row + y * 4 + i / 4) * n + column + x * 4 + i % 4] = sum[i / 4][i % 4];
  }
}
void launch_product(UsStream s, int m, int n, int k, const float* a, const float* b, float* c) {
  LAUNCH(product, dim3((unsigned)n / 64, (unsigned)m / 64), 256, 0, s, n, k, a, b, c);
}

// ---- planted: each gets x and y (128) and one or more blocks of 128 threads ----

// Shared memory is read before all of it is written.
template <bool planted>
static __global__ void read_early(const float* x, float* y) {
  US_SHARED(float, s);
  int t = thread_rank();
  s[t] = x[t];
  if (!planted) __syncthreads();
  y[t] = s[127 - t];
}

// It is written again before all have read.
template <bool planted>
static __global__ void write_early(const float* x, float* y) {
  US_SHARED_ARRAY(float, s, [128]);
  int t = thread_rank();
  float sum = 0.0f;
  for (int i = 1; i < 4; ++i) {
    s[t] = (float)i * x[t];
    __syncthreads();
    sum += s[(t + 37) % 128];
    if (!planted) __syncthreads();
  }
  y[t] = sum;
}

// The barrier of a warp stands where that of the block must.
template <bool planted>
static __global__ void warp_only(const float* x, float* y) {
  US_SHARED_ARRAY(float, s, [4][32]);
  int t = thread_rank();
  s[warp_rank()][lane_rank()] = x[t];
  if (planted) {
    __syncwarp();
  } else {
    __syncthreads();
  }
  y[t] = s[3 - warp_rank()][lane_rank()];
}

// Blocks write the same numbers.
template <bool planted>
static __global__ void same_place(const float* x, float* y) {
  int t = thread_rank();
  if (planted || blockIdx.x == 1) y[t] = x[t] * (float)blockIdx.x;
}

// A block reads what another one writes.
template <bool planted>
static __global__ void other_block(const float* x, float* y) {
  int t = thread_rank(), half = 64;
  if (blockIdx.x == 0 && t < half) y[t] = x[t];
  if (blockIdx.x == 1 && t >= half) y[t] = planted ? y[t - half] : x[t - half];
}

// Shared memory is read that nobody wrote, as a number or as a count.
template <bool planted>
static __global__ void never_written(const float* x, float* y) {
  US_SHARED(float, s);
  int t = thread_rank();
  if (!planted || t % 32 != 7) s[t] = x[t];
  __syncthreads();
  y[t] = s[t];
}
template <bool planted>
static __global__ void never_counted(const float* x, float* y) {
  US_SHARED_ARRAY(int, most, [1]);
  int t = thread_rank();
  if (!planted && t == 0) most[0] = 3;
  __syncthreads();
  y[t] = most[0] > 3 ? x[t] : -x[t];
}

// A barrier that half of the threads reach.
template <bool planted>
static __global__ void half_barrier(const float* x, float* y) {
  int t = thread_rank();
  if (!planted || t < 64) __syncthreads();
  y[t] = x[t];
}

// Two barriers, one for each half.
template <bool planted>
static __global__ void two_barriers(const float* x, float* y) {
  int t = thread_rank();
  if (planted && t < 64) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  y[t] = x[t];
}

// Threads without an element return before a helper.
template <bool planted>
static __global__ void gone_before_shuffle(const float* x, float* y) {
  int t = thread_rank(), n = 100;
  if (planted && t >= n) return;
  float sum = warp_sum(t < n ? x[t] : 0.0f);
  if (t < n) y[t] = sum;
}
template <bool planted>
static __global__ void gone_before_barrier(const float* x, float* y) {
  int t = thread_rank(), n = 96;
  if (planted && t >= n) return;
  float sum = block_sum(t < n ? x[t] : 0.0f);
  if (t < n) y[t] = sum;
}

// Warps, and lanes of one warp, meet at different helpers.
template <bool planted>
static __global__ void different_helpers(const float* x, float* y) {
  int t = thread_rank();
  float v = planted && warp_rank() == 2 ? block_max(x[t]) : block_sum(x[t]);
  y[t] = v;
}
template <bool planted>
static __global__ void different_lanes(const float* x, float* y) {
  int t = thread_rank();
  float v = planted && lane_rank() == 30 ? warp_max(x[t]) : warp_sum(x[t]);
  y[t] = v;
}

// More static shared memory than a launch has without asking.
template <bool planted>
static __global__ void too_much(const float* x, float* y) {
  US_SHARED_ARRAY(float, s, [planted ? 12288 : 12000]);
  int t = thread_rank();
  s[t] = x[t];
  y[t] = s[t];
}

// One beyond the end, which AddressSanitizer finds.
template <bool planted>
static __global__ void beyond(const float* x, float* y) {
  US_SHARED_ARRAY(float, s, [128]);
  int t = thread_rank();
  s[t + (planted ? 1 : 0)] = x[t];
  __syncthreads();
  y[t] = s[t];
}

void launch_planted(UsPlanted which, bool planted, UsStream s, const float* x, float* y) {
  switch (which) {
#define X(name, blocks, shared)                          \
  case US_PLANTED_##name:                                \
    if (planted) {                                       \
      LAUNCH(name<true>, blocks, 128, shared, s, x, y);  \
    } else {                                             \
      LAUNCH(name<false>, blocks, 128, shared, s, x, y); \
    }                                                    \
    break;
    US_PLANTED(X)
#undef X
  }
}

#endif
