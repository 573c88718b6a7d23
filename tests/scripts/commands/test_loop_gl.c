// The whole loop at toy size, as a user runs it: collect, fine-tune, plan, count. It has to learn:
// the model's planner beats the random floor on the same pairs by a wide margin.

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/scripts/program.h"
#include "worldmodel/base/file.h"

static char folder[] = "/tmp/understudy-loop-XXXXXX";

#define command(...) run_expecting(folder, 0, __VA_ARGS__)

static double rate(const cJSON* eval, const char* row, const char* rule) {
  const cJSON* rows = cJSON_GetObjectItemCaseSensitive(eval, "rows");
  const cJSON* r = cJSON_GetObjectItemCaseSensitive(rows, row);
  const cJSON* s = cJSON_GetObjectItemCaseSensitive(r, rule);
  const cJSON* value = cJSON_GetObjectItemCaseSensitive(s, "rate");
  if (!cJSON_IsNumber(value)) fail_msg("rows.%s.%s.rate is missing", row, rule);
  return value->valuedouble;
}

static void test_loop(void** state) {
  (void)state;
  command("collect --task wall --episodes 60 --steps 100 --seed 1 --out %s/train.h5", folder);
  command("collect --task wall --episodes 40 --steps 40 --seed 2 --out %s/heldout.h5", folder);
  command("finetune --data %s/train.h5 --mode full --steps 400 --batch 64 --out %s/model", folder,
          folder);
  command(
      "eval --task wall --model %s/model --data %s/heldout.h5 --episodes 32 --oracle-pairs 8 "
      "--json %s/eval.json",
      folder, folder, folder);
  char path[512];
  cJSON* eval;
  assert_int_equal(us_json_read(us_path_join(path, sizeof(path), folder, "eval.json"), &eval),
                   US_OK);
  static const char* const keys[] = {"task",
                                     "protocol",
                                     "episodes",
                                     "solved_at_start",
                                     "seconds_per_plan",
                                     "candidate_steps_per_core_second"};
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
    if (!cJSON_GetObjectItemCaseSensitive(eval, keys[i]))
      fail_msg("no \"%s\" in eval.json", keys[i]);
  }
  assert_true(rate(eval, "oracle", "first_hit") > 0.8);
  assert_true(rate(eval, "model", "first_hit") > rate(eval, "random", "first_hit") + 0.2);
  assert_true(rate(eval, "model", "first_hit") > 0.6);
  cJSON_Delete(eval);

  command("report --json %s/eval.json --out %s/report", folder, folder);
  assert_true(us_file_exists(us_path_join(path, sizeof(path), folder, "report/index.html")));

  // A folder keeps how its distances are weighed.
  command("finetune --data %s/train.h5 --steps 8 --whiten 0.25 --out %s/whitened", folder, folder);
  Run shown = command("inspect %s/whitened", folder);
  assert_non_null(strstr(shown.out, "distances whitened by 0.25"));
  // What a task alone asks for needs a model that predicts well.
  command("collect --task pusht --episodes 24 --steps 40 --out %s/push.h5", folder);
  Run tuned =
      command("finetune --data %s/push.h5 --mode scratch --steps 8 --out %s/push", folder, folder);
  assert_non_null(strstr(tuned.err, "distances stay plain"));
  shown = command("inspect %s/push", folder);
  assert_null(strstr(shown.out, "whitened"));

  // One goal for all: a row, whose frame the model is shown.
  command(
      "eval --task wall --model %s/model --data %s/heldout.h5 --episodes 16 --rows model,random "
      "--goal %s/heldout.h5:30 --json %s/goal.json",
      folder, folder, folder, folder);
  assert_int_equal(us_json_read(us_path_join(path, sizeof(path), folder, "goal.json"), &eval),
                   US_OK);
  assert_true(rate(eval, "model", "first_hit") > rate(eval, "random", "first_hit") + 0.2);
  cJSON_Delete(eval);

  // Planning again with other batches and threads gives the same outcomes.
  command(
      "eval --task wall --model %s/model --data %s/heldout.h5 --episodes 12 --rows model "
      "--batch 5 --threads 1 --json %s/a.json",
      folder, folder, folder);
  command(
      "eval --task wall --model %s/model --data %s/heldout.h5 --episodes 12 --rows model "
      "--batch 12 --threads 2 --json %s/b.json",
      folder, folder, folder);
  cJSON *a, *b;
  assert_int_equal(us_json_read(us_path_join(path, sizeof(path), folder, "a.json"), &a), US_OK);
  assert_int_equal(us_json_read(us_path_join(path, sizeof(path), folder, "b.json"), &b), US_OK);
  const char* rules[] = {"first_hit", "last_step", "hold_3"};
  for (int i = 0; i < 3; i++) assert_true(rate(a, "model", rules[i]) == rate(b, "model", rules[i]));
  cJSON_Delete(a);
  cJSON_Delete(b);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_loop)};
  int failed = cmocka_run_group_tests_name("loop", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
