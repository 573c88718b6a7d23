#ifndef UNDERSTUDY_CUDA_RUNTIME_H_
#define UNDERSTUDY_CUDA_RUNTIME_H_

// What the CUDA device asks of the runtime and of cuBLAS, in words that the host build has too:
// memory, streams, events, graphs and products. Under nvcc each is a call of the library. On the
// host (host_runtime.cc) device memory is malloc's, filled with NaN, and a stream keeps what is put
// into it for a random while, until something waits for it: what is read too early is NaN, and what
// is changed too early is copied changed, as on a device.
//
// Text that a function returns is NULL when all is well, else the reason. Errors of kernels show at
// the next us_cu_sync, and stay.
//
// Threads: as CUDA has it, all may be called on several threads, each of which says us_cu_use once.

#include "worldmodel/ops/cuda/launch.h"

#ifdef US_CUDA_HOST
#define US_CU extern
typedef struct UsHostEvent* UsEvent;
typedef struct UsHostGraph* UsGraph;
typedef struct UsHostBlas* UsBlas;
#else
#include <cublas_v2.h>
#define US_CU static inline
typedef cudaEvent_t UsEvent;
typedef cudaGraphExec_t UsGraph;
typedef struct UsBlasHandle* UsBlas;
#endif

// ---- devices ----

// The number of devices; 0 with the reason in *why when there is none.
US_CU int us_cu_devices(const char** why);

// Makes a device the calling thread's.
US_CU const char* us_cu_use(int device);

typedef struct UsCuInfo {
  char name[96];
  int major, minor;     // compute capability
  int processors;       // streaming multiprocessors
  size_t memory;        // bytes
  double flops;         // single precision operations a second at the peak; 0 where not known
  double bandwidth;     // bytes of memory a second at the peak; 0 where not known
  int driver, runtime;  // 13000 is 13.0
} UsCuInfo;
US_CU const char* us_cu_info(int device, UsCuInfo* info);

// ---- memory ----

// Bytes of device memory that are left, of all.
US_CU void us_cu_memory(size_t* left, size_t* all);

// Device memory, aligned to 256 bytes, its content undefined; NULL when there is not enough, which
// is no error that stays. Both wait for the device and must not stand within a capture. NULL may be
// freed.
US_CU void* us_cu_malloc(size_t bytes);
US_CU void us_cu_free(void* x);

// Host memory that copies may read and write while the program goes on; free it when they are done.
US_CU void* us_cu_malloc_pinned(size_t bytes);
US_CU void us_cu_free_pinned(void* x);

// Copies in the order of the stream. host: pinned, or the call waits (which the host build counts).
US_CU const char* us_cu_upload(void* x, const void* host, size_t bytes, UsStream s);
US_CU const char* us_cu_download(void* host, const void* x, size_t bytes, UsStream s);
US_CU const char* us_cu_copy(void* y, const void* x, size_t bytes, UsStream s);
US_CU const char* us_cu_fill(void* x, int byte, size_t bytes, UsStream s);

// ---- streams and events ----

US_CU const char* us_cu_stream_create(UsStream* s);
US_CU void us_cu_stream_destroy(UsStream s);

// Waits until all in the stream is done; the first error since the program began.
US_CU const char* us_cu_sync(UsStream s);

// That error, as far as it is known, without waiting: launches that no GPU takes show here.
US_CU const char* us_cu_error(void);

// A mark in a stream; the host waits for it with sync, another stream with wait. ms: the time
// between two that are done.
US_CU const char* us_cu_event_create(UsEvent* e);
US_CU void us_cu_event_destroy(UsEvent e);
US_CU const char* us_cu_event_record(UsEvent e, UsStream s);
US_CU const char* us_cu_event_wait(UsStream s, UsEvent e);
US_CU const char* us_cu_event_sync(UsEvent e);
US_CU int us_cu_event_done(UsEvent e);  // 1: sync would not wait
US_CU float us_cu_event_ms(UsEvent from, UsEvent to);

// ---- graphs ----

// Between begin and end what is put into the stream is recorded instead of done: launches, copies
// and products, with their arguments as they are then. The graph does it all again at each launch.
// Nothing between may allocate, free or wait.
US_CU const char* us_cu_capture_begin(UsStream s);
US_CU const char* us_cu_capture_end(UsStream s, UsGraph* g);
US_CU const char* us_cu_graph_launch(UsGraph g, UsStream s);
US_CU void us_cu_graph_destroy(UsGraph g);

// ---- products ----

// A handle bound to a stream. fast: products in TF32.
US_CU const char* us_blas_create(UsBlas* h, UsStream s, int fast);
US_CU void us_blas_destroy(UsBlas h);

// Library and version, such as "cuBLAS 13.0.2", into text.
US_CU void us_blas_name(char* text, size_t size);

// c (m, n) = alpha op(a) op(b) + beta c, row-major: op(a) is (m, k), op(b) is (k, n); a matrix that
// is transposed lies as (k, m) or (n, k). ld: floats from one stored row to the next. With beta 0,
// c is not read.
US_CU const char* us_gemm(UsBlas h, int transpose_a, int transpose_b, int m, int n, int k,
                          float alpha, const float* a, int lda, const float* b, int ldb, float beta,
                          float* c, int ldc);

// `batch` of them, whose matrices begin `step` floats apart.
US_CU const char* us_gemm_batched(UsBlas h, int transpose_a, int transpose_b, int m, int n, int k,
                                  float alpha, const float* a, int lda, size_t step_a,
                                  const float* b, int ldb, size_t step_b, float beta, float* c,
                                  int ldc, size_t step_c, int batch);

#ifndef US_CUDA_HOST
#include "worldmodel/ops/cuda/device_runtime.h"
#endif

#endif  // UNDERSTUDY_CUDA_RUNTIME_H_
