#include "env/scene.h"

#include <stdio.h>
#include <string.h>

#include "env/trap.h"

enum { MESSAGE = 512 };

UsStatus us_scene_find(const char* name, const char* what, const UsTask* const* tasks,
                       const UsTask** out) {
  char known[MESSAGE] = "";
  for (int i = 0; tasks && tasks[i]; i++) {
    if (strcmp(tasks[i]->name, what) == 0) {
      *out = tasks[i];
      return US_OK;
    }
    size_t used = strlen(known);
    snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", tasks[i]->name);
  }
  return us_fail(US_USAGE, "%s: no task named %s; there are: %s", name, what,
                 known[0] ? known : "none");
}

// ---- the table ----

static UsStatus check_versions(const UsTask* t) {
  if (t->struct_size != sizeof(UsTask) || t->abi != US_TASK_ABI) {
    return us_fail(US_UNSUPPORTED,
                   "task %s: expected a table of ABI %d and %zu bytes, found ABI %d and %zu",
                   t->name, US_TASK_ABI, sizeof(UsTask), t->abi, t->struct_size);
  }
  if (t->mujoco != mjVERSION_HEADER || mj_version() != mjVERSION_HEADER) {
    return us_fail(US_MUJOCO,
                   "task %s: expected MuJoCo %d, found headers of %d and a library of %d", t->name,
                   mjVERSION_HEADER, t->mujoco, mj_version());
  }
  return US_OK;
}

static UsStatus check_table(const UsTask* t) {
  US_ASSERT(t->name && t->scene && t->reset && t->distance && t->success && t->policies);
  US_ASSERT(t->read_measure && (t->read_proprio || t->proprio == 0));
  const struct {
    const char* what;
    int value, low, high;
  } ranges[] = {
      {"frame_skip", t->frame_skip, 1, 1 << 20},    {"block", t->block, 1, 1 << 10},
      {"action", t->action, 1, US_TASK_ACTIONS},    {"proprio", t->proprio, 0, US_TASK_MEASURES},
      {"measure", t->measure, 1, US_TASK_MEASURES}, {"size", t->size, 1, 1 << 14}};
  for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
    if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high) {
      return us_fail(US_UNSUPPORTED, "task %s: expected %s within %d .. %d, found %d", t->name,
                     ranges[i].what, ranges[i].low, ranges[i].high, ranges[i].value);
    }
  }
  return US_OK;
}

// ---- the scene ----

typedef struct Compile {
  const char* scene;
  mjSpec* spec;
  mjModel* model;
  char found[MESSAGE];
} Compile;

static void compile(void* arg) {
  Compile* c = arg;
  c->spec = mj_parseXMLString(c->scene, NULL, c->found, sizeof(c->found));
  if (!c->spec) return;
  c->model = mj_compile(c->spec, NULL);
  if (!c->model) snprintf(c->found, sizeof(c->found), "%s", mjs_getError(c->spec));
}

UsStatus us_scene_compile(const UsTask* task, mjModel** out) {
  *out = NULL;
  us_trap_install();
  US_TRY(check_versions(task));
  US_TRY(check_table(task));
  Compile c = {.scene = task->scene};
  char raised[MESSAGE] = "";
  if (us_trap_run(compile, &c, raised, sizeof(raised))) {
    memcpy(c.found, raised, sizeof(raised));
    c.model = NULL;
  }
  if (c.spec) mj_deleteSpec(c.spec);
  if (!c.model) {
    us_trap_line(c.found, sizeof(c.found), c.found);
    return us_fail(US_MUJOCO, "task %s: MuJoCo refuses the scene: %s", task->name, c.found);
  }
  if (!task->control && c.model->nu != task->action) {
    int found = c.model->nu;
    mj_deleteModel(c.model);
    return us_fail(US_MUJOCO, "task %s: expected %d actuators in the scene, found %d", task->name,
                   task->action, found);
  }
  c.model->opt.disableflags |= mjDSBL_AUTORESET;
  *out = c.model;
  return US_OK;
}
