// Attention in tiles (Dao et al. 2022; equations in ops_cuda_attention.cu).
//
// 128 threads work on 64 rows of one head, of 8 numbers a thread, and pass along tiles of 64
// columns. Shared memory has the rows, one tile of columns at a time, and what the two made
// together:
//   forward   rows: queries    columns: keys, then values       between: p, then y += p v
//   dq        rows: dy         columns: values, then keys       between: ds, then dq += ds k
//   dk        rows: values     columns: dy, then queries        between: ds', then dk += ds' q
//   dv        columns: dy                                       between: p', then dv += p' dy
// As matrix products both halves have 8 x 4 numbers a thread (8 x dim / 16 the second): 12 reads of
// 16 bytes for 128 multiply-adds. Rows in shared memory are 4 floats longer than dim, so that eight
// of them side by side are in different banks. With dim 64 that is 51 KiB, and 168 registers let 3
// blocks stay on a processor.
//
// With up to 8 queries a forward block has those alone, one row a thread: the same numbers in the
// same order.

#include "worldmodel/ops/cuda/attention.h"

enum {
  THREADS = 128,
  SIDE = 64,   // of a tile; rows of a block
  LANES = 16,  // threads that share a row
  GROUPS = 8,  // rows at a time
  PAD = 4,
  WIDE = SIDE + PAD,  // floats of a row of what is between
};

// Rows of a head for a tile: the first `left` of those that begin at x, `stride` floats apart, as
// rows of D + PAD floats, with zeros for what is not there.
template <int ROWS, int D>
__device__ static inline void fill(float* tile, const float* x, size_t stride, int left, int dim,
                                   int aligned) {
  for (int i = (int)threadIdx.x; i < ROWS * D / 4; i += THREADS) {
    int r = i / (D / 4), c = i % (D / 4) * 4;
    *(float4*)(tile + r * (D + PAD) + c) =
        us_quad(x + (size_t)r * stride + c, r < left ? dim - c : 0, aligned);
  }
}

// s[m][n] = row g + 8 m of a times row l + 16 n of b, for thread (g, l).
template <int R, int D>
__device__ static inline void multiply(const float* a, const float* b, float (*s)[4]) {
  a += threadIdx.x / LANES * (D + PAD);
  b += threadIdx.x % LANES * (D + PAD);
#pragma unroll
  for (int i = 0; i < R * 4; ++i) s[i / 4][i % 4] = 0.0f;
#pragma unroll 1
  for (int d = 0; d < D; d += 4) {
    float4 w[4];
#pragma unroll
    for (int n = 0; n < 4; ++n) w[n] = *(const float4*)(b + n * LANES * (D + PAD) + d);
#pragma unroll
    for (int m = 0; m < R; ++m) {
      float4 v = *(const float4*)(a + m * GROUPS * (D + PAD) + d);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        float t = us_fma(v.x, w[n].x, s[m][n]);
        t = us_fma(v.y, w[n].y, t);
        t = us_fma(v.z, w[n].z, t);
        s[m][n] = us_fma(v.w, w[n].w, t);
      }
    }
  }
}

// What a thread has of a row of D: numbers column<D>(l, w), w < D / 16.
template <int D>
__device__ static inline int column(int l, int w) {
  return D == 32 ? l * 2 + w : l * 4 + w / 4 * 64 + w % 4;
}

// sum[m][w] += the first `left` numbers of row g + 8 m of p times those rows of b, in their order.
template <int R, int D>
__device__ static inline void mix(const float* p, const float* b, int left, float (*sum)[D / 16]) {
  p += threadIdx.x / LANES * WIDE;
  b += column<D>((int)(threadIdx.x % LANES), 0);
#pragma unroll 1
  for (int j = 0; j < left; j += 4) {
    float v[4][D / 16];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float* row = b + (j + i) * (D + PAD);
      if (D == 32) {
        *(float2*)&v[i][0] = *(const float2*)row;
      } else {
#pragma unroll
        for (int w = 0; w < D / 16; w += 4) *(float4*)&v[i][w] = *(const float4*)(row + w * 16);
      }
    }
#pragma unroll
    for (int m = 0; m < R; ++m) {
      float4 a = *(const float4*)(p + m * GROUPS * WIDE + j);
#pragma unroll
      for (int w = 0; w < D / 16; ++w) {
        float t = us_fma(a.x, v[0][w], sum[m][w]);
        t = us_fma(a.y, v[1][w], t);
        t = us_fma(a.z, v[2][w], t);
        sum[m][w] = us_fma(a.w, v[3][w], t);
      }
    }
  }
}

