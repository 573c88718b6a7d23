// A robot of one's own through the whole loop, as a user runs it: an MJCF file is looked at,
// recorded, trained on and planned in; another file of that name, or none, is refused in one line,
// and so is planning where nothing can be moved.

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "env/env.h"
#include "tasks/mjcf/mjcf.h"
#include "tests/scripts/program.h"
#include "tests/tasks/mjcf_models.h"
#include "worldmodel/base/file.h"

static const char two_links[] =
    "<mujoco><option timestep='0.01' gravity='0 0 0'/><custom><numeric name='understudy_size' "
    "data='32'/><numeric name='understudy_noise' data='.3'/></custom>"
    "<default><joint axis='0 0 1' damping='.5' armature='.05'/><geom type='capsule' contype='0' "
    "size='.05'/></default><worldbody><geom type='plane' size='1 1 .1'/>"
    "<body pos='0 0 .1'><joint name='a'/><geom fromto='0 0 0 .3 0 0' rgba='.1 .2 .7 1'/>"
    "<body pos='.3 0 0'><joint name='b' range='-150 150'/><geom fromto='0 0 0 .25 0 0' "
    "rgba='.8 .2 .1 1'/></body></body></worldbody>"
    "<actuator><motor joint='a' gear='1.5'/><motor joint='b'/></actuator></mujoco>";

static char folder[] = "/tmp/understudy-mjcf-gl-XXXXXX";

// Runs a command in which every % stands for the folder.
static Run command(const char* words) {
  char line[2048];
  size_t n = 0;
  for (; *words; words++) {
    n += (size_t)snprintf(line + n, sizeof(line) - n, "%.*s", *words == '%' ? 64 : 1,
                          *words == '%' ? folder : words);
    if (n >= sizeof(line)) abort();
  }
  return run_program(folder, line);
}

static Run done(const char* words) {
  Run r = command(words);
  if (r.code != 0) fail_msg("`understudy %s`: exit %d: %s", words, r.code, r.err);
  return r;
}

static void refused(const char* words, int code, const char* part) {
  Run r = command(words);
  if (r.code != code || lines_of(r.err) != 1 || !strstr(r.err, part)) {
    fail_msg("`understudy %s`: exit %d (expected %d), \"%s\" (expected \"%s\")", words, r.code,
             code, r.err, part);
  }
}

static double rate(const char* row) {
  char path[512];
  cJSON* eval;
  assert_int_equal(us_json_read(us_path_join(path, sizeof(path), folder, "eval.json"), &eval),
                   US_OK);
  const cJSON* at = cJSON_GetObjectItemCaseSensitive(eval, "rows");
  at = cJSON_GetObjectItemCaseSensitive(at, row);
  at = cJSON_GetObjectItemCaseSensitive(at, "first_hit");
  at = cJSON_GetObjectItemCaseSensitive(at, "rate");
  if (!cJSON_IsNumber(at)) fail_msg("no rate of %s", row);
  double value = at->valuedouble;
  cJSON_Delete(eval);
  return value;
}

static void loop(void** state) {
  mjcf_put(folder, "arm.xml", two_links);
  Run r = done("inspect %/arm.xml");
  assert_non_null(
      strstr(r.out, "2 bodies, 2 joints, 2 actuators with 2 controls, state 2 + 2 + 0"));
  done("collect --task mjcf:%/arm.xml --episodes 40 --steps 60 --seed 1 --out %/train.h5");
  done("collect --task mjcf:%/arm.xml --episodes 20 --steps 45 --seed 2 --out %/held.h5");
  done("dataset verify %/held.h5");
  done(
      "finetune --data %/train.h5 --encoder state --mode scratch --width 64 --depth 2 --steps 300 "
      "--plugin mjcf:%/arm.xml --out %/model");
  done(
      "eval --task mjcf:%/arm.xml --state-model %/model --rows state,random,oracle --data "
      "%/held.h5 --episodes 20 --oracle-pairs 8 --json %/eval.json");
  assert_true(rate("oracle") > 0.8);
  assert_true(rate("state") > rate("random") + 0.2);
  // Data of before keep no robot.
  char line[300];
  snprintf(line, sizeof(line),
           "cd '%s' && LC_ALL=C sed s/robot_sha256/robot_absent/ held.h5 >plain.h5", folder);
  assert_int_equal(system(line), 0);
  refused("finetune --data %/plain.h5 --encoder state --out %/other", 1, "--plugin");
  refused("eval --rows random --data %/plain.h5 --json %/none.json", 2, "--task mjcf:FILE.xml");
}

