// Wrong use of every command: one line on stderr that names the command, the right exit code, and
// nothing on stdout; help on stdout.

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "scripts/cli.h"
#include "tests/scripts/program.h"

static char folder[] = "/tmp/understudy-cli-XXXXXX";

static const char* const names[] = {
#define X(name, summary) #name,
    US_COMMANDS(X)
#undef X
};
enum { kNames = sizeof(names) / sizeof(names[0]) };

static void refused(const char* arguments, int code, const char* expected) {
  Run r = run_program(folder, arguments);
  if (r.code != code || lines_of(r.err) != 1 || !strstr(r.err, expected) || r.out[0]) {
    fail_msg("`understudy %s`: exit %d (expected %d), stderr \"%s\" (expected one line with \"%s\")",
             arguments, r.code, code, r.err, expected);
  }
}

static void test_help(void** state) {
  (void)state;
  Run r = run_program(folder, "--help");
  assert_int_equal(r.code, 0);
  for (int i = 0; i < kNames; i++) {
    assert_non_null(strstr(r.out, names[i]));
    char line[128];
    snprintf(line, sizeof(line), "%s --help", names[i]);
    Run help = run_program(folder, line);
    assert_int_equal(help.code, 0);
    assert_non_null(strstr(help.out, "Usage: understudy"));
    if (!strstr(help.out, "Example")) fail_msg("no example in the help of %s", names[i]);
  }
}

static void test_unknown_words(void** state) {
  (void)state;
  refused("collct", 2, "collct");
  for (int i = 0; i < kNames; i++) {
    char line[128];
    snprintf(line, sizeof(line), "%s --no-such-flag", names[i]);
    refused(line, 2, "--no-such-flag");
  }
}

static void test_wrong_values(void** state) {
  (void)state;
  refused("collect --task nowhere --episodes 1 --out /tmp/x.h5", 2, "nowhere");
  refused("collect --task pointmaze --episodes abc --out /tmp/x.h5", 2, "--episodes");
  refused("collect --task pointmaze --episodes -3 --out /tmp/x.h5", 2, "episodes");
  refused("collect --task pointmaze --episodes 1", 2, "--out");
  refused("collect --task pointmaze --episodes 1 --out /no/such/folder/x.h5", 1,
          "/no/such/folder/x.h5");
  refused("dataset info /no/such/file.h5", 1, "/no/such/file.h5");
  refused("dataset info /etc/passwd", 1, "/etc/passwd");
  refused("finetune --data /no/such/file.h5 --out /tmp/x", 1, "/no/such/file.h5");
  refused("finetune --data /etc/passwd --mode sideways --out /tmp/x", 2, "sideways");
  refused("eval --task pointmaze --model /no/such/model --data /no/such/file.h5 --json /tmp/x.json",
          1, "/no/such/");
  refused("report --json /no/such/eval.json --out /tmp/x", 1, "/no/such/eval.json");
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_help),
      cmocka_unit_test(test_unknown_words),
      cmocka_unit_test(test_wrong_values),
  };
  int failed = cmocka_run_group_tests_name("cli", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
