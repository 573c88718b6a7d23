// A device against the CPU, for gpu.sh: the device is that of UNDERSTUDY_TEST_DEVICE.
//
//   bench_gpu smoke              opens it, multiplies, and says its name
//   bench_gpu plans MODEL DATA   first plans of held-out pairs on both, and how far actions differ
//   bench_gpu table MODEL DATA   plans, candidate-steps, images a second as rows of a table
//
// A pair is a frame of an episode and the frame kAhead env steps behind it.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/dataset.h"
#include "planner/planner.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/model_folder.h"
#include "worldmodel/ops.h"
#include "worldmodel/vit.h"

enum { kAhead = 25, kPairs = 512 };

static _Noreturn void stop(void) {
  fprintf(stderr, "bench_gpu: %s\n", us_message());
  exit(1);
}

static void check(UsStatus status) {
  if (status != US_OK) stop();
}

// What there is no memory for.
static _Noreturn void lack(const char* what) {
  us_fail(US_MEMORY, "out of memory for %s", what);
  stop();
}

static UsDevice* open_device(const char* name) {
  UsDevice* d;
  check(us_device_open(name, 0, &d));
  return d;
}

static const char* wanted(void) {
  const char* name = getenv("UNDERSTUDY_TEST_DEVICE");
  return name ? name : "cpu";
}

// ---- smoke ----

static int smoke(void) {
  UsDevice* d = open_device(wanted());
  const float x[4] = {1, 2, 3, 4}, w[4] = {1, 0, 0, 2};
  float y[4], *on = us_ops_alloc(d, 12);
  if (!on) lack("12 numbers");
  us_ops_put(d, on, x, 4);
  us_ops_put(d, on + 4, w, 4);
  us_ops_linear(d, 2, 2, 2, on, on + 4, NULL, on + 8);
  us_ops_get(d, on + 8, y, 4);
  us_ops_free(d, on);
  printf("%s\n", us_ops_name(d));
  int good = y[0] == 1 && y[1] == 4 && y[2] == 3 && y[3] == 8;
  if (!good) printf("2 x 2 product: expected 1 4 3 8, found %g %g %g %g\n", y[0], y[1], y[2], y[3]);
  us_device_close(d);
  return !good;
}

// ---- plans ----

// The frames of the pairs: starts, then goals, (2, kPairs, bytes of a frame).
static uint8_t* read_pairs(const char* path, int* pairs) {
  UsDataset* d;
  check(us_dataset_open(path, &d));
  const UsDatasetInfo* info = us_dataset_info(d);
  const int32_t* length = us_dataset_lengths(d);
  const size_t bytes = us_frame_bytes(info->height, info->width);
  uint8_t* frames = malloc(2 * kPairs * bytes);
  if (!frames) lack("frames");
  *pairs = 0;
  // Pair after pair along the episodes, a few rows apart, until there are enough.
  for (int first = 0; first < 25 && *pairs < kPairs; first += 5) {
    for (int64_t e = 0; e < info->episodes && *pairs < kPairs; e++) {
      if (first + kAhead >= length[e]) continue;
      int64_t row = us_dataset_offsets(d)[e] + first;
      check(us_dataset_pixels(d, row, 1, frames + (size_t)*pairs * bytes));
      check(us_dataset_pixels(d, row + kAhead, 1, frames + (kPairs + (size_t)*pairs) * bytes));
      ++*pairs;
    }
  }
  us_dataset_close(d);
  return frames;
}

typedef struct Session {
  UsEnv* env;
  UsPlanner* planner;
  UsPool* pool;
  int slots, played;  // numbers of a slot's actions
} Session;

static Session open_session(const char* model, UsDevice* d, int slots) {
  Session s = {.slots = slots, .pool = us_pool_create(us_machine_processors())};
  char name[1024];
  snprintf(name, sizeof(name), "model:%s", model);
  const UsEnvConfig env = {.slots = slots, .pool = s.pool, .device = d};
  check(us_env_open(name, NULL, &env, &s.env));
  UsPlannerConfig c = us_planner_defaults();
  c.pool = s.pool;
  check(us_planner_create("cem", s.env, &c, &s.planner));
  s.played = c.replan * us_env_info(s.env)->block * us_env_info(s.env)->action;
  return s;
}

