// The cross-entropy planner with envs that imagine on its device: what a plan brings there and
// waits for, and that plans which are replayed have the bits of those that are not.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "planner/planner.h"
#include "tests/planner/point_device.h"
#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/toy.h"
#include "worldmodel/ops/ops_table.h"

enum { kSlots = 64, kFew = 8, kBlock = 1 };

// ---- the device ----

// The device of the test, whose transfers and recordings are counted and may be refused.
typedef struct Spy {
  UsDevice device;
  UsOps ops;
  int puts, gets, recorded, replays, forgotten;
  enum { kRecords, kRefuses, kFails } recording;
} Spy;

static Spy spy;

static void spy_put(UsDevice* d, void* x, const void* host, size_t bytes) {
  spy.puts++;
  test_device()->ops->put_bytes(d, x, host, bytes);
}

static void spy_get(UsDevice* d, const void* x, void* host, size_t bytes) {
  spy.gets++;
  test_device()->ops->get_bytes(d, x, host, bytes);
}

static int spy_record(UsDevice* d) {
  return spy.recording == kRefuses ? 0 : test_device()->ops->record(d);
}

static void* spy_recorded(UsDevice* d) {
  void* r = test_device()->ops->recorded(d);
  spy.recorded += r != NULL;
  if (spy.recording == kRecords) return r;
  us_ops_forget(d, r);
  return NULL;
}

static void spy_replay(UsDevice* d, void* recording) {
  spy.replays++;
  test_device()->ops->replay(d, recording);
}

static void spy_forget(UsDevice* d, void* recording) {
  spy.forgotten += recording != NULL;
  test_device()->ops->forget(d, recording);
}

static UsDevice* spy_open(int recording) {
  spy = (Spy){.device = *test_device(), .ops = *test_device()->ops, .recording = recording};
  spy.ops.put_bytes = spy_put;
  spy.ops.get_bytes = spy_get;
  spy.ops.record = spy_record;
  spy.ops.recorded = spy_recorded;
  spy.ops.replay = spy_replay;
  spy.ops.forget = spy_forget;
  spy.device.ops = &spy.ops;
  return &spy.device;
}

// ---- a point ----

static UsPlanner* make(UsEnv* e, const UsPlannerConfig* config) {
  UsPlanner* p;
  if (us_planner_create("cem", e, config, &p) != US_OK) fail_msg("%s", us_message());
  return p;
}

static UsPlannerConfig few(int k) {
  UsPlannerConfig config = us_planner_defaults();
  config.samples = 20;
  config.play_best = k % 2;
  config.iterations = 3 + k / 2;  // the last one in the half of the warm ones' last, or not
  return config;
}

static void plans_reach_goals_on_the_device(void** state) {
  DevicePoint e;
  device_point_open(&e, 2, 2, test_device());
  UsPlannerConfig config = few(0);
  config.samples = 256;
  config.iterations = 12;
  config.elites = 20;
  config.replan = 5;
  config.least_deviation = 0.01f;
  UsPlanner* p = make(&e.point.base, &config);
  int slots[] = {1, 0};
  uint64_t episodes[] = {0, 1};
  float a[2][5][2][2];
  us_planner_start(p, 2, slots, episodes);
  us_planner_plan(p, 2, slots, &a[0][0][0][0]);
  for (int k = 0; k < 40; k++) {
    const int i = k / 20;
    assert_float_equal((&a[0][0][0][0])[k], e.point.goal[slots[i]][k % 2] / 10, 0.05);
  }
  us_planner_destroy(p);
  device_point_close(&e);
}

