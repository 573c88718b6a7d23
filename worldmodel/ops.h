#ifndef UNDERSTUDY_OPS_H_
#define UNDERSTUDY_OPS_H_

// The numeric operations that models are written in, on a device: every call takes it first. A
// pointer to tensor memory comes from us_ops_alloc of the same device, and only us_ops_ functions
// read or write through it; us_ops_put and us_ops_get carry numbers in and out. Pointers are tensor
// memory where nothing else is said; those marked `host` are ordinary memory.
//
// All matrices are row-major and packed. A linear layer's weight is (out, in), as checkpoints have
// it. `dx` overwrites, `dw`, `db`, `dgain` accumulate. Nothing allocates except us_ops_alloc.
//
// A device may work behind the caller's back: calls come back before their work is done, and are
// worked off in their order. us_ops_get waits for all before it. What us_ops_put was handed may
// change as soon as it is back.
//
// The same call with the same numbers of rows gives the same bits; another number of rows, or
// another place of a row within them, may not on the CPU (BLAS has several paths). Callers that
// promise equal bits keep row counts and places fixed there.
//
// Threads: every call works on its arguments alone and, on the CPU, runs in the calling thread;
// BLAS is set to one thread on first use.

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

// The same in bytes, for what is no float: indices are int, sums double, streams UsRng.
US_API void* us_ops_alloc_bytes(UsDevice* d, size_t bytes);
US_API void us_ops_put_bytes(UsDevice* d, void* x, const void* host, size_t bytes);
US_API void us_ops_get_bytes(UsDevice* d, const void* x, void* host, size_t bytes);
US_API void us_ops_zero_bytes(UsDevice* d, void* x, size_t bytes);
US_API void us_ops_copy_bytes(UsDevice* d, const void* x, void* y, size_t bytes);

// As us_ops_alloc and us_ops_get, for sums: they are doubles, and stay on the device until somebody
// wants to see them.
US_API double* us_ops_alloc_sums(UsDevice* d, size_t count);
US_API void us_ops_get_sums(UsDevice* d, const double* x, double* host, size_t count);

// As us_arena_alloc, but what the arena counted becomes tensor memory: us_ops_free(d, a->base)
// frees it.
US_API UsStatus us_ops_arena_alloc(UsDevice* d, UsArena* a);

// The failure to say after a NULL: US_MEMORY with `what` and the bytes asked for, also what a
// device has left, or US_DEVICE where it has failed before.
US_API UsStatus us_ops_no_memory(UsDevice* d, const char* what, size_t bytes);

// Text for benchmarks: library and kernel, such as "OpenBLAS 0.3.21 Haswell".
US_API const char* us_ops_name(UsDevice* d);

// ---- recordings ----
// Who makes the same calls with the same arguments over and over may have the device record them,
// after they were made once as usual, and replay them in one call: what they read from tensor
// memory may have changed, all else is as it was. Between us_ops_record and us_ops_recorded there
// is neither put nor get nor alloc.

// 1: calls are recorded from here on, and not done. 0: this device records nothing.
US_API int us_ops_record(UsDevice* d);

// Ends the recording, which us_ops_forget frees. NULL: it cannot be replayed.
US_API void* us_ops_recorded(UsDevice* d);
US_API void us_ops_replay(UsDevice* d, void* recording);
US_API void us_ops_forget(UsDevice* d, void* recording);  // NULL is fine

// ---- matrices ----

// y (rows, out) = f(x (rows, in) w' + b) + add, where f is gelu when `up` is given, else nothing.
typedef struct UsDense {
  int rows, out, in;
  const float* x;
  const float* w;    // (out, in); with transposed 1 (in, out), which is faster for few rows
  int transposed;    // 0 or 1
  const float* b;    // (out). Nullable
  float* up;         // (rows, out) takes x w' + b, for the backward pass; may be y. Nullable
  const float* add;  // (period, out): row r % period is added to row r. Nullable
  int period;        // of add
  float* y;
} UsDense;

US_API void us_ops_dense(UsDevice* d, const UsDense* s);

// y (rows, out) = x (rows, in) w' + b. w (out, in), b (out). Nullable: b.
US_API void us_ops_linear(UsDevice* d, int rows, int out, int in, const float* x, const float* w,
                          const float* b, float* y);

