// A turn of the loop: draw what changed, sleep until something is due, hear keys and mouse, play
// the env steps whose time has come.

#include "scripts/view/view_live.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/view/view_keys.h"
#include "scripts/view/view_window.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/progress.h"

enum { kMostTicks = 8, kMostActions = US_TASK_ACTIONS };
static const double deliberate = 0.5;  // s: longer env steps wait for the user in drive mode
static const double least_frame = 1.0 / 60, idle = 0.1, rest = 1.0;  // s

typedef struct Live {
  UsShow* show;
  UsStage* stage;
  UsLiveConfig config;
  UsWindow* window;
  UsStageNotes notes;
  uint8_t* pixels;
  int inner;        // state of the last env step that is shown
  int played;       // env steps since the window opened
  int single;       // 1: one env step though paused
  int done, dirty;  // dirty: the picture is to be drawn again
  double next;      // when the next state is due
  double over;      // when the episode ended; 0: it goes on
  int shots;
  UsMouse mouse;   // as it was before
  int dragging;    // 1: the left button went down in the simulator's panel
  double from[2];  // where
  int push;        // 1: a drag in a task with long env steps has ended
  UsPad pad;       // as it was before
  char hint[128];  // what is recorded
  float driven[kMostActions];
} Live;

// ---- keys ----

static UsStatus restart(Live* l, uint64_t seed, int again) {
  UsTeleop* t = l->config.teleop;
  // What is recorded has seeds of its own, and stops until somebody drives.
  if (t && us_teleop_is_complete(t)) {
    l->done = 1;
    return US_OK;
  }
  US_TRY(us_show_reset(l->show, t ? us_teleop_seed(t) : seed, again));
  if (t) US_TRY(us_teleop_begin(t));
  if (t) {
    snprintf(l->hint, sizeof(l->hint), "%lld kept; Enter keeps, Backspace takes back, H: keys",
             (long long)us_teleop_count(t));
    l->notes.hint = l->hint;
  }
  l->inner = l->show->inner - 1;
  l->over = 0;
  l->next = us_seconds();
  return US_OK;
}

// Draws what is to be seen now.
static UsStatus draw(Live* l) {
  US_TRY(us_stage_draw(l->stage, l->show, l->inner, &l->notes, l->pixels));
  us_window_show(l->window, l->pixels);
  l->dirty = 0;
  return US_OK;
}

// Saves the picture as --screenshot says, else as the first view-<number>.png that is free.
static UsStatus take_shot(Live* l) {
  char path[4096];
  // What keys before this one have changed belongs to it.
  if (l->dirty) US_TRY(draw(l));
  snprintf(path, sizeof(path), "%s", l->config.shot ? l->config.shot : "");
  while (!l->config.shot) {
    snprintf(path, sizeof(path), "view-%03d.png", ++l->shots);
    if (!us_file_exists(path) && us_lock_check(path) == US_OK) break;
  }
  UsLock* lock;
  US_TRY(us_lock_take(path, &lock));
  UsStatus status = us_stage_save(l->stage, path);
  us_lock_release(lock);
  US_TRY(status);
  printf("%s\n", path);
  fflush(stdout);
  return US_OK;
}

// Ends the episode that is recorded: keeps it, or takes back.
static UsStatus end_episode(Live* l, int keep) {
  UsTeleop* t = l->config.teleop;
  int kept;
  if (!t) return US_OK;
  us_show_rest(l->show);
  if (keep) {
    US_TRY(us_teleop_keep(t, &kept));
  } else {
    us_teleop_undo(t);
  }
  return restart(l, 0, 0);
}

typedef enum Key {
#define X(name, key, label, text) KEY_##name = GLFW_KEY_##key,
  US_VIEW_KEYS(X)
#undef X
} Key;

static UsStatus press(Live* l, Key key) {
  int axes = l->notes.axes + (key == KEY_more_axes ? 2 : -2);
  switch (key) {
    case KEY_pause:
      l->notes.paused = !l->notes.paused;
      if (l->notes.paused) us_show_rest(l->show);
      l->next = us_seconds();
      break;
    case KEY_single:
      l->notes.paused = l->single = 1;
      break;
    case KEY_faster:
      l->notes.speed = fmin(2 * l->notes.speed, 64);
      break;
    case KEY_slower:
      l->notes.speed = fmax(l->notes.speed / 2, 1.0 / 64);
      break;
    case KEY_reset:
      return restart(l, l->show->seed + 1, 0);
    case KEY_keep:
      return end_episode(l, 1);
    case KEY_undo:
      return end_episode(l, 0);
    case KEY_mode:
      if (l->config.teleop) break;  // who records drives
      US_TRY(us_show_set_mode(l->show, us_show_next_mode(l->show)));
      l->inner = l->show->inner - 1;
      l->over = 0;
      break;
    case KEY_policy:
      us_show_next_policy(l->show);
      break;
    case KEY_resync:
      return us_show_resync(l->show);
    case KEY_follow:
      us_show_set_follow(l->show, !l->show->follow);
      break;
    case KEY_camera:
      us_view_scene_switch_camera(us_stage_scene(l->stage));
      break;
    case KEY_shot:
      return take_shot(l);
    case KEY_less_axes:
    case KEY_more_axes:
      // The moving keys never leave the numbers of the action.
      if (axes >= 0 && axes < us_env_info(l->show->sim)->action) l->notes.axes = axes;
      break;
    case KEY_help:
      l->notes.help = !l->notes.help;
      break;
    case KEY_quit:
      l->done = 1;
      break;
  }
  return US_OK;
}

