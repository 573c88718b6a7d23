// Every command that runs for long is killed at random moments, by SIGKILL, SIGINT and SIGTERM in
// turn, and goes on with --resume until it is done: its files are those of an uninterrupted run,
// bit for bit but for times. Then the same with a disk that is full and with folders that cannot be
// written: one line, nothing lost, and --resume ends in the same files.
//
// US_KILLS is how many kills each command gets at least; 9 without it, three of each signal.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/datasets/toy_dataset.h"
#include "tests/scripts/same_files.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"

static char base[] = "/tmp/understudy-killed-XXXXXX";
static int kills = 9;

#define SIZES \
  "--width 32 --depth 1 --heads 2 --batch 8 --rollout 1 --threads 1 --checkpoint-seconds 0.02 "

// What is killed. In words, %1$s is the folder to work in and %2$s the folder of the inputs.
typedef struct Command {
  const char *name, *words, *files[6];  // files: patterns of the results
} Command;

static const Command commands[] = {
    {"collect",
     "collect --task wall --episodes 96 --steps 12 --size 32 --seed 3 --threads 1 --out %1$s/c.h5",
     {"c.h5"}},
    {"features",
     "finetune --data %1$s/long.h5 --mode scratch --encoder pca --steps 1 --out %1$s/m " SIZES,
     {"long.features-*.bin", "m/config.json", "m/predictor.safetensors"}},
    {"pretrain",
     "pretrain --data %1$s/a.h5 --encoder pca --steps 140 --gap 3 --out %1$s/p " SIZES,
     {"p/config.json", "p/model.safetensors", "p/log.jsonl", "p/loss.svg"}},
    {"finetune",
     "finetune --data %1$s/a.h5 --mode scratch --encoder state --patience 9 --steps 700 --out "
     "%1$s/m " SIZES,
     {"m/config.json", "m/predictor.safetensors", "m/contexts.safetensors", "m/encoder/config.json",
      "m/log.jsonl", "m/loss.svg"}},
    {"eval",
     "eval --model %2$s/model --data %2$s/held.h5 --rows model,random,oracle --episodes 12 "
     "--oracle-pairs 4 --batch 2 --threads 1 --samples 32 --elites 6 --keep 3 --iterations 2 "
     "--warm-iterations 1 "
     "--films 2 --film-size 16 --json %1$s/e.json",
     {"e.json", "e.json.films"}},
};
enum { kCommands = sizeof(commands) / sizeof(*commands) };

// ---- folders ----

typedef struct Path {
  char at[600];
} Path;

static Path in(const char* folder, const char* name) {
  Path p;
  us_path_join(p.at, sizeof(p.at), folder, name);
  return p;
}

static void shell(const char* format, ...) {
  char line[4096];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  if (system(line) != 0) fail_msg("`%s` failed", line);
}

// A folder with copies of the inputs that are written beside.
static void fill(const char* folder) {
  const char* inputs = in(base, "inputs").at;
  shell("mkdir -p %s && cp -p %s/a.h5 %s/long.h5 %s", folder, inputs, inputs, folder);
}

static Path fresh(const char* name) {
  Path folder = in(base, name);
  shell("rm -rf %s", folder.at);
  fill(folder.at);
  return folder;
}

static void remove_folder(const char* folder) {
  shell("rm -rf %s", folder);
}

// ---- one run ----

static void words_of(const Command* c, const char* folder, int resume, char line[2048]) {
  int n = snprintf(line, 2048, "exec '%s' ", US_PROGRAM);
  n += snprintf(line + n, 2048 - (size_t)n, c->words, folder, in(base, "inputs").at);
  snprintf(line + n, 2048 - (size_t)n, "%s >%s/out 2>%s/err </dev/null", resume ? " --resume" : "",
           base, base);
}

