#ifndef UNDERSTUDY_VIEW_STAGE_H_
#define UNDERSTUDY_VIEW_STAGE_H_

// The picture of a show: the simulator on the left, what the model imagines on the right, and below
// them step, distance, action and goal. Windows, films and screenshots are all of this picture.
//
// Threads: one stage at a time, from the thread that opened it.

#include "scripts/report/picture.h"
#include "scripts/view/view_scene.h"
#include "scripts/view/view_show.h"

typedef struct UsStage UsStage;

// What the picture says beside the show.
typedef struct UsStageNotes {
  int paused, help;
  double speed;      // 1: as fast as real time
  int axes;          // the action number that the first moving key acts on
  const char* hint;  // below the panels. Nullable
} UsStageNotes;

// A stage with panels `side` pixels high. bare: the panels stand below one another, without text
// but the time, for sheets. On failure *out is NULL.
UsStatus us_stage_open(const UsShow* show, int side, int bare, UsStage** out);

// NULL is fine.
void us_stage_close(UsStage* s);

// Size of the picture, both even.
int us_stage_width(const UsStage* s);
int us_stage_height(const UsStage* s);

// The simulator's panel in it, and the scene that draws it, which the stage owns.
UsBox us_stage_panel(const UsStage* s);
UsViewScene* us_stage_scene(UsStage* s);

// Draws the show at state `inner` of its last env step: pixels (height, width, 3).
UsStatus us_stage_draw(UsStage* s, const UsShow* show, int inner, const UsStageNotes* notes,
                       uint8_t* pixels);

// Writes what was drawn last as a PNG.
UsStatus us_stage_save(UsStage* s, const char* path);

#endif  // UNDERSTUDY_VIEW_STAGE_H_
