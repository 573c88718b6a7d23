#ifndef UNDERSTUDY_FACTORS_H_
#define UNDERSTUDY_FACTORS_H_

// The general factors of variation, which every task has as far as its scene has something that
// they can change, and what tasks need to write factors of their own. See UsFactor.
//
//   light_level, light_warmth   brightness and colour of the headlight and all lights
//   light_angle                 tilt of directional lights and spots
//   colour_object               hue of everything that moves
//   colour_ground               hue and tint of everything that does not
//   camera_x, camera_y          shift of the picture, in shares of its height
//   camera_roll, camera_zoom    rotation about the line of sight, and field of view
//   friction                    of contacts, and dry friction of joints
//   damping                     of joints and tendons
//   mass                        mass and inertia of what moves
//   strength                    gain of actuators, servos, motors and muscles; not of those that a
//                               plugin or a callback computes, nor a force that is itself a control
//
// Threads: every call works on its arguments alone.

#include "env/task.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

// Ends with a NULL name.
extern US_API const UsFactor us_factors[];

// Scales all geoms of a body by `scale` > 0, in place and with their mass as it was: the radii of
// spheres and ellipsoids, the radius of capsules and cylinders, the sides of boxes along x and y.
// For physical factors: the bounds that collisions go by are made anew after those.
US_API void us_factor_resize(mjModel* m, const char* body, double scale);

US_C_END

#endif  // UNDERSTUDY_FACTORS_H_
