// What MuJoCo says in a simulator env: states that it calls bad, warnings, errors.

#include <math.h>
#include <stdio.h>

#include "tests/env/env_help.h"

// What MuJoCo calls bad has diverged, also where every number is finite, and stays so.
static void divergence_is_a_value(void** state) {
  (void)state;
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.slots = 3});
  us_env_reset(e, NULL, (uint64_t[]){1, 2, 3});
  double far[4] = {0, 0, 1e11, 0}, near[4] = {0, 0, 0, 0}, now[4];
  put_state(e, 1, far);
  for (int i = 0; i < 3; i++) assert_int_equal(us_sim_diverged(e, i), i == 1);
  float actions[3 * 10] = {0}, reward[3], rewards[2];
  uint8_t terminated[3];
  char kinds[256];
  assert_int_equal(us_sim_warnings(e, kinds, sizeof(kinds)), 0);
  assert_string_equal(kinds, "");
  us_env_step(e, actions, &(UsStep){.reward = reward, .terminated = terminated});
  assert_true(reward[1] == -INFINITY && reward[0] == 0 && reward[2] == 0);
  assert_true(terminated[1] && !terminated[0]);
  get_state(e, 1, now);
  assert_memory_equal(now, far, sizeof(now));
  us_env_rollout(e, 1, (int[]){1}, 1, 2, actions, rewards);
  assert_true(rewards[0] == -INFINITY && rewards[1] == -INFINITY);
  assert_true(us_sim_warnings(e, kinds, sizeof(kinds)) > 0);
  assert_non_null(strstr(kinds, "bad qvel"));
  assert_null(us_env_error(e));
  put_state(e, 1, near);
  us_env_step(e, actions, &(UsStep){.reward = reward});
  assert_true(reward[1] == 0 && !us_sim_diverged(e, 1));
  us_env_close(e);
}

static void control_hard(const mjModel* m, mjData* d, const float* action) {
  (void)m;
  d->qfrc_applied[0] = action[0] > 0 ? 5e10 : 0;
}

// An acceleration that MuJoCo calls bad is divergence though the state it leads to is a state, and
// what was solved on the way counts for nothing. Later blocks do not heal it.
static void bad_accelerations_diverge(void** state) {
  (void)state;
  UsTask task = us_task_wall;
  task.name = "hard";
  task.control = control_hard;
  UsEnv* e = NULL;
  assert_int_equal(us_env_open("sim:hard", (const UsTask*[]){&task, NULL},
                               &(UsEnvConfig){.slots = 2, .block = 2}, &e),
                   US_OK);
  us_env_reset(e, NULL, (uint64_t[]){1, 2});
  float actions[2][2][2] = {{{-1, 0}, {-1, 0}}, {{1, 0}, {-1, 0}}}, reward[2], rewards[2];
  us_env_rollout(e, 1, (int[]){1}, 1, 2, (float[8]){1}, rewards);
  assert_true(rewards[0] == -INFINITY && rewards[1] == -INFINITY);
  assert_int_equal(us_sim_diverged(e, 1), 0);  // only imagined
  for (int b = 0; b < 2; b++) {
    us_env_step(e, actions[0][0], &(UsStep){.reward = reward});
    assert_true(reward[0] == 0 && reward[1] == -INFINITY);
    assert_true(us_sim_diverged(e, 1) && !us_sim_diverged(e, 0));
    actions[1][0][0] = -1;
  }
  double now[16];
  get_state(e, 1, now);
  for (int i = 0; i < us_env_info(e)->state; i++) assert_true(fabs(now[i]) < mjMAXVAL);
  us_env_close(e);
}

// Slots that are not selected stand still, and an action for them does nothing.
static void selected_slots_alone_are_played(void** state) {
  (void)state;
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.slots = 3});
  us_env_reset(e, NULL, (uint64_t[]){1, 2, 3});
  double before[3][4], after[3][4];
  float* actions = random_actions(1, 3 * 10, 1);
  for (int i = 0; i < 3; i++) get_state(e, i, before[i]);
  us_sim_select(e, 1, (int[]){2});
  us_env_step(e, actions, NULL);
  for (int i = 0; i < 3; i++) {
    get_state(e, i, after[i]);
    assert_int_equal(memcmp(before[i], after[i], sizeof(after[i])) == 0, i < 2);
  }
  us_sim_select(e, 3, (int[]){0, 1, 2});
  us_env_step(e, actions, NULL);
  get_state(e, 0, after[0]);
  assert_memory_not_equal(before[0], after[0], sizeof(after[0]));
  free(actions);
  us_env_close(e);
}

static int failing;  // what raises an error of MuJoCo, from now on

static void raise_error(const mjModel* m, mjData* d, int here) {
  double none[1] = {0};
  if (failing == here) mj_setState(m, d, none, 1 << 30);
}

static void read_with_error(const mjModel* m, const mjData* d, double* out) {
  raise_error(m, (mjData*)d, 1);
  us_task_pointmaze.read_measure(m, d, out);
}

static void reset_with_error(const mjModel* m, mjData* d, UsRng* rng) {
  raise_error(m, d, 2);
  us_task_pointmaze.reset(m, d, rng);
}

static void act_with_error(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                           float* action) {
  raise_error(m, (mjData*)d, 3);
  action[0] = action[1] = 0;
}

// Every call in which MuJoCo can fail says so: those with a status by it, the others afterwards.
static void no_mujoco_error_is_lost(void** state) {
  (void)state;
  const UsPolicy policies[] = {{"bad", "fails", act_with_error}, {NULL, NULL, NULL}};
  UsTask task = us_task_pointmaze;
  task.name = "broken";
  task.read_measure = read_with_error;
  task.reset = reset_with_error;
  task.policies = policies;
  UsEnv* e = NULL;
  failing = 0;
  assert_int_equal(us_env_open("sim:broken", (const UsTask*[]){&task, NULL}, NULL, &e), US_OK);
  double put[4] = {0}, measure[2];
  const UsObs obs = {.state = put};
  const int slot = 0, step = 7;
  const uint64_t seed = 1;
  float action[2];
  for (failing = 1; failing <= 3; failing++) {
    if (failing == 1) {
      assert_int_equal(us_sim_measure(e, 1, put, measure), US_MUJOCO);
      assert_one_line(us_message());
      assert_null(us_env_error(e));  // of no slot
      assert_int_equal(us_env_observe(e, 1, &slot, &obs), US_MUJOCO);
      assert_int_equal(us_env_set_goal(e, 1, &slot, &obs), US_MUJOCO);
    }
    if (failing == 2) us_env_reset(e, NULL, &seed);
    if (failing == 3) us_sim_policy(e, 0, &step, action);
    assert_non_null(us_env_error(e));
    int kept = failing;
    failing = 0;
    us_env_reset(e, NULL, &seed);
    assert_null(us_env_error(e));
    failing = kept;
  }
  failing = 0;
  us_env_close(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(divergence_is_a_value),
      cmocka_unit_test(bad_accelerations_diverge),
      cmocka_unit_test(selected_slots_alone_are_played),
      cmocka_unit_test(no_mujoco_error_is_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
