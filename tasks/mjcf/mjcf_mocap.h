#ifndef UNDERSTUDY_MJCF_MOCAP_H_
#define UNDERSTUDY_MJCF_MOCAP_H_

// Bodies of motion capture as actions. Of those that a weld or connect constraint ties to another
// body, an env step first brings each to where the constraint holds, so that it is no state of its
// own, and then to where it holds once the other body has moved: 3 numbers of an action are that
// body's way, which is at most 0.05 m long, and of a weld 3 more turn it about an axis by at most
// 0.2 rad. It turns about the constraint's site in it, or else its own origin, which stays in the
// box that its joints reach. The body of motion capture is not drawn. For mjcf.c.
//
// Threads: every call works on its arguments alone.

#include <mujoco/mujoco.h>

#include "worldmodel/base/api.h"

US_C_BEGIN

// The custom number that holds US_MOCAP_ROOM numbers of each: its constraint, its box.
#define US_MJCF_MOCAP "understudy_mocap"
enum { US_MOCAP_ROOM = 7 };
#define US_MOCAP_STEP 0.05  // m an env step at most
#define US_MOCAP_TURN 0.2   // rad

// How many there are in a compiled model, by its constraints; what us_mjcf_mocap_count finds once
// the model has the room.
US_API int us_mjcf_mocap_find(const mjModel* m);

// Fills the room, and hides the bodies. May raise an error of MuJoCo.
US_API void us_mjcf_mocap_fill(mjModel* m);

US_API int us_mjcf_mocap_count(const mjModel* m);

// The body that mocap body i (of us_mjcf_mocap_count) drives, its constraint, and how many numbers
// of an action are its.
US_API int us_mjcf_mocap_body(const mjModel* m, int i);
US_API int us_mjcf_mocap_equality(const mjModel* m, int i);
US_API int us_mjcf_mocap_actions(const mjModel* m, int i);

// Moves them by an action, whose position kinematics are current.
US_API void us_mjcf_mocap_control(const mjModel* m, mjData* d, double gain, const float* action);

// Whether a constraint is one of theirs.
US_API int us_mjcf_mocap_has(const mjModel* m, int equality);

US_C_END

#endif  // UNDERSTUDY_MJCF_MOCAP_H_
