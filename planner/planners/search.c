#include "planner/planners/search.h"

#include <math.h>
#include <string.h>

#include "env/env_class.h"

// ---- memory ----

static void place_host(UsSearch* s, size_t n) {
  UsArena* a = &s->memory;
  const UsPlannerConfig* g = &s->config;
  const size_t all = n * (size_t)g->samples;
  s->active = US_TAKE(a, int, n);
  s->episode = US_TAKE(a, uint64_t, n);
  s->plan = US_TAKE(a, uint32_t, n);
  s->iterations = US_TAKE(a, int, n);
  s->row = US_TAKE(a, float, s->length);
  s->weight = US_TAKE(a, float, n*(size_t)g->horizon);
  s->stream = US_TAKE(a, UsRng, n);
  // An env that takes no tensor memory is handed candidates, and returns rewards, through these.
  if (s->env->cls->rollout_device) return;
  s->actions = US_TAKE(a, float, all*(size_t)s->length);
  s->returned = US_TAKE(a, float, all*(size_t)g->horizon);
}

static void place_tensors(UsSearch* s, UsArena* a, size_t n) {
  const UsPlannerConfig* g = &s->config;
  const size_t all = n * (size_t)g->samples, elites = n * (size_t)g->elites;
  s->mean = US_TAKE(a, float, n*(size_t)s->length);
  s->deviation = US_TAKE(a, float, n*(size_t)s->length);
  for (int k = 0; k < 2; k++) {
    s->elite[k] = US_TAKE(a, float, elites*(size_t)s->length);
    s->elite_cost[k] = US_TAKE(a, double, elites);
  }
  s->candidates = US_TAKE(a, float, all*(size_t)s->length);
  s->rewards = US_TAKE(a, float, all*(size_t)g->horizon);
  s->cost = US_TAKE(a, double, all);
  s->order = US_TAKE(a, int, elites);
}

UsStatus us_search_create(UsSearch* s, UsEnv* env, const UsPlannerConfig* config) {
  const UsEnvInfo* info = us_env_info(env);
  const size_t n = (size_t)info->slots;
  // Sizes, and where the env imagines.
  *s = (UsSearch){.env = env, .config = *config, .lag = info->action};
  s->device = info->device ? info->device : us_device_cpu();
  s->length = config->horizon * info->block * info->action;
  s->played = config->replan * info->block * info->action;
  // One block of the host's memory: measured, then placed.
  place_host(s, n);
  US_TRY(us_arena_alloc(&s->memory));
  place_host(s, n);
  // The same for tensor memory, whose block comes from the device.
  UsArena a = {0};
  place_tensors(s, &a, n);
  s->tensors = us_ops_alloc(s->device, a.size / sizeof(float) + 1);
  if (!s->tensors) {
    us_search_free(s);
    return us_fail(US_MEMORY, "planner: out of memory: %zu bytes asked for", a.size);
  }
  a = (UsArena){.base = (char*)s->tensors, .room = a.size};
  place_tensors(s, &a, n);
  return US_OK;
}

void us_search_free(UsSearch* s) {
  if (s->tensors) us_ops_free(s->device, s->tensors);
  us_arena_free(&s->memory);
  *s = (UsSearch){0};
}

// ---- episodes and plans ----

// Puts one number everywhere in a slot's row of a tensor (N, L).
static void put_row(UsSearch* s, float* tensor, int slot, float x) {
  for (int j = 0; j < s->length; j++) s->row[j] = x;
  us_ops_put(s->device, tensor + (size_t)slot * s->length, s->row, (size_t)s->length);
}

void us_search_start(UsSearch* s, int n, const int* slots, const uint64_t* episodes) {
  for (int i = 0; i < n; i++) {
    s->episode[slots[i]] = episodes[i];
    s->plan[slots[i]] = 0;
    put_row(s, s->mean, slots[i], 0);
  }
}

// Blocks played since the goal was last due, or since the start.
static int since_due(const UsSearch* s, int slot) {
  const UsPlannerConfig* g = &s->config;
  return (int)((uint64_t)s->plan[slot] * (uint64_t)g->replan % (uint64_t)g->horizon);
}

// A first plan searches widely; those after it start from the last one, which was shifted when it
// was handed out. The first one after a deadline counts as a first plan.
void us_search_begin(UsSearch* s, int n, const int* slots) {
  const UsPlannerConfig* g = &s->config;
  s->iteration = -1;
  for (int i = 0; i < n; i++) {
    int due = g->deadline && since_due(s, slots[i]) < g->replan;
    int warm = !due && !g->cold && s->plan[slots[i]] > 0;
    s->iterations[slots[i]] = warm ? g->warm_iterations : g->iterations;
    put_row(s, s->deviation, slots[i], warm ? g->warm_deviation : g->deviation);
  }
}

int us_search_activate(UsSearch* s, int n, const int* slots) {
  s->iteration++;
  s->count = 0;
  for (int i = 0; i < n; i++) {
    if (s->iteration < s->iterations[slots[i]]) s->active[s->count++] = slots[i];
  }
  return s->count;
}

