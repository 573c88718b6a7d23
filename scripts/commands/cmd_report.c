// understudy report: the pictures of an evaluation, and a page that shows them with its numbers.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "planner/eval.h"
#include "scripts/cli/cli.h"
#include "scripts/report/picture.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/progress.h"

enum { kRows = US_ROW_COUNT, kRules = US_RULE_COUNT + 1, kSteps = 1 << 20, kFrames = 1024 };

typedef struct Rate {
  int known;
  double rate, low, high;  // per cent
} Rate;

typedef struct Row {
  int on, pairs, hard_pairs;
  Rate rate[kRules];
  double figure[US_FIGURE_COUNT], part[US_PART_COUNT];  // NaN: not known
  const cJSON* distance;                                // {mean, median, ...}
  const cJSON* first_hit_step;
} Row;

typedef struct Report {
  const char* path;  // of the JSON
  const char* out;   // folder
  cJSON* json;
  char task[64], protocol[64], blas[128], version[64];
  int episodes, solved_at_start, budget, block, seed;
  double radius;
  Row row[kRows];
  int film_count, film_pages;
  UsRule rule;  // that the protocol counts by; US_RULE_COUNT: not known
  UsColumn counted[kRules];
  int rules;
} Report;

// ---- reading ----

static const cJSON* member(const cJSON* object, const char* key) {
  return cJSON_GetObjectItemCaseSensitive(object, key);
}

static double number(const cJSON* object, const char* key) {
  const cJSON* x = member(object, key);
  return cJSON_IsNumber(x) ? x->valuedouble : NAN;
}

static double item(const cJSON* list, int i) {
  const cJSON* x = i >= 0 ? cJSON_GetArrayItem(list, i) : NULL;
  return cJSON_IsNumber(x) ? x->valuedouble : NAN;
}

static UsStatus read_rate(const Report* r, const cJSON* row, const UsColumn* c, Rate* out) {
  const cJSON* from = c->hard ? member(row, "hard") : row;
  const cJSON* rate = member(from, us_rules[c->rule].name);
  *out = (Rate){0};
  if (!rate || cJSON_IsNull(rate)) return US_OK;
  US_TRY(us_json_number(r->path, rate, "rate", 0, 1, NULL, &out->rate));
  US_TRY(us_json_number(r->path, rate, "low", 0, 1, NULL, &out->low));
  US_TRY(us_json_number(r->path, rate, "high", 0, 1, NULL, &out->high));
  out->known = 1;
  out->rate *= 100;
  out->low *= 100;
  out->high *= 100;
  return US_OK;
}

static UsStatus read_row(const Report* r, const cJSON* json, Row* out) {
  out->on = 1;
  US_TRY(us_json_int(r->path, json, "pairs", 0, 1 << 30, NULL, &out->pairs));
  const int none = 0;
  const cJSON* hard = member(json, "hard");
  if (hard) US_TRY(us_json_int(r->path, hard, "pairs", 0, 1 << 30, &none, &out->hard_pairs));
  for (int k = 0; k < r->rules; k++) US_TRY(read_rate(r, json, &r->counted[k], &out->rate[k]));
  for (int f = 0; f < US_FIGURE_COUNT; f++) out->figure[f] = number(json, us_figures[f].name);
  for (int p = 0; p < US_PART_COUNT; p++) {
    out->part[p] = number(member(member(json, "time"), us_part_names[p]), "seconds");
  }
  out->distance = member(json, "distance");
  out->first_hit_step = member(json, "first_hit_step");
  return US_OK;
}

// Lists what is counted and marks what the protocol counts.
static UsStatus choose_rules(Report* r) {
  char name[32];
  US_TRY(us_json_text(r->path, r->json, "rule", "", name, sizeof(name)));
  r->rule = us_rule_find(name);
  r->rules = us_rule_columns(r->rule, 0, r->counted);
  for (int k = 0; k < r->rules; k++) {
    UsColumn* c = &r->counted[k];
    if (c->rule == r->rule && !c->hard) strcat(c->title, " (the protocol's)");
  }
  return US_OK;
}

