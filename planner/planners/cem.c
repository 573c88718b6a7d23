// The cross-entropy method (Rubinstein 1999) with elites kept between iterations, correlated noise
// and warm starts (Pinneri et al. 2020, "Sample-efficient cross-entropy method for real-time
// planning", iCEM), written in the numbers x (L) of a plan, L = H K A:
//
//   noise    z_t = c z_{t-1} + sqrt(1 - c^2) n_t,  n_t ~ N(0, 1), along the env steps t;
//            c = 0 for every second candidate: both far and fine searches
//   sample   x = clip(mean + deviation z, -1, 1); candidate 0 is the mean itself
//   cost     sum_h w_h (-reward_h); not finite: +INFINITY, ranks last and is never fitted to;
//            w_h rises from the first block to the last or, with a deadline, is 0 before it and 1
//            from it on, so that plans made anew at every block do not put arriving off for ever
//   elites   the least costs of the new candidates and the kept ones, ties by age and index
//   fit      mean = m mean + (1 - m) average(elites), the deviation alike, not below a floor
//   shift    the next plan's mean is this one's without the blocks played, zeros behind it; the
//            first plan after a deadline searches as widely as an episode's first

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planner/planner.h"
#include "worldmodel/base/arena.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"

typedef struct Cem {
  UsPlanner base;
  UsArena memory;
  int action;          // A
  int length;          // L, numbers in a plan
  int played;          // numbers of a plan that are played
  float* weight;       // (H) cost weights
  uint64_t* episode;   // (N)
  uint32_t* plan;      // (N) plans made for the episode
  float* mean;         // (N, L)
  float* deviation;    // (N, L)
  float* elite[2];     // (N, E, L) the elites of the last and of this iteration, best first
  double* elite_cost;  // (N, E)
  int* elites;         // (N) how many there are
  // Of the call in progress, indexed by place i in the list of active slots.
  int iteration;
  int* active;        // (N) slots
  float* candidates;  // (N, samples, L)
  float* rewards;     // (N, samples, H)
  double* cost;       // (N, samples)
  int* order;         // (N, E) chosen candidates: 0 .. keep - 1 kept ones, then the new ones
} Cem;

static void layout(Cem* c, const UsPlannerConfig* g, int slots) {
  UsArena* a = &c->memory;
  size_t n = (size_t)slots, plan = n * (size_t)c->length;
  c->weight = US_TAKE(a, float, g->horizon);
  c->episode = US_TAKE(a, uint64_t, n);
  c->plan = US_TAKE(a, uint32_t, n);
  c->mean = US_TAKE(a, float, plan);
  c->deviation = US_TAKE(a, float, plan);
  c->elite[0] = US_TAKE(a, float, plan*(size_t)g->elites);
  c->elite[1] = US_TAKE(a, float, plan*(size_t)g->elites);
  c->elite_cost = US_TAKE(a, double, n*(size_t)g->elites);
  c->elites = US_TAKE(a, int, n);
  c->active = US_TAKE(a, int, n);
  c->candidates = US_TAKE(a, float, plan*(size_t)g->samples);
  c->rewards = US_TAKE(a, float, n*(size_t)g->samples*(size_t)g->horizon);
  c->cost = US_TAKE(a, double, n*(size_t)g->samples);
  c->order = US_TAKE(a, int, n*(size_t)g->elites);
}

static void fill_weights(const UsPlannerConfig* g, float* weight) {
  for (int h = 0; h < g->horizon; h++) {
    float rise = g->horizon > 1 ? (float)h / (float)(g->horizon - 1) : 1;
    weight[h] = g->first_weight + (1 - g->first_weight) * rise;
    if (g->last_only) weight[h] = h == g->horizon - 1;
  }
}

static UsStatus cem_create(UsEnv* env, const UsPlannerConfig* config, UsPlanner** out) {
  const UsEnvInfo* info = us_env_info(env);
  Cem* c = calloc(1, sizeof(*c));
  if (!c) return us_fail(US_MEMORY, "planner: out of memory");
  c->action = info->action;
  c->length = config->horizon * info->block * info->action;
  c->played = config->replan * info->block * info->action;
  layout(c, config, info->slots);
  UsStatus status = us_arena_alloc(&c->memory);
  if (status != US_OK) {
    free(c);
    return status;
  }
  layout(c, config, info->slots);
  fill_weights(config, c->weight);
  *out = &c->base;
  return US_OK;
}

