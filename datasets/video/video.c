// us_video_import: decoded frames go to a file without a name until it is known how many there are,
// then into a dataset of just that size.

#define _GNU_SOURCE
#include "datasets/video.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/files/dataset_reader.h"
#include "datasets/files/dataset_writer.h"
#include "datasets/files/output.h"
#include "datasets/video/video_reader.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"

enum { kSize = 64, kSteps = 500, kPath = 4096 };
static const double uneven = 1.5;  // longest to shortest step of a clip whose steps are not equal

typedef struct Import {
  const char* out;
  const UsImport* config;
  UsVideoNotes* notes;
  UsVideoAsk ask;
  int steps;       // rows of an episode at most
  size_t bytes;    // of a frame
  int spool;       // frames, one behind the other
  uint8_t* frame;  // (size, size, 3)
  // Rows and episodes so far.
  int64_t rows, episodes, room_rows, room_episodes;
  double* times;      // (rows)
  int32_t* lengths;   // (episodes)
  int run, longest;   // rows of the episode that is open, of the longest
  double seconds;     // between rows of episodes, all together
  int64_t gaps;       // how many of them
  UsVideoStory last;  // of the clip before
  UsOutput file;
} Import;

// ---- what is film ----

int us_video_is(const char* path) {
  static const char signature[8] = "\x89HDF\r\n\x1a\n";
  static const char* const others[] = {".h5", ".hdf5", ".pth", ".pt", ".npz", ".zip", ".pkl"};
  struct stat found;
  if (stat(path, &found) == 0 && S_ISDIR(found.st_mode)) return !us_torch_folder(path);
  const char* dot = strrchr(path, '.');
  for (size_t i = 0; dot && i < sizeof(others) / sizeof(*others); i++) {
    if (strcmp(dot, others[i]) == 0) return 0;
  }
  // HDF5 may stand behind a block of the user's.
  int fd = open(path, O_RDONLY | O_CLOEXEC), film = 1;
  for (off_t at = 0; fd >= 0 && at <= 1 << 16; at = at ? 2 * at : 512) {
    char head[8];
    film &= pread(fd, head, sizeof(head), at) != 8 || memcmp(head, signature, 8) != 0;
  }
  if (fd >= 0) close(fd);
  return film;
}

// ---- settings ----

// What is asked of every clip.
static UsStatus settle(Import* m) {
  const UsImport* c = m->config;
  US_TRY(us_settings_check(us_import_settings, c));
  if (c->bound > 0 || c->range || c->layout || c->action || c->pixels || c->proprio || c->state ||
      c->repair) {
    return us_fail(
        US_USAGE,
        "--bound, --range, --layout, --action, --pixels, --proprio, --state and --repair "
        "are for HDF5 files, not for film");
  }
  US_TRY(us_import_step(c, &m->ask.step));
  m->ask.size = c->size ? c->size : kSize;
  m->steps = c->steps ? c->steps : kSteps;
  return us_fit_read(c->fit, c->crop, &m->ask.fit, m->ask.crop);
}

// ---- clips ----

// Doubles the room of an array of `count` items when it is full.
static UsStatus grow(void** items, int64_t count, int64_t* room, size_t size) {
  if (count < *room) return US_OK;
  int64_t more = *room ? 2 * *room : 1024;
  void* larger = realloc(*items, (size_t)more * size);
  if (!larger) return us_fail(US_MEMORY, "out of memory for %lld rows", (long long)more);
  *items = larger;
  *room = more;
  return US_OK;
}

// What was read since the last end is an episode.
static UsStatus end_episode(Import* m) {
  if (m->run == 0) return US_OK;
  US_TRY(grow((void**)&m->lengths, m->episodes, &m->room_episodes, sizeof(*m->lengths)));
  m->lengths[m->episodes++] = m->run;
  if (m->run > m->longest) m->longest = m->run;
  m->run = 0;
  return US_OK;
}

