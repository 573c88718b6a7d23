// Every edit is a list of episodes to be taken, one for each output, from files that are alike.

#define _GNU_SOURCE
#include "datasets/edit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/files/dataset_reader.h"
#include "datasets/files/dataset_writer.h"
#include "datasets/files/output.h"
#include "datasets/provenance.h"
#include "datasets/robots.h"
#include "env/gl.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"

// An episode of a file.
typedef struct Pick {
  UsDataset* from;
  int64_t episode;
} Pick;

typedef struct Target {
  UsOutput out;
  UsDatasetInfo info;
  Pick* picks;  // (count)
  int64_t count;
} Target;

typedef struct Edit {
  const char* job;           // "merge"
  const char* const* paths;  // (files) and a NULL
  int files;
  UsDataset** from;  // (files)
  Target target[2];
  int targets;
  char* sources;    // of all files, each line once
  UsRobot robot;    // that all are of; empty: none keeps it
  uint8_t* pixels;  // (rows of the longest episode, H, W, 3)
  int64_t done;
} Edit;

// ---- opening ----

// All rows in memory, with what training does not ask for.
static UsStatus open_file(const char* path, UsDataset** out) {
  int64_t first, count;
  int more;
  US_TRY(us_reader_open(path, NULL, US_STRICT_ALL, out));
  UsDataset* d = *out;
  US_TRY(us_reader_next(d, &first, &count, &more));
  if (d->left[0]) us_log("%s: not taken over: %s", path, d->left);
  // A file that does not say its time step shows it.
  if (!(d->info.dt > 0) && d->info.rows > 1) d->info.dt = d->c.time[1] - d->c.time[0];
  return US_OK;
}

// Adds the lines of a file's sources that are not there yet.
static UsStatus add_sources(Edit* e, UsDataset* d) {
  char *text, *rest = NULL, *grown;
  US_TRY(us_provenance_sources(d, &text));
  UsStatus status = US_OK;
  for (char* line = strtok_r(text, "\n", &rest); line && status == US_OK;
       line = strtok_r(NULL, "\n", &rest)) {
    const char* known = e->sources ? e->sources : "";
    const char* at = strstr(known, line);
    if (at && (at == known || at[-1] == '\n') && at[strlen(line)] == '\n') continue;
    if (strlen(known) + strlen(line) + 2 > US_SOURCES_BYTES) {
      status = us_fail(US_FORMAT, "%s: expected at most %d bytes to name the sources, found more",
                       d->path, (int)US_SOURCES_BYTES);
    } else if (asprintf(&grown, "%s%s\n", known, line) < 0) {
      status = us_fail(US_MEMORY, "%s: out of memory", d->path);
    } else {
      free(e->sources);
      e->sources = grown;
    }
  }
  free(text);
  return status;
}

// Episode N on of a file is drawn by whatever the last "; from episode N: " before it says.
static void renderer_of(const UsDatasetInfo* info, int64_t episode, char out[512]) {
  static const char from[] = "; from episode ";
  const char *at = info->renderer, *next = strstr(at, from), *name;
  while (next && strtoll(next + strlen(from), NULL, 10) <= episode &&
         (name = strstr(next + 1, ": "))) {
    at = name + 2;
    next = strstr(at, from);
  }
  snprintf(out, 512, "%.*s", (int)(next ? next - at : (ptrdiff_t)strlen(at)), at);
}

// ---- what goes together ----

static UsStatus differ(const UsDataset* a, const UsDataset* b, const char* what, const char* x,
                       const char* y) {
  return us_fail(US_FORMAT, "%s: %s: expected \"%s\" as in %s, found \"%s\"", b->path, what, x,
                 a->path, y);
}

