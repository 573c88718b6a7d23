// A dataset as training reads it: all small columns in memory, the content as a hash.

#include "datasets/dataset.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/files/dataset_reader.h"
#include "worldmodel/base/progress.h"

enum { kHashBytes = 4 << 20 };

UsStatus us_dataset_open(const char* path, UsDataset** out) {
  UsDataset* d;
  int64_t first, count;
  int more;
  *out = NULL;
  // One window that holds all rows.
  US_TRY(us_reader_open(path, NULL, US_STRICT_ALL, &d));
  UsStatus status = us_reader_next(d, &first, &count, &more);
  if (status != US_OK) {
    us_dataset_close(d);
    return status;
  }
  // What has been checked and nobody asks for.
  static const UsColumnId done[] = {US_COLUMN_EPISODE_IDX, US_COLUMN_STEP_IDX, US_COLUMN_REWARD,
                                    US_COLUMN_TERMINATED};
  for (size_t i = 0; i < sizeof(done) / sizeof(*done); i++) {
    free(us_column_data(&d->c, done[i]));
    us_column_set(&d->c, done[i], NULL);
  }
  // A file that does not say its time step shows it.
  if (!(d->info.dt > 0)) d->info.dt = d->info.rows > 1 ? d->c.time[1] - d->c.time[0] : 0;
  *out = d;
  return US_OK;
}

// ---- queries ----

const UsDatasetInfo* us_dataset_info(const UsDataset* d) {
  return &d->info;
}
const char* us_dataset_path(const UsDataset* d) {
  return d->path;
}
int64_t us_dataset_room(const UsDataset* d) {
  return (int64_t)d->extent[US_COLUMN_EP_LEN];
}
const int32_t* us_dataset_lengths(const UsDataset* d) {
  return d->c.ep_len;
}
const int64_t* us_dataset_offsets(const UsDataset* d) {
  return d->c.ep_offset;
}
const float* us_dataset_actions(const UsDataset* d) {
  return d->c.action;
}
const float* us_dataset_proprio(const UsDataset* d) {
  return d->c.proprio;
}
const double* us_dataset_states(const UsDataset* d) {
  return d->c.state;
}
const double* us_dataset_times(const UsDataset* d) {
  return d->c.time;
}
const float* us_dataset_variation(const UsDataset* d) {
  return d->c.variation;
}
const uint8_t* us_dataset_truncated(const UsDataset* d) {
  return d->c.truncated;
}

// Adds all frames, block by block, each compared with its checksum on the way.
static UsStatus hash_pixels(UsDataset* d, EVP_MD_CTX* context) {
  if (d->info.height == 0) return US_OK;
  size_t bytes = us_column_width(US_COLUMN_PIXELS, &d->info);
  UsProgress bar = us_progress_start("hash", "frames", (double)d->info.rows, 0);
  int64_t chunk = bytes < kHashBytes ? (int64_t)(kHashBytes / bytes) : 1;
  uint8_t* buffer = malloc((size_t)chunk * bytes);
  if (!buffer) return us_fail(US_MEMORY, "%s: out of memory", d->path);
  UsStatus status = US_OK;
  for (int64_t first = 0; first < d->info.rows && status == US_OK; first += chunk) {
    int64_t n = d->info.rows - first < chunk ? d->info.rows - first : chunk;
    status = us_dataset_pixels(d, first, n, buffer);
    if (status == US_OK) EVP_DigestUpdate(context, buffer, (size_t)n * bytes);
    if (status == US_OK) status = us_progress_step(&bar, (double)(first + n), d->path);
  }
  us_progress_end(&bar);
  free(buffer);
  return status;
}

// The order is fixed: trained models and feature caches name data by this hash.
static UsStatus hash_columns(UsDataset* d, EVP_MD_CTX* context) {
  const UsDatasetInfo* info = &d->info;
  size_t rows = (size_t)info->rows;
  int64_t sizes[7] = {info->rows,   info->episodes, info->height, info->width,
                      info->action, info->proprio,  info->state};
  EVP_DigestInit_ex(context, EVP_sha256(), NULL);
  // Sizes first, so that no two shapes share their bytes.
  EVP_DigestUpdate(context, sizes, sizeof(sizes));
  EVP_DigestUpdate(context, d->c.ep_len, (size_t)info->episodes * sizeof(int32_t));
  EVP_DigestUpdate(context, d->c.action, rows * (size_t)info->action * sizeof(float));
  EVP_DigestUpdate(context, d->c.proprio, rows * (size_t)info->proprio * sizeof(float));
  EVP_DigestUpdate(context, d->c.state, rows * (size_t)info->state * sizeof(double));
  EVP_DigestUpdate(context, d->c.time, rows * sizeof(double));
  if (info->variation) {
    EVP_DigestUpdate(context, info->variation_names, strlen(info->variation_names));
    EVP_DigestUpdate(context, d->c.variation, rows * (size_t)info->variation * sizeof(float));
  }
  US_TRY(hash_pixels(d, context));
  unsigned char digest[EVP_MAX_MD_SIZE];
  EVP_DigestFinal_ex(context, digest, NULL);
  for (int i = 0; i < 32; i++) snprintf(d->hash + 2 * i, 3, "%02x", digest[i]);
  return US_OK;
}

UsStatus us_dataset_hash(UsDataset* d, char hex[US_HASH_CHARS]) {
  hex[0] = 0;
  // Reading a whole file takes long: it is done once.
  if (!d->hash[0]) {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    UsStatus status =
        context ? hash_columns(d, context) : us_fail(US_MEMORY, "%s: out of memory", d->path);
    EVP_MD_CTX_free(context);
    US_TRY(status);
  }
  memcpy(hex, d->hash, US_HASH_CHARS);
  return US_OK;
}
