// The feature cache, of floats and of bfloat16: rows are the encoder's, an interrupted run goes on,
// damage, other keys and numbers of the other kind are computed anew.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "datasets/features.h"
#include "tests/datasets/toy_dataset.h"
#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/crc32c.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/progress.h"

enum { kEpisodes = 60, kRows = kEpisodes * TOY_ROWS, kHeader = 4096 };

// Where encoders compute, which says how features are kept.
static UsDevice* device;

static UsEncoder* make_encoder(double scale) {
  double mean[TOY_STATE], std[TOY_STATE];
  for (int i = 0; i < TOY_STATE; i++) {
    mean[i] = 100 + i;
    std[i] = scale + i;
  }
  UsEncoder* e;
  assert_int_equal(us_encoder_make_state(TOY_STATE, mean, std, device, &e), US_OK);
  return e;
}

static UsDataset* make_data(const char* path) {
  toy_write(path, kEpisodes, kEpisodes, 0);
  UsDataset* d;
  assert_int_equal(us_dataset_open(path, &d), US_OK);
  return d;
}

static size_t row_floats(const UsFeatures* f) {
  return (size_t)us_features_tokens(f) * (size_t)us_features_dim(f);
}

static size_t row_bytes(const UsFeatures* f) {
  return row_floats(f) * (us_device_bfloat(device) ? sizeof(uint16_t) : sizeof(float));
}

// Compares a row with what the encoder makes of it.
static void check_row(const UsFeatures* f, const UsDataset* d, const UsEncoder* e, int64_t row) {
  float want[64];
  uint16_t rounded[64];
  size_t n = row_floats(f);
  assert_true(n <= 64);
  us_encoder_encode(e, 1, NULL, us_dataset_states(d) + row * TOY_STATE, want, NULL);
  for (size_t i = 0; i < n; i++) rounded[i] = us_bfloat(want[i]);
  if (us_device_bfloat(device)) {
    assert_null(us_features_row(f, row));
    assert_memory_equal(us_features_bfloats(f, row), rounded, n * sizeof(uint16_t));
  } else {
    assert_null(us_features_bfloats(f, row));
    assert_memory_equal(us_features_row(f, row), want, n * sizeof(float));
  }
}

// And that they are all there is in the file.
static void check_rows(const UsFeatures* f, const UsDataset* d, const UsEncoder* e) {
  struct stat info;
  for (int64_t row = 0; row < kRows; row++) check_row(f, d, e, row);
  assert_int_equal(stat(us_features_path(f), &info), 0);
  assert_int_equal(info.st_size, kHeader + kRows * (off_t)row_bytes(f));
}

static void test_rows_for_any_threads(void** state) {
  const char* path = toy_path("rows.h5");
  UsDataset* d = make_data(path);
  UsEncoder* e = make_encoder(2);
  for (int threads = 1; threads <= 2; threads++) {
    UsPool* pool = us_pool_create(threads);
    UsFeatures* f;
    assert_int_equal(us_features_open(d, e, NULL, pool, &f), US_OK);
    check_rows(f, d, e);
    assert_non_null(strstr(us_features_path(f), "rows.features-"));
    unlink(us_features_path(f));
    us_features_close(f);
    us_pool_destroy(pool);
  }
  us_features_close(NULL);
  us_encoder_destroy(e);
  us_dataset_close(d);
}

// A mark in the first number of a row, as the file has it; numbers of both kinds hold it.
static void poke(const char* path, off_t offset, float value) {
  const uint16_t rounded = us_bfloat(value);
  size_t size = us_device_bfloat(device) ? sizeof(rounded) : sizeof(value);
  int fd = open(path, O_RDWR);
  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, size == 2 ? (const void*)&rounded : &value, size, offset), size);
  close(fd);
}

// Writes the checksum of the rows that are done, as a run that left them would have.
static void sign(const char* path) {
  void* data;
  size_t size;
  int64_t done;
  assert_int_equal(us_file_read(path, 0, &data, &size), US_OK);
  memcpy(&done, (char*)data + 40, sizeof(done));
  const size_t rows = (size - kHeader) / kRows * (size_t)done;
  const int64_t crc = us_crc32c(0, (char*)data + kHeader, rows);
  int fd = open(path, O_RDWR);
  assert_int_equal(pwrite(fd, &crc, sizeof(crc), 56), sizeof(crc));
  close(fd);
  free(data);
}

// The first number of row 0.
static float mark(const UsFeatures* f) {
  const float* row = us_features_row(f, 0);
  return row ? row[0] : us_bfloat_wide(us_features_bfloats(f, 0)[0]);
}

static int always(void* data) {
  return 1;
}

