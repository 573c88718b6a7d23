// The general factors of variation: each changes a compiled model by one number in [-1, 1].

#include "env/factors.h"

#include <math.h>

#include "worldmodel/base/status.h"

// a (n) *= scale.
static void scale_floats(float* a, int n, double scale) {
  for (int i = 0; i < n; i++) a[i] = (float)(a[i] * scale);
}

// Returns whether there was a number other than 0.
static int scale_numbers(mjtNum* a, int n, double scale) {
  int found = 0;
  for (int i = 0; i < n; i++) {
    found |= a[i] != 0;
    a[i] *= scale;
  }
  return found;
}

// ---- light ----

// Scales red, green and blue of the headlight and of all lights. scale (3)
static void scale_lights(mjModel* m, const double* scale) {
  for (int c = 0; c < 3; c++) {
    scale_floats(&m->vis.headlight.ambient[c], 1, scale[c]);
    scale_floats(&m->vis.headlight.diffuse[c], 1, scale[c]);
    scale_floats(&m->vis.headlight.specular[c], 1, scale[c]);
    for (int i = 0; i < m->nlight; i++) {
      scale_floats(&m->light_ambient[3 * i + c], 1, scale[c]);
      scale_floats(&m->light_diffuse[3 * i + c], 1, scale[c]);
      scale_floats(&m->light_specular[3 * i + c], 1, scale[c]);
    }
  }
}

// More or less of all light.
static int light_level(mjModel* m, double x) {
  double level = 1 + 0.4 * x;
  scale_lights(m, (double[]){level, level, level});
  return 1;
}

// More red and less blue, or the other way.
static int light_warmth(mjModel* m, double x) {
  scale_lights(m, (double[]){1 + 0.25 * x, 1, 1 - 0.25 * x});
  return 1;
}

// Tilts what shines in a direction; a lamp that shines all around has none.
static int light_angle(mjModel* m, double x) {
  const mjtNum axis[3] = {1, 0, 0};
  mjtNum turn[4];
  int found = 0;
  mju_axisAngle2Quat(turn, axis, 0.5 * x);
  for (int i = 0; i < m->nlight; i++) {
    const float* diffuse = m->light_diffuse + 3 * i;
    // Only what gives light at all, and in a direction.
    int beam = m->light_type[i] == mjLIGHT_DIRECTIONAL || m->light_type[i] == mjLIGHT_SPOT;
    if (!beam || !m->light_active[i] || diffuse[0] + diffuse[1] + diffuse[2] <= 0) continue;
    mjtNum old[3];
    mju_copy3(old, m->light_dir + 3 * i);
    mju_rotVecQuat(m->light_dir + 3 * i, old, turn);
    found = 1;
  }
  return found;
}

// ---- colours ----

// Rotates the hue of rgb (3) by `angle` (rad) about the grey line and moves it `tint` of the way to
// the pure colour at `angle` on the hue circle.
static void recolour(float* rgb, double angle, double tint) {
  double c = cos(angle), s = sin(angle) / sqrt(3), k = (1 - c) / 3, old[3];
  for (int i = 0; i < 3; i++) old[i] = rgb[i];
  for (int i = 0; i < 3; i++) {
    double next = old[(i + 1) % 3], last = old[(i + 2) % 3];
    double turned = old[i] * (c + k) + next * (k - s) + last * (k + s);
    double pure = 0.5 + 0.5 * cos(angle - i * 2 * mjPI / 3);
    rgb[i] = (float)fmin(fmax(turned + tint * (pure - turned), 0), 1);
  }
}

// Recolours what moves, or what stands. Returns whether there is anything that can be seen.
static int recolour_geoms(mjModel* m, int moving, double angle, double tint) {
  int found = 0;
  for (int g = 0; g < m->ngeom; g++) {
    if ((m->body_weldid[m->geom_bodyid[g]] != 0) != moving) continue;
    float* rgba = m->geom_rgba + 4 * g;
    int mat = m->geom_matid[g];
    // A geom without a colour of its own has its material's, which becomes its own first.
    int own = rgba[0] != 0.5f || rgba[1] != 0.5f || rgba[2] != 0.5f || rgba[3] != 1.0f;
    for (int i = 0; i < 4 && mat >= 0 && !own && angle != 0; i++) {
      rgba[i] = m->mat_rgba[4 * mat + i];
    }
    if (angle != 0) recolour(rgba, angle, tint);
    found |= rgba[3] > 0;
  }
  return found;
}

