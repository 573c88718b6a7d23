#ifndef UNDERSTUDY_TRAIN_INNER_H_
#define UNDERSTUDY_TRAIN_INNER_H_

// The trainer's memory, shared by its steps and its loop.

#include "worldmodel/train.h"
#include "worldmodel/training/optimiser.h"

// Where a run is: what a checkpoint holds beside its tensors, in whose metadata it stands by name.
#define TRAIN_STATE(X)                                                           \
  X(int64_t, step)      /* steps taken */                                        \
  X(double, elapsed)    /* s of training, earlier runs included */               \
  X(double, best_error) /* of the open loop */                                   \
  X(int, worse)         /* validations since the best */                         \
  X(double, loss)       /* summed since the last line of the log, as the next */ \
  X(double, rollout)                                                             \
  X(int, count)         /* steps in them */                                      \
  X(int64_t, validated) /* step of the last validation; 0: none yet */           \
  X(double, one_step)   /* of that validation, as the next */                    \
  X(double, open_loop)

typedef struct TrainState {
#define X(type, name) type name;
  TRAIN_STATE(X)
#undef X
} TrainState;

typedef struct Worker {
  UsTape* tape;
  UsTape* held;           // for validation
  double sampling, busy;  // s
} Worker;

struct UsTrainer {
  UsWorldModel* m;
  UsTrainConfig c;  // defaults filled in
  UsTrainData train, held;
  UsPool* pool;
  int wide;            // 1: the batch is one shard, of the first worker
  int shard, shards;   // samples of a shard, shards of a batch
  int workers, tapes;  // threads of the pool; those of them that compute shards
  int held_frames;
  UsOptimiser* optimiser;  // its losses: (shards, loss sums)
  Worker* worker;          // (workers)
  UsTrainStep* figures;    // (US_TRAIN_UNREAD), as they were read last
  double* held_sums;       // (validate_batches, shards, 2, horizon) errors, tensor memory
  double* held_error;      // those, read
  float* best;             // (floats), tensor memory: the weights of best_error
  UsBatch batch, held_batch;
  int validating;   // number of the held-back batch
  void* recording;  // what a step does on a wide device; NULL: not recorded
  int warm, plain;  // 1: a step was made; it is not to be recorded
  TrainState at;
};

#endif  // UNDERSTUDY_TRAIN_INNER_H_
