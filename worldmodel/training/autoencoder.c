// z = vit(x); y = decoder(z + noise); loss = mean of w (y - x)^2 + anchor mean (z - z*)^2

#include "worldmodel/autoencoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/training/anchor.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/encoder/decoder.h"
#include "worldmodel/ops.h"
#include "worldmodel/tensor_file.h"

// What one shard computes.
typedef struct Shard {
  UsVitWork* vit;
  UsDecoderWork* decoder;
  float* gradient;  // (floats) tensor memory
  float* latents;   // (frames, D) tensor memory: with noise
  float* dlatents;  // (frames, D) tensor memory
  float* dpatches;  // (frames, P, 3, patch, patch) tensor memory
  float* weight;    // (frames, P, 3, patch, patch) tensor memory: of the loss
  float* anchor;    // (frames, D) tensor memory: targets z*
  float* danchor;   // (frames, D) tensor memory
  float* target;    // (frames, D) ordinary memory
  float* scratch;   // of us_anchor_target
  float* host;      // (frames, P, 3, patch, patch) ordinary memory
  uint8_t* pixels;  // (frames, height, width, 3)
} Shard;

struct UsAutoencoder {
  UsDevice* device;
  UsAutoencoderConfig config;
  UsFrameSet* set;  // (sets)
  uint8_t* mean;    // (sets, height, width, 3): mean images
  int sets;
  int step;  // steps done
  UsVit* vit;
  UsDecoder* decoder;
  UsAnchor* anchor;  // NULL without
  double distance;   // mean (z - z*)^2 of the last step
  size_t floats;     // of weights: the ViT's, then the decoder's
  float* weights;    // (floats) tensor memory, as the next two
  float* m;
  float* v;
  double* sums;     // (shards, 2) loss and anchored part, then (tensors) squares; tensor memory
  double* figures;  // those, read once a step
  float* scale;     // (1) tensor memory: clips the gradient
  Shard* shard;     // (shards)
};

#define US_SETTING_OF UsAutoencoderConfig
static const UsSetting settings[] = {US_AUTOENCODER_SETTINGS(US_SETTING_ROW) US_SETTING_END};

void us_autoencoder_defaults(int height, int width_px, int dim, int width, int depth,
                             UsAutoencoderConfig* out) {
  *out = (UsAutoencoderConfig){.vit = {.height = height,
                                       .width = width_px,
                                       .patch = 8,
                                       .hidden = width,
                                       .layers = depth,
                                       .heads = width % 32 ? 1 : width / 32,
                                       .mlp = 4 * width,
                                       .merge = 2,
                                       .merge_dim = 32,
                                       .global_dim = dim,
                                       .eps = 1e-6f,
                                       .mean = {0.5f, 0.5f, 0.5f},
                                       .std = {0.5f, 0.5f, 0.5f}}};
  us_settings_default(settings, out);
}

static size_t frame_bytes(const UsVitConfig* c) {
  return (size_t)c->height * (size_t)c->width * 3;
}

// The mean image of a set, from at most 4096 frames spread over it.
static UsStatus mean_image(const UsFrameSet* set, size_t bytes, uint8_t* mean) {
  uint64_t* sum = calloc(bytes, sizeof(uint64_t));
  if (!sum) return us_fail(US_MEMORY, "out of memory for a mean image");
  int used = set->count < 4096 ? set->count : 4096;
  for (int i = 0; i < used && !us_interrupted(); i++) {
    const uint8_t* frame = set->frames + (size_t)((int64_t)i * set->count / used) * bytes;
    for (size_t j = 0; j < bytes; j++) sum[j] += frame[j];
  }
  for (size_t j = 0; j < bytes; j++) {
    mean[j] = (uint8_t)((sum[j] + (uint64_t)used / 2) / (uint64_t)used);
  }
  free(sum);
  return us_interrupt_check("the mean image");
}

