#ifndef UNDERSTUDY_SIM_H_
#define UNDERSTUDY_SIM_H_

// What only a simulator env (`sim:<task>`) can do, beyond env.h: behaviour policies, measures and
// the compiled model. Same thread rule as env.h.

#include "env/env.h"
#include "env/task.h"

// The task of a simulator env.
const UsTask* us_sim_task(const UsEnv* e);

// The compiled model, owned by the env.
const mjModel* us_sim_model(const UsEnv* e);

// Asks a behaviour policy of the task for the next env step's action of every slot. policy is its
// index; steps (N) counts env steps since the slot's reset and names the random stream together
// with the slot's reset seed; actions (N, A).
void us_sim_policy(UsEnv* e, int policy, const int* steps, float* actions);

// The measures (n, M) of states (n, S), computed outside any slot.
void us_sim_measure(UsEnv* e, int n, const double* states, double* measures);

#endif  // UNDERSTUDY_SIM_H_
