#ifndef UNDERSTUDY_ENV_H_
#define UNDERSTUDY_ENV_H_

// The environment interface: one reset / step for a simulator and for the world model that stands
// in for it.
//
// An env is N slots (Gymnasium's vector convention; N = 1 is the single case). A slot is one
// episode in progress. Which kind answers is the prefix of the name: `sim:pointmaze` is a MuJoCo
// task, `model:runs/pm/model` a trained world model, `exec:python3 robot.py` a robot or a simulator
// of one's own behind a pipe (exec.h). A kind is a constant table of functions
// (env_class.h), so further kinds can be written outside this tree.
//
// Time has three scales, each with one owner. Physics steps per env step: the task's frame_skip.
// Env steps per action block: the env's `block` K; one us_env_step plays one block. Blocks per
// plan: the planner's horizon H.
//
// With a goal set, the reward of a block is minus the distance to the goal at its end: in the
// simulator the task's distance of measures, in the model the distance of latents. Without a goal
// the reward is 0. Success is the task's rule in the simulator; in the model a head that was
// trained on that rule says from the latents of frame and goal whether it holds (success_head.h),
// at the end of each block. Nothing resets by itself; stepping past success or termination is
// allowed.
//
// Planners see rewards; agents that learn see spaces: the same ones in a simulator and in the model
// that stands in for it (see below), so that a policy of one runs in the other.
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
  float* latent;        // (tokens, dim): features of the frozen encoder, before normalisation
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
  int goals;                // 1: us_env_reset draws a goal too, as us_env_draw_goal does
  // What makes the latents of a simulator, computed on `device`: default, a folder of an encoder,
  // or that of a model, whose latents, reward and success head us_env_judge then takes too. A model
  // has its own and refuses another. Nullable: a simulator without latents
  const char* encoder;
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
  int measure;      // M, numbers of a goal in a simulator; a model: 0
  int tokens, dim;  // G, D of latents; 0: a simulator without an encoder
  int judges;       // 1: success is told; 0: a model without a success head, see us_env_judges
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
  // (N, K) whether the success rule held after each env step; a model looks after the last, and
  // says 0 of those before
  uint8_t* success;
  uint8_t* object;  // (N, K) the task's rule on its object alone, success if none; a model: 0
} UsStep;

// Opens `sim:<task>` (a name from the NULL-terminated list `tasks`), `model:<folder>` or
// `exec:<command>`, whose task (tasks/exec_task.h) is in the list; `sim:` and its name mean it too.
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
// goal or, with config.goals, draws one. The model draws a start context from the bank in its
// folder. mask (N), seeds (N). Nullable: mask (all slots).
US_API void us_env_reset(UsEnv* e, const uint8_t* mask, const uint64_t* seeds);

// Plays one block in every slot. actions (N, K, A), clipped to [-1, 1]. Nullable: out.
US_API void us_env_step(UsEnv* e, const float* actions, const UsStep* out);

// What a planner calls: the rewards of `samples` candidate action sequences from the present state
// of each listed slot, which keeps its state. slots (n), actions (n, samples, horizon, K, A),
// rewards (n, samples, horizon). The result for a slot does not depend on which others are listed.
US_API void us_env_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                           const float* actions, float* rewards);

// Gives the listed slots a present observation: obs (n). A simulator takes `state` and `time`; a
// model takes `pixels` (a model on true-state features: `state`) or in their place `latent`,
// `proprio` where it was trained with it, and `time`, keeping the newest C frames since `first`.
// Fails with US_UNSUPPORTED when the part it needs is NULL.
US_API UsStatus us_env_observe(UsEnv* e, int n, const int* slots, const UsObs* obs);

// Gives the listed slots a goal, from the same parts of an observation as us_env_observe.
US_API UsStatus us_env_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs);

