#ifndef UNDERSTUDY_OPTIMISER_H_
#define UNDERSTUDY_OPTIMISER_H_

// The optimiser of every trainer: the sum over shards of their gradients, clipping, AdamW with
// warm-up and cosine.
//
//   g = sum over shards of their gradients, in order;  g *= min(1, clip / |g|)
//   rate(n) = rate min(1, n / warmup) (1 + cos(pi progress)) / 2;  AdamW (0.9, beta2, 1e-8)
//
// A step, on which the device may still be at work when the calls are back:
//
//   every shard adds to us_optimiser_gradient and leaves its losses in us_optimiser_losses;
//   us_optimiser_sum; us_optimiser_update, or nothing for a step that does not count.
//
// Losses and norm stay on the device until us_optimiser_read, the one call that waits for it. From
// the first step on whose losses or norm are not finite no update changes anything, so the weights
// are those before that step whenever it is found.
//
// Parameters are cut into pieces of a fixed size. The pool shares them, and a wide device works on
// all of them in one call, so the weights are the same bits for any number of threads.
//
// Threads: calls on one optimiser come from one thread; gradients and losses of different shards
// may be filled by several. Nothing allocates after create.

#include "worldmodel/base/pool.h"
#include "worldmodel/device.h"
#include "worldmodel/param_list.h"

typedef struct UsOptimiser UsOptimiser;

typedef struct UsOptimiserConfig {
  int shards;   // gradients that a step sums
  int losses;   // sums that its losses are
  int unread;   // most steps between two reads; 0: nobody reads
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

// The losses of the step: (losses), tensor memory, which hold anything at first. Their sum is
// finite as long as all goes well.
double* us_optimiser_losses(UsOptimiser* o);

// Sums the shards' gradients and looks at norm and losses. When the caller wants to stop, the sum
// means nothing, and the step must not count. Nullable: pool.
void us_optimiser_sum(UsOptimiser* o, UsPool* pool);

// Takes step number `step`, from 1, along the last sum, at `progress` in [0, 1] of the cosine. At
// most `unread` steps are taken between two reads. Nullable: pool.
void us_optimiser_update(UsOptimiser* o, int64_t step, double progress, UsPool* pool);

// The three parts of an update: what the host says of the step, which may come before the sum; the
// weights follow; the step counts. On a wide device the second, as us_optimiser_sum, does the same
// calls in every step, so it can be recorded (ops.h).
void us_optimiser_schedule(UsOptimiser* o, int64_t step, double progress);
void us_optimiser_follow(UsOptimiser* o, UsPool* pool);
void us_optimiser_count(UsOptimiser* o);

// What a step was.
typedef struct UsStepFigures {
  const double* losses;  // (losses), ordinary memory
  double norm;           // of the gradient before clipping
  double rate;           // learning rate
  int finite;            // 0: this step or one before was not, and the weights did not follow
} UsStepFigures;

// Steps taken since the last read.
int us_optimiser_unread(const UsOptimiser* o);

// Those steps' figures, in their order: as many as were unread, at *out until the next read.
int us_optimiser_read(UsOptimiser* o, const UsStepFigures** out);

// Seconds that the pool's threads had for sums and updates so far.
double us_optimiser_seconds(const UsOptimiser* o);

// Copies what a checkpoint holds, to and from ordinary memory: host (3, floats), parameters and
// both moments. us_optimiser_put forgets the steps before it, those that were not finite too.
void us_optimiser_get(const UsOptimiser* o, float* host);
void us_optimiser_put(UsOptimiser* o, const float* host);

#endif  // UNDERSTUDY_OPTIMISER_H_
