// The success head: it learns a rule that is known, says what its equations say, and its figures
// are those of a plain count.

#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/success_head.h"
#include "worldmodel/tensor_file.h"

enum { kTokens = 3, kDim = 4, kOne = kTokens * kDim };
static const double radius = 0.5;

static char path[] = "/tmp/us_success_XXXXXX";

// Two points on a plane, each shown by bent numbers; solved within the radius. `from` NULL: nothing
// is ever solved.
static void points(void* from, int held, int64_t step, int b, float* now, float* goal, int* yes) {
  UsRng r = us_rng(11, US_RNG_TEST, (uint64_t)step, (uint64_t)b, (uint64_t)held);
  const double near = us_rng_below(&r, 2) ? 0.6 : 2;
  double p[2], g[2];
  for (int i = 0; i < 2; i++) {
    p[i] = us_rng_range(&r, -2, 2);
    g[i] = p[i] + us_rng_range(&r, -near, near);
  }
  for (int k = 0; k < 2; k++) {
    const double* x = k ? g : p;
    float* to = k ? goal : now;
    for (int i = 0; i < kOne; i++) to[i] = (float)sin((0.3 + 0.05 * i) * x[i % 2] + i);
  }
  *yes = from && hypot(p[0] - g[0], p[1] - g[1]) <= radius;
}

static UsSuccessHead* fit(int steps, int held) {
  static int any;
  const UsSuccessConfig c = {.tokens = kTokens,
                             .dim = kDim,
                             .steps = steps,
                             .held = held,
                             .seed = 5,
                             .device = test_device()};
  UsSuccessHead* h;
  if (us_success_fit(&c, points, &any, &h) != US_OK) fail_msg("%s", us_message());
  return h;
}

// Margins of held-back pairs 0 .. n - 1, `rows` at a time; whether each is solved.
static void margins(const UsSuccessHead* h, int n, int rows, float* out, int* yes) {
  UsSuccessWork* w = us_success_work_create(h, rows);
  float *now = malloc((size_t)n * kOne * sizeof(float)), *goal = malloc((size_t)n * kOne * 4);
  assert_non_null(w);
  for (int i = 0; i < n; i++) points(&n, 1, 0, i, now + i * kOne, goal + i * kOne, &yes[i]);
  float *a = tensor(now, (size_t)n * kOne), *b = tensor(goal, (size_t)n * kOne);
  float* y = tensor(NULL, (size_t)n);
  for (int i = 0; i < n; i += rows) {
    us_success_margin(h, w, rows, a + i * kOne, b + i * kOne, y + i);
  }
  fetch(y, out, (size_t)n * sizeof(float));
  us_success_work_destroy(h, w);
  free(now);
  free(goal);
}

// ---- learning, and the figures ----

static void test_learns_a_rule(void** state) {
  enum { kPairs = 512 };
  UsSuccessHead* h = fit(emulated() ? 60 : 600, kPairs);
  const UsSuccessFigures* f = us_success_figures(h);
  float y[kPairs];
  int yes[kPairs];
  margins(h, kPairs, 128, y, yes);
  // The figures, counted pair by pair of pairs.
  double above = 0;
  int solved = 0, called = 0, hits = 0;
  for (int i = 0; i < kPairs; i++) {
    solved += yes[i];
    called += y[i] > 0;
    hits += yes[i] && y[i] > 0;
    for (int k = 0; k < kPairs; k++) {
      if (yes[i] && !yes[k]) above += y[i] > y[k] ? 1 : y[i] == y[k] ? 0.5 : 0;
    }
  }
  assert_true(f->pairs == kPairs && f->solved == solved && solved > 50);
  assert_float_equal(f->auroc, above / solved / (kPairs - solved), 1e-4);
  assert_int_equal(called, solved);
  assert_float_equal(f->hits, (double)hits / solved, 1e-6);
  assert_float_equal(f->alarms, (double)(called - hits) / (kPairs - solved), 1e-6);
  if (!emulated() && f->auroc < 0.985) fail_msg("AUROC %.4f", f->auroc);
  us_success_destroy(h);
}

// ---- the equations ----

static double* numbers(const UsTensors* t, const char* name, int rank, int64_t rows,
                       int64_t columns) {
  const int64_t shape[2] = {rows, columns};
  const size_t n = (size_t)(rows * (rank > 1 ? columns : 1));
  float* x = malloc(n * sizeof(float));
  double* out = host_bytes(n * sizeof(double));
  if (us_tensors_read(t, name, rank, shape, x) != US_OK) fail_msg("%s", us_message());
  for (size_t i = 0; i < n; i++) out[i] = (double)x[i];
  free(x);
  return out;
}

