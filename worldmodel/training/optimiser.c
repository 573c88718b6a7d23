// Tensors are cut into pieces, and a piece is what a worker sums, squares and updates: its numbers
// never depend on who does it, or on what lies beside it.
//
// A step fills a row of figures, its losses and the norm last, in a place of its own, as what is
// recorded must; when it counts they are copied to the first of the rows (unread, losses + 1) that
// is free. A read takes all rows and frees them.

#include "worldmodel/training/optimiser.h"

#include <math.h>
#include <stdlib.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/ops/ops_table.h"

static const float kBeta1 = 0.9f;

struct UsOptimiser {
  UsDevice* device;
  UsOptimiserConfig c;
  size_t floats;
  float* params;    // (floats), not owned
  float* gradient;  // (shards, floats), tensor memory; the first becomes the sum
  float *m, *v;     // (floats), tensor memory
  int pieces;
  UsPiece* piece;      // (pieces) host
  UsPiece* on;         // those, tensor memory
  double* squares;     // (pieces) sums of squares of the gradient, tensor memory
  float* scale;        // (2) clips the gradient, tensor memory
  double* when;        // (3) what AdamW is told of the step, tensor memory
  size_t row;          // losses + 1
  double* now;         // (row) figures of the step that is taken, tensor memory
  double* figures;     // (unread, row), tensor memory
  double* seen;        // (unread, row): those, read
  double* rates;       // (unread): of the steps in them
  UsStepFigures* out;  // (unread)
  int unread;          // rows that count
  int broken;          // 1: a step was read that was not finite
  double rate;         // of the step that is taken
  double seconds;
};

// ---- making ----

// Cuts the tensors that train into pieces; counts them alone while there is no memory for them.
static void cut(UsOptimiser* o, int lists, const UsParamList* const* list) {
  size_t base = 0;
  o->pieces = 0;
  for (int l = 0; l < lists; base += list[l++]->floats) {
    for (int i = 0; i < list[l]->count; i++) {
      const UsParam* p = &list[l]->param[i];
      // Whether it trains, and at which rate.
      float factor = !o->c.lead || p->flags & o->c.lead ? 1 : o->c.trail;
      if (p->flags & US_PARAM_FIXED || !(factor > 0)) continue;
      // Pieces of one size but for the last, so that the pool shares large tensors too.
      for (size_t from = 0; from < p->count; from += US_PIECE, o->pieces++) {
        size_t left = p->count - from;
        if (!o->piece) continue;
        o->piece[o->pieces] = (UsPiece){.at = base + p->offset + from,
                                        .count = (int)(left < US_PIECE ? left : US_PIECE),
                                        .factor = factor,
                                        .decay = p->flags & US_PARAM_DECAY ? o->c.decay : 0};
      }
    }
  }
  o->floats = base;
}

// Memory for the figures of steps; 0 without.
static int take_rows(UsOptimiser* o) {
  size_t rows = (size_t)o->c.unread, numbers;
  o->row = (size_t)o->c.losses + 1;
  numbers = rows * o->row;
  o->now = us_ops_alloc_sums(o->device, o->row);
  o->figures = us_ops_alloc_sums(o->device, numbers);
  o->seen = calloc(numbers + 1, sizeof(double));
  o->rates = calloc(rows + 1, sizeof(double));
  o->out = calloc(rows + 1, sizeof(UsStepFigures));
  return o->now && o->figures && o->seen && o->rates && o->out;
}

UsStatus us_optimiser_create(UsDevice* d, const UsOptimiserConfig* config, int lists,
                             const UsParamList* const* list, float* params, UsOptimiser** out) {
  *out = NULL;
  UsOptimiser* o = calloc(1, sizeof(*o));
  if (!o) return us_fail(US_MEMORY, "training: out of memory");
  *o = (UsOptimiser){.device = d, .c = *config, .params = params};
  // Counted, taken, filled.
  cut(o, lists, list);
  o->piece = calloc((size_t)o->pieces + 1, sizeof(UsPiece));
  o->gradient = us_ops_alloc(d, o->floats * (size_t)config->shards);
  o->m = us_ops_alloc(d, o->floats);
  o->v = us_ops_alloc(d, o->floats);
  o->squares = us_ops_alloc_sums(d, (size_t)o->pieces + 1);
  o->scale = us_ops_alloc(d, 2);
  o->when = us_ops_alloc_sums(d, 3);
  o->on = us_ops_alloc_bytes(d, (size_t)o->pieces * sizeof(UsPiece));
  int ok = o->piece && o->gradient && o->m && o->v && o->squares && o->scale && o->when && o->on;
  if (!ok || !take_rows(o)) {
    size_t bytes = (size_t)us_optimiser_bytes(o->floats, config->shards);
    us_optimiser_destroy(o);
    return us_ops_no_memory(d, "training", bytes);
  }
  cut(o, lists, list);
  us_ops_put_bytes(d, o->on, o->piece, (size_t)o->pieces * sizeof(UsPiece));
  *out = o;
  return US_OK;
}

void us_optimiser_destroy(UsOptimiser* o) {
  if (!o) return;
  us_ops_free(o->device, o->gradient);
  us_ops_free(o->device, o->m);
  us_ops_free(o->device, o->v);
  us_ops_free(o->device, o->squares);
  us_ops_free(o->device, o->scale);
  us_ops_free(o->device, o->when);
  us_ops_free(o->device, o->now);
  us_ops_free(o->device, o->figures);
  us_ops_free(o->device, o->on);
  free(o->piece);
  free(o->seen);
  free(o->rates);
  free(o->out);
  free(o);
}

