// The trainer: learns a toy world; the same bits twice, for any number of threads and over a
// resume.

#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "tests/worldmodel/training/toy_training.h"
#include "tests/worldmodel/wide_device.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/ops.h"
#include "worldmodel/train.h"
#include "worldmodel/training/train_inner.h"

static void test_learns_the_toy_world(void** state) {
  if (emulated()) skip();
  UsTrainConfig c = config();
  c.steps = 1000;
  Run r = make(&c, 2, toy_source, (void*)&train_seed);
  us_trainer_normalise(r.t, 4);
  UsValidation v;
  assert_int_equal(us_trainer_run(r.t, &(UsTrainRun){.label = "toy"}, &v), US_OK);
  assert_true(v.one_step < 0.05);
  assert_true(v.open_loop < 0.1);
  drop(&r);
}

static void train_plainly(Run* r) {
  us_trainer_normalise(r->t, 2);
  assert_int_equal(us_trainer_run(r->t, &(UsTrainRun){.label = "toy"}, NULL), US_OK);
}

static void test_same_bits_for_any_threads(void** state) {
  UsTrainConfig c = config();
  Run a = make(&c, 1, toy_source, (void*)&train_seed);
  Run b = make(&c, 1, toy_source, (void*)&train_seed);
  Run two = make(&c, 2, toy_source, (void*)&train_seed);
  train_plainly(&a);
  train_plainly(&b);
  train_plainly(&two);
  assert_same_weights(&a, &b);
  assert_same_weights(&a, &two);
  drop(&a);
  drop(&b);
  drop(&two);
}

// Stops after some steps, goes on in a new trainer, compares with a run that never stopped.
static void test_resume_same_bits(void** state) {
  char folder[] = "/tmp/us_train_XXXXXX", path[128];
  assert_non_null(mkdtemp(folder));
  us_path_join(path, sizeof(path), folder, "checkpoint.safetensors");
  UsTrainConfig c = config();
  c.patience = 9;
  Run whole = make(&c, 1, toy_source, (void*)&train_seed);
  train_plainly(&whole);
  Run first = make(&c, 2, toy_source, (void*)&train_seed);
  us_trainer_normalise(first.t, 2);
  int before = emulated() ? 7 : 21;
  for (int i = 0; i < before; i++) us_trainer_step(first.t, (double)i / (double)c.steps);
  assert_int_equal(us_trainer_save(first.t, path, "a key"), US_OK);
  Run second = make(&c, 1, toy_source, (void*)&train_seed);
  const UsTrainRun run = {.label = "toy", .checkpoint = path, .key = "a key", .resume = 1};
  assert_int_equal(us_trainer_run(second.t, &run, NULL), US_OK);
  assert_int_equal(us_trainer_steps(second.t), c.steps);
  assert_same_weights(&whole, &second);

  Run other = make(&c, 1, toy_source, (void*)&train_seed);
  assert_int_equal(us_trainer_load(other.t, path, "another key"), US_FORMAT);
  assert_non_null(strstr(us_message(), "a key"));
  drop(&whole);
  drop(&first);
  drop(&second);
  drop(&other);
  toy_remove(folder);
}

static void test_action_only(void** state) {
  UsTrainConfig c = config();
  c.action_only = 1;
  Run r = make(&c, 1, toy_source, (void*)&train_seed);
  UsPredictorConfig size = *us_predictor_config(r.p);
  UsPredictor* trained = toy_predictor(&size);  // a fresh trunk predicts no change at all
  us_predictor_adopt(r.p, trained);
  us_predictor_destroy(trained);
  float* before = weights(&r);
  assert_int_equal(us_trainer_run(r.t, &(UsTrainRun){.label = "toy"}, NULL), US_OK);
  float* after = weights(&r);
  const UsParamList* list = us_predictor_list(r.p);
  for (int i = 0; i < list->count; i++) {
    const UsParam* at = &list->param[i];
    int same = !memcmp(before + at->offset, after + at->offset, at->count * sizeof(float));
    assert_int_equal(same, !(at->flags & US_PARAM_ACTION));
  }
  free(before);
  free(after);
  drop(&r);
}

// NaN at step 8 alone, after which all would be well again.
static int breaks = 1;

static void breaking_source(void* source, int64_t step, int b, UsBatch* out) {
  toy_source(source, step, b, out);
  if (breaks && step == 8 && b == 5) out->latents[(size_t)(b * out->frames) * kToyDim] = NAN;
}

