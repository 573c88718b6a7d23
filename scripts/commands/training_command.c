#include "scripts/commands/training_command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "env/sim.h"
#include "datasets/encoder_jobs.h"
#include "scripts/cli/cli.h"
#include "scripts/report/picture.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"

enum { kPath = 4096, kDefaultBlock = 5 };

// ---- options ----

TrainingOptions training_options(void) {
  return (TrainingOptions){.steps = 6000,
                           .batch = 64,
                           .rollout = 4,
                           .rollout_weight = 1,
                           .rate = 2e-3,
                           .decay = 0.01,
                           .clip = 1,
                           .beta = 1,
                           .warmup = 100,
                           .checkpoint = 30,
                           .seed = 1};
}

void training_options_free(TrainingOptions* o) {
  us_lock_release(o->lock);
  free(o->encoder);
  free(o->out);
  free(o->cache);
}

int training_check(const char* command, TrainingOptions* o, const char* data) {
  char path[kPath];
  if (!data) return us_cli_usage(command, "--data: expected a file, found none");
  if (!o->out) return us_cli_usage(command, "--out: expected a folder, found none");
  if (o->batch < 1)
    return us_cli_usage(command, "--batch: expected at least 1, found %d", o->batch);
  if (o->steps < 1 && !(o->minutes > 0)) {
    return us_cli_usage(command, "--steps: expected at least 1, or --minutes, found %d", o->steps);
  }
  if (!(o->rate > 0))
    return us_cli_usage(command, "--rate: expected more than 0, found %g", o->rate);
  if (!(o->checkpoint > 0)) {
    return us_cli_usage(command, "--checkpoint-seconds: expected more than 0, found %g",
                        o->checkpoint);
  }
  if (o->overwrite && o->resume) {
    return us_cli_usage(command, "expected --resume or --overwrite, found both");
  }
  UsStatus status = us_folder_make_above(o->out);
  if (status == US_OK) status = us_lock_take(o->out, &o->lock);
  if (status != US_OK) return us_cli_fail(command, status);
  if (o->overwrite || o->resume) return -1;
  if (us_file_exists(us_path_join(path, sizeof(path), o->out, "config.json"))) {
    return us_cli_usage(command, "%s: is there already; --overwrite replaces it", o->out);
  }
  us_path_join(path, sizeof(path), o->out, "checkpoint.safetensors");
  if (us_file_exists(path)) {
    return us_cli_usage(
        command, "%s: holds a stopped run; --resume continues it, --overwrite starts anew", o->out);
  }
  return -1;
}

// ---- data ----

static int task_block(const char* task) {
  const UsTask* t = us_cli_task(task);
  return t ? t->block : kDefaultBlock;
}

// The last twentieth of the episodes is held back.
static int64_t count_training(int64_t episodes) {
  int64_t held = (episodes + 19) / 20;
  return episodes > held ? episodes - held : episodes;
}

static UsStatus check_same(const TrainingData* d, int i) {
  const UsDatasetInfo *a = us_dataset_info(d->data[0]), *b = us_dataset_info(d->data[i]);
  if (a->height == b->height && a->width == b->width) return US_OK;
  return us_fail(US_FORMAT, "%s: expected frames of %d x %d as in %s, found %d x %d",
                 us_dataset_path(d->data[i]), a->width, a->height, us_dataset_path(d->data[0]),
                 b->width, b->height);
}

UsStatus training_data_open(const char* const* paths, int count, const char* encoder,
                            const TrainingOptions* o, UsPool* pool, TrainingData* out) {
  *out = (TrainingData){.seed = (uint64_t)o->seed};
  for (int i = 0; i < count; i++) {
    US_TRY(us_dataset_open(paths[i], &out->data[i]));
    out->count = i + 1;
    US_TRY(check_same(out, i));
    out->trained[i] = count_training(us_dataset_info(out->data[i])->episodes);
    US_TRY(us_dataset_hash(out->data[i], out->hash[i]));
  }
  out->block = o->block ? o->block : task_block(us_dataset_info(out->data[0])->task);
  US_TRY(us_dataset_encoder(encoder, out->data[0], us_cli_tasks(), pool, &out->encoder));
  for (int i = 0; i < count; i++) {
    const UsFeaturesPlace place = {.folder = o->cache, .spare = o->out};
    US_TRY(us_features_open(out->data[i], out->encoder, &place, pool, &out->features[i]));
  }
  return US_OK;
}

