// The data of a training job: every file is opened and hashed once, features and samplers follow.

#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/encoder_jobs.h"
#include "datasets/training/training_job.h"
#include "datasets/video.h"
#include "env/scene.h"
#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/rng.h"

enum { kDefaultBlock = 5 };

// ---- opening ----

// What part of the samples comes from each file.
static UsStatus share_out(UsTrainingJob* j) {
  UsTrainingData* d = &j->data;
  double sum = 0;
  d->alike = 1;
  for (int i = 0; i < d->count; i++) {
    double weight = j->weights ? j->weights[i] : 1;
    if (!(weight > 0) || !isfinite(weight)) {
      return us_fail(US_USAGE, "--data: expected a weight above 0 for %s, found %g",
                     us_dataset_path(d->data[i]), weight);
    }
    d->share[i] = weight;
    d->alike &= weight == d->share[0];
    sum += weight;
  }
  for (int i = 0; i < d->count; i++) d->share[i] /= sum;
  return US_OK;
}

UsStatus us_training_file_open(const char* path, int film, UsDataset** out) {
  UsStatus status = film ? us_dataset_open_film(path, out) : us_dataset_open(path, out);
  if (status == US_OK || !us_file_exists(path) || !us_video_is(path)) return status;
  return us_fail(US_FORMAT,
                 "%s: expected a dataset, found none; `dataset import` makes one of film", path);
}

UsStatus us_training_data_open(UsTrainingJob* j) {
  UsTrainingData* d = &j->data;
  // Files: what they hold is checked before anything long begins.
  for (int i = 0; j->paths[i]; i++) {
    if (i == US_TRAINING_FILES) {
      return us_fail(US_USAGE, "--data: expected at most %d files", US_TRAINING_FILES);
    }
    US_TRY(us_training_file_open(j->paths[i], 0, &d->data[i]));
    d->count = i + 1;
    // Frames of another size are refused: one encoder reads them all.
    const UsDatasetInfo *a = us_dataset_info(d->data[0]), *b = us_dataset_info(d->data[i]);
    if (a->height != b->height || a->width != b->width) {
      return us_fail(US_FORMAT, "%s: expected frames of %d x %d as in %s, found %d x %d",
                     us_dataset_path(d->data[i]), a->width, a->height, us_dataset_path(d->data[0]),
                     b->width, b->height);
    }
    // So are film, and trajectories in which nothing acts, as those of a model without controls.
    if (j->acts && b->action == 0) {
      return us_fail(US_FORMAT,
                     "%s: expected a column action, found film without one (pretrain "
                     "and --film take it)",
                     us_dataset_path(d->data[i]));
    }
    const float* actions = us_dataset_actions(d->data[i]);
    int64_t at = 0, numbers = b->rows * b->action;
    while (j->acts && at < numbers && !(fabsf(actions[at]) > 0)) at++;  // NaN in last rows
    if (j->acts && at == numbers) {
      return us_fail(US_FORMAT,
                     "%s: expected actions, found 0 alone: there is nothing to plan with (pretrain "
                     "takes such trajectories)",
                     us_dataset_path(d->data[i]));
    }
    // The last twentieth of the episodes is held back; a tenth where they have to judge labels too,
    // at least two.
    int64_t part = j->films ? 10 : 20, held = (b->episodes + part - 1) / part;
    if (j->films && held < 2 && b->episodes > 3) held = 2;
    d->trained[i] = b->episodes > held ? b->episodes - held : b->episodes;
    US_TRY(us_dataset_hash(d->data[i], d->hash[i]));
  }
  US_TRY(share_out(j));
  // A task that is not known here has no settings, no more.
  const char* task = us_dataset_info(d->data[0])->task;
  if (us_scene_find(task, task, j->tasks, &j->task) != US_OK) j->task = NULL;
  return US_OK;
}