static UsStatus check_alike(const UsDataset* a, const UsDataset* b) {
  const UsDatasetInfo *x = &a->info, *y = &b->info;
  const struct {
    const char *name, *x, *y;
  } text[] = {{"task", x->task, y->task},
              {"camera", x->camera, y->camera},
              {"camera_pose", x->camera_pose, y->camera_pose},
              {"variation", x->variation_names, y->variation_names},
              {"range of the variation", x->variation_range, y->variation_range}};
  for (size_t i = 0; i < sizeof(text) / sizeof(*text); i++) {
    if (strcmp(text[i].x, text[i].y) != 0) return differ(a, b, text[i].name, text[i].x, text[i].y);
  }
  const struct {
    const char* name;
    int x, y;
  } number[] = {{"height of frames", x->height, y->height},
                {"width of frames", x->width, y->width},
                {"numbers of an action", x->action, y->action},
                {"numbers of proprio", x->proprio, y->proprio},
                {"numbers of a state", x->state, y->state}};
  for (size_t i = 0; i < sizeof(number) / sizeof(*number); i++) {
    if (number[i].x == number[i].y) continue;
    return us_fail(US_FORMAT, "%s: %s: expected %d as in %s, found %d", b->path, number[i].name,
                   number[i].x, a->path, number[i].y);
  }
  if (fabs(x->dt - y->dt) > 1e-6 * x->dt) {
    return us_fail(US_FORMAT, "%s: expected rows %g s apart as in %s, found %g s", b->path, x->dt,
                   a->path, y->dt);
  }
  // Versions of one renderer differ a little, kinds do not mix.
  char drawn[2][512];
  renderer_of(x, 0, drawn[0]);
  renderer_of(y, 0, drawn[1]);
  if (!drawn[0][0] || !drawn[1][0] || us_gl_same(drawn[0], drawn[1])) return US_OK;
  return differ(a, b, "renderer", drawn[0], drawn[1]);
}

// Opens all files and says what an output of any of their episodes is.
static UsStatus open_files(Edit* e, UsDatasetInfo* info) {
  int longest = 0;
  e->from = calloc((size_t)e->files, sizeof(UsDataset*));
  if (!e->from) return us_fail(US_MEMORY, "out of memory for %d files", e->files);
  for (int i = 0; i < e->files; i++) {
    UsDataset** d = &e->from[i];
    US_TRY(open_file(e->paths[i], d));
    const UsDatasetInfo* found = &(*d)->info;
    if (i == 0) *info = *found;
    US_TRY(check_alike(e->from[0], *d));
    US_TRY(add_sources(e, *d));
    // What the files do not agree upon.
    if (strcmp(info->policy, found->policy) != 0) snprintf(info->policy, 64, "several");
    if (info->seed != found->seed) info->seed = 0;
    if (strcmp(info->diverged, found->diverged) != 0) info->diverged[0] = 0;
    if (strcmp(found->version, "import") == 0) snprintf(info->version, 64, "import");
    if (!info->version[0]) snprintf(info->version, 64, US_VERSION);
    for (int64_t k = 0; k < found->episodes; k++) {
      if ((*d)->c.ep_len[k] > longest) longest = (*d)->c.ep_len[k];
    }
  }
  // The robot of all is in one of them.
  for (int i = 0; i < e->files && e->robot.count == 0; i++) {
    if (us_data_robot(e->paths[i], &e->robot) != US_OK) us_log("%s", us_message());
  }
  if (e->robot.count) info->robot = &e->robot;
  e->pixels = malloc((size_t)longest * us_column_width(US_COLUMN_PIXELS, info) + 1);
  return e->pixels ? US_OK : us_fail(US_MEMORY, "out of memory for the longest episode");
}

// ---- writing ----

static UsStatus take(Target* t, UsDataset* from, int64_t episode) {
  Pick* grown = realloc(t->picks, (size_t)(t->count + 1) * sizeof(*grown));
  if (!grown) return us_fail(US_MEMORY, "%s: out of memory", from->path);
  t->picks = grown;
  t->picks[t->count++] = (Pick){from, episode};
  return US_OK;
}

// What drew which of the new file's episodes, as far as there is room to say.
static void name_renderer(Target* t) {
  char last[512] = "", now[512], more[640];
  t->info.renderer[0] = 0;
  for (int64_t i = 0; i < t->count; i++) {
    renderer_of(&t->picks[i].from->info, t->picks[i].episode, now);
    if (!now[0]) snprintf(now, sizeof(now), "(not said)");
    if (strcmp(now, last) == 0) continue;
    snprintf(more, sizeof(more), "; from episode %lld: %s", (long long)i, now);
    if (i == 0) snprintf(more, sizeof(more), "%s", now);
    size_t n = strlen(t->info.renderer), room = sizeof(t->info.renderer);
    if (n + strlen(more) + 16 > room) {
      snprintf(t->info.renderer + n, room - n, "; and others");
      return;
    }
    memcpy(t->info.renderer + n, more, strlen(more) + 1);
    memcpy(last, now, sizeof(last));
  }
  if (strcmp(t->info.renderer, "(not said)") == 0) t->info.renderer[0] = 0;
}

