// A seven-joint arm at a table: `arm_reach` moves its hand to a point, `arm_cube` moves a cube.
//
// The hand is driven as V-JEPA 2-AC (Assran et al. 2025) drives a Franka arm: by steps of its pose
// and an opening, 10 of them a second. arm_reach has the xyz steps alone: the gripper stays shut
// and its yaw 0, because neither is part of the goal and a planner would search two idle numbers a
// step. Both tasks share one scene; arm_reach has the cube out of the picture.

#include <math.h>

#include "tasks/arm/arm_policies.h"
#include "tasks/arm/hand.h"
#include "tasks/tasks.h"

extern const char us_scene_arm[];

static const double near = 0.04;  // m, of OGBench's cube tasks (Park et al. 2025)

// The cube at rest on the table.
static void put_cube(mjData* d, double x, double y, double yaw) {
  const double pose[7] = {x, y, 0.025, cos(yaw / 2), 0, 0, sin(yaw / 2)};
  mju_copy(d->qpos + US_HAND_CUBE, pose, 7);
}

// The hand's point (3), its yaw and its width.
static void read_proprio(const mjModel* m, const mjData* d, float* out) {
  for (int i = 0; i < 3; i++) out[i] = (float)us_hand_point(d)[i];
  out[3] = (float)us_hand_angle(d);
  out[4] = (float)us_hand_width(d);
}

// ---- arm_reach ----

// The cube lies where no camera sees it.
static void reach_reset(const mjModel* m, mjData* d, UsRng* rng) {
  double point[3];
  us_hand_draw(rng, us_hand_low[2], us_hand_high[2], point);
  put_cube(d, -0.4, 0, 0);
  us_hand_put(m, d, point, 0, 0);
}

// The yaw is turned back to 0 and the gripper shut, whatever happens.
static void reach_control(const mjModel* m, mjData* d, const float* action) {
  const double step[3] = {action[0], action[1], action[2]};
  us_hand_control(m, d, step, -us_hand_angle(d) / us_hand_turn, -1);
}

static void reach_measure(const mjModel* m, const mjData* d, double* out) {
  mju_copy3(out, us_hand_point(d));
}

static double reach_distance(const mjModel* m, const double* a, const double* goal) {
  return mju_dist3(a, goal);
}

static int reach_success(const mjModel* m, const double* a, const double* goal) {
  return mju_dist3(a, goal) <= near;
}

static const UsTaskSetting reach_settings[] = {{"eval", "oracle_pairs", 16}, {NULL, NULL, 0}};

const UsTask us_task_arm_reach = {
    .struct_size = sizeof(UsTask),
    .abi = US_TASK_ABI,
    .mujoco = mjVERSION_HEADER,
    .name = "arm_reach",
    .summary = "move the hand of a seven-joint arm to a point",
    .scene = us_scene_arm,
    .camera = "front",
    .frame_skip = 20,
    .block = 5,
    .action = 3,
    .proprio = 5,
    .measure = 3,
    .size = 64,
    .radius = 0.04,
    .reset = reach_reset,
    .control = reach_control,
    .read_proprio = read_proprio,
    .read_measure = reach_measure,
    .distance = reach_distance,
    .success = reach_success,
    .policies = us_arm_reach_policies,
    .settings = reach_settings,
};

// ---- arm_cube ----

// Measure: cube (3), hand (3), width (1), all in m.
enum { CUBE = 0, HAND = 3, WIDTH = 6, MEASURE = 7 };

// Hand and cube apart from each other by chance alone.
static void cube_reset(const mjModel* m, mjData* d, UsRng* rng) {
  double point[3], cube[3];
  us_hand_draw(rng, 0.09, us_hand_high[2], point);
  us_hand_draw(rng, 0.09, us_hand_high[2], cube);
  put_cube(d, cube[0], cube[1], us_rng_range(rng, -M_PI, M_PI));
  double yaw = us_rng_range(rng, -us_hand_yaw, us_hand_yaw);
  us_hand_put(m, d, point, yaw, us_rng_range(rng, 0, us_hand_opening));
}

static void cube_control(const mjModel* m, mjData* d, const float* action) {
  const double step[3] = {action[0], action[1], action[2]};
  us_hand_control(m, d, step, action[3], action[4]);
}

static void cube_measure(const mjModel* m, const mjData* d, double* out) {
  mju_copy3(out + CUBE, d->qpos + US_HAND_CUBE);
  mju_copy3(out + HAND, us_hand_point(d));
  out[WIDTH] = us_hand_width(d);
}

// The way of the cube and, with a tenth of its weight, where the hand is seen from the cube and how
// open it is: without them a planner has no reason to come to the cube, nor to let it go. A solved
// state is therefore not always below 0.04 but below 0.12, the box's diagonal being 0.61 m.
static double cube_distance(const mjModel* m, const double* a, const double* goal) {
  double there[3], wanted[3];
  mju_sub3(there, a + HAND, a + CUBE);
  mju_sub3(wanted, goal + HAND, goal + CUBE);
  return mju_dist3(a + CUBE, goal + CUBE) + 0.1 * mju_dist3(there, wanted) +
         0.1 * fabs(a[WIDTH] - goal[WIDTH]);
}

static int cube_success(const mjModel* m, const double* a, const double* goal) {
  return mju_dist3(a + CUBE, goal + CUBE) <= near;
}

// Hard: the cube is lifted in one of the two, which a push does not do.
static int cube_hard(const mjModel* m, const double* start, const double* goal) {
  return fabs(start[CUBE + 2] - goal[CUBE + 2]) > near;
}

static const UsTaskSetting cube_settings[] = {{"eval", "subgoals", 4},
                                              {"eval", "horizon", 2},
                                              {"eval", "samples", 128},
                                              {"eval", "oracle_pairs", 16},
                                              {NULL, NULL, 0}};

const UsTask us_task_arm_cube = {
    .struct_size = sizeof(UsTask),
    .abi = US_TASK_ABI,
    .mujoco = mjVERSION_HEADER,
    .name = "arm_cube",
    .summary = "grasp a cube with a seven-joint arm, lift it and place it",
    .scene = us_scene_arm,
    .camera = "front",
    .frame_skip = 20,
    .block = 5,
    .action = 5,
    .proprio = 5,
    .measure = MEASURE,
    .size = 64,
    .radius = 0.12,
    .reset = cube_reset,
    .control = cube_control,
    .read_proprio = read_proprio,
    .read_measure = cube_measure,
    .distance = cube_distance,
    .success = cube_success,
    .hard = cube_hard,
    .policies = us_arm_cube_policies,
    .settings = cube_settings,
};
