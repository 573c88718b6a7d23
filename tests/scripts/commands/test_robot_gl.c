// Nothing is stranded: a robot whose files are gone, moved or edited is opened from the data and
// the models that were made with it, by every command, and in one line from what only says so.

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <unistd.h>

#include "env/robot.h"
#include "tests/scripts/program.h"
#include "tests/tasks/mjcf_models.h"

// Two links, of which one is a mesh, in two files; and the first alone.
static const char arm[] =
    "<mujoco><compiler meshdir='../shapes'/><option timestep='0.01' gravity='0 0 0'/><default>"
    "<joint axis='0 0 1' damping='.5' armature='.05'/></default><include file='parts.xml'/>"
    "<worldbody><geom type='plane' size='1 1 .1'/><body pos='0 0 .1'><joint name='a'/>"
    "<geom type='capsule' contype='0' size='.05' fromto='0 0 0 .3 0 0' rgba='.1 .2 .7 1'/>"
    "<body pos='.3 0 0'><joint name='b'/><geom type='mesh' mesh='m' contype='0'/></body></body>"
    "</worldbody><actuator><motor joint='a' gear='1.5'/><motor joint='b'/></actuator></mujoco>";
static const char parts[] = "<m><asset><mesh name='m' file='m.obj' scale='.3 .1 .1'/></asset></m>";
static const char mesh[] =
    "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n";
static const char plain[] =
    "<mujoco><option gravity='0 0 0'/><worldbody><geom type='plane' size='1 1 .1'/><body pos='0 0 "
    ".1'><joint name='j' axis='0 0 1' damping='.5'/><geom type='capsule' size='.05' fromto='0 0 0 "
    ".3 0 0'/>"
    "</body></worldbody><actuator><motor joint='j'/></actuator></mujoco>";
#define TINY "--encoder pca --mode scratch --width 16 --heads 2 --depth 1 --steps 2"
#define FEW "--samples 8 --elites 4 --keep 2 --iterations 1"

static char folder[] = "/tmp/understudy-robot-gl-XXXXXX";

static void shell(const char* format) {
  char line[1024];
  snprintf(line, sizeof(line), "cd '%s' && %s", folder, format);
  if (system(line) != 0) fail_msg("%s", line);
}

// Runs a command in a folder of its own that is empty.
static Run command(const char* words) {
  char line[2048];
  snprintf(line, sizeof(line), "%s/empty", folder);
  mkdir(line, 0777);
  if (chdir(line) != 0) abort();
  return run_program(folder, words);
}

static Run done(const char* words) {
  Run r = command(words);
  if (r.code != 0) fail_msg("`understudy %s`: exit %d: %s", words, r.code, r.err);
  return r;
}

static Run quiet(const char* words) {
  Run r = done(words);
  if (r.err[0]) fail_msg("`understudy %s`: %s", words, r.err);
  return r;
}

static void refused(const char* words, const char* part) {
  Run r = command(words);
  if (r.code != 1 || lines_of(r.err) != 1 || !strstr(r.err, part)) {
    fail_msg("`understudy %s`: exit %d, \"%s\" (expected \"%s\")", words, r.code, r.err, part);
  }
}

static const char* robot_line(const char* info) {
  static char line[256];
  const char* at = strstr(info, "  robot  ");
  assert_non_null(at);
  snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
  return line;
}

static void meshes(void** state) {
  shell("mkdir robots shapes data models");
  mjcf_put(folder, "robots/arm.xml", arm);
  mjcf_put(folder, "robots/parts.xml", parts);
  mjcf_put(folder, "shapes/m.obj", mesh);
  done(
      "collect --task mjcf:../robots/arm.xml --episodes 10 --steps 40 --size 32 --seed 1 --out "
      "../data/train.h5");
  done(
      "collect --task mjcf:../robots/arm.xml --episodes 6 --steps 45 --size 32 --seed 2 --out "
      "../data/held.h5");
  shell("test $(ls data/mjcf-arm-*.zip | wc -l) = 1");
  // Both say the same robot.
  Run info = done("dataset info ../data/train.h5");
  char line[256];
  snprintf(line, sizeof(line), "%s", robot_line(info.out));
  assert_non_null(strstr(line, " 2 files of "));
  assert_non_null(strstr(line, ".zip beside it"));
  info = done("dataset info ../data/held.h5");
  assert_string_equal(robot_line(info.out), line);
  shell("mkdir empty/merged");
  quiet("dataset merge ../data/train.h5 ../data/held.h5 --out merged/all.h5");
  info = done("dataset info merged/all.h5");
  assert_string_equal(robot_line(info.out), line);
  shell("cmp data/mjcf-arm-*.zip empty/merged/mjcf-arm-*.zip");
  // Gone: data alone, then data and model, then the model alone.
  shell("rm -r robots shapes");
  quiet("finetune --data ../data/train.h5 " TINY " --out ../models/m");
  shell("cmp data/mjcf-arm-*.zip models/m/mjcf-arm-*.zip");
  quiet(
      "eval --model ../models/m --data ../data/held.h5 --rows model,random --episodes 4 --films 1 "
      "--film-size 16 " FEW " --json e.json");
  quiet("view --data ../data/held.h5 --record held.png");
  quiet("view --model ../models/m --data ../data/held.h5 --record both.png --steps 4");
  quiet("view --model ../models/m --policy random --record model.png --steps 4");
  quiet("dataset preview ../data/train.h5 --out preview.png");
  quiet("encoder probe --encoder state --data ../data/held.h5");
  quiet("inspect ../data/mjcf-arm-*.zip");
  quiet("collect --resume --episodes 12 --steps 40 --size 32 --seed 1 --out ../data/train.h5");
  quiet("collect --task mjcf:$(ls ../data/mjcf-arm-*.zip) --episodes 1 --steps 4 --out z/z.h5");
  shell("cmp data/mjcf-arm-*.zip empty/z/mjcf-arm-*.zip");
  quiet("dataset verify ../data/train.h5");
  // A model folder that moves takes it along, a dataset needs what lies beside it.
  shell("mv models/m moved && mkdir alone && cp data/held.h5 alone");
  quiet("view --model ../moved --policy random --record moved.png --steps 4");
  Run r = done(
      "eval --state-model ../moved --rows random --episodes 4 --data ../alone/held.h5 --json "
      "s.json");
  assert_int_equal(lines_of(r.err), 1);
  assert_non_null(strstr(r.err, "alone/held.h5: expected its robot in "));
  info = done("dataset info ../alone/held.h5");
  assert_non_null(strstr(robot_line(info.out), "missing: "));
}

