// Forward and backward passes of the predictor over samples of T frames. Equations in predictor.h.
//
// A pass applies the blocks to `rows` queries: one pass for all teacher-forced targets of all
// samples, whose keys are masked, and one for each rolled-out frame, whose keys are the C frames
// before its group (its own is frame C + i, the group's first C + predictor_group(i)). A pass keeps
// what its backward needs; the tape owns the passes and the keys and values of real and of
// predicted frames, from which passes gather theirs.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/predictor/predictor_pass.h"

struct UsTape {
  UsDevice* device;
  UsLossConfig c;
  int context;         // C
  size_t one;          // G D, numbers of a frame
  int seen;            // T - 1 real frames that are keys
  int fed;             // k - 1 predicted frames that are fed back, at least 0
  void* block;         // tensor memory, all of it
  UsArena host;        // ordinary memory, all of it
  Layer* layers;       // (1 + fed, depth)
  Pass* pass;          // (1 + fed): teacher-forced, then frames C + 1 ..
  KvCache real;        // of (B, T - 1, G) tokens
  KvCache* own;        // (fed) of (B, G) tokens of predicted frame C + i
  float** fedback;     // (fed) (B, G, D) prediction of frame C + i
  float* raw;          // (B, T, G, D)
  uint16_t* bfloats;   // (B, T, G, D) where they come so
  float* tokens;       // (B, T, G, D) normalised
  float* keyed;        // (B, T - 1, G, D) the frames that are keys
  float* targets;      // (B, T, G, D) at most, gathered targets of a pass
  float* times;        // (B, T, G, pairs, 2) angles
  float* key_angles;   // (B, T - 1, G, pairs, 2)
  float** own_angles;  // (fed) (B, G, pairs, 2) of frame C + i
  float* all_actions;  // (B, T - 1, K, A)
  float* dactions;     // (B, T - 1, K, A) their gradient
  float* dout;         // (rows, D)
  float* dlast;        // (rows, D)
  float* dfed;         // (B, G, D)
  float* dnewest;      // (fed, B, G, D) what predicted frames get as the newest of a target
  float* weight;       // (B) of the samples
  int weighted;        // 1: the last shard had weights
  int told;            // 1: it had actions
  Temps temps;
  double* sums;        // (2, 1 + fed) tensor memory
  double* seen_sums;   // (2, 1 + fed) host
  uint8_t* mask;       // (tq, tk) of the first pass
  uint8_t* host_mask;  // host, the same
  float* angles;       // host (B, T, G, pairs, 2)
};

// ---- memory ----

