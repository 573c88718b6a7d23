// Values of us_ops_: against double arithmetic written the naive way, and same bits on repeat.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worldmodel/base/rng.h"
#include "worldmodel/ops.h"

// `n` normal numbers of stream `a`, from us_ops_alloc.
static float* noise(int n, int a) {
  float* x = us_ops_alloc(us_device_cpu(), (size_t)n);
  assert_non_null(x);
  UsRng rng = us_rng(7, US_RNG_TEST, (uint64_t)a, 0, 0);
  us_rng_fill_normal(&rng, x, n);
  return x;
}

static void close_to(double got, double expected, double tolerance) {
  if (!(fabs(got - expected) <= tolerance)) {
    fail_msg("got %.9g, expected %.9g, tolerance %.3g", got, expected, tolerance);
  }
}

static void test_linear(void** state) {
  enum { ROWS = 5, OUT = 7, IN = 13 };
  float *x = noise(ROWS * IN, 1), *w = noise(OUT * IN, 2), *b = noise(OUT, 3);
  float* y = us_ops_alloc(us_device_cpu(), ROWS * OUT);
  us_ops_linear(us_device_cpu(), ROWS, OUT, IN, x, w, b, y);
  for (int r = 0; r < ROWS; ++r) {
    for (int o = 0; o < OUT; ++o) {
      double s = b[o];
      for (int i = 0; i < IN; ++i) s += (double)x[r * IN + i] * w[o * IN + i];
      close_to(y[r * OUT + o], s, 1e-5);
    }
  }
  // Transposed, the weight gives the same.
  float* wt = us_ops_alloc(us_device_cpu(), OUT * IN);
  float* again = us_ops_alloc(us_device_cpu(), ROWS * OUT);
  us_ops_transpose(us_device_cpu(), OUT, IN, w, wt);
  for (int i = 0; i < OUT * IN; ++i) assert_true(wt[i % IN * OUT + i / IN] == w[i]);
  us_ops_dense(us_device_cpu(), &(UsDense){.rows = ROWS,
                                           .out = OUT,
                                           .in = IN,
                                           .x = x,
                                           .w = wt,
                                           .transposed = 1,
                                           .b = b,
                                           .y = again});
  for (int i = 0; i < ROWS * OUT; ++i) close_to(again[i], y[i], 1e-5);
  us_ops_free(us_device_cpu(), wt), us_ops_free(us_device_cpu(), again);
  us_ops_free(us_device_cpu(), x), us_ops_free(us_device_cpu(), w), us_ops_free(us_device_cpu(), b),
      us_ops_free(us_device_cpu(), y);
}

// One number through gelu and its derivative, among others so that the vector code is used.
static void one_gelu(float x, float* y, float* slope) {
  float in[64], out[64], ones[64], back[64];
  for (int i = 0; i < 64; ++i) in[i] = x, ones[i] = 1.0f;
  us_ops_gelu(us_device_cpu(), 64, in, out);
  us_ops_gelu_back(us_device_cpu(), 64, in, ones, back);
  *y = out[5];
  *slope = back[5];
}

static void test_gelu_accuracy(void** state) {
  enum { N = 200001 };
  float *x = us_ops_alloc(us_device_cpu(), N), *y = us_ops_alloc(us_device_cpu(), N),
        *dy = us_ops_alloc(us_device_cpu(), N), *dx = us_ops_alloc(us_device_cpu(), N);
  for (int i = 0; i < N; ++i) x[i] = -10.0f + 20.0f * (float)i / (N - 1), dy[i] = 1.0f;
  us_ops_gelu(us_device_cpu(), N, x, y);
  us_ops_gelu_back(us_device_cpu(), N, x, dy, dx);
  for (int i = 0; i < N; ++i) {
    double a = x[i], cdf = 0.5 * erfc(-a / sqrt(2.0));
    close_to(y[i], a * cdf, fmax(1e-7, 2.4e-7 * fabs(a * cdf)));
    close_to(dx[i], cdf + a * exp(-0.5 * a * a) / sqrt(2.0 * M_PI), 4e-7);
  }
  us_ops_gelu(us_device_cpu(), N, x, x);  // in place
  assert_memory_equal(x, y, N * sizeof(float));
  us_ops_free(us_device_cpu(), x), us_ops_free(us_device_cpu(), y),
      us_ops_free(us_device_cpu(), dy), us_ops_free(us_device_cpu(), dx);
}