// Rows of results, times `by` of each, to the first `left` rows of y.
template <int R, int D>
__device__ static inline void give(const float (*sum)[D / 16], const float* by, float* y,
                                   size_t stride, int left, int dim) {
  int g = (int)threadIdx.x / LANES, l = (int)threadIdx.x % LANES;
#pragma unroll
  for (int m = 0; m < R; ++m) {
    int r = g + m * GROUPS;
#pragma unroll
    for (int w = 0; w < D / 16; ++w) {
      int c = column<D>(l, w);
      if (r < left && c < dim) y[(size_t)r * stride + c] = sum[m][w] * by[m];
    }
  }
}

// Over the 16 threads of a row; all get the result.
__device__ static inline float row_sum(float v) {
  for (int o = LANES / 2; o > 0; o /= 2) v += warp_xor(v, o);
  return v;
}
__device__ static inline float row_max(float v) {
  for (int o = LANES / 2; o > 0; o /= 2) v = fmaxf(v, warp_xor(v, o));
  return v;
}

// ---- forward ----

// Turns the queries (left, dim) of a tile, and in memory.
template <int D>
__device__ static inline void turn_tile(float* tile, float* x, size_t stride, int left, int dim,
                                        const float* angles, size_t row, int period) {
  int half = dim / 2;
  for (int i = (int)threadIdx.x; i < left * half; i += THREADS) {
    int r = i / half, p = i % half;
    const float* angle =
        angles + ((row + (unsigned)r) % (unsigned)period * (unsigned)half + (unsigned)p) * 2;
    float* at = tile + r * (D + PAD) + p;
    us_turn(angle[0], angle[1], at, at + half);
    x[(size_t)r * stride + p] = at[0];
    x[(size_t)r * stride + p + half] = at[half];
  }
}

// What lies behind the last key, or is hidden from the query, counts nothing. Nullable: mask, which
// begins at the tile's first query.
template <int R>
__device__ static inline void hide(float (*s)[4], const uint8_t* mask, int queries, int first,
                                   int tk) {
  int g = (int)threadIdx.x / LANES, l = (int)threadIdx.x % LANES;
#pragma unroll
  for (int m = 0; m < R; ++m) {
    int i = g + m * GROUPS;
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      int j = first + l + n * LANES;
      if (j >= tk || (mask && i < queries && !mask[(size_t)i * (size_t)tk + j])) {
        s[m][n] = -INFINITY;
      }
    }
  }
}

