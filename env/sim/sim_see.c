// What agents see of a simulator: states, frames and features of slots and of their goals, and what
// they are told of goals that are in no slot.

#include <math.h>
#include <string.h>

#include "env/goal/spaces.h"
#include "env/sim/sim_inner.h"
#include "worldmodel/base/frame.h"

// ---- what is kept of goals ----

void us_sim_forget(Sim* s, int n, const int* slots) {
  Seen* k = &s->seen;
  for (int i = 0; k->drawn && i < n; i++) {
    const int slot = slots ? slots[i] : i;
    k->drawn[slot] = k->encoded[slot] = 0;
  }
}

void us_sim_see_free(Sim* s) {
  us_arena_free(&s->seen.arena);
}

// Memory for what is kept, when it is first asked for: measured, then placed.
static void layout(UsArena* a, const UsEnvInfo* i, Seen* k) {
  const size_t n = (size_t)i->slots, frames = n * us_frame_bytes(i->height, i->width);
  const size_t latents = n * (size_t)(i->tokens * i->dim);
  k->frames = US_TAKE(a, uint8_t, frames);
  k->goals = US_TAKE(a, uint8_t, frames);
  k->states = US_TAKE(a, double, n*(size_t)i->state);
  k->fresh = US_TAKE(a, float, latents);
  k->latents = US_TAKE(a, float, latents);
  k->encoded = US_TAKE(a, uint8_t, n);
  k->drawn = US_TAKE(a, uint8_t, n);
}

static UsStatus ready(Sim* s) {
  Seen* k = &s->seen;
  if (k->arena.base) return US_OK;
  k->arena = (UsArena){0};
  layout(&k->arena, &s->env.info, k);
  US_TRY(us_arena_alloc(&k->arena));
  layout(&k->arena, &s->env.info, k);
  return US_OK;
}

static int reads_states(const Sim* s) {
  return us_encoder_info(us_latents_encoder(s->latents))->state > 0;
}

static UsStatus need_latents(const Sim* s) {
  if (s->latents) return US_OK;
  return us_fail(
      US_UNSUPPORTED,
      "%s: expected an encoder for latents (encoder: default, or the folder of an encoder "
      "or a model), found none",
      s->env.info.name);
}

// ---- features and frames of slots ----

// Features of slots, or of their goals, (n, G, D); n is at most N.
static UsStatus encode(Sim* s, int n, const int* slots, int goal, float* out) {
  const size_t width = (size_t)s->env.info.state;
  if (!reads_states(s)) {
    US_TRY(us_sim_draw(s, n, slots, goal ? s->goal : NULL, s->seen.frames));
    return us_latents_encode(s->latents, n, s->seen.frames, NULL, out);
  }
  for (int i = 0; i < n; i++) {
    const double* row = goal ? sim_goal(s, slots[i]) : sim_row(s, slots[i]);
    us_sim_read_state(s, row, s->seen.states + (size_t)i * width);
  }
  return us_latents_encode(s->latents, n, NULL, s->seen.states, out);
}

UsStatus us_sim_look_latents(Sim* s, int n, const int* slots, float* latents) {
  const size_t one = (size_t)(s->env.info.tokens * s->env.info.dim);
  US_TRY(need_latents(s));
  US_TRY(ready(s));
  for (int from = 0; from < n; from += s->env.info.slots) {
    int count = n - from < s->env.info.slots ? n - from : s->env.info.slots;
    US_TRY(encode(s, count, slots + from, 0, latents + (size_t)from * one));
  }
  return US_OK;
}

// ---- goals ----

// Sees to it that frames or, with `latents`, features of the goals of slots are there that have
// one.
static UsStatus keep_goals(Sim* s, int n, const int* slots, int latents) {
  Seen* k = &s->seen;
  const UsEnvInfo* info = &s->env.info;
  const size_t one = (size_t)(info->tokens * info->dim);
  const size_t image = us_frame_bytes(info->height, info->width);
  uint8_t* known = latents ? k->encoded : k->drawn;
  int count = 0;
  for (int i = 0; i < n; i++) {
    if (known[slots[i]] || !s->slot[slots[i]].has_goal) continue;
    known[slots[i]] = 1;
    s->todo[count++] = slots[i];
  }
  if (count == 0) return US_OK;
  UsStatus status = latents ? encode(s, count, s->todo, 1, k->fresh)
                            : us_sim_draw(s, count, s->todo, s->goal, k->frames);
  for (int i = 0; i < count; i++) {
    const size_t to = (size_t)s->todo[i], from = (size_t)i;
    if (latents) memcpy(k->latents + to * one, k->fresh + from * one, one * sizeof(float));
    if (!latents) memcpy(k->goals + to * image, k->frames + from * image, image);
    known[s->todo[i]] = status == US_OK;
  }
  return status;
}

// Copies what is kept of the goals of slots, 0 where there is none.
static void copy_goals(const Sim* s, int n, const int* slots, size_t bytes, const void* kept,
                       void* out) {
  for (int i = 0; i < n; i++) {
    char* to = (char*)out + (size_t)i * bytes;
    if (s->slot[slots[i]].has_goal) {
      memcpy(to, (const char*)kept + (size_t)slots[i] * bytes, bytes);
    } else {
      memset(to, 0, bytes);
    }
  }
}

