// Robots as data keep them: everything that is named comes along, the task is the same one from
// there, its camera is the recorded one without playing it, and what has changed since is told.

#include <math.h>
#include <unistd.h>

#include "env/scene.h"
#include "env/sim.h"
#include "tests/tasks/mjcf_help.h"
#include "worldmodel/base/progress.h"

#define ROBOTS US_SOURCE_DIR "/tests/tasks/robots/"

static const char mesh[] =
    "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n";
static const char arm[] =
    "<mujoco><compiler meshdir='../shapes'/>\n<!-- <include file='gone.xml'/> -->\n"
    "<include file='parts/asset.xml'/><worldbody><camera name='away' pos='9 9 9'/>"
    "<body><joint name='a' axis='0 0 1' damping='.5' range='-100 100'/><geom type='mesh' mesh='m'/>"
    "</body></worldbody><actuator><position joint='a'/></actuator></mujoco>";
static const char assets[] =
    "<?xml version='1.0'?><mujocoinclude><asset><mesh name='m' file='M.obj' scale='.2 .1 .1'/>"
    "</asset><include file='more.xml'></include></mujocoinclude>";
static const char more[] =
    "<mujocoinclude><worldbody><site size='.01'/></worldbody></mujocoinclude><!-- </end> -->";

static void write_arm(const char* text, const char* shape) {
  static const char* const made[] = {"robots", "robots/parts", "shapes"};
  char path[512];
  mkdir(folder, 0777);
  for (int i = 0; i < 3; i++) mkdir(us_path_join(path, sizeof(path), folder, made[i]), 0777);
  mjcf_put(folder, "robots/arm.xml", text);
  mjcf_put(folder, "robots/parts/asset.xml", assets);
  mjcf_put(folder, "robots/parts/more.xml", more);
  mjcf_put(folder, "shapes/M.obj", shape);
}

static UsRobot robot_of(const UsTask* t) {
  const UsRobot* r;
  UsRobot copy = {0};
  if (t->robot(t, &r) != US_OK) fail_msg("%s", us_message());
  for (int i = 0; i < r->count; i++) {
    assert_int_equal(us_robot_add(&copy, r->file[i].name, r->file[i].data, r->file[i].size), 0);
  }
  assert_int_equal(us_robot_check("copy", &copy), US_OK);
  copy.path = strdup(r->path);
  return copy;
}

// Replaces a text of a robot's file, and opens it; NULL where it is refused.
static const UsTask* open_changed(UsRobot r, int file, const char* from, const char* to) {
  const UsTask* t;
  if (from) {
    UsRobotFile* f = &r.file[file];
    char* at = strstr(f->data, from);
    assert_true(at && strlen(from) == strlen(to));
    memcpy(at, to, strlen(to));
  }
  return us_mjcf_open_robot("data.h5", &r, &t) == US_OK ? t : NULL;
}

static char said[2048];

static void listen(void* data, const char* line) {
  snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", line);
}

static int controls;  // how often the engine stepped

static void count_steps(const mjModel* m, mjData* d) {
  controls++;
}

// ---- tests ----

static void all_of_it(void** state) {
  char path[512], mine[US_POSE_CHARS], theirs[US_POSE_CHARS];
  write_arm(arm, mesh);
  mjcb_control = count_steps;
  const UsTask* t = open_file(us_path_join(path, sizeof(path), folder, "robots/arm.xml"));
  mjcb_control = NULL;
  assert_true(controls > 20);
  UsRobot r = robot_of(t);
  assert_int_equal(r.count, 3);
  assert_string_equal(r.file[1].name, "robot/robots/arm.xml");
  assert_string_equal(r.file[2].name, "robot/shapes/M.obj");
  assert_string_equal(r.file[2].data, mesh);
  assert_null(strstr(r.file[1].data, "asset.xml"));
  assert_non_null(strstr(r.file[1].data, "<!-- <include file='gone.xml'/> -->"));
  assert_non_null(
      strstr(r.file[1].data, "</asset><worldbody><site size='.01'/></worldbody><world"));
  // Nothing of it is on the disk any more.
  assert_int_equal(mjcf_folder_remove(), 0);
  mjcb_control = count_steps;
  controls = 0;
  const UsTask* again = open_changed(r, 0, NULL, NULL);
  mjcb_control = NULL;
  if (!again) fail_msg("%s", us_message());
  assert_true(controls < 4);  // compiling is one
  assert_string_equal(again->name, t->name);
  assert_string_equal(again->camera, "understudy_free");
  for (int i = 0; i < t->model->ncam; i++) {
    us_scene_pose(t->model, i, mine);
    us_scene_pose(again->model, i, theirs);
    assert_string_equal(mine, theirs);
  }
  assert_true(again->model->actuator_ctrllimited[0]);
  assert_memory_equal(t->model->actuator_ctrlrange, again->model->actuator_ctrlrange, 16);
  // It gives itself on.
  char one[US_HASH_CHARS], other[US_HASH_CHARS];
  const UsRobot *a, *b;
  assert_int_equal(t->robot(t, &a) | again->robot(again, &b), US_OK);
  assert_int_equal(us_robot_hash(a, one) | us_robot_hash(b, other), US_OK);
  assert_string_equal(one, other);
  us_mjcf_close(t);
  us_mjcf_close(again);
}

