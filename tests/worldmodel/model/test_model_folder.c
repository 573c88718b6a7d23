// Model folders: what is written is read again; whatever is missing, cut off or contradicts is
// refused in one line that names the file.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/toy.h"

static char folder[] = "/tmp/us_model_XXXXXX";

static const char* const files[] = {"config.json", "predictor.safetensors", "contexts.safetensors",
                                    "encoder/config.json", "encoder/model.safetensors"};
enum { kFiles = sizeof(files) / sizeof(files[0]) };

static int make(void** state) {
  const UsPredictorConfig c = toy_config();
  if (!mkdtemp(folder)) return 1;
  return toy_model(folder, &c, 7) != US_OK;
}

static int drop(void** state) {
  toy_remove(folder);
  return 0;
}

static void assert_refused(const char* file) {
  UsModel* m = (UsModel*)folder;
  UsStatus status = us_model_open(folder, NULL, &m);
  if (status == US_OK) fail_msg("%s: was not refused", file);
  assert_null(m);
  assert_non_null(strstr(us_message(), folder));
  assert_null(strchr(us_message(), '\n'));
}

static void test_round_trip(void** state) {
  UsModel* m;
  assert_int_equal(us_model_open(folder, NULL, &m), US_OK);
  const UsModelInfo* info = us_model_info(m);
  assert_string_equal(info->task, "toy");
  assert_int_equal(info->contexts, 7);
  assert_int_equal(info->block, kToyBlock);
  assert_int_equal(info->action, kToyAction);
  assert_true(info->dt == 0.25);
  assert_int_equal(strlen(info->hash), 64);
  UsRng r = us_rng(2, US_RNG_TEST, 0, 0, 0);
  float want[7 * 2 * kToyDim];
  us_rng_fill_normal(&r, want, 7 * 2 * kToyDim);
  assert_memory_equal(us_model_contexts(m), want, sizeof(want));

  UsPredictorConfig c = toy_config();
  UsPredictor* p = toy_predictor(&c);
  const UsParamList* list = us_predictor_list(p);
  float *a = malloc(list->floats * sizeof(float)), *b = malloc(list->floats * sizeof(float));
  us_ops_get(us_device_cpu(), us_predictor_params(p), a, list->floats);
  us_ops_get(us_device_cpu(), us_predictor_params(us_model_predictor(m)), b, list->floats);
  for (int i = 0; i < list->count; i++) {
    const UsParam* at = &list->param[i];
    assert_memory_equal(a + at->offset, b + at->offset, at->count * sizeof(float));
  }
  free(a);
  free(b);
  us_predictor_destroy(p);

  // Opened again it has the same hash; with other contexts another one.
  char hash[US_HASH_CHARS];
  memcpy(hash, info->hash, sizeof(hash));
  us_model_destroy(m);
  assert_int_equal(us_model_open(folder, NULL, &m), US_OK);
  assert_string_equal(us_model_info(m)->hash, hash);
  us_model_destroy(m);
  assert_int_equal(toy_model(folder, &c, 6), US_OK);
  assert_int_equal(us_model_open(folder, NULL, &m), US_OK);
  assert_string_not_equal(us_model_info(m)->hash, hash);
  us_model_destroy(m);
}

static void test_missing_or_truncated(void** state) {
  char path[256];
  for (int i = 0; i < kFiles; i++) {
    void* data;
    size_t size;
    us_path_join(path, sizeof(path), folder, files[i]);
    assert_int_equal(us_file_read(path, 0, &data, &size), US_OK);
    assert_int_equal(remove(path), 0);
    assert_refused(files[i]);
    const size_t cuts[] = {0, 1, 8, size / 2, size - 3};
    for (int k = 0; k < 5; k++) {
      assert_int_equal(us_file_write(path, data, cuts[k] < size ? cuts[k] : 0), US_OK);
      assert_refused(files[i]);
    }
    assert_int_equal(us_file_write(path, data, size), US_OK);
    free(data);
  }
  UsModel* m;
  assert_int_equal(us_model_open(folder, NULL, &m), US_OK);
  us_model_destroy(m);
}

// Every byte of config.json's structure may change; the folder opens or is refused, never worse.
static void test_mutated_config(void** state) {
  char path[256];
  void* data;
  size_t size;
  us_path_join(path, sizeof(path), folder, "config.json");
  assert_int_equal(us_file_read(path, 0, &data, &size), US_OK);
  char* text = data;
  static const char swaps[] = "9-{\"\n";
  for (size_t i = 0; i < size; i += 3) {
    char was = text[i];
    text[i] = swaps[i % (sizeof(swaps) - 1)];
    assert_int_equal(us_file_write(path, data, size), US_OK);
    UsModel* m;
    UsStatus status = us_model_open(folder, NULL, &m);
    assert_true((status == US_OK) == (m != NULL));
    us_model_destroy(m);
    text[i] = was;
  }
  assert_int_equal(us_file_write(path, data, size), US_OK);
  free(data);
}

