#ifndef UNDERSTUDY_ARM_POLICIES_H_
#define UNDERSTUDY_ARM_POLICIES_H_

// Behaviour policies of the arm's tasks; each list ends with a NULL name.

#include "env/task.h"

extern const UsPolicy us_arm_reach_policies[];  // actions (3): xyz
extern const UsPolicy us_arm_cube_policies[];   // actions (5): xyz, yaw, opening

#endif  // UNDERSTUDY_ARM_POLICIES_H_
