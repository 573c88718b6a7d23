// runtime.h on the host. A stream is a list of tasks, closures with their arguments in them;
// putting one into it runs some of those before it, drawn at random, and whatever waits runs all. A
// graph is such a list that is kept.

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cblas.h>

#include "worldmodel/ops/cuda/host.h"
#include "worldmodel/ops/cuda/host_run.h"
#include "worldmodel/ops/cuda/runtime.h"

struct UsHostGraph {
  struct Task *first, *last;
};
struct UsHostStream {
  struct Task *first, *last;
  UsHostGraph* capture;  // Nullable
  UsHostStream *next, *before;
};
struct UsHostEvent {
  UsHostStream* stream;
  int waiting;    // marks of it that the stream has not come to
  bool captured;  // recorded into a graph, which gives nothing to wait for
  double ms;
};
struct UsHostBlas {
  UsHostStream* stream;
};

namespace {

struct Shared {
  const void* kernel;
  size_t bytes;
};

enum { KERNELS = 256, SHARED_USUAL = 48 << 10, SHARED_MOST = 227 << 10 };

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
uint64_t seed = 1;
bool ordered, keep;
char fault[512], last_fault[512];
UsCudaHostCounts counts;
size_t limit, held;
int devices = 1;
Shared shared[KERNELS];
int shared_count;
UsHostStream legacy;  // the stream NULL
UsHostStream* streams;

struct Guard {
  Guard() { pthread_mutex_lock(&lock); }
  ~Guard() { pthread_mutex_unlock(&lock); }
};

}  // namespace

struct Task {
  Task* next;
  void (*run)(void* arguments);
  size_t size;
  alignas(16) unsigned char arguments[];
};

namespace {

// ---- tasks ----

void append(Task** first, Task** last, Task* t) {
  t->next = NULL;
  *(*last ? &(*last)->next : first) = t;
  *last = t;
}
Task* new_task(void (*run)(void*), const void* arguments, size_t size) {
  Task* t = (Task*)malloc(sizeof *t + size);
  if (!t) abort();
  t->run = run, t->size = size;
  memcpy(t->arguments, arguments, size);
  return t;
}

// Runs the first `n` tasks of a stream, or all with n < 0.
void run_tasks(UsHostStream* s, int n) {
  if (!s->first) return;
  us_host_open();
  for (; s->first && n != 0; --n) {
    Task* t = s->first;
    s->first = t->next;
    if (!s->first) s->last = NULL;
    t->run(t->arguments);
    free(t);
  }
  us_host_close();
}
UsHostStream* known(UsStream s) {
  return s ? s : &legacy;
}

void push(UsHostStream* s, void (*run)(void*), const void* arguments, size_t size) {
  Task* t = new_task(run, arguments, size);
  if (s->capture) {
    append(&s->capture->first, &s->capture->last, t);
    return;
  }
  append(&s->first, &s->last, t);
  uint64_t r = us_host_random(&seed);
  if (ordered) {
    run_tasks(s, -1);
  } else if (r % 4 == 0 && !us_host_guarded()) {  // guards cost most of a short run
    run_tasks(s, (int)(r >> 8 & 255));
  }
}
template <class F>
void push(UsStream s, const F& f) {
  static_assert(__is_trivially_copyable(F), "copied as bytes");
  push(
      known(s), [](void* x) { (*(const F*)x)(); }, &f, sizeof f);
}

// Waits for one stream, or with NULL for all.
void drain(UsHostStream* only, const char* what) {
  UsHostStream* s = only ? only : &legacy;
  while (s) {
    if (s->capture) us_host_fault("%s within a capture", what);
    run_tasks(s, -1);
    s = only ? NULL : s == &legacy ? streams : s->next;
  }
}

// Runs what lies before the mark, which may be before a capture that goes on.
void run_before(UsHostEvent* e) {
  if (e->captured) us_host_fault("a wait for an event within a capture");
  run_tasks(e->stream, -1);
}

const char* answer() {
  return last_fault[0] ? last_fault : NULL;
}

bool on_device(const char* what, const void* x, size_t bytes) {
  if (us_host_within(US_HOST_DEVICE, x, bytes)) return true;
  us_host_fault("%s: %zu bytes are not device memory", what, bytes);
  return false;
}

}  // namespace

