#ifndef UNDERSTUDY_WORLD_MODEL_H_
#define UNDERSTUDY_WORLD_MODEL_H_

// Kinds of world model: from the latents of the last C frames and a block of actions to the latents
// of the next frame. The stand-in env (env/model) rolls whichever kind a folder holds.
//
// Latents are the encoder's features normalised by the model: (G, D) numbers a frame, in tensor
// memory. What a slot of an env knows is a context, C frames with their times and the blocks of
// actions that led through them; from it a kind makes a cache once, which all rollouts that start
// there read (the predictor: keys and values).
//
// A kind is one file with one table us_world_model_<kind> and one line in US_WORLD_MODELS. Its
// model is a struct whose first member is UsWorldModel. In a folder (model_folder.h) config.json
// names the kind and has the kind's sizes in an object of that name; the weights are in
// <kind>.safetensors.
//
// Threads: a model is constant while it is used; a UsRolloutWork belongs to one thread at a time.
// observe and rollout do not allocate and cannot fail; numbers that are none come out as such.

#include <cjson/cJSON.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"
#include "worldmodel/batch.h"
#include "worldmodel/device.h"
#include "worldmodel/param_list.h"

US_C_BEGIN

// The kinds; a config.json that names none has the first.
#define US_WORLD_MODELS(X) X(predictor)

enum {
  US_CONTEXT_MAX = 8,    // most frames of a context
  US_PARAM_ACTION = 256  // in UsParam.flags: a tensor of an action block
};

typedef struct UsWorldModelClass UsWorldModelClass;

// What every kind has.
typedef struct UsWorldModel {
  const UsWorldModelClass* cls;
  UsDevice* device;    // where its tensor memory is
  int grid_h, grid_w;  // places of tokens; G = grid_h * grid_w
  int dim;             // D
  int context;         // C, at most US_CONTEXT_MAX
  int block, action;   // K, A
  int past;            // blocks of actions before the next one that it reads; less than C
  int wide;            // 1: all slots in one call are best; 0: a slot a call, on several threads
  int tile;            // candidates that roll best together; with wide 1 the most of one call
  size_t cache;        // floats of what observe makes of a context
  // (G, D) weights of squared differences in distances, tensor memory of whoever set it, there as
  // long as distances are asked for. NULL: all 1
  const float* metric;
} UsWorldModel;

// A rollout of `samples` candidates of each of some slots, count = slots * samples; all pointers
// are tensor memory.
typedef struct UsRollout {
  int slots, samples;
  const int* slot;        // (slots) the rows of N that they are. Nullable: 0, 1, ..
  const float* contexts;  // (N, C, G, D) oldest first
  const float* caches;    // (N, cache) of those contexts
  const float* pasts;     // (N, past, K, A) blocks that led through the contexts. Nullable: all 0
  const float* goals;     // (N, G, D) Nullable
  double step;            // s between predicted frames
  int horizon;            // H
  const float* actions;   // (count, H, K, A); NULL for a model without actions
  float* distance;        // (count, H) mean of metric (z - g)^2 to the goal. Nullable
  float* last;            // (count, G, D) the last frame. Nullable
  float* frames;          // (H, count, G, D) every frame. Nullable
  int clip;               // 1: actions are clipped to [-1, 1] first
  int recompute;          // 1: the predictor goes without its cache, for benchmarks
} UsRollout;

// Scratch of one thread, the kind's own.
typedef struct UsRolloutWork UsRolloutWork;

// ---- training ----

// The loss of B samples of T frames is teacher + weight * rollout:
//   teacher  smooth L1 of the predictions of frames first .. T - 1, each from the real frames
//            before it (at most C), averaged over all numbers;
//   rollout  frame C as predicted there is fed back, and frames C + 1 .. C + k - 1 are predicted
//            from the last C frames, predicted ones included; smooth L1 averaged over their
//            numbers.
// All in normalised tokens. Gradients flow through the fed-back tokens, unless `detach` stops them.
typedef struct UsLossConfig {
  int batch;     // B of one call: a shard of the batch
  int frames;    // T
  int first;     // 1 .. C: first target frame; 0: C
  int rollout;   // k, 1 <= k <= T - C; 0 or 1: none
  float weight;  // of the rollout loss; 0: 1
  float beta;    // threshold of smooth L1; 0: 1
  int detach;    // 1: no gradient through the frames that are fed back
  int bfloat;    // 1: shards have their features in `bfloats`
} UsLossConfig;

typedef struct UsLosses {
  double teacher, rollout;  // rollout without its weight
} UsLosses;

