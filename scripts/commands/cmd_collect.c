// understudy collect: record trajectories of a task.
//
// Episodes are played in batches of slots, in lockstep, one env step at a time; a batch is appended
// to the file when its last row is there. Episode e starts from the seed that (seed, e) names and
// its policy draws from streams of that seed, so the content depends neither on threads nor slots.

#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/dataset.h"
#include "env/gl.h"
#include "env/sim.h"
#include "scripts/cli/cli.h"
#include "worldmodel/base/arena.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"

// What becomes of an episode whose simulation diverges.
#define DIVERGED(X)   \
  X(Redraw, "redraw") \
  X(Keep, "keep")     \
  X(Stop, "stop")
typedef enum Diverged {
#define X(name, word) k##name,
  DIVERGED(X)
#undef X
      kDivergedCount
} Diverged;
static const char* const diverged_names[] = {
#define X(name, word) word,
    DIVERGED(X)
#undef X
};

typedef struct Options {
  char *task, *out, *policy, *vary, *range, *diverged;
  int episodes, steps, threads, size, overwrite, resume;
  long long seed;
  Diverged how;  // what `diverged` says
} Options;

// A batch of episodes in progress: N slots, T = steps + 1 rows each, V factors that vary.
typedef struct Collect {
  const Options* o;
  UsPool* pool;
  UsEnv* env;
  UsDatasetWriter* writer;
  const UsTask* task;
  int policy;
  UsVary vary;
  UsVaryRange range;
  int slots, rows;  // N, T
  size_t frame;     // bytes of a frame
  int64_t done;     // episodes in the file
  int64_t redrawn;  // episodes that diverged and were drawn anew
  int64_t cut;      // episodes that diverged and are kept up to there
  UsArena arena;
  int plays;            // slots that play
  int* slot;            // (N) which
  int* step;            // (N)
  int* length;          // (N) rows recorded
  int* draws;           // (N) times that the episode was drawn anew
  uint8_t* lost;        // (N) 1: the episode has diverged
  uint8_t* mask;        // (N)
  uint64_t* seeds;      // (N)
  UsObs* obs;           // (N) of the slots that play
  uint8_t* frames;      // (N, H, W, 3) of the same, at the present step
  float* act;           // (N, A) of the present step
  float* reward;        // (N)
  uint8_t* ended;       // (N)
  uint8_t* pixels;      // (N, T, H, W, 3)
  float* actions;       // (N, T, A)
  float* proprio;       // (N, T, P)
  double* states;       // (N, T, S)
  float* rewards;       // (N, T)
  uint8_t* terminated;  // (N, T)
  uint8_t* truncated;   // (N, T)
  double* times;        // (N, T)
  float* drawn;         // (N, V)
  float* variation;     // (N, T, V)
} Collect;

enum { kFewestSlots = 8, kMostSlots = 64, kMostDraws = 100 };
static const size_t pixel_room = (size_t)192 << 20;  // bytes for the pixels of a batch

// ---- one batch ----

static size_t at(const Collect* c, int slot, int t) {
  return (size_t)slot * (size_t)c->rows + (size_t)t;
}

// The seed of the k-th draw of an episode.
static uint64_t draw_seed(const Collect* c, int64_t episode, int k) {
  UsRng rng = us_rng((uint64_t)c->o->seed, US_RNG_RESET, (uint64_t)episode, (uint64_t)k, 0);
  uint64_t high = us_rng_bits(&rng);
  return high << 32 | us_rng_bits(&rng);
}

// Draws the variation of every slot that plays, and notes it in all its rows.
static void vary_slots(Collect* c) {
  const size_t width = (size_t)c->vary.count;
  if (width == 0) return;
  for (int i = 0; i < c->plays; i++) {
    float* drawn = c->drawn + (size_t)i * width;
    us_vary_draw(&c->vary, c->env, c->range, c->seeds[c->slot[i]], drawn);
    for (int t = 0; t < c->rows; t++) {
      memcpy(c->variation + at(c, c->slot[i], t) * width, drawn, sizeof(float) * width);
    }
  }
  us_sim_vary(c->env, &c->vary, c->plays, c->slot, c->drawn);
}