// The same files elsewhere make the same robot; paths that the text itself has as absolute ones go
// along.
static void places(void** state) {
  char hash[2][US_HASH_CHARS], path[512], text[1024], line[1024];
  write_arm(arm, mesh);
  for (int i = 0; i < 2; i++) {
    us_path_join(path, sizeof(path), folder, i ? "moved/robots/arm.xml" : "robots/arm.xml");
    if (i) {
      snprintf(line, sizeof(line), "cd '%s' && mkdir moved && mv robots shapes moved", folder);
      assert_int_equal(system(line), 0);
    }
    const UsTask* t = open_file(path);
    UsRobot r = robot_of(t);
    assert_int_equal(us_robot_hash(&r, hash[i]), US_OK);
    us_robot_free(&r);
    us_mjcf_close(t);
  }
  assert_string_equal(hash[0], hash[1]);
  // An absolute folder of meshes.
  snprintf(text, sizeof(text), "<mujoco><compiler meshdir='%s/shapes'/>%s", folder,
           strstr(arm, "<include file='parts"));
  write_arm(text, mesh);
  const UsTask* t = open_file(us_path_join(path, sizeof(path), folder, "robots/arm.xml"));
  UsRobot r = robot_of(t);
  snprintf(line, sizeof(line), "robot%s/shapes/M.obj", folder);
  assert_string_equal(r.file[2].name, line);
  snprintf(line, sizeof(line), "rm -rf '%s/robots' '%s/shapes'", folder, folder);
  assert_int_equal(system(line), 0);
  const UsTask* again = open_changed(r, 0, NULL, NULL);
  if (!again) fail_msg("%s", us_message());
  assert_string_equal(again->name, t->name);
  us_mjcf_close(t);
  us_mjcf_close(again);
}

// MuJoCo finds a file beside the one that names it, which then is not taken in.
static void beside(void** state) {
  char path[512];
  write_arm(edited(arm, "../shapes", "../nowher"), mesh);
  mjcf_put(folder, "robots/parts/M.obj", mesh);
  const UsTask* t = open_file(us_path_join(path, sizeof(path), folder, "robots/arm.xml"));
  UsRobot r = robot_of(t);
  assert_int_equal(r.count, 5);
  assert_string_equal(r.file[1].name, "robot/arm.xml");
  assert_string_equal(r.file[2].name, "robot/parts/M.obj");
  assert_string_equal(r.file[3].name, "robot/parts/asset.xml");
  const UsHooks before = us_hooks_set((UsHooks){.log = listen});
  for (int i = 0; i < 2; i++) {
    said[0] = 0;
    if (i) mjcf_put(folder, "robots/parts/asset.xml", edited(assets, ".2 .1", ".2 .2"));
    const UsTask* again = open_changed(i ? r : robot_of(t), 0, NULL, NULL);
    if (!again) fail_msg("%s", us_message());
    assert_string_equal(again->name, t->name);
    us_mjcf_close(again);
    assert_int_equal(said[0] != 0, i);
  }
  us_hooks_set(before);
  us_mjcf_close(t);
}

// What is said beside a file is as if it were said again.
static void settings(void** state) {
  const UsTask* t;
  const UsMjcfConfig config = {
      .path = ROBOTS "blind.xml", .camera = "left_cap", .hide = "sites", .step = 0.1, .gain = 0.3};
  assert_int_equal(us_mjcf_open_as(&config, &t), US_OK);
  const UsTask* again = open_changed(robot_of(t), 0, NULL, NULL);
  if (!again) fail_msg("%s", us_message());
  assert_string_equal(again->name, t->name);
  assert_string_equal(again->camera, "left_cap");
  assert_int_equal(again->frame_skip, t->frame_skip);
  us_mjcf_close(again);
  // The pose is the recorded one, not chosen anew.
  UsRobot r = robot_of(t);
  char pose[14];
  snprintf(pose, sizeof(pose), "%s", strstr(r.file[0].data, "\"pose\":\""));
  again = open_changed(r, 0, pose, "\"pose\":\"7.125");
  if (!again) fail_msg("%s", us_message());
  int free_camera = mj_name2id(again->model, mjOBJ_CAMERA, "understudy_free");
  assert_true((int)again->model->cam_pos[3 * free_camera] == 7);
  us_mjcf_close(again);
  us_mjcf_close(t);
}

