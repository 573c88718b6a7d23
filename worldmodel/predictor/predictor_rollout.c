// Rollouts: candidates rolled forward frame by frame. Equations in predictor.h; a frame is a pass
// of the blocks, as in training (predictor_pass.c).
//
// m candidates with G tokens each are R = m G rows. Each has the keys and values of the C frames
// that a target sees in a ring, laid out as a context's cache is, (depth, 2, C, G, w), so that one
// copy brings a slot's cache to its candidates. A predicted frame replaces the oldest, in place,
// since attention does not care about the order of its keys. Only a predicted frame's own tokens go
// through the key and value matrix. Frames of a group (`leap`) enter when it is whole, those that
// its followers see.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/ops/ops_table.h"
#include "worldmodel/predictor/predictor_pass.h"

struct UsRolloutWork {
  UsDevice* device;
  void* block;     // tensor memory, all of it:
  int tile;        // m
  int many;        // max(m, C) frames, of which one call can make keys and values
  Pass pass;       // of R queries
  float* both;     // (many G, depth, 2, w)
  float* ring;     // (m, depth, 2, C, G, w)
  float* shown;    // (C, R, D) the C frames before the target, for `recompute`; contexts in a row;
                   // frames of a group that is not whole yet
  float* seen;     // (many, G, pairs, 2) angles of frames of contexts
  float* targets;  // (kept, G, pairs, 2) angles of predicted frames, from frame `from` on
  int kept, from;
  double step;     // s between those; NaN: there are none yet
  float* weights;  // (list floats) matrices transposed, as they were when the work was made
  float* places;   // (G, pairs, 2) ordinary memory: angles of which only those of time change
  float* angles;   // (max(many, kept), G, pairs, 2) ordinary memory
  Layer layer[];   // (depth)
};

// ---- memory ----

// Floats of the angles of a frame.
static size_t turn_of(const UsPredictorConfig* c) {
  return (size_t)predictor_tokens(c) * (size_t)predictor_pairs(c) * 2;
}

static void place(const UsPredictor* p, UsArena* a, UsRolloutWork* m) {
  const UsPredictorConfig* c = &p->c;
  PREDICTOR_SIZES(c);
  const size_t g = (size_t)predictor_tokens(c), turn = turn_of(c);
  // Activations of a frame, and the rings.
  pass_place(c, a, &m->pass);
  m->both = US_TAKE(a, float, (size_t)m->many* g*(size_t)(n * 2 * w));
  m->ring = US_TAKE(a, float, (size_t)m->tile* predictor_cache(c));
  for (int l = 0; l < n && a->base; l++) {
    size_t each = (size_t)c->context * g * (size_t)w;
    m->layer[l].k = m->ring + (size_t)(2 * l) * each;
    m->layer[l].v = m->layer[l].k + each;
  }
  m->shown = US_TAKE(a, float, (size_t)m->tile* g*(size_t)(c->context * d));
  m->seen = US_TAKE(a, float, (size_t)m->many* turn);
  m->targets = US_TAKE(a, float, (size_t)m->kept* turn);
  if (m->tile > 1) m->weights = US_TAKE(a, float, p->list.floats);
}

// A work without its tensor memory, which the arena has counted; NULL when out of memory.
static UsRolloutWork* measure(const UsPredictor* p, int candidates, int horizon, UsArena* a) {
  const UsPredictorConfig* c = &p->c;
  US_ASSERT(candidates > 0 && horizon > 0);
  int g = predictor_tokens(c);
  UsRolloutWork* m = calloc(1, sizeof(*m) + (size_t)c->depth * sizeof(Layer));
  if (!m) return NULL;
  m->device = p->base.device;
  m->tile = candidates;
  m->many = candidates > c->context ? candidates : c->context;
  m->kept = horizon;
  m->step = NAN;
  m->pass = (Pass){.batch = candidates,
                   .tq = g,
                   .tk = c->context * g,
                   .rows = candidates * g,
                   .period = g,
                   .stride = predictor_cache(c),
                   .layer = m->layer};
  place(p, a, m);
  return m;
}

double us_predictor_work_bytes(const UsPredictor* p, int candidates, int horizon) {
  UsArena a = {0};
  us_predictor_work_destroy(measure(p, candidates, horizon, &a));
  return (double)a.size;
}

UsRolloutWork* us_predictor_work_create(const UsPredictor* p, int candidates, int horizon) {
  // Count, allocate on the device, place.
  UsArena a = {0};
  UsRolloutWork* m = measure(p, candidates, horizon, &a);
  if (!m) return NULL;
  size_t turn = turn_of(&p->c), frames = (size_t)(m->many > horizon ? m->many : horizon);
  m->places = calloc((frames + 1) * turn, sizeof(float));
  if (!m->places || us_ops_arena_alloc(m->device, &a) != US_OK) {
    us_predictor_work_destroy(m);
    return NULL;
  }
  m->angles = m->places + turn;
  predictor_angles(&p->c, 0, m->places);
  m->block = a.base;
  place(p, &a, m);
  // Many rows take the weights transposed, once for all rollouts.
  for (int i = 0; m->weights && i < p->list.count; i++) {
    const UsParam* t = &p->list.param[i];
    if (t->rank != 2) continue;
    us_ops_transpose(m->device, (int)t->dim[0], (int)t->dim[1], p->params + t->offset,
                     m->weights + t->offset);
  }
  m->pass.transposed = m->weights;
  return m;
}