// ---- driving ----

static int is_deliberate(const Live* l) {
  return l->show->mode == US_VIEW_drive && us_env_info(l->show->sim)->dt > deliberate;
}

// Chooses the driven action; 1 if the user acts.
static int drive(Live* l) {
  static const struct {
    int action, less, more, less_too, more_too;
  } axis[] = {
#define X(index, a, b, c, d, label) {index, GLFW_KEY_##a, GLFW_KEY_##b, GLFW_KEY_##c, GLFW_KEY_##d},
      US_VIEW_AXES(X)
#undef X
  };
  // Held keys say how fast; two keys of one axis that are both down cancel each other.
  int count = us_env_info(l->show->sim)->action,
      acts = l->push || (l->dragging && !is_deliberate(l));
  memset(l->driven, 0, sizeof(l->driven));
  for (size_t i = 0; i < sizeof(axis) / sizeof(axis[0]); i++) {
    int at = l->notes.axes + axis[i].action;
    const UsWindow* w = l->window;
    int less = us_window_holds(w, axis[i].less) || us_window_holds(w, axis[i].less_too);
    int more = us_window_holds(w, axis[i].more) || us_window_holds(w, axis[i].more_too);
    int pad = l->pad.axis[axis[i].action] != 0;
    if (at < count && pad) l->driven[at] += l->pad.axis[axis[i].action];
    acts |= at < count && pad;
    if (at >= count || less == more) continue;
    l->driven[at] += (float)((more - less) * (l->mouse.shift ? 0.33 : 1));
    acts = 1;
  }

  // A drag moves by as much as it is long; where env steps are long it is a push from where it
  // began to where it is, both in units of half the panel from its middle.
  UsBox panel = us_stage_panel(l->stage);
  double half = panel.height / 2, middle[2] = {panel.x + panel.width / 2, panel.y + half};
  double to[2] = {l->mouse.x, l->mouse.y};
  int at = l->notes.axes, dragged = l->dragging || l->push;
  for (int i = 0; dragged && i < 2; i++) {
    double sign = i == 0 ? 1 : -1;
    if (is_deliberate(l) && at + 3 < count) {
      l->driven[at + i] = (float)(sign * (l->from[i] - middle[i]) / half);
      l->driven[at + 2 + i] = (float)(sign * (to[i] - middle[i]) / half);
    } else if (at + i < count) {
      l->driven[at + i] += (float)(sign * (to[i] - l->from[i]) / (half / 2));
    }
  }
  l->push = 0;
  return acts;
}

// ---- mouse ----

static void handle_mouse(Live* l) {
  // A drag belongs to the panel in which it began.
  UsMouse m = us_window_mouse(l->window);
  UsBox p = us_stage_panel(l->stage);
  int inside = m.x >= p.x && m.y >= p.y && m.x < p.x + p.width && m.y < p.y + p.height;
  if (m.left && !l->mouse.left && inside) {
    l->dragging = 1;
    l->from[0] = m.x;
    l->from[1] = m.y;
  }
  if (!m.left && l->dragging) {
    l->dragging = 0;
    l->push = is_deliberate(l);
  }
  // By how much the mouse moved, in heights of the panel: right turns, middle shifts.
  UsViewScene* scene = us_stage_scene(l->stage);
  double dx = (m.x - l->mouse.x) / p.height, dy = (m.y - l->mouse.y) / p.height;
  int moved = dx != 0 || dy != 0, turn = moved && m.right && l->mouse.right;
  int shift = moved && m.middle && l->mouse.middle;
  if (turn) us_view_scene_move(scene, m.shift ? mjMOUSE_ROTATE_H : mjMOUSE_ROTATE_V, dx, dy);
  if (shift) us_view_scene_move(scene, mjMOUSE_MOVE_V, dx, dy);
  // The wheel zooms.
  if (m.scroll != 0) us_view_scene_move(scene, mjMOUSE_ZOOM, 0, -0.05 * m.scroll);
  l->dirty |= turn || shift || m.scroll != 0;
  l->mouse = m;
}

