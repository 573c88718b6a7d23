#ifndef UNDERSTUDY_TESTS_TOY_TRAINING_H_
#define UNDERSTUDY_TESTS_TOY_TRAINING_H_

// A trainer of the toy world, as the tests of the trainer share it.

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/toy.h"
#include "worldmodel/train.h"

static const uint64_t train_seed = 11, held_seed = 12;

// Short where the device is emulated.
static inline UsTrainConfig config(void) {
  return (UsTrainConfig){.steps = emulated() ? 12 : 60,
                         .batch = emulated() ? 8 : 64,
                         .rollout = 3,
                         .rate = 3e-3f,
                         .warmup = 20,
                         .decay = 0.01f,
                         .validate_every = emulated() ? 5 : 25,
                         .validate_batches = 2};
}

// The toy world with weights: 1, but of every fourth sample `fourth`, whose frames are then lost.
static float fourth = 1;
static inline void weighted_source(void* source, int64_t step, int b, UsBatch* out) {
  toy_source(source, step, b, out);
  if (out->weight) out->weight[b] = b % 4 == 0 ? fourth : 1;
  size_t sample = (size_t)(out->frames * kToyDim);
  for (size_t i = 0; out->weight && fourth == 0 && b % 4 == 0 && i < sample; i++) {
    out->latents[(size_t)b * sample + i] += (float)step + (float)i;
  }
}

typedef struct Run {
  UsPool* pool;
  UsPredictor* p;
  UsTrainer* t;
} Run;

static inline Run make_of(UsDevice* d, const UsTrainConfig* c, int threads, UsTrainData train,
                          UsTrainData held) {
  Run r = {.pool = us_pool_create(threads)};
  UsPredictorConfig size = toy_config();
  size.device = d;
  if (emulated()) size.width = size.action_hidden = 8;
  assert_int_equal(us_predictor_create("toy", &size, &r.p), US_OK);
  us_predictor_init(r.p, 5);
  assert_int_equal(us_trainer_create(us_predictor_model(r.p), c, train, held, r.pool, &r.t), US_OK);
  return r;
}

static inline Run make_on(UsDevice* d, const UsTrainConfig* c, int threads, UsBatchSource source,
                          void* arg) {
  const UsTrainData train = {.fill = source, .source = arg, .weighted = source == weighted_source};
  const UsTrainData held = {.fill = toy_source, .source = (void*)&held_seed};
  return make_of(d, c, threads, train, held);
}

static inline Run make(const UsTrainConfig* c, int threads, UsBatchSource source, void* arg) {
  return make_on(test_device(), c, threads, source, arg);
}

static inline void drop(Run* r) {
  us_trainer_destroy(r->t);
  us_predictor_destroy(r->p);
  us_pool_destroy(r->pool);
}

static inline float* weights(const Run* r) {
  size_t floats = us_predictor_list(r->p)->floats;
  float* x = malloc(floats * sizeof(float));
  us_ops_get(us_predictor_model(r->p)->device, us_predictor_params(r->p), x, floats);
  return x;
}

static inline void assert_same_weights(const Run* a, const Run* b) {
  float *x = weights(a), *y = weights(b);
  assert_memory_equal(x, y, us_predictor_list(a->p)->floats * sizeof(float));
  free(x);
  free(y);
}

#endif  // UNDERSTUDY_TESTS_TOY_TRAINING_H_
