// Collecting, as a job.
//
// Episodes are played in batches of slots, in lockstep, one env step at a time; a batch is appended
// to the file when its last row is there. Episode e starts from the seed that (seed, e) names and
// its policy draws from streams of that seed, so the content depends neither on threads nor slots.

#define _GNU_SOURCE
#include "datasets/collect.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/encoder_jobs.h"
#include "datasets/features.h"
#include "env/exec.h"
#include "env/sim.h"
#include "worldmodel/base/arena.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/base/text.h"

#define US_SETTING_OF UsCollectConfig
const UsSetting us_collect_settings[] = {US_COLLECT_SETTINGS(US_SETTING_ROW) US_SETTING_END};

static const char* const diverged_names[] = {
#define X(name, text) #name,
    US_DIVERGED(X)
#undef X
};

UsCollectConfig us_collect_defaults(void) {
  UsCollectConfig c = {0};
  us_settings_default(us_collect_settings, &c);
  return c;
}

// Memory of a batch: type, name, N slots or all N * T rows, numbers of each.
#define COLLECT_ARRAYS(X)                                                \
  X(int, slot, n, 1) /* which slots play */                              \
  X(int, step, n, 1)                                                     \
  X(int, length, n, 1)   /* rows recorded */                             \
  X(int, draws, n, 1)    /* times that it was drawn anew */              \
  X(uint8_t, lost, n, 1) /* 1: the episode has diverged */               \
  X(uint8_t, mask, n, 1)                                                 \
  X(uint64_t, seeds, n, 1)                                               \
  X(UsObs, obs, n, 1)             /* of the slots that play */           \
  X(uint8_t, frames, n, c->frame) /* of the same, at the present step */ \
  X(float, act, n, action)        /* of the present step */              \
  X(float, reward, n, 1)                                                 \
  X(uint8_t, ended, n, 1)                                                \
  X(uint8_t, pixels, all, c->frame)                                      \
  X(float, actions, all, action)                                         \
  X(float, proprio, all, proprio)                                        \
  X(double, states, all, state)                                          \
  X(float, rewards, all, 1)                                              \
  X(uint8_t, terminated, all, 1)                                         \
  X(uint8_t, truncated, all, 1)                                          \
  X(double, times, all, 1)                                               \
  X(float, drawn, n, vary)                                               \
  X(float, variation, all, vary)

// A batch of episodes in progress: N slots, T = steps + 1 rows each, V factors that vary.
typedef struct Collect {
  const UsCollectConfig* o;
  UsDiverged how;  // what o->diverged says
  UsPool* pool;
  UsDevice* device;    // of the encoder
  UsEncoder* encoder;  // NULL: none, or one that is made of the data
  UsEnv* env;
  UsDatasetWriter* writer;
  const UsTask* task;
  int policy;
  UsVary vary;
  UsVaryRange range;
  int slots, rows;       // N, T
  size_t frame;          // bytes of a frame
  int64_t done;          // episodes in the file
  UsDatasetInfo before;  // of a file that is gone on with
  double changed;        // a sum of shares, of so many pairs of frames
  int64_t compared;
  UsCollectResult* result;
  UsArena arena;
  int plays;  // slots that play
#define X(type, name, ...) type* name;
  COLLECT_ARRAYS(X)
#undef X
} Collect;

enum { kFewestSlots = 8, kMostSlots = 64, kMostDraws = 100 };
static const size_t pixel_room = (size_t)192 << 20;  // bytes for the pixels of a batch

// ---- one batch ----

// Where row t of a slot lies in the columns of the batch.
static size_t at(const Collect* c, int slot, int t) {
  return (size_t)slot * (size_t)c->rows + (size_t)t;
}

uint64_t us_collect_seed(uint64_t seed, int64_t episode, int draw) {
  UsRng rng = us_rng(seed, US_RNG_RESET, (uint64_t)episode, (uint64_t)draw, 0);
  uint64_t high = us_rng_bits(&rng);
  return high << 32 | us_rng_bits(&rng);
}

