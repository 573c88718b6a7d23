// The trainer's steps: the gradients of the shards, which optimiser.h sums and follows. The loop
// around them, with log and checkpoints, is train_run.c.

#include "worldmodel/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/ops/ops_table.h"
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

// Takes the memory of a batch of a source, in which every sample has its place.
static int place_batch(const UsWorldModel* m, int batch, int frames, int weighted, int bfloat,
                       UsBatch* out) {
  size_t n = (size_t)batch * (size_t)frames, one = (size_t)(m->grid_h * m->grid_w * m->dim);
  out->batch = batch;
  out->frames = frames;
  out->latents = bfloat ? NULL : calloc(n * one, sizeof(float));
  out->bfloats = bfloat ? calloc(n * one, sizeof(uint16_t)) : NULL;
  out->times = calloc(n, sizeof(float));
  out->actions = m->action ? calloc(n * (size_t)(m->block * m->action), sizeof(float)) : NULL;
  out->weight = weighted ? calloc((size_t)batch, sizeof(float)) : NULL;
  return (out->latents || out->bfloats) && out->times && (out->actions || !m->action) &&
         (out->weight || !weighted);
}

static void free_batch(UsBatch* b) {
  free(b->latents);
  free(b->bfloats);
  free(b->times);
  free(b->actions);
  free(b->weight);
}

// What the loss of a shard is asked for, and of a held-back one: there the whole open loop.
static UsLossConfig loss_of_training(const UsTrainer* t) {
  const UsTrainConfig* c = &t->c;
  return (UsLossConfig){.batch = t->shard,
                        .frames = c->frames,
                        .first = c->first,
                        .rollout = c->rollout,
                        .weight = c->rollout_weight,
                        .beta = c->beta,
                        .detach = c->rollout_detach,
                        .bfloat = t->train.bfloat};
}

static UsLossConfig loss_of_held(const UsTrainer* t) {
  return (UsLossConfig){.batch = t->shard,
                        .frames = t->held_frames,
                        .rollout = t->c.horizon,
                        .bfloat = t->held.bfloat};
}

// Sums that the loss of a shard gives.
static int loss_sums(const UsTrainer* t) {
  return t->c.rollout > 1 ? t->c.rollout : 1;
}

// What a trainer takes of tensor memory: gradients of the shards, three more of their size, and
// what a worker keeps of a shard.
static double tensor_bytes(const UsTrainer* t) {
  const UsWorldModel* m = t->m;
  const UsLossConfig train = loss_of_training(t), held = loss_of_held(t);
  size_t floats = m->cls->list(m)->floats;
  double tape = m->cls->tape_bytes(m, &train) + (t->held.fill ? m->cls->tape_bytes(m, &held) : 0);
  return (double)sizeof(float) * (double)floats + us_optimiser_bytes(floats, t->shards) +
         t->tapes * tape;
}

// Of a batch of samples of so many frames.
static double batch_bytes(const UsTrainer* t, int frames, int bfloat) {
  const UsWorldModel* m = t->m;
  double features = (double)(m->grid_h * m->grid_w * m->dim) *
                    (double)(bfloat ? sizeof(uint16_t) : sizeof(float));
  double others = (double)sizeof(float) * (m->block * m->action + 1);
  return (double)t->c.batch * frames * (features + others);
}

// Refuses what does not fit. Tensor memory of the CPU is the machine's, as samples are.
static UsStatus need_memory(const UsTrainer* t) {
  const UsWorldModel* m = t->m;
  double samples = batch_bytes(t, t->c.frames, t->train.bfloat);
  if (t->held.fill) samples += batch_bytes(t, t->held_frames, t->held.bfloat);
  double tensors = tensor_bytes(t);
  if (!t->wide) return us_machine_need_memory("training", samples + tensors);
  US_TRY(us_machine_need_memory("training", samples));
  UsDeviceInfo info;
  us_device_info(m->device, &info);
  if (info.memory <= 0 || tensors <= info.unused) return US_OK;
  return us_ops_no_memory(m->device, "training", (size_t)tensors);
}

