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

static const double kCaptionSize = 11;

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
  // What went wrong with the surface is known to what draws on it.
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

// cairo's callback: the next bytes of a PNG.
static cairo_status_t append(void* closure, const unsigned char* data, unsigned int size) {
  Bytes* b = closure;
  if (us_interrupted()) return CAIRO_STATUS_WRITE_ERROR;
  // Twice the room each time.
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
  // A picture replaces a picture, nothing else. It is made in memory and written at once, so that
  // no half of it is ever seen.
  US_TRY(us_file_replaceable(path, "\x89PNG", (const char*[]){NULL}));
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
  // A word a pixel becomes three bytes.
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

// Plain or bold, `size` pixels high.
static void set_font(UsPicture* p, double size, int bold) {
  cairo_select_font_face(p->cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                         bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(p->cr, size);
}

static void draw_text(UsPicture* p, double x, double y, double size, int bold, int color,
                      UsAlign align, const char* text) {
  cairo_save(p->cr);
  set_font(p, size, bold);
  set_color(p, color);
  // Left, middle or right end stands at x.
  cairo_text_extents_t e;
  cairo_text_extents(p->cr, text, &e);
  double shift = align == US_LEFT ? 0 : align == US_CENTER ? 0.5 : 1;
  cairo_translate(p->cr, x, y);
  cairo_move_to(p->cr, -shift * e.x_advance, 0.365 * size);  // half of a capital's height
  cairo_show_text(p->cr, text);
  cairo_restore(p->cr);
}

void us_picture_text(UsPicture* p, double x, double y, double size, int color, UsAlign align,
                     const char* text) {
  draw_text(p, x, y, size, 0, color, align, text);
}

void us_picture_title(UsPicture* p, double x, double y, double size, int color, UsAlign align,
                      const char* text) {
  draw_text(p, x, y, size, 1, color, align, text);
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
    // Three bytes a pixel become one word, which cairo enlarges without smoothing.
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
      us_picture_text(p, left + width * scale / 2, y - 8, kCaptionSize, US_FAINT, US_CENTER,
                      caption[i]);
    }
  }
}
