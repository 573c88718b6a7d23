// The predictor: gradients by central differences, what the action blocks start as, and its files.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/predictor/tiny_predictor.h"
#include "worldmodel/base/file.h"

static double loss_of(const UsPredictor* p, UsTape* t, const UsBatch* b, float weight) {
  us_predictor_loss(p, t, b, b->batch, 0, NULL, NULL);
  UsLosses l = us_tape_losses(t);
  return l.teacher + weight * l.rollout;
}

// Loss at the parameters plus `step` times direction (count) in tensor memory from `offset` on.
static double loss_at(UsPredictor* p, UsTape* t, const UsBatch* b, float weight, const UsParam* at,
                      const float* direction, float step) {
  float* x = us_predictor_params(p) + at->offset;
  us_ops_add(test_device(), at->count, step, direction, x);
  double loss = loss_of(p, t, b, weight);
  us_ops_add(test_device(), at->count, -step, direction, x);
  return loss;
}

// Slopes along the gradient and along a random direction must be those that the gradient says.
static void check_tensor(UsPredictor* p, UsTape* t, const UsBatch* b, float weight,
                         const UsParam* at, const float* gradient, const char* name) {
  for (int kind = 0; kind < 2; kind++) {
    float* v = noise(at->count, 1, 6 + kind);
    if (kind == 0) memcpy(v, gradient + at->offset, at->count * sizeof(float));
    double norm = 1e-30, slope = 0, all = 0;
    for (size_t i = 0; i < at->count; i++) norm += (double)v[i] * v[i];
    for (size_t i = 0; i < at->count; i++) v[i] /= (float)sqrt(norm);
    for (size_t i = 0; i < at->count; i++) {
      double g = gradient[at->offset + i];
      slope += g * v[i];
      all += g * g;
    }
    float* direction = us_ops_alloc(test_device(), at->count);
    us_ops_put(test_device(), direction, v, at->count);
    const float step = 0.01f;
    double found = (loss_at(p, t, b, weight, at, direction, step) -
                    loss_at(p, t, b, weight, at, direction, -step)) /
                   (2 * step);
    us_ops_free(test_device(), direction);
    free(v);
    if (fabs(found - slope) > 0.01 * sqrt(all) + 2e-5) {
      fail_msg("%s: %s: gradient %g, central difference %g", name, at->name, slope, found);
    }
  }
}

static void test_gradients(void** state) {
  // Where kernels are slow, the largest case stands for all.
  for (int i = emulated() ? kCases - 1 : 0; i < kCases; i++) {
    const Case* k = &cases[i];
    UsPredictorConfig c = tiny(k);
    UsPredictor* p = make(&c);
    UsBatch b = make_batch(&c, kBatch, kFrames);
    if (i % 2) b.weight = noise(kBatch, 1, 9);
    const UsLossConfig loss = {.batch = kBatch,
                               .frames = kFrames,
                               .first = k->first,
                               .rollout = k->rollout,
                               .weight = 0.7f,
                               .beta = 0.5f};
    UsTape* t = us_tape_create(p, &loss);
    const UsParamList* list = us_predictor_list(p);
    float* gradient = us_ops_alloc(test_device(), list->floats);
    float* host = malloc(list->floats * sizeof(float));
    us_predictor_loss(p, t, &b, kBatch, 0, gradient, NULL);
    us_ops_get(test_device(), gradient, host, list->floats);
    for (int n = 0; n < list->count; n++) {
      check_tensor(p, t, &b, 0.7f, &list->param[n], host, k->name);
    }
    free(host);
    us_ops_free(test_device(), gradient);
    us_tape_destroy(t);
    free_batch(&b);
    us_predictor_destroy(p);
  }
}

