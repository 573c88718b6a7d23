#include "datasets/hdf5/columns.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OF(member) offsetof(UsDatasetInfo, member)
#define ONE 0
const UsColumn us_columns[US_COLUMN_COUNT] = {
#define X(id, name, other, type, also, required, per, numbers) \
  {#name,    other,        US_TYPE_##type, US_TYPE_##also,     \
   required, US_PER_##per, numbers,        offsetof(UsDatasetColumns, name)},
    US_COLUMNS(X)
#undef X
};

const UsColumnId us_statistics_columns[3] = {US_COLUMN_ACTION, US_COLUMN_PROPRIO, US_COLUMN_STATE};
const char* const us_statistics_names[US_STATISTICS] = {"mean", "std", "min", "max"};

// Pointers are copied as bytes, since their types differ.
void* us_column_data(const UsDatasetColumns* c, UsColumnId id) {
  void* data;
  memcpy(&data, (const char*)c + us_columns[id].place, sizeof(data));
  return data;
}

void us_column_set(UsDatasetColumns* c, UsColumnId id, void* data) {
  memcpy((char*)c + us_columns[id].place, &data, sizeof(data));
}

void us_columns_free(UsDatasetColumns* c) {
  for (int id = 0; id < US_COLUMN_COUNT; id++) free(us_column_data(c, (UsColumnId)id));
  free(c->low);
  free(c->high);
  *c = (UsDatasetColumns){0};
}

// The list has the place of the member.
int* us_column_numbers(UsColumnId id, UsDatasetInfo* info) {
  size_t at = us_columns[id].numbers;
  return at ? (int*)((char*)info + at) : NULL;
}

// One number a row has no axis of its own.
int us_column_shape(UsColumnId id, const UsDatasetInfo* info, hsize_t dims[3]) {
  const int* numbers = us_column_numbers(id, (UsDatasetInfo*)info);
  if (!numbers) return 0;
  dims[0] = (hsize_t)*numbers;
  if (id != US_COLUMN_PIXELS) return 1;
  dims[1] = (hsize_t)info->width;
  dims[2] = 3;
  return 3;
}

size_t us_column_width(UsColumnId id, const UsDatasetInfo* info) {
  hsize_t dims[3];
  int n = us_column_shape(id, info, dims);
  size_t width = 1;
  for (int i = 0; i < n; i++) width *= (size_t)dims[i];
  return width;
}

// HDF5's types are known at run time alone.
UsNumber us_number(UsColumnType type) {
#define X(name, ctype, stored, memory) {sizeof(ctype), stored, memory},
  const UsNumber all[] = {US_TYPES(X)};
#undef X
  return all[type];
}

// ---- errors ----

static char kept[512];  // what HDF5 said of the last call that failed

// The innermost reason is the one that says something.
static herr_t keep_reason(unsigned n, const H5E_error2_t* error, void* arg) {
  if (n == 0 && error->desc) snprintf(kept, sizeof(kept), "%s", error->desc);
  return 0;
}

// HDF5's own callback, for a whole stack of errors.
static herr_t keep_reasons(hid_t stack, void* arg) {
  return H5Ewalk2(stack, H5E_WALK_UPWARD, keep_reason, NULL);
}

// Of the system's errors the system's own words, which stand between time stamps and addresses.
const char* us_hdf5_reason(void) {
  static const char mark[] = "error message = '";
  static char text[256];
  const char* words = strstr(kept, mark);
  const char* reason = words ? words + strlen(mark) : kept[0] ? kept : "HDF5 gives no reason";
  snprintf(text, sizeof(text), "%.255s", reason);
  if (words && strchr(text, '\'')) *strchr(text, '\'') = 0;
  for (char* c = text; *c; c++) {
    if (*c == '\n' || *c == '\r') *c = ' ';
  }
  return text;
}

// HDF5 writes the system's number into its own words.
int us_hdf5_lock_error(void) {
  static const char what[] = "unable to lock file";
  const char* number = strncmp(kept, what, strlen(what)) == 0 ? strstr(kept, "errno = ") : NULL;
  return number ? atoi(number + strlen("errno = ")) : 0;
}

// What HDF5 would print is kept instead, for the message of whoever called it.
void us_hdf5_quiet(void) {
  H5dont_atexit();  // files are closed by hand; one whose write failed is left alone
  H5Eset_auto2(H5E_DEFAULT, keep_reasons, NULL);
}

// ---- rows ----

// Moves rows between a column and packed memory of numbers of a type.
static int move(hid_t column, hid_t type, int64_t first, int64_t rows, void* data, int write) {
  kept[0] = 0;
  // Selects the rows in the file.
  hid_t space = H5Dget_space(column);
  hsize_t dims[H5S_MAX_RANK], start[H5S_MAX_RANK] = {0};
  int rank = H5Sget_simple_extent_dims(space, dims, NULL);
  herr_t bad = rank < 1;
  if (!bad) {
    start[0] = (hsize_t)first;
    dims[0] = (hsize_t)rows;
    bad = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, dims, NULL) < 0;
  }
  // In memory they are packed.
  hid_t memory = bad ? -1 : H5Screate_simple(rank, dims, NULL);
  if (!bad) {
    bad = write ? H5Dwrite(column, type, memory, space, H5P_DEFAULT, data)
                : H5Dread(column, type, memory, space, H5P_DEFAULT, data);
  }
  if (memory >= 0) H5Sclose(memory);
  if (space >= 0) H5Sclose(space);
  return bad < 0 || rank < 1 ? -1 : 0;
}

