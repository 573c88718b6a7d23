// Values of us_ops_: against double arithmetic written the naive way, and same bits on repeat.

#include <math.h>
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

static void close_to(double got, double expected, double tolerance) {
  if (!(fabs(got - expected) <= tolerance)) {
    fail_msg("got %.9g, expected %.9g, tolerance %.3g", got, expected, tolerance);
  }
}

static double sum_of(const double* x) {
  double sum;
  fetch(x, &sum, sizeof(sum));
  return sum;
}

static void test_linear(void** state) {
  enum { ROWS = 5, OUT = 7, IN = 13 };
  UsDevice* d = test_device();
  float *x = noise(ROWS * IN, 1), *w = noise(OUT * IN, 2), *b = noise(OUT, 3);
  float *dx = tensor(x, ROWS * IN), *dw = tensor(w, OUT * IN), *db = tensor(b, OUT);
  float* dy = tensor(NULL, ROWS * OUT);
  us_ops_linear(d, ROWS, OUT, IN, dx, dw, db, dy);
  float* y = fetched(dy, ROWS * OUT);
  for (int r = 0; r < ROWS; ++r) {
    for (int o = 0; o < OUT; ++o) {
      double s = b[o];
      for (int i = 0; i < IN; ++i) s += (double)x[r * IN + i] * w[o * IN + i];
      close_to(y[r * OUT + o], s, 1e-5);
    }
  }
  // Transposed, the weight gives the same.
  float *turned = tensor(NULL, OUT * IN), *other = tensor(NULL, ROWS * OUT);
  us_ops_transpose(d, OUT, IN, dw, turned);
  float* wt = fetched(turned, OUT * IN);
  for (int i = 0; i < OUT * IN; ++i) assert_true(wt[i % IN * OUT + i / IN] == w[i]);
  us_ops_dense(d, &(UsDense){.rows = ROWS,
                             .out = OUT,
                             .in = IN,
                             .x = dx,
                             .w = turned,
                             .transposed = 1,
                             .b = db,
                             .y = other});
  float* again = fetched(other, ROWS * OUT);
  for (int i = 0; i < ROWS * OUT; ++i) close_to(again[i], y[i], 1e-5);
}

// One number through gelu and its derivative, among others so that the vector code is used.
static void one_gelu(float x, float* y, float* slope) {
  float in[64], ones[64];
  for (int i = 0; i < 64; ++i) in[i] = x, ones[i] = 1.0f;
  float *from = tensor(in, 64), *to = tensor(NULL, 64), *back = tensor(NULL, 64);
  us_ops_gelu(test_device(), 64, from, to);
  us_ops_gelu_back(test_device(), 64, from, tensor(ones, 64), back);
  *y = fetched(to, 64)[5];
  *slope = fetched(back, 64)[5];
}

static void test_gelu_accuracy(void** state) {
  enum { N = 200001 };
  UsDevice* d = test_device();
  float *x = host_bytes(N * sizeof(float)), *ones = host_bytes(N * sizeof(float));
  for (int i = 0; i < N; ++i) x[i] = -10.0f + 20.0f * (float)i / (N - 1), ones[i] = 1.0f;
  float *from = tensor(x, N), *to = tensor(NULL, N), *back = tensor(NULL, N);
  us_ops_gelu(d, N, from, to);
  us_ops_gelu_back(d, N, from, tensor(ones, N), back);
  float *y = fetched(to, N), *dx = fetched(back, N);
  // A device has an exponential of its own.
  double looser = on_cpu() ? 1 : 2;
  for (int i = 0; i < N; ++i) {
    double a = x[i], cdf = 0.5 * erfc(-a / sqrt(2.0));
    close_to(y[i], a * cdf, looser * fmax(1e-7, 2.4e-7 * fabs(a * cdf)));
    close_to(dx[i], cdf + a * exp(-0.5 * a * a) / sqrt(2.0 * M_PI), looser * 4e-7);
  }
  us_ops_gelu(d, N, from, from);  // in place
  assert_memory_equal(fetched(from, N), y, N * sizeof(float));
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
    size_t count = (size_t)(rows * width);
    float *x = noise(rows * width, 1), *gain = noise(width, 2), *bias = noise(width, 3);
    for (size_t i = 0; i < count; ++i) x[i] *= 4;
    float *to = tensor(NULL, count), *kept = tensor(NULL, (size_t)rows * 2);
    us_ops_norm(test_device(), rows, width, 1e-6f, tensor(x, count), tensor(gain, (size_t)width),
                tensor(bias, (size_t)width), to, kept);
    float *y = fetched(to, count), *stats = fetched(kept, (size_t)rows * 2);
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
  }
}

