// The thread's hooks and the calls of them; without hooks every call is a test of a pointer.

#include "worldmodel/base/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

// ---- clocks ----

static double clock_seconds(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double us_seconds(void) {
  return clock_seconds(CLOCK_MONOTONIC);
}

double us_cpu_seconds(void) {
  return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

// ---- hooks ----

static __thread UsHooks present;

UsHooks us_hooks_set(UsHooks hooks) {
  UsHooks before = present;
  present = hooks;
  return before;
}

UsProgress us_progress_start(const char* label, const char* unit, double total, double done) {
  // The first call shows what an earlier run did.
  UsProgress p = {.label = label, .unit = unit, .total = total, .first = done, .on = 1};
  p.start = us_seconds();
  us_progress_show(&p, done, NULL);
  return p;
}

void us_progress_show(UsProgress* p, double done, const char* note) {
  p->done = done;
  p->note = note ? note : "";
  if (p->on && present.progress) present.progress(present.data, p);
}

void us_progress_end(UsProgress* p) {
  // A last call with on = 0, once.
  if (!p->on) return;
  p->on = 0;
  p->note = "";
  if (present.progress) present.progress(present.data, p);
}

UsStatus us_progress_step(UsProgress* p, double done, const char* what) {
  us_progress_show(p, done, NULL);
  if (!us_interrupted()) return US_OK;
  us_progress_end(p);
  return us_interrupt_check(what);
}

int us_interrupted(void) {
  return present.stop && present.stop(present.data) != 0;
}

UsStatus us_interrupt_check(const char* what) {
  return us_interrupted() ? us_fail(US_INTERRUPTED, "%s: stopped", what) : US_OK;
}

void us_log(const char* format, ...) {
  if (!present.log) return;
  // Lines are cut at the end, which callers keep for what matters least.
  char line[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  present.log(present.data, line);
}
