// The operations of a search by sampling against what they say, written down once more, in sizes
// that cross those of warps and blocks. On a device their results are the CPU's but for the
// rounding of normal numbers, and a slot's are the same bits whoever is in the list.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "worldmodel/ops.h"

enum { kSlots = 5, kN = 3, kMost = 1000, kLong = 70, kElites = 64, kHorizon = 3 };

static const int slot[kN] = {4, 0, 3};
static const int sizes[] = {1, 2, 5, 64, kMost};

// What a search works on, large enough for all sizes.
static float noise[kN * kMost * kLong], x[kN * kMost * kLong], want[kN * kMost * kLong];
static float mean[kSlots * kLong], deviation[kSlots * kLong];
static float old[kSlots * kElites * kLong], best[kSlots * kElites * kLong];
static double cost[kN * kMost], old_cost[kSlots * kElites], best_cost[kSlots * kElites];
static int order[kN * kElites];

static void fill(float* y, size_t count, uint64_t name) {
  UsRng r = us_rng(8, US_RNG_TEST, name, 0, 0);
  for (size_t i = 0; i < count; i++) y[i] = (float)us_rng_range(&r, -1.5, 1.5);
}

static void fill_all(void) {
  fill(x, sizeof(x) / sizeof(*x), 1);
  fill(mean, kSlots * kLong, 2);
  fill(deviation, kSlots * kLong, 3);
  fill(old, sizeof(old) / sizeof(*old), 4);
  fill(best, sizeof(best) / sizeof(*best), 5);
}

static void same_float(float got, float ref) {
  if (!(fabsf(got - ref) <= 1e-6f * (1 + fabsf(ref)))) fail_msg("%.9g instead of %.9g", got, ref);
}

// ---- noise and candidates ----

static void noise_names_its_streams(void** state) {
  UsDevice* d = test_device();
  const int lengths[] = {1, 6, 7, kLong};
  UsRng stream[kN];
  for (int i = 0; i < kN; i++) stream[i] = us_rng(3, US_RNG_PLAN, 7 + (uint64_t)i, 4, 0);
  UsRng* there = tensor_bytes(stream, sizeof(stream));
  for (int t = 0; t < 20; t++) {
    const int samples = sizes[t % 5], length = lengths[t / 5], rows = kN * samples;
    const size_t numbers = (size_t)rows * (size_t)length;
    float *y = tensor(NULL, numbers), *one = tensor(NULL, numbers);
    us_ops_noise(d, kN, samples, length, there, 2 << 20, y);
    fetch(y, noise, numbers * sizeof(float));
    for (int r = 0; r < rows; r++) {
      UsRng rng =
          us_rng(3, US_RNG_PLAN, 7 + (uint64_t)(r / samples), 4, (uint64_t)(2 << 20 | r % samples));
      float row[kLong];
      us_rng_fill_normal(&rng, row, length);
      for (int j = 0; j < length; j++) same_float(noise[r * length + j], row[j]);
      if (on_cpu()) assert_memory_equal(noise + r * length, row, sizeof(float) * (size_t)length);
    }
    // One slot alone draws the same bits.
    us_ops_noise(d, 1, samples, length, there + 1, 2 << 20, one);
    fetch(one, want, numbers / kN * sizeof(float));
    assert_memory_equal(want, noise + numbers / kN, numbers / kN * sizeof(float));
  }
  drop_tensors();
}

// Candidates of odd place, in each slot, are correlated in time; the numbers of one env step not.
static void odd_candidates_are_smooth(void** state) {
  const int lags[] = {1, 2, 6, kLong};
  fill_all();
  for (int t = 0; t < 20; t++) {
    const int samples = sizes[t % 5], lag = lags[t / 5], length = 30;
    const size_t numbers = (size_t)kN * (size_t)samples * (size_t)length;
    float* y = tensor(x, numbers);
    us_ops_correlate(test_device(), kN * samples, samples, length, lag, 0.6f, y);
    fetch(y, noise, numbers * sizeof(float));
    for (int i = 0; i < (int)numbers; i++) {
      int odd = i / length % samples % 2, first = i % length < lag;
      same_float(noise[i], odd && !first ? 0.6f * noise[i - lag] + 0.8f * x[i] : x[i]);
    }
    us_ops_correlate(us_device_cpu(), kN * samples, samples, length, lag, 0.6f,
                     memcpy(want, x, sizeof(want)));
    assert_memory_equal(noise, want, numbers * sizeof(float));
  }
  drop_tensors();
}

