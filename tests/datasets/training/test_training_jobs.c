// The training jobs as functions: a folder comes out that opens, a finished run is known again, and
// every setting that a result depends on makes it another run.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "datasets/training/training_job.h"
#include "datasets/training_jobs.h"
#include "env/task.h"
#include "tests/datasets/toy_dataset.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/model_folder.h"

static char data[256], pretrained[256], model[256], encoder[256];

static UsPretrainConfig small_pretrain(void) {
  static const char* files[] = {data, NULL};
  UsPretrainConfig c = us_pretrain_defaults();
  c.data = files, c.out = pretrained, c.encoder = encoder;
  c.steps = 2, c.batch = 4, c.width = 16, c.depth = 1, c.heads = 2, c.gap = 2, c.threads = 1;
  return c;
}

static UsFinetuneConfig small_finetune(void) {
  UsFinetuneConfig c = us_finetune_defaults();
  c.data = data, c.out = model, c.encoder = encoder, c.init = pretrained;
  c.steps = 2, c.batch = 4, c.width = 16, c.depth = 1, c.heads = 2, c.block = 1, c.threads = 1;
  return c;
}

static void test_folders(void** state) {
  UsPretrainConfig p = small_pretrain();
  UsFinetuneConfig f = small_finetune();
  UsTrainResult r;
  if (us_pretrain(&p, &r) != US_OK) fail_msg("%s", us_message());
  assert_true(r.steps == 2 && !r.complete && !r.validation.measured);  // too short at 5 steps
  assert_int_equal(us_finetune(&f, &r), US_OK);
  assert_true(r.steps == 2 && !r.complete && r.horizon == 5 && r.validation.measured);
  UsModel* m;
  assert_int_equal(us_model_open(model, NULL, &m), US_OK);
  assert_true(us_model_info(m)->block == 1 && us_model_info(m)->contexts > 0);
  us_model_destroy(m);
  assert_int_equal(us_finetune(&f, &r), US_USAGE);
  assert_non_null(strstr(us_message(), "is there already"));
  f.resume = 1;
  assert_int_equal(us_finetune(&f, &r), US_OK);
  assert_true(r.complete);
}

// The normalisation is that of the trunk, or with --renormalise that of the data.
static void test_renormalise(void** state) {
  UsFinetuneConfig f = small_finetune();
  UsTrainResult r;
  float mean[3][TOY_STATE], scale;
  char hash[US_HASH_CHARS];
  UsPredictor* p;
  assert_int_equal(us_pretrained_open(pretrained, NULL, &p, hash), US_OK);
  us_predictor_norm(p, mean[0], &scale);
  us_predictor_destroy(p);
  f.overwrite = 1;
  for (int i = 1; i < 3; i++) {
    UsModel* m;
    f.renormalise = i == 2;
    assert_int_equal(us_finetune(&f, &r), US_OK);
    assert_int_equal(us_model_open(model, NULL, &m), US_OK);
    us_predictor_norm(us_model_predictor(m), mean[i], &scale);
    us_model_destroy(m);
  }
  assert_memory_equal(mean[0], mean[1], sizeof(mean[0]));
  assert_memory_not_equal(mean[0], mean[2], sizeof(mean[0]));
}

