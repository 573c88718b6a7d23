// understudy eval: plans in a world model, in the simulator and not at all on the same held-out
// pairs, and writes down how often each reached the goal.

#include <errno.h>
#include <math.h>
#include <mujoco/mujoco.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "planner/evaluate.h"
#include "scripts/cli.h"
#include "scripts/eval_json.h"
#include "tasks/tasks.h"
#include "worldmodel/base/file.h"
#include "worldmodel/model.h"
#include "worldmodel/ops.h"

// The rows of the table, in its order: name, planner (NULL: the chosen one), what it sees.
#define ROWS(X)                        \
  X(model, NULL, US_SEES_PIXELS)       \
  X(state, NULL, US_SEES_STATE)        \
  X(random, "random", US_SEES_NOTHING) \
  X(oracle, NULL, US_SEES_STATE)

typedef enum RowKind {
#define X(name, planner, sees) kRow_##name,
  ROWS(X)
#undef X
      kRows
} RowKind;

static const struct {
  const char* name;
  const char* planner;
  UsSees sees;
} row_table[kRows] = {
#define X(name, planner, sees) {#name, planner, sees},
    ROWS(X)
#undef X
};

typedef struct Options {
  char *task, *model, *state_model, *data, *protocol, *json, *rows, *planner;
  int episodes, oracle_pairs, batch, threads, stop_at_hit, films, film_size, replan;
  long long seed;
  UsPlannerConfig plan;
} Options;

// Everything that is open.
typedef struct Job {
  Options o;
  const UsProtocol* protocol;
  const UsTask* task;
  int on[kRows];
  UsPool* pool;
  UsDataset* data;
  UsEnv* sim;            // the truth
  UsEnv* answer[kRows];  // Nullable: random has none
  UsPairs pairs;
  UsResult result[kRows];
  char data_hash[US_HASH_CHARS];
  char model_hash[2][US_HASH_CHARS];  // of the rows model and state
} Job;

// ---- options ----

static const char usage[] = "--model DIR --data HELDOUT.h5 --json R.json [options]";

static const char help[] =
    "Plans to goals that held-out trajectories reached and counts successes, in rows:\n"
    "  model   the planner imagines in the world model, which sees rendered frames\n"
    "  state   the same with a model on true states: what a perfect encoder would give\n"
    "  random  uniform actions: the floor\n"
    "  oracle  the planner imagines in the simulator itself: the ceiling\n\n"
    "Example:\n"
    "  understudy eval --task pointmaze --model runs/pm/model --data runs/pm/heldout.h5 \\\n"
    "    --protocol dinoworld --episodes 512 --json runs/pm/eval.json\n";

static void default_options(Options* o) {
  *o = (Options){.oracle_pairs = 128, .batch = 64, .films = 8, .film_size = 96};
  o->plan = us_planner_defaults();
  o->plan.horizon = 0;  // the protocol's
}

#define TEXT(name, to, text, argument) \
  { name, 0, POPT_ARG_STRING, to, 0, text, argument }
#define FLAG(name, to, text) \
  { name, 0, POPT_ARG_NONE, to, 0, text, NULL }
#define COUNT(name, to, text) \
  { name, 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, to, 0, text, "N" }
#define SIZE(name, to, text) \
  { name, 0, POPT_ARG_INT, to, 0, text, "N" }
#define REAL(name, to, text) \
  { name, 0, POPT_ARG_FLOAT | POPT_ARGFLAG_SHOW_DEFAULT, to, 0, text, "X" }

