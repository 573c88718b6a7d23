// Film as a dataset: what libav's encoders make here comes back as frames at their times, and what
// is damaged is told in a line, or kept up to there.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "datasets/verify.h"
#include "datasets/video.h"
#include "tests/datasets/toy_dataset.h"
#include "tests/datasets/video/make_film.h"

enum {
  kWidth = 96,
  kHeight = 64,
  kRate = 30,
  kFrames = 45,
  kSide = 32,
  kBytes = 3 * kSide * kSide
};

static char out[256];  // of all imports

// Reads the clips into `out`, which has to be good.
static UsDataset* import_with(const char* const* paths, UsImport c, UsVideoNotes* notes) {
  UsVideoNotes own;
  UsDataset* d;
  UsVerdict v;
  c.overwrite = 1;
  if (us_video_import(paths, out, &c, notes ? notes : &own) != US_OK) fail_msg("%s", us_message());
  if (us_dataset_verify(out, 0, 0, &v) != US_OK) fail_msg("%s", us_message());
  assert_int_equal(us_dataset_open(out, &d), US_OK);
  assert_int_equal(us_dataset_info(d)->action, 0);
  assert_null(us_dataset_actions(d));
  return d;
}

static UsDataset* import_one(const char* path, UsImport c, UsVideoNotes* notes) {
  const char* const paths[] = {path, NULL};
  if (!c.size) c.size = kSide;
  return import_with(paths, c, notes);
}

// The import is refused in one line that names the clip and says all of `expected`; `out` is as it
// was.
static void refuse(const char* path, UsImport c, UsStatus status, const char* expected) {
  const char* const paths[] = {path, NULL};
  UsVideoNotes notes;
  remove(out);
  if (!c.size) c.size = kSide;
  UsStatus found = us_video_import(paths, out, &c, &notes);
  if (found != status || !strstr(us_message(), expected) || strchr(us_message(), '\n') ||
      (status == US_FORMAT && !strstr(us_message(), path))) {
    fail_msg("%s: expected %d \"%s\", found %d: %s", path, status, expected, found, us_message());
  }
  assert_int_equal(access(out, F_OK), -1);
}

static void expect_pixel(UsDataset* d, int64_t row, int x, int y, int r, int g, int b) {
  static uint8_t pixels[kBytes];
  assert_int_equal(us_dataset_pixels(d, row, 1, pixels), US_OK);
  const uint8_t* p = pixels + 3 * (y * kSide + x);
  if (abs(p[0] - r) > 14 || abs(p[1] - g) > 14 || abs(p[2] - b) > 14) {
    fail_msg("row %lld at %d, %d: expected %d %d %d, found %d %d %d", (long long)row, x, y, r, g, b,
             p[0], p[1], p[2]);
  }
}

static MakeFilm clip(const char* path, enum AVCodecID codec) {
  return (MakeFilm){.path = path,
                    .codec = codec,
                    .width = kWidth,
                    .height = kHeight,
                    .frames = kFrames,
                    .rate = kRate};
}

// ---- what is whole ----

static const struct {
  const char* name;
  enum AVCodecID codec;
  int whole;  // 1: the file says how long it is, or its pictures tell damage
} kinds[] = {{"a.mp4", AV_CODEC_ID_MPEG4, 1}, {"b.mp4", AV_CODEC_ID_H264, 1},
             {"c.mkv", AV_CODEC_ID_H264, 1},  {"d.avi", AV_CODEC_ID_MJPEG, 1},
             {"e.ts", AV_CODEC_ID_H264, 1},   {"f.y4m", AV_CODEC_ID_WRAPPED_AVFRAME, 0},
             {"g.webm", AV_CODEC_ID_VP9, 1}};
enum { kKinds = sizeof(kinds) / sizeof(*kinds) };

