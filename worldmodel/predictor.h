#ifndef UNDERSTUDY_PREDICTOR_H_
#define UNDERSTUDY_PREDICTOR_H_

// The predictor of the world model: the tokens of the next frame from those of the last C frames,
// as in DINO-world (arXiv 2507.19468), with action blocks.
//
//   z = (x - mean) / scale              raw tokens x (G, D); mean (D) and one common scale
//
// The target frame at time tau has one query per place; it sees the C frames before it. Per block
// l:
//
//   k_l = R(pos) (K_l z + bk_l)         keys and values of every seen token: linear in z itself,
//   v_l = V_l z + bv_l                  so those of real frames are computed once per plan
//   q  += O_l attend(R(pos') (Q_l norm1_l(q) + bq_l), k_l, v_l) + bo_l
//   q  += M2_l gelu(M1_l norm2_l(q) + b1_l) + b2_l
//   q  += A2_l gelu(A1_l norm3_l([q, a]) + c1_l) + c2_l      action block; A2 = 0, c2 = 0 at first
//
// q starts as the learned vector `query`; the prediction is z' = H norm(q) + h. With `residual`,
// q starts as query + S last + s and z' = last + H norm(q) + h (H = 0, h = 0 at first), where
// `last` is the token z at the same place in the frame before the target. a are the
// actions that lead to the target, after those of the `past` blocks before it (0 where none is
// known): (past + leap) K A numbers. Two frames a block apart tell the mean velocity between them;
// with the actions of that block they tell the velocity at its end. norm is layer norm with eps
// 1e-5, gelu the exact form, attend softmax attention with `heads` heads and scale 1 / sqrt(d), d =
// width / heads.
//
// With `leap` above 1 a target may lie so many blocks behind the newest frame that it sees; the
// actions are those between, from the past ones on, and 0 behind the target. Predicted frames come
// in groups of `leap`, whose frames are predicted each by itself from the same C frames, and only
// then fed back; with 1 every frame is fed back before the next.
//
// R turns pair i (elements i and i + d/2 of each head) by 2 pi position / period, (e, f) ->
// (e cos - f sin, e sin + f cos). The d/2 pairs are split over three axes in this order: time (s),
// then y, then x with floor(d / 6) pairs each; time has the rest. Pair j of the n of an axis has
// the period 10^(-2 + 4 j / (n - 1)), or 1 when n = 1. Row r of R rows lies at y = (2 r + 1) / R -
// 1, x likewise, so that a frame is [-1, 1]^2.
//
// Tensors (checkpoint names; vectors have one dimension): query (width); kv.weight (depth, 2, width
// flattened; dim), whose rows of block l are K_l, then V_l, and kv.bias; seed.weight, seed.bias (S,
// s; only with residual); last.weight, last.bias (the last norm); head.weight, head.bias; per block
// "blocks.<l>.": norm1, query, out, norm2, up (M1), down (M2) and, with actions, norm3, action_up
// (A1), action_down (A2), each .weight (out, in) and .bias. Beside them `mean` (dim), `scale` (1).
//
// Threads: a predictor is constant while it is used; tapes and works are per thread.

#include <cjson/cJSON.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"
#include "worldmodel/batch.h"
#include "worldmodel/device.h"
#include "worldmodel/param_list.h"
#include "worldmodel/world_model.h"

US_C_BEGIN

// The sizes that a run chooses; the others follow from its data and encoder. The presets are the
// defaults of us_predictor_config_default.
#define US_PREDICTOR_SETTINGS(X)                                                      \
  X(INT, width, 128, 2, 8192, RESULT, "W", "width of the predictor")                  \
  X(INT, depth, 3, 1, 256, RESULT, "L", "its blocks")                                 \
  X(INT, heads, 4, 1, 256, RESULT, "N", "its heads")                                  \
  X(INT, mlp, 2, 1, 16, RESULT, "R", "hidden width of its MLP, as a multiple")        \
  X(INT, context, 2, 1, US_CONTEXT_MAX, RESULT, "C", "frames that a prediction sees") \
  X(INT, leap, 1, 1, US_LEAP_MAX, RESULT, "N",                                        \
    "blocks that are predicted each by itself before any is fed back")

