// Pictures: what is drawn stands in the PNG that was saved.

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

static void test_save_names_the_file(void** state) {
  UsPicture* p = canvas(8, 8);
  assert_int_equal(us_picture_save(p, "/nowhere/at/all.png"), US_IO);
  assert_non_null(strstr(us_message(), "/nowhere/at/all.png"));
  us_picture_destroy(p);
  us_picture_destroy(NULL);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_frame_pixels),
      cmocka_unit_test(test_strip_order),
      cmocka_unit_test(test_text_alignment),
      cmocka_unit_test(test_save_names_the_file),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  static const char* made[] = {"frame.png", "strip.png", "text.png"};
  char path[256];
  for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
    unlink(us_path_join(path, sizeof(path), folder, made[i]));
  }
  rmdir(folder);
  return failed;
}
