// understudy bench: rollouts against the matrix library alone, what caching keys and values gives,
// and a training step by parts. Everything runs on one thread and is told per core-second, on a GPU
// per second.

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/cli/cli.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/model_folder.h"
#include "worldmodel/ops.h"
#include "worldmodel/train.h"

static const char help[] =
    "Measures, on one thread and in processor seconds, of a GPU (--device) in seconds:\n"
    "  rollout   candidate-steps (one imagined block of actions of one candidate), the GFLOP/s of "
    "its\n"
    "            matrices, and what the matrix library alone reaches on the same shapes\n"
    "  caching   how much faster it is to keep keys and values of frames than to make them anew,\n"
    "            for 1, 4 and 16 tokens a frame\n"
    "  training  steps, and the share of drawing samples\n"
    "Weights are random unless --model is given; speed does not depend on them.\n\n"
    "Example:\n"
    "  understudy bench --model runs/pm/model --json runs/pm/bench.json\n";

enum { kHorizon = 5, kRows = 20000, kShapesMost = 4096, kMemories = 5 };

#define BENCH_SETTINGS(X) US_DEVICE_SETTINGS(X)

typedef struct Options {
  BENCH_SETTINGS(US_SETTING_FIELD)
  char *model, *json;
  int dim, width, depth, mlp;
  double seconds;
} Options;

#define US_SETTING_OF Options
static const UsSetting settings[] = {BENCH_SETTINGS(US_SETTING_ROW) US_SETTING_END};

static UsDevice* device;  // where all is measured
static float* asked;      // a number there, which is read to wait for all before it

typedef struct Results {
  double steps, gflops, alone;  // candidate-steps / core-s, GFLOP/s, of the library
  double cached[3];             // for G = 1, 4, 16: seconds without over seconds with
  double cached_steps[3];
  double training, sampling;  // steps / core-s, share
} Results;

// ---- rollout ----

typedef struct Rollout {
  const UsPredictor* p;
  UsRolloutWork* m;
  UsRollout task;            // a tile of candidates
  float* memory[kMemories];  // tensor memory: its context, cache, goal, actions, distance
} Rollout;

static void drop_rollout(Rollout* r) {
  us_predictor_work_destroy(r->m);
  for (int k = 0; k < kMemories; k++) us_ops_free(device, r->memory[k]);
}

static UsStatus out_of_memory(void) {
  return us_fail(US_MEMORY, "out of memory for sizes like these");
}

static UsStatus make_rollout(const UsPredictor* p, Rollout* r) {
  const UsPredictorConfig* c = us_predictor_config(p);
  // Tensor memory for a tile of candidates, filled with noise.
  size_t one = (size_t)(c->grid_h * c->grid_w * c->dim), frames = (size_t)c->context;
  int tile = us_predictor_model(p)->tile;
  size_t numbers = (size_t)(tile * kHorizon * c->block * c->action);
  size_t most = frames * one > numbers ? frames * one : numbers;
  const size_t sizes[kMemories] = {frames * one, us_predictor_model(p)->cache, one, numbers,
                                   (size_t)(tile * kHorizon)};
  *r = (Rollout){.p = p, .m = us_predictor_work_create(p, tile, kHorizon)};
  float *host = malloc(most * sizeof(float)), *const *at = r->memory;
  int got = r->m && host;
  for (int k = 0; k < kMemories; k++) {
    r->memory[k] = us_ops_alloc(device, sizes[k]);
    got = got && r->memory[k];
  }
  if (!got) {
    free(host);
    drop_rollout(r);
    return out_of_memory();
  }
  // Context and actions are noise.
  UsRng rng = us_rng(1, US_RNG_TEST, 0, 0, 0);
  us_rng_fill_normal(&rng, host, (int)(frames * one));
  us_ops_put(device, at[0], host, frames * one);
  us_rng_fill_normal(&rng, host, (int)numbers);
  us_ops_put(device, at[3], host, numbers);
  free(host);
  // The cache of the context, as a planner makes it once a plan.
  double times[US_CONTEXT_MAX];
  for (int i = 0; i < c->context; i++) times[i] = 0.25 * i;
  us_predictor_cache(p, r->m, 1, NULL, at[0], times, at[1]);
  r->task = (UsRollout){.slots = 1,
                        .samples = tile,
                        .contexts = at[0],
                        .caches = at[1],
                        .goals = at[2],
                        .actions = at[3],
                        .distance = at[4],
                        .step = 0.25,
                        .horizon = kHorizon};
  return US_OK;
}

