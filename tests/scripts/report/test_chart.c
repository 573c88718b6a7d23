// Charts: lines have their colours and places, bars their heights, and nothing but numbers is
// written where there are none. With an argument the program writes charts into that folder, to be
// looked at.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/report/chart.h"

static char* text;
static size_t size;
static FILE* out;

static void begin(int width, int height) {
  out = open_memstream(&text, &size);
  assert_non_null(out);
  us_chart_begin(out, width, height);
}

// The whole drawing, which holds until the next.
static const char* end(void) {
  us_chart_end(out);
  fclose(out);
  static char kept[1 << 18];
  assert_true(size < sizeof(kept));
  memcpy(kept, text, size + 1);
  free(text);
  assert_null(strstr(kept, "nan"));
  assert_null(strstr(kept, "inf"));
  return kept;
}

static int count(const char* in, const char* what) {
  int n = 0;
  for (; (in = strstr(in, what)); in++) n++;
  return n;
}

static const char* color(const char* attribute, int i) {
  static char name[64];
  snprintf(name, sizeof(name), "%s='#%06x'", attribute, (unsigned)us_picture_color(i));
  return name;
}

// ---- the tests ----

static void draw_lines(UsBox box, int log_y, int dots) {
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
  us_chart_lines(out, box, &plot, 2, series);
}

static void test_lines_have_their_colors(void** state) {
  for (int log_y = 0; log_y < 2; log_y++) {
    begin(640, 400);
    draw_lines((UsBox){0, 0, 640, 400}, log_y, 1);
    const char* svg = end();
    for (int i = 0; i < 2; i++) assert_int_equal(count(svg, color("stroke", i)), 1);
    assert_int_equal(count(svg, color("stroke", 2)), 0);
    assert_int_equal(count(svg, "<circle"), 399);       // a dot at every point but the missing one
    assert_int_equal(count(svg, "L") >= 399 + 397, 1);  // which breaks the line in two
  }
}

static void test_lines_without_data(void** state) {
  double x[3] = {0, 1, 2}, y[3] = {NAN, -1, INFINITY}, one = 5;
  UsSeries series[2] = {{"nothing", 0, NULL, NULL, 0}, {"nothing on a log axis", 3, x, y, 1}};
  begin(300, 200);
  us_chart_lines(out, (UsBox){0, 0, 300, 200}, &(UsPlot){.log_y = 1}, 2, series);
  assert_int_equal(count(end(), "<circle"), 0);
  begin(300, 200);
  us_chart_lines(out, (UsBox){0, 0, 300, 200}, &(UsPlot){.title = "one point"}, 1,
                 &(UsSeries){"one", 1, &one, &one, 1});
  assert_int_equal(count(end(), "<circle"), 1);
  begin(300, 200);
  us_chart_lines(out, (UsBox){0, 0, 5, 5}, &(UsPlot){.title = "no room"}, 1, series);
  end();
}

static void draw_bars(UsBox box) {
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
  us_chart_bars(out, box, &bars);
}

// Height of the only rectangle of a colour.
static double height_of(const char* svg, int i) {
  const char* at = strstr(svg, color("fill", i));
  assert_non_null(at);
  while (strncmp(at, "height='", 8) != 0) at--;
  return strtod(at + 8, NULL);
}

static void test_bar_heights(void** state) {
  static const char* group[] = {"g"};
  static const char* name[] = {NULL, NULL};
  UsBar bar[2] = {{50, NAN, NAN}, {100, NAN, NAN}};
  UsBars bars = {
      .y_high = 100, .groups = 1, .bars = 2, .group_name = group, .bar_name = name, .bar = bar};
  begin(300, 300);
  us_chart_bars(out, (UsBox){0, 0, 300, 300}, &bars);
  const char* svg = end();
  double half = height_of(svg, 0), full = height_of(svg, 1);
  assert_true(full > 150);
  assert_true(fabs(half / full - 0.5) < 0.02);
}

static void test_text_is_escaped(void** state) {
  begin(300, 200);
  us_chart_lines(out, (UsBox){0, 0, 300, 200}, &(UsPlot){.title = "a < b & c"}, 0, NULL);
  assert_non_null(strstr(end(), ">a &lt; b &amp; c</text>"));
}

static void draw_all(const char* where) {
  for (int kind = 0; kind < 3; kind++) {
    char path[512];
    snprintf(path, sizeof(path), "%s/chart-%d.svg", where, kind);
    out = fopen(path, "w");
    us_chart_begin(out, 760, 420);
    if (kind < 2) draw_lines((UsBox){0, 0, 760, 420}, kind, kind);
    if (kind == 2) draw_bars((UsBox){0, 0, 760, 420});
    us_chart_end(out);
    fclose(out);
  }
}

int main(int argc, char** argv) {
  if (argc > 1) {
    draw_all(argv[1]);
    return 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lines_have_their_colors), cmocka_unit_test(test_lines_without_data),
      cmocka_unit_test(test_bar_heights), cmocka_unit_test(test_text_is_escaped)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
