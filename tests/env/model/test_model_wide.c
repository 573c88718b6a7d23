// The stand-in env on a wide device, where one call takes all slots: the numbers of the CPU, and
// how little goes between the host and the device. Here the device is a fenced one (fenced.h); with
// UNDERSTUDY_TEST_DEVICE the launches and waits of a real one are counted too.

#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "env/env.h"
#include "planner/planner.h"
#include "tests/worldmodel/fenced.h"
#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/toy.h"

enum { kSlots = 7, kSamples = 33, kHorizon = 4, kBlock = kToyBlock * kToyAction };
enum { kRewards = kSlots * kSamples * kHorizon, kManySlots = 64, kManySamples = 64 };

static char folder[] = "/tmp/us_model_wide_XXXXXX", name[64];

static int make(void** state) {
  UsPredictorConfig c = toy_config();
  c.depth = 3;
  c.width = c.action_hidden = 16;  // launches do not depend on it
  c.context = 3;
  c.past = 2;
  if (!mkdtemp(folder)) return 1;
  snprintf(name, sizeof(name), "model:%s", folder);
  return toy_model(folder, &c, 9) != US_OK;
}

static int drop(void** state) {
  toy_remove(folder);
  return 0;
}

static UsEnv* open_env(UsDevice* d, int slots) {
  UsEnv* e;
  const UsEnvConfig c = {.slots = slots, .device = d};
  assert_int_equal(us_env_open(name, NULL, &c, &e), US_OK);
  return e;
}

static void fill(float* x, size_t count, int stream) {
  UsRng r = us_rng(4, US_RNG_TEST, (uint64_t)stream, 0, 0);
  for (size_t i = 0; i < count; i++) x[i] = 2.4f * us_rng_uniform(&r) - 1.2f;
}

static void near(const float* want, const float* got, size_t count, const char* what) {
  for (size_t i = 0; i < count; i++) {
    if (isinf(want[i]) && want[i] == got[i]) continue;
    if (!(fabsf(want[i] - got[i]) <= 1e-5f * fmaxf(1, fabsf(want[i])))) {
      fail_msg("%s: number %zu: got %.8g, expected %.8g", what, i, got[i], want[i]);
    }
  }
}

// Gives the listed slots two frames and, but for slot 2, a goal. `twice`: a list names a slot
// again.
static void prepare(UsEnv* e, int n, int twice) {
  enum { kMost = 2 * kManySlots };
  static double state[3][kMost][kToyDim];
  static float led[kMost][kBlock];
  UsObs first[kMost], then[kMost], goal[kMost];
  int slots[kMost];
  fill(led[0], (size_t)(n * kBlock), 50);
  for (int i = 0; i < n; i++) {
    slots[i] = (i * 3 + 1) % n;
    for (int k = 0; k < 3; k++) {
      for (int j = 0; j < kToyDim; j++) state[k][i][j] = sin(slots[i] * 7 + k * 3 + j);
    }
    first[i] = (UsObs){.state = state[0][i], .time = 1 + slots[i] % 2, .first = 1};
    then[i] = (UsObs){.state = state[1][i], .time = 1.25 + slots[i] % 2, .action = led[i]};
    goal[i] = (UsObs){.state = state[2][i]};
  }
  assert_int_equal(us_env_observe(e, n, slots, first), US_OK);
  if (twice) {
    // The first slot's second frame comes in the middle of a list, and a third one at its end.
    int again[4] = {slots[1], slots[0], slots[0], slots[1]};
    const UsObs frames[4] = {then[1], then[0], first[1], first[0]};
    UsObs late[4];
    for (int i = 0; i < 4; i++) {
      late[i] = frames[i];
      late[i].first = i == 3;
      late[i].time = 2.25 + 0.25 * i;
    }
    assert_int_equal(us_env_observe(e, 4, again, late), US_OK);
  } else {
    assert_int_equal(us_env_observe(e, n, slots, then), US_OK);
  }
  // All goals in one list, but for slot 2's.
  int goals = 0;
  for (int i = 0; i < n; i++) {
    if (slots[i] == 2 && n == kSlots) continue;
    slots[goals] = slots[i];
    goal[goals++] = goal[i];
  }
  assert_int_equal(us_env_set_goal(e, goals, slots, goal), US_OK);
  const int both[2] = {1, 1};  // the last one counts
  assert_int_equal(us_env_set_goal(e, 2, both, (UsObs[]){goal[0], goal[1]}), US_OK);
}

