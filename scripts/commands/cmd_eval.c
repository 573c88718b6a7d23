// understudy eval: plans in a world model, in the simulator and not at all on the same held-out
// pairs, and writes down how often each reached the goal.

#include <math.h>
#include <mujoco/mujoco.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/commands/cli.h"
#include "scripts/commands/eval_job.h"
#include "scripts/commands/eval_json.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/text.h"
#include "worldmodel/ops.h"

// ---- options ----

static const char usage[] = "--model DIR --data HELDOUT.h5 --json R.json [options]";

static const char help[] =
    "Plans to goals that held-out trajectories reached and counts successes, in rows:\n"
    "  model   the planner imagines in the world model, which sees rendered frames\n"
    "  state   the same with a model on true states: what a perfect encoder would give\n"
    "  random  uniform actions: the floor\n"
    "  oracle  the planner imagines in the simulator itself: the ceiling\n\n"
    "Where the held-out file varies (collect --vary), every pair is played in its own variation. "
    "--vary\n"
    "draws one for every pair instead and draws the frames of starts and goals anew: the same "
    "pairs in\n"
    "another light. Names and ranges are those of collect.\n\n"
    "Protocols say how many pairs, how far ahead, how many blocks are imagined (--horizon) and "
    "played\n"
    "of each plan (--replan); these options change it.\n\n"
    "Finished batches are kept beside the JSON until it is written: after a kill, --resume goes "
    "on\n"
    "with them.\n\n"
    "Example:\n"
    "  understudy eval --task pointmaze --model runs/pm/model --data runs/pm/heldout.h5 \\\n"
    "    --protocol dinoworld --episodes 512 --json runs/pm/eval.json\n";

static void default_options(UsEvalOptions* o) {
  *o = (UsEvalOptions){.oracle_pairs = 128, .batch = 64, .films = 8, .film_size = 96};
  o->plan = us_planner_defaults();
  o->plan.horizon = o->plan.replan = 0;  // the protocol's
}

#define TEXT(name, to, text, argument) \
  { name, 0, POPT_ARG_STRING, to, 0, text, argument }
#define FLAG(name, to, text) \
  { name, 0, POPT_ARG_NONE, to, 0, text, NULL }
#define COUNT(name, to, text) \
  { name, 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, to, 0, text, "N" }
#define SIZE(name, to, text) \
  { name, 0, POPT_ARG_INT, to, 0, text, "N" }

static int parse(int argc, const char** argv, UsEvalOptions* o) {
  struct poptOption planner[US_CLI_ROWS] = {
      TEXT("planner", &o->planner, "cem or random (cem)", "NAME"), POPT_TABLEEND};
  us_cli_rows(us_planner_settings, &o->plan, planner);
  const struct poptOption table[] = {
      TEXT("task", &o->task, "task (the data's); also mjcf:FILE.xml", "T"),
      TEXT("model", &o->model, "model folder, for the row model", "DIR"),
      TEXT("state-model", &o->state_model, "model folder on true states, for the row state", "DIR"),
      TEXT("data", &o->data, "held-out trajectories", "F.h5"),
      TEXT("json", &o->json, "file for the results", "R.json"),
      TEXT("protocol", &o->protocol, "dinoworld, swm, clear, dinowm or jepawms (dinoworld)", "P"),
      SIZE("episodes", &o->episodes, "pairs (the protocol's)"),
      TEXT("rows", &o->rows, "of model,state,random,oracle (all that it can)", "LIST"),
      COUNT("oracle-pairs", &o->oracle_pairs, "pairs of the row oracle"),
      {"seed", 0, POPT_ARG_LONGLONG | POPT_ARGFLAG_SHOW_DEFAULT, &o->seed, 0,
       "of pairs and planners", "S"},
      COUNT("batch", &o->batch, "episodes at a time; changes no result"),
      SIZE("threads", &o->threads, "changes no result (all processors)"),
      TEXT("vary", &o->vary, "factors of variation to draw for every pair (the file's own)",
           "LIST"),
      TEXT("vary-range", &o->range, "train, test or all (train)", "R"),
      FLAG("resume", &o->resume, "go on with the batches that a stopped run finished"),
      FLAG("stop-at-hit", &o->stop_at_hit, "end an episode at its first success"),
      COUNT("subgoals", &o->subgoals, "rows between start and goal that are shown as goals first"),
      COUNT("films", &o->films, "episodes whose frames are kept for the report"),
      COUNT("film-size", &o->film_size, "pixels of a side of these frames"),
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, (void*)planner, 0, "Planner:", NULL},
      POPT_TABLEEND};
  return us_cli_parse(argc, argv, table, usage, help, NULL, 0);
}

