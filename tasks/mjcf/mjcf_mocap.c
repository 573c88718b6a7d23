// Bodies of motion capture as actions.

#include "tasks/mjcf/mjcf_mocap.h"

#include <math.h>

#include "env/scene.h"
#include "tasks/mjcf/mjcf_adapt.h"
#include "worldmodel/base/rng.h"

enum { SAMPLES = 256 };  // positions whose places make the box

// The two sides of a constraint: the body of motion capture and what it drives.
typedef struct Tie {
  int mocap, driven;  // bodies
  int side;           // 0: the first of the constraint is the mocap body
} Tie;

static int tie_of(const mjModel* m, int e, Tie* t) {
  if (m->eq_type[e] != mjEQ_WELD && m->eq_type[e] != mjEQ_CONNECT) return 0;
  int site = m->eq_objtype[e] == mjOBJ_SITE, a = m->eq_obj1id[e], b = m->eq_obj2id[e];
  if (site) a = m->site_bodyid[a], b = m->site_bodyid[b];
  int side = m->body_mocapid[a] < 0;
  *t = (Tie){side ? b : a, side ? a : b, side};
  return m->body_mocapid[t->mocap] >= 0 && m->body_mocapid[t->driven] < 0 && t->driven > 0;
}

static const double* room_of(const mjModel* m, int* count) {
  int id = mj_name2id(m, mjOBJ_NUMERIC, US_MJCF_MOCAP);
  *count = id < 0 ? 0 : m->numeric_size[id] / US_MOCAP_ROOM;
  return id < 0 ? NULL : m->numeric_data + m->numeric_adr[id];
}

// Whether e is the first constraint of its mocap body that is active at the start.
static int is_first(const mjModel* m, int e) {
  Tie t, other;
  if (!m->eq_active0[e] || !tie_of(m, e, &t)) return 0;
  for (int i = 0; i < e; i++) {
    if (m->eq_active0[i] && tie_of(m, i, &other) && other.mocap == t.mocap) return 0;
  }
  return 1;
}

int us_mjcf_mocap_find(const mjModel* m) {
  int count = 0;
  for (int e = 0; e < m->neq; e++) count += is_first(m, e);
  return count;
}

int us_mjcf_mocap_count(const mjModel* m) {
  int count;
  room_of(m, &count);
  return count;
}

int us_mjcf_mocap_equality(const mjModel* m, int i) {
  int count;
  return (int)room_of(m, &count)[US_MOCAP_ROOM * i];
}

int us_mjcf_mocap_body(const mjModel* m, int i) {
  Tie t = {0};
  tie_of(m, us_mjcf_mocap_equality(m, i), &t);
  return t.driven;
}

int us_mjcf_mocap_actions(const mjModel* m, int i) {
  return m->eq_type[us_mjcf_mocap_equality(m, i)] == mjEQ_WELD ? 6 : 3;
}

int us_mjcf_mocap_has(const mjModel* m, int equality) {
  int count = us_mjcf_mocap_count(m);
  for (int i = 0; i < count; i++) {
    if (us_mjcf_mocap_equality(m, i) == equality) return 1;
  }
  return 0;
}

// ---- where a constraint holds ----

// A frame of a side in its body: of a site, or of the numbers of the constraint (mjmodel.h,
// eq_data; a weld's first 3 are the anchor in its second body, then the pose of that in the first).
static void local_frame(const mjModel* m, int e, int side, double* place, double* quat) {
  static const double one[4] = {1, 0, 0, 0};
  const double* data = m->eq_data + mjNEQDATA * e;
  int weld = m->eq_type[e] == mjEQ_WELD;
  mju_copy4(quat, one);
  if (m->eq_objtype[e] == mjOBJ_SITE) {
    int site = side ? m->eq_obj2id[e] : m->eq_obj1id[e];
    mju_copy3(place, m->site_pos + 3 * site);
    mju_copy4(quat, m->site_quat + 4 * site);
    return;
  }
  mju_copy3(place, data + (weld ? 3 * !side : 3 * side));
  if (weld && !side) mju_copy4(quat, data + 6);
}

// Where in its body the driven side is taken hold of: at a site of the constraint, else its origin.
static void hold_of(const mjModel* m, int e, const Tie* t, double* place) {
  double quat[4];
  mju_zero3(place);
  if (m->eq_objtype[e] == mjOBJ_SITE) local_frame(m, e, !t->side, place, quat);
}

// The hold in the world, where the driven body stands in d.
static void find_hold(const mjModel* m, const mjData* d, int e, const Tie* t, double* place) {
  double hold[3];
  hold_of(m, e, t, hold);
  mju_rotVecQuat(place, hold, d->xquat + 4 * t->driven);
  mju_addTo3(place, d->xpos + 3 * t->driven);
}