static void equal(const float* x, const float* expected, size_t count) {
  assert_memory_equal(fetched(x, count), expected, count * sizeof(float));
}

static void test_rows(void** state) {
  UsDevice* d = test_device();
  const float ha[] = {1, 2, 3, 4, 5, 6, 7, 8}, hb[] = {10, 20, 30, 40}, one[] = {1, 1, 1, 1};
  const float joined[] = {1, 2, 10, 20, 3, 4, 10, 20, 5, 6, 30, 40, 7, 8, 30, 40};
  float *a = tensor(ha, 8), *b = tensor(hb, 4), *ones = tensor(one, 4), *none = tensor(NULL, 4);
  float *y = tensor(NULL, 16), *normed = tensor(NULL, 16), *again = tensor(NULL, 16);
  us_ops_concat_norm(d, 4, 2, 2, 2, 1e-6f, a, b, ones, none, y, normed, NULL);
  equal(y, joined, 16);
  us_ops_norm(d, 4, 4, 1e-6f, y, ones, none, again, NULL);
  equal(normed, fetched(again, 16), 16);
  float *da = tensor(NULL, 8), *db = tensor(NULL, 4);
  us_ops_concat_back(d, 4, 2, 2, 2, y, da, db);
  equal(da, ha, 8);
  equal(db, (float[]){20, 40, 60, 80}, 4);
  us_ops_add_rows(d, 4, 2, 2, b, a);
  equal(a, (float[]){11, 22, 33, 44, 15, 26, 37, 48}, 8);
  us_ops_add_rows_back(d, 4, 2, 2, a, ones);
  equal(ones, (float[]){27, 49, 71, 93}, 4);
  float* blocks = tensor(NULL, 8);
  us_ops_copy_blocks(d, 2, 2, a, 4, blocks + 2, 4);
  equal(blocks, (float[]){0, 0, 11, 22, 0, 0, 15, 26}, 8);
  us_ops_add_blocks(d, 2, 2, a, 4, blocks + 2, 4);
  equal(blocks, (float[]){0, 0, 22, 44, 0, 0, 30, 52}, 8);
  float *gain = tensor((float[]){2, 3}, 2), *bias = tensor((float[]){1, -1}, 2);
  us_ops_columns(d, 2, 2, b, gain, bias, none);
  equal(none, (float[]){21, 59, 61, 119}, 4);
}

