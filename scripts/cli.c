#include "scripts/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "worldmodel/base/status.h"

int us_cli_fail(const char* command, UsStatus status) {
  fprintf(stderr, "understudy %s: %s\n", command, us_message());
  if (status == US_INTERRUPTED) return 130;
  return status == US_USAGE ? 2 : 1;
}

int us_cli_usage(const char* command, const char* format, ...) {
  fprintf(stderr, "understudy %s: ", command);
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fprintf(stderr, " (see understudy %s --help)\n", command);
  return 2;
}

static void print_help(poptContext context, const char* name, const char* usage, const char* help) {
  printf("Usage: understudy %s %s\n\n%s\n", name, usage, help);
  poptPrintHelp(context, stdout, 0);
}

// One line about what popt refused. For a value it names the option before it.
static int refuse_option(int argc, const char** argv, poptContext context, int error) {
  const char* bad = poptBadOption(context, POPT_BADOPTION_NOALIAS);
  for (int i = 2; i < argc && bad[0] != '-'; i++) {
    if (strcmp(argv[i], bad) != 0 || argv[i - 1][0] != '-') continue;
    return us_cli_usage(argv[0], "%s %s: %s", argv[i - 1], bad, poptStrerror(error));
  }
  return us_cli_usage(argv[0], "%s: %s", bad, poptStrerror(error));
}

int us_cli_parse(int argc, const char** argv, const struct poptOption* table, const char* usage,
                 const char* help, const char** words, int max_words) {
  enum { kHelp = 1000 };
  const struct poptOption help_table[] = {
      {"help", 'h', POPT_ARG_NONE, NULL, kHelp, "show this text", NULL}, POPT_TABLEEND};
  struct poptOption all[] = {{NULL, 0, POPT_ARG_INCLUDE_TABLE, (void*)table, 0, "Options:", NULL},
                             {NULL, 0, POPT_ARG_INCLUDE_TABLE, (void*)help_table, 0, "Help:", NULL},
                             POPT_TABLEEND};
  poptContext context = poptGetContext(NULL, argc, argv, all, 0);
  poptSetOtherOptionHelp(context, usage);
  int code = -1, found;
  while ((found = poptGetNextOpt(context)) > 0) {
    if (found != kHelp) continue;
    print_help(context, argv[0], usage, help);
    code = 0;
    break;
  }
  if (found < -1) code = refuse_option(argc, argv, context, found);
  const char* word;
  int n = 0;
  while (code < 0 && (word = poptGetArg(context))) {
    if (!words || n >= max_words) {
      code = us_cli_usage(argv[0], "unexpected argument \"%s\"", word);
    } else {
      int at = 1;  // popt frees its copy of the word; argv keeps it
      while (strcmp(argv[at], word)) at++;
      words[n++] = argv[at];
    }
  }
  if (words) words[n] = NULL;
  poptFreeContext(context);
  return code;
}
