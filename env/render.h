#ifndef UNDERSTUDY_RENDER_H_
#define UNDERSTUDY_RENDER_H_

// Offscreen rendering of MuJoCo states, spread over a pool.
//
// OpenGL comes from EGL without a window system: Mesa's software renderer, with the same bits on
// every machine that has it, or the GPU that a word chooses (gl.h), whose frames differ from those
// a little. EGL is loaded at run time, so that everything which does not render works without it.
// Each worker of the pool has a context, a scene and an mjData of its own, made on its first
// frames; a context is current only while its worker draws.
//
// Frames are flat: no shadows, reflections, haze or sky. Edges are smooth, because frames are drawn
// at twice the size and averaged. A frame is a function of the state row and its model alone,
// whichever worker draws it.
//
// Ownership: the renderer keeps a copy of the model. Threads: one call at a time per renderer.

#include <stdint.h>

#include <mujoco/mujoco.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/pool.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

typedef struct UsRender UsRender;

// A renderer of `camera` (a name in the model) at width x height. Makes the calling thread's
// context, so that a missing OpenGL fails here. `gl` chooses what draws. `name` stands in messages.
// On failure *out is NULL. Nullable: gl (software), pool.
US_API UsStatus us_render_open(const char* name, const char* gl, const mjModel* m,
                               const char* camera, int height, int width, UsPool* pool,
                               UsRender** out);

// NULL is fine.
US_API void us_render_close(UsRender* r);

// Draws n states: rows (n, stride) doubles start with mjSTATE_INTEGRATION of the model; ids (n)
// picks the row of each frame, and its model from models: variations of the renderer's own that
// differ in no mesh, texture or plane. pixels (n, height, width, 3), rows from top to bottom.
// Nullable: ids, models (the renderer's own for all).
US_API UsStatus us_render_frames(UsRender* r, int n, const int* ids, const mjtNum* rows, int stride,
                                 const mjModel* const* models, uint8_t* pixels);

US_C_END

#endif  // UNDERSTUDY_RENDER_H_
