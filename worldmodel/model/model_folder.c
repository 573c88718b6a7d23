// Model folders: written file by file, config.json last; read with every size checked against the
// others.

#include "worldmodel/model_folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worldmodel/base/lock.h"
#include "worldmodel/ops.h"
#include "worldmodel/tensor_file.h"

enum { kVersion = 1, kPath = 4096, kContextsMost = 1 << 20 };

// The kinds in the order of the list.
static const UsWorldModelClass* const kinds[] = {
#define X(kind) &us_world_model_##kind,
    US_WORLD_MODELS(X)
#undef X
};

static const char success_file[] = "success.safetensors";
static const char format_model[] = "understudy model", format_pretrained[] = "understudy predictor";

// The pretrained predictor in assets/predictor, when the library was built with one.
extern const unsigned char us_asset_predictor_config_json[] __attribute__((weak));
extern const uint64_t us_asset_predictor_config_json_size __attribute__((weak));
extern const unsigned char us_asset_predictor_model[] __attribute__((weak));
extern const uint64_t us_asset_predictor_model_size __attribute__((weak));

// An open folder.
struct UsModel {
  UsModelInfo info;
  UsWorldModel* world;
  UsEncoder* encoder;
  float* contexts;  // (n, C, G, D)
  float* past;      // (n, past, K, A)
  float* metric;    // (G, D) tensor memory. NULL: all 1
  UsSuccessHead* success;
};

const UsModelInfo* us_model_info(const UsModel* m) {
  return &m->info;
}
const UsWorldModel* us_model_world(const UsModel* m) {
  return m->world;
}
const UsPredictor* us_model_predictor(const UsModel* m) {
  return m->world->cls == &us_world_model_predictor ? (const UsPredictor*)m->world : NULL;
}
const UsEncoder* us_model_encoder(const UsModel* m) {
  return m->encoder;
}
const float* us_model_contexts(const UsModel* m) {
  return m->contexts;
}

const float* us_model_past(const UsModel* m) {
  return m->past;
}
const UsSuccessHead* us_model_success(const UsModel* m) {
  return m->success;
}

// Half-opened folders are closed by it too.
void us_model_destroy(UsModel* m) {
  if (!m) return;
  if (m->world) us_ops_free(m->world->device, m->metric);
  if (m->world) m->world->cls->destroy(m->world);
  us_encoder_destroy(m->encoder);
  us_success_destroy(m->success);
  free(m->contexts);
  free(m->past);
  free(m);
}

// ---- reading ----

// Format and version, before anything else is believed.
static UsStatus check_format(const char* path, const cJSON* json, const char* format) {
  char found[64];
  int version;
  US_TRY(us_json_text(path, json, "format", NULL, found, sizeof(found)));
  if (strcmp(found, format) != 0) {
    return us_fail(US_FORMAT, "%s: expected the format \"%s\", found \"%s\"", path, format, found);
  }
  US_TRY(us_json_int(path, json, "version", 0, 1 << 30, NULL, &version));
  if (version != kVersion) {
    return us_fail(US_FORMAT, "%s: expected version %d, found %d", path, kVersion, version);
  }
  return US_OK;
}

// Encoder and world model must speak of the same tokens and frames.
static UsStatus check_encoder(const char* folder, const UsModel* m, const char* hash) {
  const UsEncoderInfo* e = us_encoder_info(m->encoder);
  const UsWorldModel* c = m->world;
  if (strcmp(e->hash, hash) != 0) {
    return us_fail(US_FORMAT, "%s/encoder: expected the encoder %.12s of config.json, found %.12s",
                   folder, hash, e->hash);
  }
  if (e->grid_h != c->grid_h || e->grid_w != c->grid_w || e->dim != c->dim) {
    return us_fail(
        US_FORMAT,
        "%s: expected tokens of %d x %d places and %d numbers as the world model has them, "
        "found an encoder of %d x %d and %d",
        folder, c->grid_w, c->grid_h, c->dim, e->grid_w, e->grid_h, e->dim);
  }
  if (e->height != m->info.height || e->width != m->info.width) {
    return us_fail(US_FORMAT, "%s: expected frames of %d x %d, found an encoder for %d x %d",
                   folder, m->info.width, m->info.height, e->width, e->height);
  }
  return US_OK;
}

