// Imagination: tiles of candidates of one slot rolled forward frame by frame. Equations in
// predictor.h.
//
// A tile has m candidates with G tokens each, so R = m G rows. Keys and values of the C frames that
// a target sees stand in a ring per block, (m, C, G, w); a predicted frame replaces the oldest, in
// place, since attention does not care about the order of its keys. Only a predicted frame's own
// tokens go through the key and value matrix, for all blocks in one product.

#include <stdlib.h>
#include <string.h>

#include "worldmodel/predictor/predictor_inner.h"

struct UsRolloutWork {
  UsDevice* device;
  int tile;         // m
  int rows;         // R = m G
  float* block;     // tensor memory, all of it
  float* q;         // (R, w)
  float* norm;      // (R, w + (past + 1) K A)
  float* joined;    // (R, w + (past + 1) K A)
  float* turned;    // (R, w)
  float* attended;  // (R, w)
  float* hidden;    // (R, max(h, u))
  float* both;      // (R, depth, 2, w)
  float* turn;      // (R, w) keys or values of a frame, before they go to the ring
  float* k;         // (depth, m, C, G, w)
  float* v;         // (depth, m, C, G, w)
  float* last;      // (R, D) the frame before the target
  float* out;       // (R, D)
  float* shown;     // (C, R, D) the C frames before the target, for `forget`
  float* angles;    // (C, G, pairs, 2)
  float* actions;   // (m, past + 1, K A)
  float* host;      // (C, G, pairs, 2) ordinary memory
  float* played;    // (m, past + 1, K A) ordinary memory
};

static void place(const UsPredictorConfig* c, Carve* m, UsRolloutWork* t) {
  PREDICTOR_SIZES(c);
  size_t r = (size_t)t->rows, ring = (size_t)n * r * (size_t)(c->context * w);
  t->q = carve(m, r * (size_t)w);
  t->norm = carve(m, r * (size_t)j);
  t->joined = carve(m, r * (size_t)j);
  t->turned = carve(m, r * (size_t)w);
  t->attended = carve(m, r * (size_t)w);
  t->hidden = carve(m, r * (size_t)(h > u ? h : u));
  t->both = carve(m, r * (size_t)(n * 2 * w));
  t->turn = carve(m, r * (size_t)w);
  t->k = carve(m, ring);
  t->v = carve(m, ring);
  t->last = carve(m, r * (size_t)d);
  t->out = carve(m, r * (size_t)d);
  t->shown = carve(m, r * (size_t)(c->context * d));
  t->angles = carve(m, (size_t)(c->context * predictor_tokens(c) * predictor_pairs(c)) * 2);
  t->actions = carve(m, (size_t)(t->tile * predictor_inputs(c)));
}

UsRolloutWork* us_predictor_work_create(const UsPredictor* p, int candidates) {
  const UsPredictorConfig* c = &p->c;
  US_ASSERT(candidates > 0);
  UsRolloutWork* t = calloc(1, sizeof(*t));
  if (!t) return NULL;
  t->device = p->base.device;
  t->tile = candidates;
  t->rows = candidates * predictor_tokens(c);
  Carve m = {0};
  place(c, &m, t);
  t->block = us_ops_alloc(p->base.device, m.used);
  t->host =
      calloc((size_t)(c->context * predictor_tokens(c) * predictor_pairs(c)) * 2, sizeof(float));
  t->played = calloc((size_t)(candidates * predictor_inputs(c) + 1), sizeof(float));
  if (!t->block || !t->host || !t->played) {
    us_predictor_work_destroy(t);
    return NULL;
  }
  m = (Carve){.base = t->block};
  place(c, &m, t);
  return t;
}

void us_predictor_work_destroy(UsRolloutWork* m) {
  if (!m) return;
  us_ops_free(m->device, m->block);
  free(m->host);
  free(m->played);
  free(m);
}

// ---- keys and values ----

void us_predictor_cache(const UsPredictor* p, UsRolloutWork* m, const float* context,
                        const double* times, float* memory) {
  PREDICTOR_SIZES(&p->c);
  const UsPredictorConfig* c = &p->c;
  int g = predictor_tokens(c), rows = c->context * g;
  size_t turn = (size_t)(g * predictor_pairs(c)) * 2, wide = (size_t)(n * 2 * w);
  size_t each = (size_t)rows * (size_t)w;
  for (int i = 0; i < c->context; i++) {
    predictor_angles(c, times[i] - times[c->context - 1], m->host + (size_t)i * turn);
  }
  us_ops_put(p->base.device, m->angles, m->host, (size_t)c->context * turn);
  // One frame after the other, so that the scratch of a tile of one candidate is enough.
  for (int i = 0; i < c->context; i++) {
    us_ops_linear(p->base.device, g, n * 2 * w, d, context + (size_t)(i * g) * (size_t)d,
                  p->params + p->at.kv_w, p->params + p->at.kv_b, m->both);
    for (int l = 0; l < n; l++) {
      float* k = memory + (size_t)l * 2 * each + (size_t)(i * g) * (size_t)w;
      const float* both = m->both + (size_t)(l * 2 * w);
      us_ops_copy_blocks(p->base.device, g, w, both, wide, k, (size_t)w);
      us_ops_copy_blocks(p->base.device, g, w, both + w, wide, k + each, (size_t)w);
      us_ops_rotate(p->base.device, g, g, c->heads, w / c->heads, m->angles + (size_t)i * turn, 1,
                    k);
    }
  }
}

