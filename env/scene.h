#ifndef UNDERSTUDY_SCENE_H_
#define UNDERSTUDY_SCENE_H_

// From a task's table to a compiled MuJoCo model.

#include "env/task.h"
#include "worldmodel/base/status.h"

// Finds the task of this name in a NULL-terminated list. `name` is the whole env name, for
// messages. Nullable: tasks (an empty list).
UsStatus us_scene_find(const char* name, const char* what, const UsTask* const* tasks,
                       const UsTask** out);

// Checks the table (us_task_check_table of plugin.h) and compiles its scene, or copies its model,
// with automatic resets off, so that a state which is not finite stays visible. On failure *out is
// NULL; the caller owns it.
UsStatus us_scene_compile(const UsTask* task, mjModel** out);

#endif  // UNDERSTUDY_SCENE_H_
