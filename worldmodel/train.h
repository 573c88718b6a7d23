#ifndef UNDERSTUDY_TRAIN_H_
#define UNDERSTUDY_TRAIN_H_

// The trainer of world models: AdamW with warm-up, cosine and clipping over batches from a source,
// data-parallel over shards of a fixed size.
//
// A step fills the batch's samples, takes the gradient of each shard into an array of its own and
// sums the arrays in order, so the weights are the same bits for any number of threads. A device
// that works on many rows at once takes the whole batch as one shard: results depend on the config
// and on the kind of device. All memory is taken when the trainer is made.
//
// A device may be at work on steps when their calls are back. What they were (losses, norm) stays
// there until somebody asks; from the first step on that was not finite, weights and moments stay
// as they are, so that nothing is lost by asking late.
//
// Threads: calls on one trainer come from one thread; inside, the pool works and asks the sources
// from its threads.

#include "worldmodel/base/api.h"
#include "worldmodel/base/pool.h"
#include "worldmodel/base/settings.h"
#include "worldmodel/predictor.h"

US_C_BEGIN

// How the predictor is trained, as worldmodel/base/settings.h describes a list. The presets are the
// program's; 0 in a struct made by hand takes what us_train_defaults says.
#define US_TRAIN_SETTINGS(X)                                                                     \
  X(INT, steps, 18000, 0, 1000000000, RESULT, "N",                                               \
    "training steps; 0: as many as --minutes allow")                                             \
  X(REAL, minutes, 0, 0, 1e9, RESULT, "M",                                                       \
    "stop after so long, 0: no limit; with --steps 0 it sets the schedule")                      \
  X(INT, batch, 64, 1, 1 << 16, RESULT, "B", "samples of a step")                                \
  X(INT, frames, 0, 0, 2000000, RESULT, "T",                                                     \
    "frames of a sample; 0: context and 2, or the rollout")                                      \
  X(INT, rollout, 1, 1, 10000, RESULT, "K", "frames of the rollout loss; 1: none")               \
  X(FLOAT, rollout_weight, 1, 0, 1e6, RESULT, "X", "of the rollout loss")                        \
  X(FLAG, rollout_detach, 0, 0, 1, RESULT, NULL, "no gradient through frames that are fed back") \
  X(FLOAT, rate, 2e-3, 1e-12, 1e6, RESULT, "X", "peak learning rate")                            \
  X(FLOAT, decay, 0.01, 0, 1e6, RESULT, "X", "weight decay of matrices")                         \
  X(FLOAT, clip, 1, 0, 1e30, RESULT, "X", "largest norm of the gradient")                        \
  X(FLOAT, beta, 1, 0, 1e6, RESULT, "X", "threshold of the smooth L1 loss")                      \
  X(INT, warmup, 100, 0, 1000000000, RESULT, "N", "steps of linear warm-up")                     \
  X(INT, patience, 18, 0, 1000000000, RESULT, "N",                                               \
    "stop after so many validations, of 500 steps, without a better one, keep the best; 0: never")

typedef struct UsTrainConfig {
  US_TRAIN_SETTINGS(US_SETTING_FIELD)
  int first;             // first target frame; 0: C
  float trunk_rate;      // factor on the rate of everything but the action blocks; 0: 1
  int action_only;       // 1: only the action blocks train
  int horizon;           // frames of the open-loop validation; 0: 5
  int validate_every;    // steps between validations; 0: 500
  int validate_batches;  // of `batch` samples; 0: 4
} UsTrainConfig;

// Where samples come from. T of `held` is C + horizon. Nullable: held.fill (no validation).
typedef struct UsTrainData {
  UsBatchSource fill;
  void* source;
  int weighted;  // 1: it fills the samples' weights too; of `held` they are not looked at
  int bfloat;    // 1: it fills features as bfloat16
} UsTrainData;

enum { US_TRAIN_UNREAD = 50 };  // most steps between two looks at their figures

