// The predictor: gradients by central differences, what the action blocks start as, and imagination
// against the teacher-forced pass, bit for bit across tiles.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/predictor.h"

enum { kBatch = 3, kFrames = 6 };

typedef struct Case {
  const char* name;
  int grid_h, grid_w, residual, action, context;
  int first, rollout, past, leap;
} Case;

static const Case cases[] = {
    {"one token, teacher", 1, 1, 1, 2, 2, 2, 0, 1, 1},
    {"one token, rollout", 1, 1, 1, 2, 2, 0, 4, 0, 1},
    {"four tokens, rollout", 2, 2, 1, 2, 2, 1, 3, 0, 1},
    {"no residual, rollout", 2, 2, 0, 2, 2, 2, 3, 0, 1},
    {"no actions, teacher", 2, 1, 1, 0, 3, 1, 0, 0, 1},
    {"three frames, rollout", 1, 1, 0, 1, 3, 3, 3, 2, 1},
    {"one leap of three", 1, 1, 1, 2, 2, 0, 3, 1, 3},
    {"leaps of two, fed back", 2, 1, 1, 2, 2, 2, 4, 1, 2},
    {"leaps of two over three frames", 1, 1, 0, 1, 3, 3, 3, 2, 2},
    {"four tokens, first frames, past", 2, 2, 1, 2, 3, 1, 3, 2, 1},
};
enum { kCases = sizeof(cases) / sizeof(cases[0]) };

static UsPredictorConfig tiny(const Case* c) {
  return (UsPredictorConfig){.grid_h = c->grid_h,
                             .grid_w = c->grid_w,
                             .dim = 3,
                             .width = 12,
                             .depth = 2,
                             .heads = 2,
                             .mlp = 2,
                             .context = c->context,
                             .block = 2,
                             .action = c->action,
                             .action_hidden = 5,
                             .residual = c->residual,
                             .past = c->past,
                             .leap = c->leap,
                             .device = test_device()};
}

// Fills host memory with normal numbers times `scale`.
static float* noise(size_t count, float scale, int stream) {
  float* x = malloc(count * sizeof(float));
  UsRng r = us_rng(7, US_RNG_TEST, (uint64_t)stream, 0, 0);
  for (size_t i = 0; i < count; i++) x[i] = scale * us_rng_normal(&r);
  return x;
}

// A predictor whose weights are all random, gains near 1, normalisation not the identity.
static UsPredictor* make(const UsPredictorConfig* c) {
  UsPredictor* p;
  assert_int_equal(us_predictor_create("test", c, &p), US_OK);
  const UsParamList* list = us_predictor_list(p);
  float* x = noise(list->floats, 0.3f, 1);
  for (int i = 0; i < list->count; i++) {
    const UsParam* t = &list->param[i];
    for (size_t k = 0; (t->flags & US_PARAM_ONE) && k < t->count; k++) x[t->offset + k] += 1;
  }
  us_ops_put(test_device(), us_predictor_params(p), x, list->floats);
  free(x);
  float* mean = noise((size_t)c->dim, 1, 2);
  us_predictor_set_norm(p, mean, 1.5f);
  free(mean);
  return p;
}

static UsBatch make_batch(const UsPredictorConfig* c, int batch, int frames) {
  size_t one = (size_t)(c->grid_h * c->grid_w * c->dim), n = (size_t)(batch * frames);
  UsBatch b = {.batch = batch, .frames = frames};
  b.latents = noise(n * one, 1.5f, 3);
  b.times = noise(n, 0.02f, 4);
  b.actions = noise(n * (size_t)(c->block * c->action + 1), 1, 5);
  for (int i = 0; i < batch * frames; i++) b.times[i] += 0.25f * (float)(i % frames) + 3;
  return b;
}

static void free_batch(UsBatch* b) {
  free(b->latents);
  free(b->times);
  free(b->actions);
  free(b->weight);
}

static double loss_of(const UsPredictor* p, UsTape* t, const UsBatch* b, float weight) {
  us_predictor_loss(p, t, b, b->batch, 0, NULL, NULL);
  UsLosses l = us_tape_losses(t);
  return l.teacher + weight * l.rollout;
}

