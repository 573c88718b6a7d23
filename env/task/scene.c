// Tasks by name, what a state may depend on, and compiling a scene.

#include "env/scene.h"

#include <math.h>
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
    // Names for the message, as many as fit.
    size_t used = strlen(known);
    snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", tasks[i]->name);
  }
  return us_fail(US_USAGE, "%s: no task named %s; there are: %s", name, what,
                 known[0] ? known : "none");
}

// ---- states ----

// The first keyframe, where there is one, is more than its qpos.
void us_scene_start(const mjModel* m, mjData* d) {
  if (m->nkey > 0) {
    mj_resetDataKeyframe(m, d, 0);
  } else {
    mj_resetData(m, d);
  }
}

// The one message of models with more state than files hold: what has it, by name or number.
static UsStatus refuse_state(const char* what, const mjModel* m, int type, int id,
                             const char* found) {
  const char* name = type < 0 ? NULL : mj_id2name(m, type, id);
  char number[32];
  snprintf(number, sizeof(number), "%d", id);
  return us_fail(US_UNSUPPORTED,
                 "%s: expected a model whose state is qpos, qvel and act, found %s%s%s%s", what,
                 type < 0 ? "" : mju_type2Str(type), type < 0 ? "" : " ",
                 type < 0 ? ""
                 : name   ? name
                          : number,
                 found);
}

UsStatus us_scene_check_state(const char* what, const mjModel* m) {
  for (int i = 0; i < m->nactuator; i++) {
    if (m->actuator_delay[i] <= 0) continue;
    return refuse_state(what, m, mjOBJ_ACTUATOR, i, " with a delay");
  }
  // Only a tree that sleeps at the start: sleep itself is turned off.
  for (int i = 0; i < m->ntree && (m->opt.enableflags & mjENBL_SLEEP); i++) {
    if (m->tree_sleep_policy[i] != mjSLEEP_INIT) continue;
    return refuse_state(what, m, mjOBJ_BODY, m->tree_bodyadr[i],
                        " asleep at the start (sleep=\"init\")");
  }
  for (int i = 0; i < m->nplugin; i++) {
    if (m->plugin_statenum[i] == 0) continue;
    return refuse_state(what, m, mjOBJ_PLUGIN, i, " with a state of its own");
  }
  if (m->nplastic > 0) return refuse_state(what, m, -1, 0, "plastic deformation");
  if (m->nflex > 0 && (m->opt.enableflags & mjENBL_IPC)) {
    return refuse_state(what, m, -1, 0, "the flag ipc, with contacts that remember");
  }
  return US_OK;
}

// ---- the scene ----

typedef struct Compile {
  const UsTask* task;
  mjSpec* spec;
  mjModel* model;
  char found[MESSAGE];
} Compile;

// Runs in a trap, as MuJoCo may raise an error in the middle.
static void compile(void* arg) {
  Compile* c = arg;
  if (c->task->model) {
    c->model = mj_copyModel(NULL, c->task->model);
    return;
  }
  // Errors of parsing and of compiling, each from where MuJoCo puts it.
  c->spec = mj_parseXMLString(c->task->scene, NULL, c->found, sizeof(c->found));
  if (!c->spec) return;
  c->model = mj_compile(c->spec, NULL);
  if (!c->model) snprintf(c->found, sizeof(c->found), "%s", mjs_getError(c->spec));
}

UsStatus us_scene_compile(const UsTask* task, mjModel** out) {
  *out = NULL;
  us_trap_install();
  Compile c = {.task = task};
  // What was raised tells more than what was returned.
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
  char what[MESSAGE];
  snprintf(what, sizeof(what), "task %s", task->name);
  // Without a control function actions are the scene's controls, one by one.
  UsStatus status =
      task->control || c.model->nu == task->action
          ? us_scene_check_state(what, c.model)
          : us_fail(US_MUJOCO, "%s: action: expected %d controls in the scene, found %d", what,
                    task->action, (int)c.model->nu);
  if (status != US_OK) {
    mj_deleteModel(c.model);
    return status;
  }
  // States that are not finite stay visible, and nothing falls asleep.
  c.model->opt.disableflags |= mjDSBL_AUTORESET;
  c.model->opt.enableflags &= ~mjENBL_SLEEP;
  *out = c.model;
  return US_OK;
}

// ---- cameras ----

void us_scene_pose(const mjModel* m, int camera, char pose[US_POSE_CHARS]) {
  const mjtNum *p = m->cam_pos + 3 * camera, *q = m->cam_quat + 4 * camera;
  snprintf(pose, US_POSE_CHARS, "%.17g %.17g %.17g %.17g %.17g %.17g %.17g %.17g %.9g", p[0], p[1],
           p[2], q[0], q[1], q[2], q[3], m->cam_fovy[camera], (double)m->vis.map.znear);
}

UsStatus us_scene_aim(const char* what, mjModel* m, const char* camera, const char* pose) {
  char names[MESSAGE] = "";
  int id = mj_name2id(m, mjOBJ_CAMERA, camera), end = 0;
  for (int i = 0; i < m->ncam; i++) {
    size_t used = strlen(names);
    const char* name = mj_id2name(m, mjOBJ_CAMERA, i);
    snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "", name ? name : "-");
  }
  if (id < 0) {
    return us_fail(US_USAGE, "%s: there is no camera named %s; there are: %s", what, camera,
                   names[0] ? names : "none");
  }
  if (!pose || !pose[0]) return US_OK;
  double x[9];
  int n = sscanf(pose, "%lf %lf %lf %lf %lf %lf %lf %lf %lf%n", x, x + 1, x + 2, x + 3, x + 4,
                 x + 5, x + 6, x + 7, x + 8, &end);
  int good = n == 9 && pose[end] == 0 && x[7] > 0 && x[8] > 0;
  for (int i = 0; i < 9 && good; i++) good = isfinite(x[i]);
  if (!good) {
    return us_fail(US_FORMAT, "%s: expected a pose of camera %s in 9 numbers, found \"%.60s\"",
                   what, camera, pose);
  }
  mju_copy3(m->cam_pos + 3 * id, x);
  mju_copy4(m->cam_quat + 4 * id, x + 3);
  m->cam_fovy[id] = x[7];
  m->vis.map.znear = (float)x[8];
  return US_OK;
}
