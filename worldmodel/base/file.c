// Files and folders as a whole, and SHA-256 of them.

#define _GNU_SOURCE
#include "worldmodel/base/file.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worldmodel/base/progress.h"

enum { kPath = 4096, kNames = 64 };  // bytes of a path, and of names of files at its end
enum { kPiece = 16 << 20 };          // bytes between two looks at Ctrl-C

// ---- reading and writing ----

UsStatus us_file_read(const char* path, size_t limit, void** data, size_t* size) {
  *data = NULL;
  *size = 0;
  // Only a file has a size to read.
  struct stat info;
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {  // opening a pipe would wait
    return us_fail(US_IO, "%s: expected a file, found something else", path);
  }
  FILE* f = fopen(path, "rb");
  if (!f) return us_fail(US_IO, "%s: cannot be opened: %s", path, strerror(errno));
  UsStatus status = US_OK;
  UsProgress bar = {.on = 0};
  char* bytes = NULL;
  size_t n = 0;
  if (fstat(fileno(f), &info) != 0) {
    status = us_fail(US_IO, "%s: cannot be read: %s", path, strerror(errno));
  } else if (limit && (size_t)info.st_size > limit) {
    status = us_fail(US_FORMAT, "%s: expected at most %zu bytes, found %lld", path, limit,
                     (long long)info.st_size);
  } else {
    // A zero stands behind the bytes, so that texts can be used as they are.
    n = (size_t)info.st_size;
    bytes = malloc(n + 1);
    if (!bytes) status = us_fail(US_MEMORY, "%s: out of memory for its %zu bytes", path, n);
  }
  // Piece by piece: a large file shows how far it is and lets itself be stopped.
  if (status == US_OK && n > kPiece) bar = us_progress_start("read", "MB", (double)n / 1e6, 0);
  for (size_t at = 0, piece; status == US_OK && at < n; at += piece) {
    piece = n - at < kPiece ? n - at : kPiece;
    if (at > 0) status = us_progress_step(&bar, (double)at / 1e6, path);
    if (status != US_OK || fread(bytes + at, 1, piece, f) == piece) continue;
    status = us_fail(US_IO, "%s: reading stopped before its %zu bytes were read", path, n);
  }
  us_progress_end(&bar);
  fclose(f);
  if (status != US_OK) {
    free(bytes);
    return status;
  }
  bytes[n] = 0;
  *data = bytes;
  *size = n;
  return US_OK;
}

UsStatus us_file_write(const char* path, const void* data, size_t size) {
  // The bytes go to a file beside, which takes the name when it is whole and on the disk: whoever
  // reads finds the old file or the new one.
  char* temporary = NULL;
  if (asprintf(&temporary, "%s.tmp", path) < 0) return us_fail(US_MEMORY, "out of memory");
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  int bad = fd < 0;
  for (const char* at = data; !bad && size > 0;) {
    ssize_t n = write(fd, at, size);
    // A signal may interrupt, a full disk may take a part.
    if (n < 0 && errno == EINTR) continue;
    if ((bad = n <= 0)) break;
    at += n;
    size -= (size_t)n;
  }
  bad = bad || fsync(fd) != 0;
  // Some file systems tell of a failed write only here.
  int error = errno;
  if ((fd >= 0 && close(fd) != 0 && !bad) || (!bad && rename(temporary, path) != 0)) {
    bad = 1;
    error = errno;
  }
  // A failure leaves what was there before.
  if (bad && fd >= 0) unlink(temporary);
  free(temporary);
  return bad ? us_fail(US_IO, "%s: cannot be written: %s", path, strerror(error)) : US_OK;
}

// ---- folders ----

int us_file_exists(const char* path) {
  return access(path, F_OK) == 0;
}