// Switches the rows on that --rows asks for or, without it, those that the models allow.
static int choose_rows(UsEvalJob* j) {
  const UsEvalOptions* o = &j->o;
  int has[US_ROW_COUNT] = {[US_ROW_model] = o->model != NULL,
                           [US_ROW_state] = o->state_model != NULL,
                           [US_ROW_random] = 1,
                           [US_ROW_oracle] = 1};
  if (!o->rows) {
    if (!o->model) return us_cli_usage("eval", "--model is missing");
    memcpy(j->on, has, sizeof(has));
    return -1;
  }
  for (const char* at = o->rows; *at;) {
    size_t n = strcspn(at, ",");
    int k = 0;
    while (k < US_ROW_COUNT &&
           (strlen(us_eval_row_names[k]) != n || strncmp(at, us_eval_row_names[k], n)))
      k++;
    if (k == US_ROW_COUNT) {
      return us_cli_usage("eval", "--rows: expected model, state, random or oracle, found \"%.*s\"",
                          (int)n, at);
    }
    if (!has[k]) {
      return us_cli_usage("eval", "--rows %s: --%s is missing", us_eval_row_names[k],
                          k == US_ROW_model ? "model" : "state-model");
    }
    j->on[k] = 1;
    at += n + (at[n] == ',');
  }
  return -1;
}

static int check_options(UsEvalJob* j) {
  UsEvalOptions* o = &j->o;
  if (!o->data) return us_cli_usage("eval", "--data is missing");
  if (!o->json) return us_cli_usage("eval", "--json is missing");
  if (o->range && !o->vary) return us_cli_usage("eval", "--vary-range: expected --vary too");
  const char* name = o->protocol ? o->protocol : us_protocols[0].name;
  j->protocol = us_protocol_find(name);
  if (!j->protocol) return us_cli_usage("eval", "--protocol: there is no \"%s\"", name);
  if (o->episodes == 0) o->episodes = j->protocol->episodes;
  if (o->plan.horizon == 0) o->plan.horizon = j->protocol->horizon;
  if (o->plan.replan == 0) o->plan.replan = j->protocol->replan;
  o->plan.seed = (uint64_t)o->seed;
  const struct {
    const char* name;
    int value, low, high;
  } range[] = {{"episodes", o->episodes, 1, 1 << 20}, {"oracle-pairs", o->oracle_pairs, 1, 1 << 20},
               {"batch", o->batch, 1, 1 << 16},       {"threads", o->threads, 0, 4096},
               {"subgoals", o->subgoals, 0, 1 << 16}, {"films", o->films, 0, 1000},
               {"film-size", o->film_size, 8, 2048}};
  for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
    if (range[i].value >= range[i].low && range[i].value <= range[i].high) continue;
    return us_cli_usage("eval", "--%s: expected %d .. %d, found %d", range[i].name, range[i].low,
                        range[i].high, range[i].value);
  }
  if (o->batch > o->episodes) o->batch = o->episodes;
  UsStatus status = us_planner_check(o->planner ? o->planner : us_planners[0]->name, &o->plan);
  if (status != US_OK) return us_cli_fail("eval", status);
  return choose_rows(j);
}

// ---- films ----

// The episodes to film: failures fill at most half of the places, successes the others, each in the
// order of the pairs. list (films); returns how many.
static int choose_films(const UsResult* r, int films, int* list) {
  int failures = 0, n = 0;
  for (int i = 0; i < r->count; i++)
    failures += !us_outcome_solved(&r->outcome[i], US_RULE_first_hit);
  int successes = r->count - failures;
  int wanted = films / 2 > films - successes ? films / 2 : films - successes;
  if (wanted > failures) wanted = failures;
  for (int failed = 1; failed >= 0; failed--) {
    int left = failed ? wanted : films - n;
    for (int i = 0; i < r->count && left > 0; i++) {
      if (us_outcome_solved(&r->outcome[i], US_RULE_first_hit) == failed) continue;
      list[n++] = i;
      left--;
    }
  }
  return n;
}

