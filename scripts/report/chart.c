// A chart is laid out from its box inwards: title, legend, axis labels and tick labels take their
// room, the rest is the plot area. Data reach pixels through one Axes value.

#include "scripts/report/chart.h"

#include <math.h>
#include <string.h>

enum { kMaxTicks = 64 };
static const double kTitleSize = 15, kLabelSize = 12, kTickSize = 11;

// ---- what SVG is made of ----

void us_chart_begin(FILE* f, int width, int height) {
  fprintf(f,
          "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' viewBox='0 0 %d %d' "
          "style='max-width:100%%;height:auto' font-family='DejaVu Sans, Verdana, sans-serif'>\n",
          width, height, width, height);
  fprintf(f, "<rect width='%d' height='%d' fill='#ffffff'/>\n", width, height);
}

void us_chart_end(FILE* f) {
  fputs("</svg>\n", f);
}

// The text and the end of its element; what SVG would read as its own is escaped.
static void write_text(FILE* f, const char* text) {
  for (; *text; text++) {
    if (*text == '<' || *text == '&') {
      fputs(*text == '<' ? "&lt;" : "&amp;", f);
    } else {
      fputc(*text, f);
    }
  }
  fputs("</text>\n", f);
}

// One line of text whose capitals are vertically centred on y.
static void say(FILE* f, double x, double y, double size, int color, UsAlign align,
                const char* text) {
  static const char* const anchor[] = {"start", "middle", "end"};
  fprintf(f, "<text x='%.1f' y='%.1f' font-size='%.1f' fill='#%06x' text-anchor='%s'>", x,
          y + 0.365 * size, size, (unsigned)color, anchor[align]);
  write_text(f, text);
}

// About the width of a text, whose letters nobody has measured here.
static double text_width(double size, const char* text) {
  return 0.6 * size * (double)strlen(text);
}

static void fill(FILE* f, UsBox b, int color) {
  fprintf(f, "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='#%06x'/>\n", b.x, b.y,
          b.width, b.height, (unsigned)color);
}

static void stroke(FILE* f, double x0, double y0, double x1, double y1, double thickness,
                   int color) {
  fprintf(f, "<path d='M%.1f %.1fL%.1f %.1f' stroke='#%06x' stroke-width='%.1f'/>\n", x0, y0, x1,
          y1, (unsigned)color, thickness);
}

// ---- axes ----

typedef struct Axes {
  UsBox area;                           // of the plot, in pixels
  double x_low, x_high, y_low, y_high;  // of the data; y as log10 when log_y
  int log_y;
} Axes;

// Data in pixels.
static double place_x(const Axes* a, double x) {
  return a->area.x + (x - a->x_low) / (a->x_high - a->x_low) * a->area.width;
}

static double place_y(const Axes* a, double y) {
  if (a->log_y) y = log10(y);
  return a->area.y + a->area.height * (1 - (y - a->y_low) / (a->y_high - a->y_low));
}

// Returns how many ticks lie in a range; tick (kMaxTicks).
static int linear_ticks(double low, double high, int want, double* tick) {
  // A step of 1, 2 or 5 times a power of ten that gives about `want` ticks.
  double raw = (high - low) / (want < 2 ? 2 : want);
  double unit = pow(10, floor(log10(raw))), part = raw / unit;
  double step = unit * (part <= 1.0001 ? 1 : part <= 2.0001 ? 2 : part <= 5.0001 ? 5 : 10);
  // Its multiples, those at the ends too.
  int n = 0;
  double slack = 1e-9 * (high - low);
  for (double k = ceil((low - slack) / step); k * step <= high + slack && n < kMaxTicks; k++) {
    tick[n++] = k == 0 ? 0 : k * step;
  }
  return n;
}

static int y_ticks(const Axes* a, double* tick) {
  double low = a->y_low, high = a->y_high;
  if (!a->log_y) return linear_ticks(low, high, (int)(a->area.height / 45), tick);
  // Decades. Fewer than three have 2 and 5 between; many have not even all of their own.
  int n = 0, fine = high - low < 2.5, every = 1 + (int)((high - low) / 10);
  for (int k = (int)floor(low); k <= (int)ceil(high); k += every) {
    for (int m = 1; m <= 5; m = m == 1 ? 2 : m + 3) {
      double y = k + log10(m);
      if (y >= low - 1e-9 && y <= high + 1e-9 && n < kMaxTicks) tick[n++] = m * pow(10, k);
      if (!fine) break;
    }
  }
  return n;
}

