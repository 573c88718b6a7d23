// Rank correlation against values worked out by hand, with ties and in the last places.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worldmodel/base/rank.h"

static void test_known(void** state) {
  (void)state;
  const double up[] = {1, 2, 3, 4, 5}, bent[] = {-7, 0, 1e9, 1e10, 2e10}, down[] = {9, 4, 3, 2, -8};
  const double mixed[] = {2, 1, 4, 3, 5}, tied[] = {1, 2, 2, 3, 3}, flat[] = {4, 4, 4, 4, 4};
  assert_float_equal(us_rank_correlation(5, up, bent), 1, 1e-15);
  assert_float_equal(us_rank_correlation(5, up, down), -1, 1e-15);
  // 1 - 6 sum d^2 / (n (n^2 - 1)) without ties.
  assert_float_equal(us_rank_correlation(5, up, mixed), 1 - 6 * 4.0 / 120, 1e-15);
  // Ranks 1 2.5 2.5 4.5 4.5: their product with 1 .. 5 is 9, their squares are 9 and 10.
  assert_float_equal(us_rank_correlation(5, tied, up), 0.9486832980505138, 1e-12);
  assert_float_equal(us_rank_correlation(5, up, tied), 0.9486832980505138, 1e-12);
  assert_true(us_rank_correlation(5, up, flat) == 0 && us_rank_correlation(1, up, up) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_known)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
