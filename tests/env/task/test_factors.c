// The general factors on a model whose actuators, controls and forces are not one to one: what a
// factor is not about stays as it is, number by number.

#include <math.h>
#include <stdio.h>

#include <mujoco/mjxmacro.h>

#include "env/factors.h"
#include "env/trap.h"
#include "tests/env/env_help.h"
#include "tests/env/mixed_model.h"

static mjModel* compile(void) {
  char found[512] = "";
  us_trap_install();
  mjSpec* spec = mj_parseXMLString(mixed_model, NULL, found, sizeof(found));
  mjModel* m = spec ? mj_compile(spec, NULL) : NULL;
  if (!m) fail_msg("%s %s", found, spec ? mjs_getError(spec) : "");
  mj_deleteSpec(spec);
  return m;
}

// The arrays of a model that each factor may change.
static const struct {
  const char *factor, *arrays;
} allowed[] = {
    {"light_level", "light_ambient light_diffuse light_specular "},
    {"light_warmth", "light_ambient light_diffuse light_specular "},
    {"light_angle", "light_dir "},
    {"colour_object", "geom_rgba "},
    {"colour_ground", "geom_rgba "},
    {"camera_x", "cam_pos cam_quat "},
    {"camera_y", "cam_pos cam_quat "},
    {"camera_roll", "cam_quat "},
    {"camera_zoom", "cam_fovy "},
    {"friction", "dof_frictionloss geom_friction pair_friction "},
    {"damping", "dof_damping dof_dampingpoly tendon_damping "},
    {"mass", "body_mass body_inertia "},
    {"strength", "actuator_gainprm actuator_biasprm "},
};

// The names of the arrays in which two models of the same sizes differ.
static void differences(const mjModel* a, const mjModel* b, char* text, size_t size) {
  MJMODEL_POINTERS_PREAMBLE(a)
  text[0] = 0;
#undef MJ_M
#define MJ_M(n) n
#define X(type, name, rows, columns)                                                       \
  if (memcmp(a->name, b->name, sizeof(type) * (size_t)a->rows * (size_t)(columns)) != 0) { \
    snprintf(text + strlen(text), size - strlen(text), "%s ", #name);                      \
  }
#define XNV X
  MJMODEL_POINTERS
#undef X
#undef XNV
}

static void unrelated_memory_stays(void** state) {
  mjModel *m = compile(), *varied = mj_copyModel(NULL, m);
  assert_true(m->nu > m->nactuator && m->nout > m->nactuator);
  for (int i = 0; us_factors[i].name; i++) {
    const UsFactor* f = &us_factors[i];
    assert_string_equal(f->name, allowed[i].factor);
    for (int k = 0; k < 2; k++) {
      char found[1024], word[64];
      mj_copyModel(varied, m);
      f->apply(varied, k ? 0.8 : -0.8);
      differences(m, varied, found, sizeof(found));
      for (char* at = found; sscanf(at, "%63s", word) == 1; at += strlen(word) + 1) {
        strcat(word, " ");
        if (!strstr(allowed[i].arrays, word)) fail_msg("%s changes %s", f->name, word);
        word[strlen(word) - 1] = 0;
      }
    }
  }
  mj_deleteModel(varied);
  mj_deleteModel(m);
}

// Forces at some place, some controls and activations, from rest but for what is damped.
static void forces(const mjModel* m, mjData* d) {
  mj_resetData(m, d);
  for (int i = 0; i < m->njnt; i++) {
    if (m->jnt_type[i] == mjJNT_HINGE) d->qpos[m->jnt_qposadr[i]] = 0.2 + 0.05 * i;
  }
  for (int i = 0; i < m->nu; i++) d->ctrl[i] = 0.3 + 0.02 * i;
  for (int i = 0; i < m->na; i++) d->act[i] = 0.4;
  d->ctrl[mixed_feedforward] = 0;  // in the units of the force
  d->qvel[mixed_damped] = 0.5;
  mj_forward(m, d);
}

// Every force grows by the factor, whatever its kind of actuator: servos of one and of three
// inputs, motors, muscles.
static void strength_scales_every_force(void** state) {
  mjModel *m = compile(), *varied = mj_copyModel(NULL, m);
  mjData *d = mj_makeData(m), *e = mj_makeData(m);
  for (int i = 0; us_factors[i].name; i++) {
    if (strcmp(us_factors[i].name, "strength") == 0) us_factors[i].apply(varied, 0.8);
  }
  forces(m, d);
  forces(varied, e);
  for (int i = 0; i < m->nout; i++) {
    double want = 1.2 * d->actuator_force[i], found = e->actuator_force[i];
    if (!(want * want > 1e-8) || !(fabs(found - want) < 1e-9 * fabs(want))) {
      fail_msg("force %d: expected %g, found %g", i, want, found);
    }
  }
  mj_deleteData(d), mj_deleteData(e);
  mj_deleteModel(varied), mj_deleteModel(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(unrelated_memory_stays),
      cmocka_unit_test(strength_scales_every_force),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
