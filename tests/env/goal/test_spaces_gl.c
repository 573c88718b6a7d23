// Spaces of agents: a simulator and the model that stands in for it describe the same ones, what is
// seen in them is what the kinds know otherwise, and rewards and success of goals that are in no
// slot are those of steps.

#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/env/env_help.h"
#include "tests/worldmodel/toy.h"

enum { kFrame = 64 * 64 * 3, kLatent = 128, kSlots = 3 };

static char folder[] = "/tmp/us_spaces_XXXXXX", bare[] = "/tmp/us_spaces_XXXXXX";
static char name[64], bare_name[64];

// Pairs whose difference is small are solved.
static void pairs(void* from, int held, int64_t step, int b, float* now, float* goal, int* yes) {
  UsRng r = us_rng(3, US_RNG_TEST, (uint64_t)step, (uint64_t)b, (uint64_t)held);
  *yes = (int)us_rng_below(&r, 2);
  us_rng_fill_normal(&r, now, kLatent);
  us_rng_fill_normal(&r, goal, kLatent);
  for (int i = 0; *yes && i < kLatent; i++) goal[i] = now[i] + 0.02f * goal[i];
}

// A model folder of pointmaze with random weights on the embedded encoder; with a head or without.
static UsStatus make_model(char* where, int with_head) {
  UsEncoder* e = NULL;
  UsSuccessHead* head = NULL;
  UsPredictorConfig c = us_predictor_config_default(1, 1, kLatent, 5, 2);
  c.width = c.action_hidden = 32;
  c.depth = 1;
  static const float mean[kLatent];
  UsPredictor* p = NULL;
  UsStatus status = us_predictor_create("test", &c, &p);
  if (status == US_OK) status = us_predictor_init(p, 3);
  us_predictor_set_norm(p, mean, 1.5f);
  enum { kContexts = 9 };
  const size_t frames = (size_t)kContexts * 2 * kLatent, blocks = (size_t)kContexts * 10;
  float* context = calloc(frames + blocks, sizeof(float));
  UsRng r = us_rng(2, US_RNG_TEST, 0, 0, 0);
  us_rng_fill_normal(&r, context, (int)frames);
  if (status == US_OK) status = us_encoder_open("default", NULL, &e);
  const UsSuccessConfig fit = {.tokens = 1, .dim = kLatent, .steps = 60, .held = 256};
  if (status == US_OK && with_head) status = us_success_fit(&fit, pairs, NULL, &head);
  if (status == US_OK) {
    status = us_model_save(where, &(UsModelParts){.task = "pointmaze",
                                                  .dt = 0.05,
                                                  .model = us_predictor_model(p),
                                                  .encoder = e,
                                                  .contexts = kContexts,
                                                  .context = context,
                                                  .past = context + frames,
                                                  .success = head});
  }
  if (status != US_OK) print_message("%s\n", us_message());
  free(context);
  us_success_destroy(head);
  us_encoder_destroy(e);
  us_predictor_destroy(p);
  return status;
}

static UsEnv* open_sim(const char* task, int slots, const char* encoder) {
  const UsEnvConfig c = {.slots = slots, .encoder = encoder, .goals = 1};
  UsEnv* e = open_env(task, &c);
  uint64_t seeds[kSlots] = {4, 5, 6};
  us_env_reset(e, NULL, seeds);
  return e;
}

static UsEnv* open_model(const char* which, int slots) {
  const UsEnvConfig c = {.slots = slots, .goals = 1};
  UsEnv* e = open_env(which, &c);
  uint64_t seeds[kSlots] = {4, 5, 6};
  us_env_reset(e, NULL, seeds);
  return e;
}

static void expect(UsStatus found, UsStatus wanted, const char* words) {
  assert_int_equal(found, wanted);
  assert_one_line(us_message());
  if (!strstr(us_message(), words)) fail_msg("\"%s\" says nothing of \"%s\"", us_message(), words);
}