static void test_gelu_extremes(void** state) {
  float y, d;
  one_gelu(1e30f, &y, &d);
  assert_true(y == 1e30f && d == 1.0f);
  one_gelu(INFINITY, &y, &d);
  assert_true(y == INFINITY && d == 1.0f);
  one_gelu(-INFINITY, &y, &d);
  assert_true(fabsf(y) < 1e-30f && fabsf(d) < 1e-30f);
  one_gelu(NAN, &y, &d);
  assert_true(isnan(y) && isnan(d));
  one_gelu(0.0f, &y, &d);
  assert_true(y == 0.0f);
  close_to(d, 0.5, 3e-7);
}

static void test_norm(void** state) {
  int widths[] = {3, 16, 37, 128};
  for (int n = 0; n < 4; ++n) {
    int width = widths[n], rows = 4;
    float *x = noise(rows * width, 1), *gain = noise(width, 2), *bias = noise(width, 3);
    float *y = us_ops_alloc(us_device_cpu(), (size_t)(rows * width)),
          *stats = us_ops_alloc(us_device_cpu(), (size_t)rows * 2);
    us_ops_add(us_device_cpu(), (size_t)(rows * width), 3.0f, x, x);  // x = 4 x
    us_ops_norm(us_device_cpu(), rows, width, 1e-6f, x, gain, bias, y, stats);
    for (int r = 0; r < rows; ++r) {
      double mean = 0.0, var = 0.0;
      for (int i = 0; i < width; ++i) mean += (double)x[r * width + i] / width;
      for (int i = 0; i < width; ++i) var += pow(x[r * width + i] - mean, 2.0) / width;
      close_to(stats[2 * r], mean, 1e-6);
      close_to(stats[2 * r + 1], 1.0 / sqrt(var + 1e-6), 1e-6);
      for (int i = 0; i < width; ++i) {
        double h = (x[r * width + i] - mean) / sqrt(var + 1e-6);
        close_to(y[r * width + i], h * gain[i] + bias[i], 5e-6);
      }
    }
    us_ops_free(us_device_cpu(), x), us_ops_free(us_device_cpu(), gain),
        us_ops_free(us_device_cpu(), bias), us_ops_free(us_device_cpu(), y),
        us_ops_free(us_device_cpu(), stats);
  }
}

