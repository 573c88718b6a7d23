#ifndef UNDERSTUDY_TRAINING_COMMAND_H_
#define UNDERSTUDY_TRAINING_COMMAND_H_

// What `pretrain` and `finetune` share: options, datasets with their features, held-back samples,
// the run itself, the curve.
//
// Threads: from one thread; sources are asked from the pool's.

#include <popt.h>

#include "datasets/features.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/predictor.h"
#include "worldmodel/train.h"

enum { kDatasetsMost = 64 };

// Options as the command line gives them; 0 or NULL: the default.
typedef struct TrainingOptions {
  char *encoder, *out, *cache;
  int width, depth, heads, mlp, context, hidden, no_residual, no_past;  // the predictor's sizes
  int block, steps, batch, frames, rollout, warmup, patience, threads, resume, overwrite;
  double minutes, rate, decay, clip, beta, rollout_weight, trunk_rate, checkpoint;
  long long seed;
  UsLock* lock;  // of the folder, which is this run's while the options live
} TrainingOptions;

// Rows of a popt table for an object `o` of that type.
#define TRAINING_OPTIONS(o)                                                                         \
  {"out", 0, POPT_ARG_STRING, &(o).out, 0, "the folder to write", "DIR"},                           \
      {"encoder",    0, POPT_ARG_STRING,                                                            \
       &(o).encoder, 0, "a folder, or default, pca, state; default: default",                       \
       "KIND"},                                                                                     \
      {"cache",                                                                                     \
       0,                                                                                           \
       POPT_ARG_STRING,                                                                             \
       &(o).cache,                                                                                  \
       0,                                                                                           \
       "where the features of frames are kept; default: beside the data, else in --out",            \
       "DIR"},                                                                                      \
      {"steps", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &(o).steps, 0, "training steps", "N"}, \
      {"minutes",    0, POPT_ARG_DOUBLE,                                                            \
       &(o).minutes, 0, "stop after so long; with --steps 0 it sets the schedule",                  \
       "M"},                                                                                        \
      {"batch", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &(o).batch, 0, "samples of a step",    \
       "B"},                                                                                        \
      {"frames",    0, POPT_ARG_INT,                                                                \
       &(o).frames, 0, "frames of a sample; default: context and 2, or the rollout",                \
       "T"},                                                                                        \
      {"rollout",    0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT,                                   \
       &(o).rollout, 0, "frames of the rollout loss; 1: none",                                      \
       "K"},                                                                                        \
      {"rollout-weight",                                                                            \
       0,                                                                                           \
       POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT,                                                 \
       &(o).rollout_weight,                                                                         \
       0,                                                                                           \
       "of the rollout loss",                                                                       \
       "X"},                                                                                        \
      {"rate", 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &(o).rate, 0, "peak learning rate",  \
       "X"},                                                                                        \
      {"decay",    0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT,                                  \
       &(o).decay, 0, "weight decay of matrices",                                                   \
       "X"},                                                                                        \
      {"clip",    0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT,                                   \
       &(o).clip, 0, "largest norm of the gradient",                                                \
       "X"},                                                                                        \
      {"beta",    0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT,                                   \
       &(o).beta, 0, "threshold of the smooth L1 loss",                                             \
       "X"},                                                                                        \
      {"warmup",    0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT,                                    \
       &(o).warmup, 0, "steps of linear warm-up",                                                   \
       "N"},                                                                                        \
      {"patience",                                                                                  \
       0,                                                                                           \
       POPT_ARG_INT,                                                                                \
       &(o).patience,                                                                               \
       0,                                                                                           \
       "stop after so many validations without a better one, keep the best",                        \
       "N"},                                                                                        \
      {"width", 0, POPT_ARG_INT, &(o).width, 0, "width of the predictor", "W"},                     \
      {"depth", 0, POPT_ARG_INT, &(o).depth, 0, "its blocks", "L"},                                 \
      {"heads", 0, POPT_ARG_INT, &(o).heads, 0, "its heads", "N"},                                  \
      {"mlp", 0, POPT_ARG_INT, &(o).mlp, 0, "hidden width of its MLP, as a multiple", "R"},         \
      {"context", 0, POPT_ARG_INT, &(o).context, 0, "frames that a prediction sees", "C"},          \
      {"no-residual", 0, POPT_ARG_NONE, &(o).no_residual, 0, "do not start from the last frame",    \
       NULL},                                                                                       \
      {"no-past",    0, POPT_ARG_NONE,                                                              \
       &(o).no_past, 0, "do not tell the actions between the frames seen",                          \
       NULL},                                                                                       \
      {"seed",    0, POPT_ARG_LONGLONG | POPT_ARGFLAG_SHOW_DEFAULT,                                 \
       &(o).seed, 0, "names all random numbers",                                                    \
       "S"},                                                                                        \
      {"threads", 0, POPT_ARG_INT, &(o).threads, 0, "threads; default: one per processor", "N"},    \
      {"checkpoint-seconds",                                                                        \
       0,                                                                                           \
       POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT,                                                 \
       &(o).checkpoint,                                                                             \
       0,                                                                                           \
       "between the states that --resume continues from",                                           \
       "S"},                                                                                        \
      {"resume", 0, POPT_ARG_NONE, &(o).resume, 0, "continue a stopped run in DIR", NULL}, {        \
    "overwrite", 0, POPT_ARG_NONE, &(o).overwrite, 0, "replace what is in DIR", NULL                \
  }

