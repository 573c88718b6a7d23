// The stand-in env: a trained world model behind env.h.
//
// A slot is the C newest latents, real or predicted, their times, the blocks of actions between
// them and a goal. Latents are normalised; they and all else that rollouts read lie in the tensor
// memory of the model's device, so that a rollout brings its actions there once and its rewards
// back once. What the model makes of a slot's context (its cache) is computed when the first
// rollout or step after a change asks for it.
//
// The reward is minus the mean squared difference of normalised latents to the goal's.
//
// Rows of a matrix product are candidates of one slot, at a place that their index alone decides; a
// step takes one row per slot. So nothing depends on how many slots there are or are listed. A
// rollout and a loop over steps agree to float rounding, not to the bit.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/env_class.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/model_folder.h"
#include "worldmodel/ops.h"

enum { kHorizon = 32 };  // frames of a rollout whose angles are kept

typedef struct Slot {
  double times[US_CONTEXT_MAX];  // s since the start of the episode, oldest first
  int goal;                      // 1: there is one
  int steps;                     // env steps since reset
  int cached;                    // 1: the cache is that of the context
} Slot;

typedef struct Worker {
  UsRolloutWork* tile;    // for rollouts
  UsRolloutWork* single;  // for steps
} Worker;

typedef struct Model {
  UsEnv base;
  UsModel* model;
  const UsWorldModel* w;
  UsDevice* device;  // of the world model
  const UsEncoder* encoder;
  int context, tokens, tile, workers, limit;
  size_t one;    // G D
  size_t block;  // K A
  size_t past;   // numbers of a slot's past blocks
  double step;   // s between frames

  UsArena host;      // ordinary memory:
  Slot* slot;        // (N)
  Worker* worker;    // (workers)
  int* stale;        // (N) slots whose cache has to be computed
  int* meant;        // (N) slots of rollouts on the device
  uint8_t* pixels;   // (N, height, width, 3)
  double* states;    // (N, S)
  float* features;   // (N, G, D) as the encoder gives them
  float* distances;  // (N)

  UsArena tensor;   // tensor memory:
  float* contexts;  // (N, C, G, D)
  float* pasts;     // (N, past, K, A) the blocks that led through the contexts
  float* goals;     // (N, G, D)
  float* caches;    // (N, cache)
  float* fresh;     // (N, G, D) what was encoded or predicted last
  float* raw;       // (N, G, D) not normalised
  float* played;    // (N, K, A) actions of a step or of what was observed
  float* apart;     // (N) distances

  float* staged;  // tensor memory for actions and distances of a rollout, as large as the largest
  size_t room;    // its floats
} Model;

static Model* of(UsEnv* e) {
  return (Model*)e;
}

// Where a slot's things lie.
static float* context_of(Model* m, int slot) {
  return m->contexts + (size_t)slot * (size_t)m->context * m->one;
}

static float* newest_of(Model* m, int slot) {
  return context_of(m, slot) + (size_t)(m->context - 1) * m->one;
}

static float* goal_of(Model* m, int slot) {
  return m->goals + (size_t)slot * m->one;
}

static float* past_of(Model* m, int slot) {
  return m->pasts + (size_t)slot * m->past;
}

static float* cache_of(Model* m, int slot) {
  return m->caches + (size_t)slot * m->w->cache;
}

// ---- open and close ----

static void model_close(UsEnv* e) {
  Model* m = of(e);
  // What is half built is closed as well.
  for (int i = 0; m->worker && i < m->workers; i++) {
    m->w->cls->work_destroy(m->worker[i].tile);
    m->w->cls->work_destroy(m->worker[i].single);
  }
  if (m->device) {
    us_ops_free(m->device, m->tensor.base);
    us_ops_free(m->device, m->staged);
  }
  us_arena_free(&m->host);
  us_model_destroy(m->model);
  free(m);
}

// Sizes are the model's; who asks for others is refused.
static UsStatus check_config(const char* name, const UsModelInfo* info, const UsEnvConfig* c) {
  if (c->block && c->block != info->block) {
    return us_fail(US_USAGE,
                   "%s: expected a block of %d env steps as the model was trained, found %d", name,
                   info->block, c->block);
  }
  if ((c->height && c->height != info->height) || (c->width && c->width != info->width)) {
    return us_fail(US_USAGE,
                   "%s: expected frames of %d x %d as the model was trained, found %d x %d", name,
                   info->width, info->height, c->width, c->height);
  }
  return US_OK;
}