static void cem_destroy(UsPlanner* p) {
  Cem* c = (Cem*)p;
  us_arena_free(&c->memory);
  free(c);
}

static void cem_start(UsPlanner* p, int n, const int* slots, const uint64_t* episodes) {
  Cem* c = (Cem*)p;
  for (int i = 0; i < n; i++) {
    c->episode[slots[i]] = episodes[i];
    c->plan[slots[i]] = 0;
    memset(c->mean + (size_t)slots[i] * c->length, 0, sizeof(float) * (size_t)c->length);
  }
}

// Blocks played since the goal was last due, or since the start.
static int since_due(const Cem* c, int slot) {
  const UsPlannerConfig* g = &c->base.config;
  return (int)((uint64_t)c->plan[slot] * (uint64_t)g->replan % (uint64_t)g->horizon);
}

static int warm(const Cem* c, int slot) {
  const UsPlannerConfig* g = &c->base.config;
  if (g->deadline && since_due(c, slot) < g->replan) return 0;
  return c->plan[slot] > 0 && !g->cold;
}

static int iterations(const Cem* c, int slot) {
  return warm(c, slot) ? c->base.config.warm_iterations : c->base.config.iterations;
}

// Where the search of a slot starts: the mean was shifted when the last plan was handed out.
static void begin(Cem* c, int slot) {
  const UsPlannerConfig* g = &c->base.config;
  float deviation = warm(c, slot) ? g->warm_deviation : g->deviation;
  float* d = c->deviation + (size_t)slot * c->length;
  for (int j = 0; j < c->length; j++) d[j] = deviation;
  c->elites[slot] = 0;
}

// Pool item: the candidates of active slot i.
static void sample(void* arg, int i, int worker) {
  (void)worker;
  Cem* c = arg;
  const UsPlannerConfig* g = &c->base.config;
  int slot = c->active[i], length = c->length, lag = c->action;
  const float* mean = c->mean + (size_t)slot * length;
  const float* deviation = c->deviation + (size_t)slot * length;
  float carry = g->correlation, fresh = sqrtf(1 - carry * carry);
  float* x = c->candidates + (size_t)i * g->samples * length;
  memcpy(x, mean, sizeof(float) * (size_t)length);
  for (int k = 1; k < g->samples; k++) {
    x += length;
    UsRng rng = us_rng(g->seed, US_RNG_PLAN, c->episode[slot], c->plan[slot],
                       (uint64_t)c->iteration << 20 | (uint64_t)k);
    us_rng_fill_normal(&rng, x, length);
    if (k % 2 == 1) {
      for (int j = lag; j < length; j++) x[j] = carry * x[j - lag] + fresh * x[j];
    }
    for (int j = 0; j < length; j++) {
      x[j] = fminf(fmaxf(mean[j] + deviation[j] * x[j], -1), 1);
    }
  }
}

// cost (samples) of the candidates of active slot i.
static void weigh(Cem* c, int i, double* cost) {
  const UsPlannerConfig* g = &c->base.config;
  const float* reward = c->rewards + (size_t)i * g->samples * g->horizon;
  const int due = g->horizon - 1 - since_due(c, c->active[i]);
  for (int k = 0; k < g->samples; k++, reward += g->horizon) {
    double sum = 0;
    for (int h = 0; h < g->horizon; h++) {
      double weight = g->deadline ? h >= due : c->weight[h];
      if (weight != 0) sum -= weight * (double)reward[h];
    }
    cost[k] = isfinite(sum) ? sum : INFINITY;
  }
}

// Chooses the least of `kept` old and `samples` new costs into order (elites), best first, ties to
// the first; returns how many of them are finite.
static int choose(int kept, const double* old_cost, int samples, const double* new_cost, int elites,
                  int* order) {
  int count = 0;
  for (int k = 0; k < kept + samples; k++) {
    double cost = k < kept ? old_cost[k] : new_cost[k - kept];
    if (cost == INFINITY) continue;
    int at = count < elites ? count++ : elites;
    for (; at > 0; at--) {
      int other = order[at - 1];
      double than = other < kept ? old_cost[other] : new_cost[other - kept];
      if (cost >= than) break;
      if (at < elites) order[at] = other;
    }
    if (at < elites) order[at] = k;
  }
  return count;
}

