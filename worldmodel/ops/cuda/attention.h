#ifndef UNDERSTUDY_CUDA_ATTENTION_H_
#define UNDERSTUDY_CUDA_ATTENTION_H_

// Softmax attention on CUDA, of which there are two ways; the equations are in
// ops_cuda_attention.cu, which chooses by tk and dim alone.

#include "worldmodel/ops/cuda/tile.h"

// One call of us_ops_attend or us_ops_attend_back, with their names.
typedef struct UsAttention {
  int batch, tq, tk, heads, dim;
  float scale;          // 1 / sqrt(dim)
  const float* angles;  // Nullable
  int period;
  const uint8_t* mask;  // Nullable
  float* q;
  const float *k, *v;
  size_t stride;
  float *y, *probs;  // probs Nullable
  // Of the backward pass.
  const float* dy;
  float *dq, *dk, *dv;
  float* sums;  // D (batch, heads, tq), scratch
} UsAttention;

// Turns the pair (u, v) by the angle with cosine c and sine s.
__device__ static inline void us_turn(float c, float s, float* u, float* v) {
  float a = *u, b = *v;
  *u = us_fma(a, c, -(b * s));
  *v = us_fma(a, s, b * c);
}

// In tiles of 64 keys, for dim up to US_TILE_DIM.
enum { US_TILE_DIM = 128 };
void us_attend_tiles(UsCuda* c, const UsAttention* a);
void us_attend_back_tiles(UsCuda* c, const UsAttention* a);

#endif  // UNDERSTUDY_CUDA_ATTENTION_H_
