// What an evaluation counts, on a simulator whose every step is known: a point on a line that the
// action moves by a tenth of itself.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "env/env_class.h"
#include "planner/evaluate.h"
#include "tests/planner/oracle_data.h"
#include "worldmodel/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { kSlots = 8, kBlock = 5, kRowsOfEpisode = 60, kBudget = 20 };
enum { kStart = 30, kGoal = 55, kPairs = 5, kShown = 8 };  // pairs from 0 to 0.25

// ---- the line: x <- x + 0.1 a, solved within 0.05; beyond 0.9 it stops being a number ----

typedef struct Line {
  UsEnv base;
  double x[kSlots], goal[kSlots];
  int observed[kSlots];  // observations since the last reset
  double shown[kShown];  // goals of slot 0 since then
  int shows;
} Line;

static void line_reset(UsEnv* env, const uint8_t* mask, const uint64_t* seeds) {
  (void)mask, (void)seeds;
  Line* e = (Line*)env;
  memset(e->x, 0, sizeof(e->x));
  memset(e->goal, 0, sizeof(e->goal));
  memset(e->observed, 0, sizeof(e->observed));
  e->shows = 0;
}

static void line_score(UsEnv* env, int n, const int* slots, float* distance, uint8_t* success) {
  Line* e = (Line*)env;
  for (int i = 0; i < n; i++) {
    double d = fabs(e->x[slots[i]] - e->goal[slots[i]]);
    if (distance) distance[i] = (float)d;
    if (success) success[i] = d < 0.05;
  }
}

static int broken = -1;  // a slot whose steps raise an error of the engine, from x = 0.3 on

static void line_step(UsEnv* env, const float* actions, const UsStep* out) {
  Line* e = (Line*)env;
  for (int s = 0; s < env->info.slots; s++) {
    float distance;
    for (int k = 0; k < kBlock; k++) {
      e->x[s] += 0.1 * (double)*actions++;
      if (e->x[s] > 0.9) e->x[s] = NAN;
      line_score(env, 1, &s, &distance, out->success ? &out->success[s * kBlock + k] : NULL);
      if (out->object) out->object[s * kBlock + k] = distance < 0.2f;
    }
    if (s == broken && e->x[s] > 0.3) env->error = (UsEnvError){s, 7, "it is full"};
    if (out->reward) out->reward[s] = isfinite(distance) ? -distance : -INFINITY;
  }
}

// The action shown with an observation is the block that led from the frame before to it; the
// data's own actions are 0.001 (row + 1).
static void check_action(double before, int observed, const UsObs* obs) {
  if (observed == 0) return;
  assert_non_null(obs->action);
  double sum = 0;
  for (int k = 0; k < kBlock; k++) sum += (double)obs->action[k];
  if (observed == 1) assert_float_equal(obs->action[0], 0.001 * (kStart - kBlock + 1), 1e-6);
  if (observed > 1) assert_float_equal(obs->state[0] - before, 0.1 * sum, 1e-5);
}

static UsStatus line_observe(UsEnv* env, int n, const int* slots, const UsObs* obs) {
  Line* e = (Line*)env;
  for (int i = 0; i < n; i++) {
    assert_non_null(obs[i].state);
    assert_null(obs[i].pixels);
    assert_int_equal(obs[i].first, e->observed[slots[i]] == 0);
    check_action(e->x[slots[i]], e->observed[slots[i]], &obs[i]);
    e->observed[slots[i]]++;
    e->x[slots[i]] = obs[i].state[0];
  }
  return US_OK;
}

static UsStatus line_set_goal(UsEnv* env, int n, const int* slots, const UsObs* obs) {
  Line* e = (Line*)env;
  for (int i = 0; i < n; i++) {
    e->goal[slots[i]] = obs[i].state[0];
    if (slots[i] == 0) e->shown[e->shows++] = obs[i].state[0];
  }
  return US_OK;
}

static UsStatus line_look(UsEnv* env, int n, const int* slots, UsObs* obs) {
  for (int i = 0; i < n; i++) obs[i].state[0] = ((Line*)env)->x[slots[i]];
  return US_OK;
}

