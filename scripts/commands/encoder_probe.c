// understudy encoder probe: options, and what features know of the true state as a table.

#include <stdio.h>
#include <stdlib.h>

#include "datasets/encoder_jobs.h"
#include "scripts/cli/cli.h"
#include "scripts/commands/encoder_commands.h"

enum { kShown = 24 };  // targets that are listed

// What was probed, a table of the targets, and how distances compare.
static void print(const UsEncoderProbeConfig* c, const UsEncoderProbeResult* r) {
  static const char* const ranges[US_PROBE_RANGES] = {"all pairs", "nearer than mean/4",
                                                      "nearer than mean/10"};
  printf("%s (%s): %d tokens of %d; %s: %d rows\n", c->encoder, r->kind, r->tokens, r->dim, c->data,
         r->rows);
  if (r->width < r->tokens * r->dim) {
    printf("projected at random to %d of %d numbers\n", r->width, r->tokens * r->dim);
  }
  // A row for every target, as far as a screen goes, and the mean of all.
  printf("\n%-24s %9s %9s\n", "R^2 on held-out rows", "linear", "MLP");
  for (int i = 0; i < r->targets && i < kShown; i++) {
    const UsProbeTarget* t = &r->target[i];
    printf("  %-22s %9.4f %9.4f\n", t->name, (double)t->linear, (double)t->network);
  }
  if (r->targets > kShown) printf("  ... of %d\n", r->targets);
  printf("  %-22s %9.4f %9.4f\n", "mean", r->linear, r->network);
  // Ranges without pairs are left out.
  printf("\nrank correlation of latent and true distance (first 2 numbers of the state)\n");
  for (int i = 0; i < US_PROBE_RANGES; i++) {
    if (r->pairs[i]) {
      printf("  %-22s %.3f  (%d pairs)\n", ranges[i], r->correlation[i], r->pairs[i]);
    }
  }
}

int us_encoder_probe_command(int argc, const char** argv) {
  UsEncoderProbeConfig c = us_encoder_probe_defaults();
  UsEncoderProbeResult result = {0};
  char *encoder = NULL, *data = NULL;
  int threads = 0;
  struct poptOption table[US_CLI_ROWS] = {
      {"encoder", 0, POPT_ARG_STRING, &encoder, 0, US_ENCODER_HELP " (the last made from the data)",
       "DIR"},
      {"data", 0, POPT_ARG_STRING, &data, 0, "dataset", "F.h5"},
      {"threads", 0, POPT_ARG_INT, &threads, 0, "threads; 0: one per processor", "N"},
      POPT_TABLEEND};
  // The settings of the job, and what only a command has.
  us_cli_rows(us_encoder_probe_settings, &c, table);
  int code = us_cli_parse(
      argc, argv, table, "--encoder DIR --data F.h5 [options]",
      "Fits the true state from the features of frames, linearly and by a small\n"
      "network, and compares distances. More than 1024 numbers a frame are projected to\n"
      "so many at random. Example:\n"
      "  understudy encoder probe --encoder default --data heldout.h5\n",
      NULL, 0);
  // Both are needed.
  if (code < 0 && (!encoder || !data)) {
    code = us_cli_usage(argv[0], "expected --encoder and --data");
  }
  if (code < 0) code = us_cli_robots(argv[0], 1, (const char*[]){data});
  if (code < 0) {
    // The job prints nothing; what it found is printed when all of it is there.
    c.encoder = encoder;
    c.data = data;
    c.tasks = us_cli_tasks();
    c.pool = us_pool_create(threads);
    UsStatus status =
        c.pool ? us_encoder_probe(&c, &result) : us_fail(US_MEMORY, "no memory for threads");
    if (status == US_OK) print(&c, &result);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
    us_encoder_probe_free(&result);
    us_pool_destroy(c.pool);
  }
  us_cli_free(us_encoder_probe_settings, &c);
  free(encoder);
  free(data);
  return code;
}