// Pixels of an MJCF task without a camera, seen by the embedded encoder's kin.
static void frames(void** state) {
  done(
      "finetune --data %/train.h5 --encoder pca --mode scratch --width 64 --depth 1 --steps 5 "
      "--out %/pca");
  done(
      "eval --task mjcf:%/arm.xml --model %/pca --rows model --data %/held.h5 --episodes 4 "
      "--films 2 --json %/films.json");
  done("report --json %/films.json --out %/report");
}

static void another_model(void** state) {
  char text[2048], other[512];
  const char* at = strstr(two_links, "gear='1.5'");
  snprintf(text, sizeof(text), "%.*sgear='1.6'%s", (int)(at - two_links), two_links,
           at + strlen("gear='1.5'"));
  snprintf(other, sizeof(other), "%s/other", folder);
  mkdir(other, 0777);
  mjcf_put(other, "arm.xml", text);
  refused("eval --task mjcf:%/other/arm.xml --rows random --data %/held.h5 --json %/none.json", 2,
          "expected trajectories of the task \"mjcf-arm-");
  refused("collect --task mjcf:%/other/arm.xml --episodes 21 --out %/held.h5 --resume", 1,
          "to go on with, found");
  refused("collect --task mjcf:%/other/gone.xml --episodes 1 --out %/x.h5", 1, "gone.xml: ");
  refused("collect --task mjcf: --episodes 1 --out %/x.h5", 1, "No such file");
}

// The brightest number in the first frame of a model.
static int brightness(const char* name) {
  char path[512], sim[100];
  const UsTask* t;
  UsEnv* e = NULL;
  int slot = 0, most = 0;
  if (us_mjcf_open(us_path_join(path, sizeof(path), folder, name), &t))
    fail_msg("%s", us_message());
  snprintf(sim, sizeof(sim), "sim:%s", t->name);
  if (us_env_open(sim, (const UsTask* const[]){t, NULL}, NULL, &e)) fail_msg("%s", us_message());
  uint8_t pixels[64 * 64 * 3];
  us_env_reset(e, NULL, (uint64_t[]){1});
  assert_int_equal(us_env_render(e, 1, &slot, pixels), US_OK);
  for (size_t i = 0; i < sizeof(pixels); i++) most = pixels[i] > most ? pixels[i] : most;
  us_env_close(e);
  us_mjcf_close(t);
  return most;
}

// Without actuators or joints: recorded and seen, without a light too, but nothing to plan with.
static void passive(void** state) {
  mjcf_put(folder, "pendulum.xml", mjcf_pendulum);
  mjcf_put(folder, "still.xml", mjcf_still);
  done("collect --task mjcf:%/pendulum.xml --episodes 8 --steps 40 --out %/pendulum.h5");
  done("collect --task mjcf:%/still.xml --episodes 2 --steps 10 --out %/still.h5");
  done("dataset verify %/pendulum.h5");
  done("dataset verify %/still.h5");
  done("dataset preview %/pendulum.h5 --out %/pendulum.png");
  assert_true(brightness("pendulum.xml") > 100);
  refused("finetune --data %/pendulum.h5 --out %/no", 1, "expected actions");
  refused("eval --task mjcf:%/pendulum.xml --rows random --data %/pendulum.h5 --json %/no.json", 1,
          "no controls");
  refused("eval --task mjcf:%/still.xml --rows random --data %/still.h5 --json %/no.json", 1,
          "no controls");
}

// A state of more numbers than most have: an actuator with 5000 of its own.
static void large_state(void** state) {
  static const char large[] =
      "<mujoco><worldbody><body><joint name='j' range='-1 1'/><geom size='.1' pos='.2 0 0'/></body>"
      "</worldbody><actuator><general joint='j' dyntype='user' actdim='5000'/><motor joint='j'/>"
      "</actuator></mujoco>";
  mjcf_put(folder, "large.xml", large);
  done("collect --task mjcf:%/large.xml --episodes 8 --steps 30 --size 16 --seed 1 --out %/l1.h5");
  done("collect --task mjcf:%/large.xml --episodes 4 --steps 60 --size 16 --seed 2 --out %/l2.h5");
  done(
      "finetune --data %/l1.h5 --mode scratch --encoder pca --steps 2 --width 16 --heads 2 "
      "--depth 1 --out %/lm");
  done(
      "eval --task mjcf:%/large.xml --model %/lm --data %/l2.h5 --rows model --episodes 2 "
      "--films 1 --film-size 16 --samples 8 --elites 4 --keep 2 --iterations 1 --json %/l.json");
}

// Copies a file of the tests' robots into the folder.
static void take_robot(const char* name, const char* as) {
  char line[1024];
  snprintf(line, sizeof(line), "cp '%s/tests/tasks/robots/%s' '%s/%s'", US_SOURCE_DIR, name, folder,
           as);
  assert_int_equal(system(line), 0);
}

