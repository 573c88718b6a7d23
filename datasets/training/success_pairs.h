#ifndef UNDERSTUDY_SUCCESS_PAIRS_H_
#define UNDERSTUDY_SUCCESS_PAIRS_H_

// What a success head is fitted to: pairs of rows of trajectories, and whether the first counts as
// solved for the second by the rule of the task.
//
// Half the pairs of training are solved ones: rows near in time, or one of a few random rows that
// is solved. The others are random rows, rows of the same episode, and the nearest of a few random
// rows that is not solved. Held-back pairs are as episodes meet them: a random row, and as its goal
// a row of the same episode or, every second time, of any, all held back.

#include "datasets/training/training_job.h"

// Fits a head in so many steps for a model of the job's first dataset, whose latents are normalised
// as `world` does. Where the task is not known here, or its rule tells no pairs apart, *out is
// NULL, and a line of us_log says why.
UsStatus us_training_success(const UsTrainingJob* j, const UsWorldModel* world, int steps,
                             UsSuccessHead** out);

#endif  // UNDERSTUDY_SUCCESS_PAIRS_H_
