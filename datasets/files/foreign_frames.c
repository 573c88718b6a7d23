#include "datasets/files/foreign_frames.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/files/dataset_check.h"
#include "datasets/files/fit.h"
#include "datasets/hdf5/column_storage.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"

enum { kMaxSide = 1 << 14, kPieceBytes = 32 << 20 };

struct UsForeignFrames {
  int height, width, channels;  // as the file has them
  int planar;                   // 1: (rows, channels, height, width)
  int bytes;                    // 1: bytes (rows, height, width, 3), as ours
  double low, high;             // the numbers of black and white
  size_t stride[3];             // numbers from a row, a column, a channel to the next
  int64_t piece;                // frames that are read at once
  uint8_t* raw;                 // (piece, height, width, 3) of bytes
  float* picture;               // (piece, ...) of numbers, or (height, width, 3) of a frame's bytes
  UsResampler* resampler;
  char text[256];
};

// ---- what the column is ----

// What its axes are, by their lengths or as asked for.
static UsStatus take_layout(UsForeignFrames* f, const UsDataset* d, const char* layout) {
  hsize_t dims[H5S_MAX_RANK];
  char shape[US_SHAPE_CHARS];
  const char *path = d->path, *name = d->name[US_COLUMN_PIXELS];
  int rank = us_column_extents(d->column[US_COLUMN_PIXELS], dims);
  us_shape_text(rank, dims, shape);
  int last = rank == 4 && (dims[3] == 1 || dims[3] == 3);
  int second = rank == 4 && (dims[1] == 1 || dims[1] == 3);
  if (layout && strcmp(layout, "hwc") != 0 && strcmp(layout, "chw") != 0) {
    return us_fail(US_USAGE, "--layout: expected hwc or chw, found \"%s\"", layout);
  }
  if (last && second && !layout) {
    return us_fail(US_USAGE,
                   "%s: %s: found (%s), whose colours may be the second or the last axis; expected "
                   "--layout chw or hwc",
                   path, name, shape);
  }
  // A shape without an axis of colours is grey.
  int planar = layout ? layout[0] == 'c' : second;
  f->planar = rank == 4 && planar;
  int good = rank == 3 || (rank == 4 && (planar ? second : last));
  hsize_t h = rank > 2 ? dims[f->planar ? 2 : 1] : 0, w = rank > 2 ? dims[f->planar ? 3 : 2] : 0;
  if (!good || h < 1 || w < 1 || h > kMaxSide || w > kMaxSide) {
    return us_fail(
        US_FORMAT,
        "%s: %s: expected (rows, height, width, 3), (rows, 3, height, width), or grey "
        "(rows, height, width) with 1 or no axis of colours, sides 1 to %d; found (%s)%s",
        path, name, kMaxSide, shape, good || !layout || rank != 4 ? "" : ", not as --layout says");
  }
  f->height = (int)h;
  f->width = (int)w;
  f->channels = rank == 3 ? 1 : (int)dims[f->planar ? 1 : 3];
  size_t c = (size_t)f->channels, side = (size_t)f->width;
  f->stride[0] = f->planar ? side : side * c;
  f->stride[1] = f->planar ? 1 : c;
  f->stride[2] = f->planar ? side * (size_t)f->height : 1;
  return US_OK;
}

// The least and the largest finite number of the first frame, for a message.
static void look_at_first(const UsForeignFrames* f, const UsDataset* d, char text[64]) {
  size_t n = (size_t)f->height * (size_t)f->width * (size_t)f->channels;
  float low = INFINITY, high = -INFINITY, *one = malloc(n * sizeof(float));
  text[0] = 0;
  if (one && d->extent[US_COLUMN_PIXELS] > 0 &&
      us_column_read_floats(d->column[US_COLUMN_PIXELS], 0, 1, one) == 0) {
    for (size_t i = 0; i < n; i++) {
      if (isfinite(one[i])) low = fminf(low, one[i]), high = fmaxf(high, one[i]);
    }
    if (low <= high) {
      snprintf(text, 64, "; the first frame goes from %g to %g", (double)low, (double)high);
    }
  }
  free(one);
}

