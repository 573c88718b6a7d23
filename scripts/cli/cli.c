#define _GNU_SOURCE
#include "scripts/cli/cli.h"

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/robots.h"
#include "env/plugin.h"
#include "env/sim.h"
#include "scripts/cli/terminal.h"
#include "tasks/exec_task.h"
#include "tasks/mjcf/mjcf.h"
#include "tasks/tasks.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/status.h"
#include "worldmodel/base/text.h"

enum {
  kHelp = 1,
  kPlugin,
  kValue,
  kOptions = 96,
  kTasks = 512,
  kPending = 64
};                      // kValue + i: option i
enum { kText = 3072 };  // bytes of a text: names of files behind a folder's fit into 4096

int us_cli_fail(const char* command, UsStatus status) {
  us_terminal_break();
  fprintf(stderr, "understudy %s: %s\n", command, us_message());
  if (status == US_INTERRUPTED) return 130;
  return status == US_USAGE ? 2 : 1;
}

int us_cli_usage(const char* command, const char* format, ...) {
  char text[1024], shown[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  fprintf(stderr, "understudy %s: %s (see understudy %s --help)\n", command,
          us_text_escape(text, shown, sizeof(shown)), command);
  return 2;
}

// ---- tasks ----

static const UsTask* tasks[kTasks + 1];  // built in, of plugins, of MJCF files, robots; then NULL
static int task_count;
static const UsTask* opened[kTasks];  // those of MJCF files and robots
static int opened_count;

static void close_task(const UsTask* t) {
  (t->exec ? us_exec_close : us_mjcf_close)(t);
}

void us_cli_close_tasks(void) {
  while (opened_count > 0) close_task(opened[--opened_count]);
  task_count = 0;
}

static void start_tasks(void) {
  us_cli_close_tasks();
  memset(tasks, 0, sizeof(tasks));
  for (task_count = 0; us_tasks[task_count]; task_count++) tasks[task_count] = us_tasks[task_count];
}

const struct UsTask* const* us_cli_tasks(void) {
  if (task_count == 0) start_tasks();
  return tasks;
}

const struct UsTask* us_cli_task(const char* name) {
  const UsTask* const* t = us_cli_tasks();
  while (*t && strcmp((*t)->name, name) != 0) t++;
  return *t;
}

static UsStatus open_env(const char* kind, const char* what, const UsEnvConfig* config,
                         UsEnv** out) {
  char name[4096];
  snprintf(name, sizeof(name), "%s:%s", kind, what);
  return us_env_open(name, us_cli_tasks(), config, out);
}

UsStatus us_cli_open_sim(const char* task, const UsEnvConfig* config, UsEnv** out) {
  return open_env("sim", task, config, out);
}

UsStatus us_cli_open_model(const char* folder, const UsEnvConfig* config, UsEnv** out) {
  return open_env("model", folder, config, out);
}

int us_cli_print_warnings(const char* before, const UsEnv* sim) {
  char kinds[256];
  long long n = us_sim_warnings(sim, kinds, sizeof(kinds));
  if (n > 0) printf("%sMuJoCo warned %lld time%s (%s)", before, n, n == 1 ? "" : "s", kinds);
  return n > 0;
}

static UsStatus add_plugin(const char* path) {
  const UsPlugin* p;
  US_TRY(us_plugin_load(path, tasks, &p));
  for (int i = 0; p->tasks[i]; i++) {
    if (task_count == kTasks) {
      return us_fail(US_UNSUPPORTED, "%s: expected at most %d tasks in all", path, kTasks);
    }
    tasks[task_count++] = p->tasks[i];
  }
  return US_OK;
}

// What is said beside the MJCF files of a command line, which are opened when all of it is read, as
// robots are.
static UsMjcfConfig robot;
static const char mjcf[] = "mjcf:", piped[] = "exec:";
static struct {
  char* text;   // "mjcf:<path>", "exec:<command>"
  char** task;  // where the name of its task goes; NULL: nowhere
} pending[kPending];
static int pending_count;

static void forget_pending(void) {
  while (pending_count > 0) free(pending[--pending_count].text);
}

// 1 if a file of a robot or a command stands in a text.
static int is_robot(const char* text) {
  return strncmp(text, mjcf, strlen(mjcf)) == 0 || strncmp(text, piped, strlen(piped)) == 0;
}

static int is_mjcf_named(void) {
  for (int i = 0; i < pending_count; i++) {
    if (strncmp(pending[i].text, mjcf, strlen(mjcf)) == 0) return 1;
  }
  return 0;
}

// Takes the value of --plugin or --task: a library at once, a robot for later.
static UsStatus take_tasks(const char* text, char** task) {
  if (!is_robot(text)) return task ? US_OK : add_plugin(text);
  if (pending_count == kPending) {
    return us_fail(US_UNSUPPORTED, "%s: expected at most %d files of robots", text, kPending);
  }
  pending[pending_count].text = strdup(text);
  pending[pending_count].task = task;
  return pending[pending_count++].text ? US_OK : us_fail(US_MEMORY, "out of memory");
}

// Opens a robot; where a task was asked for, its name stands in place of the file's or command's.
static UsStatus open_robot(const char* text, char** task) {
  const UsTask* t;
  robot.path = text + strlen(mjcf);
  if (strncmp(text, piped, strlen(piped)) == 0) {
    US_TRY(us_exec_open(text + strlen(piped), &t));
  } else {
    US_TRY(us_mjcf_open_as(&robot, &t));
  }
  // One that was named before, by --plugin or --task, is there already.
  const UsTask* known = us_cli_task(t->name);
  if (known || task_count == kTasks) {
    close_task(t);
    if (!known)
      return us_fail(US_UNSUPPORTED, "%s: expected at most %d tasks in all", text, kTasks);
  } else {
    tasks[task_count++] = opened[opened_count++] = known = t;
  }
  if (!task) return US_OK;
  free(*task);
  *task = strdup(known->name);
  return *task ? US_OK : us_fail(US_MEMORY, "out of memory");
}

static UsStatus open_pending(void) {
  UsStatus status = US_OK;
  for (int i = 0; i < pending_count && status == US_OK; i++) {
    status = open_robot(pending[i].text, pending[i].task);
  }
  forget_pending();
  return status;
}

// Opens the robot of a dataset or a folder, if it has one that is not there already.
static UsStatus open_kept(const char* path) {
  UsRobot kept = {0};
  UsStatus status = us_data_robot(path, &kept);
  if (status == US_IO) us_log("%s", us_message());
  if (status != US_OK || kept.count == 0 || us_cli_task(kept.task) || task_count == kTasks) {
    us_robot_free(&kept);
    return status == US_IO ? US_OK : status;
  }
  US_TRY(us_mjcf_open_robot(path, &kept, &opened[opened_count]));
  tasks[task_count++] = opened[opened_count++];
  return US_OK;
}

int us_cli_robots(const char* command, int count, const char* const* paths) {
  us_cli_tasks();
  for (int i = 0; i < count; i++) {
    UsStatus status = paths[i] ? open_kept(paths[i]) : US_OK;
    if (status != US_OK) return us_cli_fail(command, status);
  }
  return -1;
}

const struct UsMjcfConfig* us_cli_robot(void) {
  return &robot;
}

// ---- numbers ----

static const struct {
  const char* name;
  long long low, high;
} ranges[] = {
#define X(name, low, high) {name, low, high},
    US_OPTION_RANGES(X)
#undef X
};

// The options that came from lists of settings: what popt calls them, and the setting.
static struct {
  char name[48];
  const UsSetting* setting;
} listed[kOptions];
static int listed_count;
static char given[2048];  // names of the settings that stood in the last command line

const char* us_cli_given(void) {
  return given;
}

static const UsSetting* setting_of(const struct poptOption* o) {
  for (int i = 0; i < listed_count; i++) {
    if (o->longName == listed[i].name) return listed[i].setting;
  }
  return NULL;
}

void us_cli_rows(const UsSetting* list, void* config, struct poptOption* rows) {
  static const unsigned types[] = {
      [US_SETTING_INT] = POPT_ARG_INT,     [US_SETTING_SEED] = POPT_ARG_LONGLONG,
      [US_SETTING_REAL] = POPT_ARG_DOUBLE, [US_SETTING_FLOAT] = POPT_ARG_FLOAT,
      [US_SETTING_FLAG] = POPT_ARG_NONE,   [US_SETTING_TEXT] = POPT_ARG_STRING};
  // Behind the rows that are there.
  int n = 0;
  while (rows[n].longName) n++;
  for (const UsSetting* s = list; s->name; s++) {
    US_ASSERT(n < US_CLI_ROWS - 1 && listed_count < kOptions);
    char* name = listed[listed_count].name;
    snprintf(name, sizeof(listed[0].name), "%s", s->name);
    for (char* c = name; *c; c++) *c = *c == '_' ? '-' : *c;
    listed[listed_count++].setting = s;
    // A default that stands for "not said" is no value to show.
    int shown = s->argument && s->type != US_SETTING_TEXT && us_setting_fits(s, config);
    rows[n++] = (struct poptOption){name,
                                    0,
                                    types[s->type] | (shown ? POPT_ARGFLAG_SHOW_DEFAULT : 0),
                                    (char*)config + s->at,
                                    0,
                                    s->help,
                                    s->argument};
  }
  rows[n] = (struct poptOption)POPT_TABLEEND;
}

void us_cli_free(const UsSetting* list, void* config) {
  for (const UsSetting* s = list; s->name; s++) {
    if (s->type == US_SETTING_TEXT) free(*(char**)((char*)config + s->at));
  }
}

static int read_whole(const char* command, const struct poptOption* o, const char* text) {
  enum { kThreadsEach = 4 };  // a processor
  unsigned type = o->argInfo & POPT_ARG_MASK;
  // The range is the setting's, else that of all options of the name, else the type's.
  long long low = 0, high = type == POPT_ARG_INT ? INT_MAX : LLONG_MAX;
  const UsSetting* s = setting_of(o);
  if (s && s->type == US_SETTING_INT) low = (long long)s->low, high = (long long)s->high;
  for (size_t i = 0; !s && i < sizeof(ranges) / sizeof(ranges[0]); i++) {
    if (strcmp(ranges[i].name, o->longName) == 0) low = ranges[i].low, high = ranges[i].high;
  }
  // All of the text is the number.
  char* end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (end == text || *end || errno || value < low || value > high) {
    return us_cli_usage(command, "--%s: expected a whole number from %lld to %lld, found \"%s\"",
                        o->longName, low, high, text);
  }
  // More threads than a few a processor gain nothing and take memory each.
  int most = kThreadsEach * us_machine_processors();
  if (strcmp(o->longName, "threads") == 0 && value > most) {
    fprintf(stderr, "understudy %s: --threads %lld: %d are used, %d a processor\n", command, value,
            most, kThreadsEach);
    value = most;
  }
  // Into the variable, whatever its type.
  if (type == POPT_ARG_INT) *(int*)o->arg = (int)value;
  if (type == POPT_ARG_LONG) *(long*)o->arg = (long)value;
  if (type == POPT_ARG_LONGLONG) *(long long*)o->arg = value;
  return -1;
}

static int read_real(const char* command, const struct poptOption* o, const char* text) {
  int is_float = (o->argInfo & POPT_ARG_MASK) == POPT_ARG_FLOAT;
  const UsSetting* s = setting_of(o);
  if (s) {
    // The field is the setting's own, so the list reads it.
    UsStatus status = us_setting_set(s, (char*)o->arg - s->at, text);
    return status == US_OK ? -1 : us_cli_usage(command, "%s", us_message());
  }
  char* end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= 0 && value <= (is_float ? FLT_MAX : DBL_MAX))) {
    return us_cli_usage(command, "--%s: expected a finite number of at least 0, found \"%s\"",
                        o->longName, text);
  }
  if (is_float) {
    *(float*)o->arg = (float)value;
  } else {
    *(double*)o->arg = value;
  }
  return -1;
}

