// The stages of a training job around its data: the folder, the key, the trainer's run, the notes.

#include "datasets/training/training_job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/provenance.h"
#include "env/task.h"
#include "worldmodel/base/frame.h"

enum { kPath = 4096, kNormalise = 32 };

static const char* in_folder(const UsTrainingJob* j, char path[kPath], const char* name) {
  return us_path_join(path, kPath, j->c.out, name);
}

// ---- preparing ----

// Checks what does not need the data.
static UsStatus check_settings(const UsTrainingJob* j) {
  const UsTrainingConfig* c = &j->c;
  if (!j->paths || !j->paths[0]) return us_fail(US_USAGE, "--data: expected a file, found none");
  if (!c->out) return us_fail(US_USAGE, "--out: expected a folder, found none");
  US_TRY(us_settings_check(j->list, &j->c));
  if (c->steps < 1 && !(c->minutes > 0)) {
    return us_fail(US_USAGE, "--steps: expected at least 1, or --minutes, found %d", c->steps);
  }
  if (c->leap > c->rollout) {
    return us_fail(US_USAGE, "--leap: expected at most --rollout %d, which trains leaps, found %d",
                   c->rollout, c->leap);
  }
  if (c->overwrite && c->resume) {
    return us_fail(US_USAGE, "expected --resume or --overwrite, found both");
  }
  return US_OK;
}

static UsStatus take_folder(UsTrainingJob* j) {
  char path[kPath];
  const UsTrainingConfig* c = &j->c;
  // From here on the folder is this run's, or somebody else's.
  US_TRY(us_folder_make_above(c->out));
  US_TRY(us_lock_take(c->out, &j->lock));
  // What is in it is neither lost nor gone on with unasked.
  if (c->overwrite || c->resume) return US_OK;
  if (us_file_exists(in_folder(j, path, "config.json"))) {
    return us_fail(US_USAGE, "%s: is there already; --overwrite replaces it", c->out);
  }
  if (us_file_exists(in_folder(j, path, "checkpoint.safetensors"))) {
    return us_fail(US_USAGE,
                   "%s: holds a stopped run; --resume continues it, --overwrite starts anew",
                   c->out);
  }
  return US_OK;
}

UsStatus us_training_prepare(UsTrainingJob* j) {
  // What the settings leave open.
  if (!j->c.encoder) j->c.encoder = "default";
  // The stages: each needs those before it, and all leave what us_training_end frees.
  US_TRY(check_settings(j));
  US_TRY(us_device_open(j->c.device, j->c.fast ? US_FAST_FEATURES : 0, &j->device));
  US_TRY(take_folder(j));
  j->pool = us_pool_create(j->c.threads);
  if (!j->pool) return us_fail(US_MEMORY, "out of memory for threads");
  US_TRY(us_training_data_open(j));
  if (j->task) US_TRY(us_task_settings(j->task, j->label, j->given, j->list, &j->c));
  US_TRY(us_training_data_encode(j));
  if (j->films) US_TRY(us_training_film_open(j));
#define X(type, name, ...) j->train.name = j->c.name;
  US_TRAIN_SETTINGS(X)
#undef X
  // The predictor for these tokens and actions, of the sizes that the run chose, with first
  // weights.
  const UsEncoderInfo* e = us_encoder_info(j->data.encoder);
  int action = j->acts ? us_dataset_info(j->data.data[0])->action : j->data.latent;
  UsPredictorConfig c =
      us_predictor_config_default(e->grid_h, e->grid_w, e->dim, action ? j->data.block : 1, action);
#define X(type, name, ...) c.name = j->c.name;
  US_PREDICTOR_SETTINGS(X)
#undef X
  c.action_hidden = c.width;
  c.past = c.action > 0 && !j->c.no_past ? c.context - 1 : 0;
  c.residual = !j->c.no_residual;
  c.device = j->device;
  US_TRY(us_predictor_create("options", &c, &j->p));
  US_TRY(us_predictor_init(j->p, j->c.seed));
  if (!j->data.latent) return US_OK;
  return us_latent_create(j->p, j->c.latent_weight, j->c.seed, &j->latent);
}

UsWorldModel* us_training_model(const UsTrainingJob* j) {
  return j->latent ? us_latent_model(j->latent) : us_predictor_model(j->p);
}

// ---- running ----

