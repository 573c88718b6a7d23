// ops.h on the CPU: rotary positions and softmax attention.
//
//   s = q k' / sqrt(dim),  p = softmax(s) over the visible keys,  y = p v
//   back:  dv = p' dy,  dp = dy v',  ds = p (dp - sum p dp),  dq = ds k / sqrt(dim),
//          dk = ds' q / sqrt(dim)
//
// Few tokens run in plain loops, since a BLAS call costs more than its work there; many go head by
// head through BLAS. Which it is depends on tq, tk and dim alone.

#include <math.h>
#include <string.h>

#include "worldmodel/base/status.h"
#include "worldmodel/ops/cpu/ops_cpu.h"

enum {
  FEW = 1024,          // multiplications per head up to which loops are faster than BLAS
  ROOM = US_OPS_KEYS,  // floats on the stack for scores that nobody keeps
};

// ---- rotary positions ----

US_CLONES void us_cpu_rotate(UsDevice* d, int rows, int period, int heads, int dim,
                             const float* angles, int sign, float* x, size_t stride) {
  int half = dim / 2;
  float turn = sign < 0 ? -1.0f : 1.0f;
  for (int r = 0; r < rows; ++r) {
    // The two halves of a head are the pairs' first and second numbers.
    const float* angle = angles + (size_t)(r % period) * half * 2;
    for (int h = 0; h < heads; ++h) {
      float* a = x + (size_t)r * stride + (size_t)h * dim;
      float* b = a + half;
      for (int p = 0; p < half; ++p) {
        float c = angle[2 * p], s = turn * angle[2 * p + 1], u = a[p], v = b[p];
        a[p] = u * c - v * s;
        b[p] = u * s + v * c;
      }
    }
  }
}

void us_cpu_keys(UsDevice* d, int rows, int tokens, int depth, int heads, int dim, int period,
                 const float* angles, const float* both, float* k, float* v, size_t block,
                 size_t frame) {
  int width = heads * dim, turn = dim / 2 * 2;  // angles of a token
  const size_t bytes = (size_t)width * sizeof(float);
  for (int r = 0; r < rows; ++r) {
    for (int l = 0; l < depth; ++l, both += 2 * width) {
      size_t to = l * block + (size_t)(r / tokens) * frame + (size_t)(r % tokens) * width;
      memcpy(k + to, both, bytes);
      memcpy(v + to, both + width, bytes);
      us_cpu_rotate(d, 1, 1, heads, dim, angles + (size_t)(r % period) * turn, 1, k + to,
                    (size_t)width);
    }
  }
}

// ---- softmax ----

// s (tk) becomes the softmax of scale * s over the keys whose mask (tk) is set. Nullable: mask.
US_INLINE void softmax(int tk, float scale, const uint8_t* mask, float* s) {
  float top = -INFINITY, lanes[US_LANES] = {0};
  // Hidden keys can be neither the largest nor count.
  if (mask) {
    for (int j = 0; j < tk; ++j) s[j] = mask[j] ? s[j] : -INFINITY;
  }
  for (int j = 0; j < tk; ++j) top = s[j] > top ? s[j] : top;
  // Exponentials relative to the largest score, so that none overflows.
  int i = 0;
  for (; i + US_LANES <= tk; i += US_LANES) {
    for (int j = 0; j < US_LANES; ++j) {
      float e = us_exp((s[i + j] - top) * scale);
      s[i + j] = e;
      lanes[j] += e;
    }
  }
  for (int j = 0; i + j < tk; ++j) lanes[j] += s[i + j] = us_exp((s[i + j] - top) * scale);
  // To a sum of 1; what was hidden is exactly 0.
  float inverse = 1.0f / us_lanes_sum(lanes);
  for (int j = 0; j < tk; ++j) s[j] *= inverse;
  if (mask) {
    for (int j = 0; j < tk; ++j) s[j] = mask[j] ? s[j] : 0.0f;
  }
}

