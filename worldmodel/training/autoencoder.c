// z = vit(x); y = decoder(z + noise); loss = mean of w (y - x)^2 + anchor mean (z - z*)^2

#include "worldmodel/autoencoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/arena.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/encoder/decoder.h"
#include "worldmodel/encoder/encoder_class.h"
#include "worldmodel/ops/ops_table.h"
#include "worldmodel/tensor_file.h"
#include "worldmodel/training/anchor.h"
#include "worldmodel/training/optimiser.h"

// What one shard computes: tensor memory, then ordinary memory.
typedef struct Shard {
  UsVitWork* vit;  // NULL with a linear encoder
  UsDecoderWork* decoder;
  float* latents;   // (frames, D): with noise
  float* dlatents;  // (frames, D)
  float* anchor;    // (frames, D): targets z*
  float* danchor;   // (frames, D)
  float* dpatches;  // (frames, P, 3, patch, patch)
  float* weight;    // (frames, P, 3, patch, patch): of the loss
  float* patches;   // (frames, P, 3, patch, patch), as what follows with a linear encoder alone
  float* z;         // (frames, D)
  uint8_t* bytes;   // (frames, height, width, 3)

  float* target;       // (frames, D): anchor
  float* scratch;      // (frames, scratch of us_anchor_target)
  float* noise;        // (frames, D)
  float* host_weight;  // (frames, P, 3, patch, patch): weight
  uint8_t* pixels;     // (frames, height, width, 3)
} Shard;

struct UsAutoencoder {
  UsDevice* device;
  UsAutoencoderConfig config;
  int sets;
  int step;  // steps done
  UsVit* vit;
  UsEncoder* linear;  // NULL: the ViT is trained
  UsDecoder* decoder;
  UsAnchor* anchor;        // NULL without
  UsOptimiser* optimiser;  // its losses: (shards, 2), the pixels' part and the anchored one
  UsAutoencoderStep figures[US_AUTOENCODER_UNREAD];  // as they were read last
  size_t first, floats;  // of weights: the ViT's, where it is trained, then the decoder's

  float* tensors;  // the block of tensor memory
  float* weights;  // (floats)

  UsArena arena;    // the block of ordinary memory
  UsFrameSet* set;  // (sets)
  uint8_t* mean;    // (sets, height, width, 3): mean images
  Shard* shard;     // (shards)
};

#define US_SETTING_OF UsAutoencoderConfig
static const UsSetting settings[] = {US_AUTOENCODER_SETTINGS(US_SETTING_ROW) US_SETTING_END};