// Ordinary memory and tensor memory, laid out twice: counted, then placed.
static void place(Model* m) {
  const UsEnvInfo* info = &m->base.info;
  UsArena *a = &m->host, *t = &m->tensor;
  size_t n = (size_t)info->slots;
  m->slot = US_TAKE(a, Slot, n);
  m->worker = US_TAKE(a, Worker, m->workers);
  m->stale = US_TAKE(a, int, n);
  m->meant = US_TAKE(a, int, n);
  m->pixels = US_TAKE(a, uint8_t, n * us_frame_bytes(info->height, info->width));
  m->states = US_TAKE(a, double, n*(size_t)info->state);
  m->features = US_TAKE(a, float, n * m->one);
  m->distances = US_TAKE(a, float, n);
  m->contexts = US_TAKE(t, float, n*(size_t)m->context * m->one);
  m->pasts = US_TAKE(t, float, n * m->past);
  m->goals = US_TAKE(t, float, n * m->one);
  m->caches = US_TAKE(t, float, n * m->w->cache);
  m->fresh = US_TAKE(t, float, n * m->one);
  m->raw = US_TAKE(t, float, n * m->one);
  m->played = US_TAKE(t, float, n * m->block);
  m->apart = US_TAKE(t, float, n);
}

static UsStatus allocate(Model* m) {
  place(m);
  US_TRY(us_arena_alloc(&m->host));
  US_TRY(us_ops_arena_alloc(m->device, &m->tensor));
  place(m);
  for (int i = 0; i < m->workers; i++) {
    Worker* w = &m->worker[i];
    w->tile = m->w->cls->work_create(m->w, m->tile, kHorizon);
    w->single = m->w->cls->work_create(m->w, 1, 1);
    if (!w->tile || !w->single) return us_fail(US_MEMORY, "out of memory for rollouts");
  }
  return US_OK;
}

// Features `host` (frames G, D) into tensor memory `to`, as latents.
static void put_latents(Model* m, int frames, const float* host, float* to) {
  us_ops_put(m->device, to, host, (size_t)frames * m->one);
  m->w->cls->normalise(m->w, frames * m->tokens, to, to);
}

// Begins an episode from a context of the folder's bank, drawn by the seed.
static void start(Model* m, int slot, uint64_t seed) {
  Slot* s = &m->slot[slot];
  UsRng r = us_rng(seed, US_RNG_CONTEXT, 0, 0, 0);
  size_t pick = us_rng_below(&r, (uint32_t)us_model_info(m->model)->contexts);
  // The bank holds features, which become latents here.
  const float* bank = us_model_contexts(m->model);
  put_latents(m, m->context, bank + pick * (size_t)m->context * m->one, context_of(m, slot));
  if (m->past) {
    us_ops_put(m->device, past_of(m, slot), us_model_past(m->model) + pick * m->past, m->past);
  }
  *s = (Slot){0};
  for (int i = 0; i < m->context; i++) s->times[i] = (i + 1 - m->context) * m->step;
}

