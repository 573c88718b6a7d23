#ifndef UNDERSTUDY_PICTURE_H_
#define UNDERSTUDY_PICTURE_H_

// Pictures for reports and loss curves: a white canvas that text, frames, line plots and bar charts
// are drawn on, saved as PNG. Drawn with cairo, in DejaVu Sans.
//
// Lengths are pixels; x runs right and y down from the upper left corner. Drawing cannot fail:
// trouble shows when the picture is saved. Whatever leaves the canvas is clipped.
//
//   UsPicture* p;
//   US_TRY(us_picture_create(800, 480, &p));
//   us_picture_lines(p, (UsBox){0, 0, 800, 480}, &plot, 2, series);
//   UsStatus status = us_picture_save(p, "runs/pm/loss.png");
//   us_picture_destroy(p);
//
// Threads: a picture belongs to one thread at a time.

#include <stdint.h>

#include "worldmodel/base/status.h"

typedef struct UsPicture UsPicture;

typedef struct UsBox {
  double x, y, width, height;
} UsBox;

// Colours are 0xRRGGBB.
enum { US_INK = 0x26282b, US_FAINT = 0x7d8288, US_GRID = 0xe3e5e8, US_WHITE = 0xffffff };

// Where text stands relative to its x.
typedef enum UsAlign { US_LEFT, US_CENTER, US_RIGHT } UsAlign;

enum { US_PICTURE_MOST = 16384 };  // pixels of a side

// The scale, at most `wanted`, at which `pixels` and `rest` unscaled ones beside them fit a side.
double us_picture_fit(double wanted, double pixels, double rest);

// A white canvas of 1 .. US_PICTURE_MOST pixels a side; others are US_UNSUPPORTED. On failure *out
// is NULL.
UsStatus us_picture_create(int width, int height, UsPicture** out);

// NULL is fine.
void us_picture_destroy(UsPicture* p);

// Writes a PNG, replacing the file as us_file_write does. After Ctrl-C none is written:
// US_INTERRUPTED.
UsStatus us_picture_save(UsPicture* p, const char* path);

// Copies the canvas: pixels (height, width, 3), RGB.
void us_picture_pixels(UsPicture* p, uint8_t* pixels);

// The i-th of eight muted, distinct colours; wraps around.
int us_picture_color(int i);

// ---- parts ----

// One line of text whose capitals are vertically centred on y. size is the font's height.
void us_picture_text(UsPicture* p, double x, double y, double size, int color, UsAlign align,
                     const char* text);

// The same, bold.
void us_picture_title(UsPicture* p, double x, double y, double size, int color, UsAlign align,
                      const char* text);

// Width of a text in plain type.
double us_picture_text_width(UsPicture* p, double size, const char* text);

// A filled rectangle, an outline, a straight line of some thickness.
void us_picture_fill(UsPicture* p, UsBox box, int color);
void us_picture_outline(UsPicture* p, UsBox box, double thickness, int color);
void us_picture_line(UsPicture* p, double x0, double y0, double x1, double y1, double thickness,
                     int color);

// A frame (height, width, 3), RGB, with its upper left corner at (x, y), every pixel enlarged
// `scale` times without smoothing.
void us_picture_frame(UsPicture* p, double x, double y, double scale, int height, int width,
                      const uint8_t* pixels);

// ---- whole charts ----

// `count` frames (count, height, width, 3) side by side with `gap` pixels between; caption (count)
// stands above each. The caption needs 16 pixels above y. Nullable: caption, and any of its texts.
void us_picture_strip(UsPicture* p, double x, double y, double scale, double gap, int count,
                      int height, int width, const uint8_t* pixels, const char* const* caption);

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
void us_picture_lines(UsPicture* p, UsBox box, const UsPlot* plot, int n, const UsSeries* series);

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
void us_picture_bars(UsPicture* p, UsBox box, const UsBars* bars);

#endif  // UNDERSTUDY_PICTURE_H_
