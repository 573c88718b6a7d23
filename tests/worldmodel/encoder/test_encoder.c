// Encoders: same frame, same bits; files; kinds blur, pca and state; folders that lie.

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
#include "worldmodel/encoder/decoder.h"
#include "worldmodel/encoder.h"
#include "worldmodel/ops.h"
#include "worldmodel/tensor_file.h"

enum { kSide = 32, kBytes = kSide * kSide * 3, kFrames = 64 };

static char folder[64];
static uint8_t* frames;

static int setup(void** state) {
  snprintf(folder, sizeof(folder), "/tmp/us_encoder_XXXXXX");
  if (!mkdtemp(folder)) return -1;
  frames = toy_frames(kFrames, kSide, 6, 3, NULL);
  return 0;
}

static int teardown(void** state) {
  static const char* const names[] = {"config.json", "model.safetensors", "decoder.safetensors"};
  char path[128];
  for (int i = 0; i < 3; i++) unlink(us_path_join(path, sizeof(path), folder, names[i]));
  free(frames);
  return rmdir(folder);
}

static UsVitConfig small = {.height = kSide,
                            .width = kSide,
                            .patch = 8,
                            .hidden = 16,
                            .layers = 2,
                            .heads = 2,
                            .mlp = 32,
                            .merge = 2,
                            .merge_dim = 6,
                            .global_dim = 10,
                            .norm = 1,
                            .eps = 1e-6f,
                            .mean = {0.5f, 0.5f, 0.5f},
                            .std = {0.5f, 0.5f, 0.5f}};

static UsEncoder* make_vit(void) {
  UsVit* v;
  UsDecoder* d;
  UsEncoder* e;
  small.device = test_device();
  assert_int_equal(us_vit_create(&small, &v), US_OK);
  assert_int_equal(us_decoder_create(&small, &d), US_OK);
  float* weights = calloc(v->params.floats, sizeof(float));
  float* decoder = calloc(d->params.floats, sizeof(float));
  us_params_init(&v->params, 1, 0, weights);
  us_params_init(&d->params, 1, 1, decoder);
  if (us_encoder_make_vit(&small, weights, decoder, &e) != US_OK) fail_msg("%s", us_message());
  free(weights);
  free(decoder);
  us_vit_destroy(v);
  us_decoder_destroy(d);
  return e;
}

// Some frames alone, three at a time, and all at once, with one thread and with two; and the same
// latents in tensor memory, where what stands behind them stays.
static void check_bits(const UsEncoder* e) {
  size_t width = (size_t)(us_encoder_info(e)->tokens * us_encoder_info(e)->dim);
  size_t row = width * sizeof(float);
  float *some = host_bytes(3 * row), *many = host_bytes(kFrames * row);
  for (int threads = 1; threads <= 2; threads++) {
    UsPool* pool = us_pool_create(threads);
    for (int n = 40; n <= kFrames; n += kFrames - 40) {
      assert_int_equal(us_encoder_encode(e, n, frames, NULL, many, pool), US_OK);
      for (int i = 0; i + 3 <= n; i += 8) {
        us_encoder_encode(e, 1, frames + i * kBytes, NULL, some, NULL);
        assert_memory_equal(some, many + (size_t)i * width, row);
        us_encoder_encode(e, 3, frames + i * kBytes, NULL, some, pool);
        assert_memory_equal(some, many + (size_t)i * width, 3 * row);
      }
    }
    float *to = tensor(NULL, (kFrames + 1) * width), mark = 7, found;
    us_ops_put(test_device(), to + kFrames * width, &mark, 1);
    assert_int_equal(us_encoder_encode_to(e, kFrames, frames, NULL, to, pool), US_OK);
    assert_memory_equal(fetched(to, kFrames * width), many, kFrames * row);
    fetch(to + kFrames * width, &found, sizeof(found));
    assert_true(found == mark);
    us_pool_destroy(pool);
  }
  assert_true(memcmp(many, many + width, row) != 0);
  drop_tensors();
}

