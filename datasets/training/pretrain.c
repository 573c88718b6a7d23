// us_pretrain: a predictor without actions, from datasets of any tasks.

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

UsStatus us_pretrain(const UsPretrainConfig* config, UsTrainResult* result) {
  *result = (UsTrainResult){0};
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
    status = us_pretrained_save(j.c.out, j.p, us_encoder_info(j.data.encoder)->hash, notes);
    cJSON_Delete(notes);
  }
  us_training_end(&j, status == US_OK);
  return status;
}
