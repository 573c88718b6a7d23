#ifndef UNDERSTUDY_BATCH_H_
#define UNDERSTUDY_BATCH_H_

// A training batch and where it comes from. The trainer asks; whoever holds the data answers, so
// that worldmodel knows no file format.

#include "worldmodel/ops.h"

typedef struct UsBatch {
  int batch;       // B
  int frames;      // T
  float* latents;  // (B, T, G, D) raw features of the frozen encoder, filled by the source. NULL:
                   // as bfloat16 in `bfloats`
  float* times;    // (B, T) s
  float* actions;  // (B, T - 1, K, A): the block that leads from frame t to t + 1. NULL: not
                   // needed
  float* weight;   // (B) how often the loss of a sample counts. NULL: once
  uint16_t* bfloats;  // (B, T, G, D), where latents is NULL
} UsBatch;

// Brings the features of a batch, `count` numbers, to x (count), tensor memory; those that come as
// bfloat16 by way of room (count), tensor memory too. Nullable: room, where latents is there.
static inline void us_batch_put(UsDevice* d, const UsBatch* batch, size_t count, uint16_t* room,
                                float* x) {
  if (batch->latents) {
    us_ops_put(d, x, batch->latents, count);
    return;
  }
  us_ops_put_bytes(d, room, batch->bfloats, count * sizeof(uint16_t));
  us_ops_widen(d, count, room, x);
}

// Fills sample `b` of the batch of `step`. Depends on (seed, step, b) alone, and may be called from
// several threads for different b.
typedef void (*UsBatchSource)(void* source, int64_t step, int b, UsBatch* out);

#endif  // UNDERSTUDY_BATCH_H_