// Starts the episodes of the slots that play; slot 0 has episode c->done.
static UsStatus start(Collect* c) {
  const size_t width = (size_t)c->vary.count;
  memset(c->mask, 0, (size_t)c->slots);
  for (int i = 0; i < c->plays; i++) {
    // The seed of an episode's next draw.
    int slot = c->slot[i];
    c->seeds[slot] = us_collect_seed(c->o->seed, c->done + slot, c->draws[slot]);
    c->mask[slot] = 1;
    // Its variation is noted in all its rows.
    if (width == 0) continue;
    float* drawn = c->drawn + (size_t)i * width;
    us_vary_draw(&c->vary, c->env, c->range, c->seeds[slot], drawn);
    for (int t = 0; t < c->rows; t++) {
      memcpy(c->variation + at(c, slot, t) * width, drawn, sizeof(float) * width);
    }
  }
  if (width) US_TRY(us_sim_vary(c->env, &c->vary, c->plays, c->slot, c->drawn));
  // Only these play; the others have their episode already.
  us_sim_select(c->env, c->plays, c->slot);
  us_env_reset(c->env, c->mask, c->seeds);
  return US_OK;
}

// Records what the slots look like before the action of row t.
static UsStatus look(Collect* c, int t) {
  const UsEnvInfo* info = us_env_info(c->env);
  for (int i = 0; i < c->plays; i++) {
    size_t row = at(c, c->slot[i], t);
    c->obs[i] = (UsObs){.proprio = info->proprio ? c->proprio + row * (size_t)info->proprio : NULL,
                        .state = c->states + row * (size_t)info->state};
  }
  // Numbers straight into their rows, frames through a buffer: slots that play are packed there.
  US_TRY(us_env_look(c->env, c->plays, c->slot, c->obs));
  if (c->frame) US_TRY(us_env_render(c->env, c->plays, c->slot, c->frames));
  for (int i = 0; i < c->plays; i++) {
    size_t row = at(c, c->slot[i], t);
    c->times[row] = c->obs[i].time;
    if (c->frame) memcpy(c->pixels + row * c->frame, c->frames + (size_t)i * c->frame, c->frame);
    c->length[c->slot[i]] = t + 1;
  }
  return US_OK;
}

// An episode's last row has no action behind it.
static void note_end(Collect* c, size_t row, int terminated) {
  size_t width = (size_t)us_env_info(c->env)->action;
  for (size_t k = 0; k < width; k++) c->actions[row * width + k] = NAN;
  c->rewards[row] = 0;
  c->terminated[row] = (uint8_t)terminated;
  c->truncated[row] = (uint8_t)!terminated;
}

// Plays the action of row t.
static void play(Collect* c, int t) {
  const int width = us_env_info(c->env)->action;
  for (int i = 0; i < c->slots; i++) c->step[i] = t;
  // All slots are at the same step.
  us_sim_policy(c->env, c->policy, c->step, c->act);
  us_env_step(c->env, c->act, &(UsStep){.reward = c->reward, .terminated = c->ended});
  for (int i = 0; i < c->plays; i++) {
    int slot = c->slot[i];
    size_t row = at(c, slot, t);
    // What was played is recorded, not what was asked for.
    float* action = c->actions + row * (size_t)width;
    for (int k = 0; k < width; k++) action[k] = fminf(fmaxf(c->act[slot * width + k], -1), 1);
    c->rewards[row] = c->reward[slot];
    c->terminated[row] = c->ended[slot];
    c->truncated[row] = 0;
  }
}

// The engine's error in a slot, if there was one.
static UsStatus check_engine(const Collect* c) {
  const UsEnvError* error = us_env_error(c->env);
  if (!error) return US_OK;
  UsStatus status;
  const char* engine = us_sim_engine(c->env, &status);
  return us_fail(status, "%s: episode %lld, step %d: %s%s", c->o->out,
                 (long long)(c->done + error->slot), error->step, engine, error->text);
}

