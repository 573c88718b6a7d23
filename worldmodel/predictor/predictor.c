// The predictor's sizes, tensors, normalisation and files. Passes are in predictor_train.c and
// predictor_rollout.c.

#include "worldmodel/predictor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/file.h"
#include "worldmodel/ops/ops_table.h"
#include "worldmodel/predictor/predictor_inner.h"
#include "worldmodel/tensor_file.h"

enum { MOST_DIM = 8192 };     // most numbers of a token
enum { kSalt = 0x70726564 };  // keeps the first weights apart from those of other models of a seed

// ---- config ----

// Members of the config, in the order of the struct, with their range.
#define CONFIG_MEMBERS(X)        \
  X(grid_h, 1, 256)              \
  X(grid_w, 1, 256)              \
  X(dim, 1, MOST_DIM)            \
  X(width, 2, 8192)              \
  X(depth, 1, 256)               \
  X(heads, 1, 256)               \
  X(mlp, 1, 16)                  \
  X(context, 1, US_CONTEXT_MAX)  \
  X(block, 1, 1024)              \
  X(action, 0, 1024)             \
  X(action_hidden, 1, 8192)      \
  X(residual, 0, 1)              \
  X(past, 0, US_CONTEXT_MAX - 1) \
  X(leap, 1, US_LEAP_MAX)

UsPredictorConfig us_predictor_config_default(int grid_h, int grid_w, int dim, int block,
                                              int action) {
  UsPredictorConfig c = {
      .grid_h = grid_h, .grid_w = grid_w, .dim = dim, .block = block, .action = action};
#define X(type, name, preset, ...) c.name = preset;
  US_PREDICTOR_SETTINGS(X)
#undef X
  c.action_hidden = c.width;
  c.residual = 1;
  c.past = action > 0 ? c.context - 1 : 0;
  return c;
}

static UsStatus check(const char* name, const UsPredictorConfig* c) {
#define X(field, low, high)                                                                     \
  if (c->field < low || c->field > high)                                                        \
    return us_fail(US_FORMAT, "%s: predictor: expected " #field " in %d .. %d, found %d", name, \
                   low, high, c->field);
  CONFIG_MEMBERS(X)
#undef X
  // A target knows the frames of its context, so no more blocks than lie between them.
  if (c->past >= c->context) {
    return us_fail(US_FORMAT, "%s: predictor: expected past below context %d, found %d", name,
                   c->context, c->past);
  }
  // All tokens of the context are keys of one query.
  if (c->context * c->grid_h * c->grid_w > US_OPS_KEYS) {
    return us_fail(US_FORMAT, "%s: predictor: expected at most %d tokens in context, found %d",
                   name, US_OPS_KEYS, c->context * c->grid_h * c->grid_w);
  }
  // Rotary positions turn pairs of numbers within a head.
  if (c->width % (2 * c->heads) != 0) {
    return us_fail(US_FORMAT,
                   "%s: predictor: expected a width of a multiple of 2 heads, found %d for %d",
                   name, c->width, c->heads);
  }
  return US_OK;
}

cJSON* us_predictor_config_json(const UsPredictorConfig* c) {
  cJSON* json = cJSON_CreateObject();
#define X(field, low, high) cJSON_AddNumberToObject(json, #field, c->field);
  CONFIG_MEMBERS(X)
#undef X
  return json;
}

