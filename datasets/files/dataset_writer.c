// Writing a dataset so that a process killed at any moment leaves a file that opens.
//
// Everything HDF5 keeps about the file (columns, extents, attributes) is written and flushed before
// the first episode and never changes its size afterwards; every column is contiguous and allocated
// at once. Appending therefore only writes numbers into place. An episode's length is written after
// all its rows have left the process, so a length above zero means that the episode is whole.
// Until its first episode is whole, a file has a temporary name.
//
// A contiguous column cannot shrink: with fewer rows than asked for, finishing copies what there is
// into a file of the right extents and renames it into place.
//
// A writer holds the lock of its path to the end, so what it renames or removes is its own.

#define _GNU_SOURCE
#include "datasets/files/dataset_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/hdf5/column_storage.h"
#include "datasets/files/column_statistics.h"
#include "datasets/hdf5/columns.h"
#include "datasets/files/dataset_check.h"
#include "datasets/files/dataset_resume.h"
#include "datasets/files/dataset_robot.h"
#include "worldmodel/base/crc32c.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"

enum { kPackBytes = 8 << 20 };

struct UsDatasetWriter {
  char* path;
  char* temporary;  // what the file is called for now; NULL: path
  UsLock* lock;     // of path; NULL: another writer has it for this one
  hid_t file;
  hid_t column[US_COLUMN_COUNT];  // -1: not there
  UsDatasetInfo info;
  double exchange;                   // 0, or the bounds of actions in a file for other programs
  char* sources;                     // what the file is made of; NULL: of nothing else
  int64_t room_episodes, room_rows;  // asked for
  int longest;                       // rows of an episode at most
  int64_t episodes, rows;            // written
  int broken;                        // 1: a write failed
  int32_t* counter;                  // (2, rows of an episode) episode_idx and step_idx
  uint32_t* crc;                     // (rows of an episode) pixels_crc
  UsColumnStatistics statistics;
};

// Notes that HDF5 could not write. It keeps what it could not write and tries, and may crash, again
// when the file is closed, so such a file stays open until the process ends.
static UsStatus fail(UsDatasetWriter* w, const char* what) {
  w->broken = 1;
  return us_fail(US_IO, "%s: %s cannot be written: %s", w->path, what, us_hdf5_reason());
}

// Closes what is open; of a broken file nothing, see fail.
static void close_file(UsDatasetWriter* w) {
  if (w->broken) return;
  for (int i = 0; i < US_COLUMN_COUNT; i++) {
    if (w->column[i] >= 0) H5Dclose(w->column[i]);
    w->column[i] = -1;
  }
  if (w->file >= 0) H5Fclose(w->file);
  w->file = -1;
}

// Half-built writers too.
static void destroy(UsDatasetWriter* w) {
  close_file(w);
  us_lock_release(w->lock);
  us_column_statistics_free(&w->statistics);
  free(w->counter);
  free(w->crc);
  free(w->sources);
  free(w->temporary);
  free(w->path);
  free(w);
}

// Gives the file its name, in the place of another that may be there. Its robot is there first.
static UsStatus name_file(UsDatasetWriter* w) {
  if (!w->temporary) return US_OK;
  if (w->info.robot) US_TRY(us_robot_put_beside(w->path, w->info.robot));
  if (rename(w->temporary, w->path) != 0) {
    return us_fail(US_IO, "%s: cannot be renamed to %s: %s", w->temporary, w->path,
                   strerror(errno));
  }
  free(w->temporary);
  w->temporary = NULL;
  return US_OK;
}

// Closes the file, removes it if it has no name yet, and frees w.
static void abandon(UsDatasetWriter* w) {
  close_file(w);
  if (w->temporary) unlink(w->temporary);
  destroy(w);
}

// ---- creating ----

// A column whose rows have no numbers is not in the file.
static int has_column(const UsDatasetWriter* w, UsColumnId id) {
  if (id == US_COLUMN_PIXELS_CRC) return w->info.checksums;
  const int* numbers = us_column_numbers(id, (UsDatasetInfo*)&w->info);
  return !numbers || *numbers > 0;
}

