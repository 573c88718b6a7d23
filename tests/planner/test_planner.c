// What every planner of the list promises, and the settings that are refused.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "planner/planner.h"
#include "tests/planner/point_env.h"

enum { kSlots = 8, kBlock = 3, kPlayed = 2, kLength = kPlayed * kBlock * 2 };

// Plans of 8 episodes, one slot at a time or together.
static void plan_all(const char* name, uint64_t seed, int together, float* actions) {
  PointEnv e;
  point_open(&e, kSlots, kBlock);
  UsPlannerConfig config = us_planner_defaults();
  config.seed = seed;
  config.replan = kPlayed;
  UsPlanner* p;
  assert_int_equal(us_planner_create(name, &e.base, &config, &p), US_OK);
  int slots[kSlots];
  uint64_t episodes[kSlots];
  for (int i = 0; i < kSlots; i++) {
    slots[i] = i;
    episodes[i] = 100 + (uint64_t)i;
  }
  int n = together ? kSlots : 1;
  for (int i = 0; i < kSlots; i += n) {
    us_planner_start(p, n, slots + i, episodes + i);
    us_planner_plan(p, n, slots + i, actions + i * kLength);
  }
  us_planner_destroy(p);
}

static void every_planner_keeps_the_contract(void** state) {
  (void)state;
  for (int k = 0; us_planners[k]; k++) {
    float one[kSlots * kLength], all[kSlots * kLength], other[kSlots * kLength];
    plan_all(us_planners[k]->name, 1, 0, one);
    plan_all(us_planners[k]->name, 1, 1, all);
    plan_all(us_planners[k]->name, 2, 1, other);
    assert_memory_equal(one, all, sizeof(one));
    assert_memory_not_equal(one, other, sizeof(one));
    for (int i = 0; i < kSlots * kLength; i++) assert_true(one[i] >= -1 && one[i] <= 1);
    for (int i = 1; i < kSlots; i++) {
      assert_memory_not_equal(one, one + i * kLength, sizeof(float) * kLength);
    }
  }
}

static void random_is_uniform_and_imagines_nothing(void** state) {
  (void)state;
  PointEnv e;
  point_open(&e, 1, 500);
  UsPlannerConfig config = us_planner_defaults();
  UsPlanner* p;
  assert_int_equal(us_planner_create("random", &e.base, &config, &p), US_OK);
  static float a[1000], next[1000];
  int slot = 0;
  uint64_t episode = 1;
  us_planner_start(p, 1, &slot, &episode);
  us_planner_plan(p, 1, &slot, a);
  double sum = 0, square = 0;
  for (int i = 0; i < 1000; i++) {
    sum += (double)a[i];
    square += (double)a[i] * (double)a[i];
  }
  assert_float_equal(sum / 1000, 0, 0.08);
  assert_float_equal(square / 1000, 1.0 / 3, 0.04);
  us_planner_plan(p, 1, &slot, next);
  assert_memory_not_equal(a, next, sizeof(a));
  assert_int_equal(e.rollouts, 0);
  assert_int_equal(p->candidate_steps, 0);
  us_planner_destroy(p);
}

static void wrong_settings_are_refused(void** state) {
  (void)state;
  PointEnv e;
  point_open(&e, 1, kBlock);
  UsPlanner* p;
  UsPlannerConfig config = us_planner_defaults();
  assert_int_equal(us_planner_create("sem", &e.base, &config, &p), US_USAGE);
  assert_non_null(strstr(us_message(), "sem"));
  config.replan = config.horizon + 1;
  assert_int_equal(us_planner_create("cem", &e.base, &config, &p), US_USAGE);
  assert_non_null(strstr(us_message(), "replan"));
  assert_null(p);
  config = us_planner_defaults();
  config.elites = config.samples + 1;
  assert_int_equal(us_planner_create("cem", &e.base, &config, &p), US_USAGE);
  config = us_planner_defaults();
  config.deviation = NAN;
  assert_int_equal(us_planner_create("cem", &e.base, &config, &p), US_USAGE);
  config = us_planner_defaults();
  config.last_only = config.deadline = 1;
  assert_int_equal(us_planner_create("cem", &e.base, &config, &p), US_USAGE);
  assert_non_null(strstr(us_message(), "both"));
  us_planner_destroy(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_planner_keeps_the_contract),
      cmocka_unit_test(random_is_uniform_and_imagines_nothing),
      cmocka_unit_test(wrong_settings_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
