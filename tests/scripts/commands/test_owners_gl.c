// An output has one owner: every command that writes is told who writes already and touches
// nothing; runs that start together leave one file; what is being written can be read, and what a
// kill left is nobody's.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/datasets/toy_dataset.h"
#include "tests/scripts/program.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"

#define SIZES "--width 16 --depth 1 --heads 2 --batch 4 --rollout 1 --threads 1 "
#define TINY "collect --task wall --size 16 --threads 1 "

static char base[] = "/tmp/understudy-owners-XXXXXX";

static void shell(const char* format, ...) {
  char line[4096];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  if (system(line) != 0) fail_msg("`%s` failed", line);
}

static const char* in(const char* name) {
  static char path[8][300];
  static int next;
  next = (next + 1) % 8;
  return us_path_join(path[next], sizeof(path[next]), base, name);
}

static Run run(const char* format, ...) {
  char words[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof(words), format, args);
  va_end(args);
  return run_program(base, words);
}

static void succeeds(Run r) {
  if (r.code != 0) fail_msg("exit %d: %s", r.code, r.err);
}

// One line that says `part`.
static void refused(Run r, const char* part) {
  if (r.code != 1 || lines_of(r.err) != 1 || !strstr(r.err, part)) {
    fail_msg("exit %d: \"%s\" does not say \"%s\"", r.code, r.err, part);
  }
}

static int make_inputs(void** state) {
  succeeds(run(TINY "--episodes 4 --steps 30 --seed 1 --out %s", in("in/a.h5")));
  succeeds(run(TINY "--episodes 8 --steps 30 --seed 2 --out %s", in("in/held.h5")));
  succeeds(run("finetune --data %s --mode scratch --encoder pca --steps 2 " SIZES "--out %s",
               in("in/a.h5"), in("in/model")));
  succeeds(run("eval --model %s --data %s --rows random --episodes 2 --films 0 --json %s",
               in("in/model"), in("in/held.h5"), in("in/e.json")));
  return 0;
}

// ---- every command ----

// What is asked while somebody writes `out`. In words, %1$s is the folder of the inputs.
typedef struct Command {
  const char *words, *out;
} Command;

static const Command commands[] = {
    {TINY "--episodes 1 --steps 2 --out %1$s/new.h5", "new.h5"},
    {TINY "--episodes 1 --steps 2 --out %1$s/a.h5", "a.h5"},
    {TINY "--episodes 1 --steps 2 --out %1$s/a.h5 --overwrite", "a.h5"},
    {TINY "--episodes 8 --steps 30 --seed 1 --out %1$s/a.h5 --resume", "a.h5"},
    {"dataset import %1$s/held.h5 --task wall --out %1$s/a.h5 --overwrite", "a.h5"},
    {"dataset convert %1$s/held.h5 --out %1$s/a.h5 --overwrite", "a.h5"},
    {"dataset preview %1$s/held.h5 --out %1$s/p.png", "p.png"},
    {"finetune --data %1$s/a.h5 --steps 2 --out %1$s/m " SIZES, "m"},
    {"finetune --data %1$s/a.h5 --steps 2 --overwrite --out %1$s/model/ " SIZES, "model"},
    {"pretrain --data %1$s/a.h5 --steps 2 --out %1$s/m " SIZES, "m"},
    {"encoder train --data %1$s/a.h5 --steps 2 --out %1$s/m", "m"},
    {"eval --model %1$s/model --data %1$s/held.h5 --rows random --json %1$s/e.json", "e.json"},
    {"report --json %1$s/e.json --out %1$s/report", "report"},
    {"bench --json %1$s/b.json", "b.json"},
    {"view --task wall --steps 2 --record %1$s/f.png", "f.png"},
};

static void test_every_command(void** state) {
  for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
    UsLock* l;
    char words[1024], part[400];
    struct stat before, after;
    snprintf(words, sizeof(words), commands[i].words, in("in"));
    snprintf(part, sizeof(part), "/in/%s", commands[i].out);
    const char* out = in(part + 1);
    int n = snprintf(part, sizeof(part), "%s", out);
    snprintf(part + n, sizeof(part) - (size_t)n, "%s: being written by pid %d on ",
             strstr(words, "model/") ? "/" : "", (int)getpid());
    assert_int_equal(us_lock_take(out, &l), US_OK);
    shell("find %s | sort | xargs md5sum >%s 2>&1 || true", in("in"), in("before"));
    assert_int_equal(stat(in("in"), &before), 0);
    refused(run("%s", words), part);
    assert_int_equal(stat(in("in"), &after), 0);
    shell("find %s | sort | xargs md5sum >%s 2>&1 || true", in("in"), in("after"));
    shell("cmp %s %s", in("before"), in("after"));
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
    us_lock_release(l);
  }
}