static cJSON* film_json(const UsEvalJob* j, const UsResult* r, int i) {
  const UsOutcome* o = &r->outcome[i];
  cJSON* film = cJSON_CreateObject();
  us_json_add(film, "pair", i);
  cJSON_AddBoolToObject(film, "hard", j->pairs.pair[i].hard);
  us_json_add(film, "first_hit_step", us_outcome_solved(o, US_RULE_first_hit) ? o->first_hit : -1);
  us_json_add(film, "blocks", o->played);
  cJSON* curve = cJSON_AddArrayToObject(film, "distance");
  for (int b = 0; b <= o->played; b++) {
    float d = r->distance[(size_t)i * (size_t)(r->blocks + 1) + (size_t)b];
    us_json_append(curve, (double)d);
  }
  return film;
}

// Writes the frames beside the JSON and lists them in it. Films belong to the row model.
static UsStatus add_films(UsEvalJob* j, cJSON* json) {
  const UsResult* r = &j->result[US_ROW_model];
  if (!j->on[US_ROW_model] || j->o.films == 0) return US_OK;
  int side = j->o.film_size, most = j->o.films < r->count ? j->o.films : r->count;
  int* list = calloc((size_t)most, sizeof(int));
  size_t size = us_eval_film_bytes(j, r->blocks);
  uint8_t* frames = calloc((size_t)most, size);
  char path[4096];
  snprintf(path, sizeof(path), "%s.films", j->o.json);
  UsStatus status = list && frames ? US_OK : us_fail(US_MEMORY, "out of memory for films");
  int n = status == US_OK ? choose_films(r, most, list) : 0;
  if (status == US_OK) status = us_eval_film(j, US_ROW_model, n, list, frames);
  if (status == US_OK) status = us_file_write(path, frames, (size_t)n * size);
  if (status == US_OK) {
    const char* slash = strrchr(path, '/');
    cJSON* films = cJSON_AddObjectToObject(json, "films");
    cJSON_AddStringToObject(films, "row", us_eval_row_names[US_ROW_model]);
    cJSON_AddStringToObject(films, "file", slash ? slash + 1 : path);
    us_json_add(films, "size", side);
    us_json_add(films, "frames", r->blocks + 2);
    cJSON* episodes = cJSON_AddArrayToObject(films, "episodes");
    for (int k = 0; k < n; k++) cJSON_AddItemToArray(episodes, film_json(j, r, list[k]));
  }
  free(list);
  free(frames);
  return status;
}

// ---- what was found ----

static cJSON* hashes_json(const UsEvalJob* j) {
  cJSON* h = cJSON_CreateObject();
  cJSON_AddStringToObject(h, "run", j->key);
  cJSON_AddStringToObject(h, "pairs", j->pairs.hash);
  cJSON_AddStringToObject(h, "data", j->data_hash);
  if (j->on[US_ROW_model]) cJSON_AddStringToObject(h, "model", j->model_hash[US_ROW_model]);
  if (j->on[US_ROW_state]) cJSON_AddStringToObject(h, "state_model", j->model_hash[US_ROW_state]);
  return h;
}

// The first row that imagined something: its speed stands at the top of the file.
static const UsResult* main_row(const UsEvalJob* j) {
  const UsEvalRow order[] = {US_ROW_model, US_ROW_state, US_ROW_oracle, US_ROW_random};
  for (int k = 0; k < US_ROW_COUNT; k++) {
    if (j->on[order[k]]) return &j->result[order[k]];
  }
  return NULL;
}

