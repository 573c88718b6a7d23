// Robots as they come: which camera they are seen through, MuJoCo's own plugins, motors of a URDF,
// servos without a range, bodies of motion capture as actions, and what is said beside a file.

#include <math.h>
#include <unistd.h>

#include "env/plugin.h"
#include "env/scene.h"
#include "env/sim.h"
#include "tasks/mjcf/mjcf_file.h"
#include "tests/tasks/mjcf_help.h"

#define ROBOTS US_SOURCE_DIR "/tests/tasks/robots/"

static const UsTask* open_as(UsMjcfConfig config) {
  const UsTask* t;
  if (us_mjcf_open_as(&config, &t) != US_OK) fail_msg("%s", us_message());
  return t;
}

static void refused_as(UsMjcfConfig config, const char* part) {
  const UsTask* t = (const UsTask*)1;
  assert_true(us_mjcf_open_as(&config, &t) != US_OK && !t);
  if (!strstr(us_message(), part)) fail_msg("\"%s\" (expected \"%s\")", us_message(), part);
  assert_one_line(us_message());
}

// ---- cameras ----

static double changing(const UsMjcfViews* v, const char* camera) {
  for (int i = 0; i < v->count; i++) {
    if (strcmp(v->view[i].camera, camera) == 0) return v->view[i].changing;
  }
  fail_msg("no camera %s", camera);
  return 0;
}

// A first camera that looks away is not taken; another is, where it is asked for.
static void blind(void** state) {
  const char* path = ROBOTS "blind.xml";
  const UsTask* t = open_file(path);
  assert_string_equal(t->camera, "understudy_free");
  UsMjcfViews v;
  assert_int_equal(us_mjcf_views(t, &v), US_OK);
  assert_true(changing(&v, "left_cap") == 0);
  assert_true(changing(&v, "overview") > 0.01);
  assert_true(changing(&v, "understudy_free") > changing(&v, "overview"));
  assert_true(v.farthest > 0.1);
  us_mjcf_views_free(&v);
  const UsTask* asked = open_as((UsMjcfConfig){.path = path, .camera = "left_cap"});
  assert_string_equal(asked->camera, "left_cap");
  assert_string_not_equal(asked->name, t->name);  // frames of another kind
  us_mjcf_close(asked);
  us_mjcf_close(t);
  refused_as((UsMjcfConfig){.path = path, .camera = "left"},
             "expected free or one of left_cap, overview, found \"left\"");
}

// A wall before the file's own direction, a thing that leaves, something that is not drawn: the
// automatic camera sees the arm all the same.
static void hidden(void** state) {
  static const char walled[] =
      "<mujoco><worldbody><geom type='box' size='2 .05 2' pos='0 -.3 0'/>"
      "<body><joint axis='0 1 0' damping='.1'/><geom type='capsule' fromto='0 0 0 .3 0 0' "
      "size='.04'/></body><body pos='0 0 5'><freejoint/><geom size='.05' contype='0'/></body>"
      "<body pos='9 0 0'><joint name='ghost' type='slide'/><geom size='.1' rgba='1 1 1 0'/></body>"
      "</worldbody><actuator><motor joint='ghost'/></actuator></mujoco>";
  const UsTask* t = open_text("walled.xml", walled);
  UsMjcfViews v;
  assert_int_equal(us_mjcf_views(t, &v), US_OK);
  assert_int_equal(v.count, 1);
  if (!(v.view[0].changing > 0.01)) fail_msg("it sees %g", v.view[0].changing);
  us_mjcf_views_free(&v);
  us_mjcf_close(t);
}

// What is drawn counts, be it sites alone, and what is not does not.
static void drawn(void** state) {
  static const char text[] =
      "<mujoco><worldbody><geom type='plane' size='3 3 .1'/><body pos='0 0 .5'><joint axis='0 1 0' "
      "damping='.1'/><geom type='capsule' fromto='0 0 0 .3 0 0' size='.04' rgba='1 1 1 0'/>"
      "<site pos='.3 0 0' size='.08'/></body></worldbody></mujoco>";
  for (int hide = 0; hide < 2; hide++) {
    const char* path = mjcf_put(folder, "drawn.xml", text);
    const UsTask* t = open_as((UsMjcfConfig){.path = path, .hide = hide ? "sites" : NULL});
    UsMjcfViews v;
    assert_int_equal(us_mjcf_views(t, &v), US_OK);
    if (hide ? v.farthest > 0 : !(v.view[0].changing > 0.01)) {
      fail_msg("%d: %g moves, %g changes", hide, v.farthest, v.view[0].changing);
    }
    us_mjcf_views_free(&v);
    us_mjcf_close(t);
  }
}

