// Any MJCF file as a task: what a table needs is read off the model, or off its custom numbers.

#include "tasks/mjcf/mjcf.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "env/plugin.h"
#include "env/scene.h"
#include "env/trap.h"
#include "tasks/mjcf/mjcf_adapt.h"
#include "tasks/mjcf/mjcf_camera.h"
#include "tasks/mjcf/mjcf_file.h"
#include "tasks/mjcf/mjcf_measure.h"
#include "tasks/mjcf/mjcf_mocap.h"
#include "tasks/mjcf/mjcf_pack.h"
#include "tasks/mjcf/mjcf_start.h"
#include "tasks/policies.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/text.h"

enum { NAME = 64, STEM = 47, TEXT = 256 };
static const double step = 0.05;  // s

#define US_SETTING_OF UsMjcfConfig
const UsSetting us_mjcf_settings[] = {US_MJCF_SETTINGS(US_SETTING_ROW) US_SETTING_END};

typedef struct Mjcf {
  UsTask task;
  mjModel* model;
  UsMjcfConfig config;  // copies, with an absolute path
  UsRobot robot;        // empty until it is asked for
  char name[NAME], summary[TEXT];
} Mjcf;

// ---- actions, measures, policies ----

// Numbers of an action: controls, then those of bodies of motion capture.
static int actions_of(const mjModel* m) {
  int n = (int)m->nu, mocap = us_mjcf_mocap_count(m);
  for (int i = 0; i < mocap; i++) n += us_mjcf_mocap_actions(m, i);
  return n;
}

// Actions fill the range of their control.
static void control(const mjModel* m, mjData* d, const float* action) {
  double gain = us_mjcf_custom(m, "understudy_gain", 1);
  for (int i = 0; i < m->nu; i++) {
    const mjtNum* range = m->actuator_ctrlrange + 2 * i;
    double a = fmin(fmax(gain * (double)action[i], -1), 1);
    d->ctrl[i] = m->actuator_ctrllimited[i] ? range[0] + (a + 1) / 2 * (range[1] - range[0]) : a;
  }
  us_mjcf_mocap_control(m, d, gain, action + m->nu);
}

static void read_proprio(const mjModel* m, const mjData* d, float* out) {
  for (int i = 0; i < m->nq + m->nv; i++) {
    out[i] = (float)(i < m->nq ? d->qpos[i] : d->qvel[i - m->nq]);
  }
}

static void act_random(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                       float* action) {
  us_policy_held(rng, memory, actions_of(m), action);
}

static void act_smooth(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                       float* action) {
  us_policy_drift(rng, memory, actions_of(m), action);
}

// A model without controls has one action, which nothing reads.
static void act_none(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  action[0] = 0;
}

static const UsPolicy active[] = {
    {"random", "uniform actions held for 1 to 7 steps, with noise", act_random},
    {"smooth", "actions that drift", act_smooth},
    {NULL, NULL, NULL},
};
static const UsPolicy passive[] = {
    {"none", "nothing: the model has no controls", act_none},
    {NULL, NULL, NULL},
};

// ---- the table ----

// mjcf-<stem>-<8 digits>, in letters that names may have.
static void make_name(const char* path, const char* hash, char* name) {
  const char* file = strrchr(path, '/');
  file = file ? file + 1 : path;
  const char* end = strrchr(file, '.');
  int length = end && end != file ? (int)(end - file) : (int)strlen(file);
  int at = snprintf(name, NAME, "mjcf-");
  for (int i = 0; i < length && i < STEM; i++) {
    unsigned char c = (unsigned char)file[i];
    name[at++] = (char)(isascii(c) && (isalnum(c) || c == '-') ? c : '_');
  }
  snprintf(name + at, (size_t)(NAME - at), "-%.8s", hash);
}

// A custom number as a size; 0, which the table refuses, for what is none.
static int whole(double x) {
  return x > 0 && x < 1e9 ? (int)lround(x) : 0;
}

