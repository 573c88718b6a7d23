// safetensors: round trips, dtypes, and files that lie.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worldmodel/base/file.h"
#include "worldmodel/tensor_file.h"

// A file with this header and `room` zero bytes of data, into out; its size.
static size_t make(const char* header, size_t room, unsigned char* out) {
  size_t n = strlen(header);
  memset(out, 0, 8 + n + room);
  for (int i = 0; i < 8; ++i) out[i] = (unsigned char)((uint64_t)n >> 8 * i);
  memcpy(out + 8, header, n);
  return 8 + n + room;
}

static void test_round_trip(void** state) {
  const char* path = "test_tensor_file.safetensors";
  float a[6] = {1, -2, 3.5f, 1e-30f, -0.0f, 1e30f}, b = 7, got[6];
  const UsTensorOut out[] = {{"blocks.0.attn.qkv.weight", 2, {2, 3}, a},
                             {"a \"quoted\" name", 0, {0}, &b},
                             {"empty", 1, {0}, NULL},
                             {"cube", 4, {1, 3, 1, 2}, a}};
  const char *keys[] = {"step", "note"}, *values[] = {"17", "line\nbreak \xc3\xa9"};
  assert_int_equal(us_tensors_write(path, 4, out, 2, keys, values), US_OK);
  UsTensors* t;
  assert_int_equal(us_tensors_open(path, &t), US_OK);
  assert_int_equal(us_tensors_count(t), 4);
  assert_string_equal(us_tensors_name(t, 0), "blocks.0.attn.qkv.weight");
  assert_int_equal(us_tensors_rank(t, us_tensors_find(t, "cube")), 4);
  assert_int_equal(us_tensors_shape(t, 0)[1], 3);
  assert_int_equal(us_tensors_elements(t, 0), 6);
  assert_string_equal(us_tensors_dtype(t, 0), "F32");
  assert_string_equal(us_tensors_metadata(t, "note"), values[1]);
  assert_string_equal(us_tensors_metadata(t, "step"), "17");
  assert_null(us_tensors_metadata(t, "other"));
  assert_int_equal(us_tensors_find(t, "blocks"), -1);
  assert_int_equal(us_tensors_read(t, "blocks.0.attn.qkv.weight", 2, (const int64_t[]){2, 3}, got),
                   US_OK);
  assert_memory_equal(a, got, sizeof a);
  assert_int_equal(us_tensors_read(t, "cube", 4, (const int64_t[]){1, -1, 1, 2}, got), US_OK);
  assert_int_equal(us_tensors_read(t, "a \"quoted\" name", 0, NULL, got), US_OK);
  assert_true(got[0] == 7.0f);
  assert_int_equal(us_tensors_read(t, "empty", 1, (const int64_t[]){0}, got), US_OK);
  us_tensors_close(t);
  assert_int_equal(us_tensors_write(path, 0, NULL, 0, NULL, NULL), US_OK);
  assert_int_equal(us_tensors_open(path, &t), US_OK);
  assert_int_equal(us_tensors_count(t), 0);
  us_tensors_close(t);
  unlink(path);
}

static void test_read_failures(void** state) {
  const char* path = "test_tensor_file_read.safetensors";
  float a[2] = {1, NAN}, got[2] = {5, 5};
  const UsTensorOut out[] = {{"bad", 1, {2}, a}};
  assert_int_equal(us_tensors_write(path, 1, out, 0, NULL, NULL), US_OK);
  UsTensors* t;
  assert_int_equal(us_tensors_open(path, &t), US_OK);
  assert_int_equal(us_tensors_read(t, "bad", 1, (const int64_t[]){2}, got), US_FORMAT);
  assert_non_null(strstr(us_message(), "finite"));
  assert_true(got[0] == 5.0f);
  assert_int_equal(us_tensors_read(t, "bad", 1, (const int64_t[]){3}, got), US_FORMAT);
  assert_non_null(strstr(us_message(), "(3)"));
  assert_non_null(strstr(us_message(), "(2)"));
  assert_int_equal(us_tensors_read(t, "bad", 2, (const int64_t[]){2, 1}, got), US_FORMAT);
  assert_int_equal(us_tensors_read(t, "none", 2, (const int64_t[]){4, 9}, got), US_FORMAT);
  assert_non_null(strstr(us_message(), "\"none\" of shape (4, 9)"));
  assert_non_null(strstr(us_message(), path));
  us_tensors_close(t);
  assert_int_equal(us_tensors_open("no such folder/x", &t), US_IO);
  assert_null(t);
  assert_int_equal(us_tensors_write("no such folder/x", 1, out, 0, NULL, NULL), US_IO);
  us_tensors_close(NULL);
  unlink(path);
}

