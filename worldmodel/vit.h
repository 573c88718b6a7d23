#ifndef UNDERSTUDY_VIT_H_
#define UNDERSTUDY_VIT_H_

// A vision transformer in the layout of DINOv2 checkpoints (Oquab et al. 2023; with registers,
// Darcet et al. 2023), forward and backward, with an optional head behind it.
//
//   x = [cls + pos_0; registers; patches W' + b + pos]     tokens of a frame
//   x = block_n(x)                                         vit_block.h
//   t = layernorm(x), patch tokens only                    (P, width)
//   merge:  c = W_m [m x m neighbours of t] + b_m          (P / m^2, merge_dim)
//   global: z = W_g [all c] + b_g                          (global_dim)
//   norm:   z = (z - mean) / std * gain + bias, over the numbers of z, or of each c
//
// The head is what the config asks for: none of it (G = P tokens of `width`), merge alone
// (G = P / m^2 tokens of merge_dim) or merge and global (G = 1 token of global_dim).
//
// A UsVit is shape alone: config, list of tensors, offsets. Weights are a flat array in tensor
// memory (ops.h), and a UsVitWork holds what one call computes.
// Threads: UsVit and weights are constant; each call needs a work of its own. On the CPU the bits
// of a frame's output depend on the number of frames of a pass (and its place among them): passes
// of one frame give the same bits always.

#include "worldmodel/base/api.h"
#include "worldmodel/base/file.h"
#include "worldmodel/device.h"
#include "worldmodel/vit_block.h"

US_C_BEGIN

typedef struct UsVitConfig {
  int height, width;      // of frames, px; multiples of patch
  int patch;              // side of a patch, px
  int hidden;             // width of a token
  int layers;             // blocks
  int heads;              // hidden is a multiple
  int mlp;                // hidden units of the MLPs
  int registers;          // register tokens
  int cls;                // 1: a class token
  int merge;              // m; 0: no head
  int merge_dim;          // numbers of a merged token
  int global_dim;         // D of the global vector; 0: the merged tokens are the output
  int norm;               // 1: layer norm over the global vector, or over each merged token
  float eps;              // of layer norms
  float mean[3], std[3];  // a channel enters as (x / 255 - mean) / std
  UsDevice* device;       // NULL: the CPU
} UsVitConfig;

// field, name in the checkpoint, flags, four dimensions
#define US_VIT_PARAMS(X)                                                                         \
  X(cls, "embeddings.cls_token", US_PARAM_SMALL, c->cls ? 1 : 0, 1, c->hidden, 0)                \
  X(registers, "embeddings.register_tokens", US_PARAM_SMALL, c->registers ? 1 : 0, c->registers, \
    c->hidden, 0)                                                                                \
  X(positions, "embeddings.position_embeddings", US_PARAM_SMALL | US_PARAM_OWN, 1,               \
    (c->cls ? 1 : 0) + us_vit_patches(c), c->hidden, 0)                                          \
  X(patch_w, "embeddings.patch_embeddings.projection.weight", US_PARAM_NORMAL | US_PARAM_DECAY,  \
    c->hidden, 3, c->patch, c->patch)                                                            \
  X(patch_b, "embeddings.patch_embeddings.projection.bias", 0, c->hidden, 0, 0, 0)               \
  X(norm_gain, "layernorm.weight", US_PARAM_ONE, c->hidden, 0, 0, 0)                             \
  X(norm_bias, "layernorm.bias", 0, c->hidden, 0, 0, 0)                                          \
  X(merge_w, "head.merge.weight", US_PARAM_NORMAL | US_PARAM_DECAY, c->merge_dim,                \
    c->merge * c->merge * c->hidden, 0, 0)                                                       \
  X(merge_b, "head.merge.bias", 0, c->merge_dim, 0, 0, 0)                                        \
  X(global_w, "head.global.weight", US_PARAM_NORMAL | US_PARAM_DECAY, c->global_dim,             \
    us_vit_cells(c) * c->merge_dim, 0, 0)                                                        \
  X(global_b, "head.global.bias", 0, c->global_dim, 0, 0, 0)                                     \
  X(latent_gain, "head.norm.weight", US_PARAM_ONE | US_PARAM_FIXED, us_vit_normed(c), 0, 0, 0)   \
  X(latent_bias, "head.norm.bias", US_PARAM_FIXED, us_vit_normed(c), 0, 0, 0)