static void place(const UsPredictorConfig* c, UsArena* m, UsTape* t) {
  PREDICTOR_SIZES(c);
  size_t g = (size_t)predictor_tokens(c), numbers = g * (size_t)d, b = (size_t)t->c.batch;
  size_t frames = (size_t)t->c.frames, turns = g * (size_t)predictor_pairs(c) * 2;
  // Activations of every pass; the first one sees the keys and values of real frames in place.
  for (int i = 0; i <= t->fed; i++) pass_place(c, m, &t->pass[i]);
  kv_place(c, m, (int)(b * (frames - 1) * g), &t->real);
  size_t each = b * (frames - 1) * g * (size_t)w;
  for (int l = 0; l < n && m->base; l++) {
    t->pass[0].layer[l].k = t->real.k + (size_t)l * each;
    t->pass[0].layer[l].v = t->real.v + (size_t)l * each;
  }
  // What predicted frames leave for later passes.
  for (int i = 0; i < t->fed; i++) {
    kv_place(c, m, (int)(b * g), &t->own[i]);
    t->fedback[i] = US_TAKE(m, float, (b * numbers));
    t->own_angles[i] = US_TAKE(m, float, (b * turns));
  }
  // The shard as it comes, normalised, and cut into what passes read.
  if (t->c.bfloat) t->bfloats = US_TAKE(m, uint16_t, (b * frames * numbers));
  t->raw = US_TAKE(m, float, (b * frames * numbers));
  t->tokens = US_TAKE(m, float, (b * frames * numbers));
  t->keyed = US_TAKE(m, float, (b * frames * numbers));
  t->targets = US_TAKE(m, float, (b * frames * numbers));
  t->times = US_TAKE(m, float, (b * frames * turns));
  t->key_angles = US_TAKE(m, float, (b * frames * turns));
  t->all_actions = US_TAKE(m, float, (b * frames * (size_t)predictor_block(c)));
  t->dactions = US_TAKE(m, float, (b * frames * (size_t)predictor_block(c)));
  // Gradients.
  t->dout = US_TAKE(m, float, (b * frames * numbers));
  t->dlast = US_TAKE(m, float, (b * frames * numbers));
  t->dfed = US_TAKE(m, float, (b * numbers));
  t->dnewest = US_TAKE(m, float, ((size_t)t->fed * b * numbers));
  t->weight = US_TAKE(m, float, b);
  t->sums = US_TAKE(m, double, 2 * (1 + t->fed));
  t->mask = US_TAKE(m, uint8_t, t->pass[0].tq * t->pass[0].tk);
  // Scratch for the largest pass.
  size_t rows = 0, keys = 0;
  for (int i = 0; i <= t->fed; i++) {
    const Pass* s = &t->pass[i];
    size_t seen = (size_t)s->batch * (size_t)s->tk;
    if ((size_t)s->rows > rows) rows = (size_t)s->rows;
    if (seen > keys) keys = seen;
  }
  t->temps.dq = US_TAKE(m, float, (rows * (size_t)w));
  t->temps.dn = US_TAKE(m, float, (rows * (size_t)j));
  t->temps.dx = US_TAKE(m, float, (rows * (size_t)j));
  t->temps.dj = US_TAKE(m, float, (rows * (size_t)j));
  t->temps.dh = US_TAKE(m, float, (rows * (size_t)(h > u ? h : u)));
  t->temps.dk = US_TAKE(m, float, (keys * (size_t)w));
  t->temps.dv = US_TAKE(m, float, (keys * (size_t)w));
  t->temps.da = US_TAKE(m, float, (rows / g * (size_t)predictor_inputs(c)));
}

static void place_host(const UsPredictorConfig* c, UsTape* t) {
  UsArena* a = &t->host;
  size_t passes = 1 + (size_t)t->fed, g = (size_t)predictor_tokens(c);
  size_t frames = (size_t)t->c.frames, targets = frames - (size_t)t->c.first;
  t->pass = US_TAKE(a, Pass, passes);
  t->layers = US_TAKE(a, Layer, passes * (size_t)c->depth);
  t->own = US_TAKE(a, KvCache, passes);
  t->fedback = US_TAKE(a, float*, passes);
  t->own_angles = US_TAKE(a, float*, passes);
  t->seen_sums = US_TAKE(a, double, 2 * passes);
  t->host_mask = US_TAKE(a, uint8_t, targets * g * (size_t)t->seen * g);
  t->angles = US_TAKE(a, float, (size_t)t->c.batch* frames* g*(size_t)predictor_pairs(c) * 2);
}

