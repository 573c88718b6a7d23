// Import of frames as other programs keep them, of files that do not say where episodes end, and of
// hostile ones.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "datasets/exchange.h"
#include "tests/datasets/foreign_file.h"
#include "tests/datasets/toy_dataset.h"

enum { H = 6, W = 9, N = FOREIGN_ROWS };

static UsVerdict v;
static UsImportNotes notes;

// The number that a picture has, from 0 to 255 in steps of a whole number.
static int value(int row, int y, int x, int c) {
  return (row * 7 + y * 23 + x * 11 + c * 60) % 256;
}

// A column of frames: `channels` 0 has no axis of its own; numbers are stored as `type`, as
// low + value / 255 (high - low).
typedef struct Frames {
  int channels, planar;
  hid_t type;
  double low, high;
} Frames;

static double numbers[N * H * W * 3];

static void put_frames(Foreign* f, const Frames* how) {
  int colours = how->channels ? how->channels : 1;
  for (int row = 0; row < N; row++) {
    for (int i = 0; i < H * W * colours; i++) {
      int c = how->planar ? i / (H * W) : i % colours, at = how->planar ? i % (H * W) : i / colours;
      double part = value(row, at / W, at % W, c) / 255.0;
      numbers[row * H * W * colours + i] = how->low + part * (how->high - how->low);
    }
  }
  ForeignColumn* p = foreign_column(f, "pixels");
  p->stored = how->type;
  p->memory = H5T_NATIVE_DOUBLE;
  p->data = numbers;
  p->rank = how->channels ? 4 : 3;
  const int last[4] = {N, H, W, how->channels}, first[4] = {N, how->channels, H, W};
  for (int i = 0; i < 4; i++) p->dims[i] = (hsize_t)(how->planar ? first[i] : last[i]);
}

// Where imports go; the paths of a test live longer than many of toy_path.
static const char* out_path(void) {
  static char out[256];
  if (!out[0]) snprintf(out, sizeof(out), "%s", toy_path("out.h5"));
  return out;
}

static const char* never_path(void) {
  static char never[256];
  if (!never[0]) snprintf(never, sizeof(never), "%s", toy_path("never.h5"));
  return never;
}

static UsDataset* import(const char* path, const UsImport* config) {
  const char* out = out_path();
  UsImport c = *config;
  c.overwrite = 1;
  UsStatus status = us_dataset_import(path, out, &c, &v, &notes);
  if (status != US_OK) print_error("%s\n", us_message());
  assert_int_equal(status, US_OK);
  UsDataset* d;
  assert_int_equal(us_dataset_open(out, &d), US_OK);
  return d;
}

static void refuse(const char* path, const UsImport* config, UsStatus status, const char* word) {
  const char* out = never_path();
  UsStatus found = us_dataset_import(path, out, config, &v, &notes);
  if (found != status) print_error("%s\n", us_message());
  assert_int_equal(found, status);
  if (!strstr(us_message(), word)) fail_msg("expected \"%s\" in: %s", word, us_message());
  assert_null(strchr(us_message(), '\n'));
  assert_false(us_file_exists(out));
}

// The pixels of one row.
static void look(UsDataset* d, int row, uint8_t* pixels) {
  assert_int_equal(us_dataset_pixels(d, row, 1, pixels), US_OK);
}

// ---- kinds of frames ----

