// --gl: what renders is what was chosen, is recorded, and does not change within a file. GPUs are
// pretended (tests/env/sim/fake_egl.c), so that machines without one go the same way.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/scripts/program.h"
#include "worldmodel/base/file.h"

static char folder[] = "/tmp/understudy-choice-XXXXXX";

#define expect(code, ...) run_expecting(folder, code, __VA_ARGS__)
#define has(text, part)                                                \
  do {                                                                 \
    if (!strstr(text, part)) fail_msg("no \"%s\" in: %s", part, text); \
  } while (0)

// Programs find the pretended EGL or the system's.
static void pretend(int on) {
  if (on) setenv("LD_LIBRARY_PATH", US_FAKE_EGL, 1);
  if (!on) unsetenv("LD_LIBRARY_PATH");
}

static const char* path(const char* name) {
  static char text[4][512];
  static int next;
  return us_path_join(text[next = (next + 1) % 4], sizeof(text[0]), folder, name);
}

static void hash(const char* name, char hex[US_HASH_CHARS]) {
  assert_int_equal(us_hash_file(path(name), hex), US_OK);
}

static const char collect[] = "collect --task wall --steps 4 --size 32 --seed 3";

static void test_wrong_words(void** state) {
  static const char* const words[] = {"hardware", "gpu:x", "gpu:-1", "gpu:", "Software"};
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    const char* jobs[] = {"collect --task wall --episodes 1 --out %s/x.h5 --gl %s",
                          "view --task wall --record %s/x.png --gl %s"};
    for (int k = 0; k < 2; k++) {
      char line[1024];
      snprintf(line, sizeof(line), jobs[k], folder, words[i]);
      Run r = expect(2, "%s", line);
      assert_int_equal(lines_of(r.err), 1);
      has(r.err, "expected software, gpu or gpu:N");
    }
  }
  assert_false(us_file_exists(path("x.h5")) || us_file_exists(path("x.png")));
}

// A GPU that is not there is one line, and nothing is written.
static void test_missing(void** state) {
  for (int fake = 0; fake < 2; fake++) {
    pretend(fake);
    Run r = expect(1, "%s --episodes 1 --gl gpu:900 --out %s/new/x.h5", collect, folder);
    assert_int_equal(lines_of(r.err), 1);
    has(r.err, "--gl gpu:900: expected a GPU that EGL opens, found ");
    has(r.err, "software");
    if (fake) has(r.err, "gpu:0 (/dev/dri/card7), gpu:1, gpu:2 (Pretend/1, CUDA 3), software");
    assert_false(us_file_exists(path("new")));
  }
  // One that is there and refuses, and one that is none.
  has(expect(1, "%s --episodes 1 --gl gpu:0 --out %s/x.h5", collect, folder).err,
      "gpu:0 (/dev/dri/card7: EGL opens no OpenGL on it)");
  has(expect(1, "%s --episodes 1 --gl gpu:1 --out %s/x.h5", collect, folder).err,
      "gpu:1 (drawn by ");
  Run r = expect(1, "view --task wall --gl gpu:1 --record %s/x.png", folder);
  assert_int_equal(lines_of(r.err), 1);
  assert_false(us_file_exists(path("x.h5")) || us_file_exists(path("x.png")));
  pretend(0);
}

static void test_version(void** state) {
  pretend(1);
  has(expect(0, "--version").out,
      "OpenGL (--gl): gpu:0 (/dev/dri/card7), gpu:1, gpu:2 (Pretend/1, CUDA 3)");
  pretend(0);
  has(expect(0, "--version").out, "OpenGL (--gl): ");
}

