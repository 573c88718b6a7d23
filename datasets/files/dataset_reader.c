// Reading a dataset: the file, its attributes, every column's type and extents, its episodes, then
// the values of the small columns window by window.

#include "datasets/files/dataset_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/files/dataset_check.h"
#include "datasets/files/foreign_episodes.h"
#include "datasets/files/foreign_frames.h"
#include "datasets/hdf5/column_storage.h"
#include "worldmodel/base/crc32c.h"
#include "worldmodel/base/progress.h"

enum { kMaxWidth = 1 << 16, kMaxSide = 1 << 14, kWindowBytes = 4 << 20, kSteps = 500 };

// ---- columns ----

// The type that we write or its like always; where the reader is not strict also what HDF5 converts
// without loss.
static int good_type(const UsDataset* d, UsColumnId id, hid_t type) {
  const UsColumn* column = &us_columns[id];
  if (H5Tequal(type, us_number(column->type).stored) > 0) return 1;
  if (H5Tequal(type, us_number(column->also).stored) > 0) return 1;
  if (d->strict || column->per == US_PER_FRAME) return 0;
  H5T_class_t class = H5Tget_class(type);
  size_t bytes = H5Tget_size(type);
  switch (column->type) {
    case US_TYPE_U8:
      return bytes == 1 && (class == H5T_INTEGER || class == H5T_ENUM || class == H5T_BITFIELD);
    case US_TYPE_I32:
    case US_TYPE_I64:
      return class == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2 &&
             H5Tget_order(type) == H5T_ORDER_LE && (bytes == 4 || bytes == 8);
    default:
      return H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F64LE) > 0;
  }
}

// Extents: (N, H, W, 3), (N, width), or (N) and, not strictly, (N, 1) for single numbers.
static UsStatus take_shape(UsDataset* d, UsColumnId id) {
  hsize_t dims[H5S_MAX_RANK], ignored[3];
  char shape[US_SHAPE_CHARS];
  int found = us_column_extents(d->column[id], dims);
  int rank = 1 + us_column_shape(id, &d->info, ignored);
  us_shape_text(found, dims, shape);
  int single =
      rank == 1 && found == 2 && dims[1] == 1 && !d->strict && us_columns[id].per != US_PER_EPISODE;
  if (found != rank && !single) {
    return us_fail(US_FORMAT, "%s: %s: expected %s, found (%s)", d->path, d->name[id],
                   rank == 4                              ? "(rows, height, width, 3)"
                   : rank == 2                            ? "(rows, numbers)"
                   : us_columns[id].per == US_PER_EPISODE ? "(episodes)"
                                                          : "(rows)",
                   shape);
  }
  d->extent[id] = dims[0];
  if (rank == 1) return US_OK;
  // Pixels have the size of frames.
  if (rank == 4 &&
      (dims[1] < 1 || dims[2] < 1 || dims[1] > kMaxSide || dims[2] > kMaxSide || dims[3] != 3)) {
    return us_fail(US_FORMAT, "%s: %s: expected (rows, 1..%d, 1..%d, 3), found (%s)", d->path,
                   d->name[id], kMaxSide, kMaxSide, shape);
  }
  if (rank == 4) d->info.width = (int)dims[2];
  if (dims[1] < 1 || dims[1] > kMaxWidth) {
    return us_fail(US_FORMAT, "%s: %s: expected 1 to %d numbers a row, found %llu", d->path,
                   d->name[id], kMaxWidth, (unsigned long long)dims[1]);
  }
  // What a row of the file has is what every row has.
  *us_column_numbers(id, &d->info) = (int)dims[1];
  return US_OK;
}

// Columns of others that are left where they are: flags that this HDF5 cannot open (1.10 does not
// know how newer libraries write bool; nothing needs them), and what is no checksum of ours.
static int is_to_leave(const UsDataset* d, UsColumnId id) {
  if (id != US_COLUMN_TERMINATED && id != US_COLUMN_TRUNCATED && id != US_COLUMN_PIXELS_CRC) {
    return 0;
  }
  hid_t column = H5Dopen2(d->file, d->name[id], H5P_DEFAULT);
  if (column < 0) return 1;
  hid_t type = H5Dget_type(column);
  int leave = id == US_COLUMN_PIXELS_CRC && !good_type(d, id, type);
  H5Tclose(type);
  H5Dclose(column);
  return leave;
}

