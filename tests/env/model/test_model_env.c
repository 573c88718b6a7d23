// The stand-in env: what env.h promises, for a model folder with random weights.

#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "env/env.h"
#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/toy.h"
#include "worldmodel/base/json.h"

enum { kSlots = 64, kSamples = 70, kHorizon = 4, kMost = kSlots * kSamples * kHorizon };

static char folder[] = "/tmp/us_model_env_XXXXXX", name[64];

static int make(void** state) {
  UsPredictorConfig c = toy_config();
  if (!mkdtemp(folder)) return 1;
  snprintf(name, sizeof(name), "model:%s", folder);
  return toy_model(folder, &c, 9) != US_OK;
}

static int drop(void** state) {
  toy_remove(folder);
  return 0;
}

static UsEnv* open_env(int slots, UsPool* pool) {
  UsEnv* e;
  const UsEnvConfig c = {.slots = slots, .pool = pool, .device = test_device()};
  assert_int_equal(us_env_open(name, NULL, &c, &e), US_OK);
  return e;
}

static void fill(float* x, size_t count, int stream) {
  UsRng r = us_rng(4, US_RNG_TEST, (uint64_t)stream, 0, 0);
  for (size_t i = 0; i < count; i++) x[i] = 2 * us_rng_uniform(&r) - 1;
}

// Gives a slot two frames and a goal that depend on `id` alone.
static void prepare(UsEnv* e, int slot, int id) {
  double s[3][kToyDim];
  for (int k = 0; k < 3; k++) {
    for (int i = 0; i < kToyDim; i++) s[k][i] = sin(id * 7 + k * 3 + i);
  }
  float led[kToyBlock * kToyAction];
  fill(led, kToyBlock * kToyAction, 1000 + id);
  UsObs before = {.state = s[0], .time = 1.0, .first = 1};
  UsObs now = {.state = s[1], .time = 1.25, .action = led};
  UsObs goal = {.state = s[2]};
  assert_int_equal(us_env_observe(e, 1, &slot, &before), US_OK);
  assert_int_equal(us_env_observe(e, 1, &slot, &now), US_OK);
  assert_int_equal(us_env_set_goal(e, 1, &slot, &goal), US_OK);
}

static UsEnv* prepared(int slots, UsPool* pool) {
  UsEnv* e = open_env(slots, pool);
  for (int i = 0; i < slots; i++) prepare(e, i, i);
  return e;
}

static void test_info(void** state) {
  UsEnv* e = open_env(3, NULL);
  const UsEnvInfo* i = us_env_info(e);
  assert_string_equal(i->task, "toy");
  assert_int_equal(i->slots, 3);
  assert_int_equal(i->block, kToyBlock);
  assert_int_equal(i->action, kToyAction);
  assert_int_equal(i->state, kToyDim);
  assert_int_equal(i->observation, kToyDim);
  assert_int_equal(i->context, 2);
  us_env_close(e);
  UsEnvConfig wrong = {.block = 3};
  assert_int_equal(us_env_open(name, NULL, &wrong, &e), US_USAGE);
  assert_null(e);
  assert_int_not_equal(us_env_open("model:/nowhere", NULL, NULL, &e), US_OK);
  assert_null(e);
}

// Reset depends on the seed alone and draws from the bank; without a goal the reward is 0.
static void test_reset(void** state) {
  UsEnv* e = prepared(4, NULL);
  const uint64_t seeds[4] = {5, 6, 5, 7};
  const uint8_t mask[4] = {1, 1, 1, 0};
  us_env_reset(e, mask, seeds);
  float actions[4 * kToyAction] = {0}, seen[4 * kToyDim], reward[4], again[4 * kToyDim];
  us_env_step(e, actions, &(UsStep){.observation = seen, .reward = reward});
  assert_memory_equal(seen, seen + 2 * kToyDim, kToyDim * sizeof(float));
  assert_true(reward[0] == 0 && reward[1] == 0 && reward[3] < 0);
  us_env_reset(e, mask, seeds);
  us_env_step(e, actions, &(UsStep){.observation = again});
  assert_memory_equal(seen, again, 3 * kToyDim * sizeof(float));
  us_env_close(e);
}

