// The robot of one page in Python (tests/scripts/robot.py), through the commands: what it records
// is the same for any number of copies, what was whole when it died is kept and gone on with, and
// it is evaluated without being put into a state.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include "datasets/dataset.h"
#include "tests/scripts/program.h"
#include "worldmodel/base/file.h"

#define ROBOT "python3 " US_SOURCE_DIR "/tests/scripts/robot.py"
static char folder[] = "/tmp/understudy-robot-XXXXXX";

static void collect(const char* out, const char* more) {
  run_expecting(folder, 0, "collect --task 'exec:" ROBOT "' --steps 40 --seed 4 --out %s/%s %s",
                folder, out, more);
}

static void assert_same(const char* a, const char* b) {
  char path[1024], hash[2][US_HASH_CHARS];
  assert_int_equal(us_hash_file(us_path_join(path, sizeof(path), folder, a), hash[0]), US_OK);
  assert_int_equal(us_hash_file(us_path_join(path, sizeof(path), folder, b), hash[1]), US_OK);
  assert_string_equal(hash[0], hash[1]);
}

// What is recorded is what the robot did of the recorded actions, in its own units.
static void test_collect(void** state) {
  char path[1024];
  UsDataset* data;
  collect("one.h5", "--episodes 3 --threads 1");
  collect("two.h5", "--episodes 3 --threads 2");
  assert_same("one.h5", "two.h5");
  run_expecting(folder, 0, "dataset verify %s/one.h5", folder);
  us_path_join(path, sizeof(path), folder, "one.h5");
  assert_int_equal(us_dataset_open(path, &data), US_OK);
  const UsDatasetInfo* info = us_dataset_info(data);
  assert_true(info->rows == 3 * 41 && info->height == 64 && info->dt == 0.05);
  assert_string_equal(info->camera, "above");
  const double* s = us_dataset_states(data);
  const float* a = us_dataset_actions(data);
  double worst = 0, moved = 0;
  for (int t = 0; t < 40; t++) {
    for (int k = 0; k < 2; k++) {
      double next = fmin(fmax(s[2 * t + k] + 0.05 * 2 * (double)a[2 * t + k], -1), 1);
      worst = fmax(worst, fabs(next - s[2 * t + 2 + k]));
      moved = fmax(moved, fabs(s[2 * t + k] - s[k]));
    }
  }
  assert_true(worst < 1e-6 && moved > 0.1);
  us_dataset_close(data);
}

// A robot that ends in the third episode: two are kept, and --resume goes on to the same file.
static void test_dies(void** state) {
  Run r = run_expecting(folder, 1,
                        "collect --task 'exec:sed -u 100q | " ROBOT
                        " --alone' --steps 40 --seed 4 --episodes 3 --threads 1 --out %s/cut.h5",
                        folder);
  assert_int_equal(lines_of(r.err), 1);
  assert_non_null(strstr(r.err, "episode 2, step"));
  assert_non_null(strstr(r.err, "expected an answer, found that it ended"));
  assert_non_null(strstr(r.err, "2 episodes before it are kept, --resume goes on"));
  collect("cut.h5", "--episodes 3 --resume");
  assert_same("cut.h5", "one.h5");
}

// Neither rows that need what it cannot do, nor silence about them.
static void test_eval(void** state) {
  collect("held.h5", "--episodes 12");
  Run r = run_expecting(folder, 0,
                        "eval --task 'exec:" ROBOT
                        "' --data %s/held.h5 --rows random --episodes 12 "
                        "--json %s/a.json",
                        folder, folder);
  assert_non_null(strstr(r.out, "random     12"));
  r = run_expecting(folder, 1,
                    "eval --task 'exec:" ROBOT
                    "' --data %s/held.h5 --rows random,oracle "
                    "--episodes 12 --json %s/b.json",
                    folder, folder);
  assert_int_equal(lines_of(r.err), 1);
  assert_non_null(strstr(r.err, "--rows oracle: expected a robot that can be put into a state"));
  // The same robot where it can: an oracle that plans on it reaches every goal.
  r = run_expecting(folder, 0,
                    "eval --task 'exec:" ROBOT
                    " --restore' --data %s/held.h5 --rows oracle "
                    "--episodes 2 --samples 12 --iterations 3 --json %s/c.json",
                    folder, folder);
  assert_non_null(strstr(r.out, "oracle      2  100.0"));
}

int main(void) {
  if (system("python3 -c 1 >/dev/null 2>&1") != 0) return 77;
  assert_non_null(mkdtemp(folder));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_collect),
      cmocka_unit_test(test_dies),
      cmocka_unit_test(test_eval),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) ? 1 : failed;
}
