// understudy finetune: train the action-conditioned predictor and write a model folder.

#include <string.h>

#include "scripts/cli/cli.h"
#include "scripts/commands/trained.h"
#include "scripts/commands/weighted_files.h"

static const char help[] =
    "Trains a world model on trajectories with actions: the frozen encoder turns frames into\n"
    "tokens (computed once, kept beside the dataset), the predictor learns the next frame's "
    "tokens\n"
    "from the last frames and the actions between. Three ways (--mode):\n"
    "  full         start from a predictor pretrained without actions, train everything\n"
    "  action-only  start from it, train only the action blocks\n"
    "  scratch      start from random weights\n\n"
    "With --film an inverse model, fitted to the trajectories of --data, names the actions of "
    "others\n"
    "that were only filmed (their own action column is never read), and the predictor trains on "
    "both,\n"
    "then on the true actions; held-back trajectories, a tenth of --data, choose between the "
    "stages.\n"
    "Several films are told by --film each; FILE:WEIGHT is drawn so many times as often. Frames "
    "and env\n"
    "steps of a film are as those of --data (`understudy dataset import` makes one of clips).\n\n"
    "The folder DIR is complete: config, weights, encoder, start contexts, log, loss curve, and "
    "the\n"
    "head that tells success in the model, trained on the task's rule (--success-only gives one to "
    "an\n"
    "older folder, on the trajectories that it was trained on). The last twentieth of the episodes "
    "is\n"
    "held back to measure errors on. The robot of FILE, if it is one of your own, is opened from "
    "there\n"
    "and kept in DIR too. Ctrl-C keeps the state of the run; --resume goes on to the "
    "same\n"
    "bits.\n\n"
    "Example:\n"
    "  understudy finetune --data runs/pm/train.h5 --out runs/pm/model\n"
    "  understudy finetune --data runs/pm/few.h5 --film runs/pm/film.h5 --out runs/pm/labels\n"
    "  understudy finetune --data runs/pm/train.h5 --mode scratch --encoder state --out "
    "runs/pm/state\n";

int us_cmd_finetune(int argc, const char** argv) {
  UsFinetuneConfig c = us_finetune_defaults();
  char** films = NULL;  // values of --film
  UsWeightedFiles files = {0};
  struct poptOption table[US_CLI_ROWS] = {
      {"film", 0, POPT_ARG_ARGV, &films, 0,
       "trajectories whose actions nobody knows: an inverse model names them; may be told again, "
       "with a weight for its share of the samples, default: 1",
       "FILE[:WEIGHT]"},
      POPT_TABLEEND};
  us_cli_rows(us_finetune_settings, &c, table);
  int code = us_cli_parse(argc, argv, table, "--data FILE --out DIR [options]", help, NULL, 0);
  if (code < 0) {
    UsStatus status = us_weighted_files_add(&files, "film", (const char* const*)films);
    // Of several the last would silently be taken.
    const char* data = strstr(us_cli_given(), "data ");
    if (status == US_OK && data && strstr(data + 1, "data ")) {
      status = us_fail(US_USAGE, "--data: expected one file, found several (--film takes more)");
    }
    if (status != US_OK) code = us_cli_fail(argv[0], status);
  }
  if (code < 0) code = us_cli_robots(argv[0], 1, (const char*[]){c.data});
  // A task's own settings stand where no option was given.
  if (code < 0) {
    UsTrainResult result;
    c.film = (const char* const*)files.file;
    c.film_weights = files.weight;
    c.tasks = us_cli_tasks();
    c.given = us_cli_given();
    code = us_cli_trained(argv[0], c.out, us_finetune(&c, &result), &result);
  }
  us_cli_free(us_finetune_settings, &c);
  us_weighted_files_free(&files, films);
  return code;
}
