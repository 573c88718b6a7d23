// Encoders: the table of kinds, opening, saving, hashing, and the loop over frames.

#include "worldmodel/encoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/lock.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/encoder/encoder_class.h"
#include "worldmodel/ops.h"

enum { kWorks = 256, kPath = 4096 };  // most works of one encoder; bytes of a path

// The tables of the kinds, in the order of the list.
static const UsEncoderClass* const kinds[] = {
#define X(name) &us_encoder_class_##name,
    US_ENCODERS(X)
#undef X
};

// The embedded default; absent from a library that was built without it.
extern const char us_asset_encoder_config_json[] __attribute__((weak));
extern const uint64_t us_asset_encoder_config_json_size __attribute__((weak));
extern const char us_asset_encoder_model[] __attribute__((weak));
extern const uint64_t us_asset_encoder_model_size __attribute__((weak));
extern const char us_asset_encoder_decoder[] __attribute__((weak));
extern const uint64_t us_asset_encoder_decoder_size __attribute__((weak));

// ---- making ----

// The kind of this name, or NULL.
static const UsEncoderClass* find_kind(const char* name) {
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    if (!strcmp(kinds[i]->name, name)) return kinds[i];
  }
  return NULL;
}

// Hands an encoder out, or frees it after a failure, whose status it returns.
static UsStatus keep(UsStatus status, UsEncoder* e, UsEncoder** out) {
  if (status == US_OK) {
    *out = e;
  } else {
    us_encoder_destroy(e);
  }
  return status;
}

int us_encoder_wide_tile(size_t rows, size_t bytes) {
  enum { kRows = 16384, kBytes = 64 << 20 };
  size_t most = kBytes / bytes < kRows / rows ? kBytes / bytes : kRows / rows;
  return most > 0 ? (int)most : 1;
}

static void drop_work(const UsEncoder* e, UsEncoderWork* w) {
  if (!w) return;
  if (w->own) e->kind->work_destroy(w->own);
  us_ops_free(e->device, w->latents);
  free(w);
}

// NULL when out of memory.
static UsEncoderWork* make_work(const UsEncoder* e) {
  UsEncoderWork* w = calloc(1, sizeof(*w));
  if (!w) return NULL;
  size_t count = (size_t)e->tile * (size_t)e->info.tokens * (size_t)e->info.dim;
  w->own = e->kind->work_create(e);
  w->latents = w->own ? us_ops_alloc(e->device, count) : NULL;
  if (w->latents) return w;
  drop_work(e, w);
  return NULL;
}

// An encoder without weights.
static UsStatus start(const UsEncoderClass* kind, const char* name, const cJSON* config,
                      UsDevice* device, UsEncoder** out) {
  *out = NULL;
  UsEncoder* e = calloc(1, sizeof(UsEncoder));
  if (!e) return us_fail(US_MEMORY, "%s: out of memory for an encoder", name);
  // The lock first, since destroy takes it away whatever else is there.
  pthread_mutex_init(&e->lock, NULL);
  pthread_cond_init(&e->change, NULL);
  e->kind = kind;
  e->device = device ? device : us_device_cpu();
  e->tile = 1;
  snprintf(e->info.kind, sizeof(e->info.kind), "%s", kind->name);
  // The kind reads its sizes from the config, and lays out the tensors that they ask for.
  UsStatus status = kind->parse(e, name, config);
  if (status == US_OK) {
    e->weights = us_ops_alloc(e->device, e->params->floats);
    // A wide device has one caller at a time.
    e->room = e->device->wide ? 1 : kWorks;
    e->idle = calloc((size_t)e->room, sizeof(*e->idle));
    if (!e->weights || !e->idle) {
      status = us_fail(US_MEMORY, "%s: out of memory for %zu weights", name, e->params->floats);
    }
  }
  return keep(status, e, out);
}

