// Imagination against the teacher-forced pass, bit for bit across tiles and slots.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/predictor/tiny_predictor.h"

// Imagines sample 0 of a batch whose frames are 0.25 s apart: `count` candidates, all with that
// sample's actions, out (H, G, D) of candidate `which`; tile candidates in a tile.
static void imagine(const UsPredictor* p, const UsBatch* b, int tile, int count, int which,
                    int horizon, int forget, float* out) {
  const UsPredictorConfig* c = us_predictor_config(p);
  size_t g = (size_t)(c->grid_h * c->grid_w), one = g * (size_t)c->dim;
  size_t ka = (size_t)(c->block * c->action), frames = (size_t)c->context;
  UsRolloutWork* m = us_predictor_work_create(p, tile, horizon);
  float* context = us_ops_alloc(test_device(), frames * one);
  float* memory = us_ops_alloc(test_device(), us_predictor_model(p)->cache);
  float* all = us_ops_alloc(test_device(), (size_t)horizon * (size_t)tile * one);
  us_ops_put(test_device(), context, b->latents, frames * one);
  us_predictor_normalise(p, (int)(frames * g), context, context);
  double times[US_CONTEXT_MAX];
  for (int i = 0; i < c->context; i++) times[i] = b->times[i];
  us_predictor_cache(p, m, 1, NULL, context, times, memory);
  float* actions = malloc((size_t)(count * horizon) * ka * sizeof(float) + 4);
  for (int i = 0; i < count; i++) {
    memcpy(actions + (size_t)(i * horizon) * ka, b->actions + (frames - 1) * ka,
           (size_t)horizon * ka * sizeof(float));
    for (size_t e = 0; e < (size_t)horizon * ka && i != which; e++) {
      actions[(size_t)(i * horizon) * ka + e] += (float)(i - which);
    }
  }
  us_predictor_rollout(
      p, m,
      &(UsRollout){
          .slots = 1,
          .samples = count,
          .contexts = context,
          .caches = memory,
          .step = 0.25,
          .horizon = horizon,
          .actions = tensor(actions, (size_t)(count * horizon) * ka),
          .pasts = tensor(b->actions + (frames - 1 - (size_t)c->past) * ka, (size_t)c->past * ka),
          .frames = all,
          .recompute = forget});
  for (int f = 0; f < horizon; f++) {
    us_ops_get(test_device(), all + (size_t)(f * count + which) * one, out + (size_t)f * one, one);
  }
  free(actions);
  drop_tensors();
  us_ops_free(test_device(), context);
  us_ops_free(test_device(), memory);
  us_ops_free(test_device(), all);
  us_predictor_work_destroy(m);
}

static void even_times(UsBatch* b) {
  for (int i = 0; i < b->batch * b->frames; i++) b->times[i] = 0.25f * (float)(i % b->frames) + 3;
}

// Cached keys and values, ring and tile give what the training pass gives, frame by frame.
static void test_imagination_equals_training(void** state) {
  for (int i = 0; i < kCases; i++) {
    UsPredictorConfig c = tiny(&cases[i]);
    UsPredictor* p = make(&c);
    UsBatch b = make_batch(&c, 1, 8);
    even_times(&b);
    int horizon = 8 - c.context, one = c.grid_h * c.grid_w * c.dim;
    size_t count = (size_t)(horizon * one);
    float *want = malloc(count * sizeof(float)), *got = malloc(count * sizeof(float));
    UsTape* t = us_tape_create(p, &(UsLossConfig){.batch = 1, .frames = 8, .rollout = horizon});
    us_predictor_loss(p, t, &b, 1, 0, NULL, NULL);
    us_tape_predictions(t, NULL, want);
    imagine(p, &b, 5, 4, 2, horizon, 0, got);
    for (size_t k = 0; k < count; k++) {
      if (!(fabsf(want[k] - got[k]) < 1e-4f)) {
        fail_msg("%s: frame %zu: trained %g, imagined %g", cases[i].name, k / (size_t)one, want[k],
                 got[k]);
      }
    }
    us_tape_destroy(t);
    free(want);
    free(got);
    free_batch(&b);
    us_predictor_destroy(p);
  }
}

// A candidate's numbers do not depend on how many others are in its tile.
static void test_neighbours_do_not_matter(void** state) {
  UsPredictorConfig c = us_predictor_config_default(1, 1, 64, 5, 2);
  c.device = test_device();
  UsPredictor* p = make(&c);
  UsBatch b = make_batch(&c, 1, 8);
  even_times(&b);
  const int tile = 128;
  if (on_cpu()) assert_int_equal(us_predictor_model(p)->tile, tile);
  float want[5 * 64], got[5 * 64];
  imagine(p, &b, tile, 64, 9, 5, 0, want);
  for (int count = 10; count < 64; count += 11) {
    imagine(p, &b, tile, count, 9, 5, 0, got);
    assert_memory_equal(want, got, sizeof(want));
  }
  imagine(p, &b, tile, 65, 9, 5, 0, want);
  imagine(p, &b, tile, tile, 9, 5, 0, got);
  assert_memory_equal(want, got, sizeof(want));
  free_batch(&b);
  us_predictor_destroy(p);
}