enum { US_LEAP_MAX = 64 };

typedef struct UsPredictorConfig {
  int grid_h, grid_w;  // places; G = grid_h * grid_w
  int dim;             // D of a token
  int width;           // of the queries
  int depth;           // blocks
  int heads;           // width / heads is even
  int mlp;             // the MLP's hidden width is mlp * width
  int context;         // C, frames that a target sees
  int block;           // K, env steps a block of actions
  int action;          // A; 0: no action blocks
  int action_hidden;   // hidden width of the action blocks' MLP
  int residual;        // 1: start from the last frame, as above
  int past;            // blocks of past actions that a target knows; less than context
  int leap;            // most blocks from the newest frame seen to a target
  UsDevice* device;    // NULL: the CPU
} UsPredictorConfig;

typedef struct UsPredictor UsPredictor;

// The default sizes for tokens (grid_h grid_w, dim) and actions (block, action).
US_API UsPredictorConfig us_predictor_config_default(int grid_h, int grid_w, int dim, int block,
                                                     int action);

// A predictor with zero weights, mean 0, scale 1. Fails on a config that makes no sense; `name`
// stands for its origin in the message. On failure *out is NULL.
US_API UsStatus us_predictor_create(const char* name, const UsPredictorConfig* config,
                                    UsPredictor** out);

// NULL is fine.
US_API void us_predictor_destroy(UsPredictor* p);

US_API const UsPredictorConfig* us_predictor_config(const UsPredictor* p);

// The predictor as a world model of the kind `predictor`; it stays the predictor's.
US_API UsWorldModel* us_predictor_model(const UsPredictor* p);

// The tensors in the flat array, and the array itself (floats of the list), tensor memory.
US_API const UsParamList* us_predictor_list(const UsPredictor* p);
US_API float* us_predictor_params(const UsPredictor* p);

// Moves the weights to params (floats of the list), tensor memory of the caller's on the same
// device that must outlive p, so that other tensors may lie behind them in one array.
US_API void us_predictor_move(UsPredictor* p, float* params);

// Draws first weights from a seed.
US_API UsStatus us_predictor_init(UsPredictor* p, uint64_t seed);

// Sets or reads the normalisation. mean (D) host. scale > 0.
US_API void us_predictor_set_norm(UsPredictor* p, const float* mean, float scale);
US_API void us_predictor_norm(const UsPredictor* p, float* mean, float* scale);

// Whether it is another one than the identity, which a predictor begins with.
US_API int us_predictor_normalised(const UsPredictor* p);

// z (rows, D) of raw x (rows, D) and back, tensor memory; may alias.
US_API void us_predictor_normalise(const UsPredictor* p, int rows, const float* x, float* z);
US_API void us_predictor_denormalise(const UsPredictor* p, int rows, const float* z, float* x);

// Copies normalisation and every tensor but those of the action blocks from `source`, whose other
// sizes must be the same: 0 and nothing copied when they differ.
US_API int us_predictor_adopt(UsPredictor* p, const UsPredictor* source);

// The config as a JSON object and back; `name` is the file for messages.
US_API cJSON* us_predictor_config_json(const UsPredictorConfig* c);
US_API UsStatus us_predictor_config_parse(const char* name, const cJSON* json,
                                          UsPredictorConfig* out);

// Weights as safetensors. Loading is strict: names, shapes, finite numbers, and what they make of
// test latents: finite numbers too, within US_PREDICTION_MOST.
#define US_PREDICTION_MOST 1e6f
US_API UsStatus us_predictor_save(const UsPredictor* p, const char* path);
US_API UsStatus us_predictor_load(UsPredictor* p, const char* path);
// Loads from bytes; `name` stands for the file in messages.
US_API UsStatus us_predictor_load_bytes(UsPredictor* p, const char* name, const void* data,
                                        size_t size);

// ---- training ----

// The losses, tapes and entries of world_model.h, for this kind.

// NULL when out of memory.
US_API UsTape* us_tape_create(const UsPredictor* p, const UsLossConfig* config);

