// A film whose actions nobody knows, as a source of training: labels by an inverse model, then the
// stages `both`, `full` and `alone`, between which the held-back trajectories choose.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/provenance.h"
#include "datasets/training/training_job.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/base/text.h"
#include "worldmodel/ops.h"
#include "worldmodel/tensor_file.h"

enum { kPath = 4096, kLooks = 10 };

// ---- opening ----

// An action lasts one env step, so every step of a film has to be one; containers round times.
static UsStatus check_steps(const UsDataset* film, double dt, const char* data) {
  const double* times = us_dataset_times(film);
  for (int64_t e = 0; e < us_dataset_info(film)->episodes; e++) {
    int64_t first = us_dataset_offsets(film)[e], last = first + us_dataset_lengths(film)[e] - 1;
    for (int64_t row = first; row < last; row++) {
      double step = times[row + 1] - times[row];
      if (fabs(step - dt) <= 0.05 * dt) continue;
      return us_fail(US_FORMAT,
                     "%s: expected env steps of %g s as in %s, found one of %g s (`dataset import "
                     "--fps` makes a clip's steps equal)",
                     us_dataset_path(film), dt, data, step);
    }
  }
  return US_OK;
}

// The trajectories themselves, held-back ones among them, would judge what they trained, and a film
// that is named twice has a weight for that.
static UsStatus check_other(UsDataset* film, UsDataset* than) {
  int64_t shared = 0;
  cJSON* notes = cJSON_CreateObject();
  UsStatus status = us_provenance_note(than, notes);
  if (status == US_OK) status = us_provenance_seen(film, notes, &shared);
  cJSON_Delete(notes);
  if (status != US_OK || !shared) return status;
  return us_fail(US_USAGE,
                 "--film: expected other trajectories than those of %s, found %lld of them in %s "
                 "(`dataset split --rest` parts a file)",
                 us_dataset_path(than), (long long)shared, us_dataset_path(film));
}

// Opens file i of a film and checks that it goes with the data.
static UsStatus open_file(UsTrainingJob* j, int i) {
  UsTrainingFilm* f = &j->film;
  UsDataset* data = j->data.data[0];
  const char* path = j->films[i];
  const double weight = j->film_weights ? j->film_weights[i] : 1;
  if (!(weight > 0) || !isfinite(weight)) {
    return us_fail(US_USAGE, "--film: expected a weight above 0 for %s, found %g", path, weight);
  }
  US_TRY(us_training_file_open(path, 1, &f->data[i]));
  f->count = i + 1;
  const UsDatasetInfo *a = us_dataset_info(data), *b = us_dataset_info(f->data[i]);
  // Frames of another size or pace say something else about actions.
  if (a->height != b->height || a->width != b->width) {
    return us_fail(US_FORMAT, "%s: expected frames of %d x %d as in %s, found %d x %d", path,
                   a->width, a->height, us_dataset_path(data), b->width, b->height);
  }
  US_TRY(check_steps(f->data[i], a->dt, us_dataset_path(data)));
  US_TRY(us_dataset_hash(f->data[i], f->hash[i]));
  US_TRY(check_other(f->data[i], data));
  for (int k = 0; k < i; k++) US_TRY(check_other(f->data[i], f->data[k]));
  f->samples[i] = weight;  // until its windows are known
  f->first[i] = f->rows;
  f->rows += b->rows;
  return US_OK;
}

UsStatus us_training_film_open(UsTrainingJob* j) {
  UsTrainingFilm* f = &j->film;
  const UsDatasetInfo* info = us_dataset_info(j->data.data[0]);
  for (int i = 0; j->films[i]; i++) {
    if (i == US_TRAINING_FILES) {
      return us_fail(US_USAGE, "--film: expected at most %d files", US_TRAINING_FILES);
    }
    US_TRY(open_file(j, i));
  }
  if (info->episodes < 2) {
    return us_fail(US_FORMAT,
                   "%s: expected at least 2 episodes to name the actions of a film, found 1",
                   us_dataset_path(j->data.data[0]));
  }
  const UsFeaturesPlace place = {.folder = j->c.cache, .spare = j->c.out};
  for (int i = 0; i < f->count; i++) {
    US_TRY(us_features_open(f->data[i], j->data.encoder, &place, j->pool, &f->features[i]));
  }
  return US_OK;
}

