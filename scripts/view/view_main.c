// understudy-view, which `understudy view` starts: watch or drive a task in a window, beside what a
// world model imagines, or film it without one.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/goal.h"
#include "env/gl.h"
#include "scripts/cli/cli.h"
#include "scripts/view/view_film.h"
#include "scripts/view/view_keys.h"
#include "scripts/view/view_live.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/progress.h"

enum { kSheetSide = 160, kPolicySteps = 200 };
static const double fastest = 40, usual = 30;  // pictures a second of a film

#define VIEW_SETTINGS(X)                                                                           \
  X(TEXT, task, 0, 0, 0, FREE, "T", "task (the data's or the model's)")                            \
  X(TEXT, model, 0, 0, 0, FREE, "DIR", "model folder: imagines on the right, and for the planner") \
  X(TEXT, data, 0, 0, 0, FREE, "F.h5", "trajectories: episodes to show, pairs of start and goal")  \
  X(INT, episode, -1, 0, INT32_MAX, FREE, "N", "of the data that a replay begins with (0)")        \
  X(TEXT, goal, 0, 0, 0, FREE, "GOAL", "to drive or plan to: " US_GOAL_HELP)                       \
  X(TEXT, policy, 0, 0, 0, FREE, "NAME", "watch a policy of the task")                             \
  X(TEXT, plan, 0, 0, 0, FREE, "NAME", "watch a planner:" US_PLANNERS(US_NAME_SHOWN))              \
  X(FLAG, follow, 0, 0, 1, FREE, NULL, "the model observes every block")                           \
  X(SEED, seed, 0, 0, 0, FREE, "S", "of the first episode; the next ones count on")                \
  X(REAL, speed, 1, 0.001, 1000, FREE, "X", "1: as fast as real time")                             \
  X(FLAG, paused, 0, 0, 1, FREE, NULL, "begin paused")                                             \
  X(TEXT, collect, 0, 0, 0, FREE, "F.h5", "record what is driven, episode by episode")             \
  X(INT, episodes, 50, 1, 1 << 20, FREE, "N",                                                      \
    "with --collect: episodes that the file has room for")                                         \
  X(INT, longest, 600, 1, 1000000, FREE, "N", "with --collect: env steps of an episode at most")   \
  X(FLAG, resume, 0, 0, 1, FREE, NULL, "with --collect: go on with a file")                        \
  X(FLAG, overwrite, 0, 0, 1, FREE, NULL, "with --collect: replace a file")                        \
  X(TEXT, record, 0, 0, 0, FREE, "F.mp4|gif|png", "film into this file, without a window")         \
  X(INT, steps, 0, 0, 1000000000, FREE, "N", "end after so many env steps; a film: one episode")   \
  X(REAL, seconds, 0, 0, 1e9, FREE, "S", "close the window after so long; 0: never")               \
  X(TEXT, screenshot, 0, 0, 0, FREE, "F.png", "file of the key V (view-001.png, ...)")             \
  X(INT, size, 0, 64, 2048, FREE, "N", "pixels of a panel's height (480; in a sheet 160)")         \
  X(INT, threads, 0, 0, 4096, FREE, "N", "changes no result; 0: all processors")                   \
  X(TEXT, gl, 0, 0, 0, FREE, "WHAT", US_GL_HELP)                                                   \
  US_DEVICE_SETTINGS(X)

typedef struct Options {
  VIEW_SETTINGS(US_SETTING_FIELD)
  UsPlannerConfig planner;
} Options;

#define US_SETTING_OF Options
static const UsSetting settings[] = {VIEW_SETTINGS(US_SETTING_ROW) US_SETTING_END};

// ---- films ----

typedef struct Recorder {
  UsShow* show;
  UsStage* stage;
  UsFilm* film;
  UsStageNotes notes;
  uint8_t* pixels;
  int pictures;
} Recorder;

static UsStatus shoot(Recorder* r, int inner) {
  US_TRY(us_stage_draw(r->stage, r->show, inner, &r->notes, r->pixels));
  r->pictures++;
  return us_film_add(r->film, r->pixels);
}

