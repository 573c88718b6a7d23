#include "worldmodel/encoder/principal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/ops.h"

enum { kSpare = 12, kIterations = 6 };

// Makes the rows of z (k, p), ordinary memory, orthonormal, twice over against rounding. A row that
// depends on the others becomes zero.
static void orthonormal(int k, size_t p, float* z) {
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < k && !us_interrupted(); i++) {
      float* row = z + (size_t)i * p;
      double before = 0, after = 0;
      for (size_t c = 0; c < p; c++) before += (double)row[c] * row[c];
      for (int j = 0; j < i; j++) {
        const float* other = z + (size_t)j * p;
        double dot = 0;
        for (size_t c = 0; c < p; c++) dot += (double)row[c] * other[c];
        for (size_t c = 0; c < p; c++) row[c] -= (float)dot * other[c];
      }
      for (size_t c = 0; c < p; c++) after += (double)row[c] * row[c];
      float scale = after > 1e-10 * before && after > 0 ? (float)(1 / sqrt(after)) : 0;
      for (size_t c = 0; c < p; c++) row[c] *= scale;
    }
  }
}

// Eigenvectors of the symmetric a (k, k) by Jacobi rotations: the rows of v (k, k), eigenvalues
// left on the diagonal of a.
static void jacobi(int k, double* a, double* v) {
  for (int i = 0; i < k * k; i++) v[i] = i % (k + 1) == 0;
  for (int sweep = 0; sweep < 30; sweep++) {
    double off = 0, diagonal = 0;
    for (int i = 0; i < k * k; i++) *(i % (k + 1) ? &off : &diagonal) += a[i] * a[i];
    if (off <= 1e-22 * diagonal) return;
    for (int p = 0; p < k; p++) {
      for (int q = p + 1; q < k; q++) {
        if (a[p * k + q] == 0) continue;
        double theta = (a[q * k + q] - a[p * k + p]) / (2 * a[p * k + q]);
        double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
        double c = 1 / sqrt(t * t + 1), s = t * c;
        for (int i = 0; i < k; i++) {
          double x = a[i * k + p], y = a[i * k + q];
          a[i * k + p] = c * x - s * y;
          a[i * k + q] = s * x + c * y;
        }
        for (int i = 0; i < k; i++) {
          double x = a[p * k + i], y = a[q * k + i];
          a[p * k + i] = c * x - s * y;
          a[q * k + i] = s * x + c * y;
          x = v[p * k + i], y = v[q * k + i];
          v[p * k + i] = c * x - s * y;
          v[q * k + i] = s * x + c * y;
        }
      }
    }
  }
}

// Memory of the computation; k = dim + spare rows.
typedef struct Space {
  int n, k;
  size_t p;
  float* x;        // (n, p) tensor memory: rows without their mean
  float* z;        // (k, p) tensor memory
  float* a;        // (k, n) tensor memory
  float* host;     // (k, p) ordinary memory
  float* row;      // (max of p and k n) ordinary memory
  double* matrix;  // (k, k)
  double* vector;  // (k, k)
} Space;

static void space_free(Space* s) {
  us_ops_free(us_device_cpu(), s->x);
  us_ops_free(us_device_cpu(), s->z);
  us_ops_free(us_device_cpu(), s->a);
  free(s->host);
  free(s->row);
  free(s->matrix);
  free(s->vector);
}

static UsStatus space_alloc(Space* s) {
  size_t n = (size_t)s->n, k = (size_t)s->k;
  s->x = us_ops_alloc(us_device_cpu(), n * s->p);
  s->z = us_ops_alloc(us_device_cpu(), k * s->p);
  s->a = us_ops_alloc(us_device_cpu(), k * n);
  s->host = calloc(k * s->p, sizeof(float));
  s->row = calloc(s->p > k * n ? s->p : k * n, sizeof(float));
  s->matrix = calloc(k * k, sizeof(double));
  s->vector = calloc(k * k, sizeof(double));
  if (s->x && s->z && s->a && s->host && s->row && s->matrix && s->vector) return US_OK;
  return us_fail(US_MEMORY, "out of memory for principal components");
}