static void test_kinds(void** state) {
  const char* path = toy_path("kinds.h5");
  const struct {
    Frames frames;
    const char *range, *layout;
  } all[] = {
      {{3, 0, H5T_STD_U8LE, 0, 255}, NULL, NULL},
      {{3, 1, H5T_STD_U8LE, 0, 255}, NULL, NULL},
      {{1, 0, H5T_STD_U8LE, 0, 255}, NULL, NULL},
      {{1, 1, H5T_STD_U8LE, 0, 255}, NULL, "chw"},
      {{0, 0, H5T_STD_U8LE, 0, 255}, NULL, NULL},
      {{3, 0, H5T_IEEE_F32LE, 0, 1}, "0:1", NULL},
      {{3, 1, H5T_IEEE_F64BE, -1, 1}, "-1:1", "chw"},
      {{0, 0, H5T_IEEE_F32LE, 0, 255}, "0:255", NULL},
      {{3, 0, H5T_STD_U16LE, 0, 65535}, "0:65535", "hwc"},
  };
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
    Foreign f = foreign_make(SWM_010);
    put_frames(&f, &all[i].frames);
    foreign_write(&f, path);
    const UsImport config = {
        .task = "toy", .dt = 0.1, .range = all[i].range, .layout = all[i].layout};
    UsDataset* d = import(path, &config);
    assert_true(us_dataset_info(d)->height == H && us_dataset_info(d)->width == W);
    uint8_t pixels[H * W * 3];
    for (int row = 0; row < N; row++) {
      look(d, row, pixels);
      for (int k = 0; k < H * W * 3; k++) {
        int c = all[i].frames.channels == 3 ? k % 3 : 0;
        assert_int_equal(pixels[k], value(row, k / 3 / W, k / 3 % W, c));
      }
    }
    us_dataset_close(d);
    // Bytes as ours say nothing; all others say what they were.
    assert_true((notes.frames[0] != 0) == (i > 0));
  }
}

static void write_frames(const char* path, Frames frames) {
  Foreign f = foreign_make(SWM_010);
  put_frames(&f, &frames);
  foreign_write(&f, path);
}

// Who reads ours alone is told the way.
static void test_the_way_is_told(void** state) {
  const char* path = toy_path("way.h5");
  UsDataset* d;
  const Frames all[] = {{3, 0, H5T_IEEE_F32LE, 0, 1}, {0, 0, H5T_STD_U8LE, 0, 255}};
  const char* const words[] = {"found 32-bit float (another program's file? dataset import takes",
                               "found (15, 6, 9) (another program's file? dataset import takes"};
  for (int i = 0; i < 2; i++) {
    write_frames(path, all[i]);
    assert_int_equal(us_dataset_open(path, &d), US_FORMAT);
    assert_non_null(strstr(us_message(), words[i]));
    assert_int_equal(us_dataset_verify(path, 0, 0, &v), US_FORMAT);
    assert_non_null(strstr(us_message(), words[i]));
    char left[US_LEFT_CHARS];
    assert_int_equal(us_dataset_convert(path, never_path(), 0, 0, left), US_FORMAT);
    assert_non_null(strstr(us_message(), words[i]));
  }
}

// What is not said is asked for.
static void test_asks(void** state) {
  const char* path = toy_path("asks.h5");
  UsImport c = {.task = "toy", .dt = 0.1};
  write_frames(path, (Frames){3, 0, H5T_IEEE_F32LE, 0, 1});
  refuse(path, &c, US_USAGE,
         "pixels: numbers of 32-bit float do not say what black and white are; "
         "expected --range 0:1, 0:255 or what they are; the first frame goes "
         "from 0 to 1");
  c.range = "0:255";
  c.layout = "chw";
  refuse(path, &c, US_FORMAT, "found (15, 6, 9, 3), not as --layout says");
  c.layout = NULL;
  c.range = "1";
  refuse(path, &c, US_USAGE, "--range: expected LOW:HIGH");
  c.range = "1:0";
  refuse(path, &c, US_USAGE, "--range: expected LOW:HIGH");
  c.range = "0:0.5";
  refuse(path, &c, US_FORMAT, "expected numbers in [0, 0.5], found");
  c.range = "0:1";
  c.fit = "letterbox";
  refuse(path, &c, US_USAGE, "--fit: expected --size too");
  c.size = 8;
  c.fit = "squash";
  refuse(path, &c, US_USAGE, "--fit: expected crop, letterbox or stretch");
  c.fit = NULL;
  c.crop = "4:4:6:0";
  refuse(path, &c, US_USAGE, "expected a part within frames of 9 x 6, found 4:4:6:0");
  // (15, 3, 9, 3) is either.
  Foreign f = foreign_make(SWM_010);
  put_frames(&f, &(Frames){3, 0, H5T_STD_U8LE, 0, 255});
  foreign_column(&f, "pixels")->dims[1] = 3;
  foreign_write(&f, path);
  refuse(path, &(UsImport){.task = "toy", .dt = 0.1}, US_USAGE,
         "found (15, 3, 9, 3), whose colours may be the second or the last axis");
}

