// Granular: 50 grains of 0.06 m radius that a plate gathers and spreads, one push an env step.
// Solved when the Chamfer distance of the grains' centres to the goal's is at most a grain's
// radius: on average a grain covers the middle of the nearest one of the picture it should match.

#include <math.h>

#include "tasks/push.h"
#include "tasks/tasks.h"

extern const char us_scene_granular[];

enum { GRAINS = 50, MOST_CLUSTERS = 3 };

static const double grain = 0.06;   // m, radius
static const double inside = 0.98;  // m, bound of a grain's centre on each axis at the start
static const double radius = 0.06;  // m

// Between the axis of the plate and a grain's centre (m), just above where the two touch.
static const double clearance = 0.112;

// Whether a grain at p (2) lies on the table and touches none of the n there are.
static int is_free(const double* points, int n, const double* p) {
  if (fmax(fabs(p[0]), fabs(p[1])) > inside) return 0;
  for (int i = 0; i < n; i++) {
    if (hypot(points[2 * i] - p[0], points[2 * i + 1] - p[1]) < 2 * grain + 0.002) return 0;
  }
  return 1;
}

// Clusters that widen, up to the whole table, until every grain has a place.
static void reset(const mjModel* m, mjData* d, UsRng* rng) {
  int clusters = 1 + (int)us_rng_below(rng, MOST_CLUSTERS);
  double centre[MOST_CLUSTERS][2], width = us_rng_range(rng, 0.05, 0.4);
  for (int i = 0; i < 2 * clusters; i++) centre[i / 2][i % 2] = us_rng_range(rng, -0.7, 0.7);
  for (int n = 0; n < GRAINS;) {
    const double* c = centre[us_rng_below(rng, (uint32_t)clusters)];
    double* p = d->qpos + 2 * n;
    // A place that is taken makes the clusters wider.
    for (int i = 0; i < 2; i++) p[i] = c[i] + width * us_rng_normal(rng);
    if (is_free(d->qpos, n, p)) {
      n++;
    } else {
      width = fmin(1.01 * width, 0.7);
    }
  }
  us_push_rest(m, d, rng, GRAINS, d->qpos, clearance);
}

// Grains are points for the plate.
static void control(const mjModel* m, mjData* d, const float* action) {
  us_push_start(m, d, action, GRAINS, d->qpos, clearance);
}

static void read_measure(const mjModel* m, const mjData* d, double* out) {
  mju_copy(out, d->qpos, 2 * GRAINS);
}

// Grains are all alike: which of them is where does not count.
static double distance(const mjModel* m, const double* a, const double* goal) {
  return us_push_chamfer(GRAINS, a, goal);
}

static int success(const mjModel* m, const double* a, const double* goal) {
  return distance(m, a, goal) <= radius;
}

static void act_mix(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  us_push_useful(rng, GRAINS, d->qpos, action);
}

static void act_gather(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                       float* action) {
  us_push_inwards(rng, GRAINS, d->qpos, action);
}

static const UsPolicy policies[] = {
    {"mix", "pushes through the grains, to their middle and out of it, some anywhere", act_mix},
    {"random", "pushes between uniform points", us_push_random},
    {"gather", "pushes from the outer grains to the middle, with noise", act_gather},
    {NULL, NULL, NULL},
};

// An env step is a whole push, and an oracle that simulates them takes an hour: none.
static const UsTaskSetting settings[] = {{"eval", "samples", 128},
                                         {"eval", "warm_iterations", 4},
                                         {"eval", "oracle_pairs", 0},
                                         {NULL, NULL, 0}};

const UsTask us_task_granular = {
    .struct_size = sizeof(UsTask),
    .abi = US_TASK_ABI,
    .mujoco = mjVERSION_HEADER,
    .name = "granular",
    .summary = "push 50 grains into an arrangement",
    .scene = us_scene_granular,
    .camera = "above",
    .frame_skip = 220,
    .block = 1,
    .action = US_PUSH_ACTION,
    .proprio = US_PUSH_PROPRIO,
    .measure = 2 * GRAINS,
    .size = 64,
    .radius = 0.06,
    .reset = reset,
    .control = control,
    .read_proprio = us_push_proprio,
    .read_measure = read_measure,
    .distance = distance,
    .success = success,
    .policies = policies,
    .settings = settings,
};
