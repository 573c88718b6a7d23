#ifndef UNDERSTUDY_MJCF_HELP_H_
#define UNDERSTUDY_MJCF_HELP_H_

// What the tests of MJCF files as tasks share: a folder of files, opened as tasks and envs.

#include "tasks/mjcf/mjcf.h"
#include "tests/env/env_help.h"
#include "tests/tasks/mjcf_models.h"

static char folder[] = "/tmp/understudy-mjcf-XXXXXX";

static inline const UsTask* open_file(const char* path) {
  const UsTask* t;
  if (us_mjcf_open(path, &t) != US_OK) fail_msg("%s", us_message());
  return t;
}

static inline const UsTask* open_text(const char* name, const char* text) {
  return open_file(mjcf_put(folder, name, text));
}

static inline UsEnv* open_sim(const UsTask* t, const UsEnvConfig* config) {
  char name[100];
  UsEnv* e;
  snprintf(name, sizeof(name), "sim:%s", t->name);
  if (us_env_open(name, (const UsTask* const[]){t, NULL}, config, &e)) fail_msg("%s", us_message());
  return e;
}

// `text` with its first `from` replaced; lasts until the next call.
static inline const char* edited(const char* text, const char* from, const char* to) {
  static char out[8192];
  const char* at = strstr(text, from);
  assert_non_null(at);
  snprintf(out, sizeof(out), "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
  return out;
}

static inline void refused(const char* path, const char* part) {
  const UsTask* t = (const UsTask*)1;
  UsStatus status = us_mjcf_open(path, &t);
  size_t length = strlen(path);
  if (status == US_OK || t || strncmp(us_message(), path, length) || us_message()[length] != ':' ||
      !strstr(us_message() + length, part)) {
    fail_msg("%s: status %d, \"%s\" (expected \"%s\")", path, status, us_message(), part);
  }
  assert_one_line(us_message());
}

static inline int mjcf_folder_remove(void) {
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0;
}

#endif  // UNDERSTUDY_MJCF_HELP_H_