static UsStatus read_report(Report* r) {
  US_TRY(us_json_read(r->path, &r->json));
  const cJSON* j = r->json;
  US_TRY(us_json_text(r->path, j, "task", NULL, r->task, sizeof(r->task)));
  US_TRY(us_json_text(r->path, j, "protocol", NULL, r->protocol, sizeof(r->protocol)));
  US_TRY(us_json_text(r->path, j, "blas", "", r->blas, sizeof(r->blas)));
  US_TRY(us_json_text(r->path, j, "version", "", r->version, sizeof(r->version)));
  US_TRY(us_json_int(r->path, j, "episodes", 0, 1 << 30, NULL, &r->episodes));
  US_TRY(us_json_int(r->path, j, "solved_at_start", 0, 1 << 30, NULL, &r->solved_at_start));
  US_TRY(us_json_int(r->path, j, "budget", 1, kSteps, NULL, &r->budget));
  US_TRY(us_json_int(r->path, j, "block", 1, kSteps, NULL, &r->block));
  r->radius = number(j, "radius");
  US_TRY(choose_rules(r));
  const cJSON* rows = member(j, "rows");
  if (!cJSON_IsObject(rows)) {
    return us_fail(US_FORMAT, "%s: expected an object \"rows\", found none", r->path);
  }
  for (int k = 0; k < kRows; k++) {
    const cJSON* row = member(rows, us_eval_row_names[k]);
    if (row) US_TRY(read_row(r, row, &r->row[k]));
  }
  return US_OK;
}

// ---- charts ----

static UsStatus save(const Report* r, UsPicture* p, const char* name) {
  char path[4096];
  UsStatus status = us_picture_save(p, us_path_join(path, sizeof(path), r->out, name));
  us_picture_destroy(p);
  return status;
}

static UsStatus draw_bars(const Report* r) {
  UsBar bar[kRules * kRows];
  const char *group[kRules], *name[kRows];
  int bars = 0;
  for (int k = 0; k < kRows; k++) {
    if (r->row[k].on) name[bars++] = us_eval_row_titles[k];
  }
  for (int g = 0; g < r->rules; g++) {
    group[g] = r->counted[g].title;
    for (int k = 0, b = 0; k < kRows; k++) {
      if (!r->row[k].on) continue;
      const Rate* rate = &r->row[k].rate[g];
      bar[g * bars + b++] =
          rate->known ? (UsBar){rate->rate, rate->low, rate->high} : (UsBar){NAN, NAN, NAN};
    }
  }
  char title[256];
  snprintf(title, sizeof(title), "%s: success over %d held-out pairs (protocol %s)", r->task,
           r->episodes, r->protocol);
  UsBars chart = {.title = title,
                  .y_label = "per cent, with 95 % intervals",
                  .y_high = 100,
                  .format = "%.1f",
                  .groups = r->rules,
                  .bars = bars,
                  .group_name = group,
                  .bar_name = name,
                  .bar = bar};
  UsPicture* p;
  US_TRY(us_picture_create(960, 480, &p));
  us_picture_bars(p, (UsBox){0, 0, 960, 480}, &chart);
  return save(r, p, "success.png");
}

// Median distance after every block, into x, y (budget + 1); returns how many points.
static int distance_curve(const Report* r, const Row* row, double* x, double* y) {
  int n = 0;
  const cJSON* value;
  cJSON_ArrayForEach(value, member(row->distance, "median")) {
    if (n > r->budget) break;
    x[n] = n * r->block;
    y[n++] = cJSON_IsNumber(value) ? value->valuedouble : NAN;
  }
  return n;
}

// Per cent of episodes whose first success came by each env step, into x, y (budget + 1).
static int solved_curve(const Report* r, const Row* row, double* x, double* y) {
  for (int t = 0; t <= r->budget; t++) y[t] = 0;
  const cJSON* value;
  cJSON_ArrayForEach(value, row->first_hit_step) {
    int step = cJSON_IsNumber(value) ? value->valueint : -1;
    if (step >= 0 && step <= r->budget) y[step]++;
  }
  double sum = 0;
  for (int t = 0; t <= r->budget; t++) {
    sum += y[t];
    x[t] = t;
    y[t] = row->pairs > 0 ? 100 * sum / row->pairs : 0;
  }
  return r->budget + 1;
}