// Names all that the result depends on: settings, sizes, encoder, data and how it is kept.
static void make_key(UsTrainingJob* j) {
  char hash[US_HASH_CHARS];
  cJSON* all = cJSON_CreateObject();
  us_settings_key(j->list, &j->c, all);
  // A predictor to start from is what it holds, wherever it lies.
  if (j->init[0][0]) {
    cJSON_ReplaceItemInObjectCaseSensitive(all, "init", cJSON_CreateString(j->init[0]));
    cJSON_AddStringToObject(all, "init_weights", j->init[1]);
  }
  cJSON_AddItemToObject(all, "predictor", us_predictor_config_json(us_predictor_config(j->p)));
  cJSON_AddStringToObject(all, "encoder", us_encoder_info(j->data.encoder)->hash);
  cJSON* files = cJSON_AddArrayToObject(all, "files");
  for (int i = 0; i < j->data.count; i++) {
    cJSON_AddItemToArray(files, cJSON_CreateString(j->data.hash[i]));
  }
  cJSON* shares = j->data.alike ? NULL : cJSON_AddArrayToObject(all, "shares");
  for (int i = 0; shares && i < j->data.count; i++) {
    cJSON_AddItemToArray(shares, cJSON_CreateNumber(j->data.share[i]));
  }
  us_training_film_key(j, all);
  if (us_device_bfloat(j->device)) cJSON_AddStringToObject(all, "features", "bfloat16");
  // The text of all this, hashed; the seed stands beside it for people.
  char* text = cJSON_PrintUnformatted(all);
  us_hash_bytes(text ? text : "", text ? strlen(text) : 0, hash);
  snprintf(j->key, sizeof(j->key), "seed %llu, %.12s", (unsigned long long)j->c.seed, hash);
  free(text);
  cJSON_Delete(all);
}

// With resume: *complete is 1 when the folder holds the finished run of this key. A finished run of
// another is refused.
static UsStatus find_complete(const UsTrainingJob* j, int* complete) {
  char config[kPath], checkpoint[kPath];
  cJSON* json = NULL;
  in_folder(j, config, "config.json");
  if (!j->c.resume || us_file_exists(in_folder(j, checkpoint, "checkpoint.safetensors")) ||
      !us_file_exists(config)) {
    return US_OK;
  }
  US_TRY(us_json_read(config, &json));
  const cJSON* notes = cJSON_GetObjectItemCaseSensitive(json, "training");
  const char* found = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(notes, "key"));
  *complete = found && strcmp(found, j->key) == 0;
  cJSON_Delete(json);
  if (*complete) return US_OK;
  return us_fail(US_FORMAT,
                 "%s: expected a stopped run, found a finished one of other data or options; "
                 "--overwrite replaces it",
                 j->c.out);
}

// Files of stages, which a whole folder does not need.
static const char* const passing[] = {"checkpoint.safetensors", "checkpoint-full.safetensors",
                                      "checkpoint-alone.safetensors", "labels.safetensors"};

static void drop_passing(const UsTrainingJob* j, int from) {
  char path[kPath];
  for (int i = from; i < (int)(sizeof(passing) / sizeof(*passing)); i++) {
    unlink(in_folder(j, path, passing[i]));
  }
}

// How much of the first file's frames changes within a second, by some pairs of them.
static UsStatus find_changing(const UsTrainingJob* j, double* changing) {
  enum { kPairs = 32 };
  UsDataset* d = j->data.data[0];
  const UsDatasetInfo* info = us_dataset_info(d);
  const size_t frame = us_frame_bytes(info->height, info->width);
  int pairs = 0, second = info->dt > 0 ? (int)(1 / info->dt + 0.5) : j->data.block;
  *changing = NAN;
  uint8_t* two = frame ? malloc(2 * frame) : NULL;
  double sum = 0;
  UsStatus status = US_OK;
  for (int i = 0; two && i < kPairs && status == US_OK; i++) {
    // Of an episode's first second and of its last.
    int64_t e = i * info->episodes / kPairs, at = us_dataset_offsets(d)[e];
    int length = us_dataset_lengths(d)[e], gap = second < length - 1 ? second : length - 1;
    if (i % 2) at += length - 1 - gap;
    if (gap < 1) continue;
    status = us_dataset_pixels(d, at, 1, two);
    if (status == US_OK) status = us_dataset_pixels(d, at + gap, 1, two + frame);
    sum += us_frame_change(frame / 3, two, two + frame);
    pairs++;
  }
  free(two);
  if (pairs) *changing = sum / pairs;
  return status;
}

UsStatus us_training_begin(UsTrainingJob* j, UsTrainResult* result) {
  // What the result may have to be explained by.
  const UsDatasetInfo* info = us_dataset_info(j->data.data[0]);
  US_TRY(find_changing(j, &result->changing));
  int own = info->camera_pose[0] || (j->task && j->task->model) || !strcmp(info->version, "import");
  result->unseen = own && strcmp(j->c.encoder, "default") == 0;
  // Samples for training and validation.
  j->train = us_train_defaults(us_training_model(j), &j->train);
  int held_frames = us_predictor_config(j->p)->context + j->train.horizon;
  US_TRY(us_training_data_sample(j, j->train.frames, held_frames));
  // A folder that is whole needs no trainer.
  make_key(j);
  US_TRY(find_complete(j, &result->complete));
  if (result->complete) return US_OK;
  // What later stages of another run left would be taken for this one's.
  if (!j->c.resume) drop_passing(j, 1);
  return us_folder_make(j->c.out);
}

