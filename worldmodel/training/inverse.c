// The inverse model in use: features, batches, labels. Equations in inverse.h; the fits are
// inverse_fit.c, how far labels are trusted inverse_trust.c.

#include "worldmodel/inverse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/ops.h"
#include "worldmodel/ops/ops_table.h"
#include "worldmodel/training/inverse_inner.h"

static const float speed = 3;  // weight of differences beside positions

const char* us_inverse_kind_name(UsInverseKind kind) {
  return kind == US_INVERSE_LINEAR ? "linear" : "network";
}

const UsInverseFigures* us_inverse_figures(const UsInverse* m) {
  return &m->f;
}

// ---- features ----

Step inverse_step(const UsTracks* tracks, int64_t track, int k) {
  Step s;
  int64_t first = tracks->offset[track];
  int last = tracks->length[track] - 1;
  for (int i = 0; i < AROUND; i++) {
    int at = k + i - 1;
    s.row[i] = first + (at < 0 ? 0 : at > last ? last : at);
  }
  return s;
}

// The frame (D) of a row; `room` (D) is where one of bfloat16 becomes floats.
static const float* frame_of(const UsTracks* tracks, size_t d, int64_t row, float* room) {
  if (tracks->latents) return tracks->latents + (size_t)row * d;
  us_bfloats_wide(d, tracks->bfloats + (size_t)row * d, room);
  return room;
}

void inverse_features(const UsInverse* m, const UsTracks* tracks, const Step* s, float* x) {
  size_t d = (size_t)m->c.dim;
  float room[AROUND][US_INVERSE_DIM];
  const float* z[AROUND];
  for (int i = 0; i < AROUND; i++) z[i] = frame_of(tracks, d, s->row[i], room[i]);
  float scale = (float)(1 / m->scale), change = speed * scale;
  for (size_t j = 0; j < d; j++) {
    x[j] = scale * (z[1][j] - m->mean[j]);
    x[d + j] = change * (z[1][j] - z[0][j]);
    x[2 * d + j] = change * (z[2][j] - z[1][j]);
    x[3 * d + j] = change * (z[3][j] - z[2][j]);
  }
}

// ---- a batch ----

int inverse_guess_create(const UsInverse* m, Guess* g) {
  size_t in = ROWS * (size_t)m->in, hidden = ROWS * (size_t)HIDDEN;
  size_t out = ROWS * (size_t)m->c.action;
  *g = (Guess){.x = calloc(in, sizeof(float)),
               .all = calloc((1 + MEMBERS) * out, sizeof(float)),
               .block = us_ops_alloc(m->d, in + 3 * hidden + 2 * out)};
  g->on = g->block;
  g->up = g->on + in;
  g->h1 = g->up + hidden;
  g->h2 = g->h1 + hidden;
  g->y = g->h2 + hidden;
  return g->x && g->all && g->block;
}

void inverse_guess_destroy(const UsInverse* m, Guess* g) {
  us_ops_free(m->d, g->block);
  free(g->x);
  free(g->all);
  *g = (Guess){0};
}

void inverse_member(const UsInverse* m, int i, Guess* g, float* y) {
  const float* w = m->members + (size_t)i * m->list.floats;
  const int a = m->c.action;
  us_ops_linear(m->d, ROWS, HIDDEN, m->in, g->on, w + m->w1, w + m->b1, g->up);
  us_ops_gelu(m->d, (size_t)ROWS * HIDDEN, g->up, g->h1);
  us_ops_linear(m->d, ROWS, HIDDEN, HIDDEN, g->h1, w + m->w2, w + m->b2, g->up);
  us_ops_gelu(m->d, (size_t)ROWS * HIDDEN, g->up, g->h2);
  us_ops_linear(m->d, ROWS, a, m->in, g->on, w + m->through, w + m->b3, y);
  us_ops_linear(m->d, ROWS, a, HIDDEN, g->h2, w + m->w3, NULL, y + (size_t)ROWS * (size_t)a);
  us_ops_add(m->d, (size_t)ROWS * (size_t)a, 1, y + (size_t)ROWS * (size_t)a, y);
}

void inverse_guess(const UsInverse* m, Guess* g, int members) {
  size_t a = (size_t)m->c.action, out = ROWS * a;
  us_ops_put(m->d, g->on, g->x, ROWS * (size_t)m->in);
  us_ops_linear(m->d, ROWS, (int)a, m->in, g->on, m->linear, m->linear + a * (size_t)m->in, g->y);
  us_ops_get(m->d, g->y, g->all, out);
  for (int i = 0; members && i < MEMBERS; i++) {
    inverse_member(m, i, g, g->y);
    us_ops_get(m->d, g->y, g->all + (size_t)(1 + i) * out, out);
  }
}

