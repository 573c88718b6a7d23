#ifndef UNDERSTUDY_PUSH_H_
#define UNDERSTUDY_PUSH_H_

// Pushes with a plate, the action of tasks about many small things on a table. One action is one
// push from a start to an end point, (x0, y0, x1, y1) in units of US_PUSH_REACH m, and fills an env
// step: the plate is lifted, set down across the way at the start point, or at the first free
// place behind it, driven to the end point, and rests there.
//
// A scene has a geom "plate", a capsule along the y axis of its body, on which the model's last
// four joints are plate_x, plate_y, plate_turn and plate_stroke, the last along the x axis of the
// body, driven by an actuator of the same name whose ctrl is the stroke (m).
//
// Threads: every call works on its arguments alone.

#include "env/task.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

#define US_PUSH_REACH 0.9  // m, on each axis

enum { US_PUSH_ACTION = 4, US_PUSH_PROPRIO = 4 };

// Sets the plate down and starts the push. The footprint stays `clearance` m between the axis of
// the plate and each of points (n, 2) m, which stand for the things on the table. action (4)
US_API void us_push_start(const mjModel* m, mjData* d, const float* action, int n,
                          const double* points, double clearance);

// Sets the plate down like that anywhere, for a start state: a push of no length.
US_API void us_push_rest(const mjModel* m, mjData* d, UsRng* rng, int n, const double* points,
                         double clearance);

// The plate's place (m) and the cosine and sine of its heading: out (4).
US_API void us_push_proprio(const mjModel* m, const mjData* d, float* out);

// Chamfer distance (m) of two sets of points a (n, 2) and b (n, 2): half the sum of the mean
// distance from a point of a to the nearest of b and that from a point of b to the nearest of a.
US_API double us_push_chamfer(int n, const double* a, const double* b);

// A useful push for points (n, 2) m, with noise: through one of them, from an outer one to the
// middle, from the middle over one of them or, now and then, anywhere. action (4)
US_API void us_push_useful(UsRng* rng, int n, const double* points, float* action);

// From the outermost points to the middle, with noise. points (n, 2) m, action (4)
US_API void us_push_inwards(UsRng* rng, int n, const double* points, float* action);

// A push between two uniform points, also as a policy. action (4)
US_API void us_push_anywhere(UsRng* rng, float* action);
US_API void us_push_random(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                           float* action);

US_C_END

#endif  // UNDERSTUDY_PUSH_H_
