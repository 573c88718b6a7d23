#ifndef UNDERSTUDY_VIDEO_H_
#define UNDERSTUDY_VIDEO_H_

// Film as people have it, clips and folders of pictures, as a dataset: one that has no actions, on
// which us_pretrain learns what happens next.
//
//   UsImport c = {.fps = 10};
//   const char* const clips[] = {"a.mp4", "pictures", NULL};
//   UsVideoNotes notes;
//   UsStatus status = us_video_import(clips, "film.h5", &c, &notes);
//
// A clip is an episode, cut where it jumps in time, at damage, and after `steps` rows; a folder of
// pictures (PNG, JPEG and the like), taken in the order of their names, is a clip. Frames are the
// largest square in the middle of the pictures, or the part told by `crop`, brought to `size`
// pixels a side as `fit` says. Rows have the time stamps of the clip; with `dt` or `fps` their
// steps are equal and a row is the picture nearest to its time.
//
// Decoding happens in a process of its own, understudy-film, where libav reads what it can: a
// damaged file crashes that process alone. It lies where the library's install put it, or where the
// variable UNDERSTUDY_FILM of the environment says. Damage is US_FORMAT with the clip and the time
// of it. With `keep_damaged` it is a cut, and what could be read is kept but for the picture before
// it: many codecs have no checks, and show damage only behind where it begins.
//
// Threads: as for datasets, calls come from one thread at a time.

#include "datasets/exchange.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

// What an import of film has read and has done with it.
typedef struct UsVideoNotes {
  int clips;               // that are in the file
  int64_t episodes, rows;  // of the file
  double dt;               // s between rows, of all on average
  int64_t pictures;        // decoded
  int64_t repeated;  // rows that repeat the one before, since steps are shorter than the clip's
  int64_t dropped;   // pictures that were not later than the one before
  int irregular;     // clips whose own steps are uneven; with dt or fps they are even then
  double low, high;  // s between pictures of the first of them
  int damaged;       // clips with damage, which were kept
  int skipped;       // clips of which nothing could be read
  char damage[US_LEFT_CHARS];  // of the first of both, in words; "": none
} UsVideoNotes;

// 1 if a path is film for us_video_import: a folder, or a file that is by name and content neither
// HDF5 nor what is known of PyTorch.
US_API int us_video_is(const char* path);

// Writes film as a dataset: paths, NULL-terminated. Of `config` the settings of both kinds of
// import and those of film count, others have to be unset. On failure `out` is as it was.
US_API UsStatus us_video_import(const char* const* paths, const char* out, const UsImport* config,
                                UsVideoNotes* notes);

US_C_END

#endif  // UNDERSTUDY_VIDEO_H_
