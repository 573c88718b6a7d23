#ifndef UNDERSTUDY_TESTS_POINT_DEVICE_H_
#define UNDERSTUDY_TESTS_POINT_DEVICE_H_

// The point of point_env.h as an env that imagines in memory of a device, in a game of its own: the
// reward of a block is minus the mean squared difference of its actions to those that would bring
// the point to its goal in five blocks.

#include "tests/planner/point_env.h"
#include "worldmodel/ops.h"

typedef struct DevicePoint {
  PointEnv point;
  int* slot;      // (N) tensor memory
  float* wanted;  // (N, K, 2) tensor memory
} DevicePoint;

static void device_point_prepare(UsEnv* env, int n, const int* slots) {
  DevicePoint* e = (DevicePoint*)env;
  const int block = env->info.block;
  float* wanted = calloc((size_t)(env->info.slots * block * 2), sizeof(float));
  for (int i = 0; i < env->info.slots * block * 2; i++) {
    const int s = i / (2 * block);
    wanted[i] = (float)(e->point.goal[s][i % 2] - e->point.x[s][i % 2]) / (5 * (float)block);
  }
  us_ops_put(env->info.device, e->wanted, wanted, (size_t)(env->info.slots * block * 2));
  us_ops_put_bytes(env->info.device, e->slot, slots, sizeof(int) * (size_t)n);
  free(wanted);
}

static void device_point_rollout(UsEnv* env, int n, int samples, int horizon, const float* actions,
                                 float* rewards) {
  DevicePoint* e = (DevicePoint*)env;
  const int rows = n * samples * horizon;
  e->point.rollouts++;
  us_ops_row_distance(env->info.device, rows, env->info.block * 2, samples * horizon, e->slot,
                      actions, e->wanted, NULL, rewards, 1);
  us_ops_add(env->info.device, (size_t)rows, -2, rewards, rewards);
}

static const UsEnvClass device_point_class = {.kind = "point",
                                              .rollout_prepare = device_point_prepare,
                                              .rollout_device = device_point_rollout};

static inline void device_point_open(DevicePoint* e, int slots, int block, UsDevice* d) {
  point_open(&e->point, slots, block);
  e->point.base.cls = &device_point_class;
  e->point.base.info.device = d;
  e->slot = us_ops_alloc_bytes(d, sizeof(int) * (size_t)slots);
  e->wanted = us_ops_alloc(d, (size_t)(slots * block * 2));
}

static inline void device_point_close(DevicePoint* e) {
  us_ops_free(e->point.base.info.device, e->slot);
  us_ops_free(e->point.base.info.device, e->wanted);
}

#endif  // UNDERSTUDY_TESTS_POINT_DEVICE_H_
