#ifndef UNDERSTUDY_MJCF_START_H_
#define UNDERSTUDY_MJCF_START_H_

// Where episodes of an MJCF task begin, and the scales that joints are measured by. For mjcf.c.

#include <mujoco/mujoco.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/rng.h"

US_C_BEGIN

// What the file sets itself as <custom><numeric>, or else `otherwise`.
US_API double us_mjcf_custom(const mjModel* m, const char* name, double otherwise);

// The scale of a slide (m) or hinge (rad).
US_API double us_mjcf_scale(const mjModel* m, int joint);

// Moves d, which is at the model's start, to a start of an episode, as mjcf.h says. Where equality
// constraints hold joints or bodies together, these hold afterwards as well as at the start.
US_API void us_mjcf_reset(const mjModel* m, mjData* d, UsRng* rng);

US_C_END

#endif  // UNDERSTUDY_MJCF_START_H_
