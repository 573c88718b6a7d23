#ifndef UNDERSTUDY_VIEW_LIVE_H_
#define UNDERSTUDY_VIEW_LIVE_H_

// A show in a window, until the user closes it. view_keys.h lists the keys.

#include "scripts/view/view_stage.h"
#include "scripts/view/view_teleop.h"

typedef struct UsLiveConfig {
  int steps;         // env steps after which the window closes; 0: never
  double seconds;    // s after which it closes; 0: never
  double speed;      // 1: as fast as real time
  int paused;        // 1: begins paused
  UsTeleop* teleop;  // what is driven is recorded there. Nullable
  const char* shot;  // file of screenshots; NULL: view-<number>.png in the working folder
} UsLiveConfig;

// Runs the window. US_GL without a display, US_INTERRUPTED after Ctrl-C.
UsStatus us_view_live(UsShow* show, UsStage* stage, const UsLiveConfig* config);

#endif  // UNDERSTUDY_VIEW_LIVE_H_
