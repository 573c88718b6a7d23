// Latent actions: gradients by central differences through codes, predictor and penalty; codes that
// depend on their own sample alone; training to the same bits; and a world in which only codes can
// tell what happens.

#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/toy.h"
#include "worldmodel/latent.h"

enum { kBlock = 2, kCodes = 2, kNumbers = kToyDim + kCodes };

static UsLatent* make(int width, float weight) {
  UsPredictorConfig c = us_predictor_config_default(1, 1, kToyDim, kBlock, kCodes);
  UsPredictor* p;
  UsLatent* m;
  c.width = c.action_hidden = width, c.depth = 2, c.device = test_device();
  assert_int_equal(us_predictor_create("test", &c, &p), US_OK);
  us_predictor_init(p, 5);
  us_predictor_set_norm(p, (const float[]){1, 0, -3}, 2);
  assert_int_equal(us_latent_create(p, weight, 6, &m), US_OK);
  return m;
}

// The toy world whose acceleration changes with every env step: frames every other step, the frames
// behind each step in the place of actions, and noise, which held-back samples have none of.
typedef struct Film {
  uint64_t seed;
  int noisy;
} Film;

static void film(void* source, int64_t step, int b, UsBatch* out) {
  const Film* f = source;
  UsRng r = us_rng(f->seed, US_RNG_TEST, (uint64_t)step, (uint64_t)b, 1);
  int steps = (out->frames - 1) * kBlock;
  float *fill = out->actions + (size_t)(b * steps * kNumbers), *noise = fill + steps * kToyDim;
  float p[2], v[2];
  for (int i = 0; i < 2; i++) p[i] = us_rng_normal(&r), v[i] = us_rng_normal(&r);
  for (int k = 0; k <= steps; k++) {
    float x[kToyDim];
    toy_see(p, x);
    if (k > 0) memcpy(fill + (k - 1) * kToyDim, x, sizeof(x));
    size_t at = (size_t)(b * out->frames + k / kBlock);
    if (k % kBlock == 0) memcpy(out->latents + at * kToyDim, x, sizeof(x));
    out->times[at] = 0.25f * (float)(k / kBlock);
    for (int i = 0; i < 2; i++) {
      v[i] = 0.8f * v[i] + 0.5f * us_rng_normal(&r);
      p[i] += v[i] / 4;
    }
  }
  for (int i = 0; i < steps * kCodes; i++) noise[i] = f->noisy ? us_rng_normal(&r) : 0;
}

static UsBatch make_batch(int batch, int frames, Film f) {
  UsBatch b = {.batch = batch, .frames = frames};
  size_t n = (size_t)(batch * frames);
  b.latents = calloc(n * kToyDim, sizeof(float));
  b.times = calloc(n, sizeof(float));
  b.actions = calloc(n * kBlock * kNumbers, sizeof(float));
  for (int s = 0; s < batch; s++) film(&f, 0, s, &b);
  return b;
}

static void free_batch(UsBatch* b) {
  free(b->latents);
  free(b->times);
  free(b->actions);
}

// ---- gradients ----

enum { kBatch = 3 };
static const float weight = 0.2f;
static const UsLossConfig shape = {
    .batch = kBatch, .frames = 6, .first = 1, .rollout = 3, .weight = 0.7f, .beta = 0.5f};

static double loss_of(const UsWorldModel* m, UsTape* t, const UsBatch* b) {
  double* sums = us_ops_alloc_sums(m->device, 3);
  double seen[3];
  m->cls->loss(m, t, b, kBatch, 0, NULL, sums);
  us_ops_get_sums(m->device, sums, seen, 3);
  us_ops_free(m->device, sums);
  UsLosses l = us_losses_of(&shape, seen);
  return l.teacher + 0.7 * l.rollout + (double)weight * us_latent_nats(t);
}

// The slope along the gradient of a tensor must be its norm.
static void check_tensor(const UsWorldModel* m, UsTape* t, const UsBatch* b, const UsParam* at,
                         const float* gradient) {
  const float* g = gradient + at->offset;
  float *x = m->cls->params(m) + at->offset, *direction = us_ops_alloc(m->device, at->count);
  float* host = malloc(at->count * sizeof(float));
  double norm = 1e-30, found = 0;
  const float step = 0.01f;
  for (size_t i = 0; i < at->count; i++) norm += (double)g[i] * (double)g[i];
  norm = sqrt(norm);
  for (size_t i = 0; i < at->count; i++) host[i] = g[i] / (float)norm;
  us_ops_put(m->device, direction, host, at->count);
  for (int sign = 1; sign >= -1; sign -= 2) {
    us_ops_add(m->device, at->count, (float)sign * step, direction, x);
    found += sign * loss_of(m, t, b) / (2 * (double)step);
    us_ops_add(m->device, at->count, (float)-sign * step, direction, x);
  }
  us_ops_free(m->device, direction);
  free(host);
  if (fabs(found - norm) > 0.01 * norm + 2e-5) {
    fail_msg("%s: gradient %g, central difference %g", at->name, norm, found);
  }
}

