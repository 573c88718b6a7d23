// Files, folders, hashes, and what their messages say.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "worldmodel/base/file.h"

static char folder[] = "/tmp/test_file_XXXXXX";
static char path[300];

static int setup(void** state) {
  if (!mkdtemp(folder)) return -1;
  us_path_join(path, sizeof path, folder, "file");
  return 0;
}

static int teardown(void** state) {
  unlink(path);
  return rmdir(folder);
}

static void says(const char* part) {
  if (!strstr(us_message(), part)) fail_msg("\"%s\" does not say \"%s\"", us_message(), part);
}

static void test_write_and_read(void** state) {
  void* data;
  size_t size;
  char text[300];
  assert_int_equal(us_file_write(path, "first", 5), US_OK);
  assert_int_equal(us_file_write(path, "a\0b", 3), US_OK);
  assert_int_equal(us_file_read(path, 0, &data, &size), US_OK);
  assert_int_equal(size, 3);
  assert_memory_equal(data, "a\0b\0", 4);
  free(data);
  assert_int_equal(us_file_exists(us_path_join(text, sizeof text, folder, "file.tmp")), 0);
  assert_int_equal(us_file_write(path, NULL, 0), US_OK);
  assert_int_equal(us_file_read(path, 0, &data, &size), US_OK);
  assert_int_equal(size, 0);
  free(data);
}

// A write that fails leaves the old file: here the temporary file cannot be made.
static void test_write_is_atomic(void** state) {
  char temporary[310];
  void* data;
  size_t size;
  snprintf(temporary, sizeof temporary, "%s.tmp", path);
  assert_int_equal(us_file_write(path, "old", 3), US_OK);
  assert_int_equal(mkdir(temporary, 0777), 0);
  assert_int_equal(us_file_write(path, "new", 3), US_IO);
  says(path);
  rmdir(temporary);
  assert_int_equal(us_file_read(path, 0, &data, &size), US_OK);
  assert_memory_equal(data, "old", 4);
  free(data);
}

static void test_read_failures(void** state) {
  void* data = path;
  size_t size;
  assert_int_equal(us_file_read("/no/such/file", 0, &data, &size), US_IO);
  assert_null(data);
  says("/no/such/file");
  assert_int_equal(us_file_read(folder, 0, &data, &size), US_IO);
  says("expected a file");
  assert_int_equal(us_file_write(path, "12345", 5), US_OK);
  assert_int_equal(us_file_read(path, 4, &data, &size), US_FORMAT);
  says("at most 4 bytes, found 5");
  assert_null(data);
}

static void test_folders(void** state) {
  char deep[300], inner[300];
  us_path_join(inner, sizeof inner, folder, "a");
  us_path_join(deep, sizeof deep, inner, "b");
  assert_int_equal(us_folder_make(deep), US_OK);
  assert_int_equal(us_folder_make(deep), US_OK);
  assert_true(us_file_exists(deep));
  rmdir(deep), rmdir(inner);
  assert_int_equal(us_file_write(path, "x", 1), US_OK);
  us_path_join(deep, sizeof deep, path, "below a file");
  assert_int_equal(us_folder_make(deep), US_IO);
  char name[4097] = {0};
  memset(name, 'x', 4032);
  assert_int_equal(us_folder_check(name), US_OK);
  memset(name, 'x', 4096);
  assert_int_equal(us_folder_check(name), US_IO);
  assert_int_equal(us_folder_make(name), US_IO);
  says("expected a folder's path of at most 4032 bytes, found 4096");
}

// Paths by their letters: whole ones, and the way from a folder to one.
static void test_paths(void** state) {
  static const char* const whole[][2] = {
      {"/a/b", "/a/b"},    {"/a//b/./c/", "/a/b/c"}, {"/a/../b", "/b"},      {"/../../a", "/a"},
      {"/a/b/../..", "/"}, {"/..a/.b", "/..a/.b"},   {"/a/bc/../d", "/a/d"}, {"/", "/"}};
  for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++) {
    char* found = us_path_absolute(whole[i][0]);
    assert_string_equal(found, whole[i][1]);
    free(found);
  }
  char here[4096];
  assert_non_null(getcwd(here, sizeof(here)));
  char *found = us_path_absolute("x/../y"), *way = us_path_between(here, found);
  assert_string_equal(way, "y");
  free(found);
  free(way);
  static const char* const between[][3] = {
      {"/a/b", "/a/b/c.x", "c.x"},   {"/a/b", "/a/c/d", "../c/d"},   {"/a/b/c", "/d", "../../../d"},
      {"/a/bc", "/a/b/x", "../b/x"}, {"/a/b", "/a/bc/x", "../bc/x"}, {"/", "/a/b", "a/b"}};
  for (size_t i = 0; i < sizeof(between) / sizeof(*between); i++) {
    way = us_path_between(between[i][0], between[i][1]);
    assert_string_equal(way, between[i][2]);
    free(way);
  }
}

// What is written replaces what is like it: neither an input nor a file of another kind.
static void test_replaceable(void** state) {
  const char* const none[] = {NULL};
  char linked[310];
  const char* const inputs[] = {"/nothing/there", path, NULL};
  snprintf(linked, sizeof(linked), "%s-linked", path);
  unlink(path);
  assert_int_equal(us_file_replaceable(path, "{", none), US_OK);
  assert_int_equal(us_file_write(path, "", 0), US_OK);
  assert_int_equal(us_file_replaceable(path, "{", none), US_OK);
  assert_int_equal(us_file_write(path, "{}", 2), US_OK);
  assert_int_equal(us_file_replaceable(path, "{", none), US_OK);
  assert_int_equal(us_file_replaceable(path, "\x89PNG", none), US_IO);
  says("of another kind");
  assert_int_equal(us_file_replaceable(path, NULL, none), US_OK);
  // An input, by another name too.
  assert_int_equal(us_file_replaceable(path, "{", inputs), US_USAGE);
  says(path);
  assert_int_equal(link(path, linked), 0);
  assert_true(us_file_same(path, linked));
  assert_int_equal(us_file_replaceable(linked, "{", inputs), US_USAGE);
  unlink(linked);
  assert_false(us_file_same(path, linked));
}

static void test_hash(void** state) {
  char hex[US_HASH_CHARS], file[US_HASH_CHARS];
  us_hash_bytes("abc", 3, hex);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  us_hash_bytes("", 0, hex);
  assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  size_t n = 3 << 20;  // more than one read
  char* many = malloc(n);
  memset(many, 'x', n);
  us_hash_bytes(many, n, hex);
  assert_int_equal(us_file_write(path, many, n), US_OK);
  free(many);
  assert_int_equal(us_hash_file(path, file), US_OK);
  assert_string_equal(hex, file);
  assert_int_equal(us_hash_file("/no/such/file", file), US_IO);
}

static void test_status(void** state) {
  assert_string_equal(us_status_text(US_OK), "ok");
  assert_string_equal(us_status_text((UsStatus)99), "unknown");
  assert_int_equal(us_fail(US_GL, "first %d", 1), US_GL);
  us_fail(US_IO, "second: %s", us_message());
  assert_string_equal(us_message(), "second: first 1");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_write_and_read), cmocka_unit_test(test_write_is_atomic),
      cmocka_unit_test(test_read_failures),  cmocka_unit_test(test_folders),
      cmocka_unit_test(test_paths),          cmocka_unit_test(test_hash),
      cmocka_unit_test(test_status),         cmocka_unit_test(test_replaceable),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
