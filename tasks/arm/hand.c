// The hand's pose, and the joints for a pose: damped least squares with a pull to the rest pose in
// what the pose leaves free.

#include "tasks/arm/hand.h"

#include <math.h>

enum { J = US_HAND_JOINTS, E = 6, SOLVES = 60 };
enum { GRIP = 1 };  // the site of the point between the pads

const double us_hand_low[3] = {0.30, -0.22, 0.025};
const double us_hand_high[3] = {0.62, 0.22, 0.30};
const double us_hand_reach = 0.035;
const double us_hand_turn = 0.25;
const double us_hand_yaw = 1.0;
const double us_hand_opening = 0.09;

static const double rest[J] = {0, 0.25, 0, 1.75, 0, 1.14, 0};
static const double damping = 0.03, pull = 0.1;

const double* us_hand_point(const mjData* d) {
  return d->site_xpos + 3 * GRIP;
}

// The hand's x axis seen from above: with the gripper down, a yaw of 0 has it along +x.
double us_hand_angle(const mjData* d) {
  const double* r = d->site_xmat + 9 * GRIP;
  return atan2(r[3], r[0]);
}

double us_hand_width(const mjData* d) {
  return d->qpos[US_HAND_LEFT] + d->qpos[US_HAND_RIGHT];
}

void us_hand_draw(UsRng* rng, double low, double high, double* out) {
  for (int i = 0; i < 2; i++) out[i] = us_rng_range(rng, us_hand_low[i], us_hand_high[i]);
  out[2] = us_rng_range(rng, low, high);
}

void us_hand_solve(const mjModel* m, const mjData* d, const double* target, double yaw,
                   double* out) {
  // What is left to the target, within the box that the hand stays in.
  double error[E], jac[E * J], square[E * E], z[J], free[E], x[E];
  for (int i = 0; i < 3; i++) {
    error[i] = mju_clip(target[i], us_hand_low[i], us_hand_high[i]) - us_hand_point(d)[i];
  }
  // The rotation vector that turns the hand to point down at `yaw`.
  const double half = mju_clip(yaw, -us_hand_yaw, us_hand_yaw) / 2;
  const double down[4] = {0, cos(half), sin(half), 0};
  double now[4], back[4], turn[4];
  mju_mat2Quat(now, d->site_xmat + 9 * GRIP);
  mju_negQuat(back, now);
  mju_mulQuat(turn, down, back);
  mju_quat2Vel(error + 3, turn, 1);
  // Columns of J: hinge j moves the point by axis x (point - anchor) and turns it about the axis.
  for (int j = 0; j < J; j++) {
    const double* axis = d->xaxis + 3 * j;
    double arm[3], move[3];
    mju_sub3(arm, us_hand_point(d), d->xanchor + 3 * j);
    mju_cross(move, axis, arm);
    for (int i = 0; i < 3; i++) {
      jac[i * J + j] = move[i];
      jac[(3 + i) * J + j] = axis[i];
    }
  }
  // The pull, and what of it the pose would feel.
  for (int j = 0; j < J; j++) z[j] = pull * (rest[j] - d->qpos[j]);
  mju_mulMatVec(free, jac, z, E, J);
  mju_subFrom(error, free, E);
  // (J J' + damping^2) x = error; the step is J' x.
  mju_mulMatMatT(square, jac, jac, E, J, E);
  for (int i = 0; i < E; i++) square[i * (E + 1)] += damping * damping;
  mju_cholFactor(square, E, 0);
  mju_cholSolve(x, square, error, E);
  mju_mulMatTVec(out, jac, x, E, J);
  // Joints stay within their limits.
  for (int j = 0; j < J; j++) {
    out[j] = mju_clip(d->qpos[j] + z[j] + out[j], m->jnt_range[2 * j], m->jnt_range[2 * j + 1]);
  }
}

void us_hand_control(const mjModel* m, mjData* d, const double* step, double turn, double opening) {
  double target[3];
  mju_addScl3(target, us_hand_point(d), step, us_hand_reach);
  us_hand_solve(m, d, target, us_hand_angle(d) + us_hand_turn * turn, d->ctrl);
  d->ctrl[US_HAND_LEFT] = d->ctrl[US_HAND_RIGHT] = us_hand_opening * (opening + 1) / 4;
}

// Solved again and again, as one step is a linear one.
void us_hand_put(const mjModel* m, mjData* d, const double* target, double yaw, double width) {
  double q[J];
  mju_copy(d->qpos, rest, J);
  d->qpos[US_HAND_LEFT] = d->qpos[US_HAND_RIGHT] = width / 2;
  for (int i = 0; i < SOLVES; i++) {
    mj_kinematics(m, d);
    us_hand_solve(m, d, target, yaw, q);
    mju_copy(d->qpos, q, J);
  }
  mj_kinematics(m, d);
}
