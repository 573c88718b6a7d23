#ifndef UNDERSTUDY_SIM_INNER_H_
#define UNDERSTUDY_SIM_INNER_H_

// The memory of a simulator env, shared by its table (sim.c), what is played in its simulations
// (sim_play.c) and the calls into MuJoCo (sim_run.c).
//
// A slot is a simulation of an mjBatch, whose state row holds everything that MuJoCo's next step
// depends on, and a Slot for the rest. Rows move between batches by copying: a rollout plays copies
// of a slot's row in a second batch. A slot in a variation runs, in both batches, on a model of its
// own.

#include <mujoco/mjbatch.h>

#include "env/env_class.h"
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

typedef struct Sim {
  UsEnv env;
  const UsTask* task;
  mjModel* model;
  mjBatch* slots;    // (N)
  mjBatch* scratch;  // (SCRATCH)
  UsRender* render;  // NULL until the first frame
  char gl[16];       // what renders, a word of env/gl.h
  UsVariants* variants;
  int varied;  // 1: a slot has had a model of its own
  int limit;
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

// ---- sim_run.c ----

// Runs a function in the listed simulations of a batch, ids (n), and counts MuJoCo's warnings,
// which start from 0 in mjData. Returns the first simulation that an error of MuJoCo ended; -1:
// none.
int us_sim_run(Sim* s, mjBatch* b, int n, const int* ids, mjfBatchFunc func, void* arg, int save);

// Keeps the error of a simulation as one of an episode, unless there is one already. Gives it as a
// status. slot -1: it belongs to none and is not kept.
UsStatus us_sim_failed(Sim* s, const mjBatch* b, int sim, int slot, int step);

// ---- sim_play.c ----

// Reads anew what is kept of the states of slots that are stale.
UsStatus us_sim_settle(Sim* s);

// Functions of the table, see env_class.h.
void us_sim_reset(UsEnv* e, const uint8_t* mask, const uint64_t* seeds);
void us_sim_step(UsEnv* e, const float* actions, const UsStep* out);
void us_sim_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                    const float* actions, float* rewards);
UsStatus us_sim_observe(UsEnv* e, int n, const int* slots, const UsObs* obs);
UsStatus us_sim_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs);
void us_sim_score(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success);

#endif  // UNDERSTUDY_SIM_INNER_H_
