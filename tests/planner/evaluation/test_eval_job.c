// us_eval as a program without a command line calls it.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "planner/eval.h"
#include "tests/planner/oracle_data.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/json.h"
#include "worldmodel/base/progress.h"

static char folder[] = "/tmp/understudy-job-XXXXXX";
static char data[64], json[64];

static UsEvalConfig config_of(const char* rows, int episodes) {
  UsEvalConfig c = us_eval_defaults();
  c.data = data;
  c.rows = rows;
  c.episodes = episodes;
  c.tasks = us_tasks;
  c.threads = 1;
  c.plan.samples = 8;
  return c;
}

static void a_result_needs_no_file(void** state) {
  UsEvalConfig c = config_of("oracle,random", 4);
  c.oracle_pairs = 2;
  UsEvalResult r;
  assert_int_equal(us_eval(&c, &r), US_OK);
  assert_string_equal(r.task->name, "wall");
  assert_string_equal(r.protocol->name, us_protocols[0].name);
  assert_true(r.on[US_ROW_random] && r.on[US_ROW_oracle] && !r.on[US_ROW_model]);
  assert_int_equal(r.row[US_ROW_oracle].count, 2);
  assert_int_equal(us_result_rate(&r.row[US_ROW_random], &r.pairs, US_RULE_first_hit, 0).count, 4);
  const UsFigure* plans = &us_figures[US_FIGURE_plans];
  assert_string_equal(plans->name, "plans");
  assert_true(plans->of(&r.row[US_ROW_random]) == 40);
  us_eval_free(&r);
  us_eval_free(&r);  // again is fine
}

// A JSON answers for a run when every setting that a result depends on is the same.
static void the_same_run_is_complete(void** state) {
  UsEvalConfig c = config_of("random", 3);
  c.json = json;
  UsEvalResult r;
  for (int k = 0; k < 4; k++) {
    c.batch = 1 + k % 2;  // changes nothing
    if (k == 2) c.stop_at_hit = 1;
    if (k == 3) c.plan.momentum = 0.2f;
    c.resume = 1;
    assert_int_equal(us_eval(&c, &r), US_OK);
    assert_int_equal(r.complete, k == 1);
    us_eval_free(&r);
  }
}

static int always(void* data_) {
  return 1;
}

static void what_is_wrong_is_refused(void** state) {
  UsEvalResult r;
  UsEvalConfig none = us_eval_defaults();
  assert_int_equal(us_eval(&none, &r), US_USAGE);
  UsEvalConfig c = config_of("random", 3);
  c.tasks = NULL;
  assert_int_equal(us_eval(&c, &r), US_USAGE);
  c = config_of("random", 3);
  c.subgoals = 6;
  assert_int_equal(us_eval(&c, &r), US_USAGE);
  assert_non_null(strstr(us_message(), "at most 5"));
  c = config_of("random", 3);
  c.film_size = 1;
  assert_int_equal(us_eval(&c, &r), US_USAGE);
  assert_non_null(strstr(us_message(), "--film-size"));
  c = config_of("random", 3);
  UsHooks before = us_hooks_set((UsHooks){.stop = always});
  assert_int_equal(us_eval(&c, &r), US_INTERRUPTED);
  us_hooks_set(before);
  assert_null(r.row[US_ROW_random].outcome);
}

// One goal for all pairs: starts stay, distances and success are to it, and it names the run.
static void all_pairs_have_one_goal(void** state) {
  UsEvalConfig c = config_of("oracle", 4);
  UsEvalResult r, with;
  const double goal[4] = {0.5, 0.5, 0, 0};
  c.plan.samples = 32, c.plan.iterations = 3;
  assert_int_equal(us_eval(&c, &r), US_OK);
  c.goal = "0.5,0.5,0,0", c.json = json;
  if (us_eval(&c, &with) != US_OK) fail_msg("%s", us_message());
  assert_null(r.pairs.goal);
  assert_memory_equal(with.pairs.goal, goal, sizeof(goal));
  assert_string_not_equal(r.pairs.hash, with.pairs.hash);
  UsDataset* d;
  assert_int_equal(us_dataset_open(data, &d), US_OK);
  for (int i = 0; i < 4; i++) {
    const UsPair* p = &with.pairs.pair[i];
    const double* start = us_dataset_states(d) + p->start * 4;
    const double away = hypot(start[0] - goal[0], start[1] - goal[1]);
    assert_float_equal((double)p->distance, away, 1e-6);
    const float* curve =
        with.row[US_ROW_oracle].distance + i * (with.row[US_ROW_oracle].blocks + 1);
    assert_float_equal((double)curve[0], away, 1e-6);
  }
  assert_true(us_result_rate(&with.row[US_ROW_oracle], &with.pairs, US_RULE_first_hit, 0).hits >=
              2);
  us_dataset_close(d);
  us_eval_free(&r);
  us_eval_free(&with);
  cJSON* found;
  assert_int_equal(us_json_read(json, &found), US_OK);
  const cJSON* list = cJSON_GetObjectItemCaseSensitive(found, "goal");
  assert_int_equal(cJSON_GetArraySize(list), 4);
  assert_true(cJSON_GetArrayItem(list, 1)->valuedouble == 0.5);
  cJSON_Delete(found);
  c.json = NULL, c.subgoals = 2;
  assert_int_equal(us_eval(&c, &r), US_USAGE);
  assert_non_null(strstr(us_message(), "--subgoals"));
  c.subgoals = 0, c.goal = "goal.png";
  assert_int_equal(us_eval(&c, &r), US_UNSUPPORTED);
  assert_non_null(strstr(us_message(), "goal.png"));
  c.goal = "1,2";
  assert_int_equal(us_eval(&c, &r), US_FORMAT);
}

static void tables_have_the_rules_that_count(void** state) {
  UsColumn c[US_RULE_COUNT + 1];
  int few = us_rule_columns(US_RULE_COUNT, 0, c);
  for (int k = 0; k < few; k++) assert_true(us_rules[c[k].rule].shown);
  assert_int_equal(us_rule_columns(US_RULE_plan_end, 0, c), few + 1);
  assert_int_equal(c[few].rule, US_RULE_plan_end);
  assert_int_equal(us_rule_columns(US_RULE_first_hit, 1, c), few + 1);
  assert_int_equal(c[few].rule, US_RULE_object_hit);
  assert_int_equal(us_rule_find("hold_3"), US_RULE_hold_3);
  assert_int_equal(us_rule_find("hold"), US_RULE_COUNT);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  snprintf(data, sizeof(data), "%s/held.h5", folder);
  snprintf(json, sizeof(json), "%s/r.json", folder);
  if (oracle_collect("wall", 6, 40, 7, data) != US_OK) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_result_needs_no_file),
      cmocka_unit_test(the_same_run_is_complete),
      cmocka_unit_test(what_is_wrong_is_refused),
      cmocka_unit_test(all_pairs_have_one_goal),
      cmocka_unit_test(tables_have_the_rules_that_count),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
