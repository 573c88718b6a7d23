#ifndef UNDERSTUDY_SAME_FILES_H_
#define UNDERSTUDY_SAME_FILES_H_

// Compares what two runs wrote: bytes, but for times. In JSON (and in lines of it) members that are
// seconds, or rates by them, are left out, and so are the words `batch` and `threads` of an
// evaluation, which name no result.

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/dataset.h"
#include "worldmodel/base/file.h"

static inline void drop_times(cJSON* json, int settings) {
  for (cJSON *item = json ? json->child : NULL, *next; item; item = next) {
    next = item->next;
    const char* name = item->string ? item->string : "";
    int time = strstr(name, "second") || strcmp(name, "time") == 0;
    int setting = settings && (strcmp(name, "batch") == 0 || strcmp(name, "threads") == 0);
    if (time || setting) {
      cJSON_Delete(cJSON_DetachItemViaPointer(json, item));
    } else {
      drop_times(item, settings);
    }
  }
}

// The text without times of one JSON value, or of lines of values, in memory of its own.
static inline char* text_without_times(char* text, int lines, int settings) {
  size_t room = strlen(text) * 2 + 2, used = 0;
  char *out = calloc(1, room), *rest = NULL;
  if (lines) text = strtok_r(text, "\n", &rest);
  for (; text; text = lines ? strtok_r(NULL, "\n", &rest) : NULL) {
    cJSON* json = cJSON_Parse(text);
    if (!json) fail_msg("not JSON: %.200s", text);
    drop_times(json, settings);
    char* one = cJSON_PrintUnformatted(json);
    used += (size_t)snprintf(out + used, room - used, "%s\n", one);
    free(one);
    cJSON_Delete(json);
  }
  return out;
}

static inline int ends_with(const char* text, const char* end) {
  size_t n = strlen(text), k = strlen(end);
  return n >= k && strcmp(text + n - k, end) == 0;
}

// The one file that a pattern in a folder names.
static inline void find_one(const char* folder, const char* pattern, char path[1024]) {
  snprintf(path, 1024, "%s/%s", folder, pattern);
  glob_t g;
  if (glob(path, 0, NULL, &g) != 0 || g.gl_pathc != 1) fail_msg("%s: expected one such file", path);
  snprintf(path, 1024, "%s", g.gl_pathv[0]);
  globfree(&g);
}

// The two folders have the same file of this name (or pattern).
static inline void assert_same_files(const char* a, const char* b, const char* name) {
  char path[2][1024];
  void* data[2];
  size_t size[2];
  find_one(a, name, path[0]);
  find_one(b, name, path[1]);
  for (int i = 0; i < 2; i++) {
    if (us_file_read(path[i], 0, &data[i], &size[i]) != US_OK) fail_msg("%s", us_message());
    if (ends_with(name, ".json") || ends_with(name, ".jsonl")) {
      char* text = text_without_times(data[i], ends_with(name, "l"), ends_with(name, "e.json"));
      free(data[i]);
      data[i] = text;
      size[i] = strlen(text);
    }
  }
  size_t n = size[0] < size[1] ? size[0] : size[1], at = 0;
  while (at < n && ((char*)data[0])[at] == ((char*)data[1])[at]) at++;
  if (size[0] != size[1] || at < n) {
    size_t from = at > 60 ? at - 60 : 0;
    int text = ends_with(name, ".json") || ends_with(name, ".jsonl");
    fail_msg("%s (%zu bytes) and %s (%zu bytes) differ from byte %zu on%s%.100s\n%.100s", path[0],
             size[0], path[1], size[1], at, text ? ":\n" : "", text ? (char*)data[0] + from : "",
             text ? (char*)data[1] + from : "");
  }
  free(data[0]);
  free(data[1]);
}

#endif  // UNDERSTUDY_SAME_FILES_H_
