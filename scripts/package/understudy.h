#ifndef UNDERSTUDY_H_
#define UNDERSTUDY_H_

// Understudy in one header: learned world models that stand in for MuJoCo simulators. Simple calls
// come first; README.md shows the whole loop in forty lines.
//
//   cc program.c $(pkg-config --cflags --libs understudy)
//
// The library prints nothing, ends no program, starts none but a helper for HDF5 files of others,
// and hears no signals. Calls that can fail return a UsStatus, and us_message() says what was
// wrong. Progress, lines for people and the wish to stop go through hooks of the calling thread.
//
// OpenBLAS takes its oldest kernels on a processor that it does not know (us_ops_name says which),
// several times slower: there start a program with OPENBLAS_CORETYPE=SkylakeX or Haswell, as the
// command line does by itself.
//
// Versions, read MAJOR.MINOR.PATCH. A patch changes no declaration: a program runs with every
// library whose soname it was linked with, libunderstudy.so.MAJOR.MINOR. Before 1.0 a minor version
// may change everything in these headers; of them the first part changes least, and a program that
// starts from us_*_defaults() and names the fields that it sets compiles on. New settings come with
// a default that leaves results as they were. From one version to the next stay: files (datasets,
// encoders, models), the tables of tasks and plugins, which carry US_TASK_ABI and US_PLUGIN_ABI,
// and the command line. Numbers of one version may differ from those of another in their last bits.

// ---- jobs: what the program's commands call ----
#include "datasets/collect.h"        // a policy's trajectories: us_collect
#include "datasets/encoder_jobs.h"   // encoders: us_encoder_train, us_encoder_probe
#include "datasets/training_jobs.h"  // world models: us_pretrain, us_finetune
#include "planner/compare.h"         // success rates beside each other: us_compare
#include "planner/eval.h"            // success rates: us_eval
#include "tasks/exec_task.h"         // a robot behind a pipe as a task (env/exec.h)
#include "tasks/mjcf/mjcf.h"         // any MuJoCo model as a task
#include "tasks/tasks.h"             // the built-in tasks
#include "worldmodel/base/progress.h"
#include "worldmodel/base/status.h"

// ---- environments and planners: step by step ----
#include "env/env.h"
#include "env/vary.h"
#include "planner/planner.h"

// ---- files: what jobs write ----
#include "datasets/dataset.h"
#include "datasets/edit.h"
#include "datasets/exchange.h"
#include "datasets/goal.h"
#include "datasets/provenance.h"
#include "datasets/verify.h"
#include "datasets/video.h"
#include "worldmodel/model_folder.h"
#include "worldmodel/tensor_file.h"

// ---- parts: for tasks, envs, planners and world models of your own ----
#include "datasets/features.h"
#include "datasets/pairs.h"
#include "env/env_class.h"
#include "env/plugin.h"
#include "env/sim.h"
#include "env/task.h"
#include "planner/evaluate.h"
#include "tasks/planar.h"
#include "tasks/policies.h"
#include "worldmodel/encoder.h"
#include "worldmodel/inverse.h"
#include "worldmodel/latent.h"
#include "worldmodel/ops.h"
#include "worldmodel/predictor.h"
#include "worldmodel/train.h"
#include "worldmodel/world_model.h"

#endif  // UNDERSTUDY_H_