static int shard_create(const UsAutoencoder* a, Shard* s) {
  const UsVitConfig* c = &a->config.vit;
  int n = a->config.shard_frames;
  size_t pixels = (size_t)n * frame_bytes(c), latents = (size_t)(n * c->global_dim);
  s->vit = us_vit_work_create(a->vit, n, 1);
  s->decoder = us_decoder_work_create(a->decoder, n, 1);
  s->gradient = us_ops_alloc(a->device, a->floats);
  s->latents = us_ops_alloc(a->device, latents);
  s->dlatents = us_ops_alloc(a->device, latents);
  s->dpatches = us_ops_alloc(a->device, pixels);
  s->weight = us_ops_alloc(a->device, pixels);
  s->host = calloc(pixels + latents, sizeof(float));
  s->pixels = calloc(pixels, 1);
  s->anchor = us_ops_alloc(a->device, latents);
  s->danchor = us_ops_alloc(a->device, latents);
  s->target = calloc(latents, sizeof(float));
  s->scratch = calloc(a->anchor ? (size_t)us_anchor_scratch(a->anchor) : 1, sizeof(float));
  return s->anchor && s->danchor && s->target && s->scratch && s->vit && s->decoder &&
         s->gradient && s->latents && s->dlatents && s->dpatches && s->weight && s->host &&
         s->pixels;
}

static void shard_destroy(const UsAutoencoder* a, Shard* s) {
  us_vit_work_destroy(s->vit);
  us_decoder_work_destroy(s->decoder);
  us_ops_free(a->device, s->gradient);
  us_ops_free(a->device, s->latents);
  us_ops_free(a->device, s->dlatents);
  us_ops_free(a->device, s->dpatches);
  us_ops_free(a->device, s->weight);
  us_ops_free(a->device, s->anchor);
  us_ops_free(a->device, s->danchor);
  free(s->scratch);
  free(s->target);
  free(s->host);
  free(s->pixels);
}

// First weights: both models' lists, the layers before a norm or a sum as they come.
static UsStatus init_weights(UsAutoencoder* a) {
  float* host = calloc(a->floats, sizeof(float));
  if (!host) return us_fail(US_MEMORY, "out of memory for %zu weights", a->floats);
  us_params_init(&a->vit->params, a->config.seed, 0, host);
  us_params_init(&a->decoder->params, a->config.seed, 1, host + a->vit->params.floats);
  us_ops_put(a->device, a->weights, host, a->floats);
  free(host);
  return US_OK;
}

static UsStatus make_anchor(UsAutoencoder* a) {
  const UsVitConfig* c = &a->config.vit;
  UsAnchorSet* set = calloc((size_t)a->sets, sizeof(UsAnchorSet));
  if (!set) return us_fail(US_MEMORY, "out of memory for the targets of an encoder");
  for (int i = 0; i < a->sets; i++) {
    set[i] = (UsAnchorSet){a->set[i].frames, a->mean + (size_t)i * frame_bytes(c), a->set[i].count};
  }
  UsStatus status = us_anchor_create(c->height, c->width, c->global_dim, set, a->sets, &a->anchor);
  free(set);
  return status;
}

static UsStatus take_memory(UsAutoencoder* a, const UsFrameSet* set) {
  size_t bytes = frame_bytes(&a->config.vit);
  US_TRY(us_vit_create(&a->config.vit, &a->vit));
  US_TRY(us_decoder_create(&a->config.vit, &a->decoder));
  a->floats = a->vit->params.floats + a->decoder->params.floats;
  a->weights = us_ops_alloc(a->device, a->floats);
  a->m = us_ops_alloc(a->device, a->floats);
  a->v = us_ops_alloc(a->device, a->floats);
  size_t sums = (size_t)(2 * a->config.shards + a->vit->params.count + a->decoder->params.count);
  a->sums = us_ops_alloc_sums(a->device, sums);
  a->figures = calloc(sums, sizeof(double));
  a->scale = us_ops_alloc(a->device, 1);
  a->set = calloc((size_t)a->sets, sizeof(UsFrameSet));
  a->mean = calloc((size_t)a->sets, bytes);
  a->shard = calloc((size_t)a->config.shards, sizeof(Shard));
  int ok = a->weights && a->m && a->v && a->sums && a->figures && a->scale && a->set && a->mean &&
           a->shard;
  if (!ok) return us_fail(US_MEMORY, "out of memory for training an encoder");
  memcpy(a->set, set, (size_t)a->sets * sizeof(UsFrameSet));
  for (int i = 0; i < a->sets; i++) {
    US_TRY(mean_image(&set[i], bytes, a->mean + (size_t)i * bytes));
  }
  if (a->config.anchor > 0) US_TRY(make_anchor(a));
  for (int i = 0; ok && i < a->config.shards; i++) ok = shard_create(a, &a->shard[i]);
  return ok ? init_weights(a) : us_fail(US_MEMORY, "out of memory for training an encoder");
}