// Offsets of the tensors; those of dimension 0 are absent.
typedef struct UsVitOffsets {
#define X(field, name, flags, d0, d1, d2, d3) size_t field;
  US_VIT_PARAMS(X)
#undef X
} UsVitOffsets;

typedef struct UsVit {
  UsVitConfig config;
  UsBlockShape shape;
  UsParamList params;
  UsVitOffsets at;
  UsBlock* block;  // (layers)
  int prefix;      // tokens before the patches: class and registers
  int tokens;      // T = prefix + P
  int out_tokens;  // G
  int out_dim;     // D
} UsVit;

typedef struct UsVitWork UsVitWork;

// Patches P of a frame, merged cells of a frame (0 without a head), and the numbers that the head's
// norm is over (0 without).
US_API int us_vit_patches(const UsVitConfig* c);
US_API int us_vit_cells(const UsVitConfig* c);
US_API int us_vit_normed(const UsVitConfig* c);

// Checks a config; `name` stands for the file in messages.
US_API UsStatus us_vit_check(const char* name, const UsVitConfig* c);

// Lays the tensors out. The config must have passed us_vit_check. On failure *out is NULL.
US_API UsStatus us_vit_create(const UsVitConfig* c, UsVit** out);

// NULL is fine.
US_API void us_vit_destroy(UsVit* v);

// Activations for `frames` frames; with training 1 everything that the backward pass needs. NULL
// when out of memory.
US_API UsVitWork* us_vit_work_create(const UsVit* v, int frames, int training);
US_API void us_vit_work_destroy(UsVitWork* k);

// From now on passes take so many frames, at least one and at most those that the work was made
// for.
US_API void us_vit_work_take(UsVitWork* k, int frames);

// The output (frames, G, D), tensor memory of the work, of pixels (frames, height, width, 3). After
// Ctrl-C (us_interrupted) this and the backward pass end between blocks, and mean nothing.
US_API const float* us_vit_forward(const UsVit* v, const float* weights, UsVitWork* k,
                                   const uint8_t* pixels);

// The input of the last forward pass: patches (frames, P, 3, patch, patch), tensor memory.
US_API const float* us_vit_work_patches(const UsVitWork* k);

// Adds to gradient (params.floats) what doutput (frames, G, D) gives; needs a training work that
// has just run forward. doutput is overwritten.
US_API void us_vit_backward(const UsVit* v, const float* weights, UsVitWork* k, float* doutput,
                            float* gradient);

// y (frames, cells, m*m*hidden) gathers m x m neighbours of x (frames, P, hidden), or y (frames, P,
// hidden) takes them back from x (frames, cells, m*m*hidden), by the index for the one or the
// other, tensor memory: (frames, P / m), as us_vit_gather_index writes it to ordinary memory.
US_API void us_vit_gather_index(const UsVitConfig* c, int frames, int scatter, int* index);
US_API void us_vit_gather(const UsVitConfig* c, int hidden, int frames, const int* index,
                          const float* x, float* y);

// Writes both indices of so many frames, in ordinary memory, to tensor memory. US_MEMORY can fail.
// Nullable: gather, scatter.
US_API UsStatus us_vit_put_index(const UsVitConfig* c, int frames, int* gather, int* scatter);

// ---- files (vit_file.c) ----

// A config.json as Hugging Face's Dinov2Model and Dinov2WithRegistersModel save it, with our
// sections "understudy" and "head" where they stand. grid: side of the checkpoint's position grid.
US_API UsStatus us_vit_config_parse(const char* name, const cJSON* json, UsVitConfig* c, int* grid);

// The same as a JSON value, NULL when out of memory.
US_API cJSON* us_vit_config_json(const UsVitConfig* c);

// y (th, tw, dim) from x (gh, gw, dim) by bicubic interpolation with half-pixel centres, edges
// clamped: a = -0.75 without antialias, or with antialias 1 a = -0.5, support widened by the
// ratio, weights normalised. As PyTorch's interpolate(mode="bicubic"), ordinary memory.
US_API UsStatus us_vit_resize(int gh, int gw, int th, int tw, int dim, int antialias,
                              const float* x, float* y);

US_C_END

#endif  // UNDERSTUDY_VIT_H_
