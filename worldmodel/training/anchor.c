// Features of a frame: its difference from the mean image, blurred by Gaussians of four widths and
// read at a few points each. They are linear in the frame, so principal components of them are too.

#include "worldmodel/training/anchor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/base/arena.h"
#include "worldmodel/encoder/principal.h"

enum { kScales = 4, kFrames = 4096 };

// One width of the blur: matrices that blur and pick points at once.
typedef struct Scale {
  int points;     // of a side
  float* down;    // (points, height): blur and subsample along a column
  float* across;  // (points, width)
  float* factor;  // (sets) weight / deviation
} Scale;

struct UsAnchor {
  UsArena arena;
  int height, width, dim, sets;
  size_t features;
  Scale scale[kScales];
  float* mean;        // (features)
  float* components;  // (dim, features), scaled to unit average variance of the targets
};

// The wide blurs give the way that something moved, the narrow ones its place.
static const double sigma_of[kScales] = {1 / 16.0, 1 / 8.0, 1 / 4.0, 3 / 8.0};  // of the side
static const int points_of[kScales] = {16, 8, 4, 4};
static const float weight_of[kScales] = {0.3f, 1, 1, 1};

// Measures the arena, or places in it what it was measured for.
static void layout(UsAnchor* a) {
  a->features = 0;
  for (int s = 0; s < kScales; s++) {
    Scale* c = &a->scale[s];
    c->points = points_of[s];
    c->down = US_TAKE(&a->arena, float, c->points * a->height);
    c->across = US_TAKE(&a->arena, float, c->points * a->width);
    c->factor = US_TAKE(&a->arena, float, a->sets);
    a->features += (size_t)(c->points * c->points * 3);
  }
  // What the fit finds: the features' mean and the components.
  a->mean = US_TAKE(&a->arena, float, a->features);
  a->components = US_TAKE(&a->arena, float, a->dim * a->features);
}

// weights (points, size) of a Gaussian around each of the evenly spread points.
static void gauss(int points, int size, double sigma, float* weights) {
  for (int i = 0; i < points; i++) {
    double centre = (i + 0.5) * size / points - 0.5, sum = 0;
    float* row = weights + i * size;
    for (int x = 0; x < size; x++) {
      double u = (x - centre) / sigma;
      row[x] = (float)exp(-0.5 * u * u);
      sum += row[x];
    }
    for (int x = 0; x < size; x++) row[x] = (float)(row[x] / sum);
  }
}

size_t us_anchor_scratch(int height, int width) {
  size_t points = 0, line = (size_t)width * 3;
  for (int s = 0; s < kScales; s++) points += (size_t)(points_of[s] * points_of[s]);
  return points * 3 + line + (size_t)height * line;
}

// features of one frame of a set, before centring; scratch as us_anchor_scratch without them.
static void read_features(const UsAnchor* a, int set, const uint8_t* frame, const uint8_t* mean,
                          float* scratch, float* features) {
  int line = a->width * 3;
  // Scratch: the difference image, then one line of it.
  float* difference = scratch;              // (height, width, 3)
  float* row = scratch + a->height * line;  // (width, 3)
  // What moves: the mean image has what stands still.
  for (int i = 0; i < a->height * line; i++) {
    difference[i] = ((float)frame[i] - (float)mean[i]) / 255;
  }
  for (int s = 0; s < kScales; s++) {
    const Scale* c = &a->scale[s];
    // A Gaussian falls apart into columns and lines: first one line of points down the image ...
    for (int i = 0; i < c->points; i++) {
      memset(row, 0, (size_t)line * sizeof(float));
      for (int y = 0; y < a->height; y++) {
        float w = c->down[i * a->height + y];
        if (w < 1e-6f) continue;
        for (int x = 0; x < line; x++) row[x] += w * difference[y * line + x];
      }
      // ... then the points along that line, channel by channel.
      for (int j = 0; j < c->points; j++) {
        float sum[3] = {0, 0, 0};
        for (int x = 0; x < a->width; x++) {
          float w = c->across[j * a->width + x];
          for (int k = 0; k < 3; k++) sum[k] += w * row[x * 3 + k];
        }
        for (int k = 0; k < 3; k++) *features++ = c->factor[set] * sum[k];
      }
    }
  }
}

// Makes every scale count by its weight in a set: the deviation of its features over rows x (n).
static void weigh_scales(UsAnchor* a, int set, size_t n, float* x) {
  size_t first = 0;
  for (int s = 0; s < kScales; s++) {
    size_t count = (size_t)(a->scale[s].points * a->scale[s].points * 3);
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
    float factor = variance > 0 ? weight_of[s] / (float)sqrt(variance) : 0;
    a->scale[s].factor[set] = factor;
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
  // One block of memory, measured and placed.
  layout(a);
  UsStatus status = us_arena_alloc(&a->arena);
  if (status == US_OK && (size_t)dim > a->features) {
    status =
        us_fail(US_USAGE, "expected a vector of at most %zu numbers, found %d", a->features, dim);
  }
  if (status == US_OK) {
    layout(a);
    // The Gaussians depend on the size alone; the fit needs them, with factors of 1 at first.
    for (int s = 0; s < kScales; s++) {
      gauss(points_of[s], height, sigma_of[s] * height, a->scale[s].down);
      gauss(points_of[s], width, sigma_of[s] * width, a->scale[s].across);
      for (int i = 0; i < sets; i++) a->scale[s].factor[i] = 1;
    }
    status = fit(a, set, mean, sets);
  }
  if (status == US_OK) *out = a;
  if (status != US_OK) us_anchor_destroy(a);
  return status;
}

void us_anchor_destroy(UsAnchor* a) {
  if (!a) return;
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
