// Two rooms and one door: a disc whose velocity is commanded, at most 1.25 m/s per axis. Solved
// within 0.14 m of the goal. In `wall` the wall and its door stand still; in `wall_random` they
// stand elsewhere in every episode (qpos 2 and 3), so that a held-out episode is an unseen layout.

#include <math.h>

#include "tasks/planar.h"
#include "tasks/policies.h"
#include "tasks/tasks.h"

extern const char us_scene_wall[], us_scene_wall_random[];

static const double speed_max = 1.25;                  // m/s
static const double radius = 0.14;                     // m
static const double half_wall = 0.09, door_y = 0.35;   // m
static const double wall_most = 0.4, door_most = 0.7;  // m from the middle, of wall_random

// Where the wall (x) stands.
static double wall_of(const mjModel* m, const mjData* d) {
  return m->nq > 2 ? d->qpos[2] : 0;
}

// A uniform point (2) of the rooms that the disc's centre can be at.
static void free_point(const mjModel* m, const mjData* d, UsRng* rng, double* out) {
  const double disc = us_planar_radius(m), wall = wall_of(m, d);
  do {
    out[0] = us_rng_range(rng, -1 + disc, 1 - disc);
    out[1] = us_rng_range(rng, -1 + disc, 1 - disc);
  } while (fabs(out[0] - wall) < half_wall + disc);
}

// wall_random draws its layout first, then a place of the disc in it.
static void reset(const mjModel* m, mjData* d, UsRng* rng) {
  if (m->nq > 2) {
    d->qpos[2] = us_rng_range(rng, -wall_most, wall_most);
    d->qpos[3] = us_rng_range(rng, -door_most, door_most);
  }
  free_point(m, d, rng, d->qpos);
}

// Another place in the episode's own layout.
static void goal(const mjModel* m, mjData* d, UsRng* rng) {
  free_point(m, d, rng, d->qpos);
}

// Commanded velocities; the joints of the walls are held.
static void control(const mjModel* m, mjData* d, const float* action) {
  for (int i = 0; i < 2; i++) d->ctrl[i] = speed_max * action[i];
  for (int i = 2; i < m->nv; i++) d->qvel[i] = 0;  // walls stand
}

// measure (3): x and y of the disc, x of the wall, which decides whether a pair is hard.
static void read_measure(const mjModel* m, const mjData* d, double* out) {
  us_planar_measure(m, d, out);
  out[2] = wall_of(m, d);
}

static int success(const mjModel* m, const double* a, const double* goal) {
  return us_planar_distance(m, a, goal) <= radius;
}

// Hard: in different rooms, so that the way leads through the door.
static int hard(const mjModel* m, const double* start, const double* goal) {
  return (start[0] < start[2]) != (goal[0] < start[2]);
}

// Where to go next (2) on the way to `target`: in front of the door, through it, there.
static void next_point(const mjModel* m, const mjData* d, const double* target, double* out) {
  const double thick = half_wall + us_planar_radius(m), wall = wall_of(m, d);
  const double door = m->nq > 2 ? d->qpos[3] : door_y;
  // The sides of the wall that the disc and its target are on, and whether it is in the door.
  double side = d->qpos[0] < wall ? -1 : 1, other = target[0] < wall ? -1 : 1;
  int in_door = fabs(d->qpos[0] - wall) < thick;
  mju_copy(out, target, 2);
  if (side == other && !in_door) return;
  int through = in_door || fabs(d->qpos[1] - door) < 0.1;
  out[0] = wall + (through ? other : side) * (thick + 0.02);
  out[1] = door;
}

// memory: age, target (2), speed.
static void act_goal(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  double way[2], *target = memory + 1;
  if (us_policy_renew(memory, us_planar_distance(m, d->qpos, target), 0.08, 80)) {
    free_point(m, d, rng, target);
    memory[3] = us_rng_range(rng, 0.4, 1.2);
  }
  next_point(m, d, target, way);
  us_planar_drive(d->qpos, way, memory[3], 0.06, action);
  us_policy_noise(rng, 0.2, 2, action);
}

// One of the two for an episode.
static void act_mix(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  (us_policy_choice(rng, memory) == 1 ? us_policy_random : act_goal)(m, d, rng, memory + 1, action);
}

static const UsPolicy policies[] = {
    {"mix", "random or goal, one of them for an episode", act_mix},
    {"random", "uniform actions held for 1 to 7 steps, with noise", us_policy_random},
    {"goal", "drives to random points, through the door where needed, with noise", act_goal},
    {NULL, NULL, NULL},
};

#define WALL(task, text)                 \
  const UsTask us_task_##task = {        \
      .struct_size = sizeof(UsTask),     \
      .abi = US_TASK_ABI,                \
      .mujoco = mjVERSION_HEADER,        \
      .name = #task,                     \
      .summary = text,                   \
      .scene = us_scene_##task,          \
      .camera = "above",                 \
      .frame_skip = 5,                   \
      .block = 5,                        \
      .action = 2,                       \
      .proprio = 4,                      \
      .measure = 3,                      \
      .size = 64,                        \
      .radius = 0.14,                    \
      .reset = reset,                    \
      .goal = goal,                      \
      .control = control,                \
      .read_proprio = us_planar_proprio, \
      .read_measure = read_measure,      \
      .distance = us_planar_distance,    \
      .success = success,                \
      .hard = hard,                      \
      .policies = policies,              \
      .factors = us_planar_factors,      \
  }

WALL(wall, "move a disc to a point, through the door if it is in the other room");
WALL(wall_random, "wall, but wall and door stand elsewhere in every episode");
