// Goals from outside: what a text names is a state, a row or a picture, and is read as such.

#include "datasets/goal.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/video/video_reader.h"
#include "env/sim.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/text.h"

enum { kStates = 1 << 16, kPath = 4096 };

// What is wanted of a goal, and where it goes.
typedef struct Reader {
  const char* text;
  UsEnv* sim;  // Nullable
  int height, width;
  UsGoal* out;
} Reader;

static UsStatus no_memory(const Reader* r) {
  return us_fail(US_MEMORY, "%s: out of memory", us_shown(r->text));
}

// ---- what a text names ----

// Numbers between commas: how many, 0 where the text is something else. Nullable: out.
static int read_numbers(const char* text, double* out) {
  int n = 0;
  for (;; text++) {
    char* end;
    // What strtod would skip or take beyond that is no number of ours.
    if (!*text || !strchr("+-.0123456789", *text)) return 0;
    double x = strtod(text, &end);
    if (end == text || n == kStates) return 0;
    if (out) out[n] = x;
    n++;
    text = end;
    if (!*text) return n;
    if (*text != ',') return 0;
  }
}

// The row behind the last colon of FILE.h5:ROW, and the file before it; -1: it is something else.
static int64_t read_row(const char* text, char path[kPath]) {
  const char* colon = strrchr(text, ':');
  if (!colon || !isdigit((unsigned char)colon[1])) return -1;
  size_t length = (size_t)(colon - text);
  if (length < 4 || length >= kPath || strncmp(colon - 3, ".h5", 3) != 0) return -1;
  char* end;
  long long row = strtoll(colon + 1, &end, 10);
  if (*end) return -1;
  memcpy(path, text, length);
  path[length] = 0;
  return row;
}

int us_goal_has_state(const char* text) {
  char path[kPath];
  return read_numbers(text, NULL) > 0 || read_row(text, path) >= 0;
}

// ---- parts ----

static UsStatus take_state(const Reader* r, int n, const double* state) {
  const UsEnvInfo* sim = r->sim ? us_env_info(r->sim) : NULL;
  if (sim && n != sim->state) {
    return us_fail(US_FORMAT, "%s: expected a state of %d numbers as %s has, found %d",
                   us_shown(r->text), sim->state, sim->name, n);
  }
  for (int i = 0; i < n; i++) {
    if (isfinite(state[i])) continue;
    return us_fail(US_FORMAT, "%s: expected finite numbers, found %g", us_shown(r->text), state[i]);
  }
  r->out->state = malloc((size_t)n * sizeof(double));
  if (!r->out->state) return no_memory(r);
  memcpy(r->out->state, state, (size_t)n * sizeof(double));
  r->out->states = n;
  return US_OK;
}

static UsStatus make_pixels(const Reader* r) {
  r->out->pixels = malloc(us_frame_bytes(r->height, r->width));
  if (!r->out->pixels) return no_memory(r);
  r->out->height = r->height;
  r->out->width = r->width;
  return US_OK;
}

// Draws the state, and puts the simulator back.
static UsStatus draw_state(const Reader* r) {
  const UsEnvInfo* sim = us_env_info(r->sim);
  const int slot = 0;
  if (sim->height != r->height || sim->width != r->width) {
    return us_fail(US_USAGE, "%s: expected frames of %d x %d as are wanted, found %d x %d",
                   sim->name, r->width, r->height, sim->width, sim->height);
  }
  US_TRY(make_pixels(r));
  void* saved = malloc(us_env_save_size(r->sim));
  if (!saved) return no_memory(r);
  us_env_save(r->sim, slot, saved);
  const UsObs there = {.state = r->out->state, .first = 1};
  UsStatus status = us_env_observe(r->sim, 1, &slot, &there);
  if (status == US_OK) status = us_env_render(r->sim, 1, &slot, r->out->pixels);
  us_env_restore(r->sim, slot, saved);
  free(saved);
  return status;
}

