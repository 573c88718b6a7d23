#ifndef UNDERSTUDY_MJCF_CAMERA_H_
#define UNDERSTUDY_MJCF_CAMERA_H_

// Which camera an MJCF task is seen through. For mjcf.c.
//
// Threads: one call at a time per model.

#include "tasks/mjcf/mjcf_motion.h"

US_C_BEGIN

// Plays the task on its model a little, places camera `ours` of m, which is that model, where it
// sees what moved, and gives `first` (-1: none) in *chosen if that sees it at a size worth training
// on, else `ours`.
US_API UsStatus us_mjcf_choose_camera(const char* path, const UsTask* t, int first, int ours,
                                      mjModel* m, int* chosen);

US_C_END

#endif  // UNDERSTUDY_MJCF_CAMERA_H_
