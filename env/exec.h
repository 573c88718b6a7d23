#ifndef UNDERSTUDY_EXEC_H_
#define UNDERSTUDY_EXEC_H_

// A robot, or a simulator of one's own, as a program behind a pipe: what it says, what it is told.
//
// `--task exec:COMMAND` starts COMMAND by /bin/sh, once for each slot that plays. Its standard
// input and output are lines of JSON, answered one by one; what it writes to standard error is
// nobody's business here. tests/scripts/robot.py is a whole one in 60 lines. Numbers are in the
// robot's own units; times are seconds.
//
// It begins with one line, its hello, within 120 s:
//
//   {"understudy": 1, "name": "arm", "low": [-1, -1], "high": [1, 1], "state": 4, "dt": 0.05}
//
//   understudy  1: the version of this protocol
//   name        letters, digits, - and _
//   low, high   what an action of -1 and one of 1 mean, number by number (A numbers)
//   state       S, numbers of a state
//   dt          of an action
//   and, if it likes:
//   safe        the action that stops it (the middle of low and high)
//   height, width  of its frames (0: it has none)
//   camera      what they are of (camera)
//   proprio     leading numbers of the state that it measures of itself (S); the others are the
//               world's, which a model has to see
//   tolerance   what counts as solved: no number of the state is farther from the goal's than this;
//               0: that number is no part of goals
//   success     true: it judges goals itself, and answers hold "success" and may hold "distance"
//   restore     true: it can be put into any state, which is all that its future depends on
//   copies      that may run at once (1)
//   steps       actions that an episode has at most (0: any number)
//   block       actions that are planned as one (5)
//   timeout     within which it answers (10); a reset may take ten times as long
//
// Then it is asked, and answers each line with one:
//
//   {"do": "reset", "seed": 7}            starts an episode; for who restores also "state": [...]
//   and
//                                         "time": the same state, at once
//   {"do": "act", "action": [...]}        acts for dt: the numbers lie within low and high
//   {"do": "observe"}                     nothing but the answer
//   {"do": "goal", "state": [...]}        only of who judges itself: what success is about until
//   the
//                                         next reset
//   {"do": "stop"}                        nobody acts until the next reset: the safe action
//   {"do": "bye"}                         the last line: the safe action, and end, without an
//   answer
//
//   {"state": [...]}                      the answer, which may hold "time": since the reset (dt
//                                         times the actions), "success", "distance"
//   {"error": "joint 2 is hot"}           it cannot go on; a line for people
//
// Where the question holds "frame": true the answer holds "frame": height * width * 3, and behind
// its line stand so many bytes of RGB, rows from the top.
//
// At the end of its input, which is what it sees of a caller that was killed, a robot takes its
// safe action and ends. One that can do harm also does so when it has been told nothing for a
// while: a caller may be stopped, or think. Who does not end within its timeout is killed.
//
// What is wrong, too late, too long or not finite is one line that names the command, what was
// expected and what was found, and ends the copy; the error is kept as env.h says.
//
// Threads: one call on a robot at a time. Only the caller's thread waits.

#include <stddef.h>
#include <stdint.h>

#include "env/task.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

enum { US_EXEC_PROTOCOL = 1, US_EXEC_COMMAND = 1024, US_EXEC_SIDE = 2048 };

struct UsExecCopy;

// What a hello says. Lists are owned.
typedef struct UsExec {
  char command[US_EXEC_COMMAND];
  char name[32], camera[64];
  char digits[9];  // of a hash over all that trajectories depend on
  int action, state, proprio, height, width, block, steps, copies;
  int judges, restores, rated;  // rated: 1 where `tolerance` says what is solved
  double dt, timeout;
  double *low, *high, *safe;  // (A)
  double* tolerance;          // (S) 0: no part of goals
  struct UsExecCopy* spare;   // the one that said it, until an env takes it
} UsExec;

// Starts the command and reads its hello. On failure *out is NULL. Free with us_exec_free, after
// the envs that use it.
US_API UsStatus us_exec_greet(const char* command, UsExec** out);

// NULL is fine.
US_API void us_exec_free(UsExec* x);

// US_FORMAT for a robot that nobody can judge in: neither by a tolerance nor by itself.
US_API UsStatus us_exec_need_judge(const UsExec* x);

US_C_END

#endif  // UNDERSTUDY_EXEC_H_