// Takes the mean (p) off the rows of x (n, p) and hands them to tensor memory.
static void put_rows(Space* s, float* x, float* mean) {
  for (size_t j = 0; j < s->p; j++) mean[j] = 0;
  for (int i = 0; i < s->n; i++) {
    for (size_t j = 0; j < s->p; j++) mean[j] += x[(size_t)i * s->p + j] / (float)s->n;
  }
  for (int i = 0; i < s->n; i++) {
    for (size_t j = 0; j < s->p; j++) x[(size_t)i * s->p + j] -= mean[j];
  }
  us_ops_put(us_device_cpu(), s->x, x, (size_t)s->n * s->p);
}

// components (dim, p), sorted by variance, and the sum of their variances.
static UsStatus find_components(Space* s, int dim, float* components, double* variance) {
  int n = s->n, k = s->k;
  UsProgress bar = us_progress_start("principal components", "rounds", kIterations + 1, 0);
  UsRng r = us_rng(0, US_RNG_INIT, 0, 0, 0);
  for (size_t i = 0; i < (size_t)k * s->p; i++) s->host[i] = us_rng_normal(&r);
  for (int i = 0; i < kIterations; i++) {
    orthonormal(k, s->p, s->host);
    us_ops_put(us_device_cpu(), s->z, s->host, (size_t)k * s->p);
    US_TRY(us_progress_step(&bar, i, "principal components"));
    us_ops_linear(us_device_cpu(), k, n, (int)s->p, s->z, s->x, NULL, s->a);
    US_TRY(us_progress_step(&bar, i + 0.5, "principal components"));
    us_ops_linear_back(us_device_cpu(), k, n, (int)s->p, NULL, s->x, s->a, s->z, NULL, NULL);
    us_ops_get(us_device_cpu(), s->z, s->host, (size_t)k * s->p);
  }
  orthonormal(k, s->p, s->host);
  US_TRY(us_progress_step(&bar, kIterations, "principal components"));
  us_ops_put(us_device_cpu(), s->z, s->host, (size_t)k * s->p);
  us_ops_linear(us_device_cpu(), k, n, (int)s->p, s->z, s->x, NULL, s->a);
  us_ops_get(us_device_cpu(), s->a, s->row, (size_t)k * (size_t)n);
  for (int i = 0; i < k * k; i++) {
    double dot = 0;
    for (int j = 0; j < n; j++) dot += (double)s->row[i / k * n + j] * s->row[i % k * n + j];
    s->matrix[i] = dot / n;
  }
  jacobi(k, s->matrix, s->vector);
  double total = 0;
  for (int d = 0; d < dim; d++) {  // the largest that is left, then it is taken out
    int best = 0;
    for (int i = 1; i < k; i++) {
      if (s->matrix[i * k + i] > s->matrix[best * k + best]) best = i;
    }
    total += s->matrix[best * k + best];
    s->matrix[best * k + best] = -1;
    float* row = components + (size_t)d * s->p;
    memset(row, 0, s->p * sizeof(float));
    for (int i = 0; i < k; i++) {
      float v = (float)s->vector[best * k + i];
      for (size_t c = 0; c < s->p; c++) row[c] += v * s->host[(size_t)i * s->p + c];
    }
  }
  us_progress_end(&bar);
  *variance = total;
  return US_OK;
}

UsStatus us_principal(int n, size_t p, float* x, int dim, float* mean, float* components,
                      double* variance) {
  size_t most = (size_t)n < p ? (size_t)n : p;
  US_ASSERT(dim >= 1 && (size_t)dim <= most);
  Space s = {.n = n, .p = p, .k = (size_t)(dim + kSpare) < most ? dim + kSpare : (int)most};
  UsStatus status = space_alloc(&s);
  if (status == US_OK) {
    put_rows(&s, x, mean);
    status = find_components(&s, dim, components, variance);
  }
  space_free(&s);
  return status;
}
