// Tensors are cut into pieces, and a piece is what a worker sums, squares and updates: its numbers
// never depend on who does it, or on what lies beside it.

#include "worldmodel/training/optimiser.h"

#include <math.h>
#include <stdlib.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/ops.h"

struct UsOptimiser {
  UsDevice* device;
  UsOptimiserConfig c;
  size_t floats;
  float* params;    // (floats), not owned
  float* gradient;  // (shards, floats), tensor memory; the first becomes the sum
  float *m, *v;     // (floats), tensor memory
  int pieces;
  UsPiece* piece;   // (pieces) host
  UsPiece* on;      // those, tensor memory
  double* squares;  // (pieces) sums of squares of the gradient, tensor memory
  double norm;      // of the last sum
  double* norms;    // (1) that, tensor memory
  double rate;      // of the step that is taken
  float* scale;     // (2) clips its gradient, tensor memory
  int64_t step;
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
  o->norms = us_ops_alloc_sums(d, 1);
  o->scale = us_ops_alloc(d, 2);
  o->on = us_ops_alloc_bytes(d, (size_t)o->pieces * sizeof(UsPiece));
  if (!o->piece || !o->gradient || !o->m || !o->v || !o->squares || !o->norms || !o->scale ||
      !o->on) {
    us_optimiser_destroy(o);
    return us_fail(US_MEMORY, "training: out of memory");
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
  us_ops_free(o->device, o->norms);
  us_ops_free(o->device, o->on);
  free(o->piece);
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

// The sum over the shards, in their order, and its square, which stays on the device.
static void sum_item(void* arg, int item, int worker) {
  UsOptimiser* o = arg;
  if (us_interrupted()) return;
  us_ops_gradient_sum(o->device, 1, o->on + item, o->c.shards, o->floats, o->gradient,
                      o->squares + item);
}

double us_optimiser_sum(UsOptimiser* o, UsPool* pool) {
  double start = us_seconds();
  us_pool_run(pool, o->pieces, sum_item, o);
  // The clipping scale comes from the squares where they lie; the norm is read.
  us_ops_clip_scale(o->device, o->pieces, o->squares, 0, NULL, o->c.clip, o->scale, o->norms);
  us_ops_get_sums(o->device, o->norms, &o->norm, 1);
  o->seconds += (us_seconds() - start) * us_pool_threads(pool);
  return o->norm;
}

// AdamW on one piece.
static void update_item(void* arg, int item, int worker) {
  UsOptimiser* o = arg;
  us_ops_adamw(o->device, 1, o->on + item, (float)o->rate, 0.9f, o->c.beta2, 1e-8f, o->scale,
               (int)o->step, o->gradient, o->m, o->v, o->params);
}

double us_optimiser_update(UsOptimiser* o, int64_t step, double progress, UsPool* pool) {
  double start = us_seconds();
  // Linear warm-up, then down the cosine; a tensor's own factor comes with its piece.
  double warm = step < o->c.warmup ? (double)step / o->c.warmup : 1;
  o->rate = o->c.rate * warm * 0.5 * (1 + cos(M_PI * fmin(fmax(progress, 0), 1)));
  o->step = step;
  us_pool_run(pool, o->pieces, update_item, o);
  o->seconds += (us_seconds() - start) * us_pool_threads(pool);
  return o->rate;
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
}