// Blocks by index, rows of one value, what slots remember, and the actions that lead to a frame.
static void test_many_slots(void** state) {
  UsDevice* d = test_device();
  float x[12], *from = NULL, *to = tensor(NULL, 12);
  for (int i = 0; i < 12; ++i) x[i] = (float)(i + 1);
  from = tensor(x, 12);
  int* index = tensor_bytes((int[]){2, 0}, 2 * sizeof(int));
  us_ops_copy_rows(d, 4, 2, 2, index, from, 3, to + 1, 3);
  equal(to, (float[]){0, 7, 8, 0, 7, 8, 0, 1, 2, 0, 1, 2}, 12);
  us_ops_set_rows(d, 2, 3, index, tensor((float[]){-1, -2}, 2), to);
  equal(to, (float[]){-2, -2, -2, 0, 7, 8, -1, -1, -1, 0, 1, 2}, 12);
  us_ops_set_rows(d, 1, 3, tensor_bytes((int[]){-1}, sizeof(int)), from, to);  // is left out
  equal(to, (float[]){-2, -2, -2, 0, 7, 8, -1, -1, -1, 0, 1, 2}, 12);
  // Slots 1 and 0 of two, three pieces each: one goes on, the other begins.
  int *slot = tensor_bytes((int[]){1, 0}, 2 * sizeof(int)),
      *first = tensor_bytes((int[]){0, 1}, 2 * sizeof(int));
  us_ops_push(d, 2, 3, 2, slot, first, tensor((float[]){91, 92, 93, 94}, 4), from);
  equal(from, (float[]){93, 94, 93, 94, 93, 94, 9, 10, 11, 12, 91, 92}, 12);
  // Two candidates of one slot with two frames each of past and horizon, one number an action.
  float *before = tensor((float[]){7, 8, 5, -6}, 4), *actions = tensor((float[]){1, 2, 3, 4}, 4);
  float* y = tensor(NULL, 6);
  us_ops_window(d, 2, 2, slot, 2, 0, 2, 1, 1, 1, 0, before, actions, y);
  equal(y, (float[]){5, -6, 1, 5, -6, 3}, 6);
  us_ops_window(d, 2, 2, slot, 2, 1, 2, 1, 1, 1, 1, before, actions, y);
  equal(y, (float[]){-1, 1, 1, -1, 1, 1}, 6);
  us_ops_window(d, 2, 1, NULL, 2, 1, 2, 1, 1, 1, 0, before, actions, y);
  equal(y, (float[]){8, 1, 2, -6, 3, 4}, 6);
  us_ops_window(d, 2, 2, NULL, 2, 0, 2, 1, 1, 1, 0, NULL, actions, y);
  equal(y, (float[]){0, 0, 1, 0, 0, 3}, 6);
  // Of a leap of two blocks the first is known, then both; none behind the last is read.
  us_ops_window(d, 2, 2, slot, 2, 0, 1, 2, 1, 1, 0, tensor((float[]){7, 5}, 2), actions, y);
  equal(y, (float[]){5, 1, 0, 5, 3, 0}, 6);
  us_ops_window(d, 2, 2, slot, 2, 0, 1, 2, 2, 1, 0, tensor((float[]){7, 5}, 2), actions, y);
  equal(y, (float[]){5, 1, 2, 5, 3, 4}, 6);
  us_ops_window(d, 2, 2, slot, 2, 1, 1, 2, 1, 1, 0, tensor((float[]){7, 5}, 2), actions, y);
  equal(y, (float[]){1, 2, 0, 3, 4, 0}, 6);
}

static float* some_angles(int count) {
  float* angles = host_bytes((size_t)count * 2 * sizeof(float));
  for (int i = 0; i < count; ++i) {
    angles[2 * i] = cosf(0.3f * (float)i);
    angles[2 * i + 1] = sinf(0.3f * (float)i);
  }
  return angles;
}

static void test_rotate(void** state) {
  enum { ROWS = 6, PERIOD = 3, HEADS = 2, DIM = 10, N = ROWS * HEADS * DIM };
  float *x = noise(N, 1), *on = tensor(x, N);
  float* angles = tensor(some_angles(PERIOD * DIM / 2), PERIOD * DIM);
  us_ops_rotate(test_device(), ROWS, PERIOD, HEADS, DIM, angles, 1, on, HEADS * DIM);
  float* turned = fetched(on, N);
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
  us_ops_rotate(test_device(), ROWS, PERIOD, HEADS, DIM, angles, -1, on, HEADS * DIM);
  turned = fetched(on, N);
  for (int i = 0; i < N; ++i) close_to(turned[i], x[i], 1e-6);
}

