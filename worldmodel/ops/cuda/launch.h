#ifndef UNDERSTUDY_LAUNCH_H_
#define UNDERSTUDY_LAUNCH_H_

// What kernels are written in. A .cu file that keeps to this header compiles twice: with nvcc for a
// GPU, and with g++ (US_CUDA_HOST defined) for the host, where host_launch.cc runs the threads of a
// block as fibers in a shuffled order and reports what would be a race or a hang.
//
//   __global__ void scale(int n, float a, const float* x, float* y) {
//     int i = blockIdx.x * blockDim.x + threadIdx.x;
//     if (i < n) y[i] = a * x[i];
//   }
//   LAUNCH(scale, us_blocks(n, 256), 256, 0, stream, n, 2.0f, x, y);
//
// LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...). A template's name with a comma
// stands in brackets, (kernel<float, 4>). Grid and block are an int or a dim3. A block has a
// multiple of 32 threads, 1024 at most, and the grid at least one block: launch nothing for no
// rows. Arguments are values, and pointers to memory of us_cu_malloc; the host refuses others.
//
// Shared memory, alone in these two forms, as statements of a function:
//   US_SHARED(float, s);                  // all of LAUNCH's shared_bytes as one float*
//   US_SHARED_ARRAY(float, tile, [32][33]);  // float tile[32][33]
// Its content is undefined when a block begins; on the host it is NaN. Above 48 KiB together, say
// US_SHARED_LIMIT(kernel, bytes) once before the first launch.
//
// Barriers: __syncthreads(), and the helpers below that carry `block` in their name, are reached by
// all threads of a block, `warp` by all 32 lanes of a warp, in the same place, also by threads that
// have no element: do not return before them. A helper of a block begins and ends with a barrier,
// so shared memory written before it may be read after it.
//
// Order of additions: fixed by the number of threads alone. The sum of a warp is the tree over
// lanes v_l += v_{l ^ o}, o = 16, 8, 4, 2, 1, the same bits in every lane; the sum of a block is
// the same tree over its warps' sums, with zeros for warps that are not there. There are no
// atomics.
//
// Rounding: nvcc contracts a * b + c to one rounding, the host build (-ffp-contract=off) does not;
// neither depends on the number of rows. Where two kernels must agree bit for bit, write fmaf.
// expf, erff, sqrtf, fmaxf and their double forms are there on both sides; __expf and the like are
// not.
//
// clang-format off
//   T warp_sum(T v)                    T is float, double or int
//   T warp_max(T v)                    a NaN is passed over, as fmaxf does
//   T warp_broadcast(T v, int lane)    the value of one lane
//   T warp_xor(T v, int mask)          the value of lane ^ mask
//   T warp_up(T v, int d)              the value of lane - d, the lane's own where there is none
//   T warp_shuffle(T v, int lane)      the value of a lane, another one for each lane
//   T block_sum(T v), block_max(T v)   every thread gets the result
//   T block_broadcast(T v, int thread) the value of one thread
//   int block_scan(int v)              the sum of v over threads 0 .. this one
//   int block_scan_before(int v, int* total)   over the threads before this one; all in total
//   int thread_rank(), lane_rank(), warp_rank()   of a block of any shape, x fastest
//   int block_threads()
// clang-format on

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef US_CUDA_HOST
#include "worldmodel/ops/cuda/host_kernel.h"
#else
#include <cuda_runtime.h>

typedef cudaStream_t UsStream;

#define LAUNCH(kernel, grid, block, shared, stream, ...) \
  kernel<<<grid, block, shared, stream>>>(__VA_ARGS__)
#define US_SHARED(type, name)                     \
  extern __shared__ float4 us_shared_of_launch[]; \
  type* const name = reinterpret_cast<type*>(us_shared_of_launch)
#define US_SHARED_ARRAY(type, name, shape) __shared__ type name shape
#define US_SHARED_LIMIT(kernel, bytes) \
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes))
#endif

// Blocks of `threads` that cover n elements.
static inline unsigned us_blocks(size_t n, int threads) {
  return (unsigned)((n + (size_t)threads - 1) / (size_t)threads);
}

enum { US_WARP = 32 };

