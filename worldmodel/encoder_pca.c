// The `pca` kind: z = s C (x - mean), C the first components of the frames, s one factor for all,
// so that the total variance is about one per dimension and distances stay those of pixels.
//
// The components come from subspace iteration (Halko, Martinsson and Tropp 2011) on a subset of the
// frames, then a Rayleigh-Ritz step in the found subspace.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/rng.h"
#include "worldmodel/encoder_class.h"
#include "worldmodel/ops.h"

enum { kFrames = 1024, kSpare = 12, kIterations = 6 };

typedef struct Pca {
  UsParamList params;
  size_t mean, components, scale;  // offsets of (P), (D, P), (1); P = height width 3
} Pca;

typedef struct Work {
  float* host;  // (P) ordinary memory
  float* x;     // (P) tensor memory
  float* z;     // (D) tensor memory
} Work;

static size_t pixel_count(const UsEncoder* e) {
  return (size_t)e->info.height * (size_t)e->info.width * 3;
}

static UsStatus parse(UsEncoder* e, const char* name, const cJSON* config) {
  const cJSON* own = cJSON_GetObjectItemCaseSensitive(config, "understudy");
  Pca* s = calloc(1, sizeof(Pca));
  if (!s) return us_fail(US_MEMORY, "%s: out of memory for an encoder", name);
  e->self = s;
  US_TRY(us_json_int(name, own, "height", 1, 1024, NULL, &e->info.height));
  US_TRY(us_json_int(name, own, "width", 1, 1024, NULL, &e->info.width));
  US_TRY(us_json_int(name, own, "dim", 1, 4096, NULL, &e->info.dim));
  e->info.tokens = e->info.grid_h = e->info.grid_w = 1;
  int pixels = (int)pixel_count(e);
  s->mean = us_params_add(&s->params, "", "pca.mean", 0, pixels, 0, 0, 0);
  s->components = us_params_add(&s->params, "", "pca.components", 0, e->info.dim, pixels, 0, 0);
  s->scale = us_params_add(&s->params, "", "pca.scale", 0, 1, 0, 0, 0);
  e->params = &s->params;
  return s->params.failed ? us_fail(US_MEMORY, "%s: out of memory for an encoder", name) : US_OK;
}

static cJSON* make_config(int height, int width, int dim) {
  cJSON* json = cJSON_CreateObject();
  cJSON* own = cJSON_AddObjectToObject(json, "understudy");
  cJSON_AddStringToObject(own, "kind", "pca");
  cJSON_AddNumberToObject(own, "height", height);
  cJSON_AddNumberToObject(own, "width", width);
  cJSON_AddNumberToObject(own, "dim", dim);
  return json;
}

static cJSON* config_json(const UsEncoder* e) {
  return make_config(e->info.height, e->info.width, e->info.dim);
}

static UsStatus read_weights(UsEncoder* e, const UsTensors* file, float* host) {
  US_TRY(us_params_read(e->params, file, "", NULL, host));
  float scale = host[((Pca*)e->self)->scale];
  if (scale > 0) return US_OK;
  return us_fail(US_FORMAT, "pca.scale: expected a number above 0, found %g", (double)scale);
}

static void work_destroy(void* work) {
  Work* k = work;
  if (!k) return;
  free(k->host);
  us_ops_free(k->x);
  us_ops_free(k->z);
  free(k);
}

static void* work_create(const UsEncoder* e) {
  Work* k = calloc(1, sizeof(Work));
  if (!k) return NULL;
  k->host = calloc(pixel_count(e), sizeof(float));
  k->x = us_ops_alloc(pixel_count(e));
  k->z = us_ops_alloc((size_t)e->info.dim);
  if (k->host && k->x && k->z) return k;
  work_destroy(k);
  return NULL;
}

static void encode(const UsEncoder* e, void* work, const uint8_t* pixels, const double* state,
                   float* latents) {
  const Pca* s = e->self;
  Work* k = work;
  size_t count = pixel_count(e);
  float scale;
  us_ops_get(e->weights + s->scale, &scale, 1);
  for (size_t i = 0; i < count; i++) k->host[i] = (float)pixels[i] / 255;
  us_ops_put(k->x, k->host, count);
  us_ops_add(count, -1, e->weights + s->mean, k->x);
  us_ops_linear(1, e->info.dim, (int)count, k->x, e->weights + s->components, NULL, k->z);
  us_ops_get(k->z, latents, (size_t)e->info.dim);
  for (int i = 0; i < e->info.dim; i++) latents[i] *= scale;
}

static void decode(const UsEncoder* e, void* work, const float* latents, uint8_t* pixels) {
  const Pca* s = e->self;
  Work* k = work;
  size_t count = pixel_count(e);
  float scale;
  us_ops_get(e->weights + s->scale, &scale, 1);
  us_ops_put(k->z, latents, (size_t)e->info.dim);
  us_ops_linear_back(1, e->info.dim, (int)count, NULL, e->weights + s->components, k->z, k->x, NULL,
                     NULL);
  us_ops_add(count, 1 / scale - 1, k->x, k->x);
  us_ops_add(count, 1, e->weights + s->mean, k->x);
  us_ops_get(k->x, k->host, count);
  for (size_t i = 0; i < count; i++) {
    float x = k->host[i] * 255 + 0.5f;
    pixels[i] = x >= 255 ? 255 : x > 0 ? (uint8_t)x : 0;
  }
}

