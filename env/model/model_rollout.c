// What a stand-in env predicts: rollouts and steps.
//
// A rollout's candidates are `samples` for each of the listed slots. On the CPU a thread of the
// pool takes a tile of one slot; a wide device takes those of as many slots as its scratch has room
// for.

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "env/model/model_inner.h"
#include "worldmodel/base/progress.h"

enum { kHorizon = 32 };  // frames whose angles the scratch keeps at first

float us_model_env_reward(float distance) {
  return isfinite(distance) ? -distance : -INFINITY;
}

int us_model_env_check(Model* m) {
  UsEnvError* error = &m->base.error;
  if (us_device_check(m->device, "the model's device") == US_OK) return 1;
  if (!error->text[0]) snprintf(error->text, sizeof(error->text), "%s", us_message());
  return 0;
}

// ---- scratch ----

// Makes a first scratch for a wide device, or one for more candidates or longer rollouts. Where
// memory ends, calls take fewer candidates from then on.
static void grow(Model* m, int candidates, int horizon) {
  Wide* w = &m->wide;
  const int longer = horizon > w->horizon;
  for (; candidates > 0 && (longer || candidates > w->candidates); candidates /= 2) {
    UsRolloutWork* work = NULL;
    if (w->count < MODEL_WORKS) work = m->w->cls->work_create(m->w, candidates, horizon);
    if (work) {
      w->work[w->count++] = work;
      w->candidates = candidates;
      break;
    }
    w->most = candidates / 2;
  }
  if (w->most < w->candidates) w->most = w->candidates;
  w->horizon = horizon;
}

// Scratch for so many candidates, or for the most that a call takes.
static UsRolloutWork* work_for(Model* m, size_t candidates, int horizon) {
  Wide* w = &m->wide;
  int wanted = candidates < (size_t)w->most ? (int)candidates : w->most, now = w->candidates;
  if (wanted > now || horizon > w->horizon) {
    // Twice as much at least, so that it grows a few times only.
    if (wanted <= now) wanted = now;
    if (wanted > now && wanted < 2 * now) wanted = 2 * now < w->most ? 2 * now : w->most;
    grow(m, wanted, horizon > w->horizon ? 2 * horizon : w->horizon);
  }
  return w->work[w->count - 1];
}

UsStatus us_model_env_works_make(Model* m) {
  int made = 1;
  if (m->w->wide) {
    m->wide.most = m->w->tile;
    grow(m, m->w->tile < m->base.info.slots ? m->w->tile : m->base.info.slots, kHorizon);
    if (m->head) m->wide.judge = us_success_work_create(m->head, m->base.info.slots);
    made = m->wide.count > 0 && (!m->head || m->wide.judge);
  }
  for (int i = 0; !m->w->wide && i < m->workers; i++) {
    Worker* w = &m->worker[i];
    w->tile = m->w->cls->work_create(m->w, m->w->tile, kHorizon);
    w->single = m->w->cls->work_create(m->w, 1, 1);
    if (m->head) w->judge = us_success_work_create(m->head, 1);
    made = made && w->tile && w->single && (!m->head || w->judge);
  }
  return made ? US_OK : us_fail(US_MEMORY, "out of memory for rollouts");
}

void us_model_env_works_free(Model* m) {
  for (int i = 0; m->worker && i < m->workers; i++) {
    m->w->cls->work_destroy(m->worker[i].tile);
    m->w->cls->work_destroy(m->worker[i].single);
    us_success_work_destroy(m->head, m->worker[i].judge);
  }
  for (int i = 0; i < m->wide.count; i++) m->w->cls->work_destroy(m->wide.work[i]);
  us_success_work_destroy(m->head, m->wide.judge);
}

// ---- caches ----

static void cache_item(void* arg, int item, int worker) {
  Model* m = arg;
  int slot = m->list.stale[item];
  if (us_interrupted()) return;
  m->w->cls->observe(m->w, m->worker[worker].tile, 1, NULL, model_context(m, slot),
                     m->slot[slot].times, model_cache(m, slot));
}

// Computes the caches that the listed slots (n) lack; a wide device, for which n is at most N, gets
// the list at `to`. Nullable: slots (0, 1, ..).
static void fill_caches(Model* m, const Lists* to, int n, const int* slots) {
  const size_t context = (size_t)m->context;
  int stale = 0;
  for (int i = 0; i < n; i++) {
    const int slot = slots ? slots[i] : i;
    Slot* s = &m->slot[slot];
    if (m->w->wide) us_model_env_list(m, i, slot);
    if (s->cached) continue;
    memcpy(m->times + (size_t)stale * context, s->times, context * sizeof(double));
    m->list.stale[stale++] = slot;
    s->cached = 1;
  }
  if (!m->w->wide) {
    us_pool_run(m->base.pool, stale, cache_item, m);
    return;
  }
  us_model_env_send(m, to, 0);
  if (stale == 0) return;
  m->w->cls->observe(m->w, m->wide.work[m->wide.count - 1], stale, to->stale, m->contexts, m->times,
                     m->caches);
}

