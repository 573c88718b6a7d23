#define _GNU_SOURCE
#include "datasets/exchange.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/files/dataset_reader.h"
#include "datasets/files/dataset_writer.h"
#include "datasets/files/foreign_frames.h"
#include "datasets/files/output.h"
#include "worldmodel/base/progress.h"

#define US_SETTING_OF UsImport
const UsSetting us_import_settings[] = {US_IMPORT_SETTINGS(US_SETTING_ROW) US_SETTING_END};

// One transfer, to us or from us: the reader of a file, a writer, and room for one episode.
typedef struct Transfer {
  const char* path;
  const UsImport* config;  // NULL: to other programs
  double exchange;         // then, the bounds of their actions
  double told;             // seconds between rows, 0: by the file
  UsDataset* from;
  UsDatasetWriter* to;
  UsDatasetInfo info;               // of what is written
  int longest;                      // rows of an episode
  float *shift, *scale;             // (A) action' = (action - shift) / scale
  uint8_t* pixels;                  // (longest, H, W, 3)
  float* actions;                   // (longest, A)
  double* states;                   // (longest, S)
  double* times;                    // (longest)
  float* rewards;                   // (longest)
  uint8_t *terminated, *truncated;  // (longest)
  UsImportNotes* notes;
} Transfer;

// DINO-WM keeps a folder with states.pth, actions.pth and a file of frames per episode.
int us_torch_folder(const char* path) {
  DIR* folder = opendir(path);
  int torch = 0;
  for (struct dirent* e; folder && (e = readdir(folder));) {
    const char* ending = strrchr(e->d_name, '.');
    torch |= (ending && strcmp(ending, ".pth") == 0) || strcmp(e->d_name, "obses") == 0;
  }
  if (folder) closedir(folder);
  return torch;
}

static UsStatus refuse_folder(const char* path) {
  struct stat found;
  if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode)) return US_OK;
  if (!us_torch_folder(path))
    return us_fail(US_FORMAT, "%s: expected an HDF5 file, found a folder", path);
  return us_fail(US_FORMAT,
                 "%s: expected an HDF5 file, found a folder of PyTorch files as DINO-WM writes "
                 "them; understudy import dinowm of the Python package reads it",
                 path);
}

