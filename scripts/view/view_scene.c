// MuJoCo renders a state into its offscreen buffer; what may stop in MuJoCo runs under env/trap.h.

#include "scripts/view/view_scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/gl.h"
#include "env/scene.h"
#include "env/trap.h"

enum { kMostGeoms = 10000, kMessage = 512, kSamples = 4, kShadows = 2048, kGround = 0xf0 };

struct UsViewScene {
  char name[256];
  mjModel* model;  // with the visual settings of this size
  mjData* data;
  UsGl gl;
  mjvScene scene;
  mjrContext context;
  mjvOption option;
  mjvCamera fixed, free;
  int has_fixed, is_free, has_sky;
  int height, width;
  const double* state;  // of the frame in progress
  uint8_t* pixels;      // likewise
  float* depth;         // (height, width) likewise
};

// ---- open and close ----

// Lets the free camera begin with the view of the fixed one, as far as a camera without roll and
// with the field of view of free cameras can, and moves the near plane out of its way.
static void start_free_camera(UsViewScene* s) {
  mjModel* m = s->model;
  mjData* d = s->data;
  // Where the fixed camera stands in the first state, and where it looks.
  mj_kinematics(m, d);
  mj_comPos(m, d);
  mj_camlight(m, d);
  const int id = s->fixed.fixedcamid;
  const mjtNum *at = d->cam_xpos + 3 * id, *axes = d->cam_xmat + 9 * id;
  const mjtNum up[3] = {axes[1], axes[4], axes[7]}, ahead[3] = {-axes[2], -axes[5], -axes[8]};
  const mjtNum degree = M_PI / 180;
  mjtNum to[3];
  // The free camera turns about the point ahead that is as far as the middle of the scene.
  mju_sub3(to, d->subtree_com, at);
  mjtNum depth = mju_dot3(to, ahead);
  if (!(depth > 0)) depth = m->stat.extent;
  int flat = m->cam_projection[id] == mjPROJ_ORTHOGRAPHIC;
  mjtNum half = flat ? m->cam_fovy[id] / 2 : depth * tan(m->cam_fovy[id] / 2 * degree);
  int steep = fabs(ahead[2]) > 0.999;  // straight down: what is up says where the camera turns
  mju_addScl3(s->free.lookat, at, ahead, depth);
  // Its angles, and the distance at which it sees as much.
  s->free.azimuth = atan2(steep ? up[1] : ahead[1], steep ? up[0] : ahead[0]) / degree;
  s->free.elevation = asin(fmax(-1, fmin(1, ahead[2]))) / degree;
  s->free.distance = half / tan(m->vis.global.fovy / 2 * degree);
  // Not closer than a fiftieth of the way: near things would be cut open.
  double near = s->free.distance / (50 * m->stat.extent);
  if (near < (double)m->vis.map.znear) m->vis.map.znear = (float)near;
}

static void make_scene(void* arg) {
  UsViewScene* s = arg;
  // Everything that may stop in MuJoCo, under the trap of the caller.
  s->data = mj_makeData(s->model);
  us_scene_start(s->model, s->data);
  if (s->has_fixed) start_free_camera(s);
  mjv_makeScene(s->model, &s->scene, kMostGeoms);
  mjr_makeContext(s->model, &s->context, mjFONTSCALE_100);
  mjr_setBuffer(mjFB_OFFSCREEN, &s->context);
}

static void choose_quality(UsViewScene* s) {
  s->model->vis.global.offwidth = s->width;
  s->model->vis.global.offheight = s->height;
  s->model->vis.quality.offsamples = kSamples;
  s->model->vis.quality.shadowsize = kShadows;
}

static UsStatus set_up(UsViewScene* s, const char* gl, const mjModel* m, const char* camera) {
  // Depth says where nothing was drawn.
  s->model = mj_copyModel(NULL, m);
  s->depth = malloc(sizeof(float) * (size_t)s->height * (size_t)s->width);
  if (!s->model || !s->depth) return us_fail(US_MEMORY, "%s: no memory to render", s->name);
  choose_quality(s);
  for (int i = 0; i < m->ntex; i++) s->has_sky |= m->tex_type[i] == mjTEXTURE_SKYBOX;
  // The task's camera where the model has it, else a free one.
  int id = camera ? mj_name2id(s->model, mjOBJ_CAMERA, camera) : -1;
  mjv_defaultOption(&s->option);
  mjv_defaultCamera(&s->fixed);
  s->fixed.type = mjCAMERA_FIXED;
  s->fixed.fixedcamid = id;
  s->has_fixed = id >= 0;
  s->is_free = id < 0;
  mjv_defaultFreeCamera(s->model, &s->free);
  // MuJoCo's part of it, in the scene's own context.
  US_TRY(us_gl_open(s->name, gl, &s->gl));
  if (!us_gl_enter(&s->gl)) return us_fail(US_GL, "%s: EGL refused its own context", s->name);
  char found[kMessage] = "";
  int failed = us_trap_run(make_scene, s, found, sizeof(found));
  us_gl_leave(&s->gl);
  return failed ? us_fail(US_GL, "%s: MuJoCo could not start OpenGL: %s", s->name, found) : US_OK;
}

