// The pool runs every item once, hands each worker its own number, and survives reuse.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worldmodel/base/pool.h"

enum { ITEMS = 1000 };

typedef struct Loop {
  int runs[ITEMS];
  int inside[16];  // by worker: 1 while it runs an item
  int threads;
  int bad;
} Loop;

static void item(void* arg, int i, int worker) {
  Loop* l = arg;
  if (worker < 0 || worker >= l->threads || l->inside[worker]) {
    __atomic_store_n(&l->bad, 1, __ATOMIC_RELAXED);
    return;
  }
  l->inside[worker] = 1;
  __atomic_add_fetch(&l->runs[i], 1, __ATOMIC_RELAXED);
  l->inside[worker] = 0;
}

static void check_pool(UsPool* p, int threads) {
  const int counts[] = {0, 1, 2, 3, ITEMS};
  assert_int_equal(us_pool_threads(p), threads);
  for (int repeat = 0; repeat < 100; ++repeat) {
    Loop l = {.threads = threads};
    int n = counts[repeat % 5];
    us_pool_run(p, n, item, &l);
    assert_int_equal(l.bad, 0);
    for (int i = 0; i < ITEMS; ++i) assert_int_equal(l.runs[i], i < n);
  }
}

static void test_every_item_once(void** state) {
  const int threads[] = {1, 2, 7};
  for (int i = 0; i < 3; ++i) {
    UsPool* p = us_pool_create(threads[i]);
    assert_non_null(p);
    check_pool(p, threads[i]);
    us_pool_destroy(p);
  }
}

static void test_no_pool(void** state) {
  check_pool(NULL, 1);
  us_pool_destroy(NULL);
  UsPool* p = us_pool_create(0);
  assert_true(us_pool_threads(p) >= 1);
  us_pool_destroy(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_item_once),
      cmocka_unit_test(test_no_pool),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
