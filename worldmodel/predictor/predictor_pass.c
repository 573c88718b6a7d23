// Forward and backward of the predictor's blocks, op by op. Equations in predictor.h.

#include "worldmodel/predictor/predictor_pass.h"

#include "worldmodel/base/progress.h"

// ---- memory ----

void memory_place(const UsPredictorConfig* c, Carve* m, int rows, Memory* out) {
  size_t floats = (size_t)c->depth * (size_t)rows * (size_t)c->width;
  out->both = carve(m, 2 * floats);
  out->k = carve(m, floats);
  out->v = carve(m, floats);
  out->dk = carve(m, floats);
  out->dv = carve(m, floats);
}

void pass_place(const UsPredictorConfig* c, Carve* m, Pass* s) {
  PREDICTOR_SIZES(c);
  size_t rows = (size_t)s->rows, keys = (size_t)s->batch * (size_t)s->tk;
  s->angles = carve(m, rows * (size_t)predictor_pairs(c) * 2);
  s->last = carve(m, rows * (size_t)d);
  s->actions = carve(m, rows * (size_t)predictor_inputs(c));
  for (int l = 0; l < n; l++) {
    Layer* a = &s->layer[l];
#define X(field, floats) a->field = carve(m, rows * (size_t)(floats));
    LAYER_ROWS(X)
#undef X
    if (!s->mask) {  // the masked pass sees the real frames' memory itself
      a->k = carve(m, keys * (size_t)w);
      a->v = carve(m, keys * (size_t)w);
    }
    a->probs = carve(m, rows * (size_t)c->heads * (size_t)s->tk);
  }
  s->end = carve(m, rows * (size_t)w);
  s->end_norm = carve(m, rows * (size_t)w);
  s->end_stats = carve(m, rows * 2);
  s->out = carve(m, rows * (size_t)d);
}

// ---- forward ----

static void layer_forward(const UsPredictor* p, int l, const Pass* s, float* next) {
  PREDICTOR_SIZES(&p->c);
  const PredictorBlock* b = &p->block[l];
  const Layer* a = &s->layer[l];
  const float* x = p->params;
  int rows = s->rows, heads = p->c.heads;
  size_t count = (size_t)rows * (size_t)w;

  us_ops_norm(p->base.device, rows, w, US_PREDICTOR_EPS, a->q, x + b->norm1_gain, x + b->norm1_bias,
              a->norm1, a->stats1);
  us_ops_linear(p->base.device, rows, w, w, a->norm1, x + b->query_w, x + b->query_b, a->turned);
  us_ops_rotate(p->base.device, rows, rows, heads, w / heads, s->angles, 1, a->turned);
  us_ops_attend(p->base.device, s->batch, s->tq, s->tk, heads, w / heads, s->mask, a->turned, a->k,
                a->v, a->attended, a->probs);
  us_ops_linear(p->base.device, rows, w, w, a->attended, x + b->out_w, x + b->out_b, a->q1);
  us_ops_add(p->base.device, count, 1, a->q, a->q1);

  float* q2 = p->c.action > 0 ? a->q2 : next;
  us_ops_norm(p->base.device, rows, w, US_PREDICTOR_EPS, a->q1, x + b->norm2_gain,
              x + b->norm2_bias, a->norm2, a->stats2);
  us_ops_linear(p->base.device, rows, h, w, a->norm2, x + b->up_w, x + b->up_b, a->up);
  us_ops_gelu(p->base.device, (size_t)rows * (size_t)h, a->up, a->active);
  us_ops_linear(p->base.device, rows, w, h, a->active, x + b->down_w, x + b->down_b, q2);
  us_ops_add(p->base.device, count, 1, a->q1, q2);
  if (p->c.action == 0) return;

  us_ops_concat(p->base.device, rows, w, j - w, predictor_tokens(&p->c), q2, s->actions, a->joined);
  us_ops_norm(p->base.device, rows, j, US_PREDICTOR_EPS, a->joined, x + b->norm3_gain,
              x + b->norm3_bias, a->norm3, a->stats3);
  us_ops_linear(p->base.device, rows, u, j, a->norm3, x + b->aup_w, x + b->aup_b, a->aup);
  us_ops_gelu(p->base.device, (size_t)rows * (size_t)u, a->aup, a->aactive);
  us_ops_linear(p->base.device, rows, w, u, a->aactive, x + b->adown_w, x + b->adown_b, next);
  us_ops_add(p->base.device, count, 1, q2, next);
}

