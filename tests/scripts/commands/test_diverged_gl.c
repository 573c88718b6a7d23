// What becomes of simulations that MuJoCo cannot go on with: errors of its engine and states that
// diverge, in collect, eval and view.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <unistd.h>

#include "datasets/dataset.h"
#include "tests/scripts/program.h"
#include "worldmodel/base/file.h"

static char folder[] = "/tmp/understudy-diverged-XXXXXX";

// A stack of boxes whose contacts need more memory than the model has.
static const char full[] =
    "<mujoco model='full'><size memory='10K'/><worldbody><light pos='0 -2 3'/>"
    "<geom type='plane' size='2 2 .1'/><replicate count='12' offset='0 0 .12'>"
    "<body pos='0 0 .1'><freejoint/><geom type='box' size='.05 .05 .05'/></body></replicate>"
    "<body pos='.5 0 .3'><joint name='a' type='hinge' axis='0 1 0'/>"
    "<geom type='capsule' fromto='0 0 0 -.5 0 0' size='.03'/></body></worldbody><actuator>"
    "<motor joint='a' gear='20' ctrlrange='-1 1'/></actuator></mujoco>";

// A ball on a tendon too stiff for the timestep: the few episodes in which the tendon gets taut
// diverge. The gear says how often.
static const char rare[] =
    "<mujoco model='rare'><option timestep='0.02' integrator='Euler'/><worldbody>"
    "<light pos='0 0 2'/><body name='a'><joint name='h' type='slide' axis='0 1 0' damping='.5'/>"
    "<geom type='sphere' size='.05' mass='1'/><site name='e'/></body><site name='w' pos='0 0 0'/>"
    "</worldbody><tendon><spatial name='s' stiffness='1e7' springlength='0 1.2'>"
    "<site site='w'/><site site='e'/></spatial></tendon><actuator>"
    "<motor joint='h' gear='%s' ctrlrange='-1 1' ctrllimited='true'/></actuator></mujoco>";

static const char* in(const char* name) {
  static char paths[8][512];
  static int next;
  return us_path_join(paths[next++ % 8], sizeof(paths[0]), folder, name);
}

static void write_model(const char* name, const char* format, const char* gear) {
  FILE* f = fopen(in(name), "w");
  assert_non_null(f);
  fprintf(f, format, gear);
  fclose(f);
}

#define command(code, ...) run_expecting(folder, code, __VA_ARGS__)

static void expect_same(const char* a, const char* b) {
  char hash[2][US_HASH_CHARS];
  assert_int_equal(us_hash_file(in(a), hash[0]), US_OK);
  assert_int_equal(us_hash_file(in(b), hash[1]), US_OK);
  assert_string_equal(hash[0], hash[1]);
}

static UsDataset* open_good(const char* name) {
  UsDataset* d = NULL;
  command(0, "dataset verify %s", in(name));
  assert_int_equal(us_dataset_open(in(name), &d), US_OK);
  return d;
}

#define RARE "collect --task mjcf:%s --steps 50 --size 16 "

// ---- errors of the engine ----

static void engine_errors_end_collect_and_view(void** state) {
  (void)state;
  Run r = command(1, "collect --task mjcf:%s --episodes 2 --steps 9 --size 16 --out %s",
                  in("full.xml"), in("full.h5"));
  assert_int_equal(lines_of(r.err), 1);
  assert_non_null(strstr(r.err, "full.h5: episode 0, step 0: MuJoCo: "));
  assert_non_null(strstr(r.err, "size memory"));  // the remedy, in MuJoCo's words
  assert_false(us_file_exists(in("full.h5")));
  r = command(1, "view --task mjcf:%s --steps 9 --size 64 --record %s", in("full.xml"),
              in("full.png"));
  assert_int_equal(lines_of(r.err), 1);
  assert_non_null(strstr(r.err, "seed 0, step 0: MuJoCo: "));
  assert_false(us_file_exists(in("full.png")));
}

// ---- divergence ----