// Saved, played on, restored: the same bits again. Forked: the same bits elsewhere.
static void test_save_restore_fork(void** state) {
  UsEnv* e = prepared(3, NULL);
  float actions[3 * kToyAction], one[3 * kToyDim], two[3 * kToyDim], reward[3], reward2[3];
  fill(actions, 3 * kToyAction, 1);
  memcpy(actions + 4, actions + 2, 2 * sizeof(float));
  void* bytes = malloc(us_env_save_size(e));
  us_env_save(e, 1, bytes);
  us_env_step(e, actions, &(UsStep){.observation = one, .reward = reward});
  us_env_step(e, actions, NULL);
  us_env_restore(e, 1, bytes);
  us_env_fork(e, 1, 2, (int[]){0, 2});
  us_env_step(e, actions, &(UsStep){.observation = two, .reward = reward2});
  assert_memory_equal(one + kToyDim, two + kToyDim, kToyDim * sizeof(float));
  assert_memory_equal(two + kToyDim, two + 2 * kToyDim, kToyDim * sizeof(float));
  assert_true(reward[1] == reward2[1] && reward2[1] == reward2[2]);
  assert_memory_not_equal(two, two + kToyDim, kToyDim * sizeof(float));
  free(bytes);
  us_env_close(e);
}

// Rewards of a rollout are those of a loop of steps, and the rollout changes nothing.
static void test_rollout_is_looped_step(void** state) {
  UsEnv* e = prepared(2, NULL);
  float actions[kSamples * kHorizon * kToyAction], rewards[kSamples * kHorizon];
  fill(actions, kSamples * kHorizon * kToyAction, 2);
  actions[0] = 7;  // clipped in both
  size_t size = us_env_save_size(e);
  char *before = malloc(size), *after = malloc(size);
  const int slot = 1;
  us_env_rollout(e, 1, &slot, kSamples, kHorizon, actions, rewards);
  us_env_save(e, slot, before);
  for (int c = 0; c < kSamples; c += 23) {
    us_env_restore(e, slot, before);
    for (int h = 0; h < kHorizon; h++) {
      float act[2 * kToyAction] = {0}, reward[2];
      memcpy(act + kToyAction, actions + (c * kHorizon + h) * kToyAction,
             sizeof(float) * kToyAction);
      us_env_step(e, act, &(UsStep){.reward = reward});
      assert_float_equal(reward[1], rewards[c * kHorizon + h], 1e-4);
    }
  }
  us_env_restore(e, slot, before);
  us_env_rollout(e, 1, &slot, kSamples, kHorizon, actions, rewards);
  us_env_save(e, slot, after);
  assert_memory_equal(before, after, size);
  free(before);
  free(after);
  us_env_close(e);
}

// One slot, seven or all of them, in any order, on one thread or two: the same bits.
static void test_rollout_same_bits(void** state) {
  static float actions[kMost * kToyAction], want[kMost], got[kMost], some[kMost * kToyAction];
  const size_t length = kSamples * kHorizon;
  int slots[kSlots];
  for (int i = 0; i < kSlots; i++) slots[i] = i;
  fill(actions, kMost * kToyAction, 3);
  UsPool* pool = us_pool_create(2);
  UsEnv *one = prepared(kSlots, NULL), *two = prepared(kSlots, pool);
  us_env_rollout(one, kSlots, slots, kSamples, kHorizon, actions, want);
  us_env_rollout(two, kSlots, slots, kSamples, kHorizon, actions, got);
  assert_memory_equal(want, got, sizeof(want));
  static const int seven[7] = {63, 5, 0, 31, 6, 7, 62};
  for (int i = 0; i < 7; i++) {
    memcpy(some + (size_t)i * length * kToyAction, actions + (size_t)seven[i] * length * kToyAction,
           length * kToyAction * sizeof(float));
  }
  us_env_rollout(two, 7, seven, kSamples, kHorizon, some, got);
  for (int i = 0; i < 7; i++) {
    assert_memory_equal(got + (size_t)i * length, want + (size_t)seven[i] * length,
                        length * sizeof(float));
  }
  for (int i = 0; i < 3; i++) {  // an env of one slot
    UsEnv* single = open_env(1, NULL);
    prepare(single, 0, seven[i]);
    us_env_rollout(single, 1, (int[]){0}, kSamples, kHorizon,
                   some + (size_t)i * length * kToyAction, got);
    assert_memory_equal(got, want + (size_t)seven[i] * length, length * sizeof(float));
    us_env_close(single);
  }
  us_env_close(one);
  us_env_close(two);
  us_pool_destroy(pool);
}

