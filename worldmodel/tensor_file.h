#ifndef UNDERSTUDY_TENSOR_FILE_H_
#define UNDERSTUDY_TENSOR_FILE_H_

// Named tensors in a file: the safetensors format, read and written.
//
//   8 bytes        length n of the header, little-endian
//   n bytes        JSON: {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]},
//   ..,
//                         "__metadata__": {"key": "text", ..}}
//   the rest       the numbers, little-endian, row-major; offsets count from here
//
// Files may come from anywhere: a header that lies in any way (lengths, overlaps, gaps, products
// that overflow) is US_FORMAT with a message that names the file and the tensor. What opens is what
// the format's own library opens, but for names that occur twice or hold a NUL (json.h). An open
// file can hold any dtype of the format; F32, F16, BF16 and F64 can be read as float.
//
// Threads: an open file is constant, so any number of threads may read it.

#include <stddef.h>
#include <stdint.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

enum { US_TENSOR_NAME = 256 };  // bytes of a name that we write, with its terminator

typedef struct UsTensors UsTensors;

// ---- reading ----

// Opens a file. On failure *out is NULL.
US_API UsStatus us_tensors_open(const char* path, UsTensors** out);

// The same from memory, which must outlive the object; `name` stands for the file in messages. data
// (size). On failure *out is NULL.
US_API UsStatus us_tensors_open_memory(const char* name, const void* data, size_t size,
                                       UsTensors** out);

// NULL is fine.
US_API void us_tensors_close(UsTensors* t);

// What messages call the file.
US_API const char* us_tensors_path(const UsTensors* t);

// Tensors are numbered in the order of the file's data. A name is any text without a NUL: us_shown
// makes it fit to be printed. Sizes of a shape from 2^63 on (beside a 0) come as negative numbers.
US_API int us_tensors_count(const UsTensors* t);
US_API const char* us_tensors_name(const UsTensors* t, int i);
US_API int us_tensors_rank(const UsTensors* t, int i);
US_API const int64_t* us_tensors_shape(const UsTensors* t, int i);  // (rank)
US_API size_t us_tensors_elements(const UsTensors* t, int i);
US_API size_t us_tensors_bytes(const UsTensors* t, int i);
US_API const char* us_tensors_dtype(const UsTensors* t, int i);  // "F32"

// The number of the tensor of this name; -1 when there is none.
US_API int us_tensors_find(const UsTensors* t, const char* tensor);

// Copies a tensor as float into host (product of shape). A missing tensor, another shape, a dtype
// that is not real numbers, or a number that is not finite is US_FORMAT. shape (rank); a -1 in it
// takes any size. host is written only on success.
US_API UsStatus us_tensors_read(const UsTensors* t, const char* tensor, int rank,
                                const int64_t* shape, float* host);

// A metadata text; NULL when the key is missing. It lives as long as t.
US_API const char* us_tensors_metadata(const UsTensors* t, const char* key);

// ---- writing ----

typedef struct UsTensorOut {
  const char* name;   // shorter than US_TENSOR_NAME
  int rank;           // 0 .. 4
  int64_t shape[4];   // (rank)
  const float* data;  // host, the product of shape
} UsTensorOut;

// Writes n tensors, in this order, as F32, and nmeta metadata texts, replacing `path` at once.
// tensors (n), keys (nmeta), values (nmeta). Names and keys must differ.
US_API UsStatus us_tensors_write(const char* path, int n, const UsTensorOut* tensors, int nmeta,
                                 const char* const* keys, const char* const* values);

US_C_END

#endif  // UNDERSTUDY_TENSOR_FILE_H_
