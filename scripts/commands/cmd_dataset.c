// understudy dataset: what a dataset holds, as text or as a picture, whether it is good, and other
// programs' files.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/edit.h"
#include "datasets/exchange.h"
#include "datasets/provenance.h"
#include "datasets/robots.h"
#include "datasets/verify.h"
#include "datasets/video.h"
#include "env/env.h"
#include "env/task.h"
#include "scripts/cli/cli.h"
#include "scripts/report/contact_sheet.h"
#include "tasks/tasks.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/text.h"
#include "worldmodel/encoder.h"
#include "worldmodel/model_folder.h"

enum { kMostEpisodes = 100, kDrawn = 8, kShown = 8 };

// ---- info ----

// The range of each number of a column, a line a number. Exactly one of x (float) and y (double),
// (rows, width), is not NULL.
static void print_ranges(const char* name, const float* x, const double* y, int64_t rows,
                         int width) {
  for (int i = 0; i < width; i++) {
    if (i == kShown && width > kShown + 1) {
      printf("  %-9s ... %d more\n", "", width - kShown);
      return;
    }
    if (us_interrupted()) return;
    // Over all rows, NaNs left out.
    double low = INFINITY, high = -INFINITY, count = 0, sum = 0, square = 0;
    for (int64_t row = 0; row < rows; row++) {
      double v = x ? (double)x[row * width + i] : y[row * width + i];
      if (!isfinite(v)) continue;
      count++;
      sum += v;
      square += v * v;
      low = fmin(low, v);
      high = fmax(high, v);
    }
    double mean = count > 0 ? sum / count : NAN;
    double std = count > 0 ? sqrt(fmax(square / count - mean * mean, 0)) : NAN;
    // A line of the table.
    char label[64];
    snprintf(label, sizeof(label), "%s[%d]", name, i);
    printf("  %-12s %10.4f .. %-10.4f mean %10.4f  std %10.4f\n", label, low, high, mean, std);
  }
}

// What a file says of itself, where it does.
static const char* known(const char* text) {
  return text[0] ? us_shown(text) : "(not said)";
}

// Files that it was made of.
static void print_sources(const char* at) {
  int lines = 0;
  UsSource s;
  for (; (at = us_source_next(at, &s)); lines++) {
    if (lines >= kShown) continue;
    printf("  %-12s seed %s, %s, content %s\n", lines ? "" : "made of", us_shown(s.seed),
           us_shown(s.policy), us_shown(s.content));
  }
  if (lines > kShown) printf("  %-12s ... %d more\n", "", lines - kShown);
}

// The robot that it keeps, if any.
static void print_robot(const char* path) {
  UsRobot r = {0};
  char hash[US_HASH_CHARS];
  if (us_data_robot(path, &r) != US_OK) {
    printf("  robot        missing: %s\n", us_message());
  } else if (r.count && us_robot_hash(&r, hash) == US_OK) {
    size_t bytes = 0;
    for (int i = 1; i < r.count; i++) bytes += r.file[i].size;
    printf("  robot        %d file%s of %.1f kB, content %.16s, in %s%s\n", r.count - 1,
           r.count == 2 ? "" : "s", (double)bytes / 1e3, hash,
           us_robot_needs_zip(&r) ? r.task : "the file itself",
           us_robot_needs_zip(&r) ? ".zip beside it" : "");
  }
  us_robot_free(&r);
}

