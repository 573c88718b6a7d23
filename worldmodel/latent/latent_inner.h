#ifndef UNDERSTUDY_LATENT_INNER_H_
#define UNDERSTUDY_LATENT_INNER_H_

// The memory of latent actions, shared by their training and their use.

#include "worldmodel/latent.h"
#include "worldmodel/ops.h"

// Tensors of the codes: field, flags, rows, columns. in = 3 G D.
#define LATENT(X)                                                             \
  X(w1, US_PARAM_NORMAL | US_PARAM_DECAY, US_LATENT_HIDDEN, m->in)            \
  X(b1, 0, US_LATENT_HIDDEN, 0)                                               \
  X(w2, US_PARAM_NORMAL | US_PARAM_DECAY, US_LATENT_HIDDEN, US_LATENT_HIDDEN) \
  X(b2, 0, US_LATENT_HIDDEN, 0)                                               \
  X(w3, US_PARAM_NORMAL | US_PARAM_DECAY, 2 * m->dim, US_LATENT_HIDDEN)       \
  X(b3, 0, 2 * m->dim, 0)

struct UsLatent {
  UsWorldModel base;
  UsPredictor* p;
  int dim, in;      // L; numbers of f
  float weight;     // of the penalty
  UsParamList own;  // the codes' tensors
  UsParamList all;  // the predictor's, then those
  float* params;    // all.floats, tensor memory; the predictor's are in it
  float* codes;     // own.floats of them
#define X(field, flags, rows, columns) size_t field;  // floats from codes
  LATENT(X)
#undef X
};

// A tape: the predictor's, and what gives it codes. S = (T - 1) K env steps a sample, R = B (S + 1)
// frames, N = B S codes.
typedef struct LatentTape {
  const UsLatent* m;
  UsTape* tape;  // of the predictor
  int batch, frames, steps;
  int bfloat;                       // 1: raw frames come as bfloat16
  int turn;                         // codes are those of the sample so many places on
  void* block;                      // tensor memory, all of it
  float* latents;                   // (B, T, G D) raw
  uint16_t* bfloats;                // (B, T, G D) where they come so
  float* fill;                      // (B, S, G D + L) as the batch has it
  float* path;                      // (R, G D) normalised frames of every env step
  float* change;                    // (R, G D) 3 (z_{k+1} - z_k)
  float* zero;                      // (G D)
  float* x;                         // (R, in) f
  float *up1, *h1, *up2, *h2, *dh;  // (R, HIDDEN)
  float *y, *dy;                    // (R, 2 L) m and l, of the last frame of a sample too
  float *normal, *dnormal;          // (N, 2 L)
  float *noise, *code;              // (N, L)
  double* nats;                     // (1)
} LatentTape;

// Brings a batch to both tapes; makes its codes where the predictor's tape takes them.
void latent_load(LatentTape* t, const UsBatch* shard);
void latent_forward(LatentTape* t);

#endif  // UNDERSTUDY_LATENT_INNER_H_