// Opens a column under its own name or the other that the list knows, or leaves it closed.
static UsStatus open_column(UsDataset* d, UsColumnId id) {
  if (id == US_COLUMN_VARIATION && !d->info.variation_names[0]) return US_OK;
  if (id == US_COLUMN_ACTION && d->film) return US_OK;
  if (H5Lexists(d->file, d->name[id], H5P_DEFAULT) <= 0) {
    const char* other = us_columns[id].other;
    if (!other || H5Lexists(d->file, other, H5P_DEFAULT) <= 0) {
      // Ours and training need all that the list requires, others what no import can make up, and
      // the columns that the caller names.
      int needed = ((d->ours || d->strict) && us_columns[id].required) ||
                   (d->name[id] != us_columns[id].name && d->name[id] != other) ||
                   (us_columns[id].per == US_PER_EPISODE && !d->how) ||
                   // Film has no actions, and no bounds of any.
                   (id == US_COLUMN_ACTION && H5Aexists(d->file, "action_low") > 0);
      if (!needed) return US_OK;
      return us_fail(US_FORMAT, "%s: expected a column %s at the root, found none", d->path,
                     d->name[id]);
    }
    d->name[id] = other;
  }
  if (!d->ours && !d->strict && is_to_leave(d, id)) return US_OK;
  // From here on the column is there: it has to be good.
  US_TRY(us_column_open(d->path, d->file, d->name[id], &d->column[id]));
  if (id == US_COLUMN_PIXELS && d->how) {
    hsize_t dims[H5S_MAX_RANK] = {0};
    us_column_extents(d->column[id], dims);
    d->extent[id] = dims[0];
    return us_foreign_frames_open(d, d->how, &d->foreign);
  }
  hid_t type = H5Dget_type(d->column[id]);
  if (type < 0) return us_fail(US_FORMAT, "%s: %s: expected a type", d->path, d->name[id]);
  char expected[64], found[64];
  us_type_text(type, found);
  int good = good_type(d, id, type);
  H5Tclose(type);
  if (good) return take_shape(d, id);
  return us_fail(US_FORMAT, "%s: %s: expected %s, found %s", d->path, d->name[id],
                 us_type_text(us_number(us_columns[id].type).stored, expected), found);
}

// The column whose rows all others have to have: of what is not film the actions.
static UsColumnId find_leader(const UsDataset* d) {
  if (d->column[US_COLUMN_ACTION] >= 0) return US_COLUMN_ACTION;
  int id = 0;
  while (id < US_COLUMN_COUNT && (us_columns[id].per == US_PER_EPISODE || d->column[id] < 0)) id++;
  return (UsColumnId)id;
}

// Which program wrote the file: ours says so, stable-worldmodel shows by its chunks.
static void name_writer(UsDataset* d) {
  if (d->ours) {
    snprintf(d->writer, sizeof(d->writer), "understudy %s", d->info.version);
    return;
  }
  UsColumnId id = d->column[US_COLUMN_PIXELS] >= 0 ? US_COLUMN_PIXELS : find_leader(d);
  hid_t how = H5Dget_create_plist(d->column[id]);
  int filters = H5Pget_nfilters(how), chunked = H5Pget_layout(how) == H5D_CHUNKED;
  H5Pclose(how);
  hsize_t rows = us_column_chunk(d->column[id]);
  int named = d->column[US_COLUMN_EPISODE_IDX] >= 0;
  const char* writer = "a program unknown to us";
  if (chunked && rows == 1 && filters == 0) {
    writer = "stable-worldmodel 0.1, by its chunks";
  } else if (chunked && rows == 100) {
    writer = named ? "stable-worldmodel 0.0.4 to 0.0.6, by its chunks"
                   : "stable-worldmodel 0.0.2 or 0.0.3, by its chunks";
  }
  snprintf(d->writer, sizeof(d->writer), "%s", writer);
}

// ---- memory ----

// Reads rows of a column, which HDF5 converts to our type.
static UsStatus read_rows(UsDataset* d, UsColumnId id, int64_t first, int64_t rows, void* data) {
  if (us_column_move(d->column[id], id, first, rows, data, 0) == 0) return US_OK;
  return us_fail(US_FORMAT, "%s: %s, rows %lld to %lld: expected readable numbers, found: %s",
                 d->path, d->name[id], (long long)first, (long long)(first + rows - 1),
                 us_hdf5_reason());
}