static void test_dtypes(void** state) {
  unsigned char file[1024];
  size_t n = make(
      "{\"h\":{\"dtype\":\"F16\",\"shape\":[5],\"data_offsets\":[0,10]},"
      "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[10,14]},"
      "\"d\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[14,22]},"
      "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[22,30]}} \n",
      30, file);
  // 1, -2, the smallest subnormal, the largest, 0.333..
  const uint16_t half[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x3555};
  const uint16_t brain[] = {0x3f80, 0xc049};
  double d = 0.1;
  memcpy(file + n - 30, half, 10);
  memcpy(file + n - 20, brain, 4);
  memcpy(file + n - 16, &d, 8);
  UsTensors* t;
  float got[5];
  assert_int_equal(us_tensors_open_memory("memory", file, n, &t), US_OK);
  assert_int_equal(us_tensors_read(t, "h", 1, (const int64_t[]){5}, got), US_OK);
  assert_true(got[0] == 1.0f && got[1] == -2.0f && got[2] == 0x1p-24f && got[3] == 65504.0f);
  assert_true(got[4] == 0.333251953125f);
  assert_int_equal(us_tensors_read(t, "b", 1, (const int64_t[]){2}, got), US_OK);
  assert_true(got[0] == 1.0f && got[1] == -3.140625f);
  assert_int_equal(us_tensors_read(t, "d", 1, (const int64_t[]){1}, got), US_OK);
  assert_true(got[0] == 0.1f);
  assert_int_equal(us_tensors_read(t, "i", 1, (const int64_t[]){1}, got), US_FORMAT);
  us_tensors_close(t);
  file[n - 30 + 1] = 0x7c;  // infinity
  assert_int_equal(us_tensors_open_memory("memory", file, n, &t), US_OK);
  assert_int_equal(us_tensors_read(t, "h", 1, (const int64_t[]){5}, got), US_FORMAT);
  us_tensors_close(t);
}

#define ENTRY(name, dtype, shape, offsets) \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(shape, offsets) "{" ENTRY("a", "F32", shape, offsets) "}"

static const struct {
  const char* header;
  size_t room;  // bytes of data
} lies[] = {
    {"", 0},
    {"{", 0},
    {"[]", 0},
    {"null", 0},
    {"{} x", 0},
    {"{}", 4},
    {"{\"a\":3}", 0},
    {"{\"a\":{}}", 0},
    {"{\"a\":[1,2,3]}", 0},
    {ONE("[1]", "[0,4]"), 3},
    {ONE("[1]", "[0,4]"), 5},
    {ONE("[1]", "[0,8]"), 8},
    {ONE("[1]", "[4,8]"), 8},
    {ONE("[1]", "[4,0]"), 4},
    {ONE("[1]", "[-4,0]"), 4},
    {ONE("[1]", "[0,4.5]"), 4},
    {ONE("[1]", "[0]"), 4},
    {ONE("[1]", "[0,4,4]"), 4},
    {ONE("[1]", "\"04\""), 4},
    {ONE("[1]", "[0,1e30]"), 4},
    {ONE("[1]", "[18446744073709551616,18446744073709551620]"), 4},
    {ONE("[-1]", "[0,4]"), 4},
    {ONE("[1.5]", "[0,4]"), 4},
    {ONE("[null]", "[0,4]"), 4},
    {ONE("1", "[0,4]"), 4},
    {ONE("[2147483648,2147483648,4]", "[0,0]"), 0},
    {ONE("[4611686018427387904,4]", "[0,0]"), 0},
    {ONE("[4503599627370496,4096]", "[0,0]"), 0},
    {ONE("[4503599627370496,1024]", "[0,0]"), 0},
    {"{" ENTRY("a", "F33", "[1]", "[0,4]") "}", 4},
    {"{" ENTRY("a", "f32", "[1]", "[0,4]") "}", 4},
    {"{" ENTRY("a", "F64", "[1]", "[0,4]") "}", 4},
    {"{" ENTRY("a\\u0000b", "F32", "[1]", "[0,4]") "," ENTRY("a", "F32", "[1]", "[4,8]") "}", 8},
    {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("a", "F32", "[1]", "[4,8]") "}", 8},
    {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("b", "F32", "[1]", "[0,4]") "}", 4},
    {"{" ENTRY("a", "F32", "[2]", "[0,8]") "," ENTRY("b", "F32", "[2]", "[4,12]") "}", 12},
    {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("b", "F32", "[1]", "[8,12]") "}", 12},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"Dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":{\"0\":1},\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[[1]],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{\"a\":0,\"b\":4}}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[[0],[4]]}}", 4},
    {"{\"a\":{\"dtype\":null,\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
    {ONE("[1]", "[null,4]"), 4},
    {ONE("[1]", "[true,4]"), 4},
    {ONE("[1]", "null"), 4},
    {ONE("null", "[0,4]"), 4},
    {ONE("[true]", "[0,4]"), 4},
    {ONE("[1e400]", "[0,4]"), 4},
    {ONE("[-0.5]", "[0,4]"), 4},
    {ONE("[0]", "[0,4]"), 4},
    {ONE("[]", "[0,0]"), 0},
    {ONE("[9007199254740993]", "[0,4]"), 4},
    {"{" ENTRY("a", "F32 ", "[1]", "[0,4]") "}", 4},
    {"{" ENTRY("a", "BOOL", "[4]", "[0,3]") "}", 3},
    {"{" ENTRY("a", "F32", "[1]", "[0,4]") "}{}", 4},
    {"{" ENTRY("a", "F32", "[1]", "[0,4]") ",}", 4},
    {"{\"__metadata__\":{\"k\":{}}}", 0},
    {"{\"__metadata__\":{\"k\":null}}", 0},
    {"{\"__metadata__\":[]}", 0},
    {"{\"__metadata__\":{\"k\":1}}", 0},
    {"{\"__metadata__\":{\"k\":\"v\",\"k\":\"w\"}}", 0},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0},
};