// ---- rollout ----

typedef struct Rollout {
  Model* m;
  const int* slots;    // (n) on the CPU
  const Lists* lists;  // the same on a wide device
  int n, samples, horizon;
  int tiles;             // of a slot
  const float* actions;  // (n, samples, horizon, K, A) tensor memory
  float* distances;      // (n, samples, horizon) tensor memory
} Rollout;

// One tile of candidates of one slot.
static void rollout_item(void* arg, int item, int worker) {
  const Rollout* r = arg;
  Model* m = r->m;
  if (us_interrupted()) return;
  const int tile = m->w->tile;
  int i = item / r->tiles, first = item % r->tiles * tile, slot = r->slots[i];
  int count = r->samples - first < tile ? r->samples - first : tile;
  size_t at = ((size_t)i * (size_t)r->samples + (size_t)first) * (size_t)r->horizon;
  // Without a goal there is no distance, and nothing to roll for.
  if (!m->slot[slot].goal) {
    us_ops_zero(m->device, r->distances + at, (size_t)count * (size_t)r->horizon);
    return;
  }
  const UsRollout task = {.slots = 1,
                          .samples = count,
                          .contexts = model_context(m, slot),
                          .caches = model_cache(m, slot),
                          .pasts = model_past(m, slot),
                          .goals = model_goal(m, slot),
                          .step = m->step,
                          .horizon = r->horizon,
                          .actions = r->actions + at * m->block,
                          .distance = r->distances + at,
                          .clip = 1};
  m->w->cls->rollout(m->w, m->worker[worker].tile, &task);
}

// All of it from one thread, by operations whose arguments are the same whichever slots are listed.
static void roll_wide(const Rollout* r) {
  Model* m = r->m;
  UsRolloutWork* work = work_for(m, (size_t)r->n * (size_t)r->samples, r->horizon);
  const int room = m->wide.candidates, part = r->samples < room ? r->samples : room;
  const int slots = room / part;  // of a call
  for (int i = 0; i < r->n; i += slots) {
    for (int first = 0; first < r->samples && !us_interrupted(); first += part) {
      size_t at = ((size_t)i * (size_t)r->samples + (size_t)first) * (size_t)r->horizon;
      const UsRollout task = {.slots = r->n - i < slots ? r->n - i : slots,
                              .samples = r->samples - first < part ? r->samples - first : part,
                              .slot = r->lists->slot + i,
                              .contexts = m->contexts,
                              .caches = m->caches,
                              .pasts = m->pasts,
                              .goals = m->goals,
                              .step = m->step,
                              .horizon = r->horizon,
                              .actions = r->actions + at * m->block,
                              .distance = r->distances + at,
                              .clip = 1};
      m->w->cls->rollout(m->w, work, &task);
    }
  }
  // Without a goal there is no distance.
  us_ops_set_rows(m->device, r->n, r->samples * r->horizon, r->lists->bare, m->zeros, r->distances);
}

static void roll(Rollout* r) {
  if (r->m->w->wide) {
    roll_wide(r);
    return;
  }
  r->tiles = (r->samples + r->m->w->tile - 1) / r->m->w->tile;
  us_pool_run(r->m->base.pool, r->n * r->tiles, rollout_item, r);
}

void us_model_env_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                          const float* actions, float* rewards) {
  Model* m = model_of(e);
  const size_t each = (size_t)samples * (size_t)horizon, numbers = (size_t)n * each;
  const size_t all = numbers * m->block;
  // Tensor memory is kept for the next call, and grows where it is not enough.
  if (all + numbers > m->room) {
    us_ops_free(m->device, m->staged);
    m->staged = us_ops_alloc(m->device, all + numbers);
    m->room = m->staged ? all + numbers : 0;
    if (!m->staged && !e->error.text[0]) {
      snprintf(e->error.text, sizeof(e->error.text), "out of memory for %zu actions",
               all + numbers);
    }
  }
  int whole = m->staged != NULL;
  if (whole) {
    // There, rolled, and back; a list of a wide device has at most N slots.
    us_ops_put(m->device, m->staged, actions, all);
    const int most = m->w->wide ? e->info.slots : n;
    for (int i = 0; i < n; i += most) {
      Rollout r = {.m = m,
                   .slots = slots + i,
                   .lists = &m->there,
                   .n = n - i < most ? n - i : most,
                   .samples = samples,
                   .horizon = horizon,
                   .actions = m->staged + (size_t)i * each * m->block,
                   .distances = m->staged + all + (size_t)i * each};
      fill_caches(m, r.lists, r.n, r.slots);
      roll(&r);
    }
    us_ops_get(m->device, m->staged + all, rewards, numbers);
    whole = us_model_env_check(m);
  }
  // Ctrl-C leaves candidates out, so that none of the numbers means anything.
  if (us_interrupted()) whole = 0;
  for (size_t i = 0; i < numbers; i++) {
    rewards[i] = whole ? us_model_env_reward(rewards[i]) : -INFINITY;
  }
}

