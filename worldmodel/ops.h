#ifndef UNDERSTUDY_OPS_H_
#define UNDERSTUDY_OPS_H_

// The numeric operations that models are written in, on a device: every call takes it first. A
// pointer to tensor memory comes from us_ops_alloc of the same device, and only us_ops_ functions
// read or write through it; us_ops_put and us_ops_get carry numbers in and out. Pointers marked
// `host` are ordinary memory.
//
// All matrices are row-major and packed. A linear layer's weight is (out, in), as checkpoints have
// it. `dx` overwrites, `dw`, `db`, `dgain` accumulate. Nothing allocates except us_ops_alloc.
//
// The same call with the same numbers of rows gives the same bits; another number of rows, or
// another place of a row within them, may not (BLAS has several paths). Callers that promise equal
// bits keep row counts and places fixed.
//
// Threads: every call works on its arguments alone and runs in the calling thread; BLAS is set to
// one thread on first use.

#include <stddef.h>
#include <stdint.h>

#include "worldmodel/base/arena.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/device.h"

US_C_BEGIN

// ---- memory ----

// `count` zeroed floats, aligned to 64 bytes; NULL when out of memory. Free with us_ops_free.
US_API float* us_ops_alloc(UsDevice* d, size_t count);
US_API void us_ops_free(UsDevice* d, void* x);
US_API void us_ops_put(UsDevice* d, float* x, const float* host, size_t count);
US_API void us_ops_get(UsDevice* d, const float* x, float* host, size_t count);
US_API void us_ops_zero(UsDevice* d, float* x, size_t count);
US_API void us_ops_copy(UsDevice* d, const float* x, float* y, size_t count);

// As us_ops_alloc and us_ops_get, for sums: they are doubles, and stay on the device until somebody
// wants to see them.
US_API double* us_ops_alloc_sums(UsDevice* d, size_t count);
US_API void us_ops_get_sums(UsDevice* d, const double* x, double* host, size_t count);

// As us_arena_alloc, but what the arena counted becomes tensor memory: us_ops_free(d, a->base)
// frees it.
US_API UsStatus us_ops_arena_alloc(UsDevice* d, UsArena* a);

// Text for benchmarks: library and kernel, such as "OpenBLAS 0.3.21 Haswell".
US_API const char* us_ops_name(UsDevice* d);

// ---- matrices ----

// y (rows, out) = x (rows, in) w' + b. w (out, in), b (out). Nullable: b.
US_API void us_ops_linear(UsDevice* d, int rows, int out, int in, const float* x, const float* w,
                          const float* b, float* y);

// As us_ops_linear with the weight transposed, wt (in, out): few rows are faster that way.
US_API void us_ops_linear_transposed(UsDevice* d, int rows, int out, int in, const float* x,
                                     const float* wt, const float* b, float* y);

// y (columns, rows) = x' of x (rows, columns).
US_API void us_ops_transpose(UsDevice* d, int rows, int columns, const float* x, float* y);

// Backward of us_ops_linear: dx (rows, in) = dy w; dw (out, in) += dy' x; db (out) += column sums
// of dy. Nullable: dx, dw, db.
US_API void us_ops_linear_back(UsDevice* d, int rows, int out, int in, const float* x,
                               const float* w, const float* dy, float* dx, float* dw, float* db);

// ---- element by element ----

// y (count) += a x. y may alias x.
US_API void us_ops_add(UsDevice* d, size_t count, float a, const float* x, float* y);

// y = gelu(x) = x/2 (1 + erf(x / sqrt 2)), the exact form, to float rounding. y may alias x.
US_API void us_ops_gelu(UsDevice* d, size_t count, const float* x, float* y);

// dx = dy gelu'(x). dx may alias dy.
US_API void us_ops_gelu_back(UsDevice* d, size_t count, const float* x, const float* dy, float* dx);

// x (count) = x within [low, high], where it is a number at all.
US_API void us_ops_clip(UsDevice* d, size_t count, float low, float high, float* x);

// ---- rows and columns ----

// y (rows, width) = (x - mean) / sqrt(var + eps) gain + bias; stats (rows, 2) keeps mean and
// 1 / sqrt(var + eps). Nullable: stats.
US_API void us_ops_norm(UsDevice* d, int rows, int width, float eps, const float* x,
                        const float* gain, const float* bias, float* y, float* stats);