// Takes the memory of a column's first rows.
static UsStatus take_room(UsDataset* d, UsColumnId id, int64_t rows) {
  size_t bytes = us_column_width(id, &d->info) * us_number(us_columns[id].type).bytes;
  void* data = calloc((size_t)rows + 1, bytes);
  us_column_set(&d->c, id, data);
  if (data) return US_OK;
  return us_fail(US_MEMORY, "%s: %s: out of memory for its %lld rows", d->path, d->name[id],
                 (long long)rows);
}

// Reads the columns of episodes and checks that they share out the rows.
static UsStatus load_episodes(UsDataset* d) {
  int64_t rows = (int64_t)d->extent[find_leader(d)];
  int found = d->column[US_COLUMN_EP_LEN] < 0;
  if (found) US_TRY(us_foreign_episodes(d, rows, d->how->steps ? d->how->steps : kSteps));
  int64_t asked = (int64_t)d->extent[US_COLUMN_EP_LEN];
  if (asked > rows) {
    return us_fail(US_FORMAT,
                   "%s: ep_len: expected at most one episode per row, found %lld of %lld", d->path,
                   (long long)asked, (long long)rows);
  }
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (us_columns[id].per != US_PER_EPISODE || found) continue;
    US_TRY(take_room(d, (UsColumnId)id, asked));
    if (asked == 0) continue;
    US_TRY(read_rows(d, (UsColumnId)id, 0, asked, us_column_data(&d->c, (UsColumnId)id)));
  }
  return us_dataset_check_episodes(d->path, &d->c, asked, rows, &d->info);
}

// Memory for windows: the longest episode, at least kWindowBytes; strictly all rows.
static UsStatus make_window(UsDataset* d) {
  // Bytes of a row in all columns that a window holds; there may be none.
  size_t bytes = 0;
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (us_columns[id].per != US_PER_ROW || d->column[id] < 0) continue;
    bytes += us_column_width((UsColumnId)id, &d->info) * us_number(us_columns[id].type).bytes;
  }
  // As many rows as fit, but an episode is never cut.
  d->room = bytes ? (int64_t)(kWindowBytes / bytes) + 1 : d->info.rows;
  if (d->strict || d->room > d->info.rows) d->room = d->info.rows;
  for (int64_t e = 0; e < d->info.episodes; e++) {
    if (d->c.ep_len[e] > d->room) d->room = d->c.ep_len[e];
  }
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (us_columns[id].per != US_PER_ROW || d->column[id] < 0) continue;
    US_TRY(take_room(d, (UsColumnId)id, d->room));
  }
  return US_OK;
}

// ---- opening ----

// Of episodes an import needs nothing or both columns.
static UsStatus check_episode_columns(UsDataset* d) {
  const int lengths = d->column[US_COLUMN_EP_LEN] >= 0;
  if (lengths != (d->column[US_COLUMN_EP_OFFSET] >= 0)) {
    return us_fail(US_FORMAT, "%s: expected both columns ep_len and ep_offset or none, found %s",
                   d->path, lengths ? "ep_len" : "ep_offset");
  }
  if (!lengths || !d->how || !d->how->steps) return US_OK;
  return us_fail(US_USAGE, "%s: --steps: found ep_len, which says where episodes end", d->path);
}

// A text of any length that an attribute holds, where there is one.
static UsStatus read_sources(UsDataset* d) {
  char* text = malloc(US_SOURCES_BYTES);
  if (!text) return us_fail(US_MEMORY, "%s: out of memory", d->path);
  if (d->ours && us_attribute_read_text(d->file, "sources", text, US_SOURCES_BYTES)) {
    d->sources = strdup(text);
  }
  free(text);
  return US_OK;
}

// Whether the file is ours decides what it must have, so its attributes come first.
static UsStatus open_columns(UsDataset* d, UsStrict strict) {
  d->ours = us_attributes_read(d->file, &d->info) && d->info.version[0];
  US_TRY(us_hdf5_check_root(d->path, d->file, d->how != NULL));
  US_TRY(read_sources(d));
  d->film = strict == US_STRICT_FILM;
  d->strict = d->film || strict == US_STRICT_ALL || (strict == US_STRICT_OURS && d->ours);
  for (int id = 0; id < US_COLUMN_COUNT; id++) US_TRY(open_column(d, (UsColumnId)id));
  return check_episode_columns(d);
}

