#ifndef UNDERSTUDY_MJCF_H_
#define UNDERSTUDY_MJCF_H_

// Any MJCF file as a task: `--task mjcf:robot.xml` of the command line, or in C
//
//   const UsTask* task;
//   if (us_mjcf_open("robot.xml", &task)) ...;
//   us_env_open("sim:<task->name>", (const UsTask* const[]){task, NULL}, &config, &env);
//
//   name      mjcf-<file's name without its end>-<8 hex digits>. The digits hash the compiled
//             model, numbers as floats, with all of its meshes, textures, height fields and names,
//             but not where its files lie: datasets and models of another model, or of an older
//             state of this one, have another name and are refused.
//   actions   one for each control, of which an actuator may have several: [-1, 1] goes over its
//             ctrlrange, and is the control itself where there is none. Without controls there is
//             one action that does nothing and is 0 in trajectories: enough to collect and to
//             pretrain on, not to plan with.
//   env step  as many physics steps as come closest to 0.05 s; blocks of 5; frames of 64 x 64
//   camera    the first of the file, or else one that frames all places that its moving parts
//             reach, from the direction of <visual><global azimuth= elevation=/>
//   light     where the model has none, a headlight of at least ambient 0.3 and diffuse 0.7
//   start     the first keyframe with all that it says, or the model's defaults, with each slide
//             and hinge moved by at most 0.01 of its scale and turned back at its limits, balls by
//             0.01 turns about any axis, free bodies by 0.01 of the extent across gravity and 0.01
//             turns about it. Then the joints go the shortest way, in shares of their scales, to
//             where connect, weld, joint and tendon constraints hold as they do at the start
//   state     qpos, qvel and act. Bodies of motion capture stay where the start has them, nothing
//             falls asleep; models with delayed actuators, bodies asleep at the start, plastic
//             deformation or plugins with a state are refused
//   measure   qpos
//   distance  root of the mean square over the joints, each as a share of its scale: the range of a
//             limited slide or hinge (at most a turn), a turn of any other hinge (taken around) and
//             of a rotation, the model's extent for any other slide and the place of a free body,
//             which counts as two joints
//   success   no joint is farther than 0.02 of its scale from the goal
//   proprio   qpos and qvel, the first US_TASK_MEASURES of them
//   policies  random (held for 1 to 7 steps, with noise), smooth (drifting); without controls: none
//
// The file may set some of this itself, or another file that includes it and adds to <custom> a
//
//   <numeric name="understudy_step" data="0.1"/>     s an env step
//   <numeric name="understudy_gain" data="0.1"/>     factor on actions, for strong motors
//   <numeric name="understudy_block" data="5"/>      env steps a block
//   <numeric name="understudy_size" data="64"/>      pixels of a side
//   <numeric name="understudy_radius" data="0.05"/>  share of the scale that counts as solved
//   <numeric name="understudy_noise" data="0.5"/>    share of the scale that starts are moved by
//   <text name="understudy_camera" data="side"/>     a camera's name; free: the automatic one
//
// Threads: opening and closing from one thread at a time; the tasks are constant.

#include "env/task.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

// Reads and compiles a file. A message names it, and what MuJoCo says where MuJoCo refuses. On
// failure *out is NULL. Free with us_mjcf_close, after the envs of the task.
US_API UsStatus us_mjcf_open(const char* path, const UsTask** out);

// NULL is fine.
US_API void us_mjcf_close(const UsTask* task);

US_C_END

#endif  // UNDERSTUDY_MJCF_H_
