// libFuzzer: any bytes as a safetensors file. Whatever opens must be readable in every way the
// header promises.

#include <stdlib.h>

#include "worldmodel/tensor_file.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  UsTensors* t;
  if (us_tensors_open_memory("fuzz", data, size, &t) != US_OK) {
    US_ASSERT(!t && us_message()[0]);
    return 0;
  }
  size_t bytes = 0;
  for (int i = 0; i < us_tensors_count(t); i++) {
    size_t n = us_tensors_elements(t, i);
    US_ASSERT(us_tensors_find(t, us_tensors_name(t, i)) == i);
    US_ASSERT(n <= 2 * size);  // no dtype is smaller than half a byte
    float* host = malloc(n * sizeof(float) + 1);
    US_ASSERT(host);
    us_tensors_read(t, us_tensors_name(t, i), us_tensors_rank(t, i), us_tensors_shape(t, i), host);
    free(host);
    bytes += us_tensors_bytes(t, i);
  }
  US_ASSERT(bytes <= size);
  us_tensors_metadata(t, "format");
  us_tensors_close(t);
  return 0;
}
