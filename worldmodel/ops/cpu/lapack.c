// Symmetric products, eigenproblems and systems. A row-major lower triangle is Fortran's upper one.

#include "worldmodel/ops/cpu/lapack.h"

#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/ops/cpu/ops_cpu.h"

enum { kBlock = 512 };  // rows or columns that are turned into doubles at a time

// Debian's OpenBLAS has the symbols without a header for them.
void dsyevr_(const char* jobs, const char* range, const char* triangle, const int* n, double* a,
             const int* lda, const double* low, const double* high, const int* first,
             const int* last, const double* slack, int* found, double* values, double* vectors,
             const int* ldz, int* support, double* work, const int* work_size, int* ints,
             const int* ints_size, int* info);
void dposv_(const char* triangle, const int* n, const int* columns, double* a, const int* lda,
            double* b, const int* ldb, int* info);

UsStatus us_lapack_gram(int n, size_t p, const float* x, int columns, const char* what, double* c) {
  us_cpu_name(NULL);  // sets BLAS to one thread
  size_t rows = (size_t)n, all = columns ? rows : p, other = columns ? p : rows;
  double* block = malloc(kBlock * other * sizeof(double));
  if (!block) return us_fail(US_MEMORY, "%s: out of memory", what);
  memset(c, 0, other * other * sizeof(double));
  for (size_t at = 0, count; at < all && !us_interrupted(); at += count) {
    count = all - at < kBlock ? all - at : kBlock;
    if (columns) {  // block (count, p): rows of x
      for (size_t i = 0; i < count * p; i++) block[i] = x[at * p + i];
    }
    for (size_t i = 0; !columns && i < rows; i++) {  // block (n, count): columns of x
      for (size_t j = 0; j < count; j++) block[i * count + j] = x[i * p + at + j];
    }
    cblas_dsyrk(CblasRowMajor, CblasLower, columns ? CblasTrans : CblasNoTrans, (int)other,
                (int)count, 1, block, (int)(columns ? p : count), 1, c, (int)other);
  }
  free(block);
  return us_interrupt_check(what);
}

UsStatus us_lapack_eigen(int n, double* a, int count, double* values, double* vectors) {
  us_cpu_name(NULL);  // sets BLAS to one thread
  const double none = 0;
  int first = n - count + 1, last = n, found, info, ask = -1, size, ints_size;
  double best;
  // First how much scratch it takes, then the work.
  dsyevr_("V", "I", "U", &n, a, &n, &none, &none, &first, &last, &none, &found, values, vectors, &n,
          &ints_size, &best, &ask, &ints_size, &ask, &info);
  size = (int)best;
  int* ints = malloc(((size_t)ints_size + 2 * (size_t)count) * sizeof(int));
  double* work = malloc((size_t)size * sizeof(double));
  UsStatus status = ints && work ? US_OK : us_fail(US_MEMORY, "out of memory for eigenvectors");
  if (status == US_OK) {
    dsyevr_("V", "I", "U", &n, a, &n, &none, &none, &first, &last, &none, &found, values, vectors,
            &n, ints + ints_size, work, &size, ints, &ints_size, &info);
    if (info || found != count) {
      status = us_fail(US_FORMAT, "expected finite numbers for principal components");
    }
  }
  free(ints);
  free(work);
  // They come rising.
  for (int i = 0; status == US_OK && i < count / 2; i++) {
    double *one = vectors + (size_t)i * n, *two = vectors + (size_t)(count - 1 - i) * n, x;
    for (int j = 0; j < n; j++) x = one[j], one[j] = two[j], two[j] = x;
    x = values[i], values[i] = values[count - 1 - i], values[count - 1 - i] = x;
  }
  return status;
}

int us_lapack_solve(int n, int rows, size_t stride, double* a, double* b) {
  us_cpu_name(NULL);  // sets BLAS to one thread
  int lda = (int)stride, info;
  dposv_("U", &n, &rows, a, &lda, b, &lda, &info);
  return info != 0;
}