// What lies on the device is what comes from it: rewards of a rollout there, and latents whose mean
// squared difference is the distance.
static void test_tensor_memory(void** state) {
  enum { kActions = 3 * kSamples * kHorizon * kToyAction, kRewards = 3 * kSamples * kHorizon };
  static float actions[kActions], want[kRewards], got[kRewards];
  UsEnv *e = prepared(3, NULL), *fresh = open_env(1, NULL);
  UsDevice* d = us_env_info(e)->device;
  const int slots[3] = {2, 0, 1};
  fill(actions, kActions, 6);
  actions[3] = 7;  // clipped in both
  assert_int_equal(us_env_need(e, "test", US_ENV_latents | US_ENV_rollout_device), US_OK);
  float *there = us_ops_alloc(d, kActions), *back = us_ops_alloc(d, kRewards);
  us_ops_put(d, there, actions, kActions);
  us_env_rollout(e, 3, slots, kSamples, kHorizon, actions, want);
  us_env_rollout_prepare(e, 3, slots);
  us_env_rollout_device(e, 3, kSamples, kHorizon, there, back);
  us_ops_get(d, back, got, kRewards);
  assert_memory_equal(want, got, sizeof(want));
  us_ops_get(d, there, got, kToyAction * 2);
  assert_true(got[3] == 7);

  float now[3 * kToyDim], goal[3 * kToyDim], distance[3];
  assert_int_equal(us_env_latents(e, 3, slots, there, back), US_OK);
  us_ops_get(d, there, now, 3 * kToyDim);
  us_ops_get(d, back, goal, 3 * kToyDim);
  us_env_score(e, 3, slots, distance, NULL);
  for (int i = 0; i < 3; i++) {
    double sum = 0;
    for (int k = i * kToyDim; k < (i + 1) * kToyDim; k++) sum += pow((double)(now[k] - goal[k]), 2);
    assert_float_equal(sum / kToyDim, distance[i], 1e-5);
    assert_true(distance[i] > 0.01f);
  }
  assert_int_equal(us_env_latents(fresh, 1, (int[]){0}, NULL, back), US_OK);  // it has no goal
  us_ops_get(d, back, goal, kToyDim);
  assert_true(goal[0] == 0 && goal[1] == 0 && goal[2] == 0);
  us_ops_free(d, there);
  us_ops_free(d, back);
  us_env_close(e);
  us_env_close(fresh);
}

static void test_step_same_bits(void** state) {
  UsPool* pool = us_pool_create(2);
  UsEnv *all = prepared(kSlots, pool), *single = open_env(1, NULL);
  prepare(single, 0, 41);
  float actions[kSlots * kToyAction], seen[kSlots * kToyDim], one[kToyDim];
  fill(actions, kSlots * kToyAction, 4);
  for (int i = 0; i < 3; i++) {
    us_env_step(all, actions, &(UsStep){.observation = seen});
    us_env_step(single, actions + 41 * kToyAction, &(UsStep){.observation = one});
    assert_memory_equal(one, seen + 41 * kToyDim, sizeof(one));
  }
  us_env_close(all);
  us_env_close(single);
  us_pool_destroy(pool);
}

