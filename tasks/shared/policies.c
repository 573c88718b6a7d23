// What behaviour policies share, and one piece of geometry.

#include "tasks/policies.h"

#include <math.h>

void us_policy_noise(UsRng* rng, double noise, int n, float* action) {
  for (int i = 0; i < n; i++) {
    float a = action[i] + (float)noise * us_rng_normal(rng);
    action[i] = fminf(fmaxf(a, -1.0f), 1.0f);
  }
}

void us_policy_held(UsRng* rng, double* memory, int n, float* action) {
  // A new action, and how long it holds.
  if (memory[0] < 1) {
    memory[0] = 1 + us_rng_below(rng, 7);
    for (int i = 0; i < n; i++) memory[1 + i] = us_rng_range(rng, -1, 1);
  }
  memory[0] -= 1;
  for (int i = 0; i < n; i++) action[i] = (float)memory[1 + i];
  us_policy_noise(rng, 0.2, n, action);
}

void us_policy_drift(UsRng* rng, double* memory, int n, float* action) {
  for (int i = 0; i < n; i++) {
    memory[i] = 0.9 * memory[i] + sqrt(1 - 0.9 * 0.9) * (double)us_rng_normal(rng);
    action[i] = (float)fmin(fmax(memory[i], -1), 1);
  }
}

void us_policy_random(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                      float* action) {
  us_policy_held(rng, memory, (int)m->nu, action);
}

int us_policy_choice(UsRng* rng, double* memory) {
  if (memory[0] == 0) memory[0] = 1 + us_rng_below(rng, 2);
  return (int)memory[0];
}

int us_policy_renew(double* memory, double distance, double radius, int patience) {
  int fresh = memory[0] == 0 || distance < radius || memory[0] > patience;
  memory[0] = fresh ? 1 : memory[0] + 1;
  return fresh;
}

int us_segment_hits(const double* a, const double* b, const double* low, const double* high) {
  // The part of the segment within the box, cut axis by axis.
  double from = 0, to = 1;
  for (int i = 0; i < 2; i++) {
    double way = b[i] - a[i];
    if (way == 0) {
      if (a[i] < low[i] || a[i] > high[i]) return 0;
      continue;
    }
    double in = (low[i] - a[i]) / way, out = (high[i] - a[i]) / way;
    from = fmax(from, fmin(in, out));
    to = fmin(to, fmax(in, out));
  }
  return from <= to;
}
