// Filmstrips: a row of frames a film, as many rows as a picture holds.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/report/picture.h"
#include "scripts/report/report.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/progress.h"

// Pixels: of text above a film, of what is left below it, between frames, of a caption.
enum { kFrames = 1024, kText = 32, kBelow = 14, kGap = 4, kCaption = 24 };

typedef struct Films {
  int count, size, frames;  // films, pixels of a side, frames of a film
  size_t bytes;             // of a film
  double scale;             // of a frame in the picture
  uint8_t* pixels;          // (count, frames, size, size, 3)
  const cJSON* episodes;
} Films;

static UsStatus read_films(const UsReport* r, Films* f) {
  const cJSON* films = us_report_member(r->json, "films");
  *f = (Films){0};
  if (!films) return US_OK;
  // The file lies beside the JSON, which says how its bytes are to be read.
  char file[256], folder[4096], path[4096];
  US_TRY(us_json_text(r->path, films, "file", NULL, file, sizeof(file)));
  US_TRY(us_json_int(r->path, films, "size", 8, 2048, NULL, &f->size));
  US_TRY(us_json_int(r->path, films, "frames", 2, kFrames, NULL, &f->frames));
  // No episodes, no films.
  f->episodes = us_report_member(films, "episodes");
  int count = cJSON_GetArraySize(f->episodes);
  if (count == 0) return US_OK;
  const char* slash = strrchr(r->path, '/');
  snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - r->path) : 1,
           slash ? r->path : ".");
  // All films in one file, of one size.
  size_t size;
  f->bytes = (size_t)f->frames * (size_t)f->size * (size_t)f->size * 3;
  us_path_join(path, sizeof(path), folder, file);
  US_TRY(us_file_read(path, 0, (void**)&f->pixels, &size));
  if (size != f->bytes * (size_t)count) {
    free(f->pixels);
    return us_fail(US_FORMAT, "%s: expected %d films of %zu bytes, found %zu bytes", path, count,
                   f->bytes, size);
  }
  f->count = count;
  return US_OK;
}

// One film at y: a line of text, the frames, and a box around the one in which the goal was
// reached.
static void draw_film(UsPicture* p, const UsReport* r, const Films* f, int i, double y) {
  // Start and goal, then a frame after every block that was played.
  const cJSON* episode = cJSON_GetArrayItem(f->episodes, i);
  const double left = 12, side = f->size * f->scale;
  double hit = us_report_number(episode, "first_hit_step"),
         blocks = us_report_number(episode, "blocks");
  int played =
      isfinite(blocks) && blocks >= 0 && blocks <= f->frames - 2 ? (int)blocks : f->frames - 2;
  // Captions: env steps after each block.
  char title[160], number_text[kFrames][12];
  const char* caption[kFrames] = {NULL};
  int every = 1 + (int)(kCaption / (side + kGap));  // small frames have no room for all
  for (int k = 0; k < f->frames; k += every) {
    snprintf(number_text[k], sizeof(number_text[k]), "%d", (k - 1) * r->block);
    caption[k] = k == 0 ? "start" : k == 1 ? "goal" : number_text[k];
  }
  // A line of words: which pair, how it went.
  const cJSON* curve = us_report_member(episode, "distance");
  const cJSON* last = cJSON_GetArrayItem(curve, cJSON_GetArraySize(curve) - 1);
  snprintf(title, sizeof(title),
           hit > 0 ? "Pair %.0f%s: reached after %.0f env steps" : "Pair %.0f%s: missed",
           us_report_number(episode, "pair"),
           cJSON_IsTrue(us_report_member(episode, "hard")) ? ", hard" : "", hit);
  size_t used = strlen(title);
  if (cJSON_IsNumber(last)) {
    snprintf(title + used, sizeof(title) - used, "; at the end %.2f from the goal",
             last->valuedouble);
  }
  int good = us_picture_color(2), bad = us_picture_color(3);
  us_picture_title(p, left, y + 8, 13, hit > 0 ? good : bad, US_LEFT, title);
  us_picture_strip(p, left, y + kText, f->scale, kGap, played + 2, f->size, f->size,
                   f->pixels + (size_t)i * f->bytes, caption);
  // The goal has a thin box, the block that reached it a thick one.
  int at = hit > 0 && hit <= r->budget ? ((int)hit + r->block - 1) / r->block + 1 : -1;
  for (int k = 0; k < played + 2; k++) {
    if (k != at && k != 1) continue;
    UsBox box = {left + k * (side + kGap) - 1, y + kText - 1, side + 2, side + 2};
    us_picture_outline(p, box, k == at ? 3 : 1, k == at ? good : US_FAINT);
  }
}

const char* us_report_films_name(int page, char name[32]) {
  snprintf(name, 32, page ? "films-%d.png" : "films.png", page + 1);
  return name;
}

// Frames are made smaller where a film would be wider than a picture can be; films that do not fit
// one picture go on in the next.
UsStatus us_report_films(UsReport* r) {
  enum { kMargin = 20, kEnds = 12 };
  Films f;
  US_TRY(read_films(r, &f));
  r->film_count = f.count;
  if (f.count == 0) return US_OK;
  // All films at one scale, at which a whole one fits.
  f.scale = us_picture_fit(1, f.frames * f.size, f.frames * kGap + kMargin);
  f.scale = us_picture_fit(f.scale, f.size, kText + kBelow + kEnds);
  int row = (int)ceil(f.size * f.scale) + kText + kBelow;
  int width = (int)(f.frames * (f.size * f.scale + kGap)) + kMargin;
  int rows = (US_PICTURE_MOST - kEnds) / row;
  UsStatus status = US_OK;
  UsProgress bar = us_progress_start("report", "films", f.count, 0);
  // Page by page, as many films as its height holds.
  for (int first = 0; first < f.count && status == US_OK; first += rows) {
    int n = f.count - first < rows ? f.count - first : rows;
    char name[32], path[4096];
    UsPicture* p;
    status = us_picture_create(width, n * row + kEnds, &p);
    if (status != US_OK) break;
    for (int i = 0; i < n && !us_interrupted(); i++) {
      draw_film(p, r, &f, first + i, kEnds / 2 + i * row);
      us_progress_show(&bar, first + i, NULL);
    }
    us_path_join(path, sizeof(path), r->out, us_report_films_name(r->film_pages++, name));
    status = us_picture_save(p, path);
    us_picture_destroy(p);
  }
  us_progress_end(&bar);
  free(f.pixels);
  return status;
}