static void close_session(Session* s) {
  us_planner_destroy(s->planner);
  us_env_close(s->env);
  us_pool_destroy(s->pool);
}

// Starts, goals and first plans of the pairs from `first` on: actions (slots, played).
static void plan(Session* s, const uint8_t* frames, int first, float* actions) {
  const UsEnvInfo* info = us_env_info(s->env);
  const size_t bytes = us_frame_bytes(info->height, info->width);
  int slot[kPairs];
  uint64_t episode[kPairs];
  UsObs now[kPairs], goal[kPairs];
  for (int i = 0; i < s->slots; i++) {
    slot[i] = i;
    episode[i] = (uint64_t)(first + i);
    now[i] = (UsObs){.pixels = (uint8_t*)frames + (size_t)(first + i) * bytes, .first = 1};
    goal[i] = (UsObs){.pixels = (uint8_t*)frames + (size_t)(kPairs + first + i) * bytes};
  }
  check(us_env_observe(s->env, s->slots, slot, now));
  check(us_env_set_goal(s->env, s->slots, slot, goal));
  check(us_planner_start(s->planner, s->slots, slot, episode));
  us_planner_plan(s->planner, s->slots, slot, actions);
}

static int plans(const char* model, const char* data) {
  int pairs;
  uint8_t* frames = read_pairs(data, &pairs);
  UsDevice *d = open_device(wanted()), *cpu = us_device_cpu();
  Session ours = open_session(model, d, pairs), theirs = open_session(model, cpu, pairs);
  size_t count = (size_t)pairs * (size_t)ours.played;
  float *a = calloc(count, sizeof(float)), *b = calloc(count, sizeof(float));
  if (!a || !b) lack("actions");
  plan(&ours, frames, 0, a);
  plan(&theirs, frames, 0, b);
  // A difference of 1e-6 may let another candidate in among the elites, so plans agree or do not.
  double sum = 0;
  int agree = 0;
  for (int i = 0; i < pairs; i++) {
    double most = 0;
    for (int k = 0; k < ours.played; k++) {
      double off = fabs((double)a[i * ours.played + k] - (double)b[i * ours.played + k]);
      most = fmax(most, isfinite(off) ? off : INFINITY);
      sum += off;
    }
    agree += most < 1e-3;
  }
  printf("| plans of %d pairs whose actions are the CPU's within 1e-3 | %.1f %% |\n", pairs,
         100.0 * agree / pairs);
  printf("| mean difference of an action | %.2g |\n", sum / (double)count);
  int bad = pairs < 32 || agree < 0.9 * pairs;
  close_session(&ours);
  close_session(&theirs);
  us_device_close(d);
  free(a);
  free(b);
  free(frames);
  return bad;
}

// ---- the table ----

// Plans a second of `slots` episodes, and candidate-steps; the best of three rounds.
static void time_plans(const char* model, UsDevice* d, int slots, const uint8_t* frames,
                       double* per_second, double* steps, UsDeviceInfo* used) {
  Session s = open_session(model, d, slots);
  float* actions = calloc((size_t)slots * (size_t)s.played, sizeof(float));
  if (!actions) lack("actions");
  *per_second = *steps = 0;
  // The first two make what later ones find: memory, recordings; a CPU keeps nothing.
  const int warm = d == us_device_cpu() ? 0 : 2;
  for (int round = 0; round < warm + 3; round++) {
    UsDeviceInfo before, after;
    us_device_info(d, &before);
    int64_t candidates = s.planner->candidate_steps;
    double start = us_seconds();
    plan(&s, frames, 0, actions);
    double seconds = us_seconds() - start;
    us_device_info(d, &after);
    if (round < warm || slots / seconds < *per_second) continue;
    *per_second = slots / seconds;
    *steps = (double)(s.planner->candidate_steps - candidates) / seconds;
    *used = after;
    used->launches -= before.launches;
    used->waits -= before.waits;
  }
  free(actions);
  close_session(&s);
}

