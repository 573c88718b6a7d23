// us_finetune: the predictor of one task with its actions, and all that makes a model folder whole.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/robots.h"
#include "datasets/training/success_pairs.h"
#include "datasets/training/training_job.h"
#include "env/task.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/model_folder.h"

#define US_SETTING_OF UsFinetuneConfig
const UsSetting us_finetune_settings[] = {US_FINETUNE_SETTINGS(US_SETTING_ROW) US_SETTING_END};
#undef US_SETTING_OF
#define US_SETTING_OF UsTrainingConfig
static const UsSetting settings[] = {US_FINETUNE_SETTINGS(US_SETTING_ROW) US_SETTING_END};

enum { kContexts = 256 };
// An open-loop error of held-back samples, of repeating the last frame.
static const double well = 0.15;

UsFinetuneConfig us_finetune_defaults(void) {
  UsFinetuneConfig c = {0};
  us_settings_default(us_finetune_settings, &c);
  return c;
}

// ---- the predictor to start from ----

// Takes over a pretrained predictor, *adopted; where there is none to take and none was asked for,
// says in one line why and starts from scratch.
static UsStatus adopt(UsTrainingJob* j, int* adopted) {
  const char *init = j->c.init, *name = init ? init : "the embedded predictor";
  int must = init || j->train.action_only;  // what was asked for by name, or cannot be missed
  UsPredictor* source = NULL;
  char hash[US_HASH_CHARS] = "";
  UsStatus status = us_pretrained_open(init ? init : "default", j->device, &source, hash);
  if (status != US_OK) {
    if (must) return status;
    us_log("starting from scratch: %s", us_message());
    return US_OK;
  }
  // It fits when it knows these tokens and has these sizes.
  const char* why = NULL;
  if (strcmp(hash, us_encoder_info(j->data.encoder)->hash) != 0) {
    why = "was trained on the tokens of another encoder";
  } else if (!us_predictor_adopt(j->p, source)) {
    why = "has other sizes than asked for";
  }
  us_predictor_destroy(source);
  *adopted = !why;
  if (!why && init && strcmp(init, "default") != 0) {
    char path[4096];
    US_TRY(us_hash_file(us_path_join(path, sizeof(path), init, "config.json"), j->init[0]));
    US_TRY(us_hash_file(us_path_join(path, sizeof(path), init, "model.safetensors"), j->init[1]));
  }
  if (!why) return us_pretrained_training(init ? init : "default", &j->pretrained);
  if (must) return us_fail(US_FORMAT, "%s: %s", name, why);
  us_log("starting from scratch: %s %s", name, why);
  return US_OK;
}

// ---- the folder ----

// Start contexts from training episodes: C frames, one block apart, and the `past` blocks between
// them behind all of them.
static UsStatus draw_contexts(const UsTrainingJob* j, float** context, float** past) {
  const UsPredictorConfig* c = us_predictor_config(j->p);
  const UsSamplerConfig config = {.seed = j->c.seed,
                                  .use = US_SAMPLE_STARTS,
                                  .frames = c->context,
                                  .block = c->block,
                                  .episodes = j->data.trained[0]};
  // Each is a batch of one sample, whose place is in the arrays of all.
  size_t each = (size_t)c->context * (size_t)(c->grid_h * c->grid_w * c->dim);
  size_t moves = (size_t)c->past * (size_t)(c->block * c->action);
  float times[US_CONTEXT_MAX];
  UsSampler* s = NULL;
  US_TRY(us_sampler_create(j->data.data[0], j->data.features[0], &config, &s));
  *context = malloc(kContexts * each * sizeof(float));
  *past = malloc((kContexts * moves + 1) * sizeof(float));
  for (int i = 0; *context && *past && i < kContexts; i++) {
    UsBatch one = {.batch = 1,
                   .frames = c->context,
                   .latents = *context + (size_t)i * each,
                   .times = times,
                   .actions = c->past ? *past + (size_t)i * moves : NULL};
    us_sampler_source(s, i, 0, &one);
  }
  us_sampler_destroy(s);
  return *context && *past ? US_OK : us_fail(US_MEMORY, "%s: out of memory", j->c.out);
}

// What the head does on held-back pairs, for config.json and the caller.
static void note_success(const UsSuccessHead* head, cJSON* notes, UsTrainResult* result) {
  const UsSuccessFigures f = *us_success_figures(head);
  result->success = f;
  cJSON* note = cJSON_AddObjectToObject(notes, "success");
  us_json_add(note, "auroc", f.auroc);
  us_json_add(note, "threshold", f.threshold);
  us_json_add(note, "hits", f.hits);
  us_json_add(note, "alarms", f.alarms);
  us_json_add(note, "pairs", (double)f.pairs);
  us_json_add(note, "solved", (double)f.solved);
}

