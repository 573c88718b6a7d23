// Any MJCF file as a task: its table, controls, starts, distances and names, the files that are
// refused, and the contract of all tasks, which test_tasks checks in a process of its own.

#include <math.h>
#include <unistd.h>

#include "env/plugin.h"
#include "env/sim.h"
#include "tests/env/mixed_model.h"
#include "tests/tasks/mjcf_help.h"
#include "worldmodel/base/file.h"

// ---- the table ----

static void tables(void** state) {
  const struct {
    const char *name, *text;
    int skip, action, proprio, measure, passive;
  } want[] = {{"cartpole.xml", mjcf_cartpole, 5, 1, 4, 2, 0},
              {"arm.xml", mjcf_arm, 13, 2, 24, 13, 0},
              {"quad.xml", mjcf_quad, 25, 8, 29, 15, 0},
              {"pendulum.xml", mjcf_pendulum, 25, 1, 2, 1, 1},
              {"still.xml", mjcf_still, 25, 1, 0, 1, 1}};
  for (int i = 0; i < US_COUNT(want); i++) {
    const UsTask* t = open_text(want[i].name, want[i].text);
    assert_int_equal(us_task_check(NULL, t), US_OK);
    assert_int_equal(t->frame_skip, want[i].skip);
    assert_int_equal(t->action, want[i].action);
    assert_int_equal(t->proprio, want[i].proprio);
    assert_int_equal(t->measure, want[i].measure);
    assert_int_equal(t->block, 5);
    assert_int_equal(us_sim_passive(t) != NULL, want[i].passive);
    us_mjcf_close(t);
  }
  const UsTask* t = open_file(mjcf_put_mesh(folder));  // its camera has no name
  assert_string_not_equal(t->camera, "understudy_free");
  us_mjcf_close(t);
}

static void customs(void** state) {
  const UsTask* t =
      open_text("custom.xml",
                edited(mjcf_cartpole, "<actuator>",
                       "<custom><numeric name='understudy_step' data='.1'/>"
                       "<numeric name='understudy_block' data='2'/><numeric name='understudy_size' "
                       "data='32'/><numeric name='understudy_radius' data='.25'/><text "
                       "name='understudy_camera' data='free'/></custom><actuator>"));
  assert_int_equal(t->frame_skip, 10);
  assert_int_equal(t->block, 2);
  assert_int_equal(t->size, 32);
  assert_float_equal(t->radius, 0.25, 0);
  const double a[2] = {0, 0}, near[2] = {0.49, 0}, far[2] = {0.51, 0};
  assert_int_equal(t->success(t->model, a, near), 1);
  assert_int_equal(t->success(t->model, a, far), 0);
  us_mjcf_close(t);
}

// ---- what it does ----

static void controls(void** state) {
  const UsTask* t = open_text("arm.xml", mjcf_arm);
  mjData* d = mj_makeData(t->model);
  t->control(t->model, d, (float[]){-0.5f, 1});
  assert_float_equal(d->ctrl[0], -0.5, 0);  // no range
  assert_float_equal(d->ctrl[1], 0, 1e-12);
  t->control(t->model, d, (float[]){1, -0.5f});
  assert_float_equal(d->ctrl[0], 1, 0);
  assert_float_equal(d->ctrl[1], -1.125, 1e-12);
  mj_deleteData(d);
  us_mjcf_close(t);
  t = open_text("gain.xml", edited(mjcf_cartpole, "<actuator>",
                                   "<custom><numeric name='understudy_gain' data='.5'/></custom>"
                                   "<actuator>"));
  d = mj_makeData(t->model);
  t->control(t->model, d, (float[]){1});
  assert_float_equal(d->ctrl[0], 20, 1e-12);
  mj_deleteData(d);
  us_mjcf_close(t);
}

