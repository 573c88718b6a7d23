// The list that gives a model's weights their places, start values and names in files.

#include "worldmodel/param_list.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/base/text.h"

size_t us_params_add(UsParamList* l, const char* prefix, const char* name, int flags, int d0,
                     int d1, int d2, int d3) {
  // Failing to grow is kept until the list is complete, and asked for once.
  if (l->count == l->room) {
    int room = l->room ? 2 * l->room : 64;
    UsParam* grown = realloc(l->param, (size_t)room * sizeof(UsParam));
    if (!grown) {
      l->failed = 1;
      return 0;
    }
    l->param = grown;
    l->room = room;
  }
  // The tensor begins where the ones before it end; trailing sizes of 0 are not there.
  UsParam* p = &l->param[l->count++];
  *p = (UsParam){.flags = flags, .dim = {d0, d1, d2, d3}, .offset = l->floats, .count = 1};
  int length = snprintf(p->name, sizeof(p->name), "%s%s", prefix, name);
  US_ASSERT(length < (int)sizeof(p->name));
  while (p->rank < 4 && p->dim[p->rank] > 0) p->count *= (size_t)p->dim[p->rank++];
  US_ASSERT(p->rank > 0);
  // Every tensor starts at a multiple of 64 bytes.
  l->floats += (p->count + 15) / 16 * 16;
  return p->offset;
}

void us_params_free(UsParamList* l) {
  free(l->param);
  *l = (UsParamList){0};
}

void us_params_init(const UsParamList* l, uint64_t seed, int salt, float* weights) {
  memset(weights, 0, l->floats * sizeof(float));
  for (int i = 0; i < l->count; i++) {
    const UsParam* p = &l->param[i];
    float* w = weights + p->offset;
    // Scales start at one, biases at zero.
    if (p->flags & US_PARAM_ONE) {
      for (size_t j = 0; j < p->count; j++) w[j] = 1;
    }
    if (!(p->flags & (US_PARAM_NORMAL | US_PARAM_SMALL))) continue;
    // Matrices: normal numbers, whose deviation keeps a sum over a row at about one.
    size_t columns = p->count / (size_t)p->dim[0];
    float deviation = p->flags & US_PARAM_SMALL ? 0.02f : 1 / sqrtf((float)columns);
    UsRng r = us_rng(seed, US_RNG_INIT, (uint64_t)i, (uint32_t)salt, 0);
    for (size_t j = 0; j < p->count; j++) w[j] = deviation * us_rng_normal(&r);
  }
}

const UsParam* us_params_find(const UsParamList* l, const char* name) {
  for (int i = 0; i < l->count; i++) {
    if (!strcmp(l->param[i].name, name)) return &l->param[i];
  }
  return NULL;
}

UsStatus us_params_read(const UsParamList* l, const UsTensors* file, const char* prefix, int skip,
                        float* weights) {
  for (int i = 0; i < l->count; i++) {
    const UsParam* p = &l->param[i];
    US_TRY(us_interrupt_check("reading weights"));
    if (p->flags & skip) continue;
    // Its tensor of the file, by name and shape.
    char name[US_TENSOR_NAME];
    snprintf(name, sizeof(name), "%s%s", prefix, p->name);
    int64_t shape[4] = {p->dim[0], p->dim[1], p->dim[2], p->dim[3]};
    US_TRY(us_tensors_read(file, name, p->rank, shape, weights + p->offset));
  }
  return US_OK;
}

static int begins(const char* text, const char* with) {
  return !strncmp(text, with, strlen(with));
}

// 1 if name is `known`, or begins with it where it ends with a dot.
static int is_known(const char* name, const char* known) {
  return known[strlen(known) - 1] == '.' ? begins(name, known) : !strcmp(name, known);
}

UsStatus us_params_refuse_rest(const UsParamList* l, const UsTensors* file, const char* prefix,
                               int skip, const char* const* known) {
  for (int i = 0; i < us_tensors_count(file); i++) {
    // A tensor is fine that the list has, or that somebody else reads.
    const char* name = us_tensors_name(file, i);
    const char* inner = begins(name, prefix) ? name + strlen(prefix) : NULL;
    const UsParam* p = inner ? us_params_find(l, inner) : NULL;
    int fine = p && !(p->flags & skip);
    for (int k = 0; known && known[k] && !fine; k++) {
      fine = is_known(name, known[k]) || (inner && is_known(inner, known[k]));
    }
    if (fine) continue;
    return us_fail(US_FORMAT,
                   "%s: expected no tensor that config.json has no use for, found \"%s\"",
                   us_tensors_path(file), us_shown(name));
  }
  return US_OK;
}

UsStatus us_params_write(const UsParamList* l, const char* path, const float* weights) {
  // Names and shapes from the list, numbers from the weights.
  UsTensorOut* out = calloc((size_t)l->count, sizeof(UsTensorOut));
  if (!out) return us_fail(US_MEMORY, "%s: out of memory for %d tensors", path, l->count);
  for (int i = 0; i < l->count; i++) {
    const UsParam* p = &l->param[i];
    // Files have the tensors without the gaps between them.
    out[i] = (UsTensorOut){.name = p->name, .rank = p->rank, .data = weights + p->offset};
    for (int j = 0; j < p->rank; j++) out[i].shape[j] = p->dim[j];
  }
  UsStatus status = us_tensors_write(path, l->count, out, 0, NULL, NULL);
  free(out);
  return status;
}
