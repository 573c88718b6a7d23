// The stand-in env: a trained world model behind env.h.
//
// A slot is the C newest latents, real or imagined, their times and a goal. Latents are normalised
// and lie in tensor memory. What the model makes of a context once (its cache) is computed when the
// first rollout after a change asks for them.
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
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/model_folder.h"
#include "worldmodel/ops.h"

typedef struct Slot {
  double times[US_CONTEXT_MAX];  // s since the start of the episode, oldest first
  int goal;                      // 1: there is one
  int steps;                     // env steps since reset
  int cached;                    // 1: the cache is that of the context
} Slot;

typedef struct Worker {
  UsRolloutWork* tile;    // for rollouts
  UsRolloutWork* single;  // for steps
  float* next;            // (G, D) tensor memory
  float* distance;        // (tile, US_HORIZON_MOST) tensor memory
} Worker;

typedef struct Model {
  UsEnv base;
  UsModel* model;
  UsDevice* device;  // of the world model
  const UsWorldModel* w;
  const UsEncoder* encoder;
  int context, tokens, dim, tile, workers, limit;
  size_t one;       // G D
  double step;      // s between frames
  Slot* slot;       // (N)
  float* contexts;  // (N, C, G, D) tensor memory
  float* goals;     // (N, G, D) tensor memory
  float* cache;     // (N, cache) tensor memory
  float* fresh;     // (N, G, D) tensor memory, what was encoded last
  float* scores;    // (N) tensor memory, distances to the goals
  Worker* worker;   // (workers)
  int* stale;       // (N) slots whose cache has to be computed
  uint8_t* pixels;  // (N, height, width, 3)
  double* states;   // (N, S)
  float* latents;   // (N, G, D) raw, ordinary memory
  float* past;      // (N, past, K, A) the blocks that led through the context, ordinary memory
  size_t block;     // K A
  size_t pasts;     // past K A
} Model;

static Model* of(UsEnv* e) {
  return (Model*)e;
}

static float* context_of(Model* m, int slot) {
  return m->contexts + (size_t)slot * (size_t)m->context * m->one;
}

static float* newest_of(Model* m, int slot) {
  return context_of(m, slot) + (size_t)(m->context - 1) * m->one;
}

static float* past_of(Model* m, int slot) {
  return m->past + (size_t)slot * m->pasts;
}

// ---- open and close ----

static void model_close(UsEnv* e) {
  Model* m = of(e);
  for (int i = 0; m->worker && i < m->workers; i++) {
    m->w->cls->work_destroy(m->worker[i].tile);
    m->w->cls->work_destroy(m->worker[i].single);
    us_ops_free(m->device, m->worker[i].next);
    us_ops_free(m->device, m->worker[i].distance);
  }
  us_ops_free(m->device, m->contexts);
  us_ops_free(m->device, m->goals);
  us_ops_free(m->device, m->cache);
  us_ops_free(m->device, m->fresh);
  us_ops_free(m->device, m->scores);
  free(m->worker);
  free(m->slot);
  free(m->stale);
  free(m->pixels);
  free(m->states);
  free(m->latents);
  free(m->past);
  us_model_destroy(m->model);
  free(m);
}

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

static void fill_info(Model* m, const char* name, const UsEnvConfig* c) {
  const UsModelInfo* from = us_model_info(m->model);
  const UsEncoderInfo* encoder = us_encoder_info(m->encoder);
  UsEnvInfo* info = &m->base.info;
  snprintf(info->name, sizeof(info->name), "%s", name);
  snprintf(info->task, sizeof(info->task), "%s", from->task);
  info->slots = c->slots;
  info->block = from->block;
  info->action = from->action;
  info->state = encoder->state;
  info->observation = (int)m->one;
  info->height = from->height;
  info->width = from->width;
  info->context = m->context;
  info->dt = from->dt;
  memcpy(info->hash, from->hash, sizeof(info->hash));
}

