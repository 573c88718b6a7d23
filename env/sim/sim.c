// The table of simulator envs: open and close, frames, save and restore, variations.

#include "env/sim/sim_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/gl.h"
#include "env/plugin.h"
#include "env/scene.h"
#include "env/trap.h"

// ---- variations ----

// Gives the listed slots the models of their numbers. A slot that there is no memory for counts as
// diverged, with an error of the env.
static UsStatus sync_models(Sim* s, int n, const int* slots) {
  static const char none[] = "out of memory for the model of a variation";
  UsStatus status = US_OK;
  int changed = 0;
  for (int i = 0; i < n; i++) {
    Slot* slot = &s->slot[slots[i]];
    int set = us_variants_set(s->variants, slots[i], slot->vary);
    changed |= set > 0;
    if (set >= 0) continue;
    slot->good = slot->stale = 0;
    status = us_fail(US_MEMORY, "%s: %s", s->env.info.name, none);
    if (s->env.error.text[0]) continue;
    s->env.error = (UsEnvError){.slot = slots[i], .step = slot->steps};
    snprintf(s->env.error.text, sizeof(s->env.error.text), "%s", none);
  }
  if (changed) {
    mjb_setModels(s->slots, us_variants_models(s->variants));
    s->varied = 1;
  }
  return status;
}

// ---- look ----

// Rendering is started by the first frame, or by open where it was announced.
static UsStatus open_render(Sim* s) {
  const UsEnvInfo* i = &s->env.info;
  if (s->render) return US_OK;
  return us_render_open(i->name, s->gl, s->model, i->camera, i->height, i->width, s->env.pool,
                        &s->render);
}

UsStatus us_sim_draw(Sim* s, int n, const int* slots, const double* rows, uint8_t* pixels) {
  US_TRY(open_render(s));
  return us_render_frames(s->render, n, slots, rows ? rows : mjb_state(s->slots), s->row,
                          s->varied ? us_variants_models(s->variants) : NULL, pixels);
}

static UsStatus sim_render(UsEnv* e, int n, const int* slots, uint8_t* pixels) {
  return us_sim_draw(sim_of(e), n, slots, NULL, pixels);
}

void us_sim_read_state(const Sim* s, const double* row, double* state) {
  const mjModel* m = s->model;
  if (m->nq == 0) state[0] = 0;
  memcpy(state, row + s->qpos_at, sizeof(double) * (size_t)m->nq);
  memcpy(state + m->nq, row + s->qvel_at, sizeof(double) * (size_t)m->nv);
  memcpy(state + m->nq + m->nv, row + s->act_at, sizeof(double) * (size_t)m->na);
}

// Copies the asked-for parts of an observation out of the slot's row.
static UsStatus sim_look(UsEnv* e, int n, const int* slots, UsObs* obs) {
  Sim* s = sim_of(e);
  for (int i = 0; i < n; i++) {
    const double* row = sim_row(s, slots[i]);
    obs[i].time = row[s->time_at] - s->blank[s->time_at];
    if (obs[i].proprio) {
      memcpy(obs[i].proprio, s->slot[slots[i]].proprio, sizeof(float) * (size_t)s->task->proprio);
    }
    if (obs[i].state) us_sim_read_state(s, row, obs[i].state);
    if (obs[i].pixels) US_TRY(sim_render(e, 1, &slots[i], obs[i].pixels));
    if (obs[i].latent) US_TRY(us_sim_look_latents(s, 1, &slots[i], obs[i].latent));
  }
  return US_OK;
}

// ---- save and restore ----

// Points a slot to its piece of what slots keep.
static void place_kept(Sim* s, int slot) {
  Slot* p = &s->slot[slot];
  const int measure = s->task->measure;
  p->goal = sim_kept(s, slot);
  p->measure = p->goal + measure;
  p->memory = p->measure + measure;
  p->proprio = (float*)(p->memory + us_task_memory(s->task));
}

// A slot's bytes: its row, that of its goal, its Slot, what it keeps.
static void sim_save(UsEnv* e, int slot, void* bytes) {
  Sim* s = sim_of(e);
  const size_t row = sizeof(double) * (size_t)s->row;
  char* at = bytes;
  memcpy(at, sim_row(s, slot), row);
  memcpy(at + row, sim_goal(s, slot), row);
  at += 2 * row;
  Slot plain = s->slot[slot];
  plain.goal = plain.measure = plain.memory = NULL;  // where they lie is this env's
  plain.proprio = NULL;
  memcpy(at, &plain, sizeof(Slot));
  memcpy(at + sizeof(Slot), sim_kept(s, slot), sizeof(double) * (size_t)s->keeps);
}