// Encodes a tile full of one made-up frame with the first work. Frames have the same latents at
// every place of a tile, or, where BLAS computes places differently, are taken one by one. A wide
// device gives a row the same bits wherever it is, so one frame says all. With `strict` these must
// be numbers that a predictor can take.
static UsStatus try_tile(UsEncoder* e, const char* name, int strict) {
  const UsEncoderInfo* info = &e->info;
  if (info->state) return US_OK;  // a linear map, whose numbers were checked when they were read
  size_t tile = e->device->wide ? 1 : (size_t)e->tile;
  if (!strict && tile == 1) return US_OK;
  // A frame of bytes that follow no pattern, as often as a tile has places.
  size_t bytes = (size_t)info->height * (size_t)info->width * 3;
  size_t count = (size_t)info->tokens * (size_t)info->dim;
  uint8_t* frames = malloc(tile * bytes);
  float* latents = malloc(tile * count * sizeof(float));
  UsStatus status = US_OK;
  if (!frames || !latents) status = us_fail(US_MEMORY, "%s: out of memory for a frame", name);
  if (status == US_OK) {
    for (size_t i = 0; i < tile * bytes; i++) {
      frames[i] = (uint8_t)(i % bytes * 37 + i % bytes / 191);
    }
    UsEncoderWork* w = e->idle[0];
    e->kind->encode(e, w->own, (int)tile, frames, NULL, w->latents);
    us_ops_get(e->device, w->latents, latents, tile * count);
    status = us_device_check(e->device, name);
    if (status == US_OK && strict) status = us_interrupt_check(name);
    if (us_interrupted()) e->tile = 1;  // nobody knows
  }
  // Every place against the first, bit for bit.
  for (size_t i = 1; status == US_OK && i < tile; i++) {
    if (memcmp(latents, latents + i * count, count * sizeof(float))) e->tile = 1;
  }
  // Numbers against the bound of what weights that are whole would give.
  for (size_t i = 0; status == US_OK && strict && i < count; i++) {
    if (fabsf(latents[i]) <= US_LATENT_MOST) continue;  // NaN goes on
    status = us_fail(US_FORMAT,
                     "%s: expected weights whose latents of a test frame are within %g, found %g",
                     name, (double)US_LATENT_MOST, (double)latents[i]);
  }
  free(frames);
  free(latents);
  return status;
}

// Takes the weights and the first work, tries both, and hashes. decoder is nullable; strict as
// above.
static UsStatus complete(UsEncoder* e, const char* name, const float* host, const float* decoder,
                         int strict) {
  // Weights, and those that draw pictures where there are any.
  us_ops_put(e->device, e->weights, host, e->params->floats);
  e->info.decoder = e->kind->draws;
  if (decoder && e->decoder_params) {
    e->decoder_weights = us_ops_alloc(e->device, e->decoder_params->floats);
    if (!e->decoder_weights) return us_fail(US_MEMORY, "%s: out of memory for a decoder", name);
    us_ops_put(e->device, e->decoder_weights, decoder, e->decoder_params->floats);
    e->info.decoder = 1;
  }
  // The first work, in the size that the tile has.
  for (int tile = 0; tile != e->tile;) {  // again where the tile turned out to be one frame
    tile = e->tile;
    if (e->made) drop_work(e, e->idle[0]);
    e->idle[0] = make_work(e);
    e->idle_count = e->made = e->idle[0] != NULL;
    if (!e->made) return us_fail(US_MEMORY, "%s: out of memory for an encoder's scratch", name);
    US_TRY(try_tile(e, name, strict));
  }
  // The hash, the same in memory and in a file: over the config as it would be saved and the
  // weights as they lie in a file.
  cJSON* config = e->kind->config(e);
  char* text = config ? cJSON_PrintUnformatted(config) : NULL;
  cJSON_Delete(config);
  if (!text) return us_fail(US_MEMORY, "%s: out of memory for a hash", name);
  const void* const data[] = {text, host};
  const size_t size[] = {strlen(text), e->params->floats * sizeof(float)};
  UsStatus status = us_hash_parts(name, 2, data, size, e->info.hash);
  cJSON_free(text);
  return status;
}