double us_optimiser_bytes(size_t floats, int shards) {
  return (double)sizeof(float) * (double)floats * (shards + 2);
}

float* us_optimiser_gradient(UsOptimiser* o, int shard) {
  float* g = o->gradient + (size_t)shard * o->floats;
  us_ops_zero(o->device, g, o->floats);
  return g;
}

// ---- a step, piece by piece ----

// Threads that work while a call runs.
static int threads(const UsOptimiser* o, UsPool* pool) {
  return o->device->wide ? 1 : us_pool_threads(pool);
}

// The sum over the shards, in their order, and its square, which stays on the device.
static void sum_item(void* arg, int item, int worker) {
  UsOptimiser* o = arg;
  if (us_interrupted()) return;
  us_ops_gradient_sum(o->device, 1, o->on + item, o->c.shards, o->floats, o->gradient,
                      o->squares + item);
}

double* us_optimiser_losses(UsOptimiser* o) {
  return o->now;
}

void us_optimiser_sum(UsOptimiser* o, UsPool* pool) {
  double start = us_seconds();
  if (o->device->wide) {
    us_ops_gradient_sum(o->device, o->pieces, o->on, o->c.shards, o->floats, o->gradient,
                        o->squares);
  } else {
    us_pool_run(pool, o->pieces, sum_item, o);
  }
  // The clipping scale comes from the squares where they lie. What was stopped in its middle is not
  // looked at: it may be anything.
  if (!us_interrupted()) {
    us_ops_clip_scale(o->device, o->pieces, o->squares, o->c.losses, o->now, o->c.clip, o->scale,
                      o->now + o->c.losses);
  }
  o->seconds += (us_seconds() - start) * threads(o, pool);
}

// AdamW on pieces from `first` on.
static void adamw(UsOptimiser* o, int first, int pieces) {
  us_ops_adamw(o->device, pieces, o->on + first, o->when, kBeta1, o->c.beta2, 1e-8f, o->scale,
               o->gradient, o->m, o->v, o->params);
}

static void adamw_item(void* arg, int item, int worker) {
  adamw(arg, item, 1);
}

void us_optimiser_schedule(UsOptimiser* o, int64_t step, double progress) {
  // Linear warm-up, then down the cosine; a tensor's own factor comes with its piece.
  double warm = step < o->c.warmup ? (double)step / o->c.warmup : 1, when[3];
  o->rate = o->c.rate * warm * 0.5 * (1 + cos(M_PI * fmin(fmax(progress, 0), 1)));
  us_ops_adamw_when((float)o->rate, kBeta1, o->c.beta2, step, when);
  us_ops_put_bytes(o->device, o->when, when, sizeof(when));
}

void us_optimiser_follow(UsOptimiser* o, UsPool* pool) {
  double start = us_seconds();
  if (o->device->wide) {
    adamw(o, 0, o->pieces);
  } else {
    us_pool_run(pool, o->pieces, adamw_item, o);
  }
  o->seconds += (us_seconds() - start) * threads(o, pool);
}

void us_optimiser_count(UsOptimiser* o) {
  if (!o->c.unread) return;
  US_ASSERT(o->unread < o->c.unread);
  us_ops_copy_bytes(o->device, o->now, o->figures + (size_t)o->unread * o->row,
                    o->row * sizeof(double));
  o->rates[o->unread++] = o->rate;
}

void us_optimiser_update(UsOptimiser* o, int64_t step, double progress, UsPool* pool) {
  us_optimiser_schedule(o, step, progress);
  us_optimiser_follow(o, pool);
  us_optimiser_count(o);
}

// ---- what steps were ----

int us_optimiser_unread(const UsOptimiser* o) {
  return o->unread;
}

int us_optimiser_read(UsOptimiser* o, const UsStepFigures** out) {
  int n = o->unread;
  *out = o->out;
  if (n == 0) return 0;
  us_ops_get_sums(o->device, o->figures, o->seen, (size_t)n * o->row);
  for (int i = 0; i < n; i++) {
    const double* row = o->seen + (size_t)i * o->row;
    double norm = row[o->c.losses], all = 0;
    // The sum that us_ops_clip_scale looked at; once broken, for ever.
    for (int k = 0; k < o->c.losses; k++) all += row[k];
    if (!isfinite(norm + all)) o->broken = 1;
    o->out[i] =
        (UsStepFigures){.losses = row, .norm = norm, .rate = o->rates[i], .finite = !o->broken};
  }
  o->unread = 0;
  return n;
}

double us_optimiser_seconds(const UsOptimiser* o) {
  return o->seconds;
}

// ---- checkpoints ----
// The gradient is no part of one: a step that is not whole did not happen.

void us_optimiser_get(const UsOptimiser* o, float* host) {
  us_ops_get(o->device, o->params, host, o->floats);
  us_ops_get(o->device, o->m, host + o->floats, o->floats);
  us_ops_get(o->device, o->v, host + 2 * o->floats, o->floats);
}

void us_optimiser_put(UsOptimiser* o, const float* host) {
  us_ops_put(o->device, o->params, host, o->floats);
  us_ops_put(o->device, o->m, host + o->floats, o->floats);
  us_ops_put(o->device, o->v, host + 2 * o->floats, o->floats);
  us_ops_zero(o->device, o->scale, 2);
  o->unread = o->broken = 0;
}
