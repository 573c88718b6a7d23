// The writing half of tensor_file.h.

#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/file.h"
#include "worldmodel/tensor_file.h"

static size_t bytes_of(const UsTensorOut* t) {
  size_t n = sizeof(float);
  for (int i = 0; i < t->rank; ++i) n *= (size_t)t->shape[i];
  return n;
}

UsStatus us_tensors_write(const char* path, int n, const UsTensorOut* tensors, int nmeta,
                          const char* const* keys, const char* const* values) {
  // The header as text.
  size_t total = 0;  // bytes of the data
  cJSON* header = cJSON_CreateObject();
  int good = header != NULL;
  // Metadata first, as other writers have it.
  if (nmeta > 0) {
    cJSON* metadata = cJSON_AddObjectToObject(header, "__metadata__");
    for (int i = 0; i < nmeta; ++i) {
      US_ASSERT(!cJSON_GetObjectItemCaseSensitive(metadata, keys[i]));
      good = good && cJSON_AddStringToObject(metadata, keys[i], values[i]);
    }
  }
  // The tensors follow each other in the order given:
  // {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}
  for (int i = 0; i < n && good; ++i) {
    const UsTensorOut* t = &tensors[i];
    US_ASSERT(t->rank >= 0 && t->rank <= 4 && strlen(t->name) < US_TENSOR_NAME);
    US_ASSERT(!cJSON_GetObjectItemCaseSensitive(header, t->name));
    cJSON* entry = cJSON_AddObjectToObject(header, t->name);
    cJSON_AddStringToObject(entry, "dtype", "F32");
    cJSON* shape = cJSON_AddArrayToObject(entry, "shape");
    for (int j = 0; j < t->rank; ++j) {
      cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->shape[j]));
    }
    // cJSON fails quietly when memory ends: the last member tells.
    double offsets[] = {(double)total, (double)(total + bytes_of(t))};
    cJSON* pair = cJSON_CreateDoubleArray(offsets, 2);
    good = pair && cJSON_AddItemToObject(entry, "data_offsets", pair);
    if (!good) cJSON_Delete(pair);
    total += bytes_of(t);
  }
  char* text = good ? cJSON_PrintUnformatted(header) : NULL;
  cJSON_Delete(header);
  if (!text) return us_fail(US_MEMORY, "%s: out of memory", path);
  // One block for the file: length, header filled up with spaces, data.
  size_t used = strlen(text), length = (used + 7) / 8 * 8;  // so that the data is aligned
  unsigned char* file = malloc(8 + length + total);
  if (!file) {
    free(text);
    return us_fail(US_MEMORY, "%s: out of memory for its %zu bytes", path, 8 + length + total);
  }
  for (int i = 0; i < 8; ++i) file[i] = (unsigned char)((uint64_t)length >> 8 * i);
  memset(file + 8, ' ', length);
  memcpy(file + 8, text, used);
  // An empty tensor may have no pointer.
  unsigned char* at = file + 8 + length;
  for (int i = 0; i < n; ++i) {
    size_t bytes = bytes_of(&tensors[i]);
    if (bytes) memcpy(at, tensors[i].data, bytes);
    at += bytes;
  }
  UsStatus status = us_file_write(path, file, 8 + length + total);
  free(file);
  free(text);
  return status;
}