// limit: bytes a file may have, 0: any.
static pid_t start(const Command* c, const char* folder, int resume, rlim_t limit) {
  char line[2048];
  words_of(c, folder, resume, line);
  pid_t child = fork();
  if (child == 0) {
    if (limit) setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit});
    execl("/bin/sh", "sh", "-c", line, (char*)NULL);
    _exit(99);
  }
  return child;
}

// What the last run wrote to stderr.
static const char* errors(void) {
  static char text[4096];
  FILE* f = fopen(in(base, "err").at, "r");
  size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
  text[n] = 0;
  if (f) fclose(f);
  return text;
}

static int wait_for(pid_t child) {
  int how;
  assert_int_equal(waitpid(child, &how, 0), child);
  return how;
}

static void run_to_end(const Command* c, const char* folder, int resume) {
  int how = wait_for(start(c, folder, resume, 0));
  if (!WIFEXITED(how) || WEXITSTATUS(how) != 0) {
    fail_msg("%s%s: exit %d, signal %d: %s", c->name, resume ? " --resume" : "", WEXITSTATUS(how),
             WTERMSIG(how), errors());
  }
}

static void assert_same(const Command* c, const char* a, const char* b) {
  for (int i = 0; i < 6 && c->files[i]; i++) assert_same_files(a, b, c->files[i]);
}

// ---- kills ----

// A collected file that is there at all is a dataset that opens.
static void check_readable(const Command* c, const char* folder) {
  if (strcmp(c->name, "collect") != 0 || !us_file_exists(in(folder, "c.h5").at)) return;
  UsDataset* d;
  if (us_dataset_open(in(folder, "c.h5").at, &d) != US_OK) fail_msg("%s", us_message());
  us_dataset_close(d);
}

// Sleeps up to `seconds`; 1 when the child ended before that.
static int outlived(pid_t child, double seconds, int* how) {
  for (double end = us_seconds() + seconds; us_seconds() < end;) {
    if (waitpid(child, how, WNOHANG) == child) return 1;
    usleep(300);
  }
  return 0;
}

static void check_stop(const Command* c, int how, int signal_sent) {
  if (WIFSIGNALED(how) && WTERMSIG(how) == signal_sent) return;  // before or without a handler
  const char* text = errors();
  const char* end = strchr(text, '\n');
  int good =
      WIFEXITED(how) && (WEXITSTATUS(how) == 0 || (WEXITSTATUS(how) == 130 && end && !end[1]));
  if (!good) fail_msg("%s: exit %d, signal %d: %s", c->name, WEXITSTATUS(how), WTERMSIG(how), text);
}

static void test_killed(void** state) {
  const Command* c = *state;
  static const int signals[] = {SIGKILL, SIGINT, SIGTERM};
  const Path whole = fresh("whole");
  double begun = us_seconds();
  run_to_end(c, whole.at, 0);
  double takes = us_seconds() - begun;
  int hits = 0, runs = 0, rounds = 0;
  UsRng rng = us_rng(1, US_RNG_TEST, (uint64_t)(c - commands), 0, 0);
  while (hits < kills) {
    const Path part = fresh("part");
    const char* folder = part.at;
    int done = 0;
    for (int tries = 0; !done; tries++) {
      int how = 0, signal_sent = signals[runs++ % 3];
      pid_t child = start(c, folder, tries > 0, 0);
      // At most so many kills on the way to one end, then undisturbed.
      int last = tries >= 8 || hits >= kills;
      double moment = us_rng_range(&rng, 0, 1) * takes;
      if (last ? (how = wait_for(child), 1) : outlived(child, moment, &how)) {
        done = WIFEXITED(how) && WEXITSTATUS(how) == 0;
        if (!done) fail_msg("%s: exit %d: %s", c->name, WEXITSTATUS(how), errors());
      } else {
        kill(child, signal_sent);
        how = wait_for(child);
        check_stop(c, how, signal_sent);
        check_readable(c, folder);
        hits++;
        done = WIFEXITED(how) && WEXITSTATUS(how) == 0;
      }
    }
    run_to_end(c, folder, 1);  // is complete
    assert_same(c, whole.at, folder);
    remove_folder(folder);
    rounds++;
  }
  print_message("%s: %d kills in %d runs to the end, %.2f s each undisturbed\n", c->name, hits,
                rounds, takes);
  remove_folder(whole.at);
}