static UsStatus draw_curves(const Report* r) {
  size_t most = (size_t)r->budget + 1;  // points of a curve
  double* memory = calloc((4 * kRows + 4) * most, sizeof(double));
  if (!memory) return us_fail(US_MEMORY, "out of memory");
  double* next = memory;
  UsSeries solved[kRows], distance[kRows + 1];
  int n = 0;
  for (int k = 0; k < kRows; k++) {
    if (!r->row[k].on) continue;
    double *x[2], *y[2];
    for (int c = 0; c < 2; c++) {
      x[c] = next, y[c] = next + most;
      next += 2 * most;
    }
    int points = solved_curve(r, &r->row[k], x[0], y[0]);
    solved[n] = (UsSeries){us_eval_row_titles[k], points, x[0], y[0], 0};
    points = distance_curve(r, &r->row[k], x[1], y[1]);
    distance[n++] = (UsSeries){us_eval_row_titles[k], points, x[1], y[1], 1};
  }
  int m = n;
  if (isfinite(r->radius)) {
    double *x = next, *y = next + 2;
    x[1] = r->budget;
    y[0] = y[1] = r->radius;
    distance[m++] = (UsSeries){"counts as solved", 2, x, y, 0};
  }
  UsPlot left = {
      .title = "Solved so far", .x_label = "env steps", .y_label = "per cent of the pairs"};
  UsPlot right = {.title = "Distance to the goal", .x_label = "env steps", .y_label = "median"};
  left.y_high = 100;
  UsPicture* p;
  UsStatus status = us_picture_create(1120, 420, &p);
  if (status == US_OK) {
    us_picture_lines(p, (UsBox){0, 0, 560, 420}, &left, n, solved);
    us_picture_lines(p, (UsBox){560, 0, 560, 420}, &right, m, distance);
    status = save(r, p, "curves.png");
  }
  free(memory);
  return status;
}

// ---- filmstrips ----

// Pixels: of text above a film, of what is left below it, between frames, of a caption.
enum { kText = 32, kBelow = 14, kGap = 4, kCaption = 24 };

typedef struct Films {
  int count, size, frames;  // films, pixels of a side, frames of a film
  size_t bytes;             // of a film
  double scale;             // of a frame in the picture
  uint8_t* pixels;          // (count, frames, size, size, 3)
  const cJSON* episodes;
} Films;

static UsStatus read_films(const Report* r, Films* f) {
  const cJSON* films = member(r->json, "films");
  *f = (Films){0};
  if (!films) return US_OK;
  char file[256], folder[4096], path[4096];
  US_TRY(us_json_text(r->path, films, "file", NULL, file, sizeof(file)));
  US_TRY(us_json_int(r->path, films, "size", 8, 2048, NULL, &f->size));
  US_TRY(us_json_int(r->path, films, "frames", 2, kFrames, NULL, &f->frames));
  f->episodes = member(films, "episodes");
  int count = cJSON_GetArraySize(f->episodes);
  if (count == 0) return US_OK;
  const char* slash = strrchr(r->path, '/');
  snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - r->path) : 1,
           slash ? r->path : ".");
  size_t size;
  f->bytes = (size_t)f->frames * (size_t)f->size * (size_t)f->size * 3;
  us_path_join(path, sizeof(path), folder, file);
  US_TRY(us_file_read(path, 0, (void**)&f->pixels, &size));
  if (size != f->bytes * (size_t)count) {
    free(f->pixels);
    return us_fail(US_FORMAT, "%s: expected %d films of %zu bytes, found %zu bytes", path, count,
                   f->bytes, size);
  }
  f->count = count;
  return US_OK;
}

