// The trainer's steps: the gradients of the shards, which optimiser.h sums and follows. The loop
// around them, with log and checkpoints, is train_run.c.

#include "worldmodel/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/ops.h"
#include "worldmodel/training/train_inner.h"

enum { kShardRows = 256, kShardMost = 32, kHorizonMost = 64 };

UsTrainConfig us_train_defaults(const UsWorldModel* m, const UsTrainConfig* config) {
  UsTrainConfig c = *config;
  int context = m->context;
  if (!c.batch) c.batch = 128;
  if (!c.frames) c.frames = context + (c.rollout > 2 ? c.rollout : 2);
  if (!c.first) c.first = context;
  if (!(c.rollout_weight > 0)) c.rollout_weight = 1;
  if (!(c.beta > 0)) c.beta = 1;
  if (!(c.rate > 0)) c.rate = 1e-3f;
  if (!(c.trunk_rate > 0)) c.trunk_rate = 1;
  if (!c.warmup) c.warmup = 100;
  if (!(c.clip > 0)) c.clip = 1;
  if (!c.horizon) c.horizon = 5;
  if (!c.validate_every) c.validate_every = 500;
  if (!c.validate_batches) c.validate_batches = 4;
  return c;
}

// ---- making ----

// Takes the memory of a batch, in which every sample has its place.
static int place_batch(const UsWorldModel* m, int batch, int frames, UsBatch* out) {
  size_t n = (size_t)batch * (size_t)frames;
  out->batch = batch;
  out->frames = frames;
  out->latents = calloc(n * (size_t)(m->grid_h * m->grid_w * m->dim), sizeof(float));
  out->times = calloc(n, sizeof(float));
  out->actions = m->action ? calloc(n * (size_t)(m->block * m->action), sizeof(float)) : NULL;
  return out->latents && out->times && (out->actions || !m->action);
}

static void free_batch(UsBatch* b) {
  free(b->latents);
  free(b->times);
  free(b->actions);
}

// What the loss of a shard is asked for, and of a held-back one: there the whole open loop.
static UsLossConfig loss_of_training(const UsTrainer* t) {
  const UsTrainConfig* c = &t->c;
  return (UsLossConfig){.batch = t->shard,
                        .frames = c->frames,
                        .first = c->first,
                        .rollout = c->rollout,
                        .weight = c->rollout_weight,
                        .beta = c->beta};
}

static UsLossConfig loss_of_held(const UsTrainer* t) {
  return (UsLossConfig){.batch = t->shard, .frames = t->held_frames, .rollout = t->c.horizon};
}

// What all of a trainer takes: gradients of the shards, three more of their size, the samples, and
// what every worker keeps of a shard.
static double bytes_of(const UsTrainer* t) {
  const UsWorldModel* m = t->m;
  const UsLossConfig train = loss_of_training(t), held = loss_of_held(t);
  double frames = (double)t->c.batch * (t->c.frames + (t->held.fill ? t->held_frames : 0));
  double sample = frames * (m->grid_h * m->grid_w * m->dim + m->block * m->action + 1);
  size_t floats = t->m->cls->list(t->m)->floats;
  double tapes =
      t->m->cls->tape_bytes(t->m, &train) + (t->held.fill ? t->m->cls->tape_bytes(t->m, &held) : 0);
  return (double)sizeof(float) * (sample + (double)floats) + us_optimiser_bytes(floats, t->shards) +
         t->workers * tapes;
}

// Sums that the loss of a shard gives.
static size_t loss_sums(const UsTrainer* t) {
  return t->c.rollout > 1 ? (size_t)t->c.rollout : 1;
}

