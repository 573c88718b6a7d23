#ifndef UNDERSTUDY_PROGRESS_H_
#define UNDERSTUDY_PROGRESS_H_

// A progress bar with rate and time left on stderr; a line a minute where stderr is not a terminal.
// Also the two clocks that reports use and the flag that Ctrl-C sets. A loop that can take more
// than a second shows a bar and asks for Ctrl-C, most simply by us_progress_step.
//
// Threads: one bar at a time, from one thread. us_interrupted may be asked from anywhere.

#include "worldmodel/base/status.h"

typedef struct UsProgress {
  const char* label;   // "collect"; not copied
  const char* unit;    // "episodes"; not copied
  double total;        // units in all
  double start, last;  // s
  double first;        // units done before this run
  double every;        // s between two showings
  int terminal;        // 1: a bar, 0: lines
  int on;              // 0 after us_progress_end
} UsProgress;

// Starts and shows a bar over `total` units of which `done` were done by an earlier run.
UsProgress us_progress_start(const char* label, const char* unit, double total, double done);

// Shows `done` units, at most every p->every seconds: ten times a second in a terminal, else once a
// minute. `note` is appended. Nullable: note.
void us_progress_show(UsProgress* p, double done, const char* note);

// Ends the line; that of a loop of less than half a second is taken back. Again does nothing.
void us_progress_end(UsProgress* p);

// Shows `done` units; after Ctrl-C ends the bar and gives US_INTERRUPTED, "<what>: stopped".
UsStatus us_progress_step(UsProgress* p, double done, const char* what);

// Seconds on a clock that never jumps.
double us_seconds(void);

// Processor seconds that this process has used, all threads together.
double us_cpu_seconds(void);

// Installs handlers for SIGINT and SIGTERM: the first sets a flag that long work asks for and saves
// on, the second signal ends the program at once. A file that grows past its limit then is an error
// of the write and no longer a signal.
void us_interrupt_install(void);

// 1 after the first SIGINT or SIGTERM.
int us_interrupted(void);

// US_INTERRUPTED, "<what>: stopped", after the first SIGINT or SIGTERM.
UsStatus us_interrupt_check(const char* what);

#endif  // UNDERSTUDY_PROGRESS_H_