static void assert_same_space(const UsSpace* a, const UsSpace* b) {
  assert_string_equal(a->dtype, b->dtype);
  assert_int_equal(a->rank, b->rank);
  for (int i = 0; i < a->rank; i++) assert_int_equal(a->shape[i], b->shape[i]);
  assert_true(a->bytes == b->bytes && a->low == b->low && a->high == b->high);
}

// ---- descriptions ----

static void test_both_kinds_have_the_same_spaces(void** state) {
  UsEnv *sim = open_sim("sim:pointmaze", 1, folder), *model = open_model(name, 1);
  UsSpaces a, b;
  for (int kind = US_OBS_pixels; kind <= US_OBS_latent; kind++) {
    assert_int_equal(us_env_spaces(sim, (UsObsKind)kind, &a), US_OK);
    assert_int_equal(us_env_spaces(model, (UsObsKind)kind, &b), US_OK);
    assert_same_space(&a.action, &b.action);
    assert_same_space(&a.observation, &b.observation);
    assert_same_space(&a.goal, &b.goal);
    assert_same_space(&a.goal, &a.observation);
  }
  assert_true(a.action.rank == 1 && a.action.shape[0] == 10 && a.action.low == -1);
  assert_true(a.observation.shape[1] == kLatent && a.observation.bytes == 4 * kLatent);
  // States are the simulator's.
  assert_int_equal(us_env_spaces(sim, US_OBS_state, &a), US_OK);
  assert_true(a.observation.shape[0] == 4 && a.goal.shape[0] == 2 && a.goal.bytes == 16);
  expect(us_env_spaces(model, US_OBS_state, &b), US_UNSUPPORTED, "state");
  expect(us_env_spaces(sim, US_OBS_COUNT, &b), US_USAGE, "kinds");
  us_env_close(sim);
  us_env_close(model);
  // One env step a block, on the simulator alone.
  const UsEnvConfig one = {.block = 1, .encoder = folder};
  sim = open_env("sim:pointmaze", &one);
  assert_int_equal(us_env_spaces(sim, US_OBS_latent, &a), US_OK);
  assert_int_equal(a.action.shape[0], 2);
  us_env_close(sim);
  assert_int_equal(us_env_open(name, NULL, &(UsEnvConfig){.block = 1}, &model), US_USAGE);
}

static void test_what_is_missing_is_said(void** state) {
  UsEnv* e = open_sim("sim:pointmaze", 1, NULL);
  UsSpaces s;
  float x[2 * kLatent] = {0}, reward;
  uint8_t yes;
  expect(us_env_spaces(e, US_OBS_latent, &s), US_UNSUPPORTED, "encoder");
  expect(us_env_judge(e, US_OBS_latent, 1, x, x, &reward, NULL), US_UNSUPPORTED, "encoder");
  us_env_close(e);
  // An encoder alone has a reward and no success.
  e = open_sim("sim:pointmaze", 1, "default");
  x[3] = 2;
  assert_int_equal(us_env_judge(e, US_OBS_latent, 1, x, x + kLatent, &reward, NULL), US_OK);
  assert_float_equal(reward, -4.0 / kLatent, 1e-6);
  expect(us_env_judge(e, US_OBS_latent, 1, x, x, NULL, &yes), US_UNSUPPORTED, "success head");
  us_env_close(e);
  // A folder without a head says so, and ends nothing.
  e = open_model(bare_name, 2);
  assert_false(us_env_info(e)->judges);
  expect(us_env_judges(e), US_UNSUPPORTED, "success head");
  expect(us_env_judges(e), US_UNSUPPORTED, bare_name);
  uint8_t ends[2] = {9, 9}, success[10];
  float actions[20] = {0};
  us_env_step(e, actions, &(UsStep){.terminated = ends, .success = success});
  assert_true(!ends[0] && !ends[1] && !success[4]);
  us_env_close(e);
  // Encoders that do not fit.
  UsEnv* none;
  const UsEnvConfig with = {.encoder = folder}, small = {.encoder = folder, .height = 32};
  expect(us_env_open(name, NULL, &with, &none), US_USAGE, "encoder");
  expect(us_env_open("sim:wall", us_tasks, &with, &none), US_FORMAT, "pointmaze");
  expect(us_env_open("sim:pointmaze", us_tasks, &small, &none), US_USAGE, "64 x 64");
  const UsEnvConfig lost = {.encoder = "/nowhere"};
  assert_int_equal(us_env_open("sim:pointmaze", us_tasks, &lost, &none), US_IO);
  assert_null(none);
}

