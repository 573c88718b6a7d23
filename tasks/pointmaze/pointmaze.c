// PointMaze, U shape: a ball of 0.1 m under two motors, with its speed cut to 5 m/s per axis at the
// start of every env step. Solved within 0.5 m of the goal, at any speed.

#include <math.h>

#include "env/factors.h"
#include "tasks/policies.h"
#include "tasks/tasks.h"

extern const char us_scene_pointmaze[];

enum { CELLS = 7 };

// Centres (m) of the free cells, in the order in which the U connects them.
static const double cell[CELLS][2] = {{-1, 1}, {0, 1}, {1, 1}, {1, 0}, {1, -1}, {0, -1}, {-1, -1}};

static const double speed_max = 5;  // m/s
static const double radius = 0.5;   // m
static const double wall_low[2] = {-1.5, -0.5}, wall_high[2] = {0.5, 0.5};

// A uniform point (2) that the ball's centre can be at.
static void free_point(const mjModel* m, UsRng* rng, double* out) {
  const double ball = m->geom_size[3 * mj_name2id(m, mjOBJ_GEOM, "ball")];  // m
  do {
    out[0] = us_rng_range(rng, -1.5 + ball, 1.5 - ball);
    out[1] = us_rng_range(rng, -1.5 + ball, 1.5 - ball);
  } while (fabs(out[1]) < 0.5 + ball && out[0] < 0.5 + ball);
}

static int cell_of(const double* point) {
  int best = 0;
  for (int i = 1; i < CELLS; i++) {
    if (hypot(point[0] - cell[i][0], point[1] - cell[i][1]) <
        hypot(point[0] - cell[best][0], point[1] - cell[best][1])) {
      best = i;
    }
  }
  return best;
}

static void reset(const mjModel* m, mjData* d, UsRng* rng) {
  free_point(m, rng, d->qpos);
}

static void control(const mjModel* m, mjData* d, const float* action) {
  for (int i = 0; i < 2; i++) {
    d->qvel[i] = fmin(fmax(d->qvel[i], -speed_max), speed_max);
    d->ctrl[i] = action[i];
  }
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

// Hard: the inner wall lies between.
static int hard(const mjModel* m, const double* start, const double* goal) {
  return us_segment_hits(start, goal, wall_low, wall_high);
}

static void act_random(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                       float* action) {
  us_policy_held(rng, memory, 2, action);
}

// memory: age, target (2), speed (m/s).
static void act_goal(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  double* target = memory + 1;
  if (us_policy_renew(memory, distance(m, d->qpos, target), 0.25, 60)) {
    free_point(m, rng, target);
    memory[3] = us_rng_range(rng, 0.5, speed_max);
  }
  int here = cell_of(d->qpos), there = cell_of(target);
  const double* way = here == there ? target : cell[here + (there > here ? 1 : -1)];
  for (int i = 0; i < 2; i++) {
    double wish = fmin(fmax(4 * (way[i] - d->qpos[i]), -memory[3]), memory[3]);
    action[i] = (float)(wish - d->qvel[i]);
  }
  us_policy_noise(rng, 0.3, 2, action);
}

static void act_mix(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  (us_policy_choice(rng, memory) == 1 ? act_random : act_goal)(m, d, rng, memory + 1, action);
}

static const UsPolicy policies[] = {
    {"mix", "random or goal, one of them for an episode", act_mix},
    {"random", "uniform actions held for 1 to 7 steps, with noise", act_random},
    {"goal", "drives through the maze to random points, with noise", act_goal},
    {NULL, NULL, NULL},
};

static int size(mjModel* m, double x) {
  us_factor_resize(m, "ball", 1 + 0.4 * x);
  return 1;
}

static const UsFactor factors[] = {
    {"size", "radius of the ball, -40 to +40 %", 1, size},
    {NULL, NULL, 0, NULL},
};

const UsTask us_task_pointmaze = {
    .struct_size = sizeof(UsTask),
    .abi = US_TASK_ABI,
    .mujoco = mjVERSION_HEADER,
    .name = "pointmaze",
    .summary = "drive a ball through a U-shaped maze to a point",
    .scene = us_scene_pointmaze,
    .camera = "above",
    .frame_skip = 5,
    .block = 5,
    .action = 2,
    .proprio = 4,
    .measure = 2,
    .size = 64,
    .radius = 0.5,
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
