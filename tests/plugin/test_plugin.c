// Every field of a task's and a plugin's table: the built-in tasks pass, and each wrong value is
// refused by one line with file, task and field.

#include <math.h>
#include <stdio.h>

#include "env/plugin.h"
#include "tests/env/env_help.h"

static void built_in_tasks_pass(void** state) {
  for (int i = 0; us_tasks[i]; i++) {
    if (us_task_check("built in", us_tasks[i]) != US_OK) fail_msg("%s", us_message());
    for (int k = 0; k < i; k++) assert_string_not_equal(us_tasks[i]->name, us_tasks[k]->name);
  }
}

// The message begins with `start` and is one line that has `part`.
static void expect_message(UsStatus status, const char* start, const char* part) {
  if (status == US_OK || strncmp(us_message(), start, strlen(start)) != 0 ||
      !strstr(us_message(), part)) {
    fail_msg("status %d, \"%s\" (expected \"%s ... %s\")", status, us_message(), start, part);
  }
  assert_one_line(us_message());
}

// Refused with `field` and `part` after it.
static void refused(const UsTask* t, const char* field, const char* part) {
  char start[128];
  snprintf(start, sizeof(start), "x.so: task %s: %s: ", t->name, field);
  expect_message(us_task_check("x.so", t), start, part);
}

