#ifndef UNDERSTUDY_FOREIGN_FILE_H_
#define UNDERSTUDY_FOREIGN_FILE_H_

// Small HDF5 files as stable-worldmodel's writers make them, and everything that can be wrong with
// one.

#include <hdf5.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "worldmodel/base/status.h"

enum { FOREIGN_EPISODES = 3, FOREIGN_ROWS = 15, FOREIGN_SIDE = 4, FOREIGN_COLUMNS = 16 };

typedef enum Writer { SWM_003, SWM_006, SWM_010, SWM_011 } Writer;

typedef struct ForeignColumn {
  const char* name;  // NULL: left out
  hid_t stored, memory;
  int rank;
  hsize_t dims[4];
  hsize_t chunk;  // rows; 0: contiguous
  int filter;     // number of a filter; 0: none
  void* data;
} ForeignColumn;

typedef struct Foreign {
  int latest;  // 1: the newest format of the library
  ForeignColumn column[FOREIGN_COLUMNS];
  int count;
  int32_t lengths[FOREIGN_EPISODES];
  int64_t offsets[FOREIGN_EPISODES];
  float actions[FOREIGN_ROWS][2], states[FOREIGN_ROWS][3], proprio[FOREIGN_ROWS][2];
  double rewards[FOREIGN_ROWS], times[FOREIGN_ROWS];
  int8_t terminated[FOREIGN_ROWS];
  int64_t steps[FOREIGN_ROWS];
  int32_t episodes[FOREIGN_ROWS];
  uint8_t pixels[FOREIGN_ROWS][FOREIGN_SIDE][FOREIGN_SIDE][3];
  int8_t wide[1 << 12];  // zeros
  float bounds[2][2];    // low, high
  int bounded;           // numbers of the recorded bounds; 0: none
} Foreign;

static inline hid_t foreign_bool(void) {
  hid_t type = H5Tenum_create(H5T_STD_I8LE);
  int8_t no = 0, yes = 1;
  H5Tenum_insert(type, "FALSE", &no);
  H5Tenum_insert(type, "TRUE", &yes);
  return type;
}

static inline ForeignColumn* foreign_column(Foreign* f, const char* name) {
  for (int i = 0; i < f->count; i++) {
    if (f->column[i].name && !strcmp(f->column[i].name, name)) return &f->column[i];
  }
  US_ASSERT(!"a column of this name");
  return NULL;
}

static inline void foreign_add(Foreign* f, const char* name, hid_t stored, hid_t memory, int rank,
                               int d0, int d1, void* data) {
  ForeignColumn c = {.name = name,
                     .stored = stored,
                     .memory = memory,
                     .rank = rank,
                     .dims = {(hsize_t)d0, (hsize_t)d1},
                     .data = data};
  US_ASSERT(f->count < FOREIGN_COLUMNS);
  f->column[f->count++] = c;
}

static inline void foreign_values(Foreign* f) {
  static const int32_t lengths[FOREIGN_EPISODES] = {5, 4, 6};
  int row = 0;
  for (int e = 0; e < FOREIGN_EPISODES; e++) {
    f->lengths[e] = lengths[e];
    f->offsets[e] = row;
    for (int t = 0; t < lengths[e]; t++, row++) {
      f->episodes[row] = e;
      f->steps[row] = t;
      f->times[row] = 0.1 * t;
      f->rewards[row] = t == 0 ? (double)NAN : -0.25 * t;
      f->terminated[row] = t == lengths[e] - 1;
      for (int i = 0; i < 2; i++) {
        f->actions[row][i] = t == lengths[e] - 1 ? NAN : 0.1f * (float)(t + 1) - 0.2f * (float)i;
        f->proprio[row][i] = (float)(10 * e + t + i);
      }
      for (int i = 0; i < 3; i++) f->states[row][i] = (float)(100 * e + 10 * t + i);
      memset(f->pixels[row], 16 * row, sizeof(f->pixels[row]));
    }
  }
}

// A file as a writer's version makes it.
static inline Foreign foreign_make(Writer writer) {
  Foreign f;
  memset(&f, 0, sizeof(f));
  foreign_values(&f);
  int n = FOREIGN_ROWS, old = writer == SWM_003 || writer == SWM_006;
  foreign_add(&f, "pixels", H5T_STD_U8LE, H5T_NATIVE_UINT8, 4, n, FOREIGN_SIDE, NULL);
  f.column[0].dims[2] = FOREIGN_SIDE;
  f.column[0].dims[3] = 3;
  foreign_add(&f, "action", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, n, 2, NULL);
  foreign_add(&f, "state", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, n, 3, NULL);
  foreign_add(&f, "proprio", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, n, 2, NULL);
  foreign_add(&f, "reward", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, n, 0, NULL);
  foreign_add(&f, "step_idx", H5T_STD_I64LE, H5T_NATIVE_INT64, 1, n, 0, NULL);
  foreign_add(&f, "terminated", foreign_bool(), H5T_NATIVE_INT8, 1, n, 0, NULL);
  if (writer != SWM_003) {
    foreign_add(&f, old ? "ep_idx" : "episode_idx", H5T_STD_I32LE, H5T_NATIVE_INT32, 1, n, 0, NULL);
  }
  foreign_add(&f, "ep_len", H5T_STD_I32LE, H5T_NATIVE_INT32, 1, FOREIGN_EPISODES, 0, NULL);
  foreign_add(&f, "ep_offset", H5T_STD_I64LE, H5T_NATIVE_INT64, 1, FOREIGN_EPISODES, 0, NULL);
  for (int i = 0; i < f.count; i++) f.column[i].chunk = old ? 100 : 1;
  f.latest = 1;
  if (writer == SWM_011) {
    for (int row = 0, e = 0; e < FOREIGN_EPISODES; row += f.lengths[e++]) {
      for (int t = 0; t < f.lengths[e]; t++) f.steps[row + t] = t + 1;
      memcpy(f.actions[row + f.lengths[e] - 1], f.actions[row], sizeof(f.actions[row]));
    }
  }
  return f;
}

