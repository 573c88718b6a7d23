// Latent actions as a world model that trains: codes from the frames, the predictor told them, and
// the way back. Equations in latent.h.

#include "worldmodel/latent.h"

#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/arena.h"
#include "worldmodel/base/file.h"
#include "worldmodel/latent/latent_inner.h"
#include "worldmodel/model_folder.h"

enum { kPath = 4096 };
enum { kSalt = 0x6c61746e };   // keeps the first weights apart from those of other models of a seed
static const float speed = 3;  // weight of differences beside positions

static const UsLatent* of(const UsWorldModel* m) {
  return (const UsLatent*)m;
}
static LatentTape* tape_of(UsTape* t) {
  return (LatentTape*)t;
}

// Numbers of a frame.
static int frame_numbers(const UsLatent* m) {
  return m->base.grid_h * m->base.grid_w * m->base.dim;
}

// ---- the way from frames to codes ----

// f of every frame, that behind a sample's last step too, which nobody reads.
static void features(LatentTape* t) {
  const UsLatent* m = t->m;
  UsDevice* d = m->base.device;
  size_t one = (size_t)frame_numbers(m), path = (size_t)t->steps + 1, in = (size_t)m->in;
  int rows = t->batch * (int)path;
  // Differences from frame to frame, across samples too, where they are not used.
  size_t between = (size_t)(rows - 1) * one;
  us_ops_zero(d, t->change, (size_t)rows * one);
  us_ops_add(d, between, speed, t->path + one, t->change);
  us_ops_add(d, between, -speed, t->path, t->change);
  // The frame, the change behind it, the change before it; none is known before a sample.
  us_ops_copy_blocks(d, rows, (int)one, t->path, one, t->x, in);
  us_ops_copy_blocks(d, rows, (int)one, t->change, one, t->x + one, in);
  us_ops_copy_blocks(d, rows - 1, (int)one, t->change, one, t->x + in + 2 * one, in);
  us_ops_copy_blocks(d, t->batch, (int)one, t->zero, 0, t->x + 2 * one, path * in);
}

void latent_load(LatentTape* t, const UsBatch* shard) {
  const UsLatent* m = t->m;
  US_ASSERT(shard->batch == t->batch && shard->frames == t->frames && shard->actions);
  size_t one = (size_t)frame_numbers(m), steps = (size_t)t->steps, codes = (size_t)m->dim;
  size_t batch = (size_t)t->batch, frames = (size_t)t->frames * one;
  us_batch_put(m->base.device, shard, batch * frames, t->bfloats, t->latents);
  us_ops_put(m->base.device, t->fill, shard->actions, batch * steps * (one + codes));
  // The predictor is told codes.
  UsBatch told = *shard;
  told.actions = NULL;
  us_tape_load(m->p, t->tape, &told);
}

// The frames of every env step, normalised, and the noise, out of what was loaded.
static void unpack(LatentTape* t) {
  const UsLatent* m = t->m;
  UsDevice* d = m->base.device;
  size_t one = (size_t)frame_numbers(m), steps = (size_t)t->steps, codes = (size_t)m->dim;
  size_t sample = steps * (one + codes), frames = (size_t)t->frames * one;
  us_ops_copy_blocks(d, t->batch, (int)one, t->latents, frames, t->path, (steps + 1) * one);
  us_ops_copy_blocks(d, t->batch, (int)(steps * one), t->fill, sample, t->path + one,
                     (steps + 1) * one);
  us_ops_copy_blocks(d, t->batch, (int)(steps * codes), t->fill + steps * one, sample, t->noise,
                     steps * codes);
  us_predictor_normalise(m->p, t->batch * (t->steps + 1) * m->base.grid_h * m->base.grid_w, t->path,
                         t->path);
}