// The type of a column in the file, to be closed: ours, or as stable-worldmodel's loaders expect
// it, with states as float32 and flags as h5py's bool, an enumeration of one byte.
static hid_t stored_type(const UsDatasetWriter* w, UsColumnId id) {
  if (w->exchange > 0 && id == US_COLUMN_STATE) return H5Tcopy(H5T_IEEE_F32LE);
  if (w->exchange > 0 && (id == US_COLUMN_TERMINATED || id == US_COLUMN_TRUNCATED)) {
    hid_t type = H5Tenum_create(H5T_STD_I8LE);
    H5Tenum_insert(type, "FALSE", &(int8_t){0});
    H5Tenum_insert(type, "TRUE", &(int8_t){1});
    return type;
  }
  return H5Tcopy(us_number(us_columns[id].type).stored);
}

// Extent of a column of so many episodes and rows.
static int64_t rows_of(UsColumnId id, int64_t episodes, int64_t rows) {
  return us_columns[id].per == US_PER_EPISODE ? episodes : rows;
}

static UsStatus create_column(UsDatasetWriter* w, UsColumnId id) {
  hsize_t dims[4] = {(hsize_t)rows_of(id, w->room_episodes, w->room_rows)};
  int rank = 1 + us_column_shape(id, &w->info, dims + 1);
  hid_t space = H5Screate_simple(rank, dims, NULL), type = stored_type(w, id);
  // One piece on the disk, allocated at once and not filled.
  hid_t how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_layout(how, H5D_CONTIGUOUS);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(how, H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(how, 0);  // the same content is the same bytes
  const char* name = us_columns[id].name;
  w->column[id] = H5Dcreate2(w->file, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
  H5Pclose(how);
  H5Tclose(type);
  H5Sclose(space);
  return w->column[id] < 0 ? fail(w, name) : US_OK;
}

// A length of 0 says that an episode is not there yet.
static UsStatus zero_column(UsDatasetWriter* w, UsColumnId id) {
  void* zero = calloc((size_t)w->room_episodes, us_number(us_columns[id].type).bytes);
  if (!zero) return us_fail(US_MEMORY, "%s: out of memory", w->path);
  int bad = us_column_move(w->column[id], id, 0, w->room_episodes, zero, 1);
  free(zero);
  return bad ? fail(w, us_columns[id].name) : US_OK;
}

// Takes the room of the whole file on the disk, so that a disk that is too small is known now. Not
// every file system can give it; those say at least what is free.
static UsStatus reserve(UsDatasetWriter* w) {
  hsize_t size = 0;
  // Needs the size that HDF5 has given the file by now.
  int fd = H5Fget_filesize(w->file, &size) < 0 ? -1 : open(w->temporary, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail(w, "the file");
  w->broken = 1;  // until its columns have their place on the disk
  UsStatus status = us_machine_need_disk(w->path, (double)size);
  int bad = status == US_OK && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) != 0 &&
            errno != EOPNOTSUPP && errno != ENOSYS;
  int error = errno;
  close(fd);
  if (status != US_OK) return status;
  w->broken = bad;
  if (!bad) return US_OK;
  return us_fail(US_IO, "%s: cannot take its %.1f MB: %s", w->path, (double)size / 1e6,
                 strerror(error));
}

// Writes all attributes. Their sizes depend on the kind of file alone, so a later call writes in
// place.
static UsStatus write_attributes(UsDatasetWriter* w, int finished) {
  int bad = us_attributes_write(w->file, &w->info, w->exchange);
  if (!(w->exchange > 0)) {
    bad |= us_attribute_write(w->file, "finished", H5T_STD_I32LE, H5T_NATIVE_INT, 0, &finished) |
           us_column_statistics_write(&w->statistics, &w->info, w->file);
    if (w->sources) {
      bad |= us_attribute_write_text(w->file, "sources", w->sources, strlen(w->sources) + 1);
    }
  }
  return bad ? fail(w, "an attribute") : US_OK;
}

// Makes the whole file before its first episode.
static UsStatus create_file(UsDatasetWriter* w) {
  int fd = open(w->temporary, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);  // for the system's own reason
  if (fd < 0) return us_fail(US_IO, "%s: cannot be created: %s", w->path, strerror(errno));
  close(fd);
  // Everything that HDF5 keeps about a file.
  w->file = us_hdf5_file(w->temporary, H5F_ACC_TRUNC);
  if (w->file < 0) return fail(w, "the file");
  US_TRY(write_attributes(w, 0));
  if (w->info.robot && us_robot_attributes_write(w->file, w->path, w->info.robot) != 0) {
    return fail(w, "its robot");
  }
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (has_column(w, (UsColumnId)id)) US_TRY(create_column(w, (UsColumnId)id));
  }
  // The disk has to have room for all of it.
  US_TRY(reserve(w));
  // And a reader sees a file without episodes.
  US_TRY(zero_column(w, US_COLUMN_EP_LEN));
  US_TRY(zero_column(w, US_COLUMN_EP_OFFSET));
  return H5Fflush(w->file, H5F_SCOPE_GLOBAL) < 0 ? fail(w, "the file") : US_OK;
}

// A writer without a file; it will be created under a temporary name.
static UsDatasetWriter* make(const char* path, const UsDatasetInfo* info, int64_t episodes,
                             int64_t rows, int longest) {
  UsDatasetWriter* w = calloc(1, sizeof(*w));
  if (!w) return NULL;
  w->file = -1;
  for (int i = 0; i < US_COLUMN_COUNT; i++) w->column[i] = -1;
  w->info = *info;
  w->room_episodes = episodes;
  w->room_rows = rows;
  w->longest = longest;
  w->path = strdup(path);
  if (asprintf(&w->temporary, "%s.tmp", path) < 0) w->temporary = NULL;
  w->counter = calloc(2 * (size_t)longest, sizeof(*w->counter));
  w->crc = calloc((size_t)longest, sizeof(*w->crc));
  int bad = !w->path || !w->temporary || !w->counter || !w->crc;
  bad |= !us_column_statistics_make(&w->statistics, info);
  if (bad) {
    destroy(w);
    return NULL;
  }
  return w;
}

UsStatus us_writer_create(const char* path, const UsDatasetInfo* info, int64_t episodes,
                          int64_t rows, int longest, double exchange, int overwrite,
                          const char* sources, UsDatasetWriter** out) {
  *out = NULL;
  us_hdf5_quiet();
  UsLock* lock;
  // Only a file's name will do, of one that is there or not.
  struct stat found;
  int error = stat(path, &found) != 0 ? errno : 0;
  if (error && error != ENOENT) {
    return us_fail(US_IO, "%s: cannot be created: %s", path, strerror(error));
  }
  if (!error && !S_ISREG(found.st_mode)) {
    return us_fail(US_IO, "%s: expected a file's name, found something else there", path);
  }
  // Nobody else may write this name from here on.
  US_TRY(us_lock_take(path, &lock));
  UsStatus status = overwrite || !us_file_exists(path)
                        ? US_OK
                        : us_fail(US_IO,
                                  "%s: the file exists; expected a new name or permission to "
                                  "overwrite",
                                  path);
  UsDatasetWriter* w = status == US_OK ? make(path, info, episodes, rows, longest) : NULL;
  if (!w) {
    us_lock_release(lock);
    return status == US_OK ? us_fail(US_MEMORY, "%s: out of memory", path) : status;
  }
  w->lock = lock;
  w->exchange = exchange;
  w->sources = sources ? strdup(sources) : NULL;
  // Only what has frames has what belongs to them.
  w->info.checksums = info->height > 0;
  if (info->height == 0) w->info.renderer[0] = 0;
  status = create_file(w);
  if (status != US_OK) {
    abandon(w);
    return status;
  }
  *out = w;
  return US_OK;
}

UsStatus us_dataset_create(const char* path, const UsDatasetInfo* info, int64_t episodes, int rows,
                           int overwrite, UsDatasetWriter** out) {
  US_ASSERT(episodes >= 1 && rows >= 1 && info->action >= 0 && info->proprio >= 0);
  US_ASSERT(info->state >= 1 && info->height >= 0 && (info->height == 0) == (info->width == 0));
  return us_writer_create(path, info, episodes, episodes * rows, rows, 0, overwrite, NULL, out);
}

// ---- appending ----

int64_t us_dataset_written(const UsDatasetWriter* w) {
  return w->rows;
}

// Writes rows of a column that the file has.
static UsStatus put(UsDatasetWriter* w, UsColumnId id, int64_t first, int64_t rows,
                    const void* data) {
  if (w->column[id] < 0) return US_OK;
  US_ASSERT(data);
  return us_column_move(w->column[id], id, first, rows, (void*)data, 1)
             ? fail(w, us_columns[id].name)
             : US_OK;
}

// Hands everything to the system: from then on a killed process loses none of it.
static UsStatus flush(UsDatasetWriter* w) {
  return H5Fflush(w->file, H5F_SCOPE_GLOBAL) < 0 ? fail(w, "an episode") : US_OK;
}

UsStatus us_dataset_append(UsDatasetWriter* w, const UsEpisode* e) {
  US_ASSERT(w->episodes < w->room_episodes && e->rows >= 1 && w->rows + e->rows <= w->room_rows);
  US_ASSERT(e->rows <= w->longest);
  // What the caller does not give: counters and checksums.
  int32_t* step = w->counter + e->rows;
  for (int t = 0; t < e->rows; t++) {
    w->counter[t] = (int32_t)w->episodes;
    step[t] = t;
  }
  size_t frame = us_column_width(US_COLUMN_PIXELS, &w->info);
  for (int t = 0; w->info.checksums && t < e->rows; t++) {
    w->crc[t] = us_crc32c(0, e->pixels + (size_t)t * frame, frame);
  }
  // Every column of rows in its place.
  const void* data[US_COLUMN_COUNT] = {[US_COLUMN_PIXELS] = e->pixels,
                                       [US_COLUMN_PIXELS_CRC] = w->crc,
                                       [US_COLUMN_ACTION] = e->actions,
                                       [US_COLUMN_PROPRIO] = e->proprio,
                                       [US_COLUMN_STATE] = e->states,
                                       [US_COLUMN_REWARD] = e->rewards,
                                       [US_COLUMN_TERMINATED] = e->terminated,
                                       [US_COLUMN_TRUNCATED] = e->truncated,
                                       [US_COLUMN_EPISODE_IDX] = w->counter,
                                       [US_COLUMN_STEP_IDX] = step,
                                       [US_COLUMN_TIME] = e->times,
                                       [US_COLUMN_VARIATION] = e->variation};
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (us_columns[id].per == US_PER_EPISODE) continue;
    US_TRY(put(w, (UsColumnId)id, w->rows, e->rows, data[id]));
  }
  // The length is written last, when all else has left the process: it makes the episode whole.
  US_TRY(put(w, US_COLUMN_EP_OFFSET, w->episodes, 1, &w->rows));
  US_TRY(flush(w));
  int32_t rows = e->rows;
  US_TRY(put(w, US_COLUMN_EP_LEN, w->episodes, 1, &rows));
  US_TRY(flush(w));
  US_TRY(name_file(w));
  // What the attributes will say at the end.
  us_column_statistics_add(&w->statistics, &w->info, e->rows, e->actions, e->proprio, e->states);
  w->episodes++;
  w->rows += e->rows;
  return US_OK;
}

