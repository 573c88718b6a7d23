// Frames of MuJoCo states, one painter a worker. A painter has a context of its own and draws a
// frame twice as large as asked for, which is then averaged.

#include "env/render.h"

#include <GL/gl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/gl.h"
#include "env/trap.h"
#include "worldmodel/base/frame.h"

enum { FEWEST_GEOMS = 2000, MESSAGE = 512, CHUNK = 16 };
enum { FINE = 2 };  // fine pixels of a pixel's side: frames are drawn larger and averaged

// What one worker draws with.
typedef struct Painter {
  struct UsRender* render;
  UsGl gl;
  mjData* data;
  mjvScene scene;
  mjrContext context;
  uint8_t* fine;  // (height FINE, width FINE, 4) RGBA, rows from bottom to top: as OpenGL has them
  int ready;
  UsStatus status;
  char message[MESSAGE];
} Painter;

struct UsRender {
  char name[256];
  char gl[16];     // the choice of env/gl.h
  mjModel* model;  // with the visual settings of an offscreen buffer of this size
  UsPool* pool;
  int height, width;
  mjvOption option;
  mjvCamera camera;
  int painters;
  Painter* painter;  // (painters) one for each worker
};

// ---- a painter ----

// MuJoCo's side of a painter, with everything off that a flat picture does not have.
static void make_scene(void* arg) {
  Painter* p = arg;
  const mjModel* m = p->render->model;
  p->data = mj_makeData(m);
  // Room for all that a model shows, a geom of which may be drawn twice.
  int most = (int)(2 * m->ngeom + m->nsite + m->nwrap + m->nlight);
  mjv_makeScene(m, &p->scene, most > FEWEST_GEOMS ? most : FEWEST_GEOMS);
  const int off[] = {mjRND_SHADOW, mjRND_REFLECTION, mjRND_SKYBOX, mjRND_FOG, mjRND_HAZE};
  for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) p->scene.flags[off[i]] = 0;
  mjr_makeContext(m, &p->context, mjFONTSCALE_50);
  mjr_setBuffer(mjFB_OFFSCREEN, &p->context);
  p->context.readPixelFormat = GL_RGBA;  // which is copied, where RGB would be packed
}

// Makes a painter ready, by its own worker on its first frame.
static UsStatus open_painter(Painter* p) {
  const UsRender* r = p->render;
  if (!p->gl.context) US_TRY(us_gl_open(r->name, r->gl, &p->gl));
  free(p->fine);
  p->fine = malloc((size_t)r->height * FINE * (size_t)r->width * FINE * 4);
  if (!p->fine) return us_fail(US_MEMORY, "%s: no memory for frames", r->name);
  // The context is current only while it draws.
  if (!us_gl_enter(&p->gl)) return us_fail(US_GL, "%s: EGL refused its own context", r->name);
  char found[MESSAGE] = "";
  int failed = us_trap_run(make_scene, p, found, sizeof(found));
  // Without an offscreen buffer MuJoCo would draw into a window that there is none of.
  if (!failed && p->context.currentBuffer != mjFB_OFFSCREEN) {
    failed = 1;
    snprintf(found, sizeof(found), "no offscreen buffer of %d x %d", r->width, r->height);
  }
  us_gl_leave(&p->gl);
  if (failed) return us_fail(US_GL, "%s: MuJoCo could not start OpenGL: %s", r->name, found);
  p->ready = 1;
  return US_OK;
}

// mjr_freeContext in a trap: it calls OpenGL.
static void free_context(void* arg) {
  Painter* p = arg;
  mjr_freeContext(&p->context);
}

// ---- frames ----

typedef struct Frames {
  UsRender* render;
  int n, chunk;
  const int* ids;
  const mjtNum* rows;
  int stride;
  const mjModel* const* models;  // NULL: the renderer's own
  uint8_t* pixels;
} Frames;

typedef struct Chunk {
  const Frames* frames;
  Painter* painter;
  int first, end;
} Chunk;

// Averages squares of FINE x FINE pixels and turns the rows over. pixels (height, width, 3)
static void shrink(const Painter* p, uint8_t* pixels) {
  const int height = p->render->height, width = p->render->width;
  const size_t line = (size_t)width * FINE * 4;
  for (int y = 0; y < height; y++) {
    // OpenGL's lowest row is the picture's last.
    const uint8_t* square = p->fine + (size_t)(height - 1 - y) * FINE * line;
    for (int x = 0; x < width; x++, square += 4 * FINE) {
      for (int c = 0; c < 3; c++) {
        int sum = FINE * FINE / 2;
        for (size_t v = 0; v < FINE; v++) {
          for (size_t u = 0; u < FINE; u++) sum += square[v * line + u * 4 + (size_t)c];
        }
        *pixels++ = (uint8_t)(sum / (FINE * FINE));
      }
    }
  }
}

