#ifndef UNDERSTUDY_MJCF_FILE_H_
#define UNDERSTUDY_MJCF_FILE_H_

// From an MJCF file to a compiled model. For mjcf.c.

#include <mujoco/mujoco.h>

#include "worldmodel/base/file.h"

// Compiles a file in which every camera gets a name, and hashes what mjcf.h says. On failure *out
// is NULL; the caller owns it.
UsStatus us_mjcf_compile(const char* path, mjModel** out, char hash[US_HASH_CHARS]);

#endif  // UNDERSTUDY_MJCF_FILE_H_