// A tape without its tensor memory, which is counted.
static UsTape* measure(const UsPredictor* p, const UsLossConfig* config, UsArena* a) {
  const UsPredictorConfig* c = &p->c;
  int g = predictor_tokens(c);
  UsTape* t = calloc(1, sizeof(*t));
  if (!t) return NULL;
  t->device = p->base.device;
  t->c = *config;
  // Defaults of the loss.
  if (!t->c.first) t->c.first = c->context;
  if (!(t->c.beta > 0)) t->c.beta = 1;
  if (!(t->c.weight > 0)) t->c.weight = 1;
  t->context = c->context;
  t->one = (size_t)g * (size_t)c->dim;
  US_ASSERT(t->c.batch > 0 && t->c.first >= 1 && t->c.first <= c->context);
  US_ASSERT(t->c.frames > c->context && t->c.rollout <= t->c.frames - c->context);
  t->seen = t->c.frames - 1;
  t->fed = t->c.rollout > 1 ? t->c.rollout - 1 : 0;
  size_t passes = 1 + (size_t)t->fed, depth = (size_t)c->depth;
  // All teacher-forced targets are the queries of the first pass; the others have one frame.
  int tq = (t->c.frames - t->c.first) * g, tk = t->seen * g;
  place_host(c, t);
  if (us_arena_alloc(&t->host) != US_OK) {
    free(t);
    return NULL;
  }
  place_host(c, t);
  for (size_t i = 0; i < passes; i++) {
    Pass* s = &t->pass[i];
    *s = (Pass){.batch = t->c.batch,
                .kept = 1,
                .borrows = i == 0,
                .tq = i ? g : tq,
                .tk = i ? c->context * g : tk};
    s->rows = s->period = s->batch * s->tq;
    s->stride = (size_t)s->tk * (size_t)c->width;
    s->layer = t->layers + i * depth;
  }
  // The band: target t sees frames t - C .. t - 1.
  for (int i = 0; i < tq; i++) {
    int target = t->c.first + i / g;
    for (int k = 0; k < tk; k++) {
      int frame = k / g;
      t->host_mask[(size_t)i * (size_t)tk + (size_t)k] =
          frame < target && frame >= target - c->context;
    }
  }
  place(c, a, t);
  return t;
}

UsTape* us_tape_create(const UsPredictor* p, const UsLossConfig* config) {
  UsArena a = {0};
  UsTape* t = measure(p, config, &a);
  if (!t) return NULL;
  if (us_ops_arena_alloc(t->device, &a) != US_OK) {
    us_tape_destroy(t);
    return NULL;
  }
  t->block = a.base;
  place(&p->c, &a, t);
  // Angles of the places never change; those of the times come with every shard.
  size_t turn = (size_t)predictor_tokens(&p->c) * (size_t)predictor_pairs(&p->c) * 2;
  for (int i = 0; i < t->c.batch * t->c.frames; i++) {
    predictor_angles(&p->c, 0, t->angles + (size_t)i * turn);
  }
  // The band goes to the device once.
  us_ops_put_bytes(t->device, t->mask, t->host_mask, (size_t)(t->pass[0].tq * t->pass[0].tk));
  t->pass[0].mask = t->mask;
  return t;
}

double us_tape_bytes(const UsPredictor* p, const UsLossConfig* config) {
  UsArena a = {0};
  us_tape_destroy(measure(p, config, &a));
  return (double)a.size;
}

void us_tape_destroy(UsTape* t) {
  if (!t) return;
  us_ops_free(t->device, t->block);
  us_arena_free(&t->host);
  free(t);
}

// ---- keys and values ----

// The cache that holds frame `frame` of all samples; in each of its arrays block l of it begins at
// *at for sample 0, and samples lie *stride apart.
static const KvCache* frame_place(const UsPredictor* p, const UsTape* t, int l, int frame,
                                  size_t* at, size_t* stride) {
  size_t one = (size_t)predictor_tokens(&p->c) * (size_t)p->c.width;  // floats of a frame
  int real = frame < p->c.context;
  *stride = real ? (size_t)t->seen * one : one;
  *at = (size_t)(l * t->c.batch) * *stride + (real ? (size_t)frame * one : 0);
  return real ? &t->real : &t->own[frame - p->c.context];
}

// Whether predicted frame C + i is one that others see: one of the last C of a group that another
// follows.
static int is_seen(const UsPredictorConfig* c, const UsTape* t, int i) {
  int next = predictor_group(c, i) + c->leap;
  return next <= t->fed && i >= next - c->context;
}