void training_data_close(TrainingData* d) {
  for (int i = 0; i < d->count; i++) {
    us_sampler_destroy(d->sampler[i]);
    us_features_close(d->features[i]);
    us_dataset_close(d->data[i]);
  }
  us_encoder_destroy(d->encoder);
}

// Rows from the first to the last frame of a held-back sample.
static int held_span(const TrainingData* d) {
  return (d->held_frames - 1) * d->block;
}

// Whether episode e of dataset i gives held-back samples. With a single episode, training shares
// it.
static int is_held(const TrainingData* d, int i, int64_t e) {
  return e >= d->trained[i] && us_dataset_lengths(d->data[i])[e] > held_span(d);
}

UsStatus training_data_sample(TrainingData* d, int frames, int gap_max, int held_frames) {
  d->held_frames = held_frames;
  d->held = 1;
  for (int i = 0; i < d->count; i++) {
    const UsSamplerConfig c = {.seed = d->seed,
                               .frames = frames,
                               .block = d->block,
                               .gap_max = gap_max,
                               .episodes = d->trained[i]};
    US_TRY(us_sampler_create(d->data[i], d->features[i], &c, &d->sampler[i]));
    int found = 0;
    for (int64_t e = d->trained[i]; e < us_dataset_info(d->data[i])->episodes; e++) {
      found |= is_held(d, i, e);
    }
    d->held &= found;
  }
  return US_OK;
}

// A dataset for this sample, all alike.
static int pick_dataset(const TrainingData* d, int64_t step, int b, uint32_t stream) {
  if (d->count == 1) return 0;
  UsRng r = us_rng(d->seed, US_RNG_BATCH, (uint64_t)step, (uint64_t)b, stream);
  return (int)us_rng_below(&r, (uint32_t)d->count);
}

void training_source(void* data, int64_t step, int b, UsBatch* out) {
  const TrainingData* d = data;
  us_sampler_source(d->sampler[pick_dataset(d, step, b, 2)], step, b, out);
}

void held_source(void* data, int64_t step, int b, UsBatch* out) {
  const TrainingData* d = data;
  int i = pick_dataset(d, step, b, 3);
  const UsDatasetInfo* info = us_dataset_info(d->data[i]);
  UsRng r = us_rng(d->seed, US_RNG_BATCH, (uint64_t)step, (uint64_t)b, 4);
  int64_t e;
  do {
    e = d->trained[i] + us_rng_below(&r, (uint32_t)(info->episodes - d->trained[i]));
  } while (!is_held(d, i, e));
  int span = held_span(d);
  int64_t row = us_dataset_offsets(d->data[i])[e] +
                us_rng_below(&r, (uint32_t)(us_dataset_lengths(d->data[i])[e] - span));
  const double* times = us_dataset_times(d->data[i]);
  size_t one = (size_t)us_features_tokens(d->features[i]) * (size_t)us_features_dim(d->features[i]);
  for (int t = 0; t < out->frames; t++) {
    size_t at = (size_t)(b * out->frames + t);
    int64_t from = row + (int64_t)t * d->block;
    memcpy(out->latents + at * one, us_features_row(d->features[i], from), one * sizeof(float));
    out->times[at] = (float)(times[from] - times[row]);
  }
  if (!out->actions) return;
  size_t width = (size_t)span * (size_t)info->action;
  memcpy(out->actions + (size_t)b * width, us_dataset_actions(d->data[i]) + row * info->action,
         width * sizeof(float));
}

// ---- configs ----

UsPredictorConfig training_sizes(const TrainingOptions* o, const UsEncoder* encoder, int block,
                                 int action) {
  const UsEncoderInfo* e = us_encoder_info(encoder);
  UsPredictorConfig c = us_predictor_config_default(e->grid_h, e->grid_w, e->dim, block, action);
  if (o->width) c.width = c.action_hidden = o->width;
  if (o->depth) c.depth = o->depth;
  if (o->heads) c.heads = o->heads;
  if (o->mlp) c.mlp = o->mlp;
  if (o->context) c.context = o->context;
  c.past = action > 0 && !o->no_past ? c.context - 1 : 0;
  if (o->hidden) c.action_hidden = o->hidden;
  if (o->no_residual) c.residual = 0;
  return c;
}