static void test_rows(void** state) {
  float a[] = {1, 2, 3, 4, 5, 6, 7, 8}, b[] = {10, 20, 30, 40}, y[16] = {0};
  const float one[] = {1, 1, 1, 1}, none[4] = {0};
  float normed[16], again[16];
  us_ops_concat_norm(us_device_cpu(), 4, 2, 2, 2, 1e-6f, a, b, one, none, y, normed, NULL);
  float joined[] = {1, 2, 10, 20, 3, 4, 10, 20, 5, 6, 30, 40, 7, 8, 30, 40};
  assert_memory_equal(y, joined, sizeof joined);
  us_ops_norm(us_device_cpu(), 4, 4, 1e-6f, joined, one, none, again, NULL);
  assert_memory_equal(normed, again, sizeof again);
  float da[8], db[4];
  us_ops_concat_back(us_device_cpu(), 4, 2, 2, 2, joined, da, db);
  assert_memory_equal(da, a, sizeof a);
  float sums[] = {20, 40, 60, 80};
  assert_memory_equal(db, sums, sizeof sums);
  us_ops_add_rows(us_device_cpu(), 4, 2, 2, b, a);
  float added[] = {11, 22, 33, 44, 15, 26, 37, 48};
  assert_memory_equal(a, added, sizeof added);
  float period[4] = {1, 1, 1, 1}, folded[] = {27, 49, 71, 93};
  us_ops_add_rows_back(us_device_cpu(), 4, 2, 2, added, period);
  assert_memory_equal(period, folded, sizeof folded);
  float blocks[8] = {0}, placed[] = {0, 0, 11, 22, 0, 0, 15, 26};
  us_ops_copy_blocks(us_device_cpu(), 2, 2, added, 4, blocks + 2, 4);
  assert_memory_equal(blocks, placed, sizeof placed);
  us_ops_add_blocks(us_device_cpu(), 2, 2, added, 4, blocks + 2, 4);
  assert_true(blocks[2] == 22.0f && blocks[7] == 52.0f && blocks[4] == 0.0f);
  float gain[] = {2, 3}, bias[] = {1, -1}, scaled[4], expected[] = {21, 59, 61, 119};
  us_ops_columns(us_device_cpu(), 2, 2, b, gain, bias, scaled);
  assert_memory_equal(scaled, expected, sizeof expected);
}

static void test_rotate(void** state) {
  enum { ROWS = 6, PERIOD = 3, HEADS = 2, DIM = 10, N = ROWS * HEADS * DIM };
  float *x = noise(N, 1), *turned = noise(N, 1), angles[PERIOD * DIM];
  for (int i = 0; i < PERIOD * DIM / 2; ++i) {
    angles[2 * i] = cosf(0.3f * (float)i);
    angles[2 * i + 1] = sinf(0.3f * (float)i);
  }
  us_ops_rotate(us_device_cpu(), ROWS, PERIOD, HEADS, DIM, angles, 1, turned, HEADS * DIM);
  for (int r = 0; r < ROWS; ++r) {
    for (int h = 0; h < HEADS; ++h) {
      for (int p = 0; p < DIM / 2; ++p) {
        int at = (r * HEADS + h) * DIM + p, angle = r % PERIOD * DIM / 2 + p;
        double c = cos(0.3 * angle), s = sin(0.3 * angle), u = x[at], v = x[at + DIM / 2];
        close_to(turned[at], u * c - v * s, 1e-6);
        close_to(turned[at + DIM / 2], u * s + v * c, 1e-6);
      }
    }
  }
  us_ops_rotate(us_device_cpu(), ROWS, PERIOD, HEADS, DIM, angles, -1, turned, HEADS * DIM);
  for (int i = 0; i < N; ++i) close_to(turned[i], x[i], 1e-6);
  us_ops_free(us_device_cpu(), x), us_ops_free(us_device_cpu(), turned);
}

// Attention of one query in double: y (dim), p (tk).
static void attend_naive(int tk, int dim, int row, const uint8_t* mask, const float* q,
                         const float* k, const float* v, double* p, double* y) {
  double top = -INFINITY, sum = 0.0;
  for (int j = 0; j < tk; ++j) {
    p[j] = 0.0;
    for (int d = 0; d < dim; ++d) p[j] += (double)q[d] * k[j * row + d] / sqrt(dim);
    if (!mask || mask[j]) top = fmax(top, p[j]);
  }
  for (int j = 0; j < tk; ++j) sum += p[j] = !mask || mask[j] ? exp(p[j] - top) : 0.0;
  for (int d = 0; d < dim; ++d) y[d] = 0.0;
  for (int j = 0; j < tk; ++j) {
    p[j] /= sum;
    for (int d = 0; d < dim; ++d) y[d] += p[j] * v[j * row + d];
  }
}