// Starts the episodes of the slots that play; slot 0 has episode c->done.
static void start(Collect* c) {
  memset(c->mask, 0, (size_t)c->slots);
  for (int i = 0; i < c->plays; i++) {
    int slot = c->slot[i];
    c->mask[slot] = 1;
    c->seeds[slot] = draw_seed(c, c->done + slot, c->draws[slot]);
  }
  vary_slots(c);
  us_sim_select(c->env, c->plays, c->slot);
  us_env_reset(c->env, c->mask, c->seeds);
}

// Ends the episodes that have diverged: their last good row is the one before.
static void drop_diverged(Collect* c) {
  int n = 0;
  for (int i = 0; i < c->plays; i++) {
    int slot = c->slot[i];
    c->lost[slot] = (uint8_t)us_sim_diverged(c->env, slot);
    if (!c->lost[slot]) c->slot[n++] = slot;
  }
  c->plays = n;
  us_sim_select(c->env, n, c->slot);
}

// Records what the slots look like before the action of row t.
static UsStatus look(Collect* c, int t) {
  const UsEnvInfo* info = us_env_info(c->env);
  for (int i = 0; i < c->plays; i++) {
    size_t row = at(c, c->slot[i], t);
    c->obs[i] = (UsObs){.proprio = info->proprio ? c->proprio + row * (size_t)info->proprio : NULL,
                        .state = c->states + row * (size_t)info->state};
  }
  US_TRY(us_env_look(c->env, c->plays, c->slot, c->obs));
  US_TRY(us_env_render(c->env, c->plays, c->slot, c->frames));
  for (int i = 0; i < c->plays; i++) {
    size_t row = at(c, c->slot[i], t);
    c->times[row] = c->obs[i].time;
    memcpy(c->pixels + row * c->frame, c->frames + (size_t)i * c->frame, c->frame);
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
  us_sim_policy(c->env, c->policy, c->step, c->act);
  us_env_step(c->env, c->act, &(UsStep){.reward = c->reward, .terminated = c->ended});
  for (int i = 0; i < c->plays; i++) {
    int slot = c->slot[i];
    size_t row = at(c, slot, t);
    float* action = c->actions + row * (size_t)width;
    for (int k = 0; k < width; k++) action[k] = fminf(fmaxf(c->act[slot * width + k], -1), 1);
    c->rewards[row] = c->reward[slot];
    c->terminated[row] = c->ended[slot];
    c->truncated[row] = 0;
  }
}

// MuJoCo's error in a slot, if there was one.
static UsStatus check_engine(const Collect* c) {
  const UsEnvError* error = us_env_error(c->env);
  if (!error) return US_OK;
  return us_fail(US_MUJOCO, "%s: episode %lld, step %d: MuJoCo: %s", c->o->out,
                 (long long)(c->done + error->slot), error->step, error->text);
}

// Plays the listed slots from their seeds to the end. bar: Nullable
static UsStatus play_slots(Collect* c, UsProgress* bar) {
  const int n = c->plays;
  start(c);
  US_TRY(check_engine(c));
  for (int t = 0; t < c->rows; t++) {
    if (us_interrupted()) return US_INTERRUPTED;
    drop_diverged(c);
    if (c->plays == 0) break;
    US_TRY(look(c, t));
    if (t < c->rows - 1) play(c, t);
    US_TRY(check_engine(c));
    if (bar) us_progress_show(bar, (double)c->done * c->rows + (double)(t + 1) * n, NULL);
  }
  for (int i = 0; i < c->plays; i++) note_end(c, at(c, c->slot[i], c->rows - 1), 0);
  return US_OK;
}

// ---- episodes that diverge ----

// A status that says how an episode diverged, whose slot still has its last state.
static UsStatus fail_diverged(Collect* c, int64_t episode, int slot, const char* what) {
  const int width = us_env_info(c->env)->state;
  double* state = c->states + at(c, slot, c->length[slot]) * (size_t)width;  // not a row of it
  UsObs obs = {.state = state};
  US_TRY(us_env_look(c->env, 1, &slot, &obs));
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
    if (!c->lost[i] || c->o->how == kStop) continue;
    if (c->o->how == kKeep && c->length[i] > 0) continue;
    if (c->draws[i] == kMostDraws) {
      return fail_diverged(c, c->done + i, i,
                           ", as in each of the 100 draws before (the model or its timestep "
                           "is not stable)");
    }
    c->redrawn += c->draws[i]++ == 0;
    c->length[i] = 0;
    c->slot[c->plays++] = i;
  }
  return US_OK;
}

