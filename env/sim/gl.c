// OpenGL contexts without a window, through EGL, which is loaded when the first is asked for.

#include "env/gl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <EGL/egl.h>
#include <EGL/eglext.h>

#ifndef EGL_RENDERER_EXT
#define EGL_RENDERER_EXT 0x335F  // of EGL_EXT_device_query_name
#endif

// What is used of EGL, by name, and of its extensions, which may be missing.
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
  X(MakeCurrent)

static struct {
#define X(name) __typeof__(&egl##name) name;
  EGL_FUNCTIONS(X)
#undef X
  PFNEGLGETPLATFORMDISPLAYEXTPROC platform;
  PFNEGLQUERYDEVICESEXTPROC devices;
  PFNEGLQUERYDEVICESTRINGEXTPROC device_string;
  PFNEGLQUERYDEVICEATTRIBEXTPROC device_number;
} egl;

enum { MOST_DEVICES = 64, SOFTWARE = -2, FIRST = -1 };

// Where a choice draws. Found with the list of devices, opened once, never closed.
typedef struct Place {
  EGLDeviceEXT device;
  char name[96];      // of the device, "" where it has none
  char trouble[160];  // why it cannot be had, "" where it can or was not tried
  int tried;
  EGLDisplay display;  // EGL_NO_DISPLAY: not open
  int surfaceless;     // 1: a context needs no surface
  char renderer[256];  // GL_RENDERER, GL_VERSION
} Place;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  // of what follows
static const char* missing;                               // why there is no EGL; NULL: there is
static Place software, gpu[MOST_DEVICES];
static int gpus;

// Whether a list of words, parted by blanks, has this one.
static int has(const char* list, const char* word) {
  size_t n = strlen(word);
  for (const char* p = list; p && (p = strstr(p, word)); p += n) {
    if ((p == list || p[-1] == ' ') && (p[n] == 0 || p[n] == ' ')) return 1;
  }
  return 0;
}

// ---- the choice ----

// A word as SOFTWARE, FIRST, or the number of a GPU.
static UsStatus read_choice(const char* word, int* out) {
  *out = !word || !strcmp(word, "software") ? SOFTWARE : FIRST;
  if (*out == SOFTWARE || !strcmp(word, "gpu")) return US_OK;
  const char* digits = word + 4;
  size_t n = strncmp(word, "gpu:", 4) ? 0 : strspn(digits, "0123456789");
  if (n < 1 || n > 4 || digits[n]) {
    return us_fail(US_USAGE, "--gl: expected software, gpu or gpu:N, found \"%.80s\"", word);
  }
  *out = atoi(digits);
  return US_OK;
}

UsStatus us_gl_check(const char* choice) {
  int which;
  return read_choice(choice, &which);
}

void us_gl_name(const char* text, char* name, size_t size) {
  // "llvmpipe (LLVM 15.0.6, 256 bits), 4.5 Mesa 22.3.6; from episode ..." as a dataset has it.
  static const char* const ends[] = {" (", ", ", ";"};
  size_t n = strlen(text);
  for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
    const char* end = strstr(text, ends[i]);
    if (end && (size_t)(end - text) < n) n = (size_t)(end - text);
  }
  snprintf(name, size, "%.*s", (int)n, text);
}

int us_gl_same(const char* a, const char* b) {
  char name[2][256];
  us_gl_name(a, name[0], sizeof(name[0]));
  us_gl_name(b, name[1], sizeof(name[1]));
  return strcmp(name[0], name[1]) == 0;
}

// ---- what there is ----

// What a device calls itself: its renderer, else its file, and its number for CUDA.
static void name_device(Place* p, const char* extensions) {
  const char* name = NULL;
  if (has(extensions, "EGL_EXT_device_query_name")) {
    name = egl.device_string(p->device, EGL_RENDERER_EXT);
  }
  if (!name && has(extensions, "EGL_EXT_device_drm")) {
    name = egl.device_string(p->device, EGL_DRM_DEVICE_FILE_EXT);
  }
  int n = snprintf(p->name, sizeof(p->name), "%.60s", name ? name : "");
  EGLAttrib number;
  if (egl.device_number && has(extensions, "EGL_NV_device_cuda") &&
      egl.device_number(p->device, EGL_CUDA_DEVICE_NV, &number)) {
    snprintf(p->name + n, sizeof(p->name) - (size_t)n, "%sCUDA %d", n ? ", " : "", (int)number);
  }
}

