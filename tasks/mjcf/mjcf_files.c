// Files for MuJoCo, by its resource providers: one is mounted at every folder at the root of the
// file system, so that every file that a model names, however it names it, is asked of us.

#include "tasks/mjcf/mjcf_files.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Where a robot's files lie for MuJoCo.
static const char place[] = "/understudy-robot", within[] = "robot/";

struct UsMjcfFiles {
  mjVFS vfs;
  mjpResourceProvider provider;
  pthread_mutex_t lock;
  const UsRobot* robot;  // NULL: the disk
  int absolute;          // 1: the text names files by absolute paths
  char* model;
  UsMjcfRead* read;  // (count)
  int count;
};

// ---- the provider ----

static UsMjcfRead* find(const UsMjcfFiles* f, const char* name) {
  for (int i = 0; i < f->count; i++) {
    if (strcmp(f->read[i].name, name) == 0) return &f->read[i];
  }
  return NULL;
}

static int add_read(UsMjcfFiles* f, const char* name, void* data, size_t size) {
  enum { STEP = 64 };
  UsMjcfRead* all =
      f->count % STEP ? f->read : realloc(f->read, (size_t)(f->count + STEP) * sizeof(*all));
  char* copy = all ? strdup(name) : NULL;
  if (all) f->read = all;
  if (!copy) return 0;
  f->read[f->count++] = (UsMjcfRead){copy, data, size, 0};
  return 1;
}

UsMjcfRead* us_mjcf_files_load(UsMjcfFiles* f, const char* name) {
  UsMjcfRead* known = find(f, name);
  void* data;
  size_t size;
  if (known) return known;
  if (us_file_read(name, US_ROBOT_BYTES, &data, &size) != US_OK) return NULL;
  if (add_read(f, name, data, size)) return &f->read[f->count - 1];
  free(data);
  return NULL;
}

// A file of the robot, asked for under our place or by the absolute path that its text names.
static int serve(const UsMjcfFiles* f, const char* name, const void** data, size_t* size) {
  size_t n = strlen(place), length = strlen(within);
  int ours = strncmp(name, place, n) == 0 && name[n] == '/';
  if (!ours && !f->absolute) return 0;
  const char* rest = ours ? name + n + 1 : name + 1;
  for (int i = 0; i < f->robot->count; i++) {
    const UsRobotFile* file = &f->robot->file[i];
    if (strncmp(file->name, within, length) || strcmp(file->name + length, rest)) continue;
    *data = file->data;
    *size = file->size;
    return 1;
  }
  return 0;
}

typedef struct Open {
  const void* data;
  size_t size;
} Open;

static int open_file(mjResource* r) {
  UsMjcfFiles* f = r->provider->data;
  Open* o = calloc(1, sizeof(*o));
  if (!o) return 0;
  pthread_mutex_lock(&f->lock);
  const UsMjcfRead* read = f->robot ? NULL : us_mjcf_files_load(f, r->name);
  if (read) *o = (Open){read->data, read->size};
  int good = f->robot ? serve(f, r->name, &o->data, &o->size) : read != NULL;
  pthread_mutex_unlock(&f->lock);
  if (good && o->size <= INT32_MAX) {
    r->data = o;
    return 1;
  }
  free(o);
  return 0;
}

static int read_file(mjResource* r, const void** buffer) {
  const Open* o = r->data;
  *buffer = o->data;
  return (int)o->size;
}

static void close_file(mjResource* r) {
  free(r->data);
  r->data = NULL;
}

static int stay(mjResource* r) {
  return 1;
}

// Of a robot, every folder is ours, so that nothing of this disk gets into it.
static void mount(UsMjcfFiles* f) {
  f->provider = (mjpResourceProvider){.prefix = "understudy",
                                      .open = open_file,
                                      .read = read_file,
                                      .close = close_file,
                                      .mount = stay,
                                      .unmount = stay,
                                      .data = f};
  mj_mountVFS(&f->vfs, place, &f->provider);
  DIR* d = opendir("/");
  for (struct dirent* e; d && (e = readdir(d));) {
    char path[sizeof(e->d_name) + 2];
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    snprintf(path, sizeof(path), "/%s", e->d_name);
    mj_mountVFS(&f->vfs, path, &f->provider);
  }
  if (d) closedir(d);
  // Those of absolute paths that this machine does not have; what is mounted already is refused.
  for (int i = 0; f->absolute && i < f->robot->count; i++) {
    const char* name = f->robot->file[i].name + strlen("robot");
    char path[256];
    if (name[0] != '/') continue;
    snprintf(path, sizeof(path), "/%.*s", (int)strcspn(name + 1, "/"), name + 1);
    if (i < 2 || strncmp(name, f->robot->file[i - 1].name + strlen("robot"), strlen(path))) {
      mj_mountVFS(&f->vfs, path, &f->provider);
    }
  }
}

// ---- opening ----

static UsStatus find_model(const char* path, UsMjcfFiles* f) {
  if (!f->robot) {
    f->model = us_path_absolute(path);
    return f->model ? US_OK : us_fail(US_IO, "%s: no absolute path of it", path);
  }
  // The text stands behind robot.json, which says how files are named.
  cJSON* json;
  const UsRobotFile* text = &f->robot->file[1];
  US_TRY(us_json_parse(f->robot->task, f->robot->file[0].data, f->robot->file[0].size, &json));
  UsStatus status = us_json_flag(f->robot->task, json, "absolute", 0, &f->absolute);
  cJSON_Delete(json);
  US_TRY(status);
  size_t size = sizeof(place) + strlen(text->name);
  f->model = malloc(size);
  if (!f->model) return us_fail(US_MEMORY, "%s: out of memory", f->robot->task);
  snprintf(f->model, size, "%s/%s", place, text->name + strlen(within));
  return US_OK;
}

UsStatus us_mjcf_files_open(const char* path, const UsRobot* robot, UsMjcfFiles** out) {
  *out = NULL;
  UsMjcfFiles* f = calloc(1, sizeof(*f));
  if (!f) return us_fail(US_MEMORY, "out of memory for files");
  mj_defaultVFS(&f->vfs);
  pthread_mutex_init(&f->lock, NULL);
  f->robot = robot;
  UsStatus status = find_model(path, f);
  if (status != US_OK) {
    us_mjcf_files_close(f);
    return status;
  }
  mount(f);
  *out = f;
  return US_OK;
}

void us_mjcf_files_close(UsMjcfFiles* f) {
  if (!f) return;
  mj_deleteVFS(&f->vfs);
  pthread_mutex_destroy(&f->lock);
  for (int i = 0; i < f->count; i++) {
    free(f->read[i].name);
    free(f->read[i].data);
  }
  free(f->read);
  free(f->model);
  free(f);
}

const char* us_mjcf_files_model(const UsMjcfFiles* f) {
  return f->model;
}
const mjVFS* us_mjcf_files_vfs(const UsMjcfFiles* f) {
  return &f->vfs;
}
const char* us_mjcf_files_text(const UsMjcfFiles* f) {
  return f->robot ? f->robot->file[1].data : NULL;
}
UsMjcfRead* us_mjcf_files_read(const UsMjcfFiles* f, int* count) {
  *count = f->count;
  return f->read;
}
