// Devices by name: what is no name, and what is wrong with a module, is said in one line.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worldmodel/base/file.h"
#include "worldmodel/ops/ops_table.h"

// Opening fails with this status, and its line has both texts.
static void refused(const char* name, int fast, UsStatus status, const char* a, const char* b) {
  UsDevice* d = (UsDevice*)1;
  assert_int_equal(us_device_open(name, fast, &d), status);
  assert_null(d);
  if (!strstr(us_message(), a) || !strstr(us_message(), b)) {
    fail_msg("expected \"%s\" and \"%s\" in: %s", a, b, us_message());
  }
  assert_null(strchr(us_message(), '\n'));
}

static void test_names(void** state) {
  static const char* const names[] = {
      "", "gpu", "cud", "cudas", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999", "cuda:256"};
  for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
    char found[32];
    snprintf(found, sizeof(found), "found \"%s\"", names[i]);
    refused(names[i], 0, US_USAGE, "expected cpu, cuda or cuda:N", found);
  }
  refused("cpu", 1, US_USAGE, "cpu", "fast");
  UsDevice* d;
  assert_int_equal(us_device_open(NULL, 0, &d), US_OK);
  assert_ptr_equal(d, us_device_cpu());
  assert_string_equal(us_device_kind(d), "cpu");
  assert_int_equal(us_device_bfloat(d), 0);
  // It can keep features short, but has one kind of products.
  assert_int_equal(us_device_open("cpu", US_FAST_FEATURES, &d), US_OK);
  assert_string_equal(us_device_kind(d), "cpu fast");
  assert_int_equal(us_device_bfloat(d), 1);
  us_device_close(d);
  us_device_close(NULL);
}

// What UNDERSTUDY_CUDA names is not there, no library, or not ours.
static void test_modules(void** state) {
  char path[] = "/tmp/us_module_XXXXXX";
  Dl_info library;
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  assert_int_equal(us_file_write(path, "no library\n", 11), US_OK);
  setenv("UNDERSTUDY_CUDA", path, 1);
  refused("cuda", 0, US_DEVICE, path, "expected a CUDA module");
  unlink(path);
  refused("cuda:1", 1, US_DEVICE, path, "UNDERSTUDY_CUDA");
  assert_true(dladdr((void*)(uintptr_t)us_device_open, &library) != 0);
  setenv("UNDERSTUDY_CUDA", library.dli_fname, 1);
  refused("cuda", 0, US_DEVICE, library.dli_fname, "us_cuda_open");
}

// Beside the tests' own library there is no module.
static void test_no_module(void** state) {
  unsetenv("UNDERSTUDY_CUDA");
  refused("cuda", 0, US_DEVICE, "this build has no CUDA module", "nvcc");
  setenv("UNDERSTUDY_CUDA", "", 1);
  refused("cuda:2", 0, US_DEVICE, "this build has no CUDA module", "nvcc");
}

// A module, where the test was told of one: another version, table or GPU is refused.
static void test_own_module(void** state) {
  const char* module = *state;
  if (!module) skip();
  setenv("UNDERSTUDY_CUDA", module, 1);
  UsDevice* d;
  if (us_device_open("cuda", 0, &d) != US_OK) fail_msg("%s", us_message());
  assert_string_equal(us_device_kind(d), "cuda");
  us_device_close(d);
  refused("cuda:200", 0, US_DEVICE, "cuda:200", "no such");
  void* library = dlopen(module, RTLD_NOW);
  UsModuleOpen* open = (UsModuleOpen*)(uintptr_t)dlsym(library, "us_cuda_open");
  char text[256] = "";
  size_t size = sizeof(UsOps);
  d = NULL;
  assert_int_not_equal(open(0, 0, "0.0.1", size, &d, text, sizeof(text)), 0);
  assert_non_null(strstr(text, "0.0.1"));
  assert_non_null(strstr(text, US_VERSION));
  text[0] = 0;
  assert_int_not_equal(open(0, 0, US_VERSION, size - 8, &d, text, sizeof(text)), 0);
  assert_true(text[0] && !d);
  dlclose(library);
}

int main(void) {
  const char* module = getenv("UNDERSTUDY_CUDA");
  void* state = module ? strdup(module) : NULL;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_modules),
                                     cmocka_unit_test(test_no_module),
                                     cmocka_unit_test_prestate(test_own_module, state)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  free(state);
  return failed;
}
