// understudy pretrain: train the predictor on trajectories without their actions.

#include <stdlib.h>

#include "scripts/cli/cli.h"
#include "scripts/commands/trained.h"

static const char help[] =
    "Trains the predictor on what happens next, without actions, on one or several datasets (of "
    "any\n"
    "tasks, with frames of one size). Frames of a sample are 1 .. --gap env steps apart, their "
    "times\n"
    "are told in seconds. `understudy finetune --init DIR` starts from the result; the one that\n"
    "travels inside the program (assets/predictor) was made like this.\n\n"
    "Example:\n"
    "  understudy pretrain --data runs/pm/train.h5 runs/wall/train.h5 --out runs/predictor\n";

int us_cmd_pretrain(int argc, const char** argv) {
  UsPretrainConfig c = us_pretrain_defaults();
  char* first = NULL;
  const char* files[US_TRAINING_FILES + 1] = {NULL};
  struct poptOption table[US_CLI_ROWS] = {
      {"data", 0, POPT_ARG_STRING, &first, 0, "trajectories; further files follow", "FILE..."},
      POPT_TABLEEND};
  us_cli_rows(us_pretrain_settings, &c, table);
  int code = us_cli_parse(argc, argv, table, "--data FILE [FILE...] --out DIR [options]", help,
                          files + 1, US_TRAINING_FILES - 1);
  // The first file is an option's value, the others are words.
  files[0] = first;
  if (code < 0) {
    UsTrainResult result;
    c.data = files;
    c.tasks = us_cli_tasks();
    code = us_cli_trained(argv[0], c.out, us_pretrain(&c, &result), &result);
  }
  us_cli_free(us_pretrain_settings, &c);
  free(first);
  return code;
}