// One film at y: a line of text, the frames, and a box around the one in which the goal was
// reached.
static void draw_film(UsPicture* p, const Report* r, const Films* f, int i, double y) {
  const cJSON* episode = cJSON_GetArrayItem(f->episodes, i);
  const double left = 12, side = f->size * f->scale;
  double hit = number(episode, "first_hit_step"), blocks = number(episode, "blocks");
  int played =
      isfinite(blocks) && blocks >= 0 && blocks <= f->frames - 2 ? (int)blocks : f->frames - 2;
  char title[160], number_text[kFrames][12];
  const char* caption[kFrames] = {NULL};
  int every = 1 + (int)(kCaption / (side + kGap));  // small frames have no room for all
  for (int k = 0; k < f->frames; k += every) {
    snprintf(number_text[k], sizeof(number_text[k]), "%d", (k - 1) * r->block);
    caption[k] = k == 0 ? "start" : k == 1 ? "goal" : number_text[k];
  }
  const cJSON* curve = member(episode, "distance");
  const cJSON* last = cJSON_GetArrayItem(curve, cJSON_GetArraySize(curve) - 1);
  snprintf(title, sizeof(title),
           hit > 0 ? "Pair %.0f%s: reached after %.0f env steps" : "Pair %.0f%s: missed",
           number(episode, "pair"), cJSON_IsTrue(member(episode, "hard")) ? ", hard" : "", hit);
  size_t used = strlen(title);
  if (cJSON_IsNumber(last)) {
    snprintf(title + used, sizeof(title) - used, "; at the end %.2f from the goal",
             last->valuedouble);
  }
  int good = us_picture_color(2), bad = us_picture_color(3);
  us_picture_title(p, left, y + 8, 13, hit > 0 ? good : bad, US_LEFT, title);
  us_picture_strip(p, left, y + kText, f->scale, kGap, played + 2, f->size, f->size,
                   f->pixels + (size_t)i * f->bytes, caption);
  int at = hit > 0 && hit <= r->budget ? ((int)hit + r->block - 1) / r->block + 1 : -1;
  for (int k = 0; k < played + 2; k++) {
    if (k != at && k != 1) continue;
    UsBox box = {left + k * (side + kGap) - 1, y + kText - 1, side + 2, side + 2};
    us_picture_outline(p, box, k == at ? 3 : 1, k == at ? good : US_FAINT);
  }
}

// File of a page of films: films.png, films-2.png, ..
static const char* page_name(int page, char name[32]) {
  snprintf(name, 32, page ? "films-%d.png" : "films.png", page + 1);
  return name;
}

// Frames are made smaller where a film would be wider than a picture can be; films that do not fit
// one picture go on in the next.
static UsStatus draw_films(Report* r) {
  enum { kMargin = 20, kEnds = 12 };
  Films f;
  US_TRY(read_films(r, &f));
  r->film_count = f.count;
  if (f.count == 0) return US_OK;
  f.scale = us_picture_fit(1, f.frames * f.size, f.frames * kGap + kMargin);
  f.scale = us_picture_fit(f.scale, f.size, kText + kBelow + kEnds);
  int row = (int)ceil(f.size * f.scale) + kText + kBelow;
  int width = (int)(f.frames * (f.size * f.scale + kGap)) + kMargin;
  int rows = (US_PICTURE_MOST - kEnds) / row;
  UsStatus status = US_OK;
  UsProgress bar = us_progress_start("report", "films", f.count, 0);
  for (int first = 0; first < f.count && status == US_OK; first += rows) {
    int n = f.count - first < rows ? f.count - first : rows;
    char name[32];
    UsPicture* p;
    status = us_picture_create(width, n * row + kEnds, &p);
    if (status != US_OK) break;
    for (int i = 0; i < n && !us_interrupted(); i++) {
      draw_film(p, r, &f, first + i, kEnds / 2 + i * row);
      us_progress_show(&bar, first + i, NULL);
    }
    status = save(r, p, page_name(r->film_pages++, name));
  }
  us_progress_end(&bar);
  free(f.pixels);
  return status;
}

// ---- the page ----

static void write_number(FILE* out, const char* format, double x) {
  fputs("<td>", out);
  if (isfinite(x)) fprintf(out, format, x);
  if (!isfinite(x)) fputs("&ndash;", out);
  fputs("</td>", out);
}

static void write_rates(FILE* out, const Report* r) {
  fputs("<table><tr><th>row</th><th>pairs</th>", out);
  for (int g = 0; g < r->rules; g++) fprintf(out, "<th>%s</th>", r->counted[g].title);
  fputs("<th>mean distance at the start</th><th>at the end</th></tr>\n", out);
  for (int k = 0; k < kRows; k++) {
    const Row* row = &r->row[k];
    if (!row->on) continue;
    fprintf(out, "<tr><td>%s</td><td>%d (%d hard)</td>", us_eval_row_titles[k], row->pairs,
            row->hard_pairs);
    for (int g = 0; g < r->rules; g++) {
      const Rate* rate = &row->rate[g];
      if (!rate->known) fputs("<td>&ndash;</td>", out);
      if (rate->known) {
        fprintf(out, "<td><b>%.1f</b> [%.1f, %.1f]</td>", rate->rate, rate->low, rate->high);
      }
    }
    const cJSON* mean = member(row->distance, "mean");
    write_number(out, "%.3g", item(mean, 0));
    write_number(out, "%.3g", item(mean, cJSON_GetArraySize(mean) - 1));
    fputs("</tr>\n", out);
  }
  fputs("</table>\n", out);
}

