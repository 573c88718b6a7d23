// The camera of an MJCF task: the file's first where it sees what moves, or else the automatic one,
// in whose view a sphere around the places that the moving things reach fits.

#include "tasks/mjcf/mjcf_camera.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "env/trap.h"
#include "tasks/mjcf/mjcf.h"
#include "tasks/mjcf/mjcf_view.h"

// Shares, see UsSight: what a camera of the file has to show at least and may miss, and what is
// enough for the first direction of the automatic one.
static const double worth = 0.012, lost = 0.5, enough = 0.02, hidden = 0.15;
static const double blind = 0.005;
static const double widest = 8;  // radii of what moves: the view's at most

enum { MOST_BALLS = 1 << 20 };

typedef struct Choice {
  UsMotion* s;
  mjModel* m;  // the task's, whose automatic camera is placed
  int first;   // the file's first camera; -1: none
  int ours;    // the automatic one
  int chosen;
  struct Balls* balls;
} Choice;

// ---- the places that things reach ----

// A ball around a geom, site or vertex in a row.
typedef struct Ball {
  double at[3], radius;
  int early;  // 1: in the first second of a run
} Ball;

typedef struct Balls {
  Ball* ball;   // (most)
  double* key;  // (most) of the work
  int count, most;
  double size;  // of all of them in one row: a mean over rows
} Balls;

static void add_ball(Balls* b, const double* at, double radius, int early) {
  if (b->count == b->most) return;
  Ball* ball = &b->ball[b->count++];
  mju_copy3(ball->at, at);
  ball->radius = radius;
  ball->early = early;
}

// Which geoms count: those that move, those that leave too; all of bodies that can; all that stand.
typedef enum Who { STAYING, MOVING, FREE, ALL, WHOS } Who;

static int counts(const UsMotion* s, Who who, int g) {
  const mjModel* m = s->m;
  if (who <= MOVING) return who == STAYING ? s->moves[g] == 1 : s->moves[g] != 0;
  int type = m->geom_type[g];
  if (type == mjGEOM_PLANE || type == mjGEOM_HFIELD || !us_motion_drawn(m, mjOBJ_GEOM, g)) return 0;
  return who == ALL || m->body_weldid[m->geom_bodyid[g]] != 0;
}

static void add_row(const UsMotion* s, Who who, int early, Balls* b) {
  const mjModel* m = s->m;
  const mjData* d = s->d;
  for (int g = 0; g < m->ngeom; g++) {
    if (counts(s, who, g)) add_ball(b, d->geom_xpos + 3 * g, m->geom_rbound[g], early);
  }
  for (int i = 0; i < m->nsite && who <= MOVING; i++) {
    if (who == STAYING ? s->site[i] == 1 : s->site[i] != 0)
      add_ball(b, d->site_xpos + 3 * i, m->site_size[3 * i], early);
  }
  for (int i = 0; i < m->nflexvert; i++) add_ball(b, d->flexvert_xpos + 3 * i, 0, early);
}

