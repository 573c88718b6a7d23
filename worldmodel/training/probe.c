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

enum { HIDDEN = 256, BATCH = 128, STEPS = 4000, WARM = 100 };
static const double ridge = 1e-4;

typedef struct Probe {
  int n_train, n_test, in, out;
  // host
  float *x, *y;           // standardised training rows (n_train, in), (n_train, out)
  float *xt, *yt;         // the same for the test rows
  float* guess;           // (n_test, out)
  float *rows, *targets;  // a batch (BATCH, in), (BATCH, out)
  float* joint;           // (n_train, in + out): x and y side by side
  double* gram;           // (in + out, in + out)
  // tensors, in one block
  float* block;
  float *w, *dw, *m, *v;             // (parameters): W1, b1, W2, b2 one after the other
  float *bx, *by;                    // a batch (BATCH, in), (BATCH, out)
  float *hidden, *active, *dhidden;  // (BATCH, HIDDEN)
  float *p, *dp;                     // (BATCH, out)
} Probe;

static size_t parameters(const Probe* q) {
  return (size_t)HIDDEN * q->in + HIDDEN + (size_t)q->out * HIDDEN + q->out;
}

static void layout(UsArena* a, Probe* q) {
  size_t in = (size_t)q->in, out = (size_t)q->out, n = (size_t)q->n_train, t = (size_t)q->n_test;
  q->x = US_TAKE(a, float, n* in);
  q->y = US_TAKE(a, float, n* out);
  q->xt = US_TAKE(a, float, t* in);
  q->yt = US_TAKE(a, float, t* out);
  q->guess = US_TAKE(a, float, t* out);
  q->rows = US_TAKE(a, float, BATCH* in);
  q->targets = US_TAKE(a, float, BATCH* out);
  q->joint = US_TAKE(a, float, n*(in + out));
  q->gram = US_TAKE(a, double, (in + out) * (in + out));
}

static UsStatus alloc_tensors(Probe* q) {
  const size_t n = parameters(q), in = (size_t)q->in, out = (size_t)q->out;
  struct {
    float** to;
    size_t count;
  } parts[] = {{&q->w, n},
               {&q->dw, n},
               {&q->m, n},
               {&q->v, n},
               {&q->bx, BATCH * in},
               {&q->by, BATCH * out},
               {&q->hidden, BATCH * HIDDEN},
               {&q->active, BATCH * HIDDEN},
               {&q->dhidden, BATCH * HIDDEN},
               {&q->p, BATCH * out},
               {&q->dp, BATCH * out}};
  enum { PARTS = sizeof parts / sizeof *parts };
  size_t total = 0;
  for (int i = 0; i < PARTS; ++i) total += (parts[i].count + 15) / 16 * 16;
  q->block = us_ops_alloc(us_device_cpu(), total);
  if (!q->block) return us_fail(US_MEMORY, "probe: out of memory");
  total = 0;
  for (int i = 0; i < PARTS; ++i) {
    *parts[i].to = q->block + total;
    total += (parts[i].count + 15) / 16 * 16;
  }
  return US_OK;
}

// Standardises column c of train (n, width) and test (nt, width), both into a and b.
static void standardise(int n, int nt, int width, int c, const float* train, const float* test,
                        float* a, float* b) {
  double mean = 0.0, var = 0.0;
  for (int i = 0; i < n; ++i) mean += (double)train[(size_t)i * width + c] / n;
  for (int i = 0; i < n; ++i) var += pow(train[(size_t)i * width + c] - mean, 2.0) / n;
  double scale = var > 1e-24 ? 1.0 / sqrt(var) : 0.0;
  for (int i = 0; i < n; ++i) {
    size_t at = (size_t)i * width + c;
    a[at] = (float)((train[at] - mean) * scale);
  }
  for (int i = 0; i < nt; ++i) {
    size_t at = (size_t)i * width + c;
    b[at] = (float)((test[at] - mean) * scale);
  }
}

// R^2 of guess (n, out) against y (n, out), per column into r2 (out).
static void score(int n, int out, const float* guess, const float* y, float* r2) {
  for (int c = 0; c < out; ++c) {
    double mean = 0.0, all = 0.0, left = 0.0;
    for (int i = 0; i < n; ++i) mean += (double)y[(size_t)i * out + c] / n;
    for (int i = 0; i < n; ++i) {
      size_t at = (size_t)i * out + c;
      all += (y[at] - mean) * (y[at] - mean);
      left += ((double)y[at] - guess[at]) * ((double)y[at] - guess[at]);
    }
    r2[c] = all > 1e-12 * n ? (float)(1.0 - left / all) : NAN;
  }
}

// ---- linear ----