// Loss at the parameters plus `step` times direction (count) in tensor memory from `offset` on.
static double loss_at(UsPredictor* p, UsTape* t, const UsBatch* b, float weight, const UsParam* at,
                      const float* direction, float step) {
  float* x = us_predictor_params(p) + at->offset;
  us_ops_add(test_device(), at->count, step, direction, x);
  double loss = loss_of(p, t, b, weight);
  us_ops_add(test_device(), at->count, -step, direction, x);
  return loss;
}

// Slopes along the gradient and along a random direction must be those that the gradient says.
static void check_tensor(UsPredictor* p, UsTape* t, const UsBatch* b, float weight,
                         const UsParam* at, const float* gradient, const char* name) {
  for (int kind = 0; kind < 2; kind++) {
    float* v = noise(at->count, 1, 6 + kind);
    if (kind == 0) memcpy(v, gradient + at->offset, at->count * sizeof(float));
    double norm = 1e-30, slope = 0, all = 0;
    for (size_t i = 0; i < at->count; i++) norm += (double)v[i] * v[i];
    for (size_t i = 0; i < at->count; i++) v[i] /= (float)sqrt(norm);
    for (size_t i = 0; i < at->count; i++) {
      double g = gradient[at->offset + i];
      slope += g * v[i];
      all += g * g;
    }
    float* direction = us_ops_alloc(test_device(), at->count);
    us_ops_put(test_device(), direction, v, at->count);
    const float step = 0.01f;
    double found = (loss_at(p, t, b, weight, at, direction, step) -
                    loss_at(p, t, b, weight, at, direction, -step)) /
                   (2 * step);
    us_ops_free(test_device(), direction);
    free(v);
    if (fabs(found - slope) > 0.01 * sqrt(all) + 2e-5) {
      fail_msg("%s: %s: gradient %g, central difference %g", name, at->name, slope, found);
    }
  }
}

static void test_gradients(void** state) {
  // Where kernels are slow, the largest case stands for all.
  for (int i = emulated() ? kCases - 1 : 0; i < kCases; i++) {
    const Case* k = &cases[i];
    UsPredictorConfig c = tiny(k);
    UsPredictor* p = make(&c);
    UsBatch b = make_batch(&c, kBatch, kFrames);
    if (i % 2) b.weight = noise(kBatch, 1, 9);
    const UsLossConfig loss = {.batch = kBatch,
                               .frames = kFrames,
                               .first = k->first,
                               .rollout = k->rollout,
                               .weight = 0.7f,
                               .beta = 0.5f};
    UsTape* t = us_tape_create(p, &loss);
    const UsParamList* list = us_predictor_list(p);
    float* gradient = us_ops_alloc(test_device(), list->floats);
    float* host = malloc(list->floats * sizeof(float));
    us_predictor_loss(p, t, &b, kBatch, 0, gradient, NULL);
    us_ops_get(test_device(), gradient, host, list->floats);
    for (int n = 0; n < list->count; n++) {
      check_tensor(p, t, &b, 0.7f, &list->param[n], host, k->name);
    }
    free(host);
    us_ops_free(test_device(), gradient);
    us_tape_destroy(t);
    free_batch(&b);
    us_predictor_destroy(p);
  }
}

// A sample's weight multiplies its loss: that of a batch is their weighted sum.
static void test_weights(void** state) {
  UsPredictorConfig c = tiny(&cases[kCases - 1]);
  UsPredictor* p = make(&c);
  UsBatch b = make_batch(&c, kBatch, kFrames);
  UsTape* t = us_tape_create(p, &(UsLossConfig){.batch = kBatch, .frames = kFrames, .rollout = 3});
  const float weight[kBatch] = {0.25f, 0, 3};
  double once = loss_of(p, t, &b, 1), sum = 0, weighted = 0;
  b.weight = calloc(kBatch, sizeof(float));
  for (int i = 0; i < kBatch; i++) {
    for (int k = 0; k < kBatch; k++) b.weight[k] = k == i;
    double one = loss_of(p, t, &b, 1);
    assert_true(one > 0);
    sum += one;
    weighted += (double)weight[i] * one;
  }
  assert_true(fabs(sum - once) < 1e-5 * once);
  memcpy(b.weight, weight, sizeof(weight));
  assert_true(fabs(loss_of(p, t, &b, 1) - weighted) < 1e-5 * once);
  us_tape_destroy(t);
  free_batch(&b);
  us_predictor_destroy(p);
}

