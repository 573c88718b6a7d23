#ifndef UNDERSTUDY_CONTRACT_H_
#define UNDERSTUDY_CONTRACT_H_

// What the contract tests run over: the built-in tasks, or those of the plugin, or of mjcf:<path>,
// that the environment variable UNDERSTUDY_TEST_PLUGIN names.

#include <stdio.h>

#include "env/plugin.h"
#include "tasks/mjcf/mjcf.h"
#include "tests/env/env_help.h"

static inline const char* contract_plugin(void) {
  return getenv("UNDERSTUDY_TEST_PLUGIN");
}

// NULL-terminated, at least one.
static inline const UsTask* const* contract_tasks(void) {
  static const UsPlugin* plugin;
  static const UsTask* mjcf[2];
  if (!contract_plugin()) return us_tasks;
  if (strncmp(contract_plugin(), "mjcf:", 5) == 0) {
    if (!mjcf[0] && us_mjcf_open(contract_plugin() + 5, mjcf) != US_OK)
      fail_msg("%s", us_message());
    return mjcf;
  }
  if (!plugin && us_plugin_load(contract_plugin(), us_tasks, &plugin) != US_OK) {
    fail_msg("%s", us_message());
  }
  return plugin->tasks;
}

// An env of one of these tasks.
static inline UsEnv* contract_open(const UsTask* t, const UsEnvConfig* config) {
  char name[128];
  snprintf(name, sizeof(name), "sim:%s", t->name);
  UsEnv* e = NULL;
  UsStatus status = us_env_open(name, contract_tasks(), config, &e);
  if (status != US_OK) fail_msg("%s", us_message());
  return e;
}

#endif  // UNDERSTUDY_CONTRACT_H_
