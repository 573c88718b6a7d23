#ifndef UNDERSTUDY_EVALUATE_H_
#define UNDERSTUDY_EVALUATE_H_

// Evaluation: plan with one env, play in the simulator, count successes over start / goal pairs.
//
// Two envs take part. The truth is a `sim:` env: it plays the actions, renders and judges. The
// answer is the env a planner imagines in: a world model that is shown the truth's frames, a second
// simulator that is shown its states (the oracle), or nothing (random actions). Episodes run in
// lockstep, B slots at a time; an episode's result depends on its pair, its index and the seed
// alone, not on B, threads or order.
//
// Where factors vary (env/vary.h), the truth and the oracle play every pair in its own variation:
// the one that the file recorded, or one drawn for the evaluation, in which the frames of starts
// and goals are then drawn anew from their states.
//
// Success is judged after every env step and kept for the whole budget, so one run answers every
// rule. A start whose success rule holds already is the business of pairs.h.
//
// Threads: calls come from one thread at a time; inside, the pools of the envs work.

#include "datasets/pairs.h"
#include "env/vary.h"
#include "planner/planner.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/arena.h"

US_C_BEGIN

// ---- protocols ----

// What happened in an episode, for the rules: success and object (steps) say whether the task's
// success rule and its rule on its object alone held after each env step.
typedef struct UsHistory {
  int steps;          // env steps of the budget
  int block, replan;  // K, blocks of each plan that are played
  const uint8_t *success, *object;
} UsHistory;

// Success rules: name, title in tables, 1: stands in every table, 0: where a protocol counts by it,
// 1: a run that stops at the first success answers it too, when an episode e counts (an expression,
// with the helpers of result.c), help
#define US_RULES(X)                                                                            \
  X(first_hit, "first hit", 1, 1, holds(e->success, e->steps, 1), "solved after any env step") \
  X(last_step, "last step", 1, 0, e->success[e->steps - 1], "solved after the last env step")  \
  X(hold_3, "hold 3", 1, 0, holds(e->success, e->steps, 3),                                    \
    "solved after three env steps in a row")                                                   \
  X(plan_end, "plan end", 0, 0, holds_at_plan_end(e),                                          \
    "solved when the last block of any plan ended")                                            \
  X(object_hit, "object alone", 0, 1, holds(e->object, e->steps, 1),                           \
    "the task's rule on its object alone after any env step")

typedef enum UsRule {
#define X(name, title, shown, stopped, expression, text) US_RULE_##name,
  US_RULES(X)
#undef X
      US_RULE_COUNT
} UsRule;

typedef struct UsRuleClass {
  const char *name, *title;
  int shown, stopped;
  int (*holds)(const UsHistory* e);
  const char* summary;
} UsRuleClass;

// By UsRule. Names are the keys of the JSON.
extern US_API const UsRuleClass us_rules[US_RULE_COUNT];

// The rule of this name; US_RULE_COUNT: there is none.
US_API UsRule us_rule_find(const char* name);

// A column of rates in a table: by a rule, over all episodes or those of hard pairs.
typedef struct UsColumn {
  UsRule rule;
  int hard;
  char title[64];
} UsColumn;

// The columns of a table for a protocol that counts by `rule` (US_RULE_COUNT: not known); object:
// the task has a rule on its object alone. out (US_RULE_COUNT + 1); returns how many.
US_API int us_rule_columns(UsRule rule, int object, UsColumn* out);