// Backward of us_ops_norm. Nullable: dgain, dbias.
US_API void us_ops_norm_back(UsDevice* d, int rows, int width, const float* x, const float* gain,
                             const float* stats, const float* dy, float* dx, float* dgain,
                             float* dbias);

// y (rows, width) = x gain + bias, column by column. Nullable: bias. y may alias x.
US_API void us_ops_columns(UsDevice* d, int rows, int width, const float* x, const float* gain,
                           const float* bias, float* y);

// Backward of us_ops_columns: dx = dy gain; dgain (width) += sum x dy. Nullable: dx, dgain.
US_API void us_ops_columns_back(UsDevice* d, int rows, int width, const float* x, const float* gain,
                                const float* dy, float* dx, float* dgain);

// Row r of y (rows, width) += row r % period of x (period, width).
US_API void us_ops_add_rows(UsDevice* d, int rows, int period, int width, const float* x, float* y);

// Backward of us_ops_add_rows: dx (period, width) += the rows of dy that took each row of x.
US_API void us_ops_add_rows_back(UsDevice* d, int rows, int period, int width, const float* dy,
                                 float* dx);

// y (rows, wa + wb) = [a (rows, wa), b (rows, wb)], where row r of b is b's row r / repeat.
US_API void us_ops_concat(UsDevice* d, int rows, int wa, int wb, int repeat, const float* a,
                          const float* b, float* y);

// Backward of us_ops_concat: da (rows, wa) = the first columns of dy, db (rows / repeat, wb) = the
// others, summed over the repeats. Nullable: da, db.
US_API void us_ops_concat_back(UsDevice* d, int rows, int wa, int wb, int repeat, const float* dy,
                               float* da, float* db);

// Copies `rows` blocks of `width` floats: block r goes from x + r * xstride to y + r * ystride.
US_API void us_ops_copy_blocks(UsDevice* d, int rows, int width, const float* x, size_t xstride,
                               float* y, size_t ystride);

// y += in the same pattern, for backward passes.
US_API void us_ops_add_blocks(UsDevice* d, int rows, int width, const float* x, size_t xstride,
                              float* y, size_t ystride);

// ---- attention ----

// Rotates x (rows, heads, dim), rows `stride` floats apart, in place: pair p of each head (elements
// p and p + dim/2) turns by the angle whose cosine and sine stand in row r % period of angles
// (period, dim/2, 2). sign -1 turns back, which is also the backward pass.
US_API void us_ops_rotate(UsDevice* d, int rows, int period, int heads, int dim,
                          const float* angles, int sign, float* x, size_t stride);

enum { US_OPS_KEYS = 16 * 1024 };  // most keys of a query

// Softmax attention with scale 1/sqrt(dim), batch by batch and head by head: q (batch, tq, heads,
// dim), k and v (batch, tk, heads, dim), y like q. mask (tq, tk), host: 0 hides a key from a query;
// every query must see at least one key. probs (batch, heads, tq, tk) is kept for the backward
// pass. At most US_OPS_KEYS keys. Nullable: mask (all visible), probs.
US_API void us_ops_attend(UsDevice* d, int batch, int tq, int tk, int heads, int dim,
                          const uint8_t* mask, const float* q, const float* k, const float* v,
                          float* y, float* probs);

// Backward of us_ops_attend: dq, dk, dv overwritten.
US_API void us_ops_attend_back(UsDevice* d, int batch, int tq, int tk, int heads, int dim,
                               const float* q, const float* k, const float* v, const float* probs,
                               const float* dy, float* dq, float* dk, float* dv);

// ---- losses and distances ----

// sum (1) = smooth L1 (Huber with threshold beta, divided by beta) summed over count elements of
// x - target, times scale; dx = its gradient. The sum runs in double. Nullable: dx.
US_API void us_ops_smooth_l1(UsDevice* d, size_t count, float beta, float scale, const float* x,
                             const float* target, float* dx, double* sum);

// sum (1) = weighted squared error: sum weight (x - target)^2, times scale; dx = its gradient.
// Nullable: weight (all 1), dx, sum.
US_API void us_ops_squared_error(UsDevice* d, size_t count, float scale, const float* x,
                                 const float* target, const float* weight, float* dx, double* sum);

