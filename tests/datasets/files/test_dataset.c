// Writer and reader: what is written is read, a killed writer leaves its finished episodes, and
// every kind of damage is refused by a message that names the file.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/datasets/toy_dataset.h"

static void check_content(UsDataset* d, int64_t episodes, int uneven) {
  const UsDatasetInfo* info = us_dataset_info(d);
  assert_int_equal(info->episodes, episodes);
  uint8_t frame[TOY_SIDE * TOY_SIDE * 3];
  int64_t row = 0;
  for (int64_t e = 0; e < episodes; e++) {
    int rows = toy_rows(e, uneven);
    assert_int_equal(us_dataset_lengths(d)[e], rows);
    assert_int_equal(us_dataset_offsets(d)[e], row);
    for (int t = 0; t < rows; t++, row++) {
      for (int i = 0; i < TOY_ACTION; i++) {
        float a = us_dataset_actions(d)[row * TOY_ACTION + i];
        assert_true(t == rows - 1 ? isnan(a) : a == toy_action(e, t, i));
      }
      for (int i = 0; i < TOY_PROPRIO; i++) {
        assert_true(us_dataset_proprio(d)[row * TOY_PROPRIO + i] == toy_proprio(e, t, i));
      }
      for (int i = 0; i < TOY_STATE; i++) {
        assert_true(us_dataset_states(d)[row * TOY_STATE + i] == toy_state(e, t, i));
      }
      assert_true(us_dataset_times(d)[row] == toy_time(e, t));
      assert_int_equal(us_dataset_pixels(d, row, 1, frame), US_OK);
      for (size_t i = 0; i < sizeof(frame); i++) {
        assert_int_equal(frame[i], toy_pixel(e, t, (int)i));
      }
    }
  }
  assert_int_equal(info->rows, row);
}

static UsDataset* open_good(const char* path) {
  UsDataset* d;
  UsStatus status = us_dataset_open(path, &d);
  if (status != US_OK) print_error("%s\n", us_message());
  assert_int_equal(status, US_OK);
  return d;
}

// ---- round trips ----

static void test_round_trip(void** state) {
  const char* path = toy_path("full.h5");
  toy_write(path, 5, 5, 0);
  UsDataset* d = open_good(path);
  const UsDatasetInfo* info = us_dataset_info(d);
  UsDatasetInfo want = toy_info();
  assert_string_equal(info->task, want.task);
  assert_string_equal(info->version, want.version);
  assert_string_equal(info->policy, want.policy);
  assert_string_equal(info->camera, want.camera);
  assert_true(info->seed == want.seed && info->dt == want.dt && info->finished == 1);
  assert_int_equal(info->height, TOY_SIDE);
  assert_int_equal(info->width, TOY_SIDE);
  assert_int_equal(info->action, TOY_ACTION);
  assert_int_equal(info->proprio, TOY_PROPRIO);
  assert_int_equal(info->state, TOY_STATE);
  assert_string_equal(us_dataset_path(d), path);
  check_content(d, 5, 0);
  us_dataset_close(d);
  us_dataset_close(NULL);
}

static void test_fewer_and_uneven_episodes_are_packed(void** state) {
  const char* path = toy_path("packed.h5");
  toy_write(path, 9, 4, 0);
  UsDataset* d = open_good(path);
  check_content(d, 4, 0);
  us_dataset_close(d);
  toy_write(path, 6, 6, 1);
  d = open_good(path);
  check_content(d, 6, 1);
  assert_int_equal(us_dataset_info(d)->finished, 1);
  us_dataset_close(d);
  char temporary[300];
  snprintf(temporary, sizeof(temporary), "%s.tmp", path);
  assert_false(us_file_exists(temporary));
}

