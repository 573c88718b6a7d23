#ifndef UNDERSTUDY_INSPECT_ROBOT_H_
#define UNDERSTUDY_INSPECT_ROBOT_H_

// What becomes of a robot's file: its task, what each action drives, what moves, and what each
// camera sees of that.

#include "worldmodel/base/status.h"

// Prints it of `path`, with what the command line said beside it. Nullable: png, a picture of what
// the cameras see.
UsStatus us_inspect_robot(const char* path, const char* png);

#endif  // UNDERSTUDY_INSPECT_ROBOT_H_