// Everything that one thread needs for forward and backward passes of one shape.
typedef struct UsTape UsTape;

// The losses that sums (max(k, 1)), ordinary memory, stand for.
US_API UsLosses us_losses_of(const UsLossConfig* config, const double* sums);

struct UsWorldModelClass {
  const char* kind;

  // Makes a model of its sizes, `config` (NULL: config.json has none), and its weights, a path, on
  // a device (NULL: the CPU).
  // `name` stands for config.json in messages. On failure *out is NULL.
  UsStatus (*open)(const char* name, const cJSON* config, const char* weights, UsDevice* device,
                   UsWorldModel** out);

  // The sizes as open reads them; NULL when out of memory.
  cJSON* (*config)(const UsWorldModel* m);

  UsStatus (*save)(const UsWorldModel* m, const char* weights);
  void (*destroy)(UsWorldModel* m);  // NULL is fine

  // latents (rows, D) of features (rows, D) and back, tensor memory; may alias.
  void (*normalise)(const UsWorldModel* m, int rows, const float* features, float* latents);
  void (*denormalise)(const UsWorldModel* m, int rows, const float* latents, float* features);

  // Scratch for up to `candidates` candidates; NULL when out of memory. What rollouts of the same
  // step and of up to `horizon` frames need from the host is put once, so that from the second of
  // them on they can be recorded (ops.h).
  UsRolloutWork* (*work_create)(const UsWorldModel* m, int candidates, int horizon);
  void (*work_destroy)(UsRolloutWork* w);  // NULL is fine

  // caches (N, m->cache) of contexts (N, C, G, D), oldest first, in rows slot (n) of both, tensor
  // memory; frames were seen at times (n, C) s on any clock, ordinary memory. The slots are
  // distinct. Nullable: slot (0, 1, ..).
  void (*observe)(const UsWorldModel* m, UsRolloutWork* w, int n, const int* slot,
                  const float* contexts, const double* times, float* caches);

  // Rolls candidates forward. The same count of candidates and place of a candidate give the same
  // bits; on a wide device any count and place.
  void (*rollout)(const UsWorldModel* m, UsRolloutWork* w, const UsRollout* r);

  // For the trainer (train.h); a kind without `loss` has none of the following, and is refused
  // there by name.

  // The tensors in the flat array that is trained, and the array (floats of the list), tensor
  // memory; those flagged US_PARAM_ACTION belong to action blocks.
  const UsParamList* (*list)(const UsWorldModel* m);
  float* (*params)(const UsWorldModel* m);

  // The normalisation. mean (D), ordinary memory; scale > 0.
  void (*norm)(const UsWorldModel* m, float* mean, float* scale);
  void (*set_norm)(UsWorldModel* m, const float* mean, float scale);

  // What one thread needs for a loss of this shape: NULL when out of memory; its bytes.
  UsTape* (*tape_create)(const UsWorldModel* m, const UsLossConfig* config);
  double (*tape_bytes)(const UsWorldModel* m, const UsLossConfig* config);
  void (*tape_destroy)(UsTape* t);  // NULL is fine

  // Brings a shard (config.batch samples) to the tape.
  void (*load)(const UsWorldModel* m, UsTape* t, const UsBatch* shard);

  // Forward and backward over a shard of a batch of `total` samples; NULL: the one that was loaded
  // last, and then nothing is put, so the calls can be recorded (ops.h). Its losses, whose sums
  // over shards are those of the batch, go to sums (max(k, 1)), tensor memory, for us_losses_of.
  // gradient (list floats), tensor memory, accumulates; with action_only, only in the tensors of
  // the action blocks. Nullable: gradient; sums, then the tape keeps them. When the caller wants to
  // stop (us_interrupted) it ends early, and losses and gradient mean nothing.
  void (*loss)(const UsWorldModel* m, UsTape* t, const UsBatch* shard, int total, int action_only,
               float* gradient, double* sums);

  // Mean squared errors (normalised) of the open-loop predictions of the last loss, frame C + j in
  // errors[0][j], and of repeating frame C - 1, in errors[1][j]: (2, max(k, 1)), tensor memory.
  void (*errors)(UsTape* t, double* errors);

  // Prepares action blocks with first weights for the actions of the first `samples` samples of the
  // last loss on the tape.
  // Nullable: there is nothing to prepare.
  UsStatus (*balance)(UsWorldModel* m, const UsTape* t, int samples);
};

#define X(kind) extern US_API const UsWorldModelClass us_world_model_##kind;
US_WORLD_MODELS(X)
#undef X

US_C_END

#endif  // UNDERSTUDY_WORLD_MODEL_H_
