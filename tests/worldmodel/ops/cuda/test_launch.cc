// The host build of kernels: helpers against plain loops, races and hangs that must be found, and
// memory, streams, graphs and products as a device has them.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include "tests/worldmodel/ops/cuda/launch_kernels.h"
#include "worldmodel/ops/cuda/host.h"

static UsStream stream;

static void well(const char* error) {
  if (error) fail_msg("%s", error);
}

// A number of -8 .. 8 with a fraction, another one for each i.
template <class T>
static T number(uint64_t i) {
  uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9u;
  return (T)((double)(z >> 40) / (1 << 20) - 8.0);
}

// `n` of them on the device.
template <class T>
static T* numbers(size_t n) {
  T* host = (T*)malloc(n * sizeof(T));
  for (size_t i = 0; i < n; ++i) host[i] = number<T>(i);
  T* x = (T*)us_cu_malloc(n * sizeof(T));
  assert_non_null(x);
  well(us_cu_upload(x, host, n * sizeof(T), stream));
  free(host);
  return x;
}
template <class T>
static T* fetch(const T* x, size_t n) {
  T* host = (T*)malloc(n * sizeof(T));
  well(us_cu_download(host, x, n * sizeof(T), stream));
  return host;
}

// ---- helpers ----

template <class T>
static T larger(T a, T b) {
  return a > b ? a : b;
}

// The tree that launch.h promises, over 32 values.
template <class T>
static T tree(const T* v) {
  T s[32];
  memcpy(s, v, sizeof s);
  for (int o = 16; o > 0; o /= 2) {
    T other[32];
    for (int i = 0; i < 32; ++i) other[i] = s[i ^ o];
    for (int i = 0; i < 32; ++i) s[i] += other[i];
  }
  return s[0];
}

// What the threads of a block of n with the values v get from the helpers: e (US_HELPERS, n).
template <class T>
static void expect_block(const T* v, int n, T* e) {
  T part[32] = {}, warp_most[32], most = v[0];
  int sum = 0;
  for (int i = 0; i < n; ++i) {
    T* m = warp_most + i / 32;
    *m = i % 32 == 0 ? v[i] : larger(*m, v[i]);
    most = larger(most, v[i]);
    if (i % 32 == 0) part[i / 32] = tree(v + i);
  }
  for (int t = 0; t < n; ++t) {
    const T* warp = v + t / 32 * 32;
    int lane = t % 32, before = sum;
    sum += (int)v[t];
    const T row[US_HELPERS - 1] = {part[t / 32],
                                   warp_most[t / 32],
                                   warp[5],
                                   warp[lane ^ 9],
                                   warp[lane < 3 ? lane : lane - 3],
                                   warp[(lane * 7 + 3) % 32],
                                   tree(part),
                                   most,
                                   v[n - 2],
                                   (T)sum,
                                   (T)before};
    for (int k = 0; k < US_HELPERS - 1; ++k) e[k * n + t] = row[k];
  }
  for (int t = 0; t < n; ++t) e[(US_HELPERS - 1) * n + t] = (T)sum;
}

template <class T>
static void check_helpers(const char* (*run)(UsStream, dim3, int, const T*, T*), dim3 block) {
  enum { BLOCKS = 2 };
  int n = (int)(block.x * block.y * block.z);
  size_t row = (size_t)BLOCKS * n;
  T* x = numbers<T>(row);
  T* out = (T*)us_cu_malloc(US_HELPERS * row * sizeof(T));
  well(run(stream, block, BLOCKS, x, out));
  T *got = fetch(out, US_HELPERS * row), *v = fetch(x, row);
  T* e = (T*)malloc(US_HELPERS * (size_t)n * sizeof(T));
  for (int b = 0; b < BLOCKS; ++b) {
    expect_block(v + b * n, n, e);
    for (int k = 0; k < US_HELPERS; ++k) {
      const T* g = got + k * row + b * n;
      for (int t = 0; t < n; ++t) {
        if (memcmp(g + t, e + k * n + t, sizeof *e)) {
          fail_msg("helper %d, %d threads, thread %d: got %.17g, expected %.17g", k, n, t,
                   (double)g[t], (double)e[k * n + t]);
        }
      }
    }
  }
  free(got), free(v), free(e);
  us_cu_free(x), us_cu_free(out);
}

// Blocks of one, two and three dimensions, of every number of warps that is usual.
static const dim3 shapes[] = {32,
                              64,
                              96,
                              128,
                              160,
                              224,
                              256,
                              1024,
                              dim3(8, 4),
                              dim3(4, 4, 4),
                              dim3(1, 96),
                              dim3(3, 32),
                              dim3(16, 16),
                              dim3(2, 8, 10),
                              dim3(1, 1, 64)};