// y (columns, rows) = x' of x (rows, columns).
US_API void us_ops_transpose(UsDevice* d, int rows, int columns, const float* x, float* y);

// Backward of us_ops_linear: dx (rows, in) = dy w; dw (out, in) += dy' x; db (out) += column sums
// of dy. Nullable: dx, dw, db.
US_API void us_ops_linear_back(UsDevice* d, int rows, int out, int in, const float* x,
                               const float* w, const float* dy, float* dx, float* dw, float* db);

// ---- element by element ----

// y (count) += a x. y may alias x.
US_API void us_ops_add(UsDevice* d, size_t count, float a, const float* x, float* y);

// y (count) *= x.
US_API void us_ops_multiply(UsDevice* d, size_t count, const float* x, float* y);

// y = gelu(x) = x/2 (1 + erf(x / sqrt 2)), the exact form, to float rounding. y may alias x.
US_API void us_ops_gelu(UsDevice* d, size_t count, const float* x, float* y);

// dx = dy gelu'(x). dx may alias dy.
US_API void us_ops_gelu_back(UsDevice* d, size_t count, const float* x, const float* dy, float* dx);

// x (count) = x within [low, high], where it is a number at all.
US_API void us_ops_clip(UsDevice* d, size_t count, float low, float high, float* x);

// Draws from normal distributions: y (rows, width) = m + exp(l) noise, where a row of x (rows, 2
// width) has all means m, then all logarithms l of deviations. noise (rows, width).
US_API void us_ops_draw(UsDevice* d, int rows, int width, const float* x, const float* noise,
                        float* y);

// Backward of us_ops_draw and of a penalty, scale times the divergences from the standard normal
// distribution, (m^2 + exp(2 l) - 1) / 2 - l each: dx (rows, 2 width); sum (1) = the penalty, in
// double. Nullable: dy (0), then noise is not looked at; dx; sum.
US_API void us_ops_draw_back(UsDevice* d, int rows, int width, float scale, const float* x,
                             const float* noise, const float* dy, float* dx, double* sum);

// y (count) = x (count), bfloat16 (worldmodel/base/bfloat.h), exactly.
US_API void us_ops_widen(UsDevice* d, size_t count, const uint16_t* x, float* y);

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

// joined (rows, wa + wb) = [a (rows, wa), b (rows, wb)], where row r of b is b's row r / repeat; y
// and stats are us_ops_norm of it. Nullable: stats.
US_API void us_ops_concat_norm(UsDevice* d, int rows, int wa, int wb, int repeat, float eps,
                               const float* a, const float* b, const float* gain, const float* bias,
                               float* joined, float* y, float* stats);

// Backward of the joining: da (rows, wa) = the first columns of dy, db (rows / repeat, wb) = the
// others, summed over the repeats. Nullable: da, db.
US_API void us_ops_concat_back(UsDevice* d, int rows, int wa, int wb, int repeat, const float* dy,
                               float* da, float* db);

// Block r of y (its blocks ystride floats apart) = block index[r / repeat] of x (xstride apart),
// for `rows` blocks of `width` floats. Nullable: index, then r / repeat itself is taken.
US_API void us_ops_copy_rows(UsDevice* d, int rows, int width, int repeat, const int* index,
                             const float* x, size_t xstride, float* y, size_t ystride);

// The same block by block: block r goes from x + r * xstride to y + r * ystride.
US_API void us_ops_copy_blocks(UsDevice* d, int rows, int width, const float* x, size_t xstride,
                               float* y, size_t ystride);

// y += in that pattern, for backward passes.
US_API void us_ops_add_blocks(UsDevice* d, int rows, int width, const float* x, size_t xstride,
                              float* y, size_t ystride);

// All of row index[i] of x (N, width) = value[i], for n rows, but for those whose index is
// negative.
US_API void us_ops_set_rows(UsDevice* d, int n, int width, const int* index, const float* value,
                            float* x);

// What slots remember: row slot[i] of pieces (N, count, size) loses its oldest piece, the first,
// and row i of piece (n, size) becomes its last; where first[i] is not 0 it takes all places. The
// slots are distinct.
US_API void us_ops_push(UsDevice* d, int n, int count, int size, const int* slot, const int* first,
                        const float* piece, float* pieces);

