// The success head: its two passes, its fit, its file. Equations in success_head.h.
//
// Frames and goals go through the same layers, as rows 0 .. R - 1 and R .. 2 R - 1 of one batch, so
// the backward pass of the difference is that of the frames and, with its sign turned, that of the
// goals.

#include "worldmodel/success_head.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/ops.h"
#include "worldmodel/param_list.h"
#include "worldmodel/training/optimiser.h"

enum {
  HIDDEN = 256,  // of a frame
  EMBED = 48,    // numbers of e
  LAST = 64,     // of a pair
  FRAME = 512,   // most numbers of p, but for many tokens
  LEAST = 2,     // numbers of p_t
  BATCH = 256,   // pairs of a step
  STEPS = 3000,
  HELD = 16384
};

// field, flags, rows, columns
#define HEAD(X)                                             \
  X(w0, US_PARAM_NORMAL | US_PARAM_DECAY, h->each, h->dim)  \
  X(b0, 0, h->each, 0)                                      \
  X(w1, US_PARAM_NORMAL | US_PARAM_DECAY, HIDDEN, h->frame) \
  X(b1, 0, HIDDEN, 0)                                       \
  X(w2, US_PARAM_NORMAL | US_PARAM_DECAY, EMBED, HIDDEN)    \
  X(b2, 0, EMBED, 0)                                        \
  X(w3, US_PARAM_NORMAL | US_PARAM_DECAY, LAST, EMBED)      \
  X(b3, 0, LAST, 0)                                         \
  X(w4, US_PARAM_NORMAL | US_PARAM_DECAY, 1, LAST)          \
  X(b4, 0, 1, 0)                                            \
  X(figures, US_PARAM_FIXED, 6, 0)

struct UsSuccessHead {
  UsDevice* d;
  int tokens, dim;  // G, D
  int each, frame;  // numbers of p_t and of p
  UsSuccessFigures f;
  UsParamList list;
#define X(field, flags, rows, columns) size_t field;
  HEAD(X)
#undef X
  float* w;  // (list.floats) tensor memory
};

// What both passes take, tensor memory, of R pairs.
#define WORK(X)                  \
  X(p, 2 * r * (size_t)h->frame) \
  X(up1, 2 * r * HIDDEN)         \
  X(h1, 2 * r * HIDDEN)          \
  X(e, 2 * r * EMBED)            \
  X(apart, r* EMBED)             \
  X(q, r* EMBED)                 \
  X(up3, r* LAST)                \
  X(h3, r* LAST)

struct UsSuccessWork {
  int rows;
  float* block;
#define X(name, count) float* name;
  WORK(X)
#undef X
};

static UsStatus no_memory(void) {
  return us_fail(US_MEMORY, "success head: out of memory");
}

// ---- making ----