// One env step and its pictures.
static UsStatus film_step(Recorder* r, int step, int stride, const float* still) {
  UsShow* s = r->show;
  if (s->over) {
    US_TRY(us_show_reset(s, s->seed + 1, 0));
    return shoot(r, s->inner - 1);
  }
  US_TRY(us_show_step(s, still));
  if (step % stride != 0) return US_OK;
  for (int i = 0; i < s->inner; i++) US_TRY(shoot(r, i));
  return US_OK;
}

// Films `steps` env steps, or one episode when it is 0. stride: env steps from picture to picture;
// where it is 1, every inner state is one.
static UsStatus film(Recorder* r, int steps, int stride) {
  static const float still[US_TASK_ACTIONS];
  // A policy has no end of its own.
  int one = steps == 0;
  if (one) steps = r->show->mode == US_VIEW_policy ? kPolicySteps : INT32_MAX;
  UsProgress bar = us_progress_start("view", "env steps", one ? 0 : steps, 0);
  UsStatus status = shoot(r, r->show->inner - 1);
  for (int i = 1; status == US_OK && i <= steps && !(one && r->show->over); i++) {
    if (us_interrupted()) {
      status = US_INTERRUPTED;
      break;
    }
    status = film_step(r, i, stride, still);
    if (!one) us_progress_show(&bar, i, NULL);
  }
  us_progress_end(&bar);
  return status;
}

// Ends a line: what the simulator said, if anything.
static void print_trouble(const UsShow* s) {
  if (s->diverged) {
    printf("; %d episode%s diverged", s->diverged, s->diverged == 1 ? "" : "s");
  }
  us_cli_print_warnings("; ", s->sim);
  printf("\n");
}

static UsStatus record(const Options* o, UsShow* show, UsStage* stage) {
  if (o->data) US_TRY(us_file_replaceable(o->record, NULL, (const char*[]){o->data, NULL}));
  // Every state is a picture; where that is more than players show, every so many env steps.
  double rate = show->inner * o->speed / us_env_info(show->sim)->dt;
  int stride = show->inner == 1 && rate > fastest ? (int)lround(rate / usual) : 1;
  rate /= stride;
  // The film is as large as the stage; where it stops it is closed whole.
  int height = us_stage_height(stage), width = us_stage_width(stage);
  Recorder r = {.show = show, .stage = stage, .notes = {.speed = o->speed}};
  r.pixels = malloc((size_t)height * (size_t)width * 3);
  if (!r.pixels) return us_fail(US_MEMORY, "out of memory for a film");
  UsStatus status = us_film_open(o->record, height, width, rate, &r.film);
  if (status == US_OK) status = film(&r, o->steps, stride);
  free(r.pixels);
  char message[1024];
  snprintf(message, sizeof(message), "%s", us_message());
  // What was filmed until Ctrl-C is kept; after a failure nothing is.
  int keep = status == US_OK || status == US_INTERRUPTED;
  UsStatus closed = us_film_close(r.film, !keep);
  if (!keep) return us_fail(status, "%s", message);
  US_TRY(closed);
  if (status == US_INTERRUPTED) {
    return us_fail(status, "%s: stopped, with %d pictures", o->record, r.pictures);
  }
  printf("%s: %d pictures of %d x %d, %.4g a second", o->record, r.pictures, width, height, rate);
  print_trouble(show);
  return US_OK;
}

// ---- what is driven ----

static UsStatus open_teleop(const Options* o, UsShow* show, UsTeleop** out) {
  const UsTeleopConfig config = {.out = o->collect,
                                 .episodes = o->episodes,
                                 .longest = o->longest,
                                 .resume = o->resume,
                                 .overwrite = o->overwrite,
                                 .seed = o->seed,
                                 .gl = o->gl};
  return us_teleop_open(&config, show, out);
}

