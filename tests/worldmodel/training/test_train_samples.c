// What a trainer starts from and what its samples may be: gains that fit what was trained before,
// features as bfloat16, weights.

#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/training/toy_training.h"
#include "tests/worldmodel/wide_device.h"
#include "worldmodel/train.h"

// The toy world rounded to bfloat16, in floats.
static void rounded_source(void* source, int64_t step, int b, UsBatch* out) {
  toy_source(source, step, b, out);
  size_t sample = (size_t)(out->frames * kToyDim);
  float* x = out->latents + (size_t)b * sample;
  for (size_t i = 0; i < sample; i++) x[i] = us_bfloat_wide(us_bfloat(x[i]));
}

// The gains with which block l of r reads actions; every number of them the same.
static float action_gain(const Run* r, int l) {
  char name[64];
  float* x = weights(r);
  snprintf(name, sizeof(name), "blocks.%d.norm3.weight", l);
  const UsParam* gain = us_params_find(us_predictor_list(r->p), name);
  const float* at = x + gain->offset + us_predictor_config(r->p)->width;
  float first = at[0], before = at[-1];
  for (size_t i = 0; i < gain->count - (size_t)us_predictor_config(r->p)->width; i++) {
    assert_true(at[i] == first);
  }
  assert_true(before == 1);  // those of the query are left
  free(x);
  return first;
}

// Everything that is added to the queries `times` larger, which changes no prediction.
static void enlarge(Run* r, float times) {
  static const char* const names[] = {"query",       "seed.weight",       "seed.bias",
                                      ".out.weight", ".out.bias",         ".down.weight",
                                      ".down.bias",  ".action_down.bias", ".action_down.weight"};
  const UsParamList* list = us_predictor_list(r->p);
  float* x = weights(r);
  for (int i = 0; i < list->count; i++) {
    const UsParam* t = &list->param[i];
    size_t length = strlen(t->name);
    int adds = 0;
    for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++) {
      size_t n = strlen(names[k]);
      adds |= length >= n && strcmp(t->name + length - n, names[k]) == 0;
    }
    for (size_t k = 0; adds && k < t->count; k++) x[t->offset + k] *= times;
  }
  us_ops_put(us_predictor_model(r->p)->device, us_predictor_params(r->p), x, list->floats);
  free(x);
}

// Queries that are larger drown actions in the norm that they share; their gains make up for it,
// and change no prediction of blocks that have not learned yet.
static void test_balance(void** state) {
  UsTrainConfig c = config();
  Run plain = make(&c, 1, toy_source, (void*)&train_seed);
  Run large = make(&c, 1, toy_source, (void*)&train_seed);
  enlarge(&large, 1000);
  Run* const both[] = {&plain, &large};
  for (int k = 0; k < 2; k++) {
    us_trainer_normalise(both[k]->t, 2);
    UsValidation before = us_trainer_validate(both[k]->t);
    assert_int_equal(us_trainer_balance(both[k]->t), US_OK);
    UsValidation after = us_trainer_validate(both[k]->t);
    assert_true(before.one_step == after.one_step && before.open_loop == after.open_loop);
  }
  // Uniform actions have the rms 1 / sqrt(3); with large queries alone the deviation grows as they.
  for (int l = 0; l < 2; l++) {
    float small = action_gain(&plain, l), much = action_gain(&large, l);
    assert_true(small > 0.9f && small < 20);
    assert_true(much > 300 * small && much < 3000 * small);
  }
  // A wide device, which computes all of the batch, takes the same samples.
  Run wide = make_on(wide_device(), &c, 1, toy_source, (void*)&train_seed);
  us_trainer_normalise(wide.t, 2);
  assert_int_equal(us_trainer_balance(wide.t), US_OK);
  for (int l = 0; l < 2; l++) {
    assert_true(fabsf(action_gain(&wide, l) / action_gain(&plain, l) - 1) < 1e-4f);
  }
  drop(&wide);
  drop(&plain);
  drop(&large);
}