// One rollout of a tile; forget: without the cache.
static void roll(void* arg, int forget) {
  Rollout* r = arg;
  r->task.recompute = forget;
  us_predictor_rollout(r->p, r->m, &r->task);
}

static UsProgress bar;  // over the seconds that all measurements are to take
static double measured;

// Processor seconds by now; those of a clock on a GPU, with `wait` when it has done all.
static double seconds_by_now(int wait) {
  if (device == us_device_cpu()) return us_cpu_seconds();
  float number;
  if (wait) us_ops_get(device, asked, &number, 1);
  return us_seconds();
}

// Processor seconds of one call: the least of a few rounds that together take `seconds`, so that
// other load on the machine counts little. Ctrl-C ends the rounds.
static double measure(void (*work)(void*, int), void* arg, int how, double seconds) {
  enum { kRounds = 8 };
  // Two calls to warm up and to learn how many fill a round.
  work(arg, how);
  double best = INFINITY, start = seconds_by_now(1);
  work(arg, how);
  double once = fmax(seconds_by_now(1) - start, 1e-7);
  int calls = (int)fmax(1, seconds / kRounds / once);
  // The least round is the one that others disturbed least.
  for (int r = 0; r < kRounds && !us_interrupted(); r++) {
    start = seconds_by_now(1);
    int done = 0;
    for (; done < calls && !us_interrupted(); done++) {
      work(arg, how);
      us_progress_show(&bar, measured + seconds_by_now(0) - start, NULL);
    }
    double taken = seconds_by_now(1) - start;
    if (done) best = fmin(best, taken / done);
    measured += taken;
  }
  return best;
}

// ---- the matrix library alone ----

typedef struct Shape {
  int rows, out, in;
  const float* w;
} Shape;

typedef struct Matrices {
  int count;
  Shape shape[kShapesMost];  // of one frame of a tile, in order
  float *w, *x, *y;
} Matrices;

// One more product, whose weights stand behind those of the others.
static void add_shape(Matrices* m, int rows, int out, int in, size_t* used) {
  if (m->count == kShapesMost) return;
  m->shape[m->count++] = (Shape){rows, out, in, m->w ? m->w + *used : NULL};
  *used += (size_t)out * (size_t)in;
}

// The products of one frame of a tile; returns the floats of their weights.
static size_t list_shapes(const UsPredictorConfig* c, int rows, Matrices* m) {
  size_t used = 0;
  // In the order of predictor.h: the residual path, each block's attention, MLP and action, the way
  // out, and keys and values of the next frame.
  int w = c->width, h = c->mlp * w, u = c->action_hidden;
  int j = w + (c->past + c->leap) * c->block * c->action;
  m->count = 0;
  if (c->residual) add_shape(m, rows, w, c->dim, &used);
  for (int l = 0; l < c->depth; l++) {
    add_shape(m, rows, w, w, &used);
    add_shape(m, rows, w, w, &used);
    add_shape(m, rows, h, w, &used);
    add_shape(m, rows, w, h, &used);
    if (c->action == 0) continue;
    add_shape(m, rows, u, j, &used);
    add_shape(m, rows, w, u, &used);
  }
  add_shape(m, rows, c->dim, w, &used);
  add_shape(m, rows, c->depth * 2 * w, c->dim, &used);
  return used;
}

// The products of one frame, each with weights of its own.
static void multiply(void* arg, int how) {
  const Matrices* m = arg;
  for (int i = 0; i < m->count; i++) {
    const Shape* s = &m->shape[i];
    if (device != us_device_cpu()) {
      us_ops_linear(device, s->rows, s->out, s->in, m->x, s->w, NULL, m->y);
      continue;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, s->rows, s->out, s->in, 1, m->x, s->in,
                s->w, s->in, 0, m->y, s->out);
  }
}

