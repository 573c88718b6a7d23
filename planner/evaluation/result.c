// The lists of an evaluation, and what is read off its result: rates and films.

#include "planner/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/sim.h"
#include "planner/evaluation/evaluate_inner.h"
#include "planner/statistics.h"

// ---- lists ----

// 1 if a flag (steps) was set `n` env steps in a row.
static int holds(const uint8_t* flag, int steps, int n) {
  for (int t = 0, row = 0; t < steps; t++) {
    row = flag[t] ? row + 1 : 0;
    if (row == n) return 1;
  }
  return 0;
}

// 1 if the last env step of a plan was a success; the last plan may be cut short by the budget.
static int holds_at_plan_end(const UsHistory* e) {
  // Plans end every `plan` env steps and with the budget.
  int plan = e->block * e->replan, found = e->success[e->steps - 1];
  for (int t = plan; t <= e->steps; t += plan) found |= e->success[t - 1];
  return found;
}

#define X(name, title, shown, stopped, expression, text) \
  static int rule_##name(const UsHistory* e) {           \
    return expression;                                   \
  }
US_RULES(X)
#undef X

const UsRuleClass us_rules[US_RULE_COUNT] = {
#define X(name, title, shown, stopped, expression, text) \
  {#name, title, shown, stopped, rule_##name, text},
    US_RULES(X)
#undef X
};

UsRule us_rule_find(const char* name) {
  int rule = 0;
  while (rule < US_RULE_COUNT && strcmp(us_rules[rule].name, name) != 0) rule++;
  return (UsRule)rule;
}

int us_rule_columns(UsRule rule, int object, UsColumn* out) {
  int n = 0;
  // What every table has, and the hard pairs by the first rule.
  for (int k = 0; k < US_RULE_COUNT; k++) {
    if (us_rules[k].shown) out[n++] = (UsColumn){.rule = (UsRule)k};
  }
  out[n++] = (UsColumn){.rule = US_RULE_first_hit, .hard = 1};
  // What this protocol or this task asks for beside it.
  for (int k = 0; k < US_RULE_COUNT; k++) {
    int asked = k == (int)rule || (object && k == US_RULE_object_hit);
    if (asked && !us_rules[k].shown) out[n++] = (UsColumn){.rule = (UsRule)k};
  }
  for (int i = 0; i < n; i++) {
    snprintf(out[i].title, sizeof(out[i].title), "%s%s", us_rules[out[i].rule].title,
             out[i].hard ? ", hard pairs" : "");
  }
  return n;
}

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

static double share(double x, int64_t of) {
  return of > 0 ? x / (double)of : NAN;
}

// Candidate-steps a core-second of planning.
static double speed(const UsResult* r) {
  double core = fmax(r->core[US_PART_plan], 1e-9);
  return r->candidate_steps > 0 ? (double)r->candidate_steps / core : NAN;
}

#define X(name, value, digits, title, factor, format) \
  static double figure_##name(const UsResult* r) {    \
    return (double)(value);                           \
  }
US_FIGURES(X)
#undef X

const UsFigure us_figures[US_FIGURE_COUNT] = {
#define X(name, value, digits, title, factor, format) \
  {#name, figure_##name, digits, title, factor, format},
    US_FIGURES(X)
#undef X
};

int us_outcome_solved(const UsOutcome* o, UsRule rule) {
  US_ASSERT(rule < US_RULE_COUNT);
  return o->finite && o->holds[rule];
}

int us_result_answers(const UsResult* r, UsRule rule) {
  return !r->stopped || us_rules[rule].stopped;
}

UsRate us_result_rate(const UsResult* r, const UsPairs* pairs, UsRule rule, int hard) {
  UsRate rate = {0};
  // Hits among the pairs that count, then Wilson's interval for their share.
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
  // The env plays in the pair's variation, as the episode did.
  const float* values = r->variation + (size_t)episode * (size_t)r->vary.count;
  if (r->vary.count) US_TRY(us_sim_vary(sim, &r->vary, 1, &slot, values));
  us_env_reset(sim, NULL, &seed);
  // The goal's frame comes second, but is drawn first: the episode then goes on from its start.
  us_evaluate_goal(data, pairs, p, sim, state);
  US_TRY(us_env_observe(sim, 1, &slot, &obs));
  US_TRY(us_env_render(sim, 1, &slot, pixels + frame));
  us_evaluate_start(data, p->start, rest, sim, state);
  US_TRY(us_env_observe(sim, 1, &slot, &obs));
  US_TRY(us_env_render(sim, 1, &slot, pixels));
  // The blocks as they were played.
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
  if (info->slots != 1 || episode < 0 || episode >= r->count) {
    return us_fail(US_USAGE, "film of episode %d: expected one of %d and an env of one slot",
                   episode, r->count);
  }
  double* state = malloc((size_t)info->state * sizeof(double));
  if (!state) return us_fail(US_MEMORY, "film of episode %d: out of memory", episode);
  UsStatus status = film(r, data, pairs, episode, rest, sim, state, pixels);
  free(state);
  return status;
}