// Of several files each is normalised by itself, so that what was trained on them has none, and
// fine-tuning takes that of its data.
static void test_normalised_apart(void** state) {
  const char* const far = toy_path("far.h5");
  const char* const files[] = {data, far, NULL};
  toy_write(far, 60, 60, 0);
  for (int latent = 0; latent < 2; latent++) {
    UsTrainingJob j = {
        .c = {.latent_actions = latent, .latent_dim = 2, .block = 1, .gap = 1, .encoder = encoder},
        .paths = files};
    UsTrainingData* d = &j.data;
    assert_int_equal(us_training_data_open(&j), US_OK);
    assert_int_equal(us_training_data_encode(&j), US_OK);
    assert_int_equal(us_training_data_sample(&j, 2, 2), US_OK);
    double sum[2] = {0}, square = 0;
    enum { kSamples = 4000, kNumbers = 2 * TOY_STATE };
    for (int s = 0; s < kSamples; s++) {
      float x[kNumbers], times[2], next[TOY_STATE + 2];
      UsBatch b = {
          .batch = 1, .frames = 2, .latents = x, .times = times, .actions = latent ? next : NULL};
      us_training_source(d, s, 0, &b);
      // The frame behind an env step is the sample's second frame.
      if (latent) assert_memory_equal(next, x + TOY_STATE, sizeof(float) * TOY_STATE);
      for (int k = 0; k < kNumbers; k++)
        sum[k % 2] += (double)x[k], square += (double)(x[k] * x[k]);
    }
    assert_true(fabs(sum[0] + sum[1]) / kSamples / kNumbers < 0.05);
    assert_true(fabs(square / kSamples / kNumbers - 1) < 0.05);
    us_training_data_close(d);
  }
  UsPretrainConfig p = small_pretrain();
  UsFinetuneConfig f = small_finetune();
  UsTrainResult r;
  UsPredictor* trunk;
  char hash[US_HASH_CHARS];
  p.data = files, p.out = toy_path("apart");
  if (us_pretrain(&p, &r) != US_OK) fail_msg("%s", us_message());
  assert_int_equal(us_pretrained_open(p.out, NULL, &trunk, hash), US_OK);
  assert_false(us_predictor_normalised(trunk));
  us_predictor_destroy(trunk);
  f.init = p.out, f.overwrite = 1;
  float mean[2][TOY_STATE], scale;
  for (int i = 0; i < 2; i++) {
    UsModel* m;
    f.renormalise = i;
    assert_int_equal(us_finetune(&f, &r), US_OK);
    assert_int_equal(us_model_open(model, NULL, &m), US_OK);
    assert_true(us_predictor_normalised(us_model_predictor(m)));
    us_predictor_norm(us_model_predictor(m), mean[i], &scale);
    us_model_destroy(m);
  }
  assert_memory_equal(mean[0], mean[1], sizeof(mean[0]));
}

// Gaps vary up to --gap, whatever a block is; with 0 they are blocks, and fit into no toy episode.
static void test_gaps(void** state) {
  UsPretrainConfig p = small_pretrain();
  UsTrainResult r;
  p.out = toy_path("gaps");
  p.block = 100, p.gap = 0;
  assert_int_equal(us_pretrain(&p, &r), US_FORMAT);
  assert_non_null(strstr(us_message(), "expected an episode of at least 301 rows"));
  p.gap = 2;
  assert_int_equal(us_pretrain(&p, &r), US_USAGE);
  assert_non_null(strstr(us_message(), "--block: expected --latent-actions or --gap 0 too"));
  p.block = 0;
  if (us_pretrain(&p, &r) != US_OK) fail_msg("%s", us_message());
}

// Another value of a setting, within its range.
static void change(const UsSetting* s, void* config) {
  void* at = (char*)config + s->at;
  if (s->type == US_SETTING_INT) *(int*)at = *(int*)at ? 2 * *(int*)at : 9;
  if (s->type == US_SETTING_SEED) ++*(uint64_t*)at;
  if (s->type == US_SETTING_REAL) *(double*)at += 1;
  if (s->type == US_SETTING_FLOAT) *(float*)at = *(float*)at > 0 ? 2 * *(float*)at : 0.5f;
  if (s->type == US_SETTING_FLAG) *(int*)at = !*(int*)at;
}

static void test_every_setting_names_the_run(void** state) {
  int results = 0, others = 0;
  for (const UsSetting* s = us_finetune_settings; s->name; s++) {
    UsFinetuneConfig f = small_finetune();
    UsTrainResult r;
    f.resume = 1;
    f.init = NULL, f.mode = "scratch", f.rollout = 4;  // sizes may differ, leaps have room
    // Numbers of fewer digits have a test of their own.
    if (s->type == US_SETTING_TEXT || !strcmp(s->name, "resume") || !strcmp(s->name, "fast") ||
        !strcmp(s->name, "overwrite") || !strcmp(s->name, "success_only")) {
      continue;
    }
    f.out = toy_path("scratch");
    if (results + others == 0) {
      f.overwrite = 1, f.resume = 0;
      if (us_finetune(&f, &r) != US_OK) fail_msg("%s", us_message());
      f.overwrite = 0, f.resume = 1;
    }
    change(s, &f);
    UsStatus status = us_finetune(&f, &r);
    if (s->use == US_SETTING_FREE) {
      if (status != US_OK || !r.complete) fail_msg("%s: %s", s->name, us_message());
      others++;
    } else {
      int known = status == US_FORMAT && strstr(us_message(), "of other data or options");
      int of_film = status == US_USAGE && strstr(us_message(), "expected --film too");
      int of_frames = status == US_USAGE && strstr(us_message(), "expected an encoder of frames");
      if (!known && !of_film && !of_frames)
        fail_msg("%s: status %d, %s", s->name, status, us_message());
      results++;
    }
  }
  assert_true(results > 15);
  assert_int_equal(others, 2);  // threads, checkpoint_seconds
}

