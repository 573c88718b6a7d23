// What a job tells its caller: the order of calls, stops, lines; silence without hooks.

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "worldmodel/base/progress.h"

typedef struct Heard {
  char text[256];
  double stop_at, done;
} Heard;

static void on_progress(void* data, UsProgress* p) {
  Heard* h = data;
  size_t used = strlen(h->text);
  h->done = p->done;
  snprintf(h->text + used, sizeof(h->text) - used, "%s %g/%g%s%s;", p->label, p->done, p->total,
           p->note, p->on ? "" : " end");
}

static int on_stop(void* data) {
  Heard* h = data;
  return h->done >= h->stop_at;
}

static void on_log(void* data, const char* line) {
  Heard* h = data;
  size_t used = strlen(h->text);
  snprintf(h->text + used, sizeof(h->text) - used, "[%s]", line);
}

static UsStatus job(void) {
  UsProgress p = us_progress_start("job", "units", 3, 0);
  us_log("%d units", 3);
  for (int i = 1; i <= 3; i++) US_TRY(us_progress_step(&p, i, "file"));
  us_progress_end(&p);
  us_progress_end(&p);
  return US_OK;
}

static void test_calls_come_in_order(void** state) {
  Heard h = {.stop_at = 9};
  UsHooks before = us_hooks_set((UsHooks){on_progress, on_stop, on_log, &h});
  assert_null(before.progress);
  assert_int_equal(job(), US_OK);
  assert_string_equal(h.text, "job 0/3;[3 units]job 1/3;job 2/3;job 3/3;job 3/3 end;");
  before = us_hooks_set(before);
  assert_ptr_equal(before.data, &h);
}

static void test_stop_is_a_status(void** state) {
  Heard h = {.stop_at = 2};
  us_hooks_set((UsHooks){on_progress, on_stop, on_log, &h});
  assert_int_equal(job(), US_INTERRUPTED);
  assert_string_equal(us_message(), "file: stopped");
  assert_string_equal(h.text, "job 0/3;[3 units]job 1/3;job 2/3;job 2/3 end;");
  us_hooks_set((UsHooks){0});
  assert_int_equal(job(), US_OK);
}

static void* elsewhere(void* arg) {
  return (void*)(intptr_t)job();
}

// Hooks are a thread's own.
static void test_another_thread_has_none(void** state) {
  Heard h = {.stop_at = 0};
  us_hooks_set((UsHooks){on_progress, on_stop, on_log, &h});
  pthread_t t;
  void* status;
  assert_int_equal(pthread_create(&t, NULL, elsewhere, NULL), 0);
  pthread_join(t, &status);
  assert_int_equal((intptr_t)status, US_OK);
  assert_string_equal(h.text, "");
  us_hooks_set((UsHooks){0});
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_calls_come_in_order),
                                     cmocka_unit_test(test_stop_is_a_status),
                                     cmocka_unit_test(test_another_thread_has_none)};
  return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
