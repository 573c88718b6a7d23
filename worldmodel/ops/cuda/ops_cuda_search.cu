// ops.h on a GPU: search by sampling.
//
//   noise    z_t = c z_{t-1} + sqrt(1 - c^2) n_t,  n_t ~ N(0, 1)
//   sample   x = clip(mean + deviation z, -1, 1)
//   elites   round by round the least of (cost, place): each thread has the least of its own
//            candidates at hand, and looks for its next one when the block has taken it
//   fit      mean = m mean + (1 - m) average(elites), the deviation alike
//
// Compiled without contraction of products and sums: but for the logarithm, sine and cosine of
// normal numbers all of it gives the CPU's bits.

#include "worldmodel/ops/cuda/ops_cuda.h"

enum { THREADS = 256 };  // of a block, at most

// Threads for a block that shares `count` things.
static int threads_for(int count) {
  int most = count < THREADS ? count : THREADS;
  return (most + US_WARP - 1) / US_WARP * US_WARP;
}

__device__ static inline size_t element() {
  return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

// ---- noise ----

// The block function of worldmodel/base/rng.h.
__device__ static uint4 philox(uint4 c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c.x;
    uint64_t p1 = (uint64_t)0xCD9E8D57u * c.z;
    c = make_uint4((uint32_t)(p1 >> 32) ^ c.y ^ k0, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c.w ^ k1,
                   (uint32_t)p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// Two normal numbers of two words (Box and Muller), the first `left` of them into x.
__device__ static void normal(uint32_t a, uint32_t b, int left, float* x) {
  float u = (float)((a >> 8) + 1) * 0x1p-24f;  // (0, 1]
  float angle = 6.28318530718f * ((float)(b >> 8) * 0x1p-24f);
  float radius = sqrtf(-2.0f * logf(u));
  if (left > 0) x[0] = radius * cosf(angle);
  if (left > 1) x[1] = radius * sinf(angle);
}

// A thread draws four numbers of a row, those of one block of its stream.
static __global__ void noise(size_t count, int samples, int length, int blocks, const UsRng* stream,
                             uint32_t from, float* x) {
  size_t t = element();
  if (t >= count) return;
  size_t row = t / blocks;
  int block = (int)(t % blocks), left = length - 4 * block;
  const UsRng* r = stream + row / samples;
  uint4 name = make_uint4(r->counter[0] + (uint32_t)block, r->counter[1], r->counter[2],
                          r->counter[3] + from + (uint32_t)(row % samples));
  uint4 word = philox(name, r->key[0], r->key[1]);
  x += row * length + 4 * block;
  normal(word.x, word.y, left, x);
  normal(word.z, word.w, left - 2, x + 2);
}

void us_cuda_noise(UsDevice* d, int n, int samples, int length, const UsRng* stream, uint32_t from,
                   float* x) {
  int blocks = (length + 3) / 4;
  size_t count = (size_t)n * samples * blocks;
  if (count == 0) return;
  US_RUN(us_cuda(d), noise, us_blocks(count, THREADS), THREADS, 0, count, samples, length, blocks,
         stream, from, x);
}

// A thread goes along one row of odd place, `lag` numbers a step.
static __global__ void correlate(size_t count, int period, int length, int lag, float carry,
                                 float fresh, float* x) {
  size_t t = element();
  if (t >= count || t / lag % period % 2 == 0) return;
  x += t / lag * length;
  for (int j = (int)(t % lag) + lag; j < length; j += lag) {
    x[j] = carry * x[j - lag] + fresh * x[j];
  }
}

void us_cuda_correlate(UsDevice* d, int rows, int period, int length, int lag, float carry,
                       float* x) {
  size_t count = (size_t)rows * lag;
  if (count == 0 || lag >= length) return;
  US_RUN(us_cuda(d), correlate, us_blocks(count, THREADS), THREADS, 0, count, period, length, lag,
         carry, sqrtf(1 - carry * carry), x);
}

// ---- candidates and their costs ----

static __global__ void sample(size_t count, int samples, int length, const int* slot,
                              const float* mean, const float* deviation, float* x) {
  size_t t = element();
  if (t >= count) return;
  size_t row = t / length, at = (size_t)slot[row / samples] * length + t % length;
  // Candidate 0 is the mean itself.
  x[t] = row % samples == 0 ? mean[at] : fminf(fmaxf(mean[at] + deviation[at] * x[t], -1.0f), 1.0f);
}

void us_cuda_sample(UsDevice* d, int n, int samples, int length, const int* slot, const float* mean,
                    const float* deviation, float* x) {
  size_t count = (size_t)n * samples * length;
  if (count == 0) return;
  US_RUN(us_cuda(d), sample, us_blocks(count, THREADS), THREADS, 0, count, samples, length, slot,
         mean, deviation, x);
}

// A thread has a candidate.
static __global__ void cost_of(size_t count, int samples, int horizon, const float* weight,
                               const float* rewards, double* cost) {
  size_t t = element();
  if (t >= count) return;
  weight += t / samples * horizon;
  rewards += t * horizon;
  double sum = 0;
  for (int h = 0; h < horizon; ++h) {
    if (weight[h] != 0) sum -= (double)weight[h] * (double)rewards[h];
  }
  cost[t] = isfinite(sum) ? sum : (double)INFINITY;
}

void us_cuda_cost(UsDevice* d, int n, int samples, int horizon, const float* weight,
                  const float* rewards, double* cost) {
  size_t count = (size_t)n * samples;
  if (count == 0) return;
  US_RUN(us_cuda(d), cost_of, us_blocks(count, THREADS), THREADS, 0, count, samples, horizon,
         weight, rewards, cost);
}

// ---- elites ----

// A cost and its place: old ones come first.
typedef struct Bid {
  double cost;  // INFINITY: none
  int place;
} Bid;

// The least of a thread's costs behind `last`, which it had before; ties go to the first.
__device__ static Bid next_bid(Bid last, int samples, int keep, const double* cost,
                               const double* old_cost) {
  Bid best = {(double)INFINITY, 0};
  for (int k = thread_rank(); k < keep + samples; k += block_threads()) {
    double c = k < keep ? old_cost[k] : cost[k - keep];
    int behind = c > last.cost || (c == last.cost && k > last.place);
    if (behind && c < best.cost) best = Bid{c, k};
  }
  return best;
}

// A block has a slot: a round per elite, in which all threads copy its row.
static __global__ void choose(int samples, int length, int elites, int keep, const int* slot,
                              const float* x, const double* cost, const float* old,
                              const double* old_cost, int* order, float* best, double* best_cost) {
  const size_t i = blockIdx.x, at = (size_t)slot[i] * elites;
  x += i * samples * length;
  cost += i * samples;
  old_cost += at;
  Bid mine = next_bid(Bid{-(double)INFINITY, -1}, samples, keep, cost, old_cost);
  int e = 0;
  for (; e < elites; ++e) {
    double least = -block_max(-mine.cost);
    if (!(least < (double)INFINITY)) break;
    int place = -block_max(mine.cost == least ? -mine.place : INT32_MIN);
    if (thread_rank() == 0) {
      order[i * elites + e] = place;
      best_cost[at + e] = least;
    }
    const float* from =
        place < keep ? old + (at + place) * length : x + (size_t)(place - keep) * length;
    for (int j = thread_rank(); j < length; j += block_threads()) {
      best[(at + e) * length + j] = from[j];
    }
    if (mine.cost == least && mine.place == place) {
      mine = next_bid(mine, samples, keep, cost, old_cost);
    }
  }
  // Finite costs end here.
  for (e += thread_rank(); e < elites; e += block_threads()) {
    best_cost[at + e] = (double)INFINITY;
  }
}

void us_cuda_elites(UsDevice* d, int n, int samples, int length, int elites, int keep,
                    const int* slot, const float* x, const double* cost, const float* old,
                    const double* old_cost, int* order, float* best, double* best_cost) {
  if (n == 0) return;
  US_RUN(us_cuda(d), choose, n, threads_for(keep + samples), 0, samples, length, elites, keep, slot,
         x, cost, old, old_cost, order, best, best_cost);
}

// ---- fit and hand out ----

// A thread has a number of a slot's plan.
static __global__ void fit(size_t count, int length, int elites, const int* slot, const float* best,
                           const double* best_cost, float m, float least, float* mean,
                           float* deviation) {
  size_t t = element();
  if (t >= count) return;
  const size_t s = (size_t)slot[t / length], j = t % length, at = s * length + j;
  const float* x = best + s * elites * length + j;
  best_cost += s * elites;
  int finite = 0;
  double sum = 0, square = 0;
  for (; finite < elites && best_cost[finite] < (double)INFINITY; ++finite) {
    sum += (double)x[(size_t)finite * length];
  }
  if (finite == 0) return;
  double average = sum / finite;
  for (int e = 0; e < finite; ++e) {
    double off = (double)x[(size_t)e * length] - average;
    square += off * off;
  }
  float spread = (float)sqrt(square / finite);
  mean[at] = m * mean[at] + (1 - m) * (float)average;
  deviation[at] = fmaxf(m * deviation[at] + (1 - m) * spread, least);
}

void us_cuda_fit(UsDevice* d, int n, int length, int elites, const int* slot, const float* best,
                 const double* best_cost, float m, float least, float* mean, float* deviation) {
  size_t count = (size_t)n * length;
  if (count == 0) return;
  US_RUN(us_cuda(d), fit, us_blocks(count, THREADS), THREADS, 0, count, length, elites, slot, best,
         best_cost, m, least, mean, deviation);
}

// A block has a slot. It goes along the plan in strides of its threads, which all have read their
// numbers before one of them is overwritten.
static __global__ void hand_out(int length, int played, int elites, int cold, const int* slot,
                                const float* best, const double* best_cost, float* mean,
                                float* actions) {
  const size_t i = blockIdx.x, s = (size_t)slot[i];
  mean += s * length;
  const float* from =
      best && best_cost[s * elites] < (double)INFINITY ? best + s * elites * length : mean;
  for (int first = 0; first < length; first += block_threads()) {
    int j = first + thread_rank();
    if (j < played) actions[i * played + j] = from[j];
    float next = !cold && j + played < length ? mean[j + played] : 0;
    __syncthreads();
    if (j < length) mean[j] = next;
  }
}

void us_cuda_hand_out(UsDevice* d, int n, int length, int played, int elites, int cold,
                      const int* slot, const float* best, const double* best_cost, float* mean,
                      float* actions) {
  if (n == 0) return;
  US_RUN(us_cuda(d), hand_out, n, threads_for(length), 0, length, played, elites, cold, slot, best,
         best_cost, mean, actions);
}
