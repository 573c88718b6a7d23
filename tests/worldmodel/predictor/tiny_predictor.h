#ifndef UNDERSTUDY_TESTS_TINY_PREDICTOR_H_
#define UNDERSTUDY_TESTS_TINY_PREDICTOR_H_

// Small predictors of many shapes, and batches for them. A test includes it after cmocka.

#include <stdlib.h>

#include "tests/worldmodel/on_device.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/predictor.h"

enum { kBatch = 3, kFrames = 6 };

typedef struct Case {
  const char* name;
  int grid_h, grid_w, residual, action, context;
  int first, rollout, past, leap;
} Case;

static const Case cases[] = {
    {"one token, teacher", 1, 1, 1, 2, 2, 2, 0, 1, 1},
    {"one token, rollout", 1, 1, 1, 2, 2, 0, 4, 0, 1},
    {"four tokens, rollout", 2, 2, 1, 2, 2, 1, 3, 0, 1},
    {"no residual, rollout", 2, 2, 0, 2, 2, 2, 3, 0, 1},
    {"no actions, teacher", 2, 1, 1, 0, 3, 1, 0, 0, 1},
    {"three frames, rollout", 1, 1, 0, 1, 3, 3, 3, 2, 1},
    {"one leap of three", 1, 1, 1, 2, 2, 0, 3, 1, 3},
    {"leaps of two, fed back", 2, 1, 1, 2, 2, 2, 4, 1, 2},
    {"leaps of two over three frames", 1, 1, 0, 1, 3, 3, 3, 2, 2},
    {"four tokens, first frames, past", 2, 2, 1, 2, 3, 1, 3, 2, 1},
};
enum { kCases = sizeof(cases) / sizeof(cases[0]) };

static UsPredictorConfig tiny(const Case* c) {
  return (UsPredictorConfig){.grid_h = c->grid_h,
                             .grid_w = c->grid_w,
                             .dim = 3,
                             .width = 12,
                             .depth = 2,
                             .heads = 2,
                             .mlp = 2,
                             .context = c->context,
                             .block = 2,
                             .action = c->action,
                             .action_hidden = 5,
                             .residual = c->residual,
                             .past = c->past,
                             .leap = c->leap,
                             .device = test_device()};
}

// Fills host memory with normal numbers times `scale`.
static float* noise(size_t count, float scale, int stream) {
  float* x = malloc(count * sizeof(float));
  UsRng r = us_rng(7, US_RNG_TEST, (uint64_t)stream, 0, 0);
  for (size_t i = 0; i < count; i++) x[i] = scale * us_rng_normal(&r);
  return x;
}

// A predictor whose weights are all random, gains near 1, normalisation not the identity.
static UsPredictor* make(const UsPredictorConfig* c) {
  UsPredictor* p;
  assert_int_equal(us_predictor_create("test", c, &p), US_OK);
  const UsParamList* list = us_predictor_list(p);
  float* x = noise(list->floats, 0.3f, 1);
  for (int i = 0; i < list->count; i++) {
    const UsParam* t = &list->param[i];
    for (size_t k = 0; (t->flags & US_PARAM_ONE) && k < t->count; k++) x[t->offset + k] += 1;
  }
  us_ops_put(test_device(), us_predictor_params(p), x, list->floats);
  free(x);
  float* mean = noise((size_t)c->dim, 1, 2);
  us_predictor_set_norm(p, mean, 1.5f);
  free(mean);
  return p;
}

static UsBatch make_batch(const UsPredictorConfig* c, int batch, int frames) {
  size_t one = (size_t)(c->grid_h * c->grid_w * c->dim), n = (size_t)(batch * frames);
  UsBatch b = {.batch = batch, .frames = frames};
  b.latents = noise(n * one, 1.5f, 3);
  b.times = noise(n, 0.02f, 4);
  b.actions = noise(n * (size_t)(c->block * c->action + 1), 1, 5);
  for (int i = 0; i < batch * frames; i++) b.times[i] += 0.25f * (float)(i % frames) + 3;
  return b;
}

static void free_batch(UsBatch* b) {
  free(b->latents);
  free(b->times);
  free(b->actions);
  free(b->weight);
}

#endif  // UNDERSTUDY_TESTS_TINY_PREDICTOR_H_
