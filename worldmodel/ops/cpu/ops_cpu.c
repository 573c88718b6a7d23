// ops.h on the CPU: memory, element by element, losses and the optimiser.

#ifndef __clang__
#pragma GCC optimize("no-math-errno")  // or a loop with sqrtf stays scalar
#endif

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/status.h"
#include "worldmodel/ops/cpu/ops_cpu.h"

#define US_FORMULA US_INLINE
#include "worldmodel/ops/gelu.h"

const UsOps us_ops_cpu = {
#define X(result, name, parameters, arguments) .name = us_cpu_##name,
    US_OPS(X)
#undef X
};

// ---- memory ----

void* us_cpu_alloc_bytes(UsDevice* d, size_t bytes) {
  if (bytes > SIZE_MAX - 64) return NULL;
  bytes = bytes ? (bytes + 63) / 64 * 64 : 64;
  void* x = aligned_alloc(64, bytes);
  if (x) memset(x, 0, bytes);
  return x;
}

void us_cpu_free(UsDevice* d, void* x) {
  free(x);
}

void us_cpu_put_bytes(UsDevice* d, void* x, const void* host, size_t bytes) {
  if (bytes) memcpy(x, host, bytes);
}

void us_cpu_get_bytes(UsDevice* d, const void* x, void* host, size_t bytes) {
  if (bytes) memcpy(host, x, bytes);
}

void us_cpu_zero_bytes(UsDevice* d, void* x, size_t bytes) {
  if (bytes) memset(x, 0, bytes);
}

void us_cpu_copy_bytes(UsDevice* d, const void* x, void* y, size_t bytes) {
  if (bytes) memmove(y, x, bytes);
}

// ---- recordings: a call costs nothing here ----

int us_cpu_record(UsDevice* d) {
  return 0;
}

void* us_cpu_recorded(UsDevice* d) {
  return NULL;
}

void us_cpu_replay(UsDevice* d, void* recording) {}

void us_cpu_forget(UsDevice* d, void* recording) {}

// ---- element by element ----

US_CLONES void us_cpu_add(UsDevice* d, size_t count, float a, const float* x, float* y) {
  for (size_t i = 0; i < count; ++i) y[i] += a * x[i];
}

US_CLONES void us_cpu_multiply(UsDevice* d, size_t count, const float* x, float* y) {
  for (size_t i = 0; i < count; ++i) y[i] *= x[i];
}

