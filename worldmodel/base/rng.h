#ifndef UNDERSTUDY_RNG_H_
#define UNDERSTUDY_RNG_H_

// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3").
//
// A stream is named by what it is for, (seed, purpose, a, b, c), and not by when it is drawn: two
// threads, batches or orders that name the same stream see the same numbers. Streams are values of
// a few bytes; copy them freely.
//
// Threads: every call works on its arguments alone.

#include <stdint.h>

#include "worldmodel/base/api.h"

US_C_BEGIN

// Purposes keep streams of one seed apart. Append only: the values are part of what a seed means.
typedef enum UsRngPurpose {
  US_RNG_TEST = 0,
  US_RNG_RESET = 1,     // a start state: a = episode
  US_RNG_POLICY = 2,    // a behaviour policy: a = episode, b = step
  US_RNG_VARY = 3,      // factors of variation: a = episode
  US_RNG_INIT = 4,      // initial weights: a = tensor
  US_RNG_BATCH = 5,     // training batches: a = step, b = sample
  US_RNG_NOISE = 6,     // noise in training: a = step, b = sample
  US_RNG_PLAN = 7,      // a planner: a = episode, b = plan, c = iteration << 20 | candidate
  US_RNG_PAIRS = 8,     // start / goal pairs: a = index
  US_RNG_CONTEXT = 9,   // the model's reset: a = episode
  US_RNG_SUCCESS = 10,  // pairs for the success head: a = step, b = pair, c = held back
  US_RNG_GOAL = 11,     // a goal: a = try
  US_RNG_SPLIT = 12,    // which episodes a split gives away
} UsRngPurpose;

typedef struct UsRng {
  uint32_t key[2];
  uint32_t counter[4];  // [0] is the position within the stream
  uint32_t word[4];     // the block last drawn
  int left;             // words of it not yet used
  int spare_full;       // a normal number is waiting in spare
  float spare;
} UsRng;

// The stream (seed, purpose, a, b, c), at its start. b and c are taken modulo 2^32; a has 64 bits,
// its upper half joins the key.
US_API UsRng us_rng(uint64_t seed, UsRngPurpose purpose, uint64_t a, uint64_t b, uint64_t c);

// 32 uniform bits.
US_API uint32_t us_rng_bits(UsRng* r);

// Uniform in [0, 1), 24 bits.
US_API float us_rng_uniform(UsRng* r);

// Uniform in [low, high).
US_API double us_rng_range(UsRng* r, double low, double high);

// Uniform in 0 .. n - 1 (n >= 1), without bias.
US_API uint32_t us_rng_below(UsRng* r, uint32_t n);

// Standard normal (Box-Muller).
US_API float us_rng_normal(UsRng* r);

// Fills out (n) with standard normal numbers.
US_API void us_rng_fill_normal(UsRng* r, float* out, int n);

// The block function, for tests against the published vectors.
US_API void us_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

US_C_END

#endif  // UNDERSTUDY_RNG_H_
