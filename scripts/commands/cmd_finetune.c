// understudy finetune: train the action-conditioned predictor and write a model folder.

#include "scripts/cli/cli.h"
#include "scripts/commands/trained.h"

static const char help[] =
    "Trains a world model on trajectories with actions: the frozen encoder turns frames into\n"
    "tokens (computed once, kept beside the dataset), the predictor learns the next frame's "
    "tokens\n"
    "from the last frames and the actions between. Three ways (--mode):\n"
    "  full         start from a predictor pretrained without actions, train everything\n"
    "  action-only  start from it, train only the action blocks\n"
    "  scratch      start from random weights\n\n"
    "With --film an inverse model, fitted to FILE's trajectories, names the actions of others "
    "that\n"
    "were only filmed (their own action column is never read), and the predictor trains on both,\n"
    "then on the true actions; held-back trajectories, a tenth of FILE's, choose between the\n"
    "stages. A film's frames and env steps are as FILE's (`understudy dataset import` makes one "
    "of\n"
    "clips).\n\n"
    "The folder DIR is complete: config, weights, encoder, start contexts, log, loss curve, and "
    "the\n"
    "head that tells success in the model, trained on the task's rule (--success-only gives one to "
    "an\n"
    "older folder, on the trajectories that it was trained on). The last twentieth of the episodes "
    "is\n"
    "held back to measure errors on. Ctrl-C keeps the state of the run; --resume goes on to the "
    "same\n"
    "bits.\n\n"
    "Example:\n"
    "  understudy finetune --data runs/pm/train.h5 --out runs/pm/model\n"
    "  understudy finetune --data runs/pm/few.h5 --film runs/pm/film.h5 --out runs/pm/labels\n"
    "  understudy finetune --data runs/pm/train.h5 --mode scratch --encoder state --out "
    "runs/pm/state\n";

int us_cmd_finetune(int argc, const char** argv) {
  UsFinetuneConfig c = us_finetune_defaults();
  struct poptOption table[US_CLI_ROWS] = {POPT_TABLEEND};
  us_cli_rows(us_finetune_settings, &c, table);
  int code = us_cli_parse(argc, argv, table, "--data FILE --out DIR [options]", help, NULL, 0);
  // A task's own settings stand where no option was given.
  if (code < 0) {
    UsTrainResult result;
    c.tasks = us_cli_tasks();
    c.given = us_cli_given();
    code = us_cli_trained(argv[0], c.out, us_finetune(&c, &result), &result);
  }
  us_cli_free(us_finetune_settings, &c);
  return code;
}