// The number at a tick.
static void tick_text(double value, char text[32]) {
  // Large numbers in thousands and millions.
  double size = fabs(value), unit = size >= 1e6 ? 1e6 : size >= 1e4 ? 1e3 : 1;
  snprintf(text, 32, "%g%s", value / unit, unit == 1e6 ? "M" : unit == 1e3 ? "k" : "");
}

static void draw_y_axis(FILE* f, const Axes* a, const char* label, double label_x) {
  double tick[kMaxTicks];
  char text[32];
  // A faint line across, and its number.
  int n = y_ticks(a, tick);
  for (int i = 0; i < n; i++) {
    double y = round(place_y(a, tick[i])) + 0.5;
    stroke(f, a->area.x, y, a->area.x + a->area.width, y, 1, US_GRID);
    tick_text(tick[i], text);
    say(f, a->area.x - 7, y, kTickSize, US_FAINT, US_RIGHT, text);
  }
  // The label, a quarter turn to the left, centred beside the plot.
  if (label) {
    fprintf(f,
            "<text transform='translate(%.1f %.1f) rotate(-90)' font-size='%.1f' fill='#%06x' "
            "text-anchor='middle'>",
            label_x + 0.365 * kLabelSize, a->area.y + a->area.height / 2, kLabelSize,
            (unsigned)US_INK);
    write_text(f, label);
  }
}

static void draw_x_axis(FILE* f, const Axes* a, const char* label) {
  double tick[kMaxTicks];
  char text[32];
  // Below the plot: ticks, numbers, label.
  double bottom = a->area.y + a->area.height;
  int n = linear_ticks(a->x_low, a->x_high, (int)(a->area.width / 80), tick);
  for (int i = 0; i < n; i++) {
    double x = round(place_x(a, tick[i])) + 0.5;
    stroke(f, x, bottom, x, bottom + 4, 1, US_FAINT);
    tick_text(tick[i], text);
    say(f, x, bottom + 14, kTickSize, US_FAINT, US_CENTER, text);
  }
  if (label) {
    say(f, a->area.x + a->area.width / 2, bottom + 33, kLabelSize, US_INK, US_CENTER, label);
  }
}

// Names in their colours, wrapped to `width`; returns the height they take. With draw = 0 it only
// measures.
static double legend(FILE* f, double x, double y, double width, int n,
                     const char* (*name)(const void* list, int i), const void* list, int draw) {
  double at = x, line = 0;
  int any = 0;
  for (int i = 0; i < n; i++) {
    const char* text = name(list, i);
    if (!text) continue;
    // Box, name, and a gap to the next.
    double need = 18 + text_width(kTickSize, text) + 16;
    if (any && at + need > x + width) {
      at = x;
      line += 18;
    }
    if (draw) {
      fill(f, (UsBox){at, y + line + 4, 12, 10}, us_picture_color(i));
      say(f, at + 18, y + line + 9, kTickSize, US_INK, US_LEFT, text);
    }
    at += need;
    any = 1;
  }
  return any ? line + 18 : 0;
}

// Draws title and legend, and leaves in a->area what is left of the box for the plot.
static void lay_out(FILE* f, UsBox box, const char* title, const char* x_label, const char* y_label,
                    int n, const char* (*name)(const void*, int), const void* list, Axes* a) {
  // From above: title, legend, then the plot; from below: ticks and their label.
  double top = box.y + 14, bottom = box.y + box.height - (x_label ? 46 : 28);
  if (title) {
    say(f, box.x + 16, top + 7, kTitleSize, US_INK, US_LEFT, title);
    top += 28;
  }
  double height = legend(f, 0, 0, box.width - 32, n, name, list, 0);
  legend(f, box.x + 16, top, box.width - 32, n, name, list, 1);
  top += height + (height > 0 ? 8 : 0);
  a->area = (UsBox){0, top, 0, fmax(bottom - top, 10)};
  // From the left: label, ticks with room for the longest, axis.
  double tick[kMaxTicks], room = 0;
  char text[32];
  int ticks = y_ticks(a, tick);
  for (int i = 0; i < ticks; i++) {
    tick_text(tick[i], text);
    room = fmax(room, text_width(kTickSize, text));
  }
  a->area.x = round(box.x + 12 + (y_label ? 20 : 0) + (room + 10));
  a->area.width = fmax(box.x + box.width - 20 - a->area.x, 10);
}

