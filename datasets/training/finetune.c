// us_finetune: the predictor of one task with its actions, and all that makes a model folder whole.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/training/training_job.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/model_folder.h"

#define US_SETTING_OF UsFinetuneConfig
const UsSetting us_finetune_settings[] = {US_FINETUNE_SETTINGS(US_SETTING_ROW) US_SETTING_END};
#undef US_SETTING_OF
#define US_SETTING_OF UsTrainingConfig
static const UsSetting settings[] = {US_FINETUNE_SETTINGS(US_SETTING_ROW) US_SETTING_END};

enum { kContexts = 256 };

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
  if (!why) US_TRY(us_pretrained_training(init ? init : "default", &j->pretrained));
  if (!why) return US_OK;
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

// Writes the model folder, config last.
static UsStatus save(const UsTrainingJob* j, UsValidation v) {
  const UsDatasetInfo* info = us_dataset_info(j->data.data[0]);
  float *context = NULL, *past = NULL;
  cJSON* notes = us_training_notes(j, v);
  UsStatus status = draw_contexts(j, &context, &past);
  const UsModelParts parts = {.task = info->task,
                              .dt = info->dt,
                              .camera = info->camera_pose[0] ? info->camera : NULL,
                              .camera_pose = info->camera_pose[0] ? info->camera_pose : NULL,
                              .model = us_predictor_model(j->p),
                              .encoder = j->data.encoder,
                              .contexts = kContexts,
                              .context = context,
                              .past = past,
                              .training = notes};
  us_training_clear(j);
  if (status == US_OK) status = us_model_save(j->c.out, &parts);
  cJSON_Delete(notes);
  free(context);
  free(past);
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
  if (c->film || !name) return US_OK;
  return us_fail(US_USAGE, "--%s: expected --film too, found none", name);
}

UsStatus us_finetune(const UsFinetuneConfig* config, UsTrainResult* result) {
  *result = (UsTrainResult){0};
  const char* mode = config->mode ? config->mode : config->film ? "scratch" : "full";
  static const char* const modes[] = {"scratch", "action-only", "full"};
  int known = 0;  // its number from 1
  for (int i = 0; i < 3; i++) known += strcmp(modes[i], mode) == 0 ? i + 1 : 0;
  if (!known) {
    return us_fail(US_USAGE, "--mode: expected scratch, action-only or full, found \"%s\"", mode);
  }
  US_TRY(check_film_settings(config));
  const char* const paths[] = {config->data, NULL};
  UsTrainingJob j = {.label = "finetune",
                     .list = settings,
                     .c = {US_FINETUNE_SETTINGS(US_TRAINING_COPY)},
                     .paths = paths,
                     .acts = 1,
                     .tasks = config->tasks,
                     .given = config->given};
  // Data, encoder, features, a predictor with first weights; those of a pretrained one where it
  // fits. The key of the run then knows what it started from.
  int adopted = 0;
  j.c.mode = mode;
  UsStatus status = us_training_prepare(&j);
  j.train.trunk_rate = j.c.trunk_rate;
  j.train.action_only = known == 2;
  if (status == US_OK && known > 1) status = adopt(&j, &adopted);
  j.c.init = !adopted ? "none" : j.c.init ? j.c.init : "default";
  // Training, then the folder; one that is whole already stays as it is.
  if (status == US_OK) {
    status = config->film ? us_training_film_run(&j, adopted, result)
                          : us_training_run(&j, adopted, result);
  }
  if (status == US_OK && !result->complete) status = save(&j, result->validation);
  us_training_end(&j, status == US_OK);
  return status;
}
