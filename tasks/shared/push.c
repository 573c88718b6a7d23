// Tasks of a plate that makes one stroke an env step.

#include "tasks/push.h"

#include <math.h>

#include "tasks/policies.h"

// ---- the plate ----

// The stroke's start (m, at most 0) along the heading (cosine, sine) from `start` (2) at which no
// point is nearer than `clearance` to the plate's axis of +- half m.
static double free_place(const double* start, double cosine, double sine, double half, int n,
                         const double* points, double clearance) {
  double place = 0;
  // Back along the stroke until nothing is in the way any more.
  for (int moved = 1; moved;) {
    moved = 0;
    for (int i = 0; i < n; i++) {
      double x = points[2 * i] - start[0], y = points[2 * i + 1] - start[1];
      double along = cosine * x + sine * y, aside = fabs(cosine * y - sine * x) - half;
      if (aside >= clearance) continue;
      double reach = aside <= 0 ? clearance : sqrt(clearance * clearance - aside * aside);
      if (fabs(along - place) >= reach - 1e-9) continue;
      place = along - reach;
      moved = 1;
    }
  }
  return place;
}

void us_push_start(const mjModel* m, mjData* d, const float* action, int n, const double* points,
                   double clearance) {
  const int plate = mj_name2id(m, mjOBJ_GEOM, "plate");
  double at[US_PUSH_ACTION];
  for (int i = 0; i < US_PUSH_ACTION; i++) at[i] = US_PUSH_REACH * action[i];
  // The stroke from the first to the second point of the action.
  double length = hypot(at[2] - at[0], at[3] - at[1]), turn = atan2(at[3] - at[1], at[2] - at[0]);
  double cosine = cos(turn), sine = sin(turn);
  double place = free_place(at, cosine, sine, m->geom_size[3 * plate + 1], n, points, clearance);
  // The plate is there at once, at rest; its control is the stroke's end.
  mjtNum *q = d->qpos + m->nq - 4, *v = d->qvel + m->nv - 4;
  q[0] = at[0] + place * cosine;
  q[1] = at[1] + place * sine;
  q[2] = turn;
  q[3] = 0;
  mju_zero(v, 4);
  d->ctrl[m->nu - 1] = length - place;
}

void us_push_anywhere(UsRng* rng, float* action) {
  for (int i = 0; i < US_PUSH_ACTION; i++) action[i] = (float)us_rng_range(rng, -1, 1);
}

// A push without length.
void us_push_rest(const mjModel* m, mjData* d, UsRng* rng, int n, const double* points,
                  double clearance) {
  float push[US_PUSH_ACTION];
  us_push_anywhere(rng, push);
  for (int i = 0; i < 2; i++) push[2 + i] = push[i];
  us_push_start(m, d, push, n, points, clearance);
}

// The plate's place and heading.
void us_push_proprio(const mjModel* m, const mjData* d, float* out) {
  const mjtNum* q = d->qpos + m->nq - 4;
  double cosine = cos(q[2]), sine = sin(q[2]);
  out[0] = (float)(q[0] + q[3] * cosine);
  out[1] = (float)(q[1] + q[3] * sine);
  out[2] = (float)cosine;
  out[3] = (float)sine;
}

// ---- distance ----

// Mean distance from the points of a to the nearest of b.
static double one_way(int n, const double* a, const double* b) {
  double sum = 0;
  for (int i = 0; i < n; i++) {
    double nearest = INFINITY;
    for (int j = 0; j < n; j++) {
      double x = a[2 * i] - b[2 * j], y = a[2 * i + 1] - b[2 * j + 1];
      nearest = fmin(nearest, x * x + y * y);
    }
    sum += sqrt(nearest);
  }
  return sum / n;
}

double us_push_chamfer(int n, const double* a, const double* b) {
  return (one_way(n, a, b) + one_way(n, b, a)) / 2;
}

// ---- policies ----

// A push of which `before` m lie before the point at (2) and `behind` m after it.
static void push_at(const double* at, double turn, double before, double behind, float* action) {
  double way[2] = {cos(turn), sin(turn)};
  for (int i = 0; i < 2; i++) {
    action[i] = (float)((at[i] - before * way[i]) / US_PUSH_REACH);
    action[2 + i] = (float)((at[i] + behind * way[i]) / US_PUSH_REACH);
  }
}

// The mean of points (n, 2).
static void middle(int n, const double* points, double* out) {
  out[0] = out[1] = 0;
  for (int i = 0; i < 2 * n; i++) out[i % 2] += points[i] / n;
}

void us_push_random(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  us_push_anywhere(rng, action);
}

void us_push_inwards(UsRng* rng, int n, const double* points, float* action) {
  double centre[2];
  middle(n, points, centre);
  // Of a few points the one farthest out is pushed to the middle.
  const double* far = points;
  for (int i = 0; i < 4; i++) {
    const double* p = points + 2 * us_rng_below(rng, (uint32_t)n);
    if (hypot(p[0] - centre[0], p[1] - centre[1]) > hypot(far[0] - centre[0], far[1] - centre[1])) {
      far = p;
    }
  }
  double x = centre[0] - far[0], y = centre[1] - far[1];
  push_at(far, atan2(y, x), 0.15, fmax(hypot(x, y) - us_rng_range(rng, 0, 0.3), 0.05), action);
  us_policy_noise(rng, 0.05, US_PUSH_ACTION, action);
}

void us_push_useful(UsRng* rng, int n, const double* points, float* action) {
  const double* p = points + 2 * us_rng_below(rng, (uint32_t)n);
  double turn = us_rng_range(rng, -M_PI, M_PI);
  // Mostly over a point in any direction, now and then in, out or anywhere.
  uint32_t kind = us_rng_below(rng, 8);
  if (kind == 0) {
    us_push_anywhere(rng, action);
  } else if (kind == 1) {
    us_push_inwards(rng, n, points, action);
  } else if (kind <= 3) {
    // From the middle over another of the points, away from it.
    double centre[2];
    middle(n, points, centre);
    p = points + 2 * us_rng_below(rng, (uint32_t)n);
    turn = atan2(p[1] - centre[1], p[0] - centre[0]);
    push_at(p, turn, 0.12, us_rng_range(rng, 0.1, 0.5), action);
  } else {
    push_at(p, turn, us_rng_range(rng, 0.05, 0.3), us_rng_range(rng, 0.05, 0.6), action);
  }
  us_policy_noise(rng, 0.05, US_PUSH_ACTION, action);
}