static int parse(int argc, const char** argv, Options* o) {
  UsPlannerConfig* p = &o->plan;
  const struct poptOption planner[] = {
      TEXT("planner", &o->planner, "cem or random (cem)", "NAME"),
      SIZE("horizon", &p->horizon, "blocks imagined (the protocol's)"),
      SIZE("replan", &o->replan, "blocks played of each plan (the protocol's)"),
      COUNT("samples", &p->samples, "candidates an iteration"),
      COUNT("iterations", &p->iterations, "of an episode's first plan"),
      COUNT("warm-iterations", &p->warm_iterations, "of the plans after it"),
      COUNT("elites", &p->elites, "candidates that a fit uses"),
      COUNT("keep", &p->keep, "elites that stay for the next iteration"),
      REAL("deviation", &p->deviation, "of actions at the start of a first plan"),
      REAL("warm-deviation", &p->warm_deviation, "at the start of the plans after it"),
      REAL("least-deviation", &p->least_deviation, "below which no fit falls"),
      REAL("momentum", &p->momentum, "share of the old fit in a new one"),
      REAL("correlation", &p->correlation,
           "from env step to env step, of every second candidate's noise"),
      REAL("first-weight", &p->first_weight, "cost weight of the first block; the last has 1"),
      FLAG("last-only", &p->last_only, "only the last block costs"),
      FLAG("cold", &p->cold, "every plan starts anew"),
      FLAG("play-best", &p->play_best, "play the best candidate, not the mean of the elites"),
      POPT_TABLEEND};
  const struct poptOption table[] = {
      TEXT("task", &o->task, "task (the data's)", "T"),
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
      FLAG("stop-at-hit", &o->stop_at_hit, "end an episode at its first success"),
      COUNT("films", &o->films, "episodes whose frames are kept for the report"),
      COUNT("film-size", &o->film_size, "pixels of a side of these frames"),
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, (void*)planner, 0, "Planner:", NULL},
      POPT_TABLEEND};
  return us_cli_parse(argc, argv, table, usage, help, NULL, 0);
}

static void free_options(Options* o) {
  char* text[] = {o->task,     o->model, o->state_model, o->data,
                  o->protocol, o->json,  o->rows,        o->planner};
  for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) free(text[i]);
}

// Switches the rows on that --rows asks for or, without it, those that the models allow.
static int choose_rows(Job* j) {
  const Options* o = &j->o;
  int has[kRows] = {[kRow_model] = o->model != NULL,
                    [kRow_state] = o->state_model != NULL,
                    [kRow_random] = 1,
                    [kRow_oracle] = 1};
  if (!o->rows) {
    if (!o->model) return us_cli_usage("eval", "--model is missing");
    memcpy(j->on, has, sizeof(has));
    return -1;
  }
  for (const char* at = o->rows; *at;) {
    size_t n = strcspn(at, ",");
    int k = 0;
    while (k < kRows && (strlen(row_table[k].name) != n || strncmp(at, row_table[k].name, n))) k++;
    if (k == kRows) {
      return us_cli_usage("eval", "--rows: expected model, state, random or oracle, found \"%.*s\"",
                          (int)n, at);
    }
    if (!has[k]) {
      return us_cli_usage("eval", "--rows %s: --%s is missing", row_table[k].name,
                          k == kRow_model ? "model" : "state-model");
    }
    j->on[k] = 1;
    at += n + (at[n] == ',');
  }
  return -1;
}

static int check_options(Job* j) {
  Options* o = &j->o;
  if (!o->data) return us_cli_usage("eval", "--data is missing");
  if (!o->json) return us_cli_usage("eval", "--json is missing");
  const char* name = o->protocol ? o->protocol : us_protocols[0].name;
  j->protocol = us_protocol_find(name);
  if (!j->protocol) return us_cli_usage("eval", "--protocol: there is no \"%s\"", name);
  if (o->episodes == 0) o->episodes = j->protocol->episodes;
  if (o->plan.horizon == 0) o->plan.horizon = j->protocol->horizon;
  o->plan.execute = o->replan ? o->replan : j->protocol->replan;
  o->plan.seed = (uint64_t)o->seed;
  const struct {
    const char* name;
    int value, low, high;
  } range[] = {{"episodes", o->episodes, 1, 1 << 20}, {"oracle-pairs", o->oracle_pairs, 1, 1 << 20},
               {"batch", o->batch, 1, 1 << 16},       {"threads", o->threads, 0, 4096},
               {"films", o->films, 0, 1000},          {"film-size", o->film_size, 8, 2048}};
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

// ---- opening ----

static UsStatus open_task(Job* j) {
  const char* name = us_dataset_info(j->data)->task;
  if (j->o.task && strcmp(j->o.task, name) != 0) {
    return us_fail(US_USAGE, "%s: expected trajectories of the task \"%s\", found \"%s\"",
                   j->o.data, j->o.task, name);
  }
  for (int i = 0; us_tasks[i]; i++) {
    if (!strcmp(us_tasks[i]->name, name)) j->task = us_tasks[i];
  }
  return j->task ? US_OK : us_fail(US_USAGE, "%s: there is no task \"%s\"", j->o.data, name);
}

// 1 if a text stands anywhere in a JSON value.
static int mentions(const cJSON* json, const char* text) {
  if (cJSON_IsString(json)) return !strcmp(json->valuestring, text);
  const cJSON* item;
  cJSON_ArrayForEach(item, json) {
    if (mentions(item, text)) return 1;
  }
  return 0;
}

// 1 if one of the datasets in a model's training notes was collected with the seed and policy of
// the held-out file: its episodes start with the same ones.
static int same_seed(const cJSON* training, const UsDatasetInfo* held) {
  const cJSON* item;
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(training, "data")) {
    const cJSON* seed = cJSON_GetObjectItemCaseSensitive(item, "seed");
    const char* task = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "task"));
    const char* policy = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "policy"));
    if (!cJSON_IsNumber(seed) || seed->valuedouble != (double)held->seed) continue;
    if (task && policy && !strcmp(task, held->task) && !strcmp(policy, held->policy)) return 1;
  }
  return 0;
}