void latent_forward(LatentTape* t) {
  const UsLatent* m = t->m;
  UsDevice* d = m->base.device;
  const float* w = m->codes;
  const int h = US_LATENT_HIDDEN, rows = t->batch * (t->steps + 1), both = 2 * m->dim;
  size_t hidden = (size_t)rows * (size_t)h, sample = (size_t)(t->steps * both);
  unpack(t);
  features(t);
  // Means and deviations, of which those behind a sample's last step are left out.
  us_ops_linear(d, rows, h, m->in, t->x, w + m->w1, w + m->b1, t->up1);
  us_ops_gelu(d, hidden, t->up1, t->h1);
  us_ops_linear(d, rows, h, h, t->h1, w + m->w2, w + m->b2, t->up2);
  us_ops_gelu(d, hidden, t->up2, t->h2);
  us_ops_linear(d, rows, both, h, t->h2, w + m->w3, w + m->b3, t->y);
  us_ops_copy_blocks(d, t->batch, (int)sample, t->y, sample + (size_t)both, t->normal, sample);
  us_ops_draw(d, t->batch * t->steps, m->dim, t->normal, t->noise, t->code);
  // To the predictor, by turns of the samples.
  size_t each = (size_t)(t->steps * m->dim), first = (size_t)(t->turn % t->batch) * each;
  float* actions = us_tape_actions(t->tape);
  us_ops_copy(d, t->code + first, actions, (size_t)t->batch * each - first);
  if (first) us_ops_copy(d, t->code, actions + (size_t)t->batch * each - first, first);
}

// ---- the way back ----

// From the gradient of the codes to those of their tensors, g.
static void backward(LatentTape* t, float scale, float* g) {
  const UsLatent* m = t->m;
  UsDevice* d = m->base.device;
  const float* w = m->codes;
  const int h = US_LATENT_HIDDEN, rows = t->batch * (t->steps + 1), both = 2 * m->dim;
  size_t hidden = (size_t)rows * (size_t)h, sample = (size_t)(t->steps * both);
  us_ops_draw_back(d, t->batch * t->steps, m->dim, scale, t->normal, t->noise,
                   us_tape_action_gradient(t->tape), t->dnormal, NULL);
  us_ops_zero(d, t->dy, (size_t)rows * (size_t)both);
  us_ops_copy_blocks(d, t->batch, (int)sample, t->dnormal, sample, t->dy, sample + (size_t)both);
  us_ops_linear_back(d, rows, both, h, t->h2, w + m->w3, t->dy, t->dh, g + m->w3, g + m->b3);
  us_ops_gelu_back(d, hidden, t->up2, t->dh, t->dh);
  us_ops_linear_back(d, rows, h, h, t->h1, w + m->w2, t->dh, t->h2, g + m->w2, g + m->b2);
  us_ops_gelu_back(d, hidden, t->up1, t->h2, t->h2);
  us_ops_linear_back(d, rows, h, m->in, t->x, w + m->w1, t->h2, NULL, g + m->w1, g + m->b1);
}

// ---- what the trainer calls ----

static void load_tape(const UsWorldModel* model, UsTape* tape, const UsBatch* shard) {
  latent_load(tape_of(tape), shard);
}

static void latent_loss(const UsWorldModel* model, UsTape* tape, const UsBatch* shard, int total,
                        int action_only, float* gradient, double* sums) {
  const UsLatent* m = of(model);
  LatentTape* t = tape_of(tape);
  if (shard) latent_load(t, shard);
  latent_forward(t);
  us_predictor_loss(m->p, t->tape, NULL, total, action_only, gradient, sums);
  float each = 1 / ((float)total * (float)t->steps);
  if (gradient) {
    backward(t, m->weight * each, gradient + us_predictor_list(m->p)->floats);
  } else {
    us_ops_draw_back(m->base.device, t->batch * t->steps, m->dim, each, t->normal, NULL, NULL, NULL,
                     t->nats);
  }
}

