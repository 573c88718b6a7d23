// Two devices in one process: the CPU, and the same operations on memory that nobody else may
// touch. A model that reads or writes tensor memory by itself dies here. With
// UNDERSTUDY_TEST_DEVICE a real one besides, whose figures are the CPU's to rounding.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "planner/planner.h"
#include "tests/planner/point_env.h"
#include "tests/worldmodel/fenced.h"
#include "tests/worldmodel/on_device.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/predictor.h"
#include "worldmodel/vit.h"

// ---- the same work on both ----

// Puts `count` normal numbers times `scale` into x.
static void put_noise(UsDevice* d, float* x, size_t count, float scale, uint64_t stream) {
  float* host = malloc(count * sizeof(float));
  UsRng r = us_rng(7, US_RNG_TEST, stream, 0, 0);
  for (size_t i = 0; i < count; i++) host[i] = scale * us_rng_normal(&r);
  us_ops_put(d, x, host, count);
  free(host);
}

enum { kDim = 3, kFrames = 6, kBatch = 2, kHorizon = 3, kMost = 4096 };

typedef struct Figures {
  UsLosses losses;
  float gradient[kMost], output[kMost], distance[2 * kHorizon];
} Figures;

// Losses and their gradient, then a rollout of two candidates with its distances to a goal.
static void run_predictor(UsDevice* d, Figures* out) {
  UsPredictorConfig c = us_predictor_config_default(1, 2, kDim, 1, 2);
  c.width = c.action_hidden = 8;
  c.heads = 2;
  c.depth = 2;
  c.device = d;
  UsPredictor* p;
  assert_int_equal(us_predictor_create("test", &c, &p), US_OK);
  size_t floats = us_predictor_list(p)->floats, one = 2 * kDim;
  assert_true(floats <= kMost);
  put_noise(d, us_predictor_params(p), floats, 0.3f, 1);

  float latents[kBatch * kFrames * 2 * kDim], times[kBatch * kFrames],
      actions[kBatch * kFrames * 2];
  for (int i = 0; i < kBatch * kFrames * 2 * kDim; i++) latents[i] = (float)(i * 37 % 101) / 50 - 1;
  for (int i = 0; i < kBatch * kFrames; i++) times[i] = 0.25f * (float)(i % kFrames);
  for (int i = 0; i < kBatch * kFrames * 2; i++) actions[i] = (float)(i % 5) / 2 - 1;
  const UsBatch b = {
      .batch = kBatch, .frames = kFrames, .latents = latents, .times = times, .actions = actions};
  UsTape* t = us_tape_create(p, &(UsLossConfig){.batch = kBatch, .frames = kFrames, .rollout = 3});
  float* gradient = us_ops_alloc(d, floats);
  us_predictor_loss(p, t, &b, kBatch, 0, gradient, NULL);
  out->losses = us_tape_losses(t);
  us_ops_get(d, gradient, out->gradient, floats);
  us_tape_predictions(t, NULL, out->output);
  us_tape_destroy(t);
  us_ops_free(d, gradient);

  UsRolloutWork* m = us_predictor_work_create(p, 2, kHorizon);
  float *context = us_ops_alloc(d, 2 * one), *cache = us_ops_alloc(d, us_predictor_model(p)->cache);
  float *played = us_ops_alloc(d, 4 * kHorizon), *distance = us_ops_alloc(d, 2 * kHorizon);
  us_ops_put(d, played, actions, 4 * kHorizon);
  us_ops_put(d, context, latents, 2 * one);
  us_predictor_cache(p, m, 1, NULL, context, (double[]){0, 0.25}, cache);
  us_predictor_rollout(p, m,
                       &(UsRollout){.slots = 1,
                                    .samples = 2,
                                    .contexts = context,
                                    .caches = cache,
                                    .step = 0.25,
                                    .horizon = kHorizon,
                                    .actions = played,
                                    .goals = context,
                                    .distance = distance});
  us_ops_get(d, distance, out->distance, 2 * kHorizon);
  us_ops_free(d, played);
  us_ops_free(d, distance);
  us_predictor_work_destroy(m);
  us_ops_free(d, context);
  us_ops_free(d, cache);
  us_predictor_destroy(p);
}

