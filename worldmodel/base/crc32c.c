// CRC-32C (Castagnoli), eight bytes a step: by the processor's instruction, or by tables that say
// what each of the eight bytes contributes.

#include "worldmodel/base/crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

enum { kSlices = 8 };
static const uint32_t kPolynomial = 0x82f63b78;  // bits reversed

static uint32_t table[kSlices][256];  // [k][b]: byte b with k zero bytes behind it
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_tables(void) {
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t crc = b;
    // The remainder of one byte, bit by bit.
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? kPolynomial : 0);
    table[0][b] = crc;
  }
  // The same with k more zero bytes behind it.
  for (int k = 1; k < kSlices; k++) {
    for (int b = 0; b < 256; b++) {
      table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
    }
  }
}

uint32_t us_crc32c_tables(uint32_t crc, const void* data, size_t size) {
  pthread_once(&once, fill_tables);
  const uint8_t* p = data;
  crc = ~crc;
  // Eight bytes at once; the old remainder is mixed into the first four.
  for (; size >= kSlices; p += kSlices, size -= kSlices) {
    uint8_t mixed[kSlices];
    for (int i = 0; i < kSlices; i++) mixed[i] = p[i] ^ (uint8_t)(i < 4 ? crc >> 8 * i : 0);
    crc = 0;
    for (int i = 0; i < kSlices; i++) crc ^= table[kSlices - 1 - i][mixed[i]];
  }
  // What is left, byte by byte.
  for (; size > 0; p++, size--) crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
  return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t* p,
                                                                 size_t size) {
  uint64_t c = ~crc;
  for (; size >= sizeof(c); p += sizeof(c), size -= sizeof(c)) {
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    c = _mm_crc32_u64(c, word);
  }
  for (; size > 0; p++, size--) c = _mm_crc32_u8((uint32_t)c, *p);
  return ~(uint32_t)c;
}
#endif

uint32_t us_crc32c(uint32_t crc, const void* data, size_t size) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return by_instruction(crc, data, size);
#endif
  return us_crc32c_tables(crc, data, size);
}