// A run that is told to stop while it computes what a cache lacks.
static void stop_child(const char* path, double scale) {
  pid_t child = fork();
  if (child == 0) {
    UsDataset* d;
    UsFeatures* f;
    char hash[US_HASH_CHARS];
    if (us_dataset_open(path, &d) != US_OK || us_dataset_hash(d, hash) != US_OK) _exit(1);
    UsEncoder* e = make_encoder(scale);
    us_hooks_set((UsHooks){.stop = always});
    UsStatus status = us_features_open(d, e, NULL, NULL, &f);
    _exit(status == US_INTERRUPTED && !f && strstr(us_message(), "100 of 720") ? 0 : 1);
  }
  int how;
  waitpid(child, &how, 0);
  assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

// Makes a whole cache one of which 100 rows are done.
static void cut_cache(const char* path, size_t row) {
  const int64_t done = 100;
  int fd = open(path, O_RDWR);
  assert_int_equal(pwrite(fd, &done, sizeof(done), 40), sizeof(done));  // behind the sizes
  close(fd);
  poke(path, kHeader + (off_t)(100 * row), 999);
  sign(path);
}

static void test_interrupted_run_goes_on(void** state) {
  const char* path = toy_path("resume.h5");
  UsDataset* d = make_data(path);
  UsEncoder* e = make_encoder(2);
  UsFeatures* f;
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
  char cache[256];
  snprintf(cache, sizeof(cache), "%s", us_features_path(f));
  size_t row = row_bytes(f);
  us_features_close(f);
  cut_cache(cache, row);
  stop_child(path, 2);
  poke(cache, kHeader, 4352);  // a mark in a row that is done
  sign(cache);
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
  assert_true(mark(f) == 4352);
  for (int64_t row = 1; row < kRows; row++) check_row(f, d, e, row);
  us_features_close(f);
  us_encoder_destroy(e);
  us_dataset_close(d);
}

static void test_cache_is_used_again(void** state) {
  const char* path = toy_path("again.h5");
  UsDataset* d = make_data(path);
  UsEncoder* e = make_encoder(2);
  UsFeatures* f;
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
  poke(us_features_path(f), kHeader, 77);
  sign(us_features_path(f));
  us_features_close(f);
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
  assert_true(mark(f) == 77);
  us_features_close(f);
  us_dataset_close(d);
  d = make_data(path);  // the same content in a new file
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
  assert_true(mark(f) == 77);
  us_features_close(f);
  us_encoder_destroy(e);
  us_dataset_close(d);
}

// Rows that are not what was written are made anew: a changed number, first or last.
static void test_damaged_rows(void** state) {
  UsDataset* d = make_data(toy_path("damaged.h5"));
  UsEncoder* e = make_encoder(2);
  UsFeatures* f;
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
  const off_t last = kHeader + (off_t)((kRows - 1) * row_bytes(f));
  for (int i = 0; i < 2; i++) {
    poke(us_features_path(f), i ? last : kHeader, 77);
    us_features_close(f);
    assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
    check_rows(f, d, e);
  }
  us_features_close(f);
  us_encoder_destroy(e);
  us_dataset_close(d);
}

static void test_other_encoder_or_data(void** state) {
  const char* path = toy_path("other.h5");
  UsDataset* d = make_data(path);
  UsEncoder *e = make_encoder(2), *other = make_encoder(3);
  UsFeatures *f, *g;
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
  assert_int_equal(us_features_open(d, other, NULL, NULL, &g), US_OK);
  assert_string_not_equal(us_features_path(f), us_features_path(g));
  check_rows(f, d, e);
  check_rows(g, d, other);
  us_features_close(f);
  us_features_close(g);
  us_dataset_close(d);
  toy_write(path, kEpisodes, kEpisodes - 1, 0);
  assert_int_equal(us_dataset_open(path, &d), US_OK);
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
  check_row(f, d, e, 7);
  us_features_close(f);
  us_encoder_destroy(e);
  us_encoder_destroy(other);
  us_dataset_close(d);
}

// A film's features are those of its trajectories, whose actions no encoder reads: of states and of
// frames. Other states have others.
static void test_film_has_the_same(void** state) {
  const char* path = toy_path("film.h5");
  static uint8_t frames[4 * TOY_SIDE * TOY_SIDE * 3];
  for (size_t i = 0; i < sizeof(frames); i++) frames[i] = (uint8_t)(i * i % 251);
  UsEncoder* e[2] = {make_encoder(2), NULL};
  assert_int_equal(us_encoder_make_pca(2, 4, TOY_SIDE, TOY_SIDE, frames, NULL, device, &e[1]),
                   US_OK);
  for (int i = 0; i < 2; i++) {
    UsDataset *d = make_data(path), *film, *other;
    UsFeatures *f, *g;
    assert_int_equal(us_dataset_open_film(path, &film), US_OK);
    assert_int_equal(us_features_open(d, e[i], NULL, NULL, &f), US_OK);
    poke(us_features_path(f), kHeader, 77);
    sign(us_features_path(f));
    assert_int_equal(us_features_open(film, e[i], NULL, NULL, &g), US_OK);
    assert_string_equal(us_features_path(f), us_features_path(g));
    assert_true(mark(g) == 77);
    us_features_close(g);
    toy_write(path, kEpisodes, kEpisodes - 1, 0);
    assert_int_equal(us_dataset_open(path, &other), US_OK);
    assert_int_equal(us_features_open(other, e[i], NULL, NULL, &g), US_OK);
    assert_string_not_equal(us_features_path(f), us_features_path(g));
    us_features_close(f);
    us_features_close(g);
    us_dataset_close(d);
    us_dataset_close(film);
    us_dataset_close(other);
    us_encoder_destroy(e[i]);
  }
}

static void test_damaged_cache_is_computed_anew(void** state) {
  const char* path = toy_path("damaged.h5");
  UsDataset* d = make_data(path);
  UsEncoder* e = make_encoder(2);
  UsFeatures* f;
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
  char cache[256];
  snprintf(cache, sizeof(cache), "%s", us_features_path(f));
  us_features_close(f);
  const off_t length[] = {0, 10, 500, kHeader, kHeader + 100};
  for (size_t i = 0; i < sizeof(length) / sizeof(*length); i++) {
    assert_int_equal(truncate(cache, length[i]), 0);
    assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
    assert_string_equal(us_features_path(f), cache);
    check_rows(f, d, e);
    us_features_close(f);
  }
  assert_int_equal(us_file_write(cache, "not a cache", 11), US_OK);
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
  check_rows(f, d, e);
  us_features_close(f);
  us_encoder_destroy(e);
  us_dataset_close(d);
}

// Two kinds of one data and encoder have a file each; one that stands under the other's name, whole
// or with a size that would fit, is not read.
static void test_kinds_apart(void** state) {
  const char* path = toy_path("kinds.h5");
  char cache[2][256];
  UsDevice* before = device;
  UsDataset* d = make_data(path);
  UsFeatures* f;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(us_device_open("cpu", i ? US_FAST_FEATURES : 0, &device), US_OK);
    UsEncoder* e = make_encoder(2);
    assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
    check_rows(f, d, e);
    snprintf(cache[i], sizeof(cache[i]), "%s", us_features_path(f));
    us_features_close(f);
    us_encoder_destroy(e);
  }
  assert_string_not_equal(cache[0], cache[1]);
  // The present kind is bfloat16.
  UsEncoder* e = make_encoder(2);
  void* whole;
  size_t size, other;
  for (int forged = 0; forged < 3; forged++) {
    char* bytes;
    assert_int_equal(us_file_read(cache[forged == 0 ? 0 : 1], 0, &whole, &size), US_OK);
    bytes = whole;
    other = size;
    // Of this key, but said to be floats, of this size and of that of floats.
    if (forged) memset(bytes + 48, 0, 8);
    if (forged == 2) other = kHeader + 2 * (size - kHeader);
    assert_int_equal(us_file_write(cache[1], bytes, size), US_OK);
    assert_int_equal(truncate(cache[1], (off_t)other), 0);
    free(whole);
    assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_OK);
    assert_string_equal(us_features_path(f), cache[1]);
    check_rows(f, d, e);
    us_features_close(f);
  }
  us_encoder_destroy(e);
  us_dataset_close(d);
  device = before;
}

