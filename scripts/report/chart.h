#ifndef UNDERSTUDY_CHART_H_
#define UNDERSTUDY_CHART_H_

// Charts as SVG: text that a browser draws, alone in a file or inside a page.
//
//   us_chart_begin(out, 800, 480);
//   us_chart_lines(out, (UsBox){0, 0, 800, 480}, &plot, 2, series);
//   us_chart_end(out);
//
// Lengths are as in picture.h. Drawing cannot fail: trouble is the stream's. Threads: a stream
// belongs to one thread at a time.

#include <stdio.h>

#include "scripts/report/picture.h"

void us_chart_begin(FILE* out, int width, int height);
void us_chart_end(FILE* out);

typedef struct UsSeries {
  const char* name;  // for the legend. Nullable
  int count;
  const double* x;  // (count)
  const double* y;  // (count); what is not finite (or not positive on a log axis) breaks the line
  int dots;         // 1: a dot at every point
} UsSeries;

typedef struct UsPlot {
  const char* title;     // Nullable
  const char* x_label;   // Nullable
  const char* y_label;   // Nullable
  int log_y;             // 1: decades
  double y_low, y_high;  // range of the axis; both 0: what the data need
} UsPlot;

// A line plot of n series with axes, ticks, title and legend inside `box`. series (n).
void us_chart_lines(FILE* out, UsBox box, const UsPlot* plot, int n, const UsSeries* series);

typedef struct UsBar {
  double value;      // NaN: no bar
  double low, high;  // ends of the interval; NaN: none
} UsBar;

typedef struct UsBars {
  const char* title;    // Nullable
  const char* y_label;  // Nullable
  double y_high;        // top of the axis, which starts at 0; 0: what the data need
  const char* format;   // of value labels, as "%.1f"; NULL: "%g"
  int groups, bars;
  const char* const* group_name;  // (groups), below the axis
  const char* const* bar_name;    // (bars), in the legend
  const UsBar* bar;               // (groups, bars)
} UsBars;

// A bar chart with intervals and value labels inside `box`.
void us_chart_bars(FILE* out, UsBox box, const UsBars* bars);

// A figure of one group and one series.
typedef struct UsDot {
  int group, series;
  double value, low, high;  // a dot and its interval; low, high NaN: none
  double second, cross;     // more figures of it, a ring and a cross; NaN: none
} UsDot;

typedef struct UsDots {
  const char* title;    // Nullable
  const char* x_label;  // Nullable
  double x_high;        // end of the axis, which starts at 0
  int groups, series, count;
  const char* const* group_name;   // (groups), left of the axis
  const char* const* series_name;  // (series), in the legend
  const UsDot* dot;                // (count), groups in ascending order; a line each
} UsDots;

// A chart of dots with intervals, groups one below the other, in a box of the height that
// us_chart_dots_height says.
void us_chart_dots(FILE* out, UsBox box, const UsDots* dots);
double us_chart_dots_height(const UsDots* dots, double width);

#endif  // UNDERSTUDY_CHART_H_
