#include "scripts/view/view_film.h"

#include <dlfcn.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripts/report/picture.h"
#include "scripts/view/view_palette.h"
#include "worldmodel/base/lock.h"

// ---- the libraries ----

#define AVUTIL(X)           \
  X(av_frame_alloc)         \
  X(av_frame_free)          \
  X(av_frame_get_buffer)    \
  X(av_frame_make_writable) \
  X(av_log_set_level)       \
  X(av_opt_set)             \
  X(av_strerror)

#define AVCODEC(X)                   \
  X(av_packet_alloc)                 \
  X(av_packet_free)                  \
  X(av_packet_rescale_ts)            \
  X(avcodec_alloc_context3)          \
  X(avcodec_find_encoder)            \
  X(avcodec_find_encoder_by_name)    \
  X(avcodec_free_context)            \
  X(avcodec_open2)                   \
  X(avcodec_parameters_from_context) \
  X(avcodec_receive_packet)          \
  X(avcodec_send_frame)

#define AVFORMAT(X)                 \
  X(av_interleaved_write_frame)     \
  X(av_write_trailer)               \
  X(avformat_alloc_output_context2) \
  X(avformat_free_context)          \
  X(avformat_new_stream)            \
  X(avformat_write_header)          \
  X(avio_closep)                    \
  X(avio_open)

#define SWSCALE(X)  \
  X(sws_getContext) \
  X(sws_scale)      \
  X(sws_freeContext)

static struct {
#define X(name) __typeof__(&name) name;
  AVUTIL(X)
  AVCODEC(X)
  AVFORMAT(X)
  SWSCALE(X)
#undef X
} av;

static const char* missing;  // a library or function that could not be loaded, or NULL

// The versions are those of the headers, so that structs have the layout that they declare.
#define SONAME(name, major) "lib" name ".so." AV_STRINGIFY(major)

static void* open_library(const char* name) {
  void* lib = dlopen(name, RTLD_NOW);
  if (!lib && !missing) missing = name;
  return lib;
}

