// Rollouts: a tile of candidates of one slot rolled forward frame by frame. Equations in
// predictor.h; a frame is a pass of the blocks, as in training (predictor_pass.c).
//
// A tile has room for m candidates with G tokens each, R = m G rows. Keys and values of the C
// frames that a target sees stand in a ring per block, (m, C, G, w); a predicted frame replaces the
// oldest, in place, since attention does not care about the order of its keys. Only a predicted
// frame's own tokens go through the key and value matrix.

#include <stdlib.h>
#include <string.h>

#include "worldmodel/predictor/predictor_pass.h"

struct UsRolloutWork {
  UsDevice* device;
  void* block;     // tensor memory, all of it
  int tile;        // m
  Pass pass;       // of R queries
  float* both;     // (R, depth, 2, w)
  float* k;        // (depth, m, C, G, w)
  float* v;        // (depth, m, C, G, w)
  float* shown;    // (C, R, D) the C frames before the target, for `recompute`
  float* context;  // (G, pairs, 2) angles of a frame of the context
  float* weights;  // (list floats) matrices transposed, as they were when the work was made
  float* angles;   // (G, pairs, 2) ordinary memory
  Layer layer[];   // (depth)
};

static void place(const UsPredictor* p, UsArena* a, UsRolloutWork* m) {
  const UsPredictorConfig* c = &p->c;
  PREDICTOR_SIZES(c);
  size_t r = (size_t)m->pass.rows, each = r * (size_t)(c->context * w);
  // Activations of a frame, and the rings.
  pass_place(c, a, &m->pass);
  m->both = US_TAKE(a, float, (r * (size_t)(n * 2 * w)));
  m->k = US_TAKE(a, float, ((size_t)n * each));
  m->v = US_TAKE(a, float, ((size_t)n * each));
  for (int l = 0; l < n && a->base; l++) {
    m->layer[l].k = m->k + (size_t)l * each;
    m->layer[l].v = m->v + (size_t)l * each;
  }
  m->shown = US_TAKE(a, float, (r * (size_t)(c->context * d)));
  m->context = US_TAKE(a, float, predictor_tokens(c) * predictor_pairs(c) * 2);
  if (m->tile > 1) m->weights = US_TAKE(a, float, p->list.floats);
}

UsRolloutWork* us_predictor_work_create(const UsPredictor* p, int candidates) {
  const UsPredictorConfig* c = &p->c;
  US_ASSERT(candidates > 0);
  int g = predictor_tokens(c);
  UsRolloutWork* m = calloc(1, sizeof(*m) + (size_t)c->depth * sizeof(Layer));
  if (!m) return NULL;
  m->device = p->base.device;
  m->tile = candidates;
  m->pass = (Pass){.batch = candidates,
                   .tq = g,
                   .tk = c->context * g,
                   .rows = candidates * g,
                   .period = g,
                   .stride = (size_t)(c->context * g * c->width),
                   .layer = m->layer};
  m->angles = calloc((size_t)(g * predictor_pairs(c)) * 2, sizeof(float));
  // Count, allocate on the device, place.
  UsArena a = {0};
  place(p, &a, m);
  if (!m->angles || us_ops_arena_alloc(m->device, &a) != US_OK) {
    us_predictor_work_destroy(m);
    return NULL;
  }
  m->block = a.base;
  place(p, &a, m);
  // A tile takes the weights transposed, once for all its rollouts.
  for (int i = 0; m->weights && i < p->list.count; i++) {
    const UsParam* t = &p->list.param[i];
    if (t->rank != 2) continue;
    us_ops_transpose(m->device, (int)t->dim[0], (int)t->dim[1], p->params + t->offset,
                     m->weights + t->offset);
  }
  m->pass.transposed = m->weights;
  return m;
}

void us_predictor_work_destroy(UsRolloutWork* m) {
  if (!m) return;
  us_ops_free(m->device, m->block);
  free(m->angles);
  free(m);
}

// ---- keys and values ----

// Angles of a frame at `time`, into tensor memory.
static void put_angles(const UsPredictor* p, UsRolloutWork* m, double time, float* to) {
  predictor_angles(&p->c, time, m->angles);
  us_ops_put(m->device, to, m->angles, (size_t)(m->pass.tq * predictor_pairs(&p->c)) * 2);
}

void us_predictor_cache(const UsPredictor* p, UsRolloutWork* m, const float* context,
                        const double* times, float* cache) {
  const UsPredictorConfig* c = &p->c;
  size_t frame = (size_t)(m->pass.tq * c->width), each = (size_t)c->context * frame;
  // One frame after the other, so that the scratch of a tile of one candidate is enough.
  for (int i = 0; i < c->context; i++) {
    const KvPlace to = {cache + (size_t)i * frame, cache + each + (size_t)i * frame,
                        .block = 2 * each, .frame = frame};
    put_angles(p, m, times[i] - times[c->context - 1], m->context);
    kv_forward(p, NULL, 1, context + (size_t)(i * m->pass.tq * c->dim), m->context, m->pass.tq,
               m->both, &to);
  }
}