void us_host_fault(const char* format, ...) {
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  if (!keep) {
    fprintf(stderr, "cuda host: %s\n", text);
    abort();
  }
  if (!last_fault[0]) memcpy(last_fault, text, sizeof text);
}

// ---- launches ----

void us_host_shared_limit(const void* kernel, size_t bytes) {
  Guard g;
  if (bytes > SHARED_MOST) us_host_fault("%zu bytes of shared memory asked for", bytes);
  int i = 0;
  while (i < shared_count && shared[i].kernel != kernel) ++i;
  if (i == KERNELS) abort();
  if (i == shared_count) ++shared_count;
  shared[i].kernel = kernel, shared[i].bytes = bytes;
}

size_t us_host_shared_allowed(const void* kernel) {
  for (int i = 0; i < shared_count; ++i) {
    if (shared[i].kernel == kernel) return shared[i].bytes;
  }
  return SHARED_USUAL;
}

bool us_host_check_pointer(const char* kernel, int index, const void* x) {
  Guard g;
  if (!x || us_host_within(US_HOST_DEVICE, x, 0)) return true;
  us_host_fault("%s: argument %d, counted from 0, does not point to device memory", kernel, index);
  return false;
}

namespace {
struct Kernel {
  UsHostLaunch launch;
  size_t size;
  alignas(16) unsigned char call[4096];  // most that a kernel's arguments have
};
void run_kernel(void* x) {
  Kernel* k = (Kernel*)x;
  if (last_fault[0]) return;  // as a device does after an error
  uint64_t order = us_host_random(&seed);
  us_host_run(&k->launch, k->call, ordered ? 0 : order | 1);
}
}  // namespace

void us_host_launch(const UsHostLaunch* l, UsStream stream, const void* call, size_t size) {
  Guard guard;
  uint64_t threads = (uint64_t)l->block.x * l->block.y * l->block.z;
  dim3 g = l->grid, b = l->block;
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > INT32_MAX || g.y > 65535 || g.z > 65535) {
    us_host_fault("%s: a grid of (%u, %u, %u) blocks", l->name, g.x, g.y, g.z);
    return;
  }
  if (threads == 0 || threads > 1024 || threads % 32 || b.z > 64) {
    us_host_fault("%s: a block of (%u, %u, %u) threads", l->name, b.x, b.y, b.z);
    return;
  }
  if (l->shared > us_host_shared_allowed(l->kernel)) {
    us_host_fault("%s: %zu bytes of shared memory", l->name, l->shared);
    return;
  }
  Kernel k;
  k.launch = *l, k.size = size;
  if (size > sizeof k.call) abort();
  memcpy(k.call, call, size);
  ++counts.launches;
  push(known(stream), run_kernel, &k, offsetof(Kernel, call) + size);
}

// ---- devices and memory ----

int us_cu_devices(const char** why) {
  *why = devices > 0 ? NULL : "no CUDA-capable device is detected";
  return devices;
}
const char* us_cu_use(int device) {
  return device >= 0 && device < devices ? NULL : "invalid device ordinal";
}
const char* us_cu_info(int, UsCuInfo* info) {
  memset(info, 0, sizeof *info);
  snprintf(info->name, sizeof info->name, "host");
  info->processors = 1;
  return NULL;
}
void us_cu_memory(size_t* left, size_t* all) {
  Guard g;
  *all = limit ? limit : (size_t)1 << 40;
  *left = *all > held ? *all - held : 0;
}