// All memory of a trainer, so that steps take none.
static UsStatus allocate(UsTrainer* t) {
  const UsTrainConfig* c = &t->c;
  // The optimiser: action blocks lead, the rest follows at its own rate or stands still.
  const UsParamList* list = t->m->cls->list(t->m);
  const UsOptimiserConfig config = {.shards = t->shards,
                                    .losses = t->shards * loss_sums(t),
                                    .unread = US_TRAIN_UNREAD,
                                    .rate = c->rate,
                                    .warmup = c->warmup,
                                    .beta2 = 0.999f,
                                    .decay = c->decay,
                                    .clip = c->clip,
                                    .lead = US_PARAM_ACTION,
                                    .trail = c->action_only ? 0 : c->trunk_rate};
  US_TRY(
      us_optimiser_create(t->m->device, &config, 1, &list, t->m->cls->params(t->m), &t->optimiser));
  // Numbers per worker, step and validation.
  size_t held_sums = (size_t)(c->validate_batches * t->shards * 2 * c->horizon);
  t->worker = calloc((size_t)t->workers, sizeof(*t->worker));
  t->figures = calloc(US_TRAIN_UNREAD, sizeof(*t->figures));
  t->held_error = calloc(held_sums, sizeof(double));
  t->held_sums = us_ops_alloc_sums(t->m->device, held_sums);
  t->best = us_ops_alloc(t->m->device, list->floats);
  // Samples: the pool fills them in place.
  int ok = t->worker && t->figures && t->held_error && t->held_sums && t->best &&
           place_batch(t->m, c->batch, c->frames, t->train.weighted, t->train.bfloat, &t->batch) &&
           (!t->held.fill ||
            place_batch(t->m, c->batch, t->held_frames, 0, t->held.bfloat, &t->held_batch));
  // A worker computes one shard after the other on tapes of its own.
  const UsLossConfig train = loss_of_training(t), held = loss_of_held(t);
  for (int i = 0; ok && i < t->tapes; i++) {
    t->worker[i].tape = t->m->cls->tape_create(t->m, &train);
    if (t->held.fill) t->worker[i].held = t->m->cls->tape_create(t->m, &held);
    ok = t->worker[i].tape && (t->worker[i].held || !t->held.fill);
  }
  return ok ? US_OK : us_ops_no_memory(t->m->device, "training", (size_t)tensor_bytes(t));
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

// The shards depend on config and kind of device alone, so that results do not depend on the
// threads: all of the batch on a wide device, else samples of a power of two that divides the
// batch, with at most kShardRows queries.
static int narrow_shard(const UsTrainer* t) {
  const UsTrainConfig* c = &t->c;
  int rows = (c->frames - c->first) * t->m->grid_h * t->m->grid_w, shard = kShardMost;
  while (shard > 1 && (shard * rows > kShardRows || c->batch % shard != 0)) shard /= 2;
  return shard;
}

static void set_shards(UsTrainer* t) {
  t->shard = t->wide ? t->c.batch : narrow_shard(t);
  t->shards = t->c.batch / t->shard;
}

UsStatus us_trainer_create(UsWorldModel* m, const UsTrainConfig* config, UsTrainData train,
                           UsTrainData held, UsPool* pool, UsTrainer** out) {
  *out = NULL;
  UsTrainConfig c = us_train_defaults(m, config);
  US_TRY(check(m, &c));
  UsTrainer* t = calloc(1, sizeof(*t));
  if (!t) return us_fail(US_MEMORY, "training: out of memory");
  *t = (UsTrainer){.m = m, .c = c, .train = train, .held = held, .pool = pool};
  t->wide = m->device->wide;
  t->workers = us_pool_threads(pool);
  t->tapes = t->wide ? 1 : t->workers;
  set_shards(t);
  t->held_frames = m->context + c.horizon;
  t->at = (TrainState){.best_error = INFINITY, .one_step = NAN, .open_loop = NAN};
  // What the machine does not have is refused before it is taken.
  UsStatus status = need_memory(t);
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
  us_ops_forget(t->m->device, t->recording);
  us_optimiser_destroy(t->optimiser);
  us_ops_free(t->m->device, t->best);
  free_batch(&t->batch);
  free_batch(&t->held_batch);
  free(t->worker);
  us_ops_free(t->m->device, t->held_sums);
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

// ---- samples ----

// The samples of one shard of a batch.
static UsBatch slice(const UsTrainer* t, const UsBatch* b, int shard) {
  const UsWorldModel* m = t->m;
  size_t first = (size_t)shard * (size_t)t->shard, frames = (size_t)b->frames;
  size_t one = (size_t)(m->grid_h * m->grid_w * m->dim);
  UsBatch out = {.batch = t->shard, .frames = b->frames};
  if (b->latents) out.latents = b->latents + first * frames * one;
  if (b->bfloats) out.bfloats = b->bfloats + first * frames * one;
  out.times = b->times + first * frames;
  if (b->weight) out.weight = b->weight + first;
  if (b->actions) {
    out.actions = b->actions + first * (frames - 1) * (size_t)(m->block * m->action);
  }
  return out;
}

// A batch that is asked for.
typedef struct Asked {
  UsTrainer* t;
  const UsTrainData* data;
  int64_t step;
  UsBatch* batch;
} Asked;

static void sample_item(void* arg, int item, int worker) {
  const Asked* a = arg;
  Worker* w = &a->t->worker[worker];
  if (us_interrupted()) return;
  double start = us_seconds();
  a->data->fill(a->data->source, a->step, item, a->batch);
  double seconds = us_seconds() - start;
  w->sampling += seconds;
  w->busy += seconds;
}

// Asks a source for the samples of one shard; of a wide device's only one they are there already.
static void fill(const UsTrainer* t, const UsTrainData* data, int64_t step, int shard, UsBatch* b) {
  for (int i = 0; i < t->shard; i++) data->fill(data->source, step, shard * t->shard + i, b);
}

// The pool fills a batch for a wide device, which may still be at work on the one before. On the
// CPU a worker fills the samples of its shard.
static void sample(UsTrainer* t, const UsTrainData* data, int64_t step, UsBatch* b) {
  Asked asked = {t, data, step, b};
  us_pool_run(t->pool, t->c.batch, sample_item, &asked);
}

// ---- a step ----

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
                  us_optimiser_gradient(t->optimiser, item),
                  us_optimiser_losses(t->optimiser) + (size_t)(item * loss_sums(t)));
  w->sampling += filled - start;
  w->busy += us_seconds() - start;
}

