// Training of an encoder at toy size: it learns, threads do not matter, and a resumed run gives the
// same bits.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/toy_frames.h"
#include "tests/worldmodel/wide_device.h"
#include "worldmodel/autoencoder.h"
#include "worldmodel/tensor_file.h"

enum { kSide = 32, kBytes = kSide * kSide * 3, kFrames = 400, kDim = 12 };

static uint8_t* frames;
static int place[2 * kFrames];

static int setup(void** state) {
  frames = toy_frames(kFrames, kSide, 6, 21, place);
  return 0;
}

static int teardown(void** state) {
  free(frames);
  return 0;
}

// anchor 0: the layer norm bounds the latent; else the anchor gives it its metric.
static UsAutoencoderConfig config(int steps, float anchor) {
  UsAutoencoderConfig c;
  us_autoencoder_defaults(kSide, kSide, kDim, 32, 1, &c);
  c.steps = steps;
  c.seed = 9;
  c.shards = 2;
  c.shard_frames = 8;
  c.warmup = 10;
  c.rate = 2e-3f;
  c.pixels = 1;
  c.anchor = anchor;
  c.vit.norm = anchor <= 0;
  c.vit.device = test_device();
  return c;
}

static UsAutoencoder* create(const UsAutoencoderConfig* c) {
  UsAutoencoder* a;
  const UsFrameSet set[2] = {{frames, kFrames / 2}, {frames + kFrames / 2 * kBytes, kFrames / 2}};
  if (us_autoencoder_create(c, set, 2, &a) != US_OK) fail_msg("%s", us_message());
  return a;
}

// One step, and what it was.
static UsAutoencoderStep step(UsAutoencoder* a, UsPool* pool) {
  const UsAutoencoderStep* out;
  assert_int_equal(us_autoencoder_step(a, pool), 1);
  assert_int_equal(us_autoencoder_figures(a, &out), 1);
  assert_int_equal(out->step, us_autoencoder_steps(a));
  assert_true(out->finite);
  return *out;
}

static double squared(const float* x, const float* y) {
  double sum = 0;
  for (int j = 0; j < kDim; j++) sum += pow((double)x[j] - (double)y[j], 2);
  return sum;
}

// Latents of all frames have zero mean and unit average variance.
static void check_moments(const float* z, double slack) {
  double mean[kDim] = {0}, variance = 0;
  for (int i = 0; i < kFrames * kDim; i++) mean[i % kDim] += (double)z[i] / kFrames;
  for (int i = 0; i < kFrames * kDim; i++) variance += pow((double)z[i] - mean[i % kDim], 2);
  variance /= kFrames * kDim;
  for (int j = 0; j < kDim; j++) assert_true(fabs(mean[j]) < slack);
  assert_true(fabs(variance - 1) < slack);
}

// Share of triples of frames whose nearer one in pixels of way is nearer in the latent too.
static double right_order(const float* z) {
  int right = 0, all = 0;
  for (int i = 0; i < 20000; i++) {
    int a = i % kFrames, b = (i * 7 + 13) % kFrames, c = (i * 31 + 5) % kFrames;
    double near = hypot(place[2 * a] - place[2 * b], place[2 * a + 1] - place[2 * b + 1]);
    double far = hypot(place[2 * a] - place[2 * c], place[2 * a + 1] - place[2 * c + 1]);
    if (fabs(near - far) < 3) continue;
    double latent_near = squared(z + a * kDim, z + b * kDim);
    double latent_far = squared(z + a * kDim, z + c * kDim);
    right += (near < far) == (latent_near < latent_far);
    all++;
  }
  return (double)right / all;
}

// Trains and gives the last loss over the first; z (kFrames, kDim) gets the finished latents.
static double learn(float anchor, float* z) {
  enum { kSteps = 250 };
  UsAutoencoderConfig c = config(kSteps, anchor);
  UsAutoencoder* a = create(&c);
  double first = step(a, NULL).loss, last = 0;
  while (us_autoencoder_steps(a) < kSteps) {
    double loss = step(a, NULL).loss;
    if (us_autoencoder_steps(a) > kSteps - 20) last += loss / 20;
  }
  UsEncoder* e;
  if (us_autoencoder_encoder(a, NULL, &e) != US_OK) fail_msg("%s", us_message());
  us_encoder_encode(e, kFrames, frames, NULL, z, NULL);
  assert_int_equal(us_encoder_info(e)->decoder, 1);
  us_encoder_destroy(e);
  us_autoencoder_destroy(a);
  return last / first;
}

// Learning needs many steps, of which the other tests take the same.
#ifdef US_SANITIZED
#define SKIP_SLOW() skip()
#else
#define SKIP_SLOW() \
  if (emulated()) skip()