// Tiles of frames give what the model gives of one frame alone, but for rounding.
static void check_tiles(const UsEncoder* e) {
  enum { kDim = 10 };
  UsVit* v;
  assert_int_equal(us_vit_create(&small, &v), US_OK);
  float* host = host_bytes(v->params.floats * sizeof(float));
  us_params_init(&v->params, 1, 0, host);
  float* weights = tensor(host, v->params.floats);
  UsVitWork* work = us_vit_work_create(v, 1, 0);
  float many[kFrames * kDim], one[kDim];
  us_encoder_encode(e, kFrames, frames, NULL, many, NULL);
  for (int i = 0; i < kFrames; i += on_cpu() ? 1 : 16) {
    fetch(us_vit_forward(v, weights, work, frames + i * kBytes), one, sizeof(one));
    for (int j = 0; j < kDim; j++) assert_true(fabsf(one[j] - many[i * kDim + j]) < 1e-5f);
  }
  us_vit_work_destroy(work);
  us_vit_destroy(v);
  drop_tensors();
}

// What another device makes of the same frames is the CPU's but for rounding.
static void check_cpu(const UsEncoder* e) {
  UsEncoder* cpu;
  size_t count = (size_t)(kFrames * us_encoder_info(e)->tokens * us_encoder_info(e)->dim);
  float *here = host_bytes(count * sizeof(float)), *there = host_bytes(count * sizeof(float));
  assert_int_equal(us_encoder_save(e, folder), US_OK);
  assert_int_equal(us_encoder_open(folder, NULL, &cpu), US_OK);
  assert_string_equal(us_encoder_info(cpu)->hash, us_encoder_info(e)->hash);
  us_encoder_encode(cpu, kFrames, frames, NULL, here, NULL);
  us_encoder_encode(e, kFrames, frames, NULL, there, NULL);
  for (size_t i = 0; i < count; i++) {
    assert_true(fabsf(here[i] - there[i]) <= 1e-5f * (1 + fabsf(here[i])));
  }
  us_encoder_destroy(cpu);
  drop_tensors();
}

// Saving and opening keeps latents, pictures and hash.
static void check_round_trip(const UsEncoder* e) {
  const UsEncoderInfo* info = us_encoder_info(e);
  UsEncoder* back;
  if (us_encoder_save(e, folder) != US_OK) fail_msg("%s", us_message());
  if (us_encoder_open(folder, test_device(), &back) != US_OK) fail_msg("%s", us_message());
  assert_memory_equal(us_encoder_info(back), info, sizeof(*info));
  assert_int_equal(strlen(info->hash), 64);
  float z[2][64];
  uint8_t drawn[2][kBytes];
  us_encoder_encode(e, 1, frames, NULL, z[0], NULL);
  us_encoder_encode(back, 1, frames, NULL, z[1], NULL);
  assert_memory_equal(z[0], z[1], (size_t)info->dim * sizeof(float));
  us_encoder_decode(e, 1, z[0], drawn[0], NULL);
  us_encoder_decode(back, 1, z[0], drawn[1], NULL);
  assert_memory_equal(drawn[0], drawn[1], kBytes);
  us_encoder_destroy(back);
}

static void test_vit(void** state) {
  UsEncoder* e = make_vit();
  const UsEncoderInfo* info = us_encoder_info(e);
  assert_string_equal(info->kind, "vit");
  assert_int_equal(info->tokens, 1);
  assert_int_equal(info->dim, 10);
  assert_int_equal(info->grid_h * info->grid_w, 1);
  assert_int_equal(info->decoder, 1);
  check_bits(e);
  check_tiles(e);
  check_round_trip(e);
  check_cpu(e);
  us_encoder_destroy(e);
}

static double pca_error(int dim, UsEncoder** out) {
  UsEncoder* e;
  if (us_encoder_make_pca(dim, kFrames, kSide, kSide, frames, NULL, test_device(), &e) != US_OK) {
    fail_msg("%s", us_message());
  }
  float* z = malloc((size_t)(kFrames * dim) * sizeof(float));
  uint8_t* drawn = malloc(kFrames * kBytes);
  us_encoder_encode(e, kFrames, frames, NULL, z, NULL);
  us_encoder_decode(e, kFrames, z, drawn, NULL);
  double error = 0, variance = 0;
  for (int i = 0; i < kFrames * kBytes; i++) {
    double off = (double)frames[i] - drawn[i];
    error += off * off / (kFrames * kBytes);
  }
  for (int i = 0; i < kFrames * dim; i++) variance += (double)z[i] * z[i] / (kFrames * dim);
  assert_true(fabs(variance - 1) < 1e-3);
  free(z);
  free(drawn);
  if (out) {
    *out = e;
  } else {
    us_encoder_destroy(e);
  }
  return error;
}

