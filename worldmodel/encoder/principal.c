// C = X'X / n = V L V' for p <= n; else X X' / n = U L U' and the rows of V' are U'X / sqrt(n L).

#include "worldmodel/encoder/principal.h"

#include <math.h>
#include <stdlib.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/ops/cpu/lapack.h"

static const char what[] = "principal components";

// out (p) = the rows of x (n, p), summed with the weights of `vector` (n).
static void sum_rows(int n, size_t p, const float* x, const double* vector, float* out) {
  enum { kPart = 256 };
  // A part of the columns at a time, whose sums stay in the cache.
  for (size_t at = 0; at < p; at += kPart) {
    size_t count = p - at < kPart ? p - at : kPart;
    double sum[kPart] = {0};
    for (int i = 0; i < n; i++) {
      const float* row = x + (size_t)i * p + at;
      for (size_t j = 0; j < count; j++) sum[j] += vector[i] * row[j];
    }
    for (size_t j = 0; j < count; j++) out[at + j] = (float)sum[j];
  }
}

UsStatus us_principal(int n, size_t p, float* x, int dim, float* mean, float* components,
                      double* variance) {
  // The smaller of the two products has all that is needed.
  int columns = p <= (size_t)n, m = columns ? (int)p : n;
  US_ASSERT(dim >= 1 && dim <= m);
  double* matrix = malloc((size_t)m * (size_t)m * sizeof(double));
  double* values = malloc((size_t)m * sizeof(double));
  double* vectors = malloc((size_t)dim * (size_t)m * sizeof(double));
  UsStatus status =
      matrix && values && vectors ? US_OK : us_fail(US_MEMORY, "out of memory for %s", what);
  UsProgress bar = us_progress_start(what, "components", dim, 0);
  if (status == US_OK) {
    // The mean off the rows; row by row, as they lie in memory.
    for (size_t j = 0; j < p; j++) mean[j] = 0;
    for (int i = 0; i < n; i++) {
      for (size_t j = 0; j < p; j++) mean[j] += x[(size_t)i * p + j] / (float)n;
    }
    for (int i = 0; i < n; i++) {
      for (size_t j = 0; j < p; j++) x[(size_t)i * p + j] -= mean[j];
    }
    status = us_lapack_gram(n, p, x, columns, what, matrix);
  }
  // Its largest eigenvalues with their vectors.
  if (status == US_OK) status = us_lapack_eigen(m, matrix, dim, values, vectors);
  *variance = 0;
  for (int d = 0; status == US_OK && d < dim; d++) {
    float* row = components + (size_t)d * p;
    const double* vector = vectors + (size_t)d * (size_t)m;
    // A component: the vector itself, or the rows that it weighs.
    if (!columns) sum_rows(n, p, x, vector, row);
    for (size_t j = 0; columns && j < p; j++) row[j] = (float)vector[j];
    int none = values[d] <= 1e-12 * values[0];  // what rounding leaves of nothing
    // Unit length and the sign of the rule; 0 where it has no variance.
    double squares = 0;
    size_t most = 0;
    for (size_t j = 0; j < p; j++) {
      squares += (double)row[j] * row[j];
      if (fabsf(row[j]) > fabsf(row[most])) most = j;
    }
    double scale = none || squares == 0 ? 0 : (row[most] < 0 ? -1 : 1) / sqrt(squares);
    for (size_t j = 0; j < p; j++) row[j] = (float)(row[j] * scale);
    if (!none) *variance += values[d] / n;
    status = us_progress_step(&bar, d + 1, what);
  }
  us_progress_end(&bar);
  free(matrix);
  free(values);
  free(vectors);
  return status;
}
