// Fine-tuning with a film: its own actions are never read, a run that is stopped anywhere ends in
// the same bits, bad labels do not win, and what does not go with the data is refused.

#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datasets/training/training_job.h"
#include "tests/datasets/toy_dataset.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/model_folder.h"

enum { kRows = 24, kKnown = 10, kFilmed = 16 };

static char known[256], film[256], encoder[256];
static const char* const films[] = {film, NULL};

// What stands in the column of actions.
typedef enum Actions { TRUE_ACTIONS, NO_NUMBERS, GARBAGE } Actions;

static double wobble;                  // s by which every other row is late
static const char* policy = "random";  // that is noted

// A point that actions push about, seen as four linear numbers of its place.
static void write_world(const char* path, uint64_t seed, int episodes, Actions kind, double dt,
                        int side) {
  UsDatasetInfo info = toy_info();
  info.proprio = 0;
  info.seed = seed;
  snprintf(info.policy, sizeof(info.policy), "%s", policy);
  info.dt = dt;
  info.height = info.width = side;
  UsDatasetWriter* w;
  US_ASSERT(us_dataset_create(path, &info, episodes, kRows, 1, &w) == US_OK);
  uint8_t *pixels = calloc((size_t)(kRows * side * side * 3), 1), zero[kRows] = {0},
          last[kRows] = {[kRows - 1] = 1};
  float actions[kRows * TOY_ACTION], rewards[kRows] = {0};
  double states[kRows * TOY_STATE], times[kRows];
  for (int e = 0; e < episodes; e++) {
    UsRng r = us_rng(seed, US_RNG_TEST, (uint64_t)e, 0, 0);
    double p[2] = {us_rng_range(&r, -1, 1), us_rng_range(&r, -1, 1)};
    for (int t = 0; t < kRows; t++) {
      double* s = states + t * TOY_STATE;
      s[0] = p[0], s[1] = p[1], s[2] = p[0] - p[1] + 1, s[3] = 0.5 * p[1];
      memcpy(pixels + (size_t)(t * side * side * 3), p, sizeof(p));  // no two frames are the same
      times[t] = dt * t + (t % 2 ? wobble : 0);
      for (int i = 0; i < TOY_ACTION; i++) {
        double a = us_rng_range(&r, -1, 1);
        float* out = &actions[t * TOY_ACTION + i];
        *out = kind == GARBAGE ? 1e9f * (float)(a * a) : (float)a;
        if (kind == NO_NUMBERS || t == kRows - 1) *out = NAN;
        p[i] = 0.95 * p[i] + 0.25 * a;
      }
    }
    const UsEpisode episode = {.rows = kRows,
                               .pixels = pixels,
                               .actions = actions,
                               .states = states,
                               .rewards = rewards,
                               .terminated = zero,
                               .truncated = last,
                               .times = times};
    US_ASSERT(us_dataset_append(w, &episode) == US_OK);
  }
  US_ASSERT(us_dataset_finish(w) == US_OK);
  free(pixels);
}

static UsFinetuneConfig small(const char* out) {
  UsFinetuneConfig c = us_finetune_defaults();
  c.data = known, c.film = films, c.encoder = encoder, c.out = toy_path(out);
  c.steps = 24, c.last_steps = 12, c.label_steps = 30, c.batch = 8, c.rate = 5e-3f;
  c.width = 16, c.depth = 1, c.heads = 2, c.block = 1, c.threads = 1, c.rollout = 2;
  return c;
}

static void train(const UsFinetuneConfig* c, UsTrainResult* r) {
  if (us_finetune(c, r) != US_OK) fail_msg("%s", us_message());
}

static void refused_so(const UsFinetuneConfig* c, UsStatus status, const char* expected) {
  UsTrainResult r;
  assert_int_equal(us_finetune(c, &r), status);
  if (!strstr(us_message(), expected) || strchr(us_message(), '\n')) fail_msg("%s", us_message());
}

static void same_file(const char* a, const char* b, const char* name) {
  char path[2][512];
  void* data[2];
  size_t size[2];
  const char* const folders[] = {a, b};
  for (int i = 0; i < 2; i++) {
    us_path_join(path[i], sizeof(path[i]), folders[i], name);
    assert_int_equal(us_file_read(path[i], 0, &data[i], &size[i]), US_OK);
  }
  assert_true(size[0] == size[1] && memcmp(data[0], data[1], size[0]) == 0);
  free(data[0]);
  free(data[1]);
}

