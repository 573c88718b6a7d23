// The config of a ViT as JSON, and its position embeddings on another grid.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/vit.h"

// Reads three numbers, or leaves the fallbacks in out (3) when the key is missing.
static UsStatus parse_channels(const char* name, const cJSON* json, const char* key, float* out) {
  const cJSON* list = cJSON_GetObjectItemCaseSensitive(json, key);
  if (!list) return US_OK;
  for (int i = 0; i < 3; i++) {
    const cJSON* x = cJSON_GetArrayItem(list, i);
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 3 || !cJSON_IsNumber(x)) {
      return us_fail(US_FORMAT, "%s: expected three numbers for \"%s\"", name, key);
    }
    out[i] = (float)x->valuedouble;
  }
  return US_OK;
}

// An object under a key; NULL: there is none.
static UsStatus parse_section(const char* name, const cJSON* json, const char* key,
                              const cJSON** out) {
  *out = cJSON_GetObjectItemCaseSensitive(json, key);
  if (*out && !cJSON_IsObject(*out)) {
    return us_fail(US_FORMAT, "%s: expected an object for \"%s\"", name, key);
  }
  return US_OK;
}

UsStatus us_vit_config_parse(const char* name, const cJSON* json, UsVitConfig* c, int* grid) {
  *c = (UsVitConfig){.mean = {0.485f, 0.456f, 0.406f}, .std = {0.229f, 0.224f, 0.225f}};
  int image, swiglu, channels;
  const int frame = 224, three = 3, none = 0;
  double ratio, eps;
  const double ratio_default = 4, eps_default = 1e-6;
  const cJSON *own, *head;
  char type[64], act[32];
  // What only the reference implementations' own variants have is refused by name: the giant model
  // has another MLP, activations and channels are those of every published checkpoint.
  US_TRY(us_json_flag(name, json, "use_swiglu_ffn", 0, &swiglu));
  if (swiglu) {
    return us_fail(US_UNSUPPORTED,
                   "%s: expected the plain MLP, found \"use_swiglu_ffn\" (the giant model)", name);
  }
  US_TRY(us_json_text(name, json, "hidden_act", "gelu", act, sizeof(act)));
  if (strcmp(act, "gelu")) {
    return us_fail(US_UNSUPPORTED, "%s: expected hidden_act \"gelu\", found \"%s\"", name, act);
  }
  US_TRY(us_json_int(name, json, "num_channels", 1, 64, &three, &channels));
  if (channels != 3) {
    return us_fail(US_UNSUPPORTED, "%s: expected 3 channels, found %d", name, channels);
  }
  // What DINOv2 files have, with the defaults of their reference.
  US_TRY(us_json_int(name, json, "hidden_size", 1, 8192, NULL, &c->hidden));
  US_TRY(us_json_int(name, json, "num_hidden_layers", 1, 256, NULL, &c->layers));
  US_TRY(us_json_int(name, json, "num_attention_heads", 1, 256, NULL, &c->heads));
  US_TRY(us_json_int(name, json, "patch_size", 1, 256, NULL, &c->patch));
  US_TRY(us_json_int(name, json, "image_size", 1, 4096, NULL, &image));
  US_TRY(us_json_text(name, json, "model_type", "", type, sizeof(type)));
  // Registers come with a type of their own.
  const int registers = strcmp(type, "dinov2_with_registers") ? 0 : 4;  // as that type has them
  US_TRY(us_json_int(name, json, "num_register_tokens", 0, 256, &registers, &c->registers));
  US_TRY(us_json_number(name, json, "mlp_ratio", 0.001, 64, &ratio_default, &ratio));
  US_TRY(us_json_number(name, json, "layer_norm_eps", 0, 1, &eps_default, &eps));
  c->eps = (float)eps;
  c->mlp = (int)(ratio * c->hidden + 0.5);
  // Our own sections: frames that are not square, a head; without its section there is none.
  *grid = image / c->patch;
  US_TRY(parse_section(name, json, "understudy", &own));
  US_TRY(parse_section(name, json, "head", &head));
  c->cls = 1;
  if (own) {
    US_TRY(us_json_int(name, own, "height", 1, 4096, &frame, &c->height));
    US_TRY(us_json_int(name, own, "width", 1, 4096, &frame, &c->width));
    US_TRY(us_json_flag(name, own, "use_cls_token", 1, &c->cls));
    US_TRY(parse_channels(name, own, "image_mean", c->mean));
    US_TRY(parse_channels(name, own, "image_std", c->std));
  } else {
    c->height = c->width = frame / c->patch * c->patch;
  }
  if (head) {
    US_TRY(us_json_int(name, head, "merge", 0, 64, &none, &c->merge));
    US_TRY(us_json_int(name, head, "merge_dim", 0, 65536, &none, &c->merge_dim));
    US_TRY(us_json_int(name, head, "global_dim", 0, 65536, &none, &c->global_dim));
    US_TRY(us_json_flag(name, head, "norm", 0, &c->norm));
  }
  return us_vit_check(name, c);
}