// ---- lines ----

static const char* series_name(const void* list, int i) {
  return ((const UsSeries*)list)[i].name;
}

// Whether a point has a place on its axes.
static int shown(const UsPlot* plot, double x, double y) {
  return isfinite(x) && isfinite(y) && (!plot->log_y || y > 0);
}

// Makes a range wider by a share of it on both sides.
static void widen(double* low, double* high, double share) {
  if (!(*low <= *high)) {  // no data
    *low = 0;
    *high = 1;
  }
  // One value alone gets a range around it.
  double room = (*high - *low) * share;
  if (*high - *low < 1e-12 * fmax(1e-12, fabs(*high))) room = *high != 0 ? 0.1 * fabs(*high) : 0.5;
  *low -= room;
  *high += room;
}

static void data_range(const UsPlot* plot, int n, const UsSeries* series, Axes* a) {
  // All points that can be shown, in the axis' own measure.
  a->x_low = a->y_low = INFINITY;
  a->x_high = a->y_high = -INFINITY;
  for (int s = 0; s < n; s++) {
    for (int i = 0; i < series[s].count; i++) {
      double x = series[s].x[i], y = series[s].y[i];
      if (!shown(plot, x, y)) continue;
      if (plot->log_y) y = log10(y);
      a->x_low = fmin(a->x_low, x);
      a->x_high = fmax(a->x_high, x);
      a->y_low = fmin(a->y_low, y);
      a->y_high = fmax(a->y_high, y);
    }
  }
  // A little room above and below, but none below 0 for what is never negative.
  double floor_y = a->y_low;
  widen(&a->x_low, &a->x_high, 0);
  widen(&a->y_low, &a->y_high, 0.05);
  if (!plot->log_y && floor_y >= 0 && a->y_low < 0) a->y_low = 0;
  // The range that was asked for goes before.
  if (plot->y_low != 0 || plot->y_high != 0) {
    a->y_low = plot->log_y ? log10(plot->y_low) : plot->y_low;
    a->y_high = plot->log_y ? log10(plot->y_high) : plot->y_high;
  }
}

// The line, broken where nothing can be shown, and its dots.
static void draw_series(FILE* f, const Axes* a, const UsPlot* plot, const UsSeries* s, int color) {
  int open = 0;
  fputs("<path d='", f);
  for (int i = 0; i < s->count; i++) {
    int can = shown(plot, s->x[i], s->y[i]);
    if (can) {
      fprintf(f, "%c%.1f %.1f", open ? 'L' : 'M', place_x(a, s->x[i]), place_y(a, s->y[i]));
    }
    open = can;
  }
  fprintf(f, "' fill='none' stroke='#%06x' stroke-width='1.8' stroke-linejoin='round'/>\n",
          (unsigned)color);
  // Dots where they are asked for.
  for (int i = 0; s->dots && i < s->count; i++) {
    if (!shown(plot, s->x[i], s->y[i])) continue;
    fprintf(f, "<circle cx='%.1f' cy='%.1f' r='3' fill='#%06x'/>\n", place_x(a, s->x[i]),
            place_y(a, s->y[i]), (unsigned)color);
  }
}