// Takes the arrays of a tape.
static void place(LatentTape* t, UsArena* a) {
  const UsLatent* m = t->m;
  size_t one = (size_t)frame_numbers(m), batch = (size_t)t->batch, both = 2 * (size_t)m->dim;
  size_t codes = batch * (size_t)t->steps, rows = codes + batch;
  size_t hidden = rows * US_LATENT_HIDDEN;
  t->latents = US_TAKE(a, float, (batch * (size_t)t->frames * one));
  if (t->bfloat) t->bfloats = US_TAKE(a, uint16_t, (batch * (size_t)t->frames * one));
  t->fill = US_TAKE(a, float, (codes * (one + (size_t)m->dim)));
  t->path = US_TAKE(a, float, (rows * one));
  t->change = US_TAKE(a, float, (rows * one));
  t->zero = US_TAKE(a, float, one);
  t->x = US_TAKE(a, float, (rows * (size_t)m->in));
  float** const wide[] = {&t->up1, &t->h1, &t->up2, &t->h2, &t->dh};
  for (int i = 0; i < 5; i++) *wide[i] = US_TAKE(a, float, hidden);
  t->y = US_TAKE(a, float, (rows * both));
  t->dy = US_TAKE(a, float, (rows * both));
  t->normal = US_TAKE(a, float, (codes * both));
  t->dnormal = US_TAKE(a, float, (codes * both));
  t->noise = US_TAKE(a, float, (codes * (size_t)m->dim));
  t->code = US_TAKE(a, float, (codes * (size_t)m->dim));
  t->nats = US_TAKE(a, double, 1);
}

static LatentTape sized(const UsLatent* m, const UsLossConfig* c) {
  return (LatentTape){.m = m,
                      .batch = c->batch,
                      .frames = c->frames,
                      .steps = (c->frames - 1) * m->base.block,
                      .bfloat = c->bfloat};
}

static void latent_tape_destroy(UsTape* tape) {
  LatentTape* t = tape_of(tape);
  if (!t) return;
  us_tape_destroy(t->tape);
  us_ops_free(t->m->base.device, t->block);
  free(t);
}

static UsTape* latent_tape(const UsWorldModel* model, const UsLossConfig* c) {
  LatentTape* t = malloc(sizeof(*t));
  UsArena a = {0};
  if (!t) return NULL;
  *t = sized(of(model), c);
  place(t, &a);
  if (us_ops_arena_alloc(model->device, &a) == US_OK) {
    t->block = a.base;
    place(t, &a);
    t->tape = us_tape_create(t->m->p, c);
  }
  if (t->tape) return (UsTape*)t;
  latent_tape_destroy((UsTape*)t);
  return NULL;
}

static double latent_tape_bytes(const UsWorldModel* model, const UsLossConfig* c) {
  LatentTape t = sized(of(model), c);
  UsArena a = {0};
  place(&t, &a);
  return (double)a.size + us_tape_bytes(t.m->p, c);
}

static void latent_errors(UsTape* tape, double* errors) {
  us_tape_error_sums(tape_of(tape)->tape, errors);
}

static const UsParamList* latent_list(const UsWorldModel* m) {
  return &of(m)->all;
}
static float* latent_params(const UsWorldModel* m) {
  return of(m)->params;
}
static void latent_norm(const UsWorldModel* m, float* mean, float* scale) {
  us_predictor_norm(of(m)->p, mean, scale);
}
static void latent_set_norm(UsWorldModel* m, const float* mean, float scale) {
  us_predictor_set_norm(of(m)->p, mean, scale);
}

// Not a kind that a folder names: what comes of it is a predictor.
static const UsWorldModelClass latent_class = {.kind = "latent actions",
                                               .list = latent_list,
                                               .params = latent_params,
                                               .norm = latent_norm,
                                               .set_norm = latent_set_norm,
                                               .tape_create = latent_tape,
                                               .tape_bytes = latent_tape_bytes,
                                               .tape_destroy = latent_tape_destroy,
                                               .load = load_tape,
                                               .loss = latent_loss,
                                               .errors = latent_errors};

// ---- making ----

