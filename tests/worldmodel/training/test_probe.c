// Probes on functions whose answer is known.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worldmodel/base/rng.h"
#include "worldmodel/probe.h"

enum { TRAIN = 3000, TEST = 500, IN = 6, OUT = 4 };
static float x_train[TRAIN * IN], y_train[TRAIN * OUT], x_test[TEST * IN], y_test[TEST * OUT];

// Targets: linear; the product of two features; noise that no feature knows; a constant.
static void fill(int n, int stream, float* x, float* y) {
  UsRng rng = us_rng(5, US_RNG_TEST, (uint64_t)stream, 0, 0);
  for (int i = 0; i < n; ++i) {
    float* a = x + (size_t)i * IN;
    us_rng_fill_normal(&rng, a, IN);
    y[i * OUT] = 3.0f * a[0] - 2.0f * a[1] + 100.0f;
    y[i * OUT + 1] = a[2] * a[3];
    y[i * OUT + 2] = us_rng_normal(&rng);
    y[i * OUT + 3] = 4.0f;
    a[4] = 50.0f + 0.001f * a[4];  // features of other scales
    a[5] = 7.0f;                   // a constant feature
  }
}

static void test_known(void** state) {
  float linear[OUT], network[OUT], again[OUT];
  fill(TRAIN, 1, x_train, y_train);
  fill(TEST, 2, x_test, y_test);
  assert_int_equal(
      us_probe(TRAIN, TEST, IN, OUT, x_train, y_train, x_test, y_test, 1, linear, network), US_OK);
  assert_true(linear[0] > 0.9999f && linear[0] <= 1.0f);
  assert_true(network[0] > 0.98f);
  assert_true(fabsf(linear[1]) < 0.05f);
  assert_true(network[1] > 0.9f);
  assert_true(linear[2] < 0.05f && network[2] < 0.05f);
  assert_true(isnan(linear[3]) && isnan(network[3]));
  assert_int_equal(us_probe(TRAIN, TEST, IN, OUT, x_train, y_train, x_test, y_test, 1, NULL, again),
                   US_OK);
  assert_memory_equal(network, again, 3 * sizeof(float));
}

// Features that say the same thing, and more features than rows.
static void test_dependent(void** state) {
  enum { N = 40, WIDE = 64 };
  static float x[2 * N * WIDE], y[2 * N];
  UsRng rng = us_rng(6, US_RNG_TEST, 0, 0, 0);
  for (int i = 0; i < 2 * N; ++i) {
    float a = us_rng_normal(&rng);
    for (int j = 0; j < WIDE; ++j) x[i * WIDE + j] = a * (float)(j + 1);
    y[i] = -a;
  }
  float r2;
  assert_int_equal(us_probe(N, N, WIDE, 1, x, y, x + N * WIDE, y + N, 1, &r2, NULL), US_OK);
  assert_true(r2 > 0.999f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known),
      cmocka_unit_test(test_dependent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