// Gathers block l's keys and values of rolled-out pass i from the frames it sees.
static void gather(const UsPredictor* p, const UsTape* t, int i, int l) {
  const Pass* s = &t->pass[i];
  int first = predictor_group(&p->c, i);
  size_t one = (size_t)predictor_tokens(&p->c) * (size_t)p->c.width;
  size_t sample = (size_t)p->c.context * one;
  for (int c = 0; c < p->c.context; c++) {
    size_t at, stride;
    const KvCache* from = frame_place(p, t, l, first + c, &at, &stride);
    us_ops_copy_blocks(p->base.device, s->batch, (int)one, from->k + at, stride,
                       s->layer[l].k + (size_t)c * one, sample);
    us_ops_copy_blocks(p->base.device, s->batch, (int)one, from->v + at, stride,
                       s->layer[l].v + (size_t)c * one, sample);
  }
}

// What is between two arrays of actions, those of the samples and those of a pass: rows of
// `numbers` of a target, `missing` of whose first blocks lie before the first frame and stay 0.
typedef struct Share {
  size_t from, to;  // floats into the samples' and into the pass's
  int numbers;
} Share;

// The share of target k of pass i.
static Share share_of(const UsPredictorConfig* c, const UsTape* t, int i, int k) {
  int ka = predictor_block(c), group = predictor_group(c, i), ahead = i - group + 1;
  int newest = (i ? c->context + group : t->c.first + k) - 1;  // that it sees
  int first = newest - c->past, missing = first < 0 ? -first : 0;
  return (Share){.from = (size_t)((first + missing) * ka),
                 .to = (size_t)(k * predictor_inputs(c) + missing * ka),
                 .numbers = (c->past + ahead - missing) * ka};
}

typedef struct Sink {
  const UsPredictor* p;
  const UsTape* t;
  int i;  // pass
} Sink;

// Adds gradients of block l's keys and values in pass i to the frames they came from, and that of
// its actions to the samples'.
static void scatter(void* arg, int l, const float* dk, const float* dv, const float* da) {
  const UsPredictor* p = ((Sink*)arg)->p;
  const UsTape* t = ((Sink*)arg)->t;
  int i = ((Sink*)arg)->i;
  const Pass* s = &t->pass[i];
  int count = s->tq / predictor_tokens(&p->c), ka = predictor_block(&p->c);
  for (int k = 0; da && k < count; k++) {
    Share a = share_of(&p->c, t, i, k);
    us_ops_add_blocks(p->base.device, s->batch, a.numbers, da + a.to,
                      (size_t)(count * predictor_inputs(&p->c)), t->dactions + a.from,
                      (size_t)(t->seen * ka));
  }
  if (i == 0) {
    size_t keys = (size_t)s->batch * (size_t)s->tk * (size_t)p->c.width;
    us_ops_add(p->base.device, keys, 1, dk, t->real.dk + (size_t)l * keys);
    us_ops_add(p->base.device, keys, 1, dv, t->real.dv + (size_t)l * keys);
    return;
  }
  size_t one = (size_t)predictor_tokens(&p->c) * (size_t)p->c.width;
  size_t sample = (size_t)p->c.context * one;
  int first = predictor_group(&p->c, i);
  for (int c = 0; c < p->c.context; c++) {
    size_t at, stride;
    const KvCache* to = frame_place(p, t, l, first + c, &at, &stride);
    us_ops_add_blocks(p->base.device, s->batch, (int)one, dk + (size_t)c * one, sample, to->dk + at,
                      stride);
    us_ops_add_blocks(p->base.device, s->batch, (int)one, dv + (size_t)c * one, sample, to->dv + at,
                      stride);
  }
}

