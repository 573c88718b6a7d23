// Wall against the formula of velocity control, its walls and its door.

#include <math.h>

#include "tests/env/env_help.h"

// Implicit velocity control of a disc of 1 kg: (1 + h 60) dv = h 60 (1.25 a - v), x += h v.
static void velocity_control(void** state) {
  const double h = 0.01, kv = 60;
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.block = 1});
  double s[4] = {-0.8, -0.2, 0, 0}, got[4];
  put_state(e, 0, s);
  for (int k = 0; k < 8; k++) {
    const float action[2] = {k < 4 ? 2.0f : -0.5f, -0.25f};  // 2 is clipped to 1
    const double used[2] = {fmin(action[0], 1), action[1]};
    us_env_step(e, action, NULL);
    for (int n = 0; n < 5; n++) {
      for (int i = 0; i < 2; i++) {
        s[2 + i] += h * kv * (1.25 * used[i] - s[2 + i]) / (1 + h * kv);
        s[i] += h * s[2 + i];
      }
    }
    get_state(e, 0, got);
    for (int i = 0; i < 4; i++) assert_float_equal(got[i], s[i], 1e-9);
  }
  us_env_close(e);
}

static int is_free(double x, double y) {
  return fabs(x) < 1 && fabs(y) < 1 && !(fabs(x) < 0.09 && fabs(y - 0.35) > 0.2);
}

static void walls_hold(void** state) {
  enum { N = 64 };
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.slots = N, .block = 1});
  uint64_t seeds[N];
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(e, NULL, seeds);
  UsRng rng = us_rng(3, US_RNG_TEST, 0, 0, 0);
  float actions[N][2], o[N][4];
  double side[N];
  memset(actions, 0, sizeof(actions));
  for (int i = 0; i < N; i++) {
    double s[4];
    get_state(e, i, s);
    assert_true(is_free(s[0], s[1]) && fabs(s[0]) > 0.16);
    side[i] = s[0];
  }
  for (int k = 0; k < 200; k++) {
    for (int i = 0; i < N; i++) {
      if (k % 16 == i % 16) {
        for (int c = 0; c < 2; c++) actions[i][c] = us_rng_below(&rng, 2) ? 1.0f : -1.0f;
      }
    }
    us_env_step(e, actions[0], &(UsStep){.observation = o[0]});
    for (int i = 0; i < N; i++) {
      assert_true(is_free(o[i][0], o[i][1]));
      if (side[i] * o[i][0] < 0) assert_true(fabs(o[i][1] - 0.35) < 0.25);  // through the door
      side[i] = o[i][0];
    }
  }
  us_env_close(e);
}

// Straight at the wall stops, straight at the door passes.
static void only_the_door_opens(void** state) {
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.slots = 2, .block = 5});
  double low[4] = {-0.5, -0.4, 0, 0}, door[4] = {-0.5, 0.35, 0, 0};
  put_state(e, 0, low);
  put_state(e, 1, door);
  float actions[2][5][2] = {0};
  for (int i = 0; i < 10; i++) actions[i / 5][i % 5][0] = 1;
  for (int b = 0; b < 4; b++) us_env_step(e, actions[0][0], NULL);
  get_state(e, 0, low);
  get_state(e, 1, door);
  assert_true(low[0] < -0.13 && low[0] > -0.2 && fabs(low[1] + 0.4) < 1e-6);
  assert_true(door[0] > 0.6);
  us_env_close(e);
}

static void rules(void** state) {
  const UsTask* t = &us_task_wall;
  const double a[3] = {-0.5, 0}, b[3] = {-0.4, 0.05}, c[3] = {0.5, 0};
  assert_int_equal(t->success(NULL, a, b), 1);
  assert_int_equal(t->success(NULL, a, (double[3]){-0.5, 0.15}), 0);
  assert_int_equal(t->hard(NULL, a, b), 0);
  assert_int_equal(t->hard(NULL, a, c), 1);
  assert_int_equal(t->hard(NULL, c, a), 1);
  const double left[3] = {0.2, 0, 0.4}, right[3] = {0.6, 0, 0.4};  // the wall stands at 0.4
  assert_int_equal(t->hard(NULL, left, right), 1);
  assert_int_equal(t->hard(NULL, left, (double[3]){-0.3, 0, 0.4}), 0);
}