// Rewards, steps, latents, scores and saved slots are those of the CPU.
static void check_numbers(UsDevice* d, int twice) {
  static float actions[kRewards * kBlock], want[kRewards], got[kRewards];
  static const int slots[kSlots] = {3, 6, 2, 0, 5, 1, 4};
  UsEnv* e[2] = {open_env(us_device_cpu(), kSlots), open_env(d, kSlots)};
  fill(actions, kRewards * kBlock, 1);
  for (int i = 0; i < 2; i++) prepare(e[i], kSlots, twice);
  for (int round = 0; round < (emulated() ? 1 : 3); round++) {
    // All candidates at once, then with lists that are longer than there are slots.
    us_env_rollout(e[0], kSlots, slots, kSamples, kHorizon, actions, want);
    us_env_rollout(e[1], kSlots, slots, kSamples, kHorizon, actions, got);
    near(want, got, kRewards, "rewards");
    for (int k = 0; k < kSamples * kHorizon; k++) {
      assert_true(got[2 * kSamples * kHorizon + k] == 0);  // of the slot without a goal
    }
    static const int many[11] = {1, 1, 2, 0, 6, 5, 5, 5, 3, 4, 2};
    us_env_rollout(e[0], 11, many, 2, 40, actions, want);
    us_env_rollout(e[1], 11, many, 2, 40, actions, got);
    near(want, got, 11 * 2 * 40, "rewards of a long list");
    // A block of all, and where it leads.
    float seen[2][kSlots * kToyDim], reward[2][kSlots], apart[2][11];
    for (int i = 0; i < 2; i++) {
      us_env_step(e[i], actions + round * kSlots * kBlock,
                  &(UsStep){.observation = seen[i], .reward = reward[i]});
      us_env_score(e[i], 11, many, apart[i], NULL);
    }
    near(seen[0], seen[1], kSlots * kToyDim, "observations");
    near(reward[0], reward[1], kSlots, "rewards of a step");
    near(apart[0], apart[1], 11, "scores");
    float latents[2][2][11 * kToyDim];
    for (int i = 0; i < 2; i++) {
      UsDevice* where = us_env_info(e[i])->device;
      float *now = us_ops_alloc(where, 11 * kToyDim), *goal = us_ops_alloc(where, 11 * kToyDim);
      assert_int_equal(us_env_latents(e[i], 11, many, now, goal), US_OK);
      us_ops_get(where, now, latents[i][0], 11 * kToyDim);
      us_ops_get(where, goal, latents[i][1], 11 * kToyDim);
      us_ops_free(where, now);
      us_ops_free(where, goal);
    }
    near(latents[0][0], latents[1][0], 2 * 11 * kToyDim, "latents");
    // What is saved or forked goes on elsewhere as it does here.
    void* bytes = malloc(us_env_save_size(e[0]));
    for (int i = 0; i < 2; i++) {
      us_env_save(e[i], 1, bytes);
      us_env_fork(e[i], 3, 2, (int[]){6, 0});
      us_env_restore(e[i], 4, bytes);
      us_env_step(e[i], actions, &(UsStep){.observation = seen[i]});
    }
    free(bytes);
    near(seen[0], seen[1], kSlots * kToyDim, "observations after a fork");
  }
  for (int i = 0; i < 2; i++) us_env_close(e[i]);
}

static void test_numbers(void** state) {
  for (int twice = 0; twice < 2; twice++) {
    check_numbers(fenced_open(1), twice);
    fenced_close();
    if (!on_cpu()) check_numbers(test_device(), twice);
  }
}

// Where memory for all candidates is not to be had, they roll in several calls; so do those of one
// slot.
static void test_memory(void** state) {
  static float actions[kRewards * kBlock], want[kRewards], got[kRewards];
  static const int slots[kSlots] = {3, 6, 2, 0, 5, 1, 4};
  fill(actions, kRewards * kBlock, 1);
  UsEnv* cpu = open_env(us_device_cpu(), kSlots);
  prepare(cpu, kSlots, 0);
  us_env_rollout(cpu, kSlots, slots, kSamples, kHorizon, actions, want);
  for (int k = 0; k < 3; k++) {
    UsEnv* e = open_env(fenced_open(1), kSlots);
    prepare(e, kSlots, 0);
    const size_t left[3] = {1 << 20, 300 << 10, 100 << 10};
    fenced_limit = fenced_used + left[k];
    fenced_calls = (FencedCalls){0};
    us_env_rollout(e, kSlots, slots, kSamples, kHorizon, actions, got);
    near(want, got, kRewards, "rewards");
    const long rolls = fenced_calls.window / kHorizon;  // a call each
    assert_true(k == 0 ? rolls == 1 : k == 1 ? rolls > 1 && rolls <= kSlots : rolls > kSlots);
    us_env_close(e);
    fenced_close();
  }
  us_env_close(cpu);
}