// With a checkpoint after every step, before which its figures are read.
static void test_stops_at_nan(void** state) {
  char folder[] = "/tmp/us_train_XXXXXX", path[128];
  assert_non_null(mkdtemp(folder));
  us_path_join(path, sizeof(path), folder, "checkpoint.safetensors");
  UsTrainConfig c = config();
  Run r = make(&c, 2, breaking_source, (void*)&train_seed);
  const UsTrainRun run = {.label = "toy", .checkpoint = path, .checkpoint_seconds = 1e-9};
  assert_int_equal(us_trainer_run(r.t, &run, NULL), US_DIVERGED);
  assert_non_null(strstr(us_message(), "training: step 8: the loss is not finite (nan)"));
  Run again = make(&c, 1, toy_source, (void*)&train_seed);
  assert_int_equal(us_trainer_load(again.t, path, ""), US_OK);
  assert_int_equal(us_trainer_steps(again.t), 7);
  assert_same_weights(&r, &again);
  drop(&r);
  drop(&again);
  toy_remove(folder);
}

// Whenever it is found: the step is named, weights and checkpoint are those before it, and a
// trainer that takes a checkpoint over goes on.
static void test_finds_nan_late(void** state) {
  char path[] = "/tmp/us_train_XXXXXX";
  close(mkstemp(path));
  UsTrainConfig c = config();
  c.validate_every = 1000;
  Run good = make_on(wide_device(), &c, 1, toy_source, (void*)&train_seed);
  Run bad = make_on(wide_device(), &c, 1, breaking_source, (void*)&train_seed);
  for (int i = 0; i < 7; i++) us_trainer_step(good.t, 0);
  for (int i = 0; i < 11; i++) us_trainer_step(bad.t, 0);
  assert_int_equal(us_trainer_steps(bad.t), 11);
  assert_same_weights(&good, &bad);
  // The bad step is the last of the figures; those before it are what they were.
  const UsTrainStep *one, *other;
  assert_int_equal(us_trainer_figures(good.t, &one), 7);
  assert_int_equal(us_trainer_figures(bad.t, &other), 8);
  assert_memory_equal(one, other, 7 * sizeof(*one));
  assert_true(!other[7].finite && other[7].step == 8);
  assert_int_equal(us_trainer_steps(bad.t), 7);
  assert_int_equal(us_trainer_figures(bad.t, &other), 0);
  // No step counts from there on, good ones neither, until a checkpoint is taken over.
  breaks = 0;
  assert_int_equal(us_trainer_step(bad.t, 0), 1);
  assert_int_equal(us_trainer_figures(bad.t, &other), 1);
  assert_true(!other->finite && isfinite(other->teacher));
  assert_int_equal(us_trainer_step(bad.t, 0), 1);
  assert_int_equal(us_trainer_save(bad.t, path, ""), US_OK);
  assert_int_equal(us_trainer_steps(bad.t), 7);
  Run again = make_on(wide_device(), &c, 1, toy_source, (void*)&train_seed);
  Run* const went_on[] = {&good, &bad, &again};
  assert_int_equal(us_trainer_load(again.t, path, ""), US_OK);
  assert_int_equal(us_trainer_load(bad.t, path, ""), US_OK);
  for (int i = 0; i < 3; i++) {
    us_trainer_step(went_on[i]->t, 0.1);
    assert_int_equal(us_trainer_figures(went_on[i]->t, &one), 1);
    assert_true(one->finite && one->step == 8);
  }
  assert_same_weights(&good, &again);
  assert_same_weights(&good, &bad);
  breaks = 1;
  // In a run it is found when its figures are read, at the latest for the last validation.
  drop(&bad);
  bad = make_on(wide_device(), &c, 1, breaking_source, (void*)&train_seed);
  assert_int_equal(us_trainer_run(bad.t, &(UsTrainRun){.label = "toy"}, NULL), US_DIVERGED);
  assert_non_null(strstr(us_message(), "training: step 8: the loss is not finite (nan)"));
  assert_int_equal(us_trainer_steps(bad.t), 7);
  drop(&good);
  drop(&bad);
  drop(&again);
  unlink(path);
}

// The device breaks at step 8.
static void failing_source(void* source, int64_t step, int b, UsBatch* out) {
  toy_source(source, step, b, out);
  if (step == 8 && b == 0) wide_error = "out of order";
}

