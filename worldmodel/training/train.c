// The trainer's steps. The loop around them, with log and checkpoints, is train_run.c.
//
//   g = sum over shards of their gradients, in order;  g *= min(1, clip / |g|)
//   rate(n) = rate min(1, n / warmup) (1 + cos(pi progress)) / 2;  AdamW (0.9, 0.999, 1e-8)

#include "worldmodel/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/ops.h"
#include "worldmodel/training/train_inner.h"

enum { kShardRows = 256, kShardMost = 32, kChunk = 16384, kHorizonMost = 64 };

UsTrainConfig us_train_defaults(const UsPredictor* p, const UsTrainConfig* config) {
  UsTrainConfig c = *config;
  int context = us_predictor_config(p)->context;
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

// Samples of a shard: a power of two that divides the batch, with at most kShardRows queries.
static int shard_size(const UsPredictor* p, const UsTrainConfig* c) {
  int rows =
      (c->frames - c->first) * us_predictor_config(p)->grid_h * us_predictor_config(p)->grid_w;
  int shard = kShardMost;
  while (shard > 1 && (shard * rows > kShardRows || c->batch % shard != 0)) shard /= 2;
  return shard;
}

static void count_chunks(const UsPredictor* p, UsTrainer* t) {
  const UsParamList* list = us_predictor_list(p);
  t->chunks = 0;
  for (int i = 0; i < list->count; i++) {
    const UsParam* at = &list->param[i];
    if (t->c.action_only && !(at->flags & US_PREDICTOR_ACTION)) continue;
    for (size_t from = 0; from < at->count; from += kChunk) {
      size_t left = at->count - from;
      if (t->chunk) {
        t->chunk[t->chunks] = (Chunk){.offset = at->offset + from,
                                      .count = left < kChunk ? left : kChunk,
                                      .flags = at->flags};
      }
      t->chunks++;
    }
  }
}

static int place_batch(const UsPredictor* p, int batch, int frames, UsBatch* out) {
  const UsPredictorConfig* c = us_predictor_config(p);
  size_t n = (size_t)batch * (size_t)frames;
  out->batch = batch;
  out->frames = frames;
  out->latents = calloc(n * (size_t)(c->grid_h * c->grid_w * c->dim), sizeof(float));
  out->times = calloc(n, sizeof(float));
  out->actions = c->action ? calloc(n * (size_t)(c->block * c->action), sizeof(float)) : NULL;
  return out->latents && out->times && (out->actions || !c->action);
}

static void free_batch(UsBatch* b) {
  free(b->latents);
  free(b->times);
  free(b->actions);
}

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
  const UsPredictorConfig* c = us_predictor_config(t->p);
  const UsLossConfig train = loss_of_training(t), held = loss_of_held(t);
  double frames = (double)t->c.batch * (t->c.frames + (t->held.fill ? t->held_frames : 0));
  double sample = frames * (c->grid_h * c->grid_w * c->dim + c->block * c->action + 1);
  double weights = (double)us_predictor_list(t->p)->floats * (t->shards + 3);
  double tapes = us_tape_bytes(t->p, &train) + (t->held.fill ? us_tape_bytes(t->p, &held) : 0);
  return (double)sizeof(float) * (sample + weights) + t->workers * tapes;
}

static int make_workers(UsTrainer* t) {
  const UsLossConfig train = loss_of_training(t), held = loss_of_held(t);
  for (int i = 0; i < t->workers; i++) {
    t->worker[i].tape = us_tape_create(t->p, &train);
    if (t->held.fill) t->worker[i].held = us_tape_create(t->p, &held);
    if (!t->worker[i].tape || (t->held.fill && !t->worker[i].held)) return 0;
  }
  return 1;
}

static int allocate(UsTrainer* t) {
  size_t floats = us_predictor_list(t->p)->floats;
  count_chunks(t->p, t);
  t->chunk = calloc((size_t)t->chunks, sizeof(*t->chunk));
  t->worker = calloc((size_t)t->workers, sizeof(*t->worker));
  t->losses = calloc((size_t)t->shards, sizeof(*t->losses));
  t->held_error = calloc((size_t)(4 * t->c.validate_batches * t->shards), sizeof(double));
  t->gradient = us_ops_alloc(t->device, floats * (size_t)t->shards);
  t->m = us_ops_alloc(t->device, floats);
  t->v = us_ops_alloc(t->device, floats);
  t->best = us_ops_alloc(t->device, floats);
  int ok = t->chunk && t->worker && t->losses && t->held_error && t->gradient && t->m && t->v &&
           t->best && place_batch(t->p, t->c.batch, t->c.frames, &t->batch) &&
           (!t->held.fill || place_batch(t->p, t->c.batch, t->held_frames, &t->held_batch));
  if (!ok) return 0;
  count_chunks(t->p, t);
  return make_workers(t);
}