static void candidates_lie_around_the_mean(void** state) {
  UsDevice* d = test_device();
  const int length = 30;
  fill_all();
  mean[slot[0] * length + 2] = NAN;
  int* slots = tensor_bytes(slot, sizeof(slot));
  float *m = tensor(mean, kSlots * kLong), *s = tensor(deviation, kSlots * kLong);
  for (int t = 0; t < 5; t++) {
    const int samples = sizes[t];
    const size_t numbers = (size_t)kN * (size_t)samples * (size_t)length;
    float* y = tensor(x, numbers);
    us_ops_sample(d, kN, samples, length, slots, m, s, y);
    fetch(y, noise, numbers * sizeof(float));
    int clipped = 0;
    for (int i = 0; i < (int)numbers; i++) {
      int r = i / length, at = slot[r / samples] * length + i % length;
      float z = r % samples ? mean[at] + deviation[at] * x[i] : mean[at];
      clipped += r % samples && fabsf(z) > 1;
      if (r % samples) z = isnan(z) || z < -1 ? -1 : z > 1 ? 1 : z;
      if (isnan(z))
        assert_true(isnan(noise[i]));
      else
        same_float(noise[i], z);
    }
    assert_true(samples == 1 || clipped > 0);
  }
  drop_tensors();
}

static void costs_weigh_blocks(void** state) {
  const float weight[2 * kHorizon] = {0.5f, 0, 2, 1, 1, 1};
  const float rewards[2 * 3 * kHorizon] = {-1, NAN,      -3, 4, 0,  1,  NAN, 0,  0,
                                           1,  INFINITY, 0,  0, -1, -2, -3,  -4, -INFINITY};
  const double sum[6] = {6.5, -4, INFINITY, INFINITY, 3, INFINITY};
  double* y = tensor_bytes(NULL, sizeof(sum));
  us_ops_cost(test_device(), 2, 3, kHorizon, tensor(weight, 6), tensor(rewards, 18), y);
  fetch(y, cost, sizeof(sum));
  for (int k = 0; k < 6; k++) assert_true(cost[k] == sum[k]);
  // Of many, one by one.
  fill_all();
  y = tensor_bytes(NULL, sizeof(cost));
  us_ops_cost(test_device(), kN, kMost, 20, tensor(mean, kN * 20), tensor(x, kN * kMost * 20), y);
  fetch(y, cost, sizeof(cost));
  for (int k = 0; k < kN * kMost; k++) {
    double minus = 0;
    for (int h = 0; h < 20; h++) {
      minus -= (double)mean[k / kMost * 20 + h] * (double)x[k * 20 + h];
    }
    assert_true(cost[k] == minus);
  }
  drop_tensors();
}

// ---- elites and fit ----

// The best of slot i by looking for the least again and again.
static void check_elites(int i, int samples, int length, int elites, int keep) {
  const double* past = old_cost + slot[i] * elites;
  const double* now = cost + i * samples;
  static char taken[kElites + kMost];
  memset(taken, 0, sizeof(taken));
  for (int e = 0; e < elites; e++) {
    int least = -1;
    for (int k = 0; k < keep + samples; k++) {
      double c = k < keep ? past[k] : now[k - keep];
      if (taken[k] || !(c < INFINITY)) continue;
      if (least < 0 || c < (least < keep ? past[least] : now[least - keep])) least = k;
    }
    const size_t at = (size_t)(slot[i] * elites + e);
    if (least < 0) {
      assert_true(best_cost[at] == INFINITY);
      continue;
    }
    taken[least] = 1;
    assert_int_equal(order[i * elites + e], least);
    assert_true(best_cost[at] == (least < keep ? past[least] : now[least - keep]));
    const float* from = least < keep ? old + (slot[i] * elites + least) * length
                                     : x + (size_t)(i * samples + least - keep) * (size_t)length;
    assert_memory_equal(best + at * (size_t)length, from, sizeof(float) * (size_t)length);
  }
}

// Costs with many ties, some of them infinite, in one slot all but two, and numbers that are none.
static void fill_costs(int samples, int elites, uint64_t name) {
  UsRng r = us_rng(9, US_RNG_TEST, name, 0, 0);
  for (int k = 0; k < kN * samples; k++) {
    uint32_t c = us_rng_below(&r, 40);
    cost[k] = c == 39 ? INFINITY : c == 38 ? (double)NAN : (double)(c % 13);
    if (k / samples == 1 && k % samples > 1) cost[k] = INFINITY;
  }
  for (int k = 0; k < kSlots * elites; k++) old_cost[k] = k % elites < 5 ? k % elites : INFINITY;
}

