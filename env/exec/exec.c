// The env of a robot behind a pipe: a slot is a running copy of its command, started when its first
// episode begins. All copies are asked before the first answer is waited for, so they act at once.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/env_class.h"
#include "env/exec/exec_copy.h"
#include "env/plugin.h"
#include "env/scene.h"
#include "env/sim.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/text.h"

enum { NUMBER = 26 };  // bytes of a number in a question

typedef struct Slot {
  uint64_t seed;
  int steps;  // env steps since the episode began
  int good;   // 0: its copy has failed, or never began
  int has_goal;
  int moving;       // 1: it has acted and was not told to stop
  int success;      // by its own judgement, of the present state
  double distance;  // likewise; NAN: it did not say
  double time;
} Slot;

typedef struct Exec {
  UsEnv env;
  const UsTask* task;
  const UsExec* robot;
  int limit;
  int frames;  // 1: answers bring a frame
  int plays;   // slots that play
  UsArena arena;
  Slot* slot;         // (N)
  UsExecCopy** copy;  // (N) NULL: not started
  int* played;        // (N)
  int* ids;           // (N) work
  uint8_t* asked;     // (N) work
  uint8_t* seen;      // (N) 1: `frame` is of the present state
  double* state;      // (N, S)
  double* goal;       // (N, S)
  double *from, *to;  // (M) work
  double* memory;     // (N, us_task_memory)
  uint8_t* frame;     // (N, height, width, 3)
  char* line;         // a question
  size_t room;
} Exec;

static Exec* exec_of(const UsEnv* e) {
  return (Exec*)e;
}

static double* state_of(const Exec* x, int slot) {
  return x->state + (size_t)slot * (size_t)x->robot->state;
}

static double* goal_of(const Exec* x, int slot) {
  return x->goal + (size_t)slot * (size_t)x->robot->state;
}

static uint8_t* frame_of(const Exec* x, int slot) {
  return x->frame + (size_t)slot * us_frame_bytes(x->robot->height, x->robot->width);
}

// ---- failures ----

// Keeps the first failure for us_env_error and hands it on.
static UsStatus note(Exec* x, int slot, UsStatus status) {
  if (status == US_OK) return US_OK;
  x->slot[slot].good = 0;
  if (x->env.error.text[0]) return status;
  x->env.error = (UsEnvError){.slot = slot, .step = x->slot[slot].steps};
  snprintf(x->env.error.text, sizeof(x->env.error.text), "%s", us_message());
  return status;
}

// ---- questions ----

// Appends to a question. Numbers have all their digits.
static size_t put(Exec* x, size_t at, const char* text) {
  return at + (size_t)snprintf(x->line + at, x->room - at, "%s", text);
}

static size_t put_numbers(Exec* x, size_t at, const char* key, int n, const double* v) {
  at += (size_t)snprintf(x->line + at, x->room - at, ", \"%s\": [", key);
  for (int i = 0; i < n; i++) {
    at += (size_t)snprintf(x->line + at, x->room - at, "%s%.17g", i ? ", " : "", v[i]);
  }
  return put(x, at, "]");
}

// Sends the question that stands in the line up to `at`, with a wish for a frame.
static UsStatus ask(Exec* x, int slot, size_t at, int frame) {
  at = put(x, at, frame ? ", \"frame\": true}\n" : "}\n");
  x->seen[slot] = 0;
  return note(x, slot, us_exec_ask(x->copy[slot], x->robot, x->line, at));
}

static UsStatus hear(Exec* x, int slot, double patience, int frame) {
  Slot* s = &x->slot[slot];
  UsExecAnswer a = {.state = state_of(x, slot), .frame = frame ? frame_of(x, slot) : NULL};
  US_TRY(note(x, slot, us_exec_hear(x->copy[slot], x->robot, patience, &a)));
  s->time = isnan(a.time) ? s->steps * x->robot->dt : a.time;
  s->success = a.success;
  s->distance = a.distance;
  x->seen[slot] = (uint8_t)frame;
  return US_OK;
}