// Edits a text in a file of the folder; both have the same length.
static void edit_file(const char* name, const char* key, const char* from, const char* to) {
  char path[512];
  void* data;
  size_t size;
  us_path_join(path, sizeof(path), folder, name);
  assert_int_equal(us_file_read(path, 0, &data, &size), US_OK);
  char* at = strstr(data, key);
  at = at ? strstr(at, from) : NULL;
  assert_non_null(at);
  memcpy(at, to, strlen(to));
  assert_int_equal(us_file_write(path, data, size), US_OK);
  free(data);
}

// A camera that looks away is told before it costs hours, and is not the one that is taken.
static void blind_cameras(void** state) {
  take_robot("blind.xml", "blind.xml");
  Run r = done("inspect %/blind.xml --png %/blind.png");
  assert_non_null(strstr(r.out, "    left_cap                   0.0 %    0 px  100 %"));
  assert_non_null(strstr(r.out, "  * understudy_free "));
  assert_non_null(strstr(r.out, "joint a                          -1 .. 1 is -1 .. 1"));
  done("collect --task mjcf:%/blind.xml --episodes 12 --steps 40 --seed 1 --out %/b1.h5");
  r = done(
      "collect --task mjcf:%/blind.xml --episodes 14 --steps 40 --seed 1 --out %/b1.h5 --resume");
  assert_non_null(strstr(r.out, "% of pixels change within a second"));
  assert_null(strstr(r.err, "hardly"));
  r = done(
      "collect --task mjcf:%/blind.xml --camera left_cap --episodes 6 --steps 40 --out %/bl.h5");
  assert_non_null(
      strstr(r.err, "only 0.00 % of the pixels change within a second: camera left_cap"));
  r = done(
      "finetune --data %/bl.h5 --encoder pca --mode scratch --width 16 --heads 2 --depth 1 "
      "--steps 2 --out %/bl");
  assert_non_null(strstr(r.out, "the frames hardly change (0.00 % of the pixels"));
  // The pose goes from the data to the model; frames from elsewhere are not for it.
  done("collect --task mjcf:%/blind.xml --episodes 6 --steps 40 --seed 2 --out %/b2.h5");
  done(
      "finetune --data %/b1.h5 --encoder pca --mode scratch --width 16 --heads 2 --depth 1 "
      "--steps 2 --out %/bm");
  const char* eval =
      "eval --task mjcf:%/blind.xml --model %/bm --data %/b2.h5 --rows model "
      "--episodes 4 --films 1 --film-size 16 --samples 8 --elites 4 --keep 2 "
      "--iterations 1 --json %/b.json";
  done(eval);
  edit_file("bm/config.json", "camera_pose", "0.", "9.");
  refused(eval, 1, "expected frames of camera understudy_free (");
}

// States alone need no frames, and no OpenGL.
static void no_frames(void** state) {
  Run r = done(
      "collect --task mjcf:%/blind.xml --size 0 --episodes 12 --steps 40 --seed 1 --out %/s1.h5");
  assert_null(strstr(r.out, "pixels"));
  done("collect --task mjcf:%/blind.xml --size 0 --episodes 6 --steps 40 --seed 2 --out %/s2.h5");
  done("dataset verify %/s1.h5");
  done(
      "finetune --data %/s1.h5 --plugin mjcf:%/blind.xml --encoder state --mode scratch --width 16 "
      "--heads 2 --depth 1 --steps 2 --out %/sm");
  done(
      "eval --task mjcf:%/blind.xml --state-model %/sm --data %/s2.h5 --rows state --episodes 4 "
      "--samples 8 --elites 4 --keep 2 --iterations 1 --json %/s.json");
  refused("collect --task mjcf:%/blind.xml --size 4 --episodes 1 --out %/s3.h5", 2,
          "0 (no frames)");
  refused("finetune --data %/s1.h5 --encoder pca --out %/no", 1, "pixels");
}

// What a file is, its first bytes say.
static void suffixes(void** state) {
  const char* const names[] = {"arm.urdf", "arm.XML", "arm.txt"};
  for (int i = 0; i < 3; i++) {
    char line[100];
    take_robot("arm.urdf", names[i]);
    snprintf(line, sizeof(line), "inspect %%/%s", names[i]);
    Run r = done(line);
    assert_non_null(strstr(r.out, "1 actuators with 1 controls"));
  }
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(loop),      cmocka_unit_test(frames),      cmocka_unit_test(another_model),
      cmocka_unit_test(passive),   cmocka_unit_test(large_state), cmocka_unit_test(blind_cameras),
      cmocka_unit_test(no_frames), cmocka_unit_test(suffixes),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
