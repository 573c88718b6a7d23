// A robot's files in memory: order, names, hash.

#include "env/robot.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/text.h"

enum { NAME = 1024 };
static const char notes[] = "robot.json", place[] = "robot/";

UsStatus us_robot_add(UsRobot* r, const char* name, const void* data, size_t size) {
  UsRobotFile* all = realloc(r->file, (size_t)(r->count + 1) * sizeof(*all));
  if (all) r->file = all;
  UsRobotFile f = {all ? strdup(name) : NULL, all ? malloc(size + 1) : NULL, size};
  if (!f.name || !f.data) {
    free(f.name);
    free(f.data);
    return us_fail(US_MEMORY, "%s: out of memory", name);
  }
  if (size) memcpy(f.data, data, size);
  f.data[size] = 0;
  r->file[r->count++] = f;
  return US_OK;
}

void us_robot_free(UsRobot* r) {
  for (int i = 0; i < r->count; i++) {
    free(r->file[i].name);
    free(r->file[i].data);
  }
  free(r->file);
  free(r->path);
  *r = (UsRobot){0};
}

// ---- checks ----

// A name that stays where the robot is: parts between slashes, none of them empty, . or ..
static int good_name(const char* name) {
  size_t length = strlen(name);
  if (strcmp(name, notes) == 0) return 1;
  if (strncmp(name, place, strlen(place)) != 0 || length >= NAME) return 0;
  for (size_t i = 0, n; i < length; i += n) {
    n = us_utf8(name + i, length - i, NULL);
    if (n == 0 || (n == 1 && ((unsigned char)name[i] < 32 || name[i] == 127 || name[i] == '\\'))) {
      return 0;
    }
  }
  for (const char* part = name;; part++) {
    size_t n = strcspn(part, "/");
    if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && strncmp(part, "..", 2) == 0)) return 0;
    part += n;
    if (!*part) return 1;
  }
}

static int by_name(const void* a, const void* b) {
  return strcmp(((const UsRobotFile*)a)->name, ((const UsRobotFile*)b)->name);
}

// The file of this name comes first of those from `at` on, which stay in order; 0: there is none.
static int lead(UsRobot* r, int at, const char* name) {
  for (int i = at; i < r->count; i++) {
    if (strcmp(r->file[i].name, name) != 0) continue;
    UsRobotFile f = r->file[i];
    memmove(r->file + at + 1, r->file + at, (size_t)(i - at) * sizeof(f));
    r->file[at] = f;
    return 1;
  }
  return 0;
}

UsStatus us_robot_check(const char* what, UsRobot* r) {
  for (int i = 0; i < r->count; i++) {
    if (good_name(r->file[i].name)) continue;
    return us_fail(US_FORMAT, "%s: expected %s and files in %s, found \"%s\"", what, notes, place,
                   us_shown(r->file[i].name));
  }
  if (r->count) qsort(r->file, (size_t)r->count, sizeof(*r->file), by_name);
  for (int i = 1; i < r->count; i++) {
    if (strcmp(r->file[i - 1].name, r->file[i].name) != 0) continue;
    return us_fail(US_FORMAT, "%s: %s: expected once, found twice", what,
                   us_shown(r->file[i].name));
  }
  if (!lead(r, 0, notes)) return us_fail(US_FORMAT, "%s: expected a file %s", what, notes);
  // What it says it is, and where its text is.
  char line[4096], format[32], model[NAME], text[NAME + 8];
  int version = 0;
  cJSON* json;
  snprintf(line, sizeof(line), "%.3000s: %s", what, notes);
  US_TRY(us_json_parse(line, r->file[0].data, r->file[0].size, &json));
  UsStatus status = us_json_text(line, json, "format", NULL, format, sizeof(format));
  if (status == US_OK) status = us_json_int(line, json, "version", 0, 1 << 30, NULL, &version);
  if (status == US_OK && (strcmp(format, "understudy robot") != 0 || version != 1)) {
    status =
        us_fail(US_FORMAT, "%s: expected \"understudy robot\" of version 1, found \"%s\" of %d",
                line, us_shown(format), version);
  }
  if (status == US_OK) status = us_json_text(line, json, "task", NULL, r->task, sizeof(r->task));
  if (status == US_OK) status = us_json_text(line, json, "model", NULL, model, sizeof(model));
  cJSON_Delete(json);
  US_TRY(status);
  // The name becomes that of a file.
  if (!us_name_fits(r->task)) {
    return us_fail(US_FORMAT, "%s: task: expected letters, digits, _ or -, found \"%s\"", line,
                   us_shown(r->task));
  }
  snprintf(text, sizeof(text), "%s%s", place, model);
  if (lead(r, 1, text)) return US_OK;
  return us_fail(US_FORMAT, "%s: expected its model in %s, found none", what, us_shown(text));
}

// ---- hash ----

UsStatus us_robot_hash(const UsRobot* r, char hex[US_HASH_CHARS]) {
  enum { PARTS = 3 };  // a file's name with its end, size, bytes
  size_t n = (size_t)(r->count * PARTS);
  const void** data = calloc(n + 1, sizeof(*data));
  size_t* size = calloc(n + 1, sizeof(*size));
  uint64_t* length = calloc((size_t)r->count + 1, sizeof(*length));
  for (int i = 0; data && size && length && i < r->count; i++) {
    const UsRobotFile* f = &r->file[i];
    length[i] = f->size;
    data[PARTS * i] = f->name, size[PARTS * i] = strlen(f->name) + 1;
    data[PARTS * i + 1] = &length[i], size[PARTS * i + 1] = sizeof(length[i]);
    data[PARTS * i + 2] = f->data, size[PARTS * i + 2] = f->size;
  }
  UsStatus status = data && size && length ? us_hash_parts(r->task, (int)n, data, size, hex)
                                           : us_fail(US_MEMORY, "%s: out of memory", r->task);
  free(data);
  free(size);
  free(length);
  return status;
}