// The start contexts and the actions that led through them.
static UsStatus read_contexts(const char* path, UsModel* m) {
  const UsWorldModel* c = m->world;
  UsTensors* t = NULL;
  US_TRY(us_tensors_open(path, &t));
  const int64_t shape[4] = {-1, c->context, c->grid_h * c->grid_w, c->dim};
  // Their number is the file's, all other sizes are the model's.
  int i = us_tensors_find(t, "contexts");
  size_t one = (size_t)(shape[1] * shape[2] * shape[3]);
  size_t count = i < 0 || us_tensors_rank(t, i) != 4 ? 0 : (size_t)us_tensors_shape(t, i)[0];
  UsStatus status = US_OK;
  if (count < 1 || count > kContextsMost) {
    status = us_fail(US_FORMAT, "%s: expected \"contexts\" of 4 dimensions and 1 .. %d rows", path,
                     kContextsMost);
  } else if (us_tensors_elements(t, i) != count * one) {
    status = us_fail(US_FORMAT, "%s: expected contexts of %d x %d x %d numbers, found others", path,
                     (int)shape[1], (int)shape[2], (int)shape[3]);
  } else if (!(m->contexts = malloc(count * one * sizeof(float)))) {
    status = us_fail(US_MEMORY, "%s: out of memory", path);
  } else {
    status = us_tensors_read(t, "contexts", 4, shape, m->contexts);
    m->info.contexts = (int)count;
  }
  // As many past blocks as contexts.
  if (status == US_OK && c->past > 0) {
    const int64_t blocks[4] = {(int64_t)count, c->past, c->block, c->action};
    m->past = malloc(count * (size_t)(c->past * c->block * c->action) * sizeof(float));
    status = m->past ? us_tensors_read(t, "past", 4, blocks, m->past)
                     : us_fail(US_MEMORY, "%s: out of memory", path);
  }
  us_tensors_close(t);
  return status;
}

// The metric, as model_folder.h has it, from the start contexts.
static UsStatus make_metric(const char* path, UsModel* m) {
  const size_t d = (size_t)m->world->dim, all = (size_t)(m->world->grid_h * m->world->grid_w) * d;
  const size_t rows = (size_t)m->info.contexts * (size_t)m->world->context * all / d;
  if (!(m->info.whiten > 0)) return US_OK;
  double* v = calloc(d, sizeof(*v));
  float* metric = calloc(all, sizeof(*metric));
  m->metric = us_ops_alloc(m->world->device, all);
  const int made = v && metric && m->metric;
  // Variances.
  double sum = 0, weighted = 0;
  for (size_t k = 0; made && k < d; k++) {
    double mean = 0;
    for (size_t r = 0; r < rows; r++) mean += (double)m->contexts[r * d + k] / (double)rows;
    for (size_t r = 0; r < rows; r++) {
      double e = (double)m->contexts[r * d + k] - mean;
      v[k] += e * e / (double)rows;
    }
    sum += v[k];
  }
  // Weights; contexts that are all the same tell nothing. Then all to the scale of the plain
  // distance, place after place.
  for (size_t k = 0; made && k < d; k++) {
    metric[k] = sum > 0 ? (float)pow(fmax(v[k] * (double)d / sum, 1e-3), -m->info.whiten) : 1;
    weighted += (double)metric[k] * v[k];
  }
  for (size_t k = 0; made && k < d && sum > 0; k++) metric[k] *= (float)(sum / weighted);
  for (size_t i = d; made && i < all; i++) metric[i] = metric[i - d];
  if (made) us_ops_put(m->world->device, m->metric, metric, all);
  free(v);
  free(metric);
  if (!made) return us_fail(US_MEMORY, "%s: out of memory", path);
  m->world->metric = m->metric;
  return US_OK;
}

// The weights' path in a folder.
static const char* weights_path(const char* folder, const UsWorldModelClass* cls,
                                char path[kPath]) {
  char file[64];
  snprintf(file, sizeof(file), "%s.safetensors", cls->kind);
  return us_path_join(path, kPath, folder, file);
}