void us_autoencoder_defaults(int height, int width_px, int dim, int width, int depth,
                             UsAutoencoderConfig* out) {
  // Sizes that have proved right for frames of 64 x 64; heads of 32 where they fit.
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

// Numbers of a frame's latent.
static size_t latent_size(const UsAutoencoder* a) {
  return (size_t)(a->vit->out_tokens * a->vit->out_dim);
}

static size_t frame_bytes(const UsVitConfig* c) {
  return (size_t)c->height * (size_t)c->width * 3;
}

// Up to 4096 frames, of every set alike, how many they are, and their latents.
static UsStatus look(const UsAutoencoder* a, const UsEncoder* e, UsPool* pool, int* n,
                     uint8_t** frames, float** latents) {
  const size_t bytes = frame_bytes(&a->config.vit);
  int each = 4096 / a->sets;
  *n = 0;
  *latents = malloc((size_t)a->sets * (size_t)each * latent_size(a) * sizeof(float));
  *frames = malloc((size_t)a->sets * (size_t)each * bytes);
  if (!*latents || !*frames) return us_fail(US_MEMORY, "out of memory for statistics of latents");
  for (int s = 0; s < a->sets; s++) {
    int some = a->set[s].count < each ? a->set[s].count : each;
    for (int i = 0; i < some; i++) {
      size_t at = (size_t)((int64_t)i * a->set[s].count / some);
      memcpy(*frames + (size_t)(*n)++ * bytes, a->set[s].frames + at * bytes, bytes);
    }
  }
  return us_encoder_encode(e, *n, *frames, NULL, *latents, pool);
}

// The mean image of a set, from at most 4096 frames spread over it.
static UsStatus mean_image(const UsFrameSet* set, size_t bytes, uint8_t* mean) {
  uint64_t* sum = calloc(bytes, sizeof(uint64_t));
  if (!sum) return us_fail(US_MEMORY, "out of memory for a mean image");
  // Sums of bytes over the frames, rounded at the end.
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

// Lays everything out but what models and optimiser take themselves: tensors, and ordinary memory.
static void layout(UsAutoencoder* a, UsArena* tensors, UsArena* host) {
  const UsAutoencoderConfig* c = &a->config;
  size_t frames = (size_t)c->shard_frames, latents = frames * latent_size(a);
  size_t bytes = frame_bytes(&c->vit), pixels = frames * bytes;
  a->weights = US_TAKE(tensors, float, a->floats);
  a->set = US_TAKE(host, UsFrameSet, a->sets);
  a->mean = US_TAKE(host, uint8_t, (size_t)a->sets * bytes);
  a->shard = US_TAKE(host, Shard, c->shards);
  for (int i = 0; i < c->shards; i++) {
    Shard measured, *s = a->shard ? &a->shard[i] : &measured;
    s->latents = US_TAKE(tensors, float, latents);
    s->dlatents = US_TAKE(tensors, float, latents);
    s->anchor = US_TAKE(tensors, float, latents);
    s->danchor = US_TAKE(tensors, float, latents);
    s->dpatches = US_TAKE(tensors, float, pixels);
    s->weight = US_TAKE(tensors, float, pixels);
    s->patches = US_TAKE(tensors, float, c->linear ? pixels : 0);
    s->z = US_TAKE(tensors, float, c->linear ? latents : 0);
    s->bytes = US_TAKE(tensors, uint8_t, c->linear ? pixels : 0);
    s->target = US_TAKE(host, float, latents);
    s->scratch = US_TAKE(host, float, frames* us_anchor_scratch(c->vit.height, c->vit.width));
    s->noise = US_TAKE(host, float, latents);
    s->host_weight = US_TAKE(host, float, pixels);
    s->pixels = US_TAKE(host, uint8_t, pixels);
  }
}

static UsStatus take_memory(UsAutoencoder* a, const UsFrameSet* set) {
  const UsAutoencoderConfig* c = &a->config;
  size_t bytes = frame_bytes(&c->vit);
  // The models, whose lists say how many weights there are.
  US_TRY(us_vit_create(&c->vit, &a->vit));
  US_TRY(us_decoder_create(&c->vit, &a->decoder));
  a->first = c->linear ? 0 : a->vit->params.floats;
  a->floats = a->first + a->decoder->params.floats;

  // Both blocks, the works of the models and the optimiser.
  UsArena tensors = {0};
  layout(a, &tensors, &a->arena);
  US_TRY(us_arena_alloc(&a->arena));
  a->tensors = us_ops_alloc(a->device, tensors.size / sizeof(float));
  int ok = a->tensors != NULL;
  if (ok) us_arena_place(&tensors, a->tensors);
  layout(a, &tensors, &a->arena);
  for (int i = 0; ok && i < c->shards; i++) {
    if (!c->linear) a->shard[i].vit = us_vit_work_create(a->vit, c->shard_frames, 1);
    a->shard[i].decoder = us_decoder_work_create(a->decoder, c->shard_frames, 1);
    ok = (c->linear || a->shard[i].vit) && a->shard[i].decoder;
  }
  if (!ok) return us_ops_no_memory(a->device, "training an encoder", tensors.size);
  const UsOptimiserConfig o = {.shards = c->shards,
                               .losses = 2 * c->shards,
                               .unread = US_AUTOENCODER_UNREAD,
                               .rate = c->rate,
                               .warmup = c->warmup,
                               .beta2 = 0.99f,
                               .decay = c->decay,
                               .clip = c->clip};
  const UsParamList* const lists[] = {&a->vit->params, &a->decoder->params};
  US_TRY(us_optimiser_create(a->device, &o, c->linear ? 1 : 2, lists + (c->linear ? 1 : 0),
                             a->weights, &a->optimiser));

  // What is read off the frames.
  memcpy(a->set, set, (size_t)a->sets * sizeof(UsFrameSet));
  for (int i = 0; i < a->sets; i++) {
    US_TRY(mean_image(&set[i], bytes, a->mean + (size_t)i * bytes));
  }
  if (c->linear) {
    US_TRY(us_encoder_make_blur(c->vit.global_dim, c->vit.height, c->vit.width, set, a->sets,
                                a->device, &a->linear));
  } else if (c->anchor > 0) {
    US_TRY(us_anchor_create(c->vit.height, c->vit.width, c->vit.global_dim, set, a->mean, a->sets,
                            &a->anchor));
  }
  // First weights of both models' lists, drawn from the seed for each apart.
  float* host = calloc(a->floats, sizeof(float));
  if (!host) return us_fail(US_MEMORY, "out of memory for %zu weights", a->floats);
  if (!c->linear) us_params_init(&a->vit->params, c->seed, 0, host);
  us_params_init(&a->decoder->params, c->seed, 1, host + a->first);
  UsStatus status = US_OK;
  if (c->linear) {
    // Its latents are what they will be: the decoder can start from what they say.
    int n;
    float* z = NULL;
    uint8_t* frames = NULL;
    status = look(a, a->linear, NULL, &n, &frames, &z);
    if (status == US_OK) {
      status = us_decoder_start(a->decoder, n, frames, z, c->noise, c->seed, host + a->first);
    }
    free(frames);
    free(z);
  }
  us_ops_put(a->device, a->weights, host, a->floats);
  free(host);
  return status;
}

UsStatus us_autoencoder_create(const UsAutoencoderConfig* config, const UsFrameSet* set, int sets,
                               UsAutoencoder** out) {
  *out = NULL;
  US_TRY(us_vit_check("encoder", &config->vit));
  US_TRY(us_settings_check(settings, config));
  int vector = config->linear || config->anchor > 0;
  if (!config->vit.merge || (vector && !config->vit.global_dim) || sets < 1) {
    return us_fail(
        US_USAGE,
        "expected a head, with a global vector for an anchor or a linear encoder, and at "
        "least one set of frames");
  }
  // Frames are drawn from every set.
  for (int i = 0; i < sets; i++) {
    if (set[i].count < 1) return us_fail(US_USAGE, "set %d of the frames is empty", i);
  }
  UsAutoencoder* a = calloc(1, sizeof(UsAutoencoder));
  if (!a) return us_fail(US_MEMORY, "out of memory for training an encoder");
  a->config = *config;
  if (!config->vit.device) a->config.vit.device = us_device_cpu();
  a->device = a->config.vit.device;
  if (config->linear) a->config.vit.norm = 0;  // latents have their scale already
  // A wide device takes all frames of a step at once.
  if (a->device->wide) {
    a->config.shard_frames *= a->config.shards;
    a->config.shards = 1;
  }
  a->sets = sets;
  UsStatus status = take_memory(a, set);
  if (status == US_OK) *out = a;
  if (status != US_OK) us_autoencoder_destroy(a);
  return status;
}

void us_autoencoder_destroy(UsAutoencoder* a) {
  if (!a) return;
  for (int i = 0; a->arena.base && a->shard && i < a->config.shards; i++) {
    us_vit_work_destroy(a->shard[i].vit);
    us_decoder_work_destroy(a->shard[i].decoder);
  }
  us_optimiser_destroy(a->optimiser);
  us_ops_free(a->device, a->tensors);
  us_arena_free(&a->arena);
  us_vit_destroy(a->vit);
  us_encoder_destroy(a->linear);
  us_decoder_destroy(a->decoder);
  us_anchor_destroy(a->anchor);
  free(a);
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
      // A pixel off the mean image by a tenth of the scale is of something that moves.
      int far = abs(p[0] - q[0]) > 25 || abs(p[1] - q[1]) > 25 || abs(p[2] - q[2]) > 25;
      float* w = weight + (y / s * grid_w + x / s) * 3 * s * s + y % s * s + x % s;
      for (int ch = 0; ch < 3; ch++) w[ch * s * s] = far ? 1 + foreground : 1;
    }
  }
}