static void test_kinds(void** state) {
  int made = 0;
  for (int k = 0; k < kKinds; k++) {
    const char* path = toy_path(kinds[k].name);
    MakeFilm m = clip(path, kinds[k].codec);
    if (!film_make(&m)) continue;
    made++;
    UsVideoNotes n;
    UsDataset* d = import_one(path, (UsImport){0}, &n);
    const UsDatasetInfo* i = us_dataset_info(d);
    assert_true(i->rows == kFrames && i->episodes == 1 && i->height == kSide && i->checksums);
    assert_true(n.clips == 1 && n.pictures == kFrames && !n.repeated && !n.dropped && !n.irregular);
    // Frames stand at their times, to the millisecond that some containers have.
    for (int t = 0; t < kFrames; t++) {
      double gap = us_dataset_times(d)[t] - (double)t / kRate;
      if (fabs(gap) > 0.0011) fail_msg("%s: row %d is %g s late", kinds[k].name, t, gap);
    }
    // The square in the middle: of 96 x 64 pixels those from 16 on, red up to 48 and 32.
    for (int t = 0; t < kFrames; t += 11) {
      expect_pixel(d, t, 4, 4, 240, 10, 10);
      expect_pixel(d, t, 13, 13, 240, 10, 10);
      expect_pixel(d, t, 19, 4, 4 * t % 200, 4 * t % 200, 4 * t % 200);
      expect_pixel(d, t, 4, 19, 4 * t % 200, 4 * t % 200, 4 * t % 200);
    }
    us_dataset_close(d);
  }
  assert_true(made >= 4);
}

static void test_crop_and_turn(void** state) {
  const char* path = toy_path("turned.mp4");
  MakeFilm m = clip(path, AV_CODEC_ID_MPEG4);
  assert_true(film_make(&m));
  // A part that is told: of the left third the red half and the other.
  UsDataset* d = import_one(path, (UsImport){.crop = "32:64:0:0"}, NULL);
  expect_pixel(d, 20, 28, 4, 240, 10, 10);
  expect_pixel(d, 20, 28, 13, 240, 10, 10);
  expect_pixel(d, 20, 28, 19, 80, 80, 80);
  us_dataset_close(d);
  refuse(path, (UsImport){.crop = "64:64:40:0"}, US_FORMAT, "within pictures of 96 x 64");
  refuse(path, (UsImport){.crop = "64:64"}, US_USAGE, "--crop");
  refuse(path, (UsImport){.crop = "64:64:0:0:1"}, US_USAGE, "--crop");
  // A clip that says that it lies on its side: red moves clockwise.
  static const int right[4] = {0, 1, 1, 0}, low[4] = {0, 0, 1, 1};
  for (int turn = 90; turn < 360; turn += 90) {
    m.turn = turn;
    assert_true(film_make(&m));
    d = import_one(path, (UsImport){0}, NULL);
    int x = right[turn / 90] ? 24 : 7, y = low[turn / 90] ? 24 : 7;
    expect_pixel(d, 20, x, y, 240, 10, 10);
    expect_pixel(d, 20, 31 - x, y, 80, 80, 80);
    expect_pixel(d, 20, x, 31 - y, 80, 80, 80);
    us_dataset_close(d);
    // The part is told as it is shown: here the quarter that is red.
    const char* corner = turn == 90 ? "32:48:32:0" : turn == 180 ? "48:32:48:32" : "32:48:0:48";
    d = import_one(path, (UsImport){.crop = corner}, NULL);
    expect_pixel(d, 20, 2, 2, 240, 10, 10);
    expect_pixel(d, 20, 29, 29, 240, 10, 10);
    us_dataset_close(d);
  }
}

// What is no square is squeezed or has black around, however it is shown.
static void test_fit(void** state) {
  const char* path = toy_path("fit.mp4");
  MakeFilm m = clip(path, AV_CODEC_ID_MPEG4);
  assert_true(film_make(&m));
  UsDataset* d = import_one(path, (UsImport){.fit = "stretch"}, NULL);
  expect_pixel(d, 20, 13, 13, 240, 10, 10);
  expect_pixel(d, 20, 19, 4, 80, 80, 80);
  expect_pixel(d, 20, 30, 30, 80, 80, 80);
  us_dataset_close(d);
  // 32 x 21 of 32 x 32, then 21 x 32 of them.
  for (int turn = 0; turn < 180; turn += 90) {
    m.turn = turn;
    assert_true(film_make(&m));
    d = import_one(path, (UsImport){.fit = "letterbox"}, NULL);
    for (int i = 0; i < kSide; i++) {
      for (int k = 0; k < 5; k++) {
        expect_pixel(d, 20, turn ? k : i, turn ? i : k, 0, 0, 0);
        expect_pixel(d, 20, turn ? 31 - k : i, turn ? i : 31 - k, 0, 0, 0);
      }
    }
    expect_pixel(d, 20, turn ? 22 : 2, turn ? 2 : 9, 240, 10, 10);
    expect_pixel(d, 20, turn ? 8 : 29, turn ? 29 : 22, 80, 80, 80);
    us_dataset_close(d);
  }
  m.turn = 0;
  assert_true(film_make(&m));
  d = import_one(path, (UsImport){.fit = "crop", .crop = "48:32:0:0"}, NULL);
  expect_pixel(d, 20, 29, 29, 240, 10, 10);
  us_dataset_close(d);
  refuse(path, (UsImport){.fit = "square"}, US_USAGE, "--fit: expected crop, letterbox or stretch");
  refuse(path, (UsImport){.range = "0:1"}, US_USAGE, "--range");
}