// The goal policy finds the door; the random one seldom does.
static void goal_policy_crosses(void** state) {
  enum { N = 32 };
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.slots = N, .block = 1});
  int policy = 0;
  while (strcmp(us_task_wall.policies[policy].name, "goal") != 0) policy++;
  uint64_t seeds[N];
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(e, NULL, seeds);
  int steps[N] = {0}, both = 0;
  uint8_t seen[N][2] = {{0}};
  float actions[N * 2], o[N][4];
  for (int k = 0; k < 200; k++) {
    us_sim_policy(e, policy, steps, actions);
    us_env_step(e, actions, &(UsStep){.observation = o[0]});
    for (int i = 0; i < N; i++) {
      steps[i]++;
      seen[i][0] |= o[i][0] < -0.2f;
      seen[i][1] |= o[i][0] > 0.2f;
    }
  }
  for (int i = 0; i < N; i++) both += seen[i][0] && seen[i][1];
  assert_true(both > N * 3 / 4);
  us_env_close(e);
}

// Every episode has a layout of its own, which stands whatever hits it, and only its door opens.
static void random_walls_stand(void** state) {
  enum { N = 64 };
  UsEnv* e = open_env("sim:wall_random", &(UsEnvConfig){.slots = N, .block = 1});
  uint64_t seeds[N];
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(e, NULL, seeds);
  double first[N][8], s[8], low = 1, high = -1;
  float actions[N][2];
  int crossed = 0;
  memset(actions, 0, sizeof(actions));
  for (int i = 0; i < N; i++) {
    get_state(e, i, first[i]);
    low = fmin(low, first[i][2]);
    high = fmax(high, first[i][2]);
    assert_true(fabs(first[i][2]) <= 0.4 && fabs(first[i][3]) <= 0.7);
    assert_true(fabs(first[i][0] - first[i][2]) > 0.15);
  }
  assert_true(low < -0.3 && high > 0.3);
  UsRng rng = us_rng(4, US_RNG_TEST, 0, 0, 0);
  for (int k = 0; k < 200; k++) {
    for (int i = 0; i < N; i++) {
      double before[8];
      get_state(e, i, before);
      for (int c = 0; c < 2 && k % 16 == i % 16; c++) {
        actions[i][c] = us_rng_below(&rng, 2) ? 1.0f : -1.0f;
      }
      // Towards the wall at the height of the door every other time.
      if (k % 32 < 16) actions[i][1] = before[1] < before[3] ? 0.5f : -0.5f;
      memcpy(s, before, sizeof(s));
      first[i][0] = before[0];
    }
    us_env_step(e, actions[0], NULL);
    for (int i = 0; i < N; i++) {
      get_state(e, i, s);
      assert_float_equal(s[2], first[i][2], 1e-5);
      assert_float_equal(s[3], first[i][3], 1e-5);
      double off = s[0] - s[2];
      assert_true(fabs(off) >= 0.09 || fabs(s[1] - s[3]) <= 0.2);
      if (off * (first[i][0] - s[2]) < 0) {
        crossed++;
        assert_true(fabs(s[1] - s[3]) < 0.25);
      }
    }
  }
  assert_true(crossed > 0);
  us_env_close(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(velocity_control),    cmocka_unit_test(walls_hold),
      cmocka_unit_test(only_the_door_opens), cmocka_unit_test(rules),
      cmocka_unit_test(goal_policy_crosses), cmocka_unit_test(random_walls_stand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