// A question without numbers, and its answer.
static UsStatus demand(Exec* x, int slot, const char* what, int frame) {
  size_t at = (size_t)snprintf(x->line, x->room, "{\"do\": \"%s\"", what);
  US_TRY(ask(x, slot, at, frame));
  return hear(x, slot, 1, frame);
}

// ---- copies ----

// Starts the copies of slots that have none, all at once; the first is there since its hello.
static UsStatus start_copies(Exec* x, int n, const int* slots) {
  UsExec* robot = (UsExec*)x->robot;  // whose spare copy is taken
  UsStatus status = US_OK;
  for (int i = 0; i < n; i++) {
    int k = slots[i];
    x->asked[k] = 0;
    if (x->copy[k]) continue;
    x->copy[k] = robot->spare;
    robot->spare = NULL;
    if (x->copy[k]) continue;
    UsStatus started = note(x, k, us_exec_start(robot->command, &x->copy[k]));
    x->asked[k] = started == US_OK;
    if (status == US_OK) status = started;
  }
  // Another hello would be another robot.
  for (int i = 0; i < n; i++) {
    int k = slots[i];
    if (!x->asked[k]) continue;
    UsStatus heard = note(x, k, us_exec_hear_again(x->copy[k], robot));
    if (status == US_OK) status = heard;
  }
  return status;
}

// ---- judgement ----

// What is compared of states: the numbers with a tolerance, in units of it; without any, all.
static void measure_state(const UsExec* r, const double* state, double* out) {
  for (int i = 0; i < r->state; i++) {
    if (!r->rated) *out++ = state[i];
    if (r->rated && r->tolerance[i] > 0) *out++ = state[i] / r->tolerance[i];
  }
}

static double distance_of(Exec* x, int slot) {
  const Slot* s = &x->slot[slot];
  if (!s->good) return INFINITY;
  if (!s->has_goal) return 0;
  if (x->robot->judges && !isnan(s->distance)) return s->distance;
  measure_state(x->robot, state_of(x, slot), x->from);
  measure_state(x->robot, goal_of(x, slot), x->to);
  return x->task->distance(x->task->model, x->from, x->to);
}

static int solved(Exec* x, int slot) {
  const Slot* s = &x->slot[slot];
  if (!s->good || !s->has_goal) return 0;
  if (x->robot->judges) return s->success;
  measure_state(x->robot, state_of(x, slot), x->from);
  measure_state(x->robot, goal_of(x, slot), x->to);
  return x->task->success(x->task->model, x->from, x->to);
}

// ---- reset, observe, goals ----

// Begins an episode in a slot: by its seed or, with a state, there.
static UsStatus ask_reset(Exec* x, int slot, const double* state, double time) {
  Slot* s = &x->slot[slot];
  uint32_t seed = (uint32_t)(s->seed ^ s->seed >> 32);
  size_t at = (size_t)snprintf(x->line, x->room, "{\"do\": \"reset\", \"seed\": %u", seed);
  if (state) {
    at = put_numbers(x, at, "state", x->robot->state, state);
    at += (size_t)snprintf(x->line + at, x->room - at, ", \"time\": %.17g", time);
  }
  s->moving = 0;
  return ask(x, slot, at, x->frames);
}

static void exec_reset(UsEnv* e, const uint8_t* mask, const uint64_t* seeds) {
  enum { PATIENCE = 10 };
  Exec* x = exec_of(e);
  int n = 0;
  for (int i = 0; i < e->info.slots; i++) {
    if (mask && !mask[i]) continue;
    x->slot[i] = (Slot){.seed = seeds[i], .good = 1};
    memset(x->memory + (size_t)i * (size_t)us_task_memory(x->task), 0,
           sizeof(double) * (size_t)us_task_memory(x->task));
    if (e->error.slot == i) e->error.text[0] = 0;
    x->ids[n++] = i;
  }
  if (start_copies(x, n, x->ids) != US_OK) return;  // kept for us_env_error
  for (int i = 0; i < n; i++) ask_reset(x, x->ids[i], NULL, 0);
  for (int i = 0; i < n; i++) {
    if (x->slot[x->ids[i]].good) hear(x, x->ids[i], PATIENCE, x->frames);
  }
}