// Components of a saved encoder have length 1, stand at right angles, and the largest element of
// each is positive.
static void check_components(int dim) {
  char path[128];
  UsTensors* file;
  us_path_join(path, sizeof(path), folder, "model.safetensors");
  float* c = malloc((size_t)(dim * kBytes) * sizeof(float));
  assert_int_equal(us_tensors_open(path, &file), US_OK);
  assert_int_equal(us_tensors_read(file, "pca.components", 2, (int64_t[]){dim, kBytes}, c), US_OK);
  us_tensors_close(file);
  for (int i = 0; i < dim; i++) {
    float low = 0, high = 0;
    for (int k = 0; k <= i; k++) {
      double dot = 0;
      for (int j = 0; j < kBytes; j++) dot += (double)c[i * kBytes + j] * c[k * kBytes + j];
      assert_true(fabs(dot - (i == k)) < 1e-5);
    }
    for (int j = 0; j < kBytes; j++) {
      low = fminf(low, c[i * kBytes + j]);
      high = fmaxf(high, c[i * kBytes + j]);
    }
    assert_true(high >= -low);
  }
  free(c);
}

static void test_pca(void** state) {
  UsEncoder* e;
  double few = pca_error(4, NULL), more = pca_error(16, NULL), all = pca_error(63, &e);
  assert_true(more < 0.8 * few);
  assert_true(all < 0.5);  // 63 components span 64 frames without their mean
  check_bits(e);
  // Distances of latents are those of pixels, up to one factor.
  float z[4][63];
  us_encoder_encode(e, 4, frames, NULL, z[0], NULL);
  double factor = 0;
  for (int i = 1; i < 4; i++) {
    double latent = 0, pixel = 0;
    for (int j = 0; j < 63; j++) latent += pow((double)z[i][j] - (double)z[0][j], 2);
    for (int j = 0; j < kBytes; j++) pixel += pow((double)frames[i * kBytes + j] - frames[j], 2);
    if (i == 1) factor = latent / pixel;
    assert_true(fabs(latent / pixel / factor - 1) < 1e-2);
  }
  us_encoder_destroy(e);
  UsEncoder* small_one;
  pca_error(8, &small_one);
  check_round_trip(small_one);
  check_cpu(small_one);
  check_components(8);
  us_encoder_destroy(small_one);
  assert_int_equal(us_encoder_make_pca(65, kFrames, kSide, kSide, frames, NULL, test_device(), &e),
                   US_USAGE);
  assert_null(e);
}

static UsEncoder* make_blur(int dim, int side, const uint8_t* of) {
  UsEncoder* e;
  const UsFrameSet set = {of, kFrames};
  if (us_encoder_make_blur(dim, side, side, &set, 1, test_device(), &e) != US_OK) {
    fail_msg("%s", us_message());
  }
  return e;
}

// The mean squared error of what a `blur` encoder draws of its latents, whose variance is 1.
static double blur_error(int dim) {
  UsEncoder* e = make_blur(dim, kSide, frames);
  float* z = host_bytes((size_t)(kFrames * dim) * sizeof(float));
  uint8_t* drawn = host_bytes(kFrames * kBytes);
  double error = 0, variance = 0;
  us_encoder_encode(e, kFrames, frames, NULL, z, NULL);
  us_encoder_decode(e, kFrames, z, drawn, NULL);
  for (int i = 0; i < kFrames * kBytes; i++) error += pow((double)frames[i] - drawn[i], 2);
  for (int i = 0; i < kFrames * dim; i++) variance += pow((double)z[i], 2) / (kFrames * dim);
  assert_float_equal(variance, 1, 1e-3);
  us_encoder_destroy(e);
  drop_tensors();
  return error / (kFrames * kBytes);
}

