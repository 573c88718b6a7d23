// Frames a second of collecting (policy, physics, frame) and physics steps a second of rollouts,
// for every task: bench_render [threads] [size] [gl], the last as --gl has it.

#include <stdio.h>
#include <stdlib.h>

#include "env/sim.h"
#include "tasks/tasks.h"
#include "worldmodel/base/progress.h"

enum { N = 32, SAMPLES = 64, HORIZON = 5 };

// A line of a task.
static void bench(const char* name, int size, const char* gl, UsPool* pool) {
  UsEnv* e = NULL;
  const UsEnvConfig config = {
      .slots = N, .block = 1, .height = size, .pixels = 1, .pool = pool, .gl = gl};
  if (us_env_open(name, us_tasks, &config, &e) != US_OK) {
    fprintf(stderr, "bench_render: %s\n", us_message());
    exit(1);
  }
  // Room for the longer of both, a rollout.
  const UsEnvInfo* info = us_env_info(e);
  size_t length = (size_t)N * SAMPLES * HORIZON;
  float* actions = calloc(length * (size_t)info->action, sizeof(float));
  float* rewards = calloc(length, sizeof(float));
  uint8_t* pixels = malloc((size_t)N * (size_t)info->height * (size_t)info->width * 3);
  uint64_t seeds[N];
  int slots[N], steps[N] = {0};
  for (int i = 0; i < N; i++) {
    seeds[i] = (uint64_t)i;
    slots[i] = i;
  }
  us_env_reset(e, NULL, seeds);
  us_env_render(e, N, slots, pixels);
  // A second of collecting, then a second of rollouts.
  int frames = 0, steps_played = 0;
  double wall = us_seconds(), core = us_cpu_seconds();
  for (; us_seconds() - wall < 1; frames += N) {
    us_sim_policy(e, 0, steps, actions);
    us_env_step(e, actions, NULL);
    us_env_render(e, N, slots, pixels);
    for (int i = 0; i < N; i++) steps[i]++;
  }
  printf("%-16s %4d px: %8.0f frames/s, %8.0f a core-second;", name, info->height,
         frames / (us_seconds() - wall), frames / (us_cpu_seconds() - core));
  wall = us_seconds(), core = us_cpu_seconds();
  for (; us_seconds() - wall < 1; steps_played += (int)length * us_sim_task(e)->frame_skip) {
    us_env_rollout(e, N, slots, SAMPLES, HORIZON, actions, rewards);
  }
  printf(" %9.0f physics steps/s, %9.0f a core-second\n", steps_played / (us_seconds() - wall),
         steps_played / (us_cpu_seconds() - core));
  if (us_env_error(e)) {
    fprintf(stderr, "bench_render: %s: MuJoCo: %s\n", name, us_env_error(e)->text);
    exit(1);
  }
  free(actions);
  free(rewards);
  free(pixels);
  us_env_close(e);
}

int main(int argc, char** argv) {
  UsPool* pool = us_pool_create(argc > 1 ? atoi(argv[1]) : 0);
  for (int i = 0; us_tasks[i]; i++) {
    char name[128];
    snprintf(name, sizeof(name), "sim:%s", us_tasks[i]->name);
    bench(name, argc > 2 ? atoi(argv[2]) : 0, argc > 3 ? argv[3] : NULL, pool);
  }
  us_pool_destroy(pool);
  return 0;
}