void us_model_env_rollout_prepare(UsEnv* e, int n, const int* slots) {
  Model* m = model_of(e);
  memcpy(m->chosen, slots, sizeof(int) * (size_t)n);
  fill_caches(m, &m->meant, n, slots);
}

void us_model_env_rollout_device(UsEnv* e, int n, int samples, int horizon, const float* actions,
                                 float* rewards) {
  Model* m = model_of(e);
  Rollout r = {.m = m,
               .slots = m->chosen,
               .lists = &m->meant,
               .n = n,
               .samples = samples,
               .horizon = horizon,
               .actions = actions,
               .distances = rewards};
  roll(&r);
  // x - 2 x: minus the distance, exactly.
  us_ops_add(m->device, (size_t)n * (size_t)samples * (size_t)horizon, -2, rewards, rewards);
}

// ---- step ----

// Predicts the next latents of `count` slots from `first` on into m->fresh and takes them, with the
// actions in m->played, into the contexts.
static void predict(Model* m, UsRolloutWork* work, int first, int count) {
  float* next = m->fresh + (size_t)first * m->one;
  const float* action = m->played + (size_t)first * m->block;
  const UsRollout task = {.slots = count,
                          .samples = 1,
                          .contexts = model_context(m, first),
                          .caches = model_cache(m, first),
                          .pasts = model_past(m, first),
                          .step = m->step,
                          .horizon = 1,
                          .actions = action,
                          .last = next};
  m->w->cls->rollout(m->w, work, &task);
  us_ops_push(m->device, count, m->context, (int)m->one, m->all + first, m->none, next,
              m->contexts);
  if (m->past) {
    us_ops_push(m->device, count, m->w->past, (int)m->block, m->all + first, m->none, action,
                m->pasts);
  }
  // The caches were those of the contexts before.
  for (int i = first; i < first + count; i++) {
    Slot* s = &m->slot[i];
    us_model_env_seen(m, i, s->times[m->context - 1] + m->step);
    s->steps += m->base.info.block;
  }
}

static void step_item(void* arg, int item, int worker) {
  Model* m = arg;
  predict(m, m->worker[worker].single, item, 1);
}

void us_model_env_step(UsEnv* e, const float* actions, const UsStep* out) {
  Model* m = model_of(e);
  const int n = e->info.slots;
  const size_t blocks = (size_t)n * m->block, numbers = (size_t)n * m->one;
  // Actions of all slots go to the device at once, clipped there.
  fill_caches(m, &m->there, n, NULL);
  us_ops_put(m->device, m->played, actions, blocks);
  us_ops_clip(m->device, blocks, -1, 1, m->played);
  if (m->w->wide) {
    const int room = m->wide.candidates;
    UsRolloutWork* work = m->wide.work[m->wide.count - 1];
    for (int i = 0; i < n; i += room) predict(m, work, i, n - i < room ? n - i : room);
  } else {
    us_pool_run(e->pool, n, step_item, m);
  }

  // Observations and distances of all slots come back at once.
  m->w->cls->denormalise(m->w, n * m->tokens, m->fresh, m->raw);
  us_ops_row_distance(m->device, n, (int)m->one, 1, NULL, m->fresh, m->goals, m->w->metric,
                      m->apart, 1);
  us_ops_get(m->device, m->raw, m->features, numbers + (size_t)n);
  us_model_env_check(m);
  if (out->observation) memcpy(out->observation, m->features, numbers * sizeof(float));
  for (int i = 0; i < n; i++) {
    const float* latent = m->features + (size_t)i * m->one;
    int finite = 1;
    for (size_t k = 0; k < m->one; k++) finite &= isfinite(latent[k]) != 0;
    float reward = m->slot[i].goal ? us_model_env_reward(m->distances[i]) : 0;
    m->ends[i] = !finite;
    if (out->reward) out->reward[i] = finite ? reward : -INFINITY;
    if (out->truncated) out->truncated[i] = m->limit > 0 && m->slot[i].steps >= m->limit;
  }
  // The head looks at the end of the block; of the env steps before it, and of the task's object, a
  // model knows nothing.
  const size_t block = (size_t)e->info.block;
  if (out->success) memset(out->success, 0, (size_t)n * block);
  if (out->object) memset(out->object, 0, (size_t)n * block);
  if (!out->success && !out->terminated) return;
  us_model_env_solved(m, n, m->each, m->solved);
  for (int i = 0; i < n; i++) {
    const uint8_t yes = m->solved[i] && !m->ends[i];
    if (out->success) out->success[(size_t)(i + 1) * block - 1] = yes;
    if (out->terminated) out->terminated[i] = yes || m->ends[i];
  }
}