static UsStatus need_state(const UsEnv* e, int n, const UsObs* obs) {
  for (int i = 0; i < n; i++) {
    if (obs[i].state) continue;
    return us_fail(US_UNSUPPORTED, "%s: expected an observation with the state, found none",
                   e->info.name);
  }
  return US_OK;
}

static UsStatus need_restore(const Exec* x) {
  if (x->robot->restores) return US_OK;
  return us_fail(
      US_UNSUPPORTED,
      "exec:%s: expected a robot that can be put into a state (\"restore\": true), found "
      "one that cannot",
      us_shown(x->robot->command));
}

// Tells a robot that judges itself what its goal is.
static UsStatus tell_goal(Exec* x, int slot) {
  if (!x->robot->judges || !x->slot[slot].has_goal) return US_OK;
  size_t at = put(x, 0, "{\"do\": \"goal\"");
  at = put_numbers(x, at, "state", x->robot->state, goal_of(x, slot));
  US_TRY(ask(x, slot, at, 0));
  return hear(x, slot, 1, 0);
}

// Puts a slot into a state, with the goal that it has.
static UsStatus place(Exec* x, int slot, const double* state, double time) {
  enum { PATIENCE = 10 };
  x->slot[slot].good = 1;
  US_TRY(start_copies(x, 1, &slot));
  US_TRY(ask_reset(x, slot, state, time));
  US_TRY(hear(x, slot, PATIENCE, x->frames));
  x->slot[slot].time = time;
  if (!x->robot->judges || !x->slot[slot].has_goal) return US_OK;
  uint8_t seen = x->seen[slot];
  US_TRY(tell_goal(x, slot));
  x->slot[slot].time = time;
  x->seen[slot] = seen;  // nothing has moved
  return US_OK;
}

static UsStatus exec_observe(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  Exec* x = exec_of(e);
  US_TRY(need_restore(x));
  US_TRY(need_state(e, n, obs));
  for (int i = 0; i < n; i++) {
    if (obs[i].first) x->slot[slots[i]].steps = 0;
    US_TRY(place(x, slots[i], obs[i].state, obs[i].time));
  }
  return US_OK;
}

static UsStatus exec_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  Exec* x = exec_of(e);
  US_TRY(need_state(e, n, obs));
  for (int i = 0; i < n; i++) {
    memcpy(goal_of(x, slots[i]), obs[i].state, sizeof(double) * (size_t)x->robot->state);
    x->slot[slots[i]].has_goal = 1;
    if (x->copy[slots[i]]) US_TRY(tell_goal(x, slots[i]));
  }
  return US_OK;
}

// ---- step ----

// Sends the action of env step k of a block; numbers that are none are the safe ones.
static void ask_act(Exec* x, int slot, const float* action, int frame) {
  const UsExec* r = x->robot;
  size_t at = put(x, 0, "{\"do\": \"act\", \"action\": [");
  for (int i = 0; i < r->action; i++) {
    double a = fmin(fmax((double)action[i], -1), 1);
    double v = isnan(action[i]) ? r->safe[i] : r->low[i] + (a + 1) / 2 * (r->high[i] - r->low[i]);
    at += (size_t)snprintf(x->line + at, x->room - at, "%s%.9g", i ? ", " : "", v);
  }
  x->slot[slot].moving = 1;
  ask(x, slot, put(x, at, "]"), frame);
}

// One env step of the slots that play and have not failed.
static void play(Exec* x, const float* actions, int k, int frame) {
  const size_t width = (size_t)x->robot->action, block = (size_t)x->env.info.block;
  for (int i = 0; i < x->plays; i++) {
    int slot = x->played[i];
    if (!x->slot[slot].good) continue;
    ask_act(x, slot, actions + ((size_t)slot * block + (size_t)k) * width, frame);
  }
  for (int i = 0; i < x->plays; i++) {
    Slot* s = &x->slot[x->played[i]];
    if (!s->good) continue;
    s->steps++;
    hear(x, x->played[i], 1, frame);
  }
}

