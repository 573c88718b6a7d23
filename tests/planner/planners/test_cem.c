// The cross-entropy planner on a cost whose best plan is known, by an env that imagines on the
// host.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "planner/planner.h"
#include "tests/planner/point_env.h"
#include "tests/worldmodel/on_device.h"

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
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
