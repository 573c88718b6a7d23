// The `blur` kind, linear in the frame:
//
//   z = W (p - mean)      p (h / m, w / m, 3): the means of m x m pixels, from 0 to 1
//   f = [w_s f_s(p - mean of its set) / deviation_s]      scales s, blur.h; deviation_s^2 is a mean
//                                                         over sets
//   W = sqrt(D / v) C F      F: the filters of f; C: the first D components of f / deviation of f
//                            in its set, so that every set counts alike; v: the variance of C f;
//                            v and mean (of p) are means over sets
//
// m is such that the narrowest blur is two of them wide. Pictures are drawn by a decoder where
// there is one, else as the p of least squares that has the latent.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/encoder/blur.h"
#include "worldmodel/encoder/decoder.h"
#include "worldmodel/encoder/encoder_class.h"
#include "worldmodel/encoder/principal.h"
#include "worldmodel/ops.h"
#include "worldmodel/ops/cpu/lapack.h"

enum { kFrames = 8192, kTile = 16 };  // most frames of a fit; frames of a call on the CPU

typedef struct Blur {
  UsParamList params;
  size_t weight, mean, inverse;  // offsets of (D, P), (P), (D, D)
  int pool;                      // m
  int pixels;                    // P = h / m * w / m * 3
  UsDecoder* decoder;            // NULL: none
} Blur;

typedef struct Work {
  UsDevice* device;
  float *host, *mean;      // (tile, P), (P) ordinary memory
  float *x, *z, *y;        // (tile, P), (tile, D), (D) tensor memory
  UsDecoderWork* decoder;  // of one frame; NULL: none
} Work;

// ---- config and tensors ----

// Sizes from the config, and those of a decoder where it has a section of that name.
static UsStatus parse(UsEncoder* e, const char* name, const cJSON* config) {
  const cJSON* own = cJSON_GetObjectItemCaseSensitive(config, "understudy");
  const cJSON* decoder = cJSON_GetObjectItemCaseSensitive(config, "decoder");
  UsEncoderInfo* info = &e->info;
  Blur* s = calloc(1, sizeof(Blur));
  if (!s) return us_fail(US_MEMORY, "%s: out of memory for an encoder", name);
  e->self = s;
  US_TRY(us_json_int(name, own, "height", 1, 1024, NULL, &info->height));
  US_TRY(us_json_int(name, own, "width", 1, 1024, NULL, &info->width));
  US_TRY(us_json_int(name, own, "dim", 1, 4096, NULL, &info->dim));
  US_TRY(us_json_int(name, own, "pool", 1, 1024, NULL, &s->pool));
  if (info->height % s->pool || info->width % s->pool) {
    return us_fail(US_FORMAT, "%s: expected \"pool\" to divide frames of %d x %d px, found %d",
                   name, info->width, info->height, s->pool);
  }
  info->tokens = info->grid_h = info->grid_w = 1;
  s->pixels = info->height / s->pool * (info->width / s->pool) * 3;
  e->tile = e->device->wide ? us_encoder_wide_tile(1, (size_t)s->pixels * sizeof(float)) : kTile;
  s->weight = us_params_add(&s->params, "", "blur.weight", 0, info->dim, s->pixels, 0, 0);
  s->mean = us_params_add(&s->params, "", "blur.mean", 0, s->pixels, 0, 0, 0);
  s->inverse = us_params_add(&s->params, "", "blur.inverse", 0, info->dim, info->dim, 0, 0);
  e->params = &s->params;
  if (s->params.failed) return us_fail(US_MEMORY, "%s: out of memory for an encoder", name);
  if (!decoder) return US_OK;
  UsVitConfig c;
  int grid;
  US_TRY(us_vit_config_parse(name, decoder, &c, &grid));
  if (c.height != info->height || c.width != info->width || c.global_dim != info->dim) {
    return us_fail(US_FORMAT,
                   "%s: expected a decoder of %d numbers to frames of %d x %d px, found %d to %d x "
                   "%d",
                   name, info->dim, info->width, info->height, c.global_dim, c.width, c.height);
  }
  c.device = e->device;
  US_TRY(us_decoder_create(&c, &s->decoder));
  e->decoder_params = &s->decoder->params;
  return US_OK;
}