static UsStatus handle_pad(Live* l) {
  UsPad before = l->pad;
  if (!us_window_pad(l->window, &l->pad)) return US_OK;
  if (l->pad.a && !before.a) US_TRY(press(l, KEY_keep));
  if (l->pad.b && !before.b) US_TRY(press(l, KEY_undo));
  return US_OK;
}

// ---- time ----

// Goes on by one shown state; 0 when there is nothing to go on with.
static UsStatus tick(Live* l, int* moved) {
  UsShow* s = l->show;
  *moved = 1;
  // States inside the step that was played come first.
  if (!l->single && l->inner + 1 < s->inner) {
    l->inner++;
    return US_OK;
  }
  // A deliberate task waits until its user acts.
  int acts = drive(l);
  // So does an episode that is recorded, which begins with the first move.
  UsTeleop* t = l->config.teleop;
  const int waits = is_deliberate(l) || (t && !us_teleop_has_begun(t));
  *moved = !s->over && (!waits || acts || l->single);
  if (!*moved) return US_OK;
  // The next env step, shown from its first state.
  US_TRY(us_show_step(s, l->driven));
  if (t) US_TRY(us_teleop_note(t));
  l->played++;
  l->inner = l->single ? s->inner - 1 : 0;
  if (s->over || l->notes.paused) us_show_rest(s);
  if (s->over) l->over = us_seconds();
  if (t && us_teleop_is_full(t)) US_TRY(end_episode(l, 1));
  if (l->config.steps && l->played >= l->config.steps) l->done = 1;
  return US_OK;
}

static UsStatus advance(Live* l) {
  double now = us_seconds(), dt = us_env_info(l->show->sim)->dt;
  double due = dt / l->show->inner / l->notes.speed;
  // The end of an episode is shown for a moment.
  if (l->show->over && !l->notes.paused && now > l->over + rest) {
    l->dirty = 1;
    return restart(l, l->show->seed + 1, 0);
  }
  if (l->notes.paused && !l->single) return US_OK;
  // What could not be shown in time is not made up for.
  if (now - l->next > 0.25) l->next = now;
  for (int i = 0; i < kMostTicks && !l->done && (l->single || now >= l->next); i++) {
    int moved;
    UsStatus status = tick(l, &moved);
    l->single = 0;
    US_TRY(status);
    l->dirty |= moved;
    l->next += due;
    if (!moved || l->notes.paused) break;
  }
  return US_OK;
}

static UsStatus run(Live* l) {
  double start = us_seconds(), drawn = 0;
  l->next = start;
  l->dirty = 1;
  while (!l->done) {
    if (us_interrupted()) return us_fail(US_INTERRUPTED, "stopped");
    // Draw what changed.
    if (l->dirty && us_seconds() - drawn >= least_frame) {
      drawn = us_seconds();
      US_TRY(draw(l));
    }
    // Sleep until something is due or happens.
    double wait = l->notes.paused ? idle : fmin(fmax(l->next - us_seconds(), 0), idle);
    if (!us_window_wait(l->window, l->dirty ? least_frame : wait)) return US_OK;
    // Hear keys and mouse, go on.
    for (int key; (key = us_window_key(l->window));) {
      US_TRY(press(l, (Key)key));
      l->dirty = 1;
      // Steps that are asked for one by one are played one by one, however many keys have come.
      if (l->single) US_TRY(advance(l));
    }
    handle_mouse(l);
    US_TRY(handle_pad(l));
    US_TRY(advance(l));
    if (l->config.seconds > 0 && us_seconds() - start > l->config.seconds) return US_OK;
  }
  return US_OK;
}

UsStatus us_view_live(UsShow* show, UsStage* stage, const UsLiveConfig* config) {
  // The window is as large as the stage's picture.
  char title[128];
  int height = us_stage_height(stage), width = us_stage_width(stage);
  snprintf(title, sizeof(title), "Understudy: %s", us_env_info(show->sim)->task);
  Live l = {.show = show, .stage = stage, .config = *config, .inner = show->inner - 1};
  l.notes = (UsStageNotes){.paused = config->paused, .speed = config->speed, .hint = "H: keys"};
  l.pixels = malloc((size_t)height * (size_t)width * 3);
  UsStatus status = l.pixels ? us_window_open(title, height, width, &l.window)
                             : us_fail(US_MEMORY, "out of memory for a window");
  if (status == US_OK && l.config.teleop) status = restart(&l, 0, 0);
  if (status == US_OK) status = run(&l);
  us_window_close(l.window);
  free(l.pixels);
  return status;
}
