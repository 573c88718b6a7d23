// Intervals and tests against published values.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "planner/statistics.h"

static void wilson_intervals(void** state) {
  (void)state;
  // Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I, method 3.
  const struct {
    int hits, count;
    double low, high;
  } known[] = {{81, 263, 0.2553, 0.3662},
               {15, 148, 0.0624, 0.1605},
               {0, 20, 0, 0.1611},
               {1, 29, 0.0061, 0.1718}};
  for (int i = 0; i < 4; i++) {
    double low, high;
    us_wilson(known[i].hits, known[i].count, &low, &high);
    assert_float_equal(low, known[i].low, 5e-5);
    assert_float_equal(high, known[i].high, 5e-5);
    us_wilson(known[i].count - known[i].hits, known[i].count, &low, &high);
    assert_float_equal(low, 1 - known[i].high, 5e-5);
    assert_float_equal(high, 1 - known[i].low, 5e-5);
  }
  double low, high;
  us_wilson(0, 0, &low, &high);
  assert_true(low == 0 && high == 1);
}

static void mcnemar_exact(void** state) {
  (void)state;
  assert_float_equal(us_mcnemar(0, 0), 1, 1e-12);
  assert_float_equal(us_mcnemar(5, 5), 1, 1e-12);
  assert_float_equal(us_mcnemar(0, 5), 2.0 / 32, 1e-12);
  assert_float_equal(us_mcnemar(1, 9), 2.0 * 11 / 1024, 1e-12);
  assert_float_equal(us_mcnemar(9, 1), us_mcnemar(1, 9), 0);
  // Twice the binomial tail of 6 or fewer out of 22.
  assert_float_equal(us_mcnemar(6, 16), 0.0524787902832, 1e-10);
  assert_float_equal(us_mcnemar(0, 4000), 0, 1e-300);
  assert_float_equal(us_mcnemar(2000, 2000), 1, 1e-9);
}

static void signs_that_are_flipped(void** state) {
  (void)state;
  // Of single tries it is McNemar's, whatever agrees.
  int single[30] = {0};
  for (int i = 0; i < 22; i++) single[i] = i < 16 ? 1 : -1;
  assert_float_equal(us_sign_flip(30, single), us_mcnemar(16, 6), 1e-12);
  // 2 + 1 - 1: of the eight sums 4 2 2 0 0 -2 -2 -4 six are as far from 0 as 2.
  assert_float_equal(us_sign_flip(3, (const int[]){2, 1, -1}), 0.75, 1e-15);
  assert_float_equal(us_sign_flip(2, (const int[]){-3, -1}), 0.5, 1e-15);
  assert_float_equal(us_sign_flip(2, (const int[]){1, -1}), 1, 0);
  assert_float_equal(us_sign_flip(0, single), 1, 0);
}

static void holm_step_down(void** state) {
  (void)state;
  // In any order; the third and fourth are tied by the step down; nothing exceeds 1.
  double p[] = {0.01, 0.04, 0.03, 0.005}, adjusted[4];
  us_holm(4, p, adjusted);
  const double known[] = {0.03, 0.06, 0.06, 0.02};
  for (int i = 0; i < 4; i++) assert_float_equal(adjusted[i], known[i], 1e-15);
  // R: p.adjust(c(0.9, 0.02, 0.02, 0.6, 0.0001), "holm"), in place.
  double more[] = {0.9, 0.02, 0.02, 0.6, 0.0001};
  const double corrected[] = {1, 0.08, 0.08, 1, 0.0005};
  us_holm(5, more, more);
  for (int i = 0; i < 5; i++) assert_float_equal(more[i], corrected[i], 1e-15);
  us_holm(0, NULL, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(signs_that_are_flipped),
      cmocka_unit_test(wilson_intervals),
      cmocka_unit_test(mcnemar_exact),
      cmocka_unit_test(holm_step_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