// Keys are turned as us_ops_rotate does it, values are not; both lie block by block.
static void test_keys(void** state) {
  enum { ROWS = 6, TOKENS = 2, DEPTH = 2, HEADS = 2, DIM = 4, PERIOD = 2, W = HEADS * DIM };
  enum { FRAME = TOKENS * W, BLOCK = ROWS / TOKENS * FRAME, N = ROWS * DEPTH * 2 * W };
  UsDevice* d = test_device();
  float *both = noise(N, 1), *angles = tensor(some_angles(PERIOD * DIM / 2), PERIOD * DIM);
  float *k = tensor(NULL, DEPTH * BLOCK), *v = tensor(NULL, DEPTH * BLOCK);
  us_ops_keys(d, ROWS, TOKENS, DEPTH, HEADS, DIM, PERIOD, angles, tensor(both, N), k, v, BLOCK,
              FRAME);
  for (int l = 0; l < DEPTH; ++l) {
    float keys[ROWS * W], values[ROWS * W];
    for (int i = 0; i < ROWS * W; ++i) {
      const float* from = both + (i / W * DEPTH + l) * 2 * W + i % W;
      keys[i] = from[0], values[i] = from[W];
    }
    float* expected = tensor(keys, ROWS * W);
    us_ops_rotate(d, ROWS, PERIOD, HEADS, DIM, angles, 1, expected, W);
    float *a = fetched(k + l * BLOCK, BLOCK), *b = fetched(expected, BLOCK);
    for (int i = 0; i < BLOCK; ++i) close_to(a[i], b[i], 1e-6);
    equal(v + l * BLOCK, values, BLOCK);
  }
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
  UsDevice* d = test_device();
  int row = heads * dim;
  size_t queries = (size_t)(batch * tq * row), keys = (size_t)(batch * tk * row);
  float *q = noise((int)queries, 1), *k = noise((int)keys, 2), *v = noise((int)keys, 3);
  uint8_t mask[8192];
  UsRng rng = us_rng(3, US_RNG_TEST, 4, 0, 0);
  for (int i = 0; i < tq * tk; ++i) mask[i] = us_rng_below(&rng, 3) > 0 || i % tk == i / tk % tk;
  float *dq = tensor(q, queries), *dk = tensor(k, keys), *dv = tensor(v, keys);
  float *dy = tensor(NULL, queries), *again = tensor(NULL, queries);
  float* kept = tensor(NULL, (size_t)batch * heads * tq * tk);
  uint8_t* hides = masked ? tensor_bytes(mask, (size_t)(tq * tk)) : NULL;
  us_ops_attend(d, batch, tq, tk, heads, dim, NULL, 0, hides, dq, dk, dv, (size_t)(tk * row), dy,
                kept);
  us_ops_attend(d, batch, tq, tk, heads, dim, NULL, 0, hides, dq, dk, dv, (size_t)(tk * row), again,
                NULL);
  float *y = fetched(dy, queries), *probs = fetched(kept, (size_t)batch * heads * tq * tk);
  if (on_cpu()) equal(again, y, queries);
  float* other = fetched(again, queries);
  double p[1024], out[1024];
  for (int n = 0; n < batch * heads * tq; ++n) {
    int b = n / (heads * tq), h = n / tq % heads, i = n % tq;
    size_t at = (size_t)(b * tq + i) * row + h * dim, kat = (size_t)b * tk * row + h * dim;
    attend_naive(tk, dim, row, masked ? mask + i * tk : NULL, q + at, k + kat, v + kat, p, out);
    for (int j = 0; j < tk; ++j) close_to(probs[(size_t)n * tk + j], p[j], 2e-6);
    for (int e = 0; e < dim; ++e) close_to(y[at + e], out[e], 4e-6);
    for (int e = 0; e < dim; ++e) close_to(other[at + e], out[e], 4e-6);
  }
  drop_tensors();
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
  float* dy = tensor(NULL, T * DIM);
  us_ops_attend(test_device(), 1, T, T, 1, DIM, NULL, 0, NULL, tensor(q, T * DIM),
                tensor(k, T * DIM), tensor(v, T * DIM), T * DIM, dy, NULL);
  float* y = fetched(dy, T * DIM);
  double p[T], out[DIM];
  for (int i = 0; i < T; ++i) {
    attend_naive(T, DIM, DIM, NULL, q + i * DIM, k, v, p, out);
    for (int d = 0; d < DIM; ++d) close_to(y[i * DIM + d], out[d], 4e-6);
  }
}

