// Import of other programs' files and export for their loaders.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "datasets/exchange.h"
#include "tests/datasets/foreign_file.h"
#include "tests/datasets/toy_dataset.h"

static const UsImport plain = {.task = "pusht", .dt = 0.1};

static void write_foreign(Writer writer, void (*change)(Foreign* f), const char* path) {
  Foreign f = foreign_make(writer);
  if (change) change(&f);
  foreign_write(&f, path);
}

// What the last import said of itself.
static UsVerdict v;
static UsImportNotes notes;
static char left[US_LEFT_CHARS];

static UsDataset* import(const char* path, const char* out, const UsImport* config) {
  UsStatus status = us_dataset_import(path, out, config, &v, &notes);
  if (status != US_OK) print_error("%s\n", us_message());
  assert_int_equal(status, US_OK);
  UsDataset* d;
  assert_int_equal(us_dataset_open(out, &d), US_OK);
  return d;
}

static void refuse(const char* path, const char* out, const UsImport* config, const char* word) {
  assert_int_not_equal(us_dataset_import(path, out, config, &v, &notes), US_OK);
  if (!strstr(us_message(), word)) fail_msg("expected \"%s\" in: %s", word, us_message());
  assert_null(strchr(us_message(), '\n'));
}

// All rows but the last of each episode, whose action is NaN.
static void check_rows(UsDataset* d, const Foreign* f, double step) {
  const UsDatasetInfo* info = us_dataset_info(d);
  assert_int_equal(info->rows, FOREIGN_ROWS);
  assert_int_equal(info->episodes, FOREIGN_EPISODES);
  assert_string_equal(info->task, "pusht");
  assert_true(fabs(info->dt - step) < 1e-12);
  for (int e = 0, row = 0; e < FOREIGN_EPISODES; e++) {
    assert_int_equal(us_dataset_lengths(d)[e], f->lengths[e]);
    for (int t = 0; t < f->lengths[e]; t++, row++) {
      uint8_t frame[FOREIGN_SIDE * FOREIGN_SIDE * 3];
      float action = us_dataset_actions(d)[row * 2 + 1];
      assert_true(t == f->lengths[e] - 1 ? isnan(action) : action == f->actions[row][1]);
      assert_true(us_dataset_states(d)[row * 3 + 2] == (double)f->states[row][2]);
      assert_true(us_dataset_proprio(d)[row * 2 + 1] == f->proprio[row][1]);
      assert_true(fabs(us_dataset_times(d)[row] - step * t) < 1e-12);
      assert_int_equal(us_dataset_pixels(d, row, 1, frame), US_OK);
      assert_int_equal(frame[7], 16 * row);
    }
  }
}

static void test_every_writer(void** state) {
  const char *path = toy_path("from.h5"), *out = toy_path("to.h5");
  for (Writer w = SWM_003; w <= SWM_010; w++) {
    write_foreign(w, NULL, path);
    UsImport config = plain;
    config.overwrite = 1;
    UsDataset* d = import(path, out, &config);
    Foreign f = foreign_make(w);
    check_rows(d, &f, 0.1);
    us_dataset_close(d);
    assert_int_equal(us_dataset_verify(out, FOREIGN_SIDE, FOREIGN_SIDE, &v), US_OK);
    assert_true(v.ours);
  }
}

static void test_rotated_actions(void** state) {
  const char *path = toy_path("rotated.h5"), *out = toy_path("repaired.h5");
  write_foreign(SWM_011, NULL, path);
  UsImport config = plain;
  refuse(path, out, &config, "stable-worldmodel 0.1.1");
  assert_false(us_file_exists(out));
  config.repair = 1;
  UsDataset* d = import(path, out, &config);
  Foreign f = foreign_make(SWM_010);  // the same rows without the bug
  check_rows(d, &f, 0.1);
  us_dataset_close(d);
}

static void large(Foreign* f) {
  for (int i = 0; i < FOREIGN_ROWS; i++) {
    for (int k = 0; k < 2; k++) f->actions[i][k] *= 100;
  }
}

static void large_bounded(Foreign* f) {
  large(f);
  f->bounded = 2;
  for (int k = 0; k < 2; k++) f->bounds[0][k] = -100, f->bounds[1][k] = 300;
}