UsStatus us_autoencoder_create(const UsAutoencoderConfig* config, const UsFrameSet* set, int sets,
                               UsAutoencoder** out) {
  *out = NULL;
  US_TRY(us_vit_check("encoder", &config->vit));
  US_TRY(us_settings_check(settings, config));
  if (!config->vit.global_dim || sets < 1) {
    return us_fail(US_USAGE, "expected a global vector and at least one set of frames");
  }
  for (int i = 0; i < sets; i++) {
    if (set[i].count < 1) return us_fail(US_USAGE, "set %d of the frames is empty", i);
  }
  UsAutoencoder* a = calloc(1, sizeof(UsAutoencoder));
  if (!a) return us_fail(US_MEMORY, "out of memory for training an encoder");
  a->config = *config;
  if (!config->vit.device) a->config.vit.device = us_device_cpu();
  a->device = a->config.vit.device;
  a->sets = sets;
  UsStatus status = take_memory(a, set);
  if (status != US_OK) {
    us_autoencoder_destroy(a);
    return status;
  }
  *out = a;
  return US_OK;
}

void us_autoencoder_destroy(UsAutoencoder* a) {
  if (!a) return;
  for (int i = 0; a->shard && i < a->config.shards; i++) shard_destroy(a, &a->shard[i]);
  free(a->shard);
  free(a->set);
  free(a->mean);
  free(a->figures);
  us_ops_free(a->device, a->sums);
  us_ops_free(a->device, a->scale);
  us_ops_free(a->device, a->weights);
  us_ops_free(a->device, a->m);
  us_ops_free(a->device, a->v);
  us_vit_destroy(a->vit);
  us_decoder_destroy(a->decoder);
  us_anchor_destroy(a->anchor);
  free(a);
}

// Whether this step compares pixels.
static int decodes(const UsAutoencoder* a) {
  return a->step % a->config.decode_every == 0;
}

double us_autoencoder_distance(const UsAutoencoder* a) {
  return a->distance;
}

int us_autoencoder_compares(const UsAutoencoder* a) {
  return decodes(a);
}

int us_autoencoder_steps(const UsAutoencoder* a) {
  return a->step;
}

// ---- a step ----

// weight (P, 3, patch, patch) of the pixels of one frame (height, width, 3).
static void pixel_weights(const UsVitConfig* c, float foreground, const uint8_t* frame,
                          const uint8_t* mean, float* weight) {
  int s = c->patch, grid_w = c->width / s;
  for (int y = 0; y < c->height; y++) {
    for (int x = 0; x < c->width; x++) {
      const uint8_t* p = frame + (y * c->width + x) * 3;
      const uint8_t* q = mean + (y * c->width + x) * 3;
      int far = abs(p[0] - q[0]) > 25 || abs(p[1] - q[1]) > 25 || abs(p[2] - q[2]) > 25;
      float* w = weight + (y / s * grid_w + x / s) * 3 * s * s + y % s * s + x % s;
      for (int ch = 0; ch < 3; ch++) w[ch * s * s] = far ? 1 + foreground : 1;
    }
  }
}

// Draws the frames of shard i and the weights of their pixels.
static void draw_frames(UsAutoencoder* a, int i) {
  const UsAutoencoderConfig* c = &a->config;
  Shard* s = &a->shard[i];
  size_t bytes = frame_bytes(&c->vit);
  for (int f = 0; f < c->shard_frames; f++) {
    int sample = i * c->shard_frames + f, set = sample % a->sets;
    UsRng r = us_rng(c->seed, US_RNG_BATCH, (uint64_t)a->step, (uint32_t)sample, 0);
    size_t at = us_rng_below(&r, (uint32_t)a->set[set].count);
    const uint8_t* frame = a->set[set].frames + at * bytes;
    memcpy(s->pixels + (size_t)f * bytes, frame, bytes);
    pixel_weights(&c->vit, c->foreground, frame, a->mean + (size_t)set * bytes,
                  s->host + (size_t)f * bytes);
    if (!a->anchor) continue;
    float* target = s->target + f * c->vit.global_dim;
    us_anchor_target(a->anchor, set, frame, a->mean + (size_t)set * bytes, s->scratch, target);
  }
  us_ops_put(a->device, s->weight, s->host, (size_t)c->shard_frames * bytes);
  us_ops_put(a->device, s->anchor, s->target, (size_t)(c->shard_frames * c->vit.global_dim));
}

