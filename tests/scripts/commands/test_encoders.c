// Commands with encoders on data without rendering: how fast they end, what they write of numbers
// that are none, what `--encoder state` means, features too wide for the probe.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/scripts/grey_data.h"
#include "tests/scripts/program.h"
#include "worldmodel/base/json.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/encoder.h"
#include "worldmodel/vit.h"

static char folder[] = "/tmp/understudy-encoders-XXXXXX";

static const char* path_of(const char* name) {
  static char path[4][256];
  static int next;
  next = (next + 1) % 4;
  snprintf(path[next], sizeof(path[next]), "%s/%s", folder, name);
  return path[next];
}

#define command(code, ...) run_expecting(folder, code, __VA_ARGS__)

// A DINOv2-shaped encoder with made-up weights.
static void write_vit(const char* path, int side, int patch, int hidden, int layers) {
  UsVitConfig c = {.hidden = hidden,
                   .layers = layers,
                   .heads = 4,
                   .patch = patch,
                   .mlp = 4 * hidden,
                   .height = side,
                   .width = side,
                   .cls = 1,
                   .eps = 1e-6f,
                   .mean = {0.5f, 0.5f, 0.5f},
                   .std = {0.5f, 0.5f, 0.5f}};
  UsVit* v;
  UsEncoder* e;
  assert_int_equal(us_vit_create(&c, &v), US_OK);
  float* weights = calloc(v->params.floats, sizeof(float));
  us_params_init(&v->params, 1, 0, weights);
  assert_int_equal(us_encoder_make_vit(&c, weights, NULL, &e), US_OK);
  assert_int_equal(us_encoder_save(e, path), US_OK);
  us_encoder_destroy(e);
  us_vit_destroy(v);
  free(weights);
}

// ---- Ctrl-C ----

// Starts the program, sends SIGINT when it has worked for `seconds` and gives how long it worked
// on: processor seconds, which do not depend on what else the machine does.
static double interrupt(const char* line, double seconds, Run* r) {
  char shell[4096];
  snprintf(shell, sizeof(shell), "exec '%s' %s >'%s' 2>'%s'", US_PROGRAM, line, path_of("stdout"),
           path_of("stderr"));
  pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", shell, (char*)NULL);
    _exit(127);
  }
  clockid_t clock;
  struct timespec now = {0};
  assert_int_equal(clock_getcpuclockid(child, &clock), 0);
  double worked = 0;
  for (double end = us_seconds() + 600; worked < seconds && us_seconds() < end; usleep(10000)) {
    if (clock_gettime(clock, &now) == 0) worked = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
  }
  int how;
  struct rusage used;
  kill(child, SIGINT);
  assert_int_equal(wait4(child, &how, 0, &used), child);
  *r = (Run){.code = WIFEXITED(how) ? WEXITSTATUS(how) : -1};
  read_into(path_of("stderr"), r->err, sizeof(r->err));
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) - worked;
}

// An encoder that takes long for a frame, and 300 frames: every part of the way there, and encoding
// itself, end within a second or so.
static void slow_encoders_end_at_once(void** state) {
  (void)state;
  static const char* const lines[] = {
      "finetune --data %1$s/slow.h5 --encoder %1$s/vit --mode scratch --block 1 --out %1$s/slow",
      "encoder probe --data %1$s/slow.h5 --encoder %1$s/vit"};
  grey_write(path_of("slow.h5"), (Grey){"toy", 12, 25, 224, 224, 2, 4});
  write_vit(path_of("vit"), 224, 8, 96, 12);
  for (int i = 0; i < 2; i++) {
    char line[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line, sizeof(line), lines[i], folder);
#pragma GCC diagnostic pop
    for (double at = 1; at < 4; at += 2) {
      Run r;
      double went_on = interrupt(line, at, &r);
      if (r.code != 130 || went_on > 3)
        fail_msg("%s: %g s, exit %d: %s", line, went_on, r.code, r.err);
      assert_non_null(strstr(r.err, "stopped"));
    }
  }
}

// ---- numbers that are none ----

// Lines of a log as JSON; returns how many have null under a key.
static int nulls_in(const char* path, const char* key) {
  char text[1 << 16];
  read_into(path, text, sizeof(text));
  int n = 0;
  for (char *rest = NULL, *line = strtok_r(text, "\n", &rest); line;
       line = strtok_r(NULL, "\n", &rest)) {
    cJSON* json;
    if (us_json_parse(path, line, strlen(line), &json) != US_OK)
      fail_msg("%s: %s", us_message(), line);
    n += cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(json, key));
    cJSON_Delete(json);
  }
  return n;
}