static int allocate(Model* m) {
  size_t n = (size_t)m->base.info.slots, frame = (size_t)m->context * m->one;
  size_t image = (size_t)m->base.info.height * (size_t)m->base.info.width * 3;
  m->slot = calloc(n, sizeof(*m->slot));
  m->contexts = us_ops_alloc(m->device, n * frame);
  m->goals = us_ops_alloc(m->device, n * m->one);
  m->cache = us_ops_alloc(m->device, n * m->w->cache);
  m->fresh = us_ops_alloc(m->device, n * m->one);
  m->scores = us_ops_alloc(m->device, n);
  m->stale = calloc(n, sizeof(*m->stale));
  m->pixels = calloc(n * image + 1, 1);
  m->states = calloc(n * (size_t)m->base.info.state + 1, sizeof(double));
  m->latents = calloc(n * frame, sizeof(float));
  m->past = calloc(n * m->pasts + 1, sizeof(float));
  m->worker = calloc((size_t)m->workers, sizeof(*m->worker));
  if (!m->slot || !m->contexts || !m->goals || !m->cache || !m->fresh || !m->scores || !m->stale ||
      !m->pixels || !m->states || !m->latents || !m->past || !m->worker) {
    return 0;
  }
  for (int i = 0; i < m->workers; i++) {
    Worker* w = &m->worker[i];
    w->tile = m->w->cls->work_create(m->w, m->tile);
    w->single = m->w->cls->work_create(m->w, 1);
    w->next = us_ops_alloc(m->device, m->one);
    w->distance = us_ops_alloc(m->device, (size_t)m->tile * US_HORIZON_MOST);
    if (!w->tile || !w->single || !w->next || !w->distance) return 0;
  }
  return 1;
}

static void reset_all(Model* m);

static UsStatus model_open(const char* name, const char* what, const struct UsTask* const* tasks,
                           const UsEnvConfig* config, UsEnv** out) {
  *out = NULL;
  Model* m = calloc(1, sizeof(*m));
  if (!m) return us_fail(US_MEMORY, "%s: out of memory", name);
  m->base.cls = &us_env_class_model;
  m->base.pool = config->pool;
  m->device = us_device_cpu();
  m->workers = us_pool_threads(config->pool);
  UsStatus status = us_model_open(what, &m->model);
  if (status == US_OK) status = check_config(name, us_model_info(m->model), config);
  if (status != US_OK) {
    model_close(&m->base);
    return status;
  }
  m->w = us_model_world(m->model);
  m->encoder = us_model_encoder(m->model);
  const UsWorldModel* c = m->w;
  m->device = c->device;
  m->context = c->context;
  m->tokens = c->grid_h * c->grid_w;
  m->dim = c->dim;
  m->one = (size_t)(m->tokens * m->dim);
  m->block = (size_t)(c->block * c->action);
  m->pasts = (size_t)c->past * m->block;
  m->tile = c->tile;
  m->step = us_model_info(m->model)->dt * c->block;
  m->limit = config->limit;
  m->base.save_size = sizeof(Slot) + (((size_t)m->context + 1) * m->one + m->pasts) * sizeof(float);
  fill_info(m, name, config);
  if (!allocate(m)) {
    model_close(&m->base);
    return us_fail(US_MEMORY, "%s: out of memory for %d slots", name, config->slots);
  }
  reset_all(m);
  *out = &m->base;
  return US_OK;
}

// ---- reset ----

// Raw latents `host` (frames G, D) into tensor memory `to`, normalised.
static void put_latents(Model* m, int frames, const float* host, float* to) {
  us_ops_put(m->device, to, host, (size_t)frames * m->one);
  m->w->cls->normalise(m->w, frames * m->tokens, to, to);
}

static void start(Model* m, int slot, uint64_t seed) {
  Slot* s = &m->slot[slot];
  UsRng r = us_rng(seed, US_RNG_CONTEXT, 0, 0, 0);
  size_t pick = us_rng_below(&r, (uint32_t)us_model_info(m->model)->contexts);
  const float* bank = us_model_contexts(m->model);
  put_latents(m, m->context, bank + pick * (size_t)m->context * m->one, context_of(m, slot));
  if (m->pasts) {
    memcpy(past_of(m, slot), us_model_past(m->model) + pick * m->pasts, m->pasts * sizeof(float));
  }
  *s = (Slot){0};
  for (int i = 0; i < m->context; i++) s->times[i] = (i + 1 - m->context) * m->step;
}