UsStatus us_training_stage(UsTrainingJob* j, const UsTrainingStage* stage, UsValidation* v) {
  char log[kPath], checkpoint[kPath];
  int bfloat = us_device_bfloat(j->device);
  const UsTrainData held = {j->data.holds ? us_training_held_source : NULL, &j->data, 0, bfloat};
  UsTrainData train = stage->data;
  train.bfloat = bfloat;
  us_trainer_destroy(j->t);
  j->t = NULL;
  // The trainer and its way through all steps.
  US_TRY(us_trainer_create(us_training_model(j), &stage->train, train, held, j->pool, &j->t));
  // Weights without a normalisation take that of their data.
  if (!stage->ready) US_TRY(us_trainer_normalise(j->t, kNormalise));
  // The queries of a trunk that was trained before drown actions that are not brought to their
  // scale.
  if (stage->fresh) US_TRY(us_trainer_balance(j->t));
  const UsTrainRun run = {.label = stage->label,
                          .log = in_folder(j, log, stage->log),
                          .checkpoint = in_folder(j, checkpoint, stage->checkpoint),
                          .key = stage->key,
                          .checkpoint_seconds = j->c.checkpoint_seconds,
                          .resume = j->c.resume};
  US_TRY(us_trainer_run(j->t, &run, v));
  j->steps = us_trainer_steps(j->t);
  return US_OK;
}

int us_training_normalised(const UsTrainingJob* j, int ready) {
  return j->data.mean[0] || (ready && !j->c.renormalise && us_predictor_normalised(j->p));
}

int us_training_balances(const UsTrainingJob* j, int ready) {
  return ready ? !j->c.no_balance : j->c.balance;
}

UsStatus us_training_run(UsTrainingJob* j, int ready, UsTrainResult* result) {
  US_TRY(us_training_begin(j, result));
  if (result->complete) return US_OK;
  UsTrainingStage only = {.label = j->label,
                          .log = "log.jsonl",
                          .checkpoint = passing[0],
                          .train = j->train,
                          .data = {us_training_source, &j->data, 0, 0},
                          .ready = us_training_normalised(j, ready),
                          .fresh = us_training_balances(j, ready)};
  snprintf(only.key, sizeof(only.key), "%s", j->key);
  US_TRY(us_training_stage(j, &only, &result->validation));
  result->steps = j->steps;
  result->horizon = j->train.horizon;
  return US_OK;
}

// ---- the folder ----

cJSON* us_training_file_notes(UsDataset* data, int64_t episodes) {
  cJSON* file = cJSON_CreateObject();
  const UsDatasetInfo* info = us_dataset_info(data);
  const char* path = us_dataset_path(data);
  const char* slash = strrchr(path, '/');
  cJSON_AddStringToObject(file, "file", slash ? slash + 1 : path);
  // What an evaluation knows it by, without its actions too; the file has been read by now.
  us_provenance_note(data, file);
  us_json_add(file, "episodes", (double)episodes);
  us_json_add(file, "frames", (double)info->rows);
  return file;
}

cJSON* us_training_notes(const UsTrainingJob* j, UsValidation v) {
  cJSON* json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "key", j->key);
  cJSON* files = cJSON_AddArrayToObject(json, "data");
  for (int i = 0; i < j->data.count; i++) {
    cJSON* file = us_training_file_notes(j->data.data[i], j->data.trained[i]);
    if (!j->data.alike) us_json_add(file, "share", j->data.share[i]);
    cJSON_AddItemToArray(files, file);
  }
  // What was asked for, and what became of it.
  us_settings_key(j->list, &j->c, json);
  const char* const filled[] = {"seed", "steps", "frames"};
  for (int i = 0; i < 3; i++) cJSON_DeleteItemFromObjectCaseSensitive(json, filled[i]);
  us_json_add(json, "seed", (double)j->c.seed);
  us_json_add(json, "steps", (double)j->steps);
  us_json_add(json, "frames", j->train.frames);
  char device[256];
  cJSON_AddStringToObject(json, "device", us_device_text(j->device, device, sizeof(device)));
  cJSON_AddStringToObject(json, "features", us_device_bfloat(j->device) ? "bfloat16" : "float32");
  // What was seen before, so that an evaluation can refuse it too.
  if (j->seen) cJSON_AddItemToObject(json, "encoder", cJSON_Duplicate(j->seen, 1));
  if (j->pretrained) {
    cJSON_AddItemToObject(json, "pretrained", cJSON_Duplicate(j->pretrained, 1));
  }
  if (j->film.count) us_training_film_notes(j, json);
  // How well it does.
  if (v.measured) {
    us_json_add(json, "one_step_to_copy_last", v.one_step);
    us_json_add(json, "open_loop_to_copy_last", v.open_loop);
  }
  return json;
}

void us_training_clear(const UsTrainingJob* j) {
  char path[kPath];
  unlink(in_folder(j, path, "config.json"));
}

void us_training_end(UsTrainingJob* j, int whole) {
  if (whole) drop_passing(j, 0);
  us_trainer_destroy(j->t);
  if (!j->latent) us_predictor_destroy(j->p);
  us_latent_destroy(j->latent);
  us_training_film_close(&j->film);
  us_training_data_close(&j->data);
  us_device_close(j->device);
  cJSON_Delete(j->seen);
  cJSON_Delete(j->pretrained);
  us_pool_destroy(j->pool);
  us_lock_release(j->lock);
}