// 1 if step number `step` compares pixels; the others have no pixels' part of the loss.
static int compares(const UsAutoencoder* a, int step) {
  return a->linear || (step - 1) % a->config.decode_every == 0;
}

// Draws one frame of the step, with the weights of its pixels, its target and its noise.
static void draw_item(void* arg, int sample, int worker) {
  UsAutoencoder* a = arg;
  if (us_interrupted()) return;
  const UsAutoencoderConfig* c = &a->config;
  Shard* s = &a->shard[sample / c->shard_frames];
  size_t f = (size_t)(sample % c->shard_frames), d = latent_size(a);
  size_t bytes = frame_bytes(&c->vit);
  // Sets take turns, so that each has its share; the draw is named by step and sample.
  int set = sample % a->sets;
  UsRng r = us_rng(c->seed, US_RNG_BATCH, (uint64_t)a->step, (uint32_t)sample, 0);
  size_t at = us_rng_below(&r, (uint32_t)a->set[set].count);
  const uint8_t* frame = a->set[set].frames + at * bytes;
  const uint8_t* mean = a->mean + (size_t)set * bytes;
  memcpy(s->pixels + f * bytes, frame, bytes);
  if (compares(a, a->step + 1)) {
    pixel_weights(&c->vit, c->foreground, frame, mean, s->host_weight + f * bytes);
    UsRng noise = us_rng(c->seed, US_RNG_NOISE, (uint64_t)a->step, (uint32_t)sample, 0);
    us_rng_fill_normal(&noise, s->noise + f * d, (int)d);
  }
  // Where the latent should lie.
  if (a->anchor) {
    float* scratch = s->scratch + f * us_anchor_scratch(c->vit.height, c->vit.width);
    us_anchor_target(a->anchor, set, frame, mean, scratch, s->target + f * d);
  }
}

