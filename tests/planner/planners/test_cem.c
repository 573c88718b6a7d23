// The cross-entropy planner on a cost whose best plan is known, with an env that imagines on the
// host and with one that imagines on a device.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "planner/planner.h"
#include "tests/planner/point_device.h"
#include "tests/worldmodel/on_device.h"
#include "worldmodel/ops/ops_table.h"

enum { kSlots = 64, kBlock = 1, kPlan = 5 * 2 };

static int allocations;

#ifndef US_SANITIZED
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* malloc(size_t size) {
  allocations++;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  allocations++;
  return __libc_calloc(count, size);
}
#endif

// Imagines on the host, whatever the device of the search.
static void open_point(PointEnv* e, int slots) {
  point_open(e, slots, kBlock);
  e->base.info.device = test_device();
}

static UsPlanner* make(PointEnv* e, const UsPlannerConfig* config) {
  UsPlanner* p;
  if (us_planner_create("cem", &e->base, config, &p) != US_OK) fail_msg("%s", us_message());
  return p;
}

// Enough candidates to come near the best plan, all of which is handed out.
static UsPlannerConfig thorough(void) {
  UsPlannerConfig config = us_planner_defaults();
  config.samples = 512;
  config.iterations = 20;
  config.elites = 40;
  config.replan = 5;
  config.least_deviation = 0.01f;
  config.first_weight = 1;
  return config;
}

static void finds_the_best_plan(void** state) {
  (void)state;
  PointEnv e;
  open_point(&e, 2);
  e.goal[0][0] = 0.6, e.goal[0][1] = -0.3;  // within reach of the first action
  e.goal[1][0] = 2.5, e.goal[1][1] = 0;     // in three actions at the bound
  UsPlannerConfig config = thorough();
  UsPlanner* p = make(&e, &config);
  int slots[] = {0, 1};
  uint64_t episodes[] = {0, 1};
  us_planner_start(p, 2, slots, episodes);
  float a[2][5][2];
  us_planner_plan(p, 2, slots, &a[0][0][0]);
  assert_float_equal(a[0][0][0], 0.6, 0.05);
  assert_float_equal(a[0][0][1], -0.3, 0.05);
  for (int h = 1; h < 5; h++) assert_float_equal(a[0][h][0], 0, 0.05);
  const float best[] = {1, 1, 0.5f, 0, 0};
  for (int h = 0; h < 5; h++) assert_float_equal(a[1][h][0], best[h], 0.1);
  for (int h = 0; h < 5; h++) assert_true(fabsf(a[1][h][0]) <= 1);
  assert_int_equal(p->plans, 2);
  assert_int_equal(p->candidate_steps, 2 * 512 * 20 * 5);
  us_planner_destroy(p);
}

// A goal is there when it is due, whatever lies before: the first blocks of every plan from here
// have no finite reward, so that plans whose every block costs have nothing to go by. After it is
// due the point stays, and the first plan then searches as an episode's first.
static void arrives_when_due(void** state) {
  (void)state;
  for (int deadline = 0; deadline < 2; deadline++) {
    PointEnv e;
    open_point(&e, 1);
    e.goal[0][0] = e.goal[0][1] = 0;
    e.x[0][0] = 3.2;
    e.broken = 2;
    UsPlannerConfig config = us_planner_defaults();
    config.deadline = deadline;
    UsPlanner* p = make(&e, &config);
    int slot = 0;
    uint64_t episode = 0;
    us_planner_start(p, 1, &slot, &episode);
    for (int k = 0; k < 10; k++) {
      float action[2];
      us_planner_plan(p, 1, &slot, action);
      point_play(&e, 0, 1, action);
      if (deadline && k >= 4) assert_true(fabs(e.x[0][0]) < 0.4);
    }
    if (!deadline) assert_true(e.x[0][0] == 3.2);
    int rounds = deadline ? 2 * config.iterations + 8 * config.warm_iterations
                          : config.iterations + 9 * config.warm_iterations;
    assert_int_equal(p->candidate_steps, rounds * config.samples * config.horizon);
    us_planner_destroy(p);
  }
}

// Two plans of every episode, in batches of `batch` slots, into actions (64, 2, 5, 2).
static void plan_all(int batch, int threads, float* actions) {
  PointEnv e;
  open_point(&e, kSlots);
  UsPool* pool = us_pool_create(threads);
  UsPlannerConfig config = us_planner_defaults();
  config.seed = 5;
  config.replan = 5;
  config.iterations = 3;
  config.warm_iterations = 2;
  config.correlation = 0.5f;
  config.pool = pool;
  UsPlanner* p = make(&e, &config);
  for (int first = 0; first < kSlots; first += batch) {
    int n = first + batch < kSlots ? batch : kSlots - first;
    int slots[kSlots];
    uint64_t episodes[kSlots];
    float played[kSlots][kPlan];
    for (int i = 0; i < n; i++) {
      slots[i] = first + n - 1 - i;  // another order than the episodes'
      episodes[i] = (uint64_t)slots[i];
    }
    us_planner_start(p, n, slots, episodes);
    for (int round = 0; round < 2; round++) {
      us_planner_plan(p, n, slots, &played[0][0]);
      for (int i = 0; i < n; i++) {
        point_play(&e, slots[i], 1, played[i]);
        memcpy(actions + (slots[i] * 2 + round) * kPlan, played[i], sizeof(played[i]));
      }
    }
  }
  us_planner_destroy(p);
  us_pool_destroy(pool);
}