// The task's table, but for its camera; its texts lie in c.
static void fill_table(Mjcf* c) {
  const mjModel* m = c->model;
  int nq = (int)m->nq, nv = (int)m->nv, actions = actions_of(m);
  int skip =
      whole(us_mjcf_custom(m, "understudy_step", fmax(step, m->opt.timestep)) / m->opt.timestep);
  c->task = (UsTask){.struct_size = sizeof(UsTask),
                     .abi = US_TASK_ABI,
                     .mujoco = mjVERSION_HEADER,
                     .name = c->name,
                     .summary = c->summary,
                     .model = m,
                     .camera = US_MJCF_CAMERA,
                     .frame_skip = skip,
                     .block = whole(us_mjcf_custom(m, "understudy_block", 5)),
                     .action = actions ? actions : 1,
                     .proprio = nq + nv,
                     .measure = us_mjcf_measure_size(m),
                     .size = whole(us_mjcf_custom(m, "understudy_size", 64)),
                     .radius = us_mjcf_radius(m),
                     .reset = us_mjcf_reset,
                     .control = control,
                     .read_proprio = nq ? read_proprio : NULL,
                     .read_measure = us_mjcf_measure_read,
                     .distance = us_mjcf_distance,
                     .success = us_mjcf_success,
                     .policies = actions ? active : passive};
}

// The camera is the caller's or the file's wish, or else its first, or else ours.
static UsStatus choose_camera(const char* path, const char* first, Mjcf* c) {
  mjModel* m = c->model;
  int ours = mj_name2id(m, mjOBJ_CAMERA, US_MJCF_CAMERA), wished = -1, id;
  const char* wish = us_mjcf_text(m, "understudy_camera");
  if (wish) {
    char names[400];
    wished = strcmp(wish, "free") == 0 ? ours : mj_name2id(m, mjOBJ_CAMERA, wish);
    us_mjcf_names(m, mjOBJ_CAMERA, names, sizeof(names));
    if (wished < 0) {
      return us_fail(US_USAGE, "%s: --camera (understudy_camera): expected free%s%s, found \"%s\"",
                     path, names[0] ? " or one of " : ", as the file has no other", names, wish);
    }
  }
  US_TRY(us_mjcf_choose_camera(path, &c->task, mj_name2id(m, mjOBJ_CAMERA, first), ours, m, &id));
  c->task.camera = mj_id2name(m, mjOBJ_CAMERA, wished >= 0 ? wished : id);
  return US_OK;
}

// Or it is that of a robot.
static UsStatus take_camera(const char* path, const UsMjcfNotes* notes, Mjcf* c) {
  US_TRY(us_scene_aim(path, c->model, US_MJCF_CAMERA, notes->pose));
  US_TRY(us_scene_aim(path, c->model, notes->camera, NULL));
  c->task.camera =
      mj_id2name(c->model, mjOBJ_CAMERA, mj_name2id(c->model, mjOBJ_CAMERA, notes->camera));
  return US_OK;
}

static void fill_mocap(void* arg) {
  us_mjcf_mocap_fill(arg);
}

// The same robot has the same name; another engine may compile it to other last bits.
static UsStatus check_name(const char* path, const UsMjcfNotes* notes, Mjcf* c) {
  const char* recorded = c->robot.task;
  if (strcmp(c->name, recorded) == 0) return US_OK;
  if (strcmp(notes->mujoco, mj_versionString()) == 0 && strcmp(notes->understudy, US_VERSION) == 0)
    return us_fail(US_FORMAT, "%s: expected the robot %s, found %s", path, recorded, c->name);
  us_log("%s: %s was recorded by Understudy %s with MuJoCo %s, and compiles differently here", path,
         recorded, us_shown(notes->understudy), us_shown(notes->mujoco));
  snprintf(c->name, sizeof(c->name), "%s", recorded);
  return US_OK;
}

