// What the features of an encoder know of the true state, and how their distances go with true
// ones.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/encoder_jobs.h"
#include "datasets/training/encoder_source.h"
#include "datasets/training/frames.h"
#include "env/sim.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rank.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/probe.h"

#define US_SETTING_OF UsEncoderProbeConfig
const UsSetting us_encoder_probe_settings[] = {US_ENCODER_PROBE_SETTINGS(US_SETTING_ROW)
                                                   US_SETTING_END};

UsEncoderProbeConfig us_encoder_probe_defaults(void) {
  UsEncoderProbeConfig c = {0};
  us_settings_default(us_encoder_probe_settings, &c);
  return c;
}

typedef struct Probe {
  const UsEncoderProbeConfig* c;
  UsEncoderProbeResult* result;
  UsFrames frames;
  UsDevice* device;
  UsEncoder* encoder;
  float* z;  // (count, width): latents, or their projections
  float* y;  // (count, targets)
} Probe;

// ---- latents ----

typedef struct Projection {
  size_t width;
  const float* z;  // (n, width)
  float* out;      // (n, US_PROBE_WIDTH)
} Projection;

// One row of out: every number of z is added, with a sign, to one of the sums. Signs and places are
// drawn once, so that lengths and products are kept but for a few per cent (feature hashing;
// Weinberger et al. 2009).
static void project_item(void* arg, int item, int worker) {
  const Projection* p = arg;
  const float* z = p->z + (size_t)item * p->width;
  float* out = p->out + (size_t)item * US_PROBE_WIDTH;
  if (us_interrupted()) return;
  UsRng r = us_rng(1, US_RNG_INIT, 0, 0, 0);
  memset(out, 0, US_PROBE_WIDTH * sizeof(float));
  for (size_t i = 0; i < p->width; i++) {
    uint32_t bits = us_rng_bits(&r);
    out[bits % US_PROBE_WIDTH] += bits >> 31 ? z[i] : -z[i];
  }
}

// Fills p->z piece by piece.
static UsStatus encode(Probe* p) {
  const UsFrames* f = &p->frames;
  const UsEncoderInfo* info = us_encoder_info(p->encoder);
  size_t latent = (size_t)info->tokens * (size_t)info->dim;
  size_t frame = (size_t)f->info.height * (size_t)f->info.width * 3;
  int wide = latent > US_PROBE_WIDTH, most = 4 * us_pool_threads(p->c->pool);
  p->result->width = wide ? US_PROBE_WIDTH : (int)latent;
  p->z = malloc((size_t)f->count * (size_t)p->result->width * sizeof(float));
  // piece (most, latent): where latents are too wide to keep
  float* piece = wide ? malloc((size_t)most * latent * sizeof(float)) : NULL;
  if (!p->z || (wide && !piece)) {
    free(piece);
    return us_fail(US_MEMORY, "out of memory for features");
  }
  // A few frames for every thread at a time, so that the bar moves and a wish to stop is heard.
  UsProgress bar = us_progress_start("encode", "frames", f->count, 0);
  UsStatus status = US_OK;
  for (int at = 0, n; status == US_OK && at < f->count; at += n) {
    n = f->count - at < most ? f->count - at : most;
    float* out = p->z + (size_t)at * (size_t)p->result->width;
    status =
        us_encoder_encode(p->encoder, n, f->pixels + (size_t)at * frame,
                          f->states + (size_t)at * f->info.state, piece ? piece : out, p->c->pool);
    Projection job = {latent, piece, out};
    if (status == US_OK && piece) us_pool_run(p->c->pool, n, project_item, &job);
    if (status == US_OK) status = us_progress_step(&bar, at + n, "encoding frames");
  }
  us_progress_end(&bar);
  free(piece);
  return status;
}

// ---- what is read out of them ----

// Fills result->target and y: places of the file's task, angles as sine and cosine; all numbers of
// the state where the task is not known.
static UsStatus make_targets(Probe* p) {
  // Room for the most there can be: every number as sine and cosine.
  size_t s = (size_t)p->frames.info.state, n = (size_t)p->frames.count, count = 0;
  UsPosition* list = calloc(s, sizeof(UsPosition));
  p->result->target = calloc(2 * s, sizeof(UsProbeTarget));
  p->y = malloc(2 * s * n * sizeof(float));
  UsStatus status = list && p->result->target && p->y
                        ? US_OK
                        : us_fail(US_MEMORY, "out of memory for what is probed");
  // The places that the simulator of the task names, or all numbers of a state.
  UsEnv* e = NULL;
  if (status == US_OK) status = us_known_sim(p->frames.info.task, p->c->tasks, &e);
  if (e && us_env_info(e)->state == (int)s) count = (size_t)us_sim_places(e, list);
  us_env_close(e);
  for (size_t i = 0; status == US_OK && !count && i < s; i++) {
    list[i].at = (int)i;
    snprintf(list[i].name, sizeof(list[i].name), "state %zu", i);
    if (i + 1 == s) count = s;
  }

  // The numbers to be read out, row by row.
  int targets = 0;
  for (size_t i = 0; i < count; i++) targets += 1 + list[i].angle;
  p->result->targets = targets;
  for (size_t i = 0, k = 0; i < count; i++) {
    for (int f = list[i].angle; f <= 2 * list[i].angle; f++, k++) {  // 0 itself, 1 sine, 2 cosine
      static const char* const before[3] = {"", "sin ", "cos "};
      UsProbeTarget* t = &p->result->target[k];
      snprintf(t->name, sizeof(t->name), "%s%s", before[f], list[i].name);
      for (size_t row = 0; row < n; row++) {
        double q = p->frames.states[row * s + (size_t)list[i].at];
        p->y[row * (size_t)targets + k] = (float)(f == 0 ? q : f == 1 ? sin(q) : cos(q));
      }
    }
  }
  free(list);
  return status;
}

