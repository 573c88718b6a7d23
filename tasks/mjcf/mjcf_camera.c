// The automatic camera: a sphere around the places that the moving geoms reach fills its view.

#include <math.h>

#include "env/scene.h"
#include "env/trap.h"
#include "tasks/mjcf/mjcf_file.h"
#include "worldmodel/base/rng.h"

enum { SAMPLES = 64, LONG = 4, HIDDEN = 3 };  // HIDDEN: the first group of geoms not drawn

// Balls around geoms.
typedef struct Balls {
  double centre[3];  // their mean
  double square;     // mean square of the farthest point's distance from it
  double most;       // the largest such distance
  int count;
} Balls;

// Draws the joints that stay around the model; free bodies and slides of more than LONG extents
// stay at the start.
static void draw_joint(const mjModel* m, double* q, int j, UsRng* rng) {
  const mjtNum* range = m->jnt_range + 2 * j;
  int hinge = m->jnt_type[j] == mjJNT_HINGE, limited = m->jnt_limited[j];
  int slide = m->jnt_type[j] == mjJNT_SLIDE && range[1] - range[0] <= LONG * m->stat.extent;
  if ((hinge || slide) && limited) {
    q[0] = us_rng_range(rng, range[0], range[1]);
  } else if (hinge) {
    q[0] = us_rng_range(rng, -M_PI, M_PI);
  } else if (m->jnt_type[j] == mjJNT_BALL) {
    for (int i = 0; i < 4; i++) q[i] = (double)us_rng_normal(rng);
    mju_normalize4(q);
  }
}

// Adds the places of the seen geoms to the mean, or, with the mean known, their distances from it.
static void add(const mjModel* m, const mjData* d, int fixed, int known, Balls* b) {
  for (int g = 0; g < m->ngeom; g++) {
    // Those count that are drawn, bounded, and moving unless `fixed`.
    int type = m->geom_type[g];
    if (type == mjGEOM_PLANE || type == mjGEOM_HFIELD || m->geom_group[g] >= HIDDEN) continue;
    if (!fixed && m->body_weldid[m->geom_bodyid[g]] == 0) continue;
    if (!known) {
      b->count++;
      mju_addTo3(b->centre, d->geom_xpos + 3 * g);
      continue;
    }
    double off[3];
    mju_sub3(off, d->geom_xpos + 3 * g, b->centre);
    double far = mju_norm3(off) + m->geom_rbound[g];
    b->square += far * far / b->count;
    b->most = fmax(b->most, far);
  }
}

// fixed: whether geoms that never move count.
static Balls reach(const mjModel* m, mjData* d, int fixed) {
  Balls b = {.count = 0};
  // First the mean of the places, then distances from it.
  for (int known = 0; known < 2; known++) {
    for (int s = 0; s < SAMPLES; s++) {
      // Sample 0 is the start.
      UsRng rng = us_rng(0, US_RNG_RESET, (uint64_t)s, 0, 0);
      us_scene_start(m, d);
      int joints = s > 0 ? (int)m->njnt : 0;
      for (int j = 0; j < joints; j++) draw_joint(m, d->qpos + m->jnt_qposadr[j], j, &rng);
      mj_kinematics(m, d);
      add(m, d, fixed, known, &b);
    }
    if (b.count == 0) return b;
    if (!known) mju_scl3(b.centre, b.centre, 1.0 / b.count);
  }
  return b;
}

// Places the camera so that a ball fills its view.
static void look(mjModel* m, const double* centre, double radius) {
  const double degree = M_PI / 180;
  double a = (double)m->vis.global.azimuth * degree, e = (double)m->vis.global.elevation * degree;
  int id = mj_name2id(m, mjOBJ_CAMERA, US_MJCF_CAMERA);
  double fovy = fmin(fmax((double)m->vis.global.fovy, 1), 120);
  if (m->vis.global.orthographic) fovy = 45;  // there it is a length
  // Azimuth and elevation as MuJoCo's free camera has them.
  const double ahead[3] = {cos(e) * cos(a), cos(e) * sin(a), sin(e)};
  const double right[3] = {sin(a), -cos(a), 0};
  double up[3], axes[9];
  mju_cross(up, right, ahead);
  for (int i = 0; i < 3; i++) {
    axes[3 * i] = right[i];
    axes[3 * i + 1] = up[i];
    axes[3 * i + 2] = -ahead[i];
  }
  mju_mat2Quat(m->cam_quat + 4 * id, axes);
  mju_addScl3(m->cam_pos + 3 * id, centre, ahead, -radius / sin(fovy / 2 * degree));
  m->cam_fovy[id] = fovy;
}

static void frame(void* arg) {
  mjModel* m = arg;
  mjData* d = mj_makeData(m);
  // What moves; where nothing does, what stands; where nothing is, the model's own extent.
  Balls b = reach(m, d, 0);
  if (b.count == 0) b = reach(m, d, 1);
  if (b.count == 0) {
    mju_copy3(b.centre, m->stat.center);
    b.most = m->stat.extent;
    b.square = b.most * b.most;
  }
  // The outermost places are seldom: twice the root mean square holds nearly all.
  look(m, b.centre, fmin(b.most, 2 * sqrt(b.square)));
  mj_deleteData(d);
}

UsStatus us_mjcf_frame(const char* path, mjModel* m) {
  char found[512];
  if (!us_trap_run(frame, m, found, sizeof(found))) return US_OK;
  return us_fail(US_MUJOCO, "%s: MuJoCo cannot simulate the model: %s", path, found);
}