// Backward of pass i from t->dout; its sink is the caches, and the newest frame that it saw where
// that was a predicted one.
static void backward(const UsPredictor* p, UsTape* t, int i, const Gradient* g) {
  Sink sink = {.p = p, .t = t, .i = i};
  size_t each = (size_t)t->c.batch * t->one;
  int newest = predictor_group(&p->c, i) - 1, fed = i > 0 && newest >= 0;
  pass_backward(p, &t->pass[i], &t->temps, t->dout, fed ? t->dlast : NULL, scatter, &sink, g);
  if (fed && p->c.residual) {
    us_ops_add(t->device, each, 1, t->dlast, t->dnewest + (size_t)newest * each);
  }
}

// The gradient of the prediction of frame C + i from the passes that it was fed to, into t->dfed; 0
// and nothing there where it ends with the matrix of keys and values.
static int fed_backward(const UsPredictor* p, UsTape* t, int i, const Gradient* g) {
  if (i == t->fed || !is_seen(&p->c, t, i)) return 0;
  size_t each = (size_t)t->c.batch * t->one;
  kv_backward(p, t->c.batch * predictor_tokens(&p->c), t->fedback[i], t->own_angles[i], &t->own[i],
              t->c.detach ? NULL : t->dfed, g->trunk);
  if (t->c.detach) return 0;
  if (p->c.residual) us_ops_add(t->device, each, 1, t->dnewest + (size_t)i * each, t->dfed);
  return 1;
}

// ---- the loss ----

void us_tape_load(const UsPredictor* p, UsTape* t, const UsBatch* shard) {
  const UsPredictorConfig* c = &p->c;
  US_ASSERT(shard->batch == t->c.batch && shard->frames == t->c.frames);
  int g = predictor_tokens(c), b = t->c.batch, frames = t->c.frames, ka = predictor_block(c);
  size_t one = (size_t)g * (size_t)c->dim, turn = (size_t)g * (size_t)predictor_pairs(c) * 2;
  // Angles count from the first frame of a sample.
  for (int i = 0; i < b * frames; i++) {
    double origin = shard->times[i / frames * frames];
    predictor_time_angles(c, shard->times[i] - origin, t->angles + (size_t)i * turn);
  }
  us_ops_put(p->base.device, t->times, t->angles, (size_t)(b * frames) * turn);
  us_batch_put(t->device, shard, (size_t)(b * frames) * one, t->bfloats, t->raw);
  t->weighted = shard->weight != NULL;
  if (t->weighted) us_ops_put(p->base.device, t->weight, shard->weight, (size_t)b);
  t->told = ka > 0 && shard->actions;
  if (t->told) {
    us_ops_put(p->base.device, t->all_actions, shard->actions,
               (size_t)(b * (frames - 1)) * (size_t)ka);
  }
}

// Gathers what the passes read of the shard that was loaded.
static void prepare(const UsPredictor* p, UsTape* t) {
  const UsPredictorConfig* c = &p->c;
  int g = predictor_tokens(c), b = t->c.batch, frames = t->c.frames, ka = predictor_block(c);
  int inputs = predictor_inputs(c);
  size_t one = (size_t)g * (size_t)c->dim, turn = (size_t)g * (size_t)predictor_pairs(c) * 2;
  us_predictor_normalise(p, b * frames * g, t->raw, t->tokens);

  // Frames that are keys: all but the last.
  size_t sample = (size_t)frames * one, angles = (size_t)frames * turn;
  us_ops_copy_blocks(p->base.device, b, (int)((size_t)t->seen * one), t->tokens, sample, t->keyed,
                     (size_t)t->seen * one);
  us_ops_copy_blocks(p->base.device, b, (int)((size_t)t->seen * turn), t->times, angles,
                     t->key_angles, (size_t)t->seen * turn);
  // Every pass gets its targets' angles and actions.
  for (int i = 0; i <= t->fed; i++) {
    const Pass* s = &t->pass[i];
    int from = i ? c->context + i : t->c.first, count = s->tq / g;  // target frames
    us_ops_copy_blocks(p->base.device, b, count * (int)turn, t->times + (size_t)from * turn, angles,
                       s->angles, (size_t)count * turn);
    // Actions (B, count, past + 1, K A); blocks before the first frame stay 0.
    for (int k = 0; k < count && ka > 0; k++) {
      Share a = share_of(c, t, i, k);
      us_ops_copy_blocks(t->device, b, a.numbers, t->all_actions + a.from, (size_t)(t->seen * ka),
                         s->actions + a.to, (size_t)(count * inputs));
    }
    if (i < t->fed) {
      us_ops_copy_blocks(p->base.device, b, (int)turn, t->times + (size_t)(c->context + i) * turn,
                         angles, t->own_angles[i], turn);
    }
  }
  // The token before each teacher-forced target.
  int count = frames - t->c.first;
  us_ops_copy_blocks(p->base.device, b, count * (int)one,
                     t->tokens + (size_t)(t->c.first - 1) * one, sample, t->pass[0].last,
                     (size_t)count * one);
}

