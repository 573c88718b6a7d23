// Reading a dataset: the file, its attributes, every column's type and extents, then the values of
// the small columns.

#define _GNU_SOURCE
#include "datasets/dataset.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/hdf5/column_storage.h"
#include "datasets/hdf5/columns.h"
#include "datasets/files/dataset_check.h"
#include "worldmodel/base/progress.h"

enum { kMaxWidth = 1 << 16, kMaxSide = 1 << 14, kHashBytes = 4 << 20 };

struct UsDataset {
  char* path;
  UsDatasetInfo info;
  hid_t file;
  hid_t column[US_COLUMN_COUNT];    // -1: not there
  hsize_t extent[US_COLUMN_COUNT];  // rows of a column as the file has it
  UsDatasetColumns c;
  char hash[US_HASH_CHARS];  // "": not computed yet
};

// ---- attributes ----

static void read_attributes(UsDataset* d) {
  UsDatasetInfo* info = &d->info;
  us_attribute_read_text(d->file, "task", info->task, sizeof(info->task));
  us_attribute_read_text(d->file, "version", info->version, sizeof(info->version));
  us_attribute_read_text(d->file, "policy", info->policy, sizeof(info->policy));
  us_attribute_read_text(d->file, "camera", info->camera, sizeof(info->camera));
  us_attribute_read_text(d->file, "renderer", info->renderer, sizeof(info->renderer));
  us_attribute_read(d->file, "seed", H5T_NATIVE_UINT64, 0, &info->seed);
  us_attribute_read(d->file, "env_dt", H5T_NATIVE_DOUBLE, 0, &info->dt);
  us_attribute_read_text(d->file, "diverged", info->diverged, sizeof(info->diverged));
  us_attribute_read_variation(d->file, info);
  info->finished = 1;  // files of other programs do not say
  us_attribute_read(d->file, "finished", H5T_NATIVE_INT, 0, &info->finished);
}

// ---- columns ----

static UsStatus check_type(UsDataset* d, UsColumnId id) {
  const UsColumn* column = &us_columns[id];
  hid_t type = H5Dget_type(d->column[id]);
  hid_t want = us_column_stored(column->type), also = us_column_stored(column->also);
  char expected[64], found[64];
  int good = H5Tequal(type, want) > 0 || H5Tequal(type, also) > 0;
  us_type_text(type, found);
  H5Tclose(type);
  if (good) return US_OK;
  return us_fail(US_FORMAT, "%s: %s: expected %s, found %s", d->path, column->name,
                 us_type_text(want, expected), found);
}

static UsStatus read_shape(UsDataset* d, UsColumnId id, int rank, hsize_t dims[4]) {
  hid_t space = H5Dget_space(d->column[id]);
  int found = H5Sis_simple(space) > 0 ? H5Sget_simple_extent_ndims(space) : -1;
  if (found == rank) H5Sget_simple_extent_dims(space, dims, NULL);
  H5Sclose(space);
  if (found == rank) {
    d->extent[id] = dims[0];
    return US_OK;
  }
  return us_fail(US_FORMAT, "%s: %s: expected %d axes, found %d", d->path, us_columns[id].name,
                 rank, found);
}

// Takes over the sizes that a column with extents behind the first has.
static UsStatus take_sizes(UsDataset* d, UsColumnId id, const hsize_t dims[4]) {
  const char* name = us_columns[id].name;
  if (id == US_COLUMN_PIXELS) {
    if (dims[1] < 1 || dims[2] < 1 || dims[1] > kMaxSide || dims[2] > kMaxSide || dims[3] != 3) {
      return us_fail(
          US_FORMAT, "%s: %s: expected (rows, 1..%d, 1..%d, 3), found (%llu, %llu, %llu, %llu)",
          d->path, name, kMaxSide, kMaxSide, (unsigned long long)dims[0],
          (unsigned long long)dims[1], (unsigned long long)dims[2], (unsigned long long)dims[3]);
    }
    d->info.height = (int)dims[1];
    d->info.width = (int)dims[2];
    return US_OK;
  }
  if (dims[1] < 1 || dims[1] > kMaxWidth) {
    return us_fail(US_FORMAT, "%s: %s: expected 1 to %d numbers a row, found %llu", d->path, name,
                   kMaxWidth, (unsigned long long)dims[1]);
  }
  *us_column_numbers(id, &d->info) = (int)dims[1];
  return US_OK;
}

