// Forward and backward of the predictor's blocks, op by op; in short, of block l:
//
//   q += O attend(R (Q norm1(q) + bq), k_l, v_l) + bo
//   q += M2 gelu(M1 norm2(q) + b1) + b2
//   q += A2 gelu(A1 norm3([q, a]) + c1) + c2
//
// and k_l = R (K_l z + bk), v_l = V_l z + bv of the tokens z. All of it: predictor.h.

#include "worldmodel/predictor/predictor_pass.h"

#include "worldmodel/base/progress.h"

// ---- memory ----

void kv_place(const UsPredictorConfig* c, UsArena* a, int rows, KvCache* out) {
  size_t floats = (size_t)c->depth * (size_t)rows * (size_t)c->width;
  out->both = US_TAKE(a, float, 2 * floats);
  out->k = US_TAKE(a, float, floats);
  out->v = US_TAKE(a, float, floats);
  out->dk = US_TAKE(a, float, floats);
  out->dv = US_TAKE(a, float, floats);
}

void pass_place(const UsPredictorConfig* c, UsArena* m, Pass* s) {
  PREDICTOR_SIZES(c);
  size_t rows = (size_t)s->rows, keys = (size_t)s->batch * (size_t)s->tk;
  s->angles = US_TAKE(m, float, (2 * (size_t)s->period * (size_t)predictor_pairs(c)));
  s->last = US_TAKE(m, float, (rows * (size_t)d));
  s->actions = US_TAKE(m, float, rows / (size_t)predictor_tokens(c) * (size_t)predictor_inputs(c));
  if (s->kept) {
    // Every block has activations of its own.
    for (int l = 0; l < n; l++) {
      Layer* a = &s->layer[l];
#define X(field, floats) a->field = US_TAKE(m, float, (rows * (size_t)(floats)));
      LAYER_ROWS(X)
#undef X
      if (!s->borrows) {
        a->k = US_TAKE(m, float, (keys * (size_t)w));
        a->v = US_TAKE(m, float, (keys * (size_t)w));
      }
      a->probs = US_TAKE(m, float, (rows * (size_t)c->heads * (size_t)s->tk));
    }
    s->end = US_TAKE(m, float, (rows * (size_t)w));
    s->end_norm = US_TAKE(m, float, (rows * (size_t)w));
    s->end_stats = US_TAKE(m, float, rows * 2);
  } else {
    // All blocks share their activations: q goes back and forth between two arrays.
    float* q = US_TAKE(m, float, (rows * (size_t)w));
    float* other = US_TAKE(m, float, (rows * (size_t)w));
    float* norm = US_TAKE(m, float, (rows * (size_t)j));
    float* joined = US_TAKE(m, float, (rows * (size_t)j));
    float* turned = US_TAKE(m, float, (rows * (size_t)w));
    float* attended = US_TAKE(m, float, (rows * (size_t)w));
    float* hidden = US_TAKE(m, float, (rows * (size_t)(h > u ? h : u)));
    for (int l = 0; l < n; l++) {
      s->layer[l] = (Layer){.q = q,
                            .norm1 = norm,
                            .turned = turned,
                            .attended = attended,
                            .q1 = other,
                            .norm2 = norm,
                            .up = hidden,
                            .active = hidden,
                            .q2 = q,
                            .joined = joined,
                            .norm3 = norm,
                            .aup = hidden,
                            .aactive = hidden};
      if (c->action == 0) continue;  // the MLP ends in q
      float* behind = other;
      other = q;
      q = behind;
    }
    s->end = q;
    s->end_norm = norm;
  }
  s->out = US_TAKE(m, float, (rows * (size_t)d));
}

// ---- forward ----

// The layer whose weight and bias lie at these offsets: y (rows, out) of x (rows, in). What else a
// dense layer does is filled in by the caller.
static UsDense layer(const UsPredictor* p, const float* transposed, int rows, int out, int in,
                     const float* x, size_t weight, size_t bias, float* y) {
  return (UsDense){.rows = rows,
                   .out = out,
                   .in = in,
                   .x = x,
                   .w = (transposed ? transposed : p->params) + weight,
                   .transposed = transposed != NULL,
                   .b = p->params + bias,
                   .period = rows,
                   .y = y};
}