static void load(void) {
  void* lib;
#define X(name)                                               \
  av.name = lib ? (__typeof__(av.name))dlsym(lib, #name) : 0; \
  if (lib && !av.name && !missing) missing = #name;
  lib = open_library(SONAME("avutil", LIBAVUTIL_VERSION_MAJOR));
  AVUTIL(X)
  lib = open_library(SONAME("avcodec", LIBAVCODEC_VERSION_MAJOR));
  AVCODEC(X)
  lib = open_library(SONAME("avformat", LIBAVFORMAT_VERSION_MAJOR));
  AVFORMAT(X)
  lib = open_library(SONAME("swscale", LIBSWSCALE_VERSION_MAJOR));
  SWSCALE(X)
#undef X
  if (!missing) av.av_log_set_level(AV_LOG_QUIET);
}

// ---- a film ----

struct UsFilm {
  UsLock* lock;  // of path
  char path[4096], temporary[4100];
  int height, width, failed;
  int64_t count;  // pictures so far
  int begun;      // 1: the file has a head and as yet no end
  // Video.
  AVFormatContext* format;
  AVCodecContext* codec;
  AVStream* stream;
  AVFrame* frame;
  AVPacket* packet;
  struct SwsContext* scaler;  // NULL for gif
  uint8_t* index;             // (height, width) for gif
  uint32_t palette[US_PALETTE];
  // Sheet.
  uint8_t* sheet;  // (US_SHEET, height, width, 3) every `stride`-th picture
  int kept, stride;
};

static const char* ending(const char* path) {
  const char* dot = strrchr(path, '.');
  return dot ? dot + 1 : "";
}

int us_film_is_sheet(const char* path) {
  return strcmp(ending(path), "png") == 0;
}

UsStatus us_film_check(const char* path) {
  const char* kind = ending(path);
  if (!strcmp(kind, "mp4") || !strcmp(kind, "gif") || !strcmp(kind, "png")) return US_OK;
  return us_fail(US_USAGE, "%s: expected a name that ends in .mp4, .gif or .png", path);
}

// ---- video ----

static UsStatus trouble(UsFilm* f, int error) {
  char text[128] = "unknown error";
  f->failed = 1;
  av.av_strerror(error, text, sizeof(text));
  return us_fail(US_IO, "%s: the film cannot be written: %s", f->path, text);
}

static UsStatus no_memory(UsFilm* f) {
  f->failed = 1;
  return us_fail(US_MEMORY, "%s: out of memory for a film", f->path);
}

static UsStatus open_codec(UsFilm* f, double rate) {
  int is_gif = strcmp(ending(f->path), "gif") == 0;
  const AVCodec* codec = is_gif ? av.avcodec_find_encoder(AV_CODEC_ID_GIF)
                                : av.avcodec_find_encoder_by_name("libx264");
  if (!codec && !is_gif) codec = av.avcodec_find_encoder(AV_CODEC_ID_MPEG4);
  if (!codec) {
    return us_fail(US_UNSUPPORTED, "%s: libavcodec has no encoder for .%s", f->path,
                   ending(f->path));
  }
  AVCodecContext* c = f->codec = av.avcodec_alloc_context3(codec);
  if (!c) return no_memory(f);
  c->width = f->width;
  c->height = f->height;
  c->pix_fmt = is_gif ? AV_PIX_FMT_PAL8 : AV_PIX_FMT_YUV420P;
  c->time_base = (AVRational){1000, (int)lround(rate * 1000)};
  c->framerate = (AVRational){c->time_base.den, c->time_base.num};
  c->thread_count = 1;
  if (f->format->oformat->flags & AVFMT_GLOBALHEADER) c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  if (codec->id == AV_CODEC_ID_H264) {
    av.av_opt_set(c->priv_data, "crf", "20", 0);
    av.av_opt_set(c->priv_data, "preset", "fast", 0);
  } else {
    c->bit_rate = (int64_t)4000000;
  }
  int error = av.avcodec_open2(c, codec, NULL);
  return error < 0 ? trouble(f, error) : US_OK;
}

static UsStatus open_buffers(UsFilm* f) {
  f->packet = av.av_packet_alloc();
  f->frame = av.av_frame_alloc();
  if (!f->packet || !f->frame) return no_memory(f);
  f->frame->format = f->codec->pix_fmt;
  f->frame->width = f->width;
  f->frame->height = f->height;
  if (av.av_frame_get_buffer(f->frame, 0) < 0) return no_memory(f);
  if (f->codec->pix_fmt == AV_PIX_FMT_PAL8) {
    f->index = malloc((size_t)f->height * (size_t)f->width);
    return f->index ? US_OK : no_memory(f);
  }
  f->scaler = av.sws_getContext(f->width, f->height, AV_PIX_FMT_RGB24, f->width, f->height,
                                f->codec->pix_fmt, SWS_BICUBIC, NULL, NULL, NULL);
  return f->scaler ? US_OK : no_memory(f);
}

static UsStatus open_video(UsFilm* f, double rate) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  if (missing) {
    return us_fail(US_UNSUPPORTED,
                   "%s: films need libavformat, found no %s: install libavformat-dev, or --record "
                   "a .png",
                   f->path, missing);
  }
  av.avformat_alloc_output_context2(&f->format, NULL, ending(f->path), f->temporary);
  if (!f->format) return no_memory(f);
  US_TRY(open_codec(f, rate));
  US_TRY(open_buffers(f));
  f->stream = av.avformat_new_stream(f->format, NULL);
  if (!f->stream) return no_memory(f);
  f->stream->time_base = f->codec->time_base;
  f->stream->avg_frame_rate = f->codec->framerate;
  av.avcodec_parameters_from_context(f->stream->codecpar, f->codec);
  int error = av.avio_open(&f->format->pb, f->temporary, AVIO_FLAG_WRITE);
  if (error >= 0) error = av.avformat_write_header(f->format, NULL);
  f->begun = error >= 0;
  return error < 0 ? trouble(f, error) : US_OK;
}

// Hands a frame to the encoder, NULL at the end, and writes what comes out.
static UsStatus encode(UsFilm* f, AVFrame* frame) {
  int error = av.avcodec_send_frame(f->codec, frame);
  while (error >= 0) {
    error = av.avcodec_receive_packet(f->codec, f->packet);
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return US_OK;
    if (error < 0) break;
    av.av_packet_rescale_ts(f->packet, f->codec->time_base, f->stream->time_base);
    f->packet->stream_index = f->stream->index;
    error = av.av_interleaved_write_frame(f->format, f->packet);
    if (error >= 0) error = f->format->pb->error;
  }
  return trouble(f, error);
}

static UsStatus add_video(UsFilm* f, const uint8_t* pixels) {
  AVFrame* frame = f->frame;
  if (av.av_frame_make_writable(frame) < 0) return no_memory(f);
  if (f->scaler) {
    const int stride = 3 * f->width;
    av.sws_scale(f->scaler, &pixels, &stride, 0, f->height, frame->data, frame->linesize);
  } else {
    size_t width = (size_t)f->width;
    us_view_palette((size_t)f->height * width, pixels, f->count > 0, f->palette, f->index);
    memcpy(frame->data[1], f->palette, sizeof(f->palette));
    for (int y = 0; y < f->height; y++) {
      memcpy(frame->data[0] + (ptrdiff_t)y * frame->linesize[0], f->index + (size_t)y * width,
             width);
    }
  }
  frame->pts = f->count;
  return encode(f, frame);
}

