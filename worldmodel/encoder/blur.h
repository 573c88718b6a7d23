#ifndef UNDERSTUDY_BLUR_H_
#define UNDERSTUDY_BLUR_H_

// A frame blurred by Gaussians of four widths and read at a few points each:
//
//   f_s = subsample_s(gauss_s * x)    s = 1 .. 4, sigma = side / 16, 1/8, 1/4, 3/8
//
// Beyond the size of a small object all places are equally far apart in its pixels, and a planner
// that follows the distance is blind. Blurred frames overlap over long ways, so distances grow with
// the way that something moved: a wide blur gives the trend, a narrow one the place.
//
// Threads: constant after us_blur_create.

#include <stddef.h>

#include "worldmodel/base/status.h"

enum { US_BLUR_SCALES = 4 };

// How much a scale counts, once all have the same deviation.
extern const float us_blur_weight[US_BLUR_SCALES];

typedef struct UsBlur UsBlur;

// For frames of height x width px. On failure *out is NULL.
UsStatus us_blur_create(int height, int width, UsBlur** out);

// NULL is fine.
void us_blur_destroy(UsBlur* b);

// Numbers of scale s, points x points x 3; of all scales.
size_t us_blur_scale(int s);
size_t us_blur_features(void);

// Floats of scratch memory that us_blur_read needs for frames of this width.
size_t us_blur_scratch(int width);

// features (F), scale by scale, of x (height, width, 3).
void us_blur_read(const UsBlur* b, const float* x, float* scratch, float* features);

// The image whose product with a frame is that of row (F) with its features: image (height, width,
// 3).
void us_blur_filter(const UsBlur* b, const float* row, float* image);

#endif  // UNDERSTUDY_BLUR_H_
