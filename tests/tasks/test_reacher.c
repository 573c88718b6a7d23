// Reacher: its rule, its dynamics against the equations of a double pendulum without gravity.

#include <math.h>

#include "tests/env/env_help.h"

static void rules(void** state) {
  const UsTask* t = &us_task_reacher;
  const double a[2] = {3.13, 0.5}, b[2] = {-3.13, 0.54}, c[2] = {3.13, 0.56};
  assert_float_equal(t->distance(NULL, a, b), hypot(2 * M_PI - 6.26, 0.04), 1e-12);
  assert_int_equal(t->success(NULL, a, b), 1);  // the shoulder is wrapped
  assert_int_equal(t->success(NULL, a, c), 0);  // every joint has to be there
  assert_true(t->distance(NULL, c, a) <= t->radius);
}

// With the elbow held, the arm is one body: (J + h b) dw = h (gear a - b w), J of all about the
// shoulder, which mj_fullM knows as M[0][0].
static void shoulder_alone(void** state) {
  UsEnv* e = open_env("sim:reacher", &(UsEnvConfig){.block = 1});
  const mjModel* m = us_sim_model(e);
  mjData* d = mj_makeData(m);
  double s[4] = {0.3, 0, 0, 0}, got[4];
  put_state(e, 0, s);
  // Two rods about the shoulder: capsules of radius 0.08 m, length 0.5 m, 400 kg/m^3.
  double r = 0.08, rod = 400 * M_PI * r * r * 0.5, ball = 400 * 4.0 / 3 * M_PI * r * r * r;
  double centre = rod * (0.25 / 12 + r * r / 4) +
                  ball * (0.4 * r * r + 0.0625 + 0.375 * 0.5 * r);  // about its middle
  double inertia = 2 * centre + (rod + ball) * (0.0625 + 0.5625);
  mju_copy(d->qpos, s, 2);
  mj_forward(m, d);
  mjtNum full[4];
  mj_fullM(m, d, full);
  assert_float_equal(full[0], inertia, 1e-6);
  us_env_step(e, (float[2]){0.5f, 0}, NULL);
  get_state(e, 0, got);
  // The whole mass matrix, for one step of 0.05 s is short: the first velocity is close to M^-1 tau
  // t.
  double det = full[0] * full[3] - full[1] * full[2];
  double push = 1.4 * 0.5 * 0.05;
  assert_float_equal(got[2], full[3] / det * push, 0.05 * fabs(full[3] / det * push));
  assert_float_equal(got[3], -full[1] / det * push, 0.05 * fabs(full[1] / det * push));
  mj_deleteData(d);
  us_env_close(e);
}

// Torques of either sign turn the joints their way; the elbow stops at its limit.
static void the_elbow_has_a_limit(void** state) {
  UsEnv* e = open_env("sim:reacher", &(UsEnvConfig){.block = 5});
  double s[4] = {0, 2.4, 0, 0};
  put_state(e, 0, s);
  float actions[5][2] = {{0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}};
  double most = 0;
  for (int k = 0; k < 8; k++) {
    us_env_step(e, actions[0], NULL);
    get_state(e, 0, s);
    most = fmax(most, s[1]);
  }
  assert_true(most > 2.7 && most < 2.9);
  us_env_close(e);
}

// The goal policy stops near many different angles.
static void goal_policy_covers(void** state) {
  enum { N = 16 };
  UsEnv* e = open_env("sim:reacher", &(UsEnvConfig){.slots = N, .block = 1});
  int policy = 0, steps[N] = {0}, cells = 0;
  while (strcmp(us_task_reacher.policies[policy].name, "goal") != 0) policy++;
  uint64_t seeds[N];
  uint8_t seen[12][10] = {{0}};
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(e, NULL, seeds);
  float actions[N * 2], o[N][4];
  for (int k = 0; k < 200; k++) {
    us_sim_policy(e, policy, steps, actions);
    us_env_step(e, actions, &(UsStep){.observation = o[0]});
    for (int i = 0; i < N; i++) {
      steps[i]++;
      double turn = remainder(o[i][0], 2 * M_PI) + M_PI, bend = o[i][1] + 2.8;
      uint8_t* cell = &seen[(int)(turn / 6.2832 * 12) % 12][(int)fmin(fmax(bend / 5.6 * 10, 0), 9)];
      cells += !*cell;
      *cell = 1;
    }
  }
  assert_true(cells > 90);
  us_env_close(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rules),
      cmocka_unit_test(shoulder_alone),
      cmocka_unit_test(the_elbow_has_a_limit),
      cmocka_unit_test(goal_policy_covers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
