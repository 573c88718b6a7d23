// The planner with the true simulator: it has to solve every task, whatever the batch, and chance
// must not.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "planner/evaluate.h"
#include "tests/planner/oracle_data.h"

enum { kAhead = 25, kBudget = 50 };

// How much is played: a little, or with the argument `full` what tells close rates apart.
typedef struct Scale {
  int pairs;    // of the rates
  int play;     // pairs that are played in batches of several sizes
  int batch;    // of the second of them
  int setups;   // of them
  int misses;   // pairs that the oracle may miss
  int samples;  // of a plan
} Scale;

static const Scale full = {32, 10, 7, 3, 1, 64};
static Scale scale = {8, 2, 2, 2, 1, 32};

typedef struct Setup {
  int pairs, batch, threads, iterations, stop;
  const char* planner;
} Setup;

// Arms and pushes, whose env steps are dear, are left to `understudy eval --rows oracle`: a minute
// of planning each, not of tests.
static int is_cheap(const UsTask* t) {
  return t->action == 2;
}

static char folder[] = "/tmp/understudy-oracle-XXXXXX";

static void path_of(const char* task, char* out, size_t size) {
  snprintf(out, size, "%s/%s.h5", folder, task);
}

// Plays the first pairs of a task's dataset and returns the result and the pairs.
static void evaluate(const char* task, const Setup* s, UsPairs* pairs, UsResult* out) {
  char path[256], name[128];
  path_of(task, path, sizeof(path));
  snprintf(name, sizeof(name), "sim:%s", task);
  UsPool* pool = us_pool_create(s->threads);
  UsEnvConfig config = {.slots = s->batch, .pool = pool};
  UsEnv *sim, *answer;
  UsDataset* data;
  assert_int_equal(us_env_open(name, us_tasks, &config, &sim), US_OK);
  assert_int_equal(us_env_open(name, us_tasks, &config, &answer), US_OK);
  assert_int_equal(us_dataset_open(path, &data), US_OK);
  assert_int_equal(
      us_pairs_draw(data, sim, 3, scale.pairs, us_env_info(sim)->block, kAhead, 0, pairs), US_OK);
  UsPlannerConfig plan = us_planner_defaults();
  plan.pool = pool;
  plan.samples = scale.samples;
  if (s->iterations) plan.iterations = plan.warm_iterations = s->iterations;
  int chance = !strcmp(s->planner, "random");
  UsPlanner* planner;
  assert_int_equal(us_planner_create(s->planner, answer, &plan, &planner), US_OK);
  UsEvaluation e = {.label = "test",
                    .data = data,
                    .pairs = pairs,
                    .count = s->pairs,
                    .sim = sim,
                    .answer = chance ? sim : answer,
                    .sees = chance ? US_SEES_NOTHING : US_SEES_STATE,
                    .planner = planner,
                    .budget = kBudget,
                    .stop_at_hit = s->stop};
  assert_int_equal(us_evaluate(&e, out), US_OK);
  us_planner_destroy(planner);
  us_dataset_close(data);
  us_env_close(answer);
  us_env_close(sim);
  us_pool_destroy(pool);
}

static void the_oracle_solves_every_task(void** state) {
  (void)state;
  for (int k = 0; us_tasks[k]; k++) {
    if (!is_cheap(us_tasks[k]) || us_tasks[k] == &us_task_pusht) continue;  // wants more candidates
    UsPairs pairs;
    UsResult oracle, chance;
    Setup s = {.pairs = scale.pairs, .batch = scale.pairs, .threads = 2, .planner = "cem"};
    evaluate(us_tasks[k]->name, &s, &pairs, &oracle);
    UsRate best = us_result_rate(&oracle, &pairs, US_RULE_first_hit, 0);
    UsRate end = us_result_rate(&oracle, &pairs, US_RULE_last_step, 0);
    us_pairs_free(&pairs);
    s.planner = "random";
    evaluate(us_tasks[k]->name, &s, &pairs, &chance);
    UsRate floor = us_result_rate(&chance, &pairs, US_RULE_first_hit, 0);
    UsRate floor_end = us_result_rate(&chance, &pairs, US_RULE_last_step, 0);
    printf("%s: oracle %.3f at the end %.3f, random %.3f at the end %.3f\n", us_tasks[k]->name,
           best.rate, end.rate, floor.rate, floor_end.rate);
    assert_int_equal(best.count, scale.pairs);
    assert_true(best.hits >= best.count - scale.misses);
    assert_true(end.rate >= 0.7);
    assert_true(floor.rate < best.rate - 0.25);
    assert_true(floor_end.rate < end.rate - 0.5);
    us_pairs_free(&pairs);
    us_result_free(&oracle);
    us_result_free(&chance);
  }
}

static void batch_and_threads_change_nothing(void** state) {
  (void)state;
  for (int k = 0; us_tasks[k]; k++) {
    if (!is_cheap(us_tasks[k])) continue;
    const int n = scale.play;
    const Setup setup[] = {
        {n, 1, 1, 1, 0, "cem"}, {n, scale.batch, 2, 1, 0, "cem"}, {n, n, 1, 1, 0, "cem"}};
    UsPairs pairs;
    UsResult one, other;
    evaluate(us_tasks[k]->name, &setup[0], &pairs, &one);
    us_pairs_free(&pairs);
    for (int i = 1; i < scale.setups; i++) {
      evaluate(us_tasks[k]->name, &setup[i], &pairs, &other);
      size_t numbers = (size_t)n * (size_t)(one.blocks * one.block * one.action);
      assert_memory_equal(one.outcome, other.outcome, (size_t)n * sizeof(UsOutcome));
      assert_memory_equal(one.actions, other.actions, numbers * sizeof(float));
      assert_memory_equal(one.distance, other.distance,
                          (size_t)n * (size_t)(one.blocks + 1) * sizeof(float));
      assert_int_equal(one.candidate_steps, other.candidate_steps);
      us_pairs_free(&pairs);
      us_result_free(&other);
    }
    us_result_free(&one);
  }
}

static void stopping_at_hits_changes_no_first_hit(void** state) {
  (void)state;
  const char* task = us_tasks[0]->name;
  const Setup whole = {8, 8, 1, 2, 0, "cem"}, stop = {8, 3, 1, 2, 1, "cem"};
  UsPairs pairs;
  UsResult a, b;
  evaluate(task, &whole, &pairs, &a);
  us_pairs_free(&pairs);
  evaluate(task, &stop, &pairs, &b);
  us_pairs_free(&pairs);
  assert_true(b.plans < a.plans);
  for (int i = 0; i < 8; i++) assert_int_equal(a.outcome[i].first_hit, b.outcome[i].first_hit);
  us_result_free(&a);
  us_result_free(&b);
}

int main(int argc, char** argv) {
  if (argc > 1 && !strcmp(argv[1], "full")) scale = full;
  if (!mkdtemp(folder)) return 1;
  for (int k = 0; us_tasks[k]; k++) {
    if (!is_cheap(us_tasks[k])) continue;
    char path[256];
    path_of(us_tasks[k]->name, path, sizeof(path));
    if (oracle_collect(us_tasks[k]->name, 40, 40, 7, path) != US_OK) {
      fprintf(stderr, "%s\n", us_message());
      return 1;
    }
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_oracle_solves_every_task),
      cmocka_unit_test(batch_and_threads_change_nothing),
      cmocka_unit_test(stopping_at_hits_changes_no_first_hit),
  };
  int failed = cmocka_run_group_tests_name("oracle", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