// Seconds of the products of one frame of a tile, and their operations.
static UsStatus measure_matrices(const UsPredictorConfig* c, int rows, double seconds,
                                 double* operations, double* once) {
  Matrices* m = calloc(1, sizeof(*m));
  if (!m) return out_of_memory();
  // Twice: first for the sizes, then with the weights' places.
  size_t floats = list_shapes(c, rows, m), wide = 0;
  *operations = 0;
  for (int i = 0; i < m->count; i++) {
    const Shape* s = &m->shape[i];
    size_t most = (size_t)rows * (size_t)(s->out > s->in ? s->out : s->in);
    if (most > wide) wide = most;
    *operations += 2.0 * s->rows * s->out * s->in;
  }
  // All weights one behind another, as in a model; input and output as wide as the widest needs.
  m->w = us_ops_alloc(device, floats);
  m->x = us_ops_alloc(device, wide);
  m->y = us_ops_alloc(device, wide);
  UsStatus status = m->w && m->x && m->y ? US_OK : out_of_memory();
  if (status == US_OK) {
    list_shapes(c, rows, m);
    *once = measure(multiply, m, 0, seconds);
  }
  us_ops_free(device, m->w);
  us_ops_free(device, m->x);
  us_ops_free(device, m->y);
  free(m);
  return status;
}

// ---- training ----

typedef struct MadeUp {
  float* rows;  // (kRows, G, D), and room for the actions of a sample behind them
  size_t one;
  size_t action;  // K A
} MadeUp;

// The work of the sampler on rows that mean nothing: random windows, copied frame by frame.
static void made_up_source(void* source, int64_t step, int b, UsBatch* out) {
  const MadeUp* m = source;
  UsRng r = us_rng(1, US_RNG_BATCH, (uint64_t)step, (uint64_t)b, 0);
  // A window somewhere, copied frame by frame.
  size_t first = us_rng_below(&r, kRows - 64);
  for (int t = 0; t < out->frames; t++) {
    size_t at = (size_t)(b * out->frames + t);
    memcpy(out->latents + at * m->one, m->rows + (first + (size_t)t) * m->one,
           m->one * sizeof(float));
    out->times[at] = 0.25f * (float)t;
  }
  // Any numbers do for actions.
  size_t width = (size_t)(out->frames - 1) * m->action;
  memcpy(out->actions + (size_t)b * width, m->rows + first, width * sizeof(float));
}

// Steps of the trainer a core-second, and the share of them that draws samples.
static UsStatus train(UsPredictor* p, double seconds, Results* out) {
  const UsPredictorConfig* c = us_predictor_config(p);
  MadeUp m = {.one = (size_t)(c->grid_h * c->grid_w * c->dim),
              .action = (size_t)(c->block * c->action)};
  // The trainer as finetune has it, on rows of noise.
  UsTrainConfig config = {.steps = 1 << 30};
  config = us_train_defaults(us_predictor_model(p), &config);
  size_t floats = kRows * m.one + (size_t)config.frames * m.action;
  m.rows = malloc(floats * sizeof(float));
  if (!m.rows) return out_of_memory();
  UsRng r = us_rng(2, US_RNG_TEST, 0, 0, 0);
  for (size_t i = 0; i < floats; i++) m.rows[i] = us_rng_normal(&r);
  UsTrainer* t = NULL;
  UsStatus status =
      us_trainer_create(us_predictor_model(p), &config, (UsTrainData){made_up_source, &m, 0, 0},
                        (UsTrainData){0}, NULL, &t);
  if (status == US_OK) {
    // The first step touches all memory and is not counted; at least three others are. Figures are
    // read as rarely as training reads them.
    const UsTrainStep* read;
    us_trainer_step(t, 0);
    us_trainer_figures(t, &read);
    double start = seconds_by_now(1), once = 0, sampling, all;
    int steps = 0;
    for (; (steps < 3 || once < seconds) && !us_interrupted(); steps++) {
      us_trainer_step(t, 0);
      if ((steps + 1) % US_TRAIN_UNREAD == 0) us_trainer_figures(t, &read);
      once = seconds_by_now(steps == 2) - start;
      us_progress_show(&bar, measured + once, NULL);
    }
    // A device is waited for at the end, and not after every step.
    once = seconds_by_now(1) - start;
    measured += once;
    us_trainer_seconds(t, &sampling, &all);
    out->sampling = sampling / all;
    out->training = steps / once;
  }
  us_trainer_destroy(t);
  free(m.rows);
  return status;
}

