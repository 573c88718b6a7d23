#include "scripts/view/view_window.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define GLFW_FUNCTIONS(X) \
  X(Init)                 \
  X(Terminate)            \
  X(GetError)             \
  X(CreateWindow)         \
  X(DestroyWindow)        \
  X(WindowShouldClose)    \
  X(MakeContextCurrent)   \
  X(GetProcAddress)       \
  X(SwapInterval)         \
  X(SwapBuffers)          \
  X(WaitEventsTimeout)    \
  X(SetWindowUserPointer) \
  X(GetWindowUserPointer) \
  X(SetKeyCallback)       \
  X(SetScrollCallback)    \
  X(GetKey)               \
  X(GetMouseButton)       \
  X(GetCursorPos)         \
  X(GetWindowSize)        \
  X(GetFramebufferSize)

// OpenGL 1.1, which every desktop context has.
#define GL_FUNCTIONS(X) \
  X(Begin)              \
  X(End)                \
  X(BindTexture)        \
  X(Clear)              \
  X(Enable)             \
  X(GenTextures)        \
  X(PixelStorei)        \
  X(TexCoord2f)         \
  X(TexImage2D)         \
  X(TexParameteri)      \
  X(Vertex2f)           \
  X(Viewport)

static struct {
#define X(name) __typeof__(&glfw##name) name;
  GLFW_FUNCTIONS(X)
#undef X
} glfw;

static struct {
#define X(name) __typeof__(&gl##name) name;
  GL_FUNCTIONS(X)
#undef X
} gl;

enum { kKeys = 64 };

struct UsWindow {
  GLFWwindow* window;
  int height, width;
  int keys[kKeys];  // pressed and not yet asked for, a ring
  int first, count;
  double scroll;
  GLuint texture;
};

static int load(void) {
  void* lib = dlopen("libglfw.so.3", RTLD_NOW);
  if (!lib) return 0;
#define X(name) glfw.name = (__typeof__(glfw.name))dlsym(lib, "glfw" #name);
  GLFW_FUNCTIONS(X)
#undef X
#define X(name) &&glfw.name
  return 1 GLFW_FUNCTIONS(X);
#undef X
}

static int load_gl(void) {
#define X(name) gl.name = (__typeof__(gl.name))glfw.GetProcAddress("gl" #name);
  GL_FUNCTIONS(X)
#undef X
#define X(name) &&gl.name
  return 1 GL_FUNCTIONS(X);
#undef X
}

static UsStatus no_display(void) {
  const char* found = NULL;
  glfw.GetError(&found);
  return us_fail(US_GL,
                 "no display (%s): set DISPLAY, or --record FILE for a film without a window",
                 found ? found : "no reason given");
}

// ---- events ----

static void on_key(GLFWwindow* window, int key, int code, int action, int mods) {
  UsWindow* w = glfw.GetWindowUserPointer(window);
  if (action == GLFW_RELEASE || w->count == kKeys) return;
  w->keys[(w->first + w->count++) % kKeys] = key;
}

static void on_scroll(GLFWwindow* window, double x, double y) {
  UsWindow* w = glfw.GetWindowUserPointer(window);
  w->scroll += y;
}

int us_window_wait(UsWindow* w, double seconds) {
  glfw.WaitEventsTimeout(seconds > 1e-4 ? seconds : 1e-4);
  return !glfw.WindowShouldClose(w->window);
}

int us_window_key(UsWindow* w) {
  if (w->count == 0) return 0;
  int key = w->keys[w->first];
  w->first = (w->first + 1) % kKeys;
  w->count--;
  return key;
}

int us_window_holds(const UsWindow* w, int key) {
  return glfw.GetKey(w->window, key) == GLFW_PRESS;
}

// Where a picture stands in a place of other proportions: as large as it fits, in the middle.
typedef struct Fit {
  double scale, x, y;
} Fit;

static Fit fit(const UsWindow* w, int height, int width) {
  double scale = fmin((double)width / w->width, (double)height / w->height);
  if (scale <= 0) scale = 1;
  return (Fit){scale, (width - scale * w->width) / 2, (height - scale * w->height) / 2};
}

