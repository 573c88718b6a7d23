// CRC-32C: published answers, and one number whichever way and in however many pieces.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "worldmodel/base/crc32c.h"

typedef uint32_t (*Way)(uint32_t crc, const void* data, size_t size);
static const Way ways[] = {us_crc32c, us_crc32c_tables};
enum { kWays = 2 };

// The answers of RFC 3720, B.4, and the usual check value.
static void test_published(void** state) {
  uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
  memset(ones, 0xff, sizeof(ones));
  for (int i = 0; i < 32; i++) {
    up[i] = (uint8_t)i;
    down[i] = (uint8_t)(31 - i);
  }
  for (int w = 0; w < kWays; w++) {
    assert_int_equal(ways[w](0, zeros, 32), 0x8a9136aa);
    assert_int_equal(ways[w](0, ones, 32), 0x62a8ab43);
    assert_int_equal(ways[w](0, up, 32), 0x46dd794e);
    assert_int_equal(ways[w](0, down, 32), 0x113fdb5c);
    assert_int_equal(ways[w](0, "123456789", 9), 0xe3069283);
    assert_int_equal(ways[w](0, "", 0), 0);
  }
}

// Every length and offset, whole and in two pieces.
static void test_pieces(void** state) {
  uint8_t data[80];
  for (size_t i = 0; i < sizeof(data); i++) data[i] = (uint8_t)(i * i * 37 + 11);
  for (size_t start = 0; start < 9; start++) {
    for (size_t n = 0; start + n <= sizeof(data); n++) {
      const uint8_t* p = data + start;
      uint32_t whole = us_crc32c(0, p, n);
      assert_int_equal(us_crc32c_tables(0, p, n), whole);
      for (int w = 0; w < kWays; w++) {
        uint32_t first = ways[w](0, p, n / 3);
        assert_int_equal(ways[w](first, p + n / 3, n - n / 3), whole);
      }
    }
  }
}

// Any single changed bit changes the sum.
static void test_changed_bits(void** state) {
  uint8_t data[61] = "one row of pixels, shorter than most, and not a multiple of 8";
  uint32_t good = us_crc32c(0, data, sizeof(data));
  for (size_t bit = 0; bit < 8 * sizeof(data); bit++) {
    data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    assert_int_not_equal(us_crc32c(0, data, sizeof(data)), good);
    data[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_published),
      cmocka_unit_test(test_pieces),
      cmocka_unit_test(test_changed_bits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
