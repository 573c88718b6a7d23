// Gradients of ViT and decoder by central differences over every tensor; configs that lie.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/toy_frames.h"
#include "worldmodel/encoder/decoder.h"
#include "worldmodel/ops.h"

enum { kFrames = 3 };

// 4 x 6 patches of 2 px: small enough for differences, and no two dimensions alike.
static UsVitConfig tiny(int cls, int registers, int merge, int global, int norm) {
  return (UsVitConfig){.height = 8,
                       .width = 12,
                       .patch = 2,
                       .hidden = 10,
                       .layers = 2,
                       .heads = 2,
                       .mlp = 14,
                       .registers = registers,
                       .cls = cls,
                       .merge = merge,
                       .merge_dim = merge ? 3 : 0,
                       .global_dim = global,
                       .norm = norm,
                       .eps = 1e-6f,
                       .mean = {0.4f, 0.5f, 0.6f},
                       .std = {0.3f, 0.25f, 0.2f},
                       .device = test_device()};
}

// Weights, a gradient, and what is needed to evaluate the loss sum c out again. Ordinary memory,
// but for what is marked.
typedef struct Check {
  const UsParamList* params;
  float* weights;   // (floats)
  float* gradient;  // (floats)
  float* there;     // (floats) the weights, tensor memory
  float* c;         // (count) coefficients of the loss
  size_t count;     // numbers of the output
  double (*loss)(struct Check* k);
  UsVit* vit;
  UsVitWork* vit_work;
  uint8_t* pixels;
  UsDecoder* decoder;
  UsDecoderWork* decoder_work;
  float* latents;        // (numbers)
  float* latents_there;  // tensor memory
  int numbers;           // of the latents of all frames
} Check;

static void fill_normal(int stream, size_t count, float* x) {
  UsRng r = us_rng(11, US_RNG_TEST, (uint64_t)stream, 0, 0);
  us_rng_fill_normal(&r, x, (int)count);
}

// Random weights: gains and scales away from 1, biases away from 0.
static void randomise(const UsParamList* list, float* weights) {
  us_params_init(list, 5, 0, weights);
  UsRng r = us_rng(12, US_RNG_TEST, 0, 0, 0);
  for (int i = 0; i < list->count; i++) {
    for (size_t j = 0; j < list->param[i].count; j++) {
      weights[list->param[i].offset + j] += 0.3f * us_rng_normal(&r);
    }
  }
}

// out, tensor memory.
static double weighted_sum(const Check* k, const float* out) {
  double sum = 0;
  float* y = malloc(k->count * sizeof(float));
  fetch(out, y, k->count * sizeof(float));
  for (size_t i = 0; i < k->count; i++) sum += (double)k->c[i] * y[i];
  free(y);
  return sum;
}

// Room for weights and a gradient, and for what the loss counts.
static void start(Check* k, const UsParamList* params, size_t count) {
  k->params = params;
  k->count = count;
  k->weights = host_bytes(params->floats * sizeof(float));
  k->c = host_bytes(count * sizeof(float));
  randomise(params, k->weights);
  fill_normal(1, count, k->c);
  k->there = tensor(k->weights, params->floats);
}

// Compares gradient . v with the central difference along a random v, tensor by tensor.
static void check_tensors(Check* k) {
  for (int i = 0; i < k->params->count; i += emulated() ? 5 : 1) {
    const UsParam* p = &k->params->param[i];
    float* w = k->weights + p->offset;
    float* v = malloc(p->count * sizeof(float));
    float* kept = malloc(p->count * sizeof(float));
    fill_normal(100 + i, p->count, v);
    memcpy(kept, w, p->count * sizeof(float));
    double expected = 0, length = 0;
    for (size_t j = 0; j < p->count; j++) {
      expected += (double)k->gradient[p->offset + j] * v[j];
      length += (double)v[j] * v[j];
    }
    float step = (float)(1e-2 / sqrt(length));
    double side[2];
    for (int s = 0; s < 2; s++) {
      for (size_t j = 0; j < p->count; j++) w[j] = kept[j] + (s ? -step : step) * v[j];
      side[s] = k->loss(k);
    }
    memcpy(w, kept, p->count * sizeof(float));
    double found = (side[0] - side[1]) / (2.0 * (double)step);
    double tolerance = 0.012 * (1 + fabs(expected));
    if (fabs(found - expected) > tolerance) {
      fail_msg("%s: gradient %g, difference %g", p->name, expected, found);
    }
    free(v);
    free(kept);
  }
}

