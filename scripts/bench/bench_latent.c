// Whether a latent action means the same elsewhere: codes of what happened in one place are told
// the predictor in another, and where a thing moves there, read out of the predicted frame, is
// compared with where it moved.
//
//   bench_latent FOLDER DATA [X Y]
//
// FOLDER of `pretrain --latent-actions`, DATA trajectories with states whose last twentieth of
// episodes it has not seen. X, Y: which numbers of a state are the thing's place; default: the T of
// pusht, 2 3.
//
// Features are kept as FOLDER's training kept them, bfloat16 after `pretrain --fast`.
//
// Places are read out of latents by ridge regression on the other episodes. A case is a window
// whose thing moves within its last block, by kMoves times the error of reading at least, and
// another from another episode, of so many drawn at random that in which the first numbers of the
// state (a pusher) stand to the thing most as there: what is told pushes nothing where nothing is
// in its way.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/features.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/latent.h"
#include "worldmodel/model_folder.h"

enum { kCases = 200, kStarts = 200, kTries = 20000, kFitRows = 20000, kDegrees = 30 };
static const double kMoves = 2;

typedef struct Bench {
  UsLatent* m;
  UsPredictor* p;
  UsDataset* data;
  UsDevice* device;
  UsEncoder* encoder;
  UsFeatures* features;
  float* row;  // (D) of the last call of row_of
  const double* states;
  size_t state, dim, at[2];
  int block, frames, span;  // K, T of a window, rows from its first frame to its last
  double *gram, *map;       // (n, n + 2), (n, 2) of latents and a 1, n = dim + 1
  double error;             // of reading a place
} Bench;

static void must(UsStatus status) {
  if (status == US_OK) return;
  fprintf(stderr, "bench_latent: %s\n", us_message());
  exit(1);
}

static const double* state_of(const Bench* b, int64_t row) {
  return b->states + (size_t)row * b->state;
}

// The latents of a row, until the next call.
static const float* row_of(const Bench* b, int64_t row) {
  us_features_read(b->features, row, b->row);
  return b->row;
}

// ---- reading places ----

static void read_place(const Bench* b, const float* z, double out[2]) {
  for (int k = 0; k < 2; k++) {
    out[k] = b->map[2 * b->dim + (size_t)k];
    for (size_t i = 0; i < b->dim; i++) out[k] += b->map[2 * i + (size_t)k] * (double)z[i];
  }
}

// Solves gram [w] = right by elimination without pivots: a ridge makes it positive.
static void solve(Bench* b, size_t n) {
  size_t wide = n + 2;
  double* g = b->gram;
  for (size_t i = 0; i < n; i++) g[i * wide + i] += 1e-3 * g[(n - 1) * wide + n - 1] * (i + 1 < n);
  for (size_t i = 0; i < n; i++) {
    for (size_t r = i + 1; r < n; r++) {
      double f = g[r * wide + i] / g[i * wide + i];
      for (size_t c = i; c < wide; c++) g[r * wide + c] -= f * g[i * wide + c];
    }
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = 0; k < 2; k++) {
      double x = g[i * wide + n + k];
      for (size_t c = i + 1; c < n; c++) x -= g[i * wide + c] * b->map[2 * c + k];
      b->map[2 * i + k] = x / g[i * wide + i];
    }
  }
}

// Fits the map to rows of the first `rows`, and measures its error on those behind.
static void fit(Bench* b, int64_t rows, int64_t all) {
  size_t n = b->dim + 1, wide = n + 2;
  double* x = calloc(wide, sizeof(double));
  b->gram = calloc(n * wide, sizeof(double));
  b->map = calloc(2 * n, sizeof(double));
  int64_t step = rows / kFitRows + 1;
  for (int64_t r = 0; r < rows; r += step) {
    const float* z = row_of(b, r);
    for (size_t i = 0; i < b->dim; i++) x[i] = (double)z[i];
    x[b->dim] = 1;
    for (size_t k = 0; k < 2; k++) x[n + k] = state_of(b, r)[b->at[k]];
    for (size_t i = 0; i < n; i++) {
      for (size_t c = 0; c < wide; c++) b->gram[i * wide + c] += x[i] * x[c];
    }
  }
  solve(b, n);
  double sum = 0;
  for (int64_t r = rows; r < all; r++) {
    double at[2];
    read_place(b, row_of(b, r), at);
    for (int k = 0; k < 2; k++) sum += pow(at[k] - state_of(b, r)[b->at[k]], 2);
  }
  b->error = sqrt(sum / (double)(all - rows));
  free(x);
}