static void test_refusals(void** state) {
  const char* path = toy_path("refused.h5");
  UsDataset* d = make_data(path);
  double mean[3] = {0, 0, 0}, std[3] = {1, 1, 1};
  UsEncoder* narrow;
  assert_int_equal(us_encoder_make_state(3, mean, std, NULL, &narrow), US_OK);
  UsFeatures* f = (void*)1;
  assert_int_equal(us_features_open(d, narrow, NULL, NULL, &f), US_FORMAT);
  assert_null(f);
  assert_non_null(strstr(us_message(), path));
  assert_non_null(strstr(us_message(), "expected states of 3 numbers"));
  us_encoder_destroy(narrow);
  static uint8_t frames[4 * 8 * 6 * 3];
  for (size_t i = 0; i < sizeof(frames); i++) frames[i] = (uint8_t)(i * i % 251);
  assert_int_equal(us_encoder_make_pca(2, 4, 8, 6, frames, NULL, NULL, &narrow), US_OK);
  assert_int_equal(us_features_open(d, narrow, NULL, NULL, &f), US_FORMAT);
  assert_non_null(strstr(us_message(), "expected frames of 6 x 8 for the encoder, found 4 x 4"));
  us_encoder_destroy(narrow);
  us_dataset_close(d);
}

// ---- other places ----

