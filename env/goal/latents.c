// Features in ordinary memory go to the device in chunks, and come back as two numbers a pair.

#include "env/goal/latents.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "worldmodel/base/frame.h"
#include "worldmodel/ops.h"

enum { CHUNK = 64, PATH = 4096 };

struct UsLatents {
  UsModel* owned;  // NULL: a model of others, or none
  const UsModel* model;
  UsEncoder* own;  // NULL: the encoder is the model's
  const UsEncoder* encoder;
  UsDevice* device;
  UsPool* pool;
  int wide;               // 1: the device takes all rows at once
  size_t one;             // G D
  float* block;           // tensor memory of what follows
  float *now, *goal;      // (CHUNK, G, D)
  float *apart, *margin;  // (CHUNK)
  int works;
  UsSuccessWork** work;  // (works) one a thread; on a wide device one of CHUNK pairs
  float* features;       // (2, CHUNK, G, D) ordinary memory, of frames
};

// ---- making ----

static const UsSuccessHead* head_of(const UsLatents* l) {
  return l->model ? us_model_success(l->model) : NULL;
}

// Memory, once model or encoder are known.
static UsStatus ready(UsLatents* l) {
  if (l->model) l->encoder = us_model_encoder(l->model);
  const UsEncoderInfo* e = us_encoder_info(l->encoder);
  const UsSuccessHead* head = head_of(l);
  l->device = us_encoder_device(l->encoder);
  l->one = (size_t)e->tokens * (size_t)e->dim;
  l->wide = l->model && us_model_world(l->model)->wide;
  l->works = l->wide ? 1 : us_pool_threads(l->pool);
  l->block = us_ops_alloc(l->device, 2 * CHUNK * l->one + 2 * CHUNK);
  l->work = calloc((size_t)l->works, sizeof(*l->work));
  int made = l->block && l->work;
  for (int i = 0; made && head && i < l->works; i++) {
    l->work[i] = us_success_work_create(head, l->wide ? CHUNK : 1);
    made = l->work[i] != NULL;
  }
  if (!made) return us_fail(US_MEMORY, "out of memory for latents");
  l->now = l->block;
  l->goal = l->now + CHUNK * l->one;
  l->apart = l->goal + CHUNK * l->one;
  l->margin = l->apart + CHUNK;
  return US_OK;
}

UsStatus us_latents_of(const UsModel* m, UsPool* pool, UsLatents** out) {
  UsLatents* l = calloc(1, sizeof(*l));
  *out = NULL;
  if (!l) return us_fail(US_MEMORY, "out of memory for latents");
  l->model = m;
  l->pool = pool;
  UsStatus status = ready(l);
  if (status == US_OK) *out = l;
  if (status != US_OK) us_latents_close(l);
  return status;
}

UsStatus us_latents_open(const char* name, const char* path, UsDevice* device, UsPool* pool,
                         UsLatents** out) {
  char inner[PATH];
  UsLatents* l = calloc(1, sizeof(*l));
  *out = NULL;
  if (!l) return us_fail(US_MEMORY, "%s: out of memory for latents", name);
  l->pool = pool;
  // A model's folder has its encoder in a folder of its own.
  us_path_join(inner, sizeof(inner), path, "encoder/config.json");
  UsStatus status = US_OK;
  if (us_file_exists(inner)) {
    status = us_model_open(path, device, &l->owned);
    l->model = l->owned;
  } else {
    status = us_encoder_open(path, device, &l->own);
    l->encoder = l->own;
  }
  if (status == US_OK) status = ready(l);
  if (status == US_OK) *out = l;
  if (status != US_OK) us_latents_close(l);
  return status;
}

void us_latents_close(UsLatents* l) {
  if (!l) return;
  for (int i = 0; l->work && i < l->works; i++) us_success_work_destroy(head_of(l), l->work[i]);
  free(l->work);
  free(l->features);
  if (l->device) us_ops_free(l->device, l->block);
  us_model_destroy(l->owned);
  us_encoder_destroy(l->own);
  free(l);
}

