#ifndef UNDERSTUDY_VIT_BLOCK_H_
#define UNDERSTUDY_VIT_BLOCK_H_

// One transformer block as in DINOv2, forward and backward:
//
//   m = x + scale1 * (W_o attend(W_q n, W_k n, W_v n) + b_o),  n = norm1(x)
//   y = m + scale2 * (W_2 gelu(W_1 norm2(m) + b_1) + b_2)
//
// Tokens see all tokens of their own frame. Encoder and decoder are stacks of these.
//
// Threads: shapes and weights are constant; each call needs activations of its own.

#include "worldmodel/base/api.h"
#include "worldmodel/base/arena.h"
#include "worldmodel/device.h"
#include "worldmodel/param_list.h"

US_C_BEGIN

typedef struct UsBlockShape {
  int width;   // w
  int heads;   // w is a multiple of heads
  int hidden;  // h of the MLP
  int tokens;  // T of a frame
  float eps;   // of the norms
  UsDevice* device;
} UsBlockShape;

// field, name in the checkpoint, rows, columns (0: a vector), flags
#define US_BLOCK_PARAMS(X)                                                    \
  X(norm1_gain, "norm1.weight", c->width, 0, US_PARAM_ONE)                    \
  X(norm1_bias, "norm1.bias", c->width, 0, 0)                                 \
  X(query_w, "attention.attention.query.weight", c->width, c->width, kMatrix) \
  X(query_b, "attention.attention.query.bias", c->width, 0, US_PARAM_SWITCH)  \
  X(key_w, "attention.attention.key.weight", c->width, c->width, kMatrix)     \
  X(key_b, "attention.attention.key.bias", c->width, 0, US_PARAM_SWITCH)      \
  X(value_w, "attention.attention.value.weight", c->width, c->width, kMatrix) \
  X(value_b, "attention.attention.value.bias", c->width, 0, US_PARAM_SWITCH)  \
  X(output_w, "attention.output.dense.weight", c->width, c->width, kMatrix)   \
  X(output_b, "attention.output.dense.bias", c->width, 0, 0)                  \
  X(scale1, "layer_scale1.lambda1", c->width, 0, US_PARAM_ONE)                \
  X(norm2_gain, "norm2.weight", c->width, 0, US_PARAM_ONE)                    \
  X(norm2_bias, "norm2.bias", c->width, 0, 0)                                 \
  X(fc1_w, "mlp.fc1.weight", c->hidden, c->width, kMatrix)                    \
  X(fc1_b, "mlp.fc1.bias", c->hidden, 0, 0)                                   \
  X(fc2_w, "mlp.fc2.weight", c->width, c->hidden, kMatrix)                    \
  X(fc2_b, "mlp.fc2.bias", c->width, 0, 0)                                    \
  X(scale2, "layer_scale2.lambda1", c->width, 0, US_PARAM_ONE)

// What a block keeps for its backward pass: field, floats per token.
#define US_BLOCK_ACTS(X)                        \
  X(norm1, c->width)                            \
  X(stats1, 2)                                  \
  X(query, c->width)                            \
  X(key, c->width)                              \
  X(value, c->width)                            \
  X(probs, training ? c->heads * c->tokens : 0) \
  X(attended, c->width)                         \
  X(projected, c->width)                        \
  X(middle, c->width)                           \
  X(norm2, c->width)                            \
  X(stats2, 2)                                  \
  X(hidden, c->hidden)                          \
  X(active, c->hidden)                          \
  X(expanded, c->width)

// Scratch of a backward pass, shared by all blocks: field, floats per token.
#define US_BLOCK_TEMPS(X) \
  X(a, c->width)          \
  X(b, c->width)          \
  X(c, c->width)          \
  X(query, c->width)      \
  X(key, c->width)        \
  X(value, c->width)      \
  X(hidden, c->hidden)

// Offsets of a block's tensors in the flat array.
typedef struct UsBlock {
#define X(field, name, rows, columns, flags) size_t field;
  US_BLOCK_PARAMS(X)
#undef X
} UsBlock;

// Tensor memory; rows = frames * T, each field (rows, floats per token).
typedef struct UsBlockActs {
#define X(field, floats) float* field;
  US_BLOCK_ACTS(X)
#undef X
} UsBlockActs;

typedef struct UsBlockTemps {
#define X(field, floats) float* field;
  US_BLOCK_TEMPS(X)
#undef X
} UsBlockTemps;

// Adds a block's tensors to the list, their names behind prefix ("encoder.layer.0.").
US_API void us_block_layout(const UsBlockShape* c, const char* prefix, UsParamList* list,
                            UsBlock* out);

// Lays out the activations of a stack of blocks over `rows` tokens: x (layers + 1), the blocks'
// inputs and the output, each (rows, w), and acts (layers). Without training, where no backward
// pass needs them, all blocks share one set, which has no probs.
US_API void us_block_take(const UsBlockShape* c, int layers, int rows, int training, UsArena* arena,
                          float** x, UsBlockActs* acts);

// The same for the scratch of a backward pass.
US_API void us_block_take_temps(const UsBlockShape* c, int rows, UsArena* arena, UsBlockTemps* out);

// y of x, both (frames, T, w). weights: the flat array. y may alias x.
US_API void us_block_forward(const UsBlockShape* c, const UsBlock* p, const float* weights,
                             int frames, const float* x, const UsBlockActs* acts, float* y);

// dx (frames, T, w) of dy; adds to gradient, a flat array like weights. dx may alias dy.
US_API void us_block_backward(const UsBlockShape* c, const UsBlock* p, const float* weights,
                              int frames, const float* x, const UsBlockActs* acts,
                              const UsBlockTemps* temps, const float* dy, float* dx,
                              float* gradient);

US_C_END

#endif  // UNDERSTUDY_VIT_BLOCK_H_
