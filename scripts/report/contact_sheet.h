#ifndef UNDERSTUDY_CONTACT_SHEET_H_
#define UNDERSTUDY_CONTACT_SHEET_H_

// The picture of a dataset: an episode a line, frames along time.

#include "datasets/dataset.h"

// Draws `episodes` of the file's, spread over it, as the PNG `out`; *drawn: as many as fit a
// picture.
UsStatus us_contact_sheet_draw(UsDataset* d, int episodes, const char* out, int* drawn);

#endif  // UNDERSTUDY_CONTACT_SHEET_H_
