#ifndef UNDERSTUDY_SIM_INNER_H_
#define UNDERSTUDY_SIM_INNER_H_

// The memory of a simulator env, shared by its table (sim.c), what is played in its simulations
// (sim_play.c) and the calls into MuJoCo (sim_run.c).
//
// A slot is a simulation of an mjBatch, whose state row holds everything that MuJoCo's next step
// depends on, a Slot for the rest, and a row with the state of its goal. Rows move between batches
// by copying: a rollout plays copies of a slot's row in a second batch. A slot in a variation runs,
// in both batches, on a model of its own.

#include <mujoco/mjbatch.h>

#include "env/env_class.h"
#include "env/goal/latents.h"
#include "env/render.h"
#include "env/sim.h"
#include "env/sim/variants.h"
#include "worldmodel/base/arena.h"

enum { SCRATCH = 256 };  // simulations of the second batch

typedef struct Slot {
  uint64_t seed;
  int steps;  // env steps since the episode began
  int now;    // of them, those before the one that was played last
  int has_goal;
  int good;                // 0: diverged, see us_sim_diverged
  int stale;               // what follows has to be read again from the state
  float vary[US_FACTORS];  // numbers of the factors, by us_sim_factors
  // What follows is as long as the task says: the slot's own piece of Sim.kept.
  double* goal;     // (M)
  double* measure;  // (M)
  double* memory;   // (us_task_memory)
  float* proprio;   // (P)
} Slot;

// What agents are shown of goals, kept until a goal or its slot's variation changes, and where
// frames and states lie before they are encoded. Made when it is first asked for.
typedef struct Seen {
  UsArena arena;
  uint8_t* frames;           // (N, height, width, 3)
  double* states;            // (N, S)
  float* fresh;              // (N, G, D)
  uint8_t* goals;            // (N, height, width, 3)
  float* latents;            // (N, G, D) of goals
  uint8_t *drawn, *encoded;  // (N) 1: that of the slot's goal is right
} Seen;

typedef struct Sim {
  UsEnv env;
  const UsTask* task;
  mjModel* model;
  mjBatch* slots;    // (N)
  mjBatch* scratch;  // (SCRATCH)
  UsRender* render;  // NULL until the first frame
  char gl[16];       // what renders, a word of env/gl.h
  UsVariants* variants;
  int varied;          // 1: a slot has had a model of its own
  UsLatents* latents;  // NULL: without
  Seen seen;
  int limit;
  int goals;                              // 1: a reset draws one
  int row;                                // R, numbers in a state row
  int time_at, qpos_at, qvel_at, act_at;  // places in a row
  UsArena arena;
  Slot* slot;    // (N)
  double* kept;  // (N, keeps) what slots keep beside their row, see Slot
  int keeps;
  int* ids;       // (max(N, SCRATCH)) a selection for MuJoCo
  int* played;    // (N) the slots that steps play
  int plays;      // how many those are
  double* blank;  // (R) the row where episodes begin (us_scene_start)
  double* goal;   // (N, R) rows of goals
  int* todo;      // (N) slots that a call works on
  int64_t warned[mjNWARNING];
} Sim;

static inline Sim* sim_of(UsEnv* e) {
  US_ASSERT(e && e->cls->open == us_env_class_sim.open);
  return (Sim*)e;
}

static inline double* sim_row(Sim* s, int slot) {
  return mjb_state(s->slots) + (size_t)slot * (size_t)s->row;
}

// Where a slot's piece of Sim.kept begins.
static inline double* sim_kept(Sim* s, int slot) {
  return s->kept + (size_t)slot * (size_t)s->keeps;
}

static inline double* sim_goal(Sim* s, int slot) {
  return s->goal + (size_t)slot * (size_t)s->row;
}

// ---- sim.c ----

// qpos, qvel and act of a row, one behind the other; a model without joints shows a 0.
void us_sim_read_state(const Sim* s, const double* row, double* state);

// Draws slots (n) as they are or, with rows (N, R) of their own, those.
UsStatus us_sim_draw(Sim* s, int n, const int* slots, const double* rows, uint8_t* pixels);

// ---- sim_run.c ----

// Runs a function in the listed simulations of a batch, ids (n), and counts MuJoCo's warnings,
// which start from 0 in mjData. Returns the first simulation that an error of MuJoCo ended; -1:
// none.
int us_sim_run(Sim* s, mjBatch* b, int n, const int* ids, mjfBatchFunc func, void* arg, int save);

// Keeps the error of a simulation as one of an episode, unless there is one already. Gives it as a
// status. slot -1: it belongs to none and is not kept.
UsStatus us_sim_failed(Sim* s, const mjBatch* b, int sim, int slot, int step);

// ---- truth.c ----

// 1 if MuJoCo plays the env.
int us_sim_is_mujoco(const UsEnv* e);

// ---- sim_play.c ----

// us_sim_policy and us_sim_measure of this kind.
void us_sim_act(UsEnv* e, int policy, const int* steps, float* actions);
UsStatus us_sim_measure_states(UsEnv* e, int n, const double* states, double* measures);

// Reads anew what is kept of the states of slots that are stale.
UsStatus us_sim_settle(Sim* s);

// Functions of the table, see env_class.h.
void us_sim_reset(UsEnv* e, const uint8_t* mask, const uint64_t* seeds);
void us_sim_step(UsEnv* e, const float* actions, const UsStep* out);
void us_sim_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                    const float* actions, float* rewards);
UsStatus us_sim_observe(UsEnv* e, int n, const int* slots, const UsObs* obs);
UsStatus us_sim_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs);

// us_env_draw_goal; seeds lie by slot or, with `by_slot` 0, by place in the list.
UsStatus us_sim_draw_goals(Sim* s, int n, const int* slots, const uint64_t* seeds, int by_slot);
void us_sim_score(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success);

// ---- sim_see.c ----

// What is kept of the goals of slots is no longer right. Nullable: slots (all).
void us_sim_forget(Sim* s, int n, const int* slots);
void us_sim_see_free(Sim* s);

// Functions of the table, see env_class.h.
UsStatus us_sim_look_goal(UsEnv* e, int n, const int* slots, UsObs* obs);

// Features of slots as they are, (n, G, D).
UsStatus us_sim_look_latents(Sim* s, int n, const int* slots, float* latents);
UsStatus us_sim_spaces(const UsEnv* e, UsObsKind kind, UsSpaces* out);
UsStatus us_sim_view(UsEnv* e, UsObsKind kind, int n, const int* slots, void* observation,
                     void* achieved, void* desired);
UsStatus us_sim_judge(UsEnv* e, UsObsKind kind, int n, const void* achieved, const void* desired,
                      float* reward, uint8_t* success);

#endif  // UNDERSTUDY_SIM_INNER_H_
