// The inverse model: names the actions of a small world, by whichever kind fits it, knows where it
// is wrong, and gives the same bits for any number of threads.

#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/inverse.h"

enum { kTracks = 14, kHeld = 4, kRows = 60, kDim = 5, kAction = 2, kSteps = 200 };

// A point that actions push about, as linear numbers of its place. What is seen of its second half,
// p > 0, is blurred by `blur`, and `bend` makes a push there work the other way round.
typedef struct World {
  int32_t length[kTracks];
  int64_t offset[kTracks];
  float latents[kTracks * kRows * kDim], actions[kTracks * kRows * kAction];
  uint8_t far[kTracks * kRows];  // 1: blurred
  UsTracks tracks;
} World;

static World* make(uint64_t seed, double blur, int bend) {
  World* w = calloc(1, sizeof(*w));
  for (int e = 0; e < kTracks; e++) {
    UsRng r = us_rng(seed, US_RNG_TEST, (uint64_t)e, 0, 0);
    double p[2] = {us_rng_range(&r, -1, 1), us_rng_range(&r, -1, 1)};
    w->length[e] = kRows;
    w->offset[e] = e * kRows;
    for (int k = 0; k < kRows; k++) {
      size_t row = (size_t)(e * kRows + k);
      double far = p[0] > 0 ? blur : 0;
      w->far[row] = p[0] > 0;
      for (int i = 0; i < kDim; i++) {
        w->latents[row * kDim + (size_t)i] =
            (float)((i + 1) * p[0] + (3 - i) * p[1] + i) + (float)far * us_rng_normal(&r);
      }
      for (int i = 0; i < kAction; i++) {
        double a = us_rng_range(&r, -1, 1);
        w->actions[row * kAction + (size_t)i] = (float)a;
        p[i] = 0.97 * p[i] + (bend && p[0] > 0 ? -0.2 : 0.2) * a;
      }
      // Nothing follows a last row.
      if (k == kRows - 1) w->actions[row * kAction] = NAN;
    }
  }
  w->tracks = (UsTracks){kTracks, w->length, w->offset, w->latents, w->actions, NULL};
  return w;
}

static UsInverse* fit_in(int steps, const World* w, int threads) {
  const UsInverseConfig c = {.dim = kDim,
                             .action = kAction,
                             .held = kHeld,
                             .steps = steps,
                             .seed = 3,
                             .device = test_device()};
  UsPool* pool = us_pool_create(threads);
  UsInverse* m;
  if (us_inverse_fit(&c, &w->tracks, pool, &m) != US_OK) fail_msg("%s", us_message());
  us_pool_destroy(pool);
  return m;
}

static UsInverse* fit(const World* w, int threads) {
  return fit_in(emulated() ? 3 : kSteps, w, threads);
}

static void test_kinds(void** state) {
  if (emulated()) skip();
  World *plain = make(1, 0, 0), *bent = make(1, 0, 1);
  UsInverse *one = fit(plain, 1), *two = fit(bent, 1);
  const UsInverseFigures *a = us_inverse_figures(one), *b = us_inverse_figures(two);
  assert_true(a->linear > 0.99 && a->linear <= 1);
  assert_true(b->network > b->linear + 0.2 && b->kind == US_INVERSE_NETWORK);
  assert_true(a->fitted == (kTracks - kHeld) * (kRows - 1) && a->held == kHeld * (kRows - 1));
  us_inverse_destroy(one);
  us_inverse_destroy(two);
  free(plain);
  free(bent);
}

