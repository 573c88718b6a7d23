// The `pca` kind: z = s C (x - mean), C the first components of the frames, s one factor for all,
// so that the total variance is about one per dimension and distances stay those of pixels.
//
// The components come from a subset of the frames.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/encoder/encoder_class.h"
#include "worldmodel/ops.h"
#include "worldmodel/encoder/principal.h"

enum { kFrames = 1024 };

typedef struct Pca {
  UsParamList params;
  size_t mean, components, scale;  // offsets of (P), (D, P), (1); P = height width 3
} Pca;

typedef struct Work {
  UsDevice* device;
  float scale;
  float* host;     // (P) ordinary memory
  uint8_t* bytes;  // (tile, P) tensor memory, as what follows
  float* x;        // (tile, P)
  float* z;        // (tile, D)
  float* gain;     // (D): the scale, for every number
} Work;

static size_t pixel_count(const UsEncoder* e) {
  return (size_t)e->info.height * (size_t)e->info.width * 3;
}

// Sizes of frame and latent from the config; the tensors follow from them.
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
  // One row is as fast as memory is on the CPU.
  if (e->device->wide) {
    e->tile = us_encoder_wide_tile(1, (size_t)pixels * (1 + sizeof(float)));
  }
  s->mean = us_params_add(&s->params, "", "pca.mean", 0, pixels, 0, 0, 0);
  s->components = us_params_add(&s->params, "", "pca.components", 0, e->info.dim, pixels, 0, 0);
  s->scale = us_params_add(&s->params, "", "pca.scale", 0, 1, 0, 0, 0);
  e->params = &s->params;
  return s->params.failed ? us_fail(US_MEMORY, "%s: out of memory for an encoder", name) : US_OK;
}

// The config of these sizes; no more of the encoder need be there.
static cJSON* config_json(const UsEncoder* e) {
  cJSON* json = cJSON_CreateObject();
  cJSON* own = cJSON_AddObjectToObject(json, "understudy");
  cJSON_AddStringToObject(own, "kind", "pca");
  cJSON_AddNumberToObject(own, "height", e->info.height);
  cJSON_AddNumberToObject(own, "width", e->info.width);
  cJSON_AddNumberToObject(own, "dim", e->info.dim);
  return json;
}

// Reads the tensors; a scale that is not above 0 cannot be undone by decode.
static UsStatus read_weights(UsEncoder* e, const UsTensors* file, float* host) {
  US_TRY(us_params_read(e->params, file, "", 0, host));
  float scale = host[((Pca*)e->self)->scale];
  if (scale > 0) return us_params_refuse_rest(e->params, file, "", 0, NULL);
  return us_fail(US_FORMAT, "%s: expected a number above 0 in \"pca.scale\", found %g",
                 us_tensors_path(file), (double)scale);
}

static void work_destroy(void* work) {
  Work* k = work;
  if (!k) return;
  free(k->host);
  us_ops_free(k->device, k->bytes);
  us_ops_free(k->device, k->x);
  us_ops_free(k->device, k->z);
  us_ops_free(k->device, k->gain);
  free(k);
}

// A frame in ordinary memory, a tile of them in tensor memory with their latents.
static void* work_create(const UsEncoder* e) {
  Work* k = calloc(1, sizeof(Work));
  if (!k) return NULL;
  size_t tile = (size_t)e->tile, pixels = pixel_count(e), dim = (size_t)e->info.dim;
  size_t host = pixels > dim ? pixels : dim;
  k->device = e->device;
  k->host = calloc(host, sizeof(float));
  k->bytes = us_ops_alloc_bytes(e->device, tile * pixels);
  k->x = us_ops_alloc(e->device, tile * pixels);
  k->z = us_ops_alloc(e->device, tile * dim);
  k->gain = us_ops_alloc(e->device, dim);
  if (!k->host || !k->bytes || !k->x || !k->z || !k->gain) {
    work_destroy(k);
    return NULL;
  }
  // The scale, common to all numbers: once here, since reading it waits for the device.
  us_ops_get(e->device, e->weights + ((const Pca*)e->self)->scale, &k->scale, 1);
  for (size_t i = 0; i < dim; i++) k->host[i] = k->scale;
  us_ops_put(e->device, k->gain, k->host, dim);
  return k;
}

