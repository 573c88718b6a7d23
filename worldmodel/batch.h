#ifndef UNDERSTUDY_BATCH_H_
#define UNDERSTUDY_BATCH_H_

// A training batch and where it comes from. The trainer asks; whoever holds the data answers, so
// that worldmodel knows no file format.

#include <stdint.h>

typedef struct UsBatch {
  int batch;       // B
  int frames;      // T
  float* latents;  // (B, T, G, D) raw features of the frozen encoder, filled by the source
  float* times;    // (B, T) s
  float* actions;  // (B, T - 1, K, A): the block that leads from frame t to t + 1. NULL: not needed
  float* weight;   // (B) how often the loss of a sample counts. NULL: once
} UsBatch;

// Fills sample `b` of the batch of `step`. Depends on (seed, step, b) alone, and may be called from
// several threads for different b.
typedef void (*UsBatchSource)(void* source, int64_t step, int b, UsBatch* out);

#endif  // UNDERSTUDY_BATCH_H_
