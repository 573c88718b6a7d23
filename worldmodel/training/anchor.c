// Features of a frame: its difference from the mean image, blurred (encoder/blur.h). They are
// linear in the frame, so principal components of them are too.

#include "worldmodel/training/anchor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/arena.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/encoder/blur.h"
#include "worldmodel/encoder/principal.h"

enum { kFrames = 4096 };

struct UsAnchor {
  UsArena arena;
  UsBlur* blur;
  int height, width, dim, sets;
  size_t features;
  float* factor;      // (sets, scales) weight / deviation
  float* mean;        // (features)
  float* components;  // (dim, features), scaled to unit average variance of the targets
};

// Measures the arena, or places in it what it was measured for.
static void layout(UsAnchor* a) {
  a->factor = US_TAKE(&a->arena, float, a->sets* US_BLUR_SCALES);
  // What the fit finds: the features' mean and the components.
  a->mean = US_TAKE(&a->arena, float, a->features);
  a->components = US_TAKE(&a->arena, float, a->dim * a->features);
}

size_t us_anchor_scratch(int height, int width) {
  return us_blur_features() + (size_t)height * (size_t)width * 3 + us_blur_scratch(width);
}

// features of one frame of a set, before centring; scratch as us_anchor_scratch without them.
static void read_features(const UsAnchor* a, int set, const uint8_t* frame, const uint8_t* mean,
                          float* scratch, float* features) {
  // What moves: the mean image has what stands still.
  size_t bytes = (size_t)a->height * (size_t)a->width * 3;
  for (size_t i = 0; i < bytes; i++) scratch[i] = ((float)frame[i] - (float)mean[i]) / 255;
  us_blur_read(a->blur, scratch, scratch + bytes, features);
  for (int s = 0; s < US_BLUR_SCALES; s++) {
    for (size_t i = us_blur_scale(s); i > 0; i--) {
      *features++ *= a->factor[set * US_BLUR_SCALES + s];
    }
  }
}

// Makes every scale count by its weight in a set: the deviation of its features over rows x (n).
static void weigh_scales(UsAnchor* a, int set, size_t n, float* x) {
  size_t first = 0;
  for (int s = 0; s < US_BLUR_SCALES; s++) {
    size_t count = us_blur_scale(s);
    double variance = 0;
    // The variance of a scale is the sum over its features.
    for (size_t f = first; f < first + count; f++) {
      double sum = 0, squares = 0;
      for (size_t i = 0; i < n; i++) {
        double v = x[i * a->features + f];
        sum += v;
        squares += v * v;
      }
      variance += squares / (double)n - sum / (double)n * (sum / (double)n);
    }
    // Later frames get the factor as they are read; these rows get it here.
    float factor = variance > 0 ? us_blur_weight[s] / (float)sqrt(variance) : 0;
    a->factor[set * US_BLUR_SCALES + s] = factor;
    for (size_t i = 0; i < n; i++) {
      for (size_t f = first; f < first + count; f++) x[i * a->features + f] *= factor;
    }
    first += count;
  }
}

// Factors of the scales, then the components of the features so weighed.
static UsStatus fit(UsAnchor* a, const UsFrameSet* set, const uint8_t* mean, int sets) {
  size_t each = (size_t)(kFrames / sets), n = each * (size_t)sets;
  size_t bytes = (size_t)a->height * (size_t)a->width * 3;
  float* x = malloc(n * a->features * sizeof(float));
  float* scratch = malloc(us_anchor_scratch(a->height, a->width) * sizeof(float));
  double variance;
  if (!x || !scratch) {
    free(x);
    free(scratch);
    return us_fail(US_MEMORY, "out of memory for the targets of an encoder");
  }
  // Rows x (n, features) of frames spread over the sets.
  UsStatus status = US_OK;
  UsProgress bar = us_progress_start("anchor", "frames", (double)n, 0);
  for (size_t i = 0; status == US_OK && i < n; i++) {
    status = us_progress_step(&bar, (double)i, "the targets of an encoder");
    if (status != US_OK) break;
    size_t s = i / each, at = i % each * (size_t)set[s].count / each;
    read_features(a, (int)s, set[s].frames + at * bytes, mean + s * bytes, scratch,
                  x + i * a->features);
  }
  us_progress_end(&bar);
  for (int i = 0; status == US_OK && i < sets; i++) {
    weigh_scales(a, i, each, x + (size_t)i * each * a->features);
  }
  if (status == US_OK) {
    status = us_principal((int)n, a->features, x, a->dim, a->mean, a->components, &variance);
  }
  // Targets get a deviation of 1 on the average, as a latent has.
  if (status == US_OK) {
    float scale = variance > 0 ? (float)sqrt(a->dim / variance) : 0;
    for (size_t i = 0; i < (size_t)a->dim * a->features; i++) a->components[i] *= scale;
  }
  free(x);
  free(scratch);
  return status;
}

UsStatus us_anchor_create(int height, int width, int dim, const UsFrameSet* set,
                          const uint8_t* mean, int sets, UsAnchor** out) {
  *out = NULL;
  UsAnchor* a = calloc(1, sizeof(UsAnchor));
  if (!a) return us_fail(US_MEMORY, "out of memory for the targets of an encoder");
  a->height = height;
  a->width = width;
  a->dim = dim;
  a->sets = sets;
  UsStatus status = us_blur_create(height, width, &a->blur);
  if (status == US_OK) {
    // One block of memory, measured and placed.
    a->features = us_blur_features();
    layout(a);
    status = us_arena_alloc(&a->arena);
  }
  if (status == US_OK && (size_t)dim > a->features) {
    status =
        us_fail(US_USAGE, "expected a vector of at most %zu numbers, found %d", a->features, dim);
  }
  if (status == US_OK) {
    layout(a);
    // The fit reads features with factors of 1 first.
    for (int i = 0; i < sets * US_BLUR_SCALES; i++) a->factor[i] = 1;
    status = fit(a, set, mean, sets);
  }
  if (status == US_OK) *out = a;
  if (status != US_OK) us_anchor_destroy(a);
  return status;
}

void us_anchor_destroy(UsAnchor* a) {
  if (!a) return;
  us_blur_destroy(a->blur);
  us_arena_free(&a->arena);
  free(a);
}

void us_anchor_target(const UsAnchor* a, int set, const uint8_t* frame, const uint8_t* mean,
                      float* scratch, float* target) {
  float* features = scratch;
  // Features around their mean, then one product with every component.
  read_features(a, set, frame, mean, scratch + a->features, features);
  for (size_t f = 0; f < a->features; f++) features[f] -= a->mean[f];
  for (int d = 0; d < a->dim; d++) {
    const float* c = a->components + (size_t)d * a->features;
    double sum = 0;
    for (size_t f = 0; f < a->features; f++) sum += (double)c[f] * features[f];
    target[d] = (float)sum;
  }
}