// Repeating a frame that never changes is no error, so the ratio to that error is no number.
static void a_ratio_over_zero_is_null(void** state) {
  (void)state;
  grey_write(path_of("blind.h5"), (Grey){"toy", 24, 20, 8, 8, 2, 4});
  Run r = command(0,
                  "finetune --data %1$s/blind.h5 --encoder pca --mode scratch --block 1 --steps 50 "
                  "--batch 8 --width 16 --depth 1 --heads 2 --out %1$s/blind",
                  folder);
  assert_non_null(strstr(r.out, "the tokens of held-back frames do not change"));
  assert_true(nulls_in(path_of("blind/log.jsonl"), "one_step") >= 1);
  cJSON* config;
  assert_int_equal(us_json_read(path_of("blind/config.json"), &config), US_OK);
  cJSON* notes = cJSON_GetObjectItemCaseSensitive(config, "training");
  assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(notes, "one_step_to_copy_last")));
  cJSON_Delete(config);
  command(0, "inspect %s/blind", folder);
}

// Steps that compare no pixels have no loss: a line of the log about such steps alone says so.
static void steps_without_pixels_have_no_loss(void** state) {
  (void)state;
  grey_write(path_of("grey.h5"), (Grey){"toy", 8, 10, 16, 16, 1, 1});
  command(
      0,
      "encoder train --data %1$s/grey.h5 --out %1$s/encoder --steps 52 --decode-every 60 --dim 4 "
      "--width 32 --depth 1 --anchor 0",
      folder);
  command(
      0,
      "encoder train --data %1$s/grey.h5 --out %1$s/first --steps 1 --dim 4 --width 32 --depth 1 "
      "--anchor 0",
      folder);
  char text[4096], first[4096];
  double loss[2];
  read_into(path_of("encoder/log.jsonl"), text, sizeof(text));
  read_into(path_of("first/log.jsonl"), first, sizeof(first));
  assert_int_equal(lines_of(text), 2);
  assert_non_null(strstr(text, "{\"step\": 52, \"loss\": null"));
  assert_int_equal(sscanf(text, "{\"step\": 50, \"loss\": %lf", &loss[0]), 1);
  assert_int_equal(sscanf(first, "{\"step\": 1, \"loss\": %lf", &loss[1]), 1);
  assert_true(loss[0] == loss[1]);  // of the one step that compared
  assert_int_equal(nulls_in(path_of("encoder/log.jsonl"), "loss"), 1);
}

// The side of a patch is the encoder's; frames are whole patches.
static void patches(void** state) {
  (void)state;
#define SMALL "encoder train --data %1$s/grey.h5 --steps 1 --dim 4 --width 32 --depth 1 "
  command(0, SMALL "--patch 4 --out %1$s/fine", folder);
  char text[4096];
  read_into(path_of("fine/config.json"), text, sizeof(text));
  assert_non_null(strstr(text, "\"patch_size\":\t4"));
  Run r = command(1, SMALL "--patch 7 --out %1$s/none", folder);
  assert_non_null(strstr(r.err, "in patches of 7"));
#undef SMALL
}

// ---- the probe ----

// 100 tokens of 16 numbers are more than the probe fits.
static void wide_features_are_projected(void** state) {
  (void)state;
  grey_write(path_of("wide.h5"), (Grey){"toy", 20, 10, 20, 20, 1, 2});
  write_vit(path_of("wide"), 20, 2, 16, 1);
  Run r = command(0, "encoder probe --data %1$s/wide.h5 --encoder %1$s/wide", folder);
  assert_non_null(strstr(r.out, "100 tokens of 16"));
  assert_non_null(strstr(r.out, "projected at random to 1024 of 1600 numbers\n"));
}

// The encoder "state" is the positions of the task, wherever it is named.
static void state_means_positions(void** state) {
  (void)state;
  grey_write(path_of("wall.h5"), (Grey){"wall", 12, 30, 8, 8, 2, 4});
  Run r = command(0, "encoder probe --data %s/wall.h5 --encoder state", folder);
  assert_non_null(strstr(r.out, "1 tokens of 2;"));
  command(
      0,
      "finetune --data %1$s/wall.h5 --encoder state --mode scratch --steps 2 --batch 4 --width 16 "
      "--depth 1 --heads 2 --out %1$s/state",
      folder);
  r = command(0, "inspect %s/state", folder);
  assert_non_null(strstr(r.out, "1 tokens (1 x 1) of 2 numbers"));
  const char* const commands[] = {"encoder probe", "finetune --mode scratch --out x"};
  for (int i = 0; i < 2; i++) {
    r = command(1, "%s --data %s/blind.h5 --encoder state", commands[i], folder);
    assert_non_null(strstr(r.err, "needs a task that is known here"));
  }
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slow_encoders_end_at_once),
      cmocka_unit_test(a_ratio_over_zero_is_null),
      cmocka_unit_test(steps_without_pixels_have_no_loss),
      cmocka_unit_test(patches),
      cmocka_unit_test(wide_features_are_projected),
      cmocka_unit_test(state_means_positions),
  };
  int failed = cmocka_run_group_tests_name("encoders", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