UsStatus us_view_scene_open(const char* name, const char* gl, const mjModel* m, const char* camera,
                            int height, int width, UsViewScene** out) {
  *out = NULL;
  us_trap_install();
  UsViewScene* s = calloc(1, sizeof(*s));
  if (!s) return us_fail(US_MEMORY, "%s: no memory to render", name);
  snprintf(s->name, sizeof(s->name), "%s", name);
  s->height = height;
  s->width = width;
  mjv_defaultScene(&s->scene);
  mjr_defaultContext(&s->context);
  UsStatus status = set_up(s, gl, m, camera);
  if (status != US_OK) us_view_scene_close(s);
  if (status == US_OK) *out = s;
  return status;
}

static void free_context(void* arg) {
  UsViewScene* s = arg;
  mjr_freeContext(&s->context);
}

void us_view_scene_close(UsViewScene* s) {
  if (!s) return;
  char found[kMessage];
  if (s->gl.context && us_gl_enter(&s->gl)) {
    us_trap_run(free_context, s, found, sizeof(found));
    us_gl_leave(&s->gl);
  }
  if (s->gl.context) us_gl_close(&s->gl);
  mjv_freeScene(&s->scene);
  mj_deleteData(s->data);
  mj_deleteModel(s->model);
  free(s->depth);
  free(s);
}

void us_view_scene_vary(UsViewScene* s, const mjModel* m) {
  const float near = s->model->vis.map.znear;
  mj_copyModel(s->model, m);
  choose_quality(s);
  s->model->vis.map.znear = near;
}

// ---- cameras ----

int us_view_scene_is_free(const UsViewScene* s) {
  return s && s->is_free;
}

int us_view_scene_switch_camera(UsViewScene* s) {
  if (!s || !s->has_fixed) return 0;
  s->is_free = !s->is_free;
  return 1;
}

void us_view_scene_move(UsViewScene* s, int action, double dx, double dy) {
  if (!s) return;
  s->is_free = 1;
  mjv_moveCamera(s->model, action, dx, dy, &s->free);
}

// ---- frames ----

static void draw(void* arg) {
  UsViewScene* s = arg;
  const mjModel* m = s->model;
  // State to positions, to what cameras and lights follow, to geoms, to pixels.
  mj_setState(m, s->data, s->state, mjSTATE_QPOS | mjSTATE_QVEL | mjSTATE_ACT);
  mj_kinematics(m, s->data);
  mj_comPos(m, s->data);
  mj_camlight(m, s->data);
  if (m->nflex) mj_flex(m, s->data);
  if (m->ntendon) mj_tendon(m, s->data);
  mjvCamera camera = s->is_free ? s->free : s->fixed;
  mjv_updateScene(m, s->data, &s->option, NULL, &camera, mjCAT_ALL, &s->scene);
  const mjrRect view = {0, 0, s->width, s->height};
  mjr_render(view, &s->scene, &s->context);
  mjr_readPixels(s->pixels, s->depth, view, &s->context);
}

UsStatus us_view_scene_draw(UsViewScene* s, const double* state, uint8_t* pixels) {
  if (!us_gl_enter(&s->gl)) return us_fail(US_GL, "%s: EGL refused its own context", s->name);
  s->state = state;
  s->pixels = pixels;
  char found[kMessage] = "";
  // MuJoCo draws.
  int failed = us_trap_run(draw, s, found, sizeof(found));
  us_gl_leave(&s->gl);
  if (failed) return us_fail(US_GL, "%s: rendering: %s", s->name, found);
  // Where a scene without a sky has nothing, the free camera shows a light ground instead of black.
  const size_t height = (size_t)s->height, line = (size_t)s->width * 3;
  const int fills = s->is_free && !s->has_sky;
  for (size_t i = 0; fills && i < height * (size_t)s->width; i++) {
    if (s->depth[i] >= 1) memset(pixels + 3 * i, kGround, 3);
  }
  // OpenGL has the rows from bottom to top: they are turned over.
  for (size_t y = 0; y < height / 2; y++) {
    uint8_t *a = pixels + y * line, *b = pixels + (height - 1 - y) * line;
    for (size_t i = 0; i < line; i++) {
      uint8_t kept = a[i];
      a[i] = b[i];
      b[i] = kept;
    }
  }
  return US_OK;
}