// ---- finishing ----

// Compares frames that were read back for a copy with their checksums.
static UsStatus check_frames(const UsDatasetWriter* w, int64_t first, int64_t n, const void* data) {
  UsDatasetInfo info = w->info;
  UsDatasetColumns c = {.ep_offset = malloc((size_t)w->episodes * sizeof(*c.ep_offset))};
  if (!c.ep_offset) return us_fail(US_MEMORY, "%s: out of memory", w->path);
  info.episodes = w->episodes;
  UsStatus status = us_column_move(w->column[US_COLUMN_EP_OFFSET], US_COLUMN_EP_OFFSET, 0,
                                   w->episodes, c.ep_offset, 0)
                        ? us_fail(US_IO, "%s: ep_offset cannot be read back", w->path)
                        : us_dataset_check_frames(w->path, &c, &info,
                                                  w->column[US_COLUMN_PIXELS_CRC], first, n, data);
  free(c.ep_offset);
  return status;
}

// Copies what a column has in blocks; frames are compared with their checksums on the way.
static UsStatus copy_column(UsDatasetWriter* from, UsDatasetWriter* to, UsColumnId id) {
  int64_t rows = rows_of(id, from->episodes, from->rows);
  size_t bytes = us_column_width(id, &from->info) * us_number(us_columns[id].type).bytes;
  int64_t chunk = bytes < kPackBytes ? (int64_t)(kPackBytes / bytes) : 1;
  void* buffer = malloc((size_t)chunk * bytes);
  if (!buffer) return us_fail(US_MEMORY, "%s: out of memory", from->path);
  UsStatus status = US_OK;
  for (int64_t first = 0; first < rows && status == US_OK; first += chunk) {
    int64_t n = rows - first < chunk ? rows - first : chunk;
    status = us_column_move(from->column[id], id, first, n, buffer, 0)
                 ? us_fail(US_IO, "%s: %s cannot be read back", from->path, us_columns[id].name)
                 : US_OK;
    if (status == US_OK && id == US_COLUMN_PIXELS) status = check_frames(from, first, n, buffer);
    if (status == US_OK) status = put(to, id, first, n, buffer);
  }
  free(buffer);
  return status;
}

