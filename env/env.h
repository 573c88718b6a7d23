#ifndef UNDERSTUDY_ENV_H_
#define UNDERSTUDY_ENV_H_

// The environment interface: one reset / step for a simulator and for the world model that stands
// in for it.
//
// An env is N slots (Gymnasium's vector convention; N = 1 is the single case). A slot is one
// episode in progress. Which kind answers is the prefix of the name: `sim:pointmaze` is a MuJoCo
// task, `model:runs/pm/model` a trained world model. A kind is a constant table of functions
// (env_class.h), so further kinds can be written outside this tree.
//
// Time has three scales, each with one owner. Physics steps per env step: the task's frame_skip.
// Env steps per action block: the env's `block` K; one us_env_step plays one block. Blocks per
// plan: the planner's horizon H.
//
// With a goal set, the reward of a block is minus the distance to the goal at its end: in the
// simulator the task's distance of measures, in the model the distance of latents. Without a goal
// the reward is 0. Nothing resets by itself; stepping past success or termination is allowed.
//
// Ownership: the caller allocates every output. Errors: what the engine cannot go on with is a
// status where a call returns one, and is kept for us_env_error where it does not. A state that has
// diverged gives terminated = 1 and a reward of -INFINITY.
// Threads: calls on one env come from one thread at a time; inside, the pool works.

#include <stddef.h>
#include <stdint.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/pool.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

struct UsTask;
struct UsDevice;

typedef struct UsEnv UsEnv;

// One observation of one slot. Every pointer may be NULL: not asked for, or not known.
typedef struct UsObs {
  uint8_t* pixels;      // (height, width, 3)
  float* proprio;       // (proprio)
  double* state;        // (state): qpos, qvel, act of the simulator; a 0 where it has none
  const float* action;  // (block, action) what led here from the frame before, read by
                        // us_env_observe; NULL: not known, taken as 0
  double time;          // s since the start of the episode
  int first;            // us_env_observe: 1 starts a new context, 0 adds a frame to it
} UsObs;

typedef struct UsEnvConfig {
  int slots;     // N; 0: 1
  int block;     // K env steps a block; 0: the task's or the model's own
  int height;    // pixels; 0: the task's or the model's own
  int width;     // pixels; 0: as height
  int pixels;    // 1: rendering will be asked for, so a missing OpenGL fails here
  int limit;     // env steps after which an episode is truncated; 0: never
  UsPool* pool;  // not owned, must outlive the env. Nullable: one thread
  // What a simulator renders with, a word of env/gl.h; copied. Nullable: software
  const char* gl;
  // Of a simulator: the scene's camera that frames are of, and its pose, as UsEnvInfo says them.
  // Nullable: the task's own, the pose that it has in the scene
  const char *camera, *camera_pose;
  struct UsDevice* device;  // where a model computes, not owned either. Nullable: the CPU
} UsEnvConfig;

typedef struct UsEnvInfo {
  char name[256];   // as given to us_env_open
  char task[64];    // the task's name; for a model the task it was trained on
  int slots;        // N
  int block;        // K, env steps a block
  int action;       // A, numbers in [-1, 1] an env step
  int proprio;      // P
  int state;        // S
  int observation;  // O, width of UsStep.observation
  int height, width;
  int context;  // frames that the next step depends on: 1 for a simulator, C for a model
  double dt;    // s an env step
  // A simulator: the name of the camera that frames are of and, where the task brings a model, its
  // pose for who is to see the same: place, rotation, field of view, near plane. A model: those of
  // what it was trained on, "" where its folder does not say
  char camera[64], camera_pose[256];
  char hash[65];  // a model: SHA-256 over everything that a rollout depends on, in hex
  // Where the memory of us_env_latents and us_env_rollout_device lies; NULL: the kind has neither.
  struct UsDevice* device;
} UsEnvInfo;

// What a step gives, slot by slot. Every pointer may be NULL: not asked for.
typedef struct UsStep {
  float* observation;   // (N, O) the simulator: qpos, qvel, act; the model: the newest latent
  float* reward;        // (N)
  uint8_t* terminated;  // (N) 1: the success rule holds now, or the state has diverged
  uint8_t* truncated;   // (N) 1: the limit is reached
  uint8_t* success;     // (N, K) whether the success rule held after each env step; a model: 0
  uint8_t* object;      // (N, K) the same of the task's rule on its object alone, success if none
} UsStep;

// Opens `sim:<task>` (a name from the NULL-terminated list `tasks`) or `model:<folder>`.
// On failure *out is NULL. Nullable: config, tasks (for a model).
US_API UsStatus us_env_open(const char* name, const struct UsTask* const* tasks,
                            const UsEnvConfig* config, UsEnv** out);

// NULL is fine.
US_API void us_env_close(UsEnv* e);

US_API const UsEnvInfo* us_env_info(const UsEnv* e);

