#ifndef UNDERSTUDY_GL_H_
#define UNDERSTUDY_GL_H_

// OpenGL contexts without a window system, through EGL, on what a word chooses:
//
//   "software"  Mesa's software renderer, which gives the same bits on every machine that has it
//               and which NULL means too
//   "gpu"       the first GPU that works, of those that EGL lists as devices
//   "gpu:N"     the N-th of them, from 0, and no other
//
// A GPU is an EGL device without EGL_MESA_device_software. What says that it is one but draws in
// software is refused, and so is the other way round: a choice never falls back to another. EGL is
// loaded at the first call that needs it; a display is opened when it is first chosen and stays
// open, because whoever else uses EGL in the process may share it.
//
// Threads: every function here may run on several threads; a context is current on one thread at a
// time, between us_gl_enter and us_gl_leave.

#include <stddef.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

// What a line of settings says of the choice.
#define US_GL_HELP "what renders: software, gpu or gpu:N; default: software"

typedef struct UsGl {
  void* display;
  void* context;
  void* surface;  // NULL where a context needs none
} UsGl;

// US_USAGE for a word that is no choice. Opens nothing. Nullable: choice.
US_API UsStatus us_gl_check(const char* choice);

// Makes a context and leaves it not current. What is not there is US_GL, with a list of what is.
// `name` stands in messages. Nullable: choice.
US_API UsStatus us_gl_open(const char* name, const char* choice, UsGl* out);

// A context that is not current anywhere. All zeros is fine.
US_API void us_gl_close(UsGl* g);

// Writes what draws, GL_RENDERER and GL_VERSION, into text (size). Nullable: choice.
US_API UsStatus us_gl_renderer(const char* name, const char* choice, char* text, size_t size);

// The name in such a text, without what changes with the version, into name (size).
US_API void us_gl_name(const char* text, char* name, size_t size);

// 1 if two such texts have the same name: frames of other renderers differ.
US_API int us_gl_same(const char* a, const char* b);

// Writes the choices that EGL has here into text (size): "gpu:0 (NVIDIA H200, CUDA 0), software".
US_API void us_gl_list(char* text, size_t size);

// Makes the context current on this thread; 0 when EGL refuses.
US_API int us_gl_enter(const UsGl* g);
US_API void us_gl_leave(const UsGl* g);

US_C_END

#endif  // UNDERSTUDY_GL_H_