// ---- options ----

static int is_whole(const struct poptOption* o) {
  unsigned type = o->argInfo & POPT_ARG_MASK;
  return type == POPT_ARG_INT || type == POPT_ARG_LONG || type == POPT_ARG_LONGLONG;
}

static int is_real(const struct poptOption* o) {
  unsigned type = o->argInfo & POPT_ARG_MASK;
  return type == POPT_ARG_FLOAT || type == POPT_ARG_DOUBLE;
}

// The options of a table and of those it includes, in which numbers are texts that we read. popt
// returns at each option with a value, so that it is checked at once.
typedef struct Options {
  struct poptOption row[kOptions + 1];       // what popt parses
  const struct poptOption* asked[kOptions];  // where each comes from
  int count;
} Options;

// Appends a table; those that it includes stand in its place.
static void flatten(Options* all, const struct poptOption* table) {
  for (; table->longName || table->shortName || table->arg; table++) {
    if ((table->argInfo & POPT_ARG_MASK) == POPT_ARG_INCLUDE_TABLE) {
      flatten(all, table->arg);
      continue;
    }
    US_ASSERT(all->count < kOptions);
    struct poptOption* row = &all->row[all->count];
    all->asked[all->count] = table;
    *row = *table;
    // Numbers come as texts; popt would take "12x" and wrap around.
    if (is_whole(table) || is_real(table)) {
      row->argInfo = POPT_ARG_STRING;
      row->arg = NULL;
    }
    // popt stops at texts, and at flags that are settings.
    unsigned type = row->argInfo & POPT_ARG_MASK;
    int told = type == POPT_ARG_STRING || (type == POPT_ARG_NONE && setting_of(table));
    if (told && !row->val) {
      row->val = kValue + all->count;
    }
    all->count++;
  }
}

