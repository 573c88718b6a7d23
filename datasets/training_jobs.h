#ifndef UNDERSTUDY_TRAINING_JOBS_H_
#define UNDERSTUDY_TRAINING_JOBS_H_

// Training the predictor of a world model, from trajectories to a folder.
//
//   UsFinetuneConfig c = us_finetune_defaults();
//   c.data = "train.h5", c.out = "model", c.tasks = us_tasks;
//   UsTrainResult result;
//   UsStatus status = us_finetune(&c, &result);
//
// us_pretrain learns what happens next without actions, from datasets of any tasks; its folder
// (us_pretrained_open) is what us_finetune may start from. us_finetune learns one task with its
// actions; its folder (us_model_open) is whole: config, weights, encoder, start contexts. Both
// leave log.jsonl there, the lines of us_trainer_run. The last twentieth of the episodes is held
// back to measure errors on.
//
// us_finetune also trains the model's success head (worldmodel/success_head.h) on pairs of rows, by
// the rule of the task; held-back episodes judge it. Where the task is not known, or its rule holds
// of all pairs or none, a line of us_log says so, and the folder goes without. `success_only` makes
// one for a folder that has none, on the same data.
//
// With `film`, files of them, us_finetune fits an inverse model (worldmodel/inverse.h) to the
// trajectories of `data` and names the actions of the film, whose own it never reads. Stages
// follow, each with a checkpoint of its own: `both` trains on all, where the film counts as far as
// its labels are to be trusted, each file as often as its weight, and `data` is drawn twice as
// often as its share; `full` goes on with the true actions alone; and where labels are bad, `alone`
// starts anew without the film. The last tenth of `data`, at least two trajectories, is held back
// and chooses: `both`, or where labels are bad `alone`, is kept unless the errors of another stage
// are less by a fifth, or less beyond twice their standard error. Where labels are no better
// than the mean action (R^2 of 0 or less) `both` is no choice.
//
// The distances of a folder of frames are whitened (worldmodel/model_folder.h) by `whiten`; where a
// task alone asks for it, only if the open-loop error of held-back samples is below .15.
//
// With `latent_actions` us_pretrain tells its predictor codes of what happened
// (worldmodel/latent.h) in place of actions, frames a block apart; its folder keeps them.
// us_finetune drops the blocks that read codes and starts from the rest as from any other folder.
//
// A run that was stopped leaves checkpoint.safetensors in its folder; with `resume` the next one
// goes on from there to the same bits. The key of a run hashes what its result depends on: the
// settings so marked, the data, the encoder; another key is refused. A run holds the lock of its
// folder. It may go on on another device, to the same results but for rounding. With `fast`
// features are kept as bfloat16 (datasets/features.h) on any device, which is part of the key.
//
// Settings are lists as worldmodel/base/settings.h describes them, from which structs, defaults,
// checks, command-line options, the notes in config.json and the key come.
//
// Threads: one job at a time in a thread; inside, a pool of its own works.

#include "datasets/encoder_jobs.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/settings.h"
#include "worldmodel/latent.h"
#include "worldmodel/predictor.h"
#include "worldmodel/success_head.h"
#include "worldmodel/train.h"

US_C_BEGIN

struct UsTask;

// Of both jobs. A TEXT that is NULL takes its default.
#define US_TRAINING_SETTINGS(X)                                                              \
  X(TEXT, out, NULL, 0, 0, FREE, "DIR", "the folder to write")                               \
  X(TEXT, encoder, NULL, 0, 0, FREE, "KIND", US_ENCODER_HELP "; default: default")           \
  X(TEXT, cache, NULL, 0, 0, FREE, "DIR",                                                    \
    "where the features of frames are kept; default: beside the data, else in --out")        \
  US_TRAIN_SETTINGS(X)                                                                       \
  US_PREDICTOR_SETTINGS(X)                                                                   \
  X(FLAG, no_residual, 0, 0, 1, RESULT, NULL, "do not start from the last frame")            \
  X(FLAG, no_past, 0, 0, 1, RESULT, NULL, "do not tell the actions between the frames seen") \
  X(SEED, seed, 1, 0, 0, RESULT, "S", "names all random numbers")                            \
  X(INT, threads, 0, 0, 4096, FREE, "N", "change no result; 0: one per processor")           \
  US_DEVICE_SETTINGS(X)                                                                      \
  X(REAL, checkpoint_seconds, 30, 1e-6, 1e9, FREE, "S",                                      \
    "between the states that --resume continues from")                                       \
  X(FLAG, resume, 0, 0, 1, FREE, NULL, "continue a stopped run in DIR")                      \
  X(FLAG, overwrite, 0, 0, 1, FREE, NULL, "replace what is in DIR")

