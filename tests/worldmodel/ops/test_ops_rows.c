// The operations on rows, at sizes that cross the blocks and warps of a device: the numbers of the
// CPU, to 1e-5; and on other devices the same bits for a row, whatever the number of rows and its
// place among them.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/rng.h"

// Rows repeat after so many, a number that all periods and repeats here divide.
enum { kPeriod = 60, kRepeat = 4, kOuts = 4 };

// One call on one device, and the tensors that it writes.
typedef struct Run {
  UsDevice* d;
  int rows, width;
  struct {
    float* x;  // on the device
    size_t rows, width;
    int alike;  // 1: rows of equal input are equal; 0: sums over rows
    float* host;
  } out[kOuts];
  int outs;
  void* made[16];
  int count;
} Run;

static void* room(Run* r, const void* host, size_t bytes) {
  void* x = us_ops_alloc_bytes(r->d, bytes);
  assert_non_null(x);
  assert_true(r->count < 16);
  r->made[r->count++] = x;
  if (host) us_ops_put_bytes(r->d, x, host, bytes);
  return x;
}

// Normal numbers (rows, width) of stream `a`, row i like row i + period.
static float* host_rows(int rows, int width, int period, int a) {
  size_t one = (size_t)width;
  float* x = host_bytes((size_t)rows * one * sizeof(float));
  UsRng rng = us_rng(11, US_RNG_TEST, (uint64_t)a, 0, 0);
  us_rng_fill_normal(&rng, x, (rows < period ? rows : period) * width);
  for (int i = period; i < rows; ++i) {
    memcpy(x + (size_t)i * one, x + (size_t)(i - period) * one, one * sizeof(float));
  }
  return x;
}

static float* in_period(Run* r, int rows, int width, int period, int a) {
  return room(r, host_rows(rows, width, period, a), (size_t)rows * (size_t)width * sizeof(float));
}

static float* in(Run* r, int rows, int width, int a) {
  return in_period(r, rows, width, kPeriod, a);
}

// Declares `x` a result.
static float* result_in(Run* r, float* x, int rows, int width, int alike) {
  assert_true(r->outs < kOuts);
  r->out[r->outs].x = x;
  r->out[r->outs].rows = (size_t)rows;
  r->out[r->outs].width = (size_t)width;
  r->out[r->outs++].alike = alike;
  return x;
}

// A result that the call overwrites.
static float* result(Run* r, int rows, int width) {
  return result_in(r, in(r, rows, width, 90), rows, width, 1);
}

// A sum over rows, which the call adds to.
static float* sum(Run* r, int rows, int width) {
  return result_in(r, in(r, rows, width, 91), rows, width, 0);
}

static int* indices(Run* r, int count, int most) {
  int* host = host_bytes((size_t)count * sizeof(int));
  for (int i = 0; i < count; ++i) host[i] = i * 7 % most;
  return room(r, host, (size_t)count * sizeof(int));
}

static uint8_t* bytes_of(Run* r, int rows, int width) {
  uint8_t* host = host_bytes((size_t)rows * (size_t)width);
  for (int i = 0; i < rows * width; ++i) host[i] = (uint8_t)(i % (kPeriod * width) * 37 % 251);
  return room(r, host, (size_t)rows * (size_t)width);
}

static float* angles(Run* r, int rows, int half) {
  float* host = host_bytes((size_t)(rows * half) * 2 * sizeof(float));
  for (int i = 0; i < rows * half; ++i) {
    host[2 * i] = cosf(0.3f * (float)i), host[2 * i + 1] = sinf(0.3f * (float)i);
  }
  return room(r, host, (size_t)(rows * half) * 2 * sizeof(float));
}

// ---- the calls ----

static void call_add(Run* r) {
  size_t n = (size_t)r->rows * (size_t)r->width;
  us_ops_add(r->d, n, 0.7f, in(r, r->rows, r->width, 1), result(r, r->rows, r->width));
}

