// understudy-film PATH SIZE STEP FIT W H X Y: decodes a clip, or a folder of pictures, into square
// RGB frames on its output. The library runs it to import film (datasets/video/video_reader.h):
// what a damaged file does to libav happens here.
//
//   PATH       a file that libav reads, or a folder with files of pictures, taken by their names
//   SIZE       side of the frames that come out
//   STEP       seconds between them; 0: every frame at its own time (of a folder it may not be 0)
//   FIT        of a part that is no square: crop (its middle), letterbox (black around) or stretch
//   W H X Y    the part of the pictures that becomes a frame; W 0: all
//
// What comes out are lines of text; behind a line "frame" come SIZE * SIZE * 3 bytes:
//
//   film W H TURN RATE SECONDS  W H X Y  W H   the first picture's size, degrees clockwise that it
//                                         is shown turned, frames a second and length as the file
//                                         has them (0: not said), the part that is taken, and its
//                                         size in the frame
//   frame T                               a frame at T seconds
//   cut                                   what follows does not follow on what came before
//   fault T TEXT                          damage behind second T; the same holds
//   end N REPEATED DROPPED LOW HIGH       pictures decoded, frames that repeat the one before,
//                                         pictures without a time of their own, least and most
//                                         seconds between pictures
//   refuse TEXT                           there is nothing that can be decoded
//
// With equal steps, the frame at a time is the picture nearest to it.

#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kMostPixels = 1 << 28, kMostBytes = 1 << 30, kText = 240 };
static const double kJump = 1;  // s, at least, that are no pause between pictures but a cut

typedef struct Film {
  // What was asked for.
  int size;
  double step;
  const char* fit;
  int asked[4];  // W, H, X, Y; W 0: all
  // The input that is open.
  AVIOContext* bytes;
  AVFormatContext* format;
  AVCodecContext* codec;
  AVStream* stream;
  AVPacket* packet;
  AVFrame* frame;
  // The pictures: size and part of the first, which hold for all.
  int known, width, height, turn, crop[4];
  int place[2];  // W, H of the part in the frame, as it is shown
  struct SwsContext* scaler;
  uint8_t *fitted, *scaled, *turned;  // (size, size, 3); the part alone, and within the frame
  // Time: the picture that is held until the next says up to when it is the nearest, and that it
  // can be trusted.
  AVFrame* held;   // empty: none
  double time;     // of the last picture, which is `held`
  double start;    // of the first
  double base;     // of the steps
  int64_t steps;   // behind base that are out
  int apart;       // 1: of a folder, whose pictures have nothing to do with each other
  int seen, lost;  // 1: there was a picture; 1: pictures may refer to what could not be read
  int out;         // frames made of `held`
  int64_t pictures, repeated, dropped;
  double low, high;
} Film;

// ---- what comes out ----

// The reader may be gone: then there is nothing left to do.
static void put(const void* data, size_t size) {
  const char* bytes = data;
  while (size > 0) {
    ssize_t n = write(STDOUT_FILENO, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(1);
    bytes += n;
    size -= (size_t)n;
  }
}

__attribute__((format(printf, 1, 2))) static void say(const char* format, ...) {
  char line[512];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof(line) - 1, format, args);
  va_end(args);
  // One line stays one.
  for (char* c = line; *c; c++) {
    if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' ';
  }
  strcat(line, "\n");
  put(line, strlen(line));
}

// What libav said last is the reason that people can use.
static char reason[kText];

static void keep_reason(void* context, int level, const char* format, va_list args) {
  if (level > AV_LOG_ERROR) return;
  vsnprintf(reason, sizeof(reason), format, args);
  size_t n = strlen(reason);
  while (n > 0 && isspace((unsigned char)reason[n - 1])) reason[--n] = 0;
}

static const char* why(int error) {
  static char text[kText];
  if (reason[0]) return reason;
  av_strerror(error, text, sizeof(text));
  return text;
}

// ---- pictures ----

