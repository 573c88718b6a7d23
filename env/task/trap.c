// MuJoCo's handler of errors, and code that survives one.

#include "env/trap.h"

#include <ctype.h>
#include <pthread.h>
#include <setjmp.h>
#include <string.h>

#include <mujoco/mujoco.h>

#include "worldmodel/base/progress.h"

typedef struct Trap {
  jmp_buf back;
  char* message;  // (size)
  int size;
  struct Trap* outer;
} Trap;

static _Thread_local Trap* trap;

void us_trap_line(char* out, int size, const char* text) {
  int n = 0;
  for (const char* c = text; *c && n < size - 1; c++) {
    int blank = isspace((unsigned char)*c) != 0;
    if (blank && (n == 0 || out[n - 1] == ' ')) continue;
    out[n++] = blank ? ' ' : *c;
  }
  while (n > 0 && out[n - 1] == ' ') n--;
  out[n] = 0;
}

// MuJoCo calls it in the thread that failed. In a trap it does not come back; outside MuJoCo ends
// the process when it does.
static void handler(const mjLogMessage* m) {
  if (m->level != mjLOG_ERROR) return;
  if (trap) {
    us_trap_line(trap->message, trap->size, m->subject);
    longjmp(trap->back, 1);
  }
  us_log("MuJoCo: %s", m->subject);
}

// Once in a process.
static void install(void) {
  mju_setLogHandler(handler);
}

void us_trap_install(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
}

int us_trap_run(void (*f)(void* arg), void* arg, char* message, int size) {
  // Traps can be nested: the innermost catches.
  Trap t = {.message = message, .size = size, .outer = trap};
  trap = &t;
  if (setjmp(t.back) != 0) {
    trap = t.outer;
    return 1;
  }
  f(arg);
  trap = t.outer;
  return 0;
}
