// ops.h on CUDA: rotary positions and softmax attention.
//
//   s = q k' / sqrt(dim),  p = softmax(s) over the visible keys,  y = p v
//   back:  dv = p' dy,  dp = dy v',  D = sum p dp,  ds = p (dp - D) / sqrt(dim),  dq = ds k,
//          dk = ds' q
//
// Softmax runs along the keys (Milakov and Gimelshein 2018): what was added up relative to an older
// maximum is scaled when a larger one comes. There are two ways, chosen by tk and dim alone, as are
// the orders of their additions:
//
// - few keys (up to 32), or wide heads: a warp for each query of each head. Its lanes share the
//   dim; scores are sums over the warp, and lane j keeps that of key j.
// - tiles of 64 keys and up to 64 queries: ops_cuda_tiles.cu.
//
// The backward pass has the same two ways, each in two launches: one along the queries, for D and
// dq, one along the keys, for dk and dv, which loop over the queries in their order.

#include "worldmodel/ops/cuda/attention.h"

enum {
  WARPS = 4,      // of a block, where each works by itself
  FEW = US_WARP,  // keys up to which a warp does all
};

// ---- rotary positions ----

static __global__ void rotate(int rows, int period, int heads, int dim, const float* angles,
                              float sign, float* x, size_t stride) {
  size_t r = us_row();
  if (r >= (size_t)rows) return;
  int half = dim / 2;
  const float* angle = angles + (size_t)(r % (unsigned)period) * (unsigned)(half * 2);
  for (int c = us_column(); c < heads * half; c += us_columns()) {
    int p = c % half;
    float* u = x + r * stride + (size_t)(c / half * dim + p);
    us_turn(angle[2 * p], sign * angle[2 * p + 1], u, u + half);
  }
}

void us_cuda_rotate(UsDevice* d, int rows, int period, int heads, int dim, const float* angles,
                    int sign, float* x, size_t stride) {
  if (rows == 0 || dim < 2) return;
  UsRowShape s = us_row_shape((size_t)rows, (size_t)heads * (size_t)(dim / 2));
  US_RUN(us_cuda(d), rotate, s.grid, s.block, 0, rows, period, heads, dim, angles,
         sign < 0 ? -1.0f : 1.0f, x, stride);
}

// Row r of `both` holds depth times keys and values, `width` of each; a thread takes one of either.
static __global__ void keys(int rows, int tokens, int depth, int heads, int dim, int period,
                            const float* angles, const float* both, float* k, float* v,
                            size_t block, size_t frame) {
  size_t r = us_row();
  if (r >= (size_t)rows) return;
  int width = heads * dim, half = dim / 2;
  const float* angle = angles + (size_t)(r % (unsigned)period) * (unsigned)(half * 2);
  size_t place = r / (unsigned)tokens * frame + r % (unsigned)tokens * (unsigned)width;
  for (int c = us_column(); c < depth * width; c += us_columns()) {
    int l = c / width, i = c % width, p = i % dim;
    const float* from = both + (r * (size_t)depth + (size_t)l) * 2 * (size_t)width + i;
    size_t to = (size_t)l * block + place + (size_t)i;
    // This number of its pair; the last of an odd dim has none.
    float a = from[0], other;
    if (p < half) {
      other = from[half];
      us_turn(angle[2 * p], angle[2 * p + 1], &a, &other);
    } else if (p < 2 * half) {
      other = from[-half];
      us_turn(angle[2 * (p - half)], angle[2 * (p - half) + 1], &other, &a);
    }
    k[to] = a;
    v[to] = from[width];
  }
}

void us_cuda_keys(UsDevice* d, int rows, int tokens, int depth, int heads, int dim, int period,
                  const float* angles, const float* both, float* k, float* v, size_t block,
                  size_t frame) {
  if (rows == 0) return;
  UsRowShape s = us_row_shape((size_t)rows, (size_t)depth * (size_t)(heads * dim));
  US_RUN(us_cuda(d), keys, s.grid, s.block, 0, rows, tokens, depth, heads, dim, period, angles,
         both, k, v, block, frame);
}

// ---- a warp for each query or key ----