static void reset_all(Model* m) {
  for (int i = 0; i < m->base.info.slots; i++) start(m, i, (uint64_t)i);
}

static void model_reset(UsEnv* e, const uint8_t* mask, const uint64_t* seeds) {
  for (int i = 0; i < e->info.slots; i++) {
    if (!mask || mask[i]) start(of(e), i, seeds[i]);
  }
}

// ---- observe and goals ----

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
  size_t image = (size_t)info->height * (size_t)info->width * 3, states = (size_t)info->state;
  for (int i = 0; i < n; i++) {
    if (states) {
      memcpy(m->states + (size_t)i * states, obs[i].state, states * sizeof(double));
    } else {
      memcpy(m->pixels + (size_t)i * image, obs[i].pixels, image);
    }
  }
  US_TRY(us_encoder_encode(m->encoder, n, states ? NULL : m->pixels, states ? m->states : NULL,
                           m->latents, m->base.pool));
  put_latents(m, n, m->latents, m->fresh);
  return US_OK;
}

// Drops the oldest frame of a slot and appends latent (G, D) at `time`, to which action (K, A) led.
// Nullable: action (0).
static void append(Model* m, int slot, const float* latent, double time, const float* action) {
  Slot* s = &m->slot[slot];
  float* context = context_of(m, slot);
  for (int i = 0; i + 1 < m->context; i++) {
    us_ops_copy(m->device, context + (size_t)(i + 1) * m->one, context + (size_t)i * m->one,
                m->one);
    s->times[i] = s->times[i + 1];
  }
  us_ops_copy(m->device, latent, newest_of(m, slot), m->one);
  s->times[m->context - 1] = time;
  s->cached = 0;
  if (!m->pasts) return;
  float* past = past_of(m, slot);
  memmove(past, past + m->block, (m->pasts - m->block) * sizeof(float));
  for (size_t i = 0; i < m->block; i++) {
    past[m->pasts - m->block + i] = action ? fmaxf(-1, fminf(1, action[i])) : 0;
  }
}

// One frame says nothing about motion: it stands for all C, one block apart.
static void begin(Model* m, int slot, const float* latent, double time) {
  for (int i = m->context - 1; i >= 0; i--) append(m, slot, latent, time - i * m->step, NULL);
}

static UsStatus model_observe(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  Model* m = of(e);
  US_TRY(need_parts(e, n, obs));
  for (int from = 0; from < n; from += e->info.slots) {
    int count = n - from < e->info.slots ? n - from : e->info.slots;
    US_TRY(encode(m, count, obs + from));
    for (int i = 0; i < count; i++) {
      const UsObs* o = &obs[from + i];
      const float* latent = m->fresh + (size_t)i * m->one;
      if (o->first) {
        begin(m, slots[from + i], latent, o->time);
      } else {
        append(m, slots[from + i], latent, o->time, o->action);
      }
    }
  }
  return US_OK;
}

static UsStatus model_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  Model* m = of(e);
  US_TRY(need_parts(e, n, obs));
  for (int from = 0; from < n; from += e->info.slots) {
    int count = n - from < e->info.slots ? n - from : e->info.slots;
    US_TRY(encode(m, count, obs + from));
    for (int i = 0; i < count; i++) {
      int slot = slots[from + i];
      us_ops_copy(m->device, m->fresh + (size_t)i * m->one, m->goals + (size_t)slot * m->one,
                  m->one);
      m->slot[slot].goal = 1;
    }
  }
  return US_OK;
}

// ---- rewards ----

static float reward_of(float distance) {
  return isfinite(distance) ? -distance : -INFINITY;
}

static float slot_reward(Model* m, int slot) {
  if (!m->slot[slot].goal) return 0;
  float distance;
  us_ops_row_distance(m->device, 1, (int)m->one, 1, newest_of(m, slot),
                      m->goals + (size_t)slot * m->one, m->scores + slot, 1);
  us_ops_get(m->device, m->scores + slot, &distance, 1);
  return reward_of(distance);
}

