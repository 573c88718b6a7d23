// understudy encoder probe: what features know of the true state, as a table.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/sim.h"
#include "scripts/commands/cli.h"
#include "scripts/commands/encoder_commands.h"
#include "scripts/commands/frames.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/encoder.h"
#include "worldmodel/probe.h"

enum { kShown = 24 };  // targets that are listed

typedef struct Options {
  char* encoder;
  char* data;
  int frames, dim, threads;
} Options;

typedef struct Probe {
  UsFrames frames;
  UsEncoder* encoder;
  UsPool* pool;
  int width;         // numbers of a latent, or of its projection
  int targets;       // Y
  float* z;          // (count, width)
  float* y;          // (count, Y)
  float* r2;         // (2, Y): linear, MLP
  char (*name)[64];  // (Y)
} Probe;

// ---- encoders that are made from the frames ----

static int count_positions(const char* task) {
  UsEnv* e;
  if (us_cli_open_sim(task, NULL, &e) != US_OK) return 0;
  int positions = us_sim_positions(e);
  us_env_close(e);
  return positions;
}

static UsStatus open_encoder(const Options* o, Probe* p) {
  const UsFrames* f = &p->frames;
  if (us_encoder_reads(o->encoder)) {
    UsEncoderData rows = {.path = o->data,
                          .task = f->info.task,
                          .n = f->count,
                          .height = f->info.height,
                          .width = f->info.width,
                          .pixels = f->pixels,
                          .state = f->info.state,
                          .positions = count_positions(f->info.task),
                          .states = f->states,
                          .dim = o->dim};
    return us_encoder_make(o->encoder, &rows, p->pool, &p->encoder);
  }
  US_TRY(us_encoder_open(o->encoder, &p->encoder));
  const UsEncoderInfo* info = us_encoder_info(p->encoder);
  if (info->state == 0 && (info->height != f->info.height || info->width != f->info.width)) {
    return us_fail(US_FORMAT, "%s: expected frames of %d x %d px, found %d x %d", o->data,
                   info->width, info->height, f->info.width, f->info.height);
  }
  if (info->state && info->state != f->info.state) {
    return us_fail(US_FORMAT, "%s: expected states of %d numbers, found %d", o->data, info->state,
                   f->info.state);
  }
  return US_OK;
}

// ---- distances ----

typedef struct Ranked {
  double value;
  int index;
} Ranked;

static int by_value(const void* a, const void* b) {
  const Ranked *x = a, *y = b;
  if (x->value != y->value) return x->value < y->value ? -1 : 1;
  return x->index - y->index;
}

// Spearman's rank correlation of a (n) and b (n); NaN when out of memory.
static double rank_correlation(int n, const double* a, const double* b) {
  Ranked* list = malloc((size_t)n * sizeof(Ranked));
  double* rank = malloc(2 * (size_t)n * sizeof(double));
  double dot = 0, middle = (n - 1) / 2.0, squares = 0;
  for (int which = 0; list && rank && which < 2; which++) {
    for (int i = 0; i < n; i++) list[i] = (Ranked){(which ? b : a)[i], i};
    qsort(list, (size_t)n, sizeof(Ranked), by_value);
    for (int i = 0; i < n; i++) rank[which * n + list[i].index] = i;
  }
  for (int i = 0; list && rank && i < n; i++) {
    dot += (rank[i] - middle) * (rank[n + i] - middle);
    squares += (i - middle) * (i - middle);
  }
  int ok = list && rank;
  free(list);
  free(rank);
  return ok ? dot / squares : NAN;
}

static double true_distance(const double* x, const double* y, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sqrt(sum);
}

static double distance(const float* x, const float* y, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
  return sqrt(sum);
}

// Rank correlations of latent and true distance: pairs over the whole range, and pairs nearer than
// a quarter and a tenth of the mean true distance.
static UsStatus print_distances(const Probe* p, int positions) {
  enum { kPairs = 20000, kTries = 2000000 };
  static const double within[3] = {INFINITY, 0.25, 0.1};
  static const char* const names[3] = {"all pairs", "nearer than mean/4", "nearer than mean/10"};
  double* d = malloc(2 * kPairs * sizeof(double));
  if (!d) return us_fail(US_MEMORY, "out of memory for distances");
  size_t s = (size_t)p->frames.info.state;
  double mean = 0;
  printf("\nrank correlation of latent and true distance (first %d numbers of the state)\n",
         positions);
  for (int w = 0; w < 3; w++) {
    UsRng r = us_rng(7, US_RNG_PAIRS, (uint64_t)w, 0, 0);
    int n = 0;
    for (int i = 0; i < kTries && n < kPairs && !us_interrupted(); i++) {
      size_t a = us_rng_below(&r, (uint32_t)p->frames.count);
      size_t b = us_rng_below(&r, (uint32_t)p->frames.count);
      double truth = true_distance(p->frames.states + a * s, p->frames.states + b * s, positions);
      if (a == b || (w && truth > within[w] * mean)) continue;
      d[n] = truth;
      d[kPairs + n++] = distance(p->z + a * p->width, p->z + b * p->width, p->width);
    }
    if (n < 100) continue;
    if (!w) {
      for (int i = 0; i < n; i++) mean += d[i] / n;
    }
    printf("  %-22s %.3f  (%d pairs)\n", names[w], rank_correlation(n, d, d + kPairs), n);
  }
  free(d);
  return us_interrupt_check("distances");
}

