#ifndef UNDERSTUDY_ENCODER_SOURCE_H_
#define UNDERSTUDY_ENCODER_SOURCE_H_

// What the encoder jobs share.

#include "datasets/dataset_info.h"
#include "env/env.h"
#include "worldmodel/encoder.h"

enum {
  US_MADE_DIM = 64
};  // numbers of a latent of the kinds that are made, where they have a choice

// Opens the simulator of a task for its names; *out is NULL when the task is not among `tasks`.
UsStatus us_known_sim(const char* task, const struct UsTask* const* tasks, UsEnv** out);

// Leading numbers of a task's state that are positions; 0: the task is not among `tasks`.
int us_known_positions(const char* task, const struct UsTask* const* tasks);

// Whether the rows of a dataset are what an encoder reads; path stands for it in messages.
UsStatus us_encoder_fits(const UsEncoderInfo* e, const char* path, const UsDatasetInfo* info);

#endif  // UNDERSTUDY_ENCODER_SOURCE_H_
