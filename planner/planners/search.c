#include "planner/planners/search.h"

#include <string.h>

#include "env/env_class.h"
#include "worldmodel/base/progress.h"

// ---- memory ----

// Laid out alike on the host and in tensor memory, so that it goes from one to the other in one
// piece.
static void place_plan(const UsSearch* s, UsSearchPlan* p, UsArena* a, size_t n) {
  p->slot = US_TAKE(a, int, n);
  p->fresh = US_TAKE(a, int, n);
  p->zero = US_TAKE(a, float, n);
  p->deviation = US_TAKE(a, float, n);
  p->weight = US_TAKE(a, float, n*(size_t)s->config.horizon);
  p->stream = US_TAKE(a, UsRng, n);
}

static void place_host(UsSearch* s, size_t n) {
  UsArena* a = &s->host;
  const UsPlannerConfig* g = &s->config;
  const size_t all = n * (size_t)g->samples;
  place_plan(s, &s->here, a, n);
  s->plan_bytes = a->size;
  s->episode = US_TAKE(a, uint64_t, n);
  s->plan = US_TAKE(a, uint32_t, n);
  s->from = US_TAKE(a, int, n);
  s->row = US_TAKE(a, float, n*(size_t)s->played);
  // An env that takes no tensor memory is handed candidates, and returns rewards, through these.
  if (s->env->cls->rollout_device) return;
  s->actions = US_TAKE(a, float, all*(size_t)s->length);
  s->returned = US_TAKE(a, float, all*(size_t)g->horizon);
}

static void place_tensors(UsSearch* s, size_t n) {
  UsArena* a = &s->tensors;
  const UsPlannerConfig* g = &s->config;
  const size_t all = n * (size_t)g->samples, elites = n * (size_t)g->elites;
  place_plan(s, &s->there, a, n);
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
  s->handed = US_TAKE(a, float, n*(size_t)s->played);
}

UsStatus us_search_create(UsSearch* s, UsEnv* env, const UsPlannerConfig* config) {
  const UsEnvInfo* info = us_env_info(env);
  const size_t n = (size_t)info->slots;
  // Sizes, and where the env imagines.
  *s = (UsSearch){.env = env, .config = *config, .lag = info->action};
  s->device = info->device ? info->device : us_device_cpu();
  s->length = config->horizon * info->block * info->action;
  s->played = config->replan * info->block * info->action;
  const int first = config->iterations, later = config->warm_iterations;
  s->most = first > later ? first : later;
  s->fewest = first > later ? later : first;
  s->plain = !env->cls->rollout_device;
  // One block of the host's memory and one of tensor memory: measured, then placed.
  place_host(s, n);
  place_tensors(s, n);
  UsStatus status = us_arena_alloc(&s->host);
  if (status == US_OK) status = us_ops_arena_alloc(s->device, &s->tensors);
  if (status != US_OK) {
    us_search_free(s);
    return us_fail(status, "planner: %s", us_message());
  }
  place_host(s, n);
  place_tensors(s, n);
  return US_OK;
}

void us_search_free(UsSearch* s) {
  for (int i = 0; i < US_SEARCH_RECORDINGS; i++) {
    if (s->recording[i].calls) us_ops_forget(s->device, s->recording[i].calls);
  }
  if (s->tensors.base) us_ops_free(s->device, s->tensors.base);
  us_arena_free(&s->host);
  *s = (UsSearch){0};
}

// ---- where a plan starts ----

void us_search_start(UsSearch* s, int n, const int* slots, const uint64_t* episodes) {
  for (int i = 0; i < n; i++) {
    s->episode[slots[i]] = episodes[i];
    s->plan[slots[i]] = 0;
  }
}

// Blocks played since the goal was last due, or since the start.
static int since_due(const UsSearch* s, int slot) {
  const UsPlannerConfig* g = &s->config;
  return (int)((uint64_t)s->plan[slot] * (uint64_t)g->replan % (uint64_t)g->horizon);
}

// A first plan searches widely; those after it start from the last one, which was shifted when it
// was handed out. The first one after a deadline counts as a first plan.
static int is_warm(const UsSearch* s, int slot) {
  const UsPlannerConfig* g = &s->config;
  int due = g->deadline && since_due(s, slot) < g->replan;
  return !due && !g->cold && s->plan[slot] > 0;
}

