#ifndef UNDERSTUDY_TESTS_GOLDEN_H_
#define UNDERSTUDY_TESTS_GOLDEN_H_

// Reading golden files (tests/worldmodel/golden, made by the scripts beside them) and comparing
// with them. Include after cmocka.h.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "worldmodel/base/file.h"
#include "worldmodel/tensor_file.h"

// Opens a golden file by its name and parses the JSON text that its metadata holds under `key`.
static inline UsTensors* golden_open(const char* name, const char* key, cJSON** json) {
  char path[1024];
  UsTensors* t;
  // Where the tests were built, or where they were carried to.
  const char* moved = getenv("UNDERSTUDY_SOURCE_DIR");
  snprintf(path, sizeof path, "%s/tests/worldmodel/golden/%s.safetensors",
           moved ? moved : US_SOURCE_DIR, name);
  if (us_tensors_open(path, &t) != US_OK) fail_msg("%s", us_message());
  const char* text = us_tensors_metadata(t, key);
  assert_non_null(text);
  assert_int_equal(us_json_parse(path, text, strlen(text), json), US_OK);
  return t;
}

// All numbers of a tensor, which the caller frees. *count: how many. Nullable: count.
static inline float* golden_read(const UsTensors* t, const char* tensor, size_t* count) {
  int i = us_tensors_find(t, tensor);
  if (i < 0) fail_msg("the golden file has no tensor %s", tensor);
  size_t n = us_tensors_elements(t, i);
  float* host = calloc(n + 1, sizeof(float));
  assert_non_null(host);
  if (us_tensors_read(t, tensor, us_tensors_rank(t, i), us_tensors_shape(t, i), host) != US_OK) {
    fail_msg("%s", us_message());
  }
  if (count) *count = n;
  return host;
}

// Fails unless got (n) is the golden tensor within tolerance times its largest number, or times
// 1e-3 when that is larger (a key's bias has the gradient 0).
static inline void golden_compare(const UsTensors* t, const char* tensor, size_t n,
                                  const float* got, double tolerance) {
  size_t count;
  float* expected = golden_read(t, tensor, &count);
  if (count != n) fail_msg("%s: %zu numbers, expected %zu", tensor, n, count);
  double size = 1e-3;
  for (size_t i = 0; i < n; ++i) size = fmax(size, fabs((double)expected[i]));
  for (size_t i = 0; i < n; ++i) {
    if (!(fabs((double)got[i] - expected[i]) <= tolerance * size)) {
      fail_msg("%s[%zu]: got %.7g, expected %.7g; the largest is %.7g", tensor, i, got[i],
               expected[i], size);
    }
  }
  free(expected);
}

#endif  // UNDERSTUDY_TESTS_GOLDEN_H_