// A device that fails ends training with its own line, not as a loss, and the checkpoint stays.
static void test_device_fails(void** state) {
  if (wide_device() == test_device()) skip();
  char folder[] = "/tmp/us_train_XXXXXX", path[128];
  assert_non_null(mkdtemp(folder));
  us_path_join(path, sizeof(path), folder, "checkpoint.safetensors");
  UsTrainConfig c = config();
  for (int late = 0; late < 2; late++) {
    Run r = make_on(wide_device(), &c, 1, failing_source, (void*)&train_seed);
    const UsTrainRun run = {
        .label = "toy", .checkpoint = path, .checkpoint_seconds = late ? 1e9 : 1e-9};
    assert_int_equal(us_trainer_run(r.t, &run, NULL), US_DEVICE);
    assert_string_equal(us_message(), "training: out of order");
    assert_int_equal(us_trainer_save(r.t, path, ""), US_DEVICE);
    wide_error = NULL;
    Run again = make_on(wide_device(), &c, 1, toy_source, (void*)&train_seed);
    assert_int_equal(us_trainer_load(again.t, path, ""), US_OK);
    assert_int_equal(us_trainer_steps(again.t), late ? 0 : 7);
    drop(&r);
    drop(&again);
  }
  toy_remove(folder);
}

// A wide device takes the batch as one shard; that is another rounding and nothing else.
static void test_wide_is_alike(void** state) {
  UsTrainConfig c = config();
  Run narrow = make_on(us_device_cpu(), &c, 1, toy_source, (void*)&train_seed);
  Run wide = make_on(wide_device(), &c, 2, toy_source, (void*)&train_seed);
  Run one = make_on(wide_device(), &c, 1, toy_source, (void*)&train_seed);
  Run* const all[] = {&narrow, &wide, &one};
  const UsTrainStep *a, *b;
  for (int k = 0; k < 3; k++) {
    us_trainer_normalise(all[k]->t, 2);
    for (int i = 0; i < 20; i++) us_trainer_step(all[k]->t, i / 20.0);
  }
  assert_int_equal(us_trainer_figures(narrow.t, &a), 20);
  assert_int_equal(us_trainer_figures(wide.t, &b), 20);
  for (int i = 0; i < 20; i++) {
    assert_true(fabs(a[i].teacher - b[i].teacher) <= 1e-4 * a[i].teacher);
    assert_true(fabs(a[i].rollout - b[i].rollout) <= 1e-4 * a[i].rollout);
    assert_true(fabs(a[i].norm - b[i].norm) <= 1e-3 * a[i].norm);
    assert_true(a[i].rate == b[i].rate && a[i].step == b[i].step && b[i].finite);
  }
  UsValidation v = us_trainer_validate(narrow.t), w = us_trainer_validate(wide.t);
  assert_true(fabs(v.one_step - w.one_step) <= 1e-3 * v.one_step);
  assert_true(fabs(v.open_loop - w.open_loop) <= 1e-3 * v.open_loop);
  assert_same_weights(&wide, &one);
  for (int k = 0; k < 3; k++) drop(all[k]);
}

// A step that is replayed gives the bits of one that is made call by call.
static void test_recorded_is_the_same(void** state) {
  UsTrainConfig c = config();
  Run replayed = make_on(wide_device(), &c, 1, toy_source, (void*)&train_seed);
  Run plain = make_on(wide_device(), &c, 1, toy_source, (void*)&train_seed);
  Run* const both[] = {&replayed, &plain};
  const UsTrainStep *a, *b;
  plain.t->plain = 1;
  for (int k = 0; k < 2; k++) {
    us_trainer_normalise(both[k]->t, 2);
    for (int i = 0; i < 8; i++) us_trainer_step(both[k]->t, i / 8.0);
  }
  assert_null(plain.t->recording);
  // Without, the device can record nothing at all.
  void* r = us_ops_record(wide_device()) ? us_ops_recorded(wide_device()) : NULL;
  assert_true(!replayed.t->recording == !r);
  us_ops_forget(wide_device(), r);
  assert_int_equal(us_trainer_figures(replayed.t, &a), 8);
  assert_int_equal(us_trainer_figures(plain.t, &b), 8);
  for (int i = 0; i < 8; i++) assert_true(a[i].teacher == b[i].teacher && a[i].rate == b[i].rate);
  assert_same_weights(&replayed, &plain);
  drop(&replayed);
  drop(&plain);
}

