#ifndef UNDERSTUDY_ARENA_H_
#define UNDERSTUDY_ARENA_H_

// One block of memory per object: measure first, place then.
//
// The same function lays an object out twice. In the first pass the arena has no memory and
// us_arena_take only counts; us_arena_alloc then allocates the counted bytes (zeroed, aligned to
// 64) and the second pass returns the addresses. Freeing the arena frees everything in it.
//
//   UsArena a = {0};
//   layout(&a, object);                 // counts; pointers are NULL
//   if (us_arena_alloc(&a)) return ...; // allocates
//   layout(&a, object);                 // places
//
// Threads: an arena belongs to one thread at a time.

#include <stddef.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

typedef struct UsArena {
  char* base;   // NULL while measuring
  size_t size;  // bytes counted or placed so far
  size_t room;  // bytes allocated
} UsArena;

// The next `count` elements of `size` bytes, zeroed and aligned to 64. NULL while measuring.
US_API void* us_arena_take(UsArena* a, size_t count, size_t size);

// Allocates what was counted and starts the placing pass.
US_API UsStatus us_arena_alloc(UsArena* a);

// Starts the placing pass in a block of the caller's, aligned to 64, that has room for a->size
// bytes. It may be memory of a device: the arena never reads or writes it, and does not free it.
US_API void us_arena_place(UsArena* a, void* block);

// Frees the block. NULL is fine.
US_API void us_arena_free(UsArena* a);

#define US_TAKE(arena, type, count) ((type*)us_arena_take(arena, (size_t)(count), sizeof(type)))

US_C_END

#endif  // UNDERSTUDY_ARENA_H_
