// eval and report as a user runs them, on data without frames: the rows that need no rendering.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/provenance.h"
#include "tests/planner/oracle_data.h"
#include "tests/scripts/program.h"
#include "worldmodel/base/file.h"

static char folder[] = "/tmp/understudy-eval-XXXXXX";

#define command(code, ...) run_expecting(folder, code, __VA_ARGS__)

static cJSON* read_result(const char* name) {
  char path[512];
  cJSON* json;
  assert_int_equal(us_json_read(us_path_join(path, sizeof(path), folder, name), &json), US_OK);
  return json;
}

// The member at a path such as "rows/random/pairs".
static const cJSON* at(const cJSON* json, const char* path) {
  char text[256];
  snprintf(text, sizeof(text), "%s", path);
  for (char* key = strtok(text, "/"); key; key = strtok(NULL, "/")) {
    json = cJSON_GetObjectItemCaseSensitive(json, key);
    if (!json) fail_msg("%s is missing at \"%s\"", path, key);
  }
  return json;
}

static void results_are_complete(void** state) {
  (void)state;
  Run run = command(
      0,
      "eval --data %s/held.h5 --rows random,oracle --episodes 16 --oracle-pairs 6 --json %s/a.json",
      folder, folder);
  cJSON* a = read_result("a.json");
  const char* const keys[] = {"task",
                              "protocol",
                              "episodes",
                              "solved_at_start",
                              "seconds_per_plan",
                              "candidate_steps_per_core_second",
                              "hashes/pairs",
                              "hashes/data",
                              "version",
                              "blas",
                              "planner/samples",
                              "rows/random/time/simulate/seconds",
                              "rows/oracle/last_step/rate",
                              "rows/oracle/hold_3/high",
                              "rows/oracle/hard/first_hit/low",
                              "rows/oracle/failed"};
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) at(a, keys[i]);
  assert_string_equal(at(a, "task")->valuestring, "wall");
  assert_string_equal(at(a, "protocol")->valuestring, "dinoworld");
  assert_int_equal(at(a, "rows/random/pairs")->valueint, 16);
  assert_int_equal(at(a, "rows/oracle/pairs")->valueint, 6);
  assert_int_equal(at(a, "rows/oracle/plans")->valueint, 60);
  assert_true(at(a, "rows/oracle/first_hit/rate")->valuedouble > 0.8);
  assert_null(cJSON_GetObjectItemCaseSensitive(at(a, "rows"), "model"));
  assert_null(cJSON_GetObjectItemCaseSensitive(a, "films"));
  assert_int_equal(cJSON_GetArraySize(at(a, "rows/random/first_hit_step")), 16);
  assert_int_equal(cJSON_GetArraySize(at(a, "rows/random/distance/median")), 11);
  const cJSON *mean = at(a, "rows/oracle/distance/mean"), *last = cJSON_GetArrayItem(mean, 10);
  char ways[64];
  snprintf(ways, sizeof(ways), "%.3f", cJSON_GetArrayItem(mean, 0)->valuedouble);
  assert_true(last->valuedouble < cJSON_GetArrayItem(mean, 0)->valuedouble / 2);
  assert_non_null(strstr(run.out, "mean distance > at the end (median)"));
  assert_non_null(strstr(run.out, ways));
  cJSON_Delete(a);

  command(0, "report --json %s/a.json --out %s/report", folder, folder);
  char path[512], page[1 << 16];
  read_into(us_path_join(path, sizeof(path), folder, "report/index.html"), page, sizeof(page));
  const char* const shown[] = {"success over 16 held-out pairs", "Solved so far",
                               "Distance to the goal", "counts as solved"};
  for (int i = 0; i < 4; i++) assert_non_null(strstr(page, shown[i]));
  assert_null(strstr(page, "nan"));
}

