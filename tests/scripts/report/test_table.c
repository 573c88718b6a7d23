// A list of evaluations: what is wrong with it is said; its figures and its picture are those of
// the evaluations; members that nobody knows go through.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripts/report/report.h"
#include "scripts/report/table.h"

static char folder[] = "/tmp/understudy-table-XXXXXX";
static char list[64];

static void write_text(const char* name, const char* text) {
  char path[128];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  FILE* f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

// An evaluation of 4 pairs of which `hits` are solved.
static void write_eval(const char* name, int hits) {
  char text[512];
  snprintf(text, sizeof(text),
           "{\"hashes\": {\"pairs\": \"p\"}, \"rows\": {\"model\": {\"pairs\": 4, \"first_hit\": "
           "{\"hits\": %d}, \"last_step\": {\"hits\": 1}, \"first_hit_step\": [%d, %d, %d, %d]}}}",
           hits, hits > 0 ? 1 : -1, hits > 1 ? 1 : -1, hits > 2 ? 1 : -1, hits > 3 ? 1 : -1);
  write_text(name, text);
}

#define CELL(name, column, eval)                                                      \
  "{\"name\": \"" name "\", \"family\": \"f\", \"row\": \"r\", \"column\": \"" column \
  "\", \"eval\": \"" eval "\""

static void figures_and_picture(void** state) {
  (void)state;
  write_eval("a.json", 1);
  write_eval("b.json", 3);
  write_text("list.json", "{\"title\": \"t\", \"cells\": [" CELL("a", "scratch", "a.json") "}, "
             CELL("b", "full", "b.json") ", \"against\": \"a\", \"paper\": 70, \"commands\": [\"c\"]}, "
             CELL("c", "none", "none.json") ", \"against\": \"a\"}]}");
  UsTable t;
  assert_int_equal(us_table_read(list, &t), US_OK);
  us_table_add_figures(&t);
  const cJSON* b = cJSON_GetArrayItem(us_report_member(t.json, "cells"), 1);
  const cJSON* test = us_report_member(b, "test");
  assert_float_equal(us_report_number(us_report_member(b, "first_hit"), "rate"), 0.75, 1e-12);
  assert_float_equal(us_report_number(us_report_member(b, "last_step"), "rate"), 0.25, 1e-12);
  assert_float_equal(us_report_number(test, "only"), 2, 0);
  assert_float_equal(us_report_number(test, "p"), 0.5, 1e-12);
  assert_float_equal(us_report_number(b, "difference"), 5, 1e-9);
  assert_non_null(us_report_member(b, "commands"));
  const cJSON* c = cJSON_GetArrayItem(us_report_member(t.json, "cells"), 2);
  assert_null(us_report_member(c, "first_hit"));
  // Two cells that were run: a dot and a ring each, and one cross of two strokes.
  char* text;
  size_t size;
  FILE* f = open_memstream(&text, &size);
  assert_int_equal(us_table_draw(&t, f), US_OK);
  fclose(f);
  int dots = 0, rings = 0;
  for (char* at = text; (at = strstr(at, "<circle")); at++) {
    if (strstr(at, "r='4'") && strstr(at, "r='4'") < strchr(at, '>')) dots++;
    if (strstr(at, "r='3'") && strstr(at, "r='3'") < strchr(at, '>')) rings++;
  }
  assert_int_equal(dots, 2);
  assert_int_equal(rings, 2);
  assert_non_null(strstr(text, "cross, as published"));
  assert_null(strstr(text, "nan"));
  // The legend names columns with cells that were run alone.
  assert_non_null(strstr(text, "full"));
  assert_null(strstr(text, "none"));
  free(text);
  us_table_free(&t);
}

static void refused(const char* text, const char* why) {
  UsTable t;
  write_text("list.json", text);
  assert_int_equal(us_table_read(list, &t), US_FORMAT);
  if (!strstr(us_message(), why)) fail_msg("%s", us_message());
  us_table_free(&t);
}

static void lists_that_are_wrong(void** state) {
  (void)state;
  refused("{}", "cells: expected a list");
  refused("{\"cells\": []}", "cells: expected a list");
  refused("{\"cells\": [{\"name\": \"a\"}]}", "row");
  refused("{\"cells\": [" CELL("a", "x", "a.json") "}, " CELL("a", "y", "b.json") "}]}",
          "found \"a\" twice");
  refused("{\"cells\": [" CELL("a", "x", "a.json") ", \"against\": \"z\"}]}",
          "against: expected the name of a cell, found \"z\"");
  refused("{\"cells\": [" CELL("a", "x", "a.json") ", \"paper\": 101}]}", "paper");
  // An evaluation is a text or a list of some.
  const char* const evals[] = {"1", "[]", "[\"a.json\", 2]", "{}"};
  for (int i = 0; i < 4; i++) {
    char cells[256];
    snprintf(cells, sizeof(cells),
             "{\"cells\": [{\"name\": \"a\", \"family\": \"f\", \"row\": \"r\", "
             "\"column\": \"c\", \"eval\": %s}]}",
             evals[i]);
    refused(cells, "eval: expected a text, or a list of texts");
  }
}

static void seeds(void** state) {
  (void)state;
  write_eval("a.json", 1);
  write_eval("b.json", 2);
  write_eval("c.json", 4);
  write_text(
      "list.json",
      "{\"cells\": [{\"name\": \"a\", \"family\": \"f\", \"row\": \"r\", \"column\": \"x\", "
      "\"eval\": [\"a.json\", \"b.json\"]}, {\"name\": \"b\", \"family\": \"f\", \"row\": \"r\", "
      "\"column\": \"y\", \"eval\": [\"b.json\", \"c.json\"], \"against\": \"a\"}]}");
  UsTable t;
  assert_int_equal(us_table_read(list, &t), US_OK);
  us_table_add_figures(&t);
  const cJSON* b = cJSON_GetArrayItem(us_report_member(t.json, "cells"), 1);
  assert_float_equal(us_report_number(b, "seeds"), 2, 0);
  assert_float_equal(us_report_number(us_report_member(b, "first_hit"), "rate"), 0.75, 1e-12);
  assert_float_equal(us_report_number(us_report_member(b, "test"), "only"), 3, 0);
  us_table_free(&t);
}

static int make_folder(void** state) {
  (void)state;
  if (!mkdtemp(folder)) return -1;
  snprintf(list, sizeof(list), "%s/list.json", folder);
  return 0;
}

static int drop_folder(void** state) {
  (void)state;
  char line[128];
  snprintf(line, sizeof(line), "rm -r '%s'", folder);
  return system(line);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(figures_and_picture), cmocka_unit_test(seeds),
                                     cmocka_unit_test(lists_that_are_wrong)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
