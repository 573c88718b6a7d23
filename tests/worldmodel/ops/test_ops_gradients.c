// Every backward op against central differences of its forward op: the loss is the projection of
// the output on fixed random numbers, sum c y.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worldmodel/base/rng.h"
#include "worldmodel/ops.h"

enum { MOST = 4096 };
static float x[MOST], w[MOST], b[MOST], k[MOST], v[MOST];  // inputs
static float y[MOST], c[MOST], probs[MOST], stats[MOST];   // output, projection, kept values
static float dx[MOST], dw[MOST], db[MOST];                 // gradients
static uint8_t mask[MOST];

static void noise(int n, int stream, float* out) {
  UsRng rng = us_rng(11, US_RNG_TEST, (uint64_t)stream, 0, 0);
  us_rng_fill_normal(&rng, out, n);
}

static void fresh(void** state) {
  float* all[] = {x, w, b, k, v, c};
  for (int i = 0; i < 6; ++i) noise(MOST, i + 1, all[i]);
  memset(dx, 0, sizeof dx), memset(dw, 0, sizeof dw), memset(db, 0, sizeof db);
}

static double project(int n) {
  double s = 0.0;
  for (int i = 0; i < n; ++i) s += (double)c[i] * y[i];
  return s;
}

// Compares gradient (n) with central differences of `loss` in each element of at (n), or in 64 of
// them when there are more. The tolerance is relative to the gradient's size.
static void check(const char* what, double (*loss)(void), int n, float* at, const float* gradient) {
  double size = 1e-3, step = 4e-3;
  int stride = n > 64 ? n / 64 : 1;
  for (int i = 0; i < n; ++i) size += fabs((double)gradient[i]) / n;
  for (int i = 0; i < n; i += stride) {
    float kept = at[i];
    at[i] = (float)(kept + step);
    double high = loss(), up = at[i];
    at[i] = (float)(kept - step);
    double slope = (high - loss()) / (up - at[i]);
    at[i] = kept;
    if (!(fabs(slope - gradient[i]) <= 1e-2 * size + 2e-3 * fabs(slope))) {
      fail_msg("%s[%d]: gradient %.6g, difference %.6g", what, i, gradient[i], slope);
    }
  }
}

// ---- linear ----

enum { ROWS = 6, OUT = 5, IN = 19 };

static double loss_linear(void) {
  us_ops_linear(us_device_cpu(), ROWS, OUT, IN, x, w, b, y);
  return project(ROWS * OUT);
}

static void test_linear(void** state) {
  fresh(state);
  us_ops_linear_back(us_device_cpu(), ROWS, OUT, IN, x, w, c, dx, dw, db);
  check("dx", loss_linear, ROWS * IN, x, dx);
  check("dw", loss_linear, OUT * IN, w, dw);
  check("db", loss_linear, OUT, b, db);
  float once[OUT * IN];
  memcpy(once, dw, sizeof once);
  us_ops_linear_back(us_device_cpu(), ROWS, OUT, IN, x, w, c, NULL, dw, NULL);  // accumulates
  for (int i = 0; i < OUT * IN; ++i) assert_true(fabsf(dw[i] - 2.0f * once[i]) < 1e-4f);
}

// ---- element by element, rows and columns ----

static double loss_gelu(void) {
  us_ops_gelu(us_device_cpu(), 100, x, y);
  return project(100);
}

static void test_gelu(void** state) {
  fresh(state);
  us_ops_gelu_back(us_device_cpu(), 100, x, c, dx);
  check("dx", loss_gelu, 100, x, dx);
  memcpy(dw, c, sizeof dw);
  us_ops_gelu_back(us_device_cpu(), 100, x, dw, dw);  // in place
  assert_memory_equal(dx, dw, 100 * sizeof(float));
}

enum { WIDTH = 37 };

static double loss_norm(void) {
  us_ops_norm(us_device_cpu(), ROWS, WIDTH, 1e-3f, x, w, b, y, stats);
  return project(ROWS * WIDTH);
}

static void test_norm(void** state) {
  fresh(state);
  loss_norm();
  us_ops_norm_back(us_device_cpu(), ROWS, WIDTH, x, w, stats, c, dx, dw, db);
  check("dx", loss_norm, ROWS * WIDTH, x, dx);
  check("dgain", loss_norm, WIDTH, w, dw);
  check("dbias", loss_norm, WIDTH, b, db);
  memset(k, 0, sizeof k);
  us_ops_norm_back(us_device_cpu(), ROWS, WIDTH, x, w, stats, c, k, NULL, NULL);
  assert_memory_equal(k, dx, ROWS * WIDTH * sizeof(float));
}

static double loss_columns(void) {
  us_ops_columns(us_device_cpu(), ROWS, WIDTH, x, w, b, y);
  return project(ROWS * WIDTH);
}

