// ops.h on CUDA: matrix products.
//
//   dense:  y = f(x w' + b) + add,  f = gelu or nothing
//   back:   dx = dy w,  dw += dy' x,  db += sums of the columns of dy
//
// dense is a kernel of its own, since cuBLAS takes other kernels for other numbers of rows: here
// every number of y is one chain of fused multiply-adds over `in`, in its order, whatever the
// tile, its place and the number of rows; the tile itself depends on `out` alone.
//
// A block of 4 warps computes 128 rows x 64 outputs, a thread 8 x 8 of them in registers. `in` goes
// through shared memory in slabs of 8, two of them, so that one fills while the other is worked
// off. What that asks of a processor that does 128 multiply-adds a clock (32 a warp):
//   - device memory: (128 + 64) floats a column of `in` for 128 * 64 multiply-adds, 10.7 to a byte.
//     A card that has 60 Tflop/s and 3 TB/s needs 10 when nothing is read twice; the blocks of the
//     same rows lie side by side in the grid, so that x comes from the cache but for the first.
//   - shared memory: a column of a slab costs a thread 4 reads of 16 bytes for 64 multiply-adds.
//     Lanes are laid out such that a read takes 2 passes of 128 bytes (neighbouring lanes, or those
//     two apart, share an address): 8 passes for 64 clocks of a warp, 32 for the four, half of
//     what there is. Slabs lie transposed, in rows 4 floats longer than the tile, so that the
//     writes of a warp hit 32 banks.
//   - registers: 64 sums, 16 factors, 12 numbers of the next slab and addresses, held to 128, which
//     lets 4 blocks stay on a processor, 16 warps to hide what memory takes.
// At `out` up to 32 a thread has 8 x 4.

#include "worldmodel/ops/cuda/tile.h"

enum {
  ROWS = 128,     // of a tile
  SLAB = 8,       // columns of `in` at a time
  THREADS = 128,  // of a block
  PAD = 4,
};

// Which matrices have rows that begin at multiples of 16 bytes, and w stored as (in, out).
enum { QUADS_X = 1, QUADS_W = 2, QUADS_Y = 4, TRANSPOSED = 8 };

// ---- dense ----

// What one thread carries from device to shared memory, slab by slab: two quads of x and one of w,
// quads being four numbers that lie side by side. They are quad t % 2 of row t / 2 of the slab, and
// of row t / 2 + 64 of x; of a transposed w quad t % (N / 4) of row t / (N / 4). What lies outside
// of x and w is read as their last row or column, since nobody keeps what comes out.
typedef struct Carrier {
  unsigned x, y, w;  // where they lie in the tile's rows, and in the slab of w
  float4 quad[3];
} Carrier;

__device__ static inline int smaller(int a, int b) {
  return a < b ? a : b;
}

template <int N>
__device__ static inline Carrier carrier(int rows, int out, int in, int flags, int row,
                                         int column) {
  int t = (int)threadIdx.x, q = t % 2 * 4;
  Carrier s;
  s.x = (unsigned)(smaller(t / 2, rows - row - 1) * in + q);
  s.y = (unsigned)(smaller(t / 2 + ROWS / 2, rows - row - 1) * in + q);
  s.w = (unsigned)(smaller(t / 2, out - column - 1) * in + q);
  if (flags & TRANSPOSED) {
    s.w = (unsigned)(t / (N / 4) * out + smaller(t % (N / 4) * 4, (out - column - 1) / 4 * 4));
  }
  return s;
}

// Takes up columns k .. k + 7 of the tile's rows x, and of w.
template <int N, bool WHOLE>
__device__ static inline void load(Carrier* s, int out, int in, int flags, const float* x,
                                   const float* w, int column, int k) {
  int t = (int)threadIdx.x, left = WHOLE ? 4 : in - k - t % 2 * 4;
  s->quad[0] = us_quad(x + k + s->x, left, WHOLE || flags & QUADS_X);
  s->quad[1] = us_quad(x + k + s->y, left, WHOLE || flags & QUADS_X);
  const float* from = w + k + s->w;
  if (flags & TRANSPOSED) {
    from = w + (size_t)k * (size_t)out + s->w;
    if (!WHOLE) left = k + t / (N / 4) < in ? out - column - t % (N / 4) * 4 : 0;
  }
  s->quad[2] = us_quad(from, left, WHOLE || flags & QUADS_W);
}

// Four rows of a slab in shared memory, which are PAD longer than the tile: a warp writes 16 places
// of rows 0 and 4 at a time, and those are in different banks.
__device__ static inline void put_column(float4 v, float* p, int width) {
  p[0] = v.x, p[width] = v.y, p[2 * width] = v.z, p[3 * width] = v.w;
}

template <int N>
__device__ static inline void store(const Carrier* s, int flags, float* x, float* w) {
  int t = (int)threadIdx.x, r = t / 2, q = t % 2 * 4;
  put_column(s->quad[0], x + q * (ROWS + PAD) + r, ROWS + PAD);
  put_column(s->quad[1], x + q * (ROWS + PAD) + r + ROWS / 2, ROWS + PAD);
  if (t >= 2 * N) return;
  if (flags & TRANSPOSED) {
    *(float4*)(w + t / (N / 4) * (N + PAD) + t % (N / 4) * 4) = s->quad[2];
  } else {
    put_column(s->quad[2], w + q * (N + PAD) + r, N + PAD);
  }
}