static UsStatus copy_episode(Edit* e, const Pick* pick, UsDatasetWriter* w) {
  UsDataset* d = pick->from;
  const UsDatasetColumns* c = &d->c;
  const UsDatasetInfo* info = &d->info;
  int64_t at = c->ep_offset[pick->episode];
  int rows = c->ep_len[pick->episode];
  if (info->height) US_TRY(us_dataset_pixels(d, at, rows, e->pixels));
  UsEpisode episode = {.rows = rows,
                       .pixels = e->pixels,
                       .actions = c->action ? c->action + at * info->action : NULL,
                       .proprio = c->proprio ? c->proprio + at * info->proprio : NULL,
                       .states = c->state + at * info->state,
                       .rewards = c->reward + at,
                       .terminated = c->terminated + at,
                       .truncated = c->truncated + at,
                       .times = c->time + at,
                       .variation = c->variation ? c->variation + at * info->variation : NULL};
  return us_dataset_append(w, &episode);
}

static UsStatus write_target(Edit* e, Target* t, UsProgress* bar) {
  UsDatasetWriter* w = NULL;
  int longest = 0;
  t->info.rows = 0;
  for (int64_t i = 0; i < t->count; i++) {
    int rows = t->picks[i].from->c.ep_len[t->picks[i].episode];
    t->info.rows += rows;
    if (rows > longest) longest = rows;
  }
  name_renderer(t);
  UsStatus status = us_writer_create(t->out.part, &t->info, t->count, t->info.rows, longest, 0, 1,
                                     e->sources, &w);
  for (int64_t i = 0; i < t->count && status == US_OK; i++) {
    status = copy_episode(e, &t->picks[i], w);
    if (status == US_OK) status = us_progress_step(bar, (double)++e->done, t->out.path);
  }
  return us_output_close(&t->out, w, status);
}

static int by_digits(const void* a, const void* b) {
  return memcmp(*(const char* const*)a, *(const char* const*)b, 16);
}

// Counts the episodes whose mark another one has too.
static UsStatus count_repeated(const Target* t, int64_t* repeated) {
  const char** marks = malloc((size_t)t->count * sizeof(*marks));
  if (!marks) return us_fail(US_MEMORY, "%s: out of memory", t->out.path);
  UsStatus status = US_OK;
  for (int64_t i = 0; i < t->count && status == US_OK; i++) {
    status = us_dataset_marks(t->picks[i].from, &marks[i]);
    if (status == US_OK) marks[i] += 16 * t->picks[i].episode;
  }
  if (status == US_OK) {
    qsort(marks, (size_t)t->count, sizeof(*marks), by_digits);
    for (int64_t i = 1; i < t->count; i++) *repeated += by_digits(&marks[i - 1], &marks[i]) == 0;
  }
  free(marks);
  return status;
}

static UsStatus write_all(Edit* e, UsEdited* made) {
  double total = 0;
  for (int i = 0; i < e->targets; i++) total += (double)e->target[i].count;
  UsProgress bar = us_progress_start(e->job, "episodes", total, 0);
  UsStatus status = US_OK;
  for (int i = 0; i < e->targets && status == US_OK; i++) {
    status = write_target(e, &e->target[i], &bar);
  }
  us_progress_end(&bar);
  // Only when all are whole does any take its name.
  for (int i = 0; i < e->targets && status == US_OK; i++) {
    const Target* t = &e->target[i];
    made[i] = (UsEdited){.episodes = t->count, .rows = t->info.rows};
    status = count_repeated(t, &made[i].repeated);
  }
  for (int i = 0; i < e->targets && status == US_OK; i++) {
    status = us_output_place(&e->target[i].out);
  }
  return status;
}

// ---- the edits ----

// Takes the outputs' names and opens the files.
static UsStatus begin(Edit* e, const char* const* outs, int overwrite) {
  UsDatasetInfo info;
  while (e->paths[e->files]) e->files++;
  if (outs[1] && strcmp(outs[0], outs[1]) == 0) {
    return us_fail(US_USAGE, "--rest: expected another file than --out, found %s", outs[1]);
  }
  for (; e->targets < 2 && outs[e->targets]; e->targets++) {
    UsOutput* out = &e->target[e->targets].out;
    UsStatus status = us_output_begin(outs[e->targets], e->paths, overwrite, out);
    if (status != US_OK) {
      us_output_end(out);
      return status;
    }
  }
  US_TRY(open_files(e, &info));
  for (int i = 0; i < e->targets; i++) e->target[i].info = info;
  return US_OK;
}

static void end(Edit* e) {
  for (int i = 0; i < e->targets; i++) {
    us_output_end(&e->target[i].out);
    free(e->target[i].picks);
  }
  for (int i = 0; e->from && i < e->files; i++) us_dataset_close(e->from[i]);
  free(e->from);
  free(e->sources);
  free(e->pixels);
  us_robot_free(&e->robot);
}