// Puts keys and values of tokens (R, D) at the target's angles into place `slot` of the ring.
static void put_frame(const UsPredictor* p, UsRolloutWork* m, const float* tokens, int slot) {
  size_t frame = (size_t)(m->pass.tq * p->c.width), each = (size_t)p->c.context * frame;
  const KvPlace to = {m->k + (size_t)slot * frame, m->v + (size_t)slot * frame,
                      .block = (size_t)m->tile * each, .frame = each};
  kv_forward(p, m->weights, m->pass.batch, tokens, m->pass.angles, m->pass.period, m->both, &to);
}

// ---- the frames of a tile ----

// Actions of the target of frame f for the pass, past blocks first; idle candidates, and blocks
// that nobody knows, stay 0.
static void gather_actions(const UsPredictor* p, UsRolloutWork* m, const UsRollout* task, int f) {
  int ka = predictor_block(&p->c), inputs = predictor_inputs(&p->c);
  float* to = m->pass.actions;
  for (int b = f - p->c.past; b <= f; b++, to += ka) {
    const float* from = b < 0 ? task->past : task->actions + (size_t)b * (size_t)ka;
    if (!from) continue;
    if (b < 0) from += (size_t)(p->c.past + b) * (size_t)ka;
    us_ops_copy_blocks(m->device, task->count, ka, from, b < 0 ? 0 : (size_t)(task->horizon * ka),
                       to, (size_t)inputs);
  }
  if (task->clip) us_ops_clip(m->device, (size_t)(task->count * inputs), -1, 1, m->pass.actions);
}

void us_predictor_rollout(const UsPredictor* p, UsRolloutWork* m, const UsRollout* task) {
  const UsPredictorConfig* c = &p->c;
  Pass* s = &m->pass;
  US_ASSERT(task->count > 0 && task->count <= m->tile);
  US_ASSERT(c->action == 0 || task->actions);
  size_t one = (size_t)(s->tq * c->dim), inputs = (size_t)(m->tile * predictor_inputs(c));

  // Few candidates use a part of the tile; its rows come in steps, so that a candidate's numbers do
  // not depend on a few others.
  int step = predictor_candidates(c, kTileStep), batch = (task->count + step - 1) / step * step;
  s->batch = batch < m->tile ? batch : m->tile;
  s->rows = s->batch * s->tq;

  // The newest frame and the slot's keys and values, for every candidate; no actions yet.
  us_ops_zero(m->device, s->actions, inputs);
  us_ops_copy_blocks(m->device, s->batch, (int)one, task->context + (size_t)(c->context - 1) * one,
                     0, s->last, one);
  size_t each = (size_t)(s->tk * c->width);
  const float* cache = task->cache;
  for (int l = 0; l < c->depth && !task->recompute; l++, cache += 2 * each) {
    us_ops_copy_blocks(m->device, s->batch, (int)each, cache, 0, s->layer[l].k, each);
    us_ops_copy_blocks(m->device, s->batch, (int)each, cache + each, 0, s->layer[l].v, each);
  }

  for (int f = 0; f < task->horizon; f++) {
    put_angles(p, m, (f + 1) * task->step, s->angles);
    // Without a cache, for the benchmark: keys and values of all C frames again. All take the
    // target's angles, which costs the same.
    for (int i = 0; i < c->context && task->recompute; i++) {
      float* shown = m->shown + (size_t)(i * s->rows) * (size_t)c->dim;
      if (f == 0) us_ops_copy(m->device, s->last, shown, (size_t)s->rows * (size_t)c->dim);
      put_frame(p, m, shown, i);
    }
    if (c->action > 0) gather_actions(p, m, task, f);
    pass_forward(p, s);
    // What the frame leaves behind: its distance to the goal, and itself.
    if (task->goal && task->distance) {
      us_ops_row_distance(m->device, task->count, (int)one, task->count, NULL, s->out, task->goal,
                          task->distance + f, task->horizon);
    }
    size_t all = (size_t)m->tile * one;
    if (task->frames) us_ops_copy(m->device, s->out, task->frames + (size_t)f * all, all);
    if (f + 1 < task->horizon) {
      // The prediction is the newest frame of the next target.
      if (!task->recompute) put_frame(p, m, s->out, f % c->context);
      float* last = s->last;
      s->last = s->out;
      s->out = last;
    } else if (task->last) {
      us_ops_copy(m->device, s->out, task->last, (size_t)task->count * one);
    }
  }
}