static void check_attend(int batch, int tq, int tk, int heads, int dim, int masked) {
  int row = heads * dim;
  float *q = noise(batch * tq * row, 1), *k = noise(batch * tk * row, 2);
  float *v = noise(batch * tk * row, 3),
        *y = us_ops_alloc(us_device_cpu(), (size_t)(batch * tq * row));
  float* again = us_ops_alloc(us_device_cpu(), (size_t)(batch * tq * row));
  float* probs = us_ops_alloc(us_device_cpu(), (size_t)batch * heads * tq * tk);
  uint8_t mask[8192];
  UsRng rng = us_rng(3, US_RNG_TEST, 4, 0, 0);
  for (int i = 0; i < tq * tk; ++i) mask[i] = us_rng_below(&rng, 3) > 0 || i % tk == i / tk % tk;
  us_ops_attend(us_device_cpu(), batch, tq, tk, heads, dim, NULL, 0, masked ? mask : NULL, q, k, v,
                (size_t)(tk * row), y, probs);
  us_ops_attend(us_device_cpu(), batch, tq, tk, heads, dim, NULL, 0, masked ? mask : NULL, q, k, v,
                (size_t)(tk * row), again, NULL);
  assert_memory_equal(y, again, (size_t)(batch * tq * row) * sizeof(float));
  double p[1024], out[1024];
  for (int n = 0; n < batch * heads * tq; ++n) {
    int b = n / (heads * tq), h = n / tq % heads, i = n % tq;
    size_t at = (size_t)(b * tq + i) * row + h * dim, kat = (size_t)b * tk * row + h * dim;
    attend_naive(tk, dim, row, masked ? mask + i * tk : NULL, q + at, k + kat, v + kat, p, out);
    for (int j = 0; j < tk; ++j) close_to(probs[(size_t)n * tk + j], p[j], 2e-6);
    for (int d = 0; d < dim; ++d) close_to(y[at + d], out[d], 4e-6);
  }
  us_ops_free(us_device_cpu(), q), us_ops_free(us_device_cpu(), k), us_ops_free(us_device_cpu(), v),
      us_ops_free(us_device_cpu(), y), us_ops_free(us_device_cpu(), again);
  us_ops_free(us_device_cpu(), probs);
}

static void test_attend(void** state) {
  for (int masked = 0; masked < 2; ++masked) {
    check_attend(3, 1, 2, 4, 32, masked);
    check_attend(2, 3, 3, 2, 6, masked);
    check_attend(2, 5, 19, 3, 8, masked);
    check_attend(2, 64, 64, 2, 24, masked);  // by BLAS
    check_attend(1, 7, 700, 2, 64, masked);
  }
}

// More queries than the scores that fit on the stack at once.
static void test_attend_in_pieces(void** state) {
  enum { T = 200, DIM = 8 };
  float *q = noise(T * DIM, 1), *k = noise(T * DIM, 2), *v = noise(T * DIM, 3);
  float* y = us_ops_alloc(us_device_cpu(), T * DIM);
  us_ops_attend(us_device_cpu(), 1, T, T, 1, DIM, NULL, 0, NULL, q, k, v, T * DIM, y, NULL);
  double p[T], out[DIM];
  for (int i = 0; i < T; ++i) {
    attend_naive(T, DIM, DIM, NULL, q + i * DIM, k, v, p, out);
    for (int d = 0; d < DIM; ++d) close_to(y[i * DIM + d], out[d], 4e-6);
  }
  us_ops_free(us_device_cpu(), q), us_ops_free(us_device_cpu(), k), us_ops_free(us_device_cpu(), v),
      us_ops_free(us_device_cpu(), y);
}