static UsStatus append(Collect* c, int slot) {
  const UsEnvInfo* info = us_env_info(c->env);
  size_t row = at(c, slot, 0);
  UsEpisode e = {.rows = c->length[slot],
                 .pixels = c->pixels + row * c->frame,
                 .actions = c->actions + row * (size_t)info->action,
                 .proprio = c->proprio + row * (size_t)info->proprio,
                 .states = c->states + row * (size_t)info->state,
                 .rewards = c->rewards + row,
                 .terminated = c->terminated + row,
                 .truncated = c->truncated + row,
                 .times = c->times + row,
                 .variation = c->variation + row * (size_t)c->vary.count};
  return us_dataset_append(c->writer, &e);
}

// Plays episodes c->done .. c->done + n - 1 and appends them.
static UsStatus collect_batch(Collect* c, int n, UsProgress* bar) {
  for (int i = 0; i < n; i++) {
    c->slot[i] = i;
    c->length[i] = c->draws[i] = 0;
  }
  for (c->plays = n; c->plays > 0; bar = NULL) {
    US_TRY(play_slots(c, bar));
    US_TRY(list_again(c, n));
  }
  const int64_t first = c->done;
  for (int i = 0; i < n; i++) {
    if (c->lost[i] && c->o->how == kStop) return fail_diverged(c, first + i, i, "");
    if (c->lost[i]) note_end(c, at(c, i, c->length[i] - 1), 1);
    c->cut += c->lost[i];
    US_TRY(append(c, i));
    c->done++;
  }
  return US_OK;
}

// ---- set up ----

static void layout(UsArena* a, Collect* c) {
  const UsEnvInfo* info = us_env_info(c->env);
  size_t n = (size_t)c->slots, all = n * (size_t)c->rows;
  c->slot = US_TAKE(a, int, n);
  c->step = US_TAKE(a, int, n);
  c->length = US_TAKE(a, int, n);
  c->draws = US_TAKE(a, int, n);
  c->lost = US_TAKE(a, uint8_t, n);
  c->mask = US_TAKE(a, uint8_t, n);
  c->seeds = US_TAKE(a, uint64_t, n);
  c->obs = US_TAKE(a, UsObs, n);
  c->frames = US_TAKE(a, uint8_t, n * c->frame);
  c->act = US_TAKE(a, float, n*(size_t)info->action);
  c->reward = US_TAKE(a, float, n);
  c->ended = US_TAKE(a, uint8_t, n);
  c->pixels = US_TAKE(a, uint8_t, all * c->frame);
  c->actions = US_TAKE(a, float, all*(size_t)info->action);
  c->proprio = US_TAKE(a, float, all*(size_t)info->proprio);
  c->states = US_TAKE(a, double, all*(size_t)info->state);
  c->rewards = US_TAKE(a, float, all);
  c->terminated = US_TAKE(a, uint8_t, all);
  c->truncated = US_TAKE(a, uint8_t, all);
  c->times = US_TAKE(a, double, all);
  c->drawn = US_TAKE(a, float, n*(size_t)c->vary.count);
  c->variation = US_TAKE(a, float, all*(size_t)c->vary.count);
}

// As many slots as keep the threads busy, as the memory allows, and as there are episodes.
static int choose_slots(const Options* o, int threads, int size) {
  size_t episode = (size_t)(o->steps + 1) * (size_t)size * (size_t)size * 3;
  int fit = (int)(pixel_room / episode), slots = 8 * threads;
  if (slots < kFewestSlots) slots = kFewestSlots;
  if (slots > kMostSlots) slots = kMostSlots;
  if (slots > fit) slots = fit > 0 ? fit : 1;
  return slots < o->episodes ? slots : o->episodes;
}

