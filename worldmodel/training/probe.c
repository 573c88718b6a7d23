// Probes of features.
//
//   linear:  w = (X'X + n ridge)^-1 X'Y by Cholesky, in double
//   network: p = W2 gelu(W1 x + b1) + b2, loss = mean squared error

#include "worldmodel/probe.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "worldmodel/base/arena.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/ops.h"
#include "worldmodel/ops/cpu/lapack.h"
#include "worldmodel/param_list.h"
#include "worldmodel/training/optimiser.h"

enum { HIDDEN = 256, BATCH = 128, STEPS = 4000, WARM = 100 };
static const double ridge = 1e-4;

// The network: field, flags, rows, columns.
#define NETWORK(X)                                             \
  X(w1, US_PARAM_NORMAL | US_PARAM_DECAY, HIDDEN, (int)q->in)  \
  X(b1, 0, HIDDEN, 0)                                          \
  X(w2, US_PARAM_NORMAL | US_PARAM_DECAY, (int)q->out, HIDDEN) \
  X(b2, 0, (int)q->out, 0)

typedef struct Probe {
  size_t n_train, n_test, in, out;
  // ordinary memory
  float *x, *y;           // standardised training rows (n_train, in), (n_train, out)
  float *xt, *yt;         // the same for the test rows
  float* guess;           // (n_test, out)
  float *rows, *targets;  // a batch (BATCH, in), (BATCH, out)
  float* joint;           // (n_train, in + out): x and y side by side
  double* gram;           // (in + out, in + out)
  float* first;           // (list.floats): first weights
  // tensor memory
  UsDevice* d;
  UsParamList list;
  UsOptimiser* optimiser;
  float* w;                          // (list.floats)
  float *bx, *by;                    // a batch (BATCH, in), (BATCH, out)
  float *hidden, *active, *dhidden;  // (BATCH, HIDDEN)
  float *p, *dp;                     // (BATCH, out)
  // offsets into w
#define X(field, flags, rows, columns) size_t field;
  NETWORK(X)
#undef X
} Probe;

// What lies in ordinary memory, and in tensor memory.
static void layout(Probe* q, UsArena* a, UsArena* t) {
  size_t in = q->in, out = q->out, rows = BATCH * in, targets = BATCH * out;
  q->x = US_TAKE(a, float, in * q->n_train);
  q->y = US_TAKE(a, float, out * q->n_train);
  q->xt = US_TAKE(a, float, in * q->n_test);
  q->yt = US_TAKE(a, float, out * q->n_test);
  q->guess = US_TAKE(a, float, out * q->n_test);
  q->rows = US_TAKE(a, float, rows);
  q->targets = US_TAKE(a, float, targets);
  q->joint = US_TAKE(a, float, (in + out) * q->n_train);
  q->gram = US_TAKE(a, double, (in + out) * (in + out));
  q->first = US_TAKE(a, float, q->list.floats);
  q->w = US_TAKE(t, float, q->list.floats);
  q->bx = US_TAKE(t, float, rows);
  q->by = US_TAKE(t, float, targets);
  q->hidden = US_TAKE(t, float, BATCH* HIDDEN);
  q->active = US_TAKE(t, float, BATCH* HIDDEN);
  q->dhidden = US_TAKE(t, float, BATCH* HIDDEN);
  q->p = US_TAKE(t, float, targets);
  q->dp = US_TAKE(t, float, targets);
}

// Standardises the columns of train (n, width) and test (nt, width), both into a and b.
static void standardise(size_t n, size_t nt, size_t width, const float* train, const float* test,
                        float* a, float* b) {
  for (size_t c = 0; c < width; ++c) {
    double mean = 0.0, var = 0.0;
    for (size_t i = c; i < n * width; i += width) mean += (double)train[i] / (double)n;
    for (size_t i = c; i < n * width; i += width) var += pow(train[i] - mean, 2.0) / (double)n;
    double scale = var > 1e-24 ? 1.0 / sqrt(var) : 0.0;
    for (size_t i = c; i < n * width; i += width) a[i] = (float)((train[i] - mean) * scale);
    for (size_t i = c; i < nt * width; i += width) b[i] = (float)((test[i] - mean) * scale);
  }
}

