// What is played in the simulations of a simulator env: resets, steps, rollouts and policies, and
// the measures of goals.

#include "env/sim/sim_inner.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "env/scene.h"
#include "worldmodel/base/progress.h"

// ---- the model of a slot ----

// The model that a slot runs on.
static const mjModel* model_of(const Sim* s, int slot) {
  return us_variants_models(s->variants)[slot];
}

const mjModel* us_sim_slot_model(const UsEnv* e, int slot) {
  US_ASSERT(slot >= 0 && slot < e->info.slots);
  return us_sim_is_mujoco(e) ? model_of(sim_of((UsEnv*)e), slot) : us_sim_model(e);
}

// Lets simulation i of the second batch run on the model of slots[(first + i) / samples], i < n.
static void lend_models(Sim* s, int n, const int* slots, size_t first, int samples) {
  if (!s->varied) return;
  mjb_setModels(s->scratch, us_variants_lend(s->variants, n, slots, first, samples));
}

// ---- what runs inside a simulation ----

// Whether all of x (n) are numbers of at most this size; NaN is not.
static int all_within(const mjtNum* x, int n, double most) {
  for (int i = 0; i < n; i++) {
    if (!(fabs(x[i]) <= most)) return 0;
  }
  return 1;
}

// Whether nothing has diverged since the call into MuJoCo began. measure (M)
static int is_good(const UsTask* t, const mjModel* m, const mjData* d, const double* measure) {
  static const int bad[] = {mjWARN_BADQPOS, mjWARN_BADQVEL, mjWARN_BADQACC};
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
    if (d->warning[bad[i]].number) return 0;
  }
  return all_within(d->qpos, m->nq, mjMAXVAL) && all_within(d->qvel, m->nv, mjMAXVAL) &&
         all_within(d->act, m->na, mjMAXVAL) && all_within(measure, t->measure, DBL_MAX);
}

// One env step with its position kinematics current before and after. action (A)
static void env_step(const UsTask* t, const mjModel* m, mjData* d, const float* action) {
  // Actions are clipped here, once for every task.
  float clipped[t->action];
  for (int i = 0; i < t->action; i++) clipped[i] = fminf(fmaxf(action[i], -1.0f), 1.0f);
  if (t->control) {
    t->control(m, d, clipped);
  } else {
    for (int i = 0; i < m->nu; i++) d->ctrl[i] = clipped[i];
  }
  // Positions are current again for whoever measures, without a whole forward pass.
  for (int i = 0; i < t->frame_skip; i++) mj_step(m, d);
  mj_kinematics(m, d);
}

// Reads what is kept of a state outside MuJoCo.
static void settle(const Sim* s, const mjModel* m, mjData* d, Slot* slot) {
  s->task->read_measure(m, d, slot->measure);
  if (s->task->proprio) s->task->read_proprio(m, d, slot->proprio);
  slot->good = is_good(s->task, m, d, slot->measure);
  for (int i = 0; i < s->task->proprio; i++) slot->good &= isfinite(slot->proprio[i]) != 0;
  slot->stale = 0;
}

// settle as a function of a batch.
static void settle_one(const mjModel* m, mjData* d, int sim, void* arg) {
  Sim* s = arg;
  mj_kinematics(m, d);
  settle(s, m, d, &s->slot[sim]);
}

// object: of the task's object alone, where it has a rule for that.
static int solved(const Sim* s, const mjModel* m, const Slot* slot, int object) {
  const UsTask* t = s->task;
  if (!slot->has_goal || !slot->good) return 0;
  return (object && t->success_object ? t->success_object : t->success)(m, slot->measure,
                                                                        slot->goal);
}

// Minus the distance to the goal; without a goal 0.
static float reward_of(const Sim* s, const mjModel* m, const Slot* slot, const double* measure,
                       int good) {
  if (!good) return -INFINITY;
  return slot->has_goal ? (float)-s->task->distance(m, measure, slot->goal) : 0.0f;
}

