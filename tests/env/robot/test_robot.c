// Robots as zips: the same bytes for the same files, all of them back, and one line for archives
// that are not what they say.

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
#include <zip.h>

#include "env/robot.h"
#include "worldmodel/base/rng.h"

static char folder[] = "/tmp/understudy-robot-XXXXXX";
static const char notes[] =
    "{\"format\": \"understudy robot\", \"version\": 1, \"task\": \"mjcf-a-1\", \"model\": "
    "\"b/arm.xml\"}";

static const char* in_folder(const char* name) {
  static char path[512];
  return us_path_join(path, sizeof(path), folder, name);
}

static void add(UsRobot* r, const char* name, const char* text) {
  assert_int_equal(us_robot_add(r, name, text, strlen(text)), US_OK);
}

static UsRobot make(int backwards) {
  static const char* const file[][2] = {{"robot.json", notes},
                                        {"robot/a.obj", "v 0 0 0"},
                                        {"robot/b/arm.xml", "<mujoco/>"},
                                        {"robot/empty", ""}};
  UsRobot r = {0};
  for (int i = 0; i < 4; i++)
    add(&r, file[backwards ? 3 - i : i][0], file[backwards ? 3 - i : i][1]);
  if (us_robot_check("made", &r) != US_OK) fail_msg("%s", us_message());
  return r;
}

static void refused(const char* name, const char* part) {
  UsRobot r = {0};
  const char* path = in_folder(name);
  UsStatus status = us_robot_read(path, &r);
  if (status == US_OK || r.count || strncmp(us_message(), path, strlen(path)) ||
      !strstr(us_message(), part) || strchr(us_message(), '\n')) {
    fail_msg("%s: %d, \"%s\" (expected \"%s\")", name, status, us_message(), part);
  }
}

// ---- whole ones ----

static void same_bytes(void** state) {
  UsRobot a = make(0), b = make(1), back = {0};
  char one[US_HASH_CHARS], other[US_HASH_CHARS];
  assert_string_equal(a.task, "mjcf-a-1");
  assert_string_equal(a.file[1].name, "robot/b/arm.xml");
  assert_int_equal(us_robot_hash(&a, one) | us_robot_hash(&b, other), US_OK);
  assert_string_equal(one, other);
  assert_int_equal(us_robot_write(in_folder("a.zip"), &a), US_OK);
  sleep(1);
  assert_int_equal(us_robot_write(in_folder("b.zip"), &b), US_OK);
  assert_int_equal(us_hash_file(in_folder("a.zip"), one), US_OK);
  assert_int_equal(us_hash_file(in_folder("b.zip"), other), US_OK);
  assert_string_equal(one, other);
  // And back.
  if (us_robot_read(in_folder("b.zip"), &back) != US_OK) fail_msg("%s", us_message());
  assert_int_equal(back.count, 4);
  for (int i = 0; i < 4; i++) {
    assert_string_equal(back.file[i].name, a.file[i].name);
    assert_string_equal(back.file[i].data, a.file[i].data);
    assert_int_equal(back.file[i].size, a.file[i].size);
  }
  us_robot_free(&back);
  // Another name, another byte: another hash.
  assert_int_equal(us_robot_hash(&a, one), US_OK);
  b.file[2].data[0] = 'V';
  assert_int_equal(us_robot_hash(&b, other), US_OK);
  assert_string_not_equal(one, other);
  a.file[3].name[strlen(a.file[3].name) - 1] = 'Y';
  assert_int_equal(us_robot_hash(&a, other), US_OK);
  assert_string_not_equal(one, other);
  us_robot_free(&a);
  us_robot_free(&b);
}

// ---- hostile ones ----

// A zip of robot.json, the text, and one entry more; kind: of its rights, 0 a file.
static void craft(const char* name, const char* entry, unsigned kind) {
  int error;
  zip_t* z = zip_open(in_folder(name), ZIP_CREATE | ZIP_TRUNCATE, &error);
  assert_non_null(z);
  const char* const file[][2] = {
      {"robot.json", notes}, {"robot/b/arm.xml", "<mujoco/>"}, {entry, "some text, some text"}};
  for (int i = 0; i < 3; i++) {
    if (!file[i][0]) continue;
    zip_source_t* s = zip_source_buffer(z, file[i][1], strlen(file[i][1]), 0);
    zip_int64_t at = zip_file_add(z, file[i][0], s, ZIP_FL_ENC_UTF_8);
    assert_true(at >= 0);
    zip_set_file_compression(z, (zip_uint64_t)at, ZIP_CM_STORE, 0);
    if (i == 2 && kind) {
      zip_file_set_external_attributes(z, (zip_uint64_t)at, 0, ZIP_OPSYS_UNIX, kind << 16);
    }
  }
  assert_int_equal(zip_close(z), 0);
}

// Replaces bytes wherever they stand in a file.
static void patch(const char* name, const char* from, const char* to, size_t size) {
  void* data;
  size_t length;
  int found = 0;
  assert_int_equal(us_file_read(in_folder(name), 0, &data, &length), US_OK);
  for (size_t i = 0; i + size <= length; i++) {
    if (memcmp((char*)data + i, from, size) != 0) continue;
    memcpy((char*)data + i, to, size);
    found++;
  }
  assert_true(found > 0);
  assert_int_equal(us_file_write(in_folder(name), data, length), US_OK);
  free(data);
}

