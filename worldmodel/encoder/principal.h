#ifndef UNDERSTUDY_PRINCIPAL_H_
#define UNDERSTUDY_PRINCIPAL_H_

// Principal components: eigenvectors of the covariance, or, where there are fewer rows than
// columns, of the rows' products, from which those of the covariance follow. Ordinary memory
// throughout; one thread; the same bits every time.

#include <stddef.h>

#include "worldmodel/base/status.h"

// Takes the mean (p) off the rows of x (n, p), in place, and finds the `dim` components (dim, p) of
// largest variance, orthonormal, sorted; one without variance is zero. The sign of a component is
// such that its element of largest magnitude, the first of several, is positive. *variance is the
// sum of their variances. dim is at most n and p.
UsStatus us_principal(int n, size_t p, float* x, int dim, float* mean, float* components,
                      double* variance);

#endif  // UNDERSTUDY_PRINCIPAL_H_
