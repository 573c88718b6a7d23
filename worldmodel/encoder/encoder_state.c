// The `state` kind: z = (x - mean) / std for every dimension that varies.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/encoder/encoder_class.h"
#include "worldmodel/ops.h"

typedef struct State {
  UsParamList params;
  size_t mean, scale;  // offsets of (S) each
  uint8_t* keep;       // (S): 1 where the dimension varies
} State;

typedef struct Work {
  UsDevice* device;
  int* keep;       // (D) places of the numbers that are kept; tensor memory, as the states
  double* states;  // (tile, S)
} Work;

// Size of the state, and which of its numbers vary.
static UsStatus parse(UsEncoder* e, const char* name, const cJSON* config) {
  const cJSON* own = cJSON_GetObjectItemCaseSensitive(config, "understudy");
  State* s = calloc(1, sizeof(State));
  if (!s) return us_fail(US_MEMORY, "%s: out of memory for an encoder", name);
  e->self = s;
  US_TRY(us_json_int(name, own, "state", 1, 1 << 20, NULL, &e->info.state));
  const cJSON* keep = cJSON_GetObjectItemCaseSensitive(own, "dimensions");
  s->keep = calloc((size_t)e->info.state, 1);
  if (!s->keep) return us_fail(US_MEMORY, "%s: out of memory for an encoder", name);
  // The places of the numbers that are kept; others are constant in the data.
  const cJSON* x;
  cJSON_ArrayForEach(x, keep) {
    uint64_t i;
    if (!us_json_whole(x, &i) || i >= (uint64_t)e->info.state) {
      return us_fail(US_FORMAT, "%s: expected \"dimensions\" of 0 .. %d", name, e->info.state - 1);
    }
    s->keep[i] = 1;
  }
  for (int i = 0; i < e->info.state; i++) e->info.dim += s->keep[i];
  if (!e->info.dim) return us_fail(US_FORMAT, "%s: expected at least one of \"dimensions\"", name);
  // A state is one token of the kept numbers.
  if (e->device->wide) e->tile = us_encoder_wide_tile(1, (size_t)e->info.state * sizeof(double));
  e->info.tokens = e->info.grid_h = e->info.grid_w = 1;
  s->mean = us_params_add(&s->params, "", "state.mean", 0, e->info.state, 0, 0, 0);
  s->scale = us_params_add(&s->params, "", "state.scale", 0, e->info.state, 0, 0, 0);
  e->params = &s->params;
  return s->params.failed ? us_fail(US_MEMORY, "%s: out of memory for an encoder", name) : US_OK;
}

// The config of a state with these numbers kept; no more of the encoder need be there.
static cJSON* config_json(const UsEncoder* e) {
  cJSON* json = cJSON_CreateObject();
  cJSON* own = cJSON_AddObjectToObject(json, "understudy");
  cJSON_AddStringToObject(own, "kind", "state");
  cJSON_AddNumberToObject(own, "state", e->info.state);
  cJSON* list = cJSON_AddArrayToObject(own, "dimensions");
  for (int i = 0; i < e->info.state; i++) {
    if (((State*)e->self)->keep[i]) cJSON_AddItemToArray(list, cJSON_CreateNumber(i));
  }
  return json;
}

// Reads the tensors; a scale is 0 for what is dropped, else above 0 and finite both ways.
static UsStatus read_weights(UsEncoder* e, const UsTensors* file, float* host) {
  const float* scale = host + ((State*)e->self)->scale;
  US_TRY(us_params_read(e->params, file, "", 0, host));
  for (int i = 0; i < e->info.state; i++) {
    if (scale[i] == 0 || (scale[i] > 0 && isfinite(1 / scale[i]))) continue;
    return us_fail(US_FORMAT, "%s: expected numbers from 0 on in \"state.scale\", found %g",
                   us_tensors_path(file), (double)scale[i]);
  }
  return us_params_refuse_rest(e->params, file, "", 0, NULL);
}

static void work_destroy(void* work) {
  Work* k = work;
  us_ops_free(k->device, k->keep);
  us_ops_free(k->device, k->states);
  free(k);
}

