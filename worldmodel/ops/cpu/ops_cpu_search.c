// ops.h on the CPU: search by sampling.
//
//   noise    z_t = c z_{t-1} + sqrt(1 - c^2) n_t,  n_t ~ N(0, 1)
//   sample   x = clip(mean + deviation z, -1, 1)
//   fit      mean = m mean + (1 - m) average(elites), the deviation alike

#include <math.h>
#include <string.h>

#include "worldmodel/ops/cpu/ops_cpu.h"

void us_cpu_noise(UsDevice* d, int n, int samples, int length, const UsRng* stream, uint32_t from,
                  float* x) {
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < samples; ++k, x += length) {
      // A row is named by its counter, so it is the same whoever draws it and when.
      UsRng r = stream[i];
      r.counter[3] += from + (uint32_t)k;
      us_rng_fill_normal(&r, x, length);
    }
  }
}

void us_cpu_correlate(UsDevice* d, int rows, int period, int length, int lag, float carry,
                      float* x) {
  float fresh = sqrtf(1 - carry * carry);
  // Every second candidate is smooth in time, the others stay white.
  for (int row = 0; row < rows; ++row, x += length) {
    if (row % period % 2 == 0) continue;
    for (int j = lag; j < length; ++j) x[j] = carry * x[j - lag] + fresh * x[j];
  }
}

void us_cpu_sample(UsDevice* d, int n, int samples, int length, const int* slot, const float* mean,
                   const float* deviation, float* x) {
  for (int i = 0; i < n; ++i) {
    const float* m = mean + (size_t)slot[i] * length;
    const float* s = deviation + (size_t)slot[i] * length;
    // Candidate 0 is the mean itself.
    memcpy(x, m, sizeof(float) * (size_t)length);
    x += length;
    for (int k = 1; k < samples; ++k, x += length) {
      for (int j = 0; j < length; ++j) x[j] = fminf(fmaxf(m[j] + s[j] * x[j], -1), 1);
    }
  }
}

void us_cpu_cost(UsDevice* d, int n, int samples, int horizon, const float* weight,
                 const float* rewards, double* cost) {
  for (int i = 0; i < n; ++i, weight += horizon) {
    for (int k = 0; k < samples; ++k, rewards += horizon) {
      double sum = 0;
      for (int h = 0; h < horizon; ++h) {
        if (weight[h] != 0) sum -= (double)weight[h] * (double)rewards[h];
      }
      *cost++ = isfinite(sum) ? sum : INFINITY;
    }
  }
}

// Sorts the least of `keep` old and `samples` new costs into best_cost and order (elites) by
// insertion, so that a later one of an equal cost comes behind; INFINITY fills the rest.
static void choose(int samples, int elites, int keep, const double* cost, const double* old_cost,
                   int* order, double* best_cost) {
  for (int e = 0; e < elites; ++e) best_cost[e] = INFINITY;
  for (int k = 0; k < keep + samples; ++k) {
    double c = k < keep ? old_cost[k] : cost[k - keep];
    if (!(c < best_cost[elites - 1])) continue;
    int at = elites - 1;
    for (; at > 0 && c < best_cost[at - 1]; --at) {
      best_cost[at] = best_cost[at - 1];
      order[at] = order[at - 1];
    }
    best_cost[at] = c;
    order[at] = k;
  }
}

void us_cpu_elites(UsDevice* d, int n, int samples, int length, int elites, int keep,
                   const int* slot, const float* x, const double* cost, const float* old,
                   const double* old_cost, int* order, float* best, double* best_cost) {
  const size_t row = sizeof(float) * (size_t)length;
  // Per slot: who is best, then the rows of those.
  for (int i = 0; i < n; ++i) {
    size_t at = (size_t)slot[i] * elites;
    choose(samples, elites, keep, cost, old_cost + at, order, best_cost + at);
    for (int e = 0; e < elites && best_cost[at + e] < INFINITY; ++e) {
      const float* from =
          order[e] < keep ? old + (at + order[e]) * length : x + (size_t)(order[e] - keep) * length;
      memcpy(best + (at + e) * length, from, row);
    }
    x += (size_t)samples * length;
    cost += samples;
    order += elites;
  }
}

void us_cpu_fit(UsDevice* d, int n, int length, int elites, const int* slot, const float* best,
                const double* best_cost, float m, float least, float* mean, float* deviation) {
  // Average and spread of each number over the finite elites; the plan moves towards them.
  for (int i = 0; i < n; ++i) {
    size_t first = (size_t)slot[i] * elites, at = (size_t)slot[i] * length;
    int count = 0;
    while (count < elites && best_cost[first + count] < INFINITY) ++count;
    for (int j = 0; j < length && count > 0; ++j) {
      const float* x = best + first * length + j;
      double sum = 0, square = 0;
      for (int e = 0; e < count; ++e) sum += (double)x[(size_t)e * length];
      double average = sum / count;
      for (int e = 0; e < count; ++e) {
        double off = (double)x[(size_t)e * length] - average;
        square += off * off;
      }
      float spread = (float)sqrt(square / count);
      mean[at + j] = m * mean[at + j] + (1 - m) * (float)average;
      deviation[at + j] = fmaxf(m * deviation[at + j] + (1 - m) * spread, least);
    }
  }
}

void us_cpu_hand_out(UsDevice* d, int n, int length, int played, int elites, int cold,
                     const int* slot, const float* best, const double* best_cost, float* mean,
                     float* actions) {
  const size_t bytes = sizeof(float) * (size_t)played, rest = (size_t)(length - played);
  for (int i = 0; i < n; ++i, actions += played) {
    float* m = mean + (size_t)slot[i] * length;
    size_t first = (size_t)slot[i] * elites;
    int takes = best && best_cost[first] < INFINITY;
    memcpy(actions, takes ? best + first * length : m, bytes);
    // The next plan goes on where this one was left, with zeros for the blocks that are new.
    memmove(m, m + played, sizeof(float) * rest);
    memset(m + rest, 0, bytes);
    if (cold) memset(m, 0, sizeof(float) * rest);
  }
}