static UsStatus finish_video(UsFilm* f) {
  US_TRY(encode(f, NULL));
  f->begun = 0;
  int error = av.av_write_trailer(f->format);
  if (error >= 0) error = f->format->pb->error;
  int closed = av.avio_closep(&f->format->pb);
  if (error >= 0) error = closed;
  if (error < 0) return trouble(f, error);
  if (rename(f->temporary, f->path) == 0) return US_OK;
  f->failed = 1;
  return us_fail(US_IO, "%s: the film cannot be written", f->path);
}

static void free_video(UsFilm* f) {
  if (!f->format) return;
  if (f->begun) av.av_write_trailer(f->format);  // which frees what the muxer holds
  if (f->format->pb) av.avio_closep(&f->format->pb);
  av.avformat_free_context(f->format);
  av.avcodec_free_context(&f->codec);
  av.av_frame_free(&f->frame);
  av.av_packet_free(&f->packet);
  if (f->scaler) av.sws_freeContext(f->scaler);
  free(f->index);
}

// ---- sheets ----

// Keeps every stride-th picture. When all places are taken, every second one is given up.
static void add_sheet(UsFilm* f, const uint8_t* pixels) {
  size_t size = (size_t)f->height * (size_t)f->width * 3;
  if (f->count % f->stride != 0) return;
  if (f->kept == US_SHEET) {
    for (int i = 1; 2 * i < US_SHEET; i++) {
      memcpy(f->sheet + (size_t)i * size, f->sheet + (size_t)(2 * i) * size, size);
    }
    f->kept /= 2;
    f->stride *= 2;
  }
  memcpy(f->sheet + (size_t)f->kept++ * size, pixels, size);
}

static UsStatus finish_sheet(UsFilm* f) {
  enum { kAcross = 8, kGap = 6 };
  size_t size = (size_t)f->height * (size_t)f->width * 3;
  int across = f->kept < kAcross ? f->kept : kAcross, down = (f->kept + kAcross - 1) / kAcross;
  double scale = us_picture_fit(1, across * f->width, (across + 1) * kGap);
  scale = us_picture_fit(scale, down * f->height, (down + 1) * kGap);
  double width = f->width * scale + kGap, height = f->height * scale + kGap;
  UsPicture* p;
  US_TRY(us_picture_create((int)(across * width) + kGap, (int)(down * height) + kGap, &p));
  for (int i = 0; i < f->kept; i++) {
    us_picture_frame(p, kGap + i % kAcross * width, kGap + i / kAcross * height, scale, f->height,
                     f->width, f->sheet + (size_t)i * size);
  }
  UsStatus status = us_picture_save(p, f->path);
  us_picture_destroy(p);
  return status;
}

// ---- open and close ----

UsStatus us_film_open(const char* path, int height, int width, double rate, UsFilm** out) {
  *out = NULL;
  US_ASSERT(height > 0 && width > 0 && height % 2 == 0 && width % 2 == 0 && rate > 0);
  US_TRY(us_film_check(path));
  UsFilm* f = calloc(1, sizeof(*f));
  if (!f) return us_fail(US_MEMORY, "%s: out of memory for a film", path);
  snprintf(f->path, sizeof(f->path), "%s", path);
  snprintf(f->temporary, sizeof(f->temporary), "%s.tmp", f->path);
  f->height = height;
  f->width = width;
  f->stride = 1;
  UsStatus status = us_lock_take(path, &f->lock);
  if (status == US_OK && us_film_is_sheet(path)) {
    f->sheet = malloc((size_t)height * (size_t)width * 3 * US_SHEET);
    if (!f->sheet) status = no_memory(f);
  } else if (status == US_OK) {
    status = open_video(f, rate);
  }
  if (status != US_OK) {
    us_film_close(f, 1);
    return status;
  }
  *out = f;
  return US_OK;
}

UsStatus us_film_add(UsFilm* f, const uint8_t* pixels) {
  UsStatus status = US_OK;
  if (f->sheet) {
    add_sheet(f, pixels);
  } else {
    status = add_video(f, pixels);
  }
  f->count++;
  return status;
}

UsStatus us_film_close(UsFilm* f, int discard) {
  if (!f) return US_OK;
  UsStatus status = US_OK;
  int whole = !discard && !f->failed && f->count > 0;
  if (whole) status = f->sheet ? finish_sheet(f) : finish_video(f);
  if (f->format) {
    int opened = f->format->pb != NULL || whole;
    free_video(f);
    if (opened && (!whole || status != US_OK)) unlink(f->temporary);
  }
  us_lock_release(f->lock);
  free(f->sheet);
  free(f);
  return status;
}
