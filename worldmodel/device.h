#ifndef UNDERSTUDY_DEVICE_H_
#define UNDERSTUDY_DEVICE_H_

// Where models compute: the CPU, or another implementation of the operations of ops.h. Objects
// (predictor, encoder, trainer, model) keep the device that their config names and must go before
// it; several devices can live in one process.
//
// Threads: a device is shared by all threads.

#include <stddef.h>
#include <stdint.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

typedef struct UsDevice UsDevice;

// The CPU, always there.
US_API UsDevice* us_device_cpu(void);

// The device of a name: "cpu", "cuda" or "cuda:N", the GPU of that number. A GPU needs the module
// libunderstudy_cuda.so beside this library, or where $UNDERSTUDY_CUDA says, and a driver: what is
// missing is US_DEVICE with a line that says what to do. fast 1 takes TF32 products, which have the
// range of floats but 10 bits of mantissa. On failure *out is NULL. Nullable: name ("cpu").
US_API UsStatus us_device_open(const char* name, int fast, UsDevice** out);

// How it computes, in one word or two: "cpu", "cuda" or "cuda fast". Results of one kind agree to
// float rounding with those of another, of `fast` to TF32's.
US_API const char* us_device_kind(const UsDevice* d);

// What files and people are told: its kind and name, "cpu: OpenBLAS 0.3.21 Haswell". Gives text
// (size).
US_API const char* us_device_text(UsDevice* d, char* text, size_t size);

// The settings of a job that computes, as worldmodel/base/settings.h describes a list. A run may go
// on elsewhere: results are the same to rounding, and files say where they came from.
#define US_DEVICE_SETTINGS(X)                                                            \
  X(TEXT, device, NULL, 0, 0, FREE, "D", "cpu, cuda or cuda:N, the GPU N; default: cpu") \
  X(FLAG, fast, 0, 0, 1, FREE, NULL,                                                     \
    "of cuda: TF32 products, to 3 digits instead of 7; features stay floats")

// What a device is and has done. Zeros are what it does not know.
typedef struct UsDeviceInfo {
  double flops;      // single precision operations a second at its peak
  double bandwidth;  // bytes a second of its memory at its peak
  double memory;     // bytes of its memory
  double unused;     // bytes of it that nobody has taken
  int64_t launches;  // kernels and products started since it was opened
  int64_t waits;     // times that the host waited for it
  int64_t up, down;  // bytes that came from the host and went there
} UsDeviceInfo;

US_API void us_device_info(UsDevice* d, UsDeviceInfo* out);

// Work on a device that fails, fails behind the caller's back: from then on nothing is computed
// there and us_ops_get hands out NaN. Who has read numbers and is about to use or keep them asks
// here: US_OK, or US_DEVICE with the first failure behind `what`, such as a file or a task.
US_API UsStatus us_device_check(UsDevice* d, const char* what);

// NULL and the CPU are fine.
US_API void us_device_close(UsDevice* d);

US_C_END

#endif  // UNDERSTUDY_DEVICE_H_
