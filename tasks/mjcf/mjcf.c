// Any MJCF file as a task: what a table needs is read off the model, or off its custom numbers.

#include "tasks/mjcf/mjcf.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/plugin.h"
#include "env/scene.h"
#include "tasks/mjcf/mjcf_file.h"
#include "tasks/mjcf/mjcf_start.h"
#include "tasks/policies.h"

enum { NAME = 64, STEM = 47, TEXT = 256 };
static const double turn = 2 * M_PI;  // rad
static const double step = 0.05;      // s

typedef struct Mjcf {
  UsTask task;
  mjModel* model;
  char name[NAME], summary[TEXT];
} Mjcf;

// The threshold of success, as a share of the joints' scales.
static double radius_of(const mjModel* m) {
  return us_mjcf_custom(m, "understudy_radius", 0.02);
}

// ---- distances ----

// Angle (rad) between two rotations; chords are exact at 0.
static double angle_of(const double* a, const double* b) {
  double same = 0, other = 0;
  for (int i = 0; i < 4; i++) {
    same += (a[i] - b[i]) * (a[i] - b[i]);
    other += (a[i] + b[i]) * (a[i] + b[i]);
  }
  return 4 * asin(fmin(sqrt(fmin(same, other)) / 2, 1));
}

// Shares of the scales by which joints differ.
typedef struct Gap {
  double squares, most;
  int joints;
} Gap;

static void add(Gap* g, double share) {
  g->squares += share * share;
  g->most = fmax(g->most, share);
  g->joints++;
}

// A free joint counts twice, as a place and as a rotation.
static Gap gap_of(const mjModel* m, const double* a, const double* b) {
  Gap g = {0};
  for (int j = 0; j < m->njnt; j++) {
    const double *x = a + m->jnt_qposadr[j], *y = b + m->jnt_qposadr[j];
    double off = x[0] - y[0];
    switch (m->jnt_type[j]) {
      case mjJNT_FREE:
        add(&g, sqrt(off * off + (x[1] - y[1]) * (x[1] - y[1]) + (x[2] - y[2]) * (x[2] - y[2])) /
                    m->stat.extent);
        add(&g, angle_of(x + 3, y + 3) / turn);
        break;
      case mjJNT_BALL:
        add(&g, angle_of(x, y) / turn);
        break;
      case mjJNT_HINGE:
        // Full turns do not count.
        if (!m->jnt_limited[j]) off = remainder(off, turn);
        // fall through
      default:
        add(&g, fabs(off) / us_mjcf_scale(m, j));
    }
  }
  return g;
}

// Root mean square over the joints.
static double distance(const mjModel* m, const double* a, const double* goal) {
  Gap g = gap_of(m, a, goal);
  return g.joints ? sqrt(g.squares / g.joints) : 0;
}

// Every joint on its own.
static int success(const mjModel* m, const double* a, const double* goal) {
  return gap_of(m, a, goal).most <= radius_of(m);
}

// ---- actions, measures, policies ----

// Actions fill the range of their control.
static void control(const mjModel* m, mjData* d, const float* action) {
  double gain = us_mjcf_custom(m, "understudy_gain", 1);
  for (int i = 0; i < m->nu; i++) {
    const mjtNum* range = m->actuator_ctrlrange + 2 * i;
    double a = fmin(fmax(gain * (double)action[i], -1), 1);
    d->ctrl[i] = m->actuator_ctrllimited[i] ? range[0] + (a + 1) / 2 * (range[1] - range[0]) : a;
  }
}

static void read_proprio(const mjModel* m, const mjData* d, float* out) {
  for (int i = 0; i < m->nq + m->nv && i < US_TASK_MEASURES; i++) {
    out[i] = (float)(i < m->nq ? d->qpos[i] : d->qvel[i - m->nq]);
  }
}

static void read_measure(const mjModel* m, const mjData* d, double* out) {
  if (m->nq == 0) out[0] = 0;
  mju_copy(out, d->qpos, (int)m->nq);
}

// memory (A): a walk of deviation 1 that forgets in 10 env steps.
static void act_smooth(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                       float* action) {
  for (int i = 0; i < m->nu; i++) {
    memory[i] = 0.9 * memory[i] + sqrt(1 - 0.9 * 0.9) * (double)us_rng_normal(rng);
    action[i] = (float)fmin(fmax(memory[i], -1), 1);
  }
}

// A model without controls has one action, which nothing reads.
static void act_none(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  action[0] = 0;
}

