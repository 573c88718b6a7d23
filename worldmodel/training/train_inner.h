#ifndef UNDERSTUDY_TRAIN_INNER_H_
#define UNDERSTUDY_TRAIN_INNER_H_

// The trainer's memory, shared by its steps and its loop.

#include "worldmodel/train.h"

// A piece of a tensor that trains.
typedef struct Chunk {
  size_t offset, count;
  int flags;      // of its UsParam
  double square;  // sum of squares of its gradient
} Chunk;

typedef struct Worker {
  UsTape* tape;
  UsTape* held;           // for validation
  double sampling, busy;  // s
} Worker;

struct UsTrainer {
  UsDevice* device;  // of p
  UsPredictor* p;
  UsTrainConfig c;  // defaults filled in
  UsTrainData train, held;
  UsPool* pool;
  int shard, shards, workers, chunks, held_frames;
  Chunk* chunk;         // (chunks)
  Worker* worker;       // (workers)
  UsLosses* losses;     // (shards)
  double* held_error;   // (validate_batches, shards, 4): error and copy, next frame and last
  float* gradient;      // (shards, floats), tensor memory; the first becomes the sum
  float *m, *v, *best;  // (floats), tensor memory
  UsBatch batch, held_batch;
  int64_t step;             // steps taken
  double rate;              // of this step
  float scale;              // of this step's gradient, for clipping
  double elapsed;           // s of training, earlier runs included
  double best_error;        // of the open loop
  int worse;                // validations since the best
  double loss, rollout;     // summed since the last line of the log
  int count;                // steps in them
  int64_t validated;        // step of the last validation; 0: none yet
  UsValidation validation;  // the last one
};

#endif  // UNDERSTUDY_TRAIN_INNER_H_