// The same keys as above, so that other readers of DINOv2 files read it too.
cJSON* us_vit_config_json(const UsVitConfig* c) {
  cJSON* json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "model_type", c->registers ? "dinov2_with_registers" : "dinov2");
  cJSON_AddNumberToObject(json, "hidden_size", c->hidden);
  cJSON_AddNumberToObject(json, "num_hidden_layers", c->layers);
  cJSON_AddNumberToObject(json, "num_attention_heads", c->heads);
  cJSON_AddNumberToObject(json, "mlp_ratio", (double)c->mlp / c->hidden);
  cJSON_AddNumberToObject(json, "patch_size", c->patch);
  cJSON_AddNumberToObject(json, "image_size", c->height > c->width ? c->height : c->width);
  if (c->registers) cJSON_AddNumberToObject(json, "num_register_tokens", c->registers);
  cJSON_AddNumberToObject(json, "layer_norm_eps", c->eps);
  cJSON_AddStringToObject(json, "hidden_act", "gelu");
  cJSON_AddBoolToObject(json, "qkv_bias", 1);
  cJSON_AddBoolToObject(json, "use_swiglu_ffn", 0);
  // What that format has no key for.
  cJSON* own = cJSON_AddObjectToObject(json, "understudy");
  cJSON_AddStringToObject(own, "kind", "vit");
  cJSON_AddNumberToObject(own, "height", c->height);
  cJSON_AddNumberToObject(own, "width", c->width);
  cJSON_AddBoolToObject(own, "use_cls_token", c->cls);
  cJSON_AddItemToObject(own, "image_mean", cJSON_CreateFloatArray(c->mean, 3));
  cJSON_AddItemToObject(own, "image_std", cJSON_CreateFloatArray(c->std, 3));
  if (!c->merge) return json;
  // The head, in a section of its own.
  cJSON* head = cJSON_AddObjectToObject(json, "head");
  cJSON_AddNumberToObject(head, "merge", c->merge);
  cJSON_AddNumberToObject(head, "merge_dim", c->merge_dim);
  cJSON_AddNumberToObject(head, "global_dim", c->global_dim);
  cJSON_AddBoolToObject(head, "norm", c->norm);
  return json;
}

// ---- positions on another grid ----

// Keys' cubic convolution kernel.
static double cubic(double x, double a) {
  x = fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// weight (to, from): how each target place sums source places along one axis.
static void axis_weights(int from, int to, int antialias, double* weight) {
  double ratio = (double)from / to, a = antialias ? -0.5 : -0.75;
  double wide = antialias && ratio > 1 ? ratio : 1;
  for (int i = 0; i < to; i++) {
    double* row = weight + (size_t)i * (size_t)from;
    // The source places around the target's centre that the kernel reaches.
    double centre = (i + 0.5) * ratio - 0.5, sum = 0;
    memset(row, 0, (size_t)from * sizeof(double));
    int first = (int)ceil(centre - 2 * wide - 1e-9), last = (int)floor(centre + 2 * wide + 1e-9);
    for (int j = first; j <= last; j++) {
      // Places beyond the edge are left out or read at the edge, as PyTorch does in either case.
      if (antialias && (j < 0 || j >= from)) continue;
      double w = cubic((j - centre) / wide, a);
      row[j < 0 ? 0 : j >= from ? from - 1 : j] += w;
      sum += w;
    }
    for (int j = 0; j < from; j++) row[j] /= sum;
  }
}

// Separable: one axis after the other, each by a small matrix.
UsStatus us_vit_resize(int gh, int gw, int th, int tw, int dim, int antialias, const float* x,
                       float* y) {
  // One block: the weights of both axes, a sum, and what the first of the two passes leaves.
  size_t d = (size_t)dim, high = (size_t)th * (size_t)gh, wide = (size_t)tw * (size_t)gw;
  double* wy = calloc(high + wide + d + (size_t)th * (size_t)gw * d, sizeof(double));
  if (!wy) return us_fail(US_MEMORY, "out of memory for position embeddings");
  double *wx = wy + high, *sum = wx + wide, *rows = sum + d;
  // Rows first, columns second.
  axis_weights(gh, th, antialias, wy);
  axis_weights(gw, tw, antialias, wx);
  for (int i = 0; i < th; i++) {  // rows (th, gw, dim)
    for (int s = 0; s < gh; s++) {
      double w = wy[i * gh + s];
      const float* from = x + (size_t)(s * gw) * d;
      double* to = rows + (size_t)(i * gw) * d;
      for (size_t j = 0; w != 0 && j < (size_t)gw * d; j++) to[j] += w * from[j];
    }
  }
  for (int i = 0; i < th * tw; i++) {
    memset(sum, 0, d * sizeof(double));
    for (int s = 0; s < gw; s++) {
      double w = wx[i % tw * gw + s];
      const double* from = rows + (size_t)(i / tw * gw + s) * d;
      for (size_t j = 0; w != 0 && j < d; j++) sum[j] += w * from[j];
    }
    for (size_t j = 0; j < d; j++) y[(size_t)i * d + j] = (float)sum[j];
  }
  free(wy);
  return US_OK;
}
