#ifndef UNDERSTUDY_OPS_TABLE_H_
#define UNDERSTUDY_OPS_TABLE_H_

// What a device is made of: one function for every operation of ops.h, and what they share.

#include "worldmodel/ops.h"

// Result, name, parameters, arguments of every us_ops_ function, in the order of ops.h.
#define US_OPS(X)                                                                                  \
  X(void*, alloc_bytes, (UsDevice * d, size_t bytes), (d, bytes))                                  \
  X(void, free, (UsDevice * d, void* x), (d, x))                                                   \
  X(void, put_bytes, (UsDevice * d, void* x, const void* host, size_t bytes), (d, x, host, bytes)) \
  X(void, get_bytes, (UsDevice * d, const void* x, void* host, size_t bytes), (d, x, host, bytes)) \
  X(void, zero_bytes, (UsDevice * d, void* x, size_t bytes), (d, x, bytes))                        \
  X(void, copy_bytes, (UsDevice * d, const void* x, void* y, size_t bytes), (d, x, y, bytes))      \
  X(const char*, name, (UsDevice * d), (d))                                                        \
  X(int, record, (UsDevice * d), (d))                                                              \
  X(void*, recorded, (UsDevice * d), (d))                                                          \
  X(void, replay, (UsDevice * d, void* recording), (d, recording))                                 \
  X(void, forget, (UsDevice * d, void* recording), (d, recording))                                 \
  X(void, dense, (UsDevice * d, const UsDense* s), (d, s))                                         \
  X(void, transpose, (UsDevice * d, int rows, int columns, const float* x, float* y),              \
    (d, rows, columns, x, y))                                                                      \
  X(void, linear_back,                                                                             \
    (UsDevice * d, int rows, int out, int in, const float* x, const float* w, const float* dy,     \
     float* dx, float* dw, float* db),                                                             \
    (d, rows, out, in, x, w, dy, dx, dw, db))                                                      \
  X(void, add, (UsDevice * d, size_t count, float a, const float* x, float* y),                    \
    (d, count, a, x, y))                                                                           \
  X(void, multiply, (UsDevice * d, size_t count, const float* x, float* y), (d, count, x, y))      \
  X(void, gelu, (UsDevice * d, size_t count, const float* x, float* y), (d, count, x, y))          \
  X(void, gelu_back, (UsDevice * d, size_t count, const float* x, const float* dy, float* dx),     \
    (d, count, x, dy, dx))                                                                         \
  X(void, clip, (UsDevice * d, size_t count, float low, float high, float* x),                     \
    (d, count, low, high, x))                                                                      \
  X(void, draw, (UsDevice * d, int rows, int width, const float* x, const float* noise, float* y), \
    (d, rows, width, x, noise, y))                                                                 \
  X(void, draw_back,                                                                               \
    (UsDevice * d, int rows, int width, float scale, const float* x, const float* noise,           \
     const float* dy, float* dx, double* sum),                                                     \
    (d, rows, width, scale, x, noise, dy, dx, sum))                                                \
  X(void, widen, (UsDevice * d, size_t count, const uint16_t* x, float* y), (d, count, x, y))      \
  X(void, norm,                                                                                    \
    (UsDevice * d, int rows, int width, float eps, const float* x, const float* gain,              \
     const float* bias, float* y, float* stats),                                                   \
    (d, rows, width, eps, x, gain, bias, y, stats))                                                \
  X(void, norm_back,                                                                               \
    (UsDevice * d, int rows, int width, const float* x, const float* gain, const float* stats,     \
     const float* dy, float* dx, float* dgain, float* dbias),                                      \
    (d, rows, width, x, gain, stats, dy, dx, dgain, dbias))                                        \
  X(void, concat_norm,                                                                             \
    (UsDevice * d, int rows, int wa, int wb, int repeat, float eps, const float* a,                \
     const float* b, const float* gain, const float* bias, float* joined, float* y, float* stats), \
    (d, rows, wa, wb, repeat, eps, a, b, gain, bias, joined, y, stats))                            \
  X(void, concat_back,                                                                             \
    (UsDevice * d, int rows, int wa, int wb, int repeat, const float* dy, float* da, float* db),   \
    (d, rows, wa, wb, repeat, dy, da, db))                                                         \
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
  X(void, copy_rows,                                                                               \
    (UsDevice * d, int rows, int width, int repeat, const int* index, const float* x,              \
     size_t xstride, float* y, size_t ystride),                                                    \
    (d, rows, width, repeat, index, x, xstride, y, ystride))                                       \
  X(void, add_blocks,                                                                              \
    (UsDevice * d, int rows, int width, const float* x, size_t xstride, float* y, size_t ystride), \
    (d, rows, width, x, xstride, y, ystride))                                                      \
  X(void, set_rows,                                                                                \
    (UsDevice * d, int n, int width, const int* index, const float* value, float* x),              \
    (d, n, width, index, value, x))                                                                \
  X(void, push,                                                                                    \
    (UsDevice * d, int n, int count, int size, const int* slot, const int* first,                  \
     const float* piece, float* pieces),                                                           \
    (d, n, count, size, slot, first, piece, pieces))                                               \
  X(void, rotate,                                                                                  \
    (UsDevice * d, int rows, int period, int heads, int dim, const float* angles, int sign,        \
     float* x, size_t stride),                                                                     \
    (d, rows, period, heads, dim, angles, sign, x, stride))                                        \
  X(void, keys,                                                                                    \
    (UsDevice * d, int rows, int tokens, int depth, int heads, int dim, int period,                \
     const float* angles, const float* both, float* k, float* v, size_t block, size_t frame),      \
    (d, rows, tokens, depth, heads, dim, period, angles, both, k, v, block, frame))                \
  X(void, attend,                                                                                  \
    (UsDevice * d, int batch, int tq, int tk, int heads, int dim, const float* angles, int period, \
     const uint8_t* mask, float* q, const float* k, const float* v, size_t stride, float* y,       \
     float* probs),                                                                                \
    (d, batch, tq, tk, heads, dim, angles, period, mask, q, k, v, stride, y, probs))               \
  X(void, attend_back,                                                                             \
    (UsDevice * d, int batch, int tq, int tk, int heads, int dim, const float* q, const float* k,  \
     const float* v, const float* probs, const float* dy, float* dq, float* dk, float* dv),        \
    (d, batch, tq, tk, heads, dim, q, k, v, probs, dy, dq, dk, dv))                                \
  X(void, window,                                                                                  \
    (UsDevice * d, int rows, int samples, const int* slot, int horizon, int f, int past, int leap, \
     int ahead, int length, int clip, const float* before, const float* actions, float* y),        \
    (d, rows, samples, slot, horizon, f, past, leap, ahead, length, clip, before, actions, y))     \
  X(void, smooth_l1,                                                                               \
    (UsDevice * d, size_t count, float beta, float scale, const float* x, const float* target,     \
     const float* weight, size_t width, float* dx, double* sum),                                   \
    (d, count, beta, scale, x, target, weight, width, dx, sum))                                    \
  X(void, squared_error,                                                                           \
    (UsDevice * d, size_t count, float scale, const float* x, const float* target,                 \
     const float* weight, float* dx, double* sum),                                                 \
    (d, count, scale, x, target, weight, dx, sum))                                                 \
  X(void, row_distance,                                                                            \
    (UsDevice * d, int rows, int width, int repeat, const int* index, const float* x,              \
     const float* y, const float* weight, float* out, int stride),                                 \
    (d, rows, width, repeat, index, x, y, weight, out, stride))                                    \
  X(void, gradient_sum,                                                                            \
    (UsDevice * d, int n, const UsPiece* piece, int shards, size_t floats, float* gradient,        \
     double* squares),                                                                             \
    (d, n, piece, shards, floats, gradient, squares))                                              \
  X(void, clip_scale,                                                                              \
    (UsDevice * d, int count, const double* squares, int losses, const double* loss, float limit,  \
     float* scale, double* norm),                                                                  \
    (d, count, squares, losses, loss, limit, scale, norm))                                         \
  X(void, adamw,                                                                                   \
    (UsDevice * d, int n, const UsPiece* piece, const double* when, float beta1, float beta2,      \
     float eps, const float* scale, const float* gradient, float* m, float* v, float* x),          \
    (d, n, piece, when, beta1, beta2, eps, scale, gradient, m, v, x))                              \
  X(void, patches,                                                                                 \
    (UsDevice * d, int n, int gh, int gw, int patch, const uint8_t* frames, const float* mean,     \
     const float* std, float* patches),                                                            \
    (d, n, gh, gw, patch, frames, mean, std, patches))                                             \
  X(void, unit,                                                                                    \
    (UsDevice * d, int rows, int width, const uint8_t* bytes, const float* mean, float* y),        \
    (d, rows, width, bytes, mean, y))                                                              \
  X(void, standardise,                                                                             \
    (UsDevice * d, int rows, int width, int kept, const int* keep, const double* x,                \
     const float* mean, const float* scale, float* y),                                             \
    (d, rows, width, kept, keep, x, mean, scale, y))                                               \
  X(void, noise,                                                                                   \
    (UsDevice * d, int n, int samples, int length, const UsRng* stream, uint32_t from, float* x),  \
    (d, n, samples, length, stream, from, x))                                                      \
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
    (d, n, length, elites, slot, best, best_cost, m, least, mean, deviation))                      \
  X(void, hand_out,                                                                                \
    (UsDevice * d, int n, int length, int played, int elites, int cold, const int* slot,           \
     const float* best, const double* best_cost, float* mean, float* actions),                     \
    (d, n, length, played, elites, cold, slot, best, best_cost, mean, actions))

typedef struct UsOps {
#define X(result, name, parameters, arguments) result(*name) parameters;
  US_OPS(X)
#undef X
} UsOps;

struct UsDevice {
  const UsOps* ops;
  void* self;  // the implementation's own
  int wide;    // 1: one call over many rows from one thread is fastest; 0: threads share small ones
  void (*close)(UsDevice* d);                    // Nullable
  void (*info)(UsDevice* d, UsDeviceInfo* out);  // Nullable
  const char* (*error)(UsDevice* d);  // the text of the first failure, NULL before it. Nullable
  const char* kind;  // as us_device_kind; of a module's device us_device_open sets it
  int bfloat;        // as us_device_bfloat; the same
};

extern const UsOps us_ops_cpu;

// What a module exports (ops/cuda/cuda_module.h says what it does), and its flag for `fast`.
enum { US_MODULE_FAST = 1 };
typedef int UsModuleOpen(int index, int flags, const char* version, size_t table_size,
                         UsDevice** out, char* message, size_t size);

#endif  // UNDERSTUDY_OPS_TABLE_H_