UsTrainConfig training_config(const TrainingOptions* o) {
  return (UsTrainConfig){.steps = o->steps,
                         .minutes = o->minutes,
                         .batch = o->batch,
                         .frames = o->frames,
                         .rollout = o->rollout,
                         .rollout_weight = (float)o->rollout_weight,
                         .beta = (float)o->beta,
                         .rate = (float)o->rate,
                         .trunk_rate = (float)o->trunk_rate,
                         .warmup = o->warmup,
                         .decay = (float)o->decay,
                         .clip = (float)o->clip,
                         .patience = o->patience};
}

void training_key(const TrainingData* d, const UsPredictorConfig* c, const UsTrainConfig* t,
                  const char* more, char* out, size_t size) {
  cJSON* sizes = us_predictor_config_json(c);
  char* text = cJSON_PrintUnformatted(sizes);
  char all[16384], hash[US_HASH_CHARS];
  int at = snprintf(all, sizeof(all), "%s %s %lld %g %d %d %d %g %g %g %g %d %g %g %d %s",
                    text ? text : "", us_encoder_info(d->encoder)->hash, (long long)t->steps,
                    t->minutes, t->batch, t->frames, t->rollout, t->rollout_weight, t->beta,
                    t->rate, t->trunk_rate, t->warmup, t->decay, t->clip, t->patience, more);
  for (int i = 0; i < d->count && at < (int)sizeof(all); i++) {
    at += snprintf(all + at, sizeof(all) - (size_t)at, " %s", d->hash[i]);
  }
  us_hash_bytes(all, strlen(all), hash);
  snprintf(out, size, "seed %llu, %.12s", (unsigned long long)d->seed, hash);
  free(text);
  cJSON_Delete(sizes);
}

cJSON* training_notes(const TrainingData* d, const UsTrainer* t, const char* key, UsValidation v) {
  cJSON* json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "key", key);
  cJSON* files = cJSON_AddArrayToObject(json, "data");
  for (int i = 0; i < d->count; i++) {
    cJSON* file = cJSON_CreateObject();
    const char* path = us_dataset_path(d->data[i]);
    const char* slash = strrchr(path, '/');
    cJSON_AddStringToObject(file, "file", slash ? slash + 1 : path);
    cJSON_AddStringToObject(file, "sha256", d->hash[i]);
    cJSON_AddStringToObject(file, "task", us_dataset_info(d->data[i])->task);
    us_json_add(file, "episodes", (double)d->trained[i]);
    cJSON_AddItemToArray(files, file);
  }
  const UsTrainConfig* c = us_trainer_config(t);
  us_json_add(json, "seed", (double)d->seed);
  us_json_add(json, "steps", (double)us_trainer_steps(t));
  us_json_add(json, "batch", c->batch);
  us_json_add(json, "frames", c->frames);
  us_json_add(json, "rollout", c->rollout);
  us_json_add(json, "rate", c->rate);
  if (v.measured) {
    us_json_add(json, "one_step_to_copy_last", v.one_step);
    us_json_add(json, "open_loop_to_copy_last", v.open_loop);
  }
  return json;
}

// ---- the curve ----

typedef struct Curve {
  int count;
  double *x, *y;  // (count)
} Curve;

static void add_point(Curve* c, double x, const cJSON* y) {
  if (!cJSON_IsNumber(y)) return;
  c->x[c->count] = x;
  c->y[c->count++] = y->valuedouble;
}

static UsStatus draw(const Curve curve[4], const char* path) {
  static const char* const names[] = {"loss", "rollout loss", "next frame", "open loop"};
  UsSeries s[4];
  for (int i = 0; i < 4; i++) {
    s[i] = (UsSeries){names[i], curve[i].count, curve[i].x, curve[i].y, i >= 2};
  }
  UsPicture* p = NULL;
  US_TRY(us_picture_create(1000, 420, &p));
  const UsPlot loss = {"training loss", "step", "smooth L1", 1, 0, 0};
  const UsPlot held = {"held-back error / copy-last", "step", NULL, 1, 0, 0};
  int rolled = 0;
  for (int i = 0; i < curve[1].count; i++) rolled |= curve[1].y[i] > 0;
  us_picture_lines(p, (UsBox){0, 0, 500, 420}, &loss, rolled ? 2 : 1, s);
  us_picture_lines(p, (UsBox){500, 0, 500, 420}, &held, 2, s + 2);
  UsStatus status = us_picture_save(p, path);
  us_picture_destroy(p);
  return status;
}

