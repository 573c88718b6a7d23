// understudy pretrain: train the predictor on trajectories without their actions.

#include "scripts/cli/cli.h"
#include "scripts/commands/trained.h"
#include "scripts/commands/weighted_files.h"

static const char help[] =
    "Trains the predictor on what happens next, without actions, on one or several datasets (of "
    "any\n"
    "tasks or film, with frames of one size). All give as many samples, or FILE:WEIGHT as many as "
    "its\n"
    "weight says, each brought to its own mean and deviation (`dataset merge` makes one of several "
    "of\n"
    "a scene). Frames of a sample are 1 .. --gap env steps apart, their times are told in "
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

int us_cmd_pretrain(int argc, const char** argv) {
  UsPretrainConfig c = us_pretrain_defaults();
  char** asked = NULL;  // values of --data; those behind them are words
  const char* words[US_TRAINING_FILES + 1] = {NULL};
  UsWeightedFiles files = {0};
  struct poptOption table[US_CLI_ROWS] = {
      {"data", 0, POPT_ARG_ARGV, &asked, 0,
       "trajectories or film; further files follow, or are told by --data again; with a weight its "
       "share of the samples, default: 1",
       "FILE[:WEIGHT]..."},
      POPT_TABLEEND};
  us_cli_rows(us_pretrain_settings, &c, table);
  int code = us_cli_parse(argc, argv, table, "--data FILE[:WEIGHT]... --out DIR [options]", help,
                          words, US_TRAINING_FILES);
  // All files in the order of their lists, each with its weight.
  if (code < 0) {
    UsStatus status = us_weighted_files_add(&files, "data", (const char* const*)asked);
    if (status == US_OK) status = us_weighted_files_add(&files, "data", words);
    if (status != US_OK) code = us_cli_fail(argv[0], status);
  }
  if (code < 0) code = us_cli_robots(argv[0], files.count, (const char* const*)files.file);
  if (code < 0) {
    UsTrainResult result;
    c.data = (const char* const*)files.file;
    c.weights = files.weight;
    c.tasks = us_cli_tasks();
    code = us_cli_trained(argv[0], c.out, us_pretrain(&c, &result), &result);
  }
  us_cli_free(us_pretrain_settings, &c);
  us_weighted_files_free(&files, asked);
  return code;
}
