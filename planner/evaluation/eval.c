// The job: settle what was left open, open everything, run the rows, write.

#include "planner/eval.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/provenance.h"
#include "env/exec.h"
#include "env/scene.h"
#include "env/sim.h"
#include "planner/evaluation/eval_job.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/text.h"
#include "worldmodel/ops.h"

#define US_SETTING_OF UsEvalConfig
const UsSetting us_eval_settings[] = {US_EVAL_SETTINGS(US_SETTING_ROW) US_SETTING_END};

UsEvalConfig us_eval_defaults(void) {
  UsEvalConfig c = {.plan = us_planner_defaults()};
  us_settings_default(us_eval_settings, &c);
  c.plan.horizon = c.plan.replan = 0;
  return c;
}

static const struct {
  const char* planner;
  UsSees sees;
} row_table[US_ROW_COUNT] = {
#define X(name, planner, sees, title) {planner, sees},
    US_EVAL_ROWS(X)
#undef X
};

const char* const us_eval_row_names[US_ROW_COUNT] = {
#define X(name, planner, sees, title) #name,
    US_EVAL_ROWS(X)
#undef X
};

const char* const us_eval_row_titles[US_ROW_COUNT] = {
#define X(name, planner, sees, title) title,
    US_EVAL_ROWS(X)
#undef X
};

// ---- what was asked for ----

// Whether an env of the caller's own answers a row.
static int is_own(const EvalJob* j, UsEvalRow row) {
  return j->c.own && j->c.own_row == row;
}

// Switches the rows on that `rows` asks for or, without it, those that the models allow.
static UsStatus choose_rows(EvalJob* j) {
  int* on = j->result->on;
  int has[US_ROW_COUNT] = {[US_ROW_model] = j->c.model || is_own(j, US_ROW_model),
                           [US_ROW_state] = j->c.state_model || is_own(j, US_ROW_state),
                           [US_ROW_random] = 1,
                           [US_ROW_oracle] = j->c.rows || j->c.oracle_pairs > 0};
  // Without `rows`: all that there is a model for, of which one is meant to be there.
  if (!j->c.rows) {
    if (!j->c.model && !j->c.own) return us_fail(US_USAGE, "--model is missing");
    memcpy(on, has, sizeof(has));
  }
  // With it: the names between the commas, each that of a row which can be run.
  for (const char* at = j->c.rows; at && *at;) {
    size_t n = strcspn(at, ",");
    int k = 0;
    while (k < US_ROW_COUNT &&
           (strlen(us_eval_row_names[k]) != n || strncmp(at, us_eval_row_names[k], n)))
      k++;
    if (k == US_ROW_COUNT) {
      return us_fail(US_USAGE,
                     "--rows: expected some of" US_EVAL_ROWS(US_NAME_SHOWN) ", found \"%.*s\"",
                     (int)n, at);
    }
    if (!has[k]) {
      return us_fail(US_USAGE, "--rows %s: --%s is missing", us_eval_row_names[k],
                     k == US_ROW_model ? "model" : "state-model");
    }
    on[k] = 1;
    at += n + (at[n] == ',');
  }
  // Two spellings of the same rows are one run.
  for (int k = 0; k < US_ROW_COUNT; k++) {
    if (on[k]) strcat(strcat(j->rows, *j->rows ? "," : ""), us_eval_row_names[k]);
  }
  j->c.rows = j->rows;
  if (on[US_ROW_oracle] && j->c.oracle_pairs == 0) {
    j->c.oracle_pairs = (int)us_setting_find(us_eval_settings, "oracle_pairs")->preset;
  }
  return US_OK;
}

