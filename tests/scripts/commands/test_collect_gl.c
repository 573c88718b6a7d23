// The collect and dataset commands: the same seed gives the same file for any number of threads,
// the content is what the simulator says, Ctrl-C keeps finished episodes.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env/sim.h"
#include "tasks/tasks.h"
#include "tests/datasets/toy_dataset.h"

// Runs the program with these words and returns its exit code; stderr goes to the file "errors".
static int run(const char* format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char* format, ...) {
  char words[1024], command[1500];
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof(words), format, args);
  va_end(args);
  snprintf(command, sizeof(command), "%s %s >/dev/null 2>%s", US_PROGRAM, words,
           toy_path("errors"));
  int how = system(command);
  return WIFEXITED(how) ? WEXITSTATUS(how) : -1;
}

// 1 when the last command's stderr is one line that has this text.
static int said(const char* text) {
  void* bytes;
  size_t size;
  assert_int_equal(us_file_read(toy_path("errors"), 0, &bytes, &size), US_OK);
  const char* line = bytes;
  const char* end = strchr(line, '\n');
  int good = strstr(line, text) && end && end[1] == 0;
  if (!good) print_error("expected \"%s\" in: %s\n", text, line);
  free(bytes);
  return good;
}

static void hash(const char* path, char hex[US_HASH_CHARS]) {
  assert_int_equal(us_hash_file(path, hex), US_OK);
}

static void test_same_bytes_for_any_threads(void** state) {
  char one[US_HASH_CHARS], two[US_HASH_CHARS], more[US_HASH_CHARS];
  for (int i = 0; us_tasks[i]; i++) {
    const char* task = us_tasks[i]->name;
    assert_int_equal(
        run("collect --task %s --episodes 11 --steps 12 --seed 5 --threads 1 --size 32 "
            "--overwrite --out %s",
            task, toy_path("one.h5")),
        0);
    assert_int_equal(
        run("collect --task %s --episodes 11 --steps 12 --seed 5 --threads 2 --size 32 "
            "--overwrite --out %s",
            task, toy_path("two.h5")),
        0);
    assert_int_equal(
        run("collect --task %s --episodes 11 --steps 12 --seed 6 --threads 2 --size 32 "
            "--overwrite --out %s",
            task, toy_path("more.h5")),
        0);
    hash(toy_path("one.h5"), one);
    hash(toy_path("two.h5"), two);
    hash(toy_path("more.h5"), more);
    assert_string_equal(one, two);
    assert_string_not_equal(one, more);
  }
}

// Playing a row's action from a row's state gives the next row's state, and its frame.
static void test_rows_are_the_simulators(void** state) {
  const char* path = toy_path("rows.h5");
  assert_int_equal(
      run("collect --task wall --episodes 3 --steps 20 --seed 1 --size 32 --out %s", path), 0);
  UsDataset* d;
  assert_int_equal(us_dataset_open(path, &d), US_OK);
  const UsDatasetInfo* info = us_dataset_info(d);
  assert_int_equal(info->episodes, 3);
  assert_int_equal(info->rows, 63);
  assert_string_equal(info->task, "wall");
  UsEnvConfig config = {.slots = 1, .block = 1, .height = 32, .width = 32, .pixels = 1};
  UsEnv* sim;
  assert_int_equal(us_env_open("sim:wall", us_tasks, &config, &sim), US_OK);
  uint8_t want[32 * 32 * 3], found[32 * 32 * 3];
  double now[16];
  int slot = 0;
  uint64_t seed = 0;
  us_env_reset(sim, NULL, &seed);
  for (int64_t row = 21; row < 41; row++) {
    UsObs obs = {.state = (double*)us_dataset_states(d) + row * info->state, .time = 0, .first = 1};
    assert_int_equal(us_env_observe(sim, 1, &slot, &obs), US_OK);
    assert_int_equal(us_env_render(sim, 1, &slot, want), US_OK);
    assert_int_equal(us_dataset_pixels(d, row, 1, found), US_OK);
    assert_memory_equal(found, want, sizeof(want));
    us_env_step(sim, us_dataset_actions(d) + row * info->action, NULL);
    UsObs after = {.state = now};
    assert_int_equal(us_env_look(sim, 1, &slot, &after), US_OK);
    for (int i = 0; i < info->state; i++) {
      assert_true(fabs(now[i] - us_dataset_states(d)[(row + 1) * info->state + i]) < 1e-6);
    }
  }
  us_env_close(sim);
  us_dataset_close(d);
}

static void test_interrupt_keeps_episodes(void** state) {
  const char* path = toy_path("stopped.h5");
  pid_t child = fork();
  if (child == 0) {
    if (!freopen(toy_path("errors"), "w", stderr)) _exit(9);
    execl(US_PROGRAM, "understudy", "collect", "--task", "wall", "--episodes", "10000", "--size",
          "16", "--steps", "20", "--out", path, (char*)NULL);
    _exit(9);
  }
  UsDataset* d;
  for (int i = 0; i < 3000; i++) {  // until something is there
    usleep(10000);
    int fd = open(path, O_RDONLY);
    char byte[256 * 1024];
    ssize_t n = fd < 0 ? 0 : pread(fd, byte, sizeof(byte), 65536);
    if (fd >= 0) close(fd);
    int some = 0;
    for (ssize_t k = 0; k < n; k++) some |= byte[k];
    if (some) break;
  }
  kill(child, SIGINT);
  int how;
  waitpid(child, &how, 0);
  assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 130);
  assert_true(said("stopped, with"));
  assert_int_equal(us_dataset_open(path, &d), US_OK);
  assert_true(us_dataset_info(d)->episodes >= 1 && us_dataset_info(d)->episodes < 10000);
  assert_int_equal(us_dataset_info(d)->finished, 1);
  us_dataset_close(d);
}