static double vit_loss(Check* k) {
  us_ops_put(test_device(), k->there, k->weights, k->params->floats);
  return weighted_sum(k, us_vit_forward(k->vit, k->there, k->vit_work, k->pixels));
}

static void check_vit(UsVitConfig c) {
  Check k = {.loss = vit_loss};
  assert_int_equal(us_vit_check("tiny", &c), US_OK);
  assert_int_equal(us_vit_create(&c, &k.vit), US_OK);
  k.vit_work = us_vit_work_create(k.vit, kFrames, 1);
  start(&k, &k.vit->params, (size_t)(kFrames * k.vit->out_tokens * k.vit->out_dim));
  k.pixels = malloc(kFrames * 8 * 12 * 3);
  for (int i = 0; i < kFrames * 8 * 12 * 3; i++) k.pixels[i] = (uint8_t)(i * 77 % 251);
  float* gradient = tensor(NULL, k.params->floats);
  vit_loss(&k);
  us_vit_backward(k.vit, k.there, k.vit_work, tensor(k.c, k.count), gradient);
  k.gradient = fetched(gradient, k.params->floats);
  check_tensors(&k);
  drop_tensors();
  us_vit_work_destroy(k.vit_work);
  us_vit_destroy(k.vit);
  free(k.pixels);
}

static void test_gradients_plain(void** state) {
  check_vit(tiny(1, 0, 0, 0, 0));
}
static void test_gradients_registers(void** state) {
  check_vit(tiny(1, 3, 0, 0, 0));
}
static void test_gradients_merged(void** state) {
  check_vit(tiny(0, 0, 2, 0, 0));
}
static void test_gradients_grid(void** state) {
  check_vit(tiny(0, 0, 1, 0, 1));
}
static void test_gradients_global(void** state) {
  check_vit(tiny(0, 0, 2, 5, 1));
}
static void test_gradients_all(void** state) {
  check_vit(tiny(1, 2, 2, 5, 1));
}

static double decoder_loss(Check* k) {
  us_ops_put(test_device(), k->there, k->weights, k->params->floats);
  us_ops_put(test_device(), k->latents_there, k->latents, (size_t)k->numbers);
  return weighted_sum(k,
                      us_decoder_forward(k->decoder, k->there, k->decoder_work, k->latents_there));
}

static void check_decoder(UsVitConfig c, int latent) {
  const int numbers = kFrames * latent;
  Check k = {.loss = decoder_loss, .numbers = numbers};
  assert_int_equal(us_decoder_create(&c, &k.decoder), US_OK);
  k.decoder_work = us_decoder_work_create(k.decoder, kFrames, 1);
  start(&k, &k.decoder->params, kFrames * 8 * 12 * 3);
  k.latents = host_bytes((size_t)numbers * sizeof(float));
  k.latents_there = tensor(NULL, (size_t)numbers);
  fill_normal(2, (size_t)numbers, k.latents);
  float *gradient = tensor(NULL, k.params->floats), *dlatents_there = tensor(NULL, (size_t)numbers);
  decoder_loss(&k);
  us_decoder_backward(k.decoder, k.there, k.decoder_work, k.latents_there, tensor(k.c, k.count),
                      dlatents_there, gradient);
  k.gradient = fetched(gradient, k.params->floats);
  float* dlatents = fetched(dlatents_there, (size_t)numbers);
  check_tensors(&k);
  for (int i = 0; i < numbers; i++) {  // the latents' own gradient
    float kept = k.latents[i];
    k.latents[i] = kept + 4e-3f;
    double up = decoder_loss(&k);
    k.latents[i] = kept - 4e-3f;
    double down = decoder_loss(&k);
    k.latents[i] = kept;
    double found = (up - down) / 8e-3;
    assert_true(fabs(found - (double)dlatents[i]) < 5e-3 * fabs(found) + 1e-2);
  }
  drop_tensors();
  us_decoder_work_destroy(k.decoder_work);
  us_decoder_destroy(k.decoder);
}

static void test_gradients_decoder(void** state) {
  check_decoder(tiny(0, 0, 2, 5, 1), 5);
}
static void test_gradients_decoder_of_cells(void** state) {
  check_decoder(tiny(0, 0, 2, 0, 1), 6 * 3);
}

