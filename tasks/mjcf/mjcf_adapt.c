// What becomes of a file beyond what it says.

#include "tasks/mjcf/mjcf_adapt.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tasks/mjcf/mjcf_file.h"
#include "worldmodel/base/json.h"

// ---- custom numbers and texts ----

static void set_number(mjSpec* spec, const char* name, double value) {
  mjsElement* e = mjs_findElement(spec, mjOBJ_NUMERIC, name);
  mjsNumeric* n = e ? mjs_asNumeric(e) : mjs_addNumeric(spec);
  if (!e) mjs_setName(n->element, name);
  mjs_setDouble(n->data, &value, 1);
  n->size = 1;
}

static void set_text(mjSpec* spec, const char* name, const char* value) {
  mjsElement* e = mjs_findElement(spec, mjOBJ_TEXT, name);
  mjsText* t = e ? mjs_asText(e) : mjs_addText(spec);
  if (!e) mjs_setName(t->element, name);
  mjs_setString(t->data, value);
}

void us_mjcf_add_room(mjSpec* spec, const char* name, int size) {
  mjsNumeric* n = mjs_addNumeric(spec);
  mjs_setName(n->element, name);
  n->size = size;
}

const char* us_mjcf_text(const mjModel* m, const char* name) {
  int id = mj_name2id(m, mjOBJ_TEXT, name);
  return id < 0 ? NULL : m->text_data + m->text_adr[id];
}

const char* us_mjcf_next_name(const char* list, char* out) {
  static const char between[] = ", \t\r\n";
  list += strspn(list, between);
  size_t n = strcspn(list, between);
  if (n == 0) return NULL;
  snprintf(out, 64, "%.*s", (int)n, list);
  return list + n;
}

void us_mjcf_names(const mjModel* m, int type, char* out, size_t size) {
  int count = type == mjOBJ_CAMERA  ? (int)m->ncam
              : type == mjOBJ_JOINT ? (int)m->njnt
                                    : (int)m->nbody;
  out[0] = 0;
  for (int i = 0; i < count; i++) {
    const char* name = mj_id2name(m, type, i);
    size_t used = strlen(out);
    if (!name || !name[0] || strcmp(name, US_MJCF_CAMERA) == 0) continue;
    snprintf(out + used, size - used, "%s%s", used ? ", " : "", name);
  }
}

// ---- before compiling ----

// Joints of a URDF have effort limits, which MuJoCo reads as those of the force of actuators.
static void add_motors(mjSpec* spec) {
  if (mjs_firstElement(spec, mjOBJ_ACTUATOR)) return;
  for (mjsElement* e = mjs_firstElement(spec, mjOBJ_JOINT); e; e = mjs_nextElement(spec, e)) {
    const mjsJoint* j = mjs_asJoint(e);
    const char* name = mjs_getString(mjs_getName(e));
    double effort = j->actfrcrange[1];
    if ((j->type != mjJNT_HINGE && j->type != mjJNT_SLIDE) || !(effort > 0) || !name[0]) continue;
    // An action of 1 is the effort limit.
    mjsActuator* a = mjs_addActuator(spec, NULL);
    mjs_setName(a->element, name);
    mjs_setToMotor(a);
    mjs_setString(a->target, name);
    a->trntype = mjTRN_JOINT;
    a->gear[0] = effort;
    a->ctrllimited = mjLIMITED_TRUE;
    a->ctrlrange[0] = -1;
    a->ctrlrange[1] = 1;
  }
}

void us_mjcf_adapt_spec(mjSpec* spec, const UsMjcfConfig* config, int urdf) {
  if (config->step > 0) set_number(spec, "understudy_step", config->step);
  if (config->gain > 0) set_number(spec, "understudy_gain", config->gain);
  if (config->camera) set_text(spec, "understudy_camera", config->camera);
  if (config->measure) set_text(spec, "understudy_measure", config->measure);
  if (config->hide) set_text(spec, "understudy_hide", config->hide);
  if (urdf) add_motors(spec);
}

// ---- the compiled model ----

// A servo's force is kp (ctrl - length) and damping.
static int is_servo(const mjModel* m, int i) {
  double kp = m->actuator_gainprm[mjNGAIN * i];
  return m->actuator_gaintype[i] == mjGAIN_FIXED && m->actuator_biastype[i] == mjBIAS_AFFINE &&
         kp > 0 && m->actuator_biasprm[mjNBIAS * i + 1] == -kp && m->actuator_ctrlnum[i] == 1;
}

