// The stand-in env: a trained world model behind env.h. Here it opens, closes, resets, saves and
// restores.
//
// A slot is the C newest latents, real or predicted, their times, the blocks of actions between
// them and a goal. Latents are normalised; they and all else that rollouts read lie in the tensor
// memory of the model's device, so that a rollout brings its actions there once and its rewards
// back once. What the model makes of a slot's context (its cache) is computed when the first
// rollout or step after a change asks for it.
//
// The reward is minus the distance of normalised latents to the goal's, mean m (z - g)^2 with the
// model's metric m (model_folder.h).
//
// Rows of a matrix product are candidates of one slot, at a place that their index alone decides; a
// step takes one row per slot. So nothing depends on how many slots there are or are listed. On a
// wide device rows do not depend on each other at all. A rollout and a loop over steps agree to
// float rounding, not to the bit.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/model/model_inner.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/rng.h"

// ---- open and close ----

static void model_close(UsEnv* e) {
  Model* m = model_of(e);
  // What is half built is closed as well.
  us_model_env_works_free(m);
  us_latents_close(m->latents);
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
  if (c->encoder) {
    return us_fail(US_USAGE, "%s: expected no encoder, since a model has its own, found %s", name,
                   c->encoder);
  }
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

// Bytes of the lists of n slots, with actions or without them.
static size_t lists_bytes(const Model* m, int n) {
  return (size_t)m->base.info.slots * 4 * sizeof(int) + (size_t)n * m->block * sizeof(float);
}

static Lists take_lists(const Model* m, UsArena* a) {
  const size_t n = (size_t)m->base.info.slots;
  int* at = us_arena_take(a, 1, lists_bytes(m, m->base.info.slots));
  if (!at) return (Lists){0};
  return (Lists){at, at + n, at + 2 * n, at + 3 * n, (float*)(at + 4 * n)};
}

void us_model_env_send(Model* m, const Lists* to, int n) {
  us_ops_put_bytes(m->device, to->slot, m->list.slot, lists_bytes(m, n));
}

// Ordinary memory and tensor memory, laid out twice: counted, then placed.
static void place(Model* m) {
  const UsEnvInfo* info = &m->base.info;
  UsArena *a = &m->host, *t = &m->tensor;
  size_t n = (size_t)info->slots;
  m->slot = US_TAKE(a, Slot, n);
  m->worker = US_TAKE(a, Worker, m->workers);
  m->list = take_lists(m, a);
  m->times = US_TAKE(a, double, n*(size_t)m->context);
  m->chosen = US_TAKE(a, int, n);
  m->mark = US_TAKE(a, int, n);
  m->pixels = US_TAKE(a, uint8_t, n * us_frame_bytes(info->height, info->width));
  m->states = US_TAKE(a, double, n*(size_t)info->state);
  m->features = US_TAKE(a, float, n*(m->one + 1));
  m->judged = US_TAKE(a, float, n);
  m->each = US_TAKE(a, int, n);
  m->solved = US_TAKE(a, uint8_t, n);
  m->ends = US_TAKE(a, uint8_t, n);
  m->there = take_lists(m, t);
  m->meant = take_lists(m, t);
  m->all = US_TAKE(t, int, n);
  m->none = US_TAKE(t, int, n);
  m->zeros = US_TAKE(t, float, n);
  m->contexts = US_TAKE(t, float, n * m->frames);
  m->pasts = US_TAKE(t, float, n * m->past);
  m->goals = US_TAKE(t, float, n * m->one);
  m->caches = US_TAKE(t, float, n * m->w->cache);
  m->fresh = US_TAKE(t, float, n * m->one);
  m->raw = US_TAKE(t, float, n*(m->one + 1));
  m->margins = US_TAKE(t, float, n);
  m->played = US_TAKE(t, float, n * m->block);
  m->packed = US_TAKE(t, float, m->frames + m->one + m->past);
  if (!t->base) return;
  m->distances = m->features + n * m->one;
  m->apart = m->raw + n * m->one;
}

static UsStatus allocate(Model* m) {
  place(m);
  US_TRY(us_arena_alloc(&m->host));
  US_TRY(us_ops_arena_alloc(m->device, &m->tensor));
  place(m);
  for (int i = 0; i < m->base.info.slots; i++) m->list.slot[i] = m->each[i] = i;
  us_ops_put_bytes(m->device, m->all, m->list.slot, sizeof(int) * (size_t)m->base.info.slots);
  US_TRY(us_latents_of(m->model, m->base.pool, &m->latents));
  return us_model_env_works_make(m);
}

// Begins an episode from a context of the folder's bank, drawn by the seed.
static void start(Model* m, int slot, uint64_t seed) {
  Slot* s = &m->slot[slot];
  UsRng r = us_rng(seed, US_RNG_CONTEXT, 0, 0, 0);
  size_t pick = us_rng_below(&r, (uint32_t)us_model_info(m->model)->contexts);
  // The bank holds features, which become latents here.
  float* context = model_context(m, slot);
  us_ops_put(m->device, context, us_model_contexts(m->model) + pick * m->frames, m->frames);
  m->w->cls->normalise(m->w, m->context * m->tokens, context, context);
  if (m->past) {
    us_ops_put(m->device, model_past(m, slot), us_model_past(m->model) + pick * m->past, m->past);
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
  m->head = us_model_success(m->model);
  m->context = m->w->context;
  m->tokens = m->w->grid_h * m->w->grid_w;
  m->one = (size_t)m->tokens * (size_t)m->w->dim;
  m->frames = (size_t)m->context * m->one;
  m->block = (size_t)m->w->block * (size_t)m->w->action;
  m->past = (size_t)m->w->past * m->block;
  m->step = us_model_info(m->model)->dt * m->w->block;
  m->workers = us_pool_threads(config->pool);
  m->limit = config->limit;
  m->draws = config->goals;
  m->base.save_size = sizeof(Slot) + (m->frames + m->one + m->past) * sizeof(float);
  // What the env says of itself, from the folder.
  const UsModelInfo* from = us_model_info(m->model);
  UsEnvInfo* info = &m->base.info;
  snprintf(info->name, sizeof(info->name), "%s", name);
  snprintf(info->task, sizeof(info->task), "%s", from->task);
  snprintf(info->camera, sizeof(info->camera), "%s", from->camera);
  snprintf(info->camera_pose, sizeof(info->camera_pose), "%s", from->camera_pose);
  snprintf(info->hash, sizeof(info->hash), "%s", from->hash);
  info->slots = config->slots;
  info->block = from->block;
  info->action = from->action;
  info->state = us_encoder_info(m->encoder)->state;
  info->observation = (int)m->one;
  info->tokens = m->tokens;
  info->dim = m->w->dim;
  info->judges = m->head != NULL;
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
    if (mask && !mask[i]) continue;
    start(model_of(e), i, seeds[i]);
    if (model_of(e)->draws) us_model_env_draw_goal(e, 1, &i, &seeds[i]);
  }
}

// ---- save, restore and fork ----

// Copies what of a slot is saved to m->packed: context, goal and past blocks; or from there to it.
static void pack(Model* m, int slot, int back) {
  float* parts[3] = {model_context(m, slot), model_goal(m, slot), model_past(m, slot)};
  const size_t sizes[3] = {m->frames, m->one, m->past};
  float* at = m->packed;
  for (int k = 0; k < 3; at += sizes[k++]) {
    us_ops_copy(m->device, back ? at : parts[k], back ? parts[k] : at, sizes[k]);
  }
}

// Bytes of a slot: Slot, then floats as they are packed.
static void model_save(UsEnv* e, int slot, void* bytes) {
  Model* m = model_of(e);
  memcpy(bytes, &m->slot[slot], sizeof(Slot));
  pack(m, slot, 0);
  us_ops_get_bytes(m->device, m->packed, (char*)bytes + sizeof(Slot), e->save_size - sizeof(Slot));
}

static void model_restore(UsEnv* e, int slot, const void* bytes) {
  Model* m = model_of(e);
  memcpy(&m->slot[slot], bytes, sizeof(Slot));
  m->slot[slot].cached = 0;
  us_ops_put_bytes(m->device, m->packed, (const char*)bytes + sizeof(Slot),
                   e->save_size - sizeof(Slot));
  pack(m, slot, 1);
}

// A slot is packed once and goes to the others on the device.
static void model_fork(UsEnv* e, int slot, int n, const int* targets) {
  Model* m = model_of(e);
  pack(m, slot, 0);
  for (int i = 0; i < n; i++) {
    if (targets[i] == slot) continue;
    m->slot[targets[i]] = m->slot[slot];
    m->slot[targets[i]].cached = 0;
    pack(m, targets[i], 1);
  }
}

const UsEnvClass us_env_class_model = {
    .kind = "model",
    .open = model_open,
    .close = model_close,
    .reset = model_reset,
    .step = us_model_env_step,
    .rollout = us_model_env_rollout,
    .observe = us_model_env_observe,
    .set_goal = us_model_env_set_goal,
    .look = us_model_env_look,
    .score = us_model_env_score,
    .render = us_model_env_render,
    .save = model_save,
    .restore = model_restore,
    .fork = model_fork,
    .draw_goal = us_model_env_draw_goal,
    .look_goal = us_model_env_look_goal,
    .spaces = us_model_env_spaces,
    .view = us_model_env_view,
    .judge = us_model_env_judge,
    .latents = us_model_env_latents,
    .rollout_prepare = us_model_env_rollout_prepare,
    .rollout_device = us_model_env_rollout_device,
};
