#ifndef UNDERSTUDY_PYTHON_BRIDGE_H_
#define UNDERSTUDY_PYTHON_BRIDGE_H_

// What the Python module has in C beside the library: hooks that ask Python seldom enough to cost
// nothing, since every question waits for the interpreter's lock.
//
// Threads: hooks belong to the thread that sets them.

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "planner/statistics.h"
#include "understudy.h"

// The hooks of one call. `handle` is Python's; the functions are those that it defined.
typedef struct UsPyHooks {
  void* handle;
  int (*ask)(void* handle);  // nonzero: stop
  void (*progress)(void* handle, UsProgress* p);
  void (*log)(void* handle, const char* line);
  double asked, shown;  // s, when they were called last
  int stopped;          // the answer, which stays
} UsPyHooks;

static int us_py_stop(void* data) {
  UsPyHooks* h = data;
  double now = us_seconds();
  if (h->stopped || now - h->asked < 0.05) return h->stopped;
  h->asked = now;
  h->stopped = h->ask(h->handle);
  return h->stopped;
}

// The first and the last call count always.
static void us_py_show(void* data, UsProgress* p) {
  UsPyHooks* h = data;
  double now = us_seconds();
  if (p->on && p->done > p->first && now - h->shown < 0.1) return;
  h->shown = now;
  h->progress(h->handle, p);
}

static void us_py_say(void* data, const char* line) {
  UsPyHooks* h = data;
  h->log(h->handle, line);
}

// Sets them in this thread and gives those before.
static UsHooks us_py_hooks_set(UsPyHooks* hooks) {
  return us_hooks_set((UsHooks){.progress = hooks->progress ? us_py_show : NULL,
                                .stop = us_py_stop,
                                .log = us_py_say,
                                .data = hooks});
}

// What a program starts anew for, a module does in place: OpenBLAS takes its oldest kernels on a
// processor that it does not know, and may choose once more, before it has computed anything, where
// it has these two functions of its own.
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern void gotoblas_dynamic_init(void) __attribute__((weak));

static void us_py_choose_kernels(void) {
  if (getenv("OPENBLAS_CORETYPE") || strcmp(openblas_get_corename(), "Prescott") != 0) return;
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
  if (!gotoblas_dynamic_quit || !gotoblas_dynamic_init) return;
  setenv("OPENBLAS_CORETYPE", __builtin_cpu_supports("avx512bw") ? "SkylakeX" : "Haswell", 1);
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
}

#endif  // UNDERSTUDY_PYTHON_BRIDGE_H_