// What tasks have in place of a command's defaults, an option that is a flag without its 1.
static void print_own(const char* name) {
  int rows = 0;
  for (const UsTask* const* t = us_cli_tasks(); *t; t++) {
    const char* before = (*t)->name;
    for (const UsTaskSetting* s = (*t)->settings; s && s->job; s++) {
      if (strcmp(s->job, name) != 0) continue;
      if (before && !rows++) puts("\nWhere these are not given, tasks have their own:");
      if (before) printf("  %s:", before);
      before = NULL;
      printf(" --");
      for (const char* c = s->name; *c; c++) putchar(*c == '_' ? '-' : *c);
      int flag = 0;
      for (int i = 0; i < listed_count && !flag; i++) {
        const UsSetting* own = listed[i].setting;
        flag = own->type == US_SETTING_FLAG && strcmp(own->name, s->name) == 0;
      }
      if (!flag) printf(" %g", s->value);
    }
    if (!before) putchar('\n');
  }
}

static void print_help(const char* name, const struct poptOption* table, const char* usage,
                       const char* help) {
  // popt prints to a stream of ours, since its usage line is not ours.
  const char* argv[] = {name, NULL};
  poptContext context = poptGetContext(NULL, 1, argv, table, 0);
  poptSetOtherOptionHelp(context, usage);
  char* text = NULL;
  size_t size;
  FILE* f = open_memstream(&text, &size);
  if (f) {
    poptPrintHelp(context, f, 0);
    fclose(f);
  }
  // Its table of options is kept, its own usage line is not.
  const char* options = text ? strstr(text, "\n\n") : NULL;  // behind popt's own usage line
  printf("Usage: understudy %s %s\n\n%s%s", name, usage, help, options ? options + 1 : "");
  print_own(name);
  free(text);
  poptFreeContext(context);
}

