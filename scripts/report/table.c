// The list is read and checked here, the figures are those of us_compare.

#include "scripts/report/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/report/chart.h"
#include "scripts/report/report.h"
#include "worldmodel/base/file.h"

enum { kPath = 4096, kName = 128, kCells = 1000 };

// ---- reading ----

// A text of a cell that has to be there.
static UsStatus need(const char* path, const cJSON* cell, const char* key, const char** out) {
  char text[kName];
  US_TRY(us_json_text(path, cell, key, NULL, text, sizeof(text)));
  *out = cJSON_GetStringValue(us_report_member(cell, key));
  return US_OK;
}

// The number of the cell that a member names; -1 where it is not there.
static UsStatus find(const UsTable* t, const char* path, const cJSON* cell, const char* key,
                     int* out) {
  const char* name = NULL;
  *out = -1;
  if (!us_report_member(cell, key)) return US_OK;
  US_TRY(need(path, cell, key, &name));
  for (int i = 0; i < t->count; i++) {
    if (!strcmp(t->name[i], name)) *out = i;
  }
  if (*out >= 0) return US_OK;
  return us_fail(US_FORMAT, "%s: %s: expected the name of a cell, found \"%s\"", path, key, name);
}

// Adds an evaluation, which lies where the list says, from the list's own folder.
static UsStatus add_path(UsTable* t, const char* path, const cJSON* eval, const char** out) {
  const char *text = cJSON_GetStringValue(eval), *slash = strrchr(path, '/');
  if (!text) return us_fail(US_FORMAT, "%s: eval: expected a text, or a list of texts", path);
  char* at = t->paths + (size_t)t->evaluations++ * kPath;
  int folder = slash && *text != '/' ? (int)(slash - path) + 1 : 0;
  if (snprintf(at, kPath, "%.*s%s", folder, path, text) >= kPath) {
    return us_fail(US_IO, "%s: eval: too long a path", path);
  }
  *out = at;
  return US_OK;
}

// How many evaluations a cell has; 1 where it is no list.
static int evaluations(const cJSON* cell) {
  const cJSON* eval = us_report_member(cell, "eval");
  return cJSON_IsArray(eval) ? cJSON_GetArraySize(eval) : 1;
}

static UsStatus read_cell(UsTable* t, const char* path, int i, const cJSON* json) {
  const char* family;
  US_TRY(need(path, json, "name", &t->name[i]));
  US_TRY(need(path, json, "row", &t->row[i]));
  US_TRY(need(path, json, "column", &t->column[i]));
  US_TRY(need(path, json, "family", &family));
  for (int k = 0; k < i; k++) {
    if (!strcmp(t->name[k], t->name[i])) {
      return us_fail(US_FORMAT, "%s: expected cells of different names, found \"%s\" twice", path,
                     t->name[i]);
    }
  }
  // A family is numbered by its first cell.
  int first = 0;
  while (strcmp(cJSON_GetStringValue(us_report_member(
                    cJSON_GetArrayItem(us_report_member(t->json, "cells"), first), "family")),
                family) != 0)
    first++;
  t->cell[i].family = first;
  // Of a list the first, then the others, which NULL ends.
  const cJSON* eval = us_report_member(json, "eval");
  const char** seeds = t->seeds + t->evaluations + i;
  US_TRY(add_path(t, path, cJSON_IsArray(eval) ? eval->child : eval, &t->cell[i].json));
  if (evaluations(json) > 1) t->cell[i].seeds = seeds;
  for (int k = 1; k < evaluations(json); k++) {
    US_TRY(add_path(t, path, cJSON_GetArrayItem(eval, k), &seeds[k - 1]));
  }
  const double none = NAN;
  US_TRY(us_json_number(path, json, "paper", 0, 100, &none, &t->paper[i]));
  return us_json_flag(path, json, "hidden", 0, &t->hidden[i]);
}

