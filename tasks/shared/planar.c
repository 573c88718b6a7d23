// What tasks of a disc on the plane share.

#include "tasks/planar.h"

#include <math.h>

#include "env/factors.h"

void us_planar_proprio(const mjModel* m, const mjData* d, float* out) {
  for (int i = 0; i < 2; i++) {
    out[i] = (float)d->qpos[i];
    out[2 + i] = (float)d->qvel[i];
  }
}

void us_planar_measure(const mjModel* m, const mjData* d, double* out) {
  out[0] = d->qpos[0];
  out[1] = d->qpos[1];
}

double us_planar_distance(const mjModel* m, const double* a, const double* goal) {
  return hypot(a[0] - goal[0], a[1] - goal[1]);
}

double us_planar_radius(const mjModel* m) {
  return m->geom_size[3 * m->body_geomadr[m->jnt_bodyid[0]]];
}

// The disc is the body of the first joint.
static int size(mjModel* m, double x) {
  us_factor_resize(m, mj_id2name(m, mjOBJ_BODY, m->jnt_bodyid[0]), 1 + 0.4 * x);
  return 1;
}

const UsFactor us_planar_factors[] = {
    {"size", "radius of the disc, -40 to +40 %", 1, size},
    {NULL, NULL, 0, NULL},
};

void us_planar_drive(const double* from, const double* to, double speed, double near,
                     float* action) {
  // Slower within `near` of the target.
  double norm = fmax(fabs(to[0] - from[0]), fabs(to[1] - from[1]));
  double gain = speed * fmin(1, norm / near) / fmax(norm, 1e-6);
  for (int i = 0; i < 2; i++) action[i] = (float)(gain * (to[i] - from[i]));
}