// Plays the listed slots from their seeds to the end. bar: Nullable
static UsStatus play_slots(Collect* c, UsProgress* bar) {
  const int n = c->plays;
  US_TRY(start(c));
  US_TRY(check_engine(c));
  for (int t = 0; t < c->rows; t++) {
    if (us_interrupted()) return US_INTERRUPTED;
    // Who diverged leaves: the last good row is the one before.
    int plays = 0;
    for (int i = 0; i < c->plays; i++) {
      int slot = c->slot[i];
      c->lost[slot] = (uint8_t)us_sim_diverged(c->env, slot);
      if (!c->lost[slot]) c->slot[plays++] = slot;
    }
    c->plays = plays;
    us_sim_select(c->env, plays, c->slot);
    if (plays == 0) break;
    // The rest is recorded, then moved on.
    US_TRY(look(c, t));
    if (t < c->rows - 1) play(c, t);
    US_TRY(check_engine(c));
    if (bar) us_progress_show(bar, (double)c->done * c->rows + (double)(t + 1) * n, NULL);
  }
  for (int i = 0; i < c->plays; i++) note_end(c, at(c, c->slot[i], c->rows - 1), 0);
  us_sim_select(c->env, 0, NULL);  // a robot stops while its episode is written
  return US_OK;
}

// ---- episodes that diverge ----

// A status that says how an episode diverged, whose slot still has its last state.
static UsStatus fail_diverged(Collect* c, int64_t episode, int slot, const char* what) {
  const int width = us_env_info(c->env)->state;
  // The bad state is looked up in the simulator; the rows have good ones alone.
  double* state = c->states + at(c, slot, c->length[slot]) * (size_t)width;  // not a row of it
  UsObs obs = {.state = state};
  US_TRY(us_env_look(c->env, 1, &slot, &obs));
  // Names the first number that no simulation can go on from.
  char found[96] = "a number beside the state (acceleration, measure or proprio) is bad";
  for (int i = width - 1; i >= 0; i--) {
    if (fabs(state[i]) <= mjMAXVAL) continue;
    snprintf(found, sizeof(found), "expected a state of numbers up to %g in size, found %g",
             mjMAXVAL, state[i]);
  }
  char step[32] = "its start";
  if (c->length[slot] > 0) snprintf(step, sizeof(step), "step %d", c->length[slot] - 1);
  return us_fail(US_MUJOCO, "%s: episode %lld, %s: the simulation diverged%s: %s", c->o->out,
                 (long long)episode, step, what, found);
}

// Lists the slots of the batch whose episode has to be drawn anew.
static UsStatus list_again(Collect* c, int n) {
  c->plays = 0;
  for (int i = 0; i < n; i++) {
    if (!c->lost[i] || c->how == US_DIVERGED_stop) continue;
    // An episode that is kept needs a row.
    if (c->how == US_DIVERGED_keep && c->length[i] > 0) continue;
    if (c->draws[i] == kMostDraws) {
      return fail_diverged(c, c->done + i, i,
                           ", as in each of the 100 draws before (the model or its timestep "
                           "is not stable)");
    }
    c->result->redrawn += c->draws[i]++ == 0;
    c->length[i] = 0;
    c->slot[c->plays++] = i;
  }
  return US_OK;
}

// Adds up how much of an episode's frames changes within a second.
static void note_changes(Collect* c, const UsEpisode* e) {
  const UsEnvInfo* info = us_env_info(c->env);
  const size_t pixels = c->frame / 3;
  int second = (int)fmax(1, round(1 / info->dt));
  if (second > e->rows - 1) second = e->rows - 1;
  for (int t = second; second > 0 && pixels && t < e->rows; t += second) {
    const uint8_t* now = e->pixels + (size_t)t * c->frame;
    c->changed += us_frame_change(pixels, now - (size_t)second * c->frame, now);
    c->compared++;
  }
}

