#ifndef UNDERSTUDY_MJCF_FILES_H_
#define UNDERSTUDY_MJCF_FILES_H_

// The files that MuJoCo opens while it reads and compiles a model: those of the disk, kept as they
// were read, or those of a robot, and then none of the disk. For mjcf_file.c and mjcf_pack.c.
//
// Threads: MuJoCo may open files from several threads; all else from one at a time.

#include <mujoco/mujoco.h>

#include "env/robot.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

// A file that was opened, by its absolute path.
typedef struct UsMjcfRead {
  char* name;
  char* data;  // (size), and a zero byte behind it
  size_t size;
  int taken;  // for the caller
} UsMjcfRead;

typedef struct UsMjcfFiles UsMjcfFiles;

// Reads from the disk and keeps what was read; `path` is the model's. Or, with a robot, which has
// to last, serves its files under a place that no disk has. On failure *out is NULL. Nullable: one
// of path and robot.
US_API UsStatus us_mjcf_files_open(const char* path, const UsRobot* robot, UsMjcfFiles** out);

// NULL is fine.
US_API void us_mjcf_files_close(UsMjcfFiles* f);

// What MuJoCo is to be given: the path of the model, and where it finds files.
US_API const char* us_mjcf_files_model(const UsMjcfFiles* f);
US_API const mjVFS* us_mjcf_files_vfs(const UsMjcfFiles* f);

// The text of a robot's model; NULL of the disk.
US_API const char* us_mjcf_files_text(const UsMjcfFiles* f);

// What was read so far: (count).
US_API UsMjcfRead* us_mjcf_files_read(const UsMjcfFiles* f, int* count);

// The file at an absolute path of the disk, read now if it was not; NULL: it cannot be read.
US_API UsMjcfRead* us_mjcf_files_load(UsMjcfFiles* f, const char* name);

US_C_END

#endif  // UNDERSTUDY_MJCF_FILES_H_
