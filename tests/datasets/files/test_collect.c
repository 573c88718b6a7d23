// What us_collect refuses before it opens a simulator, in one line that names the setting.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "datasets/collect.h"
#include "tasks/tasks.h"
#include "tests/datasets/toy_dataset.h"

static UsCollectConfig good(void) {
  UsCollectConfig c = us_collect_defaults();
  c.task = "wall";
  c.out = toy_path("collect.h5");
  c.episodes = 3;
  c.tasks = us_tasks;
  return c;
}

static void refuse(UsCollectConfig c, UsStatus status, const char* text) {
  UsCollectResult r;
  assert_int_equal(us_collect_check(&c), status);
  assert_int_equal(us_collect(&c, &r), status);
  if (!strstr(us_message(), text)) print_error("expected \"%s\" in %s\n", text, us_message());
  assert_non_null(strstr(us_message(), text));
  assert_int_equal(r.episodes, 0);
}

static void test_settings(void** state) {
  UsCollectConfig c = good();
  assert_int_equal(us_collect_check(&c), US_OK);  // size 0 is the task's
  assert_int_equal(c.steps, 200);
  refuse(us_collect_defaults(), US_USAGE, "expected --task");
  c.out = NULL;
  refuse(c, US_USAGE, "expected --out");
  c = good();
  c.tasks = NULL;
  refuse(c, US_USAGE, "list of tasks");
  c = good();
  c.episodes = 0;
  refuse(c, US_USAGE, "--episodes");
  c = good();
  c.size = 4;
  refuse(c, US_USAGE, "--size");
  c = good();
  c.steps = 0;
  refuse(c, US_USAGE, "--steps");
  c = good();
  c.diverged = "explode";
  refuse(c, US_USAGE, "redraw, keep or stop, found \"explode\"");
  c.diverged = "keep";
  assert_int_equal(us_collect_check(&c), US_OK);
  c.vary_range = "test";
  refuse(c, US_USAGE, "--vary-range: expected --vary too");
  c.vary = "light";
  c.vary_range = "everywhere";
  refuse(c, US_USAGE, "everywhere");
}

static void test_file(void** state) {
  UsCollectConfig c = good();
  toy_write(c.out, 2, 2, 0);
  refuse(c, US_IO, "the file exists");
  c.resume = 1;
  assert_int_equal(us_collect_check(&c), US_OK);
  c.overwrite = 1;
  refuse(c, US_USAGE, "found both");
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  toy_folder();
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_settings), cmocka_unit_test(test_file)};
  return cmocka_run_group_tests(tests, NULL, teardown);
}