static UsStatus open_column(UsDataset* d, UsColumnId id) {
  const UsColumn* column = &us_columns[id];
  const char* name = column->name;
  if (id == US_COLUMN_VARIATION && !d->info.variation_names[0]) return US_OK;
  if (H5Lexists(d->file, name, H5P_DEFAULT) <= 0) {
    name = column->other;
    if (!name || H5Lexists(d->file, name, H5P_DEFAULT) <= 0) {
      if (!column->required) return US_OK;
      return us_fail(US_FORMAT,
                     "%s: expected a column %s at the root, found none (another "
                     "program's file? dataset import takes those)",
                     d->path, column->name);
    }
  }
  US_TRY(us_column_open(d->path, d->file, name, &d->column[id]));
  US_TRY(check_type(d, id));
  hsize_t dims[4], ignored[3];
  int rank = 1 + us_column_shape(id, &d->info, ignored);
  US_TRY(read_shape(d, id, rank, dims));
  return rank > 1 ? take_sizes(d, id, dims) : US_OK;
}

// All columns of rows have one number of rows, those of episodes one number of episodes.
static UsStatus check_extents(const UsDataset* d) {
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (d->column[id] < 0) continue;
    int per_episode = id == US_COLUMN_EP_LEN || id == US_COLUMN_EP_OFFSET;
    UsColumnId leader = per_episode ? US_COLUMN_EP_LEN : US_COLUMN_ACTION;
    if (d->extent[id] == d->extent[leader]) continue;
    return us_fail(US_FORMAT, "%s: %s: expected %llu rows as %s has, found %llu", d->path,
                   us_columns[id].name, (unsigned long long)d->extent[leader],
                   us_columns[leader].name, (unsigned long long)d->extent[id]);
  }
  return US_OK;
}

// Reads the first rows of a column into memory of its own, *out; NULL stays when it is not there.
static UsStatus load(UsDataset* d, UsColumnId id, int64_t rows, void* out) {
  if (d->column[id] < 0) return US_OK;
  US_TRY(us_interrupt_check(d->path));
  size_t bytes = us_column_width(id, &d->info) * us_column_bytes(us_columns[id].type);
  void* data = calloc((size_t)rows + 1, bytes);
  memcpy(out, &data, sizeof(data));
  if (!data) {
    return us_fail(US_MEMORY, "%s: %s: out of memory for its %lld rows", d->path,
                   us_columns[id].name, (long long)rows);
  }
  if (rows == 0 || us_column_move(d->column[id], id, 0, rows, data, 0) == 0) return US_OK;
  char reason[256];
  return us_fail(US_FORMAT, "%s: %s: expected %lld readable rows, found: %s", d->path,
                 us_columns[id].name, (long long)rows, us_hdf5_reason(reason, sizeof(reason)));
}

// Planners draw actions from [-1, 1], so the recorded bounds may not be wider.
static UsStatus check_bounds(UsDataset* d) {
  UsDatasetColumns* c = &d->c;
  US_TRY(us_dataset_read_bounds(d->path, d->file, d->info.action, 1, c));
  for (int i = 0; i < d->info.action; i++) {
    if (c->low[i] >= -1 && c->high[i] <= 1) continue;
    return us_fail(US_FORMAT,
                   "%s: attributes action_low, action_high: expected bounds in [-1, 1], found %g "
                   "and %g (dataset import scales actions)",
                   d->path, (double)c->low[i], (double)c->high[i]);
  }
  return US_OK;
}

static UsStatus load_columns(UsDataset* d) {
  UsDatasetColumns* c = &d->c;
  int64_t asked = (int64_t)d->extent[US_COLUMN_EP_LEN];
  int64_t room = (int64_t)d->extent[US_COLUMN_ACTION];
  US_TRY(load(d, US_COLUMN_EP_LEN, asked, &c->lengths));
  US_TRY(load(d, US_COLUMN_EP_OFFSET, asked, &c->offsets));
  US_TRY(us_dataset_check_episodes(d->path, c, asked, room, &d->info));
  int64_t rows = d->info.rows;
  US_TRY(load(d, US_COLUMN_ACTION, rows, &c->actions));
  US_TRY(load(d, US_COLUMN_PROPRIO, rows, &c->proprio));
  US_TRY(load(d, US_COLUMN_STATE, rows, &c->states));
  US_TRY(load(d, US_COLUMN_TIME, rows, &c->times));
  US_TRY(load(d, US_COLUMN_VARIATION, rows, &c->variation));
  US_TRY(load(d, US_COLUMN_EPISODE_IDX, rows, &c->episode_idx));
  US_TRY(load(d, US_COLUMN_STEP_IDX, rows, &c->step_idx));
  US_TRY(load(d, US_COLUMN_REWARD, rows, &c->rewards));
  US_TRY(load(d, US_COLUMN_TERMINATED, rows, &c->terminated));
  US_TRY(load(d, US_COLUMN_TRUNCATED, rows, &c->truncated));
  US_TRY(check_bounds(d));
  UsStatus status = us_dataset_check_rows(d->path, c, &d->info, 0, d->info.episodes);
  void* done[] = {c->episode_idx, c->step_idx, c->rewards, c->terminated};
  for (size_t i = 0; i < sizeof(done) / sizeof(*done); i++) free(done[i]);
  c->episode_idx = c->step_idx = NULL;
  c->rewards = NULL;
  c->terminated = NULL;
  return status;
}

