#ifndef UNDERSTUDY_MODEL_INNER_H_
#define UNDERSTUDY_MODEL_INNER_H_

// The memory of a stand-in env, shared by its table (model.c), what is observed (model_observe.c)
// and what is predicted (model_rollout.c).
//
// On a wide device (world_model.h) calls take all slots at once, their lists of slots in tensor
// memory; what rollouts there read stays where it is, so that they can be recorded. On the CPU the
// pool's threads take a tile of one slot at a time.

#include "env/env_class.h"
#include "env/goal/latents.h"
#include "worldmodel/model_folder.h"
#include "worldmodel/ops.h"

typedef struct Slot {
  double times[US_CONTEXT_MAX];  // s since the start of the episode, oldest first
  int goal;                      // 1: there is one
  int steps;                     // env steps since reset
  int cached;                    // 1: the cache is that of the context
} Slot;

typedef struct Worker {
  UsRolloutWork* tile;    // for rollouts
  UsRolloutWork* single;  // for steps
  UsSuccessWork* judge;   // for a slot's success
} Worker;

// What a call says of the slots that it lists, one array behind the other, so that all goes to the
// device at once. Each has room for N slots.
typedef struct Lists {
  int* slot;      // (n)
  int* bare;      // (n) the place in the list of a slot without a goal, else -1
  int* stale;     // slots whose cache has to be computed, as many as there are
  int* first;     // (n) 1: a frame starts a new context
  float* action;  // (n, K, A) what led to a frame
} Lists;

// Scratch of rollouts on a wide device. It grows by further ones, since recordings keep those that
// they know.
enum { MODEL_WORKS = 32 };
typedef struct Wide {
  UsRolloutWork* work[MODEL_WORKS];  // the last is the one in use
  int count;
  int candidates, horizon;  // of the last
  int most;                 // candidates that it may grow to
  UsSuccessWork* judge;     // for the success of N slots
} Wide;

typedef struct Model {
  UsEnv base;
  UsModel* model;
  const UsWorldModel* w;
  UsDevice* device;  // of the world model
  const UsEncoder* encoder;
  const UsSuccessHead* head;  // NULL: the folder has none
  UsLatents* latents;         // for goals that are in no slot
  int context, tokens, workers, limit;
  int draws;      // 1: a reset draws one
  size_t one;     // G D
  size_t frames;  // C G D
  size_t block;   // K A
  size_t past;    // numbers of a slot's past blocks
  double step;    // s between frames

  UsArena host;    // ordinary memory:
  Slot* slot;      // (N)
  Worker* worker;  // (workers) none on a wide device
  Lists list;      // of the call
  double* times;   // (N, C) of the stale slots
  int* chosen;     // (N) slots of rollouts on the device
  int* mark;       // (N) the number of the run that has the slot
  int runs;
  uint8_t* pixels;   // (N, height, width, 3)
  double* states;    // (N, S)
  float* features;   // (N, G, D) as the encoder gives them
  float* distances;  // (N) behind them
  float* judged;     // (N) margins of success
  int* each;         // (N) 0, 1, ..
  uint8_t* solved;   // (N)
  uint8_t* ends;     // (N) 1: no number any more

  UsArena tensor;   // tensor memory:
  Lists there;      // of the call
  Lists meant;      // of rollouts on the device
  int* all;         // (N) 0, 1, ..
  int* none;        // (N) 0
  float* zeros;     // (N) 0
  float* contexts;  // (N, C, G, D)
  float* pasts;     // (N, past, K, A) the blocks that led through the contexts
  float* goals;     // (N, G, D)
  float* caches;    // (N, cache)
  float* fresh;     // (N, G, D) what was encoded or predicted last
  float* raw;       // (N, G, D) not normalised
  float* apart;     // (N) distances, behind them
  float* margins;   // (N) of success
  float* played;    // (N, K, A) actions of a step
  float* packed;    // what of a slot is saved: (C, G, D), (G, D), (past, K, A)

  Wide wide;
  float* staged;  // tensor memory for actions and distances of a rollout, as large as the largest
  size_t room;    // its floats
} Model;

static inline Model* model_of(UsEnv* e) {
  return (Model*)e;
}

// Where a slot's things lie.
static inline float* model_context(const Model* m, int slot) {
  return m->contexts + (size_t)slot * m->frames;
}
static inline float* model_goal(const Model* m, int slot) {
  return m->goals + (size_t)slot * m->one;
}
static inline float* model_cache(const Model* m, int slot) {
  return m->caches + (size_t)slot * m->w->cache;
}
static inline float* model_past(const Model* m, int slot) {
  return m->pasts + (size_t)slot * m->past;
}

// ---- model.c ----

// Brings the call's lists into `to`, with the first n of its actions.
void us_model_env_send(Model* m, const Lists* to, int n);

// ---- model_observe.c ----

// Place i of the call's list: a slot, and whether it has no goal.
void us_model_env_list(Model* m, int i, int slot);

// A slot's context goes on with a frame at `time`: its times do, and its cache is no longer right.
void us_model_env_seen(Model* m, int slot, double time);

// Functions of the table, see env_class.h.
UsStatus us_model_env_observe(UsEnv* e, int n, const int* slots, const UsObs* obs);
UsStatus us_model_env_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs);
UsStatus us_model_env_latents(UsEnv* e, int n, const int* slots, float* now, float* goal);
void us_model_env_score(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success);

// Brings features (n, G, D), ordinary memory, n at most N, into m->fresh, normalised.
void us_model_env_take(Model* m, int n, const float* features);

// Makes the first n of m->fresh the goals of distinct slots.
void us_model_env_aim(Model* m, int n, const int* slots);

// Whether the listed slots (n), n at most N, are solved: success (n), 0 without a head or a goal.
void us_model_env_solved(Model* m, int n, const int* slots, uint8_t* success);

// ---- model_see.c: functions of the table, see env_class.h ----

UsStatus us_model_env_draw_goal(UsEnv* e, int n, const int* slots, const uint64_t* seeds);
UsStatus us_model_env_look_goal(UsEnv* e, int n, const int* slots, UsObs* obs);
UsStatus us_model_env_spaces(const UsEnv* e, UsObsKind kind, UsSpaces* out);
UsStatus us_model_env_view(UsEnv* e, UsObsKind kind, int n, const int* slots, void* observation,
                           void* achieved, void* desired);
UsStatus us_model_env_judge(UsEnv* e, UsObsKind kind, int n, const void* achieved,
                            const void* desired, float* reward, uint8_t* success);
UsStatus us_model_env_render(UsEnv* e, int n, const int* slots, uint8_t* pixels);
UsStatus us_model_env_look(UsEnv* e, int n, const int* slots, UsObs* obs);

// ---- model_rollout.c ----

// Scratch for rollouts of all slots. us_model_env_works_free frees also what is half made.
UsStatus us_model_env_works_make(Model* m);
void us_model_env_works_free(Model* m);

// A distance as a reward; one that is no number is as bad as can be.
float us_model_env_reward(float distance);

// 1 while the device works; an error of it becomes the env's.
int us_model_env_check(Model* m);

// Functions of the table, see env_class.h.
void us_model_env_step(UsEnv* e, const float* actions, const UsStep* out);
void us_model_env_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                          const float* actions, float* rewards);
void us_model_env_rollout_prepare(UsEnv* e, int n, const int* slots);
void us_model_env_rollout_device(UsEnv* e, int n, int samples, int horizon, const float* actions,
                                 float* rewards);

#endif  // UNDERSTUDY_MODEL_INNER_H_