// What a robot behind a pipe can do.
static UsStatus settle_robot(EvalJob* j, const UsExec* robot) {
  UsEvalConfig* c = &j->c;
  const char* name = us_shown(robot->command);
  US_TRY(us_exec_need_judge(robot));
  if (c->batch > robot->copies) c->batch = robot->copies;
  c->films = 0;  // its frames are what they are
  int oracle = c->rows ? strstr(c->rows, "oracle") != NULL : c->oracle_pairs > 0;
  if (j->result->protocol->rest) {
    return us_fail(US_UNSUPPORTED,
                   "--protocol %s: starts at rest, and expected a simulator whose velocities are "
                   "known, found exec:%s",
                   c->protocol, name);
  }
  if (!oracle || (robot->restores && robot->copies > 1)) {
    if (oracle && c->batch > robot->copies / 2) c->batch = robot->copies / 2;
    return US_OK;
  }
  const char* need = robot->restores ? "a robot of which two copies may run, one to imagine in"
                                     : "a robot that can be put into a state";
  if (c->rows) {
    return us_fail(US_UNSUPPORTED, "--rows oracle: expected %s, found exec:%s", need, name);
  }
  if (j->data) us_log("exec:%s: no row oracle, which needs %s", name, need);
  c->oracle_pairs = 0;
  return US_OK;
}

// Fills in what was left to the task or to the protocol, and checks the rest.
static UsStatus settle(EvalJob* j) {
  UsEvalConfig* c = &j->c;
  // The task's own settings, where the caller chose none.
  const UsTask* task = j->result->task;
  if (c->given && task->settings) {
    US_TRY(us_task_settings(task, "eval", c->given, us_eval_settings, c));
    US_TRY(us_task_settings(task, "eval", c->given, us_planner_settings, &c->plan));
  }
  if (c->vary_range && !c->vary) return us_fail(US_USAGE, "--vary-range: expected --vary too");
  US_TRY(us_gl_check(c->gl));
  // The first of their lists.
  if (!c->protocol) c->protocol = us_protocols[0].name;
  if (c->own_planner) c->planner = c->own_planner->name;
  if (!c->planner) c->planner = us_planners[0]->name;
  const UsProtocol* p = us_protocol_find(c->protocol);
  if (!p) return us_fail(US_USAGE, "--protocol: there is no \"%s\"", c->protocol);
  // The protocol's sizes, where no others were asked for.
  j->result->protocol = p;
  if (c->episodes == 0) c->episodes = p->episodes;
  if (c->plan.horizon == 0) c->plan.horizon = p->horizon;
  if (c->plan.replan == 0) c->plan.replan = p->replan;
  c->plan.seed = c->seed;
  // Every number in its range, and those of the planner among themselves.
  US_TRY(us_settings_check(us_eval_settings, c));
  if (c->batch > c->episodes) c->batch = c->episodes;
  if (task->exec) US_TRY(settle_robot(j, task->exec));
  if (!c->own_planner) US_TRY(us_planner_check(c->planner, &c->plan));
  return choose_rows(j);
}

// ---- opening ----

static UsStatus find_task(EvalJob* j) {
  const char* name = us_dataset_info(j->data)->task;
  if (j->c.task && strcmp(j->c.task, name) != 0) {
    int mjcf = strncmp(name, "mjcf-", 5) == 0;
    return us_fail(US_USAGE, "%s: expected trajectories of the task \"%s\", found \"%s\"%s",
                   j->c.data, j->c.task, name,
                   mjcf ? " (its file as it was, and beside it what collect was told)" : "");
  }
  // The data names its task, which has to be in the list.
  const UsTask* const* t = j->c.tasks;
  while (*t && strcmp((*t)->name, name) != 0) t++;
  if (!*t) {
    int mjcf = strncmp(name, "mjcf-", 5) == 0;
    return us_fail(US_USAGE, "%s: there is no task \"%s\"; %s", j->c.data, name,
                   mjcf                             ? "--task mjcf:FILE.xml names its file"
                   : strncmp(name, "exec-", 5) == 0 ? "--task exec:COMMAND names its robot"
                                                    : "--plugin adds tasks");
  }
  // A model without controls has nothing to plan with.
  j->result->task = *t;
  const char* passive = us_sim_passive(*t);
  if (!passive) return US_OK;
  return us_fail(US_UNSUPPORTED, "task %s: expected a model that can be moved, found %s", name,
                 passive);
}

