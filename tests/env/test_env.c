// Names, configurations and what env.c does for any kind.

#include "env/env_class.h"
#include "tests/env/env_help.h"

static void expect_failure(const char* name, const UsEnvConfig* config, UsStatus status,
                           const char* part) {
  UsEnv* e = (UsEnv*)1;
  assert_int_equal(us_env_open(name, us_tasks, config, &e), status);
  assert_null(e);
  assert_one_line(us_message());
  assert_non_null(strstr(us_message(), part));
}

static void bad_names(void** state) {
  expect_failure("pointmaze", NULL, US_USAGE, "sim:<task>");
  expect_failure("", NULL, US_USAGE, "sim:<task>");
  expect_failure("sim:", NULL, US_USAGE, "sim:<task>");
  expect_failure("si:pointmaze", NULL, US_USAGE, "sim:<task>");
  expect_failure("simulator:wall", NULL, US_USAGE, "sim:<task>");
  expect_failure("sim:nowhere", NULL, US_USAGE, "pointmaze, pointmaze_medium, wall");
  expect_failure("sim:wall", &(UsEnvConfig){.slots = -1}, US_USAGE, "slots");
  expect_failure("sim:wall", &(UsEnvConfig){.height = -4}, US_USAGE, "height");
  char longer[600] = "sim:";
  memset(longer + 4, 'a', 500);
  expect_failure(longer, NULL, US_USAGE, "aaa");
  UsEnv* e = NULL;
  assert_int_equal(us_env_open("sim:wall", NULL, NULL, &e), US_USAGE);
  assert_null(e);
  us_env_close(NULL);
}

static void defaults_and_sizes(void** state) {
  UsEnv* e = open_env("sim:pointmaze", NULL);
  const UsEnvInfo* i = us_env_info(e);
  assert_int_equal(i->slots, 1);
  assert_int_equal(i->block, us_task_pointmaze.block);
  assert_int_equal(i->height, us_task_pointmaze.size);
  assert_int_equal(i->width, us_task_pointmaze.size);
  assert_string_equal(i->name, "sim:pointmaze");
  assert_string_equal(i->task, "pointmaze");
  assert_true(i->dt > 0.0499 && i->dt < 0.0501);
  us_env_close(e);
  e = open_env("sim:wall", &(UsEnvConfig){.slots = 3, .block = 2, .width = 32});
  i = us_env_info(e);
  assert_int_equal(i->slots, 3);
  assert_int_equal(i->block, 2);
  assert_int_equal(i->height, 32);
  assert_int_equal(i->width, 32);
  us_env_close(e);
}

// A kind without rollout and fork of its own gets the same from save, step and restore.
static void default_rollout_and_fork(void** state) {
  enum { N = 5, SAMPLES = 7, HORIZON = 3 };
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = N});
  const UsEnvInfo* info = us_env_info(e);
  const UsEnvClass* own = e->cls;
  UsEnvClass plain = *own;
  plain.rollout = NULL;
  plain.fork = NULL;
  const uint64_t seeds[N] = {1, 2, 3, 4, 5};
  us_env_reset(e, NULL, seeds);
  double goal[4] = {1, -1, 0, 0};
  const int slots[3] = {3, 0, 4};
  const UsObs goals[3] = {{.state = goal}, {.state = goal}, {.state = goal}};
  assert_int_equal(us_env_set_goal(e, 3, slots, goals), US_OK);

  size_t count = 3 * SAMPLES * HORIZON * (size_t)(info->block * info->action);
  float* actions = random_actions(1, count, 1.2);
  float expected[3 * SAMPLES * HORIZON], found[3 * SAMPLES * HORIZON];
  char* before = malloc(us_env_save_size(e));
  char* after = malloc(us_env_save_size(e));
  us_env_save(e, 3, before);
  us_env_rollout(e, 3, slots, SAMPLES, HORIZON, actions, expected);
  e->cls = &plain;
  assert_int_equal(us_env_ready(e), US_OK);
  us_env_rollout(e, 3, slots, SAMPLES, HORIZON, actions, found);
  assert_memory_equal(expected, found, sizeof(found));
  assert_true(found[0] < 0);
  us_env_save(e, 3, after);
  assert_memory_equal(before, after, us_env_save_size(e));
  us_env_fork(e, 3, 2, (int[]){1, 3});
  us_env_save(e, 1, after);
  assert_memory_equal(before, after, us_env_save_size(e));
  e->cls = own;
  free(before);
  free(after);
  free(actions);
  us_env_close(e);
}

// ---- entries that a kind may have ----

// A kind with a gradient alone: the reward is -(x + sum of actions)^2, x the slot's number.
static void steep(UsEnv* e, int n, const int* slots, int samples, int horizon, const float* actions,
                  const float* weights, float* rewards, float* gradient) {
  for (int i = 0; i < n * samples; i++, actions += horizon, gradient += horizon) {
    float x = (float)slots[i / samples];
    memset(gradient, 0, sizeof(float) * (size_t)horizon);
    for (int h = 0; h < horizon; h++) {
      x += actions[h];
      *rewards++ = -x * x;
      for (int k = 0; k <= h; k++) gradient[k] -= 2 * weights[h] * x;
    }
  }
}

static void optional_entries(void** state) {
  static const UsEnvClass with = {.kind = "steep", .rollout_gradient = steep};
  UsEnv e = {.cls = &with, .info = {.name = "steep:x", .slots = 2, .block = 1, .action = 1}};
  assert_int_equal(us_env_need(&e, "planner slope", US_ENV_rollout_gradient), US_OK);
  const float actions[4] = {0.5f, -1, 0, 2}, weights[2] = {3, 1};
  float rewards[4], gradient[4];
  us_env_rollout_gradient(&e, 1, (int[]){1}, 2, 2, actions, weights, rewards, gradient);
  assert_true(rewards[0] == -2.25f && rewards[3] == -9 && gradient[0] == -10 && gradient[3] == -6);

  // What is lacking is refused by its name, and by whose it is.
  unsigned all = US_ENV_rollout_gradient | US_ENV_rollout_device;
  assert_int_equal(us_env_need(&e, "planner slope", all), US_UNSUPPORTED);
  assert_one_line(us_message());
  assert_non_null(strstr(us_message(), "planner slope: needs rollouts"));
  assert_non_null(strstr(us_message(), "(rollout_device), which steep:x lacks"));
  assert_int_equal(us_env_latents(&e, 0, NULL, NULL, NULL), US_UNSUPPORTED);
  UsEnv* sim = open_env("sim:wall", NULL);
  assert_int_equal(us_env_need(sim, "planner slope", US_ENV_rollout_gradient), US_UNSUPPORTED);
  assert_non_null(strstr(us_message(), "sim:wall"));

  // So are slots that there are none of, and lists that are none.
  UsObs obs = {0};
  assert_int_equal(us_env_observe(sim, 1, (int[]){1}, &obs), US_USAGE);
  assert_non_null(strstr(us_message(), "sim:wall: expected slots of 0 .. 0, found 1"));
  assert_int_equal(us_env_set_goal(sim, 1, (int[]){0}, NULL), US_USAGE);
  assert_int_equal(us_env_look(sim, -1, (int[]){0}, &obs), US_USAGE);
  us_env_close(sim);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bad_names),
      cmocka_unit_test(defaults_and_sizes),
      cmocka_unit_test(default_rollout_and_fork),
      cmocka_unit_test(optional_entries),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