// First values of an object of that type: what the options show as their defaults.
TrainingOptions training_options(void);

// Frees the strings that popt stored and lets go of the folder.
void training_options_free(TrainingOptions* o);

// Checks what does not need the data and takes the folder: -1 to go on, else an exit code after one
// line. See training_done for --resume.
int training_check(const char* command, TrainingOptions* o, const char* data);

// Datasets with the features of one encoder, the sampler of each, and the held-back episodes.
typedef struct TrainingData {
  int count;
  UsDataset* data[kDatasetsMost];
  UsFeatures* features[kDatasetsMost];
  UsSampler* sampler[kDatasetsMost];
  int64_t trained[kDatasetsMost];  // episodes that train; those behind are held back
  char hash[kDatasetsMost][US_HASH_CHARS];
  UsEncoder* encoder;
  int block;        // K
  int held_frames;  // T of held-back samples
  int held;         // 1: at least one held-back episode is long enough
  uint64_t seed;
} TrainingData;

// Opens `count` files and the encoder (a folder, "default", "pca" or "state", the last two made
// from the first file), computes features. Close with training_data_close in every case.
UsStatus training_data_open(const char* const* paths, int count, const char* encoder,
                            const TrainingOptions* o, UsPool* pool, TrainingData* out);
void training_data_close(TrainingData* d);

// Makes the samplers: T frames, K or varied gaps (gap_max > 0). Held-back samples have
// `held_frames` frames.
UsStatus training_data_sample(TrainingData* d, int frames, int gap_max, int held_frames);

// UsBatchSources over a TrainingData.
void training_source(void* data, int64_t step, int b, UsBatch* out);
void held_source(void* data, int64_t step, int b, UsBatch* out);

// Sizes from options over the defaults.
UsPredictorConfig training_sizes(const TrainingOptions* o, const UsEncoder* encoder, int block,
                                 int action);

UsTrainConfig training_config(const TrainingOptions* o);

// Text that names data and options, for checkpoints.
void training_key(const TrainingData* d, const UsPredictorConfig* c, const UsTrainConfig* t,
                  const char* more, char* out, size_t size);

// With --resume: *done is 1, after one line, when the folder holds the finished run of this key. A
// finished run of another is refused.
UsStatus training_done(const TrainingOptions* o, const char* key, int* done);

// Runs the trainer with log, checkpoint and curve in the folder o->out.
UsStatus training_run(UsTrainer* t, const char* label, const TrainingOptions* o, const char* key,
                      UsValidation* result);

// Makes a finished folder that is overwritten an unfinished one: what is written next, up to the
// config, is not to be read with the old config.
void training_clear(const char* out);

// Removes the checkpoint of a run that is done and says how it went.
void training_finish(const UsTrainer* t, const char* out, UsValidation v);

// What was trained on, for config.json.
cJSON* training_notes(const TrainingData* d, const UsTrainer* t, const char* key, UsValidation v);

#endif  // UNDERSTUDY_TRAINING_COMMAND_H_
