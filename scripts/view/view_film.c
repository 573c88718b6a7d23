// A picture on its way into a video: a filter graph makes of it what the encoder takes, another
// format or a palette of its own; the encoder makes packets, the muxer the file.

#include "scripts/view/view_film.h"

#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripts/report/picture.h"
#include "worldmodel/base/lock.h"

struct UsFilm {
  UsLock* lock;  // of path
  char path[4096], temporary[4100];
  int height, width, failed;
  int64_t count;  // pictures so far
  // Video.
  AVFilterGraph* graph;  // NULL for sheets, as all below
  AVFilterContext *source, *sink;
  AVCodecContext* codec;
  AVFormatContext* format;
  AVStream* stream;
  AVFrame *in, *out;  // of the graph
  AVPacket* packet;
  int begun;  // 1: the file has a head and as yet no end
  // Sheet.
  uint8_t* sheet;  // (US_SHEET, height, width, 3) every `stride`-th picture; NULL for video
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
  if (error == AVERROR(ENOMEM)) return us_fail(US_MEMORY, "%s: out of memory for a film", f->path);
  av_strerror(error, text, sizeof(text));
  return us_fail(US_IO, "%s: the film cannot be written: %s", f->path, text);
}

static UsStatus open_codec(UsFilm* f, double rate, int is_gif) {
  const AVCodec* codec =
      is_gif ? avcodec_find_encoder(AV_CODEC_ID_GIF) : avcodec_find_encoder_by_name("libx264");
  if (!codec && !is_gif) codec = avcodec_find_encoder(AV_CODEC_ID_MPEG4);
  if (!codec) {
    return us_fail(US_UNSUPPORTED, "%s: libavcodec has no encoder for .%s", f->path,
                   ending(f->path));
  }
  AVCodecContext* c = f->codec = avcodec_alloc_context3(codec);
  if (!c) return trouble(f, AVERROR(ENOMEM));
  // What goes in is what the graph gives out; one thread, so that films are the same bytes.
  c->width = f->width;
  c->height = f->height;
  c->pix_fmt = av_buffersink_get_format(f->sink);
  c->time_base = av_buffersink_get_time_base(f->sink);
  c->framerate = (AVRational){(int)lround(rate * 1000), 1000};
  c->thread_count = 1;
  if (f->format->oformat->flags & AVFMT_GLOBALHEADER) c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  if (codec->id == AV_CODEC_ID_H264) {
    av_opt_set(c->priv_data, "crf", "20", 0);
    av_opt_set(c->priv_data, "preset", "fast", 0);
  } else {
    c->bit_rate = 4000000;
  }
  int error = avcodec_open2(c, codec, NULL);
  return error < 0 ? trouble(f, error) : US_OK;
}

static UsStatus open_video(UsFilm* f, double rate) {
  // Frames and packets, graph, encoder, in the order in which a picture passes them.
  const int is_gif = strcmp(ending(f->path), "gif") == 0;
  f->graph = avfilter_graph_alloc();
  av_log_set_level(AV_LOG_QUIET);
  f->packet = av_packet_alloc();
  f->in = av_frame_alloc();
  f->out = av_frame_alloc();
  avformat_alloc_output_context2(&f->format, NULL, ending(f->path), f->temporary);
  if (!f->packet || !f->in || !f->out || !f->format || !f->graph) {
    return trouble(f, AVERROR(ENOMEM));
  }

  // The graph makes of RGB a palette and its numbers, or what video is stored in.
  char text[512];
  snprintf(text, sizeof(text),
           "buffer@in=video_size=%dx%d:pix_fmt=rgb24:time_base=1000/%ld, %s, buffersink@out",
           f->width, f->height, lround(rate * 1000),
           is_gif ? "split [a][b]; [a] palettegen=stats_mode=single [p];"
                    "[b][p] paletteuse=new=1:dither=none"
                  : "format=yuv420p");
  AVFilterInOut *open_in = NULL, *open_out = NULL;
  f->graph->nb_threads = 1;
  int error = avfilter_graph_parse_ptr(f->graph, text, &open_in, &open_out, NULL);
  if (error >= 0) error = avfilter_graph_config(f->graph, NULL);
  if (error < 0) return trouble(f, error);
  f->source = avfilter_graph_get_filter(f->graph, "buffer@in");
  f->sink = avfilter_graph_get_filter(f->graph, "buffersink@out");
  US_TRY(open_codec(f, rate, is_gif));

  // One stream, described by the encoder; then the head of the file.
  f->stream = avformat_new_stream(f->format, NULL);
  if (!f->stream) return trouble(f, AVERROR(ENOMEM));
  f->stream->time_base = f->codec->time_base;
  f->stream->avg_frame_rate = f->codec->framerate;
  error = avcodec_parameters_from_context(f->stream->codecpar, f->codec);
  if (error >= 0) error = avio_open(&f->format->pb, f->temporary, AVIO_FLAG_WRITE);
  if (error >= 0) error = avformat_write_header(f->format, NULL);
  f->begun = error >= 0;
  return error < 0 ? trouble(f, error) : US_OK;
}

