#ifndef UNDERSTUDY_PICTURE_H_
#define UNDERSTUDY_PICTURE_H_

// Pictures with frames in them: a white canvas that text, shapes and frames are drawn on, saved as
// PNG. Drawn with cairo, in DejaVu Sans. Charts are text (chart.h).
//
// Lengths are pixels; x runs right and y down from the upper left corner. Drawing cannot fail:
// trouble shows when the picture is saved. Whatever leaves the canvas is clipped.
//
//   UsPicture* p;
//   US_TRY(us_picture_create(800, 480, &p));
//   us_picture_frame(p, 8, 8, 4, 64, 64, pixels);
//   UsStatus status = us_picture_save(p, "frame.png");
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

// Writes a PNG, replacing one as us_file_write does; a file of another kind is US_IO. After Ctrl-C
// none is written: US_INTERRUPTED.
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

// `count` frames (count, height, width, 3) side by side with `gap` pixels between; caption (count)
// stands above each. The caption needs 16 pixels above y. Nullable: caption, and any of its texts.
void us_picture_strip(UsPicture* p, double x, double y, double scale, double gap, int count,
                      int height, int width, const uint8_t* pixels, const char* const* caption);

#endif  // UNDERSTUDY_PICTURE_H_