static void test_losses(void** state) {
  enum { N = 101 };
  float *x = noise(N, 1), *t = noise(N, 2), *w = noise(N, 3),
        *dx = us_ops_alloc(us_device_cpu(), N);
  double huber = 0.0, square = 0.0;
  for (int i = 0; i < N; ++i) {
    double d = fabs((double)x[i] - t[i]);
    huber += d < 0.7 ? d * d / 1.4 : d - 0.35;
    square += w[i] * d * d;
  }
  double sum;
  us_ops_smooth_l1(us_device_cpu(), N, 0.7f, 0.1f, x, t, NULL, &sum);
  close_to(sum, 0.1 * huber, 1e-5);
  us_ops_smooth_l1(us_device_cpu(), N, 0.7f, 0.1f, x, t, dx, &sum);
  close_to(sum, 0.1 * huber, 1e-5);
  us_ops_squared_error(us_device_cpu(), N, 0.5f, x, t, w, dx, &sum);
  close_to(sum, 0.5 * square, 1e-5);
  close_to(dx[3], w[3] * (x[3] - t[3]), 1e-6);
  us_ops_squared_error(us_device_cpu(), N, 1.0f, x, x, NULL, dx, &sum);
  close_to(sum, 0.0, 0.0);
  float distance[12] = {0};
  us_ops_row_distance(us_device_cpu(), 4, 25, 2, NULL, x, t, distance, 3);
  for (int r = 0; r < 4; ++r) {
    double s = 0.0;
    for (int i = 0; i < 25; ++i) s += pow((double)x[r * 25 + i] - t[r / 2 * 25 + i], 2.0) / 25.0;
    close_to(distance[3 * r], s, 1e-5);
    close_to(distance[3 * r + 1], 0.0, 0.0);
  }
  double squares = 0.0;
  for (int i = 0; i < N; ++i) squares += (double)x[i] * x[i];
  us_ops_gradient_sum(us_device_cpu(), 1, &(UsPiece){.count = N}, 1, N, x, &sum);
  close_to(sum, squares, 1e-9);
  us_ops_free(us_device_cpu(), x), us_ops_free(us_device_cpu(), t), us_ops_free(us_device_cpu(), w),
      us_ops_free(us_device_cpu(), dx);
}

// The norm of (3, 4) is 5; under the limit nothing is clipped; without a norm, or after a loss that
// is none, there is no step any more.
static void test_clip_scale(void** state) {
  const double squares[] = {9, 16}, none[] = {NAN};
  for (int broken = 0; broken < 2; broken++) {
    float scale[2] = {0, 0};
    double norm;
    us_ops_clip_scale(us_device_cpu(), 2, squares, 2, squares, 2, scale, &norm);
    close_to(scale[0], 0.4, 1e-6);
    close_to(norm, 5, 1e-12);
    us_ops_clip_scale(us_device_cpu(), 2, squares, 0, NULL, 5, scale, &norm);
    close_to(scale[0], 1, 0);
    if (broken) {
      us_ops_clip_scale(us_device_cpu(), 1, none, 0, NULL, 5, scale, &norm);
    } else {
      us_ops_clip_scale(us_device_cpu(), 2, squares, 1, none, 5, scale, &norm);
    }
    assert_true(isnan(scale[0]));
    us_ops_clip_scale(us_device_cpu(), 2, squares, 0, NULL, 5, scale, &norm);
    assert_true(isnan(scale[0]));
  }
}

// Numbers move to the nearer bound; what is no number stays.
static void test_clip(void** state) {
  const float from[5] = {-3, -1, 0.25f, INFINITY, NAN};
  float* x = us_ops_alloc(us_device_cpu(), 5);
  us_ops_put(us_device_cpu(), x, from, 5);
  us_ops_clip(us_device_cpu(), 5, -1, 1, x);
  float got[5];
  us_ops_get(us_device_cpu(), x, got, 5);
  assert_true(got[0] == -1 && got[1] == -1 && got[2] == 0.25f && got[3] == 1 && isnan(got[4]));
  us_ops_free(us_device_cpu(), x);
}