#endif

static void test_learns(void** state) {
  SKIP_SLOW();
  float* z = malloc(kFrames * kDim * sizeof(float));
  assert_true(learn(0, z) < 0.25);
  check_moments(z, 1e-3);
  free(z);
}

static void test_learns_metric(void** state) {
  SKIP_SLOW();
  float* z = malloc(kFrames * kDim * sizeof(float));
  assert_true(learn(1, z) < 0.25);
  check_moments(z, 0.25);
  double order = right_order(z);
  if (order < 0.9) fail_msg("order of distances: %g", order);
  free(z);
}

// The config of a grid of 4 x 4 tokens.
static UsAutoencoderConfig grid_config(int steps) {
  UsAutoencoderConfig c = config(steps, 0);
  c.vit.merge = 1;
  c.vit.merge_dim = kDim;
  c.vit.global_dim = 0;
  return c;
}

// Pictures through the weights as they were trained: a checkpoint's, without the folded scale.
static UsEncoder* raw_encoder(UsAutoencoder* a, const UsVitConfig* vit) {
  char path[] = "/tmp/us_raw_XXXXXX";
  UsTensors* file;
  UsVit* v;
  UsEncoder* e;
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  assert_int_equal(us_autoencoder_save(a, path), US_OK);
  assert_int_equal(us_tensors_open(path, &file), US_OK);
  unlink(path);
  int64_t count = us_tensors_shape(file, us_tensors_find(file, "weights"))[0];
  float* weights = malloc((size_t)count * sizeof(float));
  assert_int_equal(us_tensors_read(file, "weights", 1, &count, weights), US_OK);
  assert_int_equal(us_vit_create(vit, &v), US_OK);
  assert_int_equal(us_encoder_make_vit(vit, weights, weights + v->params.floats, &e), US_OK);
  us_vit_destroy(v);
  us_tensors_close(file);
  free(weights);
  return e;
}

// Folding the scale leaves pictures as they were, and a latent of so many tokens decodes to the
// frame it came from.
static void check_pictures(UsAutoencoderConfig c, int tokens) {
  enum { kMost = 16 * kDim };
  UsAutoencoder* a = create(&c);
  float z[kMost];
  uint8_t drawn[kBytes], expected[kBytes];
  int inside = 0, outside = 0;
  for (int late = 0; late < 2;
       late++) {  // an untrained latent hardly varies: the scale is far from 1
    while (us_autoencoder_steps(a) < (late ? 250 : 2)) step(a, NULL);
    UsEncoder *e, *raw = raw_encoder(a, &c.vit);
    assert_int_equal(us_autoencoder_encoder(a, NULL, &e), US_OK);
    assert_int_equal(us_encoder_info(e)->tokens, tokens);
    assert_int_equal(us_encoder_info(e)->dim, kDim);
    for (int i = 0; i < 20; i++) {
      us_encoder_encode(raw, 1, frames + i * kBytes, NULL, z, NULL);
      us_encoder_decode(raw, 1, z, expected, NULL);
      us_encoder_encode(e, 1, frames + i * kBytes, NULL, z, NULL);
      us_encoder_decode(e, 1, z, drawn, NULL);
      for (int j = 0; j < kBytes; j++) assert_true(abs(drawn[j] - expected[j]) <= 1);
      int x = place[2 * i] + 3, y = place[2 * i + 1] + 3;
      inside += late * drawn[(y * kSide + x) * 3];
      outside += late * drawn[((y + 16) % kSide * kSide + (x + 16) % kSide) * 3];
    }
    us_encoder_destroy(raw);
    us_encoder_destroy(e);
  }
  assert_true(inside / 20 > 160);
  assert_true(outside / 20 < 130);
  us_autoencoder_destroy(a);
}

static void test_pictures(void** state) {
  if (emulated()) skip();
  check_pictures(config(250, 0), 1);
}

// Tokens of a grid have zero mean and unit average variance, and draw their frame.
static void test_grid(void** state) {
  SKIP_SLOW();
  enum { kTokens = 16 };
  check_pictures(grid_config(250), kTokens);
  UsAutoencoderConfig c = grid_config(20);
  UsAutoencoder* a = create(&c);
  UsEncoder* e;
  for (int i = 0; i < 20; i++) step(a, NULL);
  assert_int_equal(us_autoencoder_encoder(a, NULL, &e), US_OK);
  assert_int_equal(us_encoder_info(e)->grid_h, 4);
  float* z = malloc(kFrames * kTokens * kDim * sizeof(float));
  us_encoder_encode(e, kFrames, frames, NULL, z, NULL);
  double mean[kDim] = {0}, variance = 0;
  for (int i = 0; i < kFrames * kTokens * kDim; i++) {
    mean[i % kDim] += (double)z[i] / (kFrames * kTokens);
    variance += (double)z[i] * (double)z[i] / (kFrames * kTokens * kDim);
  }
  for (int j = 0; j < kDim; j++) assert_true(fabs(mean[j]) < 1e-3);
  assert_true(fabs(variance - 1) < 1e-3);
  free(z);
  us_encoder_destroy(e);
  us_autoencoder_destroy(a);
}