// Takes the memory of one episode and says what the new file is.
static UsStatus make_room(Transfer* m) {
  const UsDatasetInfo* from = &m->from->info;
  const UsDatasetColumns* c = &m->from->c;
  m->info = *from;
  for (int64_t e = 0; e < from->episodes; e++) {
    if (c->ep_len[e] > m->longest) m->longest = c->ep_len[e];
  }
  // Frames and actions are changed or read anew both ways.
  size_t n = (size_t)m->longest;
  m->pixels = calloc(n, us_column_width(US_COLUMN_PIXELS, from) + 1);
  m->actions = calloc(n, (size_t)from->action * sizeof(float) + 1);
  if (!m->pixels || !m->actions) {
    return us_fail(US_MEMORY, "%s: out of memory for its longest episode", m->path);
  }
  if (!m->config) return US_OK;
  // What an import makes up or leaves out.
  m->info.diverged[0] = 0;
  m->info.state = from->state ? from->state : from->proprio ? from->proprio : 1;
  snprintf(m->info.task, sizeof(m->info.task), "%s", m->config->task ? m->config->task : "film");
  snprintf(m->info.version, sizeof(m->info.version), "import");
  if (!m->info.policy[0]) snprintf(m->info.policy, sizeof(m->info.policy), "imported");
  m->states = calloc(n, (size_t)m->info.state * sizeof(double));
  m->times = calloc(n, sizeof(double));
  m->rewards = calloc(n, sizeof(float));
  m->terminated = calloc(n, 1);
  m->truncated = calloc(n, 1);
  if (!m->states || !m->times || !m->rewards || !m->terminated || !m->truncated) {
    return us_fail(US_MEMORY, "%s: out of memory for its longest episode", m->path);
  }
  // How the file's actions become numbers in [-1, 1]: by the bound that is asked for or by the
  // recorded bounds.
  m->shift = calloc((size_t)from->action + 1, sizeof(float));
  m->scale = calloc((size_t)from->action + 1, sizeof(float));
  if (!m->shift || !m->scale) return us_fail(US_MEMORY, "%s: out of memory", m->path);
  for (int i = 0; i < from->action; i++) {
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

// Scales an episode's actions; behind its last row no action follows.
static UsStatus scale_actions(Transfer* m, int64_t episode, int64_t at, int rows) {
  const UsDatasetColumns* c = &m->from->c;
  int width = m->info.action;
  for (int i = 0; i < rows * width; i++) {
    float x = (c->action[at * width + i] - m->shift[i % width]) / m->scale[i % width];
    if (fabsf(x) > 1 + 1e-6f) {
      return us_fail(US_FORMAT,
                     "%s: action, row %lld (episode %lld): expected a number in [%g, %g], found "
                     "%g; --bound says how large actions are",
                     m->path, (long long)(c->first + at + i / width), (long long)episode,
                     (double)(m->shift[i % width] - m->scale[i % width]),
                     (double)(m->shift[i % width] + m->scale[i % width]),
                     (double)c->action[at * width + i]);
    }
    // What a last row has instead of an action is counted, not kept.
    int last = i / width == rows - 1;
    if (last && i % width == 0) m->notes->actions += isfinite(x) != 0;
    m->actions[i] = last ? NAN : x;
  }
  return US_OK;
}

// Takes what an episode of another program has and makes up what it has not.
static UsStatus make_up(Transfer* m, int64_t e, int64_t at, int rows) {
  const UsDatasetColumns* c = &m->from->c;
  US_TRY(scale_actions(m, e, at, rows));
  // States are the file's, or its proprio, or a 0 where it has neither.
  size_t n = (size_t)rows * (size_t)m->info.state, from = (size_t)at * (size_t)m->info.state;
  for (size_t i = 0; i < n; i++) {
    m->states[i] = c->state ? c->state[from + i] : c->proprio ? (double)c->proprio[from + i] : 0;
  }
  for (int t = 0; t < rows; t++) {
    m->times[t] = c->time ? c->time[at + t] : t * m->info.dt;
    int known = c->reward && isfinite(c->reward[at + t]);
    if (c->reward && !known && t > 0) m->notes->rewards++;
    m->rewards[t] = known ? c->reward[at + t] : 0;
    m->terminated[t] = c->terminated ? c->terminated[at + t] : 0;
    m->truncated[t] = c->truncated ? c->truncated[at + t] : t == rows - 1;
  }
  return US_OK;
}

// What stands in for the columns that a file has not.
static void note_made(Transfer* m) {
  const UsDatasetColumns* c = &m->from->c;
  const struct {
    int there;
    const char* text;
  } all[] = {{c->state != NULL, c->proprio ? "state (proprio)" : "state (0)"},
             {c->reward != NULL, "reward (0)"},
             {c->terminated != NULL, "terminated (0)"},
             {c->truncated != NULL, "truncated (1 in last rows)"},
             {c->time != NULL, "time (equal steps)"}};
  char* text = m->notes->made;
  if (m->from->episodes_by[0]) {
    snprintf(text, US_LEFT_CHARS, "episodes (%s)", m->from->episodes_by);
  }
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
    size_t n = strlen(text);
    if (!all[i].there) {
      snprintf(text + n, US_LEFT_CHARS - n, "%s%s", n ? ", " : "", all[i].text);
    }
  }
}

// Writes an episode of another program as one of ours, or one of ours for another program.
static UsStatus move_episode(Transfer* m, int64_t e) {
  const UsDatasetColumns* c = &m->from->c;
  const UsDatasetInfo* info = &m->info;
  int64_t at = c->ep_offset[e] - c->first;
  int rows = c->ep_len[e];
  const int import = m->config != NULL;
  if (import) US_TRY(make_up(m, e, at, rows));
  // Of ours only the actions become others.
  for (int i = 0; !import && i < rows * info->action; i++) {
    m->actions[i] = c->action[at * info->action + i] * (float)m->exchange;
  }
  if (info->height) US_TRY(us_dataset_pixels(m->from, c->ep_offset[e], rows, m->pixels));
  UsEpisode episode = {.rows = rows,
                       .pixels = m->pixels,
                       .actions = m->actions,
                       .proprio = c->proprio ? c->proprio + at * info->proprio : NULL,
                       .states = import ? m->states : c->state + at * info->state,
                       .rewards = import ? m->rewards : c->reward + at,
                       .terminated = import ? m->terminated : c->terminated + at,
                       .truncated = import ? m->truncated : c->truncated + at,
                       .times = import ? m->times : c->time + at,
                       .variation = c->variation ? c->variation + at * info->variation : NULL};
  return us_dataset_append(m->to, &episode);
}

// Reads window by window and writes episode by episode.
static UsStatus transfer_all(Transfer* m, const char* out) {
  int64_t first, count, episodes = m->from->info.episodes;
  int more;
  US_TRY(us_reader_next(m->from, &first, &count, &more));  // sees the times of the first rows
  // Time between rows: recorded, that of the file's first two rows, or, where the file is silent,
  // what was told.
  const UsDatasetColumns* c = &m->from->c;
  double *dt = &m->info.dt, told = m->told;
  if (*dt <= 0 && c->time && c->ep_len[0] > 1) *dt = c->time[1] - c->time[0];
  if (told > 0 && *dt > 0 && fabs(told - *dt) > 0.01 * *dt) {
    return us_fail(
        US_USAGE,
        "%s: expected --dt or --fps of %g s, which the file says is between its rows, or "
        "none, found %g s",
        m->path, *dt, told);
  }
  if (told > 0) *dt = told;
  if (m->config && !(*dt > 0)) {
    return us_fail(US_USAGE,
                   "%s: the file does not say the time between its rows; expected --dt or --fps",
                   m->path);
  }
  // The file's sizes are known now, so the new one gets just the room that it needs.
  US_TRY(us_writer_create(out, &m->info, episodes, m->info.rows, m->longest, m->exchange, 1, NULL,
                          &m->to));
  UsProgress bar =
      us_progress_start(m->config ? "import" : "convert", "episodes", (double)episodes, 0);
  UsStatus status = US_OK;
  while (more && status == US_OK) {
    for (int64_t e = first; e < first + count && status == US_OK; e++) {
      status = move_episode(m, e);
      if (status == US_OK) status = us_progress_step(&bar, (double)(e + 1), out);
    }
    if (status == US_OK) status = us_reader_next(m->from, &first, &count, &more);
  }
  us_progress_end(&bar);
  return status;
}

// Everything that both directions do. *verdict: what was read.
static UsStatus transfer(Transfer* m, const char* path, int overwrite, UsVerdict* verdict) {
  UsOutput out;
  const char* const inputs[] = {m->path, NULL};
  memset(verdict, 0, sizeof(*verdict));
  US_TRY(refuse_folder(m->path));
  UsStatus status = us_output_begin(path, inputs, overwrite, &out);
  if (status == US_OK) {
    status =
        us_reader_open(m->path, m->config, m->config ? US_STRICT_NONE : US_STRICT_ALL, &m->from);
  }
  if (status == US_OK) {
    // What was read is told even when writing fails.
    verdict->info = m->from->info;
    verdict->ours = m->from->ours;
    snprintf(verdict->writer, sizeof(verdict->writer), "%s", m->from->writer);
    snprintf(verdict->left, sizeof(verdict->left), "%s", m->from->left);
    if (m->config) note_made(m);
    if (m->from->foreign) {
      snprintf(m->notes->frames, sizeof(m->notes->frames), "%s",
               us_foreign_frames_text(m->from->foreign));
    }
    if (m->config && !m->config->task && m->from->info.action) {
      status = us_fail(US_USAGE, "%s: expected --task, what its trajectories are of", m->path);
    }
  }
  if (status == US_OK) {
    status = make_room(m);
    if (status == US_OK) {
      status = transfer_all(m, out.part);
      status = us_output_close(&out, m->to, status);
    }
    if (status == US_OK) status = us_output_place(&out);
  }
  us_output_end(&out);
  // Half of the room may be there.
  void* own[] = {m->shift, m->scale,   m->pixels,     m->actions,  m->states,
                 m->times, m->rewards, m->terminated, m->truncated};
  for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) free(own[i]);
  us_dataset_close(m->from);
  return status;
}