// Refuses data that the model's folder says it, or the predictor that it started from, was trained
// on.
static UsStatus check_held_out(const EvalJob* j, const char* folder) {
  char path[4096];
  cJSON* config;
  US_TRY(us_json_read(us_path_join(path, sizeof(path), folder, "config.json"), &config));
  const cJSON* training = cJSON_GetObjectItemCaseSensitive(config, "training");
  const cJSON* before = cJSON_GetObjectItemCaseSensitive(training, "pretrained");
  int64_t pretrained = 0, trained = 0, all = us_dataset_info(j->data)->episodes;
  UsStatus status = us_provenance_seen(j->data, training, &trained);
  if (status == US_OK && trained) status = us_provenance_seen(j->data, before, &pretrained);
  cJSON_Delete(config);
  if (status != US_OK || trained == 0) return status;
  if (trained < all) {
    return us_fail(
        US_FORMAT,
        "%s: expected held-out trajectories, found %lld of its %lld episodes among those "
        "that %s was %strained on",
        j->c.data, (long long)trained, (long long)all, folder, pretrained ? "pre" : "");
  }
  return us_fail(US_FORMAT,
                 "%s: expected held-out trajectories, found those that %s was %strained on",
                 j->c.data, folder, pretrained ? "pre" : "");
}

static UsStatus open_model(EvalJob* j, UsEvalRow row, const char* folder) {
  if (!j->result->on[row]) return US_OK;
  char name[4096];
  snprintf(name, sizeof(name), "model:%s", folder ? folder : "");
  // One slot an episode of a batch.
  UsEnvConfig config = {.slots = j->c.batch, .pool = j->pool, .device = j->device};
  if (is_own(j, row)) {
    config.block = j->result->task->block;
    US_TRY(j->c.own(j->c.user, row, &config, &j->answer[row]));
    folder = us_env_info(j->answer[row])->name;
  } else {
    US_TRY(us_env_open(name, NULL, &config, &j->answer[row]));
    US_TRY(check_held_out(j, folder));
  }
  const UsEnvInfo* info = us_env_info(j->answer[row]);
  if (strcmp(info->task, j->result->task->name) != 0) {
    return us_fail(US_FORMAT, "%s: expected a model of the task \"%s\", found \"%s\"", folder,
                   j->result->task->name, info->task);
  }
  // A model's blocks last as long as the data's, or it imagines another pace.
  const double dt = us_dataset_info(j->data)->dt;
  if (info->dt > 0 && dt > 0 && fabs(info->dt - dt) > 0.01 * dt) {
    return us_fail(US_FORMAT, "%s: expected env steps of %g s as in %s, found a model of %g s",
                   folder, dt, j->c.data, info->dt);
  }
  if (row == US_ROW_model && info->height == 0) {
    return us_fail(US_FORMAT,
                   "%s: expected a model of frames, found one of true states (--state-model and "
                   "--rows state are for those)",
                   folder);
  }
  return US_OK;
}

// What draws the frames of this run. Goals are frames of the file, whose renderer may be another.
static UsStatus find_renderer(EvalJob* j, const char* sim) {
  const char* theirs = us_dataset_info(j->data)->renderer;
  US_TRY(us_gl_renderer(sim, j->c.gl, j->renderer, sizeof(j->renderer)));
  if (*theirs && !us_gl_same(theirs, j->renderer)) {
    us_log("%s: its frames were drawn by %s, those of this run are by %s", j->c.data, theirs,
           j->renderer);
  }
  return US_OK;
}