// ---- sizes ----

// The mean of a picture's colour over a part of it, of the part's share of each pixel.
static double mean(int row, double x0, double y0, double x1, double y1, int c) {
  double sum = 0;
  for (int y = 0; y < H; y++) {
    for (int x = 0; x < W; x++) {
      double wide = fmin(x1, x + 1) - fmax(x0, x), high = fmin(y1, y + 1) - fmax(y0, y);
      if (wide > 0 && high > 0) sum += wide * high * value(row, y, x, c);
    }
  }
  return sum / (x1 - x0) / (y1 - y0);
}

static void check_size(const char* path, UsImport c, const double part[4], const int place[4]) {
  UsDataset* d = import(path, &c);
  int n = c.size;
  uint8_t pixels[64 * 64 * 3];
  assert_true(us_dataset_info(d)->height == n && us_dataset_info(d)->width == n);
  for (int row = 0; row < N; row += 7) {
    look(d, row, pixels);
    for (int k = 0; k < n * n * 3; k++) {
      int x = k / 3 % n - place[2], y = k / 3 / n - place[3];
      double want = 0, sx = part[0] / place[0], sy = part[1] / place[1];
      if (x >= 0 && y >= 0 && x < place[0] && y < place[1]) {
        double left = part[2] + x * sx, top = part[3] + y * sy;
        want = mean(row, left, top, left + sx, top + sy, k % 3);
      }
      if (fabs(pixels[k] - want) > 0.51) fail_msg("row %d: %d, not %g", row, pixels[k], want);
    }
  }
  us_dataset_close(d);
}

// Smaller frames are means over areas, whatever the numbers are.
static void test_sizes(void** state) {
  const char* path = toy_path("sizes.h5");
  UsImport c = {.task = "toy", .dt = 0.1, .size = 4};
  for (int floats = 0; floats < 2; floats++) {
    write_frames(
        path, (Frames){3, floats, floats ? H5T_IEEE_F32LE : H5T_STD_U8LE, 0, floats ? 1.0 : 255.0});
    c.range = floats ? "0:1" : NULL;
    c.fit = NULL;
    c.crop = NULL;
    check_size(path, c, (double[]){6, 6, 1, 0}, (int[]){4, 4, 0, 0});
    c.fit = "crop";
    check_size(path, c, (double[]){6, 6, 1, 0}, (int[]){4, 4, 0, 0});
    c.fit = "stretch";
    check_size(path, c, (double[]){9, 6, 0, 0}, (int[]){4, 4, 0, 0});
    c.fit = "letterbox";
    check_size(path, c, (double[]){9, 6, 0, 0}, (int[]){4, 3, 0, 0});
    c.crop = "2:4:5:1";
    check_size(path, c, (double[]){2, 4, 5, 1}, (int[]){2, 4, 1, 0});
    c.fit = NULL;
    c.crop = "8:5:1:1";
    check_size(path, c, (double[]){8, 5, 1, 1}, (int[]){4, 4, 0, 0});
  }
  // A part as it is, and larger frames, whose corners are the picture's.
  c = (UsImport){.task = "toy", .dt = 0.1, .crop = "2:3:5:1", .range = "0:1"};
  UsDataset* d = import(path, &c);
  uint8_t pixels[20 * 20 * 3];
  assert_true(us_dataset_info(d)->width == 2 && us_dataset_info(d)->height == 3);
  look(d, 3, pixels);
  assert_int_equal(pixels[3], value(3, 1, 6, 0));
  us_dataset_close(d);
  c = (UsImport){.task = "toy", .dt = 0.1, .size = 20, .fit = "stretch", .range = "0:1"};
  d = import(path, &c);
  look(d, 3, pixels);
  assert_int_equal(pixels[0], value(3, 0, 0, 0));
  assert_int_equal(pixels[20 * 20 * 3 - 1], value(3, H - 1, W - 1, 2));
  // Between the first two columns, which lie 2.2 apart, in the first row.
  double at = 1.5 * W / 20 - 0.5;
  double want = value(3, 0, 0, 0) * (1 - at) + value(3, 0, 1, 0) * at;
  assert_true(fabs(pixels[3] - want) < 0.51);
  us_dataset_close(d);
}

