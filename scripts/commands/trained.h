#ifndef UNDERSTUDY_TRAINED_H_
#define UNDERSTUDY_TRAINED_H_

// The last word of `pretrain` and `finetune`: the curve and a line on how it went.

#include "datasets/training_jobs.h"

// Draws loss.svg in the folder of a job that is done and prints how it went, or its failure.
// Returns the exit code.
int us_cli_trained(const char* command, const char* out, UsStatus status, const UsTrainResult* r);

#endif  // UNDERSTUDY_TRAINED_H_
