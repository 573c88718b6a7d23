#ifndef UNDERSTUDY_VIEW_TELEOP_H_
#define UNDERSTUDY_VIEW_TELEOP_H_

// Records what somebody drives in a show, episode by episode, into a dataset as collect writes it,
// whose policy is "teleop". Episode i begins from the seed that us_collect_seed names for it.
//
// The episode that was kept last stays in memory until the next one is kept, so that it can be
// taken back; us_teleop_close writes it. What was written before outlives a kill.
//
// Threads: that of the show.

#include "scripts/view/view_show.h"

typedef struct UsTeleopConfig {
  const char* out;
  int episodes;  // at most, of which the file has room for
  int longest;   // env steps of an episode at most; a robot's own limit may be lower
  int resume, overwrite;
  uint64_t seed;
  const char* gl;  // what renders the frames. Nullable
} UsTeleopConfig;

typedef struct UsTeleop UsTeleop;

// Opens the file for what is driven in the show. On failure *out is NULL.
UsStatus us_teleop_open(const UsTeleopConfig* config, UsShow* show, UsTeleop** out);

// The seed of the episode that comes, for us_show_reset; then us_teleop_begin notes its first row.
uint64_t us_teleop_seed(const UsTeleop* t);
UsStatus us_teleop_begin(UsTeleop* t);

// Notes the env step that us_show_step has played.
UsStatus us_teleop_note(UsTeleop* t);

// 1 when the episode has a step.
int us_teleop_has_begun(const UsTeleop* t);

// 1 when the episode is as long as it may be.
int us_teleop_is_full(const UsTeleop* t);

// Keeps the present episode; one without a step, or that diverged, is dropped. *kept: 1 if it was.
UsStatus us_teleop_keep(UsTeleop* t, int* kept);

// Drops the present episode or, where it has no step, the one that was kept last. Gives how many
// are fewer.
int us_teleop_undo(UsTeleop* t);

// Episodes that are kept, those of an earlier run included.
int64_t us_teleop_count(const UsTeleop* t);

// 1 when the file has all that it has room for.
int us_teleop_is_complete(const UsTeleop* t);

// Writes what is left, closes the file and frees t. Without any episode no file is left. NULL is
// fine.
UsStatus us_teleop_close(UsTeleop* t);

#endif  // UNDERSTUDY_VIEW_TELEOP_H_