// name, episodes, env steps to the goal, budget in env steps (both of a task with blocks of 5, see
// us_protocol_steps), blocks played of a plan, horizon in blocks, rule, 1: pairs solved at the
// start stay in, 1: starts at rest, summary
#define US_PROTOCOLS(X)                                                                         \
  X(dinoworld, 512, 25, 50, 1, 5, first_hit, 0, 0, "512 episodes, a new plan every block")      \
  X(swm, 50, 25, 50, 5, 5, first_hit, 1, 0, "stable-worldmodel: a new plan every 5 blocks")     \
  X(clear, 100, 25, 50, 5, 5, hold_3, 0, 1, "CLEAR: starts at rest, success has to hold")       \
  X(dinowm, 50, 25, 250, 5, 5, plan_end, 1, 0, "DINO-WM: 10 plans of 5 blocks, judged at ends") \
  X(jepawms, 96, 25, 30, 6, 6, last_step, 1, 0, "JEPA-WMs: one open-loop plan of 6 blocks")

typedef struct UsProtocol {
  const char* name;
  int episodes;
  int ahead;    // env steps from start to goal on the held-out trajectory
  int budget;   // env steps
  int replan;   // blocks of each plan that are played
  int horizon;  // blocks
  UsRule rule;  // the one that the protocol's own tables count
  int keep_solved;
  int rest;  // 1: the start's velocity is set to zero
  const char* summary;
} UsProtocol;

// The protocols in the order of the list; the last one's name is NULL.
extern US_API const UsProtocol us_protocols[];

// NULL when there is none of that name.
US_API const UsProtocol* us_protocol_find(const char* name);

// A protocol's `ahead` or `budget` for a task whose own block is not of 5 env steps: as many
// blocks.
US_API int us_protocol_steps(int steps, const struct UsTask* task);

// The most sub-goals that a budget has room for: one a block in its first half.
US_API int us_most_subgoals(int blocks);

// ---- one row of the table ----

// What the answering env is shown.
typedef enum UsSees {
  US_SEES_NOTHING,  // it is asked for its sizes alone
  US_SEES_PIXELS,   // frames and proprio
  US_SEES_STATE,    // true states: the oracle and models on true-state features
} UsSees;

// Where the time goes.
#define US_PARTS(X) X(simulate) X(render) X(encode) X(plan)

typedef enum UsPart {
#define X(name) US_PART_##name,
  US_PARTS(X)
#undef X
      US_PART_COUNT
} UsPart;

extern US_API const char* const us_part_names[US_PART_COUNT];

// What one episode came to.
typedef struct UsOutcome {
  int first_hit;             // env steps until the first success; -1: none
  int holds[US_RULE_COUNT];  // 1: the rule holds
  int finite;                // 0: the state stopped being finite; then nothing above counts
  int played;                // blocks
  float distance;            // to the goal at the end; NaN when not finite
} UsOutcome;

typedef struct UsResult {
  UsArena memory;
  int count;                // pairs
  int blocks, block;        // blocks in the budget, K
  int action;               // A
  int stopped;              // 1: run with stop_at_hit, which some rules do not answer then
  UsOutcome* outcome;       // (count)
  float* actions;           // (count, blocks, K, A) as played; zeros where an episode had ended
  UsVary vary;              // the V factors that varied
  float* variation;         // (count, V) their numbers
  float* distance;          // (count, blocks + 1) to the goal; NaN where an episode had ended
  int64_t plans;            // planned, one per episode and plan
  int64_t candidate_steps;  // blocks imagined
  double wall[US_PART_COUNT], core[US_PART_COUNT];  // s, and processor s of all threads
  double wall_all, core_all;
} UsResult;

