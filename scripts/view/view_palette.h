#ifndef UNDERSTUDY_VIEW_PALETTE_H_
#define UNDERSTUDY_VIEW_PALETTE_H_

// A palette of at most 256 colours for one picture, by median cut (Heckbert 1982) over its colours
// at 5 bits a channel. Threads: one call at a time.

#include <stddef.h>
#include <stdint.h>

enum { US_PALETTE = 256 };

// Chooses palette (US_PALETTE) as 0xffRRGGBB and the index (n) of each of the pixels (n, 3). keep:
// the palette that is there stays if it is near enough, so that still parts of a film stay the same
// bytes.
void us_view_palette(size_t n, const uint8_t* pixels, int keep, uint32_t* palette, uint8_t* index);

#endif  // UNDERSTUDY_VIEW_PALETTE_H_
