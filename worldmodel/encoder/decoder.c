// c = global(z), or z; x = scatter(merge(c)) + pos; x = block_n(x); patches = pixels(norm(x))

#include "worldmodel/encoder/decoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/ops.h"
#include "worldmodel/ops/cpu/lapack.h"

// What one pass keeps; the parts marked so are there for a backward pass alone.
struct UsDecoderWork {
  UsDevice* device;
  int frames;
  int training;
  float* memory;
  float* cells;   // (frames, cells, merge_dim), of a global vector
  float* spread;  // (frames, cells, m m hidden)
  int* scatter;   // (frames, P / m): us_vit_gather's indices
  int* gather;    // (frames, P / m), training
  float** x;      // (layers + 1) of (frames, P, hidden); without training all the same
  UsBlockActs* acts;
  float* normed;       // (frames, P, hidden)
  float* stats;        // (frames, P, 2)
  float* patches;      // (frames, P, 3 patch patch)
  float* drawn;        // the same of one frame, ordinary memory, without training
  UsBlockTemps temps;  // training
  float* dx;           // (frames, P, hidden), training
  float* dspread;      // (frames, cells, m m hidden), training
  float* dcells;       // (frames, cells, merge_dim), training
};

UsStatus us_decoder_create(const UsVitConfig* config, UsDecoder** out) {
  *out = NULL;
  US_ASSERT(config->merge > 0);
  UsDecoder* d = calloc(1, sizeof(UsDecoder));
  if (!d) return us_fail(US_MEMORY, "out of memory for a decoder");
  const UsVitConfig* c = &d->config;
  d->config = *config;
  if (!c->device) d->config.device = us_device_cpu();
  // Blocks like the encoder's, over the patches alone.
  d->shape = (UsBlockShape){.width = c->hidden,
                            .heads = c->heads,
                            .hidden = c->mlp,
                            .tokens = us_vit_patches(c),
                            .eps = c->eps,
                            .device = c->device};
  // Tensors outside the blocks, then block by block.
  d->block = calloc((size_t)c->layers, sizeof(UsBlock));
#define X(field, name, flags, rows, columns) \
  if ((rows) > 0) d->at.field = us_params_add(&d->params, "", name, flags, rows, columns, 0, 0);
  US_DECODER_PARAMS(X)
#undef X
  for (int i = 0; i < c->layers && d->block; i++) {
    // Names as those of the encoder's blocks, in a namespace of their own.
    char prefix[48];
    snprintf(prefix, sizeof(prefix), "decoder.layer.%d.", i);
    us_block_layout(&d->shape, prefix, &d->params, &d->block[i]);
  }
  if (!d->block || d->params.failed) {
    us_decoder_destroy(d);
    return us_fail(US_MEMORY, "out of memory for a decoder");
  }
  *out = d;
  return US_OK;
}

// mixed (cells, merge_dim) of a frame: random mixtures (merge_dim, pixels) of each cell's pixels.
static void mix(const UsVitConfig* c, const float* mixture, const uint8_t* frame, double* mixed) {
  int side = c->patch * c->merge, wide = c->width / side, numbers = side * side * 3;
  for (int cell = 0; cell < us_vit_cells(c); cell++) {
    const uint8_t* corner = frame + (cell / wide * c->width + cell % wide) * side * 3;
    for (int k = 0; k < c->merge_dim; k++) {
      const float* r = mixture + (size_t)k * (size_t)numbers;
      float sum = 0;
      for (int j = 0; j < numbers; j++) {
        sum += r[j] * corner[j / (3 * side) * c->width * 3 + j % (3 * side)];
      }
      mixed[cell * c->merge_dim + k] = (double)sum / 255;
    }
  }
}