// Plays episodes c->done .. c->done + n - 1 and appends them.
static UsStatus collect_batch(Collect* c, int n, UsProgress* bar) {
  const UsEnvInfo* info = us_env_info(c->env);
  for (int i = 0; i < n; i++) {
    c->slot[i] = i;
    c->length[i] = c->draws[i] = 0;
  }
  // Plays, then once more what has to be drawn anew, until nothing is left to play.
  for (c->plays = n; c->plays > 0; bar = NULL) {
    US_TRY(play_slots(c, bar));
    US_TRY(list_again(c, n));
  }
  // Episodes stand in the file in their order.
  const int64_t first = c->done;
  for (int i = 0; i < n; i++) {
    if (c->lost[i] && c->how == US_DIVERGED_stop) return fail_diverged(c, first + i, i, "");
    if (c->lost[i]) note_end(c, at(c, i, c->length[i] - 1), 1);
    c->result->cut += c->lost[i];
    size_t row = at(c, i, 0);
    UsEpisode e = {.rows = c->length[i],
                   .pixels = c->pixels + row * c->frame,
                   .actions = c->actions + row * (size_t)info->action,
                   .proprio = c->proprio + row * (size_t)info->proprio,
                   .states = c->states + row * (size_t)info->state,
                   .rewards = c->rewards + row,
                   .terminated = c->terminated + row,
                   .truncated = c->truncated + row,
                   .times = c->times + row,
                   .variation = c->variation + row * (size_t)c->vary.count};
    US_TRY(us_dataset_append(c->writer, &e));
    note_changes(c, &e);
    c->done++;
  }
  return US_OK;
}

// ---- set up ----

// All that a batch needs, in one block.
static void layout(UsArena* a, Collect* c) {
  const UsEnvInfo* info = us_env_info(c->env);
  size_t n = (size_t)c->slots, all = n * (size_t)c->rows, vary = (size_t)c->vary.count;
  size_t action = (size_t)info->action, proprio = (size_t)info->proprio;
  size_t state = (size_t)info->state;
#define X(type, name, rows, width) c->name = US_TAKE(a, type, (rows) * (width));
  COLLECT_ARRAYS(X)
#undef X
}

// Opens the simulator, reads the words of the config, and takes the memory of a batch.
static UsStatus open_env(Collect* c) {
  const UsCollectConfig* o = c->o;
  c->rows = o->steps + 1;
  int side = o->size;
  const UsExec* robot = NULL;
  for (const UsTask* const* t = o->tasks; *t; t++) {
    if (strcmp((*t)->name, o->task) != 0) continue;
    if (side < 0) side = (*t)->size;
    robot = (*t)->exec;
  }
  if (side < 0) side = 64;
  if (robot && robot->steps && o->steps > robot->steps) {
    return us_fail(US_USAGE, "--steps: expected at most %d, as episodes of exec:%s have, found %d",
                   robot->steps, us_shown(robot->command), o->steps);
  }
  // As many slots as keep the threads busy, as the memory allows, and as there are episodes; one
  // always fits.
  size_t episode = (size_t)c->rows * (size_t)side * (size_t)side * 3;
  int fit = episode ? (int)(pixel_room / episode) : kMostSlots,
      slots = 8 * us_pool_threads(c->pool);
  if (slots < kFewestSlots) slots = kFewestSlots;
  if (slots > kMostSlots) slots = kMostSlots;
  if (slots > fit) slots = fit > 0 ? fit : 1;
  if (robot && slots > robot->copies) slots = robot->copies;
  c->slots = slots < o->episodes ? slots : o->episodes;
  UsEnvConfig config = {.slots = c->slots,
                        .block = 1,
                        .height = o->size > 0 ? o->size : 0,
                        .width = o->size > 0 ? o->size : 0,
                        .pixels = o->size != 0,
                        .pool = c->pool,
                        .gl = o->gl};
  // A file that is gone on with says where its frames are seen from.
  if (c->before.camera_pose[0] && strcmp(c->before.task, o->task) == 0) {
    config.camera = c->before.camera;
    config.camera_pose = c->before.camera_pose;
  }
  char name[4096];
  snprintf(name, sizeof(name), "sim:%s", o->task);
  US_TRY(us_env_open(name, o->tasks, &config, &c->env));
  const UsEnvInfo* info = us_env_info(c->env);
  if (o->vary) US_TRY(us_vary_choose("--vary", o->vary, c->env, &c->vary));
  c->frame = o->size ? us_frame_bytes(info->height, info->width) : 0;
  if (robot && !c->frame && o->encode && strcmp(o->encode, "state") != 0) {
    return us_fail(US_USAGE, "--encode %s: expected a robot with frames, found one without",
                   o->encode);
  }
  // The batch is measured first and placed then.
  layout(&c->arena, c);
  US_TRY(us_machine_need_memory(o->out, (double)c->arena.size));
  US_TRY(us_arena_alloc(&c->arena));
  layout(&c->arena, c);
  c->task = us_sim_task(c->env);
  return us_sim_find_policy(c->task, o->policy, &c->policy);
}

