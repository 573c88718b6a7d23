// What flags and files ask for beyond what a picture, a path or a buffer holds: the program draws
// what fits, says so, or refuses in one line. It never aborts.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cairo.h>
#include <unistd.h>

#include "scripts/report/picture.h"
#include "tests/scripts/grey_data.h"
#include "tests/scripts/program.h"
#include "worldmodel/base/file.h"

static char folder[] = "/tmp/understudy-outside-XXXXXX";

static const char* path_of(const char* name) {
  static char path[4][256];
  static int next;
  next = (next + 1) % 4;
  return us_path_join(path[next], sizeof(path[next]), folder, name);
}

static Run command(int code, const char* format, ...) {
  char line[3400];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  Run r = run_program(folder, line);
  if (r.code != code) fail_msg("`understudy %.200s`: exit %d: %s", line, r.code, r.err);
  return r;
}

// Width and height of a PNG; pixels of the grey of the frames.
static int grey_of(const char* name, int* width, int* height) {
  cairo_surface_t* s = cairo_image_surface_create_from_png(path_of(name));
  assert_int_equal(cairo_surface_status(s), CAIRO_STATUS_SUCCESS);
  *width = cairo_image_surface_get_width(s);
  *height = cairo_image_surface_get_height(s);
  const unsigned char* data = cairo_image_surface_get_data(s);
  int n = 0;
  for (int y = 0; y < *height; y++) {
    const unsigned char* row = data + (size_t)y * (size_t)cairo_image_surface_get_stride(s);
    for (int x = 0; x < *width; x++) n += row[4 * x] == 128 && row[4 * x + 1] == 128;
  }
  cairo_surface_destroy(s);
  return n;
}

// ---- pictures ----

static void canvases_of_any_size_are_a_status(void** state) {
  (void)state;
  const int side[][2] = {{0, 5}, {5, 0}, {US_PICTURE_MOST + 1, 5}, {5, US_PICTURE_MOST + 1}};
  for (int i = 0; i < 4; i++) {
    UsPicture* p;
    assert_int_equal(us_picture_create(side[i][0], side[i][1], &p), US_UNSUPPORTED);
    assert_null(p);
  }
  assert_true(us_picture_fit(2, 100, 10) == 2);
  assert_true(us_picture_fit(2, 20000, 384) == 0.8);
}

// Frames of 74 pixels are drawn twice as large: (16384 - 70) / (148 + 24) lines fit.
static void previews_show_the_lines_that_fit(void** state) {
  (void)state;
  int width, height;
  grey_write(path_of("many.h5"), (Grey){"toy", 100, 2, 74, 74, 1, 1});
  Run r = command(0, "dataset preview %s/many.h5 --episodes 100 --out %s/many.png", folder, folder);
  assert_non_null(strstr(r.out, "94 episodes of "));
  assert_non_null(strstr(r.out, "as many as fit a picture"));
  assert_int_equal(lines_of(r.out), 1);
  assert_true(grey_of("many.png", &width, &height) > 94 * 2 * 147 * 147);
  assert_int_equal(height, 66 + 94 * (148 + 24) + 4);
  r = command(0, "dataset preview %s/many.h5 --episodes 94 --out %s/many.png", folder, folder);
  assert_null(strstr(r.out, "fit"));
}

// Ten frames of 2000 pixels are wider than a picture: they are drawn smaller.
static void previews_of_large_frames_are_made_smaller(void** state) {
  (void)state;
  int width, height;
  grey_write(path_of("wide.h5"), (Grey){"toy", 2, 2, 8, 2000, 1, 1});
  command(0, "dataset preview %s/wide.h5 --out %s/wide.png", folder, folder);
  int grey = grey_of("wide.png", &width, &height);
  assert_true(width <= US_PICTURE_MOST && width > 16000);
  assert_true(grey > 4 * 1600 * 5);
}

