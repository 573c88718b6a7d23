#include "datasets/files/survey.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/hdf5/column_storage.h"
#include "datasets/hdf5/columns.h"

enum { kMaxWidth = 1 << 16, kMaxSide = 1 << 14, kWindowBytes = 4 << 20 };

struct UsSurvey {
  char* path;
  UsDatasetInfo info;
  hid_t file;
  hid_t column[US_COLUMN_COUNT];    // -1: not there
  hsize_t extent[US_COLUMN_COUNT];  // rows of a column
  const char* name[US_COLUMN_COUNT];
  UsDatasetColumns c;
  int64_t next, room;  // next episode of the windows; rows that they have room for
  int last_idx;        // episode_idx of the episode before the window
  int ours, repair;
  char writer[96];
  char left[US_LEFT_CHARS];
};

// ---- columns ----

static int good_type(UsColumnId id, hid_t type) {
  H5T_class_t class = H5Tget_class(type);
  size_t bytes = H5Tget_size(type);
  int little = bytes == 1 || H5Tget_order(type) == H5T_ORDER_LE;
  int sign = class == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2;
  switch (id) {
    case US_COLUMN_PIXELS_CRC:
      return H5Tequal(type, H5T_STD_U32LE) > 0;
    case US_COLUMN_PIXELS:
      return H5Tequal(type, H5T_STD_U8LE) > 0;
    case US_COLUMN_TERMINATED:
    case US_COLUMN_TRUNCATED:
      return bytes == 1 && (class == H5T_INTEGER || class == H5T_ENUM || class == H5T_BITFIELD);
    case US_COLUMN_EPISODE_IDX:
    case US_COLUMN_STEP_IDX:
    case US_COLUMN_EP_LEN:
    case US_COLUMN_EP_OFFSET:
      return sign && little && (bytes == 4 || bytes == 8);
    default:
      return H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F64LE) > 0;
  }
}

static UsStatus check_type(const UsSurvey* s, UsColumnId id) {
  hid_t type = H5Dget_type(s->column[id]);
  if (type < 0) return us_fail(US_FORMAT, "%s: %s: expected a type", s->path, s->name[id]);
  char expected[64], found[64];
  us_type_text(type, found);
  int good = good_type(id, type);
  H5Tclose(type);
  if (good) return US_OK;
  return us_fail(US_FORMAT, "%s: %s: expected %s, found %s", s->path, s->name[id],
                 us_type_text(us_column_stored(us_columns[id].type), expected), found);
}

static UsStatus take_frame(UsSurvey* s, const hsize_t dims[4]) {
  if (dims[1] < 1 || dims[2] < 1 || dims[1] > kMaxSide || dims[2] > kMaxSide || dims[3] != 3) {
    return us_fail(US_FORMAT, "%s: %s: expected (rows, 1..%d, 1..%d, 3), found another shape",
                   s->path, s->name[US_COLUMN_PIXELS], kMaxSide, kMaxSide);
  }
  s->info.height = (int)dims[1];
  s->info.width = (int)dims[2];
  return US_OK;
}

// Extents: (N, H, W, 3), (N, width), or (N) and (N, 1) for single numbers.
static UsStatus take_shape(UsSurvey* s, UsColumnId id) {
  hsize_t dims[H5S_MAX_RANK], ignored[3];
  hid_t space = H5Dget_space(s->column[id]);
  int found = H5Sget_simple_extent_dims(space, dims, NULL);
  if (space >= 0) H5Sclose(space);
  int rank = 1 + us_column_shape(id, &s->info, ignored);
  int single = rank == 1 && found == 2 && dims[1] == 1 && id < US_COLUMN_EP_LEN;
  if (found != rank && !single) {
    return us_fail(US_FORMAT, "%s: %s: expected %d axes, found %d", s->path, s->name[id], rank,
                   found);
  }
  s->extent[id] = dims[0];
  if (rank == 4) return take_frame(s, dims);
  if (rank == 1) return US_OK;
  if (dims[1] < 1 || dims[1] > kMaxWidth) {
    return us_fail(US_FORMAT, "%s: %s: expected 1 to %d numbers a row, found %llu", s->path,
                   s->name[id], kMaxWidth, (unsigned long long)dims[1]);
  }
  *us_column_numbers(id, &s->info) = (int)dims[1];
  return US_OK;
}

