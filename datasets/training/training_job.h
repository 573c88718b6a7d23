#ifndef UNDERSTUDY_TRAINING_JOB_H_
#define UNDERSTUDY_TRAINING_JOB_H_

// What us_pretrain and us_finetune share: the stages of a training job, which a job calls in turn.
// A further stage (data of another source, another thing to train) is one more call between them.

#include <cjson/cJSON.h>

#include "datasets/features.h"
#include "datasets/training_jobs.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/inverse.h"

// Datasets with the features of one encoder, and who draws samples from each.
typedef struct UsTrainingData {
  int count;
  UsDataset* data[US_TRAINING_FILES];
  UsFeatures* features[US_TRAINING_FILES];
  UsSampler* train[US_TRAINING_FILES];
  UsSampler* held[US_TRAINING_FILES];
  char hash[US_TRAINING_FILES][US_HASH_CHARS];
  int64_t trained[US_TRAINING_FILES];  // episodes that train; those behind are held back
  double share[US_TRAINING_FILES];     // of the samples; all together 1
  int alike;                           // 1: all shares are the same
  UsEncoder* encoder;
  // Normalisation of each file, its samples': (D) and the deviation of all numbers. NULL: none, the
  // predictor has one for all.
  float* mean[US_TRAINING_FILES];
  float scale[US_TRAINING_FILES];
  uint64_t seed;
  int block;   // K
  int latent;  // L numbers of a latent action, of which the predictor reads K; 0: none
  int holds;   // 1: a dataset has a held-back episode that is long enough
} UsTrainingData;

// Trajectories without actions, in one or several files, and what an inverse model says that was
// done in them.
typedef struct UsTrainingFilm {
  int count;  // of the files; 0: there is no film
  UsDataset* data[US_TRAINING_FILES];
  UsFeatures* features[US_TRAINING_FILES];
  UsSampler* train[US_TRAINING_FILES];
  char hash[US_TRAINING_FILES][US_HASH_CHARS];
  int64_t first[US_TRAINING_FILES];   // row of a file's first label
  double samples[US_TRAINING_FILES];  // windows times weight
  int64_t rows;                       // of all, N
  float *actions, *weight;            // (N, A), (N) labels and how far they are to be trusted
  double reliable;                    // mean of the weights
  UsInverseFigures figures;           // of the inverse model
  cJSON* stages;                      // what was tried, for config.json
  const char* chosen;
} UsTrainingFilm;

// The settings of either job. A job's list of this struct is its own list with US_SETTING_OF
// UsTrainingConfig, its values those of its `config`, by US_TRAINING_COPY.
typedef struct UsTrainingConfig {
  US_FINETUNE_SETTINGS(US_SETTING_FIELD)
  US_LATENT_SETTINGS(US_SETTING_FIELD)
  int gap;  // of us_pretrain: the most env steps between frames; 0: a block
} UsTrainingConfig;

#define US_TRAINING_COPY(type, name, ...) .name = config->name,

typedef struct UsTrainingJob {
  // Set by the job.
  const char* label;      // of the bar
  const UsSetting* list;  // the settings of the job in c: what the key is made of
  UsTrainingConfig c;
  const char* const* paths;    // NULL-terminated
  const double* weights;       // of the files. NULL: all alike
  const char* const* films;    // NULL-terminated. NULL: there is none
  const double* film_weights;  // NULL: all 1
  int acts;                    // 1: the predictor knows actions, one block between frames
  const struct UsTask* const* tasks;
  const char* given;  // names of settings that the task's own do not replace; NULL: none are
  // Set by the stages.
  const struct UsTask* task;  // of the first file; NULL: not among tasks
  UsDevice* device;
  UsPool* pool;
  UsLock* lock;  // of the folder
  UsTrainingData data;
  UsTrainingFilm film;
  UsTrainConfig train;  // a job adds to it what is its own before us_training_run
  UsPredictor* p;
  UsLatent* latent;  // whose predictor p is; NULL: p is the job's
  UsTrainer* t;
  // Hashes of the folder that p started from, its config and weights: "" where it was none or the
  // embedded one.
  char init[2][US_HASH_CHARS];
  cJSON* seen;        // what the encoder was trained on (encoder_jobs.h). NULL: not known
  cJSON* pretrained;  // what the predictor that p started from was trained on. NULL: none, unknown
  int64_t steps;      // taken for the weights that p has
  char key[48];
} UsTrainingJob;

// Checks what does not need the data, takes the folder, opens datasets, encoder and features, and
// makes the predictor with first weights. End with us_training_end in every case.
UsStatus us_training_prepare(UsTrainingJob* j);

