// OpenGL contexts without a window, through EGL, which is loaded when the first is asked for.

#include "env/gl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <EGL/egl.h>
#include <EGL/eglext.h>

// What is used of EGL, by name.
#define EGL_FUNCTIONS(X)  \
  X(GetProcAddress)       \
  X(GetDisplay)           \
  X(Initialize)           \
  X(QueryString)          \
  X(BindAPI)              \
  X(ChooseConfig)         \
  X(CreateContext)        \
  X(DestroyContext)       \
  X(CreatePbufferSurface) \
  X(DestroySurface)       \
  X(MakeCurrent)          \
  X(GetError)

static struct {
#define X(name) __typeof__(&egl##name) name;
  EGL_FUNCTIONS(X)
#undef X
} egl;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EGLDisplay display = EGL_NO_DISPLAY;  // of the process; opened once, never closed
static int surfaceless;
static char trouble[512];  // what was tried, when there is no display

// Whether a list of words, parted by blanks, has this one.
static int has(const char* list, const char* word) {
  size_t n = strlen(word);
  for (const char* p = list; p && (p = strstr(p, word)); p += n) {
    if ((p == list || p[-1] == ' ') && (p[n] == 0 || p[n] == ' ')) return 1;
  }
  return 0;
}

// Notes the attempt and initializes the display if it offers desktop OpenGL.
static int try_display(const char* what, EGLDisplay d) {
  size_t used = strlen(trouble);
  if (d == EGL_NO_DISPLAY || !egl.Initialize(d, NULL, NULL) ||
      !has(egl.QueryString(d, EGL_CLIENT_APIS), "OpenGL")) {
    snprintf(trouble + used, sizeof(trouble) - used, "%s%s", used ? ", " : "", what);
    return 0;
  }
  display = d;
  return 1;
}

// Tries the displays in the order of the header, once in a process.
static void open_display(void) {
  setenv("LP_NUM_THREADS", "0", 0);  // Mesa's software renderer: the pool's threads are enough
  // Global, because MuJoCo looks for eglGetProcAddress among the process's symbols.
  void* lib = dlopen("libEGL.so.1", RTLD_NOW | RTLD_GLOBAL);
  int found = lib != NULL;
#define X(name) found = found && (egl.name = (__typeof__(egl.name))dlsym(lib, "egl" #name));
  EGL_FUNCTIONS(X)
#undef X
  if (!found) {
    snprintf(trouble, sizeof(trouble), "libEGL.so.1 (not found)");
    return;
  }
  const char* all = egl.QueryString(EGL_NO_DISPLAY, EGL_EXTENSIONS);
  PFNEGLGETPLATFORMDISPLAYEXTPROC platform =
      (PFNEGLGETPLATFORMDISPLAYEXTPROC)egl.GetProcAddress("eglGetPlatformDisplayEXT");
  PFNEGLQUERYDEVICESEXTPROC devices =
      (PFNEGLQUERYDEVICESEXTPROC)egl.GetProcAddress("eglQueryDevicesEXT");
  int done = 0;
  // Mesa without a surface: software, the same bits everywhere.
  if (platform && has(all, "EGL_MESA_platform_surfaceless")) {
    done = try_display("EGL's surfaceless Mesa platform",
                       platform(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL));
  }
  // Devices, of which the first that offers desktop OpenGL is taken.
  EGLDeviceEXT list[16];
  EGLint n = 0;
  if (!done && platform && devices && has(all, "EGL_EXT_platform_device") &&
      devices(16, list, &n)) {
    for (int i = 0; i < n && !done; i++) {
      done = try_display("an EGL device", platform(EGL_PLATFORM_DEVICE_EXT, list[i], NULL));
    }
  }
  // Whatever the system holds for the default.
  if (!done) done = try_display("EGL's default display", egl.GetDisplay(EGL_DEFAULT_DISPLAY));
  if (done) {
    surfaceless = has(egl.QueryString(display, EGL_EXTENSIONS), "EGL_KHR_surfaceless_context");
  }
}

// The one message of this file: what was tried, and what to install.
static UsStatus no_gl(const char* name, const char* found) {
  return us_fail(US_GL,
                 "%s: rendering needs OpenGL through EGL, tried %s: install libegl1 "
                 "libegl-mesa0 libgl1-mesa-dri",
                 name, found);
}

UsStatus us_gl_open(const char* name, UsGl* out) {
  *out = (UsGl){0};
  pthread_once(&once, open_display);
  if (display == EGL_NO_DISPLAY) return no_gl(name, trouble);
  // A configuration and a context of it.
  const EGLint wish[] = {EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT, EGL_SURFACE_TYPE, EGL_PBUFFER_BIT,
                         EGL_NONE};
  EGLConfig config;
  EGLint n = 0;
  if (!egl.BindAPI(EGL_OPENGL_API) || !egl.ChooseConfig(display, wish, &config, 1, &n) || n < 1) {
    return no_gl(name, "a display that has no OpenGL configuration");
  }
  out->display = display;
  out->context = egl.CreateContext(display, config, EGL_NO_CONTEXT, NULL);
  if (out->context == EGL_NO_CONTEXT) return no_gl(name, "a display that refused a context");
  // Where a context needs a surface it gets one of a pixel, which nothing is drawn on.
  if (!surfaceless) {
    const EGLint size[] = {EGL_WIDTH, 1, EGL_HEIGHT, 1, EGL_NONE};
    out->surface = egl.CreatePbufferSurface(display, config, size);
  }
  if (!us_gl_enter(out)) {
    us_gl_close(out);
    return no_gl(name, "a context that could not be made current");
  }
  us_gl_leave(out);
  return US_OK;
}

UsStatus us_gl_renderer(const char* name, char* text, size_t size) {
  enum { kRenderer = 0x1F01, kVersion = 0x1F02 };  // of GL/gl.h, which nothing else here needs
  UsGl g;
  text[0] = 0;
  US_TRY(us_gl_open(name, &g));
  if (!us_gl_enter(&g)) {
    us_gl_close(&g);
    return no_gl(name, "a context that could not be made current");
  }
  // Asked of OpenGL itself, through EGL.
  const unsigned char* (*get)(unsigned what) =
      (const unsigned char* (*)(unsigned))egl.GetProcAddress("glGetString");
  const unsigned char* renderer = get ? get(kRenderer) : NULL;
  const unsigned char* version = get ? get(kVersion) : NULL;
  if (renderer && version) snprintf(text, size, "%s, %s", renderer, version);
  us_gl_leave(&g);
  us_gl_close(&g);
  return US_OK;
}

int us_gl_enter(const UsGl* g) {
  EGLSurface s = g->surface ? g->surface : EGL_NO_SURFACE;
  return egl.BindAPI(EGL_OPENGL_API) && egl.MakeCurrent(g->display, s, s, g->context);
}

void us_gl_leave(const UsGl* g) {
  egl.MakeCurrent(g->display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
}

void us_gl_close(UsGl* g) {
  if (g->surface) egl.DestroySurface(g->display, g->surface);
  if (g->context) egl.DestroyContext(g->display, g->context);
  *g = (UsGl){0};
}
