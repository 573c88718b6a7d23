#ifndef UNDERSTUDY_MJCF_MEASURE_H_
#define UNDERSTUDY_MJCF_MEASURE_H_

// What a goal of an MJCF task is about: all joints, or the joints and bodies that the custom text
// understudy_measure names; and how far two such measures are apart. For mjcf.c.
//
// Threads: every call works on its arguments alone.

#include <mujoco/mujoco.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

// The custom number that holds what the names mean: a joint's number, or -1 - a body's.
#define US_MJCF_MEASURED "understudy_measured"

// Names in understudy_measure; 0: all joints are measured.
US_API int us_mjcf_measure_names(const mjModel* m);

// Looks the names up and fills the room for them. Those that the model does not have are US_USAGE
// with those that it has.
US_API UsStatus us_mjcf_measure_fill(const char* path, mjModel* m);

// M, and the work of a task's functions, see task.h.
US_API int us_mjcf_measure_size(const mjModel* m);
US_API void us_mjcf_measure_read(const mjModel* m, const mjData* d, double* out);
US_API double us_mjcf_distance(const mjModel* m, const double* a, const double* goal);
US_API int us_mjcf_success(const mjModel* m, const double* a, const double* goal);

// The threshold of success, as a share of the scales.
US_API double us_mjcf_radius(const mjModel* m);

US_C_END

#endif  // UNDERSTUDY_MJCF_MEASURE_H_