static void add_rows(const UsEvalJob* j, cJSON* json) {
  cJSON* rows = cJSON_AddObjectToObject(json, "rows");
  cJSON* compare = cJSON_AddArrayToObject(json, "compare");
  for (int k = 0; k < US_ROW_COUNT; k++) {
    if (!j->on[k]) continue;
    cJSON_AddItemToObject(rows, us_eval_row_names[k], us_eval_row_json(&j->result[k], &j->pairs));
    if (k == US_ROW_model || !j->on[US_ROW_model]) continue;
    cJSON_AddItemToArray(
        compare, us_eval_compare_json(us_eval_row_names[US_ROW_model], &j->result[US_ROW_model],
                                      us_eval_row_names[k], &j->result[k]));
  }
}

// What varied in the pairs, and from which range: text (size); returns 0 when nothing did.
static int name_variation(const UsEvalJob* j, char* text, size_t size, const char** range) {
  const UsResult* r = main_row(j);
  us_vary_names(&r->vary, j->sim, text, size);
  *range =
      j->vary.count ? us_vary_range_names[j->range] : us_dataset_info(j->data)->variation_range;
  return r->vary.count > 0;
}

static cJSON* eval_json(const UsEvalJob* j) {
  const UsResult* r = main_row(j);
  const UsEnvInfo* sim = us_env_info(j->sim);
  cJSON* json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "task", j->task->name);
  cJSON_AddStringToObject(json, "protocol", j->protocol->name);
  cJSON_AddStringToObject(json, "rule", us_rule_names[j->protocol->rule]);
  us_json_add(json, "episodes", j->pairs.count);
  us_json_add(json, "solved_at_start", j->pairs.solved_at_start);
  us_json_add(json, "seconds_per_plan", r->wall[US_PART_plan] / fmax((double)r->plans, 1));
  us_json_add(json, "candidate_steps_per_core_second",
              (double)r->candidate_steps / fmax(r->core[US_PART_plan], 1e-9));
  us_json_add(json, "ahead", us_protocol_steps(j->protocol->ahead, j->task));
  us_json_add(json, "budget", us_protocol_steps(j->protocol->budget, j->task));
  us_json_add(json, "block", sim->block);
  us_json_add(json, "dt", sim->dt);
  us_json_add(json, "radius", j->task->radius);
  us_json_add(json, "seed", (double)j->o.seed);
  us_json_add(json, "batch", j->o.batch);
  us_json_add(json, "threads", us_pool_threads(j->pool));
  cJSON_AddBoolToObject(json, "stop_at_hit", j->o.stop_at_hit);
  us_json_add(json, "subgoals", j->o.subgoals);
  cJSON_AddStringToObject(json, "version", US_VERSION);
  cJSON_AddStringToObject(json, "mujoco", mj_versionString());
  cJSON_AddStringToObject(json, "blas", us_ops_name());
  cJSON_AddItemToObject(json, "planner",
                        us_eval_planner_json(us_eval_planner_name(j, US_ROW_model), &j->o.plan));
  cJSON_AddItemToObject(json, "hashes", hashes_json(j));
  char names[1024];
  const char* range;
  if (name_variation(j, names, sizeof(names), &range)) {
    cJSON_AddStringToObject(json, "vary", names);
    cJSON_AddStringToObject(json, "vary_range", range);
    cJSON_AddBoolToObject(json, "vary_drawn", j->vary.count > 0);
  }
  add_rows(j, json);
  return json;
}

static void print_rate(const UsResult* r, const UsPairs* pairs, UsRule rule, int hard) {
  if (!us_eval_answers(r, rule)) {
    printf("  %-21s", "-");
    return;
  }
  UsRate rate = us_result_rate(r, pairs, rule, hard);
  char text[64];
  snprintf(text, sizeof(text), "%.1f [%.1f, %.1f]", 100 * rate.rate, 100 * rate.low,
           100 * rate.high);
  printf("  %-21s", text);
}

// Mean distance to the goal at the start and at the end, and the median at the end.
static void print_distance(const UsResult* r) {
  double start[4], end[4];
  us_eval_distance(r, 0, start);
  us_eval_distance(r, r->blocks, end);
  printf("  %.3f > %.3f (%.3f)", start[0], end[0], end[2]);
}