// NaN where features are numbers that are none.
static UsStatus fit_linear(Probe* q, float* r2) {
  // The products of [x y] with itself hold X'X and, in the rows below it, Y'X.
  size_t in = (size_t)q->in, out = (size_t)q->out, all = in + out;
  for (size_t r = 0; r < (size_t)q->n_train; ++r) {
    memcpy(q->joint + r * all, q->x + r * in, in * sizeof(float));
    memcpy(q->joint + r * all + in, q->y + r * out, out * sizeof(float));
  }
  US_TRY(us_lapack_gram(q->n_train, all, q->joint, 1, "probe", q->gram));
  for (size_t i = 0; i < in; ++i) q->gram[i * all + i] += ridge * q->n_train;
  double* w = q->gram + in * all;  // (out, in), rows `all` apart
  int fails = us_lapack_solve(q->in, q->out, all, q->gram, w);
  for (size_t r = 0; r < (size_t)q->n_test; ++r) {
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
  const float *b1 = q->w + (size_t)HIDDEN * q->in, *w2 = b1 + HIDDEN;
  us_ops_linear(us_device_cpu(), BATCH, HIDDEN, q->in, q->bx, q->w, b1, q->hidden);
  us_ops_gelu(us_device_cpu(), (size_t)BATCH * HIDDEN, q->hidden, q->active);
  us_ops_linear(us_device_cpu(), BATCH, q->out, HIDDEN, q->active, w2, w2 + (size_t)q->out * HIDDEN,
                q->p);
}

// Gradient of the batch into dw.
static void backward(Probe* q) {
  size_t b1 = (size_t)HIDDEN * q->in, w2 = b1 + HIDDEN, b2 = w2 + (size_t)q->out * HIDDEN;
  us_ops_zero(us_device_cpu(), q->dw, parameters(q));
  us_ops_squared_error(us_device_cpu(), (size_t)BATCH * q->out, 1.0f / (float)(BATCH * q->out),
                       q->p, q->by, NULL, q->dp, NULL);
  us_ops_linear_back(us_device_cpu(), BATCH, q->out, HIDDEN, q->active, q->w + w2, q->dp,
                     q->dhidden, q->dw + w2, q->dw + b2);
  us_ops_gelu_back(us_device_cpu(), (size_t)BATCH * HIDDEN, q->hidden, q->dhidden, q->dhidden);
  us_ops_linear_back(us_device_cpu(), BATCH, HIDDEN, q->in, q->bx, q->w, q->dhidden, NULL, q->dw,
                     q->dw + b1);
}

static void take_batch(Probe* q, UsRng* rng) {
  size_t in = (size_t)q->in, out = (size_t)q->out;
  for (size_t i = 0; i < BATCH; ++i) {
    size_t r = us_rng_below(rng, (uint32_t)q->n_train);
    memcpy(q->rows + i * in, q->x + r * in, in * sizeof(float));
    memcpy(q->targets + i * out, q->y + r * out, out * sizeof(float));
  }
  us_ops_put(us_device_cpu(), q->bx, q->rows, BATCH * in);
  us_ops_put(us_device_cpu(), q->by, q->targets, BATCH * out);
}

// Normal numbers over the square root of the inputs; biases zero.
static void init_network(Probe* q, uint64_t seed) {
  UsRng rng = us_rng(seed, US_RNG_INIT, 0, 0, 0);
  size_t rows[] = {HIDDEN, (size_t)q->out}, columns[] = {(size_t)q->in, HIDDEN};
  float *to = q->w, row[US_PROBE_WIDTH];
  for (int layer = 0; layer < 2; ++layer) {
    for (size_t r = 0; r < rows[layer]; ++r, to += columns[layer]) {
      us_rng_fill_normal(&rng, row, (int)columns[layer]);
      for (size_t i = 0; i < columns[layer]; ++i) row[i] /= sqrtf((float)columns[layer]);
      us_ops_put(us_device_cpu(), to, row, columns[layer]);
    }
    to += rows[layer];
  }
}

static void test_network(Probe* q) {
  for (int start = 0; start < q->n_test; start += BATCH) {
    size_t rows = (size_t)(q->n_test - start < BATCH ? q->n_test - start : BATCH);
    us_ops_put(us_device_cpu(), q->bx, q->xt + (size_t)start * q->in, rows * q->in);
    forward(q);
    us_ops_get(us_device_cpu(), q->p, q->guess + (size_t)start * q->out, rows * q->out);
  }
}

static void fit_network(Probe* q, uint64_t seed, float* r2) {
  UsRng rng = us_rng(seed, US_RNG_BATCH, 0, 0, 0);
  init_network(q, seed);
  UsProgress bar = us_progress_start("probe", "steps", STEPS, 0);
  for (int step = 1; step <= STEPS && !us_interrupted(); ++step) {
    us_progress_show(&bar, step - 1, NULL);
    double warm = fmin(1.0, (double)step / WARM);
    double rate = 2e-3 * warm * (0.5 + 0.5 * cos(M_PI * step / STEPS));
    take_batch(q, &rng);
    forward(q);
    backward(q);
    us_ops_adamw(us_device_cpu(), parameters(q), (float)rate, 0.9f, 0.99f, 1e-8f, 1e-2f, NULL, step,
                 q->dw, q->m, q->v, q->w);
  }
  us_progress_end(&bar);
  test_network(q);
  score(q->n_test, q->out, q->guess, q->yt, r2);
}

UsStatus us_probe(int n_train, int n_test, int in, int out, const float* x_train,
                  const float* y_train, const float* x_test, const float* y_test, uint64_t seed,
                  float* r2_linear, float* r2_mlp) {
  US_ASSERT(n_train >= 2 && n_test >= 2 && in >= 1 && in <= US_PROBE_WIDTH && out >= 1);
  Probe q = {.n_train = n_train, .n_test = n_test, .in = in, .out = out};
  UsArena a = {0};
  layout(&a, &q);
  US_TRY(us_arena_alloc(&a));
  layout(&a, &q);
  UsStatus status = alloc_tensors(&q);
  for (int c = 0; c < in; ++c) standardise(n_train, n_test, in, c, x_train, x_test, q.x, q.xt);
  for (int c = 0; c < out; ++c) standardise(n_train, n_test, out, c, y_train, y_test, q.y, q.yt);
  if (r2_linear && status == US_OK) status = fit_linear(&q, r2_linear);
  if (r2_mlp && status == US_OK) fit_network(&q, seed, r2_mlp);
  us_ops_free(us_device_cpu(), q.block);
  us_arena_free(&a);
  return status == US_OK ? us_interrupt_check("probe") : status;
}
