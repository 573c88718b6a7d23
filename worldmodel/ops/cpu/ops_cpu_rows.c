// ops.h on the CPU: rows and columns.
//
//   norm:  h = (x - mean) r,  y = h gain + bias,  r = 1 / sqrt(var + eps)
//   back:  g = dy gain,  dx = r (g - mean(g) - h mean(g h))

#include <math.h>
#include <string.h>

#include "worldmodel/base/status.h"
#include "worldmodel/ops/cpu/ops_cpu.h"

// ---- layer norm ----

// Mean of x (n).
US_INLINE float mean_of(int n, const float* x) {
  float s[US_LANES] = {0};
  int i = 0;
  for (; i + US_LANES <= n; i += US_LANES) {
    for (int j = 0; j < US_LANES; ++j) s[j] += x[i + j];
  }
  for (int j = 0; i + j < n; ++j) s[j] += x[i + j];
  return us_lanes_sum(s) / (float)n;
}

// Mean of (x - mean)^2 over x (n).
US_INLINE float variance_of(int n, const float* x, float mean) {
  float s[US_LANES] = {0};
  int i = 0;
  for (; i + US_LANES <= n; i += US_LANES) {
    for (int j = 0; j < US_LANES; ++j) s[j] += (x[i + j] - mean) * (x[i + j] - mean);
  }
  for (int j = 0; i + j < n; ++j) s[j] += (x[i + j] - mean) * (x[i + j] - mean);
  return us_lanes_sum(s) / (float)n;
}

US_CLONES void us_cpu_norm(UsDevice* d, int rows, int width, float eps, const float* x,
                           const float* gain, const float* bias, float* y, float* stats) {
  for (int row = 0; row < rows; ++row) {
    const float* a = x + (size_t)row * width;
    float* b = y + (size_t)row * width;
    // Two passes, so that a large mean costs no digits.
    float mean = mean_of(width, a);
    float r = 1.0f / sqrtf(variance_of(width, a, mean) + eps);
    for (int i = 0; i < width; ++i) b[i] = (a[i] - mean) * r * gain[i] + bias[i];
    if (stats) {
      stats[2 * (size_t)row] = mean;
      stats[2 * (size_t)row + 1] = r;
    }
  }
}

// One row: dx (width) from x, gain and dy (width).
US_INLINE void norm_row_back(int width, const float* x, const float* gain, const float* dy,
                             float mean, float r, float* dx) {
  float sg[US_LANES] = {0}, sh[US_LANES] = {0};
  int i = 0;
  // Sums of g and of g h, in lanes.
  for (; i + US_LANES <= width; i += US_LANES) {
    for (int j = 0; j < US_LANES; ++j) {
      float g = dy[i + j] * gain[i + j];
      sg[j] += g;
      sh[j] += g * ((x[i + j] - mean) * r);
    }
  }
  for (int j = 0; i + j < width; ++j) {
    float g = dy[i + j] * gain[i + j];
    sg[j] += g;
    sh[j] += g * ((x[i + j] - mean) * r);
  }
  // dx is g without its parts along 1 and along the normalised row.
  float mg = us_lanes_sum(sg) / (float)width, mh = us_lanes_sum(sh) / (float)width;
  for (i = 0; i < width; ++i) {
    dx[i] = r * (dy[i] * gain[i] - mg - (x[i] - mean) * r * mh);
  }
}

US_CLONES void us_cpu_norm_back(UsDevice* d, int rows, int width, const float* x, const float* gain,
                                const float* stats, const float* dy, float* dx, float* dgain,
                                float* dbias) {
  for (int row = 0; row < rows; ++row) {
    // Gain and bias collect over rows; dx is row by row.
    const float* a = x + (size_t)row * width;
    const float* d = dy + (size_t)row * width;
    float mean = stats[2 * (size_t)row], r = stats[2 * (size_t)row + 1];
    if (dgain) {
      for (int i = 0; i < width; ++i) dgain[i] += d[i] * ((a[i] - mean) * r);
    }
    if (dbias) {
      for (int i = 0; i < width; ++i) dbias[i] += d[i];
    }
    norm_row_back(width, a, gain, d, mean, r, dx + (size_t)row * width);
  }
}

// ---- columns ----

US_CLONES void us_cpu_columns(UsDevice* d, int rows, int width, const float* x, const float* gain,
                              const float* bias, float* y) {
  for (int r = 0; r < rows; ++r) {
    const float* a = x + (size_t)r * width;
    float* b = y + (size_t)r * width;
    if (bias) {
      for (int i = 0; i < width; ++i) b[i] = a[i] * gain[i] + bias[i];
    } else {
      for (int i = 0; i < width; ++i) b[i] = a[i] * gain[i];
    }
  }
}