// What the simulators said, if anything: a sentence a row.
static void print_trouble(const UsEvalJob* j) {
  for (int k = 0; k < US_ROW_COUNT; k++) {
    int diverged = 0;
    if (!j->on[k]) continue;
    for (int i = 0; i < j->result[k].count; i++) diverged += !j->result[k].outcome[i].finite;
    if (diverged == 0) continue;
    printf("%s: %d episode%s diverged and count%s as failed\n", us_eval_row_names[k], diverged,
           diverged == 1 ? "" : "s", diverged == 1 ? "s" : "");
  }
  const UsEnv* oracle = j->answer[US_ROW_oracle];
  if (us_cli_print_warnings("the episodes: ", j->sim)) printf("\n");
  if (oracle && us_cli_print_warnings("what the oracle imagined: ", oracle)) printf("\n");
}

static void print_table(const UsEvalJob* j) {
  printf("%s, protocol %s (%s), %d pairs; %d were solved at the start%s\n\n", j->task->name,
         j->protocol->name, us_rule_names[j->protocol->rule], j->pairs.count,
         j->pairs.solved_at_start, j->protocol->keep_solved ? " and stay in" : " and left out");
  char names[1024];
  const char* range;
  if (name_variation(j, names, sizeof(names), &range)) {
    printf("varies %s (%s)\n\n", us_shown(names), us_shown(range));
  }
  int plan_end = j->protocol->rule == US_RULE_plan_end;
  int object = j->task->success_object != NULL;
  printf("%-7s %5s  %-21s  %-21s  %-21s  %-21s%s%s  %s\n", "row", "pairs", "first hit", "last step",
         "hold 3", "first hit, hard", object ? "  object alone         " : "",
         plan_end ? "  plan end             " : "", "mean distance > at the end (median)");
  for (int k = 0; k < US_ROW_COUNT; k++) {
    const UsResult* r = &j->result[k];
    if (!j->on[k]) continue;
    printf("%-7s %5d", us_eval_row_names[k], r->count);
    print_rate(r, &j->pairs, US_RULE_first_hit, 0);
    print_rate(r, &j->pairs, US_RULE_last_step, 0);
    print_rate(r, &j->pairs, US_RULE_hold_3, 0);
    print_rate(r, &j->pairs, US_RULE_first_hit, 1);
    if (object) print_rate(r, &j->pairs, US_RULE_object_hit, 0);
    if (plan_end) print_rate(r, &j->pairs, US_RULE_plan_end, 0);
    print_distance(r);
    printf("\n");
  }
  print_trouble(j);
  printf("\n%-7s %8s %8s  %9s %9s %9s %9s  %10s  %s\n", "row", "seconds", "core-s", "simulate",
         "render", "encode", "plan", "ms a plan", "candidate-steps a core-second");
  for (int k = 0; k < US_ROW_COUNT; k++) {
    const UsResult* r = &j->result[k];
    if (!j->on[k]) continue;
    printf("%-7s %8.1f %8.1f ", us_eval_row_names[k], r->wall_all, r->core_all);
    for (int p = 0; p < US_PART_COUNT; p++) printf(" %9.2f", r->wall[p]);
    printf("  %10.3f  %.0f\n", 1e3 * r->wall[US_PART_plan] / fmax((double)r->plans, 1),
           (double)r->candidate_steps / fmax(r->core[US_PART_plan], 1e-9));
  }
}

static UsStatus run(UsEvalJob* j) {
  US_TRY(us_eval_open(j));
  if (j->complete) {
    printf("%s: is complete\n", j->o.json);
    return US_OK;
  }
  US_TRY(us_eval_run(j));
  cJSON* json = eval_json(j);
  UsStatus status = add_films(j, json);
  if (status == US_OK) status = us_json_write(j->o.json, json);
  cJSON_Delete(json);
  if (status != US_OK) return status;
  us_journal_close(j->journal, 1);
  j->journal = NULL;
  print_table(j);
  return status;
}

int us_cmd_eval(int argc, const char** argv) {
  UsEvalJob job = {0};
  default_options(&job.o);
  int code = parse(argc, argv, &job.o);
  if (code < 0) code = check_options(&job);
  if (code < 0) {
    UsStatus status = run(&job);
    code = status == US_OK ? 0 : us_cli_fail("eval", status);
  }
  us_eval_close(&job);
  return code;
}
