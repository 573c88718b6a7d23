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
#include "tests/worldmodel/on_device.h"
#include "worldmodel/encoder.h"
#include "worldmodel/ops.h"
#include "worldmodel/vit.h"

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
  g.config.device = test_device();
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
  if (us_params_read(&v->params, g->file, "dinov2.", US_PARAM_OWN, host) != US_OK) {
    fail_msg("%s", us_message());
  }
  size_t count;
  float* resized = golden_read(g->file, "golden.embeddings.position_embeddings", &count);
  memcpy(host + v->at.positions, resized, count * sizeof(float));
  free(resized);
  float* weights = tensor(host, v->params.floats);
  free(host);
  return weights;
}

static void check_forward_and_gradient(const char* name) {
  Golden g = open_golden(name);
  UsVit* v;
  assert_int_equal(us_vit_create(&g.config, &v), US_OK);
  float *weights = load_weights(&g, v), *gradient = tensor(NULL, v->params.floats);
  UsVitWork* work = us_vit_work_create(v, g.frames, 1);
  size_t count = (size_t)(g.frames * v->out_tokens * v->out_dim), n;
  float *output = calloc(count, sizeof(float)), *host = calloc(v->params.floats, sizeof(float));
  fetch(us_vit_forward(v, weights, work, g.pixels), output, count * sizeof(float));
  golden_compare(g.file, "golden.output", count, output, 1e-4);

  float* projection = golden_read(g.file, "golden.projection", &n);
  assert_int_equal(n, count);
  float* dy = tensor(projection, count);
  us_vit_backward(v, weights, work, dy, gradient);
  fetch(gradient, host, v->params.floats * sizeof(float));
  for (int i = 0; i < v->params.count; ++i) {
    const UsParam* p = &v->params.param[i];
    char tensor[US_TENSOR_NAME];
    snprintf(tensor, sizeof tensor, "gradient.%s", p->name);
    golden_compare(g.file, tensor, p->count, host + p->offset, 1e-3);
  }
  drop_tensors();
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

// ---- checkpoints ----

static const char* const checkpoint = "golden_vit.folder";

static const char* checkpoint_file(const char* name) {
  static char path[64];
  return us_path_join(path, sizeof path, checkpoint, name);
}

// Writes the golden file's checkpoint, without the golden answers and without the tensor `less`,
// and with a tensor `more` of 3 numbers. Nullable: less, more.
static void write_checkpoint(const Golden* g, const char* less, const char* more) {
  static const float three[3] = {1, 2, 3};
  UsTensorOut out[128];
  int n = 0;
  for (int i = 0; i < us_tensors_count(g->file); i++) {
    const char* name = us_tensors_name(g->file, i);
    if (strncmp(name, "dinov2.", 7) || (less && !strcmp(name, less))) continue;
    out[n] = (UsTensorOut){.name = name, .rank = us_tensors_rank(g->file, i)};
    memcpy(out[n].shape, us_tensors_shape(g->file, i), (size_t)out[n].rank * sizeof(int64_t));
    out[n++].data = golden_read(g->file, name, NULL);
  }
  int read = n;
  if (more) out[n++] = (UsTensorOut){more, 1, {3}, three};
  assert_int_equal(us_folder_make(checkpoint), US_OK);
  assert_int_equal(us_json_write(checkpoint_file("config.json"), g->json), US_OK);
  assert_int_equal(us_tensors_write(checkpoint_file("model.safetensors"), n, out, 0, NULL, NULL),
                   US_OK);
  for (int i = 0; i < read; i++) free((void*)out[i].data);
}

static void remove_checkpoint(void) {
  unlink(checkpoint_file("config.json"));
  unlink(checkpoint_file("model.safetensors"));
  unlink(checkpoint_file("decoder.safetensors"));
  rmdir(checkpoint);
}

static void check_encoder(const char* name) {
  Golden g = open_golden(name);
  UsEncoder* e;
  write_checkpoint(&g, NULL, NULL);
  if (us_encoder_open(checkpoint, test_device(), &e) != US_OK) fail_msg("%s", us_message());
  const UsEncoderInfo* info = us_encoder_info(e);
  size_t count = (size_t)(g.frames * info->tokens * info->dim);
  float* latents = calloc(count, sizeof(float));
  us_encoder_encode(e, g.frames, g.pixels, NULL, latents, NULL);
  golden_compare(g.file, "golden.output", count, latents, 1e-4);
  assert_int_equal(info->decoder, 0);  // no weights of one are there
  free(latents);
  us_encoder_destroy(e);
  remove_checkpoint();
  close_golden(&g);
}

static void test_encoder(void** state) {
  check_encoder("vit_plain");
  check_encoder("vit_registers");
  check_encoder("vit_head");
}

// Opens the checkpoint: `part` must be in the one line that refuses it; NULL: it must open.
static void opens(const char* part) {
  UsEncoder* e;
  UsStatus status = us_encoder_open(checkpoint, test_device(), &e);
  if (!part) {
    if (status != US_OK) fail_msg("%s", us_message());
    us_encoder_destroy(e);
    return;
  }
  if (status != US_FORMAT) fail_msg("expected to be refused for %s, found %d", part, status);
  assert_null(e);
  if (!strstr(us_message(), part)) fail_msg("\"%s\" is not in: %s", part, us_message());
  assert_non_null(strstr(us_message(), "model.safetensors: "));
  assert_null(strchr(us_message(), '\n'));
}

static void set(Golden* g, const char* key, cJSON* value) {
  cJSON_DeleteItemFromObject(g->json, key);
  if (value) cJSON_AddItemToObject(g->json, key, value);
}

// Every tensor of the file has its use, or is one that checkpoints are known to carry along.
static void test_tensors_without_use(void** state) {
  Golden g = open_golden("vit_registers");
  int layers = g.config.layers, registers = g.config.registers;
  static const char* const known[] = {"embeddings.mask_token", "classifier.weight",
                                      "dinov2.pooler.dense.bias"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    write_checkpoint(&g, NULL, known[i]);
    opens(NULL);
  }
  static const char* const foreign[] = {"extra",
                                        "dinov2.extra",
                                        "layernorm.weight",
                                        "classifier",
                                        "dinov2.encoder.layer.99.norm1.weight",
                                        "dinov2.embeddings.mask_token2",
                                        "dinov2.head.merge.bias"};
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    write_checkpoint(&g, NULL, foreign[i]);
    opens(foreign[i]);
  }
  write_checkpoint(&g, NULL, NULL);
  assert_int_equal(us_tensors_write(checkpoint_file("decoder.safetensors"), 0, NULL, 0, NULL, NULL),
                   US_OK);
  UsEncoder* e;
  assert_int_equal(us_encoder_open(checkpoint, test_device(), &e), US_FORMAT);
  assert_non_null(strstr(us_message(), "decoder.safetensors: expected none"));
  unlink(checkpoint_file("decoder.safetensors"));
  write_checkpoint(&g, NULL, "a\n\033[31m");
  opens("a\\n\\u001b[31m");

  set(&g, "num_register_tokens", cJSON_CreateNumber(0));
  write_checkpoint(&g, NULL, NULL);
  opens("dinov2.embeddings.register_tokens");
  set(&g, "num_register_tokens", cJSON_CreateNumber(registers + 1));
  write_checkpoint(&g, NULL, NULL);
  opens("dinov2.embeddings.register_tokens");
  set(&g, "num_register_tokens", cJSON_CreateNumber(registers));

  set(&g, "num_hidden_layers", cJSON_CreateNumber(layers - 1));
  write_checkpoint(&g, NULL, NULL);
  char name[64];
  snprintf(name, sizeof name, "dinov2.encoder.layer.%d.", layers - 1);
  opens(name);
  set(&g, "num_hidden_layers", cJSON_CreateNumber(layers + 1));
  write_checkpoint(&g, NULL, NULL);
  snprintf(name, sizeof name, "dinov2.encoder.layer.%d.", layers);
  opens(name);
  remove_checkpoint();
  close_golden(&g);
}