static void batch_and_threads_give_the_same_bits(void** state) {
  (void)state;
  static float one[kSlots * 2 * kPlan], other[kSlots * 2 * kPlan];
  plan_all(1, 1, one);
  const int batch[] = {1, 7, 64, 7, 64}, threads[] = {2, 1, 1, 2, 2};
  for (int i = 0; i < 5; i++) {
    plan_all(batch[i], threads[i], other);
    assert_memory_equal(one, other, sizeof(one));
  }
  assert_memory_not_equal(one, one + 2 * kPlan, sizeof(float) * kPlan);
}

// Mean squared distance to the goal at the end of the plan a planner makes with few candidates,
// after one plan of which it played a block.
static double second_plan_error(int cold) {
  PointEnv e;
  open_point(&e, kSlots);
  UsPlannerConfig config = us_planner_defaults();
  config.samples = 24;
  config.elites = 6;
  config.iterations = 8;
  config.warm_iterations = 1;
  config.cold = cold;
  if (cold) config.iterations = 1;
  config.warm_deviation = 0.2f;
  config.replan = 1;
  UsPlanner* p = make(&e, &config);
  double error = 0;
  for (int s = 0; s < kSlots; s++) {
    uint64_t episode = (uint64_t)s;
    float a[2];
    e.goal[s][0] *= 3;
    e.goal[s][1] *= 3;
    us_planner_start(p, 1, &s, &episode);
    for (int round = 0; round < 3; round++) {
      us_planner_plan(p, 1, &s, a);
      point_play(&e, s, 1, a);
    }
    error -= (double)point_reward(&e, s, e.x[s]);
  }
  us_planner_destroy(p);
  return error / kSlots;
}

static void a_warm_start_helps(void** state) {
  (void)state;
  assert_true(second_plan_error(0) < 0.5 * second_plan_error(1));
}

static void a_plan_goes_on_where_the_last_one_was_left(void** state) {
  (void)state;
  PointEnv e;
  open_point(&e, 1);
  e.goal[0][0] = 2.5;
  UsPlannerConfig config = thorough();
  config.replan = 1;
  config.warm_iterations = 1;
  config.warm_deviation = config.least_deviation = config.momentum = 0;
  UsPlanner* p = make(&e, &config);
  int slot = 0;
  uint64_t episode = 0;
  float a[5][2], tail[2];
  us_planner_start(p, 1, &slot, &episode);
  for (int h = 0; h < 5; h++) us_planner_plan(p, 1, &slot, a[h]);
  assert_true(a[0][0] > 0.8f && a[1][0] > 0.8f);
  assert_float_equal(a[2][0], 0.5, 0.3);
  assert_float_equal(a[3][0], 0, 0.3);
  us_planner_plan(p, 1, &slot, tail);
  assert_true(tail[0] == 0 && tail[1] == 0);
  us_planner_start(p, 1, &slot, &episode);  // a new episode forgets, and the same one repeats
  us_planner_plan(p, 1, &slot, tail);
  assert_memory_equal(tail, a[0], sizeof(tail));
  us_planner_destroy(p);
}

static void equal_costs_go_to_the_first(void** state) {
  (void)state;
  PointEnv e;
  open_point(&e, 1);
  e.goal[0][0] = 1e9;  // so far that float rewards cannot tell the candidates apart
  UsPlannerConfig config = us_planner_defaults();
  config.elites = 1;
  config.keep = 1;
  config.iterations = 3;
  UsPlanner* p = make(&e, &config);
  int slot = 0;
  uint64_t episode = 0;
  float a[2];
  us_planner_start(p, 1, &slot, &episode);
  us_planner_plan(p, 1, &slot, a);
  assert_true(a[0] == 0 && a[1] == 0);  // candidate 0, the mean
  us_planner_destroy(p);
}

static void broken_rewards_rank_last(void** state) {
  (void)state;
  PointEnv e;
  open_point(&e, 1);
  e.goal[0][0] = 0.9, e.goal[0][1] = 0.2;
  e.broken = 0.3f;  // the goal lies where rewards are NaN, and -inf on the other side
  UsPlannerConfig config = thorough();
  UsPlanner* p = make(&e, &config);
  int slot = 0;
  uint64_t episode = 3;
  float a[5][2];
  us_planner_start(p, 1, &slot, &episode);
  us_planner_plan(p, 1, &slot, &a[0][0]);
  double x = 0;
  for (int h = 0; h < 5; h++) {
    x += (double)a[h][0];
    assert_true(x > 0.2 && x < 0.31);  // as near as finite rewards go
  }
  e.broken = 1e-9f;  // not one finite candidate except by staying, which noise never does
  e.x[0][0] = 1;
  us_planner_start(p, 1, &slot, &episode);
  us_planner_plan(p, 1, &slot, &a[0][0]);
  for (int h = 0; h < 5; h++) assert_true(a[h][0] == 0 && a[h][1] == 0);
  us_planner_destroy(p);
}