// What a warp has of one row: lane l has numbers l, l + 32, .., N of them in registers; when dim is
// larger, rows are read where they are needed, and results come in parts of 32 N numbers.
template <int N>
__device__ static inline void take(int dim, const float* row, float* x) {
#pragma unroll
  for (int m = 0; m < N; ++m) {
    int e = lane_rank() + m * US_WARP;
    x[m] = e < dim ? row[e] : 0.0f;
  }
}

// The product of two rows, of which the first is also in registers.
template <int N>
__device__ static inline float product(int dim, const float* x, const float* row, const float* y) {
  float s = 0.0f;
  if (dim <= N * US_WARP) {
#pragma unroll
    for (int m = 0; m < N; ++m) {
      int e = lane_rank() + m * US_WARP;
      if (e < dim) s = us_fma(x[m], y[e], s);
    }
  } else {
    for (int e = lane_rank(); e < dim; e += US_WARP) s = us_fma(row[e], y[e], s);
  }
  return warp_sum(s);
}

// sum += a times numbers part .. of a row.
template <int N>
__device__ static inline void add_row(int dim, int part, float a, const float* row, float* sum) {
#pragma unroll
  for (int m = 0; m < N; ++m) {
    int e = part + lane_rank() + m * US_WARP;
    if (e < dim) sum[m] = us_fma(a, row[e], sum[m]);
  }
}

template <int N>
__device__ static inline void give(int dim, int part, const float* sum, float by, float* row) {
#pragma unroll
  for (int m = 0; m < N; ++m) {
    int e = part + lane_rank() + m * US_WARP;
    if (e < dim) row[e] = sum[m] * by;
  }
}

// Lane j's product of a row with row first + j of y (tk, stride apart); -INFINITY where there is
// none, or it is hidden. Nullable: mask (tk).
template <int N>
__device__ static inline float products(int dim, int first, int tk, const uint8_t* mask,
                                        const float* x, const float* row, const float* y,
                                        size_t stride) {
  float mine = -INFINITY;
  int count = tk - first < US_WARP ? tk - first : US_WARP;
#pragma unroll 4
  for (int j = 0; j < count; ++j) {
    float s = product<N>(dim, x, row, y + (size_t)(first + j) * stride);
    if (lane_rank() == j && (!mask || mask[first + j])) mine = s;
  }
  return mine;
}

template <int N>
static __global__ void __launch_bounds__(WARPS* US_WARP)
    attend_warps(size_t items, int tq, int tk, int heads, int dim, float scale, const float* angles,
                 int period, const uint8_t* mask, float* q, const float* k, const float* v,
                 size_t stride, float* y, float* probs) {
  size_t item = (size_t)blockIdx.x * WARPS + (unsigned)warp_rank();
  if (item >= items) return;
  // Items are the rows of q: batch, query, head.
  size_t row = item / (unsigned)heads, h = item % (unsigned)heads, width = (size_t)(heads * dim);
  size_t b = row / (unsigned)tq, i = row % (unsigned)tq;
  float* own = q + item * (size_t)dim;
  k += b * stride + h * (size_t)dim;
  v += b * stride + h * (size_t)dim;
  if (mask) mask += i * (size_t)tk;
  if (probs) probs += ((b * (size_t)heads + h) * (size_t)tq + i) * (size_t)tk;

  int half = dim / 2, lane = lane_rank();
  if (angles) {
    const float* angle = angles + (size_t)(row % (unsigned)period) * (unsigned)(half * 2);
    for (int p = lane; p < half; p += US_WARP) {
      us_turn(angle[2 * p], angle[2 * p + 1], own + p, own + p + half);
    }
    __syncwarp();
  }
  float x[N];
  take<N>(dim, own, x);
  for (int part = 0; part < dim; part += N * US_WARP) {
    float sum[N] = {}, top = -INFINITY, all = 0.0f, shift = 0.0f, p = 0.0f;
    for (int first = 0; first < tk; first += US_WARP) {
      int count = tk - first < US_WARP ? tk - first : US_WARP;
      // Lane j has key j: its score, the largest so far, and what older sums are worth now.
      float s = products<N>(dim, first, tk, mask, x, own, k, width);
      float next = fmaxf(top, warp_max(s));
      shift = next == -INFINITY ? 0.0f : next;
      float fade = expf((top - shift) * scale);
      p = expf((s - shift) * scale);
      top = next;
      all = us_fma(all, fade, warp_sum(p));
      for (int m = 0; m < N; ++m) sum[m] *= fade;
#pragma unroll 4
      for (int j = 0; j < count; ++j) {
        add_row<N>(dim, part, warp_broadcast(p, j), v + (size_t)(first + j) * width, sum);
      }
    }
    float inverse = 1.0f / all;
    give<N>(dim, part, sum, inverse, y + item * (size_t)dim);
    if (!probs || part > 0) continue;
    // Probabilities of more keys than lanes are computed once more, now that their sum is known.
    for (int first = 0; first < tk; first += US_WARP) {
      if (tk > US_WARP) {
        p = expf((products<N>(dim, first, tk, mask, x, own, k, width) - shift) * scale);
      }
      if (first + lane < tk) probs[first + lane] = p * inverse;
    }
  }
}

