// A task from outside the tree: a puck on ice, pushed along two axes, that has to reach a point.

#include <math.h>

#include <env/plugin.h>
#include <tasks/policies.h>

static const char scene[] =
    "<mujoco><option timestep='0.01' gravity='0 0 0'/><visual><headlight ambient='1 1 1'/></visual>"
    "<default><joint type='slide' damping='0.4' limited='true' range='-1 1'/></default>"
    "<worldbody><camera name='above' pos='0 0 2' projection='orthographic' fovy='2.6'/>"
    "<geom type='plane' size='2 2 1' pos='0 0 -0.2' rgba='0.9 0.9 0.9 1'/>"
    "<body><joint name='x' axis='1 0 0'/><joint name='y' axis='0 1 0'/>"
    "<geom type='cylinder' size='0.2 0.05' mass='1' rgba='0.1 0.1 0.6 1'/></body></worldbody>"
    "<actuator><motor joint='x' gear='2'/><motor joint='y' gear='2'/></actuator></mujoco>";

static void reset(const mjModel* m, mjData* d, UsRng* rng) {
  for (int i = 0; i < 2; i++) d->qpos[i] = us_rng_range(rng, -0.9, 0.9);
}

static void read_measure(const mjModel* m, const mjData* d, double* out) {
  mju_copy(out, d->qpos, 2);
}

static double distance(const mjModel* m, const double* a, const double* goal) {
  return hypot(a[0] - goal[0], a[1] - goal[1]);
}

static int success(const mjModel* m, const double* a, const double* goal) {
  return distance(m, a, goal) <= 0.2;
}

static void act(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  us_policy_held(rng, memory, 2, action);
}

static const UsPolicy policies[] = {{"random", "uniform actions, held", act}, {NULL, NULL, NULL}};

static const UsTask drift = {.struct_size = sizeof(UsTask),
                             .abi = US_TASK_ABI,
                             .mujoco = mjVERSION_HEADER,
                             .name = "drift",
                             .summary = "slide a puck to a point",
                             .scene = scene,
                             .camera = "above",
                             .frame_skip = 5,
                             .block = 5,
                             .action = 2,
                             .measure = 2,
                             .size = 32,
                             .radius = 0.2,
                             .reset = reset,
                             .read_measure = read_measure,
                             .distance = distance,
                             .success = success,
                             .policies = policies};

const UsPlugin* us_plugin(void) {
  static const UsTask* const tasks[] = {&drift, NULL};
  static const UsPlugin p = {sizeof(UsPlugin), US_PLUGIN_ABI, mjVERSION_HEADER, tasks};
  return &p;
}
