// understudy finetune: train the action-conditioned predictor and write a model folder.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/cli/cli.h"
#include "scripts/commands/training_command.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/model_folder.h"

static const char help[] =
    "Trains a world model on trajectories with actions: the frozen encoder turns frames into\n"
    "tokens (computed once, kept beside the dataset), the predictor learns the next frame's "
    "tokens\n"
    "from the last frames and the actions between. Three ways (--mode):\n"
    "  full         start from a predictor pretrained without actions, train everything\n"
    "  action-only  start from it, train only the action blocks\n"
    "  scratch      start from random weights\n\n"
    "The folder DIR is complete: config, weights, encoder, start contexts, log, loss curve. The "
    "last\n"
    "twentieth of the episodes is held back to measure errors on. Ctrl-C keeps the state of the "
    "run;\n"
    "--resume goes on to the same bits.\n\n"
    "Example:\n"
    "  understudy finetune --data runs/pm/train.h5 --out runs/pm/model\n"
    "  understudy finetune --data runs/pm/train.h5 --mode scratch --encoder state --out "
    "runs/pm/state\n";

enum { kContexts = 256, kPath = 4096 };

typedef enum Mode { MODE_SCRATCH, MODE_ACTION_ONLY, MODE_FULL } Mode;
static const char* const modes[] = {"scratch", "action-only", "full", NULL};

typedef struct Options {
  TrainingOptions t;
  char *data, *mode, *init;
} Options;

static int find_mode(const char* name) {
  for (int i = 0; modes[i]; i++) {
    if (strcmp(modes[i], name) == 0) return i;
  }
  return -1;
}

// ---- the predictor to start from ----

// Takes over a pretrained predictor; says in one line why not when that is not an error.
static UsStatus adopt(const Options* o, Mode mode, const UsEncoder* encoder, UsPredictor* p,
                      int* adopted) {
  const char* from = o->init ? o->init : "default";
  const char* name = o->init ? o->init : "the embedded predictor";
  int must = o->init || mode == MODE_ACTION_ONLY;
  UsPredictor* source = NULL;
  char hash[US_HASH_CHARS] = "";
  *adopted = 0;
  UsStatus status = us_pretrained_open(from, &source, hash);
  if (status != US_OK) {
    if (must) return status;
    fprintf(stderr, "understudy finetune: starting from scratch: %s\n", us_message());
    return US_OK;
  }
  const char* why = NULL;
  if (strcmp(hash, us_encoder_info(encoder)->hash) != 0) {
    why = "was trained on the tokens of another encoder";
  } else if (!us_predictor_adopt(p, source)) {
    why = "has other sizes than asked for";
  }
  us_predictor_destroy(source);
  *adopted = !why;
  if (!why) return US_OK;
  if (must) return us_fail(US_FORMAT, "%s: %s", name, why);
  fprintf(stderr, "understudy finetune: starting from scratch: %s %s\n", name, why);
  return US_OK;
}

// ---- the folder ----

// Start contexts from training episodes: C frames, one block apart, and the last `past` blocks
// between them behind all of them.
static float* draw_contexts(const TrainingData* d, const UsPredictorConfig* c) {
  const UsDataset* data = d->data[0];
  size_t one = (size_t)(c->grid_h * c->grid_w * c->dim), each = (size_t)c->context * one;
  int span = (c->context - 1) * c->block;
  size_t block = (size_t)(c->block * c->action), past = (size_t)c->past * block;
  float* out = malloc(kContexts * (each + past) * sizeof(float));
  for (int i = 0; out && i < kContexts; i++) {
    UsRng r = us_rng(d->seed, US_RNG_CONTEXT, (uint64_t)i, 0, 0);
    int64_t e;
    do {
      e = us_rng_below(&r, (uint32_t)d->trained[0]);
    } while (us_dataset_lengths(data)[e] <= span);
    int64_t row = us_dataset_offsets(data)[e] +
                  us_rng_below(&r, (uint32_t)(us_dataset_lengths(data)[e] - span));
    for (int k = 0; k < c->context; k++) {
      memcpy(out + (size_t)i * each + (size_t)k * one,
             us_features_row(d->features[0], row + (int64_t)k * c->block), one * sizeof(float));
    }
    const float* actions = us_dataset_actions(data) + (row + span) * c->action;
    memcpy(out + kContexts * each + (size_t)i * past, actions - past, past * sizeof(float));
  }
  return out;
}

static UsStatus save(const Options* o, const TrainingData* d, const UsTrainer* t,
                     const UsPredictor* p, const char* key, UsValidation v, int adopted) {
  const UsDatasetInfo* info = us_dataset_info(d->data[0]);
  float* contexts = draw_contexts(d, us_predictor_config(p));
  if (!contexts) return us_fail(US_MEMORY, "%s: out of memory", o->t.out);
  const UsPredictorConfig* c = us_predictor_config(p);
  size_t past_at = (size_t)kContexts * (size_t)(c->context * c->grid_h * c->grid_w * c->dim);
  cJSON* notes = training_notes(d, t, key, v);
  cJSON_AddStringToObject(notes, "mode", o->mode);
  cJSON_AddStringToObject(notes, "init", !adopted ? "none" : o->init ? o->init : "default");
  const UsModelParts parts = {.task = info->task,
                              .dt = info->dt,
                              .model = us_predictor_model(p),
                              .encoder = d->encoder,
                              .contexts = kContexts,
                              .context = contexts,
                              .past = contexts + past_at,
                              .training = notes};
  training_clear(o->t.out);
  UsStatus status = us_model_save(o->t.out, &parts);
  cJSON_Delete(notes);
  free(contexts);
  return status;
}