// The gradient of a loss, in ordinary memory, and the prediction of frame C in raw numbers (B, G,
// D). Nullable: frame.
static float* gradient_of(const UsPredictor* p, const UsBatch* b, const UsLossConfig* loss,
                          float* frame) {
  const UsPredictorConfig* c = us_predictor_config(p);
  size_t floats = us_predictor_list(p)->floats, one = (size_t)(c->grid_h * c->grid_w * c->dim);
  UsTape* t = us_tape_create(p, loss);
  float *gradient = us_ops_alloc(test_device(), floats), *host = malloc(floats * sizeof(float));
  us_predictor_loss(p, t, b, b->batch, 0, gradient, NULL);
  us_ops_get(test_device(), gradient, host, floats);
  if (frame) {
    float mean[3], scale, *all = malloc((size_t)(loss->rollout * b->batch) * one * sizeof(float));
    us_tape_predictions(t, NULL, all);
    us_predictor_norm(p, mean, &scale);
    for (size_t i = 0; i < (size_t)b->batch * one; i++) frame[i] = mean[i % 3] + scale * all[i];
    free(all);
  }
  us_ops_free(test_device(), gradient);
  us_tape_destroy(t);
  return host;
}

// Without a gradient through it a frame that is fed back is a frame like a real one: where samples
// have the prediction in its place, which is then no error itself, the teacher's loss of the frame
// behind it is the same.
static void test_detach(void** state) {
  const float weight = 0.7f;
  UsPredictorConfig c = tiny(&cases[kCases - 1]);
  const int frames = c.context + 2;
  const size_t one = (size_t)(c.grid_h * c.grid_w * c.dim);
  UsPredictor* p = make(&c);
  UsBatch b = make_batch(&c, kBatch, frames);
  UsLossConfig loss = {.batch = kBatch, .frames = frames, .weight = weight, .rollout = 2};
  float *fed = malloc(kBatch * one * sizeof(float)), *through = gradient_of(p, &b, &loss, fed);
  loss.detach = 1;
  float* detached = gradient_of(p, &b, &loss, NULL);
  loss.rollout = 0;
  float* teacher = gradient_of(p, &b, &loss, NULL);
  for (int i = 0; i < kBatch; i++) {
    memcpy(b.latents + (size_t)(i * frames + c.context) * one, fed + (size_t)i * one,
           one * sizeof(float));
  }
  float* behind = gradient_of(p, &b, &loss, NULL);
  double apart = 0;
  for (size_t i = 0; i < us_predictor_list(p)->floats; i++) {
    // The teacher's loss is the mean over two frames.
    float want = teacher[i] + 2 * weight * behind[i];
    if (!(fabsf(want - detached[i]) < 1e-4f)) {
      fail_msg("number %zu: expected %g, found %g", i, want, detached[i]);
    }
    apart = fmax(apart, fabs((double)through[i] - (double)detached[i]));
  }
  assert_true(apart > 0.01);
  free(fed), free(through), free(detached), free(teacher), free(behind);
  free_batch(&b);
  us_predictor_destroy(p);
}

// With action_only the trunk gets nothing and the action blocks the same numbers.
static void test_action_only_gradient(void** state) {
  UsPredictorConfig c = tiny(&cases[2]);
  UsPredictor* p = make(&c);
  UsBatch b = make_batch(&c, kBatch, kFrames);
  UsTape* t = us_tape_create(p, &(UsLossConfig){.batch = kBatch, .frames = kFrames, .rollout = 3});
  const UsParamList* list = us_predictor_list(p);
  float *all = us_ops_alloc(test_device(), list->floats),
        *some = us_ops_alloc(test_device(), list->floats);
  us_predictor_loss(p, t, &b, kBatch, 0, all, NULL);
  us_predictor_loss(p, t, &b, kBatch, 1, some, NULL);
  double* sums = tensor_bytes(NULL, 2 * sizeof(double));
  for (int i = 0; i < list->count; i++) {
    const UsParam* at = &list->param[i];
    const UsPiece piece = {.at = at->offset, .count = (int)at->count};
    const UsPiece* there = tensor_bytes(&piece, sizeof(piece));
    us_ops_gradient_sum(test_device(), 1, there, 1, list->floats, some, sums);
    us_ops_gradient_sum(test_device(), 1, there, 1, list->floats, all, sums + 1);
    double both[2];
    fetch(sums, both, sizeof(both));
    const double square = both[0], whole = both[1];
    if (!(at->flags & US_PARAM_ACTION)) {
      assert_true(square == 0);
      continue;
    }
    assert_true(square == whole);
    assert_true(square > 0);
  }
  drop_tensors();
  us_ops_free(test_device(), all);
  us_ops_free(test_device(), some);
  us_tape_destroy(t);
  free_batch(&b);
  us_predictor_destroy(p);
}

