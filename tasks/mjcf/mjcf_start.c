// Where episodes of an MJCF task begin: noise around the model's start, and joints that hang
// together put together again.

#include "tasks/mjcf/mjcf_start.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "env/task.h"
#include "tasks/mjcf/mjcf_mocap.h"

static const double turn = 2 * M_PI;  // rad

double us_mjcf_custom(const mjModel* m, const char* name, double otherwise) {
  int id = mj_name2id(m, mjOBJ_NUMERIC, name);
  return id < 0 ? otherwise : m->numeric_data[m->numeric_adr[id]];
}

// What a joint's way is measured by: its range, a turn, or the model's extent.
double us_mjcf_scale(const mjModel* m, int j) {
  const mjtNum* range = m->jnt_range + 2 * j;
  if (m->jnt_type[j] == mjJNT_SLIDE) {
    return m->jnt_limited[j] ? range[1] - range[0] : m->stat.extent;
  }
  return m->jnt_limited[j] ? fmin(range[1] - range[0], turn) : turn;
}

// ---- noise ----

// Rotates a quaternion by an angle (rad) about an axis in the world's frame.
static void rotate(double* quat, const double* axis, double angle) {
  double by[4], from[4];
  mju_axisAngle2Quat(by, axis, angle);
  mju_copy4(from, quat);
  mju_mulQuat(quat, by, from);
  mju_normalize4(quat);
}

// Moves a free body across gravity and turns it about it, so that what stands stays standing.
static void move_free(const mjModel* m, double* q, UsRng* rng, double noise) {
  double up[3] = {-m->opt.gravity[0], -m->opt.gravity[1], -m->opt.gravity[2]}, way[3];
  if (mju_normalize3(up) < mjMINVAL) mju_copy3(up, (double[]){0, 0, 1});
  for (int i = 0; i < 3; i++) way[i] = us_rng_range(rng, -1, 1) * noise * m->stat.extent;
  mju_addToScl3(way, up, -mju_dot3(way, up));
  mju_addTo3(q, way);
  rotate(q + 3, up, us_rng_range(rng, -1, 1) * noise * turn);
}

// Limits of a slide or hinge (2) that begins at q: no start is drawn back to its limits.
static void limits(const mjModel* m, int j, double q, double* range) {
  range[0] = m->jnt_limited[j] ? fmin(m->jnt_range[2 * j], q) : -INFINITY;
  range[1] = m->jnt_limited[j] ? fmax(m->jnt_range[2 * j + 1], q) : INFINITY;
}

// Moves all joints of q (nq).
static void move(const mjModel* m, double* q, UsRng* rng, double noise) {
  for (int j = 0; j < m->njnt; j++) {
    double *at = q + m->jnt_qposadr[j], axis[3], range[2];
    if (m->jnt_type[j] == mjJNT_FREE) {
      move_free(m, at, rng, noise);
    } else if (m->jnt_type[j] == mjJNT_BALL) {
      // An axis that is uniform on the sphere.
      for (int i = 0; i < 3; i++) axis[i] = (double)us_rng_normal(rng);
      mju_normalize3(axis);
      rotate(at, axis, us_rng_range(rng, 0, 1) * noise * turn);
    } else {
      // Off by a share of its scale, thrown back at its limits.
      limits(m, j, at[0], range);
      at[0] += us_rng_range(rng, -1, 1) * noise * us_mjcf_scale(m, j);
      if (!m->jnt_limited[j]) continue;
      if (at[0] < range[0]) at[0] = 2 * range[0] - at[0];
      if (at[0] > range[1]) at[0] = 2 * range[1] - at[0];
      at[0] = fmin(fmax(at[0], range[0]), range[1]);
    }
  }
}

// ---- joints that hang together ----

enum { MOST = 4096 };  // degrees of freedom, of which a matrix is made

// A solution of equality constraints near d->qpos. In shares y of the scales, a step of Gauss and
// Newton from residuals r, with the rows of J scaled alike, is (J'J + e) y = -J'r.
typedef struct Solve {
  const mjModel* m;
  mjData* d;
  int rows;        // ne
  double* start;   // (nq)
  double* moved;   // (nq) with noise
  double* off;     // (nv) from the start to there
  double* scale;   // (nv) of each degree of freedom; 0: it stays
  double* target;  // (ne) residuals to arrive at
  double* kept;    // (ne) those of the start
  double* row;     // (nv) of J
  double* slope;   // (nv) J'r
  double* y;       // (nv)
  double* square;  // (nv, nv) J'J + e
} Solve;