// A task of a model in which actuators have several controls, in a variation of their strength:
// activations keep to their ranges, as only what the factor is about has changed.
static void mixed_controls(void** state) {
  const UsTask* t = open_text("mixed.xml", mixed_model);
  assert_int_equal(t->action, 11);
  UsEnv* e = open_sim(t, &(UsEnvConfig){.slots = 1});
  const UsEnvInfo* info = us_env_info(e);
  const size_t length = (size_t)(info->block * info->action);
  float *ones = malloc(sizeof(float) * length), one = 1;
  double* s = malloc(sizeof(double) * (size_t)info->state);
  for (size_t i = 0; i < length; i++) ones[i] = 1;
  UsVary vary;
  assert_int_equal(us_vary_choose("test", "strength", e, &vary), US_OK);
  us_env_reset(e, NULL, (uint64_t[]){1});
  us_sim_vary(e, &vary, 1, (int[]){0}, &one);
  for (int k = 0; k < 20; k++) us_env_step(e, ones, NULL);
  get_state(e, 0, s);
  const double* act = s + t->model->nq + t->model->nv;
  assert_float_equal(act[0], 1, 0);  // at the end of its range
  free(ones), free(s);
  us_env_close(e);
  us_mjcf_close(t);
}

// Starts lie around the keyframe, inside limits, and what is free stays on the ground.
static void starts(void** state) {
  enum { N = 256 };
  const UsTask* t =
      open_text("arm.xml", edited(mjcf_arm, "<keyframe><key qpos='.5 -.5 ",
                                  "<keyframe><key qvel='0 .3 0 0 0 0 0 0 0 0 0' qpos='.5 0 "));
  UsEnv* e = open_sim(t, &(UsEnvConfig){.slots = N});
  uint64_t seeds[N];
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(e, NULL, seeds);
  double low[13], high[13], extent = t->model->stat.extent;
  for (int i = 0; i < N; i++) {
    double s[24];
    get_state(e, i, s);
    assert_float_equal(s[13 + 1], 0.3, 0);
    for (int k = 0; k < 13; k++) {
      low[k] = i ? fmin(low[k], s[k]) : s[k];
      high[k] = i ? fmax(high[k], s[k]) : s[k];
    }
  }
  const double shoulder = 0.01 * 2 * M_PI, elbow = 0.01 * M_PI / 2, cube = 0.01 * extent;
  assert_true(low[0] >= 0.5 - shoulder && high[0] <= 0.5 + shoulder && high[0] - low[0] > shoulder);
  assert_true(low[1] >= -elbow && high[1] <= 0 && high[1] - low[1] > elbow / 2);  // at its limit
  assert_true(high[3] - low[3] > 0.01 && high[3] - low[3] < 0.07);                // the ball
  assert_true(low[6] >= -0.4 - cube && high[6] <= -0.4 + cube && high[6] - low[6] > cube);
  assert_true(low[8] == 0.05 && high[8] == 0.05);  // up
  assert_true(low[10] == 0 && high[10] == 0 && high[12] > 0.01);
  us_env_close(e);
  us_mjcf_close(t);
}

static void distances(void** state) {
  const UsTask* t = open_text("cartpole.xml", mjcf_cartpole);
  const double a[2] = {0.5, 3.1 + 4 * M_PI}, b[2] = {0, -3.1};
  double turn = (2 * M_PI - 6.2) / (2 * M_PI), slide = 0.25;
  assert_float_equal(t->distance(t->model, a, b), sqrt((turn * turn + slide * slide) / 2), 1e-12);
  const double near[2] = {0.039, 0.12}, far[2] = {0, 0.13}, zero[2] = {0, 0};
  assert_int_equal(t->success(t->model, near, zero), 1);
  assert_int_equal(t->success(t->model, far, zero), 0);
  us_mjcf_close(t);

  t = open_text("arm.xml", mjcf_arm);
  const double extent = t->model->stat.extent, h = sqrt(0.5);
  const double p[13] = {0, 0, 1, 0, 0, 0, 1, 2, 3, 1, 0, 0, 0};
  double q[13] = {0, -0.1, -h, 0, -h, 0, 1, 2 + 0.3, 3 - 0.4, 0, 0, 0, 1};  // -q is q
  const double share[] = {0, 0.1 / (M_PI / 2), 0.25, 0.5 / extent, 0.5};
  double sum = 0;
  for (int i = 0; i < 5; i++) sum += share[i] * share[i];
  assert_float_equal(t->distance(t->model, p, q), sqrt(sum / 5), 1e-9);
  us_mjcf_close(t);
}

