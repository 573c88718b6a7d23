#ifndef UNDERSTUDY_ROBOT_H_
#define UNDERSTUDY_ROBOT_H_

// A robot as data and models keep it: all that its task was made of, so that they need no path.
//
//   robot.json     what its text does not say: name of the task, settings beside the file, camera
//                  and pose, plugins by name and hash (tasks/mjcf/mjcf_pack.h writes it)
//   robot/<place>  the text, MJCF with what it includes taken in or URDF, and every file that it
//                  names: meshes, textures, height fields, skins; places are as they were to each
//                  other (what is included stays a file where files beside it are meant)
//
// A task that can be kept so has a function `robot` (task.h). Datasets and model folders keep it as
// datasets/robots.h says. As a file it is a zip, whose bytes depend on those files alone: order,
// times and rights are fixed.
//
// Ownership: a UsRobot owns what it points to. Threads: one call at a time per robot.

#include <stddef.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

// Limits of what is read: files of a robot, bytes of all of them.
enum { US_ROBOT_FILES = 1 << 14, US_ROBOT_BYTES = 1 << 30 };

typedef struct UsRobotFile {
  char* name;
  char* data;  // (size), and a zero byte behind it
  size_t size;
} UsRobotFile;

typedef struct UsRobot {
  char task[64];      // name of its task
  char* path;         // where its text was read from; NULL: not known. No part of the zip
  int count;          // 0: there is none
  UsRobotFile* file;  // (count) robot.json, the text, then the others by name
} UsRobot;

// Adds a copy of a file.
US_API UsStatus us_robot_add(UsRobot* r, const char* name, const void* data, size_t size);

// Brings the files that were added into their order and reads the task's name. Refuses, with a
// message that begins with `what`, names that lead out of a folder or occur twice, and files of
// which robot.json or the text that it names is missing.
US_API UsStatus us_robot_check(const char* what, UsRobot* r);

// Empties it. An empty one is fine.
US_API void us_robot_free(UsRobot* r);

// SHA-256 over the names and bytes of all files: the same for the same robot, wherever it was read.
US_API UsStatus us_robot_hash(const UsRobot* r, char hex[US_HASH_CHARS]);

// Writes a zip, as us_file_write does; one of the same bytes that is there is left alone.
US_API UsStatus us_robot_write(const char* path, const UsRobot* r);

// Reads a zip into r, which is empty, and checks it. Refused besides are links, what is encrypted,
// and sizes beyond the limits or that no deflate reaches; nothing is written anywhere. On failure r
// is empty.
US_API UsStatus us_robot_read(const char* path, UsRobot* r);

US_C_END

#endif  // UNDERSTUDY_ROBOT_H_