typedef struct UsTrainStep {
  int64_t step;             // counts from 1
  double teacher, rollout;  // losses
  double norm;              // of the gradient before clipping
  double rate;
  int finite;  // 0: a loss or the norm was not; the weights are as they were
} UsTrainStep;

// Errors on held-back samples as ratios to repeating the last known frame: of the next frame, and
// of frame `horizon` of an open-loop rollout. Not finite without a source, or where frames do not
// change, so that repeating them is no error.
typedef struct UsValidation {
  double one_step, open_loop;
  int measured;  // 1: there was a source
} UsValidation;

typedef struct UsTrainer UsTrainer;

// Fills in what is 0: batch 128, frames C + max(2, rollout), rollout_weight 1, beta 1, rate 1e-3,
// warmup 100, clip 1, and the others as their comments say.
US_API UsTrainConfig us_train_defaults(const UsWorldModel* m, const UsTrainConfig* config);

// m, of any kind that has a loss, is trained in place and must outlive the trainer. Nullable: pool.
// On failure *out is NULL.
US_API UsStatus us_trainer_create(UsWorldModel* m, const UsTrainConfig* config, UsTrainData train,
                                  UsTrainData held, UsPool* pool, UsTrainer** out);

// NULL is fine.
US_API void us_trainer_destroy(UsTrainer* t);

// Takes the mean and the common deviation of the tokens of the first `batches` batches as the
// model's normalisation. Fails with US_INTERRUPTED or US_MEMORY alone.
US_API UsStatus us_trainer_normalise(UsTrainer* t, int batches);

// Prepares action blocks with first weights for the actions of the first batch (world_model.h,
// balance). Fails with US_INTERRUPTED or US_MEMORY alone.
US_API UsStatus us_trainer_balance(UsTrainer* t);

// One step. `progress` in [0, 1] places it on the cosine. 0: the caller wants to stop; the step is
// not counted, and the weights are as they were. At most US_TRAIN_UNREAD steps are taken between
// two calls of us_trainer_figures. Neither allocates.
US_API int us_trainer_step(UsTrainer* t, double progress);

// Waits for the device and gives the figures of the steps since the last call: their number, in
// order at *out, until the next call. Where one was not finite it is the last, and
// us_trainer_steps is the one before it; only us_trainer_load leads on from there.
US_API int us_trainer_figures(UsTrainer* t, const UsTrainStep** out);

// When the caller wants to stop the result means nothing.
US_API UsValidation us_trainer_validate(UsTrainer* t);

// Steps taken so far, and the seconds that threads of this process spent filling samples and in all
// of a step.
US_API int64_t us_trainer_steps(const UsTrainer* t);
US_API void us_trainer_seconds(const UsTrainer* t, double* sampling, double* all);

// Writes or takes over weights, optimizer and step; figures that nobody asked for are gone then.
// `key` names what the run depends on beyond this (data, options): loading refuses a checkpoint of
// another key.
US_API UsStatus us_trainer_save(UsTrainer* t, const char* path, const char* key);
US_API UsStatus us_trainer_load(UsTrainer* t, const char* path, const char* key);

typedef struct UsTrainRun {
  const char* label;          // of the progress bar
  const char* log;            // path of the JSON lines: {"step", "loss", ..}
  const char* checkpoint;     // path
  const char* key;            // of the checkpoint
  double checkpoint_seconds;  // between checkpoints; 0: 30
  int resume;                 // 1: continue from the checkpoint if there is one
} UsTrainRun;

// Trains to the end of the config with a progress bar, log and checkpoints; `result` (Nullable) is
// the last (or best) validation. A caller who wants to stop gets US_INTERRUPTED and a checkpoint; a
// loss that is not finite gives US_DIVERGED with the step and leaves the last checkpoint as it was.
US_API UsStatus us_trainer_run(UsTrainer* t, const UsTrainRun* run, UsValidation* result);

US_C_END

#endif  // UNDERSTUDY_TRAIN_H_
