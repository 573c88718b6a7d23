#ifndef UNDERSTUDY_COLUMNS_H_
#define UNDERSTUDY_COLUMNS_H_

// The columns of a dataset file as one list, and the few HDF5 calls that reader and writer share.
// Not for users of dataset.h.
//
// Ownership: whoever opens an hid_t closes it. Same thread rule as HDF5: one thread at a time.

#include <hdf5.h>

#include "datasets/dataset_info.h"

// Types of numbers: name, in C, in the file (little-endian), in this machine's memory.
#define US_TYPES(X)                                  \
  X(U8, uint8_t, H5T_STD_U8LE, H5T_NATIVE_UINT8)     \
  X(I32, int32_t, H5T_STD_I32LE, H5T_NATIVE_INT32)   \
  X(U32, uint32_t, H5T_STD_U32LE, H5T_NATIVE_UINT32) \
  X(I64, int64_t, H5T_STD_I64LE, H5T_NATIVE_INT64)   \
  X(F32, float, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT)    \
  X(F64, double, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE)
typedef enum UsColumnType {
#define X(name, ctype, stored, memory) US_TYPE_##name,
  US_TYPES(X)
#undef X
} UsColumnType;
#define X(name, ctype, stored, memory) typedef ctype UsNumber##name;
US_TYPES(X)
#undef X

// What one row of a column belongs to. Columns of episodes are read whole, those of rows whole or
// in windows of episodes, those of frames in blocks.
typedef enum UsColumnPer { US_PER_ROW, US_PER_FRAME, US_PER_EPISODE } UsColumnPer;

// id, name, other name in files of other programs, type, other type that is read, must be there,
// per, numbers a row: a member of UsDatasetInfo (of pixels the height, before width and 3), or ONE.
#define US_COLUMNS(X)                                            \
  X(PIXELS, pixels, NULL, U8, U8, 0, FRAME, OF(height))          \
  X(ACTION, action, NULL, F32, F32, 0, ROW, OF(action))          \
  X(PROPRIO, proprio, NULL, F32, F32, 0, ROW, OF(proprio))       \
  X(STATE, state, NULL, F64, F32, 1, ROW, OF(state))             \
  X(REWARD, reward, NULL, F32, F32, 1, ROW, ONE)                 \
  X(TERMINATED, terminated, NULL, U8, U8, 1, ROW, ONE)           \
  X(TRUNCATED, truncated, NULL, U8, U8, 1, ROW, ONE)             \
  X(EPISODE_IDX, episode_idx, "ep_idx", I32, I32, 1, ROW, ONE)   \
  X(STEP_IDX, step_idx, NULL, I32, I32, 1, ROW, ONE)             \
  X(TIME, time, NULL, F64, F64, 1, ROW, ONE)                     \
  X(VARIATION, variation, NULL, F32, F32, 0, ROW, OF(variation)) \
  X(PIXELS_CRC, pixels_crc, NULL, U32, U32, 0, FRAME, ONE)       \
  X(EP_LEN, ep_len, NULL, I32, I32, 1, EPISODE, ONE)             \
  X(EP_OFFSET, ep_offset, NULL, I64, I64, 1, EPISODE, ONE)

typedef enum UsColumnId {
#define X(id, ...) US_COLUMN_##id,
  US_COLUMNS(X)
#undef X
      US_COLUMN_COUNT
} UsColumnId;

// The columns of a file in memory, before anyone trusts them: those of episodes whole, those of
// rows whole or a window of n rows from row `first` of the file on. NULL: not there.
typedef struct UsDatasetColumns {
#define X(id, name, other, type, ...) UsNumber##type* name;
  US_COLUMNS(X)
#undef X
  float *low, *high;  // (A) bounds of the actions; NULL: none are known
  int64_t first;
} UsDatasetColumns;

typedef struct UsColumn {
  const char* name;
  const char* other;  // Nullable
  UsColumnType type, also;
  int required;
  UsColumnPer per;
  size_t numbers;  // place of an int in UsDatasetInfo; 0: one number a row
  size_t place;    // of the pointer in UsDatasetColumns
} UsColumn;

extern const UsColumn us_columns[US_COLUMN_COUNT];

// Gets or sets the memory of a column.
void* us_column_data(const UsDatasetColumns* c, UsColumnId id);
void us_column_set(UsDatasetColumns* c, UsColumnId id, void* data);

// Frees all columns and bounds and sets them to NULL.
void us_columns_free(UsDatasetColumns* c);

// The columns with statistics in the root's attributes <column>_mean, _std, _min, _max.
extern const UsColumnId us_statistics_columns[3];
enum { US_STATISTICS = 4 };
extern const char* const us_statistics_names[US_STATISTICS];

// Extents behind the first of a column: dims (3); returns how many.
int us_column_shape(UsColumnId id, const UsDatasetInfo* info, hsize_t dims[3]);

// Where info keeps how many numbers a row of a column has; NULL: one.
int* us_column_numbers(UsColumnId id, UsDatasetInfo* info);

// Numbers in one row of a column.
size_t us_column_width(UsColumnId id, const UsDatasetInfo* info);

// A type's size, and what HDF5 calls it: little-endian, as in the file, and as this machine has it.
typedef struct UsNumber {
  size_t bytes;
  hid_t stored, memory;
} UsNumber;
UsNumber us_number(UsColumnType type);

// Reads (or, with write set, writes) rows first .. first + rows - 1 of an open column into packed
// memory of its own type. Returns 0, or -1 when HDF5 failed.
int us_column_move(hid_t column, UsColumnId id, int64_t first, int64_t rows, void* data, int write);

// Reads rows of a column of any numbers as floats. Returns 0 or -1.
int us_column_read_floats(hid_t column, int64_t first, int64_t rows, float* data);

// Writes an attribute of the root, replacing a value of the same shape. count 0: a scalar.
// Returns 0 or -1.
int us_attribute_write(hid_t file, const char* name, hid_t stored, hid_t memory, int count,
                       const void* value);
int us_attribute_write_text(hid_t file, const char* name, const char* text, size_t room);

// Reads an attribute of the root: 1 when it is there and readable with `count` numbers (0: a
// scalar), else 0. Text is cut to size - 1 bytes.
int us_attribute_read(hid_t file, const char* name, hid_t memory, int count, void* value);
int us_attribute_read_text(hid_t file, const char* name, char* text, size_t size);

// Room for the attribute `sources`; HDF5 takes attributes below 64 KiB.
enum { US_SOURCES_BYTES = 60000 };

// The attributes of the root that say what a file is, as one list: reads them all into info, whose
// `finished` is 1 where the file does not say. Returns 1 when it does.
int us_attributes_read(hid_t file, UsDatasetInfo* info);

// Writes them, and the bounds of the actions: -1 and 1 or, of a file for other programs, -exchange
// and exchange, and then without what only ours have. Returns 0 or -1.
int us_attributes_write(hid_t file, const UsDatasetInfo* info, double exchange);

// What HDF5 says about its last failure since us_hdf5_quiet, of a file that cannot be written the
// system's words. The text is the library's, until the next call.
const char* us_hdf5_reason(void);

// The system's number when HDF5 could not lock the file just now, else 0.
int us_hdf5_lock_error(void);

// Has HDF5 keep its reasons instead of printing them.
void us_hdf5_quiet(void);

#endif  // UNDERSTUDY_COLUMNS_H_
