// Every picture is drawn anew on white, except for the small frame of the goal, which is kept while
// goal and variation are the same.

#include "scripts/view/view_stage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/view/view_keys.h"

enum { kMargin = 12, kHeader = 36, kCaption = 20, kFooter = 124, kGoalShare = 4, kMostBars = 16 };
enum { kSolved = 0x2f8f4e, kTruth = 0x3f6fae, kImagined = 0xdd8149 };
static const double kBig = 16, kText = 13, kSmall = 11;

struct UsStage {
  UsPicture* picture;
  UsViewScene* scene;     // NULL: a robot, which sends its frames
  int bare, side, panel;  // panel: its width
  int width, height;
  int goal_height, goal_width;
  int looks;            // the show's, of the variation that the scene is in
  int has_goal;         // 1: a goal is drawn
  double* goal;         // (S) that one
  uint8_t* truth;       // (side, panel, 3)
  uint8_t* goal_frame;  // (goal_height, goal_width, 3)
  uint8_t* sent;        // (height, width, 3) of a robot
  size_t states;        // bytes of a state
};

// ---- open and close ----

static UsStatus set_up(UsStage* s, const UsShow* show) {
  const UsEnvInfo* info = us_env_info(show->sim);
  // Panels have the proportions of the task's frames.
  s->panel = info->height ? s->side * info->width / info->height : s->side;
  s->goal_height = s->side / kGoalShare;
  s->goal_width = s->panel / kGoalShare;
  s->states = sizeof(double) * (size_t)info->state;
  // Sheets are a column of panels under the time; else the panels stand in a row.
  int panels = show->dream || show->undrawn ? 2 : 1;
  s->width = s->bare ? s->panel : panels * (s->panel + kMargin) + kMargin;
  s->height = kCaption + (s->bare ? panels * s->side : kHeader + s->side + kMargin + kFooter);
  // Films need both even.
  s->width += s->width % 2;
  s->height += s->height % 2;
  // What is drawn is kept: the truth, the goal, and which goal that was.
  s->goal = calloc(1, s->states);
  s->truth = calloc((size_t)s->side * (size_t)s->panel, 3);
  s->goal_frame = calloc((size_t)s->goal_height * (size_t)s->goal_width, 3);
  s->sent = calloc((size_t)info->height * (size_t)info->width + 1, 3);
  if (!s->goal || !s->truth || !s->goal_frame || !s->sent)
    return us_fail(US_MEMORY, "out of memory");
  US_TRY(us_picture_create(s->width, s->height, &s->picture));
  // The scene draws the variation that is the truth's now.
  s->looks = show->looks;
  if (us_sim_task(show->sim)->exec) return US_OK;
  return us_view_scene_open(info->name, show->config.gl, us_sim_slot_model(show->sim, 0),
                            info->camera, s->side, s->panel, &s->scene);
}

UsStatus us_stage_open(const UsShow* show, int side, int bare, UsStage** out) {
  *out = NULL;
  UsStage* s = calloc(1, sizeof(*s));
  if (!s) return us_fail(US_MEMORY, "out of memory");
  s->side = side;
  s->bare = bare;
  UsStatus status = set_up(s, show);
  if (status != US_OK) us_stage_close(s);
  if (status == US_OK) *out = s;
  return status;
}

void us_stage_close(UsStage* s) {
  if (!s) return;
  us_view_scene_close(s->scene);
  us_picture_destroy(s->picture);
  free(s->goal);
  free(s->truth);
  free(s->goal_frame);
  free(s->sent);
  free(s);
}

int us_stage_width(const UsStage* s) {
  return s->width;
}

int us_stage_height(const UsStage* s) {
  return s->height;
}

UsBox us_stage_panel(const UsStage* s) {
  return s->bare ? (UsBox){0, kCaption, s->panel, s->side}
                 : (UsBox){kMargin, kHeader + kCaption, s->panel, s->side};
}

UsViewScene* us_stage_scene(UsStage* s) {
  return s->scene;
}

UsStatus us_stage_save(UsStage* s, const char* path) {
  return us_picture_save(s->picture, path);
}

