#ifndef UNDERSTUDY_RANK_H_
#define UNDERSTUDY_RANK_H_

#include <stdint.h>

#include "worldmodel/base/api.h"

US_C_BEGIN

// Spearman's rank correlation (1904) of a (n) and b (n), in [-1, 1]; equal numbers have the mean of
// their places. 0 where all of a or all of b are equal, NaN without memory. Any thread.
US_API double us_rank_correlation(int64_t n, const double* a, const double* b);

US_C_END

#endif  // UNDERSTUDY_RANK_H_