// The config of these sizes, with those of a decoder where `decoder` is not NULL.
static cJSON* make_json(const UsEncoderInfo* info, int pool, const UsVitConfig* decoder) {
  cJSON* json = cJSON_CreateObject();
  cJSON* own = cJSON_AddObjectToObject(json, "understudy");
  cJSON_AddStringToObject(own, "kind", "blur");
  cJSON_AddNumberToObject(own, "height", info->height);
  cJSON_AddNumberToObject(own, "width", info->width);
  cJSON_AddNumberToObject(own, "dim", info->dim);
  cJSON_AddNumberToObject(own, "pool", pool);
  if (decoder) cJSON_AddItemToObject(json, "decoder", us_vit_config_json(decoder));
  return json;
}

static cJSON* config_json(const UsEncoder* e) {
  const Blur* s = e->self;
  return make_json(&e->info, s->pool, s->decoder ? &s->decoder->config : NULL);
}

static UsStatus read_weights(UsEncoder* e, const UsTensors* file, float* host) {
  US_TRY(us_params_read(e->params, file, "", 0, host));
  return us_params_refuse_rest(e->params, file, "", 0, NULL);
}

static void destroy(UsEncoder* e) {
  Blur* s = e->self;
  if (!s) return;
  us_params_free(&s->params);
  us_decoder_destroy(s->decoder);
  free(s);
}

// ---- use ----

static void work_destroy(void* work) {
  Work* k = work;
  if (!k) return;
  us_decoder_work_destroy(k->decoder);
  us_ops_free(k->device, k->x);
  us_ops_free(k->device, k->z);
  us_ops_free(k->device, k->y);
  free(k->host);
  free(k->mean);
  free(k);
}

static void* work_create(const UsEncoder* e) {
  const Blur* s = e->self;
  size_t tile = (size_t)e->tile, pixels = (size_t)s->pixels, dim = (size_t)e->info.dim;
  Work* k = calloc(1, sizeof(Work));
  if (!k) return NULL;
  k->device = e->device;
  k->host = calloc(tile * pixels, sizeof(float));
  k->mean = calloc(pixels, sizeof(float));
  k->x = us_ops_alloc(e->device, tile * pixels);
  k->z = us_ops_alloc(e->device, tile * dim);
  k->y = us_ops_alloc(e->device, dim);
  int ok = k->host && k->mean && k->x && k->z && k->y;
  if (ok) us_ops_get(e->device, e->weights + s->mean, k->mean, pixels);
  if (ok && e->decoder_weights) {
    k->decoder = us_decoder_work_create(s->decoder, 1, 0);
    ok = k->decoder != NULL;
  }
  // Half of a work is none.
  if (ok) return k;
  work_destroy(k);
  return NULL;
}

// p (h / m, w / m, 3) of a frame (h, w, 3).
static void pool_frame(int height, int width, int m, const uint8_t* frame, float* p) {
  const float unit = 1 / (255.0f * (float)(m * m));
  int line = width / m * 3;
  for (int y = 0; y < height / m; y++, p += line) {
    for (int x = 0; x < line; x++) {
      const uint8_t* at = frame + (y * m * width + x / 3 * m) * 3 + x % 3;
      int sum = 0;
      for (int i = 0; i < m; i++) {
        for (int j = 0; j < m; j++) sum += at[(i * width + j) * 3];
      }
      p[x] = unit * (float)sum;
    }
  }
}

static void encode(const UsEncoder* e, void* work, int n, const uint8_t* pixels,
                   const double* states, float* latents) {
  const Blur* s = e->self;
  Work* k = work;
  size_t bytes = (size_t)e->info.height * (size_t)e->info.width * 3;
  int rows = e->device->wide ? n : e->tile, dim = e->info.dim;
  for (int i = 0; i < n; i++) {
    float* p = k->host + (size_t)i * (size_t)s->pixels;
    pool_frame(e->info.height, e->info.width, s->pool, pixels + (size_t)i * bytes, p);
    for (int j = 0; j < s->pixels; j++) p[j] -= k->mean[j];
  }
  // What stands behind the frames of a tile that is not full changes nothing of them.
  us_ops_put(e->device, k->x, k->host, (size_t)rows * (size_t)s->pixels);
  us_ops_linear(e->device, rows, dim, s->pixels, k->x, e->weights + s->weight, NULL, k->z);
  us_ops_copy(e->device, k->z, latents, (size_t)n * (size_t)dim);
}