UsStatus us_sim_settle(Sim* s) {
  int n = 0;
  for (int i = 0; i < s->env.info.slots; i++) {
    if (s->slot[i].stale) s->ids[n++] = i;
  }
  // All stale slots in one call; when MuJoCo raises an error, those that were not reached count as
  // diverged.
  int bad = us_sim_run(s, s->slots, n, s->ids, settle_one, s, 0);
  if (bad < 0) return US_OK;
  for (int i = 0; i < s->env.info.slots; i++) {
    if (s->slot[i].stale) s->slot[i].good = s->slot[i].stale = 0;
  }
  return us_sim_failed(s, s->slots, bad, bad, s->slot[bad].now);
}

// ---- reset ----

// The start of an episode in one simulation: MuJoCo's start, then the task's draw.
static void reset_one(const mjModel* m, mjData* d, int sim, void* arg) {
  Sim* s = arg;
  Slot* slot = &s->slot[sim];
  UsRng rng = us_rng(slot->seed, US_RNG_RESET, 0, 0, 0);
  us_scene_start(m, d);
  s->task->reset(m, d, &rng);
  mj_kinematics(m, d);
  settle(s, m, d, slot);
}

void us_sim_reset(UsEnv* e, const uint8_t* mask, const uint64_t* seeds) {
  Sim* s = sim_of(e);
  int n = 0;
  for (int i = 0; i < e->info.slots; i++) {
    if (mask && !mask[i]) continue;
    // A fresh slot, which keeps the variation it was put into, and its place for what it keeps.
    Slot* slot = &s->slot[i];
    slot->seed = seeds[i];
    slot->steps = slot->now = slot->has_goal = slot->good = 0;
    slot->stale = 1;
    memset(sim_kept(s, i), 0, sizeof(double) * (size_t)s->keeps);
    memcpy(sim_row(s, i), s->blank, sizeof(double) * (size_t)s->row);
    // A new episode ends the error of the one before.
    s->ids[n] = s->todo[n] = i;
    n++;
    if (s->env.error.slot == i) s->env.error.text[0] = 0;
  }
  int bad = us_sim_run(s, s->slots, n, s->ids, reset_one, s, 1);
  if (bad >= 0) {
    // The episode that failed keeps the row where episodes begin.
    us_sim_failed(s, s->slots, bad, bad, 0);
    us_sim_settle(s);
  }
  // Its error is kept for us_env_error.
  if (s->goals) us_sim_draw_goals(s, n, s->todo, seeds, 1);
}

// ---- step ----

typedef struct Step {
  Sim* sim;
  const float* actions;  // (N, K, A)
  const UsStep* out;
} Step;

// One block in one simulation, env step by env step, until it ends or diverges.
static void step_one(const mjModel* m, mjData* d, int sim, void* arg) {
  const Step* c = arg;
  const Sim* s = c->sim;
  const int k_max = s->env.info.block, action = s->env.info.action;
  Slot* slot = &c->sim->slot[sim];
  slot->stale = 1;
  mj_kinematics(m, d);
  for (int k = 0; k < k_max && slot->good; k++) {
    size_t at = (size_t)sim * (size_t)k_max + (size_t)k;
    slot->now = slot->steps - k_max + k;
    // Physics, then what the task sees of it.
    env_step(s->task, m, d, c->actions + at * (size_t)action);
    settle(s, m, d, slot);
    if (c->out->success) c->out->success[at] = (uint8_t)solved(s, m, slot, 0);
    if (c->out->object) c->out->object[at] = (uint8_t)solved(s, m, slot, 1);
    slot->stale = 1;
  }
  // The whole block is played: its reward is that of the last state.
  slot->stale = 0;
  if (c->out->reward) c->out->reward[sim] = reward_of(s, m, slot, slot->measure, slot->good);
  if (c->out->terminated) c->out->terminated[sim] = (uint8_t)(!slot->good || solved(s, m, slot, 0));
}