// Keys and values of frames (frames, G, D) at angles (frames G, pairs, 2) into a cache of their
// own.
static void fill_kv(const UsPredictor* p, int frames, const float* tokens, const float* angles,
                    const KvCache* m) {
  size_t frame = (size_t)(predictor_tokens(&p->c) * p->c.width);
  const KvPlace to = {m->k, m->v, predictor_tokens(&p->c), (size_t)frames * frame, frame};
  kv_forward(p, NULL, frames, tokens, angles, frames * predictor_tokens(&p->c), m->both, &to);
}

static void forward(const UsPredictor* p, UsTape* t) {
  const UsPredictorConfig* c = &p->c;
  PREDICTOR_SIZES(c);
  int g = predictor_tokens(c), b = t->c.batch;
  size_t one = (size_t)g * (size_t)d;
  // Teacher-forced targets first.
  fill_kv(p, b * t->seen, t->keyed, t->key_angles, &t->real);
  pass_forward(p, &t->pass[0]);
  // Then frame by frame: a prediction is fed back where others see it, and its keys and values join
  // those of the others.
  for (int i = 0; i < t->fed; i++) {
    const Pass* s = &t->pass[i + 1];
    if (i == 0) {
      int count = t->c.frames - t->c.first;
      us_ops_copy_blocks(p->base.device, b, (int)one,
                         t->pass[0].out + (size_t)(c->context - t->c.first) * one,
                         (size_t)count * one, t->fedback[0], one);
    } else {
      us_ops_copy(p->base.device, t->pass[i].out, t->fedback[i], (size_t)b * one);
    }
    if (is_seen(c, t, i)) fill_kv(p, b, t->fedback[i], t->own_angles[i], &t->own[i]);
    for (int l = 0; l < n; l++) gather(p, t, i + 1, l);
    // The newest frame that it sees: the last of the group before it, or a real one.
    int newest = predictor_group(c, i + 1) - 1;
    if (newest >= 0) us_ops_copy(p->base.device, t->fedback[newest], s->last, (size_t)b * one);
    if (newest < 0) {
      us_ops_copy_blocks(p->base.device, b, (int)one, t->tokens + (size_t)(c->context - 1) * one,
                         (size_t)t->c.frames * one, s->last, one);
    }
    pass_forward(p, s);
  }
}

// Loss of pass i times scale into *sum; its gradient goes to t->dout.
static void pass_loss(const UsPredictor* p, UsTape* t, int i, double scale, int gradient,
                      double* sum) {
  const Pass* s = &t->pass[i];
  // Target frames in the order of the pass's rows.
  size_t one = (size_t)predictor_tokens(&p->c) * (size_t)p->c.dim;
  size_t count = (size_t)(s->tq / predictor_tokens(&p->c)) * one;
  int from = i ? p->c.context + i : t->c.first;
  us_ops_copy_blocks(p->base.device, s->batch, (int)count, t->tokens + (size_t)from * one,
                     (size_t)t->c.frames * one, t->targets, count);
  us_ops_smooth_l1(p->base.device, (size_t)s->rows * (size_t)p->c.dim, t->c.beta, (float)scale,
                   s->out, t->targets, t->weighted ? t->weight : NULL, count,
                   gradient ? t->dout : NULL, sum);
}