// ---- the run ----

// Refuses trajectories in which nothing acts, as those of a model without controls.
static UsStatus check_actions(const char* path) {
  UsDataset* data;
  US_TRY(us_dataset_open(path, &data));
  const UsDatasetInfo* info = us_dataset_info(data);
  const float* actions = us_dataset_actions(data);
  int64_t i = 0, n = info->rows * info->action;
  while (i < n && !(fabsf(actions[i]) > 0)) i++;  // NaN in last rows
  us_dataset_close(data);
  if (i < n) return US_OK;
  return us_fail(US_FORMAT,
                 "%s: expected actions, found 0 alone: there is nothing to plan with (pretrain "
                 "takes such trajectories)",
                 path);
}

static UsStatus train(const Options* o, Mode mode, TrainingData* d, UsPredictor* p, UsPool* pool) {
  const UsPredictorConfig* c = us_predictor_config(p);
  UsTrainConfig config = training_config(&o->t);
  config.action_only = mode == MODE_ACTION_ONLY;
  config = us_train_defaults(p, &config);
  US_TRY(training_data_sample(d, config.frames, 0, c->context + config.horizon));
  US_TRY(us_predictor_init(p, d->seed));
  int adopted = 0;
  if (mode != MODE_SCRATCH) US_TRY(adopt(o, mode, d->encoder, p, &adopted));
  char key[128], more[kPath];
  snprintf(more, sizeof(more), "%s %s", o->mode, !adopted ? "" : o->init ? o->init : "default");
  training_key(d, c, &config, more, key, sizeof(key));
  int done;
  US_TRY(training_done(&o->t, key, &done));
  if (done) return US_OK;

  UsTrainer* t = NULL;
  const UsTrainData held = {d->held ? held_source : NULL, d};
  US_TRY(us_trainer_create(p, &config, (UsTrainData){training_source, d}, held, pool, &t));
  UsValidation v = {0};
  UsStatus status = adopted ? US_OK : us_trainer_normalise(t, 32);
  if (status == US_OK) status = training_run(t, "finetune", &o->t, key, &v);
  if (status == US_OK) status = save(o, d, t, p, key, v, adopted);
  if (status == US_OK) training_finish(t, o->t.out, v);
  us_trainer_destroy(t);
  return status;
}

static UsStatus finetune(const Options* o, Mode mode, UsPool* pool) {
  TrainingData d;
  UsPredictor* p = NULL;
  const char* const path = o->data;
  US_TRY(check_actions(path));
  UsStatus status =
      training_data_open(&path, 1, o->t.encoder ? o->t.encoder : "default", &o->t, pool, &d);
  if (status == US_OK) {
    UsPredictorConfig c =
        training_sizes(&o->t, d.encoder, d.block, us_dataset_info(d.data[0])->action);
    status = us_predictor_create("options", &c, &p);
  }
  if (status == US_OK) status = train(o, mode, &d, p, pool);
  us_predictor_destroy(p);
  training_data_close(&d);
  return status;
}

int us_cmd_finetune(int argc, const char** argv) {
  Options o = {.t = training_options()};
  const struct poptOption table[] = {
      {"data", 0, POPT_ARG_STRING, &o.data, 0, "trajectories of one task", "FILE"},
      {"mode", 0, POPT_ARG_STRING, &o.mode, 0, "scratch, action-only or full; default: full",
       "MODE"},
      {"init", 0, POPT_ARG_STRING, &o.init, 0,
       "a folder of `understudy pretrain`; default: the embedded one", "DIR"},
      {"block", 0, POPT_ARG_INT, &o.t.block, 0, "env steps between frames; default: the task's",
       "K"},
      {"trunk-rate", 0, POPT_ARG_DOUBLE, &o.t.trunk_rate, 0,
       "factor on the rate of all but the action blocks", "X"},
      TRAINING_OPTIONS(o.t),
      POPT_TABLEEND};
  int code = us_cli_parse(argc, argv, table, "--data FILE --out DIR [options]", help, NULL, 0);
  if (code < 0 && !o.mode) o.mode = strdup("full");
  int mode = code < 0 ? find_mode(o.mode) : -1;
  if (code < 0 && mode < 0) {
    code = us_cli_usage(argv[0], "--mode: expected scratch, action-only or full, found \"%s\"",
                        o.mode);
  }
  if (code < 0) code = training_check(argv[0], &o.t, o.data);
  if (code < 0) {
    UsPool* pool = us_pool_create(o.t.threads);
    UsStatus status =
        pool ? finetune(&o, (Mode)mode, pool) : us_fail(US_MEMORY, "out of memory for threads");
    us_pool_destroy(pool);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  training_options_free(&o.t);
  free(o.data);
  free(o.mode);
  free(o.init);
  return code;
}