void us_sim_step(UsEnv* e, const float* actions, const UsStep* out) {
  Sim* s = sim_of(e);
  const int n = e->info.slots, k = e->info.block;
  // Slots that have diverged are not played any more.
  int plays = 0;
  for (int i = 0; i < s->plays; i++) {
    Slot* slot = &s->slot[s->played[i]];
    slot->steps += k;
    if (slot->good) s->ids[plays++] = s->played[i];
  }
  // A simulation that has diverged or that MuJoCo stops with an error keeps these values and its
  // last state.
  for (int i = 0; i < n; i++) {
    if (out->reward) out->reward[i] = -INFINITY;
    if (out->terminated) out->terminated[i] = 1;
    if (out->truncated) out->truncated[i] = (uint8_t)(s->limit && s->slot[i].steps >= s->limit);
  }
  if (out->success) memset(out->success, 0, (size_t)n * (size_t)k);
  if (out->object) memset(out->object, 0, (size_t)n * (size_t)k);
  Step call = {s, actions, out};
  // MuJoCo plays them all; outputs are written by the simulations themselves.
  int bad = us_sim_run(s, s->slots, plays, s->ids, step_one, &call, 1);
  if (bad >= 0) {
    us_sim_failed(s, s->slots, bad, bad, s->slot[bad].now);
    us_sim_settle(s);
  }
  // qpos, qvel and act of every slot as floats; a model without joints shows a 0.
  for (int i = 0; out->observation && i < n; i++) {
    const double* row = sim_row(s, i);
    const mjModel* m = s->model;
    float* x = out->observation + (size_t)i * (size_t)e->info.observation;
    if (m->nq == 0) *x = 0;
    for (int q = 0; q < m->nq; q++) *x++ = (float)row[s->qpos_at + q];
    for (int v = 0; v < m->nv; v++) *x++ = (float)row[s->qvel_at + v];
    for (int a = 0; a < m->na; a++) *x++ = (float)row[s->act_at + a];
  }
}

// ---- rollout ----

typedef struct Rollout {
  Sim* sim;
  const int* slots;
  const float* actions;  // (n, samples, horizon, K, A)
  float* rewards;        // (n, samples, horizon)
  size_t first;          // item of the scratch batch's first simulation
  int* wanted;           // 1: the calling thread wants to stop, which it alone can be asked
  int samples, horizon;
} Rollout;

// One candidate in a simulation of the second batch.
static void rollout_one(const mjModel* m, mjData* d, int sim, void* arg) {
  const Rollout* c = arg;
  const Sim* s = c->sim;
  const size_t item = c->first + (size_t)sim, a = (size_t)s->env.info.action;
  const Slot* slot = &s->slot[c->slots[item / (size_t)c->samples]];
  const float* action = c->actions + item * (size_t)c->horizon * (size_t)s->env.info.block * a;
  float* rewards = c->rewards + item * (size_t)c->horizon;
  double measure[s->task->measure];
  // The calling thread is one of those that play, and passes on that it was asked to stop.
  if (us_interrupted()) __atomic_store_n(c->wanted, 1, __ATOMIC_RELAXED);
  if (__atomic_load_n(c->wanted, __ATOMIC_RELAXED)) return;
  mj_kinematics(m, d);
  for (int h = 0; h < c->horizon; h++) {
    // A block, and the reward at its end; what diverges leaves -INFINITY behind.
    for (int k = 0; k < s->env.info.block; k++, action += a) env_step(s->task, m, d, action);
    s->task->read_measure(m, d, measure);
    if (!is_good(s->task, m, d, measure)) return;
    rewards[h] = reward_of(s, m, slot, measure, slot->good);
  }
}

void us_sim_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                    const float* actions, float* rewards) {
  Sim* s = sim_of(e);
  const size_t items = (size_t)n * (size_t)samples, row = (size_t)s->row;
  // What is not reached, or diverges, keeps this.
  for (size_t i = 0; i < items * (size_t)horizon; i++) rewards[i] = -INFINITY;
  int wanted = 0;
  Rollout call = {s, slots, actions, rewards, 0, &wanted, samples, horizon};
  for (; call.first < items && !us_interrupted(); call.first += SCRATCH) {
    // A batch of candidates: each simulation takes the row and the model of its slot.
    int now = items - call.first < SCRATCH ? (int)(items - call.first) : SCRATCH;
    for (int i = 0; i < now; i++) {
      int slot = slots[(call.first + (size_t)i) / (size_t)samples];
      memcpy(mjb_state(s->scratch) + (size_t)i * row, sim_row(s, slot), sizeof(double) * row);
      s->ids[i] = i;
    }
    lend_models(s, now, slots, call.first, samples);
    // An error of MuJoCo ends one candidate and is kept for us_env_error.
    int bad = us_sim_run(s, s->scratch, now, s->ids, rollout_one, &call, 0);
    if (bad < 0) continue;
    int slot = slots[(call.first + (size_t)bad) / (size_t)samples];
    us_sim_failed(s, s->scratch, bad, slot, s->slot[slot].steps);
  }
}

