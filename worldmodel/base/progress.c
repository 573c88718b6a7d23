#define _GNU_SOURCE
#include "worldmodel/base/progress.h"

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
  UsProgress p = {.label = label, .unit = unit, .total = total, .first = done};
  p.start = us_seconds();
  p.on = isatty(STDERR_FILENO);
  return p;
}

void us_progress_show(UsProgress* p, double done, const char* note) {
  double now = us_seconds();
  if (!p->on || (now - p->last < 0.1 && done < p->total)) return;
  p->last = now;
  double fraction = p->total > 0 ? done / p->total : 1;
  if (fraction > 1) fraction = 1;
  double rate = (done - p->first) / (now - p->start + 1e-9);
  double left = rate > 0 ? (p->total - done) / rate : 0;
  char bar[25];
  int full = (int)(fraction * 24);
  for (int i = 0; i < 24; i++) bar[i] = i < full ? '#' : '.';
  bar[24] = 0;
  fprintf(stderr, "\r\033[K%s [%s] %.0f/%.0f %s  %.1f/s  %d:%02d left  %s", p->label, bar, done,
          p->total, p->unit, rate, (int)(left / 60), (int)left % 60, note ? note : "");
  fflush(stderr);
}

void us_progress_end(UsProgress* p) {
  if (p->on) fputc('\n', stderr);
  p->on = 0;
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