void us_predictor_work_destroy(UsRolloutWork* m) {
  if (!m) return;
  us_ops_free(m->device, m->block);
  free(m->places);
  free(m);
}

int predictor_tile(const UsPredictor* p) {
  enum { kWideRows = 64 * 1024 };
  if (!p->base.device->wide) return predictor_candidates(&p->c, kTileRows);
  // So many rows keep all of a wide device busy; a quarter of what is free may go to them.
  UsDeviceInfo info;
  us_device_info(p->base.device, &info);
  int most = predictor_candidates(&p->c, kWideRows);
  double each = us_predictor_work_bytes(p, most + 1, 1) / (most + 1), room = info.unused / 4 / each;
  return info.unused > 0 && room < most ? (room > 1 ? (int)room : 1) : most;
}

// ---- keys and values ----

// Angles of frame `i` of those that go to the device next, which is seen at `time`.
static void set_angles(const UsPredictor* p, UsRolloutWork* m, int i, double time) {
  size_t turn = turn_of(&p->c);
  float* out = m->angles + (size_t)i * turn;
  memcpy(out, m->places, turn * sizeof(float));
  predictor_time_angles(&p->c, time, out);
}

// The angles of predicted frame f in tensor memory: with the same step they are there already, but
// for frames behind those that the work keeps.
static float* target_angles(const UsPredictor* p, UsRolloutWork* m, double step, int f) {
  size_t turn = turn_of(&p->c);
  int from = f / m->kept * m->kept;
  if (!(m->step == step && m->from == from)) {
    for (int i = 0; i < m->kept; i++) set_angles(p, m, i, (from + i + 1) * step);
    us_ops_put(m->device, m->targets, m->angles, (size_t)m->kept * turn);
    m->step = step;
    m->from = from;
  }
  return m->targets + (size_t)(f - from) * turn;
}

// One context, frame by frame, in the rows that a product of one frame has.
static void cache_one(const UsPredictor* p, UsRolloutWork* m, const float* context,
                      const double* times, float* cache) {
  const UsPredictorConfig* c = &p->c;
  const int g = m->pass.tq;
  size_t frame = (size_t)(g * c->width), each = (size_t)c->context * frame, turn = turn_of(c);
  for (int i = 0; i < c->context; i++) {
    const KvPlace to = {cache + (size_t)i * frame, cache + each + (size_t)i * frame, g, 2 * each,
                        0};
    set_angles(p, m, 0, times[i] - times[c->context - 1]);
    us_ops_put(m->device, m->seen, m->angles, turn);
    kv_forward(p, NULL, 1, context + (size_t)(i * g * c->dim), m->seen, g, m->both, &to);
  }
}

void us_predictor_cache(const UsPredictor* p, UsRolloutWork* m, int n, const int* slot,
                        const float* contexts, const double* times, float* caches) {
  const UsPredictorConfig* c = &p->c;
  const int frames = c->context, most = m->many / frames;
  size_t context = (size_t)(m->pass.tk * c->dim), cache = p->base.cache, half = cache / 2;
  if (n == 1 && !slot && !m->device->wide) {
    cache_one(p, m, contexts, times, caches);
    return;
  }
  half /= (size_t)c->depth;
  for (int i = 0; i < n; i += most, times += most * frames) {
    int count = n - i < most ? n - i : most, tables = 1;
    // Mostly all slots have seen their frames at the same distances; then one table is enough.
    for (int k = frames; k < count * frames; k++) {
      double now = times[k] - times[k / frames * frames + frames - 1];
      if (now != times[k % frames] - times[frames - 1]) tables = count;
    }
    for (int k = 0; k < tables * frames; k++) {
      set_angles(p, m, k, times[k] - times[k / frames * frames + frames - 1]);
    }
    us_ops_put(m->device, m->seen, m->angles, (size_t)(tables * frames) * turn_of(c));
    // A context's frames lie together in its cache, as if they were one of so many tokens.
    const float* x = contexts + (size_t)i * context;
    float* to = slot ? m->ring : caches + (size_t)i * cache;
    const KvPlace at = {to, to + half, m->pass.tk, 2 * half, cache};
    if (slot) {
      us_ops_copy_rows(m->device, count, (int)context, 1, slot + i, contexts, context, m->shown,
                       context);
      x = m->shown;
    }
    kv_forward(p, m->weights, count, x, m->seen, tables * m->pass.tk, m->both, &at);
    // To the slots' own places; with one place a slot nothing else is pushed out.
    if (slot) us_ops_push(m->device, count, 1, (int)cache, slot + i, slot + i, m->ring, caches);
  }
}

