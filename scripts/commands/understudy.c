// The program: picks a command from the table in cli.h.

#define _GNU_SOURCE
#include <cblas.h>
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <mujoco/mujoco.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripts/commands/cli.h"
#include "scripts/commands/terminal.h"
#include "tasks/tasks.h"
#include "worldmodel/base/text.h"

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
enum { kCommands = sizeof(commands) / sizeof(commands[0]), kHelpWords = 8 };

static void print_help(FILE* f) {
  fprintf(
      f,
      "Usage: understudy COMMAND [options]\n\n"
      "World models that stand in for MuJoCo simulators: collect trajectories, train a model on\n"
      "them, plan in it, and count successes against floor and ceiling.\n\nCommands:\n");
  for (int i = 0; i < kCommands; i++)
    fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].summary);
  fprintf(f, "\nTasks (--plugin FILE.so adds others to any command):\n");
  for (int i = 0; us_tasks[i]; i++)
    fprintf(f, "  %-16s %s\n", us_tasks[i]->name, us_tasks[i]->summary);
  fprintf(f, "  %-16s %s\n", "mjcf:", "any MJCF file, as in --task mjcf:robot.xml");
  fprintf(f,
          "\n`understudy help COMMAND` explains each command with an example. The whole loop:\n"
          "  understudy collect --task pointmaze --episodes 500 --seed 1 --out train.h5\n"
          "  understudy collect --task pointmaze --episodes 600 --seed 2 --out heldout.h5\n"
          "  understudy finetune --data train.h5 --out model\n"
          "  understudy eval --task pointmaze --model model --data heldout.h5 --json eval.json\n"
          "  understudy report --json eval.json --out report\n");
}

static int print_version(void) {
  unsigned major, minor, release;
  H5get_libversion(&major, &minor, &release);
  printf("understudy %s\nMuJoCo %s\nHDF5 %u.%u.%u\n%s, kernel %s\n", US_VERSION, mj_versionString(),
         major, minor, release, openblas_get_config(), openblas_get_corename());
  return 0;
}

// Runs a command, argv[0] its name.
static int run_command(int argc, const char** argv) {
  for (int i = 0; i < kCommands; i++) {
    if (strcmp(commands[i].name, argv[0]) != 0) continue;
    us_terminal_install();
    return commands[i].run(argc, argv);
  }
  fprintf(stderr, "understudy: expected a command, found \"%s\" (see understudy help)\n",
          us_shown(argv[0]));
  return 2;
}

// `help encoder train` is `encoder train --help`. words: the command and what follows
static int explain(int count, const char** words) {
  if (count == 0) {
    print_help(stdout);
    return 0;
  }
  const char* argv[kHelpWords + 2];
  int argc = 0;
  for (; argc < count && argc < kHelpWords; argc++) argv[argc] = words[argc];
  argv[argc++] = "--help";
  argv[argc] = NULL;
  return run_command(argc, argv);
}

// OpenBLAS takes its oldest kernels on a processor that it does not know. Where that happens and
// the processor has newer instructions, the program starts once more with kernels that use them.
static void choose_kernels(const char** argv) {
  if (getenv("OPENBLAS_CORETYPE") || strcmp(openblas_get_corename(), "Prescott") != 0) return;
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
  char self[4096];
  ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
  if (length <= 0) return;
  self[length] = 0;
  setenv("OPENBLAS_CORETYPE", __builtin_cpu_supports("avx512bw") ? "SkylakeX" : "Haswell", 1);
  execv(self, (char* const*)argv);
}

// ---- standard output ----

// Closed descriptors 0, 1 and 2 are opened so that using them fails: else the next file that is
// opened would take such a number, and what is printed would be written into it.
static void open_standard(void) {
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) _exit(1);
  }
}

// The exit code of a command, 1 where it worked but not all that it printed has left. A reader that
// has gone away, as `head` does, knows why.
static int check_output(int code) {
  errno = 0;
  int bad = fflush(stdout) != 0, error = errno;
  if (!bad && ferror(stdout)) {  // an earlier write failed; another says why
    bad = 1;
    if (fputc('\n', stdout) == EOF || fflush(stdout) != 0) error = errno;
  }
  if (fclose(stdout) != 0 && !bad) {
    bad = 1;
    error = errno;
  }
  if (!bad || code != 0) return code;
  if (error == EPIPE) return 1;
  fprintf(stderr, "understudy: standard output: cannot be written%s%s\n", error ? ": " : "",
          error ? strerror(error) : "");
  return 1;
}

static int run(int argc, const char** argv) {
  if (argc < 2) {
    print_help(stderr);
    return 2;
  }
  const char* name = argv[1];
  if (!strcmp(name, "--version")) return print_version();
  if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h")) {
    return explain(argc - 2, argv + 2);
  }
  return run_command(argc - 1, argv + 1);
}

int main(int argc, const char** argv) {
  open_standard();
  choose_kernels(argv);
  return check_output(run(argc, argv));
}