static void line_save(UsEnv* env, int slot, void* bytes) {
  memcpy(bytes, &((Line*)env)->x[slot], sizeof(double));
}

static void line_restore(UsEnv* env, int slot, const void* bytes) {
  memcpy(&((Line*)env)->x[slot], bytes, sizeof(double));
}

static void line_close(UsEnv* env) {
  free(env);
}

static const UsEnvClass line_class = {.kind = "line",
                                      .close = line_close,
                                      .reset = line_reset,
                                      .step = line_step,
                                      .observe = line_observe,
                                      .set_goal = line_set_goal,
                                      .look = line_look,
                                      .score = line_score,
                                      .save = line_save,
                                      .restore = line_restore};

static UsEnv* line_open(int slots) {
  Line* e = calloc(1, sizeof(*e));
  e->base.cls = &line_class;
  e->base.save_size = sizeof(double);
  e->base.info = (UsEnvInfo){.name = "line",
                             .slots = slots,
                             .block = kBlock,
                             .action = 1,
                             .state = 1,
                             .observation = 1,
                             .dt = 0.1};
  return &e->base;
}

// ---- a planner that plays what a test tells it: the same action for ever, by episode ----

typedef struct Script {
  UsPlanner base;
  const float* action;  // by episode
  uint64_t episode[kSlots];
  int calls;
} Script;

static void script_start(UsPlanner* p, int n, const int* slots, const uint64_t* episodes) {
  for (int i = 0; i < n; i++) ((Script*)p)->episode[slots[i]] = episodes[i];
}

static void script_plan(UsPlanner* p, int n, const int* slots, float* actions) {
  Script* s = (Script*)p;
  s->calls++;
  for (int i = 0; i < n; i++) {
    for (int k = 0; k < p->config.replan * kBlock; k++) {
      *actions++ = s->action[s->episode[slots[i]]];
    }
  }
}

static const UsPlannerClass script_class = {
    .name = "script", .start = script_start, .plan = script_plan};

// ---- data: rows 0 .. 59 of one episode are the numbers -0.3, -0.29, ... ----

static char path[] = "/tmp/understudy-evaluate-XXXXXX";

static double value(int row) {
  return -0.3 + 0.01 * row;
}

static int write_data(void) {
  UsDatasetInfo info = {.task = "line", .action = 1, .state = 1, .proprio = 1, .dt = 0.1};
  UsDatasetWriter* w;
  if (us_dataset_create(path, &info, 1, kRowsOfEpisode, 1, &w) != US_OK) return 1;
  static float actions[kRowsOfEpisode], zeros[kRowsOfEpisode];
  static double states[kRowsOfEpisode], times[kRowsOfEpisode];
  static uint8_t flags[kRowsOfEpisode];
  for (int t = 0; t < kRowsOfEpisode; t++) {
    states[t] = value(t);
    times[t] = 0.1 * t;
    actions[t] = 0.001f * (float)(t + 1);
  }
  actions[kRowsOfEpisode - 1] = NAN;
  UsEpisode episode = {.rows = kRowsOfEpisode,
                       .actions = actions,
                       .proprio = zeros,
                       .states = states,
                       .rewards = zeros,
                       .terminated = flags,
                       .truncated = flags,
                       .times = times};
  if (us_dataset_append(w, &episode) != US_OK) return 1;
  return us_dataset_finish(w) != US_OK;
}

