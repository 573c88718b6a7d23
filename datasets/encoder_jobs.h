#ifndef UNDERSTUDY_ENCODER_JOBS_H_
#define UNDERSTUDY_ENCODER_JOBS_H_

// Encoders and datasets: training one from frames, probing what its features know, and opening or
// making the one that goes with a dataset.
//
// Progress, the wish to stop and lines for people go through the hooks of
// worldmodel/base/progress.h. Threads: one job at a time in a thread; inside, the pool works.

#include "datasets/dataset.h"
#include "worldmodel/autoencoder.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/pool.h"
#include "worldmodel/base/settings.h"
#include "worldmodel/encoder.h"

US_C_BEGIN

struct UsTask;

// What --encoder is called in a help text.
#define US_ENCODER_HELP "a folder, or default" US_ENCODERS_MADE_TEXT

// The encoder `name` for a dataset: one of the kinds US_ENCODERS_MADE, made from its rows, or else
// what us_encoder_open opens. A `state` encoder needs the dataset's task to be among `tasks`
// (NULL-terminated). On failure *out is NULL. Nullable: tasks, pool, device (the CPU).
US_API UsStatus us_dataset_encoder(const char* name, UsDataset* data,
                                   const struct UsTask* const* tasks, UsPool* pool,
                                   UsDevice* device, UsEncoder** out);

// ---- training ----

// The settings of training, and those that the job adds.
#define US_ENCODER_TRAIN_SETTINGS(X)                                                           \
  US_AUTOENCODER_SETTINGS(X)                                                                   \
  X(INT, dim, 64, 1, 4096, RESULT, "D", "numbers of the vector, or of a token")                \
  X(FLAG, grid, 0, 0, 1, RESULT, NULL, "a token for every patch, without anchor")              \
  X(INT, width, 96, 8, 4096, RESULT, "W", "width of the ViT")                                  \
  X(INT, depth, 2, 1, 64, RESULT, "L", "blocks of the ViT")                                    \
  X(INT, patch, 8, 1, 256, RESULT, "PX", "side of its patches; half as long: 4 times as dear") \
  X(INT, frames, 60000, 1, 2000000, RESULT, "N", "frames kept in memory, over all datasets")   \
  X(REAL, minutes, 0, 0, 1e9, FREE, "M", "stop and save after so long; 0: at the last step")   \
  US_DEVICE_SETTINGS(X)                                                                        \
  X(FLAG, resume, 0, 0, 1, FREE, NULL, "go on from the checkpoint in --out, if it is there")

// The folder also gets training.json, what the files are known by (provenance.h): trainings with
// this encoder note it, so that evaluations refuse its data too. Start from
// us_encoder_train_defaults().
typedef struct UsEncoderTrainConfig {
  US_ENCODER_TRAIN_SETTINGS(US_SETTING_FIELD)
  const char* const* data;  // (datasets): their files, with frames of one size
  int datasets;
  const char* out;  // the folder to write
  UsPool* pool;     // Nullable: one thread
  // Called when the folder was written, with the encoder as it is by then and the frames of every
  // dataset, to draw from; a failure ends training. Nullable.
  UsStatus (*saved)(void* user, const UsEncoder* e, int datasets, const UsFrameSet* frames);
  void* user;
} UsEncoderTrainConfig;

typedef struct UsEncoderTrainResult {
  int steps;      // done, those of earlier runs included
  double loss;    // the pixels' part, a mean over the last steps; NaN where none compared pixels
  double anchor;  // mean (z - z*)^2 of the last step
} UsEncoderTrainResult;

extern US_API const UsSetting us_encoder_train_settings[];
US_API UsEncoderTrainConfig us_encoder_train_defaults(void);

// Trains an encoder as an autoencoder on the frames of all datasets and writes config.json,
// model.safetensors, decoder.safetensors, checkpoint.safetensors and log.jsonl. The folder is
// locked meanwhile. US_INTERRUPTED saves first; `resume` goes on, or begins where nothing is there.
// Nullable: result.
US_API UsStatus us_encoder_train(const UsEncoderTrainConfig* config, UsEncoderTrainResult* result);

// ---- probing ----

#define US_ENCODER_PROBE_SETTINGS(X)                                          \
  X(INT, frames, 10000, 100, 2000000, RESULT, "N", "rows used")               \
  X(INT, dim, 64, 1, 8192, RESULT, "D", "numbers of an encoder that is made") \
  US_DEVICE_SETTINGS(X)

// Start from us_encoder_probe_defaults().
typedef struct UsEncoderProbeConfig {
  US_ENCODER_PROBE_SETTINGS(US_SETTING_FIELD)
  const char* encoder;                // as us_dataset_encoder's name
  const char* data;                   // a dataset with frames and states
  const struct UsTask* const* tasks;  // to name the numbers of a state. Nullable
  UsPool* pool;                       // Nullable: one thread
} UsEncoderProbeConfig;

// How well a number of the state is read out of the features: R^2 on held-out rows.
typedef struct UsProbeTarget {
  char name[64];
  float linear, network;
} UsProbeTarget;

enum { US_PROBE_RANGES = 3 };

typedef struct UsEncoderProbeResult {
  char kind[16];
  int tokens, dim;  // G, D
  int rows;         // that were used
  int width;        // numbers of a row that were fitted: G D, or a random projection
  int targets;
  UsProbeTarget* target;   // (targets)
  double linear, network;  // means over the targets
  // Spearman's correlation of latent and true distance over all pairs, and over those nearer than a
  // quarter and a tenth of the mean true distance; pairs 0: too few were found.
  double correlation[US_PROBE_RANGES];
  int pairs[US_PROBE_RANGES];
} UsEncoderProbeResult;

extern US_API const UsSetting us_encoder_probe_settings[];
US_API UsEncoderProbeConfig us_encoder_probe_defaults(void);

// Fits the true state from the features of frames and compares distances. Free the result with
// us_encoder_probe_free, in every case.
US_API UsStatus us_encoder_probe(const UsEncoderProbeConfig* config, UsEncoderProbeResult* result);
US_API void us_encoder_probe_free(UsEncoderProbeResult* result);

US_C_END

#endif  // UNDERSTUDY_ENCODER_JOBS_H_
