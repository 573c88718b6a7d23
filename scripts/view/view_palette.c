#include "scripts/view/view_palette.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { kBits = 5, kColors = 1 << 3 * kBits };
static const double near =
    12;  // squared distance of colours (0 .. 255) that a kept palette may have
static const uint32_t black = 0xff000000u;

// All pixels of one colour at 5 bits a channel.
typedef struct Color {
  int at;  // r << 10 | g << 5 | b
  uint32_t count;
  uint64_t sum[3];  // of the channels at 8 bits
} Color;

typedef struct Part {
  int first, end;  // of the list of colours
  int axis;        // the channel with the widest range
  double weight;   // pixels times range: the part with the largest is cut
} Part;

static int key(const uint8_t* p) {
  return p[0] >> 3 << 10 | p[1] >> 3 << 5 | p[2] >> 3;
}

static int channel(const Color* c, int axis) {
  return c->at >> (10 - 5 * axis) & 31;
}

static void weigh(const Color* list, Part* p) {
  uint64_t count = 0;
  int widest = -1;
  for (int axis = 0; axis < 3; axis++) {
    int low = 31, high = 0;
    for (int i = p->first; i < p->end; i++) {
      int v = channel(&list[i], axis);
      low = v < low ? v : low;
      high = v > high ? v : high;
      count += axis == 0 ? list[i].count : 0;
    }
    if (high - low > widest) widest = high - low, p->axis = axis;
  }
  p->weight = (double)count * widest;
}

static int sort_axis;  // what qsort compares by

static int compare(const void* a, const void* b) {
  int x = channel(a, sort_axis), y = channel(b, sort_axis);
  return x != y ? x - y : ((const Color*)a)->at - ((const Color*)b)->at;
}

// Cuts a part at the median of its pixels; the upper half becomes *upper.
static void cut(Color* list, Part* p, Part* upper) {
  sort_axis = p->axis;
  qsort(list + p->first, (size_t)(p->end - p->first), sizeof(Color), compare);
  uint64_t all = 0, below = 0;
  for (int i = p->first; i < p->end; i++) all += list[i].count;
  int middle = p->first;
  do {
    below += list[middle++].count;
  } while (middle < p->end - 1 && below + list[middle].count / 2 < all / 2);
  *upper = (Part){middle, p->end, 0, 0};
  p->end = middle;
  weigh(list, p);
  weigh(list, upper);
}

// Counts the colours: list (kColors), of which those that occur come first; returns how many.
static int count_colors(size_t n, const uint8_t* pixels, Color* list) {
  memset(list, 0, sizeof(Color) * kColors);
  for (size_t i = 0; i < n; i++, pixels += 3) {
    Color* c = &list[key(pixels)];
    c->count++;
    for (int k = 0; k < 3; k++) c->sum[k] += pixels[k];
  }
  int found = 0;
  for (int i = 0; i < kColors; i++) {
    if (list[i].count == 0) continue;
    list[found] = list[i];
    list[found++].at = i;
  }
  return found;
}

static uint32_t mean(const Color* list, const Part* p) {
  uint64_t count = 0, sum[3] = {0};
  for (int i = p->first; i < p->end; i++) {
    count += list[i].count;
    for (int k = 0; k < 3; k++) sum[k] += list[i].sum[k];
  }
  for (int k = 0; k < 3; k++) sum[k] = (sum[k] + count / 2) / count;
  return black | (uint32_t)(sum[0] << 16 | sum[1] << 8 | sum[2]);
}

static void choose(Color* list, int colors, uint32_t* palette) {
  Part part[US_PALETTE] = {{0, colors, 0, 0}};
  int parts = 1;
  weigh(list, &part[0]);
  while (parts < US_PALETTE) {
    int best = 0;
    for (int i = 1; i < parts; i++) best = part[i].weight > part[best].weight ? i : best;
    if (part[best].weight <= 0) break;
    cut(list, &part[best], &part[parts++]);
  }
  for (int i = 0; i < US_PALETTE; i++) palette[i] = i < parts ? mean(list, &part[i]) : black;
}

// Finds the nearest of the palette for every colour: place (kColors). Returns the mean squared
// distance over the pixels.
static double assign(const Color* list, int colors, const uint32_t* palette, uint8_t* place) {
  double sum = 0, all = 0;
  for (int i = 0; i < colors; i++) {
    const Color* c = &list[i];
    uint64_t n = c->count;
    int v[3], best = INT_MAX;
    for (int k = 0; k < 3; k++) v[k] = (int)((c->sum[k] + n / 2) / n);
    for (int p = 0; p < US_PALETTE && best > 0; p++) {
      int r = v[0] - (int)(palette[p] >> 16 & 255), g = v[1] - (int)(palette[p] >> 8 & 255);
      int b = v[2] - (int)(palette[p] & 255), distance = r * r + g * g + b * b;
      if (distance < best) best = distance, place[c->at] = (uint8_t)p;
    }
    sum += (double)n * best;
    all += (double)n;
  }
  return sum / all;
}

void us_view_palette(size_t n, const uint8_t* pixels, int keep, uint32_t* palette, uint8_t* index) {
  static Color list[kColors];
  static uint8_t place[kColors];
  int colors = count_colors(n, pixels, list);
  if (!keep || assign(list, colors, palette, place) > near) {
    choose(list, colors, palette);
    assign(list, colors, palette, place);
  }
  for (size_t i = 0; i < n; i++) index[i] = place[key(pixels + 3 * i)];
}
