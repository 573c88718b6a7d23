// The arm: where its hand goes against the geometry of its joints, what its gripper holds, and what
// its policies and rules are worth.

#include "tasks/arm/hand.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "datasets/pairs.h"
#include "env/scene.h"
#include "tests/env/env_help.h"
#include "tests/planner/oracle_data.h"

static const double kMiddle[3] = {0.45, 0.05, 0.15};  // m
static const double kFinger = 0.024;  // m, thickness of the thinnest geom that touches

typedef struct Bench {
  const UsTask* task;
  mjModel* m;
  mjData* d;
} Bench;

static Bench bench_open(const UsTask* t) {
  Bench b = {.task = t};
  assert_int_equal(us_scene_compile(t, &b.m), US_OK);
  b.d = mj_makeData(b.m);
  return b;
}

static void bench_close(Bench* b) {
  mj_deleteData(b->d);
  mj_deleteModel(b->m);
}

static void bench_reset(Bench* b, uint64_t seed) {
  UsRng rng = us_rng(seed, US_RNG_RESET, 0, 0, 0);
  mj_resetData(b->m, b->d);
  b->task->reset(b->m, b->d, &rng);
  mj_kinematics(b->m, b->d);
}

// Plays one env step; returns the deepest contact (m) of its physics steps.
static double bench_step(Bench* b, const float* action) {
  double deepest = 0;
  b->task->control(b->m, b->d, action);
  for (int i = 0; i < b->task->frame_skip; i++) {
    mj_step(b->m, b->d);
    for (int c = 0; c < b->d->ncon; c++) deepest = fmin(deepest, b->d->contact[c].dist);
  }
  mj_kinematics(b->m, b->d);
  return -deepest;
}

static const double* cube_of(const Bench* b) {
  return b->d->qpos + US_HAND_CUBE;
}

// 1 when the gripper points straight down.
static double downness(const Bench* b) {
  int grip = mj_name2id(b->m, mjOBJ_SITE, "grip");
  assert_true(us_hand_point(b->d) == b->d->site_xpos + 3 * grip);
  return -b->d->site_xmat[9 * grip + 8];
}

static void names_are_where_they_are_read(void** state) {
  Bench b = bench_open(&us_task_arm_cube);
  const char* const joint[] = {"turn1",  "pitch2", "turn3", "pitch4", "turn5",
                               "pitch6", "turn7",  "left",  "right",  "cube"};
  for (int i = 0; i < US_COUNT(joint); i++) {
    int id = mj_name2id(b.m, mjOBJ_JOINT, joint[i]);
    assert_int_equal(id, i);
    assert_int_equal(b.m->jnt_qposadr[id], i);
    if (i < b.m->nu) assert_int_equal(b.m->actuator_trnid[2 * i], id);
  }
  assert_int_equal(US_HAND_CUBE, 9);
  bench_close(&b);
}

// The joints that a solve asks for bring the point to its target, up to what a linear step leaves
// out, keep the gripper down and turn it; 0.035 m against joints that turn by some 0.1 rad.
static void a_solve_is_a_step_of_the_hand(void** state) {
  Bench b = bench_open(&us_task_arm_cube);
  UsRng rng = us_rng(1, US_RNG_TEST, 0, 0, 0);
  for (int k = 0; k < 200; k++) {
    double from[3], to[3], q[US_HAND_JOINTS], yaw = us_rng_range(&rng, -0.9, 0.9);
    for (int i = 0; i < 3; i++) from[i] = us_rng_range(&rng, us_hand_low[i], us_hand_high[i]);
    us_hand_put(b.m, b.d, from, yaw, 0.05);
    assert_true(mju_dist3(us_hand_point(b.d), from) < 2e-3);
    assert_float_equal(us_hand_angle(b.d), yaw, 0.01);
    assert_float_equal(us_hand_width(b.d), 0.05, 1e-12);
    assert_true(downness(&b) > 0.9999);
    for (int i = 0; i < 3; i++) {
      to[i] = from[i] + us_rng_range(&rng, -us_hand_reach, us_hand_reach);
      to[i] = fmin(fmax(to[i], us_hand_low[i]), us_hand_high[i]);
    }
    us_hand_solve(b.m, b.d, to, yaw + 0.1, q);
    mju_copy(b.d->qpos, q, US_HAND_JOINTS);
    mj_kinematics(b.m, b.d);
    assert_true(mju_dist3(us_hand_point(b.d), to) < 5e-3);
    assert_float_equal(us_hand_angle(b.d), yaw + 0.1, 0.03);
    assert_true(downness(&b) > 0.998);
  }
  bench_close(&b);
}