// A sample's weight multiplies its loss: that of a batch is their weighted sum.
static void test_weights(void** state) {
  UsPredictorConfig c = tiny(&cases[kCases - 1]);
  UsPredictor* p = make(&c);
  UsBatch b = make_batch(&c, kBatch, kFrames);
  UsTape* t = us_tape_create(p, &(UsLossConfig){.batch = kBatch, .frames = kFrames, .rollout = 3});
  const float weight[kBatch] = {0.25f, 0, 3};
  double once = loss_of(p, t, &b, 1), sum = 0, weighted = 0;
  b.weight = calloc(kBatch, sizeof(float));
  for (int i = 0; i < kBatch; i++) {
    for (int k = 0; k < kBatch; k++) b.weight[k] = k == i;
    double one = loss_of(p, t, &b, 1);
    assert_true(one > 0);
    sum += one;
    weighted += (double)weight[i] * one;
  }
  assert_true(fabs(sum - once) < 1e-5 * once);
  memcpy(b.weight, weight, sizeof(weight));
  assert_true(fabs(loss_of(p, t, &b, 1) - weighted) < 1e-5 * once);
  us_tape_destroy(t);
  free_batch(&b);
  us_predictor_destroy(p);
}

// The gradient of a loss, in ordinary memory, and the prediction of frame C in raw numbers (B, G,
// D). Nullable: frame.
static float* gradient_of(const UsPredictor* p, const UsBatch* b, const UsLossConfig* loss,
                          float* frame) {
  const UsPredictorConfig* c = us_predictor_config(p);
  size_t floats = us_predictor_list(p)->floats, one = (size_t)(c->grid_h * c->grid_w * c->dim);
  UsTape* t = us_tape_create(p, loss);
  float *gradient = us_ops_alloc(test_device(), floats), *host = malloc(floats * sizeof(float));
  us_predictor_loss(p, t, b, b->batch, 0, gradient, NULL);
  us_ops_get(test_device(), gradient, host, floats);
  if (frame) {
    float mean[3], scale, *all = malloc((size_t)(loss->rollout * b->batch) * one * sizeof(float));
    us_tape_predictions(t, NULL, all);
    us_predictor_norm(p, mean, &scale);
    for (size_t i = 0; i < (size_t)b->batch * one; i++) frame[i] = mean[i % 3] + scale * all[i];
    free(all);
  }
  us_ops_free(test_device(), gradient);
  us_tape_destroy(t);
  return host;
}

// Without a gradient through it a frame that is fed back is a frame like a real one: where samples
// have the prediction in its place, which is then no error itself, the teacher's loss of the frame
// behind it is the same.
static void test_detach(void** state) {
  const float weight = 0.7f;
  UsPredictorConfig c = tiny(&cases[kCases - 1]);
  const int frames = c.context + 2;
  const size_t one = (size_t)(c.grid_h * c.grid_w * c.dim);
  UsPredictor* p = make(&c);
  UsBatch b = make_batch(&c, kBatch, frames);
  UsLossConfig loss = {.batch = kBatch, .frames = frames, .weight = weight, .rollout = 2};
  float *fed = malloc(kBatch * one * sizeof(float)), *through = gradient_of(p, &b, &loss, fed);
  loss.detach = 1;
  float* detached = gradient_of(p, &b, &loss, NULL);
  loss.rollout = 0;
  float* teacher = gradient_of(p, &b, &loss, NULL);
  for (int i = 0; i < kBatch; i++) {
    memcpy(b.latents + (size_t)(i * frames + c.context) * one, fed + (size_t)i * one,
           one * sizeof(float));
  }
  float* behind = gradient_of(p, &b, &loss, NULL);
  double apart = 0;
  for (size_t i = 0; i < us_predictor_list(p)->floats; i++) {
    // The teacher's loss is the mean over two frames.
    float want = teacher[i] + 2 * weight * behind[i];
    if (!(fabsf(want - detached[i]) < 1e-4f)) {
      fail_msg("number %zu: expected %g, found %g", i, want, detached[i]);
    }
    apart = fmax(apart, fabs((double)through[i] - (double)detached[i]));
  }
  assert_true(apart > 0.01);
  free(fed), free(through), free(detached), free(teacher), free(behind);
  free_batch(&b);
  us_predictor_destroy(p);
}