// The weights of a slot's blocks (H) rise from the first to the last, or are 0 but for it. With a
// deadline they are 0 before it and 1 from it on.
static void set_weights(const UsSearch* s, int slot, float* weight) {
  const UsPlannerConfig* g = &s->config;
  const int last = g->horizon - 1, due = last - since_due(s, slot);
  for (int h = 0; h <= last; h++) {
    float rise = last > 0 ? (float)h / (float)last : 1;
    weight[h] = g->first_weight + (1 - g->first_weight) * rise;
    if (g->last_only) weight[h] = h == last;
    if (g->deadline) weight[h] = h >= due;
  }
}

// Lays a plan out on the host, those slots first that have the most iterations, and brings it to
// the device.
static void begin(UsSearch* s, int n, const int* slots) {
  const UsPlannerConfig* g = &s->config;
  UsSearchPlan* p = &s->here;
  s->n = 0;
  for (int most = 1; most >= 0; most--) {
    for (int i = 0; i < n; i++) {
      const int slot = slots[i], warm = is_warm(s, slot);
      if (most != ((warm ? g->warm_iterations : g->iterations) == s->most)) continue;
      // Candidate k of iteration t draws from the stream (seed, episode, plan, t << 20 | k).
      p->stream[s->n] = us_rng(g->seed, US_RNG_PLAN, s->episode[slot], s->plan[slot], 0);
      p->deviation[s->n] = warm ? g->warm_deviation : g->deviation;
      set_weights(s, slot, p->weight + (size_t)s->n * (size_t)g->horizon);
      p->fresh[s->n] = s->plan[slot] == 0 ? slot : -1;
      p->slot[s->n] = slot;
      s->from[s->n++] = i;
    }
    if (most) s->many = s->n;
  }
  us_ops_put_bytes(s->device, s->there.slot, p->slot, s->plan_bytes);
  if (!s->actions) us_env_rollout_prepare(s->env, n, p->slot);
}

// ---- plans ----

// Hands the plans of n slots from place `first` on out, whose last iteration was `last`: the mean
// of the elites, or the best candidate of that iteration where there was a finite one. Their next
// plans go on where these were left.
static void hand_out(UsSearch* s, int first, int n, int last) {
  const UsPlannerConfig* g = &s->config;
  const int half = last % 2;
  us_ops_hand_out(s->device, n, s->length, s->played, g->elites, g->cold, s->there.slot + first,
                  g->play_best ? s->elite[half] : NULL, g->play_best ? s->elite_cost[half] : NULL,
                  s->mean, s->handed + (size_t)first * (size_t)s->played);
}

// All that a plan does on the device between what is put there and what is fetched.
static void make(UsSearch* s, UsSearchIteration* iteration) {
  const UsSearchPlan* p = &s->there;
  us_ops_set_rows(s->device, s->n, s->length, p->slot, p->deviation, s->deviation);
  us_ops_set_rows(s->device, s->n, s->length, p->fresh, p->zero, s->mean);
  for (int t = 0; t < s->most && !us_interrupted(); t++) {
    // A slot leaves when its iterations are done; all others go on together.
    s->iteration = t;
    s->count = t < s->fewest ? s->n : s->many;
    if (s->count == 0) break;
    iteration(s);
    s->made += s->count;
  }
  // The last iterations of both kinds need not be of the same half.
  if (s->many > 0) hand_out(s, 0, s->many, s->most - 1);
  if (s->many < s->n) hand_out(s, s->many, s->n - s->many, s->fewest - 1);
}

// The entry of plans like this one. NULL when there was none, or none that is still kept: then it
// begins with this plan.
static UsSearchRecording* recall(UsSearch* s) {
  UsSearchRecording* oldest = s->recording;
  for (int i = 0; i < US_SEARCH_RECORDINGS; i++) {
    UsSearchRecording* r = &s->recording[i];
    if (r->n == s->n && r->many == s->many) {
      r->used = s->plans;
      return r;
    }
    if (r->used < oldest->used) oldest = r;
  }
  us_ops_forget(s->device, oldest->calls);
  *oldest = (UsSearchRecording){s->n, s->many, s->plans, NULL};
  return NULL;
}

