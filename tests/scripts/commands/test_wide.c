// Robots of many controls and states of many numbers, generated here, through collect, finetune and
// eval on states, on a machine without OpenGL.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "tests/scripts/program.h"

enum { kJoints = 20, kMuscles = 35, kBeads = 154 };

static char folder[64];

// 700 muscles, so many to a joint: as many controls, and activations among the numbers of a state.
static void write_muscles(FILE* f) {
  fputs("<mujoco model='muscles'><option timestep='.005'/><worldbody>", f);
  for (int i = 0; i < kJoints; i++) {
    fprintf(f,
            "<body pos='%g 0 1'><joint name='j%d' axis='0 1 0' range='-60 60' damping='.05'/>"
            "<geom type='capsule' fromto='0 0 0 0 0 -.3' size='.02' contype='0' conaffinity='0'/>"
            "</body>",
            0.1 * i, i);
  }
  fputs("</worldbody><actuator>", f);
  for (int i = 0; i < kJoints * kMuscles; i++) {
    fprintf(f, "<muscle joint='j%d' gear='%g' force='2' lengthrange='-1 1'/>", i / kMuscles,
            i % 2 ? 0.02 : -0.02);
  }
  fputs("</actuator></mujoco>", f);
}

// Free bodies, 13 numbers each, of which nothing but a paddle can be moved: what stands still up to
// rounding is nothing to be told.
static void write_beads(FILE* f) {
  fputs("<mujoco model='beads'><option timestep='.01' gravity='0 0 0'/><worldbody>", f);
  for (int i = 0; i < kBeads; i++) {
    fprintf(f,
            "<body pos='%g %g .05'><freejoint/><geom type='box' size='.03 .03 .03' mass='.01' "
            "contype='0' conaffinity='0'/></body>",
            i % 13 * 0.1, i / 13 * 0.1);
  }
  fputs(
      "<body pos='0 -.3 .05'><joint name='x' type='slide' range='-1 1' damping='1'/>"
      "<geom size='.05' mass='.1' contype='0' conaffinity='0'/></body></worldbody>"
      "<actuator><motor joint='x' ctrlrange='-1 1'/></actuator></mujoco>",
      f);
}

static void loop(const char* name, void (*write)(FILE*), const char* actions, const char* state) {
  char path[128], line[256];
  snprintf(path, sizeof(path), "%s/%s.xml", folder, name);
  FILE* f = fopen(path, "w");
  write(f);
  fclose(f);
  // Frames cannot be drawn here, which is said; states can be recorded.
  Run r = run_expecting(folder, 1, "collect --task mjcf:%s --episodes 1 --steps 2 --out %s/no.h5",
                        path, folder);
  assert_non_null(strstr(r.err, "found no libEGL.so.1"));
  assert_int_equal(lines_of(r.err), 1);
  for (int held = 0; held < 2; held++) {
    run_expecting(folder, 0,
                  "collect --task mjcf:%s --episodes %d --steps 30 --size 0 --seed %d --threads 1 "
                  "--out %s/%s-%d.h5",
                  path, held ? 3 : 8, held, folder, name, held);
  }
  r = run_expecting(folder, 0, "dataset info %s/%s-0.h5", folder, name);
  assert_non_null(strstr(r.out, actions));
  assert_non_null(strstr(r.out, state));
  run_expecting(
      folder, 0,
      "finetune --data %s/%s-0.h5 --plugin mjcf:%s --encoder state --mode scratch --steps "
      "20 --width 32 --depth 1 --heads 2 --success-steps 5 --threads 1 --out %s/%s",
      folder, name, path, folder, name);
  snprintf(line, sizeof(line),
           "--task mjcf:%s --data %s/%s-1.h5 --threads 1 --episodes 2 --films 0", path, folder,
           name);
  run_expecting(folder, 0,
                "eval %s --state-model %s/%s --rows state,random --samples 8 --elites 4 "
                "--iterations 1 --warm-iterations 1 --json %s/%s.json",
                line, folder, name, folder, name);
  r = run_expecting(folder, 1, "eval %s --model %s/%s --json %s/no.json", line, folder, name,
                    folder);
  assert_non_null(strstr(r.err, "found one of true states (--state-model"));
}

static void test_muscles(void** state) {
  loop("muscles", write_muscles, "... 692 more", "... 732 more");
}

static void test_beads(void** state) {
  loop("beads", write_beads, "action[0]", "... 1996 more");
}

int main(void) {
  snprintf(folder, sizeof(folder), "/tmp/us_wide_XXXXXX");
  if (!mkdtemp(folder)) return 1;
  // What stands in the way of the library is what a machine without it has.
  char path[128];
  snprintf(path, sizeof(path), "%s/libEGL.so.1", folder);
  FILE* f = fopen(path, "w");
  if (!f) return 1;
  fputs("no library", f);
  fclose(f);
  setenv("LD_LIBRARY_PATH", folder, 1);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_muscles), cmocka_unit_test(test_beads)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  snprintf(path, sizeof(path), "rm -rf %s", folder);
  return system(path) != 0 || failed;
}