// Opens part by part, each checked against those before.
static UsStatus open_parts(const char* folder, const cJSON* json, const char* config_path,
                           UsDevice* device, UsModel* m) {
  enum { kHex = US_HASH_CHARS - 1 };
  char path[kPath], encoder[US_HASH_CHARS], kind[32], all[5 * US_HASH_CHARS] = "";
  const double plain = 0;
  UsModelInfo* info = &m->info;
  // What every kind's config has.
  US_TRY(check_format(config_path, json, format_model));
  US_TRY(us_json_text(config_path, json, "task", NULL, info->task, sizeof(info->task)));
  US_TRY(us_json_number(config_path, json, "dt", 1e-6, 1e3, NULL, &info->dt));
  US_TRY(us_json_int(config_path, json, "height", 0, 16384, NULL, &info->height));
  US_TRY(us_json_int(config_path, json, "width", 0, 16384, NULL, &info->width));
  US_TRY(us_json_text(config_path, json, "camera", "", info->camera, sizeof(info->camera)));
  US_TRY(us_json_text(config_path, json, "camera_pose", "", info->camera_pose,
                      sizeof(info->camera_pose)));
  US_TRY(us_json_text(config_path, json, "encoder", NULL, encoder, US_HASH_CHARS));
  US_TRY(us_json_text(config_path, json, "kind", kinds[0]->kind, kind, sizeof(kind)));
  // The table of the kind that it names, and by it the model itself.
  const UsWorldModelClass* cls = NULL;
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    if (strcmp(kind, kinds[i]->kind) == 0) cls = kinds[i];
  }
  if (!cls) {
    return us_fail(US_FORMAT, "%s: unknown kind of world model \"%s\"", config_path, kind);
  }
  const cJSON* sizes = cJSON_GetObjectItemCaseSensitive(json, cls->kind);
  US_TRY(cls->open(config_path, sizes, weights_path(folder, cls, path), device, &m->world));
  if (m->world->action == 0) {
    return us_fail(US_FORMAT, "%s: expected a %s with actions, found one without", config_path,
                   cls->kind);
  }
  info->block = m->world->block;
  info->action = m->world->action;
  // Its encoder and its start contexts.
  US_TRY(us_encoder_open(us_path_join(path, sizeof(path), folder, "encoder"), device, &m->encoder));
  US_TRY(check_encoder(folder, m, encoder));
  US_TRY(read_contexts(us_path_join(path, sizeof(path), folder, "contexts.safetensors"), m));
  US_TRY(us_json_number(config_path, json, "whiten", 0, 1, &plain, &info->whiten));
  US_TRY(make_metric(config_path, m));
  // A head, where the folder has one.
  const int head = us_file_exists(us_path_join(path, sizeof(path), folder, success_file));
  if (head) {
    US_TRY(us_success_open(path, m->world->grid_h * m->world->grid_w, m->world->dim, device,
                           &m->success));
    US_TRY(us_hash_file(path, all + (size_t)4 * kHex));
  }
  // Its hash: hex digits of all files and the encoder's, one behind the other, hashed again.
  US_TRY(us_hash_file(config_path, all));
  US_TRY(us_hash_file(weights_path(folder, cls, path), all + kHex));
  us_path_join(path, sizeof(path), folder, "contexts.safetensors");
  US_TRY(us_hash_file(path, all + (size_t)2 * kHex));
  memcpy(all + (size_t)3 * kHex, encoder, kHex);
  us_hash_bytes(all, (size_t)(4 + head) * kHex, info->hash);
  return US_OK;
}

UsStatus us_model_open(const char* folder, UsDevice* device, UsModel** out) {
  *out = NULL;
  char path[kPath];
  // Whatever fails, nothing stays open.
  cJSON* json = NULL;
  US_TRY(us_folder_check(folder));
  US_TRY(us_json_read(us_path_join(path, sizeof(path), folder, "config.json"), &json));
  UsModel* m = calloc(1, sizeof(*m));
  UsStatus status = m ? open_parts(folder, json, path, device, m)
                      : us_fail(US_MEMORY, "%s: out of memory", folder);
  cJSON_Delete(json);
  if (status != US_OK) {
    us_model_destroy(m);
    return status;
  }
  *out = m;
  return US_OK;
}

// ---- writing ----

// What both formats of config.json begin with; the first kind goes without saying.
static cJSON* config_start(const char* format, const UsWorldModel* m, const char* encoder,
                           const cJSON* training) {
  cJSON* json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "format", format);
  cJSON_AddNumberToObject(json, "version", kVersion);
  cJSON_AddStringToObject(json, "encoder", encoder);
  if (m->cls != kinds[0]) cJSON_AddStringToObject(json, "kind", m->cls->kind);
  cJSON_AddItemToObject(json, m->cls->kind, m->cls->config(m));
  if (training) cJSON_AddItemToObject(json, "training", cJSON_Duplicate(training, 1));
  return json;
}

// Writes and frees a config.
static UsStatus write_config(const char* folder, cJSON* json) {
  char path[kPath];
  UsStatus status = us_json_write(us_path_join(path, sizeof(path), folder, "config.json"), json);
  cJSON_Delete(json);
  return status;
}