// The pose of the mocap body with which the constraint holds once the driven body's hold is at `at`
// (3) and the body turned as `turned` (4).
static void tie_to(const mjModel* m, const mjData* d, int e, const Tie* t, const double* at,
                   const double* turned, double* place, double* quat) {
  double hold[3], theirs[3], turn[4], ours[3], back[4], held[4], tied[3];
  hold_of(m, e, t, hold);
  local_frame(m, e, !t->side, theirs, turn);
  local_frame(m, e, t->side, ours, back);
  mju_copy4(quat, d->mocap_quat + 4 * m->body_mocapid[t->mocap]);
  if (m->eq_type[e] == mjEQ_WELD) {
    mju_mulQuat(held, turned, turn);
    mju_negQuat(back, back);
    mju_mulQuat(quat, held, back);
    mju_normalize4(quat);
  }
  // The two frames' places are one.
  mju_subFrom3(theirs, hold);
  mju_rotVecQuat(tied, theirs, turned);
  mju_addTo3(tied, at);
  mju_rotVecQuat(place, ours, quat);
  mju_sub3(place, tied, place);
}

// ---- actions ----

// Scales x (3) to a length of at most `most`, which it has where it was 1 or longer.
static void shorten(double* x, double most) {
  mju_scl3(x, x, most / fmax(1, mju_norm3(x)));
}

void us_mjcf_mocap_control(const mjModel* m, mjData* d, double gain, const float* action) {
  int count;
  const double* room = room_of(m, &count);
  for (int i = 0; i < count; i++, room += US_MOCAP_ROOM) {
    int e = (int)room[0];
    Tie t = {0};
    if (!d->eq_active[e] || !tie_of(m, e, &t)) continue;
    double at[3], off[3], turn[3], by[4], turned[4], place[3], quat[4];
    find_hold(m, d, e, &t, at);
    for (int k = 0; k < 3; k++) off[k] = gain * (double)action[k];
    shorten(off, US_MOCAP_STEP);
    // A step does not leave the box; what is outside may come back.
    for (int k = 0; k < 3; k++) {
      double low = fmin(room[1 + k], at[k]), high = fmax(room[4 + k], at[k]);
      at[k] = fmin(fmax(at[k] + off[k], low), high);
    }
    action += 3;
    // The driven body turns about its own hold, wherever the body of motion capture lies.
    mju_copy4(turned, d->xquat + 4 * t.driven);
    if (m->eq_type[e] == mjEQ_WELD) {
      for (int k = 0; k < 3; k++) turn[k] = gain * (double)action[k];
      shorten(turn, US_MOCAP_TURN);
      double angle = mju_normalize3(turn);
      mju_axisAngle2Quat(by, turn, angle);
      mju_mulQuat(turned, by, d->xquat + 4 * t.driven);
      action += 3;
    }
    tie_to(m, d, e, &t, at, turned, place, quat);
    int mocap = m->body_mocapid[t.mocap];
    mju_copy3(d->mocap_pos + 3 * mocap, place);
    mju_copy4(d->mocap_quat + 4 * mocap, quat);
  }
}

// ---- the box ----

// Draws the limited joints; a body that floats goes an extent to every side.
static void draw(const mjModel* m, mjData* d, UsRng* rng) {
  for (int j = 0; j < m->njnt; j++) {
    const double* range = m->jnt_range + 2 * j;
    double* q = d->qpos + m->jnt_qposadr[j];
    int type = m->jnt_type[j];
    if (type == mjJNT_FREE) {
      for (int k = 0; k < 3; k++) q[k] += us_rng_range(rng, -1, 1) * m->stat.extent;
    } else if (type >= mjJNT_SLIDE && m->jnt_limited[j]) {
      q[0] = us_rng_range(rng, range[0], range[1]);
    } else if (type == mjJNT_HINGE) {
      q[0] = us_rng_range(rng, -M_PI, M_PI);
    }
  }
}

void us_mjcf_mocap_fill(mjModel* m) {
  int id = mj_name2id(m, mjOBJ_NUMERIC, US_MJCF_MOCAP);
  if (id < 0) return;
  double* room = m->numeric_data + m->numeric_adr[id];
  mjData* d = mj_makeData(m);
  for (int e = 0; e < m->neq; e++) {
    Tie t = {0};
    if (!is_first(m, e)) continue;
    tie_of(m, e, &t);
    room[0] = e;
    for (int s = 0; s < SAMPLES; s++) {
      UsRng rng = us_rng(0, US_RNG_RESET, (uint64_t)s, 0, 0);
      double at[3];
      us_scene_start(m, d);
      if (s > 0) draw(m, d, &rng);
      mj_kinematics(m, d);
      find_hold(m, d, e, &t, at);
      for (int k = 0; k < 3; k++) {
        room[1 + k] = s ? fmin(room[1 + k], at[k]) : at[k];
        room[4 + k] = s ? fmax(room[4 + k], at[k]) : at[k];
      }
    }
    us_mjcf_hide_body(m, t.mocap);
    room += US_MOCAP_ROOM;
  }
  mj_deleteData(d);
}