// The camera sees all places that a roll-out brings the model to, and no more than it must.
static void cameras(void** state) {
  const UsTask* t = open_text("cartpole.xml", mjcf_cartpole);
  const mjModel* m = t->model;
  assert_string_equal(t->camera, "understudy_free");
  UsMjcfViews v;
  assert_int_equal(us_mjcf_views(t, &v), US_OK);
  mjData* d = mj_makeData(m);
  int id = mj_name2id(m, mjOBJ_CAMERA, t->camera);
  double widest = 0;
  for (int k = 0; k < v.rows; k++) {
    mj_setState(m, d, v.states + (size_t)k * (size_t)v.stride, mjSTATE_INTEGRATION);
    mj_kinematics(m, d);
    mj_camlight(m, d);
    double off[3], seen[3], end[3] = {0, 0, 0.3};
    mju_mulMatVec3(off, d->geom_xmat + 9 * 2, end);
    mju_addTo3(off, d->geom_xpos + 3 * 2);
    mju_subFrom3(off, d->cam_xpos + 3 * id);
    mju_mulMatTVec3(seen, d->cam_xmat + 9 * id, off);
    double edge = -seen[2] * tan(m->cam_fovy[id] / 2 * M_PI / 180);
    widest = fmax(widest, fmax(fabs(seen[0]), fabs(seen[1])) / edge);
  }
  if (widest < 0.4 || widest > 1.1) fail_msg("the widest place is at %g of the border", widest);
  mj_deleteData(d);
  us_mjcf_views_free(&v);
  us_mjcf_close(t);
}

// A model of so many joints with a motor each; NULL-terminated text to be freed.
static char* wide_text(int joints) {
  char* text = calloc(1, 200 * (size_t)joints + 1000);
  size_t n = (size_t)sprintf(text, "<mujoco><option timestep='.01'/><worldbody>");
  for (int i = 0; i < joints; i++) {
    n += (size_t)sprintf(text + n,
                         "<body pos='%d %d 0'><joint name='j%d'/><geom type='capsule' "
                         "fromto='0 0 0 .2 0 0' size='.1'/></body>",
                         i % 30, i / 30, i);
  }
  n += (size_t)sprintf(text + n, "</worldbody><actuator>");
  for (int i = 0; i < joints; i++) n += (size_t)sprintf(text + n, "<motor joint='j%d'/>", i);
  sprintf(text + n, "</actuator></mujoco>");
  return text;
}

// Sizes are the model's: every policy of a wide one stays inside its memory and bounds, and a slot
// that is saved comes back whole.
static void widest_model(void** state) {
  enum { JOINTS = 700 };
  char* text = wide_text(JOINTS);
  const UsTask* t = open_text("wide.xml", text);
  assert_int_equal(t->action, JOINTS);
  assert_int_equal(t->proprio, 2 * JOINTS);
  assert_int_equal(us_task_memory(t), JOINTS + 1);
  for (const UsPolicy* p = t->policies; p->name; p++) {
    double memory[JOINTS + 2] = {[JOINTS + 1] = 123};
    float action[JOINTS + 1] = {[JOINTS] = 456};
    for (int k = 0; k < 20; k++) {
      UsRng rng = us_rng(1, US_RNG_TEST, (uint64_t)k, 0, 0);
      p->act(t->model, NULL, &rng, memory, action);
      for (int i = 0; i < JOINTS; i++) assert_true(fabsf(action[i]) <= 1 && action[i] != 0);
    }
    assert_true(memory[JOINTS + 1] == 123 && action[JOINTS] == 456);
  }
  UsEnv* e = open_sim(t, &(UsEnvConfig){.slots = 2, .block = 1});
  size_t size = us_env_save_size(e);
  char *saved = malloc(size), *again = malloc(size);
  float* actions = calloc(2 * JOINTS, sizeof(float));
  for (int i = 0; i < 2 * JOINTS; i++) actions[i] = i % 3 ? 0.5f : -0.5f;
  us_env_reset(e, NULL, (uint64_t[]){1, 2});
  us_env_step(e, actions, NULL);
  us_env_save(e, 0, saved);
  us_env_step(e, actions, NULL);
  us_env_restore(e, 1, saved);
  us_env_save(e, 1, again);
  assert_memory_equal(saved, again, size);
  free(saved), free(again), free(actions), free(text);
  us_env_close(e);
  us_mjcf_close(t);
}

// ---- names ----

static void copy_name(const UsTask* t, char out[64]) {
  snprintf(out, 64, "%s", t->name);
  us_mjcf_close(t);
}

