#ifndef UNDERSTUDY_STATISTICS_H_
#define UNDERSTUDY_STATISTICS_H_

// What success rates need: an interval for one, a test for two, a correction for many.
//
// Threads: every call works on its arguments alone.

#include "worldmodel/base/api.h"

US_C_BEGIN

// Wilson's score interval (1927) for `hits` successes, which may be a mean over several goes, in
// `count` trials at 95 %: low and high in [0, 1]; count 0 gives 0 and 1.
US_API void us_wilson(double hits, int count, double* low, double* high);

// McNemar's exact test, two-sided: the probability, if two methods were equally good, of a split as
// uneven as `only_a` trials that only one solved and `only_b` that only the other did.
US_API double us_mcnemar(int only_a, int only_b);

// The same where a trial was made several times, as pairs are by models of several training seeds:
// differences (n) says how much oftener one method solved each trial. Exact, two-sided, by flipping
// signs (Fisher 1935): the probability, if either sign were as likely for every trial, of a sum as
// far from 0. Trials of one try each give McNemar's. |differences| are at most 255; NaN without
// memory.
US_API double us_sign_flip(int n, const int* differences);

// Holm's step-down correction (1979) of n tests for having been made together: p (n), each in
// [0, 1], into adjusted (n), each the least level at which its test would reject. adjusted may
// alias p.
US_API void us_holm(int n, const double* p, double* adjusted);

US_C_END

#endif  // UNDERSTUDY_STATISTICS_H_