static void test_adamw(void** state) {
  enum { N = 37 };
  float *x = noise(N, 1), *g = noise(N, 2), *m = us_ops_alloc(us_device_cpu(), N),
        *v = us_ops_alloc(us_device_cpu(), N);
  const float half = 0.5f;
  const UsPiece piece = {.count = N, .factor = 1, .decay = 0.1f};
  double rx[N], rm[N] = {0}, rv[N] = {0};
  for (int i = 0; i < N; ++i) rx[i] = x[i];
  for (int step = 1; step <= 20; ++step) {
    us_ops_adamw(us_device_cpu(), 1, &piece, 0.01f, 0.9f, 0.99f, 1e-8f, &half, step, g, m, v, x);
    for (int i = 0; i < N; ++i) {
      double gi = 0.5 * g[i];
      rx[i] *= 1.0 - 0.01 * 0.1;
      rm[i] = 0.9 * rm[i] + 0.1 * gi;
      rv[i] = 0.99 * rv[i] + 0.01 * gi * gi;
      rx[i] -=
          0.01 * (rm[i] / (1.0 - pow(0.9, step))) / (sqrt(rv[i] / (1.0 - pow(0.99, step))) + 1e-8);
    }
    for (int i = 0; i < N; ++i) g[i] = -g[i] * 0.7f;
  }
  for (int i = 0; i < N; ++i) close_to(x[i], rx[i], 3e-6);
  us_ops_free(us_device_cpu(), x), us_ops_free(us_device_cpu(), g), us_ops_free(us_device_cpu(), m),
      us_ops_free(us_device_cpu(), v);
}

static void test_patches(void** state) {
  enum { N = 2, GH = 2, GW = 3, P = 4, BYTES = N * GH * GW * P * P * 3 };
  uint8_t frames[BYTES];
  float mean[] = {0.4f, 0.5f, 0.6f}, std[] = {0.2f, 0.25f, 0.3f}, patches[BYTES];
  for (int i = 0; i < BYTES; ++i) frames[i] = (uint8_t)(i * 37 % 256);
  us_ops_patches(us_device_cpu(), N, GH, GW, P, frames, mean, std, patches);
  for (int i = 0; i < BYTES; ++i) {
    int px = i % P, py = i / P % P, c = i / (P * P) % 3, p = i / (P * P * 3);
    int row = p / (GH * GW) * GH * P + p / GW % GH * P + py, column = p % GW * P + px;
    close_to(patches[i], (frames[(row * GW * P + column) * 3 + c] / 255.0 - mean[c]) / std[c],
             2e-6);
  }
}

static void test_memory(void** state) {
  float *x = us_ops_alloc(us_device_cpu(), 10), host[] = {1, 2, 3}, back[3];
  assert_true((uintptr_t)x % 64 == 0 && x[9] == 0.0f);
  us_ops_put(us_device_cpu(), x, host, 3);
  us_ops_get(us_device_cpu(), x, back, 3);
  assert_memory_equal(host, back, sizeof host);
  us_ops_copy(us_device_cpu(), x, x + 3, 3);
  us_ops_zero(us_device_cpu(), x, 3);
  assert_true(x[0] == 0.0f && x[4] == 2.0f);
  assert_null(us_ops_alloc(us_device_cpu(), SIZE_MAX / 2));
  assert_non_null(strstr(us_ops_name(us_device_cpu()), "OpenBLAS"));
  us_ops_free(us_device_cpu(), x);
  us_ops_free(us_device_cpu(), NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_linear),
      cmocka_unit_test(test_gelu_accuracy),
      cmocka_unit_test(test_gelu_extremes),
      cmocka_unit_test(test_norm),
      cmocka_unit_test(test_rows),
      cmocka_unit_test(test_rotate),
      cmocka_unit_test(test_attend),
      cmocka_unit_test(test_attend_in_pieces),
      cmocka_unit_test(test_losses),
      cmocka_unit_test(test_clip),
      cmocka_unit_test(test_clip_scale),
      cmocka_unit_test(test_adamw),
      cmocka_unit_test(test_patches),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