// ---- cases ----

// The first row of a window of a held-back episode, *episode.
static int64_t draw(const Bench* b, UsRng* r, int64_t first, int64_t* episode) {
  const int32_t* length = us_dataset_lengths(b->data);
  int64_t count = us_dataset_info(b->data)->episodes - first;
  do {
    *episode = first + us_rng_below(r, (uint32_t)count);
  } while (length[*episode] <= b->span);
  return us_dataset_offsets(b->data)[*episode] +
         us_rng_below(r, (uint32_t)(length[*episode] - b->span));
}

// How far the thing moves within a window's last block.
static void motion(const Bench* b, int64_t row, double out[2]) {
  const double *from = state_of(b, row + b->span - b->block), *to = state_of(b, row + b->span);
  for (int k = 0; k < 2; k++) out[k] = to[b->at[k]] - from[b->at[k]];
}

// How differently the pusher stands to the thing before the last block of two windows.
static double apart(const Bench* b, int64_t one, int64_t other) {
  const double* s = state_of(b, one + b->span - b->block);
  const double* t = state_of(b, other + b->span - b->block);
  double sum = 0;
  for (size_t k = 0; k < 2; k++) sum += pow(s[k] - s[b->at[k]] - (t[k] - t[b->at[k]]), 2);
  return sum;
}

// Draws the cases: rows of what happened and of where it is told. Their number.
static int draw_cases(const Bench* b, int64_t first, int64_t* source, int64_t* start) {
  UsRng r = us_rng(1, US_RNG_TEST, 0, 0, 0);
  int n = 0;
  for (int i = 0; i < kTries && n < kCases; i++) {
    int64_t episode, other, row = draw(b, &r, first, &episode), best = -1;
    double move[2];
    motion(b, row, move);
    if (hypot(move[0], move[1]) < kMoves * b->error) continue;
    for (int k = 0; k < kStarts; k++) {
      int64_t at = draw(b, &r, first, &other);
      if (other != episode && (best < 0 || apart(b, row, at) < apart(b, row, best))) best = at;
    }
    source[n] = row;
    start[n++] = best;
  }
  return n;
}

// ---- telling ----

// Windows as a batch of latent actions, without noise.
static UsBatch batch_of(const Bench* b, int n, const int64_t* row) {
  UsBatch out = {.batch = n, .frames = b->frames};
  int codes = us_predictor_config(b->p)->action;
  size_t frames = (size_t)(n * b->frames), steps = (size_t)b->span, one = b->dim;
  size_t each = steps * (one + (size_t)codes);
  out.latents = calloc(frames * one, sizeof(float));
  out.times = calloc(frames, sizeof(float));
  out.actions = calloc((size_t)n * each, sizeof(float));
  const double* times = us_dataset_times(b->data);
  for (int i = 0; i < n; i++) {
    for (int t = 0; t < b->frames; t++) {
      size_t at = (size_t)(i * b->frames + t);
      us_features_read(b->features, row[i] + t * b->block, out.latents + at * one);
      out.times[at] = (float)(times[row[i] + t * b->block] - times[row[i]]);
    }
    for (size_t k = 0; k < steps; k++) {
      us_features_read(b->features, row[i] + 1 + (int64_t)k,
                       out.actions + (size_t)i * each + k * one);
    }
  }
  return out;
}

static void free_batch(UsBatch* b) {
  free(b->latents);
  free(b->times);
  free(b->actions);
}

// Raw predictions (n, D) of the last frame of windows `row`, whose last block is told `codes`.
static float* predict(const Bench* b, int n, const UsBatch* window, float* codes) {
  const UsLossConfig shape = {.batch = n, .frames = b->frames};
  UsTape* t = us_tape_create(b->p, &shape);
  float* z = calloc((size_t)n * b->dim, sizeof(float));
  float* mean = calloc(b->dim, sizeof(float));
  float scale;
  UsBatch told = *window;
  told.actions = codes;
  us_predictor_loss(b->p, t, &told, n, 0, NULL, NULL);
  us_tape_predictions(t, z, NULL);
  us_predictor_norm(b->p, mean, &scale);
  for (size_t i = 0; i < (size_t)n * b->dim; i++) z[i] = z[i] * scale + mean[i % b->dim];
  us_tape_destroy(t);
  free(mean);
  return z;
}