// An error of MuJoCo in the middle of the roll-out is the episode's, not the file's.
static void engine_errors(void** state) {
  const UsTask* t = open_text(
      "memory.xml",
      "<mujoco><size memory='10K'/><worldbody><geom type='plane' size='2 2 .1'/><replicate "
      "count='12' offset='0 0 .12'><body pos='0 0 .1'><freejoint/><geom type='box' "
      "size='.05 .05 .05'/></body></replicate></worldbody></mujoco>");
  UsMjcfViews v;
  assert_int_equal(us_mjcf_views(t, &v), US_OK);
  us_mjcf_views_free(&v);
  us_mjcf_close(t);
}

// The first camera is that of the text, whatever the order of the compiled model.
static void first_cameras(void** state) {
  char name[64];
  mkdir(edited("%/inner", "%", folder), 0777);
  mjcf_put(folder, "inner/eye.xml",
           "<mujocoinclude>\n<camera name='eye' pos='0 -1 0'/></mujocoinclude>");
  const char* text =
      "<mujoco><!-- <camera name='gone'/> --><default><camera fovy='30'/>"
      "<default class='a'/></default><worldbody>\n<body><geom size='.1'/><camera pos='1 0 0' "
      "name = \"nose\"/></body><camera name='wide' pos='0 -2 0'/></worldbody></mujoco>";
  assert_int_equal(us_xml_first_camera(mjcf_put(folder, "order.xml", text), name), 2);
  assert_string_equal(name, "nose");
  text = edited(text, "\n<body>", "<include file='inner/eye.xml'/><body>");
  assert_int_equal(us_xml_first_camera(mjcf_put(folder, "order.xml", text), name), 2);
  assert_string_equal(name, "eye");
  assert_int_equal(us_xml_first_camera(mjcf_put(folder, "none.xml", mjcf_cartpole), name), 0);
  assert_string_equal(name, "");
}

// A pose as text is the same pose to the last bit, and an env sees from it.
static void poses(void** state) {
  const UsTask* t = open_file(ROBOTS "blind.xml");
  mjModel* m = mj_copyModel(NULL, t->model);
  int id = mj_name2id(m, mjOBJ_CAMERA, t->camera);
  char pose[US_POSE_CHARS], again[US_POSE_CHARS];
  us_scene_pose(m, id, pose);
  mju_zero(m->cam_pos, 3 * (int)m->ncam);
  m->vis.map.znear = 1;
  assert_int_equal(us_scene_aim("test", m, t->camera, pose), US_OK);
  assert_memory_equal(m->cam_pos + 3 * id, t->model->cam_pos + 3 * id, 3 * sizeof(double));
  assert_true(m->vis.map.znear == t->model->vis.map.znear);
  assert_int_equal(us_scene_aim("test", m, t->camera, "1 2 3"), US_FORMAT);
  assert_int_equal(us_scene_aim("test", m, t->camera, "1 2 3 1 0 0 0 nan .1"), US_FORMAT);
  assert_int_equal(us_scene_aim("test", m, "nobody", NULL), US_USAGE);
  assert_non_null(strstr(us_message(), "there are: left_cap, overview, understudy_free"));
  mj_deleteModel(m);
  UsEnv* e = open_sim(t, NULL);
  assert_string_equal(us_env_info(e)->camera, "understudy_free");
  assert_string_equal(us_env_info(e)->camera_pose, pose);
  us_env_close(e);
  memcpy(again, pose, sizeof(pose));
  again[pose[0] == '-'] = again[pose[0] == '-'] == '9' ? '8' : '9';  // another place
  e = open_sim(t, &(UsEnvConfig){.camera = "understudy_free", .camera_pose = again});
  assert_string_not_equal(us_env_info(e)->camera_pose, pose);
  us_env_close(e);
  us_mjcf_close(t);
}

// ---- plugins ----

static void engine_plugins(void** state) {
  const char* library = US_SOURCE_DIR "/deps/mujoco/plugin/libactuator.so";
  if (access(library, R_OK) != 0) skip();
  const UsTask* t = open_file(ROBOTS "pid.xml");
  assert_int_equal(t->action, 1);
  us_mjcf_close(t);
  us_mjcf_close(open_file(ROBOTS "sdf.xml"));
  // One that is there already, by whatever path, is a plugin without tasks.
  const UsPlugin* p;
  assert_int_equal(us_plugin_load(library, NULL, &p), US_OK);
  assert_null(p->tasks[0]);
  assert_int_equal(us_plugin_load(ROBOTS "pid.xml", NULL, &p), US_FORMAT);
}

// ---- actuators ----

