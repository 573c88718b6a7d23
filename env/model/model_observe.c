// What slots of a stand-in env see: frames and goals that are encoded for them, their latents,
// their distances. All slots that a call lists go through every operation together.

#include <string.h>

#include "env/model/model_inner.h"
#include "worldmodel/base/frame.h"

// ---- lists ----

// How many of the listed slots (n) come before one that is named a second time: what happens to it
// then follows what happened before.
static int distinct(Model* m, int n, const int* slots) {
  int count = 0;
  m->runs++;
  while (count < n && m->mark[slots[count]] != m->runs) m->mark[slots[count++]] = m->runs;
  return count;
}

void us_model_env_list(Model* m, int i, int slot) {
  m->list.slot[i] = slot;
  m->list.bare[i] = m->slot[slot].goal ? -1 : i;
}

// ---- observations ----

// The part of an observation that this model's encoder reads has to be there.
static UsStatus need_parts(const UsEnv* e, int n, const UsObs* obs) {
  for (int i = 0; i < n; i++) {
    if (!obs[i].latent && (e->info.state ? !obs[i].state : !obs[i].pixels)) {
      return us_fail(US_UNSUPPORTED, "%s: expected an observation with the %s, found none",
                     e->info.name, e->info.state ? "state" : "pixels");
    }
  }
  return US_OK;
}

void us_model_env_take(Model* m, int n, const float* features) {
  us_ops_put(m->device, m->fresh, features, (size_t)n * m->one);
  m->w->cls->normalise(m->w, n * m->tokens, m->fresh, m->fresh);
}

// Encodes obs (n), n at most N, into m->fresh (n, G, D), normalised. Latents are taken as they are;
// they are there for all of the call or for none.
static UsStatus encode(Model* m, int n, const UsObs* obs) {
  const UsEnvInfo* info = &m->base.info;
  size_t image = us_frame_bytes(info->height, info->width), states = (size_t)info->state;
  int known = 0;
  for (int i = 0; i < n; i++) {
    known += obs[i].latent != NULL;
    if (obs[i].latent) {
      memcpy(m->features + (size_t)i * m->one, obs[i].latent, m->one * sizeof(float));
    } else if (states) {
      memcpy(m->states + (size_t)i * states, obs[i].state, states * sizeof(double));
    } else {
      memcpy(m->pixels + (size_t)i * image, obs[i].pixels, image);
    }
  }
  if (known && known < n) {
    return us_fail(US_UNSUPPORTED, "%s: expected latents of all %d observations, found %d",
                   info->name, n, known);
  }
  if (known) {
    us_model_env_take(m, n, m->features);
    return US_OK;
  }
  US_TRY(us_encoder_encode_to(m->encoder, n, states ? NULL : m->pixels, states ? m->states : NULL,
                              m->fresh, m->base.pool));
  m->w->cls->normalise(m->w, n * m->tokens, m->fresh, m->fresh);
  return US_OK;
}

void us_model_env_seen(Model* m, int slot, double time) {
  Slot* s = &m->slot[slot];
  memmove(s->times, s->times + 1, (size_t)(m->context - 1) * sizeof(double));
  s->times[m->context - 1] = time;
  s->cached = 0;
}

// Takes the frames of distinct slots (n) at m->fresh, and the actions that led to them, into their
// contexts.
static void append(Model* m, int n, const int* slots, const UsObs* obs) {
  for (int i = 0; i < n; i++) {
    const UsObs* o = &obs[i];
    float* action = m->list.action + (size_t)i * m->block;
    us_model_env_list(m, i, slots[i]);
    m->list.first[i] = o->first != 0;
    memset(action, 0, m->block * sizeof(float));
    if (o->action && !o->first) memcpy(action, o->action, m->block * sizeof(float));
    // One frame says nothing about motion: the first stands for all C, one block apart.
    for (int k = o->first ? m->context - 1 : 0; k >= 0; k--) {
      us_model_env_seen(m, slots[i], o->time - k * m->step);
    }
  }
  us_model_env_send(m, &m->there, n);
  us_ops_push(m->device, n, m->context, (int)m->one, m->there.slot, m->there.first, m->fresh,
              m->contexts);
  if (!m->past) return;
  us_ops_clip(m->device, (size_t)n * m->block, -1, 1, m->there.action);
  us_ops_push(m->device, n, m->w->past, (int)m->block, m->there.slot, m->there.first,
              m->there.action, m->pasts);
}

