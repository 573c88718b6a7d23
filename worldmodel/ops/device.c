// Devices by name. The CPU is in the library; a GPU comes with a module of its own, which is looked
// for when one is asked for, so that the library runs where there is neither driver nor toolkit.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worldmodel/base/file.h"
#include "worldmodel/ops/ops_table.h"

enum { kPath = 4096, kMessage = 512, kMostIndex = 255 };

#define MODULE "libunderstudy_cuda.so"
static const char module_entry[] = "us_cuda_open";

UsDevice* us_device_cpu(void) {
  static UsDevice cpu = {.ops = &us_ops_cpu, .kind = "cpu"};
  return &cpu;
}

static UsDevice* cpu_fast(void) {
  static UsDevice cpu = {.ops = &us_ops_cpu, .kind = "cpu fast", .bfloat = 1};
  return &cpu;
}

// ---- the module ----

// Where the module is: at $UNDERSTUDY_CUDA, else beside this library or in understudy/ below it.
static UsStatus find_module(char path[kPath]) {
  static const char* const places[] = {MODULE, "understudy/" MODULE};
  const char* named = getenv("UNDERSTUDY_CUDA");
  if (named && !*named) named = NULL;
  if (us_file_beside(named, 2, places, F_OK, path, kPath)) return US_OK;
  if (!named) {
    return us_fail(US_DEVICE, "cuda: this build has no CUDA module (%s): build where nvcc is",
                   MODULE);
  }
  return us_fail(US_DEVICE, "%s: expected the CUDA module that UNDERSTUDY_CUDA names, found none",
                 path);
}

// Opens the module, which stays open: what it holds of the driver outlives a device.
static UsStatus load_module(UsModuleOpen** out) {
  char path[kPath];
  US_TRY(find_module(path));
  void* module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!module) {
    const char* why = dlerror();
    // The loader names the library that it did not find.
    if (why && strstr(why, "libcublas")) {
      return us_fail(US_DEVICE,
                     "%s: expected cuBLAS of the CUDA toolkit where libraries are looked for "
                     "(LD_LIBRARY_PATH), found none: %s",
                     path, why);
    }
    return us_fail(US_DEVICE, "%s: expected a CUDA module: %s", path, why ? why : "no reason told");
  }
  *out = (UsModuleOpen*)(uintptr_t)dlsym(module, module_entry);
  if (*out) return US_OK;
  dlclose(module);
  return us_fail(US_DEVICE, "%s: expected a CUDA module, found a library without %s", path,
                 module_entry);
}

// ---- by name ----

// The number behind "cuda:", 0 without one; -1 when the name means no GPU.
static int gpu_index(const char* name) {
  if (strncmp(name, "cuda", 4) != 0) return -1;
  if (!name[4]) return 0;
  size_t digits = name[4] == ':' ? strspn(name + 5, "0123456789") : 0;
  if (digits < 1 || digits > 3 || name[5 + digits]) return -1;
  int index = atoi(name + 5);
  return index <= kMostIndex ? index : -1;
}

UsStatus us_device_open(const char* name, int fast, UsDevice** out) {
  *out = NULL;
  if (!name) name = "cpu";
  // The CPU has one kind of products.
  if (strcmp(name, "cpu") == 0) {
    if (fast == US_FAST) return us_fail(US_USAGE, "device cpu: expected cuda for fast products");
    *out = fast ? cpu_fast() : us_device_cpu();
    return US_OK;
  }
  int index = gpu_index(name);
  if (index < 0) {
    return us_fail(US_USAGE, "device: expected cpu, cuda or cuda:N, found \"%s\"", name);
  }
  UsModuleOpen* open;
  char message[kMessage] = "";
  US_TRY(load_module(&open));
  if (open(index, fast ? US_MODULE_FAST : 0, US_VERSION, sizeof(UsOps), out, message,
           sizeof(message)) == 0) {
    (*out)->kind = fast ? "cuda fast" : "cuda";
    (*out)->bfloat = fast == US_FAST_FEATURES;
    return US_OK;
  }
  *out = NULL;
  return us_fail(US_DEVICE, "%s", message);
}

const char* us_device_kind(const UsDevice* d) {
  return d->kind ? d->kind : "cpu";
}

int us_device_bfloat(const UsDevice* d) {
  return d->bfloat;
}

const char* us_device_text(UsDevice* d, char* text, size_t size) {
  snprintf(text, size, "%s: %s", us_device_kind(d), us_ops_name(d));
  return text;
}

UsStatus us_device_check(UsDevice* d, const char* what) {
  const char* error = d->error ? d->error(d) : NULL;
  return error ? us_fail(US_DEVICE, "%s: %s", what, error) : US_OK;
}

void us_device_close(UsDevice* d) {
  if (d && d->close) d->close(d);
}

void us_device_info(UsDevice* d, UsDeviceInfo* out) {
  *out = (UsDeviceInfo){0};
  if (d->info) d->info(d, out);
}
