#ifndef UNDERSTUDY_GOAL_H_
#define UNDERSTUDY_GOAL_H_

// A goal from outside: a picture, a state, or a row of trajectories.
//
//   UsGoal goal;
//   if (us_goal_read("goal.png", sim, 64, 64, &goal) == US_OK) {
//     UsObs obs = us_goal_obs(&goal);
//     status = us_env_set_goal(model, 1, &slot, &obs);
//   }
//   us_goal_free(&goal);
//
// What a goal is read from is a text:
//
//   FILE.h5:ROW      a row of a dataset: its state, and its frame where the file has frames
//   0.5,-1,0,0       a state: S numbers
//   anything else    a picture that libav reads (PNG, JPEG and the like), brought to size
//
// A simulator takes the state, a model the frame; who has both can be judged by the one while the
// other is planned to.
//
// Threads: as for datasets, calls come from one thread at a time.

#include "datasets/dataset.h"
#include "env/env.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

#define US_GOAL_HELP \
  "a picture (goal.png), a state (0.5,-1,0,0), or a row of trajectories (F.h5:120)"

typedef struct UsGoal {
  int height, width, states;  // sizes, 0: without
  uint8_t* pixels;            // (height, width, 3). NULL: not known
  double* state;              // (states). NULL: not known
} UsGoal;

// Reads a goal whose frame is height x width; 0: none is wanted. With `sim`, a simulator of the
// task, its state is checked, and a frame that is wanted and not there is drawn of it, in the scene
// without variation; sim is left as it was. Pictures are brought to a square of `width` pixels, so
// a frame that is no square is US_UNSUPPORTED there. A text that is nothing of the kind, a row that
// is not there, a frame of another size or a state of another number of numbers is refused by name.
// On failure *out is empty. Nullable: sim.
US_API UsStatus us_goal_read(const char* text, UsEnv* sim, int height, int width, UsGoal* out);

// 1 if a text names a state or a row, so that a simulator can judge it.
US_API int us_goal_has_state(const char* text);

// It as us_env_set_goal takes it; points into the goal.
US_API UsObs us_goal_obs(const UsGoal* g);

// Frees what a goal holds; an empty one is fine.
US_API void us_goal_free(UsGoal* g);

US_C_END

#endif  // UNDERSTUDY_GOAL_H_