static UsStatus open_env(Collect* c) {
  const Options* o = c->o;
  if (o->range) US_TRY(us_vary_range("--vary-range", o->range, &c->range));
  const UsTask* task = us_cli_task(o->task);
  int size = o->size || !task ? o->size : task->size;
  c->rows = o->steps + 1;
  c->slots = choose_slots(o, us_pool_threads(c->pool), size ? size : 64);
  UsEnvConfig config = {.slots = c->slots,
                        .block = 1,
                        .height = o->size,
                        .width = o->size,
                        .pixels = 1,
                        .pool = c->pool};
  US_TRY(us_cli_open_sim(o->task, &config, &c->env));
  const UsEnvInfo* info = us_env_info(c->env);
  if (o->vary) US_TRY(us_vary_choose("--vary", o->vary, c->env, &c->vary));
  c->frame = (size_t)info->height * (size_t)info->width * 3;
  layout(&c->arena, c);
  US_TRY(us_machine_need_memory(o->out, (double)c->arena.size));
  US_TRY(us_arena_alloc(&c->arena));
  layout(&c->arena, c);
  c->task = us_sim_task(c->env);
  return us_cli_find_policy(c->task, o->policy, &c->policy);
}

// Opens the file for the episodes behind the first c->done; no writer: all are there.
static UsStatus open_file(Collect* c) {
  const Options* o = c->o;
  const UsEnvInfo* info = us_env_info(c->env);
  US_TRY(us_folder_make_above(o->out));
  UsDatasetInfo d = {.version = US_VERSION,
                     .seed = (uint64_t)o->seed,
                     .height = info->height,
                     .width = info->width,
                     .action = info->action,
                     .proprio = info->proprio,
                     .state = info->state,
                     .variation = c->vary.count,
                     .dt = info->dt};
  snprintf(d.task, sizeof(d.task), "%s", c->task->name);
  snprintf(d.policy, sizeof(d.policy), "%s", c->task->policies[c->policy].name);
  snprintf(d.camera, sizeof(d.camera), "%s", c->task->camera);
  US_TRY(us_gl_renderer(o->task, d.renderer, sizeof(d.renderer) / 4));
  snprintf(d.diverged, sizeof(d.diverged), "%s", diverged_names[c->o->how]);
  if (c->vary.count) {
    us_vary_names(&c->vary, c->env, d.variation_names, sizeof(d.variation_names));
    snprintf(d.variation_range, sizeof(d.variation_range), "%s", us_vary_range_names[c->range]);
  }
  if (o->resume && us_file_exists(o->out)) {
    return us_dataset_resume(o->out, &d, o->episodes, c->rows, &c->done, &c->writer);
  }
  return us_dataset_create(o->out, &d, o->episodes, c->rows, o->overwrite, &c->writer);
}

// ---- the command ----

// rows, seconds: in the file, and what its new_rows took
static void print_result(const Collect* c, int64_t rows, int64_t new_rows, double seconds) {
  struct stat file;
  double bytes = stat(c->o->out, &file) == 0 ? (double)file.st_size : 0;
  printf("%s: %lld episodes, %lld rows of %d x %d, %.0f frames/s, %.1f MB", c->o->out,
         (long long)c->done, (long long)rows, us_env_info(c->env)->width,
         us_env_info(c->env)->height, (double)new_rows / seconds, bytes / 1e6);
  if (c->redrawn) printf("; %lld drawn anew after diverging", (long long)c->redrawn);
  if (c->cut) printf("; %lld cut short by diverging", (long long)c->cut);
  us_cli_print_warnings("; ", c->env);
  printf("\n");
}