UsStatus us_collect_describe(const UsEnv* sim, const char* gl, int frames, const char* out,
                             UsDatasetInfo* d) {
  const UsEnvInfo* info = us_env_info(sim);
  const UsTask* task = us_sim_task(sim);
  *d = (UsDatasetInfo){.version = US_VERSION,
                       .height = frames ? info->height : 0,
                       .width = frames ? info->width : 0,
                       .action = info->action,
                       .proprio = info->proprio,
                       .state = info->state,
                       .dt = info->dt};
  snprintf(d->task, sizeof(d->task), "%s", info->task);
  snprintf(d->camera, sizeof(d->camera), "%s", info->camera);
  snprintf(d->camera_pose, sizeof(d->camera_pose), "%s", info->camera_pose);
  if (frames && task->exec) {
    snprintf(d->renderer, sizeof(d->renderer), "%s", "robot");
  } else if (frames) {
    US_TRY(us_gl_renderer(info->task, gl, d->renderer, sizeof(d->renderer) / 4));
  }
  // A robot of one's own is kept with its data.
  if (task->robot && task->robot(task, &d->robot) != US_OK) {
    us_log("%s: the robot is not kept, so its file will be asked for: %s", out, us_message());
    d->robot = NULL;
  }
  return US_OK;
}

// Opens the file for the episodes behind the first c->done; no writer: all are there.
static UsStatus open_file(Collect* c) {
  const UsCollectConfig* o = c->o;
  UsDatasetInfo d;
  US_TRY(us_folder_make_above(o->out));
  // What the file says of itself.
  US_TRY(us_collect_describe(c->env, o->gl, c->frame > 0, o->out, &d));
  d.seed = o->seed;
  d.variation = c->vary.count;
  snprintf(d.policy, sizeof(d.policy), "%s", c->task->policies[c->policy].name);
  snprintf(d.diverged, sizeof(d.diverged), "%s", diverged_names[c->how]);
  if (c->vary.count) {
    us_vary_names(&c->vary, c->env, d.variation_names, sizeof(d.variation_names));
    snprintf(d.variation_range, sizeof(d.variation_range), "%s", us_vary_range_names[c->range]);
  }
  // A file that is there is gone on with or replaced, as asked.
  if (o->resume && us_file_exists(o->out)) {
    return us_dataset_resume(o->out, &d, o->episodes, c->rows, &c->done, &c->writer);
  }
  return us_dataset_create(o->out, &d, o->episodes, c->rows, o->overwrite, &c->writer);
}

