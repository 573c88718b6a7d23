#ifndef UNDERSTUDY_VIEW_HELP_H_
#define UNDERSTUDY_VIEW_HELP_H_

// Pictures for the viewer's test: from PNG files, from the frame buffer of Xvfb, from films, and
// what they have in common.

#include <cairo.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Image {
  int height, width;
  uint8_t* pixels;  // (height, width, 3)
} Image;

static inline Image image_new(int height, int width) {
  // Room behind the end, because libswscale writes whole vectors.
  return (Image){height, width, calloc((size_t)height * (size_t)width + 64, 3)};
}

static inline const uint8_t* image_at(const Image* m, int y, int x) {
  return m->pixels + ((size_t)y * (size_t)m->width + (size_t)x) * 3;
}

// A part of an image.
static inline Image image_cut(const Image* m, int y, int x, int height, int width) {
  Image out = image_new(height, width);
  for (int i = 0; i < height; i++) {
    memcpy(out.pixels + (size_t)i * (size_t)width * 3, image_at(m, y + i, x), (size_t)width * 3);
  }
  return out;
}

// Mean absolute difference of two images of one size; 255 for other sizes.
static inline double image_difference(const Image* a, const Image* b) {
  if (a->height != b->height || a->width != b->width || !a->pixels || !b->pixels) return 255;
  size_t n = (size_t)a->height * (size_t)a->width * 3;
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += abs(a->pixels[i] - b->pixels[i]);
  return sum / (double)n;
}

static inline void image_mean(const Image* m, double mean[3]) {
  size_t n = (size_t)m->height * (size_t)m->width;
  mean[0] = mean[1] = mean[2] = 0;
  for (size_t i = 0; i < 3 * n; i++) mean[i % 3] += m->pixels[i] / (double)n;
}

// Share of pixels that are clearly red, and their middle as shares of height and width.
static inline double image_red(const Image* m, double* y, double* x) {
  double n = 0;
  *y = *x = 0;
  for (int i = 0; i < m->height; i++) {
    for (int j = 0; j < m->width; j++) {
      const uint8_t* p = image_at(m, i, j);
      if (p[0] < 150 || p[1] > 90 || p[2] > 90) continue;
      *y += (i + 0.5) / m->height;
      *x += (j + 0.5) / m->width;
      n++;
    }
  }
  *y /= fmax(n, 1);
  *x /= fmax(n, 1);
  return n / ((double)m->height * m->width);
}

// No pixels when there is no such file.
static inline Image image_png(const char* path) {
  cairo_surface_t* s = cairo_image_surface_create_from_png(path);
  Image out = {0};
  if (cairo_surface_status(s) == CAIRO_STATUS_SUCCESS) {
    out = image_new(cairo_image_surface_get_height(s), cairo_image_surface_get_width(s));
    for (int y = 0; y < out.height; y++) {
      const uint32_t* row = (const uint32_t*)(cairo_image_surface_get_data(s) +
                                              (ptrdiff_t)y * cairo_image_surface_get_stride(s));
      for (int x = 0; x < out.width; x++) {
        uint8_t* p = out.pixels + ((size_t)y * (size_t)out.width + (size_t)x) * 3;
        for (int k = 0; k < 3; k++) p[k] = (uint8_t)(row[x] >> (16 - 8 * k));
      }
    }
  }
  cairo_surface_destroy(s);
  return out;
}

// The screen of `Xvfb -fbdir`, an XWD file of 32 bits a pixel (X11/XWDFile.h: big-endian header).
static inline Image image_screen(const char* path) {
  enum { kSize = 0, kWidth = 4, kHeight = 5, kLine = 12, kColors = 19, kHead = 25 };
  uint8_t head[4 * kHead];
  uint32_t h[kHead];
  FILE* f = fopen(path, "rb");
  if (!f || fread(head, sizeof(head), 1, f) != 1) return (Image){0};
  for (int i = 0; i < kHead; i++) {
    const uint8_t* b = head + (ptrdiff_t)4 * i;
    h[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
  }
  Image out = image_new((int)h[kHeight], (int)h[kWidth]);
  uint8_t* line = malloc(h[kLine]);
  fseek(f, (long)(h[kSize] + 12 * h[kColors]), SEEK_SET);
  for (int y = 0; y < out.height && fread(line, h[kLine], 1, f) == 1; y++) {
    for (int x = 0; x < out.width; x++) {
      uint8_t* p = out.pixels + ((size_t)y * (size_t)out.width + (size_t)x) * 3;
      for (int k = 0; k < 3; k++) p[k] = line[4 * x + 2 - k];
    }
  }
  free(line);
  fclose(f);
  return out;
}

// What a video file holds.
typedef struct Film {
  int frames;
  char codec[32];
  double seconds;
  Image first, last;
} Film;

static inline void keep_frame(Film* film, const AVFrame* frame) {
  Image m = image_new(frame->height, frame->width);
  struct SwsContext* s = sws_getContext(frame->width, frame->height, frame->format, frame->width,
                                        frame->height, AV_PIX_FMT_RGB24, SWS_BICUBIC, 0, 0, 0);
  const int stride = 3 * frame->width;
  sws_scale(s, (const uint8_t* const*)frame->data, frame->linesize, 0, frame->height, &m.pixels,
            &stride);
  sws_freeContext(s);
  if (film->frames++ == 0) film->first = image_cut(&m, 0, 0, m.height, m.width);
  free(film->last.pixels);
  film->last = m;
}

// No frames when the file cannot be read.
static inline Film film_read(const char* path) {
  Film film = {0};
  AVFormatContext* format = NULL;
  if (avformat_open_input(&format, path, NULL, NULL) < 0) return film;
  avformat_find_stream_info(format, NULL);
  const AVCodec* codec = avcodec_find_decoder(format->streams[0]->codecpar->codec_id);
  AVCodecContext* c = avcodec_alloc_context3(codec);
  avcodec_parameters_to_context(c, format->streams[0]->codecpar);
  avcodec_open2(c, codec, NULL);
  snprintf(film.codec, sizeof(film.codec), "%s", codec->name);
  AVPacket* packet = av_packet_alloc();
  AVFrame* frame = av_frame_alloc();
  for (int more = 1; more;) {
    more = av_read_frame(format, packet) >= 0;
    avcodec_send_packet(c, more ? packet : NULL);
    while (avcodec_receive_frame(c, frame) >= 0) keep_frame(&film, frame);
    av_packet_unref(packet);
  }
  film.seconds = (double)format->duration / AV_TIME_BASE;
  av_frame_free(&frame);
  av_packet_free(&packet);
  avcodec_free_context(&c);
  avformat_close_input(&format);
  return film;
}

static inline void film_free(Film* f) {
  free(f->first.pixels);
  free(f->last.pixels);
}

#endif  // UNDERSTUDY_VIEW_HELP_H_