// Cells hold their neighbours' tokens, row by row, and scattering is the inverse.
static void test_gather(void** state) {
  UsVitConfig c = tiny(0, 0, 2, 0, 0);
  enum { kPatches = 24 };
  float x[2 * kPatches];
  for (int i = 0; i < 2 * kPatches; i++) x[i] = (float)i;
  int *gather = tensor_bytes(NULL, kPatches * sizeof(int)),
      *scatter = tensor_bytes(NULL, kPatches * sizeof(int));
  float* gathered = tensor(NULL, 2 * kPatches);
  assert_int_equal(us_vit_put_index(&c, 2, gather, scatter), US_OK);
  us_vit_gather(&c, 1, 2, gather, tensor(x, 2 * kPatches), gathered);
  float* y = fetched(gathered, 2 * kPatches);
  const float first[4] = {0, 1, 6, 7}, second[4] = {2, 3, 8, 9}, below[4] = {12, 13, 18, 19};
  assert_memory_equal(y, first, sizeof(first));
  assert_memory_equal(y + 4, second, sizeof(second));
  assert_memory_equal(y + 12, below, sizeof(below));
  float* back = tensor(NULL, 2 * kPatches);
  us_vit_gather(&c, 1, 2, scatter, gathered, back);
  assert_memory_equal(fetched(back, 2 * kPatches), x, sizeof(x));
  drop_tensors();
}

// ---- configs ----

static UsStatus parse_text(const char* text, UsVitConfig* c) {
  cJSON* json;
  int grid;
  assert_int_equal(us_json_parse("config.json", text, strlen(text), &json), US_OK);
  UsStatus status = us_vit_config_parse("config.json", json, c, &grid);
  cJSON_Delete(json);
  return status;
}

#define BASE \
  "\"hidden_size\": 384, \"num_hidden_layers\": 12, \"patch_size\": 14, \"image_size\": 518"

static void test_config(void** state) {
  UsVitConfig c;
  assert_int_equal(parse_text("{" BASE ", \"num_attention_heads\": 6, \"mlp_ratio\": 4}", &c),
                   US_OK);
  assert_int_equal(c.height, 224);
  assert_int_equal(c.mlp, 1536);
  assert_int_equal(c.cls, 1);
  assert_int_equal(us_vit_patches(&c), 256);
  assert_true(c.mean[0] > 0.48f && c.mean[0] < 0.49f);
}

static void test_config_round_trip(void** state) {
  UsVitConfig c = tiny(1, 2, 2, 5, 1), back;
  cJSON* json = us_vit_config_json(&c);
  int grid;
  assert_int_equal(us_vit_config_parse("config.json", json, &back, &grid), US_OK);
  cJSON_Delete(json);
  c.device = NULL;  // no part of a file
  assert_memory_equal(&c, &back, sizeof(c));
}