// Files are told by what they hold; the motor of a joint of a URDF has its effort limit.
static void urdf(void** state) {
  void* text;
  size_t size;
  assert_int_equal(us_file_read(ROBOTS "arm.urdf", 0, &text, &size), US_OK);
  const char* const names[] = {"arm.urdf", "arm.mjcf", "arm.XML", "arm"};
  for (int i = 0; i < US_COUNT(names); i++) {
    const UsTask* t = open_text(names[i], text);
    assert_int_equal(t->action, 1);
    mjData* d = mj_makeData(t->model);
    t->control(t->model, d, (float[]){1});
    mj_forward(t->model, d);
    assert_float_equal(d->qfrc_actuator[0], 5, 1e-9);
    UsMjcfControl c;
    us_mjcf_control(t, 0, &c);
    assert_string_equal(c.what, "joint j1");
    mj_deleteData(d);
    us_mjcf_close(t);
  }
  free(text);
}

// Position servos without a range of their own take that of their joint, in gears; others do not.
static void servos(void** state) {
  const UsTask* t = open_text(
      "servo.xml",
      "<mujoco><worldbody><body><joint name='a' range='-30 90'/><geom size='.1'/><body>"
      "<joint name='b'/><geom size='.1'/></body></body></worldbody><actuator>"
      "<position joint='a' kp='9' gear='-2'/><position joint='b' kp='9'/><motor joint='a'/>"
      "<position joint='a' ctrlrange='-.1 .1'/></actuator></mujoco>");
  const double degree = M_PI / 180;
  const double low[4] = {-180 * degree, -1, -1, -.1}, high[4] = {60 * degree, 1, 1, .1};
  for (int i = 0; i < 4; i++) {
    UsMjcfControl c;
    us_mjcf_control(t, i, &c);
    assert_float_equal(c.low, low[i], 1e-9);
    assert_float_equal(c.high, high[i], 1e-9);
    assert_int_equal(c.scaled, i == 0 || i == 3);
  }
  us_mjcf_close(t);
}

// ---- bodies of motion capture ----

static const char grip[] =
    "<mujoco><option timestep='.005' gravity='0 0 0'/><custom><numeric name='understudy_noise' "
    "data='0'/></custom><worldbody><body name='target' mocap='true' pos='.3 0 .5'>"
    "<geom type='box' size='.03 .03 .03' contype='0' conaffinity='0'/></body>"
    "<body name='mark' mocap='true' pos='1 0 0'><geom size='.1' contype='0' "
    "conaffinity='0'/></body>"
    "<body name='arm' pos='0 0 .5'><joint type='slide' axis='1 0 0' range='-.1 .1' damping='1'/>"
    "<joint type='slide' axis='0 1 0' range='-.2 .2' damping='1'/>"
    "<joint type='slide' axis='0 0 1' range='-.3 .3' damping='1'/><joint type='ball' damping='.1'/>"
    "<geom type='box' size='.06 .06 .06' mass='1'/><body name='hand' pos='.3 0 0'>"
    "<geom size='.03'/></body></body></worldbody>"
    "<equality><weld body1='target' body2='hand' solref='.01 1'/></equality></mujoco>";

// Plays n env steps of one action; s (S) is the state behind them.
static void play(UsEnv* e, int n, const float* action, double* s) {
  for (int i = 0; i < n; i++) us_env_step(e, action, NULL);
  get_state(e, 0, s);
}

// How far the hand of the grip is from where it starts, in a state.
static double hand_way(const double* s) {
  const double w = s[3], x = s[4], y = s[5], z = s[6];
  const double way[3] = {s[0] - 0.6 * (y * y + z * z), s[1] + 0.6 * (x * y + w * z),
                         s[2] + 0.6 * (x * z - w * y)};
  return sqrt(way[0] * way[0] + way[1] * way[1] + way[2] * way[2]);
}

