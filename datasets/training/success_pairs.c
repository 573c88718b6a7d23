// Pairs for the success head, drawn by their numbers from the measures of all rows.

#include "datasets/training/success_pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/training/encoder_source.h"
#include "env/sim.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"

enum { kLook = 48, kNear = 16, kChunk = 4096 };

typedef struct Pairs {
  const UsTrainingJob* j;
  const UsFeatures* features;
  const UsTask* task;
  const mjModel* model;
  const int32_t* length;      // (E)
  const int64_t* offset;      // (E)
  int64_t trained;            // episodes; those behind are held back, if there are any
  int64_t first[2], rows[2];  // of training and of what is held back
  int32_t* episode;           // (N)
  double* measure;            // (N, M)
  float *mean, scale;         // of the world model's normalisation: (D)
  int tokens, dim;
} Pairs;

// ---- the rule ----

static const double* measure(const Pairs* p, int64_t row) {
  return p->measure + row * p->task->measure;
}

static int solved(const Pairs* p, int64_t row, int64_t goal) {
  return p->task->success(p->model, measure(p, row), measure(p, goal));
}

// ---- draws ----

static int64_t any_row(const Pairs* p, int held, UsRng* r) {
  return p->first[held] + us_rng_below(r, (uint32_t)p->rows[held]);
}

// A row of the same episode, at most `most` rows away; 0: any.
static int64_t row_beside(const Pairs* p, int64_t row, int most, UsRng* r) {
  const int32_t e = p->episode[row];
  int64_t low = p->offset[e], high = low + p->length[e] - 1;
  if (most && row - most > low) low = row - most;
  if (most && row + most < high) high = row + most;
  return low + us_rng_below(r, (uint32_t)(high - low + 1));
}

// A goal for which `row` is solved: it itself at worst.
static int64_t solved_goal(const Pairs* p, int64_t row, UsRng* r) {
  if (us_rng_below(r, 2)) {
    for (int i = 0; i < kLook; i++) {
      int64_t goal = any_row(p, 0, r);
      if (solved(p, row, goal)) return goal;
    }
  }
  for (int most = 1 + (int)us_rng_below(r, kNear); most > 0; most--) {
    int64_t goal = row_beside(p, row, most, r);
    if (solved(p, row, goal)) return goal;
  }
  return row;
}

// A goal for which it is not, if there is one to be found.
static int64_t other_goal(const Pairs* p, int64_t row, UsRng* r) {
  int64_t best = row;
  double nearest = INFINITY;
  const uint32_t kind = us_rng_below(r, 3);
  for (int i = 0; i < kLook; i++) {
    int64_t goal = kind == 1 ? row_beside(p, row, 4 * kNear, r) : any_row(p, 0, r);
    if (solved(p, row, goal)) continue;
    if (kind != 2) return goal;
    double away = p->task->distance(p->model, measure(p, row), measure(p, goal));
    if (!(away < nearest)) continue;
    nearest = away;
    best = goal;
  }
  return best;
}

// Latents of a row, normalised.
static void put_latents(const Pairs* p, int64_t row, float* out) {
  us_features_read(p->features, row, out);
  for (int g = 0; g < p->tokens; g++) {
    for (int i = 0; i < p->dim; i++, out++) *out = (*out - p->mean[i]) / p->scale;
  }
}

// A UsSuccessSource.
static void draw(void* source, int held, int64_t step, int b, float* now, float* goal, int* yes) {
  const Pairs* p = source;
  UsRng r = us_rng(p->j->c.seed, US_RNG_SUCCESS, (uint64_t)step, (uint64_t)b, (uint64_t)held);
  int64_t row = any_row(p, held, &r), other;
  if (held) {
    other = us_rng_below(&r, 2) ? any_row(p, 1, &r) : row_beside(p, row, 0, &r);
  } else {
    other = us_rng_below(&r, 2) ? solved_goal(p, row, &r) : other_goal(p, row, &r);
  }
  put_latents(p, row, now);
  put_latents(p, other, goal);
  *yes = solved(p, row, other);
}

