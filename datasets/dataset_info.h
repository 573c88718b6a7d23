#ifndef UNDERSTUDY_DATASET_INFO_H_
#define UNDERSTUDY_DATASET_INFO_H_

// What a dataset file says of itself: its sizes, and where it comes from.

#include <stdint.h>

struct UsRobot;

typedef struct UsDatasetInfo {
  char task[64];
  char version[64];  // of the program that wrote it
  char policy[64];
  char camera[64];
  char camera_pose[256];  // see UsEnvInfo; "": the task says it
  char renderer[512];  // what drew the frames; of several versions, "A; from episode N: B"; "": not
                       // known
  uint64_t seed;
  int64_t rows;                // N
  int64_t episodes;            // E
  int height, width;           // of pixels; 0: the file has none
  int checksums;               // 1: of the frames, pixels_crc; what is created has them
  int action, proprio, state;  // A, P (0: the file has none; A 0: film), S
  int variation;               // V; 0: nothing varies
  char variation_names[512];   // of the V factors, separated by commas
  char variation_range[16];    // which the numbers were drawn from
  char diverged[16];           // what became of episodes that diverged, see collect; "": not said
  double dt;                   // s an env step
  int finished;                // 0: its run goes on or was killed; ignored by a writer
  // For a writer, and lasting as long as it: the robot that the file keeps (datasets/robots.h).
  // Nullable. A reader leaves it NULL.
  const struct UsRobot* robot;
} UsDatasetInfo;

#endif  // UNDERSTUDY_DATASET_INFO_H_
