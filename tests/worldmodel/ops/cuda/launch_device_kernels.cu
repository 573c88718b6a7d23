// The helpers once more, as a device has them.

#define US_HELPERS_AS_ON_DEVICE
#include "tests/worldmodel/ops/cuda/launch_kernels.cu"
