// Products, attention and moved rows at sizes around the borders of a GPU's tiles, against double
// loops; and, on a GPU, the same bits for any number of rows and any place among them.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/on_device.h"
#include "worldmodel/base/rng.h"

enum { SPARE = 8 };  // floats behind a result, which stay as they are

static float* noise(size_t n, int a) {
  float* x = host_bytes(n * sizeof(float));
  UsRng rng = us_rng(13, US_RNG_TEST, (uint64_t)a, 0, 0);
  us_rng_fill_normal(&rng, x, (int)n);
  return x;
}

// Tensor memory that begins `off` floats behind a multiple of 64 bytes.
static float* shifted(const float* host, size_t n, int off) {
  float* x = tensor(NULL, n + (size_t)off);
  if (host) us_ops_put(test_device(), x + off, host, n);
  return x + off;
}

// For results of n floats.
static float* result(size_t n, int off) {
  float* host = host_bytes((n + SPARE) * sizeof(float));
  for (size_t i = 0; i < n + SPARE; ++i) host[i] = 77.0f;
  return shifted(host, n + SPARE, off);
}

static float* results(const char* what, const float* x, size_t n) {
  float* host = fetched(x, n + SPARE);
  for (int i = 0; i < SPARE; ++i) {
    if (host[n + (size_t)i] != 77.0f) fail_msg("%s: written behind its end", what);
  }
  return host;
}

static void close_to(const char* what, size_t i, double got, double expected, double size) {
  if (!(fabs(got - expected) <= 1e-5 * (size + fabs(expected)))) {
    fail_msg("%s[%zu]: got %.9g, expected %.9g", what, i, got, expected);
  }
}

// ---- dense ----

static double gelu(double x) {
  return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
}

// x w' / sqrt(in), then by the bits of kind: bias, gelu, residual of period 3, up in place of y,
// and rows that begin anywhere.
static void check_dense(int rows, int out, int in, int kind) {
  size_t count = (size_t)rows * (size_t)out, inputs = (size_t)rows * (size_t)in;
  int transposed = kind & 1, off = kind >> 1 & 1, bias = kind >> 2 & 1, active = kind >> 3 & 1;
  int residual = kind >> 4 & 1, inplace = kind >> 5 & 1;
  float *x = noise(inputs, 1), *w = noise((size_t)out * (size_t)in, 2), *b = noise((size_t)out, 3);
  float *add = noise((size_t)out * 3, 4), *turned = noise((size_t)out * (size_t)in, 2);
  for (int i = 0; i < out * in; ++i) w[i] /= sqrtf((float)in);
  for (int i = 0; i < out * in; ++i) turned[i % in * out + i / in] = w[i];
  UsDense s = {.rows = rows,
               .out = out,
               .in = in,
               .x = shifted(x, inputs, off),
               .w = shifted(transposed ? turned : w, (size_t)out * (size_t)in, off),
               .transposed = transposed,
               .b = bias ? shifted(b, (size_t)out, off) : NULL,
               .add = residual ? shifted(add, (size_t)out * 3, off) : NULL,
               .period = 3,
               .y = result(count, off)};
  if (active) s.up = inplace ? s.y : result(count, off);
  us_ops_dense(test_device(), &s);
  float *y = results("y", s.y, count), *up = active ? results("up", s.up, count) : NULL;
  for (size_t i = 0; i < count; ++i) {
    int r = (int)(i / (size_t)out), o = (int)(i % (size_t)out);
    double sum = bias ? b[o] : 0.0;
    for (int j = 0; j < in; ++j) sum += (double)x[(size_t)r * in + j] * w[(size_t)o * in + j];
    if (active && !inplace) close_to("up", i, up[i], sum, 1.0);
    if (active) sum = gelu(sum);
    if (residual) sum += add[r % 3 * out + o];
    close_to("y", i, y[i], sum, 1.0);
  }
  drop_tensors();
}

static void test_dense(void** state) {
  const int rows[] = {1, 63, 64, 65, 130}, widths[] = {1, 7, 16, 130};
  int kind = 0;
  for (int r = 0; r < 5; ++r) {
    for (int o = 0; o < 4; ++o) {
      for (int i = 0; i < 4; ++i, kind += 11) {
        check_dense(rows[r], widths[o], widths[i], kind % 64);
        check_dense(rows[r], widths[o], widths[i], kind % 64 ^ 1);
      }
    }
  }
  // All ways of ending, in whole tiles and others.
  for (kind = 0; kind < 64; ++kind) {
    check_dense(70, 72, 24, kind);
    check_dense(3, 32, 8, kind);
  }
}

