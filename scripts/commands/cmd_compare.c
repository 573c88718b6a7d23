// understudy compare: evaluations beside each other, as a table with tests.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/cli/cli.h"
#include "scripts/report/table.h"
#include "worldmodel/base/file.h"

static const char help[] =
    "Reads a list of evaluations and says how they compare: rates with Wilson's 95 % intervals,\n"
    "McNemar's exact test of each against the one it names on the same pairs (by first hit), with\n"
    "Holm's correction inside a family, and how much of the gap to the best is closed. A cell of\n"
    "several training seeds lists an evaluation of each: its rate is their mean, every pair "
    "counts\n"
    "once in interval and test. The list is JSON; what a cell has beyond what is needed goes\n"
    "through to --out:\n"
    "  {\"title\": \"PushT\", \"cells\": [\n"
    "    {\"name\": \"a\", \"family\": \"f\", \"row\": \"50\", \"column\": \"scratch\",\n"
    "     \"eval\": [\"a1.json\", \"a2.json\"]},\n"
    "    {\"name\": \"b\", \"family\": \"f\", \"row\": \"50\", \"column\": \"full\",\n"
    "     \"eval\": [\"b1.json\", \"b2.json\"], \"against\": \"a\", \"ceiling\": \"c\", \"paper\": "
    "59.4}, ...]}\n\n"
    "Example:\n"
    "  understudy compare --cells cells.json --out table.json --picture table.svg\n";

static UsStatus draw(const UsTable* t, const char* path) {
  char* text = NULL;
  size_t size = 0;
  FILE* f = open_memstream(&text, &size);
  if (!f) return us_fail(US_MEMORY, "%s: out of memory", path);
  UsStatus status = us_table_draw(t, f);
  fclose(f);
  if (status == US_OK) status = us_file_write(path, text, size);
  free(text);
  return status;
}

static UsStatus run(const char* cells, const char* out, const char* picture, UsTable* t) {
  // Neither what is read nor each other, and a list or a picture for one.
  if (out) US_TRY(us_file_replaceable(out, "{", (const char*[]){cells, NULL}));
  if (picture) US_TRY(us_file_replaceable(picture, "<", (const char*[]){cells, NULL}));
  if (out && picture && strcmp(out, picture) == 0) {
    return us_fail(US_USAGE, "--picture: expected another file than --out, found %s", picture);
  }
  US_TRY(us_table_read(cells, t));
  us_table_print(t, stdout);
  if (out) {
    US_TRY(us_table_add_figures(t));
    US_TRY(us_json_write(out, t->json));
  }
  return picture ? draw(t, picture) : US_OK;
}

int us_cmd_compare(int argc, const char** argv) {
  char *cells = NULL, *out = NULL, *picture = NULL;
  const struct poptOption table[] = {
      {"cells", 0, POPT_ARG_STRING, &cells, 0, "list of the evaluations", "CELLS.json"},
      {"out", 0, POPT_ARG_STRING, &out, 0, "the list with its figures", "TABLE.json"},
      {"picture", 0, POPT_ARG_STRING, &picture, 0, "the table as dots with intervals", "TABLE.svg"},
      POPT_TABLEEND};
  int code = us_cli_parse(argc, argv, table, "--cells CELLS.json [options]", help, NULL, 0);
  if (code < 0 && !cells) code = us_cli_usage(argv[0], "--cells is missing");
  if (code < 0) {
    UsTable t = {0};
    UsStatus status = run(cells, out, picture, &t);
    us_table_free(&t);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  free(cells);
  free(out);
  free(picture);
  return code;
}
