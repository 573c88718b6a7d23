#ifndef UNDERSTUDY_MJCF_H_
#define UNDERSTUDY_MJCF_H_

// Any MJCF or URDF file as a task: `--task mjcf:robot.xml` of the command line, or in C
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
//             ctrlrange, or that of its joint for a position servo without one, and is the control
//             itself where there is none. Then those of bodies of motion capture that are tied to
//             another by a weld or connect constraint: a step of at most 0.05 m and, for a weld, a
//             turn of at most 0.2 rad, within the box that the joints reach (mjcf_mocap.h). The
//             joints of a URDF have motors of their effort limits. Without any of these there is
//             one action that does nothing and is 0 in trajectories: enough to collect and to
//             pretrain on, not to plan with.
//   env step  as many physics steps as come closest to 0.05 s; blocks of 5; frames of 64 x 64
//   camera    the first of the file where, in a short random roll-out, what moves changes 1 % of
//   its
//             picture within a second; or else one that frames the places that what moves reaches,
//             from the direction of <visual><global azimuth= elevation=/> or, where that is hidden,
//             from one that sees more. Rays decide that, no pixels. Files and models keep its pose,
//             and env.h takes it from there
//   light     where the model has none, a headlight of at least ambient 0.3 and diffuse 0.7
//   start     the first keyframe with all that it says, or the model's defaults, with each slide
//             and hinge moved by at most 0.01 of its scale and turned back at its limits, balls by
//             0.01 turns about any axis, free bodies by 0.01 of the extent across gravity and 0.01
//             turns about it. Then the joints go the shortest way, in shares of their scales, to
//             where connect, weld, joint and tendon constraints hold as they do at the start, but
//             for those of the actions
//   state     qpos, qvel and act. Other bodies of motion capture stay where the start has them,
//             nothing falls asleep; models with delayed actuators, bodies asleep at the start,
//             plastic deformation or plugins with a state are refused
//   measure   qpos, or the joints and the places of the bodies that `measure` names
//   distance  root of the mean square over the joints, each as a share of its scale: the range of a
//             limited slide or hinge (at most a turn), a turn of any other hinge (taken around) and
//             of a rotation, the model's extent for any other slide and the place of a free body,
//             which counts as two joints; of the place of a body, the extent
//   success   no joint or body is farther than 0.02 of its scale from the goal
//   proprio   qpos and qvel
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
//   <text name="understudy_measure" data="a,hand"/>  joints and bodies that goals are about
//   <text name="understudy_hide" data="sites"/>      not drawn: sites, mocap, or names of bodies,
//                                                    geoms and sites
//
// UsMjcfConfig, or options of the same names, say so for a file that is to stay as it is.
//
// Datasets and model folders keep the robot (env/robot.h): its text with all includes, every file
// that it names, what was said beside it, camera and pose. Who opens it from there needs no path.
//
// Threads: opening and closing from one thread at a time; the tasks are constant.

#include "env/robot.h"
#include "env/task.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/settings.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

// What can be said beside a file, as worldmodel/base/settings.h describes a list; 0 and NULL leave
// it to the file.
#define US_MJCF_SETTINGS(X)                                                                    \
  X(TEXT, camera, NULL, 0, 0, RESULT, "NAME", "a camera of the file; free: the automatic one") \
  X(TEXT, hide, NULL, 0, 0, RESULT, "LIST", "not drawn: sites, mocap, or names of bodies ...") \
  X(TEXT, measure, NULL, 0, 0, RESULT, "LIST", "joints and bodies that goals are about")       \
  X(REAL, step, 0, 1e-6, 1e3, RESULT, "S", "seconds an env step (about 0.05)")                 \
  X(REAL, gain, 0, 1e-9, 1e9, RESULT, "X", "factor on actions, for strong motors (1)")

typedef struct UsMjcfConfig {
  const char* path;
  US_MJCF_SETTINGS(US_SETTING_FIELD)
} UsMjcfConfig;

extern US_API const UsSetting us_mjcf_settings[];

// Opens config->path with these settings. On failure *out is NULL.
US_API UsStatus us_mjcf_open_as(const UsMjcfConfig* config, const UsTask** out);

// Reads and compiles a file. A message names it, and what MuJoCo says where MuJoCo refuses. On
// failure *out is NULL. Free with us_mjcf_close, after the envs of the task.
US_API UsStatus us_mjcf_open(const char* path, const UsTask** out);

// Opens a robot as data keep it (datasets/robots.h), which is taken over and emptied, also on
// failure: with the settings, the camera and the pose that it was recorded with, without playing
// it. `what` is for messages. Where the file that it was read from differs by now, a line of us_log
// says so. us_mjcf_open does the same of a zip.
US_API UsStatus us_mjcf_open_robot(const char* what, UsRobot* robot, const UsTask** out);

// NULL is fine.
US_API void us_mjcf_close(const UsTask* task);

// What an action of a task of this kind drives.
typedef struct UsMjcfControl {
  char name[64];     // of the actuator, or the body that one of motion capture moves
  char what[64];     // "motor of elbow", "step of hand", ...
  double low, high;  // what -1 and 1 are
  int scaled;        // 0: the control is the action itself, as there is no range
} UsMjcfControl;

US_API void us_mjcf_control(const UsTask* task, int action, UsMjcfControl* out);

// What a camera sees in a short random roll-out, by rays.
typedef struct UsMjcfView {
  char camera[64];
  double changing;  // share of the picture that changes within a second
  double missed;    // share of the places of what moves that are outside or hidden
} UsMjcfView;

typedef struct UsMjcfViews {
  int count;
  UsMjcfView* view;  // (count) the cameras of the file, then the automatic one
  double farthest;   // the longest way of something drawn within a second, in extents
  char moving[64];   // its body
  int rows, stride;
  double* states;  // (rows, stride) mjSTATE_INTEGRATION half a second apart, of one roll-out
} UsMjcfViews;

// Free with us_mjcf_views_free. On failure *out is empty.
US_API UsStatus us_mjcf_views(const UsTask* task, UsMjcfViews* out);
US_API void us_mjcf_views_free(UsMjcfViews* v);

US_C_END

#endif  // UNDERSTUDY_MJCF_H_