static void sim_restore(UsEnv* e, int slot, const void* bytes) {
  Sim* s = sim_of(e);
  const size_t row = sizeof(double) * (size_t)s->row;
  const char* at = bytes;
  memcpy(sim_row(s, slot), at, row);
  memcpy(sim_goal(s, slot), at + row, row);
  at += 2 * row;
  memcpy(&s->slot[slot], at, sizeof(Slot));
  memcpy(sim_kept(s, slot), at + sizeof(Slot), sizeof(double) * (size_t)s->keeps);
  place_kept(s, slot);
  us_sim_forget(s, 1, &slot);
  sync_models(s, 1, &slot);
}

// As save and restore, without the way through bytes.
static void sim_fork(UsEnv* e, int slot, int n, const int* targets) {
  Sim* s = sim_of(e);
  const size_t row = sizeof(double) * (size_t)s->row;
  for (int i = 0; i < n; i++) {
    if (targets[i] == slot) continue;
    memcpy(sim_row(s, targets[i]), sim_row(s, slot), row);
    memcpy(sim_goal(s, targets[i]), sim_goal(s, slot), row);
    s->slot[targets[i]] = s->slot[slot];
    memcpy(sim_kept(s, targets[i]), sim_kept(s, slot), sizeof(double) * (size_t)s->keeps);
    place_kept(s, targets[i]);
  }
  us_sim_forget(s, n, targets);
  sync_models(s, n, targets);
}

// ---- open and close ----

// The env's own memory, measured first and placed then.
static void layout(UsArena* a, Sim* s) {
  const int n = s->env.info.slots;
  s->slot = US_TAKE(a, Slot, n);
  s->kept = US_TAKE(a, double, (size_t)n*(size_t)s->keeps);
  s->ids = US_TAKE(a, int, n > SCRATCH ? n : SCRATCH);
  s->played = US_TAKE(a, int, n);
  s->todo = US_TAKE(a, int, n);
  s->blank = US_TAKE(a, double, s->row);
  s->goal = US_TAKE(a, double, (size_t)n*(size_t)s->row);
}

static void sim_close(UsEnv* e) {
  Sim* s = sim_of(e);
  us_render_close(s->render);
  us_sim_see_free(s);
  us_latents_close(s->latents);
  mjb_deleteBatch(s->slots);
  mjb_deleteBatch(s->scratch);
  us_variants_destroy(s->variants);
  mj_deleteModel(s->model);
  us_arena_free(&s->arena);
  free(s);
}

// Makes the two batches of simulations and the memory whose size follows from their rows, and puts
// every slot where episodes begin.
static UsStatus open_batches(Sim* s, UsPool* pool) {
  const char* name = s->env.info.name;
  char found[512] = "";
  const mjBatchConfig config = {.nthread = us_pool_threads(pool)};
  s->slots = mjb_makeBatch(s->model, s->env.info.slots, &config, found, sizeof(found));
  if (s->slots) s->scratch = mjb_makeBatch(s->model, SCRATCH, &config, found, sizeof(found));
  if (!s->scratch) {
    us_trap_line(found, sizeof(found), found);
    return us_fail(US_MUJOCO, "%s: MuJoCo made no batch of simulations: %s", name, found);
  }
  // Where in a row the parts lie that observations name.
  s->row = mjb_nstate(s->slots);
  const mjtNum* start = mjb_state(s->slots);
  s->time_at = (int)(mjb_stateComponent(s->slots, mjSTATE_TIME, NULL) - start);
  s->qpos_at = (int)(mjb_stateComponent(s->slots, mjSTATE_QPOS, NULL) - start);
  s->qvel_at = (int)(mjb_stateComponent(s->slots, mjSTATE_QVEL, NULL) - start);
  s->act_at = (int)(mjb_stateComponent(s->slots, mjSTATE_ACT, NULL) - start);
  // Memory of the slots, then the models of their variations.
  s->keeps = 2 * s->task->measure + us_task_memory(s->task) + (s->task->proprio + 1) / 2;
  layout(&s->arena, s);
  US_TRY(us_arena_alloc(&s->arena));
  layout(&s->arena, s);
  s->env.save_size = sizeof(double) * (size_t)(2 * s->row + s->keeps) + sizeof(Slot);
  s->variants = us_variants_create(s->task, s->model, s->env.info.slots, SCRATCH);
  if (!s->variants) return us_fail(US_MEMORY, "%s: out of memory for variations", name);
  // MuJoCo makes one row of the start, which is then every slot's.
  const int sim = 0, key = s->model->nkey > 0 ? 0 : -1;
  if (mjb_reset(s->scratch, &sim, 1, &key, mjSTAGE_NONE) > 0) {
    us_trap_line(found, sizeof(found), mjb_error(s->scratch, sim));
    return us_fail(US_MUJOCO, "%s: MuJoCo cannot start: %s", name, found);
  }
  memcpy(s->blank, mjb_state(s->scratch), sizeof(double) * (size_t)s->row);
  for (int i = 0; i < s->env.info.slots; i++) {
    memcpy(sim_row(s, i), s->blank, sizeof(double) * (size_t)s->row);
    s->slot[i].stale = 1;
    place_kept(s, i);
    s->played[s->plays++] = i;
  }
  return us_sim_settle(s);
}

