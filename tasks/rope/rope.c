// Rope: 16 links of 0.085 m on a table, moved by the pushes of a plate, one an env step. Solved
// when the Chamfer distance of points along the rope to those of the goal's is at most 0.05 m,
// about half the width of the rope as it is drawn: the two pictures cover each other.

#include <math.h>

#include "tasks/push.h"
#include "tasks/tasks.h"

extern const char us_scene_rope[];

enum { LINKS = 16, POINTS = LINKS + 1, FINE = 2 * LINKS + 1 };

static const double link = 0.085;   // m
static const double inside = 0.95;  // m, bound of the rope's points on each axis at the start
static const double apart = 0.12;   // m, between parts of the rope that are no neighbours
static const double radius = 0.05;  // m

// Between the axis of the plate and that of the rope (m), just above where the two touch.
static const double clearance = 0.09;

// The place of the rope's `parts` + 1 points out (parts + 1, 2) m, `parts` / LINKS to a link, from
// qpos: x, y and heading of the first link, then the bends.
static void points_of(const mjtNum* qpos, int parts, double* out) {
  const int each = parts / LINKS;
  double turn = 0;
  out[0] = qpos[0];
  out[1] = qpos[1];
  for (int i = 0; i < parts; i++) {
    if (i % each == 0) turn += qpos[2 + i / each];
    out[2 * i + 2] = out[2 * i] + link / each * cos(turn);
    out[2 * i + 3] = out[2 * i + 1] + link / each * sin(turn);
  }
}

// Whether parts of the rope lie on each other; neighbours are always near.
static int crosses_itself(const double* points) {
  for (int i = 0; i < POINTS; i++) {
    for (int j = i + 3; j < POINTS; j++) {
      if (hypot(points[2 * i] - points[2 * j], points[2 * i + 1] - points[2 * j + 1]) < apart) {
        return 1;
      }
    }
  }
  return 0;
}

// Moves the rope to a uniform place within bounds; 0 if it has none.
static int place(UsRng* rng, const double* points, mjtNum* qpos) {
  for (int c = 0; c < 2; c++) {
    // The rope's extent on this axis says how far it can move.
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < POINTS; i++) {
      low = fmin(low, points[2 * i + c]);
      high = fmax(high, points[2 * i + c]);
    }
    if (high - low > 2 * inside) return 0;
    qpos[c] += us_rng_range(rng, -inside - low, inside - high);
  }
  return 1;
}

// A smooth curve: bends that are a mean and two waves along the rope.
static void reset(const mjModel* m, mjData* d, UsRng* rng) {
  double points[2 * FINE];
  do {
    double mean = us_rng_range(rng, -0.25, 0.25), phase[2], size[2];
    for (int w = 0; w < 2; w++) {
      phase[w] = us_rng_range(rng, -M_PI, M_PI);
      size[w] = us_rng_range(rng, 0, 0.4);
    }
    d->qpos[0] = d->qpos[1] = 0;
    d->qpos[2] = us_rng_range(rng, -M_PI, M_PI);
    for (int i = 1; i < LINKS; i++) {
      double at = 2 * M_PI * i / LINKS;
      double bend = mean + size[0] * sin(at + phase[0]) + size[1] * sin(2 * at + phase[1]);
      d->qpos[2 + i] = fmin(fmax(bend, -0.55), 0.55);
    }
    points_of(d->qpos, LINKS, points);
  } while (crosses_itself(points) || !place(rng, points, d->qpos));
  points_of(d->qpos, 2 * LINKS, points);
  us_push_rest(m, d, rng, FINE, points, clearance);
}

// The plate starts its stroke where no point of the rope is.
static void control(const mjModel* m, mjData* d, const float* action) {
  double points[2 * FINE];
  points_of(d->qpos, 2 * LINKS, points);
  us_push_start(m, d, action, FINE, points, clearance);
}

static void read_measure(const mjModel* m, const mjData* d, double* out) {
  points_of(d->qpos, LINKS, out);
}

// Points along the rope, whichever end is first.
static double distance(const mjModel* m, const double* a, const double* goal) {
  return us_push_chamfer(POINTS, a, goal);
}

static int success(const mjModel* m, const double* a, const double* goal) {
  return distance(m, a, goal) <= radius;
}

static void act_mix(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  double points[2 * POINTS];
  points_of(d->qpos, LINKS, points);
  us_push_useful(rng, POINTS, points, action);
}

static const UsPolicy policies[] = {
    {"mix", "pushes through the rope, to its middle and out of it, some anywhere", act_mix},
    {"random", "pushes between uniform points", us_push_random},
    {NULL, NULL, NULL},
};

// An env step is a whole push, and an oracle that simulates them takes an hour: none.
static const UsTaskSetting settings[] = {{"eval", "samples", 128},
                                         {"eval", "warm_iterations", 4},
                                         {"eval", "oracle_pairs", 0},
                                         {NULL, NULL, 0}};

const UsTask us_task_rope = {
    .struct_size = sizeof(UsTask),
    .abi = US_TASK_ABI,
    .mujoco = mjVERSION_HEADER,
    .name = "rope",
    .summary = "push a rope into a shape",
    .scene = us_scene_rope,
    .camera = "above",
    .frame_skip = 220,
    .block = 1,
    .action = US_PUSH_ACTION,
    .proprio = US_PUSH_PROPRIO,
    .measure = 2 * POINTS,
    .size = 64,
    .radius = 0.05,
    .reset = reset,
    .control = control,
    .read_proprio = us_push_proprio,
    .read_measure = read_measure,
    .distance = distance,
    .success = success,
    .policies = policies,
    .settings = settings,
};