// Fits mean and deviation (L) to elites (count, L), summed best first.
static void fit(const UsPlannerConfig* g, int length, int count, const float* elite, float* mean,
                float* deviation) {
  for (int j = 0; j < length; j++) {
    double sum = 0, square = 0;
    for (int e = 0; e < count; e++) sum += (double)elite[(size_t)e * length + j];
    double average = sum / count;
    for (int e = 0; e < count; e++) {
      double d = (double)elite[(size_t)e * length + j] - average;
      square += d * d;
    }
    float spread = (float)sqrt(square / count);
    mean[j] = g->momentum * mean[j] + (1 - g->momentum) * (float)average;
    deviation[j] =
        fmaxf(g->momentum * deviation[j] + (1 - g->momentum) * spread, g->least_deviation);
  }
}

// Pool item: elites and fit of active slot i. Without one finite candidate all stays as it was.
static void update(void* arg, int i, int worker) {
  (void)worker;
  Cem* c = arg;
  const UsPlannerConfig* g = &c->base.config;
  int slot = c->active[i], length = c->length;
  int kept = c->elites[slot] < g->keep ? c->elites[slot] : g->keep;
  double* new_cost = c->cost + (size_t)i * g->samples;
  double* old_cost = c->elite_cost + (size_t)slot * g->elites;
  int* order = c->order + (size_t)i * g->elites;
  size_t place = (size_t)slot * g->elites * length;
  const float* from = c->elite[(c->iteration + 1) % 2] + place;
  const float* candidates = c->candidates + (size_t)i * g->samples * length;
  float* to = c->elite[c->iteration % 2] + place;

  weigh(c, i, new_cost);
  int count = choose(kept, old_cost, g->samples, new_cost, g->elites, order);
  c->elites[slot] = count;
  if (count == 0) return;
  for (int e = 0; e < count; e++) {
    const float* x = order[e] < kept ? from + (size_t)order[e] * length
                                     : candidates + (size_t)(order[e] - kept) * length;
    memcpy(to + (size_t)e * length, x, sizeof(float) * (size_t)length);
  }
  // The costs move last: from the back, so that a kept one is read before its place is taken.
  for (int e = count - 1; e >= 0; e--) {
    if (order[e] >= kept) continue;
    old_cost[e] = old_cost[order[e]];
  }
  for (int e = 0; e < count; e++) {
    if (order[e] >= kept) old_cost[e] = new_cost[order[e] - kept];
  }
  fit(g, length, count, to, c->mean + (size_t)slot * length, c->deviation + (size_t)slot * length);
}

// Hands out the blocks to play and shifts the plan by them.
static void finish(Cem* c, int slot, float* actions) {
  const UsPlannerConfig* g = &c->base.config;
  float* mean = c->mean + (size_t)slot * c->length;
  int last = (iterations(c, slot) - 1) % 2;
  const float* best = c->elite[last] + (size_t)slot * g->elites * c->length;
  const float* x = g->play_best && c->elites[slot] > 0 ? best : mean;
  size_t played = (size_t)c->played, rest = (size_t)(c->length - c->played);
  memcpy(actions, x, sizeof(float) * played);
  memmove(mean, mean + played, sizeof(float) * rest);
  memset(mean + rest, 0, sizeof(float) * played);
  if (g->cold) memset(mean, 0, sizeof(float) * rest);
  c->plan[slot]++;
}

static void cem_plan(UsPlanner* p, int n, const int* slots, float* actions) {
  Cem* c = (Cem*)p;
  const UsPlannerConfig* g = &p->config;
  for (int i = 0; i < n; i++) begin(c, slots[i]);
  for (c->iteration = 0;; c->iteration++) {
    int count = 0;
    for (int i = 0; i < n; i++) {
      if (c->iteration < iterations(c, slots[i])) c->active[count++] = slots[i];
    }
    if (count == 0 || us_interrupted()) break;
    us_pool_run(g->pool, count, sample, c);
    us_env_rollout(p->env, count, c->active, g->samples, g->horizon, c->candidates, c->rewards);
    us_pool_run(g->pool, count, update, c);
    p->candidate_steps += (int64_t)count * g->samples * g->horizon;
  }
  for (int i = 0; i < n; i++) finish(c, slots[i], actions + (size_t)i * c->played);
}

const UsPlannerClass us_planner_cem = {
    .name = "cem",
    .create = cem_create,
    .destroy = cem_destroy,
    .start = cem_start,
    .plan = cem_plan,
};