// ---- two at once ----

static pid_t start(const char* format, ...) {
  char words[2048], line[4096];
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof(words), format, args);
  va_end(args);
  snprintf(line, sizeof(line), "exec '%s' %s >/dev/null 2>%s </dev/null", US_PROGRAM, words,
           in("err"));
  unlink(in("err"));  // of the one before
  pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", line, (char*)NULL);
    _exit(99);
  }
  return child;
}

static int code_of(pid_t child) {
  int how = 0;
  assert_int_equal(waitpid(child, &how, 0), child);
  return WIFEXITED(how) ? WEXITSTATUS(how) : -1;
}

static uint64_t seed_of(const char* path) {
  UsDataset* d;
  if (us_dataset_open(path, &d) != US_OK) fail_msg("%s", us_message());
  assert_int_equal(us_dataset_info(d)->episodes, 12);
  uint64_t seed = us_dataset_info(d)->seed;
  us_dataset_close(d);
  return seed;
}

// Of two that start together one writes the file, the other is told so; by its pid, unless it has
// just made its lock.
static void test_two_collects(void** state) {
  UsRng rng = us_rng(1, US_RNG_TEST, 0, 0, 0);
  const char* words = TINY "--episodes 12 --steps 40 --seed %d --out %s";
  int told = 0;
  for (int i = 0; i < 20; i++) {
    shell("rm -rf %s && mkdir %s", in("two"), in("two"));
    pid_t child = start(words, 1, in("two/r.h5"));
    usleep((useconds_t)us_rng_range(&rng, 0, 250000));
    Run second = run(words, 2, in("two/r.h5"));
    int first = code_of(child), writing = strstr(second.err, "being written by ") != NULL;
    if (first == 0) {
      refused(second, writing ? "/two/r.h5: being written by " : "/two/r.h5: the file exists");
    } else {
      succeeds(second);
    }
    told += writing;
    assert_int_equal(first == 0, second.code != 0);
    assert_int_equal(seed_of(in("two/r.h5")), first == 0 ? 1 : 2);
    shell("test \"$(ls %s)\" = r.h5", in("two"));
  }
  assert_true(told > 0);
}

// Waits for what another process does, longer than any machine should need.
#define WAIT_UNTIL(condition)                                                                  \
  do {                                                                                         \
    for (double end_ = us_seconds() + 120; !(condition) && us_seconds() < end_;) usleep(1000); \
    assert_true(condition);                                                                    \
  } while (0)

#define FINETUNE "finetune --data %s --mode scratch --encoder state --steps 400 --out %s " SIZES
enum { kCaches = 4 };

// Takes the locks of the features of a.h5, which are gone then: a run that needs them stands still
// with the lock of its output, however fast it would be done, until they are let go.
static int hold_features(UsLock* locks[kCaches]) {
  char name[300];
  int n = 0;
  succeeds(run(FINETUNE, in("in/a.h5"), in("first")));
  shell("rm -r %s; ls %s/a.features-* >%s; rm %s/a.features-*", in("first"), in("in"), in("names"),
        in("in"));
  FILE* names = fopen(in("names"), "r");
  assert_non_null(names);
  while (n < kCaches && fscanf(names, "%299s", name) == 1) {
    assert_int_equal(us_lock_take(name, &locks[n++]), US_OK);
  }
  fclose(names);
  assert_true(n > 0);
  return n;
}

static void let_go(UsLock* locks[kCaches], int n) {
  while (n > 0) us_lock_release(locks[--n]);
}

