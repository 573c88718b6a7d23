// An EGL with GPUs for tests on machines without: libEGL.so.1 in a folder of its own. It hands all
// work to the real one, whose software device it lists behind three devices:
//
//   0  cannot be initialized
//   1  draws in software
//   2  works, calls itself "Pretend/1" and is CUDA's device 3
//
// A pretended display is a handle of its own, so that contexts are known by it.

#include <dlfcn.h>
#include <string.h>

#include <EGL/egl.h>
#include <EGL/eglext.h>

#define API __attribute__((visibility("default")))

enum { kPretended = 3, kRendererName = 0x335F, kGlRenderer = 0x1F01 };

typedef struct Pretended {
  const char *extensions, *name;
  EGLDisplay real;
} Pretended;

static Pretended gpu[kPretended] = {
    {"EGL_EXT_device_drm", NULL, NULL},
    {"", NULL, NULL},
    {"EGL_EXT_device_query_name EGL_NV_device_cuda EGL_EXT_device_drm", "Pretend/1", NULL}};
static _Thread_local const Pretended* current;

// A function of the real library.
static void* real(const char* name) {
  static void* lib;
  if (!lib) lib = dlopen(US_REAL_EGL, RTLD_NOW | RTLD_LOCAL);
  return lib ? dlsym(lib, name) : NULL;
}

static void* real_extension(const char* name) {
  void* (*get)(const char*) = (void* (*)(const char*))real("eglGetProcAddress");
  return get ? get(name) : NULL;
}

static const Pretended* pretended(const void* handle) {
  for (int i = 0; i < kPretended; i++) {
    if (handle == &gpu[i]) return &gpu[i];
  }
  return NULL;
}

static EGLDisplay behind(EGLDisplay d) {
  const Pretended* p = pretended(d);
  return p ? p->real : d;
}

// Functions that only need the display behind the handle.
#define HAND_ON(result, name, parameters, ...) \
  API result name parameters {                 \
    result(*f) parameters = real(#name);       \
    return f(__VA_ARGS__);                     \
  }
HAND_ON(EGLDisplay, eglGetDisplay, (EGLNativeDisplayType d), d)
HAND_ON(const char*, eglQueryString, (EGLDisplay d, EGLint what), behind(d), what)
HAND_ON(EGLBoolean, eglBindAPI, (EGLenum api), api)
HAND_ON(EGLBoolean, eglChooseConfig,
        (EGLDisplay d, const EGLint* list, EGLConfig* out, EGLint size, EGLint* n), behind(d), list,
        out, size, n)
HAND_ON(EGLContext, eglCreateContext,
        (EGLDisplay d, EGLConfig c, EGLContext share, const EGLint* list), behind(d), c, share,
        list)
HAND_ON(EGLBoolean, eglDestroyContext, (EGLDisplay d, EGLContext c), behind(d), c)
HAND_ON(EGLSurface, eglCreatePbufferSurface, (EGLDisplay d, EGLConfig c, const EGLint* list),
        behind(d), c, list)
HAND_ON(EGLBoolean, eglDestroySurface, (EGLDisplay d, EGLSurface s), behind(d), s)

API EGLBoolean eglInitialize(EGLDisplay d, EGLint* major, EGLint* minor) {
  EGLBoolean (*f)(EGLDisplay, EGLint*, EGLint*) = real("eglInitialize");
  return d == &gpu[0] ? EGL_FALSE : f(behind(d), major, minor);
}

API EGLBoolean eglMakeCurrent(EGLDisplay d, EGLSurface draw, EGLSurface read, EGLContext c) {
  EGLBoolean (*f)(EGLDisplay, EGLSurface, EGLSurface, EGLContext) = real("eglMakeCurrent");
  current = pretended(d);
  return f(behind(d), draw, read, c);
}

// ---- extensions ----

static EGLBoolean query_devices(EGLint most, EGLDeviceEXT* out, EGLint* n) {
  PFNEGLQUERYDEVICESEXTPROC f = real_extension("eglQueryDevicesEXT");
  for (int i = 0; i < kPretended; i++) out[i] = &gpu[i];
  if (!f(most - kPretended, out + kPretended, n)) return EGL_FALSE;
  *n += kPretended;
  return EGL_TRUE;
}

static const char* query_string(EGLDeviceEXT device, EGLint what) {
  PFNEGLQUERYDEVICESTRINGEXTPROC f = real_extension("eglQueryDeviceStringEXT");
  const Pretended* p = pretended(device);
  if (!p) return f(device, what);
  return what == EGL_EXTENSIONS            ? p->extensions
         : what == kRendererName           ? p->name
         : what == EGL_DRM_DEVICE_FILE_EXT ? "/dev/dri/card7"
                                           : NULL;
}

static EGLBoolean query_number(EGLDeviceEXT device, EGLint what, EGLAttrib* out) {
  *out = 3;
  return device == &gpu[2] && what == EGL_CUDA_DEVICE_NV;
}

static EGLDisplay platform_display(EGLenum platform, void* native, const EGLint* list) {
  PFNEGLGETPLATFORMDISPLAYEXTPROC f = real_extension("eglGetPlatformDisplayEXT");
  Pretended* p = (Pretended*)pretended(native);
  if (!p) return f(platform, native, list);
  p->real = f(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
  return p;
}

static const unsigned char* get_string(unsigned what) {
  const unsigned char* (*f)(unsigned) = real_extension("glGetString");
  if (current == &gpu[2] && what == kGlRenderer) return (const unsigned char*)gpu[2].name;
  return f(what);
}

API __eglMustCastToProperFunctionPointerType eglGetProcAddress(const char* name) {
  const struct {
    const char* name;
    void* function;
  } own[] = {{"eglQueryDevicesEXT", (void*)query_devices},
             {"eglQueryDeviceStringEXT", (void*)query_string},
             {"eglQueryDeviceAttribEXT", (void*)query_number},
             {"eglGetPlatformDisplayEXT", (void*)platform_display},
             {"glGetString", (void*)get_string}};
  for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
    if (strcmp(own[i].name, name) == 0)
      return (__eglMustCastToProperFunctionPointerType)own[i].function;
  }
  return (__eglMustCastToProperFunctionPointerType)real_extension(name);
}