// Steps go on without the host; it waits once for figures, and once for a validation.
static void test_waits_for_nothing(void** state) {
  UsDevice* d = wide_device();
  UsTrainConfig c = config();
  Run r = make_on(d, &c, 2, toy_source, (void*)&train_seed);
  const UsTrainStep* read;
  us_trainer_normalise(r.t, 2);
  for (int i = 0; i < 3; i++) us_trainer_step(r.t, 0);  // made, recorded, replayed
  us_trainer_validate(r.t);
  int64_t before = waits(d);
  UsDeviceInfo first, last;
  us_device_info(d, &first);
  for (int i = 0; i < 20; i++) us_trainer_step(r.t, 0);
  us_device_info(d, &last);
  assert_int_equal(last.waits, before);
  assert_true(last.unused == first.unused);
  assert_int_equal(us_trainer_figures(r.t, &read), 23);
  assert_int_equal(waits(d), before + 1);
  us_trainer_validate(r.t);
  assert_int_equal(waits(d), before + 2);
  // A whole run: a look every 50 steps, the first checkpoint apart.
  c.steps = emulated() ? 30 : 120;
  c.validate_every = 1000;
  c.patience = 1;
  Run whole = make_on(d, &c, 1, toy_source, (void*)&train_seed);
  before = waits(d);
  assert_int_equal(us_trainer_run(whole.t, &(UsTrainRun){.label = "toy"}, NULL), US_OK);
  assert_in_range(waits(d) - before, 2, 2 + c.steps / US_TRAIN_UNREAD + 1);
  drop(&r);
  drop(&whole);
}

static void remove_all(const char* folder) {
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  assert_int_equal(system(line), 0);
}

// Asks are counted; from the `left`-th on the answer is to stop.
static int stop_after(void* left) {
  return --*(int*)left < 0;
}

// The lines of a log about validations.
static void read_validations(const char* path, char* out, size_t size) {
  char line[512];
  FILE* f = fopen(path, "r");
  assert_non_null(f);
  out[0] = 0;
  while (fgets(line, sizeof(line), f)) {
    if (strstr(line, "one_step")) strncat(out, line, size - strlen(out) - 1);
  }
  fclose(f);
}

// Stopped anywhere, in a step or in a validation, and gone on with again and again: the same
// weights, the same validations, as of a run that never stopped.
static void test_stopped_anywhere_goes_on(void** state) {
  char folder[] = "/tmp/us_train_XXXXXX", path[128], logs[2][128], lines[2][4096];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof(path), "%s/c.safetensors", folder);
  for (int i = 0; i < 2; i++) snprintf(logs[i], sizeof(logs[i]), "%s/%d.jsonl", folder, i);
  UsTrainConfig c = config();
  c.steps = emulated() ? 9 : 32;
  c.validate_every = 3;
  Run whole = make(&c, 1, toy_source, (void*)&train_seed);
  us_trainer_normalise(whole.t, 2);
  assert_int_equal(us_trainer_run(whole.t, &(UsTrainRun){.label = "toy", .log = logs[0]}, NULL),
                   US_OK);
  const UsTrainRun run = {
      .label = "toy", .log = logs[1], .checkpoint = path, .key = "k", .resume = 1};
  UsStatus status = US_INTERRUPTED;
  Run last = {0};
  int stops = 0;
  for (int left; status == US_INTERRUPTED && stops < 200; stops++) {
    drop(&last);
    last = make(&c, 1, toy_source, (void*)&train_seed);
    assert_int_equal(us_trainer_normalise(last.t, 2), US_OK);
    left = (emulated() ? 12 : 20) + 3 * stops;
    us_hooks_set((UsHooks){.stop = stop_after, .data = &left});
    status = us_trainer_run(last.t, &run, NULL);
    us_hooks_set((UsHooks){0});
  }
  assert_int_equal(status, US_OK);
  assert_true(stops > (emulated() ? 2 : 8));
  assert_same_weights(&whole, &last);
  for (int i = 0; i < 2; i++) read_validations(logs[i], lines[i], sizeof(lines[i]));
  assert_string_equal(lines[0], lines[1]);
  drop(&whole);
  drop(&last);
  remove_all(folder);
}

// Megabytes of samples that a wide device's trainer asks of a machine that has none.
static double samples_told(int bfloat) {
  UsPredictorConfig size = toy_config();
  UsPredictor* p;
  UsTrainer* t;
  UsTrainConfig c = config();
  const UsTrainData data = {toy_source, (void*)&train_seed, 0, bfloat};
  size.device = wide_device();
  c.batch = 1 << 16;
  assert_int_equal(us_predictor_create("toy", &size, &p), US_OK);
  assert_int_equal(us_trainer_create(us_predictor_model(p), &c, data, data, NULL, &t), US_MEMORY);
  us_predictor_destroy(p);
  const char* told = strstr(us_message(), "training: needs ");
  assert_non_null(told);
  return strtod(told + strlen("training: needs "), NULL);
}

