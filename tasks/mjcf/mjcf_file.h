#ifndef UNDERSTUDY_MJCF_FILE_H_
#define UNDERSTUDY_MJCF_FILE_H_

// From an MJCF file to a compiled model. For mjcf.c.

#include <mujoco/mujoco.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/file.h"

US_C_BEGIN

// The camera that every model gets beside its own.
#define US_MJCF_CAMERA "understudy_free"

// Compiles a file, with names for cameras that have none and a camera US_MJCF_CAMERA of the world
// (its last one, at the origin until us_mjcf_frame), and hashes what mjcf.h says. On failure *out
// is NULL; the caller owns it.
US_API UsStatus us_mjcf_compile(const char* path, mjModel** out, char hash[US_HASH_CHARS]);

// Moves US_MJCF_CAMERA, in the direction that the model's visual settings give a free camera, to
// where it sees the bodies that move, and the places that random positions within the joints'
// limits bring them to; where nothing moves, all that stands. path is for messages.
US_API UsStatus us_mjcf_frame(const char* path, mjModel* m);

US_C_END

#endif  // UNDERSTUDY_MJCF_FILE_H_
