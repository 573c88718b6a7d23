// Two passes over the same calls: one adds up sizes, one hands out places in a block of that size.

#include "worldmodel/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { kAlign = 64 };

void* us_arena_take(UsArena* a, size_t count, size_t size) {
  // A size that no memory has would wrap around: it becomes one that allocating refuses.
  const size_t most = SIZE_MAX / 4;
  size_t at = (a->size + kAlign - 1) / kAlign * kAlign;
  int fits = at <= most && (size == 0 || count <= (most - at) / size);
  a->size = fits ? at + count * size : most + 1;  // more than there is: allocating it fails
  // The first pass only counts.
  if (!a->base) return NULL;
  US_ASSERT(a->size <= a->room);
  return a->base + at;
}

UsStatus us_arena_alloc(UsArena* a) {
  US_ASSERT(!a->base);
  // From here on the arena hands out this block, from its start.
  size_t bytes = (a->size + kAlign) / kAlign * kAlign;
  a->base = a->size > SIZE_MAX / 4 ? NULL : aligned_alloc(kAlign, bytes);
  if (!a->base) return us_fail(US_MEMORY, "out of memory: %zu bytes asked for", bytes);
  memset(a->base, 0, bytes);
  a->room = bytes;
  a->size = 0;
  return US_OK;
}

void us_arena_place(UsArena* a, void* block) {
  *a = (UsArena){.base = block, .room = a->size};
}

void us_arena_free(UsArena* a) {
  if (!a) return;
  free(a->base);
  *a = (UsArena){0};
}
