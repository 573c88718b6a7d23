// The feature cache: a page of header, then the rows (N, G, D), float32 or bfloat16, memory-mapped.
//
// The file is named after its key, the SHA-256 of the hashes of what the encoder reads (the frames
// or the states) and of the encoder, the kind of device, whose roundings features have, and the
// kind of number if it is bfloat16, so a file that changed never meets old features, whatever its
// times say. `done` counts finished rows and is written after them with their checksum, so an
// interrupted run goes on, and a file whose rows are no longer what was written is made anew. While
// a run computes it holds the lock of the file; others wait for it.

#define _GNU_SOURCE
#include "datasets/features.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/training/encoder_source.h"
#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/crc32c.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"

enum { kHeader = 4096, kVersion = 2, kPiece = 512, kPath = 4096, kKeyChars = 12 };
static const double piece_bytes = 64e6, piece_seconds = 0.1;
static const char kMagic[16] = "understudy-feat";

typedef struct Header {
  char magic[16];
  int32_t version;
  int32_t tokens, dim;  // G, D
  int64_t rows, done;   // N, and how many of them are computed
  int64_t bfloat;       // 0: float32, 1: bfloat16
  int64_t crc;          // CRC-32C of the rows that are computed
  int64_t unused;
  char key[US_HASH_CHARS];  // of data and encoder
  char encoder[US_HASH_CHARS];
} Header;

struct UsFeatures {
  char path[kPath];
  Header header;
  const char* map;  // kHeader bytes, then the rows
  size_t bytes;
  size_t row;  // numbers in a row, G D
};

// ---- the file ----

static size_t row_bytes(const Header* h) {
  return (size_t)h->tokens * (size_t)h->dim * (h->bfloat ? sizeof(uint16_t) : sizeof(float));
}

// Of a file whose rows are all there; it has this size from the start.
static size_t file_bytes(const Header* h) {
  return kHeader + (size_t)h->rows * row_bytes(h);
}