// Freshly drawn action blocks change nothing; a residual predictor starts by repeating the frame.
static void test_first_weights(void** state) {
  for (int residual = 0; residual < 2; residual++) {
    Case k = cases[2];
    k.residual = residual;
    UsPredictorConfig with = tiny(&k), without;
    k.action = 0;
    without = tiny(&k);
    UsPredictor *p, *q;
    assert_int_equal(us_predictor_create("test", &with, &p), US_OK);
    assert_int_equal(us_predictor_create("test", &without, &q), US_OK);
    us_predictor_init(q, 5);
    us_predictor_init(p, 6);
    assert_int_equal(us_predictor_adopt(p, q), 1);
    UsBatch b = make_batch(&with, kBatch, kFrames);
    size_t count = (size_t)(kBatch * (kFrames - 2) * 4 * 3);
    float *a = malloc(count * sizeof(float)), *o = malloc(count * sizeof(float));
    const UsLossConfig loss = {.batch = kBatch, .frames = kFrames};
    UsTape *tp = us_tape_create(p, &loss), *tq = us_tape_create(q, &loss);
    us_predictor_loss(p, tp, &b, kBatch, 0, NULL, NULL);
    us_predictor_loss(q, tq, &b, kBatch, 0, NULL, NULL);
    us_tape_predictions(tp, a, NULL);
    us_tape_predictions(tq, o, NULL);
    assert_memory_equal(a, o, count * sizeof(float));
    double error, copy;
    us_tape_errors(tp, &error, &copy);
    assert_true(residual ? error == copy : error != copy);
    us_tape_destroy(tp);
    us_tape_destroy(tq);
    free(a);
    free(o);
    free_batch(&b);
    us_predictor_destroy(p);
    us_predictor_destroy(q);
  }
}

// Imagines sample 0 of a batch whose frames are 0.25 s apart: `count` candidates, all with that
// sample's actions, out (H, G, D) of candidate `which`; tile candidates in a tile.
static void imagine(const UsPredictor* p, const UsBatch* b, int tile, int count, int which,
                    int horizon, int forget, float* out) {
  const UsPredictorConfig* c = us_predictor_config(p);
  size_t g = (size_t)(c->grid_h * c->grid_w), one = g * (size_t)c->dim;
  size_t ka = (size_t)(c->block * c->action), frames = (size_t)c->context;
  UsRolloutWork* m = us_predictor_work_create(p, tile, horizon);
  float* context = us_ops_alloc(test_device(), frames * one);
  float* memory = us_ops_alloc(test_device(), us_predictor_model(p)->cache);
  float* all = us_ops_alloc(test_device(), (size_t)horizon * (size_t)tile * one);
  us_ops_put(test_device(), context, b->latents, frames * one);
  us_predictor_normalise(p, (int)(frames * g), context, context);
  double times[US_CONTEXT_MAX];
  for (int i = 0; i < c->context; i++) times[i] = b->times[i];
  us_predictor_cache(p, m, 1, NULL, context, times, memory);
  float* actions = malloc((size_t)(count * horizon) * ka * sizeof(float) + 4);
  for (int i = 0; i < count; i++) {
    memcpy(actions + (size_t)(i * horizon) * ka, b->actions + (frames - 1) * ka,
           (size_t)horizon * ka * sizeof(float));
    for (size_t e = 0; e < (size_t)horizon * ka && i != which; e++) {
      actions[(size_t)(i * horizon) * ka + e] += (float)(i - which);
    }
  }
  us_predictor_rollout(
      p, m,
      &(UsRollout){
          .slots = 1,
          .samples = count,
          .contexts = context,
          .caches = memory,
          .step = 0.25,
          .horizon = horizon,
          .actions = tensor(actions, (size_t)(count * horizon) * ka),
          .pasts = tensor(b->actions + (frames - 1 - (size_t)c->past) * ka, (size_t)c->past * ka),
          .frames = all,
          .recompute = forget});
  for (int f = 0; f < horizon; f++) {
    us_ops_get(test_device(), all + (size_t)(f * count + which) * one, out + (size_t)f * one, one);
  }
  free(actions);
  drop_tensors();
  us_ops_free(test_device(), context);
  us_ops_free(test_device(), memory);
  us_ops_free(test_device(), all);
  us_predictor_work_destroy(m);
}