// Greys of which no two that follow each other are alike.
static int jump(int frame) {
  return 40 + 40 * (3 * frame % 5);
}

static void jump_colour(int frame, int x, int y, uint8_t* rgb) {
  memset(rgb, jump(frame), 3);
}

static void test_times(void** state) {
  // Two ticks of 1/60 s, then one: uneven, and said to be.
  int stamps[kFrames];
  for (int i = 0; i < kFrames; i++) stamps[i] = 3 * (i / 2) + 2 * (i % 2);
  const char* path = toy_path("uneven.mkv");
  MakeFilm m = clip(path, AV_CODEC_ID_MPEG4);
  m.stamps = stamps;
  m.rate = 60;
  m.colour = jump_colour;
  assert_true(film_make(&m));
  UsVideoNotes n;
  UsDataset* d = import_one(path, (UsImport){0}, &n);
  assert_true(n.irregular == 1 && fabs(n.low - 1 / 60.0) < 2e-3 && fabs(n.high - 2 / 60.0) < 2e-3);
  for (int t = 0; t < kFrames; t++) {
    assert_true(fabs(us_dataset_times(d)[t] - stamps[t] / 60.0) < 1.1e-3);
  }
  us_dataset_close(d);
  // Equal steps take the picture that is nearest to each.
  d = import_one(path, (UsImport){.fps = 10}, &n);
  int rows = (int)us_dataset_info(d)->rows;
  assert_true(rows == stamps[kFrames - 1] / 6 + 1 && us_dataset_info(d)->dt == 0.1);
  for (int t = 0; t < rows; t++) {
    int nearest = 0;
    for (int i = 0; i < kFrames; i++) {
      if (abs(stamps[i] - 6 * t) < abs(stamps[nearest] - 6 * t)) nearest = i;
    }
    assert_true(fabs(us_dataset_times(d)[t] - 0.1 * t) < 1e-9);
    expect_pixel(d, t, 19, 19, jump(nearest), jump(nearest), jump(nearest));
  }
  us_dataset_close(d);
  // Shorter steps repeat pictures, and it is counted.
  m.stamps = NULL;
  m.rate = 10;
  assert_true(film_make(&m));
  d = import_one(path, (UsImport){.dt = 0.05}, &n);
  assert_int_equal(n.repeated, kFrames - 1);
  assert_int_equal(us_dataset_info(d)->rows, 2 * kFrames - 1);
  us_dataset_close(d);
  refuse(path, (UsImport){.dt = 0.1, .fps = 10}, US_USAGE, "--fps or --dt");
  refuse(path, (UsImport){.fps = 1e-300}, US_USAGE, "from 0.001 to 1000");
  refuse(path, (UsImport){.bound = 1}, US_USAGE, "--bound");
}

// Long clips are cut, at jumps in time too; several make one file.
static void test_episodes(void** state) {
  int stamps[kFrames];
  for (int i = 0; i < kFrames; i++) stamps[i] = i < 15 ? i : i + 30 * 60;
  const char* const paths[] = {toy_path("one.mp4"), toy_path("two.mkv"), NULL};
  MakeFilm one = clip(paths[0], AV_CODEC_ID_MPEG4), two = clip(paths[1], AV_CODEC_ID_MPEG4);
  two.stamps = stamps;
  assert_true(film_make(&one) && film_make(&two));
  static const int lengths[] = {20, 20, 5, 15, 20, 10};
  UsVideoNotes n;
  UsDataset* d = import_with(paths, (UsImport){.size = kSide, .steps = 20, .task = "mine"}, &n);
  assert_true(us_dataset_info(d)->episodes == 6 && n.clips == 2 && n.episodes == 6);
  for (int e = 0; e < 6; e++) assert_int_equal(us_dataset_lengths(d)[e], lengths[e]);
  assert_string_equal(us_dataset_info(d)->task, "mine");
  us_dataset_close(d);
  // No step is taken over the jump.
  d = import_with(paths, (UsImport){.size = kSide, .fps = 10}, &n);
  assert_int_equal(us_dataset_info(d)->rows, 15 + 5 + 10);
  us_dataset_close(d);
}

