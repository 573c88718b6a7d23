// Philox against the published vectors; what streams promise.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worldmodel/base/rng.h"

// philox4x32-10 of the known-answer tests of Random123.
static void test_known_answers(void** state) {
  static const uint32_t known[3][10] = {
      {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
      {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
       0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
       0x94fdcceb, 0x5001e420, 0x24126ea1}};
  for (int i = 0; i < 3; ++i) {
    uint32_t out[4];
    us_philox(known[i], known[i] + 4, out);
    assert_memory_equal(out, known[i] + 6, sizeof out);
  }
}

static void test_streams_differ(void** state) {
  UsRng streams[] = {
      us_rng(1, US_RNG_TEST, 0, 0, 0),          us_rng(2, US_RNG_TEST, 0, 0, 0),
      us_rng(1ull << 32, US_RNG_TEST, 0, 0, 0), us_rng(1, US_RNG_RESET, 0, 0, 0),
      us_rng(1, US_RNG_TEST, 1, 0, 0),          us_rng(1, US_RNG_TEST, 0, 1, 0),
      us_rng(1, US_RNG_TEST, 0, 0, 1),          us_rng(1, US_RNG_TEST, 1ull << 32, 0, 0)};
  enum { N = sizeof streams / sizeof *streams, DRAWS = 8 };
  uint32_t drawn[N][DRAWS];
  for (int s = 0; s < N; ++s) {
    for (int i = 0; i < DRAWS; ++i) drawn[s][i] = us_rng_bits(&streams[s]);
    for (int other = 0; other < s; ++other) {
      for (int i = 0; i < DRAWS; ++i) assert_int_not_equal(drawn[s][i], drawn[other][i]);
    }
  }
  UsRng again = us_rng(1, US_RNG_TEST, 0, 1, 0);
  for (int i = 0; i < DRAWS; ++i) assert_int_equal(us_rng_bits(&again), drawn[5][i]);
}

static void test_uniform(void** state) {
  enum { N = 200000 };
  UsRng rng = us_rng(3, US_RNG_TEST, 0, 0, 0);
  double sum = 0.0, square = 0.0;
  int count[7] = {0};
  for (int i = 0; i < N; ++i) {
    float x = us_rng_uniform(&rng);
    assert_true(x >= 0.0f && x < 1.0f);
    sum += x;
    square += (double)x * x;
    double y = us_rng_range(&rng, -2.0, 5.0);
    assert_true(y >= -2.0 && y < 5.0);
    ++count[us_rng_below(&rng, 7)];
  }
  assert_true(fabs(sum / N - 0.5) < 0.003);
  assert_true(fabs(square / N - 1.0 / 3.0) < 0.003);
  for (int i = 0; i < 7; ++i) assert_true(fabs(count[i] * 7.0 / N - 1.0) < 0.03);
  for (int i = 0; i < 100; ++i) assert_int_equal(us_rng_below(&rng, 1), 0);
}

static void test_normal(void** state) {
  enum { N = 400000 };
  static float x[N];
  UsRng rng = us_rng(4, US_RNG_TEST, 0, 0, 0);
  us_rng_fill_normal(&rng, x, N);
  double moment[5] = {0};
  double lag = 0.0;
  for (int i = 0; i < N; ++i) {
    for (int p = 1; p <= 4; ++p) moment[p] += pow(x[i], p) / N;
    if (i) lag += (double)x[i] * x[i - 1] / N;
  }
  assert_true(fabs(moment[1]) < 0.006);
  assert_true(fabs(moment[2] - 1.0) < 0.01);
  assert_true(fabs(moment[3]) < 0.02);
  assert_true(fabs(moment[4] - 3.0) < 0.06);
  assert_true(fabs(lag) < 0.006);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_answers),
      cmocka_unit_test(test_streams_differ),
      cmocka_unit_test(test_uniform),
      cmocka_unit_test(test_normal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
