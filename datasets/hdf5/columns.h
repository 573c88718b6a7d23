#ifndef UNDERSTUDY_COLUMNS_H_
#define UNDERSTUDY_COLUMNS_H_

// The columns of a dataset file as one list, and the few HDF5 calls that reader and writer share.
// Not for users of dataset.h.
//
// Ownership: whoever opens an hid_t closes it. Same thread rule as HDF5: one thread at a time.

#include <hdf5.h>

#include "datasets/dataset_info.h"

typedef enum UsColumnType {
  US_TYPE_U8,
  US_TYPE_I32,
  US_TYPE_U32,
  US_TYPE_I64,
  US_TYPE_F32,
  US_TYPE_F64
} UsColumnType;

// id, name, other name in files of other programs, type, other type that is read, must be there.
#define US_COLUMNS(X)                                                  \
  X(PIXELS, "pixels", NULL, US_TYPE_U8, US_TYPE_U8, 0)                 \
  X(ACTION, "action", NULL, US_TYPE_F32, US_TYPE_F32, 1)               \
  X(PROPRIO, "proprio", NULL, US_TYPE_F32, US_TYPE_F32, 0)             \
  X(STATE, "state", NULL, US_TYPE_F64, US_TYPE_F32, 1)                 \
  X(REWARD, "reward", NULL, US_TYPE_F32, US_TYPE_F32, 1)               \
  X(TERMINATED, "terminated", NULL, US_TYPE_U8, US_TYPE_U8, 1)         \
  X(TRUNCATED, "truncated", NULL, US_TYPE_U8, US_TYPE_U8, 1)           \
  X(EPISODE_IDX, "episode_idx", "ep_idx", US_TYPE_I32, US_TYPE_I32, 1) \
  X(STEP_IDX, "step_idx", NULL, US_TYPE_I32, US_TYPE_I32, 1)           \
  X(TIME, "time", NULL, US_TYPE_F64, US_TYPE_F64, 1)                   \
  X(VARIATION, "variation", NULL, US_TYPE_F32, US_TYPE_F32, 0)         \
  X(PIXELS_CRC, "pixels_crc", NULL, US_TYPE_U32, US_TYPE_U32, 0)       \
  X(EP_LEN, "ep_len", NULL, US_TYPE_I32, US_TYPE_I32, 1)               \
  X(EP_OFFSET, "ep_offset", NULL, US_TYPE_I64, US_TYPE_I64, 1)

typedef enum UsColumnId {
#define X(id, ...) US_COLUMN_##id,
  US_COLUMNS(X)
#undef X
      US_COLUMN_COUNT
} UsColumnId;

typedef struct UsColumn {
  const char* name;
  const char* other;  // Nullable
  UsColumnType type, also;
  int required;
} UsColumn;

extern const UsColumn us_columns[US_COLUMN_COUNT];

// The columns with statistics in the root's attributes <column>_mean, _std, _min, _max.
extern const UsColumnId us_statistics_columns[3];
enum { US_STATISTICS = 4 };
extern const char* const us_statistics_names[US_STATISTICS];

// Extents behind the first of a column: dims (3); returns how many.
int us_column_shape(UsColumnId id, const UsDatasetInfo* info, hsize_t dims[3]);

// Where info keeps how many numbers a row of ACTION, PROPRIO, STATE or VARIATION has.
int* us_column_numbers(UsColumnId id, UsDatasetInfo* info);

// Numbers in one row of a column.
size_t us_column_width(UsColumnId id, const UsDatasetInfo* info);

size_t us_column_bytes(UsColumnType type);
hid_t us_column_stored(UsColumnType type);  // little-endian, as in the file
hid_t us_column_memory(UsColumnType type);  // as this machine has it

// Reads (or, with write set, writes) rows first .. first + rows - 1 of an open column into packed
// memory of its own type. Returns 0, or -1 when HDF5 failed.
int us_column_move(hid_t column, UsColumnId id, int64_t first, int64_t rows, void* data, int write);

// Writes an attribute of the root, replacing a value of the same shape. count 0: a scalar.
// Returns 0 or -1.
int us_attribute_write(hid_t file, const char* name, hid_t stored, hid_t memory, int count,
                       const void* value);
int us_attribute_write_text(hid_t file, const char* name, const char* text, size_t room);

// Reads an attribute of the root: 1 when it is there and readable with `count` numbers (0: a
// scalar), else 0. Text is cut to size - 1 bytes.
int us_attribute_read(hid_t file, const char* name, hid_t memory, int count, void* value);
int us_attribute_read_text(hid_t file, const char* name, char* text, size_t size);

// Reads the attributes that say what varies. A `variation` column without them is none of ours.
void us_attribute_read_variation(hid_t file, UsDatasetInfo* info);
int us_attribute_write_variation(hid_t file, const UsDatasetInfo* info);

// What HDF5 says about its last failure since us_hdf5_quiet, in at most size - 1 bytes; of a file
// that cannot be written the system's words.
const char* us_hdf5_reason(char* text, size_t size);

// The system's number of that failure when HDF5's reason begins with `what`, else 0.
int us_hdf5_errno(const char* what);

// Has HDF5 keep its reasons instead of printing them.
void us_hdf5_quiet(void);

#endif  // UNDERSTUDY_COLUMNS_H_
