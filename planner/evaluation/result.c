// The lists of an evaluation, and what is read off its result: rates and films.

#include "planner/evaluate.h"

#include <stdlib.h>
#include <string.h>

#include "env/sim.h"
#include "planner/evaluation/evaluate_inner.h"
#include "planner/statistics.h"

// ---- lists ----

const char* const us_rule_names[US_RULE_COUNT] = {
#define X(name, text) #name,
    US_RULES(X)
#undef X
};

const char* const us_part_names[US_PART_COUNT] = {
#define X(name) #name,
    US_PARTS(X)
#undef X
};

const UsProtocol us_protocols[] = {
#define X(name, episodes, ahead, budget, replan, horizon, rule, keep, rest, text) \
  {#name, episodes, ahead, budget, replan, horizon, US_RULE_##rule, keep, rest, text},
    US_PROTOCOLS(X)
#undef X
        {.name = NULL}};

const UsProtocol* us_protocol_find(const char* name) {
  for (const UsProtocol* p = us_protocols; p->name; p++) {
    if (!strcmp(p->name, name)) return p;
  }
  return NULL;
}

int us_protocol_steps(int steps, const UsTask* task) {
  return steps / 5 * task->block;
}

int us_most_subgoals(int blocks) {
  return blocks / 2;
}

// ---- results ----

void us_result_free(UsResult* r) {
  us_arena_free(&r->memory);
  *r = (UsResult){0};
}

int us_outcome_solved(const UsOutcome* o, UsRule rule) {
  if (!o->finite) return 0;
  switch (rule) {
    case US_RULE_first_hit:
      return o->first_hit >= 0;
    case US_RULE_last_step:
      return o->last_step;
    case US_RULE_hold_3:
      return o->hold_3;
    case US_RULE_plan_end:
      return o->plan_end;
    case US_RULE_object_hit:
      return o->object_hit;
    default:
      US_ASSERT(0);
      return 0;
  }
}

UsRate us_result_rate(const UsResult* r, const UsPairs* pairs, UsRule rule, int hard) {
  UsRate rate = {0};
  for (int i = 0; i < r->count; i++) {
    if (hard && !pairs->pair[i].hard) continue;
    rate.count++;
    rate.hits += us_outcome_solved(&r->outcome[i], rule);
  }
  if (rate.count > 0) rate.rate = (double)rate.hits / rate.count;
  us_wilson(rate.hits, rate.count, &rate.low, &rate.high);
  return rate;
}

// state (S): room to work in
static UsStatus film(const UsResult* r, const UsDataset* data, const UsPairs* pairs, int episode,
                     int rest, UsEnv* sim, double* state, uint8_t* pixels) {
  const UsEnvInfo* info = us_env_info(sim);
  size_t frame = (size_t)info->height * (size_t)info->width * 3;
  const UsPair* p = &pairs->pair[episode];
  const int slot = 0;
  const uint64_t seed = 0;
  UsObs obs = {.state = state, .first = 1};
  const float* values = r->variation + (size_t)episode * (size_t)r->vary.count;
  if (r->vary.count) us_sim_vary(sim, &r->vary, 1, &slot, values);
  us_env_reset(sim, NULL, &seed);
  us_evaluate_start(data, p->goal, 0, sim, state);
  US_TRY(us_env_observe(sim, 1, &slot, &obs));
  US_TRY(us_env_render(sim, 1, &slot, pixels + frame));
  us_evaluate_start(data, p->start, rest, sim, state);
  US_TRY(us_env_observe(sim, 1, &slot, &obs));
  US_TRY(us_env_render(sim, 1, &slot, pixels));
  size_t length = (size_t)(r->block * r->action);
  for (int b = 0; b < r->outcome[episode].played; b++) {
    us_env_step(sim, r->actions + ((size_t)episode * r->blocks + b) * length, NULL);
    const UsEnvError* error = us_env_error(sim);
    if (error) {
      return us_fail(US_MUJOCO, "film of episode %d, step %d: MuJoCo: %s", episode, error->step,
                     error->text);
    }
    US_TRY(us_env_render(sim, 1, &slot, pixels + (size_t)(b + 2) * frame));
  }
  return US_OK;
}

UsStatus us_result_film(const UsResult* r, const UsDataset* data, const UsPairs* pairs, int episode,
                        int rest, UsEnv* sim, uint8_t* pixels) {
  const UsEnvInfo* info = us_env_info(sim);
  US_ASSERT(info->slots == 1 && episode >= 0 && episode < r->count);
  double* state = malloc((size_t)info->state * sizeof(double));
  if (!state) return us_fail(US_MEMORY, "film of episode %d: out of memory", episode);
  UsStatus status = film(r, data, pairs, episode, rest, sim, state, pixels);
  free(state);
  return status;
}
