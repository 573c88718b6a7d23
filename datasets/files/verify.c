// Checking a whole file: every small column in windows, every frame in blocks, and a hash.

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "datasets/files/dataset_reader.h"
#include "worldmodel/base/progress.h"

// Reads and checks all of an open file.
static UsStatus verify(UsDataset* d, EVP_MD_CTX* hash, int height, int width, UsVerdict* out) {
  const UsDatasetInfo* info = &d->info;
  // Frames have to be of the size that a model sees, where one is given.
  if (height && info->height == 0) {
    return us_fail(US_FORMAT, "%s: expected frames of %d x %d as the model sees them, found none",
                   d->path, width, height);
  }
  if (height && (info->height != height || info->width != width)) {
    return us_fail(US_FORMAT,
                   "%s: pixels: expected frames of %d x %d as the model sees them, found "
                   "%d x %d",
                   d->path, width, height, info->width, info->height);
  }
  // Rows are read and checked in windows, and those of other programs' files hashed on the way:
  // ours are hashed as training hashes them, all at once.
  static const UsColumnId hashed[] = {US_COLUMN_ACTION, US_COLUMN_PROPRIO, US_COLUMN_VARIATION,
                                      US_COLUMN_STATE};
  const UsDatasetColumns* c = &d->c;
  int64_t first, count;
  int more;
  do {
    US_TRY(us_reader_next(d, &first, &count, &more));
    US_TRY(us_interrupt_check(d->path));
    if (!more || d->ours) continue;
    int64_t last = first + count - 1;
    size_t rows = (size_t)(c->ep_offset[last] + c->ep_len[last] - c->first);
    for (size_t i = 0; i < sizeof(hashed) / sizeof(*hashed); i++) {
      UsColumnId id = hashed[i];
      const void* data = us_column_data(c, id);
      size_t bytes = us_column_width(id, info) * us_number(us_columns[id].type).bytes;
      if (data) EVP_DigestUpdate(hash, data, rows * bytes);
    }
  } while (more);
  // The hash that training records reads every frame of ours.
  if (d->ours) return us_dataset_hash(d, out->hash);
  return us_reader_hash_frames(d, "verify", hash, NULL, out->hash);
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