// ---- the command ----

// A predictor of these sizes with random weights.
static UsStatus make_predictor(const UsPredictorConfig* config, UsPredictor** out) {
  UsPredictorConfig c = *config;
  c.device = device;
  US_TRY(us_predictor_create("options", &c, out));
  return us_predictor_init(*out, 1);
}

static UsStatus bench_rollout(const UsPredictor* p, double seconds, Results* out) {
  const UsPredictorConfig* c = us_predictor_config(p);
  Rollout r;
  // The rollout, then the same products without anything between.
  double operations = 0, alone = 0;
  US_TRY(make_rollout(p, &r));
  double once = measure(roll, &r, 0, seconds), frames = (double)r.task.samples * kHorizon;
  drop_rollout(&r);
  US_TRY(measure_matrices(c, r.task.samples * c->grid_h * c->grid_w, seconds, &operations, &alone));
  // Rates. The last frame of a rollout needs no keys and values.
  out->steps = frames / once;
  double spared = 4.0 * c->depth * c->width * c->dim * c->grid_h * c->grid_w / kHorizon;
  out->gflops = (us_predictor_flops(p) - spared) * frames / once * 1e-9;
  out->alone = operations / alone * 1e-9;
  return US_OK;
}

// What keeping keys and values gains, by tokens a frame.
static UsStatus bench_caching(const UsPredictorConfig* base, double seconds, Results* out) {
  // More tokens a frame, more that need not be made anew.
  static const int grid[3] = {1, 2, 4};
  for (int i = 0; i < 3; i++) {
    UsPredictorConfig c = *base;
    UsPredictor* p = NULL;
    Rollout r;
    c.grid_h = c.grid_w = grid[i];
    // The same rollout with and without the cache.
    UsStatus status = make_predictor(&c, &p);
    if (status == US_OK) status = make_rollout(p, &r);
    if (status == US_OK) {
      double with = measure(roll, &r, 0, seconds / 2), without = measure(roll, &r, 1, seconds / 2);
      out->cached[i] = without / with;
      out->cached_steps[i] = r.task.samples * kHorizon / with;
      drop_rollout(&r);
    }
    us_predictor_destroy(p);
    US_TRY(status);
  }
  return US_OK;
}

static void print(const UsPredictorConfig* c, const Results* r) {
  const char* s = device == us_device_cpu() ? "core-s" : "s";
  printf("%s, one thread; predictor of width %d, depth %d, mlp %d, %d x %d tokens of %d\n",
         us_ops_name(device), c->width, c->depth, c->mlp, c->grid_w, c->grid_h, c->dim);
  printf(
      "rollout   %9.0f candidate-steps / %s   %6.1f GFLOP/s, %.0f %% of the %.1f that the "
      "library reaches alone\n",
      r->steps, s, r->gflops, 100 * r->gflops / r->alone, r->alone);
  for (int i = 0; i < 3; i++) {
    printf(
        "caching   %9.0f candidate-steps / %s   with %2d token%s: %.2f times as fast as "
        "without\n",
        r->cached_steps[i], s, 1 << (2 * i), i ? "s" : "", r->cached[i]);
  }
  printf("training  %9.1f steps of 128 / %s          %.2f %% of it draws samples\n", r->training, s,
         100 * r->sampling);
}