// ---- targets ----

// Adds the target `f(q[at])` with a name; f: 0 the number itself, 1 sine, 2 cosine.
static void add_target(Probe* p, int at, int f, const char* name) {
  static const char* const format[3] = {"", "sin ", "cos "};
  int all = p->targets++, s = p->frames.info.state;
  snprintf(p->name[all], sizeof(p->name[all]), "%s%.40s", format[f], name);
  float* y = p->y + (size_t)all * (size_t)p->frames.count;  // by target at first
  for (int i = 0; i < p->frames.count; i++) {
    double q = p->frames.states[(size_t)i * (size_t)s + (size_t)at];
    y[i] = (float)(f == 0 ? q : f == 1 ? sin(q) : cos(q));
  }
}

// The positions of a task known here: slides, the place of free joints, sine and cosine of hinges.
static void add_joints(Probe* p, const mjModel* m) {
  for (int j = 0; j < m->njnt; j++) {
    const char* name = mj_id2name(m, mjOBJ_JOINT, j);
    char number[24];
    snprintf(number, sizeof(number), "joint %d", j);
    if (!name) name = number;
    int at = m->jnt_qposadr[j], type = m->jnt_type[j];
    if (type == mjJNT_SLIDE) add_target(p, at, 0, name);
    for (int f = 1; type == mjJNT_HINGE && f < 3; f++) add_target(p, at, f, name);
    for (int i = 0; type == mjJNT_FREE && i < 3; i++) {
      char axis[40];
      snprintf(axis, sizeof(axis), "%.30s %.1s", name, &"xyz"[i]);
      add_target(p, at + i, 0, axis);
    }
  }
}

// Fills y and name: joints of the file's task, or all numbers of the state of one that is not here.
static UsStatus make_targets(Probe* p) {
  size_t n = (size_t)p->frames.count, most = 2 * (size_t)p->frames.info.state;
  p->y = malloc(n * most * sizeof(float));
  p->name = calloc(most, sizeof(p->name[0]));
  p->r2 = malloc(2 * most * sizeof(float));
  if (!p->y || !p->name || !p->r2) return us_fail(US_MEMORY, "out of memory for targets");
  UsEnv* e = NULL;
  const char* task = p->frames.info.task;
  if (us_cli_task(task)) US_TRY(us_cli_open_sim(task, NULL, &e));
  if (e && us_env_info(e)->state == p->frames.info.state) add_joints(p, us_sim_model(e));
  us_env_close(e);
  for (int i = 0, known = p->targets; !known && i < p->frames.info.state; i++) {
    char name[24];
    snprintf(name, sizeof(name), "state %d", i);
    add_target(p, i, 0, name);
  }
  // By row from here on.
  float* rows = malloc(n * (size_t)p->targets * sizeof(float));
  if (!rows) return us_fail(US_MEMORY, "out of memory for targets");
  for (size_t i = 0; i < n; i++) {
    for (int k = 0; k < p->targets; k++) {
      rows[i * (size_t)p->targets + (size_t)k] = p->y[(size_t)k * n + i];
    }
  }
  free(p->y);
  p->y = rows;
  return US_OK;
}

// ---- the command ----

// out (US_PROBE_WIDTH) of z (width): every number is added, with a sign, to one of the sums. Signs
// and places are drawn once, so that lengths and products are kept but for a few per cent (feature
// hashing; Weinberger et al. 2009).
static void project(size_t width, const float* z, float* out) {
  UsRng r = us_rng(1, US_RNG_INIT, 0, 0, 0);
  memset(out, 0, US_PROBE_WIDTH * sizeof(float));
  for (size_t i = 0; i < width; i++) {
    uint32_t bits = us_rng_bits(&r);
    out[bits % US_PROBE_WIDTH] += bits >> 31 ? z[i] : -z[i];
  }
}

typedef struct Projection {
  size_t width;
  const float* z;  // (n, width)
  float* out;      // (n, US_PROBE_WIDTH)
} Projection;

static void project_item(void* arg, int item, int worker) {
  const Projection* p = arg;
  if (us_interrupted()) return;
  project(p->width, p->z + (size_t)item * p->width, p->out + (size_t)item * US_PROBE_WIDTH);
}

// Fills p->z piece by piece: the latents, or their projections where they are too wide to fit.
static UsStatus encode_all(Probe* p, size_t latent, float* piece, int most) {
  const UsFrames* f = &p->frames;
  size_t frame = (size_t)f->info.height * (size_t)f->info.width * 3;
  UsProgress bar = us_progress_start("encode", "frames", f->count, 0);
  for (int at = 0, n; at < f->count; at += n) {
    n = f->count - at < most ? f->count - at : most;
    float* out = p->z + (size_t)at * (size_t)p->width;
    UsStatus status =
        us_encoder_encode(p->encoder, n, f->pixels + (size_t)at * frame,
                          f->states + (size_t)at * f->info.state, piece ? piece : out, p->pool);
    Projection job = {latent, piece, out};
    if (status == US_OK && piece) us_pool_run(p->pool, n, project_item, &job);
    if (status == US_OK) status = us_progress_step(&bar, at + n, "encoding frames");
    if (status != US_OK) us_progress_end(&bar);
    US_TRY(status);
  }
  us_progress_end(&bar);
  return US_OK;
}