// out[r * stride] = squared distance of row r of x (rows, width) to row r / repeat of y, divided by
// width.
US_API void us_ops_row_distance(UsDevice* d, int rows, int width, int repeat, const float* x,
                                const float* y, float* out, int stride);

// ---- optimiser ----

// sum (1) = the sum of squares, in double.
US_API void us_ops_square_sum(UsDevice* d, size_t count, const float* x, double* sum);

// scale (1) = what clips a gradient to the norm `limit`, given the sums of squares (count) of its
// parts: min(1, limit / norm), or 1 when the norm is not a number.
US_API void us_ops_clip_scale(UsDevice* d, int count, const double* squares, float limit,
                              float* scale);

// AdamW (Loshchilov and Hutter 2019) on count parameters; gradients are first multiplied by scale
// (1). step counts from 1. Nullable: scale.
US_API void us_ops_adamw(UsDevice* d, size_t count, float rate, float beta1, float beta2, float eps,
                         float decay, const float* scale, int step, const float* gradient, float* m,
                         float* v, float* x);

// ---- images ----

// patches (n, gh, gw, channel, patch, patch) of frames, host uint8 (n, gh patch, gw patch, 3),
// as (x / 255 - mean) / std with mean (3) and std (3), host: the input of a patch embedding whose
// weight is (width, channel, patch, patch).
US_API void us_ops_patches(UsDevice* d, int n, int gh, int gw, int patch, const uint8_t* frames,
                           const float* mean, const float* std, float* patches);

// ---- search by sampling ----
// A plan is a row of `length` numbers. Calls work on n slots: candidates, their noise, rewards and
// costs lie by place i in the list, (n, samples, ..); what a slot keeps between calls lies by slot,
// at row slot[i] of (N, ..). Costs are doubles and orders ints, in tensor memory of as many bytes.

// x (n, samples, length): standard normal numbers. Row (i, k) is drawn from stream[i] with k added
// to its name c. stream: host (n).
US_API void us_ops_noise(UsDevice* d, int n, int samples, int length, const UsRng* stream,
                         float* x);

// Correlates every second row of x (rows, length), those of odd place r % period, with itself `lag`
// numbers before: x_j = carry x_{j - lag} + sqrt(1 - carry^2) x_j.
US_API void us_ops_correlate(UsDevice* d, int rows, int period, int length, int lag, float carry,
                             float* x);

// Noise x (n, samples, length) becomes candidates, x = clip(mean + deviation x, -1, 1), of which
// the first of each slot is the mean. slot: host (n); mean, deviation (N, length).
US_API void us_ops_sample(UsDevice* d, int n, int samples, int length, const int* slot,
                          const float* mean, const float* deviation, float* x);

// cost (n, samples) = minus the sum of weight (n, horizon), host, times rewards (n, samples,
// horizon), of which those of weight 0 are not looked at; INFINITY where the sum is not finite.
US_API void us_ops_cost(UsDevice* d, int n, int samples, int horizon, const float* weight,
                        const float* rewards, double* cost);

// The elites of each slot: the least costs of the first `keep` of old (N, elites, length) with
// old_cost (N, elites) and of candidates x (n, samples, length) with cost (n, samples), best first,
// ties to the old, then to the first. Writes best (N, elites, length), best_cost (N, elites), which
// is INFINITY where finite costs end, and order (n, elites): k < keep for old k, else keep + k.
US_API void us_ops_elites(UsDevice* d, int n, int samples, int length, int elites, int keep,
                          const int* slot, const float* x, const double* cost, const float* old,
                          const double* old_cost, int* order, float* best, double* best_cost);

// Moves mean and deviation (N, length) to those of the elites best (N, elites, length) whose
// best_cost is finite, m old + (1 - m) new, the deviation not below `least`. Sums run best first;
// without elites all stays.
US_API void us_ops_fit(UsDevice* d, int n, int length, int elites, const int* slot,
                       const float* best, const double* best_cost, float m, float least,
                       float* mean, float* deviation);

US_C_END

#endif  // UNDERSTUDY_OPS_H_