// What trains: the predictor, or the latent actions that it is part of.
UsWorldModel* us_training_model(const UsTrainingJob* j);

// Whether the predictor keeps the normalisation that it has. One that was pretrained on several
// files has none to keep, for each file was brought to its own.
int us_training_normalised(const UsTrainingJob* j, int ready);

// Whether action blocks with first weights, in a predictor that has been trained or not (`ready`),
// are to be balanced.
int us_training_balances(const UsTrainingJob* j, int ready);

// Trains, or says in result->complete that the folder holds this finished run. `ready`: 1 when the
// predictor has weights of its own to start from. The same with labels of a film.
UsStatus us_training_run(UsTrainingJob* j, int ready, UsTrainResult* result);
UsStatus us_training_film_run(UsTrainingJob* j, int ready, UsTrainResult* result);

// One way through steps. A stage that a run before has finished is at its end at once, with the
// same weights, so a job of several goes through all of them.
typedef struct UsTrainingStage {
  const char *label, *log, *checkpoint;  // of the bar; names of files in the folder
  char key[64];
  UsTrainConfig train;
  UsTrainData data;  // bfloat is the device's
  int ready;         // 1: the predictor keeps the normalisation that it has
  int fresh;         // 1: its action blocks have first weights, which are to be balanced
} UsTrainingStage;

// What comes before the first stage: samplers and key; then look at result->complete.
UsStatus us_training_begin(UsTrainingJob* j, UsTrainResult* result);
UsStatus us_training_stage(UsTrainingJob* j, const UsTrainingStage* stage, UsValidation* v);

// What was trained on, for config.json: of a file name and content (a path is nobody's business),
// and how many of its episodes; of a job all.
cJSON* us_training_file_notes(UsDataset* data, int64_t episodes);
cJSON* us_training_notes(const UsTrainingJob* j, UsValidation v);

// Makes a finished folder that is overwritten an unfinished one: what is written next, up to the
// config, is not to be read with the old config.
void us_training_clear(const UsTrainingJob* j);

// Removes the checkpoint of a run whose folder is whole, and frees everything.
void us_training_end(UsTrainingJob* j, int whole);

// ---- the stages of the data ----

// Opens a file whose actions are, or of a film are not, to be read. What is no dataset but may be
// film as people have it is told the way to one.
UsStatus us_training_file_open(const char* path, int film, UsDataset** out);

// Opens and hashes the files and finds the task of the first.
UsStatus us_training_data_open(UsTrainingJob* j);

// Opens the encoder, or makes it from the first file, and computes the features; without actions
// and with several files, their normalisations too.
UsStatus us_training_data_encode(UsTrainingJob* j);

// Makes the samplers: T = frames at K or varied gaps, held-back ones of `held` frames.
UsStatus us_training_data_sample(UsTrainingJob* j, int frames, int held);

// Episodes of dataset i that are held back.
int64_t us_training_held(const UsTrainingData* d, int i);

// UsBatchSources over a UsTrainingData: a sample of any of the datasets, drawn by their shares;
// held back ones of those that have any.
void us_training_source(void* data, int64_t step, int b, UsBatch* out);
void us_training_held_source(void* data, int64_t step, int b, UsBatch* out);

void us_training_data_close(UsTrainingData* d);

// ---- the stages of a film ----

// Opens and hashes its files, refuses what does not go with the data, and computes their features.
UsStatus us_training_film_open(UsTrainingJob* j);

// Adds what the film is to what a key is made of.
void us_training_film_key(const UsTrainingJob* j, cJSON* all);

// Fits the inverse model and names the actions, or reads what a run before found.
UsStatus us_training_film_label(UsTrainingJob* j);

// A stage's errors as shares of those of another, in the geometric mean over trajectories, and
// what lies two standard errors from it. Not finite without two trajectories to compare on.
typedef struct UsStageGain {
  double ratio, low, high;
  int trajectories;
} UsStageGain;

// Open-loop errors of the weights that the last stage left, of each held-back trajectory of the
// data, into error; NaN where one is too short.
UsStatus us_training_film_judge(UsTrainingJob* j, double* error);

// The stage to be kept, of (stages, episodes) errors: `first`, or one that is clearly better or
// better beyond the noise of the trajectories (film_choice.c). gain: (stages), to `first`.
int us_training_film_choose(int stages, int first, int64_t episodes, const double* const* error,
                            UsStageGain* gain);

// Adds what became of it to the notes.
void us_training_film_notes(const UsTrainingJob* j, cJSON* notes);

void us_training_film_close(UsTrainingFilm* f);

#endif  // UNDERSTUDY_TRAINING_JOB_H_