// ---- pictures ----

static void make_picture(const char* folder, int i, int width) {
  char path[512];
  snprintf(path, sizeof(path), "%s/p%d.%s", folder, i, i % 2 ? "jpg" : "PNG");
  MakeFilm m = {.path = path,
                .codec = i % 2 ? AV_CODEC_ID_MJPEG : AV_CODEC_ID_PNG,
                .width = width,
                .height = kHeight,
                .frames = 1,
                .rate = 25};
  assert_true(film_make(&m));
}

static void test_pictures(void** state) {
  char folder[256];
  snprintf(folder, sizeof(folder), "%s", toy_path("pictures"));
  mkdir(folder, 0777);
  refuse(folder, (UsImport){.fps = 10}, US_FORMAT, "found a folder without");
  // Eleven, of which 10 comes behind 9.
  for (int i = 0; i < 11; i++) make_picture(folder, i, kWidth);
  refuse(folder, (UsImport){0}, US_USAGE, "expected --fps or --dt");
  UsVideoNotes n;
  UsDataset* d = import_one(folder, (UsImport){.fps = 10}, &n);
  assert_true(us_dataset_info(d)->rows == 11 && us_dataset_info(d)->episodes == 1);
  for (int t = 0; t < 11; t++) assert_true(fabs(us_dataset_times(d)[t] - 0.1 * t) < 1e-9);
  expect_pixel(d, 10, 4, 4, 240, 10, 10);
  us_dataset_close(d);
  // One of another size, and one that is none.
  make_picture(folder, 4, kWidth / 2);
  refuse(folder, (UsImport){.fps = 10}, US_FORMAT, "found one of 48 x 64");
  d = import_one(folder, (UsImport){.fps = 10, .keep_damaged = 1}, &n);
  assert_true(us_dataset_info(d)->rows == 10 && us_dataset_info(d)->episodes == 2);
  assert_true(us_dataset_lengths(d)[0] == 4 && n.damaged == 1 && strstr(n.damage, "48 x 64"));
  us_dataset_close(d);
  make_picture(folder, 4, kWidth);
  char path[300];
  snprintf(path, sizeof(path), "%s/p6.PNG", folder);
  assert_int_equal(truncate(path, 60), 0);
  refuse(folder, (UsImport){.fps = 10}, US_FORMAT, "p6.PNG");
}

// ---- what is damaged ----

// Copies a file, of which `keep` of 100 parts are kept, with zeros from `zero` to `zero` + 10.
static void copy_damaged(const char* from, const char* to, int keep, int zero) {
  FILE *in = fopen(from, "rb"), *copy = fopen(to, "wb");
  fseek(in, 0, SEEK_END);
  long size = ftell(in);
  rewind(in);
  for (long i = 0; i < size * keep / 100; i++) {
    int c = fgetc(in);
    fputc(zero && i >= size * zero / 100 && i < size * (zero + 10) / 100 ? 0 : c, copy);
  }
  fclose(in);
  fclose(copy);
}

// A film of which nothing says how long it is: where it ends too soon its trailer is not there.
static void test_gif(void** state) {
  char path[256];
  snprintf(path, sizeof(path), "%s", toy_path("whole.gif"));
  MakeFilm m = clip(path, AV_CODEC_ID_GIF);
  if (!film_make(&m)) skip();
  UsVideoNotes n;
  UsDataset* d = import_one(path, (UsImport){0}, &n);
  assert_int_equal(us_dataset_info(d)->rows, kFrames);
  us_dataset_close(d);
  const char* cut = toy_path("cut.gif");
  copy_damaged(path, cut, 60, 0);
  refuse(cut, (UsImport){0}, US_FORMAT, "before the film does");
  d = import_one(cut, (UsImport){.keep_damaged = 1}, &n);
  assert_true(us_dataset_info(d)->rows > 0 && us_dataset_info(d)->rows < kFrames);
  us_dataset_close(d);
}

static void grain(int frame, int x, int y, uint8_t* rgb) {
  uint32_t h = (uint32_t)(x / 2) * 73856093u ^ (uint32_t)(y / 2) * 19349663u;
  h = (h ^ (uint32_t)frame * 83492791u) * 0x5bd1e995u;
  for (int i = 0; i < 3; i++) rgb[i] = (uint8_t)(h >> (8 + 8 * i));
}

