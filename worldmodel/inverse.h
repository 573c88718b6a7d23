#ifndef UNDERSTUDY_INVERSE_H_
#define UNDERSTUDY_INVERSE_H_

// An inverse model: the action of an env step, from the frames around it. Fitted on the few
// trajectories whose actions are known it names those of the many that were only filmed.
//
//   z = (x - mean) / scale     latents x (D) of a frame: mean (D), one common scale
//   f_k = [z_k, 3 (z_k - z_{k-1}), 3 (z_{k+1} - z_k), 3 (z_{k+2} - z_{k+1})]     ends clamped
//
//   linear    a = W f + b, where [W b]' = (F'F + lambda I)^-1 F'A, F with a column of ones
//   network   a = mean over members of W3 drop(h2) + b3 + L f, with h2 = gelu(W2 drop(h1) + b2),
//             h1 = gelu(W1 f + b1); smooth L1 with threshold 0.3, AdamW; each does without a
//             part of the steps of its own
//
// The last tracks are held back from both. On them lambda is chosen, then the kind with the better
// R^2, then how far a label can be trusted: where the models disagree they are wrong.
//
//   log e = c_0 + c_1 log s + c_2 log g + c_3 a^2 + sum over parts f_i of f: c_4+i log f_i^2
//   w = 1 - e / v              how reliable, from US_INVERSE_LEAST to 1; v the actions' variance
//
// s is the variance of the members' actions, g the squared difference of their mean from the linear
// model's, a^2 and f_i^2 mean squares; c is fitted to the squared errors of the held-back steps,
// with c_0 such that their mean is right. What that is worth is told by halves of these steps, each
// by a fit to the other.
//
// Threads: calls on one model come from one thread; inside, the pool works. The same seed gives the
// same bits for any number of threads.

#include <stdint.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/pool.h"
#include "worldmodel/base/status.h"
#include "worldmodel/device.h"

US_C_BEGIN

enum { US_INVERSE_DIM = 512 };  // most numbers of a frame
#define US_INVERSE_LEAST 0.05f

// Trajectories whose rows, a frame each, lie one behind the other.
typedef struct UsTracks {
  int64_t count;
  const int32_t* length;  // (count) rows
  const int64_t* offset;  // (count) first row
  const float* latents;   // (rows, D)
  const float* actions;   // (rows, A) of the step from a row to the next; what stands in a track's
                          // last row is not read. Nullable where nothing is fitted
  const uint16_t* bfloats;  // (rows, D), read where latents is NULL
} UsTracks;

typedef struct UsInverseConfig {
  int dim;           // D
  int action;        // A
  int64_t held;      // tracks at the end that are held back, at least 1
  int steps;         // of the network; 0: 1200
  uint64_t seed;     // of the network
  UsDevice* device;  // where the network is fitted; NULL: the CPU
} UsInverseConfig;

typedef enum UsInverseKind { US_INVERSE_LINEAR, US_INVERSE_NETWORK } UsInverseKind;

// How well it does on what was held back.
typedef struct UsInverseFigures {
  UsInverseKind kind;      // which is kept
  double linear, network;  // R^2: 1 - squared error / variance, all A numbers together
  double lambda;           // chosen
  double correlation;      // of ranks, between expected and true squared errors of steps
  double error;            // mean squared error of the labels
  double variance;         // of the actions, v
  int64_t fitted, held;    // steps
} UsInverseFigures;

typedef struct UsInverse UsInverse;

// "linear" or "network".
US_API const char* us_inverse_kind_name(UsInverseKind kind);

// Fits both kinds. US_FORMAT when there are no steps to fit or to hold back, a frame has more than
// US_INVERSE_DIM numbers, or numbers are none; US_MEMORY; US_INTERRUPTED. On failure *out is NULL.
// Nullable: pool.
US_API UsStatus us_inverse_fit(const UsInverseConfig* config, const UsTracks* tracks, UsPool* pool,
                               UsInverse** out);

// NULL is fine.
US_API void us_inverse_destroy(UsInverse* m);

US_API const UsInverseFigures* us_inverse_figures(const UsInverse* m);

// Names the actions of every row: actions (rows, A) in [-1, 1] and how reliable they are, weight
// (rows). tracks->actions is not looked at. Fails with US_MEMORY or US_INTERRUPTED. Nullable: pool.
US_API UsStatus us_inverse_label(const UsInverse* m, const UsTracks* tracks, UsPool* pool,
                                 float* actions, float* weight);

US_C_END

#endif  // UNDERSTUDY_INVERSE_H_