static void print_info(UsDataset* d) {
  const UsDatasetInfo* info = us_dataset_info(d);
  const int32_t* length = us_dataset_lengths(d);
  int32_t shortest = length[0], longest = length[0];
  for (int64_t e = 1; e < info->episodes; e++) {
    if (length[e] < shortest) shortest = length[e];
    if (length[e] > longest) longest = length[e];
  }
  // Where it comes from.
  printf("%s\n", us_dataset_path(d));
  printf("  task         %s\n", known(info->task));
  printf("  policy       %s\n", known(info->policy));
  printf("  seed         %llu\n", (unsigned long long)info->seed);
  printf("  version      %s\n", known(info->version));
  printf("  camera       %s\n", known(info->camera));
  if (info->camera_pose[0]) printf("  its pose     %s\n", us_shown(info->camera_pose));
  if (info->height) printf("  renderer     %s\n", known(info->renderer));
  print_robot(us_dataset_path(d));
  if (info->variation) {
    printf("  varies       %s\n", us_shown(info->variation_names));
    printf("  range        %s\n", us_shown(info->variation_range));
  }
  if (info->diverged[0]) printf("  diverged     %s\n", info->diverged);
  print_sources(us_dataset_sources(d));
  // A file that is not finished has a writer, or had one.
  UsLockHolder who;
  printf("  finished     ");
  if (info->finished) {
    printf("yes\n");
  } else if (us_lock_holder(us_dataset_path(d), &who)) {
    printf("no: being written by pid %ld on %s since %s, %lld of %lld episodes\n", who.pid,
           us_shown(who.host), us_shown(who.since), (long long)info->episodes,
           (long long)us_dataset_room(d));
  } else {
    printf("no: its writer was killed after %lld of %lld episodes; collect --resume goes on\n",
           (long long)info->episodes, (long long)us_dataset_room(d));
  }
  // What it holds.
  printf("  episodes     %lld of %d to %d rows\n", (long long)info->episodes, shortest, longest);
  printf("  rows         %lld, %.4g s apart: %.1f minutes\n", (long long)info->rows, info->dt,
         (double)info->rows * info->dt / 60);
  if (info->height) {
    printf("  pixels       %d x %d, %s\n", info->width, info->height,
           info->checksums ? "each with a checksum" : "without checksums");
  } else {
    printf("  pixels       none\n");
  }
  if (info->action == 0)
    printf("  actions      none: film, which pretrain and finetune --film take\n");
  print_ranges("action", us_dataset_actions(d), NULL, info->rows, info->action);
  print_ranges("proprio", us_dataset_proprio(d), NULL, info->rows, info->proprio);
  print_ranges("state", NULL, us_dataset_states(d), info->rows, info->state);
}

// ---- verify ----

static UsStatus verify(const char* path, const char* model) {
  UsVerdict v;
  UsModel* m;
  UsEncoder* e;
  char predictor[4096];
  int height = 0, width = 0;
  // The frame size of a model's or encoder's folder, where one is given.
  snprintf(predictor, sizeof(predictor), "%s/predictor.safetensors", model ? model : "");
  if (model && us_file_exists(predictor)) {
    US_TRY(us_model_open(model, NULL, &m));
    height = us_model_info(m)->height;
    width = us_model_info(m)->width;
    us_model_destroy(m);
  } else if (model) {
    US_TRY(us_encoder_open(model, NULL, &e));
    height = us_encoder_info(e)->height;
    width = us_encoder_info(e)->width;
    us_encoder_destroy(e);
  }
  US_TRY(us_dataset_verify(path, height, width, &v));
  printf("%s: good: %lld episodes, %lld rows, content %.16s, written by %s%s%s%s%s\n", path,
         (long long)v.info.episodes, (long long)v.info.rows, v.hash, us_shown(v.writer),
         v.info.action == 0                   ? "; film without actions"
         : v.info.height && !v.info.checksums ? "; its frames have no checksums"
                                              : "",
         v.left[0] ? "; not read: " : "", us_shown(v.left),
         v.ours ? "" : "; dataset import makes it ours");
  return US_OK;
}

// ---- import ----

// What has to be known of frames: the encoder that everybody begins with has one size.
static UsStatus print_frames(const UsVerdict* v, const UsImportNotes* notes) {
  UsEncoder* e;
  if (notes->frames[0]) printf("  frames of %s\n", us_shown(notes->frames));
  if (v->info.height == 0) return US_OK;
  US_TRY(us_encoder_open("default", NULL, &e));
  int height = us_encoder_info(e)->height, width = us_encoder_info(e)->width;
  us_encoder_destroy(e);
  if (height == v->info.height && width == v->info.width) return US_OK;
  printf("  the embedded encoder sees frames of %d x %d (--size %d), not of %d x %d\n", width,
         height, height, v->info.width, v->info.height);
  return US_OK;
}