// Gives every candidate of the tile the slot's memory.
static void spread(const UsPredictor* p, UsRolloutWork* m, const float* memory) {
  PREDICTOR_SIZES(&p->c);
  size_t each = (size_t)(p->c.context * predictor_tokens(&p->c)) * (size_t)w;
  for (int l = 0; l < n; l++) {
    const float* k = memory + (size_t)l * 2 * each;
    size_t at = (size_t)l * (size_t)m->tile * each;
    us_ops_copy_blocks(p->base.device, m->tile, (int)each, k, 0, m->k + at, each);
    us_ops_copy_blocks(p->base.device, m->tile, (int)each, k + each, 0, m->v + at, each);
  }
}

// Puts keys and values of tokens (R, D) at `angles` (G, pairs, 2) into place `slot` of the ring.
static void keep(const UsPredictor* p, UsRolloutWork* m, const float* tokens, const float* angles,
                 int slot) {
  PREDICTOR_SIZES(&p->c);
  int g = predictor_tokens(&p->c);
  size_t wide = (size_t)(n * 2 * w), frame = (size_t)(g * w);
  size_t each = (size_t)p->c.context * frame;
  us_ops_linear(p->base.device, m->rows, n * 2 * w, d, tokens, p->params + p->at.kv_w,
                p->params + p->at.kv_b, m->both);
  for (int l = 0; l < n; l++) {
    const float* both = m->both + (size_t)(l * 2 * w);
    size_t at = (size_t)l * (size_t)m->tile * each + (size_t)slot * frame;
    us_ops_copy_blocks(p->base.device, m->rows, w, both, wide, m->turn, (size_t)w);
    us_ops_rotate(p->base.device, m->rows, g, p->c.heads, w / p->c.heads, angles, 1, m->turn);
    us_ops_copy_blocks(p->base.device, m->tile, (int)frame, m->turn, frame, m->k + at, each);
    us_ops_copy_blocks(p->base.device, m->rows, w, both + w, wide, m->turn, (size_t)w);
    us_ops_copy_blocks(p->base.device, m->tile, (int)frame, m->turn, frame, m->v + at, each);
  }
}

// ---- one frame ----

static void attention(const UsPredictor* p, UsRolloutWork* m, int l) {
  PREDICTOR_SIZES(&p->c);
  const PredictorBlock* b = &p->block[l];
  const float* x = p->params;
  int g = predictor_tokens(&p->c), keys = p->c.context * g, heads = p->c.heads;
  size_t at = (size_t)l * (size_t)(m->tile * keys) * (size_t)w;
  us_ops_norm(p->base.device, m->rows, w, US_PREDICTOR_EPS, m->q, x + b->norm1_gain,
              x + b->norm1_bias, m->norm, NULL);
  us_ops_linear(p->base.device, m->rows, w, w, m->norm, x + b->query_w, x + b->query_b, m->turned);
  us_ops_rotate(p->base.device, m->rows, g, heads, w / heads, m->angles, 1, m->turned);
  us_ops_attend(p->base.device, m->tile, g, keys, heads, w / heads, NULL, m->turned, m->k + at,
                m->v + at, m->attended, NULL);
  us_ops_linear(p->base.device, m->rows, w, w, m->attended, x + b->out_w, x + b->out_b, m->norm);
  us_ops_add(p->base.device, (size_t)(m->rows * w), 1, m->norm, m->q);
}

static void mlp(const UsPredictor* p, UsRolloutWork* m, int l) {
  PREDICTOR_SIZES(&p->c);
  const PredictorBlock* b = &p->block[l];
  const float* x = p->params;
  us_ops_norm(p->base.device, m->rows, w, US_PREDICTOR_EPS, m->q, x + b->norm2_gain,
              x + b->norm2_bias, m->norm, NULL);
  us_ops_linear(p->base.device, m->rows, h, w, m->norm, x + b->up_w, x + b->up_b, m->hidden);
  us_ops_gelu(p->base.device, (size_t)(m->rows * h), m->hidden, m->hidden);
  us_ops_linear(p->base.device, m->rows, w, h, m->hidden, x + b->down_w, x + b->down_b, m->norm);
  us_ops_add(p->base.device, (size_t)(m->rows * w), 1, m->norm, m->q);
}

static void act(const UsPredictor* p, UsRolloutWork* m, int l) {
  PREDICTOR_SIZES(&p->c);
  const PredictorBlock* b = &p->block[l];
  const float* x = p->params;
  us_ops_concat(p->base.device, m->rows, w, j - w, predictor_tokens(&p->c), m->q, m->actions,
                m->joined);
  us_ops_norm(p->base.device, m->rows, j, US_PREDICTOR_EPS, m->joined, x + b->norm3_gain,
              x + b->norm3_bias, m->norm, NULL);
  us_ops_linear(p->base.device, m->rows, u, j, m->norm, x + b->aup_w, x + b->aup_b, m->hidden);
  us_ops_gelu(p->base.device, (size_t)(m->rows * u), m->hidden, m->hidden);
  us_ops_linear(p->base.device, m->rows, w, u, m->hidden, x + b->adown_w, x + b->adown_b, m->norm);
  us_ops_add(p->base.device, (size_t)(m->rows * w), 1, m->norm, m->q);
}

