// Checks of a task's table, field by field, and loading tasks from a shared library.

#define _GNU_SOURCE  // dladdr
#include "env/plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "env/scene.h"
#include "env/trap.h"
#include "worldmodel/base/text.h"

enum { MESSAGE = 512, NAME = 63 };  // NAME: what UsEnvInfo and datasets have room for

// Fields of a task by kind of check: numbers within bounds, functions that have to be there.
#define NUMBERS(X)                \
  X(frame_skip, 1, 1 << 20)       \
  X(block, 1, 1 << 10)            \
  X(action, 1, US_TASK_ACTIONS)   \
  X(proprio, 0, US_TASK_MEASURES) \
  X(measure, 1, US_TASK_MEASURES) \
  X(size, 1, 1 << 14)
#define FUNCTIONS(X) X(reset) X(read_measure) X(distance) X(success)

// "file: task name: field: what was expected and found". Nullable: file, task.
static UsStatus refuse(UsStatus status, const char* file, const char* task, const char* field,
                       const char* format, ...) __attribute__((format(printf, 5, 6)));

static UsStatus refuse(UsStatus status, const char* file, const char* task, const char* field,
                       const char* format, ...) {
  // The front of the message is built here, its end by the caller.
  char text[MESSAGE];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  return us_fail(status, "%s%s%s%s%s%s: %s", file ? file : "", file ? ": " : "",
                 task ? "task " : "", task ? task : "", task ? ": " : "", field, text);
}

// ---- a task's table ----

// Names become parts of file names and of env names.
static UsStatus check_name(const char* file, const char* task, const char* field,
                           const char* name) {
  if (!name) return refuse(US_UNSUPPORTED, file, task, field, "expected a text, found NULL");
  size_t length = strnlen(name, NAME + 1);
  if (length == 0 || length > NAME || !us_name_fits(name)) {
    char line[NAME + 2];
    us_trap_line(line, sizeof(line), name);
    return refuse(US_UNSUPPORTED, file, task, field,
                  "expected 1 to %d letters, digits, _ or -, found \"%s\"", NAME, line);
  }
  return US_OK;
}

// Size, versions and name: the four fields that stand first in every ABI.
static UsStatus check_head(const char* file, const UsTask* t) {
  // The name is read only where the struct is large enough to have one.
  int named = t->struct_size >= offsetof(UsTask, name) + sizeof(t->name);
  if (named) US_TRY(check_name(file, NULL, "a task's name", t->name));
  const char* name = named ? t->name : "table";
  if (t->struct_size != sizeof(UsTask) || t->abi != US_TASK_ABI) {
    return refuse(US_UNSUPPORTED, file, name,
                  t->struct_size != sizeof(UsTask) ? "struct_size" : "abi",
                  "expected %zu bytes of ABI %d, found %zu of ABI %d", sizeof(UsTask), US_TASK_ABI,
                  t->struct_size, t->abi);
  }
  if (t->mujoco != mjVERSION_HEADER || mj_version() != mjVERSION_HEADER) {
    return refuse(US_MUJOCO, file, name, "mujoco",
                  "expected MuJoCo %d, found headers of %d and a library of %d", mjVERSION_HEADER,
                  t->mujoco, mj_version());
  }
  return US_OK;
}

// A text that has to be there.
static UsStatus check_text(const char* file, const UsTask* t, const char* field, const char* text) {
  if (text && text[0]) return US_OK;
  return refuse(US_UNSUPPORTED, file, t->name, field, "expected a text, found %s",
                text ? "an empty one" : "NULL");
}