static void block_forward(const UsPredictor* p, int l, const Pass* s, float* next) {
  PREDICTOR_SIZES(&p->c);
  UsDevice* device = p->base.device;
  const PredictorBlock* b = &p->block[l];
  const Layer* a = &s->layer[l];
  const float *x = p->params, *t = s->transposed;
  int rows = s->rows, heads = p->c.heads;
  UsDense m;

  // Attention: turned queries over the keys and values of the frames that they see.
  us_ops_norm(device, rows, w, US_PREDICTOR_EPS, a->q, x + b->norm1_gain, x + b->norm1_bias,
              a->norm1, a->stats1);
  m = layer(p, t, rows, w, w, a->norm1, b->query_w, b->query_b, a->turned);
  us_ops_dense(device, &m);
  us_ops_attend(device, s->batch, s->tq, s->tk, heads, w / heads, s->angles, s->period, s->mask,
                a->turned, a->k, a->v, s->stride, a->attended, a->probs);
  m = layer(p, t, rows, w, w, a->attended, b->out_w, b->out_b, a->q1);
  m.add = a->q;
  us_ops_dense(device, &m);

  // MLP. Without actions its sum is the block's result.
  float* q2 = p->c.action > 0 ? a->q2 : next;
  us_ops_norm(device, rows, w, US_PREDICTOR_EPS, a->q1, x + b->norm2_gain, x + b->norm2_bias,
              a->norm2, a->stats2);
  m = layer(p, t, rows, h, w, a->norm2, b->up_w, b->up_b, a->active);
  m.up = a->up;
  us_ops_dense(device, &m);
  m = layer(p, t, rows, w, h, a->active, b->down_w, b->down_b, q2);
  m.add = a->q1;
  us_ops_dense(device, &m);
  if (p->c.action == 0) return;

  // Action block: the actions of a frame stand beside each of its tokens.
  us_ops_concat_norm(device, rows, w, j - w, predictor_tokens(&p->c), US_PREDICTOR_EPS, q2,
                     s->actions, x + b->norm3_gain, x + b->norm3_bias, a->joined, a->norm3,
                     a->stats3);
  m = layer(p, t, rows, u, j, a->norm3, b->aup_w, b->aup_b, a->aactive);
  m.up = a->aup;
  us_ops_dense(device, &m);
  m = layer(p, t, rows, w, u, a->aactive, b->adown_w, b->adown_b, next);
  m.add = q2;
  us_ops_dense(device, &m);
}

void pass_forward(const UsPredictor* p, const Pass* s) {
  PREDICTOR_SIZES(&p->c);
  UsDevice* device = p->base.device;
  const float* x = p->params;
  float* q = s->layer[0].q;
  UsDense m;
  // q starts from the learned vector and, with residual, from the newest frame.
  if (p->c.residual) {
    m = layer(p, s->transposed, s->rows, w, d, s->last, p->at.seed_w, p->at.seed_b, q);
    m.add = x + p->at.query;
    m.period = 1;
    us_ops_dense(device, &m);
  } else {
    us_ops_zero(device, q, (size_t)s->rows * (size_t)w);
    us_ops_add_rows(device, s->rows, 1, w, x + p->at.query, q);
  }
  for (int l = 0; l < n && !(s->kept && us_interrupted()); l++) {
    block_forward(p, l, s, l + 1 < n ? s->layer[l + 1].q : s->end);
  }
  // Out of the blocks: the prediction, or what it adds to the newest frame.
  us_ops_norm(device, s->rows, w, US_PREDICTOR_EPS, s->end, x + p->at.last_gain,
              x + p->at.last_bias, s->end_norm, s->end_stats);
  m = layer(p, s->transposed, s->rows, d, w, s->end_norm, p->at.head_w, p->at.head_b, s->out);
  if (p->c.residual) m.add = s->last;
  us_ops_dense(device, &m);
}

// ---- backward ----

static float* grad(float* base, size_t offset) {
  return base ? base + offset : NULL;
}

// Turns dq (rows, w) behind block l into that before it; leaves the gradients of the block's turned
// keys and of its values in t->dk and t->dv.
static void block_backward(const UsPredictor* p, int l, const Pass* s, const Temps* t,
                           const Gradient* g) {
  PREDICTOR_SIZES(&p->c);
  const PredictorBlock* b = &p->block[l];
  const Layer* a = &s->layer[l];
  const float* x = p->params;
  int rows = s->rows, heads = p->c.heads;
  size_t count = (size_t)rows * (size_t)w;

  if (p->c.action > 0) {
    // A2 gelu(A1 ..) backwards, into the joined row, of which q's part goes on.
    us_ops_linear_back(p->base.device, rows, w, u, a->aactive, x + b->adown_w, t->dq, t->dh,
                       grad(g->action, b->adown_w), grad(g->action, b->adown_b));
    us_ops_gelu_back(p->base.device, (size_t)rows * (size_t)u, a->aup, t->dh, t->dh);
    us_ops_linear_back(p->base.device, rows, u, j, a->norm3, x + b->aup_w, t->dh, t->dn,
                       grad(g->action, b->aup_w), grad(g->action, b->aup_b));
    us_ops_norm_back(p->base.device, rows, j, a->joined, x + b->norm3_gain, a->stats3, t->dn, t->dj,
                     grad(g->action, b->norm3_gain), grad(g->action, b->norm3_bias));
    us_ops_concat_back(p->base.device, rows, w, j - w, predictor_tokens(&p->c), t->dj, t->dx,
                       g->acts ? t->da : NULL);
    us_ops_add(p->base.device, count, 1, t->dx, t->dq);
  }

  // MLP: the branch backwards; the residual sum passes dq on as it is.
  us_ops_linear_back(p->base.device, rows, w, h, a->active, x + b->down_w, t->dq, t->dh,
                     grad(g->trunk, b->down_w), grad(g->trunk, b->down_b));
  us_ops_gelu_back(p->base.device, (size_t)rows * (size_t)h, a->up, t->dh, t->dh);
  us_ops_linear_back(p->base.device, rows, h, w, a->norm2, x + b->up_w, t->dh, t->dn,
                     grad(g->trunk, b->up_w), grad(g->trunk, b->up_b));
  us_ops_norm_back(p->base.device, rows, w, a->q1, x + b->norm2_gain, a->stats2, t->dn, t->dx,
                   grad(g->trunk, b->norm2_gain), grad(g->trunk, b->norm2_bias));
  us_ops_add(p->base.device, count, 1, t->dx, t->dq);

  // Attention: out of the heads, then through softmax to queries, keys and values.
  us_ops_linear_back(p->base.device, rows, w, w, a->attended, x + b->out_w, t->dq, t->dn,
                     grad(g->trunk, b->out_w), grad(g->trunk, b->out_b));
  us_ops_attend_back(p->base.device, s->batch, s->tq, s->tk, heads, w / heads, a->turned, a->k,
                     a->v, a->probs, t->dn, t->dx, t->dk, t->dv);
  // The queries' way: turned back, through their matrix and the norm.
  us_ops_rotate(p->base.device, rows, s->period, heads, w / heads, s->angles, -1, t->dx, (size_t)w);
  us_ops_linear_back(p->base.device, rows, w, w, a->norm1, x + b->query_w, t->dx, t->dn,
                     grad(g->trunk, b->query_w), grad(g->trunk, b->query_b));
  us_ops_norm_back(p->base.device, rows, w, a->q, x + b->norm1_gain, a->stats1, t->dn, t->dx,
                   grad(g->trunk, b->norm1_gain), grad(g->trunk, b->norm1_bias));
  us_ops_add(p->base.device, count, 1, t->dx, t->dq);
}

