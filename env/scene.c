#include "env/scene.h"

#include <stdio.h>
#include <string.h>

#include "env/plugin.h"
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

// ---- the scene ----

typedef struct Compile {
  const UsTask* task;
  mjSpec* spec;
  mjModel* model;
  char found[MESSAGE];
} Compile;

static void compile(void* arg) {
  Compile* c = arg;
  if (c->task->model) {
    c->model = mj_copyModel(NULL, c->task->model);
    return;
  }
  c->spec = mj_parseXMLString(c->task->scene, NULL, c->found, sizeof(c->found));
  if (!c->spec) return;
  c->model = mj_compile(c->spec, NULL);
  if (!c->model) snprintf(c->found, sizeof(c->found), "%s", mjs_getError(c->spec));
}

UsStatus us_scene_compile(const UsTask* task, mjModel** out) {
  *out = NULL;
  us_trap_install();
  US_TRY(us_task_check_table(NULL, task));
  Compile c = {.task = task};
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
    return us_fail(US_MUJOCO, "task %s: action: expected %d controls in the scene, found %d",
                   task->name, task->action, found);
  }
  c.model->opt.disableflags |= mjDSBL_AUTORESET;
  *out = c.model;
  return US_OK;
}
