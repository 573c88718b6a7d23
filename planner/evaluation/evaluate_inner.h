#ifndef UNDERSTUDY_EVALUATE_INNER_H_
#define UNDERSTUDY_EVALUATE_INNER_H_

// An evaluation in progress, shared by its loop (evaluate.c) and by what places its episodes
// (evaluate_place.c).

#include "planner/evaluate.h"
#include "worldmodel/base/progress.h"

// The work areas of a batch of B slots, in a Run r: type, name, numbers a slot.
#define RUN_AREAS(X)                                                                          \
  X(int, slot, 1)                          /* (B) 0 .. B - 1 */                               \
  X(int, live, 1)                          /* (B) slots whose episode goes on */              \
  X(uint8_t, mask, 1)                      /* (B) 1 where a slot has a pair */                \
  X(uint64_t, number, 1)                   /* (B) episode numbers; seeds of the reset */      \
  X(UsObs, obs, 1)                         /* (B) */                                          \
  X(uint8_t, pixels, r->frame)             /* (B, H, W, 3) */                                 \
  X(float, proprio, r->proprios)           /* (B, P) */                                       \
  X(double, state, r->states)              /* (B, S) */                                       \
  X(float, planned, r->replan * r->length) /* (B, replan, K, A) as the planner lists them */  \
  X(float, plan, r->replan * r->length)    /* (B, replan, K, A) by slot */                    \
  X(float, action_block, r->length)        /* (B, K, A) */                                    \
  X(uint8_t, success, r->block)            /* (B, K) */                                       \
  X(uint8_t, object, r->block)             /* (B, K) */                                       \
  X(float, reward, 1)                      /* (B) */                                          \
  X(float, distance, 1)                    /* (B) */                                          \
  X(char, saved, r->save)                  /* (B, save) the truth, slot by slot */            \
  X(uint8_t, history, r->result->blocks * r->block) /* (B, blocks, K) success, as the next */ \
  X(uint8_t, objects, r->result->blocks * r->block) /* (B, blocks, K) of the object alone */

// What was asked, the result, and the work areas of a batch.
typedef struct Run {
  const UsEvaluation* e;
  UsResult* result;
  UsArena memory;
  int slots, block, states, proprios, replan;
  size_t length;  // K A, numbers of a block
  size_t frame;   // bytes of a frame
  int first, n;   // the batch: pairs first .. first + n - 1 in slots 0 .. n - 1
  int stage;      // the sub-goal that the answering env has, e->subgoals: the goal
  int lives;      // slots whose episode goes on
  size_t save;    // bytes of a slot of the truth; 0: no frame is drawn anew
#define X(type, name, numbers) type* name;
  RUN_AREAS(X)
#undef X
} Run;

// ---- time by part ----

typedef struct Clock {
  double wall, core;
} Clock;

static inline Clock clock_now(void) {
  return (Clock){us_seconds(), us_cpu_seconds()};
}

static inline void clock_charge(Run* r, UsPart part, Clock start) {
  r->result->wall[part] += us_seconds() - start.wall;
  r->result->core[part] += us_cpu_seconds() - start.core;
}

// ---- evaluate_place.c ----

// Finds out by how much every pair varies in the factors of the result.
void us_evaluate_variation(const UsEvaluation* e, UsResult* r);

// Puts the envs into the starts and goals of the batch's pairs.
UsStatus us_evaluate_place(Run* r);

// Shows the answering env the goal whose turn it is in block `b`, when it is another one.
UsStatus us_evaluate_aim(Run* r, int b);

// Writes the state that an episode starts from, at a row of the data, into out (S). rest: with the
// velocity set to zero.
void us_evaluate_start(const UsDataset* data, int64_t row, int rest, const UsEnv* sim, double* out);

// The same of the goal of a pair: its row's state, or the one that all pairs have.
void us_evaluate_goal(const UsDataset* data, const UsPairs* pairs, const UsPair* p,
                      const UsEnv* sim, double* out);

#endif  // UNDERSTUDY_EVALUATE_INNER_H_
