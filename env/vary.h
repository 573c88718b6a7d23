#ifndef UNDERSTUDY_VARY_H_
#define UNDERSTUDY_VARY_H_

// Which factors of variation an episode draws, and from which range.
//
// Every factor is a number in [-1, 1], 0 the scene as it is (UsFactor). Training draws from the
// inner part, [-0.7, 0.7]; the outer part, 0.75 to 1 on both sides, is held out for testing. A
// factor's number depends on the episode's seed and the factor's name alone: not on which other
// factors are drawn, nor on threads, batches or order.
//
// `sim` is a `sim:` env. Same thread rule as env.h.

#include "env/env.h"
#include "env/task.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

#define US_VARY_RANGES(X)                      \
  X(train, 0, 0.7, "the inner part")           \
  X(test, 0.75, 1, "the outer part, held out") \
  X(all, 0, 1, "everything")

typedef enum UsVaryRange {
#define X(name, low, high, text) US_VARY_##name,
  US_VARY_RANGES(X)
#undef X
      US_VARY_COUNT
} UsVaryRange;

// Names of the ranges, by UsVaryRange.
extern US_API const char* const us_vary_range_names[US_VARY_COUNT];

// The range of this name. `what` stands before the message: "--vary-range".
US_API UsStatus us_vary_range(const char* what, const char* name, UsVaryRange* out);

// A choice of factors, in an order that is kept: places in the list of us_sim_factors.
typedef struct UsVary {
  int count;               // V; 0: nothing varies
  int factor[US_FACTORS];  // (V)
} UsVary;

// Reads names separated by commas: of factors, of groups (`camera` is every camera_*), `visual`,
// `physical` or `all`; the same factor named twice counts once. `what` stands before the message,
// which lists the factors that there are.
US_API UsStatus us_vary_choose(const char* what, const char* names, UsEnv* sim, UsVary* out);

// The names of the chosen factors, separated by commas: text (size). us_vary_read reads them back.
US_API void us_vary_names(const UsVary* v, UsEnv* sim, char* text, size_t size);

// Reads the names that a file says its numbers have, `width` of them a row: as many, each that of
// one factor, none twice. A group is no name here. `what` names the file. On failure the status is
// US_FORMAT and *out is empty.
US_API UsStatus us_vary_read(const char* what, const char* names, int width, UsEnv* sim,
                             UsVary* out);

// Draws an episode's numbers: values (V).
US_API void us_vary_draw(const UsVary* v, UsEnv* sim, UsVaryRange range, uint64_t seed,
                         float* values);

// Writes the numbers of a choice, values (V), each in [-1, 1], into those of all factors: all
// (US_FACTORS).
US_API void us_vary_spread(const UsVary* v, const float* values, float* all);

US_C_END

#endif  // UNDERSTUDY_VARY_H_