// Parses what stands before the first mistake; as us_cli_parse, without the words. *help: --help
// was there.
static int parse_options(const char* command, poptContext context, const Options* all, int* help) {
  int code = -1, found;
  while (code < 0 && !*help && (found = poptGetNextOpt(context)) != -1) {
    if (found < -1) {
      return us_cli_usage(command, "%s: %s", poptBadOption(context, POPT_BADOPTION_NOALIAS),
                          poptStrerror(found));
    }
    *help = found == kHelp;
    char* text = poptGetOptArg(context);
    const struct poptOption* o = found >= kValue ? all->asked[found - kValue] : NULL;
    // A task may be a file.
    int is_task = o && o->longName && strcmp(o->longName, "task") == 0;
    if (found == kPlugin || (is_task && text[0])) {
      UsStatus status = take_tasks(text, is_task ? o->arg : NULL);
      if (status != US_OK) code = us_cli_fail(command, status);
    } else if (o && text) {
      code = is_whole(o)  ? read_whole(command, o, text)
             : is_real(o) ? read_real(command, o, text)
             : text[0]    ? -1
                          : us_cli_usage(command, "--%s: expected a text, found \"\"", o->longName);
    }
    free(text);
    // What was chosen is remembered by name: a task's own settings stay behind it.
    const UsSetting* s = o ? setting_of(o) : NULL;
    size_t used = strlen(given);
    if (s) snprintf(given + used, sizeof(given) - used, "%s ", s->name);
  }
  return code;
}

