// What an evaluation writes down.

#include <math.h>
#include <stdlib.h>

#include "env/sim.h"
#include "planner/evaluation/eval_job.h"
#include "planner/statistics.h"
#include "worldmodel/ops.h"

// Rounded to `digits` decimals, so that files stay readable.
static double rounded(double x, int digits) {
  double scale = pow(10, digits);
  return round(x * scale) / scale;
}

// ---- rates ----

// One {rate, low, high, hits} a rule, over all pairs or the hard ones.
static void add_rates(cJSON* object, const UsResult* r, const UsPairs* pairs, int hard) {
  UsRate any = us_result_rate(r, pairs, US_RULE_first_hit, hard);
  us_json_add(object, "pairs", any.count);
  for (int rule = 0; rule < US_RULE_COUNT; rule++) {
    if (!us_result_answers(r, (UsRule)rule)) {
      cJSON_AddNullToObject(object, us_rules[rule].name);
      continue;
    }
    UsRate rate = us_result_rate(r, pairs, (UsRule)rule, hard);
    cJSON* to = cJSON_AddObjectToObject(object, us_rules[rule].name);
    us_json_add(to, "rate", rounded(rate.rate, 6));
    us_json_add(to, "low", rounded(rate.low, 6));
    us_json_add(to, "high", rounded(rate.high, 6));
    us_json_add(to, "hits", rate.hits);
  }
}

// ---- episodes ----

