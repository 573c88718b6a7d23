// A chart is laid out from its box inwards: title, legend, axis labels and tick labels take their
// room, the rest is the plot area. Data reach pixels through one Axes value.

#include "scripts/report/picture.h"

#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/file.h"
#include "worldmodel/base/progress.h"

struct UsPicture {
  cairo_surface_t* surface;
  cairo_t* cr;
};

enum { kMaxTicks = 64 };
static const double kTitleSize = 15, kLabelSize = 12, kTickSize = 11;

#ifdef US_SANITIZED
// fontconfig keeps its caches to the end of the program; a leak checker need not say so.
const char* __lsan_default_suppressions(void);
const char* __lsan_default_suppressions(void) {
  return "leak:libfontconfig\nleak:libcairo\n";
}
const char* __lsan_default_options(void);
const char* __lsan_default_options(void) {
  return "print_suppressions=0";
}
#endif

double us_picture_fit(double wanted, double pixels, double rest) {
  return fmin(wanted, (US_PICTURE_MOST - rest) / pixels);
}

UsStatus us_picture_create(int width, int height, UsPicture** out) {
  *out = NULL;
  if (width < 1 || width > US_PICTURE_MOST || height < 1 || height > US_PICTURE_MOST) {
    return us_fail(US_UNSUPPORTED, "expected a picture of 1 to %d pixels a side, found %d x %d",
                   US_PICTURE_MOST, width, height);
  }
  UsPicture* p = calloc(1, sizeof(*p));
  if (!p) return us_fail(US_MEMORY, "out of memory for a picture of %d x %d", width, height);
  p->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
  p->cr = cairo_create(p->surface);
  if (cairo_status(p->cr) != CAIRO_STATUS_SUCCESS) {
    us_picture_destroy(p);
    return us_fail(US_MEMORY, "out of memory for a picture of %d x %d", width, height);
  }
  us_picture_fill(p, (UsBox){0, 0, width, height}, US_WHITE);
  *out = p;
  return US_OK;
}

void us_picture_destroy(UsPicture* p) {
  if (!p) return;
  cairo_destroy(p->cr);
  cairo_surface_destroy(p->surface);
  free(p);
}

typedef struct Bytes {
  char* data;
  size_t size, room;
} Bytes;

static cairo_status_t append(void* closure, const unsigned char* data, unsigned int size) {
  Bytes* b = closure;
  if (us_interrupted()) return CAIRO_STATUS_WRITE_ERROR;
  if (b->size + size > b->room) {
    size_t room = 2 * (b->size + size);
    char* grown = realloc(b->data, room);
    if (!grown) return CAIRO_STATUS_NO_MEMORY;
    b->data = grown;
    b->room = room;
  }
  memcpy(b->data + b->size, data, size);
  b->size += size;
  return CAIRO_STATUS_SUCCESS;
}

UsStatus us_picture_save(UsPicture* p, const char* path) {
  Bytes bytes = {0};
  cairo_status_t drawn = cairo_status(p->cr);
  if (drawn == CAIRO_STATUS_SUCCESS) {
    cairo_surface_flush(p->surface);
    drawn = cairo_surface_write_to_png_stream(p->surface, append, &bytes);
  }
  UsStatus status = us_interrupted() ? us_interrupt_check(path)
                    : drawn == CAIRO_STATUS_SUCCESS
                        ? us_file_write(path, bytes.data, bytes.size)
                        : us_fail(US_IO, "%s: the picture cannot be drawn: %s", path,
                                  cairo_status_to_string(drawn));
  free(bytes.data);
  return status;
}

void us_picture_pixels(UsPicture* p, uint8_t* pixels) {
  cairo_surface_flush(p->surface);
  const unsigned char* data = cairo_image_surface_get_data(p->surface);
  size_t stride = (size_t)cairo_image_surface_get_stride(p->surface);
  int width = cairo_image_surface_get_width(p->surface);
  int height = cairo_image_surface_get_height(p->surface);
  for (int y = 0; y < height; y++) {
    const uint32_t* row = (const uint32_t*)(data + (size_t)y * stride);
    for (int x = 0; x < width; x++, pixels += 3) {
      pixels[0] = (uint8_t)(row[x] >> 16);
      pixels[1] = (uint8_t)(row[x] >> 8);
      pixels[2] = (uint8_t)row[x];
    }
  }
}

