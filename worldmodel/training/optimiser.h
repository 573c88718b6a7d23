#ifndef UNDERSTUDY_OPTIMISER_H_
#define UNDERSTUDY_OPTIMISER_H_

// The optimiser of every trainer: the sum over shards of their gradients, clipping, AdamW with
// warm-up and cosine.
//
//   g = sum over shards of their gradients, in order;  g *= min(1, clip / |g|)
//   rate(n) = rate min(1, n / warmup) (1 + cos(pi progress)) / 2;  AdamW (0.9, beta2, 1e-8)
//
// It works in pieces of a fixed size that the pool shares, so the weights are the same bits for any
// number of threads. A step is: every shard adds to its own gradient, us_optimiser_sum, a look at
// the numbers, us_optimiser_update.
//
// Threads: calls on one optimiser come from one thread; gradients of different shards may be filled
// by several. Nothing allocates after create.

#include "worldmodel/base/pool.h"
#include "worldmodel/device.h"
#include "worldmodel/param_list.h"

typedef struct UsOptimiser UsOptimiser;

typedef struct UsOptimiserConfig {
  int shards;   // gradients that a step sums
  float rate;   // peak
  int warmup;   // steps; 0: none
  float beta2;  // of AdamW
  float decay;  // of tensors that say so
  float clip;   // largest norm of the gradient
  int lead;     // 0, or flags of which a tensor must have one to train at the whole rate
  float trail;  // factor on the rate of the others; 0: they do not train
} UsOptimiserConfig;

// Trains the tensors of `lists` lists, list, whose floats lie one behind the other in params,
// tensor memory of d, which must outlive the optimiser. Those with US_PARAM_FIXED do not train. On
// failure *out is NULL.
UsStatus us_optimiser_create(UsDevice* d, const UsOptimiserConfig* config, int lists,
                             const UsParamList* const* list, float* params, UsOptimiser** out);

// NULL is fine.
void us_optimiser_destroy(UsOptimiser* o);

// The bytes that an optimiser of so many floats and shards takes.
double us_optimiser_bytes(size_t floats, int shards);

// The gradient of a shard, zeroed: (floats), tensor memory.
float* us_optimiser_gradient(UsOptimiser* o, int shard);

// Sums the shards' gradients and gives the norm, which is not finite if the sum is not. When the
// caller wants to stop, the sum means nothing. Nullable: pool.
double us_optimiser_sum(UsOptimiser* o, UsPool* pool);

// Takes step number `step`, from 1, along the last sum, at `progress` in [0, 1] of the cosine;
// returns its rate. Nullable: pool.
double us_optimiser_update(UsOptimiser* o, int64_t step, double progress, UsPool* pool);

// Seconds that the pool's threads had for sums and updates so far.
double us_optimiser_seconds(const UsOptimiser* o);

// Copies what a checkpoint holds, to and from ordinary memory: host (3, floats), parameters and
// both moments.
void us_optimiser_get(const UsOptimiser* o, float* host);
void us_optimiser_put(UsOptimiser* o, const float* host);

#endif  // UNDERSTUDY_OPTIMISER_H_