// The second is refused, the first ends well; what the second would have needed of the features'
// cache is shared.
static void test_two_finetunes(void** state) {
  UsLock* locks[kCaches];
  int n = hold_features(locks);
  pid_t child = start(FINETUNE, in("in/a.h5"), in("both"));
  WAIT_UNTIL(us_lock_holder(in("both"), NULL));
  refused(run(FINETUNE, in("in/a.h5"), in("both")), "/both: being written by pid ");
  let_go(locks, n);
  pid_t other = start(FINETUNE, in("in/a.h5"), in("beside"));
  assert_int_equal(code_of(child), 0);
  assert_int_equal(code_of(other), 0);
  shell("cmp %s %s", in("both/predictor.safetensors"), in("beside/predictor.safetensors"));
  assert_int_equal(us_file_exists(in("both.lock")), 0);
  shell("test -z \"$(find %s -name '*.lock')\"", base);
}

// 1 once the run that was started last says that it waits.
static int waits(void) {
  char text[1024];
  read_into(in("err"), text, sizeof(text));
  return strstr(text, "; waiting for it") != NULL;
}

// A cache that is being computed is waited for, and Ctrl-C ends the wait.
static void test_waiting(void** state) {
  UsLock* locks[kCaches];
  int n = hold_features(locks);
  pid_t child = start(FINETUNE, in("in/a.h5"), in("wait"));
  WAIT_UNTIL(waits());
  kill(child, SIGINT);
  assert_int_equal(code_of(child), 130);
  child = start(FINETUNE, in("in/a.h5"), in("wait"));
  WAIT_UNTIL(waits());
  usleep(200000);
  assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
  let_go(locks, n);
  assert_int_equal(code_of(child), 0);
}

// ---- what is said of a file that is being written ----

static void append(UsDatasetWriter* w, int64_t e) {
  assert_int_equal(toy_append(w, e, TOY_ROWS), US_OK);
}

static void test_running(void** state) {
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  char part[256];
  const char* path = in("toy.h5");
  assert_int_equal(us_dataset_create(path, &info, 3, TOY_ROWS, 0, &w), US_OK);
  snprintf(part, sizeof(part), "toy.h5: being written by pid %d on ", (int)getpid());
  refused(run("dataset info %s", path), part);
  refused(run("dataset verify %s", path), "; no episode is finished yet");
  for (int64_t e = 0; e < 2; e++) {
    append(w, e);
    Run r = run("dataset info %s", path);
    succeeds(r);
    snprintf(part, sizeof(part), "no: being written by pid %d on ", (int)getpid());
    assert_non_null(strstr(r.out, part));
    snprintf(part, sizeof(part), ", %d of 3 episodes\n", (int)e + 1);
    assert_non_null(strstr(r.out, part));
    r = run("dataset verify %s", path);
    succeeds(r);
    snprintf(part, sizeof(part), "good: %d episodes, %d rows", (int)e + 1, ((int)e + 1) * TOY_ROWS);
    assert_non_null(strstr(r.out, part));
  }
  assert_int_equal(us_dataset_finish(w), US_OK);
  Run r = run("dataset info %s", path);
  assert_non_null(strstr(r.out, "finished     yes\n"));
}

static void test_killed(void** state) {
  const char* path = in("killed.h5");
  char lock[320];
  snprintf(lock, sizeof(lock), "%s.lock", path);
  pid_t child = start(TINY "--episodes 2000 --steps 60 --seed 1 --out %s", path);
  WAIT_UNTIL(us_file_exists(path));
  kill(child, SIGKILL);
  assert_int_equal(code_of(child), -1);
  assert_int_equal(us_file_exists(lock), 1);
  Run r = run("dataset info %s", path);
  succeeds(r);
  assert_non_null(strstr(r.out, "no: its writer was killed after "));
  assert_non_null(strstr(r.out, " of 2000 episodes; collect --resume goes on\n"));
  succeeds(run(TINY "--episodes 4 --steps 2 --out %s --overwrite", path));
  assert_int_equal(us_file_exists(lock), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_command), cmocka_unit_test(test_two_collects),
      cmocka_unit_test(test_two_finetunes), cmocka_unit_test(test_waiting),
      cmocka_unit_test(test_running),       cmocka_unit_test(test_killed),
  };
  if (!mkdtemp(base)) return 1;
  int failed = cmocka_run_group_tests_name("owners", tests, make_inputs, NULL);
  char line[300];
  snprintf(line, sizeof(line), "rm -rf %s", base);
  return system(line) != 0 || failed;
}