// latents = z + noise.
static void disturb(UsAutoencoder* a, int i, const float* z) {
  const UsAutoencoderConfig* c = &a->config;
  Shard* s = &a->shard[i];
  int d = c->vit.global_dim;
  size_t count = (size_t)(c->shard_frames * d);
  for (int f = 0; f < c->shard_frames; f++) {
    int sample = i * c->shard_frames + f;
    UsRng r = us_rng(c->seed, US_RNG_NOISE, (uint64_t)a->step, (uint32_t)sample, 0);
    us_rng_fill_normal(&r, s->host + f * d, d);
  }
  us_ops_put(a->device, s->latents, s->host, count);
  us_ops_put(a->device, s->dlatents, s->host, count);
  us_ops_copy(a->device, z, s->latents, count);
  us_ops_add(a->device, count, c->noise, s->dlatents, s->latents);
}

static void shard_item(void* arg, int i, int worker) {
  UsAutoencoder* a = arg;
  if (us_interrupted()) return;
  const UsAutoencoderConfig* c = &a->config;
  Shard* s = &a->shard[i];
  const float* decoder_weights = a->weights + a->vit->params.floats;
  size_t count = (size_t)c->shard_frames * frame_bytes(&c->vit);
  float scale = c->pixels / ((float)count * (float)c->shards);
  draw_frames(a, i);
  us_ops_zero(a->device, s->gradient, a->floats);
  const float* z = us_vit_forward(a->vit, a->weights, s->vit, s->pixels);
  size_t latents = (size_t)(c->shard_frames * c->vit.global_dim);
  if (decodes(a)) {
    disturb(a, i, z);
    const float* y = us_decoder_forward(a->decoder, decoder_weights, s->decoder, s->latents);
    us_ops_squared_error(a->device, count, scale, y, us_vit_work_patches(s->vit), s->weight,
                         s->dpatches, a->sums + 2 * i);
    us_decoder_backward(a->decoder, decoder_weights, s->decoder, s->latents, s->dpatches,
                        s->dlatents, s->gradient + a->vit->params.floats);
  } else {
    us_ops_zero(a->device, s->dlatents, latents);
  }
  if (a->anchor) {
    float share = c->anchor / ((float)latents * (float)c->shards);
    us_ops_squared_error(a->device, latents, share, z, s->anchor, NULL, s->danchor,
                         a->sums + 2 * i + 1);
    us_ops_add(a->device, latents, 1, s->danchor, s->dlatents);
  }
  us_vit_backward(a->vit, a->weights, s->vit, s->dlatents, s->gradient);
}

// Tensor i of both lists, and its place in the joint array.
static const UsParam* tensor(const UsAutoencoder* a, int i, size_t* at) {
  const UsParamList* first = &a->vit->params;
  const UsParam* p =
      i < first->count ? &first->param[i] : &a->decoder->params.param[i - first->count];
  *at = p->offset + (i < first->count ? 0 : first->floats);
  return p;
}

// Sums the shards' gradients of a tensor in the first shard's.
static void sum_item(void* arg, int i, int worker) {
  UsAutoencoder* a = arg;
  size_t at;
  const UsParam* p = tensor(a, i, &at);
  if (p->flags & US_PARAM_FIXED) return;
  float* g = a->shard[0].gradient + at;
  for (int s = 1; s < a->config.shards; s++)
    us_ops_add(a->device, p->count, 1, a->shard[s].gradient + at, g);
  us_ops_square_sum(a->device, p->count, g, a->sums + 2 * a->config.shards + i);
}

typedef struct Update {
  UsAutoencoder* a;
  float rate;
} Update;

static void update_item(void* arg, int i, int worker) {
  Update* u = arg;
  UsAutoencoder* a = u->a;
  size_t at;
  const UsParam* p = tensor(a, i, &at);
  if (p->flags & US_PARAM_FIXED) return;
  us_ops_adamw(a->device, p->count, u->rate, 0.9f, 0.99f, 1e-8f,
               p->flags & US_PARAM_DECAY ? a->config.decay : 0, a->scale, a->step + 1,
               a->shard[0].gradient + at, a->m + at, a->v + at, a->weights + at);
}