// Of the listed slots (n) of N = 4: their caches, then a rollout of 5 candidates each, in one call
// or slot by slot. last (n, 5, G, D), distance (n, 5, H), caches (4, cache), host.
enum { kOf = 4, kEach = 5, kAhead = 6 };
typedef struct Rolled {
  float *last, *distance, *caches;
} Rolled;

static Rolled roll_slots(const UsPredictor* p, int n, const int* slots, int together, int same) {
  const UsPredictorConfig* c = us_predictor_config(p);
  const int ka = c->block * c->action, most = together ? n : 1;
  size_t one = (size_t)(c->grid_h * c->grid_w * c->dim), context = (size_t)c->context * one;
  size_t cache = us_predictor_model(p)->cache, past = (size_t)(c->past * ka);
  float *contexts = noise(kOf * context, 1, 11), *goals = noise(kOf * one, 1, 12);
  float *pasts = noise(kOf * past, 1, 13),
        *actions = noise((size_t)(kOf * kEach * kAhead * ka), 1, 14);
  float* listed = malloc((size_t)(n * kEach * kAhead * ka) * sizeof(float) + 1);
  double times[kOf * US_CONTEXT_MAX];
  // Actions and times are a slot's own, whatever its place in the list.
  const size_t row = (size_t)(kEach * kAhead * ka);
  for (int i = 0; i < n; i++) {
    memcpy(listed + (size_t)i * row, actions + (size_t)slots[i] * row, row * sizeof(float));
    for (int k = 0; k < c->context; k++) {
      times[i * c->context + k] = slots[i] + 0.25 * k + (same ? 0 : 0.01 * slots[i] * k);
    }
  }
  float *last = tensor(NULL, (size_t)(n * kEach) * one), *caches = tensor(NULL, kOf * cache);
  float* distance = tensor(NULL, (size_t)(n * kEach * kAhead));
  const int* list = tensor_bytes(slots, sizeof(int) * (size_t)n);
  UsRollout task = {.contexts = tensor(contexts, kOf * context),
                    .caches = caches,
                    .pasts = tensor(pasts, kOf * past),
                    .goals = tensor(goals, kOf * one),
                    .actions = tensor(listed, (size_t)n * row),
                    .step = 0.25,
                    .samples = kEach,
                    .horizon = kAhead,
                    .clip = 1};
  // The work keeps the angles of fewer frames than are rolled.
  UsRolloutWork* m = us_predictor_work_create(p, n * kEach, 4);
  const float* all_actions = task.actions;
  for (int i = 0; i < n; i += most) {
    const size_t at = (size_t)(i * kEach);
    us_predictor_cache(p, m, most, list + i, task.contexts, times + i * c->context, caches);
    task.slots = most;
    task.slot = list + i;
    task.actions = all_actions + (size_t)i * row;
    task.last = last + at * one;
    task.distance = distance + at * kAhead;
    us_predictor_rollout(p, m, &task);
  }
  Rolled out = {fetched(last, (size_t)(n * kEach) * one),
                fetched(distance, (size_t)(n * kEach * kAhead)), fetched(caches, kOf * cache)};
  us_predictor_work_destroy(m);
  free(contexts), free(goals), free(pasts), free(actions), free(listed);
  return out;
}

// To float rounding on the CPU, to the bit elsewhere.
static void agree(const float* want, const float* got, size_t count, const char* name) {
  for (size_t i = 0; i < count; i++) {
    float room = on_cpu() ? 1e-5f * fmaxf(1, fabsf(want[i])) : 0;
    if (!(fabsf(want[i] - got[i]) <= room)) {
      fail_msg("%s: number %zu: %.8g alone, %.8g together", name, i, want[i], got[i]);
    }
  }
}

// Many slots in one call are the slots one by one, in whatever order they are listed.
static void test_slots_together(void** state) {
  for (int i = 0; i < 2 * kCases; i += emulated() ? 3 : 1) {
    UsPredictorConfig c = tiny(&cases[i / 2]);
    UsPredictor* p = make(&c);
    size_t last = (size_t)(kEach * c.grid_h * c.grid_w * c.dim), distance = kEach * kAhead;
    const int one[3] = {2, 0, 3}, other[3] = {3, 2, 0};
    Rolled alone = roll_slots(p, 3, one, 0, i % 2), all = roll_slots(p, 3, one, 1, i % 2);
    Rolled turned = roll_slots(p, 3, other, 1, i % 2);
    agree(alone.last, all.last, 3 * last, cases[i / 2].name);
    agree(alone.distance, all.distance, 3 * distance, cases[i / 2].name);
    agree(alone.caches, all.caches, kOf * us_predictor_model(p)->cache, cases[i / 2].name);
    for (int k = 0; k < 3; k++) {
      size_t at = (size_t)((k + 1) % 3);
      agree(alone.last + (size_t)k * last, turned.last + at * last, last, "turned");
      agree(alone.distance + (size_t)k * distance, turned.distance + at * distance, distance,
            "turned");
    }
    assert_true(alone.last[0] != alone.last[last] && alone.distance[0] > 0);
    drop_tensors();
    us_predictor_destroy(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_imagination_equals_training),
      cmocka_unit_test(test_neighbours_do_not_matter),
      cmocka_unit_test(test_slots_together),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