const UsEncoder* us_latents_encoder(const UsLatents* l) {
  return l->encoder;
}
const UsModel* us_latents_model(const UsLatents* l) {
  return l->model;
}

UsStatus us_latents_encode(UsLatents* l, int n, const uint8_t* pixels, const double* states,
                           float* features) {
  return us_encoder_encode(l->encoder, n, pixels, states, features, l->pool);
}

// ---- judging ----

// A pair alone, so that its bits depend on nothing else.
static void margin_item(void* arg, int item, int worker) {
  UsLatents* l = arg;
  const size_t at = (size_t)item * l->one;
  us_success_margin(head_of(l), l->work[worker], 1, l->now + at, l->goal + at, l->margin + item);
}

UsStatus us_latents_judge(UsLatents* l, const char* name, int n, const float* achieved,
                          const float* desired, float* reward, uint8_t* success) {
  const UsSuccessHead* head = head_of(l);
  const UsWorldModel* w = l->model ? us_model_world(l->model) : NULL;
  float seen[2 * CHUNK];
  if (success && !head) {
    return us_fail(US_UNSUPPORTED, "%s: expected a success head, which %s lacks", name,
                   l->model ? "this model" : "an encoder alone");
  }
  for (int at = 0; at < n; at += CHUNK) {
    const int rows = n - at < CHUNK ? n - at : CHUNK;
    const size_t numbers = (size_t)rows * l->one, from = (size_t)at * l->one;
    us_ops_put(l->device, l->now, achieved + from, numbers);
    us_ops_put(l->device, l->goal, desired + from, numbers);
    if (w) {
      w->cls->normalise(w, rows * w->grid_h * w->grid_w, l->now, l->now);
      w->cls->normalise(w, rows * w->grid_h * w->grid_w, l->goal, l->goal);
    }
    us_ops_row_distance(l->device, rows, (int)l->one, 1, NULL, l->now, l->goal,
                        w ? w->metric : NULL, l->apart, 1);
    if (success && l->wide) {
      us_success_margin(head, l->work[0], rows, l->now, l->goal, l->margin);
    } else if (success) {
      us_pool_run(l->pool, rows, margin_item, l);
    }
    us_ops_get(l->device, l->apart, seen, 2 * CHUNK);
    for (int i = 0; i < rows; i++) {
      const float apart = seen[i];
      if (reward) reward[at + i] = isfinite(apart) ? -apart : -INFINITY;
      if (success) success[at + i] = isfinite(apart) && seen[CHUNK + i] > 0;
    }
  }
  return us_device_check(l->device, name);
}

UsStatus us_latents_judge_frames(UsLatents* l, const char* name, int n, const uint8_t* achieved,
                                 const uint8_t* desired, float* reward, uint8_t* success) {
  const UsEncoderInfo* e = us_encoder_info(l->encoder);
  const size_t image = us_frame_bytes(e->height, e->width), half = CHUNK * l->one;
  if (e->state) {
    return us_fail(US_UNSUPPORTED, "%s: expected an encoder of frames, found one of states", name);
  }
  if (!l->features) l->features = calloc(2 * half, sizeof(float));
  if (!l->features) return us_fail(US_MEMORY, "%s: out of memory for latents", name);
  for (int at = 0; at < n; at += CHUNK) {
    const int rows = n - at < CHUNK ? n - at : CHUNK;
    const size_t from = (size_t)at * image;
    US_TRY(us_latents_encode(l, rows, achieved + from, NULL, l->features));
    US_TRY(us_latents_encode(l, rows, desired + from, NULL, l->features + half));
    US_TRY(us_latents_judge(l, name, rows, l->features, l->features + half,
                            reward ? reward + at : NULL, success ? success + at : NULL));
  }
  return US_OK;
}
