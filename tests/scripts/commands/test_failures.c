// The n-th allocation or the n-th write fails, n = 1, 2, ..: every create, load and save either
// works or gives a status with a message, leaves *out NULL, and can be called again.
//
// Allocations are failed only for callers inside libunderstudy: what HDF5, MuJoCo or BLAS do
// without memory is not ours to test.

#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "datasets/features.h"
#include "env/env.h"
#include "planner/planner.h"
#include "tasks/tasks.h"
#include "tests/own_library.h"
#include "worldmodel/training/anchor.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/model_folder.h"

#ifdef US_SANITIZED
int main(void) {
  return 0;  // sanitizers bring an allocator of their own
}
#else

// ---- what fails ----

static long left_memory = -1;  // allocations until one fails; below 0: none does
static long left_writes = -1;  // writes until all fail, as on a full disk; below 0: none does
static int failed;             // something was made to fail

static int refuse(void* caller) {
  if (left_memory < 0 || !own_library_called(caller) || left_memory-- > 0) return 0;
  failed = 1;
  return 1;
}

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  return refuse(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  return refuse(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}
void* realloc(void* old, size_t size) {
  return refuse(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  return refuse(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

static int full(void) {
  if (left_writes < 0 || left_writes-- > 0) return 0;
  left_writes = 0;  // a full disk stays full
  failed = 1;
  errno = ENOSPC;
  return 1;
}

ssize_t write(int fd, const void* bytes, size_t size) {
  return full() ? -1 : syscall(SYS_write, fd, bytes, size);
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  return full() ? -1 : syscall(SYS_pwrite64, fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off_t at) {
  return pwrite(fd, bytes, size, at);
}
int fsync(int fd) {
  return full() ? -1 : (int)syscall(SYS_fsync, fd);
}

// ---- what is done ----

static char folder[] = "/tmp/us_failures_XXXXXX", path[3][256];
enum { kData, kModel, kOther };

static UsStatus do_encoder(void) {
  UsEncoder* e;
  UsStatus status = us_encoder_open("default", NULL, &e);
  assert_true((status == US_OK) == (e != NULL));
  us_encoder_destroy(e);
  return status;
}

static UsStatus do_encoder_save(void) {
  UsEncoder* e;
  UsStatus status = us_encoder_open("default", NULL, &e);
  if (status == US_OK) status = us_encoder_save(e, path[kOther]);
  us_encoder_destroy(e);
  return status;
}

static UsStatus do_pca(void) {
  static uint8_t frames[40 * 16 * 16 * 3];
  for (size_t i = 0; i < sizeof(frames); i++) frames[i] = (uint8_t)(i * 7919 >> 3);
  UsEncoder* e;
  UsStatus status = us_encoder_make_pca(4, 40, 16, 16, frames, NULL, NULL, &e);
  assert_true((status == US_OK) == (e != NULL));
  us_encoder_destroy(e);
  return status;
}

static UsStatus do_anchor(void) {
  static uint8_t frames[8 * 16 * 16 * 3], mean[16 * 16 * 3];
  for (size_t i = 0; i < sizeof(frames); i++) frames[i] = (uint8_t)(i * 7919 >> 3);
  const UsFrameSet set = {frames, 8};
  UsAnchor* a;
  UsStatus status = us_anchor_create(16, 16, 4, &set, mean, 1, &a);
  assert_true((status == US_OK) == (a != NULL));
  us_anchor_destroy(a);
  return status;
}

static UsStatus do_pretrained(void) {
  UsPredictor* p;
  char hash[US_HASH_CHARS];
  UsStatus status = us_pretrained_open("default", NULL, &p, hash);
  assert_true((status == US_OK) == (p != NULL));
  us_predictor_destroy(p);
  return status;
}

static UsStatus do_model_save(void) {
  UsEncoder* e = NULL;
  UsPredictor* p = NULL;
  const double mean[4] = {0}, std[4] = {1, 1, 0, 0};
  UsPredictorConfig c = us_predictor_config_default(1, 1, 2, 5, 2);
  c.width = c.action_hidden = 16;
  c.depth = 1;
  UsStatus status = us_encoder_make_state(4, mean, std, NULL, &e);
  if (status == US_OK) status = us_predictor_create("test", &c, &p);
  const float bank[3 * 2 * 2] = {0}, past[3 * 10] = {0};
  const UsModelParts parts = {.task = "wall",
                              .dt = 0.05,
                              .model = us_predictor_model(p),
                              .encoder = e,
                              .contexts = 3,
                              .context = bank,
                              .past = past};
  if (status == US_OK) status = us_model_save(path[kModel], &parts);
  us_predictor_destroy(p);
  us_encoder_destroy(e);
  return status;
}

static UsStatus do_model_env(void) {
  char name[300];
  snprintf(name, sizeof(name), "model:%s", path[kModel]);
  UsEnv* e;
  UsStatus status = us_env_open(name, NULL, &(UsEnvConfig){.slots = 3}, &e);
  assert_true((status == US_OK) == (e != NULL));
  us_env_close(e);
  return status;
}

static UsStatus do_planner(void) {
  UsEnv* e;
  UsPlanner* p = NULL;
  UsStatus status = us_env_open("sim:wall", us_tasks, &(UsEnvConfig){.slots = 2}, &e);
  assert_true((status == US_OK) == (e != NULL));
  UsPlannerConfig c = us_planner_defaults();
  if (c.horizon == 0) c.horizon = 5;
  if (status == US_OK) status = us_planner_create("cem", e, &c, &p);
  assert_true((status == US_OK) == (p != NULL));
  us_planner_destroy(p);
  us_env_close(e);
  return status;
}

// A disk that is full is what the message says.
static UsStatus named(UsStatus status) {
  if (status != US_OK && left_writes == 0 && !strstr(us_message(), strerror(ENOSPC))) {
    fail_msg("expected \"%s\" in: %s", strerror(ENOSPC), us_message());
  }
  return status;
}

// Frames are large, so that HDF5 writes them at once and not when it has a buffer full.
static UsStatus do_dataset_write(void) {
  enum { kRows = 12, kSide = 64 };
  static uint8_t pixels[kRows * kSide * kSide * 3];
  float actions[kRows * 2] = {0}, proprio[kRows * 4] = {0}, rewards[kRows] = {0};
  double states[kRows * 4] = {0}, times[kRows];
  uint8_t flags[kRows] = {0};
  for (int i = 0; i < kRows; i++) times[i] = 0.05 * i;
  actions[kRows * 2 - 1] = actions[kRows * 2 - 2] = NAN;
  UsDatasetInfo info = {.task = "wall", .version = "test", .policy = "none", .camera = "above"};
  info.action = 2;
  info.proprio = info.state = 4;
  info.dt = 0.05;
  info.height = info.width = kSide;
  UsDatasetWriter* w;
  UsStatus status = named(us_dataset_create(path[kData], &info, 2, kRows, 1, &w));
  if (status != US_OK) return status;
  const UsEpisode e = {
      .rows = kRows, .pixels = pixels, .actions = actions, .proprio = proprio, .states = states};
  UsEpisode episode = e;
  episode.rewards = rewards;
  episode.terminated = episode.truncated = flags;
  episode.times = times;
  UsStatus first = named(us_dataset_append(w, &episode));
  if (first == US_OK) first = named(us_dataset_append(w, &episode));
  status = us_dataset_finish(w);
  if (first == US_OK) named(status);
  return first != US_OK ? first : status;
}

static UsStatus do_dataset_read(void) {
  UsDataset* d;
  UsStatus status = us_dataset_open(path[kData], &d);
  assert_true((status == US_OK) == (d != NULL));
  char hash[US_HASH_CHARS];
  if (status == US_OK) status = us_dataset_hash(d, hash);
  us_dataset_close(d);
  return status;
}

static UsStatus do_features(void) {
  UsDataset* d;
  UsEncoder* e = NULL;
  UsFeatures* f = NULL;
  UsSampler* s = NULL;
  const double mean[4] = {0}, std[4] = {1, 1, 0, 0};
  const UsSamplerConfig c = {.frames = 2, .block = 5};
  UsStatus status = us_dataset_open(path[kData], &d);
  if (status == US_OK) status = us_encoder_make_state(4, mean, std, NULL, &e);
  if (status == US_OK) status = us_features_open(d, e, NULL, NULL, &f);
  if (status == US_OK) status = us_sampler_create(d, f, &c, &s);
  assert_true((status == US_OK) == (s != NULL));
  us_sampler_destroy(s);
  us_features_close(f);
  us_encoder_destroy(e);
  us_dataset_close(d);
  return status;
}

// ---- the loop ----

// Runs `act` with the n-th failure for n = 1, 2, .. until nothing was made to fail.
static void fail_each(const char* name, UsStatus (*act)(void), long* left) {
  int most = 4000, refused = 0;
  for (int n = 0; n < most; n++) {
    failed = 0;
    *left = n;
    UsStatus status = act();
    *left = -1;
    if (!failed) {
      assert_int_equal(status, US_OK);
      if (refused == 0) fail_msg("%s: nothing was ever refused", name);
      return;
    }
    // A failure that the call can do without (a hint, a second try) may pass; one that counts has a
    // message.
    refused++;
    if (status != US_OK && !us_message()[0]) fail_msg("%s: failure %d has no message", name, n);
    UsStatus again = act();
    if (again != US_OK) fail_msg("%s: after failure %d: %s", name, n, us_message());
  }
  fail_msg("%s: still failing after %d failures", name, most);
}

#define EACH(act) fail_each(#act, act, &left_memory)
#define EACH_WRITE(act) fail_each(#act " (writes)", act, &left_writes)

static void test_memory(void** state) {
  (void)state;
  EACH(do_encoder);
  EACH(do_encoder_save);
  EACH(do_pca);
  EACH(do_anchor);
  EACH(do_pretrained);
  EACH(do_model_save);
  EACH(do_model_env);
  EACH(do_planner);
  EACH(do_dataset_write);
  EACH(do_dataset_read);
  EACH(do_features);
}

static void test_writes(void** state) {
  (void)state;
  EACH_WRITE(do_encoder_save);
  EACH_WRITE(do_model_save);
  EACH_WRITE(do_dataset_write);
}

static int clean_up(void) {
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0;
}

int main(void) {
  if (!own_library_find() || !mkdtemp(folder)) return 1;
  static const char* const names[3] = {"data.h5", "model", "other"};
  for (int i = 0; i < 3; i++) snprintf(path[i], sizeof(path[i]), "%s/%s", folder, names[i]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory), cmocka_unit_test(test_writes)};
  int bad = cmocka_run_group_tests_name("failures", tests, NULL, NULL);
  return clean_up() || bad;
}

#endif
