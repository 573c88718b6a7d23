#ifndef UNDERSTUDY_MJCF_MODELS_H_
#define UNDERSTUDY_MJCF_MODELS_H_

// Small MJCF files that tests write into a folder of their own.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char mjcf_cartpole[] =
    "<mujoco><option timestep='0.01'/><worldbody><geom type='plane' size='3 3 1'/>"
    "<body name='cart' pos='0 0 1'><joint name='slider' type='slide' axis='1 0 0' damping='1' "
    "range='-1 1'/><geom type='box' size='.2 .1 .1'/>"
    "<body><joint name='hinge' axis='0 1 0' damping='.1'/><geom type='capsule' size='.05' "
    "fromto='0 0 0 0 0 .6' contype='0'/></body></body></worldbody>"
    "<actuator><motor joint='slider' ctrlrange='-10 30'/></actuator></mujoco>";

// Two hinges (one limited), a ball joint, and a free box; a keyframe; an actuator without a range.
static const char mjcf_arm[] =
    "<mujoco><option timestep='0.004'/><worldbody><light pos='0 0 3'/>"
    "<geom name='floor' type='plane' size='2 2 .1'/>"
    "<body pos='0 0 .5'><joint name='shoulder' axis='0 0 1' damping='1'/>"
    "<geom type='capsule' fromto='0 0 0 .3 0 0' size='.04'/>"
    "<body pos='.3 0 0'><joint name='elbow' axis='0 1 0' range='-90 0' damping='1'/>"
    "<geom type='capsule' fromto='0 0 0 .2 0 0' size='.03'/>"
    "<body pos='.2 0 0'><joint name='wrist' type='ball' damping='.2'/>"
    "<geom type='box' size='.03 .03 .03' pos='.05 0 0'/></body></body></body>"
    "<body name='cube' pos='-.4 0 .05'><freejoint/><geom type='box' size='.05 .05 .05'/></body>"
    "</worldbody><actuator><motor joint='shoulder'/>"
    "<position joint='elbow' kp='5' ctrlrange='-1.5 0'/></actuator>"
    "<keyframe><key qpos='.5 -.5 1 0 0 0 -.4 .1 .05 1 0 0 0'/></keyframe></mujoco>";

#define MJCF_LEG(name, x, y)                                                                 \
  "<body name='" name "' pos='" x " " y " 0'><joint name='" name                             \
  "hip' axis='0 1 0' range='-40 "                                                            \
  "40'/><geom type='capsule' fromto='0 0 0 0 0 -.2' size='.03'/><body pos='0 0 -.2'><joint " \
  "name='" name                                                                              \
  "knee' axis='0 1 0' range='-70 10'/><geom type='capsule' fromto='0 0 0 0 0 -.2'"           \
  " size='.03'/></body></body>"
#define MJCF_MOTORS(name) \
  "<position joint='" name "hip' kp='20'/><position joint='" name "knee' kp='20'/>"

static const char mjcf_quad[] =
    "<mujoco><default><joint damping='1' armature='.01'/><position ctrlrange='-.6 .6'/></default>"
    "<worldbody><geom type='plane' size='0 0 1'/><body pos='0 0 .45'><freejoint/>"
    "<geom type='box' size='.25 .12 .05' mass='2'/>" MJCF_LEG("a", ".2", ".15")
        MJCF_LEG("b", ".2", "-.15") MJCF_LEG("c", "-.2", ".15")
            MJCF_LEG("d", "-.2", "-.15") "</body></worldbody><actuator>" MJCF_MOTORS("a")
                MJCF_MOTORS("b") MJCF_MOTORS("c") MJCF_MOTORS("d") "</actuator></mujoco>";

// Needs parts/wheel.xml and parts/tetra.obj beside it.
static const char mjcf_mesh[] =
    "<mujoco><compiler meshdir='parts'/><asset><mesh name='tetra' file='tetra.obj'/></asset>"
    "<worldbody><camera pos='0 -2 0' xyaxes='1 0 0 0 0 1'/><include file='parts/wheel.xml'/>"
    "</worldbody><actuator><motor joint='axle' gear='.01'/></actuator></mujoco>";
static const char mjcf_wheel[] =
    "<mujocoinclude><body><joint name='axle' axis='0 1 0' damping='.01'/><geom type='mesh' "
    "mesh='tetra'/></body></mujocoinclude>";
static const char mjcf_tetra[] =
    "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n";

// No actuators; no light and no headlight.
static const char mjcf_pendulum[] =
    "<mujoco><visual><headlight active='0'/></visual><worldbody><body><joint name='hinge' "
    "axis='0 1 0'/><geom type='capsule' fromto='0 0 0 .5 0 0' size='.05'/></body></worldbody>"
    "</mujoco>";

static const char mjcf_still[] =
    "<mujoco><worldbody><geom type='box' size='.1 .2 .3'/></worldbody></mujoco>";

// Writes a text to folder/name; returns the path, which lasts for 16 calls.
static inline const char* mjcf_put(const char* folder, const char* name, const char* text) {
  static char paths[16][1024];
  static int next;
  char* path = paths[next++ % 16];
  if (snprintf(path, sizeof(paths[0]), "%s/%s", folder, name) >= (int)sizeof(paths[0])) abort();
  FILE* f = fopen(path, "wb");
  if (!f || fwrite(text, 1, strlen(text), f) != strlen(text)) abort();
  fclose(f);
  return path;
}

// The model with a mesh and an include.
static inline const char* mjcf_put_mesh(const char* folder) {
  char parts[512];
  if (snprintf(parts, sizeof(parts), "%s/parts", folder) >= (int)sizeof(parts)) abort();
  mkdir(parts, 0777);
  mjcf_put(parts, "tetra.obj", mjcf_tetra);
  mjcf_put(parts, "wheel.xml", mjcf_wheel);
  return mjcf_put(folder, "wheel.xml", mjcf_mesh);
}

#endif  // UNDERSTUDY_MJCF_MODELS_H_