US_CLONES void us_cpu_columns_back(UsDevice* d, int rows, int width, const float* x,
                                   const float* gain, const float* dy, float* dx, float* dgain) {
  for (int r = 0; r < rows; ++r) {
    size_t at = (size_t)r * width;
    if (dgain) {
      for (int i = 0; i < width; ++i) dgain[i] += x[at + i] * dy[at + i];
    }
    if (dx) {
      for (int i = 0; i < width; ++i) dx[at + i] = dy[at + i] * gain[i];
    }
  }
}

// ---- rows ----

// y (n) += x (n).
US_INLINE void add_to(int n, const float* x, float* y) {
  for (int i = 0; i < n; ++i) y[i] += x[i];
}

US_CLONES void us_cpu_add_rows(UsDevice* d, int rows, int period, int width, const float* x,
                               float* y) {
  for (int r = 0; r < rows; ++r) {
    add_to(width, x + (size_t)(r % period) * width, y + (size_t)r * width);
  }
}

US_CLONES void us_cpu_add_rows_back(UsDevice* d, int rows, int period, int width, const float* dy,
                                    float* dx) {
  for (int r = 0; r < rows; ++r) {
    add_to(width, dy + (size_t)r * width, dx + (size_t)(r % period) * width);
  }
}

void us_cpu_concat_norm(UsDevice* d, int rows, int wa, int wb, int repeat, float eps,
                        const float* a, const float* b, const float* gain, const float* bias,
                        float* joined, float* y, float* stats) {
  for (int r = 0; r < rows; ++r) {
    float* to = joined + (size_t)r * (wa + wb);
    memcpy(to, a + (size_t)r * wa, (size_t)wa * sizeof(float));
    memcpy(to + wa, b + (size_t)(r / repeat) * wb, (size_t)wb * sizeof(float));
  }
  us_cpu_norm(d, rows, wa + wb, eps, joined, gain, bias, y, stats);
}

US_CLONES void us_cpu_concat_back(UsDevice* d, int rows, int wa, int wb, int repeat,
                                  const float* dy, float* da, float* db) {
  for (int r = 0; r < rows; ++r) {
    const float* from = dy + (size_t)r * (wa + wb);
    if (da) memcpy(da + (size_t)r * wa, from, (size_t)wa * sizeof(float));
    if (!db) continue;
    float* to = db + (size_t)(r / repeat) * wb;
    // The first row of a group overwrites, the others add.
    if (r % repeat == 0) {
      memcpy(to, from + wa, (size_t)wb * sizeof(float));
    } else {
      add_to(wb, from + wa, to);
    }
  }
}

void us_cpu_copy_rows(UsDevice* d, int rows, int width, int repeat, const int* index,
                      const float* x, size_t xstride, float* y, size_t ystride) {
  for (int r = 0; r < rows; ++r) {
    size_t from = (size_t)(index ? index[r / repeat] : r / repeat);
    memcpy(y + (size_t)r * ystride, x + from * xstride, (size_t)width * sizeof(float));
  }
}

US_CLONES void us_cpu_add_blocks(UsDevice* d, int rows, int width, const float* x, size_t xstride,
                                 float* y, size_t ystride) {
  for (int r = 0; r < rows; ++r) {
    add_to(width, x + (size_t)r * xstride, y + (size_t)r * ystride);
  }
}

void us_cpu_set_rows(UsDevice* d, int n, int width, const int* index, const float* value,
                     float* x) {
  for (int i = 0; i < n; ++i) {
    if (index[i] < 0) continue;
    float* to = x + (size_t)index[i] * width;
    for (int j = 0; j < width; ++j) to[j] = value[i];
  }
}

void us_cpu_push(UsDevice* d, int n, int count, int size, const int* slot, const int* first,
                 const float* piece, float* pieces) {
  const size_t bytes = (size_t)size * sizeof(float);
  for (int i = 0; i < n && count > 0; ++i, piece += size) {
    float* to = pieces + (size_t)slot[i] * count * size;
    memmove(to, to + size, (size_t)(count - 1) * bytes);
    for (int k = first[i] ? 0 : count - 1; k < count; ++k)
      memcpy(to + (size_t)k * size, piece, bytes);
  }
}

void us_cpu_window(UsDevice* d, int rows, int samples, const int* slot, int horizon, int f,
                   int past, int leap, int ahead, int length, int clip, const float* before,
                   const float* actions, float* y) {
  for (int r = 0; r < rows; ++r) {
    int s = slot ? slot[r / samples] : r / samples;
    for (int b = f - past; b < f + leap; ++b, y += length) {
      const float* from =
          b < f + ahead ? actions + ((size_t)r * horizon + (b < 0 ? 0 : b)) * length : NULL;
      if (b < 0) from = before ? before + ((size_t)s * past + (past + b)) * length : NULL;
      // A block that nobody knows, or is to know, is 0.
      if (from) {
        memcpy(y, from, (size_t)length * sizeof(float));
      } else {
        memset(y, 0, (size_t)length * sizeof(float));
      }
      if (clip) us_cpu_clip(d, (size_t)length, -1.0f, 1.0f, y);
    }
  }
}
