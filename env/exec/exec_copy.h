#ifndef UNDERSTUDY_EXEC_COPY_H_
#define UNDERSTUDY_EXEC_COPY_H_

// One running copy of a robot's command: started, asked, ended. Questions and answers are apart, so
// that many copies can work at once.
//
// A copy that failed is ended, and answers what is asked later with its first failure.

#include "env/exec.h"

typedef struct UsExecCopy UsExecCopy;

// What an answer says.
typedef struct UsExecAnswer {
  double* state;    // (S), of the caller
  uint8_t* frame;   // (height, width, 3), of the caller; NULL: none was asked for
  double time;      // NAN: it did not say
  double distance;  // NAN: it did not say
  int success;
} UsExecAnswer;

// Starts a command: its hello is the first thing to listen for.
UsStatus us_exec_start(const char* command, UsExecCopy** out);

// Reads the hello into a fresh x, whose command stands.
UsStatus us_exec_hear_hello(UsExecCopy* c, UsExec* x);

// Reads the hello of one more copy, which has to be that of x.
UsStatus us_exec_hear_again(UsExecCopy* c, const UsExec* x);

// Sends a line, which ends in \n.
UsStatus us_exec_ask(UsExecCopy* c, const UsExec* x, const char* line, size_t size);

// Waits for the answer, at most `patience` times the robot's timeout.
UsStatus us_exec_hear(UsExecCopy* c, const UsExec* x, double patience, UsExecAnswer* out);

// Says goodbye to n copies at once, waits until they have ended, and frees them. NULLs are fine.
void us_exec_end(UsExecCopy** copies, int n, double timeout);

#endif  // UNDERSTUDY_EXEC_COPY_H_
