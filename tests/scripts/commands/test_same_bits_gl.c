// The whole loop, from collecting to evaluating, once for each number of threads and with batches
// of 1, 7 and 512 episodes: every file that a command writes is the same, but for times.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "tests/scripts/same_files.h"

static char base[] = "/tmp/understudy-bits-XXXXXX";

// Runs a command in a folder of base, so that its words are the same in every folder.
static void run(const char* folder, const char* format, ...) {
  char words[1024], line[2048], said[1024] = "";
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof(words), format, args);
  va_end(args);
  snprintf(line, sizeof(line), "cd '%s' && '%s' %s >out 2>err </dev/null", folder, US_PROGRAM,
           words);
  if (system(line) == 0) return;
  snprintf(line, sizeof(line), "%s/err", folder);
  FILE* f = fopen(line, "r");
  if (f && !fgets(said, sizeof(said), f)) said[0] = 0;
  fail_msg("`%s` failed: %s", words, said);
}

#define SIZES "--width 32 --depth 1 --heads 2 --batch 16 --steps 60"

// The loop, into its folder of base.
static void loop(int threads, char folder[512]) {
  char line[2048];
  snprintf(folder, 512, "%s/%d", base, threads);
  snprintf(line, sizeof(line), "mkdir '%s'", folder);
  assert_int_equal(system(line), 0);
  run(folder, "collect --task wall --episodes 17 --steps 26 --seed 1 --threads %d --out wall.h5",
      threads);
  run(folder,
      "collect --task pointmaze --episodes 9 --steps 26 --seed 1 --threads %d --out maze.h5",
      threads);
  run(folder, "collect --task wall --episodes 16 --steps 40 --seed 2 --threads %d --out held.h5",
      threads);
  run(folder, "pretrain --data wall.h5 maze.h5 --gap 3 --threads %d --out pretrained " SIZES,
      threads);
  run(folder,
      "finetune --data wall.h5 --mode full --init pretrained --threads %d --out model " SIZES,
      threads);
  run(folder,
      "finetune --data wall.h5 --mode scratch --encoder state --patience 3 --threads %d --out "
      "state " SIZES,
      threads);
}

static void evaluate(const char* folder, int threads, int batch) {
  run(folder,
      "eval --model model --state-model state --data held.h5 --episodes 12 --oracle-pairs 9 "
      "--samples 48 --elites 8 --keep 4 --iterations 2 --films 2 --film-size 16 --threads %d "
      "--batch %d --json e.json",
      threads, batch);
}

static void test_same_bits(void** state) {
  (void)state;
  static const char* const files[] = {"wall.h5",
                                      "maze.h5",
                                      "held.h5",
                                      "maze.features-*.bin",
                                      "pretrained/config.json",
                                      "pretrained/model.safetensors",
                                      "pretrained/log.jsonl",
                                      "pretrained/loss.svg",
                                      "model/config.json",
                                      "model/predictor.safetensors",
                                      "model/contexts.safetensors",
                                      "model/encoder/config.json",
                                      "model/log.jsonl",
                                      "state/config.json",
                                      "state/predictor.safetensors",
                                      "state/contexts.safetensors",
                                      "state/log.jsonl"};
  static const int threads[] = {1, 2}, batches[] = {1, 7, 512};
  char folder[2][512], line[4096];
  for (int t = 0; t < 2; t++) loop(threads[t], folder[t]);
  for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
    assert_same_files(folder[0], folder[1], files[i]);
  }
  // Every evaluation, moved to a folder of its own, against the first.
  char first[1024], other[1024];
  snprintf(first, sizeof(first), "%s/0-0", base);
  for (int t = 0; t < 2; t++) {
    for (int b = 0; b < 3; b++) {
      evaluate(folder[t], threads[t], batches[b]);
      snprintf(other, sizeof(other), "%s/%d-%d", base, t, b);
      snprintf(line, sizeof(line), "mkdir %s && mv %s/e.json %s/e.json.films %s", other, folder[t],
               folder[t], other);
      assert_int_equal(system(line), 0);
      assert_same_files(first, other, "e.json");
      assert_same_files(first, other, "e.json.films");
    }
  }
}

// The comparison sees a bit that differs, and a number of an evaluation.
static void test_comparison_sees(void** state) {
  (void)state;
  const char* text[] = {"{\"seconds\": 1, \"rows\": {\"hits\": 3, \"batch\": 4}}",
                        "{\"seconds\": 2, \"rows\": {\"hits\": 3, \"batch\": 5}}",
                        "{\"seconds\": 1, \"rows\": {\"hits\": 4, \"batch\": 4}}"};
  char* bare[3];
  for (int i = 0; i < 3; i++) {
    char* copy = strdup(text[i]);
    bare[i] = text_without_times(copy, 0, 1);
    free(copy);
  }
  assert_string_equal(bare[0], bare[1]);
  assert_string_not_equal(bare[0], bare[2]);
  for (int i = 0; i < 3; i++) free(bare[i]);
}

int main(void) {
  if (!mkdtemp(base)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_comparison_sees),
                                     cmocka_unit_test(test_same_bits)};
  int failed = cmocka_run_group_tests_name("same bits", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", base);
  return system(line) != 0 || failed;
}
