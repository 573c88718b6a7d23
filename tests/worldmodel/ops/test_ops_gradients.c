// Every backward op against central differences of its forward op: the loss is the projection of
// the output on fixed random numbers, sum c y.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "worldmodel/base/rng.h"

enum { MOST = 4096 };
static float x[MOST], w[MOST], b[MOST], k[MOST], v[MOST];  // inputs
static float y[MOST], c[MOST];                             // output, projection
static float dx[MOST], dw[MOST], db[MOST];                 // gradients
static uint8_t mask[MOST];

// The same as tensors, and values that are kept.
static struct {
  float *x, *w, *b, *k, *v, *y, *c, *dx, *dw, *db, *probs, *stats;
  uint8_t* mask;
  double* sum;
} t;

static void noise(int n, int stream, float* out) {
  UsRng rng = us_rng(11, US_RNG_TEST, (uint64_t)stream, 0, 0);
  us_rng_fill_normal(&rng, out, n);
}

static void put(float* to, const float* from) {
  us_ops_put(test_device(), to, from, MOST);
}

// Inputs as the host has them now.
static void put_all(void) {
  put(t.x, x), put(t.w, w), put(t.b, b), put(t.k, k), put(t.v, v);
  us_ops_put_bytes(test_device(), t.mask, mask, sizeof mask);
}

static void get_gradients(void) {
  fetch(t.dx, dx, sizeof dx), fetch(t.dw, dw, sizeof dw), fetch(t.db, db, sizeof db);
}

static void fresh(void) {
  float* all[] = {x, w, b, k, v, c};
  for (int i = 0; i < 6; ++i) noise(MOST, i + 1, all[i]);
  float** tensors[] = {&t.x, &t.w,  &t.b,  &t.k,  &t.v,     &t.y,
                       &t.c, &t.dx, &t.dw, &t.db, &t.probs, &t.stats};
  for (size_t i = 0; i < sizeof tensors / sizeof *tensors; ++i) *tensors[i] = tensor(NULL, MOST);
  t.mask = tensor_bytes(NULL, sizeof mask);
  t.sum = tensor_bytes(NULL, sizeof(double));
  put(t.c, c);
  put_all();
}

static double project(int n) {
  double s = 0.0;
  fetch(t.y, y, (size_t)n * sizeof(float));
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
  put_all();
  us_ops_linear(test_device(), ROWS, OUT, IN, t.x, t.w, t.b, t.y);
  return project(ROWS * OUT);
}

static void test_linear(void** state) {
  fresh();
  us_ops_linear_back(test_device(), ROWS, OUT, IN, t.x, t.w, t.c, t.dx, t.dw, t.db);
  get_gradients();
  check("dx", loss_linear, ROWS * IN, x, dx);
  check("dw", loss_linear, OUT * IN, w, dw);
  check("db", loss_linear, OUT, b, db);
  float once[OUT * IN];
  memcpy(once, dw, sizeof once);
  us_ops_linear_back(test_device(), ROWS, OUT, IN, t.x, t.w, t.c, NULL, t.dw, NULL);  // accumulates
  get_gradients();
  for (int i = 0; i < OUT * IN; ++i) assert_true(fabsf(dw[i] - 2.0f * once[i]) < 1e-4f);
}

// ---- element by element, rows and columns ----

static double loss_gelu(void) {
  put_all();
  us_ops_gelu(test_device(), 100, t.x, t.y);
  return project(100);
}

static void test_gelu(void** state) {
  fresh();
  us_ops_gelu_back(test_device(), 100, t.x, t.c, t.dx);
  put(t.dw, c);
  us_ops_gelu_back(test_device(), 100, t.x, t.dw, t.dw);  // in place
  get_gradients();
  check("dx", loss_gelu, 100, x, dx);
  assert_memory_equal(dx, dw, 100 * sizeof(float));
}

enum { WIDTH = 37 };

static double loss_norm(void) {
  put_all();
  us_ops_norm(test_device(), ROWS, WIDTH, 1e-3f, t.x, t.w, t.b, t.y, t.stats);
  return project(ROWS * WIDTH);
}

static void test_norm(void** state) {
  fresh();
  loss_norm();
  us_ops_norm_back(test_device(), ROWS, WIDTH, t.x, t.w, t.stats, t.c, t.dx, t.dw, t.db);
  get_gradients();
  check("dx", loss_norm, ROWS * WIDTH, x, dx);
  check("dgain", loss_norm, WIDTH, w, dw);
  check("dbias", loss_norm, WIDTH, b, db);
  put_all(), loss_norm();
  us_ops_norm_back(test_device(), ROWS, WIDTH, t.x, t.w, t.stats, t.c, t.k, NULL, NULL);
  fetch(t.k, k, sizeof k);
  assert_memory_equal(k, dx, ROWS * WIDTH * sizeof(float));
}

static double loss_columns(void) {
  put_all();
  us_ops_columns(test_device(), ROWS, WIDTH, t.x, t.w, t.b, t.y);
  return project(ROWS * WIDTH);
}

static void test_columns(void** state) {
  fresh();
  us_ops_columns_back(test_device(), ROWS, WIDTH, t.x, t.w, t.c, t.dx, t.dw);
  get_gradients();
  check("dx", loss_columns, ROWS * WIDTH, x, dx);
  check("dgain", loss_columns, WIDTH, w, dw);
}

static double loss_add_rows(void) {
  put_all(), put(t.y, w);
  us_ops_add_rows(test_device(), ROWS, 2, WIDTH, t.x, t.y);
  return project(ROWS * WIDTH);
}