// Runs steps and saves; the file holds weights, moments and step.
static void run(UsAutoencoder* a, int steps, UsPool* pool, const char* path) {
  for (int i = 0; i < steps; i++) step(a, pool);
  if (us_autoencoder_save(a, path) != US_OK) fail_msg("%s", us_message());
}

static void expect_same(const char* one, const char* other) {
  void *x, *y;
  size_t nx, ny;
  assert_int_equal(us_file_read(one, 0, &x, &nx), US_OK);
  assert_int_equal(us_file_read(other, 0, &y, &ny), US_OK);
  assert_int_equal(nx, ny);
  assert_memory_equal(x, y, nx);
  free(x);
  free(y);
}

// The bits of training do not depend on threads, nor on stops.
static void check_bits(UsAutoencoderConfig c) {
  char folder[] = "/tmp/us_autoencoder_XXXXXX", path[3][64];
  assert_non_null(mkdtemp(folder));
  for (int i = 0; i < 3; i++) snprintf(path[i], sizeof(path[i]), "%s/%d.safetensors", folder, i);
  UsPool* pool = us_pool_create(2);
  UsAutoencoder* one = create(&c);
  UsAutoencoder* two = create(&c);
  int steps = emulated() ? 4 : 12, early = emulated() ? 2 : 5;
  run(one, steps, NULL, path[0]);
  run(two, steps, pool, path[1]);
  expect_same(path[0], path[1]);  // threads

  UsAutoencoder* back = create(&c);
  us_autoencoder_destroy(two);
  two = create(&c);
  run(two, early, NULL, path[2]);
  if (us_autoencoder_load(back, path[2]) != US_OK) fail_msg("%s", us_message());
  assert_int_equal(us_autoencoder_steps(back), early);
  run(back, steps - early, pool, path[1]);
  expect_same(path[0], path[1]);  // resumed

  UsAutoencoderConfig other = c;  // another seed, another shape
  other.seed = 10;
  UsAutoencoder* stranger = create(&other);
  assert_int_equal(us_autoencoder_load(stranger, path[2]), US_FORMAT);
  assert_non_null(strstr(us_message(), "seed"));
  us_autoencoder_destroy(stranger);
  other = c;
  other.vit.merge_dim = 16;
  stranger = create(&other);
  assert_int_equal(us_autoencoder_load(stranger, path[2]), US_FORMAT);
  assert_int_equal(us_autoencoder_steps(stranger), 0);
  us_autoencoder_destroy(stranger);
  us_autoencoder_destroy(one);
  us_autoencoder_destroy(two);
  us_autoencoder_destroy(back);
  us_pool_destroy(pool);
  for (int i = 0; i < 3; i++) unlink(path[i]);
  rmdir(folder);
}

static void test_bits(void** state) {
  UsAutoencoderConfig c = config(20, 1);
  check_bits(c);
  c.linear = 1;
  check_bits(c);
}

// With a linear encoder latents are right at once, and the steps teach to draw them.
static void test_linear(void** state) {
  SKIP_SLOW();
  UsAutoencoderConfig c = config(250, 0);
  c.linear = 1;
  UsAutoencoder* a = create(&c);
  float* z = malloc(kFrames * kDim * sizeof(float));
  uint8_t drawn[kBytes];
  double error[2] = {0, 0};
  for (int late = 0; late < 2; late++) {
    while (us_autoencoder_steps(a) < (late ? 250 : 1)) step(a, NULL);
    UsEncoder* e;
    if (us_autoencoder_encoder(a, NULL, &e) != US_OK) fail_msg("%s", us_message());
    assert_string_equal(us_encoder_info(e)->kind, "blur");
    us_encoder_encode(e, kFrames, frames, NULL, z, NULL);
    check_moments(z, 1e-2);
    double order = right_order(z);
    if (order < 0.9) fail_msg("order of distances: %g", order);
    for (int i = 0; i < 20; i++) {
      us_encoder_decode(e, 1, z + i * kDim, drawn, NULL);
      for (int j = 0; j < kBytes; j++) {
        error[late] += pow((double)drawn[j] - frames[i * kBytes + j], 2);
      }
    }
    us_encoder_destroy(e);
  }
  if (!(error[1] < 0.25 * error[0])) fail_msg("%g behind %g", error[1], error[0]);
  us_autoencoder_destroy(a);
  free(z);
}

