#ifndef UNDERSTUDY_VIEW_SCENE_H_
#define UNDERSTUDY_VIEW_SCENE_H_

// A MuJoCo scene drawn for people: shadows, reflections, smooth edges, the task's camera or a free
// one. Frames that a model reads come from env/render.h instead.
//
// NULL is a scene of its own camera alone, which nothing moves; it cannot be drawn.
//
// The scene has an OpenGL context of its own (env/gl.h), current only inside the calls below.
// Threads: one call at a time per scene, all from the thread that opened it.

#include <stdint.h>

#include <mujoco/mujoco.h>

#include "worldmodel/base/status.h"

typedef struct UsViewScene UsViewScene;

// A scene of width x height pixels. `camera` names a camera of the model; NULL, or a name that it
// does not have: the free camera. `gl` chooses what draws. `name` stands in messages. On failure
// *out is NULL. Nullable: gl (software), camera.
UsStatus us_view_scene_open(const char* name, const char* gl, const mjModel* m, const char* camera,
                            int height, int width, UsViewScene** out);

// NULL is fine.
void us_view_scene_close(UsViewScene* s);

// Goes on with another variation (env/vary.h) of the model that the scene was opened with.
void us_view_scene_vary(UsViewScene* s, const mjModel* m);

// 1: the free camera, 0: the task's. Switching gives 0 where there is no other camera.
int us_view_scene_is_free(const UsViewScene* s);
int us_view_scene_switch_camera(UsViewScene* s);

// Moves the free camera, after switching to it: action is an mjtMouse (mjMOUSE_ROTATE_V, ...); dx,
// dy are shares of the panel's height, y down.
void us_view_scene_move(UsViewScene* s, int action, double dx, double dy);

// Draws a state (qpos, qvel, act): pixels (height, width, 3), rows from top to bottom.
UsStatus us_view_scene_draw(UsViewScene* s, const double* state, uint8_t* pixels);

#endif  // UNDERSTUDY_VIEW_SCENE_H_