// By the decoder, or p = mean + W' (W W')^-1 z in squares of m x m px.
static void decode(const UsEncoder* e, void* work, const float* latents, uint8_t* pixels) {
  const Blur* s = e->self;
  Work* k = work;
  int dim = e->info.dim, m = s->pool, width = e->info.width;
  us_ops_put(e->device, k->z, latents, (size_t)dim);
  if (k->decoder) {
    us_decoder_draw(s->decoder, e->decoder_weights, k->decoder, k->z, pixels);
    return;
  }
  us_ops_linear(e->device, 1, dim, dim, k->z, e->weights + s->inverse, NULL, k->y);
  us_ops_linear_back(e->device, 1, dim, s->pixels, NULL, e->weights + s->weight, k->y, k->x, NULL,
                     NULL);
  us_ops_add(e->device, (size_t)s->pixels, 1, e->weights + s->mean, k->x);
  us_ops_get(e->device, k->x, k->host, (size_t)s->pixels);
  for (int i = 0; i < e->info.height * width * 3; i++) {
    // Rounded, and kept within a byte.
    int y = i / 3 / width / m, x = i / 3 % width / m;
    float value = k->host[(y * (width / m) + x) * 3 + i % 3] * 255 + 0.5f;
    pixels[i] = value >= 255 ? 255 : value > 0 ? (uint8_t)value : 0;
  }
}

// ---- making ----

// What the fit works on.
typedef struct Fit {
  int height, width, pool, sets, dim;
  size_t pixels, features, each, n;  // P, F; rows of a set, of all
  UsBlur* blur;
  float* mean;                   // (sets, P)
  float *p, *scratch;            // (P), of the blur
  float* x;                      // (n, F)
  double scale[US_BLUR_SCALES];  // w_s / deviation_s
} Fit;

static const uint8_t* frame_of(const Fit* f, const UsFrameSet* set, size_t i) {
  size_t at = i * (size_t)set->count / f->each;
  return set->frames + at * (size_t)f->height * (size_t)f->width * 3;
}

// Rows x of features, those of a set around its mean.
static UsStatus read_rows(Fit* f, const UsFrameSet* set) {
  UsStatus status = US_OK;
  UsProgress bar = us_progress_start("blur", "frames", (double)f->n, 0);
  for (int s = 0; s < f->sets && status == US_OK; s++) {
    float* mean = f->mean + (size_t)s * f->pixels;
    for (size_t i = 0; i < f->each; i++) {
      pool_frame(f->height, f->width, f->pool, frame_of(f, &set[s], i), f->p);
      for (size_t k = 0; k < f->pixels; k++) mean[k] += f->p[k] / (float)f->each;
    }
    for (size_t i = 0; i < f->each && status == US_OK; i++) {
      size_t row = (size_t)s * f->each + i;
      pool_frame(f->height, f->width, f->pool, frame_of(f, &set[s], i), f->p);
      for (size_t k = 0; k < f->pixels; k++) f->p[k] -= mean[k];
      us_blur_read(f->blur, f->p, f->scratch, f->x + row * f->features);
      status = us_progress_step(&bar, (double)row, "an encoder");
    }
  }
  us_progress_end(&bar);
  return status;
}

// The variance of features first .. last of a set's rows, which have the mean 0.
static double variance_of(const Fit* f, int set, size_t first, size_t last) {
  double sum = 0;
  for (size_t i = 0; i < f->each; i++) {
    const float* row = f->x + ((size_t)set * f->each + i) * f->features;
    for (size_t k = first; k < last; k++) sum += (double)row[k] * (double)row[k];
  }
  return sum / (double)f->each;
}

// Makes every scale count by its weight, and then every set alike.
static void weigh_rows(Fit* f) {
  size_t first = 0;
  for (int s = 0; s < US_BLUR_SCALES; s++) {
    size_t last = first + us_blur_scale(s);
    double variance = 0;
    for (int i = 0; i < f->sets; i++) variance += variance_of(f, i, first, last) / f->sets;
    f->scale[s] = variance > 0 ? (double)us_blur_weight[s] / sqrt(variance) : 0;
    for (size_t i = 0; i < f->n; i++) {
      float* row = f->x + i * f->features;
      for (size_t k = first; k < last; k++) row[k] = (float)(f->scale[s] * (double)row[k]);
    }
    first = last;
  }
  for (int i = 0; i < f->sets; i++) {
    double variance = variance_of(f, i, 0, f->features);
    float factor = variance > 0 ? (float)(1 / sqrt(variance)) : 0;
    float* x = f->x + (size_t)i * f->each * f->features;
    for (size_t k = 0; k < f->each * f->features; k++) x[k] *= factor;
  }
}

