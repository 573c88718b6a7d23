// Tensor memory: what is put there and got back, also much of it at once, recordings, and threads
// that share a device.

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "worldmodel/base/rng.h"

// `n` normal numbers of stream `a`, on the host.
static float* noise(int n, int a) {
  float* x = host_bytes((size_t)n * sizeof(float));
  UsRng rng = us_rng(7, US_RNG_TEST, (uint64_t)a, 0, 0);
  us_rng_fill_normal(&rng, x, n);
  return x;
}

static void equal(const float* x, const float* expected, size_t count) {
  assert_memory_equal(fetched(x, count), expected, count * sizeof(float));
}

static void test_memory(void** state) {
  UsDevice* d = test_device();
  float *x = us_ops_alloc(d, 10), host[] = {1, 2, 3};
  assert_true((uintptr_t)x % 64 == 0);
  equal(x, (float[10]){0}, 10);
  us_ops_put(d, x, host, 3);
  host[1] = 7;  // nobody looks at it any more
  equal(x, (float[]){1, 2, 3}, 3);
  us_ops_copy(d, x, x + 3, 3);
  us_ops_zero(d, x, 3);
  equal(x, (float[]){0, 0, 0, 1, 2, 3}, 6);
  us_ops_put(d, x, NULL, 0);
  us_ops_get(d, x, NULL, 0);
  assert_null(us_ops_alloc(d, SIZE_MAX / 2));
  if (on_cpu()) assert_non_null(strstr(us_ops_name(d), "OpenBLAS"));
  assert_true(strlen(us_ops_name(d)) > 3);
  us_ops_free(d, x);
  us_ops_free(d, NULL);
  assert_int_equal(us_device_check(d, "memory"), US_OK);
}

static void test_no_memory(void** state) {
  UsArena a = {.size = SIZE_MAX};
  assert_int_equal(us_ops_arena_alloc(test_device(), &a), US_MEMORY);
  assert_non_null(strstr(us_message(), "tensors: out of memory: 18446744073709551615 bytes asked"));
  if (!on_cpu()) assert_non_null(strstr(us_message(), us_ops_name(test_device())));
  // It was no failure of the device.
  assert_int_equal(us_device_check(test_device(), "memory"), US_OK);
  equal(tensor((float[]){4}, 1), (float[]){4}, 1);
}

// More than passes at once, in many calls and in one, out of memory that changes behind each call.
static void test_large_puts(void** state) {
  enum { ROW = 1000, ROWS = 3000 };
  UsDevice* d = test_device();
  float *x = tensor(NULL, ROW * ROWS), row[ROW];
  for (int r = 0; r < ROWS; r++) {
    for (int i = 0; i < ROW; i++) row[i] = (float)(r * ROW + i);
    us_ops_put(d, x + (size_t)r * ROW, row, (size_t)(ROW - r % 3));
  }
  float* got = fetched(x, ROW * ROWS);
  for (int i = 0; i < ROW * ROWS; i++) {
    int put = i % ROW < ROW - i / ROW % 3;
    assert_true(got[i] == (put ? (float)i : 0.0f));
  }
  size_t more = (size_t)3 * ROW * ROWS;
  float* all = host_bytes(more * sizeof(float));
  for (size_t i = 0; i < more; i++) all[i] = (float)i;
  float* y = tensor(all, more);
  all[0] = all[more - 1] = -1;
  got = fetched(y, more);
  for (size_t i = 0; i < more; i++) assert_true(got[i] == (float)i);
}

// What is recorded is done at each replay, and not before; with the numbers of then.
static void test_recording(void** state) {
  UsDevice* d = test_device();
  float *x = tensor((float[]){1, 2}, 2), *y = tensor(NULL, 2);
  us_ops_add(d, 2, 2, x, y);
  if (!us_ops_record(d)) return;
  us_ops_add(d, 2, 2, x, y);
  us_ops_copy(d, y, x, 1);
  void* r = us_ops_recorded(d);
  assert_non_null(r);
  equal(y, (float[]){2, 4}, 2);
  us_ops_replay(d, r);
  equal(y, (float[]){4, 8}, 2);
  equal(x, (float[]){4, 2}, 2);
  us_ops_put(d, x, (float[]){0, 1}, 2);
  us_ops_replay(d, r);
  us_ops_replay(d, r);
  equal(y, (float[]){12, 12}, 2);
  us_ops_forget(d, r);
  us_ops_forget(d, NULL);
  // What needs more memory than there was cannot be replayed, and is done as usual afterwards.
  enum { WIDE = 1 << 20 };
  float *wide = tensor(NULL, WIDE), *sum = tensor(NULL, WIDE);
  assert_true(us_ops_record(d));
  us_ops_add_rows_back(d, 1, 1, WIDE, wide, sum);
  assert_null(us_ops_recorded(d));
  us_ops_put(d, wide + WIDE - 1, (float[]){5}, 1);
  us_ops_add_rows_back(d, 1, 1, WIDE, wide, sum);
  equal(sum + WIDE - 1, (float[]){5}, 1);
  assert_true(us_ops_record(d));
  us_ops_add_rows_back(d, 1, 1, WIDE, wide, sum);
  us_ops_forget(d, us_ops_recorded(d));
  assert_int_equal(us_device_check(d, "recording"), US_OK);
}

// Losses of different numbers on threads of their own, on one device.
typedef struct Losses {
  float *x, *zero;
  double *sum, expected;
  int wrong;
} Losses;

static void* sum_on_thread(void* arg) {
  Losses* l = arg;
  for (int k = 0; k < 50; k++) {
    double sum;
    us_ops_squared_error(test_device(), 10000, 1, l->x, l->zero, NULL, NULL, l->sum);
    us_ops_get_sums(test_device(), l->sum, &sum, 1);
    l->wrong += fabs(sum - l->expected) > 1e-6 * l->expected;
  }
  return NULL;
}

static void test_threads(void** state) {
  Losses losses[3];
  pthread_t threads[3];
  for (int t = 0; t < 3; t++) {
    float* x = noise(10000, t);
    losses[t] = (Losses){.x = tensor(x, 10000), .zero = tensor(NULL, 10000)};
    losses[t].sum = tensor_bytes(NULL, sizeof(double));
    for (int i = 0; i < 10000; i++) losses[t].expected += (double)x[i] * (double)x[i];
  }
  for (int t = 0; t < 3; t++) pthread_create(threads + t, NULL, sum_on_thread, losses + t);
  for (int t = 0; t < 3; t++) pthread_join(threads[t], NULL);
  for (int t = 0; t < 3; t++) assert_int_equal(losses[t].wrong, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(test_##name, drop_tensors_of)
  const struct CMUnitTest tests[] = {
      TEST(memory), TEST(no_memory), TEST(large_puts), TEST(recording), TEST(threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