static void* work_create(const UsEncoder* e) {
  const State* s = e->self;
  Work* k = calloc(1, sizeof(Work));
  int* keep = malloc((size_t)e->info.dim * sizeof(int));  // the places of what is kept
  if (k) {
    k->device = e->device;
    k->keep = us_ops_alloc_bytes(e->device, (size_t)e->info.dim * sizeof(int));
    k->states =
        us_ops_alloc_bytes(e->device, (size_t)e->tile * (size_t)e->info.state * sizeof(double));
  }
  if (keep && k && k->keep && k->states) {
    for (int i = 0, d = 0; i < e->info.state; i++) {
      if (s->keep[i]) keep[d++] = i;
    }
    us_ops_put_bytes(e->device, k->keep, keep, (size_t)e->info.dim * sizeof(int));
    free(keep);
    return k;
  }
  free(keep);
  if (k) work_destroy(k);
  return NULL;
}

static void encode(const UsEncoder* e, void* work, int n, const uint8_t* pixels,
                   const double* states, float* latents) {
  const State* s = e->self;
  Work* k = work;
  size_t bytes = (size_t)n * (size_t)e->info.state * sizeof(double);
  us_ops_put_bytes(e->device, k->states, states, bytes);
  us_ops_standardise(e->device, n, e->info.state, e->info.dim, k->keep, k->states,
                     e->weights + s->mean, e->weights + s->scale, latents);
}

// The lists belong to the kind.
static void destroy(UsEncoder* e) {
  State* s = e->self;
  if (!s) return;
  us_params_free(&s->params);
  free(s->keep);
  free(s);
}

// Tensors as a file would have them, 0 for the scale of what is dropped.
UsStatus us_encoder_make_state(int state, const double* mean, const double* std, UsDevice* device,
                               UsEncoder** out) {
  *out = NULL;
  size_t padded = ((size_t)state + 15) / 16 * 16;  // as param_list.h places tensors
  float* host = calloc(2 * padded, sizeof(float));
  uint8_t* keep = calloc((size_t)state, 1);
  const UsEncoder sizes = {.info.state = state, .self = &(State){.keep = keep}};
  UsStatus status = host && keep ? US_OK : us_fail(US_MEMORY, "out of memory for an encoder");
  for (int i = 0; status == US_OK && i < state; i++) {
    // A number that never varies carries nothing, and has no scale.
    keep[i] = std[i] > 0;
    host[i] = (float)mean[i];
    host[padded + (size_t)i] = keep[i] ? (float)(1 / std[i]) : 0;
  }
  cJSON* json = status == US_OK ? config_json(&sizes) : NULL;
  if (json)
    status = us_encoder_assemble(&us_encoder_class_state, "state", json, host, NULL, device, out);
  cJSON_Delete(json);
  free(host);
  free(keep);
  return status;
}

// What a number that does not move deviates by: rounding, in units of a simulator, or of its own
// size as a float has it.
static const double rounding = 1e-9, float_rounding = 1e-7;

// Positions alone, normalised by the rows: no frame shows velocities.
static UsStatus make(const UsEncoderData* data, UsPool* pool, UsDevice* device, UsEncoder** out) {
  int nq = data->positions, state = data->state;
  // Without the task's simulator nobody knows where positions end.
  if (nq < 1 || nq > state) {
    return us_fail(
        US_UNSUPPORTED,
        "%s: the encoder \"state\" needs a task that is known here (see --plugin, which also "
        "takes mjcf:FILE.xml) to tell positions from velocities, found \"%s\"",
        data->path, data->task);
  }
  double* mean = calloc(2 * (size_t)state, sizeof(double));  // a deviation of 0 drops a number
  if (!mean) return us_fail(US_MEMORY, "%s: out of memory for an encoder", data->path);
  // Mean and deviation of every position over the rows.
  for (int j = 0; j < nq && !us_interrupted(); j++) {
    double squares = 0;
    for (int64_t i = 0; i < data->n; i++) mean[j] += data->states[i * state + j] / (double)data->n;
    for (int64_t i = 0; i < data->n; i++) {
      double off = data->states[i * state + j] - mean[j];
      squares += off * off;
    }
    double deviation = sqrt(squares / (double)data->n);
    if (deviation > rounding + float_rounding * fabs(mean[j])) mean[state + j] = deviation;
  }
  UsStatus status = us_interrupt_check(data->path);
  if (status == US_OK) status = us_encoder_make_state(state, mean, mean + state, device, out);
  free(mean);
  return status;
}

const UsEncoderClass us_encoder_class_state = {
    .name = "state",
    .parse = parse,
    .config = config_json,
    .read = read_weights,
    .work_create = work_create,
    .work_destroy = work_destroy,
    .encode = encode,
    .destroy = destroy,
    .reads = 's',
    .make = make,
};