static int is_needed(const UsSurvey* s, UsColumnId id) {
  if (s->ours && us_columns[id].required) return 1;
  if (s->name[id] != us_columns[id].name && s->name[id] != us_columns[id].other) return 1;
  return id == US_COLUMN_ACTION || id == US_COLUMN_EP_LEN || id == US_COLUMN_EP_OFFSET;
}

// Columns of others that are left where they are: flags that this HDF5 cannot open (1.10 does not
// know how newer libraries write bool; nothing needs them), and what is no checksum of ours.
static int is_to_leave(const UsSurvey* s, UsColumnId id) {
  if (id != US_COLUMN_TERMINATED && id != US_COLUMN_TRUNCATED && id != US_COLUMN_PIXELS_CRC) {
    return 0;
  }
  hid_t column = H5Dopen2(s->file, s->name[id], H5P_DEFAULT);
  if (column < 0) return 1;
  hid_t type = H5Dget_type(column);
  int leave = id == US_COLUMN_PIXELS_CRC && !good_type(id, type);
  H5Tclose(type);
  H5Dclose(column);
  return leave;
}

static UsStatus open_column(UsSurvey* s, UsColumnId id) {
  if (id == US_COLUMN_VARIATION && !s->info.variation_names[0]) return US_OK;
  if (H5Lexists(s->file, s->name[id], H5P_DEFAULT) <= 0) {
    const char* other = us_columns[id].other;
    if (!other || H5Lexists(s->file, other, H5P_DEFAULT) <= 0) {
      if (!is_needed(s, id)) return US_OK;
      return us_fail(US_FORMAT, "%s: expected a column %s at the root, found none", s->path,
                     s->name[id]);
    }
    s->name[id] = other;
  }
  if (!s->ours && is_to_leave(s, id)) return US_OK;
  US_TRY(us_column_open(s->path, s->file, s->name[id], &s->column[id]));
  US_TRY(check_type(s, id));
  return take_shape(s, id);
}

static UsStatus check_extents(const UsSurvey* s) {
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (s->column[id] < 0) continue;
    int per_episode = id == US_COLUMN_EP_LEN || id == US_COLUMN_EP_OFFSET;
    UsColumnId leader = per_episode ? US_COLUMN_EP_LEN : US_COLUMN_ACTION;
    if (s->extent[id] == s->extent[leader]) continue;
    return us_fail(US_FORMAT, "%s: %s: expected %llu rows as %s has, found %llu", s->path,
                   s->name[id], (unsigned long long)s->extent[leader], s->name[leader],
                   (unsigned long long)s->extent[id]);
  }
  return US_OK;
}

static void list_left(UsSurvey* s) {
  const char* taken[US_COLUMN_COUNT];
  int count = 0;
  for (int id = 0; id < US_COLUMN_COUNT; id++) {
    if (s->column[id] >= 0) taken[count++] = s->name[id];
  }
  us_hdf5_list_others(s->file, count, taken, s->left, sizeof(s->left));
}

// ---- attributes ----

