// Datasets on a file system without locks, as some network file systems are: written, read while
// they are written, gone on with, and still with one owner.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "datasets/files/dataset_reader.h"
#include "tests/datasets/toy_dataset.h"

static int error, calls;

// Stands in for the system's, for our library and for HDF5.
int flock(int fd, int operation) {
  calls++;
  errno = error;
  return -1;
}

static void good(UsStatus status) {
  if (status != US_OK) fail_msg("%s", us_message());
}

static void says(const char* part) {
  if (!strstr(us_message(), part)) fail_msg("\"%s\" does not say \"%s\"", us_message(), part);
}

static void verify(const char* path, int64_t episodes) {
  UsVerdict v;
  good(us_dataset_verify(path, 0, 0, &v));
  assert_int_equal(v.info.episodes, episodes);
}

static void write_and_read(int number) {
  UsDatasetInfo info = toy_info();
  UsDatasetWriter *w, *second;
  const char* path = toy_path("a.h5");
  int64_t done;
  error = number;
  calls = 0;
  good(us_dataset_create(path, &info, 4, TOY_ROWS, 1, &w));
  good(toy_append(w, 0, TOY_ROWS));
  pid_t child = fork();
  if (child == 0) {
    verify(path, 1);
    assert_int_equal(us_dataset_create(path, &info, 4, TOY_ROWS, 1, &second), US_IO);
    says("being written by pid ");
    _exit(0);
  }
  int how = 1;
  waitpid(child, &how, 0);
  assert_int_equal(how, 0);
  good(toy_append(w, 1, TOY_ROWS));
  good(us_dataset_finish(w));
  verify(path, 2);
  good(us_dataset_resume(path, &info, 4, TOY_ROWS, &done, &w));
  assert_int_equal(done, 2);
  good(toy_append(w, 2, TOY_ROWS));
  good(us_dataset_finish(w));
  verify(path, 3);
  assert_int_equal(us_file_exists(toy_path("a.h5.lock")), 0);
  assert_true(calls > 0);
}

static void test_errors(void** state) {
  write_and_read(ENOSYS);
  write_and_read(ENOLCK);
  write_and_read(EOPNOTSUPP);
}

// What a killed writer left is nobody's, and its file goes on.
static void test_killed(void** state) {
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  const char* path = toy_path("k.h5");
  int64_t done;
  error = ENOLCK;
  pid_t child = fork();
  if (child == 0) {
    good(us_dataset_create(path, &info, 3, TOY_ROWS, 0, &w));
    good(toy_append(w, 0, TOY_ROWS));
    raise(SIGKILL);
  }
  int how = 0;
  waitpid(child, &how, 0);
  assert_true(WIFSIGNALED(how));
  assert_int_equal(us_file_exists(toy_path("k.h5.lock")), 1);
  good(us_dataset_resume(path, &info, 3, TOY_ROWS, &done, &w));
  assert_int_equal(done, 1);
  for (int64_t e = 1; e < 3; e++) good(toy_append(w, e, TOY_ROWS));
  good(us_dataset_finish(w));
  verify(path, 3);
  assert_int_equal(us_file_exists(toy_path("k.h5.lock")), 0);
}

static int remove_all(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_errors), cmocka_unit_test(test_killed)};
  return cmocka_run_group_tests(tests, NULL, remove_all);
}
