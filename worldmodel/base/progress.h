#ifndef UNDERSTUDY_PROGRESS_H_
#define UNDERSTUDY_PROGRESS_H_

// A progress bar with rate and time left on stderr; silent when stderr is not a terminal. Also the
// two clocks that reports use and the flag that Ctrl-C sets.
//
// Threads: one bar at a time, from one thread. us_interrupted may be asked from anywhere.

typedef struct UsProgress {
  const char* label;   // "collect"; not copied
  const char* unit;    // "episodes"; not copied
  double total;        // units in all
  double start, last;  // s
  double first;        // units done before this run
  int on;
} UsProgress;

// Starts a bar over `total` units of which `done` were done by an earlier run.
UsProgress us_progress_start(const char* label, const char* unit, double total, double done);

// Shows `done` units, at most ten times a second. `note` is appended. Nullable: note.
void us_progress_show(UsProgress* p, double done, const char* note);

// Ends the line.
void us_progress_end(UsProgress* p);

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

#endif  // UNDERSTUDY_PROGRESS_H_
