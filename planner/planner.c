#include "planner/planner.h"

#include <stddef.h>
#include <string.h>

const UsPlannerClass* const us_planners[] = {
#define X(name, summary) &us_planner_##name,
    US_PLANNERS(X)
#undef X
        NULL};

UsPlannerConfig us_planner_defaults(void) {
  return (UsPlannerConfig){
      .horizon = 5,
      .execute = 1,
      .samples = 64,
      .iterations = 4,
      .warm_iterations = 2,
      .elites = 6,
      .keep = 3,
      .deviation = 1,
      .warm_deviation = 0.4f,
      .least_deviation = 0.05f,
      .momentum = 0.1f,
      .correlation = 0.9f,
      .first_weight = 0.2f,
  };
}

// A setting and the range it must lie in.
typedef struct Range {
  const char* name;
  double value, low, high;
} Range;

static const UsPlannerClass* find(const char* name) {
  for (int i = 0; us_planners[i]; i++) {
    if (!strcmp(us_planners[i]->name, name)) return us_planners[i];
  }
  return NULL;
}

UsStatus us_planner_check(const char* name, const UsPlannerConfig* c) {
  US_ASSERT(name && c);
#define X(name, summary) " " #name
  if (!find(name)) {
    return us_fail(US_USAGE, "planner: expected one of" US_PLANNERS(X) ", found \"%s\"", name);
  }
#undef X
  const Range range[] = {
      {"horizon", c->horizon, 1, 1000},
      {"execute", c->execute, 1, c->horizon},
      {"samples", c->samples, 2, 1 << 20},
      {"iterations", c->iterations, 1, 4096},
      {"warm iterations", c->warm_iterations, 1, 4096},
      {"elites", c->elites, 1, c->samples},
      {"kept elites", c->keep, 0, c->elites},
      {"deviation", c->deviation, 0, 100},
      {"warm deviation", c->warm_deviation, 0, 100},
      {"least deviation", c->least_deviation, 0, 100},
      {"momentum", c->momentum, 0, 0.999},
      {"correlation", c->correlation, 0, 0.999},
      {"first weight", c->first_weight, 0, 1000},
  };
  for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
    const Range* r = &range[i];
    if (r->value >= r->low && r->value <= r->high) continue;
    return us_fail(US_USAGE, "planner: expected %s in %g .. %g, found %g", r->name, r->low, r->high,
                   r->value);
  }
  if (c->last_only && c->deadline) {
    return us_fail(US_USAGE, "planner: expected last-only or deadline, found both");
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