void pass_forward(const UsPredictor* p, const Pass* s) {
  PREDICTOR_SIZES(&p->c);
  const float* x = p->params;
  float* q = s->layer[0].q;
  if (p->c.residual) {
    us_ops_linear(p->base.device, s->rows, w, d, s->last, x + p->at.seed_w, x + p->at.seed_b, q);
  } else {
    us_ops_zero(p->base.device, q, (size_t)s->rows * (size_t)w);
  }
  us_ops_add_rows(p->base.device, s->rows, 1, w, x + p->at.query, q);
  for (int l = 0; l < n && !us_interrupted(); l++) {
    layer_forward(p, l, s, l + 1 < n ? s->layer[l + 1].q : s->end);
  }
  us_ops_norm(p->base.device, s->rows, w, US_PREDICTOR_EPS, s->end, x + p->at.last_gain,
              x + p->at.last_bias, s->end_norm, s->end_stats);
  us_ops_linear(p->base.device, s->rows, d, w, s->end_norm, x + p->at.head_w, x + p->at.head_b,
                s->out);
  if (p->c.residual) us_ops_add(p->base.device, (size_t)s->rows * (size_t)d, 1, s->last, s->out);
}

// ---- backward ----

static float* grad(float* base, size_t offset) {
  return base ? base + offset : NULL;
}

// Turns dq (rows, w) behind block l's action block into that before it.
static void action_backward(const UsPredictor* p, int l, const Pass* s, const Temps* t, float* g) {
  PREDICTOR_SIZES(&p->c);
  const PredictorBlock* b = &p->block[l];
  const Layer* a = &s->layer[l];
  const float* x = p->params;
  int rows = s->rows;
  us_ops_linear_back(p->base.device, rows, w, u, a->aactive, x + b->adown_w, t->dq, t->dh,
                     grad(g, b->adown_w), grad(g, b->adown_b));
  us_ops_gelu_back(p->base.device, (size_t)rows * (size_t)u, a->aup, t->dh, t->dh);
  us_ops_linear_back(p->base.device, rows, u, j, a->norm3, x + b->aup_w, t->dh, t->dn,
                     grad(g, b->aup_w), grad(g, b->aup_b));
  us_ops_norm_back(p->base.device, rows, j, a->joined, x + b->norm3_gain, a->stats3, t->dn, t->dj,
                   grad(g, b->norm3_gain), grad(g, b->norm3_bias));
  us_ops_concat_back(p->base.device, rows, w, j - w, predictor_tokens(&p->c), t->dj, t->dx, NULL);
  us_ops_add(p->base.device, (size_t)rows * (size_t)w, 1, t->dx, t->dq);
}

static void mlp_backward(const UsPredictor* p, int l, const Pass* s, const Temps* t, float* g) {
  PREDICTOR_SIZES(&p->c);
  const PredictorBlock* b = &p->block[l];
  const Layer* a = &s->layer[l];
  const float* x = p->params;
  int rows = s->rows;
  us_ops_linear_back(p->base.device, rows, w, h, a->active, x + b->down_w, t->dq, t->dh,
                     grad(g, b->down_w), grad(g, b->down_b));
  us_ops_gelu_back(p->base.device, (size_t)rows * (size_t)h, a->up, t->dh, t->dh);
  us_ops_linear_back(p->base.device, rows, h, w, a->norm2, x + b->up_w, t->dh, t->dn,
                     grad(g, b->up_w), grad(g, b->up_b));
  us_ops_norm_back(p->base.device, rows, w, a->q1, x + b->norm2_gain, a->stats2, t->dn, t->dx,
                   grad(g, b->norm2_gain), grad(g, b->norm2_bias));
  us_ops_add(p->base.device, (size_t)rows * (size_t)w, 1, t->dx, t->dq);
}

// Leaves the gradients of the block's turned keys and of its values in t->dk and t->dv.
static void attention_backward(const UsPredictor* p, int l, const Pass* s, const Temps* t,
                               float* g) {
  PREDICTOR_SIZES(&p->c);
  const PredictorBlock* b = &p->block[l];
  const Layer* a = &s->layer[l];
  const float* x = p->params;
  int rows = s->rows, heads = p->c.heads;
  us_ops_linear_back(p->base.device, rows, w, w, a->attended, x + b->out_w, t->dq, t->dn,
                     grad(g, b->out_w), grad(g, b->out_b));
  us_ops_attend_back(p->base.device, s->batch, s->tq, s->tk, heads, w / heads, a->turned, a->k,
                     a->v, a->probs, t->dn, t->dx, t->dk, t->dv);
  us_ops_rotate(p->base.device, rows, rows, heads, w / heads, s->angles, -1, t->dx);
  us_ops_linear_back(p->base.device, rows, w, w, a->norm1, x + b->query_w, t->dx, t->dn,
                     grad(g, b->query_w), grad(g, b->query_b));
  us_ops_norm_back(p->base.device, rows, w, a->q, x + b->norm1_gain, a->stats1, t->dn, t->dx,
                   grad(g, b->norm1_gain), grad(g, b->norm1_bias));
  us_ops_add(p->base.device, (size_t)rows * (size_t)w, 1, t->dx, t->dq);
}