// With TF32 products, whose rounding a GPU has and the host has not: the same but for that.
static void test_fast(void** state) {
  if (on_cpu()) skip();
  enum { ROWS = 70, OUT = 33, IN = 24, N = ROWS * OUT };
  UsDevice *plain = test_device(), *fast;
  assert_int_equal(us_device_open(getenv("UNDERSTUDY_TEST_DEVICE"), 1, &fast), US_OK);
  const size_t counts[] = {ROWS * IN, OUT * IN, OUT, 3 * OUT, N, N};
  float* on[2][6];  // x, w, b, add, up, y
  for (int i = 0; i < 6; ++i) {
    float* host = noise(counts[i], i);
    for (int k = 0; k < 2; ++k) on[k][i] = us_ops_alloc(k ? fast : plain, counts[i]);
    for (int k = 0; k < 2; ++k) us_ops_put(k ? fast : plain, on[k][i], host, counts[i]);
  }
  for (int kind = 0; kind < 32; ++kind) {
    float got[2][2][N];  // device; up, y
    for (int k = 0; k < 2; ++k) {
      float** t = on[k];
      UsDense s = {.rows = ROWS, .out = OUT, .in = IN, .x = t[0], .w = t[1], .period = 3};
      s.transposed = kind & 1, s.y = t[5];
      s.b = kind & 2 ? t[2] : NULL, s.add = kind & 4 ? t[3] : NULL;
      s.up = !(kind & 8) ? NULL : kind & 16 ? s.y : t[4];
      us_ops_dense(k ? fast : plain, &s);
      for (int i = 0; i < 2; ++i) us_ops_get(k ? fast : plain, t[4 + i], got[k][i], N);
    }
    for (int i = 0; i < 2 * N; ++i) {
      double a = got[0][i / N][i % N], b = got[1][i / N][i % N];
      if (!(fabs(a - b) <= 3e-2 * (1.0 + fabs(a)))) fail_msg("kind %d: %g, fast %g", kind, a, b);
    }
  }
  for (int i = 0; i < 12; ++i) us_ops_free(i / 6 ? fast : plain, on[i / 6][i % 6]);
  us_device_close(fast);
}

// ---- its backward pass ----

static void check_linear_back(int rows, int out, int in) {
  size_t n = (size_t)rows * (size_t)in, m = (size_t)out * (size_t)in;
  float *x = noise(n, 1), *w = noise(m, 2), *dy = noise((size_t)rows * (size_t)out, 3);
  float *dx = result(n, 0), *dw = result(m, 0), *db = result((size_t)out, 0);
  us_ops_linear_back(test_device(), rows, out, in, tensor(x, n), tensor(w, m),
                     tensor(dy, (size_t)rows * (size_t)out), dx, dw, db);
  dx = results("dx", dx, n), dw = results("dw", dw, m), db = results("db", db, (size_t)out);
  for (size_t i = 0; i < n; ++i) {
    double s = 0.0;
    for (size_t o = 0; o < (size_t)out; ++o) {
      s += (double)dy[i / in * out + o] * w[o * in + i % in];
    }
    close_to("dx", i, dx[i], s, 4.0 * sqrt(out));
  }
  for (size_t i = 0; i < m + (size_t)out; ++i) {
    double s = 77.0;  // what was there
    size_t o = i < m ? i / in : i - m;
    for (size_t r = 0; r < (size_t)rows; ++r) {
      s += (double)dy[r * out + o] * (i < m ? x[r * in + i % in] : 1.0f);
    }
    close_to(i < m ? "dw" : "db", i, i < m ? dw[i] : db[o], s, 4.0 * sqrt(rows));
  }
  drop_tensors();
}

static void test_linear_back(void** state) {
  const int rows[] = {1, 63, 64, 65, 130}, widths[] = {1, 7, 130};
  for (int r = 0; r < 5; ++r) {
    for (int i = 0; i < 9; ++i) check_linear_back(rows[r], widths[i / 3], widths[i % 3]);
  }
}