UsStatus us_table_read(const char* path, UsTable* t) {
  *t = (UsTable){0};
  US_TRY(us_json_read(path, &t->json));
  US_TRY(us_json_text(path, t->json, "title", "", t->title, sizeof(t->title)));
  const cJSON* cells = us_report_member(t->json, "cells");
  int n = cJSON_GetArraySize(cells);
  if (!cJSON_IsArray(cells) || n < 1 || n > kCells) {
    return us_fail(US_FORMAT, "%s: cells: expected a list of 1 to %d, found %d", path, kCells, n);
  }
  t->cell = calloc((size_t)n, sizeof(*t->cell));
  t->name = calloc((size_t)n, 3 * sizeof(*t->name));
  t->paper = calloc((size_t)n, sizeof(*t->paper));
  t->hidden = calloc((size_t)n, sizeof(*t->hidden));
  // Room for as many evaluations as all lists have.
  size_t total = 0;
  const cJSON* cell;
  cJSON_ArrayForEach(cell, cells) total += (size_t)evaluations(cell);
  t->paths = calloc(total + 1, kPath);
  t->seeds = calloc(total + (size_t)n, sizeof(*t->seeds));
  if (!t->cell || !t->name || !t->paper || !t->hidden || !t->paths || !t->seeds) {
    return us_fail(US_MEMORY, "%s: out of memory", path);
  }
  t->row = t->name + n;
  t->column = t->row + n;
  // Every cell by itself, then the others that it names.
  cJSON_ArrayForEach(cell, cells) {
    US_TRY(read_cell(t, path, t->count, cell));
    t->count++;
  }
  int i = 0;
  cJSON_ArrayForEach(cell, cells) {
    US_TRY(find(t, path, cell, "against", &t->cell[i].against));
    US_TRY(find(t, path, cell, "ceiling", &t->cell[i].ceiling));
    i++;
  }
  return us_compare(t->count, t->cell);
}

void us_table_free(UsTable* t) {
  cJSON_Delete(t->json);
  free(t->cell);
  free(t->name);
  free(t->paper);
  free(t->hidden);
  free(t->paths);
  free(t->seeds);
  *t = (UsTable){0};
}

// ---- writing ----

// Replaces a member by an object, or takes it away.
static cJSON* renew(cJSON* cell, const char* key, int wanted) {
  cJSON_DeleteItemFromObjectCaseSensitive(cell, key);
  return wanted ? cJSON_AddObjectToObject(cell, key) : NULL;
}

static void add_rate(cJSON* cell, const char* key, const UsRate* rate) {
  cJSON* to = renew(cell, key, rate->count > 0);
  if (!to) return;
  us_json_add(to, "rate", round(1e6 * rate->rate) / 1e6);
  us_json_add(to, "low", round(1e6 * rate->low) / 1e6);
  us_json_add(to, "high", round(1e6 * rate->high) / 1e6);
  us_json_add(to, "hits", rate->hits);
}

static void add_number(cJSON* cell, const char* key, double x) {
  cJSON_DeleteItemFromObjectCaseSensitive(cell, key);
  if (isfinite(x)) us_json_add(cell, key, x);
}

// Points that a cell is above the published rate; NaN where one of them is not known.
static double difference(const UsTable* t, int i) {
  return t->cell[i].known ? 100 * t->cell[i].first_hit.rate - t->paper[i] : NAN;
}

UsStatus us_table_add_figures(UsTable* t) {
  int i = 0;
  cJSON* json;
  cJSON_ArrayForEach(json, us_report_member(t->json, "cells")) {
    const UsCompareCell* c = &t->cell[i];
    const UsRate none = {0};
    add_rate(json, "first_hit", c->known ? &c->first_hit : &none);
    add_rate(json, "last_step", c->known ? &c->last_step : &none);
    add_number(json, "count", c->known ? c->first_hit.count : NAN);
    add_number(json, "seeds", c->known && c->evaluations > 1 ? c->evaluations : NAN);
    cJSON_DeleteItemFromObjectCaseSensitive(json, "pairs");
    if (c->known) cJSON_AddStringToObject(json, "pairs", c->pairs);
    cJSON* test = renew(json, "test", isfinite(c->p));
    if (test) {
      us_json_add(test, "only", c->only);
      us_json_add(test, "only_against", c->only_against);
      us_json_add(test, "p", c->p);
      us_json_add(test, "p_holm", c->p_holm);
    }
    add_number(json, "gap_closed", c->known ? c->gap : NAN);
    add_number(json, "difference", difference(t, i));
    i++;
  }
  return US_OK;
}