// Pixels of [0, 1] without their mean, then the components and the scale.
static void encode(const UsEncoder* e, void* work, int n, const uint8_t* pixels,
                   const double* states, float* latents) {
  const Pca* s = e->self;
  Work* k = work;
  int count = (int)pixel_count(e), dim = e->info.dim;
  us_ops_put_bytes(e->device, k->bytes, pixels, (size_t)n * (size_t)count);
  us_ops_unit(e->device, n, count, k->bytes, e->weights + s->mean, k->x);
  us_ops_linear(e->device, n, dim, count, k->x, e->weights + s->components, NULL, k->z);
  us_ops_columns(e->device, n, dim, k->z, k->gain, NULL, latents);
}

// The mean image and the components in the proportion of the latent.
static void decode(const UsEncoder* e, void* work, const float* latents, uint8_t* pixels) {
  const Pca* s = e->self;
  Work* k = work;
  size_t count = pixel_count(e);
  us_ops_put(e->device, k->z, latents, (size_t)e->info.dim);
  us_ops_linear_back(e->device, 1, e->info.dim, (int)count, NULL, e->weights + s->components, k->z,
                     k->x, NULL, NULL);
  us_ops_add(e->device, count, 1 / k->scale - 1, k->x, k->x);
  us_ops_add(e->device, count, 1, e->weights + s->mean, k->x);
  us_ops_get(e->device, k->x, k->host, count);
  for (size_t i = 0; i < count; i++) {
    // Rounded, and kept within a byte.
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

// ---- making ----

// The tensors of a `pca` encoder, without a file.
UsStatus us_encoder_make_pca(int dim, int n, int height, int width, const uint8_t* frames,
                             UsPool* pool, UsDevice* device, UsEncoder** out) {
  *out = NULL;
  int used = n < kFrames ? n : kFrames;
  size_t pixels = (size_t)height * (size_t)width * 3;
  // More components than frames or pixels there are not.
  if (dim < 1 || dim > used || (size_t)dim > pixels) {
    return us_fail(US_USAGE, "expected 1 to %d components of %d frames, found %d", used, n, dim);
  }
  // Room for the three tensors, one behind the other.
  size_t mean = (pixels + 15) / 16 * 16, all = ((size_t)dim * pixels + 15) / 16 * 16;
  float* host = calloc(mean + all + 16, sizeof(float));  // placed as param_list.h does
  float* x = malloc((size_t)used * pixels * sizeof(float));
  const UsEncoder sizes = {.info = {.height = height, .width = width, .dim = dim}};
  cJSON* json = config_json(&sizes);
  UsStatus status = host && x && json ? US_OK : us_fail(US_MEMORY, "out of memory for pca");
  double total = 0;
  // Frames spread over all n as rows of x (used, pixels).
  for (int i = 0; status == US_OK && i < used; i++) {
    const uint8_t* f = frames + (size_t)((int64_t)i * n / used) * pixels;
    for (size_t j = 0; j < pixels; j++) x[(size_t)i * pixels + j] = (float)f[j] / 255;
  }
  if (status == US_OK) status = us_principal(used, pixels, x, dim, host, host + mean, &total);
  if (status == US_OK) {
    // The factor that makes the average variance of a number 1.
    host[mean + all] = total > 0 ? (float)sqrt(dim / total) : 1;
    status = us_encoder_assemble(&us_encoder_class_pca, "pca", json, host, NULL, device, out);
  }
  cJSON_Delete(json);
  free(host);
  free(x);
  return status;
}

static UsStatus make(const UsEncoderData* data, UsPool* pool, UsDevice* device, UsEncoder** out) {
  return us_encoder_make_pca(data->dim, (int)data->n, data->height, data->width, data->pixels, pool,
                             device, out);
}

const UsEncoderClass us_encoder_class_pca = {
    .name = "pca",
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