// ---- attention ----

typedef struct Sizes {
  int batch, tq, tk, heads, dim, turned, hidden;
} Sizes;

// Whether query i sees key j.
static int sees(const Sizes* s, int i, int j) {
  return !s->hidden || (i + j) % 3 != 1 || j == 0;
}

// Turns host's q as us_ops_rotate does.
static void turn(const Sizes* s, const float* angles, int period, float* q) {
  int half = s->dim / 2;
  for (int i = 0; i < s->batch * s->tq * s->heads * half; ++i) {
    int p = i % half, row = i / half / s->heads;
    float* u = q + (size_t)(i / half) * s->dim + p;
    double c = angles[(row % period * half + p) * 2], n = angles[(row % period * half + p) * 2 + 1];
    double a = u[0], b = u[half];
    u[0] = (float)(a * c - b * n), u[half] = (float)(a * n + b * c);
  }
}

// The gradients that a query hands on: one row of probabilities p (tk) in double.
static void back_row(const Sizes* s, const double* p, const float* q, const float* k,
                     const float* v, const float* dy, double* dq, double* dk, double* dv) {
  size_t row = (size_t)s->heads * s->dim;
  double total = 0.0, scale = 1.0 / sqrt(s->dim);
  for (int pass = 0; pass < 2; ++pass) {
    for (int j = 0; j < s->tk; ++j) {
      double dp = 0.0;
      for (int e = 0; e < s->dim; ++e) dp += (double)dy[e] * v[j * row + e];
      if (pass == 0) total += p[j] * dp;
      double ds = p[j] * (dp - total) * scale;
      for (int e = 0; e < s->dim && pass == 1; ++e) {
        dq[e] += ds * k[j * row + e];
        dk[j * row + e] += ds * q[e];
        dv[j * row + e] += p[j] * dy[e];
      }
    }
  }
}

static void compare(const char* what, const float* got, const double* expected, size_t n) {
  double size = 1.0;
  for (size_t i = 0; i < n; ++i) size = fmax(size, fabs(expected[i]));
  for (size_t i = 0; i < n; ++i) close_to(what, i, got[i], expected[i], size);
}

static void check_attend(Sizes s) {
  UsDevice* d = test_device();
  enum { PERIOD = 5 };
  size_t row = (size_t)s.heads * s.dim, nq = (size_t)s.batch * s.tq * row;
  size_t nk = (size_t)s.batch * s.tk * row, np = (size_t)s.batch * s.heads * s.tq * s.tk;
  float *q = noise(nq, 1), *k = noise(nk, 2), *v = noise(nk, 3), *dy = noise(nq, 4);
  float* angles = noise((size_t)PERIOD * (s.dim / 2) * 2 + 1, 5);
  for (int i = 0; i < PERIOD * (s.dim / 2); ++i) {
    angles[2 * i + 1] = sinf(angles[2 * i]), angles[2 * i] = cosf(angles[2 * i]);
  }
  uint8_t* mask = host_bytes((size_t)s.tq * s.tk);
  for (int i = 0; i < s.tq * s.tk; ++i) mask[i] = (uint8_t)sees(&s, i / s.tk, i % s.tk);
  float *tq = shifted(q, nq, s.hidden), *tk = tensor(k, nk), *tv = tensor(v, nk);
  float *y = result(nq, 0), *probs = result(np, 0), *ty = result(nq, 0);
  us_ops_attend(d, s.batch, s.tq, s.tk, s.heads, s.dim,
                s.turned ? tensor(angles, (size_t)PERIOD * (s.dim / 2) * 2) : NULL, PERIOD,
                s.hidden ? tensor_bytes(mask, (size_t)s.tq * s.tk) : NULL, tq, tk, tv,
                (size_t)s.tk * row, y, probs);
  if (s.turned) turn(&s, angles, PERIOD, q);
  float* back = fetched(tq, nq);
  for (size_t i = 0; i < nq; ++i) close_to("q", i, back[i], q[i], 1.0);

  float *dq = result(nq, 0), *dk = result(nk, 0), *dv = result(nk, 0);
  us_ops_attend_back(d, s.batch, s.tq, s.tk, s.heads, s.dim, tq, tk, tv, probs, tensor(dy, nq), dq,
                     dk, dv);
  double* sums = host_bytes((2 * nq + 2 * nk + np) * sizeof(double));
  double *ey = sums, *eq = ey + nq, *ek = eq + nq, *ev = ek + nk, *ep = ev + nk;
  for (size_t item = 0; item < (size_t)s.batch * s.heads * s.tq; ++item) {
    size_t b = item / s.tq / s.heads, h = item / s.tq % s.heads, i = item % s.tq;
    size_t at = (b * s.tq + i) * row + h * s.dim, key = b * s.tk * row + h * s.dim;
    double *p = ep + item * s.tk, all = 0.0;
    for (int j = 0; j < s.tk; ++j) {
      double score = 0.0;
      for (int e = 0; e < s.dim; ++e) score += (double)q[at + e] * k[key + j * row + e];
      p[j] = mask[i * s.tk + j] ? exp(score / sqrt(s.dim)) : 0.0;
      all += p[j];
    }
    for (int j = 0; j < s.tk; ++j) p[j] /= all;
    for (int j = 0; j < s.tk; ++j) {
      for (int e = 0; e < s.dim; ++e) ey[at + e] += p[j] * v[key + j * row + e];
    }
    back_row(&s, p, q + at, k + key, v + key, dy + at, eq + at, ek + key, ev + key);
  }
  compare("y", results("y", y, nq), ey, nq);
  compare("probs", results("probs", probs, np), ep, np);
  compare("dq", results("dq", dq, nq), eq, nq);
  compare("dk", results("dk", dk, nk), ek, nk);
  compare("dv", results("dv", dv, nk), ev, nk);

  // Without keeping probabilities: the same y.
  us_ops_put(d, tq, q, nq);
  us_ops_attend(d, s.batch, s.tq, s.tk, s.heads, s.dim, NULL, 0,
                s.hidden ? tensor_bytes(mask, (size_t)s.tq * s.tk) : NULL, tq, tk, tv,
                (size_t)s.tk * row, ty, NULL);
  compare("y alone", results("y", ty, nq), ey, nq);
  drop_tensors();
}

