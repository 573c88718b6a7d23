#ifndef UNDERSTUDY_OPS_CUDA_H_
#define UNDERSTUDY_OPS_CUDA_H_

// What the files of the CUDA implementation of ops.h share: the device, and how an operation puts
// its kernels into the device's one stream.
//
//   void us_cuda_gelu(UsDevice* d, size_t count, const float* x, float* y) {
//     if (count == 0) return;
//     US_RUN(us_cuda(d), gelu, us_blocks(count, 256), 256, 0, count, x, y);
//   }
//
// An operation only puts work into the stream; it does not allocate, wait or look at errors. It
// holds the device's lock, so what it puts there stays together, and scratch memory is its own
// until it returns: the work of the next operation comes behind it in the stream.
//
// A failure is kept: the first one's text is what us_device_check tells. From then on operations do
// nothing and us_cuda_get_bytes hands out NaN.
//
// Order of additions: that of an output row or element depends on the widths of the operation
// alone. Sums over all elements run in chunks of US_CHUNK, whose partial sums one block adds in
// their order. Sums over rows (those of gradients) depend on the number of rows too.
//
// Threads: operations may be called on several threads and run one after the other; a recording
// keeps the other threads out until it is ended.

#include <pthread.h>

#include "worldmodel/ops/cuda/runtime.h"
#include "worldmodel/ops/ops_table.h"

#define US_FORMULA __device__ static inline
#include "worldmodel/ops/gelu.h"

enum { US_CHUNK = 4096 };

// Pinned memory that data passes through on its way to the device: a ring of parts, each of which
// is used again when the event behind its last copy is done.
enum { US_RING_PARTS = 8 };
typedef struct UsRing {
  char* base;   // pinned
  size_t part;  // bytes of a part
  size_t used;  // bytes taken of the present part
  int at;       // the present part
  UsEvent event[US_RING_PARTS];
  int busy[US_RING_PARTS];  // 1: its event is recorded and nobody has waited since
} UsRing;

typedef struct UsCuda {
  UsDevice device;  // what the caller holds; its self is this
  pthread_mutex_t lock;
  int index, fast;
  UsStream stream;
  UsBlas blas;
  UsCuInfo about;
  char name[192], error[512];
  const char* operation;  // the present one, or the last
  UsRing ring;
  char* landing;  // pinned, for the way back
  size_t landing_size;
  // Scratch memory. Recordings keep pointers into it, so what became too small is freed at the end.
  void* scratch;
  size_t scratch_size;
  void* outgrown[64];
  int outgrown_count;
  int recording, unrecordable;  // within a recording; one that cannot be replayed
  int64_t recorded_from;        // launches before it
  int64_t launches, waits, up, down;
} UsCuda;

static inline UsCuda* us_cuda(UsDevice* d) {
  return (UsCuda*)d->self;
}

// Keeps the text of a failure, unless there is one. Does nothing for NULL.
void us_cuda_check(UsCuda* c, const char* text);

// At least `bytes` of device memory, aligned to 256, until the operation returns. When there is not
// enough the device has failed and the answer is NULL.
void* us_cuda_scratch(UsCuda* c, size_t bytes);

// out (width) += the column sums of x (rows, width): chunks of rows, then those in their order.
void us_cuda_column_sums(UsCuda* c, int rows, int width, const float* x, float* out);

// A kernel, and us_gemm and us_gemm_batched without their handle, into the stream of c. The blocks
// of a grid are counted by us_blocks, of which there is at least one.
#define US_RUN(c, kernel, grid, block, shared, ...)                \
  do {                                                             \
    LAUNCH(kernel, grid, block, shared, (c)->stream, __VA_ARGS__); \
    ++(c)->launches;                                               \
  } while (0)
#define US_MULTIPLY(c, ...) (++(c)->launches, us_cuda_check(c, us_gemm((c)->blas, __VA_ARGS__)))
#define US_MULTIPLY_BATCHED(c, ...) \
  (++(c)->launches, us_cuda_check(c, us_gemm_batched((c)->blas, __VA_ARGS__)))

// ---- functions of one number ----

__device__ static inline float us_gelu(float x) {
  float t = us_bounded_abs(x);
  return us_gelu_of(x, t, expf(-0.5f * t * t));
}
__device__ static inline float us_gelu_slope(float x) {
  float t = us_bounded_abs(x);
  return us_gelu_slope_of(x, t, expf(-0.5f * t * t));
}

// The functions of the table, us_cuda_<name>.
US_C_BEGIN
#define X(result, name, parameters, arguments) result us_cuda_##name parameters;
US_OPS(X)
#undef X
US_C_END

#endif  // UNDERSTUDY_OPS_CUDA_H_
