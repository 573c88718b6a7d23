#ifndef UNDERSTUDY_SIM_H_
#define UNDERSTUDY_SIM_H_

// What only an env that plays a task can do, a simulator (`sim:<task>`) or a robot behind a pipe
// (exec.h), beyond env.h: behaviour policies, measures, the compiled model and its variations. Same
// thread rule as env.h.

#include "env/env.h"
#include "env/task.h"
#include "env/vary.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

// 1 if an env plays a task: it is a simulator or a robot.
US_API int us_sim_is(const UsEnv* e);

// The task of a simulator env.
US_API const UsTask* us_sim_task(const UsEnv* e);

// The compiled model as the task has it, before any variation; owned by the env. A robot's is
// empty but for what the task's functions need.
US_API const mjModel* us_sim_model(const UsEnv* e);

// Why nothing can be planned in a task that brings its model, for messages; NULL: it can.
US_API const char* us_sim_passive(const UsTask* t);

// Whose words the text of us_env_error is, "MuJoCo: " or, of a robot, "", and its status.
US_API const char* us_sim_engine(const UsEnv* e, UsStatus* status);

// The compiled model in the present variation of a slot; owned by the env, valid until the slot is
// varied again.
US_API const mjModel* us_sim_slot_model(const UsEnv* e, int slot);

// A number of the state that says where something is.
typedef struct UsPosition {
  char name[48];  // "gripper", "box x": the joint's, or "joint 3" where it has none
  int at;         // its place in a state
  int angle;      // 1: of a hinge, rad; 0: m
} UsPosition;

// Leading numbers of a state that are positions; velocities and activations follow.
US_API int us_sim_positions(const UsEnv* e);

// Those of slides and hinges and the places of free joints: list (us_sim_positions). Returns how
// many.
US_API int us_sim_places(const UsEnv* e, UsPosition* list);

// Lets us_env_step and us_sim_policy play the listed slots alone, until the next call; at first
// they play all. The others keep their state, and what a step says of them means nothing; a robot
// among them is told to stop.
US_API void us_sim_select(UsEnv* e, int n, const int* slots);

// 1 if a slot has diverged since its episode began: MuJoCo itself called a position, velocity or
// acceleration bad, or a number of the state is not finite or beyond mjMAXVAL, or a measure or a
// proprio is not finite. Such a slot keeps its state until it is reset or observed.
US_API int us_sim_diverged(const UsEnv* e, int slot);

// How often MuJoCo warned in this env since it was opened, rollouts included. line (size): the
// kinds of warnings, each with its count; "" for none.
US_API long long us_sim_warnings(const UsEnv* e, char* line, size_t size);

// Asks a behaviour policy of the task for the next env step's action of every slot. policy is its
// index; steps (N) counts env steps since the slot's reset and names the random stream together
// with the slot's reset seed; actions (N, A).
US_API void us_sim_policy(UsEnv* e, int policy, const int* steps, float* actions);

// Index of the behaviour policy of a task with this name; NULL names the first. An unknown one is
// US_USAGE, "--policy ...: expected a policy of TASK (...)".
US_API UsStatus us_sim_find_policy(const UsTask* task, const char* name, int* index);

// The measures (n, M) of states (n, S), computed outside any slot. Fails with MuJoCo's error.
US_API UsStatus us_sim_measure(UsEnv* e, int n, const double* states, double* measures);

// The factors of variation that change something in this task's scene: *list (F), owned by the env.
// Returns F.
US_API int us_sim_factors(UsEnv* e, const UsFactor* const** list);

// Puts the listed slots into variations: values (n, V) of the chosen factors, all others 0. A slot
// stays in its variation, over resets too, until the next call; us_env_save and us_env_fork take it
// along. Everything that is asked of a slot, goals, rollouts and frames included, happens in its
// variation. Values out of [-1, 1] are US_USAGE; a slot whose model no memory is left for is
// US_MEMORY and counts as diverged.
US_API UsStatus us_sim_vary(UsEnv* e, const UsVary* v, int n, const int* slots,
                            const float* values);

US_C_END

#endif  // UNDERSTUDY_SIM_H_