void us_search_hand_out(UsSearch* s, int slot, float* actions) {
  const UsPlannerConfig* g = &s->config;
  const size_t played = (size_t)s->played, length = (size_t)s->length, rest = length - played;
  // The mean of the elites is played ...
  float* mean = s->mean + (size_t)slot * length;
  us_ops_get(s->device, mean, s->row, length);
  memcpy(actions, s->row, sizeof(float) * played);
  // ... or the best candidate of the last iteration, where there was a finite one.
  if (g->play_best) {
    const int last = (s->iterations[slot] - 1) % 2;
    const size_t best = (size_t)slot * (size_t)g->elites;
    double cost;
    us_ops_get(s->device, (const float*)(s->elite_cost[last] + best), (float*)&cost,
               sizeof(cost) / sizeof(float));
    if (cost < INFINITY) {
      us_ops_get(s->device, s->elite[last] + best * length, actions, played);
    }
  }
  // The next plan goes on where this one was left, with zeros for the blocks that are new.
  memmove(s->row, s->row + played, sizeof(float) * rest);
  memset(s->row + rest, 0, sizeof(float) * played);
  if (g->cold) memset(s->row, 0, sizeof(float) * rest);
  us_ops_put(s->device, mean, s->row, length);
  s->plan[slot]++;
}

// ---- the steps ----

typedef struct Step {
  UsSearch* s;
  UsSearchStep* work;
} Step;

static void one_slot(void* arg, int i, int worker) {
  (void)worker;
  const Step* step = arg;
  step->work(step->s, i, 1);
}

void us_search_each(UsSearch* s, UsSearchStep* work) {
  // On the CPU the pool takes slot by slot; another device all of them in one call.
  if (s->device != us_device_cpu()) {
    work(s, 0, s->count);
    return;
  }
  Step step = {s, work};
  us_pool_run(s->config.pool, s->count, one_slot, &step);
}

void us_search_sample(UsSearch* s, int first, int n) {
  const UsPlannerConfig* g = &s->config;
  float* x = s->candidates + (size_t)first * (size_t)g->samples * (size_t)s->length;
  // Candidate k of a slot draws from the stream (seed, episode, plan, iteration << 20 | k).
  for (int i = first; i < first + n; i++) {
    s->stream[i] = us_rng(g->seed, US_RNG_PLAN, s->episode[s->active[i]], s->plan[s->active[i]],
                          (uint64_t)s->iteration << 20);
  }
  us_ops_noise(s->device, n, g->samples, s->length, s->stream + first, 0, x);
  us_ops_correlate(s->device, n * g->samples, g->samples, s->length, s->lag, g->correlation, x);
  us_ops_sample(s->device, n, g->samples, s->length, s->active + first, s->mean, s->deviation, x);
}

void us_search_imagine(UsSearch* s) {
  const UsPlannerConfig* g = &s->config;
  const size_t all = (size_t)s->count * (size_t)g->samples;
  if (!s->actions) {
    us_env_rollout_prepare(s->env, s->count, s->active);
    us_env_rollout_device(s->env, s->count, g->samples, g->horizon, s->candidates, s->rewards);
    return;
  }
  // Candidates go to the host, and rewards come from it.
  us_ops_get(s->device, s->candidates, s->actions, all * (size_t)s->length);
  us_env_rollout(s->env, s->count, s->active, g->samples, g->horizon, s->actions, s->returned);
  us_ops_put(s->device, s->rewards, s->returned, all * (size_t)g->horizon);
}

void us_search_cost(UsSearch* s, int first, int n) {
  const UsPlannerConfig* g = &s->config;
  const size_t at = (size_t)first * (size_t)g->samples, horizon = (size_t)g->horizon;
  float* weight = s->weight + (size_t)first * horizon;
  // The weights rise from the first block to the last, or are 0 but for it. With a deadline they
  // are 0 before it and 1 from it on.
  for (int i = 0; i < n; i++) {
    const int last = g->horizon - 1, due = last - since_due(s, s->active[first + i]);
    for (int h = 0; h <= last; h++) {
      float rise = last > 0 ? (float)h / (float)last : 1;
      float* w = weight + (size_t)i * horizon + h;
      *w = g->first_weight + (1 - g->first_weight) * rise;
      if (g->last_only) *w = h == last;
      if (g->deadline) *w = h >= due;
    }
  }
  us_ops_cost(s->device, n, g->samples, g->horizon, weight, s->rewards + at * horizon,
              s->cost + at);
}

void us_search_elites(UsSearch* s, int first, int n) {
  const UsPlannerConfig* g = &s->config;
  // The elites of the last iteration lie in the other half; a plan's first iteration has none.
  const int now = s->iteration % 2, keep = s->iteration > 0 ? g->keep : 0;
  const size_t at = (size_t)first * (size_t)g->samples;
  us_ops_elites(s->device, n, g->samples, s->length, g->elites, keep, s->active + first,
                s->candidates + at * (size_t)s->length, s->cost + at, s->elite[!now],
                s->elite_cost[!now], s->order + (size_t)first * (size_t)g->elites, s->elite[now],
                s->elite_cost[now]);
}

void us_search_fit(UsSearch* s, int first, int n) {
  const UsPlannerConfig* g = &s->config;
  const int now = s->iteration % 2;
  us_ops_fit(s->device, n, s->length, g->elites, s->active + first, s->elite[now],
             s->elite_cost[now], g->momentum, g->least_deviation, s->mean, s->deviation);
}
