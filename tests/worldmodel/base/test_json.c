// JSON: what is refused, where, and that what is read is what was written.

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worldmodel/base/file.h"
#include "worldmodel/base/text.h"

static void says(const char* part) {
  if (!strstr(us_message(), part)) fail_msg("\"%s\" does not say \"%s\"", us_message(), part);
}

// Parses exactly these bytes, so that a sanitizer sees reads behind them.
static UsStatus parse(const char* text, cJSON** json) {
  size_t n = strlen(text);
  char* bytes = malloc(n + !n);
  memcpy(bytes, text, n);
  UsStatus status = us_json_parse("x.json", bytes, n, json);
  free(bytes);
  return status;
}

static void test_refused(void** state) {
  static const struct {
    const char *text, *message;
  } bad[] = {
      {"", "found the end where a value should stand at byte 0"},
      {"{", "the end where a name"},
      {"[1]", "one JSON object"},
      {"3", "one JSON object"},
      {"nul", "one JSON object"},
      {"\xef\xbb\xbf{}", "a byte order mark at byte 0"},
      {"{\"a\":}", "'}' where a value should stand at byte 5"},
      {"{\"a\":1} more", "'m' where the end should stand at byte 8"},
      {"{}{}", "'{' where the end should stand at byte 2"},
      {"{\"a\":1,}", "'}' where a name should stand at byte 7"},
      {"{\"a\":[1,]}", "']' where a value should stand at byte 8"},
      {"{\"a\":01}", "a leading zero at byte 6"},
      {"{\"a\":-}", "'}' where a digit should stand at byte 6"},
      {"{\"a\":1.}", "where a digit should stand at byte 7"},
      {"{\"a\":1e}", "where a digit should stand at byte 7"},
      {"{\"a\":.5}", "'.' where a value"},
      {"{\"a\":1e999}", "beyond 1.8e308 at byte 5"},
      {"{\"a\":NaN}", "'N' where a value"},
      {"{\"a\":\"\n\"}", "a control character in a text at byte 6"},
      {"{\"a\":\"\xc0\x80\"}", "not UTF-8 at byte 6"},
      {"{\"a\":\"\xed\xa0\x80\"}", "not UTF-8 at byte 6"},
      {"{\"a\":\"\xf4\x90\x80\x80\"}", "not UTF-8 at byte 6"},
      {"{\"a\":\"\xe2\x82\"}", "not UTF-8 at byte 6"},
      {"{\"a\":\"\\ud83d\"}", "a lone surrogate"},
      {"{\"a\":\"\\ude00\"}", "a lone surrogate"},
      {"{\"a\":\"\\x\"}", "'x' where an escape should stand at byte 7"},
      {"{\"a\":\"\\u12\"}", "where a hex digit"},
      {"{\"a\":\"\\", "the end where an escape"},
      {"{\"a\":\"b", "the end where the end of a text"},
      {"{\"a\\u0000\":1}", "a NUL in a name"},
      {"{\"a\":1,\"\\u0061\":2}", "found \"a\" twice"},
      {"{\"b\":{\"c\":[{\"a\":1,\"x\":0,\"a\":2}]}}", "found \"a\" twice"},
      {"{\"a\":tru}", "where a value"},
      {"{\"a\" 1}", "'1' where ':' should stand"},
      {"{\"a\":1 \"b\":2}", "where ',' or '}' should stand"},
      {"{\"a\":1\v}", "the byte 0x0b where"},
  };
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); ++i) {
    cJSON* json;
    if (parse(bad[i].text, &json) != US_FORMAT) fail_msg("accepted %s", bad[i].text);
    assert_null(json);
    assert_ptr_equal(strstr(us_message(), "x.json: "), us_message());
    says(bad[i].message);
  }
}

static void test_nul_bytes(void** state) {
  cJSON* json;
  assert_int_equal(us_json_parse("x.json", "{}\0", 3, &json), US_FORMAT);
  says("the byte 0x00 where the end");
  assert_int_equal(us_json_parse("x.json", "{\"a\0\":1}", 8, &json), US_FORMAT);
}