void us_mjcf_adapt_ranges(mjModel* m) {
  for (int i = 0; i < m->nactuator; i++) {
    int u = m->actuator_ctrladr[i], trn = m->actuator_trntype[i], j = m->actuator_trnid[2 * i];
    if (!is_servo(m, i) || m->actuator_ctrllimited[u]) continue;
    if (trn != mjTRN_JOINT && trn != mjTRN_JOINTINPARENT) continue;
    if (m->jnt_type[j] < mjJNT_SLIDE || !m->jnt_limited[j]) continue;
    // Its control is a length, which is the joint's position in gears.
    double gear = m->actuator_gear[6 * m->actuator_outadr[i]];
    double a = gear * m->jnt_range[2 * j], b = gear * m->jnt_range[2 * j + 1];
    m->actuator_ctrllimited[u] = 1;
    m->actuator_ctrlrange[2 * u] = fmin(a, b);
    m->actuator_ctrlrange[2 * u + 1] = fmax(a, b);
  }
}

// Whether control u is that of a limited position servo of a slide or hinge.
static int is_ranged(const mjModel* m, int i, int u) {
  int trn = m->actuator_trntype[i];
  return is_servo(m, i) && m->actuator_ctrllimited[u] &&
         (trn == mjTRN_JOINT || trn == mjTRN_JOINTINPARENT);
}

cJSON* us_mjcf_adapt_said(const mjModel* m) {
  cJSON* said = NULL;
  for (int i = 0; i < m->nactuator; i++) {
    int u = m->actuator_ctrladr[i];
    if (!is_ranged(m, i, u)) continue;
    if (!said) said = cJSON_CreateArray();
    us_json_append(said, u);
    us_json_append(said, m->actuator_ctrlrange[2 * u]);
    us_json_append(said, m->actuator_ctrlrange[2 * u + 1]);
  }
  return said;
}

void us_mjcf_adapt_take(mjModel* m, const cJSON* said) {
  const cJSON* at = said ? said->child : NULL;
  for (; at && at->next && at->next->next; at = at->next->next->next) {
    double low = at->next->valuedouble, high = at->next->next->valuedouble;
    int u = at->valueint;
    if (u < 0 || u >= m->nu || !(low < high)) continue;
    m->actuator_ctrllimited[u] = 1;
    m->actuator_ctrlrange[2 * u] = low;
    m->actuator_ctrlrange[2 * u + 1] = high;
  }
}

static void hide_geom(mjModel* m, int g) {
  m->geom_matid[g] = -1;
  m->geom_rgba[4 * g + 3] = 0;
}

static void hide_site(mjModel* m, int i) {
  m->site_matid[i] = -1;
  m->site_rgba[4 * i + 3] = 0;
}

void us_mjcf_hide_body(mjModel* m, int body) {
  for (int g = 0; g < m->ngeom; g++) {
    if (m->geom_bodyid[g] == body) hide_geom(m, g);
  }
  for (int i = 0; i < m->nsite; i++) {
    if (m->site_bodyid[i] == body) hide_site(m, i);
  }
}

UsStatus us_mjcf_hide(const char* path, mjModel* m) {
  char name[64];
  const char* list = us_mjcf_text(m, "understudy_hide");
  while (list && (list = us_mjcf_next_name(list, name))) {
    int sites = strcmp(name, "sites") == 0, mocap = strcmp(name, "mocap") == 0;
    int body = mj_name2id(m, mjOBJ_BODY, name), g = mj_name2id(m, mjOBJ_GEOM, name);
    int site = mj_name2id(m, mjOBJ_SITE, name);
    if (!sites && !mocap && body < 0 && g < 0 && site < 0) {
      return us_fail(US_USAGE,
                     "%s: --hide (understudy_hide): expected sites, mocap, or names of bodies, "
                     "geoms or sites, found \"%s\"",
                     path, name);
    }
    for (int i = 0; i < m->nsite && sites; i++) hide_site(m, i);
    for (int i = 0; i < m->nbody && mocap; i++) {
      if (m->body_mocapid[i] >= 0) us_mjcf_hide_body(m, i);
    }
    if (body > 0) us_mjcf_hide_body(m, body);
    if (g >= 0) hide_geom(m, g);
    if (site >= 0) hide_site(m, site);
  }
  return US_OK;
}