// All that a step does on a wide device once its samples are there: the same calls in every step.
// 0: it was stopped.
static int wide_step(UsTrainer* t) {
  t->m->cls->loss(t->m, t->worker[0].tape, NULL, t->c.batch, t->c.action_only,
                  us_optimiser_gradient(t->optimiser, 0), us_optimiser_losses(t->optimiser));
  us_optimiser_sum(t->optimiser, t->pool);
  if (us_interrupted()) return 0;
  us_optimiser_follow(t->optimiser, t->pool);
  return 1;
}

// The first step of a run takes what memory the device needs, the second is recorded, and from then
// on one call replays it. A device that cannot record is not asked again. 0: it was stopped.
static int replay_step(UsTrainer* t) {
  UsDevice* d = t->m->device;
  if (t->warm && !t->recording && !t->plain) {
    t->plain = !us_ops_record(d);
    if (!t->plain) {
      int whole = wide_step(t);
      t->recording = us_ops_recorded(d);
      if (!whole) {
        us_ops_forget(d, t->recording);
        t->recording = NULL;
        return 0;
      }
      t->plain = !t->recording;
    }
  }
  t->warm = 1;
  if (!t->recording) return wide_step(t);
  us_ops_replay(d, t->recording);
  return 1;
}

int us_trainer_step(UsTrainer* t, double progress) {
  t->at.step++;
  us_optimiser_schedule(t->optimiser, t->at.step, progress);
  // The gradient of every shard, then of the batch, and the weights follow; what is not finite
  // leaves them as they were. A step that was stopped did not happen.
  int done;
  if (t->wide) {
    sample(t, &t->train, t->at.step, &t->batch);
    double start = us_seconds();
    t->m->cls->load(t->m, t->worker[0].tape, &t->batch);
    done = !us_interrupted() && replay_step(t);
    t->worker[0].busy += us_seconds() - start;
  } else {
    us_pool_run(t->pool, t->shards, shard_item, t);
    us_optimiser_sum(t->optimiser, t->pool);
    done = !us_interrupted();
    if (done) us_optimiser_follow(t->optimiser, t->pool);
  }
  if (done) {
    us_optimiser_count(t->optimiser);
  } else {
    t->at.step--;
  }
  return done;
}