// Stops a run when it has a state to go on from.
static int stop_behind(void* checkpoint) {
  return us_file_exists(checkpoint);
}

// `fast` keeps features as bfloat16, says so, and names the run: it goes on as it began.
static void test_fast(void** state) {
  UsFinetuneConfig f = small_finetune();
  UsTrainResult r;
  cJSON* json;
  char config[300], checkpoint[300];
  f.init = NULL, f.mode = "scratch", f.out = toy_path("fast"), f.fast = 1;
  snprintf(config, sizeof(config), "%s/config.json", f.out);
  snprintf(checkpoint, sizeof(checkpoint), "%s/checkpoint.safetensors", f.out);
  if (us_finetune(&f, &r) != US_OK) fail_msg("%s", us_message());
  double error = r.validation.open_loop;
  assert_int_equal(us_json_read(config, &json), US_OK);
  const cJSON* notes = cJSON_GetObjectItem(json, "training");
  const char* device = cJSON_GetObjectItem(notes, "device")->valuestring;
  assert_string_equal(cJSON_GetObjectItem(notes, "features")->valuestring, "bfloat16");
  assert_ptr_equal(strstr(device, "cpu fast: "), device);
  cJSON_Delete(json);
  f.resume = 1;
  assert_true(us_finetune(&f, &r) == US_OK && r.complete);
  f.fast = 0;
  assert_int_equal(us_finetune(&f, &r), US_FORMAT);
  assert_non_null(strstr(us_message(), "of other data or options"));
  // Stopped, it goes on to the same bits.
  f.fast = f.overwrite = 1, f.resume = 0;
  UsHooks before = us_hooks_set((UsHooks){.stop = stop_behind, .data = checkpoint});
  UsStatus status = us_finetune(&f, &r);
  us_hooks_set(before);
  assert_int_equal(status, US_INTERRUPTED);
  f.fast = f.overwrite = 0, f.resume = 1;
  assert_int_equal(us_finetune(&f, &r), US_FORMAT);
  assert_non_null(strstr(us_message(), "expected a checkpoint of the same data and options"));
  f.fast = 1;
  assert_int_equal(us_finetune(&f, &r), US_OK);
  assert_true(!r.complete && r.validation.open_loop == error);
  // Floats give a model nearby, within a fiftieth of the error of repeating a frame.
  f.fast = f.resume = 0, f.overwrite = 1;
  assert_int_equal(us_finetune(&f, &r), US_OK);
  assert_true(r.validation.open_loop != error && fabs(r.validation.open_loop - error) < 0.02);
}

// A task's own settings count where the caller gave none, those of the data's windows too.
static void test_task_settings(void** state) {
  static const UsTaskSetting own[] = {{"finetune", "steps", 3},
                                      {"finetune", "block", 2},
                                      {"eval", "block", 9},
                                      {"finetune", "whiten", 0.5},
                                      {NULL, NULL, 0}};
  static const UsTask toy = {.name = "toy", .block = 4, .settings = own};
  static const UsTask* const tasks[] = {&toy, NULL};
  UsFinetuneConfig f = small_finetune();
  UsTrainResult r;
  UsModel* m;
  f.mode = "scratch", f.init = NULL, f.out = toy_path("own"), f.tasks = tasks, f.overwrite = 1;
  f.given = "batch steps width";
  assert_int_equal(us_finetune(&f, &r), US_OK);
  assert_int_equal(us_model_open(f.out, NULL, &m), US_OK);
  assert_true(r.steps == 2 && us_model_info(m)->block == 2);
  us_model_destroy(m);
  f.given = "block";
  assert_int_equal(us_finetune(&f, &r), US_OK);
  assert_int_equal(us_model_open(f.out, NULL, &m), US_OK);
  assert_true(r.steps == 3 && us_model_info(m)->block == 1);
  // What it says of distances of features is not for states, and who asks for it there is told.
  assert_true(us_model_info(m)->whiten == 0);
  us_model_destroy(m);
  f.whiten = 0.5f;
  assert_int_equal(us_finetune(&f, &r), US_USAGE);
  assert_non_null(strstr(us_message(), "--whiten: expected an encoder of frames"));
}

