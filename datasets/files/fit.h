#ifndef UNDERSTUDY_FIT_H_
#define UNDERSTUDY_FIT_H_

// How pictures of any size become frames of one: which part of a picture is taken, where it lies in
// the frame, and the numbers between. Not for users of exchange.h.
//
// Threads: a resampler has room of its own and belongs to one thread at a time.

#include <stddef.h>
#include <stdint.h>

#include "worldmodel/base/status.h"

// What becomes of a part that is no square: the largest square in its middle; all of it with black
// around; all of it, squeezed.
typedef enum UsFitKind { US_FIT_CROP, US_FIT_LETTERBOX, US_FIT_STRETCH } UsFitKind;
extern const char* const us_fit_names[3];

// Reads --fit and --crop W:H:X:Y, part (W, H, X, Y), W 0: the whole picture. Without a word parts
// that were asked for are squeezed, others cropped. Nullable: fit, crop.
UsStatus us_fit_read(const char* fit, const char* crop, UsFitKind* kind, int part[4]);

typedef struct UsFit {
  int part[4];        // W, H, X, Y in the picture
  int place[4];       // W, H, X, Y of it in the frame
  int height, width;  // of the frame
} UsFit;

// What becomes of pictures of height x width: frames of size x size or, with 0, of the part as it
// is. Returns 0 when the part that is asked for lies outside.
int us_fit_make(UsFitKind kind, const int part[4], int height, int width, int size, UsFit* out);

typedef struct UsResampler UsResampler;

// NULL: out of memory. channels: 1 or 3.
UsResampler* us_resampler_create(const UsFit* fit, int channels);
void us_resampler_destroy(UsResampler* r);

// Makes a frame (height, width, 3) of a picture whose numbers go from 0 to 255. stride: numbers
// from a row, a column and a channel of the picture to the next.
void us_resampler_run(UsResampler* r, const float* picture, const size_t stride[3], uint8_t* frame);

#endif  // UNDERSTUDY_FIT_H_