static void batches_and_threads_change_nothing(void** state) {
  (void)state;
  const char* const options[] = {"--batch 3 --threads 1", "--batch 8 --threads 2"};
  char* text[2][2];
  for (int i = 0; i < 2; i++) {
    command(0,
            "eval --data %s/held.h5 --rows random,oracle --episodes 8 --samples 32 --horizon 3 "
            "--seed 4 %s --json %s/b.json",
            folder, options[i], folder);
    cJSON* b = read_result("b.json");
    text[i][0] = cJSON_Print(at(b, "rows/oracle/first_hit_step"));
    text[i][1] = cJSON_Print(at(b, "rows/oracle/distance"));
    cJSON_Delete(b);
  }
  for (int k = 0; k < 2; k++) {
    assert_string_equal(text[0][k], text[1][k]);
    free(text[0][k]);
    free(text[1][k]);
  }
}

static void stopping_leaves_the_late_rules_empty(void** state) {
  (void)state;
  Run r =
      command(0, "eval --data %s/held.h5 --rows random --episodes 8 --stop-at-hit --json %s/c.json",
              folder, folder);
  assert_non_null(strstr(r.out, "random"));
  cJSON* c = read_result("c.json");
  assert_true(cJSON_IsNull(at(c, "rows/random/last_step")));
  assert_true(cJSON_IsNull(at(c, "rows/random/hold_3")));
  assert_true(cJSON_IsObject(at(c, "rows/random/first_hit")));
  cJSON_Delete(c);
  command(0, "report --json %s/c.json --out %s/report-c", folder, folder);
}

static void subgoals_are_noted_and_bounded(void** state) {
  (void)state;
  command(0,
          "eval --data %s/held.h5 --rows oracle --episodes 8 --oracle-pairs 4 --subgoals 2 "
          "--json %s/g.json",
          folder, folder);
  cJSON* g = read_result("g.json");
  assert_int_equal(at(g, "subgoals")->valueint, 2);
  cJSON_Delete(g);
  Run r =
      command(2, "eval --data %s/held.h5 --rows oracle --episodes 8 --subgoals 6 --json %s/h.json",
              folder, folder);
  assert_non_null(strstr(r.err, "at most 5"));
}

static void a_model_plans_and_its_training_data_are_refused(void** state) {
  (void)state;
  command(0,
          "finetune --data %s/train.h5 --encoder state --mode scratch --steps 30 --batch 16 "
          "--out %s/model",
          folder, folder);
  command(
      0, "eval --data %s/held.h5 --rows state --state-model %s/model --episodes 4 --json %s/d.json",
      folder, folder, folder);
  cJSON* d = read_result("d.json");
  assert_int_equal(strlen(at(d, "hashes/state_model")->valuestring), 64);
  assert_int_equal(at(d, "rows/state/pairs")->valueint, 4);
  assert_true(at(d, "rows/state/candidate_steps_per_core_second")->valuedouble > 0);
  cJSON_Delete(d);
  Run r = command(1,
                  "eval --data %s/train.h5 --rows state --state-model %s/model --episodes 4 "
                  "--json %s/e.json",
                  folder, folder, folder);
  assert_non_null(strstr(r.err, "held-out"));
  assert_non_null(strstr(r.err, "train.h5"));
  r = command(1,
              "eval --data %s/held.h5 --rows model --model %s/model --episodes 4 --json %s/e.json",
              folder, folder, folder);
  assert_non_null(strstr(r.err, "true states"));
}