// Averages squares of kGoalShare pixels of the truth's panel into the small frame.
static void shrink(UsStage* s) {
  // Row by row of the small frame.
  const size_t line = (size_t)s->panel * 3;
  uint8_t* out = s->goal_frame;
  for (int y = 0; y < s->goal_height; y++) {
    for (int x = 0; x < s->goal_width; x++) {
      for (int c = 0; c < 3; c++) {
        int sum = 0;
        for (int i = 0; i < kGoalShare * kGoalShare; i++) {
          int v = y * kGoalShare + i / kGoalShare, u = x * kGoalShare + i % kGoalShare;
          sum += s->truth[(size_t)v * line + (size_t)u * 3 + (size_t)c];
        }
        *out++ = (uint8_t)(sum / (kGoalShare * kGoalShare));
      }
    }
  }
}

// ---- text ----

// s since the episode began, at state `inner` of the last env step.
static double time_of(const UsShow* show, int inner) {
  double steps = show->step > 0 ? show->step - 1 + (inner + 1.0) / show->inner : 0;
  return steps * us_env_info(show->sim)->dt;
}

static void draw_header(UsStage* s, const UsShow* show, const UsStageNotes* n) {
  char text[256] = "drive";
  const char* task = us_sim_task(show->sim)->name;
  double at = kMargin, y = kHeader / 2.0 + 2;
  us_picture_title(s->picture, at, y, kBig, US_INK, US_LEFT, task);
  at += 1.15 * us_picture_text_width(s->picture, kBig, task) + 12;
  const UsPolicy* policy = &us_sim_task(show->sim)->policies[show->policy];
  const char* planner = show->config.planner ? show->config.planner : us_planners[0]->name;
  // Who acts, in words.
  if (show->mode == US_VIEW_policy) {
    snprintf(text, sizeof(text), "policy %s", policy->name);
  } else if (show->mode == US_VIEW_plan) {
    snprintf(text, sizeof(text), "planner %s in the %s", planner,
             show->config.model ? "model" : "simulator");
  } else if (show->mode == US_VIEW_replay) {
    snprintf(text, sizeof(text), "episode %lld of the data", (long long)show->episode);
  }
  us_picture_text(s->picture, at, y, kText, US_INK, US_LEFT, text);
  // How fast, at the right edge.
  snprintf(text, sizeof(text), n->speed >= 1 ? "x%.0f" : "x%.2g", n->speed);
  us_picture_text(s->picture, s->width - kMargin, y, kText, n->paused ? kImagined : US_FAINT,
                  US_RIGHT, n->paused ? "paused" : text);
}

static void draw_captions(UsStage* s, const UsShow* show) {
  char text[128];
  UsBox panel = us_stage_panel(s);
  // What the truth is seen through, over its panel.
  double y = panel.y - kCaption / 2.0;
  us_picture_text(s->picture, panel.x, y, kText, kTruth, US_LEFT,
                  !s->scene                         ? "robot"
                  : us_view_scene_is_free(s->scene) ? "simulator, free camera"
                                                    : "simulator");
  // What the model knows of the truth, over its panel.
  if (!show->dream && !show->undrawn) return;
  snprintf(text, sizeof(text), "imagined from the actions alone for %d steps", show->imagined);
  const char* known = show->undrawn     ? "model"
                      : show->follow    ? "model, observes every block"
                      : show->imagining ? text
                                        : "model, observes its first frames";
  us_picture_text(s->picture, panel.x + s->panel + kMargin, y, kText, kImagined, US_LEFT, known);
}

// ---- the footer ----

static void draw_numbers(UsStage* s, const UsShow* show, double time, double x, double y) {
  char text[96];
  UsPicture* p = s->picture;
  snprintf(text, sizeof(text), "step %d", show->step);
  us_picture_text(p, x, y, kText, US_INK, US_LEFT, text);
  snprintf(text, sizeof(text), "%.2f s", time);
  us_picture_text(p, x + 84, y, kText, US_INK, US_LEFT, text);
  if (show->has_goal) {
    snprintf(text, sizeof(text), "distance %.3g", show->distance);
    us_picture_text(p, x, y + 20, kText, US_INK, US_LEFT, text);
  }
  // How it goes: diverged, solved, or neither yet.
  if (!show->finite) {
    us_picture_title(p, x, y + 40, kText, kImagined, US_LEFT, "the simulation diverged");
  } else if (show->has_goal && show->first_hit >= 0) {
    snprintf(text, sizeof(text), "solved at step %d", show->first_hit);
    us_picture_title(p, x, y + 40, kText, kSolved, US_LEFT, text);
  }
  snprintf(text, sizeof(text), "seed %llu", (unsigned long long)show->seed);
  us_picture_text(p, x, y + 60, kText, US_FAINT, US_LEFT, text);
}