int us_file_same(const char* a, const char* b) {
  struct stat x, y;
  return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

UsStatus us_file_replaceable(const char* path, const char* begins, const char* const* inputs) {
  for (; *inputs; inputs++) {
    if (us_file_same(path, *inputs)) {
      return us_fail(US_USAGE, "%s: expected another file to write to, found what is read", path);
    }
  }
  struct stat info;
  if (!begins || stat(path, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0) {
    return US_OK;
  }
  char text[16] = "";
  FILE* f = fopen(path, "rb");
  size_t n = f ? fread(text, 1, strlen(begins), f) : 0;
  if (f) fclose(f);
  if (n == strlen(begins) && memcmp(text, begins, n) == 0) return US_OK;
  return us_fail(US_IO, "%s: the file exists and is of another kind; expected a new name", path);
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
  // Every folder on the way is made, from the top.
  for (size_t i = 1; i <= n; i++) {
    if (path[i] != '/' && path[i] != 0) continue;
    memcpy(part, path, i);
    part[i] = 0;
    struct stat info;
    if (mkdir(part, 0777) == 0) continue;
    // A link to a folder is one too.
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

char* us_path_absolute(const char* path) {
  char folder[4096] = "";
  if (path[0] != '/' && !getcwd(folder, sizeof(folder))) return NULL;
  size_t size = strlen(folder) + strlen(path) + 2, n = 0;
  char *whole = malloc(size), *out = malloc(size);
  if (whole) snprintf(whole, size, "%s/%s", folder, path);
  // Part by part; .. takes back the one before.
  for (const char* at = whole; whole && out && *at;) {
    at += strspn(at, "/");
    size_t length = strcspn(at, "/");
    if (length == 2 && strncmp(at, "..", 2) == 0) {
      while (n > 0 && out[--n] != '/') continue;
    } else if (length && !(length == 1 && at[0] == '.')) {
      out[n++] = '/';
      memcpy(out + n, at, length);
      n += length;
    }
    at += length;
  }
  if (out && n == 0) out[n++] = '/';
  if (out) out[n] = 0;
  free(whole);
  return out;
}

char* us_path_between(const char* folder, const char* path) {
  // What both share, back to a slash.
  size_t n = 0, shared = 0, up = 0;
  for (; folder[n] && folder[n] == path[n]; n++) {
    if (folder[n] == '/') shared = n;
  }
  if (!folder[n] && path[n] == '/') shared = n;
  for (const char* c = folder + shared; *c; c++) up += c[0] == '/' && c[1];
  size_t size = 3 * up + strlen(path + shared) + 1;
  char* out = malloc(size);
  for (size_t i = 0; out && i < up; i++) memcpy(out + 3 * i, "../", 3);
  if (out) snprintf(out + 3 * up, size - 3 * up, "%s", path + shared + (path[shared] == '/'));
  return out;
}

int us_file_beside(const char* asked, int count, const char* const* places, int mode, char* out,
                   size_t size) {
  if (asked) {
    snprintf(out, size, "%s", asked);
    return access(out, mode) == 0;
  }
  // The library's own folder, as the system found it.
  Dl_info library;
  int known = dladdr((void*)(uintptr_t)us_file_beside, &library) != 0;
  const char* slash = known && library.dli_fname ? strrchr(library.dli_fname, '/') : NULL;
  for (int i = 0; i < count; i++) {
    snprintf(out, size, "%.*s%s", slash ? (int)(slash - library.dli_fname) + 1 : 0,
             slash ? library.dli_fname : "", places[i]);
    if (access(out, mode) == 0) return 1;
  }
  return 0;
}

// ---- hashes ----

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
    // Large files show how far they are and let themselves be stopped.
    struct stat info;
    double size = fstat(fileno(f), &info) == 0 ? (double)info.st_size / 1e6 : 0;
    UsProgress bar = us_progress_start("hash", "MB", size, 0);
    size_t n;
    for (double done = 0; status == US_OK && (n = fread(buffer, 1, room, f)) > 0;) {
      EVP_DigestUpdate(context, buffer, n);
      status = us_progress_step(&bar, done += (double)n / 1e6, path);
    }
    us_progress_end(&bar);
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

UsStatus us_hash_parts(const char* what, int count, const void* const* data, const size_t* size,
                       char hex[US_HASH_CHARS]) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  if (!context) return us_fail(US_MEMORY, "%s: out of memory", what);
  EVP_DigestInit_ex(context, EVP_sha256(), NULL);
  for (int i = 0; i < count; i++) {
    // In pieces, between which the caller may stop it.
    for (size_t at = 0; at < size[i] && !us_interrupted(); at += kPiece) {
      EVP_DigestUpdate(context, (const char*)data[i] + at,
                       size[i] - at < kPiece ? size[i] - at : kPiece);
    }
  }
  // A run that was stopped gives its status, and a digest that means nothing.
  unsigned char digest[EVP_MAX_MD_SIZE];
  EVP_DigestFinal_ex(context, digest, NULL);
  EVP_MD_CTX_free(context);
  hex_of(digest, hex);
  return us_interrupt_check(what);
}
