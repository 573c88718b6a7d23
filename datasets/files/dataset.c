// A dataset as training reads it: all small columns in memory, the content as a hash.

#include "datasets/dataset.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/files/dataset_reader.h"

static UsStatus open_whole(const char* path, UsStrict strict, UsDataset** out) {
  UsDataset* d;
  int64_t first, count;
  int more;
  *out = NULL;
  // One window that holds all rows.
  US_TRY(us_reader_open(path, NULL, strict, &d));
  UsStatus status = us_reader_next(d, &first, &count, &more);
  if (status != US_OK) {
    us_dataset_close(d);
    return status;
  }
  // What has been checked and nobody asks for.
  static const UsColumnId done[] = {US_COLUMN_EPISODE_IDX, US_COLUMN_STEP_IDX};
  for (size_t i = 0; i < sizeof(done) / sizeof(*done); i++) {
    free(us_column_data(&d->c, done[i]));
    us_column_set(&d->c, done[i], NULL);
  }
  // A file that does not say its time step shows it.
  if (!(d->info.dt > 0)) d->info.dt = d->info.rows > 1 ? d->c.time[1] - d->c.time[0] : 0;
  *out = d;
  return US_OK;
}

UsStatus us_dataset_open(const char* path, UsDataset** out) {
  return open_whole(path, US_STRICT_ALL, out);
}

UsStatus us_dataset_open_film(const char* path, UsDataset** out) {
  return open_whole(path, US_STRICT_FILM, out);
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
const float* us_dataset_rewards(const UsDataset* d) {
  return d->c.reward;
}
const uint8_t* us_dataset_terminated(const UsDataset* d) {
  return d->c.terminated;
}
const uint8_t* us_dataset_truncated(const UsDataset* d) {
  return d->c.truncated;
}

// The marks of all episodes from the checksums of their frames (N), without frames their states.
static UsStatus make_marks(UsDataset* d, const uint32_t* sums) {
  enum { kDigits = 16 };
  const size_t state = (size_t)d->info.state;
  char hex[US_HASH_CHARS], *marks = malloc((size_t)d->info.episodes * kDigits + 1);
  if (!marks) return us_fail(US_MEMORY, "%s: out of memory", d->path);
  for (int64_t e = 0; e < d->info.episodes; e++) {
    size_t at = (size_t)d->c.ep_offset[e], rows = (size_t)d->c.ep_len[e];
    if (d->info.height) {
      us_hash_bytes(sums + at, rows * sizeof(*sums), hex);
    } else {
      us_hash_bytes(d->c.state + at * state, rows * state * sizeof(double), hex);
    }
    memcpy(marks + e * kDigits, hex, kDigits);
  }
  marks[d->info.episodes * kDigits] = 0;
  d->marks = marks;
  return US_OK;
}

// Hashes the columns into `all`, and what is seen alone into `frames`.
static UsStatus hash_columns(UsDataset* d, EVP_MD_CTX* all, EVP_MD_CTX* frames, uint32_t* sums) {
  const UsDatasetInfo* info = &d->info;
  size_t rows = (size_t)info->rows;
  size_t lengths = (size_t)info->episodes * sizeof(int32_t);
  size_t states = rows * (size_t)info->state * sizeof(double);
  int64_t sizes[7] = {info->rows,   info->episodes, info->height, info->width,
                      info->action, info->proprio,  info->state};
  // The order is fixed: trained models and feature caches name data by this hash. Sizes first, so
  // that no two shapes share their bytes.
  EVP_DigestUpdate(all, sizes, sizeof(sizes));
  EVP_DigestUpdate(all, d->c.ep_len, lengths);
  EVP_DigestUpdate(all, d->c.action, rows * (size_t)info->action * sizeof(float));
  EVP_DigestUpdate(all, d->c.proprio, rows * (size_t)info->proprio * sizeof(float));
  EVP_DigestUpdate(all, d->c.state, states);
  EVP_DigestUpdate(all, d->c.time, rows * sizeof(double));
  if (info->variation) {
    EVP_DigestUpdate(all, info->variation_names, strlen(info->variation_names));
    EVP_DigestUpdate(all, d->c.variation, rows * (size_t)info->variation * sizeof(float));
  }
  US_TRY(us_reader_hash_frames(d, "hash", all, sums, d->hash));
  // What is seen alone, whatever else is known of it.
  EVP_DigestUpdate(frames, d->c.ep_len, lengths);
  if (info->height == 0) EVP_DigestUpdate(frames, d->c.state, states);
  if (info->height) EVP_DigestUpdate(frames, sums, rows * sizeof(*sums));
  us_reader_hash_end(frames, d->frames);
  return make_marks(d, sums);
}

// Both hashes and the marks, since reading a whole file takes long.
static UsStatus hash_all(UsDataset* d) {
  EVP_MD_CTX *all = EVP_MD_CTX_new(), *frames = EVP_MD_CTX_new();
  uint32_t* sums = calloc((size_t)d->info.rows, sizeof(*sums));
  UsStatus status = all && frames && sums && EVP_DigestInit_ex(all, EVP_sha256(), NULL) &&
                            EVP_DigestInit_ex(frames, EVP_sha256(), NULL)
                        ? hash_columns(d, all, frames, sums)
                        : us_fail(US_MEMORY, "%s: out of memory", d->path);
  if (status != US_OK) d->hash[0] = 0;
  free(sums);
  EVP_MD_CTX_free(all);
  EVP_MD_CTX_free(frames);
  return status;
}

UsStatus us_dataset_hash(UsDataset* d, char hex[US_HASH_CHARS]) {
  hex[0] = 0;
  if (!d->hash[0]) US_TRY(hash_all(d));
  memcpy(hex, d->hash, US_HASH_CHARS);
  return US_OK;
}

UsStatus us_dataset_frames_hash(UsDataset* d, char hex[US_HASH_CHARS]) {
  hex[0] = 0;
  if (!d->hash[0]) US_TRY(hash_all(d));
  memcpy(hex, d->frames, US_HASH_CHARS);
  return US_OK;
}

UsStatus us_dataset_marks(UsDataset* d, const char** marks) {
  *marks = NULL;
  if (!d->hash[0]) US_TRY(hash_all(d));
  *marks = d->marks;
  return US_OK;
}

const char* us_dataset_sources(const UsDataset* d) {
  return d->sources ? d->sources : "";
}