// What a model's start was pretrained on is no more held out than its own data.
static void pretraining_data_are_refused(void** state) {
  (void)state;
  static const char* const sizes = "--steps 2 --batch 4 --width 16 --depth 1 --heads 2";
  char encoder[512], path[512];
  us_path_join(path, sizeof(path), folder, "other.h5");
  assert_int_equal(oracle_collect("wall", 24, 40, 9, path), US_OK);
  command(0, "finetune --data %s/train.h5 --encoder state --mode scratch %s --out %s/first", folder,
          sizes, folder);
  snprintf(encoder, sizeof(encoder), "%s/first/encoder", folder);
  for (int seen = 0; seen < 2; seen++) {
    command(
        0, "pretrain --data %s/other.h5 --data %s/%s.h5:2 --encoder %s --gap 2 %s %s --out %s/pre",
        folder, folder, seen ? "held" : "train", encoder, sizes, seen ? "--overwrite" : "", folder);
    command(0, "finetune --data %s/train.h5 --encoder %s --init %s/pre %s %s --out %s/after",
            folder, encoder, folder, sizes, seen ? "--overwrite" : "", folder);
    Run r =
        command(seen,
                "eval --data %s/held.h5 --rows state --state-model %s/after --episodes 2 --json "
                "%s/p%d.json",
                folder, folder, folder, seen);
    if (seen) assert_non_null(strstr(r.err, "was pretrained on"));
  }
  // A film is one, too, and so is what was collected with its seed and policy.
  us_path_join(path, sizeof(path), folder, "alike.h5");
  assert_int_equal(oracle_collect("wall", 6, 30, 7, path), US_OK);
  command(0,
          "finetune --data %s/train.h5 --film %s/held.h5 --encoder %s %s --last-steps 2 "
          "--label-steps 20 --out %s/named",
          folder, folder, encoder, sizes, folder);
  static const char* const names[] = {"held", "alike"};
  for (int i = 0; i < 2; i++) {
    Run r = command(1,
                    "eval --data %s/%s.h5 --rows state --state-model %s/named --episodes 2 --json "
                    "%s/p2.json",
                    folder, names[i], folder, folder);
    assert_non_null(strstr(r.err, "was trained on"));
  }
  // And so is what its encoder was trained on, which the encoder's folder says.
  UsDataset* d;
  cJSON* notes = cJSON_CreateObject();
  assert_int_equal(us_dataset_open(us_path_join(path, sizeof(path), folder, "held.h5"), &d), US_OK);
  assert_int_equal(us_provenance_note(d, notes), US_OK);
  us_dataset_close(d);
  us_path_join(path, sizeof(path), encoder, "training.json");
  assert_int_equal(us_json_write(path, notes), US_OK);
  cJSON_Delete(notes);
  command(0, "finetune --data %s/train.h5 --encoder %s --mode scratch %s --out %s/known", folder,
          encoder, sizes, folder);
  Run r = command(1,
                  "eval --data %s/held.h5 --rows state --state-model %s/known --episodes 2 --json "
                  "%s/p3.json",
                  folder, folder, folder);
  assert_non_null(strstr(r.err, "was trained on"));
}

// A part of a split is held out from a model of the other; a merge that has both is not.
static void parts_of_a_file_are_known(void** state) {
  (void)state;
  Run r = command(0, "dataset split %1$s/train.h5 --share 0.5 --out %1$s/x.h5 --rest %1$s/y.h5",
                  folder);
  assert_non_null(strstr(r.out, "y.h5: "));
  command(0, "dataset merge %1$s/held.h5 %1$s/x.h5 --out %1$s/hx.h5", folder);
  command(0,
          "finetune --data %1$s/x.h5 --encoder state --mode scratch --steps 2 --batch 4 --width 16 "
          "--depth 1 --heads 2 --out %1$s/half",
          folder);
  const char* line =
      "eval --data %1$s/%2$s.h5 --rows state --state-model %1$s/half --episodes 2 "
      "--json %1$s/%2$s.json";
  command(0, line, folder, "y");
  command(1, line, folder, "x");
  command(1, line, folder, "train");
  r = command(1, line, folder, "hx");
  assert_non_null(strstr(r.err, " episodes among those that "));
}