// A head without weights; NULL: out of memory.
static UsSuccessHead* make(int tokens, int dim, UsDevice* device) {
  UsSuccessHead* h = calloc(1, sizeof(*h));
  if (!h) return NULL;
  h->d = device ? device : us_device_cpu();
  h->tokens = tokens;
  h->dim = dim;
  // Few tokens keep all their numbers, of many each keeps a few.
  h->each = FRAME / tokens < LEAST ? LEAST : FRAME / tokens;
  if (h->each > dim) h->each = dim;
  h->frame = tokens * h->each;
#define X(field, flags, rows, columns) \
  h->field = us_params_add(&h->list, "", #field, flags, rows, columns, 0, 0);
  HEAD(X)
#undef X
  if (!h->list.failed) h->w = us_ops_alloc(h->d, h->list.floats);
  if (h->w) return h;
  us_success_destroy(h);
  return NULL;
}

void us_success_destroy(UsSuccessHead* h) {
  if (!h) return;
  us_ops_free(h->d, h->w);
  us_params_free(&h->list);
  free(h);
}

const UsSuccessFigures* us_success_figures(const UsSuccessHead* h) {
  return &h->f;
}

static size_t place(const UsSuccessHead* h, UsSuccessWork* w) {
  size_t r = (size_t)w->rows, at = 0;
#define X(name, count) w->name = w->block ? w->block + at : NULL, at += ((count) + 15) / 16 * 16;
  WORK(X)
#undef X
  return at;
}

UsSuccessWork* us_success_work_create(const UsSuccessHead* h, int rows) {
  UsSuccessWork* w = calloc(1, sizeof(*w));
  if (!w) return NULL;
  w->rows = rows;
  w->block = us_ops_alloc(h->d, place(h, w));
  place(h, w);
  if (w->block) return w;
  us_success_work_destroy(h, w);
  return NULL;
}

void us_success_work_destroy(const UsSuccessHead* h, UsSuccessWork* w) {
  if (!w) return;
  us_ops_free(h->d, w->block);
  free(w);
}

// ---- forward ----

// p of `rows` frames x (rows, G, D).
static void project(const UsSuccessHead* h, int rows, const float* x, float* p) {
  us_ops_linear(h->d, rows * h->tokens, h->each, h->dim, x, h->w + h->w0, h->w + h->b0, p);
}

void us_success_margin(const UsSuccessHead* h, UsSuccessWork* w, int rows, const float* now,
                       const float* goal, float* margin) {
  const size_t r = (size_t)rows, half = r * EMBED;
  const float* p = h->w;
  UsDevice* d = h->d;
  US_ASSERT(rows >= 1 && rows <= w->rows);
  // Frames and goals, one behind the other.
  project(h, rows, now, w->p);
  project(h, rows, goal, w->p + r * (size_t)h->frame);
  us_ops_linear(d, 2 * rows, HIDDEN, h->frame, w->p, p + h->w1, p + h->b1, w->up1);
  us_ops_gelu(d, 2 * r * HIDDEN, w->up1, w->h1);
  us_ops_linear(d, 2 * rows, EMBED, HIDDEN, w->h1, p + h->w2, p + h->b2, w->e);
  // How they differ.
  us_ops_copy(d, w->e, w->apart, half);
  us_ops_add(d, half, -1, w->e + half, w->apart);
  us_ops_copy(d, w->apart, w->q, half);
  us_ops_multiply(d, half, w->apart, w->q);
  us_ops_linear(d, rows, LAST, EMBED, w->q, p + h->w3, p + h->b3, w->up3);
  us_ops_gelu(d, r * LAST, w->up3, w->h3);
  us_ops_linear(d, rows, 1, LAST, w->h3, p + h->w4, p + h->b4, margin);
}

// ---- the fit ----

// What it takes beside a pass.
typedef struct Fit {
  UsSuccessHead* h;
  UsSuccessSource source;
  void* from;
  UsOptimiser* optimiser;
  UsSuccessWork* w;
  size_t one;                       // G D
  float *host, *target;             // ordinary: (2, BATCH, one), (BATCH)
  float* block;                     // tensor memory of all below
  float *now, *goal;                // (BATCH, one)
  float *y, *wish, *dy;             // (BATCH)
  float *dh3, *dq, *de, *dh1, *dp;  // gradients of the work's areas
} Fit;

// Fills a batch from pair `b` on; solved (BATCH) as the source says.
static void draw(Fit* f, int held, int64_t step, int b, int rows) {
  for (int r = 0; r < rows; r++) {
    int solved = 0;
    float* now = f->host + (size_t)r * f->one;
    f->source(f->from, held, step, b + r, now, now + BATCH * f->one, &solved);
    f->target[r] = solved ? 1 : -1;
  }
  us_ops_put(f->h->d, f->now, f->host, 2 * BATCH * f->one);
  us_ops_put(f->h->d, f->wish, f->target, BATCH);
}

// There and back.
static void gradient(Fit* f) {
  const UsSuccessHead* h = f->h;
  const UsSuccessWork* w = f->w;
  const float* p = h->w;
  const size_t half = BATCH * EMBED;
  UsDevice* d = h->d;
  float* g = us_optimiser_gradient(f->optimiser, 0);
  us_success_margin(h, f->w, BATCH, f->now, f->goal, f->y);
  us_ops_squared_error(d, BATCH, 1.0f / BATCH, f->y, f->wish, NULL, f->dy,
                       us_optimiser_losses(f->optimiser));
  us_ops_linear_back(d, BATCH, 1, LAST, w->h3, p + h->w4, f->dy, f->dh3, g + h->w4, g + h->b4);
  us_ops_gelu_back(d, BATCH * LAST, w->up3, f->dh3, f->dh3);
  us_ops_linear_back(d, BATCH, LAST, EMBED, w->q, p + h->w3, f->dh3, f->dq, g + h->w3, g + h->b3);
  // q = apart^2: of the frame 2 apart dq, of the goal minus that.
  us_ops_multiply(d, half, w->apart, f->dq);
  us_ops_zero(d, f->de, 2 * half);
  us_ops_add(d, half, 2, f->dq, f->de);
  us_ops_add(d, half, -2, f->dq, f->de + half);
  us_ops_linear_back(d, 2 * BATCH, EMBED, HIDDEN, w->h1, p + h->w2, f->de, f->dh1, g + h->w2,
                     g + h->b2);
  us_ops_gelu_back(d, (size_t)2 * BATCH * HIDDEN, w->up1, f->dh1, f->dh1);
  us_ops_linear_back(d, 2 * BATCH, HIDDEN, h->frame, w->p, p + h->w1, f->dh1, f->dp, g + h->w1,
                     g + h->b1);
  // Latents of frames and goals lie one behind the other too.
  us_ops_linear_back(d, 2 * BATCH * h->tokens, h->each, h->dim, f->now, p + h->w0, f->dp, NULL,
                     g + h->w0, g + h->b0);
}

static UsStatus train(Fit* f, const UsSuccessConfig* c) {
  enum { kUnread = 25 };
  const int steps = c->steps ? c->steps : STEPS;
  const UsOptimiserConfig o = {.shards = 1,
                               .losses = 1,
                               .unread = kUnread,
                               .rate = 2e-3f,
                               .warmup = 50,
                               .beta2 = 0.99f,
                               .decay = 0.02f,
                               .clip = 1};
  const UsParamList* list = &f->h->list;
  float* first = calloc(list->floats, sizeof(float));
  if (!first) return no_memory();
  us_params_init(list, c->seed, 200, first);
  us_ops_put(f->h->d, f->h->w, first, list->floats);
  free(first);
  US_TRY(us_optimiser_create(f->h->d, &o, 1, &list, f->h->w, &f->optimiser));
  // A fixed number of steps; what they were is looked at now and then.
  UsProgress bar = us_progress_start("success", "steps", steps, 0);
  UsStatus status = US_OK;
  for (int step = 1; step <= steps && status == US_OK; step++) {
    draw(f, 0, step, 0, BATCH);
    gradient(f);
    us_optimiser_sum(f->optimiser, NULL);
    us_optimiser_update(f->optimiser, step, (double)step / steps, NULL);
    if (step % kUnread && step < steps) continue;
    const UsStepFigures* seen;
    int n = us_optimiser_read(f->optimiser, &seen);
    status = us_progress_step(&bar, step, "success head");
    if (status == US_OK && !seen[n - 1].finite) {
      status = us_fail(US_DIVERGED, "success head: diverged at step %d", step);
    }
  }
  us_progress_end(&bar);
  return status;
}

// ---- how good ----

typedef struct Scored {
  float y;
  int solved;
} Scored;

static int higher(const void* a, const void* b) {
  const Scored *x = a, *z = b;
  return x->y > z->y ? -1 : x->y < z->y;
}

// Figures from scores in falling order: the area under the ROC curve is the share of pairs of a
// solved and another one that are in the right order, ties counting half.
static UsSuccessFigures figure(int n, const Scored* s) {
  UsSuccessFigures f = {.pairs = n};
  double above = 0, others = 0;
  for (int i = 0; i < n; i++) f.solved += s[i].solved;
  for (int i = 0, end; i < n; i = end) {
    double yes = 0, no = 0;
    for (end = i; end < n && s[end].y == s[i].y; end++) {
      yes += s[end].solved;
      no += !s[end].solved;
    }
    above += yes * (n - f.solved - others - no / 2);
    others += no;
  }
  f.auroc = above / ((double)f.solved * (double)(n - f.solved));
  // As many are called solved as are.
  f.threshold = 0.5 * ((double)s[f.solved - 1].y + (double)s[f.solved].y);
  for (int i = 0; i < n; i++) {
    if (!((double)s[i].y > f.threshold)) continue;
    f.hits += s[i].solved / (double)f.solved;
    f.alarms += !s[i].solved / (double)(n - f.solved);
  }
  return f;
}

static UsStatus judge(Fit* f, int n) {
  UsSuccessHead* h = f->h;
  Scored* s = calloc((size_t)n, sizeof(*s));
  float y[BATCH];
  if (!s) return no_memory();
  int64_t solved = 0;
  for (int at = 0; at < n && !us_interrupted(); at += BATCH) {
    int rows = n - at < BATCH ? n - at : BATCH;
    draw(f, 1, 0, at, rows);
    us_success_margin(h, f->w, BATCH, f->now, f->goal, f->y);
    us_ops_get(h->d, f->y, y, BATCH);
    for (int r = 0; r < rows; r++) {
      s[at + r] = (Scored){y[r], f->target[r] > 0};
      solved += s[at + r].solved;
    }
  }
  UsStatus status = us_interrupt_check("success head");
  if (status == US_OK) status = us_device_check(h->d, "success head");
  if (status == US_OK && (solved == 0 || solved == n)) {
    status = us_fail(US_FORMAT, "success head: expected held-back pairs of both kinds, found %s",
                     solved ? "solved ones alone" : "none that is solved");
  }
  if (status == US_OK) {
    qsort(s, (size_t)n, sizeof(*s), higher);
    h->f = figure(n, s);
    // What is above 0 from now on is solved.
    float bias;
    us_ops_get(h->d, h->w + h->b4, &bias, 1);
    bias -= (float)h->f.threshold;
    us_ops_put(h->d, h->w + h->b4, &bias, 1);
    const UsSuccessFigures* g = &h->f;
    const float figures[6] = {(float)g->auroc,  (float)g->threshold, (float)g->hits,
                              (float)g->alarms, (float)g->pairs,     (float)g->solved};
    us_ops_put(h->d, h->w + h->figures, figures, 6);
  }
  free(s);
  return status;
}

static UsStatus make_fit(Fit* f) {
  const UsSuccessHead* h = f->h;
  f->one = (size_t)h->tokens * (size_t)h->dim;
  const size_t latents = BATCH * f->one, frames = (size_t)2 * BATCH * (size_t)h->frame;
  const size_t hidden = (size_t)2 * BATCH * HIDDEN, embed = BATCH * EMBED, last = BATCH * LAST;
  f->host = calloc(2 * latents, sizeof(float));
  f->target = calloc(BATCH, sizeof(float));
  f->w = us_success_work_create(h, BATCH);
  f->block = us_ops_alloc(h->d, 2 * latents + 3 * BATCH + last + 3 * embed + hidden + frames);
  if (!f->host || !f->target || !f->w || !f->block) return no_memory();
  f->now = f->block;
  f->goal = f->now + latents;
  f->y = f->goal + latents;
  f->wish = f->y + BATCH;
  f->dy = f->wish + BATCH;
  f->dh3 = f->dy + BATCH;
  f->dq = f->dh3 + last;
  f->de = f->dq + embed;
  f->dh1 = f->de + 2 * embed;
  f->dp = f->dh1 + hidden;
  return US_OK;
}

UsStatus us_success_fit(const UsSuccessConfig* config, UsSuccessSource source, void* from,
                        UsSuccessHead** out) {
  *out = NULL;
  US_ASSERT(config->tokens >= 1 && config->dim >= 1 && config->steps >= 0 && config->held >= 0);
  Fit f = {.h = make(config->tokens, config->dim, config->device), .source = source, .from = from};
  if (!f.h) return no_memory();
  UsStatus status = make_fit(&f);
  if (status == US_OK) status = train(&f, config);
  if (status == US_OK) status = judge(&f, config->held ? config->held : HELD);
  us_optimiser_destroy(f.optimiser);
  us_success_work_destroy(f.h, f.w);
  us_ops_free(f.h->d, f.block);
  free(f.host);
  free(f.target);
  if (status == US_OK) *out = f.h;
  if (status != US_OK) us_success_destroy(f.h);
  return status;
}

// ---- the file ----

UsStatus us_success_save(const UsSuccessHead* h, const char* path) {
  float* host = malloc(h->list.floats * sizeof(float));
  if (!host) return no_memory();
  us_ops_get(h->d, h->w, host, h->list.floats);
  UsStatus status = us_device_check(h->d, path);
  if (status == US_OK) status = us_params_write(&h->list, path, host);
  free(host);
  return status;
}

// The figures as they stand in the file, which has to be a head's.
static UsStatus read_figures(const char* path, const float* x, UsSuccessFigures* f) {
  *f = (UsSuccessFigures){.auroc = (double)x[0],
                          .threshold = (double)x[1],
                          .hits = (double)x[2],
                          .alarms = (double)x[3],
                          .pairs = (int64_t)fminf(fmaxf(x[4], 0), 1e9f),
                          .solved = (int64_t)fminf(fmaxf(x[5], 0), 1e9f)};
  if (f->auroc >= 0 && f->auroc <= 1 && f->solved <= f->pairs) return US_OK;
  return us_fail(US_FORMAT, "%s: expected figures of a success head, found an AUROC of %g", path,
                 f->auroc);
}

UsStatus us_success_open(const char* path, int tokens, int dim, UsDevice* device,
                         UsSuccessHead** out) {
  *out = NULL;
  UsTensors* t = NULL;
  US_TRY(us_tensors_open(path, &t));
  UsSuccessHead* h = make(tokens, dim, device);
  float* host = h ? calloc(h->list.floats, sizeof(float)) : NULL;
  UsStatus status = host ? us_params_read(&h->list, t, "", 0, host) : no_memory();
  if (status == US_OK) status = us_params_refuse_rest(&h->list, t, "", 0, NULL);
  if (status == US_OK) status = read_figures(path, host + h->figures, &h->f);
  if (status == US_OK) us_ops_put(h->d, h->w, host, h->list.floats);
  us_tensors_close(t);
  free(host);
  if (status == US_OK) *out = h;
  if (status != US_OK) us_success_destroy(h);
  return status;
}