// The part of the pictures that is taken, as they are shown; a square where they are shown is one
// where their pixels are none. Returns 0 when it lies outside.
static int find_crop(Film* f) {
  int w = f->width, h = f->height, *c = f->crop;
  memcpy(c, f->asked, sizeof(f->crop));
  if (c[0] == 0) c[0] = w, c[1] = h;
  f->place[0] = f->place[1] = f->size;
  if (c[0] > w || c[1] > h || c[2] > w - c[0] || c[3] > h - c[1]) return 0;
  // Pixels that are `wide` times as wide as high.
  AVRational aspect = f->stream->sample_aspect_ratio.num ? f->stream->sample_aspect_ratio
                                                         : f->codec->sample_aspect_ratio;
  double wide = aspect.num > 0 && aspect.den > 0 ? av_q2d(aspect) : 1;
  if (f->turn % 180) wide = 1 / wide;
  double side = fmin(c[0] * wide, c[1]), most = fmax(c[0] * wide, c[1]);
  if (strcmp(f->fit, "letterbox") == 0) {
    f->place[0] = (int)fmax(1, round(f->size * c[0] * wide / most));
    f->place[1] = (int)fmax(1, round(f->size * c[1] / most));
  }
  if (strcmp(f->fit, "crop") != 0) return 1;
  w = (int)fmax(1, fmin(c[0], round(side / wide)));
  h = (int)fmax(1, fmin(c[1], round(side)));
  c[2] += (c[0] - w) / 2;
  c[3] += (c[1] - h) / 2;
  c[0] = w;
  c[1] = h;
  return 1;
}

// The first picture says what all are.
static int know(Film* f, const AVFrame* p) {
  const uint8_t* matrix = av_stream_get_side_data(f->stream, AV_PKT_DATA_DISPLAYMATRIX, NULL);
  double angle = matrix ? -av_display_rotation_get((const int32_t*)matrix) : 0;
  f->turn = isfinite(angle) ? ((int)lround(angle / 90) % 4 + 4) % 4 * 90 : 0;
  f->width = f->turn % 180 ? p->height : p->width;
  f->height = f->turn % 180 ? p->width : p->height;
  if (!find_crop(f)) {
    say("refuse expected a part within pictures of %d x %d, found %d:%d:%d:%d", f->width, f->height,
        f->asked[0], f->asked[1], f->asked[2], f->asked[3]);
    return 0;
  }
  AVRational rate = av_guess_frame_rate(f->format, f->stream, NULL);
  double length = f->format->duration > 0 ? (double)f->format->duration / AV_TIME_BASE : 0;
  say("film %d %d %d %.9g %.9g  %d %d %d %d  %d %d", f->width, f->height, f->turn,
      rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0, length, f->crop[0], f->crop[1], f->crop[2],
      f->crop[3], f->place[0], f->place[1]);
  f->known = 1;
  return 1;
}

// The part that is taken, in the picture as it is stored.
static void stored_crop(const Film* f, size_t crop[4]) {
  const int *c = f->crop, w = f->width, h = f->height;
  const int at[4][4] = {{c[0], c[1], c[2], c[3]},
                        {c[1], c[0], c[3], w - c[0] - c[2]},
                        {c[0], c[1], w - c[0] - c[2], h - c[1] - c[3]},
                        {c[1], c[0], h - c[1] - c[3], c[2]}};
  for (int i = 0; i < 4; i++) crop[i] = (size_t)at[f->turn / 90][i];
}

// Turns the scaled picture clockwise into f->turned.
static const uint8_t* turn(Film* f) {
  int n = f->size;
  if (f->turn == 0) return f->scaled;
  for (int y = 0; y < n; y++) {
    for (int x = 0; x < n; x++) {
      int from_y = f->turn == 90 ? n - 1 - x : f->turn == 180 ? n - 1 - y : x;
      int from_x = f->turn == 90 ? y : f->turn == 180 ? n - 1 - x : n - 1 - y;
      memcpy(f->turned + 3 * (y * n + x), f->scaled + 3 * (from_y * n + from_x), 3);
    }
  }
  return f->turned;
}

// Makes a frame of a picture; 0 when libav cannot.
static int scale(Film* f, AVFrame* p) {
  size_t crop[4];
  stored_crop(f, crop);
  int w = (int)crop[0], h = (int)crop[1], n = f->size, turned = f->turn % 180 != 0;
  int wide = f->place[turned], high = f->place[!turned];
  p->crop_left = crop[2];
  p->crop_top = crop[3];
  p->crop_right = (size_t)p->width - crop[0] - crop[2];
  p->crop_bottom = (size_t)p->height - crop[1] - crop[3];
  if (av_frame_apply_cropping(p, AV_FRAME_CROP_UNALIGNED) < 0) return 0;
  // Averages over areas where it becomes smaller.
  int how = w >= wide && h >= high ? SWS_AREA : SWS_BICUBIC;
  f->scaler = sws_getCachedContext(f->scaler, w, h, p->format, wide, high, AV_PIX_FMT_RGB24,
                                   how | SWS_ACCURATE_RND | SWS_BITEXACT, NULL, NULL, NULL);
  if (!f->scaler) return 0;
  sws_setColorspaceDetails(f->scaler, sws_getCoefficients(p->colorspace),
                           p->color_range == AVCOL_RANGE_JPEG, sws_getCoefficients(SWS_CS_DEFAULT),
                           1, 0, 1 << 16, 1 << 16);
  uint8_t* const to[4] = {f->fitted};
  const int stride[4] = {3 * wide};
  if (sws_scale(f->scaler, (const uint8_t* const*)p->data, p->linesize, 0, h, to, stride) != high) {
    return 0;
  }
  // What lies around stays black.
  size_t at = 3 * ((size_t)((n - high) / 2) * (size_t)n + (size_t)((n - wide) / 2));
  for (int y = 0; y < high; y++, at += 3 * (size_t)n) {
    memcpy(f->scaled + at, f->fitted + 3 * (size_t)y * (size_t)wide, 3 * (size_t)wide);
  }
  return 1;
}

