// Two joints, driven by torques, that have to reach given angles: solved when each is within 0.05
// rad, the rule of Reacher in stable-worldmodel; the shoulder turns freely, so its angle is
// wrapped.

#include <math.h>

#include "tasks/policies.h"
#include "tasks/tasks.h"

extern const char us_scene_reacher[];

static const double bend = 2.8;       // rad, the elbow's limit
static const double accuracy = 0.05;  // rad

// An angle in [-pi, pi].
static double wrapped(double angle) {
  return remainder(angle, 2 * mjPI);
}

// Uniform angles (2) of shoulder and elbow.
static void draw_pose(UsRng* rng, double* out) {
  out[0] = us_rng_range(rng, -mjPI, mjPI);
  out[1] = us_rng_range(rng, -bend, bend);
}

static void reset(const mjModel* m, mjData* d, UsRng* rng) {
  draw_pose(rng, d->qpos);
}

// Angles and their velocities.
static void read_proprio(const mjModel* m, const mjData* d, float* out) {
  for (int i = 0; i < 2; i++) {
    out[i] = (float)wrapped(d->qpos[i]);
    out[2 + i] = (float)d->qvel[i];
  }
}

static void read_measure(const mjModel* m, const mjData* d, double* out) {
  out[0] = wrapped(d->qpos[0]);
  out[1] = d->qpos[1];
}

// Of the two angles together; the elbow cannot turn around.
static double distance(const mjModel* m, const double* a, const double* goal) {
  return hypot(wrapped(a[0] - goal[0]), a[1] - goal[1]);
}

// Each joint on its own.
static int success(const mjModel* m, const double* a, const double* goal) {
  return fabs(wrapped(a[0] - goal[0])) <= accuracy && fabs(a[1] - goal[1]) <= accuracy;
}

// memory: age, target (2), stiffness.
static void act_goal(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  double now[2], *target = memory + 1;
  read_measure(m, d, now);
  if (us_policy_renew(memory, distance(m, now, target), 0.1, 40)) {
    draw_pose(rng, target);
    memory[3] = us_rng_range(rng, 1, 4);
  }
  // A spring towards the target, with damping.
  action[0] = (float)(memory[3] * wrapped(target[0] - now[0]) - 0.5 * d->qvel[0]);
  action[1] = (float)(memory[3] * (target[1] - now[1]) - 0.3 * d->qvel[1]);
  us_policy_noise(rng, 0.3, 2, action);
}

static void act_mix(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  (us_policy_choice(rng, memory) == 1 ? us_policy_random : act_goal)(m, d, rng, memory + 1, action);
}

static const UsPolicy policies[] = {
    {"mix", "random or goal, one of them for an episode", act_mix},
    {"random", "uniform torques held for 1 to 7 steps, with noise", us_policy_random},
    {"goal", "turns to random angles, with noise", act_goal},
    {NULL, NULL, NULL},
};

static const UsTaskSetting settings[] = {{"eval", "samples", 128},       {"eval", "iterations", 6},
                                         {"eval", "warm_iterations", 4}, {"eval", "elites", 10},
                                         {"eval", "horizon", 6},         {NULL, NULL, 0}};

const UsTask us_task_reacher = {
    .struct_size = sizeof(UsTask),
    .abi = US_TASK_ABI,
    .mujoco = mjVERSION_HEADER,
    .name = "reacher",
    .summary = "turn two joints to given angles",
    .scene = us_scene_reacher,
    .camera = "above",
    .frame_skip = 5,
    .block = 5,
    .action = 2,
    .proprio = 4,
    .measure = 2,
    .size = 64,
    .radius = 0.071,
    .reset = reset,
    .read_proprio = read_proprio,
    .read_measure = read_measure,
    .distance = distance,
    .success = success,
    .policies = policies,
    .settings = settings,
};