// Steps that are played move the hand straight along each axis; of three, what the joints lag
// behind leaves two and a half.
static void actions_move_the_hand(void** state) {
  Bench b = bench_open(&us_task_arm_cube);
  for (int axis = 0; axis < 3; axis++) {
    for (int sign = -1; sign <= 1; sign += 2) {
      float action[5] = {0, 0, 0, 0, 1}, rest[5] = {0, 0, 0, 0, 1};
      bench_reset(&b, 1);
      us_hand_put(b.m, b.d, kMiddle, 0, 0.09);
      action[axis] = (float)sign;
      for (int k = 0; k < 3; k++) bench_step(&b, action);
      for (int k = 0; k < 3; k++) bench_step(&b, rest);
      for (int i = 0; i < 3; i++) {
        double moved = us_hand_point(b.d)[i] - kMiddle[i];
        assert_float_equal(moved, i == axis ? sign * 2.5 * us_hand_reach : 0, 0.008);
      }
      assert_float_equal(us_hand_angle(b.d), 0, 0.05);
      assert_float_equal(us_hand_width(b.d), us_hand_opening, 2e-3);
    }
  }
  bench_close(&b);
}

// Held full actions: the hand stays in its box and points down, contacts stay shallow.
static void full_actions_stay_in_the_box(void** state) {
  Bench b = bench_open(&us_task_arm_cube);
  UsRng rng = us_rng(2, US_RNG_TEST, 0, 0, 0);
  for (int episode = 0; episode < 8; episode++) {
    bench_reset(&b, (uint64_t)(100 + episode));
    float action[5];
    for (int k = 0; k < 200; k++) {
      for (int i = 0; i < 5; i++) {
        if (k % 4 == 0) action[i] = us_rng_below(&rng, 2) ? 1.0f : -1.0f;
      }
      assert_true(bench_step(&b, action) < 0.2 * kFinger);
      assert_true(downness(&b) > 0.95);
      for (int i = 0; i < 3; i++) {
        assert_true(us_hand_point(b.d)[i] > us_hand_low[i] - 0.02);
        assert_true(us_hand_point(b.d)[i] < us_hand_high[i] + 0.02);
      }
      assert_true(cube_of(&b)[2] > 0.02 && fabs(cube_of(&b)[0] - 0.46) < 0.2);
    }
    for (int w = 0; w < mjNWARNING; w++) assert_int_equal(b.d->warning[w].number, 0);
  }
  bench_close(&b);
}

static void a_cube_at_rest_stays(void** state) {
  Bench b = bench_open(&us_task_arm_cube);
  const float idle[5] = {0, 0, 0, 0, 0};
  bench_reset(&b, 5);
  double at[3];
  for (int k = 0; k < 100; k++) {
    if (k == 5) mju_copy3(at, cube_of(&b));
    bench_step(&b, idle);
  }
  assert_true(mju_dist3(at, cube_of(&b)) < 1e-4);
  bench_close(&b);
}

// Closed around the cube, lifted by 0.14 m, held for 2 s, let go.
static void the_gripper_holds(void** state) {
  Bench b = bench_open(&us_task_arm_cube);
  bench_reset(&b, 6);
  double cube[3], slip[3];
  mju_copy3(cube, cube_of(&b));
  us_hand_put(b.m, b.d, cube, 0, 0.09);
  const double straight[4] = {1, 0, 0, 0};
  mju_copy4(b.d->qpos + US_HAND_CUBE + 3, straight);
  const float close[5] = {0, 0, 0, 0, -1}, lift[5] = {0, 0, 1, 0, -1}, open[5] = {0, 0, 0, 0, 1};
  for (int k = 0; k < 4; k++) bench_step(&b, close);
  for (int k = 0; k < 4; k++) bench_step(&b, lift);
  assert_true(cube_of(&b)[2] > 0.12);
  mju_sub3(slip, cube_of(&b), us_hand_point(b.d));
  double height = cube_of(&b)[2];
  for (int k = 0; k < 20; k++) bench_step(&b, close);
  mju_subFrom3(slip, cube_of(&b));
  mju_addTo3(slip, us_hand_point(b.d));
  assert_true(mju_norm3(slip) < 2e-3);
  assert_float_equal(cube_of(&b)[2], height, 0.02);
  for (int k = 0; k < 8; k++) bench_step(&b, open);
  assert_float_equal(cube_of(&b)[2], 0.025, 2e-3);
  bench_close(&b);
}

