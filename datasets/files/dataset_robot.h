#ifndef UNDERSTUDY_DATASET_ROBOT_H_
#define UNDERSTUDY_DATASET_ROBOT_H_

// What a dataset file keeps of its robot (datasets/robots.h). For its writer.

#include <hdf5.h>

#include "datasets/robots.h"

// Writes the attributes of a new file, which will lie at `path`. Returns 0 or -1.
int us_robot_attributes_write(hid_t file, const char* path, const UsRobot* r);

// Writes the zip beside `path`, where one is needed.
UsStatus us_robot_put_beside(const char* path, const UsRobot* r);

#endif  // UNDERSTUDY_DATASET_ROBOT_H_
