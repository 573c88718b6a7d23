#define _GNU_SOURCE
#include "datasets/exchange.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/hdf5/column_storage.h"
#include "datasets/files/survey.h"
#include "datasets/hdf5/columns.h"
#include "worldmodel/base/crc32c.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"

// ---- import ----

// One import: the survey of a file, the writer of ours, and room for one episode.
typedef struct Import {
  const char* path;
  const UsImport* config;
  UsSurvey* from;
  UsDatasetWriter* to;
  UsDatasetInfo info;               // of what is written
  double dt;                        // s, for files without times
  int longest;                      // rows of an episode
  float *shift, *scale;             // (A) action' = (action - shift) / scale
  uint8_t* pixels;                  // (longest, H, W, 3)
  float* actions;                   // (longest, A)
  double* states;                   // (longest, S)
  double* times;                    // (longest)
  float* rewards;                   // (longest)
  uint8_t *terminated, *truncated;  // (longest)
  UsImportNotes* notes;
} Import;

static int ends_with(const char* text, const char* end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

// DINO-WM keeps a folder with states.pth, actions.pth and a file of frames per episode.
static UsStatus refuse_folder(const char* path) {
  struct stat found;
  if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode)) return US_OK;
  DIR* folder = opendir(path);
  int torch = 0;
  for (struct dirent* e; folder && (e = readdir(folder));) {
    torch |= ends_with(e->d_name, ".pth") || strcmp(e->d_name, "obses") == 0;
  }
  if (folder) closedir(folder);
  if (!torch) return us_fail(US_FORMAT, "%s: expected an HDF5 file, found a folder", path);
  return us_fail(US_FORMAT,
                 "%s: expected an HDF5 file, found a folder of PyTorch files as DINO-WM writes "
                 "them; convert it first: torch.load each .pth, write pixels, action, state, "
                 "ep_len, ep_offset with h5py, then import that file",
                 path);
}

// Time between rows: asked for, recorded, or that of the file's first two rows.
static UsStatus find_dt(Import* m) {
  const UsDatasetColumns* c = us_survey_columns(m->from);
  m->dt = m->config->dt > 0 ? m->config->dt : us_survey_info(m->from)->dt;
  if (m->dt <= 0 && c->times && c->lengths[0] > 1) m->dt = c->times[1] - c->times[0];
  if (m->dt > 0) return US_OK;
  return us_fail(US_USAGE, "%s: the file does not say the time between its rows; expected --dt",
                 m->path);
}

static UsStatus find_scale(Import* m) {
  const UsDatasetColumns* c = us_survey_columns(m->from);
  size_t n = (size_t)m->info.action;
  m->shift = calloc(n, sizeof(float));
  m->scale = calloc(n, sizeof(float));
  if (!m->shift || !m->scale) return us_fail(US_MEMORY, "%s: out of memory", m->path);
  for (size_t i = 0; i < n; i++) {
    m->scale[i] = m->config->bound > 0 ? (float)m->config->bound : 1;
    if (m->config->bound > 0 || !c->low) continue;
    if (!isfinite(c->low[i]) || !isfinite(c->high[i])) {
      return us_fail(US_USAGE, "%s: its recorded bounds are infinite; expected --bound", m->path);
    }
    m->shift[i] = (c->low[i] + c->high[i]) / 2;
    m->scale[i] = (c->high[i] - c->low[i]) / 2;
  }
  return US_OK;
}