// Refuses data that the model's folder says it was trained on.
static UsStatus check_held_out(const Job* j, const char* folder) {
  char path[4096];
  cJSON* config;
  US_TRY(us_json_read(us_path_join(path, sizeof(path), folder, "config.json"), &config));
  const cJSON* training = cJSON_GetObjectItemCaseSensitive(config, "training");
  int seen = mentions(training, j->data_hash) || same_seed(training, us_dataset_info(j->data));
  cJSON_Delete(config);
  if (!seen) return US_OK;
  return us_fail(US_FORMAT,
                 "%s: expected held-out trajectories, found those that %s was trained on",
                 j->o.data, folder);
}

static UsStatus read_hash(const char* folder, char hash[US_HASH_CHARS]) {
  UsModel* model;
  US_TRY(us_model_open(folder, &model));
  memcpy(hash, us_model_info(model)->hash, US_HASH_CHARS);
  us_model_destroy(model);
  return US_OK;
}

static UsStatus open_model(Job* j, RowKind row, const char* folder) {
  if (!j->on[row]) return US_OK;
  US_TRY(read_hash(folder, j->model_hash[row]));
  US_TRY(check_held_out(j, folder));
  char name[4096];
  snprintf(name, sizeof(name), "model:%s", folder);
  UsEnvConfig config = {.slots = j->o.batch, .pool = j->pool};
  US_TRY(us_env_open(name, NULL, &config, &j->answer[row]));
  const UsEnvInfo* info = us_env_info(j->answer[row]);
  if (strcmp(info->task, j->task->name) != 0) {
    return us_fail(US_FORMAT, "%s: expected a model of the task \"%s\", found \"%s\"", folder,
                   j->task->name, info->task);
  }
  return US_OK;
}

// The truth plays the blocks of the models and renders the frames that they see.
static UsStatus open_sims(Job* j) {
  char name[128];
  snprintf(name, sizeof(name), "sim:%s", j->task->name);
  UsEnv* like = j->on[kRow_model] ? j->answer[kRow_model] : j->answer[kRow_state];
  UsEnvConfig config = {.slots = j->o.batch, .pool = j->pool, .pixels = j->on[kRow_model]};
  if (like) config.block = us_env_info(like)->block;
  if (j->on[kRow_model]) {
    config.height = us_env_info(like)->height;
    config.width = us_env_info(like)->width;
  }
  US_TRY(us_env_open(name, us_tasks, &config, &j->sim));
  int block = us_env_info(j->sim)->block;
  if (j->protocol->budget % block != 0) {
    return us_fail(US_USAGE, "protocol %s: a budget of %d env steps is no multiple of blocks of %d",
                   j->protocol->name, j->protocol->budget, block);
  }
  config.pixels = 0;
  return j->on[kRow_oracle] ? us_env_open(name, us_tasks, &config, &j->answer[kRow_oracle]) : US_OK;
}