// Labels are the actions, and weights fall where the frames are blurred.
static void test_labels(void** state) {
  if (emulated()) skip();
  World *w = make(1, 0.15, 0), *film = make(2, 0.15, 0);
  UsInverse* m = fit(w, 1);
  assert_true(us_inverse_figures(m)->correlation > 0.15);
  static float actions[kTracks * kRows * kAction], weight[kTracks * kRows];
  UsTracks t = film->tracks;
  t.actions = NULL;
  assert_int_equal(us_inverse_label(m, &t, NULL, actions, weight), US_OK);
  double left = 0, all = 0, sum[2] = {0};
  int count[2] = {0};
  for (int row = 0; row < kTracks * kRows; row++) {
    assert_true(weight[row] >= US_INVERSE_LEAST && weight[row] <= 1);
    if (row % kRows == kRows - 1) continue;
    int far = film->far[row];
    sum[far] += (double)weight[row];
    count[far]++;
    for (int i = 0; i < kAction; i++) {
      float x = actions[row * kAction + i], y = film->actions[row * kAction + i];
      assert_true(x >= -1 && x <= 1);
      left += pow((double)(x - y), 2), all += (double)(y * y);
    }
  }
  assert_true(1 - left / all > 0.4);
  assert_true(count[0] > 50 && count[1] > 50);
  assert_true(sum[0] / count[0] > sum[1] / count[1] + 0.05);
  us_inverse_destroy(m);
  free(w);
  free(film);
}

static void test_threads(void** state) {
  World* w = make(1, 0.1, 1);
  static float actions[2][kTracks * kRows * kAction], weight[2][kTracks * kRows];
  for (int i = 0; i < 2; i++) {
    UsPool* pool = us_pool_create(1 + 2 * i);
    UsInverse* m = fit(w, 1 + 2 * i);
    assert_int_equal(us_inverse_label(m, &w->tracks, pool, actions[i], weight[i]), US_OK);
    us_inverse_destroy(m);
    us_pool_destroy(pool);
  }
  assert_memory_equal(actions[0], actions[1], sizeof(actions[0]));
  assert_memory_equal(weight[0], weight[1], sizeof(weight[0]));
  free(w);
}

// Frames as bfloat16 are those that were rounded so.
static void test_bfloats(void** state) {
  World* w = make(1, 0.1, 1);
  static uint16_t bfloats[kTracks * kRows * kDim];
  static float actions[2][kTracks * kRows * kAction], weight[2][kTracks * kRows];
  for (int i = 0; i < kTracks * kRows * kDim; i++) {
    bfloats[i] = us_bfloat(w->latents[i]);
    w->latents[i] = us_bfloat_wide(bfloats[i]);
  }
  for (int i = 0; i < 2; i++) {
    if (i == 1) w->tracks.latents = NULL, w->tracks.bfloats = bfloats;
    UsInverse* m = fit_in(3, w, 1);
    assert_int_equal(us_inverse_label(m, &w->tracks, NULL, actions[i], weight[i]), US_OK);
    us_inverse_destroy(m);
  }
  assert_memory_equal(actions[0], actions[1], sizeof(actions[0]));
  assert_memory_equal(weight[0], weight[1], sizeof(weight[0]));
  free(w);
}

static int stop_now(void* data) {
  return 1;
}

static void test_refusals(void** state) {
  World* w = make(1, 0, 0);
  UsInverse* m;
  UsInverseConfig c = {.dim = kDim, .action = kAction, .held = kTracks, .steps = 2};
  assert_int_equal(us_inverse_fit(&c, &w->tracks, NULL, &m), US_FORMAT);
  assert_null(m);
  c.held = kHeld, c.dim = US_INVERSE_DIM + 1;
  assert_int_equal(us_inverse_fit(&c, &w->tracks, NULL, &m), US_FORMAT);
  c.dim = kDim;
  UsHooks before = us_hooks_set((UsHooks){.stop = stop_now});
  assert_int_equal(us_inverse_fit(&c, &w->tracks, NULL, &m), US_INTERRUPTED);
  us_hooks_set(before);
  w->latents[7] = NAN;
  assert_int_equal(us_inverse_fit(&c, &w->tracks, NULL, &m), US_FORMAT);
  free(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kinds),    cmocka_unit_test(test_labels),
      cmocka_unit_test(test_threads),  cmocka_unit_test(test_bfloats),
      cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
