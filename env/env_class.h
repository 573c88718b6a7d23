#ifndef UNDERSTUDY_ENV_CLASS_H_
#define UNDERSTUDY_ENV_CLASS_H_

// For those who write a kind of env: the function table behind env.h.
//
// An env of a kind is a struct whose first member is UsEnv. Every function has the contract of the
// us_env_ function of its name, which has checked the arguments (slot numbers in range, sizes)
// before it calls. rollout and fork may be NULL: env.c then does them with save, step and restore,
// in memory that us_env_ready gives. What US_ENV_ENTRIES lists may be NULL, and is then refused by
// its name.

#include "env/env.h"
#include "env/task.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/arena.h"

US_C_BEGIN

typedef struct UsEnvClass {
  const char* kind;  // the prefix before the colon
  // `what` is the part of the name behind the colon.
  UsStatus (*open)(const char* name, const char* what, const struct UsTask* const* tasks,
                   const UsEnvConfig* config, UsEnv** out);
  void (*close)(UsEnv* e);
  void (*reset)(UsEnv* e, const uint8_t* mask, const uint64_t* seeds);
  void (*step)(UsEnv* e, const float* actions, const UsStep* out);
  void (*rollout)(UsEnv* e, int n, const int* slots, int samples, int horizon, const float* actions,
                  float* rewards);
  UsStatus (*observe)(UsEnv* e, int n, const int* slots, const UsObs* obs);
  UsStatus (*set_goal)(UsEnv* e, int n, const int* slots, const UsObs* obs);
  UsStatus (*look)(UsEnv* e, int n, const int* slots, UsObs* obs);
  void (*score)(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success);
  UsStatus (*render)(UsEnv* e, int n, const int* slots, uint8_t* pixels);
  void (*save)(UsEnv* e, int slot, void* bytes);
  void (*restore)(UsEnv* e, int slot, const void* bytes);
  void (*fork)(UsEnv* e, int slot, int n, const int* targets);
  // For agents, each of which may be NULL: then the env has no goals to draw and no spaces.
  UsStatus (*draw_goal)(UsEnv* e, int n, const int* slots, const uint64_t* seeds);
  UsStatus (*look_goal)(UsEnv* e, int n, const int* slots, UsObs* obs);
  UsStatus (*spaces)(const UsEnv* e, UsObsKind kind, UsSpaces* out);  // but for action
  UsStatus (*view)(UsEnv* e, UsObsKind kind, int n, const int* slots, void* observation,
                   void* achieved, void* desired);
  UsStatus (*judge)(UsEnv* e, UsObsKind kind, int n, const void* achieved, const void* desired,
                    float* reward, uint8_t* success);
  // Of a kind that plays a task, as sim.h says them; NULL, all of them, for one that stands in.
  const UsTask* (*task)(const UsEnv* e);
  const mjModel* (*model)(const UsEnv* e);
  void (*select)(UsEnv* e, int n, const int* slots);
  int (*diverged)(const UsEnv* e, int slot);
  void (*policy)(UsEnv* e, int policy, const int* steps, float* actions);
  UsStatus (*measure)(UsEnv* e, int n, const double* states, double* measures);
  // Entries of US_ENV_ENTRIES.
  UsStatus (*latents)(UsEnv* e, int n, const int* slots, float* now, float* goal);
  void (*rollout_gradient)(UsEnv* e, int n, const int* slots, int samples, int horizon,
                           const float* actions, const float* weights, float* rewards,
                           float* gradient);
  void (*rollout_prepare)(UsEnv* e, int n, const int* slots);  // who has one has both
  void (*rollout_device)(UsEnv* e, int n, int samples, int horizon, const float* actions,
                         float* rewards);
} UsEnvClass;

// What env.c works in for a class without rollout or fork.
typedef struct UsEnvScratch {
  UsArena arena;
  size_t row;     // bytes of a saved slot, padded
  char* saved;    // (N, row)
  float* played;  // (N, K, A)
  float* reward;  // (N)
} UsEnvScratch;

struct UsEnv {
  const UsEnvClass* cls;
  UsEnvInfo info;
  size_t save_size;      // bytes of one saved slot
  UsPool* pool;          // Nullable
  UsEnvError error;      // see us_env_error; no text: none
  int prepared;          // env.c's own: slots that us_env_rollout_device can take
  UsEnvScratch scratch;  // env.c's own: leave it 0
};

// Gives e, whose class, info and save_size stand, the memory that env.c needs for what the class
// lacks. us_env_open calls it; whoever makes an env without it does too.
US_API UsStatus us_env_ready(UsEnv* e);

// US_USAGE when there are no n slots listed or one is out of range.
US_API UsStatus us_env_check_slots(const UsEnv* e, int n, const int* slots);

extern US_API const UsEnvClass us_env_class_sim;
extern US_API const UsEnvClass us_env_class_model;
extern US_API const UsEnvClass us_env_class_exec;

US_C_END

#endif  // UNDERSTUDY_ENV_CLASS_H_
