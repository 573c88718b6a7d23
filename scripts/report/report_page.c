// The page of a report.

#include <math.h>
#include <stdlib.h>

#include "scripts/report/report.h"
#include "worldmodel/base/file.h"

// Number i of a list, NaN where there is none.
static double item(const cJSON* list, int i) {
  const cJSON* x = i >= 0 ? cJSON_GetArrayItem(list, i) : NULL;
  return cJSON_IsNumber(x) ? x->valuedouble : NAN;
}

// A cell of a table; a dash for what is not known.
static void write_number(FILE* out, const char* format, double x) {
  fputs("<td>", out);
  if (isfinite(x)) fprintf(out, format, x);
  if (!isfinite(x)) fputs("&ndash;", out);
  fputs("</td>", out);
}

static void write_rates(FILE* out, const UsReport* r) {
  // A column a rule, with its interval.
  fputs("<table><tr><th>row</th><th>pairs</th>", out);
  for (int g = 0; g < r->rules; g++) fprintf(out, "<th>%s</th>", r->counted[g].title);
  fputs("<th>mean distance at the start</th><th>at the end</th></tr>\n", out);
  for (int k = 0; k < US_ROW_COUNT; k++) {
    const UsReportRow* row = &r->row[k];
    if (!row->on) continue;
    fprintf(out, "<tr><td>%s</td><td>%d (%d hard)</td>", us_eval_row_titles[k], row->pairs,
            row->hard_pairs);
    for (int g = 0; g < r->rules; g++) {
      const UsReportRate* rate = &row->rate[g];
      if (!rate->known) fputs("<td>&ndash;</td>", out);
      if (rate->known) {
        fprintf(out, "<td><b>%.1f</b> [%.1f, %.1f]</td>", rate->rate, rate->low, rate->high);
      }
    }
    const cJSON* mean = us_report_member(row->distance, "mean");
    write_number(out, "%.3g", item(mean, 0));
    write_number(out, "%.3g", item(mean, cJSON_GetArraySize(mean) - 1));
    fputs("</tr>\n", out);
  }
  fputs("</table>\n", out);
}

static void write_times(FILE* out, const UsReport* r) {
  // A column a figure that has a title, then one a part of the time.
  fputs("<table><tr><th>row</th>", out);
  for (int f = 0; f < US_FIGURE_COUNT; f++) {
    if (us_figures[f].title) fprintf(out, "<th>%s</th>", us_figures[f].title);
  }
  for (int p = 0; p < US_PART_COUNT; p++) fprintf(out, "<th>%s, s</th>", us_part_names[p]);
  fputs("</tr>\n", out);
  for (int k = 0; k < US_ROW_COUNT; k++) {
    const UsReportRow* row = &r->row[k];
    if (!row->on) continue;
    fprintf(out, "<tr><td>%s</td>", us_eval_row_titles[k]);
    for (int i = 0; i < US_FIGURE_COUNT; i++) {
      const UsFigure* f = &us_figures[i];
      if (f->title) write_number(out, f->format, f->factor * row->figure[i]);
    }
    for (int p = 0; p < US_PART_COUNT; p++) write_number(out, "%.2f", row->part[p]);
    fputs("</tr>\n", out);
  }
  fputs("</table>\n", out);
}

static void write_settings(FILE* out, const UsReport* r) {
  // What is needed to do it again.
  const cJSON* item;
  fputs("<p class=small>Planner:", out);
  cJSON_ArrayForEach(item, us_report_member(r->json, "planner")) {
    if (cJSON_IsString(item)) fprintf(out, " %s", item->valuestring);
    if (cJSON_IsNumber(item)) fprintf(out, ", %s %g", item->string, item->valuedouble);
    if (cJSON_IsTrue(item)) fprintf(out, ", %s", item->string);
  }
  fprintf(out, ". Program %s, %s.</p>\n<p class=small>Hashes:", r->version, r->blas);
  cJSON_ArrayForEach(item, us_report_member(r->json, "hashes")) {
    if (cJSON_IsString(item)) fprintf(out, " %s %.16s", item->string, item->valuestring);
  }
  fputs("</p>\n", out);
}

static const char page_head[] =
    "<!doctype html><meta charset=utf-8><title>understudy: %s</title>\n<style>"
    "body{font:15px/1.5 sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#26282b}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .9em;text-align:right;"
    "border-bottom:1px solid #e3e5e8}td:first-child,th:first-child{text-align:left}"
    "img,svg{max-width:100%%}.small{color:#7d8288;font-size:13px}</style>\n<h1>%s</h1>\n";

UsStatus us_report_write(UsReport* r) {
  // The films first: the page says how many there are.
  US_TRY(us_folder_make(r->out));
  US_TRY(us_report_films(r));
  char* text = NULL;
  size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  if (!out) return us_fail(US_MEMORY, "out of memory");
  // What was asked, in words, then the numbers, the charts, the films, the times.
  fprintf(out, page_head, r->task, r->task);
  fprintf(out,
          "<p>%d start and goal pairs from held-out trajectories, protocol %s: a budget of %d env "
          "steps, blocks of %d. %d pairs were solved at the start. Rates in per cent with Wilson "
          "95 %% intervals.</p>\n",
          r->episodes, r->protocol, r->budget, r->block, r->solved_at_start);
  if (r->rule < US_RULE_COUNT) {
    fprintf(out, "<p>The protocol counts an episode that is %s.</p>\n", us_rules[r->rule].summary);
  }
  write_rates(out, r);
  UsStatus status = us_report_charts(r, out);
  if (r->film_count > 0) {
    fputs(
        "<h2>What happened</h2>\n<p>Episodes of the row model: the start, the goal, then the "
        "simulator's frame after each block, numbered in env steps. The green box marks the "
        "block in which the goal was reached.</p>\n",
        out);
    char name[32];
    for (int i = 0; i < r->film_pages; i++) {
      fprintf(out, "<img src=%s alt=films>\n", us_report_films_name(i, name));
    }
  }
  fputs("<h2>Where the time went</h2>\n", out);
  write_times(out, r);
  write_settings(out, r);
  fclose(out);
  // Written at once, beside its films.
  char path[4096];
  us_path_join(path, sizeof(path), r->out, "index.html");
  if (status == US_OK) status = us_file_write(path, text, size);
  free(text);
  return status;
}