static void destroy(UsEncoder* e) {
  Pca* s = e->self;
  if (!s) return;
  us_params_free(&s->params);
  free(s);
}

const UsEncoderClass us_encoder_class_pca = {
    .name = "pca",
    .parse = parse,
    .config = config_json,
    .read = read_weights,
    .work_create = work_create,
    .work_destroy = work_destroy,
    .encode = encode,
    .decode = decode,
    .destroy = destroy,
};

// ---- making ----

// Makes the rows of z (k, p), ordinary memory, orthonormal, twice over against rounding. A row that
// depends on the others becomes zero.
static void orthonormal(int k, size_t p, float* z) {
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < k; i++) {
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
  float* x;        // (n, p) tensor memory: frames without their mean
  float* z;        // (k, p) tensor memory
  float* a;        // (k, n) tensor memory
  float* host;     // (k, p) ordinary memory
  float* row;      // (max of p and k n) ordinary memory
  double* matrix;  // (k, k)
  double* vector;  // (k, k)
} Space;

static void space_free(Space* s) {
  us_ops_free(s->x);
  us_ops_free(s->z);
  us_ops_free(s->a);
  free(s->host);
  free(s->row);
  free(s->matrix);
  free(s->vector);
}

static UsStatus space_alloc(Space* s) {
  size_t n = (size_t)s->n, k = (size_t)s->k;
  s->x = us_ops_alloc(n * s->p);
  s->z = us_ops_alloc(k * s->p);
  s->a = us_ops_alloc(k * n);
  s->host = calloc(k * s->p, sizeof(float));
  s->row = calloc(s->p > k * n ? s->p : k * n, sizeof(float));
  s->matrix = calloc(k * k, sizeof(double));
  s->vector = calloc(k * k, sizeof(double));
  if (s->x && s->z && s->a && s->host && s->row && s->matrix && s->vector) return US_OK;
  return us_fail(US_MEMORY, "out of memory for principal components");
}

// Frames spread over all n as rows of x, their mean (p) taken off.
static void put_frames(Space* s, int n, const uint8_t* frames, float* mean) {
  double scale = 1.0 / (255.0 * s->n);
  for (int i = 0; i < s->n; i++) {
    const uint8_t* f = frames + (size_t)((int64_t)i * n / s->n) * s->p;
    for (size_t j = 0; j < s->p; j++) mean[j] += (float)(f[j] * scale);
  }
  for (int i = 0; i < s->n; i++) {
    const uint8_t* f = frames + (size_t)((int64_t)i * n / s->n) * s->p;
    for (size_t j = 0; j < s->p; j++) s->row[j] = (float)f[j] / 255 - mean[j];
    us_ops_put(s->x + (size_t)i * s->p, s->row, s->p);
  }
}

// components (dim, p), sorted by variance, and the sum of their variances.
static double find_components(Space* s, int dim, float* components) {
  int n = s->n, k = s->k;
  UsRng r = us_rng(0, US_RNG_INIT, 0, 0, 0);
  for (size_t i = 0; i < (size_t)k * s->p; i++) s->host[i] = us_rng_normal(&r);
  for (int i = 0; i < kIterations; i++) {
    orthonormal(k, s->p, s->host);
    us_ops_put(s->z, s->host, (size_t)k * s->p);
    us_ops_linear(k, n, (int)s->p, s->z, s->x, NULL, s->a);
    us_ops_linear_back(k, n, (int)s->p, NULL, s->x, s->a, s->z, NULL, NULL);
    us_ops_get(s->z, s->host, (size_t)k * s->p);
  }
  orthonormal(k, s->p, s->host);
  us_ops_put(s->z, s->host, (size_t)k * s->p);
  us_ops_linear(k, n, (int)s->p, s->z, s->x, NULL, s->a);
  us_ops_get(s->a, s->row, (size_t)k * (size_t)n);
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
    for (int i = 0; i < k; i++) {
      float v = (float)s->vector[best * k + i];
      for (size_t c = 0; c < s->p; c++) row[c] += v * s->host[(size_t)i * s->p + c];
    }
  }
  return total;
}

UsStatus us_encoder_make_pca(int dim, int n, int height, int width, const uint8_t* frames,
                             UsPool* pool, UsEncoder** out) {
  *out = NULL;
  Space s = {.n = n < kFrames ? n : kFrames, .p = (size_t)height * (size_t)width * 3};
  if (dim < 1 || dim > s.n || (size_t)dim > s.p) {
    return us_fail(US_USAGE, "expected 1 to %d components of %d frames, found %d", s.n, n, dim);
  }
  size_t most = (size_t)s.n < s.p ? (size_t)s.n : s.p;
  s.k = (size_t)(dim + kSpare) < most ? dim + kSpare : (int)most;
  size_t mean = (s.p + 15) / 16 * 16, all = ((size_t)dim * s.p + 15) / 16 * 16;
  float* host = calloc(mean + all + 16, sizeof(float));  // placed as param_list.h does
  cJSON* json = make_config(height, width, dim);
  UsStatus status = host && json ? space_alloc(&s) : us_fail(US_MEMORY, "out of memory for pca");
  if (status == US_OK) {
    put_frames(&s, n, frames, host);
    double total = find_components(&s, dim, host + mean);
    host[mean + all] = total > 0 ? (float)sqrt(dim / total) : 1;
    status = us_encoder_make(&us_encoder_class_pca, "pca", json, host, NULL, out);
  }
  cJSON_Delete(json);
  free(host);
  space_free(&s);
  return status;
}