// 1 when the file is a cache of this key and shape whose header is whole; header.done says how much
// an earlier run left in it.
static int read_header(UsFeatures* f) {
  Header *want = &f->header, found;
  want->done = want->crc = 0;
  int fd = open(f->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  struct stat info;
  int good = pread(fd, &found, sizeof(found), 0) == (ssize_t)sizeof(found) && fstat(fd, &info) == 0;
  close(fd);
  good = good && memcmp(found.magic, kMagic, sizeof(kMagic)) == 0 && found.version == kVersion &&
         found.tokens == want->tokens && found.dim == want->dim && found.rows == want->rows &&
         found.bfloat == want->bfloat && memcmp(found.key, want->key, US_HASH_CHARS) == 0 &&
         found.done >= 0 && found.done <= found.rows && (size_t)info.st_size == file_bytes(&found);
  if (good) want->done = found.done, want->crc = found.crc;
  return good;
}

// Writes all of it, whatever the system takes at once.
static UsStatus write_at(const char* path, int fd, const void* data, size_t size, size_t offset) {
  const char* bytes = data;
  while (size > 0) {
    ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return us_fail(US_IO, "%s: cannot be written: %s", path, strerror(errno));
    bytes += n;
    offset += (size_t)n;
    size -= (size_t)n;
  }
  return US_OK;
}

// ---- finding ----

// Where the cache files of `data` in `folder` (NULL: beside it) lie, up to ".features". In a folder
// that datasets share, the hash of the dataset's path tells those of one name apart.
static UsStatus find_stem(const char* data, const char* folder, char stem[kPath]) {
  size_t n = strlen(data);
  if (n > 3 && strcmp(data + n - 3, ".h5") == 0) n -= 3;
  if (n + 64 > kPath) return us_fail(US_IO, "%s: the path is too long", data);
  snprintf(stem, kPath, "%.*s", (int)n, data);
  if (!folder) return US_OK;
  // <folder>/<name>-<hash of the whole path>
  US_TRY(us_folder_make(folder));
  char hash[US_HASH_CHARS];
  char* whole = realpath(data, NULL);
  us_hash_bytes(whole ? whole : data, strlen(whole ? whole : data), hash);
  free(whole);
  const char* slash = memrchr(data, '/', n);
  const char* name = slash ? slash + 1 : data;
  int chars = snprintf(stem, kPath, "%s/%.*s-%.8s", folder, (int)(data + n - name), name, hash);
  return chars + 64 <= kPath ? US_OK : us_fail(US_IO, "%s: the path is too long", folder);
}

// Names the cache of this key in one folder and looks what an earlier run left under that name.
static UsStatus find_in(UsDataset* data, const char* folder, UsFeatures* f) {
  char stem[kPath];
  US_TRY(find_stem(us_dataset_path(data), folder, stem));
  snprintf(f->path, sizeof(f->path), "%.*s.features-%.*s.bin", kPath - 64, stem, kKeyChars,
           f->header.key);
  read_header(f);
  return US_OK;
}

// Looks where caches lie, at last in the spare folder if nothing could be written beside the data.
static UsStatus find(UsDataset* data, const UsFeaturesPlace* place, UsFeatures* f) {
  const char* path = us_dataset_path(data);
  US_TRY(find_in(data, place->folder, f));
  if (f->header.done == f->header.rows || place->folder || !place->spare) return US_OK;
  // Whether files can be made beside the data.
  char folder[kPath];
  const char* slash = strrchr(path, '/');
  snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
  if (access(folder, W_OK) == 0) return US_OK;
  us_log("%s: nothing can be written beside it; its features go to %s", path, place->spare);
  return find_in(data, place->spare, f);
}

// ---- computing ----

// What computing takes beside the file.
typedef struct Work {
  UsDataset* data;
  const UsEncoder* encoder;
  UsPool* pool;
  int piece, most;    // rows that are read, encoded and written at once, now and at most
  uint8_t* pixels;    // (most, H, W, 3) or NULL
  float* latents;     // (most, G, D)
  uint16_t* bfloats;  // the same, as it is kept, or NULL
  UsLock* lock;
  int fd;
} Work;

// Encodes the next n rows and writes them, then the count that says they are there.
static UsStatus encode_piece(UsFeatures* f, Work* w, int n) {
  int64_t first = f->header.done;
  const double* states = us_dataset_states(w->data) + first * us_dataset_info(w->data)->state;
  size_t bytes = row_bytes(&f->header);
  if (w->pixels) US_TRY(us_dataset_pixels(w->data, first, n, w->pixels));
  US_TRY(us_encoder_encode(w->encoder, n, w->pixels, states, w->latents, w->pool));
  for (size_t i = 0; w->bfloats && i < (size_t)n * f->row; i++) {
    w->bfloats[i] = us_bfloat(w->latents[i]);
  }
  const void* kept = w->bfloats ? (const void*)w->bfloats : w->latents;
  US_TRY(write_at(f->path, w->fd, kept, (size_t)n * bytes, kHeader + (size_t)first * bytes));
  f->header.done = first + n;
  f->header.crc = us_crc32c((uint32_t)f->header.crc, kept, (size_t)n * bytes);
  return write_at(f->path, w->fd, &f->header, sizeof(f->header), 0);
}

// Encodes what is missing in pieces, which grow while they take less than a tenth of a second, so
// that the bar moves with any encoder; the caller may stop it anywhere.
static UsStatus encode_rows(UsFeatures* f, Work* w) {
  int64_t rows = f->header.rows;
  UsProgress bar = us_progress_start("encode", "frames", (double)rows, (double)f->header.done);
  UsStatus status = US_OK;
  while (status == US_OK && f->header.done < rows) {
    double start = us_seconds();
    int64_t left = rows - f->header.done;
    status = encode_piece(f, w, left < w->piece ? (int)left : w->piece);
    us_progress_show(&bar, (double)f->header.done, NULL);
    if (us_seconds() - start < piece_seconds) w->piece *= 2;
    if (w->piece > w->most) w->piece = w->most;
    if (status == US_INTERRUPTED || (f->header.done < rows && us_interrupted())) {
      status =
          us_fail(US_INTERRUPTED, "%s: stopped after %lld of %lld frames; the next run goes on",
                  f->path, (long long)f->header.done, (long long)rows);
    }
  }
  us_progress_end(&bar);
  return status;
}

// Takes the file for this run and gives it its size, if the disk has room for what is missing.
static UsStatus start_file(UsFeatures* f, Work* w) {
  // Whoever held it may have finished it, or stopped: its rows count.
  US_TRY(us_lock_wait(f->path, &w->lock));
  w->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (w->fd < 0) return us_fail(US_IO, "%s: cannot be created: %s", f->path, strerror(errno));
  int same = read_header(f);
  size_t bytes = file_bytes(&f->header);
  struct stat info;
  double taken = same && fstat(w->fd, &info) == 0 ? 512.0 * (double)info.st_blocks : 0;
  US_TRY(us_machine_need_disk(f->path, (double)bytes - taken));
  if ((f->header.done == 0 && ftruncate(w->fd, 0) != 0) || ftruncate(w->fd, (off_t)bytes) != 0) {
    return us_fail(US_IO, "%s: cannot be written: %s", f->path, strerror(errno));
  }
  return write_at(f->path, w->fd, &f->header, sizeof(f->header), 0);
}

// Computes the rows that are missing and leaves a file with all of them.
static UsStatus compute(UsFeatures* f, UsDataset* data, const UsEncoder* encoder, UsPool* pool) {
  const UsDatasetInfo* info = us_dataset_info(data);
  int reads_pixels = us_encoder_info(encoder)->height > 0;
  Work w = {.data = data, .encoder = encoder, .pool = pool, .fd = -1};
  size_t latent = f->row * sizeof(float), frame = 0;
  if (reads_pixels) frame = (size_t)info->height * (size_t)info->width * 3;
  // Pieces of at least a frame for every worker, at most of some megabytes.
  w.most = (int)fmin(kPiece, fmax(1, piece_bytes / (double)(latent + frame)));
  w.piece = us_pool_threads(pool) < w.most ? us_pool_threads(pool) : w.most;
  w.latents = malloc((size_t)w.most * latent);
  if (reads_pixels) w.pixels = malloc((size_t)w.most * frame);
  if (f->header.bfloat) w.bfloats = malloc((size_t)w.most * row_bytes(&f->header));
  int ok = w.latents && (w.pixels || !reads_pixels) && (w.bfloats || !f->header.bfloat);
  UsStatus status = ok ? start_file(f, &w) : us_fail(US_MEMORY, "%s: out of memory", f->path);
  if (status == US_OK) status = encode_rows(f, &w);
  if (w.fd >= 0 && fsync(w.fd) != 0 && status == US_OK) {
    status = us_fail(US_IO, "%s: cannot be written: %s", f->path, strerror(errno));
  }
  if (w.fd >= 0) close(w.fd);
  us_lock_release(w.lock);
  free(w.latents);
  free(w.pixels);
  free(w.bfloats);
  return status;
}

// ---- opening ----

// Names what an encoder reads of a dataset: the frames, or the states alone.
static UsStatus hash_read(UsDataset* data, const UsEncoderInfo* e, char hex[US_HASH_CHARS]) {
  const UsDatasetInfo* info = us_dataset_info(data);
  if (e->height > 0) return us_dataset_frames_hash(data, hex);
  size_t bytes = (size_t)info->rows * (size_t)info->state * sizeof(double);
  us_hash_bytes(us_dataset_states(data), bytes, hex);
  return US_OK;
}

// Maps the finished file, whose pages come as training asks for them; *good: whether its rows are
// what was written.
static UsStatus map_rows(UsFeatures* f, int* good) {
  f->bytes = file_bytes(&f->header);
  int fd = open(f->path, O_RDONLY | O_CLOEXEC);
  void* map = fd < 0 ? MAP_FAILED : mmap(NULL, f->bytes, PROT_READ, MAP_SHARED, fd, 0);
  int error = errno;
  if (fd >= 0) close(fd);
  if (map == MAP_FAILED) {
    return us_fail(US_IO, "%s: cannot be mapped: %s", f->path, strerror(error));
  }
  f->map = map;
  *good = us_crc32c(0, f->map + kHeader, f->bytes - kHeader) == (uint32_t)f->header.crc;
  return US_OK;
}

static UsStatus open_all(UsFeatures* f, UsDataset* data, const UsEncoder* encoder,
                         const UsFeaturesPlace* place, UsPool* pool) {
  const UsEncoderInfo* e = us_encoder_info(encoder);
  US_TRY(us_encoder_fits(e, us_dataset_path(data), us_dataset_info(data)));
  // What the file must say.
  f->row = (size_t)e->tokens * (size_t)e->dim;
  const UsDevice* device = us_encoder_device(encoder);
  f->header = (Header){.version = kVersion,
                       .tokens = e->tokens,
                       .dim = e->dim,
                       .rows = us_dataset_info(data)->rows,
                       .bfloat = us_device_bfloat(device)};
  memcpy(f->header.magic, kMagic, sizeof(kMagic));
  memcpy(f->header.encoder, e->hash, US_HASH_CHARS);
  // Its key, then the file: there, or computed.
  char all[3 * US_HASH_CHARS + 16], hash[US_HASH_CHARS];
  US_TRY(hash_read(data, e, hash));
  const char* kind = us_device_kind(device);
  snprintf(all, sizeof(all), "%s%s%s%s", hash, e->hash, strcmp(kind, "cpu") ? kind : "",
           f->header.bfloat ? ", bfloat16" : "");
  us_hash_bytes(all, strlen(all), f->header.key);
  US_TRY(find(data, place, f));
  if (f->header.done < f->header.rows) US_TRY(compute(f, data, encoder, pool));
  int good;
  US_TRY(map_rows(f, &good));
  if (good) return US_OK;
  us_log("%s: its rows are not what was written; they are computed anew", f->path);
  munmap((void*)f->map, f->bytes);
  f->map = NULL;
  f->header.done = f->header.crc = 0;
  unlink(f->path);
  US_TRY(compute(f, data, encoder, pool));
  US_TRY(map_rows(f, &good));
  return good ? US_OK : us_fail(US_IO, "%s: its rows are not what was written", f->path);
}

UsStatus us_features_open(UsDataset* data, const UsEncoder* encoder, const UsFeaturesPlace* place,
                          UsPool* pool, UsFeatures** out) {
  static const UsFeaturesPlace beside = {NULL, NULL};
  *out = NULL;
  UsFeatures* f = calloc(1, sizeof(*f));
  if (!f) return us_fail(US_MEMORY, "out of memory");
  UsStatus status = open_all(f, data, encoder, place ? place : &beside, pool);
  if (status == US_OK) *out = f;
  if (status != US_OK) us_features_close(f);
  return status;
}

void us_features_close(UsFeatures* f) {
  if (!f) return;
  if (f->map) munmap((void*)f->map, f->bytes);
  free(f);
}

const float* us_features_row(const UsFeatures* f, int64_t row) {
  US_ASSERT(row >= 0 && row < f->header.rows);
  if (f->header.bfloat) return NULL;
  return (const float*)(f->map + kHeader) + (size_t)row * f->row;
}

const uint16_t* us_features_bfloats(const UsFeatures* f, int64_t row) {
  US_ASSERT(row >= 0 && row < f->header.rows);
  if (!f->header.bfloat) return NULL;
  return (const uint16_t*)(f->map + kHeader) + (size_t)row * f->row;
}

void us_features_read(const UsFeatures* f, int64_t row, float* out) {
  const float* floats = us_features_row(f, row);
  if (floats) memcpy(out, floats, f->row * sizeof(float));
  if (!floats) us_bfloats_wide(f->row, us_features_bfloats(f, row), out);
}

const char* us_features_path(const UsFeatures* f) {
  return f->path;
}

int us_features_tokens(const UsFeatures* f) {
  return f->header.tokens;
}

int us_features_dim(const UsFeatures* f) {
  return f->header.dim;
}