void inverse_answer(const UsInverse* m, const Guess* g, int r, UsInverseKind kind, float* a,
                    double* clue) {
  size_t n = (size_t)m->c.action, out = ROWS * n;
  double spread = 0, apart = 0, size = 0;
  for (size_t j = 0; j < n; j++) {
    // The linear model stands first, the members behind it.
    const float* one = g->all + (size_t)r * n + j;
    double sum = 0, squares = 0, linear = (double)one[0];
    for (int i = 1; i <= MEMBERS; i++) sum += (double)one[(size_t)i * out];
    double mean = sum / MEMBERS, answer = kind == US_INVERSE_NETWORK ? mean : linear;
    for (int i = 1; i <= MEMBERS; i++) squares += pow((double)one[(size_t)i * out] - mean, 2);
    spread += squares / MEMBERS / (double)n;
    apart += pow(mean - linear, 2) / (double)n;
    a[j] = (float)fmin(fmax(answer, -1), 1);
    size += (double)a[j] * (double)a[j] / (double)n;
  }
  if (clue) inverse_clues(m, g->x + (size_t)r * (size_t)m->in, spread, apart, size, clue);
}

// ---- how good ----

UsStatus inverse_score(const UsInverse* m, const UsTracks* tracks, const Step* step, int64_t count,
                       UsInverseKind kind, double* r2) {
  size_t n = (size_t)m->c.action;
  double left = 0, all = 0;
  double* mean = calloc(n, sizeof(double));
  float* a = calloc(n, sizeof(float));
  Guess g;
  int ok = inverse_guess_create(m, &g) && mean && a;
  // The mean of each number, then what is left of its variance.
  for (int64_t i = 0; ok && i < count; i++) {
    const float* truth = tracks->actions + (size_t)step[i].row[1] * n;
    for (size_t j = 0; j < n; j++) mean[j] += (double)truth[j] / (double)count;
  }
  for (int64_t at = 0; ok && at < count; at += ROWS) {
    int rows = count - at < ROWS ? (int)(count - at) : ROWS;
    for (int r = 0; r < rows; r++) {
      inverse_features(m, tracks, &step[at + r], g.x + (size_t)r * (size_t)m->in);
    }
    inverse_guess(m, &g, kind == US_INVERSE_NETWORK);
    for (int r = 0; r < rows; r++) {
      const float* truth = tracks->actions + (size_t)step[at + r].row[1] * n;
      inverse_answer(m, &g, r, kind, a, NULL);
      for (size_t j = 0; j < n; j++) {
        left += pow((double)truth[j] - (double)a[j], 2);
        all += pow((double)truth[j] - mean[j], 2);
      }
    }
  }
  *r2 = all > 0 ? 1 - left / all : 0;
  inverse_guess_destroy(m, &g);
  free(mean);
  free(a);
  return ok ? US_OK : us_fail(US_MEMORY, "inverse model: out of memory");
}

// ---- labels ----

typedef struct Labels {
  const UsInverse* m;
  const UsTracks* tracks;
  float *actions, *weight;
  Guess* guess;  // (workers)
} Labels;

// All rows of a track.
static void label_track(void* arg, int item, int worker) {
  const Labels* l = arg;
  const UsInverse* m = l->m;
  Guess* g = &l->guess[worker];
  size_t n = (size_t)m->c.action;
  int length = l->tracks->length[item];
  for (int k = 0; k < length && !us_interrupted(); k += ROWS) {
    int rows = length - k < ROWS ? length - k : ROWS;
    for (int r = 0; r < rows; r++) {
      Step s = inverse_step(l->tracks, item, k + r);
      inverse_features(m, l->tracks, &s, g->x + (size_t)r * (size_t)m->in);
    }
    inverse_guess(m, g, 1);
    for (int r = 0; r < rows; r++) {
      size_t row = (size_t)(l->tracks->offset[item] + k + r);
      double clue[CLUES];
      inverse_answer(m, g, r, m->f.kind, l->actions + row * n, clue);
      l->weight[row] = inverse_reliable(m, clue);
    }
  }
}

// A run of tracks of one call to the pool.
typedef struct Some {
  Labels* all;
  int first;
} Some;

static void label_some(void* arg, int item, int worker) {
  const Some* s = arg;
  label_track(s->all, s->first + item, worker);
}

UsStatus us_inverse_label(const UsInverse* m, const UsTracks* tracks, UsPool* pool, float* actions,
                          float* weight) {
  enum { kSome = 16 };
  // A device that works on much at once does so for one thread.
  if (m->d->wide) pool = NULL;
  int workers = us_pool_threads(pool), ok = 1;
  Labels l = {m, tracks, actions, weight, calloc((size_t)workers, sizeof(Guess))};
  for (int i = 0; l.guess && i < workers; i++) ok &= inverse_guess_create(m, &l.guess[i]);
  UsStatus status =
      l.guess && ok ? US_OK : us_fail(US_MEMORY, "inverse model: out of memory for labels");
  UsProgress bar = us_progress_start("label", "trajectories", (double)tracks->count, 0);
  for (int64_t e = 0; e < tracks->count && status == US_OK; e += kSome) {
    Some some = {&l, (int)e};
    int64_t left = tracks->count - e;
    us_pool_run(pool, left < kSome ? (int)left : kSome, label_some, &some);
    status = us_progress_step(&bar, (double)(left < kSome ? tracks->count : e + kSome), "labels");
  }
  us_progress_end(&bar);
  for (int i = 0; l.guess && i < workers; i++) inverse_guess_destroy(m, &l.guess[i]);
  free(l.guess);
  return status == US_OK ? us_device_check(m->d, "labels") : status;
}