// The first plan is one of its kind and so is the second, a warm one; the third is recorded.
static void a_plan_is_one_put_one_get_and_a_replay(void** state) {
  DevicePoint e;
  UsDevice* d = spy_open(kRecords);
  device_point_open(&e, kSlots, kBlock, d);
  UsPlannerConfig config = few(0);
  UsPlanner* p = make(&e.point.base, &config);
  int slots[] = {5, 63, 0};
  uint64_t episodes[] = {1, 2, 3};
  float a[3][2];
  UsDeviceInfo before, after;
  us_planner_start(p, 3, slots, episodes);
  for (int k = 0; k < 6; k++) {
    int puts = spy.puts, gets = spy.gets, replays = spy.replays, rollouts = e.point.rollouts;
    us_device_info(d, &before);
    us_planner_plan(p, 3, slots, &a[0][0]);
    us_device_info(d, &after);
    assert_int_equal(spy.puts - puts, 1 + 2);  // the env puts two of its own
    assert_int_equal(spy.gets - gets, 1);
    if (on_cpu()) continue;
    assert_int_equal(after.waits - before.waits, 1);
    assert_int_equal(spy.replays - replays, k >= 2);
    assert_int_equal(e.point.rollouts - rollouts, k < 3 ? k == 0 ? 3 : 2 : 0);
    // Rollouts are two launches here, an iteration has six others.
    assert_int_equal(after.launches - before.launches, 2 + (k == 0 ? 3 : 2) * (2 + 6) + 1);
  }
  assert_int_equal(p->candidate_steps, 3 * (3 + 5 * 2) * 20 * 5);
  us_planner_destroy(p);
  assert_int_equal(spy.forgotten, spy.recorded);
  device_point_close(&e);
}

// Six plans of every episode, in batches of `batch` slots, into actions (8, 6, 2). Every second
// plan lists them the other way round; some begin another episode in between, so that first and
// later plans meet in one list. An episode's actions depend on none of that.
static void plan_on_device(int recording, int batch, int k, float* actions) {
  DevicePoint e;
  device_point_open(&e, kFew, kBlock, spy_open(recording));
  UsPlannerConfig config = few(k);
  UsPlanner* p = make(&e.point.base, &config);
  for (int first = 0; first < kFew; first += batch) {
    const int n = first + batch < kFew ? batch : kFew - first;
    float played[kFew][2];
    for (int round = 0; round < 6; round++) {
      int slots[kFew];
      for (int i = 0; i < n; i++) {
        slots[i] = first + (round % 2 ? i : n - 1 - i);
        const uint64_t episode = (uint64_t)(slots[i] + round);
        if (round == 0 || (round == 3 && slots[i] % 3 == 0)) {
          us_planner_start(p, 1, &slots[i], &episode);
        }
      }
      us_planner_plan(p, n, slots, &played[0][0]);
      for (int i = 0; i < n; i++) {
        point_play(&e.point, slots[i], 1, played[i]);
        memcpy(actions + (slots[i] * 6 + round) * 2, played[i], sizeof(played[i]));
      }
    }
  }
  us_planner_destroy(p);
  assert_true(on_cpu() || (spy.replays > 0) == (recording == kRecords));
  assert_int_equal(spy.forgotten, spy.recorded);
  device_point_close(&e);
}

static void replayed_plans_are_the_same_bits(void** state) {
  static float plain[kFew * 12], other[kFew * 12];
  for (int k = 0; k < 4; k += emulated() ? 3 : 1) {
    plan_on_device(kRefuses, 1, k, plain);
    const int batch[] = {1, 3, kFew, 3}, recording[] = {kRecords, kRecords, kRecords, kFails};
    for (int i = 0; i < 4; i++) {
      plan_on_device(recording[i], batch[i], k, other);
      assert_memory_equal(plain, other, sizeof(plain));
    }
    assert_memory_not_equal(plain, plain + 12, 12 * sizeof(float));
  }
}

// Lists of so many lengths that recordings have to go.
static void the_oldest_recordings_go(void** state) {
  float actions[2][40][12][2];
  for (int recording = 0; recording < 2; recording++) {
    DevicePoint e;
    device_point_open(&e, 12, kBlock, spy_open(recording));
    UsPlannerConfig config = few(0);
    config.cold = 1;
    UsPlanner* p = make(&e.point.base, &config);
    int slots[12];
    uint64_t episodes[12];
    for (int i = 0; i < 12; i++) slots[i] = 11 - i, episodes[i] = (uint64_t)i;
    us_planner_start(p, 12, slots, episodes);
    for (int k = 0; k < 40; k++) {
      // Each length three times in a row, then once more.
      const int n = k < 36 ? 1 + k / 3 : 48 - k;
      us_planner_plan(p, n, slots, &actions[recording][k][0][0]);
      assert_memory_not_equal(actions[recording][k][0], (float[2]){0}, sizeof(float) * 2);
      if (recording == kRecords && k == 35 && !on_cpu()) {
        assert_int_equal(spy.recorded, 12);
        assert_int_equal(spy.forgotten, 12 - 8);
        assert_int_equal(spy.replays, 24);
      }
    }
    assert_true(recording == kRefuses || on_cpu() || spy.replays == 24 + 4);
    for (int k = 0; k < 40; k++) {
      const size_t n = (size_t)(k < 36 ? 1 + k / 3 : 48 - k);
      if (recording) {
        assert_memory_equal(actions[0][k], actions[1][k], n * 2 * sizeof(float));
      }
    }
    us_planner_destroy(p);
    assert_int_equal(spy.forgotten, spy.recorded);
    device_point_close(&e);
  }
}