template <int R, int D>
static __global__ void __launch_bounds__(THREADS, D == 128 ? 2 : 3)
    attend_tiles(int tq, int tk, int heads, int dim, float scale, const float* angles, int period,
                 const uint8_t* mask, float* q, const float* k, const float* v, size_t stride,
                 float* y, float* probs, int aligned) {
  enum { ROWS = R * GROUPS };
  US_SHARED(float, shared);
  float *rows = shared, *columns = rows + ROWS * (D + PAD), *between = columns + SIDE * (D + PAD);
  int tiles = (tq + ROWS - 1) / ROWS, tile = (int)(blockIdx.x % (unsigned)tiles) * ROWS;
  size_t head = blockIdx.x / (unsigned)tiles, b = head / (unsigned)heads;
  size_t width = (size_t)(heads * dim), row = b * (size_t)tq + (unsigned)tile;
  int left = tq - tile, g = (int)threadIdx.x / LANES, l = (int)threadIdx.x % LANES;
  size_t at = head % (unsigned)heads * (unsigned)dim;
  q += row * width + at;
  k += b * stride + at;
  v += b * stride + at;
  if (mask) mask += (size_t)tile * (size_t)tk;

  fill<ROWS, D>(rows, q, width, left, dim, aligned);
  __syncthreads();
  if (angles) {
    turn_tile<D>(rows, q, width, left < ROWS ? left : ROWS, dim, angles, row, period);
  }
  float s[R][4], sum[R][D / 16] = {}, top[R], all[R];
#pragma unroll
  for (int m = 0; m < R; ++m) top[m] = -INFINITY, all[m] = 0.0f;
  for (int first = 0; first < tk; first += SIDE) {
    __syncthreads();
    fill<SIDE, D>(columns, k + (size_t)first * width, width, tk - first, dim, aligned);
    __syncthreads();
    multiply<R, D>(rows, columns, s);
    hide<R>(s, mask, left, first, tk);
    // Probabilities relative to the largest score so far; older sums fade to that.
#pragma unroll
    for (int m = 0; m < R; ++m) {
      float next = fmaxf(fmaxf(s[m][0], s[m][1]), fmaxf(s[m][2], s[m][3]));
      next = fmaxf(top[m], row_max(next));
      float shift = next == -INFINITY ? 0.0f : next, fade = expf((top[m] - shift) * scale);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        s[m][n] = expf((s[m][n] - shift) * scale);
        between[(g + m * GROUPS) * WIDE + l + n * LANES] = s[m][n];
      }
      top[m] = next;
      all[m] = us_fma(all[m], fade, row_sum((s[m][0] + s[m][1]) + (s[m][2] + s[m][3])));
#pragma unroll
      for (int w = 0; w < D / 16; ++w) sum[m][w] *= fade;
    }
    __syncthreads();
    fill<SIDE, D>(columns, v + (size_t)first * width, width, tk - first, dim, aligned);
    __syncthreads();
    mix<R, D>(between, columns, tk - first < SIDE ? tk - first : SIDE, sum);
  }
#pragma unroll
  for (int m = 0; m < R; ++m) {
    all[m] = 1.0f / all[m];
    top[m] = top[m] == -INFINITY ? 0.0f : top[m];
  }
  give<R, D>(sum, all, y + row * width + at, width, left, dim);
  if (!probs) return;

  // The probabilities themselves, now that their sums are known.
  probs += (head * (size_t)tq + (unsigned)tile) * (size_t)tk;
  for (int first = 0; first < tk; first += SIDE) {
    __syncthreads();
    fill<SIDE, D>(columns, k + (size_t)first * width, width, tk - first, dim, aligned);
    __syncthreads();
    multiply<R, D>(rows, columns, s);
    hide<R>(s, mask, left, first, tk);
#pragma unroll
    for (int i = 0; i < R * 4; ++i) {
      int r = g + i / 4 * GROUPS, c = first + l + i % 4 * LANES;
      if (r < left && c < tk) {
        probs[(size_t)r * (size_t)tk + c] =
            expf((s[i / 4][i % 4] - top[i / 4]) * scale) * all[i / 4];
      }
    }
  }
}

// ---- backward ----