// Bytes that it will take.
US_API double us_tape_bytes(const UsPredictor* p, const UsLossConfig* config);
US_API void us_tape_destroy(UsTape* t);

// Brings a shard (config.batch samples) to the tape.
US_API void us_tape_load(const UsPredictor* p, UsTape* t, const UsBatch* shard);

// Forward and backward over a shard of a batch of `total` samples; NULL: that of the last
// us_tape_load, and then nothing is put, so the calls can be recorded (ops.h). Its
// losses, whose sums over shards are those of the batch, go to sums (max(k, 1)), tensor memory, for
// us_losses_of. gradient (list floats), tensor memory, accumulates; with action_only,
// only in the tensors of the action blocks. Nullable: gradient; sums, then the tape keeps them.
// When the caller wants to stop (us_interrupted) it ends between blocks, and losses and gradient
// mean nothing.
US_API void us_predictor_loss(const UsPredictor* p, UsTape* t, const UsBatch* shard, int total,
                              int action_only, float* gradient, double* sums);

// Where the tape keeps the actions of its shard, (B, T - 1, K, A), tensor memory: a shard whose
// actions are NULL takes what the caller has left there, and a us_predictor_loss with a gradient
// then leaves that of these actions at us_tape_action_gradient, of the same shape.
US_API float* us_tape_actions(UsTape* t);
US_API const float* us_tape_action_gradient(const UsTape* t);

// For action blocks with first weights: brings actions to the scale of the queries that stand
// beside them in norm3, whose gains of the actions become 1 / (rms of the actions, mean over rows
// of 1 / deviation of [q, a]), as the teacher-forced targets of the first `samples` samples of the
// last us_predictor_loss on the tape have them. Without it a trunk whose queries are large drowns
// them. Predictions stay the same while A2 = 0. Fails with US_MEMORY alone.
US_API UsStatus us_predictor_balance(UsPredictor* p, const UsTape* t, int samples);

// Those of the last us_predictor_loss whose sums the tape keeps.
US_API UsLosses us_tape_losses(UsTape* t);

// Predictions of the last us_predictor_loss, normalised, ordinary memory: teacher-forced
// (B, T - first, G, D) and rolled out (max(k, 1), B, G, D), whose first is frame C. Nullable: both.
US_API void us_tape_predictions(UsTape* t, float* teacher, float* rollout);

// Mean squared error (normalised) of the open-loop predictions of the last us_predictor_loss, frame
// C + j in error[j], and of repeating frame C - 1 in copy[j]. error, copy (max(k, 1)).
US_API void us_tape_errors(UsTape* t, double* error, double* copy);

// The same, (2, max(k, 1)), where the device has them: tensor memory.
US_API void us_tape_error_sums(UsTape* t, double* errors);

// ---- rollouts ----

// Rolls candidates forward: on the CPU those of one slot in a tile of 64 or 128 rows, all frames of
// a tile before the next tile, so that a tile stays in cache; on a wide device those of all slots.

// Scratch of one thread, as in world_model.h. It is made for the weights of that moment: who
// changes them makes another.
US_API UsRolloutWork* us_predictor_work_create(const UsPredictor* p, int candidates, int horizon);
US_API void us_predictor_work_destroy(UsRolloutWork* m);

// Bytes of tensor memory that it will take.
US_API double us_predictor_work_bytes(const UsPredictor* p, int candidates, int horizon);

// Computes the caches of n contexts, their keys and values, as in world_model.h. Positions count
// from a context's newest frame, so the clock's zero does not matter.
US_API void us_predictor_cache(const UsPredictor* p, UsRolloutWork* m, int n, const int* slot,
                               const float* contexts, const double* times, float* caches);

US_API void us_predictor_rollout(const UsPredictor* p, UsRolloutWork* m, const UsRollout* task);

// Multiplications and additions in the matrices of one frame of one candidate (2 per weight used),
// with keys and values of its own frames cached.
US_API double us_predictor_flops(const UsPredictor* p);

US_C_END

#endif  // UNDERSTUDY_PREDICTOR_H_
