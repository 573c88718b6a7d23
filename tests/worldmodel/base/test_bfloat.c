// bfloat16: every one of them comes back, and every kind of float becomes the nearest.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/rng.h"

static float of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

static void test_round_trip(void** state) {
  for (uint32_t b = 0; b <= UINT16_MAX; b++) {
    float x = us_bfloat_wide((uint16_t)b);
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    assert_int_equal(bits, b << 16);
    // Of a NaN the quiet bit is set.
    int quieted = isnan(x) ? 0x40 : 0;
    if (us_bfloat(x) != (b | (uint32_t)quieted)) fail_msg("%04x: %04x", b, us_bfloat(x));
  }
}

// The value of a bfloat16 without its sign; where infinity would be, the number that follows.
static double size_of(uint16_t b) {
  return (b & 0x7fff) == 0x7f80 ? 0x1p128 : fabs((double)us_bfloat_wide(b));
}

// Compares with the nearer of the two neighbours, found by subtracting.
static void check(uint32_t bits) {
  float x = of_bits(bits);
  uint16_t low = (uint16_t)(bits >> 16), high = (uint16_t)(low + 1), got = us_bfloat(x);
  if (isnan(x)) {
    if (!isnan(us_bfloat_wide(got)) || got >> 15 != low >> 15) fail_msg("%08x: %04x", bits, got);
    return;
  }
  uint16_t want = low;
  if (isfinite(x)) {
    double down = fabs((double)x) - size_of(low), up = size_of(high) - fabs((double)x);
    if (up < down || (up == down && low % 2 == 1)) want = high;
  }
  if (got != want) fail_msg("%08x (%g): expected %04x, found %04x", bits, (double)x, want, got);
}

// Around every bfloat16: on it, beside it, halfway to the next and beside that.
static void test_every_kind(void** state) {
  static const uint32_t behind[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
  for (uint32_t b = 0; b <= UINT16_MAX; b++) {
    for (int i = 0; i < 6; i++) check(b << 16 | behind[i]);
  }
  UsRng r = us_rng(1, US_RNG_TEST, 0, 0, 0);
  for (int i = 0; i < 1000000; i++) check(us_rng_bits(&r));
  // By name.
  assert_int_equal(us_bfloat(0.0f), 0);
  assert_int_equal(us_bfloat(-0.0f), 0x8000);
  assert_int_equal(us_bfloat(1), 0x3f80);
  assert_int_equal(us_bfloat(1 + 0x1p-8f), 0x3f80);      // halfway: to the even one below
  assert_int_equal(us_bfloat(1 + 3 * 0x1p-8f), 0x3f82);  // and above
  assert_int_equal(us_bfloat(0x1p-149f), 0);             // the least float
  assert_int_equal(us_bfloat(0x1.fffffep127f), 0x7f80);  // the largest
  assert_int_equal(us_bfloat(-INFINITY), 0xff80);
  assert_int_equal(us_bfloat(of_bits(0x7f800001u)), 0x7fc0);  // a NaN of the lower half alone
  assert_int_equal(us_bfloat(of_bits(0xff80ffffu)), 0xffc0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                     cmocka_unit_test(test_every_kind)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