// dq and D of each query. sums (batch, heads, tq) takes D.
template <int N>
static __global__ void __launch_bounds__(WARPS* US_WARP)
    attend_back_queries(size_t items, int tq, int tk, int heads, int dim, float scale,
                        const float* k, const float* v, const float* probs, const float* dy,
                        float* dq, float* sums) {
  size_t item = (size_t)blockIdx.x * WARPS + (unsigned)warp_rank();
  if (item >= items) return;
  size_t row = item / (unsigned)heads, h = item % (unsigned)heads, width = (size_t)(heads * dim);
  size_t b = row / (unsigned)tq, i = row % (unsigned)tq, stride = (size_t)tk * width;
  const float* own = dy + item * (size_t)dim;
  k += b * stride + h * (size_t)dim;
  v += b * stride + h * (size_t)dim;
  size_t query = (b * (size_t)heads + h) * (size_t)tq + i;
  probs += query * (size_t)tk;

  float x[N], dp = 0.0f, total = 0.0f;
  int lane = lane_rank();
  take<N>(dim, own, x);
  for (int first = 0; first < tk; first += US_WARP) {
    dp = products<N>(dim, first, tk, NULL, x, own, v, width);
    total += warp_sum(first + lane < tk ? probs[first + lane] * dp : 0.0f);
  }
  if (lane == 0) sums[query] = total;
  for (int part = 0; part < dim; part += N * US_WARP) {
    float sum[N] = {};
    for (int first = 0; first < tk; first += US_WARP) {
      int count = tk - first < US_WARP ? tk - first : US_WARP;
      if (tk > US_WARP) dp = products<N>(dim, first, tk, NULL, x, own, v, width);
      float ds = first + lane < tk ? probs[first + lane] * (dp - total) * scale : 0.0f;
#pragma unroll 4
      for (int j = 0; j < count; ++j) {
        add_row<N>(dim, part, warp_broadcast(ds, j), k + (size_t)(first + j) * width, sum);
      }
    }
    give<N>(dim, part, sum, 1.0f, dq + item * (size_t)dim);
  }
}

// dk and dv of each key.
template <int N>
static __global__ void __launch_bounds__(WARPS* US_WARP)
    attend_back_keys(size_t items, int tq, int tk, int heads, int dim, float scale, const float* q,
                     const float* v, const float* probs, const float* dy, const float* sums,
                     float* dk, float* dv) {
  size_t item = (size_t)blockIdx.x * WARPS + (unsigned)warp_rank();
  if (item >= items) return;
  size_t row = item / (unsigned)heads, h = item % (unsigned)heads, width = (size_t)(heads * dim);
  size_t b = row / (unsigned)tk, j = row % (unsigned)tk, head = b * (size_t)heads + h;
  const float* own = v + item * (size_t)dim;
  q += (b * (size_t)tq * (size_t)heads + h) * (size_t)dim;
  dy += (b * (size_t)tq * (size_t)heads + h) * (size_t)dim;
  probs += head * (size_t)tq * (size_t)tk + j;
  sums += head * (size_t)tq;

  float x[N];
  take<N>(dim, own, x);
  for (int part = 0; part < dim; part += N * US_WARP) {
    float key[N] = {}, value[N] = {};
#pragma unroll 2
    for (int i = 0; i < tq; ++i) {
      size_t at = (size_t)i * width;
      float p = probs[(size_t)i * (size_t)tk];
      float ds = p * (product<N>(dim, x, own, dy + at) - sums[i]) * scale;
      add_row<N>(dim, part, ds, q + at, key);
      add_row<N>(dim, part, p, dy + at, value);
    }
    give<N>(dim, part, key, 1.0f, dk + item * (size_t)dim);
    give<N>(dim, part, value, 1.0f, dv + item * (size_t)dim);
  }
}