// The newest C frames count, and only the differences of their times.
static void test_observe(void** state) {
  UsEnv* e = open_env(3, NULL);
  double s[3][kToyDim] = {{1, 0, 2}, {0.5, 0.25, 1}, {-1, 3, 0}};
  const UsObs frames[3] = {{.state = s[0], .time = 3, .first = 1},
                           {.state = s[1], .time = 3.25},
                           {.state = s[2], .time = 3.5}};
  const int zero = 0, one = 1, two = 2;
  for (int i = 0; i < 3; i++) us_env_observe(e, 1, &zero, &frames[i]);
  UsObs late[2] = {frames[1], frames[2]};
  late[0].first = 1;
  late[0].time += 16;
  late[1].time += 16;
  us_env_observe(e, 1, &one, &late[0]);
  us_env_observe(e, 1, &one, &late[1]);
  UsObs alone = frames[2];
  alone.first = 1;
  us_env_observe(e, 1, &two, &alone);
  UsObs look = {0};
  assert_int_equal(us_env_look(e, 1, &one, &look), US_OK);
  assert_true(look.time == 19.5);
  float actions[3 * kToyAction] = {0}, seen[3 * kToyDim];
  us_env_step(e, actions, &(UsStep){.observation = seen});
  assert_memory_equal(seen, seen + kToyDim, kToyDim * sizeof(float));
  assert_memory_not_equal(seen, seen + 2 * kToyDim, kToyDim * sizeof(float));
  UsObs nothing = {.time = 1};
  assert_int_equal(us_env_observe(e, 1, &one, &nothing), US_UNSUPPORTED);
  assert_int_equal(us_env_set_goal(e, 1, &one, &nothing), US_UNSUPPORTED);
  double room[kToyDim];
  look.state = room;
  assert_int_equal(us_env_look(e, 1, &one, &look), US_UNSUPPORTED);
  us_env_close(e);
}

// The actions between the two frames count, clipped; those not known are 0.
static void test_past(void** state) {
  UsEnv* e = open_env(4, NULL);
  enum { kBlock = kToyBlock * kToyAction };
  double s[2][kToyDim] = {{1, 0, 2}, {0.5, 0.25, 1}};
  float led[4][kBlock] = {{0}};
  for (int i = 0; i < kBlock; i++) {
    led[1][i] = 1;
    led[2][i] = 3;
  }
  for (int i = 0; i < 4; i++) {
    const UsObs before = {.state = s[0], .first = 1};
    const UsObs now = {.state = s[1], .time = 0.25, .action = i < 3 ? led[i] : NULL};
    us_env_observe(e, 1, &i, &before);
    us_env_observe(e, 1, &i, &now);
  }
  float actions[4 * kBlock] = {0}, seen[4 * kToyDim];
  us_env_step(e, actions, &(UsStep){.observation = seen});
  assert_memory_not_equal(seen, seen + kToyDim, kToyDim * sizeof(float));
  assert_memory_equal(seen + kToyDim, seen + 2 * kToyDim, kToyDim * sizeof(float));
  assert_memory_equal(seen, seen + 3 * kToyDim, kToyDim * sizeof(float));
  us_env_close(e);
}

// NaN is a value: the slot ends, its neighbours go on; the score is the distance of the reward.
static void test_nan_and_score(void** state) {
  UsEnv* e = prepared(2, NULL);
  float actions[2 * kToyAction] = {NAN, 0, 0, 0}, reward[2], distance[2];
  uint8_t ended[2], success[2];
  us_env_step(e, actions, &(UsStep){.reward = reward, .terminated = ended, .success = success});
  assert_true(ended[0] == 1 && ended[1] == 0);
  assert_true(reward[0] == -INFINITY && isfinite(reward[1]));
  us_env_score(e, 2, (int[]){0, 1}, distance, success);
  assert_true(distance[1] == -reward[1] && success[1] == 0);
  us_env_close(e);
  UsEnv* limited;
  assert_int_equal(
      us_env_open(name, NULL, &(UsEnvConfig){.limit = 2, .device = test_device()}, &limited),
      US_OK);
  uint8_t truncated[3];
  actions[0] = 0;
  for (int i = 0; i < 3; i++) us_env_step(limited, actions, &(UsStep){.truncated = truncated + i});
  assert_true(truncated[0] == 0 && truncated[1] == 1 && truncated[2] == 1);
  us_env_close(limited);
}

