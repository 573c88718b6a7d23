// Resampling, axis by axis: with n numbers along an axis that become m, s = n / m,
//
//   s >= 1  out_i = 1/s  sum_j in_j |[i s, (i + 1) s) n [j, j + 1)|       means over areas
//   s < 1   out_i = (1 - f) in_j + f in_{j+1},  j + f = (i + 1/2) s - 1/2  linear in between
//
// where numbers beyond the ends are those at the ends. An axis that keeps its length keeps its
// numbers as they are.

#include "datasets/files/fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char* const us_fit_names[3] = {"crop", "letterbox", "stretch"};

// ---- parts and places ----

UsStatus us_fit_read(const char* fit, const char* crop, UsFitKind* kind, int part[4]) {
  int end = 0, n = 4;
  memset(part, 0, 4 * sizeof(*part));
  *kind = crop ? US_FIT_STRETCH : US_FIT_CROP;
  // The part, in pixels.
  if (crop) n = sscanf(crop, "%d:%d:%d:%d%n", part, part + 1, part + 2, part + 3, &end);
  if (crop && (n != 4 || crop[end] || part[0] < 1 || part[1] < 1 || part[2] < 0 || part[3] < 0)) {
    return us_fail(US_USAGE, "--crop: expected W:H:X:Y in pixels, found \"%s\"", crop);
  }
  if (!fit) return US_OK;
  for (int i = 0; i < 3; i++) {
    if (strcmp(fit, us_fit_names[i]) != 0) continue;
    *kind = (UsFitKind)i;
    return US_OK;
  }
  return us_fail(US_USAGE, "--fit: expected crop, letterbox or stretch, found \"%s\"", fit);
}

int us_fit_make(UsFitKind kind, const int part[4], int height, int width, int size, UsFit* out) {
  int* c = out->part;
  memcpy(c, part, sizeof(out->part));
  if (c[0] == 0) c[0] = width, c[1] = height;
  if (c[0] > width || c[1] > height || c[2] > width - c[0] || c[3] > height - c[1]) return 0;
  // A square in the middle of the part.
  if (size && kind == US_FIT_CROP) {
    int side = c[0] < c[1] ? c[0] : c[1];
    c[2] += (c[0] - side) / 2;
    c[3] += (c[1] - side) / 2;
    c[0] = c[1] = side;
  }
  // All of the frame, or as much of it as the part's sides are to each other.
  int* p = out->place;
  out->width = p[0] = size ? size : c[0];
  out->height = p[1] = size ? size : c[1];
  if (size && kind == US_FIT_LETTERBOX) {
    double most = c[0] > c[1] ? c[0] : c[1];
    p[0] = (int)fmax(1, round(size * c[0] / most));
    p[1] = (int)fmax(1, round(size * c[1] / most));
  }
  p[2] = (out->width - p[0]) / 2;
  p[3] = (out->height - p[1]) / 2;
  return 1;
}

// ---- resampling ----

// What a number along an axis is made of: `most` weights from first[i] on.
typedef struct Axis {
  int count, most;
  int* first;     // (count)
  float* weight;  // (count, most)
} Axis;

struct UsResampler {
  UsFit fit;
  int channels;
  Axis x, y;
  float* rows;  // (part's height, place's width, channels)
};

static int make_axis(int from, int to, Axis* a) {
  double s = (double)from / to;
  a->count = to;
  a->most = s >= 1 ? (int)ceil(s) + 1 : 2;
  if (a->most > from) a->most = from;
  a->first = calloc((size_t)to, sizeof(*a->first));
  a->weight = calloc((size_t)to * (size_t)a->most, sizeof(*a->weight));
  if (!a->first || !a->weight) return 0;
  for (int i = 0; i < to; i++) {
    double low = i * s, high = low + s, middle = low + s / 2 - 0.5;
    int at = s >= 1 ? (int)low : (int)floor(middle);
    // What is read stays inside.
    int first = at < 0 ? 0 : at > from - a->most ? from - a->most : at;
    float* w = a->weight + (size_t)i * (size_t)a->most;
    a->first[i] = first;
    for (int k = 0; s >= 1 && k < a->most; k++) {
      double j = first + k;
      w[k] = (float)(fmax(0, fmin(high, j + 1) - fmax(low, j)) / s);
    }
    for (int k = 0; s < 1 && k < 2; k++) {
      int j = at + k < 0 ? 0 : at + k >= from ? from - 1 : at + k;
      w[j - first] += (float)(k ? middle - at : 1 - (middle - at));
    }
  }
  return 1;
}

UsResampler* us_resampler_create(const UsFit* fit, int channels) {
  UsResampler* r = calloc(1, sizeof(*r));
  if (!r) return NULL;
  r->fit = *fit;
  r->channels = channels;
  r->rows = malloc((size_t)fit->part[1] * (size_t)fit->place[0] * (size_t)channels * sizeof(float));
  if (r->rows && make_axis(fit->part[0], fit->place[0], &r->x) &&
      make_axis(fit->part[1], fit->place[1], &r->y)) {
    return r;
  }
  us_resampler_destroy(r);
  return NULL;
}

void us_resampler_destroy(UsResampler* r) {
  if (!r) return;
  free(r->x.first);
  free(r->x.weight);
  free(r->y.first);
  free(r->y.weight);
  free(r->rows);
  free(r);
}

// Rows of the part, each as wide as it will be.
static void narrow(UsResampler* r, const float* part, const size_t stride[3]) {
  const Axis* a = &r->x;
  float* out = r->rows;
  for (int y = 0; y < r->fit.part[1]; y++) {
    for (int i = 0; i < a->count; i++) {
      const float* w = a->weight + (size_t)i * (size_t)a->most;
      for (int c = 0; c < r->channels; c++) {
        const float* in =
            part + (size_t)y * stride[0] + (size_t)a->first[i] * stride[1] + (size_t)c * stride[2];
        float sum = 0;
        for (int k = 0; k < a->most; k++) sum += w[k] * in[(size_t)k * stride[1]];
        *out++ = sum;
      }
    }
  }
}

void us_resampler_run(UsResampler* r, const float* picture, const size_t stride[3],
                      uint8_t* frame) {
  const UsFit* f = &r->fit;
  const Axis* a = &r->y;
  size_t wide = (size_t)f->place[0], channels = (size_t)r->channels, row = wide * channels;
  narrow(r, picture + (size_t)f->part[3] * stride[0] + (size_t)f->part[2] * stride[1], stride);
  memset(frame, 0, (size_t)f->height * (size_t)f->width * 3);
  // Then along the columns; grey has three equal colours.
  for (int i = 0; i < a->count; i++) {
    uint8_t* out = frame + 3 * ((size_t)(f->place[3] + i) * (size_t)f->width + (size_t)f->place[2]);
    const float* w = a->weight + (size_t)i * (size_t)a->most;
    for (size_t x = 0; x < wide; x++) {
      for (size_t c = 0; c < 3; c++) {
        const float* in = r->rows + (size_t)a->first[i] * row + x * channels + c % channels;
        float sum = 0;
        for (int k = 0; k < a->most; k++) sum += w[k] * in[(size_t)k * row];
        *out++ = (uint8_t)fminf(255, fmaxf(0, roundf(sum)));
      }
    }
  }
}