// Frames are of the camera of the file, whose goals are frames too, and which is that of the model;
// where the file does not say, of the model's.
static UsStatus find_camera(const EvalJob* j, const UsEnvInfo* model, UsEnvConfig* config) {
  const UsDatasetInfo* data = us_dataset_info(j->data);
  if (!j->result->task->model) return US_OK;
  int placed = data->camera_pose[0] || strcmp(data->camera, US_SCENE_CAMERA) != 0;
  int said = data->camera[0] && placed;
  if (!said && !model->camera[0] && !placed) {
    return us_fail(US_FORMAT,
                   "%s: expected the pose of camera %s, found frames of an earlier version without "
                   "it: collect them anew",
                   j->c.data, data->camera);
  }
  if (!said && !model->camera[0]) return US_OK;
  config->camera = said ? data->camera : model->camera;
  config->camera_pose = said ? data->camera_pose : model->camera_pose;
  int same = !said || !model->camera[0] || !data->camera_pose[0] ||
             (strcmp(model->camera, data->camera) == 0 &&
              strcmp(model->camera_pose, data->camera_pose) == 0);
  if (same) return US_OK;
  return us_fail(US_FORMAT,
                 "%s: expected frames of camera %s (%s), as %s was trained on, found those of %s "
                 "(%s)",
                 j->c.data, model->camera, model->camera_pose, j->c.model, data->camera,
                 data->camera_pose);
}

// The truth plays the blocks of the models and renders the frames that they see.
static UsStatus open_sims(EvalJob* j) {
  const int* on = j->result->on;
  const UsProtocol* protocol = j->result->protocol;
  UsEnv* like = on[US_ROW_model] ? j->answer[US_ROW_model] : j->answer[US_ROW_state];
  UsEnvConfig config = {
      .slots = j->c.batch, .pool = j->pool, .pixels = on[US_ROW_model], .gl = j->c.gl};
  if (like) config.block = us_env_info(like)->block;
  if (on[US_ROW_model]) {
    config.height = us_env_info(like)->height;
    config.width = us_env_info(like)->width;
    US_TRY(find_camera(j, us_env_info(like), &config));
  }
  char name[256];
  snprintf(name, sizeof(name), "sim:%s", j->result->task->name);
  US_TRY(us_env_open(name, j->c.tasks, &config, &j->sim));
  if (on[US_ROW_model] && j->result->task->exec)
    snprintf(j->renderer, sizeof(j->renderer), "robot");
  if (on[US_ROW_model] && !j->result->task->exec) US_TRY(find_renderer(j, name));
  // The budget is spent in whole blocks, of which the first half has room for sub-goals.
  int block = us_env_info(j->sim)->block;
  int budget = us_protocol_steps(protocol->budget, j->result->task);
  if (budget % block != 0) {
    return us_fail(US_USAGE, "protocol %s: a budget of %d env steps is no multiple of blocks of %d",
                   protocol->name, budget, block);
  }
  int most = us_most_subgoals(budget / block);
  if (j->c.subgoals > most) {
    return us_fail(US_USAGE, "--subgoals: expected at most %d in a budget of %d blocks, found %d",
                   most, budget / block, j->c.subgoals);
  }
  // The oracle imagines in a simulator of its own, which draws nothing.
  config.pixels = 0;
  return on[US_ROW_oracle] ? us_env_open(name, j->c.tasks, &config, &j->answer[US_ROW_oracle])
                           : US_OK;
}

// ---- the file ----

// Films are kept in memory until they are written: fails before the work that they would end.
static UsStatus check_films(const EvalJob* j) {
  const UsEvalResult* r = j->result;
  if (!j->c.json || !r->on[US_ROW_model] || j->c.films == 0) return US_OK;
  int blocks = us_protocol_steps(r->protocol->budget, r->task) / us_env_info(j->sim)->block;
  int films = j->c.films < r->pairs.count ? j->c.films : r->pairs.count;
  double bytes = (double)films * (double)us_eval_film_bytes(j, blocks);
  US_TRY(us_machine_need_memory("--films", bytes));
  return us_machine_need_disk(j->c.json, bytes);
}