static void call_multiply(Run* r) {
  size_t n = (size_t)r->rows * (size_t)r->width;
  us_ops_multiply(r->d, n, in(r, r->rows, r->width, 1), result(r, r->rows, r->width));
}

static void call_gelu(Run* r) {
  size_t n = (size_t)r->rows * (size_t)r->width;
  us_ops_gelu(r->d, n, in(r, r->rows, r->width, 1), result(r, r->rows, r->width));
}

static void call_gelu_back(Run* r) {
  size_t n = (size_t)r->rows * (size_t)r->width;
  us_ops_gelu_back(r->d, n, in(r, r->rows, r->width, 1), in(r, r->rows, r->width, 2),
                   result(r, r->rows, r->width));
}

static void call_clip(Run* r) {
  us_ops_clip(r->d, (size_t)r->rows * (size_t)r->width, -0.5f, 0.25f, result(r, r->rows, r->width));
}

static void call_draw(Run* r) {
  us_ops_draw(r->d, r->rows, r->width, in(r, r->rows, 2 * r->width, 1), in(r, r->rows, r->width, 2),
              result(r, r->rows, r->width));
}

static void call_draw_back(Run* r) {
  us_ops_draw_back(r->d, r->rows, r->width, 0.3f, in(r, r->rows, 2 * r->width, 1),
                   in(r, r->rows, r->width, 2), in(r, r->rows, r->width, 3),
                   result(r, r->rows, 2 * r->width), NULL);
}

static void call_widen(Run* r) {
  size_t n = (size_t)r->rows * (size_t)r->width;
  uint16_t* host = host_bytes(n * sizeof(uint16_t));
  const float* x = host_rows(r->rows, r->width, kPeriod, 1);
  for (size_t i = 0; i < n; ++i) host[i] = us_bfloat(x[i]);
  us_ops_widen(r->d, n, room(r, host, n * sizeof(uint16_t)), result(r, r->rows, r->width));
}

static void call_norm(Run* r) {
  us_ops_norm(r->d, r->rows, r->width, 1e-5f, in(r, r->rows, r->width, 1), in(r, 1, r->width, 2),
              in(r, 1, r->width, 3), result(r, r->rows, r->width), result(r, r->rows, 2));
}

// With the statistics of the norm itself, of which a row of one number has none.
static void call_norm_back(Run* r) {
  int w = r->width;
  float *x = in(r, r->rows, w, 1), *gain = in(r, 1, w, 2), *stats = in(r, r->rows, 2, 3);
  us_ops_norm(r->d, r->rows, w, 1e-1f, x, gain, gain, in(r, r->rows, w, 4), stats);
  us_ops_norm_back(r->d, r->rows, w, x, gain, stats, in(r, r->rows, w, 5), result(r, r->rows, w),
                   sum(r, 1, w), sum(r, 1, w));
}

static void call_norm_back_alone(Run* r) {
  int w = r->width;
  float *x = in(r, r->rows, w, 1), *stats = in(r, r->rows, 2, 3);
  us_ops_norm_back(r->d, r->rows, w, x, in(r, 1, w, 2), stats, in(r, r->rows, w, 5),
                   result(r, r->rows, w), NULL, sum(r, 1, w));
}

static void call_concat_norm(Run* r) {
  int wa = r->width, wb = 7, groups = (r->rows + kRepeat - 1) / kRepeat;
  us_ops_concat_norm(r->d, r->rows, wa, wb, kRepeat, 1e-5f, in(r, r->rows, wa, 1),
                     in_period(r, groups, wb, kPeriod / kRepeat, 2), in(r, 1, wa + wb, 3),
                     in(r, 1, wa + wb, 4), result(r, r->rows, wa + wb), result(r, r->rows, wa + wb),
                     result(r, r->rows, 2));
}

// Groups are whole: their rows are summed.
static void call_concat_back(Run* r) {
  int wa = 3, wb = r->width, rows = r->rows * kRepeat;
  us_ops_concat_back(r->d, rows, wa, wb, kRepeat, in(r, rows, wa + wb, 1), result(r, rows, wa),
                     result_in(r, in(r, r->rows, wb, 2), r->rows, wb, 0));
}