// v plus the first n numbers at p; nothing for NULL.
__device__ static inline float4 plus(float4 v, const float* p, int n, int aligned) {
  if (!p) return v;
  float4 w = us_quad(p, n, aligned);
  return make_float4(v.x + w.x, v.y + w.y, v.z + w.z, v.w + w.w);
}

__device__ static inline void put(float4 v, float* p, int n, int aligned) {
  if (aligned) {
    *(float4*)p = v;
    return;
  }
  p[0] = v.x;
  if (n > 1) p[1] = v.y;
  if (n > 2) p[2] = v.z;
  if (n > 3) p[3] = v.w;
}

// Four outputs that lie side by side: bias, gelu, residual. n: how many of them there are.
template <bool GELU>
__device__ static inline void finish(const float* sum, int n, int quads, const float* b, float* up,
                                     const float* add, float* y) {
  float4 v = make_float4(sum[0], sum[1], sum[2], sum[3]);
  v = plus(v, b, n, quads);
  if (GELU) {
    if (up != y) put(v, up, n, quads);
    v = make_float4(us_gelu(v.x), us_gelu(v.y), us_gelu(v.z), us_gelu(v.w));
  }
  put(plus(v, add, n, quads), y, n, quads);
}

template <int N, bool GELU, bool WHOLE>
static __global__ void __launch_bounds__(THREADS, 4)
    dense_tile(int rows, int out, int in, int period, int flags, const float* x, const float* w,
               const float* b, float* up, const float* add, float* y) {
  US_SHARED_ARRAY(float4, xs, [2][SLAB * (ROWS + PAD) / 4]);
  US_SHARED_ARRAY(float4, ws, [2][SLAB * (N + PAD) / 4]);
  enum { C = N / 8 };  // columns of a thread
  // Tiles of the same rows are neighbours. Warps are 2 x 2, 64 x N / 2 each, lanes 8 x 4; a thread
  // has rows r .. r + 3 and r + 32 .., columns c .. c + 3 and c + 16 ...
  int tiles = (out + N - 1) / N;
  int row = (int)blockIdx.x / tiles * ROWS, column = (int)blockIdx.x % tiles * N;
  int lane = lane_rank(), warp = warp_rank();
  int r = warp / 2 * 64 + ((lane & 1) | (lane >> 3 << 1)) * 4;
  int c = warp % 2 * (N / 2) + ((lane >> 1) & 3) * 4;

  // At the edges of y most threads of a tile have nothing to add up.
  int busy = row + r < rows && column + c < out;
  float sum[8][C] = {};
  Carrier next = carrier<N>(rows, out, in, flags, row, column);
  x += (size_t)row * (size_t)in;
  w += (size_t)column * (flags & TRANSPOSED ? 1 : (size_t)in);
  load<N, WHOLE>(&next, out, in, flags, x, w, column, 0);
  store<N>(&next, flags, (float*)xs[0], (float*)ws[0]);
  __syncthreads();
  for (int k = 0, now = 0; k < in; k += SLAB, now ^= 1) {
    // The next slab is under way while this one is worked off.
    int more = k + SLAB < in;
    if (more) load<N, WHOLE>(&next, out, in, flags, x, w, column, k + SLAB);
    const float* xk = (const float*)xs[now] + r;
    const float* wk = (const float*)ws[now] + c;
#pragma unroll
    for (int s = 0; s < SLAB && busy; ++s, xk += ROWS + PAD, wk += N + PAD) {
      float p[8], q[C];
      *(float4*)&p[0] = *(const float4*)xk;
      *(float4*)&p[4] = *(const float4*)(xk + 32);
      *(float4*)&q[0] = *(const float4*)wk;
      if (C == 8) *(float4*)&q[C - 4] = *(const float4*)(wk + 16);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
#pragma unroll
        for (int j = 0; j < C; ++j) sum[i][j] = us_fma(p[i], q[j], sum[i][j]);
      }
    }
    if (more) store<N>(&next, flags, (float*)xs[now ^ 1], (float*)ws[now ^ 1]);
    __syncthreads();
  }

  // Row by row; what follows moves up, so that the code of gelu is there for one row alone.
#pragma unroll(GELU ? 1 : 8)
  for (int i = 0; i < 8; ++i) {
    int at = row + r + i % 4 + i / 4 * 32;
    if (at >= rows) break;
    const float* residual = add ? add + (size_t)(at % period) * (size_t)out : NULL;
#pragma unroll
    for (int j = 0; j < C; j += 4) {
      int to = column + c + j * 4;
      if (to >= out) continue;
      size_t place = (size_t)at * (size_t)out + (size_t)to;
      finish<GELU>(&sum[0][j], out - to, flags & QUADS_Y, b ? b + to : NULL,
                   GELU ? up + place : NULL, residual ? residual + to : NULL, y + place);
    }
#pragma unroll
    for (int k = 0; k < 7 * C; ++k) sum[k / C][k % C] = sum[k / C + 1][k % C];
  }
}