// ---- the job ----

// Plays batches until the file has all episodes, and closes it in every case.
static UsStatus record(Collect* c) {
  UsCollectResult* result = c->result;
  const double start = us_seconds(), all = (double)c->o->episodes * c->rows;
  const int64_t asked = c->o->episodes;
  result->before = us_dataset_written(c->writer);
  UsProgress bar = us_progress_start("collect", "frames", all, (double)c->done * c->rows);
  UsStatus status = US_OK;
  // Batch by batch, the last one smaller.
  while (status == US_OK && c->done < asked) {
    int n = asked - c->done < c->slots ? (int)(asked - c->done) : c->slots;
    status = collect_batch(c, n, &bar);
  }
  us_progress_end(&bar);
  result->seconds = us_seconds() - start;
  // Closing the file may fail too, but the first failure is the one that is told.
  char message[1024];
  snprintf(message, sizeof(message), "%s", us_message());
  result->rows = us_dataset_written(c->writer);
  UsStatus finished = us_dataset_finish(c->writer);
  c->writer = NULL;
  if (status == US_OK) return finished;
  // What is left of a run that failed or was stopped.
  if (status == US_INTERRUPTED) {
    US_TRY(finished);
    return us_fail(US_INTERRUPTED, "%s: stopped, with %lld of %d episodes finished%s", c->o->out,
                   (long long)c->done, c->o->episodes,
                   c->done ? "; --resume goes on" : "; no file is left");
  }
  if (c->done == 0) return us_fail(status, "%s", message);
  return us_fail(status, "%s; %lld episode%s before it %s kept%s", message, (long long)c->done,
                 c->done == 1 ? "" : "s", c->done == 1 ? "is" : "are",
                 status == US_MUJOCO ? "" : ", --resume goes on");
}

// The features of all frames into the cache that training looks for.
static UsStatus encode(Collect* c) {
  const UsCollectConfig* o = c->o;
  UsDataset* data;
  UsFeatures* features = NULL;
  US_TRY(us_dataset_open(o->out, &data));
  // An encoder that is made of the data is made now.
  UsStatus status = US_OK;
  if (!c->encoder) {
    status = us_dataset_encoder(o->encode, data, o->tasks, c->pool, c->device, &c->encoder);
  }
  if (status == US_OK) status = us_features_open(data, c->encoder, NULL, c->pool, &features);
  if (status == US_OK) {
    snprintf(c->result->features, sizeof(c->result->features), "%s", us_features_path(features));
  }
  us_features_close(features);
  us_dataset_close(data);
  return status;
}

// From opening to the result; what is open is closed by the caller.
static UsStatus collect(Collect* c) {
  UsCollectResult* result = c->result;
  // A device and an encoder that are not there are told before anything is recorded.
  if (c->o->encode) {
    US_TRY(us_device_open(c->o->device, c->o->fast ? US_FAST_FEATURES : 0, &c->device));
    if (!us_encoder_reads(c->o->encode)) {
      US_TRY(us_encoder_open(c->o->encode, c->device, &c->encoder));
    }
  }
  US_TRY(open_env(c));
  US_TRY(open_file(c));
  result->complete = !c->writer;
  UsStatus status = c->writer ? record(c) : US_OK;
  result->episodes = c->done;
  result->height = c->frame ? us_env_info(c->env)->height : 0;
  result->width = c->frame ? us_env_info(c->env)->width : 0;
  result->changing = c->compared ? c->changed / (double)c->compared : NAN;
  if (result->changing < US_FRAME_FEW) {
    us_log(
        "%s: only %.2f %% of the pixels change within a second: camera %s hardly sees what moves"
        "%s",
        c->o->out, 100 * result->changing, us_env_info(c->env)->camera,
        c->task->exec ? ""
                      : " (--camera; understudy inspect FILE.xml --png shows what others see)");
  }
  result->warnings = us_sim_warnings(c->env, result->warned, sizeof(result->warned));
  return status == US_OK && c->o->encode ? encode(c) : status;
}