// Where a column's numbers are unless something else was asked for.
static inline const void* foreign_data(const Foreign* f, const ForeignColumn* c) {
  const struct {
    const char* name;
    const void* data;
  } all[] = {{"pixels", f->pixels},         {"action", f->actions},       {"state", f->states},
             {"proprio", f->proprio},       {"reward", f->rewards},       {"step_idx", f->steps},
             {"terminated", f->terminated}, {"episode_idx", f->episodes}, {"ep_idx", f->episodes},
             {"ep_len", f->lengths},        {"ep_offset", f->offsets},    {"time", f->times}};
  if (c->data) return c->data;
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
    if (!strcmp(all[i].name, c->name)) return all[i].data;
  }
  return f->wide;
}

static inline void foreign_put(hid_t file, const Foreign* f, const ForeignColumn* c) {
  hsize_t most[4], chunk[4];
  for (int i = 0; i < c->rank; i++) {
    most[i] = i == 0 && c->chunk ? H5S_UNLIMITED : c->dims[i];
    chunk[i] = i == 0 ? c->chunk : c->dims[i];
  }
  hid_t space = c->rank ? H5Screate_simple(c->rank, c->dims, most) : H5Screate(H5S_SCALAR);
  hid_t how = H5Pcreate(H5P_DATASET_CREATE);
  if (c->chunk && c->rank) H5Pset_chunk(how, c->rank, chunk);
  const unsigned level = 1;
  if (c->filter) H5Pset_filter(how, c->filter, H5Z_FLAG_MANDATORY, 1, &level);
  hid_t column = H5Dcreate2(file, c->name, c->stored, space, H5P_DEFAULT, how, H5P_DEFAULT);
  US_ASSERT(column >= 0);
  if (c->memory >= 0) {
    hid_t memory =
        c->memory == H5T_NATIVE_INT8 && H5Tget_class(c->stored) == H5T_ENUM ? c->stored : c->memory;
    US_ASSERT(H5Dwrite(column, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, foreign_data(f, c)) >= 0);
  }
  H5Dclose(column);
  H5Pclose(how);
  H5Sclose(space);
}

static inline void foreign_bound(hid_t file, const char* name, int count, const float* values) {
  hsize_t n = (hsize_t)count;
  hid_t space = H5Screate_simple(1, &n, NULL);
  hid_t a = H5Acreate2(file, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(a, H5T_NATIVE_FLOAT, values);
  H5Aclose(a);
  H5Sclose(space);
}

// Writes the file.
static inline void foreign_write(const Foreign* f, const char* path) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (f->latest) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
  US_ASSERT(file >= 0);
  for (int i = 0; i < f->count; i++) {
    if (f->column[i].name) foreign_put(file, f, &f->column[i]);
  }
  if (f->bounded) {
    foreign_bound(file, "action_low", f->bounded, f->bounds[0]);
    foreign_bound(file, "action_high", f->bounded, f->bounds[1]);
  }
  H5Fclose(file);
  H5Pclose(access);
}

// Gives every bool of a file that was not written with `latest` the version of a newer library's
// type, which HDF5 1.10 refuses to open.
static inline void foreign_age_bools(const char* path) {
  static const uint8_t old[8] = {0x18, 2, 0, 0, 1, 0, 0, 0};  // version 1, enumeration, 2 names
  FILE* file = fopen(path, "r+b");
  US_ASSERT(file);
  static uint8_t bytes[1 << 20];
  size_t n = fread(bytes, 1, sizeof(bytes), file);
  US_ASSERT(n < sizeof(bytes));
  int found = 0;
  for (size_t i = 0; i + sizeof(old) <= n; i++) {
    if (memcmp(bytes + i, old, sizeof(old)) != 0) continue;
    fseek(file, (long)i, SEEK_SET);
    fputc(0x58, file);
    found++;
  }
  US_ASSERT(found > 0);
  fclose(file);
}

#endif  // UNDERSTUDY_FOREIGN_FILE_H_
