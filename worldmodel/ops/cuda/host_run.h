#ifndef UNDERSTUDY_HOST_RUN_H_
#define UNDERSTUDY_HOST_RUN_H_

// Between the two halves of the host build: host_launch.cc, which runs one kernel, and
// host_runtime.cc, which keeps memory, streams and counters. One thread at a time.

#include "worldmodel/ops/cuda/launch.h"

// Runs all blocks and threads of a kernel here and now, in an order of `seed` (0: as numbered).
void us_host_run(const UsHostLaunch* launch, void* call, uint64_t seed);

// Bytes of shared memory that a kernel may have.
size_t us_host_shared_allowed(const void* kernel);

// Reports a fault: ends the program, or keeps the text for us_cuda_host_fault.
void us_host_fault(const char* format, ...) __attribute__((format(printf, 1, 2)));

// The next number of a sequence; never the same twice in a row.
static inline uint64_t us_host_random(uint64_t* state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;  // splitmix64
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

#endif  // UNDERSTUDY_HOST_RUN_H_