// ---- observe ----

// Writes state (S) into a row that is otherwise at its start.
static void write_state(const Sim* s, double* row, const double* state) {
  const mjModel* m = s->model;
  memcpy(row, s->blank, sizeof(double) * (size_t)s->row);
  memcpy(row + s->qpos_at, state, sizeof(double) * (size_t)m->nq);
  memcpy(row + s->qvel_at, state + m->nq, sizeof(double) * (size_t)m->nv);
  memcpy(row + s->act_at, state + m->nq + m->nv, sizeof(double) * (size_t)m->na);
}

static UsStatus need_state(const UsEnv* e, int n, const UsObs* obs) {
  for (int i = 0; i < n; i++) {
    if (!obs[i].state) {
      return us_fail(US_UNSUPPORTED, "%s: expected an observation with the state, found none",
                     e->info.name);
    }
  }
  return US_OK;
}

UsStatus us_sim_observe(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  Sim* s = sim_of(e);
  US_TRY(need_state(e, n, obs));
  for (int i = 0; i < n; i++) {
    double* row = sim_row(s, slots[i]);
    Slot* slot = &s->slot[slots[i]];
    // The state is written over the start, so that nothing of the last one is left.
    write_state(s, row, obs[i].state);
    row[s->time_at] = s->blank[s->time_at] + obs[i].time;
    if (obs[i].first) slot->steps = 0;
    slot->now = slot->steps;
    slot->stale = 1;
  }
  return us_sim_settle(s);
}

// ---- measures and goals ----

typedef struct Measure {
  Sim* sim;
  const int* slots;  // the slots whose goal is set, or NULL
  double* measures;  // (n, M), without slots
  int first;
} Measure;

// Reads a measure: into a goal, or out.
static void measure_one(const mjModel* m, mjData* d, int sim, void* arg) {
  const Measure* c = arg;
  const UsTask* t = c->sim->task;
  const int at = c->first + sim;
  Slot* slot = c->slots ? &c->sim->slot[c->slots[at]] : NULL;
  mj_kinematics(m, d);
  t->read_measure(m, d, slot ? slot->goal : c->measures + (size_t)at * (size_t)t->measure);
  if (slot) slot->has_goal = 1;
}

// Measures n states: obs (n), or else states (n, S).
static UsStatus measure_states(int n, const UsObs* obs, const double* states, Measure call) {
  Sim* s = call.sim;
  const size_t width = (size_t)s->env.info.state;
  for (; call.first < n; call.first += SCRATCH) {
    int now = n - call.first < SCRATCH ? n - call.first : SCRATCH;
    for (int i = 0; i < now; i++) {
      int at = call.first + i;
      write_state(s, mjb_state(s->scratch) + (size_t)i * (size_t)s->row,
                  obs ? obs[at].state : states + (size_t)at * width);
      s->ids[i] = i;
    }
    // A goal is measured in its slot's variation, a state on its own in the task's scene.
    lend_models(s, call.slots ? now : 0, call.slots, (size_t)call.first, 1);
    int bad = us_sim_run(s, s->scratch, now, s->ids, measure_one, &call, 0);
    if (bad < 0) continue;
    int slot = call.slots ? call.slots[call.first + bad] : -1;
    return us_sim_failed(s, s->scratch, bad, slot, slot < 0 ? 0 : s->slot[slot].steps);
  }
  return US_OK;
}

UsStatus us_sim_measure_states(UsEnv* e, int n, const double* states, double* measures) {
  return measure_states(n, NULL, states, (Measure){.sim = sim_of(e), .measures = measures});
}

UsStatus us_sim_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  Sim* s = sim_of(e);
  US_TRY(need_state(e, n, obs));
  for (int i = 0; i < n; i++) write_state(s, sim_goal(s, slots[i]), obs[i].state);
  us_sim_forget(s, n, slots);
  return measure_states(n, obs, NULL, (Measure){.sim = s, .slots = slots});
}

