// understudy pretrain: train the predictor on trajectories without their actions.

#include <stdlib.h>
#include <string.h>

#include "scripts/cli/cli.h"
#include "scripts/commands/trained.h"
#include "worldmodel/base/file.h"

static const char help[] =
    "Trains the predictor on what happens next, without actions, on one or several datasets (of "
    "any\n"
    "tasks or film, with frames of one size). All give as many samples, or FILE:WEIGHT as many as "
    "its\n"
    "weight says. Frames of a sample are 1 .. --gap env steps apart, their times are told in "
    "seconds.\n"
    "With --latent-actions the predictor is told what happened, in a few numbers an env step that\n"
    "are learnt with it, frames a block apart.\n"
    "`understudy finetune --init DIR` starts from the result; the one that travels inside the "
    "program\n"
    "(assets/predictor) was made like this.\n\n"
    "Example:\n"
    "  understudy pretrain --data runs/pm/train.h5 runs/wall/train.h5 --out runs/predictor\n"
    "  understudy dataset import clips/*.mp4 --fps 10 --out runs/film.h5\n"
    "  understudy pretrain --data runs/film.h5:3 runs/wall/train.h5 --out runs/predictor\n";

// Takes a weight, FILE:W, off the end of a file's name, unless the file is called so.
static UsStatus read_weight(char* file, double* weight) {
  char* colon = strrchr(file, ':');
  *weight = 1;
  if (!colon || us_file_exists(file)) return US_OK;
  char* end;
  *weight = strtod(colon + 1, &end);
  if (end == colon + 1 || *end || !(*weight > 0 && *weight < 1e9)) {
    return us_fail(
        US_USAGE, "--data: expected FILE or FILE:WEIGHT with a weight above 0, found \"%s\"", file);
  }
  *colon = 0;
  return US_OK;
}

int us_cmd_pretrain(int argc, const char** argv) {
  UsPretrainConfig c = us_pretrain_defaults();
  char** asked = NULL;  // values of --data; those behind them are words
  const char* words[US_TRAINING_FILES + 1] = {NULL};
  char* files[US_TRAINING_FILES + 1] = {NULL};
  double weights[US_TRAINING_FILES];
  struct poptOption table[US_CLI_ROWS] = {
      {"data", 0, POPT_ARG_ARGV, &asked, 0,
       "trajectories or film; further files follow, or are told by --data again; with a weight its "
       "share of the samples, default: 1",
       "FILE[:WEIGHT]..."},
      POPT_TABLEEND};
  us_cli_rows(us_pretrain_settings, &c, table);
  int count = 0;
  int code = us_cli_parse(argc, argv, table, "--data FILE[:WEIGHT]... --out DIR [options]", help,
                          words, US_TRAINING_FILES);
  // All files in the order of their lists, each with its weight.
  UsStatus status = US_OK;
  for (int list = 0; list < 2 && code < 0; list++) {
    const char* const* from = list ? words : (const char* const*)asked;
    for (; from && *from && count < US_TRAINING_FILES && status == US_OK; from++) {
      files[count] = strdup(*from);
      status = files[count] ? read_weight(files[count], &weights[count])
                            : us_fail(US_MEMORY, "out of memory");
      count++;
    }
    if (from && *from && status == US_OK) {
      status = us_fail(US_USAGE, "--data: expected at most %d files", US_TRAINING_FILES);
    }
  }
  if (status != US_OK) code = us_cli_fail(argv[0], status);
  if (code < 0) {
    UsTrainResult result;
    c.data = (const char* const*)files;
    c.weights = weights;
    c.tasks = us_cli_tasks();
    code = us_cli_trained(argv[0], c.out, us_pretrain(&c, &result), &result);
  }
  us_cli_free(us_pretrain_settings, &c);
  for (int i = 0; i < count; i++) free(files[i]);
  for (char** a = asked; a && *a; a++) free(*a);
  free(asked);
  return code;
}