static UsStatus model_open(const char* name, const char* what, const struct UsTask* const* tasks,
                           const UsEnvConfig* config, UsEnv** out) {
  *out = NULL;
  Model* m = calloc(1, sizeof(*m));
  if (!m) return us_fail(US_MEMORY, "%s: out of memory", name);
  m->base.cls = &us_env_class_model;
  m->base.pool = config->pool;
  UsStatus status = us_model_open(what, config->device, &m->model);
  if (status == US_OK) status = check_config(name, us_model_info(m->model), config);
  if (status != US_OK) {
    model_close(&m->base);
    return status;
  }

  // Sizes, all from the world model that the folder holds.
  m->w = us_model_world(m->model);
  m->device = m->w->device;
  m->encoder = us_model_encoder(m->model);
  m->context = m->w->context;
  m->tokens = m->w->grid_h * m->w->grid_w;
  m->tile = m->w->tile;
  m->one = (size_t)m->tokens * (size_t)m->w->dim;
  m->block = (size_t)m->w->block * (size_t)m->w->action;
  m->past = (size_t)m->w->past * m->block;
  m->step = us_model_info(m->model)->dt * m->w->block;
  m->workers = us_pool_threads(config->pool);
  m->limit = config->limit;
  m->base.save_size = sizeof(Slot) + (((size_t)m->context + 1) * m->one + m->past) * sizeof(float);
  // What the env says of itself, from the folder.
  const UsModelInfo* from = us_model_info(m->model);
  UsEnvInfo* info = &m->base.info;
  snprintf(info->name, sizeof(info->name), "%s", name);
  snprintf(info->task, sizeof(info->task), "%s", from->task);
  snprintf(info->hash, sizeof(info->hash), "%s", from->hash);
  info->slots = config->slots;
  info->block = from->block;
  info->action = from->action;
  info->state = us_encoder_info(m->encoder)->state;
  info->observation = (int)m->one;
  info->height = from->height;
  info->width = from->width;
  info->context = m->context;
  info->dt = from->dt;
  info->device = m->device;

  // Memory for all slots; every slot begins an episode, so that there is always a context.
  status = allocate(m);
  if (status != US_OK) {
    model_close(&m->base);
    return us_fail(status, "%s: %d slots: %s", name, config->slots, us_message());
  }
  for (int i = 0; i < config->slots; i++) start(m, i, (uint64_t)i);
  *out = &m->base;
  return US_OK;
}

// ---- reset ----

// The masked slots, each from its own seed.
static void model_reset(UsEnv* e, const uint8_t* mask, const uint64_t* seeds) {
  for (int i = 0; i < e->info.slots; i++) {
    if (!mask || mask[i]) start(of(e), i, seeds[i]);
  }
}

// ---- observe and goals ----

// The part of an observation that this model's encoder reads has to be there.
static UsStatus need_parts(const UsEnv* e, int n, const UsObs* obs) {
  for (int i = 0; i < n; i++) {
    if (e->info.state ? !obs[i].state : !obs[i].pixels) {
      return us_fail(US_UNSUPPORTED, "%s: expected an observation with the %s, found none",
                     e->info.name, e->info.state ? "state" : "pixels");
    }
  }
  return US_OK;
}

// Encodes obs (n), n at most N, into m->fresh (n, G, D), normalised.
static UsStatus encode(Model* m, int n, const UsObs* obs) {
  const UsEnvInfo* info = &m->base.info;
  size_t image = us_frame_bytes(info->height, info->width), states = (size_t)info->state;
  for (int i = 0; i < n; i++) {
    if (states) {
      memcpy(m->states + (size_t)i * states, obs[i].state, states * sizeof(double));
    } else {
      memcpy(m->pixels + (size_t)i * image, obs[i].pixels, image);
    }
  }
  US_TRY(us_encoder_encode(m->encoder, n, states ? NULL : m->pixels, states ? m->states : NULL,
                           m->features, m->base.pool));
  put_latents(m, n, m->features, m->fresh);
  return US_OK;
}

// Drops the oldest of `count` pieces of `size` floats and appends another.
static void shift(Model* m, float* pieces, size_t count, size_t size, const float* piece) {
  for (size_t i = 0; i + 1 < count; i++) {
    us_ops_copy(m->device, pieces + (i + 1) * size, pieces + i * size, size);
  }
  us_ops_copy(m->device, piece, pieces + (count - 1) * size, size);
}

// Appends latent (G, D), seen at `time`, to which action (K, A) led, to a slot's context.
static void append(Model* m, int slot, const float* latent, double time, const float* action) {
  Slot* s = &m->slot[slot];
  shift(m, context_of(m, slot), (size_t)m->context, m->one, latent);
  if (m->past) shift(m, past_of(m, slot), (size_t)m->w->past, m->block, action);
  // The cache was that of the context before.
  memmove(s->times, s->times + 1, (size_t)(m->context - 1) * sizeof(double));
  s->times[m->context - 1] = time;
  s->cached = 0;
}

