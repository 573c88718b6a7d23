// Training an encoder: frames of datasets -> a folder, with checkpoints and a log.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/encoder_jobs.h"
#include "datasets/training/frames.h"
#include "datasets/training/training_job.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/progress.h"

enum { kPath = 4096, kSaveEvery = 500, kLogEvery = US_AUTOENCODER_UNREAD };  // steps

#define US_SETTING_OF UsEncoderTrainConfig
const UsSetting us_encoder_train_settings[] = {US_ENCODER_TRAIN_SETTINGS(US_SETTING_ROW)
                                                   US_SETTING_END};

UsEncoderTrainConfig us_encoder_train_defaults(void) {
  UsEncoderTrainConfig c = {0};
  us_settings_default(us_encoder_train_settings, &c);
  return c;
}

typedef struct Run {
  const UsEncoderTrainConfig* c;
  UsEncoderTrainResult* result;
  UsFrames* frames;  // (datasets)
  UsFrameSet* set;   // (datasets): the same, as training takes them
  UsAutoencoder* a;
  UsDevice* device;
  FILE* log;
  UsLock* lock;  // of the folder
  char checkpoint[kPath];
  double started;  // s
  // Sums over the steps since the last line of the log: their number, those that compared pixels,
  // and their losses.
  int since, compared;
  double loss;
  char note[48];  // of the bar
} Run;

// Says in the folder which files the encoder is going to see, for what is trained on it later.
static UsStatus note_data(const UsEncoderTrainConfig* c) {
  char path[kPath];
  cJSON *json = cJSON_CreateObject(), *files = cJSON_AddArrayToObject(json, "data");
  UsStatus status = US_OK;
  for (int i = 0; i < c->datasets && status == US_OK; i++) {
    UsDataset* d;
    status = us_dataset_open_film(c->data[i], &d);
    if (status != US_OK) break;
    char hash[US_HASH_CHARS];
    status = us_dataset_hash(d, hash);
    cJSON_AddItemToArray(files, us_training_file_notes(d, us_dataset_info(d)->episodes));
    us_dataset_close(d);
  }
  us_path_join(path, sizeof(path), c->out, "training.json");
  if (status == US_OK) status = us_json_write(path, json);
  cJSON_Delete(json);
  return status;
}

static UsStatus start(Run* r) {
  const UsEncoderTrainConfig* c = r->c;
  char path[kPath];
  // The folder is this run's from before it is there.
  US_TRY(us_folder_make_above(c->out));
  US_TRY(us_lock_take(c->out, &r->lock));
  US_TRY(us_folder_make(c->out));
  r->frames = calloc((size_t)c->datasets, sizeof(UsFrames));
  r->set = calloc((size_t)c->datasets, sizeof(UsFrameSet));
  if (!r->frames || !r->set) return us_fail(US_MEMORY, "%s: out of memory", c->out);
  // An equal share of the frames for every dataset, all of one size.
  const UsDatasetInfo* info = &r->frames[0].info;
  for (int i = 0; i < c->datasets; i++) {
    UsFrames* f = &r->frames[i];
    US_TRY(us_frames_read(c->data[i], c->frames / c->datasets, c->seed, f));
    if (f->info.height != info->height || f->info.width != info->width) {
      return us_fail(US_FORMAT, "%s: expected frames of %d x %d px as in %s, found %d x %d",
                     c->data[i], info->width, info->height, c->data[0], f->info.width,
                     f->info.height);
    }
    r->set[i] = (UsFrameSet){f->pixels, f->count};
  }

  US_TRY(note_data(c));
  // The model, its settings copied one by one from the list that both structs are made of.
  UsAutoencoderConfig a;
  us_autoencoder_defaults(info->height, info->width, c->dim, c->width, c->depth, &a);
#define X(type, name, ...) a.name = c->name;
  US_AUTOENCODER_SETTINGS(X)
#undef X
  a.vit.patch = c->patch;
  if (c->grid) {
    a.anchor = 0;
    a.vit.merge = 1;
    a.vit.merge_dim = c->dim;
    a.vit.global_dim = 0;
  }
  a.vit.norm = a.anchor <= 0;
  a.vit.device = r->device;
  US_TRY(us_autoencoder_create(&a, r->set, c->datasets, &r->a));

  // Where an earlier run stopped, and the log behind its lines.
  us_path_join(r->checkpoint, sizeof(r->checkpoint), c->out, "checkpoint.safetensors");
  int resumes = c->resume && us_file_exists(r->checkpoint);
  if (resumes) US_TRY(us_autoencoder_load(r->a, r->checkpoint));
  us_path_join(path, sizeof(path), c->out, "log.jsonl");
  r->log = fopen(path, resumes ? "a" : "w");
  return r->log ? US_OK : us_fail(US_IO, "%s: cannot be written", path);
}