// What to run. Nothing is owned.
typedef struct UsEvaluation {
  const char* label;  // the row's name in messages
  UsDataset* data;
  const UsPairs* pairs;
  int count;      // the first so many pairs
  UsEnv* sim;     // the truth, B slots
  UsEnv* answer;  // the planner's env, B slots; sim itself with US_SEES_NOTHING
  UsSees sees;
  UsPlanner* planner;  // made for `answer`, its config.replan blocks of each plan are played
  int budget;          // env steps, a multiple of the block
  int rest;            // 1: start at rest
  int stop_at_hit;     // 1: an episode ends at its first success
  // Nullable: factors to draw for every pair, in place of what the file recorded, from `range`, by
  // (vary_seed, pair).
  const UsVary* vary;
  UsVaryRange range;
  uint64_t vary_seed;
  // Rows of the held-out trajectory, evenly spaced between start and goal, that `answer` is shown
  // as goals before the goal itself, as V-JEPA 2-AC (Assran et al. 2025) is for pick-and-place.
  // They share the first half of the budget equally, the goal has the rest; a plan keeps the goal
  // it was made for. Success is judged against the goal alone.
  int subgoals;
  // The frame of pairs->goal (height, width, 3), for an answering env that sees frames. NULL where
  // pairs have rows as goals, or frames are drawn anew.
  const uint8_t* goal;
  // Nullable, both. recall takes over what an earlier run finished: pairs 0 .. *done - 1 and the
  // sums of r. keep is told of every batch that is finished: pairs first .. first + n - 1 of r.
  UsStatus (*recall)(void* keeper, UsResult* r, int* done);
  UsStatus (*keep)(void* keeper, const UsResult* r, int first, int n);
  void* keeper;
} UsEvaluation;

// Runs the episodes. Ctrl-C gives US_INTERRUPTED. On failure *out is empty. Free with
// us_result_free.
US_API UsStatus us_evaluate(const UsEvaluation* e, UsResult* out);

// Frees what a result holds; an empty one is fine.
US_API void us_result_free(UsResult* r);

typedef struct UsRate {
  int hits, count;
  double rate, low, high;  // Wilson interval at 95 %; rate is 0 when count is 0
} UsRate;

// Figures of a result r, as they stand in the JSON and in tables: name, value (an expression, with
// the helpers of result.c; NaN: there is none), decimals kept in the JSON (-1: all), title in
// tables (NULL: in none), factor and format there
#define US_FIGURES(X)                                                                       \
  X(plans, r->plans, -1, NULL, 1, NULL)                                                     \
  X(candidate_steps, r->candidate_steps, -1, NULL, 1, NULL)                                 \
  X(seconds, r->wall_all, 4, "seconds", 1, "%.1f")                                          \
  X(core_seconds, r->core_all, 4, "core-seconds", 1, "%.1f")                                \
  X(seconds_per_plan, share(r->wall[US_PART_plan], r->plans), -1, "ms a plan", 1e3, "%.3f") \
  X(core_seconds_per_plan, share(r->core[US_PART_plan], r->plans), -1, NULL, 1, NULL)       \
  X(candidate_steps_per_core_second, speed(r), -1, "candidate-steps a core-second", 1, "%.0f")

enum {
#define X(name, value, digits, title, factor, format) US_FIGURE_##name,
  US_FIGURES(X)
#undef X
      US_FIGURE_COUNT
};

typedef struct UsFigure {
  const char* name;
  double (*of)(const UsResult* r);
  int digits;
  const char* title;
  double factor;
  const char* format;
} UsFigure;

extern US_API const UsFigure us_figures[US_FIGURE_COUNT];

// 1 if the episode counts as solved under a rule.
US_API int us_outcome_solved(const UsOutcome* o, UsRule rule);

// 1 if a result answers a rule, which one with stop_at_hit may not.
US_API int us_result_answers(const UsResult* r, UsRule rule);

// Success rate under a rule over all episodes or, with `hard`, over those of hard pairs.
US_API UsRate us_result_rate(const UsResult* r, const UsPairs* pairs, UsRule rule, int hard);

// Frames of an episode played again: the start, the goal, then one after each of its blocks.
// sim: a `sim:` env of one slot that can render; pixels (blocks + 2, height, width, 3), of which
// those behind the last block played are left alone.
US_API UsStatus us_result_film(const UsResult* r, const UsDataset* data, const UsPairs* pairs,
                               int episode, int rest, UsEnv* sim, uint8_t* pixels);

US_C_END

#endif  // UNDERSTUDY_EVALUATE_H_
