#include "worldmodel/base/rank.h"

#include <math.h>
#include <stdlib.h>

typedef struct Ranked {
  double value;
  int64_t place;
} Ranked;

static int by_value(const void* a, const void* b) {
  const Ranked *x = a, *y = b;
  if (x->value != y->value) return x->value < y->value ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

// Ranks of x (n) less their mean, and the sum of their squares; list (n) is scratch.
static double centre(int64_t n, const double* x, Ranked* list, double* rank) {
  double squares = 0;
  for (int64_t i = 0; i < n; i++) list[i] = (Ranked){x[i], i};
  qsort(list, (size_t)n, sizeof(Ranked), by_value);
  for (int64_t i = 0, end; i < n; i = end) {
    for (end = i; end < n && list[end].value == list[i].value; end++) {
    }
    double mean = 0.5 * (double)(i + end - n);
    for (int64_t k = i; k < end; k++) rank[list[k].place] = mean, squares += mean * mean;
  }
  return squares;
}

double us_rank_correlation(int64_t n, const double* a, const double* b) {
  Ranked* list = malloc((size_t)n * sizeof(Ranked));
  double* rank = malloc(2 * (size_t)n * sizeof(double));
  double correlation = NAN, dot = 0;
  if (list && rank) {
    double squares = centre(n, a, list, rank) * centre(n, b, list, rank + n);
    for (int64_t i = 0; i < n; i++) dot += rank[i] * rank[n + i];
    correlation = squares > 0 ? dot / sqrt(squares) : 0;
  }
  free(list);
  free(rank);
  return correlation;
}