// Writes `whiten` into config.json.
static void set_whiten(double whiten) {
  char path[128];
  cJSON* json;
  snprintf(path, sizeof(path), "%s/config.json", folder);
  assert_int_equal(us_json_read(path, &json), US_OK);
  cJSON_DeleteItemFromObjectCaseSensitive(json, "whiten");
  cJSON_AddNumberToObject(json, "whiten", whiten);
  assert_int_equal(us_json_write(path, json), US_OK);
  cJSON_Delete(json);
}

// The metric of a whitened folder, from its contexts, is that of steps, scores, judgements and
// rollouts.
static void test_whiten(void** state) {
  enum { kRows = 9 * 2 };
  UsModel* model;
  double v[kToyDim], metric[kToyDim], sum = 0, weighted = 0;
  float mean[kToyDim], scale;
  assert_int_equal(us_model_open(folder, NULL, &model), US_OK);
  us_predictor_norm(us_model_predictor(model), mean, &scale);
  assert_null(us_model_world(model)->metric);
  const float* x = us_model_contexts(model);
  for (int k = 0; k < kToyDim; k++) {
    double first = 0, second = 0;
    for (int r = 0; r < kRows; r++) first += (double)x[r * kToyDim + k] / kRows;
    for (int r = 0; r < kRows; r++) second += pow((double)x[r * kToyDim + k], 2) / kRows;
    v[k] = second - first * first;
    metric[k] = pow(v[k], -0.5);
    sum += v[k];
    weighted += metric[k] * v[k];
  }
  us_model_destroy(model);

  set_whiten(0.5);
  UsEnv* e = prepared(3, NULL);
  const int slots[] = {0, 1, 2};
  float actions[3 * kToyAction], reward[3], distance[3], judged[3], rolled[3];
  float z[3][kToyDim], g[3][kToyDim];
  fill(actions, 3 * kToyAction, 6);
  us_env_rollout(e, 3, slots, 1, 1, actions, rolled);
  us_env_step(e, actions, &(UsStep){.reward = reward});
  us_env_score(e, 3, slots, distance, NULL);
  assert_int_equal(us_env_view(e, US_OBS_latent, 3, slots, z, NULL, g), US_OK);
  assert_int_equal(us_env_judge(e, US_OBS_latent, 3, z, g, judged, NULL), US_OK);
  for (int i = 0; i < 3; i++) {
    double want = 0;
    for (int k = 0; k < kToyDim; k++) {
      want += sum / weighted * metric[k] * pow((double)(z[i][k] - g[i][k]) / (double)scale, 2);
    }
    want /= kToyDim;
    assert_float_equal(-reward[i], want, 1e-4 * want);
    assert_float_equal(distance[i], want, 1e-4 * want);
    assert_float_equal(-judged[i], want, 1e-4 * want);
    assert_float_equal(-rolled[i], want, 1e-4 * want);
  }
  us_env_close(e);
  set_whiten(1.5);
  assert_int_equal(us_env_open(name, NULL, NULL, &e), US_FORMAT);
  assert_non_null(strstr(us_message(), "whiten"));
  set_whiten(0);
}

static void test_no_allocations(void** state) {
  UsPool* pool = us_pool_create(2);
  UsEnv* e = prepared(5, pool);
  static float actions[5 * kSamples * kHorizon * kToyAction], rewards[5 * kSamples * kHorizon];
  const int slots[5] = {0, 1, 2, 3, 4};
  us_env_rollout(e, 5, slots, kSamples, kHorizon, actions, rewards);
  long before = toy_allocations();
  us_env_rollout(e, 5, slots, kSamples, kHorizon, actions, rewards);
  us_env_step(e, actions, NULL);
  us_env_rollout(e, 5, slots, kSamples, kHorizon, actions, rewards);
  assert_int_equal(toy_allocations(), before);
  us_env_close(e);
  us_pool_destroy(pool);
}

