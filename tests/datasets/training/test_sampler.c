// The sampler: windows stay inside episodes, times and actions belong to their rows, every phase
// comes up, and a batch depends on (seed, step, b) alone.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "datasets/features.h"
#include "tests/datasets/toy_dataset.h"
#include "worldmodel/base/bfloat.h"

enum { kEpisodes = 9, kBatch = 16, kFrames = 3, kBlock = 2 };

static UsDataset* data;
static UsFeatures* features;

// The state encoder with mean 0 and deviation 1 leaves the toy's states, which say episode and
// step.
static UsFeatures* encode(UsDevice* device) {
  double mean[TOY_STATE] = {0}, std[TOY_STATE] = {1, 1, 1, 1};
  UsEncoder* e;
  UsFeatures* f;
  assert_int_equal(us_encoder_make_state(TOY_STATE, mean, std, device, &e), US_OK);
  assert_int_equal(us_features_open(data, e, NULL, NULL, &f), US_OK);
  us_encoder_destroy(e);
  return f;
}

static int setup(void** state) {
  toy_write(toy_path("sampler.h5"), kEpisodes, kEpisodes, 1);
  assert_int_equal(us_dataset_open(toy_path("sampler.h5"), &data), US_OK);
  features = encode(NULL);
  return 0;
}

static int teardown(void** state) {
  us_features_close(features);
  us_dataset_close(data);
  toy_folder_remove();
  return 0;
}

static UsSampler* make(UsSamplerConfig config) {
  UsSampler* s;
  UsStatus status = us_sampler_create(data, features, &config, &s);
  if (status != US_OK) print_error("%s\n", us_message());
  assert_int_equal(status, US_OK);
  return s;
}

typedef struct Batch {
  UsBatch b;
  float latents[kBatch * kFrames * 64], times[kBatch * kFrames];
  float actions[kBatch * (kFrames - 1) * kBlock * TOY_ACTION], weight[kBatch];
} Batch;

static void draw(UsSampler* s, int64_t step, int with_actions, Batch* out) {
  memset(out, 0, sizeof(*out));
  out->b = (UsBatch){.batch = kBatch,
                     .frames = kFrames,
                     .latents = out->latents,
                     .times = out->times,
                     .actions = with_actions ? out->actions : NULL,
                     .weight = out->weight};
  for (int b = kBatch - 1; b >= 0; b--) us_sampler_source(s, step, b, &out->b);
}

// The row whose features these are; the test fails when there is none.
static int64_t find_row(const float* latent) {
  size_t n = (size_t)us_features_tokens(features) * (size_t)us_features_dim(features);
  for (int64_t row = 0; row < us_dataset_info(data)->rows; row++) {
    if (memcmp(us_features_row(features, row), latent, n * sizeof(float)) == 0) return row;
  }
  fail();
  return -1;
}

static int64_t episode_of(int64_t row) {
  int64_t e = 0;
  while (row >= us_dataset_offsets(data)[e] + us_dataset_lengths(data)[e]) e++;
  return e;
}

// Checks one sample and returns its first row.
static int64_t check_sample(const Batch* batch, int b, int gap_max) {
  size_t n = (size_t)us_features_tokens(features) * (size_t)us_features_dim(features);
  int64_t row[kFrames];
  for (int t = 0; t < kFrames; t++) {
    row[t] = find_row(batch->latents + (size_t)(b * kFrames + t) * n);
    assert_int_equal(episode_of(row[t]), episode_of(row[0]));
    double time = us_dataset_times(data)[row[t]] - us_dataset_times(data)[row[0]];
    assert_true(batch->times[b * kFrames + t] == (float)time);
    if (t == 0) continue;
    int64_t gap = row[t] - row[t - 1];
    assert_true(gap_max ? gap >= 1 && gap <= gap_max : gap == kBlock);
  }
  if (gap_max) return row[0];
  const float* a = batch->actions + (size_t)b * (kFrames - 1) * kBlock * TOY_ACTION;
  for (int i = 0; i < (kFrames - 1) * kBlock * TOY_ACTION; i++) {
    assert_true(a[i] == us_dataset_actions(data)[row[0] * TOY_ACTION + i]);  // no NaN either
  }
  return row[0];
}