// What makes the env's latents. Sizes of frames and of blocks that were left open are those of the
// encoder and its model.
static UsStatus open_latents(Sim* s, const UsEnvConfig* config) {
  UsEnvInfo* i = &s->env.info;
  if (!config->encoder) return US_OK;
  US_TRY(us_latents_open(i->name, config->encoder, config->device, config->pool, &s->latents));
  const UsEncoderInfo* e = us_encoder_info(us_latents_encoder(s->latents));
  i->tokens = e->tokens;
  i->dim = e->dim;
  if (e->state && e->state != i->state) {
    return us_fail(US_FORMAT, "%s: expected states of %d numbers as %s has, found %d",
                   config->encoder, i->state, i->name, e->state);
  }
  if (e->height && i->height == 0) i->height = e->height;
  if (e->width && i->width == 0) i->width = e->width;
  if (e->height && (i->height != e->height || i->width != e->width)) {
    return us_fail(US_USAGE, "%s: expected frames of %d x %d as %s reads them, found %d x %d",
                   i->name, e->width, e->height, config->encoder, i->width, i->height);
  }
  // With a model blocks are its own, unless they were chosen, and its task is this one.
  const UsModel* model = us_latents_model(s->latents);
  if (!model) return US_OK;
  const UsModelInfo* from = us_model_info(model);
  if (!config->block) i->block = from->block;
  if (strcmp(from->task, i->task) == 0) return US_OK;
  return us_fail(US_FORMAT, "%s: expected a model of the task \"%s\", found \"%s\"",
                 config->encoder, i->task, from->task);
}

static UsStatus sim_open(const char* name, const char* what, const struct UsTask* const* tasks,
                         const UsEnvConfig* config, UsEnv** out) {
  // The task's table is checked and its scene compiled before anything is allocated.
  const UsTask* task = NULL;
  US_TRY(us_gl_check(config->gl));
  US_TRY(us_scene_find(name, what, tasks, &task));
  if (task->exec) return us_env_class_exec.open(name, what, tasks, config, out);
  US_TRY(us_task_check_table(NULL, task));
  mjModel* model = NULL;
  US_TRY(us_scene_compile(task, &model));
  // The camera that was asked for, where it was.
  const char* camera = config->camera ? config->camera : task->camera;
  UsStatus aimed = config->camera ? us_scene_aim(name, model, camera, config->camera_pose) : US_OK;
  Sim* s = aimed == US_OK ? calloc(1, sizeof(*s)) : NULL;
  if (aimed != US_OK) {
    mj_deleteModel(model);
    return aimed;
  }
  if (!s) {
    mj_deleteModel(model);
    return us_fail(US_MEMORY, "%s: out of memory", name);
  }
  s->env.cls = &us_env_class_sim;
  s->env.pool = config->pool;
  s->task = task;
  s->model = model;
  s->limit = config->limit;
  s->goals = config->goals;
  snprintf(s->gl, sizeof(s->gl), "%s", config->gl ? config->gl : "software");
  // What the env says of itself: the task's defaults where the config has none.
  UsEnvInfo* i = &s->env.info;
  snprintf(i->name, sizeof(i->name), "%s", name);
  snprintf(i->task, sizeof(i->task), "%s", task->name);
  snprintf(i->camera, sizeof(i->camera), "%s", camera);
  int posed = task->model ? mj_name2id(model, mjOBJ_CAMERA, camera) : -1;
  if (posed >= 0) us_scene_pose(model, posed, i->camera_pose);
  i->slots = config->slots;
  i->block = config->block ? config->block : task->block;
  i->action = task->action;
  i->proprio = task->proprio;
  int state = (int)(model->nq + model->nv + model->na);
  i->state = i->observation = state ? state : 1;
  i->measure = task->measure;
  i->judges = 1;
  i->height = config->height;
  i->width = config->width;
  i->context = 1;
  i->dt = model->opt.timestep * task->frame_skip;
  // From here on a failure closes what is there.
  UsStatus status = open_latents(s, config);
  if (i->height == 0) i->height = task->size;
  if (i->width == 0) i->width = task->size;
  if (status == US_OK) status = open_batches(s, config->pool);
  if (status == US_OK && config->pixels) status = open_render(s);
  if (status != US_OK) {
    sim_close(&s->env);
    return status;
  }
  *out = &s->env;
  return US_OK;
}