// A step moves what the body drives by as much and as far as its joints go; a turn turns it where
// it is. So too from the constraint's other side, and where the body of motion capture lies far.
static void mocap(void** state) {
  for (int kind = 0; kind < 3; kind++) {
    const char* file = grip;
    if (kind == 1)
      file = edited(grip, "body1='target' body2='hand'", "body1='hand' body2='target'");
    if (kind == 2) file = edited(grip, "pos='.3 0 .5'", "pos='0 -1 0'");
    const UsTask* t = open_text("grip.xml", file);
    const mjModel* m = t->model;
    assert_int_equal(t->action, 6);
    assert_null(us_sim_passive(t));
    UsEnv* e = open_sim(t, &(UsEnvConfig){.slots = 2, .block = 1});
    double s[13], again[13];
    us_env_reset(e, NULL, (uint64_t[]){1, 1});
    // Two numbers of 1 are one step of 0.05 m, not two.
    const float step[12] = {0, 1, 1}, along[12] = {1}, turn[12] = {0, 0, 0, 0, 0, 1};
    play(e, 1, step, s);
    double way = sqrt(s[1] * s[1] + s[2] * s[2]);
    if (way < 0.03 || way > 0.055) fail_msg("a step of %g m", way);
    assert_float_equal(s[1], s[2], 1e-3);
    play(e, 20, along, s);
    if (s[0] < 0.05 || s[0] > 0.12) fail_msg("%g m, beyond what joints of 0.1 reach", s[0]);
    us_env_reset(e, NULL, (uint64_t[]){1, 1});
    play(e, 1, turn, s);
    double angle = 2 * acos(fmin(fabs(s[3]), 1));
    if (angle < 0.1 || angle > 0.22) fail_msg("a turn of %g rad", angle);
    if (hand_way(s) > 0.02) fail_msg("a turn moves the hand by %g m", hand_way(s));
    // What follows depends on qpos, qvel and act alone: a state from a file goes on alike.
    assert_int_equal(us_env_observe(e, 1, (int[]){1}, &(UsObs){.state = s, .first = 1}), US_OK);
    const float both[12] = {0, -1, 0, 0, 0, 0, 0, -1};
    us_env_step(e, both, NULL);
    get_state(e, 0, s);
    get_state(e, 1, again);
    for (int i = 0; i < 13; i++) assert_float_equal(s[i], again[i], 1e-4);
    us_env_close(e);
    // It is not drawn; one that drives nothing is.
    assert_true(m->geom_rgba[4 * 0 + 3] == 0 && m->geom_rgba[4 * 1 + 3] == 1);
    us_mjcf_close(t);
  }
}

// ---- what is said beside a file ----

static void beside(void** state) {
  const char* path = mjcf_put(
      folder, "beside.xml",
      edited(mjcf_arm, "<body name='cube'", "<site name='dot' pos='1 0 0'/><body name='cube'"));
  const UsTask* plain = open_file(path);
  const UsTask* t = open_as((UsMjcfConfig){
      .path = path, .step = 0.1, .gain = 0.5, .measure = "elbow, cube", .hide = "sites,cube"});
  assert_string_not_equal(t->name, plain->name);
  assert_int_equal(t->frame_skip, 25);
  assert_int_equal(t->measure, 1 + 3);
  const mjModel* m = t->model;
  int cube = mj_name2id(m, mjOBJ_BODY, "cube"), g = m->body_geomadr[cube];
  assert_true(m->site_rgba[3] == 0 && m->geom_rgba[4 * g + 3] == 0);
  assert_true(plain->model->site_rgba[3] > 0 && plain->model->geom_rgba[4 * g + 3] > 0);
  mjData* d = mj_makeData(m);
  t->control(m, d, (float[]){0.5f, 0});
  assert_float_equal(d->ctrl[0], 0.25, 1e-9);
  // A goal is about the elbow and the cube's place, nothing else.
  double a[4], b[4];
  mj_kinematics(m, d);
  t->read_measure(m, d, a);
  d->qpos[0] += 1;
  mj_kinematics(m, d);
  t->read_measure(m, d, b);
  assert_true(t->distance(m, a, b) == 0 && t->success(m, a, b));
  d->qpos[m->jnt_qposadr[m->body_jntadr[cube]] + 1] += 0.1 * m->stat.extent;
  mj_kinematics(m, d);
  t->read_measure(m, d, b);
  assert_float_equal(t->distance(m, a, b), sqrt(0.01 / 2), 1e-9);
  assert_int_equal(t->success(m, a, b), 0);
  mj_deleteData(d);
  us_mjcf_close(t);
  us_mjcf_close(plain);
  refused_as((UsMjcfConfig){.path = path, .measure = "elbow,knee"},
             "expected names of joints (shoulder, elbow, wrist) or bodies (world, cube), found "
             "\"knee\"");
  refused_as((UsMjcfConfig){.path = path, .hide = "dots"}, "found \"dots\"");
  refused_as((UsMjcfConfig){.path = path, .step = -1}, "--step");
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blind),          cmocka_unit_test(hidden),        cmocka_unit_test(drawn),
      cmocka_unit_test(engine_errors),  cmocka_unit_test(first_cameras), cmocka_unit_test(poses),
      cmocka_unit_test(engine_plugins), cmocka_unit_test(urdf),          cmocka_unit_test(servos),
      cmocka_unit_test(mocap),          cmocka_unit_test(beside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) | mjcf_folder_remove();
}