UsStatus us_sim_look_goal(UsEnv* e, int n, const int* slots, UsObs* obs) {
  Sim* s = sim_of(e);
  const size_t one = (size_t)(e->info.tokens * e->info.dim) * sizeof(float);
  const size_t image = us_frame_bytes(e->info.height, e->info.width);
  for (int i = 0; i < n; i++) {
    UsObs* o = &obs[i];
    if (!s->slot[slots[i]].has_goal) {
      return us_fail(US_USAGE, "%s: expected a goal in slot %d, found none", e->info.name,
                     slots[i]);
    }
    if (o->proprio) return us_fail(US_UNSUPPORTED, "%s: a goal has no proprio", e->info.name);
    if (o->state) us_sim_read_state(s, sim_goal(s, slots[i]), o->state);
    if (o->latent) US_TRY(need_latents(s));
    if (o->latent || o->pixels) US_TRY(ready(s));
    if (o->latent) US_TRY(keep_goals(s, 1, &slots[i], 1));
    if (o->latent) copy_goals(s, 1, &slots[i], one, s->seen.latents, o->latent);
    if (o->pixels) US_TRY(keep_goals(s, 1, &slots[i], 0));
    if (o->pixels) copy_goals(s, 1, &slots[i], image, s->seen.goals, o->pixels);
  }
  return US_OK;
}

// ---- spaces ----

UsStatus us_sim_spaces(const UsEnv* e, UsObsKind kind, UsSpaces* out) {
  const UsEnvInfo* i = &e->info;
  if (kind == US_OBS_latent) US_TRY(need_latents(sim_of((UsEnv*)e)));
  if (kind == US_OBS_state) {
    const double most = INFINITY;
    out->observation = us_space("float64", sizeof(double), 1, i->state, 0, 0, -most, most);
    out->goal = us_space("float64", sizeof(double), 1, i->measure, 0, 0, -most, most);
  } else {
    out->observation = kind == US_OBS_pixels ? us_space_frame(i) : us_space_latent(i);
    out->goal = out->observation;
  }
  return US_OK;
}

// States, and the measures of goals.
static void view_states(Sim* s, int n, const int* slots, double* observation, double* achieved,
                        double* desired) {
  const size_t state = (size_t)s->env.info.state, m = (size_t)s->env.info.measure;
  for (int i = 0; i < n; i++) {
    const Slot* slot = &s->slot[slots[i]];
    const size_t at = (size_t)i;
    if (observation) us_sim_read_state(s, sim_row(s, slots[i]), observation + at * state);
    if (achieved) memcpy(achieved + at * m, slot->measure, m * sizeof(double));
    if (!desired) continue;
    memset(desired + at * m, 0, m * sizeof(double));
    if (slot->has_goal) memcpy(desired + at * m, slot->goal, m * sizeof(double));
  }
}

UsStatus us_sim_view(UsEnv* e, UsObsKind kind, int n, const int* slots, void* observation,
                     void* achieved, void* desired) {
  Sim* s = sim_of(e);
  const int latent = kind == US_OBS_latent;
  if (kind == US_OBS_state) {
    view_states(s, n, slots, observation, achieved, desired);
    return US_OK;
  }
  US_TRY(ready(s));
  const size_t bytes = latent ? us_space_latent(&e->info).bytes : us_space_frame(&e->info).bytes;
  void* now = observation ? observation : achieved;
  if (now) {
    US_TRY(latent ? us_sim_look_latents(s, n, slots, now) : us_sim_draw(s, n, slots, NULL, now));
  }
  if (observation && achieved) memcpy(achieved, observation, (size_t)n * bytes);
  if (!desired) return US_OK;
  US_TRY(keep_goals(s, n, slots, latent));
  copy_goals(s, n, slots, bytes, latent ? (const void*)s->seen.latents : s->seen.goals, desired);
  return US_OK;
}

UsStatus us_sim_judge(UsEnv* e, UsObsKind kind, int n, const void* achieved, const void* desired,
                      float* reward, uint8_t* success) {
  Sim* s = sim_of(e);
  if (kind == US_OBS_latent) {
    return us_latents_judge(s->latents, e->info.name, n, achieved, desired, reward, success);
  }
  if (kind == US_OBS_pixels) {
    US_TRY(need_latents(s));
    return us_latents_judge_frames(s->latents, e->info.name, n, achieved, desired, reward, success);
  }
  const double *a = achieved, *g = desired;
  for (int i = 0; i < n; i++, a += e->info.measure, g += e->info.measure) {
    int finite = 1;
    for (int k = 0; k < e->info.measure; k++) finite &= isfinite(a[k]) != 0;
    if (reward) reward[i] = finite ? (float)-s->task->distance(s->model, a, g) : -INFINITY;
    if (success) success[i] = finite && s->task->success(s->model, a, g);
  }
  return US_OK;
}
