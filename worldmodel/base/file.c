#define _GNU_SOURCE
#include "worldmodel/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kPath = 4096, kNames = 64 };  // bytes of a path, and of names of files at its end

UsStatus us_file_read(const char* path, size_t limit, void** data, size_t* size) {
  *data = NULL;
  *size = 0;
  struct stat info;
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {  // opening a pipe would wait
    return us_fail(US_IO, "%s: expected a file, found something else", path);
  }
  FILE* f = fopen(path, "rb");
  if (!f) return us_fail(US_IO, "%s: cannot be opened: %s", path, strerror(errno));
  UsStatus status = US_OK;
  if (fstat(fileno(f), &info) != 0) {
    status = us_fail(US_IO, "%s: cannot be read: %s", path, strerror(errno));
  } else if (limit && (size_t)info.st_size > limit) {
    status = us_fail(US_FORMAT, "%s: expected at most %zu bytes, found %lld", path, limit,
                     (long long)info.st_size);
  } else {
    size_t n = (size_t)info.st_size;
    char* bytes = malloc(n + 1);
    if (!bytes) {
      status = us_fail(US_MEMORY, "%s: out of memory for its %zu bytes", path, n);
    } else if (fread(bytes, 1, n, f) != n) {
      status = us_fail(US_IO, "%s: reading stopped before its %zu bytes were read", path, n);
      free(bytes);
    } else {
      bytes[n] = 0;
      *data = bytes;
      *size = n;
    }
  }
  fclose(f);
  return status;
}

static int write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    data += n;
    size -= (size_t)n;
  }
  return 0;
}

UsStatus us_file_write(const char* path, const void* data, size_t size) {
  char* temporary = NULL;
  if (asprintf(&temporary, "%s.tmp", path) < 0) return us_fail(US_MEMORY, "out of memory");
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  int bad = fd < 0 || write_all(fd, data, size) != 0 || fsync(fd) != 0;
  int error = errno;
  if (fd >= 0 && close(fd) != 0 && !bad) {
    bad = 1;
    error = errno;
  }
  if (!bad && rename(temporary, path) != 0) {
    bad = 1;
    error = errno;
  }
  if (bad && fd >= 0) unlink(temporary);
  free(temporary);
  return bad ? us_fail(US_IO, "%s: cannot be written: %s", path, strerror(error)) : US_OK;
}

int us_file_exists(const char* path) {
  return access(path, F_OK) == 0;
}

UsStatus us_folder_check(const char* path) {
  size_t n = strlen(path);
  if (n + kNames <= kPath) return US_OK;
  return us_fail(US_IO, "%.64s...: expected a folder's path of at most %d bytes, found %zu", path,
                 kPath - kNames, n);
}

UsStatus us_folder_make(const char* path) {
  char part[kPath];
  US_TRY(us_folder_check(path));
  size_t n = strlen(path);
  for (size_t i = 1; i <= n; i++) {
    if (path[i] != '/' && path[i] != 0) continue;
    memcpy(part, path, i);
    part[i] = 0;
    struct stat info;
    if (mkdir(part, 0777) == 0) continue;
    int error = errno;
    if (error == EEXIST && stat(part, &info) == 0 && S_ISDIR(info.st_mode)) continue;
    return us_fail(US_IO, "%s: the folder cannot be made: %s", part, strerror(error));
  }
  return US_OK;
}

UsStatus us_folder_make_above(const char* path) {
  char* copy = strdup(path);
  if (!copy) return us_fail(US_MEMORY, "out of memory");
  UsStatus status = us_folder_make(dirname(copy));
  free(copy);
  return status;
}

const char* us_path_join(char* out, size_t size, const char* folder, const char* name) {
  int n = snprintf(out, size, "%s/%s", folder, name);
  US_ASSERT(n >= 0 && (size_t)n < size);
  return out;
}

static void hex_of(const unsigned char digest[32], char hex[US_HASH_CHARS]) {
  for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

void us_hash_bytes(const void* data, size_t size, char hex[US_HASH_CHARS]) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  US_ASSERT(EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL) == 1);
  hex_of(digest, hex);
}

UsStatus us_hash_file(const char* path, char hex[US_HASH_CHARS]) {
  hex[0] = 0;
  FILE* f = fopen(path, "rb");
  if (!f) return us_fail(US_IO, "%s: cannot be opened: %s", path, strerror(errno));
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  size_t room = 1 << 20;
  char* buffer = malloc(room);
  UsStatus status = US_OK;
  if (!context || !buffer) {
    status = us_fail(US_MEMORY, "%s: out of memory", path);
  } else {
    EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    size_t n;
    while ((n = fread(buffer, 1, room, f)) > 0) EVP_DigestUpdate(context, buffer, n);
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_DigestFinal_ex(context, digest, NULL);
    hex_of(digest, hex);
    if (ferror(f)) status = us_fail(US_IO, "%s: cannot be read: %s", path, strerror(errno));
  }
  EVP_MD_CTX_free(context);
  free(buffer);
  fclose(f);
  return status;
}