// Another program's file as one of ours, and what cannot be done with it here.
static UsStatus import(const char* path, const char* out, const UsImport* config) {
  UsVerdict v;
  UsImportNotes notes;
  const UsTask* task = config->task ? us_cli_task(config->task) : NULL;
  US_TRY(us_dataset_import(path, out, config, &v, &notes));
  // What was taken over, and what not.
  printf("%s: %lld episodes, %lld rows of %s, from %s\n", out, (long long)v.info.episodes,
         (long long)v.info.rows, path, us_shown(v.writer));
  US_TRY(print_frames(&v, &notes));
  if (v.left[0]) printf("  not taken over: %s\n", us_shown(v.left));
  if (notes.made[0]) printf("  not in the file, so made here: %s\n", us_shown(notes.made));
  if (notes.rewards)
    printf("  %lld rewards are not finite: 0 in their place\n", (long long)notes.rewards);
  if (notes.actions) {
    printf("  the actions in the last rows of %lld episodes are left out: no frame follows them\n",
           (long long)notes.actions);
  }
  if (!config->task) {
    printf("  no actions: pretrain and finetune --film take this file, eval does not\n");
    return US_OK;
  }
  if (!task) {
    printf("  no task here is called \"%s\": models can be trained, not evaluated\n", config->task);
  } else {
    // Says so when a file that was imported for a task of ours cannot be played in it.
    UsEnv* e;
    US_TRY(us_cli_open_sim(task->name, NULL, &e));
    int action = us_env_info(e)->action, state = us_env_info(e)->state;
    us_env_close(e);
    if (v.info.action && (action != v.info.action || state != v.info.state)) {
      printf(
          "  the task %s here has %d actions and states of %d numbers, the file %d and %d: models\n"
          "  can be trained, not evaluated\n",
          task->name, action, state, v.info.action, v.info.state);
    }
  }
  if (!v.info.action)
    printf("  no column of actions: film, which pretrain and finetune --film take\n");
  if (!v.info.state) printf("  no column of states: no simulator can start from these rows\n");
  return US_OK;
}

// Film as a dataset, and what was made of it.
static UsStatus import_film(const char* const* paths, const char* out, const UsImport* config) {
  UsVideoNotes n;
  US_TRY(us_video_import(paths, out, config, &n));
  printf("%s: %lld episodes, %lld rows %.4g s apart, from %d clip%s of %lld pictures\n", out,
         (long long)n.episodes, (long long)n.rows, n.dt, n.clips, n.clips == 1 ? "" : "s",
         (long long)n.pictures);
  const int even = config->dt > 0 || config->fps > 0;
  if (n.irregular) {
    printf("  the pictures of %d clip%s are unevenly apart (%.3g to %.3g s): %s\n", n.irregular,
           n.irregular == 1 ? "" : "s", n.low, n.high,
           even ? "the nearest was taken at each step"
                : "their own times are kept; --fps makes steps equal");
  }
  if (n.repeated) {
    printf("  %lld rows repeat the one before: steps are shorter than the film's\n",
           (long long)n.repeated);
  }
  if (n.dropped) {
    printf("  %lld pictures without a later time than the one before were left out\n",
           (long long)n.dropped);
  }
  if (n.damaged) printf("  damaged, what can be read is kept: %d of them\n", n.damaged);
  if (n.skipped) printf("  left out, nothing can be read: %d of them\n", n.skipped);
  if (n.damage[0]) printf("  %s\n", us_shown(n.damage));
  printf("  no actions: pretrain and finetune --film take this file, eval does not\n");
  return US_OK;
}

// ---- preview ----

// The picture has at most as many lines as the file has episodes.
static UsStatus draw_preview(UsDataset* d, const char* out, int episodes) {
  // One program at a time draws the picture.
  int drawn = 0;
  UsLock* lock;
  US_TRY(us_lock_take(out, &lock));
  if (episodes > us_dataset_info(d)->episodes) episodes = (int)us_dataset_info(d)->episodes;
  UsStatus status = us_contact_sheet_draw(d, episodes, out, &drawn);
  if (status == US_OK) {
    printf("%s: %d episodes of %s%s\n", out, drawn, us_dataset_path(d),
           drawn < episodes ? ", as many as fit a picture" : "");
  }
  us_lock_release(lock);
  return status;
}

// ---- merge, split, drop ----

static void print_edited(const char* out, const UsEdited* made) {
  printf("%s: %lld episodes, %lld rows\n", out, (long long)made->episodes, (long long)made->rows);
  if (made->repeated)
    printf("  %lld of them have the frames of another\n", (long long)made->repeated);
}

// ---- the command ----

