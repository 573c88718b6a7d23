#ifndef UNDERSTUDY_DATASET_READER_H_
#define UNDERSTUDY_DATASET_READER_H_

// The one reader of dataset files, ours and those of other programs that write the layout of
// dataset.h. Strictly read, a file is what training needs; else columns that training does not need
// may be missing (state, proprio, pixels, time, counters), integers may have 32 or 64 bits, floats
// too, flags may be h5py's bool. For an import frames may be of any kind (foreign_frames.h), and
// what says where episodes end may be missing too (foreign_episodes.h).
//
// Small columns are read in windows of whole episodes, strictly in one window, and frames in
// blocks. Not for users of dataset.h.
//
// Threads: as for datasets, calls come from one thread at a time.

#include <hdf5.h>
#include <openssl/evp.h>

#include "datasets/dataset.h"
#include "datasets/hdf5/columns.h"
#include "datasets/exchange.h"

// Which files are read strictly; a film without its actions.
typedef enum UsStrict { US_STRICT_NONE, US_STRICT_OURS, US_STRICT_ALL, US_STRICT_FILM } UsStrict;

struct UsDataset {
  char* path;
  UsDatasetInfo info;  // sizes are 0 for columns that are not there; dt is 0 when not said
  int ours, strict, repair;
  int film;                         // 1: the column of actions is left alone
  const UsImport* how;              // of an import; else NULL
  struct UsForeignFrames* foreign;  // of an import with frames; else NULL
  char episodes_by[32];             // what says where episodes end; "": ep_len
  char writer[96];                  // which program wrote it, in words
  char left[US_LEFT_CHARS];         // columns that are not read
  char hash[US_HASH_CHARS];         // "": not computed yet
  char frames[US_HASH_CHARS];       // us_dataset_frames_hash, known with hash
  char* marks;                      // us_dataset_marks, known with hash; NULL before
  char* sources;                    // us_dataset_sources; NULL: none
  hid_t file;
  hid_t column[US_COLUMN_COUNT];      // -1: not there
  hsize_t extent[US_COLUMN_COUNT];    // rows of a column as the file has it
  const char* name[US_COLUMN_COUNT];  // of a column in this file
  UsDatasetColumns c;                 // ep_len and ep_offset of all episodes, others of the window
  int64_t next, room;                 // next episode to read; rows that a window has room for
  int last_idx;                       // episode_idx of the episode before the window
};

// Opens a file, checks its columns' types and extents, its episodes and its bounds. On failure *out
// is NULL and the message names the column or episode. Nullable: how, which is an import's and has
// to live as long.
UsStatus us_reader_open(const char* path, const UsImport* how, UsStrict strict, UsDataset** out);

// Reads the next episodes, as many as make a window, and checks every row. *more 1: *first and
// *count are set and the columns hold their rows; 0: all had been read before. On failure it is 0.
UsStatus us_reader_next(UsDataset* d, int64_t* first, int64_t* count, int* more);

// 1 if a folder holds what DINO-WM writes with PyTorch.
int us_torch_folder(const char* path);

// Adds all frames to a hash, each compared with its checksum on the way, and ends the hash. sums
// (N): their checksums. `job` names the progress. Nullable: sums.
UsStatus us_reader_hash_frames(UsDataset* d, const char* job, EVP_MD_CTX* hash, uint32_t* sums,
                               char hex[US_HASH_CHARS]);

// Ends a hash.
void us_reader_hash_end(EVP_MD_CTX* hash, char hex[US_HASH_CHARS]);

#endif  // UNDERSTUDY_DATASET_READER_H_