static void check_losses(int n) {
  UsDevice* d = test_device();
  size_t count = (size_t)n;
  float *x = noise(n, 1), *t = noise(n, 2), *w = noise(n, 3);
  double huber = 0.0, weighted = 0.0, square = 0.0, squares = 0.0;
  for (int i = 0; i < n; ++i) {
    double off = fabs((double)x[i] - t[i]);
    huber += off < 0.7 ? off * off / 1.4 : off - 0.35;
    weighted += w[i / 3] * (off < 0.7 ? off * off / 1.4 : off - 0.35);
    square += w[i] * off * off;
    squares += (double)x[i] * x[i];
  }
  float *dx = tensor(NULL, count), *on = tensor(x, count), *to = tensor(t, count);
  double* sum = tensor_bytes(NULL, sizeof(double));
  us_ops_smooth_l1(d, count, 0.7f, 0.1f, on, to, NULL, 0, NULL, sum);
  close_to(sum_of(sum), 0.1 * huber, 1e-6 * huber);
  us_ops_smooth_l1(d, count, 0.7f, 0.1f, on, to, NULL, 0, dx, sum);
  close_to(sum_of(sum), 0.1 * huber, 1e-6 * huber);
  float* g = fetched(dx, count);
  for (int i = 0; i < n; ++i) {
    close_to(g[i], 0.1 * fmin(fmax(((double)x[i] - t[i]) / 0.7, -1), 1), 1e-6);
  }
  us_ops_smooth_l1(d, count, 0.7f, 0.1f, on, to, tensor(w, count), 3, dx, sum);
  close_to(sum_of(sum), 0.1 * weighted, 1e-6 * huber);
  g = fetched(dx, count);
  for (int i = 0; i < n; ++i) {
    double slope = fmin(fmax(((double)x[i] - t[i]) / 0.7, -1), 1);
    close_to(g[i], 0.1 * w[i / 3] * slope, 1e-6);
  }
  us_ops_squared_error(d, count, 0.5f, on, to, tensor(w, count), dx, sum);
  close_to(sum_of(sum), 0.5 * square, 1e-5 + 1e-6 * squares);
  g = fetched(dx, count);
  for (int i = 0; i < n; ++i) close_to(g[i], w[i] * ((double)x[i] - t[i]), 3e-6);
  us_ops_squared_error(d, count, 1.0f, on, to, NULL, dx, NULL);
  g = fetched(dx, count);
  for (int i = 0; i < n; ++i) close_to(g[i], 2 * ((double)x[i] - t[i]), 1e-6);
  us_ops_squared_error(d, count, 1.0f, on, on, NULL, NULL, sum);
  close_to(sum_of(sum), 0.0, 0.0);
  drop_tensors();
}

static void test_losses(void** state) {
  const int counts[] = {1, 101, 4096, 3 * 4096 + 5};
  for (int i = 0; i < 4; i++) check_losses(counts[i]);
  // Of nothing, the sum is 0.
  double* sum = tensor_bytes((double[]){3}, sizeof(double));
  float* x = tensor(NULL, 1);
  us_ops_smooth_l1(test_device(), 0, 0.7f, 1, x, x, NULL, 0, NULL, sum);
  close_to(sum_of(sum), 0, 0);
}

static void test_row_distance(void** state) {
  enum { ROWS = 4, WIDTH = 25 };
  float *x = noise(ROWS * WIDTH, 1), *t = noise(ROWS * WIDTH, 2), *out = tensor(NULL, 12);
  float *dx = tensor(x, ROWS * WIDTH), *dt = tensor(t, ROWS * WIDTH);
  const int from[] = {3, 1};
  float* weight = noise(WIDTH, 3);
  for (int way = 0; way < 4; way++) {
    int indexed = way % 2, weighted = way / 2;
    int* index = indexed ? tensor_bytes(from, sizeof(from)) : NULL;
    float* dw = weighted ? tensor(weight, WIDTH) : NULL;
    us_ops_row_distance(test_device(), ROWS, WIDTH, 2, index, dx, dt, dw, out, 3);
    float* distance = fetched(out, 12);
    for (int r = 0; r < ROWS; ++r) {
      double s = 0.0;
      int to = indexed ? from[r / 2] : r / 2;
      for (int i = 0; i < WIDTH; ++i) {
        double e = (double)x[r * WIDTH + i] - t[to * WIDTH + i];
        s += (weighted ? (double)weight[i] : 1) * e * e;
      }
      close_to(distance[3 * r], s / WIDTH, 1e-5);
      close_to(distance[3 * r + 1], 0.0, 0.0);
    }
  }
}

// Pieces of all sizes that lie with gaps between them; what is in the gaps stays.
enum { kFloats = 3 * US_PIECE };
static const UsPiece pieces[] = {
    {.at = 3, .count = US_PIECE, .factor = 1, .decay = 0.1f},
    {.at = 3 + US_PIECE, .count = 1, .factor = 0.5f},
    {.at = 2 * US_PIECE, .count = 1500, .factor = 2, .decay = 0.3f},
};
enum { kPieces = 3 };

