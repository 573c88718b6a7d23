// The ViT against PyTorch (golden/make_vit.py): outputs, gradients, positions on another grid, and
// a checkpoint opened as an encoder.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/worldmodel/golden.h"
#include "worldmodel/encoder.h"
#include "worldmodel/ops.h"
#include "worldmodel/vit.h"

static const char positions[] = "embeddings.position_embeddings";

typedef struct Golden {
  UsTensors* file;
  cJSON* json;
  UsVitConfig config;
  int grid;         // side of the checkpoint's position grid
  uint8_t* pixels;  // (frames, height, width, 3)
  int frames;
} Golden;

static Golden open_golden(const char* name) {
  Golden g = {0};
  size_t count;
  g.file = golden_open(name, "config", &g.json);
  assert_int_equal(us_vit_config_parse(name, g.json, &g.config, &g.grid), US_OK);
  float* pixels = golden_read(g.file, "golden.pixels", &count);
  g.pixels = malloc(count);
  for (size_t i = 0; i < count; ++i) g.pixels[i] = (uint8_t)pixels[i];
  g.frames = (int)(count / (size_t)(g.config.height * g.config.width * 3));
  free(pixels);
  return g;
}

static void close_golden(Golden* g) {
  us_tensors_close(g->file);
  cJSON_Delete(g->json);
  free(g->pixels);
}

// Weights of the golden file, its positions already on the frames' grid; tensor memory.
static float* load_weights(const Golden* g, const UsVit* v) {
  float* host = calloc(v->params.floats, sizeof(float));
  if (us_params_read(&v->params, g->file, "dinov2.", positions, host) != US_OK) {
    fail_msg("%s", us_message());
  }
  size_t count;
  float* resized = golden_read(g->file, "golden.embeddings.position_embeddings", &count);
  memcpy(host + v->at.positions, resized, count * sizeof(float));
  free(resized);
  float* weights = us_ops_alloc(v->params.floats);
  us_ops_put(weights, host, v->params.floats);
  free(host);
  return weights;
}

static void check_forward_and_gradient(const char* name) {
  Golden g = open_golden(name);
  UsVit* v;
  assert_int_equal(us_vit_create(&g.config, &v), US_OK);
  float *weights = load_weights(&g, v), *gradient = us_ops_alloc(v->params.floats);
  UsVitWork* work = us_vit_work_create(v, g.frames, 1);
  size_t count = (size_t)(g.frames * v->out_tokens * v->out_dim), n;
  float *output = calloc(count, sizeof(float)), *host = calloc(v->params.floats, sizeof(float));
  us_ops_get(us_vit_forward(v, weights, work, g.pixels), output, count);
  golden_compare(g.file, "golden.output", count, output, 1e-4);

  float *projection = golden_read(g.file, "golden.projection", &n), *dy = us_ops_alloc(count);
  assert_int_equal(n, count);
  us_ops_put(dy, projection, count);
  us_vit_backward(v, weights, work, dy, gradient);
  us_ops_get(gradient, host, v->params.floats);
  for (int i = 0; i < v->params.count; ++i) {
    const UsParam* p = &v->params.param[i];
    char tensor[US_TENSOR_NAME];
    snprintf(tensor, sizeof tensor, "gradient.%s", p->name);
    golden_compare(g.file, tensor, p->count, host + p->offset, 1e-3);
  }
  us_ops_free(weights), us_ops_free(gradient), us_ops_free(dy);
  free(output), free(host), free(projection);
  us_vit_work_destroy(work);
  us_vit_destroy(v);
  close_golden(&g);
}

static void test_plain(void** state) {
  check_forward_and_gradient("vit_plain");
}
static void test_registers(void** state) {
  check_forward_and_gradient("vit_registers");
}
static void test_head(void** state) {
  check_forward_and_gradient("vit_head");
}

static void check_positions(const char* name, int antialias) {
  Golden g = open_golden(name);
  const UsVitConfig* c = &g.config;
  int th = c->height / c->patch, tw = c->width / c->patch, cls = c->cls;
  size_t count = (size_t)((cls + th * tw) * c->hidden);
  float* grid = golden_read(g.file, "dinov2.embeddings.position_embeddings", NULL);
  float* out = calloc(count, sizeof(float));
  memcpy(out, grid, (size_t)(cls * c->hidden) * sizeof(float));
  assert_int_equal(us_vit_resize(g.grid, g.grid, th, tw, c->hidden, antialias,
                                 grid + cls * c->hidden, out + cls * c->hidden),
                   US_OK);
  golden_compare(g.file, "golden.embeddings.position_embeddings", count, out, 1e-5);
  free(grid), free(out);
  close_golden(&g);
}

static void test_positions(void** state) {
  check_positions("vit_plain", 0);
  check_positions("vit_registers", 1);
  check_positions("vit_head", 0);
}

// The golden file itself is a checkpoint with a prefix and tensors that nobody asks for.
static void check_encoder(const char* name) {
  Golden g = open_golden(name);
  const char* folder = "golden_vit.folder";
  char config[64], model[64], source[1024];
  void* bytes;
  size_t size;
  assert_int_equal(us_folder_make(folder), US_OK);
  us_path_join(config, sizeof config, folder, "config.json");
  us_path_join(model, sizeof model, folder, "model.safetensors");
  snprintf(source, sizeof source, "%s/tests/worldmodel/golden/%s.safetensors", US_SOURCE_DIR, name);
  assert_int_equal(us_json_write(config, g.json), US_OK);
  assert_int_equal(us_file_read(source, 0, &bytes, &size), US_OK);
  assert_int_equal(us_file_write(model, bytes, size), US_OK);
  free(bytes);

  UsEncoder* e;
  if (us_encoder_open(folder, &e) != US_OK) fail_msg("%s", us_message());
  const UsEncoderInfo* info = us_encoder_info(e);
  size_t count = (size_t)(g.frames * info->tokens * info->dim);
  float* latents = calloc(count, sizeof(float));
  us_encoder_encode(e, g.frames, g.pixels, NULL, latents, NULL);
  golden_compare(g.file, "golden.output", count, latents, 1e-4);
  free(latents);
  us_encoder_destroy(e);
  unlink(config), unlink(model), rmdir(folder);
  close_golden(&g);
}

static void test_encoder(void** state) {
  check_encoder("vit_plain");
  check_encoder("vit_registers");
  check_encoder("vit_head");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),   cmocka_unit_test(test_registers),
      cmocka_unit_test(test_head),    cmocka_unit_test(test_positions),
      cmocka_unit_test(test_encoder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
