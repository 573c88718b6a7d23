// A T that a round pusher moves over a table. The pusher is under position control at 10 Hz, its
// target at most 0.08 m away per axis. Solved by the rule of PushT in DINO-WM at this size: pusher
// and T together within 20 / 512 of the table's side (L2 over the four coordinates), the angle
// within pi / 9. The physics is MuJoCo's with these bodies, not that of the pymunk task of the same
// name.

#include <math.h>

#include "tasks/planar.h"
#include "tasks/policies.h"
#include "tasks/tasks.h"

extern const char us_scene_pusht[];

static const double pusher = 0.07;                    // m, radius
static const double reach = 0.08;                     // m, from the pusher to its target
static const double edge = 0.93;                      // m, where the pusher's centre can be
static const double near = 2.0 * 20 / 512;            // m
static const double turned = mjPI / 9;                // rad
static const double weight = 3;                       // of the T in the distance
static const double arm = 2.0 * 20 / 512 * 9 / mjPI;  // m per rad: both thresholds count alike

// The outline of the T in its own frame, m: corners in order, counterclockwise.
enum { CORNERS = 8 };
static const double corner[CORNERS][2] = {{-0.26, 0.18},  {-0.26, 0.02}, {-0.08, 0.02},
                                          {-0.08, -0.34}, {0.08, -0.34}, {0.08, 0.02},
                                          {0.26, 0.02},   {0.26, 0.18}};

// A point (2) from the T's frame into the world's.
static void to_world(const mjData* d, const double* point, double* out) {
  double c = cos(d->qpos[4]), s = sin(d->qpos[4]), x = point[0], y = point[1];
  out[0] = d->qpos[2] + c * x - s * y;
  out[1] = d->qpos[3] + s * x + c * y;
}

// A point (2) from the world's frame into the T's.
static void to_t(const mjData* d, const double* point, double* out) {
  double c = cos(d->qpos[4]), s = sin(d->qpos[4]);
  double x = point[0] - d->qpos[2], y = point[1] - d->qpos[3];
  out[0] = c * x + s * y;
  out[1] = -s * x + c * y;
}

// Whether the segment from a (2) to b (2), both in the T's frame, comes within `margin` of the T.
static int crosses(const double* a, const double* b, double margin) {
  const double low[2][2] = {{-0.26 - margin, 0.02 - margin}, {-0.08 - margin, -0.34 - margin}};
  const double high[2][2] = {{0.26 + margin, 0.18 + margin}, {0.08 + margin, 0.02 + margin}};
  return us_segment_hits(a, b, low[0], high[0]) || us_segment_hits(a, b, low[1], high[1]);
}

// The T around the middle, the pusher anywhere beside it.
static void reset(const mjModel* m, mjData* d, UsRng* rng) {
  double at[2];
  for (int i = 0; i < 2; i++) d->qpos[2 + i] = us_rng_range(rng, -0.5, 0.5);
  d->qpos[4] = us_rng_range(rng, -mjPI, mjPI);
  do {
    for (int i = 0; i < 2; i++) d->qpos[i] = us_rng_range(rng, -0.85, 0.85);
    to_t(d, d->qpos, at);
  } while (crosses(at, at, pusher + 0.02));
}

// The target of the position control.
static void control(const mjModel* m, mjData* d, const float* action) {
  for (int i = 0; i < 2; i++) {
    d->ctrl[i] = fmin(fmax(d->qpos[i] + reach * action[i], -edge), edge);
  }
}

// measure (5): x and y of the pusher, x, y (m) and angle (rad) of the T.
static void read_measure(const mjModel* m, const mjData* d, double* out) {
  mju_copy(out, d->qpos, 5);
}

static double turn(const double* a, const double* goal) {
  return remainder(a[4] - goal[4], 2 * mjPI);
}

// Root of the squares over `from` .. 3 of the four coordinates.
static double way(const double* a, const double* goal, int from) {
  double sum = 0;
  for (int i = from; i < 4; i++) sum += (a[i] - goal[i]) * (a[i] - goal[i]);
  return sqrt(sum);
}

// The T counts more than the pusher, which has to leave its place to move the T.
static double distance(const mjModel* m, const double* a, const double* goal) {
  double t = hypot(way(a, goal, 2), arm * turn(a, goal));
  return hypot(hypot(a[0] - goal[0], a[1] - goal[1]), weight * t);
}

static int success(const mjModel* m, const double* a, const double* goal) {
  return way(a, goal, 0) <= near && fabs(turn(a, goal)) <= turned;
}

static int success_object(const mjModel* m, const double* a, const double* goal) {
  return way(a, goal, 2) <= near && fabs(turn(a, goal)) <= turned;
}

// Hard: the T has to be moved.
static int hard(const mjModel* m, const double* start, const double* goal) {
  return !success_object(m, start, goal);
}

// ---- policies ----

// A push in the T's frame: from `start` (2), a place beside the outline, along `direction` (2).
static void draw_push(UsRng* rng, double* start, double* direction) {
  int k = (int)us_rng_below(rng, CORNERS);
  const double *a = corner[k], *b = corner[(k + 1) % CORNERS];
  double u = us_rng_range(rng, 0.1, 0.9), length = hypot(b[0] - a[0], b[1] - a[1]);
  double inward[2] = {-(b[1] - a[1]) / length, (b[0] - a[0]) / length};
  double off = us_rng_range(rng, -0.6, 0.6), away = pusher + 0.05;
  for (int i = 0; i < 2; i++) start[i] = a[i] + u * (b[i] - a[i]) - away * inward[i];
  direction[0] = cos(off) * inward[0] - sin(off) * inward[1];
  direction[1] = sin(off) * inward[0] + cos(off) * inward[1];
}