static void test_blur(void** state) {
  UsEncoder* e = make_blur(12, kSide, frames);
  check_bits(e);
  check_round_trip(e);
  check_cpu(e);
  us_encoder_destroy(e);
  double few = blur_error(2), more = blur_error(30);
  if (!(more < 0.5 * few)) fail_msg("%g %g", few, more);
  assert_int_equal(
      us_encoder_make_blur(65, kSide, kSide, &(UsFrameSet){frames, kFrames}, 1, test_device(), &e),
      US_USAGE);
  assert_null(e);
}

// A square of 3 x 3 px on its way to the right: its latents are ever farther from the first, also
// where squares no longer overlap.
static void test_blur_metric(void** state) {
  enum { kDim = 16, kWay = 26 };
  uint8_t* moved = host_bytes(kFrames * kBytes);
  float z[kWay][kDim];
  memset(moved, 40, kFrames * kBytes);
  for (int i = 0; i < kFrames; i++) {
    for (int k = 0; k < 27; k++) {
      moved[i * kBytes + ((14 + k / 9) * kSide + i % kWay + 1 + k / 3 % 3) * 3 + k % 3] = 200;
    }
  }
  UsEncoder* e = make_blur(kDim, kSide, moved);
  us_encoder_encode(e, kWay, moved, NULL, z[0], NULL);
  double last = 0;
  for (int i = 1; i < kWay; i++) {
    double far = 0;
    for (int j = 0; j < kDim; j++) far += pow((double)(z[i][j] - z[0][j]), 2);
    if (!(far > last)) fail_msg("%d px: %g behind %g", i, far, last);
    last = far;
  }
  us_encoder_destroy(e);
  drop_tensors();
}

// Frames twice as large, each pixel four times, have the same latents: squares of pixels count as
// their means.
static void test_blur_pool(void** state) {
  enum { kDim = 8 };
  uint8_t* large = host_bytes(4 * kFrames * kBytes);
  float z[2][kFrames * kDim];
  for (int i = 0; i < kFrames; i++) {
    for (int k = 0; k < 4 * kBytes; k++) {
      int y = k / 3 / (2 * kSide), x = k / 3 % (2 * kSide);
      large[i * 4 * kBytes + k] = frames[i * kBytes + (y / 2 * kSide + x / 2) * 3 + k % 3];
    }
  }
  UsEncoder* e[2] = {make_blur(kDim, kSide, frames), make_blur(kDim, 2 * kSide, large)};
  for (int i = 0; i < 2; i++)
    us_encoder_encode(e[i], kFrames, i ? large : frames, NULL, z[i], NULL);
  for (int i = 0; i < kFrames * kDim; i++) assert_float_equal(z[0][i], z[1][i], 1e-4);
  for (int i = 0; i < 2; i++) us_encoder_destroy(e[i]);
  drop_tensors();
}

static void test_state(void** state) {
  const double mean[4] = {1, -2, 7, 100}, std[4] = {2, 0.5, 0, 4};
  const double x[8] = {3, -2, 7, 96, 1, -1.5, 8, 100};
  UsEncoder *e, *back;
  float z[6], again[6];
  assert_int_equal(us_encoder_make_state(4, mean, std, test_device(), &e), US_OK);
  assert_int_equal(us_encoder_info(e)->dim, 3);
  assert_int_equal(us_encoder_info(e)->tokens, 1);
  assert_int_equal(us_encoder_info(e)->state, 4);
  assert_int_equal(us_encoder_info(e)->decoder, 0);
  us_encoder_encode(e, 2, NULL, x, z, NULL);
  const float expected[6] = {1, 0, -1, 0, 1, 0};
  assert_memory_equal(z, expected, sizeof(z));
  assert_int_equal(us_encoder_save(e, folder), US_OK);
  assert_int_equal(us_encoder_open(folder, test_device(), &back), US_OK);
  us_encoder_encode(back, 2, NULL, x, again, NULL);
  assert_memory_equal(z, again, sizeof(z));
  assert_string_equal(us_encoder_info(e)->hash, us_encoder_info(back)->hash);
  us_encoder_destroy(e);
  us_encoder_destroy(back);
  for (int i = 0; i < 2; i++) {  // 1 / std, and 1 / (1 / std), are beyond floats
    const double far[4] = {i ? 1e40 : 1e-40, 1, 1, 1};
    assert_int_equal(us_encoder_make_state(4, mean, far, test_device(), &e), US_OK);
    assert_int_equal(us_encoder_save(e, folder), US_OK);
    us_encoder_destroy(e);
    assert_int_equal(us_encoder_open(folder, test_device(), &e), US_FORMAT);
    assert_non_null(strstr(us_message(), "model.safetensors: "));
    assert_non_null(strstr(us_message(), "state.scale"));
  }
  assert_int_not_equal(us_encoder_make_state(1, mean, std + 2, test_device(), &e), US_OK);
  assert_null(e);
}