static const char help[] =
    "info     prints where the trajectories come from, how many there are, and the range of every\n"
    "         number.\n"
    "preview  draws a contact sheet: an episode a line, frames along time.\n"
    "verify   checks the layout, every number and every frame's checksum, of our files and of "
    "those\n"
    "         that stable-worldmodel wrote (which have no checksums); exit code 1 and one line "
    "that\n"
    "         names the row or episode when something is wrong. With --model, frames must have "
    "the\n"
    "         size that it sees.\n"
    "import   writes another program's HDF5 file into one of ours, and says which columns it "
    "does not\n"
    "         take over and which it has to make up. Frames may be grey, have their colours first, "
    "be\n"
    "         of any size (--size, --fit, --crop) and any kind of number (--range says black and "
    "white).\n"
    "         Without ep_len episodes end where episode_idx, step_idx, or terminated and truncated "
    "say\n"
    "         so, or after --steps rows. Or film: clips of any kind that libav reads and folders "
    "of\n"
    "         pictures (PNG, JPEG), in the order of their names. A clip is an episode, cut after "
    "--steps\n"
    "         rows and where it jumps in time; rows have the clip's own times, or equal steps "
    "with\n"
    "         --fps. What has no actions pretrain and finetune --film take.\n"
    "convert  writes one of ours as stable-worldmodel's loaders expect it.\n"
    "merge    writes the episodes of several files of ours into one; files of another task, "
    "sizes,\n"
    "         camera or variation are refused.\n"
    "split    draws the --share of the episodes that --out gets by --seed; --rest gets the "
    "others.\n"
    "drop     writes all episodes but those of --episodes, numbered from 0.\n"
    "         Files made by these three know what they are made of: eval still refuses what a "
    "model\n"
    "         was trained on, and takes the other part of a split.\n\n"
    "Examples:\n"
    "  understudy dataset preview runs/train.h5 --out runs/train.png --episodes 12\n"
    "  understudy dataset verify runs/train.h5 --model runs/model\n"
    "  understudy dataset import pusht.h5 --task pusht --dt 0.1 --out runs/pusht.h5\n"
    "  understudy dataset import arm.h5 --pixels images --range 0:1 --size 64 --fit letterbox\n"
    "      --fps 30 --task arm --out runs/arm.h5\n"
    "  understudy dataset import a.mp4 b.mkv pictures/ --fps 10 --out runs/film.h5\n"
    "  understudy dataset merge runs/a.h5 runs/b.h5 --out runs/both.h5\n"
    "  understudy dataset split runs/both.h5 --share 0.9 --out runs/train.h5 --rest runs/held.h5\n"
    "  understudy dataset drop runs/train.h5 --episodes 3,7-9 --out runs/good.h5\n";

typedef struct Options {
  char *out, *model, *rest, *episodes;
  double share;
  long long seed;
  UsImport import;
} Options;

// A verb of the command, and whether it writes to --out.
static const struct {
  const char* name;
  int writes;
} verbs[] = {{"info", 0},    {"preview", 1}, {"verify", 0}, {"import", 1},
             {"convert", 1}, {"merge", 1},   {"split", 1},  {"drop", 1}};
enum { kVerbs = sizeof(verbs) / sizeof(*verbs) };

static int is_edit(const char* verb) {
  return strcmp(verb, "merge") == 0 || strcmp(verb, "split") == 0 || strcmp(verb, "drop") == 0;
}

// Files of ours from files of ours.
static UsStatus edit(const char* verb, const char* const* paths, const Options* o) {
  UsEdited made[2];
  const int overwrite = o->import.overwrite, split = strcmp(verb, "split") == 0;
  if (split) {
    US_TRY(
        us_dataset_split(paths[0], o->share, (uint64_t)o->seed, o->out, o->rest, overwrite, made));
  } else if (strcmp(verb, "merge") == 0) {
    US_TRY(us_dataset_merge(paths, o->out, overwrite, made));
  } else {
    US_TRY(us_dataset_drop(paths[0], o->episodes, o->out, overwrite, made));
  }
  print_edited(o->out, &made[0]);
  if (split) print_edited(o->rest, &made[1]);
  return US_OK;
}

// Runs a verb whose use was checked; further files are film or to be merged.
static UsStatus run_verb(const char* verb, const char* const* paths, const Options* o) {
  const UsImport* c = &o->import;
  const char* path = paths[0];
  if (strcmp(verb, "verify") == 0) return verify(path, o->model);
  if (strcmp(verb, "import") == 0) {
    return paths[1] || us_video_is(path) ? import_film(paths, o->out, c) : import(path, o->out, c);
  }
  if (strcmp(verb, "convert") == 0) {
    char left[US_LEFT_CHARS];
    US_TRY(us_dataset_convert(path, o->out, c->bound, c->overwrite, left));
    printf("%s: %s for stable-worldmodel's loaders\n", o->out, path);
    if (left[0]) printf("  not taken over: %s\n", left);
    return US_OK;
  }
  if (is_edit(verb)) return edit(verb, paths, o);
  // The others show a file of ours.
  UsDataset* d;
  US_TRY(us_dataset_open(path, &d));
  int info = strcmp(verb, "info") == 0;
  if (info) print_info(d);
  UsStatus status = info ? us_interrupt_check(path)
                         : draw_preview(d, o->out, o->episodes ? atoi(o->episodes) : kDrawn);
  us_dataset_close(d);
  return status;
}

