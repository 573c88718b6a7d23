#ifndef UNDERSTUDY_PAIRS_H_
#define UNDERSTUDY_PAIRS_H_

// Start / goal pairs from held-out trajectories: rows (t - K, t) as the start's two frames and row
// t + ahead as the goal, t >= K, pairs that are solved at the start left out and counted. Or a
// state is the goal of all of them.

#include "datasets/dataset.h"
#include "env/env.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

typedef struct UsPair {
  int64_t before, start, goal;  // rows of the dataset
  int32_t episode;
  float distance;  // the task's, start to goal
  int hard;        // the task's own rule, or the farther half
} UsPair;

typedef struct UsPairs {
  int count;
  UsPair* pair;         // (count)
  int solved_at_start;  // pairs that were drawn and left out
  double* goal;         // (S) of all pairs, in place of their rows. NULL: the rows are the goals
  char hash[US_HASH_CHARS];  // SHA-256 of the list, and of the goal
} UsPairs;

// Draws `count` pairs from the dataset in an order that depends on seed alone; `sim` is a `sim:`
// env of the dataset's task. One episode gives several pairs only when there are fewer episodes
// than pairs. Fails when the dataset cannot give so many. Free with us_pairs_free.
US_API UsStatus us_pairs_draw(const UsDataset* data, UsEnv* sim, uint64_t seed, int count,
                              int block, int ahead, int keep_solved, UsPairs* out);

// The same with the state `goal` (S) as the goal of all pairs, which is copied; NULL: their rows.
US_API UsStatus us_pairs_draw_to(const UsDataset* data, UsEnv* sim, uint64_t seed, int count,
                                 int block, int ahead, int keep_solved, const double* goal,
                                 UsPairs* out);

US_API void us_pairs_free(UsPairs* p);

US_C_END

#endif  // UNDERSTUDY_PAIRS_H_
