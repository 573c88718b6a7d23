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

// A planner that goes by gradients, of which the point has none until it gets the entry.
static UsStatus toy_create(UsEnv* env, const UsPlannerConfig* config, UsPlanner** out) {
  static UsPlanner toy;
  *out = &toy;
  return US_OK;
}

static void toy_gradient(UsEnv* e, int n, const int* slots, int samples, int horizon,
                         const float* actions, const float* weights, float* rewards,
                         float* gradient) {}

static void what_an_env_lacks_is_refused_by_name(void** state) {
  (void)state;
  PointEnv e;
  point_open(&e, 1, kBlock);
  strcpy(e.base.info.name, "point:here");
  const UsPlannerClass toy = {
      .name = "toy", .needs = US_ENV_rollout_gradient, .create = toy_create};
  UsPlannerConfig config = us_planner_defaults();
  UsPlanner* p;
  assert_int_equal(us_planner_make(&toy, &e.base, &config, &p), US_UNSUPPORTED);
  assert_null(p);
  const char* const words[] = {"planner toy", "rollout_gradient", "point:here"};
  for (int i = 0; i < 3; i++) assert_non_null(strstr(us_message(), words[i]));
  UsEnvClass with = *e.base.cls;
  with.rollout_gradient = toy_gradient;
  e.base.cls = &with;
  assert_int_equal(us_planner_make(&toy, &e.base, &config, &p), US_OK);
  assert_ptr_equal(p->cls, &toy);
}

static void slots_that_are_not_there_are_refused(void** state) {
  (void)state;
  PointEnv e;
  point_open(&e, 2, kBlock);
  UsPlannerConfig config = us_planner_defaults();
  UsPlanner* p;
  assert_int_equal(us_planner_create("cem", &e.base, &config, &p), US_OK);
  const int slots[] = {0, 2};
  const uint64_t episodes[] = {1, 2};
  assert_int_equal(us_planner_start(p, 2, slots, episodes), US_USAGE);
  assert_int_equal(us_planner_start(p, 1, slots, NULL), US_USAGE);
  assert_int_equal(us_planner_start(p, 1, slots, episodes), US_OK);
  us_planner_destroy(p);
  assert_int_equal(us_planner_create("cem", NULL, &config, &p), US_USAGE);
  assert_int_equal(us_planner_create(NULL, &e.base, &config, &p), US_USAGE);
  assert_int_equal(us_planner_create("cem", &e.base, NULL, &p), US_USAGE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_planner_keeps_the_contract),
      cmocka_unit_test(random_is_uniform_and_imagines_nothing),
      cmocka_unit_test(wrong_settings_are_refused),
      cmocka_unit_test(what_an_env_lacks_is_refused_by_name),
      cmocka_unit_test(slots_that_are_not_there_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
