// Two episodes lie in memory: the one that is driven, and the one that can be taken back.

#include "scripts/view/view_teleop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/collect.h"
#include "env/exec.h"
#include "env/gl.h"
#include "worldmodel/base/arena.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/frame.h"

typedef struct Drive {
  int rows;
  int broken;  // 1: the simulation diverged
  uint8_t *pixels, *terminated, *truncated;
  float *actions, *proprio, *rewards;
  double *states, *times;
} Drive;

struct UsTeleop {
  UsTeleopConfig config;
  UsShow* show;
  UsDatasetWriter* writer;
  UsArena arena;
  int64_t done;     // episodes in the file
  Drive now, held;  // held.rows 0: there is none
  size_t frame;
};

static const int slot = 0;

// ---- open and close ----

static void place(UsArena* a, const UsTeleop* t, Drive* d) {
  const UsEnvInfo* i = us_env_info(t->show->sim);
  const size_t rows = (size_t)t->config.longest + 1;
  d->pixels = US_TAKE(a, uint8_t, rows * t->frame);
  d->terminated = US_TAKE(a, uint8_t, rows);
  d->truncated = US_TAKE(a, uint8_t, rows);
  d->actions = US_TAKE(a, float, rows*(size_t)i->action);
  d->proprio = US_TAKE(a, float, rows*(size_t)i->proprio);
  d->rewards = US_TAKE(a, float, rows);
  d->states = US_TAKE(a, double, rows*(size_t)i->state);
  d->times = US_TAKE(a, double, rows);
}

static void layout(UsTeleop* t) {
  place(&t->arena, t, &t->now);
  place(&t->arena, t, &t->held);
}

static UsStatus open_file(UsTeleop* t) {
  UsTeleopConfig* c = &t->config;
  const UsExec* robot = us_sim_task(t->show->sim)->exec;
  if (robot && robot->steps && c->longest > robot->steps) c->longest = robot->steps;
  t->frame = us_frame_bytes(us_env_info(t->show->sim)->height, us_env_info(t->show->sim)->width);
  layout(t);
  US_TRY(us_arena_alloc(&t->arena));
  layout(t);
  UsDatasetInfo info;
  US_TRY(us_collect_describe(t->show->sim, c->gl, t->frame > 0, c->out, &info));
  info.seed = c->seed;
  snprintf(info.policy, sizeof(info.policy), "teleop");
  snprintf(info.diverged, sizeof(info.diverged), "redraw");
  US_TRY(us_folder_make_above(c->out));
  if (c->resume && us_file_exists(c->out)) {
    return us_dataset_resume(c->out, &info, c->episodes, c->longest + 1, &t->done, &t->writer);
  }
  return us_dataset_create(c->out, &info, c->episodes, c->longest + 1, c->overwrite, &t->writer);
}

UsStatus us_teleop_open(const UsTeleopConfig* config, UsShow* show, UsTeleop** out) {
  *out = NULL;
  if (us_file_exists(config->out) && !config->resume && !config->overwrite) {
    return us_fail(US_IO, "%s: the file exists; --resume goes on with it, --overwrite replaces it",
                   config->out);
  }
  UsTeleop* t = calloc(1, sizeof(*t));
  if (!t) return us_fail(US_MEMORY, "%s: out of memory", config->out);
  t->config = *config;
  t->show = show;
  UsStatus status = open_file(t);
  if (status == US_OK && !t->writer) {
    status = us_fail(US_USAGE, "%s: expected --episodes of more than the %lld that it has",
                     config->out, (long long)t->done);
  }
  if (status != US_OK) {
    us_arena_free(&t->arena);
    free(t);
    return status;
  }
  *out = t;
  return US_OK;
}

// Writes the episode that can be taken back, which then no longer can.
static UsStatus write_held(UsTeleop* t) {
  Drive* d = &t->held;
  if (d->rows == 0) return US_OK;
  UsEpisode e = {.rows = d->rows,
                 .pixels = d->pixels,
                 .actions = d->actions,
                 .proprio = d->proprio,
                 .states = d->states,
                 .rewards = d->rewards,
                 .terminated = d->terminated,
                 .truncated = d->truncated,
                 .times = d->times};
  US_TRY(us_dataset_append(t->writer, &e));
  d->rows = 0;
  t->done++;
  return US_OK;
}

UsStatus us_teleop_close(UsTeleop* t) {
  if (!t) return US_OK;
  UsStatus status = write_held(t), finished = us_dataset_finish(t->writer);
  us_arena_free(&t->arena);
  free(t);
  return status != US_OK ? status : finished;
}

// ---- an episode ----

uint64_t us_teleop_seed(const UsTeleop* t) {
  return us_collect_seed(t->config.seed, us_teleop_count(t), 0);
}

// Notes what is there before the next action.
static UsStatus look(UsTeleop* t) {
  const UsEnvInfo* i = us_env_info(t->show->sim);
  Drive* d = &t->now;
  const size_t row = (size_t)d->rows;
  UsObs obs = {.state = d->states + row * (size_t)i->state,
               .proprio = i->proprio ? d->proprio + row * (size_t)i->proprio : NULL};
  US_TRY(us_env_look(t->show->sim, 1, &slot, &obs));
  if (t->frame) US_TRY(us_env_render(t->show->sim, 1, &slot, d->pixels + row * t->frame));
  d->times[row] = obs.time;
  d->rewards[row] = 0;
  d->terminated[row] = d->truncated[row] = 0;
  for (int k = 0; k < i->action; k++) d->actions[row * (size_t)i->action + (size_t)k] = NAN;
  d->rows++;
  return US_OK;
}

UsStatus us_teleop_begin(UsTeleop* t) {
  t->now.rows = t->now.broken = 0;
  return look(t);
}

UsStatus us_teleop_note(UsTeleop* t) {
  const size_t width = (size_t)us_env_info(t->show->sim)->action;
  Drive* d = &t->now;
  US_ASSERT(d->rows > 0);
  if (!t->show->finite) d->broken = 1;
  if (d->broken || us_teleop_is_full(t)) return US_OK;
  memcpy(d->actions + (size_t)(d->rows - 1) * width, t->show->action, sizeof(float) * width);
  return look(t);
}

int us_teleop_has_begun(const UsTeleop* t) {
  return t->now.rows > 1;
}

int us_teleop_is_full(const UsTeleop* t) {
  return t->now.rows > t->config.longest;
}

UsStatus us_teleop_keep(UsTeleop* t, int* kept) {
  *kept = us_teleop_has_begun(t) && !t->now.broken;
  if (!*kept) return US_OK;
  US_TRY(write_held(t));
  t->now.truncated[t->now.rows - 1] = 1;
  Drive other = t->held;
  t->held = t->now;
  t->now = other;
  t->now.rows = 0;
  return US_OK;
}

int us_teleop_undo(UsTeleop* t) {
  if (us_teleop_has_begun(t)) {
    t->now.rows = 0;
    return 0;
  }
  int fewer = t->held.rows > 0;
  t->held.rows = 0;
  return fewer;
}

int64_t us_teleop_count(const UsTeleop* t) {
  return t->done + (t->held.rows > 0);
}

int us_teleop_is_complete(const UsTeleop* t) {
  return us_teleop_count(t) >= t->config.episodes;
}