// ---- a full disk ----

// A failure that is one line and names a file of the folder.
static void check_failure(const Command* c, int how, const char* folder) {
  const char* text = errors();
  const char* end = strchr(text, '\n');
  if (!WIFEXITED(how) || WEXITSTATUS(how) != 1 || !end || end[1] || !strstr(text, folder)) {
    fail_msg("%s: exit %d, signal %d: %s", c->name, WEXITSTATUS(how), WTERMSIG(how), text);
  }
}

static void test_file_limit(void** state) {
  const Command* c = *state;
  const Path whole = fresh("whole");
  run_to_end(c, whole.at, 0);
  const Path part = fresh("part");
  const char* folder = part.at;
  int failures = 0, resume = 0;
  for (rlim_t limit = 1000; limit < (rlim_t)1 << 24; limit *= 3) {
    int how = wait_for(start(c, folder, resume, limit));
    check_readable(c, folder);
    resume = 1;
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0) break;
    check_failure(c, how, folder);
    failures++;
  }
  assert_true(failures > 0);
  run_to_end(c, folder, 1);
  assert_same(c, whole.at, folder);
  remove_folder(folder);
  remove_folder(whole.at);
}

static UsStatus append_episodes(UsDatasetWriter* w, int64_t from, int64_t to) {
  for (int64_t e = from; e < to; e++) US_TRY(toy_append(w, e, TOY_ROWS));
  return US_OK;
}

// Writes fail in the middle, on a file system that gave the room at first: 3 of 8 episodes stay,
// and the process that saw it ends as usual.
static void test_writes_fail(void** state) {
  const Path whole = in(base, "toy.h5"), part = in(base, "part.h5");
  UsDatasetInfo info = toy_info();
  toy_write(whole.at, 8, 8, 0);
  pid_t child = fork();
  if (child == 0) {
    UsDatasetWriter* w;
    signal(SIGXFSZ, SIG_IGN);
    if (us_dataset_create(part.at, &info, 8, TOY_ROWS, 0, &w) != US_OK) _exit(1);
    if (append_episodes(w, 0, 3) != US_OK) _exit(2);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){100, 100});
    if (append_episodes(w, 3, 4) != US_IO || !strstr(us_message(), "File too large")) _exit(3);
    exit(us_dataset_finish(w) == US_IO ? 4 : 5);
  }
  int how = wait_for(child);
  assert_true(WIFEXITED(how));
  assert_int_equal(WEXITSTATUS(how), 4);
  UsDatasetWriter* w;
  int64_t done;
  assert_int_equal(us_dataset_resume(part.at, &info, 8, TOY_ROWS, &done, &w), US_OK);
  assert_int_equal(done, 3);
  assert_int_equal(append_episodes(w, 3, 8), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  char hash[2][US_HASH_CHARS];
  assert_int_equal(us_hash_file(whole.at, hash[0]), US_OK);
  assert_int_equal(us_hash_file(part.at, hash[1]), US_OK);
  assert_string_equal(hash[0], hash[1]);
}

// Kilobytes in a folder.
static long used(const char* folder) {
  char line[700];
  long n = 0;
  snprintf(line, sizeof(line), "du -sk %s", folder);
  FILE* f = popen(line, "r");
  assert_true(f && fscanf(f, "%ld", &n) == 1);
  pclose(f);
  return n;
}

// A small disk in memory; needs root.
static int mount_disk(const char* folder) {
  mkdir(folder, 0777);
  umount(folder);  // of a test that failed
  return mount("none", folder, "tmpfs", 0, "size=16m") == 0;
}