// ---- attention ----

// Rotates x (rows, heads, dim), rows `stride` floats apart, in place: pair p of each head (elements
// p and p + dim/2) turns by the angle whose cosine and sine stand in row r % period of angles
// (period, dim/2, 2). sign -1 turns back, which is also the backward pass.
US_API void us_ops_rotate(UsDevice* d, int rows, int period, int heads, int dim,
                          const float* angles, int sign, float* x, size_t stride);

// Keys and values of tokens (rows, width = heads dim), `tokens` to a frame, out of `both` (rows,
// depth, 2, width): those of block l and frame f go to k + l * block + f * frame, v alike, keys
// turned as by us_ops_rotate.
US_API void us_ops_keys(UsDevice* d, int rows, int tokens, int depth, int heads, int dim,
                        int period, const float* angles, const float* both, float* k, float* v,
                        size_t block, size_t frame);

enum { US_OPS_KEYS = 16 * 1024 };  // most keys of a query

// Softmax attention with scale 1/sqrt(dim), batch by batch and head by head: q (batch, tq, heads,
// dim), which is first turned by the angles as us_ops_rotate does; k and v (batch, tk, heads, dim),
// batches `stride` floats apart; y like q. mask (tq, tk): 0 hides a key from a query; every query
// must see at least one key. probs (batch, heads, tq, tk) is kept for the backward pass. At most
// US_OPS_KEYS keys. Nullable: angles (q stays), mask (all visible), probs.
US_API void us_ops_attend(UsDevice* d, int batch, int tq, int tk, int heads, int dim,
                          const float* angles, int period, const uint8_t* mask, float* q,
                          const float* k, const float* v, size_t stride, float* y, float* probs);

// Backward of us_ops_attend, for the turned q; k, v packed. dq, dk, dv overwritten.
US_API void us_ops_attend_back(UsDevice* d, int batch, int tq, int tk, int heads, int dim,
                               const float* q, const float* k, const float* v, const float* probs,
                               const float* dy, float* dq, float* dk, float* dv);

// The actions of candidates around block f: y (rows, past + leap, length) = blocks f - past ..
// f + leap - 1 of each, of which those from f + ahead on are 0. Block b >= 0 of candidate r is that
// of actions (rows, horizon, length), b < horizon; one before the first that of before (N, past,
// length), row slot[r / samples]. With clip 1 all are clipped to [-1, 1]. Nullable: before (0),
// slot (r / samples itself).
US_API void us_ops_window(UsDevice* d, int rows, int samples, const int* slot, int horizon, int f,
                          int past, int leap, int ahead, int length, int clip, const float* before,
                          const float* actions, float* y);

// ---- losses and distances ----

// sum (1) = smooth L1 (Huber with threshold beta, divided by beta) summed over count elements of
// x - target, times scale; dx = its gradient. Element i counts weight[i / width] times. The sum
// runs in double. Nullable: weight (all 1; width is not looked at), dx.
US_API void us_ops_smooth_l1(UsDevice* d, size_t count, float beta, float scale, const float* x,
                             const float* target, const float* weight, size_t width, float* dx,
                             double* sum);

// sum (1) = weighted squared error: sum weight (x - target)^2, times scale; dx = its gradient.
// Nullable: weight (all 1), dx, sum.
US_API void us_ops_squared_error(UsDevice* d, size_t count, float scale, const float* x,
                                 const float* target, const float* weight, float* dx, double* sum);

// out[r * stride] = sum_i weight_i (x_ri - y_ki)^2 / width, of row r of x (rows, width) and row k =
// index[r / repeat] of y. Nullable: index, then k = r / repeat; weight (width), then all 1.
US_API void us_ops_row_distance(UsDevice* d, int rows, int width, int repeat, const int* index,
                                const float* x, const float* y, const float* weight, float* out,
                                int stride);

// ---- optimiser ----

// A piece of the parameters, at most US_PIECE floats that lie together.
enum { US_PIECE = 16384 };
typedef struct UsPiece {
  size_t at;     // its first float
  int count;     // floats
  float factor;  // on the rate
  float decay;   // of its weights
} UsPiece;