// Launches, waits and puts since the last call.
typedef struct Traffic {
  double launches, waits, puts;
} Traffic;

static Traffic traffic(UsDevice* d) {
  static UsDeviceInfo before;
  Traffic t = {(double)fenced_launches(), (double)fenced_calls.get_bytes,
               (double)fenced_calls.put_bytes};
  if (d != test_device()) {
    fenced_calls = (FencedCalls){0};
    return t;
  }
  UsDeviceInfo now;
  us_device_info(d, &now);
  t = (Traffic){(double)(now.launches - before.launches), (double)(now.waits - before.waits), 0};
  before = now;
  return t;
}

static void check_traffic(UsDevice* d) {
  enum { kNumbers = kManySlots * kManySamples * kHorizon };
  const int horizon = emulated() ? 2 : kHorizon;
  UsEnv* e = open_env(d, kManySlots);
  int slots[kManySlots];
  for (int i = 0; i < kManySlots; i++) slots[i] = kManySlots - 1 - i;
  prepare(e, kManySlots, 0);
  float* actions = us_ops_alloc(d, kNumbers * kBlock);
  float* rewards = us_ops_alloc(d, kNumbers);
  us_env_rollout_prepare(e, kManySlots, slots);
  us_env_rollout_device(e, kManySlots, kManySamples, horizon, actions, rewards);
  // A rollout after the first: nothing comes or goes, and few launches make a frame.
  traffic(d);
  us_env_rollout_device(e, kManySlots, kManySamples, horizon, actions, rewards);
  Traffic t = traffic(d);
  print_message("%s: launches a frame: %g\n", us_device_kind(d), t.launches / horizon);
  assert_true(t.launches > 30 * horizon && t.launches < 40 * horizon);
  assert_true(t.waits == 0 && t.puts == 0);
  // Observing takes a few calls, whatever the number of slots.
  prepare(e, kManySlots, 0);
  t = traffic(d);
  assert_true(t.launches < 40 && t.waits == 0 && t.puts < 12);
  us_env_rollout_prepare(e, kManySlots, slots);
  t = traffic(d);
  assert_true(t.launches < 20 && t.waits == 0 && t.puts <= 3);
  float* played = calloc(kManySlots * kBlock, sizeof(float));
  us_env_step(e, played, NULL);
  t = traffic(d);
  assert_true(t.launches < 60 && t.waits == 1 && t.puts <= 2);
  free(played);
  us_ops_free(d, actions);
  us_ops_free(d, rewards);
  us_env_close(e);
}

// A plan waits for the device once, for its actions.
static void check_plan(UsDevice* d) {
  UsEnv* e = open_env(d, kManySlots);
  UsPlannerConfig c = us_planner_defaults();
  c.samples = emulated() ? 8 : kManySamples;
  c.horizon = kHorizon;
  UsPlanner* p;
  assert_int_equal(us_planner_create("cem", e, &c, &p), US_OK);
  int slots[kManySlots];
  uint64_t episodes[kManySlots];
  for (int i = 0; i < kManySlots; i++) slots[i] = (int)(episodes[i] = (uint64_t)i);
  static float plan[kManySlots * kHorizon * kBlock];
  assert_int_equal(us_planner_start(p, kManySlots, slots, episodes), US_OK);
  prepare(e, kManySlots, 0);
  for (int i = 0; i < 4; i++) {
    traffic(d);
    us_planner_plan(p, kManySlots, slots, plan);
    assert_true(traffic(d).waits == 1);
    us_env_step(e, plan, NULL);
  }
  us_planner_destroy(p);
  us_env_close(e);
}

static void test_traffic(void** state) {
  void (*const checks[])(UsDevice * d) = {check_traffic, check_plan};
  for (int i = 0; i < 2; i++) {
    checks[i](fenced_open(1));
    fenced_close();
    if (!on_cpu()) checks[i](test_device());
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_traffic),
  };
  return cmocka_run_group_tests(tests, make, drop);
}