// ---- the simulator ----

static void test_states_and_measures(void** state) {
  UsEnv* e = open_sim("sim:pointmaze", kSlots, NULL);
  const int slots[kSlots] = {0, 1, 2};
  double now[kSlots][4], got[kSlots][2], goal[kSlots][2], seen[4], measured[kSlots][2];
  float reward[kSlots], again[kSlots];
  uint8_t ends[kSlots], yes[kSlots];
  float* actions = random_actions(1, kSlots * 10, 1);
  us_env_step(e, actions, &(UsStep){.reward = reward, .terminated = ends});
  assert_int_equal(us_env_view(e, US_OBS_state, kSlots, slots, now, got, goal), US_OK);
  get_state(e, 1, seen);
  assert_memory_equal(seen, now[1], sizeof(seen));
  assert_int_equal(us_sim_measure(e, kSlots, now[0], measured[0]), US_OK);
  assert_memory_equal(measured, got, sizeof(measured));
  // A reward of a step is that of its goals, to the bit.
  assert_int_equal(us_env_judge(e, US_OBS_state, kSlots, got, goal, again, yes), US_OK);
  assert_memory_equal(reward, again, sizeof(reward));
  assert_memory_equal(ends, yes, sizeof(yes));
  assert_int_equal(us_env_judge(e, US_OBS_state, kSlots, goal, goal, again, yes), US_OK);
  assert_true(again[2] == 0 && yes[2] == 1);
  // A goal's state has its measures; a slot without a goal has 0.
  UsObs o = {.state = seen};
  assert_int_equal(us_env_look_goal(e, 1, &slots[1], &o), US_OK);
  assert_true(seen[0] == goal[1][0] && seen[1] == goal[1][1] && seen[2] == 0);
  us_env_close(e);
  const UsEnvConfig without = {.slots = 1};
  e = open_env("sim:pointmaze", &without);
  us_env_reset(e, NULL, (uint64_t[]){4});
  assert_int_equal(us_env_view(e, US_OBS_state, 1, slots, NULL, NULL, goal), US_OK);
  assert_true(goal[0][0] == 0 && goal[0][1] == 0);
  expect(us_env_look_goal(e, 1, slots, &o), US_USAGE, "goal");
  us_env_close(e);
  free(actions);
}

// Goals follow from the seed alone, are not solved at the start, and keep an episode's layout.
static void test_goals_of_tasks(void** state) {
  for (int t = 0; us_tasks[t]; t++) {
    char task[64];
    snprintf(task, sizeof(task), "sim:%s", us_tasks[t]->name);
    UsEnv *one = open_env(task, &(UsEnvConfig){.goals = 1}), *two = open_sim(task, kSlots, NULL);
    const int slots[kSlots] = {0, 1, 2};
    const size_t m = (size_t)us_env_info(one)->measure;
    double* a = calloc(4 * m, sizeof(double));
    uint8_t yes[kSlots];
    us_env_reset(one, NULL, (uint64_t[]){5});
    assert_int_equal(us_env_view(one, US_OBS_state, 1, slots, NULL, NULL, a), US_OK);
    assert_int_equal(us_env_view(two, US_OBS_state, kSlots, slots, NULL, NULL, a + m), US_OK);
    assert_memory_equal(a, a + 2 * m, m * sizeof(double));
    assert_memory_not_equal(a, a + m, m * sizeof(double));
    us_env_score(two, kSlots, slots, NULL, yes);
    for (int i = 0; i < kSlots; i++) {
      if (yes[i]) fail_msg("%s: a goal is solved at the start", task);
    }
    free(a);
    us_env_close(one);
    us_env_close(two);
  }
  UsEnv* e = open_sim("sim:wall_random", kSlots, NULL);
  for (int i = 0; i < kSlots; i++) {
    double now[8], goal[8];
    UsObs o = {.state = now}, g = {.state = goal};
    assert_int_equal(us_env_look(e, 1, &i, &o), US_OK);
    assert_int_equal(us_env_look_goal(e, 1, &i, &g), US_OK);
    assert_true(now[2] == goal[2] && now[3] == goal[3] && now[0] != goal[0]);
  }
  us_env_close(e);
}