// Encoder, weights, contexts, a head, and config.json last: with it the folder is whole.
static UsStatus save_model(const char* folder, const UsModelParts* parts) {
  char path[kPath];
  const UsWorldModel* c = parts->model;
  const UsEncoderInfo* e = us_encoder_info(parts->encoder);
  US_TRY(us_folder_make(us_path_join(path, sizeof(path), folder, "encoder")));
  US_TRY(us_encoder_save(parts->encoder, path));
  US_TRY(c->cls->save(c, weights_path(folder, c->cls, path)));
  US_ASSERT(c->past == 0 || parts->past);
  // Contexts, and past blocks where the model reads them.
  const UsTensorOut contexts[2] = {
      {.name = "contexts",
       .rank = 4,
       .shape = {parts->contexts, c->context, c->grid_h * c->grid_w, c->dim},
       .data = parts->context},
      {.name = "past",
       .rank = 4,
       .shape = {parts->contexts, c->past, c->block, c->action},
       .data = parts->past}};
  us_path_join(path, sizeof(path), folder, "contexts.safetensors");
  US_TRY(us_tensors_write(path, c->past > 0 ? 2 : 1, contexts, 0, NULL, NULL));
  us_path_join(path, sizeof(path), folder, success_file);
  if (parts->success) US_TRY(us_success_save(parts->success, path));
  if (!parts->success) unlink(path);  // of a model that was here before
  cJSON* json = config_start(format_model, c, e->hash, parts->training);
  cJSON_AddStringToObject(json, "task", parts->task);
  cJSON_AddNumberToObject(json, "dt", parts->dt);
  cJSON_AddNumberToObject(json, "height", e->height);
  cJSON_AddNumberToObject(json, "width", e->width);
  if (parts->whiten > 0) cJSON_AddNumberToObject(json, "whiten", parts->whiten);
  if (parts->camera) cJSON_AddStringToObject(json, "camera", parts->camera);
  if (parts->camera_pose) cJSON_AddStringToObject(json, "camera_pose", parts->camera_pose);
  if (parts->robot_path) cJSON_AddStringToObject(json, "robot_path", parts->robot_path);
  return write_config(folder, json);
}

UsStatus us_model_save(const char* folder, const UsModelParts* parts) {
  // One writer at a time; a trainer that holds the folder shares its lock.
  UsLock* lock;
  US_TRY(us_folder_make(folder));
  US_TRY(us_lock_join(folder, &lock));
  UsStatus status = save_model(folder, parts);
  us_lock_release(lock);
  return status;
}

// ---- pretrained predictors ----

// The config of a folder, or with "default" of the one that the library carries, when it was built
// with one; path names the config in messages.
static UsStatus read_pretrained(const char* folder, char path[kPath], cJSON** json) {
  snprintf(path, kPath, "assets/predictor");
  if (strcmp(folder, "default") != 0) {
    US_TRY(us_folder_check(folder));
    return us_json_read(us_path_join(path, kPath, folder, "config.json"), json);
  }
  if (!&us_asset_predictor_config_json_size || !&us_asset_predictor_model_size) {
    return us_fail(US_IO, "%s: this build has no pretrained predictor", path);
  }
  return us_json_parse(path, (const char*)us_asset_predictor_config_json,
                       us_asset_predictor_config_json_size, json);
}

UsStatus us_pretrained_training(const char* folder, cJSON** out) {
  char path[kPath];
  cJSON* json = NULL;
  *out = NULL;
  US_TRY(read_pretrained(folder, path, &json));
  *out = cJSON_DetachItemFromObjectCaseSensitive(json, "training");
  cJSON_Delete(json);
  return US_OK;
}

UsStatus us_pretrained_open(const char* folder, UsDevice* device, UsPredictor** out,
                            char encoder[US_HASH_CHARS]) {
  *out = NULL;
  cJSON* json = NULL;
  char path[kPath];
  const int carried = strcmp(folder, "default") == 0;
  US_TRY(read_pretrained(folder, path, &json));
  // Sizes from the config, weights that fit them.
  UsPredictorConfig c;
  UsStatus status = check_format(path, json, format_pretrained);
  if (status == US_OK) status = us_json_text(path, json, "encoder", NULL, encoder, US_HASH_CHARS);
  const cJSON* sizes = cJSON_GetObjectItemCaseSensitive(json, "predictor");
  if (status == US_OK) status = us_predictor_config_parse(path, sizes, &c);
  c.device = device;
  if (status == US_OK) status = us_predictor_create(path, &c, out);
  cJSON_Delete(json);
  if (status == US_OK && carried) {
    status = us_predictor_load_bytes(*out, path, us_asset_predictor_model,
                                     us_asset_predictor_model_size);
  } else if (status == US_OK) {
    us_path_join(path, sizeof(path), folder, "model.safetensors");
    status = us_predictor_load(*out, path);
  }
  if (status != US_OK) {
    us_predictor_destroy(*out);
    *out = NULL;
  }
  return status;
}

UsStatus us_pretrained_save(const char* folder, const UsPredictor* p, const char* encoder,
                            const cJSON* training) {
  char path[kPath];
  UsLock* lock;
  US_TRY(us_folder_make(folder));
  US_TRY(us_lock_join(folder, &lock));
  // Weights, and config.json last, as with a model's folder.
  us_path_join(path, sizeof(path), folder, "model.safetensors");
  UsStatus status = us_predictor_save(p, path);
  if (status == US_OK) {
    status = write_config(
        folder, config_start(format_pretrained, us_predictor_model(p), encoder, training));
  }
  us_lock_release(lock);
  return status;
}