static void exec_step(UsEnv* e, const float* actions, const UsStep* out) {
  Exec* x = exec_of(e);
  const int n = e->info.slots, block = e->info.block;
  if (out->success) memset(out->success, 0, (size_t)n * (size_t)block);
  if (out->object) memset(out->object, 0, (size_t)n * (size_t)block);
  for (int k = 0; k < block; k++) {
    play(x, actions, k, x->frames && k == block - 1);
    for (int i = 0; i < x->plays; i++) {
      size_t at = (size_t)x->played[i] * (size_t)block + (size_t)k;
      uint8_t now = (uint8_t)solved(x, x->played[i]);
      if (out->success) out->success[at] = now;
      if (out->object) out->object[at] = now;
    }
  }
  for (int i = 0; i < n; i++) {
    const Slot* s = &x->slot[i];
    if (out->reward) out->reward[i] = (float)-distance_of(x, i);
    if (out->terminated) out->terminated[i] = (uint8_t)(!s->good || solved(x, i));
    if (out->truncated) out->truncated[i] = (uint8_t)(x->limit && s->steps >= x->limit);
    for (int q = 0; out->observation && q < x->robot->state; q++) {
      out->observation[(size_t)i * (size_t)x->robot->state + (size_t)q] = (float)state_of(x, i)[q];
    }
  }
}

// ---- look ----

static UsStatus exec_render(UsEnv* e, int n, const int* slots, uint8_t* pixels) {
  Exec* x = exec_of(e);
  const size_t bytes = us_frame_bytes(e->info.height, e->info.width);
  if (bytes == 0) return us_fail(US_UNSUPPORTED, "%s: this robot has no frames", e->info.name);
  for (int i = 0; i < n; i++) {
    int slot = slots[i];
    // Frames that an answer brought are there; others are asked for, and from now on come along.
    double time = x->slot[slot].time;
    if (!x->slot[slot].good) {
      return us_fail(US_IO, "%s: expected an episode that goes on, found none", e->info.name);
    }
    if (!x->seen[slot]) US_TRY(demand(x, slot, "observe", 1));
    x->slot[slot].time = time;
    memcpy(pixels + (size_t)i * bytes, frame_of(x, slot), bytes);
  }
  return US_OK;
}

static UsStatus exec_look(UsEnv* e, int n, const int* slots, UsObs* obs) {
  Exec* x = exec_of(e);
  for (int i = 0; i < n; i++) {
    const double* state = state_of(x, slots[i]);
    obs[i].time = x->slot[slots[i]].time;
    for (int k = 0; obs[i].proprio && k < x->robot->proprio; k++) {
      obs[i].proprio[k] = (float)state[k];
    }
    if (obs[i].state) memcpy(obs[i].state, state, sizeof(double) * (size_t)x->robot->state);
    if (obs[i].pixels) US_TRY(exec_render(e, 1, &slots[i], obs[i].pixels));
    if (obs[i].latent) {
      return us_fail(US_UNSUPPORTED, "%s: a robot shows no latents", e->info.name);
    }
  }
  return US_OK;
}

static UsStatus exec_look_goal(UsEnv* e, int n, const int* slots, UsObs* obs) {
  Exec* x = exec_of(e);
  for (int i = 0; i < n; i++) {
    if (!x->slot[slots[i]].has_goal) {
      return us_fail(US_USAGE, "%s: expected a goal in slot %d, found none", e->info.name,
                     slots[i]);
    }
    if (obs[i].pixels || obs[i].latent || obs[i].proprio) {
      return us_fail(US_UNSUPPORTED, "%s: of a goal the state alone is known", e->info.name);
    }
    if (!obs[i].state) continue;
    memcpy(obs[i].state, goal_of(x, slots[i]), sizeof(double) * (size_t)x->robot->state);
  }
  return US_OK;
}

static void exec_score(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success) {
  Exec* x = exec_of(e);
  for (int i = 0; i < n; i++) {
    if (distance) distance[i] = (float)distance_of(x, slots[i]);
    if (success) success[i] = (uint8_t)solved(x, slots[i]);
  }
}

// ---- save and restore ----