void us_chart_lines(FILE* f, UsBox box, const UsPlot* plot, int n, const UsSeries* series) {
  // Range, room, axes, then the series cut to the plot.
  Axes a = {.log_y = plot->log_y};
  data_range(plot, n, series, &a);
  lay_out(f, box, plot->title, plot->x_label, plot->y_label, n, series_name, series, &a);
  draw_y_axis(f, &a, plot->y_label, box.x + 18);
  draw_x_axis(f, &a, plot->x_label);
  // An inner drawing with the same coordinates cuts off what leaves the plot.
  UsBox cut = {a.area.x, a.area.y - 4, a.area.width + 4, a.area.height + 8};
  fprintf(f, "<svg x='%.1f' y='%.1f' width='%.1f' height='%.1f' viewBox='%.1f %.1f %.1f %.1f'>\n",
          cut.x, cut.y, cut.width, cut.height, cut.x, cut.y, cut.width, cut.height);
  for (int s = 0; s < n; s++) draw_series(f, &a, plot, &series[s], us_picture_color(s));
  fputs("</svg>\n", f);
  double bottom = round(a.area.y + a.area.height) + 0.5;
  stroke(f, a.area.x, bottom, a.area.x + a.area.width, bottom, 1, US_FAINT);
}

// ---- bars ----

static const char* bar_name(const void* list, int i) {
  return ((const UsBars*)list)->bar_name[i];
}

// One bar, or the word that there is no value.
static void draw_bar(FILE* f, const Axes* a, const UsBar* bar, double x, double width, int color,
                     const char* format) {
  if (!isfinite(bar->value)) {
    say(f, x + width / 2, a->area.y + a->area.height - 8, kTickSize, US_FAINT, US_CENTER, "n/a");
    return;
  }
  // The bar, its interval, its number above both.
  double y = place_y(a, bar->value), bottom = a->area.y + a->area.height, top = y;
  fill(f, (UsBox){x, y, width, bottom - y}, color);
  if (isfinite(bar->low) && isfinite(bar->high)) {
    double middle = round(x + width / 2) + 0.5, cap = fmin(5, width / 4);
    double low = place_y(a, bar->low), high = place_y(a, bar->high);
    stroke(f, middle, low, middle, high, 1.2, US_INK);
    stroke(f, middle - cap, low, middle + cap, low, 1.2, US_INK);
    stroke(f, middle - cap, high, middle + cap, high, 1.2, US_INK);
    top = fmin(top, high);
  }
  // Made smaller where it would be wider than its bar.
  char text[64];
  double size = kTickSize;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  snprintf(text, sizeof(text), format, bar->value);
#pragma GCC diagnostic pop
  double need = text_width(size, text);
  if (need > width + 6) size *= fmax(0.7, (width + 6) / need);
  say(f, x + width / 2, top - 9, size, US_INK, US_CENTER, text);
}

void us_chart_bars(FILE* f, UsBox box, const UsBars* bars) {
  US_ASSERT(bars->groups >= 1 && bars->bars >= 1);
  // The axis goes a little beyond the highest bar and interval, where it is not given.
  double top = 0;
  for (int i = 0; i < bars->groups * bars->bars; i++) {
    if (isfinite(bars->bar[i].value)) top = fmax(top, bars->bar[i].value);
    if (isfinite(bars->bar[i].high)) top = fmax(top, bars->bar[i].high);
  }
  top = top > 0 ? 1.05 * top : 1;
  Axes a = {.x_high = bars->groups, .y_high = bars->y_high > 0 ? bars->y_high : top};
  lay_out(f, box, bars->title, NULL, bars->y_label, bars->bars, bar_name, bars, &a);
  a.area.y += 14;  // room for the value above a full bar
  a.area.height = fmax(a.area.height - 14, 10);
  draw_y_axis(f, &a, bars->y_label, box.x + 18);
  // Bars of a group stand together around its middle.
  double group = a.area.width / bars->groups;
  double slot = fmin(group * 0.8 / bars->bars, 90), width = slot * 0.86;
  double bottom = a.area.y + a.area.height;
  for (int g = 0; g < bars->groups; g++) {
    double middle = a.area.x + (g + 0.5) * group;
    for (int b = 0; b < bars->bars; b++) {
      double x = middle + (b - bars->bars / 2.0) * slot + (slot - width) / 2;
      draw_bar(f, &a, &bars->bar[g * bars->bars + b], x, width, us_picture_color(b),
               bars->format ? bars->format : "%g");
    }
    // The group's name stands below it.
    say(f, middle, bottom + 14, kLabelSize, US_INK, US_CENTER, bars->group_name[g]);
  }
  stroke(f, a.area.x, round(bottom) + 0.5, a.area.x + a.area.width, round(bottom) + 0.5, 1,
         US_FAINT);
}

