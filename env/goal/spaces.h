#ifndef UNDERSTUDY_SPACES_H_
#define UNDERSTUDY_SPACES_H_

// The spaces that kinds of env share.

#include <math.h>

#include "env/env.h"

// A space of the given shape; size: bytes of a number.
UsSpace us_space(const char* dtype, size_t size, int rank, int a, int b, int c, double low,
                 double high);

// Frames and latents, of the sizes that an env says of itself.
UsSpace us_space_frame(const UsEnvInfo* i);
UsSpace us_space_latent(const UsEnvInfo* i);

#endif  // UNDERSTUDY_SPACES_H_
