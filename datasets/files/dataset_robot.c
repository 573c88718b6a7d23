// Robots in datasets and model folders.

#include "datasets/files/dataset_robot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/hdf5/column_storage.h"
#include "datasets/hdf5/columns.h"
#include "worldmodel/base/text.h"

// MOST: bytes of a text that stands in the file, as HDF5 gives an attribute 64 KB.
enum { MOST = 60 << 10, PATH = 4096 };

static int fits(const UsRobotFile* f) {
  return f->size < MOST;
}

int us_robot_needs_zip(const UsRobot* r) {
  return r->count > 2 || !fits(&r->file[0]) || !fits(&r->file[1]);
}

static char* folder_of(const char* path) {
  char* folder = us_path_absolute(path);
  char* slash = folder ? strrchr(folder, '/') : NULL;
  if (slash) *slash = 0;
  return folder;
}

static UsStatus zip_path(const char* folder, const char* task, char path[PATH]) {
  if (snprintf(path, PATH, "%s/%s.zip", folder, task) < PATH) return US_OK;
  return us_fail(US_IO, "%.80s...: expected a shorter path", folder);
}

// ---- writing ----

UsStatus us_robot_put(const char* folder, const UsRobot* r) {
  char path[PATH];
  US_TRY(zip_path(folder, r->task, path));
  return us_robot_write(path, r);
}

UsStatus us_robot_put_beside(const char* path, const UsRobot* r) {
  if (!us_robot_needs_zip(r)) return US_OK;
  char* folder = folder_of(path);
  UsStatus status =
      folder ? us_robot_put(folder, r) : us_fail(US_MEMORY, "%s: out of memory", path);
  free(folder);
  return status;
}

int us_robot_attributes_write(hid_t file, const char* path, const UsRobot* r) {
  char hash[US_HASH_CHARS];
  if (us_robot_hash(r, hash) != US_OK) return -1;
  int bad = us_attribute_write_text(file, "robot_sha256", hash, sizeof(hash));
  static const char* const names[] = {"robot", "robot_text"};
  for (int i = 0; i < 2; i++) {
    const UsRobotFile* f = &r->file[i];
    if (fits(f)) bad |= us_attribute_write_text(file, names[i], f->data, f->size + 1);
  }
  char* folder = folder_of(path);
  char* way = folder && r->path ? us_path_between(folder, r->path) : NULL;
  if (way && strlen(way) < PATH) {
    bad |= us_attribute_write_text(file, "robot_path", way, strlen(way) + 1);
  }
  free(way);
  free(folder);
  return bad ? -1 : 0;
}

// ---- reading ----

// What a dataset says of its robot.
typedef struct Said {
  char task[64], hash[US_HASH_CHARS], path[PATH];
  char notes[MOST + 1], text[MOST + 1];
} Said;

static int read_said(const char* path, Said* s) {
  hid_t file;
  us_hdf5_quiet();
  if (us_hdf5_open(path, &file) != US_OK) return 0;
  int there = us_attribute_read_text(file, "robot_sha256", s->hash, sizeof(s->hash));
  us_attribute_read_text(file, "task", s->task, sizeof(s->task));
  us_attribute_read_text(file, "robot_path", s->path, sizeof(s->path));
  us_attribute_read_text(file, "robot", s->notes, sizeof(s->notes));
  us_attribute_read_text(file, "robot_text", s->text, sizeof(s->text));
  H5Fclose(file);
  return there;
}

// robot.json says where the text was, and whether there was more.
static UsStatus take_texts(const char* path, const Said* s, UsRobot* out, int* whole) {
  char model[1024], name[1100];
  int assets;
  cJSON* json;
  *whole = 0;
  if (!s->notes[0] || !s->text[0]) return US_OK;
  US_TRY(us_json_parse(path, s->notes, strlen(s->notes), &json));
  UsStatus status = us_json_text(path, json, "model", NULL, model, sizeof(model));
  if (status == US_OK) {
    status = us_json_int(path, json, "assets", 0, US_ROBOT_FILES, NULL, &assets);
  }
  cJSON_Delete(json);
  US_TRY(status);
  if (assets > 0) return US_OK;
  *whole = 1;
  snprintf(name, sizeof(name), "robot/%s", model);
  US_TRY(us_robot_add(out, "robot.json", s->notes, strlen(s->notes)));
  US_TRY(us_robot_add(out, name, s->text, strlen(s->text)));
  return us_robot_check(path, out);
}

// Reads <task>.zip of a folder.
static UsStatus take_zip(const char* path, const char* folder, const char* task, UsRobot* out) {
  char zip[PATH];
  // A task's name has no slash, or it is none.
  if (!task[0] || strchr(task, '/')) {
    return us_fail(US_FORMAT, "%s: expected a task's name, found \"%s\"", path, us_shown(task));
  }
  US_TRY(zip_path(folder, task, zip));
  if (!us_file_exists(zip)) {
    return us_fail(US_IO, "%s: expected its robot in %s, found none there", path, zip);
  }
  return us_robot_read(zip, out);
}

static UsStatus check_task(const char* path, const char* task, const UsRobot* r) {
  if (strcmp(r->task, task) == 0) return US_OK;
  return us_fail(US_FORMAT, "%s: expected the robot of %s, found that of %s", path, us_shown(task),
                 us_shown(r->task));
}

// The path that a way leads to, seen from a folder.
static void find_path(const char* folder, const char* way, UsRobot* r) {
  char path[2 * PATH];
  if (way[0] && snprintf(path, sizeof(path), "%s/%s", folder, way) < (int)sizeof(path)) {
    r->path = us_path_absolute(path);
  }
}

static UsStatus of_dataset(const char* path, UsRobot* out) {
  Said* s = calloc(1, sizeof(*s));
  char* folder = folder_of(path);
  UsStatus status = s && folder ? US_OK : us_fail(US_MEMORY, "%s: out of memory", path);
  int whole;
  if (status == US_OK && read_said(path, s)) {
    status = take_texts(path, s, out, &whole);
    if (status == US_OK && !whole) status = take_zip(path, folder, s->task, out);
    if (status == US_OK) status = check_task(path, s->task, out);
    if (status == US_OK) find_path(folder, s->path, out);
  }
  free(folder);
  free(s);
  return status;
}

static UsStatus of_model(const char* folder, UsRobot* out) {
  char path[PATH], task[64], way[PATH], zip[PATH];
  cJSON* json;
  US_TRY(us_folder_check(folder));
  us_path_join(path, sizeof(path), folder, "config.json");
  if (us_json_read(path, &json) != US_OK) return US_OK;
  UsStatus status = us_json_text(path, json, "task", "", task, sizeof(task));
  if (status == US_OK) status = us_json_text(path, json, "robot_path", "", way, sizeof(way));
  cJSON_Delete(json);
  US_TRY(status);
  if (!task[0] || strchr(task, '/')) return US_OK;
  US_TRY(zip_path(folder, task, zip));
  if (!us_file_exists(zip)) return US_OK;
  US_TRY(us_robot_read(zip, out));
  US_TRY(check_task(folder, task, out));
  char* from = us_path_absolute(folder);
  if (from) find_path(from, way, out);
  free(from);
  return US_OK;
}

UsStatus us_data_robot(const char* path, UsRobot* out) {
  struct stat found;
  if (stat(path, &found) != 0) return US_OK;
  UsStatus status = S_ISDIR(found.st_mode) ? of_model(path, out) : of_dataset(path, out);
  if (status != US_OK) us_robot_free(out);
  return status;
}