// The choice holds where the other would do, and is in the file; the first GPU is the first that
// works.
static void test_recorded(void** state) {
  char one[US_HASH_CHARS], two[US_HASH_CHARS];
  expect(0, "%s --episodes 2 --out %s/plain.h5", collect, folder);
  pretend(1);
  expect(0, "%s --episodes 2 --gl software --out %s/soft.h5", collect, folder);
  expect(0, "%s --episodes 2 --gl gpu --out %s/first.h5", collect, folder);
  expect(0, "%s --episodes 2 --gl gpu:2 --out %s/two.h5", collect, folder);
  expect(0, "view --task wall --gl gpu --steps 4 --record %s/film.png", folder);
  pretend(0);
  hash("plain.h5", one);
  hash("soft.h5", two);
  assert_string_equal(one, two);
  hash("first.h5", one);
  hash("two.h5", two);
  assert_string_equal(one, two);
  has(expect(0, "dataset info %s/soft.h5", folder).out, "renderer     llvmpipe");
  has(expect(0, "dataset info %s/first.h5", folder).out, "renderer     Pretend/1, ");
  has(expect(0, "inspect %s/first.h5", folder).out, "frames drawn by Pretend/1, ");
  expect(0, "dataset verify %s/first.h5", folder);
}

// Another renderer's frames do not go into the file, which stays as it is.
static void test_resume(void** state) {
  char before[US_HASH_CHARS], after[US_HASH_CHARS];
  hash("first.h5", before);
  pretend(1);
  Run r = expect(1, "%s --episodes 3 --resume --out %s/first.h5", collect, folder);
  assert_int_equal(lines_of(r.err), 1);
  has(r.err, "renderer (--gl): expected \"llvmpipe");
  has(r.err, "found \"Pretend/1");
  hash("first.h5", after);
  assert_string_equal(before, after);
  has(expect(1, "%s --episodes 3 --resume --gl gpu --out %s/soft.h5", collect, folder).err,
      "found \"llvmpipe");
  // The same one goes on; where nothing is left to draw, none is asked for.
  expect(0, "%s --episodes 3 --resume --gl gpu --out %s/first.h5", collect, folder);
  has(expect(0, "%s --episodes 3 --resume --out %s/first.h5", collect, folder).out, "is complete");
  pretend(0);
  has(expect(0, "dataset info %s/first.h5", folder).out, "renderer     Pretend/1, ");
}

// An evaluation names what drew its frames, says where the goals' were drawn by another, and is
// not complete by what another one saw.
static void test_eval(void** state) {
  char line[1024];
  cJSON* json;
  expect(0, "%s --episodes 8 --steps 30 --size 64 --out %s/train.h5",
         "collect --task wall --seed 1", folder);
  expect(0, "%s --episodes 4 --steps 30 --size 64 --out %s/heldout.h5",
         "collect --task wall --seed 2", folder);
  expect(0, "finetune --data %s/train.h5 --steps 2 --out %s/model", folder, folder);
  snprintf(line, sizeof(line),
           "eval --model %s/model --data %s/heldout.h5 --episodes 2 --rows model --horizon 1 "
           "--samples 4 --elites 3 --iterations 1 --json %s/eval.json",
           folder, folder, folder);
  has(expect(2, "%s --gl hardware", line).err, "expected software, gpu or gpu:N");
  pretend(1);
  has(expect(1, "%s --gl gpu:1", line).err, "expected a GPU");
  assert_false(us_file_exists(path("eval.json")));
  assert_null(strstr(expect(0, "%s", line).err, "drawn by"));
  assert_int_equal(us_json_read(path("eval.json"), &json), US_OK);
  has(cJSON_GetStringValue(cJSON_GetObjectItem(json, "renderer")), "llvmpipe");
  cJSON_Delete(json);
  has(expect(0, "%s --resume", line).out, "is complete");
  Run r = expect(0, "%s --resume --gl gpu", line);
  assert_null(strstr(r.out, "is complete"));
  has(r.err, "heldout.h5: its frames were drawn by llvmpipe");
  assert_int_equal(us_json_read(path("eval.json"), &json), US_OK);
  has(cJSON_GetStringValue(cJSON_GetObjectItem(json, "renderer")), "Pretend/1");
  cJSON_Delete(json);
  pretend(0);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_wrong_words), cmocka_unit_test(test_missing),
      cmocka_unit_test(test_version),     cmocka_unit_test(test_recorded),
      cmocka_unit_test(test_resume),      cmocka_unit_test(test_eval),
  };
  int failed = cmocka_run_group_tests_name("choice", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
