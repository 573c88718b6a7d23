// PointMaze against the formula of a damped point mass, and its walls.

#include <math.h>
#include <stdio.h>

#include "tests/env/env_help.h"

// Semi-implicit Euler with implicit damping: (m + h b) dv = h (100 a - b v), x += h v.
static void free_flight(void** state) {
  const double h = 0.0025, b = 1, mass = 1000 * 4.0 / 3.0 * M_PI * 1e-3;
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.block = 1});
  double s[4] = {-1.3, 1.0, 0, 0}, got[4];
  put_state(e, 0, s);
  int fastest = 0;
  for (int k = 0; k < 9; k++) {
    const float action[2] = {1.5f, k % 2 ? -0.25f : 0.25f};  // the first is clipped to 1
    const double used[2] = {1, action[1]};
    us_env_step(e, action, NULL);
    for (int i = 0; i < 2; i++) s[2 + i] = fmin(fmax(s[2 + i], -5), 5);
    for (int n = 0; n < 20; n++) {
      for (int i = 0; i < 2; i++) {
        s[2 + i] += h * (100 * used[i] - b * s[2 + i]) / (mass + h * b);
        s[i] += h * s[2 + i];
      }
    }
    fastest |= s[2] > 5;
    get_state(e, 0, got);
    for (int i = 0; i < 4; i++) assert_float_equal(got[i], s[i], 1e-9);
  }
  assert_true(fastest && s[0] < 1.4);
  us_env_close(e);
}

static int is_free(double x, double y) {
  return fabs(x) < 1.5 && fabs(y) < 1.5 && !(x < 0.5 && fabs(y) < 0.5);
}

// Full speed into walls from everywhere: the centre never enters one.
static void walls_hold(void** state) {
  enum { N = 64 };
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = N, .block = 1});
  uint64_t seeds[N];
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(e, NULL, seeds);
  UsRng rng = us_rng(3, US_RNG_TEST, 0, 0, 0);
  float actions[N][2], o[N][4];
  double reach[2] = {0, 0};
  for (int k = 0; k < 200; k++) {
    for (int i = 0; i < N; i++) {
      if (k % 8 == i % 8) {
        for (int c = 0; c < 2; c++) actions[i][c] = us_rng_below(&rng, 2) ? 1.0f : -1.0f;
      }
      if (k == 0) actions[i][0] = actions[i][1] = 1;
    }
    us_env_step(e, actions[0], &(UsStep){.observation = o[0]});
    for (int i = 0; i < N; i++) {
      assert_true(is_free(o[i][0], o[i][1]));
      reach[0] = fmin(reach[0], o[i][0]);
      reach[1] = fmax(reach[1], o[i][1]);
    }
  }
  assert_true(reach[0] < -1.39 && reach[1] > 1.39);
  us_env_close(e);
}

static void starts_cover_the_maze(void** state) {
  enum { N = 512 };
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = N});
  uint64_t seeds[N];
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(e, NULL, seeds);
  int count[3] = {0};
  for (int i = 0; i < N; i++) {
    double s[4];
    get_state(e, i, s);
    assert_true(is_free(s[0], s[1]) && s[2] == 0 && s[3] == 0);
    count[s[1] > 0.5 ? 0 : s[1] < -0.5 ? 1 : 2]++;
  }
  assert_true(count[0] > 170 && count[1] > 170 && count[2] > 40);
  us_env_close(e);
}

static void rules(void** state) {
  const UsTask* t = &us_task_pointmaze;
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = 1});
  const mjModel* m = us_sim_model(e);
  const double a[2] = {-1, 1}, across[2] = {-1, -1}, near[2] = {-0.6, 0.9}, right[2] = {1, -1};
  assert_float_equal(t->distance(NULL, a, across), 2, 1e-12);
  assert_int_equal(t->success(NULL, a, near), 1);
  assert_int_equal(t->success(NULL, a, across), 0);
  assert_int_equal(t->hard(m, a, across), 1);
  assert_int_equal(t->hard(m, a, near), 0);
  assert_int_equal(t->hard(m, right, (double[]){1, 1}), 0);
  us_env_close(e);
}