// Plays five pairs from 0 to 0.25 with a fixed action each. last (kShown), Nullable: the goals that
// slot 0 of the answer was shown in the last batch; returns how many.
static int play_subgoals(const float* action, int slots, int execute, int stop, int subgoals,
                         double* last, UsResult* out) {
  UsDataset* data;
  assert_int_equal(us_dataset_open(path, &data), US_OK);
  UsPair pair[kPairs];
  for (int i = 0; i < kPairs; i++) {
    pair[i] = (UsPair){.before = kStart - kBlock, .start = kStart, .goal = kGoal, .hard = i == 0};
  }
  UsPairs pairs = {.count = kPairs, .pair = pair};
  Script planner = {.base = {.cls = &script_class}, .action = action};
  UsEnv *sim = line_open(slots), *answer = line_open(slots);
  planner.base.env = answer;
  planner.base.config.replan = execute;
  UsEvaluation e = {.label = "test",
                    .data = data,
                    .pairs = &pairs,
                    .count = kPairs,
                    .sim = sim,
                    .answer = answer,
                    .sees = US_SEES_STATE,
                    .planner = &planner.base,
                    .budget = kBudget,
                    .stop_at_hit = stop,
                    .subgoals = subgoals};
  assert_int_equal(us_evaluate(&e, out), broken < 0 ? US_OK : US_MUJOCO);
  if (broken >= 0) {
    us_env_close(sim);
    us_env_close(answer);
    us_dataset_close(data);
    return 1;
  }
  if (slots >= kPairs && !stop) {
    assert_int_equal(planner.calls, (kBudget / kBlock + execute - 1) / execute);
    // The two start rows, then what came of every block but the last.
    assert_int_equal(((Line*)answer)->observed[0], 2 + kBudget / kBlock - 1);
    if (!subgoals) assert_float_equal(((Line*)answer)->goal[0], value(kGoal), 1e-12);
  }
  UsRate all = us_result_rate(out, &pairs, US_RULE_first_hit, 0);
  UsRate hard = us_result_rate(out, &pairs, US_RULE_first_hit, 1);
  assert_int_equal(all.count, kPairs);
  assert_int_equal(hard.count, 1);
  int shows = ((Line*)answer)->shows;
  if (last) memcpy(last, ((Line*)answer)->shown, sizeof(((Line*)answer)->shown));
  us_env_close(sim);
  us_env_close(answer);
  us_dataset_close(data);
  return shows;
}

static void play(const float* action, int slots, int execute, int stop, UsResult* out) {
  assert_int_equal(play_subgoals(action, slots, execute, stop, 0, NULL, out), 1);
}

// Steps of 0.1 a from 0 with the goal at 0.25: a = 0.25 is within 0.05 after env steps 9 .. 11,
// a = 1 never (it stands at 0.2 and 0.3), a = -1 never, 0.125 from step 17 on, 0.44 after 5 and 6.
static const float actions[kPairs] = {0.25f, -1, 0.125f, 1, 0.44f};

// An error of the engine ends the evaluation and names the episode, also behind the first batch.
static void engine_errors_end_it(void** state) {
  (void)state;
  UsResult r;
  broken = 1;
  play(actions, 2, 1, 0, &r);
  broken = -1;
  assert_string_equal(us_message(), "row test, episode 3, step 7: MuJoCo: it is full");
  assert_null(r.outcome);
}

static void every_rule_counts_what_it_says(void** state) {
  (void)state;
  UsResult r;
  play(actions, kSlots, 1, 0, &r);
  assert_int_equal(r.outcome[0].first_hit, 9);
  assert_int_equal(r.outcome[0].holds[US_RULE_last_step], 0);
  assert_int_equal(r.outcome[0].holds[US_RULE_hold_3], 1);
  assert_int_equal(r.outcome[0].holds[US_RULE_plan_end], 1);  // step 10
  assert_int_equal(r.outcome[0].played, 4);
  assert_float_equal(r.distance[0], 0.25, 1e-6);
  assert_float_equal(r.distance[2], 0, 1e-6);
  assert_float_equal(r.outcome[0].distance, 0.25, 1e-6);
  assert_int_equal(r.outcome[1].first_hit, -1);
  assert_int_equal(r.outcome[2].first_hit, 17);
  assert_int_equal(r.outcome[2].holds[US_RULE_last_step], 1);
  assert_int_equal(r.outcome[2].holds[US_RULE_hold_3], 1);
  assert_int_equal(r.outcome[4].first_hit, 5);
  assert_int_equal(r.outcome[4].holds[US_RULE_hold_3], 0);
  assert_int_equal(r.plans, kPairs * 4 - 2);  // the fourth stops being a number in its second
  us_result_free(&r);
  play(actions, kSlots, 4, 0, &r);
  assert_int_equal(r.outcome[0].holds[US_RULE_plan_end], 0);
  assert_int_equal(r.outcome[0].first_hit, 9);
  us_result_free(&r);
  const float slow[kPairs] = {0.04f, -1, 0.02f, 0.04f, 0.25f};  // 0.04 gets to 0.17 from the goal
  play(slow, kSlots, 1, 0, &r);
  assert_int_equal(r.outcome[0].first_hit, -1);
  for (int i = 0; i < kPairs; i++)
    assert_int_equal(r.outcome[i].holds[US_RULE_object_hit], i != 1 && i != 2);
  us_result_free(&r);
}