static void test_gradients(void** state) {
  UsLatent* l = make(16, weight);
  UsWorldModel* m = us_latent_model(l);
  const UsParamList* list = m->cls->list(m);
  // Random weights everywhere: fresh action blocks would hide the codes.
  float *host = malloc(list->floats * sizeof(float)), *noise = malloc(list->floats * sizeof(float));
  us_ops_get(m->device, m->cls->params(m), host, list->floats);
  UsRng r = us_rng(3, US_RNG_TEST, 0, 0, 0);
  us_rng_fill_normal(&r, noise, (int)list->floats);
  size_t before = us_predictor_list(us_latent_predictor(l))->floats;
  for (size_t i = 0; i < list->floats; i++) host[i] += (i < before ? 0.2f : 0.03f) * noise[i];
  us_ops_put(m->device, m->cls->params(m), host, list->floats);
  UsBatch b = make_batch(kBatch, shape.frames, (Film){8, 1});
  UsTape* t = m->cls->tape_create(m, &shape);
  float* gradient = us_ops_alloc(m->device, list->floats);
  m->cls->loss(m, t, &b, kBatch, 0, gradient, NULL);
  us_ops_get(m->device, gradient, host, list->floats);
  int codes = 0;
  for (int i = 0; i < list->count; i++) {
    codes += strncmp(list->param[i].name, "latent.", 7) == 0;
    check_tensor(m, t, &b, &list->param[i], host);
  }
  assert_int_equal(codes, 6);
  us_ops_free(m->device, gradient);
  m->cls->tape_destroy(t);
  free_batch(&b);
  free(host);
  free(noise);
  us_latent_destroy(l);
}

// ---- codes ----

// Those of a sample stay when its neighbours and the noise change, and are others for others.
static void test_codes_are_a_samples_own(void** state) {
  enum { kFrames = 4, kEach = (kFrames - 1) * kBlock * kCodes };
  UsLatent* l = make(16, weight);
  UsBatch a = make_batch(3, kFrames, (Film){8, 0}), b = make_batch(3, kFrames, (Film){9, 0});
  float one[3 * kEach], two[3 * kEach];
  size_t frames = kFrames * kToyDim, fill = (kFrames - 1) * kBlock * kNumbers;
  memcpy(b.latents + frames, a.latents + frames, frames * sizeof(float));
  memcpy(b.actions + fill, a.actions + fill, fill * sizeof(float));
  assert_int_equal(us_latent_codes(l, &a, one), US_OK);
  assert_int_equal(us_latent_codes(l, &b, two), US_OK);
  assert_memory_equal(one + kEach, two + kEach, kEach * sizeof(float));
  assert_memory_not_equal(one, two, kEach * sizeof(float));
  assert_memory_not_equal(one + 2 * kEach, two + 2 * kEach, kEach * sizeof(float));
  free_batch(&a);
  free_batch(&b);
  us_latent_destroy(l);
}

static void test_files(void** state) {
  char folder[] = "/tmp/us_latent_XXXXXX", path[128];
  assert_non_null(mkdtemp(folder));
  UsLatent *l = make(16, weight), *again;
  UsBatch b = make_batch(2, 4, (Film){8, 0});
  float one[2 * 3 * kBlock * kCodes], two[2 * 3 * kBlock * kCodes];
  const char* const files[] = {"latent.safetensors", "model.safetensors", "config.json", ""};
  assert_int_equal(us_latent_save(l, folder), US_OK);
  assert_int_equal(us_pretrained_save(folder, us_latent_predictor(l), "none", NULL), US_OK);
  if (us_latent_open(folder, test_device(), &again) != US_OK) fail_msg("%s", us_message());
  assert_int_equal(us_latent_codes(l, &b, one), US_OK);
  assert_int_equal(us_latent_codes(again, &b, two), US_OK);
  assert_memory_equal(one, two, sizeof(one));
  us_latent_destroy(again);
  // A folder without codes says so.
  us_path_join(path, sizeof(path), folder, files[0]);
  remove(path);
  assert_int_equal(us_latent_open(folder, test_device(), &again), US_IO);
  assert_null(again);
  UsPredictorConfig c = us_predictor_config_default(1, 1, kToyDim, 1, 0);
  UsPredictor* p;
  assert_int_equal(us_predictor_create("test", &c, &p), US_OK);
  assert_int_equal(us_pretrained_save(folder, p, "none", NULL), US_OK);
  assert_int_equal(us_latent_open(folder, test_device(), &again), US_FORMAT);
  assert_non_null(strstr(us_message(), "latent actions"));
  us_predictor_destroy(p);
  for (int i = 0; i < 4; i++) remove(us_path_join(path, sizeof(path), folder, files[i]));
  free_batch(&b);
  us_latent_destroy(l);
}

