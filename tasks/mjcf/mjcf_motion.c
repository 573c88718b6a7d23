// A random roll-out of a task, and which geoms and sites move in it.

#include "tasks/mjcf/mjcf_motion.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/scene.h"
#include "env/trap.h"

enum { RUNS = 3, GROUPS = 3 };        // GROUPS: groups of geoms and sites that are drawn
static const double seconds = 4;      // of a run
static const double physics = 12000;  // steps of all runs at most, if a run has its second
static const double still = 0.01;     // extents; what moves less stands
static const double gone = 4;         // extents; what goes farther leaves
static const float thin = 0.05f;      // alpha; what has less is not seen
static const float glass = 0.6f;      // alpha; what has less and stands hides nothing

// ---- what is drawn ----

static float alpha_of(const mjModel* m, int type, int id) {
  int site = type == mjOBJ_SITE;
  int material = site ? m->site_matid[id] : m->geom_matid[id];
  float alpha = site ? m->site_rgba[4 * id + 3] : m->geom_rgba[4 * id + 3];
  return material >= 0 ? alpha * m->mat_rgba[4 * material + 3] : alpha;
}

int us_motion_drawn(const mjModel* m, int type, int id) {
  int group = type == mjOBJ_SITE ? m->site_group[id] : m->geom_group[id];
  return group < GROUPS && alpha_of(m, type, id) >= thin;
}

// ---- the roll-out ----

void us_motion_place(UsMotion* s, int run, int row) {
  const double* at = s->rows + ((size_t)run * (size_t)s->most + (size_t)row) * (size_t)s->width;
  const mjModel* m = s->m;
  mju_copy(s->d->qpos, at, (int)m->nq);
  mju_copy(s->d->mocap_pos, at + m->nq, 3 * (int)m->nmocap);
  mju_copy(s->d->mocap_quat, at + m->nq + 3 * m->nmocap, 4 * (int)m->nmocap);
  mj_kinematics(m, s->d);
  mj_comPos(m, s->d);
  mj_camlight(m, s->d);
  if (m->nflex) mj_flex(m, s->d);
}

static int is_sound(const mjModel* m, const mjData* d) {
  static const int bad[] = {mjWARN_BADQPOS, mjWARN_BADQVEL, mjWARN_BADQACC};
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
    if (d->warning[bad[i]].number) return 0;
  }
  for (int i = 0; i < m->nq; i++) {
    if (!(fabs(d->qpos[i]) < mjMAXVAL)) return 0;
  }
  return 1;
}

typedef struct Play {
  const UsTask* task;
  UsMotion* s;
  double* memory;
  float* action;
} Play;

static void keep_row(UsMotion* s, int run) {
  const mjModel* m = s->m;
  size_t row = (size_t)run * (size_t)s->most + (size_t)s->length[run]++;
  double* at = s->rows + row * (size_t)s->width;
  mju_copy(at, s->d->qpos, (int)m->nq);
  mju_copy(at + m->nq, s->d->mocap_pos, 3 * (int)m->nmocap);
  mju_copy(at + m->nq + 3 * m->nmocap, s->d->mocap_quat, 4 * (int)m->nmocap);
}

// Runs in a trap.
static void play(void* arg) {
  const Play* p = arg;
  const UsTask* t = p->task;
  UsMotion* s = p->s;
  mjData* d = s->d;
  for (int run = 0; run < s->runs; run++) {
    UsRng reset = us_rng((uint64_t)run, US_RNG_RESET, 0, 0, 0);
    us_scene_start(s->m, d);
    t->reset(s->m, d, &reset);
    mj_kinematics(s->m, d);
    for (int i = 0; i < us_task_memory(t); i++) p->memory[i] = 0;
    keep_row(s, run);
    while (s->length[run] < s->most) {
      UsRng rng = us_rng((uint64_t)run, US_RNG_POLICY, 0, (uint64_t)s->length[run], 0);
      t->policies[0].act(s->m, d, &rng, p->memory, p->action);
      t->control(s->m, d, p->action);
      for (int i = 0; i < t->frame_skip; i++) mj_step(s->m, d);
      mj_kinematics(s->m, d);
      if (!is_sound(s->m, d)) break;
      keep_row(s, run);
    }
  }
}

// ---- what moves ----

// The place of a geom or site: 3 numbers of its centre, 9 of its axes.
static const double* centre_of(const UsMotion* s, int type, int id) {
  return (type == mjOBJ_SITE ? s->d->site_xpos : s->d->geom_xpos) + 3 * id;
}

// How far it is from a place, at its farthest point; turns that its shape hides do not count.
static double way_from(const UsMotion* s, int type, int id, const double* place) {
  const mjModel* m = s->m;
  int site = type == mjOBJ_SITE, shape = site ? m->site_type[id] : m->geom_type[id];
  const double* axes = (site ? s->d->site_xmat : s->d->geom_xmat) + 9 * id;
  const double* size = m->site_size + 3 * id;
  double radius = site ? fmax(fmax(size[0], size[1]), size[2]) : m->geom_rbound[id], turned = 0;
  int round = shape == mjGEOM_CAPSULE || shape == mjGEOM_CYLINDER;
  for (int i = 0; i < 9 && shape != mjGEOM_SPHERE; i++) {
    if (round && i % 3 != 2) continue;  // the third axis is that of the shape
    turned += (axes[i] - place[3 + i]) * (axes[i] - place[3 + i]);
  }
  return mju_dist3(centre_of(s, type, id), place) + radius * sqrt(round ? turned : turned / 2);
}