static UsStatus model_observe(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  Model* m = of(e);
  US_TRY(need_parts(e, n, obs));
  for (int from = 0; from < n; from += e->info.slots) {
    int count = n - from < e->info.slots ? n - from : e->info.slots;
    // A slot at a time from here, as a list may name one twice.
    US_TRY(encode(m, count, obs + from));
    for (int i = 0; i < count; i++) {
      const UsObs* o = &obs[from + i];
      const float* latent = m->fresh + (size_t)i * m->one;
      us_ops_zero(m->device, m->played, m->block);
      if (o->action && !o->first) us_ops_put(m->device, m->played, o->action, m->block);
      us_ops_clip(m->device, m->block, -1, 1, m->played);
      // One frame says nothing about motion: the first stands for all C, one block apart.
      for (int k = o->first ? m->context - 1 : 0; k >= 0; k--) {
        append(m, slots[from + i], latent, o->time - k * m->step, m->played);
      }
    }
  }
  return US_OK;
}

// A goal is encoded as an observation is, and stays until the slot is reset.
static UsStatus model_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  Model* m = of(e);
  US_TRY(need_parts(e, n, obs));
  for (int from = 0; from < n; from += e->info.slots) {
    int count = n - from < e->info.slots ? n - from : e->info.slots;
    US_TRY(encode(m, count, obs + from));
    for (int i = 0; i < count; i++) {
      int slot = slots[from + i];
      us_ops_copy(m->device, m->fresh + (size_t)i * m->one, goal_of(m, slot), m->one);
      m->slot[slot].goal = 1;
    }
  }
  return US_OK;
}

// Copies on the device, slot by slot.
static UsStatus model_latents(UsEnv* e, int n, const int* slots, float* now, float* goal) {
  Model* m = of(e);
  for (int i = 0; i < n; i++) {
    size_t at = (size_t)i * m->one;
    if (now) us_ops_copy(m->device, newest_of(m, slots[i]), now + at, m->one);
    if (!goal) continue;
    if (m->slot[slots[i]].goal) {
      us_ops_copy(m->device, goal_of(m, slots[i]), goal + at, m->one);
    } else {
      us_ops_zero(m->device, goal + at, m->one);
    }
  }
  return US_OK;
}

// ---- rewards ----

// A distance that is no number is as bad as can be.
static float reward_of(float distance) {
  return isfinite(distance) ? -distance : -INFINITY;
}

static void model_score(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success) {
  Model* m = of(e);
  if (success) memset(success, 0, (size_t)n);
  for (int i = 0; distance && i < n; i++) {
    distance[i] = 0;
    if (!m->slot[slots[i]].goal) continue;
    us_ops_row_distance(m->device, 1, (int)m->one, 1, NULL, newest_of(m, slots[i]),
                        goal_of(m, slots[i]), m->apart, 1);
    us_ops_get(m->device, m->apart, &distance[i], 1);
    distance[i] = -reward_of(distance[i]);
  }
}

// ---- rollout ----

static void cache_item(void* arg, int item, int worker) {
  Model* m = arg;
  int slot = m->stale[item];
  if (us_interrupted()) return;
  m->w->cls->observe(m->w, m->worker[worker].tile, 1, NULL, context_of(m, slot),
                     m->slot[slot].times, cache_of(m, slot));
}

// Computes the caches that the listed slots lack. Nullable: slots (all).
static void fill_caches(Model* m, int n, const int* slots) {
  int count = 0;
  for (int i = 0; i < n; i++) {
    Slot* s = &m->slot[slots ? slots[i] : i];
    if (!s->cached) m->stale[count++] = slots ? slots[i] : i;
    s->cached = 1;
  }
  us_pool_run(m->base.pool, count, cache_item, m);
}

typedef struct Rollout {
  Model* m;
  const int* slots;
  int samples, horizon, tiles;  // tiles of a slot
  const float* actions;         // (n, samples, horizon, K, A) tensor memory
  float* distances;             // (n, samples, horizon) tensor memory
} Rollout;

