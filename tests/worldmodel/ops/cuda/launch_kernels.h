#ifndef UNDERSTUDY_LAUNCH_KERNELS_H_
#define UNDERSTUDY_LAUNCH_KERNELS_H_

// The kernels of test_launch.cc, as functions.

#include "worldmodel/ops/cuda/runtime.h"

// warp_sum, warp_max, warp_broadcast 5, warp_xor 9, warp_up 3, warp_shuffle (7 lane + 3) % 32,
// block_sum, block_max, block_broadcast of the last but one, block_scan, block_scan_before, total.
enum { US_HELPERS = 12 };

// out (US_HELPERS, blocks, threads) of x (blocks, threads), as the host has the helpers and, with
// the suffix, made of shuffles and barriers.
#ifdef US_HELPERS_AS_ON_DEVICE
#define HELPERS(type) helpers_as_on_device_##type
#else
#define HELPERS(type) helpers_##type
#endif
#define US_HELPER_TYPES(X) X(float) X(double) X(int)
#define X(type)                                                                              \
  const char* helpers_##type(UsStream s, dim3 block, int blocks, const type* x, type* out);  \
  const char* helpers_as_on_device_##type(UsStream s, dim3 block, int blocks, const type* x, \
                                          type* out);
US_HELPER_TYPES(X)
#undef X

void launch_places(UsStream s, dim3 grid, dim3 block, int* out);
void launch_scale(UsStream s, int n, float a, const float* x, float* y);
void launch_nothing(UsStream s, dim3 grid, dim3 block, size_t shared);
void launch_product(UsStream s, int m, int n, int k, const float* a, const float* b, float* c);

// Name, blocks, bytes of shared memory.
#define US_PLANTED(X)          \
  X(read_early, 1, 512)        \
  X(write_early, 1, 0)         \
  X(warp_only, 1, 0)           \
  X(same_place, 2, 0)          \
  X(other_block, 2, 0)         \
  X(never_written, 1, 512)     \
  X(never_counted, 1, 0)       \
  X(half_barrier, 1, 0)        \
  X(two_barriers, 1, 0)        \
  X(gone_before_shuffle, 1, 0) \
  X(gone_before_barrier, 1, 0) \
  X(different_helpers, 1, 0)   \
  X(different_lanes, 1, 0)     \
  X(too_much, 1, 1024)         \
  X(beyond, 1, 0)
typedef enum UsPlanted {
#define X(name, blocks, shared) US_PLANTED_##name,
  US_PLANTED(X)
#undef X
} UsPlanted;

// y (128) of x (128), with the fault in it or without.
void launch_planted(UsPlanted which, bool planted, UsStream s, const float* x, float* y);

#endif  // UNDERSTUDY_LAUNCH_KERNELS_H_