// One bar a number of the action, upwards for more than 0.
static void draw_action(UsStage* s, const UsShow* show, int axes, UsBox box) {
  UsPicture* p = s->picture;
  int count = us_env_info(show->sim)->action;
  if (count > kMostBars) count = kMostBars;
  if (count == 0) return;
  // The middle line is 0; a mark below the two bars that the moving keys drive.
  double width = fmin(box.width / count, 24), half = box.height / 2 - 8, zero = box.y + half;
  for (int i = 0; i < count; i++) {
    double left = box.x + i * width, length = half * (double)show->action[i];
    int color = us_picture_color(i);
    us_picture_fill(p, (UsBox){left + 2, zero - fmax(length, 0), width - 4, fabs(length)}, color);
    if (show->mode == US_VIEW_drive && (i == axes || i == axes + 1)) {
      us_picture_fill(p, (UsBox){left + 2, zero + half + 1, width - 4, 2}, US_FAINT);
    }
  }
  us_picture_line(p, box.x, zero, box.x + count * width, zero, 1, US_FAINT);
  us_picture_text(p, box.x, box.y + box.height - 2, kSmall, US_FAINT, US_LEFT, "action");
}

static void draw_history(UsStage* s, const UsShow* show, UsBox box) {
  UsPicture* p = s->picture;
  // The newest distances that the width has room for, from 0 to the largest.
  double most = 1e-9, high = box.height - 16;
  int count = show->histories < (int)box.width ? show->histories : (int)box.width;
  const float* d = show->history + show->histories - count;
  for (int i = 0; i < count; i++) most = d[i] > most ? (double)d[i] : most;
  us_picture_line(p, box.x, box.y + high, box.x + box.width, box.y + high, 1, US_GRID);
  double step = box.width / fmax(count - 1, 50);
  for (int i = 0; i + 1 < count; i++) {
    if (!isfinite(d[i]) || !isfinite(d[i + 1])) continue;
    us_picture_line(p, box.x + i * step, box.y + high * (1 - (double)d[i] / most),
                    box.x + (i + 1) * step, box.y + high * (1 - (double)d[i + 1] / most), 1.5,
                    kTruth);
  }
  us_picture_text(p, box.x, box.y + box.height - 2, kSmall, US_FAINT, US_LEFT,
                  "distance to the goal");
}

static void draw_footer(UsStage* s, const UsShow* show, int inner, const UsStageNotes* n) {
  UsBox panel = us_stage_panel(s);
  // From left to right: numbers, action, history, goal.
  double top = panel.y + panel.height + kMargin, left = kMargin;
  double right = s->width - kMargin, deep = kFooter - kMargin - 16;
  draw_numbers(s, show, time_of(show, inner), left, top + 8);
  draw_action(s, show, n->axes, (UsBox){left + 160, top, 120, deep});
  int drawn = show->has_goal && s->has_goal;
  if (drawn || show->aim) {
    double x = right - s->goal_width;
    if (drawn) {
      us_picture_frame(s->picture, x, top, 1, s->goal_height, s->goal_width, s->goal_frame);
    } else {
      const UsEnvInfo* info = us_env_info(show->sim);
      us_picture_frame(s->picture, x, top, (double)s->goal_height / info->height, info->height,
                       info->width, show->aim);
    }
    us_picture_outline(
        s->picture, (UsBox){x - 0.5, top - 0.5, s->goal_width + 1, s->goal_height + 1}, 1, US_GRID);
    us_picture_text(s->picture, x - 8, top + 8, kSmall, US_FAINT, US_RIGHT, "goal");
    right = x - 48;
  }
  if (show->has_goal && right - left > 420) {
    draw_history(s, show, (UsBox){left + 320, top, right - left - 320, deep});
  }
  if (n->hint) {
    us_picture_text(s->picture, left, s->height - 12, kSmall, US_FAINT, US_LEFT, n->hint);
  }
}

// ---- help ----

