// Memory of a device that is the host's own, known by its ranges, so that a pointer of the wrong
// kind is found where it is handed over. Guarded, a range has pages of its own that nobody may
// touch while no kernel, copy or product runs, so that a host that follows a device's pointer ends
// there.

#include <stdlib.h>
#include <sys/mman.h>

#include "worldmodel/ops/cuda/host.h"
#include "worldmodel/ops/cuda/host_run.h"

namespace {

struct Range {
  uintptr_t begin, end;
  size_t mapped;  // bytes of guarded pages, 0: of malloc
};

// In the order of their addresses.
struct Ranges {
  Range* at;
  int count, room;
  int guarded;
} ranges[2];

enum { PAGE = 4096 };

bool guard_new;
int open_depth;

// The place of the last range that begins at or before x, -1 without one.
int place(const Ranges* r, uintptr_t x) {
  int low = 0, high = r->count;
  while (low < high) {
    int mid = (low + high) / 2;
    if (r->at[mid].begin <= x) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low - 1;
}

void protect(const Range* r, int what) {
  if (r->mapped && mprotect((void*)r->begin, r->mapped, what)) abort();
}

}  // namespace

bool us_host_within(UsHostKind kind, const void* x, size_t bytes) {
  const Ranges* r = ranges + kind;
  uintptr_t a = (uintptr_t)x;
  int i = place(r, a);
  return i >= 0 && a + bytes <= r->at[i].end && a + bytes >= a;
}

void* us_host_allocate(UsHostKind kind, size_t bytes) {
  Ranges* r = ranges + kind;
  Range new_one = {0, 0, 0};
  void* x = NULL;
  if (kind == US_HOST_DEVICE && guard_new) {
    new_one.mapped = (bytes / PAGE + 1) * PAGE;
    x = mmap(NULL, new_one.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (x == MAP_FAILED) return NULL;
    ++r->guarded;
  } else if (posix_memalign(&x, 256, bytes ? bytes : 1)) {
    return NULL;
  }
  memset(x, 0xff, bytes);  // NaN
  if (r->count == r->room) {
    r->room = r->room ? 2 * r->room : 64;
    r->at = (Range*)realloc(r->at, (size_t)r->room * sizeof *r->at);
    if (!r->at) abort();
  }
  new_one.begin = (uintptr_t)x, new_one.end = (uintptr_t)x + bytes;
  int i = place(r, new_one.begin) + 1;
  memmove(r->at + i + 1, r->at + i, (size_t)(r->count++ - i) * sizeof *r->at);
  r->at[i] = new_one;
  if (!open_depth) protect(r->at + i, PROT_NONE);
  return x;
}

size_t us_host_release(UsHostKind kind, void* x) {
  Ranges* r = ranges + kind;
  int i = place(r, (uintptr_t)x);
  if (i < 0 || r->at[i].begin != (uintptr_t)x) {
    us_host_fault("memory is freed that was not given");
    return 0;
  }
  size_t bytes = (size_t)(r->at[i].end - r->at[i].begin), mapped = r->at[i].mapped;
  memmove(r->at + i, r->at + i + 1, (size_t)(--r->count - i) * sizeof *r->at);
  if (mapped) {
    --r->guarded;
    munmap(x, mapped);
  } else {
    free(x);
  }
  return bytes;
}

void us_host_open() {
  const Ranges* r = ranges + US_HOST_DEVICE;
  if (open_depth++ || !r->guarded) return;
  for (int i = 0; i < r->count; ++i) protect(r->at + i, PROT_READ | PROT_WRITE);
}

void us_host_close() {
  const Ranges* r = ranges + US_HOST_DEVICE;
  if (--open_depth || !r->guarded) return;
  for (int i = 0; i < r->count; ++i) protect(r->at + i, PROT_NONE);
}

bool us_host_guarded() {
  return ranges[US_HOST_DEVICE].guarded > 0;
}

void us_host_guard_new(bool guard) {
  guard_new = guard;
}
