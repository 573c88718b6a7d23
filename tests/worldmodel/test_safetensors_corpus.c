// Headers of safetensors_corpus.txt, whose verdicts are those of the format's own library:
// safetensors_corpus.py, which also says what a line holds.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worldmodel/base/file.h"
#include "worldmodel/tensor_file.h"

enum { kLeast = 380 };  // lines: a corpus that was cut short is noticed

typedef struct Bytes {
  unsigned char* data;
  size_t size, room;
} Bytes;

static void push(Bytes* b, const void* data, size_t size) {
  if (b->size + size > b->room) {
    b->room = 2 * (b->size + size) + 64;
    b->data = realloc(b->data, b->room);
    assert_non_null(b->data);
  }
  memcpy(b->data + b->size, data, size);
  b->size += size;
}

// Appends what text (n) stands for: %XX, %<N*TEXT>, or itself.
static void unpack(const char* text, size_t n, Bytes* out) {
  for (size_t i = 0; i < n; i++) {
    if (text[i] != '%') {
      push(out, text + i, 1);
    } else if (text[i + 1] == '<') {
      char* at;
      unsigned long times = strtoul(text + i + 2, &at, 10);
      size_t length = strcspn(at + 1, ">");
      Bytes one = {0};
      unpack(at + 1, length, &one);
      for (unsigned long k = 0; k < times; k++) push(out, one.data, one.size);
      free(one.data);
      i = (size_t)(at + 1 - text) + length;
    } else {
      const char hex[3] = {text[i + 1], text[i + 2], 0};
      unsigned char byte = (unsigned char)strtoul(hex, NULL, 16);
      push(out, &byte, 1);
      i += 2;
    }
  }
}

static void check_line(const char* line, int number) {
  char verdict[16], length[32];
  unsigned long room;
  int at = 0;
  assert_int_equal(sscanf(line, "%15s %31s %lu%n", verdict, length, &room, &at), 3);
  const char* packed = line + at + 1;
  Bytes all = {0};
  int raw = !strcmp(length, "raw");
  if (!raw) push(&all, "12345678", 8);
  unpack(packed, strlen(packed), &all);
  uint64_t header = *length == '-' ? all.size - 8 : strtoull(length, NULL, 10);
  for (int i = 0; i < 8 && !raw; i++) all.data[i] = (unsigned char)(header >> 8 * i);
  unsigned char* file = calloc(all.size + room + !(all.size + room), 1);  // exactly: for ASan
  if (all.size) memcpy(file, all.data, all.size);
  UsTensors* t;
  UsStatus status = us_tensors_open_memory("x.safetensors", file, all.size + room, &t);
  if ((status == US_OK) != !strcmp(verdict, "load") || (status != US_OK && status != US_FORMAT)) {
    fail_msg("line %d: expected %s: %.200s: %s", number, verdict, line,
             status == US_OK ? "loaded" : us_message());
  }
  assert_int_equal(t != NULL, status == US_OK);
  if (!t) assert_ptr_equal(strstr(us_message(), "x.safetensors: "), us_message());
  us_tensors_close(t);
  free(file);
  free(all.data);
}

static void test_corpus(void** state) {
  void* data;
  size_t size;
  int count = 0;
  assert_int_equal(
      us_file_read(US_SOURCE_DIR "/tests/worldmodel/safetensors_corpus.txt", 0, &data, &size),
      US_OK);
  char* rest = NULL;
  for (char* l = strtok_r(data, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest)) {
    check_line(l, ++count);
  }
  assert_true(count >= kLeast);
  free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_corpus)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