UsStatus us_trainer_create(UsPredictor* p, const UsTrainConfig* config, UsTrainData train,
                           UsTrainData held, UsPool* pool, UsTrainer** out) {
  *out = NULL;
  int context = us_predictor_config(p)->context;
  UsTrainConfig c = us_train_defaults(p, config);
  if (c.frames < context + (c.rollout > 1 ? c.rollout : 1)) {
    return us_fail(US_USAGE,
                   "training: %d frames are too few for a context of %d and a rollout of %d",
                   c.frames, context, c.rollout);
  }
  if (c.horizon > kHorizonMost) {
    return us_fail(US_USAGE, "training: expected a horizon of at most %d, found %d", kHorizonMost,
                   c.horizon);
  }
  const UsPredictorConfig* sizes = us_predictor_config(p);
  int seen = c.frames - 1 > context + c.horizon - 1 ? c.frames - 1 : context + c.horizon - 1;
  if (seen > US_OPS_KEYS / (sizes->grid_h * sizes->grid_w)) {
    return us_fail(US_USAGE,
                   "training: expected samples of at most %d tokens, found %d frames of %d",
                   US_OPS_KEYS, seen, sizes->grid_h * sizes->grid_w);
  }
  if (c.steps <= 0 && !(c.minutes > 0)) {
    return us_fail(US_USAGE, "training: expected a number of steps or minutes, found neither");
  }
  if (c.action_only && us_predictor_config(p)->action == 0) {
    return us_fail(US_USAGE, "training: a predictor without actions has no action blocks to train");
  }
  UsTrainer* t = calloc(1, sizeof(*t));
  if (!t) return us_fail(US_MEMORY, "training: out of memory");
  *t = (UsTrainer){.p = p, .c = c, .train = train, .held = held, .pool = pool};
  t->device = us_predictor_model(p)->device;
  t->shard = shard_size(p, &c);
  t->shards = c.batch / t->shard;
  t->workers = us_pool_threads(pool);
  t->held_frames = context + c.horizon;
  t->best_error = INFINITY;
  t->validation = (UsValidation){NAN, NAN, 0};
  UsStatus status = us_machine_need_memory("training", bytes_of(t));
  if (status == US_OK && !allocate(t)) status = us_fail(US_MEMORY, "training: out of memory");
  if (status != US_OK) {
    us_trainer_destroy(t);
    return status;
  }
  *out = t;
  return US_OK;
}

void us_trainer_destroy(UsTrainer* t) {
  if (!t) return;
  for (int i = 0; t->worker && i < t->workers; i++) {
    us_tape_destroy(t->worker[i].tape);
    us_tape_destroy(t->worker[i].held);
  }
  us_ops_free(t->device, t->gradient);
  us_ops_free(t->device, t->m);
  us_ops_free(t->device, t->v);
  us_ops_free(t->device, t->best);
  free_batch(&t->batch);
  free_batch(&t->held_batch);
  free(t->chunk);
  free(t->worker);
  free(t->losses);
  free(t->held_error);
  free(t);
}

const UsTrainConfig* us_trainer_config(const UsTrainer* t) {
  return &t->c;
}
int64_t us_trainer_steps(const UsTrainer* t) {
  return t->step;
}

void us_trainer_seconds(const UsTrainer* t, double* sampling, double* all) {
  *sampling = *all = 0;
  for (int i = 0; i < t->workers; i++) {
    *sampling += t->worker[i].sampling;
    *all += t->worker[i].busy;
  }
}

// ---- a shard ----

// The samples of one shard of a batch.
static UsBatch slice(const UsTrainer* t, const UsBatch* b, int shard) {
  const UsPredictorConfig* c = us_predictor_config(t->p);
  size_t first = (size_t)shard * (size_t)t->shard, frames = (size_t)b->frames;
  size_t one = (size_t)(c->grid_h * c->grid_w * c->dim);
  UsBatch out = {.batch = t->shard, .frames = b->frames};
  out.latents = b->latents + first * frames * one;
  out.times = b->times + first * frames;
  if (b->actions) {
    out.actions = b->actions + first * (frames - 1) * (size_t)(c->block * c->action);
  }
  return out;
}

static void fill(const UsTrainer* t, const UsTrainData* data, int64_t step, int shard, UsBatch* b) {
  for (int i = 0; i < t->shard; i++) data->fill(data->source, step, shard * t->shard + i, b);
}

static void shard_item(void* arg, int item, int worker) {
  UsTrainer* t = arg;
  Worker* w = &t->worker[worker];
  if (us_interrupted()) return;
  double start = us_seconds();
  fill(t, &t->train, t->step, item, &t->batch);
  double filled = us_seconds();
  UsBatch shard = slice(t, &t->batch, item);
  size_t floats = us_predictor_list(t->p)->floats;
  float* gradient = t->gradient + (size_t)item * floats;
  us_ops_zero(t->device, gradient, floats);
  t->losses[item] =
      us_predictor_loss(t->p, w->tape, &shard, t->c.batch, t->c.action_only, gradient);
  w->sampling += filled - start;
  w->busy += us_seconds() - start;
}

// ---- summing and updating, chunk by chunk ----

