// Checking a whole file: every small column in windows, every frame in blocks, and a hash.

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/files/dataset_reader.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/progress.h"

// Frames have to be of the size that a model sees, where one is given.
static UsStatus check_size(const char* path, const UsDatasetInfo* info, int height, int width) {
  if (height == 0 || (info->height == height && info->width == width)) return US_OK;
  if (info->height == 0) {
    return us_fail(US_FORMAT, "%s: expected frames of %d x %d as the model sees them, found none",
                   path, width, height);
  }
  return us_fail(US_FORMAT,
                 "%s: pixels: expected frames of %d x %d as the model sees them, found "
                 "%d x %d",
                 path, width, height, info->width, info->height);
}

// Reads and checks all rows, and hashes those of other programs' files.
static UsStatus read_windows(UsDataset* d, EVP_MD_CTX* hash) {
  const UsDatasetColumns* c = &d->c;
  static const UsColumnId hashed[] = {US_COLUMN_ACTION, US_COLUMN_PROPRIO, US_COLUMN_VARIATION,
                                      US_COLUMN_STATE};
  int64_t first, count;
  int more;
  do {
    US_TRY(us_reader_next(d, &first, &count, &more));
    US_TRY(us_interrupt_check(d->path));
    // Ours are hashed as training hashes them, all at once.
    if (!more || d->ours) continue;
    int64_t last = first + count - 1;
    size_t rows = (size_t)(c->ep_offset[last] + c->ep_len[last] - c->first);
    for (size_t i = 0; i < sizeof(hashed) / sizeof(*hashed); i++) {
      UsColumnId id = hashed[i];
      const void* data = us_column_data(c, id);
      size_t bytes = us_column_width(id, &d->info) * us_column_bytes(us_columns[id].type);
      if (data) EVP_DigestUpdate(hash, data, rows * bytes);
    }
  } while (more);
  return US_OK;
}

// Reads all frames in blocks, compares them with their checksums and hashes them.
static UsStatus read_frames(UsDataset* d, EVP_MD_CTX* hash) {
  const UsDatasetInfo* info = &d->info;
  const char* path = d->path;
  int64_t block = us_reader_block(d);
  if (block == 0) return US_OK;
  if (block > info->rows) block = info->rows;
  size_t bytes = us_frame_bytes(info->height, info->width);
  uint8_t* frames = malloc((size_t)block * bytes);
  if (!frames)
    return us_fail(US_MEMORY, "%s: out of memory for %lld frames", path, (long long)block);
  UsProgress bar = us_progress_start("verify", "frames", (double)info->rows, 0);
  UsStatus status = US_OK;
  for (int64_t first = 0; first < info->rows && status == US_OK; first += block) {
    int64_t n = info->rows - first < block ? info->rows - first : block;
    status = us_dataset_pixels(d, first, n, frames);
    if (status == US_OK) EVP_DigestUpdate(hash, frames, (size_t)n * bytes);
    if (status == US_OK) status = us_progress_step(&bar, (double)(first + n), path);
  }
  us_progress_end(&bar);
  free(frames);
  return status;
}

static UsStatus verify(UsDataset* d, EVP_MD_CTX* hash, int height, int width, UsVerdict* out) {
  US_TRY(check_size(d->path, &d->info, height, width));
  US_TRY(read_windows(d, hash));
  // The hash that training records reads every frame of ours.
  if (d->ours) return us_dataset_hash(d, out->hash);
  US_TRY(read_frames(d, hash));
  unsigned char digest[EVP_MAX_MD_SIZE];
  EVP_DigestFinal_ex(hash, digest, NULL);
  for (int i = 0; i < 32; i++) snprintf(out->hash + 2 * i, 3, "%02x", digest[i]);
  return US_OK;
}

UsStatus us_dataset_verify(const char* path, int height, int width, UsVerdict* out) {
  memset(out, 0, sizeof(*out));
  UsDataset* d;
  US_TRY(us_reader_open(path, NULL, US_STRICT_OURS, &d));
  // The verdict first says what the file claims to be.
  out->info = d->info;
  out->ours = d->ours;
  snprintf(out->writer, sizeof(out->writer), "%s", d->writer);
  snprintf(out->left, sizeof(out->left), "%s", d->left);
  EVP_MD_CTX* hash = EVP_MD_CTX_new();
  UsStatus status = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL)
                        ? verify(d, hash, height, width, out)
                        : us_fail(US_MEMORY, "%s: out of memory", path);
  EVP_MD_CTX_free(hash);
  us_dataset_close(d);
  return status;
}
