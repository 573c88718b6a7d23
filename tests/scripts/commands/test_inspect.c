// `understudy inspect` and `dataset verify`, `import`, `convert` as a user meets them: what is good
// is described, what is not is refused in one line.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/datasets/foreign_file.h"
#include "tests/datasets/toy_dataset.h"
#include "tests/scripts/program.h"

static void copy_folder(const char* from, const char* to) {
  char line[1024];
  snprintf(line, sizeof(line), "rm -rf '%s' && cp -r '%s/%s' '%s'", to, US_SOURCE_DIR, from, to);
  assert_int_equal(system(line), 0);
}

// Runs a command on `path`; `word` must be in its output when it is good, else in its one line.
static void try(const char* command, const char* path, const char* more, int code,
                const char* word) {
  char line[2048];
  snprintf(line, sizeof(line), "%s '%s' %s", command, path, more);
  Run r = run_program(toy_folder(), line);
  const char* text = code ? r.err : r.out;
  if (r.code != code || !strstr(text, word) || (code && lines_of(r.err) != 1)) {
    fail_msg("%s: expected %d and \"%s\", found %d and %s%s", line, code, word, r.code, r.out,
             r.err);
  }
}

static void test_good(void** state) {
  const char *encoder = toy_path("encoder"), *predictor = toy_path("predictor");
  copy_folder("assets/encoder", encoder);
  copy_folder("assets/predictor", predictor);
  try("inspect", encoder, "", 0, "encoder blur, 1 tokens");
  try("inspect", predictor, "", 0, "without actions");
  try("inspect", predictor, "", 0, "trained on ");
  char file[400];
  snprintf(file, sizeof(file), "%s/model.safetensors", encoder);
  try("inspect", file, "", 0, "safetensors, 3 tensors");
  snprintf(file, sizeof(file), "%s/config.json", encoder);
  try("inspect", file, "", 0, "JSON, ");
  const char* data = toy_path("toy.h5");
  toy_write(data, 3, 3, 0);
  try("inspect", data, "", 0, "dataset, 3 episodes, 36 rows");
}

// Replaces the first `from` in a file by `to`.
static void edit(const char* folder, const char* name, const char* from, const char* to) {
  char path[400];
  void* bytes;
  size_t size, n = strlen(from), m = strlen(to);
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  assert_int_equal(us_file_read(path, 0, &bytes, &size), US_OK);
  char* at = memmem(bytes, size, from, n);
  assert_non_null(at);
  char* text = malloc(size + m);
  size_t before = (size_t)(at - (char*)bytes);
  memcpy(text, bytes, before);
  memcpy(text + before, to, m);
  memcpy(text + before + m, at + n, size - before - n);
  assert_int_equal(us_file_write(path, text, size - n + m), US_OK);
  free(text);
  free(bytes);
}

static void refuse_edit(const char* folder, const char* name, const char* from, const char* to,
                        const char* word) {
  const char* copy = toy_path("edited");
  copy_folder(folder, copy);
  edit(copy, name, from, to);
  try("inspect", copy, "", 1, word);
}

static void test_folders_that_contradict_themselves(void** state) {
  refuse_edit("assets/grid", "config.json", "\"hidden_size\":\t96", "\"hidden_size\":\t48",
              "expected");
  refuse_edit("assets/grid", "config.json", "\"num_hidden_layers\":\t2",
              "\"num_hidden_layers\":\t3", "encoder.layer.2");
  refuse_edit("assets/grid", "config.json", "\"num_hidden_layers\":\t2",
              "\"num_hidden_layers\":\t2000000000", "num_hidden_layers");
  refuse_edit("assets/grid", "config.json", "\"patch_size\"", "\"hidden_size\"", "twice");
  refuse_edit("assets/grid", "config.json", "{", "", "JSON");
  refuse_edit("assets/grid", "model.safetensors", "layernorm.weight", "layernorm.wEight",
              "layernorm.weight");
  refuse_edit("assets/encoder", "config.json", "\"dim\":\t128", "\"dim\":\t127", "expected");
  refuse_edit("assets/encoder", "config.json", "\"pool\":\t2", "\"pool\":\t4", "blur.weight");
  refuse_edit("assets/encoder", "config.json", "\"global_dim\":\t128", "\"global_dim\":\t64",
              "a decoder of 128 numbers");
  refuse_edit("assets/encoder", "model.safetensors", "blur.mean", "blur.mEan", "blur.mean");
  refuse_edit("assets/predictor", "config.json", "\"width\":\t128", "\"width\":\t120", "expected");
  refuse_edit("assets/predictor", "config.json", "\"version\":\t1", "\"version\":\t9", "version");
  refuse_edit("assets/predictor", "model.safetensors", "\"query\"", "\"quarY\"", "query");
  refuse_edit("assets/predictor", "config.json", "predictor\"", "pre\\ndictor\"", "expected");
}

static void test_weights_that_are_not_numbers(void** state) {
  const char* copy = toy_path("nan");
  char path[400];
  void* bytes;
  size_t size;
  copy_folder("assets/encoder", copy);
  snprintf(path, sizeof(path), "%s/model.safetensors", copy);
  assert_int_equal(us_file_read(path, 0, &bytes, &size), US_OK);
  memset((char*)bytes + size - 4, 0xff, 4);
  assert_int_equal(us_file_write(path, bytes, size), US_OK);
  free(bytes);
  try("inspect", path, "", 1, "expected finite numbers");
  try("inspect", copy, "", 1, "expected finite numbers");
}