// Ours of another size, whose frames are compared with their checksums first.
static void test_ours(void** state) {
  const char* path = toy_path("ours.h5");
  toy_write(path, 3, 3, 0);
  UsImport c = {.task = "toy", .size = 2};
  UsDataset* d = import(path, &c);
  uint8_t two[2 * 2 * 3];
  look(d, 5, two);
  double sum = 0;
  for (int y = 0; y < 2; y++) {
    for (int x = 0; x < 2; x++) sum += toy_pixel(0, 5, (y * TOY_SIDE + x) * 3);
  }
  assert_true(fabs(two[0] - sum / 4) < 0.51);
  us_dataset_close(d);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  hid_t column = H5Dopen2(file, "pixels", H5P_DEFAULT);
  uint8_t zero[3 * TOY_ROWS * TOY_SIDE * TOY_SIDE * 3] = {0};
  assert_true(H5Dwrite(column, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, zero) >= 0);
  H5Dclose(column);
  H5Fclose(file);
  refuse(path, &c, US_FORMAT, "its bytes were changed");
}

// ---- where episodes end ----

static void drop(Foreign* f, const char* name) {
  foreign_column(f, name)->name = NULL;
}

static void check_lengths(const char* path, UsImport c, int count, const int* lengths,
                          const char* made) {
  UsDataset* d = import(path, &c);
  assert_int_equal(us_dataset_info(d)->episodes, count);
  for (int e = 0; e < count; e++) assert_int_equal(us_dataset_lengths(d)[e], lengths[e]);
  if (!strstr(notes.made, made)) fail_msg("expected \"%s\" in: %s", made, notes.made);
  us_dataset_close(d);
}

static void test_episodes(void** state) {
  const char* path = toy_path("episodes.h5");
  const int own[] = {5, 4, 6}, cut[] = {7, 7, 1}, one[] = {15};
  UsImport c = {.task = "toy", .fps = 10};
  Foreign f = foreign_make(SWM_010);
  drop(&f, "ep_len");
  drop(&f, "ep_offset");
  foreign_write(&f, path);
  check_lengths(path, c, 3, own, "episodes (by episode_idx)");
  drop(&f, "episode_idx");
  foreign_write(&f, path);
  check_lengths(path, c, 3, own, "episodes (by step_idx)");
  drop(&f, "step_idx");
  foreign_write(&f, path);
  check_lengths(path, c, 3, own, "episodes (by terminated, truncated)");
  drop(&f, "terminated");
  for (int i = 0; i < N; i++) f.actions[i][0] = f.actions[i][1] = 0.5f;
  foreign_write(&f, path);
  check_lengths(path, c, 1, one, "episodes (of 500 rows)");
  c.steps = 7;
  check_lengths(path, c, 3, cut, "episodes (of 7 rows)");
  // What says where they end is believed.
  f = foreign_make(SWM_010);
  foreign_write(&f, path);
  refuse(path, &c, US_USAGE, "--steps: found ep_len");
  drop(&f, "ep_offset");
  foreign_write(&f, path);
  c.steps = 0;
  refuse(path, &c, US_FORMAT, "both columns ep_len and ep_offset or none, found ep_len");
}