// How good a push is: its start can be reached, and a T near the edge goes to the middle.
static double worth(const mjData* d, const double* start, const double* direction) {
  const double origin[2] = {0, 0};
  double at[2], to[2], base[2];
  to_world(d, start, at);
  to_world(d, direction, to);
  to_world(d, origin, base);
  // Positive where the push leads away from the middle.
  double out = (to[0] - base[0]) * base[0] + (to[1] - base[1]) * base[1];
  double outside = fmax(fabs(at[0]), fabs(at[1])) > edge - 0.02;
  return -out - 10 * outside;
}

// Where to go (2) on the way to `target` (2), both in the world: straight, or around the T.
static void next_point(const mjData* d, const double* target, double* out) {
  double here[2], there[2];
  to_t(d, d->qpos, here);
  to_t(d, target, there);
  mju_copy(out, target, 2);
  if (!crosses(here, there, pusher)) return;
  // Around: a step along a circle that holds the T, the shorter way.
  double angle = atan2(here[1], here[0]),
         gap = remainder(atan2(there[1], there[0]) - angle, 2 * mjPI);
  angle += gap < 0 ? -0.6 : 0.6;
  double round[2] = {0.5 * cos(angle), 0.5 * sin(angle)};
  to_world(d, round, out);
  for (int i = 0; i < 2; i++) out[i] = fmin(fmax(out[i], -edge), edge);
}

// memory: phase (0 fresh, 1 on the way, 2 pushing), steps left, start (2) and direction (2) in the
// T's frame, speed, then in the world: direction (2).
static void act_push(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  double *start = memory + 2, *direction = memory + 4, *along = memory + 7, at[2], to[2];
  // A new push: the best of three.
  if (memory[0] == 0) {
    double best = -INFINITY;
    for (int k = 0; k < 3; k++) {
      double s[2], v[2];
      draw_push(rng, s, v);
      double w = worth(d, s, v) + us_rng_range(rng, 0, 0.4);
      if (w <= best) continue;
      best = w;
      mju_copy(start, s, 2);
      mju_copy(direction, v, 2);
    }
    memory[0] = 1;
    memory[1] = 40;
    memory[6] = us_rng_range(rng, 0.33, 1);
  }
  to_world(d, start, at);
  // There: the push goes straight on, wherever the T turns.
  if (memory[0] == 1 && hypot(at[0] - d->qpos[0], at[1] - d->qpos[1]) < 0.04) {
    const double origin[2] = {0, 0};
    double base[2];
    to_world(d, direction, to);
    to_world(d, origin, base);
    mju_sub(along, to, base, 2);
    memory[0] = 2;
    memory[1] = us_rng_range(rng, 4, 18);
  }
  memory[1] -= 1;
  if (memory[0] == 1) {
    next_point(d, at, to);
    for (int i = 0; i < 2; i++) action[i] = (float)((to[i] - d->qpos[i]) / reach);
  } else {
    for (int i = 0; i < 2; i++) action[i] = (float)(memory[6] * along[i]);
  }
  // At the push's own speed.
  float most = fmaxf((float)memory[6], fmaxf(fabsf(action[0]), fabsf(action[1])));
  for (int i = 0; i < 2; i++) action[i] *= (float)memory[6] / most;
  us_policy_noise(rng, 0.2, 2, action);
  if (memory[1] <= 0) memory[0] = 0;
}

// memory: 0 undecided, 1 random steps left, then those of the policies.
static void act_mix(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  if (memory[0] == 0 && us_rng_uniform(rng) < 0.02f) memory[0] = us_rng_range(rng, 5, 20);
  memory[0] = fmax(memory[0] - 1, 0);
  (memory[0] > 0 ? us_policy_random : act_push)(m, d, rng, memory + (memory[0] > 0 ? 1 : 8),
                                                action);
}

static const UsPolicy policies[] = {
    {"mix", "pushes, now and then random for 5 to 20 steps", act_mix},
    {"push", "goes to a random place of the T's outline and pushes, with noise", act_push},
    {"random", "uniform actions held for 1 to 7 steps, with noise", us_policy_random},
    {NULL, NULL, NULL},
};

static const UsTaskSetting settings[] = {
    {"finetune", "steps", 40000}, {"finetune", "whiten", 0.5},    {"eval", "samples", 128},
    {"eval", "iterations", 6},    {"eval", "warm_iterations", 4}, {"eval", "elites", 10},
    {"eval", "deadline", 1},      {"eval", "oracle_pairs", 32},   {NULL, NULL, 0}};

const UsTask us_task_pusht = {
    .struct_size = sizeof(UsTask),
    .abi = US_TASK_ABI,
    .mujoco = mjVERSION_HEADER,
    .name = "pusht",
    .summary = "push a T to a place and an angle",
    .scene = us_scene_pusht,
    .camera = "above",
    .frame_skip = 10,
    .block = 5,
    .action = 2,
    .proprio = 4,
    .measure = 5,
    .size = 64,
    .radius = 0.332,
    .reset = reset,
    .control = control,
    .read_proprio = us_planar_proprio,
    .read_measure = read_measure,
    .distance = distance,
    .success = success,
    .success_object = success_object,
    .hard = hard,
    .policies = policies,
    .settings = settings,
};