// The gradient of a batch from those of its shards (shards, floats), for n pieces: the first
// becomes their sum, in their order; squares (n) = the sums of its squares, in double.
US_API void us_ops_gradient_sum(UsDevice* d, int n, const UsPiece* piece, int shards, size_t floats,
                                float* gradient, double* squares);

// What clips a gradient to the norm `limit`, given the sums of squares (count) of its pieces:
// scale[0] = min(1, limit / norm), norm (1) = the norm. Once the norm or the sum of loss (losses)
// is not finite, scale[0] is NaN, now and in every later call: scale[1], 0 at first, remembers.
// scale (2). Nullable: loss.
US_API void us_ops_clip_scale(UsDevice* d, int count, const double* squares, int losses,
                              const double* loss, float limit, float* scale, double* norm);

// AdamW (Loshchilov and Hutter 2019) on n pieces of gradient, m, v and x; gradients are first
// multiplied by scale[0], and with a NaN there nothing is done. What changes from step to step lies
// in tensor memory, so that steps can be recorded: when (3) is the rate, 1 - beta1^step and
// 1 - beta2^step, with steps from 1 (us_ops_adamw_when writes them to ordinary memory). Nullable:
// scale.
US_API void us_ops_adamw(UsDevice* d, int n, const UsPiece* piece, const double* when, float beta1,
                         float beta2, float eps, const float* scale, const float* gradient,
                         float* m, float* v, float* x);
US_API void us_ops_adamw_when(float rate, float beta1, float beta2, int64_t step, double when[3]);

// ---- images ----

// patches (n, gh, gw, channel, patch, patch) of frames, uint8 (n, gh patch, gw patch, 3), as
// (x / 255 - mean) / std with mean (3) and std (3), host: the input of a patch embedding whose
// weight is (width, channel, patch, patch).
US_API void us_ops_patches(UsDevice* d, int n, int gh, int gw, int patch, const uint8_t* frames,
                           const float* mean, const float* std, float* patches);

// y (rows, width) = bytes (rows, width) / 255 - mean (width).
US_API void us_ops_unit(UsDevice* d, int rows, int width, const uint8_t* bytes, const float* mean,
                        float* y);

// y (rows, kept): number j is (x[keep[j]] - mean[keep[j]]) scale[keep[j]] of the row of x (rows,
// width), computed in double, since positions of large worlds lose digits as floats.
US_API void us_ops_standardise(UsDevice* d, int rows, int width, int kept, const int* keep,
                               const double* x, const float* mean, const float* scale, float* y);

// ---- search by sampling ----
// A plan is a row of `length` numbers. Calls work on n slots: candidates, their noise, rewards and
// costs lie by place i in the list, (n, samples, ..); what a slot keeps between calls lies by slot,
// at row slot[i] of (N, ..).

// x (n, samples, length): standard normal numbers. Row (i, k) is drawn from stream[i], which is
// at its start, with from + k added to its name c. stream (n).
US_API void us_ops_noise(UsDevice* d, int n, int samples, int length, const UsRng* stream,
                         uint32_t from, float* x);

// Correlates every second row of x (rows, length), those of odd place r % period, with itself `lag`
// numbers before: x_j = carry x_{j - lag} + sqrt(1 - carry^2) x_j.
US_API void us_ops_correlate(UsDevice* d, int rows, int period, int length, int lag, float carry,
                             float* x);

// Noise x (n, samples, length) becomes candidates, x = clip(mean + deviation x, -1, 1), of which
// the first of each slot is the mean. slot (n); mean, deviation (N, length).
US_API void us_ops_sample(UsDevice* d, int n, int samples, int length, const int* slot,
                          const float* mean, const float* deviation, float* x);

// cost (n, samples) = minus the sum of weight (n, horizon) times rewards (n, samples,
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

// Hands plans out: actions (n, played) = the first numbers of the slot's mean (N, length), or those
// of the first of best (N, elites, length) where its best_cost is finite. Then the mean goes on
// behind them, with zeros at its end; with cold 1 it is all 0. Nullable: best, best_cost.
US_API void us_ops_hand_out(UsDevice* d, int n, int length, int played, int elites, int cold,
                            const int* slot, const float* best, const double* best_cost,
                            float* mean, float* actions);

US_C_END

#endif  // UNDERSTUDY_OPS_H_