// Loads EGL and lists its devices, once in a process. Opens none of them.
static void load(void) {
  setenv("LP_NUM_THREADS", "0", 0);  // Mesa's software renderer: the pool's threads are enough
  // Global, because MuJoCo looks for eglGetProcAddress among the process's symbols.
  void* lib = dlopen("libEGL.so.1", RTLD_NOW | RTLD_GLOBAL);
  int found = lib != NULL;
#define X(name) found = found && (egl.name = (__typeof__(egl.name))dlsym(lib, "egl" #name));
  EGL_FUNCTIONS(X)
#undef X
  if (!found) {
    missing = "no libEGL.so.1";
    return;
  }
#define EXTENSION(member, name) egl.member = (__typeof__(egl.member))egl.GetProcAddress(name)
  EXTENSION(platform, "eglGetPlatformDisplayEXT");
  EXTENSION(devices, "eglQueryDevicesEXT");
  EXTENSION(device_string, "eglQueryDeviceStringEXT");
  EXTENSION(device_number, "eglQueryDeviceAttribEXT");
#undef EXTENSION
  // GPUs have the numbers of their order, whatever stands between them.
  EGLDeviceEXT list[MOST_DEVICES];
  EGLint n = 0;
  const char* client = egl.QueryString(EGL_NO_DISPLAY, EGL_EXTENSIONS);
  if (!egl.platform || !egl.devices || !egl.device_string ||
      !has(client, "EGL_EXT_platform_device") || !egl.devices(MOST_DEVICES, list, &n)) {
    n = 0;
  }
  for (int i = 0; i < n; i++) {
    const char* extensions = egl.device_string(list[i], EGL_EXTENSIONS);
    int soft = has(extensions, "EGL_MESA_device_software");
    Place* p = soft ? &software : &gpu[gpus++];
    p->device = list[i];
    if (!soft) name_device(p, extensions);
  }
}

void us_gl_list(char* text, size_t size) {
  pthread_once(&once, load);
  size_t used = 0;
  text[0] = 0;
  // A line of choices, each with what is known of it.
  pthread_mutex_lock(&lock);
  for (int i = 0; i < gpus && used < size; i++) {
    const Place* p = &gpu[i];
    const char* between = p->name[0] && p->trouble[0] ? ": " : "";
    int said = p->name[0] || p->trouble[0];
    used += (size_t)snprintf(text + used, size - used, "%sgpu:%d%s%s%s%s%s", i ? ", " : "", i,
                             said ? " (" : "", p->name, between, p->trouble, said ? ")" : "");
  }
  if ((software.device || software.display) && used < size) {
    const char* trouble = software.trouble;
    used += (size_t)snprintf(text + used, size - used, "%ssoftware%s%s%s", used ? ", " : "",
                             *trouble ? " (" : "", trouble, *trouble ? ")" : "");
  }
  if (used == 0) snprintf(text, size, "%s", missing ? missing : "none");
  pthread_mutex_unlock(&lock);
}

// ---- contexts ----

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

// A context on a display, current on return. What EGL refused, or NULL.
static const char* make_context(EGLDisplay display, int surfaceless, UsGl* out) {
  const EGLint wish[] = {EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT, EGL_SURFACE_TYPE, EGL_PBUFFER_BIT,
                         EGL_NONE};
  EGLConfig config;
  EGLint n = 0;
  *out = (UsGl){0};
  if (!egl.BindAPI(EGL_OPENGL_API) || !egl.ChooseConfig(display, wish, &config, 1, &n) || n < 1) {
    return "no OpenGL configuration";
  }
  out->display = display;
  out->context = egl.CreateContext(display, config, EGL_NO_CONTEXT, NULL);
  if (out->context == EGL_NO_CONTEXT) return "it refused a context";
  // Where a context needs a surface it gets one of a pixel, which nothing is drawn on.
  if (!surfaceless) {
    const EGLint size[] = {EGL_WIDTH, 1, EGL_HEIGHT, 1, EGL_NONE};
    out->surface = egl.CreatePbufferSurface(display, config, size);
  }
  if (us_gl_enter(out)) return NULL;
  us_gl_close(out);
  return "a context could not be made current";
}

// ---- displays ----

static int is_software(const char* renderer) {
  static const char* const names[] = {"llvmpipe", "softpipe", "swrast", "Software Rasterizer"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if (strstr(renderer, names[i])) return 1;
  }
  return 0;
}

