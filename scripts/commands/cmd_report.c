// understudy report: the pictures of an evaluation, and a page that shows them with its numbers.

#include <stdio.h>
#include <stdlib.h>

#include "scripts/cli/cli.h"
#include "scripts/report/report.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/lock.h"

static UsStatus run(UsReport* r) {
  // One report at a time is written into a folder.
  UsLock* lock;
  US_TRY(us_report_read(r));
  US_TRY(us_folder_make_above(r->out));
  US_TRY(us_lock_take(r->out, &lock));
  UsStatus status = us_report_write(r);
  us_lock_release(lock);
  if (status == US_OK) printf("%s/index.html\n", r->out);
  return status;
}

int us_cmd_report(int argc, const char** argv) {
  char *json = NULL, *out = NULL;
  const struct poptOption table[] = {
      {"json", 0, POPT_ARG_STRING, &json, 0, "results of understudy eval", "R.json"},
      {"out", 0, POPT_ARG_STRING, &out, 0, "folder for the page and its pictures", "DIR"},
      POPT_TABLEEND};
  int code = us_cli_parse(argc, argv, table, "--json R.json --out DIR",
                          "Draws success rates with intervals, curves and filmstrips of an "
                          "evaluation, and a page index.html\nthat shows them.\n\nExample:\n"
                          "  understudy report --json runs/pm/eval.json --out runs/pm/report\n",
                          NULL, 0);
  // Both are needed.
  if (code < 0 && !json) code = us_cli_usage("report", "--json is missing");
  if (code < 0 && !out) code = us_cli_usage("report", "--out is missing");
  if (code < 0) {
    UsReport r = {.path = json, .out = out};
    UsStatus status = run(&r);
    cJSON_Delete(r.json);
    code = status == US_OK ? 0 : us_cli_fail("report", status);
  }
  free(json);
  free(out);
  return code;
}
