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
// missing is US_DEVICE with a line that says what to do. `fast` takes fewer digits for what gains
// by it. On failure *out is NULL. Nullable: name ("cpu").
//   0                 none
//   US_FAST           products of a GPU in TF32, which has the range of floats but 10 bits of
//                     mantissa. The CPU has one kind of products: US_USAGE
//   US_FAST_FEATURES  the same, for who keeps features of frames (datasets/features.h): those are
//                     kept as bfloat16, on the CPU too
enum { US_FAST = 1, US_FAST_FEATURES = 2 };
US_API UsStatus us_device_open(const char* name, int fast, UsDevice** out);

// 1: opened with US_FAST_FEATURES.
US_API int us_device_bfloat(const UsDevice* d);

// How it computes, in one word or two: "cpu" or "cuda", with `fast` "cpu fast" or "cuda fast".
// Results of one kind agree to float rounding with those of another, of `fast` to that of TF32 and
// bfloat16.
US_API const char* us_device_kind(const UsDevice* d);

// What files and people are told: its kind and name, "cpu: OpenBLAS 0.3.21 Haswell". Gives text
// (size).
US_API const char* us_device_text(UsDevice* d, char* text, size_t size);

// The settings of a job that computes, as worldmodel/base/settings.h describes a list. A run may go
// on elsewhere: results are the same to rounding, and files say where they came from. `fast` is
// US_FAST_FEATURES of jobs that keep features (training, us_collect with `encode`), US_FAST of the
// others.
#define US_DEVICE_SETTINGS(X)                                                            \
  X(TEXT, device, NULL, 0, 0, FREE, "D", "cpu, cuda or cuda:N, the GPU N; default: cpu") \
  X(FLAG, fast, 0, 0, 1, FREE, NULL,                                                     \
    "fewer digits: on cuda 3 in products (TF32), in kept features 2 to 3 (bfloat16)")

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