// Frames and features are those of renderer and encoder, of goals too, wherever a slot is copied
// to.
static void test_frames_and_features(void** state) {
  UsEnv* e = open_sim("sim:pointmaze", kSlots, folder);
  const int slots[kSlots] = {0, 1, 2}, two = 2, zero = 0;
  uint8_t *now = malloc(kSlots * kFrame), *goal = malloc(kSlots * kFrame), *want = malloc(kFrame);
  float z[kSlots][kLatent], g[kSlots][kLatent], alone[kLatent];
  assert_int_equal(us_env_view(e, US_OBS_pixels, kSlots, slots, now, NULL, goal), US_OK);
  assert_int_equal(us_env_view(e, US_OBS_latent, kSlots, slots, NULL, z, g), US_OK);
  assert_int_equal(us_env_render(e, 1, &two, want), US_OK);
  assert_memory_equal(want, now + 2 * kFrame, kFrame);
  UsEncoder* encoder;
  assert_int_equal(us_encoder_open("default", NULL, &encoder), US_OK);
  us_encoder_encode(encoder, 1, now + 2 * kFrame, NULL, alone, NULL);
  assert_memory_equal(alone, z[2], sizeof(alone));
  us_encoder_encode(encoder, 1, goal + 2 * kFrame, NULL, alone, NULL);
  assert_memory_equal(alone, g[2], sizeof(alone));
  us_encoder_destroy(encoder);
  UsObs o = {.latent = alone, .pixels = want};
  assert_int_equal(us_env_look_goal(e, 1, &two, &o), US_OK);
  assert_memory_equal(alone, g[2], sizeof(alone));
  assert_memory_equal(want, goal + 2 * kFrame, kFrame);
  // The goal's frame is the frame of the goal's state.
  double there[4];
  void* saved = malloc(us_env_save_size(e));
  UsObs s = {.state = there};
  us_env_save(e, two, saved);
  assert_int_equal(us_env_look_goal(e, 1, &two, &s), US_OK);
  put_state(e, two, there);
  assert_int_equal(us_env_render(e, 1, &two, want), US_OK);
  assert_memory_equal(want, goal + 2 * kFrame, kFrame);
  // Copies take their goals along.
  us_env_restore(e, zero, saved);
  us_env_fork(e, 1, 1, &two);
  assert_int_equal(us_env_view(e, US_OBS_latent, kSlots, slots, NULL, NULL, z), US_OK);
  assert_memory_equal(z[0], g[2], sizeof(alone));
  assert_memory_equal(z[2], g[1], sizeof(alone));
  us_env_close(e);
  free(saved);
  free(now);
  free(goal);
  free(want);
}