static void even_times(UsBatch* b) {
  for (int i = 0; i < b->batch * b->frames; i++) b->times[i] = 0.25f * (float)(i % b->frames) + 3;
}

// Cached keys and values, ring and tile give what the training pass gives, frame by frame.
static void test_imagination_equals_training(void** state) {
  for (int i = 0; i < kCases; i++) {
    UsPredictorConfig c = tiny(&cases[i]);
    UsPredictor* p = make(&c);
    UsBatch b = make_batch(&c, 1, 8);
    even_times(&b);
    int horizon = 8 - c.context, one = c.grid_h * c.grid_w * c.dim;
    size_t count = (size_t)(horizon * one);
    float *want = malloc(count * sizeof(float)), *got = malloc(count * sizeof(float));
    UsTape* t = us_tape_create(p, &(UsLossConfig){.batch = 1, .frames = 8, .rollout = horizon});
    us_predictor_loss(p, t, &b, 1, 0, NULL, NULL);
    us_tape_predictions(t, NULL, want);
    imagine(p, &b, 5, 4, 2, horizon, 0, got);
    for (size_t k = 0; k < count; k++) {
      if (!(fabsf(want[k] - got[k]) < 1e-4f)) {
        fail_msg("%s: frame %zu: trained %g, imagined %g", cases[i].name, k / (size_t)one, want[k],
                 got[k]);
      }
    }
    us_tape_destroy(t);
    free(want);
    free(got);
    free_batch(&b);
    us_predictor_destroy(p);
  }
}

// A candidate's numbers do not depend on how many others are in its tile.
static void test_neighbours_do_not_matter(void** state) {
  UsPredictorConfig c = us_predictor_config_default(1, 1, 64, 5, 2);
  c.device = test_device();
  UsPredictor* p = make(&c);
  UsBatch b = make_batch(&c, 1, 8);
  even_times(&b);
  const int tile = 128;
  if (on_cpu()) assert_int_equal(us_predictor_model(p)->tile, tile);
  float want[5 * 64], got[5 * 64];
  imagine(p, &b, tile, 64, 9, 5, 0, want);
  for (int count = 10; count < 64; count += 11) {
    imagine(p, &b, tile, count, 9, 5, 0, got);
    assert_memory_equal(want, got, sizeof(want));
  }
  imagine(p, &b, tile, 65, 9, 5, 0, want);
  imagine(p, &b, tile, tile, 9, 5, 0, got);
  assert_memory_equal(want, got, sizeof(want));
  free_batch(&b);
  us_predictor_destroy(p);
}

// Of the listed slots (n) of N = 4: their caches, then a rollout of 5 candidates each, in one call
// or slot by slot. last (n, 5, G, D), distance (n, 5, H), caches (4, cache), host.
enum { kOf = 4, kEach = 5, kAhead = 6 };
typedef struct Rolled {
  float *last, *distance, *caches;
} Rolled;

