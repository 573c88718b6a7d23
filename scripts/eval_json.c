#include "scripts/eval_json.h"

#include <math.h>
#include <stdlib.h>

#include "planner/statistics.h"

int us_eval_answers(const UsResult* r, UsRule rule) {
  return !r->stopped || rule == US_RULE_first_hit || rule == US_RULE_object_hit;
}

// Rounded to `digits` decimals, so that files stay readable.
static double rounded(double x, int digits) {
  double scale = pow(10, digits);
  return round(x * scale) / scale;
}

static void add_number(cJSON* object, const char* key, double x) {
  if (isfinite(x)) cJSON_AddNumberToObject(object, key, x);
  if (!isfinite(x)) cJSON_AddNullToObject(object, key);
}

// ---- rates ----

static void add_rates(cJSON* object, const UsResult* r, const UsPairs* pairs, int hard) {
  UsRate any = us_result_rate(r, pairs, US_RULE_first_hit, hard);
  cJSON_AddNumberToObject(object, "pairs", any.count);
  for (int rule = 0; rule < US_RULE_COUNT; rule++) {
    if (!us_eval_answers(r, (UsRule)rule)) {
      cJSON_AddNullToObject(object, us_rule_names[rule]);
      continue;
    }
    UsRate rate = us_result_rate(r, pairs, (UsRule)rule, hard);
    cJSON* to = cJSON_AddObjectToObject(object, us_rule_names[rule]);
    cJSON_AddNumberToObject(to, "rate", rounded(rate.rate, 6));
    cJSON_AddNumberToObject(to, "low", rounded(rate.low, 6));
    cJSON_AddNumberToObject(to, "high", rounded(rate.high, 6));
    cJSON_AddNumberToObject(to, "hits", rate.hits);
  }
}

// ---- time ----