UsStatus us_encoder_assemble(const UsEncoderClass* kind, const char* name, const cJSON* config,
                             const float* host, const float* decoder, UsDevice* device,
                             UsEncoder** out) {
  UsEncoder* e;
  *out = NULL;
  US_TRY(start(kind, name, config, device, &e));
  return keep(complete(e, name, host, decoder, 0), e, out);
}

int us_encoder_reads(const char* kind) {
  const UsEncoderClass* k = find_kind(kind);
  return k ? k->reads : 0;
}

UsStatus us_encoder_make(const char* kind, const UsEncoderData* data, UsPool* pool,
                         UsDevice* device, UsEncoder** out) {
  *out = NULL;
  if (us_encoder_reads(kind)) return find_kind(kind)->make(data, pool, device, out);
  return us_fail(US_USAGE, "expected a kind that is made from data%s, found \"%s\"",
                 US_ENCODERS_MADE_TEXT, kind);
}

// ---- files ----

// The three parts of an encoder as they lie in files or in the library.
typedef struct Parts {
  cJSON* config;
  UsTensors* model;
  UsTensors* decoder;  // NULL: none
} Parts;

// The parts in the files of a folder, or of the one encoder that needs none.
static UsStatus open_parts(const char* folder, Parts* p) {
  char path[kPath];
  if (strcmp(folder, "default")) {
    US_TRY(us_folder_check(folder));
    US_TRY(us_json_read(us_path_join(path, sizeof(path), folder, "config.json"), &p->config));
    us_path_join(path, sizeof(path), folder, "model.safetensors");
    US_TRY(us_tensors_open(path, &p->model));
    us_path_join(path, sizeof(path), folder, "decoder.safetensors");
    return us_file_exists(path) ? us_tensors_open(path, &p->decoder) : US_OK;
  }
  // The parts that the library brings along.
  if (!us_asset_encoder_config_json || !us_asset_encoder_model) {
    return us_fail(US_IO, "default: this build has no embedded encoder (expected assets/encoder)");
  }
  US_TRY(us_json_parse("default/config.json", us_asset_encoder_config_json,
                       us_asset_encoder_config_json_size, &p->config));
  US_TRY(us_tensors_open_memory("default/model.safetensors", us_asset_encoder_model,
                                us_asset_encoder_model_size, &p->model));
  if (!us_asset_encoder_decoder) return US_OK;
  return us_tensors_open_memory("default/decoder.safetensors", us_asset_encoder_decoder,
                                us_asset_encoder_decoder_size, &p->decoder);
}

// An encoder of its parts, whose messages begin with `name`.
static UsStatus from_parts(const char* name, const Parts* p, UsDevice* device, UsEncoder** out) {
  // A config without our section is a DINOv2 checkpoint as people have it.
  const cJSON* own = cJSON_GetObjectItemCaseSensitive(p->config, "understudy");
  char word[32];
  UsEncoder* e;
  US_TRY(us_json_text(name, own, "kind", kinds[0]->name, word, sizeof(word)));
  const UsEncoderClass* kind = find_kind(word);
  if (!kind) return us_fail(US_FORMAT, "%s: unknown kind of encoder \"%s\"", name, word);
  US_TRY(start(kind, name, p->config, device, &e));
  // Room for the weights; a decoder that the kind has no use for is refused.
  float* host = calloc(e->params->floats, sizeof(float));
  float* decoder = NULL;
  UsStatus status = US_OK;
  if (p->decoder && !e->decoder_params) {
    status = us_fail(US_FORMAT, "%s: expected none, as this encoder makes no vector to draw from",
                     us_tensors_path(p->decoder));
  } else if (p->decoder) {
    decoder = calloc(e->decoder_params->floats, sizeof(float));
    if (!decoder) status = us_fail(US_MEMORY, "%s: out of memory for a decoder", name);
  }
  if (!host) status = us_fail(US_MEMORY, "%s: out of memory for weights", name);
  // Reading checks names and shapes: what a file has beyond them is refused.
  if (status == US_OK) status = kind->read(e, p->model, host);
  if (status == US_OK && decoder) {
    status = us_params_read(e->decoder_params, p->decoder, "", 0, decoder);
  }
  if (status == US_OK && decoder) {
    status = us_params_refuse_rest(e->decoder_params, p->decoder, "", 0, NULL);
  }
  if (status == US_OK) status = complete(e, name, host, decoder, 1);
  free(host);
  free(decoder);
  return keep(status, e, out);
}

