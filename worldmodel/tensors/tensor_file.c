// The safetensors format: opening checks everything, so that what follows can trust the entries.
// The parsed header stays alive: names and metadata point into it.

#include "worldmodel/tensor_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/text.h"

enum {
  LENGTH = 8,               // bytes in front of the header
  MOST_HEADER = 100000000,  // bytes of a header
};

// The format's dtypes: name, bits. The first four can be read as float.
#define DTYPES(X)   \
  X(F32, 32)        \
  X(F16, 16)        \
  X(BF16, 16)       \
  X(F64, 64)        \
  X(BOOL, 8)        \
  X(F4, 4)          \
  X(F6_E2M3, 6)     \
  X(F6_E3M2, 6)     \
  X(F8_E5M2, 8)     \
  X(F8_E4M3, 8)     \
  X(F8_E8M0, 8)     \
  X(F8_E4M3FNUZ, 8) \
  X(F8_E5M2FNUZ, 8) \
  X(U8, 8)          \
  X(I8, 8)          \
  X(I16, 16)        \
  X(U16, 16)        \
  X(I32, 32)        \
  X(U32, 32)        \
  X(I64, 64)        \
  X(U64, 64)        \
  X(C64, 64)

typedef enum Dtype {
#define X(name, bits) name,
  DTYPES(X)
#undef X
      DTYPE_COUNT
} Dtype;

static const struct {
  const char* name;
  size_t bits;
} dtypes[] = {
#define X(name, bits) {#name, bits},
    DTYPES(X)
#undef X
};

typedef struct Entry {
  const char* name;
  int64_t* shape;  // (rank)
  int rank;
  Dtype dtype;
  size_t elements;
  size_t begin, end;  // bytes of the data
} Entry;

struct UsTensors {
  char* path;                 // what messages call the file
  void* owned;                // the file's bytes when it was opened by path
  const unsigned char* data;  // behind the header
  cJSON* header;
  const cJSON* metadata;  // in the header; NULL: none
  int count;
  Entry* entries;   // (count), by begin
  Entry** by_name;  // (count)
};

// ---- one entry ----

// A shape as text, "(2, 3)", for messages. shape (rank).
static const char* shape_text(int rank, const int64_t* shape, char out[160]) {
  // Of a long one the beginning.
  size_t at = 0;
  out[at++] = '(';
  for (int i = 0; i < rank && at < 120; ++i) {
    at += (size_t)snprintf(out + at, 160 - at, "%s%lld", i ? ", " : "", (long long)shape[i]);
  }
  snprintf(out + at, 160 - at, ")");
  return out;
}

// `room`: bytes of the data.
static UsStatus read_offsets(const char* path, const cJSON* json, size_t room, Entry* e) {
  uint64_t begin, end;
  if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != 2 ||
      !us_json_whole(json->child, &begin) || !us_json_whole(json->child->next, &end)) {
    return us_fail(US_FORMAT, "%s: expected two data_offsets for \"%s\", found something else",
                   path, us_shown(e->name));
  }
  // Inside the data.
  if (begin > end || end > room) {
    return us_fail(US_FORMAT,
                   "%s: expected \"%s\" within the %zu bytes of data, found %llu to %llu", path,
                   us_shown(e->name), room, (unsigned long long)begin, (unsigned long long)end);
  }
  // And as many bytes as the shape needs.
  size_t bits;
  e->begin = (size_t)begin;
  e->end = (size_t)end;
  if (__builtin_mul_overflow(e->elements, dtypes[e->dtype].bits, &bits) || bits % 8 != 0 ||
      bits / 8 != e->end - e->begin) {
    char text[160];
    return us_fail(US_FORMAT, "%s: expected the bytes of %s %s for \"%s\", found %zu", path,
                   dtypes[e->dtype].name, shape_text(e->rank, e->shape, text), us_shown(e->name),
                   e->end - e->begin);
  }
  return US_OK;
}