// Bytes go from 0 to 255; of other numbers somebody has to say what black and white are.
static UsStatus take_numbers(UsForeignFrames* f, const UsDataset* d, const char* range) {
  const char *path = d->path, *name = d->name[US_COLUMN_PIXELS];
  hid_t type = H5Dget_type(d->column[US_COLUMN_PIXELS]);
  H5T_class_t class = H5Tget_class(type);
  char found[64], first[64];
  us_type_text(type, found);
  int bytes = H5Tequal(type, H5T_STD_U8LE) > 0, end = 0;
  H5Tclose(type);
  if (class != H5T_INTEGER && class != H5T_FLOAT) {
    return us_fail(US_FORMAT, "%s: %s: expected frames of integers or floats, found %s", path, name,
                   found);
  }
  f->low = 0;
  f->high = 255;
  if (range && (sscanf(range, "%lf:%lf%n", &f->low, &f->high, &end) != 2 || range[end] ||
                !isfinite(f->low) || !isfinite(f->high) || !(f->low < f->high))) {
    return us_fail(US_USAGE,
                   "--range: expected LOW:HIGH, the numbers of black and white such as 0:1, found "
                   "\"%s\"",
                   range);
  }
  int usual = !range || (!(fabs(f->low) > 0) && !(fabs(f->high - 255) > 0));
  f->bytes = bytes && usual && f->channels == 3 && !f->planar;
  if (range || bytes) return US_OK;
  look_at_first(f, d, first);
  return us_fail(US_USAGE,
                 "%s: %s: numbers of %s do not say what black and white are; expected --range 0:1, "
                 "0:255 or what they are%s",
                 path, name, found, first);
}

// ---- opening ----

// Says what is done, in words.
static void tell(UsForeignFrames* f, const UsFit* fit) {
  const int *c = fit->part, *p = fit->place;
  char part[64] = "", within[64] = "";
  if (c[0] != f->width || c[1] != f->height) {
    snprintf(part, sizeof(part), ", the part %d:%d:%d:%d", c[0], c[1], c[2], c[3]);
  }
  if (p[0] != fit->width || p[1] != fit->height) {
    snprintf(within, sizeof(within), " within %d x %d, black around", fit->width, fit->height);
  }
  snprintf(f->text, sizeof(f->text), "%d x %d%s%s, %g to %g%s, become %d x %d%s", f->width,
           f->height, f->channels == 1 ? ", grey" : "",
           f->planar && f->channels > 1 ? ", colours first" : "", f->low, f->high, part, p[0], p[1],
           within);
}

static UsStatus open_all(UsForeignFrames* f, UsDataset* d, const UsImport* how, int* same) {
  UsFitKind kind;
  UsFit fit;
  int part[4];
  US_TRY(us_fit_read(how->fit, how->crop, &kind, part));
  if (how->fit && !how->size) {
    return us_fail(US_USAGE, "--fit: expected --size too, the side of the square");
  }
  US_TRY(take_layout(f, d, how->layout));
  US_TRY(take_numbers(f, d, how->range));
  if (!us_fit_make(kind, part, f->height, f->width, how->size, &fit)) {
    return us_fail(US_USAGE, "%s: --crop: expected a part within frames of %d x %d, found %s",
                   d->path, f->width, f->height, how->crop);
  }
  d->info.height = fit.height;
  d->info.width = fit.width;
  // What is ours already is read by the reader.
  *same = f->bytes && fit.part[0] == f->width && fit.part[1] == f->height &&
          fit.place[0] == f->width && fit.place[1] == f->height && fit.width == f->width &&
          fit.height == f->height;
  if (*same) return US_OK;
  tell(f, &fit);
  // Room for some frames as they are in the file.
  size_t numbers = (size_t)f->height * (size_t)f->width * (size_t)f->channels;
  size_t each = numbers * (f->bytes ? 1 : sizeof(float));
  f->piece = each < kPieceBytes ? (int64_t)(kPieceBytes / each) : 1;
  if ((hsize_t)f->piece > d->extent[US_COLUMN_PIXELS]) {
    f->piece = (int64_t)d->extent[US_COLUMN_PIXELS] + 1;
  }
  size_t floats = numbers * (f->bytes ? 1 : (size_t)f->piece);
  US_TRY(us_machine_need_memory(d->path, (double)floats * sizeof(float)));
  if (f->bytes) f->raw = malloc((size_t)f->piece * numbers);
  f->picture = malloc(floats * sizeof(float));
  f->resampler = us_resampler_create(&fit, f->channels);
  if ((f->raw || !f->bytes) && f->picture && f->resampler) return US_OK;
  return us_fail(US_MEMORY, "%s: out of memory for frames", d->path);
}

