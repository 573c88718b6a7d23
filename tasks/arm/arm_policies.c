// What collects data with the arm: drives of the hand to points, and an expert in stages.

#include "tasks/arm/arm_policies.h"

#include <math.h>

#include "tasks/arm/hand.h"
#include "tasks/policies.h"

static const double gain = 0.8;    // share of the way left that a step of a drive asks for
static const double there = 0.02;  // m, a drive has arrived

static const double* cube_point(const mjData* d) {
  return d->qpos + US_HAND_CUBE;
}

// The yaw of the cube's sides, in [-pi / 4, pi / 4]: that of the axis that lies flattest.
static double cube_angle(const mjModel* m, const mjData* d) {
  const double* r = d->xmat + 9 * (m->nbody - 1);
  int flat = 0;
  for (int i = 1; i < 3; i++) {
    if (fabs(r[6 + i]) < fabs(r[6 + flat])) flat = i;
  }
  return remainder(atan2(r[3 + flat], r[flat]), M_PI / 2);
}

// Moves towards target (3), at most `speed` of the largest step along each axis. action (3)
static void drive(const mjData* d, const double* target, double speed, float* action) {
  const double* from = us_hand_point(d);
  double want[3], most = 1;
  for (int i = 0; i < 3; i++) {
    want[i] = gain * (target[i] - from[i]) / us_hand_reach;
    most = fmax(most, fabs(want[i]) / speed);
  }
  for (int i = 0; i < 3; i++) action[i] = (float)(want[i] / most);
}

// Turns towards a yaw by its share of the way left.
static void turn_to(const mjData* d, double yaw, float* action) {
  *action = (float)mju_clip(gain * (yaw - us_hand_angle(d)) / us_hand_turn, -1, 1);
}

// ---- reaching ----

static void act_random3(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                        float* action) {
  us_policy_held(rng, memory, 3, action);
}

// memory: age, target (3), speed.
static void act_reach(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                      float* action) {
  double* target = memory + 1;
  if (us_policy_renew(memory, mju_dist3(us_hand_point(d), target), there, 30)) {
    us_hand_draw(rng, us_hand_low[2], us_hand_high[2], target);
    memory[4] = us_rng_range(rng, 0.3, 1);
  }
  drive(d, target, memory[4], action);
  us_policy_noise(rng, 0.2, 3, action);
}

static void act_reach_mix(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                          float* action) {
  (us_policy_choice(rng, memory) == 1 ? act_random3 : act_reach)(m, d, rng, memory + 1, action);
}

const UsPolicy us_arm_reach_policies[] = {
    {"mix", "random or reach, one of them for an episode", act_reach_mix},
    {"random", "uniform actions held for 1 to 7 steps, with noise", act_random3},
    {"reach", "drives to random points of the box, with noise", act_reach},
    {NULL, NULL, NULL},
};

// ---- the cube ----

static void act_random5(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                        float* action) {
  us_policy_held(rng, memory, 5, action);
}

// memory: age, target (3), speed, yaw, opening. Every second target is near the cube, and low.
static void act_play(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  double* target = memory + 1;
  if (us_policy_renew(memory, mju_dist3(us_hand_point(d), target), there, 20)) {
    us_hand_draw(rng, us_hand_low[2], us_hand_high[2], target);
    if (us_rng_below(rng, 2) == 0) {
      for (int i = 0; i < 2; i++) target[i] = cube_point(d)[i] + us_rng_range(rng, -0.08, 0.08);
      target[2] = us_rng_range(rng, us_hand_low[2], 0.07);
    }
    memory[4] = us_rng_range(rng, 0.3, 1);
    memory[5] = us_rng_range(rng, -us_hand_yaw, us_hand_yaw);
    memory[6] = us_rng_range(rng, -1.5, 1.5);
  }
  drive(d, target, memory[4], action);
  turn_to(d, memory[5], action + 3);
  action[4] = (float)memory[6];
  us_policy_noise(rng, 0.2, 5, action);
}

// The expert's stages. A stage ends where its drive arrives or its patience is over; then the next
// begins. What was not grasped is noticed at the end of `lift` and approached again.
typedef enum Stage { kStart, kOver, kDown, kGrasp, kLift, kCarry, kHold, kLower, kOpen } Stage;

