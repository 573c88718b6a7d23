// What is the same for every kind of env: opening by name, checks before a kind is asked, and what
// can be made of save, step and restore.

#include "env/env.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "env/env_class.h"

// The kinds, by the part of a name before the colon.
static const UsEnvClass* const classes[] = {&us_env_class_sim, &us_env_class_model,
                                            &us_env_class_exec};
enum { CLASSES = sizeof(classes) / sizeof(classes[0]) };

// ---- open and close ----

UsStatus us_env_open(const char* name, const struct UsTask* const* tasks, const UsEnvConfig* config,
                     UsEnv** out) {
  US_ASSERT(name && out);
  *out = NULL;
  UsEnvConfig c = config ? *config : (UsEnvConfig){0};
  // Sizes that no env can have.
  if (c.slots < 0 || c.block < 0 || c.height < 0 || c.width < 0 || c.limit < 0) {
    return us_fail(US_USAGE,
                   "%s: expected slots, block, height, width and limit of at least 0, found %d, "
                   "%d, %d, %d, %d",
                   name, c.slots, c.block, c.height, c.width, c.limit);
  }
  // What is left 0 has a default; width and height stand for each other.
  if (c.slots == 0) c.slots = 1;
  if (c.height == 0) c.height = c.width;
  if (c.width == 0) c.width = c.height;
  // The kind, which the part before the colon names, is told the part behind it.
  const char* colon = strchr(name, ':');
  const UsEnvClass* cls = NULL;
  for (int i = 0; colon && i < CLASSES; i++) {
    size_t length = strlen(classes[i]->kind);
    int named = (size_t)(colon - name) == length && !strncmp(name, classes[i]->kind, length);
    if (named) cls = classes[i];
  }
  if (!cls || !colon[1]) {
    return us_fail(US_USAGE, "%s: expected an env as sim:<task>, model:<folder> or exec:<command>",
                   name);
  }
  if (strlen(name) >= sizeof(((UsEnvInfo*)NULL)->name)) {
    return us_fail(US_USAGE, "%s: expected a name of at most %zu characters", name,
                   sizeof(((UsEnvInfo*)NULL)->name) - 1);
  }
  UsEnv* e;
  // What a kind leaves to env.c needs memory, which an open env has.
  US_TRY(cls->open(name, colon + 1, tasks, &c, &e));
  UsStatus status = us_env_ready(e);
  if (status != US_OK) {
    us_env_close(e);
    return status;
  }
  *out = e;
  return US_OK;
}

// Lays the scratch out: counts first, places then.
static void place(UsEnv* e) {
  UsEnvScratch* s = &e->scratch;
  size_t n = (size_t)e->info.slots;
  s->row = (e->save_size + 63) / 64 * 64;
  s->saved = us_arena_take(&s->arena, n, s->row);
  s->played = US_TAKE(&s->arena, float, n*(size_t)(e->info.block * e->info.action));
  s->reward = US_TAKE(&s->arena, float, n);
}

UsStatus us_env_ready(UsEnv* e) {
  if (e->scratch.saved || (e->cls->rollout && e->cls->fork)) return US_OK;
  place(e);
  US_TRY(us_arena_alloc(&e->scratch.arena));
  place(e);
  return US_OK;
}

void us_env_close(UsEnv* e) {
  if (!e) return;
  us_arena_free(&e->scratch.arena);
  e->cls->close(e);
}

// What open filled in.
const UsEnvInfo* us_env_info(const UsEnv* e) {
  return &e->info;
}

const UsEnvError* us_env_error(const UsEnv* e) {
  return e->error.text[0] ? &e->error : NULL;
}

// ---- what a kind can do ----

