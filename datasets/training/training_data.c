// The data of a training job: every file is opened and hashed once, features and samplers follow.

#include <math.h>
#include <string.h>

#include "datasets/encoder_jobs.h"
#include "datasets/training/training_job.h"
#include "env/scene.h"
#include "worldmodel/base/rng.h"

enum { kDefaultBlock = 5 };

// ---- opening ----

UsStatus us_training_data_open(UsTrainingJob* j) {
  UsTrainingData* d = &j->data;
  // Files: what they hold is checked before anything long begins.
  for (int i = 0; j->paths[i]; i++) {
    if (i == US_TRAINING_FILES) {
      return us_fail(US_USAGE, "--data: expected at most %d files", US_TRAINING_FILES);
    }
    US_TRY(us_dataset_open(j->paths[i], &d->data[i]));
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
                     "%s: expected a column action, found film without one (pretrain takes film)",
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
    // The last twentieth of the episodes is held back.
    int64_t held = (b->episodes + 19) / 20;
    d->trained[i] = b->episodes > held ? b->episodes - held : b->episodes;
    US_TRY(us_dataset_hash(d->data[i], d->hash[i]));
  }
  // A task that is not known here has no settings, no more.
  const char* task = us_dataset_info(d->data[0])->task;
  if (us_scene_find(task, task, j->tasks, &j->task) != US_OK) j->task = NULL;
  return US_OK;
}

UsStatus us_training_data_encode(UsTrainingJob* j) {
  UsTrainingData* d = &j->data;
  int own = j->task ? j->task->block : kDefaultBlock;
  d->seed = j->c.seed;
  d->block = j->c.block ? j->c.block : own;
  // One encoder for all, and what it makes of their frames.
  US_TRY(us_dataset_encoder(j->c.encoder, d->data[0], j->tasks, j->pool, j->device, &d->encoder));
  const UsFeaturesPlace place = {.folder = j->c.cache, .spare = j->c.out};
  for (int i = 0; i < d->count; i++) {
    US_TRY(us_features_open(d->data[i], d->encoder, &place, j->pool, &d->features[i]));
  }
  return US_OK;
}

void us_training_data_close(UsTrainingData* d) {
  for (int i = 0; i < d->count; i++) {
    us_sampler_destroy(d->train[i]);
    us_sampler_destroy(d->held[i]);
    us_features_close(d->features[i]);
    us_dataset_close(d->data[i]);
  }
  us_encoder_destroy(d->encoder);
}

// ---- samples ----

UsStatus us_training_data_sample(UsTrainingJob* j, int frames, int held) {
  UsTrainingData* d = &j->data;
  d->holds = 1;
  for (int i = 0; i < d->count; i++) {
    // The first episodes train, those behind them are held back.
    int64_t behind = us_dataset_info(d->data[i])->episodes - d->trained[i];
    const UsSamplerConfig train = {.seed = j->c.seed,
                                   .frames = frames,
                                   .block = d->block,
                                   .gap_max = j->c.gap,
                                   .episodes = d->trained[i]};
    const UsSamplerConfig last = {.seed = j->c.seed,
                                  .use = US_SAMPLE_HELD,
                                  .frames = held,
                                  .block = d->block,
                                  .first = d->trained[i],
                                  .episodes = behind};
    US_TRY(us_sampler_create(d->data[i], d->features[i], &train, &d->train[i]));
    // Without a held-back episode that is long enough nothing is measured.
    UsStatus status =
        behind > 0 ? us_sampler_create(d->data[i], d->features[i], &last, &d->held[i]) : US_FORMAT;
    if (status != US_OK && status != US_FORMAT) return status;
    d->holds &= status == US_OK;
  }
  return US_OK;
}

// Which dataset a sample comes from; training and validation have streams of their own.
static int pick_dataset(const UsTrainingData* d, int64_t step, int b, uint32_t stream) {
  if (d->count == 1) return 0;
  UsRng r = us_rng(d->seed, US_RNG_BATCH, (uint64_t)step, (uint64_t)b, stream);
  return (int)us_rng_below(&r, (uint32_t)d->count);
}

void us_training_source(void* data, int64_t step, int b, UsBatch* out) {
  const UsTrainingData* d = data;
  us_sampler_source(d->train[pick_dataset(d, step, b, 2)], step, b, out);
}

void us_training_held_source(void* data, int64_t step, int b, UsBatch* out) {
  const UsTrainingData* d = data;
  us_sampler_source(d->held[pick_dataset(d, step, b, 3)], step, b, out);
}