static UsStatus make_room(Import* m) {
  const UsDatasetInfo* from = us_survey_info(m->from);
  const UsDatasetColumns* c = us_survey_columns(m->from);
  m->info = *from;
  m->info.state = from->state ? from->state : from->proprio ? from->proprio : 1;
  snprintf(m->info.task, sizeof(m->info.task), "%s", m->config->task);
  snprintf(m->info.version, sizeof(m->info.version), "import");
  if (!m->info.policy[0]) snprintf(m->info.policy, sizeof(m->info.policy), "imported");
  for (int64_t e = 0; e < from->episodes; e++) {
    if (c->lengths[e] > m->longest) m->longest = c->lengths[e];
  }
  size_t n = (size_t)m->longest;
  m->pixels = calloc(n, (size_t)from->height * (size_t)from->width * 3 + 1);
  m->actions = calloc(n, (size_t)from->action * sizeof(float));
  m->states = calloc(n, (size_t)m->info.state * sizeof(double));
  m->times = calloc(n, sizeof(double));
  m->rewards = calloc(n, sizeof(float));
  m->terminated = calloc(n, 1);
  m->truncated = calloc(n, 1);
  if (m->pixels && m->actions && m->states && m->times && m->rewards && m->terminated &&
      m->truncated) {
    return US_OK;
  }
  return us_fail(US_MEMORY, "%s: out of memory for its longest episode", m->path);
}

static void free_room(Import* m) {
  void* own[] = {m->shift, m->scale,   m->pixels,     m->actions,  m->states,
                 m->times, m->rewards, m->terminated, m->truncated};
  for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) free(own[i]);
}

static UsStatus scale_actions(Import* m, int64_t episode, int64_t at, int rows) {
  const UsDatasetColumns* c = us_survey_columns(m->from);
  int width = m->info.action;
  for (int i = 0; i < rows * width; i++) {
    float x = (c->actions[at * width + i] - m->shift[i % width]) / m->scale[i % width];
    if (fabsf(x) > 1 + 1e-6f) {
      return us_fail(US_FORMAT,
                     "%s: action, row %lld (episode %lld): expected a number in [%g, %g], found "
                     "%g; --bound says how large actions are",
                     m->path, (long long)(c->first + at + i / width), (long long)episode,
                     (double)(m->shift[i % width] - m->scale[i % width]),
                     (double)(m->shift[i % width] + m->scale[i % width]),
                     (double)c->actions[at * width + i]);
    }
    int last = i / width == rows - 1;
    if (last && i % width == 0) m->notes->actions += isfinite(x) != 0;
    m->actions[i] = last ? NAN : x;
  }
  return US_OK;
}

static void copy_states(Import* m, int64_t at, int rows) {
  const UsDatasetColumns* c = us_survey_columns(m->from);
  size_t n = (size_t)rows * (size_t)m->info.state, from = (size_t)at * (size_t)m->info.state;
  for (size_t i = 0; i < n; i++) {
    m->states[i] = c->states ? c->states[from + i] : c->proprio ? (double)c->proprio[from + i] : 0;
  }
}

static UsStatus copy_episode(Import* m, int64_t e) {
  const UsDatasetColumns* c = us_survey_columns(m->from);
  int64_t at = c->offsets[e] - c->first;
  int rows = c->lengths[e];
  US_TRY(scale_actions(m, e, at, rows));
  copy_states(m, at, rows);
  for (int t = 0; t < rows; t++) {
    m->times[t] = c->times ? c->times[at + t] : t * m->dt;
    int known = c->rewards && isfinite(c->rewards[at + t]);
    if (c->rewards && !known && t > 0) m->notes->rewards++;
    m->rewards[t] = known ? c->rewards[at + t] : 0;
    m->terminated[t] = c->terminated ? c->terminated[at + t] : 0;
    m->truncated[t] = c->truncated ? c->truncated[at + t] : t == rows - 1;
  }
  if (m->info.height) US_TRY(us_survey_pixels(m->from, c->offsets[e], rows, m->pixels));
  UsEpisode episode = {.rows = rows,
                       .pixels = m->pixels,
                       .actions = m->actions,
                       .proprio = c->proprio ? c->proprio + at * m->info.proprio : NULL,
                       .states = m->states,
                       .rewards = m->rewards,
                       .terminated = m->terminated,
                       .truncated = m->truncated,
                       .times = m->times,
                       .variation = c->variation ? c->variation + at * m->info.variation : NULL};
  return us_dataset_append(m->to, &episode);
}

