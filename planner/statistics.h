#ifndef UNDERSTUDY_STATISTICS_H_
#define UNDERSTUDY_STATISTICS_H_

// What success rates need: an interval for one, a test for two, a correction for many.
//
// Threads: every call works on its arguments alone.

// Wilson's score interval (1927) for `hits` successes in `count` trials at 95 %: low and high in
// [0, 1]; count 0 gives 0 and 1.
#include "worldmodel/base/api.h"

US_C_BEGIN

US_API void us_wilson(int hits, int count, double* low, double* high);

// McNemar's exact test, two-sided: the probability, if two methods were equally good, of a split as
// uneven as `only_a` trials that only one solved and `only_b` that only the other did.
US_API double us_mcnemar(int only_a, int only_b);

// Holm's step-down correction (1979) of n tests for having been made together: p (n), each in
// [0, 1], into adjusted (n), each the least level at which its test would reject. adjusted may
// alias p.
US_API void us_holm(int n, const double* p, double* adjusted);

US_C_END

#endif  // UNDERSTUDY_STATISTICS_H_
