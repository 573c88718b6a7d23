#ifndef UNDERSTUDY_GL_H_
#define UNDERSTUDY_GL_H_

// An OpenGL context without a window, through EGL. See render.h for the platforms tried.
//
// Threads: us_gl_open, us_gl_close may run on several threads; a context is current on one thread
// at a time, between us_gl_enter and us_gl_leave.

#include <stddef.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

typedef struct UsGl {
  void* display;
  void* context;
  void* surface;  // NULL where a context needs none
} UsGl;

// Makes a context and leaves it not current. `name` stands in messages.
US_API UsStatus us_gl_open(const char* name, UsGl* out);

// A context that is not current anywhere. All zeros is fine.
US_API void us_gl_close(UsGl* g);

// Writes what draws here, GL_RENDERER and GL_VERSION, into text (size). `name` stands in messages.
US_API UsStatus us_gl_renderer(const char* name, char* text, size_t size);

// Makes the context current on this thread; 0 when EGL refuses.
US_API int us_gl_enter(const UsGl* g);
US_API void us_gl_leave(const UsGl* g);

US_C_END

#endif  // UNDERSTUDY_GL_H_