int us_trainer_figures(UsTrainer* t, const UsTrainStep** out) {
  const UsLossConfig loss = loss_of_training(t);
  const UsStepFigures* read;
  int n = us_optimiser_read(t->optimiser, &read);
  int64_t before = t->at.step - n;
  *out = t->figures;
  for (int i = 0; i < n; i++) {
    UsTrainStep* s = &t->figures[i];
    *s = (UsTrainStep){.step = before + i + 1,
                       .norm = read[i].norm,
                       .rate = read[i].rate,
                       .finite = read[i].finite};
    // The losses of a batch are those of its shards.
    for (int k = 0; k < t->shards; k++) {
      UsLosses l = us_losses_of(&loss, read[i].losses + (size_t)(k * loss_sums(t)));
      s->teacher += l.teacher;
      s->rollout += l.rollout;
    }
    // Steps from this one on did not happen.
    if (s->finite) continue;
    t->at.step = s->step - 1;
    return i + 1;
  }
  return n;
}

// ---- validation ----

// Errors of one shard, beside those of repeating the frame before.
static void validate_item(void* arg, int item, int worker) {
  UsTrainer* t = arg;
  UsTape* tape = t->worker[worker].held;
  if (us_interrupted()) return;
  if (!t->wide) fill(t, &t->held, t->validating, item, &t->held_batch);
  UsBatch shard = slice(t, &t->held_batch, item);
  t->m->cls->loss(t->m, tape, &shard, t->shard, 0, NULL, NULL);
  size_t at = (size_t)(t->validating * t->shards + item);
  t->m->cls->errors(tape, t->held_sums + at * 2 * (size_t)t->c.horizon);
}

UsValidation us_trainer_validate(UsTrainer* t) {
  if (!t->held.fill) return (UsValidation){NAN, NAN, 0};
  size_t shards = (size_t)(t->c.validate_batches * t->shards), last = (size_t)t->c.horizon - 1;
  double model[2] = {0}, copy[2] = {0};  // of the next frame, of the last
  // Always the same batches, so that validations of a run compare. Their errors are read once.
  for (t->validating = 0; t->validating < t->c.validate_batches; t->validating++) {
    if (t->wide) {
      sample(t, &t->held, t->validating, &t->held_batch);
      validate_item(t, 0, 0);
    } else {
      us_pool_run(t->pool, t->shards, validate_item, t);
    }
  }
  us_ops_get_sums(t->m->device, t->held_sums, t->held_error, shards * 2 * (last + 1));
  // Ratios of sums, which a sample without motion cannot upset; added in the order of shards.
  for (size_t i = 0; i < shards; i++) {
    const double* error = t->held_error + i * 2 * (last + 1);
    model[0] += error[0];
    model[1] += error[last];
    copy[0] += error[last + 1];
    copy[1] += error[last + 1 + last];
  }
  return (UsValidation){model[0] / copy[0], model[1] / copy[1], 1};
}

// ---- before the first step ----

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
        size_t at = (size_t)r * (size_t)d + (size_t)i;
        double x = t->batch.latents ? t->batch.latents[at] : us_bfloat_wide(t->batch.bfloats[at]);
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

UsStatus us_trainer_balance(UsTrainer* t) {
  if (!t->m->cls->balance || t->m->action == 0) return US_OK;
  // One shard is enough: so many rows tell a deviation well. On every device it is the same one.
  fill(t, &t->train, 1, 0, &t->batch);
  UsBatch shard = slice(t, &t->batch, 0);
  t->m->cls->loss(t->m, t->worker[0].tape, &shard, t->c.batch, 0, NULL, NULL);
  US_TRY(us_interrupt_check("training"));
  return t->m->cls->balance(t->m, t->worker[0].tape, narrow_shard(t));
}