// Texts, numbers, functions, and what follows from each other.
static UsStatus check_fields(const char* file, const UsTask* t) {
  US_TRY(check_text(file, t, "summary", t->summary));
  if (!t->model) US_TRY(check_text(file, t, "scene", t->scene));
  US_TRY(check_text(file, t, "camera", t->camera));
#define X(field, low, high)                                                                        \
  if (t->field < (low) || t->field > (high)) {                                                     \
    return refuse(US_UNSUPPORTED, file, t->name, #field, "expected %d to %d, found %d", low, high, \
                  t->field);                                                                       \
  }
  NUMBERS(X)
#undef X
#define X(field)                                                                             \
  if (!t->field) {                                                                           \
    return refuse(US_UNSUPPORTED, file, t->name, #field, "expected a function, found NULL"); \
  }
  FUNCTIONS(X)
#undef X
  if (!(t->radius > 0) || isinf(t->radius)) {
    return refuse(US_UNSUPPORTED, file, t->name, "radius",
                  "expected a finite number above 0, found %g", t->radius);
  }
  // proprio and read_proprio come together or not at all.
  if ((t->proprio == 0) != (t->read_proprio == NULL)) {
    return refuse(US_UNSUPPORTED, file, t->name, "read_proprio",
                  "expected %s, as proprio is %d, found %s", t->proprio ? "a function" : "NULL",
                  t->proprio, t->read_proprio ? "a function" : "NULL");
  }
  return US_OK;
}

// Entry i of a list of policies or factors, structs of `size` bytes that begin with a name and a
// summary: the name is its own, and the list ends in time.
static UsStatus check_entry(const char* file, const UsTask* t, const char* list, int most,
                            const void* entries, size_t size, int i) {
  const char* const* entry = (const void*)((const char*)entries + (size_t)i * size);
  char field[64];
  if (i == most) {
    return refuse(US_UNSUPPORTED, file, t->name, list, "expected at most %d and then a NULL name",
                  most);
  }
  snprintf(field, sizeof(field), "%s[%d].name", list, i);
  US_TRY(check_name(file, t->name, field, entry[0]));
  for (int k = 0; k < i; k++) {
    const char* const* other = (const void*)((const char*)entries + (size_t)k * size);
    if (strcmp(entry[0], other[0]) != 0) continue;
    return refuse(US_UNSUPPORTED, file, t->name, field,
                  "expected a name of its own, found \"%s\" again", entry[0]);
  }
  if (entry[1]) return US_OK;
  snprintf(field, sizeof(field), "%s[%d].summary", list, i);
  return refuse(US_UNSUPPORTED, file, t->name, field, "expected a text, found NULL");
}

UsStatus us_task_check_table(const char* file, const UsTask* t) {
  US_TRY(check_head(file, t));
  US_TRY(check_fields(file, t));
  // The first policy is the default, so there is one; every policy has a function.
  const UsPolicy* p = t->policies;
  if (!p || !p[0].name) {
    return refuse(US_UNSUPPORTED, file, t->name, "policies", "expected at least one, found %s",
                  p ? "an empty list" : "NULL");
  }
  for (int i = 0; p[i].name; i++) {
    US_TRY(check_entry(file, t, "policies", US_PLUGIN_POLICIES, p, sizeof(*p), i));
    if (p[i].act) continue;
    char field[64];
    snprintf(field, sizeof(field), "policies[%d].act", i);
    return refuse(US_UNSUPPORTED, file, t->name, field, "expected a function, found NULL");
  }
  // The function of a factor may be NULL.
  const UsFactor* f = t->factors;
  for (int i = 0; f && f[i].name; i++) {
    US_TRY(check_entry(file, t, "factors", US_FACTORS / 2, f, sizeof(*f), i));
  }
  return US_OK;
}

UsStatus us_task_check(const char* file, const UsTask* t) {
  US_TRY(us_task_check_table(file, t));
  // The scene has to compile, and to have the camera.
  mjModel* m = NULL;
  UsStatus status = us_scene_compile(t, &m);
  if (status != US_OK) {
    return us_fail(status, "%s%s%s", file ? file : "", file ? ": " : "", us_message());
  }
  int camera = mj_name2id(m, mjOBJ_CAMERA, t->camera);
  mj_deleteModel(m);
  if (camera >= 0) return US_OK;
  return refuse(US_MUJOCO, file, t->name, "camera", "expected a camera of the scene, found \"%s\"",
                t->camera);
}

// ---- a plugin ----

UsStatus us_plugin_check(const char* file, const UsPlugin* p, const UsTask* const* known) {
  US_ASSERT(file);
  // The plugin's own table, before any of its tasks is looked at.
  if (!p) return us_fail(US_UNSUPPORTED, "%s: us_plugin: expected a table, found NULL", file);
  if (p->struct_size != sizeof(UsPlugin)) {
    return refuse(US_UNSUPPORTED, file, NULL, "struct_size",
                  "expected %zu bytes as in ABI %d, found %zu", sizeof(UsPlugin), US_PLUGIN_ABI,
                  p->struct_size);
  }
  if (p->abi != US_PLUGIN_ABI) {
    return refuse(US_UNSUPPORTED, file, NULL, "abi", "expected ABI %d, found %d", US_PLUGIN_ABI,
                  p->abi);
  }
  if (p->mujoco != mjVERSION_HEADER) {
    return refuse(US_UNSUPPORTED, file, NULL, "mujoco", "expected headers of MuJoCo %d, found %d",
                  mjVERSION_HEADER, p->mujoco);
  }
  if (!p->tasks || !p->tasks[0]) {
    return refuse(US_UNSUPPORTED, file, NULL, "tasks", "expected at least one, found %s",
                  p->tasks ? "an empty list" : "NULL");
  }
  for (int i = 0; p->tasks[i]; i++) {
    const UsTask* t = p->tasks[i];
    if (i == US_PLUGIN_TASKS) {
      return refuse(US_UNSUPPORTED, file, NULL, "tasks", "expected at most %d and then NULL",
                    US_PLUGIN_TASKS);
    }
    US_TRY(us_task_check(file, t));
    // Names are the plugin's own, and nobody else's.
    for (int k = 0; k < i; k++) {
      if (strcmp(p->tasks[k]->name, t->name) != 0) continue;
      return refuse(US_UNSUPPORTED, file, t->name, "name", "expected once, found twice");
    }
    for (int k = 0; known && known[k]; k++) {
      if (strcmp(known[k]->name, t->name) != 0) continue;
      return refuse(US_UNSUPPORTED, file, t->name, "name",
                    "expected a name of its own, found that of a task which is there already");
    }
  }
  return US_OK;
}

// What dlerror says, as one line without the path that it begins with.
static UsStatus refuse_library(const char* path, const char* file) {
  char line[MESSAGE];
  const char* text = dlerror();
  us_trap_line(line, sizeof(line), text ? text : "unknown error");
  size_t length = strlen(file);
  const char* at =
      strncmp(line, file, length) == 0 && line[length] == ':' ? line + length + 1 : line;
  return us_fail(US_FORMAT, "%s: expected a shared library with us_plugin(), found: %s", path,
                 at + (*at == ' '));
}

// Files' names of MuJoCo's plugins that are loaded, of which one registers once.
enum { LIBRARIES = 32 };
static struct {
  char name[64], path[4096];
  int first, count;  // slots
} loaded[LIBRARIES];
static int loaded_count;

static const char* file_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static int is_loaded(const char* path) {
  for (int i = 0; i < loaded_count; i++) {
    if (strncmp(loaded[i].name, file_name(path), sizeof(loaded[i].name) - 1) == 0) return 1;
  }
  return 0;
}

// Opens a library; *engine: how many plugins of MuJoCo it registered.
static void* open_library(const char* file, int* engine) {
  const int before = mjp_pluginCount();
  void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  *engine = library ? mjp_pluginCount() - before : 0;
  if (*engine && loaded_count < LIBRARIES) {
    snprintf(loaded[loaded_count].name, sizeof(loaded[0].name), "%.63s", file_name(file));
    snprintf(loaded[loaded_count].path, sizeof(loaded[0].path), "%s", file);
    loaded[loaded_count].first = before;
    loaded[loaded_count++].count = *engine;
  }
  return library;
}

UsStatus us_plugin_load(const char* path, const UsTask* const* known, const UsPlugin** out) {
  static const UsTask* const none[] = {NULL};
  static const UsPlugin engine_only = {sizeof(UsPlugin), US_PLUGIN_ABI, mjVERSION_HEADER, none};
  US_ASSERT(path && out);
  *out = NULL;
  char file[4096];  // with a slash, so that dlopen does not search for it
  int length = snprintf(file, sizeof(file), "%s%s", strchr(path, '/') ? "" : "./", path);
  if (length >= (int)sizeof(file)) return us_fail(US_IO, "%.80s...: expected a shorter path", path);
  if (access(file, R_OK) != 0) {
    return us_fail(US_IO, "%s: expected a shared library, found: %m", path);
  }
  // It stays loaded: its tasks are used until the process ends.
  int engine = is_loaded(file);
  void* library = engine ? NULL : open_library(file, &engine);
  if (!library && !engine) return refuse_library(path, file);
  const UsPlugin* (*entry)(void) = NULL;
  if (library) *(void**)&entry = dlsym(library, "us_plugin");
  if (!entry && engine) {
    *out = &engine_only;
    return US_OK;
  }
  UsStatus status = entry ? US_OK : refuse_library(path, file);
  // What is refused is closed again, but for what MuJoCo knows of by now.
  const UsPlugin* p = entry ? entry() : NULL;
  if (status == US_OK) status = us_plugin_check(path, p, known);
  if (status != US_OK) {
    if (!engine) dlclose(library);
    return status;
  }
  *out = p;
  return US_OK;
}

// ---- MuJoCo's own ----

static void load_engine_plugins(void) {
  // The folder is found from where MuJoCo itself was loaded from.
  Dl_info info;
  char folder[4096], file[5000];
  if (!dladdr((void*)mj_version, &info) || !info.dli_fname) return;
  const char* slash = strrchr(info.dli_fname, '/');
  int n = slash ? (int)(slash - info.dli_fname) : 1, engine;
  snprintf(folder, sizeof(folder), "%.*s/plugin", n, slash ? info.dli_fname : ".");
  DIR* d = opendir(folder);
  for (struct dirent* e; d && (e = readdir(d));) {
    const char* end = strrchr(e->d_name, '.');
    if (!end || strcmp(end, ".so") != 0 || is_loaded(e->d_name)) continue;
    snprintf(file, sizeof(file), "%s/%s", folder, e->d_name);
    open_library(file, &engine);  // what cannot be opened is missed where a model names it
  }
  if (d) closedir(d);
}

void us_engine_plugins(void) {
  static int done;
  if (!done) load_engine_plugins();
  done = 1;
}

const char* us_engine_plugin_library(int slot) {
  for (int i = 0; i < loaded_count; i++) {
    if (slot >= loaded[i].first && slot < loaded[i].first + loaded[i].count) return loaded[i].path;
  }
  return NULL;
}