// One tile of candidates of one slot.
static void rollout_item(void* arg, int item, int worker) {
  const Rollout* r = arg;
  Model* m = r->m;
  if (us_interrupted()) return;
  int i = item / r->tiles, first = item % r->tiles * m->tile, slot = r->slots[i];
  int count = r->samples - first < m->tile ? r->samples - first : m->tile;
  size_t at = ((size_t)i * (size_t)r->samples + (size_t)first) * (size_t)r->horizon;
  // Without a goal there is no distance, and nothing to roll for.
  if (!m->slot[slot].goal) {
    us_ops_zero(m->device, r->distances + at, (size_t)count * (size_t)r->horizon);
    return;
  }
  const UsRollout task = {.slots = 1,
                          .samples = count,
                          .contexts = context_of(m, slot),
                          .caches = cache_of(m, slot),
                          .step = m->step,
                          .horizon = r->horizon,
                          .actions = r->actions + at * m->block,
                          .pasts = past_of(m, slot),
                          .goals = goal_of(m, slot),
                          .distance = r->distances + at,
                          .clip = 1};
  m->w->cls->rollout(m->w, m->worker[worker].tile, &task);
}

static void roll(Model* m, int n, const int* slots, int samples, int horizon, const float* actions,
                 float* distances) {
  Rollout r = {m, slots, samples, horizon, (samples + m->tile - 1) / m->tile, actions, distances};
  us_pool_run(m->base.pool, n * r.tiles, rollout_item, &r);
}

static void model_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                          const float* actions, float* rewards) {
  Model* m = of(e);
  size_t numbers = (size_t)n * (size_t)samples * (size_t)horizon, all = numbers * m->block;
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
  if (m->staged) {
    // There, rolled, and back.
    us_ops_put(m->device, m->staged, actions, all);
    fill_caches(m, n, slots);
    roll(m, n, slots, samples, horizon, m->staged, m->staged + all);
    us_ops_get(m->device, m->staged + all, rewards, numbers);
  }
  // Ctrl-C leaves candidates out, so that none of the numbers means anything.
  int whole = m->staged && !us_interrupted();
  for (size_t i = 0; i < numbers; i++) rewards[i] = whole ? reward_of(rewards[i]) : -INFINITY;
}

static void model_rollout_prepare(UsEnv* e, int n, const int* slots) {
  Model* m = of(e);
  memcpy(m->meant, slots, sizeof(int) * (size_t)n);
  fill_caches(m, n, slots);
}

static void model_rollout_device(UsEnv* e, int n, int samples, int horizon, const float* actions,
                                 float* rewards) {
  Model* m = of(e);
  size_t numbers = (size_t)n * (size_t)samples * (size_t)horizon;
  roll(m, n, m->meant, samples, horizon, actions, rewards);
  us_ops_add(m->device, numbers, -2, rewards, rewards);  // x - 2 x: minus the distance, exactly
}

// ---- step ----

// Predicts the next latent of a slot into m->fresh and takes it into the context.
static void step_item(void* arg, int item, int worker) {
  Model* m = arg;
  Slot* slot = &m->slot[item];
  float* next = m->fresh + (size_t)item * m->one;
  const float* action = m->played + (size_t)item * m->block;
  const UsRollout task = {.slots = 1,
                          .samples = 1,
                          .contexts = context_of(m, item),
                          .caches = cache_of(m, item),
                          .step = m->step,
                          .horizon = 1,
                          .actions = action,
                          .pasts = past_of(m, item),
                          .last = next};
  m->w->cls->rollout(m->w, m->worker[worker].single, &task);
  append(m, item, next, slot->times[m->context - 1] + m->step, action);
  slot->steps += m->base.info.block;
}

static void model_step(UsEnv* e, const float* actions, const UsStep* out) {
  Model* m = of(e);
  const int n = e->info.slots;
  const size_t blocks = (size_t)n * m->block;
  // Actions of all slots go to the device at once, clipped there.
  fill_caches(m, n, NULL);
  us_ops_put(m->device, m->played, actions, blocks);
  us_ops_clip(m->device, blocks, -1, 1, m->played);
  us_pool_run(e->pool, n, step_item, m);

  // Observations and distances of all slots come back at once.
  m->w->cls->denormalise(m->w, n * m->tokens, m->fresh, m->raw);
  us_ops_get(m->device, m->raw, m->features, (size_t)n * m->one);
  us_ops_row_distance(m->device, n, (int)m->one, 1, NULL, m->fresh, m->goals, m->apart, 1);
  us_ops_get(m->device, m->apart, m->distances, (size_t)n);
  for (int i = 0; i < n; i++) {
    const float* latent = m->features + (size_t)i * m->one;
    int finite = 1;
    for (size_t k = 0; k < m->one; k++) finite &= isfinite(latent[k]) != 0;
    float reward = m->slot[i].goal ? reward_of(m->distances[i]) : 0;
    if (out->reward) out->reward[i] = finite ? reward : -INFINITY;
    if (out->terminated) out->terminated[i] = !finite;
    if (out->truncated) out->truncated[i] = m->limit > 0 && m->slot[i].steps >= m->limit;
  }
  // Rules are the simulator's: a model knows none.
  size_t rules = (size_t)n * (size_t)e->info.block;
  if (out->observation) memcpy(out->observation, m->features, (size_t)n * m->one * sizeof(float));
  if (out->success) memset(out->success, 0, rules);
  if (out->object) memset(out->object, 0, rules);
}