// All memory of a trainer, so that steps take none.
static UsStatus allocate(UsTrainer* t) {
  const UsTrainConfig* c = &t->c;
  // The optimiser: action blocks lead, the rest follows at its own rate or stands still.
  const UsParamList* list = t->m->cls->list(t->m);
  const UsOptimiserConfig config = {.shards = t->shards,
                                    .rate = c->rate,
                                    .warmup = c->warmup,
                                    .beta2 = 0.999f,
                                    .decay = c->decay,
                                    .clip = c->clip,
                                    .lead = US_PARAM_ACTION,
                                    .trail = c->action_only ? 0 : c->trunk_rate};
  US_TRY(
      us_optimiser_create(t->m->device, &config, 1, &list, t->m->cls->params(t->m), &t->optimiser));
  // Numbers per worker, shard and validation.
  t->worker = calloc((size_t)t->workers, sizeof(*t->worker));
  t->figures = calloc((size_t)t->shards * loss_sums(t), sizeof(double));
  t->sums = us_ops_alloc_sums(t->m->device, (size_t)t->shards * loss_sums(t));
  t->held_error = calloc((size_t)(4 * c->validate_batches * t->shards), sizeof(double));
  t->best = us_ops_alloc(t->m->device, list->floats);
  // Samples: the pool fills them in place, shard by shard.
  int ok = t->worker && t->figures && t->sums && t->held_error && t->best &&
           place_batch(t->m, c->batch, c->frames, &t->batch) &&
           (!t->held.fill || place_batch(t->m, c->batch, t->held_frames, &t->held_batch));
  // A worker computes one shard after the other on tapes of its own.
  const UsLossConfig train = loss_of_training(t), held = loss_of_held(t);
  for (int i = 0; ok && i < t->workers; i++) {
    t->worker[i].tape = t->m->cls->tape_create(t->m, &train);
    if (t->held.fill) t->worker[i].held = t->m->cls->tape_create(t->m, &held);
    ok = t->worker[i].tape && (t->worker[i].held || !t->held.fill);
  }
  return ok ? US_OK : us_fail(US_MEMORY, "training: out of memory");
}

// Refuses what does not go together.
static UsStatus check(const UsWorldModel* m, const UsTrainConfig* c) {
  int context = m->context, tokens = m->grid_h * m->grid_w;
  if (!m->cls->loss) {
    return us_fail(US_USAGE, "training: models of kind %s have no loss to train with",
                   m->cls->kind);
  }
  // Samples: long enough for context and rollout, short enough for attention over all of them.
  if (c->frames < context + (c->rollout > 1 ? c->rollout : 1)) {
    return us_fail(US_USAGE,
                   "training: %d frames are too few for a context of %d and a rollout of %d",
                   c->frames, context, c->rollout);
  }
  if (c->horizon > kHorizonMost) {
    return us_fail(US_USAGE, "training: expected a horizon of at most %d, found %d", kHorizonMost,
                   c->horizon);
  }
  int seen = c->frames - 1 > context + c->horizon - 1 ? c->frames - 1 : context + c->horizon - 1;
  if (seen > US_OPS_KEYS / tokens) {
    return us_fail(US_USAGE,
                   "training: expected samples of at most %d tokens, found %d frames of %d",
                   US_OPS_KEYS, seen, tokens);
  }
  // An end, and something to train.
  if (c->steps <= 0 && !(c->minutes > 0)) {
    return us_fail(US_USAGE, "training: expected a number of steps or minutes, found neither");
  }
  if (c->action_only && m->action == 0) {
    return us_fail(US_USAGE, "training: a predictor without actions has no action blocks to train");
  }
  return US_OK;
}

