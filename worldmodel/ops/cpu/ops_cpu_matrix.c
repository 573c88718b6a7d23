// ops.h on the CPU: matrix products, by OpenBLAS on one thread.

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <cblas.h>

#include "worldmodel/ops/cpu/ops_cpu.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char name[80];

static void start_blas(void) {
  openblas_set_num_threads(1);
  char library[32] = "OpenBLAS";
  sscanf(openblas_get_config(), "OpenBLAS %16s", library);
  snprintf(name, sizeof name, "OpenBLAS %.16s %.40s", library, openblas_get_corename());
}

const char* us_cpu_name(UsDevice* d) {
  pthread_once(&once, start_blas);
  return name;
}

// dy (rows, out), db (out).
US_CLONES static void sum_columns(int rows, int out, const float* dy, float* db) {
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < out; ++c) db[c] += dy[(size_t)r * out + c];
  }
}

// y = x op(w) + b; w's stored rows are `stride` floats long.
static void linear(int rows, int out, int in, const float* x, CBLAS_TRANSPOSE op, const float* w,
                   int stride, const float* b, float* y) {
  pthread_once(&once, start_blas);
  // The product adds to rows that hold the bias.
  if (b) {
    for (int r = 0; r < rows; ++r) memcpy(y + (size_t)r * out, b, (size_t)out * sizeof(float));
  }
  cblas_sgemm(CblasRowMajor, CblasNoTrans, op, rows, out, in, 1.0f, x, in, w, stride,
              b ? 1.0f : 0.0f, y, out);
}

void us_cpu_dense(UsDevice* d, const UsDense* s) {
  // OpenBLAS packs a matrix that is not to be transposed faster; the products are the same.
  float* out = s->up ? s->up : s->y;
  if (s->transposed) {
    linear(s->rows, s->out, s->in, s->x, CblasNoTrans, s->w, s->out, s->b, out);
  } else {
    linear(s->rows, s->out, s->in, s->x, CblasTrans, s->w, s->in, s->b, out);
  }
  if (s->up) us_cpu_gelu(d, (size_t)s->rows * (size_t)s->out, s->up, s->y);
  if (s->add) us_cpu_add_rows(d, s->rows, s->period, s->out, s->add, s->y);
}

void us_cpu_transpose(UsDevice* d, int rows, int columns, const float* x, float* y) {
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) y[(size_t)c * rows + r] = x[(size_t)r * columns + c];
  }
}

void us_cpu_linear_back(UsDevice* d, int rows, int out, int in, const float* x, const float* w,
                        const float* dy, float* dx, float* dw, float* db) {
  pthread_once(&once, start_blas);
  // dx = dy w; dw += dy' x; db += sums of columns.
  if (dx) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, in, out, 1.0f, dy, out, w, in,
                0.0f, dx, in);
  }
  if (dw) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, rows, 1.0f, dy, out, x, in, 1.0f,
                dw, in);
  }
  if (db) sum_columns(rows, out, dy, db);
}

// ---- attention of many tokens: see ops_cpu_attention.c ----

void us_blas_multiply(int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                      const float* a, int lda, const float* b, int ldb, float beta, float* c,
                      int ldc) {
  pthread_once(&once, start_blas);
  cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
              transpose_b ? CblasTrans : CblasNoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c,
              ldc);
}