// An encoder of states is shown states; it has nothing to say of frames.
static void test_encoder_of_states(void** state) {
  char where[] = "/tmp/us_spaces_XXXXXX", path[64];
  const double mean[4] = {0.5, 0, 0, 0}, std[4] = {2, 1, 1, 1};
  const int slots[kSlots] = {0, 1, 2};
  UsEncoder* encoder;
  assert_non_null(mkdtemp(where));
  assert_int_equal(us_encoder_make_state(4, mean, std, NULL, &encoder), US_OK);
  assert_int_equal(us_encoder_save(encoder, where), US_OK);
  UsEnv* e = open_sim("sim:pointmaze", kSlots, where);
  const int dim = us_env_info(e)->dim;
  double now[kSlots][4], goal[4];
  float z[kSlots][8], g[kSlots][8], want[8], reward;
  assert_true(dim <= 8 && us_env_info(e)->tokens == 1);
  assert_int_equal(us_env_view(e, US_OBS_state, kSlots, slots, now, NULL, NULL), US_OK);
  float* at = z[0];
  assert_int_equal(us_env_view(e, US_OBS_latent, kSlots, slots, at, NULL, g), US_OK);
  us_encoder_encode(encoder, 1, NULL, now[2], want, NULL);
  assert_memory_equal(want, at + 2 * dim, (size_t)dim * sizeof(float));
  UsObs o = {.state = goal};
  assert_int_equal(us_env_look_goal(e, 1, &slots[1], &o), US_OK);
  us_encoder_encode(encoder, 1, NULL, goal, want, NULL);
  assert_memory_equal(want, g[0] + dim, (size_t)dim * sizeof(float));
  static uint8_t frame[kFrame];
  expect(us_env_judge(e, US_OBS_pixels, 1, frame, frame, &reward, NULL), US_UNSUPPORTED, "frames");
  us_env_close(e);
  us_encoder_destroy(encoder);
  snprintf(path, sizeof(path), "%s/config.json", where);
  remove(path);
  snprintf(path, sizeof(path), "%s/model.safetensors", where);
  remove(path);
  remove(where);
}

// ---- the model ----

// Success is the head's word, ends the episode, and does not depend on the other slots.
static void test_model_judges(void** state) {
  UsEnv *e = open_model(name, kSlots), *one = open_model(name, 1);
  const int slots[kSlots] = {0, 1, 2}, zero = 0;
  float actions[kSlots * 10] = {0}, z[kSlots][kLatent], g[kSlots][kLatent], reward[kSlots];
  float again[kSlots];
  uint8_t ends[kSlots], success[kSlots * 5], yes[kSlots], single, ended;
  assert_true(us_env_info(e)->judges && us_env_judges(e) == US_OK);
  us_env_score(e, kSlots, slots, NULL, yes);
  assert_true(!yes[0] && !yes[1] && !yes[2]);
  // Slot 1 gets as its goal what it will see.
  void* saved = malloc(us_env_save_size(e));
  us_env_save(e, 1, saved);
  us_env_step(e, actions, NULL);
  assert_int_equal(us_env_view(e, US_OBS_latent, kSlots, slots, z, NULL, g), US_OK);
  us_env_restore(e, 1, saved);
  const UsObs aim = {.latent = z[1]};
  const int slot = 1;
  assert_int_equal(us_env_set_goal(e, 1, &slot, &aim), US_OK);
  us_env_save(e, 1, saved);
  us_env_restore(one, 0, saved);
  us_env_step(e, actions, &(UsStep){.reward = reward, .terminated = ends, .success = success});
  us_env_step(one, actions, &(UsStep){.terminated = &ended});
  us_env_score(one, 1, &zero, NULL, &single);
  assert_true(!ends[0] && ends[1] && !ends[2] && ended && single);
  for (int k = 0; k < 5; k++) assert_int_equal(success[5 + k], k == 4);
  us_env_score(e, kSlots, slots, NULL, yes);
  assert_memory_equal(yes, ends, sizeof(yes));
  // What is said of goals in no slot is what was said of the step.
  assert_int_equal(us_env_view(e, US_OBS_latent, kSlots, slots, NULL, z, g), US_OK);
  assert_int_equal(us_env_judge(e, US_OBS_latent, kSlots, z, g, again, yes), US_OK);
  assert_memory_equal(yes, ends, sizeof(yes));
  for (int i = 0; i < kSlots; i++) assert_float_equal(reward[i], again[i], 1e-4);
  // The simulator with this folder says the same of them, to the bit.
  UsEnv* sim = open_sim("sim:pointmaze", 1, folder);
  float theirs[kSlots];
  uint8_t solved[kSlots];
  assert_int_equal(us_env_judge(sim, US_OBS_latent, kSlots, z, g, theirs, solved), US_OK);
  assert_memory_equal(theirs, again, sizeof(again));
  assert_memory_equal(solved, yes, sizeof(yes));
  us_env_close(sim);
  us_env_close(e);
  us_env_close(one);
  free(saved);
}