static void test_attend(void** state) {
  const Sizes sizes[] = {
      {9, 1, 2, 4, 32, 1, 0},    {2, 4, 5, 3, 8, 1, 1},     {3, 5, 31, 2, 7, 1, 1},
      {1, 3, 32, 1, 64, 1, 0},   {1, 2, 20, 2, 128, 0, 1},  {1, 3, 33, 2, 6, 1, 1},
      {2, 1, 63, 1, 32, 1, 0},   {1, 8, 64, 2, 40, 1, 1},   {2, 9, 65, 1, 64, 1, 0},
      {1, 63, 66, 2, 12, 1, 1},  {1, 64, 64, 1, 64, 0, 0},  {1, 65, 130, 1, 33, 1, 1},
      {1, 70, 40, 1, 128, 1, 0}, {1, 7, 129, 1, 100, 1, 1}, {2, 3, 70, 1, 130, 1, 1},
      {1, 2, 3, 1, 260, 1, 0},   {1, 130, 3, 1, 4, 1, 0},
  };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) check_attend(sizes[i]);
}

// One query that sees as many keys as there may be, and only the last tile's first of them.
static void test_attend_most_keys(void** state) {
  UsDevice* d = test_device();
  enum { DIM = 4, N = US_OPS_KEYS };
  float *k = noise(N * DIM, 1), *v = noise(N * DIM, 2), q[DIM] = {0.5f, -0.5f, 0.25f, 1.0f};
  uint8_t* mask = host_bytes(N);
  mask[N - 64] = 1;
  float *tk = tensor(k, N * DIM), *tv = tensor(v, N * DIM), *y = result(DIM, 0);
  us_ops_attend(d, 1, 1, N, 1, DIM, NULL, 0, NULL, tensor(q, DIM), tk, tv, N * DIM, y, NULL);
  double sum[DIM] = {0}, all = 0.0;
  for (int j = 0; j < N; ++j) {
    double p = 0.0;
    for (int e = 0; e < DIM; ++e) p += (double)q[e] * k[j * DIM + e] / sqrt(DIM);
    all += p = exp(p);
    for (int e = 0; e < DIM; ++e) sum[e] += p * v[j * DIM + e];
  }
  float* got = results("y", y, DIM);
  for (int e = 0; e < DIM; ++e) close_to("y", (size_t)e, got[e], sum[e] / all, 1.0);
  us_ops_attend(d, 1, 1, N, 1, DIM, NULL, 0, tensor_bytes(mask, N), tensor(q, DIM), tk, tv, N * DIM,
                y, NULL);
  assert_memory_equal(results("y", y, DIM), v + (N - 64) * DIM, DIM * sizeof(float));
}