static void names(void** state) {
  char a[64], b[64], other[512];
  copy_name(open_file(mjcf_put_mesh(folder)), a);
  assert_memory_equal(a, "mjcf-wheel-", 11);
  snprintf(other, sizeof(other), "%s/moved", folder);
  mkdir(other, 0777);
  copy_name(open_file(mjcf_put_mesh(other)), b);
  assert_string_equal(a, b);  // where it lies is no part of it

  copy_name(open_text("x.xml", mjcf_cartpole), a);
  copy_name(open_text("x.xml", edited(mjcf_cartpole, "<actuator>", "<!-- --> <actuator>")), b);
  assert_string_equal(a, b);
  copy_name(open_text("x.xml", edited(mjcf_cartpole, "damping='1'", "damping='2'")), b);
  assert_string_not_equal(a, b);
  copy_name(open_text("y.xml", mjcf_cartpole), b);
  assert_string_equal(a + 6, b + 6);  // behind the letter
  copy_name(open_text("a b,\xc3\xa9.v2.xml", mjcf_cartpole), a);
  assert_memory_equal(a, "mjcf-a_b____v2-", 15);
  char stem[200];
  memset(stem, 'q', sizeof(stem));
  strcpy(stem + 150, ".xml");
  copy_name(open_text(stem, mjcf_cartpole), a);
  assert_true(strlen(a) <= 63);
}

static void put_bytes(const char* name, const void* data, size_t size) {
  char path[512];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  assert_int_equal(us_file_write(path, data, size), US_OK);
}

// A height field of MuJoCo's own format: rows, columns, heights.
typedef struct Heights {
  int rows, columns;
  float height[4];
} Heights;

// PNG files of one red and of one blue pixel.
static const unsigned char red[] = {
    137, 80, 78,  71, 13,  10,  26, 10, 0, 0, 0,   13,  73,  72,  68,  82, 0,  0,
    0,   1,  0,   0,  0,   1,   8,  2,  0, 0, 0,   144, 119, 83,  222, 0,  0,  0,
    15,  73, 68,  65, 84,  120, 1,  1,  4, 0, 251, 255, 0,   255, 0,   0,  3,  1,
    1,   0,  141, 29, 229, 130, 0,  0,  0, 0, 73,  69,  78,  68,  174, 66, 96, 130};
static const unsigned char blue[] = {
    137, 80, 78,  71,  13,  10,  26, 10, 0, 0, 0,   13,  73,  72, 68,  82,  0,  0,
    0,   1,  0,   0,   0,   1,   8,  2,  0, 0, 0,   144, 119, 83, 222, 0,   0,  0,
    15,  73, 68,  65,  84,  120, 1,  1,  4, 0, 251, 255, 0,   0,  0,   255, 1,  3,
    1,   0,  124, 194, 116, 219, 0,  0,  0, 0, 73,  69,  78,  68, 174, 66,  96, 130};

// What stands in other files is part of the name, down to its numbers; so are digits that MuJoCo
// does not write down.
static void names_of_other_worlds(void** state) {
  static const char grid[] =
      "<mujoco><asset><hfield name='h' file='h.bin' size='2 2 .6 .1'/><texture name='t' type='2d' "
      "file='t.png'/><material name='m' texture='t'/>"
      "</asset><worldbody><geom type='hfield' hfield='h' material='m'/></worldbody></mujoco>";
  const Heights up = {2, 2, {0, 1, 0, 1}}, down = {2, 2, {1, 0, 1, 0}};
  char all[4][64];
  for (int i = 0; i < 4; i++) {
    put_bytes("h.bin", i == 1 ? &down : &up, sizeof(up));
    put_bytes("t.png", i == 2 ? blue : red, sizeof(red));
    copy_name(open_text("grid.xml", grid), all[i]);
  }
  assert_string_not_equal(all[0], all[1]);
  assert_string_not_equal(all[0], all[2]);
  assert_string_equal(all[0], all[3]);
  char path[512];
  copy_name(open_file(mjcf_put_mesh(folder)), all[0]);
  snprintf(path, sizeof(path), "%s/parts", folder);
  mjcf_put(path, "tetra.obj", edited(mjcf_tetra, "v 1 0 0", "v 2 0 0"));
  snprintf(path, sizeof(path), "%s/wheel.xml", folder);
  copy_name(open_file(path), all[1]);
  assert_string_not_equal(all[0], all[1]);
  copy_name(open_text("x.xml", edited(mjcf_cartpole, "'0.01'", "'0.0100001'")), all[0]);
  copy_name(open_text("x.xml", edited(mjcf_cartpole, "'0.01'", "'0.0100002'")), all[1]);
  assert_string_not_equal(all[0], all[1]);
}