// Closes the file, whatever ended the window, and says what it has.
static UsStatus close_teleop(const Options* o, UsTeleop* t, UsStatus status) {
  if (!t) return status;
  char message[1024];
  long long kept = us_teleop_count(t);
  snprintf(message, sizeof(message), "%s", us_message());
  UsStatus closed = us_teleop_close(t);
  const char* many = kept == 1 ? "" : "s";
  if (status != US_OK) {
    return us_fail(status, "%s; %s: %lld episode%s kept%s", message, o->collect, kept, many,
                   closed == US_OK ? "" : ", of which the last could not be written");
  }
  US_TRY(closed);
  if (kept == 0) {
    printf("%s: no episode was kept, no file is left\n", o->collect);
  } else {
    printf("%s: %lld episode%s\n", o->collect, kept, many);
  }
  return US_OK;
}

// ---- the command ----

static UsStatus view(const Options* o) {
  // Who acts at first is who was named.
  UsViewMode mode = o->collect  ? US_VIEW_drive
                    : o->plan   ? US_VIEW_plan
                    : o->policy ? US_VIEW_policy
                    : o->data   ? US_VIEW_replay
                    : o->record ? US_VIEW_policy
                                : US_VIEW_drive;
  UsDevice* device;
  US_TRY(us_device_open(o->device, o->fast, &device));
  UsPool* pool = us_pool_create(o->threads);
  if (!pool) {
    us_device_close(device);
    return us_fail(US_MEMORY, "out of memory for threads");
  }
  UsShowConfig config = {.task = o->task,
                         .model = o->model,
                         .data = o->data,
                         .goal = o->goal,
                         .policy = o->policy,
                         .planner = o->plan,
                         .episode = o->episode,
                         .seed = o->seed,
                         .mode = mode,
                         .plan = o->planner,
                         .given = us_cli_given(),
                         .pool = pool,
                         .device = device,
                         .gl = o->gl};
  config.plan.pool = pool;
  UsShow show = {0};
  UsStage* stage = NULL;
  // Open the show and its stage; sheets have small panels without text.
  UsStatus status = us_show_open(&config, &show);
  if (status == US_OK) us_show_set_follow(&show, o->follow);
  int bare = o->record && us_film_is_sheet(o->record);
  int side = o->size ? o->size - o->size % 4 : bare ? kSheetSide : 480;
  if (status == US_OK) status = us_stage_open(&show, side, bare, &stage);
  // Then film it, or show it and say what the simulator said.
  if (stage && o->record) {
    status = record(o, &show, stage);
  } else if (stage) {
    UsLiveConfig live = {.steps = o->steps,
                         .seconds = o->seconds,
                         .speed = o->speed,
                         .paused = o->paused,
                         .shot = o->screenshot};
    UsTeleop* teleop = NULL;
    if (o->collect) status = open_teleop(o, &show, &teleop);
    live.teleop = teleop;
    if (status == US_OK) status = us_view_live(&show, stage, &live);
    status = close_teleop(o, teleop, status);
    char kinds[256];
    if (show.diverged || us_sim_warnings(show.sim, kinds, sizeof(kinds))) {
      printf("%s: %d env steps in the last episode", us_env_info(show.sim)->task, show.step);
      print_trouble(&show);
    }
  }
  us_stage_close(stage);
  us_show_close(&show);
  us_device_close(device);
  us_pool_destroy(pool);
  return status;
}

// An exit code where the options do not fit together; -1 where they do, with defaults filled in.
static int check_options(const char* command, Options* o) {
  if (!o->task && !o->model && !o->data) {
    return us_cli_usage(command, "expected --task, --model or --data");
  }
  if (o->plan && o->policy) return us_cli_usage(command, "expected --plan or --policy, found both");
  const char* other = o->plan ? "--plan" : o->policy ? "--policy" : o->data ? "--data" : "--record";
  if (o->collect && (o->plan || o->policy || o->data || o->record)) {
    return us_cli_usage(command, "--collect: expected that somebody drives, found %s", other);
  }
  if (!o->collect && (o->resume || o->overwrite)) {
    return us_cli_usage(command, "--%s: expected --collect too",
                        o->resume ? "resume" : "overwrite");
  }
  if (o->resume && o->overwrite) {
    return us_cli_usage(command, "expected --resume or --overwrite, found both");
  }
  if (o->episode >= 0 && !o->data) return us_cli_usage(command, "--episode: --data is missing");
  UsStatus status = us_gl_check(o->gl);
  if (status == US_OK && o->record) status = us_film_check(o->record);
  if (status != US_OK) return us_cli_fail(command, status);
  if (o->episode < 0) o->episode = 0;
  o->planner.seed = o->seed;
  status = us_planner_check(o->plan ? o->plan : us_planners[0]->name, &o->planner);
  return status == US_OK ? -1 : us_cli_fail(command, status);
}

