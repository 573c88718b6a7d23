#ifndef UNDERSTUDY_MJCF_VIEW_H_
#define UNDERSTUDY_MJCF_VIEW_H_

// What a camera sees of what moves in a roll-out, by rays: the same wherever frames are drawn.
//
// Threads: one call at a time per motion.

#include "tasks/mjcf/mjcf_motion.h"

US_C_BEGIN

typedef struct UsSight {
  double changing;  // share of the picture that what moves changes within a second, a mean
  double missed;    // share of the places of what moves that lie outside or behind what stands
} UsSight;

// May raise an error of MuJoCo.
US_API UsSight us_view_see(UsMotion* s, int camera);

US_C_END

#endif  // UNDERSTUDY_MJCF_VIEW_H_