// The losses of shard i and their gradient.
static void shard_item(void* arg, int i, int worker) {
  UsAutoencoder* a = arg;
  if (us_interrupted()) return;
  const UsAutoencoderConfig* c = &a->config;
  Shard* s = &a->shard[i];
  const float* decoder_weights = a->weights + a->first;
  float* gradient = us_optimiser_gradient(a->optimiser, i);
  double* losses = us_optimiser_losses(a->optimiser) + 2 * (size_t)i;
  size_t count = (size_t)c->shard_frames * frame_bytes(&c->vit);
  size_t latents = (size_t)c->shard_frames * latent_size(a);
  // The frames as patches, and their latents.
  const float *x = s->patches, *z = s->z;
  if (a->linear) {
    us_encoder_encode_to(a->linear, c->shard_frames, s->pixels, NULL, s->z, NULL);
    us_ops_put_bytes(a->device, s->bytes, s->pixels, count);
    us_ops_patches(a->device, c->shard_frames, c->vit.height / c->vit.patch,
                   c->vit.width / c->vit.patch, c->vit.patch, s->bytes, c->vit.mean, c->vit.std,
                   s->patches);
  } else {
    z = us_vit_forward(a->vit, a->weights, s->vit, s->pixels);
    x = us_vit_work_patches(s->vit);
  }
  us_ops_zero_bytes(a->device, losses, 2 * sizeof(double));

  // Pixels, through the decoder, from latents = z + noise; the noise comes by way of dlatents.
  if (compares(a, a->step + 1)) {
    float scale = c->pixels / ((float)count * (float)c->shards);
    us_ops_put(a->device, s->weight, s->host_weight, count);
    us_ops_put(a->device, s->dlatents, s->noise, latents);
    us_ops_copy(a->device, z, s->latents, latents);
    us_ops_add(a->device, latents, c->noise, s->dlatents, s->latents);
    const float* y = us_decoder_forward(a->decoder, decoder_weights, s->decoder, s->latents);
    us_ops_squared_error(a->device, count, scale, y, x, s->weight, s->dpatches, losses);
    us_decoder_backward(a->decoder, decoder_weights, s->decoder, s->latents, s->dpatches,
                        s->dlatents, gradient + a->first);
  } else {
    us_ops_zero(a->device, s->dlatents, latents);
  }

  if (a->linear) return;

  // The anchor, and both back through the encoder.
  if (a->anchor) {
    // Shares of the mean over all frames of a step.
    float share = c->anchor / ((float)latents * (float)c->shards);
    us_ops_put(a->device, s->anchor, s->target, latents);
    us_ops_squared_error(a->device, latents, share, z, s->anchor, NULL, s->danchor, losses + 1);
    us_ops_add(a->device, latents, 1, s->danchor, s->dlatents);
  }
  us_vit_backward(a->vit, a->weights, s->vit, s->dlatents, gradient);
}