static void call_columns(Run* r) {
  us_ops_columns(r->d, r->rows, r->width, in(r, r->rows, r->width, 1), in(r, 1, r->width, 2),
                 in(r, 1, r->width, 3), result(r, r->rows, r->width));
}

static void call_columns_back(Run* r) {
  us_ops_columns_back(r->d, r->rows, r->width, in(r, r->rows, r->width, 1), in(r, 1, r->width, 2),
                      in(r, r->rows, r->width, 3), result(r, r->rows, r->width),
                      sum(r, 1, r->width));
}

static void call_add_rows(Run* r) {
  us_ops_add_rows(r->d, r->rows, 5, r->width, in(r, 5, r->width, 1), result(r, r->rows, r->width));
}

// The last period is not whole for most numbers of rows.
static void call_add_rows_back(Run* r) {
  us_ops_add_rows_back(r->d, r->rows, 5, r->width, in(r, r->rows, r->width, 1),
                       sum(r, 5, r->width));
}

static void call_add_blocks(Run* r) {
  size_t xstride = (size_t)r->width + 3, ystride = (size_t)r->width + 2;
  us_ops_add_blocks(r->d, r->rows, r->width, in(r, r->rows, (int)xstride, 1), xstride,
                    result(r, r->rows, (int)ystride), ystride);
}

static void call_row_distance(Run* r) {
  int groups = (r->rows + kRepeat - 1) / kRepeat;
  float* y = in_period(r, groups, r->width, kPeriod / kRepeat, 2);
  us_ops_row_distance(r->d, r->rows, r->width, kRepeat, NULL, in(r, r->rows, r->width, 1), y, NULL,
                      result(r, r->rows, 2), 2);
  us_ops_row_distance(r->d, r->rows, r->width, 1, indices(r, r->rows, groups),
                      in(r, r->rows, r->width, 1), y, in(r, 1, r->width, 4),
                      result_in(r, in(r, r->rows, 1, 3), r->rows, 1, 0), 1);
}

static void call_unit(Run* r) {
  us_ops_unit(r->d, r->rows, r->width, bytes_of(r, r->rows, r->width), in(r, 1, r->width, 1),
              result(r, r->rows, r->width));
}

static void call_standardise(Run* r) {
  float* x = host_rows(r->rows, r->width, kPeriod, 1);
  double* wide = host_bytes((size_t)(r->rows * r->width) * sizeof(double));
  for (int i = 0; i < r->rows * r->width; ++i) wide[i] = 1e3 * (double)x[i];
  us_ops_standardise(r->d, r->rows, r->width, r->width, indices(r, r->width, r->width),
                     room(r, wide, (size_t)(r->rows * r->width) * sizeof(double)),
                     in(r, 1, r->width, 2), in(r, 1, r->width, 3), result(r, r->rows, r->width));
}

// A frame is a row, of a small picture as wide as 12 patches.
static void call_patches(Run* r) {
  const float mean[] = {0.4f, 0.5f, 0.6f}, std[] = {0.2f, 0.25f, 0.3f};
  int row = 12 * 2 * 2 * 3;
  us_ops_patches(r->d, r->rows, 1, 12, 2, bytes_of(r, r->rows, row), mean, std,
                 result(r, r->rows, row));
}

static void call_dense(Run* r) {
  int rows = r->rows, out = r->width, inputs = r->width == 200 ? 1000 : 33;
  float* x = in(r, rows, inputs, 1);
  UsDense s = {.rows = rows, .out = out, .in = inputs, .x = x, .w = in(r, out, inputs, 2)};
  s.b = in(r, 1, out, 3);
  s.add = in(r, 5, out, 4);
  s.period = 5;
  s.up = result(r, rows, out);
  s.y = result(r, rows, out);
  us_ops_dense(r->d, &s);
  us_ops_linear(r->d, rows, out, inputs, x, s.w, NULL, result(r, rows, out));
}

