#include "scripts/cli.h"

int us_cmd_pretrain(int argc, const char** argv) {
  (void)argc;
  return us_cli_usage(argv[0], "not built yet");
}
