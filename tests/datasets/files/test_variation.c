// The column of variations: written, read back, checked, gone on with and exchanged; files without
// it stay what they are.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <hdf5.h>

#include "datasets/exchange.h"
#include "tests/datasets/toy_dataset.h"

enum { EPISODES = 5 };

static UsDatasetInfo varied_info(void) {
  UsDatasetInfo info = toy_info();
  info.variation = TOY_VARIATION;
  strcpy(info.variation_names, "light_level,mass");
  strcpy(info.variation_range, "test");
  return info;
}

static void write_varied(const char* path, int64_t episodes, int done) {
  UsDatasetInfo info = varied_info();
  UsDatasetWriter* w;
  assert_int_equal(us_dataset_create(path, &info, episodes, TOY_ROWS, 1, &w), US_OK);
  for (int64_t e = 0; e < done; e++) assert_int_equal(toy_append(w, e, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
}

static UsDataset* open_good(const char* path) {
  UsDataset* d;
  if (us_dataset_open(path, &d) != US_OK) fail_msg("%s", us_message());
  return d;
}

static void check_content(const char* path, int episodes) {
  UsDataset* d = open_good(path);
  const UsDatasetInfo* info = us_dataset_info(d);
  assert_int_equal(info->episodes, episodes);
  assert_int_equal(info->variation, TOY_VARIATION);
  assert_string_equal(info->variation_names, "light_level,mass");
  assert_string_equal(info->variation_range, "test");
  for (int64_t row = 0; row < info->rows; row++) {
    for (int i = 0; i < TOY_VARIATION; i++) {
      assert_true(us_dataset_variation(d)[row * TOY_VARIATION + i] ==
                  toy_variation(row / TOY_ROWS, i));
    }
  }
  us_dataset_close(d);
}

static void numbers_come_back(void** state) {
  write_varied(toy_path("v.h5"), EPISODES, EPISODES);
  check_content(toy_path("v.h5"), EPISODES);
  write_varied(toy_path("packed.h5"), EPISODES, 3);  // copied into a smaller file
  check_content(toy_path("packed.h5"), 3);
  UsVerdict v;
  assert_int_equal(us_dataset_verify(toy_path("v.h5"), 0, 0, &v), US_OK);
  assert_int_equal(v.ours, 1);
  assert_int_equal(v.info.variation, TOY_VARIATION);
}

static void other_files_have_none(void** state) {
  toy_write(toy_path("plain.h5"), EPISODES, EPISODES, 0);
  UsDataset* d = open_good(toy_path("plain.h5"));
  assert_int_equal(us_dataset_info(d)->variation, 0);
  assert_string_equal(us_dataset_info(d)->variation_names, "");
  assert_null(us_dataset_variation(d));
  us_dataset_close(d);
  hid_t file = H5Fopen(toy_path("plain.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(H5Lexists(file, "variation", H5P_DEFAULT) == 0);
  assert_true(H5Aexists(file, "variation_names") == 0);
  H5Fclose(file);
}

// The hash of a file without variation was taken before there were any.
static void hashes_tell_variations_apart(void** state) {
  char plain[US_HASH_CHARS], varied[US_HASH_CHARS], named[US_HASH_CHARS];
  toy_write(toy_path("plain.h5"), EPISODES, EPISODES, 0);
  write_varied(toy_path("v.h5"), EPISODES, EPISODES);
  UsDataset* d = open_good(toy_path("plain.h5"));
  assert_int_equal(us_dataset_hash(d, plain), US_OK);
  us_dataset_close(d);
  d = open_good(toy_path("v.h5"));
  assert_int_equal(us_dataset_hash(d, varied), US_OK);
  us_dataset_close(d);
  UsDatasetInfo info = varied_info();
  strcpy(info.variation_names, "light_level,size");
  UsDatasetWriter* w;
  assert_int_equal(us_dataset_create(toy_path("n.h5"), &info, EPISODES, TOY_ROWS, 1, &w), US_OK);
  for (int64_t e = 0; e < EPISODES; e++) assert_int_equal(toy_append(w, e, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  d = open_good(toy_path("n.h5"));
  assert_int_equal(us_dataset_hash(d, named), US_OK);
  us_dataset_close(d);
  assert_string_not_equal(plain, varied);
  assert_string_not_equal(named, varied);
  assert_string_equal(plain, "b558b61694e315a17813bb5759b8284d99751332b2c0f9a13c9b6f02707092fd");
}

// ---- going on ----

static void refuse_resume(const UsDatasetInfo* info, const char* word) {
  UsDatasetWriter* w;
  int64_t done;
  assert_int_not_equal(
      us_dataset_resume(toy_path("part.h5"), info, EPISODES + 1, TOY_ROWS, &done, &w), US_OK);
  if (!strstr(us_message(), word)) fail_msg("expected \"%s\" in: %s", word, us_message());
  assert_null(w);
}

static void runs_go_on_with_their_own_variation(void** state) {
  const char* path = toy_path("part.h5");
  write_varied(path, EPISODES, 2);
  UsDatasetInfo info = varied_info();
  UsDatasetWriter* w;
  int64_t done;
  assert_int_equal(us_dataset_resume(path, &info, EPISODES, TOY_ROWS, &done, &w), US_OK);
  assert_int_equal(done, 2);
  for (int64_t e = done; e < EPISODES; e++) assert_int_equal(toy_append(w, e, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  check_content(path, EPISODES);
  strcpy(info.variation_range, "train");
  refuse_resume(&info, "range of the variation: expected \"train\" to go on with, found \"test\"");
  info = varied_info();
  strcpy(info.variation_names, "light_level,size");
  refuse_resume(&info, "variation: expected \"light_level,size\"");
  info = toy_info();
  refuse_resume(&info, "variation: expected \"\"");
  toy_write(path, EPISODES, EPISODES, 0);
  info = varied_info();
  refuse_resume(&info, "found \"\"");
}

// ---- exchange ----

static void other_programs_get_it_and_give_it_back(void** state) {
  UsImportNotes notes;
  char left[US_LEFT_CHARS];
  write_varied(toy_path("v.h5"), EPISODES, EPISODES);
  assert_int_equal(us_dataset_convert(toy_path("v.h5"), toy_path("c.h5"), 2, 1, left), US_OK);
  UsVerdict v;
  const UsImport config = {.task = "toy", .overwrite = 1};
  assert_int_equal(us_dataset_verify(toy_path("c.h5"), 0, 0, &v), US_OK);
  assert_int_equal(v.ours, 0);
  assert_int_equal(v.info.variation, TOY_VARIATION);
  UsStatus status = us_dataset_import(toy_path("c.h5"), toy_path("back.h5"), &config, &v, &notes);
  if (status != US_OK) fail_msg("%s", us_message());
  assert_string_equal(v.left, "");
  check_content(toy_path("back.h5"), EPISODES);
}

// ---- damage ----

// Writes one number into the column of a file.
static void damage(const char* path, hsize_t row, hsize_t column, float value) {
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  hid_t data = H5Dopen2(file, "variation", H5P_DEFAULT), space = H5Dget_space(data);
  const hsize_t at[2] = {row, column}, one[2] = {1, 1};
  H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, one, NULL);
  hid_t memory = H5Screate_simple(2, one, NULL);
  assert_true(H5Dwrite(data, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, &value) >= 0);
  H5Sclose(memory), H5Sclose(space), H5Dclose(data), H5Fclose(file);
}

static void refuse(const char* path, const char* word) {
  UsDataset* d;
  UsVerdict v;
  for (int how = 0; how < 2; how++) {
    UsStatus status = how ? us_dataset_verify(path, 0, 0, &v) : us_dataset_open(path, &d);
    assert_int_equal(status, US_FORMAT);
    if (!strstr(us_message(), word)) fail_msg("expected \"%s\" in: %s", word, us_message());
    assert_null(strchr(us_message(), '\n'));
  }
}

static void wrong_numbers_are_refused(void** state) {
  const char* path = toy_path("bad.h5");
  write_varied(path, EPISODES, EPISODES);
  damage(path, 2 * TOY_ROWS + 3, 1, 0.123f);
  refuse(path, "variation, row 27 (episode 2): expected the numbers of the episode's first row");
  write_varied(path, EPISODES, EPISODES);
  damage(path, TOY_ROWS, 0, 1.5f);
  refuse(path, "variation, row 12 (episode 1): expected a number in [-1, 1], found 1.5");
  const float no_numbers[] = {NAN, INFINITY, -INFINITY, -1.0001f};
  for (int i = 0; i < 4; i++) {
    write_varied(path, EPISODES, EPISODES);
    damage(path, 0, 0, no_numbers[i]);
    refuse(path, "variation, row 0 (episode 0): expected a number in [-1, 1]");
  }
}

static void wrong_names_are_refused(void** state) {
  const char* path = toy_path("bad.h5");
  UsDatasetInfo info = varied_info();
  strcpy(info.variation_names, "light_level");
  UsDatasetWriter* w;
  assert_int_equal(us_dataset_create(path, &info, 1, TOY_ROWS, 1, &w), US_OK);
  assert_int_equal(toy_append(w, 0, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  refuse(path, "variation: expected 1 numbers a row as attribute variation_names has, found 2");
  write_varied(path, EPISODES, EPISODES);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  H5Ldelete(file, "variation", H5P_DEFAULT);
  H5Fclose(file);
  refuse(path, "variation: expected 2 numbers a row as attribute variation_names has, found 0");
}

// A column of that name without names for its numbers is another program's affair.
static void columns_without_names_are_left_alone(void** state) {
  const char* path = toy_path("foreign.h5");
  write_varied(path, EPISODES, EPISODES);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  H5Adelete(file, "variation_names");
  H5Fclose(file);
  damage(path, 0, 0, 99);
  UsDataset* d = open_good(path);
  assert_int_equal(us_dataset_info(d)->variation, 0);
  us_dataset_close(d);
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  toy_folder();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_come_back),
      cmocka_unit_test(other_files_have_none),
      cmocka_unit_test(hashes_tell_variations_apart),
      cmocka_unit_test(runs_go_on_with_their_own_variation),
      cmocka_unit_test(other_programs_get_it_and_give_it_back),
      cmocka_unit_test(wrong_numbers_are_refused),
      cmocka_unit_test(wrong_names_are_refused),
      cmocka_unit_test(columns_without_names_are_left_alone),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
