#ifndef UNDERSTUDY_DECODER_H_
#define UNDERSTUDY_DECODER_H_

// From a latent back to a frame, the mirror of vit.h with a head:
//
//   c = W_g z + b_g                        (cells, merge_dim); c = z without a global vector
//   x = [m x m neighbours of W_m c + b_m] + pos     (P, hidden)
//   x = block_n(x)
//   patches = W_p norm(x) + b_p            (P, 3, patch, patch), in the encoder's units
//
// It trains an encoder and draws pictures of latents; no plan depends on it.
// Threads: as vit.h.

#include "worldmodel/vit.h"

// field, name in the checkpoint, flags, rows, columns
#define US_DECODER_PARAMS(X)                                                                      \
  X(global_w, "decoder.global.weight", US_PARAM_NORMAL | US_PARAM_DECAY,                          \
    c->global_dim ? us_vit_cells(c) * c->merge_dim : 0, c->global_dim)                            \
  X(global_b, "decoder.global.bias", 0, c->global_dim ? us_vit_cells(c) * c->merge_dim : 0, 0)    \
  X(merge_w, "decoder.merge.weight", US_PARAM_NORMAL | US_PARAM_DECAY,                            \
    c->merge * c->merge * c->hidden, c->merge_dim)                                                \
  X(merge_b, "decoder.merge.bias", 0, c->merge * c->merge * c->hidden, 0)                         \
  X(positions, "decoder.position_embeddings", US_PARAM_SMALL, us_vit_patches(c), c->hidden)       \
  X(norm_gain, "decoder.layernorm.weight", US_PARAM_ONE, c->hidden, 0)                            \
  X(norm_bias, "decoder.layernorm.bias", 0, c->hidden, 0)                                         \
  X(pixels_w, "decoder.pixels.weight", US_PARAM_NORMAL | US_PARAM_DECAY, 3 * c->patch * c->patch, \
    c->hidden)                                                                                    \
  X(pixels_b, "decoder.pixels.bias", 0, 3 * c->patch * c->patch, 0)

typedef struct UsDecoderOffsets {
#define X(field, name, flags, rows, columns) size_t field;
  US_DECODER_PARAMS(X)
#undef X
} UsDecoderOffsets;

typedef struct UsDecoder {
  UsVitConfig config;  // of the encoder; hidden, layers, heads, mlp serve the decoder too
  UsBlockShape shape;
  UsParamList params;
  UsDecoderOffsets at;
  UsBlock* block;  // (layers)
} UsDecoder;

typedef struct UsDecoderWork UsDecoderWork;

// A decoder for an encoder with a head. Tensors of no rows are absent. On failure *out is NULL.
UsStatus us_decoder_create(const UsVitConfig* c, UsDecoder** out);

// NULL is fine.
void us_decoder_destroy(UsDecoder* d);

// First weights of the layer behind a global vector, in `weights` (params.floats), ordinary memory:
// a cell's numbers are what least squares over n frames (height, width, 3) and their latents (n, D)
// know of random mixtures of the cell's pixels, around 0 and of variance 1. Then what is seen where
// need not be found out by training. `noise` is the deviation of latents that it is to bear.
UsStatus us_decoder_start(const UsDecoder* d, int n, const uint8_t* frames, const float* latents,
                          float noise, uint64_t seed, float* weights);

// As us_vit_work_create.
UsDecoderWork* us_decoder_work_create(const UsDecoder* d, int frames, int training);
void us_decoder_work_destroy(UsDecoderWork* k);

// Patches (frames, P, 3, patch, patch), tensor memory of the work, of latents (frames, G, D).
const float* us_decoder_forward(const UsDecoder* d, const float* weights, UsDecoderWork* k,
                                const float* latents);

// dlatents (frames, G, D) of dpatches, which is overwritten; adds to gradient (params.floats).
void us_decoder_backward(const UsDecoder* d, const float* weights, UsDecoderWork* k,
                         const float* latents, float* dpatches, float* dlatents, float* gradient);

// pixels (height, width, 3) of the one latent (G, D), tensor memory, of a work of one frame that
// does not train.
void us_decoder_draw(const UsDecoder* d, const float* weights, UsDecoderWork* k,
                     const float* latent, uint8_t* pixels);

#endif  // UNDERSTUDY_DECODER_H_