static void write_times(FILE* out, const Report* r) {
  fputs("<table><tr><th>row</th>", out);
  for (int f = 0; f < US_FIGURE_COUNT; f++) {
    if (us_figures[f].title) fprintf(out, "<th>%s</th>", us_figures[f].title);
  }
  for (int p = 0; p < US_PART_COUNT; p++) fprintf(out, "<th>%s, s</th>", us_part_names[p]);
  fputs("</tr>\n", out);
  for (int k = 0; k < kRows; k++) {
    const Row* row = &r->row[k];
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

static void write_settings(FILE* out, const Report* r) {
  const cJSON* item;
  fputs("<p class=small>Planner:", out);
  cJSON_ArrayForEach(item, member(r->json, "planner")) {
    if (cJSON_IsString(item)) fprintf(out, " %s", item->valuestring);
    if (cJSON_IsNumber(item)) fprintf(out, ", %s %g", item->string, item->valuedouble);
    if (cJSON_IsTrue(item)) fprintf(out, ", %s", item->string);
  }
  fprintf(out, ". Program %s, %s.</p>\n<p class=small>Hashes:", r->version, r->blas);
  cJSON_ArrayForEach(item, member(r->json, "hashes")) {
    if (cJSON_IsString(item)) fprintf(out, " %s %.16s", item->string, item->valuestring);
  }
  fputs("</p>\n", out);
}

static const char page_head[] =
    "<!doctype html><meta charset=utf-8><title>understudy: %s</title>\n<style>"
    "body{font:15px/1.5 sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#26282b}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .9em;text-align:right;"
    "border-bottom:1px solid #e3e5e8}td:first-child,th:first-child{text-align:left}"
    "img{max-width:100%%}.small{color:#7d8288;font-size:13px}</style>\n<h1>%s</h1>\n";

static UsStatus write_page(const Report* r) {
  char* text = NULL;
  size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  if (!out) return us_fail(US_MEMORY, "out of memory");
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
  fputs("<img src=success.png alt=\"success rates\">\n<img src=curves.png alt=\"curves\">\n", out);
  if (r->film_count > 0) {
    fputs(
        "<h2>What happened</h2>\n<p>Episodes of the row model: the start, the goal, then the "
        "simulator's frame after each block, numbered in env steps. The green box marks the "
        "block in which the goal was reached.</p>\n",
        out);
    char name[32];
    for (int i = 0; i < r->film_pages; i++) {
      fprintf(out, "<img src=%s alt=films>\n", page_name(i, name));
    }
  }
  fputs("<h2>Where the time went</h2>\n", out);
  write_times(out, r);
  write_settings(out, r);
  fclose(out);
  char path[4096];
  UsStatus status =
      us_file_write(us_path_join(path, sizeof(path), r->out, "index.html"), text, size);
  free(text);
  return status;
}

// ---- the command ----

static UsStatus write_folder(Report* r) {
  US_TRY(us_folder_make(r->out));
  US_TRY(draw_bars(r));
  US_TRY(draw_curves(r));
  US_TRY(draw_films(r));
  US_TRY(write_page(r));
  printf("%s/index.html\n", r->out);
  return US_OK;
}

static UsStatus run(Report* r) {
  UsLock* lock;
  US_TRY(read_report(r));
  US_TRY(us_folder_make_above(r->out));
  US_TRY(us_lock_take(r->out, &lock));
  UsStatus status = write_folder(r);
  us_lock_release(lock);
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
  if (code < 0 && !json) code = us_cli_usage("report", "--json is missing");
  if (code < 0 && !out) code = us_cli_usage("report", "--out is missing");
  if (code < 0) {
    Report r = {.path = json, .out = out};
    UsStatus status = run(&r);
    cJSON_Delete(r.json);
    code = status == US_OK ? 0 : us_cli_fail("report", status);
  }
  free(json);
  free(out);
  return code;
}
