#ifndef UNDERSTUDY_SHOW_HELP_H_
#define UNDERSTUDY_SHOW_HELP_H_

// What tests of the viewer's shows share: a folder, the program run in it, and the picture of a
// show drawn in this process.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scripts/cli/cli.h"
#include "scripts/view/view_stage.h"
#include "tests/scripts/program.h"
#include "tests/scripts/view_help.h"
#include "worldmodel/base/file.h"

enum { kSide = 240 };
static char folder[] = "/tmp/understudy-view-XXXXXX";

static inline const char* path_of(const char* name) {
  static char path[8][512];
  static int next;
  return us_path_join(path[next = (next + 1) % 8], sizeof(path[0]), folder, name);
}

static inline Run command(const char* format, ...) __attribute__((format(printf, 1, 2)));
static inline Run command(const char* format, ...) {
  char line[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  return run_program(folder, line);
}

#define DONE(...)                                                     \
  do {                                                                \
    Run run_ = command(__VA_ARGS__);                                  \
    if (run_.code != 0) fail_msg("exit %d: %s", run_.code, run_.err); \
  } while (0)

// ---- the picture, drawn here ----

typedef struct Here {
  UsShow show;
  UsStage* stage;
  UsStageNotes notes;
} Here;

static inline Here here_open(const UsShowConfig* config, int side) {
  Here h = {.notes = {.paused = 1, .speed = 1, .hint = "H: keys"}};
  UsShowConfig c = *config;
  c.plan = us_planner_defaults();
  if (us_show_open(&c, &h.show) != US_OK || us_stage_open(&h.show, side, 0, &h.stage) != US_OK) {
    fail_msg("%s", us_message());
  }
  return h;
}

static inline Image here_draw(Here* h) {
  Image m = image_new(us_stage_height(h->stage), us_stage_width(h->stage));
  assert_int_equal(us_stage_draw(h->stage, &h->show, h->show.inner - 1, &h->notes, m.pixels),
                   US_OK);
  return m;
}

static inline void here_close(Here* h) {
  us_stage_close(h->stage);
  us_show_close(&h->show);
}

#endif  // UNDERSTUDY_SHOW_HELP_H_