// Columns of another program that are not good as they are may be good to import.
static UsStatus point_to_import(const UsDataset* d, UsStatus status) {
  char message[1024];
  if (status != US_FORMAT || d->ours || d->how) return status;
  snprintf(message, sizeof(message), "%s", us_message());
  return us_fail(status, "%s (another program's file? dataset import takes those)", message);
}

static UsStatus open_all(UsDataset* d, UsStrict strict) {
  US_TRY(us_hdf5_open(d->path, &d->file));
  UsStatus status = open_columns(d, strict);
  if (status != US_OK) return point_to_import(d, status);
  // All columns of rows have one number of rows, those of episodes one number of episodes.
  if (find_leader(d) == US_COLUMN_COUNT) {
    return us_fail(US_FORMAT, "%s: expected a column action or pixels at the root, found none",
                   d->path);
  }
  const char* taken[US_COLUMN_COUNT];
  int count = 0;
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (d->column[id] < 0) continue;
    taken[count++] = d->name[id];
    int per_episode = us_columns[id].per == US_PER_EPISODE;
    UsColumnId leader = per_episode ? US_COLUMN_EP_LEN : find_leader(d);
    if (d->extent[id] == d->extent[leader]) continue;
    return us_fail(US_FORMAT, "%s: %s: expected %llu rows as %s has, found %llu", d->path,
                   d->name[id], (unsigned long long)d->extent[leader], d->name[leader],
                   (unsigned long long)d->extent[id]);
  }
  // They have to agree with the attributes too.
  d->info.checksums = d->column[US_COLUMN_PIXELS] >= 0 && d->column[US_COLUMN_PIXELS_CRC] >= 0;
  US_TRY(us_dataset_check_variation(d->path, &d->info));
  // What is told about the file: who wrote it, and the columns that nothing reads.
  name_writer(d);
  us_hdf5_list_others(d->file, count, taken, d->left, sizeof(d->left));
  // What the rows are read by.
  US_TRY(load_episodes(d));
  // Without recorded bounds ours are -1 and 1, others have none.
  UsDatasetColumns* c = &d->c;
  if (!d->film) {
    US_TRY(us_dataset_read_bounds(d->path, d->file, d->info.action, d->ours || d->strict, c));
  }
  // Planners draw actions from [-1, 1], so those of training may not be wider.
  for (int i = 0; d->strict && i < d->info.action; i++) {
    if (c->low[i] >= -1 && c->high[i] <= 1) continue;
    return us_fail(US_FORMAT,
                   "%s: attributes action_low, action_high: expected bounds in [-1, 1], found %g "
                   "and %g (dataset import scales actions)",
                   d->path, (double)c->low[i], (double)c->high[i]);
  }
  return make_window(d);
}

UsStatus us_reader_open(const char* path, const UsImport* how, UsStrict strict, UsDataset** out) {
  *out = NULL;
  UsDataset* d = calloc(1, sizeof(*d));
  if (!d) return us_fail(US_MEMORY, "%s: out of memory", path);
  // Nothing is open yet, so that it can be closed at any point.
  d->file = -1;
  for (int i = 0; i < US_COLUMN_COUNT; i++) {
    d->column[i] = -1;
    d->name[i] = us_columns[i].name;
  }
  if (how) {
    if (how->action) d->name[US_COLUMN_ACTION] = how->action;
    if (how->pixels) d->name[US_COLUMN_PIXELS] = how->pixels;
    if (how->proprio) d->name[US_COLUMN_PROPRIO] = how->proprio;
    if (how->state) d->name[US_COLUMN_STATE] = how->state;
    d->repair = how->repair;
    d->how = how;
  }
  d->path = strdup(path);
  UsStatus status = d->path ? open_all(d, strict) : us_fail(US_MEMORY, "%s: out of memory", path);
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
  us_columns_free(&d->c);
  us_foreign_frames_close(d->foreign);
  free(d->marks);
  free(d->sources);
  free(d->path);
  free(d);
}

// ---- windows ----

// The collector of stable-worldmodel 0.1.1 lost the first frame of an episode and put its action
// into the last row: the other actions stand where they belong.
static void undo_rotation(UsDataset* d, int64_t episode) {
  UsDatasetColumns* c = &d->c;
  int64_t at = c->ep_offset[episode] - c->first, last = at + c->ep_len[episode] - 1;
  if (!c->step_idx || c->step_idx[at] != 1) return;
  for (int64_t row = at; row <= last; row++) c->step_idx[row]--;
  for (int i = 0; i < d->info.action; i++) c->action[last * d->info.action + i] = NAN;
}