// The config says whether queries, keys and values have biases, and the file has them then alone.
static void test_biases(void** state) {
  Golden g = open_golden("vit_plain");
  static const char key[] = "dinov2.encoder.layer.0.attention.attention.key.bias";
  write_checkpoint(&g, key, NULL);
  opens(key);
  set(&g, "qkv_bias", cJSON_CreateFalse());
  write_checkpoint(&g, NULL, NULL);
  opens("dinov2.encoder.layer.0.attention.attention.");
  set(&g, "qkv_bias", cJSON_CreateTrue());
  write_checkpoint(&g, NULL, NULL);
  opens(NULL);
  remove_checkpoint();
  close_golden(&g);
}

// Weights whose latents are no use are refused, and a tensor with a NaN by its name.
static void test_broken_weights(void** state) {
  Golden g = open_golden("vit_plain");
  static const char gain[] = "dinov2.layernorm.weight";
  const float values[] = {1e9f, 3e38f, NAN, INFINITY};
  for (int i = 0; i < 4; i++) {
    UsTensors* t;
    void* bytes;
    size_t size;
    write_checkpoint(&g, NULL, NULL);
    const char* path = checkpoint_file("model.safetensors");
    assert_int_equal(us_file_read(path, 0, &bytes, &size), US_OK);
    assert_int_equal(us_tensors_open(path, &t), US_OK);
    size_t at = size;  // of the gain's numbers, counted from the end
    for (int k = us_tensors_count(t) - 1; k >= us_tensors_find(t, gain); k--) {
      at -= us_tensors_bytes(t, k);
    }
    us_tensors_close(t);
    memcpy((char*)bytes + at, &values[i], sizeof(float));
    assert_int_equal(us_file_write(path, bytes, size), US_OK);
    free(bytes);
    UsEncoder* e;
    assert_int_equal(us_encoder_open(checkpoint, test_device(), &e), US_FORMAT);
    assert_null(e);
    assert_non_null(strstr(us_message(), i < 2 ? "within 1e+06" : gain));
    assert_non_null(strstr(us_message(), checkpoint));
  }
  remove_checkpoint();
  close_golden(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),   cmocka_unit_test(test_registers),
      cmocka_unit_test(test_head),    cmocka_unit_test(test_positions),
      cmocka_unit_test(test_encoder), cmocka_unit_test(test_tensors_without_use),
      cmocka_unit_test(test_biases),  cmocka_unit_test(test_broken_weights),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