UsStatus us_decoder_start(const UsDecoder* d, int n, const uint8_t* frames, const float* latents,
                          float noise, uint64_t seed, float* weights) {
  const UsVitConfig* c = &d->config;
  const size_t dim = (size_t)c->global_dim, out = (size_t)(us_vit_cells(c) * c->merge_dim);
  const size_t numbers = (size_t)(c->patch * c->patch * c->merge * c->merge * 3);
  const size_t bytes = (size_t)c->height * (size_t)c->width * 3;
  float* mixture = malloc((size_t)c->merge_dim * numbers * sizeof(float));
  float* z = malloc((size_t)n * dim * sizeof(float));
  double* room = calloc(dim * dim + dim + (2 * dim + 1) * out, sizeof(double));
  double *gram = room, *mean = gram + dim * dim, *b = mean + dim, *answer = b + out * dim;
  double* mixed = answer + out * dim;
  UsStatus status =
      mixture && z && room ? US_OK : us_fail(US_MEMORY, "out of memory for a decoder");
  // Latents around their mean, and their products with each other and with the mixtures.
  if (status == US_OK) {
    UsRng r = us_rng(seed, US_RNG_INIT, 0, 2, 0);
    us_rng_fill_normal(&r, mixture, (int)((size_t)c->merge_dim * numbers));
    for (size_t i = 0; i < (size_t)n * dim; i++) mean[i % dim] += (double)latents[i] / n;
    for (size_t i = 0; i < (size_t)n * dim; i++) z[i] = latents[i] - (float)mean[i % dim];
    status = us_lapack_gram(n, dim, z, 1, "a decoder", gram);
  }
  for (int i = 0; i < n && status == US_OK; i++) {
    mix(c, mixture, frames + (size_t)i * bytes, mixed);
    for (size_t k = 0; k < out; k++) {
      for (size_t j = 0; j < dim; j++) b[k * dim + j] += mixed[k] * (double)z[(size_t)i * dim + j];
    }
    status = us_interrupt_check("a decoder");
  }
  if (status == US_OK) {
    double least = n * ((double)noise * (double)noise + 1e-9);
    for (size_t i = 0; i < dim; i++) gram[i * (dim + 1)] += least;
    memcpy(answer, b, out * dim * sizeof(double));
    if (us_lapack_solve((int)dim, (int)out, dim, gram, answer)) {
      status = us_fail(US_FORMAT, "a decoder: latents that are no numbers");
    }
  }
  // The variance of what an answer w gives is w' gram w / n, and gram w is b.
  for (size_t k = 0; k < out && status == US_OK; k++) {
    double variance = 0, at = 0;
    const double* w = answer + k * dim;
    for (size_t i = 0; i < dim; i++) {
      at += w[i] * mean[i];
      variance += w[i] * b[k * dim + i] / n;
    }
    double scale = variance > 0 ? 1 / sqrt(variance) : 0;
    for (size_t i = 0; i < dim; i++) weights[d->at.global_w + k * dim + i] = (float)(scale * w[i]);
    weights[d->at.global_b + k] = (float)(-scale * at);
  }
  free(mixture);
  free(z);
  free(room);
  return status;
}

void us_decoder_destroy(UsDecoder* d) {
  if (!d) return;
  us_params_free(&d->params);
  free(d->block);
  free(d);
}

// Lays the work out, tensor memory.
static void place(const UsDecoder* d, UsDecoderWork* k, UsArena* a) {
  const UsVitConfig* c = &d->config;
  int rows = k->frames * us_vit_patches(c);
  size_t tokens = (size_t)rows * (size_t)c->hidden;
  size_t cells = (size_t)(k->frames * us_vit_cells(c) * c->merge_dim);
  // The way forward.
  k->cells = US_TAKE(a, float, cells);
  k->spread = US_TAKE(a, float, tokens);
  k->scatter = US_TAKE(a, int, rows / c->merge);
  us_block_take(&d->shape, c->layers, rows, k->training, a, k->x, k->acts);
  k->normed = US_TAKE(a, float, tokens);
  k->stats = US_TAKE(a, float, (size_t)rows * 2);
  k->patches = US_TAKE(a, float, (size_t)rows * 3 * (size_t)(c->patch * c->patch));
  if (!k->training) return;
  // Gradients on the way back.
  k->gather = US_TAKE(a, int, rows / c->merge);
  us_block_take_temps(&d->shape, rows, a, &k->temps);
  k->dx = US_TAKE(a, float, tokens);
  k->dspread = US_TAKE(a, float, tokens);
  k->dcells = US_TAKE(a, float, cells);
}

UsDecoderWork* us_decoder_work_create(const UsDecoder* d, int frames, int training) {
  UsDecoderWork* k = calloc(1, sizeof(UsDecoderWork));
  if (!k) return NULL;
  k->device = d->config.device;
  k->frames = frames;
  k->training = training;
  k->x = calloc((size_t)d->config.layers + 1, sizeof(float*));
  k->acts = calloc((size_t)d->config.layers, sizeof(UsBlockActs));
  UsArena a = {0};
  size_t pixels = (size_t)d->config.height * (size_t)d->config.width * 3;
  k->drawn = training ? NULL : calloc(pixels, sizeof(float));
  if (k->x && k->acts && (training || k->drawn)) {
    place(d, k, &a);
    k->memory = us_ops_alloc(k->device, a.size / sizeof(float));
  }
  if (!k->memory) {
    us_decoder_work_destroy(k);
    return NULL;
  }
  us_arena_place(&a, k->memory);
  place(d, k, &a);
  if (us_vit_put_index(&d->config, frames, k->gather, k->scatter) == US_OK) return k;
  us_decoder_work_destroy(k);
  return NULL;
}

void us_decoder_work_destroy(UsDecoderWork* k) {
  if (!k) return;
  us_ops_free(k->device, k->memory);
  free(k->drawn);
  free(k->x);
  free(k->acts);
  free(k);
}

