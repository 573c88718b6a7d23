// The CUDA device where things go wrong, in its build for the host, which can be told to fail: no
// such device, no memory, errors behind the caller's back. And what it says that it has done.

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"  // by which CMake knows where to run this
#include "worldmodel/base/status.h"
#include "worldmodel/ops.h"
#include "worldmodel/ops/cuda/cuda_module.h"
#include "worldmodel/ops/cuda/host.h"
#include "worldmodel/ops/ops_table.h"

// The calls of host.h and the entry, of the module that UNDERSTUDY_CUDA names.
#define HOST_CALLS(X)          \
  X(us_cuda_host_counts)       \
  X(us_cuda_host_fault)        \
  X(us_cuda_host_guard)        \
  X(us_cuda_host_devices)      \
  X(us_cuda_host_keep_faults)  \
  X(us_cuda_host_memory_limit) \
  X(us_cuda_open)
static struct {
#define X(name) __typeof__(&name) name;
  HOST_CALLS(X)
#undef X
} host;

static UsDevice* d;

static int find(void) {
  const char* path = getenv("UNDERSTUDY_CUDA");
  void* module = path && *path ? dlopen(path, RTLD_NOW) : NULL;
  if (!module) return 0;
#define X(name) host.name = (__typeof__(host.name))(uintptr_t)dlsym(module, #name);
  HOST_CALLS(X)
#undef X
  return host.us_cuda_host_counts != NULL;
}

static int open_device(void** state) {
  return us_device_open("cuda", 0, &d) != US_OK;
}

static int close_device(void** state) {
  host.us_cuda_host_fault();
  host.us_cuda_host_guard(0);
  host.us_cuda_host_keep_faults(0);
  host.us_cuda_host_memory_limit(0);
  host.us_cuda_host_devices(1);
  us_device_close(d);
  d = NULL;
  return 0;
}

static void refused(const char* name, const char* message) {
  UsDevice* other;
  assert_int_equal(us_device_open(name, 0, &other), US_DEVICE);
  assert_null(other);
  assert_string_equal(us_message(), message);
}

static void test_open(void** state) {
  refused("cuda:1", "cuda:1: no such device, there is 1");
  host.us_cuda_host_devices(3);
  refused("cuda:3", "cuda:3: no such device, there are 3");
  host.us_cuda_host_devices(0);
  refused("cuda", "cuda:0: no CUDA-capable device is detected");
  host.us_cuda_host_devices(1);
  // A module of another build.
  UsDevice* other;
  char text[200];
  assert_int_equal(host.us_cuda_open(0, 0, "9.9", sizeof(UsOps), &other, text, sizeof(text)), 1);
  assert_string_equal(text, "cuda:0: the module is of understudy " US_VERSION ", expected 9.9");
  assert_int_equal(host.us_cuda_open(0, 0, US_VERSION, 8, &other, text, sizeof(text)), 1);
  assert_string_equal(
      text, "cuda:0: the module is of understudy " US_VERSION ", expected the same build");
  // Without memory for what every device needs.
  host.us_cuda_host_memory_limit(1 << 20);
  assert_int_equal(us_device_open("cuda", 0, &other), US_DEVICE);
  assert_non_null(strstr(us_message(), "out of memory: 4194304 bytes asked for"));
}

// Without memory nothing is lost: what is there can be worked with.
static void test_no_memory(void** state) {
  UsDeviceInfo info;
  float *x = us_ops_alloc(d, 3), back[3];
  us_device_info(d, &info);
  host.us_cuda_host_memory_limit((size_t)(info.memory - info.unused) + 100000);
  assert_null(us_ops_alloc(d, 100000));
  assert_int_equal(us_ops_no_memory(d, "model", 400000), US_MEMORY);
  assert_non_null(strstr(us_message(), "model: out of memory: 400000 bytes asked for, 100000 of "));
  us_ops_put(d, x, (float[]){1, 2, 3}, 3);
  us_ops_get(d, x, back, 3);
  assert_true(back[2] == 3);
  // Scratch memory that is not to be had is a failure of the device.
  float* wide = us_ops_alloc(d, 20000);
  us_ops_add_rows_back(d, 1, 1, 1 << 20, wide, wide);
  assert_int_equal(us_device_check(d, "step"), US_DEVICE);
  assert_non_null(strstr(us_message(), "step: "));
  assert_non_null(strstr(us_message(), "out of memory: 8388608 bytes asked for, "));
  us_ops_free(d, wide);
  us_ops_free(d, x);
}

