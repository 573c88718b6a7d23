#ifndef UNDERSTUDY_DEVICE_RUNTIME_H_
#define UNDERSTUDY_DEVICE_RUNTIME_H_

// runtime.h under nvcc. Included by it alone.

#include <stdio.h>
#include <stdlib.h>

static inline const char* us_cu_text(cudaError_t e) {
  return e == cudaSuccess ? NULL : cudaGetErrorString(e);
}
static inline const char* us_blas_text(cublasStatus_t s) {
  return s == CUBLAS_STATUS_SUCCESS ? NULL : cublasGetStatusString(s);
}

static inline int us_cu_devices(const char** why) {
  int n = 0, driver = 0;
  *why = us_cu_text(cudaGetDeviceCount(&n));
  // A driver that is not there is told as one that is too old.
  if (*why && cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) {
    *why = "no NVIDIA driver (libcuda.so.1)";
  }
  if (*why) cudaGetLastError();
  if (!*why && n == 0) *why = "no device";
  return *why ? 0 : n;
}
static inline const char* us_cu_use(int device) {
  return us_cu_text(cudaSetDevice(device));
}
static inline const char* us_cu_info(int device, UsCuInfo* info) {
  cudaDeviceProp p;
  cudaError_t e = cudaGetDeviceProperties(&p, device);
  if (e == cudaSuccess) e = cudaDriverGetVersion(&info->driver);
  if (e == cudaSuccess) e = cudaRuntimeGetVersion(&info->runtime);
  if (e != cudaSuccess) return us_cu_text(e);
  snprintf(info->name, sizeof info->name, "%.95s", p.name);
  info->major = p.major, info->minor = p.minor;
  info->processors = p.multiProcessorCount;
  info->memory = p.totalGlobalMem;
  // Clocks in kHz, the bus in bits. A processor has 128 lanes, but 64 in the first of sm_80.
  int clock = 0, memory_clock = 0, bus = 0;
  cudaDeviceGetAttribute(&clock, cudaDevAttrClockRate, device);
  cudaDeviceGetAttribute(&memory_clock, cudaDevAttrMemoryClockRate, device);
  cudaDeviceGetAttribute(&bus, cudaDevAttrGlobalMemoryBusWidth, device);
  int lanes = p.major == 8 && p.minor == 0 ? 64 : 128;
  info->flops = 2e3 * lanes * p.multiProcessorCount * clock;
  info->bandwidth = 2e3 * memory_clock * bus / 8;
  cudaGetLastError();  // an attribute that a driver does not tell is no failure
  return NULL;
}

static inline void us_cu_memory(size_t* left, size_t* all) {
  if (cudaMemGetInfo(left, all) != cudaSuccess) *left = *all = 0;
}
static inline void* us_cu_malloc(size_t bytes) {
  void* x = NULL;
  if (cudaMalloc(&x, bytes ? bytes : 1) == cudaSuccess) return x;
  cudaGetLastError();  // what lacked memory is not to be found again later
  return NULL;
}
static inline void us_cu_free(void* x) {
  cudaFree(x);
}
static inline void* us_cu_malloc_pinned(size_t bytes) {
  void* x = NULL;
  if (cudaMallocHost(&x, bytes ? bytes : 1) == cudaSuccess) return x;
  cudaGetLastError();
  return NULL;
}
static inline void us_cu_free_pinned(void* x) {
  cudaFreeHost(x);
}

static inline const char* us_cu_upload(void* x, const void* host, size_t bytes, UsStream s) {
  return us_cu_text(cudaMemcpyAsync(x, host, bytes, cudaMemcpyHostToDevice, s));
}
static inline const char* us_cu_download(void* host, const void* x, size_t bytes, UsStream s) {
  return us_cu_text(cudaMemcpyAsync(host, x, bytes, cudaMemcpyDeviceToHost, s));
}
static inline const char* us_cu_copy(void* y, const void* x, size_t bytes, UsStream s) {
  return us_cu_text(cudaMemcpyAsync(y, x, bytes, cudaMemcpyDeviceToDevice, s));
}
static inline const char* us_cu_fill(void* x, int byte, size_t bytes, UsStream s) {
  return us_cu_text(cudaMemsetAsync(x, byte, bytes, s));
}

static inline const char* us_cu_stream_create(UsStream* s) {
  return us_cu_text(cudaStreamCreateWithFlags(s, cudaStreamNonBlocking));
}
static inline void us_cu_stream_destroy(UsStream s) {
  cudaStreamDestroy(s);
}
static inline const char* us_cu_sync(UsStream s) {
  cudaError_t e = cudaStreamSynchronize(s);
  return us_cu_text(e == cudaSuccess ? cudaPeekAtLastError() : e);
}
static inline const char* us_cu_error(void) {
  return us_cu_text(cudaPeekAtLastError());
}