UsStatus us_trainer_create(UsWorldModel* m, const UsTrainConfig* config, UsTrainData train,
                           UsTrainData held, UsPool* pool, UsTrainer** out) {
  *out = NULL;
  UsTrainConfig c = us_train_defaults(m, config);
  US_TRY(check(m, &c));
  UsTrainer* t = calloc(1, sizeof(*t));
  if (!t) return us_fail(US_MEMORY, "training: out of memory");
  *t = (UsTrainer){.m = m, .c = c, .train = train, .held = held, .pool = pool};
  // The shards depend on the config alone, so that results do not depend on the threads. Each has
  // samples of a power of two that divides the batch, with at most kShardRows queries.
  int rows = (c.frames - c.first) * m->grid_h * m->grid_w;
  t->shard = kShardMost;
  while (t->shard > 1 && (t->shard * rows > kShardRows || c.batch % t->shard != 0)) t->shard /= 2;
  t->shards = c.batch / t->shard;
  t->workers = us_pool_threads(pool);
  t->held_frames = m->context + c.horizon;
  t->at = (TrainState){.best_error = INFINITY, .one_step = NAN, .open_loop = NAN};
  // What the machine does not have is refused before it is taken.
  UsStatus status = us_machine_need_memory("training", bytes_of(t));
  if (status == US_OK) status = allocate(t);
  if (status == US_OK) *out = t;
  if (status != US_OK) us_trainer_destroy(t);
  return status;
}

void us_trainer_destroy(UsTrainer* t) {
  if (!t) return;
  for (int i = 0; t->worker && i < t->workers; i++) {
    t->m->cls->tape_destroy(t->worker[i].tape);
    t->m->cls->tape_destroy(t->worker[i].held);
  }
  us_optimiser_destroy(t->optimiser);
  us_ops_free(t->m->device, t->best);
  free_batch(&t->batch);
  free_batch(&t->held_batch);
  free(t->worker);
  us_ops_free(t->m->device, t->sums);
  free(t->figures);
  free(t->held_error);
  free(t);
}

int64_t us_trainer_steps(const UsTrainer* t) {
  return t->at.step;
}

void us_trainer_seconds(const UsTrainer* t, double* sampling, double* all) {
  *sampling = 0;
  *all = us_optimiser_seconds(t->optimiser);
  for (int i = 0; i < t->workers; i++) {
    *sampling += t->worker[i].sampling;
    *all += t->worker[i].busy;
  }
}

// ---- a shard ----

// The samples of one shard of a batch.
static UsBatch slice(const UsTrainer* t, const UsBatch* b, int shard) {
  const UsWorldModel* m = t->m;
  size_t first = (size_t)shard * (size_t)t->shard, frames = (size_t)b->frames;
  size_t one = (size_t)(m->grid_h * m->grid_w * m->dim);
  UsBatch out = {.batch = t->shard, .frames = b->frames};
  out.latents = b->latents + first * frames * one;
  out.times = b->times + first * frames;
  if (b->actions) {
    out.actions = b->actions + first * (frames - 1) * (size_t)(m->block * m->action);
  }
  return out;
}

// Asks a source for the samples of one shard.
static void fill(const UsTrainer* t, const UsTrainData* data, int64_t step, int shard, UsBatch* b) {
  for (int i = 0; i < t->shard; i++) data->fill(data->source, step, shard * t->shard + i, b);
}

// Samples and gradient of one shard.
static void shard_item(void* arg, int item, int worker) {
  UsTrainer* t = arg;
  Worker* w = &t->worker[worker];
  if (us_interrupted()) return;
  double start = us_seconds();
  fill(t, &t->train, t->at.step, item, &t->batch);
  double filled = us_seconds();
  UsBatch shard = slice(t, &t->batch, item);
  t->m->cls->loss(t->m, w->tape, &shard, t->c.batch, t->c.action_only,
                  us_optimiser_gradient(t->optimiser, item), t->sums + (size_t)item * loss_sums(t));
  w->sampling += filled - start;
  w->busy += us_seconds() - start;
}

