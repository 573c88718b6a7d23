// What is seen of a stand-in env from outside: pictures and features of slots and of their goals,
// and goals of its own.

#include <string.h>

#include "env/goal/spaces.h"
#include "env/model/model_inner.h"
#include "worldmodel/base/frame.h"
#include "worldmodel/base/rng.h"

// ---- features and pictures ----

// Features of n slots, n at most N, or of their goals, into m->features; 0 where there is no goal.
static UsStatus features(Model* m, int n, const int* slots, int goal) {
  US_TRY(us_model_env_latents(&m->base, n, slots, goal ? NULL : m->raw, goal ? m->raw : NULL));
  m->w->cls->denormalise(m->w, n * m->tokens, m->raw, m->raw);
  us_ops_get(m->device, m->raw, m->features, (size_t)n * m->one);
  for (int i = 0; goal && i < n; i++) {
    if (m->slot[slots[i]].goal) continue;
    memset(m->features + (size_t)i * m->one, 0, m->one * sizeof(float));
  }
  return us_device_check(m->device, m->base.info.name);
}

static UsStatus need_decoder(const UsEnv* e) {
  if (us_encoder_info(model_of((UsEnv*)e)->encoder)->decoder) return US_OK;
  return us_fail(US_UNSUPPORTED, "%s: the model's encoder has no decoder to draw with",
                 e->info.name);
}

// Pictures of slots or of their goals (n, height, width, 3), or their features (n, G, D). Nullable:
// pixels, latents.
static UsStatus see(UsEnv* e, int n, const int* slots, int goal, uint8_t* pixels, float* latents) {
  Model* m = model_of(e);
  size_t image = us_frame_bytes(e->info.height, e->info.width);
  if (pixels) US_TRY(need_decoder(e));
  for (int from = 0; from < n; from += e->info.slots) {
    int count = n - from < e->info.slots ? n - from : e->info.slots;
    size_t at = (size_t)from * m->one, numbers = (size_t)count * m->one;
    US_TRY(features(m, count, slots + from, goal));
    if (latents) memcpy(latents + at, m->features, numbers * sizeof(float));
    if (!pixels) continue;
    uint8_t* to = pixels + (size_t)from * image;
    US_TRY(us_encoder_decode(m->encoder, count, m->features, to, e->pool));
    for (int i = 0; goal && i < count; i++) {
      if (!m->slot[slots[from + i]].goal) memset(to + (size_t)i * image, 0, image);
    }
  }
  return US_OK;
}

UsStatus us_model_env_render(UsEnv* e, int n, const int* slots, uint8_t* pixels) {
  return see(e, n, slots, 0, pixels, NULL);
}

// The parts of observations that are asked for, slot by slot.
static UsStatus look(UsEnv* e, int n, const int* slots, int goal, UsObs* obs) {
  Model* m = model_of(e);
  for (int i = 0; i < n; i++) {
    if (obs[i].state || obs[i].proprio) {
      return us_fail(US_UNSUPPORTED, "%s: a model knows neither state nor proprio", e->info.name);
    }
    if (goal && !m->slot[slots[i]].goal) {
      return us_fail(US_USAGE, "%s: expected a goal in slot %d, found none", e->info.name,
                     slots[i]);
    }
    // What the model predicts can be looked at where its encoder can draw.
    if (obs[i].pixels || obs[i].latent) {
      US_TRY(see(e, 1, &slots[i], goal, obs[i].pixels, obs[i].latent));
    }
    if (!goal) obs[i].time = m->slot[slots[i]].times[m->context - 1];
  }
  return US_OK;
}

UsStatus us_model_env_look(UsEnv* e, int n, const int* slots, UsObs* obs) {
  return look(e, n, slots, 0, obs);
}
UsStatus us_model_env_look_goal(UsEnv* e, int n, const int* slots, UsObs* obs) {
  return look(e, n, slots, 1, obs);
}

// ---- goals of the bank ----

// The newest frame of a context of the bank, drawn by the seed; where that is solved at the start,
// or is the very frame, another.
UsStatus us_model_env_draw_goal(UsEnv* e, int n, const int* slots, const uint64_t* seeds) {
  enum { kTries = 16 };
  Model* m = model_of(e);
  const uint32_t bank = (uint32_t)us_model_info(m->model)->contexts;
  const float* newest = us_model_contexts(m->model) + m->frames - m->one;
  for (int i = 0; i < n; i++) {
    for (int k = 0; k < kTries; k++) {
      UsRng r = us_rng(seeds[i], US_RNG_GOAL, (uint64_t)k, 0, 0);
      float distance;
      uint8_t success;
      us_model_env_take(m, 1, newest + (size_t)us_rng_below(&r, bank) * m->frames);
      us_model_env_aim(m, 1, &slots[i]);
      us_model_env_score(e, 1, &slots[i], &distance, &success);
      if (!success && distance > 0) break;
    }
  }
  return us_device_check(m->device, e->info.name);
}

// ---- spaces ----

UsStatus us_model_env_spaces(const UsEnv* e, UsObsKind kind, UsSpaces* out) {
  if (kind == US_OBS_state) {
    return us_fail(US_UNSUPPORTED,
                   "%s: expected observations of the kinds pixels or latent, found state, which a "
                   "model does not know",
                   e->info.name);
  }
  if (kind == US_OBS_pixels) US_TRY(need_decoder(e));
  out->observation = kind == US_OBS_pixels ? us_space_frame(&e->info) : us_space_latent(&e->info);
  out->goal = out->observation;
  return US_OK;
}

UsStatus us_model_env_view(UsEnv* e, UsObsKind kind, int n, const int* slots, void* observation,
                           void* achieved, void* desired) {
  const UsSpace space =
      kind == US_OBS_pixels ? us_space_frame(&e->info) : us_space_latent(&e->info);
  const int drawn = kind == US_OBS_pixels;
  void* now = observation ? observation : achieved;
  if (now) US_TRY(see(e, n, slots, 0, drawn ? now : NULL, drawn ? NULL : now));
  if (observation && achieved) memcpy(achieved, observation, (size_t)n * space.bytes);
  return desired ? see(e, n, slots, 1, drawn ? desired : NULL, drawn ? NULL : desired) : US_OK;
}

UsStatus us_model_env_judge(UsEnv* e, UsObsKind kind, int n, const void* achieved,
                            const void* desired, float* reward, uint8_t* success) {
  Model* m = model_of(e);
  return (kind == US_OBS_pixels)
             ? us_latents_judge_frames(m->latents, e->info.name, n, achieved, desired, reward,
                                       success)
             : us_latents_judge(m->latents, e->info.name, n, achieved, desired, reward, success);
}