// Features of a frame stand for the frame; goals come from the bank, by the seed.
static void test_model_goals(void** state) {
  UsEnv *sim = open_sim("sim:pointmaze", 1, folder), *e = open_model(name, 2);
  const int slots[2] = {0, 1};
  uint8_t* frame = malloc(kFrame);
  float z[kLatent], g[2][kLatent], h[2][kLatent];
  UsObs o = {.pixels = frame, .latent = z};
  assert_int_equal(us_env_look(sim, 1, slots, &o), US_OK);
  const UsObs pixels = {.pixels = frame, .first = 1}, latent = {.latent = z, .first = 1};
  assert_int_equal(us_env_observe(e, 1, &slots[0], &pixels), US_OK);
  assert_int_equal(us_env_observe(e, 1, &slots[1], &latent), US_OK);
  assert_int_equal(us_env_view(e, US_OBS_latent, 2, slots, g, h, NULL), US_OK);
  assert_memory_equal(g[0], g[1], sizeof(g[0]));
  assert_memory_equal(g, h, sizeof(g));
  for (int i = 0; i < kLatent; i++) assert_float_equal(g[0][i], z[i], 1e-3);
  const UsObs mixed[2] = {pixels, latent};
  expect(us_env_observe(e, 2, slots, mixed), US_UNSUPPORTED, "latents of all");
  const uint64_t seeds[2] = {8, 8}, others[2] = {8, 9};
  assert_int_equal(us_env_draw_goal(e, 2, slots, seeds), US_OK);
  assert_int_equal(us_env_view(e, US_OBS_latent, 2, slots, NULL, NULL, g), US_OK);
  assert_memory_equal(g[0], g[1], sizeof(g[0]));
  assert_int_equal(us_env_draw_goal(e, 2, slots, others), US_OK);
  assert_int_equal(us_env_view(e, US_OBS_latent, 2, slots, NULL, NULL, h), US_OK);
  assert_memory_equal(g[0], h[0], sizeof(g[0]));
  assert_memory_not_equal(h[0], h[1], sizeof(g[0]));
  // Frames of goals are drawn; the decoder draws what it is given.
  uint8_t* goals = malloc(2 * kFrame);
  assert_int_equal(us_env_view(e, US_OBS_pixels, 2, slots, NULL, NULL, goals), US_OK);
  assert_int_equal(us_env_set_goal(e, 1, &slots[0], &pixels), US_OK);
  assert_int_equal(us_env_view(e, US_OBS_pixels, 1, slots, NULL, NULL, goals), US_OK);
  assert_int_equal(us_env_render(e, 1, slots, goals + kFrame), US_OK);
  assert_memory_equal(goals, goals + kFrame, kFrame);
  // Frames are judged by their features.
  float reward;
  uint8_t yes;
  assert_int_equal(us_env_judge(e, US_OBS_pixels, 1, frame, frame, &reward, &yes), US_OK);
  assert_true(reward == 0 && yes);
  us_env_close(sim);
  us_env_close(e);
  free(frame);
  free(goals);
}

static void drop(char* where) {
  char path[128];
  snprintf(path, sizeof(path), "%s/success.safetensors", where);
  remove(path);
  toy_remove(where);
}

int main(void) {
  if (!mkdtemp(folder) || !mkdtemp(bare)) return 1;
  snprintf(name, sizeof(name), "model:%s", folder);
  snprintf(bare_name, sizeof(bare_name), "model:%s", bare);
  if (make_model(folder, 1) != US_OK || make_model(bare, 0) != US_OK) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_kinds_have_the_same_spaces),
                                     cmocka_unit_test(test_what_is_missing_is_said),
                                     cmocka_unit_test(test_states_and_measures),
                                     cmocka_unit_test(test_goals_of_tasks),
                                     cmocka_unit_test(test_frames_and_features),
                                     cmocka_unit_test(test_encoder_of_states),
                                     cmocka_unit_test(test_model_judges),
                                     cmocka_unit_test(test_model_goals)};
  int failed = cmocka_run_group_tests_name("spaces", tests, NULL, NULL);
  drop(folder);
  drop(bare);
  return failed;
}
