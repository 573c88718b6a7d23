#ifndef UNDERSTUDY_TASKS_H_
#define UNDERSTUDY_TASKS_H_

// The list of built-in tasks. Adding one is a folder tasks/<name>/ and a line here.

#include "env/task.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

#define US_TASKS(X)   \
  X(pointmaze)        \
  X(pointmaze_medium) \
  X(wall)             \
  X(wall_random)      \
  X(pusht)            \
  X(reacher)          \
  X(arm_reach)        \
  X(arm_cube)         \
  X(rope)             \
  X(granular)

#define X(name) extern const UsTask us_task_##name;
US_TASKS(X)
#undef X

// The tasks in the order of the list, NULL-terminated.
extern US_API const UsTask* const us_tasks[];

US_C_END

#endif  // UNDERSTUDY_TASKS_H_
