#include "worldmodel/encoder/blur.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/arena.h"

// One width of the blur: matrices that blur and pick points at once.
typedef struct Scale {
  int points;     // of a side
  float* down;    // (points, height): blur and subsample along a column
  float* across;  // (points, width)
} Scale;

struct UsBlur {
  UsArena arena;
  int height, width;
  Scale scale[US_BLUR_SCALES];
};

static const double sigma_of[US_BLUR_SCALES] = {1 / 16.0, 1 / 8.0, 1 / 4.0, 3 / 8.0};  // of a side
static const int points_of[US_BLUR_SCALES] = {16, 8, 4, 4};
const float us_blur_weight[US_BLUR_SCALES] = {0.3f, 1, 1, 1};

// Measures the arena, or places in it what it was measured for.
static void layout(UsBlur* b) {
  for (int s = 0; s < US_BLUR_SCALES; s++) {
    Scale* c = &b->scale[s];
    c->points = points_of[s];
    c->down = US_TAKE(&b->arena, float, c->points * b->height);
    c->across = US_TAKE(&b->arena, float, c->points * b->width);
  }
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

UsStatus us_blur_create(int height, int width, UsBlur** out) {
  *out = NULL;
  UsBlur* b = calloc(1, sizeof(UsBlur));
  if (!b) return us_fail(US_MEMORY, "out of memory for blurred frames");
  b->height = height;
  b->width = width;
  // One block of memory, measured and placed.
  layout(b);
  UsStatus status = us_arena_alloc(&b->arena);
  if (status != US_OK) {
    us_blur_destroy(b);
    return status;
  }
  layout(b);
  for (int s = 0; s < US_BLUR_SCALES; s++) {
    gauss(points_of[s], height, sigma_of[s] * height, b->scale[s].down);
    gauss(points_of[s], width, sigma_of[s] * width, b->scale[s].across);
  }
  *out = b;
  return US_OK;
}

void us_blur_destroy(UsBlur* b) {
  if (!b) return;
  us_arena_free(&b->arena);
  free(b);
}

size_t us_blur_scale(int s) {
  return (size_t)(points_of[s] * points_of[s] * 3);
}

size_t us_blur_features(void) {
  size_t all = 0;
  for (int s = 0; s < US_BLUR_SCALES; s++) all += us_blur_scale(s);
  return all;
}

size_t us_blur_scratch(int width) {
  return (size_t)width * 3;
}

void us_blur_read(const UsBlur* b, const float* x, float* scratch, float* features) {
  int line = b->width * 3;
  for (int s = 0; s < US_BLUR_SCALES; s++) {
    const Scale* c = &b->scale[s];
    // A Gaussian falls apart into columns and lines: first one line of points down the image ...
    for (int i = 0; i < c->points; i++) {
      memset(scratch, 0, (size_t)line * sizeof(float));
      for (int y = 0; y < b->height; y++) {
        float w = c->down[i * b->height + y];
        if (w < 1e-6f) continue;
        for (int k = 0; k < line; k++) scratch[k] += w * x[y * line + k];
      }
      // ... then the points along that line, channel by channel.
      for (int j = 0; j < c->points; j++) {
        float sum[3] = {0, 0, 0};
        for (int k = 0; k < b->width; k++) {
          float w = c->across[j * b->width + k];
          for (int ch = 0; ch < 3; ch++) sum[ch] += w * scratch[k * 3 + ch];
        }
        for (int ch = 0; ch < 3; ch++) *features++ = sum[ch];
      }
    }
  }
}

void us_blur_filter(const UsBlur* b, const float* row, float* image) {
  int line = b->width * 3;
  memset(image, 0, (size_t)(b->height * line) * sizeof(float));
  for (int s = 0; s < US_BLUR_SCALES; s++) {
    const Scale* c = &b->scale[s];
    for (int i = 0; i < c->points; i++) {
      for (int k = 0; k < line; k++) {
        float sum = 0;
        for (int j = 0; j < c->points; j++) {
          sum += c->across[j * b->width + k / 3] * row[(i * c->points + j) * 3 + k % 3];
        }
        for (int y = 0; y < b->height; y++) image[y * line + k] += c->down[i * b->height + y] * sum;
      }
    }
    row += us_blur_scale(s);
  }
}