static void names(void** state) {
  static const char* const bad[] = {
      "robot/../../.bashrc", "/etc/passwd",   "robot/a/./b", "robot//a",  "other/a",
      "robot/a\\..\\b",      "../robot.json", "robot/..",    "robot/a\nb"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
    craft("name.zip", bad[i], 0);
    refused("name.zip", "expected robot.json and files in robot/, found \"");
  }
  craft("folder.zip", "robot/a/", 0);
  refused("folder.zip", "found \"robot/a/\"");
  craft("twice.zip", "robot/b/arm.xmL", 0);
  patch("twice.zip", "robot/b/arm.xmL", "robot/b/arm.xml", 15);
  refused("twice.zip", "expected a zip of a robot, found: ");
  UsRobot r = make(0);
  add(&r, "robot/empty", "no more");
  assert_int_equal(us_robot_check("twice", &r), US_FORMAT);
  assert_string_equal(us_message(), "twice: robot/empty: expected once, found twice");
  us_robot_free(&r);
}

static void kinds(void** state) {
  craft("link.zip", "robot/link", S_IFLNK | 0777);
  refused("link.zip", "robot/link: expected a file, found a link");
  craft("pipe.zip", "robot/pipe", S_IFIFO | 0777);
  refused("pipe.zip", "robot/pipe: expected a file, found something else");
  // A gigabyte and more, of twenty bytes; then as many as none can hold.
  craft("large.zip", "robot/large", 0);
  patch("large.zip", "\x14\0\0\0\x14\0\0\0", "\x14\0\0\0\xff\xff\xff\x7f", 8);
  refused("large.zip", "robot/large: expected at most 1073741824 bytes in all");
  craft("bomb.zip", "robot/bomb", 0);
  patch("bomb.zip", "\x14\0\0\0\x14\0\0\0", "\x14\0\0\0\xff\xff\xff\x0f", 8);
  refused("bomb.zip", "robot/bomb: expected at most 21672 bytes of 20 packed ones");
  craft("longer.zip", "robot/longer", 0);
  patch("longer.zip", "\x14\0\0\0\x14\0\0\0", "\x14\0\0\0\x18\0\0\0", 8);
  refused("longer.zip", "robot/longer: expected 24 whole bytes");
  craft("changed.zip", "robot/changed", 0);
  patch("changed.zip", "some text", "same text", 9);
  refused("changed.zip", "robot/changed: expected 20 whole bytes");
}

static void parts(void** state) {
  UsRobot r = {0};
  add(&r, "robot.json", notes);
  assert_int_equal(us_robot_write(in_folder("part.zip"), &r), US_OK);
  refused("part.zip", "expected its model in robot/b/arm.xml, found none");
  us_robot_free(&r);
  add(&r, "robot/b/arm.xml", "<mujoco/>");
  assert_int_equal(us_robot_write(in_folder("part.zip"), &r), US_OK);
  refused("part.zip", "expected a file robot.json");
  add(&r, "robot.json", "{\"format\": \"understudy robot\", \"version\": 2, \"task\": \"a\"}");
  assert_int_equal(us_robot_write(in_folder("part.zip"), &r), US_OK);
  refused("part.zip", "of version 1, found \"understudy robot\" of 2");
  us_robot_free(&r);
  add(&r, "robot.json",
      "{\"format\": \"understudy robot\", \"version\": 1, \"task\": \"../a\", \"model\": \"b\"}");
  assert_int_equal(us_robot_write(in_folder("part.zip"), &r), US_OK);
  refused("part.zip", "task: expected letters, digits, _ or -, found \"../a\"");
  us_robot_free(&r);
  assert_int_equal(us_file_write(in_folder("none.zip"), "PK\3\4 and no more", 16), US_OK);
  refused("none.zip", "expected a zip of a robot");
  refused("gone.zip", "No such file");
}

// Whatever bytes are changed or cut off: a line, or what was written.
static void mutations(void** state) {
  UsRobot whole = make(0);
  void* data;
  size_t size;
  char hash[US_HASH_CHARS], found[US_HASH_CHARS];
  int good = 0;
  assert_int_equal(us_robot_write(in_folder("whole.zip"), &whole), US_OK);
  assert_int_equal(us_robot_hash(&whole, hash), US_OK);
  us_robot_free(&whole);
  assert_int_equal(us_file_read(in_folder("whole.zip"), 0, &data, &size), US_OK);
  for (int i = 0; i < 600; i++) {
    UsRobot r = {0};
    char* copy = malloc(size);
    UsRng rng = us_rng(3, US_RNG_TEST, (uint64_t)i, 0, 0);
    memcpy(copy, data, size);
    for (int k = i % 3; k >= 0; k--) copy[us_rng_bits(&rng) % size] = (char)us_rng_bits(&rng);
    size_t length = i % 5 ? size : us_rng_bits(&rng) % size;
    assert_int_equal(us_file_write(in_folder("mutant.zip"), copy, length), US_OK);
    free(copy);
    if (us_robot_read(in_folder("mutant.zip"), &r) != US_OK) {
      assert_null(strchr(us_message(), '\n'));
      continue;
    }
    // What is no part of the files, such as a date.
    assert_int_equal(us_robot_hash(&r, found), US_OK);
    assert_string_equal(found, hash);
    us_robot_free(&r);
    good++;
  }
  free(data);
  assert_true(good < 300);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(same_bytes), cmocka_unit_test(names),
                                     cmocka_unit_test(kinds), cmocka_unit_test(parts),
                                     cmocka_unit_test(mutations)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