// Records what such a plan does. A device that cannot is not asked again; one that was interrupted
// has not recorded all of it.
static void record(UsSearch* s, UsSearchRecording* r, UsSearchIteration* iteration) {
  s->plain = !us_ops_record(s->device);
  if (s->plain) return;
  make(s, iteration);
  r->calls = us_ops_recorded(s->device);
  s->plain = !r->calls;
  if (!us_interrupted()) return;
  us_ops_forget(s->device, r->calls);
  r->calls = NULL;
}

int64_t us_search_plan(UsSearch* s, int n, const int* slots, UsSearchIteration* iteration,
                       float* actions) {
  const size_t played = (size_t)s->played;
  s->plans++;
  s->made = 0;
  begin(s, n, slots);
  // The first plan of its kind is made as it stands, the second is recorded, others are replayed.
  UsSearchRecording* r = s->plain || us_interrupted() ? NULL : recall(s);
  if (r && !r->calls) record(s, r, iteration);
  s->made = 0;
  if (r && r->calls) {
    us_ops_replay(s->device, r->calls);
    s->made = (int64_t)s->many * s->most + (int64_t)(n - s->many) * s->fewest;
  } else {
    make(s, iteration);
  }
  // Actions come back by place, and go where the caller has their slots.
  us_ops_get(s->device, s->handed, s->row, (size_t)n * played);
  for (int i = 0; i < n; i++) {
    memcpy(actions + (size_t)s->from[i] * played, s->row + (size_t)i * played,
           sizeof(float) * played);
    s->plan[s->here.slot[i]]++;
  }
  return s->made;
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
  const uint32_t from = (uint32_t)s->iteration << 20;
  float* x = s->candidates + (size_t)first * (size_t)g->samples * (size_t)s->length;
  us_ops_noise(s->device, n, g->samples, s->length, s->there.stream + first, from, x);
  us_ops_correlate(s->device, n * g->samples, g->samples, s->length, s->lag, g->correlation, x);
  us_ops_sample(s->device, n, g->samples, s->length, s->there.slot + first, s->mean, s->deviation,
                x);
}

void us_search_imagine(UsSearch* s) {
  const UsPlannerConfig* g = &s->config;
  const size_t all = (size_t)s->count * (size_t)g->samples;
  if (!s->actions) {
    us_env_rollout_device(s->env, s->count, g->samples, g->horizon, s->candidates, s->rewards);
    return;
  }
  // Candidates go to the host, and rewards come from it.
  us_ops_get(s->device, s->candidates, s->actions, all * (size_t)s->length);
  us_env_rollout(s->env, s->count, s->here.slot, g->samples, g->horizon, s->actions, s->returned);
  us_ops_put(s->device, s->rewards, s->returned, all * (size_t)g->horizon);
}

void us_search_cost(UsSearch* s, int first, int n) {
  const UsPlannerConfig* g = &s->config;
  const size_t at = (size_t)first * (size_t)g->samples, horizon = (size_t)g->horizon;
  us_ops_cost(s->device, n, g->samples, g->horizon, s->there.weight + (size_t)first * horizon,
              s->rewards + at * horizon, s->cost + at);
}

void us_search_elites(UsSearch* s, int first, int n) {
  const UsPlannerConfig* g = &s->config;
  // The elites of the last iteration lie in the other half; a plan's first iteration has none.
  const int now = s->iteration % 2, keep = s->iteration > 0 ? g->keep : 0;
  const size_t at = (size_t)first * (size_t)g->samples;
  us_ops_elites(s->device, n, g->samples, s->length, g->elites, keep, s->there.slot + first,
                s->candidates + at * (size_t)s->length, s->cost + at, s->elite[!now],
                s->elite_cost[!now], s->order + (size_t)first * (size_t)g->elites, s->elite[now],
                s->elite_cost[now]);
}

void us_search_fit(UsSearch* s, int first, int n) {
  const UsPlannerConfig* g = &s->config;
  const int now = s->iteration % 2;
  us_ops_fit(s->device, n, s->length, g->elites, s->there.slot + first, s->elite[now],
             s->elite_cost[now], g->momentum, g->least_deviation, s->mean, s->deviation);
}