// Ends a run that failed or was stopped, whose file is closed.
static UsStatus end_early(const Collect* c, UsStatus status, const char* message) {
  if (status == US_INTERRUPTED) {
    return us_fail(US_INTERRUPTED, "%s: stopped, with %lld of %d episodes finished%s", c->o->out,
                   (long long)c->done, c->o->episodes,
                   c->done ? "; --resume goes on" : "; no file is left");
  }
  if (c->done == 0) return us_fail(status, "%s", message);
  return us_fail(status, "%s; %lld episode%s before it %s kept%s", message, (long long)c->done,
                 c->done == 1 ? "" : "s", c->done == 1 ? "is" : "are",
                 status == US_MUJOCO ? "" : ", --resume goes on");
}

static UsStatus collect(Collect* c) {
  US_TRY(open_env(c));
  US_TRY(open_file(c));
  if (!c->writer) {
    printf("%s: is complete\n", c->o->out);
    return US_OK;
  }
  const double start = us_seconds(), all = (double)c->o->episodes * c->rows;
  const int64_t asked = c->o->episodes, before = us_dataset_written(c->writer);
  UsProgress bar = us_progress_start("collect", "frames", all, (double)c->done * c->rows);
  UsStatus status = US_OK;
  while (status == US_OK && c->done < asked) {
    int n = asked - c->done < c->slots ? (int)(asked - c->done) : c->slots;
    status = collect_batch(c, n, &bar);
  }
  us_progress_end(&bar);
  double seconds = us_seconds() - start;
  char message[1024];
  snprintf(message, sizeof(message), "%s", us_message());
  const int64_t rows = us_dataset_written(c->writer);
  UsStatus finished = us_dataset_finish(c->writer);
  c->writer = NULL;
  if (status == US_INTERRUPTED) US_TRY(finished);
  if (status != US_OK) return end_early(c, status, message);
  if (finished == US_OK) print_result(c, rows, rows - before, seconds);
  return finished;
}

// --vary help: lists the factors of the task.
static UsStatus list_factors(const char* task) {
  UsEnv* env;
  const UsFactor* const* list;
  US_TRY(us_cli_open_sim(task, NULL, &env));
  int count = us_sim_factors(env, &list);
  printf("factors of %s:\n", task);
  for (int i = 0; i < count; i++) {
    printf("  %-16s %-9s %s\n", list[i]->name, list[i]->physical ? "physical" : "visual",
           list[i]->summary);
  }
  us_env_close(env);
  return US_OK;
}

static int check_options(const char* command, Options* o) {
  if (!o->task) return us_cli_usage(command, "expected --task");
  while (o->diverged && o->how < kDivergedCount && strcmp(o->diverged, diverged_names[o->how])) {
    o->how++;
  }
  if (o->how == kDivergedCount) {
    return us_cli_usage(command, "--diverged: expected redraw, keep or stop, found \"%s\"",
                        o->diverged);
  }
  if (o->vary && strcmp(o->vary, "help") == 0) {
    UsStatus status = list_factors(o->task);
    return status == US_OK ? 0 : us_cli_fail(command, status);
  }
  if (o->range && !o->vary) return us_cli_usage(command, "--vary-range: expected --vary too");
  if (!o->out) return us_cli_usage(command, "expected --out");
  if (o->episodes < 1) return us_cli_usage(command, "expected --episodes of at least 1");
  if (o->steps < 1 || o->steps > 1000000) {
    return us_cli_usage(command, "expected --steps from 1 to 1000000, found %d", o->steps);
  }
  if (o->size != 0 && (o->size < 8 || o->size > 2048)) {
    return us_cli_usage(command, "expected --size from 8 to 2048, found %d", o->size);
  }
  if (o->threads < 0) return us_cli_usage(command, "expected --threads of 0 or more");
  if (o->overwrite && o->resume) {
    return us_cli_usage(command, "expected --resume or --overwrite, found both");
  }
  UsStatus status = us_lock_check(o->out);  // before the simulator is opened
  if (status != US_OK) return us_cli_fail(command, status);
  if (us_file_exists(o->out) && !o->overwrite && !o->resume) {
    us_fail(US_IO, "%s: the file exists; --resume goes on with it, --overwrite replaces it",
            o->out);
    return us_cli_fail(command, US_IO);
  }
  return -1;
}