// Draws a goal for the listed slots by their seeds (n), as their episodes stand: in a simulator by
// the task's function `goal` (env/task.h), in a model a frame of the bank of contexts in its
// folder. One that is solved already is drawn anew a few times. Fails with the engine's error; a
// kind that draws none is US_UNSUPPORTED.
US_API UsStatus us_env_draw_goal(UsEnv* e, int n, const int* slots, const uint64_t* seeds);

// Fills the parts of obs (n) whose pointers are not NULL with the present observation of the listed
// slots. Fails with US_UNSUPPORTED for a part that the kind does not know.
US_API UsStatus us_env_look(UsEnv* e, int n, const int* slots, UsObs* obs);

// The same of their goals: `state`, `pixels` and `latent`. US_USAGE where a slot has none.
US_API UsStatus us_env_look_goal(UsEnv* e, int n, const int* slots, UsObs* obs);

// Distance to the goal now and whether the success rule holds (a model without a head: 0). distance
// (n), success (n). Nullable: distance, success.
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

// ---- spaces: what agents see ----
//
// As Gymnasium's GoalEnv has it an agent sees three things: an observation, the goal that it has
// achieved, and the one that is desired; both goals are of one space. Actions are those of a block,
// K * A numbers in [-1, 1]. Of these kinds latent is the one that a simulator (config.encoder) and
// the model that stands in for it share; pixels are what a simulator renders and a model draws.

// word of options, what it is
#define US_OBS_KINDS(X)                                                    \
  X(state, "(S) the simulator's state; goals are (M) the task's measures") \
  X(pixels, "(height, width, 3) frames; goals too")                        \
  X(latent, "(tokens, dim) features of the frozen encoder, before normalisation; goals too")

typedef enum UsObsKind {
#define X(name, text) US_OBS_##name,
  US_OBS_KINDS(X)
#undef X
      US_OBS_COUNT
} UsObsKind;

// The words, by UsObsKind.
extern US_API const char* const us_obs_names[US_OBS_COUNT];

typedef struct UsSpace {
  const char* dtype;  // "float64", "uint8" or "float32", as numpy calls them
  int rank;           // 1 .. 3
  int shape[3];       // (rank)
  size_t bytes;       // of one element of the space
  double low, high;   // of every number
} UsSpace;

typedef struct UsSpaces {
  UsSpace action;       // (K * A) float32
  UsSpace observation;  // of one slot
  UsSpace goal;         // achieved and desired
} UsSpaces;

// The spaces of a kind of observations. Fails with US_UNSUPPORTED, and a line that says what is
// missing, where an env does not know it: a model knows no state, one without a decoder no pixels,
// a simulator without config.encoder no latents.
US_API UsStatus us_env_spaces(const UsEnv* e, UsObsKind kind, UsSpaces* out);

// What an agent sees in the listed slots: observation, achieved and desired, each n elements of
// their spaces, packed; desired is 0 where a slot has no goal. Fails as us_env_spaces does, and
// where rendering or the device does. Nullable: observation, achieved, desired.
US_API UsStatus us_env_view(UsEnv* e, UsObsKind kind, int n, const int* slots, void* observation,
                            void* achieved, void* desired);

// The reward of a goal achieved when another was desired, as GoalEnv's compute_reward, and whether
// that counts as success: achieved, desired (n elements of the goal space), reward (n), success
// (n). Of states it is the task's distance and rule, the very numbers of us_env_step in a
// simulator. Of latents it is minus the distance that the model has (model_folder.h), and the
// model's success head, the very numbers of us_env_step in the model; with an encoder alone
// differences are taken as they are. Pixels are encoded first. No slot is touched. Fails as
// us_env_spaces does, and with US_UNSUPPORTED where success is asked for and there is no head.
// Nullable: reward, success.
US_API UsStatus us_env_judge(UsEnv* e, UsObsKind kind, int n, const void* achieved,
                             const void* desired, float* reward, uint8_t* success);

// US_UNSUPPORTED, in words, when success is never told (info->judges is 0): a model folder without
// a success head, as older ones are. Those who depend on it ask before they work.
US_API UsStatus us_env_judges(const UsEnv* e);

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