static void test_labels_and_notes(void** state) {
  UsFinetuneConfig c = small("film-model");
  UsTrainResult r;
  train(&c, &r);
  assert_true(r.label_r2 > 0.9 && r.chosen && r.validation.measured);
  assert_true(!strcmp(r.chosen, "both") || !strcmp(r.chosen, "full"));
  // The folder is a model, and says what it was made of.
  UsModel* m;
  assert_int_equal(us_model_open(c.out, NULL, &m), US_OK);
  us_model_destroy(m);
  char path[512];
  cJSON* json;
  assert_int_equal(us_json_read(us_path_join(path, sizeof(path), c.out, "config.json"), &json),
                   US_OK);
  const cJSON* notes = cJSON_GetObjectItem(json, "training");
  const cJSON* labels = cJSON_GetObjectItem(notes, "labels");
  assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(notes, "chosen")), r.chosen);
  assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(notes, "stages")), 2);
  assert_true(cJSON_IsNumber(cJSON_GetObjectItem(labels, "rank_correlation")));
  // By which an evaluation knows the film again, whatever its actions.
  const cJSON* of_film = cJSON_GetObjectItem(notes, "film");
  UsDataset* d;
  char hash[US_HASH_CHARS];
  assert_int_equal(us_dataset_open(film, &d), US_OK);
  assert_int_equal(us_dataset_frames_hash(d, hash), US_OK);
  us_dataset_close(d);
  assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(of_film, "frames_sha256")), hash);
  assert_non_null(cJSON_GetObjectItem(of_film, "seed"));
  cJSON_Delete(json);
  // Nothing passing stays, and the run is known again.
  static const char* const passing[] = {"checkpoint.safetensors", "checkpoint-full.safetensors",
                                        "labels.safetensors"};
  for (int i = 0; i < 3; i++) {
    assert_false(us_file_exists(us_path_join(path, sizeof(path), c.out, passing[i])));
  }
  c.resume = 1;
  train(&c, &r);
  assert_true(r.complete);
}

static void test_own_actions_are_never_read(void** state) {
  static const Actions kinds[] = {NO_NUMBERS, GARBAGE};
  for (int i = 0; i < 2; i++) {
    UsFinetuneConfig c = small(i ? "film-garbage" : "film-none");
    UsTrainResult r;
    char other[256];
    snprintf(other, sizeof(other), "%s", toy_path("other.h5"));
    write_world(other, 2, kFilmed, kinds[i], 0.05, TOY_SIDE);
    c.film = (const char* const[]){other, NULL};
    train(&c, &r);
    same_file(c.out, toy_path("film-model"), "predictor.safetensors");
    same_file(c.out, toy_path("film-model"), "log.jsonl");
  }
}

// Several files, of which each is drawn as often as its weight says.
static void test_several_films(void** state) {
  UsFinetuneConfig c = small("film-two");
  UsTrainResult r;
  char other[256], path[512];
  snprintf(other, sizeof(other), "%s", toy_path("second.h5"));
  write_world(other, 3, kFilmed / 2, NO_NUMBERS, 0.05, TOY_SIDE);
  const char* const two[] = {film, other, NULL};
  c.film = two;
  train(&c, &r);
  assert_true(r.label_r2 > 0.9);
  cJSON* json;
  us_path_join(path, sizeof(path), c.out, "config.json");
  assert_int_equal(us_json_read(path, &json), US_OK);
  const cJSON* of_film = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "training"), "film");
  assert_int_equal(cJSON_GetArraySize(of_film), 2);
  const char* second =
      cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(of_film, 1), "file"));
  assert_string_equal(second, "second.h5");
  cJSON_Delete(json);
  // Weights are part of what a run is, and 1 is what they are otherwise.
  double weights[] = {1, 1};
  c.film_weights = weights;
  c.resume = 1;
  train(&c, &r);
  assert_true(r.complete);
  weights[0] = 1e-9;
  UsFinetuneConfig late = c;
  refused_so(&late, US_FORMAT, "a finished one of other data or options");
  // A file that weighs nothing trains nothing: as with the other alone, but for whose windows
  // count.
  late = small("film-light");
  late.film = two, late.film_weights = weights;
  train(&late, &r);
  UsFinetuneConfig alone = small("film-alone");
  alone.film = two + 1;
  train(&alone, &r);
  same_file(late.out, alone.out, "predictor.safetensors");
  // One that is there twice is a mistake, as is a weight of nothing.
  late = small("film-refused");
  late.film = (const char* const[]){film, other, film, NULL};
  refused_so(&late, US_USAGE, "expected other trajectories");
  weights[1] = 0;
  late.film = two, late.film_weights = weights;
  refused_so(&late, US_USAGE, "--film: expected a weight above 0 for");
}

// Stops when it is asked for the n-th time.
static int stop_later(void* left) {
  return --*(int*)left <= 0;
}

