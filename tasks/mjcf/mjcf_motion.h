#ifndef UNDERSTUDY_MJCF_MOTION_H_
#define UNDERSTUDY_MJCF_MOTION_H_

// A short random roll-out of a task, and what moves in it. For the cameras of an MJCF task.
//
// Threads: every call works on its arguments alone.

#include <stdint.h>

#include <mujoco/mujoco.h>

#include "env/task.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

// Rows are places: qpos, then the places of mocap bodies. A run begins anew at a start of its own.
typedef struct UsMotion {
  mjModel* m;       // a copy of the task's, in which nothing sleeps or resets
  mjData* d;        // where us_motion_place puts a row
  int runs;         // R
  int most;         // T, rows of a run at most
  int second;       // rows that lie a second apart, or the whole run where it is shorter
  int width;        // numbers of a row
  int* length;      // (R) rows that a run has: T, or those before it diverged
  double* rows;     // (R, T, width)
  uint8_t* moves;   // (ngeom) 1: drawn, and moves by more than 1 % of the extent; 2: leaves, by
                    // more than 4 extents
  uint8_t* site;    // (nsite) the same of sites
  double* start;    // (ngeom + nsite, 12) places of a run's start; of the work
  double farthest;  // the longest way of something drawn within a second, in extents
  char farthest_of[64];  // its body
} UsMotion;

// Plays the task's first policy on its model. `path` is for messages. On failure *out is empty.
// Free with us_motion_free.
US_API UsStatus us_motion_make(const char* path, const UsTask* t, UsMotion* out);
US_API void us_motion_free(UsMotion* s);

// Puts s->d at a row, with all that a picture depends on. May raise an error of MuJoCo.
US_API void us_motion_place(UsMotion* s, int run, int row);

// Whether frames show a geom or a site: its group is drawn, and it is not transparent.
US_API int us_motion_drawn(const mjModel* m, int type, int id);

US_C_END

#endif  // UNDERSTUDY_MJCF_MOTION_H_
