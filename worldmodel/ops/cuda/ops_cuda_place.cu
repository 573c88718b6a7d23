// ops.h on CUDA: rows that are copied, set and remembered, and the windows of actions.

#include "worldmodel/ops/cuda/tile.h"

// ---- rows ----

// T: float, or float4 where all rows begin at multiples of 16 bytes; width and strides count it.
template <class T>
static __global__ void copy_rows(int rows, int width, int repeat, const int* index, const T* x,
                                 size_t xstride, T* y, size_t ystride) {
  size_t r = us_row();
  if (r >= (size_t)rows) return;
  size_t group = r / (unsigned)repeat, from = index ? (size_t)index[group] : group;
  for (int c = us_column(); c < width; c += us_columns()) {
    y[r * ystride + (size_t)c] = x[from * xstride + (size_t)c];
  }
}

void us_cuda_copy_rows(UsDevice* d, int rows, int width, int repeat, const int* index,
                       const float* x, size_t xstride, float* y, size_t ystride) {
  if (rows == 0 || width == 0) return;
  UsRowShape s = us_row_shape((size_t)rows, (size_t)width);
  if (width % 4 == 0 && us_has_quads(x, xstride) && us_has_quads(y, ystride)) {
    s = us_row_shape((size_t)rows, (size_t)width / 4);
    US_RUN(us_cuda(d), copy_rows<float4>, s.grid, s.block, 0, rows, width / 4, repeat, index,
           (const float4*)x, xstride / 4, (float4*)y, ystride / 4);
  } else {
    US_RUN(us_cuda(d), copy_rows<float>, s.grid, s.block, 0, rows, width, repeat, index, x, xstride,
           y, ystride);
  }
}

static __global__ void set_rows(int n, int width, const int* index, const float* value, float* x) {
  size_t i = us_row();
  if (i >= (size_t)n || index[i] < 0) return;
  for (int c = us_column(); c < width; c += us_columns()) {
    x[(size_t)index[i] * (size_t)width + (size_t)c] = value[i];
  }
}

void us_cuda_set_rows(UsDevice* d, int n, int width, const int* index, const float* value,
                      float* x) {
  if (n == 0 || width == 0) return;
  UsRowShape s = us_row_shape((size_t)n, (size_t)width);
  US_RUN(us_cuda(d), set_rows, s.grid, s.block, 0, n, width, index, value, x);
}

// A thread moves its number of every piece, one after the other, so nobody reads what another has
// written.
static __global__ void push(int n, int count, int size, const int* slot, const int* first,
                            const float* piece, float* pieces) {
  size_t i = us_row(), wide = (size_t)size;
  if (i >= (size_t)n) return;
  for (int c = us_column(); c < size; c += us_columns()) {
    float newest = piece[i * wide + (size_t)c];
    float* to = pieces + (size_t)slot[i] * (size_t)count * wide + (size_t)c;
    for (int k = 0; k + 1 < count; ++k, to += wide) *to = first[i] ? newest : to[wide];
    *to = newest;
  }
}

void us_cuda_push(UsDevice* d, int n, int count, int size, const int* slot, const int* first,
                  const float* piece, float* pieces) {
  if (n == 0 || count == 0 || size == 0) return;
  UsRowShape s = us_row_shape((size_t)n, (size_t)size);
  US_RUN(us_cuda(d), push, s.grid, s.block, 0, n, count, size, slot, first, piece, pieces);
}

// ---- actions ----

static __global__ void window(int rows, int samples, const int* slot, int horizon, int f, int past,
                              int leap, int ahead, int length, int clip, const float* before,
                              const float* actions, float* y) {
  size_t r = us_row(), wide = (size_t)length;
  if (r >= (size_t)rows) return;
  int width = (past + leap) * length;
  for (int c = us_column(); c < width; c += us_columns()) {
    int b = f - past + c / length, at = c % length;
    // A block that nobody knows, or is to know, is 0.
    float v = 0.0f;
    if (b >= f + ahead) {
      v = 0.0f;
    } else if (b >= 0) {
      v = actions[(r * (size_t)horizon + (size_t)b) * wide + (size_t)at];
    } else if (before) {
      size_t group = r / (unsigned)samples, s = slot ? (size_t)slot[group] : group;
      v = before[(s * (size_t)past + (size_t)(past + b)) * wide + (size_t)at];
    }
    if (clip) v = v < -1.0f ? -1.0f : v > 1.0f ? 1.0f : v;
    y[r * (size_t)width + (size_t)c] = v;
  }
}

void us_cuda_window(UsDevice* d, int rows, int samples, const int* slot, int horizon, int f,
                    int past, int leap, int ahead, int length, int clip, const float* before,
                    const float* actions, float* y) {
  if (rows == 0 || length == 0) return;
  UsRowShape s = us_row_shape((size_t)rows, (size_t)(past + leap) * (size_t)length);
  US_RUN(us_cuda(d), window, s.grid, s.block, 0, rows, samples, slot, horizon, f, past, leap, ahead,
         length, clip, before, actions, y);
}
