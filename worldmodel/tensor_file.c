// The safetensors format: opening checks everything, so that what follows can trust the entries.
// The parsed header stays alive: names and metadata point into it.

#include "worldmodel/tensor_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/file.h"

enum {
  LENGTH = 8,             // bytes in front of the header
  MOST_META = 1024,       // metadata texts
  MOST_HEADER = 1 << 24,  // bytes of a header
};

// The format's dtypes: name, bytes.
#define DTYPES(X)                                                                                  \
  X(F32, 4)                                                                                        \
  X(F16, 2)                                                                                        \
  X(BF16, 2)                                                                                       \
  X(F64, 8) X(BOOL, 1) X(U8, 1) X(I8, 1) X(F8_E5M2, 1) X(F8_E4M3, 1) X(I16, 2) X(U16, 2) X(I32, 4) \
      X(U32, 4) X(I64, 8) X(U64, 8)

typedef enum Dtype {
#define X(name, bytes) name,
  DTYPES(X)
#undef X
      DTYPE_COUNT
} Dtype;

static const struct {
  const char* name;
  size_t bytes;
} dtypes[] = {
#define X(name, bytes) {#name, bytes},
    DTYPES(X)
#undef X
};

typedef struct Entry {
  const char* name;
  int64_t shape[US_TENSOR_RANK];  // (rank)
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
  size_t at = 0;
  out[at++] = '(';
  for (int i = 0; i < rank && at < 120; ++i) {
    at += (size_t)snprintf(out + at, 160 - at, "%s%lld", i ? ", " : "", (long long)shape[i]);
  }
  snprintf(out + at, 160 - at, ")");
  return out;
}

// 1 if the number is whole and in 0 .. 2^53, the range that JSON's doubles hold exactly.
static int whole(const cJSON* json, int64_t* out) {
  if (!cJSON_IsNumber(json)) return 0;
  double x = json->valuedouble;
  if (!(x >= 0.0 && x <= 9007199254740992.0) || x != floor(x)) return 0;
  *out = (int64_t)x;
  return 1;
}

static int good_name(const char* name) {
  size_t n = 0;
  for (; name && name[n]; ++n) {
    if ((unsigned char)name[n] < 0x20 || name[n] == 0x7f) return 0;
  }
  return n > 0 && n < US_TENSOR_NAME;
}

static UsStatus read_dtype(const char* path, const cJSON* json, Entry* e) {
  if (!cJSON_IsString(json)) {
    return us_fail(US_FORMAT, "%s: expected a dtype for \"%s\", found none", path, e->name);
  }
  for (e->dtype = 0; e->dtype < DTYPE_COUNT; ++e->dtype) {
    if (strcmp(json->valuestring, dtypes[e->dtype].name) == 0) return US_OK;
  }
  return us_fail(US_FORMAT, "%s: expected a dtype such as F32 for \"%s\", found \"%.16s\"", path,
                 e->name, json->valuestring);
}

static UsStatus read_shape(const char* path, const cJSON* json, Entry* e) {
  if (!cJSON_IsArray(json)) {
    return us_fail(US_FORMAT, "%s: expected a shape for \"%s\", found none", path, e->name);
  }
  e->elements = 1;
  const cJSON* size;
  cJSON_ArrayForEach(size, json) {
    if (e->rank == US_TENSOR_RANK) {
      return us_fail(US_FORMAT, "%s: expected at most %d dimensions for \"%s\", found more", path,
                     US_TENSOR_RANK, e->name);
    }
    int64_t n;
    if (!whole(size, &n) || __builtin_mul_overflow(e->elements, (size_t)n, &e->elements)) {
      return us_fail(US_FORMAT, "%s: expected sizes in the shape of \"%s\", found a bad number",
                     path, e->name);
    }
    e->shape[e->rank++] = n;
  }
  return US_OK;
}

