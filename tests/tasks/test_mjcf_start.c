// Where episodes of an MJCF task begin: at the keyframe with all that it says, with loops closed
// and coupled joints coupled; and what of a state is not kept is refused.

#include <math.h>
#include <unistd.h>

#include "tests/tasks/mjcf_help.h"

enum { N = 12 };

// A hand that is welded to a body of motion capture, at a place that only the keyframe knows, with
// a finger that begins beyond its limit.
static const char grip[] =
    "<mujoco><option timestep='.005'/><custom><numeric name='understudy_noise' data='.01'/>"
    "</custom><worldbody><light pos='0 0 3'/><body name='target' mocap='true' pos='0 0 .5'>"
    "<geom type='box' size='.03 .03 .03' contype='0' conaffinity='0'/></body>"
    "<body name='hand' pos='0 0 .5'><freejoint/><geom type='box' size='.06 .06 .06' mass='1'/>"
    "<body pos='0 0 .1'><joint name='f' axis='1 0 0' range='-60 5'/>"
    "<geom type='capsule' fromto='0 0 0 0 0 .15' size='.02'/></body></body></worldbody>"
    "<equality><weld body1='target' body2='hand'/></equality>"
    "<actuator><intvelocity joint='f' kp='5' ctrlrange='-1 1' actrange='-1 1'/></actuator>"
    "<keyframe><key time='3' qpos='1 0 1 1 0 0 0 .1' qvel='0 0 0 0 0 0 .2' act='.3' ctrl='.4' "
    "mpos='1 0 1' mquat='1 0 0 0'/></keyframe></mujoco>";

// Four bars, and a pendulum that has nothing to do with them.
static const char fourbar[] =
    "<mujoco><option timestep='.005'/><default><geom contype='0' conaffinity='0'/>"
    "<joint axis='0 1 0' damping='.05'/></default><worldbody><body><joint name='a'/>"
    "<geom type='capsule' fromto='0 0 0 0 0 .4' size='.02'/><body pos='0 0 .4'><joint name='b'/>"
    "<geom type='capsule' fromto='0 0 0 .6 0 0' size='.02'/><body name='c' pos='.6 0 0'>"
    "<joint name='c'/><geom type='capsule' fromto='0 0 0 0 0 -.4' size='.02'/></body></body>"
    "</body><body pos='0 1 0'><joint/><geom size='.1' pos='.3 0 "
    "0'/></body></worldbody><equality><connect body1='c' anchor='0 0 -.4' "
    "body2='world'/></equality>"
    "<actuator><motor joint='a' gear='.2' ctrlrange='-1 1'/></actuator></mujoco>";

static const char coupled[] =
    "<mujoco><compiler angle='radian'/><worldbody><body><joint name='a' axis='0 1 0'/>"
    "<geom size='.1' pos='.3 0 0'/></body><body pos='0 1 0'><joint name='b' axis='0 1 0' "
    "range='-3 .01'/><geom size='.1' pos='.3 0 0'/></body></worldbody><equality><joint joint1='b' "
    "joint2='a' polycoef='.01 2 0 .5 0'/></equality><actuator><motor joint='a'/></actuator>"
    "</mujoco>";

// Starts of N episodes: states (N, S). Free them.
static double* starts_of(const UsTask* t, int* width) {
  UsEnv* e = open_sim(t, &(UsEnvConfig){.slots = N});
  uint64_t seeds[N];
  *width = us_env_info(e)->state;
  double* states = malloc(sizeof(double) * (size_t)(N * *width));
  for (int i = 0; i < N; i++) seeds[i] = (uint64_t)i;
  us_env_reset(e, NULL, seeds);
  for (int i = 0; i < N; i++) get_state(e, i, states + i * *width);
  us_env_close(e);
  return states;
}

// Fails unless number k of the starts spreads over `least`.
static void assert_spread(const double* states, int width, int k, double least) {
  double low = INFINITY, high = -INFINITY;
  for (int i = 0; i < N; i++) {
    low = fmin(low, states[i * width + k]);
    high = fmax(high, states[i * width + k]);
  }
  if (!(high - low > least)) fail_msg("number %d of the starts spreads over %g", k, high - low);
}