int us_autoencoder_step(UsAutoencoder* a, UsPool* pool) {
  const UsAutoencoderConfig* c = &a->config;
  // Frames, then gradients of the shards and their sum.
  us_pool_run(pool, c->shards * c->shard_frames, draw_item, a);
  us_pool_run(a->device->wide ? NULL : pool, c->shards, shard_item, a);
  us_optimiser_sum(a->optimiser, pool);
  // A stop takes the step back: nothing has changed yet.
  if (us_interrupted()) return 0;
  us_optimiser_update(a->optimiser, a->step + 1, (double)a->step / c->steps, pool);
  a->step++;
  return 1;
}

int us_autoencoder_figures(UsAutoencoder* a, const UsAutoencoderStep** out) {
  const UsAutoencoderConfig* c = &a->config;
  const UsStepFigures* read;
  int n = us_optimiser_read(a->optimiser, &read), before = a->step - n;
  *out = a->figures;
  for (int i = 0; i < n; i++) {
    UsAutoencoderStep* s = &a->figures[i];
    *s = (UsAutoencoderStep){.step = before + i + 1, .finite = read[i].finite};
    s->compared = compares(a, s->step);
    // What the shards summed; the anchored part without its weight.
    for (int k = 0; k < c->shards; k++) {
      s->loss += read[i].losses[2 * k];
      if (a->anchor) s->distance += read[i].losses[2 * k + 1] / c->anchor;
    }
    // Steps from this one on did not happen.
    if (s->finite) continue;
    a->step = s->step - 1;
    return i + 1;
  }
  return n;
}

// ---- files ----

static UsStatus checkpoint_failed(const char* path, size_t floats) {
  return us_fail(US_MEMORY, "%s: out of memory for %zu weights", path, floats);
}