void us_training_film_key(const UsTrainingJob* j, cJSON* all) {
  const UsTrainingFilm* f = &j->film;
  if (f->count == 0) return;
  cJSON* files = cJSON_AddArrayToObject(all, "film");
  for (int i = 0; i < f->count; i++) {
    cJSON_AddItemToArray(files, cJSON_CreateString(f->hash[i]));
    cJSON_AddItemToArray(files, cJSON_CreateNumber(j->film_weights ? j->film_weights[i] : 1));
  }
}

void us_training_film_close(UsTrainingFilm* f) {
  for (int i = 0; i < f->count; i++) {
    us_sampler_destroy(f->train[i]);
    us_features_close(f->features[i]);
    us_dataset_close(f->data[i]);
  }
  cJSON_Delete(f->stages);
  free(f->actions);
  free(f->weight);
}

// ---- labels on disk ----

// The figures that a file of labels has in its metadata.
#define FIGURES(X)       \
  X(UsInverseKind, kind) \
  X(double, linear)      \
  X(double, network)     \
  X(double, lambda)      \
  X(double, correlation) \
  X(double, error)       \
  X(double, variance)    \
  X(int64_t, fitted)     \
  X(int64_t, held)
#define X(type, name) +1
enum { kFigures = 0 FIGURES(X) };
#undef X

static UsStatus write_labels(const UsTrainingJob* j, const char* path) {
  const UsTrainingFilm* f = &j->film;
  int64_t rows = f->rows, action = us_dataset_info(j->data.data[0])->action;
  const UsTensorOut out[] = {{"actions", 2, {rows, action}, f->actions},
                             {"weight", 1, {rows}, f->weight}};
  char text[kFigures][32];
  const char *keys[kFigures + 1], *values[kFigures + 1];
  int n = 0;
#define X(type, name)                                                   \
  snprintf(text[n], sizeof(text[n]), "%.17g", (double)f->figures.name); \
  keys[n] = #name;                                                      \
  values[n] = text[n];                                                  \
  n++;
  FIGURES(X)
#undef X
  keys[n] = "key";
  values[n++] = j->key;
  return us_tensors_write(path, 2, out, n, keys, values);
}