// The same; what is no HDF5 file may be film.
static UsStatus run_or_point(const char* verb, const char* const* paths, const Options* o) {
  char message[1024];
  UsStatus status = run_verb(verb, paths, o);
  if (status != US_FORMAT || strcmp(verb, "import") == 0 || !us_video_is(paths[0])) return status;
  snprintf(message, sizeof(message), "%s", us_message());
  return us_fail(status, "%s (film? dataset import makes a dataset of it)", message);
}

// The exit code of wrong use, -1 when all is fine.
static int check_use(const char* command, const char* verb, const char* const* paths,
                     const Options* o) {
  const char* path = verb[0] ? paths[0] : NULL;
  int k = 0;
  while (k < kVerbs && strcmp(verbs[k].name, verb) != 0) k++;
  if (k == kVerbs) {
    return us_cli_usage(command,
                        "expected info, preview, verify, import, convert, merge, split or drop, "
                        "found \"%s\"",
                        verb);
  }
  // What every verb needs, then what some need.
  if (!path) return us_cli_usage(command, "%s: expected a file", verb);
  if (verbs[k].writes && !o->out) return us_cli_usage(command, "%s: expected --out", verb);
  char* end = NULL;
  const int drop = strcmp(verb, "drop") == 0;
  long drawn = drop || !o->episodes ? kDrawn : strtol(o->episodes, &end, 10);
  if (drawn < 1 || drawn > kMostEpisodes || (end && *end)) {
    return us_cli_usage(command, "expected --episodes from 1 to %d, found %s", kMostEpisodes,
                        o->episodes);
  }
  if (drop && !o->episodes) {
    return us_cli_usage(command, "drop: expected --episodes, such as 3,7-9");
  }
  if (strcmp(verb, "split") == 0 && !o->rest) {
    return us_cli_usage(command, "split: expected --rest, a file for the other part");
  }
  if (strcmp(verb, "merge") == 0) {
    return paths[1] ? -1 : us_cli_usage(command, "merge: expected at least 2 files");
  }
  // Trajectories are of a task, film may be of anything, in any number of clips.
  const char* task = o->import.task;
  const int import = strcmp(verb, "import") == 0, film = import && us_video_is(path);
  for (int i = 1; paths[i]; i++) {
    if (film && us_video_is(paths[i])) continue;
    if (film || import) {
      return us_cli_usage(command, "import: expected one HDF5 file or only film, found \"%s\"",
                          paths[i]);
    }
    return us_cli_usage(command, "unexpected argument \"%s\"", paths[i]);
  }
  if (import && task && (!task[0] || strlen(task) > 63)) {
    return us_cli_usage(command, "import: expected --task, a name of at most 63 bytes");
  }
  return -1;
}

int us_cmd_dataset(int argc, const char** argv) {
  Options o = {.share = 0.9};
  us_settings_default(us_import_settings, &o.import);
  struct poptOption table[US_CLI_ROWS] = {
      {"out", 0, POPT_ARG_STRING, &o.out, 0, "what all but info and verify write, preview a PNG",
       "FILE"},
      {"episodes", 0, POPT_ARG_STRING, &o.episodes, 0,
       "preview: how many it shows (8); drop: which go, such as 3,7-9", "N"},
      {"share", 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &o.share, 0,
       "split: the part of the episodes that --out gets", "X"},
      {"rest", 0, POPT_ARG_STRING, &o.rest, 0, "split: where the others go", "FILE"},
      {"seed", 0, POPT_ARG_LONGLONG | POPT_ARGFLAG_SHOW_DEFAULT, &o.seed, 0,
       "split: what the choice is drawn by", "N"},
      {"model", 0, POPT_ARG_STRING, &o.model, 0, "verify: a model's or encoder's folder", "DIR"},
      POPT_TABLEEND};
  us_cli_rows(us_import_settings, &o.import, table);
  // The words are a verb and files.
  const char** words = calloc((size_t)argc + 1, sizeof(*words));
  int code =
      words ? us_cli_parse(argc, argv, table,
                           "info|preview|verify|import|convert|merge|split|drop FILE... [options]",
                           help, words, argc)
            : us_cli_fail(argv[0], us_fail(US_MEMORY, "out of memory"));
  if (code < 0) code = check_use(argv[0], words[0] ? words[0] : "", words + 1, &o);
  if (code < 0) {
    UsStatus status = run_or_point(words[0], words + 1, &o);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  free(words);
  us_cli_free(us_import_settings, &o.import);
  free(o.out);
  free(o.model);
  free(o.rest);
  free(o.episodes);
  return code;
}