static void test_stopped_anywhere(void** state) {
  UsFinetuneConfig c = small("film-stopped");
  UsTrainResult r;
  int stops = 0;
  c.sure = 2;  // `alone` too
  c.checkpoint_seconds = 1e-6;
  UsFinetuneConfig whole = c;
  whole.out = toy_path("film-whole");
  train(&whole, &r);
  // Longer and longer runs, so that every stage is stopped somewhere.
  UsStatus status = US_INTERRUPTED;
  for (int n = 40; status == US_INTERRUPTED; n += 97, stops++) {
    int left = n;
    UsHooks before = us_hooks_set((UsHooks){.stop = stop_later, .data = &left});
    status = us_finetune(&c, &r);
    us_hooks_set(before);
    c.resume = 1;
  }
  if (status != US_OK) fail_msg("%s", us_message());
  assert_true(stops > 5);
  same_file(c.out, whole.out, "predictor.safetensors");
  same_file(c.out, whole.out, "config.json");
}

// Actions that move nothing: labels are worth nothing, and training without them is tried.
static void test_bad_labels(void** state) {
  UsFinetuneConfig c = small("film-bad");
  UsTrainResult r;
  char path[256];
  snprintf(path, sizeof(path), "%s", toy_path("idle.h5"));
  toy_write(path, kKnown, kKnown, 0);
  char frames[256];
  snprintf(frames, sizeof(frames), "%s", toy_path("idle-film.h5"));
  UsDatasetInfo info = toy_info();
  info.seed = 1;
  UsDatasetWriter* w;
  assert_int_equal(us_dataset_create(frames, &info, kFilmed, TOY_ROWS, 1, &w), US_OK);
  for (int e = kKnown; e < kKnown + kFilmed; e++) {
    assert_int_equal(toy_append(w, e, TOY_ROWS), US_OK);
  }
  assert_int_equal(us_dataset_finish(w), US_OK);
  c.data = path, c.film = (const char* const[]){frames, NULL};
  train(&c, &r);
  assert_true(r.label_r2 < 0.8);
  char name[512];
  cJSON* json;
  us_path_join(name, sizeof(name), c.out, "config.json");
  assert_int_equal(us_json_read(name, &json), US_OK);
  const cJSON* stages = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "training"), "stages");
  assert_int_equal(cJSON_GetArraySize(stages), 3);
  // Stages are compared with `alone`, and replace it beyond noise alone.
  const cJSON* both = cJSON_GetArrayItem(stages, 0);
  const cJSON* most = cJSON_GetObjectItem(both, "open_loop_ratio_at_most");
  assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(both, "compared_with")), "alone");
  assert_true(cJSON_IsNumber(most));
  assert_true(most->valuedouble > cJSON_GetObjectItem(both, "open_loop_ratio")->valuedouble);
  double ratio = cJSON_GetObjectItem(both, "open_loop_ratio")->valuedouble;
  if (ratio < 0.8 && r.label_r2 > 0) assert_string_not_equal(r.chosen, "alone");
  if ((ratio >= 0.8 && most->valuedouble >= 1) || r.label_r2 <= 0) {
    assert_string_not_equal(r.chosen, "both");
  }
  cJSON_Delete(json);
}

// A stage replaces the first choice when it is better on trajectory after trajectory, not by luck
// on one, or clearly.
static void test_choice(void** state) {
  enum { kHeld = 4 };
  static const double first[kHeld] = {0.2, 0.5, 0.1, 0.4}, steady[kHeld] = {0.16, 0.41, 0.08, 0.31},
                      lucky[kHeld] = {0.21, 0.52, 0.1, 0.2}, best[kHeld] = {0.1, 0.26, 0.05, 0.2},
                      none[kHeld] = {NAN, NAN, NAN, NAN}, one[kHeld] = {0.01, NAN, NAN, NAN},
                      two[kHeld] = {0.05, 0.51, NAN, NAN}, wide[kHeld] = {0.13, 0.56, NAN, NAN},
                      near[kHeld] = {0.18, 0.45, NAN, NAN};
  UsStageGain g[3];
  const double* const errors[] = {first, steady, lucky};
  assert_int_equal(us_training_film_choose(3, 0, kHeld, errors, g), 1);
  assert_true(g[0].ratio == 1 && fabs(g[1].ratio - 0.7985) < 1e-3);
  assert_true(g[1].high < 0.85 && g[1].low > 0.75 && g[2].ratio > g[1].ratio && g[2].high > 1);
  assert_int_equal(us_training_film_choose(3, 2, kHeld, errors, g), 2);
  // The best of the better ones, wherever it stands.
  const double* const more[] = {best, steady, first};
  assert_int_equal(us_training_film_choose(3, 2, kHeld, more, g), 0);
  const double* const turned[] = {steady, best, first};
  assert_int_equal(us_training_film_choose(3, 2, kHeld, turned, g), 1);
  // Two are enough for what is clear; for what is not their interval says nothing, however narrow.
  const double* const clear[] = {two, none, first};
  assert_int_equal(us_training_film_choose(3, 2, kHeld, clear, g), 0);
  assert_true(g[0].high > 1);
  const double* const narrow[] = {near, none, first};
  assert_int_equal(us_training_film_choose(3, 2, kHeld, narrow, g), 2);
  assert_true(g[0].high < 1);
  const double* const unclear[] = {wide, none, first};
  assert_int_equal(us_training_film_choose(3, 2, kHeld, unclear, g), 2);
  // One trajectory says nothing, none says nothing.
  const double* const few[] = {one, none, first};
  assert_int_equal(us_training_film_choose(3, 2, kHeld, few, g), 2);
}