UsStatus us_predictor_config_parse(const char* name, const cJSON* json, UsPredictorConfig* out) {
  if (!cJSON_IsObject(json)) {
    return us_fail(US_FORMAT, "%s: expected an object \"predictor\", found none", name);
  }
  memset(out, 0, sizeof(*out));
  // Of files that do not know them.
  const UsPredictorConfig older = {.past = 0, .leap = 1};
#define X(field, low, high)                                                                  \
  US_TRY(us_json_int(name, json, #field, low, high,                                          \
                     strcmp(#field, "past") && strcmp(#field, "leap") ? NULL : &older.field, \
                     &out->field));
  CONFIG_MEMBERS(X)
#undef X
  return check(name, out);
}

// ---- tensors ----

// Appends the tensors in the order of the checkpoint.
static void layout(UsPredictor* p) {
  PREDICTOR_SIZES(&p->c);
  const int kMatrix = US_PARAM_DECAY | US_PARAM_NORMAL;
  const int kHead = p->c.residual ? US_PARAM_DECAY : kMatrix;
  PredictorOffsets* at = &p->at;
#define X(field, name, rows, columns, flags) \
  at->field = us_params_add(&p->list, "", name, flags, rows, columns, 0, 0);
  PREDICTOR_PARAMS(X)
  if (p->c.residual) {
    PREDICTOR_SEED_PARAMS(X)
  }
#undef X
  // The blocks, one behind the other; action blocks come last in each.
  for (int l = 0; l < n; l++) {
    PredictorBlock* block = &p->block[l];
    char prefix[32];
    snprintf(prefix, sizeof(prefix), "blocks.%d.", l);
#define X(field, name, rows, columns, flags) \
  block->field = us_params_add(&p->list, prefix, name, flags, rows, columns, 0, 0);
    PREDICTOR_BLOCK_PARAMS(X)
    if (p->c.action > 0) {
      PREDICTOR_ACTION_PARAMS(X)
    }
#undef X
  }
}

UsStatus us_predictor_create(const char* name, const UsPredictorConfig* config, UsPredictor** out) {
  *out = NULL;
  US_TRY(check(name, config));
  UsPredictor* p = calloc(1, sizeof(*p));
  if (!p) return us_fail(US_MEMORY, "%s: out of memory", name);
  p->c = *config;
  p->base = (UsWorldModel){.cls = &us_world_model_predictor,
                           .device = config->device ? config->device : us_device_cpu(),
                           .grid_h = config->grid_h,
                           .grid_w = config->grid_w,
                           .dim = config->dim,
                           .context = config->context,
                           .block = config->block,
                           .action = config->action,
                           .past = config->past,
                           .cache = predictor_cache(config)};
  p->base.wide = p->base.device->wide;
  // The list of tensors decides the size of the flat array.
  p->block = calloc((size_t)config->depth, sizeof(*p->block));
  if (p->block) layout(p);
  if (p->block && !p->list.failed) {
    p->params = us_ops_alloc(p->base.device, p->list.floats);
    p->norm = us_ops_alloc(p->base.device, 4 * (size_t)config->dim);
  }
  float* mean = calloc((size_t)config->dim, sizeof(float));
  if (!p->params || !p->norm || !mean) {
    free(mean);
    us_predictor_destroy(p);
    return us_fail(US_MEMORY, "%s: out of memory for a predictor", name);
  }
  us_predictor_set_norm(p, mean, 1);
  free(mean);
  p->base.tile = predictor_tile(p);
  *out = p;
  return US_OK;
}

void us_predictor_destroy(UsPredictor* p) {
  if (!p) return;
  us_params_free(&p->list);
  if (!p->moved) us_ops_free(p->base.device, p->params);
  us_ops_free(p->base.device, p->norm);
  free(p->block);
  free(p);
}

const UsPredictorConfig* us_predictor_config(const UsPredictor* p) {
  return &p->c;
}
UsWorldModel* us_predictor_model(const UsPredictor* p) {
  return (UsWorldModel*)&p->base;
}
const UsParamList* us_predictor_list(const UsPredictor* p) {
  return &p->list;
}
float* us_predictor_params(const UsPredictor* p) {
  return p->params;
}

void us_predictor_move(UsPredictor* p, float* params) {
  us_ops_copy(p->base.device, p->params, params, p->list.floats);
  if (!p->moved) us_ops_free(p->base.device, p->params);
  p->params = params;
  p->moved = 1;
}

UsStatus us_predictor_init(UsPredictor* p, uint64_t seed) {
  float* host = calloc(p->list.floats, sizeof(float));
  if (!host) return us_fail(US_MEMORY, "out of memory for %zu weights", p->list.floats);
  us_params_init(&p->list, seed, kSalt, host);
  us_ops_put(p->base.device, p->params, host, p->list.floats);
  free(host);
  return US_OK;
}

int us_predictor_adopt(UsPredictor* p, const UsPredictor* source) {
  // What only action blocks need may differ.
  UsPredictorConfig a = p->c, b = source->c;
  a.action = b.action = 0;
  a.block = b.block = 1;
  a.action_hidden = b.action_hidden = 1;
  a.past = b.past = 0;
  a.leap = b.leap = 1;
#define X(field, low, high) \
  if (a.field != b.field) return 0;
  CONFIG_MEMBERS(X)
#undef X
  // Everything else is copied by name.
  for (int i = 0; i < p->list.count; i++) {
    const UsParam* to = &p->list.param[i];
    const UsParam* from = us_params_find(&source->list, to->name);
    if ((to->flags & US_PARAM_ACTION) || !from) continue;
    us_ops_copy(p->base.device, source->params + from->offset, p->params + to->offset, to->count);
  }
  us_ops_copy(p->base.device, source->norm, p->norm, 4 * (size_t)p->c.dim);
  return 1;
}

// ---- normalisation and positions ----

void us_predictor_set_norm(UsPredictor* p, const float* mean, float scale) {
  US_ASSERT(scale > 0);
  float row[MOST_DIM];
  size_t d = (size_t)p->c.dim;
  for (size_t k = 0; k < 4; k++) {
    for (size_t i = 0; i < d; i++) {
      const float values[4] = {1 / scale, -mean[i] / scale, scale, mean[i]};
      row[i] = values[k];
    }
    us_ops_put(p->base.device, p->norm + k * d, row, d);
  }
}

void us_predictor_norm(const UsPredictor* p, float* mean, float* scale) {
  size_t d = (size_t)p->c.dim;
  us_ops_get(p->base.device, p->norm + 3 * d, mean, d);
  us_ops_get(p->base.device, p->norm + 2 * d, scale, 1);
}

int us_predictor_normalised(const UsPredictor* p) {
  float mean[MOST_DIM], scale;
  us_predictor_norm(p, mean, &scale);
  int other = scale < 1 || scale > 1;
  for (int i = 0; i < p->c.dim; i++) other |= fabsf(mean[i]) > 0;
  return other;
}

void us_predictor_normalise(const UsPredictor* p, int rows, const float* x, float* z) {
  us_ops_columns(p->base.device, rows, p->c.dim, x, p->norm, p->norm + p->c.dim, z);
}

void us_predictor_denormalise(const UsPredictor* p, int rows, const float* z, float* x) {
  us_ops_columns(p->base.device, rows, p->c.dim, z, p->norm + 2 * p->c.dim, p->norm + 3 * p->c.dim,
                 x);
}

// Cosine and sine for pair j of the n of an axis.
static void turn(double position, int j, int n, float* out) {
  double period = n > 1 ? pow(10, -2 + 4.0 * j / (n - 1)) : 1;
  double angle = 2 * M_PI * position / period;
  out[0] = (float)cos(angle);
  out[1] = (float)sin(angle);
}

void predictor_time_angles(const UsPredictorConfig* c, double time, float* out) {
  int pairs = predictor_pairs(c), first = pairs - 2 * (pairs / 3);
  for (int j = 0; j < first; j++) turn(time, j, first, out + 2 * j);
  for (int g = 1; g < predictor_tokens(c); g++) {
    memcpy(out + (size_t)g * (size_t)pairs * 2, out, (size_t)first * 2 * sizeof(float));
  }
}

void predictor_angles(const UsPredictorConfig* c, double time, float* out) {
  int pairs = predictor_pairs(c), space = pairs / 3, first = pairs - 2 * space;
  predictor_time_angles(c, time, out);
  for (int g = 0; g < predictor_tokens(c); g++) {
    float* row = out + (size_t)g * (size_t)pairs * 2;
    // Places of the grid in [-1, 1], turned behind the pairs of time.
    double y = (2.0 * (g / c->grid_w) + 1) / c->grid_h - 1;
    double x = (2.0 * (g % c->grid_w) + 1) / c->grid_w - 1;
    for (int j = 0; j < space; j++) {
      turn(y, j, space, row + 2 * (first + j));
      turn(x, j, space, row + 2 * (first + space + j));
    }
  }
}

double us_predictor_flops(const UsPredictor* p) {
  PREDICTOR_SIZES(&p->c);
  double block = 2.0 * w * w + 2.0 * w * h + 2.0 * w * d;
  if (p->c.action > 0) block += (double)u * j + (double)u * w;
  double ends = (double)w * d * (p->c.residual ? 2 : 1);
  return 2 * predictor_tokens(&p->c) * (n * block + ends);
}

// ---- files ----

UsStatus us_predictor_save(const UsPredictor* p, const char* path) {
  size_t d = (size_t)p->c.dim, floats = p->list.floats;
  int count = p->list.count;
  float* host = malloc((floats + d + 1) * sizeof(float));
  UsTensorOut* out = calloc((size_t)count + 2, sizeof(*out));
  UsStatus status = US_MEMORY;
  if (host && out) {
    us_ops_get(p->base.device, p->params, host, floats);
    us_predictor_norm(p, host + floats, host + floats + d);
    // Tensors by name, the normalisation behind them.
    for (int i = 0; i < count; i++) {
      const UsParam* param = &p->list.param[i];
      out[i] =
          (UsTensorOut){.name = param->name, .rank = param->rank, .data = host + param->offset};
      for (int k = 0; k < param->rank; k++) out[i].shape[k] = param->dim[k];
    }
    out[count] = (UsTensorOut){"mean", 1, {(int64_t)d}, host + floats};
    out[count + 1] = (UsTensorOut){"scale", 1, {1}, host + floats + d};
    status = us_device_check(p->base.device, path);
    if (status == US_OK) status = us_tensors_write(path, count + 2, out, 0, NULL, NULL);
  } else {
    us_fail(US_MEMORY, "%s: out of memory", path);
  }
  free(host);
  free(out);
  return status;
}

// Reads every tensor into host (floats, then mean, then scale).
static UsStatus read_all(const UsPredictor* p, const char* name, const UsTensors* t, float* host) {
  size_t d = (size_t)p->c.dim, floats = p->list.floats;
  static const char* const norm[] = {"mean", "scale", NULL};
  // Tensors of the list, then the normalisation; whatever else is in the file is refused.
  US_TRY(us_params_read(&p->list, t, "", 0, host));
  const int64_t dim = p->c.dim, one = 1;
  US_TRY(us_tensors_read(t, "mean", 1, &dim, host + floats));
  US_TRY(us_tensors_read(t, "scale", 1, &one, host + floats + d));
  if (!(host[floats + d] > 0)) {
    return us_fail(US_FORMAT, "%s: expected scale > 0, found %g", name, host[floats + d]);
  }
  return us_params_refuse_rest(&p->list, t, "", 0, norm);
}

// Weights whose prediction is not numbers that can be planned with are refused: what follows from
// fixed latents around the mean and from fixed actions, as the blocks give it and in raw numbers.
static UsStatus try_once(const UsPredictor* p, const char* name) {
  const UsPredictorConfig* c = &p->c;
  UsDevice* device = p->base.device;
  int rows = c->context * predictor_tokens(c), blocks = predictor_block(c);
  size_t one = (size_t)(predictor_tokens(c) * c->dim), all = one * (size_t)c->context;
  UsRolloutWork* m = us_predictor_work_create(p, 1, 1);
  float* context = us_ops_alloc(device, all + (size_t)blocks);  // latents (C, G, D), actions (K, A)
  float* out = us_ops_alloc(device, one);
  float* memory = us_ops_alloc(device, p->base.cache);
  float* host = calloc((all > 2 * one ? all : 2 * one) + (size_t)blocks, sizeof(float));
  UsStatus status = US_OK;
  if (m && context && out && memory && host) {
    double times[US_CONTEXT_MAX];
    float scale;
    for (int i = 0; i < c->context; i++) times[i] = 0.25 * i;
    for (int i = 0; i < blocks; i++) host[all + (size_t)i] = (float)(i % 5) / 2 - 1;
    // Latents that spread around the mean as real ones do, always the same.
    us_predictor_norm(p, host, &scale);  // the mean, which the rows behind it start from
    for (int i = rows * c->dim - 1; i >= 0; i--) {
      host[i] = host[i % c->dim] + scale * ((float)(i * 37 % 101) / 50 - 1);
    }
    us_ops_put(device, context, host, all + (size_t)blocks);
    // One predicted frame, in the model's numbers and in raw ones.
    us_predictor_normalise(p, rows, context, context);
    us_predictor_cache(p, m, 1, NULL, context, times, memory);
    const UsRollout task = {.slots = 1,
                            .samples = 1,
                            .contexts = context,
                            .caches = memory,
                            .step = 0.25,
                            .horizon = 1,
                            .actions = context + all,
                            .last = out};
    us_predictor_rollout(p, m, &task);
    us_ops_get(device, out, host, one);
    us_predictor_denormalise(p, predictor_tokens(c), out, out);
    us_ops_get(device, out, host + one, one);
  } else {
    status = us_fail(US_MEMORY, "%s: out of memory for a prediction", name);
  }
  // A number that is none fails the comparison as well.
  for (size_t i = 0; status == US_OK && i < 2 * one; i++) {
    if (fabsf(host[i]) <= US_PREDICTION_MOST) continue;  // NaN goes on
    status = us_fail(
        US_FORMAT, "%s: expected weights whose prediction from test latents is within %g, found %g",
        name, (double)US_PREDICTION_MOST, (double)host[i]);
  }
  us_predictor_work_destroy(m);
  us_ops_free(device, context);
  us_ops_free(device, out);
  us_ops_free(device, memory);
  free(host);
  return status;
}

// Takes over the open file t and closes it.
static UsStatus load(UsPredictor* p, const char* name, UsTensors* t) {
  size_t d = (size_t)p->c.dim, floats = p->list.floats;
  float* host = calloc(floats + d + 1, sizeof(float));
  UsStatus status =
      host ? read_all(p, name, t, host) : us_fail(US_MEMORY, "%s: out of memory", name);
  if (status == US_OK) {
    us_ops_put(p->base.device, p->params, host, floats);
    us_predictor_set_norm(p, host + floats, host[floats + d]);
    status = try_once(p, name);
  }
  free(host);
  us_tensors_close(t);
  return status;
}

UsStatus us_predictor_load(UsPredictor* p, const char* path) {
  UsTensors* t = NULL;
  US_TRY(us_tensors_open(path, &t));
  return load(p, path, t);
}

UsStatus us_predictor_load_bytes(UsPredictor* p, const char* name, const void* data, size_t size) {
  UsTensors* t = NULL;
  US_TRY(us_tensors_open_memory(name, data, size, &t));
  return load(p, name, t);
}
