// The whole loop on a GPU whose kernels run on the host: training, from a run that another device
// began, and plans, of states and of frames; figures are the CPU's but for rounding. Skipped where
// UNDERSTUDY_CUDA names no module.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "tests/planner/oracle_data.h"
#include "tests/scripts/grey_data.h"
#include "tests/scripts/program.h"
#include "worldmodel/base/json.h"

static char folder[] = "/tmp/understudy-loop-XXXXXX";
static const char* const devices[] = {"cpu", "cuda"};

static cJSON* read_json(const char* name) {
  char path[256];
  cJSON* json;
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  if (us_json_read(path, &json) != US_OK) fail_msg("%s", us_message());
  return json;
}

// A number, or the text, at a path of names.
static const cJSON* at(const cJSON* json, const char* path) {
  char names[128];
  snprintf(names, sizeof(names), "%s", path);
  for (char* name = strtok(names, "/"); name; name = strtok(NULL, "/")) {
    json = cJSON_GetObjectItemCaseSensitive(json, name);
  }
  if (!json) fail_msg("no %s", path);
  return json;
}

// The same number in the files of both devices, but for rounding.
static void alike(const char* cpu, const char* cuda, const char* path, double tolerance) {
  cJSON *a = read_json(cpu), *b = read_json(cuda);
  double x = at(a, path)->valuedouble, y = at(b, path)->valuedouble;
  if (!(fabs(x - y) <= tolerance * (1 + fabs(x)))) fail_msg("%s: %.9g, %.9g", path, x, y);
  cJSON_Delete(a);
  cJSON_Delete(b);
}

static void says(const char* file, const char* path, const char* device) {
  cJSON* json = read_json(file);
  const char* found = at(json, path)->valuestring;
  if (strncmp(found, device, strlen(device)) || found[strlen(device)] != ':') {
    fail_msg("%s: expected %s, found %s", file, device, found);
  }
  cJSON_Delete(json);
}

static const char* const small = "--mode scratch --width 16 --depth 1 --heads 2 --batch 4";

// Models on true states: the same training, the same errors, the same plans.
static void states(void** state) {
  const char* f = folder;
  char path[128];
  snprintf(path, sizeof(path), "%s/train.h5", f);
  assert_int_equal(oracle_collect("wall", 24, 80, 1, path), US_OK);
  snprintf(path, sizeof(path), "%s/held.h5", f);
  assert_int_equal(oracle_collect("wall", 12, 60, 2, path), US_OK);
  for (int i = 0; i < 2; i++) {
    const char* d = devices[i];
    run_expecting(f, 0,
                  "finetune --data %s/train.h5 --encoder state %s --steps 30 --out %s/%s "
                  "--device %s",
                  f, small, f, d, d);
    run_expecting(f, 0,
                  "eval --data %s/held.h5 --rows state --state-model %s/cpu --episodes 4 "
                  "--samples 16 --iterations 2 --json %s/%s.json --device %s",
                  f, f, f, d, d);
  }
  alike("cpu/config.json", "cuda/config.json", "training/one_step_to_copy_last", 1e-3);
  alike("cpu/config.json", "cuda/config.json", "training/open_loop_to_copy_last", 1e-3);
  // With fewer digits: near to each other and to all digits.
  run_expecting(f, 0,
                "finetune --data %s/train.h5 --encoder state %s --steps 30 --out %s/fast "
                "--device cuda --fast",
                f, small, f);
  run_expecting(f, 0,
                "finetune --data %s/train.h5 --encoder state %s --steps 30 --out %s/fast_cpu "
                "--device cpu --fast",
                f, small, f);
  alike("fast_cpu/config.json", "fast/config.json", "training/open_loop_to_copy_last", 1e-2);
  alike("cpu/config.json", "fast/config.json", "training/open_loop_to_copy_last", 1e-2);
  alike("cpu/config.json", "fast/config.json", "training/one_step_to_copy_last", 1e-2);
  says("fast/config.json", "training/device", "cuda fast");
  says("fast_cpu/config.json", "training/device", "cpu fast");
  alike("cpu.json", "cuda.json", "rows/state/first_hit/rate", 0);
  alike("cpu.json", "cuda.json", "rows/state/plans", 0);
  says("cuda/config.json", "training/device", "cuda");
  says("cuda.json", "device", "cuda");
  says("cpu.json", "device", "cpu");
  // Another device is another evaluation, whose results are not this one's.
  Run r = run_expecting(f, 0,
                        "eval --data %s/held.h5 --rows state --state-model %s/cpu --episodes 4 "
                        "--samples 16 --iterations 2 --json %s/cpu.json --resume",
                        f, f, f);
  assert_non_null(strstr(r.out, "is complete"));
  r = run_expecting(f, 0,
                    "eval --data %s/held.h5 --rows state --state-model %s/cpu --episodes 2 "
                    "--samples 16 --iterations 2 --json %s/cpu.json --resume --device cuda",
                    f, f, f);
  assert_null(strstr(r.out, "is complete"));
}

// Encoders of frames: trained, probed, and their features kept apart by the kind of device.
static void frames(void** state) {
  const char* f = folder;
  char path[128];
  snprintf(path, sizeof(path), "%s/grey.h5", f);
  grey_write(path, (Grey){"toy", 6, 40, 16, 16, 2, 4});
  for (int i = 0; i < 2; i++) {
    const char* d = devices[i];
    run_expecting(f, 0,
                  "encoder train --data %s/grey.h5 --out %s/encoder_%s --steps 2 --width 32 "
                  "--depth 1 --dim 8 --shards 2 --shard-frames 2 --device %s",
                  f, f, d, d);
    run_expecting(f, 0,
                  "encoder probe --data %s/grey.h5 --encoder %s/encoder_cpu --frames 100 "
                  "--device %s",
                  f, f, d);
    run_expecting(
        f, 0,
        "finetune --data %s/grey.h5 --encoder %s/encoder_cpu --cache %s/cache %s --steps 2 "
        "--out %s/grey_%s --device %s",
        f, f, f, small, f, d, d);
    char line[256];
    snprintf(line, sizeof(line), "test $(ls %s/cache | wc -l) = %d", f, i + 1);
    assert_int_equal(system(line), 0);
  }
}

int main(void) {
  if (!getenv("UNDERSTUDY_CUDA")) {
    printf("no module of the CUDA device\n");
    return 77;
  }
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(states), cmocka_unit_test(frames)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -r '%s'", folder);
  return system(line) || failed;
}
