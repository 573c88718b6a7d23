// The `vit` kind: vit.h with a tile of frames per call, and decoder.h for pictures.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/encoder/decoder.h"
#include "worldmodel/encoder/encoder_class.h"
#include "worldmodel/ops.h"
#include "worldmodel/vit.h"

// Tokens of a tile: more of them do not make a matrix product faster.
enum { kTileTokens = 256 };

typedef struct Vit {
  UsVit* vit;
  UsDecoder* decoder;  // NULL: there is no head
  int grid;            // side of the checkpoint's position grid
  int biases;          // 1: the checkpoint has biases of queries, keys and values
} Vit;

// What one thread needs for a tile, and for a picture.
typedef struct Work {
  UsDevice* device;
  UsVitWork* vit;          // of a tile
  uint8_t* tile;           // (tile, height, width, 3): a tile that is not full
  UsDecoderWork* decoder;  // of one frame; NULL: none
  float* latent;           // (G, D) tensor memory
} Work;

// Sizes from the config, a ViT of them, and a decoder where there is a head.
static UsStatus parse(UsEncoder* e, const char* name, const cJSON* config) {
  Vit* s = calloc(1, sizeof(Vit));
  if (!s) return us_fail(US_MEMORY, "%s: out of memory for an encoder", name);
  e->self = s;
  UsVitConfig c;
  US_TRY(us_vit_config_parse(name, config, &c, &s->grid));
  US_TRY(us_json_flag(name, config, "qkv_bias", 1, &s->biases));
  c.device = e->device;
  US_TRY(us_vit_create(&c, &s->vit));
  e->params = &s->vit->params;
  // The tokens lie on a grid of patches, of merged cells, or at one place.
  int cells = c.merge ? c.merge : 1;
  e->info.tokens = s->vit->out_tokens;
  e->info.dim = s->vit->out_dim;
  e->info.grid_h = c.global_dim ? 1 : c.height / c.patch / cells;
  e->info.grid_w = c.global_dim ? 1 : c.width / c.patch / cells;
  e->info.height = c.height;
  e->info.width = c.width;
  // As many frames at once as make the matrices large enough.
  if (e->device->wide) {
    size_t pixels = (size_t)c.height * (size_t)c.width * 3;
    e->tile = us_encoder_wide_tile((size_t)s->vit->tokens, pixels * (1 + sizeof(float)));
  } else {
    while (2 * e->tile * s->vit->tokens <= kTileTokens) e->tile *= 2;
  }
  // Pictures are drawn of what our own heads made.
  if (!c.merge) return US_OK;
  US_TRY(us_decoder_create(&c, &s->decoder));
  e->decoder_params = &s->decoder->params;
  return US_OK;
}

// The config is the ViT's: a decoder has the same sizes.
static cJSON* config_json(const UsEncoder* e) {
  return us_vit_config_json(&((Vit*)e->self)->vit->config);
}

// Tensors of a checkpoint that stand beside those of the frozen encoder: of its pretraining, and
// heads of classifiers.
static const char* const beside[] = {"embeddings.mask_token", "pooler.", "classifier.", NULL};

// All tensors by name, positions from the checkpoint's grid to the frames' own, and nothing beyond
// what is known.
static UsStatus read_weights(UsEncoder* e, const UsTensors* file, float* host) {
  const Vit* s = e->self;
  const UsVitConfig* c = &s->vit->config;
  // Checkpoints of whole classifiers have a prefix, and some no biases of queries, keys and values.
  const char* prefix = us_tensors_find(file, "dinov2.layernorm.weight") >= 0 ? "dinov2." : "";
  int absent = s->biases ? 0 : US_PARAM_SWITCH;
  char name[US_TENSOR_NAME];
  snprintf(name, sizeof(name), "%sembeddings.position_embeddings", prefix);
  US_TRY(us_params_read(e->params, file, prefix, absent | US_PARAM_OWN, host));
  // A checkpoint for frames of this size has its positions as they are.
  int th = c->height / c->patch, tw = c->width / c->patch, cls = c->cls ? 1 : 0;
  int64_t shape[3] = {1, cls + th * tw, c->hidden};
  float* out = host + s->vit->at.positions;
  int i = us_tensors_find(file, name);
  int same = i >= 0 && us_tensors_rank(file, i) == 3 && us_tensors_shape(file, i)[1] == shape[1];
  if (same || i < 0 || (th == s->grid && tw == s->grid)) {
    US_TRY(us_tensors_read(file, name, 3, shape, out));
    return us_params_refuse_rest(e->params, file, prefix, absent, beside);
  }
  // Else they are resampled from its grid; the class token has a position of its own.
  shape[1] = cls + s->grid * s->grid;
  size_t first = (size_t)(cls * c->hidden);  // floats before the grid
  float* grid = calloc((size_t)shape[1] * (size_t)c->hidden, sizeof(float));
  if (!grid) return us_fail(US_MEMORY, "%s: out of memory", name);
  UsStatus status = us_tensors_read(file, name, 3, shape, grid);
  if (status == US_OK) {
    memcpy(out, grid, first * sizeof(float));
    status = us_vit_resize(s->grid, s->grid, th, tw, c->hidden, c->registers > 0, grid + first,
                           out + first);
  }
  free(grid);
  US_TRY(status);
  return us_params_refuse_rest(e->params, file, prefix, absent, beside);
}