void pass_backward(const UsPredictor* p, const Pass* s, const Temps* m, const float* dout,
                   float* dlast, PassSink sink, void* arg, const Gradient* g) {
  PREDICTOR_SIZES(&p->c);
  const float* x = p->params;
  int rows = s->rows;
  // Head and last norm.
  us_ops_linear_back(p->base.device, rows, d, w, s->end_norm, x + p->at.head_w, dout, m->dn,
                     grad(g->trunk, p->at.head_w), grad(g->trunk, p->at.head_b));
  us_ops_norm_back(p->base.device, rows, w, s->end, x + p->at.last_gain, s->end_stats, m->dn, m->dq,
                   grad(g->trunk, p->at.last_gain), grad(g->trunk, p->at.last_bias));
  // Blocks in reverse; keys and values hand their gradients to the frames that they came from.
  for (int l = n - 1; l >= 0 && !us_interrupted(); l--) {
    block_backward(p, l, s, m, g);
    sink(arg, l, m->dk, m->dv, g->acts ? m->da : NULL);
  }
  // What is left belongs to the start of q.
  if (g->trunk) us_ops_add_rows_back(p->base.device, rows, 1, w, m->dq, g->trunk + p->at.query);
  if (!p->c.residual) return;
  us_ops_linear_back(p->base.device, rows, w, d, s->last, x + p->at.seed_w, m->dq, dlast,
                     grad(g->trunk, p->at.seed_w), grad(g->trunk, p->at.seed_b));
  if (dlast) us_ops_add(p->base.device, (size_t)rows * (size_t)d, 1, dout, dlast);
}

// ---- keys and values ----

void kv_forward(const UsPredictor* p, const float* transposed, int frames, const float* tokens,
                const float* angles, int period, float* both, const KvPlace* to) {
  PREDICTOR_SIZES(&p->c);
  int rows = frames * to->tokens, heads = p->c.heads;
  UsDense m = layer(p, transposed, rows, n * 2 * w, d, tokens, p->at.kv_w, p->at.kv_b, both);
  us_ops_dense(p->base.device, &m);
  us_ops_keys(p->base.device, rows, to->tokens, n, heads, w / heads, period, angles, both, to->k,
              to->v, to->block, to->frame);
}

void kv_backward(const UsPredictor* p, int rows, const float* tokens, const float* angles,
                 const KvCache* m, float* dtokens, float* g) {
  PREDICTOR_SIZES(&p->c);
  UsDevice* device = p->base.device;
  size_t each = (size_t)rows * (size_t)w, wide = (size_t)n * 2 * (size_t)w;
  // Gradients back into the order of the matrix, keys turned back.
  for (int l = 0; l < n; l++) {
    float* dk = m->dk + (size_t)l * each;
    float* both = m->both + (size_t)l * 2 * (size_t)w;
    us_ops_rotate(device, rows, rows, p->c.heads, w / p->c.heads, angles, -1, dk, (size_t)w);
    us_ops_copy_blocks(device, rows, w, dk, (size_t)w, both, wide);
    us_ops_copy_blocks(device, rows, w, m->dv + (size_t)l * each, (size_t)w, both + w, wide);
  }
  us_ops_linear_back(device, rows, n * 2 * w, d, tokens, p->params + p->at.kv_w, m->both, dtokens,
                     grad(g, p->at.kv_w), grad(g, p->at.kv_b));
}
