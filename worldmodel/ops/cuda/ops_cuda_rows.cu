// ops.h on a GPU: element by element, rows and columns.
//
//   norm:  h = (x - mean) r,  y = h gain + bias,  r = 1 / sqrt(var + eps)
//   back:  g = dy gain,  dx = r (g - mean(g) - h mean(g h))
//
// What needs sums of a row gives it to a warp: lane l adds columns l, l + 32, .. in their order,
// then the lanes' sums are added. Sums over rows: a block adds the rows of a chunk for 32 columns,
// a second kernel the chunks.

#include "worldmodel/ops/cuda/ops_cuda.h"

enum {
  THREADS = 256,
  WARPS = THREADS / US_WARP,  // rows of a block
  SPAN = 1024,                // columns of a block, where a row has no sums
  CHUNK_ROWS = 256,           // rows of a chunk of column sums
};

// ---- element by element ----

__device__ static inline size_t element() {
  return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static __global__ void add_scaled(size_t count, float a, const float* x, float* y) {
  size_t i = element();
  if (i < count) y[i] += a * x[i];
}

static __global__ void multiply(size_t count, const float* x, float* y) {
  size_t i = element();
  if (i < count) y[i] *= x[i];
}

static __global__ void gelu(size_t count, const float* x, float* y) {
  size_t i = element();
  if (i < count) y[i] = us_gelu(x[i]);
}

static __global__ void gelu_back(size_t count, const float* x, const float* dy, float* dx) {
  size_t i = element();
  if (i < count) dx[i] = dy[i] * us_gelu_slope(x[i]);
}

static __global__ void clip(size_t count, float low, float high, float* x) {
  size_t i = element();
  if (i < count) x[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

static __global__ void widen(size_t count, const uint16_t* x, float* y) {
  size_t i = element();
  if (i >= count) return;
  uint32_t bits = (uint32_t)x[i] << 16;
  memcpy(y + i, &bits, sizeof(bits));
}

void us_cuda_add(UsDevice* d, size_t count, float a, const float* x, float* y) {
  if (count == 0) return;
  US_RUN(us_cuda(d), add_scaled, us_blocks(count, THREADS), THREADS, 0, count, a, x, y);
}

void us_cuda_multiply(UsDevice* d, size_t count, const float* x, float* y) {
  if (count == 0) return;
  US_RUN(us_cuda(d), multiply, us_blocks(count, THREADS), THREADS, 0, count, x, y);
}

void us_cuda_gelu(UsDevice* d, size_t count, const float* x, float* y) {
  if (count == 0) return;
  US_RUN(us_cuda(d), gelu, us_blocks(count, THREADS), THREADS, 0, count, x, y);
}

void us_cuda_gelu_back(UsDevice* d, size_t count, const float* x, const float* dy, float* dx) {
  if (count == 0) return;
  US_RUN(us_cuda(d), gelu_back, us_blocks(count, THREADS), THREADS, 0, count, x, dy, dx);
}

void us_cuda_clip(UsDevice* d, size_t count, float low, float high, float* x) {
  if (count == 0) return;
  US_RUN(us_cuda(d), clip, us_blocks(count, THREADS), THREADS, 0, count, low, high, x);
}

void us_cuda_widen(UsDevice* d, size_t count, const uint16_t* x, float* y) {
  if (count == 0) return;
  US_RUN(us_cuda(d), widen, us_blocks(count, THREADS), THREADS, 0, count, x, y);
}

// ---- layer norm ----

// The row that this warp has, of a grid of us_blocks(rows, WARPS).
__device__ static inline int row_of_warp() {
  return (int)blockIdx.x * WARPS + warp_rank();
}

// A row of norm's input: x (width), or where that is NULL a (wa) and behind it b.
typedef struct Row {
  const float *x, *a, *b;
  int wa;
} Row;

__device__ static inline float at(const Row& row, int i) {
  if (row.x) return row.x[i];
  return i < row.wa ? row.a[i] : row.b[i - row.wa];
}

// y (width) and stats (2) of a row, by a warp. Nullable: stats.
__device__ static void norm_row(int width, float eps, const Row& row, const float* gain,
                                const float* bias, float* y, float* stats) {
  // Two passes, so that a large mean costs no digits.
  float sum = 0, square = 0;
  for (int i = lane_rank(); i < width; i += US_WARP) sum += at(row, i);
  float mean = warp_sum(sum) / (float)width;
  for (int i = lane_rank(); i < width; i += US_WARP) {
    float off = at(row, i) - mean;
    square += off * off;
  }
  float r = 1.0f / sqrtf(warp_sum(square) / (float)width + eps);
  for (int i = lane_rank(); i < width; i += US_WARP) {
    y[i] = (at(row, i) - mean) * r * gain[i] + bias[i];
  }
  if (stats && lane_rank() == 0) {
    stats[0] = mean;
    stats[1] = r;
  }
}

// Norm of x, or of a and b joined, which then goes to `joined`. Nullable: x, or a, b and joined.
static __global__ void norm(int rows, int wa, int wb, int repeat, float eps, const float* x,
                            const float* a, const float* b, const float* gain, const float* bias,
                            float* joined, float* y, float* stats) {
  int r = row_of_warp(), width = wa + wb;
  if (r >= rows) return;  // a whole warp
  size_t to = (size_t)r * width;
  Row row = {x ? x + to : NULL, a ? a + (size_t)r * wa : NULL,
             b ? b + (size_t)(r / repeat) * wb : NULL, wa};
  if (joined) {
    for (int i = lane_rank(); i < width; i += US_WARP) joined[to + i] = at(row, i);
  }
  norm_row(width, eps, row, gain, bias, y + to, stats ? stats + 2 * (size_t)r : NULL);
}

void us_cuda_norm(UsDevice* d, int rows, int width, float eps, const float* x, const float* gain,
                  const float* bias, float* y, float* stats) {
  if (rows == 0) return;
  US_RUN(us_cuda(d), norm, us_blocks(rows, WARPS), THREADS, 0, rows, width, 0, 1, eps, x, NULL,
         NULL, gain, bias, NULL, y, stats);
}

void us_cuda_concat_norm(UsDevice* d, int rows, int wa, int wb, int repeat, float eps,
                         const float* a, const float* b, const float* gain, const float* bias,
                         float* joined, float* y, float* stats) {
  if (rows == 0) return;
  US_RUN(us_cuda(d), norm, us_blocks(rows, WARPS), THREADS, 0, rows, wa, wb, repeat, eps, NULL, a,
         b, gain, bias, joined, y, stats);
}

static __global__ void norm_back(int rows, int width, const float* x, const float* gain,
                                 const float* stats, const float* dy, float* dx) {
  int row = row_of_warp();
  if (row >= rows) return;
  float mean = stats[2 * (size_t)row], r = stats[2 * (size_t)row + 1];
  size_t from = (size_t)row * width;
  // Sums of g and of g h.
  float sg = 0, sh = 0;
  for (int i = lane_rank(); i < width; i += US_WARP) {
    float g = dy[from + i] * gain[i];
    sg += g;
    sh += g * ((x[from + i] - mean) * r);
  }
  float mg = warp_sum(sg) / (float)width, mh = warp_sum(sh) / (float)width;
  // dx is g without its parts along 1 and along the normalised row.
  for (int i = lane_rank(); i < width; i += US_WARP) {
    float h = (x[from + i] - mean) * r;
    dx[from + i] = r * (dy[from + i] * gain[i] - mg - h * mh);
  }
}

// ---- sums over rows ----

// What is summed: x; x dy; or, of norm, dy h into the first sum and dy into the second.
enum { SUM_X, SUM_PRODUCT, SUM_NORM };

// Partial sums (chunks, width) of CHUNK_ROWS rows each, of a matrix of `count` elements whose last
// row may be short. `second` takes the second sums of SUM_NORM.
template <int KIND>
static __global__ void chunk_sums(size_t count, int width, const float* x, const float* dy,
                                  const float* stats, float* first, float* second) {
  US_SHARED_ARRAY(float, part, [2][WARPS][US_WARP]);
  int column = (int)blockIdx.x * US_WARP + lane_rank();
  float s = 0, t = 0;
  // A warp takes every 8th row of the chunk.
  for (int k = warp_rank(); k < CHUNK_ROWS && column < width; k += WARPS) {
    size_t row = (size_t)blockIdx.y * CHUNK_ROWS + k, i = row * width + column;
    if (i >= count) break;
    if (KIND == SUM_X) s += x[i];
    if (KIND == SUM_PRODUCT) s += x[i] * dy[i];
    if (KIND == SUM_NORM) {
      s += dy[i] * ((x[i] - stats[2 * row]) * stats[2 * row + 1]);
      t += dy[i];
    }
  }
  part[0][warp_rank()][lane_rank()] = s;
  part[1][warp_rank()][lane_rank()] = t;
  __syncthreads();
  // The first warps add up what all have, in the order of the warps.
  int which = warp_rank();
  if (column >= width || which > (KIND == SUM_NORM)) return;
  float sum = 0;
  for (int w = 0; w < WARPS; ++w) sum += part[which][w][lane_rank()];
  (which ? second : first)[(size_t)blockIdx.y * width + column] = sum;
}

// out (width) += the columns of partial (chunks, width), for one or two of them.
static __global__ void sum_chunks(int chunks, int width, const float* first, const float* second,
                                  float* out_first, float* out_second) {
  US_SHARED_ARRAY(float, part, [WARPS][US_WARP]);
  int column = (int)blockIdx.x * US_WARP + lane_rank();
  const float* x = blockIdx.y ? second : first;
  float* out = blockIdx.y ? out_second : out_first;
  float s = 0;
  for (int k = warp_rank(); k < chunks && column < width; k += WARPS) {
    s += x[(size_t)k * width + column];
  }
  part[warp_rank()][lane_rank()] = s;
  __syncthreads();
  if (warp_rank() > 0 || column >= width || !out) return;
  float sum = 0;
  for (int w = 0; w < WARPS; ++w) sum += part[w][lane_rank()];
  out[column] += sum;
}

template <int KIND>
static void sum_columns(UsCuda* c, size_t count, int width, const float* x, const float* dy,
                        const float* stats, float* out, float* out_second) {
  if (count == 0 || width == 0) return;
  unsigned chunks = us_blocks(count, width * CHUNK_ROWS), across = us_blocks(width, US_WARP);
  float* part = (float*)us_cuda_scratch(c, 2 * sizeof(float) * chunks * (size_t)width);
  if (!part) return;
  float* second = part + (size_t)chunks * width;
  US_RUN(c, chunk_sums<KIND>, dim3(across, chunks), THREADS, 0, count, width, x, dy, stats, part,
         second);
  US_RUN(c, sum_chunks, dim3(across, KIND == SUM_NORM ? 2 : 1), THREADS, 0, (int)chunks, width,
         part, second, out, out_second);
}

void us_cuda_column_sums(UsCuda* c, int rows, int width, const float* x, float* out) {
  sum_columns<SUM_X>(c, (size_t)rows * width, width, x, NULL, NULL, out, NULL);
}

void us_cuda_norm_back(UsDevice* d, int rows, int width, const float* x, const float* gain,
                       const float* stats, const float* dy, float* dx, float* dgain, float* dbias) {
  UsCuda* c = us_cuda(d);
  if (rows == 0) return;
  if (dgain || dbias) {
    sum_columns<SUM_NORM>(c, (size_t)rows * width, width, x, dy, stats, dgain, dbias);
  }
  US_RUN(c, norm_back, us_blocks(rows, WARPS), THREADS, 0, rows, width, x, gain, stats, dy, dx);
}

// ---- rows ----

// A grid over (rows, width): a warp has SPAN columns of a row, WARPS rows to a block.
static dim3 over_rows(int rows, int width) {
  return dim3(us_blocks(rows, WARPS), us_blocks(width, SPAN));
}

// The columns that this lane has: for (int i = first_column(); i < end_column(width); i += 32).
__device__ static inline int first_column() {
  return (int)blockIdx.y * SPAN + lane_rank();
}
__device__ static inline int end_column(int width) {
  int end = (int)(blockIdx.y + 1) * SPAN;
  return end < width ? end : width;
}

static __global__ void columns(int rows, int width, const float* x, const float* gain,
                               const float* bias, float* y) {
  int r = row_of_warp();
  if (r >= rows) return;
  for (int i = first_column(); i < end_column(width); i += US_WARP) {
    size_t k = (size_t)r * width + i;
    y[k] = bias ? x[k] * gain[i] + bias[i] : x[k] * gain[i];
  }
}

void us_cuda_columns(UsDevice* d, int rows, int width, const float* x, const float* gain,
                     const float* bias, float* y) {
  if (rows == 0 || width == 0) return;
  US_RUN(us_cuda(d), columns, over_rows(rows, width), THREADS, 0, rows, width, x, gain, bias, y);
}

void us_cuda_columns_back(UsDevice* d, int rows, int width, const float* x, const float* gain,
                          const float* dy, float* dx, float* dgain) {
  // The sums first: dx may take the place of dy.
  if (rows == 0 || width == 0) return;
  if (dgain) {
    sum_columns<SUM_PRODUCT>(us_cuda(d), (size_t)rows * width, width, x, dy, NULL, dgain, NULL);
  }
  if (dx) us_cuda_columns(d, rows, width, dy, gain, NULL, dx);
}

// Row r of y, ystride floats apart, += row r % period of x, xstride apart.
static __global__ void add_rows(int rows, int period, int width, const float* x, size_t xstride,
                                float* y, size_t ystride) {
  int r = row_of_warp();
  if (r >= rows) return;
  const float* from = x + (size_t)(r % period) * xstride;
  float* to = y + (size_t)r * ystride;
  for (int i = first_column(); i < end_column(width); i += US_WARP) to[i] += from[i];
}

void us_cuda_add_rows(UsDevice* d, int rows, int period, int width, const float* x, float* y) {
  if (rows == 0 || width == 0) return;
  US_RUN(us_cuda(d), add_rows, over_rows(rows, width), THREADS, 0, rows, period, width, x,
         (size_t)width, y, (size_t)width);
}

void us_cuda_add_rows_back(UsDevice* d, int rows, int period, int width, const float* dy,
                           float* dx) {
  // The rows of a period lie one behind the other: they are one row of a wider matrix.
  sum_columns<SUM_X>(us_cuda(d), (size_t)rows * width, period * width, dy, NULL, NULL, dx, NULL);
}

void us_cuda_add_blocks(UsDevice* d, int rows, int width, const float* x, size_t xstride, float* y,
                        size_t ystride) {
  if (rows == 0 || width == 0) return;
  US_RUN(us_cuda(d), add_rows, over_rows(rows, width), THREADS, 0, rows, rows, width, x, xstride, y,
         ystride);
}

// da (rows, wa) = columns of dy (rows, wa + wb).
static __global__ void first_columns(int rows, int wa, int wb, const float* dy, float* da) {
  int r = row_of_warp();
  if (r >= rows) return;
  for (int i = first_column(); i < end_column(wa); i += US_WARP) {
    da[(size_t)r * wa + i] = dy[(size_t)r * (wa + wb) + i];
  }
}

// db (groups, wb) = the other columns, summed over the rows of a group, the first row first.
static __global__ void repeated_columns(int rows, int wa, int wb, int repeat, const float* dy,
                                        float* db) {
  int group = row_of_warp();
  if (group >= rows / repeat + (rows % repeat > 0)) return;
  int from = group * repeat, end = rows - from < repeat ? rows : from + repeat;
  for (int i = first_column(); i < end_column(wb); i += US_WARP) {
    const float* x = dy + wa + i;
    float sum = x[(size_t)from * (wa + wb)];
    for (int r = from + 1; r < end; ++r) sum += x[(size_t)r * (wa + wb)];
    db[(size_t)group * wb + i] = sum;
  }
}

void us_cuda_concat_back(UsDevice* d, int rows, int wa, int wb, int repeat, const float* dy,
                         float* da, float* db) {
  UsCuda* c = us_cuda(d);
  if (rows == 0) return;
  int groups = rows / repeat + (rows % repeat > 0);
  if (da && wa > 0) US_RUN(c, first_columns, over_rows(rows, wa), THREADS, 0, rows, wa, wb, dy, da);
  if (db && wb > 0) {
    US_RUN(c, repeated_columns, over_rows(groups, wb), THREADS, 0, rows, wa, wb, repeat, dy, db);
  }
}
