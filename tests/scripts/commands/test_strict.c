// Files from outside as the program meets them: what their names hold cannot steer a terminal, and
// JSON is read by the letter.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/scripts/program.h"
#include "worldmodel/base/file.h"

static char folder[] = "/tmp/us_strict_XXXXXX";

static int make(void** state) {
  return mkdtemp(folder) ? 0 : 1;
}

static int drop(void** state) {
  char line[64];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line);
}

static const char* path_of(const char* name) {
  static char path[128];
  return us_path_join(path, sizeof(path), folder, name);
}

// A safetensors file with this header and `room` zero bytes of data.
static void write_tensors(const char* path, const char* header, size_t room) {
  size_t n = strlen(header);
  unsigned char* file = calloc(8 + n + room, 1);
  for (int i = 0; i < 8; i++) file[i] = (unsigned char)((uint64_t)n >> 8 * i);
  memcpy(file + 8, header, n);
  assert_int_equal(us_file_write(path, file, 8 + n + room), US_OK);
  free(file);
}

// No byte that a terminal obeys, but line breaks.
static void assert_tame(const char* text) {
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if ((c < ' ' && c != '\n') || c == 0x7f || c == 0x9b) fail_msg("found 0x%02x: %s", c, text);
  }
}

static Run run_on(const char* command, const char* path) {
  char line[512];
  snprintf(line, sizeof(line), "%s '%s'", command, path);
  Run r = run_program(folder, line);
  assert_tame(r.out);
  assert_tame(r.err);
  return r;
}

static void assert_says(const char* text, const char* part) {
  if (!strstr(text, part)) fail_msg("\"%s\" is not in: %s", part, text);
}

static void test_names(void** state) {
  const char* path = path_of("names.safetensors");
  write_tensors(path,
                "{\"\\u001b[2J\\u009b31m\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                "\"a\\nb\xc2\x9b\x7f\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
                "\"\xc3\xa9\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
                3);
  Run r = run_on("inspect", path);
  assert_int_equal(r.code, 0);
  assert_int_equal(lines_of(r.out), 4);
  assert_says(r.out, "\\u001b[2J\\u009b31m (1), 1 bytes");
  assert_says(r.out, "a\\nb\\u009b\\u007f (1)");
  assert_says(r.out, "\xc3\xa9 (1)");
  write_tensors(path,
                "{\"\\u001b[2J\\n\":{\"dtype\":\"\\u001b\",\"shape\":[],\"data_offsets\":[]}}", 0);
  r = run_on("inspect", path);
  assert_int_equal(r.code, 1);
  assert_int_equal(lines_of(r.err), 1);
  assert_says(r.err, "for \"\\u001b[2J\\n\", found \"\\u001b\"");
  const char title[] = "{\"\\u001b]0;title\\u0007\": 1}";
  us_file_write(path_of("x.json"), title, strlen(title));
  r = run_on("inspect", path_of("x.json"));
  assert_int_equal(r.code, 0);
  assert_says(r.out, "\\u001b]0;title\\u0007");
  r = run_on("inspect --\033[31m", path);
  assert_int_equal(r.code, 2);
}

// All dtypes of the format are listed with their bytes; a model takes those that it can read.
static void test_dtypes(void** state) {
  static const struct {
    const char* name;
    int count, bytes;
  } types[] = {{"F32", 2, 8},         {"F16", 2, 4},     {"BF16", 2, 4},    {"F64", 2, 16},
               {"BOOL", 2, 2},        {"F4", 2, 1},      {"F6_E2M3", 4, 3}, {"F6_E3M2", 4, 3},
               {"F8_E5M2", 2, 2},     {"F8_E4M3", 2, 2}, {"F8_E8M0", 2, 2}, {"F8_E4M3FNUZ", 2, 2},
               {"F8_E5M2FNUZ", 2, 2}, {"U8", 2, 2},      {"I8", 2, 2},      {"I16", 2, 4},
               {"U16", 2, 4},         {"I32", 2, 8},     {"U32", 2, 8},     {"I64", 2, 16},
               {"U64", 2, 16},        {"C64", 2, 16}};
  enum { kTypes = sizeof(types) / sizeof(*types) };
  char header[4096] = "{", line[128];
  size_t at = 1, room = 0;
  for (int i = 0; i < kTypes; i++) {
    at += (size_t)sprintf(
        header + at, "%s\"t%d\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[%zu,%zu]}",
        i ? "," : "", i, types[i].name, types[i].count, room, room + (size_t)types[i].bytes);
    room += (size_t)types[i].bytes;
  }
  strcpy(header + at, "}");
  write_tensors(path_of("types.safetensors"), header, room);
  Run r = run_on("inspect", path_of("types.safetensors"));
  assert_int_equal(r.code, 0);
  for (int i = 0; i < kTypes; i++) {
    snprintf(line, sizeof(line), "%-5s t%d (%d), %d bytes", types[i].name, i, types[i].count,
             types[i].bytes);
    assert_says(r.out, line);
  }
}

static void test_strict_json(void** state) {
  static const struct {
    const char *text, *says;
  } bad[] = {{"\xef\xbb\xbf{}", "a byte order mark"},
             {"{\"task\": \"a\", \"episodes\": 010}", "a leading zero"},
             {"{\"task\": \"a\\ud800\"}", "a lone surrogate"},
             {"{\"task\": \"\xff\"}", "not UTF-8"},
             {"{\"task\": \"a\",}", "where a name should stand"},
             {"{\"task\": \"a\", \"protocol\": \"b\", \"episodes\": 1e1}", "found 1e1"}};
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
    char line[256];
    const char* path = path_of("eval.json");
    us_file_write(path, bad[i].text, strlen(bad[i].text));
    snprintf(line, sizeof(line), "report --out '%s/report' --json", folder);
    Run r = run_on(line, path);
    assert_int_equal(r.code, 1);
    assert_int_equal(lines_of(r.err), 1);
    assert_says(r.err, bad[i].says);
    assert_says(r.err, path);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_dtypes),
      cmocka_unit_test(test_strict_json),
  };
  return cmocka_run_group_tests(tests, make, drop);
}