// Writes what is known at the end, `finished` last, and sees it to the disk.
static UsStatus seal(UsDatasetWriter* w) {
  US_TRY(flush(w));
  US_TRY(write_attributes(w, 0));
  US_TRY(flush(w));
  US_TRY(write_attributes(w, 1));
  for (int i = 0; i < US_COLUMN_COUNT; i++) {
    if (w->column[i] >= 0 && H5Dclose(w->column[i]) < 0) return fail(w, us_columns[i].name);
    w->column[i] = -1;
  }
  herr_t bad = H5Fclose(w->file);
  w->file = -1;
  if (bad < 0) return fail(w, "the file");
  // Only what is on the disk outlives the machine.
  int fd = open(w->temporary ? w->temporary : w->path, O_RDONLY | O_CLOEXEC);
  bad = fd < 0 || fsync(fd) != 0;
  int error = errno;
  if (fd >= 0) close(fd);
  return bad ? us_fail(US_IO, "%s: cannot be written: %s", w->path, strerror(error)) : US_OK;
}

// Makes a file with what another has and puts it in its place, sealed or to go on with.
static UsStatus copy_all(UsDatasetWriter* from, UsDatasetWriter* to, int sealed) {
  US_TRY(create_file(to));
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (from->column[id] >= 0) US_TRY(copy_column(from, to, (UsColumnId)id));
  }
  to->episodes = from->episodes;
  to->rows = from->rows;
  // The new file's writer goes on with what is known; the other ends here.
  UsColumnStatistics known = from->statistics;
  from->statistics = to->statistics;
  to->statistics = known;
  US_TRY(sealed ? seal(to) : flush(to));
  return name_file(to);
}

