// us_pretrain: a predictor without actions, or with codes in their place, from datasets of any
// tasks.

#include <math.h>

#include "datasets/training/training_job.h"
#include "worldmodel/model_folder.h"

#define US_SETTING_OF UsPretrainConfig
const UsSetting us_pretrain_settings[] = {US_PRETRAIN_SETTINGS(US_SETTING_ROW) US_SETTING_END};
#undef US_SETTING_OF
#define US_SETTING_OF UsTrainingConfig
static const UsSetting settings[] = {US_PRETRAIN_SETTINGS(US_SETTING_ROW) US_SETTING_END};

UsPretrainConfig us_pretrain_defaults(void) {
  UsPretrainConfig c = {0};
  us_settings_default(us_pretrain_settings, &c);
  return c;
}

// With latent actions: what the codes are worth, and their weights beside the predictor's.
static UsStatus finish_codes(UsTrainingJob* j, cJSON* notes, UsTrainResult* result) {
  enum { kBatch = 64, kBatches = 8 };
  const UsTrainData held = {us_training_held_source, &j->data, 0, 0};
  if (!j->latent) return US_OK;
  US_TRY(us_folder_make(j->c.out));
  US_TRY(us_latent_save(j->latent, j->c.out));
  if (!j->data.holds) return US_OK;
  UsLatentFigures* f = &result->latent;
  US_TRY(us_latent_measure(j->latent, held, kBatch, kBatches, j->train.horizon, f));
  result->coded = 1;
  cJSON* json = cJSON_AddObjectToObject(notes, "latent");
  us_json_add(json, "one_step_to_copy_last", f->own.one_step);
  us_json_add(json, "open_loop_to_copy_last", f->own.open_loop);
  us_json_add(json, "shuffled_one_step_to_copy_last", f->shuffled.one_step);
  us_json_add(json, "shuffled_open_loop_to_copy_last", f->shuffled.open_loop);
  us_json_add(json, "nats", f->nats);
  return US_OK;
}

// What latent actions need says nothing without them, nor a block where gaps are drawn.
static UsStatus check_settings(const UsPretrainConfig* c) {
  const UsPretrainConfig own = us_pretrain_defaults();
  const char* name = c->latent_dim != own.latent_dim                   ? "latent-dim"
                     : fabsf(c->latent_weight - own.latent_weight) > 0 ? "latent-weight"
                                                                       : NULL;
  if (name && !c->latent_actions) {
    return us_fail(US_USAGE, "--%s: expected --latent-actions too, found none", name);
  }
  if (c->block && c->gap && !c->latent_actions) {
    return us_fail(US_USAGE, "--block: expected --latent-actions or --gap 0 too, found neither");
  }
  if (c->latent_actions && c->gap && c->gap != own.gap) {
    return us_fail(US_USAGE,
                   "--gap: expected none beside --latent-actions, found %d: frames are a "
                   "block apart there",
                   c->gap);
  }
  return US_OK;
}

UsStatus us_pretrain(const UsPretrainConfig* config, UsTrainResult* result) {
  *result = (UsTrainResult){0};
  US_TRY(check_settings(config));
  UsTrainingJob j = {.label = "pretrain",
                     .list = settings,
                     .c = {US_PRETRAIN_SETTINGS(US_TRAINING_COPY)},
                     .paths = config->data,
                     .weights = config->weights,
                     .tasks = config->tasks};
  // Data, encoder, features, a predictor with first weights; training.
  UsStatus status = us_training_prepare(&j);
  if (status == US_OK) status = us_training_run(&j, 0, result);
  // The predictor's folder, config last; one that is whole already stays as it is.
  if (status == US_OK && !result->complete) {
    cJSON* notes = us_training_notes(&j, result->validation);
    us_training_clear(&j);
    status = finish_codes(&j, notes, result);
    if (status == US_OK) {
      status = us_pretrained_save(j.c.out, j.p, us_encoder_info(j.data.encoder)->hash, notes);
    }
    cJSON_Delete(notes);
  }
  us_training_end(&j, status == US_OK);
  return status;
}