static UsStatus fit(Probe* p) {
  UsEncoderProbeResult* out = p->result;
  int s = out->targets, n = p->frames.count, train = n / 5 * 4;
  float* r2 = calloc(2 * (size_t)s, sizeof(float));
  if (!r2) return us_fail(US_MEMORY, "out of memory for what is probed");
  // Rows are in the order of time, so the last fifth is other episodes.
  UsStatus status =
      us_probe(train, n - train, out->width, s, p->z, p->y, p->z + (size_t)train * out->width,
               p->y + (size_t)train * s, 1, r2, r2 + s);
  // What was found of each target, and the means.
  for (int i = 0; i < s; i++) {
    out->target[i].linear = r2[i];
    out->target[i].network = r2[s + i];
    out->linear += (double)r2[i] / s;
    out->network += (double)r2[s + i] / s;
  }
  free(r2);
  return status;
}

// ---- distances ----

// Distance of two latents.
static double distance(const float* x, const float* y, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
  return sqrt(sum);
}

// Random pairs of each range, by the distance of the first two numbers of their states, until there
// are enough or too many were out of it.
static UsStatus compare_distances(Probe* p) {
  enum { kPairs = 20000, kTries = 2000000, kFew = 100 };
  static const double within[US_PROBE_RANGES] = {INFINITY, 0.25, 0.1};  // of the mean distance
  size_t s = (size_t)p->frames.info.state, width = (size_t)p->result->width;
  double* d = malloc(2 * kPairs * sizeof(double));  // true, of latents
  UsStatus status = d ? US_OK : us_fail(US_MEMORY, "out of memory for distances");
  double mean = 0;
  for (int w = 0; status == US_OK && w < US_PROBE_RANGES; w++) {
    // The draws of a range are its own, whatever the others found.
    UsRng r = us_rng(7, US_RNG_PAIRS, (uint64_t)w, 0, 0);
    int n = 0;
    for (int i = 0; i < kTries && n < kPairs && !us_interrupted(); i++) {
      size_t a = us_rng_below(&r, (uint32_t)p->frames.count);
      size_t b = us_rng_below(&r, (uint32_t)p->frames.count);
      const double *x = p->frames.states + a * s, *y = p->frames.states + b * s;
      double truth = sqrt((x[0] - y[0]) * (x[0] - y[0]) + (x[1] - y[1]) * (x[1] - y[1]));
      // A range is told by the mean of the first, which takes all pairs.
      if (a == b || (w && truth > within[w] * mean)) continue;
      d[n] = truth;
      d[kPairs + n++] = distance(p->z + a * width, p->z + b * width, (int)width);
    }
    for (int i = 0; !w && i < n; i++) mean += d[i] / n;
    if (n < kFew) continue;
    p->result->pairs[w] = n;
    p->result->correlation[w] = us_rank_correlation(n, d, d + kPairs);
  }
  free(d);
  return status == US_OK ? us_interrupt_check("distances") : status;
}

// ---- the job ----

static UsStatus run(Probe* p) {
  const UsEncoderProbeConfig* c = p->c;
  // Rows with frames and states.
  US_TRY(us_frames_read(c->data, c->frames, 1, &p->frames));
  if (p->frames.info.state < 2 || p->frames.count < 100) {
    return us_fail(US_FORMAT, "%s: expected at least 100 rows with states, found %d", c->data,
                   p->frames.count);
  }
  // A kind that is made: of the very rows that are probed.
  const UsDatasetInfo* f = &p->frames.info;
  if (us_encoder_reads(c->encoder)) {
    const UsEncoderData rows = {.path = c->data,
                                .task = f->task,
                                .n = p->frames.count,
                                .height = f->height,
                                .width = f->width,
                                .pixels = p->frames.pixels,
                                .state = f->state,
                                .positions = us_known_positions(f->task, c->tasks),
                                .states = p->frames.states,
                                .dim = c->dim};
    US_TRY(us_encoder_make(c->encoder, &rows, c->pool, p->device, &p->encoder));
  } else {
    US_TRY(us_encoder_open(c->encoder, p->device, &p->encoder));
    US_TRY(us_encoder_fits(us_encoder_info(p->encoder), c->data, f));
  }
  // What is said of the encoder.
  const UsEncoderInfo* info = us_encoder_info(p->encoder);
  snprintf(p->result->kind, sizeof(p->result->kind), "%s", info->kind);
  p->result->tokens = info->tokens;
  p->result->dim = info->dim;
  p->result->rows = p->frames.count;
  US_TRY(encode(p));
  US_TRY(make_targets(p));
  US_TRY(fit(p));
  return compare_distances(p);
}

// The result is whole or empty but for its targets, which the caller frees.
UsStatus us_encoder_probe(const UsEncoderProbeConfig* config, UsEncoderProbeResult* result) {
  Probe p = {.c = config, .result = result};
  *result = (UsEncoderProbeResult){0};
  US_TRY(us_settings_check(us_encoder_probe_settings, config));
  US_TRY(us_device_open(config->device, config->fast, &p.device));
  UsStatus status = run(&p);
  us_encoder_destroy(p.encoder);
  us_device_close(p.device);
  us_frames_free(&p.frames);
  free(p.z);
  free(p.y);
  return status;
}

void us_encoder_probe_free(UsEncoderProbeResult* result) {
  free(result->target);
  *result = (UsEncoderProbeResult){0};
}
