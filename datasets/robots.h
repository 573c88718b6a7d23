#ifndef UNDERSTUDY_ROBOTS_H_
#define UNDERSTUDY_ROBOTS_H_

// The robots (env/robot.h) that datasets and model folders keep, so that `task` of a file is opened
// without a path:
//
//   UsRobot robot = {0};
//   us_data_robot("train.h5", &robot);
//   if (robot.count) us_mjcf_open_robot("train.h5", &robot, &task);
//
// A dataset has attributes of the root: robot (robot.json), robot_text (the text), where each is
// under 60 KB, robot_sha256 (us_robot_hash: the same for the same robot) and robot_path (the way
// from the dataset to the file that it was read from). Where that is not all of it, the robot lies
// beside the dataset as <task>.zip. A model folder has its <task>.zip, and robot_path in
// config.json.
//
// Threads: as for datasets, calls come from one thread at a time.

#include "env/robot.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

// Reads the robot of a dataset or a model folder into *out, which is empty. It stays empty, with
// US_OK, where there is none, and for what is no dataset or model. A zip that is gone is US_IO.
US_API UsStatus us_data_robot(const char* path, UsRobot* out);

// Whether a dataset of this robot needs its zip.
US_API int us_robot_needs_zip(const UsRobot* r);

// Writes <task>.zip into a folder.
US_API UsStatus us_robot_put(const char* folder, const UsRobot* r);

US_C_END

#endif  // UNDERSTUDY_ROBOTS_H_
