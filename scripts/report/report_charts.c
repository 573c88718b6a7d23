// The charts of a report: rates as bars with intervals, and how distance and success went on.

#include <math.h>
#include <stdlib.h>

#include "scripts/report/chart.h"
#include "scripts/report/report.h"

static void draw_bars(const UsReport* r, FILE* out) {
  UsBar bar[US_RULE_COLUMNS * US_ROW_COUNT];
  const char *group[US_RULE_COLUMNS], *name[US_ROW_COUNT];
  int bars = 0;
  for (int k = 0; k < US_ROW_COUNT; k++) {
    if (r->row[k].on) name[bars++] = us_eval_row_titles[k];
  }
  // A group a column of the table, a bar a row; what is not known has no bar.
  for (int g = 0; g < r->rules; g++) {
    group[g] = r->counted[g].title;
    for (int k = 0, b = 0; k < US_ROW_COUNT; k++) {
      if (!r->row[k].on) continue;
      const UsReportRate* rate = &r->row[k].rate[g];
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
  us_chart_begin(out, 960, 480);
  us_chart_bars(out, (UsBox){0, 0, 960, 480}, &chart);
  us_chart_end(out);
}

// Per cent of episodes whose first success came by each env step, into x, y (budget + 1).
static void solved_curve(const UsReport* r, const UsReportRow* row, double* x, double* y) {
  for (int t = 0; t <= r->budget; t++) y[t] = 0;
  const cJSON* value;
  cJSON_ArrayForEach(value, row->first_hit_step) {
    int step = cJSON_IsNumber(value) ? value->valueint : -1;
    if (step >= 0 && step <= r->budget) y[step]++;
  }
  // First successes by env step, added up.
  double sum = 0;
  for (int t = 0; t <= r->budget; t++) {
    sum += y[t];
    x[t] = t;
    y[t] = row->pairs > 0 ? 100 * sum / row->pairs : 0;
  }
}

static UsStatus draw_curves(const UsReport* r, FILE* out) {
  size_t most = (size_t)r->budget + 1;  // points of a curve
  double* memory = calloc((4 * US_ROW_COUNT + 4) * most, sizeof(double));
  if (!memory) return us_fail(US_MEMORY, "out of memory");
  // Two curves a row, and the line below which a distance counts as solved.
  double* next = memory;
  UsSeries solved[US_ROW_COUNT], distance[US_ROW_COUNT + 1];
  int n = 0;
  for (int k = 0; k < US_ROW_COUNT; k++) {
    if (!r->row[k].on) continue;
    solved_curve(r, &r->row[k], next, next + most);
    solved[n] = (UsSeries){us_eval_row_titles[k], r->budget + 1, next, next + most, 0};
    // The median distance after every block.
    double *x = next + 2 * most, *y = x + most;
    int points = 0;
    const cJSON* value;
    cJSON_ArrayForEach(value, us_report_member(r->row[k].distance, "median")) {
      if (points > r->budget) break;
      x[points] = points * r->block;
      y[points++] = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    }
    distance[n++] = (UsSeries){us_eval_row_titles[k], points, x, y, 1};
    next = y + most;
  }
  // Where the task has a radius, a level line across.
  int m = n;
  if (isfinite(r->radius)) {
    double *x = next, *y = next + 2;
    x[1] = r->budget;
    y[0] = y[1] = r->radius;
    distance[m++] = (UsSeries){"counts as solved", 2, x, y, 0};
  }
  // Side by side.
  const UsPlot left = {"Solved so far", "env steps", "per cent of the pairs", 0, 0, 100};
  const UsPlot right = {"Distance to the goal", "env steps", "median", 0, 0, 0};
  us_chart_begin(out, 1120, 420);
  us_chart_lines(out, (UsBox){0, 0, 560, 420}, &left, n, solved);
  us_chart_lines(out, (UsBox){560, 0, 560, 420}, &right, m, distance);
  us_chart_end(out);
  free(memory);
  return US_OK;
}

UsStatus us_report_charts(const UsReport* r, FILE* out) {
  draw_bars(r, out);
  return draw_curves(r, out);
}
