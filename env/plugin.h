#ifndef UNDERSTUDY_PLUGIN_H_
#define UNDERSTUDY_PLUGIN_H_

// Tasks from outside: the checks that a task's table has to pass, and shared libraries of tasks.
//
// A plugin is a shared library that defines us_plugin() and is named with --plugin. It is built
// against the installed headers alone (find_package(understudy), or `pkg-config understudy`); what
// it calls of libunderstudy and MuJoCo it finds in the program that loads it. A whole one:
//
//   static const UsTask drift = {.struct_size = sizeof(UsTask), .abi = US_TASK_ABI, ...};
//   static const UsTask* const tasks[] = {&drift, NULL};
//   static const UsPlugin plugin = {sizeof(UsPlugin), US_PLUGIN_ABI, mjVERSION_HEADER, tasks};
//   const UsPlugin* us_plugin(void) { return &plugin; }
//
// A plugin stays loaded until the program ends: envs keep pointers into its tables.
//
// Plugins of MuJoCo itself (actuators, sensors, signed distance fields), which scenes name in
// <extension>, are libraries that register themselves. Those that come with MuJoCo are found beside
// its library; others are named with --plugin too.
// Threads: from one thread at a time.

#include "env/task.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

enum { US_PLUGIN_ABI = 1, US_PLUGIN_TASKS = 256, US_PLUGIN_POLICIES = 256 };

typedef struct UsPlugin {
  size_t struct_size;          // sizeof(UsPlugin)
  int abi;                     // US_PLUGIN_ABI
  int mujoco;                  // mjVERSION_HEADER
  const UsTask* const* tasks;  // at least one, at most US_PLUGIN_TASKS, then NULL
} UsPlugin;

// What a plugin defines. Its table and all that this points to stay as they are.
__attribute__((visibility("default"))) const UsPlugin* us_plugin(void);

// Checks every field of a task's table without its scene; a message names file, task and field.
// Nullable: file (left out of the message).
US_API UsStatus us_task_check_table(const char* file, const UsTask* t);

// The same and the scene: it compiles, has the camera, and a control for each action where the
// task has no `control`. Nullable: file.
US_API UsStatus us_task_check(const char* file, const UsTask* t);

// Checks a plugin's table and its tasks; no name may occur twice or in `known`, a NULL-terminated
// list. Nullable: p and everything in it (refused), known (an empty list).
US_API UsStatus us_plugin_check(const char* file, const UsPlugin* p, const UsTask* const* known);

// Loads the library at `path` and checks it; one of MuJoCo's plugins is a plugin without tasks.
// Such libraries are told apart by their file's name: one that is loaded is not loaded again, and
// those named here come before those of us_engine_plugins. On failure *out is NULL. Nullable:
// known.
US_API UsStatus us_plugin_load(const char* path, const UsTask* const* known, const UsPlugin** out);

// Loads MuJoCo's own plugins from the folder `plugin` beside its library, where that is; further
// calls do nothing.
US_API void us_engine_plugins(void);

// The library that MuJoCo's plugin of a slot (mjp_getPluginAtSlot) came from; NULL: not known.
US_API const char* us_engine_plugin_library(int slot);

US_C_END

#endif  // UNDERSTUDY_PLUGIN_H_