// ---- launches ----

static int has_few(const UsAttention* a) {
  return a->tk <= FEW || a->dim > US_TILE_DIM;
}

template <int N>
static void attend(UsCuda* c, const UsAttention* a) {
  size_t items = (size_t)a->batch * (size_t)a->tq * (size_t)a->heads;
  US_RUN(c, attend_warps<N>, us_blocks(items, WARPS), WARPS * US_WARP, 0, items, a->tq, a->tk,
         a->heads, a->dim, a->scale, a->angles, a->period, a->mask, a->q, a->k, a->v, a->stride,
         a->y, a->probs);
}

void us_cuda_attend(UsDevice* d, int batch, int tq, int tk, int heads, int dim, const float* angles,
                    int period, const uint8_t* mask, float* q, const float* k, const float* v,
                    size_t stride, float* y, float* probs) {
  if (batch == 0 || tq == 0) return;
  UsAttention a = {};
  a.batch = batch, a.tq = tq, a.tk = tk, a.heads = heads, a.dim = dim;
  a.scale = 1.0f / sqrtf((float)dim);
  a.angles = angles, a.period = period, a.mask = mask;
  a.q = q, a.k = k, a.v = v, a.stride = stride, a.y = y, a.probs = probs;
  if (!has_few(&a)) {
    us_attend_tiles(us_cuda(d), &a);
  } else if (dim <= US_WARP) {
    attend<1>(us_cuda(d), &a);
  } else if (dim <= 2 * US_WARP) {
    attend<2>(us_cuda(d), &a);
  } else {
    attend<4>(us_cuda(d), &a);
  }
}

template <int N>
static void attend_back(UsCuda* c, const UsAttention* a) {
  size_t rows = (size_t)a->batch * (size_t)a->heads, queries = rows * (size_t)a->tq;
  size_t keys = rows * (size_t)a->tk;
  US_RUN(c, attend_back_queries<N>, us_blocks(queries, WARPS), WARPS * US_WARP, 0, queries, a->tq,
         a->tk, a->heads, a->dim, a->scale, a->k, a->v, a->probs, a->dy, a->dq, a->sums);
  US_RUN(c, attend_back_keys<N>, us_blocks(keys, WARPS), WARPS * US_WARP, 0, keys, a->tq, a->tk,
         a->heads, a->dim, a->scale, a->q, a->v, a->probs, a->dy, a->sums, a->dk, a->dv);
}

void us_cuda_attend_back(UsDevice* d, int batch, int tq, int tk, int heads, int dim, const float* q,
                         const float* k, const float* v, const float* probs, const float* dy,
                         float* dq, float* dk, float* dv) {
  if (batch == 0 || tq == 0) return;
  UsAttention a = {};
  a.batch = batch, a.tq = tq, a.tk = tk, a.heads = heads, a.dim = dim;
  a.scale = 1.0f / sqrtf((float)dim);
  a.q = (float*)q, a.k = k, a.v = v, a.probs = (float*)probs, a.dy = dy;
  a.dq = dq, a.dk = dk, a.dv = dv;
  size_t queries = (size_t)batch * (size_t)heads * (size_t)tq;
  a.sums = (float*)us_cuda_scratch(us_cuda(d), queries * sizeof(float));
  if (!a.sums) return;
  if (!has_few(&a)) {
    us_attend_back_tiles(us_cuda(d), &a);
  } else if (dim <= US_WARP) {
    attend_back<1>(us_cuda(d), &a);
  } else if (dim <= 2 * US_WARP) {
    attend_back<2>(us_cuda(d), &a);
  } else {
    attend_back<4>(us_cuda(d), &a);
  }
}