// An object, whose further members are left alone, or an array of the three.
static UsStatus read_entry(const char* path, const cJSON* json, size_t room, Entry* e) {
  // Both ways in which serde reads a struct: by names, or in order.
  static const char* const keys[] = {"dtype", "shape", "data_offsets"};
  const cJSON* part[3] = {0};
  e->name = json->string;
  if (cJSON_IsArray(json) && cJSON_GetArraySize(json) == 3) {
    for (int i = 0; i < 3; ++i) part[i] = i ? part[i - 1]->next : json->child;
  } else if (cJSON_IsObject(json)) {
    for (int i = 0; i < 3; ++i) part[i] = cJSON_GetObjectItemCaseSensitive(json, keys[i]);
  }
  if (!part[0] || !part[1] || !part[2]) {
    return us_fail(US_FORMAT, "%s: expected dtype, shape and data_offsets for \"%s\"", path,
                   us_shown(e->name));
  }
  // The dtype: a text, or an object whose one member has the name and the value null. Rust's serde
  // writes an enum either way, and its readers take both.
  const char* text = cJSON_GetStringValue(part[0]);
  if (cJSON_IsObject(part[0]) && cJSON_GetArraySize(part[0]) == 1 && cJSON_IsNull(part[0]->child)) {
    text = part[0]->child->string;
  }
  if (!text) {
    return us_fail(US_FORMAT, "%s: expected a dtype for \"%s\", found none", path,
                   us_shown(e->name));
  }
  while (e->dtype < DTYPE_COUNT && strcmp(text, dtypes[e->dtype].name) != 0) ++e->dtype;
  if (e->dtype == DTYPE_COUNT) {
    return us_fail(US_FORMAT, "%s: expected a dtype such as F32 for \"%s\", found \"%.16s\"", path,
                   us_shown(e->name), text);
  }
  // Sizes whose product, in this order, no size_t holds are refused even where one of them is 0.
  if (!cJSON_IsArray(part[1])) {
    return us_fail(US_FORMAT, "%s: expected a shape for \"%s\", found none", path,
                   us_shown(e->name));
  }
  // One more than its rank, so that a scalar has one to free.
  e->shape = calloc((size_t)cJSON_GetArraySize(part[1]) + 1, sizeof(*e->shape));
  if (!e->shape) return us_fail(US_MEMORY, "%s: out of memory", path);
  e->elements = 1;
  const cJSON* size;
  cJSON_ArrayForEach(size, part[1]) {
    uint64_t n;
    if (!us_json_whole(size, &n) || __builtin_mul_overflow(e->elements, (size_t)n, &e->elements)) {
      return us_fail(US_FORMAT, "%s: expected sizes in the shape of \"%s\", found a bad number",
                     path, us_shown(e->name));
    }
    e->shape[e->rank++] = (int64_t)n;
  }
  return read_offsets(path, part[2], room, e);
}

// ---- the whole header ----

static UsStatus read_metadata(UsTensors* t, const cJSON* json) {
  if (cJSON_IsNull(json)) return US_OK;
  if (!cJSON_IsObject(json)) {
    return us_fail(US_FORMAT, "%s: expected texts as \"__metadata__\", found another type",
                   t->path);
  }
  // Texts alone.
  const cJSON* text;
  cJSON_ArrayForEach(text, json) {
    if (!cJSON_IsString(text)) {
      return us_fail(US_FORMAT, "%s: expected a text as the metadata \"%s\", found another type",
                     t->path, us_shown(text->string));
    }
  }
  t->metadata = json;
  return US_OK;
}

static int compare_begin(const void* a, const void* b) {
  const Entry *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end) return x->end < y->end ? -1 : 1;
  return strcmp(x->name, y->name);
}

static int compare_name(const void* a, const void* b) {
  return strcmp((*(Entry* const*)a)->name, (*(Entry* const*)b)->name);
}