static void test_lies(void** state) {
  for (size_t i = 0; i < sizeof lies / sizeof *lies; ++i) {
    size_t size = 8 + strlen(lies[i].header) + lies[i].room;
    unsigned char* file = malloc(size);  // exactly, so that a sanitizer sees reads behind it
    make(lies[i].header, lies[i].room, file);
    UsTensors* t;
    UsStatus status = us_tensors_open_memory("lie.safetensors", file, size, &t);
    if (status != US_FORMAT || t) fail_msg("accepted %s", lies[i].header);
    assert_ptr_equal(strstr(us_message(), "lie.safetensors"), us_message());
    assert_null(strchr(us_message(), '\n'));
    free(file);
  }
}

// Every file cut short, and every byte of a header replaced, is an answer and not a crash.
static void test_cut_and_changed(void** state) {
  unsigned char file[512];
  size_t n = make("{" ENTRY("a", "F32", "[2]", "[0,8]") "," ENTRY("b", "F16", "[2]", "[8,12]") "}",
                  12, file);
  UsTensors* t;
  for (size_t size = 0; size < n; ++size) {
    unsigned char* cut = malloc(size + (size == 0));
    memcpy(cut, file, size);
    assert_int_equal(us_tensors_open_memory("cut", cut, size, &t), US_FORMAT);
    free(cut);
  }
  const unsigned char values[] = {0, 0x7f, 0xff, '"', '{', '[', ',', '9'};
  for (size_t i = 0; i < n - 12; ++i) {
    for (size_t v = 0; v < sizeof values; ++v) {
      unsigned char* changed = malloc(n);
      memcpy(changed, file, n);
      changed[i] = values[v];
      us_tensors_open_memory("changed", changed, n, &t);
      us_tensors_close(t);
      free(changed);
    }
  }
}

static void test_deep_and_wide(void** state) {
  size_t n = (size_t)1 << 20;
  char* header = malloc(n + 1);
  unsigned char* file = malloc(n + 8);
  UsTensors* t;
  memset(header, '[', n);
  memcpy(header, "{\"a\":", 5);
  header[n] = 0;
  assert_int_equal(us_tensors_open_memory("deep", file, make(header, 0, file), &t), US_FORMAT);
  memset(file, 0xff, 8);  // a length near 2^64
  assert_int_equal(us_tensors_open_memory("long", file, n, &t), US_FORMAT);
  size_t at = (size_t)sprintf(header, "{");
  for (int i = 0; i < 10000; ++i) {
    at += (size_t)sprintf(header + at, "%s" ENTRY("t%d", "F32", "[0]", "[0,0]"), i ? "," : "", i);
  }
  sprintf(header + at, "}");
  assert_int_equal(us_tensors_open_memory("wide", file, make(header, 0, file), &t), US_OK);
  assert_int_equal(us_tensors_count(t), 10000);
  assert_string_equal(us_tensors_name(t, us_tensors_find(t, "t777")), "t777");
  us_tensors_close(t);
  free(header);
  free(file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_read_failures),
      cmocka_unit_test(test_dtypes),          cmocka_unit_test(test_lies),
      cmocka_unit_test(test_cut_and_changed), cmocka_unit_test(test_deep_and_wide),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
