#ifndef UNDERSTUDY_FENCED_H_
#define UNDERSTUDY_FENCED_H_

// A device of tests: the CPU's operations on memory that nobody else may touch, whose pages have no
// rights but inside an operation, so that who reads or writes tensor memory by itself dies. It
// counts the calls of every operation. There is one at a time.

#include <stdlib.h>
#include <sys/mman.h>

#include "worldmodel/ops/ops_table.h"

enum { kFencedRoom = 128 << 20 };  // bytes

typedef struct FencedCalls {
#define X(result, name, parameters, arguments) long name;
  US_OPS(X)
#undef X
} FencedCalls;

static FencedCalls fenced_calls;
static char* fenced_room;
static size_t fenced_used, fenced_limit;  // bytes handed out, and the most

static inline void fenced_rights(int rights) {
  if (mprotect(fenced_room, (fenced_used + 4095) / 4096 * 4096, rights) != 0) abort();
}

static inline void fenced_leave(const int* entered) {
  fenced_rights(PROT_NONE);
}

#define X(result, name, parameters, arguments)                    \
  static result fenced_##name parameters {                        \
    __attribute__((cleanup(fenced_leave))) const int entered = 1; \
    fenced_rights(PROT_READ | PROT_WRITE);                        \
    fenced_calls.name += entered;                                 \
    return us_device_cpu()->ops->name arguments;                  \
  }
US_OPS(X)
#undef X

// Hands out the room once, from its start on.
static inline void* fenced_take(UsDevice* d, size_t bytes) {
  const size_t at = fenced_used, taken = (bytes + 127) / 64 * 64;
  if (fenced_used + taken > fenced_limit) return NULL;
  fenced_used += taken;
  fenced_calls.alloc_bytes++;
  return fenced_room + at;
}

static inline void fenced_keep(UsDevice* d, void* x) {}

static inline UsDevice* fenced_open(int wide) {
  static UsOps ops = {
#define X(result, name, parameters, arguments) .name = fenced_##name,
      US_OPS(X)
#undef X
  };
  static UsDevice device = {.ops = &ops, .kind = "fenced"};
  fenced_room = mmap(NULL, kFencedRoom, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fenced_room == MAP_FAILED) abort();
  ops.alloc_bytes = fenced_take;
  ops.free = fenced_keep;
  device.wide = wide;
  fenced_used = 0;
  fenced_limit = kFencedRoom;
  fenced_calls = (FencedCalls){0};
  return &device;
}

static inline void fenced_close(void) {
  munmap(fenced_room, kFencedRoom);
  fenced_calls = (FencedCalls){0};
}

static inline long fenced_total(void) {
  long sum = 0;
#define X(result, name, parameters, arguments) sum += fenced_calls.name;
  US_OPS(X)
#undef X
  return sum;
}

// Calls of which a device makes work of its own: all but memory that comes, goes and is carried
// between host and device, and recordings.
static inline long fenced_launches(void) {
  const FencedCalls* c = &fenced_calls;
  return fenced_total() - c->alloc_bytes - c->free - c->put_bytes - c->get_bytes - c->name -
         c->record - c->recorded - c->replay - c->forget;
}

#endif  // UNDERSTUDY_FENCED_H_