static int compare_keys(const void* a, const void* b) {
  return strcmp(*(const char* const*)a, *(const char* const*)b);
}

// Two members of one name mean two things to two readers, so they are refused at any depth.
static UsStatus check_keys(const char* name, const cJSON* json) {
  size_t n = 0;
  const cJSON* child;
  cJSON_ArrayForEach(child, json) {
    US_TRY(check_keys(name, child));
    n++;
  }
  if (!cJSON_IsObject(json) || n < 2) return US_OK;
  const char** keys = malloc(n * sizeof(*keys));
  if (!keys) return us_fail(US_MEMORY, "%s: out of memory", name);
  n = 0;
  cJSON_ArrayForEach(child, json) keys[n++] = child->string;
  qsort(keys, n, sizeof(*keys), compare_keys);
  UsStatus status = US_OK;
  for (size_t i = 1; i < n && status == US_OK; i++) {
    if (strcmp(keys[i - 1], keys[i]) != 0) continue;
    status = us_fail(US_FORMAT, "%s: found \"%.64s\" twice", name, keys[i]);
  }
  free(keys);
  return status;
}

UsStatus us_json_parse(const char* name, const char* text, size_t size, cJSON** out) {
  const char* end = NULL;
  *out = cJSON_ParseWithLengthOpts(text, size, &end, 0);
  if (!*out) {
    return us_fail(US_FORMAT, "%s: expected JSON, found an error at byte %zu", name,
                   end ? (size_t)(end - text) : 0);
  }
  while (end < text + size && *end && strchr(" \t\r\n", *end)) ++end;
  if (!cJSON_IsObject(*out) || end < text + size) {
    cJSON_Delete(*out);
    *out = NULL;
    return us_fail(US_FORMAT, "%s: expected one JSON object, found something else", name);
  }
  UsStatus status = check_keys(name, *out);
  if (status != US_OK) {
    cJSON_Delete(*out);
    *out = NULL;
  }
  return status;
}

UsStatus us_json_read(const char* path, cJSON** out) {
  void* data;
  size_t size;
  *out = NULL;
  US_TRY(us_file_read(path, (size_t)64 << 20, &data, &size));
  UsStatus status = us_json_parse(path, data, size, out);
  free(data);
  return status;
}

UsStatus us_json_write(const char* path, const cJSON* json) {
  char* text = cJSON_Print(json);
  if (!text) return us_fail(US_MEMORY, "%s: out of memory", path);
  size_t n = strlen(text);
  text[n] = '\n';  // in place of the terminator: the size is given
  UsStatus status = us_file_write(path, text, n + 1);
  free(text);
  return status;
}

UsStatus us_json_number(const char* name, const cJSON* object, const char* key, double low,
                        double high, const double* fallback, double* out) {
  const cJSON* value = cJSON_GetObjectItemCaseSensitive(object, key);
  if (!value && fallback) {
    *out = *fallback;
    return US_OK;
  }
  if (!value) return us_fail(US_FORMAT, "%s: expected a number \"%s\", found none", name, key);
  if (!cJSON_IsNumber(value)) {
    return us_fail(US_FORMAT, "%s: expected a number for \"%s\", found another type", name, key);
  }
  double x = value->valuedouble;
  if (!(x >= low && x <= high)) {
    return us_fail(US_FORMAT, "%s: expected \"%s\" in [%g, %g], found %g", name, key, low, high, x);
  }
  *out = x;
  return US_OK;
}

UsStatus us_json_int(const char* name, const cJSON* object, const char* key, int low, int high,
                     const int* fallback, int* out) {
  double x, y = fallback ? *fallback : 0;
  US_TRY(us_json_number(name, object, key, low, high, fallback ? &y : NULL, &x));
  if (x != floor(x)) {
    return us_fail(US_FORMAT, "%s: expected a whole number for \"%s\", found %g", name, key, x);
  }
  *out = (int)x;
  return US_OK;
}

UsStatus us_json_text(const char* name, const cJSON* object, const char* key, const char* fallback,
                      char* out, size_t size) {
  const cJSON* value = cJSON_GetObjectItemCaseSensitive(object, key);
  const char* text = cJSON_GetStringValue(value);
  if (!value && fallback) text = fallback;
  if (!text) return us_fail(US_FORMAT, "%s: expected a text \"%s\", found none", name, key);
  if (strlen(text) >= size) {
    return us_fail(US_FORMAT, "%s: expected \"%s\" of at most %zu bytes, found %zu", name, key,
                   size - 1, strlen(text));
  }
  memcpy(out, text, strlen(text) + 1);
  return US_OK;
}
