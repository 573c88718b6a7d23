// The table of a robot behind a pipe. Its functions are asked about measures alone, which the env
// makes of states; how many numbers those and actions have is kept in the custom numbers of a model
// that is empty otherwise.

#include "tasks/exec_task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/exec.h"
#include "env/plugin.h"
#include "tasks/policies.h"
#include "worldmodel/base/text.h"

enum { NAME = 64, TEXT = 256, FRAME = 64 };
enum { ACTIONS, MEASURES, RATED, NUMERICS };  // the custom numbers

typedef struct ExecTask {
  UsTask task;
  UsExec* robot;
  mjModel* model;
  char name[NAME], summary[TEXT];
} ExecTask;

static int number(const mjModel* m, int which) {
  return (int)m->numeric_data[m->numeric_adr[which]];
}

// What only MuJoCo would be asked.
static void reset(const mjModel* m, mjData* d, UsRng* rng) {}
static void read_proprio(const mjModel* m, const mjData* d, float* out) {}
static void read_measure(const mjModel* m, const mjData* d, double* out) {}

static double distance(const mjModel* m, const double* a, const double* goal) {
  const int n = number(m, MEASURES);
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (a[i] - goal[i]) * (a[i] - goal[i]);
  return sqrt(sum / n);
}

static int success(const mjModel* m, const double* a, const double* goal) {
  int within = number(m, RATED);
  for (int i = 0; i < number(m, MEASURES); i++) within &= fabs(a[i] - goal[i]) <= 1;
  return within;
}

static void act_random(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                       float* action) {
  us_policy_held(rng, memory, number(m, ACTIONS), action);
}

static void act_smooth(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                       float* action) {
  us_policy_drift(rng, memory, number(m, ACTIONS), action);
}

static const UsPolicy policies[] = {
    {"random", "uniform actions held for 1 to 7 steps, with noise", act_random},
    {"smooth", "actions that drift", act_smooth},
    {NULL, NULL, NULL},
};

static UsStatus make_model(const UsExec* r, int measure, mjModel** out) {
  char xml[512], found[TEXT] = "";
  snprintf(xml, sizeof(xml),
           "<mujoco><custom><numeric name='action' data='%d'/><numeric name='measure' data='%d'/>"
           "<numeric name='rated' data='%d'/></custom><worldbody/></mujoco>",
           r->action, measure, r->rated);
  mjSpec* spec = mj_parseXMLString(xml, NULL, found, sizeof(found));
  *out = spec ? mj_compile(spec, NULL) : NULL;
  if (spec) mj_deleteSpec(spec);
  return *out && (*out)->nnumeric == NUMERICS
             ? US_OK
             : us_fail(US_MUJOCO, "exec:%s: MuJoCo refuses an empty model: %s",
                       us_shown(r->command), found);
}

static UsStatus open_robot(const char* command, ExecTask* c) {
  US_TRY(us_exec_greet(command, &c->robot));
  const UsExec* r = c->robot;
  int measure = r->rated ? 0 : r->state;
  for (int i = 0; i < r->state; i++) measure += r->tolerance[i] > 0;
  US_TRY(make_model(r, measure, &c->model));
  snprintf(c->name, sizeof(c->name), "exec-%s-%s", r->name, r->digits);
  snprintf(c->summary, sizeof(c->summary), "%.120s: %d numbers of an action, %d of a state",
           us_shown(command), r->action, r->state);
  c->task = (UsTask){.struct_size = sizeof(UsTask),
                     .abi = US_TASK_ABI,
                     .mujoco = mjVERSION_HEADER,
                     .name = c->name,
                     .summary = c->summary,
                     .model = c->model,
                     .exec = r,
                     .camera = r->camera,
                     .frame_skip = 1,
                     .block = r->block,
                     .action = r->action,
                     .proprio = r->proprio,
                     .measure = measure,
                     .size = r->height ? r->height : FRAME,
                     .radius = 1,
                     .reset = reset,
                     .read_proprio = r->proprio ? read_proprio : NULL,
                     .read_measure = read_measure,
                     .distance = distance,
                     .success = success,
                     .policies = policies};
  return us_task_check_table(r->command, &c->task);
}

UsStatus us_exec_open(const char* command, const UsTask** out) {
  *out = NULL;
  ExecTask* c = calloc(1, sizeof(*c));
  if (!c) return us_fail(US_MEMORY, "exec:%s: out of memory", us_shown(command));
  UsStatus status = open_robot(command, c);
  if (status != US_OK) {
    us_exec_close(&c->task);
    return status;
  }
  *out = &c->task;
  return US_OK;
}

void us_exec_close(const UsTask* task) {
  if (!task) return;
  ExecTask* c = (ExecTask*)task;  // its first member
  us_exec_free(c->robot);
  mj_deleteModel(c->model);
  free(c);
}