// What stands in for the columns that a file has not.
static void note_made(Import* m) {
  const UsDatasetColumns* c = us_survey_columns(m->from);
  const struct {
    int there;
    const char* text;
  } all[] = {{c->states != NULL, c->proprio ? "state (proprio)" : "state (0)"},
             {c->rewards != NULL, "reward (0)"},
             {c->terminated != NULL, "terminated (0)"},
             {c->truncated != NULL, "truncated (1 in last rows)"},
             {c->times != NULL, "time (equal steps)"}};
  char* text = m->notes->made;
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
    size_t n = strlen(text);
    if (!all[i].there) {
      snprintf(text + n, US_LEFT_CHARS - n, "%s%s", n ? ", " : "", all[i].text);
    }
  }
}

static UsStatus copy_all(Import* m, const char* out) {
  int64_t first, count;
  int more;
  US_TRY(us_survey_next(m->from, &first, &count, &more));  // sees the times of the first rows
  US_TRY(find_dt(m));
  m->info.dt = m->dt;
  int64_t episodes = us_survey_info(m->from)->episodes;
  US_TRY(us_dataset_create(out, &m->info, episodes, m->longest, 1, &m->to));
  UsProgress bar = us_progress_start("import", "episodes", (double)episodes, 0);
  UsStatus status = US_OK;
  while (more && status == US_OK) {
    for (int64_t e = first; e < first + count && status == US_OK; e++) {
      status = us_interrupted() ? us_fail(US_INTERRUPTED, "%s: stopped", out) : copy_episode(m, e);
      us_progress_show(&bar, (double)(e + 1), NULL);
    }
    if (status == US_OK) status = us_survey_next(m->from, &first, &count, &more);
  }
  us_progress_end(&bar);
  return status;
}

// Imports into a name of its own, so that `out` is either as it was or whole.
static UsStatus import_to(Import* m, const char* out) {
  US_TRY(make_room(m));
  US_TRY(find_scale(m));
  char *part = NULL, message[512];
  if (asprintf(&part, "%s.part", out) < 0) return us_fail(US_MEMORY, "out of memory");
  UsStatus status = copy_all(m, part);
  snprintf(message, sizeof(message), "%s", us_message());
  UsStatus finished = us_dataset_finish(m->to);
  if (status != US_OK) {
    us_fail(status, "%s", message);
  } else if ((status = finished) == US_OK && rename(part, out) != 0) {
    status = us_fail(US_IO, "%s: cannot be written: %s", out, strerror(errno));
  }
  if (status != US_OK && m->to) unlink(part);
  free(part);
  return status;
}

static UsStatus check_target(const char* path, const char* out, int overwrite) {
  struct stat a, b;
  if (stat(out, &b) != 0) return US_OK;
  if (stat(path, &a) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino) {
    return us_fail(US_USAGE, "%s: expected another file to write to", out);
  }
  if (overwrite) return US_OK;
  return us_fail(US_IO, "%s: the file exists; expected a new name or --overwrite", out);
}

static UsStatus import_all(const char* path, const char* out, const UsImport* config,
                           UsVerdict* verdict, UsImportNotes* notes) {
  US_TRY(check_target(path, out, config->overwrite));
  Import m = {.path = path, .config = config, .notes = notes};
  US_TRY(us_survey_open(path, &config->names, &m.from));
  verdict->info = *us_survey_info(m.from);
  verdict->ours = us_survey_ours(m.from);
  snprintf(verdict->writer, sizeof(verdict->writer), "%s", us_survey_writer(m.from));
  snprintf(verdict->left, sizeof(verdict->left), "%s", us_survey_left(m.from));
  note_made(&m);
  UsStatus status = import_to(&m, out);
  free_room(&m);
  us_survey_close(m.from);
  return status;
}

UsStatus us_dataset_import(const char* path, const char* out, const UsImport* config,
                           UsVerdict* verdict, UsImportNotes* notes) {
  UsLock* lock;
  memset(verdict, 0, sizeof(*verdict));
  memset(notes, 0, sizeof(*notes));
  US_TRY(refuse_folder(path));
  US_TRY(us_lock_take(out, &lock));
  UsStatus status = import_all(path, out, config, verdict, notes);
  us_lock_release(lock);
  return status;
}