static void call_rotate(Run* r) {
  int dim = 2 * ((r->width + 1) / 2), heads = 3;
  us_ops_rotate(r->d, r->rows, 5, heads, dim, angles(r, 5, dim / 2), 1,
                result(r, r->rows, heads * dim + 4), (size_t)(heads * dim + 4));
}

// A frame of three tokens is a row, for each of two blocks.
static void call_keys(Run* r) {
  enum { TOKENS = 3, DEPTH = 2, HEADS = 2 };
  int dim = 2 * ((r->width + 7) / 8), w = HEADS * dim, frame = TOKENS * w;
  size_t block = (size_t)r->rows * (size_t)frame;
  float* both = in(r, r->rows, TOKENS * DEPTH * 2 * w, 1);
  float *k = in(r, DEPTH * r->rows, frame, 2), *v = in(r, DEPTH * r->rows, frame, 3);
  us_ops_keys(r->d, r->rows * TOKENS, TOKENS, DEPTH, HEADS, dim, TOKENS, angles(r, TOKENS, dim / 2),
              both, k, v, block, (size_t)frame);
  for (int l = 0; l < DEPTH; l++) {
    result_in(r, k + (size_t)l * block, r->rows, frame, 1);
    result_in(r, v + (size_t)l * block, r->rows, frame, 1);
  }
}

// A batch is a row; the queries are turned, and the keys are as many as the width says.
static void call_attend(Run* r) {
  enum { TQ = 3, HEADS = 2, DIM = 8, W = HEADS * DIM };
  int tk = r->width, rows = r->rows;
  uint8_t* hides = host_bytes((size_t)(TQ * tk));
  for (int i = 0; i < TQ * tk; ++i) hides[i] = i % 3 > 0 || i % tk == 0;
  us_ops_attend(r->d, rows, TQ, tk, HEADS, DIM, angles(r, TQ, DIM / 2), TQ,
                room(r, hides, (size_t)(TQ * tk)), in(r, rows, TQ * W, 1), in(r, rows, tk * W, 2),
                in(r, rows, tk * W, 3), (size_t)(tk * W), result(r, rows, TQ * W),
                result(r, rows, HEADS * TQ * tk));
}

static void call_copy_rows(Run* r) {
  size_t stride = (size_t)r->width + 2;
  us_ops_copy_rows(r->d, r->rows, r->width, 3, indices(r, r->rows, 5), in(r, 5, r->width, 1),
                   (size_t)r->width,
                   result_in(r, in(r, r->rows, (int)stride, 2), r->rows, (int)stride, 0), stride);
}

static void call_window(Run* r) {
  enum { HORIZON = 3, PAST = 2, LEAP = 2 };
  int groups = (r->rows + kRepeat - 1) / kRepeat, w = r->width;
  us_ops_window(r->d, r->rows, kRepeat, NULL, HORIZON, 1, PAST, LEAP, 1, w, 1,
                in_period(r, groups, PAST * w, kPeriod / kRepeat, 1),
                in(r, r->rows, HORIZON * w, 2), result(r, r->rows, (PAST + LEAP) * w));
}

// Every second row is set, and left out; others get a piece more.
static void call_slots(Run* r) {
  int n = (r->rows + 1) / 2, w = r->width;
  int *slot = host_bytes((size_t)n * sizeof(int)), *first = host_bytes((size_t)n * sizeof(int));
  for (int i = 0; i < n; ++i) slot[i] = 2 * i, first[i] = i % 3 == 0;
  us_ops_push(r->d, n, 3, w, room(r, slot, (size_t)n * sizeof(int)),
              room(r, first, (size_t)n * sizeof(int)), in(r, n, w, 1),
              result_in(r, in(r, r->rows, 3 * w, 2), r->rows, 3 * w, 0));
  for (int i = 0; i < n; i += 2) slot[i] = -1;
  us_ops_set_rows(r->d, n, w, room(r, slot, (size_t)n * sizeof(int)), in(r, n, 1, 3),
                  result_in(r, in(r, r->rows, w, 4), r->rows, w, 0));
}

