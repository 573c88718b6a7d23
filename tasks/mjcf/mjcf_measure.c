// Measures of an MJCF task and their distance.

#include "tasks/mjcf/mjcf_measure.h"

#include <math.h>

#include "tasks/mjcf/mjcf_adapt.h"
#include "tasks/mjcf/mjcf_start.h"

static const double turn = 2 * M_PI;  // rad

double us_mjcf_radius(const mjModel* m) {
  return us_mjcf_custom(m, "understudy_radius", 0.02);
}

// ---- what is measured ----

int us_mjcf_measure_names(const mjModel* m) {
  char name[64];
  int n = 0;
  const char* list = us_mjcf_text(m, "understudy_measure");
  while (list && (list = us_mjcf_next_name(list, name))) n++;
  return n;
}

// The list (*n) of what is measured; NULL: all joints.
static const double* measured(const mjModel* m, int* n) {
  int id = mj_name2id(m, mjOBJ_NUMERIC, US_MJCF_MEASURED);
  *n = id < 0 ? (int)m->njnt : m->numeric_size[id];
  return id < 0 ? NULL : m->numeric_data + m->numeric_adr[id];
}

UsStatus us_mjcf_measure_fill(const char* path, mjModel* m) {
  char name[64], joints[300], bodies[300];
  int id = mj_name2id(m, mjOBJ_NUMERIC, US_MJCF_MEASURED), n = 0;
  const char* list = us_mjcf_text(m, "understudy_measure");
  if (id < 0) return US_OK;
  double* what = m->numeric_data + m->numeric_adr[id];
  while (list && (list = us_mjcf_next_name(list, name))) {
    int joint = mj_name2id(m, mjOBJ_JOINT, name), body = mj_name2id(m, mjOBJ_BODY, name);
    if (joint < 0 && body < 0) {
      us_mjcf_names(m, mjOBJ_JOINT, joints, sizeof(joints));
      us_mjcf_names(m, mjOBJ_BODY, bodies, sizeof(bodies));
      return us_fail(US_USAGE,
                     "%s: --measure (understudy_measure): expected names of joints (%s) or bodies "
                     "(%s), found \"%s\"",
                     path, joints, bodies, name);
    }
    what[n++] = joint >= 0 ? joint : -1 - body;
  }
  return US_OK;
}

static int joint_size(const mjModel* m, int j) {
  static const int size[] = {
      [mjJNT_FREE] = 7, [mjJNT_BALL] = 4, [mjJNT_SLIDE] = 1, [mjJNT_HINGE] = 1};
  return size[m->jnt_type[j]];
}

int us_mjcf_measure_size(const mjModel* m) {
  int n, size = 0;
  const double* what = measured(m, &n);
  if (!what) return m->nq ? (int)m->nq : 1;
  for (int i = 0; i < n; i++) size += what[i] < 0 ? 3 : joint_size(m, (int)what[i]);
  return size;
}

void us_mjcf_measure_read(const mjModel* m, const mjData* d, double* out) {
  int n;
  const double* what = measured(m, &n);
  if (!what) {
    if (m->nq == 0) out[0] = 0;
    mju_copy(out, d->qpos, (int)m->nq);
    return;
  }
  for (int i = 0; i < n; i++) {
    int id = (int)what[i], size = id < 0 ? 3 : joint_size(m, id);
    mju_copy(out, id < 0 ? d->xpos + 3 * (-1 - id) : d->qpos + m->jnt_qposadr[id], size);
    out += size;
  }
}

// ---- distances ----

// Angle (rad) between two rotations; chords are exact at 0.
static double angle_of(const double* a, const double* b) {
  double same = 0, other = 0;
  for (int i = 0; i < 4; i++) {
    same += (a[i] - b[i]) * (a[i] - b[i]);
    other += (a[i] + b[i]) * (a[i] + b[i]);
  }
  return 4 * asin(fmin(sqrt(fmin(same, other)) / 2, 1));
}

// Shares of the scales by which joints differ.
typedef struct Gap {
  double squares, most;
  int joints;
} Gap;

static void add(Gap* g, double share) {
  g->squares += share * share;
  g->most = fmax(g->most, share);
  g->joints++;
}

// A place, in shares of the extent.
static void add_place(const mjModel* m, const double* x, const double* y, Gap* g) {
  double off = x[0] - y[0];
  add(g, sqrt(off * off + (x[1] - y[1]) * (x[1] - y[1]) + (x[2] - y[2]) * (x[2] - y[2])) /
             m->stat.extent);
}

// A free joint counts twice, as a place and as a rotation.
static void add_joint(const mjModel* m, int j, const double* x, const double* y, Gap* g) {
  double off = x[0] - y[0];
  switch (m->jnt_type[j]) {
    case mjJNT_FREE:
      add_place(m, x, y, g);
      add(g, angle_of(x + 3, y + 3) / turn);
      break;
    case mjJNT_BALL:
      add(g, angle_of(x, y) / turn);
      break;
    case mjJNT_HINGE:
      // Full turns do not count.
      if (!m->jnt_limited[j]) off = remainder(off, turn);
      // fall through
    default:
      add(g, fabs(off) / us_mjcf_scale(m, j));
  }
}

static Gap gap_of(const mjModel* m, const double* a, const double* b) {
  Gap g = {0};
  int n;
  const double* what = measured(m, &n);
  for (int i = 0; i < n; i++) {
    int id = what ? (int)what[i] : i, size = id < 0 ? 3 : joint_size(m, id);
    if (id < 0) {
      add_place(m, a, b, &g);
    } else {
      add_joint(m, id, a, b, &g);
    }
    a += size;
    b += size;
  }
  return g;
}

// Root mean square over what is measured.
double us_mjcf_distance(const mjModel* m, const double* a, const double* goal) {
  Gap g = gap_of(m, a, goal);
  return g.joints ? sqrt(g.squares / g.joints) : 0;
}

// Everything on its own.
int us_mjcf_success(const mjModel* m, const double* a, const double* goal) {
  return gap_of(m, a, goal).most <= us_mjcf_radius(m);
}