void* us_cu_malloc(size_t bytes) {
  Guard g;
  drain(NULL, "us_cu_malloc");
  if (limit && (held + bytes > limit || held + bytes < held)) return NULL;
  void* x = us_host_allocate(US_HOST_DEVICE, bytes);
  if (x) held += bytes, ++counts.allocs;
  return x;
}
void us_cu_free(void* x) {
  Guard g;
  if (!x) return;
  drain(NULL, "us_cu_free");
  held -= us_host_release(US_HOST_DEVICE, x);
  ++counts.frees;
}
void* us_cu_malloc_pinned(size_t bytes) {
  Guard g;
  return us_host_allocate(US_HOST_PINNED, bytes);
}
void us_cu_free_pinned(void* x) {
  Guard g;
  if (x) us_host_release(US_HOST_PINNED, x);
}

const char* us_cu_upload(void* x, const void* host, size_t bytes, UsStream s) {
  Guard g;
  if (!on_device("upload", x, bytes)) return answer();
  counts.bytes_up += bytes;
  push(s, [=] { memcpy(x, host, bytes); });
  if (!us_host_within(US_HOST_PINNED, host, bytes))
    ++counts.syncs, drain(known(s), "a copy of pageable memory");
  return answer();
}
const char* us_cu_download(void* host, const void* x, size_t bytes, UsStream s) {
  Guard g;
  if (!on_device("download", x, bytes)) return answer();
  counts.bytes_down += bytes;
  push(s, [=] { memcpy(host, x, bytes); });
  if (!us_host_within(US_HOST_PINNED, host, bytes))
    ++counts.syncs, drain(known(s), "a copy of pageable memory");
  return answer();
}
const char* us_cu_copy(void* y, const void* x, size_t bytes, UsStream s) {
  Guard g;
  if (!on_device("copy", x, bytes) || !on_device("copy", y, bytes)) return answer();
  push(s, [=] { memmove(y, x, bytes); });
  return answer();
}
const char* us_cu_fill(void* x, int byte, size_t bytes, UsStream s) {
  Guard g;
  if (!on_device("fill", x, bytes)) return answer();
  push(s, [=] { memset(x, byte, bytes); });
  return answer();
}

// ---- streams and events ----

const char* us_cu_stream_create(UsStream* out) {
  Guard g;
  UsHostStream* s = (UsHostStream*)calloc(1, sizeof *s);
  if (!s) return "out of memory";
  s->next = streams;
  if (streams) streams->before = s;
  streams = *out = s;
  return NULL;
}
void us_cu_stream_destroy(UsStream s) {
  Guard g;
  if (!s) return;
  run_tasks(s, -1);
  *(s->before ? &s->before->next : &streams) = s->next;
  if (s->next) s->next->before = s->before;
  free(s);
}
const char* us_cu_sync(UsStream s) {
  Guard g;
  ++counts.syncs;
  drain(known(s), "us_cu_sync");
  return answer();
}
const char* us_cu_error(void) {
  Guard g;
  return answer();
}

const char* us_cu_event_create(UsEvent* e) {
  *e = (UsEvent)calloc(1, sizeof **e);
  return *e ? NULL : "out of memory";
}
void us_cu_event_destroy(UsEvent e) {
  Guard g;
  if (e && e->stream) run_tasks(e->stream, -1);
  free(e);
}
const char* us_cu_event_record(UsEvent e, UsStream s) {
  Guard g;
  e->stream = known(s);
  e->captured = e->stream->capture != NULL;
  int marks = !e->captured;
  e->waiting += marks;
  push(s, [=] {
    e->waiting -= marks;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    e->ms = 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
  });
  return answer();
}
// The other stream is brought up to the mark now, which is one of the orders that a device may
// take.
const char* us_cu_event_wait(UsStream s, UsEvent e) {
  Guard g;
  if (e->stream && e->stream != known(s)) run_before(e);
  return answer();
}
const char* us_cu_event_sync(UsEvent e) {
  Guard g;
  ++counts.syncs;
  if (e->stream) run_before(e);
  return answer();
}
int us_cu_event_done(UsEvent e) {
  Guard g;
  return e->waiting == 0;
}
float us_cu_event_ms(UsEvent from, UsEvent to) {
  return (float)(to->ms - from->ms);
}

// ---- graphs ----

