#include "scripts/commands/inspect_robot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/render.h"
#include "env/sim.h"
#include "scripts/cli/cli.h"
#include "scripts/report/picture.h"
#include "tasks/mjcf/mjcf.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/text.h"

enum { kShown = 40, kCameras = 16, kColumns = 6 };
static const double still = 0.01;  // extents; what moves less is not expected to be seen

// ---- words ----

static void print_actions(const UsTask* t) {
  printf("  %d action%s\n", t->action, t->action == 1 ? "" : "s");
  for (int i = 0; i < t->action && i < kShown; i++) {
    UsMjcfControl c;
    us_mjcf_control(t, i, &c);
    printf("    %-3d %-24s %-32s ", i, us_shown(c.name), us_shown(c.what));
    printf(c.scaled ? "-1 .. 1 is %g .. %g\n" : "raw: without a range it is the control\n", c.low,
           c.high);
  }
  if (t->action > kShown) printf("    ... %d more\n", t->action - kShown);
}

static void print_cameras(const UsTask* t, const UsMjcfViews* v) {
  const UsMjcfView* own = NULL;
  if (v->farthest > 0) {
    printf("  random actions move %s by %.3g of the extent within a second\n", us_shown(v->moving),
           v->farthest);
  } else {
    printf("  random actions move nothing that is drawn\n");
  }
  printf(
      "  cameras: share of the picture that changes within a second, the side of a square as "
      "large\n"
      "  in its %d x %d px, share of places not seen\n",
      t->size, t->size);
  for (int i = 0; i < v->count; i++) {
    const UsMjcfView* c = &v->view[i];
    int chosen = strcmp(c->camera, t->camera) == 0;
    if (chosen) own = c;
    printf("  %c %-24s %5.1f %%  %3.0f px  %3.0f %%\n", chosen ? '*' : ' ', us_shown(c->camera),
           100 * c->changing, t->size * sqrt(c->changing), 100 * c->missed);
  }
  if (own && v->farthest >= still && own->changing < US_FRAME_FEW) {
    printf("  camera %s hardly sees what moves: --camera takes another\n", us_shown(own->camera));
  }
}

// ---- the picture ----

// A line of frames through one camera.
static UsStatus draw_line(UsPicture* p, const UsTask* t, const UsMjcfViews* v, int camera, double y,
                          double scale, uint8_t* pixels) {
  const int columns = v->rows < kColumns ? v->rows : kColumns;
  const UsMjcfView* c = &v->view[camera];
  char text[160];
  UsRender* render;
  US_TRY(us_render_open(t->name, NULL, t->model, c->camera, t->size, t->size, NULL, &render));
  UsStatus status = us_render_frames(render, columns, NULL, v->states, v->stride, NULL, pixels);
  us_render_close(render);
  US_TRY(status);
  snprintf(text, sizeof(text), "%s%s: %.1f %% changes, %.0f %% not seen", c->camera,
           strcmp(c->camera, t->camera) == 0 ? " (chosen)" : "", 100 * c->changing,
           100 * c->missed);
  us_picture_text(p, 16, y - 10, 12, US_INK, US_LEFT, text);
  us_picture_strip(p, 16, y, scale, 6, columns, t->size, t->size, pixels, NULL);
  return US_OK;
}

static UsStatus draw(const char* png, const char* path, const UsTask* t, const UsMjcfViews* v) {
  enum { kTop = 66, kText = 28, kGap = 6 };
  const int columns = v->rows < kColumns ? v->rows : kColumns;
  const int lines = v->count < kCameras ? v->count : kCameras;
  const double scale = fmax(1, round(128.0 / t->size)), side = scale * t->size;
  const int width = (int)(32 + columns * (side + kGap));
  UsPicture* p;
  uint8_t* pixels = malloc((size_t)columns * us_frame_bytes(t->size, t->size));
  if (!pixels) return us_fail(US_MEMORY, "%s: out of memory", png);
  UsStatus status =
      us_picture_create(width < 560 ? 560 : width, (int)(kTop + lines * (side + kText)), &p);
  if (status == US_OK) us_picture_title(p, 16, 22, 14, US_INK, US_LEFT, path);
  // The chosen one is always there: of many cameras, the last.
  for (int i = 0; i < lines && status == US_OK; i++) {
    int camera = i < lines - 1 ? i : v->count - 1;
    status = draw_line(p, t, v, camera, kTop + i * (side + kText), scale, pixels);
  }
  if (status == US_OK) status = us_picture_save(p, png);
  us_picture_destroy(p);
  free(pixels);
  return status;
}

// ---- the file ----

UsStatus us_inspect_robot(const char* path, const char* png) {
  UsMjcfConfig config = *us_cli_robot();
  const UsTask* t;
  UsMjcfViews v;
  config.path = path;
  US_TRY(us_mjcf_open_as(&config, &t));
  UsStatus status = us_mjcf_views(t, &v);
  if (status == US_OK && png) status = draw(png, path, t, &v);
  if (status != US_OK) {
    us_mjcf_close(t);
    return status;
  }
  // Sizes, what an env step is, and whether anything in it can be moved.
  const mjModel* m = t->model;
  const char* passive = us_sim_passive(t);
  printf("%s: MJCF, the task %s (--task mjcf:%s)\n", path, t->name, path);
  printf("  %d bodies, %d joints, %d actuators with %d controls, state %d + %d + %d\n",
         (int)m->nbody - 1, (int)m->njnt, (int)m->nactuator, (int)m->nu, (int)m->nq, (int)m->nv,
         (int)m->na);
  printf("  %.4g s an env step (%d physics steps), blocks of %d, camera %s, %d x %d\n",
         m->opt.timestep * t->frame_skip, t->frame_skip, t->block, t->camera, t->size, t->size);
  printf("  solved where no joint is farther than %g of its scale from the goal\n", t->radius);
  if (passive) {
    printf("  %s: trajectories can be collected, not planned\n", passive);
  } else {
    print_actions(t);
  }
  print_cameras(t, &v);
  us_mjcf_views_free(&v);
  us_mjcf_close(t);
  return US_OK;
}
