#ifndef UNDERSTUDY_POLICIES_H_
#define UNDERSTUDY_POLICIES_H_

// Parts of behaviour policies that several tasks share. See UsPolicy for rng and memory; each
// function says how much of the memory it uses.
//
// Threads: every call works on its arguments alone.

#include "env/task.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

// Uniform actions held for 1 to 7 env steps, plus normal noise of 0.2, clipped to [-1, 1].
// memory (1 + n), action (n).
US_API void us_policy_held(UsRng* rng, double* memory, int n, float* action);

// Actions that drift: a walk of deviation 1 that forgets in 10 env steps, clipped to [-1, 1].
// memory (n), action (n).
US_API void us_policy_drift(UsRng* rng, double* memory, int n, float* action);

// us_policy_held as a policy of a task with one control a number of its action.
US_API void us_policy_random(const mjModel* m, const mjData* d, UsRng* rng, double* memory,
                             float* action);

// 1 or 2 for the whole episode, drawn with equal chances at its first step. memory (1).
US_API int us_policy_choice(UsRng* rng, double* memory);

// A drive to random targets: whether it is time for a new one, because `memory` is fresh, the
// target is reached (distance below `radius`) or `patience` env steps are over. memory (1) counts.
US_API int us_policy_renew(double* memory, double distance, double radius, int patience);

// Adds normal noise of `noise` and clips to [-1, 1]. action (n).
US_API void us_policy_noise(UsRng* rng, double noise, int n, float* action);

// Whether the segment from a (2) to b (2) touches the rectangle low (2) .. high (2).
US_API int us_segment_hits(const double* a, const double* b, const double* low, const double* high);

US_C_END

#endif  // UNDERSTUDY_POLICIES_H_