static void test_config_refused(void** state) {
  static const struct {
    const char *text, *message;
  } cases[] = {
      {"{" BASE ", \"num_attention_heads\": 5}", "multiple of heads"},
      {"{" BASE ", \"num_attention_heads\": 6, \"use_swiglu_ffn\": true}", "use_swiglu_ffn"},
      {"{" BASE ", \"num_attention_heads\": 6, \"hidden_act\": \"relu\"}", "relu"},
      {"{" BASE ", \"num_attention_heads\": -1}", "num_attention_heads"},
      {"{" BASE ", \"num_attention_heads\": \"6\"}", "another type"},
      {"{" BASE ", \"num_attention_heads\": 6, \"head\": 3}", "\"head\""},
      {"{" BASE ", \"num_attention_heads\": 6, \"head\": {\"global_dim\": 8}}", "\"merge\""},
      {"{" BASE ", \"num_attention_heads\": 6, \"head\": {\"merge\": 3, \"merge_dim\": 4}}",
       "whole cells"},
      {"{" BASE ", \"num_attention_heads\": 6, \"understudy\": {\"height\": 100, \"width\": 100}}",
       "whole patches"},
      {"{" BASE ", \"num_attention_heads\": 6, \"understudy\": {\"image_std\": [0, 1, 1]}}",
       "deviations above 0"},
      {"{" BASE
       ", \"num_attention_heads\": 6, \"understudy\": {\"height\": 1792, \"width\": 1792}}",
       "expected at most 16384 tokens a frame, found 16385"},
      {"{\"hidden_size\": 384}", "num_hidden_layers"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    UsVitConfig c;
    assert_int_not_equal(parse_text(cases[i].text, &c), US_OK);
    if (!strstr(us_message(), cases[i].message)) {
      fail_msg("case %d: expected \"%s\" in: %s", (int)i, cases[i].message, us_message());
    }
    assert_null(strchr(us_message(), '\n'));
  }
}

// The same grid is left as it is; a constant stays constant; a ramp stays a ramp inside.
static void test_resize(void** state) {
  enum { kFrom = 9, kTo = 4 };
  float x[kFrom * kFrom * 2], y[kFrom * kFrom * 2];
  for (int i = 0; i < kFrom * kFrom; i++) {
    x[2 * i] = 3;
    x[2 * i + 1] = (float)(i % kFrom);
  }
  for (int antialias = 0; antialias < 2; antialias++) {
    assert_int_equal(us_vit_resize(kFrom, kFrom, kFrom, kFrom, 2, antialias, x, y), US_OK);
    assert_memory_equal(x, y, sizeof(x));
    assert_int_equal(us_vit_resize(kFrom, kFrom, kTo, kTo, 2, antialias, x, y), US_OK);
    for (int i = 0; i < kTo * kTo; i++) assert_true(fabsf(y[2 * i] - 3) < 1e-5f);
    float middle = y[2 * 5 + 1], next = y[2 * 6 + 1];
    assert_true(fabsf(middle + next - 8) < 1e-4f);
    assert_true(fabsf(next - middle - 2.25f) < (antialias ? 0.1f : 0.25f));
  }
}

// Latents that are the brightness of one cell each: a cell's first numbers are told by its own
// latent alone, around 0 and of variance 1, whatever the latents' scales are.
static void test_start(void** state) {
  enum { kMany = 400, kCells = 6, kNumbers = 8 * 12 * 3 };
  const UsVitConfig c = tiny(0, 0, 2, kCells, 0);
  UsDecoder* d;
  assert_int_equal(us_decoder_create(&c, &d), US_OK);
  uint8_t* frames = malloc(kMany * kNumbers);
  float* z = malloc(kMany * kCells * sizeof(float));
  float* w = calloc(d->params.floats, sizeof(float));
  UsRng r = us_rng(13, US_RNG_TEST, 0, 0, 0);
  for (int i = 0; i < kMany; i++) {
    for (int cell = 0; cell < kCells; cell++) {
      uint32_t bright = us_rng_below(&r, 256);
      z[i * kCells + cell] = (float)bright * powf(10, (float)-cell) + 7;
      for (int j = 0; j < 4 * 4 * 3; j++) {
        int y = cell / 3 * 4 + j / 12, x = cell % 3 * 12 + j % 12;
        frames[i * kNumbers + y * 36 + x] = (uint8_t)bright;
      }
    }
  }
  assert_int_equal(us_decoder_start(d, kMany, frames, z, 0, 1, w), US_OK);
  for (int k = 0; k < kCells * c.merge_dim; k++) {
    const float* row = w + d->at.global_w + k * kCells;
    double sum = 0, squares = 0;
    for (int i = 0; i < kMany; i++) {
      double y = (double)w[d->at.global_b + (size_t)k];
      for (int j = 0; j < kCells; j++) y += (double)row[j] * (double)z[i * kCells + j];
      sum += y / kMany, squares += y * y / kMany;
    }
    assert_true(fabs(sum) < 1e-2 && fabs(squares - 1) < 1e-2);
    for (int j = 0; j < kCells; j++) {
      // In units of what the latent varies by.
      double part = fabs((double)row[j] * pow(10, -j) * 74);
      assert_true(j == k / c.merge_dim ? fabs(part - 1) < 0.05 : part < 0.05);
    }
  }
  free(frames);
  free(z);
  free(w);
  us_decoder_destroy(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_start),
      cmocka_unit_test(test_gradients_plain),
      cmocka_unit_test(test_gradients_registers),
      cmocka_unit_test(test_gradients_merged),
      cmocka_unit_test(test_gradients_grid),
      cmocka_unit_test(test_gradients_global),
      cmocka_unit_test(test_gradients_all),
      cmocka_unit_test(test_gradients_decoder),
      cmocka_unit_test(test_gradients_decoder_of_cells),
      cmocka_unit_test(test_gather),
      cmocka_unit_test(test_config),
      cmocka_unit_test(test_config_round_trip),
      cmocka_unit_test(test_config_refused),
      cmocka_unit_test(test_resize),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
