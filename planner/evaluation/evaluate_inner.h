#ifndef UNDERSTUDY_EVALUATE_INNER_H_
#define UNDERSTUDY_EVALUATE_INNER_H_

// An evaluation in progress, shared by its loop (evaluate.c) and by what places its episodes
// (evaluate_place.c).

#include "planner/evaluate.h"
#include "worldmodel/base/progress.h"

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
  int* slot;      // (B) 0 .. B - 1
  int* live;      // (B) slots whose episode goes on
  int lives;
  uint8_t* mask;        // (B) 1 where a slot has a pair
  uint64_t* number;     // (B) episode numbers; seeds of the reset
  UsObs* obs;           // (B)
  uint8_t* pixels;      // (B, H, W, 3)
  float* proprio;       // (B, P)
  double* state;        // (B, S)
  float* planned;       // (B, replan, K, A) as the planner lists them
  float* plan;          // (B, replan, K, A) by slot
  float* action_block;  // (B, K, A)
  uint8_t* success;     // (B, K)
  uint8_t* object;      // (B, K)
  float* reward;        // (B)
  float* distance;      // (B)
  uint8_t* history;     // (B, blocks, K) success after every env step
  uint8_t* objects;     // (B, blocks, K) success of the object alone
  size_t save;          // bytes of a slot of the truth; 0: no frame is drawn anew
  char* saved;          // (B, save)
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

// Finds out what varies, before the result has memory; then by how much in every pair.
UsStatus us_evaluate_factors(const UsEvaluation* e, UsResult* out);
void us_evaluate_variation(const UsEvaluation* e, UsResult* r);

// Puts the envs into the starts and goals of the batch's pairs.
UsStatus us_evaluate_place(Run* r);

// Shows the answering env the goal whose turn it is in block `b`, when it is another one.
UsStatus us_evaluate_aim(Run* r, int b);

// Writes the state that an episode starts from, at a row of the data, into out (S). rest: with the
// velocity set to zero.
void us_evaluate_start(const UsDataset* data, int64_t row, int rest, const UsEnv* sim, double* out);

#endif  // UNDERSTUDY_EVALUATE_INNER_H_