static void test_gradient_sum(void** state) {
  for (int shards = 1; shards <= 3; shards += 2) {
    float *g = noise(shards * kFloats, 1), *on = tensor(g, (size_t)shards * kFloats);
    double *out = tensor_bytes(NULL, sizeof(double) * kPieces), squares[kPieces];
    us_ops_gradient_sum(test_device(), kPieces, tensor_bytes(pieces, sizeof(pieces)), shards,
                        kFloats, on, out);
    fetch(out, squares, sizeof(squares));
    float* sum = fetched(on, kFloats);
    for (int p = 0; p < kPieces; p++) {
      double square = 0;
      for (int i = 0; i < pieces[p].count; i++) {
        size_t at = pieces[p].at + (size_t)i;
        float all = g[at];
        for (int s = 1; s < shards; s++) all += g[(size_t)s * kFloats + at];
        assert_true(sum[at] == all);
        g[at] = all;
        square += (double)all * (double)all;
      }
      close_to(squares[p], square, 1e-12 * square);
    }
    assert_memory_equal(sum, g, kFloats * sizeof(float));
    drop_tensors();
  }
}

// The norm of (3, 4) is 5; under the limit nothing is clipped; without a norm, or after a loss that
// is none, there is no step any more.
static void test_clip_scale(void** state) {
  UsDevice* d = test_device();
  double* squares = tensor_bytes((double[]){9, 16}, 2 * sizeof(double));
  double *none = tensor_bytes((double[]){NAN}, sizeof(double)), *norm = tensor_bytes(NULL, 8);
  for (int broken = 0; broken < 2; broken++) {
    float* scale = tensor(NULL, 2);
    us_ops_clip_scale(d, 2, squares, 2, squares, 2, scale, norm);
    close_to(fetched(scale, 2)[0], 0.4, 1e-6);
    close_to(sum_of(norm), 5, 1e-12);
    us_ops_clip_scale(d, 2, squares, 0, NULL, 5, scale, norm);
    close_to(fetched(scale, 2)[0], 1, 0);
    if (broken) {
      us_ops_clip_scale(d, 1, none, 0, NULL, 5, scale, norm);
    } else {
      us_ops_clip_scale(d, 2, squares, 1, none, 5, scale, norm);
    }
    assert_true(isnan(fetched(scale, 2)[0]));
    us_ops_clip_scale(d, 2, squares, 0, NULL, 5, scale, norm);
    assert_true(isnan(fetched(scale, 2)[0]));
  }
  // More pieces than a block has threads.
  double many[1000];
  for (int i = 0; i < 1000; i++) many[i] = 4;
  float* scale = tensor(NULL, 2);
  us_ops_clip_scale(d, 1000, tensor_bytes(many, sizeof(many)), 0, NULL, 1, scale, norm);
  close_to(sum_of(norm), sqrt(4000), 1e-12);
}

// Numbers move to the nearer bound; what is no number stays.
static void test_clip(void** state) {
  float* x = tensor((float[]){-3, -1, 0.25f, INFINITY, NAN}, 5);
  us_ops_clip(test_device(), 5, -1, 1, x);
  float* got = fetched(x, 5);
  assert_true(got[0] == -1 && got[1] == -1 && got[2] == 0.25f && got[3] == 1 && isnan(got[4]));
}

static void test_adamw(void** state) {
  UsDevice* d = test_device();
  float *start = noise(kFloats, 1), *g = noise(kFloats, 2);
  float *x = tensor(start, kFloats), *m = tensor(NULL, kFloats), *v = tensor(NULL, kFloats);
  float *half = tensor((float[]){0.5f}, 1), *none = tensor((float[]){NAN}, 1);
  UsPiece* list = tensor_bytes(pieces, sizeof(pieces));
  double *rx = host_bytes(kFloats * sizeof(double)), *rm = host_bytes(kFloats * sizeof(double)),
         *rv = host_bytes(kFloats * sizeof(double));
  for (int i = 0; i < kFloats; ++i) rx[i] = start[i];
  for (int step = 1; step <= 5; ++step) {
    float* on = tensor(g, kFloats);
    double now[3];
    us_ops_adamw_when(0.01f, 0.9f, 0.99f, step, now);
    const double* when = tensor_bytes(now, sizeof(now));
    us_ops_adamw(d, kPieces, list, when, 0.9f, 0.99f, 1e-8f, half, on, m, v, x);
    us_ops_adamw(d, kPieces, list, when, 0.9f, 0.99f, 1e-8f, none, on, m, v, x);  // nothing
    for (int p = 0; p < kPieces; p++) {
      for (size_t i = pieces[p].at, end = i + (size_t)pieces[p].count; i < end; ++i) {
        double gi = 0.5 * g[i], rate = 0.01 * pieces[p].factor;
        rx[i] *= 1.0 - rate * pieces[p].decay;
        rm[i] = 0.9 * rm[i] + 0.1 * gi;
        rv[i] = 0.99 * rv[i] + 0.01 * gi * gi;
        rx[i] -= rate * (rm[i] / (1.0 - pow(0.9, step))) /
                 (sqrt(rv[i] / (1.0 - pow(0.99, step))) + 1e-8);
      }
    }
    for (int i = 0; i < kFloats; ++i) g[i] = -g[i] * 0.7f;
  }
  float* end = fetched(x, kFloats);
  for (int i = 0; i < kFloats; ++i) close_to(end[i], rx[i], 5e-6);
}