// sums (batch, heads, tq) takes D.
template <int D>
static __global__ void __launch_bounds__(THREADS, D == 128 ? 2 : 3)
    queries_back(int tq, int tk, int heads, int dim, float scale, const float* k, const float* v,
                 const float* probs, const float* dy, float* dq, float* sums, int aligned) {
  enum { R = SIDE / GROUPS };
  US_SHARED(float, shared);
  float *rows = shared, *columns = rows + SIDE * (D + PAD), *between = columns + SIDE * (D + PAD);
  int tiles = (tq + SIDE - 1) / SIDE, tile = (int)(blockIdx.x % (unsigned)tiles) * SIDE;
  size_t head = blockIdx.x / (unsigned)tiles, b = head / (unsigned)heads;
  size_t width = (size_t)(heads * dim), row = b * (size_t)tq + (unsigned)tile;
  int left = tq - tile, g = (int)threadIdx.x / LANES, l = (int)threadIdx.x % LANES;
  size_t at = head % (unsigned)heads * (unsigned)dim, query = head * (size_t)tq + (unsigned)tile;
  k += b * (size_t)tk * width + at;
  v += b * (size_t)tk * width + at;
  probs += query * (size_t)tk;

  fill<SIDE, D>(rows, dy + row * width + at, width, left, dim, aligned);
  float s[R][4], sum[R][D / 16] = {}, total[R] = {};
  // Twice along the keys: first for D alone, then for dq.
  for (int pass = 0; pass < 2; ++pass) {
    for (int first = 0; first < tk; first += SIDE) {
      __syncthreads();
      fill<SIDE, D>(columns, v + (size_t)first * width, width, tk - first, dim, aligned);
      __syncthreads();
      multiply<R, D>(rows, columns, s);
#pragma unroll
      for (int i = 0; i < R * 4; ++i) {
        int m = i / 4, r = g + m * GROUPS, c = first + l + i % 4 * LANES;
        float p = r < left && c < tk ? probs[(size_t)r * (size_t)tk + c] : 0.0f;
        if (pass == 0) {
          total[m] = us_fma(p, s[m][i % 4], total[m]);
        } else {
          between[r * WIDE + c - first] = p * (s[m][i % 4] - total[m]) * scale;
        }
      }
      if (pass == 0) continue;
      __syncthreads();
      fill<SIDE, D>(columns, k + (size_t)first * width, width, tk - first, dim, aligned);
      __syncthreads();
      mix<R, D>(between, columns, tk - first < SIDE ? tk - first : SIDE, sum);
    }
#pragma unroll
    for (int m = 0; m < R && pass == 0; ++m) {
      total[m] = row_sum(total[m]);
      if (l == 0 && g + m * GROUPS < left) sums[query + (unsigned)(g + m * GROUPS)] = total[m];
    }
  }
#pragma unroll
  for (int m = 0; m < R; ++m) total[m] = 1.0f;
  give<R, D>(sum, total, dq + row * width + at, width, left, dim);
}

// Blocks with y = 0 compute dk, those with y = 1 dv.
template <int D>
static __global__ void __launch_bounds__(THREADS, D == 128 ? 2 : 3)
    keys_back(int tq, int tk, int heads, int dim, float scale, const float* q, const float* v,
              const float* probs, const float* dy, const float* sums, float* dk, float* dv,
              int aligned) {
  enum { R = SIDE / GROUPS };
  US_SHARED(float, shared);
  float *rows = shared, *columns = rows + SIDE * (D + PAD), *between = columns + SIDE * (D + PAD);
  int tiles = (tk + SIDE - 1) / SIDE, tile = (int)(blockIdx.x % (unsigned)tiles) * SIDE;
  size_t head = blockIdx.x / (unsigned)tiles, b = head / (unsigned)heads;
  size_t width = (size_t)(heads * dim), row = b * (size_t)tk + (unsigned)tile;
  int left = tk - tile, g = (int)threadIdx.x / LANES, l = (int)threadIdx.x % LANES;
  int is_key = blockIdx.y == 0;
  size_t at = head % (unsigned)heads * (unsigned)dim;
  q += b * (size_t)tq * width + at;
  dy += b * (size_t)tq * width + at;
  probs += head * (size_t)tq * (size_t)tk + (unsigned)tile;
  sums += head * (size_t)tq;

  if (is_key) fill<SIDE, D>(rows, v + row * width + at, width, left, dim, aligned);
  float s[R][4], sum[R][D / 16] = {}, one[R];
  for (int first = 0; first < tq; first += SIDE) {
    int queries = tq - first;
    __syncthreads();
    fill<SIDE, D>(columns, dy + (size_t)first * width, width, queries, dim, aligned);
    // Probabilities come in rows of queries, and lie in rows of keys.
    for (int i = (int)threadIdx.x; i < SIDE * SIDE; i += THREADS) {
      int r = i / SIDE, c = i % SIDE;
      between[c * WIDE + r] =
          r < queries && c < left ? probs[(size_t)(first + r) * (size_t)tk + c] : 0.0f;
    }
    __syncthreads();
    if (is_key) {
      multiply<R, D>(rows, columns, s);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        int i = l + n * LANES;
        float total = i < queries ? sums[first + i] : 0.0f;
#pragma unroll
        for (int m = 0; m < R; ++m) {
          float* p = between + (g + m * GROUPS) * WIDE + i;
          *p = *p * (s[m][n] - total) * scale;
        }
      }
      __syncthreads();
      fill<SIDE, D>(columns, q + (size_t)first * width, width, queries, dim, aligned);
      __syncthreads();
    }
    mix<R, D>(between, columns, queries < SIDE ? queries : SIDE, sum);
  }
