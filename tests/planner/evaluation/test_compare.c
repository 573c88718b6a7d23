// Cells of a table against known numbers: rates and intervals, McNemar's test by pairs, Holm's
// correction inside families alone, the gap closed, seeds taken together; files that do not fit
// each other are refused.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "planner/compare.h"
#include "planner/statistics.h"

enum { kPairs = 40, kFiles = 5 };

static char folder[] = "/tmp/understudy-compare-XXXXXX";
static char path[kFiles][64];

// An evaluation of 40 pairs that solved those from `first` on, `hits` of them; hits + claimed stand
// as its rate.
static void write_file(int file, const char* pairs, int first, int hits, int claimed) {
  snprintf(path[file], sizeof(path[file]), "%s/%d.json", folder, file);
  FILE* f = fopen(path[file], "w");
  assert_non_null(f);
  fprintf(f, "{\"hashes\": {\"pairs\": \"%s\"}, \"rows\": {\"model\": {\"pairs\": %d, ", pairs,
          kPairs);
  fprintf(f, "\"first_hit\": {\"hits\": %d}, \"last_step\": null, \"first_hit_step\": [",
          hits + claimed);
  for (int i = 0; i < kPairs; i++) {
    fprintf(f, "%s%d", i ? ", " : "", i >= first && i < first + hits ? i : -1);
  }
  fputs("]}}}\n", f);
  fclose(f);
}

static UsCompareCell cell(int file, int against, int ceiling, int family) {
  return (UsCompareCell){
      .json = path[file], .against = against, .ceiling = ceiling, .family = family};
}

static void known_numbers(void** state) {
  (void)state;
  write_file(0, "same", 0, 16, 0);  // scratch: pairs 0 .. 15
  write_file(1, "same", 6, 26, 0);  // 6 .. 31: 16 that scratch did not, and not 6 that it did
  write_file(2, "same", 0, 21, 0);  // 0 .. 20
  write_file(3, "same", 0, 36, 0);  // all labels
  UsCompareCell c[] = {cell(0, -1, -1, 0), cell(1, 0, 3, 0),  cell(2, 0, 3, 0),
                       cell(3, -1, -1, 0), cell(2, 0, -1, 1), cell(4, 0, 3, 0)};
  snprintf(path[4], sizeof(path[4]), "%s/none.json", folder);
  assert_int_equal(us_compare(6, c), US_OK);
  for (int i = 0; i < 5; i++) assert_true(c[i].known);
  assert_false(c[5].known);
  // Rates, and no rule where the file has none.
  double low, high;
  us_wilson(16, kPairs, &low, &high);
  assert_float_equal(c[0].first_hit.rate, 0.4, 1e-15);
  assert_true(c[0].first_hit.low == low && c[0].first_hit.high == high);
  assert_int_equal(c[0].last_step.count, 0);
  assert_true(isnan(c[0].p) && isnan(c[0].p_holm) && isnan(c[0].gap));
  // Tests: 16 against 6, and 5 against none; the smaller of the family counts twice, and is never
  // above the larger one.
  assert_int_equal(c[1].only, 16);
  assert_int_equal(c[1].only_against, 6);
  assert_float_equal(c[1].p, 0.0524787902832, 1e-10);
  assert_int_equal(c[2].only, 5);
  assert_int_equal(c[2].only_against, 0);
  assert_float_equal(c[2].p, 0.0625, 1e-12);
  assert_float_equal(c[1].p_holm, 2 * 0.0524787902832, 1e-10);
  assert_float_equal(c[2].p_holm, 2 * 0.0524787902832, 1e-10);
  // The same test alone in its family is what it was.
  assert_float_equal(c[4].p_holm, 0.0625, 1e-12);
  // 10 and 5 of 20 pairs on the way to all labels.
  assert_float_equal(c[1].gap, 0.5, 1e-12);
  assert_float_equal(c[2].gap, 0.25, 1e-12);
  assert_true(isnan(c[4].gap));
}

