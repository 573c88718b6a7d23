#ifndef UNDERSTUDY_PREDICTOR_PASS_H_
#define UNDERSTUDY_PREDICTOR_PASS_H_

// One pass of the predictor's blocks over some queries: the tape of predictor_train.c is made of
// such passes, and predictor_rollout.c has one. A pass for training keeps what its backward needs;
// that of a rollout has one set of activations that its blocks use in turn.
//
// Threads: passes are per thread, the predictor is constant. All pointers are tensor memory.

#include "worldmodel/predictor/predictor_inner.h"

// Activations of a block: field, floats per row.
#define LAYER_ROWS(X) \
  X(q, w)             \
  X(norm1, w)         \
  X(stats1, 2)        \
  X(turned, w)        \
  X(attended, w)      \
  X(q1, w)            \
  X(norm2, w)         \
  X(stats2, 2)        \
  X(up, h)            \
  X(active, h)        \
  X(q2, w)            \
  X(joined, j)        \
  X(norm3, j)         \
  X(stats3, 2)        \
  X(aup, u)           \
  X(aactive, u)

typedef struct Layer {
#define X(field, floats) float* field;  // (rows, floats)
  LAYER_ROWS(X)
#undef X
  float* k;      // (batch, tk, w), turned
  float* v;      // (batch, tk, w)
  float* probs;  // (batch, heads, tq, tk)
} Layer;

typedef struct Pass {
  int batch, tq, tk;
  int rows;                 // batch * tq
  int period;               // row r of the queries turns by row r % period of the angles
  int kept;                 // 1: for training
  int borrows;              // 1: k and v of its layers are set by its owner
  size_t stride;            // floats from the keys of one of the batch to those of the next
  const uint8_t* mask;      // (tq, tk). Nullable
  const float* transposed;  // (list floats) the weights, matrices transposed. Nullable
  float* angles;            // (period, pairs, 2) of the targets
  float* last;              // (rows, D) tokens of the frame before
  float* actions;           // (rows / G, past + 1, K A)
  Layer* layer;             // (depth)
  float* end;               // (rows, w) behind the last block
  float* end_norm;          // (rows, w)
  float* end_stats;         // (rows, 2)
  float* out;               // (rows, D)
} Pass;

// Scratch of backward passes, for the largest pass.
typedef struct Temps {
  float *dq, *dn, *dx, *dj;  // (rows, w), (rows, j), (rows, j), (rows, j)
  float* dh;                 // (rows, max(h, u))
  float *dk, *dv;            // (batch, tk, w)
  float* da;                 // (rows / G, past + 1, K A)
} Temps;

// Keys and values of `rows` tokens in all blocks, and their gradients.
typedef struct KvCache {
  float* both;  // (rows, depth, 2, w) as the matrix gives them, then their gradients
  float* k;     // (depth, rows, w), turned
  float* v;     // (depth, rows, w)
  float* dk;    // (depth, rows, w)
  float* dv;    // (depth, rows, w)
} KvCache;

// Where kv_forward puts frames of so many tokens.
typedef struct KvPlace {
  float *k, *v;  // of block 0's first frame (tokens, w)
  int tokens;    // of a frame
  size_t block;  // floats from block to block
  size_t frame;  // floats from frame to frame
} KvPlace;

// Where gradients go: NULL for tensors that stay as they are.
typedef struct Gradient {
  float* trunk;
  float* action;
  int acts;  // 1: the sink gets that of the actions
} Gradient;

// Takes a pass's arrays, or a cache's for `rows` tokens. A pass that borrows, or one without
// `kept`, sees keys and values that its owner sets.
void pass_place(const UsPredictorConfig* c, UsArena* a, Pass* s);
void kv_place(const UsPredictorConfig* c, UsArena* a, int rows, KvCache* out);

// Fills s->out from s->last, s->actions, s->angles and the layers' k and v.
void pass_forward(const UsPredictor* p, const Pass* s);

// Receives block l's gradients of the turned keys and of the values, dk and dv (batch, tk, w), and
// of the actions, da (rows / G, past + 1, K A), where they are asked for, else NULL.
typedef void (*PassSink)(void* arg, int l, const float* dk, const float* dv, const float* da);

// From dout (rows, D): parameter gradients, keys' and values' gradients to the sink, block by
// block, and dlast (rows, D), the gradient of s->last. Nullable: dlast.
void pass_backward(const UsPredictor* p, const Pass* s, const Temps* m, const float* dout,
                   float* dlast, PassSink sink, void* arg, const Gradient* g);

// Keys and values of frames (frames, to->tokens, D), of all blocks in one product, into their
// place. Row r turns by row r % period of angles (period, pairs, 2). transposed as in a pass. both
// (rows, depth, 2, w) scratch. Nullable: transposed.
void kv_forward(const UsPredictor* p, const float* transposed, int frames, const float* tokens,
                const float* angles, int period, float* both, const KvPlace* to);

// From m->dk and m->dv: dtokens (rows, D) and the gradients of the matrix. angles (rows, pairs, 2).
// Nullable: dtokens, g.
void kv_backward(const UsPredictor* p, int rows, const float* tokens, const float* angles,
                 const KvCache* m, float* dtokens, float* g);

#endif  // UNDERSTUDY_PREDICTOR_PASS_H_
