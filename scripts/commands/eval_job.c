#include "scripts/commands/eval_job.h"

#include <errno.h>
#include <mujoco/mujoco.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripts/commands/cli.h"
#include "tasks/mjcf/mjcf.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/model_folder.h"
#include "worldmodel/ops.h"

static const struct {
  const char* planner;
  UsSees sees;
} row_table[US_ROW_COUNT] = {
#define X(name, planner, sees) {planner, sees},
    US_EVAL_ROWS(X)
#undef X
};

const char* const us_eval_row_names[US_ROW_COUNT] = {
#define X(name, planner, sees) #name,
    US_EVAL_ROWS(X)
#undef X
};

// ---- opening ----

static UsStatus open_task(UsEvalJob* j) {
  const char* name = us_dataset_info(j->data)->task;
  if (j->o.task && strcmp(j->o.task, name) != 0) {
    return us_fail(US_USAGE, "%s: expected trajectories of the task \"%s\", found \"%s\"",
                   j->o.data, j->o.task, name);
  }
  j->task = us_cli_task(name);
  if (!j->task) {
    int mjcf = strncmp(name, "mjcf-", 5) == 0;
    return us_fail(US_USAGE, "%s: there is no task \"%s\"; %s", j->o.data, name,
                   mjcf ? "--task mjcf:FILE.xml names its file" : "--plugin adds tasks");
  }
  const char* passive = j->task->model ? us_mjcf_passive(j->task->model) : NULL;
  if (!passive) return US_OK;
  return us_fail(US_UNSUPPORTED, "task %s: expected a model that can be moved, found %s", name,
                 passive);
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
static UsStatus check_held_out(const UsEvalJob* j, const char* folder) {
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

static UsStatus open_model(UsEvalJob* j, UsEvalRow row, const char* folder) {
  if (!j->on[row]) return US_OK;
  US_TRY(read_hash(folder, j->model_hash[row]));
  US_TRY(check_held_out(j, folder));
  UsEnvConfig config = {.slots = j->o.batch, .pool = j->pool};
  US_TRY(us_cli_open_model(folder, &config, &j->answer[row]));
  const UsEnvInfo* info = us_env_info(j->answer[row]);
  if (strcmp(info->task, j->task->name) != 0) {
    return us_fail(US_FORMAT, "%s: expected a model of the task \"%s\", found \"%s\"", folder,
                   j->task->name, info->task);
  }
  return US_OK;
}

// The truth plays the blocks of the models and renders the frames that they see.
static UsStatus open_sims(UsEvalJob* j) {
  UsEnv* like = j->on[US_ROW_model] ? j->answer[US_ROW_model] : j->answer[US_ROW_state];
  UsEnvConfig config = {.slots = j->o.batch, .pool = j->pool, .pixels = j->on[US_ROW_model]};
  if (like) config.block = us_env_info(like)->block;
  if (j->on[US_ROW_model]) {
    config.height = us_env_info(like)->height;
    config.width = us_env_info(like)->width;
  }
  US_TRY(us_cli_open_sim(j->task->name, &config, &j->sim));
  int block = us_env_info(j->sim)->block;
  int budget = us_protocol_steps(j->protocol->budget, j->task);
  if (budget % block != 0) {
    return us_fail(US_USAGE, "protocol %s: a budget of %d env steps is no multiple of blocks of %d",
                   j->protocol->name, budget, block);
  }
  int most = us_most_subgoals(budget / block);
  if (j->o.subgoals > most) {
    return us_fail(US_USAGE, "--subgoals: expected at most %d in a budget of %d blocks, found %d",
                   most, budget / block, j->o.subgoals);
  }
  config.pixels = 0;
  if (!j->on[US_ROW_oracle]) return US_OK;
  return us_cli_open_sim(j->task->name, &config, &j->answer[US_ROW_oracle]);
}

// Films are kept in memory until they are written: fails before the work that they would end.
static UsStatus check_films(const UsEvalJob* j) {
  if (!j->on[US_ROW_model] || j->o.films == 0) return US_OK;
  int blocks = us_protocol_steps(j->protocol->budget, j->task) / us_env_info(j->sim)->block;
  int films = j->o.films < j->pairs.count ? j->o.films : j->pairs.count;
  double bytes = (double)films * (double)us_eval_film_bytes(j, blocks);
  US_TRY(us_machine_need_memory("--films", bytes));
  return us_machine_need_disk(j->o.json, bytes);
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

// Hashes everything that the results depend on: all but batch and threads.
static UsStatus find_key(UsEvalJob* j) {
  const UsEvalOptions* o = &j->o;
  const struct {
    const char *name, *text;
  } texts[] = {{"version", US_VERSION},
               {"mujoco", mj_versionString()},
               {"ops", us_ops_name()},
               {"protocol", j->protocol->name},
               {"pairs", j->pairs.hash},
               {"data", j->data_hash},
               {"model", j->model_hash[US_ROW_model]},
               {"state", j->model_hash[US_ROW_state]},
               {"planner", us_eval_planner_name(j, US_ROW_model)}};
  const struct {
    const char* name;
    long long value;
  } numbers[] = {{"episodes", o->episodes},
                 {"oracle_pairs", o->oracle_pairs},
                 {"stop_at_hit", o->stop_at_hit},
                 {"subgoals", o->subgoals},
                 {"films", o->films},
                 {"film_size", o->film_size}};
  cJSON* key = cJSON_CreateObject();
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    cJSON_AddStringToObject(key, texts[i].name, texts[i].text);
  }
  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
    us_json_add(key, numbers[i].name, (double)numbers[i].value);
  }
  char seed[32], names[1024] = "";
  snprintf(seed, sizeof(seed), "%lld", o->seed);
  cJSON_AddStringToObject(key, "seed", seed);
  us_settings_key(us_planner_settings, &o->plan, key);
  for (int k = 0; k < US_ROW_COUNT; k++) us_json_add(key, us_eval_row_names[k], j->on[k]);
  if (j->vary.count) {
    us_vary_names(&j->vary, j->sim, names, sizeof(names));
    cJSON_AddStringToObject(key, "vary", names);
    cJSON_AddStringToObject(key, "vary_range", us_vary_range_names[j->range]);
  }
  char* text = cJSON_PrintUnformatted(key);
  cJSON_Delete(key);
  if (!text) return us_fail(US_MEMORY, "out of memory");
  us_hash_bytes(text, strlen(text), j->key);
  free(text);
  return US_OK;
}

// 1 if the JSON holds the results of this very run.
static int is_complete(const UsEvalJob* j) {
  cJSON* json;
  if (!us_file_exists(j->o.json) || us_json_read(j->o.json, &json) != US_OK) return 0;
  const cJSON* hashes = cJSON_GetObjectItemCaseSensitive(json, "hashes");
  const char* run = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(hashes, "run"));
  int same = run && strcmp(run, j->key) == 0;
  cJSON_Delete(json);
  return same;
}