// ---- convert ----

// One conversion: an open file of ours and one being written.
typedef struct Convert {
  UsDataset* from;
  UsSurvey* rows;  // the columns that UsDataset does not keep
  const char* out;
  hid_t file;
  double bound;
} Convert;

static UsStatus cannot_write(const char* out, const char* what) {
  char reason[256];
  return us_fail(US_IO, "%s: %s cannot be written: %s", out, what,
                 us_hdf5_reason(reason, sizeof(reason)));
}

// h5py's bool: an enumeration of one byte.
static hid_t bool_type(void) {
  hid_t type = H5Tenum_create(H5T_STD_I8LE);
  int8_t value = 0;
  H5Tenum_insert(type, "FALSE", &value);
  value = 1;
  H5Tenum_insert(type, "TRUE", &value);
  return type;
}

// Makes a contiguous column of dims (rank).
static hid_t make_column(hid_t file, const char* name, hid_t type, int rank, const hsize_t* dims) {
  hid_t space = H5Screate_simple(rank, dims, NULL);
  hid_t how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_obj_track_times(how, 0);
  hid_t column = H5Dcreate2(file, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
  H5Pclose(how);
  H5Sclose(space);
  return column;
}

// Writes a whole column from memory of type `memory`.
static UsStatus put_whole(Convert* v, const char* name, hid_t stored, hid_t memory, int rank,
                          const hsize_t* dims, const void* data) {
  hid_t column = make_column(v->file, name, stored, rank, dims);
  if (column < 0) return cannot_write(v->out, name);
  herr_t bad = H5Dwrite(column, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
  return H5Dclose(column) < 0 || bad < 0 ? cannot_write(v->out, name) : US_OK;
}

// Copies frames, (block, H, W, 3) at a time, and writes their checksums.
static UsStatus copy_frames(Convert* v, hid_t pixels, hid_t sums, uint8_t* frames, uint32_t* crc) {
  const UsDatasetInfo* info = us_dataset_info(v->from);
  int64_t block = us_survey_block(v->rows);
  size_t frame = us_column_width(US_COLUMN_PIXELS, info);
  UsProgress bar = us_progress_start("convert", "frames", (double)info->rows, 0);
  for (int64_t first = 0; first < info->rows; first += block) {
    int64_t n = info->rows - first < block ? info->rows - first : block;
    US_TRY(us_progress_step(&bar, (double)first, v->out));
    US_TRY(us_dataset_pixels(v->from, first, n, frames));
    for (int64_t i = 0; i < n; i++) crc[i] = us_crc32c(0, frames + (size_t)i * frame, frame);
    if (us_column_move(pixels, US_COLUMN_PIXELS, first, n, frames, 1) ||
        us_column_move(sums, US_COLUMN_PIXELS_CRC, first, n, crc, 1)) {
      return cannot_write(v->out, "pixels");
    }
  }
  us_progress_end(&bar);
  return US_OK;
}

static UsStatus put_pixels(Convert* v) {
  const UsDatasetInfo* info = us_dataset_info(v->from);
  if (info->height == 0) return US_OK;
  hsize_t dims[4] = {(hsize_t)info->rows, (hsize_t)info->height, (hsize_t)info->width, 3};
  size_t block = (size_t)us_survey_block(v->rows);
  uint8_t* frames = malloc(block * us_column_width(US_COLUMN_PIXELS, info));
  uint32_t* crc = malloc(block * sizeof(*crc));
  hid_t pixels = make_column(v->file, "pixels", H5T_STD_U8LE, 4, dims);
  hid_t sums = make_column(v->file, "pixels_crc", H5T_STD_U32LE, 1, dims);
  UsStatus status = !frames || !crc          ? us_fail(US_MEMORY, "%s: out of memory", v->out)
                    : pixels < 0 || sums < 0 ? cannot_write(v->out, "pixels")
                                             : copy_frames(v, pixels, sums, frames, crc);
  int bad = pixels >= 0 && H5Dclose(pixels) < 0;
  if (sums >= 0 && H5Dclose(sums) < 0) bad = 1;
  if (bad && status == US_OK) status = cannot_write(v->out, "pixels");
  free(frames);
  free(crc);
  return status;
}

static UsStatus put_numbers(Convert* v) {
  const UsDatasetInfo* info = us_dataset_info(v->from);
  hsize_t dims[2] = {(hsize_t)info->rows, (hsize_t)info->action};
  size_t n = (size_t)info->rows * (size_t)info->action;
  float* actions = malloc(n * sizeof(float));
  if (!actions) return us_fail(US_MEMORY, "%s: out of memory", v->out);
  for (size_t i = 0; i < n; i++) actions[i] = us_dataset_actions(v->from)[i] * (float)v->bound;
  UsStatus status = put_whole(v, "action", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, dims, actions);
  free(actions);
  US_TRY(status);
  dims[1] = (hsize_t)info->proprio;
  if (info->proprio) {
    US_TRY(put_whole(v, "proprio", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, dims,
                     us_dataset_proprio(v->from)));
  }
  dims[1] = (hsize_t)info->state;
  US_TRY(put_whole(v, "state", H5T_IEEE_F32LE, H5T_NATIVE_DOUBLE, 2, dims,
                   us_dataset_states(v->from)));
  dims[1] = (hsize_t)info->variation;
  if (info->variation) {
    US_TRY(put_whole(v, "variation", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, dims,
                     us_dataset_variation(v->from)));
  }
  US_TRY(
      put_whole(v, "time", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, dims, us_dataset_times(v->from)));
  hsize_t episodes = (hsize_t)info->episodes;
  US_TRY(put_whole(v, "ep_len", H5T_STD_I32LE, H5T_NATIVE_INT32, 1, &episodes,
                   us_dataset_lengths(v->from)));
  return put_whole(v, "ep_offset", H5T_STD_I64LE, H5T_NATIVE_INT64, 1, &episodes,
                   us_dataset_offsets(v->from));
}

// Columns that are made or copied window by window.
typedef struct Small {
  const char* name;
  hid_t stored, memory;
  hid_t column;
} Small;

static UsStatus put_window(Convert* v, const Small* s, int64_t first, int64_t rows,
                           const void* data) {
  hsize_t start = (hsize_t)first, count = (hsize_t)rows;
  hid_t space = H5Dget_space(s->column), memory = H5Screate_simple(1, &count, NULL);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL);
  herr_t bad = H5Dwrite(s->column, s->memory, memory, space, H5P_DEFAULT, data);
  H5Sclose(memory);
  H5Sclose(space);
  return bad < 0 ? cannot_write(v->out, s->name) : US_OK;
}

static UsStatus put_windows(Convert* v, const Small s[5]) {
  const UsDatasetColumns* c = us_survey_columns(v->rows);
  int64_t first, count;
  int more;
  for (;;) {
    US_TRY(us_survey_next(v->rows, &first, &count, &more));
    if (!more) return US_OK;
    int64_t last = first + count - 1, rows = c->offsets[last] + c->lengths[last] - c->first;
    const void* data[5] = {c->rewards, c->terminated, c->truncated, c->episode_idx, c->step_idx};
    for (int i = 0; i < 5; i++) US_TRY(put_window(v, &s[i], c->first, rows, data[i]));
  }
}

static UsStatus put_small(Convert* v) {
  hsize_t rows = (hsize_t)us_dataset_info(v->from)->rows;
  hid_t flag = bool_type();
  Small s[5] = {{"reward", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, -1},
                {"terminated", flag, flag, -1},
                {"truncated", flag, flag, -1},
                {"episode_idx", H5T_STD_I32LE, H5T_NATIVE_INT32, -1},
                {"step_idx", H5T_STD_I32LE, H5T_NATIVE_INT32, -1}};
  UsStatus status = US_OK;
  for (int i = 0; i < 5 && status == US_OK; i++) {
    s[i].column = make_column(v->file, s[i].name, s[i].stored, 1, &rows);
    if (s[i].column < 0) status = cannot_write(v->out, s[i].name);
  }
  if (status == US_OK) status = put_windows(v, s);
  for (int i = 0; i < 5; i++) {
    if (s[i].column >= 0 && H5Dclose(s[i].column) < 0 && status == US_OK) {
      status = cannot_write(v->out, s[i].name);
    }
  }
  H5Tclose(flag);
  return status;
}

static UsStatus put_attributes(Convert* v) {
  const UsDatasetInfo* info = us_dataset_info(v->from);
  float* bound = malloc((size_t)info->action * sizeof(float));
  if (!bound) return us_fail(US_MEMORY, "%s: out of memory", v->out);
  int bad = us_attribute_write_text(v->file, "task", info->task, sizeof(info->task)) |
            us_attribute_write_text(v->file, "policy", info->policy, sizeof(info->policy)) |
            (info->renderer[0] ? us_attribute_write_text(v->file, "renderer", info->renderer,
                                                         sizeof(info->renderer))
                               : 0) |
            us_attribute_write_variation(v->file, info) |
            us_attribute_write(v->file, "seed", H5T_STD_U64LE, H5T_NATIVE_UINT64, 0, &info->seed) |
            us_attribute_write(v->file, "env_dt", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 0, &info->dt);
  for (int sign = -1; sign <= 1; sign += 2) {
    for (int i = 0; i < info->action; i++) bound[i] = (float)(sign * v->bound);
    bad |= us_attribute_write(v->file, sign < 0 ? "action_low" : "action_high", H5T_IEEE_F32LE,
                              H5T_NATIVE_FLOAT, info->action, bound);
  }
  free(bound);
  return bad ? cannot_write(v->out, "an attribute") : US_OK;
}

static UsStatus write_all(Convert* v) {
  const UsDatasetInfo* info = us_dataset_info(v->from);
  double frames = (double)info->rows * (double)us_column_width(US_COLUMN_PIXELS, info);
  US_TRY(us_machine_need_disk(v->out, frames));
  v->file = us_hdf5_create(v->out);
  if (v->file < 0) return cannot_write(v->out, "the file");
  UsStatus status = put_attributes(v);
  if (status == US_OK) status = put_numbers(v);
  if (status == US_OK) status = put_small(v);
  if (status == US_OK) status = put_pixels(v);
  if (H5Fclose(v->file) < 0 && status == US_OK) status = cannot_write(v->out, "the file");
  return status;
}

static UsStatus convert_all(const char* path, const char* out, double bound, int overwrite,
                            char left[US_LEFT_CHARS]) {
  US_TRY(check_target(path, out, overwrite));
  char* temporary = NULL;
  if (asprintf(&temporary, "%s.tmp", out) < 0) return us_fail(US_MEMORY, "out of memory");
  Convert v = {.out = temporary, .file = -1, .bound = bound > 0 ? bound : 1};
  UsStatus status = us_dataset_open(path, &v.from);
  if (status == US_OK) status = us_survey_open(path, NULL, &v.rows);
  if (status == US_OK) {
    snprintf(left, US_LEFT_CHARS, "%s", us_survey_left(v.rows));
    status = write_all(&v);
    if (status == US_OK && rename(temporary, out) != 0) {
      status = us_fail(US_IO, "%s: cannot be written: %s", out, strerror(errno));
    }
    if (status != US_OK) unlink(temporary);
  }
  us_survey_close(v.rows);
  us_dataset_close(v.from);
  free(temporary);
  return status;
}

UsStatus us_dataset_convert(const char* path, const char* out, double bound, int overwrite,
                            char left[US_LEFT_CHARS]) {
  UsLock* lock;
  left[0] = 0;
  US_TRY(refuse_folder(path));
  US_TRY(us_lock_take(out, &lock));
  UsStatus status = convert_all(path, out, bound, overwrite, left);
  us_lock_release(lock);
  return status;
}