// ---- training ----

static Film train_film = {11, 1}, held_film = {12, 0};

static UsTrainer* trainer(UsLatent* l, int steps, UsPool* pool) {
  const UsTrainConfig c = {
      .steps = steps, .batch = 32, .rollout = 2, .rate = 3e-3f, .warmup = 20, .horizon = 3};
  UsTrainer* t;
  assert_int_equal(us_trainer_create(us_latent_model(l), &c, (UsTrainData){film, &train_film, 0, 0},
                                     (UsTrainData){film, &held_film, 0, 0}, pool, &t),
                   US_OK);
  return t;
}

static float* weights(const UsLatent* l) {
  const UsWorldModel* m = us_latent_model(l);
  size_t floats = m->cls->list(m)->floats;
  float* x = malloc(floats * sizeof(float));
  us_ops_get(m->device, m->cls->params(m), x, floats);
  return x;
}

// Whole on one thread; on two, stopped and gone on with.
static void test_same_bits(void** state) {
  enum { kSteps = 8 };
  char folder[] = "/tmp/us_latent_XXXXXX", path[128];
  assert_non_null(mkdtemp(folder));
  us_path_join(path, sizeof(path), folder, "checkpoint.safetensors");
  UsPool* pool = us_pool_create(2);
  UsLatent *whole = make(8, 1e-3f), *first = make(8, 1e-3f), *second = make(8, 1e-3f);
  UsTrainer *a = trainer(whole, kSteps, NULL), *b = trainer(first, kSteps, pool),
            *c = trainer(second, kSteps, NULL);
  us_trainer_normalise(a, 2), us_trainer_normalise(b, 2);
  assert_int_equal(us_trainer_run(a, &(UsTrainRun){.label = "toy"}, NULL), US_OK);
  for (int i = 0; i < 3; i++) us_trainer_step(b, (double)i / kSteps);
  assert_int_equal(us_trainer_save(b, path, "key"), US_OK);
  const UsTrainRun run = {.label = "toy", .checkpoint = path, .key = "key", .resume = 1};
  assert_int_equal(us_trainer_run(c, &run, NULL), US_OK);
  float *x = weights(whole), *y = weights(second);
  const UsWorldModel* m = us_latent_model(whole);
  assert_memory_equal(x, y, m->cls->list(m)->floats * sizeof(float));
  free(x);
  free(y);
  us_trainer_destroy(a), us_trainer_destroy(b), us_trainer_destroy(c);
  us_latent_destroy(whole), us_latent_destroy(first), us_latent_destroy(second);
  us_pool_destroy(pool);
  remove(path);
  remove(folder);
}

// Told its codes the predictor knows what happens; told another's it is worse than nothing.
static void test_codes_are_used(void** state) {
  if (emulated()) skip();
  UsLatent* l = make(32, 1e-3f);
  UsTrainer* t = trainer(l, 500, NULL);
  const UsTrainData held = {film, &held_film, 0, 0};
  UsLatentFigures before, f;
  UsValidation v;
  us_trainer_normalise(t, 4);
  assert_int_equal(us_latent_measure(l, held, 64, 2, 3, &before), US_OK);
  assert_int_equal(us_trainer_run(t, &(UsTrainRun){.label = "toy"}, &v), US_OK);
  assert_int_equal(us_latent_measure(l, held, 64, 2, 3, &f), US_OK);
  // A fresh action block does not listen.
  assert_true(fabs(before.own.one_step - before.shuffled.one_step) < 1e-6);
  if (!(f.own.one_step < 0.05 && f.own.open_loop < 0.1 && f.shuffled.one_step > 0.8 &&
        f.shuffled.open_loop > 0.8 && f.nats > 0.5 && f.nats > before.nats)) {
    fail_msg("own %.3f %.3f, of another %.3f %.3f, %.2f nats", f.own.one_step, f.own.open_loop,
             f.shuffled.one_step, f.shuffled.open_loop, f.nats);
  }
  // The trainer's own validation is the same measure.
  assert_true(fabs(v.one_step - f.own.one_step) < 0.05);
  us_trainer_destroy(t);
  us_latent_destroy(l);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gradients),      cmocka_unit_test(test_codes_are_a_samples_own),
      cmocka_unit_test(test_files),          cmocka_unit_test(test_same_bits),
      cmocka_unit_test(test_codes_are_used),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
