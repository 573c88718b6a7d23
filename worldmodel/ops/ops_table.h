#ifndef UNDERSTUDY_OPS_TABLE_H_
#define UNDERSTUDY_OPS_TABLE_H_

// What a device is made of: one function for every operation of ops.h, and what they share.

#include "worldmodel/ops.h"

// Result, name, parameters, arguments of every us_ops_ function, in the order of ops.h.
#define US_OPS(X)                                                                                  \
  X(float*, alloc, (UsDevice * d, size_t count), (d, count))                                       \
  X(void, free, (UsDevice * d, void* x), (d, x))                                                   \
  X(void, put, (UsDevice * d, float* x, const float* host, size_t count), (d, x, host, count))     \
  X(void, get, (UsDevice * d, const float* x, float* host, size_t count), (d, x, host, count))     \
  X(void, zero, (UsDevice * d, float* x, size_t count), (d, x, count))                             \
  X(void, copy, (UsDevice * d, const float* x, float* y, size_t count), (d, x, y, count))          \
  X(double*, alloc_sums, (UsDevice * d, size_t count), (d, count))                                 \
  X(void, get_sums, (UsDevice * d, const double* x, double* host, size_t count),                   \
    (d, x, host, count))                                                                           \
  X(const char*, name, (UsDevice * d), (d))                                                        \
  X(void, linear,                                                                                  \
    (UsDevice * d, int rows, int out, int in, const float* x, const float* w, const float* b,      \
     float* y),                                                                                    \
    (d, rows, out, in, x, w, b, y))                                                                \
  X(void, linear_transposed,                                                                       \
    (UsDevice * d, int rows, int out, int in, const float* x, const float* wt, const float* b,     \
     float* y),                                                                                    \
    (d, rows, out, in, x, wt, b, y))                                                               \
  X(void, transpose, (UsDevice * d, int rows, int columns, const float* x, float* y),              \
    (d, rows, columns, x, y))                                                                      \
  X(void, linear_back,                                                                             \
    (UsDevice * d, int rows, int out, int in, const float* x, const float* w, const float* dy,     \
     float* dx, float* dw, float* db),                                                             \
    (d, rows, out, in, x, w, dy, dx, dw, db))                                                      \
  X(void, add, (UsDevice * d, size_t count, float a, const float* x, float* y),                    \
    (d, count, a, x, y))                                                                           \
  X(void, gelu, (UsDevice * d, size_t count, const float* x, float* y), (d, count, x, y))          \
  X(void, gelu_back, (UsDevice * d, size_t count, const float* x, const float* dy, float* dx),     \
    (d, count, x, dy, dx))                                                                         \
  X(void, clip, (UsDevice * d, size_t count, float low, float high, float* x),                     \
    (d, count, low, high, x))                                                                      \
  X(void, norm,                                                                                    \
    (UsDevice * d, int rows, int width, float eps, const float* x, const float* gain,              \
     const float* bias, float* y, float* stats),                                                   \
    (d, rows, width, eps, x, gain, bias, y, stats))                                                \
  X(void, norm_back,                                                                               \
    (UsDevice * d, int rows, int width, const float* x, const float* gain, const float* stats,     \
     const float* dy, float* dx, float* dgain, float* dbias),                                      \
    (d, rows, width, x, gain, stats, dy, dx, dgain, dbias))                                        \
  X(void, columns,                                                                                 \
    (UsDevice * d, int rows, int width, const float* x, const float* gain, const float* bias,      \
     float* y),                                                                                    \
    (d, rows, width, x, gain, bias, y))                                                            \
  X(void, columns_back,                                                                            \
    (UsDevice * d, int rows, int width, const float* x, const float* gain, const float* dy,        \
     float* dx, float* dgain),                                                                     \
    (d, rows, width, x, gain, dy, dx, dgain))                                                      \
  X(void, add_rows, (UsDevice * d, int rows, int period, int width, const float* x, float* y),     \
    (d, rows, period, width, x, y))                                                                \
  X(void, add_rows_back,                                                                           \
    (UsDevice * d, int rows, int period, int width, const float* dy, float* dx),                   \
    (d, rows, period, width, dy, dx))                                                              \
  X(void, concat,                                                                                  \
    (UsDevice * d, int rows, int wa, int wb, int repeat, const float* a, const float* b,           \
     float* y),                                                                                    \
    (d, rows, wa, wb, repeat, a, b, y))                                                            \
  X(void, concat_back,                                                                             \
    (UsDevice * d, int rows, int wa, int wb, int repeat, const float* dy, float* da, float* db),   \
    (d, rows, wa, wb, repeat, dy, da, db))                                                         \
  X(void, copy_blocks,                                                                             \
    (UsDevice * d, int rows, int width, const float* x, size_t xstride, float* y, size_t ystride), \
    (d, rows, width, x, xstride, y, ystride))                                                      \
  X(void, add_blocks,                                                                              \
    (UsDevice * d, int rows, int width, const float* x, size_t xstride, float* y, size_t ystride), \
    (d, rows, width, x, xstride, y, ystride))                                                      \
  X(void, rotate,                                                                                  \
    (UsDevice * d, int rows, int period, int heads, int dim, const float* angles, int sign,        \
     float* x, size_t stride),                                                                     \
    (d, rows, period, heads, dim, angles, sign, x, stride))                                        \
  X(void, attend,                                                                                  \
    (UsDevice * d, int batch, int tq, int tk, int heads, int dim, const uint8_t* mask,             \
     const float* q, const float* k, const float* v, float* y, float* probs),                      \
    (d, batch, tq, tk, heads, dim, mask, q, k, v, y, probs))                                       \
  X(void, attend_back,                                                                             \
    (UsDevice * d, int batch, int tq, int tk, int heads, int dim, const float* q, const float* k,  \
     const float* v, const float* probs, const float* dy, float* dq, float* dk, float* dv),        \
    (d, batch, tq, tk, heads, dim, q, k, v, probs, dy, dq, dk, dv))                                \
  X(void, smooth_l1,                                                                               \
    (UsDevice * d, size_t count, float beta, float scale, const float* x, const float* target,     \
     float* dx, double* sum),                                                                      \
    (d, count, beta, scale, x, target, dx, sum))                                                   \
  X(void, squared_error,                                                                           \
    (UsDevice * d, size_t count, float scale, const float* x, const float* target,                 \
     const float* weight, float* dx, double* sum),                                                 \
    (d, count, scale, x, target, weight, dx, sum))                                                 \
  X(void, row_distance,                                                                            \
    (UsDevice * d, int rows, int width, int repeat, const float* x, const float* y, float* out,    \
     int stride),                                                                                  \
    (d, rows, width, repeat, x, y, out, stride))                                                   \
  X(void, square_sum, (UsDevice * d, size_t count, const float* x, double* sum),                   \
    (d, count, x, sum))                                                                            \
  X(void, clip_scale, (UsDevice * d, int count, const double* squares, float limit, float* scale), \
    (d, count, squares, limit, scale))                                                             \
  X(void, adamw,                                                                                   \
    (UsDevice * d, size_t count, float rate, float beta1, float beta2, float eps, float decay,     \
     const float* scale, int step, const float* gradient, float* m, float* v, float* x),           \
    (d, count, rate, beta1, beta2, eps, decay, scale, step, gradient, m, v, x))                    \
  X(void, patches,                                                                                 \
    (UsDevice * d, int n, int gh, int gw, int patch, const uint8_t* frames, const float* mean,     \
     const float* std, float* patches),                                                            \
    (d, n, gh, gw, patch, frames, mean, std, patches))                                             \
  X(void, noise, (UsDevice * d, int n, int samples, int length, const UsRng* stream, float* x),    \
    (d, n, samples, length, stream, x))                                                            \
  X(void, correlate,                                                                               \
    (UsDevice * d, int rows, int period, int length, int lag, float carry, float* x),              \
    (d, rows, period, length, lag, carry, x))                                                      \
  X(void, sample,                                                                                  \
    (UsDevice * d, int n, int samples, int length, const int* slot, const float* mean,             \
     const float* deviation, float* x),                                                            \
    (d, n, samples, length, slot, mean, deviation, x))                                             \
  X(void, cost,                                                                                    \
    (UsDevice * d, int n, int samples, int horizon, const float* weight, const float* rewards,     \
     double* cost),                                                                                \
    (d, n, samples, horizon, weight, rewards, cost))                                               \
  X(void, elites,                                                                                  \
    (UsDevice * d, int n, int samples, int length, int elites, int keep, const int* slot,          \
     const float* x, const double* cost, const float* old, const double* old_cost, int* order,     \
     float* best, double* best_cost),                                                              \
    (d, n, samples, length, elites, keep, slot, x, cost, old, old_cost, order, best, best_cost))   \
  X(void, fit,                                                                                     \
    (UsDevice * d, int n, int length, int elites, const int* slot, const float* best,              \
     const double* best_cost, float m, float least, float* mean, float* deviation),                \
    (d, n, length, elites, slot, best, best_cost, m, least, mean, deviation))

typedef struct UsOps {
#define X(result, name, parameters, arguments) result(*name) parameters;
  US_OPS(X)
#undef X
} UsOps;

struct UsDevice {
  const UsOps* ops;
  void* self;                  // the implementation's own
  void (*close)(UsDevice* d);  // Nullable
};

extern const UsOps us_ops_cpu;

#endif  // UNDERSTUDY_OPS_TABLE_H_