static void test_actions_are_scaled(void** state) {
  const char *path = toy_path("large.h5"), *out = toy_path("scaled.h5");
  write_foreign(SWM_010, large, path);
  UsImport config = plain;
  refuse(path, out, &config, "action, row 0 (episode 0): expected a number in [-1, 1], found 10");
  assert_false(us_file_exists(out));
  config.bound = 100;
  UsDataset* d = import(path, out, &config);
  assert_true(fabsf(us_dataset_actions(d)[0] - 0.1f) < 1e-6f);
  us_dataset_close(d);
  write_foreign(SWM_010, large_bounded, path);
  config.bound = 0;
  config.overwrite = 1;
  d = import(path, out, &config);
  assert_true(fabsf(us_dataset_actions(d)[0] - (10 - 100) / 200.0f) < 1e-6f);
  us_dataset_close(d);
}

static void rename_state(Foreign* f) {
  foreign_column(f, "state")->data = f->states;
  foreign_column(f, "state")->name = "sim_state";
}

static void drop_both(Foreign* f) {
  foreign_column(f, "state")->name = NULL;
  foreign_column(f, "proprio")->name = NULL;
}

static void test_state_from_elsewhere(void** state) {
  const char *path = toy_path("names.h5"), *out = toy_path("named.h5");
  write_foreign(SWM_010, rename_state, path);
  UsImport config = plain;
  config.state = "nothing";
  refuse(path, out, &config, "expected a column nothing");
  config.state = "sim_state";
  UsDataset* d = import(path, out, &config);
  Foreign f = foreign_make(SWM_010);
  check_rows(d, &f, 0.1);
  us_dataset_close(d);
  config.state = NULL;
  config.overwrite = 1;
  d = import(path, out, &config);  // proprio stands in
  assert_int_equal(us_dataset_info(d)->state, 2);
  assert_true(us_dataset_states(d)[5] == (double)f.proprio[2][1]);
  us_dataset_close(d);
  write_foreign(SWM_010, drop_both, path);
  d = import(path, out, &config);
  assert_int_equal(us_dataset_info(d)->state, 1);
  us_dataset_close(d);
}

static void add_times(Foreign* f) {
  for (int i = 0; i < FOREIGN_ROWS; i++) f->times[i] *= 0.5;
  foreign_add(f, "time", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, FOREIGN_ROWS, 0, NULL);
}

static void test_time(void** state) {
  const char *path = toy_path("time.h5"), *out = toy_path("timed.h5");
  write_foreign(SWM_010, NULL, path);
  UsImport config = plain;
  config.dt = 0;
  refuse(path, out, &config, "expected --dt");
  write_foreign(SWM_010, add_times, path);
  UsDataset* d = import(path, out, &config);
  Foreign f = foreign_make(SWM_010);
  check_rows(d, &f, 0.05);
  us_dataset_close(d);
  // What is told beside times of the file's own has to agree with them.
  unlink(out);
  config.fps = 10;
  refuse(path, out, &config, "of 0.05 s");
  config.fps = 1e-300;
  refuse(path, out, &config, "from 0.001 to 1000");
  config.fps = 20;
  us_dataset_close(import(path, out, &config));
}

static void bad_late(Foreign* f) {
  f->states[14][0] = INFINITY;
}

static void test_refusals_leave_nothing(void** state) {
  const char *path = toy_path("bad.h5"), *out = toy_path("never.h5");
  write_foreign(SWM_010, bad_late, path);
  refuse(path, out, &plain, "state, row 14");
  assert_false(us_file_exists(out));
  write_foreign(SWM_010, NULL, path);
  refuse(path, path, &plain, "expected another file to write to");
  us_file_write(out, "mine", 4);
  refuse(path, out, &plain, "the file exists");
  refuse(path, "/nowhere/at/all.h5", &plain, "/nowhere/at/all.h5");
  refuse(toy_path("missing.h5"), toy_path("x.h5"), &plain, "No such file");
}

static void test_folders_of_torch_files(void** state) {
  char folder[300], file[400];
  snprintf(folder, sizeof(folder), "%s", toy_path("pusht_noise"));
  snprintf(file, sizeof(file), "%s/states.pth", folder);
  assert_int_equal(us_folder_make(folder), US_OK);
  refuse(folder, toy_path("x.h5"), &plain, "expected an HDF5 file, found a folder");
  assert_int_equal(us_file_write(file, "PK\3\4", 4), US_OK);
  refuse(folder, toy_path("x.h5"), &plain, "as DINO-WM writes them; understudy import dinowm");
  refuse(file, toy_path("x.h5"), &plain, "PyTorch's .pth; convert it to HDF5");
}

// ---- nothing is lost in silence ----

