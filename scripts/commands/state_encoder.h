#ifndef UNDERSTUDY_STATE_ENCODER_H_
#define UNDERSTUDY_STATE_ENCODER_H_

// What `--encoder state` is in every command: the positions of the task's simulator, normalised by
// the rows that are given. Velocities have no part in it: no frame shows them.

#include "worldmodel/encoder.h"

// states (rows, state). The task tells positions from velocities, so it has to be known here; path
// stands for the data in messages. On failure *out is NULL.
UsStatus us_state_encoder(const char* path, const char* task, int state, int64_t rows,
                          const double* states, UsEncoder** out);

#endif  // UNDERSTUDY_STATE_ENCODER_H_
