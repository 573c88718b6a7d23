#ifndef UNDERSTUDY_VIEW_FILM_H_
#define UNDERSTUDY_VIEW_FILM_H_

// Films of pictures, by the ending of the file's name:
//
//   .mp4  H.264 where libavcodec has libx264, else MPEG-4
//   .gif  with a palette of its own for every picture, for ever
//   .png  a sheet of at most US_SHEET pictures spread over the film
//
// Video goes through libavfilter, libavcodec and libavformat. The file is called FILE.tmp until it
// is whole.
//
// Threads: one film at a time.

#include <stdint.h>

#include "worldmodel/base/status.h"

enum { US_SHEET = 16 };

typedef struct UsFilm UsFilm;

// US_USAGE for an ending that is none of these.
UsStatus us_film_check(const char* path);

// 1 for a sheet.
int us_film_is_sheet(const char* path);

// Begins a film of width x height pictures, both even, at `rate` pictures a second. On failure *out
// is NULL.
UsStatus us_film_open(const char* path, int height, int width, double rate, UsFilm** out);

// Appends pixels (height, width, 3), RGB.
UsStatus us_film_add(UsFilm* f, const uint8_t* pixels);

// Finishes the file, unless `discard` or a failed us_film_add: then nothing is left. Frees f in
// every case. NULL is fine.
UsStatus us_film_close(UsFilm* f, int discard);

#endif  // UNDERSTUDY_VIEW_FILM_H_