// ---- files that are refused ----

static void bad_files(void** state) {
  char path[512];
  refused("/no/such.xml", "No such file");
  refused(folder, "");
  refused(mjcf_put(folder, "fragment.xml", mjcf_wheel), "mujocoinclude");
  refused(mjcf_put(folder, "root.xml", "<config/>"), "config");
  refused(mjcf_put(folder, "broken.xml", "<mujoco><worldbody>\n<geom size='.1'>"), "MuJoCo says");
  refused(
      mjcf_put(folder, "typo.xml", "<mujoco><worldbody><geom tpye='box'/></worldbody></mujoco>"),
      "tpye");
  refused(mjcf_put(folder, "empty.xml", ""), "MuJoCo says");
  refused(mjcf_put(folder, "world.xml", "<mujoco><asset/></mujoco>"), "empty world");
  refused(mjcf_put(folder, "nomesh.xml", edited(mjcf_mesh, "tetra.obj", "gone.obj")), "gone.obj");
  refused(mjcf_put(folder, "noinc.xml", edited(mjcf_mesh, "parts/wheel", "parts/gone")), "gone");
  refused(mjcf_put(folder, "camera.xml",
                   edited(mjcf_cartpole, "<actuator>",
                          "<custom><text name='understudy_camera' data='up'/></custom><actuator>")),
          "found \"up\"");
  refused(mjcf_put(folder, "radius.xml",
                   edited(mjcf_cartpole, "<actuator>",
                          "<custom><numeric name='understudy_radius' data='-1'/></custom>"
                          "<actuator>")),
          "radius");
  snprintf(path, sizeof(path), "%s/pipe.xml", folder);
  assert_int_equal(mkfifo(path, 0600), 0);
  refused(path, "something else");
  snprintf(path, sizeof(path), "%s/model.mjb", folder);
  assert_int_equal(us_file_write(path, "\1\0\2", 3), US_OK);
  refused(path, "compiled model (MJB)");
  snprintf(path, sizeof(path), "%s/huge.xml", folder);
  mjcf_put(folder, "huge.xml", "<");
  assert_int_equal(truncate(path, 100 << 20), 0);
  refused(path, "bytes");
}

// ---- the contract ----

static void contract(void** state) {
  const char* const files[] = {mjcf_put(folder, "cartpole.xml", mjcf_cartpole),
                               mjcf_put(folder, "arm.xml", mjcf_arm),
                               mjcf_put(folder, "quad.xml", mjcf_quad), mjcf_put_mesh(folder)};
  for (int i = 0; i < US_COUNT(files); i++) {
    char line[1200];
    snprintf(line, sizeof(line),
             "UNDERSTUDY_TEST_PLUGIN='mjcf:%s' \"$(dirname '%s')/test_tasks\" >'%s/log' 2>&1 || "
             "{ cat '%s/log'; exit 1; }",
             files[i], US_PROGRAM, folder, folder);
    if (system(line) != 0) fail_msg("%s breaks the contract of tasks", files[i]);
  }
}

// A model that falls apart ends as a message of the env, not of the process.
static void divergence(void** state) {
  const UsTask* t = open_text(
      "diverges.xml", edited(mjcf_cartpole, "damping='1' ", "damping='1' stiffness='-1e9' "));
  UsEnv* e = open_sim(t, NULL);
  const float action[5] = {0};
  uint8_t terminated = 0;
  us_env_reset(e, NULL, (uint64_t[]){1});
  for (int k = 0; k < 100 && !terminated; k++) {
    us_env_step(e, action, &(UsStep){.terminated = &terminated});
  }
  assert_int_equal(terminated, 1);
  us_env_close(e);
  us_mjcf_close(t);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tables),
      cmocka_unit_test(customs),
      cmocka_unit_test(controls),
      cmocka_unit_test(mixed_controls),
      cmocka_unit_test(starts),
      cmocka_unit_test(distances),
      cmocka_unit_test(cameras),
      cmocka_unit_test(names),
      cmocka_unit_test(widest_model),
      cmocka_unit_test(bad_files),
      cmocka_unit_test(contract),
      cmocka_unit_test(divergence),
      cmocka_unit_test(names_of_other_worlds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) | mjcf_folder_remove();
}
