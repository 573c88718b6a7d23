// The list of planners and of their settings; every call with what it is given checked.

#include "planner/planner.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "env/env_class.h"

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

static UsStatus check_settings(const UsPlannerConfig* c) {
  if (!c) return us_fail(US_USAGE, "planner: expected settings, found none");
  // Each setting by itself, then what one allows another.
  US_TRY(us_settings_check(us_planner_settings, c));
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

UsStatus us_planner_check(const char* name, const UsPlannerConfig* c) {
  if (!name || !find(name)) {
    return us_fail(US_USAGE, "planner: expected one of" US_PLANNERS(US_NAME_SHOWN) ", found \"%s\"",
                   name ? name : "");
  }
  return check_settings(c);
}

UsStatus us_planner_create(const char* name, UsEnv* env, const UsPlannerConfig* config,
                           UsPlanner** out) {
  *out = NULL;
  // A name from the list; what else there is to check is the same for planners in no list.
  US_TRY(us_planner_check(name, config));
  return us_planner_make(find(name), env, config, out);
}

UsStatus us_planner_make(const UsPlannerClass* cls, UsEnv* env, const UsPlannerConfig* config,
                         UsPlanner** out) {
  char who[64];
  // What is asked of the settings, then of the env: a planner says by name what it cannot do
  // without.
  *out = NULL;
  if (!env) return us_fail(US_USAGE, "planner: expected an env, found none");
  US_TRY(check_settings(config));
  snprintf(who, sizeof(who), "planner %s", cls->name);
  US_TRY(us_env_need(env, who, cls->needs));
  // The planner's own part; what all planners have is filled in here.
  US_TRY(cls->create(env, config, out));
  (*out)->cls = cls;
  (*out)->env = env;
  (*out)->config = *config;
  return US_OK;
}

void us_planner_destroy(UsPlanner* p) {
  if (p) p->cls->destroy(p);
}

UsStatus us_planner_start(UsPlanner* p, int n, const int* slots, const uint64_t* episodes) {
  // A slot's episode names its random numbers, so every slot needs one.
  US_TRY(us_env_check_slots(p->env, n, slots));
  if (n > 0 && !episodes) return us_fail(US_USAGE, "planner: expected %d episodes, found none", n);
  p->cls->start(p, n, slots, episodes);
  return US_OK;
}

void us_planner_plan(UsPlanner* p, int n, const int* slots, float* actions) {
  // Slots were listed by whoever started them: a wrong one here is a mistake in the program.
  US_ASSERT(us_env_check_slots(p->env, n, slots) == US_OK && (actions || n == 0));
  // Nothing planned is no plan.
  if (n == 0) return;
  p->cls->plan(p, n, slots, actions);
  p->plans += n;
}