static void add_time(cJSON* row, const UsResult* r) {
  double wall = r->wall[US_PART_plan], core = r->core[US_PART_plan];
  cJSON_AddNumberToObject(row, "plans", (double)r->plans);
  cJSON_AddNumberToObject(row, "candidate_steps", (double)r->candidate_steps);
  add_number(row, "seconds_per_plan", r->plans > 0 ? wall / (double)r->plans : NAN);
  add_number(row, "core_seconds_per_plan", r->plans > 0 ? core / (double)r->plans : NAN);
  add_number(row, "candidate_steps_per_core_second",
             r->candidate_steps > 0 ? (double)r->candidate_steps / fmax(core, 1e-9) : NAN);
  cJSON_AddNumberToObject(row, "seconds", rounded(r->wall_all, 4));
  cJSON_AddNumberToObject(row, "core_seconds", rounded(r->core_all, 4));
  cJSON* time = cJSON_AddObjectToObject(row, "time");
  for (int p = 0; p < US_PART_COUNT; p++) {
    cJSON* part = cJSON_AddObjectToObject(time, us_part_names[p]);
    cJSON_AddNumberToObject(part, "seconds", rounded(r->wall[p], 4));
    cJSON_AddNumberToObject(part, "core_seconds", rounded(r->core[p], 4));
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
  qsort(value, (size_t)n, sizeof(double), by_value);
  out[0] = n ? sum / n : NAN;
  for (int q = 1; q < 4; q++) out[q] = n ? value[q * n / 4] : NAN;
  free(value);
  return n;
}

static void add_distance(cJSON* row, const UsResult* r) {
  static const char* const name[] = {"mean", "lower_quartile", "median", "upper_quartile"};
  cJSON* object = cJSON_AddObjectToObject(row, "distance");
  cJSON* list[4];
  for (int k = 0; k < 4; k++) list[k] = cJSON_AddArrayToObject(object, name[k]);
  for (int b = 0; b <= r->blocks; b++) {
    double found[4];
    if (us_eval_distance(r, b, found) == 0) continue;
    for (int k = 0; k < 4; k++) {
      cJSON_AddItemToArray(list[k], cJSON_CreateNumber(rounded(found[k], 5)));
    }
  }
}

static void add_episodes(cJSON* row, const UsResult* r) {
  cJSON* steps = cJSON_AddArrayToObject(row, "first_hit_step");
  cJSON* failed = cJSON_AddArrayToObject(row, "failed");
  cJSON* broken = cJSON_AddArrayToObject(row, "not_finite");
  for (int i = 0; i < r->count; i++) {
    const UsOutcome* o = &r->outcome[i];
    int solved = us_outcome_solved(o, US_RULE_first_hit);
    cJSON_AddItemToArray(steps, cJSON_CreateNumber(solved ? o->first_hit : -1));
    if (!solved) cJSON_AddItemToArray(failed, cJSON_CreateNumber(i));
    if (!o->finite) cJSON_AddItemToArray(broken, cJSON_CreateNumber(i));
  }
}

cJSON* us_eval_row_json(const UsResult* r, const UsPairs* pairs) {
  cJSON* row = cJSON_CreateObject();
  add_rates(row, r, pairs, 0);
  add_rates(cJSON_AddObjectToObject(row, "hard"), r, pairs, 1);
  add_time(row, r);
  add_distance(row, r);
  add_episodes(row, r);
  return row;
}

cJSON* us_eval_compare_json(const char* name_a, const UsResult* a, const char* name_b,
                            const UsResult* b) {
  int n = a->count < b->count ? a->count : b->count, only_a = 0, only_b = 0;
  for (int i = 0; i < n; i++) {
    int solved_a = us_outcome_solved(&a->outcome[i], US_RULE_first_hit);
    int solved_b = us_outcome_solved(&b->outcome[i], US_RULE_first_hit);
    only_a += solved_a && !solved_b;
    only_b += solved_b && !solved_a;
  }
  cJSON* object = cJSON_CreateObject();
  cJSON_AddStringToObject(object, "a", name_a);
  cJSON_AddStringToObject(object, "b", name_b);
  cJSON_AddNumberToObject(object, "pairs", n);
  cJSON_AddNumberToObject(object, "only_a", only_a);
  cJSON_AddNumberToObject(object, "only_b", only_b);
  cJSON_AddNumberToObject(object, "mcnemar_p", us_mcnemar(only_a, only_b));
  return object;
}

cJSON* us_eval_planner_json(const char* name, const UsPlannerConfig* c) {
  cJSON* p = cJSON_CreateObject();
  cJSON_AddStringToObject(p, "name", name);
  cJSON_AddNumberToObject(p, "horizon", c->horizon);
  cJSON_AddNumberToObject(p, "replan", c->execute);
  cJSON_AddNumberToObject(p, "samples", c->samples);
  cJSON_AddNumberToObject(p, "iterations", c->iterations);
  cJSON_AddNumberToObject(p, "warm_iterations", c->warm_iterations);
  cJSON_AddNumberToObject(p, "elites", c->elites);
  cJSON_AddNumberToObject(p, "keep", c->keep);
  cJSON_AddNumberToObject(p, "deviation", rounded((double)c->deviation, 6));
  cJSON_AddNumberToObject(p, "warm_deviation", rounded((double)c->warm_deviation, 6));
  cJSON_AddNumberToObject(p, "least_deviation", rounded((double)c->least_deviation, 6));
  cJSON_AddNumberToObject(p, "momentum", rounded((double)c->momentum, 6));
  cJSON_AddNumberToObject(p, "correlation", rounded((double)c->correlation, 6));
  cJSON_AddNumberToObject(p, "first_weight", rounded((double)c->first_weight, 6));
  cJSON_AddBoolToObject(p, "last_only", c->last_only);
  cJSON_AddBoolToObject(p, "deadline", c->deadline);
  cJSON_AddBoolToObject(p, "cold", c->cold);
  cJSON_AddBoolToObject(p, "play_best", c->play_best);
  return p;
}
