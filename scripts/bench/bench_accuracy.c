// How well models predict trajectories that none of them was trained on, over so many windows of
// every episode that small differences show: errors of the next frame and of frame 5 in an open
// loop, as ratios to repeating the last known frame, and by how much a model's differ from those of
// the first model on the same frames to predict, each with twice its standard error over episodes.
// A model may see fewer frames before them than another.
//
//   bench_accuracy DATA FIRST MODEL...       from episode FIRST of DATA on

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/features.h"
#include "worldmodel/model_folder.h"

enum { kWindows = 96, kHorizon = 5, kEpisodes = 4096, kDim = 8192 };

// Errors of an episode: of the next frame, of frame kHorizon; of repeating the last frame.
typedef struct Errors {
  double of[2], copy[2];
} Errors;

static void check(UsStatus status) {
  if (status == US_OK) return;
  fprintf(stderr, "bench_accuracy: %s\n", us_message());
  exit(1);
}

// Drops the first `skip` of the `frames` frames of every window, with what led from them.
static void drop(UsBatch* b, int frames, int skip, size_t one, size_t move) {
  const int left = frames - skip;
  for (int i = 0; i < b->batch && skip; i++) {
    const size_t from = (size_t)(i * frames + skip), to = (size_t)(i * left);
    memmove(b->latents + to * one, b->latents + from * one, (size_t)left * one * sizeof(float));
    memmove(b->times + to, b->times + from, (size_t)left * sizeof(float));
    memmove(b->actions + (to - (size_t)i) * move, b->actions + (from - (size_t)i) * move,
            (size_t)(left - 1) * move * sizeof(float));
  }
  b->frames = left;
}

// The most frames that one of the models sees.
static int most_context(int count, char** folders) {
  int most = 0;
  for (int i = 0; i < count; i++) {
    UsModel* m;
    check(us_model_open(folders[i], NULL, &m));
    if (us_model_world(m)->context > most) most = us_model_world(m)->context;
    us_model_destroy(m);
  }
  return most;
}

// Measures a model on episodes first .. of data, behind windows of `context` frames, which are the
// same for every model.
static int measure(UsDataset* data, int first, int context, const char* folder, Errors* out) {
  UsModel* m;
  UsFeatures* features;
  check(us_model_open(folder, NULL, &m));
  check(us_features_open(data, us_model_encoder(m), NULL, NULL, &features));
  const UsWorldModel* world = us_model_world(m);
  const UsPredictor* p = us_model_predictor(m);
  const int frames = context + kHorizon, skip = context - world->context;
  const UsLossConfig config = {.batch = kWindows, .frames = frames - skip, .rollout = kHorizon};
  // A batch is the windows of one episode.
  const size_t one = (size_t)(world->grid_h * world->grid_w * world->dim);
  const size_t move = (size_t)(world->block * world->action);
  UsBatch b = {.batch = kWindows};
  b.latents = malloc(kWindows * (size_t)frames * one * sizeof(float));
  b.times = malloc(kWindows * (size_t)frames * sizeof(float));
  b.actions = malloc(kWindows * (size_t)frames * move * sizeof(float));
  UsTape* t = p && world->dim <= kDim ? us_tape_create(p, &config) : NULL;
  if (!b.latents || !b.times || !b.actions || !t) {
    fprintf(stderr, "bench_accuracy: %s: not a predictor, or too large\n", folder);
    exit(1);
  }
  int episodes = 0;
  for (int e = first; e < us_dataset_info(data)->episodes && episodes < kEpisodes; e++) {
    const UsSamplerConfig windows = {
        .use = US_SAMPLE_HELD, .frames = frames, .block = world->block, .first = e, .episodes = 1};
    UsSampler* s;
    double error[kHorizon], copy[kHorizon];
    check(us_sampler_create(data, features, &windows, &s));
    b.frames = frames;
    for (int i = 0; i < kWindows; i++) us_sampler_source(s, 0, i, &b);
    drop(&b, frames, skip, one, move);
    us_predictor_loss(p, t, &b, kWindows, 0, NULL, NULL);
    us_tape_errors(t, error, copy);
    // In the encoder's numbers, so that models of other normalisations compare.
    float mean[kDim], scale;
    us_predictor_norm(p, mean, &scale);
    double unit = (double)scale * (double)scale;
    out[episodes++] = (Errors){{unit * error[0], unit * error[kHorizon - 1]},
                               {unit * copy[0], unit * copy[kHorizon - 1]}};
    us_sampler_destroy(s);
  }
  free(b.latents);
  free(b.times);
  free(b.actions);
  us_tape_destroy(t);
  us_features_close(features);
  us_model_destroy(m);
  return episodes;
}

// sum x / sum y over episodes and twice its standard error.
static void ratio(int n, const Errors* x, const Errors* y, int copies, int k, double* out) {
  double sx = 0, sy = 0, squares = 0;
  for (int i = 0; i < n; i++) {
    sx += x[i].of[k];
    sy += copies ? y[i].copy[k] : y[i].of[k];
  }
  out[0] = sx / sy;
  for (int i = 0; i < n; i++) {
    double d = x[i].of[k] - out[0] * (copies ? y[i].copy[k] : y[i].of[k]);
    squares += d * d;
  }
  out[1] = 2 * sqrt(squares) / sy;
}

int main(int argc, char** argv) {
  static Errors all[2][kEpisodes];
  if (argc < 4) return fprintf(stderr, "bench_accuracy DATA FIRST MODEL...\n"), 2;
  UsDataset* data;
  check(us_dataset_open(argv[1], &data));
  const int context = most_context(argc - 3, argv + 3);
  printf("%-28s %-16s %-16s %-18s %s\n", "model", "next frame", "frame 5", "next, of first",
         "frame 5, of first");
  for (int i = 3; i < argc; i++) {
    Errors* at = all[i > 3];
    int n = measure(data, atoi(argv[2]), context, argv[i], at);
    double r[8];
    for (int k = 0; k < 2; k++) {
      ratio(n, at, at, 1, k, r + (size_t)k * 2);
      ratio(n, at, all[0], 0, k, r + 4 + (size_t)k * 2);
    }
    printf("%-28s %.3f +- %.3f   %.3f +- %.3f   %.3f +- %.3f     %.3f +- %.3f\n", argv[i], r[0],
           r[1], r[2], r[3], r[4], r[5], r[6], r[7]);
    fflush(stdout);
  }
  us_dataset_close(data);
  return 0;
}