// Compiled, checked, its table filled as that of any task, then given light and a camera. Nullable:
// files and notes, of a robot.
static UsStatus open_file(const UsMjcfConfig* config, const UsMjcfFiles* files,
                          const UsMjcfNotes* notes, Mjcf* c) {
  char hash[US_HASH_CHARS], first[64], found[TEXT * 2];
  const char* path = config->path;
  // A setting at 0 was not said.
  UsMjcfConfig said = *config;
  if (said.step == 0) said.step = step;
  if (said.gain == 0) said.gain = 1;
  US_TRY(us_settings_check(us_mjcf_settings, &said));
  US_TRY(us_mjcf_compile(config, files, notes ? notes->ranges : NULL, &c->model, first, hash));
  mjModel* m = c->model;
  if (m->ngeom == 0 && m->njnt == 0 && m->nflex == 0) {
    return us_fail(US_MUJOCO, "%s: expected a model with bodies, found an empty world%s", path,
                   " (a fragment that others include?)");
  }
  US_TRY(us_scene_check_state(path, m));
  // What the names in it mean, what is hidden, where bodies of motion capture may go.
  US_TRY(us_mjcf_measure_fill(path, m));
  US_TRY(us_mjcf_hide(path, m));
  if (us_trap_run(fill_mocap, m, found, sizeof(found))) {
    return us_fail(US_MUJOCO, "%s: MuJoCo cannot simulate the model: %s", path, found);
  }
  // Without lights of its own, a scene would be dim or black.
  if (m->nlight == 0) m->vis.headlight.active = 1;
  for (int i = 0; i < 3 && m->nlight == 0; i++) {
    m->vis.headlight.ambient[i] = fmaxf(m->vis.headlight.ambient[i], 0.3f);
    m->vis.headlight.diffuse[i] = fmaxf(m->vis.headlight.diffuse[i], 0.7f);
  }
  const char* file = files ? us_mjcf_files_model(files) : path;
  make_name(file, hash, c->name);
  if (notes) US_TRY(check_name(path, notes, c));
  snprintf(c->summary, sizeof(c->summary), "%.160s: %d controls, %d joints", file, (int)m->nu,
           (int)m->njnt);
  fill_table(c);
  US_TRY(us_task_check_table(path, &c->task));
  return notes ? take_camera(path, notes, c) : choose_camera(path, first, c);
}

UsStatus us_mjcf_open(const char* path, const UsTask** out) {
  return us_mjcf_open_as(&(UsMjcfConfig){.path = path}, out);
}

// ---- what data keep of it ----

static UsStatus give_robot(const UsTask* t, const UsRobot** out) {
  Mjcf* c = (Mjcf*)t;  // its first member
  if (c->robot.count == 0) US_TRY(us_mjcf_pack(&c->config, t, &c->robot));
  *out = &c->robot;
  return US_OK;
}

// Copies what the file was opened with, for then.
static UsStatus keep_config(const UsMjcfConfig* config, Mjcf* c) {
  c->config = *config;
  c->config.path = us_path_absolute(config->path);
  int good = c->config.path != NULL;
  for (const UsSetting* s = us_mjcf_settings; s->name; s++) {
    const char** text = (const char**)((char*)&c->config + s->at);
    if (s->type != US_SETTING_TEXT || !*text) continue;
    *text = strdup(*text);
    good &= *text != NULL;
  }
  return good ? US_OK : us_fail(US_MEMORY, "%s: out of memory", config->path);
}

static UsStatus give(UsStatus status, Mjcf* c, const UsTask** out) {
  if (status != US_OK) {
    us_mjcf_close(&c->task);
    return status;
  }
  c->task.robot = give_robot;
  *out = &c->task;
  return US_OK;
}

// What the first bytes of a file say; a pipe would wait for some.
static int is_zip(const char* path) {
  char head[4] = "";
  struct stat found;
  FILE* f = stat(path, &found) == 0 && S_ISREG(found.st_mode) ? fopen(path, "rb") : NULL;
  if (f && fread(head, 1, 4, f) != 4) head[0] = 0;
  if (f) fclose(f);
  return memcmp(head, "PK\3\4", 4) == 0;
}

static UsStatus open_zip(const UsMjcfConfig* config, const UsTask** out) {
  UsRobot robot = {0};
  int said = config->step > 0 || config->gain > 0 || config->camera || config->hide;
  if (said || config->measure) {
    return us_fail(US_USAGE, "%s: expected nothing beside a robot that was recorded", config->path);
  }
  US_TRY(us_robot_read(config->path, &robot));
  return us_mjcf_open_robot(config->path, &robot, out);
}

UsStatus us_mjcf_open_as(const UsMjcfConfig* config, const UsTask** out) {
  *out = NULL;
  if (is_zip(config->path)) return open_zip(config, out);
  Mjcf* c = calloc(1, sizeof(*c));
  if (!c) return us_fail(US_MEMORY, "%s: out of memory", config->path);
  UsStatus status = keep_config(config, c);
  return give(status == US_OK ? open_file(config, NULL, NULL, c) : status, c, out);
}

