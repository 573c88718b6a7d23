// Checksums of frames: a changed byte is found by everything that reads or copies frames, with its
// row and episode; files without checksums stay readable and stay without.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <hdf5.h>

#include "datasets/exchange.h"
#include "datasets/features.h"
#include "tests/datasets/toy_dataset.h"

enum { kFrame = TOY_SIDE * TOY_SIDE * 3 };

// Changes one byte of a row's frame in the file itself, as a failing disk does.
static void flip(const char* path, int64_t row, int byte) {
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  hid_t pixels = H5Dopen2(file, "pixels", H5P_DEFAULT);
  off_t at = (off_t)H5Dget_offset(pixels) + (off_t)row * kFrame + byte;
  H5Dclose(pixels);
  H5Fclose(file);
  int fd = open(path, O_RDWR);
  uint8_t x;
  assert_int_equal(pread(fd, &x, 1, at), 1);
  x ^= 4;
  assert_int_equal(pwrite(fd, &x, 1, at), 1);
  close(fd);
}

// Makes the file one of those that were written without checksums.
static void forget(const char* path) {
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  assert_true(H5Ldelete(file, "pixels_crc", H5P_DEFAULT) >= 0);
  H5Fclose(file);
}

static UsDataset* open_good(const char* path) {
  UsDataset* d;
  assert_int_equal(us_dataset_open(path, &d), US_OK);
  return d;
}

static void says(UsStatus status, const char* word) {
  assert_int_equal(status, US_FORMAT);
  if (!strstr(us_message(), word)) fail_msg("expected \"%s\" in: %s", word, us_message());
}

static void is_good(const char* path, int64_t episodes, int checksums) {
  UsVerdict v;
  UsStatus status = us_dataset_verify(path, 0, 0, &v);
  if (status != US_OK) fail_msg("%s", us_message());
  assert_int_equal(v.info.episodes, episodes);
  assert_int_equal(v.info.checksums, checksums);
}

// Goes on to `episodes` episodes.
static UsStatus go_on(const char* path, int64_t episodes) {
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  int64_t done;
  US_TRY(us_dataset_resume(path, &info, episodes, TOY_ROWS, &done, &w));
  for (int64_t e = done; e < episodes; e++) US_TRY(toy_append(w, e, TOY_ROWS));
  return us_dataset_finish(w);
}

static void test_every_reader_finds_it(void** state) {
  const char *path = toy_path("bad.h5"), *out = toy_path("out.h5");
  UsVerdict v;
  UsImportNotes notes;
  char left[US_LEFT_CHARS];
  toy_write(path, 6, 6, 1);
  is_good(path, 6, 1);
  UsDataset* d = open_good(path);
  int64_t row = us_dataset_offsets(d)[4] + 2;
  us_dataset_close(d);
  for (int i = 0; i < kFrame; i += 5) {
    flip(path, row, i);
    says(us_dataset_verify(path, 0, 0, &v), "episode 4");
    flip(path, row, i);
  }
  is_good(path, 6, 1);
  flip(path, row, 17);
  char word[64];
  snprintf(word, sizeof(word), "pixels, row %lld (episode 4)", (long long)row);
  says(us_dataset_verify(path, 0, 0, &v), word);
  says(us_dataset_convert(path, out, 0, 0, left), word);
  assert_false(us_file_exists(out));
  says(us_dataset_import(path, out, &(UsImport){.task = "toy"}, &v, &notes), word);
  assert_false(us_file_exists(out));
  d = open_good(path);
  static uint8_t frames[8 * kFrame];
  assert_int_equal(us_dataset_pixels(d, row - 2, 2, frames), US_OK);
  says(us_dataset_pixels(d, row - 2, 8, frames), word);
  us_dataset_close(d);
}

// What encodes a file's frames stops; it does not train on other frames.
static void test_features_find_it(void** state) {
  const char* path = toy_path("train.h5");
  toy_write(path, 3, 3, 0);
  flip(path, 13, 0);
  static uint8_t some[8 * kFrame];
  for (size_t i = 0; i < sizeof(some); i++) some[i] = (uint8_t)(i * i * 31 % 251);
  UsEncoder* e;
  assert_int_equal(us_encoder_make_pca(2, 8, TOY_SIDE, TOY_SIDE, some, NULL, NULL, &e), US_OK);
  UsDataset* d = open_good(path);
  UsFeatures* f;
  says(us_features_open(d, e, NULL, NULL, &f), "pixels, row 13 (episode 1)");
  assert_null(f);
  us_dataset_close(d);
  us_encoder_destroy(e);
}

// A copy that is wider or narrower carries them on, and does not copy what is wrong.
static void test_copies_keep_them(void** state) {
  const char* path = toy_path("wide.h5");
  toy_write(path, 3, 3, 0);
  assert_int_equal(go_on(path, 7), US_OK);
  is_good(path, 7, 1);
  flip(path, 5 * TOY_ROWS, 1);
  UsVerdict v;
  says(us_dataset_verify(path, 0, 0, &v), "pixels, row 60 (episode 5)");
  says(go_on(path, 9), "pixels, row 60 (episode 5)");
  toy_write(path, 9, 3, 0);  // packed
  is_good(path, 3, 1);
  flip(path, 2, 1);
  says(us_dataset_verify(path, 0, 0, &v), "pixels, row 2 (episode 0)");
}

static void test_conversion_has_them(void** state) {
  const char *path = toy_path("ours.h5"), *theirs = toy_path("theirs.h5");
  UsVerdict v;
  char left[US_LEFT_CHARS];
  toy_write(path, 3, 3, 1);
  assert_int_equal(us_dataset_convert(path, theirs, 0, 0, left), US_OK);
  is_good(theirs, 3, 1);
  flip(theirs, 1, 1);
  says(us_dataset_verify(theirs, 0, 0, &v), "pixels, row 1 (episode 0)");
}

static void test_files_without(void** state) {
  const char* path = toy_path("old.h5");
  toy_write(path, 3, 3, 0);
  forget(path);
  is_good(path, 3, 0);
  flip(path, 1, 1);
  is_good(path, 3, 0);
  assert_int_equal(go_on(path, 5), US_OK);
  is_good(path, 5, 0);
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_reader_finds_it), cmocka_unit_test(test_features_find_it),
      cmocka_unit_test(test_copies_keep_them),      cmocka_unit_test(test_conversion_has_them),
      cmocka_unit_test(test_files_without),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