static int by_value(const void* a, const void* b) {
  double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

int us_eval_distance(const UsResult* r, int block, double* out) {
  double* value = malloc(sizeof(double) * (size_t)(r->count + 1));
  US_ASSERT(value);
  int n = 0;
  double sum = 0;
  for (int i = 0; i < r->count; i++) {
    const UsOutcome* o = &r->outcome[i];
    int at = block < o->played ? block : o->played;
    float d = r->distance[(size_t)i * (size_t)(r->blocks + 1) + (size_t)at];
    if (!isfinite(d)) continue;
    value[n++] = (double)d;
    sum += (double)d;
  }
  // Quartiles are values that occur, not means of two.
  qsort(value, (size_t)n, sizeof(double), by_value);
  out[0] = n ? sum / n : NAN;
  for (int q = 1; q < 4; q++) out[q] = n ? value[q * n / 4] : NAN;
  free(value);
  return n;
}

// `pairs`, one {rate, low, high, hits} per rule, `hard` with the same for the hard pairs, times,
// `distance` to the goal after every block, `first_hit_step` per pair (env steps, -1: none),
// `failed` (pairs that never hit) and `not_finite`. Rules that a run with stop_at_hit cannot answer
// are null.
static cJSON* row_json(const UsResult* r, const UsPairs* pairs) {
  cJSON* row = cJSON_CreateObject();
  add_rates(row, r, pairs, 0);
  add_rates(cJSON_AddObjectToObject(row, "hard"), r, pairs, 1);
  for (int k = 0; k < US_FIGURE_COUNT; k++) {
    const UsFigure* f = &us_figures[k];
    us_json_add(row, f->name, f->digits < 0 ? f->of(r) : rounded(f->of(r), f->digits));
  }
  // Where the time went, part by part.
  cJSON* time = cJSON_AddObjectToObject(row, "time");
  for (int p = 0; p < US_PART_COUNT; p++) {
    cJSON* part = cJSON_AddObjectToObject(time, us_part_names[p]);
    us_json_add(part, "seconds", rounded(r->wall[p], 4));
    us_json_add(part, "core_seconds", rounded(r->core[p], 4));
  }
  // Curves over the blocks of the distance to the goal; those that no episode reached with finite
  // numbers are left out.
  static const char* const name[] = {"mean", "lower_quartile", "median", "upper_quartile"};
  cJSON *distance = cJSON_AddObjectToObject(row, "distance"), *list[4];
  for (int k = 0; k < 4; k++) list[k] = cJSON_AddArrayToObject(distance, name[k]);
  for (int b = 0; b <= r->blocks; b++) {
    double found[4];
    if (us_eval_distance(r, b, found) == 0) continue;
    for (int k = 0; k < 4; k++) us_json_append(list[k], rounded(found[k], 5));
  }
  // What became of each pair, by the first rule.
  cJSON* steps = cJSON_AddArrayToObject(row, "first_hit_step");
  cJSON* failed = cJSON_AddArrayToObject(row, "failed");
  cJSON* broken = cJSON_AddArrayToObject(row, "not_finite");
  for (int i = 0; i < r->count; i++) {
    const UsOutcome* o = &r->outcome[i];
    int solved = us_outcome_solved(o, US_RULE_first_hit);
    us_json_append(steps, solved ? o->first_hit : -1);
    if (!solved) us_json_append(failed, i);
    if (!o->finite) us_json_append(broken, i);
  }
  return row;
}

// ---- the whole ----

// The rows, and each of them against the model: McNemar's test by first hit on the pairs that both
// ran.
static void add_rows(cJSON* json, const UsEvalResult* r) {
  cJSON* rows = cJSON_AddObjectToObject(json, "rows");
  cJSON* compare = cJSON_AddArrayToObject(json, "compare");
  const UsResult* a = &r->row[US_ROW_model];
  for (int k = 0; k < US_ROW_COUNT; k++) {
    const UsResult* b = &r->row[k];
    if (!r->on[k]) continue;
    cJSON_AddItemToObject(rows, us_eval_row_names[k], row_json(b, &r->pairs));
    if (k == US_ROW_model || !r->on[US_ROW_model]) continue;
    // Pairs that one of them solved and the other did not; the rest says nothing about either.
    int n = a->count < b->count ? a->count : b->count, only_a = 0, only_b = 0;
    for (int i = 0; i < n; i++) {
      int solved_a = us_outcome_solved(&a->outcome[i], US_RULE_first_hit);
      int solved_b = us_outcome_solved(&b->outcome[i], US_RULE_first_hit);
      only_a += solved_a && !solved_b;
      only_b += solved_b && !solved_a;
    }
    cJSON* test = cJSON_CreateObject();
    cJSON_AddItemToArray(compare, test);
    cJSON_AddStringToObject(test, "a", us_eval_row_names[US_ROW_model]);
    cJSON_AddStringToObject(test, "b", us_eval_row_names[k]);
    us_json_add(test, "pairs", n);
    us_json_add(test, "only_a", only_a);
    us_json_add(test, "only_b", only_b);
    us_json_add(test, "mcnemar_p", us_mcnemar(only_a, only_b));
  }
}

cJSON* us_eval_json(const EvalJob* j) {
  const UsEvalResult* r = j->result;
  // The first row that imagined something: its speed stands at the top of the file.
  const UsEvalRow order[] = {US_ROW_model, US_ROW_state, US_ROW_oracle, US_ROW_random};
  int k = 0;
  while (!r->on[order[k]]) k++;
  const UsResult* main = &r->row[order[k]];
  const UsEnvInfo* sim = us_env_info(j->sim);
  cJSON* json = cJSON_CreateObject();
  // What was run, and how fast the main row was.
  cJSON_AddStringToObject(json, "task", r->task->name);
  cJSON_AddStringToObject(json, "protocol", r->protocol->name);
  cJSON_AddStringToObject(json, "rule", us_rules[r->protocol->rule].name);
  us_json_add(json, "episodes", r->pairs.count);
  us_json_add(json, "solved_at_start", r->pairs.solved_at_start);
  us_json_add(json, "seconds_per_plan", main->wall[US_PART_plan] / fmax((double)main->plans, 1));
  us_json_add(json, "candidate_steps_per_core_second",
              (double)main->candidate_steps / fmax(main->core[US_PART_plan], 1e-9));
  // The protocol in env steps of this task.
  us_json_add(json, "ahead", us_protocol_steps(r->protocol->ahead, r->task));
  us_json_add(json, "budget", us_protocol_steps(r->protocol->budget, r->task));
  us_json_add(json, "block", sim->block);
  us_json_add(json, "dt", sim->dt);
  us_json_add(json, "radius", r->task->radius);
  // How it was run.
  us_json_add(json, "seed", (double)j->c.seed);
  us_json_add(json, "batch", j->c.batch);
  us_json_add(json, "threads", us_pool_threads(j->pool));
  cJSON_AddBoolToObject(json, "stop_at_hit", j->c.stop_at_hit);
  us_json_add(json, "subgoals", j->c.subgoals);
  cJSON* goal = r->pairs.goal ? cJSON_AddArrayToObject(json, "goal") : NULL;
  for (int i = 0; goal && i < sim->state; i++) us_json_append(goal, r->pairs.goal[i]);
  // By what.
  cJSON_AddStringToObject(json, "version", US_VERSION);
  cJSON_AddStringToObject(json, "mujoco", mj_versionString());
  cJSON_AddStringToObject(json, "blas", us_ops_name(us_device_cpu()));
  char device[256];
  cJSON_AddStringToObject(json, "device", us_device_text(j->device, device, sizeof(device)));
  if (*j->renderer) cJSON_AddStringToObject(json, "renderer", j->renderer);
  cJSON* planner = cJSON_AddObjectToObject(json, "planner");
  cJSON_AddStringToObject(planner, "name", j->c.planner);
  us_settings_json(us_planner_settings, &j->c.plan, planner);
  // What names the run, and what it was made of.
  const UsEnv *model = j->answer[US_ROW_model], *state = j->answer[US_ROW_state];
  cJSON* hashes = cJSON_AddObjectToObject(json, "hashes");
  cJSON_AddStringToObject(hashes, "run", j->key);
  cJSON_AddStringToObject(hashes, "pairs", r->pairs.hash);
  cJSON_AddStringToObject(hashes, "data", j->data_hash);
  if (model) cJSON_AddStringToObject(hashes, "model", us_env_info(model)->hash);
  if (state) cJSON_AddStringToObject(hashes, "state_model", us_env_info(state)->hash);
  // In which light, and what came of it.
  if (*r->vary) {
    cJSON_AddStringToObject(json, "vary", r->vary);
    cJSON_AddStringToObject(json, "vary_range", r->vary_range);
    cJSON_AddBoolToObject(json, "vary_drawn", j->vary.count > 0);
  }
  add_rows(json, r);
  return json;
}
