// understudy encoder train | probe

#include <stdio.h>
#include <string.h>

#include "scripts/cli/cli.h"
#include "scripts/commands/encoder_commands.h"

static const char help[] =
    "Usage: understudy encoder train --data A.h5 [B.h5 ...] --out DIR [options]\n"
    "       understudy encoder probe --encoder DIR --data F.h5 [options]\n\n"
    "train   self-supervised training of a frozen encoder from the frames of datasets\n"
    "probe   what an encoder's features know of the true state\n\n"
    "Each has its own --help. Example:\n"
    "  understudy encoder train --data runs/pm.h5 runs/wall.h5 --out runs/encoder\n"
    "  understudy encoder probe --encoder runs/encoder --data runs/heldout.h5\n";

int us_cmd_encoder(int argc, const char** argv) {
  const char* word = argc > 1 ? argv[1] : NULL;
  if (word && (!strcmp(word, "--help") || !strcmp(word, "-h"))) {
    fputs(help, stdout);
    return 0;
  }
  // Each half is a command whose name has two words.
  if (word && !strcmp(word, "train")) {
    argv[1] = "encoder train";
    return us_encoder_train_command(argc - 1, argv + 1);
  }
  if (word && !strcmp(word, "probe")) {
    argv[1] = "encoder probe";
    return us_encoder_probe_command(argc - 1, argv + 1);
  }
  if (!word) return us_cli_usage("encoder", "expected \"train\" or \"probe\", found nothing");
  return us_cli_usage("encoder", "expected \"train\" or \"probe\", found \"%s\"", word);
}