// Hues alone, so that what moves keeps its brightness.
static int colour_object(mjModel* m, double x) {
  return recolour_geoms(m, 1, 2.2 * x, 0);
}

static int colour_ground(mjModel* m, double x) {
  return recolour_geoms(m, 0, 2.6 * x, 0.3 * fabs(x));
}

// ---- camera ----

// Shifts what camera i shows by (right, up) in shares of the picture's height: a flat projection
// moves, a perspective one turns.
static void shift_camera(mjModel* m, int i, double right, double up) {
  mjtNum *pos = m->cam_pos + 3 * i, *quat = m->cam_quat + 4 * i, height = m->cam_fovy[i];
  // A flat projection: the camera itself moves.
  if (m->cam_projection[i] == mjPROJ_ORTHOGRAPHIC) {
    const mjtNum local[3] = {-right * height, -up * height, 0};
    mjtNum world[3];
    mju_rotVecQuat(world, local, quat);
    mju_addTo3(pos, world);
    return;
  }
  // A perspective: it turns, about its up axis and then its right one.
  mjtNum angle = height * mjPI / 180, turn[4], old[4];
  const mjtNum axis[2][3] = {{0, 1, 0}, {1, 0, 0}}, by[2] = {right * angle, -up * angle};
  for (int k = 0; k < 2; k++) {
    mju_copy4(old, quat);
    mju_axisAngle2Quat(turn, axis[k], by[k]);
    mju_mulQuat(quat, old, turn);
  }
}

static int camera_x(mjModel* m, double x) {
  for (int i = 0; i < m->ncam; i++) shift_camera(m, i, 0.03 * x, 0);
  return m->ncam > 0;
}

static int camera_y(mjModel* m, double x) {
  for (int i = 0; i < m->ncam; i++) shift_camera(m, i, 0, 0.03 * x);
  return m->ncam > 0;
}

// About the line of sight, which is the camera's own z.
static int camera_roll(mjModel* m, double x) {
  const mjtNum axis[3] = {0, 0, 1};
  mjtNum turn[4], old[4];
  mju_axisAngle2Quat(turn, axis, 0.06 * x);
  for (int i = 0; i < m->ncam; i++) {
    mju_copy4(old, m->cam_quat + 4 * i);
    mju_mulQuat(m->cam_quat + 4 * i, old, turn);
  }
  return m->ncam > 0;
}

// The field of view: an angle, or the height of a flat picture.
static int camera_zoom(mjModel* m, double x) {
  return scale_numbers(m->cam_fovy, (int)m->ncam, 1 - 0.06 * x);
}

// ---- physics ----

// Of joints, of contacts, of pairs that the scene names.
static int friction(mjModel* m, double x) {
  const double scale = exp2(x);
  int found = scale_numbers(m->dof_frictionloss, (int)m->nv, scale);
  for (int g = 0; g < m->ngeom; g++) {
    int slides = scale_numbers(m->geom_friction + 3 * g, 3, scale);
    int collides = m->geom_contype[g] || m->geom_conaffinity[g];
    found |= slides && collides && m->geom_condim[g] > 1;
  }
  for (int i = 0; i < m->npair; i++) {
    found |= scale_numbers(m->pair_friction + 5 * i, 5, scale) && m->pair_dim[i] > 1;
  }
  return found;
}

// Of joints and tendons.
static int damping(mjModel* m, double x) {
  const double scale = exp2(x);
  int found = scale_numbers(m->dof_damping, (int)m->nv, scale);
  found |= scale_numbers(m->dof_dampingpoly, (int)m->nv * mjNPOLY, scale);
  return found | scale_numbers(m->tendon_damping, (int)m->ntendon, scale);
}

