#include "planner/planner.h"

#include <stddef.h>
#include <string.h>

const UsPlannerClass* const us_planners[] = {
#define X(name, summary) &us_planner_##name,
    US_PLANNERS(X)
#undef X
        NULL};

#define US_SETTING_OF UsPlannerConfig
const UsSetting us_planner_settings[] = {US_PLANNER_SETTINGS(US_SETTING_ROW) US_SETTING_END};

UsPlannerConfig us_planner_defaults(void) {
  UsPlannerConfig c = {0};
  us_settings_default(us_planner_settings, &c);
  return c;
}

static const UsPlannerClass* find(const char* name) {
  for (int i = 0; us_planners[i]; i++) {
    if (!strcmp(us_planners[i]->name, name)) return us_planners[i];
  }
  return NULL;
}

UsStatus us_planner_check(const char* name, const UsPlannerConfig* c) {
  US_ASSERT(name && c);
  if (!find(name)) {
    return us_fail(US_USAGE, "planner: expected one of" US_PLANNERS(US_NAME_SHOWN) ", found \"%s\"",
                   name);
  }
  US_TRY(us_settings_check(us_planner_settings, c));
  // What one setting allows another.
  const struct {
    const char *name, *of;
    int value, most;
  } pair[] = {{"replan", "horizon", c->replan, c->horizon},
              {"elites", "samples", c->elites, c->samples},
              {"keep", "elites", c->keep, c->elites}};
  for (size_t i = 0; i < sizeof(pair) / sizeof(pair[0]); i++) {
    if (pair[i].value <= pair[i].most) continue;
    return us_fail(US_USAGE, "--%s: expected at most the %d of --%s, found %d", pair[i].name,
                   pair[i].most, pair[i].of, pair[i].value);
  }
  if (c->last_only && c->deadline) {
    return us_fail(US_USAGE, "expected --last-only or --deadline, found both");
  }
  return US_OK;
}

UsStatus us_planner_create(const char* name, UsEnv* env, const UsPlannerConfig* config,
                           UsPlanner** out) {
  US_ASSERT(env && out);
  *out = NULL;
  US_TRY(us_planner_check(name, config));
  const UsPlannerClass* cls = find(name);
  US_TRY(cls->create(env, config, out));
  (*out)->cls = cls;
  (*out)->env = env;
  (*out)->config = *config;
  return US_OK;
}

void us_planner_destroy(UsPlanner* p) {
  if (p) p->cls->destroy(p);
}

static void check_slots(const UsPlanner* p, int n, const int* slots) {
  int all = us_env_info(p->env)->slots;
  US_ASSERT(n >= 0 && n <= all && (slots || n == 0));
  for (int i = 0; i < n; i++) US_ASSERT(slots[i] >= 0 && slots[i] < all);
}

void us_planner_start(UsPlanner* p, int n, const int* slots, const uint64_t* episodes) {
  check_slots(p, n, slots);
  US_ASSERT(episodes || n == 0);
  p->cls->start(p, n, slots, episodes);
}

void us_planner_plan(UsPlanner* p, int n, const int* slots, float* actions) {
  check_slots(p, n, slots);
  US_ASSERT(actions || n == 0);
  if (n == 0) return;
  p->cls->plan(p, n, slots, actions);
  p->plans += n;
}