static void clear_kv(const UsPredictor* p, int rows, const KvCache* m) {
  size_t floats = (size_t)p->c.depth * (size_t)rows * (size_t)p->c.width;
  us_ops_zero(p->base.device, m->dk, floats);
  us_ops_zero(p->base.device, m->dv, floats);
}

void us_predictor_loss(const UsPredictor* p, UsTape* t, const UsBatch* shard, int total,
                       int action_only, float* gradient, double* sums) {
  const UsPredictorConfig* c = &p->c;
  int g = predictor_tokens(c), b = t->c.batch, count = t->c.frames - t->c.first;
  size_t one = (size_t)g * (size_t)c->dim;
  double numbers = (double)total * (double)one;
  double teacher_scale = 1 / (numbers * count), roll_scale = t->fed ? 1 / (numbers * t->fed) : 0;
  if (shard) us_tape_load(p, t, shard);
  const Gradient grads = {.trunk = action_only ? NULL : gradient,
                          .action = gradient,
                          .acts = c->action > 0 && !t->told};

  if (!sums) sums = t->sums;
  // Forward: all predictions of the shard.
  prepare(p, t);
  forward(p, t);
  // Backward, last frame first: what a predicted frame gets from the passes behind it adds to its
  // own loss.
  if (gradient) {
    clear_kv(p, b * t->seen * g, &t->real);
    for (int i = 0; i < t->fed; i++) clear_kv(p, b * g, &t->own[i]);
    us_ops_zero(p->base.device, t->dnewest, (size_t)(t->fed * b) * one);
    us_ops_zero(p->base.device, t->dactions, (size_t)(b * t->seen * predictor_block(c)));
  }
  for (int i = t->fed; i >= 1; i--) {
    pass_loss(p, t, i, roll_scale * t->c.weight, gradient != NULL, sums + i);
    if (!gradient) continue;
    if (fed_backward(p, t, i, &grads)) {
      us_ops_add(p->base.device, (size_t)b * one, 1, t->dfed, t->dout);
    }
    backward(p, t, i, &grads);
  }
  // The teacher-forced pass holds the prediction that was fed back first.
  pass_loss(p, t, 0, teacher_scale, gradient != NULL, sums);
  if (!gradient) return;
  if (fed_backward(p, t, 0, &grads)) {
    us_ops_add_blocks(p->base.device, b, (int)one, t->dfed, one,
                      t->dout + (size_t)(c->context - t->c.first) * one, (size_t)count * one);
  }
  backward(p, t, 0, &grads);
  // The keys and values of real frames have collected their gradients from all passes.
  if (!action_only) {
    kv_backward(p, b * t->seen * g, t->keyed, t->key_angles, &t->real, NULL, gradient);
  }
}

UsLosses us_losses_of(const UsLossConfig* config, const double* sums) {
  double weight = config->weight > 0 ? config->weight : 1;
  UsLosses out = {.teacher = sums[0]};
  for (int i = config->rollout - 1; i >= 1; i--) out.rollout += sums[i] / weight;
  return out;
}

UsLosses us_tape_losses(UsTape* t) {
  us_ops_get_sums(t->device, t->sums, t->seen_sums, (size_t)t->fed + 1);
  return us_losses_of(&t->c, t->seen_sums);
}

float* us_tape_actions(UsTape* t) {
  return t->all_actions;
}

const float* us_tape_action_gradient(const UsTape* t) {
  return t->dactions;
}