// R^2 of guess (n, out) against y (n, out), per column into r2 (out).
static void score(size_t n, size_t out, const float* guess, const float* y, float* r2) {
  for (size_t c = 0; c < out; ++c) {
    double mean = 0.0, all = 0.0, left = 0.0;
    for (size_t i = c; i < n * out; i += out) mean += (double)y[i] / (double)n;
    for (size_t i = c; i < n * out; i += out) {
      all += (y[i] - mean) * (y[i] - mean);
      left += ((double)y[i] - guess[i]) * ((double)y[i] - guess[i]);
    }
    r2[c] = all > 1e-12 * (double)n ? (float)(1.0 - left / all) : NAN;
  }
}

// ---- linear ----

// NaN where features are numbers that are none.
static UsStatus fit_linear(Probe* q, float* r2) {
  // The products of [x y] with itself hold X'X and, in the rows below it, Y'X.
  size_t in = q->in, out = q->out, all = in + out;
  for (size_t r = 0; r < q->n_train; ++r) {
    memcpy(q->joint + r * all, q->x + r * in, in * sizeof(float));
    memcpy(q->joint + r * all + in, q->y + r * out, out * sizeof(float));
  }
  US_TRY(us_lapack_gram((int)q->n_train, all, q->joint, 1, "probe", q->gram));
  for (size_t i = 0; i < in; ++i) q->gram[i * all + i] += ridge * (double)q->n_train;
  // The ridge, on products that are sums over the rows; then all targets are solved at once.
  double* w = q->gram + in * all;  // (out, in), rows `all` apart
  int fails = us_lapack_solve((int)in, (int)out, all, q->gram, w);
  // The test rows.
  for (size_t r = 0; r < q->n_test; ++r) {
    for (size_t c = 0; c < out; ++c) {
      double s = fails ? NAN : 0.0;
      for (size_t i = 0; i < in; ++i) s += (double)q->xt[r * in + i] * w[c * all + i];
      q->guess[r * out + c] = (float)s;
    }
  }
  score(q->n_test, q->out, q->guess, q->yt, r2);
  return US_OK;
}

// ---- network ----

// p of bx.
static void forward(const Probe* q) {
  const float* w = q->w;
  us_ops_linear(q->d, BATCH, HIDDEN, (int)q->in, q->bx, w + q->w1, w + q->b1, q->hidden);
  us_ops_gelu(q->d, BATCH * HIDDEN, q->hidden, q->active);
  us_ops_linear(q->d, BATCH, (int)q->out, HIDDEN, q->active, w + q->w2, w + q->b2, q->p);
}