// An error of MuJoCo leaves whoever asked it without a chance to free anything: the memory of a
// solution belongs to its thread, which frees it at its end.
static pthread_key_t memory_key;

static void make_key(void) {
  pthread_key_create(&memory_key, free);
}

// At least n numbers of the thread's own, until the next call; NULL: there are none.
static double* thread_numbers(size_t n) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_key);
  size_t* block = pthread_getspecific(memory_key);
  if (!block || *block < n) {
    free(block);
    block = malloc(sizeof(double) * (n + 1));
    pthread_setspecific(memory_key, block);
    if (block) *block = n;
  }
  return block ? (double*)block + 1 : NULL;
}

// Gives a solution its memory; 0: there is none, or the model is too large for it.
static int lay_out(Solve* s) {
  const size_t nq = (size_t)s->m->nq, nv = (size_t)s->m->nv, rows = (size_t)s->rows;
  if (nv > MOST) return 0;
  double* at = thread_numbers(2 * nq + 5 * nv + 2 * rows + nv * nv);
  if (!at) return 0;
  s->start = at, at += nq;
  s->moved = at, at += nq;
  s->off = at, at += nv;
  s->scale = at, at += nv;
  s->target = at, at += rows;
  s->kept = at, at += rows;
  s->row = at, at += nv;
  s->slope = at, at += nv;
  s->y = at, at += nv;
  s->square = at;
  return 1;
}

enum { ITERATIONS = 50, HALVINGS = 4 };
static const double solved = 1e-6;   // m, rad: largest norm of what is left
static const double stride = 0.1;    // share of a scale: longest way of a step
static const double closing = 0.05;  // share of a scale: a start that is so close is meant closed

// Kinds of equality that hold joints together. A body of motion capture that is an action follows.
static int is_loop(const mjModel* m, int equality) {
  int type = m->eq_type[equality];
  if (us_mjcf_mocap_has(m, equality)) return 0;
  return type == mjEQ_CONNECT || type == mjEQ_WELD || type == mjEQ_JOINT || type == mjEQ_TENDON;
}

static int has_loops(const mjModel* m, const mjData* d) {
  if (m->opt.disableflags & (mjDSBL_CONSTRAINT | mjDSBL_EQUALITY)) return 0;
  for (int i = 0; i < m->neq; i++) {
    if (d->eq_active[i] && is_loop(m, i)) return 1;
  }
  return 0;
}

static int is_row(const Solve* s, int i) {
  return s->d->efc_type[i] == mjCNSTR_EQUALITY && is_loop(s->m, s->d->efc_id[i]);
}

// Makes the constraints of d->qpos anew and counts the rows that are to be solved.
static int count_rows(const Solve* s) {
  int n = 0;
  mj_fwdPosition(s->m, s->d);
  for (int i = 0; i < s->d->nefc; i++) n += is_row(s, i);
  return n;
}

// The row of constraint i in the scaled J.
static void read_row(Solve* s, int i) {
  const mjData* d = s->d;
  const int nv = (int)s->m->nv;
  if (!mj_isSparse(s->m)) {
    for (int k = 0; k < nv; k++) s->row[k] = d->efc_J[i * nv + k] * s->scale[k];
    return;
  }
  mju_zero(s->row, nv);
  for (int k = 0; k < d->efc_J_rownnz[i]; k++) {
    int at = d->efc_J_rowadr[i] + k, v = d->efc_J_colind[at];
    s->row[v] = d->efc_J[at] * s->scale[v];
  }
}

// Fills square and slope; returns the norm of the residuals, or -1 where the rows are others.
static double assemble(Solve* s) {
  const int nv = (int)s->m->nv;
  double squares = 0, most = 0;
  if (count_rows(s) != s->rows) return -1;
  mju_zero(s->square, nv * nv);
  mju_zero(s->slope, nv);
  for (int i = 0, n = 0; i < s->d->nefc; i++) {
    if (!is_row(s, i)) continue;
    double left = s->d->efc_pos[i] - s->target[n++];
    squares += left * left;
    read_row(s, i);
    mju_addToScl(s->slope, s->row, left, nv);
    for (int k = 0; k < nv; k++) {
      if (s->row[k] != 0) mju_addToScl(s->square + k * nv, s->row, s->row[k], nv);
    }
  }
  for (int k = 0; k < nv; k++) most = fmax(most, s->square[k * nv + k]);
  for (int k = 0; k < nv; k++) s->square[k * nv + k] += 1e-9 * most + mjMINVAL;
  return sqrt(squares);
}