// Frames alone, in a file with other things beside, need no task.
static void test_film(void** state) {
  const char* path = toy_path("film.h5");
  Foreign f = foreign_make(SWM_010);
  foreign_column(&f, "pixels")->name = "images";
  for (int i = 1; i < f.count; i++) f.column[i].name = NULL;
  foreign_write(&f, path);
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  H5Gclose(H5Gcreate2(file, "meta", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Fclose(file);
  UsImport c = {.pixels = "images", .fps = 10, .steps = 10};
  UsDataset* d = import(path, &c);
  assert_int_equal(us_dataset_info(d)->action, 0);
  assert_int_equal(us_dataset_info(d)->episodes, 2);
  assert_string_equal(us_dataset_info(d)->task, "film");
  assert_string_equal(v.left, "meta (a group)");
  us_dataset_close(d);
  c.dt = 0.1;
  refuse(path, &c, US_USAGE, "--fps or --dt");
  // Actions are of something, under whatever name.
  f = foreign_make(SWM_010);
  foreign_column(&f, "action")->data = f.actions;
  foreign_column(&f, "action")->name = "actions";
  foreign_write(&f, path);
  c = (UsImport){.action = "actions", .fps = 10};
  refuse(path, &c, US_USAGE, "expected --task");
  c.task = "toy";
  d = import(path, &c);
  assert_int_equal(us_dataset_info(d)->action, 2);
  us_dataset_close(d);
}

// ---- hostile files ----

static void flat(Foreign* f) {
  foreign_column(f, "pixels")->rank = 1;
}
static void matrix(Foreign* f) {
  foreign_column(f, "pixels")->rank = 2;
}
static void five_colours(Foreign* f) {
  foreign_column(f, "pixels")->dims[3] = 5;
}
static void no_height(Foreign* f) {
  foreign_column(f, "pixels")->dims[1] = 0;
  foreign_column(f, "pixels")->chunk = 0;
}
static void vast(Foreign* f) {
  ForeignColumn* p = foreign_column(f, "pixels");
  p->dims[0] = (hsize_t)1 << 62;
  p->memory = -1;
}
static void wide(Foreign* f) {
  ForeignColumn* p = foreign_column(f, "pixels");
  p->dims[1] = p->dims[2] = (hsize_t)1 << 31;
  p->chunk = 0;
  p->memory = -1;
}
static void no_rows(Foreign* f) {
  for (int i = 0; i < f->count; i++) {
    f->column[i].dims[0] = 0;
    f->column[i].memory = -1;
  }
}
static void no_rows_of_no_episodes(Foreign* f) {
  no_rows(f);
  drop(f, "ep_len");
  drop(f, "ep_offset");
}
static void objects(Foreign* f) {
  ForeignColumn* p = foreign_column(f, "pixels");
  p->stored = H5Tvlen_create(H5T_STD_U8LE);
  p->rank = 1;
  p->memory = -1;
}
static void bools(Foreign* f) {
  foreign_column(f, "pixels")->stored = foreign_bool();
  foreign_column(f, "pixels")->memory = H5T_NATIVE_INT8;
}
static void nan_floats(Foreign* f) {
  put_frames(f, &(Frames){3, 0, H5T_IEEE_F32LE, 0, 1});
  numbers[11 * H * W * 3 + 4] = NAN;
}
static void large_doubles(Foreign* f) {
  put_frames(f, &(Frames){3, 0, H5T_IEEE_F64LE, 0, 1});
  numbers[2] = 1e300;
}

static void test_hostile(void** state) {
  const char* path = toy_path("hostile.h5");
  const struct {
    void (*make)(Foreign*);
    const char* word;
  } all[] = {
      {flat,
       "(rows, 3, height, width), or grey (rows, height, width) with 1 or no axis of colours"},
      {flat, "found (15)"},
      {matrix, "found (15, 4)"},
      {five_colours, "found (15, 4, 4, 5)"},
      {no_height, "found (15, 0, 4, 3)"},
      {vast, "pixels: expected"},
      {wide, "pixels: expected"},
      {no_rows, "expected"},
      {no_rows_of_no_episodes, "expected"},
      {objects, "found texts or lists of any length (h5py's object)"},
      {bools, "expected frames of integers or floats, found"},
      {nan_floats, "pixels, row 11: expected numbers in [0, 1], found nan"},
      {large_doubles, "pixels, row 0: expected numbers in [0, 1], found inf"},
  };
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
    Foreign f = foreign_make(SWM_010);
    all[i].make(&f);
    foreign_write(&f, path);
    const UsImport c = {.task = "toy", .dt = 0.1, .range = "0:1", .size = 8};
    refuse(path, &c, US_FORMAT, all[i].word);
  }
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kinds), cmocka_unit_test(test_the_way_is_told),
      cmocka_unit_test(test_asks),  cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_ours),  cmocka_unit_test(test_episodes),
      cmocka_unit_test(test_film),  cmocka_unit_test(test_hostile),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