// ---- dots ----

static const double kLane = 12, kGroupGap = 10;

static const char* dots_name(const void* list, int i) {
  return ((const UsDots*)list)->series_name[i];
}

// Height above the plot: title and legend; below it: ticks and label.
static double dots_above(const UsDots* d, double width) {
  double height = legend(NULL, 0, 0, width - 32, d->series, dots_name, d, 0);
  return 14 + (d->title ? 28 : 0) + height + 8;
}

double us_chart_dots_height(const UsDots* d, double width) {
  return dots_above(d, width) + kLane * d->count + kGroupGap * d->groups + (d->x_label ? 46 : 28);
}

static void draw_dot(FILE* f, const Axes* a, const UsDot* dot, double y, int color) {
  if (isfinite(dot->low) && isfinite(dot->high)) {
    double low = place_x(a, dot->low), high = place_x(a, dot->high);
    stroke(f, low, y, high, y, 1.6, color);
    stroke(f, low, y - 3, low, y + 3, 1.2, color);
    stroke(f, high, y - 3, high, y + 3, 1.2, color);
  }
  if (isfinite(dot->second)) {
    fprintf(f,
            "<circle cx='%.1f' cy='%.1f' r='3' fill='#ffffff' stroke='#%06x' "
            "stroke-width='1.4'/>\n",
            place_x(a, dot->second), y, (unsigned)color);
  }
  if (isfinite(dot->value)) {
    fprintf(f, "<circle cx='%.1f' cy='%.1f' r='4' fill='#%06x'/>\n", place_x(a, dot->value), y,
            (unsigned)color);
  }
  if (isfinite(dot->cross)) {
    double x = place_x(a, dot->cross);
    stroke(f, x - 4, y - 4, x + 4, y + 4, 1.8, US_INK);
    stroke(f, x - 4, y + 4, x + 4, y - 4, 1.8, US_INK);
  }
}

void us_chart_dots(FILE* f, UsBox box, const UsDots* d) {
  // From above: title, legend, plot; names of groups take their room at the left.
  if (d->title) say(f, box.x + 16, box.y + 21, kTitleSize, US_INK, US_LEFT, d->title);
  legend(f, box.x + 16, box.y + 14 + (d->title ? 28 : 0), box.width - 32, d->series, dots_name, d,
         1);
  double names = 0, top = box.y + dots_above(d, box.width);
  for (int g = 0; g < d->groups; g++) {
    names = fmax(names, text_width(kTickSize, d->group_name[g]));
  }
  Axes a = {.x_high = d->x_high, .y_high = 1};
  double left = round(box.x + 16 + names + 12);
  a.area = (UsBox){left, top, fmax(box.x + box.width - 24 - left, 10),
                   kLane * d->count + kGroupGap * d->groups};
  // Faint lines at the ticks, then the groups, each below a line of its own.
  double tick[kMaxTicks], bottom = a.area.y + a.area.height;
  int ticks = linear_ticks(0, d->x_high, 10, tick);
  for (int i = 0; i < ticks; i++) {
    double x = round(place_x(&a, tick[i])) + 0.5;
    stroke(f, x, top, x, bottom, 1, US_GRID);
  }
  draw_x_axis(f, &a, d->x_label);
  double y = top;
  for (int g = 0, i = 0; g < d->groups; g++) {
    double begin = y;
    stroke(f, box.x + 16, round(begin) + 0.5, left + a.area.width, round(begin) + 0.5, 1, US_GRID);
    y += kGroupGap / 2;
    for (; i < d->count && d->dot[i].group == g; i++, y += kLane) {
      draw_dot(f, &a, &d->dot[i], y + kLane / 2, us_picture_color(d->dot[i].series));
    }
    y += kGroupGap / 2;
    say(f, left - 12, (begin + y) / 2, kTickSize, US_INK, US_RIGHT, d->group_name[g]);
  }
  stroke(f, left, round(bottom) + 0.5, left + a.area.width, round(bottom) + 0.5, 1, US_FAINT);
}
