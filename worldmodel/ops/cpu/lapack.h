#ifndef UNDERSTUDY_LAPACK_H_
#define UNDERSTUDY_LAPACK_H_

// Dense linear algebra in double precision, by the LAPACK that OpenBLAS brings. Ordinary memory,
// row-major; one thread, so the same numbers give the same bits.

#include <stddef.h>

#include "worldmodel/base/status.h"

// The lower triangle of c (m, m) = x x' with m = n, or, with columns 1, of x' x with m = p; x (n,
// p). Fails with US_MEMORY, and with US_INTERRUPTED, "<what>: stopped".
UsStatus us_lapack_gram(int n, size_t p, const float* x, int columns, const char* what, double* c);

// The `count` largest eigenvalues of a symmetric matrix, falling, into values (n), of which those
// behind count mean nothing, and their eigenvectors, of length 1 and either sign, as the rows of
// vectors (count, n). a (n, n): its lower triangle is read, all of it overwritten. Fails with
// US_MEMORY, or US_FORMAT where a holds numbers that are none.
UsStatus us_lapack_eigen(int n, double* a, int count, double* values, double* vectors);

// Solves a x = y for every row y of b (rows, n) in place; a (n, n) is symmetric and positive
// definite. Rows of both lie `stride` numbers apart; the lower triangle of a is read and
// overwritten. Returns 0, or 1 where a is not positive definite.
int us_lapack_solve(int n, int rows, size_t stride, double* a, double* b);

#endif  // UNDERSTUDY_LAPACK_H_