#define SHAPES(type, function)                                             \
  static void test_##function(void** state) {                              \
    for (const dim3& shape : shapes) check_helpers<type>(function, shape); \
  }
#define X(type)                \
  SHAPES(type, helpers_##type) \
  SHAPES(type, helpers_as_on_device_##type)
US_HELPER_TYPES(X)
#undef X

// ---- launches ----

static void test_places(void** state) {
  const dim3 grid(3, 2, 5), block(4, 8, 2);
  int n = 3 * 2 * 5 * 64;
  int* out = (int*)us_cu_malloc((size_t)n * 12 * sizeof(int));
  launch_places(stream, grid, block, out);
  int* got = fetch(out, (size_t)n * 12);
  for (int i = 0; i < n; ++i) {
    int t = i % 64, b = i / 64;
    const int e[12] = {t % 4, t / 4 % 8, t / 32, b % 3, b / 3 % 2, b / 6, 4, 8, 2, 3, 2, 5};
    assert_memory_equal(got + 12 * i, e, sizeof e);
  }
  free(got);
  us_cu_free(out);
}

// A fault is reported that names `word`, and the next launch works.
static void expect_fault(const char* word) {
  const char* fault = us_cuda_host_fault();
  if (!fault || !strstr(fault, word))
    fail_msg("expected %s, found %s", word, fault ? fault : "none");
}

static void test_bad_launches(void** state) {
  us_cuda_host_keep_faults(1);
  const struct {
    dim3 grid, block;
    size_t shared;
    const char* word;
  } bad[] = {
      {0, 32, 0, "grid"},
      {dim3(1, 65536), 32, 0, "grid"},
      {dim3(1, 1, 65536), 32, 0, "grid"},
      {1, 0, 0, "block"},
      {1, 48, 0, "block"},
      {1, 1056, 0, "block"},
      {1, dim3(1, 1, 128), 0, "block"},
      {1, 32, (48 << 10) + 1, "shared"},
  };
  for (const auto& b : bad) {
    launch_nothing(stream, b.grid, b.block, b.shared);
    expect_fault(b.word);
  }
  launch_nothing(stream, 70000, 32, 0);
  launch_nothing(stream, 1, 32, 48 << 10);
  float on_host[64] = {0};
  float* y = numbers<float>(64);
  launch_scale(stream, 64, 2.0f, on_host, y);
  expect_fault("argument 2");
  launch_scale(stream, 64, 2.0f, y + 65, y);
  expect_fault("argument 2");
  well(us_cu_sync(stream));
  us_cu_free(y);
  us_cuda_host_keep_faults(0);
}

static void test_product(void** state) {
  enum { M = 64, N = 128, K = 128 };
  float *a = numbers<float>(M * K), *b = numbers<float>(K * N);
  float* c = (float*)us_cu_malloc(M * N * sizeof(float));
  launch_product(stream, M, N, K, a, b, c);
  float *x = fetch(a, M * K), *y = fetch(b, K * N), *z = fetch(c, M * N);
  for (int i = 0; i < M * N; ++i) {
    float s = 0.0f;
    for (int k = 0; k < K; ++k) s += x[i / N * K + k] * y[k * N + i % N];
    assert_true(s == z[i]);
  }
  free(x), free(y), free(z);
  us_cu_free(a), us_cu_free(b), us_cu_free(c);
}

// ---- planted faults ----

// Whether within 20 seeds a fault is reported or a result differs from that of the first.
static bool caught(UsPlanted which, bool planted) {
  us_cuda_host_keep_faults(1);
  float first[128], *x = numbers<float>(128);
  bool found = false;
  for (uint64_t seed = 1; seed <= 20 && !found; ++seed) {
    us_cuda_host_seed(seed);
    float* y = (float*)us_cu_malloc(sizeof first);
    launch_planted(which, planted, stream, x, y);
    us_cu_sync(stream);
    found = us_cuda_host_fault() != NULL;
    float* got = fetch(y, 128);
    if (seed == 1) memcpy(first, got, sizeof first);
    found = found || memcmp(first, got, sizeof first);
    free(got);
    us_cu_free(y);
  }
  us_cu_free(x);
  us_cuda_host_keep_faults(0);
  return found;
}

static void test_planted_beyond(void** state) {
  assert_false(caught(US_PLANTED_beyond, false));
#ifdef __SANITIZE_ADDRESS__
  pid_t child = fork();
  if (child == 0) {
    close(2);
    caught(US_PLANTED_beyond, true);
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
#endif
}
#define X(name, blocks, shared)                            \
  [[maybe_unused]] static void find_##name(void** state) { \
    assert_true(caught(US_PLANTED_##name, true));          \
    assert_false(caught(US_PLANTED_##name, false));        \
  }
US_PLANTED(X)
#undef X

// ---- memory, streams, graphs, products ----

// What is uploaded from pinned memory is read when the stream comes to it, and what is downloaded
// is there after a sync alone; from and to other memory the call waits.
static void test_copies_wait(void** state) {
  enum { N = 64, TRIES = 40 };
  float* x = (float*)us_cu_malloc(N * sizeof(float));
  float *up = (float*)us_cu_malloc_pinned(N * sizeof(float)),
        *down = (float*)us_cu_malloc_pinned(N * sizeof(float));
  int changed = 0, early = 0;
  for (int i = 1; i <= TRIES; ++i) {
    us_cuda_host_seed((uint64_t)i);
    for (int k = 0; k < N; ++k) up[k] = (float)i;
    well(us_cu_upload(x, up, N * sizeof(float), stream));
    up[0] = -1.0f;  // too early
    down[0] = 0.0f;
    well(us_cu_download(down, x, N * sizeof(float), stream));
    early += down[0] == 0.0f;  // too early
    well(us_cu_sync(stream));
    changed += down[0] == -1.0f;
    assert_true(down[1] == (float)i);
  }
  assert_in_range(early, 1, TRIES);
  assert_in_range(changed, 1, TRIES);

  us_cuda_host_reset_counts();
  float here[N], back[N];
  for (int i = 0; i < 20; ++i) {
    here[0] = (float)i;
    well(us_cu_upload(x, here, sizeof here, stream));
    here[0] = -1.0f;
    well(us_cu_download(back, x, sizeof back, stream));
    assert_true(back[0] == (float)i);
  }
  UsCudaHostCounts c = us_cuda_host_counts();
  assert_int_equal(c.syncs, 40);
  assert_int_equal(c.bytes_up, 20 * sizeof here);
  assert_int_equal(c.bytes_down, 20 * sizeof here);
  us_cu_free(x), us_cu_free_pinned(up), us_cu_free_pinned(down);
}

static void test_memory(void** state) {
  us_cuda_host_keep_faults(1);
  float* x = (float*)us_cu_malloc(100);
  assert_int_equal((uintptr_t)x % 256, 0);
  float* got = fetch(x, 25);
  for (int i = 0; i < 25; ++i) assert_true(isnan(got[i]));
  free(got);
  float host[26] = {0};
  us_cu_upload(x, host, 104, stream), expect_fault("upload");
  us_cu_download(host, x + 1, 100, stream), expect_fault("download");
  us_cu_fill(host, 0, 4, stream), expect_fault("fill");
  us_cu_copy(x, host, 4, stream), expect_fault("copy");
  us_cu_free(x + 1), expect_fault("free");
  us_cu_free(NULL);
  us_cu_free_pinned(NULL);
  us_cuda_host_memory_limit(1000);
  void* y = us_cu_malloc(900);
  assert_non_null(y);
  assert_null(us_cu_malloc(100));
  us_cu_free(y);
  void* z = us_cu_malloc(900);
  assert_non_null(z);
  us_cu_free(z);
  us_cuda_host_memory_limit(0);
  us_cu_free(x);
  assert_null(us_cuda_host_fault());
  us_cuda_host_keep_faults(0);
}

// Guarded, device memory is for what runs in streams alone.
static bool dies(float* x, bool writes) {
  pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    close(2);
    volatile float* v = x;
    if (writes) v[1] = 1.0f;
    _exit(writes ? 0 : v[1] > 1.0f);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}
static void test_guard(void** state) {
  float* open = numbers<float>(64);
  us_cuda_host_guard(1);
  float *x = numbers<float>(64), *y = (float*)us_cu_malloc(64 * sizeof(float));
  assert_false(dies(open, false));
  assert_true(dies(x, false));
  assert_true(dies(x, true));
  launch_scale(stream, 64, 2.0f, x, y);
  well(us_cu_copy(x, y, 4, stream));
  assert_true(dies(y, false));
  float *got = fetch(y, 64), *start = fetch(x, 2);
  assert_true(got[63] == 2.0f * number<float>(63));
  assert_true(start[0] == got[0] && start[1] == number<float>(1));
  assert_true(dies(x, false));
  us_cuda_host_guard(0);
  free(got), free(start);
  us_cu_free(x), us_cu_free(y), us_cu_free(open);
}

static void test_devices(void** state) {
  const char* why;
  assert_int_equal(us_cu_devices(&why), 1);
  assert_null(why);
  well(us_cu_use(0));
  assert_non_null(us_cu_use(1));
  us_cuda_host_devices(0);
  assert_int_equal(us_cu_devices(&why), 0);
  assert_non_null(strstr(why, "no CUDA"));
  us_cuda_host_devices(1);
  UsCuInfo info;
  well(us_cu_info(0, &info));
  assert_string_equal(info.name, "host");
}

// A graph does again what was recorded, with the arguments of then and the memory of now.
static void test_graph(void** state) {
  us_cuda_host_keep_faults(1);
  enum { N = 100 };
  float *x = numbers<float>(N), *y = (float*)us_cu_malloc(N * sizeof(float));
  UsBlas h;
  UsGraph g;
  well(us_blas_create(&h, stream, 0));
  us_cuda_host_reset_counts();
  well(us_cu_capture_begin(stream));
  float a = 2.0f;
  launch_scale(stream, N, a, x, y);
  well(us_gemm(h, 0, 0, 1, 1, 1, a, y, 1, y + 1, 1, 0.0f, y + 2, 1));
  a = 5.0f;
  launch_scale(stream, N, 0.5f, y, x);
  well(us_cu_capture_end(stream, &g));
  float* before = fetch(x, N);
  assert_true(before[1] == number<float>(1));  // nothing was done yet
  for (int i = 0; i < 3; ++i) well(us_cu_graph_launch(g, stream));
  float *after = fetch(x, N), *product = fetch(y, 3);
  assert_true(after[1] == before[1]);
  assert_true(product[2] == 2.0f * product[0] * product[1]);
  UsCudaHostCounts c = us_cuda_host_counts();
  assert_int_equal(c.launches, 2);
  assert_int_equal(c.gemms, 1);
  assert_int_equal(c.graph_launches, 3);
  us_cu_graph_destroy(g);

  well(us_cu_capture_begin(stream));
  us_cu_sync(stream), expect_fault("capture");
  us_cu_download(before, x, 4, stream), expect_fault("capture");
  us_cu_free(us_cu_malloc(4)), expect_fault("capture");
  UsEvent e;
  well(us_cu_event_create(&e));
  well(us_cu_event_record(e, stream));
  us_cu_event_sync(e), expect_fault("capture");
  well(us_cu_capture_end(stream, &g));
  us_cu_graph_destroy(g);
  well(us_cu_event_record(e, stream));
  well(us_cu_capture_begin(stream));
  well(us_cu_event_sync(e));  // of before
  well(us_cu_capture_end(stream, &g));
  us_cu_graph_destroy(g);
  us_cu_event_destroy(e);
  us_blas_destroy(h);
  free(before), free(after), free(product);
  us_cu_free(x), us_cu_free(y);
  us_cuda_host_keep_faults(0);
}

static void test_events(void** state) {
  UsEvent a, b;
  UsStream other;
  well(us_cu_stream_create(&other));
  well(us_cu_event_create(&a)), well(us_cu_event_create(&b));
  float* x = numbers<float>(64);
  int unfinished = 0;
  for (int i = 0; i < 20; ++i) {
    well(us_cu_fill(x, i, 256, stream));
    well(us_cu_event_record(a, stream));
    well(us_cu_event_wait(other, a));
    float* y = (float*)us_cu_malloc_pinned(256);
    well(us_cu_download(y, x, 256, other));
    well(us_cu_event_record(b, other));
    unfinished += !us_cu_event_done(b);
    well(us_cu_event_sync(b));
    assert_true(us_cu_event_done(b));
    assert_int_equal(((unsigned char*)y)[7], i);
    assert_true(us_cu_event_ms(a, b) >= 0.0f);
    us_cu_free_pinned(y);
  }
  assert_in_range(unfinished, 1, 20);
  us_cu_event_destroy(a), us_cu_event_destroy(b);
  us_cu_stream_destroy(other);
  us_cu_free(x);
}

static void test_gemm(void** state) {
  enum { M = 5, N = 7, K = 11, LD = 13, BATCH = 3, STEP = LD * LD };
  UsBlas h;
  well(us_blas_create(&h, stream, 0));
  float *a = numbers<float>(BATCH * STEP), *b = numbers<float>(BATCH * STEP);
  float *x = fetch(a, BATCH * STEP), *y = fetch(b, BATCH * STEP);
  for (int way = 0; way < 8; ++way) {
    int ta = way & 1, tb = way >> 1 & 1, batch = way & 4 ? BATCH : 1;
    float* c = numbers<float>(BATCH * STEP);
    float* old = fetch(c, BATCH * STEP);
    if (batch > 1) {
      well(us_gemm_batched(h, ta, tb, M, N, K, 0.5f, a, LD, STEP, b, LD, STEP, 2.0f, c, LD, STEP,
                           BATCH));
    } else {
      well(us_gemm(h, ta, tb, M, N, K, 0.5f, a, LD, b, LD, 2.0f, c, LD));
    }
    float* z = fetch(c, BATCH * STEP);
    for (int i = 0; i < BATCH * STEP; ++i) {
      int q = i / STEP, r = i % STEP / LD, col = i % LD;
      double e = old[i];
      if (q < batch && r < M && col < N) {
        e *= 2.0;
        for (int k = 0; k < K; ++k) {
          e += 0.5 * x[q * STEP + (ta ? k * LD + r : r * LD + k)] *
               y[q * STEP + (tb ? col * LD + k : k * LD + col)];
        }
      }
      assert_true(fabs(z[i] - e) < 1e-3);
    }
    free(old), free(z);
    us_cu_free(c);
  }
  us_cuda_host_keep_faults(1);
  us_gemm(h, 0, 0, STEP, N, K, 1.0f, a, LD, b, LD, 0.0f, a, 4 * LD), expect_fault("gemm");
  us_cuda_host_keep_faults(0);
  us_blas_destroy(h);
  free(x), free(y);
  us_cu_free(a), us_cu_free(b);
}

// Several threads, each with its stream.
static void* scale_often(void* arg) {
  int* bad = (int*)arg;
  UsStream s;
  *bad = us_cu_stream_create(&s) != NULL;
  float* x = (float*)us_cu_malloc(256 * sizeof(float));
  float* host = (float*)us_cu_malloc_pinned(256 * sizeof(float));
  for (int i = 0; i < 256; ++i) host[i] = 1.0f;
  us_cu_upload(x, host, 256 * sizeof(float), s);
  for (int i = 0; i < 100; ++i) launch_scale(s, 256, i % 2 ? 0.5f : 2.0f, x, x);
  us_cu_download(host, x, 256 * sizeof(float), s);
  *bad |= us_cu_sync(s) != NULL;
  for (int i = 0; i < 256; ++i) *bad |= host[i] != 1.0f;
  us_cu_free(x), us_cu_free_pinned(host);
  us_cu_stream_destroy(s);
  return NULL;
}
static void test_threads(void** state) {
  pthread_t t[4];
  int bad[4];
  for (int i = 0; i < 4; ++i)
    assert_int_equal(pthread_create(t + i, NULL, scale_often, bad + i), 0);
  for (int i = 0; i < 4; ++i) pthread_join(t[i], NULL), assert_false(bad[i]);
}

// Seed 0 does everything in order and at once.
static void test_in_order(void** state) {
  us_cuda_host_seed(0);
  float *x = numbers<float>(128), *y = (float*)us_cu_malloc(512);
  launch_planted(US_PLANTED_same_place, true, stream, x, y);
  assert_true(y[3] == x[3]);  // of block 1, the last, and without a sync
  us_cuda_host_seed(1);
  us_cu_free(x), us_cu_free(y);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define X(type) \
  cmocka_unit_test(test_helpers_##type), cmocka_unit_test(test_helpers_as_on_device_##type),
      US_HELPER_TYPES(X)
#undef X
          cmocka_unit_test(test_places),
      cmocka_unit_test(test_bad_launches),
      cmocka_unit_test(test_product),
      cmocka_unit_test(find_read_early),
      cmocka_unit_test(find_write_early),
      cmocka_unit_test(find_warp_only),
      cmocka_unit_test(find_same_place),
      cmocka_unit_test(find_other_block),
      cmocka_unit_test(find_never_written),
      cmocka_unit_test(find_never_counted),
      cmocka_unit_test(find_half_barrier),
      cmocka_unit_test(find_two_barriers),
      cmocka_unit_test(find_gone_before_shuffle),
      cmocka_unit_test(find_gone_before_barrier),
      cmocka_unit_test(find_different_helpers),
      cmocka_unit_test(find_different_lanes),
      cmocka_unit_test(find_too_much),
      cmocka_unit_test(test_planted_beyond),
      cmocka_unit_test(test_copies_wait),
      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_guard),
      cmocka_unit_test(test_devices),
      cmocka_unit_test(test_graph),
      cmocka_unit_test(test_events),
      cmocka_unit_test(test_gemm),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_in_order),
  };
  well(us_cu_stream_create(&stream));
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  us_cu_stream_destroy(stream);
  return failed;
}
