// What a camera sees, by rays through a grid of its picture: each meets a geom, a site, a flex or
// nothing. Where two rows a second apart meet different things, of which one moves, the picture
// changes.

#include "tasks/mjcf/mjcf_view.h"

#include <math.h>
#include <string.h>

enum { GRID = 32, PLACES = 64, EACH = 4 };  // EACH: rows of a run that are looked at, at most
enum { NOTHING = -1 };

typedef struct Picture {
  int thing[GRID * GRID];  // a geom, then sites, then flexes; NOTHING
} Picture;

typedef struct Eye {
  const double *place, *axes;  // (3), (9) of the camera
  double half;                 // tangent of half the view, or half the height of a flat one
  int flat;
} Eye;

static Eye eye_of(const UsMotion* s, int camera) {
  const mjModel* m = s->m;
  int flat = m->cam_projection[camera] == mjPROJ_ORTHOGRAPHIC;
  double fovy = m->cam_fovy[camera];
  return (Eye){s->d->cam_xpos + 3 * camera, s->d->cam_xmat + 9 * camera,
               flat ? fovy / 2 : tan(fovy / 2 * M_PI / 180), flat};
}

// The ray of a place (x, y) in -1 .. 1 of the picture.
static void ray_of(const Eye* e, double x, double y, double* from, double* way) {
  double off[3] = {x * e->half, y * e->half, e->flat ? 0 : -1}, ahead[3] = {0, 0, -1};
  if (e->flat) {
    mju_mulMatVec3(from, e->axes, off);
    mju_addTo3(from, e->place);
    mju_mulMatVec3(way, e->axes, ahead);
    return;
  }
  mju_copy3(from, e->place);
  mju_normalize3(off);
  mju_mulMatVec3(way, e->axes, off);
}

// What a ray meets first, and at what distance.
static int meet(const UsMotion* s, const double* from, const double* way, double* far) {
  static const mjtByte groups[mjNGROUP] = {1, 1, 1, 0, 0, 0};
  const mjModel* m = s->m;
  int thing = NOTHING;
  double nearest = mj_ray(m, s->d, from, way, groups, 1, -1, &thing, NULL);
  if (nearest < 0) nearest = mjMAXVAL;
  // Geoms, which mj_ray knows, then what it does not.
  for (int i = 0; i < m->nsite; i++) {
    if (!s->site[i]) continue;
    double at = mju_rayGeom(s->d->site_xpos + 3 * i, s->d->site_xmat + 9 * i, m->site_size + 3 * i,
                            from, way, m->site_type[i], NULL);
    if (at < 0 || at >= nearest) continue;
    nearest = at;
    thing = (int)m->ngeom + i;
  }
  for (int i = 0; i < m->nflex; i++) {
    double at = mj_rayFlex(m, s->d, 0, 0, 0, 1, 1, i, from, way, NULL, NULL);
    if (at < 0 || at >= nearest) continue;
    nearest = at;
    thing = (int)(m->ngeom + m->nsite) + i;
  }
  *far = nearest;
  return thing;
}

static int moves(const UsMotion* s, int thing) {
  if (thing == NOTHING) return 0;
  if (thing < s->m->ngeom) return s->moves[thing] != 0;
  return 1;  // sites that stand are never met; a flex bends
}

static void look(UsMotion* s, int camera, Picture* p) {
  const Eye e = eye_of(s, camera);
  for (int i = 0; i < GRID * GRID; i++) {
    double from[3], way[3], far;
    ray_of(&e, (2 * (i % GRID) + 1.0) / GRID - 1, (2 * (i / GRID) + 1.0) / GRID - 1, from, way);
    p->thing[i] = meet(s, from, way, &far);
  }
}

// Counts places of what moves, and those that the camera does not see in this row.
static void count_missed(UsMotion* s, int camera, int* places, int* missed) {
  const Eye e = eye_of(s, camera);
  const mjModel* m = s->m;
  int stride = 1 + (int)m->ngeom / PLACES;
  for (int g = 0; g < m->ngeom; g += stride) {
    if (!s->moves[g]) continue;
    double off[3], at[3], from[3], way[3], far;
    mju_sub3(off, s->d->geom_xpos + 3 * g, e.place);
    mju_mulMatTVec3(at, e.axes, off);
    ++*places;
    double edge = e.flat ? e.half : -at[2] * e.half;
    if (at[2] >= 0 || fabs(at[0]) > edge || fabs(at[1]) > edge) {
      ++*missed;
      continue;
    }
    ray_of(&e, at[0] / edge, at[1] / edge, from, way);
    int thing = meet(s, from, way, &far);
    // Before it stands something that does not move.
    double distance = e.flat ? -at[2] : mju_norm3(off);
    *missed += thing != NOTHING && !moves(s, thing) && far < distance;
  }
}

UsSight us_view_see(UsMotion* s, int camera) {
  UsSight sight = {0};
  int pairs = 0, places = 0, missed = 0, changes = 0;
  for (int run = 0; run < s->runs; run++) {
    Picture before, now;
    for (int i = 0; i < EACH && i * s->second < s->length[run]; i++, before = now) {
      us_motion_place(s, run, i * s->second);
      look(s, camera, &now);
      count_missed(s, camera, &places, &missed);
      if (i == 0) continue;
      pairs++;
      for (int k = 0; k < GRID * GRID; k++) {
        int a = before.thing[k], b = now.thing[k];
        changes += a != b && (moves(s, a) || moves(s, b));
      }
    }
  }
  if (pairs) sight.changing = (double)changes / pairs / (GRID * GRID);
  if (places) sight.missed = (double)missed / places;
  return sight;
}
