#ifndef UNDERSTUDY_FOREIGN_FRAMES_H_
#define UNDERSTUDY_FOREIGN_FRAMES_H_

// Frames as other programs keep them, made ours on the way: of any size, grey or in colours, with
// the colours as the last axis (rows, height, width, 3) or the second (rows, 3, height, width), and
// of any kind of number. What a file does not say is asked for and never guessed.
//
// Ownership: the column stays the reader's. Threads: as for datasets.

#include "datasets/files/dataset_reader.h"

typedef struct UsForeignFrames UsForeignFrames;

// Looks at an open column of frames and says how it becomes ours: `how` has layout, range, size,
// fit and crop. Sets the size of frames in d->info. *out is NULL on failure, and where they are
// ours as they are.
UsStatus us_foreign_frames_open(UsDataset* d, const UsImport* how, UsForeignFrames** out);

// NULL is fine.
void us_foreign_frames_close(UsForeignFrames* f);

// What becomes of the frames, in words.
const char* us_foreign_frames_text(const UsForeignFrames* f);

// Reads frames as ours: pixels (rows, height, width, 3). Those of our own files are compared with
// their checksums before they are changed.
UsStatus us_foreign_frames_read(UsForeignFrames* f, UsDataset* d, int64_t first, int64_t rows,
                                uint8_t* pixels);

#endif  // UNDERSTUDY_FOREIGN_FRAMES_H_