// Frees half of a work too.
static void work_destroy(void* work) {
  Work* k = work;
  if (!k) return;
  us_vit_work_destroy(k->vit);
  us_decoder_work_destroy(k->decoder);
  us_ops_free(k->device, k->latent);
  free(k->tile);
  free(k);
}

static void* work_create(const UsEncoder* e) {
  const Vit* s = e->self;
  Work* k = calloc(1, sizeof(Work));
  if (!k) return NULL;
  k->device = e->device;
  k->vit = us_vit_work_create(s->vit, e->tile, 0);
  size_t frame = (size_t)e->info.height * (size_t)e->info.width * 3;
  k->tile = calloc(e->device->wide ? 1 : (size_t)e->tile, frame);
  // What decoding needs, where the encoder has a decoder.
  int ok = k->vit && k->tile;
  if (ok && e->decoder_weights) {
    k->decoder = us_decoder_work_create(s->decoder, 1, 0);
    k->latent = us_ops_alloc(e->device, (size_t)(e->info.tokens * e->info.dim));
    ok = k->decoder && k->latent;
  }
  // Half of a work is none.
  if (ok) return k;
  work_destroy(k);
  return NULL;
}

static void encode(const UsEncoder* e, void* work, int n, const uint8_t* pixels,
                   const double* states, float* latents) {
  const Vit* s = e->self;
  Work* k = work;
  size_t count = (size_t)n * (size_t)e->info.tokens * (size_t)e->info.dim;
  // What stands behind the frames of a tile that is not full changes nothing of them.
  if (e->device->wide) {
    us_vit_work_take(k->vit, n);
  } else if (n < e->tile) {
    memcpy(k->tile, pixels, (size_t)n * (size_t)e->info.height * (size_t)e->info.width * 3);
    pixels = k->tile;
  }
  us_ops_copy(e->device, us_vit_forward(s->vit, e->weights, k->vit, pixels), latents, count);
}

static void decode(const UsEncoder* e, void* work, const float* latents, uint8_t* pixels) {
  const Vit* s = e->self;
  Work* k = work;
  us_ops_put(e->device, k->latent, latents, (size_t)(e->info.tokens * e->info.dim));
  us_decoder_draw(s->decoder, e->decoder_weights, k->decoder, k->latent, pixels);
}

static void destroy(UsEncoder* e) {
  Vit* s = e->self;
  if (!s) return;
  us_vit_destroy(s->vit);
  us_decoder_destroy(s->decoder);
  free(s);
}

const UsEncoderClass us_encoder_class_vit = {
    .name = "vit",
    .parse = parse,
    .config = config_json,
    .read = read_weights,
    .work_create = work_create,
    .work_destroy = work_destroy,
    .encode = encode,
    .decode = decode,
    .destroy = destroy,
};

// As if the config had come from a file.
UsStatus us_encoder_make_vit(const UsVitConfig* config, const float* weights,
                             const float* decoder_weights, UsEncoder** out) {
  *out = NULL;
  cJSON* json = us_vit_config_json(config);
  if (!json) return us_fail(US_MEMORY, "out of memory for an encoder");
  UsStatus status = us_encoder_assemble(&us_encoder_class_vit, "encoder", json, weights,
                                        decoder_weights, config->device, out);
  cJSON_Delete(json);
  return status;
}
