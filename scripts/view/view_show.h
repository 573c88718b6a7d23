#ifndef UNDERSTUDY_VIEW_SHOW_H_
#define UNDERSTUDY_VIEW_SHOW_H_

// What a viewer shows: a simulator, the truth, in which somebody acts, and beside it a world model
// that imagines the same actions.
//
// The truth goes on one env step at a time, the imagination one block of K env steps, when the
// block's actions are known. The model observes as many frames of the truth as its context has,
// then goes on from the actions alone (open loop) until it is shown the truth again.
//
// Where factors vary in the data (env/vary.h), its episodes and its pairs are shown in the
// variation that the file recorded, which a planner's simulator imagines in too; what starts from a
// seed is shown in none.
//
// A show draws nothing itself but the frames of the two envs. Threads: one show at a time, from one
// thread; inside, its pool works.

#include "datasets/dataset.h"
#include "env/sim.h"
#include "planner/planner.h"
#include "worldmodel/device.h"

// Who acts.
#define US_VIEW_MODES(X)                                     \
  X(drive, "keys and mouse act")                             \
  X(policy, "a behaviour policy of the task acts")           \
  X(plan, "a planner acts, imagining in model or simulator") \
  X(replay, "an episode of the data is shown again")

typedef enum UsViewMode {
#define X(name, text) US_VIEW_##name,
  US_VIEW_MODES(X)
#undef X
      US_VIEW_MODE_COUNT
} UsViewMode;

// What is asked for. Texts are not owned. Nullable: all but one of task, model and data.
typedef struct UsShowConfig {
  const char* task;     // NULL: the data's or the model's
  const char* model;    // a model folder; NULL: nothing is imagined
  const char* data;     // trajectories: episodes to replay, pairs of start and goal
  const char* goal;     // of drive and plan mode, as us_goal_read takes it; NULL: drawn
  const char* policy;   // NULL: the task's first
  const char* planner;  // NULL: the first of the list
  const char* command;  // stands in messages
  int64_t episode;      // of the data, for the first replay
  uint64_t seed;        // of the first episode and the planner
  UsViewMode mode;      // at first
  UsPlannerConfig plan;
  const char* given;  // names of its settings that the task's own (env/task.h) do not replace
  UsPool* pool;
  UsDevice* device;  // of the model
  const char* gl;    // what renders, a word of env/gl.h
} UsShowConfig;

enum { US_SHOW_HISTORY = 512 };

// Read it, and change it through the functions below alone.
typedef struct UsShow {
  UsShowConfig config;
  UsViewMode mode;
  UsEnv* sim;       // the truth: one slot, blocks of one env step
  UsEnv* dream;     // what is imagined; NULL without a model that can draw
  int undrawn;      // 1: there is a model, whose encoder has no decoder to draw with
  int block;        // K of the model, else the task's
  int policy;       // index of the policy
  uint64_t seed;    // of the present episode
  int64_t episode;  // of the data, in replay and for pairs of the data; -1: none
  int step;         // env steps since the episode began
  int budget;       // env steps after which a plan is given up
  int over;         // 1: the episode has ended: replayed, solved a while ago, given up
  int finite;       // 0: the episode has diverged, see us_sim_diverged
  int diverged;     // episodes that have, since the show was opened
  double time;      // s, the simulator's own
  float* action;    // (A) last played
  double* state;    // (S) now
  // Goal.
  int has_goal, success;
  int first_hit;       // env steps until the first success; -1: none
  double* goal;        // (S) a state that has the goal's measures
  const uint8_t* aim;  // (height, width, 3) a picture as the planner's goal; NULL: none
  double distance;     // to the goal
  float* history;      // (US_SHOW_HISTORY) distances of the newest env steps, oldest first
  int histories;
  // Variation.
  UsVary vary;             // the V factors that vary in the data
  const float* variation;  // (V) their numbers in the truth now; NULL: all 0
  int looks;               // changes of them
  // Imagination.
  int follow;        // 1: the model observes the truth after every block
  int imagined;      // env steps since it last observed
  int imagining;     // 1: it has observed a whole context
  uint8_t* picture;  // (height, width, 3) of the dream's newest latent
  // Motion inside the last env step, for tasks whose env steps are long.
  int inner;       // states of the last env step to show, at least 1
  double* inside;  // (inner, S) in order of time; the last is `state`
  struct Inner* own;
} UsShow;

// Opens what the config names and starts the first episode. On failure *out is empty.
UsStatus us_show_open(const UsShowConfig* config, UsShow* out);

// Frees what a show holds; an empty one is fine.
void us_show_close(UsShow* s);

// Starts the episode that the seed names: a start state and, in drive and plan mode, a goal; in
// replay the next episode of the data unless `again`.
UsStatus us_show_reset(UsShow* s, uint64_t seed, int again);

// Hands the action to somebody else and goes on from the present state; replay begins an episode.
// The next mode that can be had, after the present one, is us_show_next_mode.
UsStatus us_show_set_mode(UsShow* s, UsViewMode mode);
UsViewMode us_show_next_mode(const UsShow* s);

// Takes the next policy of the task.
void us_show_next_policy(UsShow* s);

// Shows the model the truth, from which it imagines anew.
UsStatus us_show_resync(UsShow* s);

// Switches between imagining on and observing every block.
void us_show_set_follow(UsShow* s, int follow);

// Tells a robot (env/exec.h) to stop until the next step; a simulator stands still anyway.
void us_show_rest(UsShow* s);

// Plays one env step. driven (A) acts in drive mode. An episode that is over stays as it is.
UsStatus us_show_step(UsShow* s, const float* driven);

#endif  // UNDERSTUDY_VIEW_SHOW_H_