UsTrainStep us_trainer_step(UsTrainer* t, double progress) {
  UsTrainStep out = {.step = ++t->at.step};
  // The gradient of every shard, then of the batch. A step that was stopped did not happen.
  us_pool_run(t->pool, t->shards, shard_item, t);
  out.norm = us_optimiser_sum(t->optimiser, t->pool);
  if (us_interrupted()) {
    t->at.step--;
    out.finite = out.stopped = 1;
    return out;
  }
  // The losses, in one read from the device.
  const UsLossConfig loss = loss_of_training(t);
  us_ops_get_sums(t->m->device, t->sums, t->figures, (size_t)t->shards * loss_sums(t));
  for (int i = 0; i < t->shards; i++) {
    UsLosses l = us_losses_of(&loss, t->figures + (size_t)i * loss_sums(t));
    out.teacher += l.teacher;
    out.rollout += l.rollout;
  }
  // The weights follow; what is not finite leaves them as they were.
  out.finite = isfinite(out.teacher + out.rollout + out.norm);
  if (out.finite) {
    out.rate = us_optimiser_update(t->optimiser, out.step, progress, t->pool);
  } else {
    t->at.step--;
  }
  return out;
}

// ---- validation ----

// Errors of one shard: of the next frame and of the last, beside those of repeating the frame
// before.
static void validate_item(void* arg, int item, int worker) {
  UsTrainer* t = arg;
  UsTape* tape = t->worker[worker].held;
  double error[kHorizonMost], copy[kHorizonMost];
  if (us_interrupted()) return;
  fill(t, &t->held, t->validating, item, &t->held_batch);
  UsBatch shard = slice(t, &t->held_batch, item);
  t->m->cls->loss(t->m, tape, &shard, t->shard, 0, NULL, NULL);
  t->m->cls->errors(tape, error, copy);
  double* out = t->held_error + 4 * (size_t)(t->validating * t->shards + item);
  out[0] = error[0];
  out[1] = copy[0];
  out[2] = error[t->c.horizon - 1];
  out[3] = copy[t->c.horizon - 1];
}

UsValidation us_trainer_validate(UsTrainer* t) {
  if (!t->held.fill) return (UsValidation){NAN, NAN, 0};
  double sum[4] = {0};
  // Always the same batches, so that validations of a run compare.
  for (t->validating = 0; t->validating < t->c.validate_batches; t->validating++) {
    us_pool_run(t->pool, t->shards, validate_item, t);
  }
  // Ratios of sums, which a sample without motion cannot upset; added in the order of shards.
  for (int i = 0; i < t->c.validate_batches * t->shards; i++) {
    for (int k = 0; k < 4; k++) sum[k] += t->held_error[4 * i + k];
  }
  return (UsValidation){sum[0] / sum[1], sum[2] / sum[3], 1};
}

// ---- normalisation ----

UsStatus us_trainer_normalise(UsTrainer* t, int batches) {
  const UsWorldModel* m = t->m;
  int d = m->dim, tokens = t->c.batch * t->c.frames * m->grid_h * m->grid_w;
  double* sum = calloc(2 * (size_t)d, sizeof(double));
  float* mean = calloc((size_t)d, sizeof(float));
  UsStatus status = sum && mean ? US_OK : us_fail(US_MEMORY, "training: out of memory");
  // Sums and squares, number by number of a token, over the batches that training begins with.
  UsProgress bar = us_progress_start("normalise", "batches", batches, 0);
  for (int b = 0; b < batches && status == US_OK; b++) {
    for (int s = 0; s < t->shards && !us_interrupted(); s++) {
      fill(t, &t->train, b + 1, s, &t->batch);
    }
    for (int r = 0; r < tokens && !us_interrupted(); r++) {
      for (int i = 0; i < d; i++) {
        double x = t->batch.latents[(size_t)r * (size_t)d + (size_t)i];
        sum[i] += x;
        sum[d + i] += x * x;
      }
    }
    status = us_progress_step(&bar, b + 1, "training");
  }
  us_progress_end(&bar);
  // A mean for each number, one deviation for all: numbers that vary little stay small.
  double n = (double)batches * tokens, variance = 0;
  for (int i = 0; i < d && status == US_OK; i++) {
    double m = sum[i] / n;
    mean[i] = (float)m;
    variance += fmax(sum[d + i] / n - m * m, 0) / d;
  }
  if (status == US_OK) {
    t->m->cls->set_norm(t->m, mean, variance > 0 ? (float)sqrt(variance) : 1);
  }
  free(sum);
  free(mean);
  return status;
}
