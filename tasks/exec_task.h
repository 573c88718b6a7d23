#ifndef UNDERSTUDY_EXEC_TASK_H_
#define UNDERSTUDY_EXEC_TASK_H_

// A robot, or a simulator of one's own, behind a pipe as a task: `--task exec:'python3 robot.py'`
// of the command line, or in C
//
//   const UsTask* task;
//   if (us_exec_open("python3 robot.py", &task)) ...;
//   us_env_open("exec:python3 robot.py", (const UsTask* const[]){task, NULL}, &config, &env);
//
// What the program says and is told is in env/exec.h.
//
//   name      exec-<its name>-<8 hex digits>. The digits hash what trajectories depend on: sizes,
//             ranges, dt, camera, tolerance; a robot that was changed there is another task
//   measure   the numbers of the state with a tolerance, in units of it; without any, all
//   distance  root of the mean square; of a robot that judges itself what it says, where it does
//   success   no number farther than its tolerance from the goal, or the robot's own judgement
//   policies  random (held for 1 to 7 steps, with noise), smooth (drifting)
//
// Threads: opening and closing from one thread at a time; the tasks are constant.

#include "env/task.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

// Starts the command once, to hear what it is; the first env goes on with that copy. On failure
// *out is NULL. Free with us_exec_close, after the envs of the task.
US_API UsStatus us_exec_open(const char* command, const UsTask** out);

// NULL is fine.
US_API void us_exec_close(const UsTask* task);

US_C_END

#endif  // UNDERSTUDY_EXEC_TASK_H_
