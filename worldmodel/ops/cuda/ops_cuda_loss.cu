// ops.h on a GPU: losses and distances, the optimiser, images.
//
// Sums over elements: a block adds those of a chunk of US_CHUNK in double, each thread its own
// first, then the threads' sums as a tree; one block adds the chunks in the same way.

#include <math.h>

#include "worldmodel/ops/cuda/ops_cuda.h"

enum { THREADS = 256, WARPS = THREADS / US_WARP };

// ---- losses ----

// Smooth L1 of d: d^2 / (2 beta) inside the threshold, |d| - beta/2 outside; the absolute value for
// beta = 0.
__device__ static inline float huber(float d, float beta, float inverse) {
  float t = fabsf(d);
  return t < beta ? 0.5f * d * d * inverse : t - 0.5f * beta;
}

// Its slope times scale: linear inside the threshold, the sign outside; NaN stays.
__device__ static inline float huber_slope(float d, float beta, float inverse, float scale) {
  float sign = d > 0.0f ? scale : (d < 0.0f ? -scale : scale * d);
  return fabsf(d) < beta ? scale * d * inverse : sign;
}

static __global__ void smooth_l1(size_t count, float beta, float scale, const float* x,
                                 const float* target, const float* weight, size_t width, float* dx,
                                 double* part) {
  float inverse = beta > 0.0f ? 1.0f / beta : 0.0f;
  size_t first = (size_t)blockIdx.x * US_CHUNK;
  double sum = 0;
  for (size_t i = first + threadIdx.x; i < first + US_CHUNK && i < count; i += THREADS) {
    float d = x[i] - target[i], w = weight ? weight[i / width] : 1.0f;
    sum += (double)(w * huber(d, beta, inverse));
    if (dx) dx[i] = huber_slope(d, beta, inverse, scale * w);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

static __global__ void draw(size_t count, unsigned width, const float* x, const float* noise,
                            float* y) {
  size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  const float* m = x + i / width * 2 * width + i % width;
  y[i] = m[0] + expf(m[width]) * noise[i];
}

static __global__ void draw_back(size_t count, unsigned width, float scale, const float* x,
                                 const float* noise, const float* dy, float* dx, double* part) {
  size_t first = (size_t)blockIdx.x * US_CHUNK;
  double sum = 0;
  for (size_t i = first + threadIdx.x; i < first + US_CHUNK && i < count; i += THREADS) {
    size_t at = i / width * 2 * width + i % width;
    float m = x[at], l = x[at + width], s = expf(l);
    sum += (double)(0.5f * (m * m + s * s - 1.0f) - l);
    if (!dx) continue;
    dx[at] = scale * m + (dy ? dy[i] : 0.0f);
    dx[at + width] = scale * (s * s - 1.0f) + (dy ? dy[i] * noise[i] * s : 0.0f);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0 && part) part[blockIdx.x] = sum;
}

static __global__ void squared_error(size_t count, float scale, const float* x, const float* target,
                                     const float* weight, float* dx, double* part) {
  size_t first = (size_t)blockIdx.x * US_CHUNK;
  double sum = 0;
  for (size_t i = first + threadIdx.x; i < first + US_CHUNK && i < count; i += THREADS) {
    float d = x[i] - target[i], w = weight ? weight[i] : 1.0f;
    sum += (double)(w * d * d);
    if (dx) dx[i] = 2.0f * scale * w * d;
  }
  sum = block_sum(sum);
  if (part && threadIdx.x == 0) part[blockIdx.x] = sum;
}

// sum (1) = scale times the chunks' sums, in their order.
static __global__ void sum_parts(int chunks, double scale, const double* part, double* sum) {
  double s = 0;
  for (int i = threadIdx.x; i < chunks; i += THREADS) s += part[i];
  s = block_sum(s);
  if (threadIdx.x == 0) *sum = s * scale;
}

void us_cuda_smooth_l1(UsDevice* d, size_t count, float beta, float scale, const float* x,
                       const float* target, const float* weight, size_t width, float* dx,
                       double* sum) {
  UsCuda* c = us_cuda(d);
  unsigned chunks = us_blocks(count, US_CHUNK);
  double* part = (double*)us_cuda_scratch(c, chunks * sizeof(double));
  if (!part) return;
  if (chunks) {
    US_RUN(c, smooth_l1, chunks, THREADS, 0, count, beta, scale, x, target, weight, width, dx,
           part);
  }
  US_RUN(c, sum_parts, 1, THREADS, 0, (int)chunks, (double)scale, part, sum);
}

void us_cuda_squared_error(UsDevice* d, size_t count, float scale, const float* x,
                           const float* target, const float* weight, float* dx, double* sum) {
  UsCuda* c = us_cuda(d);
  unsigned chunks = us_blocks(count, US_CHUNK);
  double* part = (double*)us_cuda_scratch(c, chunks * sizeof(double));
  if (!part) return;
  if (chunks) {
    US_RUN(c, squared_error, chunks, THREADS, 0, count, scale, x, target, weight, dx,
           sum ? part : NULL);
  }
  if (sum) US_RUN(c, sum_parts, 1, THREADS, 0, (int)chunks, (double)scale, part, sum);
}

void us_cuda_draw(UsDevice* d, int rows, int width, const float* x, const float* noise, float* y) {
  size_t count = (size_t)rows * (size_t)width;
  if (count == 0) return;
  US_RUN(us_cuda(d), draw, us_blocks(count, THREADS), THREADS, 0, count, (unsigned)width, x, noise,
         y);
}

void us_cuda_draw_back(UsDevice* d, int rows, int width, float scale, const float* x,
                       const float* noise, const float* dy, float* dx, double* sum) {
  UsCuda* c = us_cuda(d);
  size_t count = (size_t)rows * (size_t)width;
  unsigned chunks = us_blocks(count, US_CHUNK);
  double* part = (double*)us_cuda_scratch(c, chunks * sizeof(double));
  if (!part) return;
  if (count > 0) {
    US_RUN(c, draw_back, chunks, THREADS, 0, count, (unsigned)width, scale, x, noise, dy, dx,
           sum ? part : NULL);
  }
  if (sum) {
    US_RUN(c, sum_parts, 1, THREADS, 0, count > 0 ? (int)chunks : 0, (double)scale, part, sum);
  }
}

// A warp has a row.
static __global__ void row_distance(int rows, int width, int repeat, const int* index,
                                    const float* x, const float* y, const float* weight, float* out,
                                    int stride) {
  int r = (int)blockIdx.x * WARPS + warp_rank();
  if (r >= rows) return;
  const float* a = x + (size_t)r * width;
  const float* b = y + (size_t)(index ? index[r / repeat] : r / repeat) * width;
  float s = 0;
  for (int i = lane_rank(); i < width; i += US_WARP) {
    s += (weight ? weight[i] : 1) * ((a[i] - b[i]) * (a[i] - b[i]));
  }
  s = warp_sum(s);
  if (lane_rank() == 0) out[(size_t)r * stride] = s / (float)width;
}

void us_cuda_row_distance(UsDevice* d, int rows, int width, int repeat, const int* index,
                          const float* x, const float* y, const float* weight, float* out,
                          int stride) {
  if (rows == 0) return;
  US_RUN(us_cuda(d), row_distance, us_blocks(rows, WARPS), THREADS, 0, rows, width, repeat, index,
         x, y, weight, out, stride);
}

// ---- optimiser ----

enum { WIDE = 1024, QUARTERS = 4 };  // threads for a piece; blocks that a step has for it

static __global__ void gradient_sum(const UsPiece* piece, int shards, size_t floats,
                                    float* gradient, double* squares) {
  const UsPiece p = piece[blockIdx.x];
  double square = 0;
  for (int i = threadIdx.x; i < p.count; i += WIDE) {
    float* g = gradient + p.at + i;
    float sum = *g;
    for (int s = 1; s < shards; ++s) sum += g[(size_t)s * floats];
    if (shards > 1) *g = sum;
    square += (double)sum * (double)sum;
  }
  square = block_sum(square);
  if (threadIdx.x == 0) squares[blockIdx.x] = square;
}

void us_cuda_gradient_sum(UsDevice* d, int n, const UsPiece* piece, int shards, size_t floats,
                          float* gradient, double* squares) {
  if (n == 0) return;
  US_RUN(us_cuda(d), gradient_sum, n, WIDE, 0, piece, shards, floats, gradient, squares);
}

static __global__ void clip_scale(int count, const double* squares, int losses, const double* loss,
                                  float limit, float* scale, double* norm) {
  double square = 0, all = 0;
  for (int i = threadIdx.x; i < count; i += THREADS) square += squares[i];
  for (int i = threadIdx.x; loss && i < losses; i += THREADS) all += loss[i];
  square = block_sum(square);
  all = block_sum(all);
  if (threadIdx.x > 0) return;
  double size = sqrt(square);
  *norm = size;
  // Once broken, for ever: the weights stay the last good ones.
  if (!isfinite(size + all)) scale[1] = 1.0f;
  float by = size > (double)limit ? (float)((double)limit / size) : 1.0f;
  scale[0] = scale[1] != 0.0f ? NAN : by;
}

void us_cuda_clip_scale(UsDevice* d, int count, const double* squares, int losses,
                        const double* loss, float limit, float* scale, double* norm) {
  US_RUN(us_cuda(d), clip_scale, 1, THREADS, 0, count, squares, losses, loss, limit, scale, norm);
}

static __global__ void adamw(const UsPiece* piece, const double* when, float beta1, float beta2,
                             float eps, const float* scale, const float* gradient, float* m,
                             float* v, float* x) {
  float by = scale ? *scale : 1.0f;
  if (isnan(by)) return;
  const UsPiece p = piece[blockIdx.x / QUARTERS];
  // Constants of the piece: decay of its weights, and both moments' corrections of their start.
  float own = (float)when[0] * p.factor, keep = 1.0f - own * p.decay;
  float a = (float)((double)own / when[1]), b = (float)(1.0 / sqrt(when[2]));
  float left1 = 1.0f - beta1, left2 = 1.0f - beta2;
  int first = (int)(blockIdx.x % QUARTERS * THREADS + threadIdx.x);
  for (int k = first; k < p.count; k += QUARTERS * THREADS) {
    // Moments first, then the weight: decay apart from the gradient.
    size_t i = p.at + k;
    float g = gradient[i] * by;
    float mi = beta1 * m[i] + left1 * g, vi = beta2 * v[i] + left2 * g * g;
    m[i] = mi;
    v[i] = vi;
    x[i] = x[i] * keep - a * mi / (sqrtf(vi) * b + eps);
  }
}

void us_cuda_adamw(UsDevice* d, int n, const UsPiece* piece, const double* when, float beta1,
                   float beta2, float eps, const float* scale, const float* gradient, float* m,
                   float* v, float* x) {
  if (n == 0) return;
  US_RUN(us_cuda(d), adamw, n * QUARTERS, THREADS, 0, piece, when, beta1, beta2, eps, scale,
         gradient, m, v, x);
}

// ---- images ----

__device__ static inline size_t element() {
  return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

// The factors and the constants of three channels.
typedef struct Channels {
  float a[3], b[3];
} Channels;

// One number of a patch each.
static __global__ void patches_of(size_t count, int gh, int gw, int patch, const uint8_t* frames,
                                  Channels channels, float* patches) {
  size_t i = element();
  if (i >= count) return;
  // (frame, gy, gx, channel, y, x), slowest first.
  size_t square = (size_t)patch * patch, p = i / (3 * square), f = p / ((size_t)gh * gw);
  int within = (int)(i % (3 * square)), c = within / (int)square;
  int y = within % (int)square / patch, x = within % patch;
  int gy = (int)(p / gw % gh), gx = (int)(p % gw);
  size_t line = (f * gh + gy) * patch + y, pixel = line * gw * patch + (size_t)gx * patch + x;
  patches[i] = (float)frames[3 * pixel + c] * channels.a[c] + channels.b[c];
}

void us_cuda_patches(UsDevice* d, int n, int gh, int gw, int patch, const uint8_t* frames,
                     const float* mean, const float* std, float* patches) {
  size_t count = (size_t)n * gh * gw * 3 * patch * patch;
  if (count == 0) return;
  // (x / 255 - mean) / std as one product and one sum.
  Channels channels;
  for (int c = 0; c < 3; ++c) {
    channels.a[c] = 1.0f / (255.0f * std[c]);
    channels.b[c] = -mean[c] / std[c];
  }
  US_RUN(us_cuda(d), patches_of, us_blocks(count, THREADS), THREADS, 0, count, gh, gw, patch,
         frames, channels, patches);
}

static __global__ void unit(size_t count, int width, const uint8_t* bytes, const float* mean,
                            float* y) {
  size_t i = element();
  if (i < count) y[i] = (float)bytes[i] / 255.0f - mean[i % width];
}

void us_cuda_unit(UsDevice* d, int rows, int width, const uint8_t* bytes, const float* mean,
                  float* y) {
  size_t count = (size_t)rows * width;
  if (count == 0) return;
  US_RUN(us_cuda(d), unit, us_blocks(count, THREADS), THREADS, 0, count, width, bytes, mean, y);
}

static __global__ void standardise(size_t count, int width, int kept, const int* keep,
                                   const double* x, const float* mean, const float* scale,
                                   float* y) {
  size_t i = element();
  if (i >= count) return;
  int k = keep[i % kept];
  y[i] = (float)((x[i / kept * width + k] - (double)mean[k]) * (double)scale[k]);
}

void us_cuda_standardise(UsDevice* d, int rows, int width, int kept, const int* keep,
                         const double* x, const float* mean, const float* scale, float* y) {
  size_t count = (size_t)rows * kept;
  if (count == 0) return;
  US_RUN(us_cuda(d), standardise, us_blocks(count, THREADS), THREADS, 0, count, width, kept, keep,
         x, mean, scale, y);
}
