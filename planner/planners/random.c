// Uniform actions: what chance alone reaches, the floor of every table.

#include <stdlib.h>

#include "planner/planner.h"
#include "worldmodel/base/arena.h"
#include "worldmodel/base/rng.h"

typedef struct Random {
  UsPlanner base;
  UsArena memory;
  int blocks;         // blocks of a plan that are played
  int length;         // numbers in a block, K A
  uint64_t* episode;  // (N)
  uint32_t* plan;     // (N) plans made for the episode
} Random;

static void layout(Random* r, int slots) {
  r->episode = US_TAKE(&r->memory, uint64_t, slots);
  r->plan = US_TAKE(&r->memory, uint32_t, slots);
}

static UsStatus random_create(UsEnv* env, const UsPlannerConfig* config, UsPlanner** out) {
  const UsEnvInfo* info = us_env_info(env);
  Random* r = calloc(1, sizeof(*r));
  if (!r) return us_fail(US_MEMORY, "planner: out of memory");
  r->blocks = config->replan;
  r->length = info->block * info->action;
  layout(r, info->slots);
  UsStatus status = us_arena_alloc(&r->memory);
  if (status != US_OK) {
    free(r);
    return status;
  }
  layout(r, info->slots);
  *out = &r->base;
  return US_OK;
}

static void random_destroy(UsPlanner* p) {
  Random* r = (Random*)p;
  us_arena_free(&r->memory);
  free(r);
}

static void random_start(UsPlanner* p, int n, const int* slots, const uint64_t* episodes) {
  Random* r = (Random*)p;
  for (int i = 0; i < n; i++) {
    r->episode[slots[i]] = episodes[i];
    r->plan[slots[i]] = 0;
  }
}

static void random_plan(UsPlanner* p, int n, const int* slots, float* actions) {
  Random* r = (Random*)p;
  int count = r->blocks * r->length;
  for (int i = 0; i < n; i++) {
    int s = slots[i];
    UsRng rng = us_rng(p->config.seed, US_RNG_PLAN, r->episode[s], r->plan[s]++, 0);
    for (int j = 0; j < count; j++) {
      actions[(size_t)i * count + j] = (float)us_rng_range(&rng, -1, 1);
    }
  }
}

const UsPlannerClass us_planner_random = {
    .name = "random",
    .create = random_create,
    .destroy = random_destroy,
    .start = random_start,
    .plan = random_plan,
};
