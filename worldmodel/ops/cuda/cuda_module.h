#ifndef UNDERSTUDY_CUDA_MODULE_H_
#define UNDERSTUDY_CUDA_MODULE_H_

// The one function of libunderstudy_cuda.so, which us_device_open finds by its name.

#include <stddef.h>

#include "worldmodel/base/api.h"
#include "worldmodel/device.h"

US_C_BEGIN

// Opens device `index`, counted from 0, with flags US_MODULE_. version is US_VERSION of the caller
// and table_size the size of its UsOps: a module of another build answers no. 0: *out is open, for
// us_device_close. Else *out is NULL and message (size) has the reason in one line, such as
// "cuda:1: no such device, there is 1".
US_API int us_cuda_open(int index, int flags, const char* version, size_t table_size,
                        UsDevice** out, char* message, size_t size);

US_C_END

#endif  // UNDERSTUDY_CUDA_MODULE_H_
