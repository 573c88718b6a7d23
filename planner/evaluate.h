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

#define US_RULES(X)                                           \
  X(first_hit, "solved after any env step")                   \
  X(last_step, "solved after the last env step")              \
  X(hold_3, "solved after three env steps in a row")          \
  X(plan_end, "solved when the last block of any plan ended") \
  X(object_hit, "the task's rule on its object alone after any env step")

typedef enum UsRule {
#define X(name, text) US_RULE_##name,
  US_RULES(X)
#undef X
      US_RULE_COUNT
} UsRule;

// Names of the rules, by UsRule: the keys of the JSON.
extern US_API const char* const us_rule_names[US_RULE_COUNT];

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
  int first_hit;   // env steps until the first success; -1: none
  int last_step;   // 1: success after the last env step
  int hold_3;      // 1: success after three env steps in a row
  int plan_end;    // 1: success at the end of a plan
  int object_hit;  // 1: success of the object alone after some env step
  int finite;      // 0: the state stopped being finite; then nothing above counts
  int played;      // blocks
  float distance;  // to the goal at the end; NaN when not finite
} UsOutcome;

typedef struct UsResult {
  UsArena memory;
  int count;                // pairs
  int blocks, block;        // blocks in the budget, K
  int action;               // A
  int stopped;              // 1: run with stop_at_hit, so last_step and hold_3 mean nothing
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

// 1 if the episode counts as solved under a rule.
US_API int us_outcome_solved(const UsOutcome* o, UsRule rule);

// Success rate under a rule over all episodes or, with `hard`, over those of hard pairs.
US_API UsRate us_result_rate(const UsResult* r, const UsPairs* pairs, UsRule rule, int hard);

// Frames of an episode played again: the start, the goal, then one after each of its blocks.
// sim: a `sim:` env of one slot that can render; pixels (blocks + 2, height, width, 3), of which
// those behind the last block played are left alone.
US_API UsStatus us_result_film(const UsResult* r, const UsDataset* data, const UsPairs* pairs,
                               int episode, int rest, UsEnv* sim, uint8_t* pixels);

US_C_END

#endif  // UNDERSTUDY_EVALUATE_H_