// The names and numbers of the files in the notes of a folder: "data" or "pretrained/data".
static cJSON* notes_of(const char* folder, const char* before) {
  char path[512];
  cJSON* json;
  snprintf(path, sizeof(path), "%s/config.json", folder);
  assert_int_equal(us_json_read(path, &json), US_OK);
  cJSON* all = cJSON_GetObjectItem(json, "training");
  if (before) all = cJSON_GetObjectItem(all, before);
  cJSON* data = cJSON_DetachItemFromObject(all, "data");
  cJSON_Delete(json);
  return data;
}

// Film goes with trajectories, by weight, and what was pretrained on is known behind fine-tuning.
static void test_film(void** state) {
  char film[256];
  snprintf(film, sizeof(film), "%s", toy_path("film.h5"));
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  info.action = 0;
  assert_int_equal(us_dataset_create(film, &info, 4, TOY_ROWS, 1, &w), US_OK);
  for (int e = 30; e < 34; e++) assert_int_equal(toy_append(w, e, TOY_ROWS), US_OK);
  assert_int_equal(us_dataset_finish(w), US_OK);
  const char* const files[] = {data, film, NULL};
  const double weights[] = {1, 3}, even[] = {2, 2}, none[] = {1, 0};
  UsPretrainConfig p = small_pretrain();
  UsTrainResult r;
  p.data = files, p.out = toy_path("mixed"), p.weights = weights;
  if (us_pretrain(&p, &r) != US_OK) fail_msg("%s", us_message());
  cJSON* notes = notes_of(p.out, NULL);
  const cJSON* second = cJSON_GetArrayItem(notes, 1);
  assert_string_equal(cJSON_GetObjectItem(second, "file")->valuestring, "film.h5");
  assert_true(cJSON_GetObjectItem(second, "frames")->valueint == 4 * TOY_ROWS);
  assert_true(cJSON_GetObjectItem(second, "share")->valuedouble == 0.75);
  cJSON_Delete(notes);
  // Weights are the run's; alike they are none.
  p.resume = 1, p.weights = NULL;
  assert_int_equal(us_pretrain(&p, &r), US_FORMAT);
  p.resume = 0, p.overwrite = 1, p.weights = even;
  assert_int_equal(us_pretrain(&p, &r), US_OK);
  p.resume = 1, p.overwrite = 0, p.weights = NULL;
  assert_true(us_pretrain(&p, &r) == US_OK && r.complete);
  p.weights = none;
  assert_int_equal(us_pretrain(&p, &r), US_USAGE);
  // Fine-tuning keeps what its start has seen, and takes no film itself.
  UsFinetuneConfig f = small_finetune();
  f.init = p.out, f.out = toy_path("tuned");
  assert_int_equal(us_finetune(&f, &r), US_OK);
  notes = notes_of(f.out, "pretrained");
  assert_int_equal(cJSON_GetArraySize(notes), 2);
  char frames[US_HASH_CHARS];
  UsDataset* d;
  assert_int_equal(us_dataset_open(film, &d), US_OK);
  assert_int_equal(us_dataset_frames_hash(d, frames), US_OK);
  us_dataset_close(d);
  assert_string_equal(
      cJSON_GetObjectItem(cJSON_GetArrayItem(notes, 1), "frames_sha256")->valuestring, frames);
  cJSON_Delete(notes);
  f.data = film, f.out = toy_path("none");
  assert_int_equal(us_finetune(&f, &r), US_FORMAT);
  assert_non_null(strstr(us_message(), "film"));
}

