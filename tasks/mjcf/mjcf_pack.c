// From a file on the disk to a robot: MuJoCo reads it once more through us, so that exactly what it
// opens is taken, under places as they were to each other; then it is compiled from what was taken.

#include "tasks/mjcf/mjcf_pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/plugin.h"
#include "env/scene.h"
#include "tasks/mjcf/mjcf_adapt.h"
#include "tasks/mjcf/mjcf_file.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/text.h"

enum { DIGITS = 8 };  // of the hash, at the end of a task's name

// ---- robot.json ----

// The plugins that a model uses, each once.
static UsStatus note_plugins(const mjModel* m, cJSON* json) {
  cJSON* list = m->nplugin ? cJSON_AddArrayToObject(json, "plugins") : NULL;
  for (int i = 0; i < m->nplugin; i++) {
    int known = 0;
    for (int k = 0; k < i; k++) known |= m->plugin[k] == m->plugin[i];
    if (known) continue;
    cJSON* one = cJSON_CreateObject();
    cJSON_AddItemToArray(list, one);
    cJSON_AddStringToObject(one, "name", mjp_getPluginAtSlot(m->plugin[i])->name);
    const char *library = us_engine_plugin_library(m->plugin[i]), *slash;
    if (!library) continue;
    char hash[US_HASH_CHARS];
    US_TRY(us_hash_file(library, hash));
    slash = strrchr(library, '/');
    cJSON_AddStringToObject(one, "library", slash ? slash + 1 : library);
    cJSON_AddStringToObject(one, "sha256", hash);
  }
  return US_OK;
}

static UsStatus note(const UsMjcfConfig* config, const UsTask* t, const char* model, int absolute,
                     int assets, UsRobot* out) {
  const mjModel* m = t->model;
  char pose[US_POSE_CHARS];
  us_scene_pose(m, mj_name2id(m, mjOBJ_CAMERA, US_MJCF_CAMERA), pose);
  cJSON* json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "format", "understudy robot");
  us_json_add(json, "version", 1);
  cJSON_AddStringToObject(json, "task", t->name);
  cJSON_AddStringToObject(json, "understudy", US_VERSION);
  cJSON_AddStringToObject(json, "mujoco", mj_versionString());
  cJSON_AddStringToObject(json, "model", model);
  if (absolute) cJSON_AddBoolToObject(json, "absolute", 1);
  us_json_add(json, "assets", assets);
  us_settings_key(us_mjcf_settings, config, cJSON_AddObjectToObject(json, "settings"));
  cJSON_AddStringToObject(json, "camera", t->camera);
  cJSON_AddStringToObject(json, "pose", pose);
  cJSON* ranges = us_mjcf_adapt_said(m);
  if (ranges) cJSON_AddItemToObject(json, "ranges", ranges);
  UsStatus status = note_plugins(m, json);
  char* text = status == US_OK ? cJSON_PrintUnformatted(json) : NULL;
  if (text) {
    status = us_robot_add(out, "robot.json", text, strlen(text));
  } else if (status == US_OK) {
    status = us_fail(US_MEMORY, "%s: out of memory", t->name);
  }
  free(text);
  cJSON_Delete(json);
  return status;
}

// A plugin that is not here ends the opening in words; another library of its name is told.
static UsStatus check_plugin(const char* what, const cJSON* one) {
  char name[256], library[256], then[US_HASH_CHARS], now[US_HASH_CHARS];
  int slot = -1;
  US_TRY(us_json_text(what, one, "name", NULL, name, sizeof(name)));
  US_TRY(us_json_text(what, one, "library", "", library, sizeof(library)));
  US_TRY(us_json_text(what, one, "sha256", "", then, sizeof(then)));
  if (!mjp_getPlugin(name, &slot)) {
    return us_fail(US_MUJOCO, "%s: expected MuJoCo's plugin %s%s%s (--plugin), found none", what,
                   us_shown(name), library[0] ? " of " : "", us_shown(library));
  }
  const char* path = us_engine_plugin_library(slot);
  if (!path || !then[0]) return US_OK;
  US_TRY(us_hash_file(path, now));
  if (strcmp(now, then) != 0) {
    us_log("%s: MuJoCo's plugin %s is of another %s than the robot was recorded with", what,
           us_shown(name), us_shown(library));
  }
  return US_OK;
}

