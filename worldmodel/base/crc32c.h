#ifndef UNDERSTUDY_CRC32C_H_
#define UNDERSTUDY_CRC32C_H_

// CRC-32C (Castagnoli, as iSCSI and ext4 use it), to find changed bytes.
//
// Threads: safe.

#include <stddef.h>
#include <stdint.h>

#include "worldmodel/base/api.h"

US_C_BEGIN

// The checksum of data (size) behind bytes whose checksum is `crc`; 0 at the start. Takes the
// processor's instruction where there is one: several GB/s.
US_API uint32_t us_crc32c(uint32_t crc, const void* data, size_t size);

// The same numbers from tables, on any processor.
US_API uint32_t us_crc32c_tables(uint32_t crc, const void* data, size_t size);

US_C_END

#endif  // UNDERSTUDY_CRC32C_H_