// ---- sources ----

static UsStatus from_numbers(const Reader* r, int n) {
  double* state = malloc((size_t)n * sizeof(double));
  if (!state) return no_memory(r);
  read_numbers(r->text, state);
  UsStatus status = take_state(r, n, state);
  free(state);
  return status;
}

static UsStatus from_row(const Reader* r, UsDataset* data, int64_t row) {
  const UsDatasetInfo* info = us_dataset_info(data);
  const char* task = r->sim ? us_env_info(r->sim)->task : info->task;
  if (row >= info->rows) {
    return us_fail(US_USAGE, "%s: expected a row of 0 .. %lld, found %lld", us_dataset_path(data),
                   (long long)info->rows - 1, (long long)row);
  }
  if (strcmp(task, info->task) != 0) {
    return us_fail(US_FORMAT, "%s: expected trajectories of the task \"%s\", found \"%s\"",
                   us_dataset_path(data), task, info->task);
  }
  US_TRY(take_state(r, info->state, us_dataset_states(data) + row * info->state));
  // The frame as it was recorded, where it has the size; a simulator may draw it anew.
  if (r->height == 0 || info->height == 0) return US_OK;
  if (info->height == r->height && info->width == r->width) {
    US_TRY(make_pixels(r));
    return us_dataset_pixels(data, row, 1, r->out->pixels);
  }
  if (r->sim) return US_OK;
  return us_fail(US_FORMAT, "%s: expected frames of %d x %d, found %d x %d", us_dataset_path(data),
                 r->width, r->height, info->width, info->height);
}

// The first picture of whatever libav reads.
static UsStatus from_picture(const Reader* r) {
  const UsVideoAsk ask = {.size = r->width};
  UsVideo* v = NULL;
  double time;
  UsVideoNext next = US_VIDEO_END;
  if (r->height == 0) {
    return us_fail(US_UNSUPPORTED, "%s: expected a state or a row as a goal, found a picture",
                   us_shown(r->text));
  }
  if (r->height != r->width) {
    return us_fail(US_UNSUPPORTED,
                   "%s: expected a model of square frames for a picture, found %d x %d",
                   us_shown(r->text), r->width, r->height);
  }
  US_TRY(make_pixels(r));
  US_TRY(us_video_open(r->text, &ask, &v));
  UsStatus status = us_video_next(v, r->out->pixels, &time, &next);
  us_video_close(v);
  if (status != US_OK || next == US_VIDEO_FRAME) return status;
  return us_fail(US_FORMAT, "%s: expected a picture, found none that can be read",
                 us_shown(r->text));
}

// ---- the goal ----

static UsStatus read_goal(const Reader* r) {
  char path[kPath];
  const int64_t row = read_row(r->text, path);
  const int numbers = read_numbers(r->text, NULL);
  if (row >= 0) {
    UsDataset* data;
    US_TRY(us_dataset_open(path, &data));
    UsStatus status = from_row(r, data, row);
    us_dataset_close(data);
    US_TRY(status);
  } else {
    US_TRY(numbers ? from_numbers(r, numbers) : from_picture(r));
  }
  // A frame that is wanted and was not there.
  if (r->height == 0 || r->out->pixels || !r->sim) return US_OK;
  return draw_state(r);
}

UsStatus us_goal_read(const char* text, UsEnv* sim, int height, int width, UsGoal* out) {
  *out = (UsGoal){0};
  US_ASSERT(text && height >= 0 && width >= 0);
  const Reader r = {text, sim, height, width, out};
  UsStatus status = read_goal(&r);
  if (status != US_OK) us_goal_free(out);
  return status;
}

UsObs us_goal_obs(const UsGoal* g) {
  return (UsObs){.pixels = g->pixels, .state = g->state};
}

void us_goal_free(UsGoal* g) {
  free(g->pixels);
  free(g->state);
  *g = (UsGoal){0};
}
