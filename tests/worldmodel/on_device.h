#ifndef UNDERSTUDY_ON_DEVICE_H_
#define UNDERSTUDY_ON_DEVICE_H_

// Tests of one device or another: UNDERSTUDY_TEST_DEVICE names it, as --device does; without it the
// CPU. Tensors made here live until drop_tensors.

#include <stdlib.h>
#include <string.h>

#include "worldmodel/ops.h"
#include "worldmodel/base/status.h"

enum { kTensorsMost = 1024 };

static void* tensors_made[kTensorsMost];
static int tensors_count;

static inline UsDevice* test_device(void) {
  static UsDevice* d;
  const char* name = getenv("UNDERSTUDY_TEST_DEVICE");
  if (!d && us_device_open(name ? name : "cpu", 0, &d) != US_OK) {
    fail_msg("%s", us_message());
  }
  return d;
}

// 1 on the CPU, whose results some tests compare bit for bit with plain C.
static inline int on_cpu(void) {
  return test_device() == us_device_cpu();
}

// 1 where a GPU's kernels run on the host, slowly: tests of many steps take fewer.
static inline int emulated(void) {
  return !on_cpu() && strncmp(us_ops_name(test_device()), "host ", 5) == 0;
}

// Tensor memory with these bytes, or with 0 for NULL.
static inline void* tensor_bytes(const void* host, size_t bytes) {
  void* x = us_ops_alloc_bytes(test_device(), bytes);
  if (!x) fail_msg("no tensor memory of %zu bytes", bytes);
  if (tensors_count == kTensorsMost) abort();
  tensors_made[tensors_count++] = x;
  if (host) us_ops_put_bytes(test_device(), x, host, bytes);
  return x;
}

static inline float* tensor(const float* host, size_t count) {
  return tensor_bytes(host, count * sizeof(float));
}

static inline void fetch(const void* x, void* host, size_t bytes) {
  us_ops_get_bytes(test_device(), x, host, bytes);
  if (us_device_check(test_device(), "fetch") != US_OK) fail_msg("%s", us_message());
}

// The floats of a tensor in memory of the host, which lives as long as tensors do.
static void* copies_made[kTensorsMost];
static int copies_count;

static inline void* host_bytes(size_t bytes) {
  void* x = calloc(1, bytes ? bytes : 1);
  if (!x || copies_count == kTensorsMost) abort();
  return copies_made[copies_count++] = x;
}

static inline float* fetched(const float* x, size_t count) {
  float* host = host_bytes(count * sizeof(float));
  fetch(x, host, count * sizeof(float));
  return host;
}

static inline void drop_tensors(void) {
  while (tensors_count > 0) us_ops_free(test_device(), tensors_made[--tensors_count]);
  while (copies_count > 0) free(copies_made[--copies_count]);
}

// The same as the teardown of a test.
static inline int drop_tensors_of(void** state) {
  drop_tensors();
  return 0;
}

#endif  // UNDERSTUDY_ON_DEVICE_H_