UsStatus us_foreign_frames_open(UsDataset* d, const UsImport* how, UsForeignFrames** out) {
  *out = NULL;
  UsForeignFrames* f = calloc(1, sizeof(*f));
  if (!f) return us_fail(US_MEMORY, "%s: out of memory", d->path);
  int same = 0;
  UsStatus status = open_all(f, d, how, &same);
  if (status == US_OK && !same) *out = f;
  if (!*out) us_foreign_frames_close(f);
  return status;
}

void us_foreign_frames_close(UsForeignFrames* f) {
  if (!f) return;
  us_resampler_destroy(f->resampler);
  free(f->raw);
  free(f->picture);
  free(f);
}

const char* us_foreign_frames_text(const UsForeignFrames* f) {
  return f->text;
}

// ---- reading ----

// Brings a frame's numbers to 0 to 255, which they may pass by their rounding alone.
static UsStatus scale(const UsForeignFrames* f, const UsDataset* d, int64_t row, float* x) {
  size_t n = (size_t)f->height * (size_t)f->width * (size_t)f->channels;
  const double by = 255 / (f->high - f->low), slack = 1e-3 * (f->high - f->low);
  for (size_t i = 0; i < n; i++) {
    double v = (double)x[i];
    if (!(v >= f->low - slack && v <= f->high + slack)) {
      return us_fail(US_FORMAT, "%s: %s, row %lld: expected numbers in [%g, %g], found %g", d->path,
                     d->name[US_COLUMN_PIXELS], (long long)row, f->low, f->high, v);
    }
    x[i] = (float)fmin(255, fmax(0, (v - f->low) * by));
  }
  return US_OK;
}

// Reads `rows` frames at once and makes them ours.
static UsStatus read_piece(UsForeignFrames* f, UsDataset* d, int64_t first, int64_t rows,
                           uint8_t* pixels) {
  hid_t column = d->column[US_COLUMN_PIXELS];
  size_t n = (size_t)f->height * (size_t)f->width * (size_t)f->channels;
  size_t frame = us_frame_bytes(d->info.height, d->info.width);
  int bad = f->bytes ? us_column_move(column, US_COLUMN_PIXELS, first, rows, f->raw, 0)
                     : us_column_read_floats(column, first, rows, f->picture);
  if (bad) {
    return us_fail(US_FORMAT, "%s: %s, rows %lld to %lld: expected readable numbers, found: %s",
                   d->path, d->name[US_COLUMN_PIXELS], (long long)first,
                   (long long)(first + rows - 1), us_hdf5_reason());
  }
  if (f->bytes) {
    UsDatasetInfo raw = d->info;
    raw.height = f->height;
    raw.width = f->width;
    US_TRY(us_dataset_check_frames(d->path, &d->c, &raw, d->column[US_COLUMN_PIXELS_CRC], first,
                                   rows, f->raw));
  }
  for (int64_t i = 0; i < rows; i++) {
    float* x = f->bytes ? f->picture : f->picture + (size_t)i * n;
    for (size_t k = 0; f->bytes && k < n; k++) x[k] = f->raw[(size_t)i * n + k];
    if (!f->bytes) US_TRY(scale(f, d, first + i, x));
    us_resampler_run(f->resampler, x, f->stride, pixels + (size_t)i * frame);
    US_TRY(us_interrupt_check(d->path));
  }
  return US_OK;
}

UsStatus us_foreign_frames_read(UsForeignFrames* f, UsDataset* d, int64_t first, int64_t rows,
                                uint8_t* pixels) {
  size_t frame = us_frame_bytes(d->info.height, d->info.width);
  for (int64_t at = 0; at < rows; at += f->piece) {
    int64_t n = rows - at < f->piece ? rows - at : f->piece;
    US_TRY(read_piece(f, d, first + at, n, pixels + (size_t)at * frame));
  }
  return US_OK;
}
