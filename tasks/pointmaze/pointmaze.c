// PointMaze: a ball of 0.1 m under two motors, with its speed cut to 5 m/s per axis at the start of
// every env step. Solved within 0.5 m of the goal, at any speed. The mazes are those of D4RL, the U
// (`pointmaze`) and the medium one; a scene carries its map as the text "maze", one letter a cell
// of 1 m, rows from the top, # for a wall, the middle of the map at the origin.

#include <math.h>
#include <string.h>

#include "tasks/planar.h"
#include "tasks/policies.h"
#include "tasks/tasks.h"

extern const char us_scene_pointmaze[], us_scene_pointmaze_medium[];

enum { MOST_CELLS = 256 };

static const double speed_max = 5;  // m/s
static const double radius = 0.5;   // m

// ---- the map ----

typedef struct Maze {
  const char* text;  // rows of `columns` letters, parted by blanks
  int rows, columns;
} Maze;

// The map that the scene carries.
static Maze maze_of(const mjModel* m) {
  int id = mj_name2id(m, mjOBJ_TEXT, "maze");
  Maze z = {m->text_data + m->text_adr[id], 0, 0};
  z.columns = (int)strcspn(z.text, " ");
  z.rows = (int)(strlen(z.text) + 1) / (z.columns + 1);
  return z;
}

static int is_wall(const Maze* z, int cell) {
  return z->text[cell / z->columns * (z->columns + 1) + cell % z->columns] == '#';
}

// The middle (2) of a cell, m.
static void centre(const Maze* z, int cell, double* out) {
  out[0] = cell % z->columns - 0.5 * (z->columns - 1);
  out[1] = 0.5 * (z->rows - 1) - cell / z->columns;
}

// Whether the segment from a (2) to b (2) touches a wall made thicker by `margin`.
static int hits_wall(const Maze* z, const double* a, const double* b, double margin) {
  for (int cell = 0; cell < z->rows * z->columns; cell++) {
    if (!is_wall(z, cell)) continue;
    double low[2], high[2];
    centre(z, cell, low);
    for (int i = 0; i < 2; i++) {
      high[i] = low[i] + 0.5 + margin;
      low[i] -= 0.5 + margin;
    }
    if (us_segment_hits(a, b, low, high)) return 1;
  }
  return 0;
}

// A uniform point (2) that the ball's centre can be at.
static void free_point(const mjModel* m, UsRng* rng, double* out) {
  const Maze maze = maze_of(m), *z = &maze;
  const double ball = us_planar_radius(m);
  double x = 0.5 * (z->columns - 2) - ball, y = 0.5 * (z->rows - 2) - ball;
  do {
    out[0] = us_rng_range(rng, -x, x);
    out[1] = us_rng_range(rng, -y, y);
  } while (hits_wall(z, out, out, ball - 1e-9));
}

// The free cell whose middle is nearest to a point (2).
static int cell_of(const Maze* z, const double* point) {
  int best = 0;
  double nearest = INFINITY;
  for (int cell = 0; cell < z->rows * z->columns; cell++) {
    double middle[2];
    centre(z, cell, middle);
    double away = hypot(point[0] - middle[0], point[1] - middle[1]);
    if (is_wall(z, cell) || away >= nearest) continue;
    nearest = away;
    best = cell;
  }
  return best;
}

// The next cell on a shortest way between two free cells: a flood from `to` that ends beside
// `from`.
static int next_cell(const Maze* z, int from, int to) {
  int queue[MOST_CELLS], first = 0, last = 0;
  uint8_t seen[MOST_CELLS] = {0};
  const int side[4] = {-1, 1, -z->columns, z->columns};
  // Cells in the order of their way to `to`; the one that meets `from` is the next.
  queue[last++] = to;
  seen[to] = 1;
  while (first < last) {
    int cell = queue[first++];
    for (int k = 0; k < 4; k++) {
      int next = cell + side[k];
      if (next == from) return cell;
      if (seen[next] || is_wall(z, next)) continue;
      seen[next] = 1;
      queue[last++] = next;
    }
  }
  return to;
}

// ---- the task ----

// Anywhere in the maze.
static void reset(const mjModel* m, mjData* d, UsRng* rng) {
  free_point(m, rng, d->qpos);
}

// The speed is cut before the motors push.
static void control(const mjModel* m, mjData* d, const float* action) {
  for (int i = 0; i < 2; i++) {
    d->qvel[i] = fmin(fmax(d->qvel[i], -speed_max), speed_max);
    d->ctrl[i] = action[i];
  }
}

static int success(const mjModel* m, const double* a, const double* goal) {
  return us_planar_distance(m, a, goal) <= radius;
}

// Hard: a wall lies between.
static int hard(const mjModel* m, const double* start, const double* goal) {
  Maze z = maze_of(m);
  return hits_wall(&z, start, goal, 0);
}

// ---- policies ----

// memory: age, target (2), speed (m/s).
static void act_goal(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  Maze z = maze_of(m);
  double* target = memory + 1;
  if (us_policy_renew(memory, us_planar_distance(m, d->qpos, target), 0.25, 60)) {
    free_point(m, rng, target);
    memory[3] = us_rng_range(rng, 0.5, speed_max);
  }
  int here = cell_of(&z, d->qpos), there = cell_of(&z, target);
  double way[2] = {target[0], target[1]};
  if (here != there) centre(&z, next_cell(&z, here, there), way);
  for (int i = 0; i < 2; i++) {
    double wish = fmin(fmax(4 * (way[i] - d->qpos[i]), -memory[3]), memory[3]);
    action[i] = (float)(wish - d->qvel[i]);
  }
  us_policy_noise(rng, 0.3, 2, action);
}

static void act_mix(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  (us_policy_choice(rng, memory) == 1 ? us_policy_random : act_goal)(m, d, rng, memory + 1, action);
}

static const UsPolicy policies[] = {
    {"mix", "random or goal, one of them for an episode", act_mix},
    {"random", "uniform actions held for 1 to 7 steps, with noise", us_policy_random},
    {"goal", "drives through the maze to random points, with noise", act_goal},
    {NULL, NULL, NULL},
};

#define MAZE(task, text)                 \
  const UsTask us_task_##task = {        \
      .struct_size = sizeof(UsTask),     \
      .abi = US_TASK_ABI,                \
      .mujoco = mjVERSION_HEADER,        \
      .name = #task,                     \
      .summary = text,                   \
      .scene = us_scene_##task,          \
      .camera = "above",                 \
      .frame_skip = 20,                  \
      .block = 5,                        \
      .action = 2,                       \
      .proprio = 4,                      \
      .measure = 2,                      \
      .size = 64,                        \
      .radius = 0.5,                     \
      .reset = reset,                    \
      .control = control,                \
      .read_proprio = us_planar_proprio, \
      .read_measure = us_planar_measure, \
      .distance = us_planar_distance,    \
      .success = success,                \
      .hard = hard,                      \
      .policies = policies,              \
      .factors = us_planar_factors,      \
  }

MAZE(pointmaze, "drive a ball through a U-shaped maze to a point");
MAZE(pointmaze_medium, "drive a ball through a larger maze to a point");