// Hashes everything that the results depend on: the two lists of settings, and what the files and
// the libraries are.
static UsStatus find_key(EvalJob* j) {
  const UsEnv* const* answer = (const UsEnv* const*)j->answer;
  cJSON* key = cJSON_CreateObject();
  // A renderer is its name, without the version.
  char renderer[sizeof(j->renderer)];
  us_gl_name(j->renderer, renderer, sizeof(renderer));
  // What was asked for: every setting that its list says a result depends on.
  us_settings_key(us_eval_settings, &j->c, key);
  us_settings_key(us_planner_settings, &j->c.plan, key);
  // What it was asked of: the program, its libraries, data and models.
  cJSON_AddStringToObject(key, "version", US_VERSION);
  cJSON_AddStringToObject(key, "mujoco", mj_versionString());
  cJSON_AddStringToObject(key, "ops", us_ops_name(us_device_cpu()));
  if (j->device != us_device_cpu()) {
    char device[256];
    cJSON_AddStringToObject(key, "device", us_device_text(j->device, device, sizeof(device)));
  }
  cJSON_AddStringToObject(key, "pairs", j->result->pairs.hash);
  if (j->goal.pixels) {
    char frame[US_HASH_CHARS];
    us_hash_bytes(j->goal.pixels, us_frame_bytes(j->goal.height, j->goal.width), frame);
    cJSON_AddStringToObject(key, "goal", frame);
  }
  cJSON_AddStringToObject(key, "renderer", renderer);
  cJSON_AddStringToObject(key, "data", j->data_hash);
  for (int k = 0; k < US_ROW_COUNT; k++) {
    cJSON_AddStringToObject(key, us_eval_row_names[k],
                            answer[k] ? us_env_info(answer[k])->hash : "");
  }
  char* text = cJSON_PrintUnformatted(key);
  cJSON_Delete(key);
  if (!text) return us_fail(US_MEMORY, "out of memory");
  us_hash_bytes(text, strlen(text), j->key);
  free(text);
  return US_OK;
}

// 1 if the JSON holds the results of this very run.
static int is_complete(const EvalJob* j) {
  cJSON* json;
  if (!us_file_exists(j->c.json) || us_json_read(j->c.json, &json) != US_OK) return 0;
  const cJSON* hashes = cJSON_GetObjectItemCaseSensitive(json, "hashes");
  const char* run = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(hashes, "run"));
  int same = run && strcmp(run, j->key) == 0;
  cJSON_Delete(json);
  return same;
}

// The goal of all pairs, with a frame where a model is shown one. Who judges is the simulator,
// which takes states.
static UsStatus read_goal(EvalJob* j) {
  const UsEnvInfo* sim = us_env_info(j->sim);
  const int seen = j->result->on[US_ROW_model];
  if (!us_goal_has_state(j->c.goal)) {
    return us_fail(
        US_UNSUPPORTED,
        "--goal %s: expected a state or a row of trajectories, by which the simulator can "
        "judge, found neither (view plans to a picture)",
        us_shown(j->c.goal));
  }
  if (j->c.subgoals) return us_fail(US_USAGE, "expected --goal or --subgoals, found both");
  return us_goal_read(j->c.goal, j->sim, seen ? sim->height : 0, seen ? sim->width : 0, &j->goal);
}

// Results replace results: neither what is read nor anything of another kind.
static UsStatus check_json(const UsEvalConfig* c) {
  char config[2][4096];
  const char* folders[] = {c->model, c->state_model};
  const char* inputs[4] = {c->data};
  for (int i = 0, n = 1; i < 2; i++) {
    if (folders[i]) inputs[n++] = us_path_join(config[i], 4096, folders[i], "config.json");
  }
  return us_file_replaceable(c->json, "{", inputs);
}