UsStatus us_dataset_finish(UsDatasetWriter* w) {
  if (!w) return US_OK;
  // A file without an episode is none.
  if (w->episodes == 0) {
    abandon(w);
    return US_OK;
  }
  UsStatus status;
  if (w->broken) {
    status = us_fail(US_IO, "%s: a write failed; %lld episodes are there, --resume goes on",
                     w->path, (long long)w->episodes);
  } else if (w->episodes < w->room_episodes || w->rows < w->room_rows) {
    // Fewer rows than asked for: columns cannot shrink, so the file is written anew.
    UsDatasetWriter* to = make(w->path, &w->info, w->episodes, w->rows, 1);
    if (to) to->exchange = w->exchange;
    status = to ? copy_all(w, to, 1) : us_fail(US_MEMORY, "%s: out of memory", w->path);
    if (to) abandon(to);
  } else {
    status = seal(w);
  }
  destroy(w);
  return status;
}

// ---- going on ----

// Opens w's file as it is; *fits: its columns have just the room that is asked for.
static UsStatus reopen(UsDatasetWriter* w, int* fits) {
  *fits = 1;
  w->file = us_hdf5_file(w->path, H5F_ACC_RDWR);
  if (w->file < 0) return fail(w, "the file");
  // Going on fills, copies and packs the columns of this program: others would be lost.
  const char* ours[US_COLUMN_COUNT];
  int count = 0;
  char others[256];
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (has_column(w, (UsColumnId)id)) ours[count++] = us_columns[id].name;
  }
  us_hdf5_list_others(w->file, count, ours, others, sizeof(others));
  if (others[0]) {
    return us_fail(US_FORMAT,
                   "%s: expected only the columns of this program to go on with, found %s", w->path,
                   others);
  }
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (!has_column(w, (UsColumnId)id)) continue;
    hid_t column = w->column[id] = H5Dopen2(w->file, us_columns[id].name, H5P_DEFAULT);
    if (column < 0) return fail(w, us_columns[id].name);
    hid_t space = H5Dget_space(column);
    hsize_t dims[H5S_MAX_RANK] = {0};
    H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    *fits &= dims[0] == (hsize_t)rows_of((UsColumnId)id, w->room_episodes, w->room_rows);
  }
  free(w->temporary);
  w->temporary = NULL;
  return US_OK;
}