// The flags of the episodes' last rows as they are in one of our files.
static void check_flags(const char* path, int terminated) {
  uint8_t found[FOREIGN_ROWS] = {0};
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  hid_t column = H5Dopen2(file, "terminated", H5P_DEFAULT);
  assert_true(H5Dread(column, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, found) >= 0);
  H5Dclose(column);
  H5Fclose(file);
  Foreign f = foreign_make(SWM_010);
  for (int i = 0; i < FOREIGN_ROWS; i++) assert_int_equal(found[i], terminated && f.terminated[i]);
}

static void old_format(Foreign* f) {
  f->latest = 0;
}

static void bit_field(Foreign* f) {
  foreign_column(f, "terminated")->stored = H5T_STD_B8LE;
  foreign_column(f, "terminated")->memory = H5T_NATIVE_B8;
}

static void minus_one(Foreign* f) {
  foreign_column(f, "terminated")->stored = H5T_STD_I8LE;
  for (int i = 0; i < FOREIGN_ROWS; i++) f->terminated[i] = (int8_t)-f->terminated[i];
}

// h5py's bool, bits and bytes all arrive; what cannot is refused or said.
static void test_bools(void** state) {
  const char *path = toy_path("bools.h5"), *out = toy_path("flags.h5");
  UsImport config = plain;
  config.overwrite = 1;
  void (*const good[])(Foreign*) = {NULL, old_format, bit_field};
  for (int i = 0; i < 3; i++) {
    write_foreign(SWM_010, good[i], path);
    us_dataset_close(import(path, out, &config));
    check_flags(out, 1);
    assert_string_equal(v.left, "");
    assert_string_equal(notes.made, "truncated (1 in last rows), time (equal steps)");
  }
  write_foreign(SWM_010, minus_one, path);
  refuse(path, out, &config, "terminated, row 4 (episode 0): expected 0 or 1, found 255");
  write_foreign(SWM_010, old_format, path);
  foreign_age_bools(path);
  us_dataset_close(import(path, out, &config));
  check_flags(out, 0);
  assert_string_equal(v.left, "terminated (this HDF5 cannot open it)");
  assert_non_null(strstr(notes.made, "terminated (0)"));
}

static void add_unknown(Foreign* f) {
  static const char* const names[] = {"qvel", "line\nbreak", "pixels_crc"};
  for (int i = 0; i < 3; i++) {
    foreign_add(f, names[i], H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, 1, 3, f->wide);
  }
  foreign_column(f, "state")->data = f->states;
  foreign_column(f, "state")->name = "sim_state";
}

// More columns than a line has room for.
static void add_many(Foreign* f) {
  static char names[5][101];
  for (int i = 0; i < 5; i++) {
    memset(names[i], 'a' + i, 100);
    foreign_add(f, names[i], H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, 1, 3, f->wide);
  }
}

static void odd_values(Foreign* f) {
  f->rewards[0] = NAN;  // a reset has none
  f->rewards[2] = INFINITY;
  f->rewards[7] = NAN;
  f->actions[4][0] = f->actions[4][1] = 0.5f;
}

static void test_everything_is_said(void** state) {
  const char *path = toy_path("more.h5"), *out = toy_path("less.h5");
  UsImport config = plain;
  config.overwrite = 1;
  write_foreign(SWM_010, add_unknown, path);
  us_dataset_close(import(path, out, &config));
  assert_string_equal(v.left, "line?break, pixels_crc, qvel, sim_state");
  assert_non_null(strstr(notes.made, "state (proprio)"));
  assert_int_equal(notes.rewards + notes.actions, 0);
  write_foreign(SWM_010, add_many, path);
  us_dataset_close(import(path, out, &config));
  assert_non_null(strstr(v.left, "aaaa, bbbb"));
  assert_non_null(strstr(v.left, "cc and 2 more"));
  write_foreign(SWM_010, odd_values, path);
  us_dataset_close(import(path, out, &config));
  assert_int_equal(notes.rewards, 2);
  assert_int_equal(notes.actions, 1);
}

