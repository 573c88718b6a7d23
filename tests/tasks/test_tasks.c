// The contract that every task keeps, built in or of a plugin.

#include <math.h>

#include "datasets/training_jobs.h"
#include "planner/eval.h"
#include "tests/tasks/contract.h"

enum { N = 16 };

typedef void (*Check)(const UsTask* t, UsEnv* e);

static void for_every_task(int block, Check check) {
  const UsTask* const* tasks = contract_tasks();
  assert_non_null(tasks[0]);
  for (int i = 0; tasks[i]; i++) {
    UsEnv* e = contract_open(tasks[i], &(UsEnvConfig){.slots = N, .block = block});
    check(tasks[i], e);
    us_env_close(e);
  }
}

static void reset_seeds(UsEnv* e, uint64_t first) {
  uint64_t seeds[N];
  for (int i = 0; i < N; i++) seeds[i] = first + (uint64_t)i;
  us_env_reset(e, NULL, seeds);
}

// states (N, S) of all slots, which the caller frees.
static double* all_states(UsEnv* e) {
  int width = us_env_info(e)->state;
  double* states = calloc((size_t)(N * width), sizeof(double));
  for (int i = 0; i < N; i++) get_state(e, i, states + i * width);
  return states;
}

static void check_table(const UsTask* t, UsEnv* e) {
  const UsEnvInfo* info = us_env_info(e);
  if (us_task_check("the task", t) != US_OK) fail_msg("%s", us_message());
  assert_true(us_sim_task(e) == t);
  assert_int_equal(info->action, t->action);
  assert_int_equal(info->proprio, t->proprio);
  assert_int_equal(info->block, t->block);
  assert_int_equal(info->state, info->observation);
  int random = 0;
  for (const UsPolicy* p = t->policies; p->name; p++) random |= strcmp(p->name, "random") == 0;
  assert_true(random || contract_plugin());
}

// What a table says for a job is known to it and in its range.
static void check_settings(const UsTask* t, UsEnv* e) {
  UsEvalConfig eval = us_eval_defaults();
  UsFinetuneConfig tune = us_finetune_defaults();
  for (const UsTaskSetting* s = t->settings; s && s->job; s++) {
    int is_eval = strcmp(s->job, "eval") == 0;
    assert_true(is_eval || strcmp(s->job, "finetune") == 0);
    const UsSetting* list = is_eval ? us_eval_settings : us_finetune_settings;
    if (is_eval && !us_setting_find(list, s->name)) list = us_planner_settings;
    if (!us_setting_find(list, s->name)) fail_msg("%s: %s", t->name, s->name);
  }
  if (us_task_settings(t, "eval", "", us_eval_settings, &eval) != US_OK ||
      us_task_settings(t, "eval", "", us_planner_settings, &eval.plan) != US_OK ||
      us_task_settings(t, "finetune", "", us_finetune_settings, &tune) != US_OK) {
    fail_msg("%s: %s", t->name, us_message());
  }
}

static void settings_are_known(void** state) {
  for_every_task(0, check_settings);
}

static void tables_are_complete(void** state) {
  for_every_task(0, check_table);
}

static void check_seeds(const UsTask* t, UsEnv* e) {
  size_t bytes = sizeof(double) * (size_t)(N * us_env_info(e)->state);
  reset_seeds(e, 100);
  double* a = all_states(e);
  float actions[N * US_TASK_ACTIONS] = {0};
  us_env_step(e, actions, NULL);
  reset_seeds(e, 100);
  double* b = all_states(e);
  reset_seeds(e, 101);
  double* c = all_states(e);
  assert_memory_equal(a, b, bytes);
  size_t row = bytes / N;
  assert_memory_equal((char*)a + row, c, bytes - row);  // a seed's start is the seed's alone
  for (int i = 1; i < N; i++) assert_memory_not_equal(a, (char*)a + (size_t)i * row, row);
  free(a), free(b), free(c);
}

static void starts_follow_seeds(void** state) {
  for_every_task(1, check_seeds);
}

// Env steps to play: a task whose every env step is a long motion gets 200 over all slots. Under
// sanitizers a part: what a step runs through does not change.
static int play_steps(const UsTask* t) {
#ifdef US_SANITIZED
  return t->frame_skip < 50 ? 40 : 4;
#else
  return t->frame_skip < 50 ? 200 : 200 / N + 1;
#endif
}

// Plays env steps of a policy and checks all numbers; returns a hash of the actions.
static double play(const UsTask* t, UsEnv* e, int policy, uint64_t seed) {
  const int width = us_env_info(e)->state, a = t->action;
  float* observation = malloc(sizeof(float) * (size_t)(N * width));
  float actions[N * US_TASK_ACTIONS];
  int steps[N];
  uint8_t terminated[N];
  double sum = 0;
  reset_seeds(e, seed);
  for (int k = 0; k < play_steps(t); k++) {
    for (int i = 0; i < N; i++) steps[i] = k;
    us_sim_policy(e, policy, steps, actions);
    for (int i = 0; i < N * a; i++) {
      assert_true(actions[i] >= -1 && actions[i] <= 1);
      sum += actions[i] * sin(1 + i + 17 * k);
    }
    us_env_step(e, actions, &(UsStep){.observation = observation, .terminated = terminated});
    for (int i = 0; i < N * width; i++) assert_true(isfinite(observation[i]));
    for (int i = 0; i < N; i++) assert_int_equal(terminated[i], 0);
  }
  free(observation);
  return sum;
}