UsStatus us_autoencoder_save(UsAutoencoder* a, const char* path) {
  float* host = malloc(3 * a->floats * sizeof(float));
  if (!host) return checkpoint_failed(path, a->floats);
  // Steps that came to nothing do not count.
  const UsAutoencoderStep* unread;
  us_autoencoder_figures(a, &unread);
  // Weights and both moments, flat: the lists say which floats are whose.
  us_optimiser_get(a->optimiser, host);
  const char* const names[3] = {"weights", "adam.m", "adam.v"};
  UsTensorOut out[3];
  // Three tensors of a length.
  for (int i = 0; i < 3; i++) {
    out[i] = (UsTensorOut){.name = names[i],
                           .rank = 1,
                           .shape = {(int64_t)a->floats},
                           .data = host + (size_t)i * a->floats};
  }
  // What a run that goes on has to have in common, and where it stands.
  char step[32], seed[32], steps[32];
  snprintf(step, sizeof(step), "%d", a->step);
  snprintf(steps, sizeof(steps), "%d", a->config.steps);
  snprintf(seed, sizeof(seed), "%llu", (unsigned long long)a->config.seed);
  const char* const keys[3] = {"step", "steps", "seed"};
  const char* const values[3] = {step, steps, seed};
  UsStatus status = us_device_check(a->device, path);
  if (status == US_OK) status = us_tensors_write(path, 3, out, 3, keys, values);
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
  // Another schedule or seed would make another run of it.
  if ((int)steps != a->config.steps || seed != a->config.seed) {
    return us_fail(US_FORMAT, "%s: expected %d steps and seed %llu, found %llu and %llu", path,
                   a->config.steps, (unsigned long long)a->config.seed, steps, seed);
  }
  // Everything is read before anything is taken over.
  US_TRY(us_tensors_read(file, "weights", 1, &shape, host));
  US_TRY(us_tensors_read(file, "adam.m", 1, &shape, host + a->floats));
  US_TRY(us_tensors_read(file, "adam.v", 1, &shape, host + 2 * a->floats));
  us_optimiser_put(a->optimiser, host);
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

// mean (D) of the tokens of up to 4096 frames and their deviation over all numbers.
static UsStatus latent_statistics(const UsAutoencoder* a, const UsEncoder* e, UsPool* pool,
                                  double* mean, double* deviation) {
  size_t d = (size_t)a->vit->out_dim;
  int total = 0;
  float* z = NULL;
  uint8_t* frames = NULL;
  UsStatus status = look(a, e, pool, &total, &frames, &z);
  total *= a->vit->out_tokens;
  // Mean of each number, then the squares around it, over all numbers.
  double squares = 0;
  for (size_t j = 0; j < d && status == US_OK; j++) {
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
// the decoder's first layer, that of the vector or that of the cells; host: weights of both.
static void fold(const UsAutoencoder* a, const double* mean, double deviation, float* host) {
  const UsVitConfig* c = &a->config.vit;
  const UsDecoderOffsets* at = &a->decoder->at;
  int d = a->vit->out_dim;
  float* gain = host + a->vit->at.latent_gain;
  float* bias = host + a->vit->at.latent_bias;
  float* decoder = host + a->first;
  float* w = decoder + (c->global_dim ? at->global_w : at->merge_w);
  float* b = decoder + (c->global_dim ? at->global_b : at->merge_b);
  int rows = c->global_dim ? us_vit_cells(c) * c->merge_dim : c->merge * c->merge * c->hidden;
  for (int i = 0; i < d; i++) {
    // The norm gives latents of mean 0 and deviation 1.
    bias[i] = (float)((bias[i] - mean[i]) / deviation);
    gain[i] = (float)(gain[i] / deviation);
  }
  // The decoder takes them back first.
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
  double* mean = calloc((size_t)a->vit->out_dim, sizeof(double));
  UsStatus status =
      host && mean ? US_OK : us_fail(US_MEMORY, "out of memory for the finished encoder");
  // With a norm an encoder of the weights as they are measures its latents, whose scale is folded
  // in.
  if (status == US_OK) us_ops_get(a->device, a->weights, host, a->floats);
  if (status == US_OK) status = us_device_check(a->device, "encoder");
  if (status == US_OK && a->config.vit.norm) {  // an anchored latent has its scale already
    double deviation = 1;
    UsEncoder* raw = NULL;
    status = us_encoder_make_vit(&a->config.vit, host, NULL, &raw);
    if (status == US_OK) status = latent_statistics(a, raw, pool, mean, &deviation);
    us_encoder_destroy(raw);
    if (status == US_OK && deviation > 0) fold(a, mean, deviation, host);
  }
  // Then the encoder that is used, with its decoder.
  if (status == US_OK && a->linear) {
    status = us_encoder_blur_decoder(a->linear, &a->config.vit, host, out);
  } else if (status == US_OK) {
    status = us_encoder_make_vit(&a->config.vit, host, host + a->first, out);
  }
  free(host);
  free(mean);
  return status;
}