#define US_FINETUNE_SETTINGS(X)                                                                   \
  X(TEXT, data, NULL, 0, 0, FREE, "FILE", "trajectories of one task")                             \
  X(TEXT, mode, NULL, 0, 0, RESULT, "MODE",                                                       \
    "scratch, action-only or full; default: scratch, with --init full")                           \
  X(TEXT, init, NULL, 0, 0, RESULT, "DIR",                                                        \
    "a folder of `understudy pretrain`; default: the embedded one")                               \
  X(INT, block, 0, 0, 1 << 10, RESULT, "K", "env steps between frames; 0: the task's")            \
  X(INT, label_steps, 1200, 1, 1000000000, RESULT, "N",                                           \
    "with --film: steps of the network that names actions")                                       \
  X(INT, last_steps, 500, 1, 1000000000, RESULT, "N",                                             \
    "with --film: steps on the true actions behind those on both")                                \
  X(FLOAT, last_rate, 0.25, 1e-6, 1e6, RESULT, "X", "with --film: factor on the rate of those")   \
  X(FLOAT, sure, 0.8, -1e6, 2, RESULT, "X",                                                       \
    "with --film: R^2 of labels from which training without them is not tried")                   \
  X(FLOAT, trunk_rate, 1, 0, 1e6, RESULT, "X", "factor on the rate of all but the action blocks") \
  X(FLOAT, whiten, 0, 0, 1, RESULT, "P",                                                          \
    "weigh a frame's features in distances to goals by their variance to the power of -P; a "     \
    "task's own counts for a model whose held-back five-block error is below .15")                \
  X(INT, success_steps, 3000, 0, 1000000000, RESULT, "N",                                         \
    "of the head that tells success in the model, at most --steps; 0: without")                   \
  X(FLAG, success_only, 0, 0, 1, FREE, NULL,                                                      \
    "give the finished model in --out a head, and leave the rest of it alone")                    \
  X(FLAG, no_balance, 0, 0, 1, RESULT, NULL,                                                      \
    "do not bring actions to the scale of a pretrained predictor's queries")                      \
  X(FLAG, renormalise, 0, 0, 1, RESULT, NULL,                                                     \
    "take the normalisation of the data, not that of a pretrained predictor; also where it was "  \
    "pretrained on several files, each normalised by itself")                                     \
  X(FLAG, balance, 0, 0, 1, RESULT, NULL, "bring them there also where weights are the first")    \
  US_TRAINING_SETTINGS(X)

#define US_LATENT_SETTINGS(X)                                                                  \
  X(FLAG, latent_actions, 0, 0, 1, RESULT, NULL,                                               \
    "tell the predictor what happened in a few numbers an env step, which are learnt with it") \
  X(INT, latent_dim, 2, 1, US_LATENT_NUMBERS, RESULT, "N",                                     \
    "with --latent-actions: so many numbers")                                                  \
  X(FLOAT, latent_weight, 3e-4, 0, 1e6, RESULT, "X",                                           \
    "with --latent-actions: weight of what they say, in nats")

#define US_PRETRAIN_SETTINGS(X)                                                                 \
  X(INT, gap, 10, 0, 1 << 10, RESULT, "N", "most env steps between frames; 0: a block, always") \
  US_LATENT_SETTINGS(X)                                                                         \
  X(INT, block, 0, 0, 1 << 10, RESULT, "K",                                                     \
    "with --latent-actions or --gap 0: env steps between; 0: the task's")                       \
  US_TRAINING_SETTINGS(X)

// Start from us_finetune_defaults() or us_pretrain_defaults().
typedef struct UsFinetuneConfig {
  US_FINETUNE_SETTINGS(US_SETTING_FIELD)
  // Files of trajectories whose actions nobody knows: an inverse model names them. NULL-terminated,
  // at most US_TRAINING_FILES. Nullable
  const char* const* film;
  const double* film_weights;  // (files) factors on their shares of the samples, > 0. Nullable: 1
  const struct UsTask* const* tasks;  // known tasks, NULL-terminated. Nullable
  // Names of the settings that were chosen, separated by spaces; for others the task's own count
  // (us_task_settings). NULL: those do not count.
  const char* given;
} UsFinetuneConfig;

typedef struct UsPretrainConfig {
  US_PRETRAIN_SETTINGS(US_SETTING_FIELD)
  const char* const* data;            // files, NULL-terminated, at most US_TRAINING_FILES
  const double* weights;              // (files) shares of the samples, > 0. Nullable: all alike
  const struct UsTask* const* tasks;  // known tasks, NULL-terminated. Nullable
} UsPretrainConfig;

enum { US_TRAINING_FILES = 64 };

extern US_API const UsSetting us_finetune_settings[];
extern US_API const UsSetting us_pretrain_settings[];
US_API UsFinetuneConfig us_finetune_defaults(void);
US_API UsPretrainConfig us_pretrain_defaults(void);

typedef struct UsTrainResult {
  int complete;             // 1: with `resume`, the finished run was there; nothing else is set
  int64_t steps;            // taken, earlier runs included
  int horizon;              // frames of the open-loop error
  UsValidation validation;  // the last, or best with `patience`
  const char* chosen;       // with `film`: the stage that was kept, both, full or alone; else NULL
  // Why it may have gone badly: the share of pixels of the first file that change within a second
  // (NaN: it has no frames), and 1 where the embedded encoder was not trained on its kind of scene.
  double changing;
  int unseen;
  double label_r2, label_correlation;  // with `film`: of the labels, on held-back trajectories
  int coded;                           // 1: with `latent_actions`, of which `latent` was measured
  UsLatentFigures latent;
  UsSuccessFigures success;  // of us_finetune: of the head; pairs 0: there is none
} UsTrainResult;

// What the caller wants to stop is US_INTERRUPTED and goes on with `resume`; a loss that is not
// finite is US_DIVERGED.
US_API UsStatus us_finetune(const UsFinetuneConfig* config, UsTrainResult* result);

// Of several files each is normalised by itself, z = (x - mean) / deviation, so that the predictor
// keeps no normalisation and fine-tuning takes that of its data.
US_API UsStatus us_pretrain(const UsPretrainConfig* config, UsTrainResult* result);

US_C_END

#endif  // UNDERSTUDY_TRAINING_JOBS_H_
