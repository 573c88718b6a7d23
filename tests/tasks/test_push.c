// Pushes of a plate through a rope and through grains, and the Chamfer distance.

#include <math.h>

#include "tasks/push.h"
#include "tests/env/env_help.h"

static const char* const envs[] = {"sim:rope", "sim:granular"};
enum { ENVS = 2, MOST = 512 };

// The points (M / 2, 2) of slot 0.
static void points_of(UsEnv* e, double* out) {
  double state[MOST];
  get_state(e, 0, state);
  us_sim_measure(e, 1, state, out);
}

static void start(UsEnv* e, uint64_t seed) {
  us_env_reset(e, NULL, &seed);
}

// One push from (x0, y0) to (x1, y1) m.
static void push(UsEnv* e, double x0, double y0, double x1, double y1) {
  const double r = US_PUSH_REACH;
  const float action[] = {(float)(x0 / r), (float)(y0 / r), (float)(x1 / r), (float)(y1 / r)};
  us_env_step(e, action, NULL);
}

static double moved(int n, const double* a, const double* b) {
  double most = 0;
  for (int i = 0; i < n; i++) {
    most = fmax(most, hypot(a[2 * i] - b[2 * i], a[2 * i + 1] - b[2 * i + 1]));
  }
  return most;
}

// The least distance (m) of contact of slot 0's state; `hard` is the core, without margins.
static double least_contact(UsEnv* e) {
  const mjModel* m = us_sim_model(e);
  mjData* d = mj_makeData(m);
  double state[MOST], least = INFINITY;
  get_state(e, 0, state);
  mju_copy(d->qpos, state, (int)m->nq);
  mj_forward(m, d);
  for (int i = 0; i < d->ncon; i++) least = fmin(least, d->contact[i].dist);
  mj_deleteData(d);
  return least;
}

static void starts_do_not_overlap(void** state) {
  (void)state;
  for (int k = 0; k < ENVS; k++) {
    UsEnv* e = open_env(envs[k], &(UsEnvConfig){.block = 1});
    double edge = 0, points[US_TASK_MEASURES];
    for (uint64_t seed = 0; seed < 300; seed++) {
      start(e, seed);
      assert_true(least_contact(e) == INFINITY);  // not even the shells touch
      points_of(e, points);
      for (int i = 0; i < us_sim_task(e)->measure; i++) edge = fmax(edge, fabs(points[i]));
    }
    assert_true(edge > 0.9 && edge < 1);
    us_env_close(e);
  }
}

// What a plate does not touch keeps its place, through pushes of 2 s each in a free corner.
static void rest_stays_at_rest(void** state) {
  (void)state;
  for (int k = 0; k < ENVS; k++) {
    UsEnv* e = open_env(envs[k], &(UsEnvConfig){.block = 1});
    int n = us_sim_task(e)->measure / 2, tried = 0;
    double before[US_TASK_MEASURES], after[US_TASK_MEASURES];
    for (uint64_t seed = 0; tried < 8; seed++) {
      assert_true(seed < 1000);
      start(e, seed);
      points_of(e, before);
      int empty = 1;
      for (int i = 0; i < n; i++)
        empty &= hypot(before[2 * i] + 0.9, before[2 * i + 1] + 0.9) > 0.5;
      if (!empty) continue;
      tried++;
      for (int j = 0; j < 2; j++) push(e, -0.85, -0.85, -0.8, -0.8);
      points_of(e, after);
      assert_true(moved(n, before, after) < 1e-9);
    }
    us_env_close(e);
  }
}

// A push along x through one of the things: what lies in the plate's way is in front of it
// afterwards, what lies far from the way or behind it keeps its place.
static void pushes_move_what_is_ahead(void** state) {
  (void)state;
  int ahead = 0, aside = 0;
  UsEnv* e = open_env("sim:granular", &(UsEnvConfig){.block = 1});
  int n = us_sim_task(e)->measure / 2;
  double before[US_TASK_MEASURES], after[US_TASK_MEASURES], rows[MOST];
  for (uint64_t seed = 0; seed < 30; seed++) {
    start(e, seed);
    points_of(e, before);
    push(e, -0.3, 0, 0.5, 0);
    points_of(e, after);
    get_state(e, 0, rows);
    double plate = rows[2 * n] + rows[2 * n + 3], set_down = rows[2 * n];
    assert_true(fabs(plate - 0.5) < 0.02);
    for (int i = 0; i < n; i++) {
      const double *a = before + 2 * i, *b = after + 2 * i;
      if (a[0] > set_down && a[0] < 0.4 && fabs(a[1]) < 0.1) {
        ahead++;
        assert_true(b[0] > 0.5 || fabs(b[1]) > 0.2);
      }
      if (a[0] < set_down - 0.2) {
        aside++;
        assert_true(hypot(a[0] - b[0], a[1] - b[1]) < 1e-6);
      }
    }
  }
  if (ahead <= 40 || aside <= 10) fail_msg("%d grains ahead, %d behind", ahead, aside);
  us_env_close(e);
}

