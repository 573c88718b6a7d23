#ifndef UNDERSTUDY_LOSS_CURVE_H_
#define UNDERSTUDY_LOSS_CURVE_H_

// The picture of a training run: losses and held-back errors over steps, from its log.

#include "worldmodel/base/status.h"

// Draws log.jsonl of a training folder as its loss.svg. A line that is no JSON is told by us_log
// and left out.
UsStatus us_loss_curve_draw(const char* folder);

#endif  // UNDERSTUDY_LOSS_CURVE_H_