// Sets a member of config.json (or of its object `in`), expects a refusal, puts the file back.
static void refuse_member(const char* in, const char* key, cJSON* value) {
  char path[256];
  cJSON* json;
  us_path_join(path, sizeof(path), folder, "config.json");
  void* data;
  size_t size;
  assert_int_equal(us_file_read(path, 0, &data, &size), US_OK);
  assert_int_equal(us_json_read(path, &json), US_OK);
  cJSON* object = in ? cJSON_GetObjectItemCaseSensitive(json, in) : json;
  assert_true(cJSON_ReplaceItemInObjectCaseSensitive(object, key, value));
  assert_int_equal(us_json_write(path, json), US_OK);
  cJSON_Delete(json);
  assert_refused(key);
  assert_int_equal(us_file_write(path, data, size), US_OK);
  free(data);
}

static void test_contradictions(void** state) {
  refuse_member(NULL, "format", cJSON_CreateString("something else"));
  refuse_member(NULL, "version", cJSON_CreateNumber(2));
  refuse_member(NULL, "encoder", cJSON_CreateString("0123"));
  refuse_member(NULL, "dt", cJSON_CreateNumber(0));
  refuse_member(NULL, "height", cJSON_CreateNumber(64));
  refuse_member("predictor", "dim", cJSON_CreateNumber(4));
  refuse_member("predictor", "grid_h", cJSON_CreateNumber(2));
  refuse_member("predictor", "width", cJSON_CreateNumber(31));
  refuse_member("predictor", "depth", cJSON_CreateNumber(3));
  refuse_member("predictor", "context", cJSON_CreateNumber(3));
  refuse_member("predictor", "action", cJSON_CreateNumber(0));
  refuse_member("predictor", "block", cJSON_CreateNumber(2));
  refuse_member("predictor", "residual", cJSON_CreateNumber(0));
}

// A folder may name its kind; one that nobody wrote is refused by its name.
static void test_kind(void** state) {
  char path[256];
  void* data;
  size_t size;
  us_path_join(path, sizeof(path), folder, "config.json");
  assert_int_equal(us_file_read(path, 0, &data, &size), US_OK);
  static const char* const named[] = {"predictor", "crystal"};
  for (int i = 0; i < 2; i++) {
    cJSON* json;
    UsModel* m;
    assert_int_equal(us_json_read(path, &json), US_OK);
    cJSON_DeleteItemFromObjectCaseSensitive(json, "kind");
    cJSON_AddStringToObject(json, "kind", named[i]);
    assert_int_equal(us_json_write(path, json), US_OK);
    cJSON_Delete(json);
    assert_int_equal(us_model_open(folder, NULL, &m), i ? US_FORMAT : US_OK);
    if (i == 0) assert_ptr_equal(us_model_world(m)->cls, &us_world_model_predictor);
    us_model_destroy(m);
  }
  assert_non_null(strstr(us_message(), "unknown kind of world model \"crystal\""));
  assert_int_equal(us_file_write(path, data, size), US_OK);
  free(data);
}

static void test_pretrained(void** state) {
  char dir[] = "/tmp/us_model_XXXXXX", path[256], hash[US_HASH_CHARS];
  assert_non_null(mkdtemp(dir));
  UsPredictorConfig c = toy_config();
  c.action = 0;
  UsPredictor *p = toy_predictor(&c), *q;
  assert_int_equal(us_pretrained_save(dir, p, "abc", NULL), US_OK);
  assert_int_equal(us_pretrained_open(dir, NULL, &q, hash), US_OK);
  assert_string_equal(hash, "abc");
  assert_memory_equal(us_predictor_config(q), &c, offsetof(UsPredictorConfig, past) + sizeof(int));
  us_predictor_destroy(q);
  remove(us_path_join(path, sizeof(path), dir, "model.safetensors"));
  assert_int_not_equal(us_pretrained_open(dir, NULL, &q, hash), US_OK);
  assert_null(q);
  UsModel* m;
  assert_int_equal(us_model_open(dir, NULL, &m), US_FORMAT);
  us_predictor_destroy(p);
  toy_remove(dir);
}

// A path so long that no name of a file fits behind it.
static void test_long_path(void** state) {
  char long_path[4091] = "", hash[US_HASH_CHARS];
  memset(long_path, 'x', sizeof(long_path) - 1);
  UsModel* m;
  UsPredictor* p;
  UsEncoder* e;
  assert_int_equal(us_model_open(long_path, NULL, &m), US_IO);
  assert_int_equal(us_pretrained_open(long_path, NULL, &p, hash), US_IO);
  assert_int_equal(us_encoder_open(long_path, NULL, &e), US_IO);
  const UsPredictorConfig c = toy_config();
  UsPredictor* toy = toy_predictor(&c);
  assert_int_equal(us_pretrained_save(long_path, toy, "abc", NULL), US_IO);
  assert_non_null(strstr(us_message(), "expected a folder's path of at most"));
  us_predictor_destroy(toy);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_missing_or_truncated),
      cmocka_unit_test(test_mutated_config), cmocka_unit_test(test_contradictions),
      cmocka_unit_test(test_kind),           cmocka_unit_test(test_pretrained),
      cmocka_unit_test(test_long_path),
  };
  return cmocka_run_group_tests(tests, make, drop);
}
