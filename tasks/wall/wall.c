// Two rooms and one door: a disc whose velocity is commanded, at most 1.25 m/s per axis. Solved
// within 0.14 m of the goal.

#include <math.h>

#include "env/factors.h"
#include "tasks/policies.h"
#include "tasks/tasks.h"

extern const char us_scene_wall[];

static const double speed_max = 1.25;                 // m/s
static const double radius = 0.14;                    // m
static const double half_wall = 0.09, door_y = 0.35;  // m

static double radius_of(const mjModel* m) {
  return m->geom_size[3 * mj_name2id(m, mjOBJ_GEOM, "disc")];
}

// A uniform point (2) of the two rooms that the disc's centre can be at.
static void free_point(const mjModel* m, UsRng* rng, double* out) {
  const double disc = radius_of(m);
  do {
    out[0] = us_rng_range(rng, -1 + disc, 1 - disc);
    out[1] = us_rng_range(rng, -1 + disc, 1 - disc);
  } while (fabs(out[0]) < half_wall + disc);
}

static void reset(const mjModel* m, mjData* d, UsRng* rng) {
  free_point(m, rng, d->qpos);
}

static void control(const mjModel* m, mjData* d, const float* action) {
  for (int i = 0; i < 2; i++) d->ctrl[i] = speed_max * action[i];
}

static void read_proprio(const mjModel* m, const mjData* d, float* out) {
  for (int i = 0; i < 2; i++) {
    out[i] = (float)d->qpos[i];
    out[2 + i] = (float)d->qvel[i];
  }
}

static void read_measure(const mjModel* m, const mjData* d, double* out) {
  out[0] = d->qpos[0];
  out[1] = d->qpos[1];
}

static double distance(const mjModel* m, const double* a, const double* goal) {
  return hypot(a[0] - goal[0], a[1] - goal[1]);
}

static int success(const mjModel* m, const double* a, const double* goal) {
  return distance(m, a, goal) <= radius;
}

// Hard: in different rooms, so that the way leads through the door.
static int hard(const mjModel* m, const double* start, const double* goal) {
  return (start[0] < 0) != (goal[0] < 0);
}

static void act_random(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                       float* action) {
  us_policy_held(rng, memory, 2, action);
}

// Where to go next (2) on the way from `from` to `target`: in front of the door, through it, there.
static void next_point(const mjModel* m, const double* from, const double* target, double* out) {
  const double thick = half_wall + radius_of(m);
  double side = from[0] < 0 ? -1 : 1, other = target[0] < 0 ? -1 : 1;
  int in_door = fabs(from[0]) < thick;
  out[0] = target[0];
  out[1] = target[1];
  if (side == other && !in_door) return;
  int through = in_door || fabs(from[1] - door_y) < 0.1;
  out[0] = (through ? other : side) * (thick + 0.02);
  out[1] = door_y;
}

// memory: age, target (2), speed.
static void act_goal(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  double* target = memory + 1;
  if (us_policy_renew(memory, distance(m, d->qpos, target), 0.08, 80)) {
    free_point(m, rng, target);
    memory[3] = us_rng_range(rng, 0.4, 1.2);
  }
  double way[2], norm = 0;
  next_point(m, d->qpos, target, way);
  for (int i = 0; i < 2; i++) norm = fmax(norm, fabs(way[i] - d->qpos[i]));
  double gain = memory[3] * fmin(1, norm / 0.06) / fmax(norm, 1e-6);
  for (int i = 0; i < 2; i++) action[i] = (float)(gain * (way[i] - d->qpos[i]));
  us_policy_noise(rng, 0.2, 2, action);
}

static void act_mix(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  (us_policy_choice(rng, memory) == 1 ? act_random : act_goal)(m, d, rng, memory + 1, action);
}

static const UsPolicy policies[] = {
    {"mix", "random or goal, one of them for an episode", act_mix},
    {"random", "uniform actions held for 1 to 7 steps, with noise", act_random},
    {"goal", "drives to random points, through the door where needed, with noise", act_goal},
    {NULL, NULL, NULL},
};

static int size(mjModel* m, double x) {
  us_factor_resize(m, "disc", 1 + 0.4 * x);
  return 1;
}

static const UsFactor factors[] = {
    {"size", "radius of the disc, -40 to +40 %", 1, size},
    {NULL, NULL, 0, NULL},
};

const UsTask us_task_wall = {
    .struct_size = sizeof(UsTask),
    .abi = US_TASK_ABI,
    .mujoco = mjVERSION_HEADER,
    .name = "wall",
    .summary = "move a disc to a point, through the door if it is in the other room",
    .scene = us_scene_wall,
    .camera = "above",
    .frame_skip = 5,
    .block = 5,
    .action = 2,
    .proprio = 4,
    .measure = 2,
    .size = 64,
    .radius = 0.14,
    .reset = reset,
    .control = control,
    .read_proprio = read_proprio,
    .read_measure = read_measure,
    .distance = distance,
    .success = success,
    .hard = hard,
    .policies = policies,
    .factors = factors,
};
