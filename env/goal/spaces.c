// Spaces of any kind of env, and the calls about goals that a kind answers: checked here.

#include "env/goal/spaces.h"

#include "env/env_class.h"

const char* const us_obs_names[US_OBS_COUNT] = {
#define X(name, text) #name,
    US_OBS_KINDS(X)
#undef X
};

// Whether a kind has a function; `what` says what for.
static UsStatus need(const UsEnv* e, int has, const char* what) {
  return has ? US_OK : us_fail(US_UNSUPPORTED, "%s: this env has no %s", e->info.name, what);
}

static UsStatus check_kind(const UsEnv* e, UsObsKind kind) {
  if (kind < US_OBS_COUNT) return US_OK;
  return us_fail(US_USAGE, "%s: expected observations of the kinds 0 .. %d, found %d", e->info.name,
                 US_OBS_COUNT - 1, (int)kind);
}

// ---- goals ----

UsStatus us_env_draw_goal(UsEnv* e, int n, const int* slots, const uint64_t* seeds) {
  US_TRY(us_env_check_slots(e, n, slots));
  US_TRY(need(e, e->cls->draw_goal != NULL, "goals to draw"));
  US_ASSERT(n == 0 || seeds);
  return e->cls->draw_goal(e, n, slots, seeds);
}

UsStatus us_env_look_goal(UsEnv* e, int n, const int* slots, UsObs* obs) {
  US_TRY(us_env_check_slots(e, n, slots));
  US_TRY(need(e, e->cls->look_goal != NULL, "goals to look at"));
  US_ASSERT(n == 0 || obs);
  return e->cls->look_goal(e, n, slots, obs);
}

UsStatus us_env_judges(const UsEnv* e) {
  if (e->info.judges) return US_OK;
  return us_fail(US_UNSUPPORTED,
                 "%s: expected an env that tells success, found one without a success head: "
                 "finetune --success-only makes one",
                 e->info.name);
}

// ---- spaces ----

UsSpace us_space(const char* dtype, size_t size, int rank, int a, int b, int c, double low,
                 double high) {
  UsSpace s = {.dtype = dtype, .rank = rank, .shape = {a, b, c}, .low = low, .high = high};
  s.bytes = size;
  for (int i = 0; i < rank; i++) s.bytes *= (size_t)s.shape[i];
  return s;
}

UsSpace us_space_frame(const UsEnvInfo* i) {
  return us_space("uint8", 1, 3, i->height, i->width, 3, 0, 255);
}

UsSpace us_space_latent(const UsEnvInfo* i) {
  return us_space("float32", sizeof(float), 2, i->tokens, i->dim, 0, -INFINITY, INFINITY);
}

UsStatus us_env_spaces(const UsEnv* e, UsObsKind kind, UsSpaces* out) {
  US_TRY(check_kind(e, kind));
  US_TRY(need(e, e->cls->spaces != NULL, "spaces"));
  *out = (UsSpaces){
      .action = us_space("float32", sizeof(float), 1, e->info.block * e->info.action, 0, 0, -1, 1)};
  return e->cls->spaces(e, kind, out);
}

UsStatus us_env_view(UsEnv* e, UsObsKind kind, int n, const int* slots, void* observation,
                     void* achieved, void* desired) {
  UsSpaces spaces;
  US_TRY(us_env_spaces(e, kind, &spaces));
  US_TRY(us_env_check_slots(e, n, slots));
  US_TRY(need(e, e->cls->view != NULL, "observations of agents"));
  return n == 0 ? US_OK : e->cls->view(e, kind, n, slots, observation, achieved, desired);
}

UsStatus us_env_judge(UsEnv* e, UsObsKind kind, int n, const void* achieved, const void* desired,
                      float* reward, uint8_t* success) {
  UsSpaces spaces;
  US_TRY(us_env_spaces(e, kind, &spaces));
  US_TRY(need(e, e->cls->judge != NULL, "reward of goals"));
  if (n < 0 || (n > 0 && (!achieved || !desired))) {
    return us_fail(US_USAGE, "%s: expected goals achieved and desired, found %d of %p and %p",
                   e->info.name, n, achieved, desired);
  }
  return n == 0 ? US_OK : e->cls->judge(e, kind, n, achieved, desired, reward, success);
}