UsStatus us_encoder_open(const char* path, UsDevice* device, UsEncoder** out) {
  *out = NULL;
  Parts parts = {0};
  UsStatus status = open_parts(path, &parts);
  if (status == US_OK) status = from_parts(path, &parts, device, out);
  // What was opened is closed, after failures too.
  cJSON_Delete(parts.config);
  us_tensors_close(parts.model);
  us_tensors_close(parts.decoder);
  return status;
}

// Writes the tensors of a list, from the device through ordinary memory.
static UsStatus save_list(const UsEncoder* e, const UsParamList* list, const float* weights,
                          const char* folder, const char* file) {
  char path[kPath];
  us_path_join(path, sizeof(path), folder, file);
  float* host = calloc(list->floats, sizeof(float));
  if (!host) return us_fail(US_MEMORY, "%s: out of memory for weights", path);
  us_ops_get(e->device, weights, host, list->floats);
  UsStatus status = us_params_write(list, path, host);
  free(host);
  return status;
}

UsStatus us_encoder_save(const UsEncoder* e, const char* folder) {
  UsLock* lock;
  char path[kPath];
  US_TRY(us_folder_make(folder));
  US_TRY(us_lock_join(folder, &lock));
  // The files of the folder, config first.
  cJSON* config = e->kind->config(e);
  us_path_join(path, sizeof(path), folder, "config.json");
  UsStatus status = config ? us_json_write(path, config)
                           : us_fail(US_MEMORY, "%s: out of memory for a config", folder);
  cJSON_Delete(config);
  if (status == US_OK) status = save_list(e, e->params, e->weights, folder, "model.safetensors");
  if (status == US_OK && e->decoder_weights) {
    status = save_list(e, e->decoder_params, e->decoder_weights, folder, "decoder.safetensors");
  }
  us_lock_release(lock);
  return status;
}

void us_encoder_destroy(UsEncoder* e) {
  if (!e) return;
  // All works are idle by now: a call in another thread would be an error of the program.
  for (int i = 0; i < e->idle_count; i++) drop_work(e, e->idle[i]);
  free(e->idle);
  us_ops_free(e->device, e->weights);
  us_ops_free(e->device, e->decoder_weights);
  e->kind->destroy(e);
  pthread_mutex_destroy(&e->lock);
  pthread_cond_destroy(&e->change);
  free(e);
}

const UsEncoderInfo* us_encoder_info(const UsEncoder* e) {
  return &e->info;
}

UsDevice* us_encoder_device(const UsEncoder* e) {
  return e->device;
}

// ---- frames ----

// A call over n frames: items are the works that could be had, each takes the next tile.
typedef struct Job {
  const UsEncoder* e;
  int n, step, next;  // step: frames of a tile
  const uint8_t* pixels;
  const double* states;
  float* latents;      // ordinary memory; NULL: to
  float* to;           // tensor memory
  const float* given;  // latents to decode, NULL: encode
  uint8_t* drawn;
  UsEncoderWork* work[kWorks];
} Job;

