// What sim.h says of any kind that plays a task: the kind's table answers.

#include <stdio.h>
#include <string.h>

#include "env/sim/sim_inner.h"
#include "worldmodel/base/progress.h"

int us_sim_is(const UsEnv* e) {
  return e->cls->task != NULL;
}

int us_sim_is_mujoco(const UsEnv* e) {
  return e->cls->open == us_env_class_sim.open;
}

const UsTask* us_sim_task(const UsEnv* e) {
  US_ASSERT(e && us_sim_is(e));
  return e->cls->task(e);
}

const mjModel* us_sim_model(const UsEnv* e) {
  US_ASSERT(e && us_sim_is(e));
  return e->cls->model(e);
}

const char* us_sim_passive(const UsTask* t) {
  const mjModel* m = t->exec ? NULL : t->model;
  if (!m) return NULL;
  // Without controls, actions may still be about bodies of motion capture.
  return m->nu == 0 && t->action == 1 ? "no controls" : m->nq == 0 ? "no joints" : NULL;
}

const char* us_sim_engine(const UsEnv* e, UsStatus* status) {
  int piped = us_sim_is(e) && us_sim_task(e)->exec;
  *status = !piped ? US_MUJOCO : us_interrupted() ? US_INTERRUPTED : US_IO;
  return piped ? "" : "MuJoCo: ";
}

void us_sim_select(UsEnv* e, int n, const int* slots) {
  US_ASSERT(e && us_sim_is(e) && n >= 0 && n <= e->info.slots);
  US_ASSERT(us_env_check_slots(e, n, slots) == US_OK);
  e->cls->select(e, n, slots);
}

int us_sim_diverged(const UsEnv* e, int slot) {
  US_ASSERT(e && us_sim_is(e) && slot >= 0 && slot < e->info.slots);
  return e->cls->diverged(e, slot);
}

void us_sim_policy(UsEnv* e, int policy, const int* steps, float* actions) {
  const UsTask* task = us_sim_task(e);
  for (int i = 0; i <= policy; i++) US_ASSERT(task->policies[i].name);
  US_ASSERT(policy >= 0 && steps && actions);
  e->cls->policy(e, policy, steps, actions);
}

UsStatus us_sim_measure(UsEnv* e, int n, const double* states, double* measures) {
  US_ASSERT(e && us_sim_is(e));
  return e->cls->measure(e, n, states, measures);
}

UsStatus us_sim_find_policy(const UsTask* task, const char* name, int* index) {
  char names[256] = "";
  const UsPolicy* p = task->policies;
  for (*index = 0; p[*index].name; ++*index) {
    if (!name || strcmp(p[*index].name, name) == 0) return US_OK;
    size_t used = strlen(names);
    snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "", p[*index].name);
  }
  return us_fail(US_USAGE, "--policy %s: expected a policy of %s (%s)", name, task->name, names);
}
