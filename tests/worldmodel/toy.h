#ifndef UNDERSTUDY_TESTS_TOY_H_
#define UNDERSTUDY_TESTS_TOY_H_

// For tests of the trainer, of model folders and of the stand-in env: a world that needs no
// simulator, a model folder with random weights, a counter of allocations.
//
// The world: a point on the plane with velocity, p += v / 4, v = 0.8 v + 0.5 a per block. Only p
// can be seen, as three numbers linear in it, so that two frames are needed.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/own_library.h"
#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/model_folder.h"
#include "worldmodel/ops.h"

enum { kToyDim = 3, kToyAction = 2, kToyBlock = 1 };

static inline void toy_see(const float* p, float* x) {
  x[0] = 2 * p[0] + 1;
  x[1] = p[0] - p[1];
  x[2] = 0.5f * p[1] - 3;
}

// What is seen at frame `at` of a batch, as the batch asks for it.
static inline void toy_frame(const float* p, size_t at, UsBatch* out) {
  float x[kToyDim];
  toy_see(p, x);
  for (size_t i = 0; i < kToyDim; i++) {
    if (out->latents) out->latents[at * kToyDim + i] = x[i];
    if (out->bfloats) out->bfloats[at * kToyDim + i] = us_bfloat(x[i]);
  }
}

// A UsBatchSource; `source` points at the seed.
static inline void toy_source(void* source, int64_t step, int b, UsBatch* out) {
  UsRng r = us_rng(*(const uint64_t*)source, US_RNG_TEST, (uint64_t)step, (uint64_t)b, 0);
  float p[2], v[2];
  for (int i = 0; i < 2; i++) {
    p[i] = us_rng_normal(&r);
    v[i] = us_rng_normal(&r);
  }
  for (int t = 0; t < out->frames; t++) {
    size_t at = (size_t)(b * out->frames + t);
    toy_frame(p, at, out);
    out->times[at] = 0.25f * (float)t;
    if (t + 1 == out->frames) break;
    for (int i = 0; i < 2; i++) {
      float a = 2 * us_rng_uniform(&r) - 1;
      if (out->actions)
        out->actions[((size_t)b * (size_t)(out->frames - 1) + (size_t)t) * 2 + (size_t)i] = a;
      v[i] = 0.8f * v[i] + 0.5f * a;
      p[i] += v[i] / 4;
    }
  }
}

static inline UsPredictorConfig toy_config(void) {
  UsPredictorConfig c = us_predictor_config_default(1, 1, kToyDim, kToyBlock, kToyAction);
  c.width = 32;
  c.action_hidden = 32;
  c.depth = 2;
  return c;
}

// Random weights everywhere, so that nothing is the identity.
static inline UsPredictor* toy_predictor(const UsPredictorConfig* c) {
  UsPredictor* p = NULL;
  US_ASSERT(us_predictor_create("toy", c, &p) == US_OK);
  us_predictor_init(p, 3);
  UsDevice* d = us_predictor_model(p)->device;
  size_t floats = us_predictor_list(p)->floats;
  float *x = malloc(floats * sizeof(float)), *noise = malloc(floats * sizeof(float));
  us_ops_get(d, us_predictor_params(p), x, floats);
  UsRng r = us_rng(1, US_RNG_TEST, 9, 0, 0);
  us_rng_fill_normal(&r, noise, (int)floats);
  for (size_t i = 0; i < floats; i++) x[i] += 0.1f * noise[i];
  us_ops_put(d, us_predictor_params(p), x, floats);
  free(x);
  free(noise);
  const float mean[16] = {0.5f, -0.25f, 0.125f};
  us_predictor_set_norm(p, mean, 1.5f);
  return p;
}

// A model folder on true states of kToyDim numbers, with `contexts` start contexts.
static inline UsStatus toy_model(const char* folder, const UsPredictorConfig* c, int contexts) {
  UsPredictor* p = toy_predictor(c);
  UsEncoder* e = NULL;
  const double mean[kToyDim] = {0}, std[kToyDim] = {1, 1, 1};
  UsStatus status = us_encoder_make_state(kToyDim, mean, std, NULL, &e);
  int frames = contexts * c->context * c->dim,
      n = frames + contexts * c->past * c->block * c->action;
  float* context = malloc((size_t)n * sizeof(float));
  UsRng r = us_rng(2, US_RNG_TEST, 0, 0, 0);
  us_rng_fill_normal(&r, context, n);
  if (status == US_OK) {
    status = us_model_save(folder, &(UsModelParts){.task = "toy",
                                                   .dt = 0.25,
                                                   .model = us_predictor_model(p),
                                                   .encoder = e,
                                                   .contexts = contexts,
                                                   .context = context,
                                                   .past = context + frames});
  }
  free(context);
  us_encoder_destroy(e);
  us_predictor_destroy(p);
  return status;
}

static inline void toy_remove(const char* folder) {
  static const char* const files[] = {"config.json",
                                      "predictor.safetensors",
                                      "contexts.safetensors",
                                      "encoder/config.json",
                                      "encoder/model.safetensors",
                                      "encoder/decoder.safetensors",
                                      "encoder",
                                      "log.jsonl",
                                      "checkpoint.safetensors",
                                      ""};
  char path[512];
  for (int i = 0; i < 10; i++) {
    snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
    remove(path);
  }
}

// ---- allocations ----

#ifdef US_SANITIZED
static inline long toy_allocations(void) {
  return 0;
}
#else
// The program's own malloc family, which counts what libunderstudy asks for and hands on to
// glibc's.
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

static long toy_count;

static void toy_note(void* caller) {
  if (own_library_called(caller)) __atomic_add_fetch(&toy_count, 1, __ATOMIC_RELAXED);
}

void* malloc(size_t size) {
  toy_note(__builtin_return_address(0));
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  toy_note(__builtin_return_address(0));
  return __libc_calloc(count, size);
}

void* realloc(void* old, size_t size) {
  toy_note(__builtin_return_address(0));
  return __libc_realloc(old, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  toy_note(__builtin_return_address(0));
  return __libc_memalign(alignment, size);
}

// Counts from the first call on.
static inline long toy_allocations(void) {
  if (!own_high) US_ASSERT(own_library_find());
  return __atomic_load_n(&toy_count, __ATOMIC_RELAXED);
}
#endif

#endif  // UNDERSTUDY_TESTS_TOY_H_