// ---- the fit ----

// The mean of the frames' numbers and their common deviation, and the variance of the actions.
static void measure(UsInverse* m, const UsTracks* tracks, const Step* step, int64_t count) {
  size_t d = (size_t)m->c.dim, n = (size_t)m->c.action;
  double all = 0, actions = 0;
  for (size_t j = 0; j < d; j++) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
      size_t at = (size_t)step[i].row[1] * d + j;
      double x =
          tracks->latents ? (double)tracks->latents[at] : us_bfloat_wide(tracks->bfloats[at]);
      sum += x, squares += x * x;
    }
    double mean = sum / (double)count;
    m->mean[j] = (float)mean;
    all += fmax(squares / (double)count - mean * mean, 0) / (double)d;
  }
  for (size_t j = 0; j < n; j++) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
      double x = (double)tracks->actions[(size_t)step[i].row[1] * n + j];
      sum += x, squares += x * x;
    }
    actions += fmax(squares / (double)count - pow(sum / (double)count, 2), 0) / (double)n;
  }
  m->scale = all > 0 ? sqrt(all) : 1;
  m->f.variance = actions > 0 ? actions : 1;
}

static UsStatus fit(UsInverse* m, const UsTracks* tracks, const Step* step, UsPool* pool) {
  UsInverseFigures* f = &m->f;
  const Step* behind = step + f->fitted;
  measure(m, tracks, step, f->fitted);
  US_TRY(inverse_fit_linear(m, tracks, step, f->fitted, f->held));
  US_TRY(inverse_fit_network(m, tracks, step, f->fitted, pool));
  // The better one is kept; what goes with its errors tells what its labels are worth.
  US_TRY(inverse_score(m, tracks, behind, f->held, US_INVERSE_LINEAR, &f->linear));
  US_TRY(inverse_score(m, tracks, behind, f->held, US_INVERSE_NETWORK, &f->network));
  f->kind = f->network > f->linear ? US_INVERSE_NETWORK : US_INVERSE_LINEAR;
  return inverse_trust(m, tracks, behind, f->held);
}

// Its memory and the places of a member's tensors.
static UsStatus make(UsInverse* m) {
  size_t in = (size_t)m->in, a = (size_t)m->c.action;
#define X(field, flags, rows, columns) \
  m->field = us_params_add(&m->list, "", #field, flags, rows, columns, 0, 0);
  MEMBER(X)
#undef X
  m->mean = calloc((size_t)m->c.dim, sizeof(float));
  m->members = us_ops_alloc(m->d, MEMBERS * m->list.floats);
  m->linear = us_ops_alloc(m->d, a * in + a);
  int ok = !m->list.failed && m->mean && m->members && m->linear;
  return ok ? US_OK : us_fail(US_MEMORY, "inverse model: out of memory");
}

UsStatus us_inverse_fit(const UsInverseConfig* config, const UsTracks* tracks, UsPool* pool,
                        UsInverse** out) {
  *out = NULL;
  US_ASSERT(config->dim >= 1 && config->action >= 1 && tracks->actions);
  if (config->dim > US_INVERSE_DIM) {
    return us_fail(US_FORMAT, "inverse model: expected at most %d numbers a frame, found %d",
                   US_INVERSE_DIM, config->dim);
  }
  UsInverse* m = calloc(1, sizeof(*m));
  if (!m) return us_fail(US_MEMORY, "inverse model: out of memory");
  m->c = *config;
  if (!m->c.steps) m->c.steps = 1200;
  m->d = config->device ? config->device : us_device_cpu();
  m->in = PARTS * config->dim;
  // The steps behind which a frame follows: those of the fit, then those held back.
  int64_t steps = 0, at = 0;
  for (int64_t e = 0; e < tracks->count; e++) steps += tracks->length[e] - 1;
  Step* step = malloc(((size_t)steps + 1) * sizeof(Step));
  for (int64_t e = 0; step && e < tracks->count; e++) {
    if (e < tracks->count - config->held) m->f.fitted += tracks->length[e] - 1;
    for (int k = 0; k + 1 < tracks->length[e]; k++) step[at++] = inverse_step(tracks, e, k);
  }
  m->f.held = steps - m->f.fitted;
  UsStatus status = step ? make(m) : us_fail(US_MEMORY, "inverse model: out of memory");
  if (status == US_OK && (m->f.fitted < 2 || m->f.held < 2)) {
    status = us_fail(US_FORMAT,
                     "inverse model: expected steps to fit and to hold back, found %lld "
                     "and %lld",
                     (long long)m->f.fitted, (long long)m->f.held);
  }
  if (status == US_OK) status = fit(m, tracks, step, pool);
  free(step);
  if (status == US_OK) *out = m;
  if (status != US_OK) us_inverse_destroy(m);
  return status;
}

void us_inverse_destroy(UsInverse* m) {
  if (!m) return;
  us_ops_free(m->d, m->members);
  us_ops_free(m->d, m->linear);
  us_params_free(&m->list);
  free(m->mean);
  free(m);
}