static void check_policies(const UsTask* t, UsEnv* e) {
  for (int p = 0; t->policies[p].name; p++) {
    double first = play(t, e, p, 5);
    assert_true(first == play(t, e, p, 5));
    assert_true(first != play(t, e, p, 900));
  }
}

static void policies_are_finite_and_seeded(void** state) {
  for_every_task(1, check_policies);
}

static void check_goals(const UsTask* t, UsEnv* e) {
  const UsEnvInfo* info = us_env_info(e);
  int slots[N];
  UsObs obs[N];
  float distance[N];
  uint8_t success[N];
  const mjModel* m = us_sim_model(e);
  reset_seeds(e, 40);
  double* states = all_states(e);
  double measures[N * US_TASK_MEASURES];
  us_sim_measure(e, N, states, measures);
  for (int i = 0; i < N; i++) {
    slots[i] = i;
    obs[i] = (UsObs){.state = states + i * info->state};
  }
  assert_int_equal(us_env_set_goal(e, N, slots, obs), US_OK);
  us_env_score(e, N, slots, distance, success);
  for (int i = 0; i < N; i++) {
    assert_true(distance[i] == 0);
    assert_int_equal(success[i], 1);
    for (int j = 0; j < N; j++) {
      const double *a = measures + i * t->measure, *b = measures + j * t->measure;
      double d = t->distance(m, a, b);
      assert_true(d >= 0 && fabs(d - t->distance(m, b, a)) < 1e-12);
      if (t->success(m, a, b)) assert_true(d <= t->radius);
      if (i == j) assert_true(t->success(m, a, b) && (!t->hard || !t->hard(m, a, b)));
    }
  }
  free(states);
}

static void goals_have_distance_zero(void** state) {
  for_every_task(0, check_goals);
}

// A slot that is saved, played, restored and played again gives the same numbers.
static void check_restore(const UsTask* t, UsEnv* e) {
  const UsEnvInfo* info = us_env_info(e);
  size_t bytes = us_env_save_size(e), width = (size_t)info->state;
  char *saved = malloc(N * bytes), *again = malloc(bytes);
  float* actions = random_actions(3, (size_t)(N * info->block * t->action), 1);
  float* first = calloc(N * width, sizeof(float));
  float* second = calloc(N * width, sizeof(float));
  reset_seeds(e, 70);
  us_env_step(e, actions, NULL);
  for (int i = 0; i < N; i++) us_env_save(e, i, saved + (size_t)i * bytes);
  us_env_step(e, actions, &(UsStep){.observation = first});
  for (int i = 0; i < N; i++) us_env_restore(e, i, saved + (size_t)i * bytes);
  us_env_save(e, N - 1, again);
  assert_memory_equal(again, saved + (N - 1) * bytes, bytes);
  us_env_step(e, actions, &(UsStep){.observation = second});
  assert_memory_equal(first, second, N * width * sizeof(float));
  free(saved), free(again), free(actions), free(first), free(second);
}

static void restore_is_exact(void** state) {
  for_every_task(0, check_restore);
}

// The least half size of what collides, m.
static double smallest(const mjModel* m) {
  double least = INFINITY;
  for (int g = 0; g < m->ngeom; g++) {
    if (!m->geom_contype[g] && !m->geom_conaffinity[g]) continue;
    if (m->geom_type[g] == mjGEOM_PLANE) continue;
    int sizes = m->geom_type[g] == mjGEOM_BOX || m->geom_type[g] == mjGEOM_ELLIPSOID ? 3 : 1;
    for (int i = 0; i < sizes; i++) least = fmin(least, m->geom_size[3 * g + i]);
  }
  return least;
}

// Full random actions: contacts of built-in tasks stay shallow, MuJoCo has nothing to warn of.
static void check_contacts(const UsTask* t, UsEnv* e) {
  const mjModel* m = us_sim_model(e);
  mjData* d = mj_makeData(m);
  double deepest = 0;
  reset_seeds(e, 60);
  UsRng rng = us_rng(1, US_RNG_TEST, 0, 0, 0);
  float actions[N * US_TASK_ACTIONS];
  for (int k = 0; k < play_steps(t); k++) {
    for (int i = 0; i < N * t->action; i++) actions[i] = us_rng_below(&rng, 8) < 4 ? -1.0f : 1.0f;
    us_env_step(e, actions, NULL);
    double* states = all_states(e);
    for (int i = 0; i < N; i++) {
      const double* row = states + i * us_env_info(e)->state;
      mju_copy(d->qpos, row, (int)m->nq);
      mju_copy(d->qvel, row + m->nq, (int)m->nv);
      mj_forward(m, d);
      for (int c = 0; c < d->ncon; c++) deepest = fmin(deepest, d->contact[c].dist);
    }
    free(states);
  }
  if (!contract_plugin() && deepest <= -0.2 * smallest(m)) {
    fail_msg("%s: %.4f m deep, of %.4f m", t->name, -deepest, smallest(m));
  }
  for (int i = 0; i < mjNWARNING; i++) assert_int_equal(d->warning[i].number, 0);
  mj_deleteData(d);
}

static void contacts_stay_shallow(void** state) {
  for_every_task(1, check_contacts);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tables_are_complete),      cmocka_unit_test(settings_are_known),
      cmocka_unit_test(starts_follow_seeds),      cmocka_unit_test(policies_are_finite_and_seeded),
      cmocka_unit_test(goals_have_distance_zero), cmocka_unit_test(restore_is_exact),
      cmocka_unit_test(contacts_stay_shallow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