static void refused(const char* path, UsStatus status, const char* expected) {
  UsFinetuneConfig c = small("film-refused");
  c.film = (const char* const[]){path, NULL};
  refused_so(&c, status, expected);
}

static void test_refusals(void** state) {
  char other[256];
  snprintf(other, sizeof(other), "%s", toy_path("odd.h5"));
  write_world(other, 2, 3, TRUE_ACTIONS, 0.1, TOY_SIDE);
  refused(other, US_FORMAT, "expected env steps of 0.05 s");
  // One step that is longer, of a pace that is right on average.
  wobble = 0.02;
  write_world(other, 2, 3, TRUE_ACTIONS, 0.05, TOY_SIDE);
  refused(other, US_FORMAT, "found one of 0.07 s");
  wobble = 0;
  write_world(other, 2, 3, TRUE_ACTIONS, 0.05, 2 * TOY_SIDE);
  refused(other, US_FORMAT, "expected frames of 4 x 4");
  refused(toy_path("nothing.h5"), US_IO, "No such file");
  // The trajectories themselves, under other actions too.
  refused(known, US_USAGE, "expected other trajectories");
  write_world(other, 1, kKnown, GARBAGE, 0.05, TOY_SIDE);
  refused(other, US_USAGE, "expected other trajectories");
  // So are some of them among others, by their frames.
  char some[64];
  policy = "another";
  write_world(other, 1, 2 * kKnown, TRUE_ACTIONS, 0.05, TOY_SIDE);
  policy = "random";
  snprintf(some, sizeof(some), "found %d of them", kKnown);
  refused(other, US_USAGE, some);
  // A clip is told the way to a dataset, for either option.
  snprintf(other, sizeof(other), "%s", toy_path("clip.mp4"));
  FILE* f = fopen(other, "wb");
  fputs("no film at all", f);
  fclose(f);
  refused(other, US_FORMAT, "`dataset import` makes one of film");
  UsFinetuneConfig c = small("film-refused");
  c.data = other;
  refused_so(&c, US_FORMAT, "`dataset import` makes one of film");
  // What is for film alone.
  c = small("film-refused");
  c.film = NULL;
  refused_so(&c, US_USAGE, "--label-steps: expected --film");
  c.label_steps = us_finetune_defaults().label_steps,
  c.last_steps = us_finetune_defaults().last_steps;
  c.sure = 0.5f;
  refused_so(&c, US_USAGE, "--sure: expected --film");
}

int main(void) {
  snprintf(known, sizeof(known), "%s", toy_path("known.h5"));
  snprintf(film, sizeof(film), "%s", toy_path("film.h5"));
  snprintf(encoder, sizeof(encoder), "%s", toy_path("encoder"));
  write_world(known, 1, kKnown, TRUE_ACTIONS, 0.05, TOY_SIDE);
  write_world(film, 2, kFilmed, TRUE_ACTIONS, 0.05, TOY_SIDE);
  const double mean[TOY_STATE] = {0, 0, 1, 0}, std[TOY_STATE] = {1, 1, 1, 1};
  UsEncoder* e;
  US_ASSERT(us_encoder_make_state(TOY_STATE, mean, std, NULL, &e) == US_OK);
  US_ASSERT(us_encoder_save(e, encoder) == US_OK);
  us_encoder_destroy(e);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_labels_and_notes), cmocka_unit_test(test_own_actions_are_never_read),
      cmocka_unit_test(test_several_films),    cmocka_unit_test(test_stopped_anywhere),
      cmocka_unit_test(test_bad_labels),       cmocka_unit_test(test_choice),
      cmocka_unit_test(test_refusals),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  toy_folder_remove();
  return failed;
}