static UsStatus find_diverged(const char* name, UsDiverged* out) {
  for (*out = 0; name && *out < US_DIVERGED_COUNT; ++*out) {
    if (strcmp(name, diverged_names[*out]) == 0) return US_OK;
  }
  if (!name) return US_OK;
  return us_fail(US_USAGE, "--diverged: expected redraw, keep or stop, found \"%s\"", name);
}

UsStatus us_collect_check(const UsCollectConfig* config) {
  UsDiverged how;
  UsVaryRange range;
  // What is missing, then what is out of range, then words that are none.
  int known = config->task || (config->resume && config->out && us_file_exists(config->out));
  const char* missing = !known ? "--task" : !config->out ? "--out" : NULL;
  if (missing) return us_fail(US_USAGE, "expected %s", missing);
  if (!config->tasks) return us_fail(US_USAGE, "expected a list of tasks");
  if (config->episodes < 1) return us_fail(US_USAGE, "expected --episodes of at least 1");
  US_TRY(us_settings_check(us_collect_settings, config));
  US_TRY(find_diverged(config->diverged, &how));
  US_TRY(us_gl_check(config->gl));
  if (config->size > 0 && config->size < 8) {
    return us_fail(US_USAGE, "--size: expected 0 (no frames) or 8 to 2048, found %d", config->size);
  }
  if (config->size == 0 && config->encode && strcmp(config->encode, "state") != 0) {
    return us_fail(US_USAGE, "--encode %s: expected frames, found --size 0", config->encode);
  }
  if (!config->encode && (config->device || config->fast)) {
    return us_fail(US_USAGE, "--device: expected --encode too, which is what it does");
  }
  if (config->vary_range) {
    if (!config->vary) return us_fail(US_USAGE, "--vary-range: expected --vary too");
    US_TRY(us_vary_range("--vary-range", config->vary_range, &range));
  }
  if (config->overwrite && config->resume) {
    return us_fail(US_USAGE, "expected --resume or --overwrite, found both");
  }
  // The file last, before a simulator is opened.
  US_TRY(us_lock_check(config->out));
  if (!us_file_exists(config->out) || config->overwrite || config->resume) return US_OK;
  return us_fail(US_IO, "%s: the file exists; --resume goes on with it, --overwrite replaces it",
                 config->out);
}

// What the file that is gone on with says of itself, and with it the task that was not named.
static UsStatus look_before(UsCollectConfig* o, UsDatasetInfo* before) {
  UsDataset* d = NULL;
  if (!o->resume || !us_file_exists(o->out)) return US_OK;
  UsStatus status = us_dataset_open(o->out, &d);
  if (status == US_OK) *before = *us_dataset_info(d);
  us_dataset_close(d);
  if (o->task) return US_OK;  // what is wrong with it is told in its turn
  o->task = before->task;
  return status;
}

UsStatus us_collect(const UsCollectConfig* config, UsCollectResult* result) {
  memset(result, 0, sizeof(*result));
  US_TRY(us_collect_check(config));
  UsCollectConfig own = *config;
  Collect c = {.o = &own, .result = result};
  US_TRY(look_before(&own, &c.before));
  US_TRY(find_diverged(config->diverged, &c.how));
  if (config->vary_range) US_TRY(us_vary_range("--vary-range", config->vary_range, &c.range));
  c.pool = us_pool_create(config->threads);
  UsStatus status = c.pool ? collect(&c) : us_fail(US_MEMORY, "out of memory for threads");
  us_dataset_finish(c.writer);
  us_env_close(c.env);
  us_encoder_destroy(c.encoder);
  us_device_close(c.device);
  us_arena_free(&c.arena);
  us_pool_destroy(c.pool);
  return status;
}