// Of every degree of freedom.
static void fill_scales(Solve* s) {
  const mjModel* m = s->m;
  for (int v = 0; v < m->nv; v++) {
    int j = m->dof_jntid[v], type = m->jnt_type[j];
    s->scale[v] = type >= mjJNT_SLIDE                              ? us_mjcf_scale(m, j)
                  : type == mjJNT_FREE && v - m->jnt_dofadr[j] < 3 ? m->stat.extent
                                                                   : turn;
  }
}

// Moves d->qpos to where the residuals are `target`. Returns whether it got there.
static int solve(Solve* s) {
  const mjModel* m = s->m;
  const int nv = (int)m->nv;
  fill_scales(s);
  for (int i = 0; i < ITERATIONS; i++) {
    double left = assemble(s), most = 0;
    if (left < 0 || !isfinite(left)) return 0;
    if (left < 1e-3 * solved) return 1;
    // A step of Gauss and Newton, no longer than the stride.
    mju_cholFactor(s->square, nv, mjMINVAL);
    mju_cholSolve(s->y, s->square, s->slope, nv);
    for (int v = 0; v < nv; v++) most = fmax(most, fabs(s->y[v]));
    double share = -fmin(1, stride / fmax(most, mjMINVAL));
    for (int v = 0; v < nv; v++) s->y[v] *= share * s->scale[v];
    mj_integratePos(m, s->d->qpos, s->y, 1);
    // A joint that goes beyond its limit stays there from now on.
    for (int j = 0; j < m->njnt; j++) {
      if (m->jnt_type[j] < mjJNT_SLIDE) continue;
      double *q = s->d->qpos + m->jnt_qposadr[j], range[2];
      limits(m, j, s->start[m->jnt_qposadr[j]], range);
      if (*q >= range[0] && *q <= range[1]) continue;
      *q = fmin(fmax(*q, range[0]), range[1]);
      s->scale[m->jnt_dofadr[j]] = 0;
    }
  }
  double left = assemble(s);
  return left >= 0 && left < solved;
}

// The largest way from a to b (nq), as a share of the scales.
static double way(Solve* s, const double* a, const double* b) {
  double most = 0;
  fill_scales(s);
  mj_differentiatePos(s->m, s->y, 1, a, b);
  for (int v = 0; v < s->m->nv; v++) most = fmax(most, fabs(s->y[v]) / s->scale[v]);
  return most;
}

// Residuals of the start are kept, as a body that is pulled from afar has them; but what needs
// little to be closed, such as a keyframe of few digits, is closed, which moves the start.
static void choose_target(Solve* s) {
  double squares = 0;
  for (int i = 0, n = 0; i < s->d->nefc; i++) {
    if (!is_row(s, i)) continue;
    s->kept[n] = s->d->efc_pos[i];
    squares += s->kept[n] * s->kept[n];
    n++;
  }
  mju_zero(s->target, s->rows);
  if (sqrt(squares) <= solved) return;
  if (solve(s) && way(s, s->start, s->d->qpos) <= closing) {
    mju_copy(s->start, s->d->qpos, (int)s->m->nq);
  } else {
    mju_copy(s->target, s->kept, s->rows);
  }
}

// Moves all joints of d, which is at the start, and then back onto the equality constraints. Where
// these cannot be met from there, from half the way to the start, and so on; at last it is the
// start.
static void move_loops(const mjModel* m, mjData* d, UsRng* rng, double noise) {
  const int nq = (int)m->nq;
  double share = 1;
  Solve s = {.m = m, .d = d};
  s.rows = count_rows(&s);
  if (!lay_out(&s)) return;
  mju_copy(s.start, d->qpos, nq);
  mju_copy(s.moved, d->qpos, nq);
  move(m, s.moved, rng, noise);
  // From all of the way moved, then from halves of it.
  choose_target(&s);
  mj_differentiatePos(m, s.off, 1, s.start, s.moved);
  for (int i = 0; i < HALVINGS; i++, share /= 2) {
    mju_copy(d->qpos, i ? s.start : s.moved, nq);
    if (i) mj_integratePos(m, d->qpos, s.off, share);
    if (solve(&s)) return;
  }
  mju_copy(d->qpos, s.start, nq);
}

// ---- resets ----

void us_mjcf_reset(const mjModel* m, mjData* d, UsRng* rng) {
  const double noise = us_mjcf_custom(m, "understudy_noise", 0.01);
  if (noise != 0 && m->nv > 0 && has_loops(m, d)) {
    move_loops(m, d, rng, noise);
  } else {
    move(m, d->qpos, rng, noise);
  }
}