static const int patience[] = {0, 25, 12, 3, 15, 25, 0, 15, 3};

// The expert's memory.
typedef struct Expert {
  double noise;      // of its actions, drawn once an episode
  double stage;      // a Stage
  double age;        // env steps of the stage
  double patience;   // after which it ends
  double target[3];  // m
  double yaw;        // rad
  double speed;      // share of the largest step
  double carries;    // targets still to be visited with the cube
} Expert;

// Whether the cube is between the pads.
static int holds(const mjData* d) {
  return mju_dist3(us_hand_point(d), cube_point(d)) < 0.03;
}

// What follows a stage, by what came of it.
static Stage next_stage(const mjData* d, UsRng* rng, Expert* e) {
  switch ((Stage)e->stage) {
    case kLift:
      return holds(d) ? kCarry : kOver;
    case kCarry:
      return holds(d) ? kHold : kOver;
    case kHold:
      e->carries--;
      if (e->carries > 0) return kCarry;
      return us_rng_below(rng, 4) == 0 ? kOpen : kLower;  // now and then it lets the cube drop
    case kOpen:
      return kOver;
    default:
      return (Stage)(e->stage + 1);
  }
}

// Chooses where a stage leads.
static void enter(const mjModel* m, const mjData* d, UsRng* rng, Expert* e, Stage stage) {
  const double* cube = cube_point(d);
  e->stage = stage;
  e->age = 0;
  e->patience = patience[stage];
  e->speed = us_rng_range(rng, 0.5, 1);
  // To the cube, turned as its sides are.
  if (stage == kOver || stage == kDown) {
    mju_copy3(e->target, cube);
    e->yaw = cube_angle(m, d);
  }
  if (stage == kOver) e->target[2] += us_rng_range(rng, 0.06, 0.14);
  // Up, with some places to visit.
  if (stage == kLift) {
    e->target[2] = us_rng_range(rng, 0.06, us_hand_high[2]);
    e->carries = 1 + us_rng_below(rng, 3);
  }
  if (stage == kCarry) {
    us_hand_draw(rng, 0.05, us_hand_high[2], e->target);
    e->yaw = us_rng_range(rng, -us_hand_yaw, us_hand_yaw);
  }
  if (stage == kHold) e->patience = us_rng_below(rng, 4);
  if (stage == kLower) e->target[2] = us_hand_low[2];
}

static void act_expert(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                       float* action) {
  Expert* e = (Expert*)memory;
  if (e->stage == kStart) {
    e->noise = us_rng_range(rng, 0.05, 0.3);
    enter(m, d, rng, e, kOver);
  }
  // Fingers need their time; drives end where they arrive.
  int waits = e->stage == kGrasp || e->stage == kHold || e->stage == kOpen;
  int arrived =
      !waits && mju_dist3(us_hand_point(d), e->target) < (e->stage == kDown ? 0.01 : there);
  if (arrived || e->age >= e->patience) enter(m, d, rng, e, next_stage(d, rng, e));
  e->age++;
  // Above the cube, wherever it has rolled.
  if (e->stage == kOver) mju_copy(e->target, cube_point(d), 2);
  drive(d, e->target, e->speed, action);
  turn_to(d, e->yaw, action + 3);
  action[4] = e->stage >= kGrasp && e->stage != kOpen ? -1 : 1;
  us_policy_noise(rng, e->noise, 5, action);
}

// memory: the choice of this episode, then that policy's own.
static void act_cube_mix(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                         float* action) {
  if (memory[0] == 0) memory[0] = 1 + us_rng_below(rng, 10);
  (memory[0] <= 6   ? act_expert
   : memory[0] <= 9 ? act_play
                    : act_random5)(m, d, rng, memory + 1, action);
}

const UsPolicy us_arm_cube_policies[] = {
    {"mix", "for an episode expert (6 in 10), play (3) or random (1)", act_cube_mix},
    {"random", "uniform actions held for 1 to 7 steps, with noise", act_random5},
    {"play", "drives to random points, half of them at the cube, with any opening", act_play},
    {"expert", "picks, carries and places the cube again and again, with noise", act_expert},
    {NULL, NULL, NULL},
};