// Puts the robot into the folder: the data's, else that of its task. *way is to be freed.
static UsStatus put_robot(const UsTrainingJob* j, char** way) {
  UsRobot kept = {0};
  const UsRobot* robot = &kept;
  *way = NULL;
  // A training is not lost for it.
  UsStatus found = us_data_robot(us_dataset_path(j->data.data[0]), &kept);
  if (kept.count == 0 && j->task && j->task->robot) found = j->task->robot(j->task, &robot);
  if (found != US_OK) {
    us_log("%s: the robot is not kept: %s", j->c.out, us_message());
    robot = &kept;
  }
  UsStatus status = robot->count ? us_robot_put(j->c.out, robot) : US_OK;
  char* folder = us_path_absolute(j->c.out);
  if (folder && robot->path) *way = us_path_between(folder, robot->path);
  free(folder);
  us_robot_free(&kept);
  return status;
}

// A task's own whitening is for features of frames, and for a model that predicts them well: of one
// that does not, errors in small features would count (worldmodel/README.md).
static void settle_whiten(UsTrainingJob* j, int chosen, UsValidation v) {
  const int state = us_encoder_info(j->data.encoder)->state;
  if (chosen || !(j->c.whiten > 0)) return;
  if (!state && v.measured && v.open_loop < well) return;
  if (!state) us_log("distances stay plain: held-back error %.3f, not below %g", v.open_loop, well);
  j->c.whiten = 0;
}

// Writes the model folder, config last.
static UsStatus save(const UsTrainingJob* j, UsTrainResult* result) {
  const UsDatasetInfo* info = us_dataset_info(j->data.data[0]);
  float *context = NULL, *past = NULL;
  UsSuccessHead* head = NULL;
  cJSON* notes = us_training_notes(j, result->validation);
  UsStatus status = draw_contexts(j, &context, &past);
  // A run that is cut short is so throughout.
  int steps = j->c.success_steps;
  if (j->c.steps > 0 && steps > j->c.steps) steps = j->c.steps;
  if (status == US_OK && steps > 0) {
    status = us_training_success(j, us_predictor_model(j->p), steps, &head);
  }
  if (head) note_success(head, notes, result);
  char* way = NULL;
  if (status == US_OK) status = put_robot(j, &way);
  const UsModelParts parts = {.task = info->task,
                              .dt = info->dt,
                              .camera = info->camera_pose[0] ? info->camera : NULL,
                              .camera_pose = info->camera_pose[0] ? info->camera_pose : NULL,
                              .robot_path = way,
                              .model = us_predictor_model(j->p),
                              .encoder = j->data.encoder,
                              .whiten = j->c.whiten,
                              .contexts = kContexts,
                              .context = context,
                              .past = past,
                              .success = head,
                              .training = notes};
  if (status == US_OK) {
    us_training_clear(j);
    status = us_model_save(j->c.out, &parts);
  }
  us_success_destroy(head);
  cJSON_Delete(notes);
  free(way);
  free(context);
  free(past);
  return status;
}

// ---- a head for a finished folder ----

// The data of the job has to be what the model learned from, beside film or not: its last episodes
// are then held back from both.
static UsStatus open_trained_on(UsTrainingJob* j) {
  static const char* const some[] = {NULL};
  char path[4096];
  cJSON* config;
  US_TRY(us_json_read(us_path_join(path, sizeof(path), j->c.out, "config.json"), &config));
  const cJSON* training = cJSON_GetObjectItemCaseSensitive(config, "training");
  if (cJSON_HasObjectItem(training, "film")) j->films = some;
  UsStatus status = us_training_data_open(j);
  if (status != US_OK) {
    cJSON_Delete(config);
    return status;
  }
  const cJSON* files = cJSON_GetObjectItemCaseSensitive(training, "data");
  const cJSON* first = cJSON_GetArrayItem(files, 0);
  const char* hash = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(first, "sha256"));
  const int same = hash && strcmp(hash, j->data.hash[0]) == 0;
  cJSON_Delete(config);
  if (same) return US_OK;
  return us_fail(US_FORMAT, "%s: expected the trajectories that %s was trained on, found others",
                 us_dataset_path(j->data.data[0]), j->c.out);
}