// m->out (R, D) from m->last, m->actions, the rings and the target's angles.
static void advance(const UsPredictor* p, UsRolloutWork* m) {
  PREDICTOR_SIZES(&p->c);
  const float* x = p->params;
  if (p->c.residual) {
    us_ops_linear(p->base.device, m->rows, w, d, m->last, x + p->at.seed_w, x + p->at.seed_b, m->q);
  } else {
    us_ops_zero(p->base.device, m->q, (size_t)(m->rows * w));
  }
  us_ops_add_rows(p->base.device, m->rows, 1, w, x + p->at.query, m->q);
  for (int l = 0; l < n; l++) {
    attention(p, m, l);
    mlp(p, m, l);
    if (p->c.action > 0) act(p, m, l);
  }
  us_ops_norm(p->base.device, m->rows, w, US_PREDICTOR_EPS, m->q, x + p->at.last_gain,
              x + p->at.last_bias, m->norm, NULL);
  us_ops_linear(p->base.device, m->rows, d, w, m->norm, x + p->at.head_w, x + p->at.head_b, m->out);
  if (p->c.residual) us_ops_add(p->base.device, (size_t)(m->rows * d), 1, m->last, m->out);
}

// ---- the frames of a tile ----

// Without any memory: keys and values of all C frames again, for the benchmark. All frames take the
// target's angles, which costs the same.
static void recompute(const UsPredictor* p, UsRolloutWork* m, int frame) {
  size_t each = (size_t)(m->rows * p->c.dim);
  for (int i = 0; i < p->c.context; i++) {
    if (frame == 0) us_ops_copy(p->base.device, m->last, m->shown + (size_t)i * each, each);
    keep(p, m, m->shown + (size_t)i * each, m->angles, i);
  }
}

static float clipped(float x) {
  return x < -1 ? -1 : x > 1 ? 1 : x;  // NaN stays
}

// Actions of the target of frame f into m->actions, past blocks first; idle candidates do nothing.
static void put_actions(const UsPredictor* p, UsRolloutWork* m, const UsRollout* task, int f) {
  size_t ka = (size_t)predictor_block(&p->c), row = (size_t)task->horizon * ka;
  float* to = m->played;
  for (size_t i = 0; i < (size_t)task->count; i++) {
    for (int b = f - p->c.past; b <= f; b++, to += ka) {
      const float* from = task->actions + i * row + (size_t)(b < 0 ? 0 : b) * ka;
      if (b < 0 && !task->past) continue;  // stays 0
      if (b < 0) from = task->past + (size_t)(p->c.past + b) * ka;
      for (size_t k = 0; k < ka; k++) to[k] = task->clip ? clipped(from[k]) : from[k];
    }
  }
  us_ops_put(p->base.device, m->actions, m->played,
             (size_t)(task->count * predictor_inputs(&p->c)));
}

void us_predictor_rollout(const UsPredictor* p, UsRolloutWork* m, const UsRollout* task) {
  const UsPredictorConfig* c = &p->c;
  US_ASSERT(task->count > 0 && task->count <= m->tile);
  US_ASSERT(c->action == 0 || task->actions);
  size_t turn = (size_t)(predictor_tokens(c) * predictor_pairs(c)) * 2;
  size_t one = (size_t)(predictor_tokens(c) * c->dim), each = (size_t)m->tile * one;
  us_ops_zero(p->base.device, m->actions, (size_t)(m->tile * predictor_inputs(c)));
  memset(m->played, 0, (size_t)(m->tile * predictor_inputs(c)) * sizeof(float));
  us_ops_copy_blocks(p->base.device, m->tile, (int)one,
                     task->context + (size_t)(c->context - 1) * one, 0, m->last, one);
  if (!task->recompute) spread(p, m, task->cache);
  for (int f = 0; f < task->horizon; f++) {
    predictor_angles(c, (f + 1) * task->step, m->host);
    us_ops_put(p->base.device, m->angles, m->host, turn);
    if (task->recompute) recompute(p, m, f);
    if (c->action > 0) put_actions(p, m, task, f);
    advance(p, m);
    if (task->goal && task->distance) {
      us_ops_row_distance(p->base.device, task->count, (int)one, task->count, m->out, task->goal,
                          task->distance + f, task->horizon);
    }
    if (task->frames) us_ops_copy(p->base.device, m->out, task->frames + (size_t)f * each, each);
    if (f + 1 == task->horizon) break;
    if (!task->recompute) keep(p, m, m->out, m->angles, f % c->context);
    float* last = m->last;
    m->last = m->out;
    m->out = last;
  }
  if (task->last) us_ops_copy(p->base.device, m->out, task->last, (size_t)task->count * one);
}