static void model_score(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success) {
  for (int i = 0; i < n; i++) {
    if (distance) distance[i] = -slot_reward(of(e), slots[i]);
    if (success) success[i] = 0;
  }
}

// ---- rollout ----

typedef struct Rollout {
  Model* m;
  const int* slots;
  int samples, horizon, tiles;  // tiles of a slot
  const float* actions;
  float* rewards;
} Rollout;

static void cache_item(void* arg, int item, int worker) {
  Model* m = arg;
  int slot = m->stale[item];
  if (us_interrupted()) return;
  m->w->cls->observe(m->w, m->worker[worker].tile, context_of(m, slot), m->slot[slot].times,
                     m->cache + (size_t)slot * m->w->cache);
}

// Computes the caches that the listed slots lack.
static void fill_caches(Model* m, int n, const int* slots) {
  int count = 0;
  for (int i = 0; i < n; i++) {
    Slot* s = &m->slot[slots[i]];
    if (s->cached) continue;
    s->cached = 1;
    m->stale[count++] = slots[i];
  }
  us_pool_run(m->base.pool, count, cache_item, m);
}

static void rollout_item(void* arg, int item, int worker) {
  const Rollout* r = arg;
  Model* m = r->m;
  if (us_interrupted()) return;
  int i = item / r->tiles, first = item % r->tiles * m->tile, slot = r->slots[i];
  int count = r->samples - first < m->tile ? r->samples - first : m->tile;
  size_t candidate = (size_t)i * (size_t)r->samples + (size_t)first;
  float* rewards = r->rewards + candidate * (size_t)r->horizon;
  size_t numbers = (size_t)count * (size_t)r->horizon;
  if (!m->slot[slot].goal) {
    memset(rewards, 0, numbers * sizeof(float));
    return;
  }
  const UsRollout task = {.context = context_of(m, slot),
                          .cache = m->cache + (size_t)slot * m->w->cache,
                          .step = m->step,
                          .count = count,
                          .horizon = r->horizon,
                          .actions = r->actions + candidate * (size_t)r->horizon * m->block,
                          .past = past_of(m, slot),
                          .goal = m->goals + (size_t)slot * m->one,
                          .distance = m->worker[worker].distance,
                          .clip = 1};
  m->w->cls->rollout(m->w, m->worker[worker].tile, &task);
  us_ops_get(m->device, task.distance, rewards, numbers);
  for (size_t k = 0; k < numbers; k++) rewards[k] = reward_of(rewards[k]);
}

static void model_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                          const float* actions, float* rewards) {
  Model* m = of(e);
  US_ASSERT(horizon <= US_HORIZON_MOST);
  Rollout r = {m, slots, samples, horizon, (samples + m->tile - 1) / m->tile, actions, rewards};
  size_t numbers = (size_t)n * (size_t)samples * (size_t)horizon;
  for (size_t i = 0; i < numbers; i++) rewards[i] = -INFINITY;  // of those that Ctrl-C leaves out
  fill_caches(m, n, slots);
  us_pool_run(e->pool, n * r.tiles, rollout_item, &r);
}

// ---- step ----

typedef struct Step {
  Model* m;
  const float* actions;  // (N, K, A)
  const UsStep* out;
} Step;

// The newest latent of a slot, raw, into host (G, D).
static void get_latent(Model* m, int slot, Worker* w, float* host) {
  m->w->cls->denormalise(m->w, m->tokens, newest_of(m, slot), w->next);
  us_ops_get(m->device, w->next, host, m->one);
}

