#ifndef UNDERSTUDY_ANCHOR_H_
#define UNDERSTUDY_ANCHOR_H_

// Targets that give a latent space its metric: the principal components of a frame's blurred
// difference from the mean image of its set, at several scales. Every set counts alike: scales are
// weighed by the deviation that they have in the frame's own set.
//
//   f_s = the features of x - mean at scale s        encoder/blur.h
//   f   = [w_s f_s / deviation(f_s)]                 w = .3, 1, 1, 1
//   z*  = sqrt(D / variance) C (f - mean(f))         C the first D components of f
//
// An autoencoder alone may put two places of a small object anywhere.
//
// Threads: constant after us_anchor_create.

#include <stddef.h>
#include <stdint.h>

#include "worldmodel/autoencoder.h"
#include "worldmodel/base/status.h"

typedef struct UsAnchor UsAnchor;

// Fits scales and components to up to 4096 frames of set (sets), whose mean images are mean (sets,
// height, width, 3). On failure *out is NULL.
UsStatus us_anchor_create(int height, int width, int dim, const UsFrameSet* set,
                          const uint8_t* mean, int sets, UsAnchor** out);

// NULL is fine.
void us_anchor_destroy(UsAnchor* a);

// Floats of scratch memory that us_anchor_target needs for frames of this size.
size_t us_anchor_scratch(int height, int width);

// target (dim), ordinary memory, of a frame (height, width, 3) of set number `set` with this mean
// image.
void us_anchor_target(const UsAnchor* a, int set, const uint8_t* frame, const uint8_t* mean,
                      float* scratch, float* target);

#endif  // UNDERSTUDY_ANCHOR_H_