// ---- goals that are drawn ----

typedef struct Draw {
  Sim* sim;
  const int* slots;
  const uint64_t* seeds;
  int by_slot, first;
} Draw;

// Draws a goal for the slot whose row this simulation was lent: states of the task at rest, until
// one is not solved already.
static void goal_one(const mjModel* m, mjData* d, int sim, void* arg) {
  enum { kTries = 16 };
  const Draw* c = arg;
  Sim* s = c->sim;
  const UsTask* t = s->task;
  const int at = c->first + sim, index = c->slots[at];
  const double* from = sim_row(s, index);
  const uint64_t seed = c->seeds[c->by_slot ? index : at];
  double* row = sim_goal(s, index);
  Slot* slot = &s->slot[index];
  for (int i = 0; i < kTries; i++) {
    UsRng rng = us_rng(seed, US_RNG_GOAL, (uint64_t)i, 0, 0);
    us_scene_start(m, d);
    // A task's own goal begins in the state of the episode.
    if (t->goal) mju_copy(d->qpos, from + s->qpos_at, m->nq);
    if (t->goal) mj_kinematics(m, d);
    (t->goal ? t->goal : t->reset)(m, d, &rng);
    mju_zero(d->qvel, m->nv);
    mj_kinematics(m, d);
    t->read_measure(m, d, slot->goal);
    if (!t->success(m, slot->measure, slot->goal)) break;
  }
  memcpy(row, s->blank, sizeof(double) * (size_t)s->row);
  mju_copy(row + s->qpos_at, d->qpos, m->nq);
  mju_zero(row + s->qvel_at, m->nv);
  slot->has_goal = 1;
}

UsStatus us_sim_draw_goals(Sim* s, int n, const int* slots, const uint64_t* seeds, int by_slot) {
  Draw call = {s, slots, seeds, by_slot, 0};
  us_sim_forget(s, n, slots);
  for (; call.first < n; call.first += SCRATCH) {
    int now = n - call.first < SCRATCH ? n - call.first : SCRATCH;
    for (int i = 0; i < now; i++) {
      memcpy(mjb_state(s->scratch) + (size_t)i * (size_t)s->row, s->blank,
             sizeof(double) * (size_t)s->row);
      s->ids[i] = i;
    }
    lend_models(s, now, slots, (size_t)call.first, 1);
    int bad = us_sim_run(s, s->scratch, now, s->ids, goal_one, &call, 0);
    if (bad < 0) continue;
    return us_sim_failed(s, s->scratch, bad, slots[call.first + bad], 0);
  }
  return US_OK;
}

void us_sim_score(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success) {
  Sim* s = sim_of(e);
  for (int i = 0; i < n; i++) {
    const Slot* slot = &s->slot[slots[i]];
    const mjModel* m = model_of(s, slots[i]);
    if (distance) distance[i] = -reward_of(s, m, slot, slot->measure, slot->good);
    if (success) success[i] = (uint8_t)solved(s, m, slot, 0);
  }
}

// ---- behaviour policies ----

typedef struct Act {
  Sim* sim;
  const UsPolicy* policy;
  const int* steps;
  float* actions;
} Act;

// Asks the policy in one simulation; its random stream is named by episode and step.
static void act_one(const mjModel* m, mjData* d, int sim, void* arg) {
  const Act* c = arg;
  Slot* slot = &c->sim->slot[sim];
  UsRng rng = us_rng(slot->seed, US_RNG_POLICY, 0, (uint64_t)c->steps[sim], 0);
  mj_kinematics(m, d);
  c->policy->act(m, d, &rng, slot->memory,
                 c->actions + (size_t)sim * (size_t)c->sim->env.info.action);
}

void us_sim_act(UsEnv* e, int policy, const int* steps, float* actions) {
  Sim* s = sim_of(e);
  // Slots that do not play get zeros.
  memset(actions, 0, sizeof(float) * (size_t)e->info.slots * (size_t)e->info.action);
  Act call = {s, &s->task->policies[policy], steps, actions};
  int bad = us_sim_run(s, s->slots, s->plays, s->played, act_one, &call, 0);
  if (bad >= 0) us_sim_failed(s, s->slots, bad, bad, s->slot[bad].steps);
}
