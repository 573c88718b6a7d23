#ifndef UNDERSTUDY_PLANAR_H_
#define UNDERSTUDY_PLANAR_H_

// What tasks share whose robot is a disc in the plane: joints 0 and 1 are its x and y (m).
// Functions of a task's table, see env/task.h.
//
// Threads: every call works on its arguments alone.

#include "env/task.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

// proprio (4): x, y, their velocities.
US_API void us_planar_proprio(const mjModel* m, const mjData* d, float* out);

// measure (2): x, y.
US_API void us_planar_measure(const mjModel* m, const mjData* d, double* out);

// The straight way between two measures, m.
US_API double us_planar_distance(const mjModel* m, const double* a, const double* goal);

// The radius of the disc, the first geom of its body, m.
US_API double us_planar_radius(const mjModel* m);

// Its factor of variation: `size`, that radius.
extern US_API const UsFactor us_planar_factors[];

// Sets the policy's action (2) to a velocity of `speed` (of full speed, along the faster axis) from
// `from` (2) to `to` (2), slower within `near` m.
US_API void us_planar_drive(const double* from, const double* to, double speed, double near,
                            float* action);

US_C_END

#endif  // UNDERSTUDY_PLANAR_H_
