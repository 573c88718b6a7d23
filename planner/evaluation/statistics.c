#include "planner/statistics.h"

#include <math.h>

#include "worldmodel/base/status.h"

void us_wilson(int hits, int count, double* low, double* high) {
  US_ASSERT(hits >= 0 && hits <= count);
  *low = 0;
  *high = 1;
  if (count == 0) return;
  // The interval's centre is drawn towards one half, its width does not vanish at 0 or n hits.
  const double z = 1.959963984540054, n = count, p = hits / n;
  double centre = (p + z * z / (2 * n)) / (1 + z * z / n);
  double half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  if (hits > 0) *low = fmax(centre - half, 0);
  if (hits < count) *high = fmin(centre + half, 1);
}

// Twice the lower tail of a binomial with n = only_a + only_b and p = 1/2, at most 1.
double us_mcnemar(int only_a, int only_b) {
  US_ASSERT(only_a >= 0 && only_b >= 0);
  int n = only_a + only_b, least = only_a < only_b ? only_a : only_b;
  double choices = -n * log(2), tail = 0;  // log of (n over k) / 2^n
  for (int k = 0; k <= least; k++) {
    tail += exp(choices);
    choices += log((double)(n - k)) - log((double)(k + 1));
  }
  return fmin(2 * tail, 1);
}