// Opens what the rows need, draws the pairs and opens the journal beside the JSON.
static UsStatus open_all(EvalJob* j) {
  UsEvalConfig* c = &j->c;
  UsEvalResult* r = j->result;
  char path[4096];
  if (!c->data) return us_fail(US_USAGE, "--data is missing");
  if (!c->tasks) return us_fail(US_USAGE, "an evaluation needs a list of tasks");
  // The data, whose task has a say in what was left open.
  US_TRY(us_dataset_open(c->data, &j->data));
  if (us_dataset_info(j->data)->action == 0) {
    return us_fail(US_FORMAT,
                   "%s: expected trajectories with actions and states, found film: no simulator "
                   "can start from it",
                   c->data);
  }
  US_TRY(find_task(j));
  US_TRY(settle(j));
  // The output: it can be written, and nobody else writes it.
  if (c->json) {
    const char* slash = strrchr(c->json, '/');
    snprintf(path, sizeof(path), "%.*s", slash ? (int)(slash - c->json) + 1 : 1,
             slash ? c->json : ".");
    if (access(path, W_OK) != 0) {
      return us_fail(US_IO, "%s: expected a folder that can be written, found: %s", path,
                     strerror(errno));
    }
    US_TRY(us_lock_take(c->json, &j->lock));
    US_TRY(check_json(c));
  }
  j->pool = c->plan.pool = us_pool_create(c->threads);
  if (!j->pool) return us_fail(US_MEMORY, "out of memory");
  // The envs: models, none of which has seen this data, then the truth, which renders what they
  // see, and the oracle.
  US_TRY(us_dataset_hash(j->data, j->data_hash));
  US_TRY(open_model(j, US_ROW_model, c->model));
  US_TRY(open_model(j, US_ROW_state, c->state_model));
  US_TRY(open_sims(j));
  // Factors under the names by which the simulator lists them: two spellings of the same are one
  // run.
  if (c->vary_range) US_TRY(us_vary_range("--vary-range", c->vary_range, &j->range));
  if (c->vary) {
    US_TRY(us_vary_choose("--vary", c->vary, j->sim, &j->vary));
    us_vary_names(&j->vary, j->sim, j->drawn, sizeof(j->drawn));
    c->vary = j->drawn;
    c->vary_range = us_vary_range_names[j->range];
  }
  // What is played: pairs of a start and a goal.
  if (c->goal) US_TRY(read_goal(j));
  US_TRY(us_pairs_draw_to(j->data, j->sim, c->seed, c->episodes, us_env_info(j->sim)->block,
                          us_protocol_steps(r->protocol->ahead, r->task), r->protocol->keep_solved,
                          j->goal.state, &r->pairs));
  US_TRY(check_films(j));
  // The journal, where the results are not there yet; of those that are a kill may have left it.
  US_TRY(find_key(j));
  if (!c->json) return US_OK;
  snprintf(path, sizeof(path), "%s.journal", c->json);
  r->complete = c->resume && is_complete(j);
  if (!r->complete) return us_journal_open(path, j->key, c->resume, &j->journal);
  unlink(path);
  return US_OK;
}

// ---- running ----