UsStatus us_import_step(const UsImport* c, double* seconds) {
  if (c->fps > 0 && c->dt > 0) return us_fail(US_USAGE, "expected --fps or --dt, found both");
  if (c->fps > 0 && c->fps < 1e-3) {
    return us_fail(US_USAGE, "--fps: expected a number from 0.001 to 1000, found %g", c->fps);
  }
  *seconds = c->fps > 0 ? 1 / c->fps : c->dt;
  return US_OK;
}

UsStatus us_dataset_import(const char* path, const char* out, const UsImport* config,
                           UsVerdict* verdict, UsImportNotes* notes) {
  Transfer m = {.path = path, .config = config, .notes = notes};
  memset(notes, 0, sizeof(*notes));
  US_TRY(us_settings_check(us_import_settings, config));
  US_TRY(us_import_step(config, &m.told));
  if (config->keep_damaged) {
    return us_fail(US_USAGE, "--keep-damaged is for film, not for HDF5 files");
  }
  return transfer(&m, out, config->overwrite, verdict);
}

UsStatus us_dataset_convert(const char* path, const char* out, double bound, int overwrite,
                            char left[US_LEFT_CHARS]) {
  Transfer m = {.path = path, .exchange = bound > 0 ? bound : 1};
  UsVerdict verdict;
  UsStatus status = transfer(&m, out, overwrite, &verdict);
  snprintf(left, US_LEFT_CHARS, "%s", verdict.left);
  return status;
}