// ---- what all of them do ----

static void run(void (*call)(Run* r), UsDevice* d, int rows, int width, Run* r) {
  *r = (Run){.d = d, .rows = rows, .width = width};
  call(r);
  for (int i = 0; i < r->outs; i++) {
    size_t bytes = r->out[i].rows * r->out[i].width * sizeof(float);
    r->out[i].host = host_bytes(bytes);
    us_ops_get_bytes(d, r->out[i].x, r->out[i].host, bytes);
  }
  if (us_device_check(d, "call") != US_OK) fail_msg("%s", us_message());
  while (r->count > 0) us_ops_free(d, r->made[--r->count]);
}

// Within 1e-5 of the number or of the spread of all, or 1e-7, which is what a GPU, where a * b + c
// is rounded once, leaves of a difference of 0.
static void near(const Run* got, const Run* cpu) {
  for (int i = 0; i < cpu->outs; i++) {
    size_t count = cpu->out[i].rows * cpu->out[i].width;
    const float *a = got->out[i].host, *b = cpu->out[i].host;
    double square = 0;
    for (size_t k = 0; k < count; k++) square += (double)b[k] * (double)b[k];
    double spread = sqrt(square / (double)count);
    for (size_t k = 0; k < count; k++) {
      if (fabs((double)a[k] - (double)b[k]) <= 1e-5 * (fabs((double)b[k]) + spread) + 1e-7)
        continue;
      fail_msg("%d rows of %d, result %d at %zu: %.9g, expected %.9g", cpu->rows, cpu->width, i, k,
               (double)a[k], (double)b[k]);
    }
  }
}

static void same_rows(const Run* few, const Run* many, size_t shift) {
  for (int i = 0; i < few->outs; i++) {
    size_t bytes = few->out[i].width * sizeof(float), one = few->out[i].width;
    if (!few->out[i].alike) continue;
    for (size_t r = 0; r < few->out[i].rows && r + shift < many->out[i].rows; r++) {
      if (!memcmp(few->out[i].host + r * one, many->out[i].host + (r + shift) * one, bytes)) {
        continue;
      }
      fail_msg("row %zu of %d, width %d, result %d: not as among %d at %zu", r, few->rows,
               few->width, i, many->rows, r + shift);
    }
  }
}

static void check(void (*call)(Run* r)) {
  const int rows[] = {1, 3, 257}, widths[] = {1, 5, 128, 200, 1000};
  for (int w = 0; w < 5; w++) {
    Run cpu, got[3];
    for (int k = 0; k < 3; k++) {
      run(call, test_device(), rows[k], widths[w], &got[k]);
      run(call, us_device_cpu(), rows[k], widths[w], &cpu);
      near(&got[k], &cpu);
    }
    for (int k = 0; k < 3 && !on_cpu(); k++) {
      same_rows(&got[k], &got[2], 0);
      same_rows(&got[k], &got[2], kPeriod);
    }
    drop_tensors();
  }
}

#define CALLS(X)     \
  X(add)             \
  X(multiply)        \
  X(gelu)            \
  X(gelu_back)       \
  X(clip)            \
  X(draw)            \
  X(draw_back)       \
  X(widen)           \
  X(norm)            \
  X(norm_back)       \
  X(norm_back_alone) \
  X(concat_norm)     \
  X(concat_back)     \
  X(columns)         \
  X(columns_back)    \
  X(add_rows)        \
  X(add_rows_back)   \
  X(add_blocks)      \
  X(row_distance)    \
  X(unit)            \
  X(standardise)     \
  X(patches)         \
  X(dense)           \
  X(rotate)          \
  X(keys)            \
  X(attend)          \
  X(copy_rows)       \
  X(window)          \
  X(slots)

#define X(name)                           \
  static void test_##name(void** state) { \
    check(call_##name);                   \
  }
CALLS(X)
#undef X

int main(void) {
  const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test(test_##name),
      CALLS(X)
#undef X
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