// Samples come from files as their shares say, for validation from those that hold any back.
static void test_shares(void** state) {
  const char* const paths[] = {data, data, data};
  enum { kSamples = 4000 };
  UsTrainingData d = {.count = 3, .seed = 7, .share = {0.1, 0.3, 0.6}};
  assert_int_equal(us_encoder_open(encoder, NULL, &d.encoder), US_OK);
  // A latent of the file's own episode says where a sample is from.
  for (int i = 0; i < 3; i++) {
    assert_int_equal(us_dataset_open(paths[i], &d.data[i]), US_OK);
    assert_int_equal(us_features_open(d.data[i], d.encoder, NULL, NULL, &d.features[i]), US_OK);
    const UsSamplerConfig c = {.seed = 1, .frames = 2, .block = 1, .first = i, .episodes = 1};
    assert_int_equal(us_sampler_create(d.data[i], d.features[i], &c, &d.train[i]), US_OK);
    if (i == 1) continue;
    assert_int_equal(us_sampler_create(d.data[i], d.features[i], &c, &d.held[i]), US_OK);
  }
  const double want[2][3] = {{0.1, 0.3, 0.6}, {1 / 7.0, 0, 6 / 7.0}};
  for (int held = 0; held < 2; held++) {
    int count[3] = {0};
    for (int s = 0; s < kSamples; s++) {
      float latents[2 * TOY_STATE], times[2];
      UsBatch one = {.batch = 1, .frames = 2, .latents = latents, .times = times};
      (held ? us_training_held_source : us_training_source)(&d, s, 0, &one);
      // States are 100 e + t, less than 12, normalised by 900 and 500.
      count[(int)floorf((latents[0] * 500 + 900) / 100 + 1e-3f)]++;
    }
    for (int i = 0; i < 3; i++) {
      assert_true(fabs((double)count[i] / kSamples - want[held][i]) < 0.025);
    }
  }
  us_training_data_close(&d);
}

// A sample of latent actions: behind every env step its frame, as the file has it, then the noise
// of its codes, of a training sample alone, and the same whatever the batch.
static void check_sample(const UsTrainingData* d, int held, int batch, int s, const float* want) {
  enum { kFrames = 3, kBlock = 2, kSteps = (kFrames - 1) * kBlock, kEach = TOY_STATE + 3 };
  float latents[4 * kFrames * TOY_STATE], times[4 * kFrames], fill[4 * kSteps * kEach];
  UsBatch b = {batch, kFrames, latents, times, fill, NULL, NULL};
  (held ? us_training_held_source : us_training_source)((void*)d, 5, s, &b);
  const float *z = latents + s * kFrames * TOY_STATE, *to = fill + s * kSteps * kEach;
  for (int k = 1; k <= kSteps; k++) {
    // A toy state is its row's number, plus what the episode is.
    assert_true(fabsf((to[(k - 1) * TOY_STATE] - z[0]) * 500 - (float)k) < 1e-2f);
    if (k % kBlock) continue;
    assert_memory_equal(to + (k - 1) * TOY_STATE, z + k / kBlock * TOY_STATE,
                        TOY_STATE * sizeof(float));
  }
  const float* noise = to + kSteps * TOY_STATE;
  for (int i = 0; i < 3 * kSteps; i++) assert_true(held ? noise[i] == 0 : noise[i] == want[i]);
}

static void test_latent_samples(void** state) {
  UsTrainingJob j = {.c = {.seed = 7, .gap = 9, .latent_actions = 1, .latent_dim = 3, .block = 2}};
  UsTrainingData* d = &j.data;
  d->count = 1, d->block = 2, d->latent = 3, d->seed = 7, d->trained[0] = 19, d->share[0] = 1;
  d->alike = 1;
  assert_int_equal(us_encoder_open(encoder, NULL, &d->encoder), US_OK);
  assert_int_equal(us_dataset_open(data, &d->data[0]), US_OK);
  assert_int_equal(us_features_open(d->data[0], d->encoder, NULL, NULL, &d->features[0]), US_OK);
  assert_int_equal(us_training_data_sample(&j, 3, 3), US_OK);
  float want[12];
  UsRng r = us_rng(7, US_RNG_NOISE, 5, 1, 9);
  for (int i = 0; i < 12; i++) want[i] = us_rng_normal(&r);
  check_sample(d, 0, 2, 1, want);
  check_sample(d, 0, 4, 1, want);
  check_sample(d, 1, 4, 3, NULL);
  us_training_data_close(d);
}

