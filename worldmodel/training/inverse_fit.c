// Fitting both kinds of inverse model. Equations in inverse.h.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/ops.h"
#include "worldmodel/ops/ops_table.h"
#include "worldmodel/ops/cpu/lapack.h"
#include "worldmodel/training/inverse_inner.h"
#include "worldmodel/training/optimiser.h"

static UsStatus no_memory(void) {
  return us_fail(US_MEMORY, "inverse model: out of memory");
}

// ---- linear ----

enum { kChunk = 2048 };
static const double lambdas[] = {0.3, 1, 3, 10, 30, 100, 300, 1000, 3000};

typedef struct Ridge {
  size_t in, a, all;      // numbers of f, of an action, and of [f 1 a]
  float* joint;           // (kChunk, all)
  double *gram, *part;    // (all, all) of all steps and of a chunk
  double* work;           // (all, all)
  float *weights, *best;  // (A, in), then (A)
} Ridge;

// The products of [f 1 a] with itself over all steps, in chunks of one size.
static UsStatus add_products(const UsInverse* m, const UsTracks* tracks, const Step* step,
                             int64_t count, Ridge* r) {
  memset(r->gram, 0, r->all * r->all * sizeof(double));
  for (int64_t at = 0; at < count; at += kChunk) {
    int rows = count - at < kChunk ? (int)(count - at) : kChunk;
    for (int i = 0; i < rows; i++) {
      float* row = r->joint + (size_t)i * r->all;
      inverse_features(m, tracks, &step[at + i], row);
      row[r->in] = 1;
      memcpy(row + r->in + 1, tracks->actions + (size_t)step[at + i].row[1] * r->a,
             r->a * sizeof(float));
    }
    US_TRY(us_lapack_gram(rows, r->all, r->joint, 1, "inverse model", r->part));
    for (size_t i = 0; i < r->all * r->all; i++) r->gram[i] += r->part[i];
  }
  return US_OK;
}

// Solves for one lambda into r->weights; 0: the numbers are none.
static int solve(Ridge* r, double lambda) {
  size_t p = r->in + 1;
  memcpy(r->work, r->gram, r->all * r->all * sizeof(double));
  for (size_t i = 0; i < p; i++) r->work[i * r->all + i] += lambda;
  // F'A lies in the rows below F'F, an action's number a row.
  double* right = r->work + p * r->all;
  if (us_lapack_solve((int)p, (int)r->a, r->all, r->work, right) != 0) return 0;
  int finite = 1;
  for (size_t j = 0; j < r->a; j++) {
    for (size_t i = 0; i < r->in; i++) r->weights[j * r->in + i] = (float)right[j * r->all + i];
    r->weights[r->a * r->in + j] = (float)right[j * r->all + r->in];
    for (size_t i = 0; i < p; i++) finite &= isfinite(right[j * r->all + i]) != 0;
  }
  return finite;
}

// Every lambda, by R^2 on the held-back steps; ties to the smaller.
static UsStatus choose(UsInverse* m, const UsTracks* tracks, const Step* held, int64_t count,
                       Ridge* r) {
  size_t floats = r->a * r->in + r->a;
  double best = -INFINITY;
  for (size_t i = 0; i < sizeof(lambdas) / sizeof(*lambdas); i++) {
    double r2;
    if (!solve(r, lambdas[i])) continue;
    us_ops_put(m->d, m->linear, r->weights, floats);
    US_TRY(inverse_score(m, tracks, held, count, US_INVERSE_LINEAR, &r2));
    if (!(r2 > best)) continue;
    best = r2;
    m->f.lambda = lambdas[i];
    memcpy(r->best, r->weights, floats * sizeof(float));
  }
  if (!isfinite(best)) {
    return us_fail(US_FORMAT, "inverse model: expected finite latents and actions, found others");
  }
  us_ops_put(m->d, m->linear, r->best, floats);
  return US_OK;
}