static UsStatus fit_network(Probe* q, uint64_t seed, float* r2) {
  // First weights, and the optimiser of every trainer.
  const UsOptimiserConfig c = {
      .shards = 1, .rate = 2e-3f, .warmup = WARM, .beta2 = 0.99f, .decay = 1e-2f, .clip = INFINITY};
  const UsParamList* list = &q->list;
  const size_t count = BATCH * q->out;
  US_TRY(us_optimiser_create(q->d, &c, 1, &list, q->w, &q->optimiser));
  us_params_init(list, seed, 0, q->first);
  us_ops_put(q->d, q->w, q->first, list->floats);

  // A fixed number of steps on drawn batches.
  UsRng rng = us_rng(seed, US_RNG_BATCH, 0, 0, 0);
  UsProgress bar = us_progress_start("probe", "steps", STEPS, 0);
  for (int step = 1; step <= STEPS && !us_interrupted(); ++step) {
    us_progress_show(&bar, step - 1, NULL);
    // Rows drawn with replacement.
    for (size_t i = 0; i < BATCH; ++i) {
      size_t r = us_rng_below(&rng, (uint32_t)q->n_train);
      memcpy(q->rows + i * q->in, q->x + r * q->in, q->in * sizeof(float));
      memcpy(q->targets + i * q->out, q->y + r * q->out, q->out * sizeof(float));
    }
    us_ops_put(q->d, q->bx, q->rows, BATCH * q->in);
    us_ops_put(q->d, q->by, q->targets, count);
    // There and back, then a step.
    forward(q);
    float* g = us_optimiser_gradient(q->optimiser, 0);
    us_ops_squared_error(q->d, count, 1.0f / (float)count, q->p, q->by, NULL, q->dp, NULL);
    us_ops_linear_back(q->d, BATCH, (int)q->out, HIDDEN, q->active, q->w + q->w2, q->dp, q->dhidden,
                       g + q->w2, g + q->b2);
    us_ops_gelu_back(q->d, BATCH * HIDDEN, q->hidden, q->dhidden, q->dhidden);
    us_ops_linear_back(q->d, BATCH, HIDDEN, (int)q->in, q->bx, q->w + q->w1, q->dhidden, NULL,
                       g + q->w1, g + q->b1);
    us_optimiser_sum(q->optimiser, NULL);
    us_optimiser_update(q->optimiser, step, (double)step / STEPS, NULL);
  }
  us_progress_end(&bar);

  // The test rows, batch by batch; what is left of the last one stands for nothing.
  for (size_t at = 0; at < q->n_test; at += BATCH) {
    size_t rows = q->n_test - at < BATCH ? q->n_test - at : BATCH;
    us_ops_put(q->d, q->bx, q->xt + at * q->in, rows * q->in);
    forward(q);
    us_ops_get(q->d, q->p, q->guess + at * q->out, rows * q->out);
  }
  score(q->n_test, q->out, q->guess, q->yt, r2);
  return US_OK;
}

UsStatus us_probe(int n_train, int n_test, int in, int out, const float* x_train,
                  const float* y_train, const float* x_test, const float* y_test, uint64_t seed,
                  float* r2_linear, float* r2_mlp) {
  US_ASSERT(n_train >= 2 && n_test >= 2 && in >= 1 && in <= US_PROBE_WIDTH && out >= 1);
  Probe probe = {.n_train = (size_t)n_train,
                 .n_test = (size_t)n_test,
                 .in = (size_t)in,
                 .out = (size_t)out,
                 .d = us_device_cpu()};
  Probe* q = &probe;
#define X(field, flags, rows, columns) \
  q->field = us_params_add(&q->list, "", #field, flags, rows, columns, 0, 0);
  NETWORK(X)
#undef X

  // Memory: two blocks.
  UsArena a = {0}, t = {0};
  float* tensors = NULL;
  layout(q, &a, &t);
  UsStatus status =
      q->list.failed ? us_fail(US_MEMORY, "probe: out of memory") : us_arena_alloc(&a);
  if (status == US_OK) tensors = us_ops_alloc(q->d, t.size / sizeof(float));
  if (status == US_OK && !tensors) status = us_fail(US_MEMORY, "probe: out of memory");

  // Rows of unit scale, then both fits.
  if (status == US_OK) {
    us_arena_place(&t, tensors);
    layout(q, &a, &t);
    standardise(q->n_train, q->n_test, q->in, x_train, x_test, q->x, q->xt);
    standardise(q->n_train, q->n_test, q->out, y_train, y_test, q->y, q->yt);
    if (r2_linear) status = fit_linear(q, r2_linear);
  }
  if (r2_mlp && status == US_OK) status = fit_network(q, seed, r2_mlp);
  us_optimiser_destroy(q->optimiser);
  us_params_free(&q->list);
  us_ops_free(q->d, tensors);
  us_arena_free(&a);
  return status == US_OK ? us_interrupt_check("probe") : status;
}