// ---- rows that are moved ----

static void test_copies(void** state) {
  UsDevice* d = test_device();
  const int widths[] = {1, 3, 4, 32, 257, 1028};
  for (int c = 0; c < 6; ++c) {
    for (int rows = 1; rows < 400; rows += 299) {
      int w = widths[c], gap = 3 + c % 2, *index = host_bytes((size_t)rows * sizeof(int));
      for (int r = 0; r < rows; ++r) index[r] = (r * 7 + 3) % rows;
      size_t n = (size_t)rows * (size_t)(w + gap);
      float *x = noise(n, 1), *y = result(n, 0);
      us_ops_copy_rows(d, rows, w, 1, tensor_bytes(index, (size_t)rows * sizeof(int)), tensor(x, n),
                       (size_t)(w + gap), y, (size_t)(w + gap));
      float* got = results("y", y, n);
      for (size_t i = 0; i < n; ++i) {
        size_t r = i / (size_t)(w + gap), e = i % (size_t)(w + gap);
        float want = e < (size_t)w ? x[(size_t)index[r] * (size_t)(w + gap) + e] : 77.0f;
        if (got[i] != want) fail_msg("copy of %d, width %d: [%zu]", rows, w, i);
      }
      drop_tensors();
    }
  }
}

static void test_push(void** state) {
  UsDevice* d = test_device();
  enum { SLOTS = 3, COUNT = 4 };
  const int sizes[] = {1, 5, 300, 4100};
  for (int c = 0; c < 4; ++c) {
    int size = sizes[c], slot[] = {2, 0}, first[] = {0, 1};
    size_t n = (size_t)SLOTS * COUNT * (size_t)size;
    float *old = noise(n, 1), *piece = noise(2 * (size_t)size, 2), *x = result(n, 0);
    us_ops_put(d, x, old, n);
    us_ops_push(d, 2, COUNT, size, tensor_bytes(slot, sizeof slot),
                tensor_bytes(first, sizeof first), tensor(piece, 2 * (size_t)size), x);
    float* got = results("pieces", x, n);
    for (size_t i = 0; i < n; ++i) {
      size_t s = i / COUNT / (size_t)size, k = i / (size_t)size % COUNT, e = i % (size_t)size;
      float want = s == 1          ? old[i]
                   : s == 0        ? piece[(size_t)size + e]
                   : k + 1 < COUNT ? old[i + (size_t)size]
                                   : piece[e];
      if (got[i] != want) fail_msg("push of %d: [%zu]", size, i);
    }
    drop_tensors();
  }
}

// ---- the same bits wherever a row is ----

static void same(const char* what, const float* x, const float* whole, size_t at, size_t n) {
  if (memcmp(fetched(x, n), fetched(whole + at, n), n * sizeof(float))) {
    fail_msg("%s: other bits from number %zu on", what, at);
  }
}

static const int kPlaces[][2] = {{0, 1}, {1, 1}, {129, 1}, {3, 64}, {65, 65}, {7, 100}};

static void test_same_bits_of_products(void** state) {
  if (on_cpu()) skip();
  enum { ROWS = 130 };
  const int widths[][2] = {{70, 130}, {16, 7}, {128, 256}, {384, 40}};
  for (int c = 0; c < 4; ++c) {
    int out = widths[c][0], in = widths[c][1];
    size_t n = (size_t)ROWS * (size_t)out;
    UsDense s = {.out = out,
                 .in = in,
                 .x = tensor(noise((size_t)ROWS * (size_t)in, 1), (size_t)ROWS * (size_t)in),
                 .w = tensor(noise((size_t)out * (size_t)in, 2), (size_t)out * (size_t)in),
                 .transposed = c % 2,
                 .b = tensor(noise((size_t)out, 3), (size_t)out)};
    float *whole = tensor(NULL, n), *part = tensor(NULL, n);
    UsDense all = s;
    all.rows = ROWS, all.y = all.up = whole;
    us_ops_dense(test_device(), &all);
    for (int i = 0; i < 6; ++i) {
      size_t at = (size_t)kPlaces[i][0], rows = (size_t)kPlaces[i][1];
      UsDense some = s;
      some.rows = (int)rows, some.x += at * (size_t)in, some.y = some.up = part;
      us_ops_dense(test_device(), &some);
      same("dense", part, whole, at * (size_t)out, rows * (size_t)out);
    }
    drop_tensors();
  }
}

