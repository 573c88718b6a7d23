#ifndef UNDERSTUDY_VIDEO_READER_H_
#define UNDERSTUDY_VIDEO_READER_H_

// A clip or a folder of pictures, frame by frame, as the helper understudy-film decodes it in a
// process of its own: a damaged file can crash or keep busy that process alone.
//
// Ownership: a reader owns its process and ends it. Threads: a reader belongs to one thread at a
// time.

#include <stdint.h>

#include "datasets/files/fit.h"
#include "worldmodel/base/status.h"

enum { US_VIDEO_TEXT = 256 };

typedef struct UsVideoAsk {
  int size;     // side of the frames
  double step;  // s between them; 0: as the file has them; of a folder it is more
  UsFitKind fit;
  int crop[4];  // W, H, X, Y; W 0: all
} UsVideoAsk;

// What has become known of a clip so far.
typedef struct UsVideoStory {
  int width, height, turn;  // of its pictures as they are shown; degrees clockwise
  double rate, seconds;     // pictures a second and length as the file has them; 0: not said
  int crop[4];              // the part that is taken
  int place[2];             // W, H of it in the frame
  int64_t pictures;         // decoded, known at the end as all below
  int64_t repeated;         // frames that repeat the one before, since steps are shorter
  int64_t dropped;          // pictures that were not later than the one before
  double low, high;         // s between pictures
  int64_t faults;           // places that are damaged
  double fault_time;        // s, of the first
  char fault[US_VIDEO_TEXT];
} UsVideoStory;

typedef enum UsVideoNext {
  US_VIDEO_FRAME,
  US_VIDEO_CUT,  // what follows does not follow on what came before
  US_VIDEO_END
} UsVideoNext;

typedef struct UsVideo UsVideo;

// Starts the helper. On failure *out is NULL.
UsStatus us_video_open(const char* path, const UsVideoAsk* ask, UsVideo** out);

// Reads what comes next: of a frame its time, in s from the clip's first picture on, and pixels
// (size, size, 3). Damage is a cut that story->faults counts; a file without anything to decode is
// US_FORMAT. A caller who wants to stop gets US_INTERRUPTED.
UsStatus us_video_next(UsVideo* v, uint8_t* pixels, double* time, UsVideoNext* next);

const UsVideoStory* us_video_story(const UsVideo* v);

// Ends the helper, wherever it is. NULL is fine.
void us_video_close(UsVideo* v);

#endif  // UNDERSTUDY_VIDEO_READER_H_