// Of every body that moves, with its inertia, so that it stays the same shape.
static int mass(mjModel* m, double x) {
  const double scale = exp2(0.7 * x);
  int found = 0;
  for (int b = 1; b < m->nbody; b++) {
    if (m->body_weldid[b] == 0) continue;
    found |= scale_numbers(m->body_mass + b, 1, scale);
    scale_numbers(m->body_inertia + 3 * b, 3, scale);
  }
  return found;
}

// What of a gain's and of a bias's parameters a force is proportional to: a range of them, by type;
// types that are not listed have none.
typedef struct Range {
  int first, count;
} Range;

static const Range gains[mjGAIN_USER + 1] = {
    [mjGAIN_FIXED] = {0, 1},
    [mjGAIN_SO3] = {0, 1},
    [mjGAIN_PID] = {0, 1},  // the integral gain: the others are the bias's
    [mjGAIN_AFFINE] = {0, 3},
    [mjGAIN_MUSCLE] = {2, 2},   // the peak force, and what stands in for it
    [mjGAIN_DCMOTOR] = {1, 1},  // the motor constant, of the back-EMF too
};

static const Range biases[mjBIAS_USER + 1] = {
    [mjBIAS_AFFINE] = {0, 3},
    [mjBIAS_SO3] = {0, 3},
    [mjBIAS_MUSCLE] = {2, 2},
};

// An actuator has one row of parameters, whichever number of controls and forces it has.
static int strength(mjModel* m, double x) {
  const double scale = 1 + 0.25 * x;
  int found = 0;
  for (int i = 0; i < m->nactuator; i++) {
    if (m->actuator_plugin[i] >= 0) continue;  // its gains are the plugin's own
    Range gain = gains[m->actuator_gaintype[i]], bias = biases[m->actuator_biastype[i]];
    mjtNum* of_gain = m->actuator_gainprm + mjNGAIN * i + gain.first;
    mjtNum* of_bias = m->actuator_biasprm + mjNBIAS * i + bias.first;
    found |= scale_numbers(of_gain, gain.count, scale);
    found |= scale_numbers(of_bias, bias.count, scale);
  }
  return found;
}

const UsFactor us_factors[] = {
    {"light_level", "brightness of all light, -40 to +40 %", 0, light_level},
    {"light_warmth", "colour of all light, from bluish to reddish", 0, light_warmth},
    {"light_angle", "tilt of directional lights and spots, -29 to 29 degrees", 0, light_angle},
    {"colour_object", "hue of what moves, -126 to 126 degrees", 0, colour_object},
    {"colour_ground", "hue and tint of what does not move", 0, colour_ground},
    {"camera_x", "picture shifted to the right by -3 to 3 % of its height", 0, camera_x},
    {"camera_y", "picture shifted up by -3 to 3 % of its height", 0, camera_y},
    {"camera_roll", "camera turned about its line of sight, -3.4 to 3.4 degrees", 0, camera_roll},
    {"camera_zoom", "field of view, +6 to -6 %", 0, camera_zoom},
    {"friction", "of contacts and joints, half to double", 1, friction},
    {"damping", "of joints and tendons, half to double", 1, damping},
    {"mass", "of what moves, 0.62 to 1.62 times", 1, mass},
    {"strength", "of the actuators, -25 to +25 %", 1, strength},
    {NULL, NULL, 0, NULL},
};

// ---- for tasks ----

// How many of a geom's sizes a scale applies to, by type.
static const int scaled[mjNGEOMTYPES] = {[mjGEOM_SPHERE] = 1,
                                         [mjGEOM_CAPSULE] = 1,
                                         [mjGEOM_CYLINDER] = 1,
                                         [mjGEOM_BOX] = 2,
                                         [mjGEOM_ELLIPSOID] = 3};

void us_factor_resize(mjModel* m, const char* body, double scale) {
  int b = mj_name2id(m, mjOBJ_BODY, body);
  US_ASSERT(b >= 0);
  for (int i = 0; i < m->body_geomnum[b]; i++) {
    int g = m->body_geomadr[b] + i;
    scale_numbers(m->geom_size + 3 * g, scaled[m->geom_type[g]], scale);
  }
}
