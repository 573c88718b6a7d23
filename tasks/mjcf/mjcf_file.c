#include "tasks/mjcf/mjcf_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/trap.h"

enum { MESSAGE = 512 };
static const size_t most_bytes = (size_t)64 << 20;  // of the file, without what it includes

typedef struct Compile {
  const char* path;
  mjSpec* spec;
  mjModel* model;
  char* xml;  // the model as MuJoCo writes it
  int size;   // room in xml, then the bytes in it
  char found[MESSAGE];
} Compile;

// MuJoCo reads the file itself, so that what it includes is found; this says what it would not.
static UsStatus check_text(const char* path) {
  void* data;
  size_t size;
  US_TRY(us_file_read(path, most_bytes, &data, &size));
  int binary = memchr(data, 0, size) != NULL;
  free(data);
  if (!binary) return US_OK;
  const char* end = strrchr(path, '.');
  return us_fail(US_FORMAT, "%s: expected MJCF, which is text, found %s", path,
                 end && strcmp(end, ".mjb") == 0 ? "a compiled model (MJB)" : "a binary file");
}

// Tasks find their camera by its name.
static void add_cameras(mjSpec* spec) {
  int i = 0;
  for (mjsElement* e = mjs_firstElement(spec, mjOBJ_CAMERA); e; e = mjs_nextElement(spec, e), i++) {
    char name[32];
    snprintf(name, sizeof(name), "understudy_camera_%d", i);
    if (!mjs_getString(mjs_getName(e))[0]) mjs_setName(e, name);
  }
  mjs_setName(mjs_addCamera(mjs_findBody(spec, "world"), NULL)->element, US_MJCF_CAMERA);
}

static void compile(void* arg) {
  Compile* c = arg;
  c->spec = mj_parseXML(c->path, NULL, c->found, sizeof(c->found));
  if (!c->spec) return;
  add_cameras(c->spec);
  c->model = mj_compile(c->spec, NULL);
  if (!c->model) snprintf(c->found, sizeof(c->found), "%s", mjs_getError(c->spec));
}

static void write(void* arg) {
  Compile* c = arg;
  int more = mj_saveXMLString(c->spec, c->xml, c->size, c->found, sizeof(c->found));
  c->size = more > 0 ? more + 1 : more;
}

// Writes the model down; MuJoCo says how much room that takes.
static UsStatus write_down(Compile* c) {
  for (c->size = 1 << 16; c->size > 0;) {
    int room = c->size;
    free(c->xml);
    c->xml = malloc((size_t)room);
    if (!c->xml) return us_fail(US_MEMORY, "%s: out of memory", c->path);
    if (us_trap_run(write, c, c->found, sizeof(c->found))) c->size = -1;
  }
  return c->size == 0 ? US_OK : us_fail(US_MUJOCO, "%s: MuJoCo cannot save the model", c->path);
}

static UsStatus hash(Compile* c, char hex[US_HASH_CHARS]) {
  US_TRY(write_down(c));
  const mjModel* m = c->model;
  char text[2 * US_HASH_CHARS + 128];
  us_hash_bytes(c->xml, strlen(c->xml), text);
  snprintf(text + strlen(text), sizeof(text) - strlen(text), " %lld %lld %lld %lld",
           (long long)m->nmeshvert, (long long)m->nmeshface, (long long)m->ntexdata,
           (long long)m->nhfielddata);
  us_hash_bytes(text, strlen(text), hex);
  return US_OK;
}

UsStatus us_mjcf_compile(const char* path, mjModel** out, char hex[US_HASH_CHARS]) {
  *out = NULL;
  us_trap_install();
  US_TRY(check_text(path));
  Compile c = {.path = path};
  char raised[MESSAGE] = "";
  if (us_trap_run(compile, &c, raised, sizeof(raised))) {
    memcpy(c.found, raised, sizeof(raised));
    c.model = NULL;
  }
  UsStatus status = US_OK;
  if (c.model) {
    status = hash(&c, hex);
  } else {
    us_trap_line(c.found, sizeof(c.found), c.found);
    status = us_fail(US_MUJOCO, "%s: expected an MJCF model, MuJoCo says: %s", path, c.found);
  }
  free(c.xml);
  if (c.spec) mj_deleteSpec(c.spec);
  if (status == US_OK) {
    *out = c.model;
  } else {
    mj_deleteModel(c.model);
  }
  return status;
}