static UsStatus encode(Probe* p) {
  const UsEncoderInfo* info = us_encoder_info(p->encoder);
  size_t latent = (size_t)info->tokens * (size_t)info->dim, n = (size_t)p->frames.count;
  int wide = latent > US_PROBE_WIDTH, most = 4 * us_pool_threads(p->pool);
  p->width = wide ? US_PROBE_WIDTH : (int)latent;
  p->z = malloc(n * (size_t)p->width * sizeof(float));
  float* piece = wide ? malloc((size_t)most * latent * sizeof(float)) : NULL;
  UsStatus status = p->z && (piece || !wide) ? encode_all(p, latent, piece, most)
                                             : us_fail(US_MEMORY, "out of memory for features");
  free(piece);
  return status;
}

static UsStatus print_r2(const Probe* p) {
  int s = p->targets, n = p->frames.count, train = n / 5 * 4;
  // Rows are in the order of time, so the last fifth is other episodes.
  US_TRY(us_probe(train, n - train, p->width, s, p->z, p->y, p->z + (size_t)train * p->width,
                  p->y + (size_t)train * s, 1, p->r2, p->r2 + s));
  double mean[2] = {0, 0};
  printf("\n%-24s %9s %9s\n", "R^2 on held-out rows", "linear", "MLP");
  for (int i = 0; i < s; i++) {
    for (int k = 0; k < 2; k++) mean[k] += (double)p->r2[k * s + i] / s;
    if (i < kShown) {
      printf("  %-22s %9.4f %9.4f\n", p->name[i], (double)p->r2[i], (double)p->r2[s + i]);
    }
  }
  if (s > kShown) printf("  ... of %d\n", s);
  printf("  %-22s %9.4f %9.4f\n", "mean", mean[0], mean[1]);
  return US_OK;
}

static UsStatus run(const Options* o, Probe* p) {
  p->pool = us_pool_create(o->threads);
  if (!p->pool) return us_fail(US_MEMORY, "no memory for threads");
  US_TRY(us_frames_read(o->data, o->frames, 1, &p->frames));
  if (p->frames.info.state < 2 || p->frames.count < 100) {
    return us_fail(US_FORMAT, "%s: expected at least 100 rows with states, found %d", o->data,
                   p->frames.count);
  }
  US_TRY(open_encoder(o, p));
  US_TRY(encode(p));
  US_TRY(make_targets(p));
  const UsEncoderInfo* info = us_encoder_info(p->encoder);
  printf("%s (%s): %d tokens of %d; %s: %d rows\n", o->encoder, info->kind, info->tokens, info->dim,
         o->data, p->frames.count);
  if (p->width < info->tokens * info->dim) {
    printf("projected at random to %d of %d numbers\n", p->width, info->tokens * info->dim);
  }
  US_TRY(print_r2(p));
  return print_distances(p, 2);
}

int us_encoder_probe_command(int argc, const char** argv) {
  Options o = {.frames = 10000, .dim = 64};
  Probe p = {0};
  const struct poptOption table[] = {
      {"encoder", 0, POPT_ARG_STRING, &o.encoder, 0,
       "a folder, or default, pca, state (the last two made from the data)", "DIR"},
      {"data", 0, POPT_ARG_STRING, &o.data, 0, "dataset", "F.h5"},
      {"frames", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.frames, 0, "rows used", "N"},
      {"dim", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.dim, 0, "components of pca", "D"},
      {"threads", 0, POPT_ARG_INT, &o.threads, 0, "threads; 0: one per processor", "N"},
      POPT_TABLEEND};
  int code = us_cli_parse(
      argc, argv, table, "--encoder DIR --data F.h5 [options]",
      "Fits the true state from the features of frames, linearly and by a small\n"
      "network, and compares distances. More than 1024 numbers a frame are projected to\n"
      "so many at random. Example:\n"
      "  understudy encoder probe --encoder default --data heldout.h5\n",
      NULL, 0);
  if (code < 0 && (!o.encoder || !o.data)) {
    code = us_cli_usage(argv[0], "expected --encoder and --data");
  }
  if (code < 0 && (o.frames < 100 || o.dim < 1 || o.threads < 0)) {
    code = us_cli_usage(argv[0], "expected --frames of 100 or more, --dim of 1 or more");
  }
  if (code < 0) {
    UsStatus status = run(&o, &p);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  us_frames_free(&p.frames);
  us_encoder_destroy(p.encoder);
  us_pool_destroy(p.pool);
  free(p.z);
  free(p.y);
  free(p.r2);
  free(p.name);
  free(o.encoder);
  free(o.data);
  return code;
}