// The first error of the engine since the slot that it hit was reset; NULL: none. Ask after calls
// without a status: there the slot keeps its last state, the reward of the call is -INFINITY, and
// what follows is not to be relied upon.
typedef struct UsEnvError {
  int slot;
  int step;        // env steps of the slot's episode before the one that failed
  char text[512];  // one line in the engine's own words
} UsEnvError;

US_API const UsEnvError* us_env_error(const UsEnv* e);

// Starts an episode in every slot whose mask is nonzero, drawn from that slot's seed; clears its
// goal. The model draws a start context from the bank in its folder.
// mask (N), seeds (N). Nullable: mask (all slots).
US_API void us_env_reset(UsEnv* e, const uint8_t* mask, const uint64_t* seeds);

// Plays one block in every slot. actions (N, K, A), clipped to [-1, 1]. Nullable: out.
US_API void us_env_step(UsEnv* e, const float* actions, const UsStep* out);

// What a planner calls: the rewards of `samples` candidate action sequences from the present state
// of each listed slot, which keeps its state. slots (n), actions (n, samples, horizon, K, A),
// rewards (n, samples, horizon). The result for a slot does not depend on which others are listed.
US_API void us_env_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                           const float* actions, float* rewards);

// Gives the listed slots a present observation: obs (n). A simulator takes `state` and `time`; a
// model takes `pixels` (a model on true-state features: `state`), `proprio` where it was trained
// with it, and `time`, keeping the newest C frames since `first`. Fails with US_UNSUPPORTED when
// the part it needs is NULL.
US_API UsStatus us_env_observe(UsEnv* e, int n, const int* slots, const UsObs* obs);

// Gives the listed slots a goal, from the same parts of an observation as us_env_observe.
US_API UsStatus us_env_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs);

// Fills the parts of obs (n) whose pointers are not NULL with the present observation of the listed
// slots. Fails with US_UNSUPPORTED for a part that the kind does not know.
US_API UsStatus us_env_look(UsEnv* e, int n, const int* slots, UsObs* obs);

// Distance to the goal now and whether the success rule holds (a model: 0). distance (n), success
// (n). Nullable: distance, success.
US_API void us_env_score(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success);

// Renders the listed slots: pixels (n, height, width, 3). Equal states give equal frames. A model
// draws what it predicts, when its encoder has a decoder.
US_API UsStatus us_env_render(UsEnv* e, int n, const int* slots, uint8_t* pixels);

// One slot as bytes: everything that its future depends on (goal included), in
// us_env_save_size(e) bytes. Restoring, then stepping, gives the same bits again.
US_API size_t us_env_save_size(const UsEnv* e);
US_API void us_env_save(UsEnv* e, int slot, void* bytes);
US_API void us_env_restore(UsEnv* e, int slot, const void* bytes);

// Copies one slot into n others. targets (n).
US_API void us_env_fork(UsEnv* e, int slot, int n, const int* targets);

// ---- what some kinds can do ----

// entry of env_class.h, bit, what it gives
#define US_ENV_ENTRIES(X)                                          \
  X(latents, 1, "the latents of slots and goals")                  \
  X(rollout_gradient, 2, "the gradient of rewards in the actions") \
  X(rollout_device, 4, "rollouts from and to memory of the env's device")

typedef enum UsEnvEntry {
#define X(name, bit, text) US_ENV_##name = bit,
  US_ENV_ENTRIES(X)
#undef X
} UsEnvEntry;

// US_UNSUPPORTED, "<who>: needs <text> (<entry>), which <env> lacks", for the first of the entries
// `needs` (their bits) that e does not have. Those who depend on one ask before they work.
US_API UsStatus us_env_need(const UsEnv* e, const char* who, unsigned needs);

// The latents of the listed slots now and of their goals (0 where none is set), in which the
// distance is measured: now, goal (n, O), memory of the device. Nullable: now, goal.
US_API UsStatus us_env_latents(UsEnv* e, int n, const int* slots, float* now, float* goal);

// us_env_rollout, and the gradient of the sum over blocks of weights times rewards in the actions:
// weights (horizon), gradient (n, samples, horizon, K, A). Where an action is clipped it is 0.
US_API void us_env_rollout_gradient(UsEnv* e, int n, const int* slots, int samples, int horizon,
                                    const float* actions, const float* weights, float* rewards,
                                    float* gradient);

// us_env_rollout with actions and rewards in memory of the device, in two calls. The first says
// which slots are meant (n), brings all that their rollouts read to the device, and stays right
// until one of them changes; the second rolls the first n of them out. That one is made of
// operations of ops.h alone, whose arguments are the same whichever slots are meant, in memory that
// stays where it is, so that it can be recorded once it was called with these sizes.
US_API void us_env_rollout_prepare(UsEnv* e, int n, const int* slots);
US_API void us_env_rollout_device(UsEnv* e, int n, int samples, int horizon, const float* actions,
                                  float* rewards);

US_C_END

#endif  // UNDERSTUDY_ENV_H_
