// Philox4x32-10 (Salmon et al., 2011): ten rounds that scramble a counter under a key, so that
// every number of every stream can be had by itself.

#include "worldmodel/base/rng.h"

#include <math.h>

#include "worldmodel/base/status.h"

void us_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    // Two products; their upper halves meet the other words and the key, their lower ones change
    // places.
    uint64_t p0 = (uint64_t)0xD2511F53u * c0;
    uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
    c0 = n0;
    c2 = n2;
    // The next round's key.
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

// The key is the image of (seed, purpose, upper half of a) under the block function.
UsRng us_rng(uint64_t seed, UsRngPurpose purpose, uint64_t a, uint64_t b, uint64_t c) {
  const uint32_t name[4] = {(uint32_t)purpose, (uint32_t)(a >> 32), 0, 0};
  const uint32_t seed_key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  uint32_t mixed[4];
  us_philox(name, seed_key, mixed);
  return (UsRng){.key = {mixed[0], mixed[1]},
                 .counter = {0, (uint32_t)a, (uint32_t)b, (uint32_t)c}};
}

uint32_t us_rng_bits(UsRng* r) {
  // Four words a block of the counter.
  if (r->left == 0) {
    us_philox(r->counter, r->key, r->word);
    r->counter[0]++;
    r->left = 4;
  }
  return r->word[4 - r->left--];
}

float us_rng_uniform(UsRng* r) {
  return (float)(us_rng_bits(r) >> 8) * 0x1p-24f;
}

double us_rng_range(UsRng* r, double low, double high) {
  return low + (high - low) * (double)us_rng_uniform(r);
}

uint32_t us_rng_below(UsRng* r, uint32_t n) {
  US_ASSERT(n > 0);
  uint32_t limit = UINT32_MAX - UINT32_MAX % n;  // a multiple of n
  // Words beyond it would make small numbers likelier: they are drawn anew.
  uint32_t x;
  do x = us_rng_bits(r);
  while (x >= limit);
  return x % n;
}

float us_rng_normal(UsRng* r) {
  // Box and Muller: two uniform numbers make two normal ones, of which one waits.
  if (r->spare_full) {
    r->spare_full = 0;
    return r->spare;
  }
  float u = (float)((us_rng_bits(r) >> 8) + 1) * 0x1p-24f;  // (0, 1]
  float angle = 6.28318530718f * us_rng_uniform(r);
  float radius = sqrtf(-2.0f * logf(u));
  r->spare = radius * sinf(angle);
  r->spare_full = 1;
  return radius * cosf(angle);
}

void us_rng_fill_normal(UsRng* r, float* out, int n) {
  for (int i = 0; i < n; i++) out[i] = us_rng_normal(r);
}