static void test_depth(void** state) {
  char text[4 * US_JSON_DEPTH];
  for (int depth = US_JSON_DEPTH; depth <= US_JSON_DEPTH + 1; depth++) {
    size_t at = (size_t)sprintf(text, "{\"a\":"), n = (size_t)depth - 1;
    memset(text + at, '[', n);
    memset(text + at + n, ']', n);
    strcpy(text + at + 2 * n, "}");
    cJSON* json;
    assert_int_equal(parse(text, &json), depth > US_JSON_DEPTH ? US_FORMAT : US_OK);
    if (depth > US_JSON_DEPTH) says("too many brackets");
    cJSON_Delete(json);
  }
}

static cJSON* parsed(const char* text) {
  cJSON* json;
  if (parse(text, &json) != US_OK) fail_msg("%s", us_message());
  return json;
}

static void test_texts(void** state) {
  cJSON* json = parsed(
      " {\"\\u00e9\\n\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u20AC\\ud83d\\ude00 \xc3\xa9\x7f\","
      "\"nul\": \"a\\u0000b\", \"t\": true, \"f\" : false,\t\"n\":null, \"l\":[ ], \"o\":{ }}\r\n");
  assert_string_equal(json->child->string, "\xc3\xa9\n");
  assert_string_equal(json->child->valuestring,
                      "\"\\/\b\f\n\r\tA\xe2\x82\xac\xf0\x9f\x98\x80 \xc3\xa9\x7f");
  assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "nul")),
                      "a\xc0\x80"
                      "b");
  char out[9];
  assert_int_equal(us_json_text("x.json", json, "nul", NULL, out, sizeof(out)), US_FORMAT);
  says("a NUL");
  assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "t")));
  assert_true(cJSON_IsFalse(cJSON_GetObjectItem(json, "f")));
  assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "n")));
  assert_int_equal(cJSON_GetArraySize(json), 7);
  cJSON_Delete(json);
}

// Integers are read to the last digit, and only those that are written as such.
static void test_whole(void** state) {
  static const struct {
    const char* text;
    int whole;
    uint64_t value;
  } cases[] = {{"0", 1, 0},
               {"7", 1, 7},
               {"9007199254740993", 1, 9007199254740993u},
               {"18446744073709551615", 1, UINT64_MAX},
               {"18446744073709551616", 0, 0},
               {"-0", 0, 0},
               {"-7", 0, 0},
               {"-9007199254740993", 0, 0},
               {"7.0", 0, 0},
               {"7e0", 0, 0},
               {"70E-1", 0, 0},
               {"1e30", 0, 0},
               {"\"7\"", 0, 0}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    char text[64];
    uint64_t x;
    int k;
    snprintf(text, sizeof(text), "{\"a\":%s}", cases[i].text);
    cJSON* json = parsed(text);
    if (us_json_whole(json->child, &x) != cases[i].whole) fail_msg("%s", text);
    if (cases[i].whole) assert_true(x == cases[i].value);
    int small = cases[i].whole && cases[i].value < 10;
    assert_int_equal(us_json_int("x.json", json, "a", -9, 9, NULL, &k),
                     small || !strcmp(cases[i].text, "-7") ? US_OK : US_FORMAT);
    cJSON_Delete(json);
  }
  cJSON* json = parsed("{\"a\":7.0}");
  int k;
  assert_int_equal(us_json_int("x.json", json, "a", 0, 9, NULL, &k), US_FORMAT);
  says("expected a whole number for \"a\", found 7.0");
  cJSON_Delete(json);
}

static void test_numbers(void** state) {
  cJSON* json = parsed("{\"a\":[0.1,-2.5e-3,1E+2,5e-324,123456789012345678901234567890,-0]}");
  const double want[] = {0.1, -2.5e-3, 100, 5e-324, 123456789012345678901234567890.0, -0.0};
  for (int i = 0; i < 6; i++) {
    assert_true(cJSON_GetArrayItem(json->child, i)->valuedouble == want[i]);
  }
  cJSON_Delete(json);
  char path[] = "/tmp/test_json_XXXXXX";
  close(mkstemp(path));
  json = parsed("{\"a\": 1.5}");
  assert_int_equal(us_json_write(path, json), US_OK);
  cJSON_Delete(json);
  assert_int_equal(us_json_read(path, &json), US_OK);
  assert_true(cJSON_GetObjectItemCaseSensitive(json, "a")->valuedouble == 1.5);
  cJSON_Delete(json);
  // A file's name may be any bytes; what we write can be read again.
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "file", "d\xe9j\xc3\xa0\xff.h5");
  assert_int_equal(us_json_write(path, json), US_OK);
  cJSON_Delete(json);
  assert_int_equal(us_json_read(path, &json), US_OK);
  assert_string_equal(json->child->valuestring, "d\xef\xbf\xbdj\xc3\xa0\xef\xbf\xbd.h5");
  cJSON_Delete(json);
  unlink(path);
  assert_int_equal(us_json_read("/no/such/file", &json), US_IO);
  assert_null(json);
}