// Reads the header of data (size) and checks all of it.
static UsStatus fill(UsTensors* t, const unsigned char* data, size_t size) {
  uint64_t length = 0;
  if (size < LENGTH) {
    return us_fail(US_FORMAT, "%s: expected a safetensors file, found %zu bytes", t->path, size);
  }
  // Eight bytes, the lowest first, say how long the header is.
  for (int i = LENGTH - 1; i >= 0; --i) length = length << 8 | data[i];
  // Longer than the file, or than any that makes sense.
  if (length > size - LENGTH || length > MOST_HEADER) {
    return us_fail(US_FORMAT,
                   "%s: expected a safetensors header of at most %d bytes, found a length of %llu "
                   "in a file of %zu",
                   t->path, MOST_HEADER, (unsigned long long)length, size);
  }
  // JSON, whose messages name the file's header.
  char name[4096];
  snprintf(name, sizeof(name), "%s: header", t->path);
  US_TRY(us_json_parse(name, (const char*)data + LENGTH, (size_t)length, &t->header));
  t->data = data + LENGTH + length;
  size_t at = 0, room = size - LENGTH - (size_t)length;
  // An entry a member, but for the metadata.
  int most = cJSON_GetArraySize(t->header);
  t->entries = calloc((size_t)most + 1, sizeof(Entry));
  t->by_name = calloc((size_t)most + 1, sizeof(Entry*));
  if (!t->entries || !t->by_name) return us_fail(US_MEMORY, "%s: out of memory", t->path);
  const cJSON* json;
  cJSON_ArrayForEach(json, t->header) {
    if (json->string && strcmp(json->string, "__metadata__") == 0) {
      US_TRY(read_metadata(t, json));
    } else {
      US_TRY(read_entry(t->path, json, room, &t->entries[t->count++]));
    }
  }
  // In order of their bytes, each begins where the last one ends, without gap or overlap.
  qsort(t->entries, (size_t)t->count, sizeof(Entry), compare_begin);
  for (int i = 0; i < t->count; ++i) {
    const Entry* e = t->by_name[i] = &t->entries[i];
    if (e->begin != at) {
      return us_fail(US_FORMAT, "%s: expected \"%s\" at byte %zu of the data, found it at %zu",
                     t->path, us_shown(e->name), at, e->begin);
    }
    at = e->end;
  }
  if (at != room) {
    return us_fail(US_FORMAT, "%s: expected %zu bytes of data, found %zu", t->path, at, room);
  }
  // And once more by name, to be found.
  qsort(t->by_name, (size_t)t->count, sizeof(Entry*), compare_name);
  return US_OK;
}

// Takes `owned`, also on failure.
static UsStatus open_bytes(const char* name, const void* data, size_t size, void* owned,
                           UsTensors** out) {
  *out = NULL;
  UsTensors* t = calloc(1, sizeof *t);
  if (!t) {
    free(owned);
    return us_fail(US_MEMORY, "%s: out of memory", name);
  }
  // From here on closing frees everything.
  t->owned = owned;
  t->path = strdup(name);
  UsStatus status = t->path ? fill(t, data, size) : us_fail(US_MEMORY, "%s: out of memory", name);
  if (status == US_OK) {
    *out = t;
  } else {
    us_tensors_close(t);
  }
  return status;
}

UsStatus us_tensors_open(const char* path, UsTensors** out) {
  void* data;
  size_t size;
  *out = NULL;
  US_TRY(us_file_read(path, 0, &data, &size));
  return open_bytes(path, data, size, data, out);
}

UsStatus us_tensors_open_memory(const char* name, const void* data, size_t size, UsTensors** out) {
  return open_bytes(name, data, size, NULL, out);
}

void us_tensors_close(UsTensors* t) {
  if (!t) return;
  cJSON_Delete(t->header);
  for (int i = 0; i < t->count; ++i) free(t->entries[i].shape);
  free(t->entries);
  free(t->by_name);
  free(t->owned);
  free(t->path);
  free(t);
}

// ---- queries ----

static const Entry* entry(const UsTensors* t, int i) {
  US_ASSERT(i >= 0 && i < t->count);
  return &t->entries[i];
}

