// Which stage of a training with film is kept. Few trajectories are held back, and the error of one
// differs more from that of the next than stages do, so stages are compared on the same windows of
// each: of held-back trajectory e, with the open-loop error of a stage and of the first choice,
//
//   d_e = log(error_e / error of the first_e)
//   better: mean d + 2 sd(d) / sqrt(n) < 0, n >= 3, or mean d < log 0.8, n >= 2,
//           over the n trajectories that are long enough
//
// The first choice is the one to be kept unless another is better: the stage without the film where
// its labels are bad. Of several better ones the least mean is kept. Two trajectories have an
// interval as wide or narrow as it happens; a fifth is more than few have been seen to be wrong by.

#include <math.h>

#include "datasets/training/training_job.h"
#include "worldmodel/base/progress.h"

static const double clear = 0.8;  // a ratio of errors

UsStatus us_training_film_judge(UsTrainingJob* j, double* error) {
  UsTrainingData* d = &j->data;
  UsSampler* all = d->held[0];
  int64_t count = us_training_held(d, 0);
  UsStatus status = US_OK;
  // The trainer's own validation, of one trajectory after the other.
  for (int64_t e = 0; e < count && status == US_OK; e++) {
    const UsSamplerConfig config = {.seed = j->c.seed,
                                    .use = US_SAMPLE_HELD,
                                    .frames = us_predictor_config(j->p)->context + j->train.horizon,
                                    .block = d->block,
                                    .first = d->trained[0] + e,
                                    .episodes = 1};
    error[e] = NAN;
    status = us_sampler_create(d->data[0], d->features[0], &config, &d->held[0]);
    if (status == US_OK) {
      error[e] = us_trainer_validate(j->t).open_loop;
      us_sampler_destroy(d->held[0]);
      status = us_interrupt_check(j->c.out);
    } else if (status == US_FORMAT) {
      status = US_OK;  // too short for a window
    }
  }
  d->held[0] = all;
  return status;
}

// How the errors of a stage compare with those of the first.
static UsStageGain compare(int64_t episodes, const double* error, const double* first) {
  double sum = 0, squares = 0;
  int n = 0;
  for (int64_t e = 0; e < episodes; e++) {
    double d = log(error[e] / first[e]);
    if (!isfinite(d)) continue;
    sum += d, squares += d * d;
    n++;
  }
  if (n < 2) return (UsStageGain){NAN, NAN, NAN, n};
  double mean = sum / n, variance = fmax(squares - n * mean * mean, 0) / (n - 1);
  double wide = 2 * sqrt(variance / n);
  return (UsStageGain){exp(mean), exp(mean - wide), exp(mean + wide), n};
}

int us_training_film_choose(int stages, int first, int64_t episodes, const double* const* error,
                            UsStageGain* gain) {
  int best = first;
  for (int i = 0; i < stages; i++) {
    gain[i] = compare(episodes, error[i], error[first]);
    int better = (gain[i].high < 1 && gain[i].trajectories > 2) || gain[i].ratio < clear;
    if (better && (best == first || gain[i].ratio < gain[best].ratio)) best = i;
  }
  return best;
}