double us_autoencoder_step(UsAutoencoder* a, UsPool* pool) {
  const UsAutoencoderConfig* c = &a->config;
  int tensors = a->vit->params.count + a->decoder->params.count;
  us_pool_run(pool, c->shards, shard_item, a);
  us_pool_run(pool, tensors, sum_item, a);
  if (us_interrupted()) return 0;
  double loss = 0, squares = 0;
  us_ops_get_sums(a->device, a->sums, a->figures, (size_t)(2 * c->shards + tensors));
  a->distance = 0;
  for (int i = 0; i < c->shards; i++) {
    if (decodes(a)) loss += a->figures[2 * i];
    if (a->anchor) a->distance += a->figures[2 * i + 1] / c->anchor;
  }
  for (int i = 0; i < tensors; i++) squares += a->figures[2 * c->shards + i];
  double norm = sqrt(squares);
  if (!isfinite(loss) || !isfinite(norm)) return NAN;
  double rise = a->step < c->warmup ? (a->step + 1.0) / c->warmup : 1;
  double fall = 0.5 * (1 + cos(M_PI * fmin(1, (double)a->step / c->steps)));
  Update u = {.a = a, .rate = (float)(c->rate * rise * fall)};
  us_ops_clip_scale(a->device, tensors, a->sums + 2 * c->shards, c->clip, a->scale);
  us_pool_run(pool, tensors, update_item, &u);
  a->step++;
  return loss;
}

// ---- files ----

static UsStatus checkpoint_failed(const char* path, size_t floats) {
  return us_fail(US_MEMORY, "%s: out of memory for %zu weights", path, floats);
}

UsStatus us_autoencoder_save(const UsAutoencoder* a, const char* path) {
  float* host = malloc(3 * a->floats * sizeof(float));
  if (!host) return checkpoint_failed(path, a->floats);
  const float* const part[3] = {a->weights, a->m, a->v};
  const char* const names[3] = {"weights", "adam.m", "adam.v"};
  UsTensorOut out[3];
  for (int i = 0; i < 3; i++) {
    us_ops_get(a->device, part[i], host + (size_t)i * a->floats, a->floats);
    out[i] = (UsTensorOut){.name = names[i],
                           .rank = 1,
                           .shape = {(int64_t)a->floats},
                           .data = host + (size_t)i * a->floats};
  }
  char step[32], seed[32], steps[32];
  snprintf(step, sizeof(step), "%d", a->step);
  snprintf(steps, sizeof(steps), "%d", a->config.steps);
  snprintf(seed, sizeof(seed), "%llu", (unsigned long long)a->config.seed);
  const char* const keys[3] = {"step", "steps", "seed"};
  const char* const values[3] = {step, steps, seed};
  UsStatus status = us_tensors_write(path, 3, out, 3, keys, values);
  free(host);
  return status;
}

// The whole number under a metadata key, within 0 .. most.
static UsStatus read_number(const UsTensors* file, const char* path, const char* key,
                            unsigned long long most, unsigned long long* out) {
  const char* text = us_tensors_metadata(file, key);
  char* end = NULL;
  *out = text ? strtoull(text, &end, 10) : 0;
  if (text && *text && !*end && *out <= most) return US_OK;
  return us_fail(US_FORMAT, "%s: expected a whole number up to %llu under \"%s\", found \"%s\"",
                 path, most, key, text ? text : "nothing");
}

static UsStatus load_open(UsAutoencoder* a, const char* path, const UsTensors* file, float* host) {
  unsigned long long step, steps, seed;
  int64_t shape = (int64_t)a->floats;
  US_TRY(read_number(file, path, "step", (unsigned long long)a->config.steps, &step));
  US_TRY(read_number(file, path, "steps", INT32_MAX, &steps));
  US_TRY(read_number(file, path, "seed", UINT64_MAX, &seed));
  if ((int)steps != a->config.steps || seed != a->config.seed) {
    return us_fail(US_FORMAT, "%s: expected %d steps and seed %llu, found %llu and %llu", path,
                   a->config.steps, (unsigned long long)a->config.seed, steps, seed);
  }
  US_TRY(us_tensors_read(file, "weights", 1, &shape, host));
  US_TRY(us_tensors_read(file, "adam.m", 1, &shape, host + a->floats));
  US_TRY(us_tensors_read(file, "adam.v", 1, &shape, host + 2 * a->floats));
  us_ops_put(a->device, a->weights, host, a->floats);
  us_ops_put(a->device, a->m, host + a->floats, a->floats);
  us_ops_put(a->device, a->v, host + 2 * a->floats, a->floats);
  a->step = (int)step;
  return US_OK;
}