static void test_other_things(void** state) {
  const char *empty = toy_path("empty"), *torch = toy_path("weights.pth");
  us_folder_make(empty);
  try("inspect", empty, "", 1, "expected a folder with config.json");
  try("inspect", toy_path("nowhere"), "", 1, "No such file");
  us_file_write(torch, "PK\3\4........", 12);
  try("inspect", torch, "", 1, "zip archive such as PyTorch's");
  us_file_write(torch, "\x80\2ccollections", 14);
  try("inspect", torch, "", 1, "Python pickle");
  us_file_write(torch, "text", 4);
  try("inspect", torch, "", 1, "expected a safetensors file");
  try("inspect", "/dev/null", "", 1, "expected a file");
  const char* clip = toy_path("clip.mp4");
  us_file_write(clip, "text", 4);
  try("dataset info", clip, "", 1, "found something else (film? dataset import makes a dataset of");
}

static void test_dataset_commands(void** state) {
  const char *theirs = toy_path("theirs.h5"), *ours = toy_path("ours.h5");
  const char* back = toy_path("back.h5");
  char more[512], encoder[400];
  Foreign f = foreign_make(SWM_006);
  foreign_add(&f, "extra", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, 7, 0, f.wide);
  foreign_write(&f, theirs);
  try("dataset verify", theirs, "", 0, "stable-worldmodel 0.0.4 to 0.0.6");
  snprintf(more, sizeof(more), "--out '%s'", ours);
  try("dataset import", theirs, more, 2, "expected --task");
  snprintf(more, sizeof(more), "--task pusht --out '%s'", ours);
  try("dataset import", theirs, more, 2, "expected --dt");
  snprintf(more, sizeof(more), "--task pusht --dt 0.1 --out '%s'", ours);
  try("dataset import", theirs, more, 0, "not evaluated");
  snprintf(more, sizeof(more), "--task pusht --dt 0.1 --overwrite --out '%s'", ours);
  try("dataset import", theirs, more, 0,
      "not taken over: extra\n  not in the file, so made here: tr");
  snprintf(more, sizeof(more), "--task pusht --dt 0.1 --out '%s'", ours);
  try("dataset import", theirs, more, 1, "the file exists");
  try("dataset verify", ours, "", 0, "good: 3 episodes, 15 rows");
  snprintf(encoder, sizeof(encoder), "--model '%s/assets/encoder'", US_SOURCE_DIR);
  try("dataset verify", ours, encoder, 1, "expected frames of 64 x 64 as the model sees them");
  snprintf(more, sizeof(more), "--out '%s'", back);
  try("dataset convert", ours, more, 0, "for stable-worldmodel's loaders");
  try("dataset verify", back, "", 0, "good: 3 episodes");
  f = foreign_make(SWM_011);
  foreign_write(&f, theirs);
  try("dataset verify", theirs, "", 1, "stable-worldmodel 0.1.1");
}

static void test_what_python_has(void** state) {
  try("import lerobot", "folder", "", 2, "expected the program of the Python package");
}

static void test_dataset_edits(void** state) {
  const char *a = toy_path("ea.h5"), *b = toy_path("eb.h5"), *out = toy_path("ec.h5");
  char more[1024];
  toy_write(a, 6, 6, 0);
  toy_write(b, 4, 4, 0);
  snprintf(more, sizeof(more), "--out '%s'", out);
  try("dataset merge", a, more, 2, "merge: expected at least 2 files");
  try("dataset drop", a, more, 2, "drop: expected --episodes");
  try("dataset split", a, more, 2, "split: expected --rest");
  snprintf(more, sizeof(more), "'%s' --out '%s'", b, out);
  try("dataset merge", a, more, 0, "10 episodes, 120 rows\n  4 of them have the frames of another");
  try("dataset merge", a, more, 1, "the file exists");
  try("dataset info", out, "", 0, "made of      seed 1311768467463790320, random, content ");
  try("dataset split", a, more, 2, "split: expected --rest");
  snprintf(more, sizeof(more), "--overwrite --episodes 1,4-5 --out '%s'", out);
  try("dataset drop", a, more, 0, "3 episodes, 36 rows");
  try("dataset verify", out, "", 0, "good: 3 episodes");
  snprintf(more, sizeof(more), "--episodes 6 --overwrite --out '%s'", out);
  try("dataset drop", a, more, 2, "expected episodes of 0 to 5 such as 3,7-9, found \"6\"");
  snprintf(more, sizeof(more), "--share 0.5 --overwrite --out '%s' --rest '%s'", out, b);
  try("dataset split", a, more, 0, "3 episodes, 36 rows\n");
  try("dataset verify", b, "", 0, "good: 3 episodes");
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_good),
      cmocka_unit_test(test_folders_that_contradict_themselves),
      cmocka_unit_test(test_weights_that_are_not_numbers),
      cmocka_unit_test(test_other_things),
      cmocka_unit_test(test_dataset_commands),
      cmocka_unit_test(test_dataset_edits),
      cmocka_unit_test(test_what_python_has),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