int us_cli_parse(int argc, const char** argv, const struct poptOption* table, const char* usage,
                 const char* help, const char** words, int max_words) {
  const struct poptOption common[] = {
      {"plugin", 0, POPT_ARG_STRING, NULL, kPlugin,
       "more tasks: a library, mjcf:FILE.xml or exec:COMMAND; or plugins of MuJoCo", "FILE.so"},
      {"help", 'h', POPT_ARG_NONE, NULL, kHelp, "show this text", NULL},
      POPT_TABLEEND};
  us_cli_free(us_mjcf_settings, &robot);
  us_settings_default(us_mjcf_settings, &robot);
  static struct poptOption robots[US_CLI_ROWS] = {POPT_TABLEEND};
  if (!robots[0].longName) us_cli_rows(us_mjcf_settings, &robot, robots);
  const struct poptOption all[] = {
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, (void*)table, 0, "Options:", NULL},
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, robots, 0, "Beside mjcf:FILE.xml:", NULL},
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, (void*)common, 0, "Every command:", NULL},
      POPT_TABLEEND};
  // Everything in one flat table, in which popt returns at each option with a value.
  Options options = {.count = 0};
  flatten(&options, all);
  // What the last command line added is gone.
  start_tasks();
  forget_pending();
  given[0] = 0;
  if (words) words[0] = NULL;
  // Texts become paths, to which names of files are added.
  for (int i = 1; i < argc; i++) {
    size_t size = strlen(argv[i]);
    if (size <= kText) continue;
    return us_cli_usage(argv[0], "expected texts of at most %d bytes, found %zu in \"%.32s...\"",
                        kText, size, argv[i]);
  }
  int asked = 0, n = 0;
  poptContext context = poptGetContext(NULL, argc, argv, options.row, 0);
  int code = parse_options(argv[0], context, &options, &asked);
  // --help says what is there, whatever else was wrong behind it.
  if (asked) {
    print_help(argv[0], all, usage, help);
    code = 0;
  }
  // What is left are words: popt frees its copies, argv keeps them.
  for (const char* word; code < 0 && (word = poptGetArg(context));) {
    if (!words || n >= max_words) {
      code = us_cli_usage(argv[0], "unexpected argument \"%s\"", word);
      break;
    }
    int at = 1;
    while (strcmp(argv[at], word)) at++;
    words[n++] = argv[at];
    words[n] = NULL;
  }
  poptFreeContext(context);
  // The files of robots, with all that was said of them.
  for (const UsSetting* s = us_mjcf_settings; code < 0 && s->name; s++) {
    char word[64];
    snprintf(word, sizeof(word), "%s ", s->name);
    if (is_mjcf_named() || n > 0 || !strstr(given, word)) continue;
    code = us_cli_usage(argv[0], "--%s: expected mjcf:FILE.xml, which it stands beside", s->name);
  }
  if (code < 0) {
    UsStatus status = open_pending();
    if (status != US_OK) code = us_cli_fail(argv[0], status);
  }
  return code;
}
