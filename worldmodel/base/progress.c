#define _GNU_SOURCE
#include "worldmodel/base/progress.h"

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

UsProgress us_progress_start(const char* label, const char* unit, double total, double done) {
  UsProgress p = {.label = label, .unit = unit, .total = total, .first = done, .on = 1};
  p.start = us_seconds();
  p.terminal = isatty(STDERR_FILENO);
  p.every = p.terminal ? 0.1 : 60;
  p.last = p.terminal ? 0 : p.start;
  us_progress_show(&p, done, NULL);
  return p;
}

static void draw(const UsProgress* p, double done, double rate, int left, const char* note) {
  double fraction = p->total > 0 ? fmin(done / p->total, 1) : 1;
  char bar[25];
  int full = (int)(fraction * 24);
  for (int i = 0; i < 24; i++) bar[i] = i < full ? '#' : '.';
  bar[24] = 0;
  fprintf(stderr, "\r\033[K%s [%s] %.0f/%.0f %s  %.1f/s  %d:%02d left  %s", p->label, bar, done,
          p->total, p->unit, rate, left / 60, left % 60, note);
}

void us_progress_show(UsProgress* p, double done, const char* note) {
  double now = us_seconds();
  int last = p->terminal && done >= p->total;
  if (!p->on || (now - p->last < p->every && !last)) return;
  p->last = now;
  double rate = (done - p->first) / (now - p->start + 1e-9);
  int left = rate > 0 ? (int)fmin((p->total - done) / rate, INT_MAX) : 0;
  if (!note) note = "";
  if (p->terminal) {
    draw(p, done, rate, left, note);
  } else {
    fprintf(stderr, "%s: %.0f of %.0f %s, %.1f/s, %d:%02d left%s%s\n", p->label, done, p->total,
            p->unit, rate, left / 60, left % 60, note[0] ? ", " : "", note);
  }
  fflush(stderr);
}

void us_progress_end(UsProgress* p) {
  if (p->on && p->terminal) fputs(us_seconds() - p->start < 0.5 ? "\r\033[K" : "\n", stderr);
  p->on = 0;
}

UsStatus us_progress_step(UsProgress* p, double done, const char* what) {
  us_progress_show(p, done, NULL);
  if (!us_interrupted()) return US_OK;
  us_progress_end(p);
  return us_interrupt_check(what);
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
  if (interrupted) {
    signal(number, SIG_DFL);
    raise(number);
  }
  interrupted = 1;
}

void us_interrupt_install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  signal(SIGXFSZ, SIG_IGN);
}

int us_interrupted(void) {
  return interrupted != 0;
}

UsStatus us_interrupt_check(const char* what) {
  return us_interrupted() ? us_fail(US_INTERRUPTED, "%s: stopped", what) : US_OK;
}