static void what_is_no_number_fails_and_ends(void** state) {
  (void)state;
  UsResult r;
  float up[kPairs] = {0.25f, 1, 1, 0.125f, 0.5f};
  play(up, kSlots, 2, 0, &r);
  assert_int_equal(r.outcome[0].finite, 1);
  assert_int_equal(r.outcome[1].finite, 0);
  assert_int_equal(r.outcome[1].played, 2);
  assert_true(isnan(r.outcome[1].distance));
  assert_true(isnan(r.distance[5 + 3]));
  assert_int_equal(us_outcome_solved(&r.outcome[1], US_RULE_first_hit), 0);
  assert_int_equal(r.outcome[4].finite, 0);  // it was at the goal before
  assert_true(r.outcome[4].first_hit > 0);
  for (int rule = 0; rule < US_RULE_COUNT; rule++) {
    assert_int_equal(us_outcome_solved(&r.outcome[4], (UsRule)rule), 0);
  }
  us_result_free(&r);
}

static void batches_and_stops(void** state) {
  (void)state;
  UsResult one, other;
  play(actions, kSlots, 1, 0, &one);
  const int slots[] = {1, 2, 3, 5};
  for (int i = 0; i < 4; i++) {
    play(actions, slots[i], 1, 0, &other);
    assert_memory_equal(one.outcome, other.outcome, sizeof(UsOutcome) * kPairs);
    us_result_free(&other);
  }
  play(actions, 2, 1, 1, &other);
  for (int i = 0; i < kPairs; i++) {
    assert_int_equal(one.outcome[i].first_hit, other.outcome[i].first_hit);
  }
  assert_int_equal(other.outcome[0].played, 2);
  assert_int_equal(other.outcome[1].played, 4);
  us_result_free(&other);
  us_result_free(&one);
}

// Of four blocks, two sub-goals have one each and the goal has two; the truth counts the goal
// alone.
static void subgoals_come_in_turn(void** state) {
  (void)state;
  UsResult plain, with;
  double shown[kShown];
  play(actions, kSlots, 1, 0, &plain);
  assert_int_equal(play_subgoals(actions, kSlots, 1, 0, 2, shown, &with), 3);
  assert_float_equal(shown[0], value(38), 1e-12);
  assert_float_equal(shown[1], value(46), 1e-12);
  assert_float_equal(shown[2], value(kGoal), 1e-12);
  assert_memory_equal(plain.outcome, with.outcome, sizeof(UsOutcome) * kPairs);
  us_result_free(&with);
  // A plan keeps its goal: the second one begins when both sub-goals have had their turn.
  assert_int_equal(play_subgoals(actions, kSlots, 2, 0, 2, shown, &with), 2);
  assert_float_equal(shown[0], value(38), 1e-12);
  assert_float_equal(shown[1], value(kGoal), 1e-12);
  us_result_free(&with);
  // Every batch begins with the first sub-goal.
  assert_int_equal(play_subgoals(actions, 2, 1, 0, 1, shown, &with), 2);
  assert_float_equal(shown[0], value(42), 1e-12);
  assert_float_equal(shown[1], value(kGoal), 1e-12);
  us_result_free(&with);
  us_result_free(&plain);
}