// Draws loss.png from the log's lines; one that is not JSON is told and left out.
static UsStatus draw_log(const char* log, const char* path) {
  static const char* const keys[] = {"loss", "rollout", "one_step", "open_loop"};
  void* data = NULL;
  size_t size = 0, lines = 1, number = 0;
  char name[kPath + 32];
  US_TRY(us_file_read(log, 0, &data, &size));
  for (size_t i = 0; i < size; i++) lines += ((char*)data)[i] == '\n';
  double* numbers = malloc(8 * lines * sizeof(double));
  if (!numbers) {
    free(data);
    return us_fail(US_MEMORY, "%s: out of memory", path);
  }
  Curve curve[4];
  for (size_t i = 0; i < 4; i++) {
    curve[i] = (Curve){0, numbers + 2 * i * lines, numbers + (2 * i + 1) * lines};
  }
  char* rest = NULL;
  for (char* l = strtok_r(data, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest)) {
    cJSON* json;
    number++;
    snprintf(name, sizeof(name), "%s: line %zu", log, number);
    if (us_json_parse(name, l, strlen(l), &json) != US_OK) {
      fprintf(stderr, "understudy: left out of %s: %s\n", path, us_message());
      continue;
    }
    const cJSON* step = cJSON_GetObjectItemCaseSensitive(json, "step");
    for (int i = 0; i < 4 && cJSON_IsNumber(step); i++) {
      add_point(&curve[i], step->valuedouble, cJSON_GetObjectItemCaseSensitive(json, keys[i]));
    }
    cJSON_Delete(json);
  }
  UsStatus status = draw(curve, path);
  free(numbers);
  free(data);
  return status;
}

UsStatus training_done(const TrainingOptions* o, const char* key, int* done) {
  char config[kPath], checkpoint[kPath];
  cJSON* json = NULL;
  *done = 0;
  us_path_join(config, sizeof(config), o->out, "config.json");
  us_path_join(checkpoint, sizeof(checkpoint), o->out, "checkpoint.safetensors");
  if (!o->resume || us_file_exists(checkpoint) || !us_file_exists(config)) return US_OK;
  US_TRY(us_json_read(config, &json));
  const cJSON* notes = cJSON_GetObjectItemCaseSensitive(json, "training");
  const char* found = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(notes, "key"));
  *done = found && strcmp(found, key) == 0;
  cJSON_Delete(json);
  if (!*done) {
    return us_fail(US_FORMAT,
                   "%s: expected a stopped run, found a finished one of other data or options; "
                   "--overwrite replaces it",
                   o->out);
  }
  printf("%s: is complete\n", o->out);
  return US_OK;
}

UsStatus training_run(UsTrainer* t, const char* label, const TrainingOptions* o, const char* key,
                      UsValidation* result) {
  const char* out = o->out;
  char log[kPath], checkpoint[kPath], picture[kPath];
  US_TRY(us_folder_make(out));
  const UsTrainRun run = {
      .label = label,
      .log = us_path_join(log, sizeof(log), out, "log.jsonl"),
      .checkpoint = us_path_join(checkpoint, sizeof(checkpoint), out, "checkpoint.safetensors"),
      .key = key,
      .checkpoint_seconds = o->checkpoint,
      .resume = o->resume};
  US_TRY(us_trainer_run(t, &run, result));
  return draw_log(log, us_path_join(picture, sizeof(picture), out, "loss.png"));
}

void training_clear(const char* out) {
  char path[kPath];
  unlink(us_path_join(path, sizeof(path), out, "config.json"));
}

void training_finish(const UsTrainer* t, const char* out, UsValidation v) {
  char path[kPath];
  unlink(us_path_join(path, sizeof(path), out, "checkpoint.safetensors"));
  printf("%s: %lld steps", out, (long long)us_trainer_steps(t));
  if (isfinite(v.one_step) && isfinite(v.open_loop)) {
    printf(
        "; error on held-back episodes, of repeating the last frame: next frame %.3f, frame %d "
        "%.3f",
        v.one_step, us_trainer_config(t)->horizon, v.open_loop);
  } else if (v.measured) {
    printf("; the tokens of held-back frames do not change, so repeating the last is no error");
  } else {
    printf("; no held-back episode is long enough to measure errors");
  }
  printf("\n");
}