static UsStatus add_head(UsTrainingJob* j, UsTrainResult* result) {
  char path[4096], encoder[4096];
  UsModel* model = NULL;
  UsSuccessHead* head = NULL;
  if (!j->c.out) return us_fail(US_USAGE, "--out: expected a folder, found none");
  if (!j->paths[0]) return us_fail(US_USAGE, "--data: expected a file, found none");
  US_TRY(us_settings_check(j->list, &j->c));
  if (!j->c.success_steps) return us_fail(US_USAGE, "--success-steps: expected at least 1");
  US_TRY(us_device_open(j->c.device, j->c.fast, &j->device));
  US_TRY(us_folder_check(j->c.out));
  US_TRY(us_lock_take(j->c.out, &j->lock));
  j->pool = us_pool_create(j->c.threads);
  if (!j->pool) return us_fail(US_MEMORY, "out of memory for threads");
  // The model as it is, and the features of its own encoder.
  US_TRY(us_model_open(j->c.out, j->device, &model));
  j->c.encoder = us_path_join(encoder, sizeof(encoder), j->c.out, "encoder");
  UsStatus status = open_trained_on(j);
  if (status == US_OK) status = us_training_data_encode(j);
  if (status == US_OK) {
    status = us_training_success(j, us_model_world(model), j->c.success_steps, &head);
  }
  us_path_join(path, sizeof(path), j->c.out, "success.safetensors");
  if (status == US_OK && !head) status = us_fail(US_FORMAT, "%s: no success head", j->c.out);
  if (status == US_OK) status = us_success_save(head, path);
  if (head) result->success = *us_success_figures(head);
  us_success_destroy(head);
  us_model_destroy(model);
  return status;
}

// ---- the job ----

// What a film needs says nothing without one.
static UsStatus check_film_settings(const UsFinetuneConfig* c) {
  const UsFinetuneConfig own = us_finetune_defaults();
  const char* name = c->label_steps != own.label_steps         ? "label-steps"
                     : c->last_steps != own.last_steps         ? "last-steps"
                     : fabsf(c->last_rate - own.last_rate) > 0 ? "last-rate"
                     : fabsf(c->sure - own.sure) > 0           ? "sure"
                                                               : NULL;
  if ((c->film && c->film[0]) || !name) return US_OK;
  return us_fail(US_USAGE, "--%s: expected --film too, found none", name);
}

UsStatus us_finetune(const UsFinetuneConfig* config, UsTrainResult* result) {
  *result = (UsTrainResult){0};
  const int filmed = config->film && config->film[0];
  const char* mode = config->mode ? config->mode : config->init && !filmed ? "full" : "scratch";
  static const char* const modes[] = {"scratch", "action-only", "full"};
  int known = 0;  // its number from 1
  for (int i = 0; i < 3; i++) known += strcmp(modes[i], mode) == 0 ? i + 1 : 0;
  if (!known) {
    return us_fail(US_USAGE, "--mode: expected scratch, action-only or full, found \"%s\"", mode);
  }
  US_TRY(check_film_settings(config));
  if (config->init && known == 1) {
    return us_fail(US_USAGE, "--init: expected --mode full or action-only too, found scratch%s",
                   config->mode ? "" : ", the default beside --film");
  }
  const char* const paths[] = {config->data, NULL};
  UsTrainingJob j = {.label = "finetune",
                     .list = settings,
                     .c = {US_FINETUNE_SETTINGS(US_TRAINING_COPY)},
                     .paths = paths,
                     .films = filmed ? config->film : NULL,
                     .film_weights = config->film_weights,
                     .acts = 1,
                     .tasks = config->tasks,
                     .given = config->given};
  if (config->success_only) {
    UsStatus status = add_head(&j, result);
    us_training_end(&j, 0);
    return status;
  }
  // Data, encoder, features, a predictor with first weights; those of a pretrained one where it
  // fits. The key of the run then knows what it started from.
  int adopted = 0;
  j.c.mode = mode;
  UsStatus status = us_training_prepare(&j);
  j.train.trunk_rate = j.c.trunk_rate;
  j.train.action_only = known == 2;
  if (status == US_OK && config->whiten > 0 && us_encoder_info(j.data.encoder)->state) {
    status = us_fail(US_USAGE, "--whiten: expected an encoder of frames, found one of states");
  }
  if (status == US_OK && known > 1) status = adopt(&j, &adopted);
  j.c.init = !adopted ? "none" : j.c.init ? j.c.init : "default";
  // Training, then the folder; one that is whole already stays as it is.
  if (status == US_OK) {
    status =
        filmed ? us_training_film_run(&j, adopted, result) : us_training_run(&j, adopted, result);
  }
  if (status == US_OK && !result->complete) {
    settle_whiten(&j, config->whiten > 0, result->validation);
    status = save(&j, result);
  }
  us_training_end(&j, status == US_OK);
  return status;
}