// Every frame that was kept is the one of its time in the whole film.
static void expect_same(UsDataset* d, const char* path, const double* times,
                        const uint8_t* pixels) {
  static uint8_t frame[kBytes];
  for (int64_t row = 0; row < us_dataset_info(d)->rows; row++) {
    int t = 0, sum = 0;
    while (t < kFrames && fabs(times[t] - us_dataset_times(d)[row]) > 2e-3) t++;
    assert_true(t < kFrames && us_dataset_pixels(d, row, 1, frame) == US_OK);
    for (int i = 0; i < kBytes; i++) sum += abs(frame[i] - pixels[t * kBytes + i]);
    if (sum > 2 * kBytes) {
      fail_msg("%s: row %d differs by %.1f from frame %d", path, (int)row, (double)sum / kBytes, t);
    }
  }
}

static void test_damage(void** state) {
  static uint8_t pixels[kFrames * kBytes];
  static double times[kFrames];
  for (int k = 0; k < kKinds; k++) {
    char path[256], bad[256];
    snprintf(path, sizeof(path), "%s", toy_path(kinds[k].name));
    snprintf(bad, sizeof(bad), "%s", toy_path("bad-"));
    strcat(bad, kinds[k].name);
    MakeFilm m = clip(path, kinds[k].codec);
    m.colour = grain;
    if (!film_make(&m)) continue;
    UsDataset* good = import_one(path, (UsImport){0}, NULL);
    assert_int_equal(us_dataset_pixels(good, 0, kFrames, pixels), US_OK);
    memcpy(times, us_dataset_times(good), sizeof(times));
    us_dataset_close(good);
    for (int zero = 0; zero <= 50; zero += 50) {
      copy_damaged(path, bad, zero ? 100 : 55, zero);
      // Pictures without a code show no damage; where the file does not say how many they are.
      if (kinds[k].whole || zero) refuse(bad, (UsImport){0}, US_FORMAT, "--keep-damaged keeps");
      UsVideoNotes n;
      UsDataset* d = import_one(bad, (UsImport){.keep_damaged = 1}, &n);
      int64_t rows = us_dataset_info(d)->rows;
      if (rows < 12 || rows >= kFrames) fail_msg("%s: %d rows", bad, (int)rows);
      if (kinds[k].whole) assert_true(n.damaged == 1 && strstr(n.damage, bad));
      // AVI counts its pictures: behind some that are lost it is early.
      int counted = kinds[k].codec == AV_CODEC_ID_MJPEG && zero;
      if (kinds[k].whole && !counted) expect_same(d, bad, times, pixels);
      us_dataset_close(d);
    }
  }
}

// Whatever bytes change, the import ends with a file that is good or with one line.
static void test_mutations(void** state) {
  char path[256], bad[256];
  int refused = 0, all = 0;
  for (int k = 0; k < kKinds; k += 2) {
    snprintf(path, sizeof(path), "%s", toy_path(kinds[k].name));
    snprintf(bad, sizeof(bad), "%s", toy_path("mutant-"));
    strcat(bad, kinds[k].name);
    MakeFilm m = clip(path, kinds[k].codec);
    if (!film_make(&m)) continue;
    for (uint32_t seed = 1; seed <= 12; seed++) {
      copy_damaged(path, bad, 100, 0);
      FILE* f = fopen(bad, "r+b");
      fseek(f, 0, SEEK_END);
      uint32_t size = (uint32_t)ftell(f), at = seed * 2654435761u;
      for (int i = 0; i < 4; i++, at = at * 1664525u + 1013904223u) {
        fseek(f, (long)((at >> 8) % (i < 2 ? size : 200)), SEEK_SET);
        fputc((int)(at & 255), f);
      }
      fclose(f);
      const char* const paths[] = {bad, NULL};
      const UsImport c = {.size = kSide, .overwrite = 1, .keep_damaged = seed % 2};
      UsVideoNotes n;
      UsVerdict v;
      UsStatus status = us_video_import(paths, out, &c, &n);
      all++;
      refused += status != US_OK;
      if (status == US_OK) assert_int_equal(us_dataset_verify(out, kSide, kSide, &v), US_OK);
      if (status == US_OK) continue;
      int one = status == US_FORMAT && strstr(us_message(), bad) && !strchr(us_message(), '\n');
      if (!one) fail_msg("%s: %s", bad, us_message());
    }
  }
  assert_true(refused > 0 && refused < all);
}

static void write_text(const char* path, const char* text, size_t size) {
  FILE* f = fopen(path, "wb");
  fwrite(text, 1, size, f);
  fclose(f);
}

