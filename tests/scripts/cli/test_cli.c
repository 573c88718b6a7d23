// Wrong use of every command: one line on stderr that names the command, the right exit code, and
// nothing on stdout; help on stdout.

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <unistd.h>

#include "scripts/cli/cli.h"
#include "scripts/commands/commands.h"
#include "tests/scripts/program.h"

static char folder[] = "/tmp/understudy-cli-XXXXXX";

static const char* const names[] = {
#define X(name, summary) #name,
    US_COMMANDS(X)
#undef X
};
enum { kNames = sizeof(names) / sizeof(names[0]) };

static Run refused(const char* arguments, int code, const char* expected) {
  Run r = run_program(folder, arguments);
  if (r.code != code || lines_of(r.err) != 1 || !strstr(r.err, expected) || r.out[0]) {
    fail_msg(
        "`understudy %s`: exit %d (expected %d), stderr \"%s\" (expected one line with \"%s\")",
        arguments, r.code, code, r.err, expected);
  }
  return r;
}

// The help of a command, each with an example.
static Run help_of(const char* command) {
  char line[128];
  snprintf(line, sizeof(line), "help %s", command);
  Run help = run_program(folder, line);
  assert_int_equal(help.code, 0);
  return help;
}

static void test_help(void** state) {
  (void)state;
  Run r = run_program(folder, "--help");
  assert_int_equal(r.code, 0);
  for (int i = 0; i < kNames; i++) {
    assert_non_null(strstr(r.out, names[i]));
    char line[128];
    snprintf(line, sizeof(line), "%s --help", names[i]);
    Run asked = run_program(folder, line), help = help_of(names[i]);
    assert_int_equal(asked.code, 0);
    assert_string_equal(asked.out, help.out);
    snprintf(line, sizeof(line), "Usage: understudy %s ", names[i]);
    assert_true(strncmp(help.out, line, strlen(line)) == 0);
    snprintf(line, sizeof(line), "\n  understudy %s ", names[i]);
    if (!strstr(help.out, line)) fail_msg("no example in the help of %s", names[i]);
  }
  Run plain = run_program(folder, "help");
  assert_string_equal(plain.out, r.out);
  Run train = help_of("encoder train");
  assert_non_null(strstr(train.out, "Usage: understudy encoder train "));
  // What tasks have in place of the defaults, told where there is something.
  Run eval = help_of("eval"), finetune = help_of("finetune"), pretrain = help_of("pretrain");
  assert_non_null(strstr(eval.out,
                         "\n  pusht: --samples 128 --iterations 6 --warm-iterations 4 "
                         "--elites 10 --deadline --oracle-pairs 32\n"));
  assert_non_null(strstr(finetune.out, "\n  pusht: --steps 40000 --whiten 0.5\n"));
  assert_null(strstr(finetune.out, "reacher:"));
  assert_null(strstr(pretrain.out, "tasks have their own"));
  refused("help collct", 2, "collct");
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
  refused("collect --task nowhere --episodes 1 --out x.h5", 2, "nowhere");
  refused("collect --task pointmaze --episodes abc --out x.h5", 2, "--episodes");
  refused("collect --task pointmaze --episodes -3 --out x.h5", 2, "episodes");
  refused("collect --task pointmaze --episodes 1", 2, "--out");
  refused("collect --task pointmaze --episodes 1 --out /dev/null/x.h5", 1, "/dev/null");
  refused("dataset info /no/such/file.h5", 1, "/no/such/file.h5");
  refused("dataset info /etc/passwd", 1, "/etc/passwd");
  refused("finetune --data /no/such/file.h5 --out x", 1, "/no/such/file.h5");
  refused("finetune --data /etc/passwd --mode sideways --out x", 2, "sideways");
  refused("eval --task pointmaze --model /no/such/model --data /no/such/file.h5 --json x.json", 1,
          "/no/such/");
  refused("eval --task wall --data x.h5 --json y.json --replan 99", 2, "--replan");
  refused("report --json /no/such/eval.json --out x", 1, "/no/such/eval.json");
}

// Every option that takes a value, of every command, refuses an empty one by name.
static void test_empty_values(void** state) {
  (void)state;
  static const char* const more[] = {"encoder train", "encoder probe"};
  int count = 0;
  for (int i = 0; i < kNames + 2; i++) {
    const char* command = i < kNames ? names[i] : more[i - kNames];
    if (!strcmp(command, "encoder")) continue;
    Run help = help_of(command);
    for (const char* at = help.out; (at = strstr(at, "\n      --")); at++) {
      char option[64], line[256], expected[128];
      if (sscanf(at, " --%60[a-z-]=", option) != 1 || at[9 + strlen(option)] != '=') continue;
      snprintf(line, sizeof(line), "%s --%s ''", command, option);
      snprintf(expected, sizeof(expected), "--%s: expected ", option);
      if (strcmp(option, "plugin") != 0) refused(line, 2, expected);
      count++;
    }
  }
  assert_true(count > 80);
}