// The first blocks of the best candidates of the last call, by slot.
static float best_played[kSlots][2];

static void watched_rollout(UsEnv* env, int n, const int* slots, int samples, int horizon,
                            const float* actions, float* rewards) {
  point_rollout(env, n, slots, samples, horizon, actions, rewards);
  for (int i = 0; i < n; i++) {
    double least = INFINITY;
    for (int k = 0; k < samples; k++) {
      double cost = 0;
      const size_t at = (size_t)(i * samples + k) * (size_t)horizon;
      for (int h = 0; h < horizon; h++) cost -= (double)rewards[at + (size_t)h];
      if (cost < least) memcpy(best_played[slots[i]], actions + 2 * at, sizeof(float) * 2);
      if (cost < least) least = cost;
    }
  }
}

// In the second plan slot 0 has fewer iterations than slot 1, whose last one so comes later.
static void the_best_of_the_last_iteration_is_played(void** state) {
  static const UsEnvClass watched = {.kind = "point", .rollout = watched_rollout};
  PointEnv e;
  open_point(&e, 2);
  e.base.cls = &watched;
  UsPlannerConfig config = us_planner_defaults();
  config.play_best = 1;
  config.keep = 0;
  config.iterations = 3;
  config.first_weight = 1;
  UsPlanner* p = make(&e, &config);
  int slots[] = {0, 1};
  uint64_t episodes[] = {0, 1};
  float a[2][2];
  us_planner_start(p, 2, slots, episodes);
  us_planner_plan(p, 1, slots, a[0]);
  assert_memory_equal(a[0], best_played[0], sizeof(a[0]));
  us_planner_plan(p, 2, slots, a[0]);
  assert_memory_equal(a, best_played, sizeof(a));
  us_planner_destroy(p);
}

static void plans_do_not_allocate(void** state) {
  (void)state;
  if (!on_cpu()) return;  // what a driver does on the host is its own
  PointEnv e;
  open_point(&e, kSlots);
  UsPlannerConfig config = us_planner_defaults();
  UsPlanner* p = make(&e, &config);
  int slots[] = {3, 9};
  uint64_t episodes[] = {1, 2};
  float a[2][2];
  int before = allocations;
  us_planner_start(p, 2, slots, episodes);
  for (int i = 0; i < 3; i++) us_planner_plan(p, 2, slots, &a[0][0]);
  assert_int_equal(allocations, before);
  us_planner_destroy(p);
}

// ---- an env on the device ----

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
  UsPlannerConfig config = thorough();
  UsPlanner* p = make(&e.point, &config);
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
  UsPlanner* p = make(&e.point, &config);
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

// Six plans of every episode, in batches of `batch` slots, into actions (64, 6, 2). Every second
// plan lists them the other way round; some begin another episode in between, so that first and
// later plans meet in one list. An episode's actions depend on none of that.
static void plan_on_device(int recording, int batch, int k, float* actions) {
  DevicePoint e;
  device_point_open(&e, kSlots, kBlock, spy_open(recording));
  UsPlannerConfig config = few(k);
  UsPlanner* p = make(&e.point, &config);
  for (int first = 0; first < kSlots; first += batch) {
    const int n = first + batch < kSlots ? batch : kSlots - first;
    float played[kSlots][2];
    for (int round = 0; round < 6; round++) {
      int slots[kSlots];
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
  static float plain[kSlots * 12], other[kSlots * 12];
  for (int k = 0; k < 4; k++) {
    plan_on_device(kRefuses, 1, k, plain);
    const int batch[] = {1, 7, 64, 7}, recording[] = {kRecords, kRecords, kRecords, kFails};
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
    UsPlanner* p = make(&e.point, &config);
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_the_best_plan),
      cmocka_unit_test(arrives_when_due),
      cmocka_unit_test(batch_and_threads_give_the_same_bits),
      cmocka_unit_test(a_warm_start_helps),
      cmocka_unit_test(a_plan_goes_on_where_the_last_one_was_left),
      cmocka_unit_test(equal_costs_go_to_the_first),
      cmocka_unit_test(broken_rewards_rank_last),
      cmocka_unit_test(the_best_of_the_last_iteration_is_played),
      cmocka_unit_test(plans_do_not_allocate),
      cmocka_unit_test(plans_reach_goals_on_the_device),
      cmocka_unit_test(a_plan_is_one_put_one_get_and_a_replay),
      cmocka_unit_test(replayed_plans_are_the_same_bits),
      cmocka_unit_test(the_oldest_recordings_go),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
