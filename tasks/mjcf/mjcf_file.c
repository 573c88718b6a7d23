// Reading and compiling an MJCF or URDF file, and a hash of what it says.

#include "tasks/mjcf/mjcf_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mujoco/mjxmacro.h>

#include "env/plugin.h"
#include "env/trap.h"
#include "tasks/mjcf/mjcf_adapt.h"
#include "tasks/mjcf/mjcf_measure.h"
#include "tasks/mjcf/mjcf_mocap.h"

enum { MESSAGE = 512 };
static const size_t most_bytes = (size_t)64 << 20;  // of the file, without what it includes

typedef struct Compile {
  const UsMjcfConfig* config;
  const UsMjcfFiles* files;  // NULL: the disk, unseen
  const cJSON* ranges;
  int urdf;
  int first;   // line of the file's first camera; 0: there is none
  char* name;  // (64) of that camera
  mjSpec* spec;
  mjModel* model;
  char found[MESSAGE];
} Compile;

// The name that the file's first camera has by now, which the file itself may not say.
static void name_first(const Compile* c) {
  mjsElement* found = mjs_findElement(c->spec, mjOBJ_CAMERA, c->name);
  char line[32];
  snprintf(line, sizeof(line), "line %d", c->first);
  for (mjsElement* e = mjs_firstElement(c->spec, mjOBJ_CAMERA); e && !found && !c->name[0];
       e = mjs_nextElement(c->spec, e)) {
    const char *name = mjs_getString(mjs_getName(e)), *at = mjs_getString(mjs_asCamera(e)->info);
    if (strncmp(name, "understudy_camera_", 18) == 0 && strcmp(at, line) == 0) found = e;
  }
  // Where it was copied under another name, the first of all.
  if (!found) found = mjs_firstElement(c->spec, mjOBJ_CAMERA);
  snprintf(c->name, 64, "%s", found ? mjs_getString(mjs_getName(found)) : "");
}

// Numbers that follow from the compiled model have their room in the next.
static int add_rooms(const Compile* c) {
  int mocap = us_mjcf_mocap_find(c->model), names = us_mjcf_measure_names(c->model);
  if (mocap) us_mjcf_add_room(c->spec, US_MJCF_MOCAP, mocap * US_MOCAP_ROOM);
  if (names) us_mjcf_add_room(c->spec, US_MJCF_MEASURED, names);
  return mocap + names;
}

// Runs in a trap.
static void compile(void* arg) {
  Compile* c = arg;
  mj_clearCache(mj_getCache());  // which misses that a mesh or image changed within a second
  const char* path = c->files ? us_mjcf_files_model(c->files) : c->config->path;
  const mjVFS* vfs = c->files ? us_mjcf_files_vfs(c->files) : NULL;
  c->spec = mj_parseXML(path, vfs, c->found, sizeof(c->found));
  mjSpec* spec = c->spec;
  if (!spec) return;
  // Tasks find their camera by its name.
  int i = 0;
  for (mjsElement* e = mjs_firstElement(spec, mjOBJ_CAMERA); e; e = mjs_nextElement(spec, e), i++) {
    char name[32];
    snprintf(name, sizeof(name), "understudy_camera_%d", i);
    if (!mjs_getString(mjs_getName(e))[0]) mjs_setName(e, name);
  }
  name_first(c);
  mjs_setName(mjs_addCamera(mjs_findBody(spec, "world"), NULL)->element, US_MJCF_CAMERA);
  us_mjcf_adapt_spec(spec, c->config, c->urdf);
  c->model = mj_compile(spec, vfs);
  if (c->model && add_rooms(c)) {
    mj_deleteModel(c->model);
    c->model = mj_compile(spec, vfs);
  }
  if (c->model) us_mjcf_adapt_ranges(c->model);
  if (c->model) us_mjcf_adapt_take(c->model, c->ranges);
  if (!c->model) snprintf(c->found, sizeof(c->found), "%s", mjs_getError(c->spec));
}

// ---- the hash ----

// Takes bytes into a hash.
static void mix(char hex[US_HASH_CHARS], const void* data, size_t size) {
  char both[2 * US_HASH_CHARS];
  memcpy(both, hex, US_HASH_CHARS);
  us_hash_bytes(data, size, both + US_HASH_CHARS);
  us_hash_bytes(both, sizeof(both), hex);
}

// Takes numbers as floats: their last bits are the processor's.
static void mix_numbers(char hex[US_HASH_CHARS], const mjtNum* x, size_t n) {
  float some[1024];
  for (size_t i = 0, k; i < n; i += k) {
    for (k = 0; k < 1024 && i + k < n; k++) some[k] = (float)x[i + k] + 0.0f;  // no -0
    mix(hex, some, sizeof(*some) * k);
  }
}