// Hands out the picture that is held at a time.
static void put_held(Film* f, double time) {
  // It is scaled once, and only if it is shown.
  if (f->out == 0 && !scale(f, f->held)) {
    say("fault %.9f a picture cannot be scaled", time);
    return;
  }
  f->repeated += f->out > 0;
  f->out++;
  say("frame %.9f", time);
  put(turn(f), (size_t)f->size * (size_t)f->size * 3);
}

// ---- time ----

// Hands out the steps up to a time for which the held picture is the nearest.
static void put_steps(Film* f, double until) {
  for (;;) {
    double at = f->base + (double)f->steps * f->step;
    if (at > until + 1e-6) return;
    put_held(f, at);
    f->steps++;
  }
}

// Hands out the held picture, the nearest up to a time.
static void put_until(Film* f, double until) {
  if (f->step > 0) {
    put_steps(f, until);
  } else {
    put_held(f, f->time);
  }
}

// Ends what belongs together.
static void let_go(Film* f) {
  if (f->held->buf[0]) put_until(f, f->time);
  av_frame_unref(f->held);
  f->seen = 0;
}

// Takes over a picture that is shown at a time.
static void take(Film* f, AVFrame* p, double time) {
  double gap = time - f->time, pause = fmax(kJump, 10 * fmax(f->step, f->high));
  f->pictures++;
  if (f->seen && gap <= 0 && gap > -kJump) {
    f->dropped++;
    return;
  }
  if (f->seen && (gap <= 0 || (gap > pause && f->high > 0))) {
    let_go(f);
    say("cut");
  }
  // Steps in the middle between two pictures go to the later one.
  if (f->seen) {
    f->low = f->low > 0 ? fmin(f->low, gap) : gap;
    f->high = fmax(f->high, gap);
    put_until(f, f->time + gap / 2 - 2e-6);
  } else {
    f->base = time;
    f->steps = 0;
  }
  f->seen = 1;
  f->time = time;
  f->out = 0;
  av_frame_unref(f->held);
  av_frame_move_ref(f->held, p);
}

// Many codecs have no checks and show damage only behind where it begins, so the picture before it
// goes too.
static void fault(Film* f, const char* text) {
  double time = f->pictures ? f->time : 0;
  if (!f->apart) av_frame_unref(f->held);
  let_go(f);
  f->lost = 1;
  say("fault %.9f %s", time, text);
  reason[0] = 0;
}

// ---- files ----

// No file leads to another, of playlists and the like.
static int open_nothing(AVFormatContext* format, AVIOContext** pb, const char* url, int flags,
                        AVDictionary** options) {
  return AVERROR(EPERM);
}

static void close_input(Film* f) {
  avcodec_free_context(&f->codec);
  avformat_close_input(&f->format);
  avio_closep(&f->bytes);
}