static UsStatus choose_factors(UsEvalJob* j) {
  const UsEvalOptions* o = &j->o;
  if (o->range) US_TRY(us_vary_range("--vary-range", o->range, &j->range));
  return o->vary ? us_vary_choose("--vary", o->vary, j->sim, &j->vary) : US_OK;
}

static UsStatus open_journal(UsEvalJob* j) {
  char path[4096];
  snprintf(path, sizeof(path), "%s.journal", j->o.json);
  US_TRY(find_key(j));
  j->complete = j->o.resume && is_complete(j);
  if (!j->complete) return us_journal_open(path, j->key, j->o.resume, &j->journal);
  unlink(path);  // a kill may have left it
  return US_OK;
}

UsStatus us_eval_open(UsEvalJob* j) {
  const UsEvalOptions* o = &j->o;
  US_TRY(check_output(o->json));
  US_TRY(us_lock_take(o->json, &j->lock));
  j->pool = us_pool_create(o->threads);
  if (!j->pool) return us_fail(US_MEMORY, "out of memory");
  US_TRY(us_dataset_open(o->data, &j->data));
  US_TRY(open_task(j));
  US_TRY(us_dataset_hash(j->data, j->data_hash));
  US_TRY(open_model(j, US_ROW_model, o->model));
  US_TRY(open_model(j, US_ROW_state, o->state_model));
  US_TRY(open_sims(j));
  US_TRY(choose_factors(j));
  US_TRY(us_pairs_draw(j->data, j->sim, (uint64_t)o->seed, o->episodes, us_env_info(j->sim)->block,
                       us_protocol_steps(j->protocol->ahead, j->task), j->protocol->keep_solved,
                       &j->pairs));
  US_TRY(check_films(j));
  return open_journal(j);
}