// `room`: bytes of the data.
static UsStatus read_offsets(const char* path, const cJSON* json, size_t room, Entry* e) {
  int64_t begin, end;
  if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != 2 || !whole(json->child, &begin) ||
      !whole(json->child->next, &end)) {
    return us_fail(US_FORMAT, "%s: expected two data_offsets for \"%s\", found something else",
                   path, e->name);
  }
  if (begin > end || (uint64_t)end > room) {
    return us_fail(US_FORMAT,
                   "%s: expected \"%s\" within the %zu bytes of data, found %lld to %lld", path,
                   e->name, room, (long long)begin, (long long)end);
  }
  size_t bytes;
  e->begin = (size_t)begin;
  e->end = (size_t)end;
  if (__builtin_mul_overflow(e->elements, dtypes[e->dtype].bytes, &bytes) ||
      bytes != e->end - e->begin) {
    char text[160];
    return us_fail(US_FORMAT, "%s: expected the bytes of %s %s for \"%s\", found %zu", path,
                   dtypes[e->dtype].name, shape_text(e->rank, e->shape, text), e->name,
                   e->end - e->begin);
  }
  return US_OK;
}

static UsStatus read_entry(const char* path, const cJSON* json, int number, size_t room, Entry* e) {
  if (!good_name(json->string)) {
    return us_fail(US_FORMAT, "%s: expected a name of 1 to %d printable bytes for tensor %d", path,
                   US_TENSOR_NAME - 1, number);
  }
  e->name = json->string;
  if (!cJSON_IsObject(json) || cJSON_GetArraySize(json) != 3) {
    return us_fail(US_FORMAT, "%s: expected dtype, shape and data_offsets for \"%s\"", path,
                   e->name);
  }
  US_TRY(read_dtype(path, cJSON_GetObjectItemCaseSensitive(json, "dtype"), e));
  US_TRY(read_shape(path, cJSON_GetObjectItemCaseSensitive(json, "shape"), e));
  return read_offsets(path, cJSON_GetObjectItemCaseSensitive(json, "data_offsets"), room, e);
}

// ---- the whole header ----

static int is_metadata(const cJSON* json) {
  return json->string && strcmp(json->string, "__metadata__") == 0;
}

