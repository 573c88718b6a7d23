// Pictures: what is drawn stands in the PNG that was saved. With an argument the program only
// writes one picture of each kind into that folder, to be looked at.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripts/report/picture.h"
#include "worldmodel/base/file.h"

static char folder[] = "/tmp/test_picture_XXXXXX";

// A saved picture, read back by cairo.
typedef struct Png {
  cairo_surface_t* surface;
  int width, height;
} Png;

static Png read_png(const char* path) {
  Png png = {.surface = cairo_image_surface_create_from_png(path)};
  assert_int_equal(cairo_surface_status(png.surface), CAIRO_STATUS_SUCCESS);
  png.width = cairo_image_surface_get_width(png.surface);
  png.height = cairo_image_surface_get_height(png.surface);
  return png;
}

static int pixel(const Png* png, int x, int y) {
  const unsigned char* data = cairo_image_surface_get_data(png->surface);
  uint32_t word;
  memcpy(&word, data + (size_t)y * (size_t)cairo_image_surface_get_stride(png->surface) + 4 * x, 4);
  return (int)(word & 0xffffff);
}

static int count_color(const Png* png, int color) {
  int n = 0;
  for (int y = 0; y < png->height; y++) {
    for (int x = 0; x < png->width; x++) n += pixel(png, x, y) == color;
  }
  return n;
}

static Png save_and_read(UsPicture* p, const char* name) {
  char path[256];
  us_path_join(path, sizeof(path), folder, name);
  assert_int_equal(us_picture_save(p, path), US_OK);
  us_picture_destroy(p);
  return read_png(path);
}

static UsPicture* canvas(int width, int height) {
  UsPicture* p;
  assert_int_equal(us_picture_create(width, height, &p), US_OK);
  return p;
}

// ---- the tests ----

static void test_frame_pixels(void** state) {
  uint8_t frame[2 * 3 * 3];
  for (int i = 0; i < 18; i++) frame[i] = (uint8_t)(13 * i + 5);
  UsPicture* p = canvas(40, 30);
  us_picture_frame(p, 4, 6, 5, 2, 3, frame);
  Png png = save_and_read(p, "frame.png");
  assert_int_equal(png.width, 40);
  assert_int_equal(png.height, 30);
  for (int y = 0; y < 10; y++) {
    for (int x = 0; x < 15; x++) {
      const uint8_t* in = frame + 3 * (y / 5 * 3 + x / 5);
      assert_int_equal(pixel(&png, 4 + x, 6 + y), in[0] << 16 | in[1] << 8 | in[2]);
    }
  }
  assert_int_equal(pixel(&png, 3, 6), US_WHITE);
  assert_int_equal(pixel(&png, 19, 6), US_WHITE);
  cairo_surface_destroy(png.surface);
}

static void test_strip_order(void** state) {
  uint8_t frames[3][2 * 2 * 3];
  for (int i = 0; i < 3; i++) memset(frames[i], 50 * (i + 1), sizeof(frames[i]));
  UsPicture* p = canvas(60, 40);
  us_picture_strip(p, 2, 20, 4, 3, 3, 2, 2, frames[0], NULL);
  Png png = save_and_read(p, "strip.png");
  for (int i = 0; i < 3; i++) {
    assert_int_equal(pixel(&png, 2 + i * 11 + 4, 24), 0x010101 * 50 * (i + 1));
    assert_int_equal(pixel(&png, 2 + i * 11 + 9, 24), US_WHITE);
  }
  cairo_surface_destroy(png.surface);
}

static int ink_between(const Png* png, int x0, int x1) {
  int n = 0;
  for (int y = 0; y < png->height; y++) {
    for (int x = x0; x < x1; x++) n += pixel(png, x, y) != US_WHITE;
  }
  return n;
}

static void test_text_alignment(void** state) {
  for (int align = US_LEFT; align <= US_RIGHT; align++) {
    UsPicture* p = canvas(200, 20);
    double width = us_picture_text_width(p, 12, "aligned");
    assert_true(width > 20 && width < 90);
    us_picture_text(p, 100, 10, 12, US_INK, (UsAlign)align, "aligned");
    Png png = save_and_read(p, "text.png");
    int left = ink_between(&png, 0, 99), right = ink_between(&png, 101, 200);
    if (align == US_LEFT) assert_true(left == 0 && right > 50);
    if (align == US_CENTER) assert_true(left > 25 && right > 25);
    if (align == US_RIGHT) assert_true(left > 50 && right == 0);
    cairo_surface_destroy(png.surface);
  }
}

static void draw_lines(UsPicture* p, UsBox box, int log_y, int dots) {
  enum { kCount = 400 };
  static double x[kCount], train[kCount], held[kCount];
  for (int i = 0; i < kCount; i++) {
    x[i] = 25.0 * i;
    train[i] = 0.2 * exp(-i / 60.0) + 0.004 + 0.002 * sin(i * 1.7);
    held[i] = 0.22 * exp(-i / 70.0) + 0.006;
  }
  held[200] = NAN;
  UsSeries series[2] = {{"training batches", kCount, x, train, 0},
                        {"held-out episodes", kCount, x, held, dots}};
  UsPlot plot = {.title = "Loss of the predictor",
                 .x_label = "optimiser steps",
                 .y_label = "smooth L1",
                 .log_y = log_y};
  us_picture_lines(p, box, &plot, 2, series);
}