// p (tk) and dp (tk): dp becomes the gradient of the unscaled scores, times scale.
US_INLINE void softmax_back(int tk, float scale, const float* p, float* dp) {
  float sum = us_dot(tk, p, dp);
  for (int j = 0; j < tk; ++j) dp[j] = p[j] * (dp[j] - sum) * scale;
}

US_CLONES static void softmax_rows(int rows, int tk, float scale, const uint8_t* mask, float* s) {
  for (int r = 0; r < rows; ++r) {
    softmax(tk, scale, mask ? mask + (size_t)r * tk : NULL, s + (size_t)r * tk);
  }
}

US_CLONES static void softmax_rows_back(int rows, int tk, float scale, const float* p, float* dp) {
  for (int r = 0; r < rows; ++r) {
    softmax_back(tk, scale, p + (size_t)r * tk, dp + (size_t)r * tk);
  }
}

// ---- one head of few tokens: q, y (tq, row), k, v (tk, row), rows `row` floats apart ----

// y (n) = the sum of p (tk) times the rows of v.
US_INLINE void mix(int n, int tk, int row, const float* p, const float* v, float* y) {
  for (int i = 0; i < n; ++i) y[i] = p[0] * v[i];
  for (int j = 1; j < tk; ++j) {
    const float* from = v + (size_t)j * row;
    for (int i = 0; i < n; ++i) y[i] += p[j] * from[i];
  }
}

// y (n) += a x (n).
US_INLINE void add_scaled(int n, float a, const float* x, float* y) {
  for (int i = 0; i < n; ++i) y[i] += a * x[i];
}

US_CLONES static void attend_few(int batch, int tq, int tk, int heads, int dim, float scale,
                                 const uint8_t* mask, const float* q, const float* k,
                                 const float* v, size_t stride, float* y, float* probs) {
  float room[ROOM];
  int row = heads * dim;
  for (int b = 0; b < batch; ++b) {
    for (int h = 0; h < heads; ++h) {
      size_t qat = (size_t)b * tq * row + (size_t)h * dim;
      size_t kat = (size_t)b * stride + (size_t)h * dim;
      for (int i = 0; i < tq; ++i) {
        const float* a = q + qat + (size_t)i * row;
        float* p = probs ? probs + (((size_t)b * heads + h) * tq + i) * tk : room;
        // Scores of one query, their softmax, and the values mixed by it.
        for (int j = 0; j < tk; ++j) p[j] = us_dot(dim, a, k + kat + (size_t)j * row);
        softmax(tk, scale, mask ? mask + (size_t)i * tk : NULL, p);
        mix(dim, tk, row, p, v + kat, y + qat + (size_t)i * row);
      }
    }
  }
}

US_CLONES static void attend_few_back(int batch, int tq, int tk, int heads, int dim, float scale,
                                      const float* q, const float* k, const float* v,
                                      const float* probs, const float* dy, float* dq, float* dk,
                                      float* dv) {
  float ds[ROOM];
  int row = heads * dim;
  for (int b = 0; b < batch; ++b) {
    for (int h = 0; h < heads; ++h) {
      size_t qat = (size_t)b * tq * row + (size_t)h * dim;
      size_t kat = (size_t)b * tk * row + (size_t)h * dim;
      for (int i = 0; i < tq; ++i) {
        const float* p = probs + (((size_t)b * heads + h) * tq + i) * tk;
        size_t at = qat + (size_t)i * row;
        // Through the mixture to the probabilities, through softmax to the scores.
        for (int j = 0; j < tk; ++j) ds[j] = us_dot(dim, dy + at, v + kat + (size_t)j * row);
        softmax_back(tk, scale, p, ds);
        // From the scores to the query, and to every key and value it looked at.
        mix(dim, tk, row, ds, k + kat, dq + at);
        for (int j = 0; j < tk; ++j) {
          size_t to = kat + (size_t)j * row;
          add_scaled(dim, ds[j], q + at, dk + to);
          add_scaled(dim, p[j], dy + at, dv + to);
        }
      }
    }
  }
}