static void read_attributes(UsSurvey* s) {
  UsDatasetInfo* info = &s->info;
  us_attribute_read_text(s->file, "task", info->task, sizeof(info->task));
  us_attribute_read_text(s->file, "version", info->version, sizeof(info->version));
  us_attribute_read_text(s->file, "policy", info->policy, sizeof(info->policy));
  us_attribute_read_text(s->file, "camera", info->camera, sizeof(info->camera));
  us_attribute_read_text(s->file, "renderer", info->renderer, sizeof(info->renderer));
  us_attribute_read(s->file, "seed", H5T_NATIVE_UINT64, 0, &info->seed);
  us_attribute_read(s->file, "env_dt", H5T_NATIVE_DOUBLE, 0, &info->dt);
  us_attribute_read_variation(s->file, info);
  if (!isfinite(info->dt) || info->dt < 0) info->dt = 0;
  info->finished = 1;
  int said = us_attribute_read(s->file, "finished", H5T_NATIVE_INT, 0, &info->finished);
  s->ours = said && info->version[0];
}

static void name_writer(UsSurvey* s) {
  if (s->ours) {
    snprintf(s->writer, sizeof(s->writer), "understudy %s", s->info.version);
    return;
  }
  UsColumnId id = s->column[US_COLUMN_PIXELS] >= 0 ? US_COLUMN_PIXELS : US_COLUMN_ACTION;
  hid_t how = H5Dget_create_plist(s->column[id]);
  int filters = H5Pget_nfilters(how), chunked = H5Pget_layout(how) == H5D_CHUNKED;
  H5Pclose(how);
  hsize_t rows = us_column_chunk(s->column[id]);
  int named = s->column[US_COLUMN_EPISODE_IDX] >= 0;
  const char* writer = "a program unknown to us";
  if (chunked && rows == 1 && filters == 0) {
    writer = "stable-worldmodel 0.1, by its chunks";
  } else if (chunked && rows == 100) {
    writer = named ? "stable-worldmodel 0.0.4 to 0.0.6, by its chunks"
                   : "stable-worldmodel 0.0.2 or 0.0.3, by its chunks";
  }
  snprintf(s->writer, sizeof(s->writer), "%s", writer);
}

// ---- memory ----

// Columns of rows that a window holds, with their places.
typedef struct Field {
  UsColumnId id;
  void* place;  // of a pointer
} Field;

enum { kFields = 10 };

static void list_fields(UsSurvey* s, Field out[kFields]) {
  UsDatasetColumns* c = &s->c;
  const Field all[kFields] = {{US_COLUMN_ACTION, &c->actions},
                              {US_COLUMN_PROPRIO, &c->proprio},
                              {US_COLUMN_STATE, &c->states},
                              {US_COLUMN_TIME, &c->times},
                              {US_COLUMN_EPISODE_IDX, &c->episode_idx},
                              {US_COLUMN_STEP_IDX, &c->step_idx},
                              {US_COLUMN_REWARD, &c->rewards},
                              {US_COLUMN_TERMINATED, &c->terminated},
                              {US_COLUMN_TRUNCATED, &c->truncated},
                              {US_COLUMN_VARIATION, &c->variation}};
  memcpy(out, all, sizeof(all));
}

static UsStatus read_rows(UsSurvey* s, UsColumnId id, int64_t first, int64_t rows, void* data) {
  if (us_column_move(s->column[id], id, first, rows, data, 0) == 0) return US_OK;
  char reason[256];
  return us_fail(US_FORMAT, "%s: %s, rows %lld to %lld: expected readable numbers, found: %s",
                 s->path, s->name[id], (long long)first, (long long)(first + rows - 1),
                 us_hdf5_reason(reason, sizeof(reason)));
}

static UsStatus load_episodes(UsSurvey* s) {
  int64_t asked = (int64_t)s->extent[US_COLUMN_EP_LEN];
  if (s->extent[US_COLUMN_EP_LEN] > s->extent[US_COLUMN_ACTION]) {
    return us_fail(US_FORMAT,
                   "%s: ep_len: expected at most one episode per row, found %lld of %llu", s->path,
                   (long long)asked, (unsigned long long)s->extent[US_COLUMN_ACTION]);
  }
  s->c.lengths = calloc((size_t)asked + 1, sizeof(*s->c.lengths));
  s->c.offsets = calloc((size_t)asked + 1, sizeof(*s->c.offsets));
  if (!s->c.lengths || !s->c.offsets) return us_fail(US_MEMORY, "%s: out of memory", s->path);
  if (asked > 0) {
    US_TRY(read_rows(s, US_COLUMN_EP_LEN, 0, asked, s->c.lengths));
    US_TRY(read_rows(s, US_COLUMN_EP_OFFSET, 0, asked, s->c.offsets));
  }
  return us_dataset_check_episodes(s->path, &s->c, asked, (int64_t)s->extent[US_COLUMN_ACTION],
                                   &s->info);
}

