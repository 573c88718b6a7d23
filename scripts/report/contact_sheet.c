#include "scripts/report/contact_sheet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "scripts/report/picture.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/text.h"

enum { kColumns = 10 };

// One line per episode, spread over the file; frames spread over the episode.
typedef struct Sheet {
  UsDataset* data;
  UsPicture* picture;
  int episodes;  // lines
  double scale;
  double left, top;      // of the first frame
  double width, height;  // of a frame with its gap
  double right, bottom;  // of the picture
  uint8_t* frame;        // (H, W, 3)
} Sheet;

static UsStatus draw_line(Sheet* s, int line) {
  const UsDatasetInfo* info = us_dataset_info(s->data);
  int64_t episode = s->episodes > 1 ? line * (info->episodes - 1) / (s->episodes - 1) : 0;
  int rows = us_dataset_lengths(s->data)[episode];
  int64_t offset = us_dataset_offsets(s->data)[episode];
  double y = s->top + line * s->height;
  // Which episode it is, left of the frames.
  char text[64];
  snprintf(text, sizeof(text), "episode %lld", (long long)episode);
  us_picture_text(s->picture, s->left - 14, y + s->height / 2 - 16, 12, US_INK, US_RIGHT, text);
  snprintf(text, sizeof(text), "%d rows", rows);
  us_picture_text(s->picture, s->left - 14, y + s->height / 2, 11, US_FAINT, US_RIGHT, text);
  // Frames from its first to its last row, each below its time.
  int count = rows < kColumns ? rows : kColumns;
  for (int i = 0; i < count; i++) {
    int t = count > 1 ? (int)((int64_t)i * (rows - 1) / (count - 1)) : 0;
    US_TRY(us_dataset_pixels(s->data, offset + t, 1, s->frame));
    double x = s->left + i * s->width;
    us_picture_frame(s->picture, x, y, s->scale, info->height, info->width, s->frame);
    const double* time = us_dataset_times(s->data);
    snprintf(text, sizeof(text), "%.2f s", time[offset + t] - time[offset]);
    us_picture_text(s->picture, x + info->width * s->scale / 2, y - 8, 10, US_FAINT, US_CENTER,
                    text);
  }
  return US_OK;
}

// Frames are enlarged to be seen, or made smaller where a line of them would not fit a picture.
// Leaves room for as many lines as fit.
static void lay_out(Sheet* s) {
  enum { kLeft = 120, kRight = 14, kTop = 66, kBottom = 4, kGap = 6, kText = 24 };
  const UsDatasetInfo* info = us_dataset_info(s->data);
  double scale = fmax(1, round(112.0 / info->width));
  scale = us_picture_fit(scale, kColumns * info->width, kLeft + kColumns * kGap + kRight);
  // One line of them and its text must fit too.
  s->scale = us_picture_fit(scale, info->height, kTop + kText + kBottom);
  s->left = kLeft;
  s->top = kTop;
  s->width = info->width * s->scale + kGap;
  s->height = info->height * s->scale + kText;
  s->right = s->left + kColumns * s->width + kRight;
  int most = (int)((US_PICTURE_MOST - kTop - kBottom) / s->height);
  if (s->episodes > most) s->episodes = most;
  s->bottom = s->top + s->episodes * s->height + kBottom;
}

UsStatus us_contact_sheet_draw(UsDataset* d, int episodes, const char* out, int* drawn) {
  const UsDatasetInfo* info = us_dataset_info(d);
  if (info->height == 0) {
    return us_fail(US_FORMAT, "%s: expected a column pixels, found none", us_dataset_path(d));
  }
  Sheet s = {.data = d, .episodes = episodes};
  lay_out(&s);
  *drawn = s.episodes;
  US_TRY(us_picture_create((int)s.right, (int)s.bottom, &s.picture));
  s.frame = malloc(us_frame_bytes(info->height, info->width));
  UsStatus status = s.frame ? US_OK : us_fail(US_MEMORY, "out of memory");
  // What it is a picture of, then line by line.
  char text[512];
  snprintf(text, sizeof(text), "%s: %lld episodes, %lld rows, policy %s, seed %llu",
           info->task[0] ? info->task : "dataset", (long long)info->episodes, (long long)info->rows,
           info->policy[0] ? us_shown(info->policy) : "(not said)", (unsigned long long)info->seed);
  us_picture_title(s.picture, 16, 22, 15, US_INK, US_LEFT, text);
  UsProgress bar = us_progress_start("preview", "episodes", s.episodes, 0);
  for (int i = 0; i < s.episodes && status == US_OK; i++) {
    status = draw_line(&s, i);
    if (status == US_OK) status = us_progress_step(&bar, i + 1, out);
  }
  us_progress_end(&bar);
  if (status == US_OK) status = us_picture_save(s.picture, out);
  us_picture_destroy(s.picture);
  free(s.frame);
  return status;
}