// A column that somebody added to a file of ours.
static void test_added_columns(void** state) {
  const char *path = toy_path("added.h5"), *out = toy_path("less_again.h5");
  toy_write(path, 3, 3, 0);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  hsize_t n = 3 * TOY_ROWS;
  hid_t space = H5Screate_simple(1, &n, NULL);
  H5Dclose(H5Dcreate2(file, "mine", H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Sclose(space);
  H5Fclose(file);
  assert_int_equal(us_dataset_convert(path, out, 0, 0, left), US_OK);
  assert_string_equal(left, "mine");
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  int64_t done;
  assert_int_equal(us_dataset_resume(path, &info, 5, TOY_ROWS, &done, &w), US_FORMAT);
  assert_non_null(
      strstr(us_message(), "only the columns of this program to go on with, found mine"));
}

// ---- convert ----

static int class_of(const char* path, const char* name, size_t* bytes) {
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), column = H5Dopen2(file, name, 0);
  hid_t type = H5Dget_type(column);
  int class = H5Tget_class(type);
  *bytes = H5Tget_size(type);
  H5Tclose(type);
  H5Dclose(column);
  H5Fclose(file);
  return class;
}

static void test_convert_and_back(void** state) {
  const char *path = toy_path("ours.h5"), *out = toy_path("theirs.h5"), *back = toy_path("back.h5");
  size_t bytes;
  toy_write(path, 4, 4, 1);
  assert_int_equal(us_dataset_convert(path, out, 10, 0, left), US_OK);
  assert_int_equal(us_dataset_convert(path, out, 10, 0, left), US_IO);
  assert_int_equal(us_dataset_convert(path, path, 10, 1, left), US_USAGE);
  assert_int_equal(class_of(out, "terminated", &bytes), H5T_ENUM);
  assert_int_equal(class_of(out, "state", &bytes), H5T_FLOAT);
  assert_int_equal(bytes, 4);
  assert_int_equal(us_dataset_verify(out, TOY_SIDE, TOY_SIDE, &v), US_OK);
  assert_false(v.ours);
  UsImport config = {.task = "toy"};
  UsDataset *a, *b = import(out, back, &config);
  assert_int_equal(us_dataset_open(path, &a), US_OK);
  const UsDatasetInfo *x = us_dataset_info(a), *y = us_dataset_info(b);
  assert_int_equal(x->rows, y->rows);
  assert_true(x->dt == y->dt && x->seed == y->seed);
  assert_memory_equal(us_dataset_lengths(a), us_dataset_lengths(b), 4 * sizeof(int32_t));
  assert_memory_equal(us_dataset_times(a), us_dataset_times(b), (size_t)x->rows * sizeof(double));
  for (int64_t i = 0; i < x->rows; i++) {
    uint8_t p[TOY_SIDE * TOY_SIDE * 3], q[TOY_SIDE * TOY_SIDE * 3];
    float d = us_dataset_actions(a)[2 * i] - us_dataset_actions(b)[2 * i];
    assert_true(fabsf(d) < 1e-6f || (isnan(d) && isnan(us_dataset_actions(b)[2 * i])));
    assert_true((float)us_dataset_states(a)[4 * i + 1] == (float)us_dataset_states(b)[4 * i + 1]);
    us_dataset_pixels(a, i, 1, p);
    us_dataset_pixels(b, i, 1, q);
    assert_memory_equal(p, q, sizeof(p));
  }
  us_dataset_close(a);
  us_dataset_close(b);
}

// Without actions another program's file is film, and so is ours for others.
static void test_film(void** state) {
  const char *path = toy_path("foreign.h5"), *out = toy_path("film.h5"),
             *back = toy_path("back.h5");
  Foreign f = foreign_make(SWM_010);
  foreign_column(&f, "action")->name = NULL;
  foreign_write(&f, path);
  UsImport config = {.task = "toy", .dt = 0.1, .overwrite = 1};
  UsDataset* d = import(path, out, &config);
  assert_true(us_dataset_info(d)->action == 0 && us_dataset_info(d)->rows == FOREIGN_ROWS);
  us_dataset_close(d);
  assert_int_equal(us_dataset_convert(out, back, 1, 1, left), US_OK);
  assert_int_equal(us_dataset_verify(back, FOREIGN_SIDE, FOREIGN_SIDE, &v), US_OK);
  assert_true(v.info.action == 0 && v.info.rows == FOREIGN_ROWS);
  // What is said of clips is not for such files.
  config.keep_damaged = 1;
  assert_int_equal(us_dataset_import(path, out, &config, &v, &notes), US_USAGE);
  assert_non_null(strstr(us_message(), "film"));
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_writer),
      cmocka_unit_test(test_rotated_actions),
      cmocka_unit_test(test_actions_are_scaled),
      cmocka_unit_test(test_state_from_elsewhere),
      cmocka_unit_test(test_time),
      cmocka_unit_test(test_refusals_leave_nothing),
      cmocka_unit_test(test_folders_of_torch_files),
      cmocka_unit_test(test_bools),
      cmocka_unit_test(test_everything_is_said),
      cmocka_unit_test(test_added_columns),
      cmocka_unit_test(test_convert_and_back),
      cmocka_unit_test(test_film),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
