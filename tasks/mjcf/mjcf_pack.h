#ifndef UNDERSTUDY_MJCF_PACK_H_
#define UNDERSTUDY_MJCF_PACK_H_

// Between a task and the robot that data keeps of it (env/robot.h). robot.json has, beside format
// and version,
//
//   task            the task's name, which hashes the compiled model (mjcf.h)
//   understudy, mujoco   versions of the program and the engine
//   model           place of the text among the files; others are where they were to it
//   absolute        1: the text names files by absolute paths, and places are such
//   assets          how many files there are beside the text
//   settings        what was said beside the file (US_MJCF_SETTINGS)
//   camera, pose    that frames are of, and that of the automatic one (us_scene_pose)
//   ranges          of controls that go over a joint's (us_mjcf_adapt_said)
//   plugins         MuJoCo's, which the text names: name, library, its SHA-256
//
// For mjcf.c. Threads: one call at a time.

#include <mujoco/mujoco.h>

#include "env/robot.h"
#include "tasks/mjcf/mjcf.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

// What robot.json says, texts in `json`.
typedef struct UsMjcfNotes {
  cJSON* json;  // to be deleted
  char understudy[64], mujoco[64];
  UsMjcfConfig config;  // without a path
  const char *camera, *pose;
  const cJSON* ranges;  // Nullable
} UsMjcfNotes;

// Reads it, and refuses a robot whose plugins are not there; `what` is for messages. On failure
// notes->json is NULL.
US_API UsStatus us_mjcf_notes_read(const char* what, const UsRobot* r, UsMjcfNotes* notes);

// Makes the robot of a task whose file was config->path, an absolute path, with what was said
// beside it. What comes out compiles to the same model; a file that changed since it was opened is
// US_FORMAT. On failure *out is empty, which it is before.
US_API UsStatus us_mjcf_pack(const UsMjcfConfig* config, const UsTask* t, UsRobot* out);

// Says by us_log where the files at the path that a robot was read from differ from it by now.
US_API void us_mjcf_tell_changes(const char* what, const UsRobot* r);

US_C_END

#endif  // UNDERSTUDY_MJCF_PACK_H_