static const UsPolicy active[] = {
    {"random", "uniform actions held for 1 to 7 steps, with noise", us_policy_random},
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

// The task's table; its texts lie in c.
static void fill_table(Mjcf* c, const char* camera) {
  const mjModel* m = c->model;
  int nq = (int)m->nq, nv = (int)m->nv, nu = (int)m->nu;
  int skip =
      whole(us_mjcf_custom(m, "understudy_step", fmax(step, m->opt.timestep)) / m->opt.timestep);
  c->task = (UsTask){.struct_size = sizeof(UsTask),
                     .abi = US_TASK_ABI,
                     .mujoco = mjVERSION_HEADER,
                     .name = c->name,
                     .summary = c->summary,
                     .model = m,
                     .camera = camera,
                     .frame_skip = skip,
                     .block = whole(us_mjcf_custom(m, "understudy_block", 5)),
                     .action = nu ? nu : 1,
                     .proprio = nq + nv < US_TASK_MEASURES ? nq + nv : US_TASK_MEASURES,
                     .measure = nq ? nq : 1,
                     .size = whole(us_mjcf_custom(m, "understudy_size", 64)),
                     .radius = radius_of(m),
                     .reset = us_mjcf_reset,
                     .control = control,
                     .read_proprio = nq ? read_proprio : NULL,
                     .read_measure = read_measure,
                     .distance = distance,
                     .success = success,
                     .policies = nu ? active : passive};
}

// Compiled, checked, given camera and light, then its table as that of any task.
static UsStatus open_file(const char* path, Mjcf* c) {
  char hash[US_HASH_CHARS];
  US_TRY(us_mjcf_compile(path, &c->model, hash));
  mjModel* m = c->model;
  // Sizes that a task can have.
  if (m->ngeom == 0 && m->njnt == 0 && m->nflex == 0) {
    return us_fail(US_MUJOCO, "%s: expected a model with bodies, found an empty world%s", path,
                   " (a fragment that others include?)");
  }
  if (m->nu > US_TASK_ACTIONS) {
    return us_fail(US_UNSUPPORTED, "%s: expected at most %d controls, found %d", path,
                   US_TASK_ACTIONS, (int)m->nu);
  }
  if (m->nq > US_TASK_MEASURES) {
    return us_fail(US_UNSUPPORTED, "%s: expected at most %d numbers in qpos, found %d", path,
                   US_TASK_MEASURES, (int)m->nq);
  }
  US_TRY(us_scene_check_state(path, m));
  // The camera is the file's wish, or else its first, or else ours.
  int text = mj_name2id(m, mjOBJ_TEXT, "understudy_camera");
  int ours = mj_name2id(m, mjOBJ_CAMERA, US_MJCF_CAMERA);
  int id = ours > 0 || m->ncam == 1 ? 0 : 1;
  if (text >= 0) {
    const char* wish = m->text_data + m->text_adr[text];
    id = strcmp(wish, "free") == 0 ? ours : mj_name2id(m, mjOBJ_CAMERA, wish);
    if (id < 0) {
      return us_fail(US_MUJOCO,
                     "%s: understudy_camera: expected free or a camera of the model, found \"%s\"",
                     path, wish);
    }
  }
  US_TRY(us_mjcf_frame(path, m));
  // Without lights of its own, a scene would be dim or black.
  if (m->nlight == 0) m->vis.headlight.active = 1;
  for (int i = 0; i < 3 && m->nlight == 0; i++) {
    m->vis.headlight.ambient[i] = fmaxf(m->vis.headlight.ambient[i], 0.3f);
    m->vis.headlight.diffuse[i] = fmaxf(m->vis.headlight.diffuse[i], 0.7f);
  }
  make_name(path, hash, c->name);
  snprintf(c->summary, sizeof(c->summary), "%.160s: %d controls, %d joints", path, (int)m->nu,
           (int)m->njnt);
  fill_table(c, mj_id2name(m, mjOBJ_CAMERA, id));
  return us_task_check_table(path, &c->task);
}

UsStatus us_mjcf_open(const char* path, const UsTask** out) {
  *out = NULL;
  Mjcf* c = calloc(1, sizeof(*c));
  if (!c) return us_fail(US_MEMORY, "%s: out of memory", path);
  UsStatus status = open_file(path, c);
  if (status != US_OK) {
    us_mjcf_close(&c->task);
    return status;
  }
  *out = &c->task;
  return US_OK;
}

void us_mjcf_close(const UsTask* task) {
  if (!task) return;
  Mjcf* c = (Mjcf*)task;  // its first member
  mj_deleteModel(c->model);
  free(c);
}
