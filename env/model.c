#include "env/env_class.h"

static UsStatus model_open(const char* name, const char* what, const struct UsTask* const* tasks,
                           const UsEnvConfig* config, UsEnv** out) {
  (void)what, (void)tasks, (void)config;
  *out = NULL;
  return us_fail(US_UNSUPPORTED, "%s: not built yet", name);
}

const UsEnvClass us_env_class_model = {.kind = "model", .open = model_open};