static void test_numbers(void** state) {
  (void)state;
  static const char* const wholes[] = {
      "collect --episodes", "collect --steps",  "collect --seed",        "collect --size",
      "collect --threads",  "eval --seed",      "eval --samples",        "eval --batch",
      "finetune --block",   "finetune --batch", "finetune --frames",     "finetune --rollout",
      "pretrain --gap",     "bench --dim",      "encoder train --steps", "encoder probe --frames",
      "dataset --steps"};
  static const char* const reals[] = {
      "finetune --rate", "finetune --clip", "finetune --minutes",    "eval --deviation",
      "eval --momentum", "bench --seconds", "encoder train --noise", "pretrain --decay"};
  static const char* const neither[] = {"abc", "-3", "nan", "inf", "-inf", "1e999", "3x", "--out"};
  static const char* const no_whole[] = {"1.5", "1e3", "0x10", "99999999999999999999"};
  char line[256], expected[128];
  for (size_t k = 0; k < sizeof(wholes) / sizeof(wholes[0]) + sizeof(reals) / sizeof(reals[0]);
       k++) {
    int whole = k < sizeof(wholes) / sizeof(wholes[0]);
    const char* option = whole ? wholes[k] : reals[k - sizeof(wholes) / sizeof(wholes[0])];
    for (size_t v = 0; v < (whole ? 12 : 8); v++) {
      const char* value = v < 8 ? neither[v] : no_whole[v - 8];
      snprintf(line, sizeof(line), "%s %s", option, value);
      snprintf(expected, sizeof(expected), "%s: expected a %s number", strstr(option, "--"),
               whole ? "whole" : "finite");
      Run r = refused(line, 2, expected);
      snprintf(expected, sizeof(expected), "found \"%s\"", value);
      if (!strstr(r.err, expected)) fail_msg("`%s`: no %s in \"%s\"", line, expected, r.err);
    }
  }
  refused("collect --threads 100000", 2, "from 0 to 4096, found \"100000\"");
  refused("collect --episodes 0", 2, "from 1 to ");
  refused("finetune --width 1000000", 2, "--width: expected");
}

// Threads beyond four a processor are not started, and the program says so.
static void test_many_threads(void** state) {
  (void)state;
  Run r = run_program(folder, "collect --task nowhere --episodes 1 --out x.h5 --threads 4096");
  assert_int_equal(r.code, 2);
  assert_int_equal(lines_of(r.err), 2);
  assert_non_null(strstr(r.err, "understudy collect: --threads 4096: "));
  assert_non_null(strstr(r.err, "are used, 4 a processor\n"));
}

static void test_plugin_option(void** state) {
  (void)state;
  for (int i = 0; i < kNames; i++) {
    char line[128];
    if (!strcmp(names[i], "encoder")) continue;
    snprintf(line, sizeof(line), "%s --plugin /no/such.so", names[i]);
    refused(line, 1, "/no/such.so: expected a shared library");
  }
}

// Runs the completion on the words of a line, the last of them unfinished.
static Run complete(const char* words, int count) {
  Run r = {.code = 0};
  char line[4096], out[512];
  snprintf(out, sizeof(out), "%s/completion", folder);
  snprintf(
      line, sizeof(line),
      "bash -c '. \"%s/scripts/package/completion.bash\"; COMP_WORDS=(\"%s\" %s); COMP_CWORD=%d; "
      "_understudy; printf \"%%s\\n\" \"${COMPREPLY[@]}\"' >'%s'",
      US_SOURCE_DIR, US_PROGRAM, words, count, out);
  r.code = system(line);
  read_into(out, r.out, sizeof(r.out));
  return r;
}

static void expect_lines(Run r, const char* const* expected, int count) {
  assert_int_equal(r.code, 0);
  for (int i = 0; i < count; i++) {
    char line[128], text[sizeof(r.out) + 2];
    snprintf(line, sizeof(line), "\n%s\n", expected[i]);
    snprintf(text, sizeof(text), "\n%s", r.out);
    if (!strstr(text, line)) fail_msg("expected %s in the completion \"%s\"", expected[i], r.out);
  }
}

static void test_completion(void** state) {
  (void)state;
  Run all = complete("\"\"", 1);
  expect_lines(all, names, kNames);
  assert_int_equal(lines_of(all.out),
                   kNames + 2 + 2);  // --help and --version, and the package's two
  expect_lines(complete("help \"\"", 2), names, kNames);
  expect_lines(complete("eval --task \"\"", 3), (const char*[]){"pointmaze", "wall"}, 2);
  expect_lines(complete("collect --", 2), (const char*[]){"--task", "--plugin", "--help"}, 3);
  expect_lines(complete("encoder train --", 3), (const char*[]){"--anchor", "--resume"}, 2);
  expect_lines(complete("encoder \"\"", 2), (const char*[]){"train", "probe"}, 2);
  expect_lines(complete("dataset \"\"", 2), (const char*[]){"info", "preview", "verify"}, 3);
  Run one = complete("eval --warm-i", 2);
  assert_string_equal(one.out, "--warm-iterations\n");
}

int main(void) {
  if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_help),          cmocka_unit_test(test_unknown_words),
      cmocka_unit_test(test_wrong_values),  cmocka_unit_test(test_empty_values),
      cmocka_unit_test(test_numbers),       cmocka_unit_test(test_many_threads),
      cmocka_unit_test(test_plugin_option), cmocka_unit_test(test_completion),
  };
  int failed = cmocka_run_group_tests_name("cli", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