// y (out) = w x + b, bent where asked for.
static void layer(const UsTensors* t, int number, int out, int in, int bend, const double* x,
                  double* y) {
  char name[8];
  snprintf(name, sizeof(name), "w%d", number);
  const double* w = numbers(t, name, 2, out, in);
  name[0] = 'b';
  const double* b = numbers(t, name, 1, out, 0);
  for (int i = 0; i < out; i++) {
    y[i] = b[i];
    for (int k = 0; k < in; k++) y[i] += w[i * in + k] * x[k];
    if (bend) y[i] *= 0.5 * (1 + erf(y[i] / sqrt(2)));
  }
}

static void embed(const UsTensors* t, const float* z, double* e) {
  double x[kDim], p[kOne], h[256];
  for (int g = 0; g < kTokens; g++) {
    for (int i = 0; i < kDim; i++) x[i] = (double)z[g * kDim + i];
    layer(t, 0, kDim, kDim, 0, x, p + g * kDim);
  }
  layer(t, 1, 256, kOne, 1, p, h);
  layer(t, 2, 48, 256, 0, h, e);
}

// A saved head is what its equations say of the file's tensors, and opens to the same bits.
static void test_equations_and_file(void** state) {
  enum { kPairs = 8 };
  UsSuccessHead *h = fit(20, 256), *again;
  if (us_success_save(h, path) != US_OK) fail_msg("%s", us_message());
  if (us_success_open(path, kTokens, kDim, test_device(), &again) != US_OK) {
    fail_msg("%s", us_message());
  }
  float y[kPairs], z[kPairs];
  int yes[kPairs];
  margins(h, kPairs, 1, y, yes);
  margins(again, kPairs, 1, z, yes);
  assert_memory_equal(y, z, sizeof(y));
  assert_float_equal(us_success_figures(again)->auroc, us_success_figures(h)->auroc, 1e-6);
  assert_int_equal(us_success_figures(again)->pairs, 256);
  UsTensors* t;
  assert_int_equal(us_tensors_open(path, &t), US_OK);
  for (int i = 0; i < kPairs; i++) {
    float now[kOne], goal[kOne];
    double a[48], b[48], last[64], want;
    points(&t, 1, 0, i, now, goal, &yes[i]);
    embed(t, now, a);
    embed(t, goal, b);
    for (int k = 0; k < 48; k++) a[k] = (a[k] - b[k]) * (a[k] - b[k]);
    layer(t, 3, 64, 48, 1, a, last);
    layer(t, 4, 1, 64, 0, last, &want);
    assert_float_equal((double)y[i], want, 1e-4);
  }
  us_tensors_close(t);
  us_success_destroy(h);
  us_success_destroy(again);
}

// ---- what it refuses ----

static void test_refuses(void** state) {
  const UsSuccessConfig c = {
      .tokens = kTokens, .dim = kDim, .steps = 1, .held = 64, .device = test_device()};
  UsSuccessHead* h;
  assert_int_equal(us_success_fit(&c, points, NULL, &h), US_FORMAT);
  assert_non_null(strstr(us_message(), "none that is solved"));
  assert_null(h);
  // A head of other latents, and a file that is none.
  h = fit(1, 64);
  assert_int_equal(us_success_save(h, path), US_OK);
  us_success_destroy(h);
  assert_int_equal(us_success_open(path, kTokens, kDim + 1, test_device(), &h), US_FORMAT);
  assert_non_null(strstr(us_message(), path));
  assert_null(h);
  assert_int_equal(truncate(path, 1000), 0);
  assert_int_equal(us_success_open(path, kTokens, kDim, test_device(), &h), US_FORMAT);
  assert_null(h);
  assert_int_equal(us_success_open("/nowhere", kTokens, kDim, test_device(), &h), US_IO);
}

int main(void) {
  int fd = mkstemp(path);
  if (fd < 0) return 1;
  close(fd);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(test_learns_a_rule, drop_tensors_of),
      cmocka_unit_test_teardown(test_equations_and_file, drop_tensors_of),
      cmocka_unit_test_teardown(test_refuses, drop_tensors_of)};
  int failed = cmocka_run_group_tests_name("success head", tests, NULL, NULL);
  unlink(path);
  return failed;
}