static UsStatus merge(Edit* e, const char* out, int overwrite, UsEdited* made) {
  const char* const outs[] = {out, NULL};
  US_TRY(begin(e, outs, overwrite));
  for (int i = 0; i < e->files; i++) {
    for (int64_t k = 0; k < e->from[i]->info.episodes; k++) {
      US_TRY(take(&e->target[0], e->from[i], k));
    }
  }
  return write_all(e, made);
}

static UsStatus split(Edit* e, double share, uint64_t seed, const char* const* outs, int overwrite,
                      UsEdited* made) {
  US_TRY(begin(e, outs, overwrite));
  UsDataset* d = e->from[0];
  const int64_t all = d->info.episodes;
  const int64_t first = share > 0 && share < 1 ? llround(share * (double)all) : 0;
  if (first < 1 || first >= all) {
    return us_fail(US_USAGE,
                   "%s: expected a share that leaves both parts an episode of %lld, found %g",
                   d->path, (long long)all, share);
  }
  // Of `left` episodes `wanted` are still to be drawn: every choice is as likely as any other.
  UsRng r = us_rng(seed, US_RNG_SPLIT, 0, 0, 0);
  for (int64_t k = 0, wanted = first; k < all; k++) {
    int taken = us_rng_below(&r, (uint32_t)(all - k)) < wanted;
    US_TRY(take(&e->target[taken ? 0 : 1], d, k));
    wanted -= taken;
  }
  return write_all(e, made);
}

// Sets dropped (count) for the episodes of a list such as "3,7-9".
static UsStatus read_list(const char* path, const char* list, int64_t count, char* dropped) {
  const char* at = list;
  for (int more = 1; more; at++) {
    char* end;
    long long first = strtoll(at, &end, 10), last = first;
    int good = end != at && *at >= '0' && *at <= '9';
    if (good && *end == '-') {
      at = end + 1;
      last = strtoll(at, &end, 10);
      good = *at >= '0' && *at <= '9';
    }
    if (!good || last < first || last >= count || (*end && *end != ',')) {
      return us_fail(US_USAGE, "%s: expected episodes of 0 to %lld such as 3,7-9, found \"%s\"",
                     path, (long long)count - 1, list);
    }
    for (long long k = first; k <= last; k++) dropped[k] = 1;
    at = end;
    more = *end == ',';
  }
  return US_OK;
}

static UsStatus drop(Edit* e, const char* episodes, const char* out, int overwrite,
                     UsEdited* made) {
  const char* const outs[] = {out, NULL};
  US_TRY(begin(e, outs, overwrite));
  UsDataset* d = e->from[0];
  char* dropped = calloc((size_t)d->info.episodes, 1);
  if (!dropped) return us_fail(US_MEMORY, "%s: out of memory", d->path);
  UsStatus status = read_list(d->path, episodes, d->info.episodes, dropped);
  for (int64_t k = 0; k < d->info.episodes && status == US_OK; k++) {
    if (!dropped[k]) status = take(&e->target[0], d, k);
  }
  free(dropped);
  US_TRY(status);
  if (e->target[0].count == 0) {
    return us_fail(US_USAGE, "%s: expected an episode to stay, found all %lld dropped", d->path,
                   (long long)d->info.episodes);
  }
  return write_all(e, made);
}

UsStatus us_dataset_merge(const char* const* paths, const char* out, int overwrite,
                          UsEdited* made) {
  Edit e = {.job = "merge", .paths = paths};
  if (!paths[0] || !paths[1]) return us_fail(US_USAGE, "merge: expected at least 2 files");
  UsStatus status = merge(&e, out, overwrite, made);
  end(&e);
  return status;
}

UsStatus us_dataset_split(const char* path, double share, uint64_t seed, const char* out,
                          const char* rest, int overwrite, UsEdited made[2]) {
  const char *const paths[] = {path, NULL}, *const outs[] = {out, rest, NULL};
  Edit e = {.job = "split", .paths = paths};
  UsStatus status = split(&e, share, seed, outs, overwrite, made);
  end(&e);
  return status;
}

UsStatus us_dataset_drop(const char* path, const char* episodes, const char* out, int overwrite,
                         UsEdited* made) {
  const char* const paths[] = {path, NULL};
  Edit e = {.job = "drop", .paths = paths};
  UsStatus status = drop(&e, episodes, out, overwrite, made);
  end(&e);
  return status;
}