static void keep_place(UsMotion* s, int type, int id, double* place) {
  mju_copy3(place, centre_of(s, type, id));
  mju_copy(place + 3, (type == mjOBJ_SITE ? s->d->site_xmat : s->d->geom_xmat) + 9 * id, 9);
}

// Compares one thing in a row with its place at the run's start.
static void compare(UsMotion* s, int row, int type, int id, uint8_t* moves) {
  const mjModel* m = s->m;
  double* place = s->start + 12 * (size_t)(type == mjOBJ_SITE ? m->ngeom + id : id);
  if (!us_motion_drawn(m, type, id)) return;
  if (row == 0) keep_place(s, type, id, place);
  double way = way_from(s, type, id, place) / m->stat.extent;
  if (way > still && *moves < 2) *moves = way > gone ? 2 : 1;
  if (row > s->second || way <= s->farthest) return;
  int body = type == mjOBJ_SITE ? m->site_bodyid[id] : m->geom_bodyid[id];
  const char* name = mj_id2name(m, mjOBJ_BODY, body);
  s->farthest = way;
  snprintf(s->farthest_of, sizeof(s->farthest_of), "%.60s", name && name[0] ? name : "a body");
}

// Runs in a trap.
static void find_moves(void* arg) {
  UsMotion* s = arg;
  const int geoms = (int)s->m->ngeom, sites = (int)s->m->nsite;
  for (int run = 0; run < s->runs; run++) {
    for (int row = 0; row < s->length[run]; row++) {
      us_motion_place(s, run, row);
      for (int g = 0; g < geoms; g++) compare(s, row, mjOBJ_GEOM, g, &s->moves[g]);
      for (int i = 0; i < sites; i++) compare(s, row, mjOBJ_SITE, i, &s->site[i]);
    }
  }
}

// What stands and can be looked through hides nothing.
static void clear_glass(UsMotion* s) {
  mjModel* m = s->m;
  for (int g = 0; g < m->ngeom; g++) {
    if (s->moves[g] || alpha_of(m, mjOBJ_GEOM, g) >= glass) continue;
    m->geom_matid[g] = -1;
    m->geom_rgba[4 * g + 3] = 0;
  }
}

// ---- making it ----

static void make_data(void* arg) {
  UsMotion* s = arg;
  s->d = mj_makeData(s->m);
}

// Copies the model; nothing in it sleeps or starts anew by itself.
static UsStatus copy_model(const char* path, const UsTask* t, UsMotion* s) {
  s->m = mj_copyModel(NULL, t->model);
  if (!s->m) return us_fail(US_MEMORY, "%s: out of memory", path);
  s->m->opt.disableflags |= mjDSBL_AUTORESET;
  s->m->opt.enableflags &= ~mjENBL_SLEEP;
  // A skin is drawn on bones, whose geoms stand for it.
  for (int i = 0; i < s->m->nskinbone; i++) {
    for (int g = 0; g < s->m->ngeom; g++) {
      if (s->m->geom_bodyid[g] != s->m->skin_bonebodyid[i]) continue;
      s->m->geom_group[g] = 0;
      s->m->geom_matid[g] = -1;
      s->m->geom_rgba[4 * g + 3] = 1;
    }
  }
  return US_OK;
}

static UsStatus make(const char* path, const UsTask* t, UsMotion* s, Play* p) {
  char found[512];
  US_TRY(copy_model(path, t, s));
  const mjModel* m = s->m;
  double dt = m->opt.timestep * t->frame_skip;
  // As long as the physics allows, a second at least.
  double room = fmin(seconds, fmax(1, physics * m->opt.timestep / RUNS));
  s->runs = RUNS;
  s->most = 1 + (int)fmin(fmax(round(room / dt), 1), 400);
  s->second = (int)fmin(fmax(round(1 / dt), 1), s->most - 1);
  s->width = (int)(m->nq + 7 * m->nmocap);
  s->length = calloc(RUNS, sizeof(int));
  s->rows = calloc((size_t)RUNS * (size_t)s->most * (size_t)s->width + 1, sizeof(double));
  s->moves = calloc((size_t)m->ngeom + 1, 1);
  s->site = calloc((size_t)m->nsite + 1, 1);
  s->start = calloc(((size_t)m->ngeom + (size_t)m->nsite) * 12 + 1, sizeof(double));
  p->memory = calloc((size_t)us_task_memory(t), sizeof(double));
  p->action = calloc((size_t)t->action, sizeof(float));
  if (!s->length || !s->rows || !s->moves || !s->site || !s->start || !p->memory || !p->action) {
    return us_fail(US_MEMORY, "%s: out of memory", path);
  }
  // An error in the middle ends the roll-out: what was played until then is looked at.
  int failed = us_trap_run(make_data, s, found, sizeof(found)) || !s->d;
  if (!failed && us_trap_run(play, p, found, sizeof(found))) {
    failed = s->length[0] == 0;
    mj_resetData(s->m, s->d);
  }
  if (failed || us_trap_run(find_moves, s, found, sizeof(found))) {
    return us_fail(US_MUJOCO, "%s: MuJoCo cannot simulate the model: %s", path, found);
  }
  clear_glass(s);
  return US_OK;
}

UsStatus us_motion_make(const char* path, const UsTask* t, UsMotion* out) {
  *out = (UsMotion){0};
  Play p = {.task = t, .s = out};
  UsStatus status = make(path, t, out, &p);
  free(p.memory);
  free(p.action);
  if (status != US_OK) us_motion_free(out);
  return status;
}

void us_motion_free(UsMotion* s) {
  mj_deleteData(s->d);
  mj_deleteModel(s->m);
  free(s->length);
  free(s->rows);
  free(s->moves);
  free(s->site);
  free(s->start);
  *s = (UsMotion){0};
}