static void test_columns(void** state) {
  fresh(state);
  us_ops_columns_back(us_device_cpu(), ROWS, WIDTH, x, w, c, dx, dw);
  check("dx", loss_columns, ROWS * WIDTH, x, dx);
  check("dgain", loss_columns, WIDTH, w, dw);
}

static double loss_add_rows(void) {
  memcpy(y, w, sizeof y);
  us_ops_add_rows(us_device_cpu(), ROWS, 2, WIDTH, x, y);
  return project(ROWS * WIDTH);
}

static void test_add_rows(void** state) {
  fresh(state);
  us_ops_add_rows_back(us_device_cpu(), ROWS, 2, WIDTH, c, dx);
  check("dx", loss_add_rows, 2 * WIDTH, x, dx);
}

static double loss_concat(void) {
  static const float gain[11], bias[11];
  static float normed[MOST];
  us_ops_concat_norm(us_device_cpu(), ROWS, 7, 4, 3, 1, x, w, gain, bias, y, normed, NULL);
  return project(ROWS * 11);
}

static void test_concat(void** state) {
  fresh(state);
  noise(MOST, 9, dx), noise(MOST, 9, dw);  // overwritten
  us_ops_concat_back(us_device_cpu(), ROWS, 7, 4, 3, c, dx, dw);
  check("da", loss_concat, ROWS * 7, x, dx);
  check("db", loss_concat, ROWS / 3 * 4, w, dw);
}

// ---- attention ----

static double loss_rotate(void) {
  memcpy(y, x, sizeof y);
  us_ops_rotate(us_device_cpu(), ROWS, 3, 2, 8, w, 1, y, 16);
  return project(ROWS * 16);
}

static void test_rotate(void** state) {
  fresh(state);
  for (int i = 0; i < 3 * 4; ++i) w[2 * i + 1] = sinf(w[2 * i]), w[2 * i] = cosf(w[2 * i]);
  memcpy(dx, c, sizeof dx);
  us_ops_rotate(us_device_cpu(), ROWS, 3, 2, 8, w, -1, dx, 16);
  check("dx", loss_rotate, ROWS * 16, x, dx);
}

static int batch, tq, tk, heads, dim;

static double loss_attend(void) {
  us_ops_attend(us_device_cpu(), batch, tq, tk, heads, dim, NULL, 0, mask, x, k, v,
                (size_t)(tk * heads * dim), y, probs);
  return project(batch * tq * heads * dim);
}

static void check_attend(int n, int queries, int keys, int h, int d) {
  fresh(NULL);
  batch = n, tq = queries, tk = keys, heads = h, dim = d;
  for (int i = 0; i < tq * tk; ++i) mask[i] = i % tk <= i / tk;
  loss_attend();
  noise(MOST, 9, dx), noise(MOST, 9, dw), noise(MOST, 9, db);  // overwritten
  us_ops_attend_back(us_device_cpu(), batch, tq, tk, heads, dim, x, k, v, probs, c, dx, dw, db);
  check("dq", loss_attend, batch * tq * heads * dim, x, dx);
  check("dk", loss_attend, batch * tk * heads * dim, k, dw);
  check("dv", loss_attend, batch * tk * heads * dim, v, db);
}

static void test_attend(void** state) {
  check_attend(3, 1, 2, 4, 16);
  check_attend(2, 3, 3, 2, 6);
  check_attend(2, 5, 17, 1, 8);
  check_attend(1, 24, 24, 2, 12);  // by BLAS
}

// ---- losses ----

static double loss_smooth_l1(void) {
  double sum;
  us_ops_smooth_l1(us_device_cpu(), 100, 0.5f, 0.3f, x, w, NULL, &sum);
  return sum;
}
static double loss_square(void) {
  double sum;
  us_ops_squared_error(us_device_cpu(), 100, 0.3f, x, w, v, NULL, &sum);
  return sum;
}
static double loss_plain(void) {
  double sum;
  us_ops_squared_error(us_device_cpu(), 100, 0.3f, x, w, NULL, NULL, &sum);
  return sum;
}

static void test_losses(void** state) {
  fresh(state);
  double sum;
  us_ops_smooth_l1(us_device_cpu(), 100, 0.5f, 0.3f, x, w, dx, &sum);
  check("smooth_l1", loss_smooth_l1, 100, x, dx);
  us_ops_squared_error(us_device_cpu(), 100, 0.3f, x, w, v, dx, &sum);
  check("squared_error", loss_square, 100, x, dx);
  us_ops_squared_error(us_device_cpu(), 100, 0.3f, x, w, NULL, dx, &sum);
  check("unweighted", loss_plain, 100, x, dx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_linear),   cmocka_unit_test(test_gelu),
      cmocka_unit_test(test_norm),     cmocka_unit_test(test_columns),
      cmocka_unit_test(test_add_rows), cmocka_unit_test(test_concat),
      cmocka_unit_test(test_rotate),   cmocka_unit_test(test_attend),
      cmocka_unit_test(test_losses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