static void remove_disk(const char* folder) {
  umount(folder);
  rmdir(folder);
}

// A full disk that grows until the run fits: every time what was there is kept.
static void test_full_disk(void** state) {
  const Command* c = *state;
  const Path disk = in(base, "disk");
  const char* folder = disk.at;
  if (!mount_disk(folder)) {
    rmdir(folder);
    skip();
  }
  const Path whole = fresh("whole");
  run_to_end(c, whole.at, 0);
  fill(folder);
  int failures = 0, done = 0;
  for (int more = 0; !done && more < 60; more++) {
    shell("mount -o remount,size=%ldk %s", used(folder) + 4 + 6L * more * more, folder);
    int how = wait_for(start(c, folder, more > 0, 0));
    check_readable(c, folder);
    done = WIFEXITED(how) && WEXITSTATUS(how) == 0;
    if (!done) check_failure(c, how, folder);
    failures += !done;
  }
  assert_true(done && failures > 0);
  assert_same(c, whole.at, folder);
  remove_disk(folder);
  remove_folder(whole.at);
}

// ---- a folder that cannot be written ----

static void test_read_only(void** state) {
  const Command* c = *state;
  const Path disk = in(base, "disk"), file = in(base, "file");
  if (!strstr(c->words, "--data %1$s")) {  // below a file there is no folder, for root either
    assert_int_equal(us_file_write(file.at, "", 0), US_OK);
    check_failure(c, wait_for(start(c, file.at, 0, 0)), file.at);
  }
  if (!mount_disk(disk.at)) {
    rmdir(disk.at);
    skip();
  }
  fill(disk.at);
  shell("mount -o remount,ro %s", disk.at);
  check_failure(c, wait_for(start(c, disk.at, 0, 0)), disk.at);
  remove_disk(disk.at);
}

// ---- set up ----

static int make_inputs(void** state) {
  const Path inputs = in(base, "inputs");
  const char* folder = inputs.at;
  shell("mkdir %s", folder);
  static const char* const lines[] = {
      "collect --task wall --episodes 8 --steps 40 --size 32 --seed 1 --out %s/a.h5",
      "collect --task wall --episodes 40 --steps 60 --size 32 --seed 5 --out %s/long.h5",
      "collect --task wall --episodes 16 --steps 40 --size 32 --seed 2 --out %s/held.h5",
      "finetune --data %s/a.h5 --mode scratch --encoder pca --steps 5 " SIZES "--out %s/model",
  };
  for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
    char words[1024];
    snprintf(words, sizeof(words), lines[i], folder, folder);
    shell("'%s' %s >/dev/null", US_PROGRAM, words);
  }
  return 0;
}

int main(void) {
  const char* wanted = getenv("US_KILLS");
  if (wanted) kills = atoi(wanted);
  if (!mkdtemp(base)) return 1;
  struct CMUnitTest tests[4 * kCommands + 1] = {cmocka_unit_test(test_writes_fail)};
  static char names[4 * kCommands + 1][64];
  static const struct {
    const char* name;
    CMUnitTestFunction test;
  } kinds[] = {{"killed", test_killed},
               {"file limit", test_file_limit},
               {"full disk", test_full_disk},
               {"read-only", test_read_only}};
  int n = 1;
  for (int k = 0; k < 4; k++) {
    for (int i = 0; i < kCommands; i++, n++) {
      snprintf(names[n], sizeof(names[n]), "%s: %s", kinds[k].name, commands[i].name);
      tests[n] = (struct CMUnitTest){names[n], kinds[k].test, NULL, NULL, (void*)&commands[i]};
    }
  }
  int failed = cmocka_run_group_tests_name("killed", tests, make_inputs, NULL);
  char line[600];
  snprintf(line, sizeof(line), "umount %s/disk 2>/dev/null; rm -rf %s", base, base);
  return system(line) != 0 || failed;
}
