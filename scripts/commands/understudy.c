// The program: picks a command from the table in commands.h.

#include <cblas.h>
#include <hdf5.h>
#include <mujoco/mujoco.h>
#include <stdio.h>
#include <string.h>

#include "env/gl.h"
#include "scripts/cli/cli.h"
#include "scripts/commands/commands.h"
#include "tasks/tasks.h"
#include "worldmodel/base/text.h"
#include "worldmodel/ops.h"

typedef struct Command {
  const char* name;
  const char* summary;
  int (*run)(int argc, const char** argv);
} Command;

static const Command commands[] = {
#define X(name, summary) {#name, summary, us_cmd_##name},
    US_COMMANDS(X)
#undef X
};
// What the Python package's program has besides.
static const struct {
  const char *name, *summary;
} in_python[] = {
    {"import", "data of LeRobot, Minari or DINO-WM as a dataset (in the Python package)"},
    {"export", "a dataset for LeRobot or Minari (in the Python package)"}};
enum { kCommands = sizeof(commands) / sizeof(commands[0]), kHelpWords = 8 };

// What the program is for and what it takes, from its tables.
static void print_help(FILE* f) {
  // Commands, tasks, and an example of the whole loop.
  fprintf(
      f,
      "Usage: understudy COMMAND [options]\n\n"
      "World models that stand in for MuJoCo simulators: collect trajectories, train a model on\n"
      "them, plan in it, and count successes against floor and ceiling.\n\nCommands:\n");
  for (int i = 0; i < kCommands; i++)
    fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].summary);
  for (int i = 0; i < 2; i++) fprintf(f, "  %-10s %s\n", in_python[i].name, in_python[i].summary);
  fprintf(f, "\nTasks (--plugin FILE.so adds others to any command):\n");
  for (int i = 0; us_tasks[i]; i++)
    fprintf(f, "  %-16s %s\n", us_tasks[i]->name, us_tasks[i]->summary);
  fprintf(f, "  %-16s %s\n", "mjcf:", "any MJCF file, or the zip that data keep of one");
  fprintf(f, "  %-16s %s\n",
          "exec:", "a robot or simulator of your own, as in --task exec:'python3 robot.py'");
  fprintf(f,
          "\n`understudy help COMMAND` explains each command with an example. The whole loop:\n"
          "  understudy collect --task pointmaze --episodes 500 --seed 1 --out train.h5\n"
          "  understudy collect --task pointmaze --episodes 600 --seed 2 --out heldout.h5\n"
          "  understudy finetune --data train.h5 --out model\n"
          "  understudy eval --task pointmaze --model model --data heldout.h5 --json eval.json\n"
          "  understudy report --json eval.json --out report\n");
}

// Runs a command, argv[0] its name.
static int run_command(int argc, const char** argv) {
  for (int i = 0; i < kCommands; i++) {
    if (strcmp(commands[i].name, argv[0]) != 0) continue;
    return commands[i].run(argc, argv);
  }
  for (int i = 0; i < 2; i++) {
    if (strcmp(in_python[i].name, argv[0]) != 0) continue;
    fprintf(stderr,
            "understudy %s: expected the program of the Python package (pip install .), which has "
            "it, found this one\n",
            argv[0]);
    return 2;
  }
  fprintf(stderr, "understudy: expected a command, found \"%s\" (see understudy help)\n",
          us_shown(argv[0]));
  return 2;
}

// What the program is and stands on.
static void print_version(void) {
  unsigned major, minor, release;
  char renders[1024], cpu[256];
  H5get_libversion(&major, &minor, &release);
  us_gl_list(renders, sizeof(renders));
  printf("understudy %s\nMuJoCo %s\nHDF5 %u.%u.%u\n%s, kernel %s\nOpenGL (--gl): %s\n", US_VERSION,
         mj_versionString(), major, minor, release, openblas_get_config(), openblas_get_corename(),
         renders);
  // A GPU, or why there is none.
  UsDevice* d;
  int got = us_device_open("cuda", 0, &d) == US_OK;
  printf("devices (--device): %s; cuda: %s%s%s\n",
         us_device_text(us_device_cpu(), cpu, sizeof(cpu)), got ? us_ops_name(d) : "none (",
         got ? "" : us_message(), got ? "" : ")");
  us_device_close(d);
}

static int run(int argc, const char** argv) {
  if (argc < 2) {
    print_help(stderr);
    return 2;
  }
  // Words of the program itself, else a command.
  const char* name = argv[1];
  if (!strcmp(name, "--version")) {
    print_version();
    return 0;
  }
  if (strcmp(name, "help") && strcmp(name, "--help") && strcmp(name, "-h")) {
    return run_command(argc - 1, argv + 1);
  }
  // Help alone is about the program, else about the command behind it.
  if (argc == 2) {
    print_help(stdout);
    return 0;
  }
  // `help encoder train` is `encoder train --help`.
  const char* words[kHelpWords + 2];
  int count = 0;
  for (; count < argc - 2 && count < kHelpWords; count++) words[count] = argv[count + 2];
  words[count++] = "--help";
  words[count] = NULL;
  return run_command(count, words);
}

int main(int argc, const char** argv) {
  return us_cli_main(argc, argv, run);
}