US_CLONES void us_cpu_clip(UsDevice* d, size_t count, float low, float high, float* x) {
  for (size_t i = 0; i < count; ++i) x[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

US_CLONES void us_cpu_widen(UsDevice* d, size_t count, const uint16_t* x, float* y) {
  for (size_t i = 0; i < count; ++i) y[i] = us_bfloat_wide(x[i]);
}

US_CLONES void us_cpu_gelu(UsDevice* d, size_t count, const float* x, float* y) {
  for (size_t i = 0; i < count; ++i) {
    float a = x[i], t = us_bounded_abs(a);
    y[i] = us_gelu_of(a, t, us_exp(-0.5f * t * t));
  }
}

US_CLONES void us_cpu_gelu_back(UsDevice* d, size_t count, const float* x, const float* dy,
                                float* dx) {
  for (size_t i = 0; i < count; ++i) {
    float a = x[i], t = us_bounded_abs(a);
    dx[i] = dy[i] * us_gelu_slope_of(a, t, us_exp(-0.5f * t * t));
  }
}

// ---- draws ----

void us_cpu_draw(UsDevice* d, int rows, int width, const float* x, const float* noise, float* y) {
  size_t w = (size_t)width;
  for (size_t i = 0; i < (size_t)rows * w; ++i) {
    const float* m = x + i / w * 2 * w + i % w;
    y[i] = m[0] + expf(m[w]) * noise[i];
  }
}

void us_cpu_draw_back(UsDevice* d, int rows, int width, float scale, const float* x,
                      const float* noise, const float* dy, float* dx, double* sum) {
  size_t w = (size_t)width;
  double all = 0.0;
  for (size_t i = 0; i < (size_t)rows * w; ++i) {
    size_t at = i / w * 2 * w + i % w;
    float m = x[at], l = x[at + w], s = expf(l);
    all += (double)(0.5f * (m * m + s * s - 1.0f) - l);
    if (!dx) continue;
    dx[at] = scale * m + (dy ? dy[i] : 0.0f);
    dx[at + w] = scale * (s * s - 1.0f) + (dy ? dy[i] * noise[i] * s : 0.0f);
  }
  if (sum) *sum = all * (double)scale;
}

// ---- losses and distances ----

// Smooth L1 of d: d^2 / (2 beta) inside the threshold, |d| - beta/2
// outside; the absolute value for beta = 0.
US_INLINE float huber(float d, float beta, float inverse) {
  float t = fabsf(d);
  return t < beta ? 0.5f * d * d * inverse : t - 0.5f * beta;
}

// The loss of numbers that count alike, whose sum is returned.
US_INLINE double smooth_l1_run(size_t count, float beta, float scale, const float* x,
                               const float* target, float* dx) {
  enum { LANES = 8 };
  float inverse = beta > 0.0f ? 1.0f / beta : 0.0f;
  double s[LANES] = {0}, sum = 0.0;
  size_t i = 0;
  // The sum in lanes, which are added in a fixed order.
  for (; i + LANES <= count; i += LANES) {
    for (int j = 0; j < LANES; ++j) {
      s[j] += (double)huber(x[i + j] - target[i + j], beta, inverse);
    }
  }
  for (; i < count; ++i) sum += (double)huber(x[i] - target[i], beta, inverse);
  for (int j = 0; j < LANES; ++j) sum += s[j];
  // The gradient: linear inside the threshold, the sign outside.
  if (dx) {
    for (i = 0; i < count; ++i) {
      float d = x[i] - target[i], sign = d > 0.0f ? scale : (d < 0.0f ? -scale : scale * d);
      dx[i] = fabsf(d) < beta ? scale * d * inverse : sign;
    }
  }
  return sum * (double)scale;
}

US_CLONES void us_cpu_smooth_l1(UsDevice* d, size_t count, float beta, float scale, const float* x,
                                const float* target, const float* weight, size_t width, float* dx,
                                double* total) {
  if (!weight) {
    *total = smooth_l1_run(count, beta, scale, x, target, dx);
    return;
  }
  // Numbers of one weight after the other.
  double sum = 0.0;
  for (size_t i = 0; i < count; i += width) {
    size_t n = count - i < width ? count - i : width;
    float w = scale * weight[i / width];
    sum += smooth_l1_run(n, beta, w, x + i, target + i, dx ? dx + i : NULL);
  }
  *total = sum;
}

US_CLONES void us_cpu_squared_error(UsDevice* d, size_t count, float scale, const float* x,
                                    const float* target, const float* weight, float* dx,
                                    double* total) {
  enum { LANES = 8 };
  double s[LANES] = {0}, sum = 0.0;
  size_t i = 0;
  // The sum in lanes, as above.
  for (; i + LANES <= count; i += LANES) {
    for (int j = 0; j < LANES; ++j) {
      float d = x[i + j] - target[i + j];
      s[j] += (double)((weight ? weight[i + j] : 1.0f) * d * d);
    }
  }
  for (; i < count; ++i) {
    float d = x[i] - target[i];
    sum += (double)((weight ? weight[i] : 1.0f) * d * d);
  }
  for (int j = 0; j < LANES; ++j) sum += s[j];
  if (dx && weight) {
    for (i = 0; i < count; ++i) dx[i] = 2.0f * scale * weight[i] * (x[i] - target[i]);
  } else if (dx) {
    for (i = 0; i < count; ++i) dx[i] = 2.0f * scale * (x[i] - target[i]);
  }
  if (total) *total = sum * (double)scale;
}

US_CLONES void us_cpu_row_distance(UsDevice* d, int rows, int width, int repeat, const int* index,
                                   const float* x, const float* y, const float* weight, float* out,
                                   int stride) {
  for (int r = 0; r < rows; ++r) {
    // Differences of a row in lanes, then their fixed sum.
    const float* a = x + (size_t)r * width;
    const float* b = y + (size_t)(index ? index[r / repeat] : r / repeat) * width;
    float s[US_LANES] = {0};
    int i = 0;
    for (; !weight && i + US_LANES <= width; i += US_LANES) {
      for (int j = 0; j < US_LANES; ++j) s[j] += (a[i + j] - b[i + j]) * (a[i + j] - b[i + j]);
    }
    for (; i + US_LANES <= width; i += US_LANES) {
      for (int j = 0; j < US_LANES; ++j) {
        s[j] += weight[i + j] * ((a[i + j] - b[i + j]) * (a[i + j] - b[i + j]));
      }
    }
    for (int j = 0; i + j < width; ++j) {
      s[j] += (weight ? weight[i + j] : 1) * ((a[i + j] - b[i + j]) * (a[i + j] - b[i + j]));
    }
    out[(size_t)r * stride] = us_lanes_sum(s) / (float)width;
  }
}

// ---- optimiser ----

// The sum of the squares of x (count), in lanes of double.
US_INLINE double square_sum(size_t count, const float* x) {
  enum { LANES = 8 };
  double s[LANES] = {0}, sum = 0.0;
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    for (int j = 0; j < LANES; ++j) s[j] += (double)x[i + j] * (double)x[i + j];
  }
  for (; i < count; ++i) sum += (double)x[i] * (double)x[i];
  for (int j = 0; j < LANES; ++j) sum += s[j];
  return sum;
}

US_CLONES void us_cpu_gradient_sum(UsDevice* d, int n, const UsPiece* piece, int shards,
                                   size_t floats, float* gradient, double* squares) {
  for (int i = 0; i < n; ++i) {
    float* g = gradient + piece[i].at;
    for (int s = 1; s < shards; ++s) {
      const float* other = g + (size_t)s * floats;
      for (int k = 0; k < piece[i].count; ++k) g[k] += other[k];
    }
    squares[i] = square_sum((size_t)piece[i].count, g);
  }
}

void us_cpu_clip_scale(UsDevice* d, int count, const double* squares, int losses,
                       const double* loss, float limit, float* scale, double* norm) {
  double square = 0.0, all = 0.0;
  for (int i = 0; i < count; ++i) square += squares[i];
  for (int i = 0; loss && i < losses; ++i) all += loss[i];
  *norm = sqrt(square);
  // Once broken, for ever: the weights stay the last good ones.
  if (!isfinite(*norm + all)) scale[1] = 1.0f;
  scale[0] = *norm > (double)limit ? (float)((double)limit / *norm) : 1.0f;
  if (scale[1] != 0.0f) scale[0] = NAN;
}

US_CLONES void us_cpu_adamw(UsDevice* d, int n, const UsPiece* piece, const double* when,
                            float beta1, float beta2, float eps, const float* scale,
                            const float* gradient, float* m, float* v, float* x) {
  float by = scale ? *scale : 1.0f, left1 = 1.0f - beta1, left2 = 1.0f - beta2;
  float rate = (float)when[0];
  if (isnan(by)) return;
  for (int p = 0; p < n; ++p) {
    // Constants of the piece: decay of its weights, and both moments' corrections of their start.
    float own = rate * piece[p].factor, keep = 1.0f - own * piece[p].decay;
    float a = (float)((double)own / when[1]), b = (float)(1.0 / sqrt(when[2]));
    for (size_t i = piece[p].at, end = i + (size_t)piece[p].count; i < end; ++i) {
      // Moments first, then the weight: decay apart from the gradient.
      float g = gradient[i] * by;
      float mi = beta1 * m[i] + left1 * g, vi = beta2 * v[i] + left2 * g * g;
      m[i] = mi;
      v[i] = vi;
      x[i] = x[i] * keep - a * mi / (sqrtf(vi) * b + eps);
    }
  }
}

// ---- images ----

void us_cpu_patches(UsDevice* d, int n, int gh, int gw, int patch, const uint8_t* frames,
                    const float* mean, const float* std, float* patches) {
  float a[3], b[3];
  // (x / 255 - mean) / std as one product and one sum.
  for (int c = 0; c < 3; ++c) {
    a[c] = 1.0f / (255.0f * std[c]);
    b[c] = -mean[c] / std[c];
  }
  size_t line = (size_t)gw * patch * 3;
  // Patch by patch: the corner in its frame, then channel by channel.
  for (size_t p = 0; p < (size_t)n * gh * gw; ++p) {
    size_t f = p / ((size_t)gh * gw);
    size_t gy = p / gw % gh, gx = p % gw;
    const uint8_t* corner = frames + (f * gh + gy) * patch * line + gx * patch * 3;
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < patch; ++y) {
        const uint8_t* from = corner + y * line + c;
        for (int x = 0; x < patch; ++x) *patches++ = (float)from[3 * x] * a[c] + b[c];
      }
    }
  }
}

US_CLONES void us_cpu_unit(UsDevice* d, int rows, int width, const uint8_t* bytes,
                           const float* mean, float* y) {
  for (int r = 0; r < rows; ++r) {
    size_t at = (size_t)r * width;
    for (int i = 0; i < width; ++i) y[at + i] = (float)bytes[at + i] / 255.0f - mean[i];
  }
}

void us_cpu_standardise(UsDevice* d, int rows, int width, int kept, const int* keep,
                        const double* x, const float* mean, const float* scale, float* y) {
  for (int r = 0; r < rows; ++r, x += width) {
    for (int j = 0; j < kept; ++j) {
      int k = keep[j];
      *y++ = (float)((x[k] - (double)mean[k]) * (double)scale[k]);
    }
  }
}
