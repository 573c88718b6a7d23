#ifndef UNDERSTUDY_HAND_H_
#define UNDERSTUDY_HAND_H_

// The arm's hand as its tasks drive it: a point between the finger pads that is moved by xyz steps
// (m) with the gripper pointing down, turned about the vertical (yaw, rad), and opened.
//
// A step solves the joints by damped least squares (Buss 2004, "Introduction to inverse kinematics
// with Jacobian transpose, pseudoinverse and damped least squares methods") with the error e (6) of
// position and orientation, the Jacobian J (6, 7), damping l, and a pull z (7) to a rest posture in
// what J leaves free (Liegeois 1977):
//
//   dq = z + J^T (J J^T + l^2 I)^-1 (e - J z)
//
// It starts from the present joints, so nothing but the state decides what a step does.
//
// Position kinematics must be current. Threads: every call works on its arguments alone.

#include <mujoco/mujoco.h>

#include "worldmodel/base/rng.h"

// Places in qpos and in qvel: seven joints, two fingers, then the cube's free joint.
enum { US_HAND_JOINTS = 7, US_HAND_LEFT = 7, US_HAND_RIGHT = 8, US_HAND_CUBE = 9 };

// The box (m) that the point between the pads is kept in, and other limits of a step.
extern const double us_hand_low[3], us_hand_high[3];
extern const double us_hand_reach;    // m an env step along an axis, for an action of 1
extern const double us_hand_turn;     // rad an env step, for an action of 1
extern const double us_hand_yaw;      // rad, largest yaw to either side
extern const double us_hand_opening;  // m between the pads when open

// The point between the pads (3), the yaw, and the distance of the pads.
const double* us_hand_point(const mjData* d);
double us_hand_angle(const mjData* d);
double us_hand_width(const mjData* d);

// A uniform point (3) of the box, its height within [low, high] (m).
void us_hand_draw(UsRng* rng, double low, double high, double* out);

// Where the joints (7) should go so that the point is at `target` (3), clipped to the box, and the
// yaw is `yaw`. out (7), within the joints' ranges.
void us_hand_solve(const mjModel* m, const mjData* d, const double* target, double yaw,
                   double* out);

// Writes the controls of an env step: `step` (3) and `turn` in [-1, 1] of the limits above,
// `opening` -1 for closed to 1 for open.
void us_hand_control(const mjModel* m, mjData* d, const double* step, double turn, double opening);

// Puts the joints at rest with the point at `target` (3), the yaw and the width; kinematics are
// current after it.
void us_hand_put(const mjModel* m, mjData* d, const double* target, double yaw, double width);

#endif  // UNDERSTUDY_HAND_H_