static void sum_item(void* arg, int item, int worker) {
  UsTrainer* t = arg;
  Chunk* c = &t->chunk[item];
  if (us_interrupted()) return;
  double start = us_seconds();
  size_t floats = us_predictor_list(t->p)->floats;
  for (int s = 1; s < t->shards; s++) {
    us_ops_add(t->device, c->count, 1, t->gradient + (size_t)s * floats + c->offset,
               t->gradient + c->offset);
  }
  c->square = us_ops_square_sum(t->device, c->count, t->gradient + c->offset);
  t->worker[worker].busy += us_seconds() - start;
}

static void update_item(void* arg, int item, int worker) {
  UsTrainer* t = arg;
  const Chunk* c = &t->chunk[item];
  double start = us_seconds();
  float rate = (float)t->rate * (c->flags & US_PREDICTOR_ACTION ? 1 : t->c.trunk_rate);
  float decay = c->flags & US_PARAM_DECAY ? t->c.decay : 0;
  us_ops_adamw(t->device, c->count, rate, 0.9f, 0.999f, 1e-8f, decay, t->scale, (int)t->step,
               t->gradient + c->offset, t->m + c->offset, t->v + c->offset,
               us_predictor_params(t->p) + c->offset);
  t->worker[worker].busy += us_seconds() - start;
}

UsTrainStep us_trainer_step(UsTrainer* t, double progress) {
  UsTrainStep out = {.step = ++t->step};
  us_pool_run(t->pool, t->shards, shard_item, t);
  us_pool_run(t->pool, t->chunks, sum_item, t);
  if (us_interrupted()) {
    t->step--;
    out.finite = out.stopped = 1;
    return out;
  }
  for (int i = 0; i < t->shards; i++) {
    out.teacher += t->losses[i].teacher;
    out.rollout += t->losses[i].rollout;
  }
  double square = 0;
  for (int i = 0; i < t->chunks; i++) square += t->chunk[i].square;
  out.norm = sqrt(square);
  out.finite = isfinite(out.teacher + out.rollout + out.norm);
  double warm = t->step < t->c.warmup ? (double)t->step / t->c.warmup : 1;
  out.rate = t->rate = t->c.rate * warm * 0.5 * (1 + cos(M_PI * fmin(fmax(progress, 0), 1)));
  if (!out.finite) {
    t->step--;
    return out;
  }
  t->scale = out.norm > t->c.clip ? (float)(t->c.clip / out.norm) : 1;
  us_pool_run(t->pool, t->chunks, update_item, t);
  return out;
}

// ---- validation ----

typedef struct HeldBatch {
  UsTrainer* t;
  int batch;
} HeldBatch;

static void validate_item(void* arg, int item, int worker) {
  UsTrainer* t = ((HeldBatch*)arg)->t;
  int batch = ((HeldBatch*)arg)->batch;
  UsTape* tape = t->worker[worker].held;
  double error[kHorizonMost], copy[kHorizonMost];
  if (us_interrupted()) return;
  fill(t, &t->held, batch, item, &t->held_batch);
  UsBatch shard = slice(t, &t->held_batch, item);
  us_predictor_loss(t->p, tape, &shard, t->shard, 0, NULL);
  us_tape_errors(tape, error, copy);
  double* out = t->held_error + 4 * (size_t)(batch * t->shards + item);
  out[0] = error[0];
  out[1] = copy[0];
  out[2] = error[t->c.horizon - 1];
  out[3] = copy[t->c.horizon - 1];
}

UsValidation us_trainer_validate(UsTrainer* t) {
  if (!t->held.fill) return (UsValidation){NAN, NAN, 0};
  double sum[4] = {0};
  for (int b = 0; b < t->c.validate_batches; b++) {
    HeldBatch h = {t, b};
    us_pool_run(t->pool, t->shards, validate_item, &h);
  }
  for (int i = 0; i < t->c.validate_batches * t->shards; i++) {
    for (int k = 0; k < 4; k++) sum[k] += t->held_error[4 * i + k];
  }
  return (UsValidation){sum[0] / sum[1], sum[2] / sum[3], 1};
}

// ---- normalisation ----

UsStatus us_trainer_normalise(UsTrainer* t, int batches) {
  const UsPredictorConfig* c = us_predictor_config(t->p);
  int d = c->dim, tokens = t->c.batch * t->c.frames * c->grid_h * c->grid_w;
  double* sum = calloc(2 * (size_t)d, sizeof(double));
  float* mean = calloc((size_t)d, sizeof(float));
  UsStatus status = sum && mean ? US_OK : us_fail(US_MEMORY, "training: out of memory");
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
  double n = (double)batches * tokens, variance = 0;
  for (int i = 0; i < d && status == US_OK; i++) {
    double m = sum[i] / n;
    mean[i] = (float)m;
    variance += fmax(sum[d + i] / n - m * m, 0) / d;
  }
  if (status == US_OK) {
    us_predictor_set_norm(t->p, mean, variance > 0 ? (float)sqrt(variance) : 1);
  }
  free(sum);
  free(mean);
  return status;
}