// Cases whose thing moves within kDegrees of where it moved in the source.
static int count_alike(const Bench* b, int n, const int64_t* source, const int64_t* start,
                       const float* z, double* sum) {
  int alike = 0;
  *sum = 0;
  for (int i = 0; i < n; i++) {
    double from[2], to[2], move[2];
    read_place(b, row_of(b, start[i] + b->span - b->block), from);
    read_place(b, z + (size_t)i * b->dim, to);
    motion(b, source[i], move);
    double x = to[0] - from[0], y = to[1] - from[1];
    double cosine = (x * move[0] + y * move[1]) / (hypot(x, y) * hypot(move[0], move[1]));
    *sum += hypot(x, y) / n;
    alike += cosine >= cos(kDegrees * M_PI / 180);
  }
  return alike;
}

static void tell(const Bench* b, int n, const int64_t* source, const int64_t* start) {
  size_t codes = (size_t)(b->block * us_predictor_config(b->p)->action);
  size_t each = (size_t)(b->frames - 1) * codes;
  float *of_source = calloc((size_t)n * each, sizeof(float)),
        *of_start = calloc((size_t)n * each, sizeof(float));
  UsBatch happened = batch_of(b, n, source), window = batch_of(b, n, start);
  must(us_latent_codes(b->m, &happened, of_source));
  must(us_latent_codes(b->m, &window, of_start));
  double moved;
  float* z = predict(b, n, &happened, of_source);
  int own = count_alike(b, n, source, source, z, &moved);
  printf("told in its own place: %d of %d within %d degrees, moved %.3f on average\n", own, n,
         kDegrees, moved);
  free(z);
  // What led to the start is its own; what happens then is the other's.
  for (int i = 0; i < n; i++) {
    size_t last = (size_t)i * each + each - codes;
    memcpy(of_start + last, of_source + last, codes * sizeof(float));
  }
  z = predict(b, n, &window, of_start);
  int alike = count_alike(b, n, source, start, z, &moved);
  printf("told from another start: %d of %d within %d degrees, moved %.3f on average\n", alike, n,
         kDegrees, moved);
  free(z);
  free_batch(&happened);
  free_batch(&window);
  free(of_source);
  free(of_start);
}

// Opens a device that keeps features as the folder's training did.
static UsDevice* device_of(const char* folder) {
  cJSON* notes;
  UsDevice* device;
  must(us_pretrained_training(folder, &notes));
  const char* kept = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(notes, "features"));
  int fast = kept && strcmp(kept, "bfloat16") == 0;
  cJSON_Delete(notes);
  must(us_device_open(NULL, fast ? US_FAST_FEATURES : 0, &device));
  return device;
}

int main(int argc, char** argv) {
  Bench b = {.at = {2, 3}};
  if (argc != 3 && argc != 5) return fprintf(stderr, "bench_latent FOLDER DATA [X Y]\n"), 2;
  must(us_latent_open(argv[1], NULL, &b.m));
  must(us_dataset_open(argv[2], &b.data));
  b.device = device_of(argv[1]);
  must(us_encoder_open("default", b.device, &b.encoder));
  must(us_features_open(b.data, b.encoder, NULL, NULL, &b.features));
  const UsDatasetInfo* info = us_dataset_info(b.data);
  b.p = us_latent_predictor(b.m);
  b.states = us_dataset_states(b.data), b.state = (size_t)info->state;
  b.dim = (size_t)us_features_tokens(b.features) * (size_t)us_features_dim(b.features);
  b.row = calloc(b.dim, sizeof(float));
  b.block = us_predictor_config(b.p)->block, b.frames = us_predictor_config(b.p)->context + 1;
  b.span = (b.frames - 1) * b.block;
  for (int k = 0; k < 2 && argc == 5; k++) b.at[k] = (size_t)atoi(argv[3 + k]);
  if (b.at[0] >= b.state || b.at[1] >= b.state || info->episodes < 20) {
    return fprintf(stderr, "bench_latent: %s: expected states and 20 episodes\n", argv[2]), 1;
  }
  int64_t first = info->episodes - (info->episodes + 19) / 20;
  fit(&b, us_dataset_offsets(b.data)[first], info->rows);
  int64_t source[kCases], start[kCases];
  int n = draw_cases(&b, first, source, start);
  printf("a place is read with an error of %.4f; %d cases\n", b.error, n);
  if (n > 0) tell(&b, n, source, start);
  free(b.gram);
  free(b.map);
  us_features_close(b.features);
  us_encoder_destroy(b.encoder);
  us_dataset_close(b.data);
  us_device_close(b.device);
  free(b.row);
  us_latent_destroy(b.m);
  return n > 0 ? 0 : 1;
}
