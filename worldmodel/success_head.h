#ifndef UNDERSTUDY_SUCCESS_HEAD_H_
#define UNDERSTUDY_SUCCESS_HEAD_H_

// The success head of a model: whether a frame counts as solved for a goal, told from the frozen
// latents of both, as the simulator's rule tells it from their states.
//
//   p_t = W0 z_t + b0                       of each of the G tokens, put one behind the other
//   e   = W2 gelu(W1 p + b1) + b2           of a frame, and of its goal: e_s, e_g
//   q   = (e_s - e_g)^2
//   y   = w4 gelu(W3 q + b3) + b4           > threshold: solved
//
// It is fitted to 1 for pairs that are solved and -1 for others, by least squares, AdamW. Latents
// are normalised as the world model has them.
//
// The threshold is the one by which as many of the held-back pairs are called solved as are, so
// that rates of success in the model are not biased.
//
// Threads: a head is constant after it was made; a UsSuccessWork belongs to one thread at a time.

#include <stdint.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"
#include "worldmodel/device.h"

US_C_BEGIN

typedef struct UsSuccessHead UsSuccessHead;

// How well it does on pairs that were held back.
typedef struct UsSuccessFigures {
  double auroc;      // area under the ROC curve
  double threshold;  // of y
  double hits;       // of the solved pairs, those that it calls solved
  double alarms;     // of the others, those that it calls solved
  int64_t pairs, solved;
} UsSuccessFigures;

// Where pairs come from: fills latents now (G, D) and goal (G, D), ordinary memory, and whether the
// pair is solved; `held` 0 for pair b of the batch of `step`, 1 for held-back pair b. Depends on
// its arguments alone.
typedef void (*UsSuccessSource)(void* source, int held, int64_t step, int b, float* now,
                                float* goal, int* solved);

typedef struct UsSuccessConfig {
  int tokens, dim;   // G, D
  int steps;         // of the fit; 0: 3000
  int held;          // held-back pairs; 0: 16384
  uint64_t seed;     // of first weights
  UsDevice* device;  // NULL: the CPU
} UsSuccessConfig;

// Fits a head. US_FORMAT when the held-back pairs are all solved or none is; US_MEMORY;
// US_INTERRUPTED; US_DIVERGED when numbers are none. Shows a bar. On failure *out is NULL.
US_API UsStatus us_success_fit(const UsSuccessConfig* config, UsSuccessSource source, void* from,
                               UsSuccessHead** out);

// Reads and writes the file of a head, of latents of G tokens of D numbers. Nullable: device. On
// failure *out is NULL.
US_API UsStatus us_success_open(const char* path, int tokens, int dim, UsDevice* device,
                                UsSuccessHead** out);
US_API UsStatus us_success_save(const UsSuccessHead* h, const char* path);

// NULL is fine.
US_API void us_success_destroy(UsSuccessHead* h);

US_API const UsSuccessFigures* us_success_figures(const UsSuccessHead* h);

// Scratch for up to `rows` pairs; NULL when out of memory.
typedef struct UsSuccessWork UsSuccessWork;
US_API UsSuccessWork* us_success_work_create(const UsSuccessHead* h, int rows);
US_API void us_success_work_destroy(const UsSuccessHead* h, UsSuccessWork* w);  // NULL is fine

// margin (rows) = y - threshold, above 0 where a pair is solved, of latents now (rows, G, D) and
// goal (rows, G, D), all tensor memory. The same number of rows gives the same bits.
US_API void us_success_margin(const UsSuccessHead* h, UsSuccessWork* w, int rows, const float* now,
                              const float* goal, float* margin);

US_C_END

#endif  // UNDERSTUDY_SUCCESS_HEAD_H_