UsStatus us_predictor_balance(UsPredictor* p, const UsTape* t, int samples) {
  PREDICTOR_SIZES(&p->c);
  const Pass* s = &t->pass[0];
  UsDevice* device = p->base.device;
  US_ASSERT(samples > 0 && samples <= s->batch);
  size_t rows = (size_t)(samples * s->tq), stats = 2 * rows,
         inputs = (size_t)predictor_inputs(&p->c);
  size_t numbers = rows / (size_t)predictor_tokens(&p->c) * inputs;
  float* host = malloc((stats + numbers + inputs) * sizeof(float));
  if (!host) return us_fail(US_MEMORY, "out of memory for the scale of actions");
  // The actions as the blocks see them.
  double squares = 0;
  us_ops_get(device, s->actions, host + stats, numbers);
  for (size_t i = 0; i < numbers; i++) squares += (double)host[stats + i] * (double)host[stats + i];
  // Those behind a target, which lies one block ahead here, do not count.
  squares *= (double)(p->c.past + p->c.leap) / (p->c.past + 1);
  for (int l = 0; l < n && squares > 0; l++) {
    // What the joint norm multiplies them by, row by row (mean, 1 / deviation).
    double factor = 0;
    us_ops_get(device, s->layer[l].stats3, host, stats);
    for (size_t r = 0; r < rows; r++) factor += (double)host[2 * r + 1] / (double)rows;
    float gain = (float)(1 / (factor * sqrt(squares / (double)numbers)));
    for (size_t i = 0; i < inputs; i++) host[stats + numbers + i] = gain;
    us_ops_put(device, p->params + p->block[l].norm3_gain + (size_t)w, host + stats + numbers,
               inputs);
  }
  free(host);
  return US_OK;
}

// ---- what the last call predicted ----

// Prediction of frame C + j into out (B, G, D), tensor memory.
static void predicted(const UsTape* t, int j, float* out) {
  size_t one = t->one, count = (size_t)(t->c.frames - t->c.first);
  const float* from = t->pass[j].out;
  if (j == 0) from += (size_t)(t->context - t->c.first) * one;
  us_ops_copy_blocks(t->device, t->c.batch, (int)one, from, j == 0 ? count * one : one, out, one);
}

void us_tape_predictions(UsTape* t, float* teacher, float* rollout) {
  size_t each = (size_t)t->c.batch * t->one;
  if (teacher)
    us_ops_get(t->device, t->pass[0].out, teacher, each * (size_t)(t->c.frames - t->c.first));
  for (int j = 0; rollout && j <= t->fed; j++) {
    predicted(t, j, t->dout);
    us_ops_get(t->device, t->dout, rollout + (size_t)j * each, each);
  }
}

void us_tape_error_sums(UsTape* t, double* errors) {
  size_t one = t->one, sample = (size_t)t->c.frames * one, each = (size_t)t->c.batch * one;
  size_t count = (size_t)t->fed + 1;
  float scale = (float)(1 / (double)each);
  for (int j = 0; j <= t->fed; j++) {
    us_ops_copy_blocks(t->device, t->c.batch, (int)one, t->tokens + (size_t)(t->context + j) * one,
                       sample, t->targets, one);
    predicted(t, j, t->dout);
    us_ops_squared_error(t->device, each, scale, t->dout, t->targets, NULL, NULL, errors + j);
    us_ops_copy_blocks(t->device, t->c.batch, (int)one, t->tokens + (size_t)(t->context - 1) * one,
                       sample, t->dout, one);
    us_ops_squared_error(t->device, each, scale, t->dout, t->targets, NULL, NULL,
                         errors + count + (size_t)j);
  }
}

void us_tape_errors(UsTape* t, double* error, double* copy) {
  size_t count = (size_t)t->fed + 1;
  us_tape_error_sums(t, t->sums);
  us_ops_get_sums(t->device, t->sums, t->seen_sums, 2 * count);
  memcpy(error, t->seen_sums, count * sizeof(double));
  memcpy(copy, t->seen_sums + count, count * sizeof(double));
}