UsStatus us_env_need(const UsEnv* e, const char* who, unsigned needs) {
  const UsEnvClass* c = e->cls;
#define X(entry, bit, text)                                                                \
  if ((needs & US_ENV_##entry) && !c->entry) {                                             \
    return us_fail(US_UNSUPPORTED, "%s: needs %s (%s), which %s lacks", who, text, #entry, \
                   e->info.name);                                                          \
  }
  US_ENV_ENTRIES(X)
#undef X
  return US_OK;
}

// ---- checked forwarding ----

UsStatus us_env_check_slots(const UsEnv* e, int n, const int* slots) {
  if (n < 0 || (n > 0 && !slots)) {
    return us_fail(US_USAGE, "%s: expected a list of slots, found %d at %p", e->info.name, n,
                   (const void*)slots);
  }
  for (int i = 0; i < n; i++) {
    if (slots[i] >= 0 && slots[i] < e->info.slots) continue;
    return us_fail(US_USAGE, "%s: expected slots of 0 .. %d, found %d", e->info.name,
                   e->info.slots - 1, slots[i]);
  }
  return US_OK;
}

// The same of calls that cannot fail, whose slots are the programmer's.
static void assert_slots(const UsEnv* e, int n, const int* slots) {
  US_ASSERT(us_env_check_slots(e, n, slots) == US_OK);
}

// Of calls that fill or read n things at `what`.
static UsStatus check_list(const UsEnv* e, int n, const int* slots, const void* what,
                           const char* name) {
  US_TRY(us_env_check_slots(e, n, slots));
  if (n == 0 || what) return US_OK;
  return us_fail(US_USAGE, "%s: expected %s of %d slots, found NULL", e->info.name, name, n);
}

// Calls that cannot fail assert what the caller has to know; the others say it with a status.
void us_env_reset(UsEnv* e, const uint8_t* mask, const uint64_t* seeds) {
  US_ASSERT(seeds);
  e->cls->reset(e, mask, seeds);
}

void us_env_step(UsEnv* e, const float* actions, const UsStep* out) {
  US_ASSERT(actions);
  // Kinds always get a struct, whose pointers may all be NULL.
  static const UsStep nothing;
  e->cls->step(e, actions, out ? out : &nothing);
}

UsStatus us_env_observe(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  US_TRY(check_list(e, n, slots, obs, "observations"));
  return e->cls->observe(e, n, slots, obs);
}

UsStatus us_env_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  US_TRY(check_list(e, n, slots, obs, "observations"));
  return e->cls->set_goal(e, n, slots, obs);
}

UsStatus us_env_look(UsEnv* e, int n, const int* slots, UsObs* obs) {
  US_TRY(check_list(e, n, slots, obs, "observations"));
  if (!e->cls->look) return us_fail(US_UNSUPPORTED, "%s: this env shows nothing", e->info.name);
  return e->cls->look(e, n, slots, obs);
}

void us_env_score(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success) {
  assert_slots(e, n, slots);
  e->cls->score(e, n, slots, distance, success);
}

UsStatus us_env_render(UsEnv* e, int n, const int* slots, uint8_t* pixels) {
  US_TRY(check_list(e, n, slots, pixels, "pixels"));
  if (!e->cls->render) return us_fail(US_UNSUPPORTED, "%s: this env cannot render", e->info.name);
  return e->cls->render(e, n, slots, pixels);
}

size_t us_env_save_size(const UsEnv* e) {
  return e->save_size;
}

void us_env_save(UsEnv* e, int slot, void* bytes) {
  assert_slots(e, 1, &slot);
  US_ASSERT(bytes);
  e->cls->save(e, slot, bytes);
}

void us_env_restore(UsEnv* e, int slot, const void* bytes) {
  assert_slots(e, 1, &slot);
  US_ASSERT(bytes);
  e->cls->restore(e, slot, bytes);
}

// ---- what save, step and restore can do for any kind ----

void us_env_fork(UsEnv* e, int slot, int n, const int* targets) {
  assert_slots(e, 1, &slot);
  assert_slots(e, n, targets);
  if (e->cls->fork) {
    e->cls->fork(e, slot, n, targets);
    return;
  }
  US_ASSERT(e->scratch.saved);
  // Through the bytes of a saved slot, as a kind without fork has nothing else.
  void* bytes = e->scratch.saved;
  e->cls->save(e, slot, bytes);
  for (int i = 0; i < n; i++) {
    if (targets[i] != slot) e->cls->restore(e, targets[i], bytes);
  }
}