static const char* text_of(const cJSON* json, const char* key) {
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
}

static UsStatus read_notes(const char* what, UsMjcfNotes* n) {
  const cJSON* json = n->json;
  const cJSON* settings = cJSON_GetObjectItemCaseSensitive(json, "settings");
  US_TRY(us_json_text(what, json, "understudy", "", n->understudy, sizeof(n->understudy)));
  US_TRY(us_json_text(what, json, "mujoco", "", n->mujoco, sizeof(n->mujoco)));
  // 0 is what was not said, which us_settings_read would refuse.
  const cJSON* at;
  cJSON_ArrayForEach(at, settings) {
    const UsSetting* s = us_setting_find(us_mjcf_settings, at->string);
    if (s && s->type == US_SETTING_TEXT && cJSON_IsString(at)) {
      *(const char**)((char*)&n->config + s->at) = at->valuestring;
    } else if (s && cJSON_IsNumber(at) && at->valuedouble != 0) {
      US_TRY(us_setting_put(s, &n->config, at->valuedouble));
    }
  }
  n->camera = text_of(json, "camera");
  n->pose = text_of(json, "pose");
  if (!n->camera || !n->pose) {
    return us_fail(US_FORMAT, "%s: expected camera and pose, found %s", what,
                   n->camera ? "no pose" : "no camera");
  }
  n->ranges = cJSON_GetObjectItemCaseSensitive(json, "ranges");
  us_engine_plugins();
  cJSON_ArrayForEach(at, cJSON_GetObjectItemCaseSensitive(json, "plugins")) {
    US_TRY(check_plugin(what, at));
  }
  return US_OK;
}

UsStatus us_mjcf_notes_read(const char* what, const UsRobot* r, UsMjcfNotes* notes) {
  char line[4096];
  *notes = (UsMjcfNotes){0};
  snprintf(line, sizeof(line), "%.3000s: %s", what, r->file[0].name);
  US_TRY(us_json_parse(line, r->file[0].data, r->file[0].size, &notes->json));
  UsStatus status = read_notes(line, notes);
  if (status == US_OK) return US_OK;
  cJSON_Delete(notes->json);
  notes->json = NULL;
  return status;
}

// ---- the files ----

// Gives files to us_xml_expand, which are then part of the text.
static const char* find_text(void* arg, const char* path) {
  char* name = us_path_absolute(path);
  UsMjcfRead* f = name ? us_mjcf_files_load(arg, name) : NULL;
  free(name);
  if (f) f->taken = 1;
  return f ? f->data : NULL;
}

// Cuts a folder down to what it has in common with that of a path.
static void share_folder(char* base, const char* path) {
  size_t n = 0, slash = 0;
  for (; base[n] && base[n] == path[n]; n++) {
    if (base[n] == '/') slash = n;
  }
  if (base[n] != 0 || path[n] != '/') base[slash] = 0;
}

static UsStatus add_file(const char* path, size_t base, const char* data, size_t size,
                         UsRobot* out) {
  char name[5000];
  snprintf(name, sizeof(name), "robot/%s", path + base + 1);
  return us_robot_add(out, name, data, size);
}

// Adds the text, with what it includes taken in or not, and what was opened beside it, by their
// places below the folder that all share.
static UsStatus take_files(const UsMjcfConfig* config, const UsTask* t, int expand,
                           UsMjcfFiles* files, UsRobot* out) {
  const char *model = us_mjcf_files_model(files), *whole = find_text(files, model);
  char* text = expand ? us_xml_expand(model, find_text, files) : whole ? strdup(whole) : NULL;
  char* base = strdup(model);
  int count, absolute = text && us_xml_names_root(text), assets = 0;
  UsMjcfRead* read = us_mjcf_files_read(files, &count);
  UsStatus status = text && base ? US_OK : us_fail(US_IO, "%s: cannot be read", model);
  if (base) *strrchr(base, '/') = 0;
  for (int i = 0; i < count && status == US_OK; i++) {
    if (read[i].taken) continue;
    share_folder(base, read[i].name);
    absolute |= read[i].data[0] == '<' && us_xml_names_root(read[i].data);
    assets++;
  }
  if (base && absolute) base[0] = 0;
  size_t n = base ? strlen(base) : 0;
  if (status == US_OK) status = note(config, t, model + n + 1, absolute, assets, out);
  if (status == US_OK) status = add_file(model, n, text, strlen(text), out);
  for (int i = 0; i < count && status == US_OK; i++) {
    if (read[i].taken) {
      read[i].taken = 0;
      continue;
    }
    status = add_file(read[i].name, n, read[i].data, read[i].size, out);
  }
  free(text);
  free(base);
  return status == US_OK ? us_robot_check(t->name, out) : status;
}