// ---- the stand-in env ----

enum { kModels = 5, kRounds = 4, kPlayed = kToyBlock * kToyAction };

static char folder[] = "/tmp/us_cem_device_XXXXXX", name[64];

static int make_model(void** state) {
  UsPredictorConfig c = toy_config();
  c.context = 3;
  c.past = 2;
  if (!mkdtemp(folder)) return 1;
  snprintf(name, sizeof(name), "model:%s", folder);
  return toy_model(folder, &c, 9) != US_OK;
}

static int drop_model(void** state) {
  toy_remove(folder);
  return 0;
}

static void see(int slot, int round, int goal, double* state) {
  for (int j = 0; j < kToyDim; j++) state[j] = sin(slot * 5 + round * 2 + j + 7 * goal);
}

// Plans of all slots in batches, with frames and new goals in between; slot 4 has none until the
// last round. actions (5, 4, 2).
static void plan_by_model(UsDevice* d, int batch, float* actions) {
  UsEnv* e;
  const UsEnvConfig config = {.slots = kModels, .device = d};
  if (us_env_open(name, NULL, &config, &e) != US_OK) fail_msg("%s", us_message());
  UsPlannerConfig settings = few(0);
  settings.horizon = 3;
  settings.samples = 9;
  UsPlanner* p = make(e, &settings);
  for (int first = 0; first < kModels; first += batch) {
    const int n = first + batch < kModels ? batch : kModels - first;
    float played[kModels][kPlayed];
    for (int round = 0; round < kRounds; round++) {
      for (int i = 0; i < n; i++) {
        const int slot = first + i;
        const uint64_t episode = (uint64_t)slot;
        double now[kToyDim], goal[kToyDim];
        see(slot, round, 0, now);
        see(slot, round, 1, goal);
        const UsObs frame = {
            .state = now,
            .time = 0.25 * round,
            .first = round == 0,
            .action = round > 0 ? actions + (slot * kRounds + round - 1) * kPlayed : NULL};
        assert_int_equal(us_env_observe(e, 1, &slot, &frame), US_OK);
        if ((round == 0 && slot != 4) || (round == 3 && slot > 1)) {
          assert_int_equal(us_env_set_goal(e, 1, &slot, &(UsObs){.state = goal}), US_OK);
        }
        if (round == 0) us_planner_start(p, 1, &slot, &episode);
      }
      int slots[kModels];
      for (int i = 0; i < n; i++) slots[i] = first + (round % 2 ? i : n - 1 - i);
      us_planner_plan(p, n, slots, &played[0][0]);
      for (int i = 0; i < n; i++) {
        memcpy(actions + (slots[i] * kRounds + round) * kPlayed, played[i], sizeof(played[i]));
      }
    }
  }
  assert_int_equal(us_device_check(d, "plan"), US_OK);
  us_planner_destroy(p);
  us_env_close(e);
}

static void the_model_plans_alike(void** state) {
  enum { kNumbers = kModels * kRounds * kPlayed };
  static float cpu[kNumbers], plain[kNumbers], other[kNumbers];
  plan_by_model(us_device_cpu(), 1, cpu);
  plan_by_model(spy_open(kRefuses), 1, plain);
  for (int i = 0; i < kNumbers; i++) assert_float_equal(plain[i], cpu[i], 1e-5);
  const int batch[] = {1, 3, kModels};
  for (int i = 0; i < 3; i++) {
    plan_by_model(spy_open(kRecords), batch[i], other);
    assert_memory_equal(plain, other, sizeof(plain));
    assert_true(on_cpu() || spy.replays > 0);
    assert_int_equal(spy.forgotten, spy.recorded);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plans_reach_goals_on_the_device),
      cmocka_unit_test(a_plan_is_one_put_one_get_and_a_replay),
      cmocka_unit_test(replayed_plans_are_the_same_bits),
      cmocka_unit_test(the_oldest_recordings_go),
      cmocka_unit_test(the_model_plans_alike),
  };
  return cmocka_run_group_tests(tests, make_model, drop_model);
}