static void protocols_are_the_table(void** state) {
  (void)state;
  const UsProtocol* p = us_protocol_find("dinoworld");
  assert_true(p && p->episodes == 512 && p->ahead == 25 && p->budget == 50 && p->replan == 1);
  assert_true(!p->keep_solved && p->rule == US_RULE_first_hit);
  assert_non_null(us_protocol_find("swm"));
  assert_null(us_protocol_find("nothing"));
  for (p = us_protocols; p->name; p++) assert_true(p->replan <= p->horizon && p->budget % 5 == 0);
}

// ---- what files say that varies ----

// Plays two pairs of a file of the real task with random actions.
static UsStatus play_file(const char* file, UsResult* out) {
  UsEnvConfig config = {.slots = 2};
  UsEnv* sim;
  UsDataset* data;
  UsPairs pairs;
  UsPlanner* planner;
  UsPlannerConfig plan = us_planner_defaults();
  assert_int_equal(us_env_open("sim:pointmaze", us_tasks, &config, &sim), US_OK);
  assert_int_equal(us_dataset_open(file, &data), US_OK);
  assert_int_equal(us_pairs_draw(data, sim, 3, 2, us_env_info(sim)->block, 10, 0, &pairs), US_OK);
  assert_int_equal(us_planner_create("random", sim, &plan, &planner), US_OK);
  UsEvaluation e = {.label = "test",
                    .data = data,
                    .pairs = &pairs,
                    .count = 2,
                    .sim = sim,
                    .answer = sim,
                    .planner = planner,
                    .budget = kBudget};
  UsStatus status = us_evaluate(&e, out);
  us_planner_destroy(planner);
  us_pairs_free(&pairs);
  us_dataset_close(data);
  us_env_close(sim);
  return status;
}

// Groups, which stand for several factors, and names that come twice fit the numbers of a row as
// far as a dataset can tell, but not what an evaluation would take them for.
static void names_that_are_no_factors_are_refused(void** state) {
  (void)state;
  static const struct {
    const char* names;
    int width;
    const char* found;  // NULL: fine
  } file[] = {{"mass", 1, NULL},
              {"size,camera_x", 2, NULL},
              {"all", 1, "found \"all\""},
              {"camera", 1, "found \"camera\""},
              {"mass,visual", 2, "found \"visual\""},
              {"mass,mass", 2, "found mass twice"},
              {"mass,", 2, "found \"\""},
              {"weight", 1, "expected factors of pointmaze (light_level,"}};
  char name[] = "/tmp/understudy-evaluate-XXXXXX";
  assert_true(mkstemp(name) >= 0);
  for (size_t i = 0; i < sizeof(file) / sizeof(file[0]); i++) {
    UsResult r;
    if (oracle_collect_as("pointmaze", 4, 30, 7, file[i].names, file[i].width, name) != US_OK) {
      fail_msg("%s", us_message());
    }
    UsStatus status = play_file(name, &r);
    assert_int_equal(status, file[i].found ? US_FORMAT : US_OK);
    assert_int_equal(r.vary.count, file[i].found ? 0 : file[i].width);
    for (int k = 0; k < 2 * r.vary.count; k++) assert_true(r.variation[k] == 0.5f);
    us_result_free(&r);
    if (!file[i].found) continue;
    if (!strstr(us_message(), file[i].found) || strncmp(us_message(), name, strlen(name)) != 0) {
      fail_msg("expected \"%s: ... %s\" in: %s", name, file[i].found, us_message());
    }
    assert_null(strchr(us_message(), '\n'));
  }
  remove(name);
}

int main(void) {
  int file = mkstemp(path);
  if (file < 0 || write_data()) {
    fprintf(stderr, "%s\n", us_message());
    return 1;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_rule_counts_what_it_says),
      cmocka_unit_test(engine_errors_end_it),
      cmocka_unit_test(what_is_no_number_fails_and_ends),
      cmocka_unit_test(batches_and_stops),
      cmocka_unit_test(subgoals_come_in_turn),
      cmocka_unit_test(names_that_are_no_factors_are_refused),
      cmocka_unit_test(protocols_are_the_table),
  };
  int failed = cmocka_run_group_tests_name("evaluate", tests, NULL, NULL);
  remove(path);
  return failed;
}
