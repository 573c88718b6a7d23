#ifndef UNDERSTUDY_CUDA_HOST_H_
#define UNDERSTUDY_CUDA_HOST_H_

// What tests see of the CUDA code's host build: the seed of its orders, its counters, and the
// faults it found. A fault (a barrier that not all threads reach, a pointer that is not of the
// device, a launch that no GPU takes, a synchronisation within a capture) ends the program with one
// line, unless a test says that it waits for one.
//
// Threads: all calls may run on several threads; kernels run one after the other.

#include <stddef.h>
#include <stdint.h>

#include "worldmodel/base/api.h"

US_C_BEGIN

// The seed of the orders of blocks and threads, and of how long work waits in its stream. It moves
// on with every launch. 0: everything in order and at once, for debuggers.
US_API void us_cuda_host_seed(uint64_t seed);

typedef struct UsCudaHostCounts {
  uint64_t launches;        // kernels put into a stream or a graph
  uint64_t gemms;           // and products
  uint64_t graph_launches;  // graphs put into a stream
  uint64_t syncs;           // times that the host waited for a stream, also unasked, as for
                            // copies from or to memory that is not pinned
  uint64_t allocs, frees;   // of device memory
  uint64_t bytes_up, bytes_down;
} UsCudaHostCounts;

US_API UsCudaHostCounts us_cuda_host_counts(void);
US_API void us_cuda_host_reset_counts(void);

// From now on faults are kept instead of ending the program, or no longer.
US_API void us_cuda_host_keep_faults(int keep);

// The first fault since the last call of this, NULL without one. Valid until the next fault.
US_API const char* us_cuda_host_fault(void);

// From now on us_cu_malloc answers NULL when more than `bytes` would be held. 0: no limit.
US_API void us_cuda_host_memory_limit(size_t bytes);

// Device memory allocated from now on may be touched by kernels, copies and products alone, or no
// longer: a program that follows such a pointer ends with SIGSEGV, as with a GPU. Costs a call of
// the system for each piece of memory when something waits.
US_API void us_cuda_host_guard(int guard);

// From now on there are n devices, 0 or more; 1 when the program begins.
US_API void us_cuda_host_devices(int n);

US_C_END

#endif  // UNDERSTUDY_CUDA_HOST_H_