static const char intro[] =
    "Shows the simulator and, with --model, what the model imagines of the same actions: it "
    "observes\n"
    "its first frames and goes on from the actions alone. Without --policy, --plan or --data the "
    "keys\n"
    "and the mouse drive. With --plan, start and goal come from a trajectory of --data, else from "
    "two\n"
    "resets, or --goal names the goal: a picture (in the model alone), a state, a row of a file; "
    "the\n"
    "planner imagines in the model or, without one, in the simulator. --record films\n"
    "without a window or a display: .mp4, .gif, or a sheet of pictures as .png; Ctrl-C finishes "
    "the\n"
    "file. A robot of one's own is opened from --data or --model, which keep it.\n\n"
    "--collect records what keys, mouse or a gamepad drive, episode by episode, as collect does. "
    "An\n"
    "episode begins with the first move. Enter keeps it, Backspace takes the last one back, Esc "
    "or\n"
    "Ctrl-C ends with those that were kept, --resume goes on. It drives tasks, mjcf: and exec:\n"
    "robots.\n\n"
    "Examples:\n"
    "  understudy view --task pointmaze --model runs/pm/model\n"
    "  understudy view --model runs/pm/model --data runs/pm/heldout.h5 --plan cem\n"
    "  understudy view --model runs/pm/model --plan cem --goal goal.png\n"
    "  understudy view --data runs/pm/heldout.h5 --episode 3 --record episode.mp4\n"
    "  understudy view --task exec:'python3 robot.py' --collect demos.h5\n\nKeys:\n";

static int run(int argc, const char** argv) {
  // The help ends with the lists of keys.
  char help[8192];
  size_t at = (size_t)snprintf(help, sizeof(help), "%s", intro);
#define LINE(label, what) \
  at += (size_t)snprintf(help + at, sizeof(help) - at, "  %-18s %s\n", label, what);
#define X(name, key, label, what) LINE(label, what)
  US_VIEW_KEYS(X)
#undef X
#define X(index, a, b, c, d, label) LINE(label, "number " #index " of the action, less or more")
  US_VIEW_AXES(X)
#undef X
#define X(label, what) LINE(label, what)
  US_VIEW_MOUSE(X)
#undef X
#undef LINE
  US_ASSERT(at < sizeof(help));

  Options o = {.planner = us_planner_defaults()};
  us_settings_default(settings, &o);
  struct poptOption shown[US_CLI_ROWS] = {POPT_TABLEEND}, planner[US_CLI_ROWS] = {POPT_TABLEEND};
  us_cli_rows(settings, &o, shown);
  us_cli_rows(us_planner_settings, &o.planner, planner);
  const struct poptOption table[] = {
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, shown, 0, NULL, NULL},
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, planner, 0, "Planner:", NULL},
      POPT_TABLEEND};
  argv[0] = "view";
  int code = us_cli_parse(argc, argv, table, "--task T [--model DIR] [--data F.h5] [options]", help,
                          NULL, 0);
  if (code < 0) code = us_cli_robots(argv[0], 2, (const char*[]){o.data, o.model});
  if (code < 0) code = check_options(argv[0], &o);
  if (code < 0) {
    UsStatus status = view(&o);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  us_cli_free(settings, &o);
  return code;
}

int main(int argc, const char** argv) {
  return us_cli_main(argc, argv, run);
}