static UsStatus read_metadata(UsTensors* t, const cJSON* json) {
  if (t->metadata) return us_fail(US_FORMAT, "%s: found \"__metadata__\" twice", t->path);
  if (!cJSON_IsObject(json) || cJSON_GetArraySize(json) > MOST_META) {
    return us_fail(US_FORMAT, "%s: expected at most %d texts as \"__metadata__\"", t->path,
                   MOST_META);
  }
  const cJSON *text, *other;
  cJSON_ArrayForEach(text, json) {
    if (!cJSON_IsString(text)) {
      return us_fail(US_FORMAT, "%s: expected texts as \"__metadata__\", found another type",
                     t->path);
    }
    for (other = json->child; other != text; other = other->next) {
      if (strcmp(other->string, text->string) == 0) {
        return us_fail(US_FORMAT, "%s: found the metadata \"%.64s\" twice", t->path, text->string);
      }
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

// Entries must follow each other without gap or overlap to the end, and names differ.
static UsStatus check_layout(UsTensors* t, size_t room) {
  size_t at = 0;
  qsort(t->entries, (size_t)t->count, sizeof(Entry), compare_begin);
  for (int i = 0; i < t->count; ++i) {
    const Entry* e = &t->entries[i];
    if (e->begin != at) {
      return us_fail(US_FORMAT, "%s: expected \"%s\" at byte %zu of the data, found it at %zu",
                     t->path, e->name, at, e->begin);
    }
    at = e->end;
    t->by_name[i] = &t->entries[i];
  }
  if (at != room) {
    return us_fail(US_FORMAT, "%s: expected %zu bytes of data, found %zu", t->path, at, room);
  }
  qsort(t->by_name, (size_t)t->count, sizeof(Entry*), compare_name);
  for (int i = 1; i < t->count; ++i) {
    if (strcmp(t->by_name[i - 1]->name, t->by_name[i]->name) == 0) {
      return us_fail(US_FORMAT, "%s: found the tensor \"%s\" twice", t->path, t->by_name[i]->name);
    }
  }
  return US_OK;
}

static UsStatus read_header(UsTensors* t, size_t room) {
  int most = cJSON_GetArraySize(t->header), number = 0;
  t->entries = calloc((size_t)most + 1, sizeof(Entry));
  t->by_name = calloc((size_t)most + 1, sizeof(Entry*));
  if (!t->entries || !t->by_name) return us_fail(US_MEMORY, "%s: out of memory", t->path);
  const cJSON* json;
  cJSON_ArrayForEach(json, t->header) {
    if (is_metadata(json)) {
      US_TRY(read_metadata(t, json));
    } else {
      US_TRY(read_entry(t->path, json, number++, room, &t->entries[t->count]));
      ++t->count;
    }
  }
  return check_layout(t, room);
}

// data (size).
static UsStatus fill(UsTensors* t, const unsigned char* data, size_t size) {
  uint64_t length = 0;
  if (size < LENGTH) {
    return us_fail(US_FORMAT, "%s: expected a safetensors file, found %zu bytes", t->path, size);
  }
  for (int i = LENGTH - 1; i >= 0; --i) length = length << 8 | data[i];
  if (length > size - LENGTH || length > MOST_HEADER) {
    return us_fail(US_FORMAT,
                   "%s: expected a safetensors header, found a length of %llu in %zu bytes",
                   t->path, (unsigned long long)length, size);
  }
  US_TRY(us_json_parse(t->path, (const char*)data + LENGTH, (size_t)length, &t->header));
  t->data = data + LENGTH + length;
  return read_header(t, size - LENGTH - (size_t)length);
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
const char* us_tensors_dtype(const UsTensors* t, int i) {
  return dtypes[entry(t, i)->dtype].name;
}

int us_tensors_find(const UsTensors* t, const char* tensor) {
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
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
  if (exponent == 31) return from_bits(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
  return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

// Number i of `from`, which need not be aligned.
static float number_at(Dtype dtype, const unsigned char* from, size_t i) {
  from += i * dtypes[dtype].bytes;
  if (dtype == F16 || dtype == BF16) {
    uint16_t h = (uint16_t)(from[0] | from[1] << 8);
    return dtype == F16 ? from_half(h) : from_bits((uint32_t)h << 16);
  }
  if (dtype == F64) {
    double x;
    memcpy(&x, from, sizeof x);
    return fabs(x) > 3.4028234663852886e38 ? INFINITY : (float)x;
  }
  float x;
  memcpy(&x, from, sizeof x);
  return x;
}

static UsStatus check_shape(const UsTensors* t, const Entry* e, int rank, const int64_t* shape) {
  int same = e->rank == rank;
  for (int i = 0; same && i < rank; ++i) same = shape[i] == -1 || shape[i] == e->shape[i];
  char want[160], have[160];
  if (!same) {
    return us_fail(US_FORMAT, "%s: expected \"%s\" of shape %s, found %s", t->path, e->name,
                   shape_text(rank, shape, want), shape_text(e->rank, e->shape, have));
  }
  if (e->dtype > F64) {
    return us_fail(US_FORMAT, "%s: expected \"%s\" as F32, F16, BF16 or F64, found %s", t->path,
                   e->name, dtypes[e->dtype].name);
  }
  return US_OK;
}

UsStatus us_tensors_read(const UsTensors* t, const char* tensor, int rank, const int64_t* shape,
                         float* host) {
  int i = us_tensors_find(t, tensor);
  char text[160];
  if (i < 0) {
    return us_fail(US_FORMAT, "%s: expected a tensor \"%s\" of shape %s, found none", t->path,
                   tensor, shape_text(rank, shape, text));
  }
  const Entry* e = entry(t, i);
  US_TRY(check_shape(t, e, rank, shape));
  const unsigned char* from = t->data + e->begin;
  for (size_t k = 0; k < e->elements; ++k) {
    if (!isfinite(number_at(e->dtype, from, k))) {
      return us_fail(US_FORMAT, "%s: expected finite numbers in \"%s\", found %g at element %zu",
                     t->path, tensor, (double)number_at(e->dtype, from, k), k);
    }
  }
  for (size_t k = 0; k < e->elements; ++k) host[k] = number_at(e->dtype, from, k);
  return US_OK;
}