// A slot's bytes: its Slot, its state, its goal.
static void exec_save(UsEnv* e, int slot, void* bytes) {
  const Exec* x = exec_of(e);
  const size_t size = sizeof(double) * (size_t)x->robot->state;
  char* at = bytes;
  memcpy(at, &x->slot[slot], sizeof(Slot));
  memcpy(at + sizeof(Slot), state_of(x, slot), size);
  memcpy(at + sizeof(Slot) + size, goal_of(x, slot), size);
}

static void exec_restore(UsEnv* e, int slot, const void* bytes) {
  Exec* x = exec_of(e);
  const size_t size = sizeof(double) * (size_t)x->robot->state;
  const char* at = bytes;
  if (need_restore(x) != US_OK) {
    note(x, slot, US_UNSUPPORTED);
    return;
  }
  memcpy(&x->slot[slot], at, sizeof(Slot));
  memcpy(state_of(x, slot), at + sizeof(Slot), size);
  memcpy(goal_of(x, slot), at + sizeof(Slot) + size, size);
  if (x->slot[slot].good) place(x, slot, state_of(x, slot), x->slot[slot].time);
}

// ---- open and close ----

static void layout(UsArena* a, Exec* x) {
  const size_t n = (size_t)x->env.info.slots, s = (size_t)x->robot->state;
  x->slot = US_TAKE(a, Slot, n);
  x->copy = US_TAKE(a, UsExecCopy*, n);
  x->played = US_TAKE(a, int, n);
  x->ids = US_TAKE(a, int, n);
  x->asked = US_TAKE(a, uint8_t, n);
  x->seen = US_TAKE(a, uint8_t, n);
  x->state = US_TAKE(a, double, n* s);
  x->goal = US_TAKE(a, double, n* s);
  x->from = US_TAKE(a, double, s);
  x->to = US_TAKE(a, double, s);
  x->memory = US_TAKE(a, double, n*(size_t)us_task_memory(x->task));
  x->frame = US_TAKE(a, uint8_t, n * us_frame_bytes(x->robot->height, x->robot->width));
  x->room = 256 + NUMBER * (s > (size_t)x->robot->action ? s : (size_t)x->robot->action);
  x->line = US_TAKE(a, char, x->room);
}

static void exec_close(UsEnv* e) {
  Exec* x = exec_of(e);
  if (x->copy) us_exec_end(x->copy, e->info.slots, x->robot->timeout);
  us_arena_free(&x->arena);
  free(x);
}

// What the config asks for and a robot cannot do.
static UsStatus check_config(const char* name, const UsExec* r, const UsEnvConfig* c) {
  if (c->slots > r->copies) {
    return us_fail(US_USAGE, "%s: expected at most %d slots, as many copies may run, found %d",
                   name, r->copies, c->slots);
  }
  if ((c->height && c->height != r->height) || (c->width && c->width != r->width)) {
    return us_fail(US_USAGE, "%s: expected frames of %d x %d, as the robot has, found %d x %d",
                   name, r->width, r->height, c->width, c->height);
  }
  if (c->camera && c->camera[0] && strcmp(c->camera, r->camera) != 0) {
    return us_fail(US_USAGE, "%s: there is no camera named %s; there are: %s", name, c->camera,
                   r->camera);
  }
  if (c->encoder) return us_fail(US_UNSUPPORTED, "%s: a robot shows no latents", name);
  if (c->goals) return us_fail(US_UNSUPPORTED, "%s: a robot draws no goals", name);
  return US_OK;
}

static UsStatus find_task(const char* name, const char* what, const UsTask* const* tasks,
                          const UsTask** out) {
  for (const UsTask* const* t = tasks; t && *t; t++) {
    if ((*t)->exec && strcmp((*t)->exec->command, what) == 0) {
      *out = *t;
      return US_OK;
    }
  }
  US_TRY(us_scene_find(name, what, tasks, out));
  if ((*out)->exec) return US_OK;
  return us_fail(US_USAGE, "%s: expected the task of a command (us_exec_open), found another",
                 name);
}