// The toy world of one kind of number: training, held-back error.
static Run train_as(UsDevice* d, int threads, UsBatchSource source, int bfloat, UsValidation* v) {
  UsTrainConfig c = config();
  c.steps = emulated() ? 6 : 24;
  const UsTrainData train = {source, (void*)&train_seed, 0, bfloat};
  const UsTrainData held = {source, (void*)&held_seed, 0, bfloat};
  Run r = make_of(d, &c, threads, train, held);
  us_trainer_normalise(r.t, 2);
  assert_int_equal(us_trainer_run(r.t, &(UsTrainRun){.label = "toy"}, v), US_OK);
  return r;
}

// Bytes that a step brings to the device.
static int64_t step_bytes(Run* r) {
  UsDeviceInfo before, after;
  const UsTrainStep* seen;
  us_device_info(us_predictor_model(r->p)->device, &before);
  us_trainer_step(r->t, 0.5);
  us_trainer_figures(r->t, &seen);
  us_device_info(us_predictor_model(r->p)->device, &after);
  return after.up - before.up;
}

// Features as bfloat16: the bits of a training on floats that were rounded so, for any threads; and
// held-back errors near those on floats, within a hundredth of the error of repeating a frame.
static void test_bfloats(void** state) {
  UsDevice* devices[] = {test_device(), wide_device()};
  for (int i = 0; i < 1 + (devices[1] != devices[0]); i++) {
    UsValidation floats, rounded, v;
    Run plain = train_as(devices[i], 1, toy_source, 0, &floats), run[2];
    Run same = train_as(devices[i], 1, rounded_source, 0, &rounded);
    for (int k = 0; k < 2; k++) {
      run[k] = train_as(devices[i], 1 + k, toy_source, 1, &v);
      assert_same_weights(&run[k], &same);
      assert_memory_equal(&v.one_step, &rounded.one_step, 2 * sizeof(double));
    }
    // Rounding changed something, and little.
    float *x = weights(&plain), *y = weights(&same);
    assert_memory_not_equal(x, y, us_predictor_list(same.p)->floats * sizeof(float));
    free(x);
    free(y);
    assert_true(fabs(v.one_step - floats.one_step) < 0.01);
    assert_true(fabs(v.open_loop - floats.open_loop) < 0.01);
    // A GPU is handed half the bytes of features.
    UsTrainConfig c = config(), all = us_train_defaults(us_predictor_model(same.p), &c);
    int64_t less = step_bytes(&plain) - step_bytes(&run[0]);
    assert_int_equal(less, on_cpu() ? 0 : 2 * all.batch * all.frames * kToyDim);
    for (int k = 0; k < 2; k++) drop(&run[k]);
    drop(&plain);
    drop(&same);
  }
}

// Weights of 1 change no bit; what weighs nothing is not learned from.
static void test_weights(void** state) {
  UsTrainConfig c = config();
  Run plain = make(&c, 2, toy_source, (void*)&train_seed);
  fourth = 1;
  Run ones = make(&c, 1, weighted_source, (void*)&train_seed);
  fourth = 0;
  Run some = make(&c, 2, weighted_source, (void*)&train_seed);
  UsTrainStep all = {0}, less = {0};
  const UsTrainStep* seen;
  for (int i = 0; i < 5; i++) {
    us_trainer_step(plain.t, 0.1);
    fourth = 1;
    us_trainer_step(ones.t, 0.1);
    fourth = 0;
    us_trainer_step(some.t, 0.1);
    if (us_trainer_figures(plain.t, &seen) == 1) all = seen[0];
    if (us_trainer_figures(some.t, &seen) == 1) less = seen[0];
    assert_true(less.finite && less.teacher < all.teacher);
  }
  assert_same_weights(&plain, &ones);
  drop(&plain);
  drop(&ones);
  drop(&some);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_balance),
      cmocka_unit_test(test_bfloats),
      cmocka_unit_test(test_weights),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