UsStatus us_mjcf_open_robot(const char* what, UsRobot* robot, const UsTask** out) {
  *out = NULL;
  UsMjcfFiles* files = NULL;
  UsMjcfNotes notes = {0};
  Mjcf* c = calloc(1, sizeof(*c));
  if (!c) {
    us_robot_free(robot);
    return us_fail(US_MEMORY, "%s: out of memory", what);
  }
  c->robot = *robot;
  *robot = (UsRobot){0};
  UsStatus status = us_mjcf_notes_read(what, &c->robot, &notes);
  if (status == US_OK) status = us_mjcf_files_open(NULL, &c->robot, &files);
  if (status == US_OK) {
    notes.config.path = what;
    status = open_file(&notes.config, files, &notes, c);
  }
  if (status == US_OK) us_mjcf_tell_changes(what, &c->robot);
  us_mjcf_files_close(files);
  cJSON_Delete(notes.json);
  return give(status, c, out);
}

void us_mjcf_close(const UsTask* task) {
  if (!task) return;
  Mjcf* c = (Mjcf*)task;  // its first member
  mj_deleteModel(c->model);
  us_robot_free(&c->robot);
  for (const UsSetting* s = us_mjcf_settings; s->name; s++) {
    if (s->type == US_SETTING_TEXT) free(*(char**)((char*)&c->config + s->at));
  }
  free((char*)c->config.path);
  free(c);
}

// ---- what it is, for people ----

// What an actuator drives: its transmission's object, by name or number.
static void name_target(const mjModel* m, int i, char* out, size_t size) {
  static const int types[] = {[mjTRN_JOINT] = mjOBJ_JOINT,      [mjTRN_JOINTINPARENT] = mjOBJ_JOINT,
                              [mjTRN_SLIDERCRANK] = mjOBJ_SITE, [mjTRN_TENDON] = mjOBJ_TENDON,
                              [mjTRN_SITE] = mjOBJ_SITE,        [mjTRN_BODY] = mjOBJ_BODY};
  int trn = m->actuator_trntype[i], id = m->actuator_trnid[2 * i];
  int known = trn >= 0 && trn < (int)(sizeof(types) / sizeof(*types));
  const char* name = known ? mj_id2name(m, types[trn], id) : NULL;
  const char* type = known ? mju_type2Str(types[trn]) : "?";
  if (name && name[0]) {
    snprintf(out, size, "%s %.40s", type, name);
  } else {
    snprintf(out, size, "%s %d", type, id);
  }
}

void us_mjcf_control(const UsTask* task, int action, UsMjcfControl* out) {
  const mjModel* m = task->model;
  *out = (UsMjcfControl){.low = -1, .high = 1};
  // A control of an actuator.
  for (int i = 0; i < m->nactuator && action < m->nu; i++) {
    int first = m->actuator_ctrladr[i];
    if (action < first || action >= first + m->actuator_ctrlnum[i]) continue;
    const char* name = mj_id2name(m, mjOBJ_ACTUATOR, i);
    snprintf(out->name, sizeof(out->name), "%.60s", name && name[0] ? name : "-");
    name_target(m, i, out->what, sizeof(out->what));
    out->scaled = m->actuator_ctrllimited[action];
    if (!out->scaled) return;
    out->low = m->actuator_ctrlrange[2 * action];
    out->high = m->actuator_ctrlrange[2 * action + 1];
    return;
  }
  // A body of motion capture.
  int at = action - (int)m->nu, mocap = us_mjcf_mocap_count(m);
  for (int i = 0; i < mocap && at >= 0; at -= us_mjcf_mocap_actions(m, i++)) {
    if (at >= us_mjcf_mocap_actions(m, i)) continue;
    const char* name = mj_id2name(m, mjOBJ_BODY, us_mjcf_mocap_body(m, i));
    snprintf(out->name, sizeof(out->name), "%.60s", name && name[0] ? name : "-");
    snprintf(out->what, sizeof(out->what), at < 3 ? "step along %c, m" : "turn about %c, rad",
             "xyz"[at % 3]);
    out->scaled = 1;
    out->high = at < 3 ? US_MOCAP_STEP : US_MOCAP_TURN;
    out->low = -out->high;
    return;
  }
  snprintf(out->name, sizeof(out->name), "-");
  snprintf(out->what, sizeof(out->what), "nothing");
}
