#ifndef UNDERSTUDY_VIEW_SHOW_INNER_H_
#define UNDERSTUDY_VIEW_SHOW_INNER_H_

// What callers of a show need not see, shared by its episodes (view_show.c) and its opening
// (view_show_open.c).

#include "datasets/goal.h"
#include "scripts/view/view_show.h"
#include "worldmodel/base/arena.h"

static const int slot = 0;  // the only one of every env here

typedef struct Inner {
  const UsTask* task;
  UsDataset* data;
  UsGoal goal;         // that was named; empty: none was
  UsEnv* answer;       // what the planner imagines in; NULL until it is asked for
  UsPlanner* planner;  // with it
  mjData* physics;     // for the states inside an env step
  int64_t row, last;   // of the data: now and the last one of the episode, in replay
  int phase;           // env steps of the present block that are played
  int seen;            // frames that the dream has observed since the last resync
  int left;            // blocks of the present plan that are still to be played
  UsArena arena;
  float* act;       // (A) of the present env step
  float* blocks;    // (K, A) of the present block
  float* plan;      // (replan, K, A)
  uint8_t* pixels;  // (height, width, 3) of the truth, as models see it
  float* proprio;   // (P) of the truth
  char* snapshot;   // one saved slot of the truth
} Inner;

// Takes a mode, if the show has what it needs. us_show_set_mode goes on from there.
UsStatus us_show_take_mode(UsShow* s, UsViewMode mode);

#endif  // UNDERSTUDY_VIEW_SHOW_INNER_H_