// ---- folders that lie ----

static void expect_refused(const char* part) {
  UsEncoder* e = (UsEncoder*)1;
  assert_int_not_equal(us_encoder_open(folder, test_device(), &e), US_OK);
  assert_null(e);
  if (!strstr(us_message(), part)) fail_msg("expected \"%s\" in: %s", part, us_message());
  assert_null(strchr(us_message(), '\n'));
}

static void write_text(const char* name, const char* text) {
  char path[128];
  us_path_join(path, sizeof(path), folder, name);
  assert_int_equal(us_file_write(path, text, strlen(text)), US_OK);
}

static void test_refused(void** state) {
  char path[128];
  UsEncoder* e = make_vit();
  assert_int_equal(us_encoder_save(e, folder), US_OK);
  us_encoder_destroy(e);

  us_path_join(path, sizeof(path), folder, "config.json");
  void* text;
  size_t size;
  assert_int_equal(us_file_read(path, 0, &text, &size), US_OK);
  char* at = strstr(text, "\"merge_dim\":");
  assert_non_null(at);
  char* digit = strchr(at, '6');
  *digit = '7';  // a config that does not fit the tensors
  assert_int_equal(us_file_write(path, text, size), US_OK);
  expect_refused("head.merge.weight");
  *digit = '6';
  assert_int_equal(us_file_write(path, text, size), US_OK);

  us_path_join(path, sizeof(path), folder, "decoder.safetensors");
  unlink(path);  // an encoder without pictures
  assert_int_equal(us_encoder_open(folder, test_device(), &e), US_OK);
  assert_int_equal(us_encoder_info(e)->decoder, 0);
  us_encoder_destroy(e);
  write_text("decoder.safetensors", "short");
  expect_refused("decoder.safetensors");
  unlink(path);

  write_text("config.json", "{\"understudy\": {\"kind\": \"fourier\"}}");
  expect_refused("fourier");
  write_text("config.json", "{\"understudy\": {\"kind\": \"pca\", \"height\": 8, \"width\": 8}}");
  expect_refused("dim");
  write_text("config.json",
             "{\"understudy\": {\"kind\": \"blur\", \"height\": 8, \"width\": 8, \"dim\": 2, "
             "\"pool\": 3}}");
  expect_refused("\"pool\" to divide frames of 8 x 8 px, found 3");
  write_text("config.json",
             "{\"understudy\": {\"kind\": \"state\", \"state\": 4, \"dimensions\": [9]}}");
  expect_refused("dimensions");
  write_text("config.json", "{\"understudy\": {\"kind\": \"state\", \"state\": 4}}");
  expect_refused("dimensions");
  write_text("config.json",
             "{\"understudy\": {\"kind\": \"state\", \"state\": 4, \"dimensions\": [1]}}");
  expect_refused("state.mean");
  write_text("config.json", "[]");
  expect_refused("config.json");
  write_text("config.json", "{}");
  expect_refused("hidden_size");
  assert_int_equal(
      us_file_write(us_path_join(path, sizeof(path), folder, "config.json"), text, size), US_OK);
  free(text);
  us_path_join(path, sizeof(path), folder, "model.safetensors");
  assert_int_equal(us_file_read(path, 0, &text, &size), US_OK);
  assert_int_equal(us_file_write(path, text, size / 2), US_OK);
  expect_refused("model.safetensors");
  free(text);
  unlink(path);
  expect_refused("model.safetensors");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_vit, setup, teardown),
      cmocka_unit_test_setup_teardown(test_pca, setup, teardown),
      cmocka_unit_test_setup_teardown(test_blur, setup, teardown),
      cmocka_unit_test_setup_teardown(test_blur_metric, setup, teardown),
      cmocka_unit_test_setup_teardown(test_blur_pool, setup, teardown),
      cmocka_unit_test_setup_teardown(test_state, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