// Memory for windows: the longest episode, at least kWindowBytes.
static UsStatus make_window(UsSurvey* s) {
  Field fields[kFields];
  list_fields(s, fields);
  size_t bytes = 0;
  for (int i = 0; i < kFields; i++) {
    UsColumnId id = fields[i].id;
    if (s->column[id] < 0) continue;
    bytes += us_column_width(id, &s->info) * us_column_bytes(us_columns[id].type);
  }
  s->room = (int64_t)(kWindowBytes / bytes) + 1;
  if (s->room > s->info.rows) s->room = s->info.rows;
  for (int64_t e = 0; e < s->info.episodes; e++) {
    if (s->c.lengths[e] > s->room) s->room = s->c.lengths[e];
  }
  for (int i = 0; i < kFields; i++) {
    UsColumnId id = fields[i].id;
    if (s->column[id] < 0) continue;
    void* data = calloc((size_t)s->room,
                        us_column_width(id, &s->info) * us_column_bytes(us_columns[id].type));
    if (!data) return us_fail(US_MEMORY, "%s: out of memory for its longest episode", s->path);
    memcpy(fields[i].place, &data, sizeof(data));
  }
  return US_OK;
}

// ---- opening ----

static UsStatus open_all(UsSurvey* s) {
  US_TRY(us_hdf5_open(s->path, &s->file));
  US_TRY(us_hdf5_check_root(s->path, s->file));
  read_attributes(s);
  for (int id = 0; id < US_COLUMN_COUNT; id++) US_TRY(open_column(s, (UsColumnId)id));
  US_TRY(check_extents(s));
  s->info.checksums = s->column[US_COLUMN_PIXELS] >= 0 && s->column[US_COLUMN_PIXELS_CRC] >= 0;
  US_TRY(us_dataset_check_variation(s->path, &s->info));
  name_writer(s);
  list_left(s);
  US_TRY(load_episodes(s));
  US_TRY(us_dataset_read_bounds(s->path, s->file, s->info.action, s->ours, &s->c));
  return make_window(s);
}

UsStatus us_survey_open(const char* path, const UsSurveyConfig* config, UsSurvey** out) {
  *out = NULL;
  UsSurvey* s = calloc(1, sizeof(*s));
  if (!s) return us_fail(US_MEMORY, "%s: out of memory", path);
  s->file = -1;
  for (int i = 0; i < US_COLUMN_COUNT; i++) {
    s->column[i] = -1;
    s->name[i] = us_columns[i].name;
  }
  if (config) {
    if (config->pixels) s->name[US_COLUMN_PIXELS] = config->pixels;
    if (config->proprio) s->name[US_COLUMN_PROPRIO] = config->proprio;
    if (config->state) s->name[US_COLUMN_STATE] = config->state;
    s->repair = config->repair;
  }
  s->path = strdup(path);
  UsStatus status = s->path ? open_all(s) : us_fail(US_MEMORY, "%s: out of memory", path);
  if (status != US_OK) {
    us_survey_close(s);
    return status;
  }
  *out = s;
  return US_OK;
}

void us_survey_close(UsSurvey* s) {
  if (!s) return;
  for (int i = 0; i < US_COLUMN_COUNT; i++) {
    if (s->column[i] >= 0) H5Dclose(s->column[i]);
  }
  if (s->file >= 0) H5Fclose(s->file);
  us_dataset_columns_free(&s->c);
  free(s->path);
  free(s);
}