// Copies what `from` has into a file of the room asked for, which takes its place.
static UsStatus widen(UsDatasetWriter* from, int rows, UsDatasetWriter** out) {
  UsDatasetWriter* to = make(from->path, &from->info, from->room_episodes, from->room_rows, rows);
  if (!to) return us_fail(US_MEMORY, "%s: out of memory", from->path);
  UsStatus status = copy_all(from, to, 0);
  if (status != US_OK) {
    char message[512];
    snprintf(message, sizeof(message), "%s", us_message());
    abandon(to);
    return us_fail(status, "%s; a longer file is made beside the one that is there, which is kept",
                   message);
  }
  to->lock = from->lock;
  from->lock = NULL;
  *out = to;
  return US_OK;
}

// Checks what a file has and takes over what w must know of it.
static UsStatus recall(const UsDataset* d, UsDatasetWriter* w, int rows) {
  const UsDatasetInfo* info = us_dataset_info(d);
  US_TRY(us_resume_check(d, &w->info, rows));
  if (info->episodes > w->room_episodes) {
    return us_fail(US_FORMAT, "%s: expected at most %lld episodes to go on with, found %lld",
                   w->path, (long long)w->room_episodes, (long long)info->episodes);
  }
  // The writer stands where the one before stopped.
  w->info.checksums = info->checksums;  // all rows of a file have them, or none
  w->episodes = info->episodes;
  w->rows = info->rows;
  US_TRY(us_resume_renderer(w->path, info, w->episodes, w->room_episodes, &w->info));
  us_column_statistics_add(&w->statistics, &w->info, w->rows, us_dataset_actions(d),
                           us_dataset_proprio(d), us_dataset_states(d));
  return US_OK;
}

UsStatus us_dataset_resume(const char* path, const UsDatasetInfo* info, int64_t episodes, int rows,
                           int64_t* done, UsDatasetWriter** out) {
  *out = NULL;
  UsDataset* d = NULL;
  UsLock* lock;
  US_TRY(us_lock_take(path, &lock));
  UsDatasetWriter* w = make(path, info, episodes, episodes * rows, rows);
  if (!w) {
    us_lock_release(lock);
    return us_fail(US_MEMORY, "%s: out of memory", path);
  }
  w->lock = lock;
  // What is there has to be readable, and of the same settings.
  UsStatus status = us_dataset_open(path, &d);
  if (status == US_OK) status = recall(d, w, rows);
  *done = w->episodes;
  int fits = 1, complete = d && us_dataset_info(d)->finished && w->episodes == episodes;
  us_dataset_close(d);  // before it opens for writing
  // Goes on in the file itself where it has the room that is asked for, else in a longer copy.
  if (status == US_OK && !complete) status = reopen(w, &fits);
  if (status == US_OK && !complete) {
    // Attributes have the room that they had, so this writes in place.
    if (fits)
      status = us_attributes_write(w->file, &w->info, 0) ? fail(w, "an attribute") : flush(w);
    if (fits && status == US_OK) *out = w;
    if (!fits) status = widen(w, rows, out);
  }
  if (*out != w) destroy(w);
  return status;
}