static int rising(const void* a, const void* b) {
  double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

// Of the balls from `first` on, the medians of their places; those that are early alone, or all.
static void middle(Balls* b, int first, int early, double* centre) {
  for (int k = 0; k < 3; k++) {
    int n = 0;
    for (int i = first; i < b->count; i++) {
      if (!early || b->ball[i].early) b->key[n++] = b->ball[i].at[k];
    }
    qsort(b->key, (size_t)n, sizeof(double), rising);
    centre[k] = n ? b->key[n / 2] : 0;
  }
}

// Of the balls from `first` on, the radius around a centre that a share of them lies within.
static double within(Balls* b, int first, double share, const double* centre) {
  int n = b->count - first;
  for (int i = 0; i < n; i++) {
    const Ball* ball = &b->ball[first + i];
    b->key[i] = mju_dist3(ball->at, centre) + ball->radius;
  }
  qsort(b->key, (size_t)n, sizeof(double), rising);
  return n ? b->key[(int)(share * (n - 1))] : 0;
}

// Fills b with all rows.
static void reach(UsMotion* s, Who who, Balls* b) {
  int rows = 0;
  b->count = 0;
  b->size = 0;
  for (int run = 0; run < s->runs; run++) {
    for (int row = 0; row < s->length[run]; row++) {
      int first = b->count;
      double centre[3];
      us_motion_place(s, run, row);
      add_row(s, who, row <= s->second, b);
      middle(b, first, 0, centre);
      b->size += within(b, first, 0.5, centre);
      rows++;
    }
  }
  b->size /= rows;
}

// ---- the automatic camera ----

// Where a camera looks from, in degrees: azimuth and elevation as of MuJoCo's free camera, and how
// wide it looks.
typedef struct Way {
  double azimuth, elevation, fovy;
} Way;

// Places a camera so that a ball fills its view.
static void aim(mjModel* m, int camera, const double* centre, double radius, Way w) {
  const double degree = M_PI / 180, a = w.azimuth * degree, e = w.elevation * degree;
  const double fovy = w.fovy;
  const double ahead[3] = {cos(e) * cos(a), cos(e) * sin(a), sin(e)};
  const double right[3] = {sin(a), -cos(a), 0};
  double up[3], axes[9];
  mju_cross(up, right, ahead);
  for (int i = 0; i < 3; i++) {
    axes[3 * i] = right[i];
    axes[3 * i + 1] = up[i];
    axes[3 * i + 2] = -ahead[i];
  }
  mju_mat2Quat(m->cam_quat + 4 * camera, axes);
  mju_addScl3(m->cam_pos + 3 * camera, centre, ahead, -radius / sin(fovy / 2 * degree));
  m->cam_fovy[camera] = fovy;
}

// Copies what aim sets.
static void copy_camera(mjModel* to, const mjModel* from, int camera) {
  mju_copy3(to->cam_pos + 3 * camera, from->cam_pos + 3 * camera);
  mju_copy4(to->cam_quat + 4 * camera, from->cam_quat + 4 * camera);
  to->cam_fovy[camera] = from->cam_fovy[camera];
}

// Tries directions in turn until one is good enough, and keeps the best: the file's own, then from
// all sides and from above; for what lies within walls, from near and wide.
static void choose_way(Choice* c, const double* centre, double radius) {
  enum { FAR = 7, WAYS = 11 };
  mjModel* m = c->s->m;
  const double a = (double)m->vis.global.azimuth, e = (double)m->vis.global.elevation;
  // A flat view's fovy is a length.
  const double fovy =
      m->vis.global.orthographic ? 45 : fmin(fmax((double)m->vis.global.fovy, 1), 120);
  const Way way[WAYS] = {{a, e, fovy},        {a, -35, fovy},      {a, -60, fovy},
                         {a, -89, fovy},      {a + 90, -35, fovy}, {a + 180, -35, fovy},
                         {a - 90, -35, fovy}, {a, -35, 100},       {a + 90, -35, 100},
                         {a + 180, -35, 100}, {a - 90, -35, 100}};
  double best = -1;
  for (int i = 0; i < (best < blind ? WAYS : FAR); i++) {
    aim(m, c->ours, centre, radius, way[i]);
    UsSight sight = us_view_see(c->s, c->ours);
    double value = sight.changing * (1 - sight.missed);
    if (value > best) copy_camera(c->m, m, c->ours);
    best = fmax(best, value);
    if (i == 0 && sight.changing >= enough && sight.missed < hidden) break;
  }
}

// Aims the automatic camera at where things go.
static void frame(Choice* c) {
  UsMotion* s = c->s;
  Balls* b = c->balls;
  mjModel* m = s->m;
  double centre[3], radius = m->stat.extent;
  mju_copy3(centre, m->stat.center);
  for (int who = STAYING; who < WHOS; who++) {
    reach(s, (Who)who, b);
    if (b->count == 0) continue;
    // The outermost places are seldom. What goes far beyond its own size is seen at first.
    middle(b, 0, 0, centre);
    radius = 1.05 * within(b, 0, 0.92, centre);
    if (radius > widest * b->size) {
      radius = widest * b->size;
      middle(b, 0, 1, centre);
    }
    break;
  }
  radius = fmax(radius, 1e-3 * m->stat.extent);
  // Nothing is cut off before what is to be seen.
  double near = 0.1 * radius / m->stat.extent;
  c->m->vis.map.znear = (float)fmin((double)m->vis.map.znear, near);
  choose_way(c, centre, radius);
  copy_camera(m, c->m, c->ours);
}

// Runs in a trap.
static void choose(void* arg) {
  Choice* c = arg;
  frame(c);
  c->chosen = c->ours;
  if (c->first < 0) return;
  UsSight sight = us_view_see(c->s, c->first);
  if (sight.changing >= worth && sight.missed < lost) c->chosen = c->first;
}

UsStatus us_mjcf_choose_camera(const char* path, const UsTask* t, int first, int ours, mjModel* m,
                               int* chosen) {
  char found[512];
  UsMotion s;
  US_TRY(us_motion_make(path, t, &s));
  size_t most = (size_t)s.runs * (size_t)s.most * (size_t)(m->ngeom + m->nsite + m->nflexvert) + 1;
  if (most > MOST_BALLS) most = MOST_BALLS;
  Balls b = {calloc(most, sizeof(Ball)), calloc(most, sizeof(double)), 0, (int)most, 0};
  Choice c = {.s = &s, .m = m, .first = first, .ours = ours, .balls = &b};
  int room = b.ball && b.key;
  int failed = room && us_trap_run(choose, &c, found, sizeof(found));
  us_motion_free(&s);
  free(b.ball);
  free(b.key);
  if (!room) return us_fail(US_MEMORY, "%s: out of memory", path);
  if (failed) return us_fail(US_MUJOCO, "%s: MuJoCo cannot look at the model: %s", path, found);
  *chosen = c.chosen;
  return US_OK;
}

// ---- for people ----

typedef struct Survey {
  UsMotion* s;
  UsMjcfViews* out;
} Survey;

// Runs in a trap.
static void survey(void* arg) {
  const Survey* c = arg;
  UsMotion* s = c->s;
  UsMjcfViews* out = c->out;
  for (int i = 0; i < out->count; i++) {
    UsSight sight = us_view_see(s, i);
    UsMjcfView* v = &out->view[i];
    snprintf(v->camera, sizeof(v->camera), "%.60s", mj_id2name(s->m, mjOBJ_CAMERA, i));
    v->changing = sight.changing;
    v->missed = sight.missed;
  }
  for (int i = 0; i < out->rows; i++) {
    us_motion_place(s, 0, i * s->second / 2);
    mj_getState(s->m, s->d, out->states + (size_t)i * (size_t)out->stride, mjSTATE_INTEGRATION);
  }
}

UsStatus us_mjcf_views(const UsTask* task, UsMjcfViews* out) {
  char found[512];
  UsMotion s;
  *out = (UsMjcfViews){0};
  US_TRY(us_motion_make(task->name, task, &s));
  int half = s.second / 2 ? s.second / 2 : 1;
  out->count = (int)s.m->ncam;
  out->stride = (int)mj_stateSize(s.m, mjSTATE_INTEGRATION);
  out->rows = s.second > 1 ? 1 + (s.length[0] - 1) / half : 1;
  while (out->rows > 1 && (out->rows - 1) * s.second / 2 >= s.length[0]) out->rows--;
  out->farthest = s.farthest;
  snprintf(out->moving, sizeof(out->moving), "%s", s.farthest_of);
  out->view = calloc((size_t)out->count, sizeof(*out->view));
  out->states = calloc((size_t)out->rows * (size_t)out->stride, sizeof(double));
  Survey c = {&s, out};
  UsStatus status = US_OK;
  if (!out->view || !out->states) {
    status = us_fail(US_MEMORY, "%s: out of memory", task->name);
  } else if (us_trap_run(survey, &c, found, sizeof(found))) {
    status = us_fail(US_MUJOCO, "%s: MuJoCo cannot look at the model: %s", task->name, found);
  }
  us_motion_free(&s);
  if (status != US_OK) us_mjcf_views_free(out);
  return status;
}

void us_mjcf_views_free(UsMjcfViews* v) {
  free(v->view);
  free(v->states);
  *v = (UsMjcfViews){0};
}
