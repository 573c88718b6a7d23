// The program's hooks: a bar in a terminal, lines in a log, and Ctrl-C as a status.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scripts/cli/terminal.h"

static char text[4096];
static int kept, from;  // the true stderr; where what is written to it is read

// stderr becomes a terminal or a pipe, until `caught`.
static void catch_errors(int terminal) {
  int end[2];
  fflush(stderr);
  kept = dup(STDERR_FILENO);
  assert_int_equal(terminal ? openpty(&end[0], &end[1], NULL, NULL, NULL) : pipe(end), 0);
  from = end[0];
  dup2(end[1], STDERR_FILENO);
  close(end[1]);
}

static const char* caught(void) {
  fflush(stderr);
  dup2(kept, STDERR_FILENO);
  close(kept);
  // The kernel hands a terminal's bytes over in its own time; all came when the end is read.
  size_t length = 0;
  for (ssize_t n = 1; n > 0 && length<sizeof(text) - 1; length += n> 0 ? (size_t)n : 0)
    n = read(from, text + length, sizeof(text) - 1 - length);
  text[length] = 0;
  close(from);
  return text;
}

static int count(const char* all, char c) {
  int n = 0;
  for (; *all; all++) n += *all == c;
  return n;
}

// The bar stands before the first unit is done; that of a short loop is taken back.
static void a_terminal_shows_a_bar_at_once(void** state) {
  (void)state;
  catch_errors(1);
  UsProgress p = us_progress_start("work", "units", 4, 0);
  us_progress_show(&p, 4, "done");
  us_progress_end(&p);
  us_progress_end(&p);
  caught();
  assert_non_null(strstr(text, "work [........................] 0/4 units"));
  assert_non_null(strstr(text, "work [########################] 4/4 units"));
  assert_int_equal(count(text, '\n'), 0);
  assert_string_equal(text + strlen(text) - 4, "\r\033[K");
}

static void long_loops_keep_their_bar(void** state) {
  (void)state;
  catch_errors(1);
  UsProgress p = us_progress_start("work", "units", 4, 0);
  p.start -= 10;
  us_progress_end(&p);
  caught();
  assert_int_equal(count(text, '\n'), 1);
}

static void a_log_gets_a_line_a_minute(void** state) {
  (void)state;
  catch_errors(0);
  UsProgress p = us_progress_start("work", "units", 8, 2);
  for (int i = 2; i <= 8; i++) us_progress_show(&p, i, NULL);
  p.start -= 100;
  p.last -= 61;  // a minute later
  us_progress_show(&p, 5, "loss 1");
  us_progress_show(&p, 6, "loss 1");
  us_progress_end(&p);
  caught();
  assert_string_equal(text, "work: 5 of 8 units, 0.0/s, 1:40 left, loss 1\n");
}

static void interruption_is_a_status(void** state) {
  (void)state;
  UsProgress p = us_progress_start("work", "units", 8, 0);
  assert_int_equal(us_progress_step(&p, 1, "file.h5"), US_OK);
  assert_int_equal(us_interrupt_check("file.h5"), US_OK);
  us_hooks_set((UsHooks){0});
  raise(SIGINT);
  assert_int_equal(us_progress_step(&p, 1, "file.h5"), US_OK);  // who sets no hooks hears nothing
  us_terminal_install();
  assert_int_equal(us_progress_step(&p, 2, "file.h5"), US_INTERRUPTED);
  assert_string_equal(us_message(), "file.h5: stopped");
  assert_int_equal(p.on, 0);
  assert_int_equal(us_interrupt_check("file.h5"), US_INTERRUPTED);
}

int main(void) {
  us_terminal_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_terminal_shows_a_bar_at_once),
      cmocka_unit_test(long_loops_keep_their_bar),
      cmocka_unit_test(a_log_gets_a_line_a_minute),
      cmocka_unit_test(interruption_is_a_status),
  };
  return cmocka_run_group_tests_name("terminal", tests, NULL, NULL);
}