const float* us_decoder_forward(const UsDecoder* d, const float* w, UsDecoderWork* k,
                                const float* latents) {
  const UsVitConfig* c = &d->config;
  int n = k->frames, cells = us_vit_cells(c), p = us_vit_patches(c), h = c->hidden;
  // The vector to cells, every cell to the patches in it, at their places.
  if (c->global_dim) {
    us_ops_linear(k->device, n, cells * c->merge_dim, c->global_dim, latents, w + d->at.global_w,
                  w + d->at.global_b, k->cells);
    latents = k->cells;
  }
  us_ops_linear(k->device, n * cells, c->merge * c->merge * h, c->merge_dim, latents,
                w + d->at.merge_w, w + d->at.merge_b, k->spread);
  us_vit_gather(c, h, n, k->scatter, k->spread, k->x[0]);
  us_ops_add_rows(k->device, n * p, p, h, w + d->at.positions, k->x[0]);
  // Blocks, norm, and a matrix from token to pixels.
  for (int i = 0; i < c->layers; i++) {
    us_block_forward(&d->shape, &d->block[i], w, n, k->x[i], &k->acts[i], k->x[i + 1]);
  }
  us_ops_norm(k->device, n * p, h, c->eps, k->x[c->layers], w + d->at.norm_gain,
              w + d->at.norm_bias, k->normed, k->stats);
  us_ops_linear(k->device, n * p, 3 * c->patch * c->patch, h, k->normed, w + d->at.pixels_w,
                w + d->at.pixels_b, k->patches);
  return k->patches;
}

void us_decoder_backward(const UsDecoder* d, const float* w, UsDecoderWork* k, const float* latents,
                         float* dpatches, float* dlatents, float* g) {
  US_ASSERT(k->training);
  const UsVitConfig* c = &d->config;
  int n = k->frames, cells = us_vit_cells(c), p = us_vit_patches(c), h = c->hidden;
  // Pixels and the last norm. temps.a is free until the first block takes it.
  us_ops_linear_back(k->device, n * p, 3 * c->patch * c->patch, h, k->normed, w + d->at.pixels_w,
                     dpatches, k->temps.a, g + d->at.pixels_w, g + d->at.pixels_b);
  us_ops_norm_back(k->device, n * p, h, k->x[c->layers], w + d->at.norm_gain, k->stats, k->temps.a,
                   k->dx, g + d->at.norm_gain, g + d->at.norm_bias);
  // The blocks, last first; dx is overwritten by every one.
  for (int i = c->layers - 1; i >= 0; i--) {
    us_block_backward(&d->shape, &d->block[i], w, n, k->x[i], &k->acts[i], &k->temps, k->dx, k->dx,
                      g);
  }
  // Positions, patches back to their cells, cells back to the vector.
  us_ops_add_rows_back(k->device, n * p, p, h, k->dx, g + d->at.positions);
  us_vit_gather(c, h, n, k->gather, k->dx, k->dspread);
  us_ops_linear_back(k->device, n * cells, c->merge * c->merge * h, c->merge_dim,
                     c->global_dim ? k->cells : latents, w + d->at.merge_w, k->dspread,
                     c->global_dim ? k->dcells : dlatents, g + d->at.merge_w, g + d->at.merge_b);
  if (!c->global_dim) return;
  us_ops_linear_back(k->device, n, cells * c->merge_dim, c->global_dim, latents, w + d->at.global_w,
                     k->dcells, dlatents, g + d->at.global_w, g + d->at.global_b);
}

void us_decoder_draw(const UsDecoder* d, const float* w, UsDecoderWork* k, const float* latent,
                     uint8_t* pixels) {
  US_ASSERT(k->frames == 1 && k->drawn);
  const UsVitConfig* c = &d->config;
  us_ops_get(k->device, us_decoder_forward(d, w, k, latent), k->drawn,
             (size_t)c->height * (size_t)c->width * 3);
  // Pixel by pixel: its number in its patch, out of the encoder's units, within a byte.
  int s = c->patch, grid_w = c->width / s;
  for (int y = 0; y < c->height; y++) {
    for (int x = 0; x < c->width; x++) {
      const float* patch = k->drawn + (size_t)((y / s * grid_w + x / s) * 3 * s * s);
      for (int ch = 0; ch < 3; ch++) {
        // Units of the encoder's input, (x / 255 - mean) / std, undone.
        float v = patch[(ch * s + y % s) * s + x % s] * c->std[ch] + c->mean[ch];
        v = v * 255 + 0.5f;
        pixels[(y * c->width + x) * 3 + ch] = v >= 255 ? 255 : v > 0 ? (uint8_t)v : 0;
      }
    }
  }
}
