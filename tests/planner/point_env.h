#ifndef UNDERSTUDY_TESTS_POINT_ENV_H_
#define UNDERSTUDY_TESTS_POINT_ENV_H_

// A kind of env whose best plan is known: a point on the plane that an action moves by itself,
// x <- x + a, with the reward -|x - goal|^2 after each block.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "env/env_class.h"

typedef struct PointEnv {
  UsEnv base;
  double x[64][2], goal[64][2];
  float broken;  // blocks that end beyond this |x| have no finite reward; 0: none
  int rollouts;  // calls so far
} PointEnv;

static float point_reward(const PointEnv* e, int slot, const double* x) {
  double dx = x[0] - e->goal[slot][0], dy = x[1] - e->goal[slot][1];
  if (e->broken > 0 && fabs(x[0]) > (double)e->broken) return x[0] > 0 ? NAN : -INFINITY;
  return (float)-(dx * dx + dy * dy);
}

static void point_rollout(UsEnv* env, int n, const int* slots, int samples, int horizon,
                          const float* actions, float* rewards) {
  PointEnv* e = (PointEnv*)env;
  int block = env->info.block;
  e->rollouts++;
  for (int i = 0; i < n; i++) {
    for (int k = 0; k < samples; k++) {
      double x[2] = {e->x[slots[i]][0], e->x[slots[i]][1]};
      for (int h = 0; h < horizon; h++) {
        for (int b = 0; b < block; b++, actions += 2) {
          x[0] += (double)actions[0];
          x[1] += (double)actions[1];
        }
        *rewards++ = point_reward(e, slots[i], x);
      }
    }
  }
}

// Plays the actions (blocks, K, 2) of a plan in a slot.
static inline void point_play(PointEnv* e, int slot, int blocks, const float* actions) {
  for (int t = 0; t < blocks * e->base.info.block; t++) {
    e->x[slot][0] += (double)actions[2 * t];
    e->x[slot][1] += (double)actions[2 * t + 1];
  }
}

static const UsEnvClass point_class = {.kind = "point", .rollout = point_rollout};

// A point env of `slots` slots and `block` env steps a block, at the origin with goals of its own.
static inline void point_open(PointEnv* e, int slots, int block) {
  memset(e, 0, sizeof(*e));
  e->base.cls = &point_class;
  e->base.info = (UsEnvInfo){.slots = slots, .block = block, .action = 2, .state = 2};
  for (int s = 0; s < 64; s++) {
    e->goal[s][0] = 0.9 * sin(1.0 + s);
    e->goal[s][1] = 0.9 * cos(2.0 + s);
  }
}

#endif  // UNDERSTUDY_TESTS_POINT_ENV_H_