static void free_options(UsEvalOptions* o) {
  char* text[] = {o->task, o->model, o->state_model, o->data, o->protocol,
                  o->json, o->rows,  o->planner,     o->vary, o->range};
  for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) free(text[i]);
}

void us_eval_close(UsEvalJob* j) {
  for (int k = 0; k < US_ROW_COUNT; k++) {
    us_result_free(&j->result[k]);
    us_env_close(j->answer[k]);
  }
  us_journal_close(j->journal, 0);
  us_lock_release(j->lock);
  us_pairs_free(&j->pairs);
  us_env_close(j->sim);
  us_dataset_close(j->data);
  us_pool_destroy(j->pool);
  free_options(&j->o);
}

// ---- running ----

const char* us_eval_planner_name(const UsEvalJob* j, UsEvalRow row) {
  if (row_table[row].planner) return row_table[row].planner;
  return j->o.planner ? j->o.planner : us_planners[0]->name;
}

static UsStatus run_row(UsEvalJob* j, UsEvalRow row) {
  if (!j->on[row]) return US_OK;
  UsPlannerConfig config = j->o.plan;
  config.pool = j->pool;
  UsEvaluation e = {.label = us_eval_row_names[row],
                    .data = j->data,
                    .pairs = &j->pairs,
                    .count = j->pairs.count,
                    .sim = j->sim,
                    .answer = j->answer[row] ? j->answer[row] : j->sim,
                    .sees = row_table[row].sees,
                    .budget = us_protocol_steps(j->protocol->budget, j->task),
                    .rest = j->protocol->rest,
                    .stop_at_hit = j->o.stop_at_hit,
                    .vary = j->vary.count ? &j->vary : NULL,
                    .range = j->range,
                    .vary_seed = (uint64_t)j->o.seed,
                    .subgoals = j->o.subgoals,
                    .recall = us_journal_recall,
                    .keep = us_journal_keep,
                    .keeper = j->journal};
  us_journal_row(j->journal, row);
  if (row == US_ROW_oracle && j->o.oracle_pairs < e.count) e.count = j->o.oracle_pairs;
  US_TRY(us_planner_create(us_eval_planner_name(j, row), e.answer, &config, &e.planner));
  UsStatus status = us_evaluate(&e, &j->result[row]);
  us_planner_destroy(e.planner);
  return status;
}

UsStatus us_eval_run(UsEvalJob* j) {
  for (int k = 0; k < US_ROW_COUNT; k++) US_TRY(run_row(j, (UsEvalRow)k));
  return US_OK;
}

size_t us_eval_film_bytes(const UsEvalJob* j, int blocks) {
  return (size_t)j->o.film_size * (size_t)j->o.film_size * 3 * (size_t)(blocks + 2);
}

UsStatus us_eval_film(const UsEvalJob* j, UsEvalRow row, int n, const int* list, uint8_t* frames) {
  const UsResult* r = &j->result[row];
  UsEnvConfig config = {.slots = 1, .block = r->block, .height = j->o.film_size, .pixels = 1};
  UsEnv* sim;
  US_TRY(us_cli_open_sim(j->task->name, &config, &sim));
  size_t size = us_eval_film_bytes(j, r->blocks);
  UsStatus status = US_OK;
  UsProgress bar = us_progress_start("film", "episodes", n, 0);
  for (int k = 0; k < n && status == US_OK; k++) {
    status = us_result_film(r, j->data, &j->pairs, list[k], j->protocol->rest, sim,
                            frames + (size_t)k * size);
    if (status == US_OK) status = us_progress_step(&bar, k + 1, j->o.json);
  }
  us_progress_end(&bar);
  us_env_close(sim);
  return status;
}
