#ifndef UNDERSTUDY_CLI_H_
#define UNDERSTUDY_CLI_H_

// What both programs, understudy and understudy-view, share: their start and end, option parsing,
// one-line errors. Exit codes: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C.

#include <popt.h>

#include "env/env.h"
#include "worldmodel/base/settings.h"

// What a whole number may be in every command that has an option of this name; all others go from
// 0 to the largest of their type. Real numbers are finite and at least 0, texts
// are not empty. Commands narrow this.
#define US_OPTION_RANGES(X) \
  X("threads", 0, 4096)     \
  X("episodes", 1, 1 << 24) \
  X("steps", 0, 1000000000) \
  X("frames", 0, 2000000)   \
  X("rollout", 1, 10000)    \
  X("size", 8, 2048)        \
  X("batch", 1, 1 << 16)    \
  X("block", 1, 1 << 10)    \
  X("gap", 1, 1 << 10)      \
  X("horizon", 1, 1 << 10)  \
  X("samples", 1, 1 << 20)  \
  X("iterations", 1, 10000) \
  X("dim", 1, 1 << 13)      \
  X("width", 1, 1 << 13)    \
  X("depth", 1, 1 << 10)    \
  X("heads", 1, 1 << 10)    \
  X("mlp", 1, 64)           \
  X("context", 1, 64)

// The main function of a program: opens what is closed of descriptors 0 to 2, chooses OpenBLAS's
// kernels, hears Ctrl-C (terminal.h), runs it and checks that all that it printed has left. argv
// as main has it. Gives the exit code.
int us_cli_main(int argc, const char** argv, int (*run)(int argc, const char** argv));

// Parses argv (argv[0] is the command's name) with a popt table; options write to the variables the
// table names. `usage` is the line behind the command's name ("--task T --out F.h5 [options]"),
// `help` the paragraphs that --help prints around the option table, with an example.
// Values are read by the rules above, `--plugin FILE.so` and `--help` belong to every command. A
// value of --plugin or --task that is `mjcf:<path>` adds the task of that MJCF file (mjcf.h), whose
// name --task then holds; US_MJCF_SETTINGS are options beside it. `exec:<command>` adds that of a
// robot (exec_task.h).
// Left-over words are refused unless `words` is not NULL: then they are stored there,
// NULL-terminated, at most max_words of them. Returns -1 to go on, else the exit code: 0 after
// --help, 2 after a one-line message.
int us_cli_parse(int argc, const char** argv, const struct poptOption* table, const char* usage,
                 const char* help, const char** words, int max_words);

// Adds the options of a list of settings to a popt table, behind the rows that it has: rows
// (US_CLI_ROWS) is closed by POPT_TABLEEND before and after. They write to the fields of `config`,
// whose values are shown as defaults where they lie in range; a TEXT is popt's copy, to be freed.
enum { US_CLI_ROWS = 64 };
void us_cli_rows(const UsSetting* list, void* config, struct poptOption* rows);

// Frees the texts of a list that options were read into.
void us_cli_free(const UsSetting* list, void* config);

// The settings that stood in the last command line, as names separated by spaces.
const char* us_cli_given(void);

struct UsTask;

// The tasks to open simulators from: the built-in ones and those of the plugins and MJCF files
// that the last us_cli_parse was given. NULL-terminated, valid until the next us_cli_parse.
const struct UsTask* const* us_cli_tasks(void);

// Closes those that were opened: robots are told goodbye.
void us_cli_close_tasks(void);

struct UsMjcfConfig;

// What the last command line said beside the MJCF files that it named (--camera, --step, ...).
const struct UsMjcfConfig* us_cli_robot(void);

// The one of them with this name, or NULL.
const struct UsTask* us_cli_task(const char* name);

// Opens the robots that datasets and model folders keep (datasets/robots.h), where the command line
// did not name their files: they are then among us_cli_tasks. paths (count), each NULL or a path. A
// zip that is gone is a line of us_log, as not every command needs it. Returns -1, or after a
// message the exit code.
int us_cli_robots(const char* command, int count, const char* const* paths);

// us_env_open of `sim:<task>`, one of those tasks, and of `model:<folder>`.
UsStatus us_cli_open_sim(const char* task, const UsEnvConfig* config, UsEnv** out);
UsStatus us_cli_open_model(const char* folder, const UsEnvConfig* config, UsEnv** out);

// Prints, behind the text `before`, how often MuJoCo warned in a simulator: "MuJoCo warned 3 times
// (bad qacc 3)". Returns 0 and prints nothing where it did not.
int us_cli_print_warnings(const char* before, const UsEnv* sim);

// Prints "understudy <command>: <message>" on stderr and gives the exit code of a status.
int us_cli_fail(const char* command, UsStatus status);

// Prints the same line for wrong use and gives 2.
int us_cli_usage(const char* command, const char* format, ...)
    __attribute__((format(printf, 2, 3)));

#endif  // UNDERSTUDY_CLI_H_