static UsStatus open_all(UsDataset* d) {
  US_TRY(us_hdf5_open(d->path, &d->file));
  US_TRY(us_hdf5_check_root(d->path, d->file));
  read_attributes(d);
  for (int id = 0; id < US_COLUMN_COUNT; id++) US_TRY(open_column(d, (UsColumnId)id));
  US_TRY(check_extents(d));
  d->info.checksums = d->column[US_COLUMN_PIXELS] >= 0 && d->column[US_COLUMN_PIXELS_CRC] >= 0;
  US_TRY(us_dataset_check_variation(d->path, &d->info));
  US_TRY(load_columns(d));
  if (!(d->info.dt > 0)) d->info.dt = d->info.rows > 1 ? d->c.times[1] - d->c.times[0] : 0;
  return US_OK;
}

UsStatus us_dataset_open(const char* path, UsDataset** out) {
  *out = NULL;
  us_hdf5_quiet();
  UsDataset* d = calloc(1, sizeof(*d));
  if (!d) return us_fail(US_MEMORY, "%s: out of memory", path);
  d->file = -1;
  for (int i = 0; i < US_COLUMN_COUNT; i++) d->column[i] = -1;
  d->path = strdup(path);
  UsStatus status = d->path ? open_all(d) : us_fail(US_MEMORY, "%s: out of memory", path);
  if (status != US_OK) {
    us_dataset_close(d);
    return status;
  }
  *out = d;
  return US_OK;
}

void us_dataset_close(UsDataset* d) {
  if (!d) return;
  for (int i = 0; i < US_COLUMN_COUNT; i++) {
    if (d->column[i] >= 0) H5Dclose(d->column[i]);
  }
  if (d->file >= 0) H5Fclose(d->file);
  us_dataset_columns_free(&d->c);
  free(d->path);
  free(d);
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
  return d->c.lengths;
}
const int64_t* us_dataset_offsets(const UsDataset* d) {
  return d->c.offsets;
}
const float* us_dataset_actions(const UsDataset* d) {
  return d->c.actions;
}
const float* us_dataset_proprio(const UsDataset* d) {
  return d->c.proprio;
}
const double* us_dataset_states(const UsDataset* d) {
  return d->c.states;
}
const double* us_dataset_times(const UsDataset* d) {
  return d->c.times;
}
const float* us_dataset_variation(const UsDataset* d) {
  return d->c.variation;
}
const uint8_t* us_dataset_truncated(const UsDataset* d) {
  return d->c.truncated;
}

UsStatus us_dataset_pixels(UsDataset* d, int64_t first, int64_t rows, uint8_t* pixels) {
  US_ASSERT(first >= 0 && rows >= 0 && first + rows <= d->info.rows);
  hid_t column = d->column[US_COLUMN_PIXELS];
  if (column < 0) {
    return us_fail(US_FORMAT, "%s: expected a column pixels at the root, found none", d->path);
  }
  if (rows == 0 || us_column_move(column, US_COLUMN_PIXELS, first, rows, pixels, 0) == 0) {
    return us_dataset_check_frames(d->path, &d->c, &d->info, d->column[US_COLUMN_PIXELS_CRC], first,
                                   rows, pixels);
  }
  char reason[256];
  return us_fail(US_IO, "%s: pixels, rows %lld to %lld: cannot be read: %s", d->path,
                 (long long)first, (long long)(first + rows - 1),
                 us_hdf5_reason(reason, sizeof(reason)));
}

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

static UsStatus hash_columns(UsDataset* d, EVP_MD_CTX* context) {
  const UsDatasetInfo* info = &d->info;
  size_t rows = (size_t)info->rows;
  int64_t sizes[7] = {info->rows,   info->episodes, info->height, info->width,
                      info->action, info->proprio,  info->state};
  EVP_DigestInit_ex(context, EVP_sha256(), NULL);
  EVP_DigestUpdate(context, sizes, sizeof(sizes));
  EVP_DigestUpdate(context, d->c.lengths, (size_t)info->episodes * sizeof(int32_t));
  EVP_DigestUpdate(context, d->c.actions, rows * (size_t)info->action * sizeof(float));
  EVP_DigestUpdate(context, d->c.proprio, rows * (size_t)info->proprio * sizeof(float));
  EVP_DigestUpdate(context, d->c.states, rows * (size_t)info->state * sizeof(double));
  EVP_DigestUpdate(context, d->c.times, rows * sizeof(double));
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