UsStatus us_reader_next(UsDataset* d, int64_t* first, int64_t* count, int* more) {
  *more = 0;
  *first = d->next;
  *count = 0;
  // Takes whole episodes as long as the window has room.
  int64_t rows = 0;
  while (d->next < d->info.episodes && rows + d->c.ep_len[d->next] <= d->room) {
    rows += d->c.ep_len[d->next++];
    (*count)++;
  }
  if (*count == 0) return US_OK;
  // Reads their rows of every column that is there.
  d->c.first = d->c.ep_offset[*first];
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (us_columns[id].per != US_PER_ROW || d->column[id] < 0) continue;
    US_TRY(us_interrupt_check(d->path));
    US_TRY(read_rows(d, (UsColumnId)id, d->c.first, rows, us_column_data(&d->c, (UsColumnId)id)));
  }
  for (int64_t e = *first; d->repair && e < *first + *count; e++) undo_rotation(d, e);
  // Then all of it is checked.
  UsDatasetColumns seen = d->c;
  if (!d->ours && !d->strict) seen.reward = NULL;  // others leave the reward of a reset undefined
  US_TRY(us_dataset_check_rows(d->path, &seen, &d->info, *first, *count));
  // An episode's number must differ from that before it, across windows too.
  const int32_t* idx = d->c.episode_idx;
  if (idx && *first > 0 && idx[0] == d->last_idx) {
    return us_fail(US_FORMAT,
                   "%s: episode_idx, row %lld (episode %lld): expected another number than the "
                   "episode before has, found %d",
                   d->path, (long long)d->c.first, (long long)*first, d->last_idx);
  }
  if (idx) d->last_idx = idx[rows - 1];
  *more = 1;
  return US_OK;
}

UsStatus us_dataset_pixels(UsDataset* d, int64_t first, int64_t rows, uint8_t* pixels) {
  US_ASSERT(first >= 0 && rows >= 0 && first + rows <= d->info.rows);
  if (d->column[US_COLUMN_PIXELS] < 0) {
    return us_fail(US_FORMAT, "%s: expected a column pixels at the root, found none", d->path);
  }
  if (rows == 0) return US_OK;
  if (d->foreign) return us_foreign_frames_read(d->foreign, d, first, rows, pixels);
  US_TRY(read_rows(d, US_COLUMN_PIXELS, first, rows, pixels));
  return us_dataset_check_frames(d->path, &d->c, &d->info, d->column[US_COLUMN_PIXELS_CRC], first,
                                 rows, pixels);
}

void us_reader_hash_end(EVP_MD_CTX* hash, char hex[US_HASH_CHARS]) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  EVP_DigestFinal_ex(hash, digest, NULL);
  for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

UsStatus us_reader_hash_frames(UsDataset* d, const char* job, EVP_MD_CTX* hash, uint32_t* sums,
                               char hex[US_HASH_CHARS]) {
  const int64_t rows = d->column[US_COLUMN_PIXELS] < 0 ? 0 : d->info.rows;
  UsStatus status = US_OK;
  if (rows > 0) {
    // Blocks of whole chunks, so that none is unpacked twice.
    size_t bytes = us_column_width(US_COLUMN_PIXELS, &d->info);
    int64_t block = (int64_t)us_column_chunk(d->column[US_COLUMN_PIXELS]);
    int64_t chunks = (int64_t)(kWindowBytes / bytes) / block;
    if (chunks > 1) block *= chunks;
    if (block > rows) block = rows;
    uint8_t* frames = malloc((size_t)block * bytes);
    if (!frames) {
      return us_fail(US_MEMORY, "%s: out of memory for %lld frames", d->path, (long long)block);
    }
    UsProgress bar = us_progress_start(job, "frames", (double)rows, 0);
    for (int64_t first = 0; first < rows && status == US_OK; first += block) {
      int64_t n = rows - first < block ? rows - first : block;
      status = us_dataset_pixels(d, first, n, frames);
      if (status == US_OK) EVP_DigestUpdate(hash, frames, (size_t)n * bytes);
      for (int64_t i = 0; sums && status == US_OK && i < n; i++) {
        sums[first + i] = us_crc32c(0, frames + (size_t)i * bytes, bytes);
      }
      if (status == US_OK) status = us_progress_step(&bar, (double)(first + n), d->path);
    }
    us_progress_end(&bar);
    free(frames);
  }
  if (status == US_OK) us_reader_hash_end(hash, hex);
  return status;
}
