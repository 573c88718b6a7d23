// What drew the frames of a file: recorded, carried on, and told apart where it changed.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "datasets/exchange.h"
#include "tests/datasets/toy_dataset.h"
#include "worldmodel/base/progress.h"

static char said[1024];

static void hear(void* data, const char* line) {
  snprintf(said, sizeof(said), "%s", line);
}

static void check_renderer(const char* path, const char* want) {
  UsDataset* d;
  assert_int_equal(us_dataset_open(path, &d), US_OK);
  assert_string_equal(us_dataset_info(d)->renderer, want);
  us_dataset_close(d);
}

static UsDatasetWriter* begin(const char* path, const char* renderer, int64_t episodes) {
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  snprintf(info.renderer, sizeof(info.renderer), "%s", renderer);
  return us_dataset_create(path, &info, episodes, TOY_ROWS, 1, &w) == US_OK ? w : NULL;
}

// Goes on to `episodes` episodes, of which `more` are appended now, as drawn by `renderer`.
static void go_on(const char* path, const char* renderer, int64_t episodes, int64_t more) {
  UsDatasetInfo info = toy_info();
  snprintf(info.renderer, sizeof(info.renderer), "%s", renderer);
  UsDatasetWriter* w;
  int64_t done;
  said[0] = 0;
  UsHooks before = us_hooks_set((UsHooks){.log = hear});
  assert_int_equal(us_dataset_resume(path, &info, episodes, TOY_ROWS, &done, &w), US_OK);
  us_hooks_set(before);
  for (int64_t e = done; e < done + more; e++) assert_int_equal(toy_append(w, e, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
}

static void test_changes_are_said(void** state) {
  const char* path = toy_path("drawn.h5");
  UsDatasetWriter* w = begin(path, "soft, 4.5", 2);
  for (int e = 0; e < 2; e++) assert_int_equal(toy_append(w, e, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  check_renderer(path, "soft, 4.5");
  go_on(path, "soft, 4.5", 3, 1);
  assert_string_equal(said, "");
  go_on(path, "soft, 4.6", 5, 1);  // packed to 4
  assert_non_null(strstr(said, "from episode 3 on, frames are drawn by soft, 4.6, those before"));
  check_renderer(path, "soft, 4.5; from episode 3: soft, 4.6");
  go_on(path, "soft, 4.6", 5, 1);
  assert_string_equal(said, "");
  go_on(path, "soft, 4.5", 5, 0);  // complete
  assert_string_equal(said, "");
  go_on(path, "soft, 4.5", 6, 1);
  check_renderer(path, "soft, 4.5; from episode 3: soft, 4.6; from episode 5: soft, 4.5");
  UsVerdict v;
  assert_int_equal(us_dataset_verify(path, 0, 0, &v), US_OK);
  assert_int_equal(v.info.episodes, 6);
}

// Frames of another renderer are refused, unless there is none left to draw.
static void test_others_are_refused(void** state) {
  const char* path = toy_path("mixed.h5");
  UsDatasetWriter* w = begin(path, "card: A, 4.6", 2);
  assert_int_equal(toy_append(w, 0, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  UsDatasetInfo info = toy_info();
  int64_t done;
  snprintf(info.renderer, sizeof(info.renderer), "soft, 4.6");
  assert_int_equal(us_dataset_resume(path, &info, 2, TOY_ROWS, &done, &w), US_FORMAT);
  assert_null(w);
  assert_null(strchr(us_message(), '\n'));
  assert_non_null(
      strstr(us_message(), "renderer (--gl): expected \"soft, 4.6\" to go on with, found \"card"));
  check_renderer(path, "card: A, 4.6");
  assert_int_equal(us_dataset_resume(path, &info, 1, TOY_ROWS, &done, &w), US_OK);
  assert_null(w);
  assert_int_equal(done, 1);
  go_on(path, "card: A, 4.6", 2, 1);
  check_renderer(path, "card: A, 4.6");
}

// A child that goes on with the file, or begins it, appends an episode and dies.
static void append_and_die(const char* path, const char* renderer, int resume) {
  pid_t child = fork();
  if (child == 0) {
    UsDatasetInfo info = toy_info();
    UsDatasetWriter* w;
    int64_t done = 0;
    snprintf(info.renderer, sizeof(info.renderer), "%s", renderer);
    UsStatus status = resume ? us_dataset_resume(path, &info, 3, TOY_ROWS, &done, &w)
                             : us_dataset_create(path, &info, 3, TOY_ROWS, 1, &w);
    if (status == US_OK) toy_append(w, done, TOY_ROWS);
    raise(SIGKILL);
  }
  waitpid(child, NULL, 0);
}

// The note is there before the episodes that it is about.
static void test_after_a_kill(void** state) {
  const char* path = toy_path("killed.h5");
  append_and_die(path, "soft", 0);
  check_renderer(path, "soft");
  append_and_die(path, "soft, 2", 1);
  check_renderer(path, "soft; from episode 1: soft, 2");
  go_on(path, "soft, 2", 3, 1);
  assert_string_equal(said, "");
  check_renderer(path, "soft; from episode 1: soft, 2");
}

static void test_silent_files(void** state) {
  const char* path = toy_path("silent.h5");
  toy_write(path, 2, 2, 0);
  check_renderer(path, "");
  go_on(path, "soft", 3, 1);
  assert_string_equal(said, "");
  check_renderer(path, "");
}

static void test_exchange(void** state) {
  const char *path = toy_path("a.h5"), *theirs = toy_path("b.h5"), *back = toy_path("c.h5");
  char left[US_LEFT_CHARS];
  UsVerdict v;
  UsImportNotes notes;
  UsDatasetWriter* w = begin(path, "soft", 1);
  assert_int_equal(toy_append(w, 0, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  assert_int_equal(us_dataset_convert(path, theirs, 0, 0, left), US_OK);
  check_renderer(path, "soft");
  assert_int_equal(us_dataset_import(theirs, back, &(UsImport){.task = "toy"}, &v, &notes), US_OK);
  check_renderer(back, "soft");
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_changes_are_said), cmocka_unit_test(test_others_are_refused),
      cmocka_unit_test(test_after_a_kill),     cmocka_unit_test(test_silent_files),
      cmocka_unit_test(test_exchange),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
