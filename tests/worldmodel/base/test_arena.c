// Measure, place: equal layouts, aligned, zeroed, apart from each other.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worldmodel/base/arena.h"

typedef struct Object {
  char* letters;
  double* numbers;
  float* none;
  int* one;
} Object;

static void layout(UsArena* a, Object* o) {
  o->letters = US_TAKE(a, char, 3);
  o->numbers = US_TAKE(a, double, 100);
  o->none = US_TAKE(a, float, 0);
  o->one = US_TAKE(a, int, 1);
}

static void test_two_passes(void** state) {
  UsArena a = {0};
  Object o;
  layout(&a, &o);
  assert_null(o.letters);
  assert_null(o.one);
  assert_int_equal(us_arena_alloc(&a), US_OK);
  layout(&a, &o);
  assert_true(a.size <= a.room);
  assert_int_equal((uintptr_t)o.letters % 64, 0);
  assert_int_equal((uintptr_t)o.numbers % 64, 0);
  assert_int_equal((uintptr_t)o.one % 64, 0);
  assert_true((char*)o.numbers >= o.letters + 3 && (char*)o.one >= (char*)(o.numbers + 100));
  for (int i = 0; i < 100; ++i) assert_true(o.numbers[i] == 0.0);
  memset(o.letters, 1, 3), memset(o.numbers, 1, 800), *o.one = 7;
  us_arena_free(&a);
  assert_null(a.base);
  us_arena_free(&a);
  us_arena_free(NULL);
}

static void test_empty(void** state) {
  UsArena a = {0};
  assert_int_equal(us_arena_alloc(&a), US_OK);
  us_arena_free(&a);
}

static void test_too_large(void** state) {
#ifdef US_SANITIZED
  skip();  // sanitizers end the program at such a size
#endif
  UsArena a = {0};
  us_arena_take(&a, SIZE_MAX / 16, 1);
  assert_int_equal(us_arena_alloc(&a), US_MEMORY);
  us_arena_free(&a);
}

// Sizes that no memory has, also those whose sum would start again at zero.
static void test_beyond_all_memory(void** state) {
  const struct {
    size_t count, size;
  } takes[] = {{SIZE_MAX, 1}, {SIZE_MAX / 8 + 2, 8}, {(size_t)-5, sizeof(float)}, {1, SIZE_MAX}};
  for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
    UsArena a = {0};
    assert_null(us_arena_take(&a, takes[i].count, takes[i].size));
    assert_null(us_arena_take(&a, takes[i].count, takes[i].size));
    assert_null(us_arena_take(&a, 3, 1));
    assert_int_equal(us_arena_alloc(&a), US_MEMORY);
    us_arena_free(&a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_two_passes),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_too_large),
      cmocka_unit_test(test_beyond_all_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