// Mean and common deviation of the features of file i, of at most kLooks rows that train.
static UsStatus normalise(UsTrainingData* d, int i) {
  enum { kLooks = 1 << 14 };
  const int tokens = us_features_tokens(d->features[i]), dim = us_features_dim(d->features[i]);
  const int64_t last = d->trained[i] - 1;
  const int64_t rows = us_dataset_offsets(d->data[i])[last] + us_dataset_lengths(d->data[i])[last];
  const int64_t looks = rows < kLooks ? rows : kLooks;
  double* sum = calloc(2 * (size_t)dim, sizeof(double));
  float* row = malloc((size_t)tokens * (size_t)dim * sizeof(float));
  d->mean[i] = calloc((size_t)dim, sizeof(float));
  UsStatus status = sum && row && d->mean[i] ? US_OK : us_fail(US_MEMORY, "out of memory");
  for (int64_t k = 0; k < looks && status == US_OK; k++) {
    us_features_read(d->features[i], k * rows / looks, row);
    for (int at = 0; at < tokens * dim; at++) {
      sum[at % dim] += row[at];
      sum[dim + at % dim] += (double)row[at] * row[at];
    }
  }
  double variance = 0, n = (double)looks * tokens;
  for (int k = 0; k < dim && status == US_OK; k++) {
    d->mean[i][k] = (float)(sum[k] / n);
    variance += fmax(sum[dim + k] / n - sum[k] / n * (sum[k] / n), 0) / dim;
  }
  // Frames that are all the same have none.
  d->scale[i] = variance > 0 ? (float)sqrt(variance) : 1;
  free(row);
  free(sum);
  return status;
}

UsStatus us_training_data_encode(UsTrainingJob* j) {
  UsTrainingData* d = &j->data;
  int own = j->task ? j->task->block : kDefaultBlock;
  d->seed = j->c.seed;
  d->block = j->c.block ? j->c.block : own;
  d->latent = j->c.latent_actions ? j->c.latent_dim : 0;
  // One encoder for all, and what it makes of their frames.
  US_TRY(us_dataset_encoder(j->c.encoder, d->data[0], j->tasks, j->pool, j->device, &d->encoder));
  char notes[4096];
  int room = snprintf(notes, sizeof(notes), "%s/training.json", j->c.encoder) < (int)sizeof(notes);
  if (room && us_file_exists(notes)) US_TRY(us_json_read(notes, &j->seen));
  const UsFeaturesPlace place = {.folder = j->c.cache, .spare = j->c.out};
  for (int i = 0; i < d->count; i++) {
    US_TRY(us_features_open(d->data[i], d->encoder, &place, j->pool, &d->features[i]));
  }
  // Scenes lie up to 30 deviations of one of them from another: to a predictor of all of them its
  // own would be a constant and a little noise.
  for (int i = 0; i < d->count && d->count > 1 && !j->acts; i++) US_TRY(normalise(d, i));
  return US_OK;
}

void us_training_data_close(UsTrainingData* d) {
  for (int i = 0; i < d->count; i++) {
    us_sampler_destroy(d->train[i]);
    us_sampler_destroy(d->held[i]);
    us_features_close(d->features[i]);
    free(d->mean[i]);
    us_dataset_close(d->data[i]);
  }
  us_encoder_destroy(d->encoder);
}

// ---- samples ----

int64_t us_training_held(const UsTrainingData* d, int i) {
  return us_dataset_info(d->data[i])->episodes - d->trained[i];
}

UsStatus us_training_data_sample(UsTrainingJob* j, int frames, int held) {
  UsTrainingData* d = &j->data;
  for (int i = 0; i < d->count; i++) {
    // The first episodes train, those behind them are held back.
    int64_t behind = us_training_held(d, i);
    // In the place of an env step's action latent actions have the frame behind it.
    size_t one =
        (size_t)us_features_tokens(d->features[i]) * (size_t)us_features_dim(d->features[i]);
    const float* next = d->latent ? us_features_row(d->features[i], 0) : NULL;
    const uint16_t* bfloats = d->latent ? us_features_bfloats(d->features[i], 0) : NULL;
    if (next) next += one;
    if (bfloats) bfloats += one;
    const UsSamplerConfig train = {.seed = j->c.seed,
                                   .frames = frames,
                                   .block = d->block,
                                   .gap_max = d->latent ? 0 : j->c.gap,
                                   .episodes = d->trained[i],
                                   .actions = next,
                                   .bfloats = bfloats,
                                   .action = (int)one};
    const UsSamplerConfig last = {.seed = j->c.seed,
                                  .use = US_SAMPLE_HELD,
                                  .frames = held,
                                  .block = d->block,
                                  .first = d->trained[i],
                                  .episodes = behind,
                                  .actions = next,
                                  .bfloats = bfloats,
                                  .action = (int)one};
    US_TRY(us_sampler_create(d->data[i], d->features[i], &train, &d->train[i]));
    // Without a held-back episode that is long enough nothing is measured.
    UsStatus status =
        behind > 0 ? us_sampler_create(d->data[i], d->features[i], &last, &d->held[i]) : US_FORMAT;
    if (status != US_OK && status != US_FORMAT) return status;
    d->holds |= status == US_OK;
  }
  return US_OK;
}

