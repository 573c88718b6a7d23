// understudy collect: record trajectories of a task.

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/collect.h"
#include "env/sim.h"
#include "scripts/cli/cli.h"

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
    "it).\n"
    "The file keeps the robot, with meshes in a zip beside it, so that nothing needs its path "
    "again;\n"
    "--resume takes the task from the file, and a robot as it was recorded.\n\n"
    "--task exec:COMMAND records a robot or a simulator of your own: a program that reads lines of "
    "JSON\n"
    "and answers with states and frames (env/exec.h says how; tests/scripts/robot.py is one). What "
    "goes\n"
    "wrong with it ends the run in one line; whole episodes are kept, and --resume goes on.\n\n"
    "--vary draws factors of variation anew for every episode and records them in the file: names "
    "of\n"
    "factors (--vary help lists those of the task), groups such as light, colour or camera, "
    "visual,\n"
    "physical, or all. Every factor is a number in [-1, 1], 0 the scene as it is; --vary-range "
    "train\n"
    "draws from [-0.7, 0.7], test from the held-out outer part, 0.75 to 1 on both sides, all from\n"
    "everything.\n\n"
    "What moves has to be seen: the last line says how much of the frames changes within a second. "
    "Of a\n"
    "robot's file --camera chooses what they are of; --size 0 records states alone, without "
    "OpenGL.\n\n"
    "Frames are drawn by Mesa's software renderer, with the same bits on every machine. --gl gpu "
    "draws\n"
    "them on the first GPU that works, gpu:N on the N-th that `understudy --version` lists. The "
    "file\n"
    "names its renderer; frames of another differ a little and are not added to it.\n\n"
    "An episode diverges when its state is no number or beyond what MuJoCo takes (1e10), or when "
    "MuJoCo\n"
    "calls its physics unstable. --diverged redraw draws it anew, from a seed that (seed, episode, "
    "draw)\n"
    "names; keep records it up to the last good row, which is terminated; stop ends the run.\n\n"
    "--encode NAME (a folder, default, blur, pca or state, as of finetune's --encoder) also "
    "computes\n"
    "the features that training would compute first, with --device cuda on a GPU. Training looks "
    "for\n"
    "those of its own kind of device, --fast or not.\n\n"
    "Example:\n"
    "  understudy collect --task pointmaze --episodes 200 --seed 1 --out runs/train.h5\n"
    "  understudy dataset preview runs/train.h5 --out runs/train.png\n";

// What was recorded and how fast, and what went wrong on the way.
static void print_recorded(const UsCollectConfig* c, const UsCollectResult* r) {
  struct stat file;
  double bytes = stat(c->out, &file) == 0 ? (double)file.st_size : 0;
  printf("%s: %lld episodes, %lld rows", c->out, (long long)r->episodes, (long long)r->rows);
  if (r->height) printf(" of %d x %d", r->width, r->height);
  printf(", %.0f %s/s, %.1f MB", (double)(r->rows - r->before) / r->seconds,
         r->height ? "frames" : "rows", bytes / 1e6);
  if (isfinite(r->changing)) {
    printf(", %.3g %% of pixels change within a second", 100 * r->changing);
  }
  if (r->redrawn) printf("; %lld drawn anew after diverging", (long long)r->redrawn);
  if (r->cut) printf("; %lld cut short by diverging", (long long)r->cut);
  if (r->warnings) {
    printf("; MuJoCo warned %lld time%s (%s)", r->warnings, r->warnings == 1 ? "" : "s", r->warned);
  }
  printf("\n");
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

int us_cmd_collect(int argc, const char** argv) {
  UsCollectConfig c = us_collect_defaults();
  UsCollectResult result;
  UsStatus status = US_OK;
  struct poptOption table[US_CLI_ROWS] = {POPT_TABLEEND};
  us_cli_rows(us_collect_settings, &c, table);
  int code = us_cli_parse(argc, argv, table, "--task NAME --episodes N --out FILE [options]", help,
                          NULL, 0);
  // A file that is gone on with has its robot, where no other was named.
  int named = c.task && us_cli_task(c.task);
  if (code < 0 && c.resume && !named) code = us_cli_robots(argv[0], 1, (const char*[]){c.out});
  // A list of factors in place of a dataset.
  c.tasks = us_cli_tasks();
  if (code < 0 && c.task && c.vary && strcmp(c.vary, "help") == 0) {
    status = list_factors(c.task);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  // Wrong settings are wrong use, told before a file is made.
  if (code < 0 && us_collect_check(&c) == US_USAGE) {
    code = us_cli_usage(argv[0], "%s", us_message());
  }
  if (code < 0) {
    status = us_collect(&c, &result);
    if (status == US_OK && !result.complete) print_recorded(&c, &result);
    if (status == US_OK && result.complete) printf("%s: is complete\n", c.out);
    if (result.features[0]) printf("%s: features of %s\n", result.features, c.encode);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  us_cli_free(us_collect_settings, &c);
  return code;
}