// Pairs of latents nearer than 1 are solved.
static void near_pairs(void* from, int held, int64_t step, int b, float* now, float* goal,
                       int* yes) {
  UsRng r = us_rng(8, US_RNG_TEST, (uint64_t)step, (uint64_t)b, (uint64_t)held);
  float apart = 0;
  for (int i = 0; i < kToyDim; i++) {
    now[i] = us_rng_normal(&r);
    goal[i] = now[i] + 0.7f * us_rng_normal(&r);
    apart += (goal[i] - now[i]) * (goal[i] - now[i]);
  }
  *yes = apart < 1;
}

// With a head a slot is solved by its own latents alone, in one call over all as in one over
// itself, and goals that are drawn are not solved.
static void test_head(void** state) {
  char path[128];
  UsSuccessHead* head;
  const UsSuccessConfig c = {.tokens = 1,
                             .dim = kToyDim,
                             .steps = emulated() ? 10 : 40,
                             .held = 256,
                             .device = test_device()};
  snprintf(path, sizeof(path), "%s/success.safetensors", folder);
  assert_int_equal(us_success_fit(&c, near_pairs, NULL, &head), US_OK);
  assert_int_equal(us_success_save(head, path), US_OK);
  us_success_destroy(head);
  UsEnv *all = prepared(kSlots, NULL), *one = open_env(1, NULL);
  int slots[kSlots], solved = 0;
  float actions[kSlots * kToyAction] = {0}, z[kSlots][kToyDim], g[kSlots][kToyDim];
  uint8_t yes[kSlots], ends[kSlots], judged[kSlots], single;
  for (int i = 0; i < kSlots; i++) slots[i] = i;
  us_env_step(all, actions, &(UsStep){.terminated = ends});
  us_env_score(all, kSlots, slots, NULL, yes);
  assert_memory_equal(ends, yes, sizeof(yes));
  assert_int_equal(us_env_view(all, US_OBS_latent, kSlots, slots, z, NULL, g), US_OK);
  assert_int_equal(us_env_judge(all, US_OBS_latent, kSlots, z, g, NULL, judged), US_OK);
  assert_memory_equal(judged, yes, sizeof(yes));
  for (int i = 0; i < kSlots; i++) {
    prepare(one, 0, i);
    us_env_step(one, actions, &(UsStep){.terminated = &single});
    assert_int_equal(single, yes[i]);
    solved += single;
  }
  assert_true(solved > 0 && solved < kSlots);
  uint64_t seeds[kSlots];
  for (int i = 0; i < kSlots; i++) seeds[i] = (uint64_t)i;
  us_env_reset(all, NULL, seeds);
  us_env_score(all, kSlots, slots, NULL, yes);
  for (int i = 0; i < kSlots; i++) assert_int_equal(yes[i], 0);  // no goal, no success
  assert_int_equal(us_env_draw_goal(all, kSlots, slots, seeds), US_OK);
  us_env_score(all, kSlots, slots, NULL, yes);
  for (int i = solved = 0; i < kSlots; i++) solved += yes[i];
  assert_true(solved < kSlots / 4);  // a bank of nine has few
  us_env_close(all);
  us_env_close(one);
  remove(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_info),
      cmocka_unit_test(test_reset),
      cmocka_unit_test(test_save_restore_fork),
      cmocka_unit_test(test_rollout_is_looped_step),
      cmocka_unit_test(test_rollout_same_bits),
      cmocka_unit_test(test_tensor_memory),
      cmocka_unit_test(test_step_same_bits),
      cmocka_unit_test(test_observe),
      cmocka_unit_test(test_past),
      cmocka_unit_test(test_nan_and_score),
      cmocka_unit_test(test_head),
      cmocka_unit_test(test_whiten),
      cmocka_unit_test(test_no_allocations),
  };
  return cmocka_run_group_tests(tests, make, drop);
}