void pass_backward(const UsPredictor* p, const Pass* s, const Temps* m, const float* dout,
                   float* dlast, PassSink sink, void* arg, const Gradient* g) {
  PREDICTOR_SIZES(&p->c);
  const float* x = p->params;
  int rows = s->rows;
  us_ops_linear_back(p->base.device, rows, d, w, s->end_norm, x + p->at.head_w, dout, m->dn,
                     grad(g->trunk, p->at.head_w), grad(g->trunk, p->at.head_b));
  us_ops_norm_back(p->base.device, rows, w, s->end, x + p->at.last_gain, s->end_stats, m->dn, m->dq,
                   grad(g->trunk, p->at.last_gain), grad(g->trunk, p->at.last_bias));
  for (int l = n - 1; l >= 0 && !us_interrupted(); l--) {
    if (p->c.action > 0) action_backward(p, l, s, m, g->action);
    mlp_backward(p, l, s, m, g->trunk);
    attention_backward(p, l, s, m, g->trunk);
    sink(arg, l, m->dk, m->dv);
  }
  if (g->trunk) us_ops_add_rows_back(p->base.device, rows, 1, w, m->dq, g->trunk + p->at.query);
  if (!p->c.residual) return;
  us_ops_linear_back(p->base.device, rows, w, d, s->last, x + p->at.seed_w, m->dq, dlast,
                     grad(g->trunk, p->at.seed_w), grad(g->trunk, p->at.seed_b));
  if (dlast) us_ops_add(p->base.device, (size_t)rows * (size_t)d, 1, dout, dlast);
}

// ---- keys and values ----

// Keys and values of tokens (rows, D) at angles (rows, pairs, 2).
void memory_forward(const UsPredictor* p, int rows, const float* tokens, const float* angles,
                    const Memory* m) {
  PREDICTOR_SIZES(&p->c);
  size_t each = (size_t)rows * (size_t)w, wide = (size_t)n * 2 * (size_t)w;
  us_ops_linear(p->base.device, rows, n * 2 * w, d, tokens, p->params + p->at.kv_w,
                p->params + p->at.kv_b, m->both);
  for (int l = 0; l < n; l++) {
    float* k = m->k + (size_t)l * each;
    const float* both = m->both + (size_t)l * 2 * (size_t)w;
    us_ops_copy_blocks(p->base.device, rows, w, both, wide, k, (size_t)w);
    us_ops_copy_blocks(p->base.device, rows, w, both + w, wide, m->v + (size_t)l * each, (size_t)w);
    us_ops_rotate(p->base.device, rows, rows, p->c.heads, w / p->c.heads, angles, 1, k);
  }
}

// dtokens (rows, D) and the matrix's gradients from m->dk and m->dv. Nullable: dtokens, g.
void memory_backward(const UsPredictor* p, int rows, const float* tokens, const float* angles,
                     const Memory* m, float* dtokens, float* g) {
  PREDICTOR_SIZES(&p->c);
  size_t each = (size_t)rows * (size_t)w, wide = (size_t)n * 2 * (size_t)w;
  for (int l = 0; l < n; l++) {
    float* dk = m->dk + (size_t)l * each;
    float* both = m->both + (size_t)l * 2 * (size_t)w;
    us_ops_rotate(p->base.device, rows, rows, p->c.heads, w / p->c.heads, angles, -1, dk);
    us_ops_copy_blocks(p->base.device, rows, w, dk, (size_t)w, both, wide);
    us_ops_copy_blocks(p->base.device, rows, w, m->dv + (size_t)l * each, (size_t)w, both + w,
                       wide);
  }
  us_ops_linear_back(p->base.device, rows, n * 2 * w, d, tokens, p->params + p->at.kv_w, m->both,
                     dtokens, grad(g, p->at.kv_w), grad(g, p->at.kv_b));
}