static void test_windows_of_one_block(void** state) {
  UsSampler* s = make((UsSamplerConfig){.seed = 5, .frames = kFrames, .block = kBlock});
  int64_t rows = us_dataset_info(data)->rows, windows = 0;
  int* count = calloc((size_t)rows, sizeof(int));
  static Batch batch;
  enum { kSteps = 400 };
  for (int step = 0; step < kSteps; step++) {
    draw(s, step, 1, &batch);
    for (int b = 0; b < kBatch; b++) count[check_sample(&batch, b, 0)]++;
  }
  for (int64_t e = 0; e < kEpisodes; e++) {
    int fit = us_dataset_lengths(data)[e] - (kFrames - 1) * kBlock;
    windows += fit > 0 ? fit : 0;
  }
  assert_int_equal(us_sampler_windows(s), windows);
  double expected = (double)kSteps * kBatch / (double)windows;
  for (int64_t row = 0; row < rows; row++) {
    int64_t e = episode_of(row), t = row - us_dataset_offsets(data)[e];
    int fits = t + (kFrames - 1) * kBlock < us_dataset_lengths(data)[e];
    if (!fits) assert_int_equal(count[row], 0);
    if (fits) assert_true(fabs(count[row] - expected) < 6 * sqrt(expected));
  }
  free(count);
  us_sampler_destroy(s);
}

static void test_windows_with_gaps(void** state) {
  enum { kGap = 4 };
  UsSampler* s =
      make((UsSamplerConfig){.seed = 6, .frames = kFrames, .block = kBlock, .gap_max = kGap});
  static Batch batch;
  int first_rows = 0, last_rows = 0;
  for (int step = 0; step < 300; step++) {
    draw(s, step, 0, &batch);
    for (int b = 0; b < kBatch; b++) {
      int64_t row = check_sample(&batch, b, kGap), e = episode_of(row);
      int64_t t = row - us_dataset_offsets(data)[e];
      first_rows += t == 0;
      last_rows += t == us_dataset_lengths(data)[e] - kFrames;  // gaps of 1 alone fit here
    }
  }
  assert_true(first_rows > 50 && last_rows > 0);
  us_sampler_destroy(s);
}

static void test_same_names_same_batch(void** state) {
  static Batch a, b;
  UsSampler* s = make((UsSamplerConfig){.seed = 5, .frames = kFrames, .block = kBlock});
  UsSampler* again = make((UsSamplerConfig){.seed = 5, .frames = kFrames, .block = kBlock});
  UsSampler* other = make((UsSamplerConfig){.seed = 7, .frames = kFrames, .block = kBlock});
  draw(s, 3, 1, &a);
  draw(s, 4, 1, &b);
  assert_memory_not_equal(a.latents, b.latents, sizeof(a.latents));
  draw(again, 3, 1, &b);
  assert_memory_equal(a.latents, b.latents, sizeof(a.latents));
  assert_memory_equal(a.actions, b.actions, sizeof(a.actions));
  assert_memory_equal(a.times, b.times, sizeof(a.times));
  draw(other, 3, 1, &b);
  assert_memory_not_equal(a.latents, b.latents, sizeof(a.latents));
  us_sampler_destroy(s);
  us_sampler_destroy(again);
  us_sampler_destroy(other);
  us_sampler_destroy(NULL);
}

static void test_first_episodes_only(void** state) {
  UsSampler* s =
      make((UsSamplerConfig){.seed = 1, .frames = kFrames, .block = kBlock, .episodes = 2});
  static Batch batch;
  int seen[2] = {0, 0};
  for (int step = 0; step < 20; step++) {
    draw(s, step, 1, &batch);
    for (int b = 0; b < kBatch; b++) {
      int64_t e = episode_of(check_sample(&batch, b, 0));
      assert_true(e < 2);
      seen[e]++;
    }
  }
  assert_true(seen[0] > 0 && seen[1] > 0);
  us_sampler_destroy(s);
}