static int policy_named(const char* name) {
  int p = 0;
  while (strcmp(us_task_arm_cube.policies[p].name, name) != 0) p++;
  return p;
}

// Within 6 s the expert carries the cube off the table in nearly every episode.
static void the_expert_lifts(void** state) {
  enum { EPISODES = 24 };
  Bench b = bench_open(&us_task_arm_cube);
  const UsPolicy* expert = &us_task_arm_cube.policies[policy_named("expert")];
  int lifted = 0;
  for (uint64_t e = 0; e < EPISODES; e++) {
    double memory[US_POLICY_MEMORY] = {0}, highest = 0;
    bench_reset(&b, e);
    for (uint64_t k = 0; k < 60; k++) {
      float action[5];
      UsRng rng = us_rng(e, US_RNG_POLICY, 0, k, 0);
      expert->act(b.m, b.d, &rng, memory, action);
      bench_step(&b, action);
      highest = fmax(highest, cube_of(&b)[2]);
    }
    lifted += highest > 0.08;
  }
  assert_true(lifted >= EPISODES * 9 / 10);
  bench_close(&b);
}

static void rules(void** state) {
  const UsTask* t = &us_task_arm_cube;
  const double a[7] = {0.4, 0, 0.025, 0.5, 0.1, 0.2, 0.09};
  const double hand[7] = {0.4, 0, 0.025, 0.4, 0.0, 0.1, 0.05};  // only the hand moved
  const double far[7] = {0.4, 0.05, 0.025, 0.5, 0.1, 0.2, 0.09};
  const double high[7] = {0.4, 0, 0.07, 0.5, 0.1, 0.2, 0.09};
  assert_int_equal(t->success(NULL, a, hand), 1);
  assert_int_equal(t->success(NULL, a, far), 0);
  assert_int_equal(t->hard(NULL, a, far), 0);
  assert_int_equal(t->hard(NULL, a, high), 1);
  assert_true(t->distance(NULL, a, hand) > 0);
  assert_true(t->distance(NULL, a, far) > t->distance(NULL, a, hand));
  assert_int_equal(us_task_arm_reach.success(NULL, a, (double[]){0.43, 0, 0.03}), 1);
  assert_int_equal(us_task_arm_reach.success(NULL, a, (double[]){0.45, 0, 0.025}), 0);
}

// In pairs of recorded episodes the cube has moved, whatever the hand did.
static void pairs_are_of_cubes_that_moved(void** state) {
  enum { PAIRS = 12 };
  char path[] = "/tmp/understudy-arm-XXXXXX";
  int file = mkstemp(path);
  assert_true(file >= 0);
  close(file);
  assert_int_equal(oracle_collect("arm_cube", 12, 40, 1, path), US_OK);
  UsDataset* data;
  UsPairs pairs;
  assert_int_equal(us_dataset_open(path, &data), US_OK);
  UsEnv* sim = open_env("sim:arm_cube", NULL);
  assert_int_equal(us_pairs_draw(data, sim, 3, PAIRS, 5, 25, 0, &pairs), US_OK);
  const int width = us_env_info(sim)->state;
  const double* states = us_dataset_states(data);
  for (int i = 0; i < PAIRS; i++) {
    const double* from = states + pairs.pair[i].start * width + US_HAND_CUBE;
    assert_true(mju_dist3(from, states + pairs.pair[i].goal * width + US_HAND_CUBE) > 0.04);
  }
  assert_true(pairs.solved_at_start > 0);
  us_pairs_free(&pairs);
  us_env_close(sim);
  us_dataset_close(data);
  remove(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_are_where_they_are_read),
      cmocka_unit_test(a_solve_is_a_step_of_the_hand),
      cmocka_unit_test(actions_move_the_hand),
      cmocka_unit_test(full_actions_stay_in_the_box),
      cmocka_unit_test(a_cube_at_rest_stays),
      cmocka_unit_test(the_gripper_holds),
      cmocka_unit_test(the_expert_lifts),
      cmocka_unit_test(rules),
      cmocka_unit_test(pairs_are_of_cubes_that_moved),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