// A vision transformer forward and backward.
static void run_vit(UsDevice* d, Figures* out) {
  const UsVitConfig c = {.height = 8,
                         .width = 8,
                         .patch = 4,
                         .hidden = 8,
                         .layers = 2,
                         .heads = 2,
                         .mlp = 16,
                         .cls = 1,
                         .registers = 1,
                         .merge = 2,
                         .merge_dim = 4,
                         .global_dim = 5,
                         .norm = 1,
                         .eps = 1e-6f,
                         .std = {1, 1, 1},
                         .device = d};
  uint8_t pixels[2 * 8 * 8 * 3];
  for (size_t i = 0; i < sizeof(pixels); i++) pixels[i] = (uint8_t)(i * 7);
  UsVit* v;
  assert_int_equal(us_vit_create(&c, &v), US_OK);
  size_t floats = v->params.floats;
  assert_true(floats <= kMost);
  UsVitWork* k = us_vit_work_create(v, 2, 1);
  float *w = us_ops_alloc(d, floats), *g = us_ops_alloc(d, floats), *dy = us_ops_alloc(d, 10);
  put_noise(d, w, floats, 0.2f, 2);
  put_noise(d, dy, 10, 1, 3);
  us_ops_get(d, us_vit_forward(v, w, k, pixels), out->output, 10);
  us_vit_backward(v, w, k, dy, g);
  us_ops_get(d, g, out->gradient, floats);
  us_ops_free(d, w);
  us_ops_free(d, g);
  us_ops_free(d, dy);
  us_vit_work_destroy(k);
  us_vit_destroy(v);
}

// Three plans of two episodes by sampling; the rewards come from an env on the host.
static void run_planner(UsDevice* d, Figures* out) {
  PointEnv e;
  point_open(&e, 2, 2);
  e.base.info.device = d;
  UsPlannerConfig c = us_planner_defaults();
  c.samples = 16;
  UsPlanner* p;
  assert_int_equal(us_planner_create("cem", &e.base, &c, &p), US_OK);
  const int slots[] = {1, 0};
  const uint64_t episodes[] = {5, 6};
  assert_int_equal(us_planner_start(p, 2, slots, episodes), US_OK);
  for (int k = 0; k < 3; k++) us_planner_plan(p, 2, slots, out->output + 8 * k);
  us_planner_destroy(p);
}

// Numbers within 1e-5 of the largest.
static void near(const float* want, const float* got, size_t count, const char* what) {
  float most = 0;
  for (size_t i = 0; i < count; i++) most = fmaxf(most, fabsf(want[i]));
  for (size_t i = 0; i < count; i++) {
    if (fabsf(want[i] - got[i]) <= 1e-5f * most) continue;
    fail_msg("%s: number %zu: got %.9g, expected %.9g", what, i, got[i], want[i]);
  }
}

static void compare(void (*work)(UsDevice* d, Figures* out)) {
  Figures *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b)), *none = calloc(1, sizeof(*none));
  work(us_device_cpu(), a);
  assert_int_equal(fenced_total(), 0);
  work(fenced_open(0), b);
  assert_true(fenced_total() > 50);
  assert_memory_not_equal(a, none, sizeof(*a));
  assert_memory_equal(a, b, sizeof(*a));
  fenced_close();
  if (!on_cpu()) {
    memset(b, 0, sizeof(*b));
    work(test_device(), b);
    assert_int_equal(us_device_check(test_device(), "test"), US_OK);
    near(a->gradient, b->gradient, kMost, "gradient");
    near(a->output, b->output, kMost, "output");
    near(a->distance, b->distance, 2 * kHorizon, "distance");
    assert_true(fabs(b->losses.teacher - a->losses.teacher) <= 1e-5 * a->losses.teacher);
    assert_true(fabs(b->losses.rollout - a->losses.rollout) <= 1e-5 * a->losses.rollout);
  }
  free(a);
  free(b);
  free(none);
}

static void test_predictor_on_both(void** state) {
  compare(run_predictor);
}

static void test_vit_on_both(void** state) {
  compare(run_vit);
}

static void test_planner_on_both(void** state) {
  compare(run_planner);
}

static void test_names(void** state) {
  UsDevice* d;
  assert_int_equal(us_device_open("cpu", 0, &d), US_OK);
  assert_ptr_equal(d, us_device_cpu());
  us_device_close(d);
  assert_int_equal(us_device_open("abacus", 0, &d), US_USAGE);
  assert_string_equal(us_message(), "device: expected cpu, cuda or cuda:N, found \"abacus\"");
  assert_null(d);
}

static const char* out_of_order(UsDevice* d) {
  return d->self;
}

// A failure is told behind what was going on.
static void test_check(void** state) {
  UsDevice d = {.error = out_of_order};
  assert_int_equal(us_device_check(us_device_cpu(), "plan"), US_OK);
  assert_int_equal(us_device_check(&d, "plan"), US_OK);
  d.self = "out of order";
  assert_int_equal(us_device_check(&d, "plan"), US_DEVICE);
  assert_string_equal(us_message(), "plan: out of order");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_predictor_on_both),
                                     cmocka_unit_test(test_vit_on_both),
                                     cmocka_unit_test(test_planner_on_both),
                                     cmocka_unit_test(test_names), cmocka_unit_test(test_check)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
