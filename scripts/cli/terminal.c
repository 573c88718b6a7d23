#include "scripts/cli/terminal.h"

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int open_line;  // 1: the cursor stands behind a bar

void us_terminal_break(void) {
  if (open_line) fputc('\n', stderr);
  open_line = 0;
}

void us_terminal_progress(void* data, UsProgress* p) {
  const int terminal = isatty(STDERR_FILENO);
  const double now = us_seconds();
  if (!p->on) {
    if (terminal) fputs(now - p->start < 0.5 ? "\r\033[K" : "\n", stderr);
    open_line = 0;
    return;
  }
  // The first call of a log waits its minute too; a bar shows its end whatever the time.
  if (p->last == 0 && !terminal) p->last = p->start;
  // At most ten pictures a second in a terminal, a line a minute in a log.
  int due = now - p->last >= (terminal ? 0.1 : 60) || (terminal && p->done >= p->total);
  if (!due) return;
  p->last = now;
  double rate = (p->done - p->first) / (now - p->start + 1e-9);
  int left = rate > 0 ? (int)fmin((p->total - p->done) / rate, INT_MAX) : 0;
  if (terminal) {
    // A bar of 24 characters, then numbers.
    int full = (int)(24 * (p->total > 0 ? fmin(p->done / p->total, 1) : 1));
    char bar[25] = "........................";
    for (int i = 0; i < full; i++) bar[i] = '#';
    fprintf(stderr, "\r\033[K%s [%s] %.0f/%.0f %s  %.1f/s  %d:%02d left  %s", p->label, bar,
            p->done, p->total, p->unit, rate, left / 60, left % 60, p->note);
    open_line = 1;
  } else {
    fprintf(stderr, "%s: %.0f of %.0f %s, %.1f/s, %d:%02d left%s%s\n", p->label, p->done, p->total,
            p->unit, rate, left / 60, left % 60, p->note[0] ? ", " : "", p->note);
  }
  fflush(stderr);
}

static void print_line(void* data, const char* line) {
  us_terminal_break();
  fprintf(stderr, "%s\n", line);
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
  // The second signal is meant: it ends the program as if nobody had asked.
  if (interrupted) {
    signal(number, SIG_DFL);
    raise(number);
  }
  interrupted = 1;
}

static int is_interrupted(void* data) {
  return interrupted != 0;
}

void us_terminal_install(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  signal(SIGXFSZ, SIG_IGN);
  us_hooks_set((UsHooks){us_terminal_progress, is_interrupted, print_line, NULL});
}