static void test_add_rows(void** state) {
  fresh();
  us_ops_add_rows_back(test_device(), ROWS, 2, WIDTH, t.c, t.dx);
  get_gradients();
  check("dx", loss_add_rows, 2 * WIDTH, x, dx);
}

static double loss_concat(void) {
  put_all();
  us_ops_concat_norm(test_device(), ROWS, 7, 4, 3, 1, t.x, t.w, t.b, t.k, t.y, t.probs, NULL);
  return project(ROWS * 11);
}

static void test_concat(void** state) {
  fresh();
  put(t.dx, x), put(t.dw, x);  // overwritten
  us_ops_concat_back(test_device(), ROWS, 7, 4, 3, t.c, t.dx, t.dw);
  get_gradients();
  check("da", loss_concat, ROWS * 7, x, dx);
  check("db", loss_concat, ROWS / 3 * 4, w, dw);
}

// ---- attention ----

static double loss_rotate(void) {
  put_all(), put(t.y, x);
  us_ops_rotate(test_device(), ROWS, 3, 2, 8, t.w, 1, t.y, 16);
  return project(ROWS * 16);
}

static void test_rotate(void** state) {
  fresh();
  for (int i = 0; i < 3 * 4; ++i) w[2 * i + 1] = sinf(w[2 * i]), w[2 * i] = cosf(w[2 * i]);
  put_all(), put(t.dx, c);
  us_ops_rotate(test_device(), ROWS, 3, 2, 8, t.w, -1, t.dx, 16);
  get_gradients();
  check("dx", loss_rotate, ROWS * 16, x, dx);
}

static int batch, tq, tk, heads, dim;

static double loss_attend(void) {
  put_all();
  us_ops_attend(test_device(), batch, tq, tk, heads, dim, NULL, 0, t.mask, t.x, t.k, t.v,
                (size_t)(tk * heads * dim), t.y, t.probs);
  return project(batch * tq * heads * dim);
}

static void check_attend(int n, int queries, int keys, int h, int d) {
  fresh();
  batch = n, tq = queries, tk = keys, heads = h, dim = d;
  for (int i = 0; i < tq * tk; ++i) mask[i] = i % tk <= i / tk;
  loss_attend();
  put(t.dx, c), put(t.dw, c), put(t.db, c);  // overwritten
  us_ops_attend_back(test_device(), batch, tq, tk, heads, dim, t.x, t.k, t.v, t.probs, t.c, t.dx,
                     t.dw, t.db);
  get_gradients();
  check("dq", loss_attend, batch * tq * heads * dim, x, dx);
  check("dk", loss_attend, batch * tk * heads * dim, k, dw);
  check("dv", loss_attend, batch * tk * heads * dim, v, db);
  drop_tensors();
}

static void test_attend(void** state) {
  check_attend(3, 1, 2, 4, 16);
  check_attend(2, 3, 3, 2, 6);
  check_attend(2, 5, 17, 1, 8);
  check_attend(1, 24, 24, 2, 12);  // by BLAS on the CPU
  check_attend(1, 5, 40, 1, 10);   // in tiles on a GPU
}

// ---- losses ----

static double sum_of(void) {
  double sum;
  fetch(t.sum, &sum, sizeof sum);
  return sum;
}
static double loss_smooth_l1(void) {
  put_all();
  us_ops_smooth_l1(test_device(), 100, 0.5f, 0.3f, t.x, t.w, NULL, 0, NULL, t.sum);
  return sum_of();
}
static double loss_weighted(void) {
  put_all();
  us_ops_smooth_l1(test_device(), 100, 0.5f, 0.3f, t.x, t.w, t.v, 7, NULL, t.sum);
  return sum_of();
}
static double loss_square(void) {
  put_all();
  us_ops_squared_error(test_device(), 100, 0.3f, t.x, t.w, t.v, NULL, t.sum);
  return sum_of();
}
static double loss_plain(void) {
  put_all();
  us_ops_squared_error(test_device(), 100, 0.3f, t.x, t.w, NULL, NULL, t.sum);
  return sum_of();
}

static void test_losses(void** state) {
  fresh();
  us_ops_smooth_l1(test_device(), 100, 0.5f, 0.3f, t.x, t.w, NULL, 0, t.dx, t.sum);
  get_gradients();
  check("smooth_l1", loss_smooth_l1, 100, x, dx);
  us_ops_smooth_l1(test_device(), 100, 0.5f, 0.3f, t.x, t.w, t.v, 7, t.dx, t.sum);
  get_gradients();
  check("weighted smooth_l1", loss_weighted, 100, x, dx);
  us_ops_squared_error(test_device(), 100, 0.3f, t.x, t.w, t.v, t.dx, t.sum);
  get_gradients();
  check("squared_error", loss_square, 100, x, dx);
  us_ops_squared_error(test_device(), 100, 0.3f, t.x, t.w, NULL, t.dx, t.sum);
  get_gradients();
  check("unweighted", loss_plain, 100, x, dx);
}

static double loss_draw(void) {
  put_all();
  us_ops_draw(test_device(), 20, 3, t.x, t.w, t.y);
  us_ops_draw_back(test_device(), 20, 3, 0.3f, t.x, NULL, NULL, NULL, t.sum);
  return project(60) + sum_of();
}

static void test_draw(void** state) {
  fresh();
  us_ops_draw_back(test_device(), 20, 3, 0.3f, t.x, t.w, t.c, t.dx, t.sum);
  get_gradients();
  check("draw", loss_draw, 120, x, dx);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(test_##name, drop_tensors_of)
  const struct CMUnitTest tests[] = {
      TEST(linear), TEST(gelu),   TEST(norm),   TEST(columns), TEST(add_rows),
      TEST(concat), TEST(rotate), TEST(attend), TEST(losses),  TEST(draw),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