// A field with its name, so that none stands for another.
static void mix_field(char hex[US_HASH_CHARS], const char* field, const void* x, size_t n,
                      size_t size, int numbers) {
  // But for fields that say where files lie, or that follow from others alone.
  static const char* const outside[] = {"npaths",       "paths",          "mesh_pathadr",
                                        "skin_pathadr", "hfield_pathadr", "tex_pathadr",
                                        "nbuffer",      "names_map",      "plugin"};
  for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
    if (strcmp(outside[i], field) == 0) return;
  }
  if (strncmp(field, "bvh_", 4) == 0) return;
  mix(hex, field, strlen(field));
  if (numbers) {
    mix_numbers(hex, x, n);
  } else {
    mix(hex, x, n * size);
  }
}

#define IS_NUMBERS(x) _Generic((x), mjtNum * : 1, const mjtNum* : 1, default : 0)
#define MIX(name, x, n) mix_field(hex, name, x, (size_t)(n), sizeof(*(x)), IS_NUMBERS(x))

// All of a compiled model that physics or pictures come from.
static void hash(const mjModel* m, char hex[US_HASH_CHARS]) {
  memset(hex, 0, US_HASH_CHARS);
#define X(name) MIX(#name, &m->name, 1);
  MJMODEL_SIZES
#undef X
  // Options, field by field, as the struct has gaps.
#define X(type, name, n) MIX(#name, &m->opt.name, n);
#define XVEC(type, name, n) MIX(#name, m->opt.name, n);
  MJOPTION_FIELDS
#undef X
#undef XVEC
  MIX("stat", (const mjtNum*)&m->stat, sizeof(m->stat) / sizeof(mjtNum));
  MIX("vis", &m->vis, 1);  // floats and ints, without gaps
  MJMODEL_POINTERS_PREAMBLE(m)
#define X(type, name, rows, columns) MIX(#name, m->name, (size_t)m->rows*(size_t)(columns));
#define XNV X
  MJMODEL_POINTERS
#undef X
#undef XNV
  for (int i = 0; i < m->nplugin; i++) {
    const char* name = mjp_getPluginAtSlot(m->plugin[i])->name;  // the slot depends on the program
    MIX("plugin name", name, strlen(name));
  }
}

// ---- files ----

// MuJoCo reads the file itself, so that what it includes is found; this says what it would not.
static UsStatus look_at(const char* path, int* urdf) {
  void* data;
  size_t size;
  char root[64] = "";
  US_TRY(us_file_read(path, most_bytes, &data, &size));
  int binary = memchr(data, 0, size) != NULL;
  if (!binary) us_xml_root(data, root);  // a zero byte follows
  free(data);
  if (binary) {
    const char* end = strrchr(path, '.');
    return us_fail(US_FORMAT, "%s: expected MJCF, which is text, found %s", path,
                   end && strcmp(end, ".mjb") == 0 ? "a compiled model (MJB)" : "a binary file");
  }
  *urdf = strcmp(root, "robot") == 0;
  return US_OK;
}

UsStatus us_mjcf_compile(const UsMjcfConfig* config, const UsMjcfFiles* files, const cJSON* ranges,
                         mjModel** out, char* first, char hex[US_HASH_CHARS]) {
  *out = NULL;
  us_trap_install();
  us_engine_plugins();
  Compile c = {.config = config, .files = files, .ranges = ranges, .name = first};
  const char* text = files ? us_mjcf_files_text(files) : NULL;
  if (text) {
    char root[64];
    us_xml_root(text, root);
    c.urdf = strcmp(root, "robot") == 0;
    c.first = us_xml_first_camera_in(text, first);
  } else {
    US_TRY(look_at(config->path, &c.urdf));
    c.first = us_xml_first_camera(config->path, first);
  }
  // What was raised tells more than what was returned.
  char raised[MESSAGE] = "";
  if (us_trap_run(compile, &c, raised, sizeof(raised))) {
    memcpy(c.found, raised, sizeof(raised));
    c.model = NULL;
  }
  UsStatus status = US_OK;
  if (c.model) {
    hash(c.model, hex);
  } else {
    us_trap_line(c.found, sizeof(c.found), c.found);
    status =
        us_fail(US_MUJOCO, "%s: expected an MJCF model, MuJoCo says: %s", config->path, c.found);
  }
  if (c.spec) mj_deleteSpec(c.spec);
  if (status == US_OK) {
    *out = c.model;
  } else {
    mj_deleteModel(c.model);
  }
  return status;
}