// Fails early when the results could not be written later.
static UsStatus check_output(const char* json) {
  const char* slash = strrchr(json, '/');
  char folder[4096];
  snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - json) + 1 : 1, slash ? json : ".");
  if (access(folder, W_OK) == 0) return US_OK;
  return us_fail(US_IO, "%s: expected a folder that can be written, found: %s", folder,
                 strerror(errno));
}

static UsStatus open_all(Job* j) {
  const Options* o = &j->o;
  US_TRY(check_output(o->json));
  j->pool = us_pool_create(o->threads);
  if (!j->pool) return us_fail(US_MEMORY, "out of memory");
  US_TRY(us_dataset_open(o->data, &j->data));
  US_TRY(open_task(j));
  US_TRY(us_dataset_hash(j->data, j->data_hash));
  US_TRY(open_model(j, kRow_model, o->model));
  US_TRY(open_model(j, kRow_state, o->state_model));
  US_TRY(open_sims(j));
  return us_pairs_draw(j->data, j->sim, (uint64_t)o->seed, o->episodes, us_env_info(j->sim)->block,
                       j->protocol->ahead, j->protocol->keep_solved, &j->pairs);
}

static void close_all(Job* j) {
  for (int k = 0; k < kRows; k++) {
    us_result_free(&j->result[k]);
    us_env_close(j->answer[k]);
  }
  us_pairs_free(&j->pairs);
  us_env_close(j->sim);
  us_dataset_close(j->data);
  us_pool_destroy(j->pool);
  free_options(&j->o);
}

// ---- running ----

static const char* planner_name(const Job* j, RowKind row) {
  if (row_table[row].planner) return row_table[row].planner;
  return j->o.planner ? j->o.planner : us_planners[0]->name;
}

