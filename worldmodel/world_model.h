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
#include "worldmodel/device.h"

US_C_BEGIN

// The kinds; a config.json that names none has the first.
#define US_WORLD_MODELS(X) X(predictor)

enum { US_CONTEXT_MAX = 8 };  // most frames of a context

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
  int tile;            // candidates that roll best together
  size_t cache;        // floats of what observe makes of a context
} UsWorldModel;

typedef struct UsRollout {
  const float* context;  // (C, G, D) oldest first, tensor memory
  const float* cache;    // (cache) of that context, tensor memory
  double step;           // s between predicted frames
  int count;             // candidates, at most those of the work
  int horizon;           // H
  const float* actions;  // (count, H, K, A) tensor memory; NULL for a model without actions
  const float* past;     // (past, K, A) blocks that led through the context, tensor memory.
                         // Nullable: all 0
  const float* goal;     // (G, D) tensor memory. Nullable
  float* distance;       // (count, H) tensor memory: mean squared difference to the goal.
                         // Nullable
  float* last;           // (count, G, D) tensor memory: the last frame. Nullable
  float* frames;         // (H, candidates of the work, G, D) tensor memory: every frame. Nullable
  int clip;              // 1: actions are clipped to [-1, 1] first
  int recompute;         // 1: the predictor goes without its cache, for benchmarks
} UsRollout;

// Scratch of one thread, the kind's own.
typedef struct UsRolloutWork UsRolloutWork;

struct UsWorldModelClass {
  const char* kind;

  // Makes a model of its sizes, `config` (NULL: config.json has none), and its weights, a path.
  // `name` stands for config.json in messages. On failure *out is NULL.
  UsStatus (*open)(const char* name, const cJSON* config, const char* weights, UsWorldModel** out);

  // The sizes as open reads them; NULL when out of memory.
  cJSON* (*config)(const UsWorldModel* m);

  UsStatus (*save)(const UsWorldModel* m, const char* weights);
  void (*destroy)(UsWorldModel* m);  // NULL is fine

  // latents (rows, D) of features (rows, D) and back, tensor memory; may alias.
  void (*normalise)(const UsWorldModel* m, int rows, const float* features, float* latents);
  void (*denormalise)(const UsWorldModel* m, int rows, const float* latents, float* features);

  // Scratch for up to `candidates` candidates of one slot; NULL when out of memory.
  UsRolloutWork* (*work_create)(const UsWorldModel* m, int candidates);
  void (*work_destroy)(UsRolloutWork* w);  // NULL is fine

  // cache (m->cache), tensor memory, of context (C, G, D), oldest first, seen at times (C) s on any
  // clock, ordinary memory.
  void (*observe)(const UsWorldModel* m, UsRolloutWork* w, const float* context,
                  const double* times, float* cache);

  // Rolls candidates of one slot forward. The same count of candidates and place of a candidate
  // give the same bits.
  void (*rollout)(const UsWorldModel* m, UsRolloutWork* w, const UsRollout* r);
};

#define X(kind) extern US_API const UsWorldModelClass us_world_model_##kind;
US_WORLD_MODELS(X)
#undef X

US_C_END

#endif  // UNDERSTUDY_WORLD_MODEL_H_