static void test_members(void** state) {
  const char* text = "{\"n\": 2.5, \"i\": 7, \"t\": \"hello\", \"null\": null, \"b\": true}";
  cJSON* json;
  double x;
  int i, seven = 7;
  char out[6];
  assert_int_equal(us_json_parse("x.json", text, strlen(text), &json), US_OK);
  assert_int_equal(us_json_number("x.json", json, "n", 0, 3, NULL, &x), US_OK);
  assert_true(x == 2.5);
  assert_int_equal(us_json_number("x.json", json, "n", 0, 2, NULL, &x), US_FORMAT);
  says("x.json: expected \"n\" in [0, 2], found 2.5");
  assert_int_equal(us_json_number("x.json", json, "t", 0, 2, NULL, &x), US_FORMAT);
  assert_int_equal(us_json_number("x.json", json, "null", 0, 2, &x, &x), US_FORMAT);
  assert_int_equal(us_json_number("x.json", json, "none", 0, 2, NULL, &x), US_FORMAT);
  assert_int_equal(us_json_int("x.json", json, "i", 0, 9, NULL, &i), US_OK);
  assert_int_equal(i, 7);
  assert_int_equal(us_json_int("x.json", json, "n", 0, 9, NULL, &i), US_FORMAT);
  says("whole");
  assert_int_equal(us_json_int("x.json", json, "none", 0, 9, &seven, &i), US_OK);
  assert_int_equal(i, 7);
  assert_int_equal(us_json_text("x.json", json, "t", NULL, out, sizeof out), US_OK);
  assert_string_equal(out, "hello");
  assert_int_equal(us_json_text("x.json", json, "t", NULL, out, 5), US_FORMAT);
  assert_int_equal(us_json_text("x.json", json, "i", "d", out, 5), US_FORMAT);
  assert_int_equal(us_json_text("x.json", json, "none", "d", out, 5), US_OK);
  assert_string_equal(out, "d");
  assert_int_equal(us_json_flag("x.json", json, "b", 0, &i), US_OK);
  assert_int_equal(i, 1);
  assert_int_equal(us_json_flag("x.json", json, "none", 0, &i), US_OK);
  assert_int_equal(i, 0);
  assert_int_equal(us_json_flag("x.json", json, "i", 0, &i), US_FORMAT);
  cJSON_Delete(json);
}

// JSON has no NaN and no infinity: whatever writes numbers writes null for them.
static void test_no_number_is_null(void** state) {
  const double none[] = {NAN, INFINITY, -INFINITY};
  char text[US_NUMBER_CHARS];
  cJSON *object = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(object, "list");
  for (int i = 0; i < 3; i++) {
    us_json_append(list, none[i]);
    assert_string_equal(us_json_format(text, "%.4g", none[i]), "null");
  }
  us_json_append(list, 0.5);
  us_json_add(object, "ratio", none[1]);
  us_json_add(object, "one", 1);
  assert_string_equal(us_json_format(text, "%.4g", 0.25), "0.25");
  char* written = cJSON_PrintUnformatted(object);
  assert_string_equal(written, "{\"list\":[null,null,null,0.5],\"ratio\":null,\"one\":1}");
  cJSON_free(written);
  cJSON_Delete(object);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refused),   cmocka_unit_test(test_no_number_is_null),
      cmocka_unit_test(test_nul_bytes), cmocka_unit_test(test_depth),
      cmocka_unit_test(test_texts),     cmocka_unit_test(test_whole),
      cmocka_unit_test(test_numbers),   cmocka_unit_test(test_members),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