static Rolled roll_slots(const UsPredictor* p, int n, const int* slots, int together, int same) {
  const UsPredictorConfig* c = us_predictor_config(p);
  const int ka = c->block * c->action, most = together ? n : 1;
  size_t one = (size_t)(c->grid_h * c->grid_w * c->dim), context = (size_t)c->context * one;
  size_t cache = us_predictor_model(p)->cache, past = (size_t)(c->past * ka);
  float *contexts = noise(kOf * context, 1, 11), *goals = noise(kOf * one, 1, 12);
  float *pasts = noise(kOf * past, 1, 13),
        *actions = noise((size_t)(kOf * kEach * kAhead * ka), 1, 14);
  float* listed = malloc((size_t)(n * kEach * kAhead * ka) * sizeof(float) + 1);
  double times[kOf * US_CONTEXT_MAX];
  // Actions and times are a slot's own, whatever its place in the list.
  const size_t row = (size_t)(kEach * kAhead * ka);
  for (int i = 0; i < n; i++) {
    memcpy(listed + (size_t)i * row, actions + (size_t)slots[i] * row, row * sizeof(float));
    for (int k = 0; k < c->context; k++) {
      times[i * c->context + k] = slots[i] + 0.25 * k + (same ? 0 : 0.01 * slots[i] * k);
    }
  }
  float *last = tensor(NULL, (size_t)(n * kEach) * one), *caches = tensor(NULL, kOf * cache);
  float* distance = tensor(NULL, (size_t)(n * kEach * kAhead));
  const int* list = tensor_bytes(slots, sizeof(int) * (size_t)n);
  UsRollout task = {.contexts = tensor(contexts, kOf * context),
                    .caches = caches,
                    .pasts = tensor(pasts, kOf * past),
                    .goals = tensor(goals, kOf * one),
                    .actions = tensor(listed, (size_t)n * row),
                    .step = 0.25,
                    .samples = kEach,
                    .horizon = kAhead,
                    .clip = 1};
  // The work keeps the angles of fewer frames than are rolled.
  UsRolloutWork* m = us_predictor_work_create(p, n * kEach, 4);
  const float* all_actions = task.actions;
  for (int i = 0; i < n; i += most) {
    const size_t at = (size_t)(i * kEach);
    us_predictor_cache(p, m, most, list + i, task.contexts, times + i * c->context, caches);
    task.slots = most;
    task.slot = list + i;
    task.actions = all_actions + (size_t)i * row;
    task.last = last + at * one;
    task.distance = distance + at * kAhead;
    us_predictor_rollout(p, m, &task);
  }
  Rolled out = {fetched(last, (size_t)(n * kEach) * one),
                fetched(distance, (size_t)(n * kEach * kAhead)), fetched(caches, kOf * cache)};
  us_predictor_work_destroy(m);
  free(contexts), free(goals), free(pasts), free(actions), free(listed);
  return out;
}

// To float rounding on the CPU, to the bit elsewhere.
static void agree(const float* want, const float* got, size_t count, const char* name) {
  for (size_t i = 0; i < count; i++) {
    float room = on_cpu() ? 1e-5f * fmaxf(1, fabsf(want[i])) : 0;
    if (!(fabsf(want[i] - got[i]) <= room)) {
      fail_msg("%s: number %zu: %.8g alone, %.8g together", name, i, want[i], got[i]);
    }
  }
}

// Many slots in one call are the slots one by one, in whatever order they are listed.
static void test_slots_together(void** state) {
  for (int i = 0; i < 2 * kCases; i += emulated() ? 3 : 1) {
    UsPredictorConfig c = tiny(&cases[i / 2]);
    UsPredictor* p = make(&c);
    size_t last = (size_t)(kEach * c.grid_h * c.grid_w * c.dim), distance = kEach * kAhead;
    const int one[3] = {2, 0, 3}, other[3] = {3, 2, 0};
    Rolled alone = roll_slots(p, 3, one, 0, i % 2), all = roll_slots(p, 3, one, 1, i % 2);
    Rolled turned = roll_slots(p, 3, other, 1, i % 2);
    agree(alone.last, all.last, 3 * last, cases[i / 2].name);
    agree(alone.distance, all.distance, 3 * distance, cases[i / 2].name);
    agree(alone.caches, all.caches, kOf * us_predictor_model(p)->cache, cases[i / 2].name);
    for (int k = 0; k < 3; k++) {
      size_t at = (size_t)((k + 1) % 3);
      agree(alone.last + (size_t)k * last, turned.last + at * last, last, "turned");
      agree(alone.distance + (size_t)k * distance, turned.distance + at * distance, distance,
            "turned");
    }
    assert_true(alone.last[0] != alone.last[last] && alone.distance[0] > 0);
    drop_tensors();
    us_predictor_destroy(p);
  }
}