static const char help[] =
    "Plays a behaviour policy in the simulator and records every env step with its frame, in one\n"
    "HDF5 file. The same seed gives the same trajectories for any number of threads. An episode "
    "of\n"
    "200 steps has 201 rows: its last row is the final frame, without an action. Ctrl-C keeps the\n"
    "episodes that are finished; so does a kill. --resume goes on behind them to the same file; "
    "with\n"
    "more --episodes it makes a finished file longer.\n\n"
    "--task mjcf:FILE.xml takes any MuJoCo model, a robot of your own, as a task: all controls "
    "are\n"
    "actions, all joints are the state (`understudy inspect FILE.xml` shows what it makes of "
    "it).\n\n"
    "--vary draws factors of variation anew for every episode and records them in the file: names "
    "of\n"
    "factors (--vary help lists those of the task), groups such as light, colour or camera, "
    "visual,\n"
    "physical, or all. Every factor is a number in [-1, 1], 0 the scene as it is; --vary-range "
    "train\n"
    "draws from [-0.7, 0.7], test from the held-out outer part, 0.75 to 1 on both sides, all from\n"
    "everything.\n\n"
    "An episode diverges when its state is no number or beyond what MuJoCo takes (1e10), or when "
    "MuJoCo\n"
    "calls its physics unstable. --diverged redraw draws it anew, from a seed that (seed, episode, "
    "draw)\n"
    "names; keep records it up to the last good row, which is terminated; stop ends the run.\n\n"
    "Example:\n"
    "  understudy collect --task pointmaze --episodes 200 --seed 1 --out runs/train.h5\n"
    "  understudy dataset preview runs/train.h5 --out runs/train.png\n";

int us_cmd_collect(int argc, const char** argv) {
  Options o = {.steps = 200};
  struct poptOption table[] = {
      {"task", 0, POPT_ARG_STRING, &o.task, 0, "what to record; also mjcf:FILE.xml", "NAME"},
      {"episodes", 0, POPT_ARG_INT, &o.episodes, 0, "how many episodes", "N"},
      {"out", 0, POPT_ARG_STRING, &o.out, 0, "the HDF5 file to write", "FILE"},
      {"steps", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.steps, 0, "env steps an episode",
       "N"},
      {"seed", 0, POPT_ARG_LONGLONG | POPT_ARGFLAG_SHOW_DEFAULT, &o.seed, 0,
       "names all random numbers", "S"},
      {"policy", 0, POPT_ARG_STRING, &o.policy, 0, "a policy of the task; default: its first",
       "NAME"},
      {"size", 0, POPT_ARG_INT, &o.size, 0, "pixels of a frame's side; default: the task's", "PX"},
      {"threads", 0, POPT_ARG_INT, &o.threads, 0, "threads; default: one per processor", "N"},
      {"vary", 0, POPT_ARG_STRING, &o.vary, 0, "factors of variation to draw; help lists them",
       "LIST"},
      {"vary-range", 0, POPT_ARG_STRING, &o.range, 0, "train, test or all; default: train", "R"},
      {"diverged", 0, POPT_ARG_STRING, &o.diverged, 0,
       "an episode that diverges: redraw, keep or stop; default: redraw", "HOW"},
      {"resume", 0, POPT_ARG_NONE, &o.resume, 0, "go on with a stopped run's file", NULL},
      {"overwrite", 0, POPT_ARG_NONE, &o.overwrite, 0, "replace an existing file", NULL},
      POPT_TABLEEND};
  int code = us_cli_parse(argc, argv, table, "--task NAME --episodes N --out FILE [options]", help,
                          NULL, 0);
  if (code < 0) code = check_options(argv[0], &o);
  if (code < 0) {
    Collect c = {.o = &o, .pool = us_pool_create(o.threads)};
    UsStatus status = c.pool ? collect(&c) : us_fail(US_MEMORY, "out of memory for threads");
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
    us_dataset_finish(c.writer);
    us_env_close(c.env);
    us_arena_free(&c.arena);
    us_pool_destroy(c.pool);
  }
  free(o.task);
  free(o.out);
  free(o.policy);
  free(o.vary);
  free(o.range);
  free(o.diverged);
  return code;
}