// Images a second of a DINOv2 ViT-S/14 with random weights at 224 px.
static double time_images(UsDevice* d) {
  const UsVitConfig c = {.height = 224,
                         .width = 224,
                         .patch = 14,
                         .hidden = 384,
                         .layers = 12,
                         .heads = 6,
                         .mlp = 1536,
                         .cls = 1,
                         .eps = 1e-6f,
                         .std = {1, 1, 1},
                         .device = d};
  enum { kImages = 64 };
  UsVit* v;
  check(us_vit_create(&c, &v));
  UsVitWork* k = us_vit_work_create(v, kImages, 0);
  float *host = malloc(v->params.floats * sizeof(float)), *w = us_ops_alloc(d, v->params.floats);
  uint8_t* pixels = calloc(kImages, us_frame_bytes(224, 224));
  float first;
  if (!k || !host || !w || !pixels) lack("a ViT-S/14");
  us_params_init(&v->params, 1, 0, host);
  us_ops_put(d, w, host, v->params.floats);
  for (size_t i = 0; i < kImages * us_frame_bytes(224, 224); i++) pixels[i] = (uint8_t)(i * 37);
  double best = 0;
  for (int round = 0; round < 4; round++) {
    double start = us_seconds();
    us_ops_get(d, us_vit_forward(v, w, k, pixels), &first, 1);
    best = fmax(best, kImages / (us_seconds() - start));
  }
  us_vit_work_destroy(k);
  us_vit_destroy(v);
  us_ops_free(d, w);
  free(host);
  free(pixels);
  return best;
}

// Operations a second as a share of the card's peak, in words.
static const char* share(double operations, double peak, char text[32]) {
  snprintf(text, 32, peak > 0 ? "%.1f %%" : "not known", 100 * operations / peak);
  return text;
}

static int table(const char* model, const char* data) {
  int pairs;
  uint8_t* frames = read_pairs(data, &pairs);
  UsDevice* d = open_device(wanted());
  UsDeviceInfo info, used = {0};
  char part[32];
  us_device_info(d, &info);
  // Multiplications and additions of one candidate-step, for the share of the peak.
  UsModel* m;
  check(us_model_open(model, us_device_cpu(), &m));
  const double work = us_predictor_flops(us_model_predictor(m));
  us_model_destroy(m);
  printf("| %s | plans/s | candidate-steps/s | share of fp32 peak | launches a plan | waits |\n",
         us_ops_name(d));
  printf("|---|---|---|---|---|---|\n");
  for (int slots = 1; slots <= pairs; slots *= slots < 64 ? 64 : 8) {
    double per_second, steps;
    time_plans(model, d, slots, frames, &per_second, &steps, &used);
    printf("| %d slots | %.1f | %.3g | %s | %lld | %lld |\n", slots, per_second, steps,
           share(steps * work, info.flops, part), (long long)used.launches, (long long)used.waits);
  }
  double images = time_images(d);
  // A ViT-S/14 has 21.6 million weights in matrices, used for 257 tokens, and attends among them.
  double image = 2.0 * 257 * (21.3e6 + 2.0 * 12 * 257 * 384);
  printf("| DINOv2 ViT-S/14, 224 px | %.1f images/s | | %s | | |\n", images,
         share(images * image, info.flops, part));
  us_device_close(d);
  free(frames);
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 2 && !strcmp(argv[1], "smoke")) return smoke();
  if (argc == 4 && !strcmp(argv[1], "plans")) return plans(argv[2], argv[3]);
  if (argc == 4 && !strcmp(argv[1], "table")) return table(argv[2], argv[3]);
  fprintf(stderr, "bench_gpu: expected smoke, plans MODEL DATA or table MODEL DATA\n");
  return 2;
}