static void test_same_bits_of_attention(void** state) {
  if (on_cpu()) skip();
  UsDevice* d = test_device();
  enum { BATCH = 3, TQ = 130, HEADS = 2 };
  const int sizes[][2] = {{2, 32}, {20, 64}, {130, 6}, {70, 64}, {40, 130}};
  for (int c = 0; c < 5; ++c) {
    int tk = sizes[c][0], dim = sizes[c][1];
    size_t row = (size_t)HEADS * (size_t)dim, nq = BATCH * TQ * row, nk = BATCH * tk * row;
    float *angles = tensor(noise(TQ * (size_t)dim, 4), TQ * (size_t)dim), *host = noise(nq, 1);
    float *k = tensor(noise(nk, 2), nk), *v = tensor(noise(nk, 3), nk), *q = tensor(host, nq);
    float *whole = tensor(NULL, nq), *part = tensor(NULL, nq);
    us_ops_attend(d, BATCH, TQ, tk, HEADS, dim, angles, TQ, NULL, q, k, v, tk * row, whole, NULL);
    us_ops_put(d, q, host, nq);
    for (int i = 0; i < 6; ++i) {
      // Some queries of the last of the batch.
      size_t at = (size_t)kPlaces[i][0], n = (size_t)kPlaces[i][1], b = BATCH - 1;
      size_t from = (b * TQ + at) * row;
      us_ops_put(d, q + from, host + from, n * row);
      us_ops_attend(d, 1, (int)n, tk, HEADS, dim, angles + at * (size_t)(dim / 2 * 2), TQ, NULL,
                    q + from, k + b * tk * row, v + b * tk * row, tk * row, part, NULL);
      same("attend", part, whole, from, n * row);
    }
    drop_tensors();
  }
}

static void test_same_bits_of_keys(void** state) {
  if (on_cpu()) skip();
  UsDevice* d = test_device();
  enum { ROWS = 130, DEPTH = 3, HEADS = 2, DIM = 7, WIDTH = HEADS * DIM };
  float* both = tensor(noise(ROWS * DEPTH * 2 * WIDTH, 1), ROWS * DEPTH * 2 * WIDTH);
  float* angles = tensor(noise(ROWS * DIM, 2), ROWS * DIM);
  float *k = tensor(NULL, DEPTH * ROWS * WIDTH), *v = tensor(NULL, DEPTH * ROWS * WIDTH);
  float *pk = tensor(NULL, DEPTH * ROWS * WIDTH), *pv = tensor(NULL, DEPTH * ROWS * WIDTH);
  us_ops_keys(d, ROWS, 1, DEPTH, HEADS, DIM, ROWS, angles, both, k, v, ROWS * WIDTH, WIDTH);
  for (int i = 0; i < 6; ++i) {
    int at = kPlaces[i][0], n = kPlaces[i][1];
    us_ops_keys(d, n, 1, DEPTH, HEADS, DIM, ROWS, angles + at * (DIM / 2 * 2),
                both + at * DEPTH * 2 * WIDTH, pk, pv, ROWS * WIDTH, WIDTH);
    for (int l = 0; l < DEPTH; ++l) {
      same("k", pk + l * ROWS * WIDTH, k, (size_t)((l * ROWS + at) * WIDTH), (size_t)(n * WIDTH));
      same("v", pv + l * ROWS * WIDTH, v, (size_t)((l * ROWS + at) * WIDTH), (size_t)(n * WIDTH));
    }
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(test_##name, drop_tensors_of)
  const struct CMUnitTest tests[] = {
      TEST(dense),
      TEST(fast),
      TEST(linear_back),
      TEST(attend),
      TEST(attend_most_keys),
      TEST(copies),
      TEST(push),
      TEST(same_bits_of_products),
      TEST(same_bits_of_attention),
      TEST(same_bits_of_keys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