// ---- keyframes ----

static void read_data(const mjModel* m, const mjData* d, double* state) {
  mju_copy(state, d->qpos, (int)m->nq);
  mju_copy(state + m->nq, d->qvel, (int)m->nv);
  mju_copy(state + m->nq + m->nv, d->act, (int)m->na);
}

// Episodes go as MuJoCo goes from the keyframe, bit for bit; a state from a file, in a slot that
// was never reset, as far as the solver's warm start matters.
static void keyframe_is_whole(void** state) {
  const UsTask* t = open_text("grip.xml", edited(grip, "data='.01'", "data='0'"));
  const mjModel* m = t->model;
  UsEnv* e = open_sim(t, &(UsEnvConfig){.slots = 2, .block = 1});
  mjData* d = mj_makeData(m);
  double want[16], found[16], time = -1;
  const float actions[2 * 7] = {0.5f, [7] = 0.5f};  // the finger's, then steps of the hand
  mj_resetDataKeyframe(m, d, 0);
  us_env_reset(e, (uint8_t[]){1, 0}, (uint64_t[]){1, 1});
  for (int k = 0; k < 5; k++) {
    UsObs seen = {.state = found};
    assert_int_equal(us_env_look(e, 1, (int[]){0}, &seen), US_OK);
    read_data(m, d, want);
    assert_memory_equal(found, want, sizeof(double) * (size_t)us_env_info(e)->state);
    assert_float_equal(seen.time, k * us_env_info(e)->dt, 1e-12);
    if (k > 0) {
      get_state(e, 1, want);
      for (int i = 0; i < us_env_info(e)->state; i++) assert_float_equal(found[i], want[i], 1e-6);
    }
    assert_int_equal(us_env_observe(e, 1, (int[]){1}, &(UsObs){.state = found, .time = k}), US_OK);
    us_env_step(e, actions, NULL);
    mj_kinematics(m, d);
    t->control(m, d, actions);
    for (int i = 0; i < t->frame_skip; i++) mj_step(m, d);
    UsObs other = {0};
    assert_int_equal(us_env_look(e, 1, (int[]){1}, &other), US_OK);
    time = other.time;
    assert_float_equal(time, k + us_env_info(e)->dt, 1e-9);
  }
  assert_float_equal(found[0], 1, 1e-3);  // not drawn to where the file puts the target
  mj_deleteData(d);
  us_env_close(e);
  us_mjcf_close(t);
}

// ---- loops ----

// A hand that a body of motion capture drives begins anywhere around the start, as its finger does:
// what holds it follows.
static void welds(void** state) {
  const UsTask* t = open_text("grip.xml", grip);
  int width;
  double* s = starts_of(t, &width);
  for (int k = 0; k < 2; k++) assert_spread(s, width, k, 0.005);
  assert_spread(s, width, 7, 0.005);
  for (int i = 0; i < N; i++) assert_float_equal(s[i * width + 2], 1, 1e-9);  // not up
  free(s);
  us_mjcf_close(t);
}

// The largest gap (m) of the loop over all starts.
static double largest_gap(const UsTask* t, const double* states, int width) {
  const mjModel* m = t->model;
  const double local[3] = {0, 0, -0.4}, anchor[3] = {0.6, 0, 0};
  const int body = mj_name2id(m, mjOBJ_BODY, "c");
  mjData* d = mj_makeData(m);
  double most = 0;
  for (int i = 0; i < N; i++) {
    double tip[3];
    mju_copy(d->qpos, states + i * width, (int)m->nq);
    mj_kinematics(m, d);
    mju_mulMatVec3(tip, d->xmat + 9 * body, local);
    mju_addTo3(tip, d->xpos + 3 * body);
    most = fmax(most, mju_dist3(tip, anchor));
  }
  mj_deleteData(d);
  return most;
}