static void the_least_are_elites(void** state) {
  UsDevice* d = test_device();
  const int many[] = {1, 3, 6, kElites}, length = 33;
  int* slots = tensor_bytes(slot, sizeof(slot));
  for (int t = 0; t < 20; t++) {
    const int samples = sizes[t % 5], elites = many[t / 5] < samples ? many[t / 5] : samples;
    for (int keep = 0; keep <= elites; keep += elites > 4 ? elites / 2 : 1) {
      const size_t chosen = sizeof(float) * (size_t)(kSlots * elites * length);
      fill_all();
      fill_costs(samples, elites, (uint64_t)t);
      for (int k = 0; k < kSlots * elites; k++) best_cost[k] = -7;
      float *b = tensor(best, sizeof(best) / sizeof(*best)),
            *y = tensor(x, (size_t)(kN * samples * length)), *o = tensor_bytes(old, chosen);
      double *bc = tensor_bytes(best_cost, sizeof(best_cost)),
             *c = tensor_bytes(cost, sizeof(cost)), *oc = tensor_bytes(old_cost, sizeof(old_cost));
      int* who = tensor_bytes(NULL, sizeof(order));
      us_ops_elites(d, kN, samples, length, elites, keep, slots, y, c, o, oc, who, b, bc);
      float before = best[elites * length];
      fetch(b, best, chosen);
      fetch(bc, best_cost, sizeof(best_cost));
      fetch(who, order, sizeof(order));
      for (int i = 0; i < kN; i++) check_elites(i, samples, length, elites, keep);
      // Slot 1 was not listed.
      assert_true(best[elites * length] == before && best_cost[elites] == -7);
      drop_tensors();
      slots = tensor_bytes(slot, sizeof(slot));
    }
  }
  drop_tensors();
}

static void plans_move_to_their_elites(void** state) {
  const int many[] = {1, 3, kElites}, lengths[] = {1, 33, kLong};
  int* slots = tensor_bytes(slot, sizeof(slot));
  for (int t = 0; t < 9; t++) {
    const int elites = many[t % 3], length = lengths[t / 3];
    fill_all();
    // Slot 0 has no elite, the last of slot 4 is infinite where there are several.
    for (int k = 0; k < kSlots * elites; k++) best_cost[k] = k % elites;
    best_cost[0] = INFINITY;
    if (elites > 1) best_cost[5 * elites - 1] = INFINITY;
    float *m = tensor(mean, kSlots * kLong), *s = tensor(deviation, kSlots * kLong);
    static float to[kSlots * kLong], wide[kSlots * kLong];
    us_ops_fit(test_device(), kN, length, elites, slots, tensor(best, sizeof(best) / sizeof(*best)),
               tensor_bytes(best_cost, sizeof(best_cost)), 0.25f, 0.6f, m, s);
    fetch(m, to, sizeof(to));
    fetch(s, wide, sizeof(wide));
    for (int at = 0; at < kSlots * length; at++) {
      int in = at / length, count = in == 4 && elites > 1 ? elites - 1 : elites;
      if (in < 3) {
        assert_true(to[at] == mean[at] && wide[at] == deviation[at]);
        continue;
      }
      double sum = 0, square = 0;
      const float* row = best + in * elites * length + at % length;
      for (int e = 0; e < count; e++) sum += (double)row[e * length] / count;
      for (int e = 0; e < count; e++) square += pow((double)row[e * length] - sum, 2) / count;
      same_float(to[at], 0.25f * mean[at] + 0.75f * (float)sum);
      same_float(wide[at], fmaxf(0.25f * deviation[at] + 0.75f * (float)sqrt(square), 0.6f));
    }
    // And the CPU's bits.
    us_ops_fit(us_device_cpu(), kN, length, elites, slot, best, best_cost, 0.25f, 0.6f, mean,
               deviation);
    assert_memory_equal(to, mean, sizeof(to));
    assert_memory_equal(wide, deviation, sizeof(wide));
  }
  drop_tensors();
}

// ---- hand out ----