int us_column_move(hid_t column, UsColumnId id, int64_t first, int64_t rows, void* data,
                   int write) {
  // Bytes are moved as they are: a bool is a bit field or an enumeration too, and -1 is not 0.
  hid_t own = us_number(us_columns[id].type).bytes == 1 ? H5Dget_type(column) : -1;
  hid_t type = own >= 0 ? own : us_number(us_columns[id].type).memory;
  int bad = move(column, type, first, rows, data, write);
  if (own >= 0) H5Tclose(own);
  return bad;
}

int us_column_read_floats(hid_t column, int64_t first, int64_t rows, float* data) {
  return move(column, H5T_NATIVE_FLOAT, first, rows, data, 0);
}

// ---- attributes ----

int us_attribute_write(hid_t file, const char* name, hid_t stored, hid_t memory, int count,
                       const void* value) {
  hid_t attribute;
  // An attribute that is there keeps its size and place.
  if (H5Aexists(file, name) > 0) {
    attribute = H5Aopen(file, name, H5P_DEFAULT);
  } else {
    hsize_t dims = (hsize_t)count;
    hid_t space = count ? H5Screate_simple(1, &dims, NULL) : H5Screate(H5S_SCALAR);
    attribute = H5Acreate2(file, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Sclose(space);
  }
  if (attribute < 0) return -1;
  herr_t bad = H5Awrite(attribute, memory, value);
  return H5Aclose(attribute) < 0 || bad < 0 ? -1 : 0;
}

// A text has a fixed room, so that another can take its place.
int us_attribute_write_text(hid_t file, const char* name, const char* text, size_t room) {
  char* bytes = calloc(1, room);
  hid_t type = H5Tcopy(H5T_C_S1);
  int bad = !bytes || type < 0 || H5Tset_size(type, room) < 0;
  if (!bad) {
    snprintf(bytes, room, "%s", text);
    bad = us_attribute_write(file, name, type, type, 0, bytes);
  }
  if (type >= 0) H5Tclose(type);
  free(bytes);
  return bad ? -1 : 0;
}

int us_attribute_read(hid_t file, const char* name, hid_t memory, int count, void* value) {
  if (H5Aexists(file, name) <= 0) return 0;
  // Only the number of values that is expected is read.
  hid_t attribute = H5Aopen(file, name, H5P_DEFAULT);
  if (attribute < 0) return 0;
  hid_t space = H5Aget_space(attribute);
  int good = space >= 0 && H5Sget_simple_extent_npoints(space) == (count ? count : 1) &&
             H5Aread(attribute, memory, value) >= 0;
  if (space >= 0) H5Sclose(space);
  H5Aclose(attribute);
  return good;
}

// Texts of other programs have a length of their own, or a room.
static int read_text(hid_t attribute, hid_t type, char* text, size_t size) {
  // HDF5 allocates it, and frees it.
  if (H5Tis_variable_str(type) > 0) {
    char* value = NULL;
    if (H5Aread(attribute, type, &value) < 0 || !value) return 0;
    snprintf(text, size, "%s", value);
    H5free_memory(value);
    return 1;
  }
  // A room that is sensible.
  size_t n = H5Tget_size(type);
  char* value = n < 1 << 20 ? calloc(1, n + 1) : NULL;
  int good = value && H5Aread(attribute, type, value) >= 0;
  if (good) snprintf(text, size, "%s", value);
  free(value);
  return good;
}

int us_attribute_read_text(hid_t file, const char* name, char* text, size_t size) {
  text[0] = 0;
  if (H5Aexists(file, name) <= 0) return 0;
  hid_t attribute = H5Aopen(file, name, H5P_DEFAULT);
  if (attribute < 0) return 0;
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  int good = H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1 &&
             read_text(attribute, type, text, size);
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attribute);
  return good;
}