static void test_no_film(void** state) {
  char path[256], text[4096];
  snprintf(path, sizeof(path), "%s", toy_path("none.mp4"));
  refuse(path, (UsImport){0}, US_IO, "No such file");
  write_text(path, "", 0);
  refuse(path, (UsImport){0}, US_FORMAT, "found an empty file");
  for (size_t i = 0; i < sizeof(text); i++) text[i] = (char)(i * i * 31 + i);
  write_text(path, text, sizeof(text));
  refuse(path, (UsImport){0}, US_FORMAT, "expected a film that libav reads");
  // Nothing at all is none, also where damage is kept.
  refuse(path, (UsImport){.keep_damaged = 1}, US_FORMAT, "expected a film that libav reads");
  snprintf(path, sizeof(path), "%s", toy_path("none.txt"));
  memset(text, 'a', sizeof(text));
  write_text(path, text, sizeof(text));
  refuse(path, (UsImport){0}, US_FORMAT, "expected a film that libav reads");
  // A list of files opens none of them.
  snprintf(text, sizeof(text), "ffconcat version 1.0\nfile b.mp4\n");
  write_text(path, text, strlen(text));
  refuse(path, (UsImport){0}, US_FORMAT, path);
  snprintf(path, sizeof(path), "%s", toy_path("list.m3u8"));
  snprintf(text, sizeof(text), "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n%s\n#EXT-X-ENDLIST\n",
           toy_path("b.mp4"));
  write_text(path, text, strlen(text));
  refuse(path, (UsImport){0}, US_FORMAT, path);
}

// A decoder that crashes or is not there is a line, too.
static void test_helper(void** state) {
  char path[256], helper[256];
  snprintf(path, sizeof(path), "%s", toy_path("one.mp4"));
  snprintf(helper, sizeof(helper), "%s", toy_path("crash"));
  static const char crash[] = "#!/bin/sh\nkill -SEGV $$\n";
  write_text(helper, crash, strlen(crash));
  chmod(helper, 0755);
  setenv("UNDERSTUDY_FILM", helper, 1);
  refuse(path, (UsImport){0}, US_FORMAT, "the decoder ended by signal 11");
  setenv("UNDERSTUDY_FILM", "/nowhere", 1);
  refuse(path, (UsImport){0}, US_IO, "UNDERSTUDY_FILM");
  unsetenv("UNDERSTUDY_FILM");
}

static void test_is_film(void** state) {
  char folder[256];
  snprintf(folder, sizeof(folder), "%s", toy_path("torch"));
  mkdir(folder, 0777);
  assert_true(us_video_is(folder) && us_video_is(toy_path("one.mp4")));
  write_text(toy_path("torch/states.pth"), "x", 1);
  assert_false(us_video_is(folder));
  toy_write(toy_path("a.dat"), 2, 2, 0);  // HDF5 under another name
  assert_false(us_video_is(toy_path("a.dat")) || us_video_is("nothing.h5"));
}

// What is there is replaced only when asked, and never the film itself.
static void test_out(void** state) {
  char path[256];
  snprintf(path, sizeof(path), "%s", toy_path("one.mp4"));
  const char* const paths[] = {path, NULL};
  UsImport c = {.size = kSide};
  UsVideoNotes n;
  us_dataset_close(import_one(path, c, NULL));
  assert_int_equal(us_video_import(paths, out, &c, &n), US_IO);
  assert_non_null(strstr(us_message(), "--overwrite"));
  c.overwrite = 1;
  assert_int_equal(us_video_import(paths, path, &c, &n), US_USAGE);
  // A refused import leaves what was there.
  const char* const bad[] = {path, toy_path("none.txt"), NULL};
  assert_int_equal(us_video_import(bad, out, &c, &n), US_FORMAT);
  UsDataset* d;
  assert_int_equal(us_dataset_open(out, &d), US_OK);
  us_dataset_close(d);
}

int main(void) {
  snprintf(out, sizeof(out), "%s", toy_path("film.h5"));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kinds),     cmocka_unit_test(test_crop_and_turn),
      cmocka_unit_test(test_fit),       cmocka_unit_test(test_times),
      cmocka_unit_test(test_episodes),  cmocka_unit_test(test_pictures),
      cmocka_unit_test(test_gif),       cmocka_unit_test(test_damage),
      cmocka_unit_test(test_mutations), cmocka_unit_test(test_no_film),
      cmocka_unit_test(test_helper),    cmocka_unit_test(test_is_film),
      cmocka_unit_test(test_out),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  toy_folder_remove();
  return failed;
}
