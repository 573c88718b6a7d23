// PushT: its rule, and contact that can be believed: no tunnelling, no sticking, rest.

#include <math.h>

#include "tests/env/env_help.h"

static void rules(void** state) {
  const UsTask* t = &us_task_pusht;
  const double goal[5] = {0.1, 0.2, -0.3, 0.4, 3.1};
  const double near[5] = {0.15, 0.2, -0.25, 0.4, -3.1};  // 7 cm in all, the angle wrapped
  const double apart[5] = {0.16, 0.2, -0.24, 0.4, 3.1};  // 8.5 cm in all
  const double turned[5] = {0.1, 0.2, -0.3, 0.4, 3.1 - 0.36};
  const double away[5] = {0.5, 0.2, -0.25, 0.4, 3.1};
  assert_int_equal(t->success(NULL, near, goal), 1);
  assert_int_equal(t->success(NULL, apart, goal), 0);
  assert_int_equal(t->success(NULL, turned, goal), 0);
  assert_int_equal(t->success(NULL, away, goal), 0);
  assert_int_equal(t->success_object(NULL, away, goal), 1);
  assert_int_equal(t->success_object(NULL, turned, goal), 0);
  assert_int_equal(t->hard(NULL, away, goal), 0);
  assert_int_equal(t->hard(NULL, turned, goal), 1);
}

static void push(UsEnv* e, float x, float y, int steps) {
  float action[2] = {x, y};
  for (int k = 0; k < steps; k++) us_env_step(e, action, NULL);
}

// A T that nobody touches stays to the last bit, and one that was pushed comes to rest at once.
static void the_t_rests(void** state) {
  UsEnv* e = open_env("sim:pusht", &(UsEnvConfig){.block = 1});
  double s[10] = {-0.8, -0.8, 0.1, 0.1, 0.7}, got[10];
  put_state(e, 0, s);
  push(e, 0.3f, 0, 20);
  get_state(e, 0, got);
  for (int i = 2; i < 5; i++) assert_true(got[i] == s[i]);
  double before[10] = {-0.4, 0, 0, 0, M_PI / 2};
  put_state(e, 0, before);
  push(e, 0.5f, 0, 9);
  push(e, -0.5f, 0, 5);
  get_state(e, 0, got);
  assert_true(got[2] > 0.03);
  push(e, 0, 0, 10);
  get_state(e, 0, s);
  for (int i = 2; i < 5; i++) assert_float_equal(s[i], got[i], 1e-4);
  us_env_close(e);
}

// Full speed at the T from all sides: it goes ahead of the pusher, which never gets inside, and a
// pusher that goes back leaves it behind.
static void no_tunnelling_no_sticking(void** state) {
  enum { N = 24 };
  UsEnv* e = open_env("sim:pusht", &(UsEnvConfig){.slots = N, .block = 1});
  double s[10], ahead[N];
  float actions[N][2];
  for (int i = 0; i < N; i++) {
    double a = 2 * M_PI * i / N;
    memset(s, 0, sizeof(s));
    s[0] = 0.6 * cos(a), s[1] = 0.6 * sin(a);
    s[4] = 0.3;
    put_state(e, i, s);
    actions[i][0] = (float)-cos(a), actions[i][1] = (float)-sin(a);
  }
  const mjModel* m = us_sim_model(e);
  mjData* d = mj_makeData(m);
  double deepest = 0;
  int moved = 0;
  for (int k = 0; k < 9; k++) {
    us_env_step(e, actions[0], NULL);
    for (int i = 0; i < N; i++) {
      get_state(e, i, s);
      mju_copy(d->qpos, s, 5);
      mj_forward(m, d);
      for (int c = 0; c < d->ncon; c++) deepest = fmin(deepest, d->contact[c].dist);
    }
  }
  assert_true(deepest > -0.2 * 0.07);
  for (int i = 0; i < N; i++) {
    get_state(e, i, s);
    ahead[i] = hypot(s[2], s[3]);
    moved += ahead[i] > 0.02 || fabs(s[4] - 0.3) > 0.1;
    for (int c = 0; c < 2; c++) actions[i][c] *= -1;
  }
  assert_true(moved >= N - 2);
  for (int k = 0; k < 6; k++) us_env_step(e, actions[0], NULL);
  for (int i = 0; i < N; i++) {
    get_state(e, i, s);
    assert_true(hypot(s[2], s[3]) > ahead[i] - 0.02);
  }
  mj_deleteData(d);
  us_env_close(e);
}

// A push at the bar's end turns the T, one at its middle does not.
static void pushes_turn(void** state) {
  UsEnv* e = open_env("sim:pusht", &(UsEnvConfig){.slots = 2, .block = 1});
  double middle[10] = {0, 0.35, 0, 0, 0}, end[10] = {0.22, 0.35, 0, 0, 0};
  put_state(e, 0, middle);
  put_state(e, 1, end);
  float down[2][2] = {{0, -0.5f}, {0, -0.5f}};
  for (int k = 0; k < 8; k++) us_env_step(e, down[0], NULL);
  get_state(e, 0, middle);
  get_state(e, 1, end);
  assert_true(middle[3] < -0.05 && fabs(middle[4]) < 0.01);
  assert_true(end[4] < -0.15);
  us_env_close(e);
}

// The default policy pushes often and turns the T to all angles.
static void behaviour_is_worth_learning_from(void** state) {
  enum { N = 32, STEPS = 200 };
  UsEnv* e = open_env("sim:pusht", &(UsEnvConfig){.slots = N, .block = 1});
  uint64_t seeds[N];
  int steps[N] = {0}, pushed = 0, angles[12] = {0}, all = 0;
  double before[N][10], s[10];
  float actions[N * 2];
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(e, NULL, seeds);
  for (int i = 0; i < N; i++) get_state(e, i, before[i]);
  for (int k = 0; k < STEPS; k++) {
    us_sim_policy(e, 0, steps, actions);
    us_env_step(e, actions, NULL);
    for (int i = 0; i < N; i++, steps[i - 1]++) {
      get_state(e, i, s);
      double way = hypot(s[2] - before[i][2], s[3] - before[i][3]) + fabs(s[4] - before[i][4]);
      pushed += way > 1e-3;
      angles[(int)((remainder(s[4], 2 * M_PI) + M_PI) / (2 * M_PI) * 12) % 12]++;
      memcpy(before[i], s, sizeof(s));
    }
  }
  for (int i = 0; i < 12; i++) all += angles[i] > N * STEPS / 12 / 3;
  print_message("the T moves in %.1f %% of the steps\n", 100.0 * pushed / (N * STEPS));
  assert_true(pushed > N * STEPS / 6);
  assert_int_equal(all, 12);
  us_env_close(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rules),
      cmocka_unit_test(the_t_rests),
      cmocka_unit_test(no_tunnelling_no_sticking),
      cmocka_unit_test(pushes_turn),
      cmocka_unit_test(behaviour_is_worth_learning_from),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
