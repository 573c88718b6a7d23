// UTF-8, and text that is safe to print.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "worldmodel/base/status.h"
#include "worldmodel/base/text.h"

// Every code point, written as it should be, is one character; none is another's beginning.
static void test_utf8(void** state) {
  for (unsigned c = 0; c < 0x110000; c += c < 0x11000 ? 1 : 97) {
    char s[4];
    unsigned code = 0;
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) s[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
    s[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xff) | c >> 6 * (n - 1));
    int surrogate = c >= 0xd800 && c < 0xe000;
    assert_int_equal(us_utf8(s, n, &code), surrogate ? 0 : n);
    if (!surrogate) assert_int_equal(code, c);
    if (n > 1) assert_int_equal(us_utf8(s, n - 1, NULL), 0);
  }
  static const char* const bad[] = {"\x80",
                                    "\xbf",
                                    "\xc0\x80",
                                    "\xc1\xbf",
                                    "\xe0\x9f\xbf",
                                    "\xed\xa0\x80",
                                    "\xf0\x8f\xbf\xbf",
                                    "\xf4\x90\x80\x80",
                                    "\xf5\x80\x80\x80",
                                    "\xff",
                                    "\xc3("};
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
    assert_int_equal(us_utf8(bad[i], strlen(bad[i]), NULL), 0);
  }
}

static void test_shown(void** state) {
  static const struct {
    const char *text, *shown;
  } cases[] = {
      {"", ""},
      {"plain name.0/w", "plain name.0/w"},
      {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
      {"a\nb\tc\r", "a\\nb\\tc\\r"},
      {"\033[31mred\a\x7f", "\\u001b[31mred\\u0007\\u007f"},
      {"\xc2\x9b"
       "31m",
       "\\u009b31m"},  // C1: a terminal's escape too
      {"\x9b"
       "31m",
       "\\x9b31m"},  // the same outside UTF-8
      {"\xe2\x80\xaetxt.exe\xe2\x80\xa8", "\\u202etxt.exe\\u2028"},
      {"cut \xe2\x82", "cut \\xe2\\x82"},
      {"\\u001b", "\\u001b"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    assert_string_equal(us_shown(cases[i].text), cases[i].shown);
    assert_int_equal(us_fail(US_FORMAT, "%s", cases[i].text), US_FORMAT);
    assert_string_equal(us_message(), cases[i].shown);
    us_fail(US_FORMAT, "again: %s", us_message());
    assert_string_equal(us_message() + 7, cases[i].shown);
  }
  assert_string_equal(us_shown(NULL), "?");
}

static void test_room(void** state) {
  char text[3000], out[8];
  memset(text, 'x', sizeof(text));
  text[2999] = 0;
  const char* shown = us_shown(text);
  assert_true(strlen(shown) < 600 && !strcmp(shown + strlen(shown) - 3, "..."));
  assert_string_equal(us_text_escape("ab\033\033", out, sizeof(out)), "ab");  // no half escapes
  assert_string_equal(us_text_escape("abc\xc3\xa9\xc3\xa9\xc3\xa9", out, sizeof(out)),
                      "abc\xc3\xa9\xc3\xa9");
  const char* both[2] = {us_shown("one"), us_shown("two")};
  assert_string_equal(both[0], "one");
  assert_string_equal(both[1], "two");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_utf8),
      cmocka_unit_test(test_shown),
      cmocka_unit_test(test_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