// ---- look and render ----

// Pictures of the listed slots (n, height, width, 3).
static UsStatus model_render(UsEnv* e, int n, const int* slots, uint8_t* pixels) {
  Model* m = of(e);
  size_t image = us_frame_bytes(e->info.height, e->info.width);
  if (!us_encoder_info(m->encoder)->decoder) {
    return us_fail(US_UNSUPPORTED, "%s: the model's encoder has no decoder to draw with",
                   e->info.name);
  }
  for (int from = 0; from < n; from += e->info.slots) {
    int count = n - from < e->info.slots ? n - from : e->info.slots;
    US_TRY(model_latents(e, count, slots + from, m->raw, NULL));
    m->w->cls->denormalise(m->w, count * m->tokens, m->raw, m->raw);
    us_ops_get(m->device, m->raw, m->features, (size_t)count * m->one);
    US_TRY(
        us_encoder_decode(m->encoder, count, m->features, pixels + (size_t)from * image, e->pool));
  }
  return US_OK;
}

static UsStatus model_look(UsEnv* e, int n, const int* slots, UsObs* obs) {
  Model* m = of(e);
  for (int i = 0; i < n; i++) {
    if (obs[i].state || obs[i].proprio) {
      return us_fail(US_UNSUPPORTED, "%s: a model knows neither state nor proprio", e->info.name);
    }
    // What the model predicts can be looked at where its encoder can draw.
    if (obs[i].pixels) US_TRY(model_render(e, 1, &slots[i], obs[i].pixels));
    obs[i].time = m->slot[slots[i]].times[m->context - 1];
  }
  return US_OK;
}

// ---- save and restore ----

// Bytes of a slot: Slot, then context, goal and past blocks as floats.
static void model_save(UsEnv* e, int slot, void* bytes) {
  Model* m = of(e);
  size_t frames = (size_t)m->context * m->one;
  float* numbers = (float*)((char*)bytes + sizeof(Slot));
  memcpy(bytes, &m->slot[slot], sizeof(Slot));
  us_ops_get(m->device, context_of(m, slot), numbers, frames);
  us_ops_get(m->device, goal_of(m, slot), numbers + frames, m->one);
  us_ops_get(m->device, past_of(m, slot), numbers + frames + m->one, m->past);
}

static void model_restore(UsEnv* e, int slot, const void* bytes) {
  Model* m = of(e);
  size_t frames = (size_t)m->context * m->one;
  const float* numbers = (const float*)((const char*)bytes + sizeof(Slot));
  memcpy(&m->slot[slot], bytes, sizeof(Slot));
  m->slot[slot].cached = 0;
  us_ops_put(m->device, context_of(m, slot), numbers, frames);
  us_ops_put(m->device, goal_of(m, slot), numbers + frames, m->one);
  us_ops_put(m->device, past_of(m, slot), numbers + frames + m->one, m->past);
}

const UsEnvClass us_env_class_model = {
    .kind = "model",
    .open = model_open,
    .close = model_close,
    .reset = model_reset,
    .step = model_step,
    .rollout = model_rollout,
    .observe = model_observe,
    .set_goal = model_set_goal,
    .look = model_look,
    .score = model_score,
    .render = model_render,
    .save = model_save,
    .restore = model_restore,
    .latents = model_latents,
    .rollout_prepare = model_rollout_prepare,
    .rollout_device = model_rollout_device,
};
