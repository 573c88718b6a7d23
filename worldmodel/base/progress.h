#ifndef UNDERSTUDY_PROGRESS_H_
#define UNDERSTUDY_PROGRESS_H_

// What long work tells its caller, and what it asks: how far it is, whether to stop, a line for
// people. The library itself prints nothing and hears no signals; whoever calls it may set hooks,
// as the program does for its bar and for Ctrl-C. Without hooks work is silent and goes to its end.
//
// Hooks belong to the calling thread, as us_message does, and hold until others are set. They are
// called from that thread alone, never from a pool's. Threads: one piece of progress at a time in a
// thread.

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

typedef struct UsProgress {
  const char* label;  // "collect"; not copied
  const char* unit;   // "episodes"; not copied
  double total;       // units in all
  double first;       // units done before this run
  double done;        // units done now
  double start;       // s, when this run began
  double last;        // s, when the hook was last called; the hook's own
  const char* note;   // more about the present state, "" where there is none
  int on;             // 1; 0 in the last call
} UsProgress;

typedef struct UsHooks {
  // Called at the start, in between, and at the end with on = 0. Nullable.
  void (*progress)(void* data, UsProgress* p);
  // Nonzero: what is whole is saved and the work returns US_INTERRUPTED. Nullable.
  int (*stop)(void* data);
  // A line for people, without its end: what was decided, what is waited for. Nullable.
  void (*log)(void* data, const char* line);
  void* data;
} UsHooks;

// Sets the hooks of the calling thread and gives those before, for whoever sets them for a while.
US_API UsHooks us_hooks_set(UsHooks hooks);

// ---- for those who write long work ----
// A loop that can take more than a second shows progress and asks whether to stop, most simply by
// us_progress_step.

// Starts and shows progress over `total` units of which `done` were done by an earlier run.
US_API UsProgress us_progress_start(const char* label, const char* unit, double total, double done);

// Shows `done` units. Nullable: note.
US_API void us_progress_show(UsProgress* p, double done, const char* note);

// Ends it. Again does nothing.
US_API void us_progress_end(UsProgress* p);

// Shows `done` units; when the caller wants to stop ends it and gives US_INTERRUPTED, "<what>:
// stopped".
US_API UsStatus us_progress_step(UsProgress* p, double done, const char* what);

// 1 when the caller wants to stop.
US_API int us_interrupted(void);

// US_INTERRUPTED, "<what>: stopped", when the caller wants to stop.
US_API UsStatus us_interrupt_check(const char* what);

// Hands a line on to the caller.
US_API void us_log(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Seconds on a clock that never jumps.
US_API double us_seconds(void);

// Processor seconds that this process has used, all threads together.
US_API double us_cpu_seconds(void);

US_C_END

#endif  // UNDERSTUDY_PROGRESS_H_