// Compiles from files, and compares with the task.
static UsStatus compare(const UsMjcfConfig* config, const UsTask* t, const UsMjcfFiles* files) {
  char first[64], hash[US_HASH_CHARS];
  mjModel* m;
  US_TRY(us_mjcf_compile(config, files, NULL, &m, first, hash));
  mj_deleteModel(m);
  if (strncmp(t->name + strlen(t->name) - DIGITS, hash, DIGITS) == 0) return US_OK;
  return us_fail(US_FORMAT, "%s: expected the model of %s, found another", config->path, t->name);
}

// Makes a robot of what was read, which has to be whole.
static UsStatus try_pack(const UsMjcfConfig* config, const UsTask* t, int expand,
                         UsMjcfFiles* files, UsRobot* out) {
  UsMjcfFiles* served = NULL;
  UsStatus status = take_files(config, t, expand, files, out);
  if (status == US_OK) status = us_mjcf_files_open(NULL, out, &served);
  if (status == US_OK) status = compare(config, t, served);
  us_mjcf_files_close(served);
  if (status != US_OK) us_robot_free(out);
  return status;
}

UsStatus us_mjcf_pack(const UsMjcfConfig* config, const UsTask* t, UsRobot* out) {
  UsMjcfFiles* files;
  US_TRY(us_mjcf_files_open(config->path, NULL, &files));
  UsStatus status = compare(config, t, files);
  // MuJoCo also looks for files beside the file that names them: where that is one that is
  // included, it has to stay one.
  for (int expand = 1; expand >= 0 && status == US_OK && out->count == 0; expand--) {
    UsStatus tried = try_pack(config, t, expand, files, out);
    if (expand == 0) status = tried;
  }
  us_mjcf_files_close(files);
  if (status == US_OK && !(out->path = strdup(config->path))) {
    status = us_fail(US_MEMORY, "%s: out of memory", config->path);
  }
  if (status != US_OK) us_robot_free(out);
  return status;
}

// ---- what became of its files ----

static int is_same(const UsRobot* r, UsMjcfFiles* files) {
  // Its text lies at the path, so the others lie at their places below the folder of all.
  const char* model = r->file[1].name + strlen("robot");
  size_t length = strlen(r->path), n = strlen(model);
  if (length < n || strcmp(r->path + length - n, model) != 0) return 1;  // not to be told
  const char *whole = find_text(files, r->path), *kept = r->file[1].data;
  char* text = us_xml_expand(r->path, find_text, files);
  int same = text && whole && (strcmp(text, kept) == 0 || strcmp(whole, kept) == 0);
  free(text);
  for (int i = 2; i < r->count && same; i++) {
    char path[8192];
    snprintf(path, sizeof(path), "%.*s%s", (int)(length - n), r->path,
             r->file[i].name + strlen("robot"));
    const UsMjcfRead* f = us_mjcf_files_load(files, path);
    same = f && f->size == r->file[i].size && memcmp(f->data, r->file[i].data, f->size) == 0;
  }
  return same;
}

void us_mjcf_tell_changes(const char* what, const UsRobot* r) {
  UsMjcfFiles* files;
  if (!r->path || !us_file_exists(r->path)) return;
  if (us_mjcf_files_open(r->path, NULL, &files) != US_OK) return;
  if (!is_same(r, files)) {
    us_log("%s: %s or a file that it names has changed since; the robot as it was is used", what,
           us_shown(r->path));
  }
  us_mjcf_files_close(files);
}
