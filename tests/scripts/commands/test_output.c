// What a program prints has to arrive: on a full disk and with a closed standard output every
// command that prints ends with one line and exit code 1, and what it writes elsewhere is whole.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "scripts/commands/commands.h"
#include "tests/datasets/toy_dataset.h"
#include "tests/scripts/program.h"

static const char* const names[] = {
#define X(name, summary) #name,
    US_COMMANDS(X)
#undef X
};
enum { kNames = sizeof(names) / sizeof(*names) };

// As run_program, with standard output elsewhere.
static Run run_into(const char* words, const char* where) {
  Run r = {.code = -1};
  char line[2048];
  snprintf(line, sizeof(line), "'%s' %s </dev/null %s 2>%s", US_PROGRAM, words, where,
           toy_path("stderr"));
  int status = system(line);
  if (WIFEXITED(status)) r.code = WEXITSTATUS(status);
  read_into(toy_path("stderr"), r.err, sizeof(r.err));
  return r;
}

static void fails(const char* words, const char* where, const char* why) {
  Run r = run_into(words, where);
  if (r.code != 1 || lines_of(r.err) != 1 || !strstr(r.err, why)) {
    fail_msg("%s %s: exit %d: %s", words, where, r.code, r.err);
  }
}

static void never_arrives(const char* words) {
  fails(words, ">/dev/full", "understudy: standard output: cannot be written: No space left");
  fails(words, ">&-", "understudy: standard output: cannot be written: Bad file descriptor");
}

static void test_every_command(void** state) {
  char words[600];
  never_arrives("--version");
  never_arrives("help");
  for (int i = 0; i < kNames; i++) {
    snprintf(words, sizeof(words), "%s --help", names[i]);
    never_arrives(words);
  }
  never_arrives("help encoder train");
  never_arrives("help encoder probe");
  never_arrives("collect --task wall --vary help");
  snprintf(words, sizeof(words), "dataset info %s", toy_path("toy.h5"));
  never_arrives(words);
  snprintf(words, sizeof(words), "dataset verify %s", toy_path("toy.h5"));
  never_arrives(words);
  snprintf(words, sizeof(words), "inspect %s", toy_path("robot.xml"));
  never_arrives(words);
}

// Output larger than a buffer fails before the end.
static void test_early(void** state) {
  char words[600];
  snprintf(words, sizeof(words), "dataset convert %s --overwrite --out %s", toy_path("toy.h5"),
           toy_path("out.h5"));
  fails(words, ">/dev/full", "No space left");
  fails(words, ">&-", "Bad file descriptor");
  Run r = run_into(words, ">/dev/null");
  assert_int_equal(r.code, 0);
}

// What is written with a closed standard output is what is written else.
static void test_files_stay_whole(void** state) {
  char words[600], hash[2][US_HASH_CHARS];
  static const char* const where[] = {">/dev/null", ">&-", ">&- 2>&- <&-"};
  for (int i = 0; i < 3; i++) {
    snprintf(words, sizeof(words), "dataset convert %s --overwrite --out %s", toy_path("toy.h5"),
             toy_path("out.h5"));
    char line[2048];
    snprintf(line, sizeof(line), "'%s' %s %s", US_PROGRAM, words, where[i]);
    assert_int_equal(WEXITSTATUS(system(line)), i > 0);
    assert_int_equal(us_hash_file(toy_path("out.h5"), hash[i > 0]), US_OK);
    if (i > 0) assert_string_equal(hash[0], hash[1]);
  }
}

// A command that fails says why it failed, and no more.
static void test_one_line(void** state) {
  fails("dataset info /no/such/file.h5", ">/dev/full", "/no/such/file.h5");
  fails("dataset info /no/such/file.h5", ">&-", "/no/such/file.h5");
}

// Whether the text fits a buffer or not, without a reader the program ends without a word, whether
// SIGPIPE ends it or is ignored.
static void test_no_reader(void** state) {
  for (int k = 0; k < 4; k++) {
    int ignored = k % 2;
    int ends[2], how = 0;
    char text[256];
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    pid_t child = fork();
    if (child == 0) {
      signal(SIGPIPE, ignored ? SIG_IGN : SIG_DFL);
      dup2(ends[1], STDOUT_FILENO);
      if (!freopen(toy_path("stderr"), "w", stderr)) _exit(99);
      execl(US_PROGRAM, "understudy", "help", k < 2 ? NULL : "eval", (char*)NULL);
      _exit(99);
    }
    close(ends[1]);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(ignored ? WIFEXITED(how) && WEXITSTATUS(how) == 1
                        : WIFSIGNALED(how) && WTERMSIG(how) == SIGPIPE);
    read_into(toy_path("stderr"), text, sizeof(text));
    assert_string_equal(text, "");
  }
}

static int make_inputs(void** state) {
  static const char robot[] =
      "<mujoco><worldbody><body><joint name='j' type='hinge' range='-1 1' limited='true'/>"
      "<geom size='.1'/></body></worldbody><actuator><motor joint='j'/></actuator></mujoco>";
  toy_write(toy_path("toy.h5"), 2, 2, 0);
  return us_file_write(toy_path("robot.xml"), robot, sizeof(robot) - 1) != US_OK;
}

static int remove_inputs(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_command), cmocka_unit_test(test_early),
      cmocka_unit_test(test_files_stay_whole), cmocka_unit_test(test_one_line),
      cmocka_unit_test(test_no_reader)};
  return cmocka_run_group_tests(tests, make_inputs, remove_inputs);
}