// Writes checkpoint and encoder. When the caller wants to stop the checkpoint is what counts: the
// encoder stays as it was where making it takes encoding.
static UsStatus save(Run* r) {
  const UsEncoderTrainConfig* c = r->c;
  UsEncoder* e;
  // The checkpoint first, since a run can go on from it alone.
  US_TRY(us_autoencoder_save(r->a, r->checkpoint));
  UsStatus status = us_autoencoder_encoder(r->a, c->pool, &e);
  if (status == US_OK) status = us_encoder_save(e, c->out);
  if (status == US_OK && c->saved) status = c->saved(c->user, e, c->datasets, r->set);
  us_encoder_destroy(e);
  return status == US_INTERRUPTED ? US_OK : status;
}

// Reads what the steps since the last read were; a line of the log over every so many: the mean
// loss of those that compared pixels.
static UsStatus read_steps(Run* r) {
  const UsAutoencoderStep* step;
  int n = us_autoencoder_figures(r->a, &step);
  US_TRY(us_device_check(r->device, r->c->out));
  for (int i = 0; i < n; i++) {
    const UsAutoencoderStep* s = &step[i];
    if (!s->finite) {
      return us_fail(US_FORMAT, "%s: training diverged at step %d", r->c->out, s->step - 1);
    }
    // Those that compared no pixels have no loss.
    r->loss += s->loss;
    r->compared += s->compared;
    if (++r->since < kLogEvery && s->step < r->c->steps) continue;
    char loss[US_NUMBER_CHARS], anchor[US_NUMBER_CHARS];
    *r->result = (UsEncoderTrainResult){
        .steps = s->step, .loss = r->compared ? r->loss / r->compared : NAN, .anchor = s->distance};
    fprintf(r->log, "{\"step\": %d, \"loss\": %s, \"anchor\": %s, \"seconds\": %.1f}\n", s->step,
            us_json_format(loss, "%.7g", r->result->loss),
            us_json_format(anchor, "%.7g", s->distance), us_seconds() - r->started);
    fflush(r->log);
    if (r->compared) snprintf(r->note, sizeof(r->note), "loss %.5f", r->result->loss);
    r->loss = r->since = r->compared = 0;
  }
  return US_OK;
}

static UsStatus train(Run* r) {
  const UsEncoderTrainConfig* c = r->c;
  int step = us_autoencoder_steps(r->a), unread = 0, stop = 0;
  UsProgress bar = us_progress_start("encoder train", "steps", c->steps, step);
  r->started = us_seconds();
  // Step by step, until the last, the time limit or the caller's wish to stop.
  while (!stop && step < c->steps && us_autoencoder_step(r->a, c->pool)) {
    step = us_autoencoder_steps(r->a);
    stop = us_interrupted() || (c->minutes > 0 && us_seconds() - r->started > 60 * c->minutes);
    // Its figures wait for the next line of the log, or for weights that are saved. What is saved
    // now and then outlives a killed run.
    int saves = step % kSaveEvery == 0 && !stop && step < c->steps;
    if (++unread == kLogEvery || saves) {
      US_TRY(read_steps(r));
      unread = 0;
    }
    us_progress_show(&bar, step, r->note);
    if (saves) US_TRY(save(r));
  }
  // The end, or as far as it came.
  us_progress_end(&bar);
  US_TRY(read_steps(r));
  r->result->steps = step;
  US_TRY(save(r));
  if (!us_interrupted()) return US_OK;
  return us_fail(US_INTERRUPTED, "%s: stopped at step %d; --resume goes on", c->out, step);
}

// Settings are checked before anything is touched; what was opened is closed in every case.
UsStatus us_encoder_train(const UsEncoderTrainConfig* config, UsEncoderTrainResult* result) {
  UsEncoderTrainResult unread;
  Run r = {.c = config, .result = result ? result : &unread};
  *r.result = (UsEncoderTrainResult){.loss = NAN};
  US_TRY(us_settings_check(us_encoder_train_settings, config));
  if (config->datasets < 1 || config->frames < config->datasets || !config->out) {
    return us_fail(US_USAGE, "expected a folder, and --frames of one or more of every dataset");
  }
  // What a ViT alone is asked says nothing of a linear encoder.
  const UsEncoderTrainConfig own = us_encoder_train_defaults();
  const char* vit = config->grid                               ? "grid"
                    : fabsf(config->anchor - own.anchor) > 0   ? "anchor"
                    : config->decode_every != own.decode_every ? "decode-every"
                                                               : NULL;
  if (config->linear && vit) {
    return us_fail(US_USAGE, "expected --linear or --%s, found both", vit);
  }
  US_TRY(us_device_open(config->device, config->fast, &r.device));
  UsStatus status = start(&r);
  if (status == US_OK) status = train(&r);
  if (r.log) fclose(r.log);
  us_lock_release(r.lock);
  us_autoencoder_destroy(r.a);
  us_device_close(r.device);
  for (int i = 0; r.frames && i < config->datasets; i++) us_frames_free(&r.frames[i]);
  free(r.frames);
  free(r.set);
  return status;
}