// Other actions stand for the dataset's, and a sample weighs what those of its window do on
// average.
static void test_labels(void** state) {
  int64_t rows = us_dataset_info(data)->rows;
  float* actions = malloc((size_t)rows * TOY_ACTION * sizeof(float));
  float* weight = malloc((size_t)rows * sizeof(float));
  for (int64_t i = 0; i < rows * TOY_ACTION; i++) actions[i] = (float)i;
  for (int64_t i = 0; i < rows; i++) weight[i] = (float)(i * i % 7);
  UsSampler* plain = make((UsSamplerConfig){.seed = 5, .frames = kFrames, .block = kBlock});
  UsSampler* s = make((UsSamplerConfig){.seed = 5,
                                        .frames = kFrames,
                                        .block = kBlock,
                                        .actions = actions,
                                        .action = TOY_ACTION,
                                        .weight = weight});
  static Batch a, b;
  const int span = (kFrames - 1) * kBlock, numbers = span * TOY_ACTION;
  draw(plain, 1, 1, &a);
  draw(s, 1, 1, &b);
  assert_memory_equal(a.latents, b.latents, sizeof(a.latents));
  for (int i = 0; i < kBatch; i++) {
    size_t one = (size_t)us_features_tokens(features) * (size_t)us_features_dim(features);
    int64_t row = find_row(b.latents + (size_t)(i * kFrames) * one);
    double sum = 0;
    for (int k = 0; k < span; k++) sum += (double)weight[row + k];
    assert_true(a.weight[i] == 1);
    assert_true(fabs((double)b.weight[i] - sum / span) < 1e-6);
    for (int k = 0; k < numbers; k++) {
      assert_true(b.actions[i * numbers + k] == (float)(row * TOY_ACTION + k));
    }
  }
  us_sampler_destroy(plain);
  us_sampler_destroy(s);
  free(actions);
  free(weight);
}

// The same windows of features that are kept as bfloat16, as they are and as floats.
static void test_bfloats(void** state) {
  UsSamplerConfig config = {.seed = 5, .frames = kFrames, .block = kBlock};
  static Batch a, b, c;
  static uint16_t bfloats[kBatch * kFrames * 64];
  UsDevice* device;
  UsSampler *plain = make(config), *s;
  assert_int_equal(us_device_open("cpu", US_FAST_FEATURES, &device), US_OK);
  UsFeatures* f = encode(device);
  assert_int_equal(us_sampler_create(data, f, &config, &s), US_OK);
  draw(plain, 3, 1, &a);
  draw(s, 3, 1, &b);
  draw(s, 4, 1, &c);
  c.b.latents = NULL, c.b.bfloats = bfloats;
  for (int i = 0; i < kBatch; i++) us_sampler_source(s, 3, i, &c.b);
  size_t n = (size_t)(kBatch * kFrames * us_features_tokens(f) * us_features_dim(f));
  for (size_t i = 0; i < n; i++) {
    assert_true(bfloats[i] == us_bfloat(a.latents[i]));
    assert_true(b.latents[i] == us_bfloat_wide(bfloats[i]));
  }
  assert_memory_not_equal(a.latents, b.latents, n * sizeof(float));
  assert_memory_equal(a.actions, c.actions, sizeof(a.actions));
  assert_memory_equal(a.times, c.times, sizeof(a.times));
  us_sampler_destroy(s);
  us_sampler_destroy(plain);
  // Actions of that kind, as of frames that stand for them.
  config.bfloats = us_features_bfloats(f, 0), config.action = TOY_ACTION;
  assert_int_equal(us_sampler_create(data, f, &config, &s), US_OK);
  draw(s, 3, 1, &b);
  for (int i = 0; i < kBatch; i++) {
    int64_t row = find_row(a.latents + (size_t)(i * kFrames) * n / (kBatch * kFrames));
    for (int k = 0; k < (kFrames - 1) * kBlock * TOY_ACTION; k++) {
      float want = us_bfloat_wide(config.bfloats[row * TOY_ACTION + k]);
      assert_true(b.actions[i * (kFrames - 1) * kBlock * TOY_ACTION + k] == want);
    }
  }
  us_sampler_destroy(s);
  us_features_close(f);
}

static void test_no_window_fits(void** state) {
  UsSamplerConfig config = {.frames = TOY_ROWS + 1, .block = 1};
  UsSampler* s = (void*)1;
  assert_int_equal(us_sampler_create(data, features, &config, &s), US_FORMAT);
  assert_null(s);
  assert_non_null(strstr(us_message(), "sampler.h5"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_windows_of_one_block),
      cmocka_unit_test(test_windows_with_gaps),
      cmocka_unit_test(test_same_names_same_batch),
      cmocka_unit_test(test_first_episodes_only),
      cmocka_unit_test(test_no_window_fits),
      cmocka_unit_test(test_labels),
      cmocka_unit_test(test_bfloats),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