// A wide device takes all frames of a step as one shard, another rounding and nothing else, and
// nobody waits for it between two looks at the figures.
static void test_wide_is_alike(void** state) {
  UsAutoencoderConfig c = config(20, 1), w = c;
  c.decode_every = w.decode_every = 2;
  c.vit.device = us_device_cpu();
  w.vit.device = wide_device();
  UsAutoencoder *narrow = create(&c), *wide = create(&w);
  const UsAutoencoderStep *a, *b;
  int n = emulated() ? 6 : 12;
  int64_t before = waits(w.vit.device);
  UsPool* pool = us_pool_create(2);
  for (int i = 0; i < n; i++) {
    assert_int_equal(us_autoencoder_step(narrow, pool), 1);
    assert_int_equal(us_autoencoder_step(wide, pool), 1);
  }
  assert_int_equal(waits(w.vit.device), before);
  assert_int_equal(us_autoencoder_figures(narrow, &a), n);
  assert_int_equal(us_autoencoder_figures(wide, &b), n);
  assert_int_equal(waits(w.vit.device), before + 1);
  for (int i = 0; i < n; i++) {
    assert_int_equal(b[i].step, i + 1);
    assert_int_equal(b[i].compared, i % 2 == 0);
    assert_true(b[i].finite && (b[i].loss > 0) == b[i].compared);
    assert_true(fabs(a[i].loss - b[i].loss) <= 1e-4 * a[i].loss);
    assert_true(fabs(a[i].distance - b[i].distance) <= 1e-4 * a[i].distance);
  }
  us_autoencoder_destroy(narrow);
  us_autoencoder_destroy(wide);
  us_pool_destroy(pool);
}

// A step too large: numbers are none from some step on, before which everything stays as it was.
static void test_diverges(void** state) {
  char path[] = "/tmp/us_autoencoder_XXXXXX";
  close(mkstemp(path));
  UsAutoencoderConfig c = config(20, 1);
  c.rate = 1000;
  c.warmup = 0;
  c.clip = 1e6;
  c.vit.device = wide_device();
  UsAutoencoder *a = create(&c), *same = create(&c);
  const UsAutoencoderStep* read;
  for (int i = 0; i < 12; i++) us_autoencoder_step(a, NULL);
  int n = us_autoencoder_figures(a, &read);
  assert_in_range(n, 2, 11);
  for (int i = 0; i < n; i++) assert_int_equal(read[i].finite, i + 1 < n);
  assert_int_equal(us_autoencoder_steps(a), n - 1);
  // The same weights as of somebody who stopped in time.
  void *x, *y;
  size_t nx, ny;
  for (int i = 0; i + 1 < n; i++) us_autoencoder_step(same, NULL);
  assert_int_equal(us_autoencoder_save(a, path), US_OK);
  assert_int_equal(us_file_read(path, 0, &x, &nx), US_OK);
  assert_int_equal(us_autoencoder_save(same, path), US_OK);
  assert_int_equal(us_file_read(path, 0, &y, &ny), US_OK);
  assert_int_equal(nx, ny);
  assert_memory_equal(x, y, nx);
  free(x);
  free(y);
  us_autoencoder_destroy(a);
  us_autoencoder_destroy(same);
  unlink(path);
}

static void test_refused(void** state) {
  UsAutoencoder* a = (UsAutoencoder*)1;
  UsFrameSet set = {frames, 0};
  UsAutoencoderConfig c = config(10, 0);
  assert_int_equal(us_autoencoder_create(&c, &set, 1, &a), US_USAGE);
  assert_null(a);
  set.count = 10;
  c.vit.height = 30;
  assert_int_equal(us_autoencoder_create(&c, &set, 1, &a), US_FORMAT);
  c = config(0, 0);
  assert_int_equal(us_autoencoder_create(&c, &set, 1, &a), US_USAGE);
  c = grid_config(10);  // tokens have no anchor
  c.anchor = 1;
  assert_int_equal(us_autoencoder_create(&c, &set, 1, &a), US_USAGE);
  assert_non_null(strstr(us_message(), "anchor"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_learns),   cmocka_unit_test(test_learns_metric),
      cmocka_unit_test(test_pictures), cmocka_unit_test(test_bits),
      cmocka_unit_test(test_refused),  cmocka_unit_test(test_wide_is_alike),
      cmocka_unit_test(test_diverges), cmocka_unit_test(test_grid),
      cmocka_unit_test(test_linear),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
