// --device and --fast of every command that computes: without a module one line, and nothing is
// written.

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "tests/scripts/program.h"

static char folder[] = "/tmp/understudy-device-XXXXXX";

// Whatever else is wrong with these lines is not looked at before the device.
static const char* const commands[] = {
    "pretrain --data none.h5 --out %s/out",
    "finetune --data none.h5 --out %s/out",
    "encoder train --data none.h5 --out %s/out",
    "encoder probe --data none.h5 --encoder default",
    "eval --task wall --model none --data none.h5 --json %s/out",
    "bench --json %s/out",
    "view --task wall --record %s/out.gif",
};
enum { kCommands = sizeof(commands) / sizeof(*commands), kKeep = 2 };  // the first keep features

static int files(void) {
  int n = 0;
  DIR* d = opendir(folder);
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

// All commands with a device, from one on, end with this code and one line that has a text.
static void expect_from(int first, int code, const char* device, const char* text) {
  for (int i = first; i < kCommands; i++) {
    if (strncmp(commands[i], "view", 4) == 0 && access(US_PROGRAM "-view", X_OK) != 0) continue;
    char line[512];
    int n = snprintf(line, sizeof(line), commands[i], folder);
    snprintf(line + n, sizeof(line) - (size_t)n, " %s", device);
    Run r = run_expecting(folder, code, "%s", line);
    if (!strstr(r.err, text)) fail_msg("`%s`: expected \"%s\" in: %s", line, text, r.err);
    assert_int_equal(lines_of(r.err), 1);
    assert_int_equal(strncmp(r.err, "understudy ", 11), 0);
    assert_string_equal(r.out, "");
    assert_int_equal(files(), 4);  // ., .. and the two outputs
  }
}

static void expect(int code, const char* device, const char* text) {
  expect_from(0, code, device, text);
}

static void without_a_module(void** state) {
  setenv("UNDERSTUDY_CUDA", "/nonexistent/module.so", 1);
  expect(1, "--device cuda", "/nonexistent/module.so: expected the CUDA module");
  expect(1, "--device cuda:3 --fast", "/nonexistent/module.so: expected the CUDA module");
}

static void no_device(void** state) {
  expect(2, "--device gpu", "expected cpu, cuda or cuda:N, found \"gpu\"");
  // Those that keep no features have nothing to save on the CPU.
  expect_from(kKeep, 2, "--fast", "expected cuda for fast products");
}

static void version_says_why(void** state) {
  Run r = run_expecting(folder, 0, "--version");
  assert_non_null(strstr(r.out, "devices (--device): cpu: OpenBLAS"));
  assert_non_null(strstr(r.out, "; cuda: none (/nonexistent/module.so: expected the CUDA module"));
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(without_a_module),
                                     cmocka_unit_test(no_device),
                                     cmocka_unit_test(version_says_why)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -r '%s'", folder);
  return system(line) || failed;
}