// Hands a frame to the encoder, NULL at the end, and writes what comes out.
static int encode(UsFilm* f, AVFrame* frame) {
  int error = avcodec_send_frame(f->codec, frame);
  while (error >= 0) {
    error = avcodec_receive_packet(f->codec, f->packet);
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return 0;
    if (error < 0) break;
    av_packet_rescale_ts(f->packet, f->codec->time_base, f->stream->time_base);
    f->packet->stream_index = f->stream->index;
    error = av_interleaved_write_frame(f->format, f->packet);
    if (error >= 0) error = f->format->pb->error;
  }
  return error;
}

// Sends a picture through graph and encoder; NULL: what is still in them.
static UsStatus add_video(UsFilm* f, const uint8_t* pixels) {
  AVFrame* in = f->in;
  in->format = AV_PIX_FMT_RGB24;
  in->width = f->width;
  in->height = f->height;
  in->pts = f->count;
  in->data[0] = (uint8_t*)pixels;  // the graph copies it
  in->linesize[0] = 3 * f->width;
  int error = av_buffersrc_write_frame(f->source, pixels ? in : NULL);
  while (error >= 0) {
    error = av_buffersink_get_frame(f->sink, f->out);
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) break;
    if (error >= 0) error = encode(f, f->out);
    av_frame_unref(f->out);
  }
  if (error == AVERROR_EOF) error = encode(f, NULL);
  return error < 0 && error != AVERROR(EAGAIN) ? trouble(f, error) : US_OK;
}

static UsStatus finish_video(UsFilm* f) {
  US_TRY(add_video(f, NULL));
  f->begun = 0;
  int error = av_write_trailer(f->format);
  if (error >= 0) error = f->format->pb->error;
  int closed = avio_closep(&f->format->pb);
  if (error >= 0) error = closed;
  if (error < 0) return trouble(f, error);
  if (rename(f->temporary, f->path) == 0) return US_OK;
  f->failed = 1;
  return us_fail(US_IO, "%s: the film cannot be written", f->path);
}

// ---- sheets ----

// Keeps every stride-th picture. When all places are taken, every second one is given up.
static void add_sheet(UsFilm* f, const uint8_t* pixels) {
  size_t size = (size_t)f->height * (size_t)f->width * 3;
  if (f->count % f->stride != 0) return;
  if (f->kept == US_SHEET) {
    // The second half of the places is free again.
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
  // As large as a picture may be.
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
  // Whoever else writes this file is found by its lock; then a sheet needs room, a video its way.
  f->height = height;
  f->width = width;
  f->stride = 1;
  UsStatus status = us_lock_take(path, &f->lock);
  if (status == US_OK && us_film_is_sheet(path)) {
    f->sheet = malloc((size_t)height * (size_t)width * 3 * US_SHEET);
    if (!f->sheet) status = us_fail(US_MEMORY, "%s: out of memory for a film", path);
  } else if (status == US_OK) {
    status = open_video(f, rate);
  }
  if (status != US_OK) us_film_close(f, 1);
  if (status == US_OK) *out = f;
  return status;
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
  // A film that is not whole leaves no file.
  int whole = !discard && !f->failed && f->count > 0;
  if (whole) status = f->sheet ? finish_sheet(f) : finish_video(f);
  int opened = f->format && (f->format->pb || whole);
  // All of a video, in reverse; the trailer frees what the muxer holds.
  if (f->begun) av_write_trailer(f->format);
  if (f->format && f->format->pb) avio_closep(&f->format->pb);
  avformat_free_context(f->format);
  avcodec_free_context(&f->codec);
  avfilter_graph_free(&f->graph);
  av_frame_free(&f->in);
  av_frame_free(&f->out);
  av_packet_free(&f->packet);
  if (opened && (!whole || status != US_OK)) unlink(f->temporary);
  us_lock_release(f->lock);
  free(f->sheet);
  free(f);
  return status;
}