// Writes report.json with `count` films of `frames` frames of `size` pixels beside it.
static void write_films(int count, int frames, int size, int budget) {
  FILE* f = fopen(path_of("report.json"), "w");
  assert_non_null(f);
  fprintf(f,
          "{\"task\": \"toy\", \"protocol\": \"dinoworld\", \"rule\": \"first_hit\", "
          "\"episodes\": %d, \"solved_at_start\": 0, \"budget\": %d, \"block\": 1, \"radius\": "
          "0.5, \"rows\": {\"model\": {\"pairs\": 2, \"first_hit\": {\"rate\": 0.5, \"low\": 0.1, "
          "\"high\": 0.9}, \"distance\": {\"mean\": [1, 0.5], \"median\": [1, null]}, "
          "\"first_hit_step\": [%d, -1]}}, \"films\": {\"row\": \"model\", \"file\": \"f.films\", "
          "\"size\": %d, \"frames\": %d, \"episodes\": [",
          count, budget, budget, size, frames);
  for (int i = 0; i < count; i++) {
    fprintf(f, "%s{\"pair\": %d, \"first_hit_step\": %d, \"blocks\": %d, \"distance\": [1, null]}",
            i ? ", " : "", i, i % 2 ? -1 : 1, frames - 2);
  }
  fputs("]}}\n", f);
  fclose(f);
  size_t bytes = (size_t)count * (size_t)frames * (size_t)size * (size_t)size * 3;
  uint8_t* grey = malloc(bytes);
  memset(grey, 128, bytes);
  assert_int_equal(us_file_write(path_of("f.films"), grey, bytes), US_OK);
  free(grey);
}

static int page_shows(const char* text) {
  void* page;
  size_t size;
  assert_int_equal(us_file_read(path_of("report/index.html"), 0, &page, &size), US_OK);
  int found = strstr(page, text) != NULL;
  free(page);
  return found;
}

// A film of 8 pixels takes 54: 303 fit a picture, the others go on in the next.
static void films_go_on_in_another_picture(void** state) {
  (void)state;
  int width, height, grey;
  write_films(310, 3, 8, 10);
  command(0, "report --json %s/report.json --out %s/report", folder, folder);
  grey = grey_of("report/films.png", &width, &height);
  assert_int_equal(height, 303 * 54 + 12);
  assert_true(grey > 303 * 3 * 40);
  grey = grey_of("report/films-2.png", &width, &height);
  assert_int_equal(height, 7 * 54 + 12);
  assert_true(page_shows("<img src=films.png") && page_shows("<img src=films-2.png"));
  assert_false(page_shows("films-3.png"));
}

// 70 frames of 256 pixels are wider than a picture.
static void long_films_are_made_smaller(void** state) {
  (void)state;
  int width, height;
  write_films(1, 70, 256, 10000);  // and a budget of many env steps
  command(0, "report --json %s/report.json --out %s/report", folder, folder);
  int grey = grey_of("report/films.png", &width, &height);
  assert_true(width <= US_PICTURE_MOST && width > 16000);
  assert_true(grey > 70 * 220 * 220);
  assert_false(page_shows("films-2.png"));
}

// ---- texts ----

// Every command joins its texts to names of files; none aborts on a long one.
static void long_texts_are_refused(void** state) {
  (void)state;
  static const char* const lines[] = {"finetune --data x.h5 --out",
                                      "pretrain --data x.h5 --out",
                                      "encoder train --data x.h5 --out",
                                      "eval --data x.h5 --json",
                                      "report --out r --json",
                                      "collect --task wall --out",
                                      "inspect",
                                      "dataset info",
                                      "view --data"};
  char text[3100];
  memset(text, 'a', sizeof(text) - 1);
  text[sizeof(text) - 1] = 0;
  for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
    Run r = command(2, "%s %s", lines[i], text);
    if (lines_of(r.err) != 1 || !strstr(r.err, "expected texts of at most 3072 bytes, found 3099"))
      fail_msg("%s: %s", lines[i], r.err);
  }
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(canvases_of_any_size_are_a_status),
      cmocka_unit_test(previews_show_the_lines_that_fit),
      cmocka_unit_test(previews_of_large_frames_are_made_smaller),
      cmocka_unit_test(films_go_on_in_another_picture),
      cmocka_unit_test(long_films_are_made_smaller),
      cmocka_unit_test(long_texts_are_refused),
  };
  int failed = cmocka_run_group_tests_name("outside", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