static void refused(UsCompareCell* c, int n, const char* file, const char* why) {
  assert_int_equal(us_compare(n, c), US_FORMAT);
  if (!strstr(us_message(), file) || !strstr(us_message(), why)) fail_msg("%s", us_message());
}

static void seeds_are_taken_together(void** state) {
  (void)state;
  write_file(0, "same", 0, 16, 0);
  write_file(1, "same", 0, 20, 0);
  write_file(2, "same", 4, 20, 0);
  write_file(3, "same", 10, 20, 0);
  // 18 of 40 on the average against 20. Of pairs 0 .. 3 the first solves two more, of 4 .. 9 one;
  // of 16 .. 19 and 24 .. 29 the second one more, of 20 .. 23 two.
  const char *more[] = {path[1], NULL}, *other[] = {path[3], NULL};
  UsCompareCell c[] = {cell(0, -1, -1, 0), cell(2, 0, -1, 0)};
  c[0].seeds = more;
  c[1].seeds = other;
  assert_int_equal(us_compare(2, c), US_OK);
  assert_int_equal(c[1].evaluations, 2);
  assert_int_equal(c[0].first_hit.hits, 36);
  assert_int_equal(c[0].first_hit.count, 2 * kPairs);
  assert_float_equal(c[0].first_hit.rate, 0.45, 1e-15);
  // Seeds are no more pairs: the interval is that of 18 of 40.
  double low, high;
  us_wilson(18, kPairs, &low, &high);
  assert_true(c[0].first_hit.low == low && c[0].first_hit.high == high);
  int d[kPairs], only = 0, against = 0;
  for (int i = 0; i < kPairs; i++) {
    d[i] = (i >= 4 && i < 24) + (i >= 10 && i < 30) - (i < 16) - (i < 20);
    only += d[i] > 0 ? d[i] : 0;
    against += d[i] < 0 ? -d[i] : 0;
  }
  assert_true(only == 18 && against == 14);
  assert_int_equal(c[1].only, only);
  assert_int_equal(c[1].only_against, against);
  assert_float_equal(c[1].p, us_sign_flip(kPairs, d), 1e-15);
  assert_true(c[1].p > 0.5);
  // A seed that has not been run yet, or one more than the other has.
  other[0] = "/nonexistent/seed.json";
  assert_int_equal(us_compare(2, c), US_OK);
  assert_true(c[0].known && !c[1].known && isnan(c[1].p));
  c[1].seeds = NULL;
  refused(c, 2, path[2], "expected as many evaluations as");
  // Seeds of other pairs.
  write_file(1, "other", 0, 20, 0);
  refused(c, 1, path[1], "expected the pairs of");
}

static void what_does_not_fit_is_refused(void** state) {
  (void)state;
  write_file(0, "same", 0, 16, 0);
  write_file(1, "other", 0, 16, 0);
  write_file(2, "same", 0, 16, 1);
  UsCompareCell c[] = {cell(0, -1, -1, 0), cell(1, 0, -1, 0)};
  refused(c, 2, path[1], "expected the pairs of");
  c[1] = cell(2, 0, -1, 0);
  refused(c, 2, path[2], "expected the 16 pairs of first_hit_step, found 17");
  FILE* f = fopen(path[2], "w");
  fputs("{\"rows\": {}}", f);
  fclose(f);
  refused(c, 2, path[2], "with the row model");
  f = fopen(path[2], "w");
  fputs("{\"rows\": {", f);
  fclose(f);
  refused(c, 2, path[2], "");
}

static int make_folder(void** state) {
  (void)state;
  return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void** state) {
  (void)state;
  for (int i = 0; i < kFiles; i++) unlink(path[i]);
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(known_numbers),
                                     cmocka_unit_test(seeds_are_taken_together),
                                     cmocka_unit_test(what_does_not_fit_is_refused)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