static int is_few(int tq, int tk, int dim) {
  return (size_t)tq * tk * dim <= FEW;
}

// ---- all heads ----

void us_cpu_attend(UsDevice* d, int batch, int tq, int tk, int heads, int dim, const float* angles,
                   int period, const uint8_t* mask, float* q, const float* k, const float* v,
                   size_t stride, float* y, float* probs) {
  US_ASSERT(tk >= 1 && tk <= ROOM);
  float scale = 1.0f / sqrtf((float)dim), room[ROOM];
  if (angles) {
    us_cpu_rotate(d, batch * tq, period, heads, dim, angles, 1, q, (size_t)heads * (size_t)dim);
  }
  if (is_few(tq, tk, dim)) {
    attend_few(batch, tq, tk, heads, dim, scale, mask, q, k, v, stride, y, probs);
    return;
  }
  int row = heads * dim, most = ROOM / tk;
  for (int bh = 0; bh < batch * heads; ++bh) {
    size_t b = (size_t)(bh / heads), h = (size_t)(bh % heads);
    size_t qat = b * tq * row + h * dim, kat = b * stride + h * dim;
    // As many queries at a time as their scores have room.
    for (int i = 0; i < tq; i += most) {
      int n = tq - i < most ? tq - i : most;
      float* s = probs ? probs + ((size_t)bh * tq + i) * tk : room;
      size_t at = qat + (size_t)i * row;
      // s = q k', p = softmax(s), y = p v.
      us_blas_multiply(0, 1, n, tk, dim, 1.0f, q + at, row, k + kat, row, 0.0f, s, tk);
      softmax_rows(n, tk, scale, mask ? mask + (size_t)i * tk : NULL, s);
      us_blas_multiply(0, 0, n, dim, tk, 1.0f, s, tk, v + kat, row, 0.0f, y + at, row);
    }
  }
}

void us_cpu_attend_back(UsDevice* d, int batch, int tq, int tk, int heads, int dim, const float* q,
                        const float* k, const float* v, const float* probs, const float* dy,
                        float* dq, float* dk, float* dv) {
  US_ASSERT(tk >= 1 && tk <= ROOM);
  float scale = 1.0f / sqrtf((float)dim), room[ROOM];
  int row = heads * dim, most = ROOM / tk;
  memset(dk, 0, (size_t)batch * tk * row * sizeof(float));
  memset(dv, 0, (size_t)batch * tk * row * sizeof(float));
  if (is_few(tq, tk, dim)) {
    attend_few_back(batch, tq, tk, heads, dim, scale, q, k, v, probs, dy, dq, dk, dv);
    return;
  }
  for (int bh = 0; bh < batch * heads; ++bh) {
    size_t b = (size_t)(bh / heads), h = (size_t)(bh % heads);
    size_t qat = b * tq * row + h * dim, kat = b * tk * row + h * dim;
    for (int i = 0; i < tq; i += most) {
      int n = tq - i < most ? tq - i : most;
      size_t at = qat + (size_t)i * row;
      const float* p = probs + ((size_t)bh * tq + i) * tk;
      // As for few tokens, a matrix at a time; keys and values add up over the calls.
      us_blas_multiply(0, 1, n, tk, dim, 1.0f, dy + at, row, v + kat, row, 0.0f, room, tk);
      softmax_rows_back(n, tk, scale, p, room);
      us_blas_multiply(0, 0, n, dim, tk, 1.0f, room, tk, k + kat, row, 0.0f, dq + at, row);
      us_blas_multiply(1, 0, tk, dim, n, 1.0f, room, tk, q + at, row, 1.0f, dk + kat, row);
      us_blas_multiply(1, 0, tk, dim, n, 1.0f, p, tk, dy + at, row, 1.0f, dv + kat, row);
    }
  }
}