#pragma unroll
  for (int m = 0; m < R; ++m) one[m] = 1.0f;
  give<R, D>(sum, one, (is_key ? dk : dv) + row * width + at, width, left, dim);
}

// ---- launches ----

// Bytes of shared memory of a block of `rows` rows.
static size_t shared_bytes(int rows, int d) {
  return sizeof(float) * ((size_t)(rows + SIDE) * (size_t)(d + PAD) + (size_t)rows * WIDE);
}

template <int R, int D>
static void attend(UsCuda* c, const UsAttention* a, int aligned) {
  size_t bytes = shared_bytes(R * GROUPS, D);
  unsigned grid = (unsigned)(a->batch * a->heads) * us_blocks((size_t)a->tq, R * GROUPS);
  US_SHARED_LIMIT((attend_tiles<R, D>), bytes);
  US_RUN(c, (attend_tiles<R, D>), grid, THREADS, bytes, a->tq, a->tk, a->heads, a->dim, a->scale,
         a->angles, a->period, a->mask, a->q, a->k, a->v, a->stride, a->y, a->probs, aligned);
}

void us_attend_tiles(UsCuda* c, const UsAttention* a) {
  size_t width = (size_t)(a->heads * a->dim);
  int aligned = a->dim % 4 == 0 && us_has_quads(a->q, width) && us_has_quads(a->k, a->stride) &&
                us_has_quads(a->v, a->stride);
  if (a->dim <= 32) {
    a->tq <= GROUPS ? attend<1, 32>(c, a, aligned) : attend<8, 32>(c, a, aligned);
  } else if (a->dim <= 64) {
    a->tq <= GROUPS ? attend<1, 64>(c, a, aligned) : attend<8, 64>(c, a, aligned);
  } else {
    a->tq <= GROUPS ? attend<1, 128>(c, a, aligned) : attend<8, 128>(c, a, aligned);
  }
}

template <int D>
static void attend_back(UsCuda* c, const UsAttention* a, int aligned) {
  size_t bytes = shared_bytes(SIDE, D);
  unsigned heads = (unsigned)(a->batch * a->heads);
  US_SHARED_LIMIT(queries_back<D>, bytes);
  US_SHARED_LIMIT(keys_back<D>, bytes);
  US_RUN(c, queries_back<D>, heads * us_blocks((size_t)a->tq, SIDE), THREADS, bytes, a->tq, a->tk,
         a->heads, a->dim, a->scale, a->k, a->v, a->probs, a->dy, a->dq, a->sums, aligned);
  dim3 grid(heads * us_blocks((size_t)a->tk, SIDE), 2);
  US_RUN(c, keys_back<D>, grid, THREADS, bytes, a->tq, a->tk, a->heads, a->dim, a->scale, a->q,
         a->v, a->probs, a->dy, a->sums, a->dk, a->dv, aligned);
}

void us_attend_back_tiles(UsCuda* c, const UsAttention* a) {
  int aligned = a->dim % 4 == 0 && us_has_quads(a->q, 0) && us_has_quads(a->k, 0) &&
                us_has_quads(a->v, 0) && us_has_quads(a->dy, 0);
  if (a->dim <= 32) {
    attend_back<32>(c, a, aligned);
  } else if (a->dim <= 64) {
    attend_back<64>(c, a, aligned);
  } else {
    attend_back<128>(c, a, aligned);
  }
}
