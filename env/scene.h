#ifndef UNDERSTUDY_SCENE_H_
#define UNDERSTUDY_SCENE_H_

// From a task's table to a compiled MuJoCo model.

#include "env/task.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

// Finds the task of this name in a NULL-terminated list. `name` is the whole env name, for
// messages. Nullable: tasks (an empty list).
US_API UsStatus us_scene_find(const char* name, const char* what, const UsTask* const* tasks,
                              const UsTask** out);

// Puts d where episodes begin before a task's reset: at the model's first keyframe with all that it
// says (mj_resetDataKeyframe), or else at its defaults. What a task's reset leaves as it is, bodies
// of motion capture for one, is the same in every episode.
US_API void us_scene_start(const mjModel* m, mjData* d);

// Refuses, by the name of what has it, a model whose future depends on more than its start, qpos,
// qvel, act and the time: files hold no more of a state. `what` is for messages.
US_API UsStatus us_scene_check_state(const char* what, const mjModel* m);

// Compiles the scene of a table that us_task_check_table of plugin.h accepts, or copies its model,
// with automatic resets off, so that a state which is not finite stays visible, and without sleep,
// as who sleeps is no part of a state. On failure *out is NULL; the caller owns it.
US_API UsStatus us_scene_compile(const UsTask* task, mjModel** out);

enum { US_POSE_CHARS = 256 };

// The camera that models without a fixed one are given, whose place no file of theirs says.
#define US_SCENE_CAMERA "understudy_free"

// The pose of a camera as text: place (m), rotation (a quaternion), field of view and near plane,
// to the last bit.
US_API void us_scene_pose(const mjModel* m, int camera, char pose[US_POSE_CHARS]);

// Gives the camera of this name its pose. Another name is US_USAGE with those that there are, a
// text that is no pose US_FORMAT. `what` is for messages. Nullable: pose (it stays as it is).
US_API UsStatus us_scene_aim(const char* what, mjModel* m, const char* camera, const char* pose);

US_C_END

#endif  // UNDERSTUDY_SCENE_H_