static void diverged_episodes_are_drawn_anew(void** state) {
  (void)state;
  Run r = command(0, RARE "--episodes 8 --threads 1 --out %s", in("rare.xml"), in("a.h5"));
  assert_non_null(strstr(r.out, "; 2 drawn anew after diverging; MuJoCo warned "));
  assert_non_null(strstr(r.out, "bad qacc"));
  UsDataset* d = open_good("a.h5");
  const UsDatasetInfo* info = us_dataset_info(d);
  assert_int_equal(info->rows, 8 * 51);
  assert_string_equal(info->diverged, "redraw");
  for (int64_t i = 0; i < info->rows * info->state; i++) {
    assert_true(fabs(us_dataset_states(d)[i]) < 1e6);
  }
  us_dataset_close(d);
  command(0, RARE "--episodes 8 --threads 2 --out %s", in("rare.xml"), in("b.h5"));
  expect_same("a.h5", "b.h5");
  command(0, RARE "--episodes 3 --threads 2 --out %s", in("rare.xml"), in("c.h5"));
  command(0, RARE "--episodes 8 --threads 1 --out %s --resume", in("rare.xml"), in("c.h5"));
  expect_same("a.h5", "c.h5");
  r = command(1, RARE "--episodes 9 --diverged keep --out %s --resume", in("rare.xml"), in("c.h5"));
  assert_non_null(strstr(r.err, "diverged: expected \"keep\" to go on with, found \"redraw\""));
}

// A killed run goes on to the same bits; episode 14 of the rarer trouble stops nothing.
static void killed_runs_go_on(void** state) {
  (void)state;
  command(0, RARE "--episodes 16 --threads 1 --out %s", in("rare135.xml"), in("whole.h5"));
  UsDataset* d = open_good("whole.h5");
  assert_int_equal(us_dataset_info(d)->episodes, 16);
  us_dataset_close(d);
  char model[600];
  snprintf(model, sizeof(model), "mjcf:%s", in("rare135.xml"));
  pid_t child = fork();
  if (child == 0) {
    if (!freopen("/dev/null", "w", stderr)) _exit(9);
    execl(US_PROGRAM, "understudy", "collect", "--task", model, "--steps", "50", "--size", "16",
          "--episodes", "16", "--threads", "1", "--out", in("killed.h5"), (char*)NULL);
    _exit(9);
  }
  for (int i = 0; i < 3000 && !us_file_exists(in("killed.h5")); i++) usleep(10000);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  command(0, RARE "--episodes 16 --threads 1 --out %s --resume", in("rare135.xml"),
          in("killed.h5"));
  expect_same("whole.h5", "killed.h5");
}

static void diverged_episodes_are_kept(void** state) {
  (void)state;
  Run r = command(0, RARE "--episodes 8 --threads 1 --diverged keep --out %s", in("rare.xml"),
                  in("keep.h5"));
  assert_non_null(strstr(r.out, "; 2 cut short by diverging"));
  UsDataset* d = open_good("keep.h5");
  const int32_t* length = us_dataset_lengths(d);
  int cut = 0;
  for (int e = 0; e < 8; e++) {
    int64_t last = us_dataset_offsets(d)[e] + length[e] - 1;
    assert_true(isnan(us_dataset_actions(d)[last]));
    assert_int_equal(us_dataset_truncated(d)[last], length[e] == 51);
    cut += length[e] < 51;
  }
  assert_int_equal(cut, 2);
  char text[64];
  snprintf(text, sizeof(text), "8 episodes, %lld rows", (long long)us_dataset_info(d)->rows);
  assert_non_null(strstr(r.out, text));
  us_dataset_close(d);
  command(0, "dataset info %s", in("keep.h5"));
  command(0, RARE "--episodes 9 --threads 2 --diverged keep --out %s", in("rare.xml"),
          in("longer.h5"));
  command(0, RARE "--episodes 9 --diverged keep --out %s --resume", in("rare.xml"), in("keep.h5"));
  expect_same("keep.h5", "longer.h5");
  r = command(1,
              "collect --task mjcf:%s --steps 52 --size 16 --episodes 11 --diverged keep --out %s "
              "--resume",
              in("rare.xml"), in("keep.h5"));
  assert_non_null(strstr(r.err, "ep_len"));
  command(
      0,
      "finetune --data %s --mode scratch --encoder pca --steps 2 --width 32 --depth 1 --heads 2 "
      "--batch 4 --rollout 1 --threads 1 --out %s",
      in("keep.h5"), in("model"));
}