// With action_only the trunk gets nothing and the action blocks the same numbers.
static void test_action_only_gradient(void** state) {
  UsPredictorConfig c = tiny(&cases[2]);
  UsPredictor* p = make(&c);
  UsBatch b = make_batch(&c, kBatch, kFrames);
  UsTape* t = us_tape_create(p, &(UsLossConfig){.batch = kBatch, .frames = kFrames, .rollout = 3});
  const UsParamList* list = us_predictor_list(p);
  float *all = us_ops_alloc(test_device(), list->floats),
        *some = us_ops_alloc(test_device(), list->floats);
  us_predictor_loss(p, t, &b, kBatch, 0, all, NULL);
  us_predictor_loss(p, t, &b, kBatch, 1, some, NULL);
  double* sums = tensor_bytes(NULL, 2 * sizeof(double));
  for (int i = 0; i < list->count; i++) {
    const UsParam* at = &list->param[i];
    const UsPiece piece = {.at = at->offset, .count = (int)at->count};
    const UsPiece* there = tensor_bytes(&piece, sizeof(piece));
    us_ops_gradient_sum(test_device(), 1, there, 1, list->floats, some, sums);
    us_ops_gradient_sum(test_device(), 1, there, 1, list->floats, all, sums + 1);
    double both[2];
    fetch(sums, both, sizeof(both));
    const double square = both[0], whole = both[1];
    if (!(at->flags & US_PARAM_ACTION)) {
      assert_true(square == 0);
      continue;
    }
    assert_true(square == whole);
    assert_true(square > 0);
  }
  drop_tensors();
  us_ops_free(test_device(), all);
  us_ops_free(test_device(), some);
  us_tape_destroy(t);
  free_batch(&b);
  us_predictor_destroy(p);
}

// Freshly drawn action blocks change nothing; a residual predictor starts by repeating the frame.
static void test_first_weights(void** state) {
  for (int residual = 0; residual < 2; residual++) {
    Case k = cases[2];
    k.residual = residual;
    UsPredictorConfig with = tiny(&k), without;
    k.action = 0;
    without = tiny(&k);
    UsPredictor *p, *q;
    assert_int_equal(us_predictor_create("test", &with, &p), US_OK);
    assert_int_equal(us_predictor_create("test", &without, &q), US_OK);
    us_predictor_init(q, 5);
    us_predictor_init(p, 6);
    assert_int_equal(us_predictor_adopt(p, q), 1);
    UsBatch b = make_batch(&with, kBatch, kFrames);
    size_t count = (size_t)(kBatch * (kFrames - 2) * 4 * 3);
    float *a = malloc(count * sizeof(float)), *o = malloc(count * sizeof(float));
    const UsLossConfig loss = {.batch = kBatch, .frames = kFrames};
    UsTape *tp = us_tape_create(p, &loss), *tq = us_tape_create(q, &loss);
    us_predictor_loss(p, tp, &b, kBatch, 0, NULL, NULL);
    us_predictor_loss(q, tq, &b, kBatch, 0, NULL, NULL);
    us_tape_predictions(tp, a, NULL);
    us_tape_predictions(tq, o, NULL);
    assert_memory_equal(a, o, count * sizeof(float));
    double error, copy;
    us_tape_errors(tp, &error, &copy);
    assert_true(residual ? error == copy : error != copy);
    us_tape_destroy(tp);
    us_tape_destroy(tq);
    free(a);
    free(o);
    free_batch(&b);
    us_predictor_destroy(p);
    us_predictor_destroy(q);
  }
}