// Labels that a run of this key left; *found 0: there are none.
static UsStatus read_labels(UsTrainingJob* j, const char* path, int* found) {
  UsTrainingFilm* f = &j->film;
  int64_t shape[] = {f->rows, us_dataset_info(j->data.data[0])->action};
  *found = 0;
  if (!j->c.resume || !us_file_exists(path)) return US_OK;
  UsTensors* file;
  US_TRY(us_tensors_open(path, &file));
  const char* key = us_tensors_metadata(file, "key");
  int ours = key && strcmp(key, j->key) == 0;
  UsStatus status = US_OK;
  if (ours) status = us_tensors_read(file, "actions", 2, shape, f->actions);
  if (ours && status == US_OK) status = us_tensors_read(file, "weight", 1, shape, f->weight);
  // Its figures, each a number; a kind of inverse model is one of two.
  char* end = NULL;
#define X(type, name)                                                                          \
  if (ours && status == US_OK) {                                                               \
    const char* text = us_tensors_metadata(file, #name);                                       \
    f->figures.name = (type)strtod(text ? text : "", &end);                                    \
    if (!text || end == text || *end) {                                                        \
      status = us_fail(US_FORMAT, "%s: expected the number \"" #name "\", found \"%s\"", path, \
                       text ? us_shown(text) : "none");                                        \
    }                                                                                          \
  }
  FIGURES(X)
#undef X
  int64_t row = 0;
  while (ours && row < f->rows && f->weight[row] >= 0 && f->weight[row] <= 1) row++;
  if (ours && status == US_OK && (row < f->rows || f->figures.kind > US_INVERSE_NETWORK)) {
    status = us_fail(US_FORMAT,
                     "%s: expected weights from 0 to 1 and a known inverse model, found "
                     "others",
                     path);
  }
  us_tensors_close(file);
  *found = ours;
  return status;
}

// ---- labels ----

// Fits the inverse model to the trajectories whose actions are known, and names those of the film.
static UsStatus find_labels(UsTrainingJob* j) {
  UsTrainingFilm* f = &j->film;
  const UsDataset* data = j->data.data[0];
  const UsDatasetInfo* info = us_dataset_info(data);
  const UsFeatures* features = j->data.features[0];
  const UsTracks known = {.count = info->episodes,
                          .length = us_dataset_lengths(data),
                          .offset = us_dataset_offsets(data),
                          .latents = us_features_row(features, 0),
                          .bfloats = us_features_bfloats(features, 0),
                          .actions = us_dataset_actions(data)};
  const UsInverseConfig config = {.dim = us_features_tokens(features) * us_features_dim(features),
                                  .action = info->action,
                                  .held = us_training_held(&j->data, 0),
                                  .steps = j->c.label_steps,
                                  .seed = j->c.seed,
                                  .device = j->device};
  UsInverse* m;
  UsStatus status = us_inverse_fit(&config, &known, j->pool, &m);
  if (status != US_OK) {
    char message[512];
    snprintf(message, sizeof(message), "%s", us_message());
    return us_fail(status, "%s: %s", us_dataset_path(data), message);
  }
  f->figures = *us_inverse_figures(m);
  for (int i = 0; i < f->count && status == US_OK; i++) {
    const UsTracks film = {.count = us_dataset_info(f->data[i])->episodes,
                           .length = us_dataset_lengths(f->data[i]),
                           .offset = us_dataset_offsets(f->data[i]),
                           .latents = us_features_row(f->features[i], 0),
                           .bfloats = us_features_bfloats(f->features[i], 0)};
    status = us_inverse_label(m, &film, j->pool, f->actions + f->first[i] * info->action,
                              f->weight + f->first[i]);
  }
  us_inverse_destroy(m);
  return status;
}

UsStatus us_training_film_label(UsTrainingJob* j) {
  char path[kPath];
  UsTrainingFilm* f = &j->film;
  size_t rows = (size_t)f->rows, action = (size_t)us_dataset_info(j->data.data[0])->action;
  int found;
  f->actions = malloc(rows * action * sizeof(float));
  f->weight = malloc(rows * sizeof(float));
  if (!f->actions || !f->weight) return us_fail(US_MEMORY, "%s: out of memory", j->films[0]);
  us_path_join(path, kPath, j->c.out, "labels.safetensors");
  US_TRY(read_labels(j, path, &found));
  if (!found) US_TRY(find_labels(j));
  if (!found) US_TRY(write_labels(j, path));
  double sum = 0;
  for (size_t i = 0; i < rows; i++) sum += (double)f->weight[i];
  f->reliable = sum / (double)rows;
  const UsInverseFigures* g = &f->figures;
  us_log(
      "labels: R^2 on %lld held-back steps: linear %.3f (lambda %g), network %.3f: %s; "
      "rank correlation of expected and true errors %.2f; mean weight %.2f",
      (long long)g->held, g->linear, g->lambda, g->network, us_inverse_kind_name(g->kind),
      g->correlation, f->reliable);
  return US_OK;
}

// ---- samples ----

// A UsBatchSource over data, twice as often as its share, and film; `job` is the UsTrainingJob.
static void both_source(void* job, int64_t step, int b, UsBatch* out) {
  const UsTrainingJob* j = job;
  const UsTrainingFilm* f = &j->film;
  double known = 2 * (double)us_sampler_windows(j->data.train[0]), film = 0;
  for (int i = 0; i < f->count; i++) film += f->samples[i];
  UsRng r = us_rng(j->c.seed, US_RNG_BATCH, (uint64_t)step, (uint64_t)b, 2);
  double x = (double)us_rng_uniform(&r) * (known + film) - known;
  // Which file a number behind the known ones falls into.
  int i = 0;
  while (i + 1 < f->count && x >= f->samples[i]) x -= f->samples[i++];
  us_sampler_source(x < 0 ? j->data.train[0] : f->train[i], step, b, out);
}

// Samples of the film's files as of the data, each as often as its windows and its weight say.
static UsStatus make_samplers(UsTrainingJob* j) {
  UsTrainingFilm* f = &j->film;
  for (int i = 0; i < f->count; i++) {
    const int action = us_dataset_info(j->data.data[0])->action;
    const UsSamplerConfig config = {.seed = j->c.seed,
                                    .frames = j->train.frames,
                                    .block = j->data.block,
                                    .actions = f->actions + f->first[i] * action,
                                    .action = action,
                                    .weight = f->weight + f->first[i]};
    US_TRY(us_sampler_create(f->data[i], f->features[i], &config, &f->train[i]));
    f->samples[i] *= (double)us_sampler_windows(f->train[i]);
  }
  return US_OK;
}

// ---- stages ----

// What a stage ended with, in ordinary memory.
typedef struct Kept {
  const char* name;
  float* params;  // (floats)
  float* mean;    // (D)
  float scale;
  double* error;  // (held) of each held-back trajectory
  UsValidation v;
  int64_t steps;
} Kept;

static UsStatus keep(const UsTrainingJob* j, Kept* k) {
  size_t floats = us_predictor_list(j->p)->floats;
  const UsWorldModel* m = us_predictor_model(j->p);
  k->params = malloc(floats * sizeof(float));
  k->mean = malloc((size_t)m->dim * sizeof(float));
  k->error = calloc((size_t)us_training_held(&j->data, 0) + 1, sizeof(double));
  if (!k->params || !k->mean || !k->error) {
    return us_fail(US_MEMORY, "%s: out of memory", j->c.out);
  }
  us_ops_get(m->device, us_predictor_params(j->p), k->params, floats);
  us_predictor_norm(j->p, k->mean, &k->scale);
  return US_OK;
}

static void restore(const UsTrainingJob* j, const Kept* k) {
  us_ops_put(us_predictor_model(j->p)->device, us_predictor_params(j->p), k->params,
             us_predictor_list(j->p)->floats);
  us_predictor_set_norm(j->p, k->mean, k->scale);
}

// Runs a stage and keeps what comes of it.
static UsStatus run_stage(UsTrainingJob* j, const char* name, UsTrainingStage* s, int64_t before,
                          Kept* k) {
  *k = (Kept){.name = name};
  s->label = name;
  snprintf(s->key, sizeof(s->key), "%s, %s", j->key, name);
  US_TRY(us_training_stage(j, s, &k->v));
  k->steps = before + j->steps;
  // For config.json.
  cJSON* note = cJSON_CreateObject();
  cJSON_AddStringToObject(note, "name", name);
  us_json_add(note, "steps", (double)j->steps);
  us_json_add(note, "one_step_to_copy_last", k->v.one_step);
  us_json_add(note, "open_loop_to_copy_last", k->v.open_loop);
  cJSON_AddItemToArray(j->film.stages, note);
  us_log("stage %s: %lld steps; held-back errors of copy-last: next frame %.3f, open loop %.3f",
         name, (long long)j->steps, k->v.one_step, k->v.open_loop);
  US_TRY(keep(j, k));
  return us_training_film_judge(j, k->error);
}

// Of the inverse model that is kept, on held-back steps.
static double label_r2(const UsTrainingJob* j) {
  return fmax(j->film.figures.linear, j->film.figures.network);
}

// All stages; kept[0] is what they start from, and *count becomes the number of all.
static UsStatus run_stages(UsTrainingJob* j, int ready, Kept kept[4], int* count) {
  const UsTrainData known = {us_training_source, &j->data, 0, 0};
  *count = 1;
  US_TRY(keep(j, &kept[0]));
  // On both.
  UsTrainingStage s = {.log = "log.jsonl",
                       .checkpoint = "checkpoint.safetensors",
                       .train = j->train,
                       .data = {both_source, j, 1, 0},
                       .ready = us_training_normalised(j, ready),
                       .fresh = us_training_balances(j, ready)};
  *count = 2;
  US_TRY(run_stage(j, "both", &s, 0, &kept[1]));
  // On the true actions, gently, looking often and keeping the best.
  UsTrainingStage last = s;
  last.log = "log-full.jsonl";
  last.checkpoint = "checkpoint-full.safetensors";
  last.data = known;
  last.ready = 1;
  last.fresh = 0;
  last.train.steps = last.train.patience = j->c.last_steps;
  last.train.minutes = 0;
  last.train.rate *= j->c.last_rate;
  last.train.warmup = j->c.last_steps / kLooks + 1;
  last.train.validate_every = j->c.last_steps / kLooks + 1;
  *count = 3;
  US_TRY(run_stage(j, "full", &last, kept[1].steps, &kept[2]));
  // Without the film, where its labels are bad.
  if (label_r2(j) >= (double)j->c.sure) return US_OK;
  restore(j, &kept[0]);
  s.log = "log-alone.jsonl";
  s.checkpoint = "checkpoint-alone.safetensors";
  s.data = known;
  *count = 4;
  return run_stage(j, "alone", &s, 0, &kept[3]);
}

// Of the stages kept[1 .. count - 1] the one without the film where its labels are bad, else the
// first, unless another is better. Labels no better than the mean action teach that actions do not
// matter, which may lower errors and blinds a planner: `both` is no choice then.
static const Kept* choose(UsTrainingJob* j, const Kept* kept, int count) {
  const double* error[3];
  UsStageGain gain[3];
  int stages = count - 1, first = stages > 2 ? 2 : 0;
  int64_t episodes = us_training_held(&j->data, 0);
  for (int i = 0; i < stages; i++) error[i] = kept[1 + i].error;
  int best = us_training_film_choose(stages, first, episodes, error, gain);
  if (stages > 2 && !(label_r2(j) > 0)) {
    best = 1 + us_training_film_choose(stages - 1, first - 1, episodes, error + 1, gain + 1);
  }
  // What was compared, in words and for config.json.
  for (int i = 0; i < stages; i++) {
    cJSON* note = cJSON_GetArrayItem(j->film.stages, i);
    if (i == first || !isfinite(gain[i].high)) continue;
    us_log("stage %s: %.3f of the open-loop error of %s on the same trajectories, up to %.3f",
           kept[1 + i].name, gain[i].ratio, kept[1 + first].name, gain[i].high);
    cJSON_AddStringToObject(note, "compared_with", kept[1 + first].name);
    us_json_add(note, "open_loop_ratio", gain[i].ratio);
    us_json_add(note, "open_loop_ratio_at_most", gain[i].high);
  }
  us_log("taken: stage %s", kept[1 + best].name);
  return &kept[1 + best];
}

UsStatus us_training_film_run(UsTrainingJob* j, int ready, UsTrainResult* result) {
  UsTrainingFilm* f = &j->film;
  US_TRY(us_training_begin(j, result));
  if (result->complete) return US_OK;
  // Labels, then samples.
  US_TRY(us_training_film_label(j));
  US_TRY(make_samplers(j));
  f->stages = cJSON_CreateArray();
  Kept kept[4] = {{0}};
  int count = 0;
  UsStatus status = run_stages(j, ready, kept, &count);
  if (status == US_OK) {
    const Kept* best = choose(j, kept, count);
    restore(j, best);
    f->chosen = result->chosen = best->name;
    result->validation = best->v;
    result->steps = j->steps = best->steps;
    result->horizon = j->train.horizon;
    result->label_r2 = label_r2(j);
    result->label_correlation = f->figures.correlation;
  }
  for (int i = 0; i < count; i++) {
    free(kept[i].params);
    free(kept[i].mean);
    free(kept[i].error);
  }
  return status;
}

// ---- notes ----

void us_training_film_notes(const UsTrainingJob* j, cJSON* notes) {
  const UsTrainingFilm* f = &j->film;
  const UsInverseFigures* g = &f->figures;
  cJSON* files = f->count > 1 ? cJSON_AddArrayToObject(notes, "film") : NULL;
  for (int i = 0; i < f->count; i++) {
    cJSON* file = us_training_file_notes(f->data[i], us_dataset_info(f->data[i])->episodes);
    us_json_add(file, "weight", j->film_weights ? j->film_weights[i] : 1);
    if (files) cJSON_AddItemToArray(files, file);
    if (!files) cJSON_AddItemToObject(notes, "film", file);
  }
  // How good the labels are, then what was made of them.
  cJSON* labels = cJSON_AddObjectToObject(notes, "labels");
  cJSON_AddStringToObject(labels, "model", us_inverse_kind_name(g->kind));
  us_json_add(labels, "r2_linear", g->linear);
  us_json_add(labels, "r2_network", g->network);
  us_json_add(labels, "lambda", g->lambda);
  us_json_add(labels, "rank_correlation", g->correlation);
  us_json_add(labels, "error", g->error);
  us_json_add(labels, "variance", g->variance);
  us_json_add(labels, "weight", f->reliable);
  us_json_add(labels, "held_back_steps", (double)g->held);
  cJSON_AddItemToObject(notes, "stages", cJSON_Duplicate(f->stages, 1));
  cJSON_AddStringToObject(notes, "chosen", f->chosen);
}