UsStatus inverse_fit_linear(UsInverse* m, const UsTracks* tracks, const Step* step, int64_t count,
                            int64_t held) {
  Ridge r = {.in = (size_t)m->in, .a = (size_t)m->c.action};
  r.all = r.in + 1 + r.a;
  size_t floats = r.a * r.in + r.a;
  r.joint = malloc(kChunk * r.all * sizeof(float));
  r.gram = malloc(r.all * r.all * sizeof(double));
  r.part = malloc(r.all * r.all * sizeof(double));
  r.work = malloc(r.all * r.all * sizeof(double));
  r.weights = malloc(floats * sizeof(float));
  r.best = calloc(floats, sizeof(float));
  int ok = r.joint && r.gram && r.part && r.work && r.weights && r.best;
  UsStatus status = ok ? add_products(m, tracks, step, count, &r) : no_memory();
  if (status == US_OK) status = choose(m, tracks, step + count, held, &r);
  free(r.joint);
  free(r.gram);
  free(r.part);
  free(r.work);
  free(r.weights);
  free(r.best);
  return status;
}

// ---- network ----

static const float drop = 0.1f, beta = 0.3f;

// What fitting a member takes.
typedef struct Member {
  UsOptimiser* optimiser;
  Guess g;
  float *host, *masks;  // ordinary memory: actions (ROWS, A), masks (2, ROWS, HIDDEN)
  float* block;         // tensor memory of all below
  float *mask1, *mask2, *up1, *up2, *kept1, *kept2, *d1;  // (ROWS, HIDDEN)
  float *target, *dy;                                     // (ROWS, A)
  double* loss;
} Member;

typedef struct Fit {
  UsInverse* m;
  const UsTracks* tracks;
  const Step* step;
  int64_t count;
  int done;   // steps that all members have taken
  int steps;  // that they take now
  Member member[MEMBERS];
} Fit;

// A batch, drawn with replacement, and what is dropped in it.
static void draw(const Fit* f, Member* w, int index, int number) {
  const UsInverse* m = f->m;
  size_t a = (size_t)m->c.action;
  // Each member does without a part of its own, so that they differ where little is known.
  int64_t first = f->count * index / MEMBERS, last = f->count * (index + 1) / MEMBERS;
  UsRng rng = us_rng(m->c.seed, US_RNG_BATCH, (uint64_t)number, (uint64_t)index, 8);
  for (int r = 0; r < ROWS; r++) {
    int64_t at = us_rng_below(&rng, (uint32_t)(f->count - (last - first)));
    const Step* s = &f->step[at < first ? at : at + last - first];
    inverse_features(m, f->tracks, s, w->g.x + (size_t)r * (size_t)m->in);
    memcpy(w->host + (size_t)r * a, f->tracks->actions + (size_t)s->row[1] * a, a * sizeof(float));
  }
  rng = us_rng(m->c.seed, US_RNG_NOISE, (uint64_t)number, (uint64_t)index, 8);
  for (size_t i = 0; i < 2 * (size_t)ROWS * HIDDEN; i++) {
    w->masks[i] = us_rng_uniform(&rng) < drop ? 0 : 1 / (1 - drop);
  }
  us_ops_put(m->d, w->g.on, w->g.x, ROWS * (size_t)m->in);
  us_ops_put(m->d, w->target, w->host, ROWS * a);
  us_ops_put(m->d, w->mask1, w->masks, 2 * (size_t)ROWS * HIDDEN);
}

// There and back.
static void gradient(const UsInverse* m, Member* w, int index) {
  const size_t all = (size_t)ROWS * HIDDEN, out = (size_t)ROWS * (size_t)m->c.action;
  const int in = m->in, a = m->c.action;
  const float* p = m->members + (size_t)index * m->list.floats;
  float *g = us_optimiser_gradient(w->optimiser, 0), *y = w->g.y;
  UsDevice* d = m->d;
  us_ops_linear(d, ROWS, HIDDEN, in, w->g.on, p + m->w1, p + m->b1, w->up1);
  us_ops_gelu(d, all, w->up1, w->kept1);
  us_ops_multiply(d, all, w->mask1, w->kept1);
  us_ops_linear(d, ROWS, HIDDEN, HIDDEN, w->kept1, p + m->w2, p + m->b2, w->up2);
  us_ops_gelu(d, all, w->up2, w->kept2);
  us_ops_multiply(d, all, w->mask2, w->kept2);
  us_ops_linear(d, ROWS, a, in, w->g.on, p + m->through, p + m->b3, y);
  us_ops_linear(d, ROWS, a, HIDDEN, w->kept2, p + m->w3, NULL, y + out);
  us_ops_add(d, out, 1, y + out, y);
  us_ops_smooth_l1(d, out, beta, 1 / (float)out, y, w->target, NULL, 0, w->dy,
                   us_optimiser_losses(w->optimiser));
  us_ops_linear_back(d, ROWS, a, in, w->g.on, p + m->through, w->dy, NULL, g + m->through,
                     g + m->b3);
  us_ops_linear_back(d, ROWS, a, HIDDEN, w->kept2, p + m->w3, w->dy, w->d1, g + m->w3, NULL);
  us_ops_multiply(d, all, w->mask2, w->d1);
  us_ops_gelu_back(d, all, w->up2, w->d1, w->d1);
  us_ops_linear_back(d, ROWS, HIDDEN, HIDDEN, w->kept1, p + m->w2, w->d1, w->kept2, g + m->w2,
                     g + m->b2);
  us_ops_multiply(d, all, w->mask1, w->kept2);
  us_ops_gelu_back(d, all, w->up1, w->kept2, w->kept2);
  us_ops_linear_back(d, ROWS, HIDDEN, in, w->g.on, p + m->w1, w->kept2, NULL, g + m->w1, g + m->b1);
}