static void draw_help(UsStage* s) {
  static const struct {
    const char *key, *text;
  } line[] = {
#define X(name, key, label, text) {label, text},
      US_VIEW_KEYS(X)
#undef X
#define X(index, a, b, c, d, label) {label, "number " #index " of the action, less or more"},
          US_VIEW_AXES(X)
#undef X
#define X(label, text) {label, text},
              US_VIEW_MOUSE(X)
#undef X
  };
  // A line a key, as the lists of view_keys.h have them.
  const int lines = sizeof(line) / sizeof(line[0]);
  // A white sheet over the panels.
  const double height = 18, width = fmin(s->width - 2 * kMargin, 560);
  UsBox box = {(s->width - width) / 2, kHeader, width, height * (lines + 1)};
  us_picture_fill(s->picture, box, US_WHITE);
  us_picture_outline(s->picture, box, 1, US_FAINT);
  for (int i = 0; i < lines; i++) {
    double y = box.y + height * (i + 1);
    us_picture_text(s->picture, box.x + 12, y, kSmall, US_INK, US_LEFT, line[i].key);
    us_picture_text(s->picture, box.x + 120, y, kSmall, US_INK, US_LEFT, line[i].text);
  }
}

// ---- the picture ----

static void draw_panels(UsStage* s, const UsShow* show) {
  static const char* const line[] = {"no picture:", "its encoder", "has no decoder"};
  UsBox panel = us_stage_panel(s);
  us_picture_frame(s->picture, panel.x, panel.y, 1, s->side, s->panel, s->truth);
  // The model's panel stands beside it, in sheets below it.
  double x = s->bare ? panel.x : panel.x + s->panel + kMargin;
  double y = s->bare ? panel.y + s->side : panel.y;
  if (show->dream) {
    const UsEnvInfo* info = us_env_info(show->dream);
    us_picture_frame(s->picture, x, y, (double)s->side / info->height, info->height, info->width,
                     show->picture);
  }
  // Where the model's encoder cannot draw, words in place of what it imagines.
  if (!show->undrawn) return;
  us_picture_outline(s->picture, (UsBox){x + 0.5, y + 0.5, s->panel - 1, s->side - 1}, 1, US_GRID);
  for (int i = 0; i < 3; i++) {
    us_picture_text(s->picture, x + s->panel / 2.0, y + s->side / 2.0 + 16 * (i - 1), kSmall,
                    US_FAINT, US_CENTER, line[i]);
  }
}

// The newest frame that a robot sent, as large as the panel.
static UsStatus draw_sent(UsStage* s, const UsShow* show) {
  static const int slot = 0;
  const UsEnvInfo* info = us_env_info(show->sim);
  if (info->height == 0) return US_OK;
  US_TRY(us_env_render(show->sim, 1, &slot, s->sent));
  uint8_t* out = s->truth;
  for (int y = 0; y < s->side; y++) {
    for (int x = 0; x < s->panel; x++, out += 3) {
      int v = y * info->height / s->side, u = x * info->width / s->panel;
      memcpy(out, s->sent + ((size_t)v * (size_t)info->width + (size_t)u) * 3, 3);
    }
  }
  return US_OK;
}

UsStatus us_stage_draw(UsStage* s, const UsShow* show, int inner, const UsStageNotes* notes,
                       uint8_t* pixels) {
  // A new episode goes on in its own variation, in which the goal looks different too.
  if (s->looks != show->looks && s->scene) {
    us_view_scene_vary(s->scene, us_sim_slot_model(show->sim, 0));
    s->looks = show->looks;
    s->has_goal = 0;
  }
  // The goal is drawn when it is another than before, through the camera of the moment. The panel
  // of the truth is free for it: the truth is drawn there next.
  int stale = !s->has_goal || memcmp(s->goal, show->goal, s->states) != 0;
  if (show->has_goal && !s->bare && stale && s->scene) {
    US_TRY(us_view_scene_draw(s->scene, show->goal, s->truth));
    memcpy(s->goal, show->goal, s->states);
    s->has_goal = 1;
    shrink(s);
  }
  // A state that is not finite cannot be drawn; the last one stays.
  size_t width = s->states / sizeof(double);
  if (show->finite && !s->scene) {
    US_TRY(draw_sent(s, show));
  } else if (show->finite) {
    US_TRY(us_view_scene_draw(s->scene, show->inside + (size_t)inner * width, s->truth));
  }
  // Then everything anew on white.
  us_picture_fill(s->picture, (UsBox){0, 0, s->width, s->height}, US_WHITE);
  draw_panels(s, show);
  if (s->bare) {
    char text[64];
    snprintf(text, sizeof(text), "%.2f s", time_of(show, inner));
    us_picture_text(s->picture, s->width / 2.0, kCaption / 2.0, kSmall, US_FAINT, US_CENTER, text);
  } else {
    draw_header(s, show, notes);
    draw_captions(s, show);
    draw_footer(s, show, inner, notes);
    if (notes->help) draw_help(s);
  }
  us_picture_pixels(s->picture, pixels);
  return US_OK;
}
