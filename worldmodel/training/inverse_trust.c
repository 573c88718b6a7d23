// How far labels are to be trusted: the squared error to be expected of a step, by what goes with
// errors on the held-back steps. Equations in inverse.h.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/rank.h"
#include "worldmodel/ops/cpu/lapack.h"
#include "worldmodel/training/inverse_inner.h"

static const double least = 1e-5, most = 4;  // of a squared error

// ---- clues ----

void inverse_clues(const UsInverse* m, const float* x, double spread, double apart, double size,
                   double* clue) {
  clue[0] = 1;
  clue[1] = log(spread + least);
  clue[2] = log(apart + least);
  clue[3] = size;
  // How far the parts of f are from 0.
  for (int i = 0; i < PARTS; i++) {
    double sum = 0;
    for (int j = 0; j < m->c.dim; j++) sum += pow((double)x[i * m->c.dim + j], 2);
    clue[4 + i] = log(sum / m->c.dim + least);
  }
}

static double expected(const double* weight, const double* clue) {
  double sum = 0;
  for (int i = 0; i < CLUES; i++) sum += weight[i] * clue[i];
  return exp(fmin(fmax(sum, log(least)), log(most)));
}

float inverse_reliable(const UsInverse* m, const double* clue) {
  double error = expected(m->clue, clue);
  return (float)fmin(fmax(1 - error / m->f.variance, (double)US_INVERSE_LEAST), 1);
}

// Least squares of log errors over clues (n, CLUES), with a ridge of 1; without steps first ..
// last. The constant is such that the mean error is that of the steps.
static void fit_clues(int64_t n, int64_t first, int64_t last, const double* clue,
                      const double* error, double* weight) {
  double gram[CLUES * CLUES] = {0}, right[CLUES] = {0}, sum = 0, guessed = 0;
  for (int64_t k = 0; k < n; k++) {
    if (k >= first && k < last) continue;
    const double* c = clue + k * CLUES;
    double y = log(error[k] + least);
    for (int i = 0; i < CLUES; i++) {
      for (int j = 0; j <= i; j++) gram[i * CLUES + j] += c[i] * c[j];
      right[i] += c[i] * y;
    }
  }
  for (int i = 0; i < CLUES; i++) gram[i * CLUES + i] += 1;
  if (us_lapack_solve(CLUES, 1, CLUES, gram, right) != 0) memset(right, 0, sizeof(right));
  memcpy(weight, right, sizeof(right));
  for (int64_t k = 0; k < n; k++) {
    if (k >= first && k < last) continue;
    sum += error[k];
    guessed += expected(weight, clue + k * CLUES);
  }
  if (sum > 0 && guessed > 0) weight[0] += log(sum / guessed);
}

// ---- the held-back steps ----

// What the clues are worth is told by halves, each by the fit of the other; the model then takes
// the fit to both.
static int judge(UsInverse* m, int64_t n, const double* clue, const double* error) {
  double* guess = malloc((size_t)n * sizeof(double));
  double weight[CLUES], sum = 0;
  int64_t half = n / 2;
  for (int64_t i = 0; i < n; i++) sum += error[i];
  m->f.error = sum / (double)n;
  fit_clues(n, 0, 0, clue, error, m->clue);
  for (int part = 0; guess && part < 2; part++) {
    int64_t first = part ? half : 0, last = part ? n : half;
    fit_clues(n, first, last, clue, error, weight);
    for (int64_t i = first; i < last; i++) guess[i] = expected(weight, clue + i * CLUES);
  }
  m->f.correlation = guess ? us_rank_correlation(n, guess, error) : NAN;
  free(guess);
  return !isnan(m->f.correlation);
}

UsStatus inverse_trust(UsInverse* m, const UsTracks* tracks, const Step* step, int64_t count) {
  size_t n = (size_t)m->c.action;
  double* clue = malloc((size_t)count * CLUES * sizeof(double));
  double* error = calloc((size_t)count, sizeof(double));
  float* a = malloc(n * sizeof(float));
  Guess g;
  int ok = inverse_guess_create(m, &g) && clue && error && a;
  for (int64_t at = 0; ok && at < count; at += ROWS) {
    int rows = count - at < ROWS ? (int)(count - at) : ROWS;
    for (int r = 0; r < rows; r++) {
      inverse_features(m, tracks, &step[at + r], g.x + (size_t)r * (size_t)m->in);
    }
    inverse_guess(m, &g, 1);
    for (int r = 0; r < rows; r++) {
      const float* truth = tracks->actions + (size_t)step[at + r].row[1] * n;
      inverse_answer(m, &g, r, m->f.kind, a, clue + (at + r) * CLUES);
      for (size_t j = 0; j < n; j++) error[at + r] += pow((double)(truth[j] - a[j]), 2) / (double)n;
    }
  }
  ok = ok && judge(m, count, clue, error);
  inverse_guess_destroy(m, &g);
  free(clue);
  free(error);
  free(a);
  return ok ? US_OK : us_fail(US_MEMORY, "inverse model: out of memory");
}