// The folder of latent actions opens as such, and fine-tuning starts from it in every mode.
static void test_latent_actions(void** state) {
  UsPretrainConfig p = small_pretrain();
  UsTrainResult r;
  UsLatent* m;
  p.latent_actions = 1, p.latent_dim = 3, p.block = 1, p.gap = 0, p.out = toy_path("latent");
  if (us_pretrain(&p, &r) != US_OK) fail_msg("%s", us_message());
  assert_true(r.coded && r.latent.shuffled.measured && isfinite(r.latent.nats));
  const UsLatentFigures floats = r.latent;
  cJSON* json;
  char path[512];
  assert_int_equal(us_json_read(us_path_join(path, sizeof(path), p.out, "config.json"), &json),
                   US_OK);
  const cJSON* notes = cJSON_GetObjectItem(json, "training");
  assert_true(cJSON_IsTrue(cJSON_GetObjectItem(notes, "latent_actions")));
  assert_true(cJSON_IsNumber(
      cJSON_GetObjectItem(cJSON_GetObjectItem(notes, "latent"), "shuffled_one_step_to_copy_last")));
  cJSON_Delete(json);
  assert_int_equal(us_latent_open(p.out, NULL, &m), US_OK);
  assert_int_equal(us_predictor_config(us_latent_predictor(m))->action, 3);
  us_latent_destroy(m);
  // The action blocks are those of the task.
  const char* const modes[] = {"full", "action-only"};
  for (int i = 0; i < 2; i++) {
    UsFinetuneConfig f = small_finetune();
    UsModel* model;
    f.init = p.out, f.mode = modes[i], f.out = toy_path(modes[i]);
    if (us_finetune(&f, &r) != US_OK) fail_msg("%s", us_message());
    assert_int_equal(us_model_open(f.out, NULL, &model), US_OK);
    assert_int_equal(us_model_info(model)->action, TOY_ACTION);
    us_model_destroy(model);
  }
  // Another size of the codes is another run.
  p.resume = 1, p.latent_dim = 2;
  assert_int_equal(us_pretrain(&p, &r), US_FORMAT);
  p.latent_dim = 3;
  assert_int_equal(us_pretrain(&p, &r), US_OK);
  assert_true(r.complete);
  // Frames as bfloat16 say nearly the same.
  p.resume = 0, p.fast = p.overwrite = 1;
  if (us_pretrain(&p, &r) != US_OK) fail_msg("%s", us_message());
  assert_true(r.latent.nats != floats.nats && fabs(r.latent.nats - floats.nats) < 0.02);
  assert_true(fabs(r.latent.own.open_loop - floats.own.open_loop) < 0.02);
}

static void test_refusals(void** state) {
  UsFinetuneConfig f = small_finetune();
  UsTrainResult r;
  f.overwrite = 1;
  f.mode = "sideways";
  assert_int_equal(us_finetune(&f, &r), US_USAGE);
  f.mode = NULL, f.heads = 0;
  assert_int_equal(us_finetune(&f, &r), US_USAGE);
  assert_non_null(strstr(us_message(), "--heads"));
  // A leap that no loss has seen.
  f.heads = 2, f.leap = f.rollout + 1;
  assert_int_equal(us_finetune(&f, &r), US_USAGE);
  assert_non_null(strstr(us_message(), "--leap: expected at most --rollout"));
  f.leap = 1, f.out = NULL;
  assert_int_equal(us_finetune(&f, &r), US_USAGE);
  UsPretrainConfig p = small_pretrain();
  static const char* const none[] = {NULL};
  p.data = none, p.overwrite = 1;
  assert_int_equal(us_pretrain(&p, &r), US_USAGE);
  assert_non_null(strstr(us_message(), "--data"));
}

int main(void) {
  snprintf(data, sizeof(data), "%s", toy_path("jobs.h5"));
  snprintf(pretrained, sizeof(pretrained), "%s", toy_path("pretrained"));
  snprintf(model, sizeof(model), "%s", toy_path("model"));
  snprintf(encoder, sizeof(encoder), "%s", toy_path("encoder"));
  toy_write(data, 20, 20, 0);
  const double mean[TOY_STATE] = {900, 900, 900, 900}, std[TOY_STATE] = {500, 500, 500, 500};
  UsEncoder* e;
  US_ASSERT(us_encoder_make_state(TOY_STATE, mean, std, NULL, &e) == US_OK);
  US_ASSERT(us_encoder_save(e, encoder) == US_OK);
  us_encoder_destroy(e);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_folders),
      cmocka_unit_test(test_renormalise),
      cmocka_unit_test(test_normalised_apart),
      cmocka_unit_test(test_gaps),
      cmocka_unit_test(test_every_setting_names_the_run),
      cmocka_unit_test(test_task_settings),
      cmocka_unit_test(test_film),
      cmocka_unit_test(test_shares),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_latent_samples),
      cmocka_unit_test(test_latent_actions),
      cmocka_unit_test(test_fast),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  toy_folder_remove();
  return failed;
}
