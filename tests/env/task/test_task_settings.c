// What a task's table says for a job reaches its config, but not over what the caller chose.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "env/task.h"

#define CONFIG_SETTINGS(X)               \
  X(INT, steps, 5, 1, 100, RESULT, 0, 0) \
  X(INT, steps_more, 6, 1, 100, RESULT, 0, 0)

typedef struct Config {
  CONFIG_SETTINGS(US_SETTING_FIELD)
} Config;

#define US_SETTING_OF Config
static const UsSetting list[] = {CONFIG_SETTINGS(US_SETTING_ROW) US_SETTING_END};

static void test_settings(void** state) {
  const UsTaskSetting mine[] = {{"walk", "steps", 50},
                                {"walk", "steps_more", 60},
                                {"walk", "other", 70},
                                {"run", "steps", 80},
                                {0}};
  const UsTask task = {.settings = mine}, plain = {0};
  static const struct {
    const char* given;
    int steps, more;
  } cases[] = {{NULL, 5, 6},
               {"", 50, 60},
               {"steps ", 5, 60},
               {"steps_more", 50, 6},
               {"steps steps_more", 5, 6}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    Config c = {5, 6};
    assert_int_equal(us_task_settings(&task, "walk", cases[i].given, list, &c), US_OK);
    assert_int_equal(c.steps, cases[i].steps);
    assert_int_equal(c.steps_more, cases[i].more);
    assert_int_equal(us_task_settings(&plain, "walk", cases[i].given, list, &c), US_OK);
  }
}

static void test_out_of_range(void** state) {
  const UsTaskSetting mine[] = {{"walk", "steps", 101}, {0}};
  const UsTask task = {.settings = mine};
  Config c = {5, 6};
  assert_int_equal(us_task_settings(&task, "walk", "", list, &c), US_USAGE);
  assert_int_equal(c.steps, 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_settings),
                                     cmocka_unit_test(test_out_of_range)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
