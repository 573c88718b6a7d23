// understudy dataset: what a dataset holds, as text or as a picture.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/dataset.h"
#include "scripts/cli.h"
#include "scripts/picture.h"
#include "worldmodel/base/progress.h"

enum { kColumns = 10, kMostEpisodes = 100, kShown = 8 };

// ---- info ----

typedef struct Range {
  double low, high, mean, std;
} Range;

// Range of number i of a column of `width` numbers a row, NaNs left out. Exactly one of x (float)
// and y (double) is not NULL.
static Range find_range(const float* x, const double* y, int64_t rows, int width, int i) {
  double count = 0, sum = 0, square = 0;
  Range r = {INFINITY, -INFINITY, 0, 0};
  for (int64_t row = 0; row < rows; row++) {
    double v = x ? (double)x[row * width + i] : y[row * width + i];
    if (!isfinite(v)) continue;
    count++;
    sum += v;
    square += v * v;
    r.low = fmin(r.low, v);
    r.high = fmax(r.high, v);
  }
  r.mean = count > 0 ? sum / count : NAN;
  r.std = count > 0 ? sqrt(fmax(square / count - r.mean * r.mean, 0)) : NAN;
  return r;
}

static void print_ranges(const char* name, const float* x, const double* y, int64_t rows,
                         int width) {
  for (int i = 0; i < width; i++) {
    if (i == kShown && width > kShown + 1) {
      printf("  %-9s ... %d more\n", "", width - kShown);
      return;
    }
    Range r = find_range(x, y, rows, width, i);
    char label[64];
    snprintf(label, sizeof(label), "%s[%d]", name, i);
    printf("  %-12s %10.4f .. %-10.4f mean %10.4f  std %10.4f\n", label, r.low, r.high, r.mean,
           r.std);
  }
}

static const char* known(const char* text) {
  return text[0] ? text : "(not said)";
}

static void print_info(UsDataset* d) {
  const UsDatasetInfo* info = us_dataset_info(d);
  const int32_t* length = us_dataset_lengths(d);
  int32_t shortest = length[0], longest = length[0];
  for (int64_t e = 1; e < info->episodes; e++) {
    if (length[e] < shortest) shortest = length[e];
    if (length[e] > longest) longest = length[e];
  }
  printf("%s\n", us_dataset_path(d));
  printf("  task         %s\n", known(info->task));
  printf("  policy       %s\n", known(info->policy));
  printf("  seed         %llu\n", (unsigned long long)info->seed);
  printf("  version      %s\n", known(info->version));
  printf("  camera       %s\n", known(info->camera));
  printf("  finished     %s\n", info->finished ? "yes" : "no: its writer was killed");
  printf("  episodes     %lld of %d to %d rows\n", (long long)info->episodes, shortest, longest);
  printf("  rows         %lld, %.4g s apart: %.1f minutes\n", (long long)info->rows, info->dt,
         (double)info->rows * info->dt / 60);
  if (info->height) {
    printf("  pixels       %d x %d\n", info->width, info->height);
  } else {
    printf("  pixels       none\n");
  }
  print_ranges("action", us_dataset_actions(d), NULL, info->rows, info->action);
  print_ranges("proprio", us_dataset_proprio(d), NULL, info->rows, info->proprio);
  print_ranges("state", NULL, us_dataset_states(d), info->rows, info->state);
}

// ---- verify ----

static UsStatus read_pixels(UsDataset* d) {
  const UsDatasetInfo* info = us_dataset_info(d);
  if (info->height == 0) return US_OK;
  enum { kChunk = 256 };
  uint8_t* frames = malloc((size_t)kChunk * (size_t)info->height * (size_t)info->width * 3);
  if (!frames) return us_fail(US_MEMORY, "%s: out of memory", us_dataset_path(d));
  UsProgress bar = us_progress_start("verify", "frames", (double)info->rows, 0);
  UsStatus status = US_OK;
  for (int64_t first = 0; first < info->rows && status == US_OK; first += kChunk) {
    int64_t n = info->rows - first < kChunk ? info->rows - first : kChunk;
    status = us_dataset_pixels(d, first, n, frames);
    us_progress_show(&bar, (double)(first + n), NULL);
  }
  us_progress_end(&bar);
  free(frames);
  return status;
}

static UsStatus verify(UsDataset* d) {
  const UsDatasetInfo* info = us_dataset_info(d);
  char hash[US_HASH_CHARS];
  US_TRY(read_pixels(d));
  US_TRY(us_dataset_hash(d, hash));
  printf("%s: good: %lld episodes, %lld rows, content %.16s\n", us_dataset_path(d),
         (long long)info->episodes, (long long)info->rows, hash);
  return US_OK;
}

// ---- preview ----

// A contact sheet: one line per episode, spread over the file; frames spread over the episode.
typedef struct Sheet {
  UsDataset* data;
  UsPicture* picture;
  int episodes;  // lines
  double scale, gap;
  double left, top;      // of the first frame
  double width, height;  // of a frame with its gap
  uint8_t* frame;        // (H, W, 3)
} Sheet;