static void test_dataset_verbs(void** state) {
  const char* path = toy_path("verbs.h5");
  assert_int_equal(run("collect --task pointmaze --episodes 2 --steps 4 --size 16 --out %s", path),
                   0);
  assert_int_equal(run("dataset info %s", path), 0);
  UsDataset* d;
  assert_int_equal(us_dataset_open(path, &d), US_OK);
  assert_non_null(strstr(us_dataset_info(d)->renderer, ", "));  // GL_RENDERER, GL_VERSION
  us_dataset_close(d);
  assert_int_equal(run("dataset verify %s", path), 0);
  assert_int_equal(run("dataset preview %s --out %s", path, toy_path("sheet.png")), 0);
  assert_true(us_file_exists(toy_path("sheet.png")));
  assert_int_equal(run("dataset preview %s --out /nowhere/at/all.png", path), 1);
  assert_true(said("/nowhere/at/all.png"));
  void* bytes;
  size_t size;
  assert_int_equal(us_file_read(path, 0, &bytes, &size), US_OK);
  assert_int_equal(us_file_write(path, bytes, size / 2), US_OK);
  free(bytes);
  assert_int_equal(run("dataset verify %s", path), 1);
  assert_true(said(path));
}

static void test_wrong_use(void** state) {
  assert_int_equal(run("collect"), 2);
  assert_true(said("expected --task"));
  assert_int_equal(run("collect --task wall --episodes 1"), 2);
  assert_int_equal(run("collect --task wall --episodes 0 --out %s", toy_path("x.h5")), 2);
  assert_int_equal(run("collect --task wall --episodes 1 --steps 0 --out %s", toy_path("x.h5")), 2);
  assert_int_equal(run("collect --task chess --episodes 1 --out %s", toy_path("x.h5")), 2);
  assert_true(said("chess"));
  assert_int_equal(run("collect --task wall --policy lazy --episodes 1 --out %s", toy_path("x.h5")),
                   2);
  assert_true(said("expected a policy of wall"));
  assert_false(us_file_exists(toy_path("x.h5")));
  us_file_write(toy_path("kept.h5"), "mine", 4);
  assert_int_equal(run("collect --task wall --episodes 1 --out %s", toy_path("kept.h5")), 1);
  assert_true(said("--overwrite"));
  assert_int_equal(run("dataset"), 2);
  assert_int_equal(run("dataset paint x"), 2);
  assert_int_equal(run("dataset info"), 2);
  assert_int_equal(run("dataset preview %s", toy_path("kept.h5")), 2);
  assert_int_equal(run("dataset info %s", toy_path("kept.h5")), 1);
  assert_true(said("expected an HDF5 file"));
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

// The one file of features beside f.h5, or "".
static const char* find_features(void) {
  static char path[300];
  glob_t found;
  path[0] = 0;
  if (glob(toy_path("f.features-*.bin"), 0, NULL, &found) == 0) {
    assert_int_equal(found.gl_pathc, 1);
    snprintf(path, sizeof(path), "%s", found.gl_pathv[0]);
    globfree(&found);
  }
  return path;
}

// --encode leaves the features that training computes without it, and training takes them as they
// are.
static void test_encode(void** state) {
  const char* words = "--task wall --episodes 4 --steps 40 --seed 4 --size 64";
  const char* train =
      "finetune --data %s --mode scratch --encoder default --steps 2 --width 16 --depth 1 --heads "
      "2 "
      "--batch 4 --overwrite --out %s";
  char own[US_HASH_CHARS], other[US_HASH_CHARS];
  struct stat before, after;
  assert_int_equal(run("collect %s --encode default --out %s", words, toy_path("f.h5")), 0);
  hash(find_features(), own);
  assert_int_equal(stat(find_features(), &before), 0);
  assert_int_equal(run(train, toy_path("f.h5"), toy_path("m")), 0);
  assert_int_equal(stat(find_features(), &after), 0);
  assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
  // Training's own.
  assert_int_equal(unlink(find_features()), 0);
  assert_int_equal(run(train, toy_path("f.h5"), toy_path("m")), 0);
  hash(find_features(), other);
  assert_string_equal(own, other);
  // A finished file gets them later; what is not there is told before anything is recorded.
  assert_int_equal(unlink(find_features()), 0);
  assert_int_equal(run("collect %s --resume --encode default --out %s", words, toy_path("f.h5")),
                   0);
  hash(find_features(), other);
  assert_string_equal(own, other);
  assert_int_equal(
      run("collect %s --encode %s --out %s", words, toy_path("none"), toy_path("g.h5")), 1);
  assert_true(said("/none/config.json: "));
  assert_int_equal(us_file_exists(toy_path("g.h5")), 0);
  assert_int_equal(run("collect %s --device cuda --out %s", words, toy_path("g.h5")), 2);
  assert_true(said("expected --encode too"));
}

int main(void) {
  toy_folder();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_bytes_for_any_threads),
      cmocka_unit_test(test_rows_are_the_simulators),
      cmocka_unit_test(test_interrupt_keeps_episodes),
      cmocka_unit_test(test_dataset_verbs),
      cmocka_unit_test(test_encode),
      cmocka_unit_test(test_wrong_use),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
