#ifndef UNDERSTUDY_PREDICTOR_INNER_H_
#define UNDERSTUDY_PREDICTOR_INNER_H_

// What the parts of the predictor share: its tensors by name, its angles. Equations in predictor.h.

#include "worldmodel/base/arena.h"
#include "worldmodel/ops.h"
#include "worldmodel/predictor.h"

// Sizes by the names that the lists below use.
#define PREDICTOR_SIZES(c)                                                              \
  const int w = (c)->width, d = (c)->dim, h = (c)->mlp * w, u = (c)->action_hidden,     \
            j = w + ((c)->past + (c)->leap) * (c)->block * (c)->action, n = (c)->depth; \
  (void)w, (void)d, (void)h, (void)u, (void)j, (void)n

// field, name in the checkpoint, rows, columns (0: a vector), flags
#define PREDICTOR_PARAMS(X)                       \
  X(query, "query", w, 0, US_PARAM_SMALL)         \
  X(kv_w, "kv.weight", n * 2 * w, d, kMatrix)     \
  X(kv_b, "kv.bias", n * 2 * w, 0, 0)             \
  X(last_gain, "last.weight", w, 0, US_PARAM_ONE) \
  X(last_bias, "last.bias", w, 0, 0)              \
  X(head_w, "head.weight", d, w, kHead)           \
  X(head_b, "head.bias", d, 0, 0)

#define PREDICTOR_SEED_PARAMS(X)          \
  X(seed_w, "seed.weight", w, d, kMatrix) \
  X(seed_b, "seed.bias", w, 0, 0)

#define PREDICTOR_BLOCK_PARAMS(X)                   \
  X(norm1_gain, "norm1.weight", w, 0, US_PARAM_ONE) \
  X(norm1_bias, "norm1.bias", w, 0, 0)              \
  X(query_w, "query.weight", w, w, kMatrix)         \
  X(query_b, "query.bias", w, 0, 0)                 \
  X(out_w, "out.weight", w, w, kMatrix)             \
  X(out_b, "out.bias", w, 0, 0)                     \
  X(norm2_gain, "norm2.weight", w, 0, US_PARAM_ONE) \
  X(norm2_bias, "norm2.bias", w, 0, 0)              \
  X(up_w, "up.weight", h, w, kMatrix)               \
  X(up_b, "up.bias", h, 0, 0)                       \
  X(down_w, "down.weight", w, h, kMatrix)           \
  X(down_b, "down.bias", w, 0, 0)

#define PREDICTOR_ACTION_PARAMS(X)                                         \
  X(norm3_gain, "norm3.weight", j, 0, US_PARAM_ONE | US_PARAM_ACTION)      \
  X(norm3_bias, "norm3.bias", j, 0, US_PARAM_ACTION)                       \
  X(aup_w, "action_up.weight", u, j, kMatrix | US_PARAM_ACTION)            \
  X(aup_b, "action_up.bias", u, 0, US_PARAM_ACTION)                        \
  X(adown_w, "action_down.weight", w, u, US_PARAM_DECAY | US_PARAM_ACTION) \
  X(adown_b, "action_down.bias", w, 0, US_PARAM_ACTION)

// Offsets into the flat array.
typedef struct PredictorBlock {
#define X(field, name, rows, columns, flags) size_t field;
  PREDICTOR_BLOCK_PARAMS(X)
  PREDICTOR_ACTION_PARAMS(X)
#undef X
} PredictorBlock;

typedef struct PredictorOffsets {
#define X(field, name, rows, columns, flags) size_t field;
  PREDICTOR_PARAMS(X)
  PREDICTOR_SEED_PARAMS(X)
#undef X
} PredictorOffsets;

struct UsPredictor {
  UsWorldModel base;
  UsPredictorConfig c;
  UsParamList list;
  PredictorOffsets at;
  PredictorBlock* block;  // (depth)
  float* params;          // list.floats, tensor memory
  int moved;              // 1: params are somebody else's
  float* norm;            // tensor memory (4, D): gain and bias to z, gain and bias back to x
};

#define US_PREDICTOR_EPS 1e-5f

static inline int predictor_tokens(const UsPredictorConfig* c) {
  return c->grid_h * c->grid_w;
}
// Numbers of one block of actions, and of all blocks that a target knows.
static inline int predictor_block(const UsPredictorConfig* c) {
  return c->block * c->action;
}
static inline int predictor_inputs(const UsPredictorConfig* c) {
  return (c->past + c->leap) * predictor_block(c);
}
// Predicted frames, counted from 0, come in groups of `leap` that see the same C frames: the first
// of frame f's group, whose newest frame seen is the one before it.
static inline int predictor_group(const UsPredictorConfig* c, int f) {
  return f / c->leap * c->leap;
}
static inline int predictor_pairs(const UsPredictorConfig* c) {
  return c->width / c->heads / 2;
}
// Candidates of `rows` rows, at least 1. A tile has 128 rows, of which a rollout of few candidates
// uses a multiple of 64.
enum { kTileRows = 128, kTileStep = 64 };
static inline int predictor_candidates(const UsPredictorConfig* c, int rows) {
  return predictor_tokens(c) < rows ? rows / predictor_tokens(c) : 1;
}
// Floats of the keys and values of C frames.
static inline size_t predictor_cache(const UsPredictorConfig* c) {
  return (size_t)c->depth * 2 * (size_t)(c->context * predictor_tokens(c)) * (size_t)c->width;
}

// Cosines and sines of the turns of the G tokens of a frame at `time`: out (G, pairs, 2), host.
void predictor_angles(const UsPredictorConfig* c, double time, float* out);

// Of those the ones that the time decides, in an array that has all others.
void predictor_time_angles(const UsPredictorConfig* c, double time, float* out);

// Candidates that a device takes in one rollout: on the CPU a tile, on a wide device as many as its
// memory has room for.
int predictor_tile(const UsPredictor* p);

#endif  // UNDERSTUDY_PREDICTOR_INNER_H_