// Each state as one frame.
static void draw_chunk(void* arg) {
  const Chunk* c = arg;
  const Frames* f = c->frames;
  Painter* p = c->painter;
  const UsRender* r = p->render;
  const mjrRect view = {0, 0, r->width * FINE, r->height * FINE};
  for (int i = c->first; i < c->end; i++) {
    size_t id = (size_t)(f->ids ? f->ids[i] : i);
    const mjModel* m = f->models ? f->models[id] : r->model;
    mj_setState(m, p->data, f->rows + id * (size_t)f->stride, mjSTATE_INTEGRATION);
    // What a picture depends on, and no more of the forward pass.
    mj_kinematics(m, p->data);
    mj_comPos(m, p->data);
    mj_camlight(m, p->data);
    if (m->nflex) mj_flex(m, p->data);
    if (m->ntendon) mj_tendon(m, p->data);
    // Scene, pixels, then a square of pixels becomes one.
    mjvCamera camera = r->camera;
    mjv_updateScene(m, p->data, &r->option, NULL, &camera, mjCAT_ALL, &p->scene);
    mjr_render(view, &p->scene, &p->context);
    mjr_readPixels(p->fine, NULL, view, &p->context);
    shrink(p, f->pixels + (size_t)i * us_frame_bytes(r->height, r->width));
  }
}

// Draws one piece of the frames in the worker's context.
static UsStatus paint(Painter* p, const Frames* f, int item) {
  if (!p->ready) US_TRY(open_painter(p));
  if (!us_gl_enter(&p->gl)) {
    return us_fail(US_GL, "%s: EGL refused its own context", p->render->name);
  }
  Chunk c = {.frames = f, .painter = p, .first = item * f->chunk};
  c.end = c.first + f->chunk < f->n ? c.first + f->chunk : f->n;
  char found[MESSAGE] = "";
  int failed = us_trap_run(draw_chunk, &c, found, sizeof(found));
  us_gl_leave(&p->gl);
  return failed ? us_fail(US_GL, "%s: rendering: %s", p->render->name, found) : US_OK;
}

// A worker that failed draws nothing more; its message waits for the caller.
static void paint_item(void* arg, int item, int worker) {
  const Frames* f = arg;
  Painter* p = &f->render->painter[worker];
  if (p->status != US_OK) return;
  p->status = paint(p, f, item);
  if (p->status != US_OK) snprintf(p->message, sizeof(p->message), "%s", us_message());
}

UsStatus us_render_frames(UsRender* r, int n, const int* ids, const mjtNum* rows, int stride,
                          const mjModel* const* models, uint8_t* pixels) {
  // Pieces small enough that all workers have some, large enough to enter a context rarely.
  int chunk = n / r->painters;
  if (chunk > CHUNK) chunk = CHUNK;
  if (chunk < 1) chunk = 1;
  Frames f = {r, n, chunk, ids, rows, stride, models, pixels};
  for (int i = 0; i < r->painters; i++) r->painter[i].status = US_OK;
  us_pool_run(r->pool, (n + chunk - 1) / chunk, paint_item, &f);
  // The first failure is everyone's.
  for (int i = 0; i < r->painters; i++) {
    const Painter* p = &r->painter[i];
    if (p->status != US_OK) return us_fail(p->status, "%s", p->message);
  }
  return US_OK;
}

// ---- open and close ----

static UsStatus set_up(UsRender* r, const mjModel* m, const char* camera) {
  // The camera must be the scene's.
  int id = camera ? mj_name2id(m, mjOBJ_CAMERA, camera) : -1;
  if (id < 0) {
    return us_fail(US_MUJOCO, "%s: expected a camera named %s in the scene, found none", r->name,
                   camera ? camera : "(null)");
  }
  r->model = mj_copyModel(NULL, m);
  r->painter = calloc((size_t)r->painters, sizeof(*r->painter));
  if (!r->model || !r->painter) return us_fail(US_MEMORY, "%s: no memory to render", r->name);
  // The copy has an offscreen buffer of the fine size, no shadows, no samples.
  r->model->vis.global.offwidth = r->width * FINE;
  r->model->vis.global.offheight = r->height * FINE;
  r->model->vis.quality.offsamples = 0;
  r->model->vis.quality.shadowsize = 0;
  mjv_defaultOption(&r->option);
  mjv_defaultCamera(&r->camera);
  r->camera.type = mjCAMERA_FIXED;
  r->camera.fixedcamid = id;
  for (int i = 0; i < r->painters; i++) {
    r->painter[i].render = r;
    mjv_defaultScene(&r->painter[i].scene);
    mjr_defaultContext(&r->painter[i].context);
  }
  return open_painter(&r->painter[0]);
}

UsStatus us_render_open(const char* name, const char* gl, const mjModel* m, const char* camera,
                        int height, int width, UsPool* pool, UsRender** out) {
  *out = NULL;
  US_TRY(us_gl_check(gl));
  us_trap_install();
  UsRender* r = calloc(1, sizeof(*r));
  if (!r) return us_fail(US_MEMORY, "%s: no memory to render", name);
  snprintf(r->name, sizeof(r->name), "%s", name);
  snprintf(r->gl, sizeof(r->gl), "%s", gl ? gl : "software");
  r->pool = pool;
  r->height = height;
  r->width = width;
  r->painters = us_pool_threads(pool);
  UsStatus status = set_up(r, m, camera);
  if (status != US_OK) {
    us_render_close(r);
    return status;
  }
  *out = r;
  return US_OK;
}

void us_render_close(UsRender* r) {
  if (!r) return;
  for (int i = 0; r->painter && i < r->painters; i++) {
    Painter* p = &r->painter[i];
    char found[MESSAGE];
    if (p->gl.context && us_gl_enter(&p->gl)) {
      us_trap_run(free_context, p, found, sizeof(found));
      us_gl_leave(&p->gl);
    }
    mjv_freeScene(&p->scene);
    mj_deleteData(p->data);
    if (p->gl.context) us_gl_close(&p->gl);
    free(p->fine);
  }
  free(r->painter);
  mj_deleteModel(r->model);
  free(r);
}