// Which dataset a sample comes from, of those with a sampler; training and validation have streams
// of their own.
static int pick(const UsTrainingData* d, UsSampler* const* from, int64_t step, int b, int held) {
  UsRng r = us_rng(d->seed, US_RNG_BATCH, (uint64_t)step, (uint64_t)b, held ? 3 : 2);
  double all = 0;
  int have = 0, last = 0;
  for (int i = 0; i < d->count; i++) {
    if (!from[i]) continue;
    all += d->share[i];
    have++;
    last = i;
  }
  if (have == 1) return last;
  if (have == d->count && d->alike) return (int)us_rng_below(&r, (uint32_t)d->count);
  // A number below the sum of the shares, and the file whose share it falls into.
  double x = all * us_rng_uniform(&r);
  for (int i = 0; i < last; i++) {
    if (!from[i]) continue;
    x -= d->share[i];
    if (x < 0) return i;
  }
  return last;
}

// Normalises n numbers of file i in place; either array may be NULL.
static void bring(const UsTrainingData* d, int i, size_t n, float* x, uint16_t* bfloats) {
  const size_t dim = (size_t)us_features_dim(d->features[i]);
  if (!d->mean[i]) return;
  for (size_t k = 0; k < n; k++) {
    float from = x ? x[k] : us_bfloat_wide(bfloats[k]);
    float z = (from - d->mean[i][k % dim]) / d->scale[i];
    if (x) x[k] = z;
    if (!x) bfloats[k] = us_bfloat(z);
  }
}

// A sample, to train on or held back; for latent actions the frames of its env steps and, behind
// them, the noise of their codes, drawn from (seed, US_RNG_NOISE, step, b, 9), or 0 where nothing
// trains.
static void fill(const UsTrainingData* d, int held, int64_t step, int b, UsBatch* out) {
  UsSampler* const* from = held ? d->held : d->train;
  const int i = pick(d, from, step, b, held);
  UsBatch sample = *out;
  size_t one = (size_t)us_features_tokens(d->features[0]) * (size_t)us_features_dim(d->features[0]);
  size_t steps = (size_t)(out->frames - 1) * (size_t)d->block, noise = steps * (size_t)d->latent;
  // The sampler knows no noise, so each sample begins later than it thinks.
  if (d->latent) sample.actions += (size_t)b * noise;
  us_sampler_source(from[i], step, b, &sample);
  const size_t numbers = (size_t)out->frames * one, at = (size_t)b * numbers;
  bring(d, i, numbers, out->latents ? out->latents + at : NULL,
        out->latents ? NULL : out->bfloats + at);
  if (!d->latent) return;
  float* to = sample.actions + (size_t)b * steps * one;
  bring(d, i, steps * one, to, NULL);
  to += steps * one;
  UsRng r = us_rng(d->seed, US_RNG_NOISE, (uint64_t)step, (uint64_t)b, 9);
  for (size_t k = 0; k < noise; k++) to[k] = held ? 0 : us_rng_normal(&r);
}

void us_training_source(void* data, int64_t step, int b, UsBatch* out) {
  fill(data, 0, step, b, out);
}

void us_training_held_source(void* data, int64_t step, int b, UsBatch* out) {
  fill(data, 1, step, b, out);
}
