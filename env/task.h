#ifndef UNDERSTUDY_TASK_H_
#define UNDERSTUDY_TASK_H_

// A task: a MuJoCo scene and the few functions that make it one. A task is one constant table in
// one folder, tasks/<name>/<name>.c beside <name>.xml, and one line in tasks/tasks.h.
//
// The functions are called from pool threads with that thread's mjData, whose state is the slot's
// and whose position kinematics are current. They keep nothing between calls.
//
// Goals are compared by `measure`: the positions (m) and angles (rad) that the task is about, a
// vector of M numbers read off a state. Velocity is no part of it unless the task says so.

#include <stddef.h>

#include <mujoco/mujoco.h>

#include "worldmodel/base/rng.h"
#include "worldmodel/base/settings.h"
#include "worldmodel/base/status.h"

struct UsExec;

enum {
  US_TASK_ABI = 6,
  US_POLICY_MEMORY = 128,
  US_TASK_MEASURES = 1 << 14,
  US_TASK_ACTIONS = 1 << 12
};
enum { US_FACTORS = 32 };  // most factors of variation of a task, the general ones included

// A behaviour policy for collecting: writes action (A), each in [-1, 1]. `memory`
// (us_task_memory: US_POLICY_MEMORY, or one more than A where that is more) is the episode's own,
// zero at its start; rng is the stream of this episode and step.
typedef struct UsPolicy {
  const char* name;
  const char* summary;
  void (*act)(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action);
} UsPolicy;

// A factor of variation: one number x in [-1, 1] that changes a private copy of the compiled model;
// 0 leaves the scene as it is. Names are parts joined by _, of which the first is the group
// (camera_x, camera_y). A visual factor changes frames and no physics. No factor changes what
// measures, distance and success say of a state, so goals mean the same in every variation.
typedef struct UsFactor {
  const char* name;     // what --vary and datasets call it
  const char* summary;  // one line for lists
  int physical;         // 0: visual. 1: mj_setConst runs after all physical factors of a model
  // Changes m, not yet touched by this factor, to x. Returns 0 when the scene has nothing that this
  // factor could change; such factors are not listed. NULL: the general factor of this name makes
  // no sense in this task.
  int (*apply)(mjModel* m, double x);
} UsFactor;

// A number that a job takes for this task where its caller chose none.
typedef struct UsTaskSetting {
  const char* job;   // "eval", which has its own settings and the planner's, or "finetune"
  const char* name;  // of the job's list: "samples"
  double value;
} UsTaskSetting;

// us_task_check of env/plugin.h says which values are refused. The first four fields stand first in
// every ABI.
struct UsRobot;

typedef struct UsTask {
  size_t struct_size;  // sizeof(UsTask)
  int abi;             // US_TASK_ABI
  int mujoco;          // mjVERSION_HEADER

  const char* name;
  const char* summary;  // one line for lists
  const char* scene;    // the MJCF text; NULL with `model`
  const char* camera;   // name of the scene's camera
  int frame_skip;       // physics steps an env step
  int block;            // K, env steps a block by default
  int action;           // A, at most US_TASK_ACTIONS; numbers in [-1, 1] of an env step
  int proprio;          // P, at most US_TASK_MEASURES
  int measure;          // M, at most US_TASK_MEASURES
  int size;             // pixels of a side by default
  double radius;        // the success threshold on `distance`, for messages and plots

  // Draws a start state into d, which is at the scene's first keyframe or else at its defaults:
  // qpos and qvel; everything else stays as it is.
  void (*reset)(const mjModel* m, mjData* d, UsRng* rng);
  // Draws a goal state into d, which is in the state of the episode that it is for: qpos, with what
  // belongs to the episode left as it is; velocities are 0 afterwards. NULL: a state of `reset`.
  void (*goal)(const mjModel* m, mjData* d, UsRng* rng);
  // Applies an action (A) before the physics steps of an env step. NULL: ctrl = action.
  void (*control)(const mjModel* m, mjData* d, const float* action);
  // What the robot measures of itself: out (P). NULL where P is 0, and only there.
  void (*read_proprio)(const mjModel* m, const mjData* d, float* out);
  // The quantities that a goal is about: out (M).
  void (*read_measure)(const mjModel* m, const mjData* d, double* out);
  // Distance of two measures (M), and whether the first counts as solved for the second.
  double (*distance)(const mjModel* m, const double* a, const double* goal);
  int (*success)(const mjModel* m, const double* a, const double* goal);
  // The same for the moved object alone, reported beside; NULL: there is none, or success is that.
  int (*success_object)(const mjModel* m, const double* a, const double* goal);
  // Whether a pair of start and goal measures is a hard one for a reason of the task's own, such as
  // a wall between them. NULL: the farther half of the pairs counts as hard.
  int (*hard)(const mjModel* m, const double* start, const double* goal);

  const UsPolicy* policies;  // ends with a NULL name; the first is the default
  // Factors of variation of the task's own, in place of the general ones of the same names
  // (env/factors.h); ends with a NULL name. NULL: none.
  const UsFactor* factors;

  // What planning and fine-tuning need beyond the defaults; ends with a NULL job. NULL: nothing.
  const UsTaskSetting* settings;

  // A compiled model in place of `scene`, owned by whoever made the task. Nullable.
  const mjModel* model;

  // The robot behind a pipe (env/exec.h) that plays the task in place of MuJoCo; `model` then holds
  // what the functions above need. NULL: MuJoCo plays it.
  const struct UsExec* exec;

  // What data keeps of a task that the program does not bring itself (robot.h): *out lasts as long
  // as the task. May take as long as opening it did. NULL: nothing.
  UsStatus (*robot)(const struct UsTask* t, const struct UsRobot** out);
} UsTask;

// Numbers of a policy's memory in this task: more than US_POLICY_MEMORY where it has more actions.
static inline int us_task_memory(const UsTask* t) {
  return t->action < US_POLICY_MEMORY ? US_POLICY_MEMORY : t->action + 1;
}

// Writes a task's settings for `job` into a config that this list describes, but for those whose
// names stand in `given`, separated by spaces. Names that the list does not have belong to another
// list of the job. US_USAGE for one out of range. Nullable: given, which leaves the config as it
// is.
US_API UsStatus us_task_settings(const UsTask* task, const char* job, const char* given,
                                 const UsSetting* list, void* config);

#endif  // UNDERSTUDY_TASK_H_