// Puts keys and values of tokens (R, D) at the target's angles into place `place` of the rings.
static void put_frame(const UsPredictor* p, UsRolloutWork* m, const float* tokens, int place) {
  const Pass* s = &m->pass;
  size_t frame = (size_t)(s->tq * p->c.width), each = (size_t)p->c.context * frame;
  float* to = m->ring + (size_t)place * frame;
  const KvPlace at = {to, to + each, s->tq, 2 * each, s->stride};
  kv_forward(p, m->weights, s->batch, tokens, s->angles, s->period, m->both, &at);
}

// ---- the frames of a rollout ----

// The newest frame and the cache of a slot for `rows` candidates from `first` on, `repeat` of each.
static void start(const UsPredictor* p, UsRolloutWork* m, const UsRollout* task, int first,
                  int rows, int repeat) {
  const UsPredictorConfig* c = &p->c;
  size_t one = (size_t)(m->pass.tq * c->dim), context = (size_t)c->context * one;
  us_ops_copy_rows(m->device, rows, (int)one, repeat, task->slot, task->contexts + context - one,
                   context, m->pass.last + (size_t)first * one, one);
  if (task->recompute) return;
  us_ops_copy_rows(m->device, rows, (int)p->base.cache, repeat, task->slot, task->caches,
                   p->base.cache, m->ring + (size_t)first * p->base.cache, p->base.cache);
}

// Where frame f waits for its group.
static float* waiting(const UsPredictor* p, UsRolloutWork* m, int f) {
  return m->shown + (size_t)(f % p->c.context * m->tile * m->pass.tq) * (size_t)p->c.dim;
}

// Frame f, which is predicted, is kept for those that will see it. The last one of a group brings
// the others into the rings, and is the newest frame of the next group's targets.
static void feed(const UsPredictor* p, UsRolloutWork* m, const UsRollout* task, int f) {
  const UsPredictorConfig* c = &p->c;
  Pass* s = &m->pass;
  int last = predictor_group(c, f) + c->leap - 1, first = last - c->context + 1;
  if (f < last) {
    size_t all = (size_t)s->rows * (size_t)c->dim;
    if (f >= first) us_ops_copy(m->device, s->out, waiting(p, m, f), all);
    return;
  }
  for (int i = first > f - c->leap + 1 ? first : f - c->leap + 1; i < f; i++) {
    s->angles = target_angles(p, m, task->step, i);
    put_frame(p, m, waiting(p, m, i), i % c->context);
  }
  s->angles = target_angles(p, m, task->step, f);
  if (!task->recompute) put_frame(p, m, s->out, f % c->context);
  float* newest = s->out;
  s->out = s->last;
  s->last = newest;
}

void us_predictor_rollout(const UsPredictor* p, UsRolloutWork* m, const UsRollout* task) {
  const UsPredictorConfig* c = &p->c;
  Pass* s = &m->pass;
  const int count = task->slots * task->samples, ka = predictor_block(c);
  US_ASSERT(task->slots > 0 && task->samples > 0 && count <= m->tile);
  US_ASSERT(c->action == 0 || task->actions);
  size_t one = (size_t)(s->tq * c->dim), all = (size_t)count * one;

  // Few candidates use a part of a tile; its rows come in steps, so that a candidate's numbers do
  // not depend on a few others. On a wide device they never do.
  int step = m->device->wide ? 1 : predictor_candidates(c, kTileStep);
  int batch = (count + step - 1) / step * step;
  s->batch = batch < m->tile ? batch : m->tile;
  s->rows = s->batch * s->tq;
  start(p, m, task, 0, count, task->samples);
  // Idle candidates are of the first slot, and do nothing.
  if (s->batch > count) {
    size_t inputs = (size_t)predictor_inputs(c), idle = (size_t)(s->batch - count);
    start(p, m, task, count, (int)idle, (int)idle);
    us_ops_zero(m->device, s->actions + (size_t)count * inputs, idle * inputs);
  }

  for (int f = 0; f < task->horizon; f++) {
    s->angles = target_angles(p, m, task->step, f);
    // Without a cache, for the benchmark: keys and values of all C frames again. All take the
    // target's angles, which costs the same.
    for (int i = 0; i < c->context && task->recompute; i++) {
      float* shown = m->shown + (size_t)(i * s->rows) * (size_t)c->dim;
      if (f == 0) us_ops_copy(m->device, s->last, shown, (size_t)s->rows * (size_t)c->dim);
      put_frame(p, m, shown, i);
    }
    if (ka > 0) {
      const int group = predictor_group(c, f);
      us_ops_window(m->device, count, task->samples, task->slot, task->horizon, group, c->past,
                    c->leap, f - group + 1, ka, task->clip, task->pasts, task->actions, s->actions);
    }
    pass_forward(p, s);
    // What the frame leaves behind: its distance to the goal, and itself.
    if (task->goals && task->distance) {
      us_ops_row_distance(m->device, count, (int)one, task->samples, task->slot, s->out,
                          task->goals, p->base.metric, task->distance + f, task->horizon);
    }
    if (task->frames) us_ops_copy(m->device, s->out, task->frames + (size_t)f * all, all);
    if (f + 1 < task->horizon) {
      feed(p, m, task, f);
    } else if (task->last) {
      us_ops_copy(m->device, s->out, task->last, all);
    }
  }
}