void us_table_print(const UsTable* t, FILE* out) {
  fputs(
      "| row | column | first hit | last step | against | p | p (Holm) | gap closed | paper |\n"
      "|---|---|---|---|---|---|---|---|---|\n",
      out);
  for (int i = 0; i < t->count; i++) {
    const UsCompareCell* c = &t->cell[i];
    fprintf(out, "| %s | `%s` |", t->row[i], t->column[i]);
    if (!c->known) {
      fputs(" not run | | | | | | |\n", out);
      continue;
    }
    const UsRate* r = &c->first_hit;
    fprintf(out, " %.1f [%.1f, %.1f] |", 100 * r->rate, 100 * r->low, 100 * r->high);
    if (c->last_step.count) fprintf(out, " %.1f", 100 * c->last_step.rate);
    fputs(" |", out);
    if (isfinite(c->p)) {
      fprintf(out, " %+.1f | %.2g | %.2g |", 100 * (r->rate - t->cell[c->against].first_hit.rate),
              c->p, c->p_holm);
    } else {
      fputs(" | | |", out);
    }
    if (isfinite(c->gap)) fprintf(out, " %.2f", c->gap);
    fputs(" |", out);
    if (isfinite(t->paper[i])) fprintf(out, " %.1f (%+.1f)", t->paper[i], difference(t, i));
    fputs(" |\n", out);
  }
}

// Number of a text in a list of different ones, to which it is added.
static int number_of(const char** list, int* count, const char* text) {
  int i = 0;
  while (i < *count && strcmp(list[i], text) != 0) i++;
  if (i == *count) list[(*count)++] = text;
  return i;
}

static int by_group(const void* a, const void* b) {
  const UsDot *x = a, *y = b;
  return x->group != y->group ? x->group - y->group : x->series - y->series;
}

UsStatus us_table_draw(const UsTable* t, FILE* out) {
  UsDot* dot = calloc((size_t)t->count, sizeof(*dot));
  const char** names = calloc((size_t)t->count, 2 * sizeof(*names));
  if (!dot || !names) {
    free(dot);
    free(names);
    return us_fail(US_MEMORY, "out of memory");
  }
  // A group a row, a series a column, both in the order of the list; cells that are there.
  int n = 0, rows = 0, columns = 0, crosses = 0;
  const char** column = names + t->count;
  for (int i = 0; i < t->count; i++) {
    const UsCompareCell* c = &t->cell[i];
    if (!c->known || t->hidden[i]) continue;
    dot[n++] = (UsDot){.group = number_of(names, &rows, t->row[i]),
                       .series = number_of(column, &columns, t->column[i]),
                       .value = 100 * c->first_hit.rate,
                       .low = 100 * c->first_hit.low,
                       .high = 100 * c->first_hit.high,
                       .second = c->last_step.count ? 100 * c->last_step.rate : NAN,
                       .cross = t->paper[i]};
    crosses += isfinite(t->paper[i]);
  }
  qsort(dot, (size_t)n, sizeof(*dot), by_group);
  char label[256];
  snprintf(label, sizeof(label),
           "per cent of held-out pairs: dot, first hit with 95 %% interval; ring, last step%s",
           crosses ? "; cross, as published" : "");
  const UsDots dots = {.title = *t->title ? t->title : NULL,
                       .x_label = label,
                       .x_high = 100,
                       .groups = rows,
                       .series = columns,
                       .count = n,
                       .group_name = names,
                       .series_name = column,
                       .dot = dot};
  const double width = 860, height = ceil(us_chart_dots_height(&dots, width));
  us_chart_begin(out, (int)width, (int)height);
  us_chart_dots(out, (UsBox){0, 0, width, height}, &dots);
  us_chart_end(out);
  free(dot);
  free(names);
  return US_OK;
}
