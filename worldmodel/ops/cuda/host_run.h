#ifndef UNDERSTUDY_HOST_RUN_H_
#define UNDERSTUDY_HOST_RUN_H_

// Between the parts of the host build: host_launch.cc, which runs one kernel, host_memory.cc, and
// host_runtime.cc, which keeps streams and counters and lets one thread in at a time.

#include "worldmodel/ops/cuda/launch.h"

// Runs all blocks and threads of a kernel here and now, in an order of `seed` (0: as numbered).
void us_host_run(const UsHostLaunch* launch, void* call, uint64_t seed);

// Bytes of shared memory that a kernel may have.
size_t us_host_shared_allowed(const void* kernel);

typedef enum UsHostKind { US_HOST_DEVICE, US_HOST_PINNED } UsHostKind;

// Whether the bytes from x on lie in one piece of memory of this kind.
bool us_host_within(UsHostKind kind, const void* x, size_t bytes);

// Memory filled with NaN; NULL without. release returns its bytes.
void* us_host_allocate(UsHostKind kind, size_t bytes);
size_t us_host_release(UsHostKind kind, void* x);

// Device memory allocated from now on is guarded, or not; whether any is. Guarded memory may be
// touched between open and close alone, which nest.
void us_host_guard_new(bool guard);
bool us_host_guarded();
void us_host_open();
void us_host_close();

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