UsStatus us_model_env_observe(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  Model* m = model_of(e);
  US_TRY(need_parts(e, n, obs));
  for (int from = 0, count; from < n; from += count) {
    count = distinct(m, n - from, slots + from);
    US_TRY(encode(m, count, obs + from));
    append(m, count, slots + from, obs + from);
  }
  return us_device_check(m->device, e->info.name);
}

void us_model_env_aim(Model* m, int n, const int* slots) {
  for (int i = 0; i < n; i++) {
    m->slot[slots[i]].goal = 1;
    us_model_env_list(m, i, slots[i]);
  }
  us_model_env_send(m, &m->there, 0);
  us_ops_push(m->device, n, 1, (int)m->one, m->there.slot, m->none, m->fresh, m->goals);
}

// A goal is encoded as an observation is, and stays until the slot is reset.
UsStatus us_model_env_set_goal(UsEnv* e, int n, const int* slots, const UsObs* obs) {
  Model* m = model_of(e);
  US_TRY(need_parts(e, n, obs));
  for (int from = 0, count; from < n; from += count) {
    count = distinct(m, n - from, slots + from);
    US_TRY(encode(m, count, obs + from));
    us_model_env_aim(m, count, slots + from);
  }
  return us_device_check(m->device, e->info.name);
}

// ---- latents and distances ----

// Those of n slots, n at most N, whose list this brings to the device.
static void gather(Model* m, int n, const int* slots, float* now, float* goal) {
  const int one = (int)m->one;
  const Lists* l = &m->there;
  for (int i = 0; i < n; i++) us_model_env_list(m, i, slots[i]);
  us_model_env_send(m, l, 0);
  if (now) {
    us_ops_copy_rows(m->device, n, one, 1, l->slot, m->contexts + m->frames - m->one, m->frames,
                     now, m->one);
  }
  if (!goal) return;
  us_ops_copy_rows(m->device, n, one, 1, l->slot, m->goals, m->one, goal, m->one);
  us_ops_set_rows(m->device, n, one, l->bare, m->zeros, goal);
}

UsStatus us_model_env_latents(UsEnv* e, int n, const int* slots, float* now, float* goal) {
  Model* m = model_of(e);
  for (int from = 0; from < n; from += e->info.slots) {
    int count = n - from < e->info.slots ? n - from : e->info.slots;
    size_t at = (size_t)from * m->one;
    gather(m, count, slots + from, now ? now + at : NULL, goal ? goal + at : NULL);
  }
  return us_device_check(m->device, e->info.name);
}

typedef struct Judging {
  Model* m;
  const int* slots;
} Judging;

// A slot alone, so that its bits depend on no other.
static void solved_item(void* arg, int item, int worker) {
  const Judging* c = arg;
  Model* m = c->m;
  const float* newest = model_context(m, c->slots[item]) + m->frames - m->one;
  us_success_margin(m->head, m->worker[worker].judge, 1, newest, model_goal(m, c->slots[item]),
                    m->margins + item);
}

void us_model_env_solved(Model* m, int n, const int* slots, uint8_t* success) {
  memset(success, 0, (size_t)n);
  if (!m->head || n == 0) return;
  if (m->w->wide) {
    gather(m, n, slots, m->raw, m->fresh);
    us_success_margin(m->head, m->wide.judge, n, m->raw, m->fresh, m->margins);
  } else {
    us_pool_run(m->base.pool, n, solved_item, &(Judging){m, slots});
  }
  us_ops_get(m->device, m->margins, m->judged, (size_t)n);
  for (int i = 0; i < n; i++) success[i] = m->slot[slots[i]].goal && m->judged[i] > 0;
}

void us_model_env_score(UsEnv* e, int n, const int* slots, float* distance, uint8_t* success) {
  Model* m = model_of(e);
  for (int from = 0; from < n; from += e->info.slots) {
    int count = n - from < e->info.slots ? n - from : e->info.slots;
    if (success) us_model_env_solved(m, count, slots + from, success + from);
    if (!distance) continue;
    gather(m, count, slots + from, m->raw, NULL);
    us_ops_row_distance(m->device, count, (int)m->one, 1, m->there.slot, m->raw, m->goals,
                        m->w->metric, m->apart, 1);
    us_ops_get(m->device, m->apart, m->distances, (size_t)count);
    for (int i = 0; i < count; i++) {
      int goal = m->slot[slots[from + i]].goal;
      distance[from + i] = goal ? -us_model_env_reward(m->distances[i]) : 0;
    }
  }
  us_model_env_check(m);
}
