#ifndef UNDERSTUDY_WIDE_DEVICE_H_
#define UNDERSTUDY_WIDE_DEVICE_H_

// A device that works on many rows at once and counts how often the host waited for it, where no
// such device is tested: the CPU's operations under its flag. Its memory is the CPU's.

#include "tests/worldmodel/on_device.h"
#include "worldmodel/ops/ops_table.h"

static int64_t wide_waits;
static const char* wide_error;  // of the stand-in: from then on it hands out NaN
static double wide_memory;      // bytes of the stand-in, all of them unused; 0: it does not know

static inline void wide_get_bytes(UsDevice* d, const void* x, void* host, size_t bytes) {
  wide_waits++;
  if (wide_error) memset(host, 0xff, bytes);
  if (!wide_error) us_ops_get_bytes(us_device_cpu(), x, host, bytes);
}

static inline const char* wide_failure(UsDevice* d) {
  return wide_error;
}

static inline void wide_info(UsDevice* d, UsDeviceInfo* out) {
  *out = (UsDeviceInfo){.waits = wide_waits, .memory = wide_memory, .unused = wide_memory};
}

// test_device() where it is wide, else the stand-in.
static inline UsDevice* wide_device(void) {
  static UsOps ops;
  static UsDevice device = {
      .ops = &ops, .wide = 1, .info = wide_info, .error = wide_failure, .kind = "wide"};
  if (test_device()->wide) return test_device();
  ops = *us_device_cpu()->ops;
  ops.get_bytes = wide_get_bytes;
  return &device;
}

// Times that the host waited for a wide device so far.
static inline int64_t waits(UsDevice* d) {
  UsDeviceInfo info;
  us_device_info(d, &info);
  return info.waits;
}

#endif  // UNDERSTUDY_WIDE_DEVICE_H_