// After a failure nothing is done, nothing is taken for a number, and the first reason stays.
static void test_failure(void** state) {
  float *x = us_ops_alloc(d, 2), back[2], here[2] = {5, 5};
  void* recording = NULL;
  us_ops_put(d, x, (float[]){1, 2}, 2);
  if (us_ops_record(d)) {
    us_ops_add(d, 2, 1, x, x);
    recording = us_ops_recorded(d);
  }
  host.us_cuda_host_keep_faults(1);
  us_ops_zero(d, here, 2);
  assert_int_equal(us_device_check(d, "training"), US_DEVICE);
  assert_non_null(strstr(us_message(), "not device memory"));
  assert_non_null(strstr(us_message(), "zero_bytes"));
  us_ops_gelu(d, 2, here, here);
  assert_true(here[0] == 5);
  us_ops_get(d, x, back, 2);
  assert_true(isnan(back[0]) && isnan(back[1]));
  double sum;
  us_ops_get_sums(d, (double*)x, &sum, 1);
  assert_true(isnan(sum));
  assert_null(us_ops_alloc(d, 1));
  assert_int_equal(us_ops_no_memory(d, "training", 4), US_DEVICE);
  assert_non_null(strstr(us_message(), "zero_bytes"));
  us_ops_forget(d, recording);
  us_ops_free(d, x);
}

// What may not stand in a recording.
static void test_put_in_recording(void** state) {
  float* x = us_ops_alloc(d, 2);
  assert_true(us_ops_record(d));
  assert_null(us_ops_alloc(d, 1));
  us_ops_put(d, x, (float[]){1, 2}, 2);
  assert_null(us_ops_recorded(d));
  assert_int_equal(us_device_check(d, "plan"), US_DEVICE);
  assert_non_null(strstr(us_message(), "put within a recording"));
  us_ops_free(d, x);
}

// A put waits for nothing, a get once; the device counts as its host does.
static void test_counts(void** state) {
  UsDeviceInfo before, after;
  float *x = us_ops_alloc(d, 5000), back[5000] = {0};
  double *sum = us_ops_alloc_sums(d, 1), got;
  us_device_info(d, &before);
  UsCudaHostCounts from = host.us_cuda_host_counts();
  us_ops_put(d, x, back, 5000);
  us_ops_gelu(d, 5000, x, x);
  us_ops_squared_error(d, 5000, 1, x, x, NULL, NULL, sum);
  us_device_info(d, &after);
  assert_int_equal(after.launches - before.launches, 3);
  assert_int_equal(after.waits - before.waits, 0);
  us_ops_get_sums(d, sum, &got, 1);
  UsCudaHostCounts to = host.us_cuda_host_counts();
  us_device_info(d, &after);
  assert_int_equal(after.waits - before.waits, 1);
  assert_int_equal(after.up - before.up, 20000);
  assert_int_equal(after.down - before.down, 8);
  assert_int_equal(to.launches - from.launches, 3);
  assert_int_equal(to.syncs - from.syncs, 1);
  assert_int_equal(to.bytes_up - from.bytes_up, 20000);
  assert_int_equal(to.allocs - from.allocs, 0);
  us_ops_free(d, sum);
  us_ops_free(d, x);
}

// Numbers that wait for their device are not overwritten by those that come behind; guarded memory
// is worked on only where somebody waits.
static void test_slow_device(void** state) {
  enum { MANY = 750000, PUTS = 8 };
  float* from = malloc(MANY * sizeof(float));
  host.us_cuda_host_guard(1);
  float* x = us_ops_alloc(d, (size_t)MANY * PUTS);
  UsDeviceInfo before, after;
  us_device_info(d, &before);
  for (size_t k = 0; k < PUTS; k++) {
    for (size_t i = 0; i < MANY; i++) from[i] = (float)(k * MANY + i);
    us_ops_put(d, x + k * MANY, from, MANY);
  }
  us_device_info(d, &after);
  assert_true(after.waits > before.waits);  // more than the ring holds
  for (size_t k = 0; k < PUTS; k++) {
    us_ops_get(d, x + k * MANY, from, MANY);
    for (size_t i = 0; i < MANY; i++) assert_true(from[i] == (float)(k * MANY + i));
  }
  us_ops_free(d, x);
  free(from);
}

// All that a device took is given back.
static void test_close(void** state) {
  UsDevice* other;
  UsCudaHostCounts from = host.us_cuda_host_counts();
  assert_int_equal(us_device_open("cuda", 0, &other), US_OK);
  assert_non_null(strstr(us_ops_name(other), "CUDA"));
  us_device_close(other);
  UsCudaHostCounts to = host.us_cuda_host_counts();
  assert_true(to.allocs > from.allocs);
  assert_int_equal(to.allocs - from.allocs, to.frees - from.frees);
}

static void test_not_here(void** state) {
  print_message("UNDERSTUDY_CUDA does not name the CUDA code's build for the host\n");
  skip();
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, open_device, close_device)
  const struct CMUnitTest tests[] = {
      TEST(open),   TEST(no_memory),   TEST(failure), TEST(put_in_recording),
      TEST(counts), TEST(slow_device), TEST(close),
  };
  const struct CMUnitTest none[] = {cmocka_unit_test(test_not_here)};
  if (!find()) return cmocka_run_group_tests(none, NULL, NULL);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