// A field of a copy of a good task set to a bad value.
#define WRONG(field, value, part) \
  do {                            \
    UsTask t = us_task_wall;      \
    t.field = value;              \
    refused(&t, #field, part);    \
  } while (0)

static void wrong_versions(void** state) {
  WRONG(struct_size, sizeof(UsTask) - 8, "expected");
  WRONG(struct_size, sizeof(UsTask) + 8, "expected");
  WRONG(abi, US_TASK_ABI + 1, "expected");
  WRONG(mujoco, mjVERSION_HEADER - 1, "expected MuJoCo");
  UsTask t = {0};
  expect_message(us_task_check("x.so", &t), "x.so: task table: struct_size: ", "found 0");
}

static void wrong_texts(void** state) {
  static const char* const names[] = {
      NULL,
      "",
      "a/b",
      "a b",
      "a\nb",
      "../x",
      "a234567890123456789012345678901234567890123456789012345678901234"};
  for (int i = 0; i < US_COUNT(names); i++) {
    UsTask t = us_task_wall;
    t.name = names[i];
    expect_message(us_task_check("x.so", &t), "x.so: a task's name: ", "found");
  }
  WRONG(summary, NULL, "found NULL");
  WRONG(scene, NULL, "found NULL");
  WRONG(scene, "", "an empty one");
  WRONG(camera, NULL, "found NULL");
  WRONG(camera, "behind", "behind");
}

static void wrong_numbers(void** state) {
  WRONG(frame_skip, 0, "found 0");
  WRONG(frame_skip, -1, "found -1");
  WRONG(block, 0, "found 0");
  WRONG(action, 0, "found 0");
  WRONG(action, US_TASK_ACTIONS + 1, "found 4097");
  WRONG(proprio, -1, "found -1");
  WRONG(proprio, US_TASK_MEASURES + 1, "found 16385");
  WRONG(measure, 0, "found 0");
  WRONG(measure, US_TASK_MEASURES + 1, "found 16385");
  WRONG(size, 0, "found 0");
  WRONG(radius, 0, "found 0");
  WRONG(radius, -1, "found -1");
  WRONG(radius, NAN, "found");
  WRONG(radius, INFINITY, "found inf");
}

static void wrong_functions(void** state) {
  WRONG(reset, NULL, "found NULL");
  WRONG(read_measure, NULL, "found NULL");
  WRONG(distance, NULL, "found NULL");
  WRONG(success, NULL, "found NULL");
  WRONG(read_proprio, NULL, "found NULL");
  UsTask t = us_task_wall;
  t.proprio = 0;
  refused(&t, "read_proprio", "expected NULL");
  t.read_proprio = NULL;
  assert_int_equal(us_task_check("x.so", &t), US_OK);
}

static void wrong_policies(void** state) {
  const UsPolicy good = us_task_wall.policies[0], end = {NULL, NULL, NULL};
  UsPolicy p[3] = {end, end, end};
  UsTask t = us_task_wall;
  t.policies = NULL;
  refused(&t, "policies", "found NULL");
  t.policies = p;
  refused(&t, "policies", "empty");
  p[0] = p[1] = good;
  refused(&t, "policies[1].name", "again");
  p[1] = end;
  p[0].act = NULL;
  refused(&t, "policies[0].act", "NULL");
  p[0] = good;
  p[0].summary = NULL;
  refused(&t, "policies[0].summary", "NULL");
  p[0] = good;
  p[0].name = "";
  refused(&t, "policies[0].name", "found");
}

static void wrong_scenes(void** state) {
  UsTask t = us_task_wall;
  t.scene = "<mujoco><worldbody><geom tpye='sphere'/></worldbody></mujoco>";
  expect_message(us_task_check("x.so", &t), "x.so: task wall: ", "refuses the scene");
  t = us_task_wall;
  t.control = NULL;
  t.action = 3;
  refused(&t, "action", "expected 3 controls in the scene, found 2");
}

static void wrong_plugins(void** state) {
  UsTask one = us_task_wall, two = us_task_wall;
  one.name = "one";
  two.name = "two";
  const UsTask* list[] = {&one, &two, NULL};
  const UsPlugin good = {sizeof(UsPlugin), US_PLUGIN_ABI, mjVERSION_HEADER, list};
  assert_int_equal(us_plugin_check("x.so", &good, us_tasks), US_OK);
  assert_int_equal(us_plugin_check("x.so", &good, NULL), US_OK);
  expect_message(us_plugin_check("x.so", NULL, NULL), "x.so: us_plugin: ", "NULL");
  UsPlugin p = good;
  p.struct_size++;
  expect_message(us_plugin_check("x.so", &p, NULL), "x.so: struct_size: ", "found");
  p = good;
  p.abi = 0;
  expect_message(us_plugin_check("x.so", &p, NULL), "x.so: abi: ", "found 0");
  p = good;
  p.mujoco = 330;
  expect_message(us_plugin_check("x.so", &p, NULL), "x.so: mujoco: ", "found 330");
  p = good;
  p.tasks = NULL;
  expect_message(us_plugin_check("x.so", &p, NULL), "x.so: tasks: ", "NULL");
  const UsTask* none[] = {NULL};
  p.tasks = none;
  expect_message(us_plugin_check("x.so", &p, NULL), "x.so: tasks: ", "empty");
  two.name = "one";
  expect_message(us_plugin_check("x.so", &good, NULL), "x.so: task one: name: ", "twice");
  two.name = "pointmaze";
  expect_message(us_plugin_check("x.so", &good, us_tasks), "x.so: task pointmaze: name: ", "there");
  two = us_task_wall;
  two.size = 0;
  expect_message(us_plugin_check("x.so", &good, NULL), "x.so: task wall: size: ", "found 0");
}

static void wrong_files(void** state) {
  const UsPlugin* p = (const UsPlugin*)1;
  expect_message(us_plugin_load("/no/such.so", us_tasks, &p), "/no/such.so: ", "No such file");
  assert_null(p);
  expect_message(us_plugin_load("/tmp", us_tasks, &p), "/tmp: ", "found");
  expect_message(us_plugin_load("/etc/passwd", us_tasks, &p), "/etc/passwd: ", "us_plugin()");
  expect_message(us_plugin_load("libm.so.6", us_tasks, &p), "libm.so.6: ", "No such file");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(built_in_tasks_pass), cmocka_unit_test(wrong_versions),
      cmocka_unit_test(wrong_texts),         cmocka_unit_test(wrong_numbers),
      cmocka_unit_test(wrong_functions),     cmocka_unit_test(wrong_policies),
      cmocka_unit_test(wrong_scenes),        cmocka_unit_test(wrong_plugins),
      cmocka_unit_test(wrong_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