static void shell(const char* line) {
  if (system(line) != 0) fail_msg("%s", line);
}

// A dataset of one episode in a folder of its own, all of one time of change.
static UsDataset* make_small(const char* folder, int64_t e) {
  char path[300];
  const struct timespec times[2] = {{1000, 0}, {1000, 0}};
  assert_int_equal(us_folder_make(folder), US_OK);
  snprintf(path, sizeof(path), "%s/x.h5", folder);
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  assert_int_equal(us_dataset_create(path, &info, 1, TOY_ROWS, 1, &w), US_OK);
  assert_int_equal(toy_append(w, e, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
  UsDataset* d;
  assert_int_equal(us_dataset_open(path, &d), US_OK);
  return d;
}

// Opens the features at a place and compares the last row.
static void check_place(UsDataset* d, const UsFeaturesPlace* place, const char* where) {
  UsEncoder* e = make_encoder(2);
  UsFeatures* f;
  UsStatus status = us_features_open(d, e, place, NULL, &f);
  if (status != US_OK) fail_msg("%s", us_message());
  assert_ptr_equal(strstr(us_features_path(f), where), us_features_path(f));
  check_row(f, d, e, TOY_ROWS - 1);
  us_features_close(f);
  us_encoder_destroy(e);
}

// Two files of one name, size and time of change share a folder and are not taken for each other.
static void test_shared_folder(void** state) {
  const char* cache = toy_path("cache/deep");
  UsDataset *a = make_small(toy_path("a"), 3), *b = make_small(toy_path("b"), 4);
  const UsFeaturesPlace place = {.folder = cache, .spare = "/nowhere"};
  for (int again = 0; again < 2; again++) {
    check_place(a, &place, cache);
    check_place(b, &place, cache);
  }
  char line[400];
  snprintf(line, sizeof(line), "! ls %s/*/x.features-* 2>/dev/null && [ $(ls %s | wc -l) = 2 ]",
           toy_folder(), cache);
  shell(line);
  us_dataset_close(a);
  us_dataset_close(b);
}

static char said[512];

static void hear(void* data, const char* line) {
  snprintf(said, sizeof(said), "%s", line);
}

// Data that lies where nothing can be written; needs root.
static void test_read_only_data(void** state) {
  const char *folder = toy_path("still"), *spare = toy_path("model");
  mkdir(folder, 0777);
  if (mount("none", folder, "tmpfs", 0, "size=1m") != 0) skip();
  UsHooks before = us_hooks_set((UsHooks){.log = hear});
  UsDataset* d = make_small(folder, 5);
  mount("none", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL);
  UsEncoder* e = make_encoder(2);
  UsFeatures* f;
  assert_int_equal(us_features_open(d, e, NULL, NULL, &f), US_IO);
  us_encoder_destroy(e);
  check_place(d, &(UsFeaturesPlace){.spare = spare}, spare);
  assert_non_null(strstr(said, "nothing can be written beside it; its features go to "));
  said[0] = 0;
  mount("none", folder, "tmpfs", MS_REMOUNT, NULL);
  check_place(d, &(UsFeaturesPlace){.spare = spare}, folder);
  mount("none", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL);
  check_place(d, &(UsFeaturesPlace){.spare = spare}, folder);  // what is there is read
  assert_string_equal(said, "");
  us_dataset_close(d);
  us_hooks_set(before);
  umount(folder);
}

static int teardown(void** state) {
  umount(toy_path("still"));  // of a test that failed
  toy_folder_remove();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shared_folder),
      cmocka_unit_test(test_read_only_data),
      cmocka_unit_test(test_rows_for_any_threads),
      cmocka_unit_test(test_interrupted_run_goes_on),
      cmocka_unit_test(test_cache_is_used_again),
      cmocka_unit_test(test_damaged_rows),
      cmocka_unit_test(test_other_encoder_or_data),
      cmocka_unit_test(test_film_has_the_same),
      cmocka_unit_test(test_damaged_cache_is_computed_anew),
      cmocka_unit_test(test_kinds_apart),
      cmocka_unit_test(test_refusals),
  };
  device = us_device_cpu();
  int failed = cmocka_run_group_tests_name("floats", tests, NULL, teardown);
  US_ASSERT(us_device_open("cpu", US_FAST_FEATURES, &device) == US_OK);
  return failed + cmocka_run_group_tests_name("bfloat16", tests, NULL, teardown);
}