static UsStatus exec_open(const char* name, const char* what, const struct UsTask* const* tasks,
                          const UsEnvConfig* config, UsEnv** out) {
  const UsTask* task;
  US_TRY(find_task(name, what, tasks, &task));
  US_TRY(us_task_check_table(NULL, task));
  const UsExec* r = task->exec;
  US_TRY(check_config(name, r, config));
  Exec* x = calloc(1, sizeof(*x));
  if (!x) return us_fail(US_MEMORY, "%s: out of memory", name);
  x->env.cls = &us_env_class_exec;
  x->env.pool = config->pool;
  x->task = task;
  x->robot = r;
  x->limit = config->limit;
  x->frames = config->pixels && r->height > 0;
  UsEnvInfo* i = &x->env.info;
  snprintf(i->name, sizeof(i->name), "%s", name);
  snprintf(i->task, sizeof(i->task), "%s", task->name);
  snprintf(i->camera, sizeof(i->camera), "%s", r->camera);
  i->slots = config->slots;
  i->block = config->block ? config->block : task->block;
  i->action = r->action;
  i->proprio = r->proprio;
  i->state = i->observation = r->state;
  i->measure = task->measure;
  i->judges = r->rated || r->judges;
  i->height = r->height;
  i->width = r->width;
  i->context = 1;
  i->dt = r->dt;
  layout(&x->arena, x);
  UsStatus status = us_arena_alloc(&x->arena);
  if (status != US_OK) {
    free(x);
    return status;
  }
  layout(&x->arena, x);
  x->env.save_size = sizeof(Slot) + 2 * sizeof(double) * (size_t)r->state;
  for (int k = 0; k < i->slots; k++) x->played[x->plays++] = k;
  *out = &x->env;
  return US_OK;
}

// ---- sim.h ----

static const UsTask* exec_task(const UsEnv* e) {
  return exec_of(e)->task;
}

static const mjModel* exec_model(const UsEnv* e) {
  return exec_of(e)->task->model;
}

// Who does not play any more stops.
static void exec_select(UsEnv* e, int n, const int* slots) {
  Exec* x = exec_of(e);
  for (int i = 0; i < e->info.slots; i++) x->asked[i] = 0;
  for (int i = 0; i < n; i++) x->asked[slots[i]] = 1;
  for (int i = 0; i < e->info.slots; i++) {
    Slot* s = &x->slot[i];
    if (x->asked[i] || !s->moving || !s->good) continue;
    s->moving = 0;
    demand(x, i, "stop", 0);
  }
  if (n) memcpy(x->played, slots, sizeof(int) * (size_t)n);
  x->plays = n;
}

static int exec_diverged(const UsEnv* e, int slot) {
  return !exec_of(e)->slot[slot].good;
}

static void exec_policy(UsEnv* e, int policy, const int* steps, float* actions) {
  Exec* x = exec_of(e);
  const size_t width = (size_t)x->robot->action;
  memset(actions, 0, sizeof(float) * (size_t)e->info.slots * width);
  for (int i = 0; i < x->plays; i++) {
    int k = x->played[i];
    UsRng rng = us_rng(x->slot[k].seed, US_RNG_POLICY, 0, (uint64_t)steps[k], 0);
    x->task->policies[policy].act(x->task->model, NULL, &rng,
                                  x->memory + (size_t)k * (size_t)us_task_memory(x->task),
                                  actions + (size_t)k * width);
  }
}

static UsStatus exec_measure(UsEnv* e, int n, const double* states, double* measures) {
  const Exec* x = exec_of(e);
  for (int i = 0; i < n; i++) {
    measure_state(x->robot, states + (size_t)i * (size_t)x->robot->state,
                  measures + (size_t)i * (size_t)x->task->measure);
  }
  return US_OK;
}

const UsEnvClass us_env_class_exec = {
    .kind = "exec",
    .open = exec_open,
    .close = exec_close,
    .reset = exec_reset,
    .step = exec_step,
    .observe = exec_observe,
    .set_goal = exec_set_goal,
    .look_goal = exec_look_goal,
    .look = exec_look,
    .score = exec_score,
    .render = exec_render,
    .save = exec_save,
    .restore = exec_restore,
    .task = exec_task,
    .model = exec_model,
    .select = exec_select,
    .diverged = exec_diverged,
    .policy = exec_policy,
    .measure = exec_measure,
};