__device__ static inline int thread_rank() {
  return (int)(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}
__device__ static inline int lane_rank() {
  return thread_rank() % US_WARP;
}
__device__ static inline int warp_rank() {
  return thread_rank() / US_WARP;
}
__device__ static inline int block_threads() {
  return (int)(blockDim.x * blockDim.y * blockDim.z);
}

// The operations that sums, maxima and scans are made of, and what leaves a value as it is.
__device__ static inline float us_larger(float a, float b) {
  return fmaxf(a, b);
}
__device__ static inline double us_larger(double a, double b) {
  return fmax(a, b);
}
__device__ static inline int us_larger(int a, int b) {
  return a > b ? a : b;
}
__device__ static inline float us_least(float) {
  return -INFINITY;
}
__device__ static inline double us_least(double) {
  return -(double)INFINITY;
}
__device__ static inline int us_least(int) {
  return INT32_MIN;
}

// On the host one meeting of the threads answers a helper; a test compares those with the ones
// below, made of shuffles and shared memory as on a device.
#if !defined(US_CUDA_HOST) || defined(US_HELPERS_AS_ON_DEVICE)

template <class T>
__device__ static inline T warp_shuffle(T v, int lane) {
  return __shfl_sync(0xffffffffu, v, lane);
}
template <class T>
__device__ static inline T warp_broadcast(T v, int lane) {
  return __shfl_sync(0xffffffffu, v, lane);
}
template <class T>
__device__ static inline T warp_xor(T v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}
template <class T>
__device__ static inline T warp_up(T v, int d) {
  return __shfl_up_sync(0xffffffffu, v, (unsigned)d);
}
template <class T>
__device__ static inline T warp_sum(T v) {
  for (int o = US_WARP / 2; o > 0; o /= 2) v += warp_xor(v, o);
  return v;
}
template <class T>
__device__ static inline T warp_max(T v) {
  for (int o = US_WARP / 2; o > 0; o /= 2) v = us_larger(v, warp_xor(v, o));
  return v;
}

// The warps' results meet in shared memory, where every warp reduces them once more. The second
// barrier keeps the next call from overwriting what a slow warp still reads.
template <class T>
__device__ static inline T block_sum(T v) {
  US_SHARED_ARRAY(T, part, [US_WARP]);
  v = warp_sum(v);
  if (lane_rank() == 0) part[warp_rank()] = v;
  __syncthreads();
  T all = warp_sum(lane_rank() < block_threads() / US_WARP ? part[lane_rank()] : T(0));
  __syncthreads();
  return all;
}
template <class T>
__device__ static inline T block_max(T v) {
  US_SHARED_ARRAY(T, part, [US_WARP]);
  v = warp_max(v);
  if (lane_rank() == 0) part[warp_rank()] = v;
  __syncthreads();
  T all = warp_max(lane_rank() < block_threads() / US_WARP ? part[lane_rank()] : us_least(v));
  __syncthreads();
  return all;
}
template <class T>
__device__ static inline T block_broadcast(T v, int thread) {
  US_SHARED_ARRAY(T, one, [1]);
  if (thread_rank() == thread) one[0] = v;
  __syncthreads();
  T all = one[0];
  __syncthreads();
  return all;
}

__device__ static inline int us_warp_scan(int v) {
  for (int d = 1; d < US_WARP; d *= 2) {
    int below = warp_up(v, d);
    if (lane_rank() >= d) v += below;
  }
  return v;
}
__device__ static inline int block_scan_before(int v, int* total) {
  US_SHARED_ARRAY(int, part, [US_WARP]);
  int within = us_warp_scan(v), warps = block_threads() / US_WARP;
  if (lane_rank() == US_WARP - 1) part[warp_rank()] = within;
  __syncthreads();
  int sums = us_warp_scan(lane_rank() < warps ? part[lane_rank()] : 0);
  int below = warp_shuffle(sums, warp_rank() > 0 ? warp_rank() - 1 : 0);
  *total = warp_broadcast(sums, warps - 1);
  __syncthreads();
  return (warp_rank() > 0 ? below : 0) + within - v;
}
__device__ static inline int block_scan(int v) {
  int total;
  return block_scan_before(v, &total) + v;
}

#else
#include "worldmodel/ops/cuda/host_helpers.h"
#endif

#endif  // UNDERSTUDY_LAUNCH_H_