// Opens the pictures of a file; 0 and the reason, with what was expected, when there are none.
static int open_input(Film* f, const char* path, const char** text) {
  char url[4096 + 320];
  *text = "a film that libav reads";
  snprintf(url, sizeof(url), "file:%s", path);
  int error = avio_open(&f->bytes, url, AVIO_FLAG_READ);
  if (error < 0) return error;
  f->format = avformat_alloc_context();
  if (!f->format) return AVERROR(ENOMEM);
  f->format->pb = f->bytes;
  f->format->io_open = open_nothing;
  f->format->flags |= AVFMT_FLAG_CUSTOM_IO;
  AVDictionary* options = NULL;
  av_dict_set(&options, "protocol_whitelist", "none", 0);
  error = avformat_open_input(&f->format, path, NULL, &options);
  av_dict_free(&options);
  if (error < 0) return error;
  // What libav would make of any text.
  if (strcmp(f->format->iformat->name, "tty") == 0) return AVERROR_INVALIDDATA;
  error = avformat_find_stream_info(f->format, NULL);
  if (error < 0) return error;
  *text = "moving pictures";
  const AVCodec* codec;
  int stream = av_find_best_stream(f->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
  if (stream < 0) return stream;
  f->stream = f->format->streams[stream];
  if (f->stream->disposition & AV_DISPOSITION_ATTACHED_PIC) return AVERROR_STREAM_NOT_FOUND;
  // One thread; damage is told, not painted over.
  f->codec = avcodec_alloc_context3(codec);
  if (!f->codec) return AVERROR(ENOMEM);
  error = avcodec_parameters_to_context(f->codec, f->stream->codecpar);
  if (error < 0) return error;
  f->codec->pkt_timebase = f->stream->time_base;
  f->codec->thread_count = 1;
  f->codec->max_pixels = kMostPixels;
  f->codec->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
  return avcodec_open2(f->codec, codec, NULL);
}

// Judges a picture and takes it at its time, or of a folder at `time`; 0 to end.
static int look(Film* f, double time) {
  AVFrame* p = f->frame;
  if (p->decode_error_flags || (p->flags & AV_FRAME_FLAG_CORRUPT)) {
    fault(f, reason[0] ? reason : "a picture is damaged");
    return 1;
  }
  // Behind damage only a picture that refers to no other can be trusted.
  if (f->lost && !p->key_frame) return 1;
  f->lost = 0;
  if (!f->known && !know(f, p)) return 0;
  int turned = f->turn % 180 != 0;
  if (p->width != (turned ? f->height : f->width) || p->height != (turned ? f->width : f->height)) {
    char text[kText];
    snprintf(text, sizeof(text), "expected pictures of %d x %d as the first, found one of %d x %d",
             f->width, f->height, p->width, p->height);
    fault(f, text);
    return 1;
  }
  if (!f->apart) {
    // The file's time stamp, or a picture's length behind the last one.
    AVRational rate = av_guess_frame_rate(f->format, f->stream, NULL);
    double each = rate.num > 0 && rate.den > 0 ? 1 / av_q2d(rate) : 0.04;
    int64_t stamp = p->best_effort_timestamp;
    time = stamp != AV_NOPTS_VALUE ? (double)stamp * av_q2d(f->stream->time_base) - f->start
                                   : f->time + each;
    if (f->pictures == 0 && stamp != AV_NOPTS_VALUE) {
      f->start = time;
      time = 0;
    }
  }
  take(f, p, time);
  return 1;
}

// Takes the pictures that the decoder has by now; 0 to end.
static int drain(Film* f) {
  for (;;) {
    int error = avcodec_receive_frame(f->codec, f->frame);
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return 1;
    if (error < 0) {
      fault(f, why(error));
      return 1;
    }
    int on = look(f, 0);
    av_frame_unref(f->frame);
    if (!on) return 0;
  }
}

// A file that ends long before the length that it promises was cut.
static void check_length(Film* f) {
  double promised = 0;
  AVRational base = f->stream->time_base;
  if (f->stream->duration > 0) {
    promised = (double)f->stream->duration * av_q2d(base);
  } else if (f->format->nb_streams == 1 && f->format->duration > 0 &&
             f->format->duration_estimation_method != AVFMT_DURATION_FROM_BITRATE) {
    promised = (double)f->format->duration / AV_TIME_BASE;
  }
  double slack = fmax(0.25, 3 * f->high);
  if (f->pictures == 0 || promised <= f->time + slack) return;
  char text[kText];
  snprintf(text, sizeof(text), "the file ends at %.2f s of %.2f s", f->time, promised);
  fault(f, text);
}

// GIF knows no length: what was read last of a whole one is its trailer, at the file's end.
// Wherever else reading ends, or meets the trailer's byte in what it does not understand, libav
// says that the film does.
static void check_trailer(Film* f) {
  if (strcmp(f->format->iformat->name, "gif") != 0) return;
  int64_t at = avio_tell(f->bytes);
  if (at < 1 || at != avio_size(f->bytes) || avio_seek(f->bytes, at - 1, SEEK_SET) < 0 ||
      avio_r8(f->bytes) != 0x3b) {
    fault(f, "the file ends, or is damaged, before the film does");
  }
}

static void decode_clip(Film* f, const char* path) {
  const char* wanted;
  int error = open_input(f, path, &wanted), on = 1;
  if (error < 0) {
    say("refuse expected %s, found: %s", wanted, why(error));
    return;
  }
  reason[0] = 0;
  // Packets in, pictures out, to the end of the file.
  for (int ended = 0; on && !ended;) {
    reason[0] = 0;
    error = av_read_frame(f->format, f->packet);
    ended = error < 0;
    // Some containers go on behind what they could not read, and only say so.
    if (!ended && reason[0]) fault(f, reason);
    if (error < 0 && error != AVERROR_EOF) fault(f, why(error));
    if (!ended && f->packet->stream_index != f->stream->index) {
      av_packet_unref(f->packet);
      continue;
    }
    if (!ended && (f->packet->flags & AV_PKT_FLAG_CORRUPT)) {
      fault(f, "a packet is damaged or cut");
      av_packet_unref(f->packet);
      continue;
    }
    error = avcodec_send_packet(f->codec, ended ? NULL : f->packet);
    av_packet_unref(f->packet);
    if (error < 0 && error != AVERROR_EOF) fault(f, why(error));
    on = drain(f);
  }
  if (on) check_length(f);
  if (on) check_trailer(f);
  if (!on) _exit(0);
}

// ---- folders ----

static int is_picture(const struct dirent* e) {
  static const char* const kinds[] = {"png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "ppm"};
  const char* dot = strrchr(e->d_name, '.');
  for (size_t i = 0; dot && e->d_name[0] != '.' && i < sizeof(kinds) / sizeof(*kinds); i++) {
    if (strcasecmp(dot + 1, kinds[i]) == 0) return 1;
  }
  return 0;
}

// The picture of a file, at its place among the others; 0 to end.
static int decode_picture(Film* f, const char* path, const char* name, double time) {
  const char* wanted;
  char text[kText + 64];
  int on = 1, error = open_input(f, path, &wanted);
  reason[0] = 0;
  while (error >= 0 && (error = av_read_frame(f->format, f->packet)) >= 0) {
    error = avcodec_send_packet(f->codec, f->packet);
    av_packet_unref(f->packet);
    if (error >= 0) error = avcodec_receive_frame(f->codec, f->frame);
    if (error != AVERROR(EAGAIN)) break;
    error = 0;
  }
  if (error == AVERROR_EOF && f->codec) {
    avcodec_send_packet(f->codec, NULL);
    error = avcodec_receive_frame(f->codec, f->frame);
  }
  if (error >= 0) on = look(f, time);
  snprintf(text, sizeof(text), "%.60s: %s", name, why(error));
  if (error < 0) fault(f, text);
  f->lost = 0;  // no picture refers to another
  av_frame_unref(f->frame);
  close_input(f);
  return on;
}

static void decode_folder(Film* f, const char* path) {
  struct dirent** files = NULL;
  int count = scandir(path, &files, is_picture, versionsort);
  if (count < 0) say("refuse cannot be read: %s", strerror(errno));
  if (count == 0) {
    say("refuse expected pictures (PNG, JPEG and the like), found a folder without");
  }
  for (int i = 0; i < count; i++) {
    char file[4096 + 300];
    snprintf(file, sizeof(file), "%s/%s", path, files[i]->d_name);
    if (!decode_picture(f, file, files[i]->d_name, i * f->step)) _exit(0);
  }
  if (count <= 0) _exit(0);
}

int main(int argc, char** argv) {
  if (argc != 9) return 2;
  // A crash is a signal, whatever a sanitizer would make of it, and leaves no core.
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) signal(signals[i], SIG_DFL);
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  av_log_set_callback(keep_reason);
  av_max_alloc(kMostBytes);
  Film f = {.size = atoi(argv[2]), .step = atof(argv[3]), .fit = argv[4]};
  for (int i = 0; i < 4; i++) f.asked[i] = atoi(argv[5 + i]);
  if (f.size < 1 || f.size > 1 << 12) return 2;
  size_t bytes = (size_t)f.size * (size_t)f.size * 3;
  f.fitted = malloc(bytes + 64);  // the scaler may write a little more
  f.scaled = calloc(1, bytes);
  f.turned = malloc(bytes);
  f.packet = av_packet_alloc();
  f.frame = av_frame_alloc();
  f.held = av_frame_alloc();
  if (!f.fitted || !f.scaled || !f.turned || !f.packet || !f.frame || !f.held) _exit(1);
  // A folder has the steps that it is told.
  struct stat found;
  if (stat(argv[1], &found) == 0 && S_ISDIR(found.st_mode)) {
    f.apart = 1;
    decode_folder(&f, argv[1]);
  } else {
    decode_clip(&f, argv[1]);
    if (!f.codec) _exit(0);
  }
  let_go(&f);
  say("end %lld %lld %lld %.9f %.9f", (long long)f.pictures, (long long)f.repeated,
      (long long)f.dropped, f.low, f.high);
  _exit(0);
}