// Plans of `length` numbers, longer than a block has threads, of which `played` are handed out.
static void check_hand_out(int length, int played, int cold, int chosen) {
  enum { kPlan = 2500 };
  static float plan[kSlots * kPlan], next[kSlots * kPlan], top[kSlots * 2 * kPlan];
  static float got[kN * kPlan];
  fill(plan, kSlots * kPlan, 6);
  fill(top, kSlots * 2 * kPlan, 7);
  double costs[kSlots * 2] = {INFINITY, 1, 1, 1, 1, 1, 3, 1, INFINITY, 1};
  float *m = tensor(plan, kSlots * kPlan), *a = tensor(NULL, kN * kPlan);
  us_ops_hand_out(test_device(), kN, length, played, 2, cold, tensor_bytes(slot, sizeof(slot)),
                  chosen ? tensor(top, kSlots * 2 * kPlan) : NULL,
                  chosen ? tensor_bytes(costs, sizeof(costs)) : NULL, m, a);
  fetch(m, next, sizeof(next));
  fetch(a, got, sizeof(got));
  for (int i = 0; i < kN; i++) {
    // Only slot 3 has a finite best.
    const float* of = plan + slot[i] * length;
    const float* from = chosen && slot[i] == 3 ? top + slot[i] * 2 * length : of;
    assert_memory_equal(got + i * played, from, sizeof(float) * (size_t)played);
    for (int j = 0; j < length; j++) {
      float at = !cold && j + played < length ? of[j + played] : 0;
      assert_true(next[slot[i] * length + j] == at);
    }
  }
  assert_memory_equal(next + length, plan + length, sizeof(float) * 2 * (size_t)length);
  drop_tensors();
}

static void plans_are_handed_out_and_shifted(void** state) {
  const int length[] = {1, 10, 10, 10, 1030, 2500}, played[] = {1, 2, 5, 10, 7, 1300};
  for (int t = 0; t < 6; t++) {
    for (int k = 0; k < 4; k++) check_hand_out(length[t], played[t], k % 2, k / 2);
  }
}

// ---- all of them ----

// An iteration and what it hands out, for n slots of a list: a row for each of all slots.
static void iterate(int n, const int* list, float* out) {
  enum { kS = 40, kL = 12, kE = 6 };
  UsDevice* d = test_device();
  UsRng stream[kN];
  float weight[kN * kL];
  for (int i = 0; i < n; i++) {
    stream[i] = us_rng(3, US_RNG_PLAN, (uint64_t)list[i], 1, 0);
    for (int h = 0; h < kL; h++) weight[i * kL + h] = (float)(h - 3);
  }
  fill_all();
  int *slots = tensor_bytes(list, sizeof(int) * (size_t)n), *who = tensor_bytes(NULL, 4 * kN * kE);
  float *m = tensor(mean, kSlots * kL), *s = tensor(deviation, kSlots * kL),
        *c = tensor(NULL, kN * kS * kL), *b = tensor(NULL, kSlots * kE * kL),
        *a = tensor(NULL, kN * 2);
  double *costs = tensor_bytes(NULL, 8 * kN * kS), *bc = tensor_bytes(NULL, 8 * kSlots * kE);
  us_ops_noise(d, n, kS, kL, tensor_bytes(stream, sizeof(stream)), 0, c);
  us_ops_correlate(d, n * kS, kS, kL, 2, 0.9f, c);
  us_ops_sample(d, n, kS, kL, slots, m, s, c);
  // The candidates' numbers stand for rewards.
  us_ops_cost(d, n, kS, kL, tensor(weight, kN * kL), c, costs);
  us_ops_elites(d, n, kS, kL, kE, 0, slots, c, costs, b, bc, who, b, bc);
  us_ops_fit(d, n, kL, kE, slots, b, bc, 0.1f, 0.05f, m, s);
  us_ops_hand_out(d, n, kL, 2, kE, 0, slots, NULL, NULL, m, a);
  float moved[kSlots * kL], played[kN * 2];
  fetch(m, moved, sizeof(moved));
  fetch(a, played, sizeof(played));
  for (int i = 0; i < n; i++) {
    memcpy(out + list[i] * (kL + 2), moved + list[i] * kL, sizeof(float) * kL);
    memcpy(out + list[i] * (kL + 2) + kL, played + 2 * i, sizeof(float) * 2);
  }
  drop_tensors();
}

static void a_slot_does_not_see_the_others(void** state) {
  float all[kSlots * 14] = {0}, some[kSlots * 14] = {0};
  iterate(kN, slot, all);
  iterate(2, (int[]){3, 4}, some);
  iterate(1, (int[]){0}, some);
  assert_memory_equal(all, some, sizeof(all));
  assert_memory_not_equal(all, all + 3 * 14, 14 * sizeof(float));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(noise_names_its_streams),
      cmocka_unit_test(odd_candidates_are_smooth),
      cmocka_unit_test(candidates_lie_around_the_mean),
      cmocka_unit_test(costs_weigh_blocks),
      cmocka_unit_test(the_least_are_elites),
      cmocka_unit_test(plans_move_to_their_elites),
      cmocka_unit_test(plans_are_handed_out_and_shifted),
      cmocka_unit_test(a_slot_does_not_see_the_others),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