static UsStatus run_row(EvalJob* j, UsEvalRow row) {
  UsEvalResult* r = j->result;
  if (!r->on[row]) return US_OK;
  UsEvaluation e = {.label = us_eval_row_names[row],
                    .data = j->data,
                    .pairs = &r->pairs,
                    .count = r->pairs.count,
                    .sim = j->sim,
                    .answer = j->answer[row] ? j->answer[row] : j->sim,
                    .sees = row_table[row].sees,
                    .budget = us_protocol_steps(r->protocol->budget, r->task),
                    .rest = r->protocol->rest,
                    .stop_at_hit = j->c.stop_at_hit,
                    .vary = j->vary.count ? &j->vary : NULL,
                    .range = j->range,
                    .vary_seed = j->c.seed,
                    .subgoals = j->c.subgoals,
                    .goal = j->goal.pixels};
  // Finished batches go to the journal, and come from it where an earlier run was stopped.
  if (j->journal) {
    us_journal_row(j->journal, row);
    e.recall = us_journal_recall;
    e.keep = us_journal_keep;
    e.keeper = j->journal;
  }
  if (row == US_ROW_oracle && j->c.oracle_pairs < e.count) e.count = j->c.oracle_pairs;
  // The floor has a planner of its own.
  const char* floor = row_table[row].planner;
  UsStatus made =
      j->c.own_planner && !floor
          ? us_planner_make(j->c.own_planner, e.answer, &j->c.plan, &e.planner)
          : us_planner_create(floor ? floor : j->c.planner, e.answer, &j->c.plan, &e.planner);
  US_TRY(made);
  UsStatus status = us_evaluate(&e, &r->row[row]);
  us_planner_destroy(e.planner);
  return status;
}

static UsStatus run_all(EvalJob* j) {
  UsEvalResult* r = j->result;
  // What is wrong with the settings is said before anything is opened, where --task names the task.
  const UsTask* const* t = j->c.tasks;
  while (t && j->c.task && *t && strcmp((*t)->name, j->c.task) != 0) t++;
  if (t && j->c.task && *t) {
    UsEvalResult nothing = {.task = *t};
    EvalJob early = {.c = j->c, .result = &nothing};
    US_TRY(settle(&early));
  }
  US_TRY(us_device_open(j->c.device, j->c.fast, &j->device));
  US_TRY(open_all(j));
  if (r->complete) return US_OK;
  for (int k = 0; k < US_ROW_COUNT; k++) US_TRY(run_row(j, (UsEvalRow)k));
  // What varied in the pairs: all rows vary alike, so the first speaks for them.
  int first = 0;
  while (!r->on[first]) first++;
  const UsVary* varied = &r->row[first].vary;
  us_vary_names(varied, j->sim, r->vary, sizeof(r->vary));
  const char* range =
      j->vary.count ? us_vary_range_names[j->range] : us_dataset_info(j->data)->variation_range;
  if (varied->count) snprintf(r->vary_range, sizeof(r->vary_range), "%s", range);
  // What MuJoCo had to say: the truth played every row's episodes; the oracle's env imagined.
  const UsEnv* oracle = j->answer[US_ROW_oracle];
  UsWarnings *played = &r->played, *imagined = &r->imagined;
  played->count = us_sim_warnings(j->sim, played->kinds, sizeof(played->kinds));
  if (oracle) imagined->count = us_sim_warnings(oracle, imagined->kinds, sizeof(imagined->kinds));
  // The results, with the films; when they are safe, the journal goes.
  if (!j->c.json) return US_OK;
  cJSON* json = us_eval_json(j);
  UsStatus status = us_eval_add_films(j, json);
  if (status == US_OK) status = us_json_write(j->c.json, json);
  cJSON_Delete(json);
  us_journal_close(j->journal, status == US_OK);
  j->journal = NULL;
  return status;
}

UsStatus us_eval(const UsEvalConfig* config, UsEvalResult* out) {
  US_ASSERT(config && out);
  *out = (UsEvalResult){0};
  EvalJob j = {.c = *config, .result = out};
  UsStatus status = run_all(&j);
  for (int k = 0; k < US_ROW_COUNT; k++) us_env_close(j.answer[k]);
  us_journal_close(j.journal, 0);
  us_lock_release(j.lock);
  us_env_close(j.sim);
  us_dataset_close(j.data);
  us_goal_free(&j.goal);
  us_device_close(j.device);
  us_pool_destroy(j.pool);
  if (status != US_OK) us_eval_free(out);
  return status;
}

void us_eval_free(UsEvalResult* r) {
  for (int k = 0; k < US_ROW_COUNT; k++) us_result_free(&r->row[k]);
  us_pairs_free(&r->pairs);
  *r = (UsEvalResult){0};
}