// ---- what pairs are drawn from ----

// The measures of all rows, by the simulator.
static UsStatus measure_rows(Pairs* p, UsEnv* sim, const UsDataset* data) {
  const UsDatasetInfo* info = us_dataset_info(data);
  UsProgress bar = us_progress_start("success", "rows", (double)info->rows, 0);
  for (int64_t at = 0; at < info->rows; at += kChunk) {
    int n = info->rows - at < kChunk ? (int)(info->rows - at) : kChunk;
    UsStatus status = us_sim_measure(sim, n, us_dataset_states(data) + at * info->state,
                                     p->measure + at * p->task->measure);
    if (status == US_OK) status = us_progress_step(&bar, (double)(at + n), "success head");
    if (status != US_OK) {
      us_progress_end(&bar);
      return status;
    }
  }
  us_progress_end(&bar);
  for (int64_t e = 0; e < info->episodes; e++) {
    for (int32_t k = 0; k < p->length[e]; k++) p->episode[p->offset[e] + k] = (int32_t)e;
  }
  return US_OK;
}

static UsStatus prepare(Pairs* p, UsEnv* sim, const UsDataset* data, const UsWorldModel* world) {
  const UsDatasetInfo* info = us_dataset_info(data);
  p->task = us_sim_task(sim);
  p->model = us_sim_model(sim);
  p->length = us_dataset_lengths(data);
  p->offset = us_dataset_offsets(data);
  p->tokens = world->grid_h * world->grid_w;
  p->dim = world->dim;
  p->episode = calloc((size_t)info->rows, sizeof(*p->episode));
  p->measure = calloc((size_t)info->rows * (size_t)p->task->measure, sizeof(double));
  p->mean = calloc((size_t)p->dim, sizeof(float));
  if (!p->episode || !p->measure || !p->mean) {
    return us_fail(US_MEMORY, "%s: out of memory for measures", us_dataset_path(data));
  }
  world->cls->norm(world, p->mean, &p->scale);
  // Rows of the first episodes train; a single episode is both.
  const int64_t trained = p->j->data.trained[0];
  const int one = trained == info->episodes;
  p->rows[0] = one ? info->rows : p->offset[trained];
  p->first[1] = one ? 0 : p->offset[trained];
  p->rows[1] = info->rows - p->first[1];
  return measure_rows(p, sim, data);
}

UsStatus us_training_success(const UsTrainingJob* j, const UsWorldModel* world, int steps,
                             UsSuccessHead** out) {
  *out = NULL;
  const UsDataset* data = j->data.data[0];
  const UsDatasetInfo* info = us_dataset_info(data);
  UsEnv* sim = NULL;
  Pairs p = {.j = j, .features = j->data.features[0]};
  // Whoever has no rule has no head, and says so: a model without is whole too.
  UsStatus opened = us_known_sim(info->task, j->tasks, &sim);
  if (opened != US_OK || !sim || us_env_info(sim)->state != info->state) {
    us_env_close(sim);
    us_log("no success head: there is no task \"%s\" here whose rule would teach it%s%s",
           info->task, opened == US_OK ? "" : ": ", opened == US_OK ? "" : us_message());
    return US_OK;
  }
  UsStatus status = prepare(&p, sim, data, world);
  const UsSuccessConfig config = {
      .tokens = p.tokens, .dim = p.dim, .steps = steps, .seed = j->c.seed, .device = j->device};
  if (status == US_OK) {
    status = us_success_fit(&config, draw, &p, out);
    if (status == US_FORMAT) {
      us_log("no success head: %s", us_message());
      status = US_OK;
    }
  }
  us_env_close(sim);
  free(p.episode);
  free(p.measure);
  free(p.mean);
  return status;
}