static void test_files(void** state) {
  char folder[] = "/tmp/us_predictor_XXXXXX", path[128];
  assert_non_null(mkdtemp(folder));
  us_path_join(path, sizeof(path), folder, "p.safetensors");
  UsPredictorConfig c = tiny(&cases[2]), other = c, parsed;
  UsPredictor *p = make(&c), *q;
  cJSON* json = us_predictor_config_json(&c);
  assert_int_equal(us_predictor_config_parse("test", json, &parsed), US_OK);
  assert_memory_equal(&parsed, &c, offsetof(UsPredictorConfig, leap) + sizeof(int));
  cJSON_ReplaceItemInObject(json, "heads", cJSON_CreateNumber(5));
  assert_int_equal(us_predictor_config_parse("test", json, &parsed), US_FORMAT);
  cJSON_ReplaceItemInObject(json, "heads", cJSON_CreateNumber(c.heads));
  cJSON_ReplaceItemInObject(json, "grid_h", cJSON_CreateNumber(256));
  cJSON_ReplaceItemInObject(json, "grid_w", cJSON_CreateNumber(256));
  assert_int_equal(us_predictor_config_parse("test", json, &parsed), US_FORMAT);
  assert_non_null(strstr(us_message(), "expected at most 16384 tokens in context"));
  cJSON_Delete(json);

  assert_int_equal(us_predictor_save(p, path), US_OK);
  assert_int_equal(us_predictor_create("test", &c, &q), US_OK);
  assert_int_equal(us_predictor_load(q, path), US_OK);
  size_t floats = us_predictor_list(p)->floats;
  float *a = malloc(floats * sizeof(float)), *b = malloc(floats * sizeof(float));
  us_ops_get(test_device(), us_predictor_params(p), a, floats);
  us_ops_get(test_device(), us_predictor_params(q), b, floats);
  for (int i = 0; i < us_predictor_list(p)->count; i++) {
    const UsParam* t = &us_predictor_list(p)->param[i];
    assert_memory_equal(a + t->offset, b + t->offset, t->count * sizeof(float));
  }
  float mean[3], scale, mean2[3], scale2;
  us_predictor_norm(p, mean, &scale);
  us_predictor_norm(q, mean2, &scale2);
  assert_memory_equal(mean, mean2, sizeof(mean));
  assert_true(scale == scale2);

  // Weights whose prediction is no use, and tensors that are missing or too many, are refused.
  for (int k = 0; k < 2; k++) {
    const UsParam* gain = us_params_find(us_predictor_list(p), "last.weight");
    const float kept = a[gain->offset], huge = k ? 3e38f : 1e12f;
    us_ops_put(test_device(), us_predictor_params(p) + gain->offset, &huge, 1);
    assert_int_equal(us_predictor_save(p, path), US_OK);
    us_ops_put(test_device(), us_predictor_params(p) + gain->offset, &kept, 1);
    assert_int_equal(us_predictor_load(q, path), US_FORMAT);
    assert_non_null(strstr(us_message(), "within 1e+06"));
    assert_non_null(strstr(us_message(), path));
  }
  const float far[3] = {0};
  us_predictor_set_norm(p, far, 1e30f);
  assert_int_equal(us_predictor_save(p, path), US_OK);
  assert_int_equal(us_predictor_load(q, path), US_FORMAT);
  us_predictor_set_norm(p, mean, scale);
  us_predictor_destroy(q);
  assert_int_equal(us_predictor_save(p, path), US_OK);
  other.depth++;
  assert_int_equal(us_predictor_create("test", &other, &q), US_OK);
  assert_int_equal(us_predictor_load(q, path), US_FORMAT);
  assert_non_null(strstr(us_message(), "\"kv.weight\" of shape"));
  us_predictor_destroy(q);
  other.depth--;

  other.residual = 0;
  assert_int_equal(us_predictor_create("test", &other, &q), US_OK);
  assert_int_equal(us_predictor_load(q, path), US_FORMAT);
  assert_non_null(strstr(us_message(), path));
  assert_non_null(strstr(us_message(), "found \"seed."));
  assert_int_equal(us_predictor_adopt(q, p), 0);
  us_predictor_destroy(q);
  free(a);
  free(b);
  us_predictor_destroy(p);
  unlink(path);
  rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gradients),
      cmocka_unit_test(test_weights),
      cmocka_unit_test(test_detach),
      cmocka_unit_test(test_action_only_gradient),
      cmocka_unit_test(test_first_weights),
      cmocka_unit_test(test_imagination_equals_training),
      cmocka_unit_test(test_neighbours_do_not_matter),
      cmocka_unit_test(test_slots_together),
      cmocka_unit_test(test_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