static void test_lines_have_their_colors(void** state) {
  for (int log_y = 0; log_y < 2; log_y++) {
    UsPicture* p = canvas(640, 400);
    draw_lines(p, (UsBox){0, 0, 640, 400}, log_y, 0);
    Png png = save_and_read(p, "lines.png");
    for (int i = 0; i < 2; i++) assert_true(count_color(&png, us_picture_color(i)) > 150);
    assert_int_equal(count_color(&png, us_picture_color(2)), 0);
    cairo_surface_destroy(png.surface);
  }
}

static void test_lines_without_data(void** state) {
  double x[3] = {0, 1, 2}, y[3] = {NAN, -1, INFINITY};
  UsSeries series[2] = {{"nothing", 0, NULL, NULL, 0}, {"nothing on a log axis", 3, x, y, 1}};
  UsPicture* p = canvas(300, 200);
  us_picture_lines(p, (UsBox){0, 0, 300, 200}, &(UsPlot){.log_y = 1}, 2, series);
  double one = 5;
  us_picture_lines(p, (UsBox){0, 0, 300, 200}, &(UsPlot){.title = "one point"}, 1,
                   &(UsSeries){"one", 1, &one, &one, 1});
  us_picture_lines(p, (UsBox){0, 0, 5, 5}, &(UsPlot){.title = "no room"}, 1, series);
  Png png = save_and_read(p, "empty.png");
  cairo_surface_destroy(png.surface);
}

static void draw_bars(UsPicture* p, UsBox box) {
  static const char* group[] = {"PointMaze", "Wall"};
  static const char* name[] = {"model", "state", "random", "oracle"};
  static const UsBar bar[] = {{98.2, 96.7, 99.1}, {97.1, 95.2, 98.2}, {28, 24.3, 32.1},
                              {100, 97.1, 100},   {97.5, 95.7, 98.5}, {NAN, NAN, NAN},
                              {31.3, 27.4, 35.4}, {100, 97.1, 100}};
  UsBars bars = {.title = "Success, first hit, 512 held-out pairs",
                 .y_label = "success (%)",
                 .y_high = 100,
                 .format = "%.1f",
                 .groups = 2,
                 .bars = 4,
                 .group_name = group,
                 .bar_name = name,
                 .bar = bar};
  us_picture_bars(p, box, &bars);
}

static void test_bar_heights(void** state) {
  static const char* group[] = {"g"};
  static const char* name[] = {NULL, NULL};
  UsBar bar[2] = {{50, NAN, NAN}, {100, NAN, NAN}};
  UsPicture* p = canvas(300, 300);
  UsBars bars = {
      .y_high = 100, .groups = 1, .bars = 2, .group_name = group, .bar_name = name, .bar = bar};
  us_picture_bars(p, (UsBox){0, 0, 300, 300}, &bars);
  Png png = save_and_read(p, "bars.png");
  double half = count_color(&png, us_picture_color(0)),
         full = count_color(&png, us_picture_color(1));
  assert_true(full > 5000);
  assert_true(fabs(half / full - 0.5) < 0.02);
  cairo_surface_destroy(png.surface);
}

static void test_save_names_the_file(void** state) {
  UsPicture* p = canvas(8, 8);
  assert_int_equal(us_picture_save(p, "/nowhere/at/all.png"), US_IO);
  assert_non_null(strstr(us_message(), "/nowhere/at/all.png"));
  us_picture_destroy(p);
  us_picture_destroy(NULL);
}

static void draw_all(const char* where) {
  char path[512];
  UsPicture* p = canvas(760, 420);
  draw_lines(p, (UsBox){0, 0, 760, 420}, 0, 0);
  us_picture_save(p, us_path_join(path, sizeof(path), where, "lines.png"));
  us_picture_destroy(p);
  p = canvas(760, 420);
  draw_lines(p, (UsBox){0, 0, 760, 420}, 1, 1);
  us_picture_save(p, us_path_join(path, sizeof(path), where, "log.png"));
  us_picture_destroy(p);
  p = canvas(760, 400);
  draw_bars(p, (UsBox){0, 0, 760, 400});
  us_picture_save(p, us_path_join(path, sizeof(path), where, "bars.png"));
  us_picture_destroy(p);
  static uint8_t frames[5][16][16][3];
  for (int i = 0; i < 5 * 16 * 16 * 3; i++)
    (&frames[0][0][0][0])[i] = (uint8_t)(i * 7 / (1 + i % 3));
  static const char* caption[] = {"start", "t = 5", "t = 10", NULL, "goal"};
  p = canvas(520, 130);
  us_picture_strip(p, 20, 24, 5, 8, 5, 16, 16, frames[0][0][0], caption);
  us_picture_text(p, 462, 64, 12, US_INK, US_LEFT, "pair 12");
  us_picture_save(p, us_path_join(path, sizeof(path), where, "strip.png"));
  us_picture_destroy(p);
}

int main(int argc, char** argv) {
  if (argc > 1) {
    draw_all(argv[1]);
    return 0;
  }
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_frame_pixels),        cmocka_unit_test(test_strip_order),
      cmocka_unit_test(test_text_alignment),      cmocka_unit_test(test_lines_have_their_colors),
      cmocka_unit_test(test_lines_without_data),  cmocka_unit_test(test_bar_heights),
      cmocka_unit_test(test_save_names_the_file),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  static const char* made[] = {"frame.png", "strip.png", "text.png",
                               "lines.png", "empty.png", "bars.png"};
  char path[256];
  for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
    unlink(us_path_join(path, sizeof(path), folder, made[i]));
  }
  rmdir(folder);
  return failed;
}