// The next steps of a member.
static void member_item(void* arg, int index, int worker) {
  Fit* f = arg;
  Member* w = &f->member[index];
  for (int i = 0; i < f->steps && !us_interrupted(); i++) {
    int number = f->done + i + 1;
    draw(f, w, index, number);
    gradient(f->m, w, index);
    us_optimiser_sum(w->optimiser, NULL);
    us_optimiser_update(w->optimiser, number, (double)number / f->m->c.steps, NULL);
  }
}

// First weights, drawn for each member, and the memory of its fit.
static UsStatus make_member(UsInverse* m, int index, Member* w) {
  const UsOptimiserConfig c = {.shards = 1,
                               .losses = 1,
                               .rate = 2e-3f,
                               .warmup = 50,
                               .beta2 = 0.99f,
                               .decay = 0.1f,
                               .clip = 1,
                               .lead = 0};
  const UsParamList* list = &m->list;
  float* params = m->members + (size_t)index * list->floats;
  size_t hidden = (size_t)ROWS * HIDDEN, out = (size_t)ROWS * (size_t)m->c.action;
  float* first = calloc(list->floats, sizeof(float));
  w->host = malloc(out * sizeof(float));
  w->masks = malloc(2 * hidden * sizeof(float));
  w->block = us_ops_alloc(m->d, 7 * hidden + 2 * out);
  if (!inverse_guess_create(m, &w->g) || !first || !w->host || !w->masks || !w->block) {
    free(first);
    return no_memory();
  }
  us_params_init(list, m->c.seed, 100 + index, first);
  us_ops_put(m->d, params, first, list->floats);
  free(first);
  float** const places[] = {&w->mask1, &w->mask2, &w->up1, &w->up2, &w->kept1, &w->kept2, &w->d1};
  for (int i = 0; i < 7; i++) *places[i] = w->block + (size_t)i * hidden;
  w->target = w->block + 7 * hidden;
  w->dy = w->target + out;
  return us_optimiser_create(m->d, &c, 1, &list, params, &w->optimiser);
}

UsStatus inverse_fit_network(UsInverse* m, const UsTracks* tracks, const Step* step, int64_t count,
                             UsPool* pool) {
  enum { kSteps = 25 };
  Fit* f = calloc(1, sizeof(*f));
  if (!f) return no_memory();
  *f = (Fit){.m = m, .tracks = tracks, .step = step, .count = count};
  UsStatus status = US_OK;
  for (int i = 0; i < MEMBERS && status == US_OK; i++) status = make_member(m, i, &f->member[i]);
  // The members side by side, each in one thread.
  UsProgress bar = us_progress_start("inverse model", "steps", m->c.steps, 0);
  while (status == US_OK && f->done < m->c.steps) {
    f->steps = m->c.steps - f->done < kSteps ? m->c.steps - f->done : kSteps;
    us_pool_run(m->d->wide ? NULL : pool, MEMBERS, member_item, f);
    f->done += f->steps;
    status = us_progress_step(&bar, f->done, "inverse model");
  }
  us_progress_end(&bar);
  for (int i = 0; i < MEMBERS; i++) {
    Member* w = &f->member[i];
    us_optimiser_destroy(w->optimiser);
    inverse_guess_destroy(m, &w->g);
    us_ops_free(m->d, w->block);
    free(w->host);
    free(w->masks);
  }
  free(f);
  return status == US_OK ? us_device_check(m->d, "inverse model") : status;
}