UsStatus us_autoencoder_load(UsAutoencoder* a, const char* path) {
  UsTensors* file;
  US_TRY(us_tensors_open(path, &file));
  float* host = malloc(3 * a->floats * sizeof(float));
  UsStatus status = host ? load_open(a, path, file, host) : checkpoint_failed(path, a->floats);
  free(host);
  us_tensors_close(file);
  return status;
}

// ---- the finished encoder ----

// mean (D) of the latents of up to 4096 frames and their deviation over all numbers.
static UsStatus latent_statistics(const UsAutoencoder* a, const UsEncoder* e, UsPool* pool,
                                  double* mean, double* deviation) {
  size_t d = (size_t)a->config.vit.global_dim, bytes = frame_bytes(&a->config.vit);
  int each = 4096 / a->sets, total = 0;
  float* z = calloc((size_t)a->sets * (size_t)each * d, sizeof(float));
  uint8_t* frames = malloc((size_t)each * bytes);
  if (!z || !frames) {
    free(z);
    free(frames);
    return us_fail(US_MEMORY, "out of memory for statistics of latents");
  }
  UsStatus status = US_OK;
  for (int s = 0; s < a->sets && status == US_OK; s++) {
    int n = a->set[s].count < each ? a->set[s].count : each;
    for (int i = 0; i < n; i++) {
      size_t at = (size_t)((int64_t)i * a->set[s].count / n);
      memcpy(frames + (size_t)i * bytes, a->set[s].frames + at * bytes, bytes);
    }
    status = us_encoder_encode(e, n, frames, NULL, z + (size_t)total * d, pool);
    total += n;
  }
  double squares = 0;
  for (size_t j = 0; j < d; j++) {
    mean[j] = 0;
    for (int i = 0; i < total; i++) mean[j] += z[(size_t)i * d + j];
    mean[j] /= total;
    for (int i = 0; i < total; i++) {
      double off = z[(size_t)i * d + j] - mean[j];
      squares += off * off;
    }
  }
  *deviation = sqrt(squares / ((double)total * (double)d));
  free(z);
  free(frames);
  return status;
}

// Folds y = (z - mean) / deviation into the encoder's last norm, and z = y deviation + mean into
// the decoder's first layer; host: weights of both.
static void fold(const UsAutoencoder* a, const double* mean, double deviation, float* host) {
  int d = a->config.vit.global_dim;
  float* gain = host + a->vit->at.latent_gain;
  float* bias = host + a->vit->at.latent_bias;
  float* decoder = host + a->vit->params.floats;
  float* w = decoder + a->decoder->at.global_w;
  float* b = decoder + a->decoder->at.global_b;
  int rows = us_vit_cells(&a->config.vit) * a->config.vit.merge_dim;
  for (int i = 0; i < d; i++) {
    bias[i] = (float)((bias[i] - mean[i]) / deviation);
    gain[i] = (float)(gain[i] / deviation);
  }
  for (int r = 0; r < rows; r++) {
    double sum = b[r];
    for (int i = 0; i < d; i++) {
      sum += mean[i] * w[r * d + i];
      w[r * d + i] = (float)(deviation * w[r * d + i]);
    }
    b[r] = (float)sum;
  }
}

UsStatus us_autoencoder_encoder(const UsAutoencoder* a, UsPool* pool, UsEncoder** out) {
  *out = NULL;
  float* host = malloc(a->floats * sizeof(float));
  double* mean = calloc((size_t)a->config.vit.global_dim, sizeof(double));
  if (!host || !mean) {
    free(host);
    free(mean);
    return us_fail(US_MEMORY, "out of memory for the finished encoder");
  }
  us_ops_get(a->device, a->weights, host, a->floats);
  UsStatus status = US_OK;
  if (a->config.vit.norm) {  // an anchored latent has its scale already
    double deviation = 1;
    UsEncoder* raw = NULL;
    status = us_encoder_make_vit(&a->config.vit, host, NULL, &raw);
    if (status == US_OK) status = latent_statistics(a, raw, pool, mean, &deviation);
    us_encoder_destroy(raw);
    if (status == US_OK && deviation > 0) fold(a, mean, deviation, host);
  }
  if (status == US_OK) {
    status = us_encoder_make_vit(&a->config.vit, host, host + a->vit->params.floats, out);
  }
  free(host);
  free(mean);
  return status;
}