// What a trainer takes is known before it takes it.
static void test_needs_are_told(void** state) {
  char root[] = "/tmp/us_train_XXXXXX", path[128];
  static const char text[] = "MemAvailable: 1 kB\n";
  assert_non_null(mkdtemp(root));
  snprintf(path, sizeof(path), "%s/proc", root);
  assert_int_equal(us_folder_make(path), US_OK);
  snprintf(path, sizeof(path), "%s/proc/meminfo", root);
  assert_int_equal(us_file_write(path, text, strlen(text)), US_OK);
  UsPredictorConfig size = toy_config();
  size.device = test_device();
  UsPredictor* p;
  assert_int_equal(us_predictor_create("toy", &size, &p), US_OK);
  UsTrainConfig c = config();
  c.batch = 64;
  UsTrainer* t;
  us_machine_root(root);
  UsStatus status = us_trainer_create(us_predictor_model(p), &c,
                                      (UsTrainData){toy_source, (void*)&train_seed, 0, 0},
                                      (UsTrainData){0}, NULL, &t);
  char said[256];
  snprintf(said, sizeof(said), "%s", us_message());
  // Of the 6 numbers of a sample's frame 3 are features.
  double floats = samples_told(0), bfloats = samples_told(1);
  us_machine_root(NULL);
  assert_true(fabs(bfloats - 0.75 * floats) < 0.02);
  assert_int_equal(status, US_MEMORY);
  assert_null(t);
  assert_non_null(strstr(said, "training: needs "));
  us_predictor_destroy(p);
  // A device's own memory counts for itself.
  size.device = wide_device();
  wide_memory = 1e5;
  if (!test_device()->wide) {
    assert_int_equal(us_predictor_create("toy", &size, &p), US_OK);
    assert_int_equal(us_trainer_create(us_predictor_model(p), &c,
                                       (UsTrainData){toy_source, (void*)&train_seed, 0, 0},
                                       (UsTrainData){0}, NULL, &t),
                     US_MEMORY);
    assert_non_null(strstr(us_message(), "training: out of memory: "));
    assert_non_null(strstr(us_message(), "100000 of 100000 left on "));
    us_predictor_destroy(p);
  }
  wide_memory = 0;
  remove_all(root);
}

static void test_step_does_not_allocate(void** state) {
  UsTrainConfig c = config();
  Run r = make(&c, 2, toy_source, (void*)&train_seed);
  us_trainer_normalise(r.t, 2);
  us_trainer_step(r.t, 0);
  us_trainer_validate(r.t);
  long before = toy_allocations();
  for (int i = 0; i < 5; i++) us_trainer_step(r.t, 0.1);
  us_trainer_validate(r.t);
  assert_int_equal(toy_allocations(), before);
  drop(&r);
}

static void test_refuses_nonsense(void** state) {
  const UsPredictorConfig size = toy_config();
  UsPredictor* p;
  assert_int_equal(us_predictor_create("toy", &size, &p), US_OK);
  const UsTrainData none = {0}, train = {toy_source, (void*)&train_seed, 0, 0};
  UsTrainer* t;
  UsTrainConfig c = config();
  c.frames = 4;
  assert_int_equal(us_trainer_create(us_predictor_model(p), &c, train, none, NULL, &t), US_USAGE);
  assert_null(t);
  c = config();
  c.frames = 16386;  // more than attention takes
  assert_int_equal(us_trainer_create(us_predictor_model(p), &c, train, none, NULL, &t), US_USAGE);
  assert_null(t);
  c = config();
  c.steps = 0;
  assert_int_equal(us_trainer_create(us_predictor_model(p), &c, train, none, NULL, &t), US_USAGE);
  // A kind without a loss is refused by name.
  const UsWorldModelClass still = {.kind = "still"};
  UsWorldModel m = *us_predictor_model(p);
  m.cls = &still;
  c = config();
  assert_int_equal(us_trainer_create(&m, &c, train, none, NULL, &t), US_USAGE);
  assert_non_null(strstr(us_message(), "kind still"));
  us_predictor_destroy(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_learns_the_toy_world), cmocka_unit_test(test_same_bits_for_any_threads),
      cmocka_unit_test(test_resume_same_bits),     cmocka_unit_test(test_action_only),
      cmocka_unit_test(test_stops_at_nan),         cmocka_unit_test(test_step_does_not_allocate),
      cmocka_unit_test(test_refuses_nonsense),     cmocka_unit_test(test_stopped_anywhere_goes_on),
      cmocka_unit_test(test_needs_are_told),       cmocka_unit_test(test_finds_nan_late),
      cmocka_unit_test(test_wide_is_alike),        cmocka_unit_test(test_waits_for_nothing),
      cmocka_unit_test(test_device_fails),         cmocka_unit_test(test_recorded_is_the_same),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