static void loops_are_closed(void** state) {
  const char* const more[] = {
      "",
      // A pose of two digits, which leaves a gap of millimetres.
      "<keyframe><key qpos='.51 -.52 .5 0'/></keyframe>",
      "<custom><numeric name='understudy_noise' data='.2'/></custom>",
      "<option jacobian='sparse'/>",
  };
  for (int k = 0; k < US_COUNT(more); k++) {
    char end[128];
    snprintf(end, sizeof(end), "</actuator>%s", more[k]);
    const UsTask* t = open_text("fourbar.xml", edited(fourbar, "</actuator>", end));
    int width;
    double* s = starts_of(t, &width);
    double gap = largest_gap(t, s, width);
    if (!(gap < 1e-6)) fail_msg("%s: gap %g", more[k], gap);
    assert_spread(s, width, 0, k == 2 ? 0.5 : 0.03);
    for (int i = 1; i < N; i++) assert_true(s[i * width] != s[(i - 1) * width]);
    free(s);
    us_mjcf_close(t);
  }
  // Joints that cannot move to where the loop closes stay inside their limits and at the start.
  const UsTask* t = open_text(
      "tight.xml", edited(fourbar, "<joint name='c'/>", "<joint name='c' range='0 .0001'/>"));
  int width;
  double* s = starts_of(t, &width);
  assert_true(largest_gap(t, s, width) < 1e-6);
  for (int i = 0; i < N; i++) assert_true(s[i * width + 2] >= 0 && s[i * width + 2] <= 0.0001);
  free(s);
  us_mjcf_close(t);
}

// At the limit of one of them: b is .01 + 2 a + .5 a^3 and at most .01.
static void joints_stay_coupled(void** state) {
  const UsTask* t = open_text("coupled.xml", coupled);
  int width;
  double* s = starts_of(t, &width);
  for (int i = 0; i < N; i++) {
    double a = s[i * width], b = s[i * width + 1];
    assert_float_equal(b, 0.01 + 2 * a + 0.5 * a * a * a, 1e-6);
    assert_true(b <= 0.01);
  }
  assert_spread(s, width, 1, 0.02);
  free(s);
  us_mjcf_close(t);
}

// What is not constrained, or not now, begins as it would without the constraint.
static void others_begin_as_before(void** state) {
  const UsTask* free_task =
      open_text("free.xml", edited(fourbar, "<connect", "<connect active='false'"));
  int width;
  double* s = starts_of(free_task, &width);
  assert_true(largest_gap(free_task, s, width) > 0.005);
  assert_spread(s, width, 2, 0.05);
  free(s);
  us_mjcf_close(free_task);
}

// ---- states that files do not hold ----

static void states_that_are_more(void** state) {
  refused(mjcf_put(folder, "delay.xml",
                   edited(mjcf_cartpole, "<motor joint",
                          "<motor name='late' delay='.02' nsample='4' joint")),
          "found actuator late with a delay");
  // Without the flag nothing is asleep, in MuJoCo either.
  char sleeps[8192];
  snprintf(sleeps, sizeof(sleeps), "%s",
           edited(mjcf_arm, "name='cube'", "name='cube' sleep='init'"));
  us_mjcf_close(open_text("awake.xml", sleeps));
  refused(mjcf_put(folder, "sleep.xml",
                   edited(sleeps, "timestep='0.004'/>",
                          "timestep='0.004'><flag sleep='enable'/></option>")),
          "found body cube asleep at the start");
  refused(mjcf_put(folder, "plastic.xml",
                   edited(mjcf_cartpole, "damping='1' ",
                          "damping='1' stiffness='10' springyield='.1' ")),
          "found plastic deformation");
  refused(mjcf_put(folder, "ipc.xml",
                   "<mujoco><option integrator='discrete'><flag ipc='enable'/></option>"
                   "<worldbody><flexcomp name='c' type='grid' count='3 3 1' spacing='.1 .1 .1' "
                   "pos='0 0 .5' radius='.01' mass='1'/></worldbody></mujoco>"),
          "found the flag ipc");
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keyframe_is_whole),      cmocka_unit_test(welds),
      cmocka_unit_test(loops_are_closed),       cmocka_unit_test(joints_stay_coupled),
      cmocka_unit_test(others_begin_as_before), cmocka_unit_test(states_that_are_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) | mjcf_folder_remove();
}