static UsStatus draw_line(Sheet* s, int line) {
  const UsDatasetInfo* info = us_dataset_info(s->data);
  int64_t episode = s->episodes > 1 ? line * (info->episodes - 1) / (s->episodes - 1) : 0;
  int rows = us_dataset_lengths(s->data)[episode];
  int64_t offset = us_dataset_offsets(s->data)[episode];
  double y = s->top + line * s->height;
  char text[64];
  snprintf(text, sizeof(text), "episode %lld", (long long)episode);
  us_picture_text(s->picture, s->left - 14, y + s->height / 2 - 16, 12, US_INK, US_RIGHT, text);
  snprintf(text, sizeof(text), "%d rows", rows);
  us_picture_text(s->picture, s->left - 14, y + s->height / 2, 11, US_FAINT, US_RIGHT, text);
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

static UsStatus draw_sheet(Sheet* s, const char* out) {
  const UsDatasetInfo* info = us_dataset_info(s->data);
  s->scale = fmax(1, round(112.0 / info->width));
  s->left = 120;
  s->top = 66;
  s->width = info->width * s->scale + 6;
  s->height = info->height * s->scale + 24;
  UsStatus status = us_picture_create((int)(s->left + kColumns * s->width + 14),
                                      (int)(s->top + s->episodes * s->height + 4), &s->picture);
  if (status != US_OK) return status;
  char text[512];
  snprintf(text, sizeof(text), "%s: %lld episodes, %lld rows, policy %s, seed %llu",
           info->task[0] ? info->task : "dataset", (long long)info->episodes, (long long)info->rows,
           known(info->policy), (unsigned long long)info->seed);
  us_picture_title(s->picture, 16, 22, 15, US_INK, US_LEFT, text);
  for (int i = 0; i < s->episodes && status == US_OK; i++) status = draw_line(s, i);
  if (status == US_OK) status = us_picture_save(s->picture, out);
  us_picture_destroy(s->picture);
  return status;
}

static UsStatus preview(UsDataset* d, const char* out, int episodes) {
  const UsDatasetInfo* info = us_dataset_info(d);
  if (info->height == 0) {
    return us_fail(US_FORMAT, "%s: expected a column pixels, found none", us_dataset_path(d));
  }
  int largest = (16384 - 70) / (info->height + 24);
  if (episodes > largest) episodes = largest > 0 ? largest : 1;
  if (episodes > info->episodes) episodes = (int)info->episodes;
  Sheet s = {.data = d, .episodes = episodes};
  s.frame = malloc((size_t)info->height * (size_t)info->width * 3);
  if (!s.frame) return us_fail(US_MEMORY, "out of memory");
  UsStatus status = draw_sheet(&s, out);
  free(s.frame);
  if (status == US_OK) printf("%s: %d episodes of %s\n", out, episodes, us_dataset_path(d));
  return status;
}

// ---- the command ----

static const char help[] =
    "info     prints where the trajectories come from, how many there are, and the range of every\n"
    "         number.\n"
    "preview  draws a contact sheet: an episode a line, frames along time.\n"
    "verify   checks the layout, every number, and reads all frames; exit code 1 and one line "
    "that\n"
    "         names the row or episode when something is wrong.\n\n"
    "Example:\n"
    "  understudy dataset info runs/train.h5\n"
    "  understudy dataset preview runs/train.h5 --out runs/train.png --episodes 12\n";

static int run(const char* command, const char* verb, const char* path, const char* out,
               int episodes) {
  UsDataset* d;
  UsStatus status = us_dataset_open(path, &d);
  if (status == US_OK) {
    if (strcmp(verb, "info") == 0) print_info(d);
    if (strcmp(verb, "verify") == 0) status = verify(d);
    if (strcmp(verb, "preview") == 0) status = preview(d, out, episodes);
    us_dataset_close(d);
  }
  return status == US_OK ? 0 : us_cli_fail(command, status);
}

int us_cmd_dataset(int argc, const char** argv) {
  char* out = NULL;
  int episodes = 8;
  struct poptOption table[] = {
      {"out", 0, POPT_ARG_STRING, &out, 0, "the PNG that preview writes", "FILE"},
      {"episodes", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &episodes, 0,
       "episodes that preview shows", "N"},
      POPT_TABLEEND};
  const char* words[3];
  int code = us_cli_parse(argc, argv, table, "info|preview|verify FILE [options]", help, words, 2);
  if (code < 0) {
    const char* verb = words[0] ? words[0] : "";
    int is_preview = strcmp(verb, "preview") == 0;
    if (!is_preview && strcmp(verb, "info") != 0 && strcmp(verb, "verify") != 0) {
      code = us_cli_usage(argv[0], "expected info, preview or verify, found \"%s\"", verb);
    } else if (!words[1]) {
      code = us_cli_usage(argv[0], "%s: expected a file", verb);
    } else if (is_preview && !out) {
      code = us_cli_usage(argv[0], "preview: expected --out");
    } else if (episodes < 1 || episodes > kMostEpisodes) {
      code = us_cli_usage(argv[0], "expected --episodes from 1 to %d, found %d", kMostEpisodes,
                          episodes);
    } else {
      code = run(argv[0], verb, words[1], out, episodes);
    }
  }
  free(out);
  return code;
}
