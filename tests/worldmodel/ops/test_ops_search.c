// The operations of a search by sampling against what they say, written down once more.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worldmodel/ops.h"

enum { kSlots = 3, kN = 2, kSamples = 5, kLength = 6, kLag = 2, kHorizon = 3, kElites = 3 };

static const int slot[kN] = {2, 0};

static float* alloc(size_t count) {
  float* x = us_ops_alloc(us_device_cpu(), count);
  assert_non_null(x);
  return x;
}

static void noise_names_its_streams(void** state) {
  UsDevice* d = us_device_cpu();
  float* x = alloc(kN * kSamples * kLength);
  UsRng stream[kN];
  for (int i = 0; i < kN; i++) stream[i] = us_rng(3, US_RNG_PLAN, 7 + i, 4, 2 << 20);
  us_ops_noise(d, kN, kSamples, kLength, stream, 0, x);
  for (int i = 0; i < kN; i++) {
    for (int k = 0; k < kSamples; k++) {
      float want[kLength];
      UsRng r = us_rng(3, US_RNG_PLAN, 7 + i, 4, 2 << 20 | k);
      us_rng_fill_normal(&r, want, kLength);
      assert_memory_equal(x + (i * kSamples + k) * kLength, want, sizeof(want));
    }
  }
  // Candidates of odd place, in each slot, are correlated in time; the numbers of one env step not.
  float before[kN * kSamples * kLength];
  memcpy(before, x, sizeof(before));
  us_ops_correlate(d, kN * kSamples, kSamples, kLength, kLag, 0.6f, x);
  for (int i = 0; i < kN * kSamples * kLength; i++) {
    int odd = i / kLength % kSamples % 2, first = i % kLength < kLag;
    float want = odd && !first ? 0.6f * x[i - kLag] + 0.8f * before[i] : before[i];
    assert_float_equal(x[i], want, 1e-6);
  }
  us_ops_free(d, x);
}

static void candidates_lie_around_the_mean(void** state) {
  UsDevice* d = us_device_cpu();
  float *x = alloc(kN * kSamples * kLength), *mean = alloc(kSlots * kLength),
        *deviation = alloc(kSlots * kLength);
  for (int j = 0; j < kSlots * kLength; j++) {
    mean[j] = 0.1f * (float)(j % 7) - 0.3f;
    deviation[j] = 0.5f + 0.05f * (float)j;
  }
  for (int j = 0; j < kN * kSamples * kLength; j++) x[j] = (float)(j % 11) / 3 - 1.5f;
  float before[kN * kSamples * kLength];
  memcpy(before, x, sizeof(before));
  us_ops_sample(d, kN, kSamples, kLength, slot, mean, deviation, x);
  int clipped = 0;
  for (int r = 0; r < kN * kSamples; r++) {
    for (int j = 0; j < kLength; j++) {
      int at = slot[r / kSamples] * kLength + j;
      float z = r % kSamples ? before[r * kLength + j] : 0;
      float want = mean[at] + deviation[at] * z;
      clipped += fabsf(want) > 1;
      assert_float_equal(x[r * kLength + j], want > 1 ? 1 : want < -1 ? -1 : want, 1e-6);
    }
  }
  assert_true(clipped > 0);
  us_ops_free(d, x);
  us_ops_free(d, mean);
  us_ops_free(d, deviation);
}

static void costs_weigh_blocks(void** state) {
  const float weight[2 * kHorizon] = {0.5f, 0, 2, 1, 1, 1};
  const float rewards[2 * 2 * kHorizon] = {-1, NAN, -3, 4, 0, 1, INFINITY, 0, 0, -1, -2, -3};
  const double want[4] = {6.5, -4, INFINITY, 6};
  double cost[4];
  us_ops_cost(us_device_cpu(), 2, 2, kHorizon, weight, rewards, cost);
  for (int k = 0; k < 4; k++) assert_true(cost[k] == want[k]);
}

// Slot 2 has an old elite that ties with a candidate and one that was not kept; slot 0 has two
// finite costs in all.
static void the_least_are_elites_and_fitted(void** state) {
  UsDevice* d = us_device_cpu();
  const double cost[kN * kSamples] = {5, 1, 3, 1, INFINITY, INFINITY, 4, INFINITY, 2, INFINITY};
  const double old_cost[kSlots * kElites] = {INFINITY, INFINITY, INFINITY, 0, 0, 0, 1, 7, 0};
  const int want[kN][kElites] = {{0, 2 + 1, 2 + 3}, {2 + 3, 2 + 1, -1}};
  const double want_cost[kN][kElites] = {{1, 1, 1}, {2, 4, INFINITY}};
  float x[kN * kSamples * kLength], old[kSlots * kElites * kLength];
  for (int j = 0; j < kN * kSamples * kLength; j++) x[j] = (float)(j * j % 13);
  for (int j = 0; j < kSlots * kElites * kLength; j++) old[j] = (float)-j;
  float best[kSlots * kElites * kLength] = {0};
  double best_cost[kSlots * kElites] = {0};
  int order[kN * kElites];
  us_ops_elites(d, kN, kSamples, kLength, kElites, 2, slot, x, cost, old, old_cost, order, best,
                best_cost);
  float mean[kSlots * kLength] = {0}, deviation[kSlots * kLength] = {0};
  us_ops_fit(d, kN, kLength, kElites, slot, best, best_cost, 0.25f, 0.01f, mean, deviation);
  for (int i = 0; i < kN; i++) {
    double sum = 0, square = 0;
    int count = 0;
    for (int e = 0; e < kElites; e++) {
      int at = slot[i] * kElites + e, k = want[i][e];
      assert_true(best_cost[at] == want_cost[i][e]);
      if (k < 0) continue;
      assert_int_equal(order[i * kElites + e], k);
      const float* from =
          k < 2 ? old + (slot[i] * kElites + k) * kLength : x + (i * kSamples + k - 2) * kLength;
      assert_memory_equal(best + at * kLength, from, sizeof(float) * kLength);
      sum += (double)from[1];
      square += (double)from[1] * (double)from[1];
      count++;
    }
    double average = sum / count, spread = sqrt(square / count - average * average);
    assert_float_equal(mean[slot[i] * kLength + 1], 0.75 * average, 1e-5);
    assert_float_equal(deviation[slot[i] * kLength + 1], fmax(0.75 * spread, 0.01), 1e-5);
  }
  assert_true(mean[kLength] == 0 && best_cost[kElites] == 0);  // slot 1 was not listed
  // Without one finite cost mean and deviation stay.
  const double none[kElites] = {INFINITY, INFINITY, INFINITY};
  float kept = mean[0], same = deviation[0];
  us_ops_fit(d, 1, kLength, kElites, slot + 1, best, none, 0.25f, 0.01f, mean, deviation);
  assert_true(mean[0] == kept && deviation[0] == same);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(noise_names_its_streams),
      cmocka_unit_test(candidates_lie_around_the_mean),
      cmocka_unit_test(costs_weigh_blocks),
      cmocka_unit_test(the_least_are_elites_and_fitted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