static void test_patches(void** state) {
  enum { N = 2, GH = 2, GW = 3, P = 4, BYTES = N * GH * GW * P * P * 3 };
  uint8_t frames[BYTES];
  const float mean[] = {0.4f, 0.5f, 0.6f}, std[] = {0.2f, 0.25f, 0.3f};
  for (int i = 0; i < BYTES; ++i) frames[i] = (uint8_t)(i * 37 % 256);
  float* to = tensor(NULL, BYTES);
  us_ops_patches(test_device(), N, GH, GW, P, tensor_bytes(frames, BYTES), mean, std, to);
  float* patches = fetched(to, BYTES);
  for (int i = 0; i < BYTES; ++i) {
    int px = i % P, py = i / P % P, c = i / (P * P) % 3, p = i / (P * P * 3);
    int row = p / (GH * GW) * GH * P + p / GW % GH * P + py, column = p % GW * P + px;
    close_to(patches[i], (frames[(row * GW * P + column) * 3 + c] / 255.0 - mean[c]) / std[c],
             2e-6);
  }
}

// Bytes as parts of 255, and numbers that are large against their spread.
static void test_inputs(void** state) {
  UsDevice* d = test_device();
  const uint8_t bytes[] = {0, 51, 255, 102};
  float* y = tensor(NULL, 4);
  us_ops_unit(d, 2, 2, tensor_bytes(bytes, 4), tensor((float[]){0.2f, 0.5f}, 2), y);
  float* got = fetched(y, 4);
  close_to(got[0], -0.2, 1e-7);
  close_to(got[1], -0.3, 1e-7);
  close_to(got[2], 0.8, 1e-7);
  close_to(got[3], -0.1, 1e-7);
  const double x[] = {1e6 + 0.25, 7, -2, 1e6 - 0.5, 8, -3};
  int* keep = tensor_bytes((int[]){2, 0}, 2 * sizeof(int));
  us_ops_standardise(d, 2, 3, 2, keep, tensor_bytes(x, sizeof(x)), tensor((float[]){1e6f, 0, 1}, 3),
                     tensor((float[]){4, 1, 0.5f}, 3), y);
  equal(y, (float[]){-1.5f, 1, -2, -2}, 4);
}

// All bfloat16 there are, in both places of a pair, and none behind the end.
static void test_widen(void** state) {
  enum { N = 1 << 16, SPARE = 8 };
  uint16_t* from = host_bytes((N + 1) * sizeof(uint16_t));
  float* want = host_bytes(N * sizeof(float));
  for (uint32_t i = 0; i < N; ++i) {
    uint32_t bits = i << 16;
    from[i + 1] = (uint16_t)i;
    memcpy(want + i, &bits, sizeof(bits));
  }
  uint16_t* x = tensor_bytes(from, (N + 1) * sizeof(uint16_t));
  for (int off = 0; off < 2; ++off) {
    float* y = tensor(NULL, N + SPARE);
    us_ops_widen(test_device(), N - (size_t)off, x + 1 + off, y);
    assert_memory_equal(fetched(y, N), want + off, (N - (size_t)off) * sizeof(float));
    equal(y + N - off, (float[SPARE]){0}, SPARE);
  }
  us_ops_widen(test_device(), 0, NULL, NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(test_##name, drop_tensors_of)
  const struct CMUnitTest tests[] = {
      TEST(linear),        TEST(gelu_accuracy),
      TEST(gelu_extremes), TEST(norm),
      TEST(rows),          TEST(many_slots),
      TEST(rotate),        TEST(keys),
      TEST(attend),        TEST(attend_in_pieces),
      TEST(losses),        TEST(row_distance),
      TEST(gradient_sum),  TEST(clip),
      TEST(clip_scale),    TEST(adamw),
      TEST(patches),       TEST(inputs),
      TEST(widen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