static void step_item(void* arg, int item, int worker) {
  const Step* s = arg;
  Model* m = s->m;
  const UsEnvInfo* info = &m->base.info;
  Worker* w = &m->worker[worker];
  Slot* slot = &m->slot[item];
  const float* action = s->actions + (size_t)item * m->block;
  const UsRollout task = {.context = context_of(m, item),
                          .cache = m->cache + (size_t)item * m->w->cache,
                          .step = m->step,
                          .count = 1,
                          .horizon = 1,
                          .actions = action,
                          .past = past_of(m, item),
                          .last = w->next,
                          .clip = 1};
  m->w->cls->rollout(m->w, w->single, &task);
  append(m, item, w->next, slot->times[m->context - 1] + m->step, action);
  slot->steps += info->block;

  float* latent = m->latents + (size_t)item * m->one;
  get_latent(m, item, w, latent);
  int finite = 1;
  for (size_t i = 0; i < m->one; i++) finite &= isfinite(latent[i]) != 0;
  const UsStep* out = s->out;
  if (out->observation)
    memcpy(out->observation + (size_t)item * m->one, latent, m->one * sizeof(float));
  if (out->reward) out->reward[item] = finite ? slot_reward(m, item) : -INFINITY;
  if (out->terminated) out->terminated[item] = !finite;
  if (out->truncated) out->truncated[item] = m->limit > 0 && slot->steps >= m->limit;
  if (out->success) memset(out->success + (size_t)(item * info->block), 0, (size_t)info->block);
  if (out->object) memset(out->object + (size_t)(item * info->block), 0, (size_t)info->block);
}

static void model_step(UsEnv* e, const float* actions, const UsStep* out) {
  Model* m = of(e);
  Step s = {m, actions, out};
  int count = 0;
  for (int i = 0; i < e->info.slots; i++) {
    if (!m->slot[i].cached) m->stale[count++] = i;
  }
  us_pool_run(e->pool, count, cache_item, m);
  us_pool_run(e->pool, e->info.slots, step_item, &s);
}

// ---- look and render ----

// Pictures of the listed slots (n, height, width, 3).
static UsStatus model_render(UsEnv* e, int n, const int* slots, uint8_t* pixels) {
  Model* m = of(e);
  size_t image = (size_t)e->info.height * (size_t)e->info.width * 3;
  if (!us_encoder_info(m->encoder)->decoder) {
    return us_fail(US_UNSUPPORTED, "%s: the model's encoder has no decoder to draw with",
                   e->info.name);
  }
  for (int from = 0; from < n; from += e->info.slots) {
    int count = n - from < e->info.slots ? n - from : e->info.slots;
    for (int i = 0; i < count; i++) {
      get_latent(m, slots[from + i], &m->worker[0], m->latents + (size_t)i * m->one);
    }
    US_TRY(
        us_encoder_decode(m->encoder, count, m->latents, pixels + (size_t)from * image, e->pool));
  }
  return US_OK;
}

static UsStatus model_look(UsEnv* e, int n, const int* slots, UsObs* obs) {
  Model* m = of(e);
  size_t image = (size_t)e->info.height * (size_t)e->info.width * 3;
  for (int i = 0; i < n; i++) {
    if (obs[i].state || obs[i].proprio) {
      return us_fail(US_UNSUPPORTED, "%s: a model knows neither state nor proprio", e->info.name);
    }
    if (obs[i].pixels) {
      US_TRY(model_render(e, 1, &slots[i], m->pixels));
      memcpy(obs[i].pixels, m->pixels, image);
    }
    obs[i].time = m->slot[slots[i]].times[m->context - 1];
  }
  return US_OK;
}

// ---- save and restore ----

static void model_save(UsEnv* e, int slot, void* bytes) {
  Model* m = of(e);
  size_t frames = (size_t)m->context * m->one;
  float* latents = (float*)((char*)bytes + sizeof(Slot));
  memcpy(bytes, &m->slot[slot], sizeof(Slot));
  us_ops_get(m->device, context_of(m, slot), latents, frames);
  us_ops_get(m->device, m->goals + (size_t)slot * m->one, latents + frames, m->one);
  memcpy(latents + frames + m->one, past_of(m, slot), m->pasts * sizeof(float));
}

static void model_restore(UsEnv* e, int slot, const void* bytes) {
  Model* m = of(e);
  size_t frames = (size_t)m->context * m->one;
  const float* latents = (const float*)((const char*)bytes + sizeof(Slot));
  memcpy(&m->slot[slot], bytes, sizeof(Slot));
  m->slot[slot].cached = 0;
  us_ops_put(m->device, context_of(m, slot), latents, frames);
  us_ops_put(m->device, m->goals + (size_t)slot * m->one, latents + frames, m->one);
  memcpy(past_of(m, slot), latents + frames + m->one, m->pasts * sizeof(float));
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
};
