// Physics steps a core-second of every task: rollouts of an env on one thread against a plain loop
// over mj_step, from the same states with the same actions: bench_physics [task ...].

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/scene.h"
#include "env/sim.h"
#include "tasks/tasks.h"
#include "worldmodel/base/progress.h"

enum { N = 16, ROUNDS = 5 };

typedef struct Bench {
  UsEnv* env;
  const UsTask* task;
  const mjModel* model;
  mjData* data;
  int horizon;     // env steps of a rollout
  double* states;  // (N, S)
  float* actions;  // (N, horizon, A)
  float* rewards;  // (N, horizon)
} Bench;

// Core-seconds of the plain loop.
static double plain(const Bench* b) {
  const mjModel* m = b->model;
  const int width = us_env_info(b->env)->state;
  double start = us_cpu_seconds();
  for (int i = 0; i < N; i++) {
    us_scene_start(m, b->data);
    mju_copy(b->data->qpos, b->states + i * width, (int)m->nq);
    mju_copy(b->data->qvel, b->states + i * width + m->nq, (int)m->nv);
    mj_kinematics(m, b->data);
    for (int h = 0; h < b->horizon; h++) {
      const float* action = b->actions + (i * b->horizon + h) * b->task->action;
      if (b->task->control) b->task->control(m, b->data, action);
      for (int k = 0; !b->task->control && k < m->nu; k++) b->data->ctrl[k] = action[k];
      for (int k = 0; k < b->task->frame_skip; k++) mj_step(m, b->data);
      mj_kinematics(m, b->data);
    }
  }
  return us_cpu_seconds() - start;
}

// Core-seconds of the env's rollouts of the same actions.
static double rollout(const Bench* b) {
  int slots[N];
  for (int i = 0; i < N; i++) slots[i] = i;
  double start = us_cpu_seconds();
  us_env_rollout(b->env, N, slots, 1, b->horizon, b->actions, b->rewards);
  return us_cpu_seconds() - start;
}

// Opens a task and makes what both loops start from and play.
static void open_bench(const char* name, Bench* b) {
  // One env step a block, so that the plain loop has the same actions.
  char full[128];
  snprintf(full, sizeof(full), "sim:%s", name);
  if (us_env_open(full, us_tasks, &(UsEnvConfig){.slots = N, .block = 1}, &b->env) != US_OK) {
    fprintf(stderr, "bench_physics: %s\n", us_message());
    exit(1);
  }
  b->task = us_sim_task(b->env);
  b->model = us_sim_model(b->env);
  b->data = mj_makeData(b->model);
  b->horizon = 1 + 2000 / b->task->frame_skip / N;
  size_t all = (size_t)(N * b->horizon);
  b->states = calloc((size_t)(N * us_env_info(b->env)->state), sizeof(double));
  b->actions = calloc(all * (size_t)b->task->action, sizeof(float));
  b->rewards = calloc(all, sizeof(float));
  // Start states of the seeds, and random actions.
  uint64_t seeds[N];
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(b->env, NULL, seeds);
  for (int i = 0; i < N; i++) {
    UsObs obs = {.state = b->states + i * us_env_info(b->env)->state};
    if (us_env_look(b->env, 1, &i, &obs) != US_OK) exit(1);
  }
  UsRng rng = us_rng(1, US_RNG_TEST, 0, 0, 0);
  for (size_t i = 0; i < all * (size_t)b->task->action; i++) {
    b->actions[i] = (float)us_rng_range(&rng, -1, 1);
  }
}

// A line of a task.
static void bench(const char* name) {
  Bench b = {0};
  open_bench(name, &b);
  // The fastest of some rounds of each, one after the other.
  double best[2] = {INFINITY, INFINITY}, steps = (double)N * b.horizon * b.task->frame_skip;
  for (int k = 0; k < ROUNDS; k++) {
    best[0] = fmin(best[0], plain(&b));
    best[1] = fmin(best[1], rollout(&b));
  }
  printf("%-18s %3d steps an env step  mj_step %9.0f/s  rollout %9.0f/s  ratio %.2f\n", name,
         b.task->frame_skip, steps / best[0], steps / best[1], best[0] / best[1]);
  // Physics that went wrong is no measurement.
  const UsEnv* e = b.env;
  if (us_env_error(e)) {
    fprintf(stderr, "bench_physics: %s: MuJoCo: %s\n", us_env_info(e)->name, us_env_error(e)->text);
    exit(1);
  }
  mj_deleteData(b.data);
  free(b.states);
  free(b.actions);
  free(b.rewards);
  us_env_close(b.env);
}

// The tasks that are named, or all.
int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) bench(argv[i]);
  for (int i = 0; argc == 1 && us_tasks[i]; i++) bench(us_tasks[i]->name);
  return 0;
}
