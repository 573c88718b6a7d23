#ifndef UNDERSTUDY_MAKE_FILM_H_
#define UNDERSTUDY_MAKE_FILM_H_

// Clips made on the spot by libav's encoders, and folders of pictures.

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/opt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "worldmodel/base/status.h"

typedef struct MakeFilm {
  const char* path;  // its ending says the container
  enum AVCodecID codec;
  int width, height, frames;
  int rate;           // time stamps in 1 / rate s
  const int* stamps;  // (frames). Nullable: 0, 1, 2 ...
  int turn;           // degrees clockwise that it is to be shown turned
  // What stands at a pixel of a frame: rgb (3). Nullable: film_colour
  void (*colour)(int frame, int x, int y, uint8_t* rgb);
} MakeFilm;

// Three quarters of grey that grow lighter with time and a red one at the top left.
static inline void film_colour_at(const MakeFilm* m, int frame, int x, int y, uint8_t* rgb) {
  int corner = x < m->width / 2 && y < m->height / 2;
  rgb[0] = (uint8_t)(corner ? 240 : 4 * frame % 200);
  rgb[1] = rgb[2] = (uint8_t)(corner ? 10 : 4 * frame % 200);
}

// BT.601 of one pixel, in the limited range or, as JPEG has it, in the full one.
static inline void film_yuv(const uint8_t* c, int full, double yuv[3]) {
  double r = c[0], g = c[1], b = c[2];
  yuv[0] = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255;
  yuv[1] = 128 + (-37.797 * r - 74.203 * g + 112 * b) / 255;
  yuv[2] = 128 + (112 * r - 93.786 * g - 18.214 * b) / 255;
  if (!full) return;
  yuv[0] = (yuv[0] - 16) * 255 / 219;
  for (int i = 1; i < 3; i++) yuv[i] = 128 + (yuv[i] - 128) * 255 / 224;
}

static inline void film_draw(const MakeFilm* m, int frame, AVFrame* p) {
  for (int y = 0; y < m->height; y++) {
    for (int x = 0; x < m->width; x++) {
      uint8_t rgb[3];
      double yuv[3];
      if (m->colour) m->colour(frame, x, y, rgb);
      if (!m->colour) film_colour_at(m, frame, x, y, rgb);
      film_yuv(rgb, p->format == AV_PIX_FMT_YUVJ420P, yuv);
      if (p->format == AV_PIX_FMT_RGB24) {
        memcpy(p->data[0] + y * p->linesize[0] + 3 * x, rgb, 3);
        continue;
      }
      if (p->format == AV_PIX_FMT_RGB8) {
        p->data[0][y * p->linesize[0] + x] =
            (uint8_t)(rgb[0] >> 5 << 5 | rgb[1] >> 5 << 2 | rgb[2] >> 6);
        continue;
      }
      p->data[0][y * p->linesize[0] + x] = (uint8_t)lround(yuv[0]);
      if (x % 2 || y % 2) continue;
      p->data[1][y / 2 * p->linesize[1] + x / 2] = (uint8_t)lround(yuv[1]);
      p->data[2][y / 2 * p->linesize[2] + x / 2] = (uint8_t)lround(yuv[2]);
    }
  }
}

static inline void film_send(AVFormatContext* f, AVCodecContext* c, AVPacket* packet, AVFrame* p) {
  US_ASSERT(avcodec_send_frame(c, p) >= 0);
  while (avcodec_receive_packet(c, packet) >= 0) {
    packet->stream_index = 0;
    packet->duration = 1;
    av_packet_rescale_ts(packet, c->time_base, f->streams[0]->time_base);
    US_ASSERT(av_interleaved_write_frame(f, packet) >= 0);
  }
}

// Writes a clip; 0 where this libav has no such encoder.
static inline int film_make(const MakeFilm* m) {
  const AVCodec* codec = avcodec_find_encoder(m->codec);
  if (!codec) return 0;
  av_log_set_level(AV_LOG_QUIET);
  AVFormatContext* f = NULL;
  AVCodecContext* c = avcodec_alloc_context3(codec);
  AVPacket* packet = av_packet_alloc();
  AVFrame* p = av_frame_alloc();
  avformat_alloc_output_context2(&f, NULL, NULL, m->path);
  US_ASSERT(f && c && packet && p);
  const int is_picture = m->codec == AV_CODEC_ID_PNG;
  p->width = c->width = m->width;
  p->height = c->height = m->height;
  p->format = c->pix_fmt = is_picture                      ? AV_PIX_FMT_RGB24
                           : m->codec == AV_CODEC_ID_GIF   ? AV_PIX_FMT_RGB8
                           : m->codec == AV_CODEC_ID_MJPEG ? AV_PIX_FMT_YUVJ420P
                                                           : AV_PIX_FMT_YUV420P;
  c->time_base = (AVRational){1, m->rate};
  c->gop_size = 12;
  c->max_b_frames = 0;
  c->thread_count = 1;
  c->strict_std_compliance = FF_COMPLIANCE_UNOFFICIAL;
  c->flags |= AV_CODEC_FLAG_QSCALE;
  c->global_quality = 3 * FF_QP2LAMBDA;
  if (f->oformat->flags & AVFMT_GLOBALHEADER) c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  if (m->codec == AV_CODEC_ID_H264) av_opt_set(c->priv_data, "preset", "veryfast", 0);
  US_ASSERT(avcodec_open2(c, codec, NULL) >= 0);
  AVStream* s = avformat_new_stream(f, NULL);
  s->time_base = c->time_base;
  if (!m->stamps) s->avg_frame_rate = (AVRational){m->rate, 1};
  US_ASSERT(avcodec_parameters_from_context(s->codecpar, c) >= 0);
  if (m->turn) {
    uint8_t* matrix = av_stream_new_side_data(s, AV_PKT_DATA_DISPLAYMATRIX, 9 * sizeof(int32_t));
    av_display_rotation_set((int32_t*)matrix, m->turn);
  }
  AVDictionary* options = NULL;
  av_dict_set(&options, "movflags", "faststart", 0);  // what is cut off leaves the index
  av_dict_set(&options, "update", "1", 0);
  if (!(f->oformat->flags & AVFMT_NOFILE)) {
    US_ASSERT(avio_open(&f->pb, m->path, AVIO_FLAG_WRITE) >= 0);
  }
  US_ASSERT(avformat_write_header(f, &options) >= 0);
  US_ASSERT(av_frame_get_buffer(p, 0) >= 0);
  for (int i = 0; i < m->frames; i++) {
    US_ASSERT(av_frame_make_writable(p) >= 0);
    film_draw(m, i, p);
    p->pts = m->stamps ? m->stamps[i] : i;
    film_send(f, c, packet, p);
  }
  film_send(f, c, packet, NULL);
  US_ASSERT(av_write_trailer(f) >= 0);
  if (f->pb) avio_closep(&f->pb);
  av_dict_free(&options);
  avformat_free_context(f);
  avcodec_free_context(&c);
  av_frame_free(&p);
  av_packet_free(&packet);
  return 1;
}

#endif  // UNDERSTUDY_MAKE_FILM_H_