static UsStatus write_json(const char* path, const Results* r) {
  // All figures under names of their own, for programs that compare runs.
  US_TRY(us_file_replaceable(path, "{", (const char*[]){NULL}));
  cJSON* json = cJSON_CreateObject();
  char text[256];
  cJSON_AddStringToObject(json, "kernel", us_ops_name(device));
  cJSON_AddStringToObject(json, "device", us_device_text(device, text, sizeof(text)));
  us_json_add(json, "candidate_steps_per_core_second", r->steps);
  us_json_add(json, "gflops", r->gflops);
  us_json_add(json, "gflops_library_alone", r->alone);
  us_json_add(json, "caching_gain_1_token", r->cached[0]);
  us_json_add(json, "caching_gain_4_tokens", r->cached[1]);
  us_json_add(json, "caching_gain_16_tokens", r->cached[2]);
  us_json_add(json, "training_steps_per_core_second", r->training);
  us_json_add(json, "sampling_share", r->sampling);
  UsStatus status = us_json_write(path, json);
  cJSON_Delete(json);
  return status;
}

static UsStatus sizes(const Options* o, UsPredictorConfig* c) {
  // The default's sizes, the options', or those of a model.
  *c = us_predictor_config_default(1, 1, o->dim, 5, 2);
  if (o->width) c->width = c->action_hidden = o->width;
  if (o->depth) c->depth = o->depth;
  if (o->mlp) c->mlp = o->mlp;
  if (!o->model) return US_OK;
  // A model of another kind has no predictor.
  UsModel* m;
  US_TRY(us_model_open(o->model, NULL, &m));
  const UsPredictor* p = us_model_predictor(m);
  if (p) *c = *us_predictor_config(p);
  us_model_destroy(m);
  return p ? US_OK : us_fail(US_UNSUPPORTED, "%s: expected a predictor to measure", o->model);
}

static UsStatus bench(const Options* o) {
  enum { kMeasured = 6 };  // times --seconds
  UsPredictorConfig c;
  UsPredictor* p = NULL;
  Results r = {0};
  US_TRY(sizes(o, &c));
  // Rollout, training, caching: each takes its --seconds.
  us_ops_name(device);
  bar = us_progress_start("bench", "s", kMeasured * o->seconds, 0);
  UsStatus status = make_predictor(&c, &p);
  if (status == US_OK) status = bench_rollout(p, o->seconds, &r);
  if (status == US_OK) status = train(p, o->seconds, &r);
  us_predictor_destroy(p);
  if (status == US_OK) status = bench_caching(&c, o->seconds, &r);
  us_progress_end(&bar);
  US_TRY(status);
  if (us_interrupted()) return us_fail(US_INTERRUPTED, "stopped before all was measured");
  print(&c, &r);
  return o->json ? write_json(o->json, &r) : US_OK;
}

int us_cmd_bench(int argc, const char** argv) {
  Options o = {.dim = 128, .seconds = 2};
  struct poptOption table[US_CLI_ROWS] = {
      {"model", 0, POPT_ARG_STRING, &o.model, 0, "take the sizes of this model", "DIR"},
      {"dim", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.dim, 0, "numbers of a token", "D"},
      {"width", 0, POPT_ARG_INT, &o.width, 0, "width of the predictor", "W"},
      {"depth", 0, POPT_ARG_INT, &o.depth, 0, "its blocks", "L"},
      {"mlp", 0, POPT_ARG_INT, &o.mlp, 0, "hidden width of its MLP, as a multiple", "R"},
      {"seconds", 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &o.seconds, 0,
       "for each measurement", "S"},
      {"json", 0, POPT_ARG_STRING, &o.json, 0, "a file for the results", "FILE"},
      POPT_TABLEEND};
  us_cli_rows(settings, &o, table);
  int code = us_cli_parse(argc, argv, table, "[options]", help, NULL, 0);
  if (code < 0 && (o.dim < 1 || !(o.seconds > 0))) {
    code = us_cli_usage(argv[0], "--dim, --seconds: expected more than 0");
  }
  if (code < 0) {
    // Whether the results can be written is known before anything is measured.
    UsLock* lock = NULL;
    UsStatus status = us_device_open(o.device, o.fast, &device);
    if (status == US_OK && o.json) status = us_lock_take(o.json, &lock);
    if (status == US_OK && !(asked = us_ops_alloc(device, 1))) status = out_of_memory();
    if (status == US_OK) status = bench(&o);
    if (device) us_ops_free(device, asked);
    us_device_close(device);
    us_lock_release(lock);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  us_cli_free(settings, &o);
  free(o.model);
  free(o.json);
  return code;
}
