#ifndef UNDERSTUDY_COLUMN_STORAGE_H_
#define UNDERSTUDY_COLUMN_STORAGE_H_

// Opening HDF5 files and columns that may come from anywhere, so that reading them afterwards
// stays inside the file and inside memory bounded by its size. Not for users of dataset.h.
//
// Ownership: whoever opens an hid_t closes it. Same thread rule as HDF5: one thread at a time.

#include <hdf5.h>

#include "worldmodel/base/status.h"

// Opens an HDF5 file for reading. Folders, files of other formats and damaged files are refused,
// and files that a program other than ours is writing. On failure *out is -1.
UsStatus us_hdf5_open(const char* path, hid_t* out);

// Makes a file in the place of what is there (flags H5F_ACC_TRUNC), or opens one as it is for
// writing (H5F_ACC_RDWR) or reading (H5F_ACC_RDONLY); -1 on failure. Who writes holds the lock of
// the output (worldmodel/base/lock.h); HDF5's own lock keeps other programs out where the file
// system has locks.
hid_t us_hdf5_file(const char* path, unsigned flags);

// Refuses anything at the root but columns: the field's loaders break on groups and scalars. With
// `others` set those are left alone, and only the list itself has to be readable.
UsStatus us_hdf5_check_root(const char* path, hid_t file, int others);

// Opens the column `name`, which must exist. Refused are links out of the file, numbers kept in
// other files, filters that this machine has not (the message names the package), chunks larger
// than the file and 64 MiB, and extents that promise more numbers than the file holds. On failure
// *out is -1.
UsStatus us_column_open(const char* path, hid_t file, const char* name, hid_t* out);

// Rows of a chunk; 1 when the column is not chunked.
hsize_t us_column_chunk(hid_t column);

// Lists what is at the root besides the columns `taken` (count), separated by commas, in at most
// size - 1 bytes; a list that is longer ends with the number of the others. "": nothing.
void us_hdf5_list_others(hid_t file, int count, const char* const* taken, char* text, size_t size);

// Extents of an open column, dims (H5S_MAX_RANK); returns how many, 0 where there are none.
int us_column_extents(hid_t column, hsize_t* dims);

// Extents in words: "15, 64, 64, 3".
enum { US_SHAPE_CHARS = 120 };
const char* us_shape_text(int rank, const hsize_t* dims, char text[US_SHAPE_CHARS]);

// What a type is, in words: "big-endian unsigned 32-bit integer".
const char* us_type_text(hid_t type, char text[64]);

#endif  // UNDERSTUDY_COLUMN_STORAGE_H_