// weight (D, P) of components (D, F), before their common factor; row (F) is scratch.
static void make_filters(const Fit* f, const float* components, float* row, float* weight) {
  for (int d = 0; d < f->dim; d++) {
    size_t at = 0;
    for (int s = 0; s < US_BLUR_SCALES; s++) {
      for (size_t end = at + us_blur_scale(s); at < end; at++) {
        row[at] = (float)(f->scale[s] * (double)components[(size_t)d * f->features + at]);
      }
    }
    us_blur_filter(f->blur, row, weight + (size_t)d * f->pixels);
  }
}

// The mean over sets of the variance of weight (D, P) times p.
static double latent_variance(Fit* f, const UsFrameSet* set, const float* weight) {
  double sum = 0;
  // A part of the rows tells it.
  size_t every = f->each / 256 + 1, used = (f->each + every - 1) / every;
  for (int s = 0; s < f->sets; s++) {
    for (size_t i = 0; i < f->each; i += every) {
      pool_frame(f->height, f->width, f->pool, frame_of(f, &set[s], i), f->p);
      for (size_t k = 0; k < f->pixels; k++) f->p[k] -= f->mean[(size_t)s * f->pixels + k];
      for (int d = 0; d < f->dim; d++) {
        double z = 0;
        for (size_t k = 0; k < f->pixels; k++) {
          z += (double)weight[(size_t)d * f->pixels + k] * (double)f->p[k];
        }
        sum += z * z / (double)used / f->sets;
      }
    }
  }
  return sum;
}

// inverse (D, D) = (W W' + 1e-6 of its mean diagonal)^-1.
static UsStatus invert(const Fit* f, const float* weight, float* inverse) {
  size_t d = (size_t)f->dim;
  double *gram = malloc(d * d * sizeof(double)), *unit = calloc(d * d, sizeof(double)), mean = 0;
  UsStatus status = gram && unit ? US_OK : us_fail(US_MEMORY, "out of memory for an encoder");
  if (status == US_OK) status = us_lapack_gram(f->dim, f->pixels, weight, 0, "an encoder", gram);
  for (size_t i = 0; status == US_OK && i < d; i++) mean += gram[i * d + i] / (double)d;
  for (size_t i = 0; status == US_OK && i < d; i++) {
    gram[i * d + i] += 1e-6 * mean + 1e-30;
    unit[i * d + i] = 1;
  }
  if (status == US_OK && us_lapack_solve(f->dim, f->dim, d, gram, unit) != 0) {
    status = us_fail(US_FORMAT, "the frames of an encoder have no components");
  }
  for (size_t i = 0; status == US_OK && i < d * d; i++) inverse[i] = (float)unit[i];
  free(gram);
  free(unit);
  return status;
}

// All tensors, at their offsets `at` in host.
static UsStatus fit(Fit* f, const UsFrameSet* set, const Blur* at, float* host) {
  float *weight = host + at->weight, *mean = host + at->mean;
  float* components = malloc((size_t)f->dim * f->features * sizeof(float));
  float* row = malloc(f->features * sizeof(float));
  double variance;
  UsStatus status = components && row ? US_OK : us_fail(US_MEMORY, "out of memory for an encoder");
  if (status == US_OK) status = read_rows(f, set);
  if (status == US_OK) {
    weigh_rows(f);
    status = us_principal((int)f->n, f->features, f->x, f->dim, row, components, &variance);
  }
  if (status == US_OK) {
    make_filters(f, components, row, weight);
    variance = latent_variance(f, set, weight);
    float factor = variance > 0 ? (float)sqrt(f->dim / variance) : 1;
    for (size_t i = 0; i < (size_t)f->dim * f->pixels; i++) weight[i] *= factor;
    // Latents are around the mean of the sets.
    for (int s = 0; s < f->sets; s++) {
      for (size_t k = 0; k < f->pixels; k++) {
        mean[k] += f->mean[(size_t)s * f->pixels + k] / (float)f->sets;
      }
    }
    status = invert(f, weight, host + at->inverse);
  }
  free(components);
  free(row);
  return status;
}

