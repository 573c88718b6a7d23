// Uniform actions: what chance alone reaches, the floor of every table.
//
//   a_j ~ U(-1, 1), from the stream (seed, episode, plan)

#include <stdlib.h>

#include "planner/planner.h"
#include "worldmodel/base/rng.h"

typedef struct Random {
  UsPlanner base;
  int length;  // numbers that are played of a plan
  struct {
    uint64_t episode;
    uint32_t plan;  // plans made for the episode
  } slot[];         // (N)
} Random;

static UsStatus random_create(UsEnv* env, const UsPlannerConfig* config, UsPlanner** out) {
  const UsEnvInfo* info = us_env_info(env);
  Random* r = calloc(1, sizeof(*r) + (size_t)info->slots * sizeof(r->slot[0]));
  if (!r) return us_fail(US_MEMORY, "planner: out of memory");
  r->length = config->replan * info->block * info->action;
  *out = &r->base;
  return US_OK;
}

static void random_destroy(UsPlanner* p) {
  free(p);
}

static void random_start(UsPlanner* p, int n, const int* slots, const uint64_t* episodes) {
  Random* r = (Random*)p;
  for (int i = 0; i < n; i++) {
    r->slot[slots[i]].episode = episodes[i];
    r->slot[slots[i]].plan = 0;
  }
}

static void random_plan(UsPlanner* p, int n, const int* slots, float* actions) {
  Random* r = (Random*)p;
  for (int i = 0; i < n; i++) {
    uint64_t episode = r->slot[slots[i]].episode;
    UsRng rng = us_rng(p->config.seed, US_RNG_PLAN, episode, r->slot[slots[i]].plan++, 0);
    for (int j = 0; j < r->length; j++) *actions++ = (float)us_rng_range(&rng, -1, 1);
  }
}

const UsPlannerClass us_planner_random = {
    .name = "random",
    .create = random_create,
    .destroy = random_destroy,
    .start = random_start,
    .plan = random_plan,
};