// Both maps say where the boxes of their scenes are: a point is in a wall's box where its letter is
// #.
static void maps_are_the_walls(void** state) {
  static const UsTask* const maze[2] = {&us_task_pointmaze, &us_task_pointmaze_medium};
  for (int k = 0; k < 2; k++) {
    char name[64];
    snprintf(name, sizeof(name), "sim:%s", maze[k]->name);
    UsEnv* e = open_env(name, &(UsEnvConfig){.slots = 1});
    const mjModel* m = us_sim_model(e);
    const char* text = m->text_data + m->text_adr[mj_name2id(m, mjOBJ_TEXT, "maze")];
    int columns = (int)strcspn(text, " "), rows = (int)(strlen(text) + 1) / (columns + 1),
        walls = 0;
    for (int i = 0; i < rows * columns; i++) {
      double x = i % columns - 0.5 * (columns - 1), y = 0.5 * (rows - 1) - i / columns;
      int inside = 0;
      for (int g = 0; g < m->ngeom; g++) {
        const mjtNum *p = m->geom_pos + 3 * g, *s = m->geom_size + 3 * g;
        if (m->geom_type[g] != mjGEOM_BOX || !m->geom_contype[g]) continue;
        inside |= fabs(x - p[0]) < s[0] && fabs(y - p[1]) < s[1];
      }
      assert_int_equal(inside, text[i / columns * (columns + 1) + i % columns] == '#');
      walls += inside;
    }
    assert_int_equal(walls, k == 0 ? 18 : 38);
    us_env_close(e);
  }
}

// The goal policy of the larger maze sees most of its cells, and the ball stays out of the walls.
static void goal_policy_roams(void** state) {
  enum { N = 32 };
  UsEnv* e = open_env("sim:pointmaze_medium", &(UsEnvConfig){.slots = N, .block = 1});
  const mjModel* m = us_sim_model(e);
  const char* text = m->text_data + m->text_adr[mj_name2id(m, mjOBJ_TEXT, "maze")];
  int policy = 0;
  while (strcmp(us_task_pointmaze_medium.policies[policy].name, "goal") != 0) policy++;
  uint64_t seeds[N];
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(e, NULL, seeds);
  int steps[N] = {0}, total = 0;
  uint8_t seen[N][64] = {{0}};
  float actions[N * 2], o[N][4];
  for (int k = 0; k < 300; k++) {
    us_sim_policy(e, policy, steps, actions);
    us_env_step(e, actions, &(UsStep){.observation = o[0]});
    for (int i = 0; i < N; i++) {
      steps[i]++;
      int cell = (int)(4 - o[i][1]) * 8 + (int)(4 + o[i][0]);
      assert_int_equal(text[cell / 8 * 9 + cell % 8], 'O');
      total += !seen[i][cell];
      seen[i][cell] = 1;
    }
  }
  assert_true(total > N * 12);  // of 26 cells
  us_env_close(e);
}

// The goal policy gets around the corner.
static void goal_policy_crosses(void** state) {
  enum { N = 32 };
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = N, .block = 1});
  int policy = 0;
  while (strcmp(us_task_pointmaze.policies[policy].name, "goal") != 0) policy++;
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
      seen[i][0] |= o[i][1] > 0.5f;
      seen[i][1] |= o[i][1] < -0.5f;
    }
  }
  for (int i = 0; i < N; i++) both += seen[i][0] && seen[i][1];
  assert_true(both > N * 3 / 4);
  us_env_close(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(free_flight),           cmocka_unit_test(walls_hold),
      cmocka_unit_test(starts_cover_the_maze), cmocka_unit_test(rules),
      cmocka_unit_test(goal_policy_crosses),   cmocka_unit_test(maps_are_the_walls),
      cmocka_unit_test(goal_policy_roams),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