// The tensors' places, one list behind the other.
static int layout(UsLatent* m) {
  const UsParamList* first = us_predictor_list(m->p);
#define X(field, flags, rows, columns) \
  m->field = us_params_add(&m->own, "latent.", #field, flags, rows, columns, 0, 0);
  LATENT(X)
#undef X
  const UsParamList* const lists[] = {first, &m->own};
  for (int l = 0; l < 2; l++) {
    for (int i = 0; i < lists[l]->count; i++) {
      const UsParam* p = &lists[l]->param[i];
      us_params_add(&m->all, "", p->name, p->flags, p->dim[0], p->dim[1], p->dim[2], p->dim[3]);
    }
  }
  return !m->own.failed && !m->all.failed && m->all.floats == first->floats + m->own.floats;
}

UsStatus us_latent_create(UsPredictor* p, float weight, uint64_t seed, UsLatent** out) {
  *out = NULL;
  UsLatent* m = calloc(1, sizeof(*m));
  if (!m) return us_fail(US_MEMORY, "latent actions: out of memory");
  m->base = *us_predictor_model(p);
  m->base.cls = &latent_class;
  m->dim = m->base.action;
  m->weight = weight;
  m->p = p;
  US_ASSERT(m->dim >= 1 && m->dim <= US_LATENT_NUMBERS);
  m->in = 3 * frame_numbers(m);
  m->base.action = frame_numbers(m) + m->dim;
  int ok = layout(m);
  float* first = ok ? calloc(m->own.floats, sizeof(float)) : NULL;
  if (first) m->params = us_ops_alloc(m->base.device, m->all.floats);
  if (!m->params) {
    free(first);
    m->p = NULL;
    us_latent_destroy(m);
    return us_fail(US_MEMORY, "latent actions: out of memory");
  }
  us_params_init(&m->own, seed, kSalt, first);
  m->codes = m->params + us_predictor_list(p)->floats;
  us_ops_put(m->base.device, m->codes, first, m->own.floats);
  us_predictor_move(p, m->params);
  free(first);
  *out = m;
  return US_OK;
}

void us_latent_destroy(UsLatent* m) {
  if (!m) return;
  us_predictor_destroy(m->p);
  us_ops_free(m->base.device, m->params);
  us_params_free(&m->own);
  us_params_free(&m->all);
  free(m);
}

UsPredictor* us_latent_predictor(const UsLatent* m) {
  return m->p;
}
UsWorldModel* us_latent_model(const UsLatent* m) {
  return (UsWorldModel*)&m->base;
}

double us_latent_nats(const UsTape* tape) {
  const LatentTape* t = (const LatentTape*)tape;
  double nats;
  us_ops_get_sums(t->m->base.device, t->nats, &nats, 1);
  return nats;
}

// ---- files ----

UsStatus us_latent_save(const UsLatent* m, const char* folder) {
  char path[kPath];
  float* host = malloc(m->own.floats * sizeof(float));
  us_path_join(path, kPath, folder, "latent.safetensors");
  if (!host) return us_fail(US_MEMORY, "%s: out of memory", path);
  us_ops_get(m->base.device, m->codes, host, m->own.floats);
  UsStatus status = us_device_check(m->base.device, path);
  if (status == US_OK) status = us_params_write(&m->own, path, host);
  free(host);
  return status;
}

// Reads the codes' weights.
static UsStatus load_codes(UsLatent* m, const char* path) {
  UsTensors* file;
  US_TRY(us_tensors_open(path, &file));
  float* host = calloc(m->own.floats, sizeof(float));
  UsStatus status = host ? US_OK : us_fail(US_MEMORY, "%s: out of memory", path);
  if (status == US_OK) status = us_params_read(&m->own, file, "", 0, host);
  if (status == US_OK) status = us_params_refuse_rest(&m->own, file, "", 0, NULL);
  if (status == US_OK) us_ops_put(m->base.device, m->codes, host, m->own.floats);
  free(host);
  us_tensors_close(file);
  return status;
}

UsStatus us_latent_open(const char* folder, UsDevice* device, UsLatent** out) {
  char path[kPath], encoder[US_HASH_CHARS];
  UsPredictor* p;
  *out = NULL;
  US_TRY(us_pretrained_open(folder, device, &p, encoder));
  int dim = us_predictor_config(p)->action;
  UsStatus status = dim >= 1 && dim <= US_LATENT_NUMBERS
                        ? us_latent_create(p, 0, 0, out)
                        : us_fail(US_FORMAT,
                                  "%s: expected a predictor with latent actions (pretrain "
                                  "--latent-actions), found one with %d numbers an action",
                                  folder, dim);
  if (status != US_OK) {
    us_predictor_destroy(p);
    return status;
  }
  status = load_codes(*out, us_path_join(path, kPath, folder, "latent.safetensors"));
  if (status == US_OK) return US_OK;
  us_latent_destroy(*out);
  *out = NULL;
  return status;
}