static UsStatus run_row(Job* j, RowKind row) {
  if (!j->on[row]) return US_OK;
  UsPlannerConfig config = j->o.plan;
  config.pool = j->pool;
  UsEvaluation e = {.label = row_table[row].name,
                    .data = j->data,
                    .pairs = &j->pairs,
                    .count = j->pairs.count,
                    .sim = j->sim,
                    .answer = j->answer[row] ? j->answer[row] : j->sim,
                    .sees = row_table[row].sees,
                    .budget = j->protocol->budget,
                    .rest = j->protocol->rest,
                    .stop_at_hit = j->o.stop_at_hit};
  if (row == kRow_oracle && j->o.oracle_pairs < e.count) e.count = j->o.oracle_pairs;
  US_TRY(us_planner_create(planner_name(j, row), e.answer, &config, &e.planner));
  UsStatus status = us_evaluate(&e, &j->result[row]);
  us_planner_destroy(e.planner);
  return status;
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

static cJSON* film_json(const Job* j, const UsResult* r, int i) {
  const UsOutcome* o = &r->outcome[i];
  cJSON* film = cJSON_CreateObject();
  cJSON_AddNumberToObject(film, "pair", i);
  cJSON_AddBoolToObject(film, "hard", j->pairs.pair[i].hard);
  cJSON_AddNumberToObject(film, "first_hit_step",
                          us_outcome_solved(o, US_RULE_first_hit) ? o->first_hit : -1);
  cJSON_AddNumberToObject(film, "blocks", o->played);
  cJSON* curve = cJSON_AddArrayToObject(film, "distance");
  for (int b = 0; b <= o->played; b++) {
    float d = r->distance[(size_t)i * (size_t)(r->blocks + 1) + (size_t)b];
    cJSON_AddItemToArray(curve, isfinite(d) ? cJSON_CreateNumber((double)d) : cJSON_CreateNull());
  }
  return film;
}

// Plays n chosen episodes again into frames (n, blocks + 2, size, size, 3).
static UsStatus film(Job* j, const UsResult* r, int n, const int* list, uint8_t* frames) {
  char name[128];
  snprintf(name, sizeof(name), "sim:%s", j->task->name);
  UsEnvConfig config = {.slots = 1, .block = r->block, .height = j->o.film_size, .pixels = 1};
  UsEnv* sim;
  US_TRY(us_env_open(name, us_tasks, &config, &sim));
  size_t size = (size_t)j->o.film_size * (size_t)j->o.film_size * 3 * (size_t)(r->blocks + 2);
  UsStatus status = US_OK;
  for (int k = 0; k < n && status == US_OK; k++) {
    status = us_result_film(r, j->data, &j->pairs, list[k], j->protocol->rest, sim,
                            frames + (size_t)k * size);
  }
  us_env_close(sim);
  return status;
}

// Writes the frames beside the JSON and lists them in it. Films belong to the row model.
static UsStatus add_films(Job* j, cJSON* json) {
  const UsResult* r = &j->result[kRow_model];
  if (!j->on[kRow_model] || j->o.films == 0) return US_OK;
  int side = j->o.film_size, *list = calloc((size_t)j->o.films, sizeof(int));
  size_t size = (size_t)side * (size_t)side * 3 * (size_t)(r->blocks + 2);
  uint8_t* frames = calloc((size_t)j->o.films, size);
  char path[4096];
  snprintf(path, sizeof(path), "%s.films", j->o.json);
  UsStatus status = list && frames ? US_OK : us_fail(US_MEMORY, "out of memory for films");
  int n = status == US_OK ? choose_films(r, j->o.films, list) : 0;
  if (status == US_OK) status = film(j, r, n, list, frames);
  if (status == US_OK) status = us_file_write(path, frames, (size_t)n * size);
  if (status == US_OK) {
    const char* slash = strrchr(path, '/');
    cJSON* films = cJSON_AddObjectToObject(json, "films");
    cJSON_AddStringToObject(films, "row", row_table[kRow_model].name);
    cJSON_AddStringToObject(films, "file", slash ? slash + 1 : path);
    cJSON_AddNumberToObject(films, "size", side);
    cJSON_AddNumberToObject(films, "frames", r->blocks + 2);
    cJSON* episodes = cJSON_AddArrayToObject(films, "episodes");
    for (int k = 0; k < n; k++) cJSON_AddItemToArray(episodes, film_json(j, r, list[k]));
  }
  free(list);
  free(frames);
  return status;
}

// ---- what was found ----

static cJSON* hashes_json(const Job* j) {
  cJSON* h = cJSON_CreateObject();
  cJSON_AddStringToObject(h, "pairs", j->pairs.hash);
  cJSON_AddStringToObject(h, "data", j->data_hash);
  if (j->on[kRow_model]) cJSON_AddStringToObject(h, "model", j->model_hash[kRow_model]);
  if (j->on[kRow_state]) cJSON_AddStringToObject(h, "state_model", j->model_hash[kRow_state]);
  return h;
}

// The first row that imagined something: its speed stands at the top of the file.
static const UsResult* main_row(const Job* j) {
  const RowKind order[] = {kRow_model, kRow_state, kRow_oracle, kRow_random};
  for (int k = 0; k < kRows; k++) {
    if (j->on[order[k]]) return &j->result[order[k]];
  }
  return NULL;
}

static void add_rows(const Job* j, cJSON* json) {
  cJSON* rows = cJSON_AddObjectToObject(json, "rows");
  cJSON* compare = cJSON_AddArrayToObject(json, "compare");
  for (int k = 0; k < kRows; k++) {
    if (!j->on[k]) continue;
    cJSON_AddItemToObject(rows, row_table[k].name, us_eval_row_json(&j->result[k], &j->pairs));
    if (k == kRow_model || !j->on[kRow_model]) continue;
    cJSON_AddItemToArray(compare,
                         us_eval_compare_json(row_table[kRow_model].name, &j->result[kRow_model],
                                              row_table[k].name, &j->result[k]));
  }
}

static cJSON* eval_json(const Job* j) {
  const UsResult* r = main_row(j);
  const UsEnvInfo* sim = us_env_info(j->sim);
  cJSON* json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "task", j->task->name);
  cJSON_AddStringToObject(json, "protocol", j->protocol->name);
  cJSON_AddStringToObject(json, "rule", us_rule_names[j->protocol->rule]);
  cJSON_AddNumberToObject(json, "episodes", j->pairs.count);
  cJSON_AddNumberToObject(json, "solved_at_start", j->pairs.solved_at_start);
  cJSON_AddNumberToObject(json, "seconds_per_plan",
                          r->wall[US_PART_plan] / fmax((double)r->plans, 1));
  cJSON_AddNumberToObject(json, "candidate_steps_per_core_second",
                          (double)r->candidate_steps / fmax(r->core[US_PART_plan], 1e-9));
  cJSON_AddNumberToObject(json, "ahead", j->protocol->ahead);
  cJSON_AddNumberToObject(json, "budget", j->protocol->budget);
  cJSON_AddNumberToObject(json, "block", sim->block);
  cJSON_AddNumberToObject(json, "dt", sim->dt);
  cJSON_AddNumberToObject(json, "radius", j->task->radius);
  cJSON_AddNumberToObject(json, "seed", (double)j->o.seed);
  cJSON_AddNumberToObject(json, "batch", j->o.batch);
  cJSON_AddNumberToObject(json, "threads", us_pool_threads(j->pool));
  cJSON_AddBoolToObject(json, "stop_at_hit", j->o.stop_at_hit);
  cJSON_AddStringToObject(json, "version", US_VERSION);
  cJSON_AddStringToObject(json, "mujoco", mj_versionString());
  cJSON_AddStringToObject(json, "blas", us_ops_name());
  cJSON_AddItemToObject(json, "planner",
                        us_eval_planner_json(planner_name(j, kRow_model), &j->o.plan));
  cJSON_AddItemToObject(json, "hashes", hashes_json(j));
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

static void print_table(const Job* j) {
  printf("%s, protocol %s (%s), %d pairs; %d were solved at the start%s\n\n", j->task->name,
         j->protocol->name, us_rule_names[j->protocol->rule], j->pairs.count,
         j->pairs.solved_at_start, j->protocol->keep_solved ? " and stay in" : " and left out");
  int plan_end = j->protocol->rule == US_RULE_plan_end;
  printf("%-7s %5s  %-21s  %-21s  %-21s  %-21s%s\n", "row", "pairs", "first hit", "last step",
         "hold 3", "first hit, hard", plan_end ? "  plan end" : "");
  for (int k = 0; k < kRows; k++) {
    const UsResult* r = &j->result[k];
    if (!j->on[k]) continue;
    printf("%-7s %5d", row_table[k].name, r->count);
    print_rate(r, &j->pairs, US_RULE_first_hit, 0);
    print_rate(r, &j->pairs, US_RULE_last_step, 0);
    print_rate(r, &j->pairs, US_RULE_hold_3, 0);
    print_rate(r, &j->pairs, US_RULE_first_hit, 1);
    if (plan_end) print_rate(r, &j->pairs, US_RULE_plan_end, 0);
    printf("\n");
  }
  printf("\n%-7s %8s %8s  %9s %9s %9s %9s  %10s  %s\n", "row", "seconds", "core-s", "simulate",
         "render", "encode", "plan", "ms a plan", "candidate-steps a core-second");
  for (int k = 0; k < kRows; k++) {
    const UsResult* r = &j->result[k];
    if (!j->on[k]) continue;
    printf("%-7s %8.1f %8.1f ", row_table[k].name, r->wall_all, r->core_all);
    for (int p = 0; p < US_PART_COUNT; p++) printf(" %9.2f", r->wall[p]);
    printf("  %10.3f  %.0f\n", 1e3 * r->wall[US_PART_plan] / fmax((double)r->plans, 1),
           (double)r->candidate_steps / fmax(r->core[US_PART_plan], 1e-9));
  }
}

static UsStatus run(Job* j) {
  US_TRY(open_all(j));
  for (int k = 0; k < kRows; k++) US_TRY(run_row(j, (RowKind)k));
  cJSON* json = eval_json(j);
  UsStatus status = add_films(j, json);
  if (status == US_OK) status = us_json_write(j->o.json, json);
  cJSON_Delete(json);
  if (status == US_OK) print_table(j);
  return status;
}

int us_cmd_eval(int argc, const char** argv) {
  Job job = {0};
  default_options(&job.o);
  int code = parse(argc, argv, &job.o);
  if (code < 0) code = check_options(&job);
  if (code < 0) {
    UsStatus status = run(&job);
    code = status == US_OK ? 0 : us_cli_fail("eval", status);
  }
  close_all(&job);
  return code;
}