int us_picture_color(int i) {
  static const int color[8] = {0x3f6fae, 0xdd8149, 0x4f9f63, 0xbf4b50,
                               0x7d6bb0, 0x8f7459, 0xd184b8, 0x6f7479};
  return color[(unsigned)i % 8];
}

// ---- parts ----

static void set_color(UsPicture* p, int color) {
  cairo_set_source_rgb(p->cr, (color >> 16 & 255) / 255.0, (color >> 8 & 255) / 255.0,
                       (color & 255) / 255.0);
}

static void set_font(UsPicture* p, double size, int bold) {
  cairo_select_font_face(p->cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                         bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(p->cr, size);
}

// `turn` quarter turns to the left.
static void draw_text(UsPicture* p, double x, double y, double size, int bold, int turn, int color,
                      UsAlign align, const char* text) {
  cairo_save(p->cr);
  set_font(p, size, bold);
  set_color(p, color);
  cairo_text_extents_t e;
  cairo_text_extents(p->cr, text, &e);
  double shift = align == US_LEFT ? 0 : align == US_CENTER ? 0.5 : 1;
  cairo_translate(p->cr, x, y);
  cairo_rotate(p->cr, -turn * M_PI / 2);
  cairo_move_to(p->cr, -shift * e.x_advance, 0.365 * size);  // half of a capital's height
  cairo_show_text(p->cr, text);
  cairo_restore(p->cr);
}

void us_picture_text(UsPicture* p, double x, double y, double size, int color, UsAlign align,
                     const char* text) {
  draw_text(p, x, y, size, 0, 0, color, align, text);
}

void us_picture_title(UsPicture* p, double x, double y, double size, int color, UsAlign align,
                      const char* text) {
  draw_text(p, x, y, size, 1, 0, color, align, text);
}

double us_picture_text_width(UsPicture* p, double size, const char* text) {
  cairo_text_extents_t e;
  set_font(p, size, 0);
  cairo_text_extents(p->cr, text, &e);
  return e.x_advance;
}

void us_picture_fill(UsPicture* p, UsBox box, int color) {
  set_color(p, color);
  cairo_rectangle(p->cr, box.x, box.y, box.width, box.height);
  cairo_fill(p->cr);
}

void us_picture_outline(UsPicture* p, UsBox box, double thickness, int color) {
  set_color(p, color);
  cairo_set_line_width(p->cr, thickness);
  cairo_rectangle(p->cr, box.x, box.y, box.width, box.height);
  cairo_stroke(p->cr);
}

void us_picture_line(UsPicture* p, double x0, double y0, double x1, double y1, double thickness,
                     int color) {
  set_color(p, color);
  cairo_set_line_width(p->cr, thickness);
  cairo_move_to(p->cr, x0, y0);
  cairo_line_to(p->cr, x1, y1);
  cairo_stroke(p->cr);
}

void us_picture_frame(UsPicture* p, double x, double y, double scale, int height, int width,
                      const uint8_t* pixels) {
  cairo_surface_t* image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
  if (cairo_surface_status(image) == CAIRO_STATUS_SUCCESS) {
    unsigned char* data = cairo_image_surface_get_data(image);
    size_t stride = (size_t)cairo_image_surface_get_stride(image);
    for (int i = 0; i < height; i++) {
      uint32_t* row = (uint32_t*)(data + (size_t)i * stride);
      const uint8_t* in = pixels + (size_t)i * (size_t)width * 3;
      for (int j = 0; j < width; j++, in += 3) {
        row[j] = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
      }
    }
    cairo_surface_mark_dirty(image);
    cairo_save(p->cr);
    cairo_translate(p->cr, x, y);
    cairo_scale(p->cr, scale, scale);
    cairo_set_source_surface(p->cr, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(p->cr), CAIRO_FILTER_NEAREST);
    cairo_rectangle(p->cr, 0, 0, width, height);
    cairo_fill(p->cr);
    cairo_restore(p->cr);
  }
  cairo_surface_destroy(image);
}

void us_picture_strip(UsPicture* p, double x, double y, double scale, double gap, int count,
                      int height, int width, const uint8_t* pixels, const char* const* caption) {
  for (int i = 0; i < count; i++) {
    double left = x + i * (width * scale + gap);
    us_picture_frame(p, left, y, scale, height, width,
                     pixels + (size_t)i * (size_t)height * (size_t)width * 3);
    if (caption && caption[i]) {
      us_picture_text(p, left + width * scale / 2, y - 8, kTickSize, US_FAINT, US_CENTER,
                      caption[i]);
    }
  }
}

// ---- axes ----

typedef struct Axes {
  UsBox area;                           // of the plot, in pixels
  double x_low, x_high, y_low, y_high;  // of the data; y as log10 when log_y
  int log_y;
} Axes;

static double place_x(const Axes* a, double x) {
  return a->area.x + (x - a->x_low) / (a->x_high - a->x_low) * a->area.width;
}

static double place_y(const Axes* a, double y) {
  if (a->log_y) y = log10(y);
  return a->area.y + a->area.height * (1 - (y - a->y_low) / (a->y_high - a->y_low));
}

// A step of 1, 2 or 5 times a power of ten that gives about `want` ticks.
static double nice_step(double range, int want) {
  double raw = range / want, unit = pow(10, floor(log10(raw))), part = raw / unit;
  return unit * (part <= 1.0001 ? 1 : part <= 2.0001 ? 2 : part <= 5.0001 ? 5 : 10);
}

static int linear_ticks(double low, double high, int want, double* tick) {
  double step = nice_step(high - low, want < 2 ? 2 : want);
  int n = 0;
  double slack = 1e-9 * (high - low);
  for (double k = ceil((low - slack) / step); k * step <= high + slack && n < kMaxTicks; k++) {
    tick[n++] = k == 0 ? 0 : k * step;
  }
  return n;
}

// Decades, with 2 and 5 between them when there are few. low, high: log10.
static int log_ticks(double low, double high, double* tick) {
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

static void tick_text(double value, char text[32]) {
  double size = fabs(value);
  if (size >= 1e6) {
    snprintf(text, 32, "%gM", value / 1e6);
  } else if (size >= 1e4) {
    snprintf(text, 32, "%gk", value / 1e3);
  } else {
    snprintf(text, 32, "%g", value);
  }
}

static int y_ticks(const Axes* a, double* tick) {
  if (a->log_y) return log_ticks(a->y_low, a->y_high, tick);
  return linear_ticks(a->y_low, a->y_high, (int)(a->area.height / 45), tick);
}

static void draw_y_axis(UsPicture* p, const Axes* a, const char* label, double label_x) {
  double tick[kMaxTicks];
  char text[32];
  int n = y_ticks(a, tick);
  for (int i = 0; i < n; i++) {
    double y = round(place_y(a, tick[i])) + 0.5;
    us_picture_line(p, a->area.x, y, a->area.x + a->area.width, y, 1, US_GRID);
    tick_text(tick[i], text);
    us_picture_text(p, a->area.x - 7, y, kTickSize, US_FAINT, US_RIGHT, text);
  }
  if (label) {
    draw_text(p, label_x, a->area.y + a->area.height / 2, kLabelSize, 0, 1, US_INK, US_CENTER,
              label);
  }
}

static void draw_x_axis(UsPicture* p, const Axes* a, const char* label) {
  double tick[kMaxTicks];
  char text[32];
  double bottom = a->area.y + a->area.height;
  int n = linear_ticks(a->x_low, a->x_high, (int)(a->area.width / 80), tick);
  for (int i = 0; i < n; i++) {
    double x = round(place_x(a, tick[i])) + 0.5;
    us_picture_line(p, x, bottom, x, bottom + 4, 1, US_FAINT);
    tick_text(tick[i], text);
    us_picture_text(p, x, bottom + 14, kTickSize, US_FAINT, US_CENTER, text);
  }
  if (label) {
    us_picture_text(p, a->area.x + a->area.width / 2, bottom + 33, kLabelSize, US_INK, US_CENTER,
                    label);
  }
}

static double tick_room(UsPicture* p, const Axes* a) {
  double tick[kMaxTicks], room = 0;
  char text[32];
  int n = y_ticks(a, tick);
  for (int i = 0; i < n; i++) {
    tick_text(tick[i], text);
    room = fmax(room, us_picture_text_width(p, kTickSize, text));
  }
  return room + 10;
}

// Names in their colours, wrapped to `width`; returns the height they take. With draw = 0 it only
// measures.
static double legend(UsPicture* p, double x, double y, double width, int n,
                     const char* (*name)(const void* list, int i), const void* list, int draw) {
  double at = x, line = 0;
  int any = 0;
  for (int i = 0; i < n; i++) {
    const char* text = name(list, i);
    if (!text) continue;
    double need = 18 + us_picture_text_width(p, kTickSize, text) + 16;
    if (any && at + need > x + width) {
      at = x;
      line += 18;
    }
    if (draw) {
      us_picture_fill(p, (UsBox){at, y + line + 4, 12, 10}, us_picture_color(i));
      us_picture_text(p, at + 18, y + line + 9, kTickSize, US_INK, US_LEFT, text);
    }
    at += need;
    any = 1;
  }
  return any ? line + 18 : 0;
}

// Draws title and legend, and leaves in a->area what is left of the box for the plot.
static void lay_out(UsPicture* p, UsBox box, const char* title, const char* x_label,
                    const char* y_label, int n, const char* (*name)(const void*, int),
                    const void* list, Axes* a) {
  double top = box.y + 14, bottom = box.y + box.height - (x_label ? 46 : 28);
  if (title) {
    us_picture_title(p, box.x + 16, top + 7, kTitleSize, US_INK, US_LEFT, title);
    top += 28;
  }
  double height = legend(p, 0, 0, box.width - 32, n, name, list, 0);
  legend(p, box.x + 16, top, box.width - 32, n, name, list, 1);
  top += height + (height > 0 ? 8 : 0);
  a->area = (UsBox){0, top, 0, fmax(bottom - top, 10)};
  double left = box.x + 12 + (y_label ? 20 : 0) + tick_room(p, a);
  a->area.x = round(left);
  a->area.width = fmax(box.x + box.width - 20 - a->area.x, 10);
}

// ---- lines ----

static const char* series_name(const void* list, int i) {
  return ((const UsSeries*)list)[i].name;
}

static int shown(const UsPlot* plot, double x, double y) {
  return isfinite(x) && isfinite(y) && (!plot->log_y || y > 0);
}

static void widen(double* low, double* high, double share) {
  if (!(*low <= *high)) {  // no data
    *low = 0;
    *high = 1;
  }
  double room = (*high - *low) * share;
  if (*high - *low < 1e-12 * fmax(1e-12, fabs(*high))) room = *high != 0 ? 0.1 * fabs(*high) : 0.5;
  *low -= room;
  *high += room;
}

static void data_range(const UsPlot* plot, int n, const UsSeries* series, Axes* a) {
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
  double floor_y = a->y_low;
  widen(&a->x_low, &a->x_high, 0);
  widen(&a->y_low, &a->y_high, 0.05);
  if (!plot->log_y && floor_y >= 0 && a->y_low < 0) a->y_low = 0;
  if (plot->y_low != 0 || plot->y_high != 0) {
    a->y_low = plot->log_y ? log10(plot->y_low) : plot->y_low;
    a->y_high = plot->log_y ? log10(plot->y_high) : plot->y_high;
  }
}

static void draw_series(UsPicture* p, const Axes* a, const UsPlot* plot, const UsSeries* s,
                        int color) {
  set_color(p, color);
  cairo_set_line_width(p->cr, 1.8);
  cairo_set_line_join(p->cr, CAIRO_LINE_JOIN_ROUND);
  int open = 0;
  for (int i = 0; i < s->count; i++) {
    if (!shown(plot, s->x[i], s->y[i])) {
      open = 0;
      continue;
    }
    double x = place_x(a, s->x[i]), y = place_y(a, s->y[i]);
    if (open) {
      cairo_line_to(p->cr, x, y);
    } else {
      cairo_move_to(p->cr, x, y);
    }
    open = 1;
  }
  cairo_stroke(p->cr);
  for (int i = 0; s->dots && i < s->count; i++) {
    if (!shown(plot, s->x[i], s->y[i])) continue;
    cairo_arc(p->cr, place_x(a, s->x[i]), place_y(a, s->y[i]), 3, 0, 2 * M_PI);
    cairo_fill(p->cr);
  }
}

void us_picture_lines(UsPicture* p, UsBox box, const UsPlot* plot, int n, const UsSeries* series) {
  Axes a = {.log_y = plot->log_y};
  data_range(plot, n, series, &a);
  lay_out(p, box, plot->title, plot->x_label, plot->y_label, n, series_name, series, &a);
  draw_y_axis(p, &a, plot->y_label, box.x + 18);
  draw_x_axis(p, &a, plot->x_label);
  cairo_save(p->cr);
  cairo_rectangle(p->cr, a.area.x, a.area.y - 4, a.area.width + 4, a.area.height + 8);
  cairo_clip(p->cr);
  for (int s = 0; s < n; s++) draw_series(p, &a, plot, &series[s], us_picture_color(s));
  cairo_restore(p->cr);
  double bottom = round(a.area.y + a.area.height) + 0.5;
  us_picture_line(p, a.area.x, bottom, a.area.x + a.area.width, bottom, 1, US_FAINT);
}

// ---- bars ----

static const char* bar_name(const void* list, int i) {
  return ((const UsBars*)list)->bar_name[i];
}

static void draw_bar(UsPicture* p, const Axes* a, const UsBar* bar, double x, double width,
                     int color, const char* format) {
  if (!isfinite(bar->value)) {
    us_picture_text(p, x + width / 2, a->area.y + a->area.height - 8, kTickSize, US_FAINT,
                    US_CENTER, "n/a");
    return;
  }
  double y = place_y(a, bar->value), bottom = a->area.y + a->area.height, top = y;
  us_picture_fill(p, (UsBox){x, y, width, bottom - y}, color);
  if (isfinite(bar->low) && isfinite(bar->high)) {
    double middle = round(x + width / 2) + 0.5, cap = fmin(5, width / 4);
    double low = place_y(a, bar->low), high = place_y(a, bar->high);
    us_picture_line(p, middle, low, middle, high, 1.2, US_INK);
    us_picture_line(p, middle - cap, low, middle + cap, low, 1.2, US_INK);
    us_picture_line(p, middle - cap, high, middle + cap, high, 1.2, US_INK);
    top = fmin(top, high);
  }
  char text[64];
  double size = kTickSize;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  snprintf(text, sizeof(text), format, bar->value);
#pragma GCC diagnostic pop
  double need = us_picture_text_width(p, size, text);
  if (need > width + 6) size *= fmax(0.7, (width + 6) / need);
  us_picture_text(p, x + width / 2, top - 9, size, US_INK, US_CENTER, text);
}

static double bars_top(const UsBars* bars) {
  double top = 0;
  for (int i = 0; i < bars->groups * bars->bars; i++) {
    if (isfinite(bars->bar[i].value)) top = fmax(top, bars->bar[i].value);
    if (isfinite(bars->bar[i].high)) top = fmax(top, bars->bar[i].high);
  }
  return top > 0 ? 1.05 * top : 1;
}

void us_picture_bars(UsPicture* p, UsBox box, const UsBars* bars) {
  US_ASSERT(bars->groups >= 1 && bars->bars >= 1);
  Axes a = {.x_high = bars->groups, .y_high = bars->y_high > 0 ? bars->y_high : bars_top(bars)};
  lay_out(p, box, bars->title, NULL, bars->y_label, bars->bars, bar_name, bars, &a);
  a.area.y += 14;  // room for the value above a full bar
  a.area.height = fmax(a.area.height - 14, 10);
  draw_y_axis(p, &a, bars->y_label, box.x + 18);
  double group = a.area.width / bars->groups;
  double slot = fmin(group * 0.8 / bars->bars, 90), width = slot * 0.86;
  double bottom = a.area.y + a.area.height;
  for (int g = 0; g < bars->groups; g++) {
    double middle = a.area.x + (g + 0.5) * group;
    for (int b = 0; b < bars->bars; b++) {
      double x = middle + (b - bars->bars / 2.0) * slot + (slot - width) / 2;
      draw_bar(p, &a, &bars->bar[g * bars->bars + b], x, width, us_picture_color(b),
               bars->format ? bars->format : "%g");
    }
    us_picture_text(p, middle, bottom + 14, kLabelSize, US_INK, US_CENTER, bars->group_name[g]);
  }
  us_picture_line(p, a.area.x, round(bottom) + 0.5, a.area.x + a.area.width, round(bottom) + 0.5, 1,
                  US_FAINT);
}