// One work takes tile after tile, or latent after latent, until there is none.
static void job_item(void* arg, int item, int worker) {
  Job* j = arg;
  const UsEncoder* e = j->e;
  const UsEncoderWork* w = j->work[item];
  const UsEncoderInfo* info = &e->info;
  size_t frame = (size_t)info->height * (size_t)info->width * 3;
  size_t latent = (size_t)info->tokens * (size_t)info->dim;
  while (!us_interrupted()) {
    int first = __atomic_fetch_add(&j->next, j->step, __ATOMIC_RELAXED);
    if (first >= j->n) return;
    size_t i = (size_t)first;
    if (j->given) {
      e->kind->decode(e, w->own, j->given + i * latent, j->drawn + i * frame);
      continue;
    }
    // To where it is wanted, or through the work to ordinary memory.
    int n = j->n - first < j->step ? j->n - first : j->step;
    float* to = j->to ? j->to + i * latent : w->latents;
    e->kind->encode(e, w->own, n, j->pixels ? j->pixels + i * frame : NULL,
                    j->states ? j->states + i * (size_t)info->state : NULL, to);
    if (j->latents) us_ops_get(e->device, to, j->latents + i * latent, (size_t)n * latent);
  }
}

static UsStatus run_job(Job* j, UsPool* pool) {
  if (j->n < 1) return US_OK;
  UsEncoder* e = (UsEncoder*)j->e;  // only the guarded list changes
  // As many works as threads can use, out of the idle ones, or made as memory allows; at least one.
  int wanted = us_pool_threads(pool), tiles = (j->n + j->step - 1) / j->step, works = 0;
  if (wanted > tiles) wanted = tiles;
  if (wanted > e->room) wanted = e->room;
  pthread_mutex_lock(&e->lock);
  while (works < wanted) {
    // An idle one is the cheapest.
    if (e->idle_count) {
      j->work[works++] = e->idle[--e->idle_count];
      continue;
    }
    // Else a new one, while there is memory; with one at hand the call goes on with that.
    UsEncoderWork* fresh = e->made < e->room ? make_work(e) : NULL;
    if (fresh) {
      e->made++;
      j->work[works++] = fresh;
    } else if (works) {
      break;
    } else {
      // Not even one: another call gives some back.
      pthread_cond_wait(&e->change, &e->lock);
    }
  }
  pthread_mutex_unlock(&e->lock);
  us_pool_run(e->device->wide ? NULL : pool, works, job_item, j);
  // Works go back, and those who wait for one wake.
  pthread_mutex_lock(&e->lock);
  for (int i = 0; i < works; i++) e->idle[e->idle_count++] = j->work[i];
  pthread_cond_broadcast(&e->change);
  pthread_mutex_unlock(&e->lock);
  const char* what = j->given ? "drawing latents" : "encoding frames";
  US_TRY(us_device_check(e->device, what));
  return us_interrupt_check(what);
}

// A kind reads frames or states; what it does not read may be missing.
static UsStatus encode(const UsEncoder* e, int n, const uint8_t* pixels, const double* states,
                       float* latents, float* to, UsPool* pool) {
  US_ASSERT(e->info.state ? states != NULL : pixels != NULL);
  Job j = {.e = e, .n = n, .step = e->tile, .latents = latents, .to = to};
  if (e->info.state) j.states = states;
  if (!e->info.state) j.pixels = pixels;
  return run_job(&j, pool);
}

UsStatus us_encoder_encode(const UsEncoder* e, int n, const uint8_t* pixels, const double* states,
                           float* latents, UsPool* pool) {
  return encode(e, n, pixels, states, latents, NULL, pool);
}

UsStatus us_encoder_encode_to(const UsEncoder* e, int n, const uint8_t* pixels,
                              const double* states, float* latents, UsPool* pool) {
  return encode(e, n, pixels, states, NULL, latents, pool);
}

UsStatus us_encoder_decode(const UsEncoder* e, int n, const float* latents, uint8_t* pixels,
                           UsPool* pool) {
  US_ASSERT(e->info.decoder);
  Job j = {.e = e, .n = n, .step = 1, .given = latents, .drawn = pixels};
  return run_job(&j, pool);
}