const char* us_tensors_path(const UsTensors* t) {
  return t->path;
}
int us_tensors_count(const UsTensors* t) {
  return t->count;
}
const char* us_tensors_name(const UsTensors* t, int i) {
  return entry(t, i)->name;
}
int us_tensors_rank(const UsTensors* t, int i) {
  return entry(t, i)->rank;
}
const int64_t* us_tensors_shape(const UsTensors* t, int i) {
  return entry(t, i)->shape;
}
size_t us_tensors_elements(const UsTensors* t, int i) {
  return entry(t, i)->elements;
}
size_t us_tensors_bytes(const UsTensors* t, int i) {
  return entry(t, i)->end - entry(t, i)->begin;
}
const char* us_tensors_dtype(const UsTensors* t, int i) {
  return dtypes[entry(t, i)->dtype].name;
}

int us_tensors_find(const UsTensors* t, const char* tensor) {
  // By bisection among the names.
  Entry key = {.name = tensor}, *pointer = &key;
  Entry** found = bsearch(&pointer, t->by_name, (size_t)t->count, sizeof(Entry*), compare_name);
  return found ? (int)(*found - t->entries) : -1;
}

const char* us_tensors_metadata(const UsTensors* t, const char* key) {
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(t->metadata, key));
}

// ---- numbers ----

static float from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// IEEE half precision. Subnormals are a whole number of 2^-24.
static float from_half(uint16_t h) {
  // Sign, 5 bits of exponent, 10 of fraction; the exponents' biases are 112 apart.
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
  if (exponent == 31) return from_bits(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
  return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

// Number i of `from`, which need not be aligned.
static float number_at(Dtype dtype, const unsigned char* from, size_t i) {
  from += i * (dtypes[dtype].bits / 8);
  // Two bytes: half precision, or the upper half of a float.
  if (dtype == F16 || dtype == BF16) {
    uint16_t h = (uint16_t)(from[0] | from[1] << 8);
    return dtype == F16 ? from_half(h) : us_bfloat_wide(h);
  }
  // A double beyond every float is none.
  if (dtype == F64) {
    double x;
    memcpy(&x, from, sizeof x);
    return fabs(x) > 3.4028234663852886e38 ? INFINITY : (float)x;
  }
  float x;
  memcpy(&x, from, sizeof x);
  return x;
}

UsStatus us_tensors_read(const UsTensors* t, const char* tensor, int rank, const int64_t* shape,
                         float* host) {
  int found = us_tensors_find(t, tensor);
  char want[160], have[160];
  if (found < 0) {
    return us_fail(US_FORMAT, "%s: expected a tensor \"%s\" of shape %s, found none", t->path,
                   tensor, shape_text(rank, shape, want));
  }
  // A size of -1 takes any.
  const Entry* e = entry(t, found);
  int same = e->rank == rank;
  for (int i = 0; same && i < rank; ++i) same = shape[i] == -1 || shape[i] == e->shape[i];
  if (!same) {
    return us_fail(US_FORMAT, "%s: expected \"%s\" of shape %s, found %s", t->path, e->name,
                   shape_text(rank, shape, want), shape_text(e->rank, e->shape, have));
  }
  if (e->dtype > F64) {
    return us_fail(US_FORMAT, "%s: expected \"%s\" as F32, F16, BF16 or F64, found %s", t->path,
                   us_shown(e->name), dtypes[e->dtype].name);
  }
  // All numbers are looked at before one is written: a failure leaves host as it was.
  const unsigned char* from = t->data + e->begin;
  for (size_t k = 0; k < e->elements; ++k) {
    if (!isfinite(number_at(e->dtype, from, k))) {
      return us_fail(US_FORMAT, "%s: expected finite numbers in \"%s\", found %g at element %zu",
                     t->path, us_shown(tensor), (double)number_at(e->dtype, from, k), k);
    }
  }
  for (size_t k = 0; k < e->elements; ++k) host[k] = number_at(e->dtype, from, k);
  return US_OK;
}