// Adds the frame in m->frame.
static UsStatus add_row(Import* m, double time) {
  if (m->run == m->steps) US_TRY(end_episode(m));
  US_TRY(grow((void**)&m->times, m->rows, &m->room_rows, sizeof(*m->times)));
  if (m->run > 0) {
    m->seconds += time - m->times[m->rows - 1];
    m->gaps++;
  }
  m->times[m->rows++] = time;
  m->run++;
  for (size_t done = 0; done < m->bytes;) {
    ssize_t n = write(m->spool, m->frame + done, m->bytes - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return us_fail(US_IO, "%s: cannot be written: %s", m->out, strerror(errno));
    done += (size_t)n;
  }
  return US_OK;
}

// Says once what becomes of pictures of one size.
static void tell_part(Import* m, const char* path, const UsVideoStory* s) {
  const UsVideoStory* l = &m->last;
  const int *c = s->crop, *p = s->place, n = m->ask.size;
  int same = l->width == s->width && l->height == s->height && l->turn == s->turn &&
             memcmp(l->crop, c, sizeof(s->crop)) == 0;
  m->last = *s;
  if (same || s->width == 0) return;
  char turned[48] = "", within[64] = "";
  if (p[0] != n || p[1] != n)
    snprintf(within, sizeof(within), " within %d x %d, black around", n, n);
  if (s->turn) snprintf(turned, sizeof(turned), ", turned by %d degrees as it says", s->turn);
  us_log("%s: of %d x %d pixels the part %d:%d:%d:%d becomes %d x %d%s%s%s", path, s->width,
         s->height, c[0], c[1], c[2], c[3], p[0], p[1], within, turned,
         m->ask.fit == US_FIT_STRETCH && c[0] != c[1] ? ", squeezed, since it is no square" : "");
}

// Damage is refused, or noted where it is to be kept.
static UsStatus judge_damage(Import* m, const char* path, const UsVideoStory* s, int64_t rows) {
  char what[US_LEFT_CHARS];
  if (s->faults == 0) return US_OK;
  snprintf(what, sizeof(what),
           "%s: expected a whole film, found damage at %.2f s, behind %lld rows: %s", path,
           s->fault_time, (long long)rows, s->fault);
  if (!m->config->keep_damaged) {
    return us_fail(US_FORMAT, "%s; --keep-damaged keeps what can be read", what);
  }
  if (!m->notes->damage[0]) snprintf(m->notes->damage, sizeof(m->notes->damage), "%s", what);
  return US_OK;
}

// Adds all rows of an open clip.
static UsStatus read_clip(Import* m, const char* path, UsVideo* v, UsProgress* bar, int clip) {
  const UsVideoStory* s = us_video_story(v);
  UsVideoNotes* notes = m->notes;
  int64_t before = m->rows;
  double time;
  UsVideoNext next;
  do {
    US_TRY(us_video_next(v, m->frame, &time, &next));
    if (next == US_VIDEO_FRAME && m->rows == before) tell_part(m, path, s);
    if (next == US_VIDEO_FRAME) US_TRY(add_row(m, time));
    if (next != US_VIDEO_FRAME) US_TRY(end_episode(m));
    if (next == US_VIDEO_CUT) US_TRY(judge_damage(m, path, s, m->rows - before));
    if ((m->rows & 15) == 0) {
      double part = s->seconds > 0 ? fmin(time / s->seconds, 1) : 0;
      US_TRY(us_progress_step(bar, clip + part, path));
    }
  } while (next != US_VIDEO_END);
  // What is known at the end.
  notes->pictures += s->pictures;
  notes->repeated += s->repeated;
  notes->dropped += s->dropped;
  notes->clips += m->rows > before;
  notes->damaged += s->faults > 0;
  if (s->low > 0 && s->high > uneven * s->low && notes->irregular++ == 0) {
    notes->low = s->low;
    notes->high = s->high;
  }
  if (m->rows > before || s->faults > 0) return US_OK;
  return us_fail(US_FORMAT, "%s: expected pictures, found none", path);
}

static UsStatus read_path(Import* m, const char* path, UsProgress* bar, int clip) {
  struct stat found;
  if (stat(path, &found) != 0) {
    return us_fail(US_IO, "%s: cannot be opened: %s", path, strerror(errno));
  }
  if (S_ISDIR(found.st_mode) && !(m->ask.step > 0)) {
    return us_fail(US_USAGE, "%s: pictures in a folder have no times; expected --fps or --dt",
                   path);
  }
  if (S_ISREG(found.st_mode) && found.st_size == 0) {
    return us_fail(US_FORMAT, "%s: expected a film, found an empty file", path);
  }
  UsVideo* v;
  US_TRY(us_video_open(path, &m->ask, &v));
  UsStatus status = read_clip(m, path, v, bar, clip);
  us_video_close(v);
  return status;
}

// Reads all clips; one that cannot be read at all ends it, or is left out where damage is kept.
static UsStatus read_all(Import* m, const char* const* paths) {
  int count = 0;
  while (paths[count]) count++;
  UsProgress bar = us_progress_start("import", "clips", count, 0);
  UsStatus status = US_OK;
  for (int i = 0; i < count && status == US_OK; i++) {
    status = read_path(m, paths[i], &bar, i);
    if (status != US_FORMAT || !m->config->keep_damaged) continue;
    status = end_episode(m);
    m->notes->skipped++;
    if (!m->notes->damage[0]) {
      snprintf(m->notes->damage, sizeof(m->notes->damage), "%s", us_message());
    }
  }
  us_progress_end(&bar);
  if (status == US_OK && m->rows == 0) {
    return us_fail(US_FORMAT, "%s", m->notes->damage[0] ? m->notes->damage : "no film was named");
  }
  return status;
}

// ---- the dataset ----

// Appends the episodes from the spool.
static UsStatus write_episodes(Import* m, UsDatasetWriter* w) {
  size_t n = (size_t)m->longest;
  US_TRY(us_machine_need_memory(m->out, (double)n * (double)m->bytes));
  uint8_t *pixels = malloc(n * m->bytes), *flags = calloc(2 * n, 1);
  float* rewards = calloc(n, sizeof(*rewards));
  double* states = calloc(n, sizeof(*states));
  UsStatus status = pixels && flags && rewards && states
                        ? US_OK
                        : us_fail(US_MEMORY, "%s: out of memory for an episode", m->out);
  int64_t row = 0;
  for (int64_t e = 0; e < m->episodes && status == US_OK; e++) {
    size_t rows = (size_t)m->lengths[e];
    for (size_t at = 0, all = rows * m->bytes; at < all && status == US_OK;) {
      ssize_t got = pread(m->spool, pixels + at, all - at, (off_t)((size_t)row * m->bytes + at));
      if (got > 0) at += (size_t)got;
      if (got > 0 || (got < 0 && errno == EINTR)) continue;
      status = us_fail(US_IO, "%s: frames cannot be read back", m->out);
    }
    // Nothing is known but frames and times; the last row is where the clip was cut.
    flags[n + rows - 1] = 1;
    const UsEpisode episode = {.rows = (int)rows,
                               .pixels = pixels,
                               .states = states,
                               .rewards = rewards,
                               .terminated = flags,
                               .truncated = flags + n,
                               .times = m->times + row};
    if (status == US_OK) status = us_dataset_append(w, &episode);
    if (status == US_OK) status = us_interrupt_check(m->out);
    flags[n + rows - 1] = 0;
    row += m->lengths[e];
  }
  free(pixels);
  free(flags);
  free(rewards);
  free(states);
  return status;
}

static UsStatus write_dataset(Import* m) {
  const UsImport* c = m->config;
  UsDatasetInfo info = {.version = "import",
                        .policy = "film",
                        .camera = "film",
                        .height = m->ask.size,
                        .width = m->ask.size,
                        .state = 1,
                        .dt = m->notes->dt};
  snprintf(info.task, sizeof(info.task), "%s", c->task ? c->task : "film");
  UsDatasetWriter* w;
  US_TRY(us_writer_create(m->file.part, &info, m->episodes, m->rows, m->longest, 0, 1, NULL, &w));
  UsStatus status = us_output_close(&m->file, w, write_episodes(m, w));
  return status == US_OK ? us_output_place(&m->file) : status;
}

// ---- the job ----

// Opens the spool, which has no name once it is open and ends with this process.
static UsStatus open_spool(Import* m) {
  char path[kPath + 8];
  snprintf(path, sizeof(path), "%s.XXXXXX", m->out);
  m->spool = mkostemp(path, O_CLOEXEC);
  if (m->spool < 0) return us_fail(US_IO, "%s: cannot be created: %s", m->out, strerror(errno));
  unlink(path);
  m->bytes = (size_t)m->ask.size * (size_t)m->ask.size * 3;
  m->frame = malloc(m->bytes);
  return m->frame ? US_OK : us_fail(US_MEMORY, "%s: out of memory", m->out);
}

UsStatus us_video_import(const char* const* paths, const char* out, const UsImport* config,
                         UsVideoNotes* notes) {
  Import m = {.out = out, .config = config, .notes = notes, .spool = -1};
  memset(notes, 0, sizeof(*notes));
  US_TRY(settle(&m));
  US_TRY(us_folder_check(out));
  // Clips to the spool, the spool to the dataset.
  UsStatus status = us_output_begin(out, paths, config->overwrite, &m.file);
  if (status == US_OK) status = open_spool(&m);
  if (status == US_OK) status = read_all(&m, paths);
  notes->episodes = m.episodes;
  notes->rows = m.rows;
  notes->dt = m.ask.step > 0 ? m.ask.step : m.gaps > 0 ? m.seconds / (double)m.gaps : 0;
  if (status == US_OK && !(notes->dt > 0)) {
    status = us_fail(US_FORMAT, "%s: expected film of at least two pictures", paths[0]);
  }
  if (status == US_OK) status = write_dataset(&m);
  if (m.spool >= 0) close(m.spool);
  free(m.frame);
  free(m.times);
  free(m.lengths);
  us_output_end(&m.file);
  return status;
}