static void test_files(void** state) {
  char folder[] = "/tmp/us_predictor_XXXXXX", path[128];
  assert_non_null(mkdtemp(folder));
  us_path_join(path, sizeof(path), folder, "p.safetensors");
  UsPredictorConfig c = tiny(&cases[2]), other = c, parsed;
  UsPredictor *p = make(&c), *q;
  cJSON* json = us_predictor_config_json(&c);
  assert_int_equal(us_predictor_config_parse("test", json, &parsed), US_OK);
  assert_memory_equal(&parsed, &c, offsetof(UsPredictorConfig, leap) + sizeof(int));
  cJSON_ReplaceItemInObject(json, "heads", cJSON_CreateNumber(5));
  assert_int_equal(us_predictor_config_parse("test", json, &parsed), US_FORMAT);
  cJSON_ReplaceItemInObject(json, "heads", cJSON_CreateNumber(c.heads));
  cJSON_ReplaceItemInObject(json, "grid_h", cJSON_CreateNumber(256));
  cJSON_ReplaceItemInObject(json, "grid_w", cJSON_CreateNumber(256));
  assert_int_equal(us_predictor_config_parse("test", json, &parsed), US_FORMAT);
  assert_non_null(strstr(us_message(), "expected at most 16384 tokens in context"));
  cJSON_Delete(json);

  assert_int_equal(us_predictor_save(p, path), US_OK);
  assert_int_equal(us_predictor_create("test", &c, &q), US_OK);
  assert_int_equal(us_predictor_load(q, path), US_OK);
  size_t floats = us_predictor_list(p)->floats;
  float *a = malloc(floats * sizeof(float)), *b = malloc(floats * sizeof(float));
  us_ops_get(test_device(), us_predictor_params(p), a, floats);
  us_ops_get(test_device(), us_predictor_params(q), b, floats);
  for (int i = 0; i < us_predictor_list(p)->count; i++) {
    const UsParam* t = &us_predictor_list(p)->param[i];
    assert_memory_equal(a + t->offset, b + t->offset, t->count * sizeof(float));
  }
  float mean[3], scale, mean2[3], scale2;
  us_predictor_norm(p, mean, &scale);
  us_predictor_norm(q, mean2, &scale2);
  assert_memory_equal(mean, mean2, sizeof(mean));
  assert_true(scale == scale2);

  // Weights whose prediction is no use, and tensors that are missing or too many, are refused.
  for (int k = 0; k < 2; k++) {
    const UsParam* gain = us_params_find(us_predictor_list(p), "last.weight");
    const float kept = a[gain->offset], huge = k ? 3e38f : 1e12f;
    us_ops_put(test_device(), us_predictor_params(p) + gain->offset, &huge, 1);
    assert_int_equal(us_predictor_save(p, path), US_OK);
    us_ops_put(test_device(), us_predictor_params(p) + gain->offset, &kept, 1);
    assert_int_equal(us_predictor_load(q, path), US_FORMAT);
    assert_non_null(strstr(us_message(), "within 1e+06"));
    assert_non_null(strstr(us_message(), path));
  }
  const float far[3] = {0};
  us_predictor_set_norm(p, far, 1e30f);
  assert_int_equal(us_predictor_save(p, path), US_OK);
  assert_int_equal(us_predictor_load(q, path), US_FORMAT);
  us_predictor_set_norm(p, mean, scale);
  us_predictor_destroy(q);
  assert_int_equal(us_predictor_save(p, path), US_OK);
  other.depth++;
  assert_int_equal(us_predictor_create("test", &other, &q), US_OK);
  assert_int_equal(us_predictor_load(q, path), US_FORMAT);
  assert_non_null(strstr(us_message(), "\"kv.weight\" of shape"));
  us_predictor_destroy(q);
  other.depth--;

  other.residual = 0;
  assert_int_equal(us_predictor_create("test", &other, &q), US_OK);
  assert_int_equal(us_predictor_load(q, path), US_FORMAT);
  assert_non_null(strstr(us_message(), path));
  assert_non_null(strstr(us_message(), "found \"seed."));
  assert_int_equal(us_predictor_adopt(q, p), 0);
  us_predictor_destroy(q);
  free(a);
  free(b);
  us_predictor_destroy(p);
  unlink(path);
  rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gradients),     cmocka_unit_test(test_weights),
      cmocka_unit_test(test_detach),        cmocka_unit_test(test_action_only_gradient),
      cmocka_unit_test(test_first_weights), cmocka_unit_test(test_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