const UsDatasetInfo* us_survey_info(const UsSurvey* s) {
  return &s->info;
}
const char* us_survey_writer(const UsSurvey* s) {
  return s->writer;
}
const char* us_survey_left(const UsSurvey* s) {
  return s->left;
}
int us_survey_ours(const UsSurvey* s) {
  return s->ours;
}
const UsDatasetColumns* us_survey_columns(const UsSurvey* s) {
  return &s->c;
}

// ---- windows ----

// The collector of stable-worldmodel 0.1.1 lost the first frame of an episode and put its action
// into the last row: the other actions stand where they belong.
static void undo_rotation(UsSurvey* s, int64_t episode) {
  UsDatasetColumns* c = &s->c;
  int64_t at = c->offsets[episode] - c->first, last = at + c->lengths[episode] - 1;
  if (!c->step_idx || c->step_idx[at] != 1) return;
  for (int64_t row = at; row <= last; row++) c->step_idx[row]--;
  for (int i = 0; i < s->info.action; i++) c->actions[last * s->info.action + i] = NAN;
}

// An episode's number must differ from that before it, across windows too.
static UsStatus check_border(UsSurvey* s, int64_t first, int64_t rows) {
  if (!s->c.episode_idx) return US_OK;
  if (first > 0 && s->c.episode_idx[0] == s->last_idx) {
    return us_fail(US_FORMAT,
                   "%s: episode_idx, row %lld (episode %lld): expected another number than the "
                   "episode before has, found %d",
                   s->path, (long long)s->c.first, (long long)first, s->last_idx);
  }
  s->last_idx = s->c.episode_idx[rows - 1];
  return US_OK;
}

UsStatus us_survey_next(UsSurvey* s, int64_t* first, int64_t* count, int* more) {
  *more = 0;
  *first = s->next;
  *count = 0;
  int64_t rows = 0;
  while (s->next < s->info.episodes && rows + s->c.lengths[s->next] <= s->room) {
    rows += s->c.lengths[s->next++];
    (*count)++;
  }
  if (*count == 0) return US_OK;
  s->c.first = s->c.offsets[*first];
  Field fields[kFields];
  list_fields(s, fields);
  for (int i = 0; i < kFields; i++) {
    if (s->column[fields[i].id] < 0) continue;
    void* data;
    memcpy(&data, fields[i].place, sizeof(data));
    US_TRY(read_rows(s, fields[i].id, s->c.first, rows, data));
  }
  for (int64_t e = *first; s->repair && e < *first + *count; e++) undo_rotation(s, e);
  UsDatasetColumns seen = s->c;
  if (!s->ours) seen.rewards = NULL;  // others leave the reward of a reset undefined
  US_TRY(us_dataset_check_rows(s->path, &seen, &s->info, *first, *count));
  US_TRY(check_border(s, *first, rows));
  *more = 1;
  return US_OK;
}

UsStatus us_survey_pixels(UsSurvey* s, int64_t first, int64_t rows, uint8_t* pixels) {
  US_ASSERT(s->column[US_COLUMN_PIXELS] >= 0 && first >= 0 && first + rows <= s->info.rows);
  if (rows == 0) return US_OK;
  US_TRY(read_rows(s, US_COLUMN_PIXELS, first, rows, pixels));
  return us_dataset_check_frames(s->path, &s->c, &s->info, s->column[US_COLUMN_PIXELS_CRC], first,
                                 rows, pixels);
}

int64_t us_survey_block(const UsSurvey* s) {
  if (s->column[US_COLUMN_PIXELS] < 0) return 0;
  size_t bytes = us_column_width(US_COLUMN_PIXELS, &s->info);
  int64_t chunk = (int64_t)us_column_chunk(s->column[US_COLUMN_PIXELS]);
  int64_t chunks = (int64_t)(kWindowBytes / bytes) / chunk;
  return (chunks > 1 ? chunks : 1) * chunk;
}