static inline const char* us_cu_event_create(UsEvent* e) {
  return us_cu_text(cudaEventCreate(e));
}
static inline void us_cu_event_destroy(UsEvent e) {
  cudaEventDestroy(e);
}
static inline const char* us_cu_event_record(UsEvent e, UsStream s) {
  return us_cu_text(cudaEventRecord(e, s));
}
static inline const char* us_cu_event_wait(UsStream s, UsEvent e) {
  return us_cu_text(cudaStreamWaitEvent(s, e, 0));
}
static inline const char* us_cu_event_sync(UsEvent e) {
  return us_cu_text(cudaEventSynchronize(e));
}
static inline int us_cu_event_done(UsEvent e) {
  if (cudaEventQuery(e) != cudaErrorNotReady) return 1;
  cudaGetLastError();  // it is none
  return 0;
}
static inline float us_cu_event_ms(UsEvent from, UsEvent to) {
  float ms = 0;
  return cudaEventElapsedTime(&ms, from, to) == cudaSuccess ? ms : 0;
}

static inline const char* us_cu_capture_begin(UsStream s) {
  cudaError_t e = cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal);
  if (e != cudaSuccess) cudaGetLastError();  // who cannot record works without
  return us_cu_text(e);
}
static inline const char* us_cu_capture_end(UsStream s, UsGraph* g) {
  cudaGraph_t graph = NULL;
  *g = NULL;
  cudaError_t e = cudaStreamEndCapture(s, &graph);
  if (e == cudaSuccess) e = cudaGraphInstantiate(g, graph, 0);
  if (graph) cudaGraphDestroy(graph);
  if (e != cudaSuccess) cudaGetLastError();
  return us_cu_text(e);
}
static inline const char* us_cu_graph_launch(UsGraph g, UsStream s) {
  return us_cu_text(cudaGraphLaunch(g, s));
}
static inline void us_cu_graph_destroy(UsGraph g) {
  if (g) cudaGraphExecDestroy(g);
}

// cuBLAS gets a workspace of its own, without which it would allocate within a capture.
struct UsBlasHandle {
  cublasHandle_t handle;
  void* workspace;
};
enum { US_BLAS_WORKSPACE = 32 << 20 };

static inline void us_blas_destroy(UsBlas h) {
  if (!h) return;
  if (h->handle) cublasDestroy(h->handle);
  us_cu_free(h->workspace);
  free(h);
}
static inline const char* us_blas_create(UsBlas* h, UsStream s, int fast) {
  UsBlas b = (UsBlas)calloc(1, sizeof *b);
  *h = NULL;
  if (!b) return "out of memory";
  cublasStatus_t e = cublasCreate(&b->handle);
  b->workspace = e == CUBLAS_STATUS_SUCCESS ? us_cu_malloc(US_BLAS_WORKSPACE) : NULL;
  if (e == CUBLAS_STATUS_SUCCESS && !b->workspace) e = CUBLAS_STATUS_ALLOC_FAILED;
  if (e == CUBLAS_STATUS_SUCCESS) e = cublasSetStream(b->handle, s);
  if (e == CUBLAS_STATUS_SUCCESS) {
    e = cublasSetWorkspace(b->handle, b->workspace, US_BLAS_WORKSPACE);
  }
  if (e == CUBLAS_STATUS_SUCCESS) {
    e = cublasSetMathMode(b->handle, fast ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH);
  }
  if (e != CUBLAS_STATUS_SUCCESS) us_blas_destroy(b);
  if (e == CUBLAS_STATUS_SUCCESS) *h = b;
  return us_blas_text(e);
}
static inline void us_blas_name(char* text, size_t size) {
  int v[3] = {0, 0, 0};
  cublasGetProperty(MAJOR_VERSION, &v[0]);
  cublasGetProperty(MINOR_VERSION, &v[1]);
  cublasGetProperty(PATCH_LEVEL, &v[2]);
  snprintf(text, size, "cuBLAS %d.%d.%d", v[0], v[1], v[2]);
}

// cuBLAS has columns where we have rows: it computes c' = op(b)' op(a)'.
static inline const char* us_gemm(UsBlas h, int transpose_a, int transpose_b, int m, int n, int k,
                                  float alpha, const float* a, int lda, const float* b, int ldb,
                                  float beta, float* c, int ldc) {
  return us_blas_text(cublasSgemm(h->handle, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                                  transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, n, m, k, &alpha, b, ldb,
                                  a, lda, &beta, c, ldc));
}
static inline const char* us_gemm_batched(UsBlas h, int transpose_a, int transpose_b, int m, int n,
                                          int k, float alpha, const float* a, int lda,
                                          size_t step_a, const float* b, int ldb, size_t step_b,
                                          float beta, float* c, int ldc, size_t step_c, int batch) {
  return us_blas_text(cublasSgemmStridedBatched(
      h->handle, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
      n, m, k, &alpha, b, ldb, (long long)step_b, a, lda, (long long)step_a, &beta, c, ldc,
      (long long)step_c, batch));
}

#endif  // UNDERSTUDY_DEVICE_RUNTIME_H_