UsMouse us_window_mouse(UsWindow* w) {
  int height, width;
  double x, y;
  glfw.GetWindowSize(w->window, &width, &height);
  glfw.GetCursorPos(w->window, &x, &y);
  Fit f = fit(w, height, width);
  UsMouse m = {.x = (x - f.x) / f.scale,
               .y = (y - f.y) / f.scale,
               .scroll = w->scroll,
               .left = glfw.GetMouseButton(w->window, GLFW_MOUSE_BUTTON_LEFT),
               .right = glfw.GetMouseButton(w->window, GLFW_MOUSE_BUTTON_RIGHT),
               .middle = glfw.GetMouseButton(w->window, GLFW_MOUSE_BUTTON_MIDDLE)};
  m.shift = us_window_holds(w, GLFW_KEY_LEFT_SHIFT) || us_window_holds(w, GLFW_KEY_RIGHT_SHIFT);
  w->scroll = 0;
  return m;
}

// ---- pictures ----

void us_window_show(UsWindow* w, const uint8_t* pixels) {
  static const float corner[4][2] = {{0, 0}, {1, 0}, {1, 1}, {0, 1}};
  int height, width;
  glfw.GetFramebufferSize(w->window, &width, &height);
  glfw.MakeContextCurrent(w->window);
  gl.Clear(GL_COLOR_BUFFER_BIT);
  Fit f = fit(w, height, width);
  gl.Viewport((int)f.x, (int)f.y, (int)lround(f.scale * w->width),
              (int)lround(f.scale * w->height));
  gl.TexImage2D(GL_TEXTURE_2D, 0, GL_RGB, w->width, w->height, 0, GL_RGB, GL_UNSIGNED_BYTE, pixels);
  gl.Begin(GL_QUADS);
  for (int i = 0; i < 4; i++) {
    gl.TexCoord2f(corner[i][0], corner[i][1]);
    gl.Vertex2f(2 * corner[i][0] - 1, 1 - 2 * corner[i][1]);
  }
  gl.End();
  glfw.SwapBuffers(w->window);
  glfw.MakeContextCurrent(NULL);
}

static UsStatus set_up(UsWindow* w) {
  glfw.MakeContextCurrent(w->window);
  if (!load_gl()) return us_fail(US_GL, "the window's OpenGL lacks functions of version 1.1");
  glfw.SwapInterval(1);
  gl.GenTextures(1, &w->texture);
  gl.BindTexture(GL_TEXTURE_2D, w->texture);
  gl.TexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
  gl.TexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
  gl.PixelStorei(GL_UNPACK_ALIGNMENT, 1);
  gl.Enable(GL_TEXTURE_2D);
  glfw.MakeContextCurrent(NULL);
  return US_OK;
}

// ---- open and close ----

UsStatus us_window_open(const char* title, int height, int width, UsWindow** out) {
  *out = NULL;
  setenv("LP_NUM_THREADS", "0", 0);  // as env/gl.c does
  if (!load()) {
    return us_fail(US_GL,
                   "no window: libglfw.so.3 was not found: install libglfw3, or --record FILE for "
                   "a film without a window");
  }
  if (!glfw.Init()) return no_display();
  UsWindow* w = calloc(1, sizeof(*w));
  if (!w) return us_fail(US_MEMORY, "out of memory for a window");
  w->height = height;
  w->width = width;
  w->window = glfw.CreateWindow(width, height, title, NULL, NULL);
  UsStatus status = w->window ? set_up(w) : no_display();
  if (status != US_OK) {
    us_window_close(w);
    return status;
  }
  glfw.SetWindowUserPointer(w->window, w);
  glfw.SetKeyCallback(w->window, on_key);
  glfw.SetScrollCallback(w->window, on_scroll);
  *out = w;
  return US_OK;
}

void us_window_close(UsWindow* w) {
  if (!w) return;
  if (w->window) glfw.DestroyWindow(w->window);
  glfw.Terminate();
  free(w);
}