// A text without files is in the dataset itself; as a file that is edited it is told, and still so.
static void edited(void** state) {
  char path[256], line[700];
  snprintf(path, sizeof(path), "%s/plain.xml", folder);
  mjcf_put(folder, "plain.xml", plain);
  done("collect --task mjcf:../plain.xml --episodes 4 --steps 40 --size 32 --out ../p/p.h5");
  shell("test $(ls p | wc -l) = 1");
  Run r = done("dataset info ../p/p.h5");
  assert_non_null(strstr(robot_line(r.out), "in the file itself"));
  quiet("view --data ../p/p.h5 --record p.png --steps 4");
  shell("sed -i \"s/damping='.5'/damping='.6'/\" plain.xml");
  r = done("view --data ../p/p.h5 --record q.png --steps 4");
  shell("cmp empty/p.png empty/q.png");
  assert_int_equal(lines_of(r.err), 1);
  snprintf(line, sizeof(line), "../p/p.h5: %s or a file that it names has changed since", path);
  if (!strstr(r.err, line)) fail_msg("%s", r.err);
  refused(
      "collect --task mjcf:../plain.xml --resume --episodes 5 --steps 40 --size 32 --out "
      "../p/p.h5",
      "without --task the robot that it was recorded with goes on");
  done("collect --resume --episodes 5 --steps 40 --size 32 --out ../p/p.h5");
  shell("rm plain.xml");
  quiet("collect --resume --episodes 6 --steps 40 --size 32 --out ../p/p.h5");
  quiet("view --data ../p/p.h5 --record q.png --steps 4");
  shell("cmp empty/p.png empty/q.png");
}

// Zips that are not what they were are refused in one line, and nothing of them is written.
static void hostile(void** state) {
  char zip[512], path[600];
  FILE* f = popen("ls ../data/mjcf-arm-*.zip", "r");
  assert_true(f && fscanf(f, "%511s", zip) == 1);
  pclose(f);
  UsRobot r = {0}, bad = {0};
  assert_int_equal(us_robot_read(zip, &r), US_OK);
  for (int i = 0; i < r.count; i++) {
    us_robot_add(&bad, i == 2 ? "robot/../../../../tmp/x" : r.file[i].name, r.file[i].data,
                 r.file[i].size);
  }
  assert_int_equal(us_robot_write(zip, &bad), US_OK);
  refused("view --data ../data/held.h5 --record no.png", "robot/../../../../tmp/x");
  refused("finetune --data ../data/train.h5 " TINY " --out ../models/no", "expected robot.json");
  // Another robot under its name.
  us_robot_free(&bad);
  for (int i = 0; i < r.count; i++) {
    us_robot_add(&bad, r.file[i].name, r.file[i].data, r.file[i].size);
  }
  char* at = strstr(bad.file[1].data, "damping='.5'");
  assert_non_null(at);
  at[10] = '7';
  assert_int_equal(us_robot_write(zip, &bad), US_OK);
  refused("view --data ../data/held.h5 --record no.png", "expected the robot mjcf-arm-");
  us_robot_free(&bad);
  assert_int_equal(us_robot_write(zip, &r), US_OK);
  quiet("view --data ../data/held.h5 --record yes.png --steps 4");
  us_robot_free(&r);
  snprintf(path, sizeof(path), "%s/empty/no.png", folder);
  assert_int_equal(access(path, F_OK), -1);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(meshes), cmocka_unit_test(edited),
                                     cmocka_unit_test(hostile)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
