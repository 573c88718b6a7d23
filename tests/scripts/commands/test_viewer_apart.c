// The viewer is a program of its own: it alone needs the libraries of windows and films, and where
// it is not installed `understudy view` says so in a line.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/scripts/program.h"

static char folder[] = "/tmp/understudy-apart-XXXXXX";

// 1 if a program, found beside US_PROGRAM, is linked with a library whose name has this part.
static int needs(const char* suffix, const char* library) {
  char line[1024];
  snprintf(line, sizeof(line), "ldd '%s%s' | grep -q '%s'", US_PROGRAM, suffix, library);
  return system(line) == 0;
}

static void test_libraries(void** state) {
  static const char* const of_viewer[] = {"libglfw", "libavcodec", "libavformat", "libavfilter"};
  assert_true(needs("", "libunderstudy") && needs("", "libmujoco"));
  for (int i = 0; i < 4; i++) {
    assert_false(needs("", of_viewer[i]));
    assert_true(needs("-view", of_viewer[i]));
  }
  assert_true(needs("-film", "libavcodec") && !needs("-film", "libunderstudy"));
}

static void test_viewer_is_missing(void** state) {
  char line[1024];
  snprintf(line, sizeof(line),
           "cp '%s' %s/understudy && %s/understudy view --task wall 2>%s/stderr", US_PROGRAM,
           folder, folder, folder);
  Run r = {.code = WEXITSTATUS(system(line))};
  snprintf(line, sizeof(line), "%s/stderr", folder);
  read_into(line, r.err, sizeof(r.err));
  if (r.code != 1 || lines_of(r.err) != 1 || !strstr(r.err, "/understudy-view: No such file")) {
    fail_msg("exit %d: %s", r.code, r.err);
  }
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_libraries),
                                     cmocka_unit_test(test_viewer_is_missing)};
  int failed = cmocka_run_group_tests_name("viewer apart", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