// Opens a place on this display if OpenGL draws there in software, or not, as it should.
static int try_display(Place* p, EGLDisplay display) {
  enum { kRenderer = 0x1F01, kVersion = 0x1F02 };  // of GL/gl.h, which nothing else here needs
  UsGl g;
  if (display == EGL_NO_DISPLAY || !egl.Initialize(display, NULL, NULL) ||
      !has(egl.QueryString(display, EGL_CLIENT_APIS), "OpenGL")) {
    snprintf(p->trouble, sizeof(p->trouble), "EGL opens no OpenGL on it");
    return 0;
  }
  int surfaceless = has(egl.QueryString(display, EGL_EXTENSIONS), "EGL_KHR_surfaceless_context");
  const char* trouble = make_context(display, surfaceless, &g);
  if (trouble) {
    snprintf(p->trouble, sizeof(p->trouble), "%s", trouble);
    return 0;
  }
  // Who draws is asked of OpenGL itself.
  const unsigned char* (*get)(unsigned what) =
      (const unsigned char* (*)(unsigned))egl.GetProcAddress("glGetString");
  const unsigned char* renderer = get ? get(kRenderer) : NULL;
  const unsigned char* version = get ? get(kVersion) : NULL;
  snprintf(p->renderer, sizeof(p->renderer), "%s, %s", renderer ? (const char*)renderer : "unknown",
           version ? (const char*)version : "");
  us_gl_leave(&g);
  us_gl_close(&g);
  if (is_software(p->renderer) != (p == &software)) {
    snprintf(p->trouble, sizeof(p->trouble), "drawn by %.120s", p->renderer);
    return 0;
  }
  p->display = display;
  p->surfaceless = surfaceless;
  p->trouble[0] = 0;
  return 1;
}

// Opens a place when it is first asked for. 1 if it can be had.
static int open_place(Place* p) {
  if (p->tried) return p->display != EGL_NO_DISPLAY;
  p->tried = 1;
  if (p->device && try_display(p, egl.platform(EGL_PLATFORM_DEVICE_EXT, p->device, NULL))) return 1;
  if (p != &software) return 0;
  // An older Mesa has no device for it; then whatever the system holds for the default.
  const char* client = egl.QueryString(EGL_NO_DISPLAY, EGL_EXTENSIONS);
  if (egl.platform && has(client, "EGL_MESA_platform_surfaceless") &&
      try_display(p, egl.platform(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL))) {
    return 1;
  }
  return try_display(p, egl.GetDisplay(EGL_DEFAULT_DISPLAY));
}

// The place of a choice, or one line that lists what there is.
static UsStatus find(const char* name, const char* choice, const Place** out) {
  int which;
  US_TRY(read_choice(choice, &which));
  pthread_once(&once, load);
  pthread_mutex_lock(&lock);
  *out = NULL;
  if (which == SOFTWARE && !missing && open_place(&software)) *out = &software;
  for (int i = 0; i < gpus && which != SOFTWARE && !*out; i++) {
    if ((which == FIRST || which == i) && open_place(&gpu[i])) *out = &gpu[i];
  }
  pthread_mutex_unlock(&lock);
  if (*out) return US_OK;
  // Not there: what is, and what would help.
  char list[1024];
  us_gl_list(list, sizeof(list));
  if (which == SOFTWARE) {
    return us_fail(US_GL,
                   "%s: rendering in software needs Mesa's OpenGL through EGL, found %s: install "
                   "libegl1 libegl-mesa0 libgl1-mesa-dri%s",
                   name, list, gpus ? ", or render with --gl gpu" : "");
  }
  return us_fail(US_GL, "%s: --gl %s: expected a GPU that EGL opens, found %s", name, choice, list);
}

UsStatus us_gl_open(const char* name, const char* choice, UsGl* out) {
  const Place* p;
  *out = (UsGl){0};
  US_TRY(find(name, choice, &p));
  const char* trouble = make_context(p->display, p->surfaceless, out);
  if (trouble) return us_fail(US_GL, "%s: rendering by %s: %s", name, p->renderer, trouble);
  us_gl_leave(out);
  return US_OK;
}

UsStatus us_gl_renderer(const char* name, const char* choice, char* text, size_t size) {
  const Place* p;
  text[0] = 0;
  US_TRY(find(name, choice, &p));
  snprintf(text, size, "%s", p->renderer);
  return US_OK;
}