static void test_no_pixels_and_proprio(void** state) {
  UsDatasetInfo info = toy_info();
  info.height = info.width = info.proprio = 0;
  UsDatasetWriter* w;
  const char* path = toy_path("blind.h5");
  assert_int_equal(us_dataset_create(path, &info, 1, TOY_ROWS, 0, &w), US_OK);
  assert_int_equal(toy_append(w, 0, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  UsDataset* d = open_good(path);
  assert_int_equal(us_dataset_info(d)->height, 0);
  assert_int_equal(us_dataset_info(d)->proprio, 0);
  assert_null(us_dataset_proprio(d));
  uint8_t pixel;
  assert_int_equal(us_dataset_pixels(d, 0, 1, &pixel), US_FORMAT);
  us_dataset_close(d);
}

static void test_existing_files_are_kept(void** state) {
  const char* path = toy_path("kept.h5");
  toy_write(path, 2, 2, 0);
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  assert_int_equal(us_dataset_create(path, &info, 2, TOY_ROWS, 0, &w), US_IO);
  assert_non_null(strstr(us_message(), path));
  assert_null(w);
  us_dataset_close(open_good(path));
  assert_int_equal(us_dataset_create("/nowhere/at/all.h5", &info, 2, TOY_ROWS, 1, &w), US_IO);
  assert_non_null(strstr(us_message(), "/nowhere/at/all.h5"));
  assert_int_equal(us_dataset_create(toy_folder(), &info, 2, TOY_ROWS, 1, &w), US_IO);
}

static void test_nothing_written_leaves_no_file(void** state) {
  const char* path = toy_path("none.h5");
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  assert_int_equal(us_dataset_create(path, &info, 2, TOY_ROWS, 0, &w), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  assert_false(us_file_exists(path));
  assert_int_equal(us_dataset_finish(NULL), US_OK);
}

// All columns have their place before the first episode: appending moves nothing.
static void test_room_is_taken_at_once(void** state) {
  const char* path = toy_path("room.h5");
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  struct stat before, after;
  assert_int_equal(us_dataset_create(path, &info, 50, TOY_ROWS, 0, &w), US_OK);
  char temporary[300];
  snprintf(temporary, sizeof(temporary), "%s.tmp", path);
  assert_int_equal(stat(temporary, &before), 0);
  assert_true(before.st_size > 50 * TOY_ROWS * TOY_SIDE * TOY_SIDE * 3);
  assert_int_equal(toy_append(w, 0, TOY_ROWS), US_OK);
  assert_int_equal(stat(path, &after), 0);
  assert_int_equal(before.st_size, after.st_size);
  assert_int_equal(us_dataset_finish(w), US_OK);
}

static void test_statistics(void** state) {
  const char* path = toy_path("statistics.h5");
  toy_write(path, 5, 3, 0);
  double sum = 0, square = 0, low = INFINITY, high = -INFINITY;
  int count = 0;
  for (int e = 0; e < 3; e++) {
    for (int t = 0; t < TOY_ROWS - 1; t++, count++) {
      double x = (double)toy_action(e, t, 1);
      sum += x;
      square += x * x;
      low = fmin(low, x);
      high = fmax(high, x);
    }
  }
  double mean = sum / count, std = sqrt(square / count - mean * mean);
  const double want[4] = {mean, std, low, high};
  static const char* const name[4] = {"action_mean", "action_std", "action_min", "action_max"};
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  for (int i = 0; i < 4; i++) {
    double found[TOY_ACTION];
    hid_t a = H5Aopen(file, name[i], H5P_DEFAULT);
    assert_true(a >= 0);
    H5Aread(a, H5T_NATIVE_DOUBLE, found);
    H5Aclose(a);
    assert_true(fabs(found[1] - want[i]) < 1e-9);
  }
  H5Fclose(file);
}

static void test_hash_sees_every_number(void** state) {
  const char* path = toy_path("hash.h5");
  char first[US_HASH_CHARS], again[US_HASH_CHARS];
  toy_write(path, 4, 4, 0);
  UsDataset* d = open_good(path);
  assert_int_equal(us_dataset_hash(d, first), US_OK);
  us_dataset_close(d);
  toy_write(path, 7, 4, 0);  // packed: another file, the same content
  d = open_good(path);
  assert_int_equal(us_dataset_hash(d, again), US_OK);
  us_dataset_close(d);
  assert_string_equal(first, again);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  hid_t pixels = H5Dopen2(file, "pixels", H5P_DEFAULT);
  static uint8_t all[4 * TOY_ROWS * TOY_SIDE * TOY_SIDE * 3];
  H5Dread(pixels, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, all);
  all[sizeof(all) - 1] ^= 1;
  H5Dwrite(pixels, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, all);
  H5Dclose(pixels);
  H5Ldelete(file, "pixels_crc", H5P_DEFAULT);  // or reading would end at the changed frame
  H5Fclose(file);
  d = open_good(path);
  assert_int_equal(us_dataset_hash(d, again), US_OK);
  us_dataset_close(d);
  assert_string_not_equal(first, again);
}

// ---- a killed writer ----

// A child that appends `done` whole episodes and dies, at once or after half of the next append has
// had its time.
static void write_and_die(const char* path, int done) {
  pid_t child = fork();
  if (child == 0) {
    UsDatasetInfo info = toy_info();
    UsDatasetWriter* w;
    if (us_dataset_create(path, &info, 20, TOY_ROWS, 1, &w) != US_OK) _exit(1);
    for (int e = 0; e < done; e++) {
      if (toy_append(w, e, toy_rows(e, 1)) != US_OK) _exit(1);
    }
    raise(SIGKILL);
  }
  int how;
  assert_int_equal(waitpid(child, &how, 0), child);
  assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
}

static void test_killed_writer(void** state) {
  const char* path = toy_path("killed.h5");
  for (int done = 1; done <= 20; done += 6) {
    write_and_die(path, done);
    UsDataset* d = open_good(path);
    assert_int_equal(us_dataset_info(d)->finished, 0);
    check_content(d, done, 1);
    us_dataset_close(d);
  }
  write_and_die(path, 0);  // before its first episode it has not touched the file that was there
  UsDataset* d = open_good(path);
  check_content(d, 19, 1);
  us_dataset_close(d);
}

static void test_killed_at_any_moment(void** state) {
  const char* path = toy_path("moment.h5");
  int readable = 0;
  for (int round = 0; round < 12; round++) {
    int tube[2];
    assert_int_equal(pipe(tube), 0);
    pid_t child = fork();
    if (child == 0) {
      UsDatasetInfo info = toy_info();
      UsDatasetWriter* w;
      if (us_dataset_create(path, &info, 100000, TOY_ROWS, 1, &w) != US_OK) _exit(1);
      for (int e = 0; toy_append(w, e, TOY_ROWS) == US_OK; e++) {
        if (write(tube[1], "x", 1) != 1) _exit(1);
      }
      _exit(1);
    }
    close(tube[1]);
    char byte;
    int seen = 0;
    while (seen < 3 + 5 * round && read(tube[0], &byte, 1) == 1) seen++;
    usleep((useconds_t)(137 * round));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(tube[0], &byte, 1) == 1) seen++;
    close(tube[0]);
    UsDataset* d = open_good(path);
    int64_t found = us_dataset_info(d)->episodes;
    assert_true(found == seen || found == seen + 1);
    check_content(d, found, 0);
    us_dataset_close(d);
    readable++;
  }
  assert_int_equal(readable, 12);
}

// ---- damage ----

// Opening must fail, name the file and say `word`.
static void refuse(const char* path, const char* word) {
  UsDataset* d = (void*)1;
  UsStatus status = us_dataset_open(path, &d);
  assert_true(status == US_FORMAT || status == US_IO);
  assert_null(d);
  if (!strstr(us_message(), path) || !strstr(us_message(), word) || strchr(us_message(), '\n')) {
    print_error("expected \"%s\" in: %s\n", word, us_message());
    fail();
  }
}

static void test_not_a_dataset(void** state) {
  refuse(toy_path("missing.h5"), "No such file");
  refuse(toy_folder(), "expected a file");
  const char* path = toy_path("text.h5");
  us_file_write(path, "", 0);
  refuse(path, "empty file");
  us_file_write(path, "just a text\n", 12);
  refuse(path, "expected an HDF5 file");
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  refuse(path, "expected a column state");
}

static void test_truncated(void** state) {
  const char* path = toy_path("whole.h5");
  toy_write(path, 4, 4, 0);
  void* bytes;
  size_t size;
  assert_int_equal(us_file_read(path, 0, &bytes, &size), US_OK);
  const char* cut = toy_path("cut.h5");
  const size_t length[] = {1,    7,        8,        96,          100,        512,
                           2048, size / 4, size / 2, size - 2048, size - 1000};
  for (size_t i = 0; i < sizeof(length) / sizeof(*length); i++) {
    assert_int_equal(us_file_write(cut, bytes, length[i]), US_OK);
    refuse(cut, "HDF5 file");
  }
  free(bytes);
}

// Replaces a column of a good file by one of another type and shape, all zero.
static void replace(const char* path, const char* name, hid_t type, int rank, const hsize_t* dims) {
  toy_write(path, 3, 3, 0);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
  if (type >= 0) {
    hid_t space = H5Screate_simple(rank, dims, NULL);
    hid_t how = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(how, H5D_FILL_TIME_ALLOC);
    hid_t column = H5Dcreate2(file, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    assert_true(column >= 0);
    H5Dclose(column);
    H5Pclose(how);
    H5Sclose(space);
  }
  H5Fclose(file);
}

static void test_columns_and_types(void** state) {
  static const char* const all[] = {"action",      "state",    "reward", "terminated", "truncated",
                                    "episode_idx", "step_idx", "time",   "ep_len",     "ep_offset"};
  const char* path = toy_path("types.h5");
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
    replace(path, all[i], -1, 0, NULL);
    refuse(path, all[i]);
  }
  hsize_t rows = 3 * TOY_ROWS, episodes = 3, fewer = 2;
  replace(path, "ep_len", H5T_STD_U32LE, 1, &episodes);
  refuse(path, "ep_len: expected signed 32-bit integer, found unsigned 32-bit integer");
  replace(path, "ep_offset", H5T_STD_U64LE, 1, &episodes);
  refuse(path, "ep_offset: expected signed 64-bit integer, found unsigned");
  replace(path, "ep_offset", H5T_STD_I64BE, 1, &episodes);
  refuse(path, "found big-endian");
  replace(path, "ep_len", H5T_IEEE_F32LE, 1, &episodes);
  refuse(path, "found 32-bit float");
  replace(path, "time", H5T_IEEE_F32LE, 1, &rows);
  refuse(path, "time: expected 64-bit float");
  replace(path, "ep_offset", H5T_STD_I64LE, 1, &fewer);
  refuse(path, "ep_offset: expected 3 rows as ep_len has, found 2");
  hsize_t shape[4] = {3 * TOY_ROWS, 4, 4, 4};
  replace(path, "pixels", H5T_STD_U8LE, 4, shape);
  refuse(path, "pixels: expected (rows");
  shape[3] = 3;
  shape[0]--;
  replace(path, "pixels", H5T_STD_U8LE, 4, shape);
  refuse(path, "pixels: expected 36 rows");
  shape[0]++;
  replace(path, "pixels", H5T_STD_U8LE, 3, shape);
  refuse(path, "pixels: expected (rows, height, width, 3), found (36, 4, 4)");
  replace(path, "action", H5T_IEEE_F32LE, 1, shape);
  refuse(path, "action: expected (rows, numbers), found (36)");
  replace(path, "state", -1, 0, NULL);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  H5Gclose(H5Gcreate2(file, "state", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Fclose(file);
  refuse(path, "expected only columns at the root, found the group state");
}

// Changes one number of a column of a good file.
static void poke(const char* path, const char* name, size_t index, hid_t type, const void* value) {
  toy_write(path, 3, 3, 0);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  hid_t column = H5Dopen2(file, name, H5P_DEFAULT);
  char all[8 * 3 * TOY_ROWS * TOY_STATE];
  size_t bytes = H5Tget_size(type);
  H5Dread(column, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, all);
  memcpy(all + index * bytes, value, bytes);
  H5Dwrite(column, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, all);
  H5Dclose(column);
  H5Fclose(file);
}

static void test_values(void** state) {
  const char* path = toy_path("values.h5");
  const float not_a_number = NAN, large = 1.5f;
  poke(path, "action", 15 * TOY_ACTION + 1, H5T_NATIVE_FLOAT, &not_a_number);
  refuse(path, "action, row 15 (episode 1): expected a finite number");
  poke(path, "action", 30 * TOY_ACTION, H5T_NATIVE_FLOAT, &large);
  refuse(path, "action, row 30 (episode 2): expected a number in [-1, 1], found 1.5");
  poke(path, "proprio", 5 * TOY_PROPRIO, H5T_NATIVE_FLOAT, &not_a_number);
  refuse(path, "proprio, row 5 (episode 0)");
  const double infinite = INFINITY, before = 0.5;
  poke(path, "state", 7 * TOY_STATE + 3, H5T_NATIVE_DOUBLE, &infinite);
  refuse(path, "state, row 7 (episode 0)");
  poke(path, "time", 14, H5T_NATIVE_DOUBLE, &before);
  refuse(path, "time, row 14 (episode 1)");
  const int one = 1, zero = 0, many = 13, negative = -2;
  poke(path, "step_idx", 0, H5T_NATIVE_INT, &one);
  refuse(path, "stable-worldmodel 0.1.1, whose collector drops the reset row");
  poke(path, "step_idx", 9, H5T_NATIVE_INT, &zero);
  refuse(path, "step_idx, row 9 (episode 0): expected 9, found 0");
  poke(path, "episode_idx", 13, H5T_NATIVE_INT, &zero);
  refuse(path, "episode_idx, row 13 (episode 1): expected 1, found 0");
  poke(path, "ep_len", 2, H5T_NATIVE_INT, &many);
  refuse(path, "ep_len, episode 2: expected its rows to end within the file's 36");
  poke(path, "ep_len", 2, H5T_NATIVE_INT, &one);
  refuse(path, "expected the file's 36 rows in total, found 25");
  poke(path, "ep_len", 1, H5T_NATIVE_INT, &zero);
  refuse(path, "ep_len, episode 1: expected at least 1 row, found 0");
  poke(path, "ep_len", 2, H5T_NATIVE_INT, &zero);
  refuse(path, "ep_len, episode 2: expected at least 1 row, found 0");
  poke(path, "ep_len", 0, H5T_NATIVE_INT, &negative);
  refuse(path, "ep_len, episode 0: expected at least 1 row, found -2");
  const int64_t far = INT64_MAX - 3, below = -1;
  poke(path, "ep_offset", 1, H5T_NATIVE_INT64, &far);
  refuse(path, "ep_offset, episode 1: expected 12");
  poke(path, "ep_offset", 0, H5T_NATIVE_INT64, &below);
  refuse(path, "ep_offset, episode 0: expected 0, found -1");
}

static void test_other_names_and_types(void** state) {
  const char* path = toy_path("foreign.h5");
  hsize_t dims[2] = {3 * TOY_ROWS, TOY_STATE};
  replace(path, "state", H5T_IEEE_F32LE, 2, dims);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  H5Lmove(file, "episode_idx", file, "ep_idx", H5P_DEFAULT, H5P_DEFAULT);
  H5Adelete(file, "finished");
  H5Adelete(file, "env_dt");
  H5Fclose(file);
  UsDataset* d = open_good(path);
  assert_int_equal(us_dataset_info(d)->finished, 1);
  assert_true(fabs(us_dataset_info(d)->dt - 0.05) < 1e-12);
  assert_true(us_dataset_states(d)[5] == 0);
  us_dataset_close(d);
}

// A file that was made without actions is film; one that has lost them is damaged.
static void test_film(void** state) {
  const char* path = toy_path("film.h5");
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  UsDataset *d, *whole;
  char a[US_HASH_CHARS], b[US_HASH_CHARS], c[US_HASH_CHARS];
  info.action = 0;
  assert_int_equal(us_dataset_create(path, &info, 3, TOY_ROWS, 1, &w), US_OK);
  for (int e = 0; e < 3; e++) assert_int_equal(toy_append(w, e, TOY_ROWS - e), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  d = open_good(path);
  assert_true(us_dataset_info(d)->action == 0 && us_dataset_info(d)->rows == 3 * TOY_ROWS - 3);
  assert_null(us_dataset_actions(d));
  assert_int_equal(us_dataset_hash(d, a), US_OK);
  assert_int_equal(us_dataset_frames_hash(d, b), US_OK);
  us_dataset_close(d);
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(H5Lexists(file, "action", H5P_DEFAULT) == 0 && H5Aexists(file, "action_low") == 0);
  H5Fclose(file);
  // Trajectories of the same frames have other content and the same frames.
  info.action = TOY_ACTION;
  assert_int_equal(us_dataset_create(toy_path("whole.h5"), &info, 3, TOY_ROWS, 1, &w), US_OK);
  for (int e = 0; e < 3; e++) assert_int_equal(toy_append(w, e, TOY_ROWS - e), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  whole = open_good(toy_path("whole.h5"));
  assert_int_equal(us_dataset_frames_hash(whole, c), US_OK);
  assert_string_equal(b, c);
  assert_int_equal(us_dataset_hash(whole, c), US_OK);
  assert_string_not_equal(a, c);
  us_dataset_close(whole);
  // One more frame is another film.
  assert_int_equal(us_dataset_create(toy_path("whole.h5"), &info, 3, TOY_ROWS, 1, &w), US_OK);
  for (int e = 0; e < 3; e++) assert_int_equal(toy_append(w, e, TOY_ROWS - e / 2), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  whole = open_good(toy_path("whole.h5"));
  assert_int_equal(us_dataset_frames_hash(whole, c), US_OK);
  assert_string_not_equal(b, c);
  us_dataset_close(whole);
  replace(path, "action", -1, 0, NULL);
  refuse(path, "expected a column action");
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_fewer_and_uneven_episodes_are_packed),
      cmocka_unit_test(test_no_pixels_and_proprio),
      cmocka_unit_test(test_existing_files_are_kept),
      cmocka_unit_test(test_nothing_written_leaves_no_file),
      cmocka_unit_test(test_room_is_taken_at_once),
      cmocka_unit_test(test_statistics),
      cmocka_unit_test(test_hash_sees_every_number),
      cmocka_unit_test(test_killed_writer),
      cmocka_unit_test(test_killed_at_any_moment),
      cmocka_unit_test(test_not_a_dataset),
      cmocka_unit_test(test_truncated),
      cmocka_unit_test(test_columns_and_types),
      cmocka_unit_test(test_values),
      cmocka_unit_test(test_other_names_and_types),
      cmocka_unit_test(test_film),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