// ---- dense with --fast: cuBLAS in TF32, and what comes behind the product ----

// up (rows, out), the product, becomes product + bias; y = f(that) + add. Nullable: b, up, add.
static __global__ void behind(size_t count, int out, int period, const float* b, const float* z,
                              float* up, const float* add, float* y) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  size_t r = i / (size_t)out, c = i % (size_t)out;
  float v = z[i] + (b ? b[c] : 0.0f);
  if (up) {
    if (up != y) up[i] = v;
    v = us_gelu(v);
  }
  y[i] = add ? v + add[r % (size_t)period * (size_t)out + c] : v;
}

static void dense_fast(UsCuda* c, const UsDense* s) {
  float* z = s->up ? s->up : s->y;
  US_MULTIPLY(c, 0, !s->transposed, s->rows, s->out, s->in, 1.0f, s->x, s->in, s->w,
              s->transposed ? s->out : s->in, 0.0f, z, s->out);
  if (!s->b && !s->up && !s->add) return;
  size_t count = (size_t)s->rows * (size_t)s->out;
  US_RUN(c, behind, us_blocks(count, 256), 256, 0, count, s->out, s->period, s->b, z, s->up, s->add,
         s->y);
}

void us_cuda_dense(UsDevice* d, const UsDense* s) {
  UsCuda* c = us_cuda(d);
  if (s->rows == 0) return;
  if (c->fast) {
    dense_fast(c, s);
    return;
  }
  size_t out = (size_t)s->out, in = (size_t)s->in;
  int flags = s->transposed ? TRANSPOSED : 0, n = s->out <= 32 ? 32 : 64;
  if (us_has_quads(s->x, in)) flags |= QUADS_X;
  if (us_has_quads(s->w, s->transposed ? out : in)) flags |= QUADS_W;
  if (us_has_quads(s->y, out) && us_has_quads(s->b, out) && us_has_quads(s->up, out) &&
      us_has_quads(s->add, out)) {
    flags |= QUADS_Y;
  }
  unsigned grid = us_blocks((size_t)s->rows, ROWS) * us_blocks(out, n);
  int whole = flags & QUADS_X && flags & QUADS_W && in % SLAB == 0;
#define TILES(n, gelu, whole)                                                                  \
  US_RUN(c, (dense_tile<n, gelu, whole>), grid, THREADS, 0, s->rows, s->out, s->in, s->period, \
         flags, s->x, s->w, s->b, s->up, s->add, s->y)
  if (n == 32 && s->up) {
    TILES(32, true, false);
  } else if (n == 32) {
    TILES(32, false, false);
  } else if (s->up && whole) {
    TILES(64, true, true);
  } else if (s->up) {
    TILES(64, true, false);
  } else if (whole) {
    TILES(64, false, true);
  } else {
    TILES(64, false, false);
  }
#undef TILES
}

// ---- transposing ----

enum { SIDE = 32, DEEP = 8 };  // of a tile; its rows at a time

static __global__ void transpose_tile(int rows, int columns, const float* x, float* y) {
  US_SHARED_ARRAY(float, tile, [SIDE][SIDE + 1]);
  int i = (int)threadIdx.x, c = (int)blockIdx.y * SIDE, r = (int)blockIdx.x * SIDE;
  // Rows of both come and go in whole lines of memory.
  for (int j = (int)threadIdx.y; j < SIDE; j += DEEP) {
    if (r + j < rows && c + i < columns) tile[j][i] = x[(size_t)(r + j) * columns + c + i];
  }
  __syncthreads();
  for (int j = (int)threadIdx.y; j < SIDE; j += DEEP) {
    if (c + j < columns && r + i < rows) y[(size_t)(c + j) * rows + r + i] = tile[i][j];
  }
}

void us_cuda_transpose(UsDevice* d, int rows, int columns, const float* x, float* y) {
  if (rows == 0 || columns == 0) return;
  dim3 grid(us_blocks((size_t)rows, SIDE), us_blocks((size_t)columns, SIDE)), block(SIDE, DEEP);
  US_RUN(us_cuda(d), transpose_tile, grid, block, 0, rows, columns, x, y);
}

// ---- backward ----

void us_cuda_linear_back(UsDevice* d, int rows, int out, int in, const float* x, const float* w,
                         const float* dy, float* dx, float* dw, float* db) {
  UsCuda* c = us_cuda(d);
  if (rows == 0) return;
  // By cuBLAS: the shapes of training stay the same, so its kernels do.
  if (dx) US_MULTIPLY(c, 0, 0, rows, in, out, 1.0f, dy, out, w, in, 0.0f, dx, in);
  if (dw) US_MULTIPLY(c, 1, 0, out, in, rows, 1.0f, dy, out, x, in, 1.0f, dw, in);
  if (db) us_cuda_column_sums(c, rows, out, dy, db);
}