static void urdf_and_plugins(void** state) {
  const UsTask *t = open_file(ROBOTS "arm.urdf"), *again = open_changed(robot_of(t), 0, NULL, NULL);
  if (!again) fail_msg("%s", us_message());
  assert_string_equal(again->name, t->name);
  assert_int_equal(again->action, 1);
  us_mjcf_close(again);
  us_mjcf_close(t);
  // A shape by a plugin: its library is named, not taken along.
  t = open_file(ROBOTS "sdf.xml");
  UsRobot r = robot_of(t);
  assert_int_equal(r.count, 2);
  assert_non_null(strstr(r.file[0].data, "\"library\":\"lib"));
  char name[64], key[80];
  assert_int_equal(sscanf(strstr(r.file[0].data, "\"plugins\":[{\"name\":\""),
                          "\"plugins\":[{\"name\":\"%63[^\"]", name),
                   1);
  snprintf(key, sizeof(key), "[{\"name\":\"%s", name);
  again = open_changed(robot_of(t), 0, NULL, NULL);
  if (!again) fail_msg("%s", us_message());
  us_mjcf_close(again);
  char* other = strdup(key);
  other[strlen(other) - 1] = '#';
  assert_null(open_changed(r, 0, key, other));
  assert_non_null(strstr(us_message(), "data.h5: robot.json: expected MuJoCo's plugin "));
  assert_one_line(us_message());
  free(other);
  us_mjcf_close(t);
}

static void changes(void** state) {
  char path[512];
  write_arm(arm, mesh);
  const UsTask *t = open_file(us_path_join(path, sizeof(path), folder, "robots/arm.xml")), *again;
  const UsHooks before = us_hooks_set((UsHooks){.log = listen});
  static const char* const told = "data.h5: %s or a file that it names has changed since";
  char line[700];
  snprintf(line, sizeof(line), told, path);
  for (int i = 0; i < 4; i++) {
    // As it was; another text; another mesh; none.
    UsRobot r = robot_of(t);
    char other[sizeof(mesh)];
    snprintf(other, sizeof(other), "%s", mesh);
    other[strlen(other) - 4] = '1';
    if (i == 1) write_arm(edited(arm, "damping='.5'", "damping='.6'"), mesh);
    if (i == 2) write_arm(arm, other);
    if (i == 3) unlink(path);
    said[0] = 0;
    again = open_changed(r, 0, NULL, NULL);
    if (!again) fail_msg("%s", us_message());
    assert_string_equal(again->name, t->name);
    us_mjcf_close(again);
    int expected = i == 1 || i == 2;
    if (expected ? !strstr(said, line) : said[0] != 0) fail_msg("%d: \"%s\"", i, said);
  }
  us_mjcf_close(t);
  // What changes between opening and keeping is not kept.
  write_arm(arm, mesh);
  t = open_file(path);
  write_arm(edited(arm, "damping='.5'", "damping='.6'"), mesh);
  const UsRobot* r;
  assert_int_equal(t->robot(t, &r), US_FORMAT);
  assert_non_null(strstr(us_message(), "expected the model of mjcf-arm-"));
  us_mjcf_close(t);
  us_hooks_set(before);
}

static void tampered(void** state) {
  char path[512];
  write_arm(arm, mesh);
  const UsTask* t = open_file(us_path_join(path, sizeof(path), folder, "robots/arm.xml"));
  assert_null(open_changed(robot_of(t), 1, "damping='.5'", "damping='.7'"));
  assert_non_null(strstr(us_message(), "data.h5: expected the robot mjcf-arm-"));
  assert_null(open_changed(robot_of(t), 1, "'M.obj'", "'N.obj'"));
  assert_null(open_changed(robot_of(t), 1, "<actuator>", "<actuatur>"));
  assert_one_line(us_message());
  // Files of this disk are no part of it.
  assert_null(open_changed(robot_of(t), 1, "'../shapes'", "'/etc/////'"));
  assert_null(open_changed(robot_of(t), 0, "\"camera\":\"under", "\"camera\":\"UNDER"));
  assert_null(open_changed(robot_of(t), 0, "\"pose\":\"", "\"poze\":\""));
  // Another engine may compile it otherwise: that is told, and the name stays.
  const UsHooks before = us_hooks_set((UsHooks){.log = listen});
  UsRobot r = robot_of(t);
  char* at = strstr(r.file[0].data, mj_versionString());
  assert_non_null(at);
  at[0] = '1';
  said[0] = 0;
  const UsTask* again = open_changed(r, 1, "damping='.5'", "damping='.7'");
  us_hooks_set(before);
  if (!again) fail_msg("%s", us_message());
  assert_string_equal(again->name, t->name);
  assert_non_null(strstr(said, "compiles differently here"));
  us_mjcf_close(again);
  us_mjcf_close(t);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(all_of_it),        cmocka_unit_test(places),
                                     cmocka_unit_test(settings),         cmocka_unit_test(beside),
                                     cmocka_unit_test(urdf_and_plugins), cmocka_unit_test(changes),
                                     cmocka_unit_test(tampered)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  return mjcf_folder_remove() || failed;
}
