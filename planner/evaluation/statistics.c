#include "planner/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/status.h"

void us_wilson(double hits, int count, double* low, double* high) {
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

// chance[s + most] is the probability of the sum s of what trials have been taken so far.
double us_sign_flip(int n, const int* differences) {
  enum { kMost = 255 };
  int most = 0, sum = 0;
  for (int i = 0; i < n; i++) {
    US_ASSERT(abs(differences[i]) <= kMost);
    most += abs(differences[i]);
    sum += differences[i];
  }
  size_t sums = 2 * (size_t)most + 1;
  double* chance = calloc(2 * sums, sizeof(*chance));
  if (!chance) return NAN;
  double* next = chance + sums;
  chance[most] = 1;
  int reached = 0;
  for (int i = 0; i < n; i++) {
    int d = abs(differences[i]);
    if (d == 0) continue;
    memset(next, 0, sums * sizeof(*next));
    for (int s = most - reached; s <= most + reached; s++) {
      next[s - d] += chance[s] / 2;
      next[s + d] += chance[s] / 2;
    }
    memcpy(chance, next, sums * sizeof(*chance));
    reached += d;
  }
  double tail = 0;
  for (int s = abs(sum); s <= most; s++) tail += chance[most + s];
  free(chance);
  return sum == 0 ? 1 : fmin(2 * tail, 1);
}

// The k-th smallest of n counts n - k times (k from 0), and none less than one before it. Tests are
// few, so the next smallest is looked for instead of sorted.
void us_holm(int n, const double* p, double* adjusted) {
  enum { kTaken = 2 };  // above every probability
  double least = 0;
  double* left = n > 0 ? malloc((size_t)n * sizeof(double)) : NULL;
  US_ASSERT(n == 0 || left);
  for (int i = 0; i < n; i++) {
    US_ASSERT(p[i] >= 0 && p[i] <= 1);
    left[i] = p[i];
  }
  for (int k = 0; k < n; k++) {
    int next = 0;
    for (int i = 1; i < n; i++) {
      if (left[i] < left[next]) next = i;
    }
    least = fmax(least, fmin((n - k) * left[next], 1));
    adjusted[next] = least;
    left[next] = kTaken;
  }
  free(left);
}