const char* us_cu_capture_begin(UsStream s) {
  Guard g;
  if (!s || s->capture) {
    us_host_fault("a capture of %s", s ? "a stream that is captured" : "the stream NULL");
    return answer();
  }
  s->capture = (UsHostGraph*)calloc(1, sizeof *s->capture);
  return s->capture ? NULL : "out of memory";
}
const char* us_cu_capture_end(UsStream s, UsGraph* out) {
  Guard g;
  *out = s->capture;
  s->capture = NULL;
  if (!*out) us_host_fault("a capture ends that did not begin");
  return answer();
}
const char* us_cu_graph_launch(UsGraph graph, UsStream s) {
  Guard g;
  ++counts.graph_launches;
  for (const Task* t = graph->first; t; t = t->next) push(known(s), t->run, t->arguments, t->size);
  return answer();
}
void us_cu_graph_destroy(UsGraph graph) {
  if (!graph) return;
  for (Task *t = graph->first, *next; t; t = next) {
    next = t->next;
    free(t);
  }
  free(graph);
}

// ---- products ----

const char* us_blas_create(UsBlas* out, UsStream s, int) {
  *out = (UsBlas)calloc(1, sizeof **out);
  if (!*out) return "out of memory";
  openblas_set_num_threads(1);
  (*out)->stream = s;
  return NULL;
}
void us_blas_destroy(UsBlas h) {
  free(h);
}
void us_blas_name(char* text, size_t size) {
  snprintf(text, size, "CBLAS");
}

const char* us_gemm_batched(UsBlas h, int transpose_a, int transpose_b, int m, int n, int k,
                            float alpha, const float* a, int lda, size_t step_a, const float* b,
                            int ldb, size_t step_b, float beta, float* c, int ldc, size_t step_c,
                            int batch) {
  Guard g;
  size_t last = (size_t)(batch - 1), row = sizeof(float);
  int rows_a = transpose_a ? k : m, rows_b = transpose_b ? n : k;
  size_t end_a = last * step_a + (size_t)(rows_a - 1) * (size_t)lda + (transpose_a ? m : k);
  size_t end_b = last * step_b + (size_t)(rows_b - 1) * (size_t)ldb + (transpose_b ? k : n);
  size_t end_c = last * step_c + (size_t)(m - 1) * (size_t)ldc + n;
  if (!on_device("gemm a", a, row * end_a) || !on_device("gemm b", b, row * end_b) ||
      !on_device("gemm c", c, row * end_c)) {
    return answer();
  }
  ++counts.gemms;
  push(h->stream, [=] {
    for (int i = 0; i < batch; ++i) {
      cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                  transpose_b ? CblasTrans : CblasNoTrans, m, n, k, alpha, a + i * step_a, lda,
                  b + i * step_b, ldb, beta, c + i * step_c, ldc);
    }
  });
  return answer();
}
const char* us_gemm(UsBlas h, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                    const float* a, int lda, const float* b, int ldb, float beta, float* c,
                    int ldc) {
  return us_gemm_batched(h, transpose_a, transpose_b, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c,
                         ldc, 0, 1);
}

// ---- host.h ----

void us_cuda_host_seed(uint64_t s) {
  Guard g;
  seed = s, ordered = s == 0;
}
UsCudaHostCounts us_cuda_host_counts(void) {
  Guard g;
  return counts;
}
void us_cuda_host_reset_counts(void) {
  Guard g;
  memset(&counts, 0, sizeof counts);
}
void us_cuda_host_keep_faults(int on) {
  Guard g;
  keep = on;
}
const char* us_cuda_host_fault(void) {
  Guard g;
  memcpy(fault, last_fault, sizeof fault);
  last_fault[0] = 0;
  return fault[0] ? fault : NULL;
}
void us_cuda_host_memory_limit(size_t bytes) {
  Guard g;
  limit = bytes;
}
void us_cuda_host_guard(int on) {
  Guard g;
  us_host_guard_new(on);
}
void us_cuda_host_devices(int n) {
  Guard g;
  devices = n;
}
