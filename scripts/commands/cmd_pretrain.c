// understudy pretrain: train the predictor on trajectories without their actions.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/cli/cli.h"
#include "scripts/commands/training_command.h"
#include "worldmodel/model_folder.h"

static const char help[] =
    "Trains the predictor on what happens next, without actions, on one or several datasets (of "
    "any\n"
    "tasks, with frames of one size). Frames of a sample are 1 .. --gap env steps apart, their "
    "times\n"
    "are told in seconds. `understudy finetune --init DIR` starts from the result; the one that\n"
    "travels inside the program (assets/predictor) was made like this.\n\n"
    "Example:\n"
    "  understudy pretrain --data runs/pm/train.h5 runs/wall/train.h5 --out runs/predictor\n";

enum { kGap = 10 };

typedef struct Options {
  TrainingOptions t;
  char* data;
  int gap;
} Options;

static UsStatus train(const Options* o, TrainingData* d, UsPredictor* p, UsPool* pool) {
  const UsPredictorConfig* c = us_predictor_config(p);
  UsTrainConfig config = training_config(&o->t);
  config = us_train_defaults(p, &config);
  US_TRY(training_data_sample(d, config.frames, o->gap, c->context + config.horizon));
  US_TRY(us_predictor_init(p, d->seed));
  char key[128], more[64];
  snprintf(more, sizeof(more), "pretrain %d", o->gap);
  training_key(d, c, &config, more, key, sizeof(key));
  int done;
  US_TRY(training_done(&o->t, key, &done));
  if (done) return US_OK;
  UsTrainer* t = NULL;
  const UsTrainData held = {d->held ? held_source : NULL, d};
  US_TRY(us_trainer_create(p, &config, (UsTrainData){training_source, d}, held, pool, &t));
  UsValidation v = {0};
  UsStatus status = us_trainer_normalise(t, 32);
  if (status == US_OK) status = training_run(t, "pretrain", &o->t, key, &v);
  if (status == US_OK) {
    cJSON* notes = training_notes(d, t, key, v);
    us_json_add(notes, "gap", o->gap);
    training_clear(o->t.out);
    status = us_pretrained_save(o->t.out, p, us_encoder_info(d->encoder)->hash, notes);
    cJSON_Delete(notes);
  }
  if (status == US_OK) training_finish(t, o->t.out, v);
  us_trainer_destroy(t);
  return status;
}

static UsStatus pretrain(const Options* o, const char* const* paths, int count, UsPool* pool) {
  TrainingData d;
  UsPredictor* p = NULL;
  UsStatus status =
      training_data_open(paths, count, o->t.encoder ? o->t.encoder : "default", &o->t, pool, &d);
  if (status == US_OK) {
    UsPredictorConfig c = training_sizes(&o->t, d.encoder, 1, 0);
    status = us_predictor_create("options", &c, &p);
  }
  if (status == US_OK) status = train(o, &d, p, pool);
  us_predictor_destroy(p);
  training_data_close(&d);
  return status;
}

int us_cmd_pretrain(int argc, const char** argv) {
  Options o = {.t = training_options(), .gap = kGap};
  const struct poptOption table[] = {
      {"data", 0, POPT_ARG_STRING, &o.data, 0, "trajectories; further files follow", "FILE..."},
      {"gap", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.gap, 0,
       "most env steps between frames", "N"},
      TRAINING_OPTIONS(o.t),
      POPT_TABLEEND};
  const char* paths[kDatasetsMost + 1] = {NULL};
  int code = us_cli_parse(argc, argv, table, "--data FILE [FILE...] --out DIR [options]", help,
                          paths + 1, kDatasetsMost - 1);
  paths[0] = o.data;
  if (code < 0 && o.gap < 1) {
    code = us_cli_usage(argv[0], "--gap: expected at least 1, found %d", o.gap);
  }
  if (code < 0) code = training_check(argv[0], &o.t, o.data);
  if (code < 0) {
    int count = 0;
    while (paths[count]) count++;
    UsPool* pool = us_pool_create(o.t.threads);
    UsStatus status =
        pool ? pretrain(&o, paths, count, pool) : us_fail(US_MEMORY, "out of memory for threads");
    us_pool_destroy(pool);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  training_options_free(&o.t);
  free(o.data);
  return code;
}