// Texts of the root: member of UsDatasetInfo and name, written even when empty, also for others.
#define TEXTS(X)           \
  X(task, 1, 1)            \
  X(version, 1, 0)         \
  X(policy, 1, 1)          \
  X(camera, 1, 0)          \
  X(camera_pose, 0, 0)     \
  X(renderer, 0, 1)        \
  X(diverged, 0, 0)        \
  X(variation_names, 0, 1) \
  X(variation_range, 0, 1)

int us_attributes_read(hid_t file, UsDatasetInfo* info) {
#define X(name, always, exchanged) \
  us_attribute_read_text(file, #name, info->name, sizeof(info->name));
  TEXTS(X)
#undef X
  // Numbers; a time step that is none is not known.
  us_attribute_read(file, "seed", H5T_NATIVE_UINT64, 0, &info->seed);
  us_attribute_read(file, "env_dt", H5T_NATIVE_DOUBLE, 0, &info->dt);
  if (!isfinite(info->dt) || info->dt < 0) info->dt = 0;
  info->finished = 1;  // files of other programs do not say
  return us_attribute_read(file, "finished", H5T_NATIVE_INT, 0, &info->finished);
}

int us_attributes_write(hid_t file, const UsDatasetInfo* info, double exchange) {
  int bad = 0;
#define X(name, always, exchanged)                                               \
  if ((always || info->name[0]) && (exchanged || !(exchange > 0))) {             \
    bad |= us_attribute_write_text(file, #name, info->name, sizeof(info->name)); \
  }
  TEXTS(X)
#undef X
  bad |= us_attribute_write(file, "seed", H5T_STD_U64LE, H5T_NATIVE_UINT64, 0, &info->seed);
  bad |= us_attribute_write(file, "env_dt", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 0, &info->dt);
  // Bounds of the actions, the same for every number of an action; film has none.
  if (info->action == 0) return bad ? -1 : 0;
  float* bound = malloc((size_t)info->action * sizeof(float));
  for (int sign = -1; bound && sign <= 1; sign += 2) {
    for (int i = 0; i < info->action; i++)
      bound[i] = (float)(exchange > 0 ? sign * exchange : sign);
    bad |= us_attribute_write(file, sign < 0 ? "action_low" : "action_high", H5T_IEEE_F32LE,
                              H5T_NATIVE_FLOAT, info->action, bound);
  }
  bad |= !bound;
  free(bound);
  return bad ? -1 : 0;
}
