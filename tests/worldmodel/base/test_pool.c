// The pool runs every item once, hands each worker its own number, and survives reuse.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "worldmodel/base/pool.h"
#include "worldmodel/base/progress.h"

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

typedef struct Stop {
  int wanted, begun;  // begun: items that have
  int seen[2];        // by worker: 1 once it saw the wish
} Stop;

static int wish(void* data) {
  return __atomic_load_n((int*)data, __ATOMIC_RELAXED);
}

// Waits for the wish, as a long item does that asks now and then. It comes when both workers have
// begun, however late the second is.
static void long_item(void* arg, int i, int worker) {
  Stop* s = arg;
  struct timespec pause = {0, 1000000};
  __atomic_add_fetch(&s->begun, 1, __ATOMIC_RELAXED);
  for (int k = 0; k < 60000 && !us_interrupted(); ++k) {
    nanosleep(&pause, NULL);
    int both = __atomic_load_n(&s->begun, __ATOMIC_RELAXED) >= 2;
    if (i == 0 && k >= 20 && both) __atomic_store_n(&s->wanted, 1, __ATOMIC_RELAXED);
    if (i == 2) return;
  }
  s->seen[worker] = us_interrupted();
}

// The caller's hook is heard in every worker, though it is called in the caller alone: while it
// works and while it waits for the others.
static void test_workers_hear_the_caller(void** state) {
  UsPool* p = us_pool_create(2);
  for (int items = 2; items <= 3; ++items) {
    Stop s = {0};
    us_hooks_set((UsHooks){.stop = wish, .data = &s});
    us_pool_run(p, items, long_item, &s);
    assert_true(s.seen[0] || s.seen[1]);
    if (items == 2) assert_true(s.seen[0] && s.seen[1]);
    assert_int_equal(us_interrupted(), 1);
  }
  us_hooks_set((UsHooks){0});
  Loop l = {.threads = 2};
  us_pool_run(p, ITEMS, item, &l);
  assert_int_equal(l.runs[ITEMS - 1], 1);
  us_pool_destroy(p);
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
      cmocka_unit_test(test_workers_hear_the_caller),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
