#ifndef UNDERSTUDY_TESTS_ORACLE_DATA_H_
#define UNDERSTUDY_TESTS_ORACLE_DATA_H_

// A small dataset of a built-in task, collected here with the task's first policy, without frames.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/dataset.h"
#include "env/sim.h"
#include "tasks/tasks.h"

// One row of every slot: what holds before the action.
static inline void oracle_row(UsEnv* sim, int slot, int row, int rows, double* states,
                              float* proprio, double* times) {
  const UsEnvInfo* i = us_env_info(sim);
  UsObs obs = {.state = states + ((size_t)slot * rows + row) * i->state,
               .proprio = proprio + ((size_t)slot * rows + row) * i->proprio};
  US_ASSERT(us_env_look(sim, 1, &slot, &obs) == US_OK);
  times[slot * rows + row] = row * i->dt;
}

// Writes `episodes` episodes of `rows` rows of a task to `path`. names: what varies, by 0.5 each,
// `width` numbers a row, whether or not they fit together; the states are those of the plain task.
static inline UsStatus oracle_collect_as(const char* task, int episodes, int rows, uint64_t seed,
                                         const char* names, int width, const char* path) {
  char name[128];
  snprintf(name, sizeof(name), "sim:%s", task);
  UsEnvConfig config = {.slots = episodes, .block = 1};
  UsEnv* sim;
  US_TRY(us_env_open(name, us_tasks, &config, &sim));
  const UsEnvInfo* i = us_env_info(sim);
  size_t all = (size_t)episodes * (size_t)rows;
  double* states = calloc(all * (size_t)i->state, sizeof(double));
  double* times = calloc(all, sizeof(double));
  float* proprio = calloc(all * (size_t)i->proprio, sizeof(float));
  float* actions = calloc(all * (size_t)i->action, sizeof(float));
  float* now = calloc((size_t)(episodes * i->action), sizeof(float));
  float* rewards = calloc((size_t)rows, sizeof(float));
  uint8_t* flags = calloc((size_t)rows, 1);
  float* variation = calloc((size_t)(rows * width) + 1, sizeof(float));
  uint64_t* seeds = calloc((size_t)episodes, sizeof(uint64_t));
  int* steps = calloc((size_t)episodes, sizeof(int));
  for (int e = 0; e < episodes; e++) seeds[e] = seed << 32 | (uint64_t)e;
  us_env_reset(sim, NULL, seeds);
  for (int t = 0; t < rows; t++) {
    for (int e = 0; e < episodes; e++) {
      oracle_row(sim, e, t, rows, states, proprio, times);
      steps[e] = t;
    }
    us_sim_policy(sim, 0, steps, now);
    us_env_step(sim, now, NULL);
    for (int e = 0; e < episodes; e++) {
      for (int a = 0; a < i->action; a++) {
        actions[((size_t)e * rows + t) * i->action + a] =
            t == rows - 1 ? NAN : now[e * i->action + a];
      }
    }
  }
  UsDatasetInfo info = {
      .seed = seed, .action = i->action, .proprio = i->proprio, .state = i->state, .dt = i->dt};
  for (int t = 0; t < rows * width; t++) variation[t] = 0.5f;
  info.variation = width;
  snprintf(info.variation_names, sizeof(info.variation_names), "%s", names);
  strcpy(info.task, task);
  strcpy(info.policy, us_sim_task(sim)->policies[0].name);
  UsDatasetWriter* w;
  UsStatus status = us_dataset_create(path, &info, episodes, rows, 1, &w);
  for (int e = 0; e < episodes && status == US_OK; e++) {
    size_t at = (size_t)e * (size_t)rows;
    UsEpisode episode = {.rows = rows,
                         .actions = actions + at * (size_t)i->action,
                         .proprio = proprio + at * (size_t)i->proprio,
                         .states = states + at * (size_t)i->state,
                         .rewards = rewards,
                         .terminated = flags,
                         .truncated = flags,
                         .times = times + at,
                         .variation = variation};
    status = us_dataset_append(w, &episode);
  }
  if (status == US_OK) status = us_dataset_finish(w);
  void* memory[] = {states, times, proprio, actions, now, rewards, flags, seeds, steps, variation};
  for (size_t k = 0; k < sizeof(memory) / sizeof(memory[0]); k++) free(memory[k]);
  us_env_close(sim);
  return status;
}

// The same of a task in which nothing varies.
static inline UsStatus oracle_collect(const char* task, int episodes, int rows, uint64_t seed,
                                      const char* path) {
  return oracle_collect_as(task, episodes, rows, seed, "", 0, path);
}

#endif  // UNDERSTUDY_TESTS_ORACLE_DATA_H_