static const UsTask* sim_task(const UsEnv* e) {
  return sim_of((UsEnv*)e)->task;
}

static const mjModel* sim_model(const UsEnv* e) {
  return sim_of((UsEnv*)e)->model;
}

static void sim_select(UsEnv* e, int n, const int* slots) {
  Sim* s = sim_of(e);
  // Steps play these slots from now on.
  if (n) memcpy(s->played, slots, sizeof(int) * (size_t)n);
  s->plays = n;
}

static int sim_diverged(const UsEnv* e, int slot) {
  return !sim_of((UsEnv*)e)->slot[slot].good;
}

static UsStatus sim_draw_goal(UsEnv* e, int n, const int* slots, const uint64_t* seeds) {
  return us_sim_draw_goals(sim_of(e), n, slots, seeds, 0);
}

// The kind's table.
const UsEnvClass us_env_class_sim = {
    .kind = "sim",
    .open = sim_open,
    .close = sim_close,
    .reset = us_sim_reset,
    .step = us_sim_step,
    .rollout = us_sim_rollout,
    .observe = us_sim_observe,
    .set_goal = us_sim_set_goal,
    .draw_goal = sim_draw_goal,
    .look_goal = us_sim_look_goal,
    .spaces = us_sim_spaces,
    .view = us_sim_view,
    .judge = us_sim_judge,
    .look = sim_look,
    .score = us_sim_score,
    .render = sim_render,
    .save = sim_save,
    .restore = sim_restore,
    .fork = sim_fork,
    .task = sim_task,
    .model = sim_model,
    .select = sim_select,
    .diverged = sim_diverged,
    .policy = us_sim_act,
    .measure = us_sim_measure_states,
};

// ---- sim.h, of MuJoCo alone ----

int us_sim_factors(UsEnv* e, const UsFactor* const** list) {
  static const UsFactor* const none[] = {NULL};
  *list = none;
  return us_sim_is_mujoco(e) ? us_variants_factors(sim_of(e)->variants, list) : 0;
}

UsStatus us_sim_vary(UsEnv* e, const UsVary* v, int n, const int* slots, const float* values) {
  US_TRY(us_env_check_slots(e, n, slots));
  if (!us_sim_is_mujoco(e)) {
    if (v->count == 0) return US_OK;
    return us_fail(US_UNSUPPORTED, "%s: expected a task with factors of variation, found none",
                   e->info.name);
  }
  Sim* s = sim_of(e);
  // Factors are refused before any slot is touched.
  for (int i = 0; i < n * v->count; i++) {
    if (values[i] >= -1 && values[i] <= 1) continue;
    return us_fail(US_USAGE, "%s: expected factors of variation in -1 .. 1, found %g", e->info.name,
                   (double)values[i]);
  }
  for (int i = 0; i < n; i++) {
    Slot* slot = &s->slot[slots[i]];
    us_vary_spread(v, values + (size_t)i * (size_t)v->count, slot->vary);
    slot->stale = 1;
  }
  us_sim_forget(s, n, slots);
  // What is kept of a state depends on the model: it is read again.
  US_TRY(sync_models(s, n, slots));
  us_sim_settle(s);  // an error of MuJoCo is kept for us_env_error
  return US_OK;
}