// The side of squares whose means are taken: what divides both sides, at most a 32nd of either.
static int pool_of(int height, int width) {
  int most = (height < width ? height : width) / 32, m = most > 1 ? most : 1;
  while (height % m || width % m) m--;
  return m;
}

UsStatus us_encoder_make_blur(int dim, int height, int width, const UsFrameSet* set, int sets,
                              UsDevice* device, UsEncoder** out) {
  *out = NULL;
  Fit f = {.height = height, .width = width, .pool = pool_of(height, width), .sets = sets};
  f.each = kFrames / (size_t)sets;
  for (int i = 0; i < sets; i++) {
    if ((size_t)set[i].count < f.each) f.each = (size_t)set[i].count;
  }
  f.dim = dim;
  f.n = f.each * (size_t)sets;
  f.features = us_blur_features();
  // More components than frames or features there are not.
  size_t most = f.n < f.features ? f.n : f.features;
  if (f.each < 1 || dim < 1 || (size_t)dim > most) {
    return us_fail(US_USAGE, "expected 1 to %zu components of %zu frames, found %d", most, f.n,
                   dim);
  }
  // An encoder without weights has the places of its tensors.
  UsEncoder sizes = {.device = device ? device : us_device_cpu()};
  const UsEncoderInfo info = {.height = height, .width = width, .dim = dim};
  cJSON* json = make_json(&info, f.pool, NULL);
  UsStatus status = parse(&sizes, "blur", json);
  const Blur* at = sizes.self;
  f.pixels = status == US_OK ? (size_t)at->pixels : 0;
  float* host = status == US_OK ? calloc(at->params.floats, sizeof(float)) : NULL;
  f.mean = calloc((size_t)sets * f.pixels + 1, sizeof(float));
  f.p = calloc(f.pixels + 1, sizeof(float));
  f.scratch = calloc(us_blur_scratch(width), sizeof(float));
  f.x = malloc(f.n * f.features * sizeof(float));
  if (status == US_OK && (!host || !f.mean || !f.p || !f.scratch || !f.x)) {
    status = us_fail(US_MEMORY, "out of memory for an encoder");
  }
  if (status == US_OK) status = us_blur_create(height / f.pool, width / f.pool, &f.blur);
  if (status == US_OK) status = fit(&f, set, at, host);
  if (status == US_OK) {
    status = us_encoder_assemble(&us_encoder_class_blur, "blur", json, host, NULL, device, out);
  }
  us_blur_destroy(f.blur);
  destroy(&sizes);
  cJSON_Delete(json);
  free(host);
  free(f.mean);
  free(f.p);
  free(f.scratch);
  free(f.x);
  return status;
}

UsStatus us_encoder_blur_decoder(const UsEncoder* e, const UsVitConfig* config,
                                 const float* decoder_weights, UsEncoder** out) {
  *out = NULL;
  cJSON* json = make_json(&e->info, ((const Blur*)e->self)->pool, config);
  float* host = malloc(e->params->floats * sizeof(float));
  UsStatus status = json && host ? US_OK : us_fail(US_MEMORY, "out of memory for an encoder");
  if (status == US_OK) {
    us_ops_get(e->device, e->weights, host, e->params->floats);
    status = us_encoder_assemble(&us_encoder_class_blur, "encoder", json, host, decoder_weights,
                                 e->device, out);
  }
  cJSON_Delete(json);
  free(host);
  return status;
}

static UsStatus make(const UsEncoderData* data, UsPool* pool, UsDevice* device, UsEncoder** out) {
  const UsFrameSet set = {data->pixels, (int)data->n};
  return us_encoder_make_blur(data->dim, data->height, data->width, &set, 1, device, out);
}

const UsEncoderClass us_encoder_class_blur = {
    .name = "blur",
    .parse = parse,
    .config = config_json,
    .read = read_weights,
    .work_create = work_create,
    .work_destroy = work_destroy,
    .encode = encode,
    .draws = 1,
    .decode = decode,
    .destroy = destroy,
    .reads = 'f',
    .make = make,
};
