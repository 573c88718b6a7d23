#ifndef UNDERSTUDY_VARY_HELP_H_
#define UNDERSTUDY_VARY_HELP_H_

// What the tests of variations share.

#include "tests/env/env_help.h"

// A block that slides on a floor, under a lamp, seen by a perspective camera.
static const char slide_scene[] =
    "<mujoco><option timestep='0.005' cone='elliptic' impratio='100'/>"
    "<visual><headlight ambient='.2 .2 .2' diffuse='.2 .2 .2' specular='0 0 0'/></visual>"
    "<asset><material name='paint' rgba='.2 .7 .3 1'/></asset>"
    "<worldbody><light pos='0 0 3' dir='0 .3 -1' type='directional' diffuse='.7 .7 .7'/>"
    "<camera name='side' pos='0 -2 1' xyaxes='1 0 0 0 .4 1' fovy='50'/>"
    "<geom type='plane' size='5 5 .1' friction='.4 .005 .0001' rgba='.6 .5 .4 1'/>"
    "<body name='block' pos='0 0 .1'><joint name='along' type='slide' axis='1 0 0'/>"
    "<joint type='slide' axis='0 0 1'/>"
    "<geom name='block' type='box' size='.1 .1 .1' friction='.4 .005 .0001' material='paint'/>"
    "</body></worldbody><actuator><motor joint='along' gear='5'/></actuator></mujoco>";

static inline void slide_reset(const mjModel* m, mjData* d, UsRng* rng) {
  d->qpos[0] = us_rng_range(rng, -0.5, 0.5);
}
static inline void slide_measure(const mjModel* m, const mjData* d, double* out) {
  out[0] = d->qpos[0];
}
static inline double slide_distance(const mjModel* m, const double* a, const double* goal) {
  return a[0] > goal[0] ? a[0] - goal[0] : goal[0] - a[0];
}
static inline int slide_success(const mjModel* m, const double* a, const double* goal) {
  return slide_distance(m, a, goal) < 0.1;
}
static inline void slide_act(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                             float* action) {
  action[0] = us_rng_normal(rng);
}
static const UsPolicy slide_policies[] = {{"push", "normal noise", slide_act}, {NULL, NULL, NULL}};

static const UsTask task_slide = {.struct_size = sizeof(UsTask),
                                  .abi = US_TASK_ABI,
                                  .mujoco = mjVERSION_HEADER,
                                  .name = "slide",
                                  .summary = "for tests",
                                  .scene = slide_scene,
                                  .camera = "side",
                                  .frame_skip = 5,
                                  .block = 5,
                                  .action = 1,
                                  .measure = 1,
                                  .size = 64,
                                  .radius = 0.1,
                                  .reset = slide_reset,
                                  .read_measure = slide_measure,
                                  .distance = slide_distance,
                                  .success = slide_success,
                                  .policies = slide_policies};

// The choice of these names.
static inline UsVary choose(UsEnv* e, const char* names) {
  UsVary v;
  UsStatus status = us_vary_choose("test", names, e, &v);
  if (status != US_OK) fail_msg("%s", us_message());
  return v;
}

// Puts one slot into the variation where the factors of these names are x.
static inline void vary_slot(UsEnv* e, int slot, const char* names, float x) {
  UsVary v = choose(e, names);
  float values[US_FACTORS];
  for (int i = 0; i < v.count; i++) values[i] = x;
  us_sim_vary(e, &v, 1, &slot, values);
}

#endif  // UNDERSTUDY_VARY_HELP_H_
