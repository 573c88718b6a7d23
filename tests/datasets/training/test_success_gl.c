// The success head of a fine-tuning: a small real run of PointMaze whose head tells success on
// held-back pairs, the same head for a folder that has none, and folders that go without.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "datasets/collect.h"
#include "datasets/training_jobs.h"
#include "env/task.h"
#include "tasks/tasks.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/model_folder.h"

static char folder[] = "/tmp/us_success_run_XXXXXX";
static char data[64], other[64], model[64], head[96], said[512];

static void listen(void* arg, const char* line) {
  if (strstr(line, "success head")) snprintf(said, sizeof(said), "%s", line);
}

static UsFinetuneConfig small(void) {
  UsFinetuneConfig c = us_finetune_defaults();
  c.data = data, c.out = model, c.tasks = us_tasks, c.mode = "scratch";
  c.steps = 2, c.batch = 4, c.width = 16, c.depth = 1, c.heads = 2, c.threads = 1;
  return c;
}

static void expect(UsStatus found, UsStatus wanted, const char* words) {
  if (found != wanted || (words && !strstr(us_message(), words))) {
    fail_msg("%s: %s", us_status_text(found), found == US_OK ? "" : us_message());
  }
}

static void assert_judges(int wanted) {
  UsModel* m;
  expect(us_model_open(model, NULL, &m), US_OK, NULL);
  assert_int_equal(us_model_success(m) != NULL, wanted);
  us_model_destroy(m);
}

// Bytes of the head's file.
static size_t read_head(char* out, size_t size) {
  FILE* f = fopen(head, "rb");
  if (!f) return 0;
  size_t n = fread(out, 1, size, f);
  fclose(f);
  return n;
}

// Steps of the predictor alone say nothing; those of the head make it one that tells success.
static void test_head_of_a_run(void** state) {
  enum { kMost = 1 << 20 };
  UsFinetuneConfig c = small();
  UsTrainResult r;
  char *before = malloc(kMost), *after = malloc(kMost);
  expect(us_finetune(&c, &r), US_OK, NULL);
  assert_true(r.success.pairs > 1000 && r.success.solved > 100);
  assert_judges(1);
  // A longer one for the folder as it is.
  c.success_only = 1, c.success_steps = 500;
  expect(us_finetune(&c, &r), US_OK, NULL);
  assert_true(r.steps == 0);
  if (r.success.auroc < 0.93) fail_msg("AUROC %.4f", r.success.auroc);
  assert_true(r.success.hits > 0.5 && r.success.alarms < 0.1);
  size_t n = read_head(before, kMost);
  assert_true(n > 0 && n < kMost);
  // The same bits again, for a folder that has none.
  assert_int_equal(unlink(head), 0);
  assert_judges(0);
  expect(us_finetune(&c, &r), US_OK, NULL);
  assert_true(read_head(after, kMost) == n && memcmp(before, after, n) == 0);
  // Not on other trajectories.
  c.data = other;
  expect(us_finetune(&c, &r), US_FORMAT, "was trained on");
  assert_true(read_head(after, kMost) == n);
  free(before);
  free(after);
}

static void test_folders_without(void** state) {
  UsFinetuneConfig c = small();
  UsTrainResult r;
  // A task that nobody knows here: what was there before is gone, and a line says why.
  c.overwrite = 1, c.tasks = NULL;
  said[0] = 0;
  UsHooks hooks = us_hooks_set((UsHooks){.log = listen});
  expect(us_finetune(&c, &r), US_OK, NULL);
  assert_non_null(strstr(said, "pointmaze"));
  assert_true(r.success.pairs == 0);
  assert_judges(0);
  c.success_only = 1;
  expect(us_finetune(&c, &r), US_FORMAT, "no success head");
  us_hooks_set(hooks);
  // Asked for none.
  c = small();
  c.overwrite = 1, c.success_steps = 0;
  expect(us_finetune(&c, &r), US_OK, NULL);
  assert_judges(0);
  c.success_only = 1;
  expect(us_finetune(&c, &r), US_USAGE, "--success-steps");
  c.success_steps = 1, c.out = folder;
  expect(us_finetune(&c, &r), US_IO, "config.json");
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  snprintf(data, sizeof(data), "%s/train.h5", folder);
  snprintf(other, sizeof(other), "%s/other.h5", folder);
  snprintf(model, sizeof(model), "%s/model", folder);
  snprintf(head, sizeof(head), "%s/success.safetensors", model);
  UsCollectConfig c = us_collect_defaults();
  UsCollectResult made;
  c.task = "pointmaze", c.tasks = us_tasks, c.episodes = 50, c.steps = 60, c.seed = 1, c.out = data;
  if (us_collect(&c, &made) != US_OK) return 1;
  c.episodes = 2, c.seed = 2, c.out = other;
  if (us_collect(&c, &made) != US_OK) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_head_of_a_run),
                                     cmocka_unit_test(test_folders_without)};
  int failed = cmocka_run_group_tests_name("success", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