// No point of the rope is on the far side of a plate that swept across it, and none of the cores
// are deep in each other.
static void nothing_tunnels(void** state) {
  (void)state;
  for (int k = 0; k < ENVS; k++) {
    UsEnv* e = open_env(envs[k], &(UsEnvConfig){.block = 1});
    int n = us_sim_task(e)->measure / 2, nq = (int)us_sim_model(e)->nq;
    double points[US_TASK_MEASURES], rows[MOST];
    for (uint64_t seed = 0; seed < 12; seed++) {
      start(e, seed);
      double y = 0.1 * ((double)(seed % 5) - 2);
      push(e, seed % 2 ? 0.9 : -0.9, y, seed % 2 ? -0.4 : 0.4, y);
      assert_true(least_contact(e) > -0.006);
      points_of(e, points);
      get_state(e, 0, rows);
      double way = cos(rows[nq - 2]), plate = rows[nq - 4] + way * rows[nq - 1];
      for (int i = 0; i < n; i++) {
        if (fabs(points[2 * i + 1] - y) > 0.15) continue;
        double front = way * (points[2 * i] - plate), back = way * (points[2 * i] - rows[nq - 4]);
        assert_true(front > 0.04 || back < -0.04);
      }
    }
    us_env_close(e);
  }
}

// A plate over something is set down behind it.
static void plates_land_beside(void** state) {
  (void)state;
  for (int k = 0; k < ENVS; k++) {
    UsEnv* e = open_env(envs[k], &(UsEnvConfig){.block = 1});
    const mjModel* m = us_sim_model(e);
    mjData* d = mj_makeData(m);
    UsRng rng = us_rng(7, US_RNG_TEST, 0, 0, 0);
    int lifted = 0;
    for (int i = 0; i < 400; i++) {
      mj_resetData(m, d);
      us_sim_task(e)->reset(m, d, &rng);
      float action[4];
      us_push_anywhere(&rng, action);
      us_sim_task(e)->control(m, d, action);
      mj_forward(m, d);
      double x = d->qpos[m->nq - 4] - US_PUSH_REACH * action[0];
      double y = d->qpos[m->nq - 3] - US_PUSH_REACH * action[1];
      double dx = action[2] - action[0], dy = action[3] - action[1];
      lifted += hypot(x, y) > 1e-6;
      assert_true(x * dx + y * dy < 1e-6 && fabs(x * dy - y * dx) < 1e-6);
      assert_true(d->ncon == 0);
    }
    assert_true(lifted > 20 && lifted < 380);
    mj_deleteData(d);
    us_env_close(e);
  }
}

static void chamfer_is_the_formula(void** state) {
  (void)state;
  enum { P = 9 };
  UsRng rng = us_rng(5, US_RNG_TEST, 0, 0, 0);
  for (int k = 0; k < 50; k++) {
    double a[2 * P], b[2 * P], far[P][P], sum = 0;
    for (int i = 0; i < 2 * P; i++) a[i] = us_rng_range(&rng, -1, 1);
    for (int i = 0; i < 2 * P; i++) b[i] = us_rng_range(&rng, -1, 1);
    for (int i = 0; i < P * P; i++) {
      int p = i / P, q = i % P;
      far[p][q] = sqrt(pow(a[2 * p] - b[2 * q], 2) + pow(a[2 * p + 1] - b[2 * q + 1], 2));
    }
    for (int p = 0; p < P; p++) {
      double row = 9, column = 9;
      for (int q = 0; q < P; q++) {
        if (far[p][q] < row) row = far[p][q];
        if (far[q][p] < column) column = far[q][p];
      }
      sum += row + column;
    }
    assert_float_equal(us_push_chamfer(P, a, b), sum / (2 * P), 1e-12);
  }
  const double line[] = {0, 0, 1, 0}, point[] = {0, 0, 0, 0};
  assert_float_equal(us_push_chamfer(2, line, point), 0.25, 1e-12);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(starts_do_not_overlap),     cmocka_unit_test(rest_stays_at_rest),
      cmocka_unit_test(pushes_move_what_is_ahead), cmocka_unit_test(nothing_tunnels),
      cmocka_unit_test(plates_land_beside),        cmocka_unit_test(chamfer_is_the_formula),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