// Every slot plays one candidate at a time: N candidates in a round, whichever slots they are
// of.
static void default_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                            const float* actions, float* rewards) {
  const int count = e->info.slots;
  const size_t block = (size_t)e->info.block * (size_t)e->info.action;
  const size_t items = (size_t)n * (size_t)samples, length = (size_t)horizon * block;
  const size_t row = e->scratch.row;
  // Every slot is saved, plays candidates of others, and is put back at the end.
  char* saved = e->scratch.saved;
  float *played = e->scratch.played, *reward = e->scratch.reward;
  US_ASSERT(saved);
  for (int i = 0; i < count; i++) e->cls->save(e, i, saved + row * (size_t)i);
  const UsStep out = {.reward = reward};
  for (size_t first = 0; first < items; first += (size_t)count) {
    size_t now = items - first < (size_t)count ? items - first : (size_t)count;
    // Each slot becomes the one whose candidate it plays.
    for (size_t i = 0; i < now; i++) {
      int slot = slots[(first + i) / (size_t)samples];
      e->cls->restore(e, (int)i, saved + row * (size_t)slot);
    }
    // Slots without a candidate in the last round stand still.
    memset(played, 0, sizeof(float) * block * (size_t)count);
    for (int h = 0; h < horizon; h++) {
      for (size_t i = 0; i < now; i++) {
        memcpy(played + i * block, actions + (first + i) * length + (size_t)h * block,
               sizeof(float) * block);
      }
      // One block of all of them, and what it was worth.
      e->cls->step(e, played, &out);
      for (size_t i = 0; i < now; i++)
        rewards[(first + i) * (size_t)horizon + (size_t)h] = reward[i];
    }
  }
  for (int i = 0; i < count; i++) e->cls->restore(e, i, saved + row * (size_t)i);
}

void us_env_rollout(UsEnv* e, int n, const int* slots, int samples, int horizon,
                    const float* actions, float* rewards) {
  assert_slots(e, n, slots);
  US_ASSERT(samples >= 0 && horizon >= 0);
  // Nothing asked for is nothing done.
  if (n == 0 || samples == 0 || horizon == 0) return;
  US_ASSERT(actions && rewards);
  if (e->cls->rollout) {
    e->cls->rollout(e, n, slots, samples, horizon, actions, rewards);
  } else {
    default_rollout(e, n, slots, samples, horizon, actions, rewards);
  }
}

// ---- entries that a kind may have ----

UsStatus us_env_latents(UsEnv* e, int n, const int* slots, float* now, float* goal) {
  US_TRY(us_env_check_slots(e, n, slots));
  US_TRY(us_env_need(e, "us_env_latents", US_ENV_latents));
  return e->cls->latents(e, n, slots, now, goal);
}

void us_env_rollout_gradient(UsEnv* e, int n, const int* slots, int samples, int horizon,
                             const float* actions, const float* weights, float* rewards,
                             float* gradient) {
  assert_slots(e, n, slots);
  US_ASSERT(e->cls->rollout_gradient && samples >= 0 && horizon >= 0);
  if (n == 0 || samples == 0 || horizon == 0) return;
  US_ASSERT(actions && weights && rewards && gradient);
  e->cls->rollout_gradient(e, n, slots, samples, horizon, actions, weights, rewards, gradient);
}

void us_env_rollout_prepare(UsEnv* e, int n, const int* slots) {
  assert_slots(e, n, slots);
  US_ASSERT(e->cls->rollout_prepare && n <= e->info.slots);
  e->cls->rollout_prepare(e, n, slots);
  e->prepared = n;
}

void us_env_rollout_device(UsEnv* e, int n, int samples, int horizon, const float* actions,
                           float* rewards) {
  US_ASSERT(e->cls->rollout_device && samples >= 0 && horizon >= 0);
  US_ASSERT(n >= 0 && n <= e->prepared);
  if (n == 0 || samples == 0 || horizon == 0) return;
  US_ASSERT(actions && rewards);
  e->cls->rollout_device(e, n, samples, horizon, actions, rewards);
}