// A protocol's own rule stands in the report, in words and with its rates.
static void reports_name_the_protocols_rule(void** state) {
  (void)state;
  const char* const shown[][3] = {
      {"dinowm", "solved when the last block of any plan ended",
       "<th>plan end (the protocol's)</th>"},
      {"jepawms", "solved after the last env step", "<th>last step (the protocol's)</th>"}};
  for (int i = 0; i < 2; i++) {
    command(
        0, "eval --data %1$s/held.h5 --rows random --episodes 4 --protocol %2$s --json %1$s/p.json",
        folder, shown[i][0]);
    command(0, "report --json %1$s/p.json --out %1$s/rule", folder);
    char path[512], page[1 << 16];
    read_into(us_path_join(path, sizeof(path), folder, "rule/index.html"), page, sizeof(page));
    assert_non_null(strstr(page, shown[i][1]));
    assert_non_null(strstr(page, shown[i][2]));
    cJSON* json = read_result("p.json");
    double rate =
        at(json, i ? "rows/random/last_step/rate" : "rows/random/plan_end/rate")->valuedouble;
    char cell[64];
    snprintf(cell, sizeof(cell), "<td><b>%.1f</b>", 100 * rate);
    assert_non_null(strstr(page, cell));
    cJSON_Delete(json);
  }
}

// The settings of a task's table count where the command line is silent, and no further.
static void tasks_bring_settings(void** state) {
  char path[512];
  us_path_join(path, sizeof(path), folder, "reacher.h5");
  assert_int_equal(oracle_collect("reacher", 8, 40, 7, path), US_OK);
  const char* const more[] = {"", "--samples 64 --elites 6"};
  for (int i = 0; i < 2; i++) {
    command(0, "eval --data %s --rows random --episodes 4 --json %s/r.json %s", path, folder,
            more[i]);
    cJSON* json = read_result("r.json");
    assert_int_equal(at(json, "planner/samples")->valueint, i ? 64 : 128);
    assert_int_equal(at(json, "planner/elites")->valueint, i ? 6 : 10);
    assert_int_equal(at(json, "planner/horizon")->valueint, 6);
    assert_int_equal(at(json, "planner/replan")->valueint, 1);
    cJSON_Delete(json);
  }
}

static void wrong_words_are_refused(void** state) {
  (void)state;
  const struct {
    int code;
    const char *words, *expected;
  } cases[] = {{2, "--rows oracle,robin", "robin"},
               {2, "--rows model", "--model"},
               {2, "--rows random --protocol nobody", "nobody"},
               {2, "--rows random --task pointmaze", "pointmaze"},
               {2, "--rows random --episodes -3", "--episodes"},
               {2, "--rows oracle --elites 100", "elites"},
               {2, "--rows oracle --planner sem", "sem"},
               {2, "", "--model"}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    Run r = command(cases[i].code, "eval --data %s/held.h5 --json %s/f.json %s", folder, folder,
                    cases[i].words);
    if (!strstr(r.err, cases[i].expected) || lines_of(r.err) != 1) fail_msg("%s", r.err);
  }
  Run r = command(1, "eval --data %s/held.h5 --rows random --json %s/no/f.json", folder, folder);
  assert_non_null(strstr(r.err, "/no/"));
  r = command(1, "report --json %s/held.h5 --out %s/report", folder, folder);
  assert_int_equal(lines_of(r.err), 1);
}

int main(void) {
  char path[512];
  if (!mkdtemp(folder)) return 1;
  us_path_join(path, sizeof(path), folder, "held.h5");
  if (oracle_collect("wall", 24, 40, 7, path) != US_OK) return 1;
  us_path_join(path, sizeof(path), folder, "train.h5");
  if (oracle_collect("wall", 24, 40, 8, path) != US_OK) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(results_are_complete),
      cmocka_unit_test(batches_and_threads_change_nothing),
      cmocka_unit_test(stopping_leaves_the_late_rules_empty),
      cmocka_unit_test(subgoals_are_noted_and_bounded),
      cmocka_unit_test(a_model_plans_and_its_training_data_are_refused),
      cmocka_unit_test(pretraining_data_are_refused),
      cmocka_unit_test(parts_of_a_file_are_known),
      cmocka_unit_test(reports_name_the_protocols_rule),
      cmocka_unit_test(tasks_bring_settings),
      cmocka_unit_test(wrong_words_are_refused),
  };
  int failed = cmocka_run_group_tests_name("eval", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