static void diverged_episodes_stop_the_run(void** state) {
  (void)state;
  Run r = command(1, RARE "--episodes 3 --diverged stop --out %s", in("rare.xml"), in("stop.h5"));
  assert_int_equal(lines_of(r.err), 1);
  assert_non_null(strstr(r.err, "stop.h5: episode 1, step "));
  assert_non_null(strstr(r.err, "diverged: expected a state of numbers up to 1e+10"));
  assert_non_null(strstr(r.err, "; 1 episode before it is kept"));
  UsDataset* d = open_good("stop.h5");
  assert_int_equal(us_dataset_info(d)->episodes, 1);
  us_dataset_close(d);
  r = command(2, RARE "--episodes 8 --diverged go --out %s", in("rare.xml"), in("go.h5"));
  assert_non_null(strstr(r.err, "expected redraw, keep or stop, found \"go\""));
}

// A model in which every episode diverges ends after its draws.
static void draws_have_an_end(void** state) {
  (void)state;
  Run r = command(1, RARE "--episodes 1 --out %s", in("always.xml"), in("always.h5"));
  assert_int_equal(lines_of(r.err), 1);
  assert_non_null(strstr(r.err, "episode 0, step "));
  assert_non_null(strstr(r.err, "as in each of the 100 draws before"));
  assert_false(us_file_exists(in("always.h5")));
}

static void diverged_episodes_fail_in_eval(void** state) {
  (void)state;
  Run r = command(0,
                  "eval --task mjcf:%s --data %s --rows random,oracle --episodes 24 "
                  "--oracle-pairs 4 --samples 16 --elites 4 --keep 2 --iterations 1 "
                  "--warm-iterations 1 --json %s",
                  in("rare.xml"), in("a.h5"), in("e.json"));
  assert_non_null(strstr(r.out, "diverged and count"));
  assert_non_null(strstr(r.out, "the episodes: MuJoCo warned "));
  cJSON* json;
  assert_int_equal(us_json_read(in("e.json"), &json), US_OK);
  const cJSON* rows = cJSON_GetObjectItemCaseSensitive(json, "rows");
  const cJSON* row = cJSON_GetObjectItemCaseSensitive(rows, "random");
  const cJSON* diverged = cJSON_GetObjectItemCaseSensitive(row, "not_finite");
  const cJSON* hits = cJSON_GetObjectItemCaseSensitive(row, "first_hit_step");
  const cJSON* pair;
  assert_true(cJSON_GetArraySize(diverged) > 0);
  cJSON_ArrayForEach(pair, diverged) {
    assert_int_equal(cJSON_GetArrayItem(hits, pair->valueint)->valueint, -1);
  }
  cJSON_Delete(json);
}

static void diverged_episodes_are_told_in_view(void** state) {
  (void)state;
  Run r = command(0, "view --task mjcf:%s --record %s --size 64 --steps 9", in("always.xml"),
                  in("view.png"));
  assert_non_null(strstr(r.out, " diverged; MuJoCo warned "));
  assert_int_equal(lines_of(r.out), 1);
}

static int setup(void** state) {
  (void)state;
  if (!mkdtemp(folder)) return 1;
  write_model("full.xml", full, "");
  write_model("rare.xml", rare, "1.5");
  write_model("rare135.xml", rare, "1.35");
  write_model("always.xml", rare, "1000");
  return 0;
}

static int teardown(void** state) {
  (void)state;
  char line[600];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(engine_errors_end_collect_and_view),
      cmocka_unit_test(diverged_episodes_are_drawn_anew),
      cmocka_unit_test(killed_runs_go_on),
      cmocka_unit_test(diverged_episodes_are_kept),
      cmocka_unit_test(diverged_episodes_stop_the_run),
      cmocka_unit_test(draws_have_an_end),
      cmocka_unit_test(diverged_episodes_fail_in_eval),
      cmocka_unit_test(diverged_episodes_are_told_in_view),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
